/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers in every tool-call format (tests/data/toolcall/cases.json, made by tools/make_toolcall_goldens.py) fed whole,
 * byte by byte and in random pieces: each time the same events, and what mlx-lm's parsers say is in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"
#include "text/toolcall.h"

static cJSON *golden;

static int load(void **state) {
    (void)state;
    char path[512];
    nb_error err;
    snprintf(path, sizeof path, "%s/toolcall/cases.json", getenv("NB_TEST_DATA"));
    if (json_read(path, &golden, &err) == NB_OK) return 0;
    print_error("%s\n", err.text);
    return 1;
}

static int unload(void **state) {
    (void)state;
    cJSON_Delete(golden);
    return 0;
}

/* ---- What an answer held --------------------------------------------------------------------------------------- */

typedef struct found {
    buf content, reasoning;
    buf trace; /* all events, neighbours of one kind as one */
    buf args;  /* of the call that is open */
    nb_event_kind last;
    bool open;
    int next_call, n_pieces; /* pieces of arguments */
    cJSON *calls;
} found;

static void check_call(const found *f, const nb_event *e) {
    assert_non_null(e->id);
    assert_non_null(e->name);
    assert_true(*e->id && *e->name);
    assert_int_equal(e->call, f->next_call);
    assert_int_equal(f->open, e->kind != NB_EVENT_CALL_BEGIN);
}

static void call_ends(found *f, const nb_event *e) {
    cJSON *args = NULL, *call = cJSON_CreateObject();
    nb_error err;
    assert_string_equal(f->args.data, e->text); /* the pieces are the whole */
    if (json_parse(e->text, e->length, "arguments", &args, &err)) fail_msg("%s in %s", err.text, e->text);
    assert_true(cJSON_IsObject(args));
    cJSON_AddStringToObject(call, "name", e->name);
    cJSON_AddStringToObject(call, "id", e->id);
    cJSON_AddItemToObject(call, "arguments", args);
    cJSON_AddItemToArray(f->calls, call);
}

static bool take(void *user, const nb_event *e) {
    static const char *const names[] = {
        "\ntext: ", "\nreasoning: ", "\nbegin: ", "\narguments: ", "\nend: ", "\nbroken: "};
    found *f = user;
    bool of_call = e->kind >= NB_EVENT_CALL_BEGIN;
    assert_int_equal(strlen(e->text), e->length);
    if (e->kind != f->last || of_call) buf_puts(&f->trace, e->kind == f->last && f->open ? "" : names[e->kind]);
    f->last = e->kind;
    if (e->kind == NB_EVENT_TEXT) buf_put(&f->content, e->text, e->length);
    if (e->kind == NB_EVENT_REASONING) buf_put(&f->reasoning, e->text, e->length);
    if (of_call) check_call(f, e);
    if (e->kind == NB_EVENT_CALL_BEGIN) buf_printf(&f->trace, "%s %s", e->name, e->id);
    if (e->kind == NB_EVENT_CALL_BEGIN) f->open = true, buf_clear(&f->args);
    if (e->kind == NB_EVENT_CALL_ARGUMENTS) buf_put(&f->args, e->text, e->length), f->n_pieces++;
    if (e->kind == NB_EVENT_CALL_END) call_ends(f, e);
    if (e->kind >= NB_EVENT_CALL_END) f->open = false, f->next_call++;
    buf_put(&f->trace, e->text, e->length);
    return true;
}

static void found_init(found *f) {
    *f = (found){.last = NB_EVENT_CALL_BROKEN, .calls = cJSON_CreateArray()};
    buf_puts(&f->content, "");
    buf_puts(&f->reasoning, "");
    buf_puts(&f->trace, "");
}

static void found_free(found *f) {
    buf_free(&f->content);
    buf_free(&f->reasoning);
    buf_free(&f->trace);
    buf_free(&f->args);
    cJSON_Delete(f->calls);
}

