/* SPDX-License-Identifier: Apache-2.0
 *
 * What is remembered about kernels: it comes back as it was written, for the device, build and set of shapes that it
 * was written for and no other; files that are broken, foreign or hostile count as none and are written anew; processes
 * that read and write at once see whole verdicts only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "support/planted.h"
#include "verify/verdict.h"

static const uint64_t SET = 0xfedcba9876543210; /* not a double */

static device_info some_device(void) {
    return (device_info){.backend = "cpu",
                         .index = 2,
                         .name = "Some \"Processor\" \xc3\xa9",
                         .features = "AVX",
                         .driver = "Linux 1.2",
                         .compiler = "gcc 1",
                         .code_hash = 0x8123456789abcdef};
}

static finding some_finding(const char *kernel) {
    finding f = {.kind = FOUND_WROTE_OUTSIDE};
    snprintf(f.kernel, sizeof f.kernel, "%s", kernel);
    snprintf(f.what, sizeof f.what, "1 byte past the end, \"got\" <nan>\n");
    snprintf(f.where, sizeof f.where, "matmul [1, 3]");
    return f;
}

static verdict make(int n_aside) {
    verdict v = {.device = some_device(), .model_set = SET, .n_kernels = 17};
    snprintf(v.version, sizeof v.version, "%s", nb_version());
    snprintf(v.model, sizeof v.model, "/models/a b");
    verdict_date(v.date);
    for (int i = 0; i < n_aside; i++) {
        char name[32];
        snprintf(name, sizeof name, "matmul.no%d", i);
        const finding f = some_finding(name);
        assert_true(verdict_add(&v, &f));
        snprintf(v.aside[i].instead, sizeof v.aside[i].instead, "matmul.scalar");
        v.aside[i].slowdown = 2.5;
    }
    return v;
}

static void write_one(int n_aside) {
    nb_error err;
    verdict v = make(n_aside);
    must(verdict_write(&v, &err), &err);
    verdict_free(&v);
}

/* How many are set aside, -1: no verdict. */
static int read_for(const device_info *d, uint64_t set) {
    verdict v;
    bool found;
    nb_error err;
    must(verdict_read(d, set, &v, &found, &err), &err);
    const int n = found ? (int)v.n_aside : -1;
    if (!found) { /* nothing of a file that does not hold */
        assert_null(v.aside);
        assert_int_equal(v.n_aside + v.n_kernels + v.model_set + v.without + v.full, 0);
    }
    verdict_free(&v);
    return n;
}

static int read_one(void) {
    const device_info d = some_device();
    return read_for(&d, SET);
}

static char file[256];

static void remember_file(void *user, const char *path) {
    (void)user;
    snprintf(file, sizeof file, "%s", path);
}

/* The file that the only verdict lies in. */
static const char *find_file(void) {
    char command[512], path[256] = "";
    snprintf(command, sizeof command, "ls %s/verdicts/*.json", getenv("NIBBLE_HOME"));
    FILE *list = popen(command, "r");
    assert_non_null(list);
    assert_non_null(fgets(path, sizeof path, list));
    pclose(list);
    path[strcspn(path, "\n")] = 0;
    remember_file(NULL, path);
    return file;
}

static int make_home(void **state) {
    (void)state;
    home_make();
    return 0;
}

static int remove_home(void **state) {
    (void)state;
    home_remove();
    return 0;
}

/* ---- There and back --------------------------------------------------------------------------------------------- */

