/* SPDX-License-Identifier: Apache-2.0
 *
 * nb_context: a model on a backend, and the forward pass over batches of tokens. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "engine/verification.h"

enum { DEFAULT_CONTEXT = 32768, MAX_BATCH = 65536, MAX_SEQUENCES = 65536, DEFAULT_CHECKPOINTS = 8 };

/* ---- Making ---------------------------------------------------------------------------------------------------- */

static nb_status in_range(int64_t v, int64_t min, int64_t max, const char *what, nb_error *err) {
    if (v >= min && v <= max) return NB_OK;
    return err_set(err, NB_ERR_ARGUMENT, "%s is %lld, expected %lld to %lld", what, (long long)v, (long long)min,
                   (long long)max);
}

/* Fills in the defaults and checks the rest. */
static nb_status complete_options(const nb_model *m, nb_context_options *o, const backend *b, nb_error *err) {
    const int64_t own = m->dims.context_length ? m->dims.context_length : DEFAULT_CONTEXT;
    if (o->context_length == 0) o->context_length = min_i64(own, DEFAULT_CONTEXT);
    if (o->n_sequences == 0) o->n_sequences = 1;
    nb_status status = in_range(o->context_length, 1, own, "the context length", err);
    if (!status) status = in_range(o->n_sequences, 1, MAX_SEQUENCES, "the number of sequences", err);
    if (status) return status;
    if (o->n_batch == 0) o->n_batch = engine_default_batch(b);
    if (o->kv_tokens == 0) o->kv_tokens = o->n_sequences * o->context_length;
    if (o->n_checkpoints == 0) o->n_checkpoints = DEFAULT_CHECKPOINTS;
    if (o->n_checkpoints == -1) o->n_checkpoints = 0;
    status = in_range(o->n_batch, 1, MAX_BATCH, "the batch size", err);
    if (!status) status = in_range(o->gpu_layers, -1, INT32_MAX, "the number of layers on the GPU", err);
    if (!status) status = in_range(o->n_checkpoints, 0, MAX_CHECKPOINTS, "the number of saved recurrent states", err);
    if (!status) status = in_range(o->kv_tokens, 1, INT32_MAX, "the KV cache's size in tokens", err);
    return status;
}

/* $NIBBLE_VERIFY where the caller does not say. */
static nb_status verify_mode(nb_verify *mode, nb_error *err) {
    const char *wanted = getenv("NIBBLE_VERIFY");
    if (*mode != NB_VERIFY_DEFAULT) return NB_OK;
    *mode = NB_VERIFY_QUICK;
    return wanted && *wanted ? verification_mode(wanted, "NIBBLE_VERIFY", mode, err) : NB_OK;
}

/* A device, without the rows that the environment sets aside. */
static nb_status open_one(const backend *b, int index, const device_options *how, device **out, nb_error *err) {
    nb_status status = b->open(index, how, out, err);
    return status ? status : device_read_environment(*out, err);
}

/* The layers that the CPU computes while a GPU has the others; 0: one device has the whole model. */
static int layers_on_host(const nb_context *c, const nb_context_options *o, const backend *b) {
    const int n_layers = (int)c->model->dims.n_layers;
    if (o->gpu_layers < 1 || o->gpu_layers >= n_layers) return 0;
    if (b != engine_host) return n_layers - o->gpu_layers;
    log_msg(NB_LOG_WARN, "%d layers are meant for a GPU, but the whole model runs on the CPU", o->gpu_layers);
    return 0;
}

static split_side side_of(const nb_context *c, const backend *b, int part) {
    return part == PLAN_HEAD ? (split_side){engine_host, c->host} : (split_side){b, c->device};
}

/* Of the model as a whole on the context's device. */
static nb_status check_whole(nb_context *c, const backend *b, const device_options *how, nb_verify mode,
                             const executor_options *eo, nb_error *err) {
    const nb_model *m = c->model;
    const plan_on_device on = {.backend = b, .device = c->device, .plan = m->plan, .files = m->files, .options = *eo};
    nb_status status = engine_check_patterns(getenv("NIBBLE_KERNELS"), &c->device, 1, err);
    return status ? status : verification_at_load(c->model, &on, how, mode, 0, err);
}

