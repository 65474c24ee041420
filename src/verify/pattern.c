/* SPDX-License-Identifier: Apache-2.0
 *
 * Recognizes patterns by description length. A pattern is a subset of the rows times a subset of the columns that
 * contains everything wrong. To say which elements are wrong takes the bits that name the two subsets, and those that
 * say which of the elements within are wrong: log2 of w out of n. The shortest description wins, so a pattern need not
 * be free of elements that are right by chance, and what has no pattern is called scattered, since naming one would
 * not pay. All is decided on how much is wrong and looked at in each row and each column: one pass over the elements.
 */
#include "verify/pattern.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"

typedef enum shape {
    SHAPE_ALL,
    SHAPE_ONE,
    SHAPE_FROM,  /* first to the end */
    SHAPE_FIRST, /* the start to last */
    SHAPE_TAIL,  /* the last partial tile */
    SHAPE_GROUP,
    SHAPE_BLOCK, /* as wide as a power of two, and aligned to it */
    SHAPE_RANGE,
    SHAPE_PERIOD, /* first to last of every `period` */
    SHAPE_COUNT
} shape;

/* A subset of the rows or of the columns. */
typedef struct subset {
    shape shape;
    int64_t first, last, period;
    double bits;   /* that it takes to name it */
    double looked; /* elements looked at in it */
} subset;

/* The rows, or the columns. */
typedef struct axis {
    const char *noun; /* "column" */
    int64_t n, group;
    int64_t *wrong;         /* [n]: elements wrong in each */
    int64_t *looked_before; /* [n + 1]: elements looked at in those before it */
    int64_t *bad;           /* [n_bad]: which have something wrong */
    int64_t n_bad;
    subset found[SHAPE_COUNT]; /* those that contain all that is wrong */
    int n_found;
} axis;

enum { MAX_PERIOD = 1024, MAX_TILE = 256 };

/* What a pattern must save over no pattern: nothing if everything in it is wrong, since it is true then whatever
 * it is worth; else so many bits that chance does not make one in a thousand random outputs look like it. */
static const double CHANCE_BITS = 10;
/* What it takes to say which shape a subset has. */
static const double SHAPE_BITS = 4;

static double log2_factorial(double n) {
    if (n < 2) return 0;
    return (n * log(n) - n + log(2 * M_PI * n) / 2 + 1 / (12 * n)) / M_LN2; /* Stirling's series */
}

static double log2_choose(double n, double k) {
    if (k <= 0 || k >= n) return 0;
    return log2_factorial(n) - log2_factorial(k) - log2_factorial(n - k);
}

/* ---- Subsets of an axis --------------------------------------------------------------------------------------- */

static void add(axis *a, subset s) {
    if (s.period == 0) s.looked = (double)(a->looked_before[s.last + 1] - a->looked_before[s.first]);
    a->found[a->n_found++] = s;
}

/* The roundest place for a begin at `at`, between which and the place nothing was looked at. */
static int64_t round_begin(const axis *a, int64_t at) {
    int64_t best = at;
    for (int64_t t = 2; t <= at && a->looked_before[at / t * t] == a->looked_before[at]; t *= 2) best = at / t * t;
    return best;
}

/* The same for an end (the first one after it). */
static int64_t round_end(const axis *a, int64_t at) {
    int64_t best = at;
    for (int64_t t = 2; t < a->n; t *= 2) {
        const int64_t rounded = div_up(at, t) * t;
        if (rounded > a->n || a->looked_before[rounded] != a->looked_before[at]) break;
        best = rounded;
    }
    return best;
}

static void add_group(axis *a, int64_t first, int64_t last) {
    const int64_t g = a->group;
    if (g < 2 || g >= a->n || first / g != last / g) return;
    subset s = {SHAPE_GROUP, .first = first / g * g, .bits = log2((double)a->n / (double)g)};
    s.last = min_i64(s.first + g, a->n) - 1;
    add(a, s);
}

static void add_block(axis *a, int64_t first, int64_t last) {
    int64_t t = 2;
    while (first / t != last / t) t *= 2;
    if (t >= a->n) return;
    subset s = {SHAPE_BLOCK, .first = first / t * t};
    s.last = min_i64(s.first + t, a->n) - 1;
    s.bits = log2((double)a->n / (double)t) + log2(log2((double)a->n) + 1);
    add(a, s);
}

