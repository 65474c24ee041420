/* SPDX-License-Identifier: Apache-2.0
 *
 * Template text to tokens, as jinja2's lexer does with trim_blocks and lstrip_blocks: the newline after a block or
 * comment goes, and so does the indentation before one; '-' inside a tag strips all white space, '+' keeps it. */
#define _GNU_SOURCE /* memmem */
#include <string.h>

#include "base/utf8.h"
#include "text/jinja_impl.h"

typedef struct lexer {
    jj *c;
    const char *s;
    size_t n, at;
    int line;
    bool line_starting; /* the text that comes next begins a line */
    token *tok;
    size_t n_tok, cap;
} lexer;

static void emit(lexer *x, tok t, const char *p, size_t n) {
    if (x->n_tok == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 256;
        token *grown = jj_array(x->c, cap, sizeof *grown);
        if (x->n_tok) memcpy(grown, x->tok, x->n_tok * sizeof *grown);
        x->tok = grown;
        x->cap = cap;
    }
    x->tok[x->n_tok++] = (token){.t = (uint8_t)t, .line = x->line, .p = p, .n = n};
}

static _Noreturn void lex_error(lexer *x, const char *what) {
    x->c->line = x->line;
    jj_error(x->c, "%s", what);
}

/* Moves on to `to`, counting lines. */
static void advance(lexer *x, size_t to) {
    for (; x->at < to; x->at++) x->line += x->s[x->at] == '\n';
}

static size_t skip_space(const lexer *x, size_t at) {
    uint32_t cp;
    for (int k; at < x->n && (k = utf8_decode(x->s + at, x->n - at, &cp)) > 0 && is_space(cp);) at += (size_t)k;
    return at;
}

static size_t strip_end(const char *p, size_t n) {
    while (n) {
        size_t start = n - 1;
        while (start > 0 && (p[start] & 0xc0) == 0x80) start--;
        uint32_t cp;
        if (utf8_decode(p + start, n - start, &cp) == 0 || !is_space(cp)) break;
        n = start;
    }
    return n;
}

static bool starts(const lexer *x, size_t at, const char *text) {
    size_t n = strlen(text);
    return at <= x->n && x->n - at >= n && memcmp(x->s + at, text, n) == 0;
}

/* Emits the text from x->at up to the tag at `tag`, stripped as the sign in the tag ('-', '+' or another character)
 * and lstrip_blocks say. */
static void emit_text(lexer *x, size_t tag, char sign, bool is_print) {
    const char *p = x->s + x->at;
    size_t n = tag - x->at;
    if (sign == '-') {
        n = strip_end(p, n);
    } else if (sign != '+' && !is_print) {
        size_t line = n;
        while (line > 0 && p[line - 1] != '\n') line--;
        if ((line > 0 || x->line_starting) && skip_space(x, x->at + line) >= tag) n = line;
    }
    if (n) emit(x, T_DATA, p, n);
    advance(x, tag);
}

/* After the end mark of a block or comment at `at`: what trim_blocks and '-' take away. */
static size_t after_tag(const lexer *x, size_t at, char sign, bool trims) {
    if (sign == '-') return skip_space(x, at);
    if (sign != '+' && trims && at < x->n && x->s[at] == '\n') return at + 1;
    return at;
}

/* The next place at or after `from` where `text` stands, or n. */
static size_t find_text(const lexer *x, size_t from, const char *text) {
    if (from > x->n) return x->n;
    const char *hit = memmem(x->s + from, x->n - from, text, strlen(text));
    return hit ? (size_t)(hit - x->s) : x->n;
}

static void moved_to(lexer *x, size_t to) {
    advance(x, to);
    x->line_starting = to > 0 && x->s[to - 1] == '\n';
}

static void lex_comment(lexer *x) {
    size_t end = find_text(x, x->at + 2, "#}");
    if (end == x->n) lex_error(x, "Missing end of comment tag");
    char sign = end > x->at + 2 ? x->s[end - 1] : 0;
    moved_to(x, after_tag(x, end + 2, sign, true));
}

