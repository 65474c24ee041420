/* SPDX-License-Identifier: Apache-2.0
 *
 * Child processes that end in every way there is: what they said before arrives whole and in order, how they ended is
 * told, and nothing of them stays behind, whether or not the program has other threads. */
#include <errno.h>
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/pool.h"
#include "verify/worker.h"

/* ---- What is left behind ---------------------------------------------------------------------------------------- */

static int open_descriptors(void) {
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    assert_non_null(dir);
    while (readdir(dir)) n++;
    closedir(dir);
    return n;
}

typedef struct heard {
    int n, last, stop_at; /* 0: hears all */
    size_t bytes;
    bool in_order;
    int child; /* its process, as it said */
} heard;

/* Runs it; whatever happens there is neither a child nor a descriptor more than before. */
static worker_result run(worker_job *job) {
    const int before = open_descriptors();
    worker_result result;
    nb_error err;
    if (job->silence == 0) job->silence = 60;
    if (worker_run(job, &result, &err)) fail_msg("%s", err.text);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    return result;
}

/* ---- Records ---------------------------------------------------------------------------------------------------- */

static const size_t sizes[] = {0, 1, 3, 4, 100, 4095, 4096, 4097, 65535, 65536, 65537, 1 << 20};
enum { N_SIZES = sizeof sizes / sizeof sizes[0], ROUNDS = 5 };

static uint8_t byte_at(int kind, size_t i) {
    return (uint8_t)(i * 31 + i / 256 + (size_t)kind * 7);
}

static void send_all_sizes(void *user, worker *w) {
    (void)user;
    uint8_t *data = malloc(1 << 20);
    for (int kind = 0; data && kind < ROUNDS * N_SIZES; kind++) {
        const size_t size = sizes[kind % N_SIZES];
        for (size_t i = 0; i < size; i++) data[i] = byte_at(kind, i);
        worker_send(w, kind, data, size);
    }
    free(data);
}

static bool hear_all_sizes(void *user, int kind, const void *data, size_t size) {
    heard *h = user;
    h->in_order &= kind == h->n && size == sizes[kind % N_SIZES];
    for (size_t i = 0; i < size && h->in_order; i++) h->in_order = ((const uint8_t *)data)[i] == byte_at(kind, i);
    h->n++;
    return h->n != h->stop_at;
}

static void test_records_arrive(void **state) {
    (void)state;
    heard h = {.in_order = true};
    worker_job job = {.run = send_all_sizes, .receive = hear_all_sizes, .user = &h};
    assert_int_equal(run(&job).end, WORKER_DONE);
    assert_int_equal(h.n, ROUNDS * N_SIZES);
    assert_true(h.in_order);
}

/* The receiver wants no more in the middle of it; nothing is handed over after that. */
static void test_receiver_stops(void **state) {
    (void)state;
    for (int at = 1; at < N_SIZES; at++) {
        heard h = {.in_order = true, .stop_at = at};
        worker_job job = {.run = send_all_sizes, .receive = hear_all_sizes, .user = &h};
        assert_int_equal(run(&job).end, WORKER_STOPPED);
        assert_int_equal(h.n, at);
        assert_true(h.in_order);
    }
}

/* ---- Ends ------------------------------------------------------------------------------------------------------- */

static char *page; /* one that cannot be touched */

static const char *name_fault(void *user, const void *address) {
    (void)user;
    return (const char *)address == page + 5 ? "5 bytes into the page" : NULL;
}

static bool hear(void *user, int kind, const void *data, size_t size) {
    heard *h = user;
    if (size == sizeof h->child) memcpy(&h->child, data, size);
    h->last = kind;
    h->n++;
    return true;
}

static void say(worker *w) {
    const int self = getpid();
    worker_send(w, 7, &self, sizeof self);
}

static void touch_page(void *user, worker *w) {
    (void)user;
    say(w);
    *(volatile char *)(page + 5) = 1;
}

static void touch_elsewhere(void *user, worker *w) {
    (void)user;
    say(w);
    *(volatile char *)(page + 6) = 1;
}

static void call_abort(void *user, worker *w) {
    (void)user;
    say(w);
    abort();
}

static void leave_early(void *user, worker *w) {
    (void)user;
    say(w);
    _exit(3);
}

/* Sanitizers are told to keep out of it: they would catch the signal themselves. */
__attribute__((noinline)) static int deeper(volatile char *above, int n) {
    volatile char room[4096];
    room[n % 4096] = above ? above[0] : 1;
    return n < INT32_MAX ? deeper(room, n + 1) + room[0] : 0;
}

static void overflow_stack(void *user, worker *w) {
    (void)user;
    say(w);
    _exit(deeper(NULL, 0) == 12345);
}

static void hang(void *user, worker *w) {
    (void)user;
    say(w);
    for (;;) pause();
}

/* Too stubborn to go when it is asked politely. */
static void hang_stubbornly(void *user, worker *w) {
    signal(SIGTERM, SIG_IGN);
    hang(user, w);
}

static void say_and_return(void *user, worker *w) {
    (void)user;
    say(w);
}

