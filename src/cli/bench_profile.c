/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a batch and asks the executor how long each of its calls takes. Calls that differ in nothing but their layer are
 * one line. */
#include "cli/bench_profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "cli/cli.h"
#include "engine/engine.h"

/* A call of the pass, or all that are alike. */
typedef struct entry {
    const krow *row;
    int64_t rows, cols, k; /* of the output; k: inputs of a product */
    const char *name;      /* of the step, without its layer */
    int n;
    double seconds, bytes; /* bytes: of weights */
} entry;

typedef struct profile {
    const plan *p;
    entry *calls;
    int n, cap;
    bool failed;
} profile;

/* "layers.3.mlp.gate" -> "mlp.gate". */
static const char *without_layer(const char *name) {
    if (!name || strncmp(name, "layers.", 7) != 0) return name ? name : "";
    const char *dot = strchr(name + 7, '.');
    return dot ? dot + 1 : name;
}

/* Bytes of weights that a call of `rows` tokens reads at most. */
static double weight_bytes(const kcall *c) {
    if (!c->w || c->op == KOP_EMBED) return 0;
    const double all = (double)weight_stored_bytes(c->w);
    if (!c->w->experts) return all;
    return all * (double)min_i64(c->x.rows * c->n_chosen, c->w->n_experts) / (double)c->w->n_experts;
}

static void add_call(void *user, int step, const krow *row, const kcall *c) {
    profile *f = user;
    if (f->n == f->cap) {
        const int cap = 2 * f->cap + 256;
        entry *calls = realloc(f->calls, (size_t)cap * sizeof *calls);
        f->failed |= !calls;
        if (!calls) return;
        f->calls = calls;
        f->cap = cap;
    }
    const kmat *out = c->y.data ? &c->y : &c->x;
    f->calls[f->n++] = (entry){.row = row,
                               .rows = out->rows,
                               .cols = out->cols,
                               .k = c->w ? c->w->k : 0,
                               .name = without_layer(f->p->steps[step].name),
                               .n = 1,
                               .bytes = weight_bytes(c)};
}

static nb_status measure(nb_context *c, const batch *b, profile *f, double *whole, nb_error *err) {
    executor *e = c->executor;
    const float *logits;
    nb_status status = e->run(e, b, &logits, err); /* memory and graphs are there now */
    if (!status) status = e->run(e, b, &logits, err);
    const double start = clock_now();
    if (!status) status = e->run(e, b, &logits, err);
    *whole = clock_now() - start;
    if (status) return status;
    status = e->calls(e, b->n_tokens, b->n_outputs, add_call, f, err);
    double *seconds = calloc((size_t)f->n + 1, sizeof *seconds);
    if (!status && (!seconds || f->failed)) status = err_no_memory(err, "a profile", 0);
    if (!status) status = e->profile(e, seconds, f->n, err);
    for (int i = 0; i < f->n && !status; i++) f->calls[i].seconds = seconds[i];
    free(seconds);
    return status;
}

/* ---- Printing -------------------------------------------------------------------------------------------------- */

static bool alike(const entry *a, const entry *b) {
    return a->row == b->row && a->rows == b->rows && a->cols == b->cols && a->k == b->k && !strcmp(a->name, b->name);
}

static int by_time(const void *a, const void *b) {
    const double x = ((const entry *)a)->seconds, y = ((const entry *)b)->seconds;
    return (x < y) - (x > y);
}

static void print(profile *f, const char *title, double whole) {
    int n = 0;
    double sum = 0;
    for (int i = 0; i < f->n; i++) {
        int j = 0;
        sum += f->calls[i].seconds;
        while (j < n && !alike(&f->calls[j], &f->calls[i])) j++;
        if (j == n) {
            f->calls[n++] = f->calls[i];
            continue;
        }
        f->calls[j].n += f->calls[i].n;
        f->calls[j].seconds += f->calls[i].seconds;
        f->calls[j].bytes += f->calls[i].bytes;
    }
    qsort(f->calls, (size_t)n, sizeof *f->calls, by_time);
    out_printf("\n%s: %.3f ms, its calls one by one %.3f ms\n", title, whole * 1e3, sum * 1e3);
    out_printf("%10s %6s %6s %9s %8s  %-24s %s\n", "us", "share", "calls", "us each", "GB/s", "step", "kernel, output");
    for (int i = 0; i < n; i++) {
        const entry *c = &f->calls[i];
        char rate[16] = "";
        if (c->bytes > 0) snprintf(rate, sizeof rate, "%.0f", c->bytes / c->seconds * 1e-9);
        out_printf("%10.1f %5.1f%% %6d %9.2f %8s  %-24.24s %s [%lld, %lld]", c->seconds * 1e6, 100 * c->seconds / sum,
                   c->n, c->seconds / c->n * 1e6, rate, c->name, c->row->name, (long long)c->rows, (long long)c->cols);
        if (c->k) out_printf(" k=%lld", (long long)c->k);
        out_printf("\n");
    }
}

/* ---- Passes ---------------------------------------------------------------------------------------------------- */

/* n tokens of each sequence, the first at position `from`; one output each. Pages and states are any that fit. */
static nb_status pass(nb_context *c, int64_t n_sequences, int64_t n, int64_t from, const char *title, nb_error *err) {
    const int64_t n_tokens = min_i64(n_sequences * n, c->n_batch), each = n_tokens / n_sequences;
    const int64_t n_pages = div_up(from + each, KV_PAGE_SIZE);
    int32_t *pages = calloc((size_t)(n_sequences * n_pages), sizeof *pages);
    profile f = {.p = c->model->plan};
    if (!pages) return err_no_memory(err, "a profile", 0);
    for (int64_t i = 0; i < n_sequences * n_pages; i++) pages[i] = (int32_t)(i % c->pages.n_pages);
    batch b = {.n_tokens = each * n_sequences,
               .n_outputs = n_sequences,
               .tokens = c->tokens,
               .positions = c->positions,
               .tables = c->tables,
               .slots = c->slots,
               .outputs = c->outputs};
    for (int64_t s = 0; s < n_sequences; s++) {
        for (int64_t t = 0; t < each; t++) {
            const int64_t at = s * each + t;
            c->tokens[at] = (int32_t)((at * 7919 + 1) % c->model->dims.vocab_size);
            c->positions[at] = (int32_t)(from + t);
            c->tables[at] = pages + s * n_pages;
            c->slots[at] = c->states.n_checkpoints + (int32_t)s;
        }
        c->outputs[s] = (int32_t)((s + 1) * each - 1);
    }
    double whole;
    nb_status status = measure(c, &b, &f, &whole, err);
    if (!status) print(&f, title, whole);
    free(f.calls);
    free(pages);
    return status;
}

nb_status profile_print(nb_context *context, int64_t n_sequences, int64_t depth, int64_t n_prompt, nb_error *err) {
    char title[96];
    snprintf(title, sizeof title, "a token in %lld sequence%s, context %lld", (long long)n_sequences,
             n_sequences == 1 ? "" : "s", (long long)depth);
    nb_status status = pass(context, n_sequences, 1, depth, title, err);
    snprintf(title, sizeof title, "a prompt of %lld tokens", (long long)min_i64(n_prompt, context->n_batch));
    return status ? status : pass(context, 1, n_prompt, 0, title, err);
}
