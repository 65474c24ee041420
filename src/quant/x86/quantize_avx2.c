/* SPDX-License-Identifier: Apache-2.0
 *
 * The quantizers with AVX2: the same operations in the same roundings as src/quant/quantize.c, eight at a time. Only
 * the order in which a group's largest element is looked for differs, which nothing can tell. */
#include <immintrin.h>

#include "base/half.h"
#include "quant/quantize_fast.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- Elements -------------------------------------------------------------------------------------------------- */

INLINE __m256 load8(const void *w, dtype type, int64_t i) {
    if (type == DT_F32) return _mm256_loadu_ps((const float *)w + i);
    __m128i h = _mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)w + i));
    if (type == DT_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* Rounded to `type`; bf16 as f32_to_bf16 does it. */
INLINE __m256 rounded8(__m256 x, dtype type) {
    if (type == DT_F32) return x;
    if (type == DT_F16) return _mm256_cvtph_ps(_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    __m256i u = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    r = _mm256_and_si256(r, _mm256_set1_epi32((int)0xffff0000));
    return _mm256_blendv_ps(_mm256_castsi256_ps(r), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

INLINE float largest_of(__m256 x) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

INLINE __m256 absolute(__m256 x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

/* The bytes of eight 32-bit numbers below 256, first one lowest. */
INLINE uint64_t bytes_of(__m256i x) {
    const __m256i pick = _mm256_set1_epi32(0x0c080400);
    __m256i b = _mm256_shuffle_epi8(x, pick);
    uint64_t low = (uint32_t)_mm256_extract_epi32(b, 0), high = (uint32_t)_mm256_extract_epi32(b, 4);
    return low | high << 32;
}

/* Eight codes as a little-endian bit stream: `mask` has the code's bits in every byte. */
INLINE uint8_t *put_codes(uint8_t *to, uint64_t bytes, int bits, uint64_t mask) {
    uint64_t word = _pext_u64(bytes, mask);
    memcpy(to, &word, (size_t)bits);
    return to + bits;
}

INLINE uint64_t code_mask(int bits) {
    return (uint64_t)((1u << bits) - 1) * 0x0101010101010101u;
}

/* Four times eight 32-bit numbers below 256 as bytes in order. */
INLINE __m256i bytes32(const __m256i q[4]) {
    __m256i b = _mm256_packus_epi16(_mm256_packus_epi32(q[0], q[1]), _mm256_packus_epi32(q[2], q[3]));
    return _mm256_permutevar8x32_epi32(b, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* 32 codes: neighbours are put together by multiplying the second with a power of two. */
INLINE uint8_t *put32(uint8_t *to, __m256i bytes, int bits) {
    if (bits == 8) {
        _mm256_storeu_si256((__m256i *)(void *)to, bytes);
    } else if (bits == 4) {
        __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(0x1001));
        pairs = _mm256_permute4x64_epi64(_mm256_packus_epi16(pairs, pairs), 0x08);
        _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(pairs));
    } else if (bits == 2) {
        __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(0x0401));
        uint64_t word = bytes_of(_mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00100001)));
        memcpy(to, &word, 8);
    } else {
        uint64_t words[4];
        _mm256_storeu_si256((__m256i *)(void *)words, bytes);
        for (int i = 0; i < 4; i++) put_codes(to + i * bits, words[i], bits, code_mask(bits));
    }
    return to + 4 * bits;
}

/* ---- Affine ---------------------------------------------------------------------------------------------------- */

/* Groups whose scales are found together: each takes three divisions that wait for one another. */
enum { TOGETHER = 8 };

/* The least and the largest element of a group. A NaN as the first operand leaves the second. */
INLINE void range_of(const void *w, dtype type, int64_t first, int n, float *low, float *high) {
    __m256 low8 = _mm256_set1_ps(__builtin_inff()), high8 = _mm256_set1_ps(-__builtin_inff());
    for (int j = 0; j < n; j += 8) {
        __m256 x = load8(w, type, first + j);
        low8 = _mm256_min_ps(x, low8);
        high8 = _mm256_max_ps(x, high8);
    }
    *high = largest_of(high8);
    *low = -largest_of(_mm256_xor_ps(low8, _mm256_set1_ps(-0.0f)));
}

/* affine_params of quantize.c for eight groups, into scale[8] and bias[8]. */
INLINE void params_of(const float *lows, const float *highs, float steps, float *scale, float *bias) {
    const __m256 low = _mm256_loadu_ps(lows), high = _mm256_loadu_ps(highs), minus = _mm256_set1_ps(-0.0f);
    const __m256 from_low = _mm256_cmp_ps(absolute(low), absolute(high), _CMP_GT_OQ);
    __m256 s = _mm256_div_ps(_mm256_sub_ps(high, low), _mm256_set1_ps(steps));
    s = _mm256_max_ps(_mm256_set1_ps(1e-7f), s); /* a NaN as the second operand stays */
    s = _mm256_blendv_ps(_mm256_xor_ps(s, minus), s, from_low);
    const __m256 edge = _mm256_blendv_ps(high, low, from_low);
    const __m256 zero_at = _mm256_round_ps(_mm256_div_ps(edge, s), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 stretch = _mm256_cmp_ps(zero_at, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    _mm256_storeu_ps(scale, _mm256_blendv_ps(s, _mm256_div_ps(edge, zero_at), stretch));
    _mm256_storeu_ps(bias, _mm256_and_ps(edge, stretch));
}

INLINE void codes_of(const void *w, dtype type, int64_t first, int n, int bits, float scale, float bias,
                     uint8_t *codes) {
    const __m256 s = _mm256_set1_ps(scale), b = _mm256_set1_ps(bias), top = _mm256_set1_ps((float)((1 << bits) - 1));
    for (int j = 0; j < n; j += 32) {
        __m256i q[4];
        for (int i = 0; i < 4; i++) {
            __m256 c = _mm256_div_ps(_mm256_sub_ps(load8(w, type, first + j + 8 * i), b), s);
            c = _mm256_round_ps(c, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
            q[i] = _mm256_cvttps_epi32(_mm256_min_ps(_mm256_max_ps(c, _mm256_setzero_ps()), top)); /* a NaN: 0 */
        }
        codes = put32(codes, bytes32(q), bits);
    }
}

INLINE void affine_typed(const quant_format *f, dtype type, int bits, const void *w, int64_t n_groups, uint8_t *codes,
                         float *scales, float *biases) {
    const int n = f->group_size;
    for (int64_t g = 0; g < n_groups; g += TOGETHER) {
        const int some = n_groups - g < TOGETHER ? (int)(n_groups - g) : TOGETHER;
        float low[TOGETHER] = {0}, high[TOGETHER] = {0}, scale[TOGETHER], bias[TOGETHER];
        for (int i = 0; i < some; i++) range_of(w, type, (g + i) * n, n, &low[i], &high[i]);
        params_of(low, high, (float)((1 << bits) - 1), scale, bias);
        for (int i = 0; i < some; i++) {
            codes_of(w, type, (g + i) * n, n, bits, scale[i], bias[i], codes);
            codes += quant_group_bytes(f);
            scales[g + i] = scale[i];
            biases[g + i] = bias[i];
        }
    }
}

INLINE void affine_bits(const quant_format *f, dtype type, const void *w, int64_t n_groups, uint8_t *codes,
                        float *scales, float *biases) {
    /* constants where each is used, so that every one has code of its own */
    switch (f->bits) {
    case 2:
        affine_typed(f, type, 2, w, n_groups, codes, scales, biases);
        break;
    case 3:
        affine_typed(f, type, 3, w, n_groups, codes, scales, biases);
        break;
    case 4:
        affine_typed(f, type, 4, w, n_groups, codes, scales, biases);
        break;
    case 5:
        affine_typed(f, type, 5, w, n_groups, codes, scales, biases);
        break;
    case 6:
        affine_typed(f, type, 6, w, n_groups, codes, scales, biases);
        break;
    default:
        affine_typed(f, type, 8, w, n_groups, codes, scales, biases);
    }
}

void quant_affine_avx2(const quant_format *f, dtype type, const void *w, int64_t n_groups, uint8_t *codes,
                       float *scales, float *biases) {
    if (type == DT_F32)
        affine_bits(f, DT_F32, w, n_groups, codes, scales, biases);
    else if (type == DT_F16)
        affine_bits(f, DT_F16, w, n_groups, codes, scales, biases);
    else
        affine_bits(f, DT_BF16, w, n_groups, codes, scales, biases);
}

/* ---- Small floats ---------------------------------------------------------------------------------------------- */

/* 1 in every lane where a > limit. */
INLINE __m256i above(__m256 a, float limit) {
    return _mm256_srli_epi32(_mm256_castps_si256(_mm256_cmp_ps(a, _mm256_set1_ps(limit), _CMP_GT_OQ)), 31);
}

INLINE __m256i fp4_codes(__m256 x) {
    __m256 a = absolute(x);
    __m256i i = _mm256_add_epi32(_mm256_add_epi32(above(a, 0.25f), above(a, 0.75f)),
                                 _mm256_add_epi32(above(a, 1.25f), above(a, 1.75f)));
    i = _mm256_add_epi32(_mm256_add_epi32(i, above(a, 2.5f)), _mm256_add_epi32(above(a, 3.5f), above(a, 5.0f)));
    __m256i sign = _mm256_and_si256(_mm256_srli_epi32(_mm256_castps_si256(x), 28), _mm256_set1_epi32(8));
    return _mm256_or_si256(i, _mm256_andnot_si256(_mm256_cmpeq_epi32(i, _mm256_setzero_si256()), sign));
}

INLINE __m256i fp8_codes(__m256 x) {
    const __m256i u = _mm256_castps_si256(x), a = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff));
    const __m256i sign = _mm256_and_si256(_mm256_srli_epi32(u, 24), _mm256_set1_epi32(0x80));
    const __m256 small_base = _mm256_set1_ps(0x1p14f);
    __m256i small = _mm256_sub_epi32(_mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(a), small_base)),
                                     _mm256_castps_si256(small_base));
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(a, 20), _mm256_set1_epi32(1));
    __m256i large = _mm256_add_epi32(_mm256_add_epi32(a, odd), _mm256_set1_epi32((int)(0x7ffffu - (120u << 23))));
    large = _mm256_srli_epi32(large, 20);
    __m256i is_large = _mm256_cmpgt_epi32(a, _mm256_set1_epi32((int)(121u << 23) - 1)); /* 2^-6 and above */
    __m256i is_top = _mm256_cmpgt_epi32(a, _mm256_set1_epi32((int)(543u << 21) - 1));   /* 448 and above */
    __m256i code = _mm256_blendv_epi8(small, large, is_large);
    code = _mm256_blendv_epi8(code, _mm256_set1_epi32(0x7e), is_top);
    return _mm256_or_si256(code, sign);
}

