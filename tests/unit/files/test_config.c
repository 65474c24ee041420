/* SPDX-License-Identifier: Apache-2.0
 *
 * config.json and generation_config.json: nested configs, the order in which end tokens are looked for, and values of
 * the wrong kind or range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "files/config.h"
#include "support/file_builder.h"

static void reads_configs(void **state) {
    (void)state;
    model_config c;
    const char *flat = "{\"model_type\":\"qwen3\",\"hidden_size\":8}";
    assert_int_equal(config_parse(flat, strlen(flat), "config.json", &c, NULL), NB_OK);
    assert_string_equal(c.model_type, "qwen3");
    assert_string_equal(c.text_model_type, "qwen3");
    assert_ptr_equal(c.text, c.tree);
    config_close(&c);
    const char *nested = "{\"model_type\":\"qwen3_5\",\"text_config\":{\"model_type\":\"qwen3_5_text\",\"x\":1}}";
    assert_int_equal(config_parse(nested, strlen(nested), "config.json", &c, NULL), NB_OK);
    assert_string_equal(c.model_type, "qwen3_5");
    assert_string_equal(c.text_model_type, "qwen3_5_text");
    assert_non_null(json_get(c.text, "x"));
    config_close(&c);
    const char *outer = "{\"model_type\":\"gemma3\",\"text_config\":{}}";
    assert_int_equal(config_parse(outer, strlen(outer), "config.json", &c, NULL), NB_OK);
    assert_string_equal(c.text_model_type, "gemma3");
    config_close(&c);
}

static void refuses_configs(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {{"", "not valid JSON"},
               {"[]", "no JSON object"},
               {"{}", "\"model_type\" is missing"},
               {"{\"model_type\":3}", "\"model_type\" is a number, expected a string"},
               {"{\"model_type\":\"a\",\"text_config\":[]}", "\"text_config\" is no object"},
               {"{\"model_type\":\"a\",\"text_config\":{\"model_type\":[]}}", "\"model_type\" is an array"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        model_config c;
        nb_error err = {0};
        assert_int_equal(config_parse(bad[i].text, strlen(bad[i].text), "config.json", &c, &err), NB_ERR_FORMAT);
        if (!strstr(err.text, bad[i].words)) fail_msg("%s: %s", bad[i].text, err.text);
        assert_null(c.tree);
        config_close(&c);
    }
    model_config c;
    assert_int_equal(config_open("/nonexistent", &c, NULL), NB_ERR_NOT_FOUND);
}

/* Reads the three texts (made and tokenizer may be NULL). */
static nb_status read_generation(const char *made, const char *config, const char *tokenizer, generation_config *g,
                                 nb_error *err) {
    model_config c;
    assert_int_equal(config_parse(config, strlen(config), "config.json", &c, NULL), NB_OK);
    cJSON *a = made ? cJSON_Parse(made) : NULL, *b = tokenizer ? cJSON_Parse(tokenizer) : NULL;
    nb_status status = generation_config_read(a, &c, b, "generation_config.json", g, err);
    cJSON_Delete(a);
    cJSON_Delete(b);
    config_close(&c);
    return status;
}

