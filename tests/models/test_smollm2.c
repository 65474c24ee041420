/* SPDX-License-Identifier: Apache-2.0
 *
 * A real model from its files to its words: SmolLM2-135M-Instruct as `nibble import` makes it ($NB_TEST_MODEL), its
 * chat template, tokenizer, logits and greedy answers against mlx-lm's (tests/data/smollm2/README.md). */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "files/safetensors.h"
#include "nibble.h"

enum { MAX_IDS = 4096 };

static nb_model *model;
static nb_context *context;

static void check_ok(nb_status status, const nb_error *err, const char *what) {
    if (status) fail_msg("%s: %s", what, err->text);
}

static const char *data_path(char path[1200], const char *name) {
    snprintf(path, 1200, "%s/smollm2/%s", getenv("NB_TEST_DATA"), name);
    return path;
}

static int read_ids(const cJSON *array, int32_t *out) {
    int n = 0;
    for (const cJSON *item = array->child; item; item = item->next) {
        assert_true(n < MAX_IDS);
        out[n++] = (int32_t)item->valuedouble;
    }
    return n;
}

/* The prompt as a user's message through template and tokenizer must be the golden's ids. */
static void check_prompt(const char *prompt, const int32_t *want, int n_want) {
    nb_error err;
    cJSON *messages = cJSON_CreateArray(), *message = cJSON_CreateObject();
    cJSON_AddStringToObject(message, "role", "user");
    cJSON_AddStringToObject(message, "content", prompt);
    cJSON_AddItemToArray(messages, message);
    char *json = cJSON_PrintUnformatted(messages), *text;
    int32_t *ids;
    size_t n;
    check_ok(nb_template_render(model, json, NULL, NULL, true, &text, &err), &err, "template");
    check_ok(nb_tokenize(model, text, strlen(text), false, &ids, &n, &err), &err, "tokenize");
    if ((int)n != n_want || memcmp(ids, want, n * sizeof *ids) != 0)
        fail_msg("the prompt \"%s\" has %zu ids, or other ids than the %d expected", prompt, n, n_want);
    nb_free(ids);
    nb_free(text);
    free(json);
    cJSON_Delete(messages);
}

typedef struct answer {
    int32_t ids[MAX_IDS];
    int n;
} answer;

static bool take_token(void *user, int32_t token) {
    answer *a = user;
    a->ids[a->n++] = token;
    return true;
}

/* Returns whether the answer is the golden's to its end; a difference where the two best tokens are a tie ends the
 * comparison, any other is a failure. */
static bool check_answer(const cJSON *item, double error_16bit, int64_t max_tokens) {
    static int32_t prompt[MAX_IDS], want[MAX_IDS];
    static answer got;
    nb_error err;
    const char *text = cJSON_GetObjectItem(item, "prompt")->valuestring;
    const int n_prompt = read_ids(cJSON_GetObjectItem(item, "prompt_ids"), prompt);
    const int n_want = read_ids(cJSON_GetObjectItem(item, "ids"), want);
    check_prompt(text, prompt, n_prompt);
    nb_sequence *s;
    nb_generate_options o;
    nb_generate_result r;
    nb_generate_defaults(&o);
    o.max_tokens = max_tokens;
    o.on_token = take_token;
    o.user = &got;
    got.n = 0;
    check_ok(nb_sequence_new(context, &s, &err), &err, "sequence");
    check_ok(nb_generate(s, prompt, (size_t)n_prompt, &o, &r, &err), &err, text);
    nb_sequence_free(s);
    assert_int_equal(r.n_generated, got.n);
    for (int i = 0; i < n_want; i++) {
        if (i < got.n && got.ids[i] == want[i]) continue;
        const double gap = cJSON_GetArrayItem(cJSON_GetObjectItem(item, "gaps"), i)->valuedouble;
        if (gap >= error_16bit)
            fail_msg("\"%s\": token %d is %d, expected %d, which leads by %.4f (a tie is below %.4f)", text, i,
                     i < got.n ? got.ids[i] : -1, want[i], gap, error_16bit);
        printf("  tie: \"%s\", token %d, the best two differ by %.5f\n", text, i, gap);
        return false;
    }
    assert_int_equal(got.n, n_want);
    return true;
}

