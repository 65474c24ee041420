/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantizing and dequantizing when memory runs out: each allocation fails in turn; each failure is an error of its own
 * kind, nothing leaks, and no directory appears under its name before it is complete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "support/oom/fail_alloc.h"

/* Directories in memory where there is such a place: every run writes its files through to the disk. */
typedef struct place {
    char base[64], floats[96], target[96], partial[112];
    bool decode;
} place;

static nb_status convert(void *user, nb_error *err) {
    place *p = user;
    char quantized[1024];
    snprintf(quantized, sizeof quantized, "%s/models/llama-q4-g32-f16-sliding", getenv("NB_TEST_DATA"));
    static const char *const overrides[] = {"*.up_proj=8:32"};
    nb_convert_options o = {.n_threads = 1, .group_size = 32, .overrides = overrides, .n_overrides = 1};
    nb_status status =
        p->decode ? nb_dequantize(quantized, p->target, &o, err) : nb_quantize(p->floats, p->target, &o, err);
    assert_true(path_is_dir(p->target) == (status == NB_OK));
    assert_int_equal(dir_remove(p->target, NULL), NB_OK);
    if (path_is_dir(p->partial)) assert_int_equal(dir_remove(p->partial, NULL), NB_OK);
    return status;
}

static void converting(void **state) {
    (void)state;
    place p = {.decode = true};
    char quantized[1024];
    nb_error err = {0};
    snprintf(p.base, sizeof p.base, "%s/nibble-test-oom-XXXXXX", path_is_dir("/dev/shm") ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(p.base));
    snprintf(p.floats, sizeof p.floats, "%s/floats", p.base);
    snprintf(p.target, sizeof p.target, "%s/out", p.base);
    snprintf(p.partial, sizeof p.partial, "%s.partial", p.target);
    snprintf(quantized, sizeof quantized, "%s/models/llama-q4-g32-f16-sliding", getenv("NB_TEST_DATA"));
    assert_int_equal(nb_dequantize(quantized, p.floats, NULL, &err), NB_OK);
    assert_true(fail_each_allocation(convert, &p, 300) > 50);
    p.decode = false;
    assert_true(fail_each_allocation(convert, &p, 300) > 50);
    assert_int_equal(dir_remove(p.base, NULL), NB_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(converting)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
