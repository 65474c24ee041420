/* SPDX-License-Identifier: Apache-2.0
 *
 * The sampler, with mlx-lm's meanings (mlx_lm/sample_utils.py): penalties on the logits first, then filters that look
 * at log-probabilities at temperature 1 in the order top_p, min_p, xtc, top_k, then one draw at the temperature. All
 * arithmetic is double and in the order of token ids, so a seed gives the same text everywhere. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "engine/engine.h"

/* A token that is still in the running. */
typedef struct candidate {
    double logprob;
    int32_t id;
} candidate;

struct nb_sampler {
    nb_sampling s; /* its seed is the generator's state, its biases are this sampler's own */
    int64_t vocab_size;
    int32_t *bias_ids;
    float *bias_values;
    int32_t *history; /* the last tokens, newest last; at most `keep` are looked at */
    int n_history, keep;
    candidate *candidates; /* [vocab_size], when not greedy */
    int32_t *xtc_exempt;   /* end tokens and those of a newline */
    size_t n_xtc_exempt;
};

void nb_sampling_defaults(nb_sampling *s) {
    *s = (nb_sampling){.min_tokens_to_keep = 1,
                       .xtc_threshold = 0.1f,
                       .repetition_context_size = 20,
                       .presence_context_size = 20,
                       .frequency_context_size = 20};
}

/* A "do_sample" that is not stated does not forbid to sample at a temperature that is. Filters that let everything
 * through are off. */
void nb_model_sampling(const nb_model *m, nb_sampling *s) {
    const generation_config *g = &m->generation;
    nb_sampling_defaults(s);
    if (g->temperature >= 0) s->temperature = (float)g->temperature;
    if (g->do_sample == 1 && g->temperature < 0) s->temperature = 1;
    if (g->do_sample == 0) s->temperature = 0;
    if (g->top_p > 0 && g->top_p < 1) s->top_p = (float)g->top_p;
    if (g->min_p > 0) s->min_p = (float)g->min_p;
    if (g->top_k > 0 && g->top_k < m->dims.vocab_size) s->top_k = (int)g->top_k;
    if (g->repetition_penalty > 0 && g->repetition_penalty != 1) s->repetition_penalty = (float)g->repetition_penalty;
}

/* ---- Making ---------------------------------------------------------------------------------------------------- */

static nb_status check(const nb_sampling *s, int64_t vocab, nb_error *err) {
    const struct {
        const char *name;
        double value, min, max;
    } ranges[] = {{"temperature", s->temperature, 0, 1e6},
                  {"top_p", s->top_p, 0, 1},
                  {"min_p", s->min_p, 0, 1},
                  {"min_tokens_to_keep", s->min_tokens_to_keep, 1, (double)vocab},
                  {"top_k", s->top_k, 0, (double)vocab},
                  {"xtc_probability", s->xtc_probability, 0, 1},
                  {"xtc_threshold", s->xtc_threshold, 0, 0.5},
                  {"repetition_penalty", s->repetition_penalty, 0, 1e6},
                  {"repetition_context_size", s->repetition_context_size, 0, 1 << 20},
                  {"presence_penalty", s->presence_penalty, -1e6, 1e6},
                  {"presence_context_size", s->presence_context_size, 0, 1 << 20},
                  {"frequency_penalty", s->frequency_penalty, -1e6, 1e6},
                  {"frequency_context_size", s->frequency_context_size, 0, 1 << 20}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].min && ranges[i].value <= ranges[i].max))
            return err_set(err, NB_ERR_ARGUMENT, "%s is %g, expected %g to %g", ranges[i].name, ranges[i].value,
                           ranges[i].min, ranges[i].max);
    for (size_t i = 0; i < s->n_logit_bias; i++) {
        if (s->logit_bias_ids[i] < 0 || s->logit_bias_ids[i] >= vocab)
            return err_set(err, NB_ERR_ARGUMENT, "logit_bias: token %d is outside of the vocabulary of %lld",
                           s->logit_bias_ids[i], (long long)vocab);
        if (isnan(s->logit_bias_values[i])) return err_set(err, NB_ERR_ARGUMENT, "logit_bias: a value is not a number");
    }
    return NB_OK;
}

