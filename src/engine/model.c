/* SPDX-License-Identifier: Apache-2.0
 *
 * nb_model: opens a model directory and puts its parts together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/engine.h"
#include "files/store.h"

/* "affine 4-bit, groups of 64": how most of the weights are quantized, and what else there is. */
static void describe_quantization(nb_model *m) {
    const kweight *most = NULL;
    int64_t largest = 0;
    bool plain = false, mixed = false;
    for (int i = 0; i < m->plan->n_weights; i++) {
        const kweight *a = &m->plan->weights[i].w;
        plain |= a->mode == W_PLAIN && !m->plan->weights[i].is_conv;
        int64_t elements = 0;
        for (int j = 0; a->mode != W_PLAIN && j < m->plan->n_weights; j++) {
            const kweight *b = &m->plan->weights[j].w;
            if (a->mode == b->mode && a->bits == b->bits && a->group_size == b->group_size)
                elements += weight_elements(b);
            else
                mixed |= b->mode != W_PLAIN;
        }
        if (elements <= largest) continue;
        largest = elements;
        most = a;
    }
    if (!most)
        snprintf(m->quantization, sizeof m->quantization, "none");
    else
        snprintf(m->quantization, sizeof m->quantization, "%s %d-bit, groups of %d%s%s", wmode_name(most->mode),
                 most->bits, most->group_size, mixed ? ", other layers differ" : "",
                 plain ? ", some layers unquantized" : "");
}

/* The end tokens: the ids that the configs give, else the tokenizer's eos_token. */
static nb_status find_end_tokens(nb_model *m, nb_error *err) {
    generation_config *g = &m->generation;
    nb_status status = generation_config_open(m->dir, &m->config, g, err);
    if (!status && g->n_eos == 0 && g->eos_token && m->tokenizer) {
        int32_t id = tok_id(m->tokenizer, g->eos_token);
        if (id >= 0) g->eos_ids[g->n_eos++] = id;
    }
    return status;
}

/* ---- Reasoning and tool calls --------------------------------------------------------------------------------- */

/* A mark is the model's when its vocabulary or its template holds it. */
static bool has_mark(const nb_model *m, const char *mark) {
    return (m->tokenizer && tok_id(m->tokenizer, mark) >= 0) ||
           (m->chat && strstr(chat_template_source(m->chat), mark));
}

/* By name, else by the template, else (LFM2.5's templates name no marks) by the vocabulary; mlx-lm's order. */
static const tc_format *find_tool_format(const nb_model *m) {
    const char *name = chat_template_tool_parser(m->chat);
    const tc_format *f = name ? tc_format_named(name) : tc_format_of_template(chat_template_tool_source(m->chat));
    if (name && !f)
        log_msg(NB_LOG_WARN, "%s: tool_parser_type \"%s\" is not known; tool calls are not read", m->dir, name);
    if (!name && !f && m->tokenizer && tok_id(m->tokenizer, "<|tool_call_start|>") >= 0 &&
        tok_id(m->tokenizer, "<|tool_call_end|>") >= 0)
        f = tc_format_named("pythonic");
    return f;
}

/* A special token counts when a mark contains it: "<|channel>" is part of "<|channel>thought". */
static bool is_mark(const nb_model *m, int32_t id) {
    const char *mark, *token = tok_is_special(m->tokenizer, id) ? tok_text(m->tokenizer, id) : NULL;
    if (!token || !*token) return false;
    for (size_t i = 0; tc_mark(m->tool_format, m->reasoning, i, &mark); i++)
        if (strstr(mark, token)) return true;
    return false;
}

static nb_status find_marks(nb_model *m, nb_error *err) {
    if (!m->chat) return NB_OK;
    m->tool_format = find_tool_format(m);
    const tc_reasoning *r;
    for (size_t i = 0; !m->reasoning && (r = tc_reasoning_at(i)) != NULL; i++)
        if (has_mark(m, r->tokens[0]) && has_mark(m, r->tokens[1])) m->reasoning = r;
    if (!m->tokenizer) return NB_OK;
    for (int pass = 0; pass < 2; pass++) {
        size_t n = 0;
        for (int32_t id = 0; id < tok_count(m->tokenizer); id++) {
            if (!is_mark(m, id)) continue;
            if (m->marks) m->marks[n] = id;
            n++;
        }
        if (n == 0 || m->marks) break;
        m->n_marks = n;
        m->marks = calloc(n, sizeof *m->marks);
        if (!m->marks) return err_no_memory(err, "the marks of tool calls", n * sizeof *m->marks);
    }
    return NB_OK;
}

