/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantizing weights and back, byte for byte what mlx.core.quantize and mlx.core.dequantize make on MLX's CPU backend
 * (mlx 0.32.4). A quantized matrix is a run of groups of consecutive elements; each group has its codes and one scale
 * (affine: and one bias), so that everything here works on groups and knows no rows. What elements mean is defined in
 * src/ref/weight.c. */
#ifndef NB_QUANT_QUANTIZE_H
#define NB_QUANT_QUANTIZE_H

#include "kernels/kernel.h"

/* affine: 2, 3, 4, 5, 6, 8 bits and groups of 32, 64, 128; mxfp4: 4, 32; mxfp8: 8, 32; nvfp4: 4, 16. */
typedef struct quant_format {
    wmode mode;
    int bits, group_size;
} quant_format;

enum { QUANT_MAX_GROUP = 128 };

/* MLX's default bits and group size of a mode. {W_PLAIN, 0, 0} for W_PLAIN. */
quant_format quant_default(wmode mode);
/* Whether MLX knows this combination. */
bool quant_format_ok(const quant_format *f);
/* The mode of a name as config.json has it ("affine", "mxfp4", "mxfp8", "nvfp4"); false for another. */
bool quant_mode_named(const char *name, wmode *mode);
/* Bytes of the codes of one group. */
static inline int64_t quant_group_bytes(const quant_format *f) {
    return (int64_t)f->group_size * f->bits / 8;
}
/* The type of the scales (affine: and of the biases) of a matrix that was of `type`. */
static inline dtype quant_scale_type(const quant_format *f, dtype type) {
    return f->mode == W_AFFINE ? type : DT_U8;
}

/* Quantizes n_groups groups of elements of `type` (f16, bf16 or f32) at w, which may lie at any address. codes receives
 * n_groups * quant_group_bytes, scales and (affine only, else unused) biases n_groups elements each. Groups with a NaN
 * or an infinity give some codes: callers that care look first. */
void quant_encode(const quant_format *f, dtype type, const void *w, int64_t n_groups, void *codes, void *scales,
                  void *biases);

/* The same without instructions that not every processor has; the definition. */
void quant_encode_portable(const quant_format *f, dtype type, const void *w, int64_t n_groups, void *codes,
                           void *scales, void *biases);

/* The reverse, into elements of `out_type`. Affine: scales (and biases; NULL: zeros) of scale_type; MLX computes in
 * that type and then casts. Other modes: scales are bytes, and MLX computes in out_type (which is bf16 where nothing
 * else is said). */
void quant_decode(const quant_format *f, dtype scale_type, const void *codes, const void *scales, const void *biases,
                  int64_t n_groups, dtype out_type, void *out);

/* fp8 e4m3 as MLX has it: no infinities; 448 and above, and NaN, become 448; 0x7f and 0xff stand for
 * NaN. */
uint8_t quant_to_fp8(float x);
float quant_from_fp8(uint8_t byte);
/* fp4 e2m1: element i of 0, .5, 1, 1.5, 2, 3, 4, 6 and (from 8 on) their negatives. */
extern const float quant_fp4_values[16];

#endif
