/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs as launches. A program runs launch by launch the first time and is captured into a graph the second time,
 * so that sizes that come but once (the end of a prompt) cost no capture. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "gpu/executor.h"

/* ---- Lowering -------------------------------------------------------------------------------------------------- */

nb_status gpu_lower(gpu_executor *e, int64_t n_tokens, int64_t n_outputs, program **out, nb_error *err) {
    const batch_layout l = gpu_batch_layout(n_tokens, n_outputs);
    uint8_t *batch_block = e->batch ? e->batch : LOWER_SOMEWHERE;
    const lower_target target = {.plan = e->base.plan,
                                 .steps = e->steps,
                                 .name = e->name,
                                 .registry = e->device->registry,
                                 .weights = e->weights,
                                 .pairs = e->pairs,
                                 .keys = e->keys,
                                 .values = e->values,
                                 .states = e->states,
                                 .tokens = (const int32_t *)(const void *)(batch_block + l.tokens),
                                 .positions = (const int32_t *)(const void *)(batch_block + l.positions),
                                 .slots = (const int32_t *)(const void *)(batch_block + l.slots),
                                 .outputs = (const int32_t *)(const void *)(batch_block + l.outputs),
                                 .tables = (const int32_t *const *)(const void *)(batch_block + l.tables),
                                 .work = e->work};
    return program_new(&target, n_tokens, n_outputs, out, err);
}

nb_status gpu_enqueue(const gpu_executor *e, const program_call *c, size_t scratch_at, gpu_launches *to,
                      nb_error *err) {
    void *scratch = e->scratch ? e->scratch + scratch_at : NULL; /* no call needs any */
    return gpu_launches_of(e->traits, c->row, &c->call, scratch, to, err);
}

enum { SCRATCH_UNIT = 256 };

/* Calls that do not depend on one another have scratch side by side, so that their launches can be joined. */
static size_t scratch_at_of(const program_call *c, size_t end_of_last) {
    return c->barrier ? 0 : end_of_last;
}
static size_t scratch_end_of(const program_call *c, size_t at) {
    return at + round_up(c->scratch, SCRATCH_UNIT);
}

size_t gpu_scratch_bytes(const program *p) {
    size_t end = 0, most = 0;
    for (int i = 0; i < p->n_calls; i++) {
        end = scratch_end_of(&p->calls[i], scratch_at_of(&p->calls[i], end));
        if (end > most) most = end;
    }
    return most;
}

/* ---- Making ---------------------------------------------------------------------------------------------------- */

static void free_program(gpu_executor *e, gpu_program *p) {
    if (p == e->last) e->last = NULL;
    if (p->graph) e->driver->graph_free(e->context, p->graph);
    program_free(p->p);
    free(p->launches);
    *p = (gpu_program){0};
}

void gpu_free_programs(gpu_executor *e) {
    for (int i = 0; i < GPU_MAX_PROGRAMS; i++) free_program(e, &e->programs[i]);
}

static bool append(gpu_program *p, int *cap, const gpu_launch *l) {
    if (p->n_launches == *cap) {
        const int more = 2 * *cap + 64;
        gpu_launch *launches = realloc(p->launches, (size_t)more * sizeof *launches);
        if (!launches) return false;
        p->launches = launches;
        *cap = more;
    }
    p->launches[p->n_launches++] = *l;
    return true;
}

/* Joins each of a call's launches with the one that stands at its place among those of the call before. */
static bool join_all(gpu_launch *before, int n, const gpu_launches *l) {
    if (n == 0 || l->n != n) return false;
    for (int i = 0; i < n; i++)
        if (!gpu_can_join(&before[i], &l->at[i])) return false;
    for (int i = 0; i < n; i++) gpu_join(&before[i], &l->at[i]);
    return true;
}

/* All launches of a program. Those of calls that do not depend on one another are joined where their kernels can be. */
static nb_status make_launches(const gpu_executor *e, gpu_program *p, nb_error *err) {
    gpu_launches *l = malloc(sizeof *l);
    nb_status status = l ? NB_OK : err_no_memory(err, "launches", sizeof *l);
    int cap = 0, n_before = 0; /* launches of the call before, or of those that it was joined with */
    size_t scratch_end = 0;
    for (int i = 0; i < p->p->n_calls && !status; i++) {
        const program_call *c = &p->p->calls[i];
        const size_t at = scratch_at_of(c, scratch_end);
        scratch_end = scratch_end_of(c, at);
        status = gpu_enqueue(e, c, at, l, err);
        if (status) break;
        if (!c->barrier && n_before > 0 && join_all(&p->launches[p->n_launches - n_before], n_before, l)) continue;
        for (int j = 0; j < l->n && !status; j++)
            if (!append(p, &cap, &l->at[j])) status = err_no_memory(err, "launches", 0);
        n_before = l->n;
    }
    for (int i = 0; i < p->n_launches && !status; i++) status = e->driver->prepare(e->context, &p->launches[i], err);
    free(l);
    return status;
}

