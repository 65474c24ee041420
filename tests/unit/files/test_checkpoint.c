/* SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint's names and layouts: each rule by which tensors come under MLX's names, each contradiction, and how
 * config.json's quantization finds its modules. Files in memory whose bytes are 0, 1, 2, ... */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "files/quant_config.h"
#include "support/file_builder.h"

/* What a test looks at; made from a config and lines "name TYPE dim,dim,..". */
typedef struct fixture {
    buf file;
    model_config config;
    weights *files;
    checkpoint *table;
    quant_config *quantization;
} fixture;

static size_t type_size(const char *type) {
    return dtype_size(dtype_from_safetensors(type));
}

static nb_status open_lines(fixture *f, const char *config, const char *lines, nb_error *err) {
    buf header = {0};
    size_t at = 0;
    *f = (fixture){0};
    buf_puts(&header, "{");
    while (*lines) {
        char name[200], type[8], shape[64];
        int used = 0;
        if (sscanf(lines, " %199s %7s %63s%n", name, type, shape, &used) != 3) fail_msg("bad line: %s", lines);
        lines += used;
        while (*lines == '\n' || *lines == ' ') lines++;
        size_t bytes = type_size(type);
        for (const char *p = shape; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) bytes *= (size_t)atoll(p);
        buf_printf(&header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                   header.len > 1 ? "," : "", name, type, shape, at, at + bytes);
        at += bytes;
    }
    buf_puts(&header, "}");
    build_safetensors(&f->file, header.data, at);
    buf_free(&header);
    nb_status status = config_parse(config, strlen(config), "config.json", &f->config, err);
    if (!status) status = weights_open_memory(f->file.data, f->file.len, "model.safetensors", &f->files, err);
    if (!status) status = quant_config_open(&f->config, &f->quantization, err);
    return status ? status : checkpoint_open(&f->config, f->files, &f->table, err);
}

static void close_lines(fixture *f) {
    checkpoint_close(f->table);
    quant_config_close(f->quantization);
    weights_close(f->files);
    config_close(&f->config);
    buf_free(&f->file);
}

static void opens(fixture *f, const char *config, const char *lines) {
    nb_error err = {0};
    if (open_lines(f, config, lines, &err)) fail_msg("%s", err.text);
}

/* It fails, and the text has both words. */
static void refused(const char *config, const char *lines, nb_status want, const char *a, const char *b) {
    fixture f;
    nb_error err = {0};
    nb_status status = open_lines(&f, config, lines, &err);
    if (status != want || !strstr(err.text, a) || !strstr(err.text, b))
        fail_msg("status %d, \"%s\"; expected %d, \"%s\" and \"%s\"", status, err.text, want, a, b);
    close_lines(&f);
}

static const checkpoint_tensor *has(const fixture *f, const char *name, const char *shape) {
    const checkpoint_tensor *t = checkpoint_find(f->table, name);
    char text[200];
    if (!t) fail_msg("no %s", name);
    assert_string_equal(tensor_shape_text(t->n_dims, t->shape, text), shape);
    return t;
}

static const char *const LLAMA = "{\"model_type\":\"llama\"}";
static const char *const QWEN = "{\"model_type\":\"qwen3_5_moe\",\"text_config\":{\"num_experts\":2}}";

static void test_prefixes(void **state) {
    (void)state;
    static const char *const forms[][2] = {{"model.norm.weight", "lm_head.weight"},
                                           {"language_model.model.norm.weight", "language_model.lm_head.weight"},
                                           {"model.language_model.norm.weight", "lm_head.weight"},
                                           {"language_model.norm.weight", "language_model.lm_head.weight"}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        fixture f;
        char lines[300];
        snprintf(lines, sizeof lines, "%s F16 4\n%s F16 3,4", forms[i][0], forms[i][1]);
        opens(&f, LLAMA, lines);
        assert_string_equal(has(&f, "model.norm.weight", "[4]")->original, forms[i][0]);
        has(&f, "lm_head.weight", "[3, 4]");
        assert_int_equal(checkpoint_count(f.table), 2);
        close_lines(&f);
    }
    refused(LLAMA, "model.norm.weight F16 4\nmodel.language_model.norm.weight F16 4", NB_ERR_FORMAT,
            "model.norm.weight (model.safetensors)", "are both model.norm.weight");
}

