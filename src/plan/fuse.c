/* SPDX-License-Identifier: Apache-2.0
 *
 * Fusion: which steps of a plan are computed by one call. A merge is made only where the registry has a row for it that
 * ranks no lower than the one for the step alone: so it depends on the device, on the batch (a norm in front of a
 * product pays for few tokens only) and on what is set aside, and a device without fused rows runs the plan as it is.
 */
#include <stdlib.h>

#include "plan/lower_impl.h"

typedef struct fusion {
    lowering *l;
    int *maker;   /* [n_values]: unit that makes it; PLAN_NONE */
    int *readers; /* [n_values]: how many units read it */
} fusion;

static void count(fusion *f, int value, int n) {
    if (value != PLAN_NONE) f->readers[value] += n;
}

static void count_unit(fusion *f, const unit *u, int n) {
    count(f, u->x, n);
    count(f, u->z, n);
    count(f, u->residual, n);
}

static const plan_step *step_of(const fusion *f, const unit *u) {
    return &f->l->t->steps[u->step];
}

/* The unit that makes a value which nobody but one reads; NULL: another one reads it too. */
static unit *only_for_us(const fusion *f, int value) {
    if (value == PLAN_NONE || f->readers[value] != 1 || f->maker[value] == PLAN_NONE) return NULL;
    return &f->l->units[f->maker[value]];
}

/* A merged unit takes the place of `u`, unless its row is missing or worse. */
static bool replace(fusion *f, unit *u, const unit *merged) {
    const krow *before = lower_best_row(f->l, u), *after = lower_best_row(f->l, merged);
    if (!after || (before && before->op == after->op && after->rank < before->rank)) return false;
    count_unit(f, u, -1);
    count_unit(f, merged, 1);
    if (u->y != merged->y) f->maker[merged->y] = (int)(u - f->l->units);
    *u = *merged;
    return true;
}

static void drop(fusion *f, unit *u) {
    count_unit(f, u, -1);
    u->gone = true;
}

/* ---- Heads: norm, rope, store ---------------------------------------------------------------------------------- */

static bool is_norm(const fusion *f, const unit *u, int64_t n_parts) {
    return u && step_of(f, u)->op == KOP_RMSNORM && step_of(f, u)->n_parts == n_parts && u->residual == PLAN_NONE &&
           u->scale == PLAN_NONE;
}

static int64_t heads_of(const fusion *f, const unit *u) {
    const plan_step *s = step_of(f, u);
    return s->op == KOP_KV_STORE ? f->l->t->plan->caches[s->cache].n_heads : s->n_parts;
}

/* RMSNORM x; ROPE or KV_STORE of it. */
static void fuse_head_norm(fusion *f, unit *u) {
    unit *norm = u->norm == PLAN_NONE ? only_for_us(f, u->x) : NULL;
    if (!is_norm(f, norm, heads_of(f, u))) return;
    unit merged = *u;
    merged.x = norm->x;
    merged.norm = norm->step;
    if (replace(f, u, &merged)) drop(f, norm);
}

/* ROPE x; KV_STORE of it. */
static void fuse_rope_store(fusion *f, unit *u) {
    unit *rope = only_for_us(f, u->x);
    if (!rope || step_of(f, rope)->op != KOP_ROPE || step_of(f, rope)->n_parts != heads_of(f, u)) return;
    unit merged = *u;
    merged.x = rope->x;
    merged.z = rope->z;
    merged.norm = rope->norm;
    merged.rope = rope->step;
    if (replace(f, u, &merged)) drop(f, rope);
}

/* ---- Residuals -------------------------------------------------------------------------------------------------- */

static bool is_sum(const fusion *f, const unit *u) {
    return u && step_of(f, u)->op == KOP_SUM_EXPERTS && u->residual == PLAN_NONE;
}

/* y = RMSNORM, or SUM_EXPERTS; ADD x + y: the same with a residual, where the sum stood. */
static void fuse_add(fusion *f, unit *add) {
    for (int side = 0; side < 2; side++) {
        const int value = side ? add->x : add->z, other = side ? add->z : add->x;
        unit *term = only_for_us(f, value);
        if ((!is_norm(f, term, 1) && !is_sum(f, term)) || other == value) continue;
        unit merged = *term;
        merged.residual = other;
        merged.y = add->y;
        if (!replace(f, add, &merged)) continue;
        drop(f, term);
        return;
    }
}

/* y = RMSNORM + residual; SCALE y: one call, where the second stood. (A scale of 0 says in a call that there is none.)
 */
static void fuse_scale(fusion *f, unit *scale) {
    unit *norm = only_for_us(f, scale->x);
    if (!norm || step_of(f, norm)->op != KOP_RMSNORM || norm->residual == PLAN_NONE || step_of(f, scale)->scale == 0)
        return;
    unit merged = *norm;
    merged.scale = scale->step;
    merged.y = scale->y;
    if (replace(f, scale, &merged)) drop(f, norm);
}

/* ---- Products --------------------------------------------------------------------------------------------------- */

/* gate = x G^T; up = x U^T; ACT_MUL of both: one product with the pair, where gate's stood. */
static void fuse_pair(fusion *f, unit *act) {
    const weight_pair *pairs = f->l->t->pairs;
    if (!pairs || pairs[act->step].w.n == 0) return;
    unit *gate = only_for_us(f, act->x), *up = only_for_us(f, act->z);
    if (!gate || !up || gate->x != up->x || gate->norm != up->norm) return;
    unit merged = *gate;
    merged.pair = act->step;
    merged.y = act->y;
    if (!replace(f, gate, &merged)) return;
    drop(f, up);
    drop(f, act);
}