/* ---- Parsers --------------------------------------------------------------------------------------------------- */

static const tc_reasoning *reasoning_of(const char *open) {
    const tc_reasoning *r;
    for (size_t i = 0; (r = tc_reasoning_at(i)) != NULL; i++)
        if (strcmp(r->open, open) == 0) return r;
    fail_msg("no reasoning mark %s", open);
    return NULL;
}

static const char *text_of(const cJSON *c, const char *field) {
    return cJSON_GetStringValue(json_get(c, field));
}

static tc_options options_of(const cJSON *c) {
    tc_options o = {.format = tc_format_named(text_of(c, "format")),
                    .reasoning = reasoning_of(text_of(c, "think")),
                    .prompt = text_of(c, "prompt")};
    assert_non_null(o.format);
    if (cJSON_IsTrue(json_get(c, "tools"))) o.tools = cJSON_Duplicate(json_get(golden, "tools"), 1);
    return o;
}

/* What is held back outside of calls must be the beginning of a mark, and not a whole one. */
static void check_held(const nb_parser *p, const tc_options *o) {
    const char *bytes, *mark;
    bool outside, begins = false;
    size_t n = tc_parser_held(p, &bytes, &outside);
    if (!outside || n == 0) return;
    for (size_t i = 0; tc_mark(o->format, o->reasoning, i, &mark); i++)
        begins |= strlen(mark) > n && memcmp(mark, bytes, n) == 0;
    if (!begins && !(n < 10 && memcmp("<|return|>", bytes, n) == 0)) fail_msg("held back: \"%.*s\"", (int)n, bytes);
}

/* Feeds the case's text in pieces of 1 to `largest` bytes. */
static void feed(const cJSON *c, size_t largest, uint32_t seed, found *f) {
    tc_options o = options_of(c);
    nb_parser *p;
    nb_error err;
    const char *text = text_of(c, "text");
    size_t n = strlen(text);
    assert_int_equal(tc_parser_new(&o, &p, &err), NB_OK);
    found_init(f);
    for (size_t at = 0; at < n;) {
        seed = seed * 1664525u + 1013904223u;
        size_t piece = largest == 1 ? 1 : 1 + (seed >> 8) % largest;
        if (piece > n - at) piece = n - at;
        assert_int_equal(nb_parser_put(p, text + at, piece, take, f, &err), NB_OK);
        check_held(p, &o);
        at += piece;
    }
    assert_int_equal(nb_parser_finish(p, take, f, &err), NB_OK);
    assert_false(f->open);
    nb_parser_free(p);
}

static void same_text(const char *what, const cJSON *c, const char *got, const char *want) {
    if (strcmp(got, want) != 0)
        fail_msg("%s: %s of %s\n  is       \"%s\"\n  expected \"%s\"", text_of(c, "format"), what, text_of(c, "text"),
                 got, want);
}

static void check_found(const cJSON *c, const found *f) {
    const cJSON *want = json_get(c, "want"), *call;
    same_text("text", c, f->content.data, text_of(want, "content"));
    same_text("reasoning", c, f->reasoning.data, text_of(want, "reasoning"));
    int n = 0;
    cJSON_ArrayForEach(call, json_get(want, "calls")) {
        const cJSON *got = cJSON_GetArrayItem(f->calls, n++);
        if (!got) fail_msg("%s: no call %d in %s\n%s", text_of(c, "format"), n, text_of(c, "text"), f->trace.data);
        same_text("name", c, text_of(got, "name"), text_of(call, "name"));
        if (text_of(call, "id")) same_text("id", c, text_of(got, "id"), text_of(call, "id"));
        if (!cJSON_Compare(json_get(got, "arguments"), json_get(call, "arguments"), true)) {
            char *is = cJSON_PrintUnformatted(json_get(got, "arguments"));
            char *expected = cJSON_PrintUnformatted(json_get(call, "arguments"));
            same_text("arguments", c, is, expected);
            fail_msg("arguments differ: %s %s", is, expected);
        }
    }
    assert_int_equal(cJSON_GetArraySize(f->calls), n);
}

