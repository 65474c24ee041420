/* SPDX-License-Identifier: Apache-2.0
 *
 * Chat templates: whole conversations through the templates of tests/data/templates against what transformers renders
 * (chats.json), and every place where a model directory may keep its template. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "text/chat.h"
#include "text/jinja.h"

static char dir[64];

static int make_dir(void **state) {
    (void)state;
    strcpy(dir, "/tmp/nb-chat-XXXXXX");
    return mkdtemp(dir) ? 0 : 1;
}

static int remove_dir(void **state) {
    (void)state;
    return dir_remove(dir, NULL) != NB_OK;
}

static void put_file(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(file_write(path, text, strlen(text), NULL), NB_OK);
}

static chat_template *load(void) {
    chat_template *t;
    nb_error err;
    if (chat_template_load(dir, &t, &err)) fail_msg("%s", err.text);
    return t;
}

/* The template of a file in tests/data/templates, in a model directory of its own. */
static chat_template *load_file(const char *name) {
    char path[512];
    buf text = {0};
    snprintf(path, sizeof path, "%s/templates/%s", getenv("NB_TEST_DATA"), name);
    assert_int_equal(file_read(path, 1 << 20, &text, NULL), NB_OK);
    put_file("chat_template.jinja", text.data);
    put_file(
        "tokenizer_config.json",
        "{\"bos_token\": \"<s>\", \"eos_token\": {\"content\": \"</s>\"}, \"unk_token\": \"<unk>\", \"pad_token\": null}");
    buf_free(&text);
    return load();
}

static int check_chat(const chat_template *t, const cJSON *chat, const cJSON *conversation) {
    const cJSON *want = cJSON_GetObjectItem(chat, "expected"), *error = cJSON_GetObjectItem(chat, "error");
    char *text;
    nb_error err = {0};
    nb_status status =
        chat_template_render(t, cJSON_GetObjectItem(conversation, "messages"),
                             cJSON_GetObjectItem(conversation, "tools"), json_get(conversation, "extra"),
                             cJSON_IsTrue(json_get(conversation, "add_generation_prompt")) != 0, &text, NULL, &err);
    bool good = want ? status == NB_OK && strcmp(text, want->valuestring) == 0
                     : status != NB_OK && strstr(err.text, error->valuestring) &&
                           (status == NB_ERR_TEMPLATE) == cJSON_IsTrue(json_get(chat, "raised"));
    if (!good)
        print_error("%s / %s:\n  want %s\n  got  %s\n", json_get(chat, "file")->valuestring,
                    json_get(chat, "conversation")->valuestring, want ? want->valuestring : error->valuestring,
                    status ? err.text : text);
    free(text);
    return !good;
}

static void as_transformers_renders(void **state) {
    (void)state;
    char *path = path_join(getenv("NB_TEST_DATA"), "templates/chats.json");
    buf file = {0};
    cJSON *all;
    assert_int_equal(file_read(path, 1 << 24, &file, NULL), NB_OK);
    assert_int_equal(jinja_json_parse(file.data, file.len, path, &all, NULL), NB_OK);
    const cJSON *conversations = json_get(all, "conversations"), *chat;
    chat_template *t = NULL;
    const char *loaded = "";
    int bad = 0, n = 0;
    cJSON_ArrayForEach(chat, json_get(all, "chats")) {
        const char *name = json_get(chat, "file")->valuestring;
        if (strcmp(name, loaded) != 0) {
            chat_template_free(t);
            t = load_file(name);
            loaded = name;
        }
        bad += check_chat(t, chat, json_get(conversations, json_get(chat, "conversation")->valuestring));
        n++;
    }
    assert_true(n >= 100);
    assert_int_equal(bad, 0);
    chat_template_free(t);
    cJSON_Delete(all);
    buf_free(&file);
    free(path);
}

/* Renders one user message "hi" and compares. */
static void renders(const chat_template *t, const char *tools, const char *want) {
    cJSON *messages = cJSON_Parse("[{\"role\": \"user\", \"content\": \"hi\"}]"),
          *list = tools ? cJSON_Parse(tools) : NULL;
    char *text;
    nb_error err;
    if (chat_template_render(t, messages, list, NULL, true, &text, NULL, &err)) fail_msg("%s", err.text);
    assert_string_equal(text, want);
    free(text);
    cJSON_Delete(messages);
    cJSON_Delete(list);
}

