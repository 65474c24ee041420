/* SPDX-License-Identifier: Apache-2.0
 *
 * Draws tokens from the logits of the last run where they lie, by calls of PENALIZE and DRAW: samplers go to the device
 * in one copy, tokens come back in another. The host's samplers stay the ones that count, so what can be drawn here or
 * there can change from token to token. To take the most likely token nothing has to go there. */
#include "base/num.h"
#include "gpu/executor.h"
#include "gpu/rows.h"
#include "kernels/sampler.h"

enum { ALIGNMENT = 16, MAX_BIASES = 4096, MAX_LOOK_BACK = 4096 };
_Static_assert(ALIGNMENT % KSAMPLER_UNIT == 0, "samplers lie where slots can say");

int64_t gpu_vocab(const gpu_executor *e) {
    const plan *p = e->base.plan;
    return p->logits == PLAN_NONE ? 0 : p->values[p->logits].cols;
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

/* For rows of logits; nothing is in place. */
static kcall call_of(const gpu_executor *e, kop op, int64_t rows, bool samplers) {
    const int64_t vocab = gpu_vocab(e);
    kcall c = {.op = op, .x = {.data = LOWER_SOMEWHERE, .type = DT_F32, .rows = rows, .cols = vocab, .stride = vocab}};
    c.y = c.x;
    if (op == KOP_DRAW) c.y.cols = c.y.stride = 1;
    if (samplers) c.samplers = c.slots = LOWER_SOMEWHERE;
    return c;
}

static const krow *row_for(const gpu_executor *e, kop op, bool samplers) {
    const kcall c = call_of(e, op, 1, samplers);
    return kreg_find(e->device->registry, &c);
}

bool gpu_can_draw(const executor *base, const nb_sampling *s) {
    const gpu_executor *e = (const gpu_executor *)base;
    if (s->xtc_probability > 0 || s->n_logit_bias > MAX_BIASES || ksampler_look_back(s) > MAX_LOOK_BACK) return false;
    return row_for(e, KOP_DRAW, s->temperature > 0) && (!ksampler_penalizes(s) || row_for(e, KOP_PENALIZE, true));
}

void gpu_visit_draws(const executor *base, int64_t n, executor_call_fn visit, void *user) {
    static const struct {
        kop op;
        bool samplers;
    } kinds[] = {{KOP_PENALIZE, true}, {KOP_DRAW, false}, {KOP_DRAW, true}};
    const gpu_executor *e = (const gpu_executor *)base;
    const int64_t vocab = gpu_vocab(e), rows = vocab ? min_i64(n, gpu_draws_at_once(vocab)) : 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && rows > 0; i++) {
        const kcall c = call_of(e, kinds[i].op, rows, kinds[i].samplers);
        const krow *row = kreg_find(e->device->registry, &c);
        if (row) visit(user, PLAN_NONE, row, &c);
    }
}

void gpu_free_drawing(gpu_executor *e) {
    gpu_drawing *d = &e->drawing;
    if (d->block) e->driver->release(e->context, d->block);
    if (d->staging) e->driver->release_host(e->context, d->staging);
    if (d->scratch) e->driver->release(e->context, d->scratch);
    *d = (gpu_drawing){0};
}

/* ---- Room -------------------------------------------------------------------------------------------------------- */

static size_t slots_at(int64_t n) {
    return round_up((size_t)n * sizeof(float), ALIGNMENT);
}
static size_t samplers_at(int64_t n) {
    return slots_at(n) + round_up((size_t)n * sizeof(int32_t), ALIGNMENT);
}

