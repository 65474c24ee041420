/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble logits`: the model's raw output, for comparisons with other programs. */
#include <errno.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/num.h"
#include "cli/args.h"
#include "files/safetensors.h"

/* "1,5,9", or a JSON array as `nibble tokenize --json` prints it; *ids is to be freed. */
static nb_status parse_tokens(const char *text, int64_t vocab_size, int32_t **ids, int64_t *n, nb_error *err) {
    size_t count = 1;
    for (const char *p = text; *p; p++) count += *p == ',';
    *ids = calloc(count, sizeof **ids);
    if (!*ids) return err_no_memory(err, "tokens", count * sizeof **ids);
    *n = 0;
    bool bracket = *text == '[';
    for (const char *p = text + bracket;; p++) {
        char *end;
        errno = 0;
        long long id = strtoll(p, &end, 10);
        if (end == p || errno)
            return err_set(err, NB_ERR_ARGUMENT, "--tokens: \"%.20s\" is no token id, expected 1,5,9", p);
        if (id < 0 || id >= vocab_size)
            return err_set(err, NB_ERR_ARGUMENT, "--tokens: %lld is outside of the vocabulary, 0 to %lld", id,
                           (long long)vocab_size - 1);
        (*ids)[(*n)++] = (int32_t)id;
        p = end;
        if (bracket && *p == ']') p++, bracket = false;
        if (!*p && !bracket) return NB_OK;
        if (*p != ',') return err_set(err, NB_ERR_ARGUMENT, "--tokens: \"%.20s\" where a comma was expected", p);
    }
}

/* Runs the tokens part by part and writes each part's rows. */
static nb_status write_rows(nb_context *context, const int32_t *ids, int64_t n, int64_t vocab_size, st_writer *w,
                            nb_error *err) {
    nb_sequence *sequence = NULL;
    /* Rows of logits held at once: 64 MB of them, at least one. */
    int64_t part = min_i64(n, max_i64(1, (64 << 20) / (vocab_size * (int64_t)sizeof(float))));
    float *rows = calloc((size_t)part, (size_t)vocab_size * sizeof *rows);
    if (!rows) return err_no_memory(err, "logits", (size_t)part * (size_t)vocab_size * sizeof *rows);
    nb_status status = nb_sequence_new(context, &sequence, err);
    for (int64_t i = 0; i < n && !status; i += part) {
        int64_t count = min_i64(part, n - i);
        nb_batch_item item = {
            .sequence = sequence, .tokens = ids + i, .n_tokens = count, .logits = rows, .n_logits = count};
        if (!progress_show(NULL, "logits", (double)i, (double)n))
            status = err_set(err, NB_ERR_CANCELLED, "interrupted");
        if (!status) status = nb_forward(context, &item, 1, err);
        if (!status) status = st_writer_put(w, 0, rows, (size_t)(count * vocab_size) * sizeof *rows, err);
    }
    progress_clear();
    free(rows);
    nb_sequence_free(sequence);
    return status;
}

static nb_status write_logits(nb_model *model, const context_args *a, const char *tokens, const char *path,
                              nb_error *err) {
    nb_model_info info;
    nb_model_get_info(model, &info);
    nb_context *context = NULL;
    st_writer *w = NULL;
    int32_t *ids = NULL;
    int64_t n = 0;
    nb_status status = file_check_target(path, err);
    if (!status) status = parse_tokens(tokens, info.vocab_size, &ids, &n, err);
    if (!status) status = context_open(model, a, n, &context, err);
    if (!status) status = st_writer_new(path, &w, err);
    int64_t shape[2] = {n, info.vocab_size};
    if (!status) status = st_writer_declare(w, "logits", DT_F32, 2, shape, NULL, err);
    if (!status) status = st_writer_begin(w, err);
    if (!status) status = write_rows(context, ids, n, info.vocab_size, w, err);
    if (status)
        st_writer_abort(w);
    else
        status = st_writer_finish(w, err);
    nb_context_free(context);
    free(ids);
    return status;
}

static int logits_main(const command *self, int argc, char **argv) {
    const char *tokens = NULL, *path = NULL;
    context_args a = {0};
    const opt table[] = {
        {.kind = OPT_TITLE, .help = "Input and output"},
        {"tokens", 0, OPT_STRING, &tokens, "IDS", "token ids: 1,5,9 or [1, 5, 9]", 0, 0},
        {"out", 'o', OPT_STRING, &path, "FILE", "the safetensors file to write", 0, 0},
        CONTEXT_OPTS(a),
    };
    const char *words[2];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 1, 1);
    if (code >= 0) return code;
    if (!tokens || !path) return cli_usage(self->name, "--%s is missing", tokens ? "out" : "tokens");
    nb_error err = {0};
    nb_model *model = NULL;
    code = model_open(words[0], &model);
    if (code == CLI_OK && write_logits(model, &a, tokens, path, &err)) code = cli_error(&err);
    nb_model_free(model);
    return code;
}

const command cmd_logits = {
    .name = "logits",
    .usage = "MODEL --tokens IDS --out FILE",
    .summary = "write the logits of a list of tokens to a file",
    .text = "Runs the tokens through the model and writes a safetensors file with the tensor \"logits\", float32 "
            "[n_tokens, vocab_size]: row i holds the scores of what may follow token i.",
    .run = logits_main,
};