/* xtc never removes a newline's tokens nor an end token, so that texts can end. */
static nb_status find_exempt(nb_sampler *p, const nb_model *m, nb_error *err) {
    int32_t *newline = NULL;
    size_t n = 0;
    nb_status status = m->tokenizer ? tok_encode(m->tokenizer, "\n", 1, false, &newline, &n, err) : NB_OK;
    if (status) return status;
    const generation_config *ends = &m->generation;
    p->n_xtc_exempt = n + (size_t)ends->n_eos;
    p->xtc_exempt = malloc((p->n_xtc_exempt + 1) * sizeof *p->xtc_exempt);
    if (p->xtc_exempt) {
        if (n) memcpy(p->xtc_exempt, newline, n * sizeof *newline);
        memcpy(p->xtc_exempt + n, ends->eos_ids, (size_t)ends->n_eos * sizeof *ends->eos_ids);
    }
    free(newline);
    return p->xtc_exempt ? NB_OK : err_no_memory(err, "the sampler", 0);
}

nb_status nb_sampler_new(const nb_model *m, const nb_sampling *s, nb_sampler **out, nb_error *err) {
    *out = NULL;
    nb_status status = check(s, m->dims.vocab_size, err);
    if (status) return status;
    nb_sampler *p = calloc(1, sizeof *p);
    if (!p) return err_no_memory(err, "the sampler", sizeof *p);
    p->s = *s;
    p->vocab_size = m->dims.vocab_size;
    p->keep = s->repetition_penalty != 0 ? s->repetition_context_size : 0;
    if (s->presence_penalty != 0 && s->presence_context_size > p->keep) p->keep = s->presence_context_size;
    if (s->frequency_penalty != 0 && s->frequency_context_size > p->keep) p->keep = s->frequency_context_size;
    p->history = malloc(((size_t)p->keep + 1) * sizeof *p->history);
    p->bias_ids = malloc((s->n_logit_bias + 1) * sizeof *p->bias_ids);
    p->bias_values = malloc((s->n_logit_bias + 1) * sizeof *p->bias_values);
    if (s->temperature > 0) p->candidates = malloc((size_t)p->vocab_size * sizeof *p->candidates);
    if (!p->history || !p->bias_ids || !p->bias_values || (s->temperature > 0 && !p->candidates))
        status = err_no_memory(err, "the sampler", 0);
    p->s.logit_bias_ids = p->bias_ids;
    p->s.logit_bias_values = p->bias_values;
    if (!status && s->n_logit_bias) {
        memcpy(p->bias_ids, s->logit_bias_ids, s->n_logit_bias * sizeof *p->bias_ids);
        memcpy(p->bias_values, s->logit_bias_values, s->n_logit_bias * sizeof *p->bias_values);
    }
    if (!status && s->xtc_probability > 0) status = find_exempt(p, m, err);
    if (status)
        nb_sampler_free(p);
    else
        *out = p;
    return status;
}

void nb_sampler_free(nb_sampler *p) {
    if (!p) return;
    free(p->history);
    free(p->bias_ids);
    free(p->bias_values);
    free(p->candidates);
    free(p->xtc_exempt);
    free(p);
}

nb_status nb_sampler_accept(nb_sampler *p, const int32_t *tokens, size_t n, nb_error *err) {
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= p->vocab_size)
            return err_set(err, NB_ERR_ARGUMENT, "token %d is outside of the vocabulary of %lld", tokens[i],
                           (long long)p->vocab_size);
    if (p->keep == 0) return NB_OK;
    if (n > (size_t)p->keep) {
        tokens += n - (size_t)p->keep;
        n = (size_t)p->keep;
    }
    const int old = (int)min_i64(p->n_history, p->keep - (int)n);
    memmove(p->history, p->history + p->n_history - old, (size_t)old * sizeof *p->history);
    if (n) memcpy(p->history + old, tokens, n * sizeof *tokens);
    p->n_history = old + (int)n;
    return NB_OK;
}

/* ---- Penalties -------------------------------------------------------------------------------------------------- */

/* The last n tokens of the history. */
static const int32_t *recent(const nb_sampler *p, int n, int *count) {
    *count = n < p->n_history ? n : p->n_history;
    return p->history + p->n_history - *count;
}

static bool seen_before(const int32_t *tokens, int i) {
    for (int j = 0; j < i; j++)
        if (tokens[j] == tokens[i]) return true;
    return false;
}

