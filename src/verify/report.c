/* SPDX-License-Identifier: Apache-2.0
 *
 * What the three forms of a report share: verdicts, the last line, numbers and texts for people. */
#include "verify/report_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void report_free(report *r) {
    free(r->rows);
    free(r->findings);
    free(r->answers);
    *r = (report){0};
}

bool report_ok(const report *r) {
    bool ok = r->n_findings == 0 && !r->impossible[0];
    for (size_t i = 0; i < r->n_rows; i++) ok = ok && r->rows[i].n_findings == 0;
    for (size_t i = 0; i < r->n_answers; i++) ok = ok && r->answers[i].ok;
    return ok;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

int64_t report_row_cases(const report_row *row) {
    int64_t n = 0;
    for (int level = 0; level < VERIFY_LEVELS; level++) n += row->cases[level];
    return n;
}

double report_row_worst(const report_row *row) {
    double worst = 0;
    for (int level = 0; level < VERIFY_LEVELS; level++) {
        if (isnan(row->worst[level])) return row->worst[level];
        worst = fmax(worst, row->worst[level]);
    }
    return worst;
}

report_verdict report_row_verdict(const report *r, const report_row *row) {
    int n_other = row->n_findings;
    for (size_t i = 0; i < r->n_findings; i++)
        n_other -= r->findings[i].kind == FOUND_NOT_REACHED && strcmp(r->findings[i].kernel, row->name) == 0;
    if (n_other > 0) return VERDICT_FAILED;
    return report_row_cases(row) == 0 ? VERDICT_NOT_REACHED : VERDICT_OK;
}

const char *report_verdict_name(report_verdict verdict) {
    static const char *const names[] = {
        [VERDICT_OK] = "ok", [VERDICT_FAILED] = "failed", [VERDICT_NOT_REACHED] = "not reached"};
    return names[verdict];
}

const char *report_level_unit(verify_level level) {
    static const char *const units[VERIFY_LEVELS] = {[VERIFY_KERNELS] = "cases",
                                                     [VERIFY_PATHS] = "pairs of kernel and matrix",
                                                     [VERIFY_PLAN] = "steps",
                                                     [VERIFY_ANSWER] = "positions"};
    return units[level];
}

/* ---- Numbers and texts ----------------------------------------------------------------------------------------- */

void report_put_count(buf *out, int64_t n) {
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
    if (n < 0) buf_putc(out, '-');
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) buf_putc(out, ',');
        buf_putc(out, digits[i]);
    }
}

