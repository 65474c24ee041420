/* SPDX-License-Identifier: Apache-2.0
 *
 * The executor itself: small kernels (device/kernels.c) give what they should, each fault is found and named, and a
 * broken code object is an error. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gfx/device/kernels_params.h"
#include "gfx/device/scalar_ops.h"
#include "gfx/gfx.h"

enum { MOST = 4096 };
static struct {
    uint8_t *file;
    size_t size;
    gfx_object *object;
    char error[GFX_ERROR_TEXT];
} code;
static uint32_t in[2 * MOST], out[2 * MOST]; /* the second halves are not the kernels' */

static gfx_object *load(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be opened", path);
    fseek(f, 0, SEEK_END);
    code.size = (size_t)ftell(f);
    rewind(f);
    code.file = malloc(code.size);
    assert_non_null(code.file);
    assert_int_equal(fread(code.file, 1, code.size, f), code.size);
    fclose(f);
    gfx_object *o = gfx_object_load(code.file, code.size, code.error, sizeof code.error);
    if (!o) fail_msg("%s: %s", path, code.error);
    return o;
}

static int setup(void **state) {
    code.object = load(*state);
    for (uint32_t i = 0; i < MOST; i++) in[i] = i * 2654435761u >> 7;
    gfx_memory_add(in, sizeof in / 2);
    gfx_memory_add(out, sizeof out / 2);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    gfx_memory_remove(in);
    gfx_memory_remove(out);
    gfx_object_free(code.object);
    free(code.file);
    return 0;
}

typedef struct shape {
    uint32_t grid[3], block, lds, n, how;
} shape;
static uint64_t most_steps;

static bool run(const char *name, shape s) {
    const struct run_params p = {out, in, s.n, s.how};
    const gfx_launch l = {.object = code.object,
                          .kernel = gfx_object_kernel(code.object, name),
                          .grid = {s.grid[0], s.grid[1] ? s.grid[1] : 1, s.grid[2] ? s.grid[2] : 1},
                          .block = {s.block, 1, 1},
                          .dynamic_lds = s.lds,
                          .kernarg = &p,
                          .kernarg_size = sizeof p,
                          .most_steps = most_steps};
    if (!l.kernel) fail_msg("there is no kernel %s", name);
    memset(out, 0xee, sizeof out);
    return gfx_run(&l, code.error, sizeof code.error);
}

static void runs(const char *name, shape s) {
    if (!run(name, s)) fail_msg("%s", code.error);
}

static void test_divergence(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 300; i++) in[i] = i + 1;
    runs("steps", (shape){{3}, 128, 0, 300, 0});
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t n = 0;
        for (uint32_t v = i + 1; v != 1; v = v % 2 ? 3 * v + 1 : v / 2) n++;
        assert_int_equal(out[i], n);
    }
    assert_int_equal(out[300], 0xeeeeeeee);
}

static void test_places(void **state) {
    (void)state;
    runs("places", (shape){{5, 3, 2}, 64, 0, 0, 0});
    for (uint32_t i = 0; i < 5 * 3 * 2 * 64; i++) {
        const uint32_t b = i / 64, expected = b % 5 | b / 5 % 3 << 8 | b / 15 << 16 | i % 64 << 24;
        assert_int_equal(out[i], expected);
    }
}

static void test_packet(void **state) {
    (void)state;
    runs("packet", (shape){{5, 3}, 64, 0, 0, 0});
    for (uint32_t i = 0; i < 5 * 64; i++) assert_int_equal(out[i], 5 * 64 + 10000 * 3);
}

static void test_lds(void **state) {
    (void)state;
    runs("turn", (shape){{3}, RUN_BLOCK, 4 * RUN_BLOCK, 0, 0});
    for (uint32_t i = 0; i < 3 * RUN_BLOCK; i++) {
        const uint32_t b = i / RUN_BLOCK, t = i % RUN_BLOCK;
        assert_int_equal(out[i], in[b * RUN_BLOCK + RUN_BLOCK - 1 - t] + (t ^ 33));
    }
}

