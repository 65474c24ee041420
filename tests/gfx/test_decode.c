/* SPDX-License-Identifier: Apache-2.0
 *
 * The decoder against llvm-objdump: every instruction of every gfx11 kernel that is built in (or of the code objects
 * that are named), and of the forms that forms.s assembles, must print the same mnemonic and operands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gfx/inst.h"
#include "gpu/driver.h"

static int n_files;
static char **files;

/* Words with single spaces. */
static void squeeze(char *s) {
    char *to = s;
    for (const char *at = strtok(s, " \t\n"); at; at = strtok(NULL, " \t\n")) {
        const size_t n = strlen(at);
        if (to != s) *to++ = ' ';
        memmove(to, at, n);
        to += n;
    }
    *to = 0;
}

/* "    v_nop     // 000000001C08: 7E000000 <...>"; false: no such line, or one that was printed otherwise. */
static bool line_agrees(char *line, size_t *n) {
    uint32_t words[4];
    size_t n_words = 0;
    char *comment = strstr(line, "//"), mine[GFX_INST_TEXT];
    if (line[0] != '\t' || !comment) return true;
    *comment = 0;
    char *at = strchr(comment + 2, ':');
    for (char *end; at && n_words < 4; at = end) {
        const unsigned long w = strtoul(++at, &end, 16);
        if (end == at) break;
        words[n_words++] = (uint32_t)w;
    }
    gfx_inst i;
    squeeze(line);
    (*n)++;
    if (!gfx_decode(words, n_words, 0, &i) || i.n_words != n_words)
        snprintf(mine, sizeof mine, "no instruction of %zu words", n_words);
    else
        gfx_print(&i, mine);
    if (strcmp(line, mine) == 0) return true;
    print_error("%08x: \"%s\", not \"%s\"\n", words[0], mine, line);
    return false;
}

static size_t compare(const char *path) {
    char command[600], line[1000];
    size_t n = 0, wrong = 0;
    snprintf(command, sizeof command, "llvm-objdump-19 -d '%s'", path);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (!line_agrees(line, &n) && ++wrong > 20) break;
    assert_int_equal(wrong, 0);
    assert_int_equal(pclose(f), 0);
    return n;
}

static size_t compare_built_in(const gpu_code *c) {
    nb_error err;
    char path[] = "/tmp/nibble-decode-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    char *code;
    if (gpu_code_unpack(c, &code, &err)) fail_msg("%s", err.text);
    assert_int_equal(write(fd, code, c->size), c->size);
    free(code);
    close(fd);
    const size_t n = compare(path);
    unlink(path);
    return n;
}

static void test_shipped(void **state) {
    (void)state;
    size_t n = 0, objects = 0;
    for (const gpu_code *c = gpu_code_table; c->module; c++) {
        if (strncmp(c->arch, "gfx11", 5) != 0) continue;
        n += compare_built_in(c);
        objects++;
    }
    print_message("%zu instructions of %zu code objects\n", n, objects);
    assert_true(objects > 0);
}

static void test_files(void **state) {
    (void)state;
    for (int i = 0; i < n_files; i++) print_message("%zu instructions of %s\n", compare(files[i]), files[i]);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shipped), cmocka_unit_test(test_files)};
    n_files = argc - 1;
    files = argv + 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
