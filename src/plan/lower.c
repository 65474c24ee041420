/* SPDX-License-Identifier: Apache-2.0
 *
 * Each step of the plan becomes a unit; units that a row computes at once are merged (fuse.c); each product takes the
 * registry's best row, and where that row reads activations in another form, the unit that makes the value writes the
 * form itself if a row can, else a QUANTIZE call is put in between. Then every value gets a place in the work memory
 * (places are reused when their value is dead), and a barrier goes in front of every call that touches what an earlier
 * one left. */
#include "plan/lower.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "plan/lower_impl.h"
#include "quant/xform.h"

static const dtype forms[] = {DT_F32, DT_XI8X3, DT_F16, DT_BF16};

int64_t lower_rows_of(const lowering *l, int value) {
    return l->t->plan->values[value].rows == PLAN_TOKENS ? l->program->n_tokens : l->program->n_outputs;
}

static kmat probe(dtype type, int64_t rows, int64_t cols, int64_t group) {
    return (kmat){.data = LOWER_SOMEWHERE,
                  .type = type,
                  .rows = rows,
                  .cols = cols,
                  .stride = cols,
                  .group = type == DT_XI8X3 ? group : 0};
}

static int64_t cols_of(const lowering *l, int value) {
    return l->t->plan->values[value].cols;
}

static kmat probe_value(const lowering *l, int value) {
    if (value == PLAN_NONE) return (kmat){0};
    return probe(DT_F32, lower_rows_of(l, value), cols_of(l, value), 0);
}

/* ---- Units ----------------------------------------------------------------------------------------------------- */

/* Without outputs the steps behind the last layer have nothing to do. */
static bool is_idle(const lowering *l, const plan_step *s) {
    return s->y != PLAN_NONE && lower_rows_of(l, s->y) == 0;
}

static void make_units(lowering *l) {
    for (int i = 0; i < l->t->plan->n_steps; i++) {
        const plan_step *s = &l->t->steps[i];
        l->units[i] = (unit){.step = i,
                             .x = s->x,
                             .z = s->z,
                             .residual = s->residual,
                             .y = s->y,
                             .norm = PLAN_NONE,
                             .rope = PLAN_NONE,
                             .scale = PLAN_NONE,
                             .pair = PLAN_NONE,
                             .gone = is_idle(l, s)};
    }
}

/* What a unit says, without its matrices. */
static kcall base_call(const lowering *l, const unit *u) {
    const lower_target *t = l->t;
    const plan_step *s = &t->steps[u->step];
    kcall c = {.op = s->op,
               .weight = s->vec,
               .weight2 = s->vec2,
               .eps = s->eps,
               .scale = s->scale,
               .softcap = s->softcap,
               .offset = s->offset,
               .act = s->act,
               .n_parts = s->n_parts,
               .n_keys = s->n_keys,
               .key_dim = s->key_dim,
               .n_chosen = s->n_chosen,
               .normalize = s->normalize,
               .interleaved = s->interleaved,
               .columns = s->columns,
               .freqs = s->freqs,
               .window = s->window};
    if (s->weight != PLAN_NONE) c.w = &t->weights[s->weight];
    if (s->op == KOP_EMBED) c.tokens = t->tokens;
    if (s->op == KOP_SELECT_ROWS) c.rows = t->outputs;
    if (s->op == KOP_ROPE_TABLE) c.positions = t->positions;
    if (s->state != PLAN_NONE) {
        c.states = t->states[s->state];
        c.slots = t->slots;
    }
    if (s->op == KOP_KV_STORE || s->op == KOP_ATTENTION) {
        c.positions = t->positions;
        c.tables = t->tables;
        c.keys = s->op == KOP_KV_STORE && s->is_values ? t->values[s->cache] : t->keys[s->cache];
    }
    if (s->op == KOP_ATTENTION) c.values = t->values[s->cache];
    return c;
}

