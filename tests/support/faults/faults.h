/* SPDX-License-Identifier: Apache-2.0
 *
 * Faulty kernels: a test build of the CPU backend in which rows of the registry are wrapped, and a wrapper plants one
 * fault of the kinds that compilers and people make. The linker sends cpu_register here (--wrap); NB_FAULT names the
 * fault, read at registration; without it all rows are the real ones. Never part of what is released. */
#ifndef NB_TESTS_FAULTS_H
#define NB_TESTS_FAULTS_H

#include "kernels/registry.h"
#include "verify/finding.h"

/* Computes the whole call, wrongly. `real` is the right row. */
typedef void fault_run(const krow *real, const kcall *c);
/* Row i of a weight as a faulty kernel sees it: k numbers. */
typedef void fault_weight(const kweight *w, int64_t i, float *row);

/* How much it takes to find it: the check at load does, or `nibble verify --quick`, or only all cases. */
typedef enum fault_depth { AT_LOAD, QUICK, FULL } fault_depth;

typedef struct fault {
    const char *name;
    /* Which rows have it: patterns of names, separated by commas. An operation's scalar row is left as it is, so that
     * there is a right one; where an operation has only one row, that is wrapped, and stands beside it unharmed as
     * NAME.plain with rank -1. */
    const char *rows;
    verify_level level; /* the first one that finds it */
    fault_depth depth;
    unsigned kinds;       /* of findings that are right for it: bits 1 << finding_kind */
    fault_run *run;       /* this, or ... */
    fault_weight *weight; /* ... for products: multiplies by these weights, from the stored codes, scales and biases */
    const char *model;    /* the smallest one that runs such rows: a folder of models/tiny, or "demo" */
    const char *what;     /* for people */
} fault;

/* The list (fault_list.c), ending with a fault without a name. Adding a fault is one line there. */
extern const fault faults[];
/* NULL: none of this name. */
const fault *fault_named(const char *name);

/* Whether a row of a registry is one that a fault was planted in. */
bool fault_is_in(const krow *row);

/* ---- For the faults' own use --------------------------------------------------------------------------------------
 */

/* Runs all tasks of a row on a call, which may be another one than the row was asked for. */
void fault_run_real(const krow *real, const kcall *c);
/* The product of a MATMUL or MATMUL_EXPERTS with weights that `weight` makes up (fault_weights.c). */
void fault_product(const kcall *c, fault_weight *weight);
/* Memory, or the end of the test program. */
void *fault_alloc(size_t bytes);

/* fault_weights.c */
fault_weight fault_duplicated_stores, fault_half_loads, fault_without_biases, fault_scales_as_f16, fault_next_group;
/* fault_calls.c */
fault_run fault_no_last_tile, fault_writes_past_end, fault_reads_past_end, fault_unwritten_element;
fault_run fault_one_in_a_million, fault_single_token, fault_many_tokens, fault_zero_row_is_nan;
fault_run fault_int16_outputs, fault_uint8_tokens, fault_truncates;
fault_run fault_rope_frequency, fault_mask, fault_one_expert_less, fault_crashes, fault_hangs;
/* fault_offsets.c, fault_races.c */
fault_run fault_int32_offsets, fault_jitter, fault_lost_updates;

#endif
