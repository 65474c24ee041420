/* SPDX-License-Identifier: Apache-2.0
 *
 * A block: its threads run in turns, each until it waits for others; what they wait for is given to them when all are
 * there. */
#define _GNU_SOURCE
#include "gpu/sim/sim_block.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#if defined(__SANITIZE_ADDRESS__)
#    include <sanitizer/asan_interface.h>
#endif

enum { BAND = 1024, POISON = 0xff };

/* Looked at in every call of device code: found without a call where the library is loaded at run time, too. */
static _Thread_local __attribute__((tls_model("initial-exec"))) sim_worker *here;

sim_worker *sim_worker_new(void) {
    sim_worker *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->shared = aligned_alloc(128, SIM_SHARED_MAX + 2 * BAND);
    if (!w->shared) {
        free(w);
        return NULL;
    }
    w->shared += BAND;
    return w;
}

void sim_worker_free(sim_worker *w) {
    if (!w) return;
    for (uint32_t i = 0; i < w->n_fibers; i++) fiber_free(&w->fibers[i]);
    free(w->shared - BAND);
    free(w);
}

/* ---- Errors ---------------------------------------------------------------------------------------------------- */

static void report(sim_worker *w, const char *format, va_list args) {
    bool expected = false;
    if (!atomic_compare_exchange_strong(&w->work->failed, &expected, true)) return;
    char what[SIM_ERROR_TEXT / 2];
    vsnprintf(what, sizeof what, format, args);
    snprintf(w->work->error, sizeof w->work->error, "kernel %s.%s, block (%u, %u, %u): %s", w->work->kernel->module,
             w->work->kernel->name, w->bid[0], w->bid[1], w->bid[2], what);
}

static bool failed(sim_worker *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    report(w, format, args);
    va_end(args);
    return false;
}

/* A thread that fails is left where it stands. */
void sim_fail(const char *format, ...) {
    sim_worker *w = here;
    va_list args;
    va_start(args, format);
    report(w, format, args);
    va_end(args);
    fiber_switch(w->threads[w->running].on, &w->scheduler, true);
}

/* ---- Taking turns ---------------------------------------------------------------------------------------------- */

static void end_thread(void);

static void thread_main(void) {
    fiber_arrived();
    here->work->kernel->run(here->work->params);
    end_thread();
}

/* Makes a thread's fiber, or finds it. */
static fiber *fiber_of(sim_worker *w, uint32_t thread) {
    sim_thread *t = &w->threads[thread];
    if (t->state != THREAD_NEW) return t->on;
    if (w->n_idle == 0) {
        if (!fiber_new(&w->fibers[w->n_fibers])) {
            fputs("the simulated GPU has no memory for another thread\n", stderr);
            abort();
        }
        w->idle[w->n_idle++] = &w->fibers[w->n_fibers++];
    }
    t->on = w->idle[--w->n_idle];
    t->state = THREAD_READY;
    fiber_start(t->on, thread_main);
    return t->on;
}

static bool can_run(const sim_thread *t) {
    return t->state == THREAD_NEW || t->state == THREAD_READY;
}

/* From the running thread to the next lane of its warp that can run, or back to the scheduler. */
static void pass_on(sim_worker *w, fiber *from, bool last) {
    const uint32_t end = (w->running / SIM_WARP + 1) * SIM_WARP;
    for (uint32_t i = w->running + 1; i < end; i++)
        if (can_run(&w->threads[i])) {
            w->running = i;
            fiber_switch(from, fiber_of(w, i), last);
            return;
        }
    fiber_switch(from, &w->scheduler, last);
}

static void end_thread(void) {
    sim_worker *w = here;
    sim_thread *t = &w->threads[w->running];
    t->state = THREAD_DONE;
    w->idle[w->n_idle++] = t->on; /* it may be started anew at once: nothing on its stack is needed any more... */
    fiber *from = t->on;
    t->on = NULL;
    /* ...but not by itself, while it still runs. */
    fiber_switch(from, &w->scheduler, true);
}

/* The running thread waits. */
static void wait_as(sim_worker *w, thread_state state) {
    sim_thread *t = &w->threads[w->running];
    t->state = state;
    pass_on(w, t->on, false);
}

