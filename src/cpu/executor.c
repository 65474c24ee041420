/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the plan on the thread pool: all threads walk the same program, take tasks of the current step from a shared
 * counter, and wait where a step needs what earlier ones make. Who computes a task never changes its result. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "cpu/cpu.h"

/* ---- Running --------------------------------------------------------------------------------------------------- */

typedef struct run_job {
    cpu_executor *e;
    const cpu_program *p;
} run_job;

/* A thread's share; NULL where no row needs any. */
static void *scratch_of(const cpu_executor *e, int thread) {
    return e->scratch ? e->scratch + (size_t)thread * e->scratch_stride : NULL;
}

/* Takes tasks of a call until there are none. */
static void work_on(const program_call *s, cpu_counter *c, void *scratch) {
    for (int64_t t; (t = atomic_fetch_add_explicit(&c->next, c->chunk, memory_order_relaxed)) < c->n_tasks;) {
        const int64_t end = min_i64(t + c->chunk, c->n_tasks);
        s->row->run(s->row, &s->call, t, end, scratch);
        atomic_fetch_add_explicit(&c->done, end - t, memory_order_release);
    }
}

/* Waits for tasks, not for threads: one that the system has put aside between two tasks holds up nobody, and finds its
 * share done when it comes back. */
static void await(cpu_counter *c) {
    for (int n = 0; atomic_load_explicit(&c->done, memory_order_acquire) < c->n_tasks; n++) pool_pause(n);
}

static bool is_observed(const executor *e, int step) {
    return e->observer && (e->observed_step == PLAN_NONE || e->observed_step == step);
}

/* All threads have finished the steps before when they come here, and go on together. */
static void observe(const run_job *job, const program_call *s, int thread, bool done) {
    const executor *e = &job->e->base;
    pool_barrier(job->e->threads);
    if (thread == 0) e->observer(e->observer_user, s->plan_step, done, s->row, &s->call);
    pool_barrier(job->e->threads);
}

static void walk(void *user, int thread) {
    const run_job *job = user;
    const executor *base = &job->e->base;
    cpu_counter *counters = job->p->counters;
    void *scratch = scratch_of(job->e, thread);
    for (int i = 0, since = 0; i < job->p->p->n_calls; i++) {
        const program_call *s = &job->p->p->calls[i];
        for (; s->barrier && since < i; since++) await(&counters[since]);
        const bool observed = is_observed(base, s->plan_step);
        if (observed) observe(job, s, thread, false);
        work_on(s, &counters[i], scratch);
        if (observed) observe(job, s, thread, true);
    }
}

static void free_program(cpu_program *p) {
    program_free(p->p);
    free(p->counters);
    *p = (cpu_program){0};
}

static nb_status lower(const cpu_executor *e, int64_t n_tokens, int64_t n_outputs, program **out, nb_error *err) {
    const lower_target target = {.plan = e->base.plan,
                                 .steps = e->base.plan->steps,
                                 .name = e->device,
                                 .registry = e->registry,
                                 .weights = e->weights,
                                 .keys = e->keys,
                                 .values = e->values,
                                 .states = e->states,
                                 .tokens = e->tokens,
                                 .positions = e->positions,
                                 .slots = e->slots,
                                 .outputs = e->outputs,
                                 .tables = e->tables,
                                 .work = e->work};
    return program_new(&target, n_tokens, n_outputs, out, err);
}

/* Memory for a program that has just been lowered. */
static nb_status make_room(cpu_executor *e, cpu_program *p, nb_error *err) {
    void *counters = NULL, *scratch = NULL;
    if (posix_memalign(&counters, 64, ((size_t)p->p->n_calls + 1) * sizeof(cpu_counter)) != 0)
        return err_no_memory(err, "the program of the plan", 0);
    p->counters = counters;
    if (p->p->work_bytes > e->work_size)
        return err_set(err, NB_ERR_INTERNAL, "a batch of %lld tokens needs %zu bytes of work memory, %zu are there",
                       (long long)p->p->n_tokens, p->p->work_bytes, e->work_size);
    if (p->p->scratch_bytes <= e->scratch_stride) return NB_OK;
    const size_t stride = round_up(p->p->scratch_bytes, 4096);
    if (posix_memalign(&scratch, 4096, stride * (size_t)pool_size(e->threads)) != 0)
        return err_no_memory(err, "scratch", stride * (size_t)pool_size(e->threads));
    free(e->scratch);
    e->scratch = scratch;
    e->scratch_stride = stride;
    return NB_OK;
}

