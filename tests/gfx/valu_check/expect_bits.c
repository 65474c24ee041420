/* SPDX-License-Identifier: Apache-2.0
 *
 * Expectations of everything that moves bits: each result put together bit for bit or byte for byte, as the document's
 * pseudo-code does. */
#include "gfx/valu_check/expect.h"

#include <string.h>

static bool bit_of(uint64_t v, unsigned b) {
    return v >> b & 1;
}

static uint32_t byte_of(uint64_t v, unsigned b) {
    return v >> (8 * b) & 255;
}

/* ---- logic: a truth table of the three sources ---- */

typedef struct truth {
    const char *name;
    unsigned n, table; /* bit (4 a + 2 b + c), (2 a + b), (a) */
} truth;

static const truth truths[] = {
    {"v_mov_b32", 1, 0x2},   {"v_not_b32", 1, 0x1},  {"v_and_b32", 2, 0x8},  {"v_or_b32", 2, 0xe},
    {"v_xor_b32", 2, 0x6},   {"v_xnor_b32", 2, 0x9}, {"v_or3_b32", 3, 0xfe}, {"v_and_or_b32", 3, 0xea},
    {"v_xor3_b32", 3, 0x96}, {"v_bfi_b32", 3, 0xca}, {"v_mov_b16", 1, 0x2},  {"v_not_b16", 1, 0x1},
    {"v_and_b16", 2, 0x8},   {"v_or_b16", 2, 0xe},   {"v_xor_b16", 2, 0x6},
};

static result logic(const lane *x) {
    const truth *t = truths;
    while (strcmp(t->name, x->op->name) != 0) t++;
    const bool half = strstr(t->name, "b16") != NULL;
    uint64_t r = 0;
    for (unsigned b = 0; b < (half ? 16 : 32); b++) {
        unsigned index = 0;
        for (unsigned k = 0; k < t->n; k++) index = 2 * index + bit_of(half ? half_source(x, k) : x->s[k], b);
        r |= (uint64_t)(t->table >> index & 1) << b;
    }
    return value(r);
}

/* ---- fields ---- */

static result bfe(const lane *x) {
    const unsigned offset = x->s[1] % 32, width = x->s[2] % 32;
    const bool is_signed = strcmp(x->op->name, "v_bfe_i32") == 0;
    uint32_t r = 0;
    for (unsigned b = 0; b < width; b++) {
        const unsigned from = offset + b;
        if (from < 32 ? bit_of(x->s[0], from) : is_signed && bit_of(x->s[0], 31)) r |= 1u << b;
    }
    if (is_signed && width)
        for (unsigned b = width; b < 32; b++) r |= (uint32_t)bit_of(r, width - 1) << b;
    return value(r);
}

static result bfm(const lane *x) {
    const unsigned width = x->s[0] % 32, offset = x->s[1] % 32;
    uint32_t r = 0;
    for (unsigned b = offset; b < 32 && b < offset + width; b++) r |= 1u << b;
    return value(r);
}

static result align(const lane *x) {
    const unsigned by = strcmp(x->op->name, "v_alignbit_b32") == 0 ? x->s[2] % 32 : x->s[2] % 4 * 8;
    uint32_t r = 0;
    for (unsigned b = 0; b < 32; b++) r |= (uint32_t)bit_of(b + by < 32 ? x->s[1] : x->s[0], (b + by) % 32) << b;
    return value(r);
}

static result perm(const lane *x) {
    uint32_t r = 0;
    for (unsigned k = 0; k < 4; k++) {
        const uint32_t sel = byte_of(x->s[2], k);
        uint32_t b;
        if (sel >= 13)
            b = 255;
        else if (sel == 12)
            b = 0;
        else if (sel == 11)
            b = bit_of(x->s[0], 31) * 255u;
        else if (sel == 10)
            b = bit_of(x->s[0], 15) * 255u;
        else if (sel == 9)
            b = bit_of(x->s[1], 31) * 255u;
        else if (sel == 8)
            b = bit_of(x->s[1], 15) * 255u;
        else
            b = sel < 4 ? byte_of(x->s[1], sel) : byte_of(x->s[0], sel - 4);
        r |= b << (8 * k);
    }
    return value(r);
}

