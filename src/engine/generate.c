/* SPDX-License-Identifier: Apache-2.0
 *
 * Generation: prompt in chunks, then token by token, with text that streams out as soon as no stop string can begin in
 * it any more. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/num.h"
#include "engine/engine.h"

void nb_generate_defaults(nb_generate_options *o) {
    *o = (nb_generate_options){0};
    nb_sampling_defaults(&o->sampling);
}

/* One run of nb_generate. */
typedef struct generation {
    nb_sequence *s;
    const nb_generate_options *o;
    nb_sampler *sampler;
    nb_stream *stream; /* NULL: nobody wants text */
    int32_t next;      /* drawn, and not yet given out */
    buf held;          /* text that may still turn out to begin a stop string */
    bool stopped;      /* a stop string was seen */
    bool cancelled;
} generation;

/* ---- Text out --------------------------------------------------------------------------------------------------- */

static void emit(generation *g, size_t n) {
    if (n == 0) return;
    if (g->o->on_text && !g->o->on_text(g->o->user, g->held.data, n)) g->cancelled = true;
    memmove(g->held.data, g->held.data + n, g->held.len - n);
    g->held.len -= n;
    g->held.data[g->held.len] = 0;
}

/* The place of the first stop string in the held text, or its length. */
static size_t find_stop(const generation *g) {
    size_t first = g->held.len;
    for (size_t i = 0; i < g->o->n_stop; i++) {
        const char *at = g->o->stop[i][0] ? strstr(g->held.data, g->o->stop[i]) : NULL;
        if (at && (size_t)(at - g->held.data) < first) first = (size_t)(at - g->held.data);
    }
    return first;
}

/* How many bytes at the end of the held text are the beginning of a stop string. */
static size_t stop_prefix(const generation *g) {
    size_t longest = 0;
    for (size_t i = 0; i < g->o->n_stop; i++) {
        const char *stop = g->o->stop[i];
        size_t n = strlen(stop);
        for (size_t k = n ? n - 1 : 0; k > longest; k--) {
            if (k > g->held.len || memcmp(g->held.data + g->held.len - k, stop, k) != 0) continue;
            longest = k;
            break;
        }
    }
    return longest;
}

static nb_status put_text(generation *g, const char *text, bool last, nb_error *err) {
    if (!text) return err_no_memory(err, "the answer's text", 0);
    buf_puts(&g->held, text);
    if (g->held.failed) return err_no_memory(err, "the answer's text", 0);
    if (g->held.len == 0) return NB_OK;
    size_t stop = find_stop(g);
    if (stop < g->held.len) {
        g->stopped = true;
        emit(g, stop);
        buf_clear(&g->held);
    } else {
        emit(g, g->held.len - (last ? 0 : stop_prefix(g)));
    }
    return NB_OK;
}

/* ---- Tokens ----------------------------------------------------------------------------------------------------- */

/* The prompt but for its last token is read in chunks, for progress and cancelling; the last chunk makes logits. */
static nb_status prefill(generation *g, const int32_t *prompt, int64_t n, nb_error *err) {
    nb_context *c = g->s->context;
    const int64_t before = g->s->n_tokens;
    nb_status status = NB_OK;
    if (n > c->context_length - before)
        return err_set(
            err, NB_ERR_LIMIT,
            "the prompt has %lld tokens%s, more than the context of %lld (--ctx-size, at most what the model was made for)",
            (long long)(n + before), before ? " with what came before" : "", (long long)c->context_length);
    for (int64_t done = 0; done < n && !status;) {
        int64_t chunk = min_i64(c->n_batch, n - done);
        nb_batch_item item = {.sequence = g->s, .tokens = prompt + done, .n_tokens = chunk};
        if (done + chunk == n) {
            item.sampler = g->sampler;
            item.next = &g->next;
        }
        status = nb_forward(c, &item, 1, err);
        done += chunk;
        if (!status && g->o->on_prefill && !g->o->on_prefill(g->o->user, "prefill", (double)done, (double)n)) {
            g->cancelled = true;
            if (done < n) break;
        }
    }
    if (status) sequence_cut(g->s, before);
    return status;
}