/* Is there `{%- raw -%}` (or endraw) at `at`? Returns its end, 0 if not. */
static size_t raw_tag(const lexer *x, size_t at, const char *word, char *sign, char *end_sign) {
    if (!starts(x, at, "{%")) return 0;
    at += 2;
    *sign = at < x->n && (x->s[at] == '-' || x->s[at] == '+') ? x->s[at++] : 0;
    at = skip_space(x, at);
    if (!starts(x, at, word)) return 0;
    at = skip_space(x, at + strlen(word));
    *end_sign = at < x->n && (x->s[at] == '-' || x->s[at] == '+') ? x->s[at++] : 0;
    return starts(x, at, "%}") ? at + 2 : 0;
}

static void lex_raw(lexer *x, size_t begin_end, char begin_sign) {
    moved_to(x, begin_sign == '-' ? skip_space(x, begin_end) : begin_end);
    for (size_t tag = x->at;; tag++) {
        tag = find_text(x, tag, "{%");
        if (tag == x->n) lex_error(x, "Missing end of raw directive");
        char sign, end_sign;
        size_t end = raw_tag(x, tag, "endraw", &sign, &end_sign);
        if (!end) continue;
        emit_text(x, tag, sign, false);
        moved_to(x, after_tag(x, end, end_sign, true));
        return;
    }
}

static int hex_digit(char ch) {
    if (ch >= '0' && ch <= '9') return ch - '0';
    if (ch >= 'a' && ch <= 'f') return ch - 'a' + 10;
    if (ch >= 'A' && ch <= 'F') return ch - 'A' + 10;
    return -1;
}

/* One escape of a string literal; p stands on the backslash. Returns how many bytes it took. */
static size_t unescape(lexer *x, const char *p, size_t n, char *out, size_t *len) {
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    char ch = p[1];
    const char *simple = ch ? strchr(from, ch) : NULL;
    if (simple) {
        out[(*len)++] = to[simple - from];
        return 2;
    }
    if (ch == '\n') return 2;
    uint32_t cp = 0;
    size_t used = 1;
    if (ch >= '0' && ch <= '7') {
        while (used < 4 && used < n && p[used] >= '0' && p[used] <= '7') cp = cp * 8 + (uint32_t)(p[used++] - '0');
    } else if (ch == 'x' || ch == 'u' || ch == 'U') {
        size_t digits = ch == 'x' ? 2 : ch == 'u' ? 4 : 8;
        for (used = 2; used < 2 + digits; used++) {
            int d = used < n ? hex_digit(p[used]) : -1;
            if (d < 0) lex_error(x, "truncated escape in a string literal");
            cp = cp << 4 | (uint32_t)d;
        }
    } else {
        out[(*len)++] = '\\'; /* not an escape: both characters stay */
        return 1;
    }
    int k = utf8_encode(cp, out + *len);
    if (k == 0) lex_error(x, "an escape in a string literal is no Unicode character");
    *len += (size_t)k;
    return used;
}

static void lex_string(lexer *x) {
    char quote = x->s[x->at];
    size_t end = x->at + 1;
    while (end < x->n && x->s[end] != quote) end += x->s[end] == '\\' ? 2 : 1;
    if (end >= x->n) lex_error(x, "a string literal has no end");
    const char *p = x->s + x->at + 1;
    size_t n = end - x->at - 1, len = 0;
    char *out = jj_alloc(x->c, n * 2 + 4); /* an escape's UTF-8 is never longer than twice the escape */
    for (size_t i = 0; i < n;) {
        if (p[i] == '\\' && i + 1 < n)
            i += unescape(x, p + i, n - i, out, &len);
        else
            out[len++] = p[i++];
    }
    emit(x, T_STRING, out, len);
    advance(x, end + 1);
}

static bool digit_at(const lexer *x, size_t at) {
    return at < x->n && x->s[at] >= '0' && x->s[at] <= '9';
}

