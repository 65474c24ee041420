/* SPDX-License-Identifier: Apache-2.0
 *
 * nibble: runs MLX-format language models and gives the right answer on every backend.
 *
 * The objects, from the bottom up:
 *   nb_model      a model directory: config, weights (mapped), tokenizer, chat template. Read-only once open; may be
 *                 shared by threads and by several contexts.
 *   nb_context    a model made ready on a backend: threads, plan, KV cache. One thread at a time may use it.
 *   nb_sequence   one conversation's tokens and their cached keys and values inside a context.
 *   nb_sampler    turns logits into tokens.
 *   nb_generate   the loop over all of these that most programs want.
 *
 * Conventions. Functions that can fail return an nb_status and take an nb_error* (may be NULL) that receives one line
 * of text for people; on failure output parameters are NULL or unchanged. Strings are UTF-8. "Owned by the caller"
 * means: give it back to the matching _free function (nb_free for plain buffers). The library never prints, exits or
 * aborts. Token ids are int32_t, 0 <= id < nb_model_info.vocab_size. */
#ifndef NIBBLE_H
#define NIBBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#    define NB_API __attribute__((visibility("default")))
#else
#    define NB_API
#endif

#define NB_VERSION_MAJOR 0
#define NB_VERSION_MINOR 1
#define NB_VERSION_PATCH 0

/* ---- Errors -------------------------------------------------------------------------------------------------- */

typedef enum nb_status {
    NB_OK = 0,
    NB_ERR_ARGUMENT,    /* a parameter of the call is out of its range */
    NB_ERR_NOT_FOUND,   /* no such file, model or tensor */
    NB_ERR_IO,          /* reading or writing failed */
    NB_ERR_FORMAT,      /* a file does not hold what it must */
    NB_ERR_UNSUPPORTED, /* well-formed, but nibble does not know this family, type or mode */
    NB_ERR_NO_MEMORY,
    NB_ERR_LIMIT,     /* the context is full, or a template ran into its limits */
    NB_ERR_TEMPLATE,  /* the chat template itself raised an error; the text is its own */
    NB_ERR_CANCELLED, /* a callback asked to stop */
    NB_ERR_INTERNAL   /* a fault of nibble's */
} nb_status;

typedef struct nb_error {
    nb_status status;
    char text[1024];
} nb_error;

NB_API const char *nb_version(void);                 /* "0.1.0"; static */
NB_API const char *nb_status_name(nb_status status); /* "file format", ...; static */
NB_API void nb_free(void *buffer);                   /* for buffers and strings that say so */

typedef enum nb_log_level { NB_LOG_ERROR, NB_LOG_WARN, NB_LOG_INFO, NB_LOG_DEBUG } nb_log_level;
typedef void (*nb_log_fn)(void *user, nb_log_level level, const char *line);
/* Receives the library's log lines up to `level`; NULL turns logging off (the default). Set it before other calls. */
NB_API void nb_log_set(nb_log_fn fn, void *user, nb_log_level level);

/* ---- Models -------------------------------------------------------------------------------------------------- */

typedef struct nb_model nb_model;

/* What progress callbacks receive: a stage ("load", "import", "prefill"), done of total in the stage's own units.
 * Return false to cancel: the call then fails with NB_ERR_CANCELLED. */
typedef bool (*nb_progress_fn)(void *user, const char *stage, double done, double total);

/* Opens a model by directory, by its short name in nibble's store ($NIBBLE_HOME/models, default ~/.nibble/models), or
 * by "org/name" if it lies in the Hugging Face cache (HF_HUB_CACHE, HF_HOME/hub, ~/.cache/huggingface/hub). Every
 * tensor is checked against what the family expects; weights stay in the mapped files. */
NB_API nb_status nb_model_open(const char *name, nb_model **out, nb_error *err);
/* Contexts keep their model alive, so the order of freeing does not matter. */
NB_API void nb_model_free(nb_model *model);

