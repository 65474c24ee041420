/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading lines by libedit where the build has it and stdin is a terminal, by getline elsewhere. */
#define _GNU_SOURCE
#include "cli/lines.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>
#include <wchar.h>

#if NB_HAVE_LIBEDIT
#    include <histedit.h>
#endif

struct lines {
    bool interactive;
    char *line; /* of getline */
    size_t capacity;
    char *history_path;
    const char *prompt;
#if NB_HAVE_LIBEDIT
    EditLine *edit;
    History *history;
#endif
};

/* ---- libedit --------------------------------------------------------------------------------------------------- */

#if NB_HAVE_LIBEDIT
enum { HISTORY_LINES = 1000 };

static char *prompt_of(EditLine *e) {
    lines *l = NULL;
    el_get(e, EL_CLIENTDATA, &l);
    return (char *)(uintptr_t)l->prompt;
}

/* Waits until there is something to read, be it an error; false: a signal came. Signals that interrupt are let through
 * only while it waits: one that came before, however shortly, is seen and not slept over. */
static bool input_arrives(void) {
    sigset_t hold, before;
    sigemptyset(&hold);
    sigaddset(&hold, SIGINT);
    sigaddset(&hold, SIGTERM);
    sigaddset(&hold, SIGHUP);
    sigprocmask(SIG_BLOCK, &hold, &before);
    fd_set in;
    FD_ZERO(&in);
    FD_SET(STDIN_FILENO, &in);
    bool arrives = !interrupted();
    if (arrives && pselect(STDIN_FILENO + 1, &in, NULL, NULL, NULL, &before) < 0) arrives = errno != EINTR;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return arrives;
}

/* Reads one character. libedit's own reader tries again after a signal; ours gives the line up after Ctrl-C. */
static int read_character(EditLine *e, wchar_t *out) {
    mbstate_t state = {0};
    for (;;) {
        char byte;
        const bool arrives = input_arrives();
        if (interrupted()) return -1;
        if (!arrives) {
            el_set(e, EL_REFRESH); /* back from Ctrl-Z, or the window has a new size */
            continue;
        }
        const ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got < 0 && errno == EINTR && !interrupted()) continue;
        if (got <= 0) return got < 0 ? -1 : 0;
        size_t n = mbrtowc(out, &byte, 1, &state);
        if (n == (size_t)-2) continue; /* more bytes to come */
        if (n == (size_t)-1) {
            state = (mbstate_t){0}; /* no character: ignored */
            continue;
        }
        return 1;
    }
}

static void load_history(lines *l) {
    HistEvent event;
    history(l->history, &event, H_SETSIZE, HISTORY_LINES);
    history(l->history, &event, H_SETUNIQUE, 1);
    if (l->history_path) history(l->history, &event, H_LOAD, l->history_path);
}

static bool open_editor(lines *l) {
    /* Answers may go to a file; what is typed stays on the terminal. */
    l->edit = el_init("nibble", stdin, isatty(STDOUT_FILENO) ? stdout : stderr, stderr);
    l->history = history_init();
    if (!l->edit || !l->history) return false;
    el_set(l->edit, EL_CLIENTDATA, l);
    el_set(l->edit, EL_PROMPT, prompt_of);
    el_set(l->edit, EL_EDITOR, "emacs");
    el_set(l->edit, EL_HIST, history, l->history);
    el_set(l->edit, EL_SIGNAL, 1);
    el_set(l->edit, EL_GETCFN, read_character);
    el_set(l->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(l->edit, NULL); /* ~/.editrc */
    load_history(l);
    return true;
}

static line_result read_edited(lines *l, const char **text) {
    int n = 0;
    const char *line = el_gets(l->edit, &n);
    if (!line || n <= 0) {
        if (!interrupted()) return LINE_END;
        fputs("\n", stderr);
        return LINE_INTERRUPTED;
    }
    free(l->line);
    l->line = strndup(line, strcspn(line, "\n"));
    *text = l->line ? l->line : "";
    return LINE_OK;
}
#endif

/* ---- Both ------------------------------------------------------------------------------------------------------ */

nb_status lines_open(const char *history_path, lines **out, nb_error *err) {
    lines *l = calloc(1, sizeof *l);
    if (!l) return err_no_memory(err, "line editor", sizeof *l);
    l->interactive = isatty(STDIN_FILENO);
    l->history_path = history_path ? strdup(history_path) : NULL;
#if NB_HAVE_LIBEDIT
    if (l->interactive && !open_editor(l)) {
        lines_close(l);
        return err_set(err, NB_ERR_IO, "this terminal (TERM=%s) cannot edit lines",
                       getenv("TERM") ? getenv("TERM") : "");
    }
#endif
    *out = l;
    return NB_OK;
}

void lines_close(lines *l) {
    if (!l) return;
#if NB_HAVE_LIBEDIT
    if (l->history) history_end(l->history);
    if (l->edit) el_end(l->edit);
#endif
    free(l->line);
    free(l->history_path);
    free(l);
}

bool lines_interactive(const lines *l) {
    return l->interactive;
}

line_result lines_read(lines *l, const char *prompt, const char **text) {
    l->prompt = prompt;
#if NB_HAVE_LIBEDIT
    if (l->edit) return read_edited(l, text);
#endif
    if (l->interactive) {
        fputs(prompt, stderr);
        fflush(stderr);
    }
    ssize_t n = getline(&l->line, &l->capacity, stdin);
    if (n < 0) {
        if (!interrupted()) return LINE_END;
        clearerr(stdin);
        return LINE_INTERRUPTED;
    }
    if (n > 0 && l->line[n - 1] == '\n') l->line[n - 1] = 0;
    *text = l->line;
    return LINE_OK;
}

void lines_remember(lines *l, const char *text) {
#if NB_HAVE_LIBEDIT
    HistEvent event;
    if (!l->history || !*text) return;
    history(l->history, &event, H_ENTER, text);
    if (l->history_path) history(l->history, &event, H_SAVE, l->history_path);
#else
    (void)l;
    (void)text;
#endif
}
