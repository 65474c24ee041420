/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole tiny model directories, one fault each: what a config says against what the tensors are. Every error must name
 * the tensor or field and what was expected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "models/models.h"
#include "support/file_builder.h"

/* One tensor to write: zeros, or a value in every element. */
typedef struct item {
    const char *name, *type; /* safetensors' type */
    int64_t rows, cols;      /* cols 0: a vector */
    int fill;                /* byte value of the data */
} item;

static const char base_config[] =
    "\"hidden_size\":64,\"num_hidden_layers\":1,\"intermediate_size\":64,\"num_attention_heads\":2,"
    "\"num_key_value_heads\":1,\"rms_norm_eps\":1e-6,\"vocab_size\":10,\"tie_word_embeddings\":true";

#define L "model.layers.0."
static const item plain_items[] = {
    {"model.embed_tokens.weight", "F16", 10, 64, 0}, {"model.norm.weight", "F16", 64, 0, 0},
    {L "input_layernorm.weight", "F16", 64, 0, 0},   {L "post_attention_layernorm.weight", "F16", 64, 0, 0},
    {L "self_attn.q_proj.weight", "F16", 64, 64, 0}, {L "self_attn.k_proj.weight", "F16", 32, 64, 0},
    {L "self_attn.v_proj.weight", "F16", 32, 64, 0}, {L "self_attn.o_proj.weight", "F16", 64, 64, 0},
    {L "mlp.gate_proj.weight", "F16", 64, 64, 0},    {L "mlp.up_proj.weight", "F16", 64, 64, 0},
    {L "mlp.down_proj.weight", "F16", 64, 64, 0},
};
enum { N_PLAIN = sizeof plain_items / sizeof *plain_items, MAX_ITEMS = 24 };

/* A model: the plain items, some replaced or left out, and more. */
typedef struct model {
    item items[MAX_ITEMS];
    int n;
} model;

static model plain_model(void) {
    model m = {.n = N_PLAIN};
    memcpy(m.items, plain_items, sizeof plain_items);
    return m;
}

static item *find(model *m, const char *name) {
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->items[i].name, name) == 0) return &m->items[i];
    fail_msg("no tensor %s in the test's model", name);
    return NULL;
}

/* q_proj in 4 bits, groups of 64. */
static model quantized_model(void) {
    model m = plain_model();
    *find(&m, L "self_attn.q_proj.weight") = (item){L "self_attn.q_proj.weight", "U32", 64, 8, 1};
    m.items[m.n++] = (item){L "self_attn.q_proj.scales", "F16", 64, 1, 1};
    m.items[m.n++] = (item){L "self_attn.q_proj.biases", "F16", 64, 1, 1};
    return m;
}

static size_t item_bytes(const item *i) {
    size_t element = strcmp(i->type, "F16") == 0 || strcmp(i->type, "BF16") == 0 ? 2
                     : strcmp(i->type, "U8") == 0                                ? 1
                                                                                 : 4;
    return element * (size_t)i->rows * (size_t)(i->cols ? i->cols : 1);
}

/* Writes the model as one file in memory and builds its plan. */
static nb_status build(const model *m, const char *type_and_more, nb_error *err) {
    buf header = {0}, file = {0}, config = {0};
    size_t at = 0;
    buf_puts(&header, "{");
    for (int i = 0; i < m->n; i++) {
        const item *t = &m->items[i];
        char shape[64];
        if (t->cols)
            snprintf(shape, sizeof shape, "%lld,%lld", (long long)t->rows, (long long)t->cols);
        else
            snprintf(shape, sizeof shape, "%lld", (long long)t->rows);
        buf_printf(&header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", i ? "," : "",
                   t->name, t->type, shape, at, at + item_bytes(t));
        at += item_bytes(t);
    }
    buf_puts(&header, "}");
    build_safetensors(&file, header.data, at);
    buf_printf(&config, "{%s,%s}", type_and_more, base_config);
    weights *files = NULL;
    model_config mc = {0};
    plan *p = NULL;
    model_dims dims;
    nb_status status = weights_open_memory(file.data, file.len, "model.safetensors", &files, err);
    if (!status) status = config_parse(config.data, config.len, "config.json", &mc, err);
    if (!status) status = model_build(&mc, files, &p, &dims, err);
    plan_free(p);
    config_close(&mc);
    weights_close(files);
    buf_free(&header);
    buf_free(&file);
    buf_free(&config);
    return status;
}

static void loads(const model *m, const char *more) {
    nb_error err = {0};
    if (build(m, more, &err)) fail_msg("%s: %s", more, err.text);
}

/* The build fails and its text holds all of the words. */
static void refused(const model *m, const char *more, nb_status want, const char *a, const char *b) {
    nb_error err = {0};
    nb_status status = build(m, more, &err);
    if (status != want || !strstr(err.text, a) || !strstr(err.text, b))
        fail_msg("%s: status %d, text \"%s\"; expected %d, \"%s\" and \"%s\"", more, status, err.text, want, a, b);
}