/* Whether all readers of a norm's result are products that can do it themselves. */
static bool can_norm_all(const fusion *f, const unit *norm) {
    const lowering *l = f->l;
    if (plan_is_result(l->t->plan, norm->y)) return false;
    for (int i = 0; i < l->t->plan->n_steps; i++) {
        const unit *u = &l->units[i];
        if (u->gone || (u->x != norm->y && u->z != norm->y && u->residual != norm->y)) continue;
        if (step_of(f, u)->op != KOP_MATMUL || u->z == norm->y || u->residual == norm->y) return false;
        unit merged = *u;
        merged.x = norm->x;
        merged.norm = norm->step;
        const krow *before = lower_best_row(l, u), *after = lower_best_row(l, &merged);
        if (!after || (before && after->rank < before->rank)) return false;
    }
    return true;
}

static void fuse_product_norm(fusion *f, unit *norm) {
    if (!is_norm(f, norm, 1) || !can_norm_all(f, norm)) return;
    for (int i = 0; i < f->l->t->plan->n_steps; i++) {
        unit *u = &f->l->units[i];
        if (u->gone || u->x != norm->y) continue;
        unit merged = *u;
        merged.x = norm->x;
        merged.norm = norm->step;
        replace(f, u, &merged);
    }
    drop(f, norm);
}

/* ---- All together ---------------------------------------------------------------------------------------------- */

static bool fusion_init(fusion *f, lowering *l) {
    const plan *p = l->t->plan;
    *f = (fusion){.l = l};
    f->maker = malloc(((size_t)p->n_values + 1) * sizeof *f->maker);
    f->readers = calloc((size_t)p->n_values + 1, sizeof *f->readers);
    if (!f->maker || !f->readers) return false;
    for (int v = 0; v < p->n_values; v++) f->maker[v] = PLAN_NONE;
    for (int i = 0; i < p->n_steps; i++) {
        const unit *u = &l->units[i];
        if (u->gone) continue;
        count_unit(f, u, 1);
        if (u->y != PLAN_NONE) f->maker[u->y] = i;
    }
    for (int v = 0; v < p->n_values; v++) f->readers[v] += plan_is_result(p, v);
    return true;
}

/* Each kind of merge over all units that are still there. */
static void over(fusion *f, kop op, void (*merge)(fusion *f, unit *u)) {
    for (int i = 0; i < f->l->t->plan->n_steps; i++) {
        unit *u = &f->l->units[i];
        if (!u->gone && step_of(f, u)->op == op) merge(f, u);
    }
}

bool lower_fuse(lowering *l) {
    fusion f;
    const bool ok = fusion_init(&f, l);
    if (ok) {
        over(&f, KOP_ROPE, fuse_head_norm);
        over(&f, KOP_KV_STORE, fuse_rope_store);
        over(&f, KOP_KV_STORE, fuse_head_norm);
        over(&f, KOP_ADD, fuse_add);
        over(&f, KOP_SCALE, fuse_scale);
        over(&f, KOP_ACT_MUL, fuse_pair);
        over(&f, KOP_RMSNORM, fuse_product_norm);
    }
    free(f.maker);
    free(f.readers);
    return ok;
}

/* ---- Pairs of weights ------------------------------------------------------------------------------------------- */

static int maker_of(const plan *p, int value, kop op) {
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].y == value) return p->steps[i].op == op ? i : PLAN_NONE;
    return PLAN_NONE;
}

static bool only_reader(const plan *p, int value) {
    int n = plan_is_result(p, value);
    for (int i = 0; i < p->n_steps; i++)
        n += (p->steps[i].x == value) + (p->steps[i].z == value) + (p->steps[i].residual == value);
    return n == 1;
}

static bool same_kind(const kweight *a, const kweight *b) {
    const kweight *one = a->experts ? a->experts : a, *other = b->experts ? b->experts : b;
    return a->mode == b->mode && a->type == b->type && a->bits == b->bits && a->group_size == b->group_size &&
           a->n == b->n && a->k == b->k && a->n_experts == b->n_experts && !one->biases == !other->biases;
}

weight_pair lower_pair(const plan *p, int act_mul, int *gate, int *up) {
    const weight_pair none = {0};
    const plan_step *s = &p->steps[act_mul];
    if (s->op != KOP_ACT_MUL || s->act == ACT_NONE) return none;
    for (int experts = 0; experts < 2; experts++) {
        const kop op = experts ? KOP_MATMUL_EXPERTS : KOP_MATMUL;
        *gate = maker_of(p, s->x, op);
        *up = maker_of(p, s->z, op);
        if (*gate != PLAN_NONE && *up != PLAN_NONE) break;
    }
    if (*gate == PLAN_NONE || *up == PLAN_NONE || *gate == *up || !only_reader(p, s->x) || !only_reader(p, s->z))
        return none;
    const plan_step *g = &p->steps[*gate], *u = &p->steps[*up];
    const kweight *gw = &p->weights[g->weight].w, *uw = &p->weights[u->weight].w;
    if (g->weight == u->weight || g->x != u->x || g->z != u->z || g->residual != PLAN_NONE ||
        u->residual != PLAN_NONE || !same_kind(gw, uw) || !g->vec.data != !u->vec.data || g->vec.type != u->vec.type ||
        p->weights[g->weight].is_table || p->weights[u->weight].is_table)
        return none;
    weight_pair pair = {.w = *gw};
    pair.w.n = 2 * gw->n;
    return pair;
}