static void finds_end_tokens(void **state) {
    (void)state;
    generation_config g;
    const char *config = "{\"model_type\":\"a\",\"eos_token_id\":5,\"text_config\":{\"eos_token_id\":[6]}}";
    const char *nested = "{\"model_type\":\"a\",\"text_config\":{\"eos_token_id\":[6,7,6]}}";
    const char *none = "{\"model_type\":\"a\",\"eos_token_id\":null}";
    assert_int_equal(read_generation("{\"eos_token_id\":[1,2]}", config, "{\"eos_token\":\"x\"}", &g, NULL), NB_OK);
    assert_int_equal(g.n_eos, 2);
    assert_int_equal(g.eos_ids[1], 2);
    assert_null(g.eos_token);
    generation_config_close(&g);
    assert_int_equal(read_generation("{}", config, NULL, &g, NULL), NB_OK);
    assert_int_equal(g.n_eos, 1);
    assert_int_equal(g.eos_ids[0], 5);
    generation_config_close(&g);
    assert_int_equal(read_generation(NULL, nested, NULL, &g, NULL), NB_OK);
    assert_int_equal(g.n_eos, 2);
    assert_int_equal(g.eos_ids[1], 7);
    generation_config_close(&g);
    assert_int_equal(read_generation(NULL, none, "{\"eos_token\":\"</s>\"}", &g, NULL), NB_OK);
    assert_int_equal(g.n_eos, 0);
    assert_string_equal(g.eos_token, "</s>");
    generation_config_close(&g);
    assert_int_equal(read_generation(NULL, none, "{\"eos_token\":{\"content\":\"<e>\"}}", &g, NULL), NB_OK);
    assert_string_equal(g.eos_token, "<e>");
    generation_config_close(&g);
    assert_int_equal(read_generation(NULL, none, NULL, &g, NULL), NB_OK);
    assert_null(g.eos_token);
    generation_config_close(&g);
}

static void reads_sampling(void **state) {
    (void)state;
    generation_config g;
    const char *config = "{\"model_type\":\"a\"}";
    assert_int_equal(
        read_generation("{\"temperature\":0.6,\"top_p\":0.95,\"top_k\":20,\"do_sample\":true}", config, NULL, &g, NULL),
        NB_OK);
    assert_true(g.temperature == 0.6 && g.top_p == 0.95 && g.top_k == 20 && g.do_sample == 1);
    assert_true(g.min_p < 0 && g.repetition_penalty < 0);
    generation_config_close(&g);
    static const struct {
        const char *text, *words;
    } bad[] = {{"[]", "no JSON object"},
               {"{\"temperature\":\"hot\"}", "\"temperature\" is a string"},
               {"{\"temperature\":-1}", "\"temperature\" is -1"},
               {"{\"top_p\":1.5}", "\"top_p\" is 1.5"},
               {"{\"top_k\":2.5}", "\"top_k\" is 2.5"},
               {"{\"do_sample\":1}", "\"do_sample\" is a number"},
               {"{\"eos_token_id\":\"x\"}", "eos_token_id"},
               {"{\"eos_token_id\":[1,-2]}", "eos_token_id"},
               {"{\"eos_token_id\":[1.5]}", "eos_token_id"},
               {"{\"eos_token_id\":4294967296}", "eos_token_id"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        nb_error err = {0};
        assert_int_equal(read_generation(bad[i].text, config, NULL, &g, &err), NB_ERR_FORMAT);
        if (!strstr(err.text, bad[i].words)) fail_msg("%s: %s", bad[i].text, err.text);
        assert_null(g.eos_token);
    }
}

static void opens_directories(void **state) {
    (void)state;
    char *dir = make_temp_dir(), *path = path_join(dir, "config.json");
    const char *config = "{\"model_type\":\"a\"}";
    assert_int_equal(file_write(path, config, strlen(config), NULL), NB_OK);
    free(path);
    model_config c;
    generation_config g;
    nb_error err = {0};
    assert_int_equal(config_open(dir, &c, &err), NB_OK);
    assert_int_equal(generation_config_open(dir, &c, &g, &err), NB_OK); /* the files may be absent */
    assert_int_equal(g.n_eos, 0);
    generation_config_close(&g);
    path = path_join(dir, "generation_config.json");
    assert_int_equal(file_write(path, "{", 1, NULL), NB_OK);
    assert_int_equal(generation_config_open(dir, &c, &g, &err), NB_ERR_FORMAT);
    assert_non_null(strstr(err.text, "generation_config.json"));
    free(path);
    config_close(&c);
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_configs),  cmocka_unit_test(refuses_configs),   cmocka_unit_test(finds_end_tokens),
        cmocka_unit_test(reads_sampling), cmocka_unit_test(opens_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
