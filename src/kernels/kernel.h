/* SPDX-License-Identifier: Apache-2.0
 *
 * What a kernel call is, what a row of the registry is. An operation's meaning is defined once, in src/ref/ (double
 * precision); everything that computes it is a row here, and the dispatcher, the kernel tests, `nibble verify` and
 * `nibble bench kernels` all walk the same rows. Relies on base only; backends add rows, plans make calls. */
#ifndef NB_KERNELS_KERNEL_H
#define NB_KERNELS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"

/* ---- Operands ------------------------------------------------------------------------------------------------ */

/* A row-major matrix: element (i, j) at data[i * stride + j], in elements of `type`. For the quantized activation form
 * (DT_XI8X3) data is a buffer of xform_bytes(rows, cols, group) (src/quant/xform.h), stride is unused.
 */
typedef struct kmat {
    void *data; /* NULL: absent, for operands that may be */
    dtype type;
    int64_t rows, cols, stride;
    int64_t group; /* of the quantized form: this many columns share a scale; else 0 */
} kmat;

/* A read-only vector as a file stores it: f16, bf16 or f32, at any address (files pad nothing). */
typedef struct kvec {
    const void *data; /* NULL: absent */
    dtype type;
} kvec;

typedef enum wmode { W_PLAIN, W_AFFINE, W_MXFP4, W_MXFP8, W_NVFP4, W_MODE_COUNT } wmode;

struct klayout;
struct gpu_launches;

/* A weight matrix W [n, k]: n outputs, k inputs, as MLX stores it (at any address: files pad nothing), and, when a
 * backend repacked it, the packed copy. k is a multiple of group_size; the codes of a row are one little-endian bit
 * stream of k * bits bits; s and b are the scale and bias of a code's group of group_size columns.
 *   affine  s * code + b; bits 2, 3, 4, 5, 6 or 8; groups of 32, 64 or 128
 *   mxfp4   2^(s - 127) * e2m1(code); 4 bits, groups of 32   (OCP Microscaling Formats 1.0; s = 255 is NaN)
 *   mxfp8   2^(s - 127) * e4m3(code); 8 bits, groups of 32
 *   nvfp4   e4m3(s) * e2m1(code); 4 bits, groups of 16 */
typedef struct kweight {
    wmode mode;
    dtype type; /* plain: of the elements; affine: of scales and biases (f16, bf16 or f32); else DT_U8 */
    int bits, group_size;
    int64_t n, k;
    const void *codes;            /* plain: elements [n, k]; else uint32 words [n, k * bits / 32] */
    const void *scales, *biases;  /* [n, k / group_size]; affine without biases (NULL): they are 0 */
    const struct klayout *layout; /* NULL: only as stored */
    const void *packed;           /* in `layout`, 64-byte aligned */
    /* A matrix for each expert: an array of n_experts matrices of this mode, type and shape, whose data each has of its
     * own; codes, scales, biases and packed here are NULL then, layout is that of each. 0 and NULL: a single matrix. */
    int64_t n_experts;
    const struct kweight *experts;
    /* Of a small matrix that stands for a larger one (verify/used.c): it is computed as one that has so much. */
    bool as_many_outputs, as_long_rows;
} kweight;

/* Sizes from which rows may choose other kernels. */
enum { KMANY_OUTPUTS = 32768, KLONG_ROW = 4096 /* bytes of a row's codes */ };
static inline bool kweight_many_outputs(const kweight *w) {
    return w->as_many_outputs || w->n >= KMANY_OUTPUTS;
}
static inline bool kweight_long_rows(const kweight *w) {
    return w->as_long_rows || w->k * w->bits >= 8 * KLONG_ROW;
}

/* Keys or values of one layer in pages: element (page, head, slot, d) at
 * ((page * n_heads + head) * page_size + slot) * head_dim + d. */
typedef struct kpages {
    void *data;
    dtype type; /* f32, f16 or bf16 */
    int64_t n_pages, n_heads, page_size, head_dim;
} kpages;

/* Recurrent states of one layer: what a sequence has left behind, at data + slot * size. All zero: an empty one. */
typedef struct kstates {
    float *data;
    int64_t n_slots, size; /* size: floats of one state */
} kstates;

/* What is done to a gate before it multiplies. */
typedef enum kact {
    ACT_NONE,
    ACT_SILU,       /* x / (1 + exp(-x)) */
    ACT_GELU,       /* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) */
    ACT_SIGMOID,    /* 1 / (1 + exp(-x)) */
    ACT_SWIGLU_OAI, /* gpt-oss: with a = min(x, 7): a / (1 + exp(-1.702 a)), and z counts as clamp(z, -7, 7) + 1 */
    ACT_COUNT
} kact;

