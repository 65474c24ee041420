/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups of options that several subcommands have, and what becomes of them: a context, sampling, a generation. */
#ifndef NB_CLI_ARGS_H
#define NB_CLI_ARGS_H

#include "cli/opts.h"

/* Each group is a struct and a macro of the table's rows that fill it. */
/* clang-format off */

/* ---- How the model runs ---------------------------------------------------------------------------------------- */

typedef struct context_args {
    int64_t threads, ctx_size;
    int64_t kv_type; /* an nb_kv_type */
    int64_t verify;  /* an nb_verify */
    const char *device;
    int64_t sequences, batch; /* 0: the library's choice */
    int64_t gpu_layers; /* 0: all */
} context_args;

#define THREADS_OPT(a) \
    {"threads", 't', OPT_INT, &(a).threads, "N", "threads to compute with [all that the process may use]", 1, 1024}
#define KV_TYPE_OPT(a) \
    {"kv-type", 0, OPT_CHOICE, &(a).kv_type, "f32|f16|bf16", "type of cached keys and values [f32; on a GPU f16]", \
     NB_KV_F32, 0}
#define VERIFY_OPT(a) \
    {"verify", 0, OPT_CHOICE, &(a).verify, "quick|full|off|watch", \
     "how the kernels are checked before they are used [quick]; watch: also while running", NB_VERIFY_QUICK, 0}
#define GPU_LAYERS_OPT(a) \
    {"gpu-layers", 0, OPT_INT, &(a).gpu_layers, "N", "put the last N layers on the GPU, the others on the CPU [all]", \
     1, 1 << 20}
#define BATCH_OPT(a) \
    {"batch", 'b', OPT_INT, &(a).batch, "N", "tokens in one pass at most [the library's choice]", 1, 65536}
#define DEVICE_OPT(a) \
    {"device", 0, OPT_STRING, &(a).device, "DEVICE", \
     "where to run: auto, cpu, cuda, hip, or cuda:1 for the second one [auto: a GPU that can be used, else the CPU]", 0, 0}
#define CONTEXT_OPTS(a) \
    {.kind = OPT_TITLE, .help = "How the model runs"}, \
    DEVICE_OPT(a), \
    GPU_LAYERS_OPT(a), \
    THREADS_OPT(a), \
    {"ctx-size", 'c', OPT_INT, &(a).ctx_size, "N", "longest sequence in tokens [the model's, at most 32768]", \
     1, 1 << 30}, \
    KV_TYPE_OPT(a), \
    VERIFY_OPT(a)

/* A context with these options that shows its progress. n_tokens: its length if --ctx-size was not given; 0: the
 * library's choice. */
nb_status context_open(nb_model *model, const context_args *a, int64_t n_tokens, nb_context **out, nb_error *err);

/* ---- Sampling -------------------------------------------------------------------------------------------------- */

typedef struct sampling_args {
    double temp, top_p, min_p, xtc_probability, xtc_threshold;
    double repetition_penalty, presence_penalty, frequency_penalty;
    int64_t top_k, min_tokens_to_keep;
    int64_t repetition_context_size, presence_context_size, frequency_context_size;
    opt_list logit_bias;
    opt_seed seed;
    double temperature; /* what --temp or the model says; made by sampling_resolve, as is the rest */
    int32_t *bias_ids;
    float *bias_values;
    size_t n_bias;
} sampling_args;

#define SAMPLING_OPTS(a) \
    {.kind = OPT_TITLE, .help = "Sampling"}, \
    {"temp", 0, OPT_REAL, &(a).temp, "T", "temperature; 0 takes the most likely token [the model's, or 0]", 0, 1000}, \
    {"top-p", 0, OPT_REAL, &(a).top_p, "P", "keep the most likely tokens up to this probability [the model's, or off]", 0, 1}, \
    {"min-p", 0, OPT_REAL, &(a).min_p, "P", "keep tokens at least this likely, relative to the best [the model's, or off]", 0, 1}, \
    {"top-k", 0, OPT_INT, &(a).top_k, "N", "keep the N most likely tokens [the model's, or off]", 0, 1 << 30}, \
    {"min-tokens-to-keep", 0, OPT_INT, &(a).min_tokens_to_keep, "N", "what --min-p leaves at least [1]", \
     1, 1 << 30}, \
    {"xtc-probability", 0, OPT_REAL, &(a).xtc_probability, "P", "how often to leave out the likeliest tokens [0]", \
     0, 1}, \
    {"xtc-threshold", 0, OPT_REAL, &(a).xtc_threshold, "P", "probability from which XTC leaves out [0.1]", 0, 0.5}, \
    {"repetition-penalty", 0, OPT_REAL, &(a).repetition_penalty, "R", \
     "scale the logits of recent tokens down by this [the model's, or off]", 0, 1000}, \
    {"repetition-context-size", 0, OPT_INT, &(a).repetition_context_size, "N", "how many tokens are recent [20]", \
     1, 1 << 30}, \
    {"presence-penalty", 0, OPT_REAL, &(a).presence_penalty, "R", \
     "subtract this from the logits of recent tokens [off]", -1000, 1000}, \
    {"presence-context-size", 0, OPT_INT, &(a).presence_context_size, "N", "how many tokens are recent [20]", \
     1, 1 << 30}, \
    {"frequency-penalty", 0, OPT_REAL, &(a).frequency_penalty, "R", \
     "subtract this for each recent occurrence of a token [off]", -1000, 1000}, \
    {"frequency-context-size", 0, OPT_INT, &(a).frequency_context_size, "N", "how many tokens are recent [20]", \
     1, 1 << 30}, \
    {"logit-bias", 0, OPT_LIST, &(a).logit_bias, "ID=V", "add V to the logit of token ID; may be repeated", 0, 0}, \
    {"seed", 0, OPT_SEED, &(a).seed, "N", "the same seed gives the same text [random]", 0, 0}

