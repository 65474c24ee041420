/* SPDX-License-Identifier: Apache-2.0
 *
 * Operands, runs and comparisons of check.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gfx/valu_check/check.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static uint64_t seed = 0x9e3779b97f4a7c15;

uint64_t random64(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1d;
}

static const uint64_t corners16[] = {0,      1,      2,      3,      15,     16,     0xff,   0x100,  0x3ff,  0x400,
                                     0x401,  0x7fe,  0x1234, 0x3bff, 0x3c00, 0x3c01, 0x3800, 0x4248, 0x77ff, 0x7800,
                                     0x7bff, 0x7c00, 0x7c01, 0x7dff, 0x7e00, 0x7fff, 0x8000, 0x8001, 0x83ff, 0x8400,
                                     0xb800, 0xbc00, 0xbc01, 0xc000, 0xfbff, 0xfc00, 0xfd55, 0xfe00, 0xff12, 0xffff};

/* Zeros, denormals, the smallest and largest, ones and their neighbours, halves of units, integers' edges, infinities,
 * signalling and quiet NaNs. */
static const uint64_t corners32[] = {0,          1,          2,          0x1f,       0x20,       0x7fffff,   0x400000,
                                     0x800000,   0x800001,   0x0c800000, 0x33000000, 0x33800000, 0x38800000, 0x3effffff,
                                     0x3f000000, 0x3f800000, 0x3f800001, 0x3fc00000, 0x40490fdb, 0x477fefff, 0x477ff000,
                                     0x4b000000, 0x4b000001, 0x4f000000, 0x4f800000, 0x7e800000, 0x7f000000, 0x7f7fffff,
                                     0x7f800000, 0x7f800001, 0x7fa12345, 0x7fc00000, 0x7fffffff, 0x80000000, 0x80000001,
                                     0x807fffff, 0x80800000, 0x93456789, 0xb3800000, 0xbf800000, 0xbf7fffff, 0xcf000000,
                                     0xff7fffff, 0xff800000, 0xff923456, 0xffc00001, 0xffffffff};

static const uint64_t corners64[] = {0,
                                     1,
                                     63,
                                     0x000fffffffffffff,
                                     0x0010000000000000,
                                     0x3690000000000000,
                                     0x380fffffe0000000,
                                     0x3ca0000000000000,
                                     0x3fe0000000000000,
                                     0x3ff0000000000000,
                                     0x3ff0000000000001,
                                     0x3ff0000010000000,
                                     0x400921fb54442d18,
                                     0x41dfffffffc00000,
                                     0x41efffffffe00000,
                                     0x4340000000000000,
                                     0x47efffffe0000000,
                                     0x47effffff0000000,
                                     0x7fe0000000000000,
                                     0x7fefffffffffffff,
                                     0x7ff0000000000000,
                                     0x7ff0000000000001,
                                     0x7ff8000000000000,
                                     0x7fffffffffffffff,
                                     0x8000000000000000,
                                     0x8000000000000001,
                                     0x8010000000000000,
                                     0xbfe0000000000000,
                                     0xbff0000000000000,
                                     0xc1e0000000000000,
                                     0xffefffffffffffff,
                                     0xfff0000000000000,
                                     0xfff4000000000000,
                                     0xffffffffffffffff};

static bool is_16(gfx_type t) {
    return t == GFX_B16 || t == GFX_F16 || t == GFX_BF16 || t == GFX_I16 || t == GFX_U16;
}

static bool is_64(gfx_type t) {
    return t == GFX_B64 || t == GFX_F64 || t == GFX_I64 || t == GFX_U64;
}

unsigned corners(gfx_type t, const uint64_t **list) {
    *list = is_16(t) ? corners16 : is_64(t) ? corners64 : corners32;
    return (unsigned)(is_16(t) ? COUNT(corners16) : is_64(t) ? COUNT(corners64) : COUNT(corners32));
}

