/* SPDX-License-Identifier: Apache-2.0
 *
 * The comparing: an element is right within the error model's bound (check_bound.c) and half the spacing of the
 * output's own type. Nothing is kept of a right output but the largest share of a bound; with the first wrong element
 * come the maps of which are wrong and how much, from which the pattern and the picture are made. */
#include "verify/compare.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/num.h"
#include "quant/xform.h"
#include "ref/ref.h"
#include "verify/check_bound.h"
#include "verify/pattern.h"

enum { RIGHT, WRONG, NOT_LOOKED_AT };

/* Values beyond fp32's range say nothing. */
static const double too_large = 1e37;

static bool is_form(const kmat *m) {
    return m->type == DT_XI8X3;
}

void comparison_begin(comparison *cmp, const krow *row, const kcall *c) {
    bool pages = c->op == KOP_KV_STORE;
    *cmp = (comparison){.row = row, .op = c->op};
    cmp->rows = pages ? c->x.rows : c->y.rows;
    cmp->cols = pages ? c->x.cols : c->y.cols;
    if (is_form(&c->y)) cmp->group = c->y.group;
    if (c->op == KOP_EMBED && c->w->mode != W_PLAIN) cmp->group = c->w->group_size;
}

/* ---- One element ----------------------------------------------------------------------------------------------- */

/* Half the distance between neighbours in a 16-bit type around y; 0 for fp32, whose rounding the bound has. */
static double half_spacing(dtype type, double y) {
    if (type != DT_F16 && type != DT_BF16) return 0;
    int exponent = y == 0 ? -1000 : ilogb(y);
    return type == DT_F16 ? ldexp(1, (exponent < -14 ? -14 : exponent) - 11)
                          : ldexp(1, (exponent < -126 ? -126 : exponent) - 8);
}

/* fp16 ends at 65504; what rounds to 65536 or above becomes infinite. */
static const double f16_limit = 65520;

/* Whether got is right for ref; *bound is how far off it may be before it is rounded to its type. */
static bool is_right(dtype type, double got, double ref, double *bound) {
    double low = ref - *bound, high = ref + *bound;
    if (type == DT_F16) {
        if (got == INFINITY) return high >= f16_limit;
        if (got == -INFINITY) return low <= -f16_limit;
        if (low >= f16_limit || high <= -f16_limit) return false;
    }
    *bound += half_spacing(type, fabs(ref) + *bound);
    return fabs(got - ref) <= *bound;
}

/* ---- The maps -------------------------------------------------------------------------------------------------- */

static bool make_maps(comparison *cmp) {
    if (cmp->wrong || cmp->no_memory) return cmp->wrong != NULL;
    size_t n = (size_t)(cmp->rows * cmp->cols);
    cmp->wrong = malloc(n);
    cmp->share = malloc(n * sizeof *cmp->share);
    if (!cmp->wrong || !cmp->share) {
        free(cmp->wrong);
        free(cmp->share);
        cmp->wrong = NULL;
        cmp->share = NULL;
        cmp->no_memory = true;
        return false;
    }
    memset(cmp->wrong, NOT_LOOKED_AT, n);
    for (size_t i = 0; i < n; i++) cmp->share[i] = -1;
    for (int64_t l = 0; l < cmp->n_looked_at; l++) {
        for (int64_t i = 0; i < cmp->rows; i++) {
            for (int64_t j = cmp->looked_at[l].first; j < cmp->looked_at[l].end; j++) {
                cmp->wrong[i * cmp->cols + j] = RIGHT;
                cmp->share[i * cmp->cols + j] = 0;
            }
        }
    }
    return true;
}

static void remember_columns(comparison *cmp, int64_t first, int64_t end) {
    if (cmp->n_looked_at > 0 && cmp->looked_at[cmp->n_looked_at - 1].end == first) {
        cmp->looked_at[cmp->n_looked_at - 1].end = end;
        return;
    }
    if (cmp->n_looked_at == cmp->cap_looked_at) {
        int64_t cap = 2 * cmp->cap_looked_at + 4;
        struct columns *more = realloc(cmp->looked_at, (size_t)cap * sizeof *more);
        if (!more) {
            cmp->no_memory = true;
            return;
        }
        cmp->looked_at = more;
        cmp->cap_looked_at = cap;
    }
    cmp->looked_at[cmp->n_looked_at++] = (struct columns){first, end};
}

