/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that reach past 2^31 elements, where an index of 32 bits no longer does: rows that stand that far apart, pages,
 * states and rows of a weight that lie that far from the first. An ordinary small case is made, and its operands are
 * moved to where they are far; of the memory between only what is touched exists. So the reference needs to know
 * nothing of it. */
#include "verify/check_case.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/num.h"
#include "verify/compare.h"

static const int64_t far_away = ((int64_t)1 << 31) + 64;

enum { PAGE = 4096, MOST_MAPS = 8, FAR_ROWS = 3, POISON = 0xff };

typedef enum far_kind { FAR_TOKENS, FAR_PAGES, FAR_STATES, FAR_WEIGHT, FAR_KINDS } far_kind;

typedef struct distant {
    check *check;
    device *device;
    const krow *row;
    far_kind kind;
    kcall call;
    kweight w;
    const double *rounding; /* what the row may round: see check_rounding */
    int64_t first;          /* FAR_WEIGHT: outputs, or rows of the table, before those of the case */
    struct {
        void *base;
        size_t bytes;
    } maps[MOST_MAPS];
    int n_maps;
} distant;

/* Zeros that exist once they are touched, with half a address space of 32 bits in front, where an index that became
 * negative points. NULL: not to be had. */
static uint8_t *sparse(distant *f, size_t bytes, size_t element) {
    size_t lead = (size_t)far_away * element, total = round_up(lead + bytes + PAGE, PAGE);
    if (f->n_maps == MOST_MAPS) return NULL;
    void *base = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return NULL;
#if defined(MADV_NOHUGEPAGE)
    madvise(base, total, MADV_NOHUGEPAGE); /* else each touch takes 2 MB */
#endif
    f->maps[f->n_maps].base = base;
    f->maps[f->n_maps++].bytes = total;
    return (uint8_t *)base + lead;
}

static void unmap_all(distant *f) {
    for (int i = 0; i < f->n_maps; i++) munmap(f->maps[i].base, f->maps[i].bytes);
    f->n_maps = 0;
}

/* `bytes` at `data` moved behind `before` bytes of nothing. */
static const void *pushed_away(distant *f, const void *data, size_t bytes, size_t before, size_t element) {
    uint8_t *to = sparse(f, before + bytes, element);
    if (!to) return NULL;
    memcpy(to + before, data, bytes);
    return to;
}

/* ---- Tokens -------------------------------------------------------------------------------------------------- */

static bool spread_input(distant *f, kmat *m) {
    if (!m->data || m->type == DT_XI8X3) return true;
    size_t size = dtype_size(m->type), row = (size_t)m->cols * size;
    uint8_t *to = sparse(f, (size_t)((m->rows - 1) * far_away) * size + row, size);
    for (int64_t i = 0; to && i < m->rows; i++)
        memcpy(to + (size_t)(i * far_away) * size, (const uint8_t *)m->data + (size_t)(i * m->stride) * size, row);
    m->data = to;
    m->stride = far_away;
    return to != NULL;
}

static uint8_t *output_row(const kmat *y, int64_t i) {
    return (uint8_t *)y->data + (size_t)(i * y->stride) * dtype_size(y->type);
}

/* Columns of the output in front of those of the case. */
static int64_t columns_before(const distant *f) {
    return f->call.op == KOP_MATMUL ? f->first : 0;
}

/* The output's rows with bands around them; in FAR_WEIGHT, of the last columns. */
static void poison_rows(const distant *f, const kmat *y) {
    size_t skip = (size_t)columns_before(f) * dtype_size(y->type), row = (size_t)y->cols * dtype_size(y->type);
    for (int64_t i = 0; i < y->rows; i++)
        memset(output_row(y, i) + skip - GUARD_BAND, POISON, row - skip + 2 * GUARD_BAND);
}

static bool bands_intact(const kmat *y) {
    size_t row = (size_t)y->cols * dtype_size(y->type);
    for (int64_t i = 0; i < y->rows; i++)
        for (size_t b = 0; b < GUARD_BAND; b++)
            if (output_row(y, i)[row + b] != POISON) return false;
    return true;
}

