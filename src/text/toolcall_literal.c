/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that are spelled as literals of a language: Gemma's call:f{k:<|"|>text<|"|>,n:1} and Python's [f(k="text",
 * n=1)]. They are read when they are complete, by recursive descent, and become JSON. */
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "text/toolcall_impl.h"

typedef struct reader {
    const char *at, *end;
    const char *quote; /* of Gemma's strings */
    nb_parser *p;
    const buf *function; /* whose arguments are read, for their types; NULL: they have their own */
    bool emit;           /* calls are told; else only looked at */
} reader;

static void skip_space(reader *r) {
    while (r->at < r->end && tc_space(*r->at)) r->at++;
}

static bool at_text(const reader *r, const char *text) {
    size_t n = strlen(text);
    return (size_t)(r->end - r->at) >= n && memcmp(r->at, text, n) == 0;
}

static bool take_text(reader *r, const char *text) {
    if (!at_text(r, text)) return false;
    r->at += strlen(text);
    return true;
}

/* The same after space. */
static bool take_sign(reader *r, const char *sign) {
    skip_space(r);
    return take_text(r, sign);
}

static bool find_text(const reader *r, const char *text, size_t *n) {
    size_t length = strlen(text);
    for (const char *at = r->at; (size_t)(r->end - at) >= length; at++) {
        at = memchr(at, text[0], (size_t)(r->end - at) - length + 1);
        if (!at) return false;
        if (memcmp(at, text, length) == 0) {
            *n = (size_t)(at - r->at);
            return true;
        }
    }
    return false;
}

/* ---- Gemma ----------------------------------------------------------------------------------------------------- */

/* <|"|>text<|"|>, or a JSON string. */
static bool gemma_string(reader *r, buf *out) {
    size_t n;
    if (take_text(r, r->quote)) {
        if (!find_text(r, r->quote, &n)) return false;
        json_put_str(out, r->at, n);
        r->at += n + strlen(r->quote);
        return true;
    }
    const char *from = r->at;
    if (r->at == r->end || *r->at != '"') return false;
    for (r->at++; r->at < r->end && *r->at != '"'; r->at++)
        if (*r->at == '\\') r->at++;
    if (r->at >= r->end) return false;
    return tc_json_copy(from, (size_t)(++r->at - from), out);
}

static bool gemma_key(reader *r, buf *out) {
    skip_space(r);
    if (at_text(r, r->quote) || at_text(r, "\"")) return gemma_string(r, out) && take_sign(r, ":");
    const char *from = r->at;
    while (r->at < r->end && !strchr(":,{}[]", *r->at)) r->at++;
    size_t n = (size_t)(r->at - from);
    tc_trim(&from, &n);
    json_put_str(out, from, n);
    return n > 0 && take_text(r, ":");
}

/* A number, true, false or null (Gemma's template spells the last one None); other bare words are strings. */
static bool gemma_bare(reader *r, const buf *key, buf *out) {
    const char *from = r->at;
    while (r->at < r->end && !strchr(",{}[]", *r->at)) r->at++;
    size_t n = (size_t)(r->at - from);
    tc_trim(&from, &n);
    if (n == 0) return false;
    if (key && r->function)
        tc_put_typed(r->p, r->function, key, from, n, false, true, out);
    else if (!tc_json_copy(from, n, out) && !tc_python_literal(from, n, out))
        json_put_str(out, from, n);
    return true;
}

static bool gemma_value(reader *r, const buf *key, int depth, buf *out);

static bool gemma_list(reader *r, int depth, buf *out) {
    buf_putc(out, '[');
    if (take_sign(r, "]")) return buf_putc(out, ']'), true;
    for (;;) {
        if (!gemma_value(r, NULL, depth, out)) return false;
        if (take_sign(r, "]")) return buf_putc(out, ']'), true;
        if (!take_sign(r, ",")) return false;
        buf_puts(out, ", ");
    }
}

/* After '{'. */
static bool gemma_object(reader *r, int depth, buf *out) {
    buf_putc(out, '{');
    if (take_sign(r, "}")) return buf_putc(out, '}'), true;
    for (;;) {
        buf key = {0};
        bool ok = gemma_key(r, &key);
        buf_put(out, key.data ? key.data : "", key.len);
        buf_puts(out, ": ");
        /* The key without its quotation marks, for the schema. */
        if (ok && key.len >= 2) {
            memmove(key.data, key.data + 1, key.len - 2);
            key.data[key.len -= 2] = 0;
        }
        ok = ok && gemma_value(r, depth == 0 ? &key : NULL, depth + 1, out);
        if (key.failed) out->failed = true;
        buf_free(&key);
        if (!ok) return false;
        if (take_sign(r, "}")) return buf_putc(out, '}'), true;
        if (!take_sign(r, ",")) return false;
        buf_puts(out, ", ");
    }
}

