/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble inspect`: what a model is, what it needs, and what will compute it. */
#include <stdlib.h>
#include <string.h>

#include "cli/args.h"
#include "engine/engine.h"

typedef struct inspect_args {
    bool json, tensors, plan, kernels;
    context_args context;
} inspect_args;

static const double MB = 1e6;

/* Bytes of keys and values that a token needs at fp32. */
static int64_t kv_bytes(const plan *p) {
    int64_t sum = 0;
    for (int i = 0; i < p->n_caches; i++) sum += 2 * p->caches[i].n_heads * p->caches[i].head_dim;
    return sum * (int64_t)sizeof(float);
}

/* Bytes of recurrent states that a sequence needs, whatever its length. */
static int64_t state_bytes(const plan *p) {
    int64_t sum = 0;
    for (int i = 0; i < p->n_states; i++) sum += p->states[i].size;
    return sum * (int64_t)sizeof(float);
}

/* Steps of an operation: so many layers have it. */
static int64_t count_steps(const plan *p, kop op) {
    int64_t n = 0;
    for (int i = 0; i < p->n_steps; i++) n += p->steps[i].op == op;
    return n;
}

/* How many experts there are, and how many a token goes through; 0 without experts. */
static int64_t count_experts(const plan *p, int64_t *n_chosen) {
    *n_chosen = 0;
    for (int i = 0; i < p->n_steps; i++) {
        if (p->steps[i].op != KOP_MATMUL_EXPERTS) continue;
        *n_chosen = p->steps[i].n_chosen;
        return p->weights[p->steps[i].weight].w.n_experts;
    }
    return 0;
}

/* A sampling value, as text with the digits that it was written with. */
typedef struct value {
    const char *name;
    char text[24];
} value;
enum { MAX_VALUES = 5 };

/* What the model's maker recommends, without what is off; the temperature is always there. */
static int sampling_values(const nb_model *model, value out[MAX_VALUES]) {
    nb_sampling s;
    nb_model_sampling(model, &s);
    const char *names[MAX_VALUES] = {"temperature", "top_p", "min_p", "top_k", "repetition_penalty"};
    const double values[MAX_VALUES] = {s.temperature, s.top_p, s.min_p, s.top_k, s.repetition_penalty};
    int n = 0;
    for (int i = 0; i < MAX_VALUES; i++) {
        if (i > 0 && values[i] == 0) continue;
        out[n].name = names[i];
        snprintf(out[n++].text, sizeof out[0].text, "%.6g", values[i]);
    }
    return n;
}

static void print_json(const nb_model *model, const nb_model_info *m, int64_t kv) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "path", m->path);
    cJSON_AddStringToObject(o, "model_type", m->model_type);
    cJSON_AddStringToObject(o, "quantization", m->quantization);
    int64_t n_chosen, n_experts = count_experts(model->plan, &n_chosen);
    const struct {
        const char *name;
        int64_t value;
    } sizes[] = {
        {"n_layers", m->n_layers},
        {"hidden_size", m->hidden_size},
        {"intermediate_size", m->intermediate_size},
        {"n_heads", m->n_heads},
        {"n_kv_heads", m->n_kv_heads},
        {"head_dim", m->head_dim},
        {"vocab_size", m->vocab_size},
        {"context_length", m->context_length},
        {"n_parameters", m->n_parameters},
        {"weight_bytes", m->weight_bytes},
        {"kv_bytes_per_token", kv},
        {"state_bytes_per_sequence", state_bytes(model->plan)},
        {"n_experts", n_experts},
        {"n_experts_per_token", n_chosen},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        cJSON_AddNumberToObject(o, sizes[i].name, (double)sizes[i].value);
    cJSON_AddNumberToObject(o, "bits_per_weight", m->bits_per_weight);
    cJSON_AddBoolToObject(o, "tied_embeddings", m->tied_embeddings);
    cJSON_AddBoolToObject(o, "has_tokenizer", m->has_tokenizer);
    cJSON_AddBoolToObject(o, "has_chat_template", m->has_chat_template);
    cJSON_AddBoolToObject(o, "has_reasoning", m->has_reasoning);
    if (m->tool_format) cJSON_AddStringToObject(o, "tool_format", m->tool_format);
    value values[MAX_VALUES];
    int n = sampling_values(model, values);
    cJSON *sampling = cJSON_AddObjectToObject(o, "sampling");
    for (int i = 0; i < n; i++) cJSON_AddRawToObject(sampling, values[i].name, values[i].text);
    char *text = cJSON_Print(o);
    if (text) out_printf("%s\n", text);
    cJSON_free(text);
    cJSON_Delete(o);
}

static void print_info(const nb_model *model, const nb_model_info *m, int64_t kv) {
    out_printf("path            %s\n", m->path);
    out_printf("family          %s\n", m->model_type);
    bool small = m->n_parameters < 1000000;
    out_printf("parameters      %.1f %s\n", (double)m->n_parameters / (small ? 1e3 : 1e6),
               small ? "thousand" : "million");
    out_printf("weights         %.1f MB, %.2f bits per weight\n", (double)m->weight_bytes / MB, m->bits_per_weight);
    out_printf("quantization    %s\n", m->quantization);
    out_printf("layers          %lld, hidden size %lld, feed-forward %lld\n", (long long)m->n_layers,
               (long long)m->hidden_size, (long long)m->intermediate_size);
    int64_t n_chosen, n_experts = count_experts(model->plan, &n_chosen);
    if (n_experts)
        out_printf("experts         %lld, %lld for a token, in %lld layers\n", (long long)n_experts,
                   (long long)n_chosen, (long long)count_steps(model->plan, KOP_SUM_EXPERTS));
    out_printf("attention       %lld heads of %lld, %lld for keys and values\n", (long long)m->n_heads,
               (long long)m->head_dim, (long long)m->n_kv_heads);
    const int64_t n_recurrent = count_steps(model->plan, KOP_DELTA), state = state_bytes(model->plan);
    if (n_recurrent)
        out_printf("recurrent       %lld of the layers, in place of attention: gated delta nets\n",
                   (long long)n_recurrent);
    out_printf("vocabulary      %lld tokens, %s embeddings\n", (long long)m->vocab_size,
               m->tied_embeddings ? "tied" : "untied");
    if (m->context_length > 0)
        out_printf("context         %lld tokens\n", (long long)m->context_length);
    else
        out_printf("context         not stated\n");
    out_printf("text            %s, %s%s%s%s\n", m->has_tokenizer ? "tokenizer" : "no tokenizer",
               m->has_chat_template ? "chat template" : "no chat template", m->has_reasoning ? ", reasoning" : "",
               m->tool_format ? ", tool calls as " : "", m->tool_format ? m->tool_format : "");
    value values[MAX_VALUES];
    int n = sampling_values(model, values);
    out_printf("sampling       ");
    for (int i = 0; i < n; i++) out_printf("%s %s %s", i ? "," : "", values[i].name, values[i].text);
    out_printf("%s\n", n == 1 && strcmp(values[0].text, "0") == 0 ? " (the most likely token)" : "");
    out_printf("KV cache        %.1f KB per token (half of it with --kv-type f16)\n", (double)kv / 1e3);
    if (state) out_printf("states          %.1f KB per sequence, whatever its length\n", (double)state / 1e3);
    double weight = (double)m->weight_bytes;
    out_printf("memory needed   %.0f MB", weight / MB);
    static const int64_t lengths[] = {2048, 8192, 32768};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        if (i == 0 || lengths[i] <= m->context_length)
            out_printf("%s %.0f MB at %lld tokens", i == 0 ? " for the weights;" : ",",
                       (weight + (double)(kv * lengths[i] + state)) / MB, (long long)lengths[i]);
    out_printf("; and up to 64 MB to work in\n");
}

static void print_tensors(const nb_model *model) {
    out_printf("\ntensors of the files\n");
    for (size_t i = 0; i < weights_count(model->files); i++) {
        const tensor *t = weights_at(model->files, i);
        char shape[200];
        out_printf("  %-6s %-16s %s (%s)\n", dtype_name(t->type), tensor_shape_text(t->n_dims, t->shape, shape),
                   t->name, t->file);
    }
}

static void print_plan(const plan *p) {
    out_printf("\nplan\n");
    for (int i = 0; i < p->n_steps; i++) {
        char text[512];
        plan_step_text(p, i, text, sizeof text);
        out_printf("  %4d  %s\n", i, text);
    }
}

/* The rows of the registry that compute each step for one size of the batch. */
typedef struct step_rows {
    char (*text)[256]; /* [n_steps] */
} step_rows;

static void add_row(void *user, int step, const krow *row, const kcall *call) {
    (void)call;
    char *text = ((step_rows *)user)->text[step];
    const size_t n = strlen(text);
    snprintf(text + n, sizeof(((step_rows *)user)->text[0]) - n, "%s%s", n ? " + " : "", row->name);
}

static nb_status find_rows(executor *e, int64_t n_tokens, step_rows *out, nb_error *err) {
    out->text = calloc((size_t)e->plan->n_steps + 1, sizeof *out->text);
    if (!out->text) return err_no_memory(err, "inspect", 0);
    return e->calls(e, n_tokens, 1, add_row, out, err);
}

/* Which matrices are held in another order than the files have, in which, and what that takes. The numbers are the same
 * bit for bit: an order replaces the mapped one. */
static void print_layouts(const executor *e) {
    out_printf("\nrepacked weights (the same numbers in the order in which kernels read them)\n");
    for (int i = 0; i < e->plan->n_weights; i++) {
        const klayout *layout = e->weights[i].layout;
        bool seen = !layout;
        for (int j = 0; j < i && !seen; j++) seen = e->weights[j].layout == layout;
        if (seen) continue;
        int64_t n = 0, stored = 0, packed = 0;
        for (int j = i; j < e->plan->n_weights; j++) {
            const kweight *w = &e->weights[j];
            if (w->layout != layout) continue;
            n++;
            stored += weight_stored_bytes(w);
            packed += (int64_t)layout->bytes(w->experts ? w->experts : w) * (w->n_experts ? w->n_experts : 1);
        }
        out_printf("  %-36s %lld weights, %.1f MB from %.1f MB in the files\n", layout->name, (long long)n,
                   (double)packed / MB, (double)stored / MB);
    }
    if (e->packed_bytes == 0) out_printf("  none: all are read as the files have them\n");
}

static void print_draw(void *user, int step, const krow *row, const kcall *call) {
    (void)user, (void)step, (void)call;
    out_printf("  %4s  %-36s %s\n", "", kop_name(row->op), row->name);
}

static nb_status print_kernels(const nb_context *context, nb_error *err) {
    executor *e = context->executor;
    int64_t n_prompt = context->n_batch;
    step_rows many = {0}, one = {0};
    nb_status status = find_rows(e, n_prompt, &many, err);
    if (!status) status = find_rows(e, 1, &one, err);
    out_printf("\nkernels on %s: for a prompt of %lld tokens, and for one token where that differs\n", e->device,
               (long long)n_prompt);
    for (int i = 0; i < e->plan->n_steps && !status; i++) {
        const char *name = e->plan->steps[i].name;
        out_printf("  %4d  %-36s %s\n", i, name ? name : kop_name(e->plan->steps[i].op), many.text[i]);
        if (strcmp(many.text[i], one.text[i]) != 0) out_printf("  %4s  %-36s %s\n", "", "", one.text[i]);
    }
    if (!status && e->draws) e->draws(e, 1, print_draw, NULL);
    free(many.text);
    free(one.text);
    return status;
}

static nb_status inspect_model(nb_model *model, const inspect_args *a, nb_error *err) {
    nb_model_info info;
    nb_model_get_info(model, &info);
    nb_context *context = NULL;
    if (a->kernels) {
        nb_status status = context_open(model, &a->context, 0, &context, err);
        if (status) return status;
    }
    if (a->json)
        print_json(model, &info, kv_bytes(model->plan));
    else
        print_info(model, &info, kv_bytes(model->plan));
    if (a->tensors) print_tensors(model);
    if (a->plan) print_plan(model->plan);
    nb_status status = a->kernels ? print_kernels(context, err) : NB_OK;
    if (a->kernels && !status) print_layouts(context->executor);
    nb_context_free(context);
    return status;
}

static int inspect_main(const command *self, int argc, char **argv) {
    inspect_args a = {0};
    const opt table[] = {
        {"tensors", 0, OPT_FLAG, &a.tensors, NULL, "list the tensors of the files", 0, 0},
        {"plan", 0, OPT_FLAG, &a.plan, NULL, "list the steps in which the model is computed", 0, 0},
        {"kernels", 0, OPT_FLAG, &a.kernels, NULL,
         "list which kernel computes each step on this machine, and repacked weights", 0, 0},
        {"json", 0, OPT_FLAG, &a.json, NULL, "print what the model is as a JSON object", 0, 0},
        DEVICE_OPT(a.context),
        THREADS_OPT(a.context),
        KV_TYPE_OPT(a.context),
        VERIFY_OPT(a.context),
    };
    const char *words[2];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 1, 1);
    if (code >= 0) return code;
    if (a.json && (a.tensors || a.plan || a.kernels))
        return cli_usage(self->name, "--json goes without --tensors, --plan and --kernels");
    nb_error err = {0};
    nb_model *model = NULL;
    code = model_open(words[0], &model);
    if (code == CLI_OK && inspect_model(model, &a, &err)) code = cli_error(&err);
    nb_model_free(model);
    return code;
}

const command cmd_inspect = {
    .name = "inspect",
    .usage = "MODEL",
    .summary = "say what a model is and what it needs",
    .text = "Prints what a model is: family, sizes, quantization, bits per weight, and the memory that it needs. Every "
            "tensor is checked on the way.",
    .run = inspect_main,
};
