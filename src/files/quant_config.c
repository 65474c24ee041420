/* SPDX-License-Identifier: Apache-2.0 */
#include "files/quant_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"

/* An override and the canonical form of its key; of equal ones the key that needed no change stands last. */
typedef struct override {
    char key[CHECKPOINT_MAX_NAME];
    bool exact;
    const cJSON *item;
} override;

struct quant_config {
    const cJSON *block; /* NULL: not quantized */
    char where[160];    /* "DIR/config.json: field "quantization"", for error texts */
    quant_params global;
    override *overrides; /* sorted by key */
    size_t n;
    bool warned; /* of shapes that disagree: once a model */
};

/* ---- The block ------------------------------------------------------------------------------------------------- */

static nb_status unknown_mode(const char *where, const char *mode, nb_error *err) {
    return err_set(err, NB_ERR_UNSUPPORTED,
                   "%s: quantization mode \"%.40s\" is not supported (known: affine, mxfp4, mxfp8, nvfp4)", where,
                   mode);
}

/* Reads mode, bits and group_size of one object. A missing mode means affine, whatever the global one is; a missing
 * number means the mode's default. */
static nb_status read_params(const cJSON *object, const char *where, quant_params *out, nb_error *err) {
    const char *name = "affine";
    wmode mode;
    nb_status status = json_str(object, "mode", &name, NULL, where, err);
    if (status) return status;
    if (!quant_mode_named(name, &mode)) return unknown_mode(where, name, err);
    quant_format f = quant_default(mode);
    int64_t bits = f.bits, group = f.group_size;
    status = json_int(object, "bits", 1, 64, &bits, NULL, where, err);
    if (!status) status = json_int(object, "group_size", 1, 1 << 20, &group, NULL, where, err);
    if (status) return status;
    quant_format asked = {mode, (int)bits, (int)group};
    if (!quant_format_ok(&asked) && mode != W_AFFINE)
        return err_set(err, NB_ERR_FORMAT, "%s: mode %s has bits %lld and group_size %lld, expected %d and %d", where,
                       name, (long long)bits, (long long)group, f.bits, f.group_size);
    if (bits < 2 || bits > 8 || bits == 7)
        return err_set(err, NB_ERR_FORMAT, "%s: bits is %lld, expected 2, 3, 4, 5, 6 or 8", where, (long long)bits);
    if (!quant_format_ok(&asked))
        return err_set(err, NB_ERR_FORMAT, "%s: group_size is %lld, expected 32, 64 or 128", where, (long long)group);
    *out = (quant_params){true, mode, (int)bits, (int)group};
    return NB_OK;
}

/* Blocks of other tools have a "quant_method". Only the two whose tensors MLX reads as they are mean something here. */
static nb_status read_method(quant_config *q, const char *method, nb_error *err) {
    wmode mode;
    if (strcmp(method, "mxfp4") == 0)
        mode = W_MXFP4;
    else if (strcmp(method, "mxfp8") == 0)
        mode = W_MXFP8;
    else
        return err_set(err, NB_ERR_UNSUPPORTED,
                       "%s: quant_method \"%.40s\" is not supported (known: MLX's own quantization, mxfp4, mxfp8)",
                       q->where, method);
    quant_format f = quant_default(mode);
    q->global = (quant_params){true, mode, f.bits, f.group_size};
    return NB_OK;
}

static nb_status find_block(quant_config *q, const model_config *config, nb_error *err) {
    static const char *const fields[] = {"quantization", "quantization_config"};
    const cJSON *places[] = {config->tree, config->text};
    for (int i = 0; i < 4 && !q->block; i++) {
        q->block = json_get(places[i % 2], fields[i / 2]);
        snprintf(q->where, sizeof q->where, "%.100s: field \"%s\"", config->name, fields[i / 2]);
    }
    if (!q->block) return NB_OK;
    if (!cJSON_IsObject(q->block)) return err_set(err, NB_ERR_FORMAT, "%s is no object", q->where);
    const char *method = NULL;
    nb_status status = NB_OK;
    if (strstr(q->where, "\"quantization_config\""))
        status = json_str(q->block, "quant_method", &method, NULL, q->where, err);
    if (status) return status;
    return method ? read_method(q, method, err) : read_params(q->block, q->where, &q->global, err);
}

/* ---- Overrides ------------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b) {
    const override *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : x->exact - y->exact;
}

/* A member that speaks of a module: settings of the whole have no dots in their names. */
static bool is_override(const cJSON *item) {
    return cJSON_IsObject(item) || cJSON_IsBool(item) || strchr(item->string, '.');
}

