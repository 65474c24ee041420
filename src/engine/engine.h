/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands behind the public handles. See include/nibble.h for what they are. */
#ifndef NB_ENGINE_ENGINE_H
#define NB_ENGINE_ENGINE_H

#include <stdatomic.h>

#include "base/buf.h"
#include "engine/split.h"
#include "files/config.h"
#include "files/safetensors.h"
#include "models/models.h"
#include "plan/backend.h"
#include "text/chat.h"
#include "text/tokenizer.h"
#include "text/toolcall.h"
#include "verify/watch.h"

struct nb_model {
    _Atomic int references; /* the opener's, and one for each context */
    char *dir;
    model_config config;
    generation_config generation;
    weights *files;
    plan *plan;
    model_dims dims;
    char quantization[96];
    tokenizer *tokenizer;          /* NULL: the directory has none */
    chat_template *chat;           /* NULL: the model has none */
    const tc_format *tool_format;  /* NULL: none that is known */
    const tc_reasoning *reasoning; /* NULL: none */
    int32_t *marks;                /* [n_marks] special tokens that are their marks */
    size_t n_marks;
};

nb_model *model_retain(nb_model *m);
bool model_is_end_token(const nb_model *m, int32_t token);

/* The KV cache's pages: who uses which. A page may belong to several sequences. */
typedef struct page_pool {
    int32_t n_pages, n_free;
    int32_t *free_list;  /* [n_pages], the first n_free are free */
    int32_t *references; /* [n_pages] */
} page_pool;

/* A saved recurrent state: what sequences are that begin with its n_tokens tokens. Never written again. */
typedef struct checkpoint {
    int64_t n_tokens;
    uint64_t used; /* when it was last saved or taken up, for choosing which one has to go */
} checkpoint;

enum { MAX_CHECKPOINTS = 64, CHECKPOINT_INTERVAL = 512 };
#define STATE_UNKNOWN INT64_MAX

/* The recurrent states of a context's executor: slots [0, n_checkpoints) are saved ones, the others belong to
 * sequences. Only where the plan has states; else n_checkpoints is 0 and sequences have no slot. */
typedef struct state_pool {
    bool present;
    int n_checkpoints;
    uint64_t taken; /* bit i: checkpoints[i] is some sequence's */
    checkpoint checkpoints[MAX_CHECKPOINTS];
    uint64_t clock;
    int32_t *free_slots; /* [n_free] */
    int32_t n_free;
} state_pool;

struct nb_sequence {
    nb_context *context;
    int32_t *tokens; /* [n_tokens] */
    int64_t n_tokens, cap_tokens;
    int32_t slot;    /* of its recurrent state; -1: none */
    int64_t n_state; /* tokens that the state has read; fewer than n_tokens after a cut: the rest is read again;
                        STATE_UNKNOWN: nobody knows, it has to be restored */
    uint64_t saved;  /* bit i: the context's checkpoint i is a beginning of this sequence */
    int32_t *pages;  /* [n_pages], room for context_length tokens, at a fixed address */
    int64_t n_pages;
    nb_sequence *next;
};

struct nb_context {
    nb_model *model;
    device *device;
    device *host;          /* the CPU, where some layers are not on the device; NULL: all are */
    plan_parts parts;      /* then: the model's, of the CPU and of the device */
    executor *executor;    /* on the device, or on both (split.h) */
    watch *watch;          /* of the executor's steps; NULL: nobody watches */
    uint64_t verified_set; /* with a watch: of the plan's shapes and types, which a verdict holds for */
    int64_t context_length, n_batch, n_sequences, n_alive;
    double load_seconds;
    page_pool pages;
    state_pool states;
    nb_sequence *sequences;
    /* A batch under construction, [n_batch] each. */
    int32_t *tokens, *positions, *slots, *outputs;
    const int32_t **tables;
    executor_draw *draws; /* its draws, [n_batch] */
    float *drawn;         /* [vocab_size]: logits that a sampler changes in place */
};

