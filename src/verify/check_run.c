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

#include "base/clock.h"
#include "base/num.h"
#include "quant/xform.h"
#include "verify/compare.h"

/* One run: the call with its output in place, and what the output was filled with before. */
typedef struct trial {
    const krow *row;
    kcall call;
    void *out;
    size_t out_bytes;
    int64_t from;   /* the first token */
    float *states;  /* in call.states, after the run the new ones; NULL before the first run: to be made */
    uint8_t poison; /* 0xff: NaN in every type; 0x7f: a number that no right result comes near */
} trial;

static bool is_form(const kmat *m) {
    return m->type == DT_XI8X3;
}

void check_found(const check *c, const krow *row, finding_kind kind, finding *found, const char *format, ...) {
    const kmat *out = c->spec.op == KOP_KV_STORE ? &c->call.x : &c->call.y;
    *found = (finding){.kind = kind, .op = row->op, .layer = -1, .rows = out->rows, .cols = out->cols};
    snprintf(found->kernel, sizeof found->kernel, "%s", row->name);
    va_list args;
    va_start(args, format);
    vsnprintf(found->what, sizeof found->what, format, args);
    va_end(args);
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
    m->data = (uint8_t *)m->data + (size_t)(from * m->stride) * dtype_size(m->type);
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
static void put_in_place(kmat *replaced, const kmat *y) {
    size_t size = dtype_size(y->type);
    for (int64_t t = 0; t < y->rows; t++)
        memcpy((uint8_t *)y->data + (size_t)(t * y->stride) * size,
               (const uint8_t *)replaced->data + (size_t)(t * replaced->stride) * size, (size_t)y->cols * size);
    *replaced = *y;
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

/* Which operand y takes the place of. */
static kmat *replaced_by_y(const check *c, kcall *call) {
    bool residual = call->op == KOP_MATMUL || call->op == KOP_SUM_EXPERTS ||
                    (call->op == KOP_RMSNORM && call->residual.data && c->spec.seed % 2);
    return residual ? &call->residual : &call->x;
}

static bool prepare(check *c, trial *t, int64_t from, int64_t n, int slot) {
    t->call = c->call;
    if (t->call.states.data && !t->states && !prepare_states(c, t, slot)) return false;
    t->call.states.data = t->states;
    if (n < c->spec.rows && !slice(c, &t->call, from, n)) return false;
    kmat *y = &t->call.y;
    if (t->call.op == KOP_KV_STORE)
        t->out_bytes = kpages_bytes(&t->call.keys);
    else if (is_form(y))
        t->out_bytes = xform_bytes(y->rows, y->cols, y->group);
    else
        t->out_bytes = (size_t)(y->rows * y->stride) * dtype_size(y->type);
    t->out = guard_output(&c->slots[slot], t->out_bytes, t->poison);
    if (!t->out) return false;
    if (t->call.op == KOP_KV_STORE)
        t->call.keys.data = t->out;
    else
        y->data = t->out;
    if (c->spec.in_place) put_in_place(replaced_by_y(c, &t->call), y);
    return true;
}

/* ---- Running ------------------------------------------------------------------------------------------------- */

/* One piece after the other. Without memory of its own the device gets the operands as they are, with scratch that
 * holds NaN and ends where memory ends. */
typedef struct runner {
    check *check;
    device *device;
    const trial *trial;
    const kcall *call; /* on the device */
    size_t scratch_bytes;
    nb_error *err;
} runner;

static nb_status run_tasks(const runner *r, int64_t begin, int64_t end) {
    void *scratch = NULL;
    if (r->device->memory) {
        nb_status status = mirror_clear_scratch(&r->check->mirror, r->scratch_bytes, r->err);
        if (status != NB_OK) return status;
        scratch = r->check->mirror.scratch;
    } else if (r->scratch_bytes > 0) {
        scratch = guard_input(&r->check->slots[SLOT_SCRATCH], r->scratch_bytes);
        if (!scratch) return check_no_memory(r->err);
        memset(scratch, 0xff, r->scratch_bytes);
    }
    return check_run(r->check, r->device, r->trial->row, r->call, begin, end, scratch, 1, r->err);
}

/* In up to 12 pieces, in random order. */
static nb_status run_pieces(const runner *r, int64_t n_tasks) {
    enum { MOST = 12 };
    check *c = r->check;
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
    nb_status status = NB_OK;
    for (int64_t i = 0; i < n && status == NB_OK; i++)
        if (cuts[order[i]] < cuts[order[i] + 1]) status = run_tasks(r, cuts[order[i]], cuts[order[i] + 1]);
    return status;
}

/* On a device with memory of its own: operands go there. How much scratch the tasks need is asked where the operands
 * can be read. */
static nb_status make_runner(check *c, device *d, const trial *t, runner *r, nb_error *err) {
    size_t size = t->row->scratch ? round_up(t->row->scratch(t->row, &t->call), 64) : 0;
    *r = (runner){.check = c, .device = d, .trial = t, .call = &t->call, .scratch_bytes = size, .err = err};
    if (!d->memory) return NB_OK;
    if (c->mirror.device != d) mirror_free(&c->mirror);
    c->mirror.device = d;
    r->call = &c->mirror.copy.call;
    return mirror_put(&c->mirror, &t->call, size, err);
}

/* And what was written comes back. */
static nb_status run_all(check *c, device *d, const trial *t, int64_t n_tasks, bool pieces, nb_error *err) {
    runner r;
    nb_status status = make_runner(c, d, t, &r, err);
    if (status != NB_OK) return status;
    status = pieces ? run_pieces(&r, n_tasks) : run_tasks(&r, 0, n_tasks);
    if (d->memory && status == NB_OK) status = mirror_get(&c->mirror, err);
    return status;
}

static bool gaps_intact(const trial *t) {
    const kmat *y = &t->call.y;
    if (t->call.op == KOP_KV_STORE || is_form(y)) return true;
    size_t size = dtype_size(y->type);
    for (int64_t i = 0; i < y->rows; i++) {
        const uint8_t *row = (const uint8_t *)y->data + (size_t)(i * y->stride) * size;
        for (size_t b = (size_t)y->cols * size; b < (size_t)y->stride * size; b++)
            if (row[b] != t->poison) return false;
    }
    return true;
}

/* Pages hold poison but for the tokens' places. */
static nb_status pages_intact(const trial *t, bool *intact, nb_error *err) {
    const kpages *p = &t->call.keys;
    size_t row_bytes = (size_t)p->head_dim * dtype_size(p->type), n_rows = t->out_bytes / row_bytes;
    bool *written = calloc(n_rows, sizeof *written);
    if (!written) return check_no_memory(err);
    for (int64_t i = 0; i < t->call.x.rows; i++) {
        int64_t page = t->call.tables[i][t->call.positions[i] / p->page_size];
        int64_t slot = t->call.positions[i] % p->page_size;
        for (int64_t head = 0; head < p->n_heads; head++)
            written[(page * p->n_heads + head) * p->page_size + slot] = true;
    }
    *intact = true;
    for (size_t i = 0; i < n_rows; i++)
        for (size_t b = 0; b < row_bytes && !written[i]; b++)
            *intact &= ((const uint8_t *)t->out)[i * row_bytes + b] == t->poison;
    free(written);
    return NB_OK;
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

/* Tokens [from, from + n); a finding when the row wrote what is not its output. */
static nb_status run_trial(check *c, device *d, trial *t, int64_t from, int64_t n, int slot, bool pieces,
                           finding *found, nb_error *err) {
    if (!prepare(c, t, from, n, slot)) return check_no_memory(err);
    t->from = from;
    int64_t n_tasks = t->row->tasks(t->row, &t->call);
    if (n_tasks < 1) {
        check_found(c, t->row, FOUND_WRONG_VALUE, found, "%" PRId64 " tasks", n_tasks);
        return NB_OK;
    }
    nb_status status = run_all(c, d, t, n_tasks, pieces, err);
    bool pages = true;
    if (status == NB_OK && t->call.op == KOP_KV_STORE) status = pages_intact(t, &pages, err);
    if (status != NB_OK) return status;
    if (!guard_intact(t->out, t->out_bytes, t->poison))
        check_found(c, t->row, FOUND_WROTE_OUTSIDE, found, "wrote in front of its output, or behind it");
    else if (!gaps_intact(t))
        check_found(c, t->row, FOUND_WROTE_OUTSIDE, found, "wrote between the rows of its output");
    else if (!pages)
        check_found(c, t->row, FOUND_WROTE_OUTSIDE, found, "wrote outside of its tokens' places in the pages");
    else if (t->states && !states_intact(c, t))
        check_found(c, t->row, FOUND_WROTE_OUTSIDE, found, "wrote outside of its sequences' states");
    return NB_OK;
}

/* ---- Comparing ----------------------------------------------------------------------------------------------- */

/* With the reference; as a whole too if the trial is the whole call. */
static nb_status compare(check *c, const trial *t, finding *found, double *worst, nb_error *err) {
    comparison cmp;
    bool whole = t->call.y.rows == c->call.y.rows;
    int64_t at = t->from * c->call.y.cols;
    const double *rounding;
    nb_status status = check_rounding(c, t->row, &rounding, err);
    if (status != NB_OK) return status;
    comparison_begin(&cmp, t->row, &t->call);
    comparison_add(&cmp, &t->call, 0, c->ref + at, c->mag + at, rounding ? rounding + at : NULL,
                   c->spec.in_place ? 0 : t->poison);
    const double *variance = whole ? check_variance(c, t->row) : NULL;
    if (variance) comparison_add_variance(&cmp, &t->call, c->ref, variance);
    if (cmp.worst > *worst) *worst = cmp.worst;
    bool no_memory = cmp.no_memory;
    comparison_end(&cmp, found);
    return no_memory ? check_no_memory(err) : NB_OK;
}

/* Whether the sequence of token i has left the same bits in both. */
static bool same_state(const check *c, const trial *a, const trial *b, int64_t i) {
    int64_t size = c->call.states.size, at = c->call.slots[i] * size;
    return memcmp(a->states + at, b->states + at, (size_t)size * sizeof(float)) == 0;
}

/* Whether row a of one output has the bits of row b of another. */
static bool same_row(const kmat *m, int64_t a, const kmat *o, int64_t b) {
    if (!is_form(m)) {
        size_t size = dtype_size(m->type);
        return memcmp((const uint8_t *)m->data + (size_t)(a * m->stride) * size,
                      (const uint8_t *)o->data + (size_t)(b * o->stride) * size, (size_t)m->cols * size) == 0;
    }
    int64_t n_groups = m->cols / m->group;
    size_t bytes = (size_t)n_groups * sizeof(float);
    return memcmp(xform_codes(m, a), xform_codes(o, b), (size_t)m->cols * XFORM_PLANES) == 0 &&
           memcmp(xform_scales(m) + a * n_groups, xform_scales(o) + b * n_groups, bytes) == 0 &&
           memcmp(xform_sums(m) + a * n_groups, xform_sums(o) + b * n_groups, bytes) == 0;
}

/* The first of n tokens whose bits differ, from token `from` of the whole call on; n: none. */
static int64_t first_difference(const check *c, const trial *whole, const trial *some, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!same_row(&some->call.y, i, &whole->call.y, some->from + i)) return i;
        if (n == c->spec.rows && whole->states && !same_state(c, whole, some, i)) return i;
    }
    return n;
}

/* ---- The check of a row -------------------------------------------------------------------------------------- */

/* The whole call once more, in the same way or in pieces: with the same bits, or right as well if the row's order is
 * free. */
static nb_status check_again(check *c, device *d, const trial *whole, bool pieces, finding *found, double *worst,
                             nb_error *err) {
    trial again = {.row = whole->row, .poison = 0x7f};
    bool pages = c->spec.op == KOP_KV_STORE;
    nb_status status = run_trial(c, d, &again, 0, c->spec.rows, SLOT_Y_OTHER, pieces, found, err);
    if (status != NB_OK || found->kind != FOUND_NOTHING) return status;
    if (whole->row->free_order || pages) {
        status = compare(c, &again, found, worst, err);
        if (pages && found->kind != FOUND_NOTHING) found->kind = pieces ? FOUND_SPLIT : FOUND_UNSTABLE;
        return status;
    }
    int64_t i = first_difference(c, whole, &again, c->spec.rows);
    if (i == c->spec.rows) return NB_OK;
    check_found(c, whole->row, pieces ? FOUND_SPLIT : FOUND_UNSTABLE, found, "token %" PRId64 " has other bits %s", i,
                pieces ? "when the tasks run in pieces" : "in a second run");
    return NB_OK;
}

/* Whether one sequence is all of these tokens. */
static bool is_whole_sequence(const check *c, int64_t from, int64_t n) {
    return (from == 0 || c->call.slots[from - 1] != c->call.slots[from]) &&
           kcall_sequence_end(&c->call, from) == from + n;
}

/* Tokens [from, from + n) alone must give the bits that they have in the whole call. */
static nb_status check_some_tokens(check *c, device *d, const trial *whole, trial *some, int64_t from, int64_t n,
                                   finding *found, double *worst, nb_error *err) {
    if (found->kind != FOUND_NOTHING) return NB_OK;
    nb_status status = run_trial(c, d, some, from, n, SLOT_Y_OTHER, false, found, err);
    if (status != NB_OK || found->kind != FOUND_NOTHING) return status;
    if (whole->row->free_order && !c->call.states.data) return compare(c, some, found, worst, err);
    const bool cut = whole->row->in_chunks && !is_whole_sequence(c, from, n);
    const bool free = whole->row->free_order || c->spec.op == KOP_KV_STORE || cut;
    int64_t i = free ? n : first_difference(c, whole, some, n);
    if (i < n)
        check_found(c, whole->row, FOUND_BATCH, found,
                    "token %" PRId64 " has other bits in a call of %" PRId64 " tokens", from + i, n);
    return NB_OK;
}

/* Without states: one token, and a random run of tokens. */
static nb_status check_fewer(check *c, device *d, const trial *whole, finding *found, double *worst, nb_error *err) {
    int64_t rows = c->spec.rows, one = check_below(c, rows);
    nb_status status = NB_OK;
    trial some = {.row = whole->row, .poison = 0x7f};
    if (c->spec.op == KOP_KV_STORE) return NB_OK;
    if (rows > 1) status = check_some_tokens(c, d, whole, &some, one, 1, found, worst, err);
    if (status == NB_OK && rows > 3) {
        int64_t from = check_below(c, rows - 1), n = 1 + check_below(c, rows - from);
        status = check_some_tokens(c, d, whole, &some, from, n, found, worst, err);
    }
    return status;
}

/* With states: the tokens in calls one after the other, of which each goes on where the last one stopped; and one
 * sequence alone. */
static nb_status check_in_turn(check *c, device *d, const trial *whole, finding *found, double *worst, nb_error *err) {
    int64_t rows = c->spec.rows;
    nb_status status = NB_OK;
    bool bits = !whole->row->free_order;
    trial turns = {.row = whole->row, .poison = 0x7f}, alone = turns;
    for (int64_t from = 0, n; status == NB_OK && from < rows; from += n) {
        n = 1 + check_below(c, min_i64(rows - from, 1 + check_below(c, rows)));
        status = check_some_tokens(c, d, whole, &turns, from, n, found, worst, err);
    }
    bool cut_bits = bits && !whole->row->in_chunks;
    for (int64_t i = 0; status == NB_OK && cut_bits && found->kind == FOUND_NOTHING && i < rows; i++)
        if (!same_state(c, whole, &turns, i))
            check_found(c, whole->row, FOUND_BATCH, found,
                        "token %" PRId64 "'s sequence leaves other bits when it comes in pieces", i);
    int64_t first = 0, which = check_below(c, rows);
    while (kcall_sequence_end(&c->call, first) <= which) first = kcall_sequence_end(&c->call, first);
    int64_t n = kcall_sequence_end(&c->call, first) - first;
    if (status != NB_OK || n == rows) return status;
    status = check_some_tokens(c, d, whole, &alone, first, n, found, worst, err);
    if (status == NB_OK && bits && found->kind == FOUND_NOTHING && !same_state(c, whole, &alone, first))
        check_found(c, whole->row, FOUND_BATCH, found,
                    "token %" PRId64 "'s sequence leaves other bits when it is alone", first);
    return status;
}

/* ---- Logits that are no numbers ------------------------------------------------------------------------------ */

/* The experts of every token are in range and differ from one another. */
static void check_numbers(check *c, const trial *t, finding *found) {
    int64_t n = c->spec.n_chosen;
    if (t->call.y.type != DT_F32) return;
    for (int64_t i = 0; i < c->spec.rows; i++) {
        const float *chosen = (const float *)t->call.y.data + i * t->call.y.stride;
        for (int64_t s = 0; s < n; s++) {
            bool right = chosen[s] >= 0 && chosen[s] < (float)c->spec.n_experts && chosen[s] == floorf(chosen[s]);
            for (int64_t other = 0; other < s; other++) right &= chosen[other] != chosen[s];
            if (!right) {
                check_found(c, t->row, FOUND_WRONG_VALUE, found,
                            "with NaN among its logits token %" PRId64 " has expert %g", i, (double)chosen[s]);
                return;
            }
        }
    }
}

/* Expert numbers are followed, so they must be right whatever a broken model makes of the logits: here some of them, or
 * all of a token's, are NaN or infinite. */
static nb_status check_route_not_finite(check *c, device *d, const krow *row, finding *found, nb_error *err) {
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
    nb_status status = run_trial(c, d, &t, 0, c->spec.rows, SLOT_Y_OTHER, false, found, err);
    if (status == NB_OK && found->kind == FOUND_NOTHING) check_numbers(c, &t, found);
    memcpy(logits, kept, bytes);
    free(kept);
    return status;
}

/* ---- All together ---------------------------------------------------------------------------------------------- */

static nb_status check_all(check *c, device *d, const krow *row, finding *found, double *worst, nb_error *err) {
    trial whole = {.row = row, .poison = 0xff};
    nb_status status = check_reference(c, err);
    if (status == NB_OK) status = check_pack(c, row, found, err);
    if (status == NB_OK && found->kind == FOUND_NOTHING)
        status = run_trial(c, d, &whole, 0, c->spec.rows, SLOT_Y, false, found, err);
    if (status == NB_OK && found->kind == FOUND_NOTHING) status = compare(c, &whole, found, worst, err);
    for (int pieces = 0; pieces < 2 && status == NB_OK && found->kind == FOUND_NOTHING; pieces++)
        status = check_again(c, d, &whole, pieces, found, worst, err);
    if (status == NB_OK && found->kind == FOUND_NOTHING)
        status = whole.states ? check_in_turn(c, d, &whole, found, worst, err)
                              : check_fewer(c, d, &whole, found, worst, err);
    if (status == NB_OK && found->kind == FOUND_NOTHING && c->spec.op == KOP_ROUTE && c->call.x.type == DT_F32)
        status = check_route_not_finite(c, d, row, found, err);
    return status;
}

nb_status check_row(check *c, device *d, const krow *row, finding *found, double *worst, nb_error *err) {
    *found = (finding){.kind = FOUND_NOTHING, .layer = -1};
    *worst = 0;
    nb_status status = check_all(c, d, row, found, worst, err);
    if (status == NB_OK && found->kind != FOUND_NOTHING) {
        found->level = VERIFY_KERNELS;
        check_spec_text(&c->spec, found->where, sizeof found->where);
    }
    return status;
}

nb_status check_time(check *c, device *d, const krow *row, double min_seconds, double *seconds, nb_error *err) {
    enum { MIN_RUNS = 3, MAX_RUNS = 1000 };
    trial t = {.row = row, .poison = 0xff};
    finding found = {0};
    runner r;
    nb_status status = check_pack(c, row, &found, err);
    if (status == NB_OK && !prepare(c, &t, 0, c->spec.rows, SLOT_Y)) status = check_no_memory(err);
    if (status == NB_OK) status = make_runner(c, d, &t, &r, err);
    *seconds = INFINITY;
    if (status == NB_OK && d->time) {
        const kcall *calls[] = {r.call};
        void *scratch = d->memory ? c->mirror.scratch : guard_input(&c->slots[SLOT_SCRATCH], r.scratch_bytes);
        return d->time(d, row, calls, 1, scratch, seconds, err);
    }
    double start = clock_now();
    for (int i = 0; status == NB_OK && i < MAX_RUNS && (i < MIN_RUNS || clock_now() - start < min_seconds); i++) {
        double from = clock_now();
        status = run_tasks(&r, 0, row->tasks(row, &t.call));
        *seconds = fmin(*seconds, clock_now() - from);
    }
    return status;
}