static nb_status collect_overrides(quant_config *q, nb_error *err) {
    size_t n = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, q->block) n += is_override(item);
    q->overrides = calloc(n + 1, sizeof *q->overrides);
    if (!q->overrides) return err_no_memory(err, q->where, n * sizeof *q->overrides);
    cJSON_ArrayForEach(item, q->block) {
        if (!is_override(item)) continue;
        override *o = &q->overrides[q->n];
        if (!checkpoint_strip(item->string, o->key)) continue; /* longer than any tensor's name */
        o->exact = strcmp(o->key, item->string) == 0;
        o->item = item;
        q->n++;
    }
    qsort(q->overrides, q->n, sizeof *q->overrides, by_key);
    return NB_OK;
}

static const cJSON *find_override(const quant_config *q, const char *key) {
    size_t begin = 0, end = q->n; /* the last one that is not greater */
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (strcmp(q->overrides[middle].key, key) <= 0)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin > 0 && strcmp(q->overrides[begin - 1].key, key) == 0 ? q->overrides[begin - 1].item : NULL;
}

nb_status quant_config_open(const model_config *config, quant_config **out, nb_error *err) {
    *out = NULL;
    quant_config *q = calloc(1, sizeof *q);
    if (!q) return err_no_memory(err, config->name, sizeof *q);
    nb_status status = find_block(q, config, err);
    if (!status) status = collect_overrides(q, err);
    if (status)
        quant_config_close(q);
    else
        *out = q;
    return status;
}

void quant_config_close(quant_config *q) {
    if (!q) return;
    free(q->overrides);
    free(q);
}

quant_params quant_config_global(const quant_config *q) {
    return q->global;
}

nb_status quant_config_named(const quant_config *q, const char *module, const char *original, quant_params *out,
                             bool *named, nb_error *err) {
    *out = (quant_params){0};
    const cJSON *item = find_override(q, module);
    char stripped[CHECKPOINT_MAX_NAME];
    if (!item && original && checkpoint_strip(original, stripped)) item = find_override(q, stripped);
    *named = item != NULL;
    if (!item || cJSON_IsFalse(item)) return NB_OK;
    if (cJSON_IsTrue(item)) {
        *out = q->global;
        return NB_OK;
    }
    char where[CHECKPOINT_MAX_NAME + 200];
    snprintf(where, sizeof where, "%s: %s", q->where, item->string);
    if (!cJSON_IsObject(item)) return err_set(err, NB_ERR_FORMAT, "%s: expected an object, true or false", where);
    if (!item->child) return NB_OK; /* {} means not quantized */
    return read_params(item, where, out, err);
}

/* ---- Against the tensors --------------------------------------------------------------------------------------- */

