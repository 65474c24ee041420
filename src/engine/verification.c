/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/verification.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/check_process.h"

/* ---- A model, as the verification wants it ---------------------------------------------------------------------- */

enum { MADE_UP = 24 };
static const char *const questions[] = {"What is 2+2? Reply with just the number.", "Name three colors of the rainbow.",
                                        "Write a short poem about the sea."};
enum { N_QUESTIONS = sizeof questions / sizeof questions[0] };

typedef struct subject {
    verify_model m;
    int32_t *tokens[N_QUESTIONS];
    int64_t lengths[N_QUESTIONS];
    const char *texts[N_QUESTIONS];
} subject;

static void subject_free(subject *s) {
    for (int i = 0; i < N_QUESTIONS; i++) free(s->tokens[i]);
}

/* The question in the model's own template, or plain where it has none. */
static nb_status ask(const nb_model *model, const char *question, int32_t **tokens, int64_t *n, nb_error *err) {
    char messages[256], *text = NULL;
    size_t count = 0;
    nb_status status;
    if (model->chat) {
        snprintf(messages, sizeof messages, "[{\"role\": \"user\", \"content\": \"%s\"}]", question);
        status = nb_template_render(model, messages, NULL, NULL, true, &text, err);
        if (!status) status = nb_tokenize(model, text, strlen(text), false, tokens, &count, err);
    } else {
        status = nb_tokenize(model, question, strlen(question), true, tokens, &count, err);
    }
    nb_free(text);
    *n = (int64_t)count;
    return status;
}

/* Any tokens, for a model without a tokenizer. */
static nb_status make_up(const nb_model *model, int which, int32_t **tokens, int64_t *n, nb_error *err) {
    *tokens = malloc(MADE_UP * sizeof **tokens);
    if (!*tokens) return err_no_memory(err, "a prompt", 0);
    for (int64_t i = 0; i < MADE_UP; i++)
        (*tokens)[i] = (int32_t)((i * 7919 + 31 * which + 1) % model->dims.vocab_size);
    *n = MADE_UP;
    return NB_OK;
}

static void to_text(void *user, const int32_t *ids, int64_t n, char *to, size_t size) {
    char *text = NULL;
    size_t length;
    *to = 0;
    if (nb_detokenize(user, ids, (size_t)n, false, &text, &length, NULL) == NB_OK) snprintf(to, size, "%s", text);
    nb_free(text);
}

static bool is_end(void *user, int32_t token) {
    return model_is_end_token(user, token);
}

static void describe(subject *s, nb_model *model, const executor_options *options) {
    *s = (subject){.m = {.plan = model->plan,
                         .files = model->files,
                         .executor = *options,
                         .vocab_size = model->dims.vocab_size,
                         .path = model->dir,
                         .model_type = model->config.model_type,
                         .quantization = model->quantization,
                         .text = model->tokenizer ? to_text : NULL,
                         .is_end = is_end,
                         .user = model}};
}

static nb_status add_prompts(subject *s, nb_model *model, int n, nb_error *err) {
    nb_status status = NB_OK;
    for (int i = 0; i < n && !status; i++) {
        status = model->tokenizer ? ask(model, questions[i], &s->tokens[i], &s->lengths[i], err)
                                  : make_up(model, i, &s->tokens[i], &s->lengths[i], err);
        s->texts[i] = model->tokenizer ? questions[i] : "(made-up tokens)";
        if (!status && s->lengths[i] == 0) status = err_set(err, NB_ERR_FORMAT, "the prompt has no tokens");
    }
    s->m.prompts = (const int32_t *const *)s->tokens;
    s->m.prompt_lengths = s->lengths;
    s->m.prompt_texts = s->texts;
    s->m.n_prompts = n;
    return status;
}

/* ---- `nibble verify` -------------------------------------------------------------------------------------------- */

static nb_status no_backend(const char *name, nb_error *err) {
    char have[128] = "";
    for (size_t i = 0; engine_backends[i]; i++) {
        const size_t n = strlen(have);
        snprintf(have + n, sizeof have - n, "%s%s", n ? ", " : "", engine_backends[i]->name);
    }
    return err_set(err, NB_ERR_NOT_FOUND, "there is no backend \"%s\", only: %s", name, have);
}

