/* SPDX-License-Identifier: Apache-2.0
 *
 * PENALIZE and DRAW. Slices of the vocabulary find the largest logit, then how many tokens and how much probability lie
 * within some distances of it, then write down the candidates within the shortest distance that the filters need; a
 * single block finds the filters' thresholds by halving the range of logits, and draws. */
#define NB_GPU_DEVICE_CODE
#include "sample_params.h"

#include "math64.h"
#include "reduce.h"

/* Operands of a row: grid y. */
typedef const GLOBAL ksampler *sampler_at;
INLINE sampler_at sampler_of(const struct sample_params *p) {
    return (sampler_at)(p->samplers + (i64)p->slots[bid_y()] * KSAMPLER_UNIT);
}
INLINE GLOBAL float *logits_of(const struct sample_params *p) {
    return p->logits + bid_y() * p->stride;
}
INLINE GLOBAL struct sample_slice *slices_of(const struct sample_params *p) {
    return p->slices + bid_y() * SAMPLE_SLICES;
}
INLINE GLOBAL struct sample_candidate *candidates_of(const struct sample_params *p) {
    return p->candidates + (u64)bid_y() * p->vocab;
}

/* ---- Penalties --------------------------------------------------------------------------------------------------- */

INLINE void add_biases(const GLOBAL i32 *ids, const GLOBAL float *values, u32 n, GLOBAL float *logits) {
    for (u32 i = tid(); i < n; i += bdim()) {
        u32 first = 0;
        while (ids[first] != ids[i]) first++;
        if (first < i) continue; /* one thread for all biases of a token, in their order */
        float v = logits[ids[i]];
        for (u32 j = i; j < n; j++)
            if (ids[j] == ids[i]) v += values[j];
        logits[ids[i]] = v;
    }
}

/* Penalties of the token at history[at], if it was not seen since. */
INLINE void penalize(sampler_at s, const GLOBAL i32 *history, i32 at, GLOBAL float *logits) {
    const i32 token = history[at], age = s->n_history - 1 - at;
    for (i32 i = at + 1; i < s->n_history; i++)
        if (history[i] == token) return;
    float v = logits[token];
    if (age < s->n_repetition) v = v < 0 ? v * s->repetition : v / s->repetition;
    if (age < s->n_presence) v -= s->presence;
    for (i32 i = at; i >= 0 && s->n_history - 1 - i < s->n_frequency; i--)
        if (history[i] == token) v -= s->frequency;
    logits[token] = v;
}

/* Grid (1, rows). */
KERNEL void sample_penalties(struct sample_params p) {
    const sampler_at s = sampler_of(&p);
    const GLOBAL i32 *history = (const GLOBAL i32 *)(s + 1), *ids = history + s->n_history;
    add_biases(ids, (const GLOBAL float *)(ids + s->n_bias), (u32)s->n_bias, logits_of(&p));
    barrier();
    for (i32 i = (i32)tid(); i < s->n_history; i += (i32)bdim()) penalize(s, history, i, logits_of(&p));
}

/* ---- The largest logit ------------------------------------------------------------------------------------------- */

/* Whole numbers up to 2^24 go between lanes as floats. */
typedef struct best {
    float largest;
    u32 at, bad;
} best;

INLINE best better_of(best a, best b) {
    const int other = b.largest > a.largest || (b.largest == a.largest && b.at < a.at);
    return (best){other ? b.largest : a.largest, other ? b.at : a.at, a.bad | b.bad};
}
INLINE best warp_best(best v) {
    UNROLL for (u32 m = WARP / 2; m > 0; m /= 2) {
        const best o = {shfl_xor(v.largest, m), as_u32(shfl_xor(as_f32(v.at), m)), as_u32(shfl_xor(as_f32(v.bad), m))};
        v = better_of(v, o);
    }
    return v;
}
INLINE best no_best(u32 vocab) {
    return (best){-__builtin_inff(), vocab, 0};
}
/* In every thread; the shared memory is the caller's again after the next barrier. */
INLINE best block_best(best v, u32 vocab) {
    SHARED best *all = (SHARED best *)shared_memory();
    v = warp_best(v);
    if (lane_id() == 0) all[warp_id()] = v;
    barrier();
    return warp_best(lane_id() < bdim() / WARP ? all[lane_id()] : no_best(vocab));
}

