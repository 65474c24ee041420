/* SPDX-License-Identifier: Apache-2.0
 *
 * What is CUDA's own in its simulated driver: contexts, what the device is, modules of PTX, whose kernels run in the
 * simulation (tests/gpu/sim). */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu/cuda/ptx.h"
#include "gpu/driver/queue.h"

/* A driver that was started does not work in children of that process. */
static struct {
    bool started;
    pid_t process;
    int retained; /* the primary context */
} driver;
static _Thread_local bool has_context;
static int the_context; /* its address is the handle */

static bool is_started(void) {
    return driver.started && driver.process == getpid();
}

int driver_ready(void) {
    if (!is_started()) return DRIVER_NOT_INITIALIZED;
    return has_context && driver.retained ? DRIVER_OK : DRIVER_INVALID_CONTEXT;
}

/* ---- A kernel that reaches outside of its memory ----------------------------------------------------------------- */

static struct sigaction before;

static void faulted(int number, siginfo_t *info, void *context) {
    sim_place at;
    if (sim_here(&at)) sim_fail("thread %u: no memory at %p", at.tid, info->si_addr);
    if (sim_holds(info->si_addr, 1)) {
        static const char text[] = "simulated GPU: the host followed an address of the device\n";
        fputs(text, stderr);
    }
    sigaction(number, &before, NULL); /* and once more, for whoever wanted to know */
    (void)context;
}

/* ---- Devices, contexts ------------------------------------------------------------------------------------------- */

EXPORT int cuInit(unsigned flags) {
    if (flags) return DRIVER_INVALID_VALUE;
    if (driver.started && !is_started()) return DRIVER_NOT_INITIALIZED;
    sim_lock();
    if (!driver.started) {
        driver.process = getpid();
        const struct sigaction action = {.sa_sigaction = faulted, .sa_flags = SA_SIGINFO | SA_NODEFER};
        sigaction(SIGSEGV, &action, &before);
        sim_open(false);
    }
    driver.started = true;
    sim_unlock();
    return DRIVER_OK;
}

EXPORT int cuDriverGetVersion(int *out) {
    *out = 13000;
    return DRIVER_OK;
}

EXPORT int cuDeviceGetCount(int *out) {
    *out = 1;
    return is_started() ? DRIVER_OK : DRIVER_NOT_INITIALIZED;
}

EXPORT int cuDeviceGet(int *out, int index) {
    *out = 0;
    return !is_started() ? DRIVER_NOT_INITIALIZED : index == 0 ? DRIVER_OK : DRIVER_INVALID_DEVICE;
}

EXPORT int cuDeviceGetName(char *to, int size, int dev) {
    snprintf(to, (size_t)size, "simulated GPU");
    return dev == 0 ? DRIVER_OK : DRIVER_INVALID_DEVICE;
}

EXPORT int cuDeviceGetAttribute(int *out, int attribute, int dev) {
    static const struct {
        int attribute, value;
    } table[] = {{10, SIM_WARP}, {16, 4}, {18, 0}, {75, 9}, {76, 0}, {97, SIM_SHARED_MAX}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].attribute == attribute) {
            *out = table[i].value;
            return dev == 0 ? DRIVER_OK : DRIVER_INVALID_DEVICE;
        }
    return DRIVER_INVALID_VALUE;
}

EXPORT int cuDeviceTotalMem_v2(size_t *out, int dev) {
    uint64_t free_bytes, total;
    sim_memory(&free_bytes, &total);
    *out = total;
    return dev == 0 ? DRIVER_OK : DRIVER_INVALID_DEVICE;
}

EXPORT int cuDevicePrimaryCtxRetain(void **out, int dev) {
    if (!is_started()) return DRIVER_NOT_INITIALIZED;
    sim_lock();
    driver.retained++;
    sim_unlock();
    *out = &the_context;
    return dev == 0 ? DRIVER_OK : DRIVER_INVALID_DEVICE;
}

EXPORT int cuDevicePrimaryCtxRelease_v2(int dev) {
    sim_lock();
    const bool ok = dev == 0 && driver.retained > 0;
    if (ok) driver.retained--;
    sim_unlock();
    return ok ? DRIVER_OK : DRIVER_INVALID_CONTEXT;
}

EXPORT int cuCtxSetCurrent(void *context) {
    if (context && context != &the_context) return DRIVER_INVALID_CONTEXT;
    has_context = context != NULL;
    return DRIVER_OK;
}

/* ---- Modules, kernels -------------------------------------------------------------------------------------------- */

typedef struct function {
    const sim_kernel *kernel;
    uint32_t shared_max;
    bool waits; /* for the launch in front */
} function;

struct device_module {
    ptx_module ptx;
    function functions[PTX_MOST_KERNELS];
};

device_module *device_load(const void *image, char error[SIM_ERROR_TEXT]) {
    device_module *m = calloc(1, sizeof *m);
    if (!m) {
        snprintf(error, SIM_ERROR_TEXT, "no memory for a module");
        return NULL;
    }
    if (ptx_read(image, &m->ptx, error)) return m;
    free(m);
    return NULL;
}

void device_unload(device_module *m) {
    free(m);
}

const void *device_kernel(device_module *m, const char *name) {
    for (int i = 0; i < m->ptx.n; i++) {
        if (strcmp(m->ptx.kernels[i]->name, name) != 0) continue;
        m->functions[i].kernel = m->ptx.kernels[i];
        m->functions[i].waits = m->ptx.waits[i];
        return &m->functions[i];
    }
    return NULL;
}

EXPORT int cuFuncSetAttribute(void *handle, int attribute, int value) {
    enum { MAX_DYNAMIC_SHARED = 8 };
    if (attribute != MAX_DYNAMIC_SHARED || value < 0 || value > SIM_SHARED_MAX) return DRIVER_INVALID_VALUE;
    ((function *)handle)->shared_max = (uint32_t)value;
    return DRIVER_OK;
}

size_t device_params_size(const void *kernel) {
    return ((const function *)kernel)->kernel->params_size;
}

bool device_waits(const void *kernel) {
    return ((const function *)kernel)->waits;
}

bool device_allows_shared(const void *kernel, uint32_t bytes) {
    return bytes <= SIM_SHARED_PLAIN || bytes <= ((const function *)kernel)->shared_max;
}

/* A miscompiled kernel: of the one that $NB_SIM_FAULT names the last blocks in grid x never run. */
bool device_run(const sim_item *item, char error[SIM_ERROR_TEXT]) {
    const function *f = item->kernel;
    const char *fault = getenv("NB_SIM_FAULT");
    uint32_t grid[3] = {item->grid[0], item->grid[1], item->grid[2]};
    if (fault && strcmp(fault, f->kernel->name) == 0) grid[0]--;
    if (grid[0] == 0) return true;
    return sim_run(f->kernel, grid, item->block, item->shared, item->params, item->params_size, error);
}

/* All of the simulated memory is open to kernels. */
void device_memory(void *p, size_t bytes, bool there) {
    (void)p, (void)bytes, (void)there;
}