static void test_sums(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 128; i++) in[i] = i;
    runs("sums", (shape){{2}, 64, 0, 0, 0});
    for (uint32_t i = 0; i < 128; i++) {
        const uint32_t w = i / 32 * 32;
        assert_int_equal(out[i], 32 * w + 31 * 16 + 1000 * w + 100000 * (w + 31));
    }
}

static int by_value(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void test_scratch(void **state) {
    (void)state;
    for (uint32_t how = 0; how < 16; how += 5) {
        runs("sort", (shape){{2}, 64, 0, 1000, how});
        for (uint32_t i = 0; i < 128; i++) {
            uint32_t a[SORTED];
            for (uint32_t k = 0; k < SORTED; k++) a[k] = in[(i * 7 + k * 13) % 1000];
            qsort(a, SORTED, sizeof *a, by_value);
            assert_int_equal(out[i], a[how] + ((a[2 * (how & 7)] & 255) << 24));
        }
    }
}

/* Registers by an index that only the run knows. */
static void test_indexed(void **state) {
    (void)state;
    for (uint32_t how = 0; how < 8; how += 3) {
        runs("indexed", (shape){{1}, 64, 0, 1000, how});
        for (uint32_t i = 0; i < 64; i++) assert_int_equal(out[i], how == 0 ? 5 : in[i + how]);
    }
}

/* Of a float that is not negative. */
static uint32_t half_of(float f) {
    if (f == 0) return 0;
    const int e = ilogbf(f) < -14 ? -14 : ilogbf(f);
    const uint32_t digits = (uint32_t)nearbyintf(ldexpf(f, 10 - e)); /* 1024 and more: a normal number */
    const uint32_t bits = (uint32_t)(e + 14) * 1024 + digits;
    return bits > 0x7c00 ? 0x7c00 : bits;
}

static void test_divide(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 256; i++) in[i] = i * 0x9e3779b9u >> i % 31;
    runs("divide", (shape){{1}, 128, 0, 0, 0});
    for (uint32_t i = 0; i < 128; i++) {
        const uint32_t a = in[2 * i], b = in[2 * i + 1] | 1, *o = out + 8 * i;
        const float q = (float)a / (float)b;
        const double d = (double)a / (double)b;
        uint32_t bits;
        uint64_t wide;
        memcpy(&bits, &q, sizeof bits);
        memcpy(&wide, &d, sizeof wide);
        assert_int_equal(o[0], a / b);
        assert_int_equal(o[1], (uint32_t)((int32_t)a % (int32_t)b));
        assert_int_equal(o[2], (uint32_t)(((uint64_t)a << 32 | b) / (a | 1)));
        /* The compiler's division has 2.5 ulp, as OpenCL allows, unless it was told otherwise: it was not. */
        assert_int_equal(o[3], bits);
        assert_int_equal(o[4] | (uint64_t)o[5] << 32, wide);
        assert_int_equal(o[6], half_of(q));
        assert_int_equal(o[7], (uint32_t)((uint64_t)a * b >> 32));
    }
}

static void test_flat(void **state) {
    (void)state;
    for (uint32_t how = 0; how < 3; how++) {
        runs("flat", (shape){{1}, 64, 256, 0, how});
        for (uint32_t t = 0; t < 64; t++) {
            const uint32_t mine[4] = {1, 2, 3, t};
            const uint32_t expected = 5 + (how == 0 ? 3 * t : how == 1 ? mine[t & 3] : 0xeeeeeeee);
            assert_int_equal(out[t], expected);
        }
    }
}

/* What lane i of row `r` of the kernel must have. */
static uint32_t lane_expected(uint32_t r, uint32_t i) {
    const uint32_t row = i & 16, k = i & 15;
    switch (r) {
    case 0:
        return in[i ^ 3];
    case 1:
        return k + 3 < 16 ? in[i + 3] : 77;
    case 2:
        return k >= 2 ? in[i - 2] : 0;
    case 3:
        return in[row + ((k - 5) & 15)];
    case 4:
        return in[row + 15 - k];
    case 5:
        return in[i ^ 7];
    case 6:
        return in[row + 7];
    case 7:
        return in[i ^ 9];
    case 8:
        return row == 0 && (k / 4) % 2 == 0 ? in[15 - k] : 77;
    case 9:
        return in[(i & 24) + ((i & 7) < 4 ? 7 - (i & 7) : (i & 7) - 4)];
    case 10:
        return in[row + (k < 8 ? k : k ^ 1)];
    case 11:
        return in[(row ^ 16) + (k < 8 ? 7 - k : 15 - (k - 8))];
    case 12:
        return in[i ^ 3];
    case 13:
        return in[i ^ 5];
    case 14:
        return in[i * 11 % 32]; /* 3 * 11 = 1 modulo 32 */
    default:
        return i + 100 + (i + 1) / 2;
    }
}

