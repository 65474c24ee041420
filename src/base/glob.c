/* SPDX-License-Identifier: Apache-2.0 */
#include "base/glob.h"

/* On a mismatch only the last star needs another try. */
bool glob_matches(const char *pattern, size_t length, const char *text) {
    size_t p = 0, star = (size_t)-1;
    const char *t = text, *retry = NULL;
    while (*t) {
        if (p < length && pattern[p] == '*') {
            star = p++;
            retry = t;
        } else if (p < length && pattern[p] == *t) {
            p++, t++;
        } else if (retry) {
            p = star + 1;
            t = ++retry;
        } else {
            return false;
        }
    }
    while (p < length && pattern[p] == '*') p++;
    return p == length;
}
