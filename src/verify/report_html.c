/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports as one HTML page that needs nothing else: no scripts, no links, light or dark as the reader has it. All text
 * that comes from models, drivers or kernels goes through report_put_escaped. */
#include "verify/report_impl.h"

#include <inttypes.h>

static const char style[] =
    ":root{color-scheme:light dark;--page:#f7f7f4;--card:#fff;--text:#1c2126;--dim:#5c656e;--line:#dcdfdb;"
    "--good:#136c3f;--good-card:#e3f3e9;--bad:#a5161c;--bad-card:#fce8e6}\n"
    "@media (prefers-color-scheme:dark){:root{--page:#15181b;--card:#1e2327;--text:#e4e7ea;--dim:#9aa4ad;"
    "--line:#353c42;--good:#7fd6a5;--good-card:#173526;--bad:#ff9a90;--bad-card:#43201f}}\n"
    "body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 4rem}\n"
    "h1{font-size:1.5rem;margin:0 0 .8rem}h2{font-size:1.15rem;margin:2rem 0 .6rem}h3{font-size:1rem;margin:0 0 .6rem}\n"
    "code,h3,td.name,dd.mono{font-family:ui-monospace,monospace;overflow-wrap:anywhere}\n"
    ".verdict{padding:.8rem 1rem;border-radius:.5rem;font-weight:600;overflow-wrap:anywhere}\n"
    ".good{color:var(--good)}.bad{color:var(--bad)}\n"
    ".verdict.unknown{background:var(--card);border:1px solid var(--line)}\n"
    ".verdict.good{background:var(--good-card)}.verdict.bad{background:var(--bad-card)}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:1rem;margin:0 0 1rem}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0}\n"
    "dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}\n"
    "table{border-collapse:collapse;width:100%;font-size:.9rem}\n"
    "th,td{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}\n"
    "th{color:var(--dim);font-weight:500}th.n,td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\n"
    "figure{margin:1rem 0 0}figcaption{font-size:.85rem;color:var(--dim);margin:.3rem 0 0}\n"
    "summary{cursor:pointer;margin:0 0 .5rem}\n";

void report_put_escaped(buf *out, const char *text) {
    buf clean = {0};
    report_put_clean(&clean, text);
    if (clean.failed) out->failed = true;
    for (size_t i = 0; i < clean.len && !clean.failed; i++) {
        const char c = clean.data[i];
        if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'')
            buf_printf(out, "&#%d;", c);
        else
            buf_putc(out, c);
    }
    buf_free(&clean);
}

/* A line of a definition list; nothing where there is no text. */
static void put_fact(buf *out, const char *name, const char *text, bool is_code) {
    if (!text[0]) return;
    buf_printf(out, "<dt>%s</dt><dd%s>", name, is_code ? " class=\"mono\"" : "");
    report_put_escaped(out, text);
    buf_puts(out, "</dd>\n");
}

/* ---- What was checked -------------------------------------------------------------------------------------------- */

static void put_facts(const report *r, buf *out) {
    char place[32];
    buf_puts(out, "<dl class=\"card\">\n<dt>device</dt><dd>");
    report_put_escaped(out, r->device.name);
    if (r->device.backend)
        buf_puts(out, " ("), report_put_escaped(out, device_text(&r->device, place)), buf_putc(out, ')');
    buf_puts(out, "</dd>\n");
    put_fact(out, "features", r->device.features, false);
    put_fact(out, "driver", r->device.driver, false);
    put_fact(out, "compiler", r->device.compiler, false);
    buf_printf(out, "<dt>code hash</dt><dd class=\"mono\">%016" PRIx64 "</dd>\n", r->device.code_hash);
    put_fact(out, "model", r->model, true);
    put_fact(out, "model type", r->model_type, false);
    put_fact(out, "quantization", r->quantization, false);
    put_fact(out, "nibble", r->version, false);
    put_fact(out, "date", r->date, false);
    buf_printf(out, "<dt>seed</dt><dd>%" PRIu64 "%s</dd>\n</dl>\n", r->seed, r->quick ? ", quick check" : "");
}

static void put_levels(const report *r, buf *out) {
    buf_puts(out, "<div class=\"card\"><table>\n<tr><th>level</th><th class=\"n\">checked</th><th></th>"
                  "<th class=\"n\">time</th></tr>\n");
    for (int i = 0; i < VERIFY_LEVELS; i++) {
        const report_level *l = &r->levels[i];
        buf_printf(out, "<tr><td>%s</td><td class=\"n\">", verify_level_name((verify_level)i));
        if (l->ran)
            report_put_count(out, l->cases);
        else
            buf_puts(out, "not run");
        buf_printf(out, "</td><td>%s</td><td class=\"n\">", l->ran ? report_level_unit((verify_level)i) : "");
        if (l->ran) report_put_seconds(out, l->seconds);
        buf_puts(out, "</td></tr>\n");
    }
    buf_puts(out, "</table></div>\n");
}

