/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION for vectors of any width: softmax over blocks of keys as they come (Milakov and Gimelshein 2018, "Online
 * normalizer calculation for softmax"; Dao et al. 2022, "FlashAttention"). Decoding and prompts are one code path:
 *
 *   task   = a query head of a tile, up to TILE tokens of one sequence. Consecutive tasks of one KV head run together,
 *            so its keys and values are read once for all of them.
 *   row    = one token's one query head: its largest score, sum of exponentials and weighted sum of values so far.
 *   block  = BLOCK positions, at multiples of BLOCK in the sequence whoever asks. For each block all rows first get
 *            their scores and weights, then add their weighted values.
 *
 * Batch invariance: what a row computes is a function of its own query, positions and keys only. Each score is one dot
 * product of LANES sums, folded in one order; blocks come in order of position; a row's keys within a block come in
 * order of position; rows never mix. Tiles only decide what is computed next to what.
 *
 * The including file includes the header of its vectors (x86/vec_avx2.h, x86/vec_avx512.h, arm/neon.h) and defines
 *   v_between(lo, hi, first): lanes i with lo <= first + i < hi,
 *   dot8(q, k, dim, out): out[i] = q . (k + i dim) for i < 8. */
#include <math.h>

#include "base/num.h"
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/unroll.h"

enum {
    TILE = 16,  /* tokens */
    BLOCK = 32, /* keys */
    ROWS = 64,  /* that run together at most */
};

/* What a thread keeps in its scratch. */
typedef struct state {
    float *weights;                    /* [ROWS, BLOCK]: scores, then exp(score - largest) */
    float *sums;                       /* [ROWS, LANES]: of the weights so far */
    float *outs;                       /* [ROWS, head_dim] */
    float *keys, *values;              /* [BLOCK, head_dim]: of pages that are not fp32, or smaller than a block */
    float largest[ROWS], factor[ROWS]; /* factor: what the block's new largest score makes of the older sums */
    int lo[ROWS], hi[ROWS];            /* keys of the block that the row sees */
} state;

/* Rows that run together: heads [head, head + n_heads) of tokens [token, token + n_tokens). */
typedef struct group {
    int64_t token, head, kv_head;
    int n_tokens, n_heads, n_rows;
} group;

static bool attention_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->y.type == DT_F32 && c->keys.head_dim % LANES == 0;
}

static size_t attention_scratch(const krow *row, const kcall *c) {
    (void)row;
    size_t dim = (size_t)c->keys.head_dim;
    return round_up(sizeof(state), 64) + (ROWS * (BLOCK + LANES + dim) + 2 * BLOCK * dim) * sizeof(float);
}

static state *make_state(void *scratch, int64_t dim) {
    state *s = scratch;
    s->weights = (float *)((char *)scratch + round_up(sizeof(state), 64));
    s->sums = s->weights + ROWS * BLOCK;
    s->outs = s->sums + ROWS * LANES;
    s->keys = s->outs + ROWS * dim;
    s->values = s->keys + BLOCK * dim;
    return s;
}

/* ---- Tiles and tasks ----------------------------------------------------------------------------------------- */

/* Tokens of the sequence that token t belongs to, from t on. */
static int64_t run_length(const kcall *c, int64_t t) {
    int64_t n = 1;
    while (t + n < c->x.rows && c->tables[t + n] == c->tables[t] && c->positions[t + n] == c->positions[t] + n) n++;
    return n;
}

static int64_t count_tiles(const kcall *c) {
    int64_t tiles = 0;
    for (int64_t t = 0, n; t < c->x.rows; t += n) {
        n = run_length(c, t);
        tiles += div_up(n, TILE);
    }
    return tiles;
}

static void find_tile(const kcall *c, int64_t index, group *g) {
    for (int64_t t = 0, n; t < c->x.rows; t += n) {
        n = run_length(c, t);
        if (index < div_up(n, TILE)) {
            g->token = t + index * TILE;
            g->n_tokens = (int)min_i64(TILE, n - index * TILE);
            return;
        }
        index -= div_up(n, TILE);
    }
}

static int64_t heads_per_kv(const kcall *c) {
    return c->x.cols / c->keys.head_dim / c->keys.n_heads;
}

static int64_t attention_tasks(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, count_tiles(c) * heads_per_kv(c) * c->keys.n_heads);
}

/* Later tiles of a prompt see more keys. Taking them from both ends in turn makes any stretch of tasks cost its share.
 */
static int64_t in_turn(int64_t i, int64_t n) {
    return i % 2 == 0 ? i / 2 : n - 1 - i / 2;
}

/* ---- One block ----------------------------------------------------------------------------------------------- */

static const char *page_place(const kpages *p, const int32_t *table, int64_t head, int64_t position) {
    int64_t page = table[position / p->page_size], slot = position % p->page_size;
    int64_t at = ((page * p->n_heads + head) * p->page_size + slot) * p->head_dim;
    return (const char *)p->data + at * (p->type == DT_F32 ? 4 : 2);
}

