/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/weights.h"

#include <stdio.h>
#include <string.h>

#include "base/half.h"

enum { MAX_NAME = 512 };

const checkpoint_tensor *weight_tensor(const weight_source *s, const char *module, const char *suffix) {
    char name[MAX_NAME];
    int n = snprintf(name, sizeof name, "%s%s%s", module, *suffix ? "." : "", suffix);
    return n > 0 && (size_t)n < sizeof name ? checkpoint_find(s->table, name) : NULL;
}

static nb_status missing(const char *module, const char *suffix, nb_error *err) {
    return err_set(err, NB_ERR_FORMAT, "tensor %s%s%s is missing", module, *suffix ? "." : "", suffix);
}

static nb_status wrong_shape(const checkpoint_tensor *t, int n_dims, const int64_t *want, const char *why,
                             nb_error *err) {
    char is[200], expected[200];
    return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has shape %s, expected %s%s", t->file, t->original,
                   tensor_shape_text(t->n_dims, t->shape, is), tensor_shape_text(n_dims, want, expected), why);
}

static bool is_weight_type(dtype t) {
    return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

static nb_status wrong_type(const checkpoint_tensor *t, const char *expected, nb_error *err) {
    return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has type %s, expected %s", t->file, t->original,
                   dtype_name(t->type), expected);
}

/* [n, cols], with n_experts > 0 [n_experts, n, cols]. */
static nb_status check_shape(const checkpoint_tensor *t, int64_t n_experts, int64_t n, int64_t cols, const char *why,
                             nb_error *err) {
    const int64_t want[] = {n_experts, n, cols};
    const int first = n_experts ? 0 : 1, n_dims = 3 - first;
    bool same = t->n_dims == n_dims;
    for (int i = 0; same && i < n_dims; i++) same = t->shape[i] == want[first + i];
    return same ? NB_OK : wrong_shape(t, n_dims, want + first, why, err);
}

/* Keeps which of the files' tensors a weight lies in: those of up to three entries. */
static nb_status keep_tensors(weight_source *s, plan_weight *out, const checkpoint_tensor *const parts[3],
                              nb_error *err) {
    int64_t n = 0;
    for (int i = 0; i < 3; i++) n += parts[i] ? parts[i]->n_pieces : 0;
    for (int i = 0; i < 3; i++) s->n_used += parts[i] != NULL;
    const tensor **kept = arena_zalloc(s->memory, (size_t)n, sizeof *kept);
    if (!kept) return err_no_memory(err, "the plan", 0);
    out->n_tensors = 0;
    for (int i = 0; i < 3; i++)
        for (int64_t p = 0; parts[i] && p < parts[i]->n_pieces; p++) {
            const tensor *t = parts[i]->pieces[p].from;
            if (out->n_tensors == 0 || kept[out->n_tensors - 1] != t) kept[out->n_tensors++] = t;
        }
    out->tensors = kept;
    return NB_OK;
}

/* The bytes of matrix (or vector) e of `count` that lie in t one behind the other: in the file, or, where its rows have
 * gaps between them, in a copy. *status tells when there is no memory for that. */
static const void *data_of(const weight_source *s, const checkpoint_tensor *t, int64_t e, int64_t count,
                           nb_status *status, nb_error *err) {
    if (!t || *status) return NULL;
    const int64_t rows = t->n_pieces * t->pieces->n_rows / count;
    const checkpoint_piece *piece = &t->pieces[t->n_pieces == count ? e : 0];
    if (piece->stride == piece->row_bytes && piece->n_rows >= rows)
        return piece->data + (t->n_pieces == count ? 0 : (size_t)(e * rows) * piece->row_bytes);
    void *copy = arena_alloc(s->memory, (size_t)rows * piece->row_bytes);
    if (copy)
        checkpoint_read(t, e * rows, rows, copy);
    else
        *status = err_no_memory(err, t->name, (size_t)rows * piece->row_bytes);
    return copy;
}

/* Points w, or each of its experts, at the data; everything else of *w is set. */
static nb_status point_at(const weight_source *s, kweight *w, const checkpoint_tensor *const parts[3], nb_error *err) {
    nb_status status = NB_OK;
    const int64_t count = w->n_experts ? w->n_experts : 1;
    kweight *each = w;
    if (w->n_experts) {
        each = arena_zalloc(s->memory, (size_t)count, sizeof *each);
        if (!each) return err_no_memory(err, "the plan", 0);
        w->experts = each;
    }
    for (int64_t e = 0; e < count; e++) {
        if (w->n_experts) {
            each[e] = *w;
            each[e].n_experts = 0;
            each[e].experts = NULL;
        }
        each[e].codes = data_of(s, parts[0], e, count, &status, err);
        each[e].scales = data_of(s, parts[1], e, count, &status, err);
        each[e].biases = data_of(s, parts[2], e, count, &status, err);
    }
    return status;
}

static nb_status plain_matrix(const quant_module *m, int64_t n_experts, int64_t n, int64_t k, kweight *w,
                              nb_error *err) {
    if (!is_weight_type(m->weight->type))
        return wrong_type(m->weight, "f16, bf16 or f32 (config.json does not say that this tensor is quantized)", err);
    *w = (kweight){.mode = W_PLAIN, .type = m->weight->type, .n = n, .k = k, .n_experts = n_experts};
    return check_shape(m->weight, n_experts, n, k, "", err);
}

