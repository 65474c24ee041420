/* SPDX-License-Identifier: Apache-2.0
 *
 * From shared options to the library's own structures. */
#define _GNU_SOURCE
#include "cli/args.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/json.h"
#include "base/utf8.h"

enum { MAX_JSON_FILE = 64 << 20 };

/* ---- Model and context ----------------------------------------------------------------------------------------- */

int model_open(const char *name, nb_model **out) {
    nb_error err = {0};
    if (nb_model_open(name, out, &err)) return cli_error(&err);
    return CLI_OK;
}

nb_status context_open(nb_model *model, const context_args *a, int64_t n_tokens, nb_context **out, nb_error *err) {
    nb_context_options options = {
        .n_threads = (int)a->threads,
        .context_length = a->ctx_size ? a->ctx_size : n_tokens,
        .kv_type = (nb_kv_type)a->kv_type,
        .progress = progress_show,
    };
    nb_status status = nb_context_new(model, &options, out, err);
    progress_clear();
    return status;
}

/* ---- Sampling -------------------------------------------------------------------------------------------------- */

void sampling_init(sampling_args *a) {
    nb_sampling d;
    nb_sampling_defaults(&d);
    *a = (sampling_args){
        .temp = (double)d.temperature,
        .top_p = (double)d.top_p,
        .min_p = (double)d.min_p,
        .min_tokens_to_keep = d.min_tokens_to_keep,
        .top_k = d.top_k,
        .xtc_probability = (double)d.xtc_probability,
        .xtc_threshold = (double)d.xtc_threshold,
        .repetition_penalty = (double)d.repetition_penalty,
        .repetition_context_size = d.repetition_context_size,
        .presence_penalty = (double)d.presence_penalty,
        .presence_context_size = d.presence_context_size,
        .frequency_penalty = (double)d.frequency_penalty,
        .frequency_context_size = d.frequency_context_size,
    };
}

/* "ID=V" of one --logit-bias. */
static nb_status parse_bias(const char *text, int64_t vocab_size, int32_t *id, float *value, nb_error *err) {
    char *end, *value_end;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end != '=')
        return err_set(err, NB_ERR_ARGUMENT, "--logit-bias: \"%s\" is not of the form ID=V", text);
    double v = strtod(end + 1, &value_end);
    if (value_end == end + 1 || *value_end || isnan(v))
        return err_set(err, NB_ERR_ARGUMENT, "--logit-bias: \"%s\" is not a number", end + 1);
    if (n < 0 || n >= vocab_size)
        return err_set(err, NB_ERR_ARGUMENT, "--logit-bias: token %lld is outside of the vocabulary, 0 to %lld", n,
                       (long long)vocab_size - 1);
    *id = (int32_t)n;
    *value = (float)v;
    return NB_OK;
}

nb_status sampling_resolve(sampling_args *a, const nb_model *model, nb_sampling *out, nb_error *err) {
    nb_model_info info;
    nb_model_get_info(model, &info);
    size_t n = a->logit_bias.n;
    a->bias_ids = calloc(n + 1, sizeof *a->bias_ids);
    a->bias_values = calloc(n + 1, sizeof *a->bias_values);
    if (!a->bias_ids || !a->bias_values) return err_no_memory(err, "logit bias", n * sizeof(float));
    for (a->n_bias = 0; a->n_bias < n; a->n_bias++) {
        size_t i = a->n_bias;
        nb_status status =
            parse_bias(a->logit_bias.items[i], info.vocab_size, &a->bias_ids[i], &a->bias_values[i], err);
        if (status) return status;
    }
    if (!a->seed.given && getrandom(&a->seed.value, sizeof a->seed.value, 0) != sizeof a->seed.value)
        a->seed.value = (uint64_t)time(NULL);
    nb_sampling_defaults(out);
    out->temperature = (float)a->temp;
    out->top_p = (float)a->top_p;
    out->min_p = (float)a->min_p;
    out->min_tokens_to_keep = (int)a->min_tokens_to_keep;
    out->top_k = (int)a->top_k;
    out->xtc_probability = (float)a->xtc_probability;
    out->xtc_threshold = (float)a->xtc_threshold;
    out->repetition_penalty = (float)a->repetition_penalty;
    out->repetition_context_size = (int)a->repetition_context_size;
    out->presence_penalty = (float)a->presence_penalty;
    out->presence_context_size = (int)a->presence_context_size;
    out->frequency_penalty = (float)a->frequency_penalty;
    out->frequency_context_size = (int)a->frequency_context_size;
    out->logit_bias_ids = a->bias_ids;
    out->logit_bias_values = a->bias_values;
    out->n_logit_bias = a->n_bias;
    out->seed = a->seed.value;
    return NB_OK;
}

