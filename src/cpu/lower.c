/* SPDX-License-Identifier: Apache-2.0
 *
 * Lowering: the plan for one batch size becomes a list of kernel calls. Each matrix product takes the registry's best
 * row; where that row reads activations in a quantized form, the step that makes the value writes the form itself if a
 * row can, else a QUANTIZE step is put in between. Then every value gets a place in the work memory (places are reused
 * when their value is dead), and a barrier goes in front of every step that touches what an earlier one left. */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cpu/cpu.h"
#include "quant/xform.h"

/* A piece of work memory: a plan's value as fp32, or in a form. */
typedef struct slot {
    dtype type;
    int64_t rows, cols, group;
    size_t bytes, offset;
    int first, last; /* steps that make it and read it last */
} slot;

/* How one value is wanted by its readers. */
typedef struct want {
    bool f32;   /* someone reads it as fp32 */
    dtype form; /* someone reads it in this form; DT_NONE: nobody */
    int64_t group;
    bool many_forms; /* readers disagree about the form */
} want;

typedef struct lowering {
    cpu_executor *e;
    const plan *p;
    cpu_program *program;
    int cap_steps;
    slot *slots;
    int n_slots, cap_slots;
    int *f32_slot;     /* [n_values], -1: not there */
    int *form_slot;    /* [n_values]: the form last made of this value */
    want *wants;       /* [n_values] */
    const krow **rows; /* [p->n_steps]: of products */
    /* For each step: its slots. */
    struct step_slots {
        int x, z, residual, y;
    } * uses;
    bool failed; /* out of memory */
} lowering;

static int64_t rows_of(const lowering *l, int value) {
    return l->p->values[value].rows == PLAN_TOKENS ? l->program->n_tokens : l->program->n_outputs;
}

/* Without outputs the steps behind the last layer have nothing to do. */
static bool is_idle(const lowering *l, const plan_step *s) {
    return s->y != PLAN_NONE && rows_of(l, s->y) == 0;
}

/* ---- Rows of products ------------------------------------------------------------------------------------------ */

static kmat probe(dtype type, int64_t rows, int64_t cols, int64_t group) {
    return (kmat){.data = CPU_SOMEWHERE,
                  .type = type,
                  .rows = rows,
                  .cols = cols,
                  .stride = cols,
                  .group = type == DT_F32 ? 0 : group};
}

/* The best row for a product with `rows` rows of x, whatever form of x it reads. */
static const krow *product_row(const lowering *l, const plan_step *s, int64_t rows) {
    static const dtype forms[] = {DT_F32, DT_XI8X3};
    const kweight *w = &l->e->weights[s->weight];
    const krow *best = NULL;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const int64_t group = cpu_form_group(w);
        if (forms[i] != DT_F32 && group == 0) continue;
        kcall c = {.op = s->op, .w = w, .weight = s->vec, .n_chosen = s->n_chosen};
        c.x = probe(forms[i], rows, l->p->values[s->x].cols, group);
        c.y = probe(DT_F32, rows, l->p->values[s->y].cols, 0);
        if (s->z != PLAN_NONE) c.z = probe(DT_F32, rows, l->p->values[s->z].cols, 0);
        if (s->residual != PLAN_NONE) c.residual = c.y;
        const krow *row = kreg_find(l->e->registry, &c);
        if (row && (!best || row->rank > best->rank)) best = row;
    }
    return best;
}

