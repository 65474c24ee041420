/* SPDX-License-Identifier: Apache-2.0
 *
 * GGUF import: for every type and architecture each number of the result equals GGUF's own formula, read back through
 * MLX's layout; what cannot be imported is refused by name; a failed or cancelled import leaves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "files/config.h"
#include "files/gguf.h"
#include "files/safetensors.h"
#include "support/file_builder.h"

static char *dir, *source, *target;

static int set_up(void **state) {
    (void)state;
    dir = make_temp_dir();
    source = path_join(dir, "model.gguf");
    target = path_join(dir, "new/model");
    return dir && source && target ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    free(source);
    free(target);
    remove_temp_dir(dir);
    return 0;
}

static void write_gguf(gguf_builder *b) {
    buf file = {0};
    gb_finish(b, &file);
    assert_int_equal(file_write(source, file.data, file.len, NULL), NB_OK);
    buf_free(&file);
}

static void write_recipe(const model_recipe *r) {
    gguf_builder b = {0};
    build_model(&b, r);
    write_gguf(&b);
}

static uint16_t u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

/* Number i of a GGUF tensor by the formulas of ggml's format. */
static double gguf_number(const gguf_tensor *t, size_t i) {
    const uint8_t *p = t->data, *b;
    size_t k = i % 32, j = k % 16;
    double d;
    switch (t->type) {
    case GGML_F32: {
        float f;
        memcpy(&f, p + 4 * i, 4);
        return (double)f;
    }
    case GGML_F16:
        return (double)f16_to_f32(u16(p + 2 * i));
    case GGML_BF16:
        return (double)bf16_to_f32(u16(p + 2 * i));
    case GGML_Q4_0:
        b = p + i / 32 * 18, d = (double)f16_to_f32(u16(b));
        return d * ((b[2 + j] >> (k < 16 ? 0 : 4) & 15) - 8);
    case GGML_Q4_1:
        b = p + i / 32 * 20, d = (double)f16_to_f32(u16(b));
        return d * (b[4 + j] >> (k < 16 ? 0 : 4) & 15) + (double)f16_to_f32(u16(b + 2));
    case GGML_Q5_0:
        b = p + i / 32 * 22, d = (double)f16_to_f32(u16(b));
        return d * (((b[6 + j] >> (k < 16 ? 0 : 4) & 15) | (b[2 + k / 8] >> k % 8 & 1) << 4) - 16);
    case GGML_Q5_1:
        b = p + i / 32 * 24, d = (double)f16_to_f32(u16(b));
        return d * ((b[8 + j] >> (k < 16 ? 0 : 4) & 15) | (b[4 + k / 8] >> k % 8 & 1) << 4) +
               (double)f16_to_f32(u16(b + 2));
    default:
        b = p + i / 32 * 34, d = (double)f16_to_f32(u16(b));
        return d * (int8_t)b[2 + k];
    }
}

/* Number (row, col) of an MLX tensor: plain, or codes as one bit stream a row with scales and biases. */
static double mlx_number(const weights *w, const char *module, const tensor *t, int bits, size_t row, size_t col) {
    size_t cols = t->n_dims == 2 ? (size_t)t->shape[1] : 1;
    if (!bits) return float_at(t->data, t->type, (int64_t)(row * cols + col));
    char name[128];
    snprintf(name, sizeof name, "%s.scales", module);
    const tensor *s = weights_find(w, name);
    snprintf(name, sizeof name, "%s.biases", module);
    const tensor *b = weights_find(w, name);
    const uint8_t *stream = (const uint8_t *)t->data + row * cols * 4;
    unsigned code = 0;
    for (int k = 0; k < bits; k++) {
        size_t bit = col * (size_t)bits + (size_t)k;
        code |= (unsigned)(stream[bit / 8] >> bit % 8 & 1) << k;
    }
    int64_t group = (int64_t)row * s->shape[1] + (int64_t)col / 32;
    return float_at(s->data, s->type, group) * code + float_at(b->data, b->type, group);
}