/* ---- Adding ---------------------------------------------------------------------------------------------------- */

/* An element that was looked at. place: its index in the output, or -1 for what is no part of it. */
typedef struct seen {
    compare_part part;
    int64_t row, col, place;
    double got, ref, bound;
    bool right, unwritten;
} seen;

static void see(comparison *cmp, const seen *e) {
    double off = e->got == e->ref ? 0 : fabs(e->got - e->ref), share = off == 0       ? 0
                                                                       : e->bound > 0 ? off / e->bound
                                                                                      : INFINITY;
    if (e->right && !(share <= 1)) share = 1; /* an infinity where there may be one */
    if (isnan(share) || e->unwritten) share = INFINITY;
    cmp->n_checked++;
    if (!e->right) cmp->n_wrong++;
    if (e->unwritten) cmp->n_unwritten++;
    if (share > cmp->worst || (!e->right && cmp->n_wrong == 1)) {
        cmp->worst = share;
        cmp->part = e->part;
        cmp->row_at = e->row;
        cmp->col_at = e->col;
        cmp->got = e->got;
        cmp->expected = e->ref;
        cmp->bound = e->bound;
    }
    if (e->place < 0 || (!e->right && !make_maps(cmp)) || !cmp->wrong) return;
    if (e->right && cmp->wrong[e->place] == WRONG) return; /* its group's sum is wrong */
    cmp->wrong[e->place] = e->right ? RIGHT : WRONG;
    cmp->share[e->place] = (float)share;
}

/* Whether all of `size` bytes are the poison that was there before. */
static bool is_poison(const void *bytes, size_t size, uint8_t poison) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++)
        if (at[i] != poison) return false;
    return poison != 0;
}

static bool is_unwritten(const kmat *y, int64_t i, int64_t j, uint8_t poison) {
    if (poison == 0) return false;
    if (is_form(y)) {
        const int8_t *high = xform_codes(y, i) + j / XFORM_BLOCK * XFORM_BLOCK * XFORM_PLANES + j % XFORM_BLOCK;
        const int8_t bytes[XFORM_PLANES] = {high[0], high[XFORM_BLOCK], high[2 * XFORM_BLOCK]};
        return is_poison(bytes, sizeof bytes, poison) ||
               is_poison(xform_scales(y) + i * (y->cols / y->group) + j / y->group, sizeof(float), poison);
    }
    size_t size = dtype_size(y->type);
    return is_poison((const uint8_t *)y->data + (size_t)(i * y->stride + j) * size, size, poison);
}

/* The numbers of experts and of tokens have one right value, and so has a logit with its penalties. */
static bool is_exact(const kcall *c, int64_t j) {
    return c->op == KOP_DRAW || c->op == KOP_PENALIZE || (c->op == KOP_ROUTE && j < c->n_chosen);
}

/* What x is when it is rounded to 16 bits has one right value too; this and a logit may be infinite. */
static bool is_rounding(const kcall *c) {
    return c->op == KOP_PENALIZE || (c->op == KOP_QUANTIZE && !is_form(&c->y));
}

/* NaN, if one of them is. */
static double largest_of(const double *values, int64_t n) {
    double largest = 0;
    for (int64_t k = 0; k < n && !isnan(largest); k++)
        largest = isnan(values[k]) ? NAN : fmax(largest, fabs(values[k]));
    return largest;
}

/* Whether an element is not judged: it may be infinite in fp32; or it is no number, which its inputs bring with them
 * (another row that is wrong has made them), and rows pass that on in ways of their own. */
static bool is_beyond(double ref, double mag) {
    return !(fabs(ref) <= too_large && mag <= too_large);
}

/* Half a step of a group of a form, whose largest element is the row's own: it may be off too. NaN where one of them is
 * not judged: a group has one scale. */
static double half_step_of(const bound_model *model, const double *ref, const double *mag, int64_t group) {
    double largest = 0;
    for (int64_t k = 0; k < group; k++) {
        if (is_beyond(ref[k], mag[k])) return NAN;
        largest = fmax(largest, fabs(ref[k]) + bound_of(model, ref[k], mag[k]));
    }
    return check_half_step(largest);
}

