/* SPDX-License-Identifier: Apache-2.0
 *
 * Every allocation of a report in each form fails once: each time the buffer says so, and nothing leaks or crashes. So
 * does a buffer that may not grow any further. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "support/oom/fail_alloc.h"
#include "support/report_sample.h"

static report sample;

static void put_all_text(const report *reports, size_t n, buf *out) {
    for (size_t i = 0; i < n; i++) report_put_text(&reports[i], 80, out);
}

typedef void put_fn(const report *reports, size_t n, buf *out);

static nb_status put(void *user, nb_error *err) {
    buf out = {0};
    put_fn *const *fn = user;
    (*fn)(&sample, 1, &out);
    const bool failed = out.failed;
    buf_free(&out);
    return failed ? err_set(err, NB_ERR_NO_MEMORY, "a report: out of memory") : NB_OK;
}

static void *allocate(size_t n) {
    return malloc(n);
}

static void release(void *p) {
    free(p);
}

static void every_allocation(void **state) {
    (void)state;
    put_fn *fns[] = {put_all_text, report_put_json, report_put_html};
    cJSON_Hooks hooks = {allocate, release}; /* so that those of cJSON fail as well */
    cJSON_InitHooks(&hooks);
    report_sample(&sample);
    long n = 0;
    for (int i = 0; i < 3; i++) {
        const long runs = fail_each_allocation(put, &fns[i], 2000);
        assert_true(runs > 5);
        n += runs;
    }
    assert_true(n > 500);
    report_free(&sample);
    cJSON_InitHooks(NULL);
}

static void small_buffers(void **state) {
    (void)state;
    put_fn *fns[] = {put_all_text, report_put_json, report_put_html};
    report_sample(&sample);
    for (int i = 0; i < 3; i++) {
        buf whole = {0};
        fns[i](&sample, 1, &whole);
        assert_false(whole.failed);
        for (size_t limit = 1; limit < whole.len; limit += 1 + whole.len / 200) {
            buf out = {.limit = limit};
            fns[i](&sample, 1, &out);
            assert_true(out.failed);
            buf_free(&out);
        }
        buf_free(&whole);
    }
    report_free(&sample);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation), cmocka_unit_test(small_buffers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
