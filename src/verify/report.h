/* SPDX-License-Identifier: Apache-2.0
 *
 * What a verification has found, whole: plain data that the reports are made from. */
#ifndef NB_VERIFY_REPORT_H
#define NB_VERIFY_REPORT_H

#include "base/buf.h"
#include "kernels/device.h"
#include "verify/finding.h"

/* One row of the registry in the report. */
typedef struct report_row {
    char name[96];
    kop op;
    int rank;
    bool used;                    /* the model's plan uses it; without a model: false */
    bool aside;                   /* set aside before the verification began, by the environment */
    int64_t cases[VERIFY_LEVELS]; /* checked on each level */
    double worst[VERIFY_LEVELS];  /* the largest error seen, as a share of what is allowed */
    double seconds;               /* that its checks took */
    int n_findings;               /* 0: it agrees with its definition in all cases */
    char instead[96];             /* what the model uses in its place; "": nothing is left, or nothing needs to be */
    double slowdown;              /* how many times as long that takes; 0: not measured */
} report_row;

/* Of the level `answer`: one prompt. */
typedef struct report_answer {
    char prompt[160], device[256], reference[256]; /* text, perhaps cut short */
    int64_t n_tokens;                              /* of the answer that were compared */
    int64_t n_same;                                /* leading tokens on which both agree */
    int64_t n_top1;                                /* positions with the same most likely token */
    double mean_kl, max_kl;                        /* nats: KL(reference || device) over the positions */
    double worst_logit;                            /* largest difference of logits, as a share of their spread */
    bool ok;
} report_answer;

typedef struct report_level {
    bool ran;
    int64_t cases; /* kernels: cases; paths: kernels x matrices; plan: steps; answer: positions */
    double seconds;
} report_level;

typedef struct report {
    device_info device;
    char version[32]; /* nibble's */
    char model[256];  /* path; "": the whole registry */
    char model_type[64], quantization[96];
    char date[32]; /* ISO 8601, UTC */
    uint64_t seed;
    bool quick;
    report_level levels[VERIFY_LEVELS];
    report_row *rows;
    size_t n_rows;
    finding *findings; /* in the order in which they were found */
    size_t n_findings;
    report_answer *answers;
    size_t n_answers;
    char impossible[512]; /* "": the model can run; else why not: nothing is left for a step */
} report;

void report_free(report *r);
/* Nothing differs. */
bool report_ok(const report *r);

/* For people: a table, then one line: all N kernels agree with their definitions, or which do not and what is used in
 * their place. columns: width of the terminal. */
void report_put_text(const report *r, int columns, buf *out);
/* A JSON object for machines and bug reports; several devices: an array of them. */
void report_put_json(const report *reports, size_t n, buf *out);
/* One HTML page without links to anything: the same, with a picture of the error over the output for each finding. */
void report_put_html(const report *reports, size_t n, buf *out);

#endif