/* A row of the output. The map's columns start at `first`. */
static void add_row(comparison *cmp, const kcall *c, const bound_model *model, int64_t first, int64_t i,
                    const double *ref, const double *mag, const double *rounding, uint8_t poison) {
    const kmat *y = &c->y;
    double half_step = 0;
    for (int64_t j = 0; j < y->cols; j++) {
        double moved = rounding ? rounding[j] : 0;
        if (is_form(y) && j % y->group == 0) half_step = half_step_of(model, ref + j, mag + j, y->group);
        if ((is_beyond(ref[j], mag[j]) && !is_rounding(c)) || !(moved <= too_large) || isnan(half_step)) continue;
        seen e = {
            .row = i, .col = first + j, .place = i * cmp->cols + first + j, .got = ref_at(y, i, j), .ref = ref[j]};
        e.bound = is_exact(c, j) ? 0 : bound_of(model, ref[j], mag[j]) + moved + half_step;
        if (is_rounding(c))
            e.right = e.got == e.ref || (isnan(e.got) && isnan(e.ref));
        else
            e.right = is_right(y->type, e.got, ref[j], &e.bound);
        e.unwritten = !e.right && is_unwritten(y, i, j, poison);
        see(cmp, &e);
    }
}

/* The sums of a form must be those of its codes. */
static void add_sums(comparison *cmp, const kmat *y, int64_t first, uint8_t poison) {
    int64_t n_groups = y->cols / y->group;
    for (int64_t i = 0; i < y->rows * n_groups; i++) {
        int64_t row = i / n_groups, col = i % n_groups * y->group;
        seen e = {.part = PART_SUMS, .row = row, .col = first + col, .place = row * cmp->cols + first + col};
        for (int64_t j = 0; j < y->group; j++) e.ref += xform_get(y, row, col + j);
        if (!(fabs(e.ref) <= too_large)) continue; /* the codes are already known to be wrong */
        e.got = (double)xform_sums(y)[i];
        e.bound = 0x1p-23 * fabs(e.ref) + 0x1p-126;
        e.right = fabs(e.got - e.ref) <= e.bound;
        e.unwritten = !e.right && is_poison(xform_sums(y) + i, sizeof(float), poison);
        if (!e.right) see(cmp, &e);
    }
}

/* The new state of each sequence against the reference's, which follow its y. A convolution's are copies. */
static void add_states(comparison *cmp, const kcall *c, const bound_model *model, const double *ref,
                       const double *mag) {
    const kstates *s = &c->states;
    for (int64_t first = 0; first < c->y.rows; first = kcall_sequence_end(c, first)) {
        for (int64_t i = 0; i < s->size; i++, ref++, mag++) {
            if (is_beyond(*ref, *mag)) continue;
            seen e = {.part = PART_STATE, .row = first, .col = i, .place = -1, .ref = *ref};
            e.got = (double)s->data[c->slots[first] * s->size + i];
            e.bound = c->op == KOP_CONV1D ? 0 : bound_of(model, *ref, *mag);
            e.right = fabs(e.got - e.ref) <= e.bound;
            see(cmp, &e);
        }
    }
}

static float round_to(dtype type, double value) {
    const float x = (float)value;
    return type == DT_F16 ? f16_to_f32(f32_to_f16(x)) : type == DT_BF16 ? bf16_to_f32(f32_to_bf16(x)) : x;
}

/* What the pages hold at the tokens' places has one right pattern of bits. Where it is normed or rotated, an fp32
 * result within the bound was rounded to it, so that it lies between the bound's ends rounded. */
static bool is_right_page(const kpages *p, const bound_model *model, int64_t at, seen *e, double mag) {
    e->got = float_at(p->data, p->type, at);
    if (isnan(e->ref)) return isnan(e->got);
    if (!model->exact) {
        e->bound = bound_of(model, e->ref, mag);
        const double low = (double)round_to(p->type, e->ref - e->bound);
        const double high = (double)round_to(p->type, e->ref + e->bound);
        e->bound = fmax(high - e->ref, e->ref - low);
        return low <= e->got && e->got <= high;
    }
    const float value = (float)e->ref;
    const uint16_t half = p->type == DT_F16 ? f32_to_f16(value) : f32_to_bf16(value);
    const size_t size = dtype_size(p->type);
    const uint8_t *got = (const uint8_t *)p->data + (size_t)at * size;
    return memcmp(got, size == 4 ? (const void *)&value : (const void *)&half, size) == 0;
}

