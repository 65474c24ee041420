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
        .verify = (nb_verify)a->verify,
        .device = a->device,
        .n_sequences = a->sequences,
        .n_batch = a->batch,
        .gpu_layers = (int)a->gpu_layers,
        .progress = progress_show,
    };
    nb_status status = nb_context_new(model, &options, out, err);
    progress_clear();
    return status;
}

/* ---- Sampling -------------------------------------------------------------------------------------------------- */

enum { NOT_GIVEN = -1 }; /* of whole numbers, none of which may be negative; of others NaN */

void sampling_init(sampling_args *a) {
    *a = (sampling_args){
        .temp = NAN,
        .top_p = NAN,
        .min_p = NAN,
        .min_tokens_to_keep = NOT_GIVEN,
        .top_k = NOT_GIVEN,
        .xtc_probability = NAN,
        .xtc_threshold = NAN,
        .repetition_penalty = NAN,
        .repetition_context_size = NOT_GIVEN,
        .presence_penalty = NAN,
        .presence_context_size = NOT_GIVEN,
        .frequency_penalty = NAN,
        .frequency_context_size = NOT_GIVEN,
    };
}

static void give_real(double from, float *to) {
    if (!isnan(from)) *to = (float)from;
}

static void give_int(int64_t from, int *to) {
    if (from != NOT_GIVEN) *to = (int)from;
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
    nb_model_sampling(model, out);
    give_real(a->temp, &out->temperature);
    give_real(a->top_p, &out->top_p);
    give_real(a->min_p, &out->min_p);
    give_int(a->min_tokens_to_keep, &out->min_tokens_to_keep);
    give_int(a->top_k, &out->top_k);
    give_real(a->xtc_probability, &out->xtc_probability);
    give_real(a->xtc_threshold, &out->xtc_threshold);
    give_real(a->repetition_penalty, &out->repetition_penalty);
    give_int(a->repetition_context_size, &out->repetition_context_size);
    give_real(a->presence_penalty, &out->presence_penalty);
    give_int(a->presence_context_size, &out->presence_context_size);
    give_real(a->frequency_penalty, &out->frequency_penalty);
    give_int(a->frequency_context_size, &out->frequency_context_size);
    a->temperature = (double)out->temperature;
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
    if (a->sampling.temperature > 0)
        fprintf(stderr, "%-11s %llu\n", "seed:", (unsigned long long)a->sampling.seed.value);
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

/* The names under which templates ask whether the model shall think; what --template-args says wins, since it comes
 * last. */
static nb_status join_variables(template_args *a, bool extra_empty, nb_error *err) {
    buf *v = &a->variables;
    buf_clear(v);
    if (a->think || a->no_think) {
        const char *value = a->think ? "true" : "false";
        buf_printf(v, "{\"enable_thinking\": %s, \"thinking\": %s", value, value);
        if (a->extra && !extra_empty)
            buf_printf(v, ", %s", strchr(a->extra, '{') + 1);
        else
            buf_putc(v, '}');
    } else if (a->extra) {
        buf_puts(v, a->extra);
    }
    return v->failed ? err_no_memory(err, "template arguments", 0) : NB_OK;
}

nb_status template_variables_make(template_args *a, nb_error *err) {
    bool extra_empty = false;
    if (a->extra) {
        cJSON *json = NULL;
        nb_status status = json_parse(a->extra, strlen(a->extra), "--template-args", &json, err);
        if (!status && !cJSON_IsObject(json))
            status = err_set(err, NB_ERR_FORMAT, "--template-args: not a JSON object");
        extra_empty = json && !json->child;
        cJSON_Delete(json);
        if (status) return status;
    }
    return join_variables(a, extra_empty, err);
}

nb_status template_load(template_args *a, nb_error *err) {
    if (a->think && a->no_think) return err_set(err, NB_ERR_ARGUMENT, "--think and --no-think exclude each other");
    nb_status status = template_variables_make(a, err);
    if (!status && a->tools_file) status = objects_read(a->tools_file, "tools", &a->tools, err);
    return status;
}

const char *template_tools(const template_args *a) {
    return a->tools.len ? a->tools.data : NULL;
}

const char *template_variables(const template_args *a) {
    return a->variables.len ? a->variables.data : NULL;
}

void template_free(template_args *a) {
    buf_free(&a->tools);
    buf_free(&a->variables);
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
