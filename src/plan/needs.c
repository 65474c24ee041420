/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/needs.h"

#include "base/num.h"
#include "plan/split.h"

enum { UNIT = 256 }; /* what lies on its own begins at a multiple of it */

static int64_t placed(int64_t bytes) {
    return (int64_t)round_up((size_t)bytes, UNIT);
}

/* Whether an earlier step from `first` on has the same, so that it was counted. */
static bool counted(const plan *p, int first, int step, bool (*same)(const plan_step *a, const plan_step *b)) {
    for (int i = first; i < step; i++)
        if (same(&p->steps[i], &p->steps[step])) return true;
    return false;
}

static bool same_weight(const plan_step *a, const plan_step *b) {
    return a->weight == b->weight;
}

static bool has_cache(const plan_step *s) {
    return s->op == KOP_KV_STORE || s->op == KOP_ATTENTION;
}

static bool same_cache(const plan_step *a, const plan_step *b) {
    return has_cache(a) && a->cache == b->cache;
}

static int64_t vector_bytes(const plan *p, const plan_step *s) {
    const int64_t cols = s->y == PLAN_NONE ? 0 : p->values[s->y].cols;
    int64_t bytes = 0;
    if (s->vec.data) bytes += placed(s->vec_len * (int64_t)dtype_size(s->vec.type));
    if (s->vec2.data) bytes += placed(s->vec_len * (int64_t)dtype_size(s->vec2.type));
    if (s->columns) bytes += placed(cols * (int64_t)sizeof *s->columns);
    if (s->freqs) bytes += placed(cols / 2 * (int64_t)sizeof *s->freqs);
    return bytes;
}

static int64_t cache_bytes(const plan_cache *c, const executor_options *o) {
    return 2 * placed(o->n_pages * KV_PAGE_SIZE * c->n_heads * c->head_dim * (int64_t)dtype_size(o->kv_type));
}

plan_bytes plan_needs(const plan *p, int first_layer, const executor_options *options) {
    plan_bytes sum = {0};
    const int first = first_layer == PLAN_NONE ? 0 : plan_split_step(p, first_layer);
    for (int i = first; i < p->n_steps; i++) {
        const plan_step *s = &p->steps[i];
        sum.weights += vector_bytes(p, s);
        if (s->weight != PLAN_NONE && !counted(p, first, i, same_weight))
            sum.weights += placed(weight_stored_bytes(&p->weights[s->weight].w));
        if (!options) continue;
        if (has_cache(s) && !counted(p, first, i, same_cache)) sum.kv += cache_bytes(&p->caches[s->cache], options);
        if (s->state != PLAN_NONE)
            sum.states += placed(options->n_slots * p->states[s->state].size * (int64_t)sizeof(float));
    }
    return sum;
}

plan_bytes plan_layer_needs(const plan *p, int layer, const executor_options *options) {
    const plan_bytes with = plan_needs(p, layer, options), without = plan_needs(p, layer + 1, options);
    return (plan_bytes){with.weights - without.weights, with.kv - without.kv, with.states - without.states};
}

int64_t plan_bytes_sum(const plan_bytes *b) {
    return b->weights + b->kv + b->states;
}