/* Digits with single underscores between them. */
static size_t digits(const lexer *x, size_t at) {
    while (digit_at(x, at) || (at < x->n && x->s[at] == '_' && digit_at(x, at + 1))) at++;
    return at;
}

static void lex_number(lexer *x) {
    size_t end = x->at;
    tok kind = T_INT;
    char base = x->s[end] == '0' && end + 1 < x->n ? (char)(x->s[end + 1] | 0x20) : 0;
    if (base == 'x' || base == 'o' || base == 'b') {
        end += 2;
        while (end < x->n && (hex_digit(x->s[end]) >= 0 || x->s[end] == '_')) end++;
    } else {
        end = digits(x, end);
        if (x->at == 0 || x->s[x->at - 1] != '.') { /* in a.1.2 the numbers are ints */
            if (end < x->n && x->s[end] == '.' && digit_at(x, end + 1)) {
                end = digits(x, end + 1);
                kind = T_FLOAT;
            }
            if (end < x->n && (x->s[end] | 0x20) == 'e') {
                size_t e = end + 1;
                if (e < x->n && (x->s[e] == '+' || x->s[e] == '-')) e++;
                if (digit_at(x, e)) {
                    end = digits(x, e);
                    kind = T_FLOAT;
                }
            }
        }
    }
    emit(x, kind, x->s + x->at, end - x->at);
    advance(x, end);
}

static bool name_byte(char ch) {
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '_' ||
           (unsigned char)ch >= 0x80;
}

static const struct {
    char text[3];
    uint8_t t;
} OPERATORS[] = {{"//", T_FLOORDIV}, {"**", T_POW},   {"==", T_EQ},      {"!=", T_NE},      {">=", T_GE},
                 {"<=", T_LE},       {"+", T_ADD},    {"-", T_SUB},      {"/", T_DIV},      {"*", T_MUL},
                 {"%", T_MOD},       {"~", T_TILDE},  {"[", T_LBRACKET}, {"]", T_RBRACKET}, {"(", T_LPAREN},
                 {")", T_RPAREN},    {"{", T_LBRACE}, {"}", T_RBRACE},   {">", T_GT},       {"<", T_LT},
                 {"=", T_ASSIGN},    {".", T_DOT},    {":", T_COLON},    {"|", T_PIPE},     {",", T_COMMA},
                 {";", T_SEMICOLON}};

/* Brackets must pair up; what is open is kept as a stack of expected closers. */
static void balance(lexer *x, tok t, buf *open) {
    char closer = t == T_LPAREN ? ')' : t == T_LBRACKET ? ']' : t == T_LBRACE ? '}' : 0;
    if (closer) {
        buf_putc(open, closer);
        if (open->len > x->c->max_depth)
            jj_fail(x->c, NB_ERR_LIMIT, "brackets nested more than %zu deep", open->len - 1);
        return;
    }
    if (t != T_RPAREN && t != T_RBRACKET && t != T_RBRACE) return;
    char is = t == T_RPAREN ? ')' : t == T_RBRACKET ? ']' : '}';
    x->c->line = x->line;
    if (open->len == 0) jj_error(x->c, "unexpected '%c'", is);
    char want = open->data[--open->len];
    if (want != is) jj_error(x->c, "unexpected '%c', expected '%c'", is, want);
}

static void lex_operator(lexer *x, buf *open) {
    for (size_t i = 0; i < sizeof OPERATORS / sizeof OPERATORS[0]; i++) {
        if (!starts(x, x->at, OPERATORS[i].text)) continue;
        balance(x, OPERATORS[i].t, open);
        emit(x, OPERATORS[i].t, x->s + x->at, strlen(OPERATORS[i].text));
        x->at += strlen(OPERATORS[i].text);
        return;
    }
    uint32_t cp = 0;
    int k = utf8_decode(x->s + x->at, x->n - x->at, &cp);
    x->c->line = x->line;
    jj_error(x->c, "unexpected char '%.*s'", k, x->s + x->at);
}

