/* SPDX-License-Identifier: Apache-2.0
 *
 * Conversions. Floats become integers towards zero, saturated, NaN as 0; integers and wider floats become floats by
 * MODE's rounding of the result's format. */
#include "gfx/valu_half.h"

#include "gfx/valu_soft.h"

#include <math.h>

/* ---- between floats ---- */

/* The source's denormals are those of f16, the result has none. */
static void cvt_f32_f16(valu_in in, gfx_valu_out *restrict out) {
    float f[GFX_LANES];
    f16_source(in, 0, f);
    EACH_LANE(i) {
        const uint32_t x = f32_bits(f[i]);
        out->lo[i] = f32_is_nan(x) ? x | 0x400000 : x;
    }
    f32_finish(in, out);
}

static void cvt_f16_f32(valu_in in, gfx_valu_out *restrict out) {
    uint32_t space[GFX_LANES];
    const uint32_t *s = f32_source(in, 0, space);
    const unsigned mode = in->mode.round16_64;
    if (mode == ROUND_EVEN) {
        EACH_LANE(i) out->lo[i] = f16_from_f32(s[i]);
    } else {
        EACH_LANE(i) out->lo[i] = (uint32_t)soft_convert(SOFT_F32, SOFT_F16, s[i], mode);
    }
    f16_finish(in, out);
}

/* Towards zero in any mode. */
static void cvt_pk_rtz_f16_f32(valu_in in, gfx_valu_out *restrict out) {
    uint32_t space[2][GFX_LANES];
    const uint32_t *s0 = f32_source(in, 0, space[0]), *s1 = f32_source(in, 1, space[1]);
    EACH_LANE(i) {
        uint32_t a = (uint32_t)soft_convert(SOFT_F32, SOFT_F16, s0[i], ROUND_ZERO);
        uint32_t b = (uint32_t)soft_convert(SOFT_F32, SOFT_F16, s1[i], ROUND_ZERO);
        if (!(in->mode.denorm16_64 & 2)) a = f16_flush(a), b = f16_flush(b);
        out->lo[i] = a | b << 16;
    }
}

static void cvt_f64_f32(valu_in in, gfx_valu_out *restrict out) {
    uint32_t space[GFX_LANES];
    const uint32_t *s = f32_source(in, 0, space);
    EACH_LANE(i) set_u64(out, i, soft_convert(SOFT_F32, SOFT_F64, s[i], ROUND_EVEN));
    f64_finish(in, out);
}

static void cvt_f32_f64(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = (uint32_t)soft_convert(SOFT_F64, SOFT_F32, f64_source(in, 0, i), in->mode.round32);
    f32_finish(in, out);
}

/* ---- integers to floats ---- */

#define FROM_U32(name, value)                                                                                          \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        const uint32_t *s = in->lo[0];                                                                                 \
        const unsigned mode = in->mode.round32;                                                                        \
        if (mode == ROUND_EVEN) {                                                                                      \
            EACH_LANE(i) {                                                                                             \
                const uint32_t x = s[i];                                                                               \
                out->lo[i] = f32_bits((float)(value));                                                                 \
            }                                                                                                          \
        } else {                                                                                                       \
            EACH_LANE(i) {                                                                                             \
                const uint32_t x = s[i];                                                                               \
                const int64_t v = (value);                                                                             \
                const uint64_t size = (uint64_t)(v < 0 ? -v : v);                                                      \
                out->lo[i] = (uint32_t)soft_from_int(SOFT_F32, v < 0, size, mode);                                     \
            }                                                                                                          \
        }                                                                                                              \
        f32_finish(in, out);                                                                                           \
    }

FROM_U32(cvt_f32_u32, x)
FROM_U32(cvt_f32_i32, (int32_t)x)
FROM_U32(cvt_f32_ubyte0, (int32_t)(x & 255))
FROM_U32(cvt_f32_ubyte1, (int32_t)(x >> 8 & 255))
FROM_U32(cvt_f32_ubyte2, (int32_t)(x >> 16 & 255))
FROM_U32(cvt_f32_ubyte3, (int32_t)(x >> 24))

