/* SPDX-License-Identifier: Apache-2.0
 *
 * Getting the weights ready: every scale is checked to be a number, every matrix is repacked into the layout of the
 * best row for single tokens, and the mapped pages that the copy replaces are given back. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/num.h"
#include "cpu/cpu.h"
#include "plan/scales.h"

void *cpu_reserve(size_t bytes) {
    void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void cpu_unreserve(void *p, size_t bytes) {
    if (p) munmap(p, bytes ? bytes : 1);
}

/* ---- Choosing a layout ------------------------------------------------------------------------------------------ */

/* The best rank among rows that multiply one token with w in the layout that it names; -1 for none. */
static int best_rank(const cpu_executor *e, const kweight *w) {
    static const dtype forms[] = {DT_F32, DT_XI8X3};
    int best = -1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        kcall c = {.op = w->experts ? KOP_MATMUL_EXPERTS : KOP_MATMUL, .w = w, .n_chosen = w->experts ? 1 : 0};
        c.x = (kmat){.data = LOWER_SOMEWHERE, .type = forms[i], .rows = 1, .cols = w->k, .stride = w->k};
        if (forms[i] != DT_F32) c.x.group = lower_form_group(w);
        if (forms[i] != DT_F32 && c.x.group == 0) continue;
        c.y = (kmat){.data = LOWER_SOMEWHERE, .type = DT_F32, .rows = 1, .cols = w->n, .stride = w->n};
        if (w->experts) c.z = (kmat){.data = LOWER_SOMEWHERE, .type = DT_F32, .rows = 1, .cols = 2, .stride = 2};
        const krow *row = kreg_find(e->registry, &c);
        if (row && row->rank > best && row->layout == w->layout) best = row->rank;
    }
    return best;
}

/* A layout, as if w were packed in it. */
static void set_layout(kweight *w, const klayout *layout, const void *packed) {
    w->layout = layout;
    w->packed = w->experts ? NULL : packed;
    for (int64_t i = 0; i < w->n_experts; i++) set_layout((kweight *)&w->experts[i], layout, packed);
}

static void choose_layout(const cpu_executor *e, kweight *w) {
    const klayout *best_layout = NULL;
    const kweight *one = w->experts ? w->experts : w;
    set_layout(w, NULL, NULL);
    int best = best_rank(e, w);
    for (size_t i = 0; i < kreg_count(e->registry); i++) {
        const klayout *layout = kreg_at(e->registry, i)->layout;
        if (!layout || layout == best_layout || !layout->takes(one)) continue;
        set_layout(w, layout, LOWER_SOMEWHERE);
        int rank = best_rank(e, w);
        if (rank > best) {
            best = rank;
            best_layout = layout;
        }
    }
    set_layout(w, best_layout, NULL);
}

/* ---- Packing ---------------------------------------------------------------------------------------------------- */

typedef struct pack_job {
    const kweight *w;
    void *to;
    int64_t n_tasks, chunk;
    _Atomic int64_t next;
} pack_job;

static void pack_some(void *user, int thread) {
    (void)thread;
    pack_job *job = user;
    for (int64_t t; (t = atomic_fetch_add(&job->next, job->chunk)) < job->n_tasks;)
        job->w->layout->pack(job->w, job->to, t, min_i64(t + job->chunk, job->n_tasks));
}

/* Gives the pages back of a weight of whose stored form nothing, or only single rows, will be read any more. */
static void release(const cpu_executor *e, const plan_weight *source) {
    for (int i = 0; i < source->n_tensors; i++) weights_release(e->files, source->tensors[i]);
}

/* Bytes of w in its layout: of one expert after the other, each at a multiple of 64. */
static size_t packed_bytes(const kweight *w) {
    const kweight *one = w->experts ? w->experts : w;
    return round_up(w->layout->bytes(one), 64) * (size_t)max_i64(1, w->n_experts);
}

static void pack_one(cpu_executor *e, kweight *w, uint8_t *to) {
    pack_job job = {.w = w, .to = to, .n_tasks = w->layout->tasks(w)};
    job.chunk = max_i64(1, job.n_tasks / (4 * pool_size(e->threads)));
    pool_run(e->threads, pack_some, &job);
    w->packed = to;
}

static void pack_weight(cpu_executor *e, int i, uint8_t *to) {
    kweight *w = &e->weights[i];
    if (!w->experts) pack_one(e, w, to);
    for (int64_t x = 0; x < w->n_experts; x++) {
        pack_one(e, (kweight *)&w->experts[x], to);
        to += round_up(w->layout->bytes(&w->experts[x]), 64);
    }
    release(e, &e->base.plan->weights[i]);
}

/* Layouts only, as if all were packed. */
static nb_status choose_layouts(cpu_executor *e, nb_error *err) {
    nb_status status = plan_copy_weights(e->base.plan, &e->weights, &e->experts, err);
    for (int i = 0; !status && i < e->base.plan->n_weights; i++) {
        kweight *w = &e->weights[i];
        if (e->base.plan->weights[i].is_matrix) choose_layout(e, w);
        if (w->layout) set_layout(w, w->layout, LOWER_SOMEWHERE);
    }
    return status;
}

nb_status cpu_load_weights(cpu_executor *e, const executor_options *options, nb_error *err) {
    const plan *p = e->base.plan;
    if (options->dry) return choose_layouts(e, err);
    nb_status status = plan_check_scales(p, e->threads, err);
    if (!status) status = plan_copy_weights(p, &e->weights, &e->experts, err);
    if (status) return status;
    size_t *offsets = calloc((size_t)p->n_weights + 1, sizeof *offsets);
    if (!offsets) status = err_no_memory(err, "the table of weights", 0);
    size_t total = 0;
    for (int i = 0; i < p->n_weights && !status; i++) {
        kweight *w = &e->weights[i];
        if (p->weights[i].is_matrix) choose_layout(e, w);
        offsets[i] = total;
        if (w->layout) total += packed_bytes(w);
    }
    if (!status && total > 0) {
        e->packed = cpu_reserve(total);
        e->packed_size = total;
        if (!e->packed) status = err_no_memory(err, "repacked weights", total);
#if defined(MADV_HUGEPAGE)
        else
            madvise(e->packed, total, MADV_HUGEPAGE);
#endif
    }
    for (int i = 0; i < p->n_weights && !status; i++) {
        if (e->weights[i].layout)
            pack_weight(e, i, e->packed + offsets[i]);
        else if (!p->weights[i].is_matrix)
            release(e, &p->weights[i]);
        if (options->progress && !options->progress(options->progress_user, "load", i + 1, p->n_weights))
            status = err_set(err, NB_ERR_CANCELLED, "loading was cancelled");
    }
    free(offsets);
    e->base.packed_bytes = (int64_t)total;
    return status;
}

void cpu_free_weights(cpu_executor *e) {
    cpu_unreserve(e->packed, e->packed_size);
    free(e->weights);
    free(e->experts);
}
