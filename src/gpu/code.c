/* SPDX-License-Identifier: Apache-2.0
 *
 * Device code by module and architecture. kernels.mk compiles it and writes the table; a build without the GPU backend
 * (NB_GPU=OFF) has an empty one. */
#include "gpu/driver.h"

#include <string.h>

#ifndef NB_GPU_CODE
const gpu_code gpu_code_table[] = {{0}};
const char gpu_code_compiler[] = "";
#endif

const gpu_code *gpu_code_at(size_t i) {
    for (size_t j = 0; j < i; j++)
        if (!gpu_code_table[j].module) return NULL;
    return gpu_code_table[i].module ? &gpu_code_table[i] : NULL;
}

const gpu_code *gpu_code_find(const char *module, const char *arch) {
    for (const gpu_code *c = gpu_code_table; c->module; c++)
        if (strcmp(c->module, module) == 0 && strcmp(c->arch, arch) == 0) return c;
    return NULL;
}