static void add_pages(comparison *cmp, const kcall *c, const bound_model *model, const double *ref, const double *mag,
                      uint8_t poison) {
    const kpages *p = &c->keys;
    const size_t size = dtype_size(p->type);
    for (int64_t i = 0; i < c->x.rows; i++) {
        int64_t page = c->tables[i][c->positions[i] / p->page_size], slot = c->positions[i] % p->page_size;
        for (int64_t j = 0; j < c->x.cols; j++) {
            int64_t head = j / p->head_dim, k = i * c->x.cols + j;
            int64_t at = ((page * p->n_heads + head) * p->page_size + slot) * p->head_dim + j % p->head_dim;
            if (!model->exact && is_beyond(ref[k], mag[k])) continue;
            seen e = {.row = i, .col = j, .place = i * cmp->cols + j, .ref = ref[k]};
            e.right = is_right_page(p, model, at, &e, mag[k]);
            e.unwritten = !e.right && is_poison((const uint8_t *)p->data + (size_t)at * size, size, poison);
            see(cmp, &e);
        }
    }
}

/* Puts into the new maps what of rows [0, last] was right before the first wrong element. */
static void catch_up(comparison *cmp, const kmat *y, int64_t first, int64_t last, const double *ref,
                     const double *mag) {
    for (int64_t i = 0; i < (last + 1) * y->cols; i++) {
        int64_t at = i / y->cols * cmp->cols + first + i % y->cols;
        if (cmp->wrong[at] != NOT_LOOKED_AT || is_beyond(ref[i], mag[i])) continue;
        cmp->wrong[at] = RIGHT;
        cmp->share[at] = 0;
    }
}

void comparison_add(comparison *cmp, const kcall *part, int64_t first, const double *ref, const double *mag,
                    const double *rounding, uint8_t poison) {
    const kmat *y = &part->y;
    bound_model model = bound_model_of(cmp->row, part);
    if (part->op == KOP_KV_STORE) {
        add_pages(cmp, part, &model, ref, mag, poison);
        return;
    }
    for (int64_t i = 0; i < y->rows; i++) {
        bool had_maps = cmp->wrong != NULL;
        const int64_t at = i * y->cols;
        add_row(cmp, part, &model, first, i, ref + at, mag + at, rounding ? rounding + at : NULL, poison);
        if (!had_maps && cmp->wrong) catch_up(cmp, y, first, i, ref, mag);
    }
    if (is_form(y) && cmp->n_wrong == 0) add_sums(cmp, y, first, poison);
    if (part->states.data) add_states(cmp, part, &model, ref + y->rows * y->cols, mag + y->rows * y->cols);
    remember_columns(cmp, first, first + y->cols);
}

/* ---- Errors as a whole ----------------------------------------------------------------------------------------- */

/* The variance of rounding to the output's own type: evenly spread over the distance between neighbours. */
static double type_variance(const kmat *y, double ref, double step) {
    double half = is_form(y) ? step / 2 : half_spacing(y->type, ref);
    return half * half / 3;
}

void comparison_add_variance(comparison *cmp, const kcall *c, const double *ref, const double *variance) {
    const kmat *y = &c->y;
    double step = 0;
    for (int64_t i = 0; i < y->rows; i++) {
        for (int64_t j = 0; j < y->cols; j++) {
            int64_t at = i * y->cols + j;
            if (is_form(y) && j % y->group == 0)
                step = (double)xform_scale(f32_bits((float)largest_of(ref + at, y->group)));
            if (fabs(ref[at]) < 1e-25 || (y->type == DT_F16 && fabs(ref[at]) > 65000))
                continue; /* near what may be flushed */
            double expected = 0x1p-48 * variance[at] + type_variance(y, ref[at], step);
            if (expected == 0 || !isfinite(expected)) continue;
            double off = ref_at(y, i, j) - ref[at];
            cmp->squares += off * off / expected;
            cmp->n_squares++;
        }
    }
    cmp->n_samples += y->rows;
}

/* Squares of errors, each as a share of its expected variance, have a mean of at most 1; taken as those of normal
 * variables (roundings have shorter tails), the mean of M independent ones is above 1 + 2 sqrt(t / M) + 2 t / M with a
 * probability of at most e^-t (Laurent and Massart 2000, lemma 1). Elements of a token share its numbers, so M counts
 * tokens. With t = 8 a right row is wronged in at most one of 2980 cases even if its significands were all 1; as
 * they are, the mean is near 0.54, and that becomes less than one of 10^9. */
