/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as an answer in any tool-call format: the events are the same whatever the pieces, calls begin before they
 * end, and complete arguments are JSON objects. The first byte chooses format and reasoning marks. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "text/toolcall.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const formats[] = {"minimax_m2",  "gemma4",  "function_gemma", "longcat",    "glm47",  "pythonic",
                                      "qwen3_coder", "kimi_k2", "mistral",        "json_tools", "harmony"};
static const char TOOLS[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"type\": \"object\", \"properties\": {"
    "\"s\": {\"type\": \"string\"}, \"i\": {\"type\": \"integer\"}, \"n\": {\"type\": [\"number\", \"null\"]},"
    "\"b\": {\"type\": \"boolean\"}, \"o\": {\"type\": \"object\"}, \"e\": {\"enum\": [1, \"x\", true]}}}}}]";

typedef struct found {
    buf trace, args;
    nb_event_kind last;
    bool open;
} found;

static void check(bool ok) {
    if (!ok) __builtin_trap();
}

static void check_object(const char *text, size_t n) {
    cJSON *tree;
    /* Other parsers are picky about bytes that are no UTF-8 and lone surrogates; cJSON is about the latter. */
    if (strstr(text, "\\u")) return;
    check(json_parse(text, n, "arguments", &tree, NULL) == NB_OK && cJSON_IsObject(tree));
    cJSON_Delete(tree);
}

static bool take(void *user, const nb_event *e) {
    found *f = user;
    check(e->text && e->text[e->length] == 0);
    check((e->kind >= NB_EVENT_CALL_BEGIN) == (e->name != NULL));
    if (e->kind >= NB_EVENT_CALL_BEGIN) check(f->open == (e->kind != NB_EVENT_CALL_BEGIN) && e->id && *e->id);
    if (e->kind != f->last)
        buf_printf(&f->trace, "\n%d %d %s %s: ", (int)e->kind, e->call, e->name ? e->name : "", e->id ? e->id : "");
    f->last = e->kind;
    buf_put(&f->trace, e->text, e->length);
    if (e->kind == NB_EVENT_CALL_BEGIN) f->open = true;
    if (e->kind == NB_EVENT_CALL_ARGUMENTS) buf_put(&f->args, e->text, e->length);
    if (e->kind == NB_EVENT_CALL_END) {
        check(f->args.len == e->length && memcmp(f->args.data, e->text, e->length) == 0);
        check_object(e->text, e->length);
    }
    if (e->kind >= NB_EVENT_CALL_END) {
        f->open = false;
        buf_clear(&f->args);
    }
    return true;
}

/* Pieces of 1 to `largest` bytes. */
static void feed(const tc_options *o, const char *text, size_t n, size_t largest, found *f) {
    static cJSON *tools;
    if (!tools && json_parse(TOOLS, sizeof TOOLS - 1, "tools", &tools, NULL)) abort();
    tc_options mine = *o;
    nb_parser *p;
    uint32_t seed = (uint32_t)n;
    mine.tools = cJSON_Duplicate(tools, 1);
    *f = (found){.last = NB_EVENT_CALL_BROKEN};
    check(tc_parser_new(&mine, &p, NULL) == NB_OK);
    for (size_t at = 0; at < n;) {
        seed = seed * 1664525u + 1013904223u;
        size_t piece = largest > 1 ? 1 + (seed >> 8) % largest : 1;
        if (piece > n - at) piece = n - at;
        check(nb_parser_put(p, text + at, piece, take, f, NULL) == NB_OK);
        at += piece;
    }
    check(nb_parser_finish(p, take, f, NULL) == NB_OK);
    check(!f->open);
    nb_parser_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    size_t n_formats = sizeof formats / sizeof formats[0];
    tc_options o = {.format = tc_format_named(formats[data[0] % n_formats]),
                    .reasoning = tc_reasoning_at(data[0] / n_formats % 5),
                    .prompt = data[0] & 0x80 ? "<|start|>assistant<|channel|>analysis<|message|> <think>\n" : NULL};
    const char *text = (const char *)data + 1;
    static const size_t largest[] = {1, 3, 17};
    found whole, pieces;
    feed(&o, text, size - 1, SIZE_MAX, &whole);
    for (size_t i = 0; i < sizeof largest / sizeof largest[0]; i++) {
        feed(&o, text, size - 1, largest[i], &pieces);
        check(pieces.trace.len == whole.trace.len);
        check(whole.trace.len == 0 || memcmp(pieces.trace.data, whole.trace.data, whole.trace.len) == 0);
        buf_free(&pieces.trace);
        buf_free(&pieces.args);
    }
    buf_free(&whole.trace);
    buf_free(&whole.args);
    return 0;
}
