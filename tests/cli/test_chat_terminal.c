/* SPDX-License-Identifier: Apache-2.0
 *
 * nibble chat at a terminal: a pseudo-terminal plays the person. Ctrl-C stops the answer and not the program, the
 * history brings lines back, also in the next session, Ctrl-D leaves. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

typedef struct session {
    int terminal;
    pid_t pid;
    char seen[1 << 16]; /* what the terminal showed since the last `expect` */
    size_t n;
} session;

static char home[] = "/tmp/nibble-chat-XXXXXX";

static session *start(void) {
    session *s = calloc(1, sizeof *s);
    assert_non_null(s);
    const char *bin = getenv("NB_BIN"), *model = getenv("NB_TEST_MODEL");
    assert_non_null(bin);
    assert_non_null(model);
    struct winsize size = {.ws_row = 24, .ws_col = 200};
    s->pid = forkpty(&s->terminal, NULL, NULL, &size);
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        setenv("NIBBLE_HOME", home, 1);
        setenv("TERM", "xterm", 1);
        execl(bin, bin, "chat", model, (char *)NULL);
        _exit(127);
    }
    return s;
}

/* Reads until the terminal shows `text` after what was expected before; false when it ends or takes too long. */
static bool expect(session *s, const char *text) {
    double end = clock_now() + 120;
    for (;;) {
        char *at = strstr(s->seen, text);
        if (at) {
            size_t used = (size_t)(at - s->seen) + strlen(text);
            memmove(s->seen, s->seen + used, s->n - used + 1);
            s->n -= used;
            return true;
        }
        struct pollfd p = {s->terminal, POLLIN, 0};
        if (clock_now() > end || s->n + 1 >= sizeof s->seen || poll(&p, 1, 1000) < 0) break;
        if (!p.revents) continue;
        ssize_t got = read(s->terminal, s->seen + s->n, sizeof s->seen - 1 - s->n);
        if (got <= 0) break;
        s->n += (size_t)got;
        s->seen[s->n] = 0;
    }
    print_message("expected \"%s\", saw \"%s\"\n", text, s->seen);
    return false;
}

/* The prompt is there, and keys go to the line editor. */
static bool expect_prompt(session *s) {
    if (!expect(s, "> ")) return false;
    for (int i = 0; i < 1000; i++) {
        struct termios t;
        if (tcgetattr(s->terminal, &t) == 0 && !(t.c_lflag & ICANON)) return true;
        usleep(10000);
    }
    return false;
}

static void type(session *s, const char *keys) {
    assert_int_equal(write(s->terminal, keys, strlen(keys)), strlen(keys));
}

/* The exit code, or -1. */
static int finish(session *s) {
    int status = 0;
    char rest[4096];
    while (read(s->terminal, rest, sizeof rest) > 0) {
    }
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    close(s->terminal);
    free(s);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_conversation(void **state) {
    (void)state;
    session *s = start();
    assert_true(expect(s, "/help lists commands"));
    assert_true(expect_prompt(s));
    type(s, "What is the capital of Framce?\x1b[D\x1b[D\x1b[D\x7fn\n"); /* a misspelling put right */
    assert_true(expect(s, "The capital of France is Paris."));
    assert_true(expect_prompt(s));
    /* The answer stops, the next question is answered. */
    type(s, "Write a very long story about a cat.\n");
    assert_true(expect(s, "cat."));
    assert_true(expect(s, "a"));
    assert_true(expect(s, " "));
    type(s, "\x03");
    assert_true(expect_prompt(s));
    type(s, "/reset\n");
    assert_true(expect(s, "starts over"));
    assert_true(expect_prompt(s));
    type(s, "\x1b[A\x1b[A\x1b[A\n"); /* three lines up: the first question */
    assert_true(expect(s, "The capital of France is Paris."));
    assert_true(expect_prompt(s));
    /* At the prompt Ctrl-C drops the line. */
    type(s, "dropped\x03");
    assert_true(expect(s, "Ctrl-D or /exit leaves"));
    assert_true(expect_prompt(s));
    type(s, "\x04");
    assert_int_equal(finish(s), 0);
}

static void test_next_session(void **state) {
    (void)state;
    session *s = start();
    assert_true(expect_prompt(s));
    type(s, "\x1b[A\x1b[A\x01\x0b/stats\n"); /* two lines up, to its beginning, cut it off */
    assert_true(expect(s, "statistics are on"));
    assert_true(expect_prompt(s));
    type(s, "\x1b[A\x1b[A");
    assert_true(expect(s, "What is the capital of France?"));
    type(s, "\x15/exit\n");
    assert_int_equal(finish(s), 0);
}

/* Another signal than Ctrl-C ends the program, and the terminal is as it was. */
static void test_termination(void **state) {
    (void)state;
    session *s = start();
    assert_true(expect_prompt(s));
    kill(s->pid, SIGTERM);
    assert_int_equal(finish(s), 130);
}

static int make_home(void **state) {
    (void)state;
    return mkdtemp(home) ? 0 : -1;
}

static int remove_home(void **state) {
    (void)state;
    return dir_remove(home, NULL) ? -1 : 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversation),
        cmocka_unit_test(test_next_session),
        cmocka_unit_test(test_termination),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
