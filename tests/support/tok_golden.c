/* SPDX-License-Identifier: Apache-2.0 */
#include "support/tok_golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"

static void data_path(char *out, size_t size, const char *format, const char *name) {
    const char *root = getenv("NB_TEST_DATA");
    char part[256];
    if (!root) fail_msg("NB_TEST_DATA is not set");
    snprintf(part, sizeof part, format, name);
    snprintf(out, size, "%s/tokenizer/%s", root, part);
}

static cJSON *read_json(const char *format, const char *name) {
    char path[1024];
    nb_error err = {0};
    cJSON *tree = NULL;
    data_path(path, sizeof path, format, name);
    if (json_read(path, &tree, &err)) fail_msg("%s", err.text);
    return tree;
}

char *tok_golden_json(const char *name) {
    cJSON *tree = read_json("%s.json", name), *change = cJSON_DetachItemFromObject(tree, "model");
    cJSON *model = read_json("models/%s.json", cJSON_GetStringValue(cJSON_GetObjectItem(change, "base")));
    cJSON_DeleteItemFromObject(change, "base");
    while (change->child) {
        cJSON *item = cJSON_DetachItemViaPointer(change, change->child);
        char *field = item->string;
        item->string = NULL;
        cJSON_DeleteItemFromObjectCaseSensitive(model, field);
        cJSON_AddItemToObject(model, field, item);
        free(field);
    }
    cJSON_AddItemToObject(tree, "model", model);
    char *text = cJSON_PrintUnformatted(tree);
    cJSON_Delete(change);
    cJSON_Delete(tree);
    assert_non_null(text);
    return text;
}

tokenizer *tok_golden_load(const char *name) {
    char *text = tok_golden_json(name);
    tokenizer *t = NULL;
    nb_error err = {0};
    if (tok_from_json(text, strlen(text), name, &t, &err)) fail_msg("%s", err.text);
    free(text);
    return t;
}

/* ---- Lines ---------------------------------------------------------------------------------------------------- */

/* The next line without its end, NULL after the last; cuts the text up. */
static char *next_line(char **at) {
    char *line = *at, *end = line ? strchr(line, '\n') : NULL;
    if (!end) return NULL;
    *end = 0;
    *at = end + 1;
    return line;
}

static void escape(buf *out, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\\')
            buf_puts(out, "\\\\");
        else if (c == '\n')
            buf_puts(out, "\\n");
        else if (c == '\r')
            buf_puts(out, "\\r");
        else if (c < 32 || c == 127)
            buf_printf(out, "\\x%02x", c);
        else
            buf_putc(out, (char)c);
    }
}

/* In place; returns the length (the text may hold NUL characters). */
static size_t unescape(char *line) {
    char *to = line;
    for (char *from = line; *from; from++) {
        if (*from != '\\') {
            *to++ = *from;
        } else if (*++from == 'x') {
            char hex[3] = {from[1], from[2], 0};
            *to++ = (char)strtol(hex, NULL, 16);
            from += 2;
        } else {
            *to++ = *from == 'n' ? '\n' : *from == 'r' ? '\r' : '\\';
        }
    }
    return (size_t)(to - line);
}

static void put_ids(buf *out, const int32_t *ids, size_t n) {
    for (size_t i = 0; i < n; i++) buf_printf(out, i ? " %d" : "%d", ids[i]);
}

/* ---- Comparing ------------------------------------------------------------------------------------------------ */

static void check_stream(const tokenizer *t, const int32_t *ids, size_t n, bool skip, const char *text, size_t len) {
    tok_stream *s = NULL;
    buf all = {0};
    assert_int_equal(tok_stream_new(t, skip, &s, NULL), NB_OK);
    for (size_t i = 0; i <= n; i++) {
        const char *piece = i < n ? tok_stream_put(s, ids[i]) : tok_stream_finish(s);
        assert_non_null(piece);
        assert_true(utf8_valid(piece, tok_stream_length(s)));
        buf_put(&all, piece, tok_stream_length(s));
    }
    tok_stream_free(s);
    if (!strstr(text, "\xef\xbf\xbd") && (all.len != len || (len && memcmp(all.data, text, len) != 0)))
        fail_msg("streamed \"%s\", decoded \"%s\"", all.data, text);
    buf_free(&all);
}

