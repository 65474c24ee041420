/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights go to the device once, as they are stored, straight from the mapped files. Each part (codes, scales, biases)
 * begins at a multiple of 256 bytes; experts' parts are evenly spaced, at multiples of 16. The two matrices of a gated
 * pair lie one behind the other, so that they are one matrix as well as two. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/pool.h"
#include "gpu/executor.h"
#include "plan/scales.h"

enum { PART_UNIT = 256, EXPERT_UNIT = 16 };

/* ---- Memory ---------------------------------------------------------------------------------------------------- */

nb_status gpu_block(gpu_executor *e, size_t bytes, const char *what, void **out, nb_error *err) {
    gpu_blocks *b = &e->blocks;
    *out = NULL;
    if (b->n == b->cap) {
        const size_t cap = 2 * b->cap + 64;
        void **at = realloc(b->at, cap * sizeof *at);
        if (!at) return err_no_memory(err, what, cap * sizeof *at);
        b->at = at;
        b->cap = cap;
    }
    nb_status status = e->driver->alloc(e->context, max_i64((int64_t)bytes, 1), out, err);
    if (status) return err_prefix(err, status, "%s", what);
    b->at[b->n++] = *out;
    return e->driver->clear(e->context, *out, bytes, err);
}

void gpu_free_blocks(gpu_executor *e) {
    for (size_t i = 0; i < e->blocks.n; i++) e->driver->release(e->context, e->blocks.at[i]);
    free(e->blocks.at);
}

/* ---- Where parts go -------------------------------------------------------------------------------------------- */

/* First without memory, to see how much is needed, then with it: places and copies. */
typedef struct uploader {
    gpu_executor *e;
    const weights *files;
    uint8_t *block; /* NULL: only counting */
    size_t used;
    bool evicts; /* the files' pages are to leave the system's memory as well */
    nb_status status;
    nb_error *err;
} uploader;

static uint8_t *reserve(uploader *u, size_t bytes) {
    uint8_t *at = u->block ? u->block + u->used : (uint8_t *)LOWER_SOMEWHERE;
    u->used += round_up(bytes, PART_UNIT);
    return at;
}

static void put(uploader *u, uint8_t *to, const void *from, size_t bytes) {
    if (u->block && !u->status && bytes > 0) u->status = u->e->driver->write(u->e->context, to, from, bytes, u->err);
}

static const void *put_new(uploader *u, const void *from, size_t bytes) {
    if (!from) return NULL;
    uint8_t *to = reserve(u, bytes);
    put(u, to, from, bytes);
    return to;
}

typedef enum part { CODES, SCALES, BIASES, N_PARTS } part;

static const void **part_of(kweight *w, part which) {
    return which == CODES ? &w->codes : which == SCALES ? &w->scales : &w->biases;
}

static size_t part_bytes(const kweight *w, part which) {
    return which == CODES ? kweight_code_bytes(w) : kweight_scale_bytes(w);
}

/* One part of a weight (second NULL), or of a pair: experts' one after the other, each first's before second's. Where
 * they went is written into to, to_second and to_pair, unless only counting. */
static void put_part(uploader *u, part which, const kweight *first, const kweight *second, kweight *to,
                     kweight *to_second, kweight *to_pair) {
    const int64_t n = max_i64(1, first->n_experts);
    const kweight *a = first->experts ? first->experts : first, *b = NULL;
    if (second) b = second->experts ? second->experts : second;
    if (!*part_of((kweight *)a, which)) return;
    const size_t bytes = part_bytes(first, which), both = second ? 2 * bytes : bytes;
    const size_t step = first->experts ? round_up(both, EXPERT_UNIT) : both;
    uint8_t *at = reserve(u, step * (size_t)n);
    for (int64_t i = 0; i < n; i++, at += u->block ? step : 0) {
        put(u, at, *part_of((kweight *)&a[i], which), bytes);
        if (b) put(u, at + bytes, *part_of((kweight *)&b[i], which), bytes);
        kweight *one = to->experts ? (kweight *)&to->experts[i] : to;
        *part_of(one, which) = at;
        if (!b) continue;
        *part_of(to_second->experts ? (kweight *)&to_second->experts[i] : to_second, which) =
            u->block ? at + bytes : at;
        *part_of(to_pair->experts ? (kweight *)&to_pair->experts[i] : to_pair, which) = at;
    }
}

/* Where the device's memory is the host's, a large model would lie there twice, as weights and as pages of its files,
 * and the system would look for memory in other programs' (docs/gpu.md). A small one is loaded faster the next time. */
static bool is_large(const gpu_executor *e) {
    const int64_t physical = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    return e->traits->unified && e->base.packed_bytes > physical / 4;
}

static void give_back(const uploader *u, int number) {
    const plan_weight *w = &u->e->base.plan->weights[number];
    if (!u->block) return;
    for (int i = 0; i < w->n_tensors; i++) (u->evicts ? weights_evict : weights_release)(u->files, w->tensors[i]);
}

static void put_weight(uploader *u, int number) {
    const kweight *w = &u->e->base.plan->weights[number].w;
    for (part which = CODES; which < N_PARTS; which++) put_part(u, which, w, NULL, &u->e->weights[number], NULL, NULL);
    give_back(u, number);
}

/* ---- Pairs ------------------------------------------------------------------------------------------------------ */