INLINE u32 slice_size(const struct sample_params *p) {
    return (p->vocab + SAMPLE_SLICES - 1) / SAMPLE_SLICES;
}
INLINE u32 slice_end(const struct sample_params *p) {
    const u64 end = (u64)(bid_x() + 1) * slice_size(p);
    return end < p->vocab ? (u32)end : p->vocab;
}

/* Grid (slices, rows). */
KERNEL void sample_largest(struct sample_params p) {
    const GLOBAL float *logits = logits_of(&p);
    best own = no_best(p.vocab);
    const u32 end = slice_end(&p);
    for (u32 i = bid_x() * slice_size(&p) + tid(); i < end; i += bdim()) {
        const float v = logits[i];
        if (v > own.largest || (v == own.largest && own.at == p.vocab)) own.largest = v, own.at = i;
        own.bad |= !(v < __builtin_inff());
    }
    own = block_best(own, p.vocab);
    if (tid() == 0) {
        GLOBAL struct sample_slice *slice = slices_of(&p) + bid_x();
        slice->largest = own.largest;
        slice->at = own.at;
        slice->bad = own.bad;
    }
}

/* Of the row, from its slices, in every thread. */
INLINE best row_best(const struct sample_params *p) {
    const GLOBAL struct sample_slice *slices = slices_of(p);
    best own = no_best(p->vocab);
    for (u32 i = tid(); i < SAMPLE_SLICES; i += bdim())
        own = better_of(own, (best){slices[i].largest, slices[i].at, slices[i].bad});
    own = block_best(own, p->vocab);
    barrier();
    return own;
}
/* -infinity forbids a token; that there is no other, a NaN or an infinite logit are errors. */
INLINE int is_broken(best b) {
    return b.bad || b.largest == -__builtin_inff();
}

/* ---- Candidates -------------------------------------------------------------------------------------------------- */

/* Window i: logits this close to the largest one. */
INLINE float window_width(u32 i) {
    return i == SAMPLE_WINDOWS - 1 ? __builtin_inff() : i == 0 ? 5.0f : 11.0f;
}
INLINE int in_window(float v, float largest, u32 i) {
    return v > -__builtin_inff() && largest - v <= window_width(i);
}
INLINE u32 key_of(float v) {
    const u32 bits = as_u32(v == 0 ? 0.0f : v); /* -0 is 0 */
    return bits >> 31 ? ~bits : bits | 0x80000000;
}
INLINE float of_key(u32 key) {
    return as_f32(key >> 31 ? key & 0x7fffffff : ~key);
}

/* In every thread, in the same order. */
INLINE double block_sum_f64(double v, SHARED double *sums) {
    v = warp_sum_f64(v);
    barrier();
    if (lane_id() == 0) sums[warp_id()] = v;
    barrier();
    v = 0;
    for (u32 i = 0; i < bdim() / WARP; i++) v += sums[i];
    return v;
}
/* Of whole numbers, whose sum is below 2^24. */
INLINE u32 block_count(u32 v, SHARED double *sums) {
    const float n = warp_sum((float)v);
    barrier();
    if (lane_id() == 0) sums[warp_id()] = (double)n;
    barrier();
    v = 0;
    for (u32 i = 0; i < bdim() / WARP; i++) v += (u32)sums[i];
    return v;
}

/* Grid (slices, rows): what lies in the windows. */
KERNEL void sample_windows(struct sample_params p) {
    const GLOBAL float *logits = logits_of(&p);
    const best row = row_best(&p);
    if (sampler_of(&p)->temperature == 0) return;
    double mass[SAMPLE_WINDOWS] = {0}, sum = 0;
    u32 count[SAMPLE_WINDOWS] = {0};
    const u32 end = slice_end(&p);
    for (u32 i = bid_x() * slice_size(&p) + tid(); i < end; i += bdim()) {
        const double e = exp_f64((double)logits[i] - (double)row.largest);
        sum += e;
        UNROLL for (u32 w = 0; w < SAMPLE_WINDOWS; w++) {
            const int inside = in_window(logits[i], row.largest, w);
            mass[w] += inside ? e : 0;
            count[w] += (u32)inside;
        }
    }
    GLOBAL struct sample_slice *slice = slices_of(&p) + bid_x();
    SHARED double *sums = (SHARED double *)shared_memory();
    sum = block_sum_f64(sum, sums);
    if (tid() == 0) slice->sum = sum;
    UNROLL for (u32 w = 0; w < SAMPLE_WINDOWS; w++) {
        const double m = w == SAMPLE_WINDOWS - 1 ? sum : block_sum_f64(mass[w], sums);
        const u32 n = block_count(count[w], sums);
        if (tid() == 0) {
            slice->mass[w] = m;
            slice->count[w] = n;
        }
    }
}

