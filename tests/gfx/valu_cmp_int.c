/* SPDX-License-Identifier: Apache-2.0
 *
 * Comparisons of integers; a bit a lane. v_cmpx_* are the same comparisons to this part. */
#include "gfx/valu_lanes.h"

#define LANE16(k) (in->lo[k][i] >> half_shift(in, k))
#define LANE32(k) (in->lo[k][i])
#define LANE64(k) u64_at(in, k, i)

#define CMP(name, type, lane, expr)                                                                                    \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        uint32_t bits = 0;                                                                                             \
        EACH_LANE(i) {                                                                                                 \
            const type a = (type)lane(0), b = (type)lane(1);                                                           \
            (void)a, (void)b;                                                                                          \
            bits |= (uint32_t)(expr) << i;                                                                             \
        }                                                                                                              \
        out->mask = bits;                                                                                              \
    }

#define ALL(suffix, type, lane)                                                                                        \
    CMP(f_##suffix, type, lane, 0)                                                                                     \
    CMP(lt_##suffix, type, lane, a < b)                                                                                \
    CMP(eq_##suffix, type, lane, a == b)                                                                               \
    CMP(le_##suffix, type, lane, a <= b)                                                                               \
    CMP(gt_##suffix, type, lane, a > b)                                                                                \
    CMP(ne_##suffix, type, lane, a != b)                                                                               \
    CMP(ge_##suffix, type, lane, a >= b)                                                                               \
    CMP(t_##suffix, type, lane, 1)

ALL(i16, int16_t, LANE16)
ALL(u16, uint16_t, LANE16)
ALL(i32, int32_t, LANE32)
ALL(u32, uint32_t, LANE32)
ALL(i64, int64_t, LANE64)
ALL(u64, uint64_t, LANE64)

#define ROW(n, type)                                                                                                   \
    { .name = "v_cmp_" #n, .src = {type, type}, .writes_mask = true, .run = n }
#define ROWS(suffix, type)                                                                                             \
    ROW(f_##suffix, type), ROW(lt_##suffix, type), ROW(eq_##suffix, type), ROW(le_##suffix, type),                     \
        ROW(gt_##suffix, type), ROW(ne_##suffix, type), ROW(ge_##suffix, type), ROW(t_##suffix, type)

static const gfx_valu ops[] = {
    ROWS(i16, GFX_I16), ROWS(u16, GFX_U16), ROWS(i32, GFX_I32),
    ROWS(u32, GFX_U32), ROWS(i64, GFX_I64), ROWS(u64, GFX_U64),
};
VALU_TABLE(valu_cmp_int_table, ops);