/* The program for this batch size, lowered when it is new. */
static nb_status find_program(cpu_executor *e, int64_t n_tokens, int64_t n_outputs, const cpu_program **out,
                              nb_error *err) {
    int oldest = 0;
    for (int i = 0; i < MAX_PROGRAMS; i++) {
        const program *p = e->programs[i].p;
        if (p && p->n_tokens == n_tokens && p->n_outputs == n_outputs) {
            e->program_used[i] = ++e->clock;
            *out = &e->programs[i];
            return NB_OK;
        }
        if (e->program_used[i] < e->program_used[oldest]) oldest = i;
    }
    cpu_program fresh = {0};
    nb_status status = lower(e, n_tokens, n_outputs, &fresh.p, err);
    if (!status) status = make_room(e, &fresh, err);
    if (status) {
        free_program(&fresh);
        return status;
    }
    free_program(&e->programs[oldest]);
    e->programs[oldest] = fresh;
    e->program_used[oldest] = ++e->clock;
    *out = &e->programs[oldest];
    return NB_OK;
}

/* Into how many tasks a call falls may depend on the batch: attention looks at its sequences. */
static void deal_tasks(const cpu_executor *e, const program_call *s, cpu_counter *counter) {
    const int n_threads = pool_size(e->threads);
    counter->n_tasks = s->row->tasks(s->row, &s->call);
    counter->chunk = n_threads == 1 ? counter->n_tasks : max_i64(1, counter->n_tasks / (n_threads * 4));
    atomic_store_explicit(&counter->next, 0, memory_order_relaxed);
    atomic_store_explicit(&counter->done, 0, memory_order_relaxed);
}

static nb_status run(executor *base, const batch *b, const float **logits, nb_error *err) {
    cpu_executor *e = (cpu_executor *)base;
    if (b->n_tokens < 1 || b->n_tokens > e->n_batch || b->n_outputs < 0 || b->n_outputs > b->n_tokens)
        return err_set(err, NB_ERR_INTERNAL, "a batch of %lld tokens and %lld outputs, at most %lld",
                       (long long)b->n_tokens, (long long)b->n_outputs, (long long)e->n_batch);
    const cpu_program *p;
    nb_status status = find_program(e, b->n_tokens, b->n_outputs, &p, err);
    if (status) return status;
    e->last = p;
    const size_t n = (size_t)b->n_tokens;
    memcpy(e->tokens, b->tokens, n * sizeof *e->tokens);
    memcpy(e->positions, b->positions, n * sizeof *e->positions);
    memcpy(e->tables, b->tables, n * sizeof *e->tables);
    if (base->plan->n_states) memcpy(e->slots, b->slots, n * sizeof *e->slots);
    if (b->n_outputs) memcpy(e->outputs, b->outputs, (size_t)b->n_outputs * sizeof *e->outputs);
    for (int i = 0; i < base->plan->n_inputs; i++) {
        const int64_t cols = base->plan->values[base->plan->inputs[i]].cols;
        memcpy(e->work + p->p->input_offsets[i], b->inputs[i], n * (size_t)cols * sizeof(float));
    }
    for (int i = 0; i < p->p->n_calls; i++) deal_tasks(e, &p->p->calls[i], &p->counters[i]);
    run_job job = {e, p};
    pool_run(e->threads, walk, &job);
    *logits = (const float *)(e->work + p->p->logits_offset);
    for (int i = 0; i < base->plan->n_results; i++)
        base->results[i] = (const float *)(const void *)(e->work + p->p->result_offsets[i]);
    return NB_OK;
}

/* ---- Profile ---------------------------------------------------------------------------------------------------- */

typedef struct profile_job {
    cpu_executor *e;
    const program_call *call;
    cpu_counter *counter;
} profile_job;

static void work_alone(void *user, int thread) {
    const profile_job *job = user;
    work_on(job->call, job->counter, scratch_of(job->e, thread));
}

