/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/weights.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

enum { MAX_NAME = 512 };

/* ---- config.json's quantization block -------------------------------------------------------------------------- */

/* Reads mode, bits and group_size of one object. What is missing has MLX's default for affine: 4 bits, groups of 64. */
static nb_status read_params(const cJSON *object, const char *where, quant_params *out, nb_error *err) {
    const char *mode = "affine";
    int64_t bits = 4, group = 64;
    nb_status status = json_str(object, "mode", &mode, NULL, where, err);
    if (!status) status = json_int(object, "bits", 1, 64, &bits, NULL, where, err);
    if (!status) status = json_int(object, "group_size", 1, 1 << 20, &group, NULL, where, err);
    if (status) return status;
    if (strcmp(mode, "affine") != 0)
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: quantization mode \"%s\" is not supported (known: affine)", where,
                       mode);
    if (bits != 2 && bits != 3 && bits != 4 && bits != 5 && bits != 6 && bits != 8)
        return err_set(err, NB_ERR_FORMAT, "%s: bits is %lld, expected 2, 3, 4, 5, 6 or 8", where, (long long)bits);
    if (group != 32 && group != 64 && group != 128)
        return err_set(err, NB_ERR_FORMAT, "%s: group_size is %lld, expected 32, 64 or 128", where, (long long)group);
    *out = (quant_params){true, W_AFFINE, (int)bits, (int)group};
    return NB_OK;
}

nb_status quant_global(const cJSON *quantization, quant_params *out, nb_error *err) {
    *out = (quant_params){0};
    if (!quantization) return NB_OK;
    if (!cJSON_IsObject(quantization))
        return err_set(err, NB_ERR_FORMAT, "config.json: field \"quantization\" is not an object");
    return read_params(quantization, "config.json: quantization", out, err);
}

nb_status quant_for(const cJSON *quantization, const char *prefix, const char *module, quant_params *out, bool *named,
                    nb_error *err) {
    *out = (quant_params){0};
    char path[MAX_NAME];
    snprintf(path, sizeof path, "%s%s", prefix, module);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(quantization, path);
    if (!item && *prefix) item = cJSON_GetObjectItemCaseSensitive(quantization, module);
    *named = item != NULL;
    if (!item || cJSON_IsFalse(item)) return NB_OK;
    if (cJSON_IsTrue(item)) return quant_global(quantization, out, err);
    char where[MAX_NAME + 64];
    snprintf(where, sizeof where, "config.json: quantization of %s", path);
    if (!cJSON_IsObject(item)) return err_set(err, NB_ERR_FORMAT, "%s: expected an object, true or false", where);
    if (!item->child) return NB_OK; /* {} means not quantized */
    return read_params(item, where, out, err);
}

/* ---- Tensors --------------------------------------------------------------------------------------------------- */

nb_status weight_source_init(weight_source *s, const weights *files, const cJSON *quantization, nb_error *err) {
    static const char *const prefixes[] = {"", "language_model."};
    *s = (weight_source){files, quantization, ""};
    quant_params global;
    nb_status status = quant_global(quantization, &global, err);
    if (status || !files) return status;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        s->prefix = prefixes[i];
        if (weight_tensor(s, "model.embed_tokens", "weight")) return NB_OK;
    }
    s->prefix = "";
    return NB_OK; /* the first weight that is asked for says what is missing */
}

const tensor *weight_tensor(const weight_source *s, const char *module, const char *suffix) {
    char name[MAX_NAME];
    int n = snprintf(name, sizeof name, "%s%s.%s", s->prefix, module, suffix);
    return n > 0 && (size_t)n < sizeof name ? weights_find(s->files, name) : NULL;
}

static nb_status missing(const weight_source *s, const char *module, const char *suffix, nb_error *err) {
    return err_set(err, NB_ERR_FORMAT, "tensor %s%s.%s is missing", s->prefix, module, suffix);
}

static nb_status wrong_shape(const tensor *t, int n_dims, const int64_t *want, const char *why, nb_error *err) {
    char is[200], expected[200];
    return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has shape %s, expected %s%s", t->file, t->name,
                   tensor_shape_text(t->n_dims, t->shape, is), tensor_shape_text(n_dims, want, expected), why);
}

