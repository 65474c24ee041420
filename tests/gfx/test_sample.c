/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens drawn by the machine code that ships for AMD GPUs. */
#include <stdlib.h>

#include "gfx/device.h"
#include "gpu/sample_draws.h"

int main(void) {
    if (getenv("NB_GFX_ARCH")) gfx_device_arch(getenv("NB_GFX_ARCH"));
    gfx_device_folder(getenv("NB_GFX_CODE"));
    const int failed = sample_draws(&gfx_device);
    gfx_device_free_modules();
    return failed;
}