static result bfrev(const lane *x) {
    uint32_t r = 0;
    for (unsigned b = 0; b < 32; b++) r |= (uint32_t)bit_of(x->s[0], 31 - b) << b;
    return value(r);
}

static result bcnt(const lane *x) {
    uint32_t r = (uint32_t)x->s[1];
    for (unsigned b = 0; b < 32; b++) r += bit_of(x->s[0], b);
    return value(r);
}

static result first(const lane *x) {
    const bool from_top = strcmp(x->op->name, "v_clz_i32_u32") == 0;
    for (unsigned i = 0; i < 32; i++)
        if (bit_of(x->s[0], from_top ? 31 - i : i)) return value(i);
    return value(0xffffffff);
}

static result cls(const lane *x) {
    for (unsigned i = 1; i < 32; i++)
        if (bit_of(x->s[0], 31 - i) != bit_of(x->s[0], 31)) return value(i);
    return value(0xffffffff);
}

/* ---- sums of shifted and combined values ---- */

static result combined(const lane *x) {
    const char *n = x->op->name;
    const uint64_t a = x->s[0], b = x->s[1], c = x->s[2];
    uint64_t r = 0;
    if (!strcmp(n, "v_lshl_add_u32")) r = (a << b % 32) + c;
    if (!strcmp(n, "v_lshl_or_b32")) r = (a << b % 32) | c;
    if (!strcmp(n, "v_add_lshl_u32")) r = (a + b) << c % 32;
    if (!strcmp(n, "v_xad_u32")) r = (a ^ b) + c;
    return value(r & 0xffffffff);
}

static uint32_t difference(uint32_t a, uint32_t b) {
    return a > b ? a - b : b - a;
}

static result sad(const lane *x) {
    const char *n = x->op->name;
    const uint64_t a = x->s[0], b = x->s[1];
    uint32_t r = 0;
    if (!strcmp(n, "v_sad_u32"))
        r = difference((uint32_t)a, (uint32_t)b);
    else if (!strcmp(n, "v_sad_u16"))
        r = difference(a & 0xffff, b & 0xffff) + difference(a >> 16 & 0xffff, b >> 16 & 0xffff);
    else
        for (unsigned k = 0; k < 4; k++)
            if (strcmp(n, "v_msad_u8") != 0 || byte_of(b, k)) r += difference(byte_of(a, k), byte_of(b, k));
    if (!strcmp(n, "v_sad_hi_u8")) r <<= 16;
    return value((uint32_t)(r + x->s[2]));
}

static result lerp(const lane *x) {
    uint32_t r = 0;
    for (unsigned k = 0; k < 4; k++)
        r |= (byte_of(x->s[0], k) + byte_of(x->s[1], k) + bit_of(x->s[2], 8 * k)) / 2 << (8 * k);
    return value(r);
}

/* ---- to narrower integers ---- */

static uint32_t limited(int64_t v, int64_t low, int64_t high) {
    return (uint32_t)(v < low ? low : v > high ? high : v);
}

static result narrow(const lane *x) {
    const char *n = x->op->name;
    uint32_t r[2];
    for (unsigned k = 0; k < 2; k++) {
        const int64_t half = (int16_t)(x->s[0] >> (16 * k));
        if (!strcmp(n, "v_sat_pk_u8_i16"))
            r[k] = limited(half, 0, 255);
        else if (!strcmp(n, "v_cvt_pk_u16_u32"))
            r[k] = limited((int64_t)x->s[k], 0, 65535);
        else
            r[k] = limited((int32_t)x->s[k], -32768, 32767) & 0xffff;
    }
    return value(r[0] | r[1] << (strcmp(n, "v_sat_pk_u8_i16") ? 16 : 8));
}

static result widened(const lane *x) {
    const uint32_t h = half_source(x, 0);
    return value(strcmp(x->op->name, "v_cvt_u32_u16") == 0 ? h : (uint32_t)(h ^ 0x8000) - 0x8000);
}

