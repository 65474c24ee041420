/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/split.h"

#include <stdlib.h>

/* What one part takes of the whole plan. */
typedef struct cut {
    const plan *p;
    bool *steps, *values; /* [n_steps] it has; [n_values] it makes */
    plan_part *out;
} cut;

int plan_split_step(const plan *p, int first_layer) {
    int behind = 0; /* the last layer: where there is none to begin with */
    for (int i = 0; i < p->n_steps; i++) {
        if (p->steps[i].layer >= first_layer && p->steps[i].layer != PLAN_NONE) return i;
        if (p->steps[i].layer != PLAN_NONE) behind = i + 1;
    }
    return behind;
}

/* ---- Which steps ----------------------------------------------------------------------------------------------- */

static bool reads(const plan_step *s, int value) {
    return value != PLAN_NONE && (s->x == value || s->z == value || s->residual == value);
}

static bool part_reads(const cut *c, int value) {
    for (int i = 0; i < c->p->n_steps; i++)
        if (c->steps[i] && reads(&c->p->steps[i], value)) return true;
    return false;
}

static bool part_attends(const cut *c, int cache) {
    for (int i = 0; i < c->p->n_steps; i++)
        if (c->steps[i] && c->p->steps[i].op == KOP_ATTENTION && c->p->steps[i].cache == cache) return true;
    return false;
}

/* The head's steps but for tables of angles that only the tail reads. */
static void choose_head(cut *c, int first) {
    for (int i = 0; i < first; i++) c->steps[i] = true;
    for (int i = 0; i < first; i++)
        if (c->p->steps[i].op == KOP_ROPE_TABLE && !part_reads(c, c->p->steps[i].y)) c->steps[i] = false;
}

/* Filling a cache comes first, since it may read a table of angles too. */
static void choose_tail(cut *c, int first) {
    const plan *p = c->p;
    for (int i = first; i < p->n_steps; i++) c->steps[i] = true;
    for (int i = 0; i < first; i++)
        if (p->steps[i].op == KOP_KV_STORE && part_attends(c, p->steps[i].cache)) c->steps[i] = true;
    for (int i = 0; i < first; i++)
        if (p->steps[i].op == KOP_ROPE_TABLE && part_reads(c, p->steps[i].y)) c->steps[i] = true;
}

static void note_values(cut *c) {
    for (int i = 0; i < c->p->n_steps; i++)
        if (c->steps[i] && c->p->steps[i].y != PLAN_NONE) c->values[c->p->steps[i].y] = true;
}

/* Values that the tail reads and does not make. */
static nb_status find_crossing(const cut *head, const cut *tail, nb_error *err) {
    plan *from = head->out->plan, *to = tail->out->plan;
    for (int v = 0; v < head->p->n_values; v++) {
        if (tail->values[v] || !part_reads(tail, v)) continue;
        if (to->n_inputs == PLAN_MAX_CROSSING || head->p->values[v].rows != PLAN_TOKENS)
            return err_set(err, NB_ERR_UNSUPPORTED, "the model cannot be cut at this layer: %s cannot be passed on",
                           head->p->values[v].name);
        to->inputs[to->n_inputs++] = v;
        from->results[from->n_results++] = v;
    }
    return NB_OK;
}

/* ---- The part's own plan ---------------------------------------------------------------------------------------- */

/* The number that the part has for number `old`; the next free one is *n. */
static int renumber(int *numbers, int old, int *n) {
    if (old == PLAN_NONE) return PLAN_NONE;
    if (numbers[old] == PLAN_NONE) numbers[old] = (*n)++;
    return numbers[old];
}