/* What files store floats in, and rows read them in. */
static inline bool is_stored_float(dtype t) {
    return t == DT_F16 || t == DT_BF16 || t == DT_F32;
}

size_t kpages_bytes(const kpages *p);
/* Bytes of a weight's codes, and of its scales (or its biases); of experts those of each. */
size_t kweight_code_bytes(const kweight *w);
size_t kweight_scale_bytes(const kweight *w);

/* ---- Operations ---------------------------------------------------------------------------------------------- */

typedef enum kop {
    KOP_EMBED,      /* y[t] = scale * W[tokens[t]] */
    KOP_RMSNORM,    /* each row in n_parts equal parts (heads): y = x / sqrt(mean(x^2) + eps) * (offset + weight)
                       + residual. With a scale, y is multiplied by it */
    KOP_QUANTIZE,   /* y = x in an activation form, or rounded to f16 or bf16; the reference gives back what that
                       stands for */
    KOP_MATMUL,     /* y = x W^T + bias + residual. With normed, x stands for RMSNORM(x) (one part, weight2, eps,
                       offset). With an act, p = x W^T + bias has two halves, and y = act(p[j]) * p[n / 2 + j] */
    KOP_ROPE_TABLE, /* y[t] = [cos(p f_0), .., cos(p f_h-1), sin(p f_0), ..] * scale, p = positions[t], h = cols / 2 */
    KOP_ROPE,       /* rotates the first z.cols columns of each head by the angles of the table z. With normed, x stands
                       for RMSNORM(x) of each head */
    KOP_KV_STORE,   /* x[t] goes to the page and slot of token t: with normed, after RMSNORM of each head; with a table
                       z, after ROPE */
    KOP_ATTENTION,  /* softmax(scale q K^T) V over the token's own sequence, causal, in a window. With a softcap a score
                       s counts as softcap * tanh(s / softcap) */
    KOP_ACT_MUL,    /* y = act(x) * z; x.cols may be 1: one factor for the row */
    KOP_ADD,        /* y = x + z */
    KOP_SELECT_ROWS, /* y[i] = x[rows[i]] */
    KOP_SELECT_COLS, /* y[t][j] = x[t][columns[j]] */
    KOP_SCALE,       /* y = scale * x */
    KOP_SOFTCAP,     /* y = scale * tanh(x / scale) */
    /* Mixture of experts. ROUTE: of a row's logits x [rows, n_experts] the n_chosen largest (of equal ones the first),
     * in falling order: y = [their numbers, as floats | their softmax weights], 2 n_chosen columns. The softmax goes
     * over all experts, or over the chosen ones (normalize); the result is multiplied by weight[expert], if present.
     * Numbers are in range and differ from one another even where logits are NaN: they are followed unchecked. */
    KOP_ROUTE,
    KOP_MATMUL_EXPERTS, /* with z from ROUTE: y[t][s] = x[t] W_e^T + bias_e, e the s-th expert of t, n columns for each
                           s. x has k columns, or n_chosen * k: its own for each s. bias is weight [n_experts, n]. With
                           an act as MATMUL has it: n / 2 columns for each s */
    KOP_SUM_EXPERTS,    /* y[t] = sum over s of z's s-th weight * x[t][s], x in n_chosen parts, + residual */
    /* Gated delta net (Yang et al. 2024, "Gated Delta Networks", arXiv 2412.06464). */
    KOP_CONV1D,      /* causal depthwise convolution, W [C, kernel] plain: y[t][c] = act(sum over j of W[c][j] u[t + j -
                        kernel + 1][c]), u = x with the state [kernel - 1, C] (oldest first) in front; leaves the new state
                      */
    KOP_DELTA_GATES, /* x = a, z = b, [rows, heads]: y = [exp(-exp(weight) softplus(a + weight2)) | sigmoid(b)] */
    /* x = [q | k | v], n_keys heads of key_dim for q and for k, n_parts heads for v; z = [decay | beta] from
     * DELTA_GATES. q and k of each head are divided by sqrt(sum of squares + eps), q by sqrt(key_dim) as well. Value
     * head h goes with key head h / (n_parts / n_keys). The state is S [n_parts, value_dim, key_dim], value_dim =
     * y.cols / n_parts; for each token in order S = decay S; S += beta (v - S k) k^T; y = S q. Leaves the new state. */
    KOP_DELTA,
    /* Tokens from logits x [rows, vocabulary], each row with its sampler (kernels/sampler.h), as nb_sampler_draw draws
     * them. PENALIZE: y is x, changed in place by the sampler's biases and penalties, in fp32 and in this order, with
     * one right result. DRAW: y [rows, 1] is the token's number as a float: drawn from what the filters leave, or
     * without samplers the most likely one; of equal ones the first. -1: a logit is NaN or +infinity, or all are
     * -infinity. */
    KOP_PENALIZE,
    KOP_DRAW,
    KOP_COUNT
} kop;