#define LLAMA "\"model_type\":\"llama\""
#define Q4    ",\"quantization\":{\"group_size\":64,\"bits\":4}"

static void test_loads(void **state) {
    (void)state;
    model plain = plain_model(), quantized = quantized_model();
    loads(&plain, LLAMA);
    loads(&plain, LLAMA Q4); /* no scales, not quantized */
    loads(&quantized, LLAMA Q4);
    loads(&quantized, LLAMA ",\"quantization\":{\"group_size\":64,\"bits\":4,\"mode\":\"affine\"}");
    loads(&quantized, LLAMA ",\"quantization_config\":{\"group_size\":64,\"bits\":4}");
    /* an override wins over the global block; without bits and group_size it means 4 and 64 */
    loads(
        &quantized, LLAMA
        ",\"quantization\":{\"group_size\":32,\"bits\":8,\"model.layers.0.self_attn.q_proj\":{\"bits\":4,\"group_size\":64}}");
    loads(&quantized, LLAMA
          ",\"quantization\":{\"group_size\":32,\"bits\":8,\"model.layers.0.self_attn.q_proj\":{\"mode\":\"affine\"}}");
    loads(&quantized,
          LLAMA ",\"quantization\":{\"group_size\":64,\"bits\":4,\"model.layers.0.self_attn.q_proj\":true}");
    loads(&quantized,
          LLAMA ",\"quantization\":{\"group_size\":64,\"bits\":4,\"model.layers.0.self_attn.k_proj\":false}");
}

static void test_lying_config(void **state) {
    (void)state;
    model q = quantized_model();
    /* the shapes are those of one reading only, so it is taken whatever the config says */
    loads(&q, LLAMA ",\"quantization\":{\"group_size\":64,\"bits\":8}");
    loads(&q, LLAMA ",\"quantization\":{\"group_size\":32,\"bits\":4}");
    loads(&q, LLAMA ",\"quantization\":{\"mode\":\"mxfp4\"}");
    refused(&q, LLAMA, NB_ERR_FORMAT, "q_proj.weight has scales", "no \"quantization\"");
    refused(&q, LLAMA ",\"quantization\":{\"group_size\":64,\"bits\":7}", NB_ERR_FORMAT, "bits is 7",
            "2, 3, 4, 5, 6 or 8");
    refused(&q, LLAMA ",\"quantization\":{\"group_size\":48,\"bits\":4}", NB_ERR_FORMAT, "group_size is 48",
            "32, 64 or 128");
    refused(&q, LLAMA ",\"quantization\":{\"group_size\":64,\"bits\":4,\"mode\":\"mxfp4\"}", NB_ERR_FORMAT,
            "mxfp4 has bits 4 and group_size 64", "expected 4 and 32");
    refused(&q, LLAMA ",\"quantization\":{\"group_size\":64,\"bits\":4,\"mode\":\"q4_k\"}", NB_ERR_UNSUPPORTED, "q4_k",
            "affine, mxfp4, mxfp8, nvfp4");
    refused(&q, LLAMA ",\"quantization_config\":{\"quant_method\":\"awq\",\"bits\":4}", NB_ERR_UNSUPPORTED, "awq",
            "quantization_config");
    find(&q, L "self_attn.q_proj.weight")->cols = 9; /* 9 words fit nothing for 64 columns */
    refused(&q, LLAMA Q4, NB_ERR_FORMAT, "q_proj.weight has type u32 and shape [64, 9]", "bits 4, group_size 64");
    q = quantized_model();
    refused(&q, LLAMA ",\"quantization\":{\"group_size\":64,\"bits\":\"4\"}", NB_ERR_FORMAT, "bits", "a string");
    refused(&q, LLAMA ",\"quantization\":[4]", NB_ERR_FORMAT, "quantization", "no object");
    refused(&q, LLAMA ",\"quantization\":{\"group_size\":64,\"bits\":4,\"model.layers.0.self_attn.q_proj\":false}",
            NB_ERR_FORMAT, "q_proj.weight has type u32", "f16, bf16 or f32");
    refused(&q, LLAMA ",\"quantization\":{\"group_size\":64,\"bits\":4,\"model.layers.0.self_attn.q_proj\":3}",
            NB_ERR_FORMAT, "q_proj", "expected an object, true or false");
    model p = plain_model();
    refused(&p, LLAMA ",\"quantization\":{\"group_size\":64,\"bits\":4,\"model.layers.0.self_attn.q_proj\":true}",
            NB_ERR_FORMAT, "q_proj.scales", "missing");
}

