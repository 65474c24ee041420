/* SPDX-License-Identifier: Apache-2.0
 *
 * Renders a template file with a JSON file of variables; for tools/check_templates.py and for timing. Built by hand,
 * after nibble was built in BUILD:
 *   cc -O2 -Iinclude -Isrc tests/tools/jinja_render.c BUILD/CMakeFiles/nibble_objects.dir/src/text/jinja*.o
 *      BUILD/CMakeFiles/nibble_objects.dir/src/base/[a-z]*.o -lcjson -lutf8proc -lm -lpthread -o jinja_render
 * usage: jinja_render TEMPLATE VARIABLES [REPETITIONS]; exit status 1 if the template fails, 2 for bad arguments. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "text/jinja.h"

static int fail(int status, const nb_error *err) {
    fprintf(stderr, "%s: %s\n", nb_status_name(err->status), err->text);
    return status;
}

int main(int argc, char **argv) {
    buf source = {0}, json = {0};
    cJSON *vars = NULL;
    jinja *t = NULL;
    char *text = NULL;
    size_t len = 0;
    nb_error err = {0};
    if (argc < 3) return 2;
    if (file_read(argv[1], 1 << 26, &source, &err) || file_read(argv[2], 1 << 28, &json, &err) ||
        jinja_json_parse(json.data ? json.data : "", json.len, argv[2], &vars, &err))
        return fail(2, &err);
    double start = clock_now();
    if (jinja_compile(source.data ? source.data : "", source.len, argv[1], &t, &err)) return fail(1, &err);
    double compiled = clock_now();
    int times = argc > 3 ? atoi(argv[3]) : 1;
    for (int i = 0; i < times; i++) {
        free(text);
        if (jinja_render(t, vars, NULL, &text, &len, &err)) return fail(1, &err);
    }
    if (argc > 3)
        fprintf(stderr, "compile %.3f ms, render %.3f ms, %zu bytes\n", (compiled - start) * 1e3,
                (clock_now() - compiled) / times * 1e3, len);
    fwrite(text, 1, len, stdout);
    free(text);
    jinja_free(t);
    cJSON_Delete(vars);
    buf_free(&source);
    buf_free(&json);
    return 0;
}