/* Each call alone, on all threads: the fastest of several times. */
static nb_status profile(executor *base, double *seconds, int n, nb_error *err) {
    enum { ROUNDS = 5 };
    cpu_executor *e = (cpu_executor *)base;
    const cpu_program *p = e->last;
    if (!p || !p->p || p->p->n_calls != n)
        return err_set(err, NB_ERR_INTERNAL, "a profile of %d calls, which nothing ran", n);
    for (int i = 0; i < n; i++) {
        profile_job job = {e, &p->p->calls[i], &p->counters[i]};
        for (int r = 0; r < ROUNDS; r++) {
            deal_tasks(e, job.call, job.counter);
            const double start = clock_now();
            pool_run(e->threads, work_alone, &job);
            const double took = clock_now() - start;
            if (r == 0 || took < seconds[i]) seconds[i] = took;
        }
    }
    return NB_OK;
}

/* ---- The KV cache ----------------------------------------------------------------------------------------------- */

static nb_status make_caches(cpu_executor *e, const executor_options *o, nb_error *err) {
    const plan *p = e->base.plan;
    e->keys = calloc((size_t)p->n_caches + 1, sizeof *e->keys);
    e->values = calloc((size_t)p->n_caches + 1, sizeof *e->values);
    if (!e->keys || !e->values) return err_no_memory(err, "the KV cache", 0);
    for (int i = 0; i < p->n_caches; i++) {
        const plan_cache *c = &p->caches[i];
        kpages pages = {NULL, o->kv_type, o->n_pages, c->n_heads, KV_PAGE_SIZE, c->head_dim};
        e->keys[i] = e->values[i] = pages;
        e->keys[i].data = cpu_reserve(kpages_bytes(&pages));
        e->values[i].data = cpu_reserve(kpages_bytes(&pages));
        if (!e->keys[i].data || !e->values[i].data)
            return err_no_memory(err, "the KV cache", 2 * kpages_bytes(&pages) * (size_t)p->n_caches);
        e->base.kv_bytes_per_token += 2 * c->n_heads * c->head_dim * (int64_t)dtype_size(o->kv_type);
    }
    return NB_OK;
}

static void copy_slots(const kpages *p, int32_t from, int32_t to, int64_t n_slots) {
    const size_t row = (size_t)p->head_dim * dtype_size(p->type), head = row * (size_t)p->page_size;
    uint8_t *data = p->data;
    for (int64_t h = 0; h < p->n_heads; h++)
        memcpy(data + ((size_t)to * (size_t)p->n_heads + (size_t)h) * head,
               data + ((size_t)from * (size_t)p->n_heads + (size_t)h) * head, row * (size_t)n_slots);
}

static nb_status copy_page(executor *base, int32_t from, int32_t to, int64_t n_slots, nb_error *err) {
    cpu_executor *e = (cpu_executor *)base;
    (void)err;
    for (int i = 0; i < base->plan->n_caches; i++) {
        copy_slots(&e->keys[i], from, to, n_slots);
        copy_slots(&e->values[i], from, to, n_slots);
    }
    return NB_OK;
}

/* ---- Recurrent states ------------------------------------------------------------------------------------------- */

static size_t states_bytes(const kstates *s) {
    return (size_t)s->n_slots * (size_t)s->size * sizeof *s->data;
}

static nb_status make_states(cpu_executor *e, const executor_options *o, nb_error *err) {
    const plan *p = e->base.plan;
    e->states = calloc((size_t)p->n_states + 1, sizeof *e->states);
    if (!e->states) return err_no_memory(err, "recurrent states", 0);
    for (int i = 0; i < p->n_states; i++) {
        e->states[i] = (kstates){NULL, o->n_slots, p->states[i].size};
        e->states[i].data = cpu_reserve(states_bytes(&e->states[i]));
        if (!e->states[i].data) return err_no_memory(err, "recurrent states", states_bytes(&e->states[i]));
        e->base.state_bytes += p->states[i].size * (int64_t)sizeof(float);
    }
    return NB_OK;
}

static nb_status copy_state(executor *base, int32_t from, int32_t to, nb_error *err) {
    cpu_executor *e = (cpu_executor *)base;
    (void)err;
    for (int i = 0; i < base->plan->n_states; i++) {
        const kstates *s = &e->states[i];
        const size_t bytes = (size_t)s->size * sizeof *s->data;
        if (from < 0)
            memset(s->data + to * s->size, 0, bytes);
        else
            memcpy(s->data + to * s->size, s->data + from * s->size, bytes);
    }
    return NB_OK;
}