typedef struct nb_model_info {
    const char *path;         /* directory; lives as long as the model, like all strings here */
    const char *model_type;   /* "qwen3" */
    const char *quantization; /* "affine 4-bit, groups of 64", or "none" */
    int64_t n_layers, hidden_size, n_heads, n_kv_heads, head_dim, intermediate_size;
    int64_t vocab_size;     /* rows of the logits */
    int64_t context_length; /* max_position_embeddings; tokens */
    int64_t n_parameters;   /* weights counted once, as real numbers */
    int64_t weight_bytes;   /* in the files, for the tensors that are used */
    double bits_per_weight;
    bool tied_embeddings, has_tokenizer, has_chat_template;
    const char *tool_format; /* how the model writes tool calls: "qwen3_coder", ...; NULL: not known */
    bool has_reasoning;      /* its answers may begin with marked reasoning */
} nb_model_info;

NB_API void nb_model_get_info(const nb_model *model, nb_model_info *info);

/* ---- Text ---------------------------------------------------------------------------------------------------- */

/* Text to token ids. add_special: with the tokens that the tokenizer's post-processor adds (BOS, ...).
 * *ids is owned by the caller (nb_free); *n is their count. */
NB_API nb_status nb_tokenize(const nb_model *model, const char *text, size_t length, bool add_special, int32_t **ids,
                             size_t *n, nb_error *err);
/* Token ids to text, owned by the caller (nb_free), NUL-terminated. skip_special leaves special tokens out. */
NB_API nb_status nb_detokenize(const nb_model *model, const int32_t *ids, size_t n, bool skip_special, char **text,
                               size_t *length, nb_error *err);

/* A streaming detokenizer: put tokens in, get text out that never ends inside a UTF-8 character. */
typedef struct nb_stream nb_stream;
NB_API nb_status nb_stream_new(const nb_model *model, nb_stream **out, nb_error *err);
/* The same, but the special tokens that are marks of reasoning and of tool calls appear in the text, for nb_parser. */
NB_API nb_status nb_stream_new_with_marks(const nb_model *model, nb_stream **out, nb_error *err);
NB_API void nb_stream_free(nb_stream *stream);
/* The text that this token completes (maybe ""); valid until the next call on this stream. NULL: out of memory. */
NB_API const char *nb_stream_put(nb_stream *stream, int32_t id);
/* What is left at the end of the text (incomplete characters become U+FFFD). Resets the stream. */
NB_API const char *nb_stream_finish(nb_stream *stream);

/* Renders the model's chat template. messages_json: an array of {"role", "content", ...}; tools_json: an array of
 * tool definitions, or NULL. extra_json: an object of further template variables (e.g. {"enable_thinking": false}),
 * or NULL. The text is owned by the caller (nb_free). What the template raises is the error's text, with
 * NB_ERR_TEMPLATE. */
NB_API nb_status nb_template_render(const nb_model *model, const char *messages_json, const char *tools_json,
                                    const char *extra_json, bool add_generation_prompt, char **text, nb_error *err);

/* ---- Answers: reasoning and tool calls ----------------------------------------------------------------------- */

/* Takes an answer's text apart while it comes: what the model thinks, what it says, which tools it calls. Which marks
 * stand for that is the model's own affair: tokenizer_config.json's "tool_parser_type", else what its chat template
 * writes. */
typedef struct nb_parser nb_parser;

typedef enum nb_event_kind {
    NB_EVENT_TEXT,           /* a piece of what the model says */
    NB_EVENT_REASONING,      /* a piece of what it thinks */
    NB_EVENT_CALL_BEGIN,     /* a call: its name and id are known */
    NB_EVENT_CALL_ARGUMENTS, /* a piece of the call's arguments, which together are one JSON object */
    NB_EVENT_CALL_END,       /* the call is complete; text: all of its arguments */
    NB_EVENT_CALL_BROKEN     /* the call that had begun is none after all; what it was made of follows as text */
} nb_event_kind;