static void add_tail(axis *a, int64_t first) {
    int64_t begin = 0;
    for (int64_t t = 4; t < a->n && t <= MAX_TILE; t *= 2)
        if (a->n % t && a->n - a->n % t <= first) begin = max_i64(begin, a->n - a->n % t);
    const double bits = log2(log2(log2((double)a->n) + 1) + 1);
    if (begin) add(a, (subset){SHAPE_TAIL, .first = begin, .last = a->n - 1, .bits = bits});
}

/* Subsets that are one piece. Ends at powers of two cost less, since that is where code changes its way. */
static void add_pieces(axis *a) {
    const int64_t first = a->bad[0], last = a->bad[a->n_bad - 1];
    const int64_t begin = round_begin(a, first), end = round_end(a, last + 1);
    const double any = log2((double)a->n), power = log2(any + 1);
    add(a, (subset){.shape = SHAPE_ALL, .last = a->n - 1});
    if (a->n < 2) return;
    if (first == last)
        add(a, (subset){SHAPE_ONE, .first = first, .last = last, .bits = any});
    else if (begin > 0 && end < a->n)
        add(a, (subset){SHAPE_RANGE, .first = begin, .last = end - 1, .bits = 2 * any});
    const double begin_bits = is_power_of_2(begin) ? power : any, end_bits = is_power_of_2(end) ? power : any;
    if (begin > 0 && begin < a->n - 1)
        add(a, (subset){SHAPE_FROM, .first = begin, .last = a->n - 1, .bits = begin_bits});
    if (end > 1 && end < a->n) add(a, (subset){SHAPE_FIRST, .last = end - 1, .bits = end_bits});
    add_tail(a, first);
    add_group(a, first, last);
    add_block(a, first, last);
}

/* Where in every p the wrong ones lie; false when they lie from its begin to its end. */
static bool fold(const axis *a, int64_t p, int64_t *first, int64_t *last) {
    *first = *last = a->bad[0] % p;
    for (int64_t i = 1; i < a->n_bad; i++) {
        int64_t at = a->bad[i] % p;
        if (at < *first) *first = at;
        if (at > *last) *last = at;
        if (*last - *first == p - 1) return false;
    }
    return true;
}

static double periodic_bits(const subset *s) {
    double p = log2((double)s->period), place = s->first == s->last ? p : 2 * p;
    return place + (is_power_of_2(s->period) ? p : 2 * p);
}

/* The period that describes best. share: which part of the other axis has something wrong. */
static void add_period(axis *a, double share, int64_t n_wrong) {
    subset best = {0};
    double best_bits = INFINITY;
    for (int64_t p = 2; p <= MAX_PERIOD && p <= a->n / 2; p++) {
        subset s = {.shape = SHAPE_PERIOD, .period = p};
        if (!fold(a, p, &s.first, &s.last)) continue;
        int64_t looked = 0;
        for (int64_t i = 0; i + s.first < a->n; i += p)
            looked += a->looked_before[min_i64(i + s.last + 1, a->n)] - a->looked_before[i + s.first];
        s.looked = (double)looked;
        s.bits = periodic_bits(&s);
        double bits = s.bits + log2_choose(s.looked * share, (double)n_wrong);
        if (bits < best_bits) best_bits = bits, best = s;
        if (s.looked * share <= (double)n_wrong) break; /* it is exact: longer ones only cost more */
    }
    if (best.period) add(a, best);
}

static double bad_share(const axis *a) {
    int64_t looked = 0;
    for (int64_t i = 0; i < a->n_bad; i++) looked += a->looked_before[a->bad[i] + 1] - a->looked_before[a->bad[i]];
    return (double)looked / (double)a->looked_before[a->n];
}

/* ---- Counting ------------------------------------------------------------------------------------------------- */

static bool axis_new(axis *a, const char *noun, int64_t n, int64_t group) {
    *a = (axis){.noun = noun, .n = n, .group = group};
    a->wrong = calloc((size_t)n, sizeof *a->wrong);
    a->looked_before = calloc((size_t)n + 1, sizeof *a->looked_before);
    a->bad = calloc((size_t)n, sizeof *a->bad);
    return a->wrong && a->looked_before && a->bad;
}

