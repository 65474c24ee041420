/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON byte by byte (RFC 8259), so that arguments can be passed on while they are written: what was taken so far is
 * always the beginning of a valid text. Calls that are JSON objects stand here too. */
#include <string.h>

#include "text/toolcall_impl.h"

/* ---- The automaton --------------------------------------------------------------------------------------------- */

enum {
    J_VALUE, /* a value is expected */
    J_ITEM,  /* after '[': a value or ']' */
    J_KEY1,  /* after '{': a key or '}' */
    J_KEY,
    J_COLON,
    J_AFTER, /* a value inside of something is complete */
    J_STRING,
    J_ESCAPE,
    J_HEX,
    J_LITERAL,
    J_MINUS, /* of numbers: what was read last */
    J_ZERO,
    J_INTEGER,
    J_POINT,
    J_FRACTION,
    J_E,
    J_E_SIGN,
    J_EXPONENT,
    J_DONE
};

static void value_done(tc_json *j) {
    j->state = j->depth ? J_AFTER : J_DONE;
}

static bool in_object(const tc_json *j) {
    int d = j->depth - 1;
    return d >= 0 && (j->objects[d / 8] >> (d % 8) & 1);
}

static bool open_bracket(tc_json *j, bool object) {
    if (j->depth == TC_MAX_DEPTH) return false;
    uint8_t bit = (uint8_t)(1u << (j->depth % 8));
    uint8_t *byte = &j->objects[j->depth / 8];
    *byte = object ? *byte | bit : *byte & (uint8_t)~bit;
    j->depth++;
    j->state = object ? J_KEY1 : J_ITEM;
    return true;
}

static bool close_bracket(tc_json *j, bool object) {
    if (!j->depth || in_object(j) != object) return false;
    j->depth--;
    value_done(j);
    return true;
}

static bool start_literal(tc_json *j, const char *rest) {
    j->literal = rest;
    j->state = J_LITERAL;
    return true;
}

static bool start_value(tc_json *j, char c) {
    j->part = true;
    j->key = false;
    switch (c) {
    case '{':
        return open_bracket(j, true);
    case '[':
        return open_bracket(j, false);
    case ']':
        return j->state == J_ITEM && close_bracket(j, false);
    case '"':
        j->state = J_STRING;
        return true;
    case 't':
        return start_literal(j, "rue");
    case 'f':
        return start_literal(j, "alse");
    case 'n':
        return start_literal(j, "ull");
    case '-':
        j->state = J_MINUS;
        return true;
    default:
        j->state = c == '0' ? J_ZERO : J_INTEGER;
        return tc_digit(c);
    }
}

/* Whether c goes on with the number. */
static bool number_goes_on(tc_json *j, char c) {
    int s = j->state;
    if (tc_digit(c)) {
        if (s == J_ZERO) return false;
        j->state = s == J_MINUS                      ? (c == '0' ? J_ZERO : J_INTEGER)
                   : s == J_POINT || s == J_FRACTION ? J_FRACTION
                   : s == J_INTEGER                  ? J_INTEGER
                                                     : J_EXPONENT;
        return true;
    }
    if (c == '.' && (s == J_ZERO || s == J_INTEGER))
        j->state = J_POINT;
    else if ((c == 'e' || c == 'E') && (s == J_ZERO || s == J_INTEGER || s == J_FRACTION))
        j->state = J_E;
    else if ((c == '+' || c == '-') && s == J_E)
        j->state = J_E_SIGN;
    else
        return false;
    return true;
}

static bool number_complete(int s) {
    return s == J_ZERO || s == J_INTEGER || s == J_FRACTION || s == J_EXPONENT;
}

static bool in_string(tc_json *j, char c) {
    j->part = true;
    if (j->state == J_HEX) {
        if (!tc_digit(c) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'f')) return false;
        if (--j->hex == 0) j->state = J_STRING;
    } else if (j->state == J_ESCAPE) {
        if (!c || !strchr("\"\\/bfnrtu", c)) return false;
        j->state = c == 'u' ? J_HEX : J_STRING;
        j->hex = 4;
    } else if (c == '\\') {
        j->state = J_ESCAPE;
    } else if (c == '"') {
        if (j->key)
            j->state = J_COLON;
        else
            value_done(j);
    }
    return true;
}

static bool in_literal(tc_json *j, char c) {
    j->part = true;
    if (c != *j->literal) return false;
    if (!*++j->literal) value_done(j);
    return true;
}

