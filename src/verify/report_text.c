/* SPDX-License-Identifier: Apache-2.0
 *
 * A report as plain text for a terminal: what was checked, a table of kernels, what was found, and the last line. */
#include "verify/report_impl.h"

#include <inttypes.h>
#include <string.h>

#include "base/num.h"
#include "base/utf8.h"

enum { MIN_COLUMNS = 80, FIGURES = 41, LABEL = 11 }; /* widths; FIGURES: of the table without names */

/* Width of the text in characters. */
static int width_of(const char *text, size_t n) {
    int width = 0;
    for (size_t i = 0; i < n; i++) width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

static void put_spaces(buf *out, int n) {
    for (int i = 0; i < n; i++) buf_putc(out, ' ');
}

/* Text (clean) broken at spaces into lines of at most `columns` characters, of which the first starts at column `at`
 * and the others are indented. A word that is longer than a line is left whole, so that it can be copied. */
static void put_wrapped(buf *out, const char *text, int at, int indent, int columns) {
    bool at_begin = true;
    while (*text) {
        const size_t n = strcspn(text, " ");
        const int width = width_of(text, n);
        if (!at_begin && at + 1 + width > columns) {
            buf_putc(out, '\n');
            put_spaces(out, indent);
            at = indent;
        } else if (!at_begin) {
            buf_putc(out, ' ');
            at++;
        }
        buf_put(out, text, n);
        at += width;
        at_begin = false;
        text += n + (text[n] == ' ');
    }
    buf_putc(out, '\n');
}

static void put_label(buf *out, int indent, const char *label) {
    put_spaces(out, indent);
    buf_printf(out, "%-*s", LABEL, label);
}

/* "  what       a text, wrapped". Nothing where the text is empty. Takes the text out of `text`. */
static void put_field(buf *out, int indent, const char *label, buf *text, int columns) {
    if (text->failed) out->failed = true;
    if (text->len > 0 && !text->failed) {
        put_label(out, indent, label);
        put_wrapped(out, text->data, indent + LABEL, indent + LABEL, columns);
    }
    buf_clear(text);
}

/* ---- Header ---------------------------------------------------------------------------------------------------- */

static void put_header(const report *r, int columns, buf *text, buf *out) {
    char place[32];
    buf_puts(text, "nibble ");
    report_put_clean(text, r->version);
    buf_printf(text, " verify%s, seed %" PRIu64, r->quick ? " (quick)" : "", r->seed);
    if (r->date[0]) buf_puts(text, ", "), report_put_clean(text, r->date);
    if (text->failed) out->failed = true;
    if (!text->failed) put_wrapped(out, text->data, 0, LABEL, columns);
    buf_clear(text);
    if (r->device.backend) buf_printf(text, "%s ", device_text(&r->device, place));
    report_put_clean(text, r->device.name);
    put_field(out, 0, "device", text, columns);
    report_put_clean(text, r->device.features);
    put_field(out, 0, "features", text, columns);
    report_put_clean(text, r->device.driver);
    put_field(out, 0, "driver", text, columns);
    report_put_clean(text, r->device.compiler);
    put_field(out, 0, "compiler", text, columns);
    buf_printf(text, "%016" PRIx64, r->device.code_hash);
    put_field(out, 0, "code hash", text, columns);
    report_put_clean(text, r->model);
    if (r->model[0] && r->model_type[0]) buf_puts(text, ", "), report_put_clean(text, r->model_type);
    if (r->model[0] && r->quantization[0]) buf_puts(text, ", "), report_put_clean(text, r->quantization);
    put_field(out, 0, "model", text, columns);
    buf_putc(out, '\n');
}

static void put_levels(const report *r, buf *text, buf *out) {
    for (int level = 0; level < VERIFY_LEVELS; level++) {
        const report_level *l = &r->levels[level];
        put_label(out, 0, verify_level_name((verify_level)level));
        if (!l->ran) {
            buf_puts(out, "not run\n");
            continue;
        }
        report_put_count(text, l->cases);
        if (!text->failed) buf_printf(out, "%12s %-28s", text->data, report_level_unit((verify_level)level));
        if (text->failed) out->failed = true;
        buf_clear(text);
        report_put_seconds(text, l->seconds);
        if (!text->failed) buf_printf(out, "%10s\n", text->data);
        if (text->failed) out->failed = true;
        buf_clear(text);
    }
}

/* ---- Table ----------------------------------------------------------------------------------------------------- */

/* One line of the table: a name, two numbers and a verdict. A name that is too long has a line of its own. */
static void put_line(buf *out, int name_width, const char *name, const char *count, const char *worst,
                     const char *verdict) {
    const int width = width_of(name, strlen(name));
    buf_puts(out, name);
    if (width > name_width) buf_putc(out, '\n');
    put_spaces(out, width > name_width ? name_width : name_width - width);
    buf_printf(out, "  %10s %10s  %s\n", count, worst, verdict);
}

static void put_figures(buf *out, int name_width, const char *name, int64_t cases, double worst, const char *verdict) {
    buf count = {0}, share = {0};
    report_put_count(&count, cases);
    if (cases > 0) report_put_share(&share, worst);
    if (count.failed || share.failed)
        out->failed = true;
    else
        put_line(out, name_width, name, count.data, cases > 0 ? share.data : "-", verdict);
    buf_free(&count);
    buf_free(&share);
}

/* Whether a row has a line of its own. */
static bool is_listed(const report *r, const report_row *row) {
    return row->n_findings > 0 || (r->model[0] && row->used);
}

static void put_rows(const report *r, int columns, buf *out) {
    int n = 0, name_width = 6;
    for (size_t i = 0; i < r->n_rows; i++) {
        if (!is_listed(r, &r->rows[i])) continue;
        const int width = width_of(r->rows[i].name, strlen(r->rows[i].name));
        if (width > name_width && width <= columns - FIGURES) name_width = width;
        n++;
    }
    if (n == 0) return;
    buf_putc(out, '\n');
    put_line(out, name_width, "kernel", "cases", "worst*", "verdict");
    for (size_t i = 0; i < r->n_rows; i++) {
        const report_row *row = &r->rows[i];
        if (!is_listed(r, row)) continue;
        const report_verdict v = report_row_verdict(r, row);
        const char *verdict = report_verdict_name(v);
        if (row->aside && v == VERDICT_OK) verdict = "ok, set aside";
        if (row->aside && v == VERDICT_NOT_REACHED && row->n_findings == 0) verdict = "set aside";
        put_figures(out, name_width, row->name, report_row_cases(row), report_row_worst(row), verdict);
    }
}

/* One line for all rows of an operation. */
static void put_operation(const report *r, kop op, buf *text, buf *out) {
    int64_t n = 0, n_failed = 0, n_unchecked = 0, cases = 0;
    double worst = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        const report_row *row = &r->rows[i];
        if (row->op != op) continue;
        const report_verdict v = report_row_verdict(r, row);
        const double row_worst = report_row_worst(row);
        n++;
        n_failed += v == VERDICT_FAILED;
        n_unchecked += v == VERDICT_NOT_REACHED;
        cases += report_row_cases(row);
        if (!(row_worst <= worst)) worst = row_worst;
    }
    if (n == 0) return;
    if (n_failed) buf_printf(text, "%" PRId64 " failed", n_failed);
    if (n_unchecked) buf_printf(text, "%s%" PRId64 " not reached", n_failed ? ", " : "", n_unchecked);
    if (!n_failed && !n_unchecked) buf_puts(text, "ok");
    buf_printf(out, "%-16s %8" PRId64, kop_name(op), n);
    if (text->failed) out->failed = true;
    if (!text->failed) put_figures(out, 0, "", cases, worst, text->data);
    buf_clear(text);
}

