/* SPDX-License-Identifier: Apache-2.0
 *
 * nb_quantize and nb_dequantize against mlx_lm.convert (tests/data/convert, made by tools/make_convert_goldens.py):
 * every tensor's name, type, shape and bytes, and config.json. Then interrupted runs, full disks, and what is refused.
 */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "files/safetensors.h"
#include "support/file_builder.h"

/* ---- The goldens' sources -------------------------------------------------------------------------------------- */

static uint64_t random_word(uint64_t seed, uint64_t i) {
    uint64_t z = ((seed << 32) + i) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* The same numbers as the golden maker's make_data. */
static void make_data(uint64_t seed, dtype type, size_t n, uint8_t *to) {
    for (size_t i = 0; i < n; i++) {
        uint64_t r = random_word(seed, i);
        float x = ((float)(r >> 40) - 0x1p23f) * 0x1p-26f;
        uint16_t h = type == DT_F16 ? f32_to_f16(x) : f32_to_bf16(x);
        if (type == DT_U8)
            to[i] = (uint8_t)(r >> 56 & 127);
        else if (type == DT_U32)
            memcpy(to + 4 * i, &(uint32_t){(uint32_t)(r >> 32)}, 4);
        else if (type == DT_F32)
            memcpy(to + 4 * i, &x, 4);
        else
            memcpy(to + 2 * i, &h, 2);
    }
}

static void check(nb_status status, const nb_error *err) {
    if (status) fail_msg("%s", err->text);
}

static const char *text_of(const cJSON *array, int i) {
    return cJSON_GetArrayItem(array, i)->valuestring;
}

static void write_tensors(const char *dir, const cJSON *source) {
    nb_error err = {0};
    char *path = path_join(dir, "model.safetensors");
    st_writer *w = NULL;
    check(st_writer_new(path, &w, &err), &err);
    free(path);
    for (int pass = 0; pass < 2; pass++) {
        const cJSON *t;
        uint64_t seed = 0;
        cJSON_ArrayForEach(t, source) {
            const cJSON *dims = cJSON_GetArrayItem(t, 2), *d;
            int64_t shape[8], n = 1;
            int n_dims = 0;
            cJSON_ArrayForEach(d, dims) {
                shape[n_dims++] = (int64_t)d->valuedouble;
                n *= (int64_t)d->valuedouble;
            }
            dtype type = dtype_from_safetensors(text_of(t, 1));
            seed++;
            if (pass == 0) {
                check(st_writer_declare(w, text_of(t, 0), type, n_dims, shape, NULL, &err), &err);
                continue;
            }
            uint8_t *data = malloc((size_t)n * 4);
            make_data(seed, type, (size_t)n, data);
            check(st_writer_put(w, seed - 1, data, (size_t)n * dtype_size(type), &err), &err);
            free(data);
        }
        if (pass == 0) check(st_writer_begin(w, &err), &err);
    }
    check(st_writer_finish(w, &err), &err);
}

static void write_text(const char *dir, const char *name, const char *text) {
    nb_error err = {0};
    char *path = path_join(dir, name);
    check(file_write(path, text, strlen(text), &err), &err);
    free(path);
}

static cJSON *read_golden(const char *name) {
    char path[600];
    nb_error err = {0};
    cJSON *tree = NULL;
    snprintf(path, sizeof path, "%s/convert/%s.json", getenv("NB_TEST_DATA"), name);
    check(json_read(path, &tree, &err), &err);
    return tree;
}

static nb_convert_options options_of(const cJSON *golden, bool *decode) {
    const cJSON *o = json_get(golden, "options"), *bits = json_get(o, "q_bits"), *group = json_get(o, "q_group_size"),
                *mode = json_get(o, "q_mode"), *recipe = json_get(o, "quant_predicate");
    *decode = json_get(o, "dequantize") != NULL;
    return (nb_convert_options){.bits = bits ? bits->valueint : 0,
                                .group_size = group ? group->valueint : 0,
                                .mode = mode ? mode->valuestring : NULL,
                                .recipe = recipe ? recipe->valuestring : NULL,
                                .n_threads = 2};
}

/* Makes the golden's source in temp/NAME and converts it to temp/NAME-out, unless that is there already. */
static void produce(const char *temp, const char *name, nb_error *err) {
    char source[600], target[600];
    snprintf(source, sizeof source, "%s/%s", temp, name);
    snprintf(target, sizeof target, "%s/%s-out", temp, name);
    if (path_is_dir(target)) return;
    cJSON *golden = read_golden(name);
    const cJSON *other = json_get(golden, "source_of");
    if (other) {
        produce(temp, other->valuestring, err);
        snprintf(source, sizeof source, "%s/%s-out", temp, other->valuestring);
    } else {
        check(dir_make(source, err), err);
        write_tensors(source, json_get(golden, "source"));
        write_text(source, "config.json", json_get(golden, "config")->valuestring);
        write_text(source, "generation_config.json", "{\"eos_token_id\": [7, 8]}");
    }
    bool decode;
    nb_convert_options options = options_of(golden, &decode);
    check(decode ? nb_dequantize(source, target, &options, err) : nb_quantize(source, target, &options, err), err);
    cJSON_Delete(golden);
}

/* ---- Comparing ------------------------------------------------------------------------------------------------- */

/* FNV-1a over 64-bit words, the rest filled up with zeros. */
static uint64_t hash_of(const tensor *t) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < t->bytes; i += 8) {
        uint64_t w = 0;
        memcpy(&w, (const uint8_t *)t->data + i, t->bytes - i < 8 ? t->bytes - i : 8);
        h = (h ^ w) * 0x100000001b3u;
    }
    return h;
}