/* Compares one GGUF matrix or vector with its MLX counterpart; heads > 0: rows were interleaved in that many heads. */
static void compare(const gguf *g, const weights *w, const char *from, const char *module, int heads) {
    static const int bits_of[] = {[GGML_Q4_0] = 4, [GGML_Q4_1] = 4, [GGML_Q5_0] = 5, [GGML_Q5_1] = 5, [GGML_Q8_0] = 8};
    const gguf_tensor *t = gguf_tensor_find(g, from);
    assert_non_null(t);
    char name[128];
    snprintf(name, sizeof name, "%s.%s", module, strstr(from, ".bias") ? "bias" : "weight");
    const tensor *m = weights_find(w, name);
    if (!m) fail_msg("%s is missing", name);
    int bits = t->type <= GGML_Q8_0 ? bits_of[t->type] : 0;
    size_t rows = (size_t)t->shape[0], cols = t->n_dims == 2 ? (size_t)t->shape[1] : 1;
    assert_int_equal(m->shape[0], rows);
    if (bits) assert_int_equal(m->shape[1] * 32, cols * (size_t)bits);
    for (size_t r = 0; r < rows; r++) {
        size_t from_row = r;
        if (heads) {
            size_t head_dim = rows / (size_t)heads, i = r % head_dim, half = head_dim / 2;
            from_row = r - i + (i % half) * 2 + i / half;
        }
        for (size_t c = 0; c < cols; c++) {
            double want = gguf_number(t, from_row * cols + c), got = mlx_number(w, module, m, bits, r, c);
            if (want != got) fail_msg("%s [%zu, %zu] is %.17g, expected %.17g", name, r, c, got, want);
        }
    }
}