/* A report of all that there is to look at replaces what was known; another one cannot take anything back. */
static nb_status remember(const report *r, uint64_t set, bool all_levels, nb_error *err) {
    verdict v = {0}, older = {0};
    bool found = false;
    nb_error not_written;
    nb_status status = verify_judge(r, set, &v, err);
    if (!status && !all_levels) status = verdict_read(&r->device, set, &older, &found, err);
    if (!status && found && !verdict_merge(&v, &older)) status = err_no_memory(err, "a verdict", 0);
    if (!status && verdict_write(&v, &not_written))
        log_msg(NB_LOG_WARN, "the verdict cannot be remembered: %s", not_written.text);
    verdict_free(&older);
    verdict_free(&v);
    return status;
}

static nb_status one_device(nb_model *model, const verification_request *q, const backend *b, int index, report *out,
                            nb_error *err) {
    const executor_options options = {
        .n_threads = q->n_threads, .n_batch = engine_default_batch(b), .kv_type = engine_kv_type(q->kv_type, b)};
    verify_options o = {.backend = b,
                        .index = index,
                        .device = {.cpu = getenv("NIBBLE_CPU")},
                        .host = engine_host,
                        .depth = q->full ? CHECK_FULL : CHECK_QUICK,
                        .seed = q->seed,
                        .silence = q->full ? 30 : 10,
                        .progress = q->progress,
                        .progress_user = q->progress_user};
    subject s = {0};
    bool all_levels = true;
    uint64_t set = 0;
    memcpy(o.levels, q->levels, sizeof o.levels);
    for (int level = 0; level < VERIFY_LEVELS; level++) all_levels &= o.levels[level] || !model;
    nb_status status = NB_OK;
    if (model) {
        describe(&s, model, &options);
        status = add_prompts(&s, model, q->full ? N_QUESTIONS : 1, err);
        o.model = &s.m;
    }
    if (!status) status = verify_run(&o, out, err);
    if (!status && model) status = used_set(model->plan, &options, &set, err);
    if (!status) status = remember(out, set, all_levels, err);
    subject_free(&s);
    return status;
}

static bool can_be_used(const backend *b, int index) {
    device_summary s;
    b->look(index, &s);
    if (s.unusable[0]) log_msg(NB_LOG_WARN, "%s:%d (%s) is not verified: %s", b->name, index, s.name, s.unusable);
    return !s.unusable[0];
}

/* Why a backend that was asked for has nothing to verify. */
static nb_status nothing_of(const backend *b, nb_error *err) {
    device_summary s;
    if (b->count() == 0) return err_set(err, NB_ERR_NOT_FOUND, "there is no %s device: %s", b->name, b->absent());
    b->look(0, &s);
    return err_set(err, NB_ERR_UNSUPPORTED, "no %s device can be used: %s:0 (%s): %s", b->name, b->name, s.name,
                   s.unusable);
}

/* What is to be verified. */
typedef struct target {
    const backend *backend;
    int index;
} target;

static int find_targets(const verification_request *q, const backend *only, target to[ENGINE_MAX_DEVICES]) {
    int n = 0;
    for (size_t i = 0; engine_backends[i]; i++) {
        const backend *b = engine_backends[i];
        if (only && b != only) continue;
        const int first = q->index < 0 ? 0 : q->index, last = q->index < 0 ? b->count() - 1 : q->index;
        for (int index = first; index <= last && n < ENGINE_MAX_DEVICES; index++)
            if (q->index >= 0 || can_be_used(b, index)) to[n++] = (target){b, index};
    }
    return n;
}

/* A pattern that none of the devices has a kernel for is told before the work of minutes. */
static nb_status check_patterns(const target *targets, int n, nb_error *err) {
    const char *patterns = getenv("NIBBLE_KERNELS");
    const device_options how = {.cpu = getenv("NIBBLE_CPU")};
    device *opened[ENGINE_MAX_DEVICES];
    nb_status status = NB_OK;
    int n_opened = 0;
    if (!patterns) return NB_OK;
    while (n_opened < n && !status) {
        const target *t = &targets[n_opened];
        status = t->backend->open(t->index, &how, &opened[n_opened], err);
        if (!status) status = kreg_select(opened[n_opened++]->registry, patterns, err);
    }
    if (!status) status = engine_check_patterns(patterns, opened, (size_t)n_opened, err);
    for (int i = 0; i < n_opened; i++) opened[i]->free(opened[i]);
    return status;
}

