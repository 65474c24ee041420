/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports for tests, with something in every field. Free with report_free. */
#ifndef NB_TESTS_REPORT_SAMPLE_H
#define NB_TESTS_REPORT_SAMPLE_H

#include "verify/report.h"

/* A model whose matmul is wrong and replaced, and whose rope crashed and has no other kernel; five rows (matmul.fast,
 * matmul.slow, add.used, add.unused, rope.only), two findings, one answer. */
void report_sample(report *r);
/* n rows of three operations, without a model; nothing is wrong. */
void report_many(report *r, size_t n);

#endif