typedef struct nb_event {
    nb_event_kind kind;
    const char *text; /* NUL-terminated; valid during the callback, like all pointers here */
    size_t length;
    int call;         /* of the events of calls: which one, from 0; a broken one's number is not used again */
    const char *id;   /* of calls: the model's own, or made from the prompt (9 letters and digits); else NULL */
    const char *name; /* of calls: the function, whether or not it is among the tools; else NULL */
} nb_event;

/* Return false to stop. */
typedef bool (*nb_event_fn)(void *user, const nb_event *event);

/* tools_json: the tools that the prompt offers, as for nb_template_render, whose schemas give arguments their types
 * where the model's format writes them without; NULL: calls are not looked for. prompt: the rendered prompt, which may
 * have opened the reasoning already; NULL: it has not. The model must outlive the parser. */
NB_API nb_status nb_parser_new(const nb_model *model, const char *tools_json, const char *prompt, nb_parser **out,
                               nb_error *err);
NB_API void nb_parser_free(nb_parser *parser);
/* The next n bytes of the answer, which must have been made with its marks (nb_stream_new_with_marks, or show_marks of
 * nb_generate_options). Events come as soon as they are certain, and pieces of any size give the same ones, but for
 * where texts are cut. Text is held back only while it may be the beginning of a mark. Arguments that are JSON come
 * while they are written, others when the call is complete. A call that is malformed comes back as text, with nothing
 * lost. NB_ERR_CANCELLED when the callback returned false; after an error the parser can only be freed. */
NB_API nb_status nb_parser_put(nb_parser *parser, const char *text, size_t n, nb_event_fn fn, void *user,
                               nb_error *err);
/* The answer is at its end: what was held back comes out. The parser can then only be freed. */
NB_API nb_status nb_parser_finish(nb_parser *parser, nb_event_fn fn, void *user, nb_error *err);

/* ---- Devices ------------------------------------------------------------------------------------------------- */

typedef struct nb_device {
    char backend[16]; /* "cuda", "hip", "cpu" */
    int index;        /* among the backend's devices; -1: it has none, and `unusable` says why */
    bool is_gpu;
    char name[96];        /* "NVIDIA H100 80GB HBM3"; texts and numbers that are not known are empty and 0 */
    char arch[64];        /* "sm_90", "gfx1151", "AVX-512 VNNI" */
    char driver[96];      /* "CUDA 13.0, driver 580.95.05" */
    int64_t memory_bytes; /* in all */
    char unusable[400];   /* why nibble does not use it; "": it can */
    char gemm[420];       /* of a GPU, who multiplies large matrices: the vendor's library, "libcublasLt.so.13", or
                             "nibble's own: " and why no such library is used */
} nb_device;

/* All devices of all backends, in the order in which "auto" tries them. Drivers are asked in a process of their own,
 * the first time; the answer is kept. *devices is owned by the caller (nb_free), *n their number. */
NB_API nb_status nb_devices(nb_device **devices, size_t *n, nb_error *err);

/* ---- Contexts and sequences ---------------------------------------------------------------------------------- */

typedef struct nb_context nb_context;
typedef struct nb_sequence nb_sequence;

/* Of cached keys and values. The default is f32, which is exact; on a GPU, whose attention multiplies 16-bit numbers,
 * f16.
 */
typedef enum nb_kv_type { NB_KV_DEFAULT, NB_KV_F32, NB_KV_F16, NB_KV_BF16 } nb_kv_type;

/* How kernels are checked before a model is run with them. Each kernel that the model uses is compared with the
 * definition of what it must compute, on this device, in a process of its own; what was found is remembered (in
 * $NIBBLE_HOME/verdicts) until the device, its driver, nibble or the model's shapes change. A kernel that is wrong is
 * set aside, with a line in the log, and the next one that passed takes its place. A process that has a model on a GPU
 * has kernels of a further one checked by the nibble command, which $NIBBLE_COMMAND names: without it nb_context_new
 * fails with NB_ERR_INTERNAL unless a verdict is at hand. */
