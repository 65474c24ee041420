/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding races in kernels that were compiled with -fsanitize=thread. */
#ifndef NB_TESTS_GPU_RACES_H
#define NB_TESTS_GPU_RACES_H

#include <stdbool.h>
#include <stddef.h>

/* Before the first launch; false: no memory. */
bool races_begin(void);
/* The thread that is running reads or writes; a race ends the launch. */
void races_access(const void *p, size_t bytes, bool writes, bool atomic);
/* Memory of the device that was given back. */
void races_forget(const void *p, size_t bytes);

#endif
