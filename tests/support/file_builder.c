/* SPDX-License-Identifier: Apache-2.0
 *
 * Files in memory for tests. Everything is little-endian, as the formats are. */
#include "support/file_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "files/gguf.h"

static void put_uint(buf *b, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) buf_putc(b, (char)(value >> 8 * i & 0xff));
}

static void put_string(buf *b, const char *text) {
    put_uint(b, strlen(text), 8);
    buf_puts(b, text);
}

void build_safetensors(buf *out, const char *header, size_t data_bytes) {
    put_uint(out, strlen(header), 8);
    buf_puts(out, header);
    for (size_t i = 0; i < data_bytes; i++) buf_putc(out, (char)i);
}

static void put_key(gguf_builder *b, const char *key, gguf_type type) {
    put_string(&b->pairs, key);
    put_uint(&b->pairs, type, 4);
    b->n_pairs++;
}

void gb_u32(gguf_builder *b, const char *key, uint32_t value) {
    put_key(b, key, GGUF_U32);
    put_uint(&b->pairs, value, 4);
}

void gb_f32(gguf_builder *b, const char *key, float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    put_key(b, key, GGUF_F32);
    put_uint(&b->pairs, bits, 4);
}

void gb_bool(gguf_builder *b, const char *key, bool value) {
    put_key(b, key, GGUF_BOOL);
    put_uint(&b->pairs, value, 1);
}

void gb_str(gguf_builder *b, const char *key, const char *value) {
    put_key(b, key, GGUF_STRING);
    put_string(&b->pairs, value);
}

void gb_str_array(gguf_builder *b, const char *key, const char *const *values, size_t n) {
    put_key(b, key, GGUF_ARRAY);
    put_uint(&b->pairs, GGUF_STRING, 4);
    put_uint(&b->pairs, n, 8);
    for (size_t i = 0; i < n; i++) put_string(&b->pairs, values[i]);
}

void gb_i32_array(gguf_builder *b, const char *key, const int32_t *values, size_t n) {
    put_key(b, key, GGUF_ARRAY);
    put_uint(&b->pairs, GGUF_I32, 4);
    put_uint(&b->pairs, n, 8);
    for (size_t i = 0; i < n; i++) put_uint(&b->pairs, (uint32_t)values[i], 4);
}

void gb_tensor(gguf_builder *b, const char *name, uint32_t type, int n_dims, const int64_t *shape, const void *data,
               size_t bytes) {
    while (b->data.len % 32) buf_putc(&b->data, 0);
    put_string(&b->infos, name);
    put_uint(&b->infos, (uint64_t)n_dims, 4);
    for (int i = n_dims - 1; i >= 0; i--) put_uint(&b->infos, (uint64_t)shape[i], 8);
    put_uint(&b->infos, type, 4);
    put_uint(&b->infos, b->data.len, 8);
    buf_put(&b->data, data, bytes);
    b->n_tensors++;
}

void gb_finish(gguf_builder *b, buf *out) {
    buf_puts(out, "GGUF");
    put_uint(out, 3, 4);
    put_uint(out, b->n_tensors, 8);
    put_uint(out, b->n_pairs, 8);
    buf_put(out, b->pairs.data, b->pairs.len);
    buf_put(out, b->infos.data, b->infos.len);
    while (out->len % 32) buf_putc(out, 0);
    buf_put(out, b->data.data, b->data.len);
    buf_free(&b->pairs);
    buf_free(&b->infos);
    buf_free(&b->data);
    *b = (gguf_builder){0};
}

/* ---- A whole model ------------------------------------------------------------------------------------------- */

enum { HIDDEN = 64, FFN = 96, HEADS = 4, KV_HEADS = 2, LAYERS = 2, VOCAB = 265, ALPHABET = 256 };

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static size_t block_bytes(uint32_t type, size_t *block) {
    *block = 32;
    switch (type) {
    case GGML_Q4_0:
        return 18;
    case GGML_Q4_1:
        return 20;
    case GGML_Q5_0:
        return 22;
    case GGML_Q5_1:
        return 24;
    case GGML_Q8_0:
        return 34;
    default:
        *block = 1;
        return type == GGML_F32 ? 4 : 2;
    }
}

/* Random codes; scales, minima and floats are positive fp16 / bf16 / fp32 numbers between 2^-7 and 2. */
static void add_random(gguf_builder *b, const model_recipe *r, const char *name, uint32_t type, int64_t rows,
                       int64_t cols) {
    if (r->leave_out && strcmp(r->leave_out, name) == 0) return;
    static uint32_t state = 1;
    size_t block, bytes = block_bytes(type, &block), n = (size_t)(rows * (cols ? cols : 1)) / block;
    buf data = {0};
    for (size_t i = 0; i < n; i++) {
        size_t at = data.len;
        for (size_t k = 0; k < bytes; k++) buf_putc(&data, (char)next_random(&state));
        uint8_t *p = (uint8_t *)data.data + at;
        size_t halves = type == GGML_Q4_1 || type == GGML_Q5_1 ? 2 : type == GGML_F32 ? 0 : 1;
        for (size_t h = 0; h < halves; h++) p[2 * h + 1] = (uint8_t)(0x20 | (p[2 * h + 1] & 0x1f));
        if (type == GGML_BF16 || type == GGML_F32) p[bytes - 1] = 0x3f;
        if (r->scale && block == 32) {
            p[0] = (uint8_t)r->scale;
            p[1] = (uint8_t)(r->scale >> 8);
        }
    }
    int64_t shape[2] = {rows, cols};
    gb_tensor(b, name, type, cols ? 2 : 1, shape, data.data, data.len);
    buf_free(&data);
}

