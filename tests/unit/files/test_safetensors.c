/* SPDX-License-Identifier: Apache-2.0
 *
 * The safetensors reader and writer: what is right is read exactly, and everything that can lie in a header or an
 * index is refused with a text that names file and tensor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "files/safetensors.h"
#include "support/file_builder.h"

#define T(name, type, shape, begin, end)                                                                               \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static nb_status open_text(const char *header, size_t data, weights **w, nb_error *err) {
    static buf file;
    buf_clear(&file);
    build_safetensors(&file, header, data);
    return weights_open_memory(file.data, file.len, "x.safetensors", w, err);
}

/* The header must be refused with this status and these words. */
static void refused(const char *header, size_t data, nb_status status, const char *words) {
    nb_error err = {0};
    weights *w = NULL;
    nb_status got = open_text(header, data, &w, &err);
    if (got != status || !strstr(err.text, words)) fail_msg("header %s: status %d, text \"%s\"", header, got, err.text);
    assert_null(w);
}

static void reads(void **state) {
    (void)state;
    weights *w;
    nb_error err = {0};
    const char *header = "{\"__metadata__\":{\"format\":\"mlx\"}," T("b", "F32", "[2,1]", 0, 8) "," T(
        "a", "F16", "[3]", 8, 14) "," T("scalar", "U8", "[]", 14, 15) "," T("none", "F32", "[0,7]", 15, 15) "}  ";
    assert_int_equal(open_text(header, 15, &w, &err), NB_OK);
    assert_int_equal(weights_count(w), 4);
    assert_string_equal(weights_at(w, 0)->name, "b");
    assert_null(weights_at(w, 4));
    assert_string_equal(weights_metadata(w, "format"), "mlx");
    assert_null(weights_metadata(w, "other"));
    const tensor *t = weights_find(w, "a");
    assert_non_null(t);
    assert_int_equal(t->type, DT_F16);
    assert_int_equal(t->n_dims, 1);
    assert_int_equal(t->shape[0], 3);
    assert_int_equal(t->bytes, 6);
    assert_int_equal(*(const uint8_t *)t->data, 8);
    assert_string_equal(t->file, "x.safetensors");
    assert_int_equal(weights_find(w, "scalar")->n_dims, 0);
    assert_null(weights_find(w, "c"));
    for (size_t i = 0; i < weights_count(w); i++) {
        const tensor *x = weights_at(w, i);
        weights_release(w, x);
    }
    weights_close(w);
    assert_int_equal(open_text("{}", 0, &w, &err), NB_OK);
    assert_int_equal(weights_count(w), 0);
    weights_close(w);
}

static void refuses_headers(void **state) {
    (void)state;
    refused("[]", 0, NB_ERR_FORMAT, "no JSON object");
    refused("{", 0, NB_ERR_FORMAT, "not valid JSON");
    refused("{}x", 0, NB_ERR_FORMAT, "not valid JSON");
    refused("{\"a\":1}", 0, NB_ERR_FORMAT, "tensor a");
    refused("{\"__metadata__\":3}", 0, NB_ERR_FORMAT, "__metadata__");
    refused("{" T("a", "F8_E4M3", "[1]", 0, 1) "}", 1, NB_ERR_UNSUPPORTED, "F8_E4M3");
    refused("{" T("a", "f32", "[1]", 0, 4) "}", 4, NB_ERR_UNSUPPORTED, "\"f32\"");
    refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, NB_ERR_FORMAT, "dtype");
    refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, NB_ERR_FORMAT, "shape");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, NB_ERR_FORMAT, "data_offsets");
    refused("{" T("a", "F32", "[-1]", 0, 4) "}", 4, NB_ERR_FORMAT, "dimension 0");
    refused("{" T("a", "F32", "[1.5]", 0, 4) "}", 4, NB_ERR_FORMAT, "dimension 0");
    refused("{" T("a", "F32", "[1e300]", 0, 4) "}", 4, NB_ERR_FORMAT, "dimension 0");
    refused("{" T("a", "F32", "[\"1\"]", 0, 4) "}", 4, NB_ERR_FORMAT, "dimension 0");
    refused("{" T("a", "F32", "[4294967296,4294967296]", 0, 4) "}", 4, NB_ERR_FORMAT, "too large");
    refused("{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, NB_ERR_UNSUPPORTED, "dimensions");
    refused("{" T("a", "F32", "[2]", 0, 4) "}", 4, NB_ERR_FORMAT, "has 4 bytes, expected 8");
    refused("{" T("a", "F32", "[1]", 0, 4) "}", 3, NB_ERR_FORMAT, "truncated");
    refused("{" T("a", "F32", "[1]", 4, 0) "}", 4, NB_ERR_FORMAT, "data_offsets");
    refused("{" T("a", "F32", "[1]", -4, 0) "}", 4, NB_ERR_FORMAT, "data_offsets");
    refused("{" T("a", "F32", "[1]", 9007199254740990, 9007199254740994) "}", 4, NB_ERR_FORMAT, "data_offsets");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4, NB_ERR_FORMAT, "data_offsets");
}