static int n_lines;
static void count_lines(void *user, nb_log_level level, const char *line) {
    (void)user;
    if (level == NB_LOG_WARN && strstr(line, "vision and audio")) n_lines++;
}

static void test_left_out(void **state) {
    (void)state;
    fixture f;
    n_lines = 0;
    nb_log_set(count_lines, NULL, NB_LOG_WARN);
    opens(&f, QWEN,
          "model.language_model.norm.weight BF16 4\nmodel.visual.blocks.0.w BF16 2,3\nvision_tower.x BF16 5\n"
          "model.audio_tower.y BF16 1\nmulti_modal_projector.z BF16 1\nmodel.embed_vision.e BF16 1\n"
          "model.vision_embedder.v BF16 1\nmtp.layers.0.input_layernorm.weight BF16 4\nmtp.fc.weight BF16 2,2\n"
          "model.layers.0.self_attn.rotary_emb.inv_freq F32 8\nmodel.layers.0.mlp.up_proj.input_max BF16 1");
    nb_log_set(NULL, NULL, NB_LOG_WARN);
    assert_int_equal(n_lines, 1);
    checkpoint_skipped s = checkpoint_get_skipped(f.table);
    assert_int_equal(s.n_other, 6);
    assert_int_equal(s.other_bytes, 2 * (6 + 5 + 4));
    assert_int_equal(s.n_aside, 2);
    assert_int_equal(s.aside_bytes, 2 * (4 + 4));
    assert_int_equal(checkpoint_count(f.table), 3);
    assert_true(has(&f, "mtp.fc.weight", "[2, 2]")->aside);
    assert_false(has(&f, "model.norm.weight", "[4]")->aside);
    close_lines(&f);
}

static void test_unconverted(void **state) {
    (void)state;
    fixture f;
    const char *norms = "model.language_model.norm.weight BF16 4\n"
                        "model.language_model.layers.0.input_layernorm.weight BF16 4\n"
                        "model.language_model.layers.0.linear_attn.norm.weight BF16 4\n"
                        "model.language_model.layers.1.self_attn.q_norm.weight BF16 4\n";
    char lines[500];
    for (int converted = 0; converted < 2; converted++) {
        snprintf(lines, sizeof lines, "%smodel.language_model.layers.0.linear_attn.conv1d.weight BF16 %s", norms,
                 converted ? "6,4,1" : "6,1,4");
        opens(&f, QWEN, lines);
        has(&f, "model.layers.0.linear_attn.conv1d.weight", "[6, 4, 1]");
        assert_int_equal(has(&f, "model.norm.weight", "[4]")->plus_one, !converted);
        assert_int_equal(has(&f, "model.layers.0.input_layernorm.weight", "[4]")->plus_one, !converted);
        assert_int_equal(has(&f, "model.layers.1.self_attn.q_norm.weight", "[4]")->plus_one, !converted);
        assert_false(has(&f, "model.layers.0.linear_attn.norm.weight", "[4]")->plus_one);
        close_lines(&f);
    }
}

#define E "model.layers.0.mlp.experts."