/* The parts of other steps that the unit computes as well. */
static void add_fused(const lowering *l, const unit *u, kcall *c) {
    if (u->norm != PLAN_NONE) {
        const plan_step *n = &l->t->steps[u->norm];
        c->normed = true;
        c->eps = n->eps;
        c->offset = n->offset;
        if (c->op == KOP_MATMUL)
            c->weight2 = n->vec;
        else
            c->weight = n->vec;
    }
    if (u->scale != PLAN_NONE) c->scale = l->t->steps[u->scale].scale;
    if (u->rope != PLAN_NONE) c->interleaved = l->t->steps[u->rope].interleaved;
    if (u->pair != PLAN_NONE) {
        c->w = &l->t->pairs[u->pair].w;
        c->weight = l->t->pairs[u->pair].bias;
        c->act = l->t->steps[u->pair].act;
    }
}

kcall lower_probe(const lowering *l, const unit *u) {
    kcall c = base_call(l, u);
    add_fused(l, u, &c);
    c.x = probe_value(l, u->x);
    c.z = probe_value(l, u->z);
    c.residual = probe_value(l, u->residual);
    c.y = probe_value(l, u->y);
    return c;
}

/* ---- Rows of products ------------------------------------------------------------------------------------------ */

const krow *lower_best_row(const lowering *l, const unit *u) {
    kcall c = lower_probe(l, u);
    const kmat x = c.x;
    const krow *best = NULL;
    if (!kop_is_product(c.op)) return kreg_find(l->t->registry, &c);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const int64_t group = lower_form_group(c.w);
        if (forms[i] == DT_XI8X3 && group == 0) continue;
        c.x = probe(forms[i], x.rows, x.cols, group);
        const krow *row = kreg_find(l->t->registry, &c);
        if (row && row->x_type == DT_NONE && forms[i] != DT_F32) continue; /* reads fp32 as well */
        if (row && (!best || row->rank > best->rank)) best = row;
    }
    return best;
}

static dtype x_form(const krow *row) {
    return row->x_type == DT_NONE ? DT_F32 : row->x_type;
}

static const kweight *weight_of(const lowering *l, const unit *u) {
    return u->pair != PLAN_NONE ? &l->t->pairs[u->pair].w : &l->t->weights[l->t->steps[u->step].weight];
}

static nb_status choose_rows(lowering *l, nb_error *err) {
    for (int i = 0; i < l->t->plan->n_steps; i++) {
        unit *u = &l->units[i];
        const plan_step *s = &l->t->steps[u->step];
        if (u->gone) continue;
        if (u->z != PLAN_NONE) l->wants[u->z].f32 = true;
        if (u->residual != PLAN_NONE) l->wants[u->residual].f32 = true;
        if (!kop_is_product(s->op)) {
            if (u->x != PLAN_NONE) l->wants[u->x].f32 = true;
            continue;
        }
        u->row = lower_best_row(l, u);
        if (!u->row) return err_set(err, NB_ERR_UNSUPPORTED, "no kernel for step %s on %s", s->name, l->t->name);
        want *w = &l->wants[u->x];
        const int64_t group = x_form(u->row) == DT_XI8X3 ? lower_form_group(weight_of(l, u)) : 0;
        if (x_form(u->row) == DT_F32)
            w->f32 = true;
        else if (w->form == DT_NONE)
            *w = (want){w->f32, u->row->x_type, group, w->many_forms};
        else if (w->form != u->row->x_type || w->group != group)
            w->many_forms = true;
    }
    for (int v = 0; v < l->t->plan->n_values; v++)
        if (plan_is_result(l->t->plan, v)) l->wants[v].f32 = true;
    return NB_OK;
}

/* ---- Emitting calls -------------------------------------------------------------------------------------------- */

static size_t form_bytes(dtype type, int64_t rows, int64_t cols, int64_t group) {
    return type == DT_XI8X3 ? xform_bytes(rows, cols, group) : (size_t)rows * (size_t)cols * dtype_size(type);
}

static int new_slot(lowering *l, dtype type, int64_t rows, int64_t cols, int64_t group) {
    if (l->n_slots == l->cap_slots) {
        int cap = l->cap_slots * 2 + 64;
        slot *slots = realloc(l->slots, (size_t)cap * sizeof *slots);
        if (!slots) {
            l->failed = true;
            return -1;
        }
        l->slots = slots;
        l->cap_slots = cap;
    }
    l->slots[l->n_slots] = (slot){
        type, rows, cols, group, round_up(form_bytes(type, rows, cols, group), PLACE_UNIT), 0, l->program->n_calls, -1};
    return l->n_slots++;
}

