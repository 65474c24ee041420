/* SPDX-License-Identifier: Apache-2.0
 *
 * 16-bit floats in portable C: IEEE 754 binary16 and bfloat16, both rounded to nearest even. */
#ifndef NB_BASE_HALF_H
#define NB_BASE_HALF_H

#include <stdint.h>
#include <string.h>

#include "base/dtype.h"

static inline uint32_t f32_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float f32_from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline float bf16_to_f32(uint16_t h) {
    return f32_from_bits((uint32_t)h << 16);
}

static inline uint16_t f32_to_bf16(float f) {
    uint32_t u = f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40); /* NaN stays NaN, quiet */
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}

static inline float f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00) return f32_from_bits(sign | 0x7f800000u | (rest & 0x3ff) << 13);
    if (rest >= 0x0400) return f32_from_bits(sign | ((rest << 13) + ((127 - 15) << 23)));
    float subnormal = (float)rest * 0x1p-24f;
    return sign ? -subnormal : subnormal;
}

static inline uint16_t f32_to_f16(float f) {
    uint32_t u = f32_bits(f), sign = (u >> 16) & 0x8000, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00);  /* NaN */
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00); /* 65520 and above round to infinity */
    if (a < 0x38800000u) {                                  /* below 2^-14: a multiple of 2^-24 */
        float scaled = f32_from_bits(a) * 0x1p24f;          /* exact */
        uint32_t i = (uint32_t)scaled;
        float rest = scaled - (float)i;
        if (rest > 0.5f || (rest == 0.5f && (i & 1))) i++;
        return (uint16_t)(sign | i);
    }
    a += 0xfffu + ((a >> 13) & 1);
    return (uint16_t)(sign | ((a - ((127 - 15) << 23)) >> 13));
}

/* Element i of an array that may lie at any address, as tensors in files do. */
static inline uint16_t load_u16(const void *data, int64_t i) {
    uint16_t u;
    memcpy(&u, (const char *)data + 2 * i, sizeof u);
    return u;
}

static inline uint32_t load_u32(const void *data, int64_t i) {
    uint32_t u;
    memcpy(&u, (const char *)data + 4 * i, sizeof u);
    return u;
}

static inline float load_f32(const void *data, int64_t i) {
    return f32_from_bits(load_u32(data, i));
}

/* The same of any float type; what is exact in fp32 anyway as float, all as double. 0 for other types. */
static inline float float_at_f32(const void *data, dtype type, int64_t i) {
    switch (type) {
    case DT_F32:
        return load_f32(data, i);
    case DT_F16:
        return f16_to_f32(load_u16(data, i));
    case DT_BF16:
        return bf16_to_f32(load_u16(data, i));
    default:
        return 0.0f;
    }
}

static inline double float_at(const void *data, dtype type, int64_t i) {
    if (type != DT_F64) return (double)float_at_f32(data, type, i);
    double d;
    memcpy(&d, (const char *)data + 8 * i, sizeof d);
    return d;
}

#endif
