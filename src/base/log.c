/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdio.h>

static nb_log_fn current_fn;
static void *current_user;
static nb_log_level current_level = NB_LOG_INFO;

void nb_log_set(nb_log_fn fn, void *user, nb_log_level level) {
    current_fn = fn;
    current_user = user;
    current_level = level;
}

void log_msg(nb_log_level level, const char *format, ...) {
    if (!current_fn || level > current_level) return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    current_fn(current_user, level, text);
}
