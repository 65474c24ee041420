/* SPDX-License-Identifier: Apache-2.0
 *
 * Files: whole reads and mappings, refusals by name, writes that leave nothing half done, directories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static char *root; /* of each test's own files */

static int make_root(void **state) {
    (void)state;
    char template[] = "/tmp/nibble-test-file-XXXXXX";
    root = strdup(mkdtemp(template) ? template : "");
    return *root ? 0 : -1;
}

static int remove_root(void **state) {
    (void)state;
    nb_status status = dir_remove(root, NULL);
    bool gone = !path_is_dir(root);
    free(root);
    return status == NB_OK && gone ? 0 : -1;
}

static char *in_root(const char *name) {
    char *path = path_join(root, name);
    assert_non_null(path);
    return path;
}

static void writes_and_reads(void **state) {
    (void)state;
    char *path = in_root("data");
    nb_error err = {0};
    assert_int_equal(file_write(path, "old", 3, &err), NB_OK);
    assert_int_equal(file_write(path, "new\0text", 8, &err), NB_OK);
    buf b = {0};
    assert_int_equal(file_read(path, 8, &b, &err), NB_OK);
    assert_int_equal(b.len, 8);
    assert_memory_equal(b.data, "new\0text", 9);
    buf_free(&b);
    assert_int_equal(file_read(path, 7, &b, &err), NB_ERR_FORMAT);
    buf_free(&b);
    file_map map;
    assert_int_equal(file_map_open(path, &map, &err), NB_OK);
    assert_int_equal(map.size, 8);
    assert_memory_equal(map.data, "new\0text", 8);
    file_map_release(&map, map.data, map.size);
    assert_memory_equal(map.data, "new\0text", 8);
    file_map_evict(&map, map.data, map.size);
    assert_memory_equal(map.data, "new\0text", 8);
    file_map_close(&map);
    free(path);
}

static void empty_file(void **state) {
    (void)state;
    char *path = in_root("empty");
    assert_int_equal(file_write(path, NULL, 0, NULL), NB_OK);
    file_map map;
    assert_int_equal(file_map_open(path, &map, NULL), NB_OK);
    assert_int_equal(map.size, 0);
    file_map_close(&map);
    buf b = {0};
    assert_int_equal(file_read(path, 100, &b, NULL), NB_OK);
    assert_int_equal(b.len, 0);
    buf_free(&b);
    free(path);
}

static void refusals_name_the_file(void **state) {
    (void)state;
    char *absent = in_root("absent"), *fifo = in_root("fifo"), *inside = in_root("absent/file");
    nb_error err = {0};
    file_map map;
    assert_int_equal(file_map_open(absent, &map, &err), NB_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, absent));
    assert_int_equal(file_map_open(root, &map, &err), NB_ERR_IO); /* a directory */
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(file_map_open(fifo, &map, &err), NB_ERR_IO); /* must not wait for a writer */
    assert_int_not_equal(file_write(inside, "x", 1, &err), NB_OK);
    assert_non_null(strstr(err.text, inside));
    free(absent);
    free(fifo);
    free(inside);
}

/* A write whose rename fails leaves the old thing and no temporary file. */
static void failed_write_leaves_nothing(void **state) {
    (void)state;
    char *folder = in_root("folder"), *inside = in_root("folder/kept");
    assert_int_equal(dir_make(folder, NULL), NB_OK);
    assert_int_equal(file_write(inside, "x", 1, NULL), NB_OK);
    assert_int_equal(file_write(folder, "x", 1, NULL), NB_ERR_IO);
    assert_true(path_is_dir(folder) && path_is_file(inside));
    char command[256];
    snprintf(command, sizeof command, "test $(ls -A '%s' | wc -l) = 1", root);
    assert_int_equal(system(command), 0);
    free(folder);
    free(inside);
}

static void directories(void **state) {
    (void)state;
    char *deep = in_root("a/b/c"), *file = in_root("a/file"), *link = in_root("a/link"), *below = in_root("a/file/x");
    assert_int_equal(dir_make(deep, NULL), NB_OK);
    assert_int_equal(dir_make(deep, NULL), NB_OK);
    assert_true(path_is_dir(deep) && !path_is_file(deep));
    assert_int_equal(file_write(file, "x", 1, NULL), NB_OK);
    nb_error err = {0};
    assert_int_equal(dir_make(file, &err), NB_ERR_IO);
    assert_int_equal(dir_make(below, &err), NB_ERR_IO);
    /* Removing a tree removes a link and not what it points to. */
    char *kept = in_root("kept"), *in_kept = in_root("kept/file"), *a = in_root("a");
    assert_int_equal(dir_make(kept, NULL), NB_OK);
    assert_int_equal(file_write(in_kept, "x", 1, NULL), NB_OK);
    assert_int_equal(symlink(kept, link), 0);
    assert_int_equal(dir_remove(a, NULL), NB_OK);
    assert_true(!path_is_dir(a) && path_is_file(in_kept));
    assert_int_equal(dir_remove(a, NULL), NB_OK); /* already gone */
    char *all[] = {deep, file, link, below, kept, in_kept, a};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void names(void **state) {
    (void)state;
    char *p = path_join("dir/", "x");
    assert_string_equal(p, "dir/x");
    free(p);
    assert_string_equal(path_base("/a/b.json"), "b.json");
    assert_string_equal(path_base("b.json"), "b.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_and_reads, make_root, remove_root),
        cmocka_unit_test_setup_teardown(empty_file, make_root, remove_root),
        cmocka_unit_test_setup_teardown(refusals_name_the_file, make_root, remove_root),
        cmocka_unit_test_setup_teardown(failed_write_leaves_nothing, make_root, remove_root),
        cmocka_unit_test_setup_teardown(directories, make_root, remove_root),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