static void axis_free(axis *a) {
    free(a->wrong);
    free(a->looked_before);
    free(a->bad);
}

/* Makes sums of counts, and the list of what is bad. */
static void axis_sum(axis *a) {
    for (int64_t i = 0; i < a->n; i++) {
        a->looked_before[i + 1] += a->looked_before[i];
        if (a->wrong[i]) a->bad[a->n_bad++] = i;
    }
}

static int64_t count(const uint8_t *wrong, axis *rows, axis *cols) {
    int64_t n_wrong = 0;
    for (int64_t r = 0; r < rows->n; r++) {
        const uint8_t *at = wrong + r * cols->n;
        int64_t row_wrong = 0, row_looked = 0;
        for (int64_t c = 0; c < cols->n; c++) {
            const int64_t is_wrong = at[c] == 1, is_looked = at[c] != 2;
            row_wrong += is_wrong;
            row_looked += is_looked;
            cols->wrong[c] += is_wrong;
            cols->looked_before[c + 1] += is_looked;
        }
        rows->wrong[r] = row_wrong;
        rows->looked_before[r + 1] = row_looked;
        n_wrong += row_wrong;
    }
    axis_sum(rows);
    axis_sum(cols);
    return n_wrong;
}

/* ---- Words ---------------------------------------------------------------------------------------------------- */

static const char *ordinal_end(int64_t n) {
    if (n % 100 / 10 == 1) return "th";
    return n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
}

static void periodic_text(const axis *a, const subset *s, char *text, size_t size) {
    if (s->first < s->last)
        snprintf(text, size, "%ss %" PRId64 " to %" PRId64 " of every %" PRId64, a->noun, s->first, s->last, s->period);
    else if (s->period == 2)
        snprintf(text, size, "every other %s from %" PRId64 " on", a->noun, s->first);
    else
        snprintf(text, size, "every %" PRId64 "%s %s from %" PRId64 " on", s->period, ordinal_end(s->period), a->noun,
                 s->first);
}

static void subset_text(const axis *a, const subset *s, bool is_token, char *text, size_t size) {
    const int64_t width = s->last - s->first + 1;
    const char *noun = a->noun;
    char range[96];
    snprintf(range, sizeof range, "%ss %" PRId64 " to %" PRId64, noun, s->first, s->last);
    if (s->shape == SHAPE_PERIOD)
        periodic_text(a, s, text, size);
    else if (s->shape == SHAPE_ALL)
        snprintf(text, size, "all %ss", noun);
    else if (s->shape == SHAPE_ONE)
        snprintf(text, size, "%s %" PRId64 " only", noun, s->first);
    else if (s->shape == SHAPE_FROM && is_token && s->first == 1)
        snprintf(text, size, "every token but the first");
    else if (s->shape == SHAPE_FROM)
        snprintf(text, size, "%s%ss from %" PRId64 " on", is_token ? "" : "all ", noun, s->first);
    else if (s->shape == SHAPE_FIRST)
        snprintf(text, size, "the first %" PRId64 " %ss", width, noun);
    else if (s->shape == SHAPE_TAIL && width == 1)
        snprintf(text, size, "the tail: the last %s", noun);
    else if (s->shape == SHAPE_TAIL)
        snprintf(text, size, "the tail: the last %" PRId64 " %ss", width, noun);
    else if (s->shape == SHAPE_GROUP)
        snprintf(text, size, "one group of %" PRId64 ": %s", a->group, range);
    else if (s->shape == SHAPE_BLOCK && !is_token)
        snprintf(text, size, "one tile: %s", range);
    else
        snprintf(text, size, "%s", range);
}

/* Whether a subset may be one side of a tile: a power of two, aligned, or what is left of one at the end. */
static bool is_tile_side(const subset *s) {
    const int64_t width = s->last - s->first + 1;
    if (s->shape == SHAPE_TAIL) return true;
    if (s->shape == SHAPE_ALL || s->shape == SHAPE_PERIOD || s->shape == SHAPE_GROUP || width < 2) return false;
    return s->shape == SHAPE_BLOCK || (is_power_of_2(width) && s->first % width == 0);
}

static void side_text(const char *noun, const subset *s, char *text, size_t size) {
    if (s->first == s->last)
        snprintf(text, size, "%s %" PRId64, noun, s->first);
    else
        snprintf(text, size, "%ss %" PRId64 " to %" PRId64, noun, s->first, s->last);
}

