/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports: what people read, what machines read back field by field, and the page with its pictures; with all kinds of
 * findings, hostile texts, nothing at all, and hundreds of rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "support/report_sample.h"
#include "verify/report.h"

static char *text_of(const report *r, int columns) {
    buf b = {0};
    report_put_text(r, columns, &b);
    assert_false(b.failed);
    return buf_take(&b, NULL);
}

static cJSON *json_of(const report *reports, size_t n) {
    buf b = {0};
    report_put_json(reports, n, &b);
    assert_false(b.failed);
    cJSON *o = NULL;
    nb_error err = {0};
    if (json_parse(b.data, b.len, "report", &o, &err)) fail_msg("%s", err.text);
    buf_free(&b);
    return o;
}

static char *html_of(const report *reports, size_t n) {
    buf b = {0};
    report_put_html(reports, n, &b);
    assert_false(b.failed);
    return buf_take(&b, NULL);
}

static void has(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void has_not(const char *text, const char *part) {
    if (strstr(text, part)) fail_msg("\"%s\" is in:\n%s", part, text);
}

static int count_of(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at++) n++;
    return n;
}

static void ends_with(const char *text, const char *line) {
    const size_t n = strlen(text), m = strlen(line);
    if (n < m + 2 || text[n - 1] != '\n' || text[n - m - 2] != '\n' || strncmp(text + n - m - 1, line, m) != 0)
        fail_msg("the last line is not \"%s\":\n%s", line, text);
}

static void last_line_is(const report *r, const char *line) {
    char *text = text_of(r, 80);
    ends_with(text, line);
    free(text);
}

/* ---- Text ------------------------------------------------------------------------------------------------------- */

static void text_with_a_model(void **state) {
    (void)state;
    report r;
    report_sample(&r);
    char *text = text_of(&r, 100);
    has(text, "nibble 0.1.0 verify (quick), seed 42, 2026-10-01T12:34:56Z\n");
    has(text, "device     cpu:0 Test Processor 9000\n");
    has(text, "code hash  0123456789abcdef\n");
    has(text, "model      /tmp/model, llama, affine 4 bits\n");
    has(text, "kernels          12,345 cases                            2.3 s\n");
    has(text, "answer     not run\n");
    has(text, "matmul.fast       2,410  1,234,567  failed\n");
    has(text, "add.used          1,001       0.25  ok\n");
    has_not(text, "add.unused"); /* nothing is wrong with it, and the model does not use it */
    has(text, "\n1. matmul.fast: wrong value\n");
    has(text, "   wrong      17 of 4,608 elements\n");
    has(text, "   worst      token 2, column 1,004: got 2.5, expected 1.25, which may be off by 1e-06\n");
    has(text, "   pattern    columns 4 to 7 of every 8\n");
    has(text, "   step       model.layers.3.mlp.up_proj, layer 3\n");
    has(text, "   device     \"2 2 2 2\"\n");
    has(text, "   tokens     1 of 32 tokens agree; the most likely token is the same at 3 of 32\n");
    has(text, "KL divergence 4.2 nats on average, 12 at most");
    ends_with(text, "2 kernels do not agree with their definitions on Test Processor 9000: matmul.fast (nibble uses "
                    "matmul.slow instead, 8.1 times slower), rope.only (nothing is left: the model cannot run here)");
    free(text);
    report_free(&r);
}

static void last_lines(void **state) {
    (void)state;
    report r;
    report_sample(&r);
    r.n_findings = r.n_answers = 0;
    r.impossible[0] = 0;
    for (size_t i = 0; i < r.n_rows; i++) r.rows[i].n_findings = 0;
    assert_true(report_ok(&r));
    last_line_is(&r, "All 3 kernels that this model uses agree with their definitions on Test Processor 9000.");
    r.model[0] = 0;
    last_line_is(&r, "All 5 kernels of Test Processor 9000 agree with their definitions.");
    r.device.name[0] = 0;
    last_line_is(&r, "All 5 kernels of cpu:0 agree with their definitions.");
    memset(r.rows[4].cases, 0, sizeof r.rows[4].cases);
    last_line_is(&r, "4 of 5 kernels agree with their definitions on cpu:0; 1 was not checked.");
    r.rows[4].aside = true; /* by the user: nobody expects it to be checked */
    last_line_is(&r, "All 4 kernels of cpu:0 agree with their definitions.");
    r.rows[1].n_findings = 1;
    assert_false(report_ok(&r));
    last_line_is(&r, "1 kernel does not agree with its definition on cpu:0: matmul.slow");
    strcpy(r.model, "m");
    last_line_is(&r, "1 kernel does not agree with its definition on cpu:0: matmul.slow (this model does not use it)");
    r.rows[1].n_findings = 0;
    r.n_answers = 1; /* which differs */
    assert_false(report_ok(&r));
    last_line_is(&r, "Something is wrong on cpu:0, but no kernel could be found to be the cause, 1 answer differs.");
    r.n_answers = 0;
    strcpy(r.impossible, "no kernel for a norm");
    last_line_is(&r, "This model cannot run on cpu:0: no kernel is left for one of its steps.");
    report_free(&r);
}

