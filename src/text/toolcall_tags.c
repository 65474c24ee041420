/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that are made of marks around a name, keys and values: Qwen3-Coder's, MiniMax M2's, GLM 4.7's, LongCat's. They
 * know no escapes: a value ends at its closing mark, but only if what may follow a value follows it, so that a closing
 * mark inside of a value does no harm. */
#include <string.h>

#include "base/json.h"
#include "text/toolcall_impl.h"

enum {
    TAGS_BETWEEN, /* calls */
    TAGS_NAME,
    TAGS_NEXT, /* a key, or the call's end */
    TAGS_KEY,
    TAGS_VALUE_OPEN,
    TAGS_VALUE,
    TAGS_LOOK,   /* behind what may be a value's end */
    TAGS_OBJECT, /* the call is a JSON object after all */
    TAGS_ARGS,   /* a name and JSON arguments */
    TAGS_CLOSE   /* after these: only the closing mark */
};

/* What ends a call: its own closing mark, or the one that ends all. */
static const char *call_end(const nb_parser *p) {
    const tc_tags *t = p->format->tags;
    return *t->call_close ? t->call_close : p->format->close;
}

static void call_starts(nb_parser *p) {
    tc_clear(p, &p->name);
    tc_clear(p, &p->id);
    tc_clear(p, &p->object.args);
    buf_putc(&p->object.args, '{');
    tc_clear(p, &p->value);
    p->state = TAGS_NAME;
}

/* The value, without `tail` bytes at its end, is a name; "" when it is none, or holds a NUL. */
static void take_name(nb_parser *p, size_t tail, buf *out) {
    const char *text = p->value.data;
    size_t n = p->value.len - tail;
    tc_trim(&text, &n);
    char q = n >= 2 && p->format->tags->quoted ? text[0] : 0;
    if ((q == '"' || q == '\'') && text[n - 1] == q) text++, n -= 2;
    tc_clear(p, out);
    if (n && !memchr(text, 0, n)) buf_put(out, text, n);
}

static tc_result between(nb_parser *p, char c) {
    const tc_tags *t = p->format->tags;
    if (!*t->call_open) { /* a name, or an object */
        if (tc_space(c)) return TC_MORE;
        if (c == '{' || c == '[') {
            tc_object_start(p, true);
            p->state = TAGS_OBJECT;
        } else {
            call_starts(p);
        }
        return tc_tags_byte(p, c);
    }
    const char *const marks[] = {t->call_open, p->format->close};
    int found = tc_expect(p, c, marks, 2);
    if (found == 0) call_starts(p);
    if (found == 1) return p->section_calls ? TC_CLOSED : TC_BAD;
    return found == TC_NONE ? TC_BAD : TC_MORE;
}

static tc_result next(nb_parser *p, char c);

/* Names between ">" (or the end of a line), or in front of what cannot belong to one. */
static tc_result name(nb_parser *p, char c) {
    const tc_tags *t = p->format->tags;
    bool marked = *t->call_open != 0, ends = marked ? c == '>' || c == '\n' : tc_space(c) || c == '<' || c == '{';
    if (!ends) {
        buf_putc(&p->value, c);
        return p->value.len > TC_MAX_NAME || (marked && c == '<') ? TC_BAD : TC_MORE;
    }
    if (p->value.len == 0) return TC_BAD;
    take_name(p, 0, &p->name);
    if (p->name.len == 0) return TC_BAD;
    p->state = TAGS_NEXT;
    return marked ? TC_MORE : next(p, c);
}

static tc_result call_complete(nb_parser *p) {
    buf_putc(&p->object.args, '}');
    if (p->object.args.failed) return TC_BAD;
    tc_call_whole(p, p->object.args.data, p->object.args.len);
    if (!*p->format->tags->call_close) return TC_CLOSED;
    p->state = TAGS_BETWEEN;
    return TC_MORE;
}

/* A key's mark or the call's end was found, or neither. */
static tc_result next_is(nb_parser *p, int found) {
    if (found == 1) return call_complete(p);
    if (found == 0) {
        tc_clear(p, &p->value);
        p->state = TAGS_KEY;
    }
    return found == TC_NONE ? TC_BAD : TC_MORE;
}

