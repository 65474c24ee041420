/* SPDX-License-Identifier: Apache-2.0
 *
 * Launches: kernels by name, the grid spread over two threads of the system, the vendor's GEMM. */
#include "gpu/sim/sim.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/half.h"
#include "gpu/sim/sim_block.h"

/* The section that the kernels' tables are in (kernels.sh). */
extern const sim_kernel __start_sim_kernels[], __stop_sim_kernels[];

const sim_kernel *sim_at(size_t i) {
    const size_t n = (size_t)(__stop_sim_kernels - __start_sim_kernels);
    return i < n ? &__start_sim_kernels[i] : NULL;
}

const sim_kernel *sim_find(const char *module, const char *name) {
    const sim_kernel *k;
    for (size_t i = 0; (k = sim_at(i)) != NULL; i++)
        if (strcmp(k->module, module) == 0 && strcmp(k->name, name) == 0) return k;
    return NULL;
}

/* ---- Blocks ---------------------------------------------------------------------------------------------------- */

static void run_blocks(sim_worker *w, sim_work *work) {
    enum { AT_ONCE = 4 };
    while (!atomic_load(&work->failed)) {
        const uint64_t first = atomic_fetch_add(&work->next, AT_ONCE);
        if (first >= work->n_blocks) return;
        for (uint64_t i = first; i < first + AT_ONCE && i < work->n_blocks; i++)
            if (!sim_block(w, work, i)) return;
    }
}

/* A second thread that helps with large launches. Both live as long as the process. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started;
    sim_work *work; /* to help with */
    bool busy;
} helper = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *help(void *unused) {
    (void)unused;
    sim_worker *w = sim_worker_new();
    pthread_mutex_lock(&helper.lock);
    while (w) {
        while (!helper.work) pthread_cond_wait(&helper.changed, &helper.lock);
        sim_work *work = helper.work;
        helper.work = NULL;
        helper.busy = true;
        pthread_mutex_unlock(&helper.lock);
        run_blocks(w, work);
        pthread_mutex_lock(&helper.lock);
        helper.busy = false;
        pthread_cond_broadcast(&helper.changed);
    }
    pthread_mutex_unlock(&helper.lock);
    return NULL;
}

static void ask_for_help(sim_work *work) {
    pthread_t thread;
    pthread_mutex_lock(&helper.lock);
    if (!helper.started && pthread_create(&thread, NULL, help, NULL) == 0) {
        pthread_detach(thread);
        helper.started = true;
    }
    helper.work = work;
    pthread_cond_broadcast(&helper.changed);
    pthread_mutex_unlock(&helper.lock);
}

static void end_help(void) {
    pthread_mutex_lock(&helper.lock);
    helper.work = NULL; /* it may not even have begun */
    while (helper.busy) pthread_cond_wait(&helper.changed, &helper.lock);
    pthread_mutex_unlock(&helper.lock);
}

static bool runs_alone;

void sim_alone(bool alone) {
    runs_alone = alone;
}

static void run_grid(sim_work *work) {
    static sim_worker *first;
    enum { WORTH_HELP = 16 };
    if (!first) first = sim_worker_new();
    if (!first) {
        snprintf(work->error, sizeof work->error, "the simulated GPU has no memory");
        atomic_store(&work->failed, true);
        return;
    }
    const bool large = work->n_blocks >= WORTH_HELP && !runs_alone;
    if (large) ask_for_help(work);
    run_blocks(first, work);
    if (large) end_help();
}

/* ---- Launches -------------------------------------------------------------------------------------------------- */

static const char *wrong_launch(const sim_kernel *k, const uint32_t grid[3], uint32_t block, uint32_t shared,
                                size_t params_size) {
    if (grid[0] < 1 || grid[1] < 1 || grid[2] < 1) return "a grid without blocks";
    if (grid[0] > INT32_MAX || grid[1] > 65535 || grid[2] > 65535) return "a grid with too many blocks";
    if (block < 64 || block % 64 != 0 || block > SIM_MOST_THREADS) return "threads not a multiple of 64 up to 1024";
    if (shared > SIM_SHARED_MAX) return "too much shared memory";
    if (params_size != k->params_size) return "params of another size than the kernel's";
    return NULL;
}

bool sim_run(const sim_kernel *k, const uint32_t grid[3], uint32_t block, uint32_t shared, const void *params,
             size_t params_size, char error[SIM_ERROR_TEXT]) {
    _Alignas(64) uint8_t copy[4096];
    const char *wrong = wrong_launch(k, grid, block, shared, params_size);
    if (wrong || params_size > sizeof copy) {
        snprintf(error, SIM_ERROR_TEXT,
                 "launch of %s.%s: %s (grid %u x %u x %u, %u threads, %u bytes, params %zu of %lu)", k->module, k->name,
                 wrong ? wrong : "large params", grid[0], grid[1], grid[2], block, shared, params_size, k->params_size);
        return false;
    }
    memcpy(copy, params, params_size);
    static sim_work work; /* one launch at a time */
    work.serial++;
    work.kernel = k;
    memcpy(work.grid, grid, sizeof work.grid);
    work.block = block;
    work.shared = shared;
    work.params = copy;
    work.n_blocks = (uint64_t)grid[0] * grid[1] * grid[2];
    atomic_store(&work.next, 0);
    atomic_store(&work.failed, false);
    run_grid(&work);
    if (atomic_load(&work.failed)) {
        memcpy(error, work.error, SIM_ERROR_TEXT);
        return false;
    }
    return true;
}

bool sim_launch(const gpu_launch *l, char error[SIM_ERROR_TEXT]) {
    if (!l->kernel) return sim_gemm(&l->gemm, error);
    const sim_kernel *k = sim_find(l->kernel->module, l->kernel->name);
    if (!k) {
        snprintf(error, SIM_ERROR_TEXT, "there is no kernel %s in %s.c", l->kernel->name, l->kernel->module);
        return false;
    }
    return sim_run(k, l->grid, l->block, l->shared, l->params, l->params_size, error);
}

/* ---- GEMM ------------------------------------------------------------------------------------------------------ */

static float element(const gpu_gemm *g, const void *p, int64_t i) {
    const uint16_t h = ((const uint16_t *)p)[i];
    return g->type == DT_F16 ? f16_to_f32(h) : bf16_to_f32(h);
}

/* In eight sums, as vector units would. */
static float dot(const gpu_gemm *g, int64_t i, int64_t j) {
    float sums[8] = {0};
    for (int64_t l = 0; l < g->k; l++)
        sums[l % 8] += element(g, g->x, i * g->x_stride + l) * element(g, g->w, j * g->w_stride + l);
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

bool sim_gemm(const gpu_gemm *g, char error[SIM_ERROR_TEXT]) {
    const bool typed = g->type == DT_F16 || g->type == DT_BF16;
    if (!typed || g->m < 1 || g->n < 1 || g->k < 1 || g->x_stride < g->k || g->w_stride < g->k || g->y_stride < g->n) {
        snprintf(error, SIM_ERROR_TEXT, "GEMM: wrong type, shape or stride");
        return false;
    }
    float *y = g->y;
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            float *to = &y[i * g->y_stride + j];
            *to = g->accumulate ? *to + dot(g, i, j) : dot(g, i, j);
        }
    return true;
}