/* Nothing of it is in use: each draw waits for its tokens. */
static nb_status make_room(gpu_executor *e, size_t bytes, nb_error *err) {
    gpu_drawing *d = &e->drawing;
    if (bytes <= d->size) return NB_OK;
    if (d->block) e->driver->release(e->context, d->block);
    if (d->staging) e->driver->release_host(e->context, d->staging);
    d->block = d->staging = NULL;
    d->size = 0;
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

/* Samplers, and which is whose, to the block. Room was made. */
static nb_status put_samplers(gpu_executor *e, const executor_draw *draws, int64_t n, nb_error *err) {
    gpu_drawing *d = &e->drawing;
    int32_t *slots = (int32_t *)(void *)(d->staging + slots_at(n));
    size_t bytes = 0;
    for (int64_t i = 0; i < n; i++)
        slots[i] = ksampler_append(&draws[i].sampling, draws[i].history, draws[i].n_history,
                                   d->staging + samplers_at(n), &bytes);
    const size_t begin = slots_at(n), end = samplers_at(n) + bytes;
    return e->driver->write_async(e->context, d->block + begin, d->staging + begin, end - begin, err);
}

static nb_status run_call(gpu_executor *e, const kcall *c, nb_error *err) {
    gpu_launches *to = &e->drawing.to;
    const krow *row = kreg_find(e->device->registry, c);
    if (!row) return err_set(err, NB_ERR_INTERNAL, "%s: no kernel draws such tokens", e->name);
    nb_status status = gpu_launches_of(e->traits, row, c, e->drawing.scratch, to, err);
    for (int i = 0; i < to->n && !status; i++) status = e->driver->launch(e->context, &to->at[i], err);
    return status;
}

/* Rows [row, row + c->x.rows) of n. */
static void place(const gpu_executor *e, kcall *c, int64_t row, int64_t n) {
    uint8_t *block = e->drawing.block;
    c->x.data = (float *)(void *)(e->work + e->last->p->logits_offset) + row * c->x.stride;
    c->y.data = c->op == KOP_PENALIZE ? c->x.data : (float *)(void *)block + row;
    if (!c->samplers) return;
    c->samplers = block + samplers_at(n);
    c->slots = (const int32_t *)(const void *)(block + slots_at(n)) + row;
}

static nb_status launch_all(gpu_executor *e, int64_t n, bool penalties, bool random, nb_error *err) {
    const int64_t at_once = gpu_draws_at_once(gpu_vocab(e));
    nb_status status = NB_OK;
    for (int64_t row = 0; row < n && !status; row += at_once) {
        kcall penalize = call_of(e, KOP_PENALIZE, min_i64(at_once, n - row), true);
        kcall draw = call_of(e, KOP_DRAW, min_i64(at_once, n - row), random);
        place(e, &penalize, row, n);
        place(e, &draw, row, n);
        if (penalties) status = run_call(e, &penalize, err);
        if (!status) status = run_call(e, &draw, err);
    }
    return status;
}

/* Memory for all of it. */
static nb_status make_all_room(gpu_executor *e, const executor_draw *draws, int64_t n, bool random, nb_error *err) {
    const kcall c = call_of(e, KOP_DRAW, min_i64(gpu_draws_at_once(gpu_vocab(e)), n), random);
    const krow *row = kreg_find(e->device->registry, &c);
    size_t bytes = samplers_at(n);
    for (int64_t i = 0; i < n; i++) bytes += ksampler_bytes(&draws[i].sampling, draws[i].n_history);
    nb_status status = make_scratch(e, row && row->scratch ? row->scratch(row, &c) : 0, err);
    return status ? status : make_room(e, bytes, err);
}

nb_status gpu_draw_tokens(executor *base, executor_draw *draws, int64_t n, nb_error *err) {
    gpu_executor *e = (gpu_executor *)base;
    gpu_drawing *d = &e->drawing;
    if (!e->last || e->last->p->n_outputs != n)
        return err_set(err, NB_ERR_INTERNAL, "%lld draws from a run that has not as many outputs", (long long)n);
    bool random = false, penalties = false;
    for (int64_t i = 0; i < n; i++) {
        random |= draws[i].sampling.temperature > 0;
        penalties |= ksampler_penalizes(&draws[i].sampling);
    }
    nb_status status = make_all_room(e, draws, n, random, err);
    if (!status && (random || penalties)) status = put_samplers(e, draws, n, err);
    if (!status) status = launch_all(e, n, penalties, random, err);
    const size_t bytes = (size_t)n * sizeof(float);
    if (!status) status = e->driver->read_async(e->context, d->staging, d->block, bytes, err);
    if (!status) status = e->driver->sync(e->context, err);
    if (status) return status;
    e->in_flight = false;
    const float *tokens = (const float *)(const void *)d->staging;
    for (int64_t i = 0; i < n; i++) draws[i].token = (int32_t)tokens[i];
    return NB_OK;
}