static void not_reached(void **state) {
    (void)state;
    report r;
    report_sample(&r);
    r.n_findings = 1;
    r.findings[0].kind = FOUND_NOT_REACHED;
    strcpy(r.findings[0].kernel, "add.used");
    r.n_answers = 0;
    r.impossible[0] = 0;
    for (size_t i = 0; i < r.n_rows; i++) r.rows[i].n_findings = i == 2;
    memset(r.rows[2].cases, 0, sizeof r.rows[2].cases);
    char *text = text_of(&r, 80);
    has(text, "add.used              0          -  not reached\n");
    ends_with(text, "1 kernel does not agree with its definition on Test Processor 9000: add.used (no case reached "
                    "it)");
    free(text);
    report_free(&r);
}

static void text_without_a_model(void **state) {
    (void)state;
    report r;
    report_many(&r, 300);
    char *text = text_of(&r, 80);
    assert_int_equal(count_of(text, "matmul."), 0);
    has(text, "operation         kernels       cases     worst*  verdict\n");
    has(text, "\nmatmul                100  ");
    has(text, "All 300 kernels of Test Processor 9000 agree with their definitions.\n");
    assert_true(count_of(text, "\n") < 40);
    free(text);
    r.rows[7].n_findings = 1;
    text = text_of(&r, 80);
    has(text, "1 failed\n");
    assert_int_equal(count_of(text, r.rows[7].name), 2); /* the table and the last line */
    free(text);
    report_free(&r);
}

/* Lines are broken at the terminal's width, words stay whole, and nothing of a text can move a cursor. */
static void text_is_wrapped_and_clean(void **state) {
    (void)state;
    report r;
    report_sample(&r);
    memset(r.findings[0].where, 'w', 390);
    for (int i = 5; i < 380; i += 6) r.findings[0].where[i] = ' ';
    strcpy(r.findings[1].what, "\x1b[2J\x07 \xff \xc3\xa9 \r\n");
    char *text = text_of(&r, 20); /* 80 is the least */
    has(text, "what       \\x1b[2J\\x07 \xef\xbf\xbd \xc3\xa9 \\r\\n\n");
    for (const char *line = text, *end; (end = strchr(line, '\n')) && end[1]; line = end + 1)
        if (end - line > 80 && !strstr(line, "do not agree with"))
            fail_msg("a long line: %.*s", (int)(end - line), line);
    free(text);
    report_free(&r);
}

