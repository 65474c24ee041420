/* SPDX-License-Identifier: Apache-2.0
 *
 * Expectations of integers of 16, 32 and 64 bits: exact in 128 bits, then cut off or saturated. */
#include "gfx/valu_check/expect.h"

#include <string.h>

typedef __int128 wide;

static wide power_of_2(unsigned n) {
    return (wide)1 << n;
}

/* v as n bits of two's complement or unsigned. */
static wide number(uint64_t v, unsigned bits, bool is_signed) {
    const wide m = (wide)v % power_of_2(bits);
    return is_signed && m >= power_of_2(bits - 1) ? m - power_of_2(bits) : m;
}

static uint64_t cut(wide v, unsigned bits) {
    wide m = v % power_of_2(bits);
    if (m < 0) m += power_of_2(bits);
    return (uint64_t)m;
}

static wide saturated(wide v, unsigned bits, bool is_signed) {
    const wide low = is_signed ? -power_of_2(bits - 1) : 0, high = low + power_of_2(bits) - 1;
    return v < low ? low : v > high ? high : v;
}

typedef wide formula(wide a, wide b, wide c);

static wide f_add(wide a, wide b, wide c) {
    (void)c;
    return a + b;
}
static wide f_sub(wide a, wide b, wide c) {
    (void)c;
    return a - b;
}
static wide f_subrev(wide a, wide b, wide c) {
    (void)c;
    return b - a;
}
static wide f_mul(wide a, wide b, wide c) {
    (void)c;
    return a * b;
}
static wide f_mad(wide a, wide b, wide c) {
    return a * b + c;
}
static wide f_add3(wide a, wide b, wide c) {
    return a + b + c;
}
static wide f_min(wide a, wide b, wide c) {
    (void)c;
    return a < b ? a : b;
}
static wide f_max(wide a, wide b, wide c) {
    (void)c;
    return a >= b ? a : b;
}
static wide f_min3(wide a, wide b, wide c) {
    return f_min(f_min(a, b, 0), c, 0);
}
static wide f_max3(wide a, wide b, wide c) {
    return f_max(f_max(a, b, 0), c, 0);
}
static wide f_maxmin(wide a, wide b, wide c) {
    return f_min(f_max(a, b, 0), c, 0);
}
static wide f_minmax(wide a, wide b, wide c) {
    return f_max(f_min(a, b, 0), c, 0);
}
static wide f_med3(wide a, wide b, wide c) {
    const wide most = f_max3(a, b, c);
    return most == a ? f_max(b, c, 0) : most == b ? f_max(a, c, 0) : f_max(a, b, 0);
}
static wide f_shl(wide a, wide b, wide c) {
    (void)c;
    return b * power_of_2((unsigned)a);
}
static wide f_shr(wide a, wide b, wide c) { /* floor, also of negative ones */
    (void)c;
    const wide d = power_of_2((unsigned)a), q = b / d;
    return b % d < 0 ? q - 1 : q;
}

typedef struct row {
    const char *name;
    formula *f;
    unsigned bits;  /* of sources and result */
    char is_signed; /* 's' or 'u' */
    char clamp;     /* 'c': clamp saturates */
    unsigned take;  /* bits of the first two sources that count, 0: all */
    unsigned shift; /* bits of the first source that count as a shift, 0: it is none */
} row;