static program_call *new_call(lowering *l, int step) {
    program *p = l->program;
    if (p->n_calls == l->cap_calls) {
        int cap = l->cap_calls * 2 + 64;
        program_call *calls = realloc(p->calls, (size_t)cap * sizeof *calls);
        if (calls) p->calls = calls;
        call_slots *uses = realloc(l->uses, (size_t)cap * sizeof *uses);
        if (uses) l->uses = uses;
        if (!calls || !uses) {
            l->failed = true;
            return NULL;
        }
        l->cap_calls = cap;
    }
    l->uses[p->n_calls] = (call_slots){-1, -1, -1, -1};
    p->calls[p->n_calls] = (program_call){.plan_step = step};
    return &p->calls[p->n_calls++];
}

static int read_slot(lowering *l, int slot_number) {
    if (slot_number >= 0) l->slots[slot_number].last = l->program->n_calls - 1;
    return slot_number;
}

static kmat slot_mat(const lowering *l, int i) {
    const slot *s = &l->slots[i];
    return probe(s->type, s->rows, s->cols, s->group);
}

/* The slot of value v in the form that a row wants; makes it with a QUANTIZE call if it is not there. */
static int form_slot(lowering *l, int v, dtype form, int64_t group, int step, nb_status *status, nb_error *err) {
    int have = l->form_slot[v];
    if (have >= 0 && l->slots[have].type == form && l->slots[have].group == group) return have;
    program_call *q = new_call(l, step);
    if (!q) return -1;
    int from = l->f32_slot[v], to = new_slot(l, form, lower_rows_of(l, v), cols_of(l, v), group);
    if (to < 0) return -1;
    l->slots[to].first = l->program->n_calls - 1;
    q->call = (kcall){.op = KOP_QUANTIZE, .x = slot_mat(l, from), .y = slot_mat(l, to)};
    q->row = kreg_find(l->t->registry, &q->call);
    if (!q->row) *status = err_set(err, NB_ERR_UNSUPPORTED, "no kernel makes %s activations", dtype_name(form));
    call_slots *u = &l->uses[l->program->n_calls - 1];
    u->x = read_slot(l, from);
    u->y = to;
    return l->form_slot[v] = to;
}

/* Where a unit's result goes: as its readers want it, if they all want one form and a row writes it, else as fp32. */
static void emit_result(lowering *l, const unit *u, program_call *c, call_slots *slots) {
    const want *w = &l->wants[u->y];
    const bool product = kop_is_product(c->call.op);
    const int64_t rows = lower_rows_of(l, u->y), cols = cols_of(l, u->y);
    if (w->form != DT_NONE && !w->f32 && !w->many_forms) {
        c->call.y = probe(w->form, rows, cols, w->group);
        const krow *row = kreg_find(l->t->registry, &c->call);
        /* A product keeps the row that was chosen for it: another one may be slower. */
        if (row && (!product || row == c->row))
            c->row = row;
        else
            c->call.y.type = DT_NONE;
    }
    const bool direct = c->call.y.type != DT_NONE;
    slots->y = direct ? new_slot(l, w->form, rows, cols, w->group) : new_slot(l, DT_F32, rows, cols, 0);
    if (slots->y < 0) return;
    l->slots[slots->y].first = l->program->n_calls - 1;
    (direct ? l->form_slot : l->f32_slot)[u->y] = slots->y;
    c->call.y = slot_mat(l, slots->y);
}

