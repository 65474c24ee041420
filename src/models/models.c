/* SPDX-License-Identifier: Apache-2.0 */
#include "models/models.h"

#include <string.h>

#include "base/buf.h"
#include "base/json.h"

static const family *const families[] = {&family_llama, &family_qwen2, &family_qwen3};
enum { N_FAMILIES = sizeof families / sizeof *families };

static const family *find_family(const char *model_type) {
    for (int i = 0; i < N_FAMILIES; i++)
        for (const char *const *t = families[i]->model_types; *t; t++)
            if (strcmp(*t, model_type) == 0) return families[i];
    return NULL;
}

static nb_status unknown_family(const char *model_type, nb_error *err) {
    buf known = {0};
    for (int i = 0; i < N_FAMILIES; i++)
        for (const char *const *t = families[i]->model_types; *t; t++)
            buf_printf(&known, "%s%s", known.len ? ", " : "", *t);
    nb_status status = err_set(err, NB_ERR_UNSUPPORTED, "config.json: unknown model_type \"%s\" (known: %s)",
                               model_type, known.data ? known.data : "");
    buf_free(&known);
    return status;
}

const cJSON *model_quantization(const model_config *config) {
    static const char *const fields[] = {"quantization", "quantization_config"};
    for (int i = 0; i < 2; i++) {
        const cJSON *q = json_get(config->tree, fields[i]);
        if (!q) q = json_get(config->text, fields[i]);
        /* Other tools' blocks have a quant_method and no group_size; only MLX's own are read. */
        if (q && (i == 0 || !json_get(q, "quant_method"))) return q;
    }
    return NULL;
}

/* Runs the family's builder on the files, or dry when files is NULL. On success *builder holds the steps. */
static nb_status build_steps(const model_config *config, const weights *files, plan_builder **builder, int *logits,
                             model_dims *dims, nb_error *err) {
    *builder = NULL;
    *dims = (model_dims){0};
    const family *f = find_family(config->model_type);
    if (!f) f = find_family(config->text_model_type);
    if (!f) return unknown_family(config->model_type, err);
    nb_status status = plan_builder_new(files, model_quantization(config), builder, err);
    if (status) return status;
    *logits = f->build(&(family_input){config->text, *builder, dims});
    return NB_OK;
}

nb_status model_build(const model_config *config, const weights *files, plan **out, model_dims *dims, nb_error *err) {
    *out = NULL;
    plan_builder *b;
    int logits;
    nb_status status = build_steps(config, files, &b, &logits, dims, err);
    if (!status) status = plan_finish(b, logits, out, err);
    if (!status) plan_fuse(*out);
    return status;
}

nb_status model_specs(const model_config *config, plan **out, const plan_spec **specs, size_t *n, nb_error *err) {
    *out = NULL;
    plan_builder *b;
    int logits;
    model_dims dims;
    nb_status status = build_steps(config, NULL, &b, &logits, &dims, err);
    if (status) return status;
    const plan_spec *collected = plan_specs(b, n);
    plan_spec *kept = plan_alloc(b, *n + 1, sizeof *kept);
    if (kept && *n) memcpy(kept, collected, *n * sizeof *kept);
    *specs = kept;
    return plan_finish(b, logits, out, err);
}