static void test_lanes(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 32; i++) in[i] = 1000 + i;
    runs("lanes", (shape){{1}, 32, 0, 0, 0});
    for (uint32_t r = 0; r < 16; r++)
        for (uint32_t i = 0; i < 32; i++)
            if (out[32 * r + i] != lane_expected(r, i))
                fail_msg("row %u, lane %u: %u, expected %u", r, i, out[32 * r + i], lane_expected(r, i));
}

static void test_modes(void **state) {
    (void)state;
    runs("modes", (shape){{1}, 32, 0, 0, 0});
    assert_int_equal(out[0], 0x3f800001);
    assert_int_equal(out[1], 0x3f800000);
    assert_int_equal(out[2], 1u << 19); /* 2^-130 */
    assert_int_equal(out[3], 0);
}

static uint32_t scalar_field(uint32_t a, uint32_t b) {
    const uint32_t at = b & 31, n = b >> 16 & 127;
    uint32_t r = 0;
    for (uint32_t i = 0; i < n && at + i < 32; i++) r |= (a >> (at + i) & 1) << i;
    return r;
}

static uint32_t scalar_signed_field(uint32_t a, uint32_t b) {
    const uint32_t at = b & 31, n = b >> 16 & 127;
    uint32_t r = 0;
    if (n == 0) return 0;
    for (uint32_t i = 0; i < 32; i++) {
        const uint32_t bit = at + (i < n ? i : n - 1);
        r |= (a >> (bit < 31 ? bit : 31) & 1) << i;
    }
    return r;
}

static uint32_t scalar_reverse(uint32_t a) {
    uint32_t r = 0;
    for (int i = 0; i < 32; i++) r = r << 1 | (a >> i & 1);
    return r;
}

static void check_scalar(uint32_t *at, const char *name, uint32_t a, uint32_t b, uint32_t result, bool scc) {
    if (out[*at] != result || out[*at + 1] != scc)
        fail_msg("%s of 0x%x, 0x%x: 0x%x, SCC %u; expected 0x%x, %u", name, a, b, out[*at], out[*at + 1], result, scc);
    *at += 2;
}

static void test_scalars(void **state) {
    (void)state;
    static const uint32_t values[] = {0,          1,          2,          31,         32,         0x7f,
                                      0x80,       0x8000,     0x7fffffff, 0x80000000, 0x80000001, 0xffffffff,
                                      0xfffffffe, 0x12345678, 0x00050003, 0x00200000, 0x00100010, 0x001f0001};
    const size_t n = sizeof values / sizeof *values;
    for (size_t i = 0; i < n * n; i++) {
        const uint32_t a = values[i / n], b = values[i % n];
        const int32_t sa = (int32_t)a, sb = (int32_t)b;
        uint32_t at = 0;
        runs("scalars", (shape){{1}, 32, 0, a, b});
#define CHECK(name, result, condition) check_scalar(&at, #name, a, b, result, condition);
        SCALAR_OPS(CHECK)
        SCALAR_OPS1(CHECK)
        SCALAR_COMPARISONS(CHECK)
    }
}

/* ---- Faults -------------------------------------------------------------------------------------------------------
 */

static void finds(const char *kernel, shape s, const char *what) {
    const bool ok = run(kernel, s);
    if (ok || !strstr(code.error, what) || !strstr(code.error, kernel))
        fail_msg("%s: \"%s\", not \"%s\"", kernel, ok ? "" : code.error, what);
}

