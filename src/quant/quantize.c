/* SPDX-License-Identifier: Apache-2.0
 *
 * The definition of quantizing in portable C. Which roundings matter: MLX's affine quantizer computes in fp32 from the
 * elements as they are and rounds scale and bias to the matrix's type only when it stores them, so codes come from the
 * unrounded ones; the other modes compute every step in the matrix's type T. Sources: OCP Microscaling Formats 1.0 for
 * e8m0, e4m3 and e2m1; MLX's behaviour was measured (tools/fuzz_quantize.py compares). Nothing here may be contracted
 * to fused multiply-adds. */
#include "quant/quantize.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/num.h"
#include "quant/quantize_fast.h"

const float quant_fp4_values[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                    -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

/* ---- Formats --------------------------------------------------------------------------------------------------- */

quant_format quant_default(wmode mode) {
    static const quant_format defaults[W_MODE_COUNT] = {
        [W_AFFINE] = {W_AFFINE, 4, 64},
        [W_MXFP4] = {W_MXFP4, 4, 32},
        [W_MXFP8] = {W_MXFP8, 8, 32},
        [W_NVFP4] = {W_NVFP4, 4, 16},
    };
    return (unsigned)mode < W_MODE_COUNT ? defaults[mode] : (quant_format){0};
}

bool quant_format_ok(const quant_format *f) {
    if (f->mode == W_AFFINE)
        return f->bits >= 2 && f->bits <= 8 && f->bits != 7 &&
               (f->group_size == 32 || f->group_size == 64 || f->group_size == 128);
    quant_format only = quant_default(f->mode);
    return only.bits && f->bits == only.bits && f->group_size == only.group_size;
}

bool quant_mode_named(const char *name, wmode *mode) {
    for (int m = W_PLAIN + 1; m < W_MODE_COUNT; m++)
        if (strcmp(name, wmode_name((wmode)m)) == 0) {
            *mode = (wmode)m;
            return true;
        }
    return false;
}

/* ---- Elements of a type ---------------------------------------------------------------------------------------- */

static void load_group(const void *w, dtype type, int64_t first, int n, float *x) {
    for (int j = 0; j < n; j++) x[j] = float_at_f32(w, type, first + j);
}

/* x as an element of `type`, back in fp32: the rounding of a computation in that type. */
static float rounded(float x, dtype type) {
    return type == DT_F16 ? f16_to_f32(f32_to_f16(x)) : type == DT_BF16 ? bf16_to_f32(f32_to_bf16(x)) : x;
}

static void store(void *to, dtype type, int64_t i, float x) {
    if (type == DT_F32) {
        memcpy((char *)to + 4 * i, &x, 4);
    } else {
        uint16_t h = type == DT_F16 ? f32_to_f16(x) : f32_to_bf16(x);
        memcpy((char *)to + 2 * i, &h, 2);
    }
}

/* Codes as a little-endian bit stream: 8 codes are always whole bytes. */
static void pack(const uint8_t *q, int n, int bits, uint8_t *to) {
    for (int j = 0; j < n; j += 8, to += bits) {
        uint64_t word = 0;
        for (int k = 0; k < 8; k++) word |= (uint64_t)q[j + k] << k * bits;
        for (int b = 0; b < bits; b++) to[b] = (uint8_t)(word >> 8 * b);
    }
}

static void unpack(const uint8_t *from, int n, int bits, uint8_t *q) {
    for (int j = 0; j < n; j += 8, from += bits) {
        uint64_t word = 0;
        for (int b = 0; b < bits; b++) word |= (uint64_t)from[b] << 8 * b;
        for (int k = 0; k < 8; k++) q[j + k] = (uint8_t)(word >> k * bits & ((1u << bits) - 1));
    }
}

/* ---- Affine ---------------------------------------------------------------------------------------------------- */

/* The scale spans the group's range in 2^bits - 1 steps and has the sign that makes the end of larger magnitude (the
 * "edge", negative on a tie only if it is larger) the bias; then it is stretched so that zero is a whole number of
 * steps away from the edge and is met exactly. Roundings: the range, each quotient, ties to even. */
static void affine_params(const float *x, int n, int bits, float *scale, float *bias) {
    float low = INFINITY, high = -INFINITY;
    for (int j = 0; j < n; j++) {
        if (x[j] > high) high = x[j];
        if (x[j] < low) low = x[j];
    }
    const float steps = (float)((1 << bits) - 1), smallest = 1e-7f;
    bool from_low = fabsf(low) > fabsf(high);
    float s = (high - low) / steps;
    s = s < smallest ? smallest : s;
    *scale = from_low ? s : -s;
    *bias = 0;
    float edge = from_low ? low : high, zero_at = rintf(edge / *scale);
    if (zero_at != 0) {
        *scale = edge / zero_at;
        *bias = edge;
    }
}

static void affine_codes(const float *x, int n, int bits, float scale, float bias, uint8_t *q) {
    const float top = (float)((1 << bits) - 1);
    for (int j = 0; j < n; j++) {
        float c = rintf((x[j] - bias) / scale);
        c = c > 0 ? c : 0; /* a NaN, which a constant group of more than 3.4e31 gives, becomes 0 too */
        q[j] = (uint8_t)(c < top ? c : top);
    }
}

static void affine_encode(const quant_format *f, dtype type, const void *w, int64_t n_groups, uint8_t *codes,
                          void *scales, void *biases) {
    const int n = f->group_size;
    for (int64_t g = 0; g < n_groups; g++, codes += quant_group_bytes(f)) {
        float x[QUANT_MAX_GROUP], scale, bias;
        uint8_t q[QUANT_MAX_GROUP];
        load_group(w, type, g * n, n, x);
        affine_params(x, n, f->bits, &scale, &bias);
        affine_codes(x, n, f->bits, scale, bias, q);
        pack(q, n, f->bits, codes);
        store(scales, type, g, scale);
        store(biases, type, g, bias);
    }
}

/* Product and sum are each rounded to the scales' type. */
static void affine_decode(const quant_format *f, dtype type, const uint8_t *codes, const void *scales,
                          const void *biases, int64_t n_groups, dtype out_type, void *out) {
    const int n = f->group_size;
    for (int64_t g = 0; g < n_groups; g++, codes += quant_group_bytes(f)) {
        uint8_t q[QUANT_MAX_GROUP];
        unpack(codes, n, f->bits, q);
        float scale = float_at_f32(scales, type, g), bias = biases ? float_at_f32(biases, type, g) : 0;
        for (int j = 0; j < n; j++) {
            float product = rounded(scale * (float)q[j], type);
            store(out, out_type, g * n + j, rounded(product + bias, type));
        }
    }
}

/* ---- Small floats ---------------------------------------------------------------------------------------------- */

/* Below 2^-6 the steps are 2^-9: adding 2^14 rounds to them, ties to even. Above, the mantissa is rounded in place. */
uint8_t quant_to_fp8(float x) {
    uint32_t u = f32_bits(x), sign = u >> 24 & 0x80, a = u & 0x7fffffffu, code;
    if (a >= f32_bits(448.0f))
        code = 0x7e;
    else if (a < f32_bits(0x1p-6f))
        code = f32_bits(f32_from_bits(a) + 0x1p14f) - f32_bits(0x1p14f);
    else
        code = (a - (120u << 23) + 0x7ffffu + (a >> 20 & 1)) >> 20;
    return (uint8_t)(sign | code);
}

float quant_from_fp8(uint8_t byte) {
    if ((byte & 0x7f) == 0x7f) return NAN;
    float x = f16_to_f32((uint16_t)((byte & 0x7f) << 7)) * 256.0f;
    return byte & 0x80 ? -x : x;
}

/* The nearest value; on a tie the first in the table's order, so the smaller magnitude, and +0 for all that is nearest
 * to zero. Distances are fp32: where they stop telling the values apart (|x| >= 2^24, for nvfp4 groups whose scale met
 * its end) the first of the equal ones wins too, and for infinities and NaN (a scale of zero) it is the first of all.
 */
static uint8_t to_fp4(float x) {
    float a = fabsf(x);
    if (a < 0x1p24f) {
        int i = (a > 0.25f) + (a > 0.75f) + (a > 1.25f) + (a > 1.75f) + (a > 2.5f) + (a > 3.5f) + (a > 5.0f);
        return (uint8_t)(i && x < 0 ? i | 8 : i);
    }
    int best = 0;
    for (int i = 1; i < 16; i++)
        if (fabsf(x - quant_fp4_values[i]) < fabsf(x - quant_fp4_values[best])) best = i;
    return (uint8_t)best;
}

/* ceil(log2(x)) of a positive number. */
static int ceil_log2(float x) {
    int e;
    return frexpf(x, &e) == 0.5f ? e - 1 : e;
}

/* 2^e as an element of `type`. */
static float power_of_2(int e, dtype type) {
    return rounded(ldexpf(1.0f, e), type);
}

/* Mode mxfp4 or mxfp8: the scale is the smallest power of two that is at least max / 6 (or 448), its quotient rounded
 * to T, and is stored as its exponent + 127 modulo 256: below 2^-127 (bf16 and fp32 only) MLX's byte wraps around. */
static float mx_scale(float largest, float top, dtype type, uint8_t *byte) {
    float s = rounded(largest / top, type);
    int e = s == 0 ? 0 : ceil_log2(s);
    *byte = (uint8_t)(e + 127);
    return power_of_2(e, type);
}

static float small_scale(const quant_format *f, dtype type, float largest, uint8_t *byte) {
    if (f->mode != W_NVFP4) return mx_scale(largest, f->bits == 4 ? 6.0f : 448.0f, type, byte);
    *byte = quant_to_fp8(rounded(largest / 6.0f, type));
    return quant_from_fp8(*byte);
}

static void small_encode(const quant_format *f, dtype type, const void *w, int64_t n_groups, uint8_t *codes,
                         uint8_t *scales) {
    const int n = f->group_size;
    for (int64_t g = 0; g < n_groups; g++, codes += quant_group_bytes(f)) {
        float x[QUANT_MAX_GROUP], largest = 0, scale;
        uint8_t q[QUANT_MAX_GROUP];
        load_group(w, type, g * n, n, x);
        for (int j = 0; j < n; j++) largest = fabsf(x[j]) > largest ? fabsf(x[j]) : largest;
        scale = small_scale(f, type, largest, &scales[g]);
        for (int j = 0; j < n; j++) {
            float y = rounded(x[j] / scale, type);
            q[j] = f->bits == 4 ? to_fp4(y) : quant_to_fp8(y);
        }
        pack(q, n, f->bits, codes);
    }
}

static void small_decode(const quant_format *f, const uint8_t *codes, const uint8_t *scales, int64_t n_groups,
                         dtype type, void *out) {
    const int n = f->group_size;
    for (int64_t g = 0; g < n_groups; g++, codes += quant_group_bytes(f)) {
        uint8_t q[QUANT_MAX_GROUP];
        unpack(codes, n, f->bits, q);
        float scale = f->mode == W_NVFP4 ? quant_from_fp8(scales[g]) : power_of_2(scales[g] - 127, type);
        for (int j = 0; j < n; j++) {
            float value = f->bits == 4 ? quant_fp4_values[q[j]] : quant_from_fp8(q[j]);
            store(out, type, g * n + j, value * scale);
        }
    }
}

/* ---- All modes ------------------------------------------------------------------------------------------------- */

void quant_encode_portable(const quant_format *f, dtype type, const void *w, int64_t n_groups, void *codes,
                           void *scales, void *biases) {
    if (f->mode == W_AFFINE)
        affine_encode(f, type, w, n_groups, codes, scales, biases);
    else
        small_encode(f, type, w, n_groups, codes, scales);
}

#if defined(__x86_64__)
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
}