static tc_result next(nb_parser *p, char c) {
    const tc_tags *t = p->format->tags;
    bool first = p->object.args.len == 1;
    if (!*t->call_open && first && c == '{' && p->word.len == 0) { /* name {"key": value} */
        tc_args_start(p);
        p->state = TAGS_ARGS;
        return tc_tags_byte(p, c);
    }
    const char *const marks[] = {t->key_open, call_end(p)};
    return next_is(p, tc_expect(p, c, marks, 2));
}

static tc_result key(nb_parser *p, char c) {
    const tc_tags *t = p->format->tags;
    buf_putc(&p->value, c);
    if (p->value.len > TC_MAX_NAME || p->value.failed) return TC_BAD;
    bool line = *t->call_open && c == '\n' && p->value.len > 1;
    if (!line && !tc_ends_with(&p->value, t->key_close)) return TC_MORE;
    take_name(p, line ? 1 : strlen(t->key_close), &p->key);
    if (p->key.len == 0) return TC_BAD;
    tc_clear(p, &p->value);
    p->state = *t->value_open ? TAGS_VALUE_OPEN : TAGS_VALUE;
    return TC_MORE;
}

/* Adds key and value to the arguments. */
static void put_argument(nb_parser *p) {
    const tc_tags *t = p->format->tags;
    const char *text = p->value.data;
    size_t n = p->value_end;
    if (t->keep_space) {
        if (n && text[0] == '\n') text++, n--;
        if (n && text[n - 1] == '\n') n--;
    } else {
        tc_trim(&text, &n);
    }
    buf *args = &p->object.args;
    if (args->len > 1) buf_puts(args, ", ");
    json_put_str(args, p->key.data, p->key.len);
    buf_puts(args, ": ");
    tc_put_typed(p, &p->name, &p->key, text, n, t->null_always, t->untyped_any, args);
}

static tc_result value(nb_parser *p, char c) {
    const tc_tags *t = p->format->tags;
    buf_putc(&p->value, c);
    if (!tc_ends_with(&p->value, t->value_close)) return TC_MORE;
    p->value_end = p->value.len - strlen(t->value_close);
    p->state = TAGS_LOOK;
    return TC_MORE;
}

static tc_result look(nb_parser *p, char c) {
    const tc_tags *t = p->format->tags;
    const char *const marks[] = {t->key_open, call_end(p)};
    int found = tc_expect(p, c, marks, 2);
    if (found == TC_NONE) { /* the value goes on */
        p->again = 1;
        p->state = TAGS_VALUE;
        return value(p, c);
    }
    buf_putc(&p->value, c);
    if (found >= 0) put_argument(p);
    return next_is(p, found);
}

static tc_result close_mark(nb_parser *p, char c) {
    int found = tc_expect(p, c, &p->format->close, 1);
    return found == 0 ? TC_CLOSED : found == TC_PART ? TC_MORE : TC_BAD;
}

tc_result tc_tags_byte(nb_parser *p, char c) {
    const tc_tags *t = p->format->tags;
    tc_result r;
    int found;
    switch (p->state) {
    case TAGS_BETWEEN:
        return between(p, c);
    case TAGS_NAME:
        return name(p, c);
    case TAGS_NEXT:
        return next(p, c);
    case TAGS_KEY:
        return key(p, c);
    case TAGS_VALUE_OPEN:
        found = tc_expect(p, c, &t->value_open, 1);
        if (found == 0) p->state = TAGS_VALUE;
        return found == TC_NONE ? TC_BAD : TC_MORE;
    case TAGS_VALUE:
        return value(p, c);
    case TAGS_LOOK:
        return look(p, c);
    case TAGS_CLOSE:
        return close_mark(p, c);
    default:
        r = p->state == TAGS_OBJECT ? tc_object_byte(p, c) : tc_args_byte(p, c);
        if (r == TC_CLOSED) p->state = TAGS_CLOSE;
        return r == TC_BAD ? TC_BAD : TC_MORE;
    }
}

bool tc_tags_end(nb_parser *p) {
    return p->state == TAGS_CLOSE || (p->state == TAGS_BETWEEN && p->section_calls && p->word.len == 0);
}
