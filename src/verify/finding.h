/* SPDX-License-Identifier: Apache-2.0
 *
 * What is found to be wrong with a kernel: plain data, so that a child process can send it through a pipe. */
#ifndef NB_VERIFY_FINDING_H
#define NB_VERIFY_FINDING_H

#include "kernels/kernel.h"

typedef enum verify_level { VERIFY_KERNELS, VERIFY_PATHS, VERIFY_PLAN, VERIFY_ANSWER, VERIFY_LEVELS } verify_level;

typedef enum finding_kind {
    FOUND_NOTHING,
    FOUND_WRONG_VALUE,
    FOUND_UNWRITTEN,     /* an element of the output that the row left as it was */
    FOUND_WROTE_OUTSIDE, /* of its output: around it, between its rows, in others' pages or states */
    FOUND_READ_OUTSIDE,  /* past the end of an operand */
    FOUND_UNSTABLE,      /* two equal runs, two results */
    FOUND_SPLIT,         /* the result depends on how the tasks are spread */
    FOUND_BATCH,         /* a token's result depends on which others are in the call */
    FOUND_INACCURATE,  /* every element is within its bound, but together they are off by more than rounding explains */
    FOUND_PACKING,     /* the repacked weight: unwritten bytes, too large, depends on the order */
    FOUND_NOT_REACHED, /* no case reached the row */
    FOUND_CRASHED,
    FOUND_HUNG,
    FOUND_KINDS
} finding_kind;

enum { FINDING_GRID = 48 };

typedef struct finding {
    finding_kind kind;
    verify_level level;
    kop op;
    char kernel[96];    /* the row's name; "" where none can be named */
    char what[320];     /* one line: what was seen, of the worst element */
    char where[400];    /* the case (check_spec_text), or the step, its weight and its shape */
    char pattern[160];  /* "every 8th column from 4 on", ...; "" where there is none */
    char step[128];     /* PATHS, PLAN: the plan's step; else "" */
    int layer;          /* of the step; -1: none */
    int64_t rows, cols; /* of the output */
    int64_t n_checked, n_wrong;
    /* The worst element: its place, what stood there, what should, how far off it may be. */
    int64_t row, col;
    double got, expected, bound;
    /* A picture of the output: grid_rows x grid_cols cells (0: there is none), in each the largest error of its
     * elements as a share of what is allowed; negative: nothing of the cell was looked at; infinite: not a number,
     * unwritten. */
    int grid_rows, grid_cols;
    float grid[FINDING_GRID * FINDING_GRID];
} finding;

const char *finding_kind_name(finding_kind kind);  /* "wrong value"; static */
const char *verify_level_name(verify_level level); /* "kernels" */

#endif
