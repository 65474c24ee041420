/* SPDX-License-Identifier: Apache-2.0
 *
 * GGUF import: what the model is. Reads the sizes of the llama, qwen2 and qwen3 architectures from the metadata, gives
 * every tensor its MLX name and checks its shape. What is not understood is refused by its name: a tensor or a scaling
 * that is left out would be a model that answers wrongly. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "files/import.h"

enum { MAX_SIZE = 1 << 24 };

typedef struct family {
    const char *arch, *class_name;
    bool interleaved;   /* q and k rows in GGUF's interleaved rope order */
    bool qkv_bias;      /* q, k and v always have biases */
    bool qk_norm;       /* RMSNorm on each head's q and k */
    bool free_head_dim; /* head_dim need not be hidden_size / n_heads */
} family;

static const family families[] = {
    {"llama", "LlamaForCausalLM", true, false, false, true},
    {"qwen2", "Qwen2ForCausalLM", false, true, false, false},
    {"qwen3", "Qwen3ForCausalLM", false, false, true, true},
};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

static const family *family_of(const char *arch) {
    for (int i = 0; i < N_FAMILIES; i++)
        if (strcmp(families[i].arch, arch) == 0) return &families[i];
    return NULL;
}

/* ---- Metadata ------------------------------------------------------------------------------------------------ */

typedef struct arch_key {
    char text[80];
} arch_key;

/* "<arch>.<field>": the architecture is one of the table's, the fields are this file's. */
static arch_key key_of(const import_model *m, const char *field) {
    arch_key key;
    snprintf(key.text, sizeof key.text, "%s.%s", m->arch, field);
    return key;
}

static nb_status read_size(const import_model *m, const char *field, int64_t *out, nb_error *err) {
    bool found;
    nb_status status = gguf_int(m->g, key_of(m, field).text, 1, MAX_SIZE, out, &found, err);
    if (!status && !found && *out == 0)
        status = err_set(err, NB_ERR_FORMAT, "%s: no %s.%s in its metadata", m->file, m->arch, field);
    return status;
}

static nb_status read_sizes(import_model *m, nb_error *err) {
    nb_status status = read_size(m, "block_count", &m->n_layers, err);
    if (!status) status = read_size(m, "context_length", &m->context_length, err);
    if (!status) status = read_size(m, "embedding_length", &m->hidden_size, err);
    if (!status) status = read_size(m, "feed_forward_length", &m->intermediate_size, err);
    if (!status) status = read_size(m, "attention.head_count", &m->n_heads, err);
    m->n_kv_heads = m->n_heads;
    if (!status) status = read_size(m, "attention.head_count_kv", &m->n_kv_heads, err);
    if (!status) m->head_dim = m->hidden_size / m->n_heads;
    if (!status) status = read_size(m, "attention.key_length", &m->head_dim, err);
    int64_t value_length = m->head_dim, rope_dims = m->head_dim;
    if (!status) status = read_size(m, "attention.value_length", &value_length, err);
    if (!status) status = read_size(m, "rope.dimension_count", &rope_dims, err);
    bool found = false;
    if (!status)
        status =
            gguf_num(m->g, key_of(m, "attention.layer_norm_rms_epsilon").text, 0, 1, &m->rms_norm_eps, &found, err);
    if (!status && !found)
        return err_set(err, NB_ERR_FORMAT, "%s: no %s.attention.layer_norm_rms_epsilon in its metadata", m->file,
                       m->arch);
    m->rope_theta = 10000;
    m->rope_scaling = "null";
    if (!status) status = gguf_num(m->g, key_of(m, "rope.freq_base").text, 1, 1e12, &m->rope_theta, NULL, err);
    if (status) return status;
    if (value_length != m->head_dim || rope_dims != m->head_dim || m->head_dim % 2)
        return err_set(err, NB_ERR_UNSUPPORTED,
                       "%s: heads with keys of %lld, values of %lld and rope over %lld dimensions, expected three "
                       "equal even numbers",
                       m->file, (long long)m->head_dim, (long long)value_length, (long long)rope_dims);
    if (m->n_heads % m->n_kv_heads)
        return err_set(err, NB_ERR_FORMAT, "%s: %lld heads cannot share %lld key/value heads", m->file,
                       (long long)m->n_heads, (long long)m->n_kv_heads);
    if (!family_of(m->arch)->free_head_dim && m->head_dim * m->n_heads != m->hidden_size)
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: %lld heads of %lld dimensions in a hidden size of %lld", m->file,
                       (long long)m->n_heads, (long long)m->head_dim, (long long)m->hidden_size);
    return NB_OK;
}