static void apply_penalties(const nb_sampler *p, float *logits) {
    const nb_sampling *s = &p->s;
    int n;
    const int32_t *tokens;
    for (size_t i = 0; i < s->n_logit_bias; i++) logits[p->bias_ids[i]] += p->bias_values[i];
    if (s->repetition_penalty != 0) {
        tokens = recent(p, s->repetition_context_size, &n);
        for (int i = 0; i < n; i++) {
            float *l = &logits[tokens[i]];
            if (!seen_before(tokens, i)) *l = *l < 0 ? *l * s->repetition_penalty : *l / s->repetition_penalty;
        }
    }
    if (s->presence_penalty != 0) {
        tokens = recent(p, s->presence_context_size, &n);
        for (int i = 0; i < n; i++)
            if (!seen_before(tokens, i)) logits[tokens[i]] -= s->presence_penalty;
    }
    if (s->frequency_penalty != 0) {
        tokens = recent(p, s->frequency_context_size, &n);
        for (int i = 0; i < n; i++) logits[tokens[i]] -= s->frequency_penalty;
    }
}

/* ---- Filters ---------------------------------------------------------------------------------------------------- */

/* More likely first; among equals the lower id. */
static bool before(const candidate *a, const candidate *b) {
    return a->logprob > b->logprob || (a->logprob == b->logprob && a->id < b->id);
}

/* Binary heap with the most likely candidate at the root. */
static void sift_down(candidate *c, int64_t n, int64_t i) {
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&c[child + 1], &c[child])) child++;
        if (before(&c[i], &c[child])) return;
        candidate t = c[i];
        c[i] = c[child];
        c[child] = t;
    }
}

/* Moves the k most likely candidates to the end of the array, the best last, or only as many as
 * it takes to reach a probability together. Returns how many. */
static int64_t take_best(candidate *c, int64_t n, int64_t k, double enough_probability) {
    for (int64_t i = n / 2 - 1; i >= 0; i--) sift_down(c, n, i);
    double sum = 0;
    int64_t taken = 0;
    while (taken < k && taken < n && sum < enough_probability) {
        candidate best = c[0];
        c[0] = c[n - 1 - taken];
        c[n - 1 - taken] = best;
        sift_down(c, n - 1 - taken, 0);
        sum += exp(best.logprob);
        taken++;
    }
    return taken;
}

/* Keeps the last `taken` candidates of n, most likely first. */
static int64_t keep_taken(candidate *c, int64_t n, int64_t taken) {
    for (int64_t i = 0; i < taken / 2; i++) {
        candidate t = c[n - taken + i];
        c[n - taken + i] = c[n - 1 - i];
        c[n - 1 - i] = t;
    }
    memmove(c, c + n - taken, (size_t)taken * sizeof *c);
    return taken;
}

/* Keeps what has at least this log-probability. */
static int64_t keep_above(candidate *c, int64_t n, double least) {
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (c[i].logprob >= least) c[kept++] = c[i];
    return kept;
}

/* Keeps a token while the tokens more likely than it do not reach p together; equals of the last one stay. */
static int64_t filter_top_p(const nb_sampler *p, candidate *c, int64_t n) {
    int64_t taken = take_best(c, n, n, (double)p->s.top_p);
    return keep_above(c, n, c[n - taken].logprob);
}

static int64_t filter_min_p(const nb_sampler *p, candidate *c, int64_t n) {
    double best = -INFINITY;
    for (int64_t i = 0; i < n; i++) best = fmax(best, c[i].logprob);
    const double least = best + log((double)p->s.min_p);
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) kept += c[i].logprob >= least;
    if (kept < p->s.min_tokens_to_keep) return keep_taken(c, n, take_best(c, n, p->s.min_tokens_to_keep, INFINITY));
    return keep_above(c, n, least);
}

static bool is_exempt(const nb_sampler *p, int32_t id) {
    for (size_t i = 0; i < p->n_xtc_exempt; i++)
        if (p->xtc_exempt[i] == id) return true;
    return false;
}

/* Removes every token that is more likely than the least likely one above the threshold; the probabilities are those
 * among the tokens that are left. */