/* The whole row: the sum of exp(logit - largest), the window that holds all that the filters can let through, how many
 * candidates it has, and how many of them stand before this block's slice. */
typedef struct summary {
    double sum;
    u32 window, n, before;
} summary;

INLINE int is_enough(sampler_at s, double probability, u32 n, u32 window) {
    if (s->top_p > 0 && probability > s->top_p * (1 + 1e-12)) return 1;
    if (s->top_k > 0 && n >= (u32)s->top_k) return 1;
    return s->use_min_p && -s->log_min_p < (double)window_width(window) * 0.999 && n >= (u32)s->min_keep;
}

INLINE summary summarize(const struct sample_params *p) {
    const GLOBAL struct sample_slice *slices = slices_of(p), *own = slices + (tid() < SAMPLE_SLICES ? tid() : 0);
    const int has = tid() < SAMPLE_SLICES;
    SHARED double *sums = (SHARED double *)shared_memory();
    summary all = {.sum = block_sum_f64(has ? own->sum : 0, sums), .window = SAMPLE_WINDOWS - 1};
    for (u32 w = SAMPLE_WINDOWS - 1; w + 1 > 0; w--) {
        const double mass = block_sum_f64(has ? own->mass[w] : 0, sums);
        const u32 n = block_count(has ? own->count[w] : 0, sums);
        if (w < SAMPLE_WINDOWS - 1 && !is_enough(sampler_of(p), mass / all.sum, n, w)) break;
        all.window = w;
        all.n = n;
    }
    all.before = block_count(has && tid() < bid_x() ? own->count[all.window] : 0, sums);
    barrier();
    return all;
}

/* Log-probabilities are logit - norm. */
INLINE double norm_of(float largest, double sum) {
    return (double)largest + log_f64(sum);
}

/* Grid (slices, rows): candidates in order of ids. Threads take neighbouring tokens, so each has to know how many are
 * those of the threads before it. */
KERNEL void sample_candidates(struct sample_params p) {
    const sampler_at s = sampler_of(&p);
    const GLOBAL float *logits = logits_of(&p);
    const float largest = row_best(&p).largest;
    if (s->temperature == 0) return;
    const summary all = summarize(&p);
    const u32 end = slice_end(&p), each = (slice_size(&p) + bdim() - 1) / bdim();
    const u32 own = bid_x() * slice_size(&p) + tid() * each, own_end = own + each < end ? own + each : end;
    SHARED u32 *counts = (SHARED u32 *)shared_memory();
    u32 n = 0, at = all.before;
    for (u32 i = own; i < own_end; i++) n += in_window(logits[i], largest, all.window);
    counts[tid()] = n;
    barrier();
    for (u32 i = 0; i < tid(); i++) at += counts[i];
    const double norm = norm_of(largest, all.sum), top = (double)largest - norm;
    for (u32 i = own; i < own_end; i++) {
        if (!in_window(logits[i], largest, all.window)) continue;
        const double logprob = (double)logits[i] - norm;
        candidates_of(&p)[at++] = (struct sample_candidate){exp_f64(logprob), exp_f64((logprob - top) / s->temperature),
                                                            key_of(logits[i]), i};
    }
}

/* ---- Filters ----------------------------------------------------------------------------------------------------- */

/* What is kept: keys above `key`, and those equal to it with ids up to `id`. */
typedef struct kept {
    u32 key, id;
} kept;

INLINE int is_kept(kept k, const GLOBAL struct sample_candidate *c) {
    return c->key > k.key || (c->key == k.key && c->id <= k.id);
}

/* The candidates and the block's shared memory. */
typedef struct field {
    const GLOBAL struct sample_candidate *c;
    u32 n;
    SHARED double *sums;
} field;

enum measure { PROBABILITY, COUNT };
/* Of those kept by both. */
INLINE double measure_of(const field *f, enum measure m, kept a, kept b) {
    double sum = 0;
    u32 n = 0;
    for (u32 i = tid(); i < f->n; i += bdim()) {
        if (!is_kept(a, f->c + i) || !is_kept(b, f->c + i)) continue;
        sum += f->c[i].probability;
        n++;
    }
    return m == COUNT ? (double)block_count(n, f->sums) : block_sum_f64(sum, f->sums);
}

