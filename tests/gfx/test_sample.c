/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens drawn by the machine code that ships for AMD GPUs. */
#include <stdio.h>
#include <stdlib.h>

#include "gfx/device.h"
#include "gfx/gfx.h"
#include "gpu/sample_draws.h"

int main(void) {
    if (getenv("NB_GFX_ARCH")) gfx_device_arch(getenv("NB_GFX_ARCH"));
    gfx_device_folder(getenv("NB_GFX_CODE"));
    gfx_count(getenv("NB_GFX_COUNTS") != NULL);
    const int failed = sample_draws(&gfx_device);
    const char *name;
    uint64_t n;
    for (size_t i = 0; gfx_counted(i, &name, &n); i++) printf("%14llu  %s\n", (unsigned long long)n, name);
    gfx_device_free_modules();
    return failed;
}
