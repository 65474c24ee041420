/* SPDX-License-Identifier: Apache-2.0 */
#include "support/report_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void *zeroed(size_t n, size_t size) {
    void *p = calloc(n, size);
    assert_non_null(p);
    return p;
}

static void set_head(report *r) {
    *r = (report){.device = {.backend = "cpu",
                             .name = "Test Processor 9000",
                             .features = "AVX2",
                             .driver = "Linux 6.1",
                             .compiler = "gcc 12.2.0",
                             .code_hash = 0x0123456789abcdefu},
                  .version = "0.1.0",
                  .date = "2026-10-01T12:34:56Z",
                  .seed = 42,
                  .levels = {{true, 12345, 2.3}, {true, 412, 1.04}, {true, 271, 0.75}, {0}}};
}

static void set_rows(report *r) {
    static const report_row rows[] = {
        {.name = "matmul.fast",
         .op = KOP_MATMUL,
         .rank = 30,
         .used = true,
         .cases = {2400, 10},
         .worst = {1234567, 0.5},
         .seconds = 1.5,
         .n_findings = 1,
         .instead = "matmul.slow",
         .slowdown = 8.1},
        {.name = "matmul.slow", .op = KOP_MATMUL, .cases = {2400, 10}, .worst = {0.1, 0.5}},
        {.name = "add.used", .op = KOP_ADD, .used = true, .cases = {1000, 0, 1}, .worst = {0.2, 0, 0.25}},
        {.name = "add.unused", .op = KOP_ADD, .cases = {1000}, .worst = {0.3}},
        {.name = "rope.only", .op = KOP_ROPE, .used = true, .cases = {7}, .worst = {INFINITY}, .n_findings = 1},
    };
    r->n_rows = sizeof rows / sizeof rows[0];
    r->rows = zeroed(r->n_rows, sizeof *r->rows);
    for (size_t i = 0; i < r->n_rows; i++) r->rows[i] = rows[i];
}

static void set_findings(report *r) {
    r->n_findings = 2;
    finding *f = r->findings = zeroed(r->n_findings, sizeof *r->findings);
    f[0] = (finding){.kind = FOUND_WRONG_VALUE,
                     .level = VERIFY_PLAN,
                     .op = KOP_MATMUL,
                     .kernel = "matmul.fast",
                     .what = "twice as much",
                     .where = "up_proj 3 x 1536",
                     .pattern = "columns 4 to 7 of every 8",
                     .step = "model.layers.3.mlp.up_proj",
                     .layer = 3,
                     .rows = 3,
                     .cols = 1536,
                     .n_checked = 4608,
                     .n_wrong = 17,
                     .row = 2,
                     .col = 1004,
                     .got = 2.5,
                     .expected = 1.25,
                     .bound = 1e-6,
                     .grid_rows = 3,
                     .grid_cols = FINDING_GRID};
    for (int i = 0; i < 3 * FINDING_GRID; i++) f[0].grid[i] = 0.5f;
    f[0].grid[FINDING_GRID + 1] = -1;
    f[0].grid[FINDING_GRID + 2] = INFINITY;
    f[0].grid[FINDING_GRID + 3] = 1235000;
    f[1] = (finding){.kind = FOUND_CRASHED,
                     .op = KOP_ROPE,
                     .kernel = "rope.only",
                     .what = "ended by signal 11",
                     .where = "rope rows=3 cols=64",
                     .layer = -1,
                     .got = NAN,
                     .expected = -INFINITY};
}

void report_sample(report *r) {
    set_head(r);
    r->quick = true;
    snprintf(r->model, sizeof r->model, "/tmp/model");
    snprintf(r->model_type, sizeof r->model_type, "llama");
    snprintf(r->quantization, sizeof r->quantization, "affine 4 bits");
    snprintf(r->impossible, sizeof r->impossible, "nothing is left for rope");
    set_rows(r);
    set_findings(r);
    r->n_answers = 1;
    r->answers = zeroed(1, sizeof *r->answers);
    r->answers[0] = (report_answer){.prompt = "What is 2+2?",
                                    .device = "2 2 2 2",
                                    .reference = "4",
                                    .n_tokens = 32,
                                    .n_same = 1,
                                    .n_top1 = 3,
                                    .mean_kl = 4.2,
                                    .max_kl = 11.8,
                                    .worst_logit = 1.4};
}

void report_many(report *r, size_t n) {
    static const kop ops[] = {KOP_MATMUL, KOP_ADD, KOP_ROPE};
    set_head(r);
    r->n_rows = n;
    r->rows = zeroed(n, sizeof *r->rows);
    for (size_t i = 0; i < n; i++) {
        const kop op = ops[i % 3];
        r->rows[i] = (report_row){.op = op, .cases = {1000 + (int64_t)i}, .worst = {0.001 * (double)i}};
        snprintf(r->rows[i].name, sizeof r->rows[i].name, "%s.row%zu", kop_name(op), i);
    }
}
