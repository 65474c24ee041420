/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading config.json and generation_config.json. */
#include "files/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

/* ---- config.json --------------------------------------------------------------------------------------------- */

/* Finds the parts of the tree, which *c owns already. */
static nb_status find_parts(model_config *c, nb_error *err) {
    if (!cJSON_IsObject(c->tree)) return err_set(err, NB_ERR_FORMAT, "%s: holds no JSON object", c->name);
    const cJSON *text = json_get(c->tree, "text_config");
    if (text && !cJSON_IsObject(text))
        return err_set(err, NB_ERR_FORMAT, "%s: field \"text_config\" is no object", c->name);
    c->text = text ? text : c->tree;
    nb_status status = json_str(c->tree, "model_type", &c->model_type, NULL, c->name, err);
    if (!status) status = json_str(c->text, "model_type", &c->text_model_type, NULL, c->name, err);
    if (status) return status;
    if (!c->model_type) c->model_type = c->text_model_type;
    if (!c->text_model_type) c->text_model_type = c->model_type;
    return c->model_type ? NB_OK : err_set(err, NB_ERR_FORMAT, "%s: field \"model_type\" is missing", c->name);
}

static nb_status finish(model_config *c, nb_status status, nb_error *err) {
    if (!status) status = find_parts(c, err);
    if (status) config_close(c);
    return status;
}

nb_status config_open(const char *dir, model_config *out, nb_error *err) {
    *out = (model_config){.name = path_join(dir, "config.json")};
    if (!out->name) return err_no_memory(err, dir, 0);
    return finish(out, json_read(out->name, &out->tree, err), err);
}

nb_status config_parse(const char *text, size_t length, const char *name, model_config *out, nb_error *err) {
    *out = (model_config){.name = strdup(name)};
    if (!out->name) return err_no_memory(err, name, 0);
    return finish(out, json_parse(text, length, name, &out->tree, err), err);
}

void config_close(model_config *c) {
    cJSON_Delete(c->tree);
    free(c->name);
    *c = (model_config){0};
}

/* ---- generation_config.json ---------------------------------------------------------------------------------- */

static nb_status add_eos(const cJSON *item, const char *name, generation_config *g, nb_error *err) {
    double id = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(id >= 0 && id <= INT32_MAX) || id != (double)(int32_t)id)
        return err_set(err, NB_ERR_FORMAT, "%s: field \"eos_token_id\" holds something else than token ids", name);
    for (int i = 0; i < g->n_eos; i++)
        if (g->eos_ids[i] == (int32_t)id) return NB_OK;
    if (g->n_eos == CONFIG_MAX_EOS)
        return err_set(err, NB_ERR_FORMAT, "%s: field \"eos_token_id\" has more than %d ids", name,
                       (int)CONFIG_MAX_EOS);
    g->eos_ids[g->n_eos++] = (int32_t)id;
    return NB_OK;
}

/* The ids of one object, if it has any: a number or a list of numbers. */
static nb_status read_eos(const cJSON *object, const char *name, generation_config *g, nb_error *err) {
    const cJSON *ids = json_get(object, "eos_token_id"), *item;
    if (!ids) return NB_OK;
    if (!cJSON_IsArray(ids)) return add_eos(ids, name, g, err);
    nb_status status = NB_OK;
    cJSON_ArrayForEach(item, ids) if (!status) status = add_eos(item, name, g, err);
    return status;
}

/* tokenizer_config.json has the token as a text, or as an object with its "content". */
static nb_status read_eos_token(const cJSON *tokenizer, generation_config *g, nb_error *err) {
    const cJSON *token = json_get(tokenizer, "eos_token");
    if (cJSON_IsObject(token)) token = json_get(token, "content");
    if (!token) return NB_OK;
    if (!cJSON_IsString(token))
        return err_set(err, NB_ERR_FORMAT, "tokenizer_config.json: field \"eos_token\" is no text");
    g->eos_token = strdup(token->valuestring);
    return g->eos_token ? NB_OK : err_no_memory(err, "eos_token", 0);
}

static nb_status read_sampling(const cJSON *o, const char *name, generation_config *g, nb_error *err) {
    bool sample = false, found = false;
    nb_status status = json_bool(o, "do_sample", &sample, &found, name, err);
    if (found) g->do_sample = sample;
    if (!status) status = json_num(o, "temperature", 0, 100, &g->temperature, NULL, name, err);
    if (!status) status = json_num(o, "top_p", 0, 1, &g->top_p, NULL, name, err);
    if (!status) status = json_num(o, "min_p", 0, 1, &g->min_p, NULL, name, err);
    if (!status) status = json_num(o, "repetition_penalty", 0, 100, &g->repetition_penalty, NULL, name, err);
    if (!status) status = json_int(o, "top_k", -1, INT32_MAX, &g->top_k, NULL, name, err);
    return status;
}

nb_status generation_config_read(const cJSON *generation, const model_config *config, const cJSON *tokenizer,
                                 const char *name, generation_config *out, nb_error *err) {
    *out = (generation_config){
        .temperature = -1, .top_p = -1, .min_p = -1, .repetition_penalty = -1, .top_k = -1, .do_sample = -1};
    nb_status status = NB_OK;
    if (generation && !cJSON_IsObject(generation))
        status = err_set(err, NB_ERR_FORMAT, "%s: holds no JSON object", name);
    if (!status) status = read_sampling(generation, name, out, err);
    if (!status) status = read_eos(generation, name, out, err);
    if (!status && !out->n_eos) status = read_eos(config->tree, config->name, out, err);
    if (!status && !out->n_eos) status = read_eos(config->text, config->name, out, err);
    if (!status && !out->n_eos) status = read_eos_token(tokenizer, out, err);
    if (status) generation_config_close(out);
    return status;
}

/* DIR/NAME parsed; *out stays NULL where there is no such file. */
static nb_status read_optional(const char *dir, const char *name, cJSON **out, nb_error *err) {
    char *path = path_join(dir, name);
    if (!path) return err_no_memory(err, dir, 0);
    nb_error ignored = {0};
    nb_status status = json_read(path, out, &ignored);
    if (status == NB_ERR_NOT_FOUND)
        status = NB_OK;
    else if (status)
        err_set(err, status, "%s", ignored.text);
    free(path);
    return status;
}

nb_status generation_config_open(const char *dir, const model_config *config, generation_config *out, nb_error *err) {
    *out = (generation_config){0};
    cJSON *generation = NULL, *tokenizer = NULL;
    nb_status status = read_optional(dir, "generation_config.json", &generation, err);
    if (!status) status = read_optional(dir, "tokenizer_config.json", &tokenizer, err);
    if (!status) status = generation_config_read(generation, config, tokenizer, "generation_config.json", out, err);
    cJSON_Delete(generation);
    cJSON_Delete(tokenizer);
    return status;
}

void generation_config_close(generation_config *g) {
    free(g->eos_token);
    *g = (generation_config){0};
}
