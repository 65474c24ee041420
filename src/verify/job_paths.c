/* SPDX-License-Identifier: Apache-2.0
 *
 * The level `paths`: each matrix of the model, by every row that could compute it (dequantize and GEMM, QMV, tiled QMM;
 * gathered for experts), on its real weights and on the activations that a forward pass brings before it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "quant/xform.h"
#include "ref/ref.h"
#include "verify/guard.h"
#include "verify/steps.h"

static const double WORK = 2e6, FULL_WORK = 1e8; /* multiplications of the reference for one matrix */
static const double RUN_WORK = 4e8;              /* of a row, in one run: of large matrices fewer tokens */
enum { POISON = 0xff };

typedef struct paths {
    guard y, form, form_part, packed, scratch;
    kmat x;              /* the step's activations, fp32 */
    kweight w, *experts; /* the step's weight, in some layout */
    mirror mirror;
} paths;

/* ---- Operands --------------------------------------------------------------------------------------------------- */

/* x as fp32: what a form stands for is exact in it. */
static bool x_as_f32(const kmat *x, kmat *out) {
    *out = (kmat){.type = DT_F32, .rows = x->rows, .cols = x->cols, .stride = x->cols};
    float *data = malloc((size_t)(x->rows * x->cols) * sizeof *data);
    for (int64_t i = 0; data && i < x->rows * x->cols; i++) data[i] = (float)ref_at(x, i / x->cols, i % x->cols);
    out->data = data;
    return data != NULL;
}

static bool x_as_16_bits(guard *memory, const kmat *x, dtype type, kmat *out) {
    *out = (kmat){.type = type, .rows = x->rows, .cols = x->cols, .stride = x->cols};
    uint16_t *data = guard_input(memory, (size_t)(x->rows * x->cols) * sizeof *data);
    for (int64_t i = 0; data && i < x->rows * x->cols; i++) {
        const float value = ((const float *)x->data)[i];
        data[i] = type == DT_F16 ? f32_to_f16(value) : f32_to_bf16(value);
    }
    out->data = data;
    return data != NULL;
}

static bool x_as_form(guard *memory, const kmat *x, int64_t group, kmat *out) {
    *out = (kmat){.type = DT_XI8X3, .rows = x->rows, .cols = x->cols, .group = group};
    out->data = guard_input(memory, xform_bytes(x->rows, x->cols, group));
    for (int64_t t = 0; out->data && t < x->rows; t++)
        for (int64_t g = 0; g < x->cols / group; g++)
            xform_encode(out, t, g, (const float *)x->data + t * x->stride + g * group);
    return out->data != NULL;
}

/* Whether some token of the call has chosen expert e. */
static bool is_chosen(const kcall *c, int64_t e) {
    for (int64_t t = 0; t < c->z.rows; t++)
        for (int64_t s = 0; s < c->n_chosen; s++)
            if (((const float *)c->z.data)[t * c->z.stride + s] == (float)e) return true;
    return false;
}

/* The weight of a call in a layout (NULL: as stored); of experts only those that are chosen. */
static bool pack(paths *p, const kcall *c, const klayout *layout) {
    const kweight *stored = c->w;
    free(p->experts);
    p->experts = NULL;
    p->w = *stored;
    p->w.layout = layout;
    p->w.packed = NULL;
    const int64_t n = stored->experts ? stored->n_experts : 1;
    if (stored->experts) {
        p->experts = malloc((size_t)n * sizeof *p->experts);
        if (!p->experts) return false;
        memcpy(p->experts, stored->experts, (size_t)n * sizeof *p->experts);
        p->w.experts = p->experts;
    }
    if (!layout) return true;
    const size_t each = round_up(layout->bytes(stored->experts ? stored->experts : stored), 64);
    uint8_t *to = guard_input(&p->packed, (size_t)n * each);
    for (int64_t e = 0; to && e < n; e++) {
        kweight *one = stored->experts ? &p->experts[e] : &p->w;
        one->layout = layout;
        one->packed = to + (size_t)e * each;
        if (stored->experts && !is_chosen(c, e) && e > 0) continue; /* the first one is looked at by `takes` */
        layout->pack(one, to + (size_t)e * each, 0, layout->tasks(one));
    }
    return to != NULL;
}