static bool make_output(distant *f) {
    kmat *y = &f->call.y;
    if (f->call.op == KOP_KV_STORE) return true;
    if (y->type == DT_XI8X3) {
        y->data = guard_output(&f->check->slots[SLOT_Y], kmat_bytes(y), POISON);
        return y->data != NULL;
    }
    y->cols += columns_before(f);
    y->stride = f->kind == FAR_TOKENS ? far_away : y->cols + GUARD_BAND; /* room for two bands */
    size_t size = dtype_size(y->type);
    y->data = sparse(f, (size_t)(y->rows * y->stride) * size, size);
    if (y->data) poison_rows(f, y);
    return y->data != NULL;
}

/* ---- Pages and states ---------------------------------------------------------------------------------------- */

static bool push_pages(distant *f, kpages *p, int64_t pages, bool output) {
    if (!p->page_size) return true;
    size_t size = dtype_size(p->type), bytes = kpages_bytes(p);
    size_t before = (size_t)(pages * p->n_heads * p->page_size * p->head_dim) * size;
    uint8_t *to = sparse(f, before + bytes, size);
    if (!to) return false;
    if (output)
        memset(to + before, POISON, bytes);
    else
        memcpy(to + before, p->data, bytes);
    p->data = to;
    p->n_pages += pages;
    return true;
}

/* Every table of the case is in one array. */
static bool make_pages(distant *f) {
    kpages *keys = &f->call.keys;
    bool stores = f->call.op == KOP_KV_STORE;
    if (!keys->page_size) return true;
    int64_t page = keys->n_heads * keys->page_size * keys->head_dim;
    int64_t pages = f->kind == FAR_PAGES ? div_up(far_away, page) : 0;
    guard *tables = &f->check->slots[SLOT_TABLES];
    int32_t *entries = (int32_t *)(void *)(uintptr_t)f->call.tables[0];
    int32_t *end = (int32_t *)(void *)(tables->base + tables->cap);
    for (int32_t *entry = entries; entry < end; entry++) *entry += (int32_t)pages;
    return push_pages(f, keys, pages, stores) && push_pages(f, &f->call.values, pages, false);
}

static bool make_states(distant *f) {
    kstates *s = &f->call.states;
    if (!s->data) return true;
    int64_t away = f->kind == FAR_STATES ? div_up(far_away, s->size) : 0;
    size_t size = (size_t)s->size * sizeof *s->data;
    const void *to = pushed_away(f, s->data, (size_t)s->n_slots * size, (size_t)away * size, sizeof *s->data);
    s->data = (float *)(uintptr_t)to;
    s->n_slots += away;
    for (int64_t t = 0; t < f->call.x.rows; t++) ((int32_t *)(uintptr_t)f->call.slots)[t] += (int32_t)away;
    return to != NULL;
}

/* ---- Weights ------------------------------------------------------------------------------------------------- */

static bool push_vector(distant *f, kvec *v) {
    size_t size = dtype_size(v->type);
    if (v->data) v->data = pushed_away(f, v->data, (size_t)(f->w.n - f->first) * size, (size_t)f->first * size, size);
    return true;
}

/* Packs the last rows only. */
static bool pack_last(distant *f, int64_t n) {
    const klayout *layout = f->row->layout;
    if (!layout) return true;
    uint8_t *to = sparse(f, layout->bytes(&f->w), 1);
    if (!to) return false;
    to += 64 - (uintptr_t)to % 64;
    int64_t tasks = layout->tasks(&f->w), some = div_up(n * tasks, f->w.n) + 1;
    layout->pack(&f->w, to, max_i64(0, tasks - some), tasks);
    f->w.packed = to;
    return true;
}