/* If a tag that began with {% or {{ ends here, its end; `sign` is the one in it. */
static size_t tag_end(const lexer *x, bool is_print, char *sign) {
    size_t at = x->at;
    *sign = x->s[at] == '-' || (x->s[at] == '+' && !is_print) ? x->s[at] : 0;
    if (*sign) at++;
    return starts(x, at, is_print ? "}}" : "%}") ? at + 2 : 0;
}

/* The inside of {{ }} or {% %}; x->at stands behind the opening mark. The caller owns `open`, the bracket stack. */
static void lex_inside(lexer *x, bool is_print, buf *open) {
    for (;;) {
        if (x->at >= x->n)
            lex_error(x, is_print ? "unexpected end of template, expected '}}'"
                                  : "unexpected end of template, expected '%}'");
        char sign, ch = x->s[x->at];
        size_t end = open->len ? 0 : tag_end(x, is_print, &sign);
        if (end) {
            emit(x, is_print ? T_PRINT_END : T_BLOCK_END, x->s + x->at, end - x->at);
            moved_to(x, after_tag(x, end, sign, !is_print));
            return;
        }
        size_t next = skip_space(x, x->at);
        if (next > x->at) {
            advance(x, next);
        } else if (ch >= '0' && ch <= '9') {
            lex_number(x);
        } else if (name_byte(ch)) {
            for (end = x->at; end < x->n && name_byte(x->s[end]) && skip_space(x, end) == end; end++) {
            }
            emit(x, T_NAME, x->s + x->at, end - x->at);
            x->at = end;
        } else if (ch == '"' || ch == '\'') {
            lex_string(x);
        } else {
            lex_operator(x, open);
        }
    }
}

/* The next {{, {% or {#; n when there is none. */
static size_t next_tag(const lexer *x) {
    for (size_t at = x->at; at + 1 < x->n; at++) {
        const char *brace = memchr(x->s + at, '{', x->n - at);
        if (!brace) return x->n;
        at = (size_t)(brace - x->s);
        if (at + 1 < x->n && (x->s[at + 1] == '{' || x->s[at + 1] == '%' || x->s[at + 1] == '#')) return at;
    }
    return x->n;
}

/* A copy with \r\n and \r as \n, without the one newline at the end that jinja2 drops. */
static void normalize(lexer *x, const char *source, size_t n) {
    char *copy = jj_alloc(x->c, n + 1);
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r' && i + 1 < n && source[i + 1] == '\n') continue;
        copy[len++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (len && copy[len - 1] == '\n') len--;
    x->s = copy;
    x->n = len;
}

static void lex_template(lexer *x, buf *open) {
    while (x->at < x->n) {
        size_t tag = next_tag(x);
        char sign = tag + 2 < x->n ? x->s[tag + 2] : 0, end_sign;
        if (tag == x->n) {
            emit(x, T_DATA, x->s + x->at, x->n - x->at);
            advance(x, x->n);
            break;
        }
        bool is_print = x->s[tag + 1] == '{';
        size_t raw = raw_tag(x, tag, "raw", &sign, &end_sign);
        if (!raw) sign = tag + 2 < x->n ? x->s[tag + 2] : 0;
        emit_text(x, tag, sign, is_print);
        if (raw) {
            lex_raw(x, raw, end_sign);
        } else if (x->s[tag + 1] == '#') {
            lex_comment(x);
        } else {
            emit(x, is_print ? T_PRINT_BEGIN : T_BLOCK_BEGIN, x->s + tag, 2);
            x->at = tag + 2 + (sign == '-' || sign == '+');
            lex_inside(x, is_print, open);
        }
    }
}

token *lex(jj *c, const char *source, size_t n) {
    lexer x = {.c = c, .line = 1, .line_starting = true};
    normalize(&x, source, n);
    buf_clear(&c->out); /* nothing is output while compiling; the buffer holds the open brackets */
    lex_template(&x, &c->out);
    emit(&x, T_EOF, "", 0);
    return x.tok;
}
