/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble tokenize`: text to token ids. */
#include "cli/args.h"

enum { MAX_TEXT = 1 << 30 };

static bool print_ids(const int32_t *ids, size_t n, bool json) {
    if (json) out_write("[", 1);
    for (size_t i = 0; i < n; i++) out_printf("%s%d", i == 0 ? "" : json ? ", " : " ", ids[i]);
    return out_printf(json ? "]\n" : "\n");
}

static int tokenize_main(const command *self, int argc, char **argv) {
    const char *file = NULL;
    bool json = false, no_special = false;
    const opt table[] = {
        {"text-file", 'f', OPT_STRING, &file, "FILE", "the text, taken as it is; - is standard input", 0, 0},
        {"json", 0, OPT_FLAG, &json, NULL, "print a JSON array", 0, 0},
        {"no-special", 0, OPT_FLAG, &no_special, NULL, "without the tokens that the tokenizer adds (BOS, ...)", 0, 0},
    };
    const char *words[2];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 1, 1);
    if (code >= 0) return code;
    if (!file) return cli_usage(self->name, "--text-file is missing");

    nb_error err = {0};
    buf text = {0};
    nb_model *model = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    code = model_open(words[0], &model);
    if (code == CLI_OK) {
        nb_status status = input_read(file, MAX_TEXT, &text, &err);
        if (!status) status = nb_tokenize(model, text.data, text.len, !no_special, &ids, &n, &err);
        if (status) code = cli_error(&err);
    }
    if (code == CLI_OK) print_ids(ids, n, json);
    nb_free(ids);
    buf_free(&text);
    nb_model_free(model);
    return code;
}

const command cmd_tokenize = {
    .name = "tokenize",
    .usage = "MODEL --text-file FILE",
    .summary = "turn text into token ids",
    .text = "Prints the token ids of a text on one line, with the special tokens that the model's tokenizer adds.",
    .run = tokenize_main,
};