static bool is_weight_type(dtype t) {
    return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

/* Whether these tensors can be read under these parameters. k 0: not known. */
static bool fits(const quant_module *m, const quant_params *p, int64_t k) {
    const int64_t words = m->weight->shape[m->weight->n_dims - 1], groups = m->scales->shape[m->scales->n_dims - 1];
    if (words > INT64_MAX / 32 || groups > INT64_MAX / QUANT_MAX_GROUP || words * 32 % p->bits != 0) return false;
    if (words * 32 / p->bits != groups * p->group_size || (k && k != groups * p->group_size)) return false;
    if (p->mode == W_AFFINE) return is_weight_type(m->scales->type);
    return m->scales->type == DT_U8 && !m->biases;
}

/* The only reading that fits, if there is just one. */
static bool only_fit(const quant_module *m, int64_t k, quant_params *out) {
    static const int bits[] = {2, 3, 4, 5, 6, 8};
    int found = 0;
    for (int i = 0; i < 6; i++)
        for (int group = 32; group <= 128; group *= 2) {
            quant_params p = {true, W_AFFINE, bits[i], group};
            if (fits(m, &p, k) && ++found) *out = p;
        }
    for (int mode = W_AFFINE + 1; mode < W_MODE_COUNT; mode++) {
        quant_format f = quant_default((wmode)mode);
        quant_params p = {true, f.mode, f.bits, f.group_size};
        if (fits(m, &p, k) && ++found) *out = p;
    }
    return found == 1;
}

static void params_text(const quant_params *p, char text[64]) {
    snprintf(text, 64, "%s, bits %d, group_size %d", wmode_name(p->mode), p->bits, p->group_size);
}

/* Nothing fits, or too much: both sides of the contradiction. */
static nb_status contradiction(const quant_config *q, const quant_module *m, int64_t k, nb_error *err) {
    char said[64], weight[200], scales[200], columns[40] = "";
    params_text(&m->params, said);
    if (k) snprintf(columns, sizeof columns, " for %lld columns", (long long)k);
    return err_set(err, NB_ERR_FORMAT,
                   "%s: tensor %s has type %s and shape %s, its scales %s %s%s: that does not fit %s, which %s says",
                   m->weight->file, m->weight->original, dtype_name(m->weight->type),
                   tensor_shape_text(m->weight->n_dims, m->weight->shape, weight), dtype_name(m->scales->type),
                   tensor_shape_text(m->scales->n_dims, m->scales->shape, scales), columns, said, q->where);
}

/* Everything but the last axis must agree. */
static nb_status check_rows(const checkpoint_tensor *weight, const checkpoint_tensor *t, bool last_too,
                            const checkpoint_tensor *like, nb_error *err) {
    bool same = t->n_dims == weight->n_dims &&
                memcmp(t->shape, weight->shape, (size_t)(weight->n_dims - 1) * sizeof *t->shape) == 0;
    if (same && last_too) same = t->shape[t->n_dims - 1] == like->shape[like->n_dims - 1];
    char a[200], b[200];
    return same ? NB_OK
                : err_set(err, NB_ERR_FORMAT, "%s: tensor %s has shape %s, which does not go with %s of %s", t->file,
                          t->original, tensor_shape_text(t->n_dims, t->shape, a),
                          tensor_shape_text(like->n_dims, like->shape, b), like->original);
}

static nb_status resolve(quant_config *q, quant_module *m, int64_t k, nb_error *err) {
    if (m->weight->type != DT_U32 || m->weight->n_dims < 2)
        return err_set(err, NB_ERR_FORMAT,
                       "%s: tensor %s has type %s, expected u32 (it has scales, so it is quantized)", m->weight->file,
                       m->weight->original, dtype_name(m->weight->type));
    if (!is_weight_type(m->scales->type) && m->scales->type != DT_U8)
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has type %s, expected f16, bf16, f32 or u8", m->scales->file,
                       m->scales->original, dtype_name(m->scales->type));
    nb_status status = check_rows(m->weight, m->scales, false, m->weight, err);
    if (!status && m->biases) status = check_rows(m->weight, m->biases, true, m->scales, err);
    if (status) return status;
    if (m->biases && m->biases->type != m->scales->type)
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has type %s, but tensor %s has type %s", m->biases->file,
                       m->biases->original, dtype_name(m->biases->type), m->scales->original,
                       dtype_name(m->scales->type));
    if (fits(m, &m->params, k)) return NB_OK;
    quant_params only;
    if (!only_fit(m, k, &only)) return contradiction(q, m, k, err);
    if (!q->warned) {
        char said[64], is[64];
        params_text(&m->params, said);
        params_text(&only, is);
        log_msg(NB_LOG_WARN, "%s says %s of tensor %s, whose shape can only be %s: read so (not said again)", q->where,
                said, m->weight->original, is);
    }
    q->warned = true;
    m->params = only;
    return NB_OK;
}

static const checkpoint_tensor *part_of(const checkpoint *c, const char *module, const char *suffix) {
    char name[CHECKPOINT_MAX_NAME + 16];
    snprintf(name, sizeof name, "%.256s.%s", module, suffix);
    return checkpoint_find(c, name);
}

/* The name in the files, without its suffix. */
static void module_of(const checkpoint_tensor *t, char out[CHECKPOINT_MAX_NAME + 16]) {
    snprintf(out, CHECKPOINT_MAX_NAME + 16, "%.256s", t->original);
    if (ends_with(out, ".weight")) out[strlen(out) - strlen(".weight")] = 0;
}

nb_status quant_module_find(quant_config *q, const checkpoint *c, const char *module, int64_t k, quant_module *out,
                            nb_error *err) {
    *out =
        (quant_module){part_of(c, module, "weight"), part_of(c, module, "scales"), part_of(c, module, "biases"), {0}};
    if (!out->weight) return NB_OK;
    char original[CHECKPOINT_MAX_NAME + 16];
    module_of(out->weight, original);
    const checkpoint_tensor *global_scale = part_of(c, module, "global_scale");
    if (global_scale)
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: tensor %s: nvfp4 with a global scale is not supported",
                       global_scale->file, global_scale->original);
    bool named;
    nb_status status = quant_config_named(q, module, original, &out->params, &named, err);
    if (status) return status;
    if (!named && out->scales) {
        if (!q->block)
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has scales, but config.json has no \"quantization\"",
                           out->weight->file, out->weight->original);
        out->params = q->global;
    }
    if (!out->params.quantized) return NB_OK;
    if (!out->scales)
        return err_set(err, NB_ERR_FORMAT, "tensor %s.scales is missing (%s says that %s is quantized)", original,
                       q->where, module);
    return resolve(q, out, k, err);
}
