/* SPDX-License-Identifier: Apache-2.0
 *
 * A model opened, made ready and run when memory runs out: each allocation fails in turn, and each failure is
 * NB_ERR_NO_MEMORY, without a crash or a leak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nibble.h"
#include "support/oom/fail_alloc.h"

static nb_status open_and_run(void *dir, nb_error *err) {
    static const int32_t tokens[] = {1, 2, 3};
    nb_context_options options = {.n_threads = 1, .context_length = 64, .n_batch = 8};
    nb_model *model = NULL;
    nb_context *context = NULL;
    nb_sequence *sequence = NULL;
    float *logits = NULL;
    nb_status status = nb_model_open(dir, &model, err);
    if (!status) {
        nb_model_info info;
        nb_model_get_info(model, &info);
        status = nb_context_new(model, &options, &context, err);
        if (!status) status = nb_sequence_new(context, &sequence, err);
        if (!status) {
            logits = test_calloc((size_t)info.vocab_size, sizeof *logits); /* cmocka's, which does not fail */
            nb_batch_item item = {
                .sequence = sequence, .tokens = tokens, .n_tokens = 3, .logits = logits, .n_logits = 1};
            status = nb_forward(context, &item, 1, err);
        }
    }
    if (logits) test_free(logits);
    nb_context_free(context);
    nb_model_free(model);
    return status;
}

static void opens_or_says_no_memory(void **state) {
    (void)state;
    static const char *const models[] = {"qwen3-q4-g64-bf16", "llama-q6-g32-f16-sharded", "qwen2-f16-yarn"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char dir[1024];
        snprintf(dir, sizeof dir, "%s/models/%s", getenv("NB_TEST_DATA"), models[i]);
        assert_true(fail_each_allocation(open_and_run, dir, 300) > 20);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(opens_or_says_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
