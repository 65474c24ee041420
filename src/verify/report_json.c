/* SPDX-License-Identifier: Apache-2.0
 *
 * A report as JSON, for machines and bug reports:
 *
 *   nibble (version), date, seed, quick, model, model_type, quantization, ok, impossible, verdict (the last line)
 *   device    {backend, index, name, features, driver, compiler, code_hash (16 hex digits)}
 *   levels    {kernels, paths, plan, answer: {ran, cases, seconds}}
 *   kernels   [{name, operation, rank, used, aside, cases {a number for each level}, worst {the same}, seconds,
 *               n_findings, verdict ("ok", "failed", "not reached"), instead, slowdown}]
 *   findings  [{kind, level, operation, kernel, what, where, pattern, step, layer, rows, cols, n_checked, n_wrong, row,
 *               col, got, expected, bound, grid ([rows of shares]; only where there is a picture)}]
 *   answers   [{prompt, device, reference, n_tokens, n_same, n_top1, mean_kl, max_kl, worst_logit, ok}]
 *
 * What the fields mean is said in report.h and finding.h. Texts that are absent are null, a slowdown that was not
 * measured too; numbers that are not finite are the strings "nan", "inf" and "-inf". */
#include "verify/report_impl.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* cJSON drops what it has no memory for without a word; here it is noticed. */
typedef struct writer {
    buf text; /* to work in */
    bool failed;
} writer;

/* Adds an item to an object under a name, or to an array (name NULL). Returns it, or NULL: failed. */
static cJSON *put(writer *w, cJSON *to, const char *name, cJSON *item) {
    if (to && item && (name ? cJSON_AddItemToObject(to, name, item) : cJSON_AddItemToArray(to, item))) return item;
    cJSON_Delete(item);
    w->failed = true;
    return NULL;
}

static void put_bool(writer *w, cJSON *to, const char *name, bool value) {
    put(w, to, name, cJSON_CreateBool(value));
}

static void put_int(writer *w, cJSON *to, const char *name, int64_t value) {
    char digits[32]; /* a double would not hold all of them */
    snprintf(digits, sizeof digits, "%" PRId64, value);
    put(w, to, name, cJSON_CreateRaw(digits));
}

static void put_num(writer *w, cJSON *to, const char *name, double value) {
    put(w, to, name,
        isfinite(value) ? cJSON_CreateNumber(value)
                        : cJSON_CreateString(isnan(value) ? "nan"
                                             : value < 0  ? "-inf"
                                                          : "inf"));
}

static void put_str(writer *w, cJSON *to, const char *name, const char *text) {
    if (!text || !text[0]) {
        put(w, to, name, cJSON_CreateNull());
        return;
    }
    report_put_valid(&w->text, text);
    put(w, to, name, w->text.failed ? NULL : cJSON_CreateString(w->text.data));
    buf_clear(&w->text);
}

static void put_hash(writer *w, cJSON *to, const char *name, uint64_t hash) {
    char digits[17];
    snprintf(digits, sizeof digits, "%016" PRIx64, hash);
    put(w, to, name, cJSON_CreateString(digits));
}

/* ---- Parts ----------------------------------------------------------------------------------------------------- */

static void put_head(writer *w, cJSON *to, const report *r) {
    char digits[32];
    put_str(w, to, "nibble", r->version);
    put_str(w, to, "date", r->date);
    snprintf(digits, sizeof digits, "%" PRIu64, r->seed);
    put(w, to, "seed", cJSON_CreateRaw(digits));
    put_bool(w, to, "quick", r->quick);
    cJSON *of_device = put(w, to, "device", cJSON_CreateObject());
    put_str(w, of_device, "backend", r->device.backend);
    put_int(w, of_device, "index", r->device.index);
    put_str(w, of_device, "name", r->device.name);
    put_str(w, of_device, "features", r->device.features);
    put_str(w, of_device, "driver", r->device.driver);
    put_str(w, of_device, "compiler", r->device.compiler);
    put_hash(w, of_device, "code_hash", r->device.code_hash);
    put_str(w, to, "model", r->model);
    put_str(w, to, "model_type", r->model_type);
    put_str(w, to, "quantization", r->quantization);
    cJSON *levels = put(w, to, "levels", cJSON_CreateObject());
    for (int i = 0; i < VERIFY_LEVELS; i++) {
        cJSON *level = put(w, levels, verify_level_name((verify_level)i), cJSON_CreateObject());
        put_bool(w, level, "ran", r->levels[i].ran);
        put_int(w, level, "cases", r->levels[i].cases);
        put_num(w, level, "seconds", r->levels[i].seconds);
    }
}