/* The condition chooses the second source; neg and abs change a sign bit. */
static result select_one(const lane *x) {
    const bool half = strcmp(x->op->name, "v_cndmask_b16") == 0;
    const unsigned k = x->bit ? 1 : 0;
    const uint32_t sign = half ? 0x8000 : 0x80000000;
    uint32_t v = half ? half_source(x, k) : (uint32_t)x->s[k];
    if (x->in->abs >> k & 1) v &= ~sign;
    if (x->in->neg >> k & 1) v ^= sign;
    return value(v);
}

static const check checks[] = {
    {"v_bfe_u32", bfe, 0},
    {"v_bfe_i32", bfe, 0},
    {"v_bfm_b32", bfm, 0},
    {"v_alignbit_b32", align, 0},
    {"v_alignbyte_b32", align, 0},
    {"v_perm_b32", perm, 0},
    {"v_bfrev_b32", bfrev, 0},
    {"v_bcnt_u32_b32", bcnt, 0},
    {"v_clz_i32_u32", first, 0},
    {"v_ctz_i32_b32", first, 0},
    {"v_cls_i32", cls, 0},
    {"v_lshl_add_u32", combined, 0},
    {"v_lshl_or_b32", combined, 0},
    {"v_add_lshl_u32", combined, 0},
    {"v_xad_u32", combined, 0},
    {"v_sad_u8", sad, 0},
    {"v_sad_hi_u8", sad, 0},
    {"v_msad_u8", sad, 0},
    {"v_sad_u16", sad, 0},
    {"v_sad_u32", sad, 0},
    {"v_lerp_u8", lerp, 0},
    {"v_sat_pk_u8_i16", narrow, 0},
    {"v_cvt_pk_u16_u32", narrow, 0},
    {"v_cvt_pk_i16_i32", narrow, 0},
    {"v_cvt_i32_i16", widened, VARY_HALVES},
    {"v_cvt_u32_u16", widened, VARY_HALVES},
    {"v_cndmask_b32", select_one, VARY_SIGNS},
    {"v_cndmask_b16", select_one, VARY_SIGNS | VARY_HALVES},
};

/* Selectors of v_perm_b32 are small numbers, which random bits are not. */
static void perm_selectors(void) {
    const gfx_valu *op = gfx_valu_find("v_perm_b32");
    uint32_t s[3][GFX_LANES];
    const gfx_valu_in in = {.lo = {s[0], s[1], s[2]}};
    for (unsigned sel = 0; sel < 256; sel++) {
        for (unsigned l = 0; l < GFX_LANES; l++) {
            s[0][l] = (uint32_t)random64(), s[1][l] = (uint32_t)random64();
            s[2][l] = sel << 8 * (l % 4) | ((uint32_t)random64() & 0x0f0f0f0f & ~(255u << 8 * (l % 4)));
        }
        check_lanes(op, &in, perm);
        for (unsigned l = 0; l < GFX_LANES; l++) s[2][l] &= 0x07070707; /* bytes only */
        check_lanes(op, &in, perm);
    }
}

/* Widths and offsets too. */
static void fields(const char *name) {
    const gfx_valu *op = gfx_valu_find(name);
    uint32_t s[3][GFX_LANES];
    const gfx_valu_in in = {.lo = {s[0], s[1], s[2]}};
    for (unsigned offset = 0; offset < 34; offset++) {
        for (unsigned l = 0; l < GFX_LANES; l++)
            s[0][l] = (uint32_t)random64(), s[1][l] = offset, s[2][l] = l + (uint32_t)(random64() & 32);
        check_lanes(op, &in, bfe);
    }
}

void expect_bits(void **state) {
    (void)state;
    for (unsigned i = 0; i < sizeof truths / sizeof *truths; i++) {
        const check c = {truths[i].name, logic, VARY_HALVES};
        check_all(&c, 1);
    }
    check_all(checks, sizeof checks / sizeof *checks);
    perm_selectors();
    fields("v_bfe_u32");
    fields("v_bfe_i32");
}