static double mean_limit(int64_t n_samples) {
    const double share = 8 / (double)n_samples;
    return 1 + 2 * sqrt(share) + 2 * share;
}

static bool is_inaccurate(const comparison *cmp) {
    return cmp->n_squares > 0 && cmp->squares / cmp->n_squares > mean_limit(cmp->n_samples);
}

/* ---- The finding ----------------------------------------------------------------------------------------------- */

static void describe(const comparison *cmp, finding *out) {
    char where[96], value[64];
    snprintf(value, sizeof value, "%.9g", cmp->got);
    if (cmp->part == PART_STATE)
        snprintf(where, sizeof where, "element %" PRId64 " of the state left by the sequence of token %" PRId64,
                 cmp->col_at, cmp->row_at);
    else if (cmp->part == PART_SUMS)
        snprintf(where, sizeof where, "the sum of the group of token %" PRId64 " that starts at column %" PRId64,
                 cmp->row_at, cmp->col_at);
    else
        snprintf(where, sizeof where, "element [%" PRId64 ", %" PRId64 "]", cmp->row_at, cmp->col_at);
    if (cmp->n_unwritten > 0)
        snprintf(out->what, sizeof out->what, "%" PRId64 " of %" PRId64 " elements were never written, such as %s",
                 cmp->n_unwritten, cmp->n_checked, where);
    else if (cmp->n_wrong > 0)
        snprintf(out->what, sizeof out->what,
                 "%" PRId64 " of %" PRId64
                 " elements are wrong: %s is %s, expected %.9g: off by %.3g, at most %.3g is right",
                 cmp->n_wrong, cmp->n_checked, where, value, cmp->expected, fabs(cmp->got - cmp->expected), cmp->bound);
    else
        snprintf(
            out->what, sizeof out->what,
            "errors are %.2g times as large as roundings explain, over %.0f elements; the worst, %s, is off by %.3g",
            sqrt(cmp->squares / cmp->n_squares), cmp->n_squares, where, fabs(cmp->got - cmp->expected));
}

static void draw(const comparison *cmp, finding *out) {
    out->grid_rows = (int)min_i64(cmp->rows, FINDING_GRID);
    out->grid_cols = (int)min_i64(cmp->cols, FINDING_GRID);
    for (int cell = 0; cell < out->grid_rows * out->grid_cols; cell++) out->grid[cell] = -1;
    for (int64_t at = 0; at < cmp->rows * cmp->cols; at++) {
        int64_t r = at / cmp->cols * out->grid_rows / cmp->rows, col = at % cmp->cols * out->grid_cols / cmp->cols;
        float *cell = &out->grid[r * out->grid_cols + col];
        if (cmp->share[at] > *cell) *cell = cmp->share[at];
    }
}

bool comparison_end(comparison *cmp, finding *out) {
    bool wrong = cmp->n_wrong > 0, inaccurate = !wrong && is_inaccurate(cmp);
    if ((wrong || inaccurate) && out) {
        *out = (finding){.kind = cmp->n_unwritten > 0 ? FOUND_UNWRITTEN
                                 : wrong              ? FOUND_WRONG_VALUE
                                                      : FOUND_INACCURATE,
                         .op = cmp->op,
                         .layer = -1,
                         .rows = cmp->rows,
                         .cols = cmp->cols,
                         .n_checked = cmp->n_checked,
                         .n_wrong = cmp->n_wrong,
                         .row = cmp->row_at,
                         .col = cmp->col_at,
                         .got = cmp->got,
                         .expected = cmp->expected,
                         .bound = cmp->bound};
        if (cmp->row) snprintf(out->kernel, sizeof out->kernel, "%s", cmp->row->name);
        describe(cmp, out);
        if (cmp->wrong) {
            pattern_text(cmp->wrong, cmp->rows, cmp->cols, cmp->group, out->pattern, sizeof out->pattern);
            draw(cmp, out);
        }
    }
    free(cmp->wrong);
    free(cmp->share);
    free(cmp->looked_at);
    cmp->wrong = NULL;
    cmp->share = NULL;
    cmp->looked_at = NULL;
    return wrong || inaccurate;
}