static void test_faults(void **state) {
    (void)state;
    const shape one = {{1}, RUN_BLOCK, 4 * RUN_BLOCK, MOST, 0};
    finds("reads_behind", one, "out of bounds: lane 13 loads 4 bytes");
    finds("writes_behind", one, "out of bounds: lane 13 stores 4 bytes");
    finds("races", one, "race: lane 0 stores to LDS at 0x80, which wave 0");
    runs("races", (shape){{1}, RUN_BLOCK, 4 * RUN_BLOCK, MOST, 1});
    finds("overwrites", one, "race: lane 0 stores to LDS at 0x14, which wave 0");
    finds("lds_unwritten", one, "uninitialized");
    finds("lds_behind", one, "out of bounds: lane 31 touches 4 bytes at 0x400 of LDS");
    finds("register_unwritten", one, "uninitialized");
    finds("branch_unwritten", one, "never written");
    finds("no_wait", one, "still being loaded: no s_waitcnt");
    finds("no_scalar_wait", one, "still being loaded");
    finds("not_there", one, "s_movrels_b32 s20, s21 [be944015]: is not implemented");
    finds("stops", one, "the kernel stops by itself");
    finds("steps", (shape){{1}, 2048, 0, 1, 0}, "2048");
    finds("turn", (shape){{1}, RUN_BLOCK, GFX_LDS_MAX + 4, 0, 0}, "bytes of LDS");
    test_divergence(state); /* and go on */
}

/* Memory that is registered as new: what nobody has written is as undefined as a register. */
static void test_new_memory(void **state) {
    (void)state;
    static uint32_t fresh[RUN_BLOCK];
    struct run_params p = {out, fresh, 0, 0};
    gfx_launch l = {.object = code.object,
                    .kernel = gfx_object_kernel(code.object, "copy"),
                    .grid = {1, 1, 1},
                    .block = {RUN_BLOCK, 1, 1},
                    .kernarg = &p,
                    .kernarg_size = sizeof p};
    gfx_memory_add_new(fresh, sizeof fresh);
    gfx_memory_written(fresh, 200 * sizeof *fresh);
    assert_false(gfx_run(&l, code.error, sizeof code.error));
    assert_non_null(strstr(code.error, "wave 6"));
    assert_non_null(strstr(code.error, "never written (lane 8)"));
    p = (struct run_params){fresh, out, 0, 0}; /* a kernel writes all of it */
    assert_true(gfx_run(&l, code.error, sizeof code.error));
    p = (struct run_params){out, fresh, 0, 0};
    assert_true(gfx_run(&l, code.error, sizeof code.error));
    gfx_memory_remove(fresh);
}

static void test_broken(void **state) {
    (void)state;
    uint8_t *copy = malloc(code.size);
    uint32_t random = 1;
    size_t loaded = 0;
    assert_non_null(copy);
    for (int t = 0; t < 3000; t++) {
        memcpy(copy, code.file, code.size);
        for (int k = 0; k < 4; k++) {
            random = random * 1664525 + 1013904223;
            const size_t range = random >> 31 ? code.size : 4096;
            random = random * 1664525 + 1013904223;
            copy[(random >> 4) % range] ^= (uint8_t)(random >> 20);
        }
        const size_t size = t % 3 == 0 ? 1 + (random >> 4) % code.size : code.size;
        uint8_t *exact = malloc(size); /* so that a sanitizer sees what is read behind it */
        assert_non_null(exact);
        memcpy(exact, copy, size);
        code.error[0] = 0;
        gfx_object *o = gfx_object_load(exact, size, code.error, sizeof code.error);
        assert_true(o || code.error[0]);
        loaded += o != NULL;
        gfx_object_free(o);
        free(exact);
    }
    free(copy);
    assert_true(loaded < 3000);
    gfx_object *o = gfx_object_load(code.file, 0, code.error, sizeof code.error);
    assert_non_null(o);
    gfx_object_free(o);
}

/* Machine code with wrong bits ends with an error, or does something else: it never harms the executor. Scratch, LDS
 * and registers that it names are checked as memory is. */
