/* SPDX-License-Identifier: Apache-2.0
 *
 * Devices are asked for in a child process: a driver that was started does not work in children made later, and kernels
 * are checked in children. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "gpu/api.h"

static const double PATIENCE = 20; /* seconds; drivers of many devices take some to start */

static void tell(const gpu_driver *d, int fd) {
    gpu_device_list *list = calloc(1, sizeof *list);
    if (!list) _exit(1);
    d->list(list);
    for (size_t done = 0; done < sizeof *list;) {
        const ssize_t n = write(fd, (const char *)list + done, sizeof *list - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) _exit(1);
        done += (size_t)n;
    }
    _exit(0); /* no exit handlers: they are the parent's, and drivers' may hang */
}

/* Reads all of the list; false: it did not come, `late` or since the child has ended. */
static bool listen_for(int fd, gpu_device_list *list, bool *late) {
    const double end = clock_now() + PATIENCE;
    size_t done = 0;
    *late = false;
    while (done < sizeof *list && !*late) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const double left = end - clock_now();
        *late = left <= 0;
        if (*late || poll(&p, 1, (int)(left * 1e3) + 1) <= 0) continue;
        const ssize_t n = read(fd, (char *)list + done, sizeof *list - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return done == sizeof *list;
}

static void ask(const gpu_driver *d, gpu_device_list *list) {
    int ends[2], state = 0;
    bool late;
    if (pipe(ends) != 0) {
        snprintf(list->absent, sizeof list->absent, "pipe: %s", strerror(errno));
        return;
    }
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        tell(d, ends[1]);
    }
    close(ends[1]);
    const bool whole = child > 0 && listen_for(ends[0], list, &late);
    close(ends[0]);
    if (child < 0) {
        snprintf(list->absent, sizeof list->absent, "no process to ask the driver in: %s", strerror(errno));
        return;
    }
    if (!whole) kill(child, SIGKILL);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
    if (whole) return;
    *list = (gpu_device_list){0};
    if (late)
        snprintf(list->absent, sizeof list->absent, "the driver did not say within %.0f s which devices there are",
                 PATIENCE);
    else
        snprintf(list->absent, sizeof list->absent, "the driver ended the process that asked for its devices (%s %d)",
                 WIFSIGNALED(state) ? "signal" : "exit code",
                 WIFSIGNALED(state) ? WTERMSIG(state) : WEXITSTATUS(state));
}

static void fill(const gpu_driver *d, const gpu_vendor *v, const char *prefix, gpu_device_list *list) {
    gpu_library l;
    if (!gpu_code_any(prefix))
        snprintf(list->absent, sizeof list->absent, "this build of nibble has no kernels for %s", v->title);
    else if (!gpu_library_open(&l, v->libraries, NULL)) /* most machines: no need for a process */
        snprintf(list->absent, sizeof list->absent, "%s", l.error);
    else
        ask(d, list);
}

static gpu_device_list cuda, hip;

static void fill_cuda(void) {
    fill(&gpu_cuda_driver, &gpu_cuda, "ptx", &cuda);
}
static void fill_hip(void) {
    fill(&gpu_hip_driver, &gpu_hip, "gfx", &hip);
}

const gpu_device_list *gpu_devices(const gpu_driver *d) {
    static pthread_once_t cuda_once = PTHREAD_ONCE_INIT, hip_once = PTHREAD_ONCE_INIT;
    if (d == &gpu_hip_driver) {
        pthread_once(&hip_once, fill_hip);
        return &hip;
    }
    pthread_once(&cuda_once, fill_cuda);
    return &cuda;
}