static void put_row(writer *w, cJSON *to, const report *r, const report_row *row) {
    put_str(w, to, "name", row->name);
    put_str(w, to, "operation", kop_name(row->op));
    put_int(w, to, "rank", row->rank);
    put_bool(w, to, "used", row->used);
    put_bool(w, to, "aside", row->aside);
    cJSON *cases = put(w, to, "cases", cJSON_CreateObject()), *worst = put(w, to, "worst", cJSON_CreateObject());
    for (int i = 0; i < VERIFY_LEVELS; i++) {
        put_int(w, cases, verify_level_name((verify_level)i), row->cases[i]);
        put_num(w, worst, verify_level_name((verify_level)i), row->worst[i]);
    }
    put_num(w, to, "seconds", row->seconds);
    put_int(w, to, "n_findings", row->n_findings);
    put_str(w, to, "verdict", report_verdict_name(report_row_verdict(r, row)));
    put_str(w, to, "instead", row->instead);
    if (row->slowdown > 0)
        put_num(w, to, "slowdown", row->slowdown);
    else
        put(w, to, "slowdown", cJSON_CreateNull());
}

/* The picture: rows of shares, four digits each; -1 where nothing was looked at. */
static void put_grid(writer *w, cJSON *to, const finding *f) {
    cJSON *grid = put(w, to, "grid", cJSON_CreateArray());
    for (int i = 0; i < f->grid_rows; i++) {
        cJSON *row = put(w, grid, NULL, cJSON_CreateArray());
        for (int j = 0; j < f->grid_cols; j++) {
            char digits[32];
            const float share = f->grid[i * f->grid_cols + j];
            snprintf(digits, sizeof digits, "%.4g", share < 0 ? -1 : (double)share);
            put(w, row, NULL,
                isfinite(share) ? cJSON_CreateRaw(digits) : cJSON_CreateString(isnan(share) ? "nan" : "inf"));
        }
    }
}

static void put_finding(writer *w, cJSON *to, const finding *f) {
    put_str(w, to, "kind", finding_kind_name(f->kind));
    put_str(w, to, "level", verify_level_name(f->level));
    put_str(w, to, "operation", kop_name(f->op));
    put_str(w, to, "kernel", f->kernel);
    put_str(w, to, "what", f->what);
    put_str(w, to, "where", f->where);
    put_str(w, to, "pattern", f->pattern);
    put_str(w, to, "step", f->step);
    put_int(w, to, "layer", f->layer);
    const struct {
        const char *name;
        int64_t value;
    } counts[] = {{"rows", f->rows},       {"cols", f->cols}, {"n_checked", f->n_checked},
                  {"n_wrong", f->n_wrong}, {"row", f->row},   {"col", f->col}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) put_int(w, to, counts[i].name, counts[i].value);
    put_num(w, to, "got", f->got);
    put_num(w, to, "expected", f->expected);
    put_num(w, to, "bound", f->bound);
    if (f->grid_rows > 0 && f->grid_cols > 0) put_grid(w, to, f);
}

static void put_answer(writer *w, cJSON *to, const report_answer *a) {
    put_str(w, to, "prompt", a->prompt);
    put_str(w, to, "device", a->device);
    put_str(w, to, "reference", a->reference);
    put_int(w, to, "n_tokens", a->n_tokens);
    put_int(w, to, "n_same", a->n_same);
    put_int(w, to, "n_top1", a->n_top1);
    put_num(w, to, "mean_kl", a->mean_kl);
    put_num(w, to, "max_kl", a->max_kl);
    put_num(w, to, "worst_logit", a->worst_logit);
    put_bool(w, to, "ok", a->ok);
}

static cJSON *make_report(writer *w, const report *r) {
    cJSON *o = cJSON_CreateObject();
    put_head(w, o, r);
    cJSON *rows = put(w, o, "kernels", cJSON_CreateArray());
    for (size_t i = 0; i < r->n_rows; i++) put_row(w, put(w, rows, NULL, cJSON_CreateObject()), r, &r->rows[i]);
    cJSON *findings = put(w, o, "findings", cJSON_CreateArray());
    for (size_t i = 0; i < r->n_findings; i++)
        put_finding(w, put(w, findings, NULL, cJSON_CreateObject()), &r->findings[i]);
    cJSON *answers = put(w, o, "answers", cJSON_CreateArray());
    for (size_t i = 0; i < r->n_answers; i++)
        put_answer(w, put(w, answers, NULL, cJSON_CreateObject()), &r->answers[i]);
    put_bool(w, o, "ok", report_ok(r));
    put_str(w, o, "impossible", r->impossible);
    buf verdict = {0};
    report_put_verdict(r, &verdict);
    if (verdict.failed) w->failed = true;
    put_str(w, o, "verdict", verdict.failed ? "" : verdict.data);
    buf_free(&verdict);
    return o;
}

void report_put_json(const report *reports, size_t n, buf *out) {
    writer w = {0};
    cJSON *root = NULL;
    if (n == 1) {
        root = make_report(&w, reports);
    } else {
        root = cJSON_CreateArray();
        for (size_t i = 0; i < n; i++) put(&w, root, NULL, make_report(&w, &reports[i]));
    }
    char *text = root && !w.failed ? cJSON_Print(root) : NULL;
    if (text) {
        buf_puts(out, text);
        buf_putc(out, '\n');
    } else {
        out->failed = true;
    }
    cJSON_free(text);
    cJSON_Delete(root);
    buf_free(&w.text);
}