static void empty_report(void **state) {
    (void)state;
    report r = {0};
    assert_true(report_ok(&r));
    last_line_is(&r, "No kernel was checked on an unknown device.");
    cJSON *o = json_of(&r, 1);
    assert_true(cJSON_IsTrue(json_get(o, "ok")));
    assert_null(json_get(o, "model"));
    assert_int_equal(cJSON_GetArraySize(json_get(o, "kernels")), 0);
    cJSON_Delete(o);
    o = json_of(NULL, 0);
    assert_true(cJSON_IsArray(o));
    cJSON_Delete(o);
    char *page = html_of(&r, 1);
    has(page, "<p class=\"verdict unknown\">No kernel was checked");
    free(page);
    report_free(&r);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void is_num(const cJSON *o, const char *field, double value) {
    const cJSON *item = json_get(o, field);
    if (!cJSON_IsNumber(item) || item->valuedouble != value) fail_msg("%s is not %g", field, value);
}

static void is_str(const cJSON *o, const char *field, const char *value) {
    const char *got = cJSON_GetStringValue(json_get(o, field));
    if (!got || strcmp(got, value) != 0) fail_msg("%s is %s, not %s", field, got ? got : "absent", value);
}

static void is_bool(const cJSON *o, const char *field, bool value) {
    const cJSON *item = json_get(o, field);
    if (!cJSON_IsBool(item) || cJSON_IsTrue(item) != value) fail_msg("%s is not %d", field, value);
}

static void has_n_fields(const cJSON *o, int n) {
    assert_int_equal(cJSON_GetArraySize(o), n);
}

static void json_head(const cJSON *o) {
    has_n_fields(o, 15);
    is_str(o, "nibble", "0.1.0");
    is_str(o, "date", "2026-10-01T12:34:56Z");
    is_num(o, "seed", 42);
    is_bool(o, "quick", true);
    is_str(o, "model", "/tmp/model");
    is_str(o, "model_type", "llama");
    is_str(o, "quantization", "affine 4 bits");
    is_bool(o, "ok", false);
    is_str(o, "impossible", "nothing is left for rope");
    has(cJSON_GetStringValue(json_get(o, "verdict")), "2 kernels do not agree with their definitions on ");
    const cJSON *d = json_get(o, "device");
    has_n_fields(d, 7);
    is_str(d, "backend", "cpu");
    is_num(d, "index", 0);
    is_str(d, "name", "Test Processor 9000");
    is_str(d, "features", "AVX2");
    is_str(d, "driver", "Linux 6.1");
    is_str(d, "compiler", "gcc 12.2.0");
    is_str(d, "code_hash", "0123456789abcdef");
    const cJSON *levels = json_get(o, "levels");
    has_n_fields(levels, VERIFY_LEVELS);
    is_bool(json_get(levels, "kernels"), "ran", true);
    is_num(json_get(levels, "kernels"), "cases", 12345);
    is_num(json_get(levels, "kernels"), "seconds", 2.3);
    is_num(json_get(levels, "plan"), "cases", 271);
    is_bool(json_get(levels, "answer"), "ran", false);
}

static void json_kernels(const cJSON *rows) {
    assert_int_equal(cJSON_GetArraySize(rows), 5);
    const cJSON *row = cJSON_GetArrayItem(rows, 0);
    has_n_fields(row, 12);
    is_str(row, "name", "matmul.fast");
    is_str(row, "operation", "matmul");
    is_num(row, "rank", 30);
    is_bool(row, "used", true);
    is_bool(row, "aside", false);
    is_num(json_get(row, "cases"), "kernels", 2400);
    is_num(json_get(row, "cases"), "paths", 10);
    is_num(json_get(row, "worst"), "kernels", 1234567);
    is_num(json_get(row, "worst"), "plan", 0);
    is_num(row, "seconds", 1.5);
    is_num(row, "n_findings", 1);
    is_str(row, "verdict", "failed");
    is_str(row, "instead", "matmul.slow");
    is_num(row, "slowdown", 8.1);
    row = cJSON_GetArrayItem(rows, 4);
    is_str(row, "name", "rope.only");
    is_str(json_get(row, "worst"), "kernels", "inf");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(row, "instead")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(row, "slowdown")));
}

static void json_findings(const cJSON *findings) {
    assert_int_equal(cJSON_GetArraySize(findings), 2);
    const cJSON *f = cJSON_GetArrayItem(findings, 0);
    has_n_fields(f, 19);
    is_str(f, "kind", "wrong value");
    is_str(f, "level", "plan");
    is_str(f, "operation", "matmul");
    is_str(f, "kernel", "matmul.fast");
    is_str(f, "what", "twice as much");
    is_str(f, "where", "up_proj 3 x 1536");
    is_str(f, "pattern", "columns 4 to 7 of every 8");
    is_str(f, "step", "model.layers.3.mlp.up_proj");
    is_num(f, "layer", 3);
    is_num(f, "rows", 3);
    is_num(f, "cols", 1536);
    is_num(f, "n_checked", 4608);
    is_num(f, "n_wrong", 17);
    is_num(f, "row", 2);
    is_num(f, "col", 1004);
    is_num(f, "got", 2.5);
    is_num(f, "expected", 1.25);
    is_num(f, "bound", 1e-6);
    const cJSON *grid = json_get(f, "grid");
    assert_int_equal(cJSON_GetArraySize(grid), 3);
    const cJSON *row = cJSON_GetArrayItem(grid, 1);
    assert_int_equal(cJSON_GetArraySize(row), 48);
    assert_true(cJSON_GetArrayItem(row, 0)->valuedouble == 0.5);
    assert_true(cJSON_GetArrayItem(row, 1)->valuedouble == -1);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(row, 2)), "inf");
    assert_true(cJSON_GetArrayItem(row, 3)->valuedouble == 1235000);
    f = cJSON_GetArrayItem(findings, 1);
    has_n_fields(f, 18);
    is_str(f, "kind", "crashed");
    is_str(f, "got", "nan");
    is_str(f, "expected", "-inf");
    assert_null(json_get(f, "grid"));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(f, "step")));
}

