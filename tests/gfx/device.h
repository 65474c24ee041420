/* SPDX-License-Identifier: Apache-2.0
 *
 * A device whose launches execute the AMD code objects that ship: the walk over GPU rows with real machine code. */
#ifndef NB_TESTS_GFX_DEVICE_H
#define NB_TESTS_GFX_DEVICE_H

#include "gpu/sim_device.h"

extern const sim_device_kind gfx_device;
/* Whose code objects are executed; "gfx1151" if nothing is said. */
void gfx_device_arch(const char *name);
/* Code objects NAME.ARCH of this folder, instead of those that are built in. */
void gfx_device_folder(const char *path);
void gfx_device_free_modules(void);

#endif
