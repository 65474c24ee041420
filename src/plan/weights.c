/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/weights.h"

#include <stdio.h>
#include <string.h>

#include "base/half.h"
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
    static const quant_params others[] = {{true, W_MXFP4, 4, 32}, {true, W_MXFP8, 8, 32}, {true, W_NVFP4, 4, 16}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strcmp(mode, wmode_name(others[i].mode)) != 0) continue;
        *out = others[i];
        return NB_OK;
    }
    if (strcmp(mode, "affine") != 0)
        return err_set(err, NB_ERR_UNSUPPORTED,
                       "%s: quantization mode \"%s\" is not supported (known: affine, mxfp4, mxfp8, nvfp4)", where,
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

nb_status weight_source_init(weight_source *s, const weights *files, const cJSON *quantization, arena *memory,
                             nb_error *err) {
    static const char *const prefixes[] = {"", "language_model."};
    *s = (weight_source){files, quantization, "", memory};
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
    int n = snprintf(name, sizeof name, "%s%s%s%s", s->prefix, module, *suffix ? "." : "", suffix);
    return n > 0 && (size_t)n < sizeof name ? weights_find(s->files, name) : NULL;
}

static nb_status missing(const weight_source *s, const char *module, const char *suffix, nb_error *err) {
    return err_set(err, NB_ERR_FORMAT, "tensor %s%s%s%s is missing", s->prefix, module, *suffix ? "." : "", suffix);
}

static nb_status wrong_shape(const tensor *t, int n_dims, const int64_t *want, const char *why, nb_error *err) {
    char is[200], expected[200];
    return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has shape %s, expected %s%s", t->file, t->name,
                   tensor_shape_text(t->n_dims, t->shape, is), tensor_shape_text(n_dims, want, expected), why);
}

/* [n, cols], with n_experts > 0 [n_experts, n, cols]. */
static nb_status check_shape(const tensor *t, int64_t n_experts, int64_t n, int64_t cols, const char *why,
                             nb_error *err) {
    const int64_t want[] = {n_experts, n, cols};
    const int first = n_experts ? 0 : 1, n_dims = 3 - first;
    bool same = t->n_dims == n_dims;
    for (int i = 0; same && i < n_dims; i++) same = t->shape[i] == want[first + i];
    return same ? NB_OK : wrong_shape(t, n_dims, want + first, why, err);
}

/* Keeps which tensors a weight lies in. */
static nb_status keep_tensors(const weight_source *s, plan_weight *out, const tensor *const *tensors, int n,
                              nb_error *err) {
    const tensor **kept = arena_zalloc(s->memory, (size_t)n, sizeof *kept);
    if (!kept) return err_no_memory(err, "the plan", 0);
    for (int i = 0; i < n; i++) kept[i] = tensors[i];
    out->tensors = kept;
    out->n_tensors = n;
    return NB_OK;
}

/* Element `row` of data [rows, row_bytes]; NULL stays NULL. */
static const void *row_at(const void *data, int64_t row, int64_t row_bytes) {
    return data ? (const uint8_t *)data + row * row_bytes : NULL;
}

/* From one stacked [n_experts, n, k] weight to a weight for each expert. */
static nb_status split_experts(const weight_source *s, plan_weight *out, nb_error *err) {
    kweight *all = &out->w;
    kweight *each = arena_zalloc(s->memory, (size_t)all->n_experts, sizeof *each);
    if (!each) return err_no_memory(err, "the plan", 0);
    const int64_t type_bytes = (int64_t)dtype_size(all->type);
    const int64_t codes = all->mode == W_PLAIN ? all->k * type_bytes : all->k * all->bits / 8;
    const int64_t scales = all->mode == W_PLAIN ? 0 : all->k / all->group_size * type_bytes;
    for (int64_t e = 0; e < all->n_experts; e++) {
        each[e] = *all;
        each[e].n_experts = 0;
        each[e].codes = row_at(all->codes, e * all->n, codes);
        each[e].scales = row_at(all->scales, e * all->n, scales);
        each[e].biases = row_at(all->biases, e * all->n, scales);
    }
    all->experts = each;
    all->codes = all->scales = all->biases = NULL;
    return NB_OK;
}

static bool is_weight_type(dtype t) {
    return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

static nb_status wrong_type(const tensor *t, const char *expected, nb_error *err) {
    return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has type %s, expected %s", t->file, t->name, dtype_name(t->type),
                   expected);
}

static nb_status plain_matrix(const weight_source *s, const tensor *t, int64_t n_experts, int64_t n, int64_t k,
                              plan_weight *out, nb_error *err) {
    if (!is_weight_type(t->type))
        return wrong_type(t, "f16, bf16 or f32 (config.json does not say that this tensor is quantized)", err);
    nb_status status = check_shape(t, n_experts, n, k, "", err);
    if (status) return status;
    out->w = (kweight){.mode = W_PLAIN, .type = t->type, .n = n, .k = k, .codes = t->data, .n_experts = n_experts};
    return keep_tensors(s, out, &t, 1, err);
}

