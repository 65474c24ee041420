/* SPDX-License-Identifier: Apache-2.0
 *
 * The names of what can be found wrong, and of the levels that find it. */
#include "verify/finding.h"

const char *finding_kind_name(finding_kind kind) {
    static const char *const names[FOUND_KINDS] = {
        [FOUND_NOTHING] = "nothing",
        [FOUND_WRONG_VALUE] = "wrong value",
        [FOUND_UNWRITTEN] = "unwritten",
        [FOUND_WROTE_OUTSIDE] = "wrote outside",
        [FOUND_READ_OUTSIDE] = "read outside",
        [FOUND_UNSTABLE] = "unstable",
        [FOUND_SPLIT] = "depends on how tasks are spread",
        [FOUND_BATCH] = "depends on the batch",
        [FOUND_INACCURATE] = "inaccurate",
        [FOUND_PACKING] = "bad packing",
        [FOUND_NOT_REACHED] = "not reached",
        [FOUND_CRASHED] = "crashed",
        [FOUND_HUNG] = "hung",
    };
    return names[kind];
}

const char *verify_level_name(verify_level level) {
    static const char *const names[VERIFY_LEVELS] = {
        [VERIFY_KERNELS] = "kernels", [VERIFY_PATHS] = "paths", [VERIFY_PLAN] = "plan", [VERIFY_ANSWER] = "answer"};
    return names[level];
}
