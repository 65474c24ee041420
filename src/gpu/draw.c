/* SPDX-License-Identifier: Apache-2.0
 *
 * Draws tokens from the logits of the last run where they lie: samplers go to the device in one copy, tokens come back
 * in another. The host's samplers stay the ones that count, so what can be drawn here or there can change from token to
 * token. To take the most likely token nothing has to go there. */
#include <string.h>

#include "base/num.h"
#include "gpu/executor.h"
#include "gpu/sample.h"

/* Of candidates; more rows take turns. */
enum { SCRATCH_AIM = 64 << 20, MAX_GRID = 65535, ALIGNMENT = 16 };

int64_t gpu_vocab(const gpu_executor *e) {
    const plan *p = e->base.plan;
    return p->logits == PLAN_NONE ? 0 : p->values[p->logits].cols;
}

bool gpu_can_draw(const executor *e, const nb_sampling *s) {
    (void)e;
    return gpu_sampler_ok(s);
}

void gpu_free_drawing(gpu_executor *e) {
    gpu_drawing *d = &e->drawing;
    if (d->block) e->driver->release(e->context, d->block);
    if (d->staging) e->driver->release_host(e->context, d->staging);
    if (d->scratch) e->driver->release(e->context, d->scratch);
    *d = (gpu_drawing){0};
}

/* ---- Room -------------------------------------------------------------------------------------------------------- */

static size_t addresses_at(int64_t n) {
    return round_up((size_t)n * sizeof(int32_t), ALIGNMENT);
}
static size_t samplers_at(int64_t n) {
    return addresses_at(n) + round_up((size_t)n * sizeof(uint64_t), ALIGNMENT);
}
static size_t sampler_size(const nb_sampling *s) {
    return round_up(gpu_sampler_bytes(s), ALIGNMENT);
}

/* Nothing of it is in use: each draw waits for its tokens. */
static nb_status make_room(gpu_executor *e, size_t bytes, nb_error *err) {
    gpu_drawing *d = &e->drawing;
    if (bytes <= d->size) return NB_OK;
    if (d->block) e->driver->release(e->context, d->block);
    if (d->staging) e->driver->release_host(e->context, d->staging);
    d->block = d->staging = NULL;
    d->size = 0;
    d->n_rows = 0;
    const size_t size = round_up(2 * bytes, 4096);
    void *fresh;
    nb_status status = e->driver->alloc(e->context, size, &fresh, err);
    if (status) return status;
    d->block = fresh;
    status = e->driver->alloc_host(e->context, size, &fresh, err);
    if (status) return status;
    d->staging = fresh;
    d->size = size;
    return NB_OK;
}

static nb_status make_scratch(gpu_executor *e, size_t bytes, nb_error *err) {
    gpu_drawing *d = &e->drawing;
    if (bytes <= d->scratch_size) return NB_OK;
    if (d->scratch) e->driver->release(e->context, d->scratch);
    d->scratch = NULL;
    d->scratch_size = 0;
    void *fresh;
    nb_status status = e->driver->alloc(e->context, bytes, &fresh, err);
    if (status) return status;
    d->scratch = fresh;
    d->scratch_size = bytes;
    return NB_OK;
}

/* ---- Drawing ----------------------------------------------------------------------------------------------------- */

/* The samplers, where those that are there already do not serve. */
static nb_status put_samplers(gpu_executor *e, const executor_draw *draws, int64_t n, bool plain, nb_error *err) {
    gpu_drawing *d = &e->drawing;
    if (plain && d->plain && d->n_rows == n) return NB_OK;
    size_t bytes = samplers_at(n);
    for (int64_t i = 0; i < n; i++) bytes += sampler_size(&draws[i].sampling);
    nb_status status = make_room(e, bytes, err);
    if (status) return status;
    uint64_t *addresses = (uint64_t *)(void *)(d->staging + addresses_at(n));
    size_t at = samplers_at(n);
    for (int64_t i = 0; i < n; at += sampler_size(&draws[i++].sampling)) {
        addresses[i] = (uint64_t)(uintptr_t)(d->block + at);
        gpu_sampler_fill(&draws[i].sampling, draws[i].history, draws[i].n_history, d->staging + at);
    }
    const size_t begin = addresses_at(n);
    status = e->driver->write_async(e->context, d->block + begin, d->staging + begin, bytes - begin, err);
    d->plain = plain;
    d->n_rows = status ? 0 : n;
    return status;
}

/* Launches for all rows, so many at a time. */
static nb_status launch(gpu_executor *e, gpu_draw all, int64_t at_once, nb_error *err) {
    nb_status status = NB_OK;
    for (int64_t row = 0; row < all.rows && !status; row += at_once) {
        gpu_launches *to = &e->drawing.to;
        gpu_draw some = all;
        some.rows = min_i64(at_once, all.rows - row);
        some.logits += row * all.stride;
        some.samplers += row;
        some.tokens += row;
        to->traits = e->traits;
        to->n = 0;
        gpu_draw_launches(&some, to);
        for (int i = 0; i < to->n && !status; i++) status = e->driver->launch(e->context, &to->at[i], err);
    }
    return status;
}

nb_status gpu_draw_tokens(executor *base, executor_draw *draws, int64_t n, nb_error *err) {
    gpu_executor *e = (gpu_executor *)base;
    gpu_drawing *d = &e->drawing;
    if (!e->last || e->last->p->n_outputs != n)
        return err_set(err, NB_ERR_INTERNAL, "%lld draws from a run that has not as many outputs", (long long)n);
    const int64_t vocab = gpu_vocab(e);
    gpu_draw all = {.rows = n, .vocab = vocab, .stride = vocab};
    for (int64_t i = 0; i < n; i++) {
        all.random |= draws[i].sampling.temperature > 0;
        all.penalties |= gpu_has_penalties(&draws[i].sampling);
    }
    const int64_t fit = SCRATCH_AIM / (int64_t)gpu_draw_scratch(1, vocab, all.random);
    const int64_t at_once = max_i64(min_i64(min_i64(fit, n), MAX_GRID), 1);
    nb_status status = make_scratch(e, gpu_draw_scratch(at_once, vocab, all.random), err);
    if (!status) status = put_samplers(e, draws, n, !all.random && !all.penalties, err);
    if (status) return status;
    all.logits = (float *)(void *)(e->work + e->last->p->logits_offset);
    all.samplers = (const uint64_t *)(const void *)(d->block + addresses_at(n));
    all.tokens = (int32_t *)(void *)d->block;
    all.scratch = d->scratch;
    status = launch(e, all, at_once, err);
    const size_t bytes = (size_t)n * sizeof(int32_t);
    if (!status) status = e->driver->read_async(e->context, d->staging, d->block, bytes, err);
    if (!status) status = e->driver->sync(e->context, err);
    if (status) return status;
    e->in_flight = false;
    const int32_t *tokens = (const int32_t *)(const void *)d->staging;
    for (int64_t i = 0; i < n; i++) draws[i].token = tokens[i];
    return NB_OK;
}