/* Scales of eight groups from their largest |elements|: what small_scale of quantize.c does. A scale whose quotient is
 * subnormal becomes 0, and its group is left to the portable code. */
INLINE void scales_of(wmode mode, int bits, dtype type, const float *largest, uint8_t *bytes, float *scale) {
    const __m256 top = _mm256_set1_ps(bits == 4 ? 6.0f : 448.0f);
    const __m256 s = rounded8(_mm256_div_ps(_mm256_loadu_ps(largest), top), type);
    const __m256i u = _mm256_castps_si256(s), zero = _mm256_setzero_si256();
    __m256i code, value;
    if (mode == W_NVFP4) {
        code = fp8_codes(s);
        __m256 small = _mm256_castsi256_ps(_mm256_slli_epi32(code, 20)); /* e4m3 at the place of fp32's fields */
        value = _mm256_castps_si256(_mm256_mul_ps(small, _mm256_set1_ps(0x1p120f)));
    } else { /* the exponent, one more where the mantissa is not zero */
        const __m256i is_zero = _mm256_cmpeq_epi32(u, zero), least = _mm256_set1_epi32(0x00800000);
        code = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fffff)), 23);
        code = _mm256_blendv_epi8(code, _mm256_set1_epi32(127), is_zero);
        value = _mm256_slli_epi32(code, 23);
        value = _mm256_andnot_si256(_mm256_andnot_si256(is_zero, _mm256_cmpgt_epi32(least, u)), value);
    }
    const uint64_t all = bytes_of(code);
    memcpy(bytes, &all, TOGETHER);
    _mm256_storeu_ps(scale, _mm256_castsi256_ps(value));
}