/* A header that promises more than any record has: something wrote into the child's memory. */
static void send_garbage(void *user, worker *w) {
    (void)user;
    static char huge[(1 << 20) + 1];
    say(w);
    worker_send(w, 9, huge, sizeof huge);
    for (;;) pause();
}

typedef struct way {
    void (*run)(void *user, worker *w);
    worker_end end;
    int signal;
    const char *address;
    double silence;
} way;

static const way ways[] = {
    {say_and_return, WORKER_DONE, 0, "", 0},
    {touch_page, WORKER_CRASHED, SIGSEGV, "5 bytes into the page", 0},
    {touch_elsewhere, WORKER_CRASHED, SIGSEGV, "", 0},
    {call_abort, WORKER_CRASHED, SIGABRT, "", 0},
    {leave_early, WORKER_CRASHED, 0, "", 0},
    {overflow_stack, WORKER_CRASHED, SIGSEGV, "", 0},
    {hang, WORKER_HUNG, 0, "", 0.3},
    {hang_stubbornly, WORKER_HUNG, 0, "", 0.3},
    {send_garbage, WORKER_STOPPED, 0, "", 0},
};

static void end_in_every_way(void) {
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        heard h = {0};
        worker_job job = {ways[i].run, name_fault, hear, &h, ways[i].silence, NULL};
        const worker_result result = run(&job);
        if (result.end != ways[i].end || result.signal != ways[i].signal ||
            strcmp(result.address, ways[i].address) != 0)
            fail_msg("way %zu: it ended %d by signal %d, \"%s\"", i, result.end, result.signal, result.address);
        assert_int_equal(h.n, 1); /* what it had said before was heard */
        assert_int_equal(h.last, 7);
        assert_int_not_equal(h.child, getpid());
        assert_int_equal(kill(h.child, 0), -1); /* it is gone */
    }
}

static void test_ends(void **state) {
    (void)state;
    end_in_every_way();
}

/* The same while threads of the parent are at work (and hold locks of malloc now and then). */
static _Atomic bool parent_is_done;

static void work_or_watch(void *user, int index) {
    (void)user;
    if (index == 0) {
        for (int i = 0; i < 5; i++) end_in_every_way();
        parent_is_done = true;
        return;
    }
    for (size_t n = 1; !parent_is_done; n = n % 100000 + 1) free(malloc(n));
}

static void test_ends_beside_threads(void **state) {
    (void)state;
    nb_error err;
    pool *threads;
    parent_is_done = false;
    if (pool_new(3, &threads, &err)) fail_msg("%s", err.text);
    pool_run(threads, work_or_watch, NULL);
    pool_free(threads);
}

/* No handler, no name. */
static void test_without_on_fault(void **state) {
    (void)state;
    heard h = {0};
    worker_job job = {.run = touch_page, .receive = hear, .user = &h};
    const worker_result result = run(&job);
    assert_int_equal(result.end, WORKER_CRASHED);
    assert_int_equal(result.signal, SIGSEGV);
    assert_string_equal(result.address, "");
}

/* Slow, but not silent: it may go on. */
static void be_slow(void *user, worker *w) {
    (void)user;
    for (int i = 0; i < 8; i++) {
        usleep(100 * 1000);
        worker_send(w, i, NULL, 0);
    }
}

static void test_slow_is_not_silent(void **state) {
    (void)state;
    heard h = {0};
    worker_job job = {.run = be_slow, .receive = hear, .user = &h, .silence = 0.7};
    assert_int_equal(run(&job).end, WORKER_DONE);
    assert_int_equal(h.n, 8);
}

/* Ctrl-C goes to all processes of a terminal; the parent decides what becomes of the child. */
static void be_interrupted(void *user, worker *w) {
    (void)user;
    raise(SIGINT);
    say(w);
}

static void test_child_ignores_interrupts(void **state) {
    (void)state;
    heard h = {0};
    worker_job job = {.run = be_interrupted, .receive = hear, .user = &h};
    assert_int_equal(run(&job).end, WORKER_DONE);
    assert_int_equal(h.n, 1);
}

/* A parent that is killed leaves no child behind: the child, in a copy of this process, holds a pipe open. */
static void test_parent_dies(void **state) {
    (void)state;
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    const pid_t parent = fork();
    if (parent == 0) {
        heard h = {0};
        worker_result result;
        nb_error err;
        const worker_job job = {hang, NULL, hear, &h, 600, NULL};
        close(fds[0]);
        worker_run(&job, &result, &err);
        _exit(0);
    }
    close(fds[1]);
    usleep(200 * 1000);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    assert_int_equal(read(fds[0], &byte, 1), 0); /* both have let go of it */
    close(fds[0]);
}

static int make_page(void **state) {
    (void)state;
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_records_arrive),
                                       cmocka_unit_test(test_receiver_stops),
                                       cmocka_unit_test(test_ends),
                                       cmocka_unit_test(test_ends_beside_threads),
                                       cmocka_unit_test(test_without_on_fault),
                                       cmocka_unit_test(test_slow_is_not_silent),
                                       cmocka_unit_test(test_child_ignores_interrupts),
                                       cmocka_unit_test(test_parent_dies)};
    return cmocka_run_group_tests(tests, make_page, NULL);
}