static void cases(void **state) {
    (void)state;
    int n = 0;
    const cJSON *c;
    cJSON_ArrayForEach(c, json_get(golden, "cases")) {
        found whole;
        feed(c, SIZE_MAX, 1, &whole);
        check_found(c, &whole);
        for (uint32_t seed = 0; seed < 12; seed++) {
            found pieces;
            feed(c, seed == 0 ? 1 : 1 + seed * 3, seed, &pieces);
            check_found(c, &pieces);
            assert_string_equal(whole.trace.data, pieces.trace.data);
            found_free(&pieces);
        }
        found_free(&whole);
        n++;
    }
    print_message("%d answers\n", n);
    assert_true(n >= 370);
}

/* Every format has its cases. */
static void formats_have_cases(void **state) {
    (void)state;
    static const char *const names[] = {"minimax_m2",  "gemma4",  "function_gemma", "longcat",    "glm47",  "pythonic",
                                        "qwen3_coder", "kimi_k2", "mistral",        "json_tools", "harmony"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int n = 0;
        const cJSON *c;
        cJSON_ArrayForEach(c, json_get(golden, "cases")) n += strcmp(text_of(c, "format"), names[i]) == 0;
        assert_true(n >= 15);
    }
}

/* ---- Streaming ------------------------------------------------------------------------------------------------- */

static nb_parser *parser(const char *format, const char *prompt) {
    nb_parser *p;
    tc_options o = {tc_format_named(format), tc_reasoning_at(0), cJSON_Duplicate(json_get(golden, "tools"), 1), prompt};
    assert_int_equal(tc_parser_new(&o, &p, NULL), NB_OK);
    return p;
}

/* JSON arguments are told while they come; text is not held back. */
static void arguments_stream(void **state) {
    (void)state;
    static const struct {
        const char *format, *head;
    } answers[] = {
        {"json_tools", "<tool_call>{\"name\": \"f\", \"arguments\": "},
        {"kimi_k2", "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>"},
        {"mistral", "[TOOL_CALLS]f[ARGS]"},
        {"glm47", "<tool_call>f\n"},
        {"harmony", "<|channel|>commentary to=functions.f<|message|>"},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        nb_parser *p = parser(answers[i].format, NULL);
        found f;
        found_init(&f);
        nb_parser_put(p, answers[i].head, strlen(answers[i].head), take, &f, NULL);
        assert_int_equal(f.n_pieces, 0);
        nb_parser_put(p, "{\"text\": \"so far", 16, take, &f, NULL);
        assert_true(f.open);
        assert_string_equal(f.args.data, "{\"text\": \"so far");
        nb_parser_put(p, "!", 1, take, &f, NULL);
        assert_string_equal(f.args.data, "{\"text\": \"so far!");
        nb_parser_finish(p, take, &f, NULL);
        assert_non_null(strstr(f.trace.data, "broken"));
        assert_string_equal(f.content.data + strlen(answers[i].head), "{\"text\": \"so far!");
        nb_parser_free(p);
        found_free(&f);
    }
}

/* Each byte of a text is told at once, but for the beginnings of marks. */
static void text_is_not_held(void **state) {
    (void)state;
    static const char text[] = "a<b <t <tool <tool_ca <tool_calls </tool_call> [TOOL";
    nb_parser *p = parser("json_tools", NULL);
    found f;
    found_init(&f);
    for (size_t i = 0; text[i]; i++) {
        nb_parser_put(p, &text[i], 1, take, &f, NULL);
        const char *bytes;
        bool outside;
        size_t n = tc_parser_held(p, &bytes, &outside);
        assert_true(outside);
        assert_int_equal(f.content.len + n, i + 1);
        bool begins = n == 0 || strncmp("<tool_call>", bytes, n) == 0;
        assert_true(begins);
    }
    nb_parser_finish(p, take, &f, NULL);
    assert_string_equal(f.content.data, text);
    nb_parser_free(p);
    found_free(&f);
}

