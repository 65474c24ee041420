/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens to a floating-point result on its way out: output modifier, flushing of denormals, clamp, and which NaN
 * it is. Apart from the instructions, since only a few of them have any of it. */
#include "gfx/valu_lanes.h"

#include "gfx/valu_soft.h"

static const float f32_factors[] = {1, 2, 4, 0.5f};

/* max(x, 0), so -0 becomes +0; a NaN becomes 0 or passes as DX10_CLAMP says. */
static uint32_t f32_clamp(valu_in in, uint32_t x) {
    if (f32_is_nan(x)) return in->mode.dx10_clamp ? 0 : x;
    if (x & F32_SIGN) return 0;
    return x > 0x3f800000 ? 0x3f800000 : x;
}

static uint64_t f64_clamp(valu_in in, uint64_t x) {
    if (f64_is_nan(x)) return in->mode.dx10_clamp ? 0 : x;
    if (x & F64_SIGN) return 0;
    return x > 0x3ff0000000000000 ? 0x3ff0000000000000 : x;
}

static uint32_t f16_clamp(valu_in in, uint32_t x) {
    if (f16_is_nan(x)) return in->mode.dx10_clamp ? 0 : x;
    if (x & F16_SIGN) return 0;
    return x > 0x3c00 ? 0x3c00 : x;
}

void f32_finish_slow(valu_in in, valu_out out) {
    const bool flush = !(in->mode.denorm32 & 2), modify = in->omod && flush && !in->mode.ieee;
    EACH_LANE(i) {
        uint32_t x = out->lo[i];
        if (flush) x = f32_flush(x);
        if (modify && !f32_is_nan(x)) {
            x = f32_flush(f32_bits(f32_of(x) * f32_factors[in->omod & 3]));
            if (x == F32_SIGN) x = 0;
        }
        out->lo[i] = in->clamp ? f32_clamp(in, x) : x;
    }
}

void f64_finish_slow(valu_in in, valu_out out) {
    const bool flush = !(in->mode.denorm16_64 & 2), modify = in->omod && flush && !in->mode.ieee;
    EACH_LANE(i) {
        uint64_t x = (uint64_t)out->hi[i] << 32 | out->lo[i];
        if (flush) x = f64_flush(x);
        if (modify && !f64_is_nan(x)) {
            x = f64_flush(f64_bits(f64_of(x) * (double)f32_factors[in->omod & 3]));
            if (x == F64_SIGN) x = 0;
        }
        set_u64(out, i, in->clamp ? f64_clamp(in, x) : x);
    }
}

void f16_finish_slow(valu_in in, valu_out out) {
    static const int shifts[] = {0, 1, 2, -1};
    const bool flush = !(in->mode.denorm16_64 & 2), modify = in->omod && flush && !in->mode.ieee;
    EACH_LANE(i) {
        uint32_t x = out->lo[i];
        if (flush) x = f16_flush(x);
        if (modify && !f16_is_nan(x)) {
            x = f16_flush(
                (uint32_t)soft_fma_scaled(SOFT_F16, x, 0x3c00, x & F16_SIGN, shifts[in->omod & 3], ROUND_EVEN));
            if (x == F16_SIGN) x = 0;
        }
        out->lo[i] = in->clamp ? f16_clamp(in, x) : x;
    }
}

void f32_nans(valu_out out, unsigned n, const uint32_t *const *s) {
    EACH_LANE(i) {
        if (!f32_is_nan(out->lo[i])) continue;
        unsigned k = 0;
        while (k < n && !f32_is_nan(s[k][i])) k++;
        out->lo[i] = k < n ? s[k][i] | 0x400000 : F32_QNAN;
    }
}