typedef enum nb_verify {
    NB_VERIFY_DEFAULT, /* $NIBBLE_VERIFY ("quick", "full", "off", "watch"), else quick */
    NB_VERIFY_QUICK,   /* with the model's shapes and types, about a second at most */
    NB_VERIFY_FULL,    /* all cases there are for these kernels; minutes */
    NB_VERIFY_OFF,
    NB_VERIFY_WATCH /* quick, and while running a random step now and then, in at most 1% of the time: a wrong one makes
                       nb_forward fail with NB_ERR_INTERNAL */
} nb_verify;

typedef struct nb_context_options {
    int n_threads;          /* 0: as many as the process may run on */
    int64_t context_length; /* longest sequence in tokens; 0: the model's own, at most 32768 */
    int64_t n_batch;        /* tokens in one forward pass at most; 0: 512, on a GPU 2048 */
    int64_t n_sequences;    /* sequences that may be alive at once; 0: 1 */
    int64_t kv_tokens;      /* KV cache in all, in tokens; 0: n_sequences * context_length */
    nb_kv_type kv_type;
    int n_checkpoints; /* saved recurrent states at most, 1 to 64; 0: 8; -1: none. Only for models that have such */
    const char *cpu; /* on the CPU: "scalar", "avx2", "avx512", "neon": at most these instructions; NULL: $NIBBLE_CPU */
    /* Where the model runs: "cpu", "cuda", "hip", the latter two also with a number, "cuda:1"; "auto": the first GPU
     * that can be used, else the CPU; NULL: $NIBBLE_DEVICE, else "auto". What is not there is NB_ERR_NOT_FOUND. */
    const char *device;
    /* Of a model on a GPU: how many of its layers, the last ones, are there, with the head behind them; the CPU
     * computes the others. 0 or -1, or as many as there are: all, and the embedding too. A model that does not fit says
     * how many would (NB_ERR_NO_MEMORY). */
    int gpu_layers;
    nb_verify verify;
    nb_progress_fn progress;
    void *progress_user;
} nb_context_options;

/* options may be NULL: all defaults. Memory for the KV cache is reserved but only touched as it fills. */
NB_API nb_status nb_context_new(nb_model *model, const nb_context_options *options, nb_context **out, nb_error *err);
NB_API void nb_context_free(nb_context *context); /* frees its sequences too */

typedef struct nb_context_stats {
    int n_threads;
    int64_t context_length;
    const char *device;   /* "cpu (AVX-512 VNNI, 2 threads)" */
    int64_t weight_bytes; /* read for each generated token, in the form in which they are read */
    int64_t packed_bytes; /* weights held in a repacked form in place of the mapped one */
    int64_t kv_bytes_per_token;
    int64_t state_bytes; /* recurrent state of a sequence, and of a checkpoint; 0: the model has none */
    int64_t work_bytes;  /* activations and scratch */
    double load_seconds; /* what nb_context_new took */
} nb_context_stats;
NB_API void nb_context_get_stats(const nb_context *context, nb_context_stats *stats);

NB_API nb_status nb_sequence_new(nb_context *context, nb_sequence **out, nb_error *err);
NB_API void nb_sequence_free(nb_sequence *sequence);
/* A new sequence with the first n_tokens of `from`; full cache pages are shared, not copied.
 * Models with linear attention also have a recurrent state, which cannot be cut: it is saved now and then at page
 * boundaries while tokens are read (nb_context_options.n_checkpoints), and a fork or a truncation takes up the nearest
 * one saved before n_tokens. The few tokens between are read again with the next nb_forward: that costs their time, and
 * changes no result. */
NB_API nb_status nb_sequence_fork(nb_sequence *from, int64_t n_tokens, nb_sequence **out, nb_error *err);
/* Forgets all tokens from n_tokens on. */
NB_API nb_status nb_sequence_truncate(nb_sequence *sequence, int64_t n_tokens, nb_error *err);
NB_API int64_t nb_sequence_length(const nb_sequence *sequence);