/* ---- One row ---------------------------------------------------------------------------------------------------- */

static nb_status run_call(steps *st, paths *p, const krow *row, const kcall *c, nb_error *err) {
    device *d = st->s->device;
    const size_t scratch = row->scratch ? round_up(row->scratch(row, c), 64) : 0;
    if (d->memory) {
        p->mirror.device = d;
        nb_status status = mirror_put(&p->mirror, c, scratch, err);
        const kcall *there = &p->mirror.copy.call;
        if (!status && d->prepare) status = d->prepare(d, row, there, p->mirror.scratch, err);
        if (!status) session_runs(st->s, 0);
        if (!status) status = d->run(d, row, there, 0, row->tasks(row, there), p->mirror.scratch, err);
        return status ? status : mirror_get(&p->mirror, err);
    }
    void *room = scratch ? guard_input(&p->scratch, scratch) : NULL;
    if (scratch && !room) return err_no_memory(err, "scratch", scratch);
    session_runs(st->s, 0);
    return d->run(d, row, c, 0, row->tasks(row, c), room, err);
}

/* The first n tokens of the sample's call by this row; *taken: whether it is one for that. */
static nb_status try_row(steps *st, paths *p, int step, const krow *row, sample *right, int64_t n, bool *taken,
                         nb_error *err) {
    kcall c = right->call;
    c.w = &p->w;
    c.x.rows = c.y.rows = n;
    if (c.x.type == DT_XI8X3 && n < right->call.x.rows) { /* of which a part is no form by itself */
        kmat some = p->x;
        some.rows = n;
        if (!x_as_form(&p->form_part, &some, c.x.group, &c.x)) return err_no_memory(err, "activations", 0);
    }
    if (c.z.data) c.z.rows = n;
    if (c.residual.data) c.residual.rows = n;
    c.y.stride = c.y.cols;
    const size_t bytes = (size_t)(n * c.y.cols) * sizeof(float);
    c.y.data = guard_output(&p->y, bytes, POISON);
    if (!c.y.data) return err_no_memory(err, "a product", bytes);
    *taken = kreg_takes(row, &c);
    if (!*taken) return NB_OK;
    const int i = session_row(st->s, row);
    const double start = clock_now();
    rec_begin b = {.row = i};
    finding f = {0};
    steps_describe(st, step, &c, &f);
    memcpy(b.where, f.where, sizeof b.where);
    memcpy(b.step, f.step, sizeof b.step);
    b.layer = f.layer;
    worker_send(st->s->worker, REC_BEGIN, &b, sizeof b);
    nb_status status = run_call(st, p, row, &c, err);
    if (status) return status;
    session_ran(st->s);
    comparison cmp;
    c.w = right->call.w;
    sample_compare(right, row, &c, &cmp);
    const double worst = cmp.worst;
    if (comparison_end(&cmp, &f)) {
        steps_describe(st, step, &c, &f);
        session_found(st->s, &f);
        st->s->aside[i] = true;
    }
    session_case(st->s, i, worst, clock_now() - start);
    return NB_OK;
}

/* Rows of one layout, on x as the sample has it. */
static nb_status try_layout(steps *st, paths *p, int step, const klayout *layout, sample *right, nb_error *err) {
    session *s = st->s;
    const kcall *c = &right->call;
    const double one = (double)c->w->k * (double)c->y.cols;
    const int64_t most = max_i64(1, min_i64(c->x.rows, (int64_t)(RUN_WORK / one)));
    nb_status status = NB_OK;
    for (size_t i = 0; i < s->n_rows && !status; i++) {
        const krow *row = kreg_at(s->device->registry, i);
        if (row->op != c->op || row->layout != layout || s->aside[i] || s->dead[i]) continue;
        if (row->x_type != DT_NONE && row->x_type != c->x.type) continue;
        bool taken;
        status = try_row(st, p, step, row, right, most, &taken, err);
        if (!status && most > 1 && !s->aside[i]) status = try_row(st, p, step, row, right, 1, &taken, err);
    }
    return status;
}

/* ---- One matrix ------------------------------------------------------------------------------------------------- */

