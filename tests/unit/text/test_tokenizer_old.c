/* SPDX-License-Identifier: Apache-2.0
 *
 * The kinds of files before tokenizer.json: which file of a folder is taken, what stands beside it, and files that are
 * wrong or of an unknown kind. That ids are right is tested by test_tokenizer_texts.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer.h"

/* ---- Small files ---------------------------------------------------------------------------------------------- */

static void put_bytes(buf *out, int number, const void *bytes, size_t n) {
    assert_true(n < 128);
    buf_putc(out, (char)(number << 3 | 2));
    buf_putc(out, (char)n);
    buf_put(out, bytes, n);
}

static void put_number(buf *out, int number, int value) {
    if (number > 15) {
        buf_putc(out, (char)((number & 15) << 3 | 0x80));
        buf_putc(out, (char)(number >> 4));
    } else {
        buf_putc(out, (char)(number << 3));
    }
    buf_putc(out, (char)value);
}

static void put_piece(buf *out, const char *text, float score, int type) {
    buf piece = {0};
    put_bytes(&piece, 1, text, strlen(text));
    buf_putc(&piece, 2 << 3 | 5);
    buf_put(&piece, &score, sizeof score);
    put_number(&piece, 3, type);
    put_bytes(out, 1, piece.data, piece.len);
    buf_free(&piece);
}

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, UNUSED = 5, BYTE = 6 };

/* <unk> <s> </s> a b ab U+2581 and the mark before ab; model_type: 1 unigram, 2 BPE. */
static void put_model(buf *out, int model_type) {
    put_piece(out, "<unk>", 0, UNKNOWN);
    put_piece(out, "<s>", 0, CONTROL);
    put_piece(out, "</s>", 0, CONTROL);
    put_piece(out, "a", -3, NORMAL);
    put_piece(out, "b", -3, NORMAL);
    put_piece(out, "ab", -1, NORMAL);
    put_piece(out, "\xe2\x96\x81", -3, NORMAL);
    put_piece(out,
              "\xe2\x96\x81"
              "ab",
              -2, NORMAL);
    buf trainer = {0};
    put_number(&trainer, 3, model_type);
    put_bytes(out, 2, trainer.data, trainer.len);
    buf_free(&trainer);
}

static void put_ranks(buf *out, int n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int b = 0; b < n; b++) buf_printf(out, "%c%c== %d\n", digits[b >> 2], digits[(b & 3) << 4], b);
}

static cJSON *parse(const char *json) {
    cJSON *tree = NULL;
    assert_int_equal(json_parse(json, strlen(json), "config", &tree, NULL), NB_OK);
    return tree;
}

static void check_ids(const tokenizer *t, const char *text, int n, ...) {
    int32_t *ids = NULL;
    size_t count;
    nb_error err = {0};
    va_list list;
    if (tok_encode(t, text, strlen(text), true, &ids, &count, &err)) fail_msg("%s", err.text);
    assert_int_equal(count, n);
    va_start(list, n);
    for (int i = 0; i < n; i++) assert_int_equal(ids[i], va_arg(list, int));
    va_end(list);
    free(ids);
}

/* ---- What stands beside --------------------------------------------------------------------------------------- */

static tokenizer *load_model(const char *config_json, const char *added_json) {
    buf file = {0};
    nb_error err = {0};
    tokenizer *t = NULL;
    cJSON *config = parse(config_json), *added = added_json ? parse(added_json) : NULL;
    tok_side side = {.config = config, .added = added};
    put_model(&file, 2);
    if (tok_from_sentencepiece(file.data, file.len, &side, "m", &t, &err)) fail_msg("%s", err.text);
    cJSON_Delete(config);
    cJSON_Delete(added);
    buf_free(&file);
    return t;
}

static void sentencepiece_beside(void **state) {
    (void)state;
    tokenizer *t = load_model("{}", NULL);
    check_ids(t, " ab  ab</s>ab", 5, 1, 7, 7, 2, 7);
    check_ids(t, "", 1, 1);
    check_ids(t, "xyab", 4, 1, 6, 0, 5);
    assert_true(tok_is_special(t, 2));
    tok_free(t);

    t = load_model("{\"legacy\": false, \"add_bos_token\": false, \"add_eos_token\": true}", NULL);
    check_ids(t, "ab</s>ab", 4, 7, 2, 5, 2);
    tok_free(t);

    t = load_model("{\"added_tokens_decoder\": {\"9\": {\"content\": \"<x>\", \"special\": true, \"rstrip\": true}}}",
                   NULL);
    assert_int_equal(tok_count(t), 10);
    assert_int_equal(tok_id(t, "<x>"), 9);
    assert_null(tok_text(t, 8));
    check_ids(t, "<x>  ab", 3, 1, 9, 7);
    tok_free(t);

    t = load_model("{}", "{\"<y>\": 8}");
    check_ids(t, "ab<y>", 3, 1, 7, 8);
    tok_free(t);
}