/* The shapes that an [n, k] matrix has under bits and group_size (mlx.core.quantize). */
static nb_status quantized_matrix(const quant_module *m, int64_t n_experts, int64_t n, int64_t k, kweight *w,
                                  nb_error *err) {
    const quant_params *q = &m->params;
    char why[80];
    snprintf(why, sizeof why, " for mode=%s bits=%d group_size=%d", wmode_name(q->mode), q->bits, q->group_size);
    *w = (kweight){.mode = q->mode,
                   .type = m->scales->type,
                   .bits = q->bits,
                   .group_size = q->group_size,
                   .n = n,
                   .k = k,
                   .n_experts = n_experts};
    nb_status status = check_shape(m->weight, n_experts, n, k * q->bits / 32, why, err);
    return status ? status : check_shape(m->scales, n_experts, n, k / q->group_size, why, err);
}

static nb_status any_matrix(weight_source *s, const char *module, int64_t n_experts, int64_t n, int64_t k,
                            plan_weight *out, nb_error *err) {
    quant_module m;
    nb_status status = quant_module_find(s->quantization, s->table, module, k, &m, err);
    if (status) return status;
    if (!m.weight) return missing(module, "weight", err);
    status = m.params.quantized ? quantized_matrix(&m, n_experts, n, k, &out->w, err)
                                : plain_matrix(&m, n_experts, n, k, &out->w, err);
    const checkpoint_tensor *const parts[] = {m.weight, m.params.quantized ? m.scales : NULL,
                                              m.params.quantized ? m.biases : NULL};
    if (!status) status = point_at(s, &out->w, parts, err);
    return status ? status : keep_tensors(s, out, parts, err);
}

nb_status weight_matrix(weight_source *s, const char *module, int64_t n, int64_t k, plan_weight *out, nb_error *err) {
    return any_matrix(s, module, 0, n, k, out, err);
}

nb_status weight_experts(weight_source *s, const char *module, int64_t n_experts, int64_t n, int64_t k,
                         plan_weight *out, nb_error *err) {
    return any_matrix(s, module, n_experts, n, k, out, err);
}

nb_status weight_conv(weight_source *s, const char *module, int64_t n, int64_t k, plan_weight *out, nb_error *err) {
    const checkpoint_tensor *t = weight_tensor(s, module, "weight");
    if (!t) return missing(module, "weight", err);
    if (!is_weight_type(t->type)) return wrong_type(t, "f16, bf16 or f32", err);
    if (t->n_dims != 3 || t->shape[0] != n || t->shape[1] != k || t->shape[2] != 1)
        return wrong_shape(t, 3, (int64_t[]){n, k, 1}, "", err);
    const checkpoint_tensor *const parts[] = {t, NULL, NULL};
    out->w = (kweight){.mode = W_PLAIN, .type = t->type, .n = n, .k = k};
    nb_status status = point_at(s, &out->w, parts, err);
    return status ? status : keep_tensors(s, out, parts, err);
}

/* Norms that are stored as their distance from 1 become fp32, in which the sum is exact enough. */
static nb_status plus_one(const weight_source *s, kvec *v, int64_t n, nb_error *err) {
    float *sum = arena_zalloc(s->memory, (size_t)n, sizeof *sum);
    if (!sum) return err_no_memory(err, "the plan", (size_t)n * sizeof *sum);
    for (int64_t i = 0; i < n; i++) sum[i] = float_at_f32(v->data, v->type, i) + 1.0f;
    *v = (kvec){sum, DT_F32};
    return NB_OK;
}

nb_status weight_vector(weight_source *s, const char *module, const char *suffix, int64_t n_experts, int64_t n,
                        kvec *out, nb_error *err) {
    const checkpoint_tensor *t = weight_tensor(s, module, suffix);
    if (!t) return missing(module, suffix, err);
    if (!is_weight_type(t->type)) return wrong_type(t, "f16, bf16 or f32", err);
    const int64_t want[] = {n_experts, n};
    const int first = n_experts ? 0 : 1;
    if (t->n_dims != 2 - first || t->shape[t->n_dims - 1] != n || (n_experts && t->shape[0] != n_experts))
        return wrong_shape(t, 2 - first, want + first, "", err);
    nb_status status = NB_OK;
    s->n_used++;
    *out = (kvec){data_of(s, t, 0, 1, &status, err), t->type};
    return !status && t->plus_one ? plus_one(s, out, n, err) : status;
}

nb_status weight_scalar(weight_source *s, const char *path, double *out, nb_error *err) {
    const checkpoint_tensor *t = weight_tensor(s, path, "");
    if (!t) return missing(path, "", err);
    if (!is_weight_type(t->type)) return wrong_type(t, "f16, bf16 or f32", err);
    if (checkpoint_bytes(t) != dtype_size(t->type)) return wrong_shape(t, 1, (int64_t[]){1}, "", err);
    s->n_used++;
    *out = float_at(t->pieces->data, t->type, 0);
    return NB_OK;
}