/* With the first n_host layers on the CPU. */
static nb_status check_parts(nb_context *c, const backend *b, int n_host, const device_options *how, nb_verify mode,
                             const executor_options *eo, nb_error *err) {
    const nb_model *m = c->model;
    const int gpu_layers = (int)m->dims.n_layers - n_host;
    nb_status status = plan_split(m->plan, n_host, &c->parts, err);
    if (!status) status = open_one(engine_host, 0, how, &c->host, err);
    device *const both[2] = {c->device, c->host};
    if (!status) status = engine_check_patterns(getenv("NIBBLE_KERNELS"), both, 2, err);
    for (int i = 0; i < 2 && !status; i++) {
        const split_side side = side_of(c, b, i);
        const plan_on_device on = {.backend = side.backend,
                                   .device = side.device,
                                   .plan = c->parts.at[i].plan,
                                   .files = m->files,
                                   .options = *eo};
        status = verification_at_load(c->model, &on, how, mode, gpu_layers, err);
    }
    return status;
}

static nb_status make_executor(nb_context *c, const backend *b, const executor_options *eo, nb_error *err) {
    const nb_model *m = c->model;
    if (!c->host) return b->executor_new(c->device, m->plan, m->files, eo, &c->executor, err);
    const split_side sides[2] = {[PLAN_HEAD] = side_of(c, b, PLAN_HEAD), [PLAN_TAIL] = side_of(c, b, PLAN_TAIL)};
    return split_executor_new(m->plan, &c->parts, sides, m->files, eo, &c->executor, err);
}

/* The check of kernels has found no memory on the device, which says little: an executor says what the model needs, and
 * how many layers would fit. */
static nb_status explain_memory(nb_context *c, const backend *b, const executor_options *eo, nb_error *err) {
    nb_error why;
    if (make_executor(c, b, eo, &why) == NB_ERR_NO_MEMORY) return err_set(err, NB_ERR_NO_MEMORY, "%s", why.text);
    return err ? err_prefix(err, NB_ERR_NO_MEMORY, "the check of its kernels") : NB_ERR_NO_MEMORY;
}

/* Of a model on two devices the steps of the second one are watched. */
static nb_status begin_watch(nb_context *c, const executor_options *eo, nb_error *err) {
    executor *watched = c->host ? split_executor_part(c->executor, PLAN_TAIL) : c->executor;
    nb_status status = used_set(watched->plan, eo, &c->verified_set, err);
    if (status) return status;
    return watch_new(c->device, watched, watched->plan, (uint64_t)(clock_now() * 1e6), &c->watch, err);
}

/* The device, its kernels checked, and the model on it, but for `only_check`. Devices check their kernels before the
 * executors start a driver. */
static nb_status open_device(nb_context *c, const backend *b, int index, const nb_context_options *o,
                             const executor_options *eo, bool only_check, nb_error *err) {
    const device_options how = {.cpu = o->cpu ? o->cpu : getenv("NIBBLE_CPU")};
    nb_verify mode = o->verify;
    nb_status status = verify_mode(&mode, err);
    if (!status) status = open_one(b, index, &how, &c->device, err);
    if (status) return status;
    const int n_host = layers_on_host(c, o, b);
    status = n_host ? check_parts(c, b, n_host, &how, mode, eo, err) : check_whole(c, b, &how, mode, eo, err);
    if (status == NB_ERR_NO_MEMORY && b != engine_host) return explain_memory(c, b, eo, err);
    if (only_check) return status;
    if (!status) status = make_executor(c, b, eo, err);
    if (status == NB_ERR_UNSUPPORTED && mode != NB_VERIFY_OFF)
        return err_prefix(err, status, "no kernel is left that this model could trust (`nibble verify --list`)");
    return status || mode != NB_VERIFY_WATCH ? status : begin_watch(c, eo, err);
}

/* One GPU's context is made at a time: while one checks kernels in children, none may start the driver. */
static nb_status open_in_turn(nb_context *c, const backend *b, int index, const nb_context_options *o,
                              const executor_options *eo, bool only_check, nb_error *err) {
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    if (b == engine_host) return open_device(c, b, index, o, eo, only_check, err);
    pthread_mutex_lock(&turn);
    nb_status status = open_device(c, b, index, o, eo, only_check, err);
    pthread_mutex_unlock(&turn);
    return status;
}

