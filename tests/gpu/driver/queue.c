/* SPDX-License-Identifier: Apache-2.0
 *
 * Running what is queued, while the device's memory is open. */
#define _GNU_SOURCE
#include "gpu/driver/queue.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int lasting_error;

void sim_lock(void) {
    pthread_mutex_lock(&lock);
}

void sim_unlock(void) {
    pthread_mutex_unlock(&lock);
}

int sim_lasting_error(void) {
    return lasting_error;
}

int list_add(sim_list *l, const sim_item *item) {
    if (l->n == l->cap) {
        const size_t cap = 2 * l->cap + 16;
        sim_item *items = realloc(l->items, cap * sizeof *items);
        if (!items) return DRIVER_NO_MEMORY;
        l->items = items;
        l->cap = cap;
    }
    l->items[l->n++] = *item;
    return DRIVER_OK;
}

void list_free(sim_list *l) {
    free(l->items);
    *l = (sim_list){0};
}

/* The host's side of a copy needs no check: it crashes by itself. */
static bool copy(const sim_item *item, char error[SIM_ERROR_TEXT]) {
    if (!sim_holds(item->to, item->bytes) && !sim_holds(item->from, item->bytes)) {
        snprintf(error, SIM_ERROR_TEXT, "a copy of %zu bytes to %p that the device does not have", item->bytes,
                 item->to);
        return false;
    }
    memcpy(item->to, item->from, item->bytes);
    return true;
}

static bool run_item(const sim_item *item, char error[SIM_ERROR_TEXT]) {
    switch (item->kind) {
    case WORK_LAUNCH:
        return device_run(item, error);
    case WORK_GEMM:
        memset(item->to, 0xff, item->bytes);
        gemm_run(&item->gemm);
        return true;
    case WORK_COPY:
        return copy(item, error);
    case WORK_FILL:
        memset(item->to, item->value, item->bytes);
        return true;
    case WORK_EVENT:
        item->event->recorded = true;
        item->event->n_queued--;
        item->event->seconds = clock_now();
        return true;
    }
    return false;
}

/* With $NB_SIM_LOST the device breaks when so many items have run, counted from when it was first seen. */
static bool is_lost(char error[SIM_ERROR_TEXT]) {
    static long n;
    const char *after = getenv("NB_SIM_LOST");
    if (!after || n++ < atol(after)) return false;
    snprintf(error, SIM_ERROR_TEXT, "it was made to break");
    return true;
}

int stream_run(sim_stream *s) {
    char error[SIM_ERROR_TEXT];
    sim_open(true);
    for (size_t i = 0; i < s->list.n && !lasting_error; i++) {
        if (!is_lost(error) && run_item(&s->list.items[i], error)) continue;
        fprintf(stderr, "simulated GPU: %s\n", error);
        lasting_error = DRIVER_LAUNCH_FAILED;
    }
    sim_open(false);
    list_free(&s->list);
    return lasting_error;
}

int sim_wrong(int error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("simulated GPU: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return error;
}

int sim_submit(void *stream, const sim_item *item) {
    sim_stream *s = stream;
    sim_lock();
    int error = s ? lasting_error : DRIVER_INVALID_HANDLE;
    if (!error) error = list_add(s->capture ? s->capture : &s->list, item);
    sim_unlock();
    return error;
}