static void ranks_beside(void **state) {
    (void)state;
    buf file = {0};
    nb_error err = {0};
    tokenizer *t = NULL;
    cJSON *config = parse("{\"tokenizer_class\": \"TikTokenTokenizer\", \"added_tokens_decoder\": "
                          "{\"258\": {\"content\": \"<|im_end|>\", \"special\": true}}}");
    tok_side side = {.config = config};
    put_ranks(&file, 256);
    if (tok_from_ranks(file.data, file.len, &side, "t", &t, &err)) fail_msg("%s", err.text);
    check_ids(t, "A<|im_end|>\xc3\xa9<|reserved_token_300|>", 5, 65, 258, 0xc3, 0xa9, 300);
    assert_int_equal(tok_count(t), 512);
    assert_int_equal(tok_id(t, "[BOS]"), 256);
    tok_free(t);
    cJSON_Delete(config);
    buf_free(&file);
}

static void tekken(void **state) {
    (void)state;
    buf file = {0};
    nb_error err = {0};
    tokenizer *t = NULL;
    buf_puts(&file, "{\"config\": {\"pattern\": \"\\\\p{L}+|.\", \"default_vocab_size\": 266, "
                    "\"default_num_special_tokens\": 10}, \"vocab\": [");
    buf lines = {0};
    put_ranks(&lines, 256);
    char *at = lines.data;
    for (int i = 0; i < 256; i++, at = strchr(at, '\n') + 1)
        buf_printf(&file, "%s{\"rank\": %d, \"token_bytes\": \"%.4s\"}", i ? "," : "", i, at);
    buf_puts(&file, "]}");
    if (tok_from_tekken(file.data, file.len, "tekken.json", &t, &err)) fail_msg("%s", err.text);
    check_ids(t, "A[INST]", 3, 1, 75, 3);
    tok_free(t);
    assert_int_equal(tok_from_tekken("{\"config\": {}}", 14, "tekken.json", &t, &err), NB_ERR_FORMAT);
    buf_free(&lines);
    buf_free(&file);
}

/* ---- Which file ----------------------------------------------------------------------------------------------- */

static void put_file(const char *dir, const char *name, const buf *content) {
    char *path = path_join(dir, name);
    assert_non_null(path);
    assert_int_equal(file_write(path, content->data, content->len, NULL), NB_OK);
    free(path);
}

static int32_t count_of(const char *dir) {
    tokenizer *t = NULL;
    nb_error err = {0};
    if (tok_load(dir, &t, &err)) fail_msg("%s", err.text);
    int32_t n = tok_count(t);
    tok_free(t);
    return n;
}

static void order_of_files(void **state) {
    (void)state;
    char dir[] = "/tmp/nibble-tok-XXXXXX";
    tokenizer *t = NULL;
    nb_error err = {0};
    buf model = {0}, ranks = {0}, json = {0}, config = {0};
    assert_non_null(mkdtemp(dir));
    put_model(&model, 2);
    put_ranks(&ranks, 256);
    buf_puts(&json, "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}");
    buf_puts(&config, "{\"tokenizer_class\": \"QWenTokenizer\"}");
    assert_int_equal(tok_load(dir, &t, &err), NB_ERR_NOT_FOUND);
    put_file(dir, "tokenizer_config.json", &config);
    put_file(dir, "a.tiktoken", &ranks);
    assert_int_equal(count_of(dir), 256 + 208);
    put_file(dir, "b.tiktoken", &ranks);
    assert_int_equal(tok_load(dir, &t, &err), NB_ERR_FORMAT);
    assert_non_null(strstr(err.text, "several"));
    put_file(dir, "tokenizer.model", &model);
    assert_int_equal(count_of(dir), 8);
    put_file(dir, "tokenizer.model", &ranks);
    assert_int_equal(count_of(dir), 256 + 208);
    put_file(dir, "tokenizer.json", &json);
    assert_int_equal(count_of(dir), 1);
    assert_int_equal(dir_remove(dir, NULL), NB_OK);
    buf_free(&model);
    buf_free(&ranks);
    buf_free(&json);
    buf_free(&config);
}

/* ---- Bad files ------------------------------------------------------------------------------------------------ */