static void test_experts(void **state) {
    (void)state;
    fixture f;
    uint8_t rows[64];
    /* one by one, in any order; bytes count through the file */
    opens(&f, QWEN,
          E "1.up_proj.weight U8 2,4\n" E "0.up_proj.weight U8 2,4\n" E "0.down_proj.scales F16 3,1\n" E
            "1.down_proj.scales F16 3,1");
    const checkpoint_tensor *t = has(&f, "model.layers.0.mlp.switch_mlp.up_proj.weight", "[2, 2, 4]");
    assert_int_equal(t->n_pieces, 2);
    checkpoint_read(t, 1, 2, rows); /* expert 0's second row, expert 1's first */
    const uint8_t across[] = {12, 13, 14, 15, 0, 1, 2, 3};
    assert_memory_equal(rows, across, 8);
    has(&f, "model.layers.0.mlp.switch_mlp.down_proj.scales", "[2, 3, 1]");
    close_lines(&f);
    /* stacked, gate and up in one */
    opens(&f, QWEN,
          "model.language_model.layers.0.mlp.experts.gate_up_proj U8 2,4,2\n"
          "model.language_model.layers.0.mlp.experts.down_proj U8 2,2,2");
    t = has(&f, "model.layers.0.mlp.switch_mlp.up_proj.weight", "[2, 2, 2]");
    checkpoint_read(t, 0, 4, rows);
    const uint8_t up[] = {4, 5, 6, 7, 12, 13, 14, 15};
    assert_memory_equal(rows, up, 8);
    has(&f, "model.layers.0.mlp.switch_mlp.gate_proj.weight", "[2, 2, 2]");
    has(&f, "model.layers.0.mlp.switch_mlp.down_proj.weight", "[2, 2, 2]");
    close_lines(&f);
    /* Gemma's are not inside of "mlp" */
    opens(&f, "{\"model_type\":\"gemma4_text\",\"num_hidden_layers\":1,\"num_kv_shared_layers\":0}",
          "model.layers.0.experts.gate_up_proj U8 2,4,2\nmodel.layers.0.experts.down_proj U8 2,2,2");
    has(&f, "model.layers.0.experts.switch_glu.gate_proj.weight", "[2, 2, 2]");
    has(&f, "model.layers.0.experts.switch_glu.down_proj.weight", "[2, 2, 2]");
    close_lines(&f);
}

static void test_bad_experts(void **state) {
    (void)state;
    refused(QWEN, E "0.up_proj.weight F16 2,4", NB_ERR_FORMAT, "of expert 1 is missing", "num_experts is 2");
    refused(QWEN, E "1.up_proj.weight F16 2,4", NB_ERR_FORMAT, "of expert 0 is missing", "num_experts is 2");
    refused(QWEN, E "0.up_proj.weight F16 2,4\n" E "1.up_proj.weight F16 2,4\n" E "2.up_proj.weight F16 2,4",
            NB_ERR_FORMAT, "experts.2.up_proj.weight", "num_experts is 2");
    refused("{\"model_type\":\"qwen3_moe\"}", E "0.up_proj.weight F16 2,4\n" E "999999.up_proj.weight F16 2,4",
            NB_ERR_FORMAT, "of expert 1 is missing", "999999");
    refused(QWEN, E "0.up_proj.weight F16 2,4\n" E "1.up_proj.weight F16 2,6", NB_ERR_FORMAT, "[2, 4]", "[2, 6]");
    refused(QWEN, E "0.up_proj.weight F16 2,4\n" E "1.up_proj.weight BF16 2,4", NB_ERR_FORMAT, "f16", "bf16");
    refused(QWEN, E "0.up_proj.weight F16 2,4\n" E "1.up_proj.weight F16 2,4\n" E "gate_up_proj F16 2,4,4",
            NB_ERR_FORMAT, "are both", "gate_up_proj");
    refused(QWEN, E "gate_up_proj F16 2,3,4", NB_ERR_FORMAT, "[2, 3, 4]", "even");
    refused(QWEN, E "gate_up_proj F16 2,4", NB_ERR_FORMAT, "[2, 4]", "3 dimensions");
    refused(QWEN, E "gate_up_proj F16 100000,2,0", NB_ERR_FORMAT, "gate_up_proj", "65536");
}

