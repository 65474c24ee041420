/* SPDX-License-Identifier: Apache-2.0
 *
 * SmolLM2's tokenizer, as it was imported from the GGUF file, against Hugging Face's ids: code, CJK, emoji, combining
 * marks, long white space, control characters, added tokens inside of texts. NB_TEST_MODEL is the model's directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/tok_golden.h"

static void smollm2(void **state) {
    (void)state;
    const char *dir = getenv("NB_TEST_MODEL");
    if (!dir) fail_msg("NB_TEST_MODEL is not set: it must name the directory of the imported SmolLM2 model");
    tokenizer *t = NULL;
    nb_error err = {0};
    if (tok_load(dir, &t, &err)) fail_msg("%s", err.text);
    assert_int_equal(tok_count(t), 49152);
    assert_int_equal(tok_id(t, "<|im_end|>"), 2);
    assert_true(tok_is_special(t, 2));
    assert_true(tok_golden_check(t, "smollm2") >= 340);
    tok_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(smollm2)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