static nb_status step(generation *g, int32_t token, nb_error *err) {
    nb_batch_item item = {.sequence = g->s, .tokens = &token, .n_tokens = 1, .sampler = g->sampler, .next = &g->next};
    return nb_forward(g->s->context, &item, 1, err);
}

/* Draws tokens until something ends the answer. */
static nb_status answer(generation *g, nb_generate_result *r, nb_error *err) {
    const nb_generate_options *o = g->o;
    nb_context *c = g->s->context;
    for (;;) {
        const int32_t token = g->next;
        nb_status status = NB_OK;
        r->n_generated++;
        if (o->on_token && !o->on_token(o->user, token)) g->cancelled = true;
        if (!o->ignore_eos && model_is_end_token(c->model, token)) {
            r->finish = NB_FINISH_STOP;
            return NB_OK;
        }
        if (g->stream) status = put_text(g, nb_stream_put(g->stream, token), false, err);
        if (status) return status;
        r->finish = g->stopped ? NB_FINISH_STOP : g->cancelled ? NB_FINISH_CANCELLED : NB_FINISH_LENGTH;
        if (g->stopped || g->cancelled || r->n_generated == o->max_tokens) return NB_OK;
        r->finish = NB_FINISH_CONTEXT;
        if (g->s->n_tokens == c->context_length) return NB_OK;
        status = step(g, token, err);
        if (status) return status;
    }
}

nb_status nb_generate(nb_sequence *s, const int32_t *prompt, size_t n_prompt, const nb_generate_options *options,
                      nb_generate_result *result, nb_error *err) {
    nb_generate_options o;
    if (options)
        o = *options;
    else
        nb_generate_defaults(&o);
    if (o.max_tokens < 0)
        return err_set(err, NB_ERR_ARGUMENT, "max_tokens is %lld, expected 0 (no limit) or more",
                       (long long)o.max_tokens);
    if (n_prompt == 0) return err_set(err, NB_ERR_ARGUMENT, "the prompt is empty: there is no token to continue from");
    const nb_model *m = s->context->model;
    generation g = {.s = s, .o = &o};
    nb_generate_result r = {.n_prompt = (int64_t)n_prompt};
    nb_status status = nb_sampler_new(m, &o.sampling, &g.sampler, err);
    if (!status && (o.on_text || o.n_stop))
        status = o.show_marks ? nb_stream_new_with_marks(m, &g.stream, err) : nb_stream_new(m, &g.stream, err);
    if (!status) status = nb_sampler_accept(g.sampler, prompt, n_prompt, err);
    double start = clock_now();
    if (!status) status = prefill(&g, prompt, (int64_t)n_prompt, err);
    r.prompt_seconds = clock_now() - start;
    start = clock_now();
    if (!status && g.cancelled)
        r.finish = NB_FINISH_CANCELLED;
    else if (!status)
        status = answer(&g, &r, err);
    if (!status && g.stream && !g.stopped) status = put_text(&g, nb_stream_finish(g.stream), true, err);
    r.generation_seconds = clock_now() - start;
    if (!status && result) *result = r;
    nb_stream_free(g.stream);
    nb_sampler_free(g.sampler);
    buf_free(&g.held);
    return status;
}

nb_status nb_ask(nb_context *c, const char *messages_json, const nb_generate_options *options,
                 nb_generate_result *result, nb_error *err) {
    char *prompt = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    nb_sequence *s = NULL;
    nb_status status = nb_template_render(c->model, messages_json, NULL, NULL, true, &prompt, err);
    if (!status) status = nb_tokenize(c->model, prompt, strlen(prompt), false, &ids, &n, err);
    if (!status) status = nb_sequence_new(c, &s, err);
    if (!status) status = nb_generate(s, ids, n, options, result, err);
    nb_sequence_free(s);
    free(ids);
    free(prompt);
    return status;
}
