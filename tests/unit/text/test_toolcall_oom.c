/* SPDX-License-Identifier: Apache-2.0
 *
 * Every allocation of the parser of answers fails once, in every format: each time the answer is "no memory", and
 * nothing leaks or crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "support/oom/fail_alloc.h"
#include "text/toolcall.h"

typedef struct work {
    const cJSON *answer, *tools;
    int n_calls;
} work;

static bool count(void *user, const nb_event *e) {
    ((work *)user)->n_calls += e->kind == NB_EVENT_CALL_END;
    return true;
}

static nb_status parse(void *user, nb_error *err) {
    work *w = user;
    const char *text = cJSON_GetStringValue(json_get(w->answer, "text"));
    tc_options o = {.format = tc_format_named(cJSON_GetStringValue(json_get(w->answer, "format"))),
                    .reasoning = tc_reasoning_at(0),
                    .tools = cJSON_Duplicate(w->tools, true)};
    nb_parser *p = NULL;
    w->n_calls = 0;
    nb_status status = tc_parser_new(&o, &p, err);
    for (size_t i = 0; text[i] && !status; i += strlen(text + i) < 7 ? strlen(text + i) : 7)
        status = nb_parser_put(p, text + i, strlen(text + i) < 7 ? strlen(text + i) : 7, count, w, err);
    if (!status) status = nb_parser_finish(p, count, w, err);
    nb_parser_free(p);
    return status;
}

static void every_allocation(void **state) {
    (void)state;
    char path[512];
    cJSON *golden;
    int n = 0;
    snprintf(path, sizeof path, "%s/toolcall/cases.json", getenv("NB_TEST_DATA"));
    assert_int_equal(json_read(path, &golden, NULL), NB_OK);
    const cJSON *answer;
    cJSON_ArrayForEach(answer, json_get(golden, "cases")) {
        if (!cJSON_IsTrue(json_get(answer, "tools"))) continue;
        work w = {.answer = answer, .tools = json_get(golden, "tools")};
        fail_each_allocation(parse, &w, 300);
        n += w.n_calls;
    }
    assert_true(n > 150);
    cJSON_Delete(golden);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