/* ---- Findings ---------------------------------------------------------------------------------------------------- */

static void put_worst(const finding *f, buf *out) {
    buf_puts(out, "<dt>wrong</dt><dd>");
    report_put_count(out, f->n_wrong);
    buf_puts(out, " of ");
    report_put_count(out, f->n_checked);
    buf_puts(out, " elements</dd>\n");
    if (f->n_wrong == 0) return;
    buf_puts(out, "<dt>the worst</dt><dd>token ");
    report_put_count(out, f->row);
    buf_puts(out, ", column ");
    report_put_count(out, f->col);
    buf_puts(out, ": got <b>");
    report_put_value(out, f->got);
    buf_puts(out, "</b>, expected <b>");
    report_put_value(out, f->expected);
    buf_puts(out, "</b>, which may be off by ");
    report_put_value(out, f->bound);
    buf_puts(out, "</dd>\n");
}

/* "1 token and up to 96 columns" */
static void put_cell_size(buf *out, const char *noun, int64_t n, int cells) {
    const int64_t each = (n + cells - 1) / cells;
    buf_puts(out, n % cells ? "up to " : "");
    report_put_count(out, each);
    buf_printf(out, " %s%s", noun, each == 1 ? "" : "s");
}

static void put_figure(const finding *f, buf *out) {
    if (f->grid_rows <= 0 || f->grid_cols <= 0 || f->rows <= 0 || f->cols <= 0) return;
    buf_puts(out, "<figure>\n");
    report_put_picture(f, out);
    buf_puts(out, "<figcaption>The output, ");
    report_put_count(out, f->rows);
    buf_puts(out, f->rows == 1 ? " token by " : " tokens by ");
    report_put_count(out, f->cols);
    buf_puts(out, f->cols == 1 ? " column. A cell is " : " columns. A cell is ");
    put_cell_size(out, "token", f->rows, f->grid_rows);
    buf_puts(out, " and ");
    put_cell_size(out, "column", f->cols, f->grid_cols);
    buf_puts(out, "; its colour shows the largest error in it.</figcaption>\n</figure>\n");
}

static void put_finding(const finding *f, size_t number, buf *out) {
    buf_printf(out, "<section class=\"card finding\">\n<h3>%zu. ", number);
    report_put_escaped(out, f->kernel[0] ? f->kernel : "no kernel can be named");
    buf_printf(out, ": <span class=\"bad\">%s</span></h3>\n<dl>\n", finding_kind_name(f->kind));
    put_fact(out, "what", f->what, false);
    put_fact(out, "pattern", f->pattern, false);
    if (f->n_checked > 0) put_worst(f, out);
    put_fact(out, "found by", verify_level_name(f->level), false);
    put_fact(out, "step", f->step, true);
    if (f->step[0] && f->layer >= 0) buf_printf(out, "<dt>layer</dt><dd>%d</dd>\n", f->layer);
    put_fact(out, f->step[0] ? "call" : "case", f->where, true);
    buf_puts(out, "</dl>\n");
    put_figure(f, out);
    buf_puts(out, "</section>\n");
}

