/* SPDX-License-Identifier: Apache-2.0
 *
 * DRAW: a token from a row of logits, with mlx-lm's meanings (mlx_lm/sample_utils.py): tokens in the order of their
 * probability; the filters top_p, min_p and top_k over probabilities at temperature 1; one number from the generator,
 * which falls among what is left, in the order of ids.
 *
 * A sum in another order may differ in its last digits. Where the token hangs on those, because a filter's threshold or
 * the drawn number lies there, the result is NaN: any is right. */
#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/sampler.h"

typedef struct candidate {
    double logit, probability; /* at temperature 1 */
    int64_t id;
    bool kept;
} candidate;

/* A row of logits, and how sure its numbers are. */
typedef struct field {
    candidate *c; /* for filters most likely first, of equal ones the first */
    int64_t n;
    double *weights; /* of each token, at the sampler's temperature */
    double largest;
    double log_error; /* of a logarithm of a probability, and so of the probability, relative to it */
    bool doubtful;
} field;

/* Relative, of sums of a few hundred thousand numbers. */
static const double SUM_ERROR = 1e-11;

static int by_probability(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* The most likely token, the first of equal ones; -1: a logit is an error, or there is no token. */
static int64_t most_likely(const kcall *c, int64_t t) {
    int64_t best = -1;
    for (int64_t i = 0; i < c->x.cols; i++) {
        const double logit = ref_at(&c->x, t, i);
        if (!(logit < INFINITY)) return -1;
        if (logit > -INFINITY && (best < 0 || logit > ref_at(&c->x, t, best))) best = i;
    }
    return best;
}

/* Tokens of probability 0 are none. */
static void fill(field *f, const kcall *c, int64_t t) {
    double sum = 0;
    f->n = 0;
    f->doubtful = false;
    for (int64_t i = 0; i < c->x.cols; i++) {
        const double logit = ref_at(&c->x, t, i);
        if (logit == -INFINITY) continue;
        f->c[f->n] = (candidate){.logit = logit, .probability = exp(logit - f->largest), .id = i, .kept = true};
        sum += f->c[f->n++].probability;
    }
    for (int64_t i = 0; i < f->n; i++) f->c[i].probability /= sum;
    /* Others may compute logit - norm, norm = largest + log(sum), and round each. */
    f->log_error = SUM_ERROR + 0x1p-50 * (fabs(f->largest) + log(sum));
}

static void doubt(field *f, double distance, double error) {
    f->doubtful |= fabs(distance) <= error;
}

/* Keeps a token while those more likely than it do not reach p together. */
static void keep_top_p(field *f, double p) {
    double before = 0, sum = 0; /* of the more likely ones; with equal ones */
    for (int64_t i = 0; i < f->n; i++) {
        if (i > 0 && f->c[i].logit != f->c[i - 1].logit) {
            before = sum;
            doubt(f, before - p, f->log_error + SUM_ERROR);
        }
        f->c[i].kept = before < p;
        sum += f->c[i].probability;
    }
}

/* Of those kept the n most likely. */
static void keep_best(field *f, int64_t n) {
    for (int64_t i = 0; i < f->n; i++) f->c[i].kept = f->c[i].kept && n-- > 0;
}

/* Keeps what is at least e^log_p times as likely as the best one, if these are enough. */
static void keep_min_p(field *f, double log_p, int64_t enough) {
    int64_t n = 0;
    for (int64_t i = 0; i < f->n; i++) {
        n += f->c[i].kept && f->c[i].logit - f->largest >= log_p;
        doubt(f, f->c[i].logit - f->largest - log_p, f->log_error);
    }
    keep_best(f, n < enough ? enough : n);
}

/* splitmix64 (Steele, Lea, Flood 2014), its first number: uniform in [0, 1) from the upper 53 bits. */
static double random_number(uint64_t state) {
    uint64_t z = state + 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static int64_t draw(field *f, int64_t vocab, double temperature, double number) {
    double sum = 0, up_to = 0;
    int64_t last = -1;
    for (int64_t i = 0; i < vocab; i++) f->weights[i] = 0;
    for (int64_t i = 0; i < f->n; i++)
        if (f->c[i].kept) f->weights[f->c[i].id] = exp((f->c[i].logit - f->largest) / temperature);
    for (int64_t i = 0; i < vocab; i++) sum += f->weights[i];
    const double drawn = number * sum, error = sum * (SUM_ERROR + f->log_error / temperature);
    for (int64_t i = 0; i < vocab && (last < 0 || drawn >= up_to); i++) {
        if (f->weights[i] == 0) continue;
        last = i;
        up_to += f->weights[i];
        doubt(f, up_to - drawn, error);
    }
    return last;
}

static void filter(field *f, const ksampler *s) {
    if (s->top_p == 0 && !s->use_min_p && s->top_k == 0) return;
    qsort(f->c, (size_t)f->n, sizeof *f->c, by_probability);
    if (s->top_p > 0) keep_top_p(f, s->top_p);
    if (s->use_min_p) keep_min_p(f, s->log_min_p, s->min_keep);
    if (s->top_k > 0) keep_best(f, s->top_k);
}

static double draw_row(field *f, const kcall *c, int64_t t) {
    const ksampler *s = c->samplers ? ksampler_of(c, t) : NULL;
    const int64_t best = most_likely(c, t);
    if (best < 0 || !s || s->temperature == 0) return (double)best;
    f->largest = ref_at(&c->x, t, best);
    fill(f, c, t);
    filter(f, s);
    const int64_t token = draw(f, c->x.cols, s->temperature, random_number(s->random));
    return f->doubtful ? NAN : (double)token;
}

void ref_draw(const kcall *c, double *y, double *mag) {
    const size_t vocab = (size_t)c->x.cols;
    field f = {.c = malloc(vocab * sizeof *f.c), .weights = malloc(vocab * sizeof *f.weights)};
    for (int64_t t = 0; t < c->x.rows; t++) {
        y[t] = f.c && f.weights ? draw_row(&f, c, t) : -2; /* out of memory: agrees with nothing */
        if (mag) mag[t] = 0;
    }
    free(f.c);
    free(f.weights);
}