static bool has_shape(const tensor *t, int64_t n, int64_t cols) {
    return t->n_dims == 2 && t->shape[0] == n && t->shape[1] == cols;
}

static bool is_weight_type(dtype t) {
    return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

static nb_status wrong_type(const tensor *t, const char *expected, nb_error *err) {
    return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has type %s, expected %s", t->file, t->name, dtype_name(t->type),
                   expected);
}

static nb_status plain_matrix(const tensor *t, int64_t n, int64_t k, plan_weight *out, nb_error *err) {
    if (!is_weight_type(t->type))
        return wrong_type(t, "f16, bf16 or f32 (config.json does not say that this tensor is quantized)", err);
    if (!has_shape(t, n, k)) return wrong_shape(t, 2, (int64_t[]){n, k}, "", err);
    out->codes = t;
    out->w = (kweight){.mode = W_PLAIN, .type = t->type, .n = n, .k = k, .codes = t->data};
    return NB_OK;
}

/* The shapes that an [n, k] matrix has under bits and group_size (mlx.core.quantize). */
static nb_status affine_matrix(const weight_source *s, const char *module, const quant_params *q, const tensor *codes,
                               int64_t n, int64_t k, plan_weight *out, nb_error *err) {
    const tensor *scales = weight_tensor(s, module, "scales"), *biases = weight_tensor(s, module, "biases");
    if (!scales) return missing(s, module, "scales", err);
    if (!biases) return missing(s, module, "biases", err);
    if (k % q->group_size != 0)
        return err_set(err, NB_ERR_FORMAT,
                       "%s: tensor %s has %lld input columns, which is no multiple of group_size=%d", codes->file,
                       codes->name, (long long)k, q->group_size);
    char why[64];
    snprintf(why, sizeof why, " for bits=%d group_size=%d", q->bits, q->group_size);
    if (codes->type != DT_U32) return wrong_type(codes, "u32 (config.json says that it is quantized)", err);
    if (!has_shape(codes, n, k * q->bits / 32))
        return wrong_shape(codes, 2, (int64_t[]){n, k * q->bits / 32}, why, err);
    const int64_t groups = k / q->group_size;
    if (!is_weight_type(scales->type)) return wrong_type(scales, "f16, bf16 or f32", err);
    if (!has_shape(scales, n, groups)) return wrong_shape(scales, 2, (int64_t[]){n, groups}, why, err);
    if (biases->type != scales->type) return wrong_type(biases, "the type of the scales", err);
    if (!has_shape(biases, n, groups)) return wrong_shape(biases, 2, (int64_t[]){n, groups}, why, err);
    out->codes = codes;
    out->scales = scales;
    out->biases = biases;
    out->w = (kweight){.mode = W_AFFINE,
                       .type = scales->type,
                       .bits = q->bits,
                       .group_size = q->group_size,
                       .n = n,
                       .k = k,
                       .codes = codes->data,
                       .scales = scales->data,
                       .biases = biases->data};
    return NB_OK;
}

nb_status weight_matrix(const weight_source *s, const char *module, int64_t n, int64_t k, plan_weight *out,
                        nb_error *err) {
    const tensor *t = weight_tensor(s, module, "weight");
    if (!t) return missing(s, module, "weight", err);
    quant_params q;
    bool named;
    nb_status status = quant_for(s->quantization, s->prefix, module, &q, &named, err);
    if (status) return status;
    if (!named && weight_tensor(s, module, "scales")) {
        if (!s->quantization)
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has scales, but config.json has no \"quantization\"",
                           t->file, t->name);
        status = quant_global(s->quantization, &q, err);
        if (status) return status;
    }
    return q.quantized ? affine_matrix(s, module, &q, t, n, k, out, err) : plain_matrix(t, n, k, out, err);
}

nb_status weight_vector(const weight_source *s, const char *module, const char *suffix, int64_t n, kvec *out,
                        nb_error *err) {
    const tensor *t = weight_tensor(s, module, suffix);
    if (!t) return missing(s, module, suffix, err);
    if (!is_weight_type(t->type)) return wrong_type(t, "f16, bf16 or f32", err);
    if (t->n_dims != 1 || t->shape[0] != n) return wrong_shape(t, 1, (int64_t[]){n}, "", err);
    *out = (kvec){t->data, t->type};
    return NB_OK;
}
