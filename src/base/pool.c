/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting is a spin of some tens of microseconds, then a futex: a forward pass has hundreds of phases, and a sleep and
 * wake-up for each would cost more than the phase. Waiters sleep on the very word that they watch. */
#define _GNU_SOURCE
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__)
#    include <linux/futex.h>
#    include <sys/syscall.h>
#endif

#if defined(__x86_64__)
#    include <immintrin.h>
#    define cpu_relax() _mm_pause()
#elif defined(__aarch64__)
#    define cpu_relax() __asm__ volatile("yield")
#else
#    define cpu_relax() ((void)0)
#endif

enum { SPINS = 4000, MAX_THREADS = 1024 };

/* A word that threads wait on, alone on its cache line. */
typedef struct gate {
    _Alignas(64) _Atomic uint32_t word;
    _Atomic uint32_t sleepers;
} gate;

typedef struct member {
    pool *p;
    int index;
    pthread_t thread;
} member;

struct pool {
    gate start;                       /* counts regions; bumped to start one */
    gate arrived;                     /* phase number of the barrier */
    _Alignas(64) _Atomic int waiting; /* threads that reached the barrier in this phase */
    int size, started;
    bool stop;
    void (*fn)(void *, int);
    void *user;
    member *members; /* [size]; the first is the caller of pool_run */
};

static void gate_sleep(gate *g, uint32_t old) {
#if defined(__linux__)
    syscall(SYS_futex, &g->word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
#else
    (void)g, (void)old;
    sched_yield();
#endif
}

static void gate_wait(gate *g, uint32_t old) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&g->word, memory_order_acquire) != old) return;
        cpu_relax();
    }
    atomic_fetch_add(&g->sleepers, 1);
    while (atomic_load(&g->word) == old) gate_sleep(g, old);
    atomic_fetch_sub(&g->sleepers, 1);
}

static void gate_open(gate *g) {
    atomic_fetch_add(&g->word, 1);
#if defined(__linux__)
    if (atomic_load(&g->sleepers) > 0) syscall(SYS_futex, &g->word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
#endif
}

void pool_barrier(pool *p) {
    if (p->size == 1) return;
    uint32_t phase = atomic_load(&p->arrived.word);
    if (atomic_fetch_add(&p->waiting, 1) == p->size - 1) {
        atomic_store(&p->waiting, 0);
        gate_open(&p->arrived);
    } else {
        gate_wait(&p->arrived, phase);
    }
}

static void *worker(void *arg) {
    const member *m = arg;
    pool *p = m->p;
    for (uint32_t seen = 0;; seen++) {
        gate_wait(&p->start, seen);
        if (p->stop) return NULL;
        p->fn(p->user, m->index);
        pool_barrier(p);
    }
}

void pool_run(pool *p, void (*fn)(void *, int), void *user) {
    if (p->size == 1) {
        fn(user, 0);
        return;
    }
    p->fn = fn;
    p->user = user;
    gate_open(&p->start);
    fn(user, 0);
    pool_barrier(p);
}

void pool_pause(int n) {
    if (n < SPINS)
        cpu_relax();
    else
        sched_yield();
}

int pool_size(const pool *p) {
    return p->size;
}

int pool_available(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

nb_status pool_new(int n_threads, pool **out, nb_error *err) {
    *out = NULL;
    if (n_threads == 0) n_threads = pool_available();
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return err_set(err, NB_ERR_ARGUMENT, "%d threads asked for, expected 1 to %d", n_threads, MAX_THREADS);
    pool *p = NULL;
    if (posix_memalign((void **)&p, 64, sizeof *p) != 0) return err_no_memory(err, "thread pool", sizeof *p);
    memset(p, 0, sizeof *p);
    p->size = n_threads;
    p->members = calloc((size_t)n_threads, sizeof *p->members);
    if (!p->members) {
        pool_free(p);
        return err_no_memory(err, "thread pool", 0);
    }
    for (int i = 1; i < n_threads; i++) {
        member *m = &p->members[i];
        m->p = p;
        m->index = i;
        if (pthread_create(&m->thread, NULL, worker, m) != 0) {
            pool_free(p);
            return err_set(err, NB_ERR_NO_MEMORY, "cannot start thread %d of %d", i + 1, n_threads);
        }
        p->started++;
    }
    *out = p;
    return NB_OK;
}

void pool_free(pool *p) {
    if (!p) return;
    p->stop = true;
    gate_open(&p->start);
    for (int i = 1; i <= p->started; i++) pthread_join(p->members[i].thread, NULL);
    free(p->members);
    free(p);
}