static bool put_not_finite(buf *out, double v) {
    if (isfinite(v)) return false;
    buf_puts(out, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
    return true;
}

void report_put_value(buf *out, double v) {
    if (!put_not_finite(out, v)) buf_printf(out, "%.9g", v);
}

void report_put_share(buf *out, double share) {
    if (put_not_finite(out, share)) return;
    if (share >= 1e7)
        buf_printf(out, "%.1e", share);
    else if (share >= 9.995)
        report_put_count(out, (int64_t)round(share));
    else if (share > 1 && share < 1.005)
        buf_puts(out, "1.01"); /* more than allowed must not read like as much as allowed */
    else
        buf_printf(out, "%.2f", share);
}

void report_put_seconds(buf *out, double seconds) {
    if (put_not_finite(out, seconds)) return;
    buf_printf(out, seconds < 0.1 ? "%.3f s" : "%.1f s", seconds);
}

static void put_characters(buf *out, const char *text, bool write_controls_out) {
    for (size_t n = strlen(text); n > 0;) {
        uint32_t cp = 0;
        int length = utf8_decode(text, n, &cp);
        if (length == 0)
            buf_puts(out, "\xef\xbf\xbd");
        else if (!write_controls_out)
            buf_put(out, text, (size_t)length);
        else if (cp == '\n' || cp == '\t' || cp == '\r')
            buf_printf(out, "\\%c", cp == '\n' ? 'n' : cp == '\t' ? 't' : 'r');
        else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
            buf_printf(out, "\\x%02x", (unsigned)cp);
        else
            buf_put(out, text, (size_t)length);
        length = length ? length : 1;
        text += length;
        n -= (size_t)length;
    }
}

void report_put_clean(buf *out, const char *text) {
    put_characters(out, text, true);
}

void report_put_valid(buf *out, const char *text) {
    put_characters(out, text, false);
}

/* ---- The last line --------------------------------------------------------------------------------------------- */

void report_put_device(const report *r, buf *out) {
    char place[32];
    report_put_clean(out, r->device.name[0]   ? r->device.name
                          : r->device.backend ? device_text(&r->device, place)
                                              : "an unknown device");
}

typedef struct tally {
    int64_t ok, failed, unchecked;
} tally;

/* Whether the last line is about this row: the model uses it, or there is no model; or something is wrong with it. One
 * that was set aside and not checked is nobody's concern. */
static bool concerns(const report *r, const report_row *row) {
    if (row->n_findings > 0) return true;
    if (row->aside && report_row_cases(row) == 0) return false;
    return row->used || !r->model[0];
}

static tally count_rows(const report *r) {
    tally t = {0};
    for (size_t i = 0; i < r->n_rows; i++) {
        const report_row *row = &r->rows[i];
        if (!concerns(r, row)) continue;
        if (row->n_findings > 0)
            t.failed++;
        else if (report_row_verdict(r, row) == VERDICT_OK)
            t.ok++;
        else
            t.unchecked++;
    }
    return t;
}

/* What becomes of a row that does not agree, in parentheses. */
static void put_consequence(const report *r, const report_row *row, buf *out) {
    if (report_row_verdict(r, row) == VERDICT_NOT_REACHED) {
        buf_puts(out, " (no case reached it)");
    } else if (row->instead[0]) {
        buf_puts(out, " (nibble uses ");
        report_put_clean(out, row->instead);
        buf_puts(out, " instead");
        if (row->slowdown >= 1.05) buf_printf(out, ", %.1f times slower", row->slowdown);
        if (row->slowdown > 0 && row->slowdown < 0.95) buf_printf(out, ", %.1f times faster", 1 / row->slowdown);
        if (row->slowdown >= 0.95 && row->slowdown < 1.05) buf_puts(out, ", as fast");
        buf_putc(out, ')');
    } else if (r->impossible[0] && row->used) {
        buf_puts(out, " (nothing is left: the model cannot run here)");
    } else if (r->model[0] && !row->used) {
        buf_puts(out, " (this model does not use it)");
    }
}

static void put_failed(const report *r, int64_t n, buf *out) {
    report_put_count(out, n);
    buf_puts(out, n == 1 ? " kernel does not agree with its definition on "
                         : " kernels do not agree with their definitions on ");
    report_put_device(r, out);
    const char *before = ": ";
    for (size_t i = 0; i < r->n_rows; i++) {
        if (r->rows[i].n_findings == 0) continue;
        buf_puts(out, before);
        report_put_clean(out, r->rows[i].name);
        put_consequence(r, &r->rows[i], out);
        before = ", ";
    }
}

/* No kernel can be named, and yet something is wrong: what. */
static void put_unnamed(const report *r, buf *out) {
    int64_t n_answers = 0;
    for (size_t i = 0; i < r->n_answers; i++) n_answers += !r->answers[i].ok;
    if (r->impossible[0] && !n_answers && !r->n_findings) { /* kernels were set aside by name */
        buf_puts(out, "This model cannot run on ");
        report_put_device(r, out);
        buf_puts(out, ": no kernel is left for one of its steps.");
        return;
    }
    buf_puts(out, "Something is wrong on ");
    report_put_device(r, out);
    buf_puts(out, ", but no kernel could be found to be the cause");
    if (r->n_findings) buf_puts(out, r->n_findings == 1 ? ", 1 finding" : ", ");
    if (r->n_findings > 1) report_put_count(out, (int64_t)r->n_findings), buf_puts(out, " findings");
    if (n_answers) buf_puts(out, n_answers == 1 ? ", 1 answer differs" : ", ");
    if (n_answers > 1) report_put_count(out, n_answers), buf_puts(out, " answers differ");
    if (r->impossible[0]) buf_puts(out, ", the model cannot run here");
    buf_putc(out, '.');
}

/* Some kernels agree and nothing is known of the others. */
static void put_partly(const report *r, const tally *t, buf *out) {
    report_put_count(out, t->ok);
    buf_puts(out, " of ");
    report_put_count(out, t->ok + t->unchecked);
    buf_puts(out, r->model[0] ? " kernels that this model uses agree with their definitions on "
                              : " kernels agree with their definitions on ");
    report_put_device(r, out);
    buf_puts(out, "; ");
    report_put_count(out, t->unchecked);
    buf_puts(out, t->unchecked == 1 ? " was not checked." : " were not checked.");
}

void report_put_verdict(const report *r, buf *out) {
    const tally t = count_rows(r);
    if (t.failed) {
        put_failed(r, t.failed, out);
    } else if (!report_ok(r)) {
        put_unnamed(r, out);
    } else if (t.ok == 0) {
        /* Rows that answers were made with are known to be right together, not one by one. */
        buf_puts(out, r->n_answers ? "The answers agree with the definitions on " : "No kernel was checked on ");
        report_put_device(r, out);
        buf_putc(out, '.');
    } else if (t.unchecked) {
        put_partly(r, &t, out);
    } else {
        buf_puts(out, "All ");
        report_put_count(out, t.ok);
        buf_puts(out, r->model[0] ? " kernels that this model uses agree with their definitions on " : " kernels of ");
        report_put_device(r, out);
        buf_puts(out, r->model[0] ? "." : " agree with their definitions.");
    }
}
