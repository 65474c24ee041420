/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a tokenizer of the kinds older than tokenizer.json. The first byte chooses the kind and what stands
 * beside it, the second one how many bytes of text follow for it; the rest is the file. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "tok_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const configs[] = {
    "{}",
    "{\"tokenizer_class\": \"QWenTokenizer\", \"legacy\": false}",
    "{\"tokenizer_class\": \"ChatGLM4Tokenizer\", \"add_eos_token\": true}",
    ("{\"tokenizer_class\": \"TikTokenTokenizer\", \"added_tokens_decoder\": {\"3\": {\"content\": \"ab\", "
     "\"lstrip\": true, \"rstrip\": true}, \"300\": {\"content\": \"a b\", \"special\": true}}}"),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size - 2 < data[1]) return 0;
    const char *text = (const char *)data + 2, *file = text + data[1];
    size_t n = size - 2 - data[1];
    const char *config = configs[(data[0] >> 2) & 3];
    tokenizer *t = NULL;
    tok_side side = {0};
    cJSON *tree;
    nb_error err;
    if (json_parse(config, strlen(config), "config", &tree, &err)) return 0;
    side.config = tree;
    if ((data[0] & 3) == 0)
        tok_from_ranks(file, n, &side, "x.tiktoken", &t, &err);
    else if ((data[0] & 3) == 1)
        tok_from_tekken(file, n, "tekken.json", &t, &err);
    else
        tok_from_sentencepiece(file, n, &side, "tokenizer.model", &t, &err);
    if (t) exercise(t, text, data[1]);
    tok_free(t);
    cJSON_Delete(tree);
    return 0;
}
