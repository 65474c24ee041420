/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble template`: what a conversation looks like to the model. */
#include <string.h>

#include "cli/args.h"

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
        nb_status status = objects_read(file, "messages", &messages, &err);
        if (!status) status = template_load(&t, &err);
        if (!status)
            status = nb_template_render(model, messages.data, template_tools(&t), template_variables(&t),
                                        !no_generation_prompt, &text, &err);
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