/* The case's weight becomes the last rows of a large one. */
static bool make_weight(distant *f) {
    if (f->kind != FAR_WEIGHT) return true;
    const kweight *old = f->call.w;
    int64_t n = old->n;
    f->w = *old;
    f->first = (int64_t)round_up((size_t)div_up(far_away, old->k), 64);
    f->w.n = f->first + n;
    kweight before = *old;
    before.n = f->first;
    size_t code = old->mode == W_PLAIN ? dtype_size(old->type) : 1, scale = kweight_scale_bytes(&before);
    f->w.codes = pushed_away(f, old->codes, kweight_code_bytes(old), kweight_code_bytes(&before), code);
    if (old->scales) f->w.scales = pushed_away(f, old->scales, kweight_scale_bytes(old), scale, 1);
    if (old->biases) f->w.biases = pushed_away(f, old->biases, kweight_scale_bytes(old), scale, 1);
    if (!f->w.codes || (old->scales && !f->w.scales) || (old->biases && !f->w.biases)) return false;
    f->call.w = &f->w;
    for (int64_t t = 0; f->call.tokens && t < f->call.y.rows; t++)
        ((int32_t *)(uintptr_t)f->call.tokens)[t] += (int32_t)f->first;
    f->call.residual = (kmat){0};
    return push_vector(f, &f->call.weight) && pack_last(f, n);
}

/* ---- Running ------------------------------------------------------------------------------------------------- */

static bool make_call(distant *f) {
    f->call = f->check->call;
    f->first = 0;
    if (!make_weight(f) || !make_output(f) || !make_pages(f) || !make_states(f)) return false;
    if (f->kind != FAR_TOKENS) return true;
    bool copies_rows = f->call.op == KOP_SELECT_ROWS; /* its x has seven rows: too far for some systems */
    return (copies_rows || spread_input(f, &f->call.x)) && spread_input(f, &f->call.z) &&
           spread_input(f, &f->call.residual);
}

/* All tasks; of a large weight the last ones, which a CPU's rows work in order of the outputs. A GPU has the time and
 * the memory for all of it. */
static nb_status run_far(distant *f, nb_error *err) {
    check *c = f->check;
    size_t size = f->row->scratch ? round_up(f->row->scratch(f->row, &f->call), 64) : 0;
    int64_t n = f->row->tasks(f->row, &f->call), begin = 0;
    double times = 1; /* what the reference does for the last outputs alone */
    if (f->kind == FAR_WEIGHT && f->call.op == KOP_MATMUL && !f->device->info.is_gpu)
        begin = max_i64(0, n - div_up(n * (f->w.n - f->first), f->w.n) - 1);
    else if (f->kind == FAR_WEIGHT && f->call.op == KOP_MATMUL)
        times = (double)f->w.n / (double)(f->w.n - f->first);
    if (f->device->memory) {
        c->mirror.device = f->device;
        nb_status status = mirror_put(&c->mirror, &f->call, size, err);
        if (status == NB_OK)
            status = check_run(c, f->device, f->row, &c->mirror.copy.call, begin, n, c->mirror.scratch, times, err);
        return status == NB_OK ? mirror_get(&c->mirror, err) : status;
    }
    void *scratch = size > 0 ? guard_input(&c->slots[SLOT_SCRATCH], size) : NULL;
    if (size > 0 && !scratch) return check_no_memory(err);
    if (scratch) memset(scratch, 0xff, size);
    return check_run(c, f->device, f->row, &f->call, begin, n, scratch, times, err);
}

static void compare_far(distant *f, finding *found, double *worst) {
    comparison cmp;
    kcall part = f->call;
    if (f->kind == FAR_WEIGHT && part.op == KOP_MATMUL) {
        part.y.cols -= columns_before(f);
        part.y.data = output_row(&part.y, 0) + (size_t)columns_before(f) * dtype_size(part.y.type);
        part.w = f->check->call.w;
    }
    comparison_begin(&cmp, f->row, &part);
    comparison_add(&cmp, &part, 0, f->check->ref, f->check->mag, f->rounding, POISON);
    if (cmp.worst > *worst) *worst = cmp.worst;
    comparison_end(&cmp, found);
    bool sparse_rows = part.op != KOP_KV_STORE && part.y.type != DT_XI8X3;
    if (found->kind == FOUND_NOTHING && sparse_rows && !bands_intact(&part.y))
        check_found(f->check, f->row, FOUND_WROTE_OUTSIDE, found, "wrote behind a row of its output");
}

static void describe(const distant *f, finding *found) {
    static const char *const what[FAR_KINDS] = {"rows 2^31 elements apart", "pages past 2^31 elements",
                                                "states past 2^31 elements", "a weight of more than 2^31 elements"};
    char spec[320];
    check_spec_text(&f->check->spec, spec, sizeof spec);
    found->level = VERIFY_KERNELS;
    snprintf(found->where, sizeof found->where, "%s: %s", what[f->kind], spec);
}