/* The shapes that an [n, k] matrix has under bits and group_size (mlx.core.quantize). */
static nb_status quantized_matrix(const weight_source *s, const char *module, const quant_params *q,
                                  const tensor *codes, int64_t n_experts, int64_t n, int64_t k, plan_weight *out,
                                  nb_error *err) {
    const bool affine = q->mode == W_AFFINE;
    const tensor *scales = weight_tensor(s, module, "scales"), *biases = weight_tensor(s, module, "biases");
    if (!scales) return missing(s, module, "scales", err);
    if (affine && !biases) return missing(s, module, "biases", err);
    if (k % q->group_size != 0)
        return err_set(err, NB_ERR_FORMAT,
                       "%s: tensor %s has %lld input columns, which is no multiple of group_size=%d", codes->file,
                       codes->name, (long long)k, q->group_size);
    char why[80];
    if (affine)
        snprintf(why, sizeof why, " for bits=%d group_size=%d", q->bits, q->group_size);
    else
        snprintf(why, sizeof why, " for mode=%s", wmode_name(q->mode));
    if (codes->type != DT_U32) return wrong_type(codes, "u32 (config.json says that it is quantized)", err);
    const int64_t groups = k / q->group_size;
    nb_status status = check_shape(codes, n_experts, n, k * q->bits / 32, why, err);
    if (!status && affine && !is_weight_type(scales->type)) status = wrong_type(scales, "f16, bf16 or f32", err);
    if (!status && !affine && scales->type != DT_U8) status = wrong_type(scales, "u8", err);
    if (!status) status = check_shape(scales, n_experts, n, groups, why, err);
    if (!status && affine && biases->type != scales->type) status = wrong_type(biases, "the type of the scales", err);
    if (!status && affine) status = check_shape(biases, n_experts, n, groups, why, err);
    if (status) return status;
    out->w = (kweight){.mode = q->mode,
                       .type = scales->type,
                       .bits = q->bits,
                       .group_size = q->group_size,
                       .n = n,
                       .k = k,
                       .codes = codes->data,
                       .scales = scales->data,
                       .biases = affine ? biases->data : NULL,
                       .n_experts = n_experts};
    const tensor *parts[] = {codes, scales, biases};
    return keep_tensors(s, out, parts, affine ? 3 : 2, err);
}

static nb_status any_matrix(const weight_source *s, const char *module, int64_t n_experts, int64_t n, int64_t k,
                            plan_weight *out, nb_error *err) {
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
    return q.quantized ? quantized_matrix(s, module, &q, t, n_experts, n, k, out, err)
                       : plain_matrix(s, t, n_experts, n, k, out, err);
}

nb_status weight_matrix(const weight_source *s, const char *module, int64_t n, int64_t k, plan_weight *out,
                        nb_error *err) {
    return any_matrix(s, module, 0, n, k, out, err);
}

nb_status weight_experts(const weight_source *s, const char *module, int64_t n_experts, int64_t n, int64_t k,
                         plan_weight *out, nb_error *err) {
    nb_status status = any_matrix(s, module, n_experts, n, k, out, err);
    return status ? status : split_experts(s, out, err);
}

nb_status weight_conv(const weight_source *s, const char *module, int64_t n, int64_t k, plan_weight *out,
                      nb_error *err) {
    const tensor *t = weight_tensor(s, module, "weight");
    if (!t) return missing(s, module, "weight", err);
    if (!is_weight_type(t->type)) return wrong_type(t, "f16, bf16 or f32", err);
    const bool mlx = t->n_dims == 3 && t->shape[1] == k && t->shape[2] == 1;
    const bool torch = t->n_dims == 3 && t->shape[1] == 1 && t->shape[2] == k;
    if (!(mlx || torch) || t->shape[0] != n) return wrong_shape(t, 3, (int64_t[]){n, k, 1}, "", err);
    out->w = (kweight){.mode = W_PLAIN, .type = t->type, .n = n, .k = k, .codes = t->data};
    return keep_tensors(s, out, &t, 1, err);
}

nb_status weight_vector(const weight_source *s, const char *module, const char *suffix, int64_t n_experts, int64_t n,
                        kvec *out, nb_error *err) {
    const tensor *t = weight_tensor(s, module, suffix);
    if (!t) return missing(s, module, suffix, err);
    if (!is_weight_type(t->type)) return wrong_type(t, "f16, bf16 or f32", err);
    const int64_t want[] = {n_experts, n};
    const int first = n_experts ? 0 : 1;
    if (t->n_dims != 2 - first || t->shape[t->n_dims - 1] != n || (n_experts && t->shape[0] != n_experts))
        return wrong_shape(t, 2 - first, want + first, "", err);
    *out = (kvec){t->data, t->type};
    return NB_OK;
}

nb_status weight_scalar(const weight_source *s, const char *path, double *out, nb_error *err) {
    const tensor *t = weight_tensor(s, path, "");
    if (!t) return missing(s, path, "", err);
    if (!is_weight_type(t->type)) return wrong_type(t, "f16, bf16 or f32", err);
    if (t->bytes != dtype_size(t->type)) return wrong_shape(t, 1, (int64_t[]){1}, "", err);
    *out = float_at(t->data, t->type, 0);
    return NB_OK;
}