static void refuses_layouts(void **state) {
    (void)state;
    refused("{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 2, 6) "}", 6, NB_ERR_FORMAT, "overlaps tensor a");
    refused("{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 0, 4) "}", 4, NB_ERR_FORMAT, "overlaps");
    refused("{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 8, 12) "}", 12, NB_ERR_FORMAT, "before tensor b");
    refused("{" T("a", "F32", "[1]", 4, 8) "}", 8, NB_ERR_FORMAT, "before tensor a");
    refused("{" T("a", "F32", "[1]", 0, 4) "}", 9, NB_ERR_FORMAT, "5 bytes after");
    refused("{}", 1, NB_ERR_FORMAT, "1 bytes after");
    refused("{" T("a", "F32", "[1]", 0, 4) "," T("a", "F32", "[1]", 4, 8) "}", 8, NB_ERR_FORMAT, "appears twice");
    refused("{" T("a", "F32", "[0]", 0, 0) "," T("a", "F32", "[0]", 0, 0) "}", 0, NB_ERR_FORMAT, "appears twice");
}

/* Every shorter file is refused, and so is every header length that points past the end. */
static void refuses_truncation(void **state) {
    (void)state;
    buf file = {0};
    build_safetensors(&file, "{" T("a", "F32", "[3]", 0, 12) "," T("b", "U32", "[1]", 12, 16) "}", 16);
    for (size_t n = 0; n <= file.len; n++) {
        uint8_t *copy = malloc(n + 1); /* exact: the sanitizer sees a byte too far */
        memcpy(copy, file.data, n);
        weights *w;
        nb_error err = {0};
        nb_status status = weights_open_memory(copy, n, "x", &w, &err);
        assert_int_equal(status, n == file.len ? NB_OK : NB_ERR_FORMAT);
        weights_close(w);
        free(copy);
    }
    for (int byte = 0; byte < 8; byte++) {
        char saved = file.data[byte];
        file.data[byte] = (char)0xff;
        weights *w;
        nb_error err = {0};
        assert_int_equal(weights_open_memory(file.data, file.len, "x", &w, &err), NB_ERR_FORMAT);
        assert_non_null(strstr(err.text, "header"));
        file.data[byte] = saved;
    }
    buf_free(&file);
}

/* Headers of every length: the data lies where it lies, and never is a copy. */
static void keeps_odd_addresses(void **state) {
    (void)state;
    for (int pad = 0; pad < 8; pad++) {
        char header[200];
        snprintf(header, sizeof header, "{" T("a", "F32", "[2]", 0, 8) "," T("b", "U8", "[1]", 8, 9) "}%*s", pad, "");
        weights *w;
        assert_int_equal(open_text(header, 9, &w, NULL), NB_OK);
        const tensor *t = weights_find(w, "a"), *b = weights_find(w, "b");
        assert_ptr_equal((const char *)t->data + 8, b->data);
        assert_memory_equal(t->data, "\0\1\2\3\4\5\6\7", 8);
        weights_close(w);
    }
}

