/* SPDX-License-Identifier: Apache-2.0
 *
 * The seam between the quantizers' portable code and faster code with the same results, for x86-64 with AVX2. */
#ifndef NB_QUANT_QUANTIZE_FAST_H
#define NB_QUANT_QUANTIZE_FAST_H

#include "quant/quantize.h"

#if defined(__x86_64__)
/* Codes, and scales and biases not rounded yet. */
void quant_affine_avx2(const quant_format *f, dtype type, const void *w, int64_t n_groups, uint8_t *codes,
                       float *scales, float *biases);
/* Codes and scales of the other modes. Groups that it cannot do (infinities, scales that are zero or subnormal) it
 * gives to `portable`, one by one. */
typedef void quant_group_encoder(const quant_format *f, dtype type, const void *w, int64_t n_groups, uint8_t *codes,
                                 uint8_t *scales);
void quant_small_avx2(const quant_format *f, dtype type, const void *w, int64_t n_groups, uint8_t *codes,
                      uint8_t *scales, quant_group_encoder *portable);
#endif

#endif
