/* SPDX-License-Identifier: Apache-2.0
 *
 * GGUF import when memory runs out: each allocation fails in turn, each failure says so, and no directory is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "files/gguf.h"
#include "support/file_builder.h"
#include "support/oom/fail_alloc.h"

typedef struct paths {
    char source[1024], target[1024];
} paths;

static nb_status import(void *user, nb_error *err) {
    const paths *p = user;
    nb_status status = nb_import_gguf(p->source, p->target, NULL, NULL, err);
    assert_true(path_is_dir(p->target) == (status == NB_OK));
    if (!status) assert_int_equal(dir_remove(p->target, NULL), NB_OK);
    return status;
}

static void importing(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    static const char *const archs[] = {"llama", "qwen2"};
    for (int i = 0; i < 2; i++) {
        paths p;
        snprintf(p.source, sizeof p.source, "%s/x.gguf", dir);
        snprintf(p.target, sizeof p.target, "%s/new", dir);
        gguf_builder b = {0};
        buf file = {0};
        build_model(&b, &(model_recipe){.arch = archs[i], .type = i ? GGML_Q5_0 : GGML_Q8_0, .untied = i});
        gb_finish(&b, &file);
        assert_int_equal(file_write(p.source, file.data, file.len, NULL), NB_OK);
        buf_free(&file);
        assert_true(fail_each_allocation(import, &p, 2000) > 20);
    }
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(importing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