/* The codes of a group of 32, or of 16 with 4 bits. False where an element is out of the range of fp4_codes. */
INLINE bool small_codes(wmode mode, int bits, dtype type, const void *w, int64_t first, float scale, uint8_t *codes) {
    const __m256 s = _mm256_set1_ps(scale);
    __m256 wild = _mm256_setzero_ps();
    __m256i q[4];
    for (int i = 0; i < (mode == W_NVFP4 ? 2 : 4); i++) {
        __m256 y = rounded8(_mm256_div_ps(load8(w, type, first + 8 * i), s), type);
        wild = _mm256_or_ps(wild, _mm256_cmp_ps(absolute(y), _mm256_set1_ps(0x1p24f), _CMP_NLT_UQ));
        q[i] = bits == 4 ? fp4_codes(y) : fp8_codes(y);
    }
    if (mode == W_NVFP4)
        put_codes(put_codes(codes, bytes_of(q[0]), 4, code_mask(4)), bytes_of(q[1]), 4, code_mask(4));
    else
        put32(codes, bytes32(q), bits);
    return bits == 8 || _mm256_movemask_ps(wild) == 0;
}

INLINE void small_typed(wmode mode, int bits, dtype type, const void *w, int64_t n_groups, uint8_t *codes,
                        uint8_t *scales, quant_group_encoder *portable) {
    const quant_format f = {mode, bits, mode == W_NVFP4 ? 16 : 32};
    for (int64_t g = 0; g < n_groups; g += TOGETHER) {
        const int some = n_groups - g < TOGETHER ? (int)(n_groups - g) : TOGETHER;
        float largest[TOGETHER] = {0}, scale[TOGETHER];
        uint8_t bytes[TOGETHER];
        for (int i = 0; i < some; i++) {
            __m256 most = _mm256_setzero_ps();
            for (int j = 0; j < f.group_size; j += 8)
                most = _mm256_max_ps(absolute(load8(w, type, (g + i) * f.group_size + j)), most);
            largest[i] = largest_of(most);
        }
        scales_of(mode, bits, type, largest, bytes, scale);
        for (int i = 0; i < some; i++, codes += quant_group_bytes(&f)) {
            const int64_t first = (g + i) * f.group_size;
            scales[g + i] = bytes[i];
            if (scale[i] == 0 || !small_codes(mode, bits, type, w, first, scale[i], codes))
                portable(&f, type, (const uint8_t *)w + first * (int64_t)dtype_size(type), 1, codes, &scales[g + i]);
        }
    }
}

INLINE void small_any(dtype type, const quant_format *f, const void *w, int64_t n_groups, uint8_t *codes,
                      uint8_t *scales, quant_group_encoder *portable) {
    if (f->mode == W_MXFP4)
        small_typed(W_MXFP4, 4, type, w, n_groups, codes, scales, portable);
    else if (f->mode == W_MXFP8)
        small_typed(W_MXFP8, 8, type, w, n_groups, codes, scales, portable);
    else
        small_typed(W_NVFP4, 4, type, w, n_groups, codes, scales, portable);
}

void quant_small_avx2(const quant_format *f, dtype type, const void *w, int64_t n_groups, uint8_t *codes,
                      uint8_t *scales, quant_group_encoder *portable) {
    if (type == DT_F32)
        small_any(DT_F32, f, w, n_groups, codes, scales, portable);
    else if (type == DT_F16)
        small_any(DT_F16, f, w, n_groups, codes, scales, portable);
    else
        small_any(DT_BF16, f, w, n_groups, codes, scales, portable);
}