static void convert(const char *from, dtype type, int64_t n, float *to) {
    for (int64_t i = 0; i < n; i += LANES) {
        if (type == DT_F32)
            v_store(to + i, v_load((const float *)from + i));
        else if (type == DT_F16)
            v_store(to + i, load_f16((const uint16_t *)from + i));
        else
            v_store(to + i, load_bf16((const uint16_t *)from + i));
    }
}

/* Keys or values [lo, hi) of the block at position `base`: where they lie, or in `copy`. */
static const float *block_rows(const kpages *p, const int32_t *table, int64_t head, int64_t base, int lo, int hi,
                               float *copy) {
    if (p->page_size % BLOCK == 0) {
        const char *from = page_place(p, table, head, base);
        if (p->type == DT_F32) return (const float *)from;
        convert(from + lo * p->head_dim * 2, p->type, (hi - lo) * p->head_dim, copy + lo * p->head_dim);
        return copy;
    }
    for (int j = lo; j < hi; j++)
        convert(page_place(p, table, head, base + j), p->type, p->head_dim, copy + j * p->head_dim);
    return copy;
}

/* Asks for what block_rows will read. Pages lie apart and keys and values take turns, which no hardware prefetcher
 * foresees. */
static void prefetch_rows(const kpages *p, const int32_t *table, int64_t head, int64_t base, int lo, int hi) {
    enum { LINE = 64 };
    int64_t row = p->head_dim * (p->type == DT_F32 ? 4 : 2), at_once = p->page_size % BLOCK == 0 ? hi - lo : 1;
    for (int64_t j = lo; j < hi; j += at_once) {
        const char *from = page_place(p, table, head, base + j);
        for (int64_t i = 0; i < at_once * row; i += LINE) __builtin_prefetch(from + i);
    }
}

/* Of a block's scores, scaled. */
static void cap_scores(float *scores, float scale, float cap) {
    for (int i = 0; i < BLOCK; i += LANES) {
        const vfloat share = v_div(v_mul(v_load(scores + i), v_set1(scale)), v_set1(cap));
        v_store(scores + i, v_mul(v_set1(cap), v_tanh(share)));
    }
}

/* Scores of a row's keys [lo, hi) in this block, then their weights. */
static void weigh(state *s, int r, const float *q, const float *keys, int64_t dim, float scale, float cap) {
    float *w = s->weights + r * BLOCK;
    int lo = s->lo[r], hi = s->hi[r];
    for (int j = lo & ~7; j < hi; j += 8) dot8(q, keys + j * dim, dim, w + j);
    if (cap > 0) {
        cap_scores(w, scale, cap);
        scale = 1;
    }
    vfloat scores[BLOCK / LANES], most = v_set1(-INFINITY);
    UNROLL for (int i = 0; i < BLOCK / LANES; i++) {
        scores[i] = v_mul(v_load(w + i * LANES), v_set1(scale));
        scores[i] = v_blend(v_between(lo, hi, i * LANES), scores[i], v_set1(-INFINITY));
        most = v_max(most, scores[i]);
    }
    float old = s->largest[r], largest = fmaxf(old, v_largest(most));
    vfloat sum = v_load(s->sums + r * LANES);
    s->factor[r] = 1.0f;
    if (largest > old) {
        s->largest[r] = largest;
        s->factor[r] = v_first(v_exp(v_set1(old - largest)));
        sum = v_mul(sum, v_set1(s->factor[r]));
    }
    UNROLL for (int i = 0; i < BLOCK / LANES; i++) {
        vfloat e = v_exp(v_sub(scores[i], v_set1(largest)));
        v_store(w + i * LANES, e);
        sum = v_add(sum, e);
    }
    v_store(s->sums + r * LANES, sum);
}

/* out[0, vectors) = out * factor + the sum of weight * value over the keys [lo, hi). */
ALWAYS_INLINE void add_values(int vectors, float *out, float factor, const float *weights, const float *values,
                              int64_t dim, int lo, int hi) {
    vfloat sums[8];
    UNROLL for (int i = 0; i < vectors; i++) sums[i] = v_mul(v_load(out + i * LANES), v_set1(factor));
    for (int j = lo; j < hi; j++) {
        vfloat w = v_set1(weights[j]);
        UNROLL for (int i = 0; i < vectors; i++) sums[i] = v_fma(w, v_load(values + j * dim + i * LANES), sums[i]);
    }
    UNROLL for (int i = 0; i < vectors; i++) v_store(out + i * LANES, sums[i]);
}