/* One piece of a batch: n tokens that continue `sequence`. */
typedef struct nb_batch_item {
    nb_sequence *sequence;
    const int32_t *tokens;
    int64_t n_tokens;
    /* Where logits go: NULL for none; n_logits rows of vocab_size floats, for the last n_logits tokens of the item. */
    float *logits;
    int64_t n_logits;
    /* NULL, or draws the token that follows the item's last one and puts it into *next: where the device can, without
     * its logits coming to the host. An item may want logits as well. */
    struct nb_sampler *sampler;
    int32_t *next;
} nb_batch_item;

/* Runs the tokens of all items (each sequence at most once) through the model, in chunks of at most n_batch tokens.
 * Either all sequences advance or, on failure, none does. A sequence that would outgrow the context is NB_ERR_LIMIT,
 * found before anything runs. */
NB_API nb_status nb_forward(nb_context *context, const nb_batch_item *items, size_t n_items, nb_error *err);

/* ---- Sampling ------------------------------------------------------------------------------------------------ */

/* Meanings and defaults are mlx-lm's (sample_utils). temperature 0 takes the most likely token. All filters look at the
 * probabilities at temperature 1, in the order top_p, min_p, xtc, top_k. */
typedef struct nb_sampling {
    float temperature;             /* 0 */
    float top_p;                   /* 0 (off); keeps the smallest set of tokens whose probability passes p */
    float min_p;                   /* 0 (off); keeps tokens with at least min_p times the best one's probability */
    int min_tokens_to_keep;        /* 1; for min_p */
    int top_k;                     /* 0 (off) */
    float xtc_probability;         /* 0 (off) */
    float xtc_threshold;           /* 0.1; 0 to 0.5 */
    float repetition_penalty;      /* 0 (off); > 0 */
    int repetition_context_size;   /* 20; so many of the last tokens, prompt and answer, are looked at */
    float presence_penalty;        /* 0 (off) */
    int presence_context_size;     /* 20 */
    float frequency_penalty;       /* 0 (off) */
    int frequency_context_size;    /* 20 */
    const int32_t *logit_bias_ids; /* n_logit_bias token ids and what is added to their logits; copied */
    const float *logit_bias_values;
    size_t n_logit_bias;
    uint64_t seed; /* the same seed gives the same text, whatever the number of threads */
} nb_sampling;

typedef struct nb_sampler nb_sampler;
NB_API void nb_sampling_defaults(nb_sampling *sampling);
/* The same with what the model's maker recommends (generation_config.json): temperature, top_p, min_p, top_k and
 * repetition_penalty. "do_sample": false is temperature 0; true without a temperature is temperature 1. */
NB_API void nb_model_sampling(const nb_model *model, nb_sampling *sampling);
NB_API nb_status nb_sampler_new(const nb_model *model, const nb_sampling *sampling, nb_sampler **out, nb_error *err);
NB_API void nb_sampler_free(nb_sampler *sampler);
/* Tells the sampler of tokens that it did not draw itself (the prompt), for the penalties. */
NB_API nb_status nb_sampler_accept(nb_sampler *sampler, const int32_t *tokens, size_t n, nb_error *err);
/* Draws from vocab_size logits (changed in place) and accepts the token. NaN in the logits is an error. */
NB_API nb_status nb_sampler_draw(nb_sampler *sampler, float *logits, int32_t *token, nb_error *err);

/* ---- Generation ---------------------------------------------------------------------------------------------- */

typedef enum nb_finish { NB_FINISH_STOP, NB_FINISH_LENGTH, NB_FINISH_CONTEXT, NB_FINISH_CANCELLED } nb_finish;