static void json_has_every_field(void **state) {
    (void)state;
    report r;
    report_sample(&r);
    cJSON *o = json_of(&r, 1);
    json_head(o);
    json_kernels(json_get(o, "kernels"));
    json_findings(json_get(o, "findings"));
    const cJSON *a = cJSON_GetArrayItem(json_get(o, "answers"), 0);
    has_n_fields(a, 10);
    is_str(a, "prompt", "What is 2+2?");
    is_str(a, "device", "2 2 2 2");
    is_str(a, "reference", "4");
    is_num(a, "n_tokens", 32);
    is_num(a, "n_same", 1);
    is_num(a, "n_top1", 3);
    is_num(a, "mean_kl", 4.2);
    is_num(a, "max_kl", 11.8);
    is_num(a, "worst_logit", 1.4);
    is_bool(a, "ok", false);
    cJSON_Delete(o);
    report_free(&r);
}

static void json_of_any_text_and_several_devices(void **state) {
    (void)state;
    report r[2];
    report_sample(&r[0]);
    report_sample(&r[1]);
    strcpy(r[0].answers[0].device, "\"\\\n\x01 cut \xe2\x82");
    r[1].seed = UINT64_MAX;
    cJSON *o = json_of(r, 2);
    assert_int_equal(cJSON_GetArraySize(o), 2);
    is_str(cJSON_GetArrayItem(json_get(cJSON_GetArrayItem(o, 0), "answers"), 0), "device",
           "\"\\\n\x01 cut \xef\xbf\xbd\xef\xbf\xbd");
    cJSON_Delete(o);
    buf b = {0};
    report_put_json(&r[1], 1, &b);
    has(b.data, "18446744073709551615"); /* all digits */
    buf_free(&b);
    report_free(&r[0]);
    report_free(&r[1]);
}

/* ---- HTML ------------------------------------------------------------------------------------------------------- */

/* That every element that is opened is closed, in order. */
static void tags_are_balanced(const char *page) {
    char open[64][16];
    int depth = 0;
    for (const char *at = page; (at = strchr(at, '<')); at++) {
        if (at[1] == '!') continue;
        const bool closes = at[1] == '/';
        const char *name = at + 1 + closes;
        const size_t n = strcspn(name, " \n>");
        assert_in_range(n, 1, 15);
        if (strncmp(name, "meta", n) == 0) continue;
        if (closes) {
            assert_true(depth > 0);
            if (strlen(open[--depth]) != n || strncmp(open[depth], name, n) != 0)
                fail_msg("</%.*s> closes <%s>", (int)n, name, open[depth]);
        } else {
            assert_true(depth < 63);
            memcpy(open[depth], name, n);
            open[depth++][n] = 0;
        }
    }
    assert_int_equal(depth, 0);
}

static void page_with_pictures(void **state) {
    (void)state;
    report r;
    report_sample(&r);
    char *page = html_of(&r, 1);
    tags_are_balanced(page);
    has_not(page, "http");
    has_not(page, "<script");
    has_not(page, "@import");
    assert_int_equal(count_of(page, "<section class=\"card finding\">"), 2);
    assert_int_equal(count_of(page, "<svg class=\"picture\""), 1); /* the other one crashed: there is no output */
    has(page, "<title>token 1, columns 96 to 127: at most 1,235,000 of the allowed error</title>");
    has(page, "<title>token 1, columns 32 to 63: not looked at</title>");
    has(page, "<title>token 1, columns 64 to 95: not a number, infinite or never written</title>");
    has(page, "the worst element: token 2, column 1,004");
    has(page, "prefers-color-scheme:dark");
    has(page, ">tokens</text>");
    has(page, ">columns</text>");
    has(page, ">1,024</text>");
    has(page, "3 tokens by 1,536 columns. A cell is 1 token and 32 columns");
    has(page, "2 kernels do not agree with their definitions on Test Processor 9000");
    free(page);
    report_free(&r);
}

