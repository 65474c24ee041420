/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranges of outputs, and the reference on each of them, spread over threads. */
#include "verify/sample.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "ref/ref.h"
#include "verify/view.h"

enum { BLOCK = 32 }; /* outputs that one thread works on at a time */

static nb_status no_memory(nb_error *err) {
    return err_no_memory(err, "what a step should compute", 0);
}

/* Parts of a product's row: of each token's experts, or of the one matrix. */
static int64_t places_of(const kcall *c) {
    return c->w->experts ? c->n_chosen : 1;
}

/* ---- Which outputs ---------------------------------------------------------------------------------------------- */

/* Multiplications of the reference for one output: each weight is unpacked (about 8 of them) and meets every token. */
static double output_work(const kcall *c) {
    return (double)c->w->k * (double)(8 + c->x.rows) * (double)places_of(c) * (c->act == ACT_NONE ? 1 : 2);
}

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Ranges do not overlap: what lies in an earlier one is left out. */
static void add_range(sample *s, int64_t begin, int64_t end) {
    begin = max_i64(0, begin);
    end = min_i64(s->n, end);
    for (int i = 0; i < s->n_ranges && begin < end; i++) {
        const sample_range *r = &s->ranges[i];
        if (begin >= r->begin && begin < r->end) begin = r->end;
        if (end > r->begin && end <= r->end) end = r->begin;
        if (r->begin >= begin && r->end <= end) return; /* around an earlier one: that was the place to look at */
    }
    if (begin < end && s->n_ranges < SAMPLE_MAX_RANGES) s->ranges[s->n_ranges++] = (sample_range){begin, end};
}

static void choose_all(sample *s) {
    const int64_t step = max_i64(BLOCK, div_up(s->n, SAMPLE_MAX_RANGES));
    for (int64_t at = 0; at < s->n; at += step) add_range(s, at, at + step);
}

static void choose_some(sample *s, double outputs, uint64_t seed) {
    static const int64_t tiles[] = {8, 16, 32, 64, 128, 256, 512, 1024};
    add_range(s, 0, 2);
    add_range(s, s->n - 2, s->n);
    for (size_t i = 0; i < sizeof tiles / sizeof tiles[0]; i++) {
        add_range(s, tiles[i] - 1, tiles[i] + 1);                                     /* the first tile's end */
        add_range(s, s->n / tiles[i] * tiles[i] - 1, s->n / tiles[i] * tiles[i] + 1); /* the last one's beginning */
    }
    int64_t chosen = 0;
    for (int i = 0; i < s->n_ranges; i++) chosen += s->ranges[i].end - s->ranges[i].begin;
    const int left = SAMPLE_MAX_RANGES - s->n_ranges;
    const int64_t width = max_i64(1, (int64_t)(outputs - (double)chosen) / left);
    for (int i = 0; i < left && (double)chosen < outputs; i++, chosen += width) {
        const int64_t at = (int64_t)(next_random(&seed) % (uint64_t)s->n);
        add_range(s, at, at + width);
    }
}

/* ---- What they should be ---------------------------------------------------------------------------------------- */

static bool is_whole(const sample *s) {
    return !kop_is_product(s->call.op);
}

/* Numbers of range i: of products [rows, chosen, width]. */
static size_t range_count(const sample *s, int i) {
    if (is_whole(s)) return (size_t)ref_count(&s->call);
    return (size_t)(s->call.y.rows * places_of(&s->call) * (s->ranges[i].end - s->ranges[i].begin));
}

typedef struct job {
    sample *s;
    dtype rounds_to; /* DT_NONE: the reference itself; else what rounding operands does */
    _Atomic int next;
    _Atomic bool failed;
} job;

static bool compute_range(const job *j, int i, const kcall *c) {
    sample *s = j->s;
    if (j->rounds_to != DT_NONE)
        return ref_rounding(c, j->rounds_to, s->rounding[i], s->rounding[i] + range_count(s, i));
    ref_run(c, s->ref[i], s->mag[i]);
    return true;
}

static void compute_some(void *user, int thread) {
    (void)thread;
    job *j = user;
    sample *s = j->s;
    for (int i; (i = atomic_fetch_add(&j->next, 1)) < s->n_ranges;) {
        call_view v;
        bool good = is_whole(s) ? compute_range(j, i, &s->call)
                                : call_view_make(&s->call, s->ranges[i].begin, s->ranges[i].end, &v);
        if (good && !is_whole(s)) {
            good = compute_range(j, i, &v.call);
            call_view_free(&v);
        }
        if (!good) atomic_store(&j->failed, true);
    }
}

static bool compute(sample *s, dtype rounds_to) {
    job j = {.s = s, .rounds_to = rounds_to};
    if (s->threads)
        pool_run(s->threads, compute_some, &j);
    else
        compute_some(&j, 0);
    return !j.failed;
}