static void affine_fast(const quant_format *f, dtype type, const uint8_t *w, int64_t n_groups, uint8_t *codes,
                        void *scales, void *biases) {
    enum { SOME = 256 };
    const int64_t group_bytes = f->group_size * (int64_t)dtype_size(type);
    for (int64_t g = 0; g < n_groups; g += SOME) {
        float s[SOME], b[SOME];
        int64_t n = min_i64(SOME, n_groups - g);
        quant_affine_avx2(f, type, w + g * group_bytes, n, codes + g * quant_group_bytes(f), s, b);
        for (int64_t i = 0; i < n; i++) {
            store(scales, type, g + i, s[i]);
            store(biases, type, g + i, b[i]);
        }
    }
}

#endif

void quant_encode(const quant_format *f, dtype type, const void *w, int64_t n_groups, void *codes, void *scales,
                  void *biases) {
#if defined(__x86_64__)
    if (has_avx2()) {
        if (f->mode == W_AFFINE)
            affine_fast(f, type, w, n_groups, codes, scales, biases);
        else
            quant_small_avx2(f, type, w, n_groups, codes, scales, small_encode);
        return;
    }
#endif
    quant_encode_portable(f, type, w, n_groups, codes, scales, biases);
}

void quant_decode(const quant_format *f, dtype scale_type, const void *codes, const void *scales, const void *biases,
                  int64_t n_groups, dtype out_type, void *out) {
    if (f->mode == W_AFFINE)
        affine_decode(f, scale_type, codes, scales, biases, n_groups, out_type, out);
    else
        small_decode(f, codes, scales, n_groups, out_type, out);
}