static nb_status choose_rows(lowering *l, nb_error *err) {
    for (int i = 0; i < l->p->n_steps; i++) {
        const plan_step *s = &l->p->steps[i];
        if (is_idle(l, s)) continue;
        if (s->z != PLAN_NONE) l->wants[s->z].f32 = true;
        if (s->residual != PLAN_NONE) l->wants[s->residual].f32 = true;
        if (!kop_is_product(s->op)) {
            if (s->x != PLAN_NONE) l->wants[s->x].f32 = true;
            continue;
        }
        const krow *row = l->rows[i] = product_row(l, s, rows_of(l, s->x));
        if (!row) return err_set(err, NB_ERR_UNSUPPORTED, "no kernel for step %s on %s", s->name, l->e->device);
        want *w = &l->wants[s->x];
        const int64_t group = cpu_form_group(&l->e->weights[s->weight]);
        if (row->x_type == DT_F32)
            w->f32 = true;
        else if (w->form == DT_NONE)
            *w = (want){w->f32, row->x_type, group, w->many_forms};
        else if (w->form != row->x_type || w->group != group)
            w->many_forms = true;
    }
    l->wants[l->p->logits].f32 = true;
    return NB_OK;
}

/* ---- Emitting steps -------------------------------------------------------------------------------------------- */

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
    size_t bytes = type == DT_F32 ? (size_t)rows * (size_t)cols * 4 : xform_bytes(rows, cols, group);
    l->slots[l->n_slots] = (slot){type, rows, cols, group, round_up(bytes, 64), 0, l->program->n_steps, -1};
    return l->n_slots++;
}

static cpu_step *new_step(lowering *l, int number) {
    cpu_program *p = l->program;
    if (p->n_steps == l->cap_steps) {
        int cap = l->cap_steps * 2 + 64;
        cpu_step *steps = realloc(p->steps, (size_t)cap * sizeof *steps);
        if (steps) p->steps = steps;
        struct step_slots *uses = realloc(l->uses, (size_t)cap * sizeof *uses);
        if (uses) l->uses = uses;
        if (!steps || !uses) {
            l->failed = true;
            return NULL;
        }
        l->cap_steps = cap;
    }
    l->uses[p->n_steps] = (struct step_slots){-1, -1, -1, -1};
    p->steps[p->n_steps] = (cpu_step){.plan_step = number};
    return &p->steps[p->n_steps++];
}

static int read_slot(lowering *l, int slot_number) {
    if (slot_number >= 0) l->slots[slot_number].last = l->program->n_steps - 1;
    return slot_number;
}

static kmat slot_mat(const lowering *l, int i) {
    const slot *s = &l->slots[i];
    return (kmat){
        .data = CPU_SOMEWHERE, .type = s->type, .rows = s->rows, .cols = s->cols, .stride = s->cols, .group = s->group};
}

/* The slot of value v in the form that a row wants; makes it with a QUANTIZE step if it is not there. */
static int form_slot(lowering *l, int v, dtype form, int64_t group, int number, nb_status *status, nb_error *err) {
    int have = l->form_slot[v];
    if (have >= 0 && l->slots[have].type == form && l->slots[have].group == group) return have;
    cpu_step *q = new_step(l, number);
    if (!q) return -1;
    int from = l->f32_slot[v], to = new_slot(l, form, rows_of(l, v), l->p->values[v].cols, group);
    if (to < 0) return -1;
    l->slots[to].first = l->program->n_steps - 1;
    q->call = (kcall){.op = KOP_QUANTIZE, .x = slot_mat(l, from), .y = slot_mat(l, to)};
    q->row = kreg_find(l->e->registry, &q->call);
    if (!q->row) *status = err_set(err, NB_ERR_UNSUPPORTED, "no kernel makes %s activations", dtype_name(form));
    struct step_slots *u = &l->uses[l->program->n_steps - 1];
    u->x = read_slot(l, from);
    u->y = to;
    return l->form_slot[v] = to;
}