enum { ALL_IDS = 0x7fffffff };

/* The largest key down to which, of what is kept, there is enough; 0: there is not. */
INLINE u32 key_with(const field *f, enum measure m, kept k, double enough, u32 largest_key) {
    u32 low = 0, high = largest_key; /* the answer is low or above it */
    while (low < high) {
        const u32 middle = low + (high - low + 1) / 2;
        if (measure_of(f, m, k, (kept){middle, ALL_IDS}) >= enough)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* The n best, of equal ones those with the lower ids. */
INLINE kept keep_best(const field *f, kept k, i32 n, u32 largest_key) {
    if (measure_of(f, COUNT, k, k) <= n) return k;
    const u32 key = key_with(f, COUNT, k, n, largest_key);
    if (measure_of(f, COUNT, k, (kept){key, ALL_IDS}) <= n) return (kept){key, ALL_IDS};
    u32 low = 0, high = ALL_IDS; /* the lowest id with which there are n */
    while (low < high) {
        const u32 middle = (low + high) / 2;
        if (measure_of(f, COUNT, k, (kept){key, middle}) >= n)
            high = middle;
        else
            low = middle + 1;
    }
    return (kept){key, low};
}

/* The least key whose log-probability is at least `least`. */
INLINE u32 key_from(double least, double norm, u32 largest_key) {
    u32 low = 0x00800000, high = largest_key; /* from the key of -infinity's neighbour on */
    while (low < high) {
        const u32 middle = low + (high - low) / 2;
        if ((double)of_key(middle) - norm >= least)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

INLINE kept filter(sampler_at s, const field *f, float largest, double norm) {
    const u32 top = key_of(largest);
    kept k = {0, ALL_IDS};
    if (s->top_p > 0) k.key = key_with(f, PROBABILITY, k, s->top_p, top);
    if (s->use_min_p) {
        const kept likely = {key_from((double)largest - norm + s->log_min_p, norm, top), ALL_IDS};
        if (measure_of(f, COUNT, k, likely) < s->min_keep)
            k = keep_best(f, k, s->min_keep, top);
        else if (likely.key > k.key)
            k = likely;
    }
    return s->top_k > 0 ? keep_best(f, k, s->top_k, top) : k;
}

/* ---- The draw ---------------------------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014): uniform in [0, 1) from the upper 53 bits. */
INLINE double random_number(u64 state) {
    u64 z = state + 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* In thread 0, whose walk goes over the threads' shares and then through one of them. */
INLINE u32 walk(const field *f, kept k, u32 each, double left) {
    u32 thread = 0, last = 0, token = 0;
    for (; thread < bdim(); thread++) {
        if (f->sums[thread] == 0) continue;
        last = thread;
        if (left < f->sums[thread]) break;
        left -= f->sums[thread];
    }
    const u32 from = last * each, to = from + each < f->n ? from + each : f->n;
    for (u32 i = from; i < to && left >= 0; i++) {
        if (!is_kept(k, f->c + i)) continue;
        token = f->c[i].id;
        left -= f->c[i].weight;
    }
    return token;
}

INLINE u32 draw(const struct sample_params *p, float largest) {
    const sampler_at s = sampler_of(p);
    const summary all = summarize(p);
    const field f = {candidates_of(p), all.n, (SHARED double *)shared_memory()};
    const kept k = filter(s, &f, largest, norm_of(largest, all.sum));
    const u32 each = (f.n + bdim() - 1) / bdim(), from = tid() * each, to = from + each < f.n ? from + each : f.n;
    double own = 0;
    for (u32 i = from; i < to; i++)
        if (is_kept(k, f.c + i)) own += f.c[i].weight;
    const double sum = block_sum_f64(own, f.sums);
    barrier();
    f.sums[tid()] = own;
    barrier();
    return tid() == 0 ? walk(&f, k, each, random_number(s->random) * sum) : 0;
}

/* Grid (1, rows). */
KERNEL void sample_pick(struct sample_params p) {
    const best row = row_best(&p);
    const int broken = is_broken(row);
    u32 token = row.at;
    if (!broken && p.samplers && sampler_of(&p)->temperature > 0) token = draw(&p, row.largest);
    if (tid() == 0) p.tokens[bid_y() * p.tokens_stride] = broken ? -1.0f : (float)token;
}