/* Keys that change the computation in a way that the three families do not have. */
static nb_status refuse_extras(const import_model *m, nb_error *err) {
    static const char *const fields[] = {"attention.scale",        "logit_scale",
                                         "embedding_scale",        "residual_scale",
                                         "attn_logit_softcapping", "final_logit_softcapping"};
    int64_t experts = 0, window = 0;
    nb_status status = gguf_int(m->g, key_of(m, "expert_count").text, 0, MAX_SIZE, &experts, NULL, err);
    if (!status) status = gguf_int(m->g, key_of(m, "attention.sliding_window").text, 0, INT64_MAX, &window, NULL, err);
    if (!status && experts > 0)
        status = err_set(err, NB_ERR_UNSUPPORTED, "%s: %s with %lld experts is not supported", m->file, m->arch,
                         (long long)experts);
    if (!status && window > 0 && window < m->context_length)
        status = err_set(err, NB_ERR_UNSUPPORTED, "%s: %s with a sliding window of %lld is not supported", m->file,
                         m->arch, (long long)window);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && !status; i++) {
        double value = 0;
        status = gguf_num(m->g, key_of(m, fields[i]).text, -HUGE_VAL, HUGE_VAL, &value, NULL, err);
        if (!status && value != 0)
            status =
                err_set(err, NB_ERR_UNSUPPORTED, "%s: %s.%s = %g is not supported", m->file, m->arch, fields[i], value);
    }
    return status;
}

/* ---- Rope scaling -------------------------------------------------------------------------------------------- */

/* Llama 3's frequency factor of rotation pair i: 1 for short waves, `factor` for long ones, a ramp between them
 * (transformers, modeling_rope_utils: low_freq_factor 1, high_freq_factor 4). */
static double llama3_factor(const import_model *m, int64_t i, double factor, double old_context) {
    double wave = 2 * M_PI * pow(m->rope_theta, 2.0 * (double)i / (double)m->head_dim);
    if (wave < old_context / 4) return 1;
    if (wave > old_context) return factor;
    double smooth = (old_context / wave - 1) / 3;
    return 1 / ((1 - smooth) / factor + smooth);
}

/* Finds the config that gives the factors of rope_freqs.weight. */
static nb_status derive_llama3(import_model *m, const gguf_tensor *t, nb_error *err) {
    int64_t n = m->head_dim / 2;
    if (t->type != GGML_F32 || t->n_dims != 1 || t->shape[0] != n)
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s is not F32 of shape [%lld]", m->file, t->name, (long long)n);
    float *given = arena_alloc(m->memory, t->bytes);
    if (!given) return err_no_memory(err, t->name, t->bytes);
    memcpy(given, t->data, t->bytes);
    double factor = 1;
    for (int64_t i = 0; i < n; i++) factor = given[i] > factor ? (double)given[i] : factor;
    for (int64_t old_context = 1024; old_context <= 1 << 20; old_context *= 2) {
        bool same = true;
        for (int64_t i = 0; i < n && same; i++) {
            double want = llama3_factor(m, i, factor, (double)old_context);
            same = fabs((double)given[i] - want) <= 1e-4 * want;
        }
        if (!same) continue;
        if (factor == 1) return NB_OK;
        m->rope_scaling = arena_printf(m->memory,
                                       "{\"rope_type\": \"llama3\", \"factor\": %.9g, \"low_freq_factor\": 1.0, "
                                       "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": %lld}",
                                       factor, (long long)old_context);
        return m->rope_scaling ? NB_OK : err_no_memory(err, m->file, 0);
    }
    return err_set(err, NB_ERR_UNSUPPORTED, "%s: the factors of tensor %s are not Llama 3's rope scaling", m->file,
                   t->name);
}

