/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble bench`: how fast a model runs, beside what the machine could do; `nibble bench kernels`: the same for the
 * rows of the registry. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "cli/args.h"
#include "cli/bench_kernels.h"
#include "cli/bench_machine.h"
#include "cli/bench_profile.h"
#include "cli/bench_random.h"
#include "engine/engine.h"

enum { MAX_ROUNDS = 1000 };

typedef struct bench_args {
    context_args context;
    int64_t n_prompt, n_generate, rounds, depth, sequences;
    bool json, profile;
    const char *config, *filter;
} bench_args;

typedef struct bench_result {
    double prompt[MAX_ROUNDS], generation[MAX_ROUNDS]; /* tokens per second of each round */
    double open_seconds, context_seconds, bandwidth;
    int64_t resident, peak, kv_bytes;
    nb_model_info model;
    nb_context_stats stats;
    char device[128];
} bench_result;

static double best_of(const double *values, int64_t n) {
    double best = 0;
    for (int64_t i = 0; i < n; i++) best = values[i] > best ? values[i] : best;
    return best;
}

/* ---- Measuring ------------------------------------------------------------------------------------------------- */

typedef struct bench_run {
    nb_context *context;
    int64_t n; /* sequences, each with a sampler and the token that it drew last */
    nb_sequence **sequences;
    nb_sampler **samplers;
    int32_t *next;
    nb_batch_item *items;
    int32_t *tokens; /* of a prompt, any ones */
} bench_run;

static nb_status run_prompt(bench_run *r, nb_sequence *s, int64_t n, nb_error *err) {
    nb_batch_item item = {
        .sequence = s, .tokens = r->tokens, .n_tokens = n, .sampler = r->samplers[0], .next = r->next};
    nb_status status = nb_sequence_truncate(s, 0, err);
    return status ? status : nb_forward(r->context, &item, 1, err);
}

/* Each sequence holds `depth` tokens, or none. */
static nb_status fill_sequences(bench_run *r, int64_t depth, nb_error *err) {
    nb_status status = NB_OK;
    for (int64_t i = 0; i < r->n && !status; i++)
        status = depth > 0 ? run_prompt(r, r->sequences[i], depth, err) : nb_sequence_truncate(r->sequences[i], 0, err);
    return status;
}

/* n tokens one after the other in all sequences at once, each drawn as in a real answer. */
static nb_status run_generation(bench_run *r, int64_t n, double round, double n_rounds, nb_error *err) {
    nb_status status = NB_OK;
    for (int64_t i = 0; i < r->n; i++) {
        r->next[i] = r->tokens[0];
        r->items[i] = (nb_batch_item){.sequence = r->sequences[i],
                                      .tokens = &r->next[i],
                                      .n_tokens = 1,
                                      .sampler = r->samplers[i],
                                      .next = &r->next[i]};
    }
    for (int64_t i = 0; i < n && !status; i++) {
        if (!progress_show(NULL, "bench", round + 0.5 + 0.5 * (double)i / (double)n, n_rounds))
            return err_set(err, NB_ERR_CANCELLED, "interrupted");
        status = nb_forward(r->context, r->items, (size_t)r->n, err);
    }
    return status;
}

static nb_status measure_rounds(bench_run *r, const bench_args *a, bench_result *result, nb_error *err) {
    /* Once without the clock: pages come into memory, threads wake up. */
    nb_status status = run_prompt(r, r->sequences[0], a->n_prompt, err);
    if (!status) status = fill_sequences(r, a->depth, err);
    if (!status) status = run_generation(r, 2, 0, (double)a->rounds, err);
    for (int64_t i = 0; i < a->rounds && !status; i++) {
        if (!progress_show(NULL, "bench", (double)i, (double)a->rounds))
            return err_set(err, NB_ERR_CANCELLED, "interrupted");
        double start = clock_now();
        status = run_prompt(r, r->sequences[0], a->n_prompt, err);
        result->prompt[i] = (double)a->n_prompt / (clock_now() - start);
        if (!status) status = fill_sequences(r, a->depth, err);
        start = clock_now();
        if (!status) status = run_generation(r, a->n_generate, (double)i, (double)a->rounds, err);
        result->generation[i] = (double)(a->n_generate * r->n) / (clock_now() - start);
    }
    progress_clear();
    return status;
}

/* What the device itself can do: a GPU copying (bytes read and written), a CPU reading. */
static nb_status bandwidth_of(nb_context *c, double *out, nb_error *err) {
    executor *e = c->executor;
    if (e->copy_rate) return e->copy_rate(e, out, err);
    pool *p = NULL;
    nb_status status = pool_new(e->n_threads, &p, err);
    if (status) return status;
    *out = machine_read_bandwidth(p);
    pool_free(p);
    return interrupted() ? err_set(err, NB_ERR_CANCELLED, "interrupted") : NB_OK;
}

static nb_status bench_run_init(bench_run *r, const nb_model *model, const bench_args *a, nb_error *err) {
    nb_model_info info;
    nb_sampling sampling;
    nb_model_get_info(model, &info);
    nb_sampling_defaults(&sampling);
    const size_t n = (size_t)a->sequences, n_tokens = (size_t)max_i64(a->n_prompt, a->depth);
    r->sequences = calloc(n, sizeof(nb_sequence *));
    r->samplers = calloc(n, sizeof(nb_sampler *));
    r->next = calloc(n, sizeof *r->next);
    r->items = calloc(n, sizeof *r->items);
    r->tokens = calloc(n_tokens, sizeof *r->tokens);
    if (!r->sequences || !r->samplers || !r->next || !r->items || !r->tokens) return err_no_memory(err, "bench", 0);
    for (size_t i = 0; i < n_tokens; i++) r->tokens[i] = (int32_t)((int64_t)(i * 7919 + 1) % info.vocab_size);
    nb_status status = NB_OK;
    for (r->n = 0; r->n < a->sequences && !status; r->n++) {
        status = nb_sampler_new(model, &sampling, &r->samplers[r->n], err);
        if (!status) status = nb_sequence_new(r->context, &r->sequences[r->n], err);
    }
    return status;
}

static void bench_run_free(bench_run *r) {
    for (int64_t i = 0; i < r->n; i++) nb_sampler_free(r->samplers[i]);
    free(r->sequences);
    free(r->samplers);
    free(r->next);
    free(r->items);
    free(r->tokens);
    nb_context_free(r->context);
}

static nb_status measure(nb_model *model, const bench_args *a, bench_result *result, nb_error *err) {
    bench_run r = {0};
    int64_t n_tokens = max_i64(a->n_prompt, a->depth + a->n_generate + 2);
    double start = clock_now();
    nb_status status = context_open(model, &a->context, n_tokens, &r.context, err);
    result->context_seconds = clock_now() - start;
    if (!status) status = bench_run_init(&r, model, a, err);
    if (!status) status = measure_rounds(&r, a, result, err);
    if (!status) {
        nb_model_get_info(model, &result->model);
        nb_context_get_stats(r.context, &result->stats);
        snprintf(result->device, sizeof result->device, "%s", result->stats.device); /* dies with the context */
        result->kv_bytes =
            result->stats.kv_bytes_per_token * max_i64(a->n_prompt, a->sequences * (a->depth + a->n_generate));
        machine_memory(&result->resident, &result->peak);
        /* Last, since its buffer would count as memory of ours. */
        status = bandwidth_of(r.context, &result->bandwidth, err);
    }
    if (!status && a->profile) status = profile_print(r.context, a->sequences, a->depth, a->n_prompt, err);
    bench_run_free(&r);
    return status;
}

/* ---- Printing -------------------------------------------------------------------------------------------------- */

static void print_text(const bench_args *a, const bench_result *r) {
    double pp = best_of(r->prompt, a->rounds), tg = best_of(r->generation, a->rounds);
    double read = tg / (double)a->sequences * (double)r->stats.weight_bytes;
    out_printf("model       %s, %.0f million parameters, %s\n", r->model.model_type,
               (double)r->model.n_parameters / 1e6, r->model.quantization);
    out_printf("device      %s\n", r->device);
    out_printf("load        %.3f s\n", r->open_seconds + r->context_seconds);
    out_printf("pp%-9lld %9.2f tokens/s, the best of %lld\n", (long long)a->n_prompt, pp, (long long)a->rounds);
    out_printf("tg%-9lld %9.2f tokens/s, the best of %lld", (long long)a->n_generate, tg, (long long)a->rounds);
    if (a->sequences > 1) out_printf(", %lld sequences at once", (long long)a->sequences);
    out_printf("%s\n", a->depth > 0 ? ", behind a context" : "");
    out_printf("weights     %.2f GB/s read while generating", read * 1e-9);
    if (r->bandwidth > 0)
        out_printf(", %.0f%% of the %.2f GB/s that the device can", 100 * read / r->bandwidth, r->bandwidth * 1e-9);
    out_printf("\nmemory      %.1f MB resident, %.1f MB at most (weights %.1f MB, KV cache %.1f MB)\n",
               (double)r->resident * 1e-6, (double)r->peak * 1e-6, (double)r->model.weight_bytes * 1e-6,
               (double)r->kv_bytes * 1e-6);
}

static void add_rounds(cJSON *o, const char *name, const double *values, int64_t n) {
    cJSON *array = cJSON_AddArrayToObject(o, name);
    for (int64_t i = 0; i < n && array; i++) cJSON_AddItemToArray(array, cJSON_CreateNumber(values[i]));
}

static void print_json(const bench_args *a, const bench_result *r) {
    double tg = best_of(r->generation, a->rounds), read = tg / (double)a->sequences * (double)r->stats.weight_bytes;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "model", r->model.path);
    cJSON_AddStringToObject(o, "model_type", r->model.model_type);
    cJSON_AddStringToObject(o, "quantization", r->model.quantization);
    cJSON_AddStringToObject(o, "device", r->device);
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"threads", r->stats.n_threads},
        {"sequences", (double)a->sequences},
        {"depth", (double)a->depth},
        {"prompt_tokens", (double)a->n_prompt},
        {"generation_tokens", (double)a->n_generate},
        {"prompt_tokens_per_second", best_of(r->prompt, a->rounds)},
        {"generation_tokens_per_second", tg},
        {"weight_bytes_per_token", (double)r->stats.weight_bytes},
        {"weight_bytes_per_second", read},
        {"read_bandwidth_bytes_per_second", r->bandwidth},
        {"bandwidth_share", r->bandwidth > 0 ? read / r->bandwidth : 0},
        {"resident_bytes", (double)r->resident},
        {"peak_resident_bytes", (double)r->peak},
        {"weight_bytes", (double)r->model.weight_bytes},
        {"packed_bytes", (double)r->stats.packed_bytes},
        {"work_bytes", (double)r->stats.work_bytes},
        {"kv_bytes", (double)r->kv_bytes},
        {"load_seconds", r->open_seconds + r->context_seconds},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        cJSON_AddNumberToObject(o, numbers[i].name, numbers[i].value);
    add_rounds(o, "prompt_rounds", r->prompt, a->rounds);
    add_rounds(o, "generation_rounds", r->generation, a->rounds);
    char *text = cJSON_Print(o);
    if (text) out_printf("%s\n", text);
    cJSON_free(text);
    cJSON_Delete(o);
}

/* ---- The command ----------------------------------------------------------------------------------------------- */

static int bench_model(const bench_args *a, const char *name) {
    nb_error err = {0};
    nb_model *model = NULL;
    bench_result *result = calloc(1, sizeof *result);
    if (!result) return cli_fail("out of memory");
    char dir[512];
    nb_status status = a->config ? random_model_write(a->config, dir, &err) : NB_OK;
    double start = clock_now();
    if (!status) status = nb_model_open(a->config ? dir : name, &model, &err);
    result->open_seconds = clock_now() - start;
    cleanup_run();
    if (!status) status = measure(model, a, result, &err);
    int code = status ? cli_error(&err) : CLI_OK;
    if (code == CLI_OK) {
        if (a->json)
            print_json(a, result);
        else
            print_text(a, result);
    }
    nb_model_free(model);
    free(result);
    return code;
}

static int bench_main(const command *self, int argc, char **argv) {
    bench_args a = {.n_prompt = 512, .n_generate = 128, .rounds = 3};
    const opt table[] = {
        {"prompt", 'p', OPT_INT, &a.n_prompt, "N", "tokens of the prompt [512]", 1, 1 << 24},
        {"generate", 'g', OPT_INT, &a.n_generate, "N", "tokens to generate [128]", 1, 1 << 24},
        {"depth", 'd', OPT_INT, &a.depth, "N", "tokens that a sequence holds when it begins to generate [0]", 1,
         1 << 24},
        {"sequences", 's', OPT_INT, &a.context.sequences, "N", "sequences that generate at once [1]", 1, 65536},
        BATCH_OPT(a.context),
        {"profile", 0, OPT_FLAG, &a.profile, NULL, "also print where the time of a token and of a prompt goes", 0, 0},
        {"rounds", 'r', OPT_INT, &a.rounds, "N", "measure N times; the best counts [3]", 1, MAX_ROUNDS},
        {"config", 0, OPT_STRING, &a.config, "FILE", "a config.json, run with random weights, in place of MODEL", 0, 0},
        {"filter", 0, OPT_STRING, &a.filter, "PATTERN", "kernels: only those whose name matches; * is any text", 0, 0},
        {"json", 0, OPT_FLAG, &a.json, NULL, "print a JSON object (kernels: an array)", 0, 0},
        DEVICE_OPT(a.context),
        GPU_LAYERS_OPT(a.context),
        THREADS_OPT(a.context),
        KV_TYPE_OPT(a.context),
        VERIFY_OPT(a.context),
    };
    const char *words[2];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 0, 1);
    if (code >= 0) return code;
    a.sequences = max_i64(1, a.context.sequences);
    if (!words[0] == !a.config) return cli_usage(self->name, "expected either MODEL, kernels, or --config");
    if (words[0] && !strcmp(words[0], "kernels"))
        return bench_kernels(a.filter, a.context.device, (int)a.context.threads, a.json);
    if (a.filter) return cli_usage(self->name, "--filter goes with `nibble bench kernels`");
    return bench_model(&a, words[0]);
}

const command cmd_bench = {
    .name = "bench",
    .usage = "MODEL | kernels | --config FILE",
    .summary = "measure speed and memory",
    .text =
        "Prints tokens per second of a prompt and of generation, the bytes of weights that generation reads per second "
        "beside what the machine can read (measured in the same run), memory and load time. With --config it runs "
        "random weights of any config.json's shapes. `nibble bench kernels` times each kernel that this machine can "
        "run beside the machine's limits.",
    .run = bench_main,
};