/* What may stand between values. */
static bool between(tc_json *j, char c) {
    switch (j->state) {
    case J_VALUE:
    case J_ITEM:
        return start_value(j, c);
    case J_KEY1:
    case J_KEY:
        j->part = true;
        j->key = c == '"';
        if (c == '}') return j->state == J_KEY1 && close_bracket(j, true);
        j->state = J_STRING;
        return c == '"';
    case J_COLON:
        j->state = J_VALUE;
        return c == ':';
    case J_AFTER:
        if (c == ',') {
            j->state = in_object(j) ? J_KEY : J_VALUE;
            return true;
        }
        j->part = true;
        j->key = false;
        return (c == '}' || c == ']') && close_bracket(j, c == '}');
    default:
        return false;
    }
}

bool tc_json_byte(tc_json *j, char c) {
    j->part = false;
    if (j->state == J_STRING || j->state == J_ESCAPE || j->state == J_HEX) return in_string(j, c);
    if (j->state == J_LITERAL) return in_literal(j, c);
    if (j->state >= J_MINUS && j->state <= J_EXPONENT) {
        if (number_goes_on(j, c)) {
            j->part = true;
            return true;
        }
        if (!number_complete(j->state)) return false;
        value_done(j);
    }
    return tc_space(c) || between(j, c);
}

bool tc_json_done(const tc_json *j) {
    return j->state == J_DONE;
}

void tc_json_put(buf *out, const tc_json *before, char c) {
    if (before->state != J_STRING || (unsigned char)c >= 0x20)
        buf_putc(out, c);
    else if (c == '\n')
        buf_puts(out, "\\n");
    else
        buf_printf(out, "\\u%04x", (unsigned)(unsigned char)c);
}

bool tc_json_copy(const char *text, size_t n, buf *out) {
    size_t start = out->len;
    tc_json j = {0};
    tc_trim(&text, &n);
    for (size_t i = 0; i < n; i++) {
        tc_json before = j;
        if (!tc_json_byte(&j, text[i])) {
            n = 0; /* no JSON */
            break;
        }
        tc_json_put(out, &before, text[i]);
    }
    if (n && (tc_json_done(&j) || (j.depth == 0 && number_complete(j.state)))) return true;
    if (out->len > start) out->data[out->len = start] = 0;
    return false;
}

/* ---- Arguments that are streamed ------------------------------------------------------------------------------- */

void tc_args_start(nb_parser *p) {
    p->json = (tc_json){0};
}

/* Passes on a byte of the arguments. */
static void stream_byte(nb_parser *p, const tc_json *before, char c) {
    buf piece = {0};
    if (before->state == J_STRING && (unsigned char)c < 0x20) {
        tc_json_put(&piece, before, c);
        if (piece.failed) p->failed = true;
        tc_call_args(p, piece.data ? piece.data : "", piece.len);
        buf_free(&piece);
    } else {
        tc_call_args(p, &c, 1);
    }
}

tc_result tc_args_byte(nb_parser *p, char c) {
    tc_json before = p->json;
    if (before.depth == 0 && !tc_space(c)) {
        if (c != '{') return TC_BAD;
        tc_call_begin(p);
    }
    if (!tc_json_byte(&p->json, c)) return TC_BAD;
    if (p->json.depth || before.depth) stream_byte(p, &before, c);
    if (!tc_json_done(&p->json)) return TC_MORE;
    tc_call_end(p);
    return TC_CLOSED;
}

/* ---- Calls that are objects ------------------------------------------------------------------------------------ */

enum { M_OTHER, M_NAME, M_ARGS, M_ID };

/* The text of a JSON string; false when out of memory. */
static bool decode(nb_parser *p, const buf *json, buf *out) {
    cJSON *s = cJSON_ParseWithLength(json->data, json->len);
    const char *text = cJSON_GetStringValue(s);
    tc_clear(p, out);
    buf_puts(out, text ? text : "");
    p->failed |= out->failed;
    cJSON_Delete(s);
    return text != NULL;
}

void tc_object_start(nb_parser *p, bool may_stream) {
    p->json = (tc_json){0};
    p->object.may_stream = may_stream;
    p->object.base = 0;
}

static void object_opens(nb_parser *p) {
    tc_clear(p, &p->key);
    tc_clear(p, &p->name);
    tc_clear(p, &p->id);
    tc_clear(p, &p->object.args);
    p->object.in_value = p->object.has_name = p->object.has_args = p->object.stream = false;
}

static tc_result object_closes(nb_parser *p) {
    if (!p->object.has_name) return TC_BAD;
    if (p->object.stream)
        tc_call_end(p);
    else if (p->object.has_args)
        tc_call_whole(p, p->object.args.data, p->object.args.len);
    else
        tc_call_whole(p, "{}", 2);
    return p->object.base ? TC_MORE : TC_CLOSED;
}

