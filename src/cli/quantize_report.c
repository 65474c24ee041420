/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/quantize_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/num.h"
#include "base/pool.h"
#include "cli/perplexity.h"
#include "files/quant_config.h"
#include "files/store.h"

/* A model's tensors as a table. */
typedef struct opened {
    char *dir;
    model_config config;
    weights *files;
    checkpoint *table;
    quant_config *quantization;
} opened;

static nb_status open_table(const char *name, opened *o, nb_error *err) {
    nb_status status = store_resolve(name, &o->dir, err);
    if (!status) status = config_open(o->dir, &o->config, err);
    if (!status) status = quant_config_open(&o->config, &o->quantization, err);
    if (!status) status = weights_open(o->dir, &o->files, err);
    return status ? status : checkpoint_open(&o->config, o->files, &o->table, err);
}

static void close_table(opened *o) {
    checkpoint_close(o->table);
    quant_config_close(o->quantization);
    weights_close(o->files);
    config_close(&o->config);
    free(o->dir);
}

/* ---- One tensor ------------------------------------------------------------------------------------------------ */

typedef struct sums {
    double error, square, largest; /* of squared differences, of squares; the largest difference */
} sums;

typedef struct comparison {
    const checkpoint_tensor *before;
    const quant_module *after;
    int64_t n_rows, k;
    int n_threads;
    sums *own; /* [n_threads] */
    bool failed;
} comparison;

static void compare_row(const comparison *c, const quant_format *f, int64_t row, uint8_t *buffers[5], sums *s) {
    const int64_t groups = c->k / f->group_size;
    float *values = (float *)(void *)buffers[4];
    checkpoint_read(c->before, row, 1, buffers[0]);
    checkpoint_read(c->after->weight, row, 1, buffers[1]);
    checkpoint_read(c->after->scales, row, 1, buffers[2]);
    if (c->after->biases) checkpoint_read(c->after->biases, row, 1, buffers[3]);
    quant_decode(f, c->after->scales->type, buffers[1], buffers[2], c->after->biases ? buffers[3] : NULL, groups,
                 DT_F32, values);
    for (int64_t j = 0; j < c->k; j++) {
        double x = float_at(buffers[0], c->before->type, j), difference = fabs((double)values[j] - x);
        s->error += difference * difference;
        s->square += x * x;
        s->largest = fmax(s->largest, difference);
    }
}

static void compare_rows(void *user, int index) {
    comparison *c = user;
    const quant_params *q = &c->after->params;
    const quant_format f = {q->mode, q->bits, q->group_size};
    const size_t row = (size_t)c->k * sizeof(float);
    uint8_t *block = malloc(5 * row), *buffers[5];
    if (!block) {
        c->failed = true;
        return;
    }
    for (int i = 0; i < 5; i++) buffers[i] = block + (size_t)i * row;
    for (int64_t i = index; i < c->n_rows; i += c->n_threads) compare_row(c, &f, i, buffers, &c->own[index]);
    free(block);
}

static nb_status compare(pool *threads, const checkpoint_tensor *before, const quant_module *after, sums *out,
                         nb_error *err) {
    comparison c = {.before = before,
                    .after = after,
                    .n_rows = before->n_pieces * before->pieces->n_rows,
                    .k = before->shape[before->n_dims - 1],
                    .n_threads = pool_size(threads)};
    *out = (sums){0};
    c.own = calloc((size_t)c.n_threads, sizeof *c.own);
    if (!c.own) return err_no_memory(err, "the report", 0);
    pool_run(threads, compare_rows, &c);
    for (int i = 0; i < c.n_threads; i++) {
        out->error += c.own[i].error;
        out->square += c.own[i].square;
        out->largest = fmax(out->largest, c.own[i].largest);
    }
    free(c.own);
    return c.failed ? err_no_memory(err, "the report", 0) : NB_OK;
}

/* ---- All of them ----------------------------------------------------------------------------------------------- */

static nb_status report_tensor(pool *threads, const opened *from, opened *to, const checkpoint_tensor *before,
                               sums *total, nb_error *err) {
    char module[CHECKPOINT_MAX_NAME];
    quant_module after;
    sums s;
    const size_t n = strlen(before->name);
    if (before->aside || !ends_with(before->name, ".weight") || !dtype_is_float(before->type)) return NB_OK;
    snprintf(module, sizeof module, "%.*s", (int)(n - strlen(".weight")), before->name);
    nb_status status = quant_module_find(to->quantization, to->table, module,
                                         before->n_dims ? before->shape[before->n_dims - 1] : 0, &after, err);
    if (status || !after.weight || !after.params.quantized) return status;
    status = compare(threads, before, &after, &s, err);
    if (status) return status;
    out_printf("%-56s %-6s %d-bit g%-3d  rms %.5f  max %.3g\n", module, wmode_name(after.params.mode),
               after.params.bits, after.params.group_size, s.square > 0 ? sqrt(s.error / s.square) : 0.0, s.largest);
    total->error += s.error;
    total->square += s.square;
    total->largest = fmax(total->largest, s.largest);
    for (int64_t i = 0; i < before->n_pieces; i++) weights_release(from->files, before->pieces[i].from);
    return NB_OK;
}

static nb_status report_tensors(const char *from, const char *to, int n_threads, nb_error *err) {
    opened a = {0}, b = {0};
    pool *threads = NULL;
    sums total = {0};
    nb_status status = open_table(from, &a, err);
    if (!status) status = open_table(to, &b, err);
    if (!status) status = pool_new(n_threads, &threads, err);
    if (!status) out_printf("\nerrors: root mean square relative to the tensor's, and the largest difference\n");
    for (size_t i = 0; !status && i < checkpoint_count(a.table); i++) {
        status = report_tensor(threads, &a, &b, checkpoint_at(a.table, i), &total, err);
        if (!status && interrupted()) status = err_set(err, NB_ERR_CANCELLED, "interrupted");
    }
    if (!status)
        out_printf("%-72s  rms %.5f  max %.3g\n", "all", total.square > 0 ? sqrt(total.error / total.square) : 0.0,
                   total.largest);
    pool_free(threads);
    close_table(&a);
    close_table(&b);
    return status;
}

static nb_status report_perplexity(const char *what, const char *model, const char *text, int n_threads,
                                   nb_error *err) {
    perplexity_args args = {.sequence_length = 512, .context = {.threads = n_threads}};
    nb_model *m = NULL;
    losses l = {0};
    nb_status status = nb_model_open(model, &m, err);
    if (!status) status = perplexity_measure(m, &args, text, &l, err);
    nb_model_free(m);
    if (!status) {
        out_printf("%s: ", what);
        perplexity_print(&l, false);
    }
    return status;
}

int quantize_report(const char *from, const char *to, const char *text, int n_threads) {
    nb_error err = {0};
    nb_status status = report_tensors(from, to, n_threads, &err);
    if (!status && text) status = report_perplexity("\nbefore", from, text, n_threads, &err);
    if (!status && text) status = report_perplexity("after", to, text, n_threads, &err);
    progress_clear();
    return status ? cli_error(&err) : CLI_OK;
}
