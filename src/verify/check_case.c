/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes the operands of a spec: numbers of its pattern, at the places in memory where stray reads are caught, and the
 * reference's result. Everything follows from the spec, so a failure can be made again. */
#include "verify/check_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/half.h"
#include "base/num.h"
#include "quant/xform.h"
#include "ref/ref.h"
#include "verify/check_bound.h"

nb_status check_no_memory(nb_error *err) {
    return err_no_memory(err, "a kernel check", 0);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t check_random(check *c) {
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int64_t check_below(check *c, int64_t n) {
    return (int64_t)(check_random(c) % (uint64_t)n);
}

float check_normal(check *c) {
    uint64_t r = check_random(c);
    int32_t sum = (int32_t)((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48)) - 2 * 0xffff;
    return (float)sum * (1.7320508f / 65536.0f);
}

static float number(check *c, check_pattern pattern, int64_t i) {
    static const float extremes[8] = {1e15f, -1e15f, 1e-15f, -1e-15f, 0.0f, -0.0f, 1.0f, -1.0f};
    uint64_t r = check_random(c);
    float sign = r & 1 ? -1.0f : 1.0f;
    switch (pattern) {
    case CHECK_SMALL:
        return check_normal(c) * 1e-4f;
    case CHECK_LARGE:
        return check_normal(c) * 1e3f;
    case CHECK_WIDE:
        return sign * exp2f((float)(r >> 8 & 0xffff) * (33.0f / 65536.0f) - 20.0f);
    case CHECK_ZERO:
        return 0.0f;
    case CHECK_ONE_HOT:
        return r >> 8 & 63 ? 0.0f : check_normal(c);
    case CHECK_SIGNED_ZERO:
        return r >> 8 & 15 ? 0.0f * sign : check_normal(c);
    case CHECK_EXTREME:
        return extremes[r & 7];
    case CHECK_SUBNORMAL:
        return f32_from_bits((uint32_t)(r & 0x807fffffu));
    case CHECK_ALTERNATE:
        return i & 1 ? -0.75f : 0.75f;
    default:
        return check_normal(c);
    }
}

static void store_number(void *to, dtype type, int64_t i, float x) {
    if (type == DT_F16) x = fminf(fmaxf(x, -60000.0f), 60000.0f);
    uint16_t half = type == DT_F16 ? f32_to_f16(x) : f32_to_bf16(x);
    size_t size = dtype_size(type);
    memcpy((uint8_t *)to + (size_t)i * size, type == DT_F32 ? (void *)&x : (void *)&half, size);
}

/* Memory for what a file stores: now and then at an odd address. */
static void *stored(check *c, int slot, size_t size) {
    return guard_input_before(&c->slots[slot], size, c->spec.misaligned && size % 2 == 0 ? 1 : 0);
}

/* A vector of n numbers; NULL when out of memory. */
static void *numbers(check *c, int slot, dtype type, int64_t n, check_pattern pattern, float factor) {
    size_t size = (size_t)n * dtype_size(type);
    void *data = slot == SLOT_STATES ? guard_input(&c->slots[slot], size) : stored(c, slot, size);
    for (int64_t i = 0; data && !c->only_shape && i < n; i++)
        store_number(data, type, i, number(c, pattern, i) * factor);
    return data;
}

bool check_matrix(check *c, int slot, kmat *m, int64_t rows, int64_t cols, check_pattern pattern) {
    int64_t stride = cols + (c->spec.strided ? 5 : 0);
    size_t bytes = (size_t)((rows - 1) * stride + cols) * sizeof(float);
    *m = (kmat){
        .data = guard_input(&c->slots[slot], bytes), .type = DT_F32, .rows = rows, .cols = cols, .stride = stride};
    if (!m->data || c->only_shape) return m->data != NULL;
    memset(m->data, 0xff, bytes);
    for (int64_t i = 0; i < rows * cols; i++) ((float *)m->data)[i / cols * stride + i % cols] = number(c, pattern, i);
    return true;
}

/* x as an activation form of the numbers that are in call.x. */
static bool encode_x(check *c) {
    kmat from = c->call.x, to = from;
    size_t bytes = xform_bytes(from.rows, from.cols, c->spec.group);
    to.type = c->spec.x_type;
    to.group = c->spec.group;
    to.stride = 0;
    to.data = guard_input(&c->slots[SLOT_FORM], bytes);
    if (!to.data) return false;
    memset(to.data, 0xff, bytes);
    for (int64_t t = 0; t < from.rows && !c->only_shape; t++)
        for (int64_t g = 0; g < to.cols / to.group; g++)
            xform_encode(&to, t, g, (const float *)from.data + t * from.stride + g * to.group);
    c->call.x = to;
    return true;
}

/* An fp32 matrix in 16 bits instead, with the same gaps. */
static bool narrow(check *c, int slot, kmat *m, dtype type) {
    kmat from = *m;
    size_t bytes = (size_t)((m->rows - 1) * m->stride + m->cols) * dtype_size(type);
    m->type = type;
    m->data = guard_input(&c->slots[slot], bytes);
    if (!m->data || c->only_shape) return m->data != NULL;
    memset(m->data, 0xff, bytes);
    for (int64_t i = 0; i < m->rows * m->cols; i++) {
        int64_t at = i / m->cols * m->stride + i % m->cols;
        store_number(m->data, type, at, ((const float *)from.data)[at]);
    }
    return true;
}

/* Activations in the type that the spec says. Tables of angles, residuals, and what ROUTE and DELTA_GATES make, are
 * fp32 always. */
static bool narrow_operands(check *c) {
    const check_spec *s = &c->spec;
    if (s->x_type != DT_F16 && s->x_type != DT_BF16) return true;
    bool both = s->op == KOP_ADD || s->op == KOP_ACT_MUL || s->op == KOP_DELTA_GATES;
    return narrow(c, SLOT_X_16, &c->call.x, s->x_type) && (!both || narrow(c, SLOT_Z_16, &c->call.z, s->x_type));
}

typedef enum codes_kind { CODES_ANY, CODES_LARGEST, CODES_ZERO } codes_kind;

static codes_kind kind_of_codes(const check_spec *s) {
    uint64_t kind = s->seed / CHECK_PATTERNS % 7;
    return kind == 3 ? CODES_LARGEST : kind == 5 ? CODES_ZERO : CODES_ANY;
}

/* Kinds of weights turn with the seed, apart from the pattern of x. */
static check_pattern pattern_of_weights(const check_spec *s) {
    static const check_pattern kinds[] = {CHECK_NORMAL, CHECK_WIDE, CHECK_NORMAL, CHECK_ALTERNATE, CHECK_EXTREME};
    return kinds[s->seed / CHECK_PATTERNS % 5];
}

/* Every third time ROUTE's logits are whole numbers, so that many are equal: their exponentials are few different
 * numbers, whose roundings in a sum go the same way. */
static bool has_ties(const check_spec *s) {
    return s->op == KOP_ROUTE && s->seed % 3 == 0;
}

/* Numbers of 16 bits, put through a function of one or two of them, fall between two outputs of 16 bits where the
 * function says, not anywhere. */
static bool is_grid(const check_spec *s) {
    const bool from = s->x_type == DT_F16 || s->x_type == DT_BF16, to = s->y_type == DT_F16 || s->y_type == DT_BF16;
    return from && to && (s->op == KOP_SOFTCAP || s->op == KOP_ADD || s->op == KOP_SCALE || s->op == KOP_ACT_MUL);
}

bool check_is_random(const check_spec *s) {
    if (is_grid(s)) return false;
    bool weighs = kop_is_product(s->op) || s->op == KOP_EMBED;
    bool random = s->pattern == CHECK_NORMAL || s->pattern == CHECK_SMALL || s->pattern == CHECK_LARGE;
    if ((s->op != KOP_EMBED && !random) || has_ties(s)) return false;
    return !weighs || (pattern_of_weights(s) == CHECK_NORMAL && kind_of_codes(s) == CODES_ANY);
}

/* Bytes of codes; now and then all the same: the largest, or 0. Among the codes of E4M3 two are NaN: one less instead.
 */
static uint8_t *codes(check *c, int slot, size_t bytes) {
    codes_kind kind = kind_of_codes(&c->spec);
    uint8_t *data = stored(c, slot, bytes);
    for (size_t i = 0; data && !c->only_shape && i < bytes; i++) {
        data[i] = kind == CODES_LARGEST ? 0xff : kind == CODES_ZERO ? 0 : (uint8_t)check_random(c);
        if (c->spec.mode == W_MXFP8 && (data[i] & 0x7f) == 0x7f) data[i]--;
    }
    return data;
}

/* Scales of one byte: powers of two from 2^-20 to 2^10, or any number of E4M3. */
static uint8_t *scale_bytes(check *c, int slot, int64_t n) {
    uint8_t *data = stored(c, slot, (size_t)n);
    for (int64_t i = 0; data && !c->only_shape && i < n; i++) {
        data[i] = (uint8_t)(c->spec.mode == W_NVFP4 ? check_random(c) : 107 + (uint64_t)check_below(c, 31));
        if (c->spec.mode == W_NVFP4 && (data[i] & 0x7f) == 0x7f) data[i]--;
    }
    return data;
}

/* Fills in the data of n rows of *w, whose other fields are set. */
static bool weight_data(check *c, kweight *w, int64_t n) {
    check_pattern pattern = pattern_of_weights(&c->spec);
    float factor = pattern == CHECK_NORMAL ? 0.05f : 1.0f;
    if (w->mode == W_PLAIN) {
        w->codes = numbers(c, SLOT_CODES, w->type, n * w->k, pattern, factor);
        return w->codes != NULL;
    }
    int64_t n_groups = n * (w->k / w->group_size);
    w->codes = codes(c, SLOT_CODES, (size_t)(n * w->k * w->bits / 8));
    if (w->mode != W_AFFINE) {
        w->scales = scale_bytes(c, SLOT_SCALES, n_groups);
        return w->codes && w->scales;
    }
    w->scales = numbers(c, SLOT_SCALES, w->type, n_groups, pattern, factor);
    if (!c->spec.no_biases) w->biases = numbers(c, SLOT_BIASES, w->type, n_groups, pattern, -4 * factor);
    return w->codes && w->scales && (c->spec.no_biases || w->biases);
}

static kweight weight_shape(const check_spec *s, int64_t n, int64_t k) {
    return (kweight){.mode = s->mode,
                     .type = s->w_type,
                     .bits = s->bits,
                     .group_size = s->group_size,
                     .n = n,
                     .k = k,
                     .as_many_outputs = s->as_many_outputs,
                     .as_long_rows = s->as_long_rows};
}

static bool weight(check *c, int64_t n, int64_t k) {
    c->w = weight_shape(&c->spec, n, k);
    c->call.w = &c->w;
    return weight_data(c, &c->w, n);
}

int32_t *check_integers(check *c, int64_t n, int64_t below) {
    int32_t *data = guard_input(&c->slots[SLOT_INTS], (size_t)n * sizeof *data);
    for (int64_t i = 0; data && i < n; i++) data[i] = (int32_t)check_below(c, below);
    return data;
}

/* n matrices of one shape: their data follow one another, as in a file. */
static bool expert_weights(check *c, int64_t n_experts, int64_t n, int64_t k) {
    kweight all = c->w = weight_shape(&c->spec, n, k);
    if (!weight_data(c, &all, n_experts * n)) return false;
    int64_t n_scales = all.mode == W_PLAIN ? 0 : n * (k / all.group_size);
    size_t code_bytes = all.mode == W_PLAIN ? (size_t)(n * k) * dtype_size(all.type) : (size_t)(n * k * all.bits / 8);
    size_t scale_bytes = (size_t)n_scales * dtype_size(all.type);
    for (int64_t e = 0; e < n_experts; e++) {
        kweight *w = &c->experts[e];
        *w = c->w;
        w->codes = (const uint8_t *)all.codes + (size_t)e * code_bytes;
        if (all.scales) w->scales = (const uint8_t *)all.scales + (size_t)e * scale_bytes;
        if (all.biases) w->biases = (const uint8_t *)all.biases + (size_t)e * scale_bytes;
    }
    c->w.n_experts = n_experts;
    c->w.experts = c->experts;
    c->call.w = &c->w;
    return true;
}

kweight *check_matrices(check *c, int64_t *n) {
    *n = c->w.experts ? c->w.n_experts : 1;
    return c->w.experts ? c->experts : &c->w;
}

/* z as ROUTE makes it: numbers that differ from one another within a token, then weights. What the operation has no use
 * for is NaN. */
static bool routing(check *c) {
    const check_spec *s = &c->spec;
    bool numbers_only = s->op == KOP_MATMUL_EXPERTS;
    if (!check_matrix(c, SLOT_Z, &c->call.z, s->rows, 2 * s->n_chosen, CHECK_NORMAL)) return false;
    for (int64_t t = 0; t < s->rows; t++) {
        float *z = (float *)c->call.z.data + t * c->call.z.stride;
        int64_t first = s->same_experts ? (int64_t)(s->seed % (uint64_t)s->n_experts) : check_below(c, s->n_experts);
        int64_t step = s->same_experts || check_below(c, 2) ? 1 : s->n_experts - 1;
        for (int64_t i = 0; i < s->n_chosen; i++) {
            if (numbers_only) z[i] = (float)((first + i * step) % s->n_experts);
            z[numbers_only ? s->n_chosen + i : i] = NAN;
        }
    }
    return true;
}

/* ---- Sequences and pages ------------------------------------------------------------------------------------- */

typedef struct sequence {
    int64_t n, first, last; /* tokens; positions of the first and the last one */
    int64_t n_entries;      /* of its table */
} sequence;

/* Tokens are dealt out evenly; the later sequences start anywhere. */
static sequence sequence_at(check *c, int64_t i) {
    const check_spec *s = &c->spec;
    sequence q = {.n = s->rows / s->n_seqs + (i < s->rows % s->n_seqs)};
    q.first = i == 0 ? s->start : (int64_t)((uint64_t)i * 0x9e3779b9u % (uint64_t)(s->start + 20));
    q.last = q.first + q.n - 1;
    q.n_entries = q.last / s->page_size + 1;
    return q;
}

/* 0 to n - 1 in random order. */
static int32_t *shuffled(check *c, int64_t n) {
    int32_t *order = malloc((size_t)n * sizeof *order);
    for (int64_t i = 0; order && i < n; i++) {
        int64_t j = check_below(c, i + 1);
        order[i] = order[j];
        order[j] = (int32_t)i;
    }
    return order;
}

/* Positions, tables and the pages' shape; the last page in the order is nobody's. Table entries that no token may look
 * at name a page of NaN. */
static bool sequences(check *c) {
    const check_spec *s = &c->spec;
    int64_t n_entries = 0, at = 0, token = 0;
    for (int64_t i = 0; i < s->n_seqs; i++) n_entries += sequence_at(c, i).n_entries;
    int32_t *order = shuffled(c, n_entries + 1);
    int32_t *entries = guard_input(&c->slots[SLOT_TABLES], (size_t)n_entries * sizeof *entries);
    const int32_t **starts = guard_input(&c->slots[SLOT_TABLE_STARTS], (size_t)s->rows * sizeof *starts);
    int32_t *positions = guard_input(&c->slots[SLOT_INTS], (size_t)s->rows * sizeof *positions);
    if (!order || !entries || !starts || !positions) {
        free(order);
        return false;
    }
    for (int64_t i = 0; i < s->n_seqs; i++) {
        sequence q = sequence_at(c, i);
        int64_t seen = s->op == KOP_KV_STORE ? q.first : s->window > 0 ? max_i64(0, q.first - s->window + 1) : 0;
        for (int64_t e = 0; e < q.n_entries; e++)
            entries[at + e] = e < seen / s->page_size ? order[n_entries] : order[at + e];
        for (int64_t t = 0; t < q.n; t++, token++) {
            starts[token] = entries + at;
            positions[token] = (int32_t)(q.first + t);
        }
        at += q.n_entries;
    }
    free(order);
    c->call.positions = positions;
    c->call.tables = starts;
    c->call.keys = (kpages){.type = s->kv_type,
                            .n_pages = n_entries + 1,
                            .n_heads = s->kv_heads,
                            .page_size = s->page_size,
                            .head_dim = s->head_dim};
    return true;
}

/* Numbers where some token of the call looks, NaN everywhere else. */
static bool fill_pages(check *c, int slot, kpages *p, check_pattern pattern) {
    size_t bytes = kpages_bytes(p);
    p->data = guard_input(&c->slots[slot], bytes);
    if (!p->data || c->only_shape) return p->data != NULL;
    memset(p->data, 0xff, bytes);
    for (int64_t i = 0, token = 0; i < c->spec.n_seqs; i++) {
        sequence q = sequence_at(c, i);
        int64_t seen = c->spec.window > 0 ? max_i64(0, q.first - c->spec.window + 1) : 0;
        for (int64_t pos = seen; pos <= q.last; pos++) {
            int64_t page = c->call.tables[token][pos / p->page_size], slot_at = pos % p->page_size;
            for (int64_t head = 0; head < p->n_heads; head++) {
                int64_t at = ((page * p->n_heads + head) * p->page_size + slot_at) * p->head_dim;
                for (int64_t d = 0; d < p->head_dim; d++) store_number(p->data, p->type, at + d, number(c, pattern, d));
            }
        }
        token += q.n;
    }
    return true;
}

/* ---- States --------------------------------------------------------------------------------------------------- */

/* A state for each sequence and two that are nobody's, in random order. */
static bool states(check *c, int64_t size) {
    const check_spec *s = &c->spec;
    int32_t *slots = check_integers(c, s->rows, 1), *order = shuffled(c, s->n_seqs + 2);
    c->call.states = (kstates){.n_slots = s->n_seqs + 2, .size = size};
    c->call.states.data = numbers(c, SLOT_STATES, DT_F32, c->call.states.n_slots * size, s->pattern, 1.0f);
    c->call.slots = slots;
    if (slots && order) {
        int64_t place = 0;
        for (int64_t t = 0; t < s->rows; t++) {
            int64_t left = s->n_seqs - 1 - place; /* sequences, of which each needs a token */
            if (t > 0 && left > 0 && (s->rows - t == left || check_below(c, s->rows - t) < left)) place++;
            slots[t] = order[place];
        }
    }
    free(order);
    return c->call.states.data && slots;
}

/* ---- Operations ---------------------------------------------------------------------------------------------- */

/* A vector of n numbers about 1 in a type that turns with the seed. */
static bool vector(check *c, int slot, kvec *v, int64_t n) {
    static const dtype types[] = {DT_F32, DT_F16, DT_BF16};
    v->type = types[c->spec.seed % 3];
    v->data = numbers(c, slot, v->type, n, CHECK_NORMAL, 1.0f);
    return v->data != NULL;
}

/* What RMSNORM needs, for calls that have it as a part: a weight of n, or none. */
static bool load_norm(check *c, int slot, kvec *norm_weight, int64_t n) {
    if (!c->spec.normed) return true;
    c->call.normed = true;
    c->call.eps = c->spec.seed % 2 ? 1e-5f : 1e-6f;
    c->call.offset = c->spec.offset ? 1.0f : 0.0f;
    return c->spec.seed % 8 == 0 || vector(c, slot, norm_weight, n);
}

static bool load_residual(check *c) {
    const check_spec *s = &c->spec;
    return !s->residual || check_matrix(c, SLOT_RESIDUAL, &c->call.residual, s->rows, s->cols, CHECK_NORMAL);
}

static bool load_matmul(check *c) {
    const check_spec *s = &c->spec;
    kcall *call = &c->call;
    int64_t n = s->act == ACT_NONE ? s->cols : 2 * s->cols;
    call->act = s->act;
    /* What is subnormal may be flushed, which a norm would make large. */
    const check_pattern pattern = s->normed && s->pattern == CHECK_SUBNORMAL ? CHECK_SMALL : s->pattern;
    if (!check_matrix(c, SLOT_X, &call->x, s->rows, s->k, pattern) || !weight(c, n, s->k)) return false;
    if (s->x_type == DT_XI8X3 && !encode_x(c)) return false;
    if (s->bias && !vector(c, SLOT_WEIGHT, &call->weight, n)) return false;
    if (!load_norm(c, SLOT_WEIGHT2, &call->weight2, s->k)) return false;
    return load_residual(c);
}

static bool load_experts(check *c) {
    const check_spec *s = &c->spec;
    int64_t n = s->cols / s->n_chosen * (s->act == ACT_NONE ? 1 : 2);
    c->call.n_chosen = s->n_chosen;
    c->call.act = s->act;
    return check_matrix(c, SLOT_X, &c->call.x, s->rows, s->own_x ? s->n_chosen * s->k : s->k, s->pattern) &&
           expert_weights(c, s->n_experts, n, s->k) && routing(c) && (s->x_type != DT_XI8X3 || encode_x(c)) &&
           (!s->bias || vector(c, SLOT_WEIGHT, &c->call.weight, s->n_experts * n));
}

static bool load_rmsnorm(check *c) {
    const check_spec *s = &c->spec;
    kcall *call = &c->call;
    call->n_parts = s->parts;
    call->eps = s->seed % 2 ? 1e-5f : 1e-6f;
    call->offset = s->offset ? 1.0f : 0.0f;
    if (s->scaled) call->scale = s->seed % 3 ? 0.71875f : -3.25f;
    call->weight.type = s->w_type;
    if (s->w_type != DT_NONE)
        call->weight.data = numbers(c, SLOT_WEIGHT, s->w_type, s->cols / s->parts, CHECK_NORMAL, 1.0f);
    return check_matrix(c, SLOT_X, &call->x, s->rows, s->cols, s->pattern) &&
           (s->w_type == DT_NONE || call->weight.data) && load_residual(c);
}

static bool load_rope(check *c) {
    const check_spec *s = &c->spec;
    c->call.n_parts = s->parts;
    c->call.interleaved = s->interleaved;
    return check_matrix(c, SLOT_X, &c->call.x, s->rows, s->cols, s->pattern) &&
           check_matrix(c, SLOT_Z, &c->call.z, s->rows, s->rotated, CHECK_NORMAL) &&
           load_norm(c, SLOT_WEIGHT, &c->call.weight, s->cols / s->parts);
}

static bool load_kv_store(check *c) {
    const check_spec *s = &c->spec;
    c->call.interleaved = s->interleaved;
    return check_matrix(c, SLOT_X, &c->call.x, s->rows, s->cols, s->pattern) && sequences(c) &&
           (!s->rotated || check_matrix(c, SLOT_Z, &c->call.z, s->rows, s->rotated, CHECK_NORMAL)) &&
           load_norm(c, SLOT_WEIGHT, &c->call.weight, s->head_dim);
}

static bool load_route(check *c) {
    const check_spec *s = &c->spec;
    c->call.n_chosen = s->n_chosen;
    c->call.normalize = s->normalize;
    if (!check_matrix(c, SLOT_X, &c->call.x, s->rows, s->n_experts, s->pattern)) return false;
    for (int64_t i = 0; has_ties(s) && !c->only_shape && i < s->rows * s->n_experts; i++) {
        float *x = (float *)c->call.x.data + i / s->n_experts * c->call.x.stride + i % s->n_experts;
        *x = rintf(*x);
    }
    return !s->bias || vector(c, SLOT_WEIGHT, &c->call.weight, s->n_experts);
}

static bool load_conv1d(check *c) {
    const check_spec *s = &c->spec;
    c->call.act = s->act;
    return check_matrix(c, SLOT_X, &c->call.x, s->rows, s->cols, s->pattern) && weight(c, s->cols, s->k) &&
           states(c, (s->k - 1) * s->cols);
}

static bool load_delta_gates(check *c) {
    const check_spec *s = &c->spec;
    int64_t heads = s->cols / 2;
    return check_matrix(c, SLOT_X, &c->call.x, s->rows, heads, s->pattern) &&
           check_matrix(c, SLOT_Z, &c->call.z, s->rows, heads, s->seed % 3 ? CHECK_NORMAL : s->pattern) &&
           vector(c, SLOT_WEIGHT, &c->call.weight, heads) && vector(c, SLOT_WEIGHT2, &c->call.weight2, heads);
}

/* Decays and betas are in [0, 1], as DELTA_GATES makes them; now and then all states are kept for long, or every beta
 * is 1. */
static bool load_delta(check *c) {
    const check_spec *s = &c->spec;
    kcall *call = &c->call;
    call->n_parts = s->parts;
    call->n_keys = s->n_keys;
    call->key_dim = s->key_dim;
    call->eps = 1e-6f;
    if (!check_matrix(c, SLOT_X, &call->x, s->rows, 2 * s->n_keys * s->key_dim + s->cols, s->pattern) ||
        !check_matrix(c, SLOT_Z, &call->z, s->rows, 2 * s->parts, CHECK_NORMAL) || !states(c, s->cols * s->key_dim))
        return false;
    for (int64_t i = 0; i < s->rows * s->parts; i++) {
        float *z = (float *)call->z.data + i / s->parts * call->z.stride + i % s->parts;
        float decay = (float)check_below(c, 65537) / 65536.0f, beta = (float)check_below(c, 65537) / 65536.0f;
        z[0] = s->seed % 3 ? 1.0f - decay / 64.0f : decay;
        z[s->parts] = s->seed % 5 ? beta : 1.0f;
    }
    return true;
}

static bool load_rope_table(check *c) {
    const check_spec *s = &c->spec;
    double *freqs = guard_input(&c->slots[SLOT_FREQS], (size_t)(s->cols / 2) * sizeof *freqs);
    for (int64_t i = 0; freqs && i < s->cols / 2; i++) freqs[i] = pow(1e4, -2.0 * (double)i / (double)s->cols);
    c->call.freqs = freqs;
    c->call.positions = check_integers(c, s->rows, 131072);
    return c->call.freqs && c->call.positions;
}

/* Keys stay about 1, whatever the pattern: with larger ones no fp32 softmax says anything. Nor with a softcap where
 * terms of 1e15 cancel: what is left of them may be any score. */
static bool load_attention(check *c) {
    const check_spec *s = &c->spec;
    const check_pattern queries = s->softcap > 0 && s->pattern == CHECK_EXTREME ? CHECK_LARGE : s->pattern;
    if (!check_matrix(c, SLOT_X, &c->call.x, s->rows, s->cols, queries) || !sequences(c)) return false;
    c->call.values = c->call.keys;
    c->call.scale = 1.0f / sqrtf((float)s->head_dim);
    c->call.window = s->window;
    c->call.softcap = (float)s->softcap;
    if (s->bias && !vector(c, SLOT_WEIGHT, &c->call.weight, s->parts)) return false;
    check_pattern values = s->pattern == CHECK_SUBNORMAL ? CHECK_NORMAL : s->pattern;
    return fill_pages(c, SLOT_KEYS, &c->call.keys, CHECK_NORMAL) && fill_pages(c, SLOT_VALUES, &c->call.values, values);
}

static bool load_operands(check *c) {
    const check_spec *s = &c->spec;
    kcall *call = &c->call;
    switch (s->op) {
    case KOP_EMBED:
        call->scale = s->seed % 2 ? 1.0f : 3.25f;
        return (call->tokens = check_integers(c, s->rows, 37)) && weight(c, 37, s->cols);
    case KOP_RMSNORM:
        return load_rmsnorm(c);
    case KOP_MATMUL:
        return load_matmul(c);
    case KOP_ROPE_TABLE:
        call->scale = s->seed % 2 ? 1.0f : 1.1875f;
        return load_rope_table(c);
    case KOP_ROPE:
        return load_rope(c);
    case KOP_KV_STORE:
        return load_kv_store(c);
    case KOP_ATTENTION:
        return load_attention(c);
    case KOP_ACT_MUL:
        call->act = s->act;
        /* fall through */
    case KOP_ADD:
        return check_matrix(c, SLOT_X, &call->x, s->rows, s->one_factor ? 1 : s->cols, s->pattern) &&
               check_matrix(c, SLOT_Z, &call->z, s->rows, s->cols, s->seed % 3 ? CHECK_NORMAL : s->pattern);
    case KOP_SELECT_ROWS:
        return check_matrix(c, SLOT_X, &call->x, 7, s->cols, s->pattern) &&
               (call->rows = check_integers(c, s->rows, 7));
    case KOP_SELECT_COLS:
        return check_matrix(c, SLOT_X, &call->x, s->rows, 61, s->pattern) &&
               (call->columns = check_integers(c, s->cols, 61));
    case KOP_SCALE:
    case KOP_SOFTCAP:
        call->scale = s->seed % 2 ? 30.0f : 0.7f;
        /* fall through */
    case KOP_QUANTIZE:
        return check_matrix(c, SLOT_X, &call->x, s->rows, s->cols, s->pattern);
    case KOP_ROUTE:
        return load_route(c);
    case KOP_MATMUL_EXPERTS:
        return load_experts(c);
    case KOP_SUM_EXPERTS:
        call->n_chosen = s->n_chosen;
        return check_matrix(c, SLOT_X, &call->x, s->rows, s->n_chosen * s->cols, s->pattern) && routing(c) &&
               load_residual(c);
    case KOP_CONV1D:
        return load_conv1d(c);
    case KOP_DELTA_GATES:
        return load_delta_gates(c);
    case KOP_DELTA:
        return load_delta(c);
    case KOP_PENALIZE:
    case KOP_DRAW:
        return check_load_draws(c);
    case KOP_COUNT:
        break;
    }
    return false;
}

static void free_ref(check *c) {
    free(c->ref);
    free(c->mag);
    free(c->variance);
    free(c->rounding);
}

static bool reserve_ref(check *c, size_t n) {
    if (n <= c->ref_cap) return true;
    free_ref(c);
    c->ref = malloc(n * sizeof *c->ref);
    c->mag = malloc(n * sizeof *c->mag);
    c->variance = malloc(n * sizeof *c->variance);
    c->rounding = malloc(2 * n * sizeof *c->rounding);
    c->ref_cap = c->ref && c->mag && c->variance && c->rounding ? n : 0;
    return c->ref_cap > 0;
}

static nb_status load(check *c, const check_spec *spec, nb_error *err) {
    c->spec = *spec;
    c->random = spec->seed * 2654435761u + (uint64_t)spec->op;
    c->call = (kcall){.op = spec->op};
    c->w = (kweight){0};
    c->has_ref = false;
    c->variance_chains = 0;
    c->rounding_type = DT_NONE;
    if (!load_operands(c) || !narrow_operands(c)) return check_no_memory(err);
    if (spec->op != KOP_KV_STORE) {
        dtype y_type = spec->y_type == DT_NONE ? DT_F32 : spec->y_type;
        bool form = y_type == DT_XI8X3;
        c->call.y = (kmat){.type = y_type, .rows = spec->rows, .cols = spec->cols};
        c->call.y.stride = form ? 0 : spec->cols + (spec->strided ? 3 : 0);
        c->call.y.group = form ? spec->group : 0;
    }
    return NB_OK;
}

nb_status check_load(check *c, const check_spec *spec, nb_error *err) {
    c->only_shape = false;
    return load(c, spec, err);
}

static bool is_ordinary(const check_spec *s) {
    bool narrow_x = s->x_type == DT_F16 || s->x_type == DT_BF16;
    bool fused = s->normed || (kop_fuses_residual(s->op) && s->residual) || (s->op == KOP_KV_STORE && s->rotated) ||
                 (s->op == KOP_RMSNORM && s->scaled) || (kop_is_product(s->op) && s->act != ACT_NONE);
    bool rounds = s->op == KOP_QUANTIZE && s->y_type != DT_XI8X3;
    return !narrow_x && !fused && !rounds;
}

nb_status check_load_for(check *c, const check_spec *spec, const kregistry *r, bool *taken, nb_error *err) {
    *taken = is_ordinary(spec);
    if (!*taken) {
        c->only_shape = true;
        nb_status status = load(c, spec, err);
        if (status != NB_OK) return status;
        for (size_t i = 0; i < kreg_count(r) && !*taken; i++)
            *taken = kreg_at(r, i)->op == spec->op && check_takes(c, kreg_at(r, i));
    }
    return *taken ? check_load(c, spec, err) : NB_OK;
}

void check_set_clock(check *c, const check_clock *clock) {
    c->clock = *clock;
}

void check_begins(const check *c, double times) {
    if (c->clock.begins) c->clock.begins(c->clock.user, times * c->ref_seconds);
}

void check_ends(const check *c) {
    if (c->clock.ends) c->clock.ends(c->clock.user);
}

nb_status check_run(const check *c, device *d, const krow *row, const kcall *call, int64_t begin, int64_t end,
                    void *scratch, double times, nb_error *err) {
    nb_status status = d->prepare ? d->prepare(d, row, call, scratch, err) : NB_OK;
    if (status != NB_OK) return status;
    check_begins(c, times);
    status = d->run(d, row, call, begin, end, scratch, err);
    check_ends(c);
    return status;
}

nb_status check_reference(check *c, nb_error *err) {
    if (c->has_ref) return NB_OK;
    if (!reserve_ref(c, (size_t)ref_count(&c->call))) return check_no_memory(err);
    const double start = clock_now();
    ref_run(&c->call, c->ref, c->mag);
    c->ref_seconds = clock_now() - start;
    c->has_ref = true;
    return NB_OK;
}

nb_status check_rounding(check *c, const krow *row, const double **rounding, nb_error *err) {
    *rounding = NULL;
    if (row->rounds_to == DT_NONE || c->spec.op == KOP_KV_STORE) return NB_OK;
    if (c->rounding_type != row->rounds_to) {
        double *variance = c->rounding + c->spec.rows * c->spec.cols;
        if (!ref_rounding(&c->call, row->rounds_to, c->rounding, variance)) return check_no_memory(err);
        c->rounding_type = row->rounds_to;
    }
    *rounding = c->rounding;
    return NB_OK;
}

/* In units of u^2, to the variance of fp32's roundings. */
static void add_rounding(check *c) {
    const int64_t n = c->spec.rows * c->spec.cols;
    for (int64_t i = 0; i < n; i++) c->variance[i] += c->rounding[n + i] * 0x1p48;
}

/* A few thousand elements say as much as millions. */
const double *check_variance(check *c, const krow *row) {
    int chains = chains_of(row);
    bool large = c->spec.rows * c->spec.cols > 1 << 18;
    if (large || !check_is_random(&c->spec) || c->variance_chains < 0) return NULL;
    if (c->variance_chains != chains || c->variance_rounds_to != row->rounds_to) {
        c->variance_chains = ref_variance(&c->call, c->ref, chains, c->variance) ? chains : -1;
        c->variance_rounds_to = row->rounds_to;
        if (c->variance_chains > 0 && c->rounding_type != DT_NONE && c->rounding_type == row->rounds_to)
            add_rounding(c);
    }
    return c->variance_chains < 0 ? NULL : c->variance;
}

nb_status check_new(check **out, nb_error *err) {
    *out = calloc(1, sizeof **out);
    return *out ? NB_OK : check_no_memory(err);
}

void check_free(check *c) {
    if (!c) return;
    for (int i = 0; i < SLOT_COUNT; i++) guard_free(&c->slots[i]);
    free_ref(c);
    mirror_free(&c->mirror);
    free(c);
}
