/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver interface over a library that fails as it is told (tests/support/fake_gpu): each failure is an error with
 * a line that says what failed, where and why, and what can go on goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpu/device.h"

static const gpu_driver *const driver = &gpu_cuda_driver;
static const gpu_kernel add_kernel = {.module = "ops", .name = "add"};

/* From now on the driver does so. */
static void fake(const char *what) {
    setenv("NB_FAKE_GPU", what, 1);
}

static gpu_context *open_context(void) {
    gpu_context *c;
    nb_error err;
    fake("");
    if (driver->open(0, &c, &err)) fail_msg("%s", err.text);
    return c;
}

static void says(const nb_error *err, const char *what) {
    if (!strstr(err->text, what)) fail_msg("\"%s\" does not say \"%s\"", err->text, what);
}

static gpu_launch a_launch(const gpu_kernel *k) {
    return (gpu_launch){.kernel = k, .grid = {2, 1, 1}, .block = 64, .params_size = 16};
}

static void devices_are_listed(void **state) {
    (void)state;
    fake("devices:2");
    const gpu_device_list *list = gpu_devices(driver);
    assert_int_equal(list->n, 2);
    assert_string_equal(list->at[1].name, "Fake GPU 1");
    assert_string_equal(list->at[1].arch, "sm_90");
    assert_string_equal(list->at[1].unusable, "");
    assert_int_equal(list->at[1].traits.warp, 32);
    assert_true(list->at[1].traits.caps & GPU_NVIDIA);
    fake("devices:0"); /* the answer is kept */
    assert_int_equal(gpu_devices(driver)->n, 2);
}

static void memory_goes_there_and_back(void **state) {
    (void)state;
    gpu_context *c = open_context();
    nb_error err;
    void *a, *b;
    char text[] = "there and back";
    uint64_t available, total;
    assert_int_equal(driver->alloc(c, sizeof text, &a, &err), NB_OK);
    assert_int_equal(driver->alloc(c, sizeof text, &b, &err), NB_OK);
    assert_int_equal(driver->write(c, a, text, sizeof text, &err), NB_OK);
    assert_int_equal(driver->copy(c, b, a, sizeof text, &err), NB_OK);
    assert_int_equal(driver->clear(c, b, 5, &err), NB_OK);
    assert_int_equal(driver->read(c, text, b, sizeof text, &err), NB_OK);
    assert_memory_equal(text, "\0\0\0\0\0 and back", sizeof text);
    assert_int_equal(driver->memory(c, &available, &total, &err), NB_OK);
    assert_true(available < total);
    driver->release(c, a);
    driver->release(c, b);
    driver->close(c);
}

static void no_memory(void **state) {
    (void)state;
    gpu_context *c = open_context();
    nb_error err;
    void *p;
    assert_int_equal(driver->alloc(c, (size_t)3 << 30, &p, &err), NB_ERR_NO_MEMORY);
    assert_null(p);
    says(&err, "cuda:0 (Fake GPU 0): cuMemAlloc_v2: out of memory (error 2)");
    says(&err, "3.221 GB wanted, 0.268 of 1.074 GB are free");
    assert_int_equal(driver->alloc(c, 4, &p, &err), NB_OK); /* less of it there is */
    driver->release(c, p);
    fake("cuMemHostAlloc:2");
    assert_int_equal(driver->alloc_host(c, 1 << 20, &p, &err), NB_ERR_NO_MEMORY);
    says(&err, "pinned memory: cuda:0");
    driver->close(c);
}

static void a_launch_fails(void **state) {
    (void)state;
    gpu_context *c = open_context();
    nb_error err;
    gpu_launch l = a_launch(&add_kernel);
    fake("cuLaunchKernel:701");
    assert_int_equal(driver->launch(c, &l, &err), NB_ERR_INTERNAL);
    says(&err, "kernel add, 2 x 1 x 1 blocks of 64 threads, 0 bytes shared: cuda:0");
    says(&err, "more registers or shared memory than the device has");
    fake("");
    assert_int_equal(driver->launch(c, &l, &err), NB_OK); /* such an error goes by */
    l.shared = 1 << 20;
    assert_int_equal(driver->prepare(c, &l, &err), NB_ERR_INTERNAL);
    says(&err, "kernel add wants 1048576 bytes of shared memory, the device has 65536");
    fake("cuFuncSetAttribute:1");
    l.shared = 60 << 10;
    assert_int_equal(driver->prepare(c, &l, &err), NB_ERR_INTERNAL);
    says(&err, "kernel add: cuda:0 (Fake GPU 0): cuFuncSetAttribute");
    driver->close(c);
}