/* Tokens without a row of embeddings: none of the vocabulary proper may lack it. Published models do have added tokens
 * beyond theirs (Gemma 3 1B: one for images), which cost an error only where a text has them. */
static nb_status check_tokens(const nb_model *m, nb_error *err) {
    if (!m->tokenizer) return NB_OK;
    int32_t id = tok_beyond(m->tokenizer, m->dims.vocab_size, false), added;
    if (id >= 0)
        return err_set(err, NB_ERR_FORMAT,
                       "%s: token \"%.60s\" of the tokenizer has id %d, but config.json's vocab_size is %lld", m->dir,
                       tok_text(m->tokenizer, id), id, (long long)m->dims.vocab_size);
    added = tok_beyond(m->tokenizer, m->dims.vocab_size, true);
    if (added >= 0)
        log_msg(NB_LOG_INFO, "%s: added token \"%.60s\" has id %d, but config.json's vocab_size is %lld", m->dir,
                tok_text(m->tokenizer, added), added, (long long)m->dims.vocab_size);
    return NB_OK;
}

static nb_status open_dir(nb_model *m, nb_error *err) {
    nb_status status = config_open(m->dir, &m->config, err);
    if (!status) status = weights_open(m->dir, &m->files, err);
    if (status) return status;
    status = model_build(&m->config, m->files, &m->plan, &m->dims, err);
    if (status) return err_prefix(err, status, "%s", m->dir);
    status = tok_load(m->dir, &m->tokenizer, err);
    if (status == NB_ERR_NOT_FOUND) status = NB_OK; /* said when text is asked for */
    if (!status) status = check_tokens(m, err);
    if (!status) status = chat_template_load(m->dir, &m->chat, err);
    if (!status) status = find_end_tokens(m, err);
    if (!status) status = find_marks(m, err);
    if (status) return status;
    describe_quantization(m);
    return NB_OK;
}

nb_status nb_model_open(const char *name, nb_model **out, nb_error *err) {
    *out = NULL;
    nb_model *m = calloc(1, sizeof *m);
    if (!m) return err_no_memory(err, "a model", sizeof *m);
    m->references = 1;
    nb_status status = store_resolve(name, &m->dir, err);
    if (!status) status = open_dir(m, err);
    if (status)
        nb_model_free(m);
    else
        *out = m;
    return status;
}

nb_model *model_retain(nb_model *m) {
    m->references++;
    return m;
}

void nb_model_free(nb_model *m) {
    if (!m || --m->references > 0) return;
    chat_template_free(m->chat);
    tok_free(m->tokenizer);
    plan_free(m->plan);
    weights_close(m->files);
    generation_config_close(&m->generation);
    free(m->marks);
    config_close(&m->config);
    free(m->dir);
    free(m);
}

bool model_is_end_token(const nb_model *m, int32_t token) {
    for (int i = 0; i < m->generation.n_eos; i++)
        if (m->generation.eos_ids[i] == token) return true;
    return false;
}

void nb_model_get_info(const nb_model *m, nb_model_info *info) {
    const model_dims *d = &m->dims;
    *info = (nb_model_info){.path = m->dir,
                            .model_type = m->config.model_type,
                            .quantization = m->quantization,
                            .n_layers = d->n_layers,
                            .hidden_size = d->hidden_size,
                            .n_heads = d->n_heads,
                            .n_kv_heads = d->n_kv_heads,
                            .head_dim = d->head_dim,
                            .intermediate_size = d->intermediate_size,
                            .vocab_size = d->vocab_size,
                            .context_length = d->context_length,
                            .tied_embeddings = d->tied,
                            .has_tokenizer = m->tokenizer != NULL,
                            .has_chat_template = m->chat != NULL,
                            .tool_format = m->tool_format ? tc_format_name(m->tool_format) : NULL,
                            .has_reasoning = m->reasoning != NULL || m->tool_format == tc_format_named("harmony")};
    for (int i = 0; i < m->plan->n_weights; i++) {
        const kweight *w = &m->plan->weights[i].w;
        info->n_parameters += weight_elements(w);
        info->weight_bytes += weight_stored_bytes(w);
    }
    for (int i = 0; i < m->plan->n_steps; i++) {
        const plan_step *s = &m->plan->steps[i];
        const int64_t n = s->vec_len * ((s->vec.data != NULL) + (s->vec2.data != NULL));
        info->n_parameters += n;
        info->weight_bytes += n * (int64_t)dtype_size(s->vec.type);
    }
    info->bits_per_weight = (double)info->weight_bytes * 8 / (double)info->n_parameters;
}
