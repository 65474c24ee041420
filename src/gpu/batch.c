/* SPDX-License-Identifier: Apache-2.0
 *
 * A batch goes to the device in one copy: tokens, positions, slots, outputs, the list of page tables, the tables; of a
 * part of a model, what it gets from another one follows. */
#include <string.h>

#include "base/num.h"
#include "gpu/executor.h"

batch_layout gpu_batch_layout(int64_t n_tokens, int64_t n_outputs) {
    const size_t n = round_up((size_t)n_tokens * sizeof(int32_t), 16);
    batch_layout l = {.positions = n, .slots = 2 * n, .outputs = 3 * n};
    l.tables = l.outputs + round_up((size_t)n_outputs * sizeof(int32_t), 16);
    l.pages = l.tables + round_up((size_t)n_tokens * sizeof(void *), 16);
    return l;
}

/* Pages that the sequence of tokens [from, to) holds, as far as the last of them. */
static size_t table_bytes(const batch *b, int64_t last) {
    return round_up(((size_t)b->positions[last] / KV_PAGE_SIZE + 1) * sizeof(int32_t), 16);
}

/* The end of the run of tokens that share a table. */
static int64_t run_end(const batch *b, int64_t first) {
    int64_t end = first + 1;
    while (end < b->n_tokens && b->tables[end] == b->tables[first]) end++;
    return end;
}

/* Larger blocks, for whatever comes; what was there is not kept. */
static nb_status grow(gpu_executor *e, size_t bytes, nb_error *err) {
    if (bytes <= e->batch_size) return NB_OK;
    const size_t size = round_up(2 * bytes, 4096);
    const gpu_driver *d = e->driver;
    gpu_free_programs(e); /* their launches point into the block */
    if (e->batch) d->release(e->context, e->batch);
    if (e->staging) d->release_host(e->context, e->staging);
    e->batch = e->staging = NULL;
    e->batch_size = 0;
    void *fresh;
    nb_status status = d->alloc(e->context, size, &fresh, err);
    if (status) return status;
    e->batch = fresh;
    status = d->alloc_host(e->context, size, &fresh, err);
    if (status) return status;
    e->staging = fresh;
    e->batch_size = size;
    return NB_OK;
}

nb_status gpu_put_batch(gpu_executor *e, const batch *b, nb_error *err) {
    const batch_layout l = gpu_batch_layout(b->n_tokens, b->n_outputs);
    size_t bytes = l.pages;
    for (int64_t t = 0; t < b->n_tokens; t = run_end(b, t)) bytes += table_bytes(b, run_end(b, t) - 1);
    nb_status status = NB_OK;
    if (e->in_flight) status = e->driver->sync(e->context, err);
    e->in_flight = false;
    if (!status) status = grow(e, bytes, err);
    if (status) return status;
    uint8_t *to = e->staging;
    const size_t n = (size_t)b->n_tokens * sizeof(int32_t);
    memcpy(to + l.tokens, b->tokens, n);
    memcpy(to + l.positions, b->positions, n);
    if (e->base.plan->n_states) memcpy(to + l.slots, b->slots, n);
    if (b->n_outputs) memcpy(to + l.outputs, b->outputs, (size_t)b->n_outputs * sizeof(int32_t));
    const void **tables = (const void **)(void *)(to + l.tables);
    size_t at = l.pages;
    for (int64_t t = 0, end; t < b->n_tokens; t = end) {
        end = run_end(b, t);
        const size_t size = table_bytes(b, end - 1);
        memset(to + at, 0, size);
        memcpy(to + at, b->tables[t], ((size_t)b->positions[end - 1] / KV_PAGE_SIZE + 1) * sizeof(int32_t));
        for (int64_t i = t; i < end; i++) tables[i] = e->batch + at;
        at += size;
    }
    e->in_flight = true;
    return e->driver->write_async(e->context, e->batch, e->staging, bytes, err);
}

/* ---- Between parts of a model ---------------------------------------------------------------------------------- */

static size_t value_bytes(const gpu_executor *e, int value, int64_t n_tokens) {
    return round_up((size_t)(n_tokens * e->base.plan->values[value].cols) * sizeof(float), 16);
}

/* Room on the host for so many values. */
static nb_status crossing_room(gpu_executor *e, const int *values, int n, int64_t n_tokens, nb_error *err) {
    size_t bytes = 0;
    for (int i = 0; i < n; i++) bytes += value_bytes(e, values[i], n_tokens);
    if (bytes <= e->crossing_size) return NB_OK;
    if (e->crossing) e->driver->release_host(e->context, e->crossing);
    e->crossing = NULL;
    e->crossing_size = 0;
    void *fresh;
    nb_status status = e->driver->alloc_host(e->context, bytes, &fresh, err);
    if (status) return status;
    e->crossing = fresh;
    e->crossing_size = bytes;
    return NB_OK;
}

nb_status gpu_put_inputs(gpu_executor *e, const batch *b, const program *p, nb_error *err) {
    const plan *part = e->base.plan;
    nb_status status = crossing_room(e, part->inputs, part->n_inputs, b->n_tokens, err);
    size_t at = 0;
    for (int i = 0; i < part->n_inputs && !status; i++) {
        const size_t bytes = (size_t)(b->n_tokens * part->values[part->inputs[i]].cols) * sizeof(float);
        memcpy(e->crossing + at, b->inputs[i], bytes);
        status = e->driver->write_async(e->context, e->work + p->input_offsets[i], e->crossing + at, bytes, err);
        at += value_bytes(e, part->inputs[i], b->n_tokens);
    }
    return status;
}

nb_status gpu_fetch_results(gpu_executor *e, const program *p, nb_error *err) {
    const plan *part = e->base.plan;
    nb_status status = part->n_inputs ? e->driver->sync(e->context, err) : NB_OK; /* which lie in the same memory */
    if (!status) status = crossing_room(e, part->results, part->n_results, p->n_tokens, err);
    size_t at = 0;
    for (int i = 0; i < part->n_results && !status; i++) {
        const size_t bytes = (size_t)(p->n_tokens * part->values[part->results[i]].cols) * sizeof(float);
        status = e->driver->read_async(e->context, e->crossing + at, e->work + p->result_offsets[i], bytes, err);
        e->base.results[i] = (const float *)(const void *)(e->crossing + at);
        at += value_bytes(e, part->results[i], p->n_tokens);
    }
    return status ? status : e->driver->sync(e->context, err);
}