static bool fits(const distant *f) {
    kop op = f->row->op;
    switch (f->kind) {
    case FAR_TOKENS:
        return true;
    case FAR_PAGES:
        return op == KOP_KV_STORE || op == KOP_ATTENTION;
    case FAR_STATES:
        return op == KOP_CONV1D || op == KOP_DELTA;
    default:
        return op == KOP_EMBED || op == KOP_MATMUL;
    }
}

/* One kind on one case. */
static nb_status check_kind(distant *f, const check_spec *spec, finding *found, check_far_count *count, double *worst,
                            nb_error *err) {
    nb_error refused;
    nb_status status = check_load(f->check, spec, err);
    if (status != NB_OK || !check_takes(f->check, f->row)) return status;
    if (f->kind == FAR_WEIGHT && spec->act != ACT_NONE) return NB_OK; /* halves would no longer be pairs */
    if (f->kind == FAR_WEIGHT) f->check->call.residual = (kmat){0};   /* a large one: the output is far as well */
    status = check_reference(f->check, err);
    if (status == NB_OK) status = check_rounding(f->check, f->row, &f->rounding, err); /* while operands are near */
    if (status == NB_OK && f->kind != FAR_WEIGHT) status = check_pack(f->check, f->row, found, err);
    if (status != NB_OK || found->kind != FOUND_NOTHING) return status;
    bool too_far = f->device->memory && f->kind == FAR_TOKENS;
    bool made = !too_far && make_call(f);
    status = made ? run_far(f, &refused) : NB_ERR_NO_MEMORY;
    if (status == NB_OK) {
        count->n++;
        compare_far(f, found, worst);
        if (found->kind != FOUND_NOTHING) describe(f, found);
    } else if (status == NB_ERR_NO_MEMORY) {
        count->left_out++;
        status = NB_OK;
    } else if (err) {
        *err = refused;
    }
    unmap_all(f);
    return status;
}

/* Whether pages, states and rows of the weight are so large that the numbers of distant ones fit into 32 bits. */
static bool is_countable(const kcall *c) {
    enum { LEAST = 4 };
    const kpages *p = &c->keys;
    return (!p->page_size || p->n_heads * p->page_size * p->head_dim >= LEAST) &&
           (!c->states.data || c->states.size >= LEAST) && (!c->w || c->op == KOP_CONV1D || c->w->k >= LEAST);
}

typedef struct search {
    check *check;
    const krow *row;
    check_spec spec;
    nb_status status;
    nb_error *err;
    bool found;
} search;

/* Makes a case of few tokens of it; stops at the first that the row takes. */
static bool take_first(void *user, const check_spec *spec) {
    search *s = user;
    s->spec = *spec;
    s->spec.pattern = CHECK_NORMAL;
    s->spec.rows = FAR_ROWS;
    s->spec.n_seqs = min_i64(s->spec.n_seqs, FAR_ROWS);
    s->spec.in_place = s->spec.strided = s->spec.misaligned = false;
    s->status = check_load(s->check, &s->spec, s->err);
    s->found = s->status == NB_OK && is_countable(&s->check->call) && check_takes(s->check, s->row);
    return s->status == NB_OK && !s->found;
}

nb_status check_far(device *d, const krow *row, uint64_t seed, const check_clock *clock, finding *found,
                    check_far_count *count, double *worst, nb_error *err) {
    distant f = {.device = d, .row = row};
    *found = (finding){.kind = FOUND_NOTHING, .layer = -1};
    nb_status status = check_new(&f.check, err);
    if (status != NB_OK) return status;
    if (clock) check_set_clock(f.check, clock);
    search s = {.check = f.check, .row = row, .err = err};
    check_specs(row->op, CHECK_LEAN, seed, take_first, &s);
    status = s.status;
    for (f.kind = 0; status == NB_OK && s.found && found->kind == FOUND_NOTHING && f.kind < FAR_KINDS; f.kind++)
        if (fits(&f)) status = check_kind(&f, &s.spec, found, count, worst, err);
    check_free(f.check);
    return status;
}
