/* SPDX-License-Identifier: Apache-2.0
 *
 * The GGUF reader: values and tensors as they were put in, and every way in which a file can lie refused. */
#define _GNU_SOURCE /* memmem */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "files/gguf.h"
#include "support/file_builder.h"

/* A small file with one value of each kind that the getters know, and two tensors. */
static void build_small(buf *file) {
    gguf_builder b = {0};
    const char *const words[] = {"one", "", "three"};
    const int32_t numbers[] = {-1, 7};
    const int64_t matrix[2] = {2, 32}, vector[1] = {3};
    uint8_t data[64] = {0};
    for (int i = 0; i < 64; i++) data[i] = (uint8_t)i;
    gb_u32(&b, "count", 12);
    gb_f32(&b, "ratio", 0.5f);
    gb_bool(&b, "yes", true);
    gb_str(&b, "text", "hello");
    gb_str_array(&b, "words", words, 3);
    gb_i32_array(&b, "numbers", numbers, 2);
    gb_tensor(&b, "q", GGML_Q4_0, 2, matrix, data, 36);
    gb_tensor(&b, "v", GGML_F32, 1, vector, data, 12);
    gb_finish(&b, file);
}

static void reads_metadata(void **state) {
    (void)state;
    buf file = {0};
    build_small(&file);
    gguf *g;
    nb_error err = {0};
    assert_int_equal(gguf_open_memory(file.data, file.len, "dir/x.gguf", &g, &err), NB_OK);
    int64_t i = 5;
    double d = 0;
    bool yes = false, found = true;
    const char *text = NULL;
    assert_int_equal(gguf_int(g, "count", 0, 100, &i, &found, &err), NB_OK);
    assert_int_equal(i, 12);
    assert_int_equal(gguf_int(g, "absent", 0, 100, &i, &found, &err), NB_OK);
    assert_false(found);
    assert_int_equal(i, 12);
    assert_int_equal(gguf_num(g, "ratio", 0, 1, &d, NULL, &err), NB_OK);
    assert_true(d == 0.5);
    assert_int_equal(gguf_bool(g, "yes", &yes, NULL, &err), NB_OK);
    assert_true(yes);
    assert_int_equal(gguf_str(g, "text", &text, NULL, &err), NB_OK);
    assert_string_equal(text, "hello");
    assert_int_equal(gguf_int(g, "count", 0, 11, &i, NULL, &err), NB_ERR_FORMAT);
    assert_string_equal(err.text, "x.gguf: count is 12, expected 0 to 11");
    assert_int_equal(gguf_int(g, "text", 0, 11, &i, NULL, &err), NB_ERR_FORMAT);
    assert_string_equal(err.text, "x.gguf: text is of type string, expected a whole number");
    gguf_array a;
    assert_int_equal(gguf_arr(g, "numbers", GGUF_STRING, &a, NULL, &err), NB_ERR_FORMAT);
    assert_int_equal(gguf_arr(g, "numbers", GGUF_I32, &a, NULL, &err), NB_OK);
    assert_int_equal(a.n, 2);
    assert_int_equal(gguf_i32_at(&a, 0), -1);
    assert_int_equal(gguf_arr(g, "words", GGUF_STRING, &a, NULL, &err), NB_OK);
    const uint8_t *at = a.data;
    const char *word;
    size_t n;
    for (int k = 0; k < 3; k++) gguf_next_string(&at, &word, &n);
    assert_int_equal(n, 5);
    assert_memory_equal(word, "three", 5);
    gguf_close(g);
    buf_free(&file);
}

