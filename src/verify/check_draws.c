/* SPDX-License-Identifier: Apache-2.0
 *
 * Operands of PENALIZE and DRAW: logits as models have them, and samplers of all kinds. */
#include <math.h>

#include "base/num.h"
#include "kernels/sampler.h"
#include "verify/check_case.h"

/* The first, the last, or any of n. */
static int64_t place_of(check *c, int64_t n) {
    const int64_t which = check_below(c, 3);
    return which == 0 ? 0 : which == 1 ? n - 1 : check_below(c, n);
}

/* Rows of a case take turns: drawn without a filter, with one, with any sampler from logits that may be broken. */
enum { DRAW_PLAIN, DRAW_FILTERED, DRAW_ANY, DRAW_KINDS };
static int draw_kind(const check *c, int64_t t) {
    return (int)((c->spec.seed + (uint64_t)t) % DRAW_KINDS);
}

/* Normal numbers become as a model's logits: a few likely tokens or many, equal ones among them, some forbidden; the
 * largest is at some edge, or there are many. */
static void shape_logits(check *c, int64_t t, float *logits, int64_t n) {
    static const float widths[] = {0.25f, 2, 6, 12};
    const float width = widths[check_below(c, 4)];
    const uint64_t top = (c->spec.seed / DRAW_KINDS + (uint64_t)t) % 3;
    float largest = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        logits[i] *= width;
        if (i % 7 == 3) logits[i] = rintf(logits[i]);
        if (i % 97 == 96) logits[i] = -INFINITY;
        if (top == 0) logits[i] = fminf(logits[i], width);
        largest = fmaxf(largest, logits[i]);
    }
    if (top == 1) logits[place_of(c, n)] = largest + 0.5f;
}

/* Now and then a row has no token. */
static void break_logits(check *c, float *logits, int64_t n) {
    const int64_t how = check_below(c, 8);
    if (how < 2) logits[place_of(c, n)] = how ? NAN : INFINITY;
    for (int64_t i = 0; how == 2 && i < n; i++) logits[i] = -INFINITY;
}

static bool load_logits(check *c, int64_t n) {
    if (!check_matrix(c, SLOT_X, &c->call.x, c->spec.rows, n, c->spec.pattern)) return false;
    for (int64_t t = 0; t < c->spec.rows && !c->only_shape; t++) {
        float *logits = (float *)c->call.x.data + t * c->call.x.stride;
        if (c->spec.pattern == CHECK_NORMAL) shape_logits(c, t, logits, n);
        if (draw_kind(c, t) == DRAW_ANY) break_logits(c, logits, n);
    }
    return true;
}

enum { SAMPLER_HISTORY = 300, SAMPLER_BIASES = 8 };
typedef struct sampler_case {
    nb_sampling s;
    int64_t n_history;
    int32_t history[SAMPLER_HISTORY], ids[SAMPLER_BIASES];
    float values[SAMPLER_BIASES];
} sampler_case;

/* Hundredths of a whole, but none or all of them. */
static float some_share(check *c) {
    return (float)(1 + check_below(c, 99)) / 100.0f;
}

static void choose_filters(check *c, nb_sampling *s, int64_t vocab, int kind) {
    static const float temperatures[] = {1, 0.7f, 1.5f, 4, 20, 0.2f, 0, 0};
    const int64_t one = check_below(c, 3);
    bool wanted[3];
    for (int i = 0; i < 3; i++) wanted[i] = kind == DRAW_FILTERED ? i == one : kind == DRAW_ANY && check_below(c, 2);
    s->temperature = temperatures[check_below(c, kind == DRAW_ANY ? 8 : 4)];
    s->min_tokens_to_keep = check_below(c, 2) ? 1 : 1 + (int)check_below(c, min_i64(vocab, 20));
    if (wanted[0]) s->top_p = some_share(c);
    if (wanted[1]) s->min_p = some_share(c) * some_share(c) * some_share(c);
    if (wanted[2]) s->top_k = 1 + (int)check_below(c, check_below(c, 2) ? vocab : min_i64(vocab, 60));
}

static void choose_penalties(check *c, sampler_case *to, int64_t vocab) {
    static const int64_t lengths[] = {1, 8, 40, SAMPLER_HISTORY + 1};
    nb_sampling *s = &to->s;
    const int64_t tokens = check_below(c, 2) ? vocab : min_i64(vocab, 9); /* few: they come up again */
    to->n_history = check_below(c, lengths[check_below(c, 4)]);
    for (int64_t i = 0; i < to->n_history; i++) to->history[i] = (int32_t)(vocab - 1 - check_below(c, tokens));
    const int64_t context = to->n_history + 2;
    if (check_below(c, 2)) s->repetition_penalty = 0.5f + 1.5f * some_share(c);
    if (check_below(c, 2)) s->presence_penalty = 2 * some_share(c) - 1;
    if (check_below(c, 2)) s->frequency_penalty = 2 * some_share(c) - 1;
    s->repetition_context_size = (int)check_below(c, context);
    s->presence_context_size = (int)check_below(c, context);
    s->frequency_context_size = (int)check_below(c, context);
    s->n_logit_bias = (size_t)check_below(c, SAMPLER_BIASES + 1);
    for (size_t i = 0; i < s->n_logit_bias; i++) {
        to->ids[i] = (int32_t)check_below(c, tokens);
        to->values[i] = check_below(c, 8) ? check_normal(c) : -INFINITY;
    }
    s->logit_bias_ids = to->ids;
    s->logit_bias_values = to->values;
}

/* A sampler for each row. Made twice: to see how long they are, and to put them there. */
static bool load_samplers(check *c) {
    int32_t *slots = check_integers(c, c->spec.rows, 1);
    const uint64_t start = c->random;
    uint8_t *to = NULL;
    if (!slots) return false;
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;
        c->random = start;
        for (int64_t t = 0; t < c->spec.rows; t++) {
            sampler_case one = {.s = {.seed = check_random(c)}};
            choose_filters(c, &one.s, c->call.x.cols, draw_kind(c, t));
            choose_penalties(c, &one, c->call.x.cols);
            slots[t] = ksampler_append(&one.s, one.history, (size_t)one.n_history, to, &at);
        }
        c->call.samplers_bytes = at;
        if (!to && !(to = guard_input(&c->slots[SLOT_SAMPLERS], at))) return false;
    }
    c->call.samplers = to;
    c->call.slots = slots;
    return true;
}

bool check_load_draws(check *c) {
    return load_logits(c, c->spec.op == KOP_DRAW ? c->spec.k : c->spec.cols) && (!c->spec.samplers || load_samplers(c));
}