/* Steps in order, with what they refer to numbered as it is met. */
static void copy_steps(const cut *c, int *scratch) {
    const plan *p = c->p;
    plan *to = c->out->plan;
    int *matrices = scratch, *caches = matrices + p->n_weights, *states = caches + p->n_caches;
    for (int i = 0; i < p->n_weights + p->n_caches + p->n_states; i++) scratch[i] = PLAN_NONE;
    for (int i = 0; i < p->n_steps; i++) {
        if (!c->steps[i]) continue;
        plan_step *s = &to->steps[to->n_steps];
        *s = p->steps[i];
        c->out->steps[to->n_steps++] = i;
        s->weight = renumber(matrices, s->weight, &to->n_weights);
        s->cache = renumber(caches, s->cache, &to->n_caches);
        s->state = renumber(states, s->state, &to->n_states);
        if (s->weight == PLAN_NONE) continue;
        plan_weight *w = &to->weights[s->weight];
        if (!w->name) {
            *w = p->weights[p->steps[i].weight];
            w->is_table = w->is_matrix = false;
            c->out->weights[s->weight] = p->steps[i].weight;
        }
        if (kop_is_product(s->op))
            w->is_matrix = true;
        else
            w->is_table = true;
    }
    for (int i = 0; i < p->n_caches; i++)
        if (caches[i] != PLAN_NONE) to->caches[caches[i]] = p->caches[i];
    for (int i = 0; i < p->n_states; i++)
        if (states[i] != PLAN_NONE) to->states[states[i]] = p->states[i];
}

static nb_status begin_part(cut *c, const plan *p, plan_part *out, nb_error *err) {
    *c = (cut){.p = p, .out = out};
    c->steps = calloc((size_t)p->n_steps + 1, sizeof *c->steps);
    c->values = calloc((size_t)p->n_values + 1, sizeof *c->values);
    arena *memory = arena_new(0);
    plan *to = memory ? arena_zalloc(memory, 1, sizeof *to) : NULL;
    if (!to) {
        arena_free(memory);
        return err_no_memory(err, "a part of the plan", 0);
    }
    *to = (plan){.memory = memory, .values = p->values, .n_values = p->n_values, .logits = PLAN_NONE};
    out->plan = to;
    to->steps = arena_zalloc(memory, (size_t)p->n_steps + 1, sizeof *to->steps);
    to->weights = arena_zalloc(memory, (size_t)p->n_weights + 1, sizeof *to->weights);
    to->caches = arena_zalloc(memory, (size_t)p->n_caches + 1, sizeof *to->caches);
    to->states = arena_zalloc(memory, (size_t)p->n_states + 1, sizeof *to->states);
    out->steps = arena_zalloc(memory, (size_t)p->n_steps + 1, sizeof *out->steps);
    out->weights = arena_zalloc(memory, (size_t)p->n_weights + 1, sizeof *out->weights);
    if (!c->steps || !c->values || !to->steps || !to->weights || !to->caches || !to->states || !out->steps ||
        !out->weights)
        return err_no_memory(err, "a part of the plan", 0);
    return NB_OK;
}

static nb_status finish_part(const cut *c, nb_error *err) {
    int *scratch = calloc((size_t)(c->p->n_weights + c->p->n_caches + c->p->n_states) + 1, sizeof *scratch);
    if (!scratch) return err_no_memory(err, "a part of the plan", 0);
    copy_steps(c, scratch);
    free(scratch);
    return NB_OK;
}

nb_status plan_split(const plan *p, int first_layer, plan_parts *out, nb_error *err) {
    *out = (plan_parts){0};
    cut head = {0}, tail = {0};
    const int first = plan_split_step(p, first_layer);
    nb_status status = begin_part(&head, p, &out->at[PLAN_HEAD], err);
    if (!status) status = begin_part(&tail, p, &out->at[PLAN_TAIL], err);
    if (!status) {
        choose_head(&head, first);
        choose_tail(&tail, first);
        note_values(&head);
        note_values(&tail);
        tail.out->plan->logits = p->logits;
        status = find_crossing(&head, &tail, err);
    }
    if (!status) status = finish_part(&head, err);
    if (!status) status = finish_part(&tail, err);
    free(head.steps);
    free(head.values);
    free(tail.steps);
    free(tail.values);
    return status;
}

void plan_parts_free(plan_parts *parts) {
    for (int i = 0; i < 2; i++) plan_free(parts->at[i].plan);
    *parts = (plan_parts){0};
}
