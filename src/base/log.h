/* SPDX-License-Identifier: Apache-2.0
 *
 * The logger: the library's only global state. Silent unless the program installed a callback (nb_log_set). */
#ifndef NB_BASE_LOG_H
#define NB_BASE_LOG_H

#include "base/status.h"

void log_msg(nb_log_level level, const char *format, ...) NB_PRINTF(2, 3);

#endif