/* Exact. */
static void cvt_f64_i32(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) set_u64(out, i, f64_bits((double)(int32_t)in->lo[0][i]));
    f64_finish(in, out);
}

static void cvt_f64_u32(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) set_u64(out, i, f64_bits((double)in->lo[0][i]));
    f64_finish(in, out);
}

static void cvt_f16_u16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) {
        const uint16_t x = (uint16_t)(in->lo[0][i] >> half_shift(in, 0));
        out->lo[i] = (uint32_t)soft_from_int(SOFT_F16, false, x, in->mode.round16_64);
    }
    f16_finish(in, out);
}

static void cvt_f16_i16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) {
        const int x = (int16_t)(in->lo[0][i] >> half_shift(in, 0));
        out->lo[i] = (uint32_t)soft_from_int(SOFT_F16, x < 0, (uint64_t)(x < 0 ? -x : x), in->mode.round16_64);
    }
    f16_finish(in, out);
}

/* Four bits as a signed multiple of 1/16. */
static void cvt_off_f32_i4(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = f32_bits((float)((int32_t)(in->lo[0][i] << 28) >> 28) * 0.0625f);
    f32_finish(in, out);
}

/* ---- floats to integers ---- */

static inline uint32_t to_i32(float x) {
    const float inside = x >= 0x1p31f ? 0 : x >= -0x1p31f ? x : 0;
    const uint32_t r = (uint32_t)(int32_t)inside;
    return x >= 0x1p31f ? INT32_MAX : x < -0x1p31f ? (uint32_t)INT32_MIN : r;
}

/* In two parts, so that the conversions are those of signed integers. */
static inline uint32_t to_u32(float x) {
    const bool upper = x >= 0x1p31f;
    const float shifted = upper ? x - 0x1p31f : x;
    const float inside = shifted >= 0x1p31f ? 0 : shifted >= 0 ? shifted : 0;
    const uint32_t r = (uint32_t)(int32_t)inside ^ (upper ? F32_SIGN : 0);
    return x >= 0x1p32f ? UINT32_MAX : r;
}

#define TO_INT(name, expr)                                                                                             \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        uint32_t space[GFX_LANES];                                                                                     \
        const uint32_t *s = f32_source(in, 0, space);                                                                  \
        EACH_LANE(i) {                                                                                                 \
            const float x = f32_of(s[i]);                                                                              \
            out->lo[i] = (expr);                                                                                       \
        }                                                                                                              \
    }

TO_INT(cvt_i32_f32, to_i32(x))
TO_INT(cvt_u32_f32, to_u32(x))
TO_INT(cvt_nearest_i32_f32, to_i32(floorf(x + 0.5f)))
TO_INT(cvt_floor_i32_f32, to_i32(floorf(x)))

static int64_t limited(double x, double low, double high) {
    return x != x ? 0 : (int64_t)(x < low ? low : x > high ? high : x);
}

static void cvt_i32_f64(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = (uint32_t)limited(f64_of(f64_source(in, 0, i)), INT32_MIN, INT32_MAX);
}

static void cvt_u32_f64(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = (uint32_t)limited(f64_of(f64_source(in, 0, i)), 0, UINT32_MAX);
}

static double f16_value(valu_in in, unsigned k, unsigned i) {
    return f32_of(f32_from_f16(f16_lane(in, k, i)));
}

static void cvt_i16_f16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = (uint16_t)limited(f16_value(in, 0, i), INT16_MIN, INT16_MAX);
}

static void cvt_u16_f16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = (uint16_t)limited(f16_value(in, 0, i), 0, UINT16_MAX);
}

#define PAIR(name, convert)                                                                                            \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        uint32_t space[2][GFX_LANES];                                                                                  \
        const uint32_t *s0 = f32_source(in, 0, space[0]), *s1 = f32_source(in, 1, space[1]);                           \
        EACH_LANE(i) out->lo[i] = convert(f32_of(s0[i])) | convert(f32_of(s1[i])) << 16;                               \
    }

static uint32_t to_i16(double x) {
    return (uint16_t)limited(x, INT16_MIN, INT16_MAX);
}

