/* SPDX-License-Identifier: Apache-2.0
 *
 * What the three forms of a report share: verdicts, the last line, numbers and texts for people. */
#ifndef NB_VERIFY_REPORT_IMPL_H
#define NB_VERIFY_REPORT_IMPL_H

#include "verify/report.h"

typedef enum report_verdict { VERDICT_OK, VERDICT_FAILED, VERDICT_NOT_REACHED } report_verdict;

/* Of a row: not reached where no case was checked (and nothing else is known against it). */
report_verdict report_row_verdict(const report *r, const report_row *row);
const char *report_verdict_name(report_verdict verdict); /* "ok"; static */
int64_t report_row_cases(const report_row *row);         /* of all levels */
double report_row_worst(const report_row *row);          /* of all levels; what is not a number is larger than any */

/* The last line: whether all agree, or which do not and what is used instead. One line without its end. */
void report_put_verdict(const report *r, buf *out);
/* The device's name; where it has none, "cpu:0". */
void report_put_device(const report *r, buf *out);

/* 1234567 as "1,234,567". */
void report_put_count(buf *out, int64_t n);
/* A value as it was computed: as many digits as a float has; "nan", "inf", "-inf". */
void report_put_value(buf *out, double v);
/* An error as a share of what is allowed: "0.31", "1,234", "5.2e+12", "inf". */
void report_put_share(buf *out, double share);
/* "2.3 s" */
void report_put_seconds(buf *out, double seconds);
/* What a level counts: "cases", "steps", ... */
const char *report_level_unit(verify_level level);

/* Text of others, fit to be shown: valid UTF-8 (what is not becomes U+FFFD), control characters written out as \n,
 * \t or \x1b, so that they can do nothing to a terminal or a page. */
void report_put_clean(buf *out, const char *text);
/* The same with control characters left as they are. */
void report_put_valid(buf *out, const char *text);

/* ---- HTML -------------------------------------------------------------------------------------------------------- */

/* Text of others as HTML: clean, and without anything that HTML gives a meaning. */
void report_put_escaped(buf *out, const char *text);
/* The style of pictures (CSS), what they refer to (once a page), what their colours mean, and the picture of a finding
 * that has a grid: an SVG of the error over the output. */
void report_put_picture_style(buf *out);
void report_put_picture_defs(buf *out);
void report_put_picture_legend(buf *out);
void report_put_picture(const finding *f, buf *out);

#endif
