/* SPDX-License-Identifier: Apache-2.0
 *
 * A scale or bias that is no number: the model opens (nothing reads all of it), but no context is made of it, and the
 * error names the tensor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "files/safetensors.h"
#include "nibble.h"
#include "support/file_builder.h"

static void copy_file(const char *from_dir, const char *to_dir, const char *name, const buf *instead) {
    nb_error err;
    buf bytes = {0};
    char *from = path_join(from_dir, name), *to = path_join(to_dir, name);
    if (!instead) assert_int_equal(file_read(from, 1 << 24, &bytes, &err), NB_OK);
    const buf *b = instead ? instead : &bytes;
    assert_int_equal(file_write(to, b->data, b->len, &err), NB_OK);
    buf_free(&bytes);
    free(from);
    free(to);
}

/* Puts two bytes into the middle of a tensor of a good model and tries to use it. */
static void check(const char *tensor_name, const char bad[2], const char *word) {
    char source[1024];
    snprintf(source, sizeof source, "%s/models/qwen3-q4-g64-bf16", getenv("NB_TEST_DATA"));
    char *dir = make_temp_dir(), *path = path_join(source, "model.safetensors");
    buf file = {0};
    nb_error err = {0};
    weights *w;
    assert_int_equal(file_read(path, 1 << 24, &file, &err), NB_OK);
    assert_int_equal(weights_open_memory(file.data, file.len, "model.safetensors", &w, &err), NB_OK);
    const tensor *t = weights_find(w, tensor_name);
    assert_non_null(t);
    memcpy(file.data + ((const char *)t->data - file.data) + t->bytes / 4 * 2, bad, 2);
    weights_close(w);
    copy_file(source, dir, "config.json", NULL);
    copy_file(source, dir, "model.safetensors", &file);

    nb_model *model;
    nb_context *context;
    if (nb_model_open(dir, &model, &err)) fail_msg("%s", err.text);
    assert_int_equal(nb_context_new(model, NULL, &context, &err), NB_ERR_FORMAT);
    assert_null(context);
    if (!strstr(err.text, tensor_name) || !strstr(err.text, word)) fail_msg("%s", err.text);
    nb_model_free(model);
    buf_free(&file);
    remove_temp_dir(dir);
    free(path);
}

static void test_broken(void **state) {
    (void)state;
    check("model.layers.0.mlp.up_proj.scales", "\xc0\x7f", "NaN");
    check("model.layers.1.self_attn.o_proj.biases", "\x80\xff", "infinite");
    check("model.embed_tokens.scales", "\xff\xff", "NaN");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_broken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