static void modules_do_not_load(void **state) {
    (void)state;
    static const gpu_kernel unknown = {.module = "nonsense", .name = "add"};
    gpu_context *c = open_context();
    nb_error err;
    gpu_launch l = a_launch(&add_kernel);
    fake("cuModuleLoadDataEx:222");
    assert_int_equal(driver->prepare(c, &l, &err), NB_ERR_INTERNAL);
    says(&err, "kernels \"ops\" for ptx: cuda:0");
    says(&err, "update it");
    fake("cuModuleGetFunction:500");
    assert_int_equal(driver->prepare(c, &l, &err), NB_ERR_INTERNAL);
    says(&err, "kernel add of \"ops\"");
    fake("");
    assert_int_equal(driver->prepare(c, &l, &err), NB_OK);
    l = a_launch(&unknown);
    assert_int_equal(driver->prepare(c, &l, &err), NB_ERR_INTERNAL);
    says(&err, "has no kernels \"nonsense\" for sm_90");
    driver->close(c);
}

static void a_lost_device_stays_lost(void **state) {
    (void)state;
    gpu_context *c = open_context(), *other = open_context();
    nb_error err;
    void *p = NULL;
    char byte = 0;
    fake("cuStreamSynchronize:719");
    assert_int_equal(driver->sync(c, &err), NB_ERR_INTERNAL);
    says(&err, "a kernel faulted, or the device was reset");
    fake("");
    assert_int_equal(driver->alloc(c, 1, &p, &err), NB_ERR_INTERNAL);
    says(&err, "cannot be used any more in this process: cuda:0 (Fake GPU 0): cuStreamSynchronize");
    assert_int_equal(driver->write(c, &byte, &byte, 1, &err), NB_ERR_INTERNAL);
    assert_int_equal(driver->sync(other, &err), NB_OK);
    driver->close(c);
    driver->close(other);
}

static void graphs(void **state) {
    (void)state;
    gpu_context *c = open_context();
    nb_error err;
    gpu_graph *g;
    const gpu_launch l = a_launch(&add_kernel);
    assert_int_equal(driver->prepare(c, &l, &err), NB_OK);
    assert_int_equal(driver->capture_begin(c, &err), NB_OK);
    assert_int_equal(driver->launch(c, &l, &err), NB_OK);
    assert_int_equal(driver->capture_end(c, &g, &err), NB_OK);
    assert_non_null(g);
    assert_int_equal(driver->graph_launch(c, g, &err), NB_OK);
    driver->graph_free(c, g);
    fake("cuStreamEndCapture:901");
    assert_int_equal(driver->capture_end(c, &g, &err), NB_ERR_INTERNAL);
    assert_null(g);
    fake("cuGraphInstantiateWithFlags:2");
    assert_int_equal(driver->capture_end(c, &g, &err), NB_ERR_NO_MEMORY);
    assert_null(g);
    driver->close(c);
}

static void contexts_do_not_open(void **state) {
    (void)state;
    gpu_context *c;
    nb_error err;
    fake("cuDevicePrimaryCtxRetain:46");
    assert_int_equal(driver->open(0, &c, &err), NB_ERR_INTERNAL);
    assert_null(c);
    says(&err, "another program uses the device exclusively");
    fake("cuDevicePrimaryCtxRetain:2"); /* a full device, and an error that goes by: nothing is there to be closed */
    assert_int_equal(driver->open(0, &c, &err), NB_ERR_NO_MEMORY);
    assert_null(c);
    says(&err, "cuDevicePrimaryCtxRetain: out of memory");
    fake("cuStreamCreate:2");
    assert_int_equal(driver->open(0, &c, &err), NB_ERR_NO_MEMORY);
    fake("");
    assert_int_equal(driver->open(1, &c, &err), NB_ERR_NOT_FOUND);
    fake("capability:75");
    assert_int_equal(driver->open(0, &c, &err), NB_ERR_UNSUPPORTED);
    says(&err, "its compute capability is 7.5");
}

static char lines[4096];

static void take_line(void *user, nb_log_level level, const char *line) {
    (void)user, (void)level;
    const size_t n = strlen(lines);
    snprintf(lines + n, sizeof lines - n, "%s\n", line);
}