static bool stop(void *user, const nb_event *e) {
    (void)e;
    return --*(int *)user > 0;
}

static void callback_stops(void **state) {
    (void)state;
    for (int events = 1; events < 6; events++) {
        nb_parser *p = parser("json_tools", NULL);
        int left = events;
        nb_error err = {0};
        const char *text = "<think>a</think>b<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>c";
        assert_int_equal(nb_parser_put(p, text, strlen(text), stop, &left, &err), NB_ERR_CANCELLED);
        assert_int_equal(left, 0);
        assert_int_equal(nb_parser_finish(p, stop, &left, &err), NB_ERR_CANCELLED);
        assert_int_equal(left, 0);
        nb_parser_free(p);
    }
}

/* Ids are the prompt's: the same again, others in the next turn, 9 letters and digits each. */
static void ids(void **state) {
    (void)state;
    static const char answer[] = "<tool_call>{\"name\": \"f\"}</tool_call><tool_call>{\"name\": \"f\"}</tool_call>";
    static const char *const prompts[] = {"one", "one", "two"};
    char all[6][10] = {{0}};
    for (int i = 0; i < 3; i++) {
        nb_parser *p = parser("json_tools", prompts[i]);
        found f;
        found_init(&f);
        nb_parser_put(p, answer, sizeof answer - 1, take, &f, NULL);
        for (int k = 0; k < 2; k++) {
            const char *id = text_of(cJSON_GetArrayItem(f.calls, k), "id");
            assert_int_equal(strlen(id), 9);
            assert_int_equal(strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz"), 9);
            memcpy(all[2 * i + k], id, 9);
        }
        nb_parser_free(p);
        found_free(&f);
    }
    assert_string_equal(all[0], all[2]);
    assert_string_equal(all[1], all[3]);
    assert_string_not_equal(all[0], all[1]);
    assert_string_not_equal(all[0], all[4]);
    assert_string_not_equal(all[1], all[5]);
}

/* ---- Which format ---------------------------------------------------------------------------------------------- */

static void formats_of_templates(void **state) {
    (void)state;
    static const struct {
        const char *source, *name;
    } templates[] = {
        {"x <minimax:tool_call> <tool_call> tool_call.name", "minimax_m2"},
        {"<|tool_call> <tool_call|>", "gemma4"},
        {"<start_function_call>", "function_gemma"},
        {"<longcat_tool_call>", "longcat"},
        {"<tool_call>{{ x }}<arg_key>", "glm47"},
        {"<|tool_list_start|>", "pythonic"},
        {"<|tool_call_start|>", "pythonic"},
        {"{{- '<tool_call>\\n<function=' }} tool_call.name", "qwen3_coder"},
        {"<tool_call>\n<function=f", "qwen3_coder"},
        {"<|tool_calls_section_begin|>", "kimi_k2"},
        {"[TOOL_CALLS]", "mistral"},
        {"<tool_call>\n{{ tool_call.name }}", "json_tools"},
        {"<|start|>assistant<|channel|>final<|message|>", "harmony"},
        {"<tool_call>", NULL},
        {"<|tool_call>", NULL},
        {"{{ messages }}", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++) {
        const tc_format *f = tc_format_of_template(templates[i].source);
        assert_int_equal(f != NULL, templates[i].name != NULL);
        if (!f) continue;
        assert_string_equal(tc_format_name(f), templates[i].name);
        assert_ptr_equal(f, tc_format_named(templates[i].name));
    }
    assert_null(tc_format_named("kimi_k9"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases),
        cmocka_unit_test(formats_have_cases),
        cmocka_unit_test(arguments_stream),
        cmocka_unit_test(text_is_not_held),
        cmocka_unit_test(callback_stops),
        cmocka_unit_test(ids),
        cmocka_unit_test(formats_of_templates),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
