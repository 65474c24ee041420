/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that are wrong, unknown or hostile: each is an error that names the file and the fault, and costs neither
 * much time nor much memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "text/tokenizer.h"

#define MODEL "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"

static nb_status load(const char *json, tokenizer **t, nb_error *err) {
    *err = (nb_error){0};
    return tok_from_json(json, strlen(json), "t.json", t, err);
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *json, *text;
        nb_status status;
    } cases[] = {
        {"", "not valid JSON", NB_ERR_FORMAT},
        {"[]", "no object", NB_ERR_FORMAT},
        {"{}", "no model", NB_ERR_FORMAT},
        {"\"\xff\"", "not valid UTF-8", NB_ERR_FORMAT},
        {"{\"version\":\"2.0\",\"model\":" MODEL "}", "2.0", NB_ERR_UNSUPPORTED},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "Unigram", NB_ERR_UNSUPPORTED},
        {"{\"model\":{\"type\":\"BPE\",\"merges\":[]}}", "no vocab", NB_ERR_FORMAT},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}", "no merges", NB_ERR_FORMAT},
        {"{\"model\":{\"vocab\":{\"a\":-1},\"merges\":[]}}", "has id -1", NB_ERR_FORMAT},
        {"{\"model\":{\"vocab\":{\"a\":0.5},\"merges\":[]}}", "has id 0.5", NB_ERR_FORMAT},
        {"{\"model\":{\"vocab\":{\"a\":2147483647},\"merges\":[]}}", "has id", NB_ERR_FORMAT},
        {"{\"model\":{\"vocab\":{\"a\":\"0\"},\"merges\":[]}}", "\"a\"", NB_ERR_FORMAT},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "outside of the vocabulary", NB_ERR_FORMAT},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a  b\"]}}", "not a pair", NB_ERR_FORMAT},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", "not a pair", NB_ERR_FORMAT},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[3]}}", "not a pair", NB_ERR_FORMAT},
        {"{\"model\":" MODEL ",\"normalizer\":{\"type\":\"Precompiled\"}}", "\"Precompiled\"", NB_ERR_UNSUPPORTED},
        {"{\"model\":" MODEL ",\"normalizer\":{\"type\":7}}", "\"type\"", NB_ERR_FORMAT},
        {"{\"model\":" MODEL ",\"normalizer\":{}}", "no \"type\"", NB_ERR_FORMAT},
        {"{\"model\":" MODEL ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{}}}", "\"String\"", NB_ERR_FORMAT},
        {"{\"model\":" MODEL ",\"normalizer\":{\"type\":\"Sequence\"}}", "normalizers", NB_ERR_FORMAT},
        {"{\"model\":" MODEL ",\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}}", "\"UnicodeScripts\"",
         NB_ERR_UNSUPPORTED},
        {"{\"model\":" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},"
         "\"behavior\":\"Isolated\"}}",
         "regex \"(\"", NB_ERR_UNSUPPORTED},
        {"{\"model\":" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a\"},"
         "\"behavior\":\"Isolated\"}}",
         "does not end", NB_ERR_UNSUPPORTED},
        {"{\"model\":" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},"
         "\"behavior\":\"Sideways\"}}",
         "Sideways", NB_ERR_UNSUPPORTED},
        {"{\"model\":" MODEL ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}}", "one character",
         NB_ERR_FORMAT},
        {"{\"model\":" MODEL ",\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":0}}", "length", NB_ERR_FORMAT},
        {"{\"model\":" MODEL ",\"decoder\":{\"type\":\"WordPiece\"}}", "\"WordPiece\"", NB_ERR_UNSUPPORTED},
        {"{\"model\":" MODEL ",\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"x\",99],\"cls\":[\"y\",0]}}",
         "none of the vocabulary's", NB_ERR_FORMAT},
        {"{\"model\":" MODEL ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}}",
         "leaves the text out", NB_ERR_UNSUPPORTED},
        {"{\"model\":" MODEL ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
         "{\"id\":\"x\"}}],\"special_tokens\":{}}}",
         "\"x\"", NB_ERR_FORMAT},
        {"{\"model\":" MODEL ",\"added_tokens\":{}}", "no array", NB_ERR_FORMAT},
        {"{\"model\":" MODEL ",\"added_tokens\":[{\"id\":3}]}", "\"content\"", NB_ERR_FORMAT},
        {"{\"model\":" MODEL ",\"added_tokens\":[7]}", "\"content\"", NB_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tokenizer *t = NULL;
        nb_error err;
        nb_status status = load(cases[i].json, &t, &err);
        if (status != cases[i].status || t || !strstr(err.text, cases[i].text) || !strstr(err.text, "t.json"))
            fail_msg("%s: status %d, \"%s\"", cases[i].json, status, err.text);
    }
}

