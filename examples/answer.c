/* SPDX-License-Identifier: Apache-2.0
 *
 * Asks a model one question: cc answer.c $(pkg-config --cflags --libs nibble) -o answer && ./answer MODEL */
#include <nibble.h>
#include <stdio.h>
#include <string.h>
static bool print(void *file, const char *text, size_t length) {
    return fwrite(text, 1, length, file) == length;
}
int main(int argc, char **argv) {
    const char *messages = "[{\"role\": \"user\", \"content\": \"What is the capital of France?\"}]";
    nb_model *model = NULL;
    nb_context *context = NULL;
    nb_sequence *sequence = NULL;
    nb_generate_options options;
    nb_generate_defaults(&options);
    options.on_text = print, options.user = stdout;
    nb_generate_result result;
    nb_error err = {0};
    char *prompt = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    if (nb_model_open(argc > 1 ? argv[1] : "", &model, &err) ||
        nb_template_render(model, messages, NULL, NULL, true, &prompt, &err) ||
        nb_tokenize(model, prompt, strlen(prompt), false, &ids, &n, &err) ||
        nb_context_new(model, NULL, &context, &err) || nb_sequence_new(context, &sequence, &err) ||
        nb_generate(sequence, ids, n, &options, &result, &err))
        fprintf(stderr, "%s\n", err.text);
    nb_free(ids), nb_free(prompt), nb_context_free(context), nb_model_free(model);
    return err.status != NB_OK;
}