/* One call. Fields that an operation does not name are zero. Rows are tokens. y never overlaps another operand, except
 * that ROPE, ADD, ACT_MUL, SCALE, SOFTCAP and RMSNORM may work in place (y.data == x.data with equal strides), and that
 * PENALIZE does. */
typedef struct kcall {
    kop op;
    kmat x, z, y;     /* y is the output of every operation but KV_STORE */
    const kweight *w; /* EMBED, MATMUL, MATMUL_EXPERTS, CONV1D */
    /* RMSNORM [cols / n_parts], absent = ones; MATMUL: bias [n], MATMUL_EXPERTS: [n_experts, n], absent = none;
     * ATTENTION: sinks [n_heads], logits that take part in the softmax without a value, absent = none; ROUTE:
     * [n_experts], absent = ones; DELTA_GATES: A_log [heads]; normed ROPE, KV_STORE: [head], absent = ones */
    kvec weight;
    kvec weight2; /* DELTA_GATES: dt_bias [heads]; normed MATMUL: [k], absent = ones */
    /* MATMUL, RMSNORM, SUM_EXPERTS: as y, f32, may be y itself (same data and stride); absent = none */
    kmat residual;
    bool normed;              /* MATMUL, ROPE, KV_STORE: x goes through RMSNORM first */
    float eps;                /* RMSNORM, DELTA, what is normed */
    float scale;              /* EMBED, ROPE_TABLE, ATTENTION, SCALE, SOFTCAP; RMSNORM, 0: none */
    float softcap;            /* ATTENTION; 0: none */
    float offset;             /* RMSNORM: 0, or 1 where weights are stored as their distance from 1 */
    kact act;                 /* ACT_MUL, CONV1D (ACT_NONE or ACT_SILU), MATMUL(_EXPERTS): none or a gated pair */
    int64_t n_parts;          /* RMSNORM: parts of a row that are normed on their own; ROPE: heads in a row; DELTA */
    int64_t n_keys, key_dim;  /* DELTA */
    int64_t n_chosen;         /* ROUTE, MATMUL_EXPERTS, SUM_EXPERTS */
    bool normalize;           /* ROUTE */
    bool interleaved;         /* ROPE: pairs are (2i, 2i + 1) instead of (i, i + z.cols / 2) */
    const int32_t *tokens;    /* EMBED [rows] */
    const int32_t *positions; /* ROPE_TABLE, KV_STORE, ATTENTION [rows]: place of the token in its sequence */
    const int32_t *rows;      /* SELECT_ROWS [y.rows] */
    const int32_t *columns;   /* SELECT_COLS [y.cols] */
    const double *freqs;      /* ROPE_TABLE [y.cols / 2]: radians per position */
    /* ATTENTION: q = x [rows, n_heads * head_dim], keys, values; KV_STORE: keys is where x goes. Query head h reads KV
     * head h / (n_heads / n_kv_heads). tables[t][p / page_size] is the page that holds position p of t's sequence;
     * tokens of one sequence have the same table pointer and stand together, positions ascending by one. */
    kpages keys, values;
    const int32_t *const *tables;
    int64_t window; /* ATTENTION: sees the last `window` positions, its own included; 0 = all before it */
    /* CONV1D, DELTA: read and replaced. slots[t] [rows] is the state of token t's sequence; tokens of one sequence
     * stand together, in order. */
    kstates states;
    const int32_t *slots;
    /* PENALIZE, DRAW: the sampler of row t begins slots[t] * KSAMPLER_UNIT bytes from `samplers` on. NULL: there are
     * none. */
    const void *samplers;
    size_t samplers_bytes;
} kcall;

/* ---- Rows ---------------------------------------------------------------------------------------------------- */

/* A repacked order of a weight, in which some rows read it. It replaces the mapped bytes, so it must not be larger than
 * they are (padding of a last tile apart), and holds the same codes, scales and biases bit for bit. */