static void put_findings(const report *r, buf *out) {
    if (r->n_findings == 0) return;
    buf_puts(out, "<h2>What is wrong</h2>\n");
    for (size_t i = 0; i < r->n_findings; i++) {
        if (r->findings[i].grid_rows <= 0) continue;
        report_put_picture_legend(out);
        break;
    }
    for (size_t i = 0; i < r->n_findings; i++) put_finding(&r->findings[i], i + 1, out);
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

static void put_of(buf *out, const char *name, int64_t n, int64_t all, const char *what) {
    buf_printf(out, "<dt>%s</dt><dd>", name);
    report_put_count(out, n);
    buf_puts(out, " of ");
    report_put_count(out, all);
    buf_printf(out, " %s</dd>\n", what);
}

static void put_answers(const report *r, buf *out) {
    if (r->n_answers) buf_puts(out, "<h2>Answers</h2>\n");
    for (size_t i = 0; i < r->n_answers; i++) {
        const report_answer *a = &r->answers[i];
        buf_printf(out, "<section class=\"card\">\n<h3 class=\"%s\">%s</h3>\n<dl>\n", a->ok ? "good" : "bad",
                   a->ok ? "ok" : "differs");
        put_fact(out, "prompt", a->prompt, false);
        put_fact(out, "on the device", a->device, false);
        put_fact(out, "by the reference", a->reference, false);
        put_of(out, "the same from the start", a->n_same, a->n_tokens, "tokens");
        put_of(out, "same most likely token", a->n_top1, a->n_tokens, "positions");
        buf_printf(out, "<dt>KL divergence</dt><dd>%.2g nats on average, %.2g at most</dd>\n", a->mean_kl, a->max_kl);
        buf_printf(out, "<dt>logits off by</dt><dd>%.2g of their spread at most</dd>\n</dl>\n</section>\n",
                   a->worst_logit);
    }
}

/* ---- Kernels ----------------------------------------------------------------------------------------------------- */

static void put_row(const report *r, const report_row *row, buf *out) {
    const report_verdict v = report_row_verdict(r, row);
    const int64_t cases = report_row_cases(row);
    buf_puts(out, "<tr><td class=\"name\">");
    report_put_escaped(out, row->name);
    if (row->used) buf_puts(out, " <span class=\"good\" title=\"this model uses it\">&#9679;</span>");
    buf_puts(out, "</td><td class=\"n\">");
    report_put_count(out, cases);
    buf_puts(out, "</td><td class=\"n\">");
    if (cases) report_put_share(out, report_row_worst(row));
    buf_puts(out, "</td><td class=\"n\">");
    if (cases) report_put_seconds(out, row->seconds);
    buf_printf(out, "</td><td class=\"%s\">%s%s",
               v == VERDICT_OK       ? "good"
               : v == VERDICT_FAILED ? "bad"
                                     : "",
               report_verdict_name(v), row->aside ? ", set aside by the user" : "");
    if (row->instead[0])
        buf_puts(out, "; instead: <code>"), report_put_escaped(out, row->instead), buf_puts(out, "</code>");
    if (row->instead[0] && row->slowdown > 0) buf_printf(out, ", taking %.1f times as long", row->slowdown);
    buf_puts(out, "</td></tr>\n");
}

static void put_rows(const report *r, buf *out) {
    enum { FEW = 40 };
    if (r->n_rows == 0) return;
    buf_printf(out, "<h2>Kernels</h2>\n<details class=\"card\"%s><summary>", r->n_rows <= FEW ? " open" : "");
    report_put_count(out, (int64_t)r->n_rows);
    buf_puts(out, r->n_rows == 1 ? " kernel" : " kernels");
    buf_puts(out, r->model[0] ? " (&#9679; used by this model)" : "");
    buf_puts(out,
             "; worst: the largest error, as a share of what is allowed</summary>\n<table>\n<tr><th>kernel</th>"
             "<th class=\"n\">cases</th><th class=\"n\">worst</th><th class=\"n\">time</th><th>verdict</th></tr>\n");
    for (size_t i = 0; i < r->n_rows; i++) put_row(r, &r->rows[i], out);
    buf_puts(out, "</table>\n</details>\n");
}

/* ---- The page ---------------------------------------------------------------------------------------------------- */

static void put_report(const report *r, buf *out) {
    buf verdict = {0};
    int64_t n_cases = 0;
    for (size_t i = 0; i < r->n_rows; i++) n_cases += report_row_cases(&r->rows[i]);
    report_put_verdict(r, &verdict);
    if (verdict.failed) out->failed = true;
    buf_printf(out, "<p class=\"verdict %s\">", !report_ok(r) ? "bad" : n_cases ? "good" : "unknown");
    report_put_escaped(out, verdict.failed ? "" : verdict.data);
    buf_puts(out, "</p>\n");
    buf_free(&verdict);
    if (r->impossible[0]) {
        buf_puts(out, "<p class=\"bad\">");
        report_put_escaped(out, r->impossible);
        buf_puts(out, "</p>\n");
    }
    put_facts(r, out);
    put_levels(r, out);
    put_findings(r, out);
    put_answers(r, out);
    put_rows(r, out);
}

void report_put_html(const report *reports, size_t n, buf *out) {
    buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                  "<title>nibble verify</title>\n<style>\n");
    buf_puts(out, style);
    report_put_picture_style(out);
    buf_puts(out, "</style>\n</head>\n<body>\n");
    report_put_picture_defs(out);
    buf_puts(out, "<main>\n<h1>nibble verify</h1>\n");
    for (size_t i = 0; i < n; i++) put_report(&reports[i], out);
    buf_puts(out, "</main>\n</body>\n</html>\n");
}