/* What a plan's step says, without its matrices. */
static kcall base_call(const lowering *l, const plan_step *s) {
    cpu_executor *e = l->e;
    kcall c = {.op = s->op,
               .weight = s->vec,
               .weight2 = s->vec2,
               .eps = s->eps,
               .scale = s->scale,
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
    if (s->weight != PLAN_NONE) c.w = &e->weights[s->weight];
    if (s->op == KOP_EMBED) c.tokens = e->tokens;
    if (s->op == KOP_SELECT_ROWS) c.rows = e->outputs;
    if (s->op == KOP_ROPE_TABLE) c.positions = e->positions;
    if (s->state != PLAN_NONE) {
        c.states = e->states[s->state];
        c.slots = e->slots;
    }
    if (s->op == KOP_KV_STORE || s->op == KOP_ATTENTION) {
        c.positions = e->positions;
        c.tables = e->tables;
        c.keys = s->op == KOP_KV_STORE && s->is_values ? e->values[s->cache] : e->keys[s->cache];
    }
    if (s->op == KOP_ATTENTION) c.values = e->values[s->cache];
    return c;
}

static nb_status lower_step(lowering *l, int i, nb_error *err) {
    const plan_step *s = &l->p->steps[i];
    if (is_idle(l, s)) return NB_OK;
    nb_status status = NB_OK;
    int x = -1;
    if (s->x != PLAN_NONE) {
        dtype form = kop_is_product(s->op) ? l->rows[i]->x_type : DT_F32;
        x = form == DT_F32 ? l->f32_slot[s->x]
                           : form_slot(l, s->x, form, cpu_form_group(&l->e->weights[s->weight]), i, &status, err);
    }
    cpu_step *step = status || l->failed ? NULL : new_step(l, i);
    if (!step) return status;
    step->call = base_call(l, s);
    struct step_slots u = {read_slot(l, x), -1, -1, -1};
    if (s->z != PLAN_NONE) u.z = read_slot(l, l->f32_slot[s->z]);
    if (s->residual != PLAN_NONE) u.residual = read_slot(l, l->f32_slot[s->residual]);
    if (u.x >= 0) step->call.x = slot_mat(l, u.x);
    if (u.z >= 0) step->call.z = slot_mat(l, u.z);
    if (u.residual >= 0) step->call.residual = slot_mat(l, u.residual);
    step->row = l->rows[i];
    if (s->y != PLAN_NONE) {
        const want *w = &l->wants[s->y];
        const int64_t rows = rows_of(l, s->y), cols = l->p->values[s->y].cols;
        if (w->form != DT_NONE && !w->f32 && !w->many_forms && !kop_is_product(s->op)) {
            step->call.y = probe(w->form, rows, cols, w->group);
            step->row = kreg_find(l->e->registry, &step->call);
        }
        const bool direct = !kop_is_product(s->op) && step->row && step->call.y.type != DT_NONE;
        u.y = direct ? new_slot(l, w->form, rows, cols, w->group) : new_slot(l, DT_F32, rows, cols, 0);
        if (u.y < 0) return NB_OK;
        l->slots[u.y].first = l->program->n_steps - 1;
        (direct ? l->form_slot : l->f32_slot)[s->y] = u.y;
        step->call.y = slot_mat(l, u.y);
    }
    if (!step->row) step->row = kreg_find(l->e->registry, &step->call);
    if (!step->row)
        return err_set(err, NB_ERR_UNSUPPORTED, "no kernel for step %s (%s) on %s", s->name, kop_name(s->op),
                       l->e->device);
    l->uses[l->program->n_steps - 1] = u;
    return NB_OK;
}

/* ---- Places in memory ------------------------------------------------------------------------------------------ */

static bool overlap(size_t a, size_t a_bytes, size_t b, size_t b_bytes) {
    return a < b + b_bytes && b < a + a_bytes;
}

/* First fit: the lowest offset where no slot lies that is alive at the same time. Slots come in order of their first
 * step. Returns the size of all. */
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

static bool reads(const lowering *l, int step, int slot_number) {
    const struct step_slots *u = &l->uses[step];
    return slots_overlap(l, u->x, slot_number) || slots_overlap(l, u->z, slot_number) ||
           slots_overlap(l, u->residual, slot_number);
}

/* Whether step b must wait for step a: it reads what a writes, or overwrites what a reads or writes. */
static bool depends(const lowering *l, int a, int b) {
    const int wa = l->uses[a].y, wb = l->uses[b].y;
    if (reads(l, b, wa) || reads(l, a, wb) || slots_overlap(l, wa, wb)) return true;
    const kcall *ca = &l->program->steps[a].call, *cb = &l->program->steps[b].call;
    return ca->op == KOP_KV_STORE && cb->op == KOP_ATTENTION &&
           (ca->keys.data == cb->keys.data || ca->keys.data == cb->values.data);
}

static void place_barriers(lowering *l) {
    cpu_program *p = l->program;
    for (int i = 1, since = 0; i < p->n_steps; i++) {
        for (int j = since; j < i && !p->steps[i].barrier; j++) p->steps[i].barrier = depends(l, j, i);
        if (p->steps[i].barrier) since = i;
    }
}

/* ---- All together ---------------------------------------------------------------------------------------------- */

static void finish_steps(lowering *l) {
    cpu_program *p = l->program;
    uint8_t *work = l->e->work ? l->e->work : CPU_SOMEWHERE; /* not there yet when its size is asked for */
    for (int i = 0; i < p->n_steps; i++) {
        cpu_step *s = &p->steps[i];
        const struct step_slots *u = &l->uses[i];
        if (u->x >= 0) s->call.x.data = work + l->slots[u->x].offset;
        if (u->z >= 0) s->call.z.data = work + l->slots[u->z].offset;
        if (u->residual >= 0) s->call.residual.data = work + l->slots[u->residual].offset;
        if (u->y >= 0) s->call.y.data = work + l->slots[u->y].offset;
        size_t scratch = s->row->scratch ? s->row->scratch(s->row, &s->call) : 0;
        if (scratch > p->scratch_bytes) p->scratch_bytes = scratch;
    }
}

nb_status cpu_lower(cpu_executor *e, int64_t n_tokens, int64_t n_outputs, cpu_program **out, nb_error *err) {
    *out = NULL;
    const plan *p = e->base.plan;
    lowering l = {.e = e, .p = p, .program = calloc(1, sizeof *l.program)};
    const size_t n_values = (size_t)p->n_values + 1;
    l.f32_slot = malloc(n_values * sizeof(int));
    l.form_slot = malloc(n_values * sizeof(int));
    l.wants = calloc(n_values, sizeof *l.wants);
    l.rows = calloc((size_t)p->n_steps + 1, sizeof *l.rows);
    nb_status status = NB_OK;
    if (!l.program || !l.f32_slot || !l.form_slot || !l.wants || !l.rows) l.failed = true;
    if (!l.failed) {
        l.program->n_tokens = n_tokens;
        l.program->n_outputs = n_outputs;
        memset(l.f32_slot, -1, n_values * sizeof(int));
        memset(l.form_slot, -1, n_values * sizeof(int));
        status = choose_rows(&l, err);
        for (int i = 0; i < p->n_steps && !status && !l.failed; i++) status = lower_step(&l, i, err);
    }
    if (!status && !l.failed) {
        const int logits = l.f32_slot[p->logits];
        if (logits >= 0) l.slots[logits].last = l.program->n_steps;
        l.program->work_bytes = place_slots(l.slots, l.n_slots);
        l.program->logits_offset = logits >= 0 ? l.slots[logits].offset : 0;
        place_barriers(&l);
        finish_steps(&l);
        void *counters = NULL;
        if (posix_memalign(&counters, 64, ((size_t)l.program->n_steps + 1) * sizeof(cpu_counter)) != 0)
            l.failed = true;
        else
            l.program->counters = counters;
    }
    if (!status && l.failed) status = err_no_memory(err, "the program of the plan", 0);
    free(l.slots);
    free(l.f32_slot);
    free(l.form_slot);
    free(l.wants);
    free(l.rows);
    free(l.uses);
    if (status)
        cpu_program_free(l.program);
    else
        *out = l.program;
    return status;
}

void cpu_program_free(cpu_program *p) {
    if (!p) return;
    free(p->steps);
    free(p->counters);
    free(p);
}
