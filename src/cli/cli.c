/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors, streams and signals of the command. Only here does nibble write to stderr or install a handler. */
#define _GNU_SOURCE
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

/* ---- Errors ---------------------------------------------------------------------------------------------------- */

/* One line, whatever the text holds: names from files and texts of templates may hold anything. */
static void print_line(const char *format, va_list args) {
    char text[2048];
    vsnprintf(text, sizeof text, format, args);
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' ')) text[--n] = 0;
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = ' ';
    progress_clear();
    fflush(stdout);
    fprintf(stderr, "nibble: %s\n", text);
}

void cli_note(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line(format, args);
    va_end(args);
}

int cli_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line(format, args);
    va_end(args);
    return CLI_FAILURE;
}

int cli_usage(const char *subcommand, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cli_note("%s (see `nibble %s%s--help`)", text, subcommand ? subcommand : "", subcommand ? " " : "");
    return CLI_USAGE;
}

static int out_errno; /* why stdout failed first; 0: it did not */

int cli_error(const nb_error *err) {
    if (err->status == NB_ERR_CANCELLED && (interrupted() || out_errno)) { /* people know; out_finish tells the rest */
        progress_clear();
        return interrupted() ? CLI_INTERRUPTED : CLI_FAILURE;
    }
    return cli_fail("%s", err->text);
}

/* Edits (insert, remove, replace, swap neighbours) that turn a into b; long words are far from everything. */
static size_t edit_distance(const char *a, const char *b) {
    enum { MAX = 40 };
    size_t n = strlen(a), m = strlen(b), d[MAX + 1][MAX + 1];
    if (n > MAX || m > MAX) return MAX;
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *cli_nearest(const char *word, const char *const *words, size_t n) {
    const char *near = NULL;
    size_t best = strlen(word) / 3 + 2; /* further away it would be a guess */
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(word, words[i]);
        if (d < best) {
            best = d;
            near = words[i];
        }
    }
    return near;
}

/* ---- Streams --------------------------------------------------------------------------------------------------- */

static bool out_result(bool ok) {
    if (!ok && !out_errno) out_errno = errno ? errno : EIO;
    return !out_errno;
}

bool out_write(const char *data, size_t n) {
    if (out_errno) return false;
    errno = 0;
    return out_result(fwrite(data, 1, n, stdout) == n);
}

bool out_printf(const char *format, ...) {
    if (out_errno) return false;
    va_list args;
    va_start(args, format);
    errno = 0;
    bool ok = vprintf(format, args) >= 0;
    va_end(args);
    return out_result(ok);
}

/* Bytes at the front of a text that do nothing to a terminal but show characters. */
static size_t harmless(const char *text, size_t n) {
    size_t i = 0;
    while (i < n) {
        unsigned char c = (unsigned char)text[i];
        bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
        /* U+0080 to U+009F are control characters too */
        if (c == 0xc2 && i + 1 < n && (unsigned char)text[i + 1] < 0xa0) control = true;
        if (control) break;
        i++;
    }
    return i;
}

bool out_text(const char *text, size_t n) {
    static int terminal = -1;
    if (terminal < 0) terminal = isatty(STDOUT_FILENO);
    progress_clear();
    while (n > 0) {
        size_t part = terminal ? harmless(text, n) : n;
        if (!out_write(text, part)) return false;
        if (part < n) part += (unsigned char)text[part] == 0xc2 ? 2 : 1;
        text += part;
        n -= part;
    }
    errno = 0;
    return out_result(fflush(stdout) == 0);
}

int out_finish(int code) {
    errno = 0;
    if (!out_errno) out_result(fflush(stdout) == 0);
    if (!out_errno) return code;
    if (out_errno != EPIPE) cli_fail("standard output: %s", strerror(out_errno));
    /* What is still buffered would be tried again at exit. */
    if (!freopen("/dev/null", "w", stdout)) _exit(code ? code : CLI_FAILURE);
    out_errno = 0;
    return code ? code : CLI_FAILURE;
}

nb_status input_read(const char *path, size_t max_bytes, buf *out, nb_error *err) {
    bool is_stdin = !strcmp(path, "-");
    const char *name = is_stdin ? "standard input" : path;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? NB_ERR_NOT_FOUND : NB_ERR_IO, "%s: cannot open: %s", name,
                       strerror(errno));
    nb_status status = NB_OK;
    for (;;) {
        char part[16384];
        ssize_t got = read(fd, part, sizeof part);
        if (got < 0 && errno == EINTR && !interrupted()) continue;
        if (got < 0 && errno == EINTR)
            status = err_set(err, NB_ERR_CANCELLED, "%s: interrupted", name);
        else if (got < 0)
            status = err_set(err, NB_ERR_IO, "%s: cannot read: %s", name, strerror(errno));
        else if (out->len + (size_t)got > max_bytes)
            status = err_set(err, NB_ERR_LIMIT, "%s: longer than the %zu bytes expected at most", name, max_bytes);
        if (got <= 0 || status) break;
        buf_put(out, part, (size_t)got);
    }
    if (!is_stdin) close(fd);
    buf_put(out, "", 0);
    if (!status && out->failed) status = err_no_memory(err, name, out->len);
    return status;
}

/* ---- Signals --------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t signal_count, other_count; /* all; those that are not SIGINT */
static volatile sig_atomic_t keep_running;

enum { CLEANUP_MAX = 16 };
static char cleanup_paths[CLEANUP_MAX][PATH_MAX];
static volatile sig_atomic_t n_cleanup;

bool cleanup_add(const char *path) {
    if (n_cleanup == CLEANUP_MAX || strlen(path) >= PATH_MAX) return false;
    strcpy(cleanup_paths[n_cleanup], path);
    n_cleanup = n_cleanup + 1;
    return true;
}

/* Async-signal-safe. */
void cleanup_run(void) {
    while (n_cleanup > 0) {
        n_cleanup = n_cleanup - 1;
        const char *path = cleanup_paths[n_cleanup];
        if (unlink(path) != 0) rmdir(path);
    }
}

static void on_signal(int number) {
    int saved = errno;
    signal_count = signal_count + 1;
    if (number != SIGINT) other_count = other_count + 1;
    if (signal_count > 1 && !(keep_running && number == SIGINT)) {
        cleanup_run();
        _exit(128 + number);
    }
    errno = saved;
}

void signals_install(void) {
    /* A handler without SA_RESTART: a blocking read returns, and sees the flag. */
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    /* A reader that went away is an error of write(), not the end without a clean-up. */
    signal(SIGPIPE, SIG_IGN);
}

bool interrupted(void) {
    return signal_count > 0;
}
void interrupted_clear(void) {
    signal_count = other_count;
}
bool should_end(void) {
    return other_count > 0;
}
void signals_keep_running(void) {
    keep_running = 1;
}
