/* SPDX-License-Identifier: Apache-2.0
 *
 * Work that may crash or hang, in a child process: a kernel that does so must take neither the program nor its user's
 * conversation with it. The child sends records through a pipe; the parent hears of them, and of how the child ended.
 */
#ifndef NB_VERIFY_WORKER_H
#define NB_VERIFY_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct worker worker;

typedef enum worker_end {
    WORKER_DONE,
    WORKER_CRASHED, /* a signal ended it, or it left without a word */
    WORKER_HUNG,    /* it sent nothing for the time that it may be silent; it was killed */
    WORKER_STOPPED  /* `receive` asked for that */
} worker_end;

typedef struct worker_result {
    worker_end end;
    int signal;        /* WORKER_CRASHED: which one; 0: none */
    char address[128]; /* WORKER_CRASHED: what on_fault said of the address that was touched; "" */
} worker_result;

typedef struct worker_job {
    void (*run)(void *user, worker *w); /* in the child, which ends when it returns */
    /* In the child, inside of a signal handler, after a fault at this address: what lies there, a text that stays.
     * NULL: not known. */
    const char *(*on_fault)(void *user, const void *address);
    /* In the parent, for each record, within worker_lock. False: the child is to be ended. */
    bool (*receive)(void *user, int kind, const void *data, size_t size);
    void *user;
    double silence; /* seconds for which the child may send nothing */
    /* In the parent: the same for what the child is doing now; NULL: it is always `silence`. */
    double (*patience)(void *user);
} worker_job;

/* Runs the job in a child until it ends. NB_ERR_INTERNAL when no process can be made. The child is a copy of the
 * calling thread alone: other threads of the program (thread pools) do not exist in it. */
nb_status worker_run(const worker_job *job, worker_result *result, nb_error *err);

/* Between these no other thread makes a child, which would have whatever this one is in the middle of for good: locks
 * of its own, or of AddressSanitizer's allocator, which knows nothing of fork. For threads that have run a worker
 * beside others. */
void worker_lock(void);
void worker_unlock(void);

/* In the child: sends a record. Where the parent has gone the child ends. */
void worker_send(worker *w, int kind, const void *data, size_t size);

#endif
