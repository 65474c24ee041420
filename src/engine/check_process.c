/* SPDX-License-Identifier: Apache-2.0
 *
 * The check at load in a fresh process of the nibble command, for a device whose driver runs in this process already: a
 * driver does not survive a fork. What it finds comes back as the verdict that it leaves. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/check_process.h"

extern char **environ;

enum { MAX_WORDS = 16 };

typedef struct command_line {
    char device[48], batch[24], layers[24];
    const char *words[MAX_WORDS]; /* ends with NULL; the first is the command */
} command_line;

static void put_together(const check_process *p, const char *command, command_line *l) {
    static const char *const types[] = {[DT_F32] = "f32", [DT_F16] = "f16", [DT_BF16] = "bf16"};
    char text[32];
    int n = 0;
    snprintf(l->device, sizeof l->device, "%s", device_text(p->device, text));
    snprintf(l->batch, sizeof l->batch, "%lld", (long long)p->n_batch);
    snprintf(l->layers, sizeof l->layers, "%d", p->gpu_layers);
    const char *const fixed[] = {command,   "verify",    p->model,          "--at-load", "--device",
                                 l->device, "--kv-type", types[p->kv_type], "--batch",   l->batch};
    while (n < (int)(sizeof fixed / sizeof *fixed)) {
        l->words[n] = fixed[n];
        n++;
    }
    if (p->gpu_layers > 0) {
        l->words[n++] = "--gpu-layers";
        l->words[n++] = l->layers;
    }
    if (!p->full) l->words[n++] = "--quick";
    l->words[n] = NULL;
}

/* Nobody knows where the command is: a person does. */
static nb_status ask_a_person(const command_line *l, nb_error *err) {
    buf text = {0};
    for (int i = 0; l->words[i]; i++) buf_printf(&text, "%s%s", i ? " " : "", l->words[i]);
    err_set(err, NB_ERR_INTERNAL,
            "the driver of %s runs in this process already, which therefore cannot check further kernels: `%s` does, "
            "once; or set NIBBLE_COMMAND to the path of nibble",
            l->device, text.data ? text.data : "nibble verify");
    buf_free(&text);
    return NB_ERR_INTERNAL;
}

/* Its standard output goes nowhere, its standard error into the pipe. */
static int spawn(const command_line *l, const int ends[2], pid_t *child) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error) error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    if (!error) error = posix_spawnp(child, l->words[0], &actions, NULL, (char *const *)l->words, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Reads until the process ends; false: it takes too long. The last line stays in `last`. */
static bool listen_to(int fd, double limit, char *last, size_t size) {
    const double end = clock_now() + limit;
    size_t n = 0;
    bool whole = false;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const double left = end - clock_now();
        char c;
        if (left <= 0) return false;
        if (poll(&p, 1, (int)(left * 1e3) + 1) <= 0) continue;
        const ssize_t got = read(fd, &c, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return true;
        if (whole) n = 0;
        whole = c == '\n';
        if (!whole && n + 1 < size) last[n++] = c;
        last[n] = 0;
    }
}

nb_status check_process_run(void *user, nb_error *err) {
    const check_process *p = user;
    const char *command = getenv("NIBBLE_COMMAND");
    const bool known = command && *command;
    command_line l;
    char last[600] = "";
    int ends[2], state = 0;
    pid_t child;
    put_together(p, known ? command : "nibble", &l);
    if (!known) return ask_a_person(&l, err);
    if (pipe2(ends, O_CLOEXEC) != 0) return err_set(err, NB_ERR_INTERNAL, "no pipe: %s", strerror(errno));
    const int error = spawn(&l, ends, &child);
    close(ends[1]);
    const bool ended = !error && listen_to(ends[0], p->full ? 3600 : 300, last, sizeof last);
    close(ends[0]);
    if (error) return err_set(err, NB_ERR_INTERNAL, "%s cannot be run: %s", command, strerror(error));
    if (!ended) kill(child, SIGKILL);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
    if (ended && WIFEXITED(state) && WEXITSTATUS(state) <= 1) return NB_OK;
    return err_set(err, NB_ERR_INTERNAL, "the process that checks the kernels of %s %s%s%s", l.device,
                   ended ? "failed" : "did not end", last[0] ? ": " : "", last);
}