static void test_answers(void **state) {
    (void)state;
    char path[1200];
    cJSON *file;
    nb_error err;
    check_ok(json_read(data_path(path, "answers.json"), &file, &err), &err, path);
    const double error_16bit = cJSON_GetObjectItem(file, "error_16bit")->valuedouble;
    const int64_t max_tokens = (int64_t)cJSON_GetObjectItem(file, "max_tokens")->valuedouble;
    const cJSON *answers = cJSON_GetObjectItem(file, "answers");
    const int most = getenv("NB_SANITIZED") ? 4 : INT_MAX;
    int n = 0, whole = 0;
    for (const cJSON *item = answers->child; item && n < most; item = item->next, n++)
        whole += check_answer(item, error_16bit, max_tokens);
    printf("  %d of %d answers are mlx-lm's token by token, %d met a tie\n", whole, n, n - whole);
    assert_true(n >= 4 && 3 * whole >= 2 * n);
    cJSON_Delete(file);
}

static void test_logits(void **state) {
    (void)state;
    char path[1200];
    weights *golden;
    nb_error err;
    check_ok(weights_open_file(data_path(path, "logits.safetensors"), &golden, &err), &err, path);
    const tensor *tokens = weights_find(golden, "tokens"), *logits = weights_find(golden, "logits");
    assert_true(tokens && logits);
    nb_model_info info;
    nb_model_get_info(model, &info);
    const int64_t n = info.vocab_size;
    assert_int_equal(logits->shape[1], n);
    float *got = malloc((size_t)n * sizeof *got);
    float *want = malloc(logits->bytes);
    int32_t ids[64];
    assert_true(got && want && tokens->bytes <= sizeof ids);
    memcpy(want, logits->data, logits->bytes);
    memcpy(ids, tokens->data, tokens->bytes);
    nb_sequence *s;
    check_ok(nb_sequence_new(context, &s, &err), &err, "sequence");
    nb_batch_item item = {.sequence = s, .tokens = ids, .n_tokens = tokens->shape[0], .logits = got, .n_logits = 1};
    check_ok(nb_forward(context, &item, 1, &err), &err, "forward");
    double mean = 0, square = 0, worst = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)want[i] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        square += ((double)want[i] - mean) * ((double)want[i] - mean) / (double)n;
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
    }
    printf("  logits are off by %.1e of their standard deviation\n", worst / sqrt(square));
    assert_true(worst < 1e-4 * sqrt(square));
    nb_sequence_free(s);
    free(got);
    free(want);
    weights_close(golden);
}

static bool keep_text(void *user, const char *text, size_t length) {
    strncat(user, text, length);
    return true;
}

/* Text streams out whole, and a stop string ends it before it is seen. */
static void test_stop_strings(void **state) {
    (void)state;
    nb_error err;
    char *text;
    int32_t *ids;
    size_t n;
    check_ok(nb_template_render(model, "[{\"role\":\"user\",\"content\":\"What is 2+2? Reply with just the number.\"}]",
                                NULL, NULL, true, &text, &err),
             &err, "template");
    check_ok(nb_tokenize(model, text, strlen(text), false, &ids, &n, &err), &err, "tokenize");
    static const char *const stops[][2] = {{"= 4", "never"}, {" = ", "= 4"}, {"2 + 2 = 4", ""}, {"zzz", "+ 3"}};
    static const char *const want[] = {"2 + 2 ", "2 + 2", "", "2 + 2 = 4"};
    for (int i = 0; i < 4; i++) {
        char out[256] = "";
        nb_generate_options o;
        nb_generate_result r;
        nb_generate_defaults(&o);
        o.max_tokens = 20;
        o.stop = stops[i];
        o.n_stop = 2;
        o.on_text = keep_text;
        o.user = out;
        nb_sequence *s;
        check_ok(nb_sequence_new(context, &s, &err), &err, "sequence");
        check_ok(nb_generate(s, ids, n, &o, &r, &err), &err, "generate");
        nb_sequence_free(s);
        assert_string_equal(out, want[i]);
        assert_int_equal(r.finish, NB_FINISH_STOP);
    }
    nb_free(ids);
    nb_free(text);
}

int main(void) {
    nb_error err;
    const char *dir = getenv("NB_TEST_MODEL");
    nb_context_options o = {.context_length = 2048, .n_sequences = 4};
    if (nb_model_open(dir ? dir : "", &model, &err) || nb_context_new(model, &o, &context, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_answers),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nb_context_free(context);
    nb_model_free(model);
    return failed;
}
