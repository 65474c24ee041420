/* SPDX-License-Identifier: Apache-2.0
 *
 * Model names: directories, nibble's store and the Hugging Face cache, by every variable that moves them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "files/store.h"
#include "support/file_builder.h"

static char *home;

static int set_up(void **state) {
    (void)state;
    home = make_temp_dir();
    unsetenv("NIBBLE_HOME");
    unsetenv("HF_HOME");
    unsetenv("HF_HUB_CACHE");
    return home ? setenv("HOME", home, 1) : -1;
}

static int tear_down(void **state) {
    (void)state;
    remove_temp_dir(home);
    return 0;
}

static void make(const char *path) {
    char *full = path_join(home, path);
    assert_int_equal(dir_make(full, NULL), NB_OK);
    free(full);
}

/* `name` must resolve to home/expected. */
static void resolves(const char *name, const char *expected) {
    char *dir, *full = path_join(home, expected);
    nb_error err = {0};
    if (store_resolve(name, &dir, &err)) fail_msg("%s: %s", name, err.text);
    assert_string_equal(dir, full);
    free(dir);
    free(full);
}

static void missing(const char *name, const char *words) {
    char *dir = NULL;
    nb_error err = {0};
    assert_int_equal(store_resolve(name, &dir, &err), NB_ERR_NOT_FOUND);
    assert_null(dir);
    if (!strstr(err.text, words)) fail_msg("%s: \"%s\" says nothing of \"%s\"", name, err.text, words);
}

static void finds_in_store(void **state) {
    (void)state;
    missing("tiny", "the store is empty");
    missing("tiny", ".nibble/models");
    make(".nibble/models/tiny");
    make(".nibble/models/big");
    make(".nibble/models/.hidden");
    resolves("tiny", ".nibble/models/tiny");
    missing("small", "the store has: big, tiny");
    missing("../models/tiny", "no model");
    missing(".hidden", "no model");
    store_names list;
    assert_int_equal(store_list(&list, NULL), NB_OK);
    assert_int_equal(list.n, 2);
    assert_string_equal(list.names[0], "big");
    store_list_free(&list);
    char *other = path_join(home, "other");
    setenv("NIBBLE_HOME", other, 1);
    missing("tiny", "other/models");
    make("other/models/tiny");
    resolves("tiny", "other/models/tiny");
    unsetenv("NIBBLE_HOME");
    free(other);
    char *full = path_join(home, "a.gguf"), *dir;
    nb_error err = {0};
    assert_int_equal(file_write(full, "", 0, NULL), NB_OK);
    assert_int_equal(store_resolve(full, &dir, &err), NB_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "nibble import"));
    assert_int_equal(store_resolve("", &dir, &err), NB_ERR_ARGUMENT);
    assert_int_equal(store_resolve(home, &dir, &err), NB_OK);
    assert_string_equal(dir, home);
    free(dir);
    free(full);
}

static void finds_in_hub(void **state) {
    (void)state;
    missing("org/model", ".cache/huggingface/hub");
    make(".cache/huggingface/hub/models--org--model/snapshots/aaa");
    resolves("org/model", ".cache/huggingface/hub/models--org--model/snapshots/aaa");
    make(".cache/huggingface/hub/models--org--model/snapshots/bbb");
    make(".cache/huggingface/hub/models--org--model/refs");
    char *ref = path_join(home, ".cache/huggingface/hub/models--org--model/refs/main");
    assert_int_equal(file_write(ref, "aaa\n", 4, NULL), NB_OK);
    resolves("org/model", ".cache/huggingface/hub/models--org--model/snapshots/aaa");
    assert_int_equal(file_write(ref, "bbb", 3, NULL), NB_OK);
    resolves("org/model", ".cache/huggingface/hub/models--org--model/snapshots/bbb");
    assert_int_equal(file_write(ref, "../../../..", 11, NULL), NB_OK); /* leads nowhere */
    char *dir;
    assert_int_equal(store_resolve("org/model", &dir, NULL), NB_OK);
    assert_non_null(strstr(dir, "/snapshots/"));
    free(dir);
    free(ref);
    missing("org/model/more", "no model");
    missing("org/../x", "no model");
    char *cache = path_join(home, "hf");
    setenv("HF_HOME", cache, 1);
    missing("org/model", "hf/hub");
    make("hf/hub/models--org--model/snapshots/ccc");
    resolves("org/model", "hf/hub/models--org--model/snapshots/ccc");
    setenv("HF_HUB_CACHE", cache, 1);
    make("hf/models--org--model/snapshots/ddd");
    resolves("org/model", "hf/models--org--model/snapshots/ddd");
    free(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_in_store), cmocka_unit_test(finds_in_hub)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