void sampling_free(sampling_args *a) {
    free(a->bias_ids);
    free(a->bias_values);
    a->bias_ids = NULL;
    a->bias_values = NULL;
}

/* ---- The answer ------------------------------------------------------------------------------------------------ */

static bool show_text(void *user, const char *text, size_t length) {
    (void)user;
    return out_text(text, length) && !interrupted();
}

static bool watch_token(void *user, int32_t token) {
    (void)user;
    (void)token;
    return !interrupted();
}

nb_status answer_resolve(answer_args *a, const nb_model *model, nb_generate_options *out, nb_error *err) {
    nb_generate_defaults(out);
    for (size_t i = 0; i < a->stop.n; i++)
        if (!a->stop.items[i][0]) return err_set(err, NB_ERR_ARGUMENT, "--stop: the text is empty");
    out->max_tokens = a->max_tokens;
    out->ignore_eos = a->ignore_eos;
    out->stop = a->stop.items;
    out->n_stop = a->stop.n;
    out->on_text = show_text;
    out->on_token = watch_token;
    out->on_prefill = progress_show;
    return sampling_resolve(&a->sampling, model, &out->sampling, err);
}

static void stats_line(const char *what, int64_t tokens, int64_t timed, double seconds) {
    fprintf(stderr, "%-11s %6lld tokens", what, (long long)tokens);
    if (timed > 0 && seconds > 0) fprintf(stderr, ", %8.2f tokens/s (%.3f s)", (double)timed / seconds, seconds);
    fputc('\n', stderr);
}

void answer_stats(const answer_args *a, const nb_generate_result *result) {
    fflush(stdout);
    progress_clear();
    stats_line("prompt:", result->n_prompt, result->n_prompt, result->prompt_seconds);
    stats_line("generation:", result->n_generated, result->n_generated - 1, result->generation_seconds);
    if (a->sampling.temp > 0) fprintf(stderr, "%-11s %llu\n", "seed:", (unsigned long long)a->sampling.seed.value);
}

/* ---- Templates and text ---------------------------------------------------------------------------------------- */

nb_status objects_read(const char *path, const char *what, buf *out, nb_error *err) {
    cJSON *json = NULL;
    const char *name = strcmp(path, "-") ? path : "standard input";
    nb_status status = input_read(path, MAX_JSON_FILE, out, err);
    if (!status) status = json_parse(out->data, out->len, name, &json, err);
    if (!status && !cJSON_IsArray(json)) status = err_set(err, NB_ERR_FORMAT, "%s: not a JSON array of %s", name, what);
    int number = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        if (!status && !cJSON_IsObject(item))
            status = err_set(err, NB_ERR_FORMAT, "%s: element %d is no JSON object, expected an array of %s", name,
                             number, what);
        number++;
    }
    cJSON_Delete(json);
    return status;
}

nb_status template_load(template_args *a, nb_error *err) {
    nb_status status = NB_OK;
    if (a->extra) {
        cJSON *json = NULL;
        status = json_parse(a->extra, strlen(a->extra), "--template-args", &json, err);
        if (!status && !cJSON_IsObject(json))
            status = err_set(err, NB_ERR_FORMAT, "--template-args: not a JSON object");
        cJSON_Delete(json);
    }
    if (!status && a->tools_file) status = objects_read(a->tools_file, "tools", &a->tools, err);
    return status;
}

const char *template_tools(const template_args *a) {
    return a->tools.len ? a->tools.data : NULL;
}

void template_free(template_args *a) {
    buf_free(&a->tools);
}

nb_status text_check(const char *text, size_t n, const char *what, nb_error *err) {
    size_t i = 0;
    while (i < n) {
        uint32_t cp;
        int length = text[i] ? utf8_decode(text + i, n - i, &cp) : 0;
        if (!length)
            return err_set(err, NB_ERR_FORMAT, "%s: byte %zu is %s", what, i,
                           text[i] ? "not UTF-8 text" : "a NUL, expected text");
        i += (size_t)length;
    }
    return NB_OK;
}