/* gate's bias, then up's; of experts for each. */
static void put_pair_bias(uploader *u, const plan_step *gate, const plan_step *up, weight_pair *pair) {
    if (!gate->vec.data) return;
    const int64_t n_experts = max_i64(1, pair->w.n_experts);
    const size_t each = (size_t)(pair->w.n / 2) * dtype_size(gate->vec.type);
    uint8_t *at = reserve(u, 2 * each * (size_t)n_experts);
    pair->bias = (kvec){at, gate->vec.type};
    for (int64_t i = 0; i < n_experts && u->block; i++) {
        put(u, at + 2 * each * (size_t)i, (const uint8_t *)gate->vec.data + each * (size_t)i, each);
        put(u, at + 2 * each * (size_t)i + each, (const uint8_t *)up->vec.data + each * (size_t)i, each);
    }
}

/* The weights of a step's pair; done[] tells which need no place of their own any more. */
static void put_pair(uploader *u, int step, bool *done) {
    gpu_executor *e = u->e;
    const plan *p = e->base.plan;
    int gate, up;
    weight_pair *pair = &e->pairs[step];
    if (lower_pair(p, step, &gate, &up).w.n == 0) return;
    const int a = p->steps[gate].weight, b = p->steps[up].weight;
    if (done[a] || done[b]) {
        pair->w.n = 0; /* another pair has one of them */
        return;
    }
    for (part which = CODES; which < N_PARTS; which++)
        put_part(u, which, &p->weights[a].w, &p->weights[b].w, &e->weights[a], &e->weights[b], &pair->w);
    put_pair_bias(u, &p->steps[gate], &p->steps[up], pair);
    done[a] = done[b] = true;
    give_back(u, a);
    give_back(u, b);
}

/* The tables of pairs, with experts of their own. */
static nb_status make_pairs(gpu_executor *e, nb_error *err) {
    const plan *p = e->base.plan;
    size_t n_experts = 0;
    int gate, up;
    e->pairs = calloc((size_t)p->n_steps + 1, sizeof *e->pairs);
    if (!e->pairs) return err_no_memory(err, "the table of weights", 0);
    for (int i = 0; i < p->n_steps; i++) {
        e->pairs[i] = lower_pair(p, i, &gate, &up);
        n_experts += (size_t)e->pairs[i].w.n_experts;
    }
    kweight *next = e->pair_experts = calloc(n_experts + 1, sizeof *next);
    if (!next) return err_no_memory(err, "the table of weights", 0);
    for (int i = 0; i < p->n_steps; i++) {
        kweight *w = &e->pairs[i].w;
        if (!w->experts) continue;
        memcpy(next, w->experts, (size_t)w->n_experts * sizeof *next);
        for (int64_t x = 0; x < w->n_experts; x++) next[x].n = w->n;
        w->experts = next;
        next += w->n_experts;
    }
    return NB_OK;
}

/* ---- Vectors of steps ------------------------------------------------------------------------------------------ */

static void put_vectors(uploader *u, int number) {
    const plan_step *from = &u->e->base.plan->steps[number];
    plan_step *to = &u->e->steps[number];
    const int64_t y_cols = from->y == PLAN_NONE ? 0 : u->e->base.plan->values[from->y].cols;
    to->vec.data = put_new(u, from->vec.data, (size_t)from->vec_len * dtype_size(from->vec.type));
    to->vec2.data = put_new(u, from->vec2.data, (size_t)from->vec_len * dtype_size(from->vec2.type));
    to->columns = put_new(u, from->columns, (size_t)y_cols * sizeof *from->columns);
    to->freqs = put_new(u, from->freqs, (size_t)(y_cols / 2) * sizeof *from->freqs);
}

/* ---- All together ---------------------------------------------------------------------------------------------- */

static nb_status put_all(uploader *u, const executor_options *o, nb_error *err) {
    gpu_executor *e = u->e;
    const plan *p = e->base.plan;
    const int n = p->n_steps + p->n_weights;
    bool *done = calloc((size_t)p->n_weights + 1, sizeof *done);
    if (!done) return err_no_memory(err, "the table of weights", 0);
    for (int i = 0; i < n && !u->status; i++) {
        if (i < p->n_steps) {
            put_vectors(u, i);
            put_pair(u, i, done);
        } else if (!done[i - p->n_steps]) {
            put_weight(u, i - p->n_steps);
        }
        if (u->block && o->progress &&
            !o->progress(o->progress_user, "load", (double)u->used, (double)e->base.packed_bytes))
            u->status = err_set(err, NB_ERR_CANCELLED, "loading was cancelled");
    }
    free(done);
    return u->status;
}

static nb_status check(const gpu_executor *e, const executor_options *o, nb_error *err) {
    pool *threads = NULL;
    nb_status status = pool_new(o->n_threads, &threads, err);
    if (!status) status = plan_check_scales(e->base.plan, threads, err);
    pool_free(threads);
    return status;
}

nb_status gpu_upload(gpu_executor *e, const weights *files, const executor_options *o, nb_error *err) {
    const plan *p = e->base.plan;
    nb_status status = plan_copy_weights(p, &e->weights, &e->experts, err);
    e->steps = calloc((size_t)p->n_steps + 1, sizeof *e->steps);
    if (!status && !e->steps) status = err_no_memory(err, "the table of weights", 0);
    if (!status) status = make_pairs(e, err);
    if (!status && !o->dry) status = check(e, o, err);
    if (status) return status;
    memcpy(e->steps, p->steps, (size_t)p->n_steps * sizeof *e->steps);
    e->base.weights = e->weights;
    uploader u = {.e = e, .err = err};
    status = put_all(&u, o, err);
    if (status || o->dry) return status;
    e->base.packed_bytes = (int64_t)u.used;
    void *block;
    status = gpu_block(e, u.used, "the model's weights", &block, err);
    u = (uploader){.e = e, .files = files, .block = block, .evicts = is_large(e), .err = err};
    return status ? status : put_all(&u, o, err);
}