typedef struct klayout {
    const char *name; /* "affine4.r16" */
    bool (*takes)(const kweight *w);
    size_t (*bytes)(const kweight *w);
    int64_t (*tasks)(const kweight *w);
    void (*pack)(const kweight *w, void *to, int64_t task_begin, int64_t task_end); /* tasks are independent */
} klayout;

typedef struct krow {
    const char *name;    /* operation.mode.what.instructions: "matmul.affine4.g64.bf16.avx2" */
    const char *backend; /* "cpu" */
    kop op;
    int rank;              /* the highest that takes the call wins; scalar rows have 0 */
    unsigned needs;        /* bits of cpu_caps (src/cpu/caps.h) */
    const klayout *layout; /* MATMUL(_EXPERTS): the weight must be packed so; NULL: reads it as stored */
    dtype x_type; /* MATMUL(_EXPERTS): the type of x that it reads; other operations: DT_NONE, `takes` decides */
    int param[4]; /* the row's own: bits, group, ... for functions that several rows share */
    /* How it sums: into so many partial sums at once, 0: 8 (src/verify/check_bound.c). With free_order the order
     * differs from run to run (atomic additions), so two runs agree only within the error model. */
    int chains;
    bool free_order;
    /* DELTA: takes a sequence's tokens several at a time, from the call's first on, so results hang, within the error
     * model, on where calls cut a sequence. */
    bool in_chunks;
    /* Products round their operands (x and the dequantized weight; queries, keys, weights of attention) to this type
     * before they multiply, and sum in fp32. DT_NONE: they do not. */
    dtype rounds_to;
    /* Takes operands below the smallest normal fp32 number for 0, or holds them coarsely: not tried with such. */
    bool flushes;
    unsigned fused;    /* KFUSED_...: what it can do beyond the operation proper */
    bool dequant_gemm; /* MATMUL: dequantizes the weight and leaves the product to a vendor's GEMM */
    /* Whether it can compute this call. The registry has checked op, layout, x_type and needs before. */
    bool (*takes)(const struct krow *row, const kcall *c);
    /* Into how many independent tasks the call falls (>= 1; asked for each call anew, with its operands in place), and
     * how much scratch each running thread needs (asked once for a shape, before there are operands). What is computed
     * must not depend on how the tasks are spread. */
    int64_t (*tasks)(const struct krow *row, const kcall *c);
    size_t (*scratch)(const struct krow *row, const kcall *c); /* NULL: none */
    /* Computes tasks [begin, end). scratch is 64-byte aligned and the thread's own. */
    void (*run)(const struct krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch);
    /* On devices that work from a queue, in place of run: adds the launches that compute the call, whose operands and
     * scratch lie in the device's memory (src/gpu/launch.h). */
    void (*enqueue)(const struct krow *row, const kcall *c, void *scratch, struct gpu_launches *to);
} krow;

/* Parts of a call that only some rows compute. A row takes a call that has one only if it says so. */
enum {
    KFUSED_NORM = 1,     /* normed */
    KFUSED_ACT = 2,      /* act of a product */
    KFUSED_RESIDUAL = 4, /* of RMSNORM, SUM_EXPERTS */
    KFUSED_ROPE = 8,     /* z of KV_STORE */
    KFUSED_SCALE = 16    /* of RMSNORM */
};
unsigned kcall_fused(const kcall *c);
/* Whether a residual is such a part; rows of MATMUL all take one. */
static inline bool kop_fuses_residual(kop op) {
    return op == KOP_RMSNORM || op == KOP_SUM_EXPERTS;
}
/* What RMSNORM multiplies its sum by: the call's scale, or without one 1. */
static inline float kcall_norm_scale(const kcall *c) {
    return c->scale != 0 ? c->scale : 1;
}

/* Whether a call is well formed: operands present, shapes that fit together, known types. What tokens, positions, rows
 * and tables hold is not looked at. */
bool kcall_ok(const kcall *c);

const char *kop_name(kop op);    /* "matmul" */
const char *wmode_name(wmode m); /* "affine" */
const char *kact_name(kact act); /* "silu" */

/* The end of the run of tokens from `first` on that share a state: the tokens of one sequence. */
static inline int64_t kcall_sequence_end(const kcall *c, int64_t first) {
    int64_t end = first + 1;
    while (end < c->x.rows && c->slots[end] == c->slots[first]) end++;
    return end;
}

/* Operations that multiply by a weight matrix, whose rows read x in a form of their own. */
static inline bool kop_is_product(kop op) {
    return op == KOP_MATMUL || op == KOP_MATMUL_EXPERTS;
}

#endif