static nb_status make_context(nb_model *model, const nb_context_options *options, bool only_check, nb_context **out,
                              nb_error *err) {
    *out = NULL;
    const double start = clock_now();
    nb_context_options o = options ? *options : (nb_context_options){0};
    const backend *b;
    int index;
    nb_status status = engine_choose_device(o.device, &b, &index, err);
    if (!status) status = complete_options(model, &o, b, err);
    if (status) return status;
    nb_context *c = calloc(1, sizeof *c);
    if (!c) return err_no_memory(err, "a context", sizeof *c);
    c->model = model_retain(model);
    c->context_length = o.context_length;
    c->n_batch = o.n_batch;
    c->n_sequences = o.n_sequences;
    const size_t n = (size_t)o.n_batch;
    c->tokens = calloc(n, sizeof *c->tokens);
    c->positions = calloc(n, sizeof *c->positions);
    c->slots = calloc(n, sizeof *c->slots);
    c->outputs = calloc(n, sizeof *c->outputs);
    c->tables = calloc(n, sizeof *c->tables);
    c->draws = calloc(n, sizeof *c->draws);
    c->drawn = malloc((size_t)model->dims.vocab_size * sizeof *c->drawn);
    if (!c->draws || !c->drawn || !c->tokens || !c->positions || !c->slots || !c->outputs || !c->tables)
        status = err_no_memory(err, "a batch", 0);
    /* Each sequence may leave its last page partly empty. */
    const int64_t n_pages = div_up(o.kv_tokens, KV_PAGE_SIZE) + o.n_sequences;
    if (!status) status = page_pool_init(&c->pages, n_pages, err);
    if (!status) status = state_pool_init(&c->states, model->plan->n_states > 0, o.n_sequences, o.n_checkpoints, err);
    executor_options eo = {.n_threads = o.n_threads,
                           .n_batch = o.n_batch,
                           .n_pages = n_pages,
                           .n_slots = state_pool_slots(&c->states, o.n_sequences),
                           .kv_type = engine_kv_type(o.kv_type, b),
                           .progress = o.progress,
                           .progress_user = o.progress_user};
    if (!status) status = open_in_turn(c, b, index, &o, &eo, only_check, err);
    if (status) {
        nb_context_free(c);
        return status;
    }
    c->load_seconds = clock_now() - start;
    *out = c;
    return NB_OK;
}

nb_status nb_context_new(nb_model *model, const nb_context_options *options, nb_context **out, nb_error *err) {
    return make_context(model, options, false, out, err);
}

nb_status context_check(nb_model *model, const nb_context_options *options, size_t *n_wrong, nb_error *err) {
    nb_context *c;
    *n_wrong = 0;
    nb_status status = make_context(model, options, true, &c, err);
    if (status) return status;
    const device *const devices[] = {c->device, c->host};
    for (int i = 0; i < 2 && devices[i] && !status; i++) {
        verdict known;
        status = verdict_known(&devices[i]->info, &known, err);
        *n_wrong += known.n_aside;
        verdict_free(&known);
    }
    nb_context_free(c);
    return status;
}

void nb_context_free(nb_context *c) {
    if (!c) return;
    while (c->sequences) nb_sequence_free(c->sequences);
    watch_free(c->watch);
    if (c->executor) c->executor->free(c->executor);
    if (c->device) c->device->free(c->device);
    if (c->host) c->host->free(c->host);
    plan_parts_free(&c->parts);
    page_pool_free(&c->pages);
    state_pool_free(&c->states);
    free(c->tokens);
    free(c->positions);
    free(c->slots);
    free(c->outputs);
    free(c->tables);
    free(c->draws);
    free(c->drawn);
    nb_model_free(c->model);
    free(c);
}

void nb_context_get_stats(const nb_context *c, nb_context_stats *stats) {
    const executor *e = c->executor;
    *stats = (nb_context_stats){.n_threads = e->n_threads,
                                .context_length = c->context_length,
                                .device = e->device,
                                .weight_bytes = plan_weight_bytes(c->model->plan),
                                .packed_bytes = e->packed_bytes,
                                .kv_bytes_per_token = e->kv_bytes_per_token,
                                .state_bytes = e->state_bytes,
                                .work_bytes = e->work_bytes,
                                .load_seconds = c->load_seconds};
}

/* ---- Forward --------------------------------------------------------------------------------------------------- */

