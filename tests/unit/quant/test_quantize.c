/* SPDX-License-Identifier: Apache-2.0
 *
 * The quantizers against MLX's (tests/data/quantize, made by tools/make_quantize_goldens.py): zeros, constant and
 * negative groups, subnormals, the largest numbers, ties, in every mode and type, in portable code and in the
 * processor's own. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "base/json.h"
#include "files/safetensors.h"
#include "quant/quantize.h"

/* FNV-1a over 64-bit words, the rest filled up with zeros. */
static void check_hash(const void *data, size_t n, const cJSON *want, const char *what, const cJSON *row) {
    uint64_t h = 0xcbf29ce484222325u;
    char text[20];
    for (size_t i = 0; i < n; i += 8) {
        uint64_t w = 0;
        memcpy(&w, (const uint8_t *)data + i, n - i < 8 ? n - i : 8);
        h = (h ^ w) * 0x100000001b3u;
    }
    snprintf(text, sizeof text, "%016llx", (unsigned long long)h);
    if (strcmp(text, want->valuestring) != 0) fail_msg("%s: %s differ", cJSON_PrintUnformatted(row), what);
}

typedef void (*encoder)(const quant_format *, dtype, const void *, int64_t, void *, void *, void *);

static void check_row(const cJSON *row, const weights *inputs, encoder encode) {
    static const dtype types[] = {DT_F32, DT_F16, DT_BF16};
    quant_format f = {.bits = cJSON_GetArrayItem(row, 1)->valueint, .group_size = cJSON_GetArrayItem(row, 2)->valueint};
    assert_true(quant_mode_named(cJSON_GetArrayItem(row, 0)->valuestring, &f.mode));
    assert_true(quant_format_ok(&f));
    const tensor *t = weights_find(inputs, cJSON_GetArrayItem(row, 3)->valuestring);
    const cJSON *hashes = cJSON_GetArrayItem(row, 4), *back = cJSON_GetArrayItem(row, 5);
    const int64_t n = t->shape[0] * t->shape[1], groups = n / f.group_size;
    const size_t scale = dtype_size(quant_scale_type(&f, t->type)), n_scales = (size_t)groups * scale;
    /* exact sizes, so that a sanitizer sees what is written behind the end; the input at an odd address */
    uint8_t *w = malloc(t->bytes + 1), *codes = malloc((size_t)(groups * quant_group_bytes(&f)));
    uint8_t *scales = malloc(n_scales), *biases = malloc(n_scales);
    memcpy(w + 1, t->data, t->bytes);
    encode(&f, t->type, w + 1, groups, codes, scales, biases);
    check_hash(codes, (size_t)(groups * quant_group_bytes(&f)), cJSON_GetArrayItem(hashes, 0), "codes", row);
    check_hash(scales, n_scales, cJSON_GetArrayItem(hashes, 1), "scales", row);
    if (f.mode == W_AFFINE) check_hash(biases, n_scales, cJSON_GetArrayItem(hashes, 2), "biases", row);
    for (int i = 0; i < 3; i++) {
        const size_t size = dtype_size(types[i]);
        uint8_t *values = malloc((size_t)n * size);
        quant_decode(&f, quant_scale_type(&f, t->type), codes, scales, f.mode == W_AFFINE ? biases : NULL, groups,
                     types[i], values);
        for (int64_t j = 0; j < n; j++)
            if (isnan(float_at_f32(values, types[i], j))) memcpy(values + (size_t)j * size, "\xc0\x7f\0", size);
        check_hash(values, (size_t)n * size, cJSON_GetArrayItem(back, i), "values", row);
        free(values);
    }
    free(w);
    free(codes);
    free(scales);
    free(biases);
}

static void check_all(encoder encode) {
    char path[600];
    nb_error err = {0};
    weights *inputs = NULL;
    cJSON *expected = NULL;
    snprintf(path, sizeof path, "%s/quantize/input.safetensors", getenv("NB_TEST_DATA"));
    if (weights_open_file(path, &inputs, &err)) fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%s/quantize/expected.json", getenv("NB_TEST_DATA"));
    if (json_read(path, &expected, &err)) fail_msg("%s", err.text);
    assert_int_equal(cJSON_GetArraySize(expected), 63);
    const cJSON *row;
    cJSON_ArrayForEach(row, expected) check_row(row, inputs, encode);
    cJSON_Delete(expected);
    weights_close(inputs);
}

static void test_portable(void **state) {
    (void)state;
    check_all(quant_encode_portable);
}

static void test_fastest(void **state) {
    (void)state;
    check_all(quant_encode);
}

/* Infinities and NaN give something, and nothing else happens. */
static void test_not_finite(void **state) {
    (void)state;
    static const quant_format formats[] = {{W_AFFINE, 3, 32}, {W_MXFP4, 4, 32}, {W_MXFP8, 8, 32}, {W_NVFP4, 4, 16}};
    const float wrong[] = {INFINITY, -INFINITY, NAN};
    for (int f = 0; f < 4; f++)
        for (int i = 0; i < 3; i++) {
            float x[32] = {1, 2, 3};
            uint8_t codes[32], scales[8], biases[8];
            x[5] = wrong[i];
            quant_encode(&formats[f], DT_F32, x, 32 / formats[f].group_size, codes, scales, biases);
            quant_encode_portable(&formats[f], DT_F32, x, 32 / formats[f].group_size, codes, scales, biases);
        }
}

static void test_formats(void **state) {
    (void)state;
    wmode mode = W_PLAIN;
    assert_false(quant_mode_named("plain", &mode));
    assert_false(quant_mode_named("awq", &mode));
    assert_true(quant_mode_named("mxfp8", &mode) && mode == W_MXFP8);
    assert_false(quant_format_ok(&(quant_format){W_AFFINE, 7, 64}));
    assert_false(quant_format_ok(&(quant_format){W_AFFINE, 4, 16}));
    assert_false(quant_format_ok(&(quant_format){W_NVFP4, 4, 32}));
    assert_false(quant_format_ok(&(quant_format){W_PLAIN, 0, 0}));
    assert_false(quant_format_ok(&(quant_format){(wmode)99, 4, 32}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_portable),
        cmocka_unit_test(test_fastest),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