static void no_template(void **state) {
    (void)state;
    assert_null(load());
    put_file("tokenizer_config.json", "{\"bos_token\": \"<s>\"}");
    assert_null(load());
}

static void places_of_templates(void **state) {
    (void)state;
    put_file("tokenizer_config.json", "{\"chat_template\": \"config {{ bos_token }}{{ messages[0].content }}\"}");
    put_file("special_tokens_map.json", "{\"bos_token\": {\"content\": \"<b>\"}}");
    chat_template *t = load();
    renders(t, NULL, "config <b>hi");
    assert_string_equal(chat_template_source(t), "config {{ bos_token }}{{ messages[0].content }}");
    chat_template_free(t);
    put_file("chat_template.json", "{\"chat_template\": \"json {{ tools }} {{ documents }}\"}");
    t = load();
    renders(t, NULL, "json None None");
    renders(t, "[]", "json [] None");
    chat_template_free(t);
    put_file("chat_template.jinja", "jinja {{ add_generation_prompt }}\n");
    t = load();
    renders(t, NULL, "jinja True");
    chat_template_free(t);
}

static void named_templates(void **state) {
    (void)state;
    put_file("tokenizer_config.json",
             "{\"chat_template\": [{\"name\": \"rag\", \"template\": \"{% bad\"}, {\"name\": \"default\", "
             "\"template\": \"D\"}, {\"name\": \"tool_use\", \"template\": \"T{{ tools|length }}\"}]}");
    chat_template *t = load();
    renders(t, NULL, "D");
    renders(t, "[]", "T0");
    renders(t, "[{}]", "T1");
    assert_string_equal(chat_template_source(t), "D");
    assert_string_equal(chat_template_tool_source(t), "T{{ tools|length }}");
    assert_null(chat_template_tool_parser(t));
    chat_template_free(t);
    put_file("tokenizer_config.json", "{\"chat_template\": \"D\", \"tool_parser_type\": \"json_tools\"}");
    t = load();
    assert_string_equal(chat_template_tool_source(t), "D");
    assert_string_equal(chat_template_tool_parser(t), "json_tools");
    chat_template_free(t);
}

static void bad_files(void **state) {
    (void)state;
    static const char *const configs[][2] = {
        {"{\"chat_template\": 5}", "neither a string nor a list"},
        {"{\"chat_template\": [{\"name\": \"x\"}]}", "name and template"},
        {"{\"chat_template\": [{\"name\": \"x\", \"template\": \"\"}]}", "none is named \"default\""},
        {"{\"chat_template\": \"a\\n{% if %}\"}", "line 2"},
        {"{\"chat_template\": ", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        chat_template *t;
        nb_error err;
        put_file("tokenizer_config.json", configs[i][0]);
        assert_int_equal(chat_template_load(dir, &t, &err), NB_ERR_FORMAT);
        assert_null(t);
        assert_non_null(strstr(err.text, configs[i][1]));
    }
}

static void bad_arguments(void **state) {
    (void)state;
    put_file("chat_template.jinja", "{{ raise_exception('no ' ~ messages[0].role) }}");
    chat_template *t = load();
    cJSON *object = cJSON_Parse("{}"), *numbers = cJSON_Parse("[1]"), *good = cJSON_Parse("[{\"role\": \"user\"}]");
    nb_error err;
    char *text;
    assert_int_equal(chat_template_render(t, object, NULL, NULL, true, &text, NULL, &err), NB_ERR_ARGUMENT);
    assert_int_equal(chat_template_render(t, numbers, NULL, NULL, true, &text, NULL, &err), NB_ERR_ARGUMENT);
    assert_int_equal(chat_template_render(t, good, object, NULL, true, &text, NULL, &err), NB_ERR_ARGUMENT);
    assert_int_equal(chat_template_render(t, good, NULL, numbers, true, &text, NULL, &err), NB_ERR_ARGUMENT);
    assert_int_equal(chat_template_render(t, good, NULL, NULL, true, &text, NULL, &err), NB_ERR_TEMPLATE);
    assert_string_equal(err.text, "no user");
    assert_null(text);
    cJSON_Delete(object);
    cJSON_Delete(numbers);
    cJSON_Delete(good);
    chat_template_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_transformers_renders, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(no_template, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(places_of_templates, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(named_templates, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(bad_files, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(bad_arguments, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
