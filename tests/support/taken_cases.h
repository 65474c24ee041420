/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether the rows that a plan uses take their own cases (verify/used.h): what does not is not checked at load. */
#ifndef NB_TESTS_SUPPORT_TAKEN_CASES_H
#define NB_TESTS_SUPPORT_TAKEN_CASES_H

#include "verify/check.h"
#include "verify/used.h"

static inline void load_case(check *c, check_spec spec) {
    nb_error err;
    spec.pattern = CHECK_NORMAL; /* a case as check_load wants it */
    spec.seed = 1;
    if (check_load(c, &spec, &err)) fail_msg("%s", err.text);
}

/* How many do not, each named with its step and case; may_fail: NULL, or whether a case says nothing. */
static inline int count_not_taken(const used_calls *calls, const plan *p, const char *path,
                                  bool (*may_fail)(const check_spec *)) {
    nb_error err;
    check *c;
    int n = 0;
    if (check_new(&c, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < calls->n; i++) {
        const used_call *call = &calls->items[i];
        char text[400], step[320];
        if (may_fail && may_fail(&call->spec)) continue;
        load_case(c, call->spec);
        if (check_takes(c, call->row)) continue;
        check_spec_text(&call->spec, text, sizeof text);
        plan_step_text(p, call->step, step, sizeof step);
        print_error("%s: %s computes step %d (%s), but does not take its case: %s\n", path, call->row->name, call->step,
                    step, text);
        n++;
    }
    check_free(c);
    return n;
}

#endif
