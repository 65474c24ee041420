/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over the GPU's rows, each call computed by the machine code that ships for AMD GPUs and held against the
 * reference (gpu/walk.h says how to call it). NB_GFX_ARCH names the architecture, NB_GFX_CODE a
 * folder of code objects to take instead of the built-in ones, NB_GFX_COUNTS=1 prints how often each
 * instruction was executed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gfx/device.h"
#include "gfx/gfx.h"
#include "gpu/driver.h"
#include "gpu/walk.h"

/* Also what no case comes to. */
static void test_all_implemented(void **state) {
    (void)state;
    size_t kernels = 0, missing = 0;
    for (const gpu_code *c = gpu_code_table; c->module; c++) {
        char text[GFX_ERROR_TEXT];
        if (strncmp(c->arch, "gfx11", 5) != 0) continue;
        char *code;
        nb_error err;
        if (gpu_code_unpack(c, &code, &err)) fail_msg("%s", err.text);
        gfx_object *o = gfx_object_load(code, c->size, text, sizeof text);
        free(code);
        if (!o) fail_msg("%s.%s: %s", c->module, c->arch, text);
        for (size_t i = 0; gfx_object_kernels(o, i); i++, kernels++) {
            const gfx_kernel *k = gfx_object_kernels(o, i);
            const size_t n = gfx_kernel_missing(o, k, text, sizeof text);
            if (n) print_error("%s of %s.%s: %zu instructions such as %s\n", k->name, c->module, c->arch, n, text);
            missing += n;
        }
        gfx_object_free(o);
    }
    print_message("%zu kernels\n", kernels);
    assert_int_equal(missing, 0);
}

static int free_modules(void **state) {
    (void)state;
    const char *name;
    uint64_t n;
    for (size_t i = 0; gfx_counted(i, &name, &n); i++) print_message("%14llu  %s\n", (unsigned long long)n, name);
    print_message("%llu instructions of waves\n", (unsigned long long)gfx_executed());
    gfx_device_free_modules();
    return 0;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_implemented), cmocka_unit_test(walk_rows)};
    if (getenv("NB_GFX_ARCH")) gfx_device_arch(getenv("NB_GFX_ARCH"));
    gfx_device_folder(getenv("NB_GFX_CODE"));
    gfx_count(getenv("NB_GFX_COUNTS") != NULL);
    walk_on(&gfx_device);
    if (!walk_options(argc, argv, getenv("NB_SANITIZED") != NULL)) return 2;
    return cmocka_run_group_tests(tests, NULL, free_modules);
}