nb_status sample_make(const kcall *c, double work, uint64_t seed, pool *threads, sample *out, nb_error *err) {
    *out = (sample){.call = *c, .threads = threads};
    out->n = kop_is_product(c->op) ? c->y.cols / places_of(c) : 1;
    const double outputs = kop_is_product(c->op) && work > 0 ? work / output_work(c) : (double)out->n;
    if (is_whole(out))
        out->ranges[out->n_ranges++] = (sample_range){0, 1};
    else if (outputs >= (double)out->n)
        choose_all(out);
    else
        choose_some(out, outputs, seed);
    out->ref = calloc((size_t)out->n_ranges, sizeof *out->ref);
    out->mag = calloc((size_t)out->n_ranges, sizeof *out->mag);
    bool have = out->ref && out->mag;
    for (int i = 0; have && i < out->n_ranges; i++) {
        out->ref[i] = malloc(range_count(out, i) * sizeof(double));
        out->mag[i] = malloc(range_count(out, i) * sizeof(double));
        have = out->ref[i] && out->mag[i];
    }
    if (have && compute(out, DT_NONE)) return NB_OK;
    sample_free(out);
    return no_memory(err);
}

void sample_free(sample *s) {
    for (int i = 0; i < s->n_ranges; i++) {
        if (s->ref) free(s->ref[i]);
        if (s->mag) free(s->mag[i]);
        if (s->rounding) free(s->rounding[i]);
    }
    free(s->ref);
    free(s->mag);
    free(s->rounding);
    *s = (sample){0};
}

/* ---- Comparing -------------------------------------------------------------------------------------------------- */

/* Columns [from, from + width) of [rows, cols] doubles, on their own. */
static void take_columns(const double *all, int64_t rows, int64_t cols, int64_t from, int64_t width, double *to) {
    for (int64_t t = 0; t < rows; t++) memcpy(to + t * width, all + t * cols + from, (size_t)width * sizeof *to);
}

/* Works out what rounding operands does, for rows that do. */
static bool make_rounding(sample *s, const krow *row) {
    const dtype type = row ? row->rounds_to : DT_NONE;
    const bool rounds = kop_is_product(s->call.op) || s->call.op == KOP_ATTENTION;
    if (type == DT_NONE || type == s->rounds_to || !rounds) return true;
    bool have = s->rounding || (s->rounding = calloc((size_t)s->n_ranges, sizeof *s->rounding));
    for (int i = 0; have && i < s->n_ranges; i++)
        have = s->rounding[i] || (s->rounding[i] = malloc(2 * range_count(s, i) * sizeof(double)));
    s->rounds_to = have && compute(s, type) ? type : DT_NONE;
    return s->rounds_to == type;
}

/* Of range i; NULL where the row does not round. */
static const double *rounding_of(const sample *s, const krow *row, int i) {
    return row && row->rounds_to != DT_NONE && s->rounds_to == row->rounds_to ? s->rounding[i] : NULL;
}

/* Range i of place p (the p-th expert of each token; 0 for a single matrix). */
static void compare_place(const sample *s, const kcall *c, int i, int64_t p, comparison *cmp) {
    const int64_t begin = s->ranges[i].begin, width = s->ranges[i].end - begin, rows = c->y.rows;
    const int64_t places = places_of(c), first = p * s->n + begin, size = rows * width;
    const double *rounding = rounding_of(s, cmp->row, i);
    kcall part = *c;
    part.y.data = (char *)c->y.data + first * (int64_t)dtype_size(c->y.type);
    part.y.cols = width;
    if (places == 1) {
        comparison_add(cmp, &part, first, s->ref[i], s->mag[i], rounding, 0);
        return;
    }
    double *of = malloc((size_t)(3 * size) * sizeof *of);
    if (!of) {
        cmp->no_memory = true;
        return;
    }
    take_columns(s->ref[i], rows, places * width, p * width, width, of);
    take_columns(s->mag[i], rows, places * width, p * width, width, of + size);
    if (rounding) take_columns(rounding, rows, places * width, p * width, width, of + 2 * size);
    comparison_add(cmp, &part, first, of, of + size, rounding ? of + 2 * size : NULL, 0);
    free(of);
}

void sample_compare(sample *s, const krow *row, const kcall *c, comparison *cmp) {
    comparison_begin(cmp, row, c);
    if (!make_rounding(s, row)) {
        cmp->no_memory = true;
        return;
    }
    for (int i = 0; i < s->n_ranges; i++) {
        if (is_whole(s)) {
            comparison_add(cmp, c, 0, s->ref[i], s->mag[i], rounding_of(s, row, i), 0);
            continue;
        }
        for (int64_t p = 0; p < places_of(c); p++) compare_place(s, c, i, p, cmp);
    }
}