static void test_wrong_code(void **state) {
    (void)state;
    gfx_object *right = code.object;
    const char *const names[] = {"sort", "turn", "divide", "lanes", "flat", "sums", "indexed"};
    uint8_t *copy = malloc(code.size);
    uint32_t random = 7;
    size_t failed = 0;
    assert_non_null(copy);
    most_steps = 20000;
    for (int t = 0; t < 2000; t++) {
        const gfx_kernel *k = gfx_object_kernel(right, names[t % 7]);
        memcpy(copy, code.file, code.size);
        uint8_t *at = memmem(copy, code.size, (const uint8_t *)gfx_object_code(right, k), k->code_bytes);
        assert_non_null(at);
        for (int n = 0; n < 3; n++) {
            random = random * 1664525 + 1013904223;
            at[(random >> 8) % k->code_bytes] ^= (uint8_t)(1u << (random >> 28 & 7));
        }
        code.object = gfx_object_load(copy, code.size, code.error, sizeof code.error);
        assert_non_null(code.object);
        failed += !run(k->name, (shape){{2}, 64, 1024, 100, t & 7});
        gfx_object_free(code.object);
    }
    most_steps = 0;
    code.object = right;
    free(copy);
    assert_in_range(failed, 500, 1999);
}

/* The object with one word of a kernel replaced, while it runs. */
static bool runs_with(const char *name, size_t word, uint32_t by, shape s) {
    gfx_object *right = code.object;
    const gfx_kernel *k = gfx_object_kernel(right, name);
    uint8_t *copy = malloc(code.size);
    assert_non_null(copy);
    memcpy(copy, code.file, code.size);
    uint8_t *at = memmem(copy, code.size, gfx_object_code(right, k), k->code_bytes);
    assert_non_null(at);
    memcpy(at + 4 * word, &by, 4);
    code.object = gfx_object_load(copy, code.size, code.error, sizeof code.error);
    assert_non_null(code.object);
    const bool ok = run(name, s);
    gfx_object_free(code.object);
    code.object = right;
    free(copy);
    return ok;
}

/* A barrier or a wait that is left out: all barriers of `turn` matter, and of the waits those that stand before a use.
 */
static void test_left_out(void **state) {
    (void)state;
    enum { NOP = 0xbf800000, BARRIER = 0xbfbd0000, WAIT = 0xbf89 };
    const gfx_kernel *k = gfx_object_kernel(code.object, "turn");
    const uint32_t *words = gfx_object_code(code.object, k);
    const shape s = {{3}, RUN_BLOCK, 4 * RUN_BLOCK, 0, 0};
    size_t barriers = 0, waits = 0, found = 0;
    for (size_t i = 0; i < k->code_bytes / 4; i++) {
        if (words[i] != BARRIER && words[i] >> 16 != WAIT) continue;
        const bool found_out = !runs_with("turn", i, NOP, s);
        if (words[i] == BARRIER) {
            barriers++;
            const bool named = strstr(code.error, "race") || strstr(code.error, "never written");
            if (!found_out || !named) fail_msg("barrier at word %zu: %s", i, code.error);
        } else {
            waits++;
            found += found_out && strstr(code.error, "still being loaded");
        }
    }
    print_message("%zu barriers, %zu of %zu waits\n", barriers, found, waits);
    assert_int_equal(barriers, 3);
    assert_in_range(found, waits / 2, waits);
}

static int group(const char *name, char *path) {
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_divergence), cmocka_unit_test(test_places),     cmocka_unit_test(test_packet),
        cmocka_unit_test(test_lds),        cmocka_unit_test(test_sums),       cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_divide),     cmocka_unit_test(test_indexed),    cmocka_unit_test(test_flat),
        cmocka_unit_test(test_lanes),      cmocka_unit_test(test_modes),      cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_faults),     cmocka_unit_test(test_new_memory), cmocka_unit_test(test_broken),
        cmocka_unit_test(test_wrong_code), cmocka_unit_test(test_left_out),
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        tests[i].setup_func = setup;
        tests[i].teardown_func = teardown;
        tests[i].initial_state = path;
    }
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

/* With the code objects' paths: the same kernels for several targets. */
int main(int argc, char **argv) {
    int failed = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: %s OBJECT...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) failed += group(argv[i], argv[i]);
    return failed != 0;
}