static bool gemma_value(reader *r, const buf *key, int depth, buf *out) {
    skip_space(r);
    if (depth > TC_MAX_DEPTH) return false;
    if (take_text(r, "{")) return gemma_object(r, depth + 1, out);
    if (take_text(r, "[")) return gemma_list(r, depth + 1, out);
    if (at_text(r, r->quote) || at_text(r, "\"")) return gemma_string(r, out);
    return gemma_bare(r, key, out);
}

/* Tells a call, or only agrees. */
static bool found_call(reader *r, const buf *name, const buf *args) {
    nb_parser *p = r->p;
    if (name->failed || args->failed) {
        p->failed = true;
        return false;
    }
    if (!r->emit) return true;
    tc_clear(p, &p->name);
    buf_put(&p->name, name->data, name->len);
    tc_call_whole(p, args->data, args->len);
    return true;
}

/* call:f{...}, any number of them. */
static bool gemma_calls(reader *r) {
    bool any = false;
    for (;; any = true) {
        while (any && (take_sign(r, ",") || take_sign(r, ";"))) {
        }
        skip_space(r);
        if (r->at == r->end) return any;
        if (!take_text(r, "call:")) return false;
        buf name = {0}, args = {0};
        const char *from = r->at;
        while (r->at < r->end && *r->at != '{') r->at++;
        size_t n = (size_t)(r->at - from);
        tc_trim(&from, &n);
        buf_put(&name, from, n);
        r->function = strcmp(r->quote, "<escape>") == 0 ? &name : NULL;
        bool ok = n > 0 && n <= TC_MAX_NAME && !memchr(from, 0, n) && take_text(r, "{") && gemma_object(r, 0, &args) &&
                  found_call(r, &name, &args);
        r->p->failed |= name.failed || args.failed;
        buf_free(&name);
        buf_free(&args);
        if (!ok) return false;
    }
}

/* ---- Python literals ------------------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    return tc_digit(c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Reads so many digits, or at most so many of base 8. */
static bool code_point(reader *r, int base, int digits, uint32_t *cp) {
    *cp = 0;
    int n = 0;
    for (; n < digits && r->at < r->end; n++, r->at++) {
        int d = hex_digit(*r->at);
        if (d < 0 || d >= base) break;
        *cp = *cp * (uint32_t)base + (uint32_t)d;
    }
    return base == 8 ? n > 0 : n == digits;
}

/* After a backslash. */
static bool python_escape(reader *r, buf *text) {
    static const char names[] = "abfnrtv\\'\"", values[] = "\a\b\f\n\r\t\v\\'\"";
    if (r->at == r->end) return false;
    char c = *r->at++, bytes[4];
    const char *simple = c ? strchr(names, c) : NULL;
    if (simple) return buf_putc(text, values[simple - names]), true;
    if (c == '\n') return true;
    uint32_t cp;
    bool ok;
    if (c >= '0' && c <= '7') {
        r->at--;
        ok = code_point(r, 8, 3, &cp);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        ok = code_point(r, 16, c == 'x' ? 2 : c == 'u' ? 4 : 8, &cp);
    } else {
        buf_putc(text, '\\');
        buf_putc(text, c);
        return c != 'N';
    }
    int n = ok ? utf8_encode(cp, bytes) : 0;
    buf_put(text, bytes, (size_t)n);
    return n > 0;
}

/* One string with its quotes; newlines are let through in all of them. */
static bool python_string(reader *r, bool raw, buf *text) {
    char quote[4] = {*r->at, *r->at, *r->at, 0};
    if (!at_text(r, quote)) quote[1] = 0;
    r->at += strlen(quote);
    while (r->at < r->end) {
        if (take_text(r, quote)) return true;
        char c = *r->at++;
        if (c == '\\' && !raw) {
            if (!python_escape(r, text)) return false;
            continue;
        }
        buf_putc(text, c);
        if (c == '\\' && r->at < r->end) buf_putc(text, *r->at++);
    }
    return false;
}

/* Neighbours are one string. */
static bool python_strings(reader *r, buf *out) {
    buf text = {0};
    bool ok = false;
    for (;;) {
        skip_space(r);
        bool prefixed =
            r->end - r->at >= 2 && strchr("uUrR", r->at[0]) && r->at[0] && strchr("'\"", r->at[1]) && r->at[1];
        if (r->at == r->end || !(prefixed || *r->at == '"' || *r->at == '\'')) break;
        bool raw = prefixed && (*r->at == 'r' || *r->at == 'R');
        r->at += prefixed;
        ok = python_string(r, raw, &text);
        if (!ok) break;
    }
    json_put_str(out, text.data ? text.data : "", text.len);
    if (text.failed) out->failed = true;
    buf_free(&text);
    return ok;
}

