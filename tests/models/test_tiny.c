/* SPDX-License-Identifier: Apache-2.0
 *
 * The trained models of models/tiny from a question to its answer: template, tokenizer, logits and greedy answers as
 * transformers and mlx-lm have them (tests/data/tiny/README.md), and untrained checkpoints under Hugging Face's names
 * and layouts (tests/data/hf). */
#include <dirent.h>
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

enum { MAX_IDS = 512 };
static const double TOLERANCE = 1e-4;
static const char *const cpus[] = {"scalar", NULL}; /* NULL: the best of this machine */

static void check_ok(nb_status status, const nb_error *err, const char *what) {
    if (status) fail_msg("%s: %s", what, err->text);
}

static int read_ids(const cJSON *array, int32_t *out) {
    int n = 0;
    for (const cJSON *item = array->child; item; item = item->next) {
        assert_true(n < MAX_IDS);
        out[n++] = (int32_t)item->valuedouble;
    }
    return n;
}

/* Calls `check` for each directory entry under `root` that ends in `suffix`, with its name without the suffix. */
static int for_each(const char *root, const char *suffix, void (*check)(const char *name)) {
    struct dirent **entries;
    const int n = scandir(root, &entries, NULL, alphasort);
    int found = 0;
    if (n < 0) fail_msg("%s cannot be read", root);
    for (int i = 0; i < n; i++) {
        char *name = entries[i]->d_name;
        const size_t length = strlen(name), end = strlen(suffix);
        if (name[0] != '.' && length > end && strcmp(name + length - end, suffix) == 0) {
            name[length - end] = '\0';
            check(name);
            found++;
        }
        free(entries[i]);
    }
    free(entries);
    return found;
}

/* ---- Logits -------------------------------------------------------------------------------------------------------
 */

/* Reads `n` tokens and compares the logits of the last `rows` of them with a golden tensor. */
static void check_logits(nb_context *context, const int32_t *ids, int64_t n, const tensor *golden, int64_t rows,
                         const char *what) {
    nb_error err;
    nb_sequence *s;
    const int64_t count = (int64_t)(golden->bytes / sizeof(float));
    float *got = malloc(golden->bytes), *want = malloc(golden->bytes);
    assert_true(got && want);
    memcpy(want, golden->data, golden->bytes);
    check_ok(nb_sequence_new(context, &s, &err), &err, what);
    nb_batch_item item = {.sequence = s, .tokens = ids, .n_tokens = n, .logits = got, .n_logits = rows};
    check_ok(nb_forward(context, &item, 1, &err), &err, what);
    double mean = 0, square = 0, worst = 0;
    for (int64_t i = 0; i < count; i++) mean += (double)want[i] / (double)count;
    for (int64_t i = 0; i < count; i++) {
        square += ((double)want[i] - mean) * ((double)want[i] - mean) / (double)count;
        worst = fmax(worst, isfinite(got[i]) ? fabs((double)got[i] - (double)want[i]) : INFINITY);
    }
    if (!(worst < TOLERANCE * sqrt(square)))
        fail_msg("%s: logits are off by %.1e of their spread", what, worst / sqrt(square));
    nb_sequence_free(s);
    free(got);
    free(want);
}

/* The tensors "tokens" and "logits" of a golden file: all positions. */
static void check_all_positions(nb_context *context, const weights *golden, const char *what) {
    int32_t ids[MAX_IDS];
    const tensor *tokens = weights_find(golden, "tokens"), *logits = weights_find(golden, "logits");
    assert_true(tokens && logits && tokens->bytes <= sizeof ids);
    memcpy(ids, tokens->data, tokens->bytes);
    check_logits(context, ids, tokens->shape[0], logits, tokens->shape[0], what);
}

/* ---- Answers ------------------------------------------------------------------------------------------------------
 */

typedef struct answer {
    int32_t ids[MAX_IDS];
    int n;
    char text[2048];
} answer;

static bool take_token(void *user, int32_t token) {
    answer *a = user;
    a->ids[a->n++] = token;
    return true;
}

static bool take_text(void *user, const char *text, size_t length) {
    strncat(((answer *)user)->text, text, length);
    return true;
}

/* Template and tokenizer must give the golden's ids. */
static int check_prompt(const nb_model *model, const cJSON *item, int32_t *ids, const char *what) {
    nb_error err;
    char *messages = cJSON_PrintUnformatted(cJSON_GetObjectItem(item, "messages")), *text;
    char *variables = cJSON_PrintUnformatted(cJSON_GetObjectItem(item, "variables"));
    int32_t *got;
    size_t n;
    const int want = read_ids(cJSON_GetObjectItem(item, "prompt_ids"), ids);
    check_ok(nb_template_render(model, messages, NULL, variables, true, &text, &err), &err, what);
    check_ok(nb_tokenize(model, text, strlen(text), false, &got, &n, &err), &err, what);
    if ((int)n != want || memcmp(got, ids, n * sizeof *got) != 0)
        fail_msg("%s: \"%s\" has %zu ids, or other ids than the %d expected", what, text, n, want);
    nb_free(got);
    nb_free(text);
    free(messages);
    free(variables);
    return want;
}