static void compare_tensors(const char *name, const char *dir, const cJSON *result) {
    nb_error err = {0};
    weights *files = NULL;
    check(weights_open(dir, &files, &err), &err);
    const cJSON *t;
    cJSON_ArrayForEach(t, result) {
        const tensor *got = weights_find(files, text_of(t, 0));
        if (!got) fail_msg("%s: no tensor %s", name, text_of(t, 0));
        char shape[200], hash[20], *want = cJSON_PrintUnformatted(cJSON_GetArrayItem(t, 2));
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)hash_of(got));
        tensor_shape_text(got->n_dims, got->shape, shape);
        size_t n = 0; /* without spaces, as cJSON prints it */
        for (size_t i = 0; shape[i]; i++)
            if (shape[i] != ' ') shape[n++] = shape[i];
        shape[n] = 0;
        if (strcmp(dtype_to_safetensors(got->type), text_of(t, 1)) != 0 || strcmp(shape, want) != 0)
            fail_msg("%s: %s is %s %s, expected %s %s", name, got->name, dtype_name(got->type), shape, text_of(t, 1),
                     want);
        if (strcmp(hash, text_of(t, 3)) != 0) fail_msg("%s: %s has other bytes", name, got->name);
        cJSON_free(want);
    }
    assert_int_equal(weights_count(files), (size_t)cJSON_GetArraySize(result));
    weights_close(files);
}

static void compare_files(const char *name, const char *dir, const cJSON *golden) {
    nb_error err = {0};
    buf text = {0};
    cJSON *want = NULL, *index = NULL;
    const char *expected = json_get(golden, "result_config")->valuestring;
    char *path = path_join(dir, "config.json"), *index_path = path_join(dir, "model.safetensors.index.json");
    check(file_read(path, 1 << 20, &text, &err), &err);
    check(json_parse(expected, strlen(expected), name, &want, &err), &err);
    cJSON *got = NULL;
    check(json_parse(text.data, text.len, name, &got, &err), &err);
    /* the modules that are named may stand in another order */
    if (!cJSON_Compare(got, want, true) || strlen(expected) != text.len)
        fail_msg("%s: config.json is %s, expected %s", name, text.data, expected);
    check(json_read(index_path, &index, &err), &err);
    if (!cJSON_Compare(json_get(index, "metadata"), json_get(golden, "metadata"), true))
        fail_msg("%s: other sums in the index", name);
    assert_int_equal(cJSON_GetArraySize(json_get(index, "weight_map")), cJSON_GetArraySize(json_get(golden, "result")));
    cJSON_Delete(got);
    cJSON_Delete(want);
    cJSON_Delete(index);
    free(path);
    free(index_path);
    buf_free(&text);
}

static void test_goldens(void **state) {
    (void)state;
    char folder[600], *temp = make_temp_dir();
    snprintf(folder, sizeof folder, "%s/convert", getenv("NB_TEST_DATA"));
    DIR *d = opendir(folder);
    assert_non_null(d);
    int n = 0;
    for (const struct dirent *e; (e = readdir(d));) {
        char name[300], target[600];
        nb_error err = {0};
        if (!strstr(e->d_name, ".json")) continue;
        snprintf(name, sizeof name, "%.*s", (int)(strlen(e->d_name) - 5), e->d_name);
        produce(temp, name, &err);
        cJSON *golden = read_golden(name);
        snprintf(target, sizeof target, "%s/%s-out", temp, name);
        compare_tensors(name, target, json_get(golden, "result"));
        compare_files(name, target, golden);
        cJSON_Delete(golden);
        n++;
    }
    closedir(d);
    assert_true(n >= 20);
    remove_temp_dir(temp);
}