static void refuse_model(const buf *file, nb_status want, const char *text) {
    tokenizer *t = NULL;
    nb_error err = {0};
    nb_status status = tok_from_sentencepiece(file->data, file->len, NULL, "m.model", &t, &err);
    if (status != want || t || !strstr(err.text, text) || !strstr(err.text, "m.model"))
        fail_msg("status %d, \"%s\", expected \"%s\"", status, err.text, text);
}

static void bad_models(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int type, model_type;
        nb_status status;
        const char *says;
    } cases[] = {
        {"c", NORMAL, 1, NB_ERR_UNSUPPORTED, "unigram"},  {"c", NORMAL, 4, NB_ERR_UNSUPPORTED, "char"},
        {"ab", NORMAL, 2, NB_ERR_FORMAT, "are the same"}, {"<u>", UNKNOWN, 2, NB_ERR_FORMAT, "two unknown"},
        {"ba", UNUSED, 2, NB_ERR_UNSUPPORTED, "unused"},  {"<0x41>", BYTE, 2, NB_ERR_FORMAT, "1 byte pieces"},
        {"<0x4g>", BYTE, 2, NB_ERR_FORMAT, "<0xHH>"},     {"c", 7, 2, NB_ERR_FORMAT, "damaged"},
        {"\xff", NORMAL, 2, NB_ERR_FORMAT, "damaged"},    {"", NORMAL, 2, NB_ERR_FORMAT, "damaged"},
    };
    buf file = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_clear(&file);
        put_model(&file, cases[i].model_type);
        put_piece(&file, cases[i].text, -4, cases[i].type);
        refuse_model(&file, cases[i].status, cases[i].says);
    }
    buf_clear(&file);
    put_model(&file, 2);
    for (size_t n = file.len; n > 0; n--) { /* every beginning of a file is one, or is refused */
        tokenizer *t = NULL;
        tok_from_sentencepiece(file.data, n - 1, NULL, "m", &t, NULL);
        tok_free(t);
    }
    static const char charsmap[] = "\x04\0\0\0\0\0\0\0x"; /* its texts do not end */
    buf normalizer = {0};
    put_bytes(&normalizer, 2, charsmap, 9);
    put_bytes(&file, 3, normalizer.data, normalizer.len);
    refuse_model(&file, NB_ERR_FORMAT, "charsmap");
    buf_free(&normalizer);
    buf_free(&file);
}

static void bad_ranks(void **state) {
    (void)state;
    static const struct {
        const char *before, *after;
        int n;
        nb_status status;
        const char *says;
    } cases[] = {
        {"", "", 256, NB_OK, ""},
        {"", "\r\n\n", 256, NB_OK, ""},
        {"", "", 255, NB_ERR_FORMAT, "byte 255"},
        {"", "YWI= 255\n", 256, NB_ERR_FORMAT, "given twice"},
        {"", "QQ== 256\n", 256, NB_ERR_FORMAT, "has rank 65"},
        {"", "Y*I= 256\n", 256, NB_ERR_FORMAT, "no base64"},
        {"", "YWI 256\n", 256, NB_ERR_FORMAT, "no base64"},
        {"", "YWI=\n", 256, NB_ERR_FORMAT, "line 257"},
        {"", "YWI= x\n", 256, NB_ERR_FORMAT, "line 257"},
        {"", "YWI= 99999999999\n", 256, NB_ERR_FORMAT, "line 257"},
        {"", "YWI= 9999999\n", 256, NB_ERR_FORMAT, "ids up to"},
        {"x\n", "", 256, NB_ERR_FORMAT, "line 1"},
        {"", "", 0, NB_ERR_FORMAT, "line 1"},
    };
    cJSON *config = parse("{\"tokenizer_class\": \"QWenTokenizer\"}");
    tok_side side = {.config = config};
    tokenizer *t;
    nb_error err;
    buf file = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_clear(&file);
        buf_puts(&file, cases[i].before);
        put_ranks(&file, cases[i].n);
        buf_puts(&file, cases[i].after);
        err = (nb_error){0};
        nb_status status = tok_from_ranks(file.data ? file.data : "", file.len, &side, "q.tiktoken", &t, &err);
        if (status != cases[i].status || (status && !strstr(err.text, cases[i].says)))
            fail_msg("case %zu: status %d, \"%s\"", i, status, err.text);
        tok_free(t);
    }
    buf_clear(&file);
    put_ranks(&file, 256);
    assert_int_equal(tok_from_ranks(file.data, file.len, NULL, "q.tiktoken", &t, &err), NB_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "256 ranks"));
    cJSON_Delete(config);
    buf_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentencepiece_beside), cmocka_unit_test(ranks_beside), cmocka_unit_test(tekken),
        cmocka_unit_test(order_of_files),       cmocka_unit_test(bad_models),   cmocka_unit_test(bad_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