/* Lanes of the warp run until each of them waits or has ended. */
static void run_lanes(sim_worker *w, uint32_t first) {
    for (uint32_t i = first; i < first + SIM_WARP; i++) {
        if (!can_run(&w->threads[i])) continue;
        w->running = i;
        fiber_switch(&w->scheduler, fiber_of(w, i), false);
        if (atomic_load_explicit(&w->work->failed, memory_order_relaxed)) return;
    }
}

static uint32_t count_state(const sim_worker *w, uint32_t first, uint32_t n, thread_state state) {
    uint32_t count = 0;
    for (uint32_t i = first; i < first + n; i++) count += w->threads[i].state == state;
    return count;
}

static uint32_t first_not(const sim_worker *w, uint32_t first, thread_state state) {
    while (w->threads[first].state == state) first++;
    return first;
}

static const char *doing(thread_state state) {
    return state == THREAD_DONE ? "has ended" : state == THREAD_BARRIER ? "waits at a barrier" : "is in a collective";
}

/* Gives a warp whose lanes are all in a collective what they wait for; false: that will never be. */
static bool end_collective(sim_worker *w, uint32_t first) {
    if (count_state(w, first, SIM_WARP, THREAD_COLLECTIVE) < SIM_WARP) {
        const uint32_t other = first_not(w, first, THREAD_COLLECTIVE);
        uint32_t waits = first;
        while (w->threads[waits].state != THREAD_COLLECTIVE) waits++;
        return failed(w, "thread %u is in a collective of its warp, but thread %u %s", waits, other,
                      doing(w->threads[other].state));
    }
    for (uint32_t i = first; i < first + SIM_WARP; i++) {
        if (w->threads[i].bytes != w->threads[first].bytes)
            return failed(w, "threads %u and %u are in different collectives of their warp", first, i);
        w->threads[i].state = THREAD_READY;
    }
    return true;
}

/* A warp runs until its lanes are at a barrier or have ended. */
static bool run_warp(sim_worker *w, uint32_t first) {
    for (;;) {
        run_lanes(w, first);
        if (atomic_load_explicit(&w->work->failed, memory_order_relaxed)) return false;
        if (count_state(w, first, SIM_WARP, THREAD_COLLECTIVE) == 0) return true;
        if (!end_collective(w, first)) return false;
    }
}

/* All warps have come to a barrier, or ended. True: there is more to run. */
static bool end_barrier(sim_worker *w, bool *ok) {
    const uint32_t n = w->work->block, waiting = count_state(w, 0, n, THREAD_BARRIER);
    if (waiting == 0) return false;
    if (waiting < n) {
        const uint32_t ended = first_not(w, 0, THREAD_BARRIER);
        *ok = failed(w, "%u of %u threads wait at a barrier, but thread %u %s", waiting, n, ended,
                     doing(w->threads[ended].state));
        return false;
    }
    for (uint32_t i = 0; i < n; i++) w->threads[i].state = THREAD_READY;
    return true;
}

/* ---- The block ------------------------------------------------------------------------------------------------- */

/* AddressSanitizer guards the bands better, reads included. */
#if defined(__SANITIZE_ADDRESS__)
static bool shared_intact(sim_worker *w) {
    (void)w;
    return true;
}

static void fill_shared(sim_worker *w) {
    __asan_unpoison_memory_region(w->shared - BAND, SIM_SHARED_MAX + 2 * BAND);
    memset(w->shared, POISON, w->work->shared);
    __asan_poison_memory_region(w->shared - BAND, BAND);
    __asan_poison_memory_region(w->shared + w->work->shared, SIM_SHARED_MAX - w->work->shared + BAND);
}
#else
static bool shared_intact(sim_worker *w) {
    for (int i = 1; i <= BAND; i++)
        if (w->shared[-i] != POISON) return failed(w, "%d bytes in front of the shared memory were written to", i);
    for (uint32_t i = w->work->shared; i < w->work->shared + BAND; i++)
        if (w->shared[i] != POISON)
            return failed(w, "the shared memory has %u bytes, but byte %u was written to", w->work->shared, i);
    return true;
}

