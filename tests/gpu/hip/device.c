/* SPDX-License-Identifier: Apache-2.0
 *
 * What is HIP's own in its simulated driver: a gfx1151 as the bug report's machine has it, and modules of AMD's machine
 * code, which the executor (tests/gfx) runs as it ships. NB_HIP_FAULT makes the code wrong as a compiler once did
 * (fault.h). */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gfx/gfx.h"
#include "gpu/driver/queue.h"
#include "gpu/hip/fault.h"

enum { SHARED_MAX = 64 << 10, VERSION = 70051831 /* ROCm 7.0's */ };
static const char NAME[] = "AMD Radeon 8060S Graphics", ARCH[] = "gfx1151";

/* A driver that was started does not work in children of that process. */
static bool started;
static pid_t process;
static _Thread_local int device; /* the thread's: the first one unless it chooses */

int driver_ready(void) {
    return !started || process != getpid() ? DRIVER_NOT_INITIALIZED : device == 0 ? DRIVER_OK : DRIVER_INVALID_DEVICE;
}

/* ---- The device -------------------------------------------------------------------------------------------------- */

static struct sigaction before;

/* Kernels do not come here: the executor looks at each of their addresses. */
static void faulted(int number, siginfo_t *info, void *context) {
    (void)context;
    if (sim_holds(info->si_addr, 1)) {
        static const char text[] = "simulated GPU: the host followed an address of the device\n";
        fputs(text, stderr);
    }
    sigaction(number, &before, NULL);
}

EXPORT int hipInit(unsigned flags) {
    if (flags) return DRIVER_INVALID_VALUE;
    if (started && process != getpid()) return DRIVER_NOT_INITIALIZED;
    sim_lock();
    if (!started) {
        process = getpid();
        const struct sigaction action = {.sa_sigaction = faulted, .sa_flags = SA_SIGINFO | SA_NODEFER};
        sigaction(SIGSEGV, &action, &before);
        sim_open(false);
    }
    started = true;
    sim_unlock();
    return DRIVER_OK;
}

EXPORT int hipDriverGetVersion(int *out) {
    *out = VERSION;
    return DRIVER_OK;
}

EXPORT int hipGetDeviceCount(int *out) {
    *out = 1;
    return DRIVER_OK;
}

static int the_first(int index) {
    return index == 0 ? DRIVER_OK : DRIVER_INVALID_DEVICE;
}

EXPORT int hipDeviceGet(int *out, int index) {
    *out = 0;
    return the_first(index);
}

EXPORT int hipSetDevice(int index) {
    if (index == 0) device = index;
    return the_first(index);
}

EXPORT int hipDeviceGetName(char *to, int size, int dev) {
    snprintf(to, (size_t)size, "%s", NAME);
    return the_first(dev);
}

/* 40 compute units in pairs, which is how HIP counts where a workgroup may run on both. */
EXPORT int hipDeviceGetAttribute(int *out, int attribute, int dev) {
    enum { INTEGRATED = 16, PROCESSORS = 63, SHARED_PER_BLOCK = 74, WARP = 87 };
    static const struct {
        int attribute, value;
    } table[] = {{INTEGRATED, 1}, {PROCESSORS, 20}, {SHARED_PER_BLOCK, SHARED_MAX}, {WARP, 32}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].attribute == attribute) {
            *out = table[i].value;
            return the_first(dev);
        }
    return sim_wrong(DRIVER_INVALID_VALUE, "hipDeviceGetAttribute: %d is not known here", attribute);
}

EXPORT int hipDeviceTotalMem(size_t *out, int dev) {
    uint64_t free_bytes, total;
    sim_memory(&free_bytes, &total);
    *out = total;
    return the_first(dev);
}

/* Of hipDeviceProp_t only names: where that of the architecture is differs between versions, and so does the size. */
static int write_properties(char *to, size_t arch_at, size_t size, int dev) {
    memset(to, 0, size);
    snprintf(to, 256, "%s", NAME);
    snprintf(to + arch_at, 256, "%s", ARCH);
    return the_first(dev);
}

EXPORT int hipGetDeviceProperties(char *out, int dev) { /* up to ROCm 5 */
    return write_properties(out, 396, 792, dev);
}

EXPORT int hipGetDevicePropertiesR0600(char *out, int dev) {
    return write_properties(out, 1160, 1472, dev);
}

/* ---- Modules, kernels -------------------------------------------------------------------------------------------- */

struct device_module {
    gfx_object *object;
};

typedef struct function {
    const gfx_object *object;
    const gfx_kernel *kernel;
    struct function *next;
} function;
static function *functions; /* all that were asked for; they live as long as the process */

device_module *device_load(const void *image, char error[SIM_ERROR_TEXT]) {
    uint8_t *changed;
    device_module *m = malloc(sizeof *m);
    if (!m || !fault_apply(image, &changed, error)) {
        free(m);
        return NULL;
    }
    m->object = gfx_object_load(changed ? changed : image, 0, error, SIM_ERROR_TEXT);
    free(changed);
    if (m->object) return m;
    free(m);
    return NULL;
}

void device_unload(device_module *m) {
    gfx_object_free(m->object);
    free(m);
}

const void *device_kernel(device_module *m, const char *name) {
    const gfx_kernel *k = gfx_object_kernel(m->object, name);
    function *f = k ? malloc(sizeof *f) : NULL;
    if (!f) return NULL;
    sim_lock();
    *f = (function){m->object, k, functions};
    functions = f;
    sim_unlock();
    return f;
}

size_t device_params_size(const void *kernel) {
    return ((const function *)kernel)->kernel->explicit_size;
}

bool device_allows_shared(const void *kernel, uint32_t bytes) {
    return bytes + ((const function *)kernel)->kernel->lds_bytes <= SHARED_MAX;
}

bool device_run(const sim_item *item, char error[SIM_ERROR_TEXT]) {
    const function *f = item->kernel;
    const gfx_launch l = {.object = f->object,
                          .kernel = f->kernel,
                          .grid = {item->grid[0], item->grid[1], item->grid[2]},
                          .block = {item->block, 1, 1},
                          .dynamic_lds = item->shared,
                          .kernarg = item->params,
                          .kernarg_size = item->params_size};
    return gfx_run(&l, error, SIM_ERROR_TEXT);
}

void device_memory(void *p, size_t bytes, bool there) {
    if (there)
        gfx_memory_add(p, bytes);
    else
        gfx_memory_remove(p);
}
