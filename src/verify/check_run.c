/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a row on a loaded case, several ways, and compares what it wrote with the reference and with itself. */
#include "verify/check_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/num.h"
#include "quant/xform.h"
#include "ref/ref.h"

/* One run: the call with its output in place, and what the output was filled with before. */
typedef struct trial {
    const krow *row;
    kcall call;
    void *out;
    size_t out_bytes;
    float *states;  /* in call.states, after the run the new ones; NULL before the first run: to be made */
    uint8_t poison; /* 0xff: NaN in every type; 0x7f: a number that no right result comes near */
} trial;

static bool is_form(const kmat *m) {
    return m->type == DT_XI8X3;
}

static nb_status fail(const check *c, const krow *row, nb_error *err, const char *format, ...) NB_PRINTF(4, 5);
static nb_status fail(const check *c, const krow *row, nb_error *err, const char *format, ...) {
    char what[200], spec[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    check_spec_text(&c->spec, spec, sizeof spec);
    return err_set(err, NB_ERR_INTERNAL, "kernel %s: %s (%s)", row->name, what, spec);
}

/* ---- Preparing ----------------------------------------------------------------------------------------------- */

/* Rows [from, from + n) of x in a form, which are a matrix of their own. */
static bool slice_form(check *c, kmat *x, int64_t from, int64_t n) {
    kmat whole = *x;
    int64_t n_groups = x->cols / x->group;
    size_t bytes = xform_bytes(n, x->cols, x->group);
    x->rows = n;
    x->data = guard_input(&c->slots[SLOT_X_SLICE], bytes);
    if (!x->data) return false;
    memset(x->data, 0xff, bytes);
    memcpy(xform_scales(x), xform_scales(&whole) + from * n_groups, (size_t)(n * n_groups) * sizeof(float));
    memcpy(xform_sums(x), xform_sums(&whole) + from * n_groups, (size_t)(n * n_groups) * sizeof(float));
    memcpy(xform_codes(x, 0), xform_codes(&whole, from), (size_t)(n * x->cols) * XFORM_PLANES);
    return true;
}

static void slice_mat(kmat *m, int64_t from, int64_t n) {
    if (!m->data) return;
    m->data = (float *)m->data + from * m->stride;
    m->rows = n;
}

/* The call for tokens [from, from + n) only. */
static bool slice(check *c, kcall *call, int64_t from, int64_t n) {
    if (call->op != KOP_SELECT_ROWS) {
        if (is_form(&call->x) && call->x.data && !slice_form(c, &call->x, from, n)) return false;
        if (!is_form(&call->x)) slice_mat(&call->x, from, n);
    }
    slice_mat(&call->z, from, n);
    slice_mat(&call->residual, from, n);
    call->y.rows = n;
    if (call->tokens) call->tokens += from;
    if (call->positions) call->positions += from;
    if (call->rows) call->rows += from;
    if (call->slots) call->slots += from;
    if (call->tables) call->tables += from;
    return true;
}

/* The operand that y replaces is copied into y first. */
static void put_in_place(kmat *operand, const kmat *y) {
    for (int64_t t = 0; t < y->rows; t++)
        memcpy((float *)y->data + t * y->stride, (const float *)operand->data + t * operand->stride,
               (size_t)y->cols * sizeof(float));
    *operand = *y;
}

/* The states of the call's sequences as they are before it; those of others hold poison. */
static bool prepare_states(check *c, trial *t, int slot) {
    const kstates *before = &c->call.states;
    size_t size = (size_t)before->size * sizeof(float);
    t->states = guard_output(&c->slots[slot == SLOT_Y ? SLOT_STATES_Y : SLOT_STATES_OTHER],
                             (size_t)before->n_slots * size, t->poison);
    for (int64_t i = 0; t->states && i < c->spec.rows; i++) {
        int64_t at = c->call.slots[i] * before->size;
        memcpy(t->states + at, before->data + at, size);
    }
    return t->states != NULL;
}

static bool prepare(check *c, trial *t, int64_t from, int64_t n, int slot) {
    t->call = c->call;
    if (t->call.states.data && !t->states && !prepare_states(c, t, slot)) return false;
    t->call.states.data = t->states;
    if (n < c->spec.rows && !slice(c, &t->call, from, n)) return false;
    kmat *y = &t->call.y;
    if (t->call.op == KOP_KV_STORE)
        t->out_bytes = check_pages_bytes(&t->call.keys);
    else if (is_form(y))
        t->out_bytes = xform_bytes(y->rows, y->cols, y->group);
    else
        t->out_bytes = (size_t)(y->rows * y->stride) * sizeof(float);
    t->out = guard_output(&c->slots[slot], t->out_bytes, t->poison);
    if (!t->out) return false;
    if (t->call.op == KOP_KV_STORE)
        t->call.keys.data = t->out;
    else
        y->data = t->out;
    if (c->spec.in_place) put_in_place(t->call.op == KOP_MATMUL ? &t->call.residual : &t->call.x, y);
    return true;
}

/* ---- Running ------------------------------------------------------------------------------------------------- */

/* Tasks [begin, end) with scratch that holds NaN and ends where memory ends. */
static bool run_tasks(check *c, const trial *t, int64_t begin, int64_t end) {
    size_t size = t->row->scratch ? round_up(t->row->scratch(t->row, &t->call), 64) : 0;
    void *scratch = NULL;
    if (size > 0) {
        scratch = guard_input(&c->slots[SLOT_SCRATCH], size);
        if (!scratch) return false;
        memset(scratch, 0xff, size);
    }
    t->row->run(t->row, &t->call, begin, end, scratch);
    return true;
}

/* In up to 12 pieces, in random order. */
static bool run_pieces(check *c, const trial *t, int64_t n_tasks) {
    enum { MOST = 12 };
    int64_t cuts[MOST + 1], order[MOST];
    int64_t n = 1 + check_below(c, min_i64(MOST, n_tasks));
    for (int64_t i = 0; i <= n; i++) cuts[i] = i == 0 ? 0 : i == n ? n_tasks : check_below(c, n_tasks + 1);
    for (int64_t i = 1; i < n; i++)
        for (int64_t j = i; j > 1 && cuts[j] < cuts[j - 1]; j--) {
            int64_t swap = cuts[j];
            cuts[j] = cuts[j - 1];
            cuts[j - 1] = swap;
        }
    for (int64_t i = 0; i < n; i++) {
        int64_t j = check_below(c, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (int64_t i = 0; i < n; i++)
        if (cuts[order[i]] < cuts[order[i] + 1] && !run_tasks(c, t, cuts[order[i]], cuts[order[i] + 1])) return false;
    return true;
}

static bool gaps_intact(const trial *t) {
    const kmat *y = &t->call.y;
    if (t->call.op == KOP_KV_STORE || is_form(y)) return true;
    for (int64_t i = 0; i < y->rows; i++) {
        const uint8_t *row = (const uint8_t *)y->data + i * y->stride * 4;
        for (int64_t b = y->cols * 4; b < y->stride * 4; b++)
            if (row[b] != t->poison) return false;
    }
    return true;
}

/* Nothing around the states was written, nor the states of sequences that are not in the call. */
static bool states_intact(const check *c, const trial *t) {
    const kstates *s = &c->call.states;
    if (!guard_intact(t->states, (size_t)(s->n_slots * s->size) * sizeof(float), t->poison)) return false;
    for (int64_t slot = 0; slot < s->n_slots; slot++) {
        bool used = false;
        for (int64_t i = 0; i < c->spec.rows; i++) used |= c->call.slots[i] == slot;
        const uint8_t *bytes = (const uint8_t *)(t->states + slot * s->size);
        for (int64_t b = 0; !used && b < s->size * 4; b++)
            if (bytes[b] != t->poison) return false;
    }
    return true;
}

static nb_status run_trial(check *c, trial *t, int64_t from, int64_t n, int slot, bool pieces, nb_error *err) {
    if (!prepare(c, t, from, n, slot)) return check_no_memory(err);
    int64_t n_tasks = t->row->tasks(t->row, &t->call);
    if (n_tasks < 1) return fail(c, t->row, err, "%" PRId64 " tasks", n_tasks);
    bool ran = pieces ? run_pieces(c, t, n_tasks) : run_tasks(c, t, 0, n_tasks);
    if (!ran) return check_no_memory(err);
    if (!guard_intact(t->out, t->out_bytes, t->poison)) return fail(c, t->row, err, "wrote outside of its output");
    if (!gaps_intact(t)) return fail(c, t->row, err, "wrote between the rows of its output");
    if (t->states && !states_intact(c, t)) return fail(c, t->row, err, "wrote outside of its sequences' states");
    return NB_OK;
}

/* ---- Comparing ----------------------------------------------------------------------------------------------- */

/* Pages: the reference's numbers at the tokens' places, untouched elsewhere, bit for bit. */
static nb_status compare_pages(check *c, const trial *t, nb_error *err) {
    const kpages *p = &t->call.keys;
    uint8_t *expected = malloc(t->out_bytes);
    if (!expected) return check_no_memory(err);
    memset(expected, t->poison, t->out_bytes);
    size_t size = dtype_size(p->type);
    for (int64_t i = 0; i < c->spec.rows; i++) {
        int64_t page = t->call.tables[i][t->call.positions[i] / p->page_size];
        int64_t slot = t->call.positions[i] % p->page_size;
        for (int64_t j = 0; j < c->spec.cols; j++) {
            int64_t at = ((page * p->n_heads + j / p->head_dim) * p->page_size + slot) * p->head_dim + j % p->head_dim;
            float value = (float)c->ref[i * c->spec.cols + j];
            uint16_t half = p->type == DT_F16 ? f32_to_f16(value) : f32_to_bf16(value);
            memcpy(expected + (size_t)at * size, p->type == DT_F32 ? (void *)&value : (void *)&half, size);
        }
    }
    size_t at = 0;
    const uint8_t *got = t->out;
    while (at < t->out_bytes && got[at] == expected[at]) at++;
    nb_status status = NB_OK;
    if (at < t->out_bytes)
        status = fail(c, t->row, err, "element %zu of the pages is %.9g, expected %.9g", at / size,
                      float_at(got, p->type, (int64_t)(at / size)), float_at(expected, p->type, (int64_t)(at / size)));
    free(expected);
    return status;
}

/* The sums of a form must be those of its codes. */
static nb_status compare_sums(check *c, const trial *t, nb_error *err) {
    const kmat *y = &t->call.y;
    int64_t n_groups = y->cols / y->group;
    for (int64_t i = 0; i < y->rows * n_groups; i++) {
        double sum = 0, got = (double)xform_sums(y)[i];
        for (int64_t j = 0; j < y->group; j++) sum += xform_get(y, i / n_groups, i % n_groups * y->group + j);
        if (!(fabs(got - sum) <= 0x1p-23 * fabs(sum) + 0x1p-126))
            return fail(c, t->row, err, "the sum of group %" PRId64 " of token %" PRId64 " is %.9g, expected %.9g",
                        i % n_groups, i / n_groups, got, sum);
    }
    return NB_OK;
}

static double largest_of_group(const check *c, const kmat *y, int64_t i, int64_t j) {
    double largest = 0;
    int64_t start = j / y->group * y->group;
    for (int64_t k = start; k < start + y->group; k++) largest = fmax(largest, fabs(c->ref[i * y->cols + k]));
    return largest;
}

/* Values beyond fp32's range say nothing. */
static const double too_large = 1e37;

/* The numbers of experts have one right value. */
static bool is_exact(const kcall *c, int64_t j) {
    return c->op == KOP_ROUTE && j < c->n_chosen;
}

static nb_status compare_matrix(check *c, const trial *t, nb_error *err) {
    const kmat *y = &t->call.y;
    double half_step = 0;
    for (int64_t i = 0; i < y->rows; i++) {
        for (int64_t j = 0; j < y->cols; j++) {
            double ref = c->ref[i * y->cols + j], mag = c->mag[i * y->cols + j], got = ref_at(y, i, j);
            if (is_form(y) && j % y->group == 0) half_step = check_half_step(largest_of_group(c, y, i, j));
            double bound = is_exact(&t->call, j) ? 0 : check_bound(&t->call, ref, mag) + half_step;
            if (fabs(ref) > too_large || mag > too_large || fabs(got - ref) <= bound) continue;
            return fail(c, t->row, err,
                        "element [%" PRId64 ", %" PRId64 "] is %.9g, expected %.9g: off by %.3g, at most %.3g is right",
                        i, j, got, ref, fabs(got - ref), bound);
        }
    }
    return is_form(y) ? compare_sums(c, t, err) : NB_OK;
}

/* The new state of each sequence against the reference's, which follow its y. A convolution's are copies. */
static nb_status compare_states(check *c, const trial *t, nb_error *err) {
    const kstates *s = &t->call.states;
    int64_t at = c->spec.rows * c->spec.cols;
    for (int64_t first = 0; first < c->spec.rows; first = kcall_sequence_end(&t->call, first)) {
        for (int64_t i = 0; i < s->size; i++, at++) {
            double ref = c->ref[at], mag = c->mag[at], got = (double)s->data[t->call.slots[first] * s->size + i];
            double bound = c->spec.op == KOP_CONV1D ? 0 : check_bound(&t->call, ref, mag);
            if (fabs(ref) > too_large || mag > too_large || fabs(got - ref) <= bound) continue;
            return fail(c, t->row, err,
                        "element %" PRId64 " of the state left by the sequence of token %" PRId64
                        " is %.9g, expected %.9g: off by %.3g, at most %.3g is right",
                        i, first, got, ref, fabs(got - ref), bound);
        }
    }
    return NB_OK;
}

/* Whether the sequence of token i has left the same bits in both. */
static bool same_state(const check *c, const trial *a, const trial *b, int64_t i) {
    int64_t size = c->call.states.size, at = c->call.slots[i] * size;
    return memcmp(a->states + at, b->states + at, (size_t)size * sizeof(float)) == 0;
}

/* Whether row a of one output has the bits of row b of another. */
static bool same_row(const kmat *m, int64_t a, const kmat *o, int64_t b) {
    if (!is_form(m))
        return memcmp((const float *)m->data + a * m->stride, (const float *)o->data + b * o->stride,
                      (size_t)m->cols * sizeof(float)) == 0;
    int64_t n_groups = m->cols / m->group;
    size_t bytes = (size_t)n_groups * sizeof(float);
    return memcmp(xform_codes(m, a), xform_codes(o, b), (size_t)m->cols * XFORM_PLANES) == 0 &&
           memcmp(xform_scales(m) + a * n_groups, xform_scales(o) + b * n_groups, bytes) == 0 &&
           memcmp(xform_sums(m) + a * n_groups, xform_sums(o) + b * n_groups, bytes) == 0;
}

/* ---- Packing ------------------------------------------------------------------------------------------------- */

/* One matrix packed, in two runs of tasks, the later ones first. */
static nb_status pack(check *c, const krow *row, const kweight *w, uint8_t poison, int slot, uint8_t **out,
                      nb_error *err) {
    const klayout *layout = row->layout;
    size_t bytes = layout->bytes(w);
    *out = guard_output(&c->slots[slot], bytes, poison);
    if (!*out) return check_no_memory(err);
    int64_t n = layout->tasks(w), middle = check_below(c, n + 1);
    if (middle < n) layout->pack(w, *out, middle, n);
    if (middle > 0) layout->pack(w, *out, 0, middle);
    if (!guard_intact(*out, bytes, poison)) return fail(c, row, err, "packing wrote outside of its output");
    return NB_OK;
}

/* Bytes of one row of a weight as it is stored. */
static size_t stored_row(const kweight *w) {
    size_t element = dtype_size(w->type);
    if (w->mode == W_PLAIN) return (size_t)w->k * element;
    return (size_t)(w->k * w->bits / 8) + (size_t)((w->biases ? 2 : 1) * w->k / w->group_size) * element;
}

/* A packed weight may be as large as the stored one with 64 more outputs, and every byte of it must be written. */
static nb_status pack_one(check *c, const krow *row, const kweight *w, uint8_t *to, nb_error *err) {
    size_t bytes = row->layout->bytes(w);
    if (bytes > stored_row(w) * ((size_t)w->n + 64)) return fail(c, row, err, "the packed weight is %zu bytes", bytes);
    uint8_t *one, *two;
    nb_status status = pack(c, row, w, 0xff, SLOT_PACKED_ONE, &one, err);
    if (status == NB_OK) status = pack(c, row, w, 0x7f, SLOT_PACKED_TWO, &two, err);
    if (status != NB_OK) return status;
    if (memcmp(one, two, bytes) != 0) return fail(c, row, err, "packing leaves bytes unwritten");
    memcpy(to, two, bytes);
    return NB_OK;
}

/* All matrices of the weight, each 64-byte aligned, the last one at the end of memory. */
static nb_status pack_weight(check *c, const krow *row, nb_error *err) {
    int64_t n;
    kweight *matrices = check_matrices(c, &n);
    size_t stride = round_up(row->layout->bytes(matrices), 64);
    uint8_t *packed = guard_input(&c->slots[SLOT_PACKED], (size_t)n * stride);
    if (!packed) return check_no_memory(err);
    nb_status status = NB_OK;
    for (int64_t i = 0; status == NB_OK && i < n; i++) {
        status = pack_one(c, row, &matrices[i], packed + (size_t)i * stride, err);
        matrices[i].packed = packed + (size_t)i * stride;
    }
    return status;
}

/* Only whether there are data is looked at here, not what they are. */
bool check_takes(check *c, const krow *row) {
    static uint8_t somewhere[64];
    if (row->op != c->spec.op) return false;
    int64_t n;
    kweight *matrices = check_matrices(c, &n);
    if (row->layout && !row->layout->takes(matrices)) return false;
    c->w.layout = row->layout;
    for (int64_t i = 0; i < n; i++) {
        matrices[i].layout = row->layout;
        matrices[i].packed = row->layout ? somewhere : NULL;
    }
    kcall call = c->call;
    call.y.data = somewhere;
    if (call.op == KOP_KV_STORE) call.keys.data = somewhere;
    return kreg_takes(row, &call);
}

/* ---- The check of a row -------------------------------------------------------------------------------------- */

/* Tokens [from, from + n) alone must give the bits that they have in the whole call. */
static nb_status check_some_tokens(check *c, const trial *whole, trial *some, int64_t from, int64_t n, nb_error *err) {
    nb_status status = run_trial(c, some, from, n, SLOT_Y_OTHER, false, err);
    for (int64_t i = 0; status == NB_OK && i < n; i++)
        if (!same_row(&some->call.y, i, &whole->call.y, from + i))
            status = fail(c, whole->row, err, "token %" PRId64 " has other bits in a call of %" PRId64 " tokens",
                          from + i, n);
    return status;
}

/* Without states: one token, and a random run of tokens. */
static nb_status check_fewer(check *c, const trial *whole, nb_error *err) {
    int64_t rows = c->spec.rows, one = check_below(c, rows);
    nb_status status = NB_OK;
    trial some = {.row = whole->row, .poison = 0x7f};
    if (rows > 1) status = check_some_tokens(c, whole, &some, one, 1, err);
    if (status == NB_OK && rows > 3) {
        int64_t from = check_below(c, rows - 1), n = 1 + check_below(c, rows - from);
        status = check_some_tokens(c, whole, &some, from, n, err);
    }
    return status;
}

/* With states: the tokens in calls one after the other, of which each goes on where the last one stopped; and one
 * sequence alone. */
static nb_status check_in_turn(check *c, const trial *whole, nb_error *err) {
    int64_t rows = c->spec.rows;
    nb_status status = NB_OK;
    trial turns = {.row = whole->row, .poison = 0x7f}, alone = turns;
    for (int64_t from = 0, n; status == NB_OK && from < rows; from += n) {
        n = 1 + check_below(c, min_i64(rows - from, 1 + check_below(c, rows)));
        status = check_some_tokens(c, whole, &turns, from, n, err);
    }
    for (int64_t i = 0; status == NB_OK && i < rows; i++)
        if (!same_state(c, whole, &turns, i))
            status =
                fail(c, whole->row, err, "token %" PRId64 "'s sequence leaves other bits when it comes in pieces", i);
    int64_t first = 0, which = check_below(c, rows);
    while (kcall_sequence_end(&c->call, first) <= which) first = kcall_sequence_end(&c->call, first);
    int64_t n = kcall_sequence_end(&c->call, first) - first;
    if (status == NB_OK && n < rows) status = check_some_tokens(c, whole, &alone, first, n, err);
    if (status == NB_OK && n < rows && !same_state(c, whole, &alone, first))
        status = fail(c, whole->row, err, "token %" PRId64 "'s sequence leaves other bits when it is alone", first);
    return status;
}

/* ---- Logits that are no numbers ------------------------------------------------------------------------------ */

/* The experts of every token are in range and differ from one another. */
static nb_status check_numbers(check *c, const trial *t, nb_error *err) {
    int64_t n = c->spec.n_chosen;
    for (int64_t i = 0; i < c->spec.rows; i++) {
        const float *chosen = (const float *)t->call.y.data + i * t->call.y.stride;
        for (int64_t s = 0; s < n; s++) {
            bool right = chosen[s] >= 0 && chosen[s] < (float)c->spec.n_experts && chosen[s] == floorf(chosen[s]);
            for (int64_t other = 0; other < s; other++) right &= chosen[other] != chosen[s];
            if (!right)
                return fail(c, t->row, err, "with NaN among its logits token %" PRId64 " has expert %g", i,
                            (double)chosen[s]);
        }
    }
    return NB_OK;
}

/* Expert numbers are followed, so they must be right whatever a broken model makes of the logits: here some of them, or
 * all of a token's, are NaN or infinite. */
static nb_status check_route_not_finite(check *c, const krow *row, nb_error *err) {
    static const float wrong[] = {NAN, -NAN, INFINITY, -INFINITY};
    const kmat *x = &c->call.x;
    size_t bytes = (size_t)((x->rows - 1) * x->stride + x->cols) * sizeof(float);
    float *kept = malloc(bytes), *logits = x->data;
    if (!kept) return check_no_memory(err);
    memcpy(kept, logits, bytes);
    for (int64_t t = 0; t < x->rows; t++) {
        int64_t one_in = 1 + check_below(c, 4);
        for (int64_t e = 0; e < x->cols; e++)
            if (check_below(c, one_in) == 0) logits[t * x->stride + e] = wrong[check_below(c, one_in == 1 ? 2 : 4)];
    }
    trial t = {.row = row, .poison = 0x7f};
    nb_status status = run_trial(c, &t, 0, c->spec.rows, SLOT_Y_OTHER, false, err);
    if (status == NB_OK) status = check_numbers(c, &t, err);
    memcpy(logits, kept, bytes);
    free(kept);
    return status;
}

/* ---- All together ---------------------------------------------------------------------------------------------- */

nb_status check_row(check *c, const krow *row, nb_error *err) {
    bool pages = c->spec.op == KOP_KV_STORE;
    trial whole = {.row = row, .poison = 0xff}, pieces = {.row = row, .poison = 0x7f};
    nb_status status = row->layout ? pack_weight(c, row, err) : NB_OK;
    if (status == NB_OK) status = run_trial(c, &whole, 0, c->spec.rows, SLOT_Y, false, err);
    if (status == NB_OK) status = pages ? compare_pages(c, &whole, err) : compare_matrix(c, &whole, err);
    if (status == NB_OK && whole.states) status = compare_states(c, &whole, err);
    if (status != NB_OK) return status;

    status = run_trial(c, &pieces, 0, c->spec.rows, SLOT_Y_OTHER, true, err);
    if (status == NB_OK && pages) return compare_pages(c, &pieces, err);
    for (int64_t i = 0; status == NB_OK && i < c->spec.rows; i++)
        if (!same_row(&whole.call.y, i, &pieces.call.y, i) || (whole.states && !same_state(c, &whole, &pieces, i)))
            status = fail(c, row, err, "token %" PRId64 " has other bits when the tasks run in pieces", i);
    if (status != NB_OK) return status;
    status = whole.states ? check_in_turn(c, &whole, err) : check_fewer(c, &whole, err);
    return status == NB_OK && c->spec.op == KOP_ROUTE ? check_route_not_finite(c, row, err) : status;
}