/* ---- Interruptions --------------------------------------------------------------------------------------------- */

typedef struct stopper {
    int calls, stop_at;
    double first; /* bytes done when it was first called */
} stopper;

static bool stop_later(void *user, const char *stage, double done, double total) {
    stopper *s = user;
    (void)stage;
    assert_true(done >= 0 && done <= total);
    if (s->calls == 0) s->first = done;
    return ++s->calls < s->stop_at;
}

/* Runs are cancelled again and again; the last one makes the same as a run at a stretch. */
static void test_resume(void **state) {
    (void)state;
    const char *name = "llama-affine4";
    char *temp = make_temp_dir(), source[600], whole[600], target[600], partial[700];
    nb_error err = {0};
    produce(temp, name, &err);
    snprintf(source, sizeof source, "%s/%s", temp, name);
    snprintf(whole, sizeof whole, "%s/%s-out", temp, name);
    snprintf(target, sizeof target, "%s/pieces", temp);
    snprintf(partial, sizeof partial, "%s.partial", target);
    nb_convert_options options = {.n_threads = 2};
    double last = -1;
    int runs = 0;
    for (;; runs++) {
        stopper s = {.stop_at = 20};
        options.progress = stop_later;
        options.progress_user = &s;
        nb_status status = nb_quantize(source, target, &options, &err);
        assert_true(s.first >= last); /* it goes on where it was */
        last = s.first;
        if (!status) break;
        assert_int_equal(status, NB_ERR_CANCELLED);
        assert_false(path_is_dir(target));
        assert_true(path_is_dir(partial));
        assert_true(runs < 100);
    }
    assert_true(runs >= 2);
    assert_false(path_is_dir(partial));
    cJSON *golden = read_golden(name);
    compare_tensors(name, target, json_get(golden, "result"));
    compare_files(name, target, golden);
    cJSON_Delete(golden);

    /* what another run has begun is not touched, nor what is there */
    stopper s = {.stop_at = 20};
    options = (nb_convert_options){.progress = stop_later, .progress_user = &s};
    snprintf(target, sizeof target, "%s/other", temp);
    assert_int_equal(nb_quantize(source, target, &options, &err), NB_ERR_CANCELLED);
    options = (nb_convert_options){.bits = 8};
    assert_int_equal(nb_quantize(source, target, &options, &err), NB_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "begun with other options"));
    assert_int_equal(nb_quantize(source, whole, NULL, &err), NB_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "not empty"));
    remove_temp_dir(temp);
}

/* A file that cannot grow stands for a full disk: a clean error, and the next run goes on. */
static void test_disk_full(void **state) {
    (void)state;
    const char *name = "llama-affine4";
    char *temp = make_temp_dir(), source[600], target[600];
    nb_error err = {0};
    produce(temp, name, &err);
    snprintf(source, sizeof source, "%s/%s", temp, name);
    snprintf(target, sizeof target, "%s/full", temp);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    int failures = 0;
    for (rlim_t limit = 1000; failures < 200; limit += limit / 2) {
        small = old;
        small.rlim_cur = limit;
        setrlimit(RLIMIT_FSIZE, &small);
        nb_status status = nb_quantize(source, target, NULL, &err);
        setrlimit(RLIMIT_FSIZE, &old);
        if (!status) break;
        assert_int_equal(status, NB_ERR_IO);
        assert_false(path_is_dir(target));
        failures++;
    }
    assert_true(failures > 3);
    cJSON *golden = read_golden(name);
    compare_tensors(name, target, json_get(golden, "result"));
    cJSON_Delete(golden);
    remove_temp_dir(temp);
}

/* ---- Options and refusals -------------------------------------------------------------------------------------- */

static void refused(const char *source, const char *temp, const nb_convert_options *o, nb_status want,
                    const char *text) {
    char target[600];
    nb_error err = {0};
    snprintf(target, sizeof target, "%s/refused", temp);
    nb_status status = nb_quantize(source, target, o, &err);
    if (status != want || !strstr(err.text, text))
        fail_msg("status %d, \"%s\"; expected %d, \"%s\"", status, err.text, want, text);
    assert_false(path_is_dir(target));
}

