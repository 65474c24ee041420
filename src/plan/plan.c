/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void plan_free(plan *p) {
    if (p) arena_free(p->memory);
}

bool plan_is_result(const plan *p, int value) {
    bool is = value == p->logits;
    for (int i = 0; i < p->n_results; i++) is |= value == p->results[i];
    return is && value != PLAN_NONE;
}

void plan_layers(const plan *p, int *first, int *end) {
    *first = *end = 0;
    for (int i = 0; i < p->n_steps; i++) {
        const int layer = p->steps[i].layer;
        if (layer == PLAN_NONE) continue;
        if (*end == 0 || layer < *first) *first = layer;
        if (layer >= *end) *end = layer + 1;
    }
}

/* ---- Fusion ---------------------------------------------------------------------------------------------------- */

static int count_readers(const plan *p, int value) {
    int n = plan_is_result(p, value);
    for (int i = 0; i < p->n_steps; i++) {
        const plan_step *s = &p->steps[i];
        n += (s->x == value) + (s->z == value) + (s->residual == value);
    }
    return n;
}

/* MATMUL y; ADD h = x + y -> MATMUL h with residual x. The step order stays; the product's value is not used again. */
static bool fuse_residual(plan *p, plan_step *matmul, plan_step *add) {
    if (matmul->op != KOP_MATMUL || add->op != KOP_ADD || matmul->residual != PLAN_NONE) return false;
    if (add->x == add->z || (add->x != matmul->y && add->z != matmul->y)) return false;
    if (count_readers(p, matmul->y) != 1) return false;
    matmul->residual = add->x == matmul->y ? add->z : add->x;
    matmul->y = add->y;
    return true;
}

void plan_fuse(plan *p) {
    int kept = 0;
    for (int i = 0; i < p->n_steps; i++) {
        if (kept > 0 && fuse_residual(p, &p->steps[kept - 1], &p->steps[i])) continue;
        p->steps[kept++] = p->steps[i];
    }
    p->n_steps = kept;
}

/* ---- Weights --------------------------------------------------------------------------------------------------- */

nb_status plan_copy_weights(const plan *p, kweight **matrices, kweight **experts, nb_error *err) {
    size_t n_experts = 0;
    for (int i = 0; i < p->n_weights; i++) n_experts += (size_t)p->weights[i].w.n_experts;
    *matrices = calloc((size_t)p->n_weights + 1, sizeof **matrices);
    *experts = calloc(n_experts + 1, sizeof **experts);
    if (!*matrices || !*experts) return err_no_memory(err, "the table of weights", 0);
    kweight *next = *experts;
    for (int i = 0; i < p->n_weights; i++) {
        kweight *w = &(*matrices)[i];
        *w = p->weights[i].w;
        if (!w->experts) continue;
        memcpy(next, w->experts, (size_t)w->n_experts * sizeof *next);
        w->experts = next;
        next += w->n_experts;
    }
    return NB_OK;
}

bool plan_has_weight(const plan *p, int i, const kweight *w) {
    const int number = p->steps[i].weight;
    return number != PLAN_NONE && p->weights[number].w.n == w->n;
}

/* ---- For people ------------------------------------------------------------------------------------------------ */

int64_t weight_elements(const kweight *w) {
    return w->n * w->k * (w->n_experts ? w->n_experts : 1);
}

int64_t weight_stored_bytes(const kweight *w) {
    const int64_t type_bytes = (int64_t)dtype_size(w->type), rows = weight_elements(w) / w->k;
    if (w->mode == W_PLAIN) return rows * w->k * type_bytes;
    const kweight *one = w->experts ? w->experts : w;
    const int64_t per_group = (one->biases ? 2 : 1) * type_bytes;
    return rows * (w->k * w->bits / 8 + w->k / w->group_size * per_group);
}

/* Of the experts of weight w, how many one token is multiplied with. */
static int64_t chosen_experts(const plan *p, int w) {
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].op == KOP_MATMUL_EXPERTS && p->steps[i].weight == w) return p->steps[i].n_chosen;
    return 1;
}

int64_t plan_weight_bytes(const plan *p) {
    int64_t total = 0;
    for (int i = 0; i < p->n_weights; i++) {
        const kweight *w = &p->weights[i].w;
        int64_t bytes = weight_stored_bytes(w);
        if (w->n_experts) bytes = bytes / w->n_experts * chosen_experts(p, i);
        total += p->weights[i].is_matrix ? bytes : bytes / w->n;
    }
    return total;
}

const char *weight_text(const kweight *w, char text[64]) {
    if (w->mode == W_PLAIN)
        snprintf(text, 64, "%s", dtype_name(w->type));
    else if (w->mode == W_AFFINE)
        snprintf(text, 64, "affine %d-bit g%d %s", w->bits, w->group_size, dtype_name(w->type));
    else
        snprintf(text, 64, "%s", wmode_name(w->mode));
    return text;
}

void plan_step_text(const plan *p, int i, char *text, size_t size) {
    const plan_step *s = &p->steps[i];
    size_t n = 0;
#define SAY(...)                                                                                                       \
    do {                                                                                                               \
        if (n < size) n += (size_t)snprintf(text + n, size - n, __VA_ARGS__);                                          \
    } while (0)
    if (s->y != PLAN_NONE) SAY("v%d [%lld] = ", s->y, (long long)p->values[s->y].cols);
    SAY("%s", kop_name(s->op));
    if (s->x != PLAN_NONE) SAY(" v%d", s->x);
    if (s->z != PLAN_NONE) SAY(", v%d", s->z);
    if (s->residual != PLAN_NONE) SAY(" + v%d", s->residual);
    if (s->weight != PLAN_NONE) {
        char w[64];
        const plan_weight *weight = &p->weights[s->weight];
        SAY(" %s [", weight->name);
        if (weight->w.n_experts) SAY("%lld, ", (long long)weight->w.n_experts);
        SAY("%lld, %lld] %s", (long long)weight->w.n, (long long)weight->w.k, weight_text(&weight->w, w));
    }
    if (kop_is_product(s->op) && s->vec.data) SAY(" + bias");
    if (s->act) SAY(" %s", kact_name(s->act));
    if (s->n_parts > 1) SAY(" heads=%lld", (long long)s->n_parts);
    if (s->n_chosen) SAY(" experts=%lld", (long long)s->n_chosen);
    if (s->state != PLAN_NONE) SAY(" state %d", s->state);
    if (s->op == KOP_KV_STORE) SAY(" -> cache %d %s", s->cache, s->is_values ? "values" : "keys");
    if (s->op == KOP_ATTENTION) SAY(" cache %d scale=%g", s->cache, (double)s->scale);
    if (s->softcap > 0) SAY(" softcap=%g", (double)s->softcap);
    if (s->window) SAY(" window=%lld", (long long)s->window);
    SAY("  (%s)", s->name);
#undef SAY
}