static void test_round_trip(void **state) {
    (void)state;
    nb_error err;
    for (int n = 0; n < 3; n++) {
        verdict v = make(n), back;
        bool found;
        v.full = n == 1;
        v.without = n == 2 ? SET : 0;
        must(verdict_write(&v, &err), &err);
        const device_info d = some_device();
        must(verdict_read(&d, SET, &back, &found, &err), &err);
        assert_true(found);
        assert_string_equal(back.device.backend, v.device.backend);
        assert_int_equal(back.device.index, v.device.index);
        assert_string_equal(back.device.name, v.device.name);
        assert_string_equal(back.device.features, v.device.features);
        assert_string_equal(back.device.driver, v.device.driver);
        assert_string_equal(back.device.compiler, v.device.compiler);
        assert_true(back.device.code_hash == v.device.code_hash);
        assert_true(back.model_set == v.model_set);
        assert_true(back.without == v.without);
        assert_string_equal(back.version, v.version);
        assert_string_equal(back.model, v.model);
        assert_string_equal(back.date, v.date);
        assert_int_equal(back.full, v.full);
        assert_int_equal(back.n_kernels, v.n_kernels);
        assert_int_equal(back.n_aside, n);
        if (n) assert_memory_equal(back.aside, v.aside, (size_t)n * sizeof *v.aside);
        verdict_free(&v);
        verdict_free(&back);
    }
}

static void test_adding(void **state) {
    (void)state;
    verdict v = make(2);
    finding f = some_finding("matmul.no1");
    assert_true(verdict_add(&v, &f)); /* known */
    assert_int_equal(v.n_aside, 2);
    assert_non_null(verdict_find(&v, "matmul.no1"));
    assert_null(verdict_find(&v, "matmul.no2"));
    for (int i = 2; i < VERDICT_MAX_ASIDE; i++) {
        snprintf(f.kernel, sizeof f.kernel, "matmul.no%d", i);
        assert_true(verdict_add(&v, &f));
    }
    snprintf(f.kernel, sizeof f.kernel, "one too many");
    assert_false(verdict_add(&v, &f));
    nb_error err;
    must(verdict_write(&v, &err), &err); /* and as many are read back */
    assert_int_equal(read_one(), VERDICT_MAX_ASIDE);
    verdict_free(&v);
}

static void test_merging(void **state) {
    (void)state;
    verdict v = make(2), older = make(4);
    v.n_kernels = 3;
    older.full = true;
    snprintf(older.aside[0].what, sizeof older.aside[0].what, "said before");
    assert_true(verdict_merge(&v, &older));
    assert_int_equal(v.n_aside, 4);
    assert_string_not_equal(v.aside[0].what, "said before"); /* the newer one knows better */
    assert_string_equal(v.aside[3].kernel, "matmul.no3");
    assert_true(v.full);
    assert_int_equal(v.n_kernels, older.n_kernels);
    verdict_free(&v);
    verdict_free(&older);
}

static void test_holds_for_nothing_else(void **state) {
    (void)state;
    write_one(1);
    assert_int_equal(read_one(), 1);
    const device_info d = some_device();
    device_info others[] = {d, d, d, d, d, d, d};
    others[0].backend = "hip";
    others[1].index = 0;
    snprintf(others[2].name, sizeof others[2].name, "another");
    snprintf(others[3].features, sizeof others[3].features, "AVX-512");
    snprintf(others[4].driver, sizeof others[4].driver, "Linux 1.3");
    snprintf(others[5].compiler, sizeof others[5].compiler, "gcc 2");
    others[6].code_hash++;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) assert_int_equal(read_for(&others[i], SET), -1);
    assert_int_equal(read_for(&d, SET + 1), -1);
    assert_int_equal(read_for(&d, 0), -1);
    assert_int_equal(read_one(), 1);
}