static void pair_text(const axis *rows, const subset *r, const axis *cols, const subset *c, char *text, size_t size) {
    char row_text[128], col_text[128];
    if (is_tile_side(r) && is_tile_side(c)) {
        side_text("row", r, row_text, sizeof row_text);
        side_text("column", c, col_text, sizeof col_text);
        snprintf(text, size, "one tile: %s, %s", row_text, col_text);
        return;
    }
    subset_text(rows, r, true, row_text, sizeof row_text);
    subset_text(cols, c, false, col_text, sizeof col_text);
    if (r->shape == SHAPE_ALL)
        snprintf(text, size, "%s", col_text);
    else if (c->shape == SHAPE_ALL)
        snprintf(text, size, "%s", row_text);
    else
        snprintf(text, size, "%s, %s", col_text, row_text);
}

/* How often: "1 of 271", or for more than a tenth "45%". */
static void rate_text(double n_wrong, double looked, char *text, size_t size) {
    if (n_wrong > looked / 10)
        snprintf(text, size, "%.0f%%", 100 * n_wrong / looked);
    else
        snprintf(text, size, "1 of %.0f", round(looked / n_wrong));
}

/* ---- The pattern ---------------------------------------------------------------------------------------------- */

/* What is looked at in rows of r and columns of c. Exact where the elements looked at are some rows times some columns,
 * as they are in all samples that verification takes. */
static double looked_in(const subset *r, const subset *c, double all) {
    return r->looked * c->looked / all;
}

static void describe(const axis *rows, const axis *cols, double n_wrong, char *text, size_t size) {
    const double all = (double)rows->looked_before[rows->n], plain = log2_choose(all, n_wrong);
    const subset *r = &rows->found[0], *c = &cols->found[0]; /* everything: no pattern */
    double best = INFINITY;
    for (int i = 0; i < rows->n_found; i++) {
        for (int j = 0; j < cols->n_found; j++) {
            const subset *row = &rows->found[i], *col = &cols->found[j];
            const double looked = fmax(looked_in(row, col, all), n_wrong);
            const double bits = row->bits + col->bits + log2_choose(looked, n_wrong);
            const bool is_exact = n_wrong > looked * (1 - 1e-9);
            if (plain - bits <= (is_exact ? 0 : CHANCE_BITS)) continue;
            const double score = bits + SHAPE_BITS * ((row->shape != SHAPE_ALL) + (col->shape != SHAPE_ALL));
            if (score < best) best = score, r = row, c = col;
        }
    }
    const double looked = fmax(looked_in(r, c, all), n_wrong), share = n_wrong / looked;
    char name[300], rate[48];
    pair_text(rows, r, cols, c, name, sizeof name);
    rate_text(n_wrong, looked, rate, sizeof rate);
    const bool is_all = r->shape == SHAPE_ALL && c->shape == SHAPE_ALL;
    if (share >= 0.95)
        snprintf(text, size, "%s", is_all ? "all of it" : name);
    else if (share >= 0.6)
        snprintf(text, size, "%s (%s%s)", is_all ? "most of it" : name, rate, is_all ? "" : " of them");
    else if (is_all)
        snprintf(text, size, "scattered: %s", rate);
    else
        snprintf(text, size, "scattered: %s in %s", rate, name);
}

void pattern_text(const uint8_t *wrong, int64_t rows, int64_t cols, int64_t group, char *text, size_t size) {
    if (size) text[0] = 0;
    if (rows < 1 || cols < 1) return;
    axis r = {0}, c = {0};
    if (axis_new(&r, "token", rows, 0) && axis_new(&c, "column", cols, group)) {
        const int64_t n_wrong = count(wrong, &r, &c);
        if (n_wrong == 1 && r.looked_before[rows] > 1) {
            snprintf(text, size, "one element");
        } else if (n_wrong > 0) {
            add_pieces(&r);
            add_pieces(&c);
            add_period(&r, bad_share(&c), n_wrong);
            add_period(&c, bad_share(&r), n_wrong);
            describe(&r, &c, (double)n_wrong, text, size);
        }
    } else {
        snprintf(text, size, "not known: out of memory");
    }
    axis_free(&r);
    axis_free(&c);
}