static void test_wrong_tensors(void **state) {
    (void)state;
    model m = plain_model();
    *find(&m, "model.norm.weight") = (item){"model.norm.wait", "F16", 64, 0, 0};
    refused(&m, LLAMA, NB_ERR_FORMAT, "tensor model.norm.weight", "missing");
    m = plain_model();
    find(&m, L "mlp.up_proj.weight")->rows = 63;
    refused(&m, LLAMA, NB_ERR_FORMAT, "mlp.up_proj.weight has shape [63, 64]", "expected [64, 64]");
    m = plain_model();
    find(&m, L "mlp.up_proj.weight")->type = "I32";
    refused(&m, LLAMA, NB_ERR_FORMAT, "mlp.up_proj.weight has type i32", "f16, bf16 or f32");
    m = plain_model();
    find(&m, L "input_layernorm.weight")->cols = 1;
    refused(&m, LLAMA, NB_ERR_FORMAT, "input_layernorm.weight has shape [64, 1]", "expected [64]");
    m = quantized_model();
    find(&m, L "self_attn.q_proj.scales")->type = "U32";
    refused(&m, LLAMA Q4, NB_ERR_FORMAT, "q_proj.scales has type u32", "f16, bf16, f32 or u8");
    m = quantized_model();
    find(&m, L "self_attn.q_proj.biases")->type = "BF16";
    refused(&m, LLAMA Q4, NB_ERR_FORMAT, "q_proj.biases has type bf16", "q_proj.scales has type f16");
    m = quantized_model();
    find(&m, L "self_attn.q_proj.biases")->name = "other.biases";
    loads(&m, LLAMA Q4); /* zeros */
    m = quantized_model();
    find(&m, L "self_attn.q_proj.scales")->rows = 63;
    refused(&m, LLAMA Q4, NB_ERR_FORMAT, "q_proj.scales has shape [63, 1]", "[64, 8]");
    m = plain_model();
    refused(&m, "\"model_type\":\"qwen2\"", NB_ERR_FORMAT, "q_proj.bias", "missing");
    refused(&m, LLAMA ",\"attention_bias\":true", NB_ERR_FORMAT, "q_proj.bias", "missing");
}

static void test_config_fields(void **state) {
    (void)state;
    model m = plain_model();
    refused(&m, "\"model_type\":\"marvin\"", NB_ERR_UNSUPPORTED, "unknown model_type \"marvin\"",
            "llama, mistral, qwen2, qwen3");
    refused(&m, "\"model_type\":\"qwen3\"", NB_ERR_FORMAT, "rope_theta", "missing");
    /* the first of two equal keys counts */
    refused(&m, LLAMA ",\"hidden_size\":-1", NB_ERR_FORMAT, "hidden_size", "-1");
    refused(&m, LLAMA ",\"hidden_size\":63", NB_ERR_FORMAT, "hidden_size 63", "num_attention_heads 2");
    refused(&m, LLAMA ",\"hidden_size\":1e300", NB_ERR_FORMAT, "hidden_size", "whole number");
    refused(&m, LLAMA ",\"num_hidden_layers\":2.5", NB_ERR_FORMAT, "num_hidden_layers", "2.5");
    refused(&m, LLAMA ",\"num_hidden_layers\":4096", NB_ERR_FORMAT, "model.layers.1.", "missing");
    refused(&m, LLAMA ",\"num_key_value_heads\":3", NB_ERR_FORMAT, "num_attention_heads 2", "num_key_value_heads 3");
    refused(&m, LLAMA ",\"head_dim\":33", NB_ERR_FORMAT, "head_dim is 33", "even");
    refused(&m, LLAMA ",\"rope_scaling\":{\"type\":\"spiral\",\"factor\":2}", NB_ERR_UNSUPPORTED, "spiral",
            "known: default");
    refused(&m, LLAMA ",\"rope_scaling\":{\"type\":\"linear\"}", NB_ERR_FORMAT, "factor", "missing");
    refused(
        &m,
        LLAMA
        ",\"rope_scaling\":{\"rope_type\":\"longrope\",\"original_max_position_embeddings\":64,\"long_factor\":[1,2]}",
        NB_ERR_FORMAT, "long_factor", "16");
    refused(&m, LLAMA ",\"layer_types\":[\"full_attention\",\"full_attention\"]", NB_ERR_FORMAT, "layer_types has 2",
            "num_hidden_layers = 1");
    refused(&m, LLAMA ",\"layer_types\":[\"linear\"]", NB_ERR_UNSUPPORTED, "linear", "full_attention");
    refused(&m, LLAMA ",\"layer_types\":[\"sliding_attention\"]", NB_ERR_FORMAT, "sliding", "sliding_window");
    loads(&m, LLAMA ",\"layer_types\":[\"sliding_attention\"],\"sliding_window\":5");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_lying_config),
        cmocka_unit_test(test_wrong_tensors),
        cmocka_unit_test(test_config_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