static void hostile_names(void **state) {
    (void)state;
    static const char evil[] = "<script>alert('x')</script>\"&";
    report r;
    report_sample(&r);
    char *const texts[] = {r.device.name,
                           r.device.driver,
                           r.device.compiler,
                           r.version,
                           r.model,
                           r.model_type,
                           r.quantization,
                           r.date,
                           r.impossible,
                           r.rows[0].name,
                           r.rows[0].instead,
                           r.findings[0].kernel,
                           r.findings[0].what,
                           r.findings[0].where,
                           r.findings[0].pattern,
                           r.findings[0].step,
                           r.answers[0].prompt,
                           r.answers[0].device,
                           r.answers[0].reference};
    const size_t n = sizeof texts / sizeof texts[0];
    char *before = html_of(&r, 1);
    for (size_t i = 0; i < n; i++) snprintf(texts[i], 32, "%s", evil);
    char *page = html_of(&r, 1);
    tags_are_balanced(page);
    has_not(page, "<script");
    has_not(page, "'x'");
    assert_true(count_of(page, "&#60;script&#62;") >= (int)n);
    assert_int_equal(count_of(page, "<"), count_of(before, "<")); /* no text has become a tag */
    free(before);
    free(page);
    report_free(&r);
}

/* Any shape of output and grid makes a picture; equal cells are merged. */
static void pictures_of_many_shapes(void **state) {
    (void)state;
    static const struct {
        int64_t rows, cols;
    } shapes[] = {{1, 1}, {1, 5}, {3, 4608}, {48, 48}, {49, 47}, {512, 250000}, {13, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        report r;
        report_sample(&r);
        finding *f = &r.findings[0];
        f->rows = shapes[i].rows;
        f->cols = shapes[i].cols;
        f->row = f->rows - 1;
        f->col = f->cols - 1;
        f->grid_rows = (int)(f->rows < FINDING_GRID ? f->rows : FINDING_GRID);
        f->grid_cols = (int)(f->cols < FINDING_GRID ? f->cols : FINDING_GRID);
        const int n = f->grid_rows * f->grid_cols;
        for (int j = 0; j < n; j++) f->grid[j] = 0.5f;
        f->grid[n - 1] = 100;
        char *page = html_of(&r, 1);
        tags_are_balanced(page);
        assert_in_range(count_of(page, "<title>token"), n > 1 ? 2 : 1, 3);
        free(page);
        for (int j = 0; j < n; j++)
            f->grid[j] = (j % f->grid_cols + j / f->grid_cols) % 2 ? 0.5f : 1e9f; /* nothing to merge */
        page = html_of(&r, 1);
        assert_int_equal(count_of(page, "<title>token"), n);
        assert_true(strlen(page) < 400000);
        free(page);
        report_free(&r);
    }
}

static void findings_of_all_kinds(void **state) {
    (void)state;
    for (int kind = 0; kind < FOUND_KINDS; kind++) {
        for (int level = 0; level < VERIFY_LEVELS; level++) {
            report r;
            report_sample(&r);
            r.findings[0].kind = (finding_kind)kind;
            r.findings[0].level = (verify_level)level;
            r.findings[0].kernel[0] = 0;
            char *text = text_of(&r, 80), *page = html_of(&r, 1);
            cJSON *o = json_of(&r, 1);
            char line[96];
            snprintf(line, sizeof line, "1. no kernel can be named: %s\n", finding_kind_name((finding_kind)kind));
            has(text, line);
            has(page, finding_kind_name((finding_kind)kind));
            is_str(cJSON_GetArrayItem(json_get(o, "findings"), 0), "kind", finding_kind_name((finding_kind)kind));
            is_str(cJSON_GetArrayItem(json_get(o, "findings"), 0), "level", verify_level_name((verify_level)level));
            cJSON_Delete(o);
            free(text);
            free(page);
            report_free(&r);
        }
    }
}

static void many_rows_in_all_forms(void **state) {
    (void)state;
    report r;
    report_many(&r, 300);
    char *page = html_of(&r, 1);
    tags_are_balanced(page);
    assert_int_equal(count_of(page, "<td class=\"name\">"), 300);
    cJSON *o = json_of(&r, 1);
    assert_int_equal(cJSON_GetArraySize(json_get(o, "kernels")), 300);
    is_bool(o, "ok", true);
    cJSON_Delete(o);
    free(page);
    report_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_with_a_model),
        cmocka_unit_test(last_lines),
        cmocka_unit_test(not_reached),
        cmocka_unit_test(text_without_a_model),
        cmocka_unit_test(text_is_wrapped_and_clean),
        cmocka_unit_test(empty_report),
        cmocka_unit_test(json_has_every_field),
        cmocka_unit_test(json_of_any_text_and_several_devices),
        cmocka_unit_test(page_with_pictures),
        cmocka_unit_test(hostile_names),
        cmocka_unit_test(pictures_of_many_shapes),
        cmocka_unit_test(findings_of_all_kinds),
        cmocka_unit_test(many_rows_in_all_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