static void put_operations(const report *r, buf *text, buf *out) {
    if (r->n_rows == 0) return;
    buf_printf(out, "\n%-16s %8s", "operation", "kernels");
    put_line(out, 0, "", "cases", "worst*", "verdict");
    for (int op = 0; op < KOP_COUNT; op++) put_operation(r, (kop)op, text, out);
}

/* ---- Findings and answers -------------------------------------------------------------------------------------- */

static void put_numbers(const finding *f, buf *text) {
    buf_puts(text, "token ");
    report_put_count(text, f->row);
    buf_puts(text, ", column ");
    report_put_count(text, f->col);
    buf_puts(text, ": got ");
    report_put_value(text, f->got);
    buf_puts(text, ", expected ");
    report_put_value(text, f->expected);
    buf_puts(text, ", which may be off by ");
    report_put_value(text, f->bound);
}

static void put_finding(const finding *f, size_t number, int columns, buf *text, buf *out) {
    buf_printf(text, "%zu. ", number);
    report_put_clean(text, f->kernel[0] ? f->kernel : "no kernel can be named");
    buf_printf(text, ": %s", finding_kind_name(f->kind));
    if (text->failed) out->failed = true;
    buf_putc(out, '\n');
    if (!text->failed) put_wrapped(out, text->data, 0, 3, columns);
    buf_clear(text);
    buf_printf(text, "the level %s", verify_level_name(f->level));
    put_field(out, 3, "found by", text, columns);
    report_put_clean(text, f->step);
    if (f->step[0] && f->layer >= 0) buf_printf(text, ", layer %d", f->layer);
    put_field(out, 3, "step", text, columns);
    report_put_clean(text, f->where);
    put_field(out, 3, f->step[0] ? "call" : "case", text, columns);
    report_put_clean(text, f->what);
    put_field(out, 3, "what", text, columns);
    report_put_clean(text, f->pattern);
    put_field(out, 3, "pattern", text, columns);
    if (f->n_checked > 0) {
        report_put_count(text, f->n_wrong);
        buf_puts(text, " of ");
        report_put_count(text, f->n_checked);
        buf_puts(text, " elements");
        put_field(out, 3, "wrong", text, columns);
        if (f->n_wrong > 0) put_numbers(f, text);
        put_field(out, 3, "worst", text, columns);
    }
}