#define GPT "{\"model_type\":\"gpt_oss\",\"num_local_experts\":2,\"quantization_config\":{\"quant_method\":\"mxfp4\"}}"

static void test_gpt_oss(void **state) {
    (void)state;
    fixture f;
    nb_error err = {0};
    quant_module m;
    uint8_t rows[64];
    opens(&f, GPT,
          E "gate_up_proj_blocks U8 2,4,1,16\n" E "gate_up_proj_scales U8 2,4,1\n" E "gate_up_proj_bias U8 2,4\n" E
            "down_proj_blocks U8 2,3,2,16\n" E "down_proj_scales U8 2,3,2\n" E "down_proj_bias BF16 2,3");
    const checkpoint_tensor *t = has(&f, E "up_proj.weight", "[2, 2, 4]");
    assert_int_equal(t->type, DT_U32);
    checkpoint_read(t, 1, 2, rows); /* row 3 of expert 0, row 1 of expert 1 */
    assert_int_equal(rows[0], 48);
    assert_int_equal(rows[16], 64 + 16);
    checkpoint_read(has(&f, E "up_proj.scales", "[2, 2, 1]"), 0, 4, rows);
    assert_memory_equal(rows, ((uint8_t[]){(uint8_t)(128 + 1), (uint8_t)(128 + 3), (uint8_t)(128 + 5), 128 + 7}), 4);
    has(&f, E "gate_proj.bias", "[2, 2]");
    t = has(&f, E "down_proj.weight", "[2, 3, 8]");
    assert_true(checkpoint_is_plain(t));
    assert_int_equal(quant_module_find(f.quantization, f.table, "model.layers.0.mlp.experts.down_proj", 64, &m, &err),
                     NB_OK);
    assert_int_equal(m.params.mode, W_MXFP4);
    close_lines(&f);
    refused(GPT, E "gate_up_proj BF16 2,4,4", NB_ERR_UNSUPPORTED, "gate_up_proj", "mxfp4 blocks");
    refused(GPT, E "down_proj_blocks U8 2,3,2,8", NB_ERR_FORMAT, "[2, 3, 2, 8]", "16]");
    refused(GPT, E "gate_up_proj_bias BF16 2,3", NB_ERR_FORMAT, "[2, 3]", "even");
}

static void test_shared_and_tied(void **state) {
    (void)state;
    fixture f;
    opens(&f, "{\"model_type\":\"gemma4_text\",\"num_hidden_layers\":3,\"num_kv_shared_layers\":1}",
          "model.layers.1.self_attn.k_proj.weight F16 1,4\nmodel.layers.2.self_attn.k_proj.weight F16 1,4\n"
          "model.layers.2.self_attn.q_proj.weight F16 1,4\nmodel.layers.2.self_attn.k_norm.weight F16 4");
    assert_int_equal(checkpoint_count(f.table), 2);
    has(&f, "model.layers.1.self_attn.k_proj.weight", "[1, 4]");
    close_lines(&f);
    const char *tied = "{\"model_type\":\"llama\",\"tie_word_embeddings\":true}";
    /* bytes count modulo 256: equal ones */
    opens(&f, tied, "lm_head.weight F16 4,32\nmodel.embed_tokens.weight F16 4,32");
    assert_null(checkpoint_find(f.table, "lm_head.weight"));
    assert_int_equal(checkpoint_count(f.table), 1);
    close_lines(&f);
    refused(tied, "lm_head.weight F16 4,31\nmodel.embed_tokens.weight F16 4,31", NB_ERR_FORMAT, "tie_word_embeddings",
            "lm_head.weight");
    refused(tied, "lm_head.weight F16 4,32", NB_ERR_FORMAT, "tie_word_embeddings", "model.embed_tokens.weight");
}

/* ---- Quantization ---------------------------------------------------------------------------------------------- */