/* Memory that grows with the programs that need it: those before it point into the old one. */
static nb_status make_room(gpu_executor *e, uint8_t **block, size_t *size, size_t needed, const char *what,
                           nb_error *err) {
    if (needed <= *size) return NB_OK;
    nb_status status = e->driver->sync(e->context, err);
    if (status) return status;
    gpu_free_programs(e);
    if (*block) e->driver->release(e->context, *block);
    *block = NULL;
    *size = 0;
    void *fresh;
    status = e->driver->alloc(e->context, needed, &fresh, err);
    if (status) return err_prefix(err, status, "%s", what);
    *block = fresh;
    *size = needed;
    e->base.work_bytes = (int64_t)(e->work_size + e->scratch_size);
    return NB_OK;
}

/* First fit is not monotonic in the sizes: some more covers what a smaller batch may place worse. */
int64_t gpu_work_size(int64_t bytes) {
    return bytes + bytes / 8;
}

static nb_status make_program(gpu_executor *e, int64_t n_tokens, int64_t n_outputs, gpu_program *out, nb_error *err) {
    *out = (gpu_program){0};
    nb_status status = gpu_lower(e, n_tokens, n_outputs, &out->p, err);
    if (status) return status;
    const size_t work = out->p->work_bytes, scratch = gpu_scratch_bytes(out->p);
    if (work > e->work_size || scratch > e->scratch_size) {
        status = make_room(e, &e->work, &e->work_size, (size_t)gpu_work_size((int64_t)work), "activations", err);
        if (!status) status = make_room(e, &e->scratch, &e->scratch_size, scratch, "scratch memory", err);
        program_free(out->p);
        out->p = NULL;
        if (!status) status = gpu_lower(e, n_tokens, n_outputs, &out->p, err);
    }
    if (!status) status = make_launches(e, out, err);
    if (status) free_program(e, out);
    return status;
}

nb_status gpu_find_program(gpu_executor *e, int64_t n_tokens, int64_t n_outputs, gpu_program **out, nb_error *err) {
    for (int i = 0; i < GPU_MAX_PROGRAMS; i++) {
        gpu_program *p = &e->programs[i];
        if (!p->p || p->p->n_tokens != n_tokens || p->p->n_outputs != n_outputs) continue;
        p->used = ++e->clock;
        *out = p;
        return NB_OK;
    }
    gpu_program fresh;
    nb_status status = make_program(e, n_tokens, n_outputs, &fresh, err);
    if (status) return status;
    int oldest = 0;
    for (int i = 0; i < GPU_MAX_PROGRAMS; i++)
        if (e->programs[i].used < e->programs[oldest].used) oldest = i;
    if (e->programs[oldest].graph) {
        status = e->driver->sync(e->context, err); /* it may still run */
        if (status) {
            free_program(e, &fresh);
            return status;
        }
    }
    free_program(e, &e->programs[oldest]);
    e->programs[oldest] = fresh;
    e->programs[oldest].used = ++e->clock;
    *out = &e->programs[oldest];
    return NB_OK;
}

/* ---- Running --------------------------------------------------------------------------------------------------- */

static nb_status launch_all(gpu_executor *e, const gpu_program *p, nb_error *err) {
    nb_status status = NB_OK;
    for (int i = 0; i < p->n_launches && !status; i++) status = e->driver->launch(e->context, &p->launches[i], err);
    return status;
}

/* A driver that cannot capture costs speed, not answers. */
static void capture(gpu_executor *e, gpu_program *p) {
    nb_error err = {0};
    nb_status status = e->driver->capture_begin(e->context, &err);
    if (!status) {
        status = launch_all(e, p, &err);
        nb_status ended = e->driver->capture_end(e->context, &p->graph, status ? NULL : &err);
        if (!status) status = ended;
    }
    if (!status) return;
    if (p->graph) e->driver->graph_free(e->context, p->graph);
    p->graph = NULL;
    p->no_graph = true;
    log_msg(NB_LOG_WARN, "%s: %s; steps are launched one by one", e->name, err.text);
}

nb_status gpu_run_program(gpu_executor *e, gpu_program *p, nb_error *err) {
    if (p->n_runs++ > 0 && !p->graph && !p->no_graph) capture(e, p);
    return p->graph ? e->driver->graph_launch(e->context, p->graph, err) : launch_all(e, p, err);
}
