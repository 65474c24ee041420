/* SPDX-License-Identifier: Apache-2.0
 *
 * fork, a pipe, poll. A record is a header and its bytes; the kind -1 is the fault handler's, and -2 ends the job: what
 * a child's exit code was a program that ignores SIGCHLD cannot tell. */
#define _GNU_SOURCE
#include "verify/worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#    include <sys/prctl.h>
#endif

#include "base/buf.h"
#include "base/clock.h"

enum { FAULT_RECORD = -1, END_RECORD = -2, MAX_RECORD = 1 << 20 };

typedef struct header {
    int kind;
    unsigned size;
} header;

struct worker {
    int fd;
    const worker_job *job;
};

/* ---- The child -------------------------------------------------------------------------------------------------- */

/* The one job of this process, for the signal handler. Set in children only. */
static worker *current;

static bool write_all(int fd, const void *data, size_t size) {
    for (const char *at = data; size > 0;) {
        const ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

void worker_send(worker *w, int kind, const void *data, size_t size) {
    const header h = {kind, (unsigned)size};
    if (!write_all(w->fd, &h, sizeof h) || !write_all(w->fd, data, size)) _exit(1);
}

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    const char *text = NULL;
    if (current->job->on_fault && (number == SIGSEGV || number == SIGBUS))
        text = current->job->on_fault(current->job->user, info->si_addr);
    if (text) worker_send(current, FAULT_RECORD, text, strlen(text));
    signal(number, SIG_DFL);
    raise(number);
}

/* A handler on a stack of its own: the fault may be a stack's end. */
static void catch_faults(void) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    const size_t size = 64 << 10;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const stack_t stack = {.ss_sp = memory, .ss_size = size};
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};
    if (memory != MAP_FAILED && sigaltstack(&stack, NULL) == 0) action.sa_flags |= SA_ONSTACK;
    action.sa_sigaction = on_signal;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) sigaction(signals[i], &action, NULL);
}

static void run_child(const worker_job *job, int fd, pid_t parent) {
    worker w = {fd, job};
    current = &w;
#if defined(__linux__)
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would hear of what it finds */
    if (getppid() != parent) _exit(1);
#else
    (void)parent;
#endif
    /* Ctrl-C is for the parent, which ends the child; a pipe without a reader is an error of write(). */
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    catch_faults();
    job->run(job->user, &w);
    worker_send(&w, END_RECORD, NULL, 0);
    _exit(0);
}

/* ---- The parent ------------------------------------------------------------------------------------------------- */

static pthread_mutex_t alone = PTHREAD_MUTEX_INITIALIZER;

void worker_lock(void) {
    pthread_mutex_lock(&alone);
}

void worker_unlock(void) {
    pthread_mutex_unlock(&alone);
}

/* Hands over the whole records at the front of what has come; false when the job is to stop. */
static bool take_records(const worker_job *job, buf *in, worker_result *result, bool *ended) {
    size_t at = 0;
    bool go_on = true;
    while (go_on && in->len - at >= sizeof(header)) {
        header h;
        memcpy(&h, in->data + at, sizeof h);
        if (h.size > MAX_RECORD) return false;
        if (in->len - at - sizeof h < h.size) break;
        const char *data = in->data + at + sizeof h;
        at += sizeof h + h.size;
        if (h.kind == END_RECORD) *ended = true;
        if (h.kind == END_RECORD) continue;
        if (h.kind == FAULT_RECORD) {
            const size_t n = h.size < sizeof result->address - 1 ? h.size : sizeof result->address - 1;
            memcpy(result->address, data, n);
            result->address[n] = 0;
            continue;
        }
        go_on = job->receive(job->user, h.kind, data, h.size);
    }
    if (in->len > at) memmove(in->data, in->data + at, in->len - at);
    in->len -= at;
    return go_on;
}

/* Reads what there is; true: there may be more. *end: how it ended if not. */
static bool take_some(const worker_job *job, int fd, buf *in, worker_result *result, bool *ended, worker_end *end) {
    char *to = buf_reserve(in, 1 << 16);
    const ssize_t n = to ? read(fd, to, 1 << 16) : -1;
    if (n < 0 && errno == EINTR && to) return true;
    if (n <= 0) {
        *end = n < 0 ? WORKER_STOPPED : *ended ? WORKER_DONE : WORKER_CRASHED;
        return false;
    }
    in->len += (size_t)n;
    *end = WORKER_STOPPED;
    return take_records(job, in, result, ended);
}

/* Reads until the pipe ends, the child is silent for too long, or nobody wants more. */
static worker_end follow(const worker_job *job, int fd, worker_result *result) {
    buf in = {0};
    bool ended = false;
    worker_end end = WORKER_DONE;
    double heard = clock_now();
    for (;;) {
        const double left = heard + (job->patience ? job->patience(job->user) : job->silence) - clock_now();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const int ready = left > 0 ? poll(&p, 1, (int)(left * 1e3) + 1) : 0;
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0) {
            end = WORKER_HUNG;
            break;
        }
        worker_lock();
        const bool more = take_some(job, fd, &in, result, &ended, &end);
        worker_unlock();
        if (!more) break;
        heard = clock_now();
    }
    worker_lock();
    buf_free(&in);
    worker_unlock();
    return end;
}

nb_status worker_run(const worker_job *job, worker_result *result, nb_error *err) {
    *result = (worker_result){0};
    int fds[2];
    worker_lock(); /* a child that another thread makes would hold this pipe open when its own child has ended */
    if (pipe(fds) != 0) {
        worker_unlock();
        return err_set(err, NB_ERR_INTERNAL, "no pipe to a process of its own: %s", strerror(errno));
    }
    const pid_t parent = getpid(), child = fork();
    if (child == 0) {
        close(fds[0]);
        run_child(job, fds[1], parent);
    }
    const int reason = errno;
    close(fds[1]);
    worker_unlock();
    if (child < 0) {
        close(fds[0]);
        return err_set(err, NB_ERR_INTERNAL, "no process of its own for the check: %s", strerror(reason));
    }
    result->end = follow(job, fds[0], result);
    close(fds[0]);
    if (result->end == WORKER_HUNG || result->end == WORKER_STOPPED) kill(child, SIGKILL);
    int state = 0;
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
    if (result->end == WORKER_CRASHED) result->signal = WIFSIGNALED(state) ? WTERMSIG(state) : 0;
    return NB_OK;
}