static void check_answer(const nb_model *model, nb_context *context, const cJSON *item, const tensor *logits,
                         const char *what) {
    static int32_t prompt[MAX_IDS], want[MAX_IDS];
    static answer got;
    nb_error err;
    const int n_prompt = check_prompt(model, item, prompt, what);
    const int n_want = read_ids(cJSON_GetObjectItem(item, "ids"), want);
    check_logits(context, prompt, n_prompt, logits, 1, what);
    nb_sequence *s;
    nb_generate_options o;
    nb_generate_result r;
    nb_generate_defaults(&o);
    o.max_tokens = 60;
    o.on_token = take_token;
    o.on_text = take_text;
    o.user = &got;
    got.n = 0;
    got.text[0] = '\0';
    check_ok(nb_sequence_new(context, &s, &err), &err, what);
    check_ok(nb_generate(s, prompt, (size_t)n_prompt, &o, &r, &err), &err, what);
    nb_sequence_free(s);
    if (got.n != n_want || memcmp(got.ids, want, (size_t)n_want * sizeof *want) != 0)
        fail_msg("%s: answers \"%s\" (%d tokens), not \"%s\" (%d tokens)", what, got.text, got.n,
                 cJSON_GetObjectItem(item, "text")->valuestring, n_want);
    assert_string_equal(got.text, cJSON_GetObjectItem(item, "text")->valuestring);
}

static void check_tiny(const char *name) {
    char path[1400], dir[1400];
    nb_error err;
    cJSON *file;
    weights *golden;
    nb_model *model;
    snprintf(dir, sizeof dir, "%s/../../models/tiny/%s", getenv("NB_TEST_DATA"), name);
    snprintf(path, sizeof path, "%s/tiny/%s.json", getenv("NB_TEST_DATA"), name);
    check_ok(json_read(path, &file, &err), &err, path);
    snprintf(path, sizeof path, "%s/tiny/%s.safetensors", getenv("NB_TEST_DATA"), name);
    check_ok(weights_open_file(path, &golden, &err), &err, path);
    check_ok(nb_model_open(dir, &model, &err), &err, dir);
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        nb_context *context;
        nb_context_options o = {.n_threads = 2, .context_length = 512, .n_sequences = 2, .cpu = cpus[i]};
        check_ok(nb_context_new(model, &o, &context, &err), &err, dir);
        check_all_positions(context, golden, name);
        int n = 0;
        for (const cJSON *item = cJSON_GetObjectItem(file, "answers")->child; item; item = item->next, n++) {
            if (cpus[i] && n == 2) break; /* the slow way: two answers are enough */
            char what[64], tensor_name[32];
            snprintf(what, sizeof what, "%s, prompt %d", name, n);
            snprintf(tensor_name, sizeof tensor_name, "logits.%d", n);
            const tensor *logits = weights_find(golden, tensor_name);
            assert_non_null(logits);
            check_answer(model, context, item, logits, what);
        }
        assert_true(n >= (cpus[i] ? 2 : 8));
        printf("  %-12s %-8s %d answers\n", name, cpus[i] ? cpus[i] : "best", n);
        nb_context_free(context);
    }
    nb_model_free(model);
    weights_close(golden);
    cJSON_Delete(file);
}

static void test_answers(void **state) {
    (void)state;
    char root[1200];
    snprintf(root, sizeof root, "%s/tiny", getenv("NB_TEST_DATA"));
    assert_int_equal(for_each(root, ".json", check_tiny), 5);
}

/* ---- Names and layouts of Hugging Face ----------------------------------------------------------------------------
 */

static void check_original(const char *name) {
    char dir[1400], path[1500];
    nb_error err;
    weights *golden;
    nb_model *model;
    snprintf(dir, sizeof dir, "%s/hf/%s", getenv("NB_TEST_DATA"), name);
    snprintf(path, sizeof path, "%s/golden.safetensors", dir);
    check_ok(weights_open_file(path, &golden, &err), &err, path);
    check_ok(nb_model_open(dir, &model, &err), &err, dir);
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        nb_context *context;
        nb_context_options o = {.n_threads = 2, .context_length = 128, .n_sequences = 1, .cpu = cpus[i]};
        check_ok(nb_context_new(model, &o, &context, &err), &err, dir);
        check_all_positions(context, golden, dir);
        nb_context_free(context);
    }
    nb_model_free(model);
    weights_close(golden);
}

static void test_original_layouts(void **state) {
    (void)state;
    char root[1200];
    snprintf(root, sizeof root, "%s/hf", getenv("NB_TEST_DATA"));
    assert_int_equal(for_each(root, "", check_original), 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_original_layouts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
