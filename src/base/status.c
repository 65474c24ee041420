/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include <stdio.h>
#include <string.h>

/* Text from files may hold anything; an error stays one line of printable characters. */
static void make_one_line(char *text) {
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f) *p = ' ';
}

nb_status err_set(nb_error *err, nb_status status, const char *format, ...) {
    if (!err) return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    make_one_line(err->text);
    return status;
}

nb_status err_no_memory(nb_error *err, const char *what, size_t bytes) {
    if (bytes == 0) return err_set(err, NB_ERR_NO_MEMORY, "out of memory for %s", what);
    return err_set(err, NB_ERR_NO_MEMORY, "out of memory for %s: %.1f MB needed", what, (double)bytes / 1e6);
}

nb_status err_prefix(nb_error *err, nb_status status, const char *format, ...) {
    if (!err) return status;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    int room = (int)sizeof err->text - n - 3; /* beside the prefix, ": " and the NUL */
    if (n >= 0 && room > 0) snprintf(err->text + n, sizeof err->text - (size_t)n, ": %.*s", room, old);
    make_one_line(err->text);
    return status;
}
