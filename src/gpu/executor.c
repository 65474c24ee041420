/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs plans on a GPU: a batch goes there, a graph runs, logits come back. */
#include "gpu/executor.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"

/* ---- Running --------------------------------------------------------------------------------------------------- */

static bool is_observed(const executor *e, int step) {
    return e->observer && (e->observed_step == PLAN_NONE || e->observed_step == step);
}

/* Call by call, so that the observer can look at each. */
static nb_status run_observed(gpu_executor *e, const program *p, nb_error *err) {
    gpu_launches *l = malloc(sizeof *l);
    nb_status status = l ? NB_OK : err_no_memory(err, "launches", sizeof *l);
    for (int i = 0; i < p->n_calls && !status; i++) {
        const program_call *c = &p->calls[i];
        const bool observed = is_observed(&e->base, c->plan_step);
        if (observed) status = e->driver->sync(e->context, err);
        if (status) break;
        if (observed) e->base.observer(e->base.observer_user, c->plan_step, false, c->row, &c->call);
        status = gpu_enqueue(e, c, 0, l, err);
        for (int j = 0; j < l->n && !status; j++) status = e->driver->launch(e->context, &l->at[j], err);
        if (!status && observed) status = e->driver->sync(e->context, err);
        if (!status && observed) e->base.observer(e->base.observer_user, c->plan_step, true, c->row, &c->call);
    }
    free(l);
    return status;
}

static nb_status logits_room(gpu_executor *e, size_t bytes, nb_error *err) {
    if (bytes <= e->logits_size) return NB_OK;
    if (e->logits) e->driver->release_host(e->context, e->logits);
    e->logits = NULL;
    e->logits_size = 0;
    void *fresh;
    nb_status status = e->driver->alloc_host(e->context, bytes, &fresh, err);
    if (status) return status;
    e->logits = fresh;
    e->logits_size = bytes;
    return NB_OK;
}

static nb_status fetch(executor *base, const float **logits, nb_error *err) {
    gpu_executor *e = (gpu_executor *)base;
    if (!e->last) return err_set(err, NB_ERR_INTERNAL, "logits are wanted, but nothing ran");
    const program *p = e->last->p;
    const size_t bytes = (size_t)(p->n_outputs * gpu_vocab(e)) * sizeof(float);
    nb_status status = NB_OK;
    if (bytes > 0) {
        status = logits_room(e, bytes, err);
        if (!status) status = e->driver->read_async(e->context, e->logits, e->work + p->logits_offset, bytes, err);
        if (!status) status = e->driver->sync(e->context, err);
        if (!status) e->in_flight = false;
    }
    *logits = e->logits;
    return status;
}

static nb_status run(executor *base, const batch *b, const float **logits, nb_error *err) {
    gpu_executor *e = (gpu_executor *)base;
    if (b->n_tokens < 1 || b->n_tokens > e->n_batch || b->n_outputs < 0 || b->n_outputs > b->n_tokens)
        return err_set(err, NB_ERR_INTERNAL, "a batch of %lld tokens and %lld outputs, at most %lld",
                       (long long)b->n_tokens, (long long)b->n_outputs, (long long)e->n_batch);
    gpu_program *p;
    nb_status status = gpu_put_batch(e, b, err);
    if (!status) status = gpu_find_program(e, b->n_tokens, b->n_outputs, &p, err);
    if (!status) status = gpu_put_inputs(e, b, p->p, err);
    if (!status) e->last = p;
    if (!status) status = base->observer ? run_observed(e, p->p, err) : gpu_run_program(e, p, err);
    if (!status && base->plan->n_results) status = gpu_fetch_results(e, p->p, err);
    return status || !logits ? status : fetch(base, logits, err);
}

static nb_status calls(executor *base, int64_t n_tokens, int64_t n_outputs, executor_call_fn visit, void *user,
                       nb_error *err) {
    program *p;
    nb_status status = gpu_lower((gpu_executor *)base, n_tokens, n_outputs, &p, err);
    for (int i = 0; !status && i < p->n_calls; i++)
        visit(user, p->calls[i].plan_step, p->calls[i].row, &p->calls[i].call);
    program_free(p);
    return status;
}

/* ---- The KV cache and recurrent states ------------------------------------------------------------------------- */

static nb_status make_caches(gpu_executor *e, const executor_options *o, nb_error *err) {
    const plan *p = e->base.plan;
    e->keys = calloc((size_t)p->n_caches + 1, sizeof *e->keys);
    e->values = calloc((size_t)p->n_caches + 1, sizeof *e->values);
    if (!e->keys || !e->values) return err_no_memory(err, "the KV cache", 0);
    nb_status status = NB_OK;
    for (int i = 0; i < p->n_caches && !status; i++) {
        const plan_cache *c = &p->caches[i];
        kpages pages = {LOWER_SOMEWHERE, o->kv_type, o->n_pages, c->n_heads, KV_PAGE_SIZE, c->head_dim};
        e->keys[i] = e->values[i] = pages;
        e->base.kv_bytes_per_token += 2 * c->n_heads * c->head_dim * (int64_t)dtype_size(o->kv_type);
        const size_t bytes = kpages_bytes(&pages);
        if (!o->dry) status = gpu_block(e, bytes, "the KV cache", &e->keys[i].data, err);
        if (!o->dry && !status) status = gpu_block(e, bytes, "the KV cache", &e->values[i].data, err);
    }
    return status;
}