/* 0x1f, 0o17, 0b11, without what stands in front. */
static bool based_number(const char *digits, size_t n, int base, buf *out) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        int d = hex_digit(digits[i]);
        if (d < 0 || d >= base || v > (UINT64_MAX >> 4) - 15) return false;
        v = v * (uint64_t)base + (uint64_t)d;
    }
    buf_printf(out, "%llu", (unsigned long long)v);
    return n > 0;
}

static bool python_number(reader *r, buf *out) {
    buf text = {0};
    bool minus = false;
    for (; r->at < r->end && (*r->at == '-' || *r->at == '+'); r->at++) minus ^= *r->at == '-';
    if (minus) buf_putc(&text, '-');
    const char *from = r->at;
    while (r->at < r->end && (tc_alnum(*r->at) || *r->at == '.' || *r->at == '_' ||
                              ((*r->at == '-' || *r->at == '+') && r->at > from && (r->at[-1] | 0x20) == 'e')))
        r->at++;
    size_t n = (size_t)(r->at - from);
    char kind = n > 2 && from[0] == '0' ? (char)(from[1] | 0x20) : 0;
    bool ok = false;
    if (kind == 'x' || kind == 'o' || kind == 'b') {
        ok = based_number(from + 2, n - 2, kind == 'x' ? 16 : kind == 'o' ? 8 : 2, &text);
    } else if (n && (tc_digit(from[0]) || (from[0] == '.' && n > 1))) {
        /* JSON wants digits on both sides of the point, and no underscores. */
        for (size_t i = 0; i < n; i++) {
            if (from[i] == '.' && (i == 0 || !tc_digit(from[i - 1]))) buf_putc(&text, '0');
            if (from[i] != '_') buf_putc(&text, from[i]);
            if (from[i] == '.' && (i + 1 == n || !tc_digit(from[i + 1]))) buf_putc(&text, '0');
        }
        ok = true;
    }
    ok = ok && !text.failed && tc_json_copy(text.data, text.len, out);
    if (text.failed) out->failed = true;
    buf_free(&text);
    return ok;
}

static bool python_word(reader *r, buf *out) {
    static const char *const words[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"},
                                           {"true", "true"}, {"false", "false"}, {"null", "null"}};
    const char *from = r->at;
    while (r->at < r->end && (tc_alnum(*r->at) || *r->at == '_')) r->at++;
    size_t n = (size_t)(r->at - from);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i][0]) != n || memcmp(words[i][0], from, n) != 0) continue;
        buf_puts(out, words[i][1]);
        return true;
    }
    return false;
}

static bool python_value(reader *r, int depth, buf *out);

/* Lists and tuples; (x) is x and (x,) a tuple. */
static bool python_list(reader *r, const char *close, int depth, buf *out) {
    size_t start = out->len, n = 0;
    bool comma = true;
    buf_putc(out, '[');
    while (!take_sign(r, close)) {
        if (!comma) return false;
        if (n++) buf_puts(out, ", ");
        if (!python_value(r, depth, out)) return false;
        comma = take_sign(r, ",");
    }
    if (*close == ')' && n == 1 && !comma && !out->failed) { /* take the bracket away again */
        memmove(out->data + start, out->data + start + 1, out->len - start);
        out->len--;
        return true;
    }
    buf_putc(out, ']');
    return true;
}

/* Keys that are no strings become strings, as json.dumps makes them. */
static bool python_key(reader *r, int depth, buf *out) {
    size_t start = out->len;
    skip_space(r);
    if (r->at < r->end && strchr("({[", *r->at)) return false;
    if (!python_value(r, depth, out) || out->failed) return false;
    if (out->data[start] == '"') return true;
    buf key = {0};
    buf_put(&key, out->data + start, out->len - start);
    out->len = start;
    json_put_str(out, key.data ? key.data : "", key.len);
    if (key.failed) out->failed = true;
    buf_free(&key);
    return true;
}

static bool python_dict(reader *r, int depth, buf *out) {
    bool comma = true;
    buf_putc(out, '{');
    for (size_t n = 0; !take_sign(r, "}"); n++) {
        if (!comma) return false;
        if (n) buf_puts(out, ", ");
        if (!python_key(r, depth, out) || !take_sign(r, ":")) return false;
        buf_puts(out, ": ");
        if (!python_value(r, depth, out)) return false;
        comma = take_sign(r, ",");
    }
    buf_putc(out, '}');
    return true;
}