static void compare_model(const char *arch, bool untied) {
    gguf *g;
    weights *w;
    nb_error err = {0};
    assert_int_equal(gguf_open(source, &g, &err), NB_OK);
    if (weights_open(target, &w, &err)) fail_msg("%s", err.text);
    bool llama = strcmp(arch, "llama") == 0;
    compare(g, w, "token_embd.weight", "model.embed_tokens", 0);
    compare(g, w, "output_norm.weight", "model.norm", 0);
    if (untied) compare(g, w, "output.weight", "lm_head", 0);
    assert_int_equal(weights_find(w, "lm_head.weight") != NULL, untied);
    static const struct {
        const char *from, *to;
    } parts[] = {{"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
                 {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
                 {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
                 {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
                 {"ffn_down", "mlp.down_proj"},       {"attn_q_norm", "self_attn.q_norm"},
                 {"attn_k_norm", "self_attn.k_norm"}};
    for (int layer = 0; layer < 2; layer++)
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            char from[64], to[96];
            snprintf(to, sizeof to, "model.layers.%d.%s", layer, parts[i].to);
            int heads = llama && i == 1 ? 4 : llama && i == 2 ? 2 : 0;
            snprintf(from, sizeof from, "blk.%d.%s.weight", layer, parts[i].from);
            if (gguf_tensor_find(g, from)) compare(g, w, from, to, heads);
            snprintf(from, sizeof from, "blk.%d.%s.bias", layer, parts[i].from);
            if (gguf_tensor_find(g, from)) compare(g, w, from, to, heads);
        }
    weights_close(w);
    gguf_close(g);
}

static void imports_every_type(void **state) {
    (void)state;
    static const uint32_t types[] = {GGML_F32,  GGML_F16,  GGML_BF16, GGML_Q8_0,
                                     GGML_Q4_0, GGML_Q4_1, GGML_Q5_0, GGML_Q5_1};
    static const char *const archs[] = {"llama", "qwen2", "qwen3"};
    for (size_t i = 0; i < 8; i++)
        for (size_t a = 0; a < 3; a++) {
            model_recipe r = {.arch = archs[a], .type = types[i], .untied = i % 2};
            nb_error err = {0};
            write_recipe(&r);
            if (nb_import_gguf(source, target, NULL, NULL, &err)) fail_msg("%s", err.text);
            compare_model(archs[a], r.untied);
            assert_int_equal(dir_remove(target, &err), NB_OK);
        }
}

static void writes_config(void **state) {
    (void)state;
    model_recipe r = {.arch = "llama", .type = GGML_Q4_1, .mixed = true, .embedding_type = GGML_Q8_0};
    nb_error err = {0};
    write_recipe(&r);
    assert_int_equal(dir_make(target, &err), NB_OK); /* an empty directory may be there */
    if (nb_import_gguf(source, target, NULL, NULL, &err)) fail_msg("%s", err.text);
    model_config c;
    generation_config g;
    assert_int_equal(config_open(target, &c, &err), NB_OK);
    assert_string_equal(c.model_type, "llama");
    const cJSON *q = json_get(c.tree, "quantization"), *embedding = json_get(q, "model.embed_tokens");
    assert_int_equal(json_get(q, "bits")->valueint, 4);
    assert_int_equal(json_get(q, "group_size")->valueint, 32);
    assert_int_equal(json_get(embedding, "bits")->valueint, 8);
    assert_true(json_get(c.tree, "rms_norm_eps")->valuedouble == 1e-5);
    assert_true(cJSON_IsTrue(json_get(c.tree, "tie_word_embeddings")));
    assert_int_equal(json_get(c.tree, "vocab_size")->valueint, 265);
    assert_int_equal(generation_config_open(target, &c, &g, &err), NB_OK);
    assert_int_equal(g.n_eos, 2); /* the metadata's, and the one that the chat template writes */
    assert_int_equal(g.eos_ids[0], 0);
    assert_int_equal(g.eos_ids[1], 260);
    generation_config_close(&g);
    config_close(&c);

    char *path = path_join(target, "tokenizer.json");
    cJSON *t;
    assert_int_equal(json_read(path, &t, &err), NB_OK);
    const cJSON *model = json_get(t, "model"), *added = json_get(t, "added_tokens");
    assert_int_equal(cJSON_GetArraySize(json_get(model, "vocab")), 262); /* no padding */
    assert_int_equal(cJSON_GetArraySize(json_get(model, "merges")), 3);
    assert_int_equal(cJSON_GetArraySize(added), 3);
    assert_true(cJSON_IsFalse(json_get(cJSON_GetArrayItem(added, 2), "special")));
    cJSON_Delete(t);
    free(path);
    path = path_join(target, "tokenizer_config.json");
    assert_int_equal(json_read(path, &t, &err), NB_OK);
    assert_string_equal(json_get(t, "chat_template")->valuestring, "{{ \"<|im_start|>\" }}\n{{ messages }}<|im_end|>");
    assert_string_equal(json_get(t, "bos_token")->valuestring, "<|im_start|>");
    cJSON_Delete(t);
    free(path);
    assert_int_equal(dir_remove(target, &err), NB_OK);
}

/* A scale whose bias overflows fp16 (-128 * 1024) makes that tensor's scales fp32. */
static void widens_scales(void **state) {
    (void)state;
    model_recipe r = {.arch = "qwen3", .type = GGML_Q8_0, .scale = 0x6400};
    nb_error err = {0};
    write_recipe(&r);
    if (nb_import_gguf(source, target, NULL, NULL, &err)) fail_msg("%s", err.text);
    compare_model("qwen3", false);
    weights *w;
    assert_int_equal(weights_open(target, &w, &err), NB_OK);
    assert_int_equal(weights_find(w, "model.embed_tokens.scales")->type, DT_F32);
    weights_close(w);
    assert_int_equal(dir_remove(target, &err), NB_OK);
    r.scale = 0x8001; /* the smallest negative number: exact in fp16 */
    write_recipe(&r);
    if (nb_import_gguf(source, target, NULL, NULL, &err)) fail_msg("%s", err.text);
    compare_model("qwen3", false);
    assert_int_equal(weights_open(target, &w, &err), NB_OK);
    assert_int_equal(weights_find(w, "model.embed_tokens.scales")->type, DT_F16);
    weights_close(w);
    assert_int_equal(dir_remove(target, &err), NB_OK);
}

/* The import must fail so, and leave nothing. */
static void refused(nb_status status, const char *words) {
    nb_error err = {0};
    nb_status got = nb_import_gguf(source, target, NULL, NULL, &err);
    if (got != status || !strstr(err.text, words))
        fail_msg("status %d, text \"%s\", expected \"%s\"", got, err.text, words);
    assert_false(path_is_dir(target));
    char temp[512];
    snprintf(temp, sizeof temp, "%s.tmp-%ld", target, (long)getpid());
    assert_false(path_is_dir(temp));
}

static void refused_recipe(const model_recipe *r, nb_status status, const char *words) {
    write_recipe(r);
    refused(status, words);
}

static void refuses(void **state) {
    (void)state;
    model_recipe good = {.arch = "llama", .type = GGML_Q4_0}, r = good;
    r.arch = "gemma3";
    refused_recipe(&r, NB_ERR_UNSUPPORTED, "architecture \"gemma3\"");
    r = good, r.mixed = true, r.embedding_type = 12;
    refused_recipe(&r, NB_ERR_UNSUPPORTED, "tensor token_embd.weight is of type Q4_K");
    r = good, r.leave_out = "blk.1.ffn_up.weight";
    refused_recipe(&r, NB_ERR_NOT_FOUND, "tensor blk.1.ffn_up.weight is missing");
    r = good, r.extra = "blk.0.attn_sinks.weight";
    refused_recipe(&r, NB_ERR_UNSUPPORTED, "tensor blk.0.attn_sinks.weight is no part of a llama model");
    r = good, r.pre = "martian";
    refused_recipe(&r, NB_ERR_UNSUPPORTED, "pre-tokenizer \"martian\"");
    r = good, r.tokenizer = "llama";
    refused_recipe(&r, NB_ERR_UNSUPPORTED, "tokenizer \"llama\"");
    r = good, r.scale = 0x7e00;
    refused_recipe(&r, NB_ERR_FORMAT, "tensor token_embd.weight: the scale of block 0 is NaN");
    r = good, r.extra = "rope_freqs.weight";
    refused_recipe(&r, NB_ERR_FORMAT, "rope_freqs.weight");
    gguf_builder b = {0};
    build_model(&b, &good);
    gb_u32(&b, "llama.expert_count", 8);
    write_gguf(&b);
    refused(NB_ERR_UNSUPPORTED, "8 experts");
    build_model(&b, &good);
    gb_str(&b, "llama.rope.scaling.type", "longrope");
    write_gguf(&b);
    refused(NB_ERR_UNSUPPORTED, "longrope");
    build_model(&b, &good);
    gb_u32(&b, "tokenizer.ggml.unknown_token_id", 265);
    write_gguf(&b);
    refused(NB_ERR_FORMAT, "unknown_token_id is 265");
    assert_int_equal(file_write(source, "no", 2, NULL), NB_OK);
    refused(NB_ERR_FORMAT, "no GGUF file");
    unlink(source);
    refused(NB_ERR_NOT_FOUND, "model.gguf");
}

static bool stop_later(void *user, const char *stage, double done, double total) {
    assert_string_equal(stage, "import");
    assert_true(done <= total);
    return --*(int *)user > 0;
}

static void cancels(void **state) {
    (void)state;
    model_recipe r = {.arch = "qwen2", .type = GGML_Q5_1};
    write_recipe(&r);
    for (int calls = 1; calls < 50; calls += 7) {
        int left = calls;
        nb_error err = {0};
        assert_int_equal(nb_import_gguf(source, target, stop_later, &left, &err), NB_ERR_CANCELLED);
        assert_false(path_is_dir(target));
    }
    nb_error err = {0};
    assert_int_equal(nb_import_gguf(source, dir, NULL, NULL, &err), NB_ERR_ARGUMENT); /* holds the GGUF itself */
    assert_non_null(strstr(err.text, "not empty"));
    assert_int_equal(nb_import_gguf(source, "/proc/nibble/x", NULL, NULL, &err) == NB_OK, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imports_every_type),
        cmocka_unit_test(writes_config),
        cmocka_unit_test(widens_scales),
        cmocka_unit_test(refuses),
        cmocka_unit_test(cancels),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
