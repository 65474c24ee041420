/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix products of 16x16x16 in wave32. The layout is that of AMD's "How to accelerate AI applications on RDNA 3 using
 * WMMA" and of the RDNA3 ISA: both halves of the wave hold the same A and B, rows of C and D alternate between them.
 *
 * No document says in which order and with which roundings the sixteen products are added. Here sums are f32, one
 * fused product after the other onto C, denormals kept, and gfx_wmma_sums chooses other ways that hardware might take:
 * what a kernel computes must be right with each. Results of 16 bits are rounded once, at the end, to nearest even. */
#include "gfx/valu_half.h"

enum { SIDE = 16 };

typedef uint32_t registers[GFX_LANES];

static gfx_sums sums = GFX_SUMS_FORWARD;

void gfx_wmma_sums(gfx_sums s) {
    __atomic_store_n(&sums, s, __ATOMIC_RELAXED);
}

/* Row r: the r-th element of K for all rows of A, or all columns of B. */
typedef float operand[SIDE][SIDE];
typedef int32_t int_operand[SIDE][SIDE];

static bool halves_agree(const registers *x, unsigned n) {
    uint32_t differ = 0;
    for (unsigned r = 0; r < n; r++)
        for (unsigned l = 0; l < SIDE; l++) differ |= x[r][l] ^ x[r][l + SIDE];
    return !differ;
}

static void unpack_f16(const registers *restrict x, operand to, bool neg_low, bool neg_high) {
    const uint32_t low = neg_low ? F16_SIGN : 0, high = neg_high ? F16_SIGN : 0;
    for (unsigned r = 0; r < SIDE / 2; r++) {
        for (unsigned l = 0; l < SIDE; l++) to[2 * r][l] = f32_of(f32_from_f16((x[r][l] & 0xffff) ^ low));
        for (unsigned l = 0; l < SIDE; l++) to[2 * r + 1][l] = f32_of(f32_from_f16(x[r][l] >> 16 ^ high));
    }
}

static void unpack_bf16(const registers *restrict x, operand to, bool neg_low, bool neg_high) {
    const uint32_t low = neg_low ? F32_SIGN : 0, high = neg_high ? F32_SIGN : 0;
    for (unsigned r = 0; r < SIDE / 2; r++) {
        for (unsigned l = 0; l < SIDE; l++) to[2 * r][l] = f32_of(x[r][l] << 16 ^ low);
        for (unsigned l = 0; l < SIDE; l++) to[2 * r + 1][l] = f32_of((x[r][l] & 0xffff0000) ^ high);
    }
}

/* Row-major: register i of lane l is element 32 i + l, for the rows' sake that is 2 i + l / 16. */
enum { ELEMENTS = SIDE * SIDE };

/* One row of D, all columns at once; the loop over k is short and known, so that it unrolls inside of the columns'. */
static void row_forward(const operand a, const operand b, unsigned m, float *restrict d) {
    for (unsigned n = 0; n < SIDE; n++) {
        float sum = d[n];
        for (unsigned k = 0; k < SIDE; k++) sum = __builtin_fmaf(a[k][m], b[k][n], sum);
        d[n] = sum;
    }
}

static void row_backward(const operand a, const operand b, unsigned m, float *restrict d) {
    for (unsigned n = 0; n < SIDE; n++) {
        float sum = d[n];
        for (unsigned k = 0; k < SIDE; k++) sum = __builtin_fmaf(a[SIDE - 1 - k][m], b[SIDE - 1 - k][n], sum);
        d[n] = sum;
    }
}

static void row_pairs(const operand a, const operand b, unsigned m, float *restrict d) {
    for (unsigned n = 0; n < SIDE; n++) {
        float sum = d[n];
        for (unsigned k = 0; k < SIDE; k += 2) sum += __builtin_fmaf(a[k][m], b[k][n], a[k + 1][m] * b[k + 1][n]);
        d[n] = sum;
    }
}

/* Of C and D as f32, in place. */
static void product(const operand a, const operand b, float *restrict d) {
    const gfx_sums how = __atomic_load_n(&sums, __ATOMIC_RELAXED);
    for (unsigned m = 0; m < SIDE; m++) {
        float *row = d + m * SIDE;
        if (how == GFX_SUMS_FORWARD)
            row_forward(a, b, m, row);
        else if (how == GFX_SUMS_BACKWARD)
            row_backward(a, b, m, row);
        else
            row_pairs(a, b, m, row);
    }
    for (unsigned e = 0; e < ELEMENTS; e++) {
        const uint32_t x = f32_bits(d[e]);
        d[e] = f32_of(f32_is_nan(x) ? F32_QNAN : x);
    }
}

typedef void unpack(const registers *restrict x, operand to, bool neg_low, bool neg_high);

static bool unpack_both(unpack *f, const registers *a, const registers *b, unsigned neg, unsigned neg_hi, operand *to) {
    if (!halves_agree(a, 8) || !halves_agree(b, 8)) return false;
    f(a, to[0], neg & 1, neg_hi & 1);
    f(b, to[1], neg >> 1 & 1, neg_hi >> 1 & 1);
    return true;
}