static bool python_value(reader *r, int depth, buf *out) {
    skip_space(r);
    if (r->at == r->end || depth > TC_MAX_DEPTH) return false;
    char c = *r->at, after = r->end - r->at > 1 ? r->at[1] : 0;
    if (take_text(r, "[")) return python_list(r, "]", depth + 1, out);
    if (take_text(r, "(")) return python_list(r, ")", depth + 1, out);
    if (take_text(r, "{")) return python_dict(r, depth + 1, out);
    bool prefix = c && strchr("uUrR", c) && (after == '"' || after == '\'');
    if (c == '"' || c == '\'' || prefix) return python_strings(r, out);
    if (tc_digit(c) || c == '-' || c == '+' || c == '.') return python_number(r, out);
    return python_word(r, out);
}

bool tc_python_literal(const char *text, size_t n, buf *out) {
    size_t start = out->len;
    reader r = {.at = text, .end = text + n};
    bool ok = python_value(&r, 0, out);
    skip_space(&r);
    if (ok && r.at == r.end) return true;
    if (out->len > start) out->data[out->len = start] = 0;
    return false;
}

/* ---- Pythonic calls -------------------------------------------------------------------------------------------- */

static bool python_name(reader *r, bool dots, buf *out) {
    skip_space(r);
    const char *from = r->at;
    while (r->at < r->end && (tc_alnum(*r->at) || *r->at == '_' || (dots && (*r->at == '.' || *r->at == '-')))) r->at++;
    size_t n = (size_t)(r->at - from);
    if (n == 0 || n > TC_MAX_NAME) return false;
    buf_put(out, from, n);
    return true;
}

/* f(k=value, ...) */
static bool python_call(reader *r, buf *name, buf *args) {
    bool comma = true;
    if (!python_name(r, true, name) || !take_sign(r, "(")) return false;
    buf_putc(args, '{');
    for (size_t n = 0; !take_sign(r, ")"); n++) {
        buf key = {0};
        bool ok = comma && python_name(r, false, &key) && take_sign(r, "=");
        if (n) buf_puts(args, ", ");
        json_put_str(args, key.data ? key.data : "", key.len);
        buf_puts(args, ": ");
        if (key.failed) args->failed = true;
        buf_free(&key);
        if (!ok || !python_value(r, 0, args)) return false;
        comma = take_sign(r, ",");
    }
    buf_putc(args, '}');
    return true;
}

/* [f(...), g(...)] */
static bool pythonic_calls(reader *r) {
    bool any = false, comma = true;
    if (!take_sign(r, "[")) return false;
    while (!take_sign(r, "]")) {
        buf name = {0}, args = {0};
        bool ok = comma && python_call(r, &name, &args) && found_call(r, &name, &args);
        r->p->failed |= name.failed || args.failed;
        buf_free(&name);
        buf_free(&args);
        if (!ok) return false;
        any = true;
        comma = take_sign(r, ",");
    }
    skip_space(r);
    return any && r->at == r->end;
}

/* ---- Bodies ---------------------------------------------------------------------------------------------------- */

enum { LITERAL_START, LITERAL_INSIDE };

/* Reads what lies between the marks, twice: nothing may be told of calls of which the last is malformed. */
static bool read_calls(nb_parser *p, size_t tail, bool (*calls)(reader *r)) {
    size_t head = strlen(p->format->open);
    buf raw = p->raw; /* telling a call empties p->raw */
    p->raw = (buf){0};
    reader r = {.p = p, .quote = p->format->quote};
    bool ok = true;
    for (int pass = 0; pass < 2 && ok; pass++) {
        r.at = raw.data + head;
        r.end = raw.data + raw.len - tail;
        r.emit = pass == 1;
        ok = calls(&r);
    }
    buf_free(&p->raw);
    p->raw = raw;
    return ok;
}

static tc_result literal_byte(nb_parser *p, char c, const char *begins, bool (*calls)(reader *r)) {
    if (p->state == LITERAL_START) {
        int found = tc_expect(p, c, &begins, 1);
        if (found == 0) p->state = LITERAL_INSIDE;
        return found == TC_NONE ? TC_BAD : TC_MORE;
    }
    if (!tc_ends_with(&p->raw, p->format->close)) return TC_MORE;
    return read_calls(p, strlen(p->format->close), calls) ? TC_CLOSED : TC_BAD;
}

tc_result tc_gemma_byte(nb_parser *p, char c) {
    return literal_byte(p, c, "call:", gemma_calls);
}

bool tc_gemma_end(nb_parser *p) {
    return p->state == LITERAL_INSIDE && read_calls(p, 0, gemma_calls);
}

tc_result tc_pythonic_byte(nb_parser *p, char c) {
    return literal_byte(p, c, "[", pythonic_calls);
}

bool tc_pythonic_end(nb_parser *p) {
    return p->state == LITERAL_INSIDE && read_calls(p, 0, pythonic_calls);
}