static void add_all_values(state *s, int r, const float *values, int64_t dim) {
    float *out = s->outs + r * dim, factor = s->factor[r];
    const float *w = s->weights + r * BLOCK;
    int lo = s->lo[r], hi = s->hi[r];
    int64_t d = 0;
    for (; d + 8 * LANES <= dim; d += 8 * LANES) add_values(8, out + d, factor, w, values + d, dim, lo, hi);
    if (d + 4 * LANES <= dim) add_values(4, out + d, factor, w, values + d, dim, lo, hi), d += 4 * LANES;
    if (d + 2 * LANES <= dim) add_values(2, out + d, factor, w, values + d, dim, lo, hi), d += 2 * LANES;
    if (d + 1 * LANES <= dim) add_values(1, out + d, factor, w, values + d, dim, lo, hi);
}

/* ---- A group of rows ----------------------------------------------------------------------------------------- */

static int64_t first_seen(const kcall *c, int64_t t) {
    return c->window > 0 ? max_i64(0, (int64_t)c->positions[t] - c->window + 1) : 0;
}

static void attend_block(const kcall *c, const group *g, state *s, int64_t base) {
    const int32_t *table = c->tables[g->token];
    int64_t dim = c->keys.head_dim, last = c->positions[g->token + g->n_tokens - 1];
    int lo = (int)max_i64(0, first_seen(c, g->token) - base), hi = (int)min_i64(BLOCK, last + 1 - base);
    const float *keys = block_rows(&c->keys, table, g->kv_head, base, lo, hi, s->keys);
    prefetch_rows(&c->values, table, g->kv_head, base, lo, hi);
    for (int r = 0; r < g->n_rows; r++) {
        int64_t t = g->token + r / g->n_heads, head = g->head + r % g->n_heads;
        s->lo[r] = (int)min_i64(BLOCK, max_i64(0, first_seen(c, t) - base));
        s->hi[r] = (int)min_i64(BLOCK, c->positions[t] + 1 - base);
        const float *q = (const float *)c->x.data + t * c->x.stride + head * dim;
        if (s->lo[r] < s->hi[r]) weigh(s, r, q, keys, dim, c->scale, c->softcap);
    }
    const float *values = block_rows(&c->values, table, g->kv_head, base, lo, hi, s->values);
    int64_t next = base + BLOCK;
    if (next <= last) prefetch_rows(&c->keys, table, g->kv_head, next, 0, (int)min_i64(BLOCK, last + 1 - next));
    for (int r = 0; r < g->n_rows; r++)
        if (s->lo[r] < s->hi[r]) add_all_values(s, r, values, dim);
}

static void attend(const kcall *c, const group *g, state *s) {
    int64_t dim = c->keys.head_dim, last = c->positions[g->token + g->n_tokens - 1];
    for (int i = 0; i < g->n_rows * LANES; i++) s->sums[i] = 0;
    for (int r = 0; r < g->n_rows; r++) {
        s->largest[r] = -INFINITY;
        if (!c->weight.data) continue;
        /* A sink is a key without a value that comes first. */
        s->largest[r] = float_at_f32(c->weight.data, c->weight.type, g->head + r % g->n_heads);
        s->sums[r * LANES] = 1;
    }
    for (int64_t i = 0; i < g->n_rows * dim; i++) s->outs[i] = 0;
    for (int64_t base = first_seen(c, g->token) / BLOCK * BLOCK; base <= last; base += BLOCK)
        attend_block(c, g, s, base);
    for (int r = 0; r < g->n_rows; r++) {
        int64_t t = g->token + r / g->n_heads, head = g->head + r % g->n_heads;
        float *y = (float *)c->y.data + t * c->y.stride + head * dim;
        vfloat inverse = v_set1(1.0f / v_sum(v_load(s->sums + r * LANES)));
        for (int64_t d = 0; d < dim; d += LANES) v_store(y + d, v_mul(v_load(s->outs + r * dim + d), inverse));
    }
}

static void attention_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    int64_t per_kv = heads_per_kv(c), n_tiles = count_tiles(c);
    state *s = make_state(scratch, c->keys.head_dim);
    end = min_i64(end, n_tiles * per_kv * c->keys.n_heads);
    for (int64_t task = begin; task < end;) {
        group g = {.kv_head = task / per_kv / n_tiles};
        find_tile(c, in_turn(task / per_kv % n_tiles, n_tiles), &g);
        int64_t first = task % per_kv;
        g.head = g.kv_head * per_kv + first;
        g.n_heads = (int)min_i64(min_i64(per_kv - first, end - task), ROWS / g.n_tokens);
        g.n_rows = g.n_heads * g.n_tokens;
        attend(c, &g, s);
        task += g.n_heads;
    }
}

#define ATTENTION_ROW(instructions, its_rank, its_needs)                                                               \
    {                                                                                                                  \
        .name = "attention." instructions, .backend = "cpu", .op = KOP_ATTENTION, .rank = its_rank,                    \
        .needs = its_needs, .takes = attention_takes, .tasks = attention_tasks, .scratch = attention_scratch,          \
        .run = attention_run,                                                                                          \
    }