nb_status verification_run(nb_model *model, const verification_request *q, report **reports, size_t *n, nb_error *err) {
    target targets[ENGINE_MAX_DEVICES];
    *reports = NULL;
    *n = 0;
    const backend *only = q->backend ? engine_backend(q->backend, strlen(q->backend)) : NULL;
    if (q->backend && !only) return no_backend(q->backend, err);
    const int n_targets = find_targets(q, only, targets);
    if (n_targets == 0 && only) return nothing_of(only, err);
    *reports = calloc((size_t)n_targets + 1, sizeof **reports);
    if (!*reports) return err_no_memory(err, "a report", 0);
    nb_status status = check_patterns(targets, n_targets, err);
    for (int i = 0; i < n_targets && !status; i++)
        status = one_device(model, q, targets[i].backend, targets[i].index, &(*reports)[(*n)++], err);
    return status;
}

void verification_free(report *reports, size_t n) {
    for (size_t i = 0; i < n; i++) report_free(&reports[i]);
    free(reports);
}

typedef struct lister {
    void (*visit)(void *user, const verdict *v);
    void *user;
    size_t *n_others;
    device_info devices[ENGINE_MAX_DEVICES]; /* of this machine */
    size_t n_devices;
} lister;

static void find_devices(lister *l) {
    device *all[ENGINE_MAX_DEVICES];
    l->n_devices = engine_open_all(all, ENGINE_MAX_DEVICES);
    for (size_t i = 0; i < l->n_devices; i++) {
        l->devices[i] = all[i]->info;
        all[i]->free(all[i]);
    }
}

static void visit_ours(void *user, const verdict *v) {
    lister *l = user;
    bool ours = false;
    for (size_t i = 0; i < l->n_devices && !ours; i++) ours = verdict_is_of(v, &l->devices[i]);
    if (ours)
        l->visit(l->user, v);
    else
        (*l->n_others)++;
}

nb_status verification_list(void (*visit)(void *user, const verdict *v), void *user, size_t *n_others, nb_error *err) {
    lister l = {.visit = visit, .user = user, .n_others = n_others};
    *n_others = 0;
    find_devices(&l);
    return verdict_each(visit_ours, &l, err);
}

/* ---- At load ---------------------------------------------------------------------------------------------------- */

nb_status verification_mode(const char *word, const char *what, nb_verify *out, nb_error *err) {
    static const struct {
        const char *word;
        nb_verify mode;
    } modes[] = {
        {"quick", NB_VERIFY_QUICK}, {"full", NB_VERIFY_FULL}, {"off", NB_VERIFY_OFF}, {"watch", NB_VERIFY_WATCH}};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(modes[i].word, word) != 0) continue;
        *out = modes[i].mode;
        return NB_OK;
    }
    return err_set(err, NB_ERR_ARGUMENT, "%s: \"%s\" is not one of quick, full, off, watch", what, word);
}

nb_status verification_at_load(nb_model *model, const plan_on_device *on, const device_options *how, nb_verify mode,
                               int gpu_layers, nb_error *err) {
    static const double BUDGET = 0.6; /* seconds; what is begun is finished, so that it is a second in all */
    if (mode == NB_VERIFY_OFF) {
        char text[32];
        log_msg(NB_LOG_WARN, "--verify=off: the kernels of %s were not checked", device_text(&on->device->info, text));
        return NB_OK;
    }
    subject s;
    describe(&s, model, &on->options);
    s.m.plan = on->plan;
    check_process fresh = {.device = &on->device->info,
                           .model = model->dir,
                           .kv_type = on->options.kv_type,
                           .n_batch = on->options.n_batch,
                           .gpu_layers = gpu_layers,
                           .full = mode == NB_VERIFY_FULL};
    const verify_options o = {.backend = on->backend,
                              .index = on->device->info.index,
                              .device = *how,
                              .host = engine_host,
                              .model = &s.m,
                              .depth = mode == NB_VERIFY_FULL ? CHECK_FULL : CHECK_QUICK,
                              .seed = 1,
                              .silence = 5,
                              .elsewhere = check_process_run,
                              .elsewhere_user = &fresh};
    return verify_at_load(&o, on->device, mode == NB_VERIFY_FULL ? 0 : BUDGET, err);
}

void verification_remember(const nb_context *c, const finding *f) {
    verdict v;
    bool found;
    nb_error err;
    nb_status status = verdict_read(&c->device->info, c->verified_set, &v, &found, &err);
    if (!status && !found) {
        v = (verdict){.device = c->device->info, .model_set = c->verified_set};
        snprintf(v.version, sizeof v.version, "%s", nb_version());
        snprintf(v.model, sizeof v.model, "%s", c->model->dir);
        verdict_date(v.date);
    }
    if (!status && verdict_add(&v, f)) status = verdict_write(&v, &err);
    if (status) log_msg(NB_LOG_WARN, "the verdict cannot be remembered: %s", err.text);
    verdict_free(&v);
}