static void finds_nan(void **state) {
    (void)state;
    const float numbers[3] = {1, -2, 0};
    tensor t = {
        .name = "x.scales", .type = DT_F32, .n_dims = 1, .shape = {3}, .data = numbers, .bytes = 12, .file = "f"};
    nb_error err = {0};
    assert_int_equal(tensor_check_finite(&t, &err), NB_OK);
    const uint16_t halves[3] = {0x3c00, 0x7e00, 0};
    t.type = DT_F16, t.data = halves, t.bytes = 6;
    assert_int_equal(tensor_check_finite(&t, &err), NB_ERR_FORMAT);
    assert_string_equal(err.text, "f: tensor x.scales: element 1 is NaN, expected finite numbers");
    const uint16_t brains[3] = {0x3f80, 0, 0xff80};
    t.type = DT_BF16, t.data = brains;
    assert_int_equal(tensor_check_finite(&t, &err), NB_ERR_FORMAT);
    assert_non_null(strstr(err.text, "element 2 is infinite"));
}

/* ---- Directories --------------------------------------------------------------------------------------------- */

static void write_file(const char *dir, const char *name, const char *data, size_t n) {
    char *path = path_join(dir, name);
    assert_int_equal(file_write(path, data, n, NULL), NB_OK);
    free(path);
}

static void write_shard(const char *dir, const char *name, const char *header, size_t data) {
    buf file = {0};
    build_safetensors(&file, header, data);
    write_file(dir, name, file.data, file.len);
    buf_free(&file);
}

/* Opens `dir` after an index was written; the error must have these words (NULL: none). */
static void with_index(const char *dir, const char *index, nb_status status, const char *words) {
    write_file(dir, "model.safetensors.index.json", index, strlen(index));
    weights *w;
    nb_error err = {0};
    nb_status got = weights_open(dir, &w, &err);
    if (got != status || (words && !strstr(err.text, words)))
        fail_msg("index %s: status %d, text \"%s\"", index, got, err.text);
    weights_close(w);
}

static void opens_shards(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    nb_error err = {0};
    weights *w;
    assert_int_equal(weights_open(dir, &w, &err), NB_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "no weights here"));
    write_shard(dir, "s1.safetensors", "{" T("a", "F32", "[1]", 0, 4) "}", 4);
    write_shard(dir, "s2.safetensors", "{" T("b", "F32", "[1]", 0, 4) "," T("c", "U8", "[1]", 4, 5) "}", 5);
    assert_int_equal(weights_open(dir, &w, &err), NB_OK); /* no index: all files, by name */
    assert_int_equal(weights_count(w), 3);
    assert_string_equal(weights_at(w, 2)->file, "s2.safetensors");
    weights_release(w, weights_at(w, 0));
    weights_close(w);

    with_index(dir, "{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\"}}", NB_OK, NULL);
    with_index(dir, "{\"weight_map\":{\"a\":\"s2.safetensors\"}}", NB_ERR_FORMAT, "tensor a should be in s2");
    with_index(dir, "{\"weight_map\":{\"a\":\"s1.safetensors\",\"z\":\"s1.safetensors\"}}", NB_ERR_FORMAT,
               "but is not there");
    with_index(dir, "{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s3.safetensors\"}}", NB_ERR_NOT_FOUND, "s3");
    with_index(dir, "{\"weight_map\":{\"a\":\"../s1.safetensors\"}}", NB_ERR_FORMAT, "no name of a file");
    with_index(dir, "{\"weight_map\":{\"a\":7}}", NB_ERR_FORMAT, "no name of a file");
    with_index(dir, "{\"weight_map\":{}}", NB_ERR_FORMAT, "names no file");
    with_index(dir, "{\"weight_map\":[]}", NB_ERR_FORMAT, "weight_map");
    with_index(dir, "{}", NB_ERR_FORMAT, "weight_map");
    with_index(dir, "nonsense", NB_ERR_FORMAT, "JSON");
    write_shard(dir, "s3.safetensors", "{" T("a", "F32", "[1]", 0, 4) "}", 4);
    with_index(dir, "{\"weight_map\":{\"a\":\"s1.safetensors\",\"x\":\"s3.safetensors\"}}", NB_ERR_FORMAT,
               "a appears twice (in s");
    write_shard(dir, "model.safetensors", "{" T("m", "F32", "[1]", 0, 4) "}", 4);
    assert_int_equal(weights_open(dir, &w, &err), NB_OK); /* the single file comes first */
    assert_non_null(weights_find(w, "m"));
    weights_close(w);
    assert_int_equal(weights_open("/nonexistent/dir", &w, &err), NB_ERR_NOT_FOUND);
    remove_temp_dir(dir);
}