static nb_status read_rope_scaling(import_model *m, nb_error *err) {
    const char *type = "none";
    double factor = 1;
    int64_t original = 0;
    nb_status status = gguf_str(m->g, key_of(m, "rope.scaling.type").text, &type, NULL, err);
    if (!status) status = gguf_num(m->g, key_of(m, "rope.scaling.factor").text, 0, 1e6, &factor, NULL, err);
    if (!status)
        status =
            gguf_int(m->g, key_of(m, "rope.scaling.original_context_length").text, 0, MAX_SIZE, &original, NULL, err);
    const gguf_tensor *factors = gguf_tensor_find(m->g, "rope_freqs.weight");
    if (status) return status;
    bool none = strcmp(type, "none") == 0 || (strcmp(type, "linear") == 0 && (factor == 1 || factor == 0));
    if (factors && none) return derive_llama3(m, factors, err);
    if (none) return NB_OK;
    bool yarn = strcmp(type, "yarn") == 0;
    if (factors || (!yarn && strcmp(type, "linear") != 0) || factor < 1 || (yarn && original == 0))
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: rope scaling \"%.40s\" with factor %g%s is not supported", m->file,
                       type, factor, factors ? " and rope_freqs.weight" : "");
    const char *tail =
        yarn ? arena_printf(m->memory, ", \"original_max_position_embeddings\": %lld", (long long)original) : "";
    m->rope_scaling = tail ? arena_printf(m->memory, "{\"rope_type\": \"%s\", \"type\": \"%s\", \"factor\": %.9g%s}",
                                          type, type, factor, tail)
                           : NULL;
    return m->rope_scaling ? NB_OK : err_no_memory(err, m->file, 0);
}

/* ---- Tensors ------------------------------------------------------------------------------------------------- */

static bool has(const import_model *m, const char *name) {
    return gguf_tensor_find(m->g, name) != NULL;
}

/* Takes the GGUF tensor `name` in, as a matrix [rows, cols] or, with cols 0, as a vector. */
static nb_status add(import_model *m, const char *name, const char *module, bool is_bias, int64_t rows, int64_t cols,
                     int64_t interleaved_heads, nb_error *err) {
    const gguf_tensor *t = gguf_tensor_find(m->g, name);
    if (!t) return err_set(err, NB_ERR_NOT_FOUND, "%s: tensor %s is missing", m->file, name);
    int bits = import_bits(t->type);
    char text[24];
    if (bits < 0)
        return err_set(err, NB_ERR_UNSUPPORTED,
                       "%s: tensor %s is of type %s; only F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 can be "
                       "imported without loss",
                       m->file, name, ggml_type_name(t->type, text));
    if (t->shape[0] != rows || (cols ? t->n_dims != 2 || t->shape[1] != cols : t->n_dims != 1)) {
        char shape[96];
        int n = snprintf(shape, sizeof shape, "%lld", (long long)t->shape[0]);
        for (int i = 1; i < t->n_dims && n < 80; i++)
            n += snprintf(shape + n, sizeof shape - (size_t)n, ", %lld", (long long)t->shape[i]);
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has shape [%s], expected [%lld%s%.0lld]", m->file, name,
                       shape, (long long)rows, cols ? ", " : "", (long long)cols);
    }
    if (bits > 0 && !cols)
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: the vector %s is of type %s, expected F32, F16 or BF16", m->file,
                       name, ggml_type_name(t->type, text));
    m->tensors[m->n_tensors++] = (import_tensor){t, module, is_bias, interleaved_heads, false};
    return NB_OK;
}

/* A linear layer of block `layer`: its matrix and, if wanted, its bias. */
static nb_status add_linear(import_model *m, int64_t layer, const char *from, const char *to, int64_t rows,
                            int64_t cols, bool bias, int64_t heads, nb_error *err) {
    const char *name = arena_printf(m->memory, "blk.%lld.%s.weight", (long long)layer, from);
    const char *bias_name = arena_printf(m->memory, "blk.%lld.%s.bias", (long long)layer, from);
    const char *module = arena_printf(m->memory, "model.layers.%lld.%s", (long long)layer, to);
    if (!name || !bias_name || !module) return err_no_memory(err, m->file, 0);
    nb_status status = add(m, name, module, false, rows, cols, heads, err);
    if (!status && bias) status = add(m, bias_name, module, true, rows, 0, heads, err);
    return status;
}