/* A file under the right name that says it is for something else: a hash met by chance, or a home that was copied. */
static void test_what_it_says_counts(void **state) {
    (void)state;
    static const char *const edits[][2] = {{"\"cpu\"", "\"hip\""},
                                           {"\"index\":\t2", "\"index\":\t1"},
                                           {"\"Some ", "\"Same "},
                                           {"\"AVX\"", "\"SSE\""},
                                           {"Linux 1.2", "Linux 1.3"},
                                           {"gcc 1", "gcc 2"},
                                           {"8123456789abcdef", "8123456789abcdee"},
                                           {"fedcba9876543210", "fedcba9876543211"},
                                           {"\"nibble_verdict\":\t1", "\"nibble_verdict\":\t2"}};
    for (size_t i = 0; i <= sizeof edits / sizeof edits[0]; i++) {
        char find[64], put[64];
        const bool version = i == sizeof edits / sizeof edits[0];
        snprintf(find, sizeof find, version ? "\"nibble\":\t\"%s" : "%s", version ? nb_version() : edits[i][0]);
        snprintf(put, sizeof put, "%s", version ? "\"nibble\":\t\"9" : edits[i][1]);
        nb_error err;
        buf text = {0}, edited = {0};
        write_one(1);
        must(file_read(find_file(), 1 << 20, &text, &err), &err);
        char *at = strstr(text.data, find);
        if (!at) fail_msg("no \"%s\" in %s", find, text.data);
        *at = 0;
        buf_printf(&edited, "%s%s%s", text.data, put, at + strlen(find));
        must(file_write(file, edited.data, edited.len, &err), &err);
        if (read_one() != -1) fail_msg("\"%s\" is believed to hold", put);
        buf_free(&text);
        buf_free(&edited);
    }
    write_one(2);
    assert_int_equal(read_one(), 2);
}

/* ---- Broken files ----------------------------------------------------------------------------------------------- */

/* Puts this in its place: ignored, and written anew. */
static void is_ignored(const char *data, size_t size, const char *what) {
    nb_error err;
    must(file_write(file, data, size, &err), &err);
    if (read_one() != -1) fail_msg("believed: %s", what);
    write_one(1);
    if (read_one() != 1) fail_msg("not written anew: %s", what);
}

static void test_truncated(void **state) {
    (void)state;
    nb_error err;
    buf text = {0};
    write_one(2);
    must(file_read(find_file(), 1 << 20, &text, &err), &err);
    /* Written in place: file_write would flush each one to the disk. */
    for (size_t size = 0; size < text.len; size++) {
        FILE *f = fopen(file, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(text.data, 1, size, f), size);
        fclose(f);
        if (read_one() != -1) fail_msg("the first %zu bytes are believed", size);
    }
    write_one(2);
    assert_int_equal(read_one(), 2);
    buf_free(&text);
}

static void test_garbage(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "null",
        "17",
        "[]",
        "{}",
        "\"nibble_verdict\"",
        "{\"nibble_verdict\": 1}",
        "{\"nibble_verdict\": 1, \"device\": 1, \"aside\": [], \"full\": true}",
        "{\"nibble_verdict\": 1, \"device\": {}, \"aside\": {}, \"full\": true}",
        "{\"nibble_verdict\": 1, \"device\": {}, \"aside\": [], \"full\": 1}",
        ("{\"nibble_verdict\": 1, \"device\": {\"backend\": 1, \"index\": \"x\", \"name\": [], \"code_hash\": 1e300}, "
         "\"aside\": [1, null, {}], \"full\": true}"),
        "{\"nibble_verdict\": 1, \"device\": {\"index\": 1e300}, \"kernels\": -1e300, \"aside\": [], \"full\": true}"};
    write_one(1);
    find_file();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) is_ignored(texts[i], strlen(texts[i]), texts[i]);
    char noise[4096];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)(i * 2654435761u >> 13);
    is_ignored(noise, sizeof noise, "noise");
    memset(noise, 0, sizeof noise);
    is_ignored(noise, sizeof noise, "zeros");
}

/* Names, kinds and numbers of the wrong type where a verdict is right otherwise; and names that are too long. */
static void test_wrong_types(void **state) {
    (void)state;
    static const char *const edits[][2] = {{"\"kernel\":\t\"matmul.no0\"", "\"kernel\":\t7"},
                                           {"\"kernel\":\t\"matmul.no0\"", "\"kernel\":\t\"\""},
                                           {"\"aside\":\t[", "\"aside\":\t[7, "},
                                           {"\"full\":\tfalse", "\"full\":\t\"no\""}};
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        nb_error err;
        buf text = {0}, edited = {0};
        write_one(1);
        must(file_read(find_file(), 1 << 20, &text, &err), &err);
        char *at = strstr(text.data, edits[i][0]);
        if (!at) fail_msg("no \"%s\" in %s", edits[i][0], text.data);
        *at = 0;
        buf_printf(&edited, "%s%s%s", text.data, edits[i][1], at + strlen(edits[i][0]));
        is_ignored(edited.data, edited.len, edits[i][1]);
        buf_free(&text);
        buf_free(&edited);
    }
}