typedef struct nb_generate_options {
    nb_sampling sampling;
    int64_t max_tokens; /* of the answer; 0: until the context is full */
    bool ignore_eos;
    bool show_marks;         /* the text is for nb_parser: special tokens that are its marks appear in it */
    const char *const *stop; /* n_stop strings; the answer ends before the first that appears */
    size_t n_stop;
    /* Receives text as it is made. Never half a character, never a part of a stop string. Return false to stop. */
    bool (*on_text)(void *user, const char *text, size_t length);
    /* Receives each token of the answer, the end token included. May be NULL. Return false to stop. */
    bool (*on_token)(void *user, int32_t token);
    nb_progress_fn on_prefill; /* may be NULL; tokens of the prompt done of all; return false to stop */
    void *user;
} nb_generate_options;

typedef struct nb_generate_result {
    nb_finish finish;
    int64_t n_prompt, n_generated; /* tokens */
    double prompt_seconds, generation_seconds;
    /* The first token comes out of the prompt's pass: generation_seconds is the time of the n_generated - 1 others. */
} nb_generate_result;

/* Greedy, no stop strings, no callbacks. */
NB_API void nb_generate_defaults(nb_generate_options *options);
/* Continues `sequence` with the prompt's tokens, then generates until an end token, a stop string, max_tokens or a
 * callback ends it. The sequence holds the prompt and the answer afterwards, but for the answer's last token, which was
 * drawn and not read. */
NB_API nb_status nb_generate(nb_sequence *sequence, const int32_t *prompt, size_t n_prompt,
                             const nb_generate_options *options, nb_generate_result *result, nb_error *err);

/* One question from beginning to end: renders the chat template over messages_json (as nb_template_render does, with a
 * generation prompt), and generates in a sequence of its own, which the context must have room for. */
NB_API nb_status nb_ask(nb_context *context, const char *messages_json, const nb_generate_options *options,
                        nb_generate_result *result, nb_error *err);

/* ---- Import -------------------------------------------------------------------------------------------------- */

/* Turns a GGUF file (F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1; llama, qwen2, qwen3) into an MLX model directory
 * without loss. `dir` must not exist, or be empty; it appears under its name only when it is complete. */
NB_API nb_status nb_import_gguf(const char *file, const char *dir, nb_progress_fn progress, void *user, nb_error *err);

/* ---- Quantizing ---------------------------------------------------------------------------------------------- */

/* All zero: what mlx_lm.convert does by itself. */
typedef struct nb_convert_options {
    const char *mode;   /* "affine" (also NULL), "mxfp4", "mxfp8", "nvfp4" */
    int bits;           /* 0: the mode's (affine: 4) */
    int group_size;     /* 0: the mode's (affine: 64) */
    int router_bits;    /* of mixture-of-experts gates, in groups of 64; 0: 8, or what the recipe says */
    const char *recipe; /* "mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6", or NULL; affine only */
    const char *dtype;  /* "float16", "bfloat16", "float32": floats are cast to it first; NULL: config.json's */
    const char *const *overrides; /* n_overrides texts "PATTERN=BITS:GROUP:MODE" or "PATTERN=none"; the last one that */
    size_t n_overrides;           /* matches a module's path counts; "*" stands for any text */
    int n_threads;                /* 0: as many as the process may run on */
    nb_progress_fn progress;      /* may be NULL; stage "quantize" or "dequantize", bytes of the model read */
    void *progress_user;
} nb_convert_options;

/* Writes a quantized copy of a model (a name as for nb_model_open; Hugging Face's or MLX's layout) as an MLX directory,
 * with the bytes that mlx_lm.convert makes on MLX's CPU backend. `dir` must not exist or be empty; it appears when it
 * is complete. An interrupted run leaves DIR.partial, and the same call goes on with it. options may be NULL. */
NB_API nb_status nb_quantize(const char *model, const char *dir, const nb_convert_options *options, nb_error *err);
/* The reverse: all quantized weights become floats. Reads only dtype, n_threads and progress of the options. */
NB_API nb_status nb_dequantize(const char *model, const char *dir, const nb_convert_options *options, nb_error *err);

#ifdef __cplusplus
}
#endif
#endif
