/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble template`: what a conversation looks like to the model. */
#include <string.h>

#include "base/json.h"
#include "cli/args.h"

enum { MAX_MESSAGES = 64 << 20 };

/* The file's text, which must be a JSON array; the template checks the rest. */
static nb_status read_messages(const char *path, buf *out, nb_error *err) {
    cJSON *json = NULL;
    nb_status status = input_read(path, MAX_MESSAGES, out, err);
    if (!status) status = json_parse(out->data, out->len, path, &json, err);
    if (!status && !cJSON_IsArray(json)) status = err_set(err, NB_ERR_FORMAT, "%s: not a JSON array of messages", path);
    cJSON_Delete(json);
    return status;
}

static int template_main(const command *self, int argc, char **argv) {
    const char *file = NULL;
    bool no_generation_prompt = false;
    template_args t = {0};
    const opt table[] = {
        {"messages", 0, OPT_STRING, &file, "FILE", "JSON array of {\"role\", \"content\"}; - is standard input", 0, 0},
        {"no-generation-prompt", 0, OPT_FLAG, &no_generation_prompt, NULL, "do not open the assistant's answer", 0, 0},
        TEMPLATE_OPTS(t),
    };
    const char *words[2];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 1, 1);
    if (code >= 0) return code;
    if (!file) return cli_usage(self->name, "--messages is missing");

    nb_error err = {0};
    buf messages = {0};
    nb_model *model = NULL;
    char *text = NULL;
    code = model_open(words[0], &model);
    if (code == CLI_OK) {
        nb_status status = read_messages(file, &messages, &err);
        if (!status) status = template_load(&t, &err);
        if (!status)
            status = nb_template_render(model, messages.data, template_tools(&t), t.extra, !no_generation_prompt, &text,
                                        &err);
        if (status) code = cli_error(&err);
    }
    if (code == CLI_OK) out_write(text, strlen(text)); /* and nothing after it */
    nb_free(text);
    template_free(&t);
    buf_free(&messages);
    nb_model_free(model);
    return code;
}

const command cmd_template = {
    .name = "template",
    .usage = "MODEL --messages FILE",
    .summary = "render a conversation with the chat template",
    .text = "Prints the text that the model's chat template makes of a conversation, and nothing after it. Fails with "
            "the template's own words where the template raises an error.",
    .run = template_main,
};
