/* SPDX-License-Identifier: Apache-2.0
 *
 * The level `answer`: greedy text of a few prompts on the device, and the same tokens read by a run that the reference
 * backs. One pass of the reference over prompt and answer is enough: up to the first token on which the two differ, it
 * has read what it would have written itself. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "verify/forward.h"
#include "verify/reference_device.h"
#include "verify/session_impl.h"

enum { QUICK_TOKENS = 8, FULL_TOKENS = 32, LONGEST = FORWARD_TOKENS - FULL_TOKENS };

/* The contract of docs/architecture.md: on a device whose activations are finer than 16 bits, logits are within this
 * part of their spread of a float64 run. */
static const double TOLERANCE = 1e-4;
/* On a device whose products round their operands to 16 bits: so many times what that alone does to the logits of the
 * reference (docs/verification.md). */
static const double TIMES_ROUNDING = 2;

typedef struct answer {
    int32_t tokens[FORWARD_TOKENS]; /* prompt and answer */
    int64_t n_prompt, n;            /* tokens of the answer */
    float *logits;                  /* [n, vocab_size]: those that the answer was chosen by */
} answer;

/* ---- Both runs -------------------------------------------------------------------------------------------------- */

static nb_status run_device(session *s, int prompt, answer *a, nb_error *err) {
    const verify_model *m = s->o->model;
    const int64_t most = s->o->depth == CHECK_FULL ? FULL_TOKENS : QUICK_TOKENS;
    forward f = {0};
    const float *logits;
    a->n_prompt = min_i64(m->prompt_lengths[prompt], LONGEST);
    memcpy(a->tokens, m->prompts[prompt] + m->prompt_lengths[prompt] - a->n_prompt,
           (size_t)a->n_prompt * sizeof *a->tokens);
    a->logits = malloc((size_t)(most * m->vocab_size) * sizeof *a->logits);
    if (!a->logits) return err_no_memory(err, "logits", 0);
    nb_status status = forward_new(s->o->backend, s->device, m->plan, m->files, &m->executor, &f, err);
    if (!status) status = forward_run(&f, 1, a->tokens, a->n_prompt, 1, &logits, err);
    for (a->n = 0; a->n < most && !status;) {
        memcpy(a->logits + a->n * m->vocab_size, logits, (size_t)m->vocab_size * sizeof *logits);
        const int32_t token = a->tokens[a->n_prompt + a->n++] = forward_most_likely(logits, m->vocab_size);
        if (m->is_end && m->is_end(m->user, token)) break;
        if (a->n < most) status = forward_run(&f, 1, &token, 1, 1, &logits, err);
    }
    forward_free(&f);
    return status;
}

/* With keys and values cached in a type, operands of products rounded to one (DT_NONE: not). *logits: [a->n,
 * vocab_size], to be freed. */
static nb_status run_reference(session *s, const answer *a, dtype kv_type, dtype rounds_to, float **logits,
                               nb_error *err) {
    const verify_model *m = s->o->model;
    const size_t bytes = (size_t)(a->n * m->vocab_size) * sizeof **logits;
    executor_options options = m->executor;
    device *d = NULL;
    forward f = {0};
    const float *made;
    options.kv_type = kv_type;
    nb_status status = reference_device_new(rounds_to, &d, err);
    if (!status) status = forward_new(s->o->host, d, m->plan, m->files, &options, &f, err);
    if (!status) status = forward_run(&f, 1, a->tokens, a->n_prompt + a->n - 1, a->n, &made, err);
    if (!status && !(*logits = malloc(bytes))) status = err_no_memory(err, "logits", bytes);
    if (!status) memcpy(*logits, made, bytes);
    forward_free(&f);
    if (d) d->free(d);
    return status;
}

/* ---- The comparison of one position ----------------------------------------------------------------------------- */

static double log_sum_exp(const float *logits, int64_t n) {
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, (double)logits[i]);
    for (int64_t i = 0; i < n; i++) sum += exp((double)logits[i] - largest);
    return largest + log(sum);
}

/* KL(p || q) = sum of p (log p - log q), p and q the softmaxes of the two. */
static double divergence(const float *p, const float *q, int64_t n) {
    const double lp = log_sum_exp(p, n), lq = log_sum_exp(q, n);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)p[i] - lp) * (((double)p[i] - lp) - ((double)q[i] - lq));
    return sum > 0 || isnan(sum) ? sum : 0; /* roundings may make it a little less */
}

/* Standard deviation. */
static double spread(const float *logits, int64_t n) {
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)logits[i] / (double)n;
    for (int64_t i = 0; i < n; i++) squares += pow((double)logits[i] - mean, 2) / (double)n;
    return sqrt(squares);
}

/* The largest difference as a share of the spread; infinite where the device's are no numbers. */
static double worst_difference(const float *want, const float *got, int64_t n) {
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const double off = fabs((double)got[i] - (double)want[i]);
        worst = isfinite(off) ? fmax(worst, off) : INFINITY;
    }
    return worst / spread(want, n);
}

/* ---- A prompt --------------------------------------------------------------------------------------------------- */

