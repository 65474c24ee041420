/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of what is found, and of the levels that find it. */
#include "verify/finding.h"

const char *finding_kind_name(finding_kind kind) {
    static const char *const names[FOUND_KINDS] = {
        [FOUND_NOTHING] = "nothing wrong",
        [FOUND_WRONG_VALUE] = "wrong value",
        [FOUND_UNWRITTEN] = "element never written",
        [FOUND_WROTE_OUTSIDE] = "write outside its output",
        [FOUND_READ_OUTSIDE] = "read outside its operands",
        [FOUND_UNSTABLE] = "unstable",
        [FOUND_SPLIT] = "depends on how tasks are spread",
        [FOUND_BATCH] = "depends on the batch",
        [FOUND_INACCURATE] = "inaccurate",
        [FOUND_PACKING] = "wrong packing",
        [FOUND_NOT_REACHED] = "not reached",
        [FOUND_CRASHED] = "crashed",
        [FOUND_HUNG] = "hung",
    };
    return kind >= 0 && kind < FOUND_KINDS ? names[kind] : "?";
}

const char *verify_level_name(verify_level level) {
    static const char *const names[VERIFY_LEVELS] = {
        [VERIFY_KERNELS] = "kernels", [VERIFY_PATHS] = "paths", [VERIFY_PLAN] = "plan", [VERIFY_ANSWER] = "answer"};
    return level >= 0 && level < VERIFY_LEVELS ? names[level] : "?";
}