/* C's own modifiers: neg_hi is abs. */
static bool to_f32(unpack *f, const registers *a, const registers *b, const registers *c, registers *d, uint8_t neg,
                   uint8_t neg_hi) {
    operand ab[2];
    float sum[ELEMENTS];
    const uint32_t keep = neg_hi & 4 ? ~F32_SIGN : ~0u, flip = neg & 4 ? F32_SIGN : 0;
    if (!unpack_both(f, a, b, neg, neg_hi, ab)) return false;
    for (unsigned i = 0; i < 8; i++) EACH_LANE(l) sum[GFX_LANES * i + l] = f32_of((c[i][l] & keep) ^ flip);
    product(ab[0], ab[1], sum);
    memcpy(d, sum, sizeof sum);
    return true;
}

static uint32_t bf16_from_f32(uint32_t x) {
    const uint32_t rounded = x + 0x7fff + (x >> 16 & 1);
    return (f32_is_nan(x) ? x | 0x400000 : rounded) >> 16;
}

static bool to_half(bool bf16, const registers *a, const registers *b, const registers *c, registers *d, uint8_t neg,
                    uint8_t neg_hi, uint8_t op_sel) {
    operand ab[2];
    float sum[ELEMENTS];
    const unsigned shift = op_sel & 4 ? 16 : 0;
    const uint32_t keep = neg_hi & 4 ? 0x7fff : 0xffff, flip = neg & 4 ? F16_SIGN : 0;
    if (!unpack_both(bf16 ? unpack_bf16 : unpack_f16, a, b, neg, neg_hi, ab)) return false;
    for (unsigned i = 0; i < 8; i++) EACH_LANE(l) {
            const uint32_t h = (c[i][l] >> shift & keep) ^ flip;
            sum[GFX_LANES * i + l] = f32_of(bf16 ? h << 16 : f32_from_f16(h));
        }
    product(ab[0], ab[1], sum);
    for (unsigned i = 0; i < 8; i++) EACH_LANE(l) {
            const uint32_t x = f32_bits(sum[GFX_LANES * i + l]);
            const uint32_t h = bf16 ? bf16_from_f32(x) : f16_from_f32(x);
            d[i][l] = (d[i][l] & ~(0xffffu << shift)) | h << shift;
        }
    return true;
}

#define WMMA_ARGS                                                                                                      \
    const uint32_t(*a)[GFX_LANES], const uint32_t(*b)[GFX_LANES], const uint32_t(*c)[GFX_LANES],                       \
        uint32_t(*d)[GFX_LANES], uint8_t neg, uint8_t neg_hi, uint8_t op_sel

static bool f32_f16(WMMA_ARGS) {
    (void)op_sel;
    return to_f32(unpack_f16, a, b, c, d, neg, neg_hi);
}

static bool f32_bf16(WMMA_ARGS) {
    (void)op_sel;
    return to_f32(unpack_bf16, a, b, c, d, neg, neg_hi);
}

static bool f16_f16(WMMA_ARGS) {
    return to_half(false, a, b, c, d, neg, neg_hi, op_sel);
}

static bool bf16_bf16(WMMA_ARGS) {
    return to_half(true, a, b, c, d, neg, neg_hi, op_sel);
}

/* K runs through a register from its low bits up. */
static void unpack_int(const registers *restrict x, int_operand to, unsigned bits, bool is_signed) {
    for (unsigned k = 0; k < SIDE; k++) {
        const unsigned down = 32 - bits, up = down - k * bits % 32;
        const uint32_t *from = x[k * bits / 32];
        for (unsigned l = 0; l < SIDE; l++)
            to[k][l] = is_signed ? (int32_t)(from[l] << up) >> down : (int32_t)(from[l] << up >> down);
    }
}

/* Sums wrap, or saturate once, at the end. */
static bool of_ints(unsigned bits, const registers *a, const registers *b, const registers *c, registers *d,
                    uint8_t neg, uint8_t op_sel) {
    int_operand x, y;
    const unsigned n = SIDE * bits / 32;
    if (!halves_agree(a, n) || !halves_agree(b, n)) return false;
    unpack_int(a, x, bits, neg & 1);
    unpack_int(b, y, bits, neg & 2);
    for (unsigned m = 0; m < SIDE; m++) {
        int32_t row[SIDE] = {0}; /* at most 16 255^2 */
        for (unsigned k = 0; k < SIDE; k++)
            for (unsigned i = 0; i < SIDE; i++) row[i] += x[k][m] * y[k][i];
        for (unsigned i = 0; i < SIDE; i++) {
            const unsigned l = i + m % 2 * SIDE;
            const int64_t sum = (int64_t)row[i] + (int32_t)c[m / 2][l];
            const int64_t saturated = sum < INT32_MIN ? INT32_MIN : sum > INT32_MAX ? INT32_MAX : sum;
            d[m / 2][l] = (uint32_t)(op_sel & 8 ? saturated : sum);
        }
    }
    return true;
}

static bool i32_iu8(WMMA_ARGS) {
    (void)neg_hi;
    return of_ints(8, a, b, c, d, neg, op_sel);
}

static bool i32_iu4(WMMA_ARGS) {
    (void)neg_hi;
    return of_ints(4, a, b, c, d, neg, op_sel);
}

static const gfx_wmma all[] = {
    {"v_wmma_f32_16x16x16_f16", f32_f16}, {"v_wmma_f32_16x16x16_bf16", f32_bf16},
    {"v_wmma_f16_16x16x16_f16", f16_f16}, {"v_wmma_bf16_16x16x16_bf16", bf16_bf16},
    {"v_wmma_i32_16x16x16_iu8", i32_iu8}, {"v_wmma_i32_16x16x16_iu4", i32_iu4},
};

const gfx_wmma *gfx_wmma_find(const char *name) {
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) return &all[i];
    return NULL;
}