static nb_status add_layer(import_model *m, const family *f, int64_t i, nb_error *err) {
    int64_t d = m->hidden_size, q = m->n_heads * m->head_dim, kv = m->n_kv_heads * m->head_dim;
    int64_t ffn = m->intermediate_size;
    int64_t q_heads = f->interleaved ? m->n_heads : 0, k_heads = f->interleaved ? m->n_kv_heads : 0;
    bool bias = f->qkv_bias || m->attention_bias;
    nb_status status = add_linear(m, i, "attn_norm", "input_layernorm", d, 0, false, 0, err);
    if (!status) status = add_linear(m, i, "attn_q", "self_attn.q_proj", q, d, bias, q_heads, err);
    if (!status) status = add_linear(m, i, "attn_k", "self_attn.k_proj", kv, d, bias, k_heads, err);
    if (!status) status = add_linear(m, i, "attn_v", "self_attn.v_proj", kv, d, bias, 0, err);
    if (!status) status = add_linear(m, i, "attn_output", "self_attn.o_proj", d, q, m->attention_bias, 0, err);
    if (!status && f->qk_norm)
        status = add_linear(m, i, "attn_q_norm", "self_attn.q_norm", m->head_dim, 0, false, 0, err);
    if (!status && f->qk_norm)
        status = add_linear(m, i, "attn_k_norm", "self_attn.k_norm", m->head_dim, 0, false, 0, err);
    if (!status) status = add_linear(m, i, "ffn_norm", "post_attention_layernorm", d, 0, false, 0, err);
    if (!status) status = add_linear(m, i, "ffn_gate", "mlp.gate_proj", ffn, d, false, 0, err);
    if (!status) status = add_linear(m, i, "ffn_up", "mlp.up_proj", ffn, d, false, 0, err);
    if (!status) status = add_linear(m, i, "ffn_down", "mlp.down_proj", d, ffn, false, 0, err);
    return status;
}

static int by_source(const void *a, const void *b) {
    const gguf_tensor *x = ((const import_tensor *)a)->from, *y = ((const import_tensor *)b)->from;
    return x < y ? -1 : x > y;
}

/* Every tensor of the file must have been taken in. Leaves m->tensors in the file's order. */
static nb_status check_all_used(import_model *m, nb_error *err) {
    qsort(m->tensors, m->n_tensors, sizeof *m->tensors, by_source);
    size_t next = 0;
    for (size_t i = 0; i < gguf_tensor_count(m->g); i++) {
        const gguf_tensor *t = gguf_tensor_at(m->g, i);
        if (next < m->n_tensors && m->tensors[next].from == t)
            next++;
        else if (strcmp(t->name, "rope_freqs.weight") != 0)
            return err_set(err, NB_ERR_UNSUPPORTED, "%s: tensor %s is no part of a %s model that nibble knows", m->file,
                           t->name, m->arch);
    }
    return NB_OK;
}

static nb_status add_tensors(import_model *m, const family *f, nb_error *err) {
    /* No more tensors than the file has: a block count that lies runs into the first missing tensor. */
    m->tensors = arena_zalloc(m->memory, gguf_tensor_count(m->g) + 1, sizeof *m->tensors);
    if (!m->tensors) return err_no_memory(err, m->file, 0);
    const gguf_tensor *embedding = gguf_tensor_find(m->g, "token_embd.weight");
    m->vocab_size = embedding && embedding->n_dims == 2 ? embedding->shape[0] : 0;
    m->tied = !has(m, "output.weight");
    m->attention_bias = !f->qkv_bias && has(m, "blk.0.attn_q.bias");
    nb_status status = add(m, "token_embd.weight", "model.embed_tokens", false, m->vocab_size, m->hidden_size, 0, err);
    if (!status && m->vocab_size > MAX_SIZE)
        status = err_set(err, NB_ERR_FORMAT, "%s: a vocabulary of %lld tokens", m->file, (long long)m->vocab_size);
    for (int64_t i = 0; i < m->n_layers && !status; i++) status = add_layer(m, f, i, err);
    if (!status) status = add(m, "output_norm.weight", "model.norm", false, m->hidden_size, 0, 0, err);
    if (!status && !m->tied) status = add(m, "output.weight", "lm_head", false, m->vocab_size, m->hidden_size, 0, err);
    if (!status) status = check_all_used(m, err);
    return status;
}

/* The bits that most quantized numbers have: what config.json says for all. */
static int common_bits(const import_model *m) {
    double count[9] = {0};
    int best = 0;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const gguf_tensor *t = m->tensors[i].from;
        int bits = import_bits(t->type);
        if (bits > 0) count[bits] += (double)t->shape[0] * (double)t->shape[1];
    }
    for (int bits = 1; bits <= 8; bits++)
        if (count[bits] > count[best]) best = bits;
    return best;
}

nb_status import_model_read(import_model *m, nb_error *err) {
    bool found;
    nb_status status = gguf_str(m->g, "general.architecture", &m->arch, &found, err);
    if (status) return status;
    const family *f = found ? family_of(m->arch) : NULL;
    if (!f)
        return err_set(err, NB_ERR_UNSUPPORTED,
                       "%s: architecture \"%.60s\" cannot be imported (llama, qwen2, qwen3 can)", m->file,
                       found ? m->arch : "");
    status = read_sizes(m, err);
    if (!status) status = refuse_extras(m, err);
    if (!status) status = read_rope_scaling(m, err);
    if (!status) status = add_tensors(m, f, err);
    if (!status) m->bits = common_bits(m);
    return status;
}