static const row rows[] = {
    {"v_add_nc_u32", f_add, 32, 'u', 'c', 0, 0},
    {"v_sub_nc_u32", f_sub, 32, 'u', 'c', 0, 0},
    {"v_subrev_nc_u32", f_subrev, 32, 'u', 'c', 0, 0},
    {"v_add_nc_i32", f_add, 32, 's', 'c', 0, 0},
    {"v_sub_nc_i32", f_sub, 32, 's', 'c', 0, 0},
    {"v_add3_u32", f_add3, 32, 'u', 0, 0, 0},
    {"v_mul_lo_u32", f_mul, 32, 'u', 0, 0, 0},
    {"v_mul_u32_u24", f_mul, 32, 'u', 0, 24, 0},
    {"v_mul_i32_i24", f_mul, 32, 's', 0, 24, 0},
    {"v_mad_u32_u24", f_mad, 32, 'u', 'c', 24, 0},
    {"v_mad_i32_i24", f_mad, 32, 's', 'c', 24, 0},
    {"v_min_i32", f_min, 32, 's', 0, 0, 0},
    {"v_max_i32", f_max, 32, 's', 0, 0, 0},
    {"v_min_u32", f_min, 32, 'u', 0, 0, 0},
    {"v_max_u32", f_max, 32, 'u', 0, 0, 0},
    {"v_min3_i32", f_min3, 32, 's', 0, 0, 0},
    {"v_max3_i32", f_max3, 32, 's', 0, 0, 0},
    {"v_min3_u32", f_min3, 32, 'u', 0, 0, 0},
    {"v_max3_u32", f_max3, 32, 'u', 0, 0, 0},
    {"v_med3_i32", f_med3, 32, 's', 0, 0, 0},
    {"v_med3_u32", f_med3, 32, 'u', 0, 0, 0},
    {"v_maxmin_i32", f_maxmin, 32, 's', 0, 0, 0},
    {"v_minmax_i32", f_minmax, 32, 's', 0, 0, 0},
    {"v_maxmin_u32", f_maxmin, 32, 'u', 0, 0, 0},
    {"v_minmax_u32", f_minmax, 32, 'u', 0, 0, 0},
    {"v_lshlrev_b32", f_shl, 32, 'u', 0, 0, 5},
    {"v_lshrrev_b32", f_shr, 32, 'u', 0, 0, 5},
    {"v_ashrrev_i32", f_shr, 32, 's', 0, 0, 5},
    {"v_lshlrev_b64", f_shl, 64, 'u', 0, 0, 6},
    {"v_lshrrev_b64", f_shr, 64, 'u', 0, 0, 6},
    {"v_ashrrev_i64", f_shr, 64, 's', 0, 0, 6},
    {"v_add_nc_u16", f_add, 16, 'u', 'c', 0, 0},
    {"v_sub_nc_u16", f_sub, 16, 'u', 'c', 0, 0},
    {"v_add_nc_i16", f_add, 16, 's', 'c', 0, 0},
    {"v_sub_nc_i16", f_sub, 16, 's', 'c', 0, 0},
    {"v_mul_lo_u16", f_mul, 16, 'u', 0, 0, 0},
    {"v_mad_u16", f_mad, 16, 'u', 'c', 0, 0},
    {"v_mad_i16", f_mad, 16, 's', 'c', 0, 0},
    {"v_min_i16", f_min, 16, 's', 0, 0, 0},
    {"v_max_i16", f_max, 16, 's', 0, 0, 0},
    {"v_min_u16", f_min, 16, 'u', 0, 0, 0},
    {"v_max_u16", f_max, 16, 'u', 0, 0, 0},
    {"v_min3_i16", f_min3, 16, 's', 0, 0, 0},
    {"v_max3_i16", f_max3, 16, 's', 0, 0, 0},
    {"v_med3_i16", f_med3, 16, 's', 0, 0, 0},
    {"v_min3_u16", f_min3, 16, 'u', 0, 0, 0},
    {"v_max3_u16", f_max3, 16, 'u', 0, 0, 0},
    {"v_med3_u16", f_med3, 16, 'u', 0, 0, 0},
    {"v_lshlrev_b16", f_shl, 16, 'u', 0, 0, 4},
    {"v_lshrrev_b16", f_shr, 16, 'u', 0, 0, 4},
    {"v_ashrrev_i16", f_shr, 16, 's', 0, 0, 4},
};

enum { ROWS = sizeof rows / sizeof *rows };