static void add_in_layer(gguf_builder *b, const model_recipe *r, int layer, const char *part, uint32_t type,
                         int64_t rows, int64_t cols) {
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s", layer, part);
    add_random(b, r, name, type, rows, cols);
}

static void add_layer(gguf_builder *b, const model_recipe *r, int i, int64_t head_dim) {
    int64_t q = HEADS * head_dim, kv = KV_HEADS * head_dim;
    add_in_layer(b, r, i, "attn_norm.weight", GGML_F32, HIDDEN, 0);
    add_in_layer(b, r, i, "attn_q.weight", r->type, q, HIDDEN);
    add_in_layer(b, r, i, "attn_k.weight", r->type, kv, HIDDEN);
    add_in_layer(b, r, i, "attn_v.weight", r->type, kv, HIDDEN);
    add_in_layer(b, r, i, "attn_output.weight", r->type, HIDDEN, q);
    if (strcmp(r->arch, "qwen2") == 0) {
        add_in_layer(b, r, i, "attn_q.bias", GGML_F32, q, 0);
        add_in_layer(b, r, i, "attn_k.bias", GGML_F32, kv, 0);
        add_in_layer(b, r, i, "attn_v.bias", GGML_F32, kv, 0);
    }
    if (strcmp(r->arch, "qwen3") == 0) {
        add_in_layer(b, r, i, "attn_q_norm.weight", GGML_F32, head_dim, 0);
        add_in_layer(b, r, i, "attn_k_norm.weight", GGML_F32, head_dim, 0);
    }
    add_in_layer(b, r, i, "ffn_norm.weight", GGML_F32, HIDDEN, 0);
    add_in_layer(b, r, i, "ffn_gate.weight", r->type, FFN, HIDDEN);
    add_in_layer(b, r, i, "ffn_up.weight", r->type, FFN, HIDDEN);
    add_in_layer(b, r, i, "ffn_down.weight", r->type, HIDDEN, FFN);
}

static void arch_u32(gguf_builder *b, const char *arch, const char *field, uint32_t value) {
    char key[80];
    snprintf(key, sizeof key, "%s.%s", arch, field);
    gb_u32(b, key, value);
}

/* 256 one-character tokens (not the real byte alphabet: only the file matters here), merges, special ones. */
static void add_tokenizer(gguf_builder *b, const model_recipe *r) {
    static const char *const rest[] = {"ab",         "abc",    "12",     "<|im_start|>", "<|im_end|>",
                                       "<user def>", "[PAD0]", "[PAD1]", "[PAD2]"};
    static const char *const merges[] = {"a b", "ab c", "1 2"};
    char alphabet[ALPHABET][4];
    const char *tokens[VOCAB];
    int32_t kinds[VOCAB];
    for (int i = 0; i < VOCAB; i++) {
        kinds[i] = i < 259 ? 1 : i < 261 ? 3 : i < 262 ? 4 : 5;
        tokens[i] = i < ALPHABET ? alphabet[i] : rest[i - ALPHABET];
        int c = i + 33;
        if (i < ALPHABET && c < 127)
            snprintf(alphabet[i], 4, "%c", c);
        else if (i < ALPHABET)
            snprintf(alphabet[i], 4, "%c%c", 0xc0 | (c + 64) >> 6, 0x80 | ((c + 64) & 63));
    }
    gb_str(b, "tokenizer.ggml.model", r->tokenizer ? r->tokenizer : "gpt2");
    gb_str(b, "tokenizer.ggml.pre", r->pre ? r->pre : "smollm");
    gb_str_array(b, "tokenizer.ggml.tokens", tokens, VOCAB);
    gb_i32_array(b, "tokenizer.ggml.token_type", kinds, VOCAB);
    gb_str_array(b, "tokenizer.ggml.merges", merges, 3);
    gb_u32(b, "tokenizer.ggml.bos_token_id", 259);
    gb_u32(b, "tokenizer.ggml.eos_token_id", 0);
    gb_str(b, "tokenizer.chat_template", "{{ \"<|im_start|>\" }}\n{{ messages }}<|im_end|>");
}

void build_model(gguf_builder *b, const model_recipe *r) {
    int64_t head_dim = strcmp(r->arch, "qwen3") == 0 ? 32 : HIDDEN / HEADS;
    gb_str(b, "general.architecture", r->arch);
    arch_u32(b, r->arch, "block_count", LAYERS);
    arch_u32(b, r->arch, "context_length", 512);
    arch_u32(b, r->arch, "embedding_length", HIDDEN);
    arch_u32(b, r->arch, "feed_forward_length", FFN);
    arch_u32(b, r->arch, "attention.head_count", HEADS);
    arch_u32(b, r->arch, "attention.head_count_kv", KV_HEADS);
    arch_u32(b, r->arch, "attention.key_length", (uint32_t)head_dim);
    char key[80];
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", r->arch);
    gb_f32(b, key, 1e-5f);
    add_tokenizer(b, r);
    add_random(b, r, "token_embd.weight", r->mixed ? r->embedding_type : r->type, VOCAB, HIDDEN);
    for (int i = 0; i < LAYERS; i++) add_layer(b, r, i, head_dim);
    add_random(b, r, "output_norm.weight", GGML_F32, HIDDEN, 0);
    if (r->untied) add_random(b, r, "output.weight", r->type, VOCAB, HIDDEN);
    if (r->extra) add_random(b, r, r->extra, GGML_F32, HIDDEN, 0);
}

/* ---- Directories --------------------------------------------------------------------------------------------- */

char *make_temp_dir(void) {
    const char *base = getenv("TMPDIR");
    char *path = path_join(base && *base ? base : "/tmp", "nibble-test-XXXXXX");
    if (path && mkdtemp(path)) return path;
    free(path);
    return NULL;
}

void remove_temp_dir(char *path) {
    if (path) dir_remove(path, NULL);
    free(path);
}
