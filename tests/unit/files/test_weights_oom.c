/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and writing tensors when memory runs out: each allocation fails in turn, and each failure is an error of its
 * own kind, with nothing leaked and no file left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "files/safetensors.h"
#include "support/oom/fail_alloc.h"

static nb_status open_model(void *dir, nb_error *err) {
    weights *w = NULL;
    nb_status status = weights_open(dir, &w, err);
    assert_true((w != NULL) == (status == NB_OK));
    weights_close(w);
    return status;
}

static void opening(void **state) {
    (void)state;
    static const char *const models[] = {"qwen3-q4-g64-bf16", "llama-q6-g32-f16-sharded"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char dir[1024];
        snprintf(dir, sizeof dir, "%s/models/%s", getenv("NB_TEST_DATA"), models[i]);
        assert_true(fail_each_allocation(open_model, dir, 2000) > 5);
    }
}

static nb_status write_model(void *path, nb_error *err) {
    static const float data[4] = {1, 2, 3, 4};
    remove(path);
    st_writer *w = NULL;
    size_t index = 0;
    nb_status status = st_writer_new(path, &w, err);
    if (!status) status = st_writer_metadata(w, "format", "mlx", err);
    if (!status) status = st_writer_declare(w, "x", DT_F32, 2, (const int64_t[]){2, 2}, &index, err);
    if (!status) status = st_writer_begin(w, err);
    if (!status) status = st_writer_put(w, index, data, sizeof data, err);
    if (status)
        st_writer_abort(w);
    else
        status = st_writer_finish(w, err);
    assert_true(path_is_file(path) == (status == NB_OK));
    return status;
}

static void writing(void **state) {
    (void)state;
    char dir[] = "/tmp/nibble-test-oom-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.safetensors", dir);
    assert_true(fail_each_allocation(write_model, path, 2000) > 2);
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(dir), 0); /* no temporary file is left either */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(opening), cmocka_unit_test(writing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