static void fill_shared(sim_worker *w) {
    memset(w->shared - BAND, POISON, w->work->shared + 2 * BAND);
}
#endif

static void begin_block(sim_worker *w, sim_work *work, uint64_t number) {
    w->work = work;
    w->block_number = number;
    w->bid[0] = (uint32_t)(number % work->grid[0]);
    w->bid[1] = (uint32_t)(number / work->grid[0] % work->grid[1]);
    w->bid[2] = (uint32_t)(number / work->grid[0] / work->grid[1]);
    fill_shared(w);
    memset(w->threads, 0, work->block * sizeof *w->threads);
    /* Threads of a block that failed may have kept theirs. */
    w->n_idle = w->n_fibers;
    for (uint32_t i = 0; i < w->n_idle; i++) w->idle[i] = &w->fibers[i];
}

bool sim_block(sim_worker *w, sim_work *work, uint64_t number) {
    bool ok = true;
    begin_block(w, work, number);
    here = w;
    do {
        for (uint32_t first = 0; first < work->block && ok; first += SIM_WARP) ok = run_warp(w, first);
    } while (ok && end_barrier(w, &ok));
    here = NULL;
    return ok && shared_intact(w);
}

bool sim_here(sim_place *out) {
    const sim_worker *w = here;
    if (!w) return false;
    const sim_thread *t = &w->threads[w->running];
    *out = (sim_place){.kernel = w->work->kernel,
                       .bid = {w->bid[0], w->bid[1], w->bid[2]},
                       .tid = w->running,
                       .barriers = t->barriers,
                       .collectives = t->collectives,
                       .block_number = w->block_number,
                       .launch = w->work->serial,
                       .shared = w->shared,
                       .shared_bytes = w->work->shared};
    return true;
}

/* ---- What device code calls (src/gpu/kernels/gpu.h) ------------------------------------------------------------- */

uint32_t tid(void);
uint32_t bdim(void);
uint32_t bid_x(void);
uint32_t gdim_x(void);
uint32_t bid_y(void);
uint32_t bid_z(void);
uint8_t *shared_memory(void);
void barrier(void);
void warp_exchange(const void *mine, void *all, uint32_t bytes);
float shfl_xor(float v, uint32_t mask);
float exp2_fast(float x);

uint32_t tid(void) {
    return here->running;
}

uint32_t bdim(void) {
    return here->work->block;
}

uint32_t bid_x(void) {
    return here->bid[0];
}

uint32_t gdim_x(void) {
    return here->work->grid[0];
}

uint32_t bid_y(void) {
    return here->bid[1];
}

uint32_t bid_z(void) {
    return here->bid[2];
}

uint8_t *shared_memory(void) {
    return here->shared;
}

void barrier(void) {
    sim_worker *w = here;
    sim_thread *t = &w->threads[w->running];
    t->barriers++;
    t->collectives = 0;
    wait_as(w, THREAD_BARRIER);
}

/* Leaves what this lane gives, waits for the others; where what they gave stands. */
static const uint8_t *exchange(sim_worker *w, const void *mine, uint32_t bytes) {
    sim_thread *t = &w->threads[w->running];
    uint8_t *all = w->slots[t->collectives++ % 2][w->running / SIM_WARP];
    memcpy(all + w->running % SIM_WARP * bytes, mine, bytes);
    t->bytes = bytes;
    wait_as(w, THREAD_COLLECTIVE);
    return all;
}

void warp_exchange(const void *mine, void *all, uint32_t bytes) {
    if (bytes > EXCHANGE_MAX) sim_fail("a collective exchanges %u bytes", bytes);
    memcpy(all, exchange(here, mine, bytes), SIM_WARP * bytes);
}

float shfl_xor(float v, uint32_t mask) {
    if (mask >= SIM_WARP) sim_fail("thread %u shuffles with lanes %u apart", here->running, mask);
    const uint32_t lane = here->running % SIM_WARP;
    memcpy(&v, exchange(here, &v, sizeof v) + (lane ^ mask) * sizeof v, sizeof v);
    return v;
}

float exp2_fast(float x) {
    return exp2f(x);
}