/* Every layout that some row reads, NULL (as stored) included. */
static nb_status try_layouts(steps *st, paths *p, int step, sample *right, nb_error *err) {
    session *s = st->s;
    const kweight *w = right->call.w, *one = w->experts ? w->experts : w;
    const klayout *seen[64];
    size_t n_seen = 0;
    nb_status status = NB_OK;
    for (size_t i = 0; i < s->n_rows && !status; i++) {
        const krow *row = kreg_at(s->device->registry, i);
        bool known = row->op != right->call.op || (row->layout && !row->layout->takes(one));
        for (size_t j = 0; j < n_seen && !known; j++) known = seen[j] == row->layout;
        if (known || n_seen == sizeof seen / sizeof seen[0]) continue;
        seen[n_seen++] = row->layout;
        if (!pack(p, &right->call, row->layout)) return err_no_memory(err, "a packed weight", 0);
        status = try_layout(st, p, step, row->layout, right, err);
    }
    return status;
}

/* Columns that share a scale in the activation form that rows read for w; 0: there is none. */
static int64_t form_group(const kcall *c) {
    if (c->x.type == DT_XI8X3) return c->x.group;
    return c->w->mode != W_PLAIN && c->w->group_size >= XFORM_BLOCK ? c->w->group_size : 0;
}

/* Whether some row reads x in a type. */
static bool has_rows_for(const session *s, kop op, dtype x_type) {
    for (size_t i = 0; i < s->n_rows; i++) {
        const krow *row = kreg_at(s->device->registry, i);
        if (row->op == op && (row->x_type == x_type || row->x_type == DT_NONE)) return true;
    }
    return false;
}

/* x in a type, in which `p` holds it. False: there is no such form of it. */
static bool x_as(paths *p, const kcall *c, dtype type, kmat *out) {
    const int64_t group = form_group(c);
    *out = p->x;
    if (type == DT_F32) return true;
    if (type == DT_XI8X3) return group > 0 && x_as_form(&p->form, &p->x, group, out);
    return x_as_16_bits(&p->form, &p->x, type, out);
}

static nb_status try_forms(steps *st, paths *p, int step, const kcall *c, nb_error *err) {
    static const dtype types[] = {DT_F32, DT_XI8X3, DT_F16, DT_BF16};
    const double work = st->s->o->depth == CHECK_FULL ? FULL_WORK : WORK;
    nb_status status = NB_OK;
    if (!x_as_f32(&c->x, &p->x)) return err_no_memory(err, "activations", 0);
    for (size_t i = 0; i < sizeof types / sizeof types[0] && !status; i++) {
        kcall call = *c;
        sample right;
        if (!has_rows_for(st->s, c->op, types[i]) || !x_as(p, c, types[i], &call.x)) continue;
        status = sample_make(&call, work, st->s->o->seed + (uint64_t)step, st->threads, &right, err);
        if (status) break;
        status = try_layouts(st, p, step, &right, err);
        sample_free(&right);
    }
    free(p->x.data);
    return status;
}

/* In a hurry, of matrices that are alike the first and the last one. */
static bool wants(const steps *st, int step) {
    const plan *p = st->s->o->model->plan;
    const plan_step *s = &p->steps[step];
    if (!kop_is_product(s->op)) return false;
    if (st->s->o->depth == CHECK_FULL) return true;
    bool before = false, after = false;
    for (int i = 0; i < p->n_steps; i++) {
        const plan_step *other = &p->steps[i];
        if (i == step || other->op != s->op) continue;
        const kweight *a = &p->weights[s->weight].w, *b = &p->weights[other->weight].w;
        const bool alike = a->n == b->n && a->k == b->k && a->mode == b->mode && a->bits == b->bits &&
                           a->group_size == b->group_size && a->type == b->type && a->n_experts == b->n_experts &&
                           (s->residual == PLAN_NONE) == (other->residual == PLAN_NONE);
        before |= alike && i < step;
        after |= alike && i > step;
    }
    return !before || !after;
}

static bool look(steps *st, int step, const krow *row, const kcall *before, const kcall *after) {
    (void)row, (void)after;
    paths *p = st->user;
    nb_error err;
    if (!kop_is_product(before->op) || !try_forms(st, p, step, before, &err)) return true;
    session_fail(st->s, &err);
    return false;
}

void job_paths(session *s, worker *w) {
    paths p = {0};
    if (session_open_device(s, w)) steps_run(s, look, wants, 1, &p);
}