#define LINES                                                                                                          \
    "model.language_model.layers.0.mlp.up_proj.weight U32 2,8\n"                                                       \
    "model.language_model.layers.0.mlp.up_proj.scales F16 2,1\n"                                                       \
    "model.language_model.layers.0.mlp.up_proj.biases F16 2,1"
#define MODULE "model.layers.0.mlp.up_proj"

/* Under this block the module of LINES has these bits (0: not quantized), or the error has the text. */
static void reads(const char *block, const char *lines, int64_t k, int bits, int group, const char *error) {
    fixture f;
    nb_error err = {0};
    quant_module m;
    char config[600];
    snprintf(config, sizeof config, "{\"model_type\":\"llama\"%s}", block);
    opens(&f, config, lines);
    nb_status status = quant_module_find(f.quantization, f.table, MODULE, k, &m, &err);
    if (error) {
        if (!status || !strstr(err.text, error)) fail_msg("%s: \"%s\", expected \"%s\"", block, err.text, error);
    } else {
        if (status) fail_msg("%s: %s", block, err.text);
        assert_int_equal(m.params.quantized ? m.params.bits : 0, bits);
        assert_int_equal(m.params.quantized ? m.params.group_size : 0, group);
    }
    close_lines(&f);
}

#define Q(more) ",\"quantization\":{\"group_size\":64,\"bits\":4" more "}"

static void test_overrides(void **state) {
    (void)state;
    reads(Q(""), LINES, 64, 4, 64, NULL);
    reads(",\"quantization_config\":{\"group_size\":64,\"bits\":4}", LINES, 64, 4, 64, NULL);
    reads(",\"text_config\":{\"quantization\":{\"group_size\":64,\"bits\":4}}", LINES, 64, 4, 64, NULL);
    reads("", LINES, 64, 0, 0, "no \"quantization\"");
    /* every name that the module has; a dict without a mode is affine, 4 bits, 64, whatever the global block is */
    static const char *const keys[] = {"model.layers.0.mlp.up_proj", "language_model.model.layers.0.mlp.up_proj",
                                       "model.language_model.layers.0.mlp.up_proj",
                                       "language_model.layers.0.mlp.up_proj"};
    for (int i = 0; i < 4; i++) {
        char block[200];
        snprintf(block, sizeof block, ",\"quantization\":{\"mode\":\"nvfp4\",\"%s\":{\"group_size\":64}}", keys[i]);
        reads(block, LINES, 64, 4, 64, NULL);
        snprintf(block, sizeof block, Q(",\"%s\":false"), keys[i]);
        reads(block, LINES, 64, 0, 0, NULL);
        snprintf(block, sizeof block, Q(",\"%s\":{}"), keys[i]);
        reads(block, LINES, 64, 0, 0, NULL);
        snprintf(block, sizeof block, Q(",\"%s\":true"), keys[i]);
        reads(block, LINES, 64, 4, 64, NULL);
        snprintf(block, sizeof block, Q(",\"%s\":\"x\""), keys[i]);
        reads(block, LINES, 64, 0, 0, "expected an object, true or false");
        snprintf(block, sizeof block, Q(",\"%s\":{\"mode\":\"x\"}"), keys[i]);
        reads(block, LINES, 64, 0, 0, "mode \"x\"");
    }
    /* the key as it is wins over one with a prefix */
    reads(Q(",\"language_model." MODULE "\":false,\"" MODULE "\":true"), LINES, 64, 4, 64, NULL);
    /* fused experts by the name in the files */
    fixture f;
    nb_error err = {0};
    quant_params p;
    bool named;
    opens(&f, "{\"model_type\":\"llama\"" Q(",\"model.layers.0.mlp.experts.gate_up_proj\":{\"bits\":8}") "}", LINES);
    assert_int_equal(quant_config_named(f.quantization, "model.layers.0.mlp.switch_mlp.up_proj",
                                        "model.language_model.layers.0.mlp.experts.gate_up_proj", &p, &named, &err),
                     NB_OK);
    assert_true(named && p.bits == 8);
    close_lines(&f);
}

