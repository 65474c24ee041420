/* SPDX-License-Identifier: Apache-2.0
 *
 * Results that differ from run to run: one by a hair, within what rounding is allowed, as where the order of a sum is
 * free; one by a race of two threads that both add to what is there. */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "support/faults/faults.h"

/* The first element is up to 3 units in the last place too large. */
void fault_jitter(const krow *real, const kcall *c) {
    static _Atomic uint32_t n_runs;
    fault_run_real(real, c);
    uint32_t hash = atomic_fetch_add(&n_runs, 1) * 0x9e3779b9u;
    float *y = c->y.data;
    for (uint32_t ulps = hash >> 30; ulps > 0; ulps--) y[0] = nextafterf(y[0], INFINITY);
}

/* One of the two threads: every other expert of each token. */
typedef struct adder {
    const kcall *call;
    pthread_barrier_t *start;
    int64_t first;
} adder;

/* Gives the other thread time to come in between: a fifth of a millisecond for a few elements, which is enough on a
 * machine that is busy, and little for a call; a turn of the scheduler for others. */
static void let_in(int64_t t, int64_t j) {
    const struct timespec a_while = {.tv_nsec = 200000};
    if (t == 0 && j < 32)
        nanosleep(&a_while, NULL);
    else
        sched_yield();
}

static void add_expert(const kcall *c, int64_t t, int64_t s) {
    float *y = (float *)c->y.data + t * c->y.stride, weight = ((float *)c->z.data)[t * c->z.stride + c->n_chosen + s];
    const float *x = (const float *)c->x.data + t * c->x.stride + s * c->y.cols;
    for (int64_t j = 0; j < c->y.cols; j++) {
        float sum;
        __atomic_load(&y[j], &sum, __ATOMIC_RELAXED);
        if (j % 8 == 0) let_in(t, j);
        sum += weight * x[j];
        __atomic_store(&y[j], &sum, __ATOMIC_RELAXED);
    }
}

static void *add_experts(void *user) {
    const adder *a = user;
    pthread_barrier_wait(a->start);
    for (int64_t t = 0; t < a->call->y.rows; t++)
        for (int64_t s = a->first; s < a->call->n_chosen; s += 2) add_expert(a->call, t, s);
    return NULL;
}

/* Of SUM_EXPERTS: two threads add to the same sums, and what one adds between the other's load and store is lost. */
void fault_lost_updates(const krow *real, const kcall *c) {
    (void)real;
    pthread_barrier_t start;
    pthread_t thread;
    for (int64_t t = 0; t < c->y.rows; t++)
        for (int64_t j = 0; j < c->y.cols; j++) ((float *)c->y.data)[t * c->y.stride + j] = 0.0f;
    if (pthread_barrier_init(&start, NULL, 2) != 0) abort();
    adder even = {.call = c, .start = &start, .first = 0}, odd = {.call = c, .start = &start, .first = 1};
    if (pthread_create(&thread, NULL, add_experts, &odd) != 0) abort();
    add_experts(&even);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&start);
}
