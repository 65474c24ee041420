/* SPDX-License-Identifier: Apache-2.0 */
#include "models/models.h"

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"

static const family *const families[] = {
    &family_llama,     &family_qwen2,      &family_qwen3,   &family_smollm3, &family_phi3,   &family_gpt_oss,
    &family_qwen3_moe, &family_qwen3_next, &family_qwen3_5, &family_gemma2,  &family_gemma3, &family_gemma4,
};
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

/* Runs the family's builder on the table, or dry when it is NULL. On success *builder holds the steps. */
static nb_status build_steps(const model_config *config, const checkpoint *table, quant_config *quantization,
                             plan_builder **builder, int *logits, model_dims *dims, nb_error *err) {
    *builder = NULL;
    *dims = (model_dims){0};
    const family *f = find_family(config->model_type);
    if (!f) f = find_family(config->text_model_type);
    if (!f) return unknown_family(config->model_type, err);
    nb_status status = plan_builder_new(table, quantization, builder, err);
    if (status) return status;
    *logits = f->build(&(family_input){config->text, config->tree, *builder, dims});
    return NB_OK;
}

/* Tensors that no step reads: said once, since a person may wonder. Those of checkpoint_get_skipped are known. */
static void log_unused(const model_config *config, const checkpoint *table, size_t used) {
    size_t all = 0;
    for (size_t i = 0; i < checkpoint_count(table); i++) all += !checkpoint_at(table, i)->aside;
    if (all > used) log_msg(NB_LOG_INFO, "%s: %zu of %zu tensors are not used", config->name, all - used, all);
}

nb_status model_build(const model_config *config, const weights *files, plan **out, model_dims *dims, nb_error *err) {
    *out = NULL;
    plan_builder *b;
    int logits;
    checkpoint *table = NULL;
    quant_config *quantization = NULL;
    nb_status status = quant_config_open(config, &quantization, err);
    if (!status) status = checkpoint_open(config, files, &table, err);
    if (!status) status = build_steps(config, table, quantization, &b, &logits, dims, err);
    if (!status && plan_ok(b)) log_unused(config, table, plan_tensors_used(b));
    if (!status) status = plan_finish(b, logits, out, err);
    checkpoint_close(table);
    quant_config_close(quantization);
    if (!status) plan_fuse(*out);
    return status;
}

nb_status model_specs(const model_config *config, plan **out, const plan_spec **specs, size_t *n, nb_error *err) {
    *out = NULL;
    plan_builder *b;
    int logits;
    model_dims dims;
    nb_status status = build_steps(config, NULL, NULL, &b, &logits, &dims, err);
    if (status) return status;
    const plan_spec *collected = plan_specs(b, n);
    plan_spec *kept = plan_alloc(b, *n + 1, sizeof *kept);
    if (kept && *n) memcpy(kept, collected, *n * sizeof *kept);
    *specs = kept;
    return plan_finish(b, logits, out, err);
}