static void missing_file(void **state) {
    (void)state;
    tokenizer *t = NULL;
    nb_error err = {0};
    assert_int_equal(tok_load("/nonexistent/model", &t, &err), NB_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/model/tokenizer.json"));
    tok_free(NULL);
}

static void nested_sequences(void **state) {
    (void)state;
    buf json = {0};
    tokenizer *t = NULL;
    nb_error err;
    buf_puts(&json, "{\"model\":" MODEL ",\"normalizer\":");
    for (int i = 0; i < 200; i++) buf_puts(&json, "{\"type\":\"Sequence\",\"normalizers\":[");
    for (int i = 0; i < 200; i++) buf_puts(&json, "]}");
    buf_puts(&json, "}");
    assert_int_equal(load(json.data, &t, &err), NB_ERR_FORMAT);
    assert_non_null(strstr(err.text, "too deep"));
    buf_clear(&json);
    buf_puts(&json, "{\"model\":" MODEL ",\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
    for (int i = 0; i < 1000; i++) buf_puts(&json, "{\"type\":\"ByteLevel\"},");
    buf_puts(&json, "{\"type\":\"ByteLevel\"}]}}");
    assert_int_equal(load(json.data, &t, &err), NB_ERR_FORMAT);
    assert_non_null(strstr(err.text, "steps"));
    buf_free(&json);
}

/* A regex that would take exponential time ends in an error. */
static void hostile_regex(void **state) {
    (void)state;
    tokenizer *t = NULL;
    nb_error err;
    assert_int_equal(load("{\"model\":" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":"
                          "\"(?:a|aa|a{1,3})+(?:a|aa)*$(?<=b)\"},\"behavior\":\"Isolated\"}}",
                          &t, &err),
                     NB_OK);
    char text[200];
    memset(text, 'a', sizeof text);
    int32_t *ids = NULL;
    size_t n;
    assert_int_equal(tok_encode(t, text, sizeof text, true, &ids, &n, &err), NB_ERR_LIMIT);
    assert_null(ids);
    assert_non_null(strstr(err.text, "regex"));
    tok_free(t);
}

/* Replacements that double a text again and again stop at a limit. */
static void hostile_replacements(void **state) {
    (void)state;
    buf json = {0};
    tokenizer *t = NULL;
    nb_error err;
    buf_puts(&json, "{\"model\":" MODEL ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    for (int i = 0; i < 60; i++)
        buf_printf(&json, "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaa\"}", i ? "," : "");
    buf_puts(&json, "]}}");
    assert_int_equal(load(json.data, &t, &err), NB_OK);
    int32_t *ids = NULL;
    size_t n;
    assert_int_equal(tok_encode(t, "aaaa", 4, true, &ids, &n, &err), NB_ERR_LIMIT);
    tok_free(t);
    buf_free(&json);
}

static void unknown_characters(void **state) {
    (void)state;
    tokenizer *t = NULL;
    nb_error err;
    int32_t *ids = NULL;
    size_t n;
    assert_int_equal(load("{\"model\":" MODEL "}", &t, &err), NB_OK);
    assert_int_equal(tok_encode(t, "xabyb", 5, true, &ids, &n, &err), NB_OK); /* no unk_token: they vanish */
    assert_int_equal(n, 2);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 1);
    free(ids);
    tok_free(t);
    assert_int_equal(load("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"<unk>\"}}", &t, &err), NB_OK);
    assert_int_equal(tok_encode(t, "ab", 2, true, &ids, &n, &err), NB_ERR_FORMAT);
    assert_non_null(strstr(err.text, "<unk>"));
    tok_free(t);
}

/* A prefix for later characters of a word and a suffix for its last one, as in the first BPE models. */
static void prefix_and_suffix(void **state) {
    (void)state;
    tokenizer *t = NULL;
    nb_error err;
    int32_t *ids = NULL;
    size_t n;
    assert_int_equal(
        load("{\"model\":{\"vocab\":{\"a\":0,\"##b\":1,\"##c@\":2,\"ab\":3,\"abc@\":4},\"merges\":[[\"a\",\"##b\"],"
             "[\"ab\",\"##c@\"]],\"continuing_subword_prefix\":\"##\",\"end_of_word_suffix\":\"@\"}}",
             &t, &err),
        NB_OK);
    assert_int_equal(tok_encode(t, "abc", 3, true, &ids, &n, &err), NB_OK);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 4);
    free(ids);
    tok_free(t);
}

/* A run of combining marks that a text can make as long as it likes does not take quadratic time. */
static void many_marks(void **state) {
    (void)state;
    tokenizer *t = NULL;
    nb_error err;
    assert_int_equal(load("{\"model\":" MODEL ",\"normalizer\":{\"type\":\"NFC\"}}", &t, &err), NB_OK);
    buf text = {0};
    for (int i = 0; i < 200000; i++) buf_puts(&text, i % 2 ? "\xcc\xa3" : "\xcc\x81"); /* U+0323, U+0301 */
    int32_t *ids = NULL;
    size_t n;
    assert_int_equal(tok_encode(t, text.data, text.len, true, &ids, &n, &err), NB_OK);
    free(ids);
    buf_free(&text);
    tok_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(missing_file),
        cmocka_unit_test(nested_sequences),
        cmocka_unit_test(hostile_regex),
        cmocka_unit_test(hostile_replacements),
        cmocka_unit_test(unknown_characters),
        cmocka_unit_test(prefix_and_suffix),
        cmocka_unit_test(many_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