static void test_large_and_deep(void **state) {
    (void)state;
    const size_t size = 10 << 20;
    char *text = malloc(size);
    assert_non_null(text);
    write_one(1);
    find_file();
    memset(text, ' ', size);
    is_ignored(text, size, "10 MB of spaces");
    memset(text, '[', size);
    is_ignored(text, size, "10 MB of brackets");
    is_ignored(text, 1 << 20, "1 MB of brackets");
    memset(text, '{', size);
    is_ignored(text, 1 << 20, "1 MB of braces");
    free(text);
}

/* More kernels than are remembered. */
static void test_too_many(void **state) {
    (void)state;
    nb_error err;
    buf text = {0}, edited = {0};
    write_one(1);
    must(file_read(find_file(), 1 << 20, &text, &err), &err);
    char *at = strstr(text.data, "\"aside\":\t[");
    assert_non_null(at);
    at += strlen("\"aside\":\t[");
    buf_put(&edited, text.data, (size_t)(at - text.data));
    for (int i = 0; i <= VERDICT_MAX_ASIDE; i++) buf_printf(&edited, "{\"kernel\": \"k%d\"},", i);
    buf_puts(&edited, at);
    is_ignored(edited.data, edited.len, "too many kernels");
    buf_free(&text);
    buf_free(&edited);
}

/* A directory in its place: no verdict; writing says why. */
static void test_directory_in_its_place(void **state) {
    (void)state;
    nb_error err = {0};
    verdict v = make(1);
    write_one(1);
    assert_int_equal(unlink(find_file()), 0);
    assert_int_equal(mkdir(file, 0777), 0);
    assert_int_equal(read_one(), -1);
    assert_int_not_equal(verdict_write(&v, &err), NB_OK);
    assert_non_null(strstr(err.text, file));
    verdict_free(&v);
    size_t n;
    must(verdict_forget(&n, &err), &err);
}

/* ---- Homes ------------------------------------------------------------------------------------------------------ */

/* A file where the home should be, so that nobody could write there, root neither. */
static void test_unwritable_home(void **state) {
    (void)state;
    nb_error err = {0};
    char path[256];
    verdict v = make(1);
    snprintf(path, sizeof path, "%s/file", getenv("NIBBLE_HOME"));
    must(file_write(path, "x", 1, &err), &err);
    char *old = strdup(getenv("NIBBLE_HOME"));
    assert_non_null(old);
    setenv("NIBBLE_HOME", path, 1);
    assert_int_not_equal(verdict_write(&v, &err), NB_OK);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(read_one(), -1);
    size_t n;
    must(verdict_forget(&n, &err), &err);
    assert_int_equal(n, 0);
    setenv("NIBBLE_HOME", old, 1);
    free(old);
    verdict_free(&v);
}

static char lines[4096];

static void take_line(void *user, nb_log_level level, const char *line) {
    (void)user, (void)level;
    const size_t n = strlen(lines);
    snprintf(lines + n, sizeof lines - n, "%s\n", line);
}

/* A model is loaded all the same; the log says that it was not remembered. */
static void test_model_in_unwritable_home(void **state) {
    (void)state;
    nb_error err = {0};
    char path[256];
    subject s;
    nb_context *c;
    snprintf(path, sizeof path, "%s/file", getenv("NIBBLE_HOME"));
    must(file_write(path, "x", 1, &err), &err);
    char *old = strdup(getenv("NIBBLE_HOME"));
    assert_non_null(old);
    setenv("NIBBLE_HOME", path, 1);
    subject_open(&s, "tests/data/models/llama-f32-minimal");
    lines[0] = 0;
    nb_log_set(take_line, NULL, NB_LOG_WARN);
    const nb_context_options o = {.n_threads = 1, .n_batch = 8};
    must(nb_context_new(s.model, &o, &c, &err), &err);
    nb_log_set(NULL, NULL, NB_LOG_WARN);
    if (!strstr(lines, "cannot be remembered") || !strstr(lines, path)) fail_msg("the log says \"%s\"", lines);
    nb_context_free(c);
    subject_close(&s);
    setenv("NIBBLE_HOME", old, 1);
    free(old);
}

