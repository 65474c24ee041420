/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring on the device: what each call of a program takes within a graph, and what the device's own copy reaches.
 * Calls that are alike but for their layer run one after the other in a graph of their own, so that each finds its
 * weights in memory as in a real pass, and the time between kernels counts as it does there. */
#include <stdlib.h>

#include "base/num.h"
#include "gpu/executor.h"

enum { ROUNDS = 4 };

static bool same_matrix(const kmat *a, const kmat *b) {
    return a->type == b->type && a->rows == b->rows && a->cols == b->cols;
}

static bool alike(const program_call *a, const program_call *b) {
    const kweight *v = a->call.w, *w = b->call.w;
    return a->row == b->row && same_matrix(&a->call.x, &b->call.x) && same_matrix(&a->call.y, &b->call.y) && !v == !w &&
           (!v || (v->n == w->n && v->k == w->k && v->bits == w->bits)) && a->call.window == b->call.window &&
           (a->call.softcap > 0) == (b->call.softcap > 0) && a->call.normed == b->call.normed &&
           !a->call.z.data == !b->call.z.data;
}

/* The launches of all calls that are like call `first`, as a graph; *n: how many calls they are. */
static nb_status capture_group(gpu_executor *e, const program *p, int first, gpu_graph **graph, int *n, nb_error *err) {
    gpu_launches *l = malloc(sizeof *l);
    if (!l) return err_no_memory(err, "a profile", sizeof *l);
    nb_status status = e->driver->capture_begin(e->context, err);
    if (status) {
        free(l);
        return status;
    }
    *n = 0;
    for (int i = first; i < p->n_calls && !status; i++) {
        if (!alike(&p->calls[first], &p->calls[i])) continue;
        status = gpu_enqueue(e, &p->calls[i], 0, l, err);
        for (int j = 0; j < l->n && !status; j++) status = e->driver->launch(e->context, &l->at[j], err);
        ++*n;
    }
    free(l);
    nb_status ended = e->driver->capture_end(e->context, graph, status ? NULL : err);
    return status ? status : ended;
}

static nb_status time_graph(const gpu_driver *d, gpu_context *c, gpu_graph *graph, gpu_event *const events[2],
                            double *best, nb_error *err) {
    nb_status status = NB_OK;
    for (int r = 0; r < ROUNDS && !status; r++) {
        double seconds;
        status = d->event_record(c, events[0], err);
        if (!status) status = d->graph_launch(c, graph, err);
        if (!status) status = d->event_record(c, events[1], err);
        if (!status) status = d->event_seconds(c, events[0], events[1], &seconds, err);
        if (!status && (r == 0 || seconds < *best)) *best = seconds;
    }
    return status;
}

static nb_status make_events(const gpu_driver *d, gpu_context *c, gpu_event *events[2], nb_error *err) {
    nb_status status = d->event_new(c, &events[0], err);
    return status ? status : d->event_new(c, &events[1], err);
}

static void free_events(const gpu_driver *d, gpu_context *c, gpu_event *events[2]) {
    for (int i = 0; i < 2; i++)
        if (events[i]) d->event_free(c, events[i]);
}

nb_status gpu_profile(executor *base, double *seconds, int n, nb_error *err) {
    gpu_executor *e = (gpu_executor *)base;
    const program *p = e->last ? e->last->p : NULL;
    gpu_event *events[2] = {NULL, NULL};
    if (!p || p->n_calls != n) return err_set(err, NB_ERR_INTERNAL, "a profile of %d calls, which nothing ran", n);
    nb_status status = make_events(e->driver, e->context, events, err);
    for (int i = 0; i < n && !status; i++) {
        int first = 0, count = 1;
        gpu_graph *graph = NULL;
        double best = 0;
        while (!alike(&p->calls[first], &p->calls[i])) first++;
        if (first < i) {
            seconds[i] = seconds[first];
            continue;
        }
        status = capture_group(e, p, i, &graph, &count, err);
        if (!status) status = time_graph(e->driver, e->context, graph, events, &best, err);
        if (graph) e->driver->graph_free(e->context, graph);
        seconds[i] = best / count;
    }
    free_events(e->driver, e->context, events);
    return status;
}