static void reads_tensors(void **state) {
    (void)state;
    buf file = {0};
    build_small(&file);
    gguf *g;
    assert_int_equal(gguf_open_memory(file.data, file.len, "x.gguf", &g, NULL), NB_OK);
    assert_int_equal(gguf_tensor_count(g), 2);
    const gguf_tensor *q = gguf_tensor_find(g, "q");
    assert_ptr_equal(q, gguf_tensor_at(g, 0));
    assert_int_equal(q->shape[0], 2);
    assert_int_equal(q->shape[1], 32);
    assert_int_equal(q->bytes, 36);
    assert_int_equal(((const uint8_t *)q->data)[35], 35);
    assert_null(gguf_tensor_find(g, "w"));
    char text[24];
    assert_string_equal(ggml_type_name(12, text), "Q4_K");
    assert_string_equal(ggml_type_name(999, text), "type 999");
    gguf_close(g);
    buf_free(&file);
}

/* Every shorter file must be refused (the last tensor ends with the file). */
static void refuses_truncation(void **state) {
    (void)state;
    buf file = {0};
    build_small(&file);
    for (size_t n = 0; n <= file.len; n++) {
        uint8_t *copy = malloc(n + 1);
        memcpy(copy, file.data, n);
        gguf *g = NULL;
        nb_error err = {0};
        nb_status status = gguf_open_memory(copy, n, "x.gguf", &g, &err);
        if (status != (n == file.len ? NB_OK : NB_ERR_FORMAT)) fail_msg("%zu bytes: %s", n, err.text);
        gguf_close(g);
        free(copy);
    }
    buf_free(&file);
}

/* Each byte of the file in turn set to some other values: no crash; whatever opens can be walked over. */
static void survives_any_byte(void **state) {
    (void)state;
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    buf file = {0};
    build_small(&file);
    for (size_t i = 0; i < file.len; i++)
        for (size_t k = 0; k < sizeof values; k++) {
            uint8_t *copy = malloc(file.len);
            memcpy(copy, file.data, file.len);
            copy[i] = values[k];
            gguf *g = NULL;
            if (gguf_open_memory(copy, file.len, "x.gguf", &g, NULL) == NB_OK)
                for (size_t t = 0; t < gguf_tensor_count(g); t++) {
                    const gguf_tensor *x = gguf_tensor_at(g, t);
                    volatile uint8_t sum = 0;
                    for (size_t j = 0; j < x->bytes; j++) sum = (uint8_t)(sum + ((const uint8_t *)x->data)[j]);
                }
            gguf_close(g);
            free(copy);
        }
    buf_free(&file);
}

/* Overwrites `bytes` bytes at `at` with a little-endian number; the file must be refused with these words. */
static void refused_with(size_t at, uint64_t value, int bytes, nb_status status, const char *words) {
    buf file = {0};
    build_small(&file);
    for (int i = 0; i < bytes; i++) file.data[at + (size_t)i] = (char)(value >> 8 * i & 0xff);
    gguf *g = NULL;
    nb_error err = {0};
    nb_status got = gguf_open_memory(file.data, file.len, "x.gguf", &g, &err);
    if (got != status || !strstr(err.text, words)) fail_msg("at %zu: status %d, text \"%s\"", at, got, err.text);
    assert_null(g);
    buf_free(&file);
}

static size_t place_of(const char *text, size_t skip) {
    buf file = {0};
    build_small(&file);
    const char *p = memmem(file.data, file.len, text, strlen(text));
    assert_non_null(p);
    size_t at = (size_t)(p - file.data) + strlen(text) + skip;
    buf_free(&file);
    return at;
}