/* ---- Many processes --------------------------------------------------------------------------------------------- */

enum { PROCESSES = 6, TIMES = 150 };

/* Writes verdicts of its own length and reads whichever is there: with n kernels, the n-th last. 0: all were whole. */
static int write_and_read(int self) {
    const device_info d = some_device();
    for (int i = 0; i < TIMES; i++) {
        verdict mine = make(20 * self), seen;
        bool found;
        if (verdict_write(&mine, NULL)) return 1;
        verdict_free(&mine);
        if (verdict_read(&d, SET, &seen, &found, NULL)) return 2;
        if (!found || seen.n_aside % 20 != 0) return 3;
        if (seen.n_aside && strcmp(seen.aside[0].instead, "matmul.scalar") != 0) return 4;
        verdict_free(&seen);
    }
    return 0;
}

static void test_many_processes(void **state) {
    (void)state;
    write_one(1);
    write_one(0);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) _exit(write_and_read(i));
        assert_true(children[i] > 0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int end;
        assert_int_equal(waitpid(children[i], &end, 0), children[i]);
        assert_true(WIFEXITED(end));
        assert_int_equal(WEXITSTATUS(end), 0);
    }
    assert_true(read_one() >= 0);
    /* Nothing temporary stays behind. */
    char command[512];
    snprintf(command, sizeof command, "test $(ls -A %s/verdicts | wc -l) = 1", getenv("NIBBLE_HOME"));
    assert_int_equal(system(command), 0);
}

/* ---- All of them ------------------------------------------------------------------------------------------------ */

typedef struct seen {
    int n, n_aside;
    bool another;
} seen;

static void see(void *user, const verdict *v) {
    seen *s = user;
    s->n++;
    s->n_aside += (int)v->n_aside;
    s->another |= strcmp(v->device.backend, "hip") == 0 && strcmp(v->device.name, "another") == 0;
}

static void test_all_and_none(void **state) {
    (void)state;
    nb_error err;
    size_t n;
    seen s = {0};
    must(verdict_each(see, &s, &err), &err);
    assert_int_equal(s.n, 0);
    must(verdict_forget(&n, &err), &err);
    assert_int_equal(n, 0);
    write_one(1);
    verdict v = make(2);
    v.device.backend = "hip";
    snprintf(v.device.name, sizeof v.device.name, "another");
    must(verdict_write(&v, &err), &err);
    verdict_free(&v);
    char path[256];
    snprintf(path, sizeof path, "%s/verdicts/0000.json", getenv("NIBBLE_HOME"));
    must(file_write(path, "{", 1, &err), &err);
    snprintf(path, sizeof path, "%s/verdicts/notes.txt", getenv("NIBBLE_HOME"));
    must(file_write(path, "mine", 4, &err), &err);
    must(verdict_each(see, &s, &err), &err);
    assert_int_equal(s.n, 2); /* a broken one is passed over */
    assert_int_equal(s.n_aside, 3);
    assert_true(s.another);
    must(verdict_forget(&n, &err), &err);
    assert_int_equal(n, 3);
    assert_int_equal(read_one(), -1);
    assert_true(path_is_file(path)); /* other files are not ours */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_home, remove_home)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(test_round_trip),
                                       TEST(test_adding),
                                       TEST(test_merging),
                                       TEST(test_holds_for_nothing_else),
                                       TEST(test_what_it_says_counts),
                                       TEST(test_truncated),
                                       TEST(test_garbage),
                                       TEST(test_wrong_types),
                                       TEST(test_large_and_deep),
                                       TEST(test_too_many),
                                       TEST(test_directory_in_its_place),
                                       TEST(test_unwritable_home),
                                       TEST(test_model_in_unwritable_home),
                                       TEST(test_many_processes),
                                       TEST(test_all_and_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