/* Exponents near one as often as all others: so that sums cancel and products stay inside. */
static uint64_t random_value(gfx_type t) {
    const uint64_t r = random64();
    if (t == GFX_F32 && r >> 60 < 8) return (r & 0x807fffff) | (0x3f800000 + ((r >> 32) % 49 << 23) - (24 << 23));
    if (t == GFX_F64 && r >> 60 < 8)
        return (random64() & 0x800fffffffffffff) | (0x3ff0000000000000 + (r % 109 << 52) - ((uint64_t)54 << 52));
    return is_64(t) ? r : r & 0xffffffff;
}

uint64_t some_value(gfx_type t) {
    const uint64_t r = random64();
    const uint64_t *list;
    const unsigned n = corners(t, &list);
    if (t == GFX_PK16 || t == GFX_B32) { /* two of 16 bits */
        const uint64_t low = corners16[r % COUNT(corners16)], high = corners16[(r >> 8) % COUNT(corners16)];
        if (r >> 62 < 2) return (r >> 60 & 1 ? low : random64() & 0xffff) | high << 16;
    }
    return r >> 63 ? list[r % n] : random_value(t);
}

/* Often no bit at all, for which an instruction may have a way of its own. */
static uint32_t random_mask(void) {
    const uint64_t r = random64();
    return r >> 62 ? (uint32_t)r : 0;
}

static unsigned n_sources(const gfx_valu *op) {
    unsigned n = 0;
    while (n < 3 && op->src[n] != GFX_NONE) n++;
    return n;
}

static char done[1024][32];
static unsigned n_done;

void check_mark(const char *name) {
    if (check_was_done(name)) return;
    assert_true(n_done < COUNT(done));
    snprintf(done[n_done++], sizeof *done, "%s", name);
}

bool check_was_done(const char *name) {
    for (unsigned i = 0; i < n_done; i++)
        if (strcmp(done[i], name) == 0) return true;
    return false;
}

static void report(const lane *x, unsigned l, uint64_t got, bool got_bit, const result *want) {
    const gfx_valu_in *in = x->in;
    const gfx_mode m = in->mode;
    fail_msg("%s(0x%llx, 0x%llx, 0x%llx, bit %d) of lane %u: 0x%llx (bit %d), expected 0x%llx (bit %d)\n"
             "neg %x abs %x neg_hi %x op_sel %x op_sel_hi %x omod %u clamp %u round %u/%u denorm %u/%u ieee %u dx10 %u",
             x->op->name, (unsigned long long)x->s[0], (unsigned long long)x->s[1], (unsigned long long)x->s[2], x->bit,
             l, (unsigned long long)got, got_bit, (unsigned long long)want->value, want->bit, in->neg, in->abs,
             in->neg_hi, in->op_sel, in->op_sel_hi, in->omod, in->clamp, m.round32, m.round16_64, m.denorm32,
             m.denorm16_64, m.ieee, m.dx10_clamp);
}

void check_lanes(const gfx_valu *op, const gfx_valu_in *in, expectation *expect) {
    gfx_valu_out out;
    memset(&out, 0xa5, sizeof out);
    op->run(in, &out);
    for (unsigned l = 0; l < GFX_LANES; l++) {
        lane x = {op, in, {0}, in->mask >> l & 1};
        for (unsigned k = 0; k < n_sources(op); k++)
            x.s[k] = in->lo[k][l] | (is_64(op->src[k]) ? (uint64_t)in->hi[k][l] << 32 : 0);
        const result want = expect(&x);
        const uint64_t got = op->dst == GFX_NONE ? 0 : out.lo[l] | (is_64(op->dst) ? (uint64_t)out.hi[l] << 32 : 0);
        const bool got_bit = op->writes_mask && out.mask >> l & 1;
        if (!want.any && (got != want.value || got_bit != want.bit)) report(&x, l, got, got_bit, &want);
    }
}

/* ---- batches ---- */

typedef struct batch {
    uint32_t lo[3][GFX_LANES], hi[3][GFX_LANES];
    gfx_valu_in in;
    unsigned filled;
} batch;

static const gfx_mode usual = {.denorm32 = 3, .denorm16_64 = 3, .ieee = 1, .dx10_clamp = 1};

static void start(batch *b) {
    for (unsigned k = 0; k < 3; k++) b->in.lo[k] = b->lo[k], b->in.hi[k] = b->hi[k];
    b->filled = 0;
}