static void test_refused(void **state) {
    (void)state;
    char *temp = make_temp_dir(), source[600];
    nb_error err = {0};
    produce(temp, "llama-affine4", &err);
    snprintf(source, sizeof source, "%s/llama-affine4", temp);
    refused(source, temp, &(nb_convert_options){.bits = 7}, NB_ERR_ARGUMENT, "7 bits");
    refused(source, temp, &(nb_convert_options){.group_size = 16}, NB_ERR_ARGUMENT, "groups of 16");
    refused(source, temp, &(nb_convert_options){.mode = "q4_k"}, NB_ERR_ARGUMENT, "q4_k");
    refused(source, temp, &(nb_convert_options){.mode = "mxfp4", .bits = 8}, NB_ERR_ARGUMENT, "mxfp4 has 4 bits");
    refused(source, temp, &(nb_convert_options){.recipe = "mixed_9"}, NB_ERR_ARGUMENT, "mixed_9");
    refused(source, temp, &(nb_convert_options){.recipe = "mixed_3_4", .mode = "nvfp4"}, NB_ERR_ARGUMENT,
            "affine only");
    refused(source, temp, &(nb_convert_options){.dtype = "int8"}, NB_ERR_ARGUMENT, "int8");
    refused(source, temp, &(nb_convert_options){.router_bits = 7}, NB_ERR_ARGUMENT, "router bits is 7");
    static const char *const bad[] = {"lm_head",      "=4",  "lm_head=", "lm_head=4:64:affine:x",
                                      "lm_head=4:48", "x=9", "x=4:64:q4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(source, temp, &(nb_convert_options){.overrides = &bad[i], .n_overrides = 1}, NB_ERR_ARGUMENT,
                "override");
    write_text(source, "config.json", "{\"model_type\": \"marvin\"}");
    refused(source, temp, NULL, NB_ERR_UNSUPPORTED, "marvin");
    write_text(source, "config.json",
               "{\"model_type\": \"llama\", \"quantization_config\": {\"quant_method\": \"awq\"}}");
    refused(source, temp, NULL, NB_ERR_UNSUPPORTED, "awq");
    refused("/nowhere/at/all", temp, NULL, NB_ERR_NOT_FOUND, "nowhere");
    nb_convert_options none = {0};
    write_text(source, "config.json", "{\"model_type\": \"llama\"}");
    assert_int_equal(nb_dequantize(source, "/tmp/nibble-never", &none, &err), NB_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "not quantized"));
    remove_temp_dir(temp);
}

/* The last override that matches counts; "none" leaves a module as it is. */
static void test_overrides(void **state) {
    (void)state;
    char *temp = make_temp_dir(), source[600], target[600];
    nb_error err = {0};
    produce(temp, "llama-affine4", &err);
    snprintf(source, sizeof source, "%s/llama-affine4", temp);
    snprintf(target, sizeof target, "%s/overridden", temp);
    static const char *const overrides[] = {"*.layers.0.*=8", "*.up_proj=4:32:mxfp4", "lm_head=none",
                                            "model.layers.0.mlp.up_proj=2:128"};
    nb_convert_options o = {.bits = 6, .overrides = overrides, .n_overrides = 4, .dtype = "float16"};
    check(nb_quantize(source, target, &o, &err), &err);
    weights *files = NULL;
    check(weights_open(target, &files, &err), &err);
    assert_null(weights_find(files, "lm_head.scales"));
    assert_int_equal(weights_find(files, "lm_head.weight")->type, DT_F16);
    assert_int_equal(weights_find(files, "model.layers.0.self_attn.q_proj.weight")->shape[1], 128 * 8 / 32);
    assert_int_equal(weights_find(files, "model.layers.1.self_attn.q_proj.weight")->shape[1], 128 * 6 / 32);
    assert_int_equal(weights_find(files, "model.layers.1.mlp.up_proj.scales")->type, DT_U8);
    assert_int_equal(weights_find(files, "model.layers.0.mlp.up_proj.weight")->shape[1], 128 * 2 / 32);
    assert_int_equal(weights_find(files, "model.layers.0.mlp.up_proj.scales")->shape[1], 1);
    weights_close(files);
    nb_model *model = NULL; /* and it loads: config.json says how each is to be read */
    check(nb_model_open(target, &model, &err), &err);
    nb_model_free(model);
    remove_temp_dir(temp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens), cmocka_unit_test(test_resume),    cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_overrides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