static nb_status lower_unit(lowering *l, const unit *u, nb_error *err) {
    const plan_step *s = &l->t->steps[u->step];
    nb_status status = NB_OK;
    int x = -1;
    if (u->x != PLAN_NONE) {
        const dtype form = kop_is_product(s->op) ? x_form(u->row) : DT_F32;
        const int64_t group = form == DT_XI8X3 ? lower_form_group(weight_of(l, u)) : 0;
        x = form == DT_F32 ? l->f32_slot[u->x] : form_slot(l, u->x, form, group, u->step, &status, err);
    }
    program_call *c = status || l->failed ? NULL : new_call(l, u->step);
    if (!c) return status;
    c->call = base_call(l, u);
    add_fused(l, u, &c->call);
    call_slots slots = {read_slot(l, x), -1, -1, -1};
    if (u->z != PLAN_NONE) slots.z = read_slot(l, l->f32_slot[u->z]);
    if (u->residual != PLAN_NONE) slots.residual = read_slot(l, l->f32_slot[u->residual]);
    if (slots.x >= 0) c->call.x = slot_mat(l, slots.x);
    if (slots.z >= 0) c->call.z = slot_mat(l, slots.z);
    if (slots.residual >= 0) c->call.residual = slot_mat(l, slots.residual);
    c->row = u->row;
    if (u->y != PLAN_NONE) emit_result(l, u, c, &slots);
    if (l->failed) return NB_OK;
    if (!c->row) c->row = kreg_find(l->t->registry, &c->call);
    if (!c->row)
        return err_set(err, NB_ERR_UNSUPPORTED, "no kernel for step %s (%s) on %s", s->name, kop_name(s->op),
                       l->t->name);
    l->uses[l->program->n_calls - 1] = slots;
    return NB_OK;
}

/* ---- Places in memory ------------------------------------------------------------------------------------------ */

static bool overlap(size_t a, size_t a_bytes, size_t b, size_t b_bytes) {
    return a < b + b_bytes && b < a + a_bytes;
}

/* First fit: the lowest offset where no slot lies that is alive at the same time. Slots come in order of their first
 * call. Returns the size of all. */
static size_t place_slots(slot *slots, int n) {
    size_t end = 0;
    for (int i = 0; i < n; i++) {
        size_t at = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (int j = 0; j < i; j++) {
                if (slots[j].last < slots[i].first || !overlap(at, slots[i].bytes, slots[j].offset, slots[j].bytes))
                    continue;
                at = slots[j].offset + slots[j].bytes;
                moved = true;
            }
        }
        slots[i].offset = at;
        if (at + slots[i].bytes > end) end = at + slots[i].bytes;
    }
    return end;
}

/* ---- Barriers -------------------------------------------------------------------------------------------------- */

static bool slots_overlap(const lowering *l, int a, int b) {
    return a >= 0 && b >= 0 && overlap(l->slots[a].offset, l->slots[a].bytes, l->slots[b].offset, l->slots[b].bytes);
}

static bool reads(const lowering *l, int call, int slot_number) {
    const call_slots *u = &l->uses[call];
    return slots_overlap(l, u->x, slot_number) || slots_overlap(l, u->z, slot_number) ||
           slots_overlap(l, u->residual, slot_number);
}

/* Whether call b must wait for call a: it reads what a writes, or overwrites what a reads or writes. */
static bool depends(const lowering *l, int a, int b) {
    const int wa = l->uses[a].y, wb = l->uses[b].y;
    if (reads(l, b, wa) || reads(l, a, wb) || slots_overlap(l, wa, wb)) return true;
    const kcall *ca = &l->program->calls[a].call, *cb = &l->program->calls[b].call;
    return ca->op == KOP_KV_STORE && cb->op == KOP_ATTENTION &&
           (ca->keys.data == cb->keys.data || ca->keys.data == cb->values.data);
}

static void place_barriers(lowering *l) {
    program *p = l->program;
    for (int i = 1, since = 0; i < p->n_calls; i++) {
        for (int j = since; j < i && !p->calls[i].barrier; j++) p->calls[i].barrier = depends(l, j, i);
        if (p->calls[i].barrier) since = i;
    }
}

/* ---- All together ---------------------------------------------------------------------------------------------- */

