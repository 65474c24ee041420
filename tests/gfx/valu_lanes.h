/* SPDX-License-Identifier: Apache-2.0
 *
 * For the files that implement instructions: reading sources with their modifiers, finishing results, and the shape of
 * their tables. Loops over lanes are plain so that the compiler vectorizes them; whatever only some modes need is
 * kept out of them. */
#ifndef NB_TESTS_GFX_VALU_LANES_H
#define NB_TESTS_GFX_VALU_LANES_H

#include "gfx/valu.h"

#include <string.h>

#define EACH_LANE(i) for (unsigned i = 0; i < GFX_LANES; i++)

enum { ROUND_EVEN, ROUND_UP, ROUND_DOWN, ROUND_ZERO };

#define F32_SIGN 0x80000000u
#define F32_INF  0x7f800000u
#define F32_QNAN 0x7fc00000u
#define F64_SIGN 0x8000000000000000u
#define F64_INF  0x7ff0000000000000u
#define F64_QNAN 0x7ff8000000000000u
#define F16_SIGN 0x8000u
#define F16_INF  0x7c00u
#define F16_QNAN 0x7e00u

typedef const gfx_valu_in *valu_in;
typedef gfx_valu_out *restrict valu_out;

/* A file's instructions; valu.c knows them all. */
typedef struct valu_table {
    const gfx_valu *ops;
    size_t n;
} valu_table;

#define VALU_TABLE(name, array) const valu_table name = {array, sizeof(array) / sizeof *(array)}

static inline float f32_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t f32_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline double f64_of(uint64_t bits) {
    double f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint64_t f64_bits(double f) {
    uint64_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline uint64_t u64_at(valu_in in, unsigned k, unsigned i) {
    return (uint64_t)in->hi[k][i] << 32 | in->lo[k][i];
}

static inline void set_u64(valu_out out, unsigned i, uint64_t v) {
    out->lo[i] = (uint32_t)v;
    out->hi[i] = (uint32_t)(v >> 32);
}

static inline uint32_t lane_bit(uint32_t mask, unsigned i) {
    return mask >> i & 1;
}

static inline bool f32_is_nan(uint32_t x) {
    return (x & ~F32_SIGN) > F32_INF;
}
static inline bool f64_is_nan(uint64_t x) {
    return (x & ~F64_SIGN) > F64_INF;
}
static inline bool f16_is_nan(uint32_t x) {
    return (x & 0x7fff) > F16_INF;
}

static inline uint32_t f32_flush(uint32_t x) {
    return x & F32_INF ? x : x & F32_SIGN;
}
static inline uint64_t f64_flush(uint64_t x) {
    return x & F64_INF ? x : x & F64_SIGN;
}
static inline uint32_t f16_flush(uint32_t x) {
    return x & F16_INF ? x : x & F16_SIGN;
}

/* neg and abs of source k as masks of a sign bit. */
static inline uint32_t sign_keep(valu_in in, unsigned k, uint32_t sign) {
    return in->abs >> k & 1 ? ~sign : ~0u;
}
static inline uint32_t sign_flip(valu_in in, unsigned k, uint32_t sign) {
    return in->neg >> k & 1 ? sign : 0;
}

/* Source k after abs, neg and MODE's flushing: the source itself when none applies, or else in space. */
static inline const uint32_t *f32_source(valu_in in, unsigned k, uint32_t *restrict space) {
    const uint32_t *s = in->lo[k];
    const bool flush = !(in->mode.denorm32 & 1);
    if (!((in->neg | in->abs) >> k & 1) && !flush) return s;
    const uint32_t keep = sign_keep(in, k, F32_SIGN), flip = sign_flip(in, k, F32_SIGN);
    EACH_LANE(i) {
        const uint32_t x = (s[i] & keep) ^ flip;
        space[i] = flush ? f32_flush(x) : x;
    }
    return space;
}

static inline uint64_t f64_source(valu_in in, unsigned k, unsigned i) {
    uint64_t x = u64_at(in, k, i);
    if (in->abs >> k & 1) x &= ~F64_SIGN;
    if (in->neg >> k & 1) x ^= F64_SIGN;
    return in->mode.denorm16_64 & 1 ? x : f64_flush(x);
}

/* The 16 bits of source k that op_sel names. */
static inline unsigned half_shift(valu_in in, unsigned k) {
    return in->op_sel >> k & 1 ? 16 : 0;
}

/* What stands behind a result: output modifier, flushing, clamp. The output modifier does nothing where results keep
 * denormals or in IEEE mode (RDNA3 ISA, "Output modifiers"); it turns -0 into +0. */
void f32_finish_slow(valu_in in, valu_out out);
void f64_finish_slow(valu_in in, valu_out out);
void f16_finish_slow(valu_in in, valu_out out); /* lo: one f16 a lane */

static inline void f32_finish(valu_in in, valu_out out) {
    if (in->clamp || !(in->mode.denorm32 & 2)) f32_finish_slow(in, out);
}

static inline void f64_finish(valu_in in, valu_out out) {
    if (in->clamp || !(in->mode.denorm16_64 & 2)) f64_finish_slow(in, out);
}

static inline void f16_finish(valu_in in, valu_out out) {
    if (in->clamp || !(in->mode.denorm16_64 & 2)) f16_finish_slow(in, out);
}

/* Results that are NaNs become what valu.h says; s are n sources as they were computed with. */
void f32_nans(valu_out out, unsigned n, const uint32_t *const *s);

/* Instructions of 32-bit numbers, by what they make of each lane's a, b and c. */
#define OP1(name, expr)                                                                                                \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        const uint32_t *s0 = in->lo[0];                                                                                \
        EACH_LANE(i) {                                                                                                 \
            const uint32_t a = s0[i];                                                                                  \
            out->lo[i] = (uint32_t)(expr);                                                                             \
        }                                                                                                              \
    }

#define OP2(name, expr)                                                                                                \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        const uint32_t *s0 = in->lo[0], *s1 = in->lo[1];                                                               \
        EACH_LANE(i) {                                                                                                 \
            const uint32_t a = s0[i], b = s1[i];                                                                       \
            out->lo[i] = (uint32_t)(expr);                                                                             \
        }                                                                                                              \
    }

#define OP3(name, expr)                                                                                                \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        const uint32_t *s0 = in->lo[0], *s1 = in->lo[1], *s2 = in->lo[2];                                              \
        EACH_LANE(i) {                                                                                                 \
            const uint32_t a = s0[i], b = s1[i], c = s2[i];                                                            \
            out->lo[i] = (uint32_t)(expr);                                                                             \
        }                                                                                                              \
    }

#endif