static void refuses_lies(void **state) {
    (void)state;
    refused_with(0, 0, 1, NB_ERR_FORMAT, "no GGUF file");
    refused_with(4, 1, 4, NB_ERR_UNSUPPORTED, "version 1");
    refused_with(4, 0x03000000, 4, NB_ERR_UNSUPPORTED, "big-endian");
    refused_with(8, UINT64_MAX, 8, NB_ERR_FORMAT, "tensors cannot fit");
    refused_with(16, UINT64_MAX / 2, 8, NB_ERR_FORMAT, "metadata entries cannot fit");
    refused_with(24, UINT64_MAX, 8, NB_ERR_FORMAT, "truncated");
    refused_with(24, 0, 8, NB_ERR_FORMAT, "no text");
    refused_with(place_of("count", 0), 77, 4, NB_ERR_FORMAT, "count has value type 77");
    refused_with(place_of("text", 4), UINT64_MAX - 3, 8, NB_ERR_FORMAT, "truncated");
    refused_with(place_of("words", 4), 200, 4, NB_ERR_FORMAT, "words is malformed");
    refused_with(place_of("words", 8), UINT64_MAX, 8, NB_ERR_FORMAT, "words is malformed");
    refused_with(place_of("numbers", 8), UINT64_MAX / 3, 8, NB_ERR_FORMAT, "numbers is malformed");
    /* The tensor named q: its entry is name, n_dims, 32, 2, type, offset. */
    const char *const q = "\x01\0\0\0\0\0\0\0q\x02";
    buf file = {0};
    build_small(&file);
    const char *p = memmem(file.data, file.len, q, 10);
    assert_non_null(p);
    size_t n_dims = (size_t)(p - file.data) + 9;
    buf_free(&file);
    refused_with(n_dims, 0, 4, NB_ERR_FORMAT, "0 dimensions");
    refused_with(n_dims, 5, 4, NB_ERR_FORMAT, "5 dimensions");
    refused_with(n_dims + 4, 0, 8, NB_ERR_FORMAT, "impossible shape");
    refused_with(n_dims + 4, (uint64_t)1 << 62, 8, NB_ERR_FORMAT, "impossible shape");
    refused_with(n_dims + 4, UINT64_MAX, 8, NB_ERR_FORMAT, "impossible shape");
    refused_with(n_dims + 4, 33, 8, NB_ERR_FORMAT, "multiple of 32");
    refused_with(n_dims + 4, 320000, 8, NB_ERR_FORMAT, "tensor q needs");
    refused_with(n_dims + 4, 96, 8, NB_ERR_FORMAT, "tensor q needs 108 bytes");
    refused_with(n_dims + 12, 4, 8, NB_ERR_FORMAT, "overlaps");
    refused_with(n_dims + 24, 31, 8, NB_ERR_FORMAT, "multiple of 32");
    refused_with(n_dims + 24, 32, 8, NB_ERR_FORMAT, "overlaps");
    refused_with(n_dims + 24, (uint64_t)1 << 60, 8, NB_ERR_FORMAT, "truncated");
    refused_with(n_dims - 1, 'v', 1, NB_ERR_FORMAT, "tensor v appears twice");
    refused_with(n_dims - 1, '\n', 1, NB_ERR_FORMAT, "no text");
}

static void refuses_double_keys(void **state) {
    (void)state;
    gguf_builder b = {0};
    buf file = {0};
    gb_u32(&b, "k", 1);
    gb_u32(&b, "k", 2);
    gb_finish(&b, &file);
    gguf *g;
    nb_error err = {0};
    assert_int_equal(gguf_open_memory(file.data, file.len, "x.gguf", &g, &err), NB_ERR_FORMAT);
    assert_string_equal(err.text, "x.gguf: the key k appears twice");
    buf_free(&file);
    gb_u32(&b, "general.alignment", 24);
    gb_finish(&b, &file);
    assert_int_equal(gguf_open_memory(file.data, file.len, "x.gguf", &g, &err), NB_ERR_FORMAT);
    assert_string_equal(err.text, "x.gguf: general.alignment is 24, expected a power of two");
    buf_free(&file);
    gb_str(&b, "s", "\xff");
    gb_finish(&b, &file);
    assert_int_equal(gguf_open_memory(file.data, file.len, "x.gguf", &g, &err), NB_OK);
    const char *text;
    assert_int_equal(gguf_str(g, "s", &text, NULL, &err), NB_ERR_FORMAT);
    gguf_close(g);
    buf_free(&file);
    assert_int_equal(gguf_open("/nonexistent.gguf", &g, &err), NB_ERR_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_metadata),    cmocka_unit_test(reads_tensors), cmocka_unit_test(refuses_truncation),
        cmocka_unit_test(survives_any_byte), cmocka_unit_test(refuses_lies),  cmocka_unit_test(refuses_double_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
