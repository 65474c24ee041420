/* SPDX-License-Identifier: Apache-2.0
 *
 * The progress bar. A stage that is over within a second shows nothing, nor does one whose stderr is no terminal. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"

static struct {
    char stage[32];
    double started, drawn; /* seconds of the clock */
    double done;
    bool visible;
    int terminal; /* -1: not asked yet */
} bar = {.terminal = -1};

void progress_clear(void) {
    if (bar.visible) fputs("\r\033[K", stderr);
    bar.visible = false;
}

/* "1:05 left" after some seconds, when the rate so far says something. */
static void time_left(char text[32], double part, double passed) {
    text[0] = 0;
    if (passed < 3 || part <= 0.01) return;
    double left = passed / part * (1 - part);
    if (left < 3600)
        snprintf(text, 32, "  %d:%02d left", (int)left / 60, (int)left % 60);
    else
        snprintf(text, 32, "  %.1f hours left", left / 3600);
}

static void draw(const char *stage, double part, double passed) {
    char left[32];
    time_left(left, part, passed);
    struct winsize size = {0};
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    int width = columns - (int)strlen(stage) - (int)strlen(left) - 10;
    if (width > 40) width = 40;
    fprintf(stderr, "\r\033[K%s ", stage);
    if (width >= 10) {
        int full = (int)(part * width);
        fputc('[', stderr);
        for (int i = 0; i < width; i++) fputc(i < full ? '=' : i == full ? '>' : ' ', stderr);
        fputs("] ", stderr);
    }
    fprintf(stderr, "%3.0f%%%s", part * 100, left);
    fflush(stderr);
    bar.visible = true;
}

bool progress_show(void *user, const char *stage, double done, double total) {
    (void)user;
    if (interrupted()) return false;
    if (bar.terminal < 0) bar.terminal = isatty(STDERR_FILENO);
    if (!bar.terminal) return true;
    double now = clock_now();
    if (strncmp(bar.stage, stage, sizeof bar.stage - 1) != 0 || done < bar.done) { /* a new stage, or the same anew */
        progress_clear();
        snprintf(bar.stage, sizeof bar.stage, "%s", stage);
        bar.started = now;
    }
    bar.done = done;
    if (done >= total) {
        progress_clear();
        bar.stage[0] = 0;
    } else if (now - bar.started > 1 && (!bar.visible || now - bar.drawn > 0.1)) {
        draw(bar.stage, done > 0 ? done / total : 0, now - bar.started);
        bar.drawn = now;
    }
    return true;
}
