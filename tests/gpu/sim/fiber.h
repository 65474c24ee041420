/* SPDX-License-Identifier: Apache-2.0
 *
 * Fibers: stacks of their own that take turns on a thread of the system. The simulated threads of a block are fibers,
 * so that thousands of switches, one for each thread at each barrier, cost little. */
#ifndef NB_TESTS_GPU_FIBER_H
#define NB_TESTS_GPU_FIBER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fiber {
    void *sp;
    char *stack; /* NULL: the system's own stack */
    void *fake;  /* AddressSanitizer's */
} fiber;

enum { FIBER_STACK = 256 << 10 };

/* A stack with an unreadable page in front; false: no memory. */
bool fiber_new(fiber *f);
void fiber_free(fiber *f);
/* What runs when the fiber is switched to for the first time; it must not return. */
void fiber_start(fiber *f, void (*entry)(void));
/* Goes on in `to`; returns when somebody switches back. last: `from` will never go on. */
void fiber_switch(fiber *from, fiber *to, bool last);
/* The first thing that an entry does. */
void fiber_arrived(void);
bool fiber_holds(const fiber *f, const void *address);

#endif