/* ---- Writing ------------------------------------------------------------------------------------------------- */

static void writes(void **state) {
    (void)state;
    char *dir = make_temp_dir(), *path = path_join(dir, "model.safetensors");
    st_writer *s;
    weights *w;
    nb_error err = {0};
    const int64_t shape[2] = {3, 1};
    size_t half, wide;
    assert_int_equal(st_writer_new(path, &s, &err), NB_OK);
    assert_int_equal(st_writer_metadata(s, "format", "mlx", &err), NB_OK);
    assert_int_equal(st_writer_declare(s, "half \"quoted\"", DT_F16, 2, shape, &half, &err), NB_OK);
    assert_int_equal(st_writer_declare(s, "wide", DT_F32, 1, shape, &wide, &err), NB_OK);
    assert_int_equal(st_writer_declare(s, "x", DT_XI8X3, 1, shape, NULL, &err), NB_ERR_ARGUMENT);
    assert_int_equal(st_writer_put(s, half, "abcdef", 6, &err), NB_ERR_ARGUMENT);
    assert_int_equal(st_writer_begin(s, &err), NB_OK);
    assert_int_equal(st_writer_put(s, half, "abcd", 4, &err), NB_OK);
    assert_int_equal(st_writer_put(s, wide, "0123456789AB", 12, &err), NB_OK);
    assert_int_equal(st_writer_put(s, half, "efg", 3, &err), NB_ERR_ARGUMENT);
    assert_int_equal(st_writer_put(s, half, "ef", 2, &err), NB_OK);
    assert_false(path_is_file(path));
    assert_int_equal(st_writer_finish(s, &err), NB_OK);
    assert_int_equal(weights_open(dir, &w, &err), NB_OK);
    assert_string_equal(weights_at(w, 0)->name, "wide");
    assert_memory_equal(weights_find(w, "wide")->data, "0123456789AB", 12);
    assert_memory_equal(weights_find(w, "half \"quoted\"")->data, "abcdef", 6);
    assert_string_equal(weights_metadata(w, "format"), "mlx");
    weights_close(w);
    free(path);
    remove_temp_dir(dir);
}

static void leaves_nothing_half_written(void **state) {
    (void)state;
    char *dir = make_temp_dir(), *path = path_join(dir, "model.safetensors");
    const int64_t shape[1] = {4};
    for (int how = 0; how < 4; how++) {
        st_writer *s;
        nb_error err = {0};
        assert_int_equal(st_writer_new(path, &s, &err), NB_OK);
        assert_int_equal(st_writer_declare(s, "a", DT_U8, 1, shape, NULL, &err), NB_OK);
        if (how == 3) assert_int_equal(st_writer_declare(s, "a", DT_U8, 1, shape, NULL, &err), NB_OK);
        if (how > 0) assert_int_equal(st_writer_begin(s, &err), how == 3 ? NB_ERR_ARGUMENT : NB_OK);
        if (how == 2) assert_int_equal(st_writer_put(s, 0, "abc", 3, &err), NB_OK);
        if (how == 1 || how == 3)
            st_writer_abort(s);
        else
            assert_int_equal(st_writer_finish(s, &err), NB_ERR_ARGUMENT);
        assert_int_equal(weights_open(dir, (weights *[]){NULL}, NULL), NB_ERR_NOT_FOUND);
    }
    st_writer *s;
    nb_error err = {0};
    assert_int_equal(st_writer_new("/nonexistent/x.safetensors", &s, &err), NB_ERR_IO);
    assert_non_null(strstr(err.text, "/nonexistent/x.safetensors"));
    free(path);
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses_headers),
        cmocka_unit_test(refuses_layouts),
        cmocka_unit_test(refuses_truncation),
        cmocka_unit_test(keeps_odd_addresses),
        cmocka_unit_test(finds_nan),
        cmocka_unit_test(opens_shards),
        cmocka_unit_test(writes),
        cmocka_unit_test(leaves_nothing_half_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
