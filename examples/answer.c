/* SPDX-License-Identifier: Apache-2.0
 *
 * Asks a model one question: cc answer.c $(pkg-config --cflags --libs nibble) -o answer && ./answer MODEL */
#include <nibble.h>
#include <stdio.h>
static bool print(void *file, const char *text, size_t length) {
    return fwrite(text, 1, length, file) == length;
}
int main(int argc, char **argv) {
    const char *messages = "[{\"role\": \"user\", \"content\": \"What is the capital of France?\"}]";
    nb_model *model = NULL;
    nb_context *context = NULL;
    nb_generate_options options;
    nb_generate_defaults(&options);
    options.on_text = print, options.user = stdout;
    nb_error err = {0};
    if (nb_model_open(argc > 1 ? argv[1] : "", &model, &err) || nb_context_new(model, NULL, &context, &err) ||
        nb_ask(context, messages, &options, NULL, &err))
        fprintf(stderr, "%s\n", err.text);
    nb_context_free(context), nb_model_free(model);
    return err.status != NB_OK;
}