static uint32_t to_u16(double x) {
    return (uint16_t)limited(x, 0, UINT16_MAX);
}

/* [-1, 1] to [-32767, 32767] and [0, 1] to [0, 65535], to the nearest; the product is exact as double. */
static uint32_t to_snorm(double x) {
    return (uint16_t)limited(nearbyint(x * 32767), -32767, 32767);
}

static uint32_t to_unorm(double x) {
    return (uint16_t)limited(nearbyint(x * 65535), 0, 65535);
}

PAIR(cvt_pk_i16_f32, to_i16)
PAIR(cvt_pk_u16_f32, to_u16)
PAIR(cvt_pk_norm_i16_f32, to_snorm)
PAIR(cvt_pk_norm_u16_f32, to_unorm)

static void cvt_norm_i16_f16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = to_snorm(f16_value(in, 0, i));
}

static void cvt_norm_u16_f16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = to_unorm(f16_value(in, 0, i));
}

static void cvt_pk_norm_i16_f16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = to_snorm(f16_value(in, 0, i)) | to_snorm(f16_value(in, 1, i)) << 16;
}

static void cvt_pk_norm_u16_f16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = to_unorm(f16_value(in, 0, i)) | to_unorm(f16_value(in, 1, i)) << 16;
}

#define ONE(n, t, f)                                                                                                   \
    { .name = "v_" #n, .dst = t, .src = {f}, .run = n }
#define TWO(n, t, f)                                                                                                   \
    { .name = "v_" #n, .dst = t, .src = {f, f}, .run = n }

static const gfx_valu ops[] = {
    ONE(cvt_f32_f16, GFX_F32, GFX_F16),         ONE(cvt_f16_f32, GFX_F16, GFX_F32),
    TWO(cvt_pk_rtz_f16_f32, GFX_B32, GFX_F32),  ONE(cvt_f64_f32, GFX_F64, GFX_F32),
    ONE(cvt_f32_f64, GFX_F32, GFX_F64),         ONE(cvt_f32_u32, GFX_F32, GFX_U32),
    ONE(cvt_f32_i32, GFX_F32, GFX_I32),         ONE(cvt_f32_ubyte0, GFX_F32, GFX_U32),
    ONE(cvt_f32_ubyte1, GFX_F32, GFX_U32),      ONE(cvt_f32_ubyte2, GFX_F32, GFX_U32),
    ONE(cvt_f32_ubyte3, GFX_F32, GFX_U32),      ONE(cvt_f64_i32, GFX_F64, GFX_I32),
    ONE(cvt_f64_u32, GFX_F64, GFX_U32),         ONE(cvt_f16_u16, GFX_F16, GFX_U16),
    ONE(cvt_f16_i16, GFX_F16, GFX_I16),         ONE(cvt_off_f32_i4, GFX_F32, GFX_U32),
    ONE(cvt_i32_f32, GFX_I32, GFX_F32),         ONE(cvt_u32_f32, GFX_U32, GFX_F32),
    ONE(cvt_nearest_i32_f32, GFX_I32, GFX_F32), ONE(cvt_floor_i32_f32, GFX_I32, GFX_F32),
    ONE(cvt_i32_f64, GFX_I32, GFX_F64),         ONE(cvt_u32_f64, GFX_U32, GFX_F64),
    ONE(cvt_i16_f16, GFX_I16, GFX_F16),         ONE(cvt_u16_f16, GFX_U16, GFX_F16),
    TWO(cvt_pk_i16_f32, GFX_B32, GFX_F32),      TWO(cvt_pk_u16_f32, GFX_B32, GFX_F32),
    TWO(cvt_pk_norm_i16_f32, GFX_B32, GFX_F32), TWO(cvt_pk_norm_u16_f32, GFX_B32, GFX_F32),
    ONE(cvt_norm_i16_f16, GFX_I16, GFX_F16),    ONE(cvt_norm_u16_f16, GFX_U16, GFX_F16),
    TWO(cvt_pk_norm_i16_f16, GFX_B32, GFX_F16), TWO(cvt_pk_norm_u16_f16, GFX_B32, GFX_F16),
};
VALU_TABLE(valu_cvt_table, ops);
