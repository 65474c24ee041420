/* SPDX-License-Identifier: Apache-2.0
 *
 * The switch itself saves the registers that a call keeps (System V x86-64, AAPCS64) and changes the stack pointer. */
#define _GNU_SOURCE
#include "gpu/sim/fiber.h"

#include <stdint.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
/* The stack of the thread that fibers run on: known once the first of them has been switched to. */
static _Thread_local const void *system_stack;
static _Thread_local size_t system_size;
static _Thread_local bool from_system;
#endif

enum { GUARD = 4096 };

void nb_fiber_swap(void **save, void *to);

#if defined(__x86_64__)
enum { SAVED = 6, RETURN_AT = 6, ENTRY_BIAS = 8 };
__asm__(".text\n"
        ".globl nb_fiber_swap\n"
        ".hidden nb_fiber_swap\n"
        ".type nb_fiber_swap,@function\n"
        "nb_fiber_swap:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    ret\n"
        ".size nb_fiber_swap, .-nb_fiber_swap\n");
#elif defined(__aarch64__)
enum { SAVED = 20, RETURN_AT = 11, ENTRY_BIAS = 0 };
__asm__(".text\n"
        ".globl nb_fiber_swap\n"
        ".hidden nb_fiber_swap\n"
        ".type nb_fiber_swap,%function\n"
        "nb_fiber_swap:\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp]\n    stp x21, x22, [sp, #16]\n    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n    stp x27, x28, [sp, #64]\n    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n    stp d10, d11, [sp, #112]\n    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x2, sp\n    str x2, [x0]\n    mov sp, x1\n"
        "    ldp x19, x20, [sp]\n    ldp x21, x22, [sp, #16]\n    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n    ldp x27, x28, [sp, #64]\n    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n    ldp d10, d11, [sp, #112]\n    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".size nb_fiber_swap, .-nb_fiber_swap\n");
#else
#    error "the simulation of GPUs runs on x86-64 and aarch64"
#endif

bool fiber_new(fiber *f) {
    char *base =
        mmap(NULL, GUARD + FIBER_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return false;
    *f = (fiber){.stack = base + GUARD};
    return mprotect(base, GUARD, PROT_NONE) == 0;
}

void fiber_free(fiber *f) {
    if (f->stack) munmap(f->stack - GUARD, GUARD + FIBER_STACK);
    *f = (fiber){0};
}

void fiber_start(fiber *f, void (*entry)(void)) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(f->stack, FIBER_STACK);
#endif
    f->fake = NULL;
    uintptr_t *sp = (uintptr_t *)(f->stack + FIBER_STACK - 64 - ENTRY_BIAS) - SAVED;
    if (ENTRY_BIAS) sp--; /* the place of the return address */
    for (int i = 0; i < SAVED; i++) sp[i] = 0;
    sp[RETURN_AT] = (uintptr_t)entry;
    f->sp = sp;
}

void fiber_switch(fiber *from, fiber *to, bool last) {
#if defined(__SANITIZE_ADDRESS__)
    from_system = !from->stack;
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake, to->stack ? to->stack : system_stack,
                                   to->stack ? FIBER_STACK : system_size);
#endif
    (void)last;
    nb_fiber_swap(&from->sp, to->sp);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
#endif
}

void fiber_arrived(void) {
#if defined(__SANITIZE_ADDRESS__)
    const void *stack;
    size_t size;
    __sanitizer_finish_switch_fiber(NULL, &stack, &size);
    if (from_system) system_stack = stack, system_size = size;
#endif
}

bool fiber_holds(const fiber *f, const void *address) {
    const char *at = address;
    return f->stack && at >= f->stack && at < f->stack + FIBER_STACK;
}