/* What gives something back has nobody to tell: the log says what failed, and of a lost device nothing more. */
static void giving_back_fails(void **state) {
    (void)state;
    static const char *const calls[] = {
        "cuMemFree_v2",       "cuMemFreeHost",  "cuEventDestroy_v2",  "cuGraphDestroy",
        "cuGraphExecDestroy", "cuModuleUnload", "cuStreamDestroy_v2", "cuDevicePrimaryCtxRelease_v2"};
    char what[64];
    nb_log_set(take_line, NULL, NB_LOG_WARN);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        gpu_context *c = open_context();
        nb_error err;
        const gpu_launch l = a_launch(&add_kernel);
        void *p, *pinned;
        gpu_event *e;
        gpu_graph *g;
        char byte = 0;
        assert_int_equal(driver->alloc(c, 16, &p, &err), NB_OK);
        assert_int_equal(driver->alloc_host(c, 16, &pinned, &err), NB_OK);
        assert_int_equal(driver->write(c, p, &byte, 1, &err), NB_OK);
        assert_int_equal(driver->event_new(c, &e, &err), NB_OK);
        assert_int_equal(driver->prepare(c, &l, &err), NB_OK);
        assert_int_equal(driver->capture_begin(c, &err), NB_OK);
        snprintf(what, sizeof what, "%s:1", calls[i]);
        fake(what);
        lines[0] = 0;
        assert_int_equal(driver->capture_end(c, &g, &err), NB_OK);
        driver->graph_free(c, g);
        driver->event_free(c, e);
        driver->release(c, p);
        driver->release_host(c, pinned);
        driver->close(c);
        snprintf(what, sizeof what, "cuda:0 (Fake GPU 0): %s: made up (error 1)", calls[i]);
        if (!strstr(lines, what)) fail_msg("\"%s\" does not say \"%s\"", lines, what);
        fake("");
    }
    /* An error that the device does not recover from, of whatever call: nothing else of it works, and it was said. */
    gpu_context *c = open_context();
    nb_error err;
    void *p, *q;
    assert_int_equal(driver->alloc(c, 16, &p, &err), NB_OK);
    assert_int_equal(driver->alloc(c, 16, &q, &err), NB_OK);
    fake("cuMemFree_v2:719");
    lines[0] = 0;
    driver->release(c, p);
    driver->release(c, q);
    assert_int_equal(driver->sync(c, &err), NB_ERR_INTERNAL);
    says(&err, "cannot be used any more in this process: cuda:0 (Fake GPU 0): cuMemFree_v2");
    driver->close(c);
    assert_ptr_equal(strchr(lines, '\n'), lines + strlen(lines) - 1); /* one line */
    nb_log_set(NULL, NULL, NB_LOG_WARN);
    fake("");
}

static void a_device_is_a_device(void **state) {
    (void)state;
    device *d;
    nb_error err;
    fake("");
    assert_int_equal(cuda_backend.open(7, NULL, &d, &err), NB_ERR_NOT_FOUND);
    says(&err, "there is no device cuda:7, the last one is cuda:1");
    assert_int_equal(cuda_backend.open(0, NULL, &d, &err), NB_OK);
    assert_true(d->info.is_gpu);
    assert_true(kreg_count(d->registry) > 0);
    fake("cuInit:999"); /* opening has not started it */
    assert_int_equal(d->start(d, &err), NB_ERR_NOT_FOUND);
    says(&err, "cuInit");
    assert_null(d->memory->alloc(d, 16));
    fake("");
    void *p = d->memory->alloc(d, 16);
    assert_non_null(p);
    d->memory->release(d, p);
    d->free(d);
}

static void modules_by_architecture(void **state) {
    (void)state;
    assert_string_equal(gpu_code_arch("sm_120"), "ptx");
    assert_non_null(gpu_code_find("ops", "ptx"));
    assert_null(gpu_code_find("ops", NULL));
    assert_null(gpu_code_arch("gfx803"));
    if (gpu_code_any("gfx11")) assert_non_null(gpu_code_arch("gfx1152"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_listed),
        cmocka_unit_test(memory_goes_there_and_back),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(a_launch_fails),
        cmocka_unit_test(modules_do_not_load),
        cmocka_unit_test(a_lost_device_stays_lost),
        cmocka_unit_test(graphs),
        cmocka_unit_test(contexts_do_not_open),
        cmocka_unit_test(giving_back_fails),
        cmocka_unit_test(a_device_is_a_device),
        cmocka_unit_test(modules_by_architecture),
    };
    if (!gpu_code_any("ptx")) return 77; /* a build without kernels for GPUs */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