/* ---- Making and freeing ---------------------------------------------------------------------------------------- */

static nb_status calls(executor *base, int64_t n_tokens, int64_t n_outputs, executor_call_fn visit, void *user,
                       nb_error *err) {
    program *p;
    nb_status status = lower((cpu_executor *)base, n_tokens, n_outputs, &p, err);
    for (int i = 0; !status && i < p->n_calls; i++)
        visit(user, p->calls[i].plan_step, p->calls[i].row, &p->calls[i].call);
    program_free(p);
    return status;
}

static void executor_free(executor *base) {
    if (!base) return;
    cpu_executor *e = (cpu_executor *)base;
    pool_free(e->threads);
    for (int i = 0; i < MAX_PROGRAMS; i++) free_program(&e->programs[i]);
    for (int i = 0; e->keys && i < base->plan->n_caches; i++) cpu_unreserve(e->keys[i].data, kpages_bytes(&e->keys[i]));
    for (int i = 0; e->values && i < base->plan->n_caches; i++)
        cpu_unreserve(e->values[i].data, kpages_bytes(&e->values[i]));
    for (int i = 0; e->states && i < base->plan->n_states; i++)
        cpu_unreserve(e->states[i].data, states_bytes(&e->states[i]));
    cpu_unreserve(e->work, e->work_size);
    cpu_free_weights(e);
    free(e->keys);
    free(e->values);
    free(e->states);
    free(e->scratch);
    free(e->tokens);
    free(e->positions);
    free(e->slots);
    free(e->outputs);
    free(e->tables);
    free(e);
}

/* Work memory for the largest batch; it is taken only as smaller or larger batches touch it. */
static nb_status make_work(cpu_executor *e, nb_error *err) {
    program *p;
    nb_status status = lower(e, e->n_batch, e->n_batch, &p, err);
    if (status) return status;
    /* First fit is not monotonic in the sizes: a quarter more covers what a smaller batch may place worse. */
    e->work_size = p->work_bytes + p->work_bytes / 4 + (1 << 20);
    program_free(p);
    e->work = cpu_reserve(e->work_size);
    return e->work ? NB_OK : err_no_memory(err, "activations", e->work_size);
}

nb_status cpu_executor_new(device *d, const plan *p, const weights *files, const executor_options *options,
                           executor **out, nb_error *err) {
    *out = NULL;
    cpu_executor *e = calloc(1, sizeof *e);
    if (!e) return err_no_memory(err, "the CPU executor", sizeof *e);
    e->base = (executor){.run = run,
                         .copy_page = copy_page,
                         .copy_state = copy_state,
                         .calls = calls,
                         .profile = profile,
                         .free = executor_free,
                         .observed_step = PLAN_NONE,
                         .plan = p};
    e->files = files;
    e->n_batch = options->n_batch;
    e->registry = d->registry;
    const size_t n = (size_t)options->n_batch;
    e->tokens = calloc(n, sizeof *e->tokens);
    e->positions = calloc(n, sizeof *e->positions);
    e->slots = calloc(n, sizeof *e->slots);
    e->outputs = calloc(n, sizeof *e->outputs);
    e->tables = calloc(n, sizeof *e->tables);
    nb_status status = NB_OK;
    if (!e->tokens || !e->positions || !e->slots || !e->outputs || !e->tables)
        status = err_no_memory(err, "a batch", 0);
    if (!status) status = pool_new(options->dry ? 1 : options->n_threads, &e->threads, err);
    if (!status) {
        e->base.n_threads = pool_size(e->threads);
        snprintf(e->device, sizeof e->device, "cpu (%s, %d thread%s)", d->info.features, e->base.n_threads,
                 e->base.n_threads == 1 ? "" : "s");
        e->base.device = e->device;
        status = cpu_load_weights(e, options, err);
        e->base.weights = e->weights;
    }
    if (!status) status = make_caches(e, options, err);
    if (!status) status = make_states(e, options, err);
    if (!status && !options->dry) status = make_work(e, err);
    if (status) {
        executor_free(&e->base);
        return status;
    }
    e->base.work_bytes = (int64_t)e->work_size;
    *out = &e->base;
    return NB_OK;
}
