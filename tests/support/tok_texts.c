/* SPDX-License-Identifier: Apache-2.0 */
#include "support/tok_texts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/utf8.h"

/* First and last character of what runs are made of. */
static const uint32_t ranges[][2] = {
    {0x20, 0x7e},         {0x0, 0x20},        {0x7f, 0xa0},       {0xa1, 0xff},       {0x100, 0x24f},
    {0x300, 0x36f},       {0x370, 0x3ff},     {0x400, 0x4ff},     {0x590, 0x5ff},     {0x600, 0x6ff},
    {0x900, 0x97f},       {0xb80, 0xbff},     {0xe00, 0xe7f},     {0x1100, 0x11ff},   {0x1e00, 0x1eff},
    {0x1f00, 0x1fff},     {0x2000, 0x206f},   {0x2070, 0x218f},   {0x2190, 0x23ff},   {0x2460, 0x24ff},
    {0x2580, 0x259f},     {0x3000, 0x30ff},   {0x4e00, 0x9fff},   {0xac00, 0xd7a3},   {0xe000, 0xe0ff},
    {0xf900, 0xfaff},     {0xfb00, 0xfdff},   {0xfe00, 0xffff},   {0x10000, 0x103ff}, {0x1d400, 0x1d7ff},
    {0x1f1e6, 0x1f1ff},   {0x1f300, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x200ff}, {0xe0000, 0xe007f},
    {0x10ff00, 0x10ffff}, {0x30, 0x39},       {0x61, 0x7a},       {0x2e42, 0x2e5d},   {0x10d40, 0x10d65},
    {0x11f00, 0x11f4f},   {0x31350, 0x31390}};
typedef struct string {
    const char *bytes;
    size_t n;
} string;
static const string glue[] = {
    {" ", 1},        {"\012", 1},         {"  ", 2},           {"\015\012", 2}, {"\011", 1},
    {"\302\240", 2}, {"\342\200\215", 3}, {"\357\270\217", 3}, {"\314\201", 2}, {"'", 1},
    {".", 1},        {"\343\200\200", 3}, {"'s", 2},           {"<", 1},        {"\342\226\201", 3},
    {"\000", 1}};
static const string longs[] = {{" ", 1},
                               {"0", 1},
                               {"a", 1},
                               {"\012", 1},
                               {"\303\251", 2},
                               {"\345\255\227", 3},
                               {"\314\201", 2},
                               {"ab", 2},
                               {" a", 2},
                               {"\015\012", 2},
                               {"!", 1},
                               {"\360\237\230\200\342\200\215", 7},
                               {"\340\270\201", 3},
                               {"\342\226\201", 3},
                               {"\011 ", 2},
                               {"\000", 1}};
enum {
    N_RANGES = sizeof ranges / sizeof ranges[0],
    N_GLUE = sizeof glue / sizeof glue[0],
    N_LONGS = sizeof longs / sizeof longs[0]
};

struct tok_texts {
    string *parts;
    size_t n;
    buf bytes;
};

/* ---- The written texts ---------------------------------------------------------------------------------------- */

/* Of one line, in place. */
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

tok_texts *tok_texts_open(const char *path) {
    tok_texts *t = calloc(1, sizeof *t);
    nb_error err = {0};
    assert_non_null(t);
    if (file_read(path, 1 << 20, &t->bytes, &err)) fail_msg("%s", err.text);
    t->parts = calloc(t->bytes.len, sizeof *t->parts);
    assert_non_null(t->parts);
    for (char *line = t->bytes.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = 0;
        t->parts[t->n].bytes = line;
        t->parts[t->n++].n = unescape(line);
    }
    return t;
}

void tok_texts_free(tok_texts *t) {
    if (!t) return;
    buf_free(&t->bytes);
    free(t->parts);
    free(t);
}

/* ---- Making texts --------------------------------------------------------------------------------------------- */

/* splitmix64. */
static size_t below(uint64_t *state, size_t n) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return ((z ^ z >> 31) >> 33) % n;
}

static size_t count_chars(const string *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) n += ((unsigned char)s->bytes[i] & 0xc0) != 0x80;
    return n;
}

/* The offset of the k-th character, or the end. */
static size_t offset_of(const string *s, size_t k) {
    size_t i = 0;
    for (; i < s->n; i++)
        if (((unsigned char)s->bytes[i] & 0xc0) != 0x80 && k-- == 0) break;
    return i;
}

/* A piece of a written text, up to 24 characters long. */
static void put_part(const tok_texts *t, uint64_t *state, buf *out) {
    const string *s = &t->parts[below(state, t->n)];
    size_t start = below(state, count_chars(s) + 1), length = 1 + below(state, 24);
    size_t from = offset_of(s, start);
    buf_put(out, s->bytes + from, offset_of(s, start + length) - from);
}

static void put_run(uint64_t *state, buf *out) {
    const uint32_t *range = ranges[below(state, N_RANGES)];
    for (size_t n = 1 + below(state, 6); n > 0; n--) {
        char bytes[4];
        uint32_t cp = range[0] + (uint32_t)below(state, range[1] - range[0] + 1);
        buf_put(out, bytes, (size_t)utf8_encode(cp, bytes));
    }
}

static void put_repeated(const tok_texts *t, uint64_t *state, buf *out) {
    buf again = {0};
    if (below(state, 2))
        put_part(t, state, &again);
    else
        put_run(state, &again);
    for (size_t n = 1 + below(state, 20); n > 0; n--) buf_put(out, again.data ? again.data : "", again.len);
    buf_free(&again);
}

void tok_texts_make(const tok_texts *t, uint64_t seed, buf *out) {
    uint64_t state = seed;
    for (size_t n = 1 + below(&state, 12); n > 0; n--) {
        size_t kind = below(&state, 16);
        const string *whole = NULL;
        if (kind < 7)
            put_part(t, &state, out);
        else if (kind < 10)
            put_run(&state, out);
        else if (kind < 14)
            whole = &glue[below(&state, N_GLUE)];
        else if (kind < 15)
            whole = &t->parts[below(&state, t->n)];
        else
            put_repeated(t, &state, out);
        if (whole) buf_put(out, whole->bytes, whole->n);
        if (below(&state, 3) == 0) buf_putc(out, ' ');
    }
}

bool tok_texts_long(size_t k, size_t repetitions, buf *out) {
    if (k >= N_LONGS) return false;
    for (; repetitions > 0; repetitions--) buf_put(out, longs[k].bytes, longs[k].n);
    return true;
}