/* Beside a 16-bit operand stands something else. */
static void put(batch *b, unsigned k, gfx_type t, unsigned l, uint64_t v) {
    const bool high = is_16(t) && b->in.op_sel >> k & 1;
    const uint32_t beside = is_16(t) ? (uint32_t)random64() & 0xffff : 0;
    b->lo[k][l] = high ? (uint32_t)v << 16 | beside : is_16(t) ? ((uint32_t)v & 0xffff) | beside << 16 : (uint32_t)v;
    b->hi[k][l] = (uint32_t)(v >> 32);
}

static void cross(const gfx_valu *op, expectation *expect) {
    batch b = {.in = {.op_sel_hi = 7, .mode = usual}};
    const unsigned n = n_sources(op);
    const uint64_t *list[3];
    unsigned count[3] = {1, 1, 1};
    for (unsigned k = 0; k < n; k++) count[k] = corners(op->src[k], &list[k]);
    start(&b);
    const unsigned all = count[0] * count[1] * count[2];
    for (unsigned c = 0; c < all || b.filled; c++) { /* the last batch is filled up from the first values */
        const unsigned at[] = {c % count[0], c / count[0] % count[1], c / count[0] / count[1] % count[2]};
        for (unsigned k = 0; k < n; k++) put(&b, k, op->src[k], b.filled, list[k][at[k]]);
        if (++b.filled < GFX_LANES) continue;
        b.in.mask = random_mask();
        check_lanes(op, &b.in, expect);
        b.filled = 0;
    }
}

static void vary(gfx_valu_in *in, unsigned what) {
    const uint64_t r = random64();
    *in = (gfx_valu_in){.lo = {in->lo[0], in->lo[1], in->lo[2]},
                        .hi = {in->hi[0], in->hi[1], in->hi[2]},
                        .mask = random_mask(),
                        .op_sel_hi = 7,
                        .mode = usual};
    if (what & (VARY_SIGNS | VARY_NEG)) in->neg = r & 7;
    if (what & VARY_SIGNS) in->abs = r >> 3 & 7;
    if (what & VARY_OUT) in->clamp = (r >> 6 & 3) == 0, in->omod = r >> 8 & 3;
    if (what & VARY_CLAMP) in->clamp = r >> 6 & 1;
    if (what & VARY_PACKED)
        in->op_sel = r >> 10 & 7, in->op_sel_hi = r >> 13 & 7, in->neg = r & 7, in->neg_hi = r >> 16 & 7;
    if (what & VARY_HALVES) in->op_sel = r >> 10 & 15;
    if (what & VARY_MODE && r >> 19 & 3)
        in->mode = (gfx_mode){r >> 21 & 3, r >> 23 & 3, r >> 25 & 3, r >> 27 & 3, r >> 29 & 1, r >> 30 & 1};
}

static void at_random(const gfx_valu *op, expectation *expect, unsigned what) {
    batch b = {.in = {.op_sel_hi = 7}};
    start(&b);
    for (unsigned round = 0; round < 600; round++) {
        vary(&b.in, what);
        for (unsigned l = 0; l < GFX_LANES; l++)
            for (unsigned k = 0; k < n_sources(op); k++) put(&b, k, op->src[k], l, some_value(op->src[k]));
        check_lanes(op, &b.in, expect);
    }
}

/* Every value of one 16-bit source. */
static void every_half(const gfx_valu *op, expectation *expect) {
    batch b = {.in = {.op_sel_hi = 7, .mode = usual}};
    start(&b);
    for (unsigned h = 0; h < 65536; h += GFX_LANES) {
        for (unsigned l = 0; l < GFX_LANES; l++) put(&b, 0, op->src[0], l, h + l);
        check_lanes(op, &b.in, expect);
    }
}

void check_all(const check *checks, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        const gfx_valu *op = gfx_valu_find(checks[i].name);
        if (!op) fail_msg("no instruction %s", checks[i].name);
        cross(op, checks[i].expect);
        at_random(op, checks[i].expect, checks[i].vary);
        if (n_sources(op) == 1 && is_16(op->src[0])) every_half(op, checks[i].expect);
        check_mark(checks[i].name);
    }
}