static void test_shapes_decide(void **state) {
    (void)state;
    reads(",\"quantization\":{\"group_size\":64,\"bits\":8}", LINES, 64, 4, 64, NULL);
    reads(",\"quantization\":{\"mode\":\"mxfp4\"}", LINES, 64, 4, 64, NULL);
    /* without the columns: 4 bits in 64, 2 bits in 128 (and nothing else) fit; the config's own does or does not */
    reads(",\"quantization\":{\"group_size\":128,\"bits\":2}", LINES, 0, 2, 128, NULL);
    reads(",\"quantization\":{\"group_size\":128,\"bits\":4}", LINES, 0, 0, 0,
          "does not fit affine, bits 4, group_size 128");
    reads(Q(""), MODULE ".weight U32 2,9\n" MODULE ".scales F16 2,1", 64, 0, 0, "does not fit");
    reads(Q(""), MODULE ".weight U32 2,8\n" MODULE ".scales F16 2,1", 64, 4, 64, NULL); /* biases: zeros */
    reads(Q(""), MODULE ".weight U32 2,8\n" MODULE ".scales U8 2,2", 64, 4, 32, NULL);  /* mxfp4 */
    reads(Q(""), MODULE ".weight U32 2,16\n" MODULE ".scales U8 2,2", 64, 8, 32, NULL); /* mxfp8 */
    reads(Q(""), MODULE ".weight U32 2,8\n" MODULE ".scales U8 2,4", 64, 4, 16, NULL);  /* nvfp4 */
    reads(Q(""), MODULE ".weight U32 2,8\n" MODULE ".scales U8 2,4\n" MODULE ".biases U8 2,4", 64, 0, 0,
          "does not fit");
    reads(Q(""), MODULE ".weight U32 2,8\n" MODULE ".scales F16 2,1\n" MODULE ".biases BF16 2,1", 64, 0, 0, "bf16");
    reads(Q(""), MODULE ".weight U32 2,8\n" MODULE ".scales F16 3,1", 64, 0, 0, "does not go with");
    reads(Q(""), MODULE ".weight F16 2,64\n" MODULE ".scales F16 2,1", 64, 0, 0, "expected u32");
    reads(Q(",\"" MODULE "\":true"), MODULE ".weight F16 2,64", 64, 0, 0, "scales is missing");
    reads(Q(""), MODULE ".weight F16 2,64", 64, 0, 0, NULL);
    reads(Q(""), LINES "\n" MODULE ".global_scale F32 1", 64, 0, 0, "global scale");
}

static void test_other_tools(void **state) {
    (void)state;
    static const char *const methods[] = {"awq", "gptq", "bitnet", "compressed-tensors", "fp8"};
    for (int i = 0; i < 5; i++) {
        char config[200];
        snprintf(config, sizeof config, "{\"model_type\":\"llama\",\"quantization_config\":{\"quant_method\":\"%s\"}}",
                 methods[i]);
        refused(config, LINES, NB_ERR_UNSUPPORTED, methods[i], "quant_method");
    }
    refused("{\"model_type\":\"llama\",\"quantization\":{\"mode\":\"q4_k\"}}", LINES, NB_ERR_UNSUPPORTED, "q4_k",
            "nvfp4");
    refused("{\"model_type\":\"llama\",\"quantization\":{\"bits\":7}}", LINES, NB_ERR_FORMAT, "bits is 7", "8");
    refused("{\"model_type\":\"llama\",\"quantization\":3}", LINES, NB_ERR_FORMAT, "quantization", "no object");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes),        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_unconverted),     cmocka_unit_test(test_experts),
        cmocka_unit_test(test_bad_experts),     cmocka_unit_test(test_gpt_oss),
        cmocka_unit_test(test_shared_and_tied), cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_shapes_decide),   cmocka_unit_test(test_other_tools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