static int member_of(const buf *key) {
    static const struct {
        const char *key;
        int member;
    } members[] = {{"\"name\"", M_NAME}, {"\"arguments\"", M_ARGS}, {"\"parameters\"", M_ARGS}, {"\"id\"", M_ID}};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (key->len && strcmp(key->data, members[i].key) == 0) return members[i].member;
    return M_OTHER;
}

/* The first byte of a member's value. */
static bool member_begins(nb_parser *p, char c) {
    p->object.in_value = true;
    p->object.member = member_of(&p->key);
    tc_clear(p, &p->value);
    if (p->object.member == M_NAME) return c == '"' && !p->object.has_name;
    if (p->object.member != M_ARGS) return true;
    if (p->object.has_args || !strchr("{\"n", c)) return false;
    p->object.has_args = true;
    p->object.stream = c == '{' && p->object.has_name && p->object.may_stream;
    if (p->object.stream) tc_call_begin(p);
    return true;
}

/* The value of a member that is not streamed is complete. */
static bool member_ends(nb_parser *p) {
    buf *v = &p->value;
    if (p->object.member == M_NAME) return p->object.has_name = decode(p, v, &p->name) && p->name.len > 0;
    if (p->object.member == M_ID) {
        if (!p->begun && v->data[0] == '"') decode(p, v, &p->id);
        return true;
    }
    if (p->object.member != M_ARGS || p->object.stream) return true;
    buf text = {0};
    bool is_text = v->data[0] == '"' && decode(p, v, &text); /* some templates write the object as a string */
    const buf *from = is_text ? &text : v;
    bool ok = v->data[0] == 'n' || tc_json_copy(from->data, from->len, &p->object.args);
    if (v->data[0] == 'n') buf_puts(&p->object.args, "{}");
    ok = ok && p->object.args.len && p->object.args.data[0] == '{';
    buf_free(&text);
    return ok;
}

/* A byte of a value whose member is known. */
static void keep_byte(nb_parser *p, const tc_json *before, char c) {
    if (p->object.stream && p->object.member == M_ARGS)
        stream_byte(p, before, c);
    else if (p->object.member != M_OTHER)
        tc_json_put(&p->value, before, c);
}

static tc_result member_byte(nb_parser *p, const tc_json *before, char c) {
    const int level = p->object.base + 1;
    if (before->depth == level && p->json.key) {
        if (p->object.in_value) tc_clear(p, &p->key);
        p->object.in_value = false;
        buf_putc(&p->key, c);
        return TC_MORE;
    }
    if (!p->object.in_value && !member_begins(p, c)) return TC_BAD;
    keep_byte(p, before, c);
    if (p->value.failed || p->object.args.failed) return TC_BAD;
    bool ended = p->json.depth == level && p->json.state == J_AFTER;
    return ended && p->value.len && !member_ends(p) ? TC_BAD : TC_MORE;
}

tc_result tc_object_byte(nb_parser *p, char c) {
    tc_json before = p->json, *j = &p->json;
    if (!tc_json_byte(j, c)) return TC_BAD;
    const int base = p->object.base;
    if (!j->part) {
        if (before.depth > base + 1) keep_byte(p, &before, c);
        return TC_MORE;
    }
    if (before.depth == 0 && c == '[') {
        p->object.base = 1;
        return TC_MORE;
    }
    if (before.depth == base) {
        if (base && j->depth < base) return p->section_calls ? TC_CLOSED : TC_BAD;
        object_opens(p);
        return c == '{' ? TC_MORE : TC_BAD;
    }
    if (before.depth == base + 1 && j->depth == base) return object_closes(p);
    return member_byte(p, &before, c);
}

/* ---- json_tools ------------------------------------------------------------------------------------------------ */

enum { JSON_START, JSON_INSIDE, JSON_AFTER };

tc_result tc_json_tools_byte(nb_parser *p, char c) {
    if (p->state == JSON_AFTER) {
        if (p->word.len || (c != '{' && c != '[')) {
            int found = tc_expect(p, c, &p->format->close, 1);
            return found == 0 ? TC_CLOSED : found == TC_PART ? TC_MORE : TC_BAD;
        }
        p->state = JSON_START; /* one more object */
    }
    if (p->state == JSON_START) {
        tc_object_start(p, true);
        p->state = JSON_INSIDE;
    }
    tc_result r = tc_object_byte(p, c);
    if (r != TC_CLOSED) return r;
    p->state = JSON_AFTER;
    return TC_MORE;
}

bool tc_json_tools_end(nb_parser *p) {
    return p->state == JSON_AFTER;
}