static int64_t filter_xtc(const nb_sampler *p, candidate *c, int64_t n) {
    double sum = 0, least = INFINITY;
    for (int64_t i = 0; i < n; i++) sum += exp(c[i].logprob);
    const double threshold = log((double)p->s.xtc_threshold * sum);
    for (int64_t i = 0; i < n; i++)
        if (c[i].logprob > threshold && c[i].logprob < least) least = c[i].logprob;
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (!(c[i].logprob > least) || is_exempt(p, c[i].id)) c[kept++] = c[i];
    return kept;
}

/* ---- Drawing ---------------------------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014): uniform in [0, 1) from the upper 53 bits. */
static double next_random(nb_sampler *p) {
    uint64_t z = p->s.seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* Fills the candidates with log-probabilities at temperature 1; tokens of probability 0 are left out. */
static int64_t fill_candidates(nb_sampler *p, const float *logits, float max) {
    double sum = 0;
    for (int64_t i = 0; i < p->vocab_size; i++) sum += exp((double)logits[i] - (double)max);
    const double norm = (double)max + log(sum);
    int64_t n = 0;
    for (int32_t i = 0; i < p->vocab_size; i++)
        if (logits[i] > -INFINITY) p->candidates[n++] = (candidate){(double)logits[i] - norm, i};
    return n;
}

static int by_id(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int32_t draw(nb_sampler *p, const float *logits, float max) {
    const nb_sampling *s = &p->s;
    candidate *c = p->candidates;
    int64_t n = fill_candidates(p, logits, max);
    if (s->top_p > 0 && s->top_p < 1) n = filter_top_p(p, c, n);
    if (s->min_p > 0) n = filter_min_p(p, c, n);
    if (s->xtc_probability > 0 && next_random(p) < (double)s->xtc_probability) n = filter_xtc(p, c, n);
    if (s->top_k > 0 && s->top_k < n) n = keep_taken(c, n, take_best(c, n, s->top_k, INFINITY));
    qsort(c, (size_t)n, sizeof *c, by_id);
    double best = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) best = fmax(best, c[i].logprob);
    for (int64_t i = 0; i < n; i++) sum += exp((c[i].logprob - best) / (double)s->temperature);
    double left = next_random(p) * sum;
    for (int64_t i = 0; i < n; i++) {
        left -= exp((c[i].logprob - best) / (double)s->temperature);
        if (left < 0) return c[i].id;
    }
    return c[n - 1].id;
}

/* The largest logit, the first among equals; NaN if there is any. Eight running maxima keep the processor busy: a
 * vocabulary has hundreds of thousands of entries, and this is on the way of every token. */
static float largest(const float *logits, int64_t n) {
    enum { LANES = 8 };
    float max[LANES];
    bool nan = false;
    for (int l = 0; l < LANES; l++) max[l] = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        float *m = &max[i % LANES];
        nan |= logits[i] != logits[i];
        *m = logits[i] > *m ? logits[i] : *m;
    }
    for (int l = 1; l < LANES; l++) max[0] = fmaxf(max[0], max[l]);
    return nan ? NAN : max[0];
}

nb_status sampler_broken(const nb_sampler *p, const float *logits, nb_error *err) {
    int64_t i = 0;
    while (i < p->vocab_size - 1 && isfinite(logits[i])) i++;
    return err_set(err, NB_ERR_INTERNAL, "the logit of token %lld is %g: the weights or a kernel are broken",
                   (long long)i, (double)logits[i]);
}

executor_draw sampler_next_draw(const nb_sampler *p) {
    return (executor_draw){.sampling = p->s, .history = p->history, .n_history = (size_t)p->n_history};
}

nb_status sampler_drew(nb_sampler *p, int32_t token, nb_error *err) {
    if (p->s.temperature > 0) next_random(p);
    return nb_sampler_accept(p, &token, 1, err);
}

nb_status nb_sampler_draw(nb_sampler *p, float *logits, int32_t *token, nb_error *err) {
    apply_penalties(p, logits);
    const float max = largest(logits, p->vocab_size);
    if (!isfinite(max)) return sampler_broken(p, logits, err);
    *token = 0;
    if (p->s.temperature > 0)
        *token = draw(p, logits, max);
    else
        while (logits[*token] != max) ++*token;
    return nb_sampler_accept(p, token, 1, err);
}