static void put_answer(const report_answer *a, int columns, buf *text, buf *out) {
    buf_puts(out, a->ok ? "\nanswer: ok\n" : "\nanswer: differs\n");
    const char *const labels[] = {"prompt", "device", "reference"};
    const char *const texts[] = {a->prompt, a->device, a->reference};
    for (int i = 0; i < 3; i++) {
        buf_putc(text, '"');
        report_put_clean(text, texts[i]);
        buf_putc(text, '"');
        put_field(out, 3, labels[i], text, columns);
    }
    report_put_count(text, a->n_same);
    buf_puts(text, " of ");
    report_put_count(text, a->n_tokens);
    buf_puts(text, " tokens agree; the most likely token is the same at ");
    report_put_count(text, a->n_top1);
    buf_puts(text, " of ");
    report_put_count(text, a->n_tokens);
    put_field(out, 3, "tokens", text, columns);
    buf_printf(text, "KL divergence %.2g nats on average, %.2g at most; ", a->mean_kl, a->max_kl);
    buf_printf(text, "off by %.2g of their spread at most", a->worst_logit);
    put_field(out, 3, "logits", text, columns);
}

void report_put_text(const report *r, int columns, buf *out) {
    columns = columns < MIN_COLUMNS ? MIN_COLUMNS : columns;
    buf text = {0};
    put_header(r, columns, &text, out);
    put_levels(r, &text, out);
    if (!r->model[0]) put_operations(r, &text, out);
    put_rows(r, columns, out);
    if (r->n_rows) buf_puts(out, "* the largest error, as a share of what is allowed\n");
    for (size_t i = 0; i < r->n_findings; i++) put_finding(&r->findings[i], i + 1, columns, &text, out);
    for (size_t i = 0; i < r->n_answers; i++) put_answer(&r->answers[i], columns, &text, out);
    buf_putc(out, '\n');
    report_put_clean(&text, r->impossible);
    if (text.failed) out->failed = true;
    if (text.len) put_wrapped(out, text.data, 0, 0, columns);
    buf_clear(&text);
    report_put_verdict(r, out); /* one line, however long, so that scripts find it */
    buf_putc(out, '\n');
    buf_free(&text);
}