/* context.c: all that nb_context_new does to check kernels, and no more. *n_wrong: how many are known to be wrong on
 * these devices. */
nb_status context_check(nb_model *model, const nb_context_options *options, size_t *n_wrong, nb_error *err);

/* backends.c: all that this build has, the one to prefer first; ends with NULL. */
extern const backend *const engine_backends[];
extern const backend *const engine_host;                        /* whose executor runs any rows of the CPU */
const backend *engine_backend(const char *name, size_t length); /* NULL: there is none of this name */
/* What nb_context_options.device says; NULL: $NIBBLE_DEVICE, and else "auto". */
nb_status engine_choose_device(const char *text, const backend **b, int *index, nb_error *err);
/* "cuda:1", or "cuda" with index -1. Whether there is such a device is not looked at. */
nb_status engine_parse_device(const char *text, const backend **b, int *index, nb_error *err);
void engine_list_usable(buf *to); /* "cuda:0, cpu:0" */
/* The type in which a backend keeps keys and values. */
dtype engine_kv_type(nb_kv_type wanted, const backend *b);
/* Tokens in a pass, where nobody says. A GPU reads weights once for a pass, so long passes suit it. */
int64_t engine_default_batch(const backend *b);

enum { ENGINE_MAX_DEVICES = 64 };
/* selection.c: opens each device that can be used; how many. Each is to be freed. */
size_t engine_open_all(device **devices, size_t room);
/* Whether each of these patterns (kreg_select; NULL: none) names a kernel of one of n devices. The error says which
 * other devices have one. */
nb_status engine_check_patterns(const char *patterns, device *const *devices, size_t n, nb_error *err);

/* sampler.c: draws where the logits are (executor.draw). What the next one is; it is valid until the sampler is used.
 */
executor_draw sampler_next_draw(const nb_sampler *p);
/* That draw gave this token: the sampler goes on from there. */
nb_status sampler_drew(nb_sampler *p, int32_t token, nb_error *err);
/* Says which of the logits, penalties included, keeps it from drawing. */
nb_status sampler_broken(const nb_sampler *p, const float *logits, nb_error *err);

/* sequence.c */
nb_status page_pool_init(page_pool *p, int64_t n_pages, nb_error *err);
void page_pool_free(page_pool *p);
/* Makes room for n_more tokens: pages of its own from the first place that will be written on. On failure the sequence
 * is as it was. */
nb_status sequence_reserve(nb_sequence *s, int64_t n_more, nb_error *err);
/* Drops tokens and pages from n_tokens on; the recurrent state goes back to the last saved one before. Where the device
 * fails to bring it there it is not known any more, and sequence_reserve tries again. */
void sequence_cut(nb_sequence *s, int64_t n_tokens);

/* state.c */
nb_status state_pool_init(state_pool *p, bool present, int64_t n_sequences, int n_checkpoints, nb_error *err);
void state_pool_free(state_pool *p);
int64_t state_pool_slots(const state_pool *p, int64_t n_sequences);
/* An empty state for a new sequence, and back again. */
nb_status sequence_take_state(nb_sequence *s, nb_error *err);
void sequence_drop_state(nb_sequence *s);
/* `s`, whose tokens begin as `from`'s do, takes up the longest state of `from` that covers at most n_tokens. */
nb_status sequence_copy_state(nb_sequence *s, const nb_sequence *from, int64_t n_tokens, nb_error *err);
/* The same from its own: after a cut, or a failed pass. */
nb_status sequence_restore_state(nb_sequence *s, int64_t n_tokens, nb_error *err);
/* Whether the state is to be saved after so many tokens, in a pass that ends after `end`. */
bool sequence_saves_at(const nb_sequence *s, int64_t n_tokens, int64_t end);
/* Saves the state, which has read n_state tokens; a device that fails to do so costs only time. */
void sequence_save_state(nb_sequence *s);

#endif
