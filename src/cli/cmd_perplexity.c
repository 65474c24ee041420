/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble perplexity`: how well the model predicts a text. As in mlx-lm, the text is cut into sequences that do not
 * overlap, each token but the first of its sequence is predicted from those before it, and all count alike. */
#include <math.h>
#include <stdlib.h>

#include "base/num.h"
#include "cli/perplexity.h"

enum { MAX_TEXT = 1 << 30 };

static double loss_of(const float *logits, int64_t vocab_size, int32_t token) {
    float best = logits[0];
    for (int64_t i = 1; i < vocab_size; i++) best = logits[i] > best ? logits[i] : best;
    double sum = 0;
    for (int64_t i = 0; i < vocab_size; i++) sum += exp((double)(logits[i] - best));
    return log(sum) + (double)best - (double)logits[token];
}

/* One sequence of n tokens, in parts whose logits fit into `rows`. total: losses that there will be in all. */
static nb_status run_sequence(nb_sequence *sequence, nb_context *context, const int32_t *ids, int64_t n, float *rows,
                              int64_t max_rows, int64_t vocab_size, double total, losses *l, nb_error *err) {
    nb_status status = nb_sequence_truncate(sequence, 0, err);
    for (int64_t i = 0; i + 1 < n && !status; i += max_rows) {
        int64_t count = min_i64(max_rows, n - 1 - i);
        nb_batch_item item = {
            .sequence = sequence, .tokens = ids + i, .n_tokens = count, .logits = rows, .n_logits = count};
        if (!progress_show(NULL, "perplexity", (double)l->n, total))
            return err_set(err, NB_ERR_CANCELLED, "interrupted");
        status = nb_forward(context, &item, 1, err);
        for (int64_t j = 0; j < count && !status; j++) {
            double loss = loss_of(rows + j * vocab_size, vocab_size, ids[i + j + 1]);
            l->sum += loss;
            l->squares += loss * loss;
            l->n++;
        }
    }
    return status;
}

static nb_status run_text(nb_context *context, const perplexity_args *a, const int32_t *ids, int64_t n,
                          int64_t vocab_size, losses *l, nb_error *err) {
    int64_t length = min_i64(a->sequence_length, n), n_sequences = n / length;
    if (a->n_sequences) n_sequences = min_i64(n_sequences, a->n_sequences);
    int64_t max_rows = min_i64(length, max_i64(16, (64 << 20) / (vocab_size * (int64_t)sizeof(float))));
    float *rows = calloc((size_t)max_rows, (size_t)vocab_size * sizeof *rows);
    if (!rows) return err_no_memory(err, "logits", (size_t)max_rows * (size_t)vocab_size * sizeof *rows);
    nb_sequence *sequence = NULL;
    nb_status status = nb_sequence_new(context, &sequence, err);
    for (int64_t i = 0; i < n_sequences && !status; i++) {
        status = run_sequence(sequence, context, ids + i * length, length, rows, max_rows, vocab_size,
                              (double)(n_sequences * (length - 1)), l, err);
    }
    progress_clear();
    nb_sequence_free(sequence);
    free(rows);
    return status;
}

void perplexity_print(const losses *l, bool json) {
    double mean = l->sum / (double)l->n;
    double variance = l->n > 1 ? (l->squares - l->sum * mean) / (double)(l->n - 1) : 0;
    double error = sqrt(variance > 0 ? variance / (double)l->n : 0), ppl = exp(mean);
    /* The error of exp(mean) is exp's slope there times the error of the mean. */
    if (json)
        out_printf("{\"perplexity\": %.6f, \"standard_error\": %.6f, \"mean_loss\": %.8f, \"tokens\": %lld}\n", ppl,
                   ppl * error, mean, (long long)l->n);
    else
        out_printf("Perplexity: %.4f ± %.4f (%lld tokens)\n", ppl, ppl * error, (long long)l->n);
}

nb_status perplexity_measure(nb_model *model, const perplexity_args *a, const char *file, losses *l, nb_error *err) {
    nb_model_info info;
    nb_model_get_info(model, &info);
    nb_context *context = NULL;
    buf text = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    nb_status status = input_read(file, MAX_TEXT, &text, err);
    if (!status) status = nb_tokenize(model, text.data, text.len, false, &ids, &n, err);
    if (!status && n < 2) status = err_set(err, NB_ERR_ARGUMENT, "%s: %zu tokens, expected at least 2", file, n);
    if (!status) status = context_open(model, &a->context, a->sequence_length, &context, err);
    if (!status) status = run_text(context, a, ids, (int64_t)n, info.vocab_size, l, err);
    nb_context_free(context);
    nb_free(ids);
    buf_free(&text);
    return status;
}

static int perplexity_main(const command *self, int argc, char **argv) {
    perplexity_args a = {.sequence_length = 512};
    const opt table[] = {
        {"sequence-length", 'n', OPT_INT, &a.sequence_length, "N", "tokens in a sequence [512]", 2, 1 << 30},
        {"num-samples", 0, OPT_INT, &a.n_sequences, "N", "use the first N sequences only [all]", 1, 1 << 30},
        {"json", 0, OPT_FLAG, &a.json, NULL, "print a JSON object", 0, 0},
        DEVICE_OPT(a.context),
        GPU_LAYERS_OPT(a.context),
        THREADS_OPT(a.context),
        KV_TYPE_OPT(a.context),
        VERIFY_OPT(a.context),
    };
    const char *words[3];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 2, 2);
    if (code >= 0) return code;
    nb_error err = {0};
    nb_model *model = NULL;
    losses l = {0};
    code = model_open(words[0], &model);
    if (code == CLI_OK && perplexity_measure(model, &a, words[1], &l, &err)) code = cli_error(&err);
    nb_model_free(model);
    if (code == CLI_OK) perplexity_print(&l, a.json);
    return code;
}

const command cmd_perplexity = {
    .name = "perplexity",
    .usage = "MODEL FILE",
    .summary = "measure how well a model predicts a text",
    .text = "Prints the perplexity of a text and its standard error. The text's tokens are cut into sequences that do "
            "not overlap (a shorter rest is left out, unless it is all there is); each token but a sequence's first is "
            "predicted from those before it. FILE may be \"-\" for standard input.",
    .run = perplexity_main,
};
