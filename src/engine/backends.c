/* SPDX-License-Identifier: Apache-2.0
 *
 * The backends. Adding one is a line here. */
#include "cpu/cpu.h"
#include "engine/engine.h"

const backend *const engine_backends[] = {&cpu_backend, NULL};
const backend *const engine_host = &cpu_backend;