static const row *row_of(const char *name) {
    for (unsigned i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    fail_msg("no formula of %s", name);
    return NULL;
}

/* v: the sources as they count, of r's bits. */
static uint64_t by_formula(const row *r, const uint64_t *s, bool clamp) {
    wide v[3];
    for (unsigned k = 0; k < 3; k++) {
        const unsigned bits = r->take && k < 2 ? r->take : r->bits;
        v[k] = number(s[k], bits, r->is_signed == 's');
    }
    if (r->shift) v[0] = number(s[0], r->shift, false);
    const wide w = r->f(v[0], v[1], v[2]);
    return cut(clamp && r->clamp ? saturated(w, r->bits, r->is_signed == 's') : w, r->bits);
}

static result single(const lane *x) {
    const row *r = row_of(x->op->name);
    uint64_t s[3];
    for (unsigned k = 0; k < 3; k++) s[k] = r->bits == 16 ? half_source(x, k) : x->s[k];
    return value(by_formula(r, s, x->in->clamp));
}

/* v_pk_add_u16 is v_add_nc_u16 twice; the others have the same names. */
static result packed(const lane *x) {
    char name[32];
    const char *rest = x->op->name + strlen("v_pk_");
    const bool sum = strncmp(rest, "add_", 4) == 0 || strncmp(rest, "sub_", 4) == 0;
    snprintf(name, sizeof name, "v_%.*s%s%s", sum ? 4 : 0, rest, sum ? "nc_" : "", sum ? rest + 4 : rest);
    uint64_t halves[2];
    for (unsigned h = 0; h < 2; h++) {
        const unsigned choice = h ? x->in->op_sel_hi : x->in->op_sel;
        uint64_t s[3];
        for (unsigned k = 0; k < 3; k++) s[k] = x->s[k] >> (choice >> k & 1 ? 16 : 0) & 0xffff;
        halves[h] = by_formula(row_of(name), s, x->in->clamp);
    }
    return value(halves[0] | halves[1] << 16);
}

static result mul_high(const lane *x) {
    const bool u24 = strstr(x->op->name, "24") != NULL, is_signed = strstr(x->op->name, "_i32") != NULL;
    const unsigned bits = u24 ? 24 : 32;
    const wide p = number(x->s[0], bits, is_signed) * number(x->s[1], bits, is_signed);
    return value(cut(f_shr(32, p, 0), 32));
}

static result mad_wide16(const lane *x) {
    const bool is_signed = strcmp(x->op->name, "v_mad_i32_i16") == 0;
    const wide a = number(half_source(x, 0), 16, is_signed), b = number(half_source(x, 1), 16, is_signed);
    const wide w = a * b + number(x->s[2], 32, is_signed);
    return value(cut(x->in->clamp ? saturated(w, 32, is_signed) : w, 32));
}

/* { D1, D0 } = 65 bits of the sum. */
static result mad_64(const lane *x) {
    const bool is_signed = strcmp(x->op->name, "v_mad_i64_i32") == 0;
    const wide p = number(x->s[0], 32, is_signed) * number(x->s[1], 32, is_signed);
    const wide w = p + number(x->s[2], 64, is_signed);
    return (result){.value = cut(w, 64), .bit = f_shr(64, w, 0) & 1};
}

static result with_carry(const lane *x) {
    const bool reverse = strstr(x->op->name, "subrev") != NULL, sub = strstr(x->op->name, "sub") != NULL;
    const wide a = (wide)x->s[reverse], b = (wide)x->s[!reverse], carry = x->op->reads_mask && x->bit;
    const wide w = sub ? a - b - carry : a + b + carry;
    const bool out = w < 0 || w >= power_of_2(32);
    return (result){.value = cut(x->in->clamp ? saturated(w, 32, false) : w, 32), .bit = out};
}

static result compare(const lane *x) {
    char how[4] = "", type = 0;
    unsigned bits = 0;
    sscanf(x->op->name, "v_cmp_%3[a-z]_%c%u", how, &type, &bits);
    const uint64_t s0 = bits == 16 ? half_source(x, 0) : x->s[0], s1 = bits == 16 ? half_source(x, 1) : x->s[1];
    const wide a = number(s0, bits, type == 'i'), b = number(s1, bits, type == 'i');
    bool r = false;
    if (!strcmp(how, "lt")) r = a < b;
    if (!strcmp(how, "eq")) r = a == b;
    if (!strcmp(how, "le")) r = a <= b;
    if (!strcmp(how, "gt")) r = a > b;
    if (!strcmp(how, "ne")) r = a != b;
    if (!strcmp(how, "ge")) r = a >= b;
    if (!strcmp(how, "t")) r = true;
    return (result){.bit = r};
}

#define COMPARE(type)                                                                                                  \
    {"v_cmp_f_" #type, compare, VARY_HALVES}, {"v_cmp_lt_" #type, compare, VARY_HALVES},                               \
        {"v_cmp_eq_" #type, compare, VARY_HALVES}, {"v_cmp_le_" #type, compare, VARY_HALVES},                          \
        {"v_cmp_gt_" #type, compare, VARY_HALVES}, {"v_cmp_ne_" #type, compare, VARY_HALVES},                          \
        {"v_cmp_ge_" #type, compare, VARY_HALVES}, {                                                                   \
        "v_cmp_t_" #type, compare, VARY_HALVES                                                                         \
    }
#define PACKED(n)                                                                                                      \
    { "v_pk_" #n, packed, VARY_PACKED | VARY_CLAMP }

static const check checks[] = {
    PACKED(add_i16),
    PACKED(sub_i16),
    PACKED(add_u16),
    PACKED(sub_u16),
    PACKED(mul_lo_u16),
    PACKED(mad_i16),
    PACKED(mad_u16),
    PACKED(min_i16),
    PACKED(max_i16),
    PACKED(min_u16),
    PACKED(max_u16),
    PACKED(lshlrev_b16),
    PACKED(lshrrev_b16),
    PACKED(ashrrev_i16),
    {"v_mul_hi_u32", mul_high, 0},
    {"v_mul_hi_i32", mul_high, 0},
    {"v_mul_hi_u32_u24", mul_high, 0},
    {"v_mul_hi_i32_i24", mul_high, 0},
    {"v_mad_i32_i16", mad_wide16, VARY_HALVES | VARY_CLAMP},
    {"v_mad_u32_u16", mad_wide16, VARY_HALVES | VARY_CLAMP},
    {"v_mad_u64_u32", mad_64, 0},
    {"v_mad_i64_i32", mad_64, 0},
    {"v_add_co_u32", with_carry, VARY_CLAMP},
    {"v_sub_co_u32", with_carry, VARY_CLAMP},
    {"v_subrev_co_u32", with_carry, VARY_CLAMP},
    {"v_add_co_ci_u32", with_carry, VARY_CLAMP},
    {"v_sub_co_ci_u32", with_carry, VARY_CLAMP},
    {"v_subrev_co_ci_u32", with_carry, VARY_CLAMP},
    COMPARE(i16),
    COMPARE(u16),
    COMPARE(i32),
    COMPARE(u32),
    COMPARE(i64),
    COMPARE(u64),
};

void expect_integers(void **state) {
    (void)state;
    for (unsigned i = 0; i < ROWS; i++) {
        const check c = {rows[i].name, single, VARY_HALVES | VARY_CLAMP};
        check_all(&c, 1);
    }
    check_all(checks, sizeof checks / sizeof *checks);
}