static void put_texts(const session *s, const answer *a, int64_t n_same, int32_t next, report_answer *out) {
    const verify_model *m = s->o->model;
    int32_t tokens[FULL_TOKENS + 1];
    if (!m->text) return;
    m->text(m->user, a->tokens + a->n_prompt, a->n, out->device, sizeof out->device);
    memcpy(tokens, a->tokens + a->n_prompt, (size_t)n_same * sizeof *tokens);
    if (n_same < a->n) tokens[n_same] = next; /* what it would have said; after that it is another text */
    m->text(m->user, tokens, n_same < a->n ? n_same + 1 : n_same, out->reference, sizeof out->reference);
}

/* Logits that the reference has in other circumstances, for what these change. */
typedef struct variants {
    float *exact;   /* keys and values in fp32 */
    float *rounded; /* operands rounded as the device's products do; NULL: they do not */
} variants;

/* What rounding operands does at most: of all positions, since which one it hits is chance. */
static double rounding_of(const answer *a, const float *reference, const float *rounded, int64_t vocab) {
    double worst = 0;
    for (int64_t i = 0; rounded && i < a->n; i++)
        worst = fmax(worst, worst_difference(reference + i * vocab, rounded + i * vocab, vocab));
    return worst;
}

/* A cached number that lies near the middle of two of its type may be rounded to either, so that all that the type
 * itself changes is right as well. */
static void compare(const session *s, int prompt, const answer *a, const float *reference, const variants *of,
                    report_answer *out) {
    const int64_t vocab = s->o->model->vocab_size;
    const double rounding = TIMES_ROUNDING * rounding_of(a, reference, of->rounded, vocab);
    const float *exact = of->exact ? of->exact : reference;
    int32_t next = 0;
    *out = (report_answer){.n_tokens = a->n, .ok = true};
    snprintf(out->prompt, sizeof out->prompt, "%s", s->o->model->prompt_texts[prompt]);
    for (int64_t i = 0; i < a->n; i++) {
        const float *want = reference + i * vocab, *got = a->logits + i * vocab;
        const int32_t best = forward_most_likely(want, vocab);
        const bool same = best == a->tokens[a->n_prompt + i];
        const double kl = divergence(want, got, vocab);
        out->n_top1 += same;
        if (!same && out->n_same == i) next = best;
        if (same && out->n_same == i) out->n_same++;
        out->mean_kl += kl / (double)a->n;
        out->max_kl = fmax(out->max_kl, isfinite(kl) ? kl : INFINITY);
        /* Where logits are this close, another most likely token is a tie. */
        const double off = worst_difference(want, got, vocab);
        out->ok &= isfinite(off) && off <= TOLERANCE + rounding + worst_difference(exact + i * vocab, want, vocab);
        out->worst_logit = fmax(out->worst_logit, off);
    }
    put_texts(s, a, out->n_same, next, out);
}

/* The type to which products of the device's rows round their operands, or in which they get them: the coarser of all.
 * DT_NONE: they have finer ones. */
static nb_status rounding_type(session *s, int prompt, dtype *type, nb_error *err) {
    const plan_on_device p = session_plan(s);
    const int64_t sizes[] = {1, s->o->model->prompt_lengths[prompt]};
    used_calls calls = {0};
    nb_status status = NB_OK;
    *type = DT_NONE;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && !status; i++)
        status = used_collect(&p, sizes[i], true, &calls, err);
    for (size_t i = 0; i < calls.n && !status; i++) {
        const used_call *c = &calls.items[i];
        const bool product = kop_is_product(c->row->op) || c->row->op == KOP_ATTENTION;
        const dtype types[] = {c->row->rounds_to, c->spec.x_type};
        for (int k = 0; k < 2 && product; k++)
            if (types[k] == DT_BF16 || (types[k] == DT_F16 && *type == DT_NONE)) *type = types[k];
    }
    used_free(&calls);
    return status;
}

static nb_status one_prompt(session *s, int prompt, nb_error *err) {
    const dtype kv_type = s->o->model->executor.kv_type;
    answer a = {0};
    float *reference = NULL;
    variants of = {0};
    dtype rounds_to = DT_NONE;
    report_answer out;
    nb_status status = rounding_type(s, prompt, &rounds_to, err);
    if (!status) status = run_device(s, prompt, &a, err);
    session_progress(s, 2 * prompt + 1, 2 * s->o->model->n_prompts);
    if (!status) status = run_reference(s, &a, kv_type, DT_NONE, &reference, err);
    if (!status && kv_type != DT_F32) status = run_reference(s, &a, DT_F32, DT_NONE, &of.exact, err);
    if (!status && rounds_to != DT_NONE) status = run_reference(s, &a, kv_type, rounds_to, &of.rounded, err);
    if (!status) {
        compare(s, prompt, &a, reference, &of, &out);
        worker_send(s->worker, REC_ANSWER, &out, sizeof out);
    }
    session_progress(s, 2 * prompt + 2, 2 * s->o->model->n_prompts);
    free(reference);
    free(of.exact);
    free(of.rounded);
    free(a.logits);
    return status;
}

void job_answer(session *s, worker *w) {
    nb_error err = {0};
    nb_status status = NB_OK;
    if (!session_open_device(s, w)) return;
    for (int i = 0; i < s->o->model->n_prompts && !status; i++) status = one_prompt(s, i, &err);
    if (status) session_stop(s, &err);
}