/* Nothing is given yet. */
void sampling_init(sampling_args *a);
/* What was given, over what the model's maker recommends, over the library's defaults. Checks the token ids of
 * --logit-bias and draws a seed if none was given. out's logit bias points into a. */
nb_status sampling_resolve(sampling_args *a, const nb_model *model, nb_sampling *out, nb_error *err);
void sampling_free(sampling_args *a);

/* ---- The answer ------------------------------------------------------------------------------------------------ */

typedef struct answer_args {
    sampling_args sampling;
    int64_t max_tokens;
    bool ignore_eos, stats;
    opt_list stop;
} answer_args;

#define ANSWER_OPTS(a) \
    {.kind = OPT_TITLE, .help = "The answer"}, \
    {"max-tokens", 'm', OPT_INT, &(a).max_tokens, "N", "longest answer in tokens [until the context is full]", \
     1, 1 << 30}, \
    {"stop", 0, OPT_LIST, &(a).stop, "TEXT", "end the answer before this text; may be repeated", 0, 0}, \
    {"ignore-eos", 0, OPT_FLAG, &(a).ignore_eos, NULL, "do not end the answer at an end token", 0, 0}, \
    {"stats", 0, OPT_FLAG, &(a).stats, NULL, "print tokens per second on stderr", 0, 0}, \
    SAMPLING_OPTS((a).sampling)

/* Fills options from the arguments, of which it keeps pointers; shows progress on stderr, and stops after Ctrl-C. What
 * becomes of the text is the caller's to say. */
nb_status answer_resolve(answer_args *a, const nb_model *model, nb_generate_options *out, nb_error *err);
/* On stderr: tokens and tokens per second of the prompt and of the answer. */
void answer_stats(const answer_args *a, const nb_generate_result *result);

/* ---- Models, templates, text ----------------------------------------------------------------------------------- */

typedef struct template_args {
    const char *tools_file, *extra;
    bool think, no_think;
    buf tools;     /* the file's text, read by template_load */
    buf variables; /* what --template-args and --think give, or empty; made by template_load */
} template_args;

#define TEMPLATE_OPTS(a) \
    {.kind = OPT_TITLE, .help = "Chat template"}, \
    {"tools", 0, OPT_STRING, &(a).tools_file, "FILE", "JSON array of tools that the model may call", 0, 0}, \
    {"think", 0, OPT_FLAG, &(a).think, NULL, "ask the template for reasoning", 0, 0}, \
    {"no-think", 0, OPT_FLAG, &(a).no_think, NULL, "ask the template for an answer without reasoning", 0, 0}, \
    {"template-args", 0, OPT_STRING, &(a).extra, "JSON", "object of further variables for the template", 0, 0}

/* clang-format on */

/* Reads a file that must hold a JSON array of objects; `what` is what they are: "messages". */
nb_status objects_read(const char *path, const char *what, buf *out, nb_error *err);
/* Reads and checks what the options name. */
nb_status template_load(template_args *a, nb_error *err);
/* Makes the variables again after think or no_think has changed; template_load has done it the first time. */
nb_status template_variables_make(template_args *a, nb_error *err);
const char *template_tools(const template_args *a);     /* NULL: none */
const char *template_variables(const template_args *a); /* NULL: none */
void template_free(template_args *a);

/* nb_model_open, with its error printed. Returns CLI_OK or the exit code. */
int model_open(const char *name, nb_model **out);

/* NB_ERR_FORMAT naming `what` when the text is not UTF-8 or holds a NUL. */
nb_status text_check(const char *text, size_t n, const char *what, nb_error *err);

#endif