static nb_status check_item(const nb_context *c, const nb_batch_item *items, size_t i, nb_error *err) {
    const nb_batch_item *item = &items[i];
    if (!item->sequence || item->sequence->context != c)
        return err_set(err, NB_ERR_ARGUMENT, "item %zu: its sequence is not of this context", i);
    for (size_t j = 0; j < i; j++)
        if (items[j].sequence == item->sequence)
            return err_set(err, NB_ERR_ARGUMENT, "items %zu and %zu have the same sequence", j, i);
    if (!item->sampler != !item->next)
        return err_set(err, NB_ERR_ARGUMENT, "item %zu: a sampler and a place for what it draws go together", i);
    if (item->n_tokens < 1 || (item->logits && (item->n_logits < 0 || item->n_logits > item->n_tokens)))
        return err_set(err, NB_ERR_ARGUMENT, "item %zu: %lld tokens and %lld rows of logits", i,
                       (long long)item->n_tokens, (long long)item->n_logits);
    for (int64_t t = 0; t < item->n_tokens; t++)
        if (item->tokens[t] < 0 || item->tokens[t] >= c->model->dims.vocab_size)
            return err_set(err, NB_ERR_ARGUMENT, "token %d is outside of the vocabulary of %lld", item->tokens[t],
                           (long long)c->model->dims.vocab_size);
    const int64_t length = item->sequence->n_tokens;
    if (item->n_tokens > c->context_length - length)
        return err_set(err, NB_ERR_LIMIT,
                       "%lld tokens behind the %lld that the sequence has are more than the context of %lld",
                       (long long)item->n_tokens, (long long)length, (long long)c->context_length);
    return NB_OK;
}

/* Where the batching loop stands: item and token of it. Tokens below 0 are the sequence's own last ones, which its
 * recurrent state has yet to read again after a cut. What they leave in the KV cache is what is there, bit for bit. */
typedef struct cursor {
    size_t item;
    int64_t token;
} cursor;

static cursor item_start(const nb_batch_item *items, size_t n_items, size_t i) {
    if (i == n_items || items[i].sequence->slot < 0) return (cursor){i, 0};
    return (cursor){i, items[i].sequence->n_state - items[i].sequence->n_tokens};
}

/* The first of an item's tokens of which logits are wanted, by the caller or by its sampler. */
static int64_t first_output(const nb_batch_item *item) {
    const int64_t n = item->logits ? item->n_logits : 0;
    return item->n_tokens - (item->sampler ? max_i64(n, 1) : n);
}

static bool wants_row(const nb_batch_item *item, int64_t token) {
    return item->logits && token >= item->n_tokens - item->n_logits;
}

/* Fills one batch from the cursor on. It ends early where a state is to be saved in the middle of an item. */
static batch next_batch(nb_context *c, const nb_batch_item *items, size_t n_items, cursor *at) {
    batch b = {
        .tokens = c->tokens, .positions = c->positions, .tables = c->tables, .slots = c->slots, .outputs = c->outputs};
    while (at->item < n_items && b.n_tokens < c->n_batch) {
        const nb_batch_item *item = &items[at->item];
        const nb_sequence *s = item->sequence;
        const int64_t position = s->n_tokens + at->token;
        if (at->token >= first_output(item)) c->outputs[b.n_outputs++] = (int32_t)b.n_tokens;
        c->tokens[b.n_tokens] = at->token < 0 ? s->tokens[position] : item->tokens[at->token];
        c->positions[b.n_tokens] = (int32_t)position;
        c->slots[b.n_tokens] = s->slot;
        c->tables[b.n_tokens++] = s->pages;
        if (++at->token == item->n_tokens)
            *at = item_start(items, n_items, at->item + 1);
        else if (sequence_saves_at(s, position + 1, s->n_tokens + item->n_tokens))
            break;
    }
    return b;
}

/* After a batch that went from `from` to `at`: how far the states of its sequences are now; saves those that should be.
 */
static void follow_states(const nb_batch_item *items, size_t n_items, cursor from, cursor at) {
    for (size_t i = from.item; i <= at.item && i < n_items; i++) {
        nb_sequence *s = items[i].sequence;
        if (s->slot < 0) continue;
        s->n_state = s->n_tokens + (i < at.item ? items[i].n_tokens : at.token);
        if (sequence_saves_at(s, s->n_state, s->n_tokens + items[i].n_tokens)) sequence_save_state(s);
    }
}

/* Copies a batch's logits to where their items want them, and draws. `from` is the cursor before the batch. */
static nb_status deliver(nb_context *c, const nb_batch_item *items, size_t n_items, cursor from, const batch *b,
                         const float *logits, nb_error *err) {
    const int64_t vocab = c->model->dims.vocab_size;
    const size_t bytes = (size_t)vocab * sizeof *logits;
    nb_status status = NB_OK;
    for (int64_t t = 0, row = 0; t < b->n_tokens && row < b->n_outputs && !status; t++) {
        const nb_batch_item *item = &items[from.item];
        if (from.token >= first_output(item)) {
            const float *at = logits + row++ * vocab;
            if (wants_row(item, from.token))
                memcpy(item->logits + (from.token - (item->n_tokens - item->n_logits)) * vocab, at, bytes);
            if (item->sampler && from.token == item->n_tokens - 1) {
                memcpy(c->drawn, at, bytes);
                status = nb_sampler_draw(item->sampler, c->drawn, item->next, err);
            }
        }
        if (++from.token == item->n_tokens) from = item_start(items, n_items, from.item + 1);
    }
    return status;
}