static nb_status make_states(gpu_executor *e, const executor_options *o, nb_error *err) {
    const plan *p = e->base.plan;
    e->states = calloc((size_t)p->n_states + 1, sizeof *e->states);
    if (!e->states) return err_no_memory(err, "recurrent states", 0);
    nb_status status = NB_OK;
    for (int i = 0; i < p->n_states && !status; i++) {
        e->states[i] = (kstates){LOWER_SOMEWHERE, o->n_slots, p->states[i].size};
        const size_t bytes = (size_t)(o->n_slots * p->states[i].size) * sizeof(float);
        void *data = LOWER_SOMEWHERE;
        if (!o->dry) status = gpu_block(e, bytes, "recurrent states", &data, err);
        e->states[i].data = data;
        e->base.state_bytes += p->states[i].size * (int64_t)sizeof(float);
    }
    return status;
}

/* Whole pages: what lies behind the first n_slots is not read before it is written. */
static nb_status copy_page(executor *base, int32_t from, int32_t to, int64_t n_slots, nb_error *err) {
    (void)n_slots;
    gpu_executor *e = (gpu_executor *)base;
    nb_status status = NB_OK;
    for (int i = 0; i < 2 * base->plan->n_caches && !status; i++) {
        const kpages *p = i % 2 ? &e->values[i / 2] : &e->keys[i / 2];
        const size_t bytes = kpages_bytes(p) / (size_t)p->n_pages;
        uint8_t *data = p->data;
        status = e->driver->copy(e->context, data + (size_t)to * bytes, data + (size_t)from * bytes, bytes, err);
    }
    return status;
}

static nb_status copy_state(executor *base, int32_t from, int32_t to, nb_error *err) {
    gpu_executor *e = (gpu_executor *)base;
    nb_status status = NB_OK;
    for (int i = 0; i < base->plan->n_states && !status; i++) {
        const kstates *s = &e->states[i];
        const size_t bytes = (size_t)s->size * sizeof *s->data;
        if (from < 0)
            status = e->driver->clear(e->context, s->data + to * s->size, bytes, err);
        else
            status = e->driver->copy(e->context, s->data + to * s->size, s->data + from * s->size, bytes, err);
    }
    return status;
}

/* ---- Making and freeing ---------------------------------------------------------------------------------------- */

static void executor_free(executor *base) {
    if (!base) return;
    gpu_executor *e = (gpu_executor *)base;
    if (e->context) {
        gpu_free_programs(e);
        gpu_free_blocks(e);
        if (e->batch) e->driver->release(e->context, e->batch);
        if (e->staging) e->driver->release_host(e->context, e->staging);
        gpu_free_drawing(e);
        if (e->work) e->driver->release(e->context, e->work);
        if (e->scratch) e->driver->release(e->context, e->scratch);
        if (e->logits) e->driver->release_host(e->context, e->logits);
        if (e->crossing) e->driver->release_host(e->context, e->crossing);
    }
    free(e->steps);
    free(e->weights);
    free(e->experts);
    free(e->pairs);
    free(e->pair_experts);
    free(e->keys);
    free(e->values);
    free(e->states);
    free(e);
}

nb_status gpu_executor_new(device *d, const plan *p, const weights *files, const executor_options *options,
                           executor **out, nb_error *err) {
    *out = NULL;
    gpu_executor *e = calloc(1, sizeof *e);
    if (!e) return err_no_memory(err, "the GPU executor", sizeof *e);
    e->base = (executor){.run = run,
                         .can_draw = gpu_can_draw,
                         .draw = gpu_draw_tokens,
                         .draws = gpu_visit_draws,
                         .fetch = fetch,
                         .copy_page = copy_page,
                         .copy_state = copy_state,
                         .calls = calls,
                         .profile = gpu_profile,
                         .copy_rate = gpu_copy_rate,
                         .free = executor_free,
                         .observed_step = PLAN_NONE,
                         .plan = p,
                         .n_threads = 1};
    char text[32];
    e->device = d;
    e->driver = gpu_device_driver(d);
    e->traits = gpu_device_traits(d);
    e->n_batch = options->n_batch;
    snprintf(e->name, sizeof e->name, "%s (%s, %s)", device_text(&d->info, text), d->info.name, d->info.features);
    e->base.device = e->name;
    nb_status status = options->dry ? NB_OK : gpu_device_context(d, &e->context, err);
    if (!status && !options->dry) status = gpu_check_memory(d, p, files, options, err);
    const bool enough = !status; /* as far as one can know */
    if (!status) status = gpu_upload(e, files, options, err);
    if (!status) status = make_caches(e, options, err);
    if (!status) status = make_states(e, options, err);
    /* The program of the largest batch, so that its memory is there, or found missing, before anything runs. */
    gpu_program *largest;
    if (!status && !options->dry) status = gpu_find_program(e, e->n_batch, min_i64(e->n_batch, 1), &largest, err);
    if (status) {
        executor_free(&e->base);
        return status == NB_ERR_NO_MEMORY && enough && err && !options->dry
                   ? gpu_explain_memory(d, p, files, options, err)
                   : status;
    }
    *out = &e->base;
    return NB_OK;
}