/* ---- config.json --------------------------------------------------------------------------------------------- */

/* The shortest decimal of a number that the metadata holds as a float: 1e-05, not 9.999999747378752e-06. */
static void put_number(buf *out, const char *field, double value) {
    char text[32];
    int digits = 1;
    do snprintf(text, sizeof text, "%.*g", digits, value);
    while ((float)strtod(text, NULL) != (float)value && ++digits < 10);
    if (value >= 1 && value < 1e15 && value == floor(value)) snprintf(text, sizeof text, "%.1f", value);
    buf_printf(out, "  \"%s\": %s,\n", field, text);
}

static void put_quantization(buf *out, const char *field, const import_model *m) {
    buf_printf(out, ",\n  \"%s\": {\n    \"group_size\": %d,\n    \"bits\": %d,\n    \"mode\": \"affine\"", field,
               IMPORT_GROUP, m->bits);
    for (size_t i = 0; i < m->n_tensors; i++) {
        int bits = import_bits(m->tensors[i].from->type);
        if (bits <= 0 || bits == m->bits) continue;
        buf_printf(out, ",\n    \"%s\": {\"group_size\": %d, \"bits\": %d, \"mode\": \"affine\"}", m->tensors[i].module,
                   IMPORT_GROUP, bits);
    }
    buf_puts(out, "\n  }");
}

/* The special ids that there are; one end id as a number, several as a list: both are usual. */
static void put_ids(buf *out, const import_model *m) {
    const char *separator = "";
    if (m->bos_id >= 0) {
        buf_printf(out, "  \"bos_token_id\": %lld", (long long)m->bos_id);
        separator = ",\n";
    }
    if (m->n_eos > 0) {
        buf_printf(out, "%s  \"eos_token_id\": %s%lld", separator, m->n_eos > 1 ? "[" : "", (long long)m->eos_ids[0]);
        for (int i = 1; i < m->n_eos; i++) buf_printf(out, ", %lld", (long long)m->eos_ids[i]);
        if (m->n_eos > 1) buf_putc(out, ']');
        separator = ",\n";
    }
    if (m->pad_id >= 0) buf_printf(out, "%s  \"pad_token_id\": %lld", separator, (long long)m->pad_id);
}

void import_config(const import_model *m, buf *out) {
    buf_printf(out, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n", family_of(m->arch)->class_name,
               m->arch);
    buf_printf(out, "  \"hidden_size\": %lld,\n  \"num_hidden_layers\": %lld,\n  \"intermediate_size\": %lld,\n",
               (long long)m->hidden_size, (long long)m->n_layers, (long long)m->intermediate_size);
    buf_printf(out, "  \"num_attention_heads\": %lld,\n  \"num_key_value_heads\": %lld,\n  \"head_dim\": %lld,\n",
               (long long)m->n_heads, (long long)m->n_kv_heads, (long long)m->head_dim);
    buf_printf(out, "  \"vocab_size\": %lld,\n  \"max_position_embeddings\": %lld,\n  \"hidden_act\": \"silu\",\n",
               (long long)m->vocab_size, (long long)m->context_length);
    put_number(out, "rms_norm_eps", m->rms_norm_eps);
    put_number(out, "rope_theta", m->rope_theta);
    buf_printf(out, "  \"rope_scaling\": %s,\n  \"tie_word_embeddings\": %s,\n", m->rope_scaling,
               m->tied ? "true" : "false");
    if (strcmp(m->arch, "qwen2") != 0)
        buf_printf(out, "  \"attention_bias\": %s,\n", m->attention_bias ? "true" : "false");
    if (strcmp(m->arch, "llama") == 0) buf_puts(out, "  \"mlp_bias\": false,\n");
    if (m->bos_id >= 0 || m->n_eos > 0 || m->pad_id >= 0) {
        put_ids(out, m);
        buf_puts(out, ",\n");
    }
    buf_puts(out, "  \"torch_dtype\": \"float16\"");
    if (m->bits) {
        put_quantization(out, "quantization", m);
        put_quantization(out, "quantization_config", m);
    }
    buf_puts(out, "\n}\n");
}

void import_generation_config(const import_model *m, buf *out) {
    buf_puts(out, "{\n");
    put_ids(out, m);
    buf_puts(out, "\n}\n");
}