static bool shares_sampler(const nb_batch_item *items, size_t first, size_t i) {
    for (size_t j = first; j < i; j++)
        if (items[j].sampler == items[i].sampler) return true;
    return false;
}

/* Whether nobody needs a batch's logits on the host: then its draws, one for each output, are in c->draws. Samplers
 * that draw twice in a batch do it one after the other, here. */
static bool draws_there(nb_context *c, const nb_batch_item *items, size_t n_items, cursor from, cursor at) {
    const executor *e = c->executor;
    int64_t n = 0;
    if (!e->draw) return false;
    for (size_t i = from.item; i <= at.item && i < n_items; i++) {
        if (items[i].logits && items[i].n_logits > 0) return false;
        if (i == at.item || !items[i].sampler) continue;
        c->draws[n] = sampler_next_draw(items[i].sampler);
        if (!e->can_draw(e, &c->draws[n++].sampling) || shares_sampler(items, from.item, i)) return false;
    }
    return true;
}

/* Draws them, all at once. */
static nb_status draw_there(nb_context *c, const nb_batch_item *items, cursor from, const batch *b, nb_error *err) {
    executor *e = c->executor;
    const float *logits;
    if (b->n_outputs == 0) return NB_OK;
    nb_status status = e->draw(e, c->draws, b->n_outputs, err);
    for (int64_t row = 0; row < b->n_outputs && !status; from.item++) {
        const nb_batch_item *item = &items[from.item];
        if (!item->sampler) continue;
        const int32_t token = c->draws[row].token;
        if (token >= 0) {
            *item->next = token;
            status = sampler_drew(item->sampler, token, err);
        } else {
            status = e->fetch(e, &logits, err);
            if (!status) status = sampler_broken(item->sampler, logits + row * c->model->dims.vocab_size, err);
        }
        row++;
    }
    return status;
}

static nb_status run_batch(nb_context *c, const batch *b, const float **logits, nb_error *err) {
    finding found;
    if (!c->watch) return c->executor->run(c->executor, b, logits, err);
    watch_before(c->watch, b->n_tokens);
    nb_status status = c->executor->run(c->executor, b, logits, err);
    if (watch_after(c->watch, &found, status ? NULL : err) == NB_OK) return status;
    verification_remember(c, &found);
    return NB_ERR_INTERNAL;
}

/* A device without the memory to draw leaves it to the host. */
static nb_status run_and_deliver(nb_context *c, const nb_batch_item *items, size_t n_items, cursor from, cursor at,
                                 const batch *b, nb_error *err) {
    const bool there = draws_there(c, items, n_items, from, at);
    const float *logits;
    nb_status status = run_batch(c, b, there ? NULL : &logits, err);
    if (there && !status) {
        status = draw_there(c, items, from, b, err);
        if (status != NB_ERR_NO_MEMORY) return status;
        status = c->executor->fetch(c->executor, &logits, err);
    }
    return status ? status : deliver(c, items, n_items, from, b, logits, err);
}

nb_status nb_forward(nb_context *c, const nb_batch_item *items, size_t n_items, nb_error *err) {
    nb_status status = NB_OK;
    for (size_t i = 0; i < n_items && !status; i++) status = check_item(c, items, i, err);
    if (status) return status;
    size_t reserved = 0;
    while (reserved < n_items && !status) {
        status = sequence_reserve(items[reserved].sequence, items[reserved].n_tokens, err);
        if (!status) reserved++;
    }
    for (cursor at = item_start(items, n_items, 0); at.item < n_items && !status;) {
        const cursor from = at;
        batch b = next_batch(c, items, n_items, &at);
        status = run_and_deliver(c, items, n_items, from, at, &b, err);
        if (status) break;
        follow_states(items, n_items, from, at);
    }
    for (size_t i = 0; i < reserved; i++) {
        nb_sequence *s = items[i].sequence;
        if (status) {
            s->n_state = STATE_UNKNOWN;   /* who knows how far it came */
            sequence_cut(s, s->n_tokens); /* gives the new pages back */
            continue;
        }
        memcpy(s->tokens + s->n_tokens, items[i].tokens, (size_t)items[i].n_tokens * sizeof *s->tokens);
        s->n_tokens += items[i].n_tokens;
    }
    return status;
}