static void finish_calls(lowering *l) {
    program *p = l->program;
    uint8_t *work = l->t->work ? l->t->work : LOWER_SOMEWHERE; /* not there yet when its size is asked for */
    for (int i = 0; i < p->n_calls; i++) {
        program_call *c = &p->calls[i];
        const call_slots *u = &l->uses[i];
        if (u->x >= 0) c->call.x.data = work + l->slots[u->x].offset;
        if (u->z >= 0) c->call.z.data = work + l->slots[u->z].offset;
        if (u->residual >= 0) c->call.residual.data = work + l->slots[u->residual].offset;
        if (u->y >= 0) c->call.y.data = work + l->slots[u->y].offset;
        c->scratch = c->row->scratch ? c->row->scratch(c->row, &c->call) : 0;
        if (c->scratch > p->scratch_bytes) p->scratch_bytes = c->scratch;
    }
}

static bool lowering_init(lowering *l, int64_t n_tokens, int64_t n_outputs) {
    const size_t n_values = (size_t)l->t->plan->n_values + 1, n_steps = (size_t)l->t->plan->n_steps + 1;
    l->program = calloc(1, sizeof *l->program);
    l->f32_slot = malloc(n_values * sizeof(int));
    l->form_slot = malloc(n_values * sizeof(int));
    l->wants = calloc(n_values, sizeof *l->wants);
    l->units = calloc(n_steps, sizeof *l->units);
    if (!l->program || !l->f32_slot || !l->form_slot || !l->wants || !l->units) return false;
    l->program->n_tokens = n_tokens;
    l->program->n_outputs = n_outputs;
    memset(l->f32_slot, -1, n_values * sizeof(int));
    memset(l->form_slot, -1, n_values * sizeof(int));
    return true;
}

/* Values that come with the batch: in place from before the first call until they are read last. */
static void make_inputs(lowering *l) {
    const plan *p = l->t->plan;
    for (int i = 0; i < p->n_inputs && !l->failed; i++) {
        const int v = p->inputs[i];
        l->f32_slot[v] = new_slot(l, DT_F32, lower_rows_of(l, v), cols_of(l, v), 0);
    }
}

/* Where the values are that come from outside or are given back. */
static void keep_offsets(lowering *l) {
    const plan *p = l->t->plan;
    program *to = l->program;
    const int logits = p->logits == PLAN_NONE ? -1 : l->f32_slot[p->logits];
    to->logits_offset = logits >= 0 ? l->slots[logits].offset : 0;
    for (int i = 0; i < p->n_inputs; i++) to->input_offsets[i] = l->slots[l->f32_slot[p->inputs[i]]].offset;
    for (int i = 0; i < p->n_results; i++) to->result_offsets[i] = l->slots[l->f32_slot[p->results[i]]].offset;
}

static nb_status lower_all(lowering *l, nb_error *err) {
    make_units(l);
    if (!lower_fuse(l)) return err_no_memory(err, "the program of the plan", 0);
    nb_status status = choose_rows(l, err);
    if (!status) make_inputs(l);
    for (int i = 0; i < l->t->plan->n_steps && !status && !l->failed; i++)
        if (!l->units[i].gone) status = lower_unit(l, &l->units[i], err);
    if (status) return status;
    if (l->failed) return err_no_memory(err, "the program of the plan", 0);
    for (int v = 0; v < l->t->plan->n_values; v++)
        if (plan_is_result(l->t->plan, v) && l->f32_slot[v] >= 0) l->slots[l->f32_slot[v]].last = l->program->n_calls;
    l->program->work_bytes = place_slots(l->slots, l->n_slots);
    keep_offsets(l);
    place_barriers(l);
    finish_calls(l);
    return NB_OK;
}

nb_status program_new(const lower_target *target, int64_t n_tokens, int64_t n_outputs, program **out, nb_error *err) {
    lowering l = {.t = target};
    *out = NULL;
    nb_status status =
        lowering_init(&l, n_tokens, n_outputs) ? lower_all(&l, err) : err_no_memory(err, "the program of the plan", 0);
    free(l.slots);
    free(l.f32_slot);
    free(l.form_slot);
    free(l.wants);
    free(l.units);
    free(l.uses);
    if (status)
        program_free(l.program);
    else
        *out = l.program;
    return status;
}

void program_free(program *p) {
    if (!p) return;
    free(p->calls);
    free(p);
}