/* Both decoded lines of a golden: "=" or "'" and the text. */
static void put_decoded(buf *out, const tokenizer *t, const int32_t *ids, size_t n, const char *source,
                        size_t source_len, bool may_equal) {
    char *short_text = NULL, *whole = NULL;
    size_t short_len = 0, whole_len = 0;
    nb_error err = {0};
    if (tok_decode(t, ids, n, true, &short_text, &short_len, &err) ||
        tok_decode(t, ids, n, false, &whole, &whole_len, &err))
        fail_msg("%s", err.text);
    check_stream(t, ids, n, true, short_text, short_len);
    check_stream(t, ids, n, false, whole, whole_len);
    if (may_equal && short_len == source_len && memcmp(short_text, source, short_len) == 0) {
        buf_puts(out, "=");
    } else {
        buf_puts(out, "'");
        escape(out, short_text, short_len);
    }
    buf_puts(out, "\n");
    if (may_equal && whole_len == short_len && memcmp(whole, short_text, whole_len) == 0) {
        buf_puts(out, "=");
    } else {
        buf_puts(out, "'");
        escape(out, whole, whole_len);
    }
    buf_puts(out, "\n");
    free(short_text);
    free(whole);
}

/* What the golden must hold for a text: four lines. */
static void put_text(buf *out, const tokenizer *t, const char *text, size_t len) {
    int32_t *ids = NULL, *bare = NULL;
    size_t n = 0, n_bare = 0;
    nb_error err = {0};
    if (tok_encode(t, text, len, true, &ids, &n, &err) || tok_encode(t, text, len, false, &bare, &n_bare, &err))
        fail_msg("%s", err.text);
    put_ids(out, ids, n);
    buf_puts(out, "\n");
    if (n == n_bare && memcmp(ids, bare, n * sizeof *ids) == 0)
        buf_puts(out, "=");
    else
        put_ids(out, bare, n_bare);
    buf_puts(out, "\n");
    put_decoded(out, t, ids, n, text, len, true);
    free(ids);
    free(bare);
}

/* Reads the ids of an "R" line and puts the line and what they decode to. */
static void put_random(buf *out, const tokenizer *t, const char *line) {
    int32_t ids[64];
    size_t n = 0;
    for (char *p = (char *)line + 1; *p && n < 64;) ids[n++] = (int32_t)strtol(p, &p, 10);
    buf_printf(out, "%s\n", line);
    put_decoded(out, t, ids, n, "", 0, false);
}

static bool is_digest(const char *line) {
    return strlen(line) == 16 && strspn(line, "0123456789abcdef") == 16;
}

/* Compares `have` with the golden's lines from `line` on: one digest, or as many lines as `have` has. */
static void compare(const buf *have, char *line, char **at, const char *name, const char *text) {
    buf want = {0}, digest = {0};
    if (is_digest(line)) {
        uint64_t h = 0xcbf29ce484222325u;
        for (size_t i = 0; i < have->len; i++) h = (h ^ (unsigned char)have->data[i]) * 0x100000001b3u;
        buf_printf(&digest, "%016llx", (unsigned long long)h);
        if (strcmp(digest.data, line) != 0) fail_msg("%s: text \"%s\" has another digest:\n%s", name, text, have->data);
    } else {
        buf_printf(&want, "%s\n", line);
        for (size_t i = 0, lines = 1; i < have->len; i++) {
            if (have->data[i] != '\n' || ++lines == 2) continue;
            char *more = next_line(at);
            assert_non_null(more);
            buf_printf(&want, "%s\n", more);
        }
        if (strcmp(want.data, have->data) != 0)
            fail_msg("%s: text \"%s\":\n%sexpected:\n%s", name, text, have->data, want.data);
    }
    buf_free(&want);
    buf_free(&digest);
}

int tok_golden_check(const tokenizer *t, const char *name) {
    char path[1024];
    buf texts = {0}, golden = {0}, have = {0};
    nb_error err = {0};
    int count = 0;
    data_path(path, sizeof path, "%s", "texts.txt");
    if (file_read(path, 1 << 20, &texts, &err)) fail_msg("%s", err.text);
    data_path(path, sizeof path, "%s.golden", name);
    if (file_read(path, 1 << 20, &golden, &err)) fail_msg("%s", err.text);
    char *text_at = texts.data, *golden_at = golden.data, *line;
    for (; (line = next_line(&golden_at)) != NULL; count++) {
        buf_clear(&have);
        if (strncmp(line, "R ", 2) == 0) {
            put_random(&have, t, line);
            char *first = golden_at[0] == '\'' ? line : next_line(&golden_at);
            assert_non_null(first);
            compare(&have, first, &golden_at, name, line);
            continue;
        }
        char *text = next_line(&text_at);
        assert_non_null(text);
        size_t len = unescape(text);
        put_text(&have, t, text, len);
        compare(&have, line, &golden_at, name, text);
    }
    buf_free(&texts);
    buf_free(&golden);
    buf_free(&have);
    return count;
}