static nb_status copy_rate(const gpu_driver *d, gpu_context *c, double *bytes_per_second, nb_error *err) {
    uint64_t available, total;
    void *from = NULL, *to = NULL;
    gpu_event *events[2] = {NULL, NULL};
    nb_status status = d->memory(c, &available, &total, err);
    if (status) return status;
    const size_t bytes = (size_t)min_i64((int64_t)1 << 30, (int64_t)(available / 3) & -4096);
    status = d->alloc(c, bytes, &from, err);
    if (!status) status = d->alloc(c, bytes, &to, err);
    if (!status) status = make_events(d, c, events, err);
    *bytes_per_second = 0;
    for (int r = 0; r < ROUNDS && !status; r++) {
        enum { COPIES = 8 };
        double seconds;
        status = d->event_record(c, events[0], err);
        for (int i = 0; i < COPIES && !status; i++) status = d->copy(c, to, from, bytes, err);
        if (!status) status = d->event_record(c, events[1], err);
        if (!status) status = d->event_seconds(c, events[0], events[1], &seconds, err);
        const double rate = status ? 0 : 2.0 * COPIES * (double)bytes / seconds;
        if (rate > *bytes_per_second) *bytes_per_second = rate;
    }
    free_events(d, c, events);
    if (from) d->release(c, from);
    if (to) d->release(c, to);
    return status;
}

nb_status gpu_copy_rate(executor *e, double *bytes_per_second, nb_error *err) {
    return copy_rate(((gpu_executor *)e)->driver, ((gpu_executor *)e)->context, bytes_per_second, err);
}

nb_status gpu_device_copy_rate(device *d, double *bytes_per_second, nb_error *err) {
    gpu_context *c;
    nb_status status = gpu_device_context(d, &c, err);
    return status ? status : copy_rate(gpu_device_driver(d), c, bytes_per_second, err);
}

static nb_status capture_calls(const gpu_driver *d, gpu_context *c, const gpu_traits *traits, const krow *row,
                               const kcall *const *calls, int n, void *scratch, bool prepare, nb_error *err) {
    gpu_launches *l = malloc(sizeof *l);
    nb_status status = l ? NB_OK : err_no_memory(err, "launches", sizeof *l);
    for (int i = 0; i < n && !status; i++) {
        status = gpu_launches_of(traits, row, calls[i], scratch, l, err);
        for (int j = 0; j < l->n && !status; j++)
            status = prepare ? d->prepare(c, &l->at[j], err) : d->launch(c, &l->at[j], err);
    }
    free(l);
    return status;
}

nb_status gpu_device_time(device *dev, const krow *row, const kcall *const *calls, int n, void *scratch,
                          double *seconds, nb_error *err) {
    const gpu_driver *d = gpu_device_driver(dev);
    const gpu_traits *traits = gpu_device_traits(dev);
    gpu_context *c;
    gpu_graph *graph = NULL;
    gpu_event *events[2] = {NULL, NULL};
    nb_status status = gpu_device_context(dev, &c, err);
    if (status) return status;
    status = capture_calls(d, c, traits, row, calls, n, scratch, true, err);
    if (!status) status = make_events(d, c, events, err);
    if (!status) status = d->capture_begin(c, err);
    if (!status) {
        status = capture_calls(d, c, traits, row, calls, n, scratch, false, err);
        nb_status ended = d->capture_end(c, &graph, status ? NULL : err);
        if (!status) status = ended;
    }
    if (!status) status = time_graph(d, c, graph, events, seconds, err);
    if (graph) d->graph_free(c, graph);
    free_events(d, c, events);
    *seconds /= n;
    return status;
}
