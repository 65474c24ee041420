/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that are a name in front of JSON arguments: Kimi K2's and Mistral's. */
#include <string.h>

#include "text/toolcall_impl.h"

/* Takes the value, up to a mark at its end, as the call's id. */
static void take_id(nb_parser *p, const char *mark) {
    const char *id = p->value.data;
    size_t n = p->value.len - strlen(mark);
    tc_trim(&id, &n);
    tc_clear(p, &p->id);
    buf_put(&p->id, id, n);
}

/* ---- Kimi K2: <|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{...}<|tool_call_end|>, any number
 * --------- */

enum { KIMI_BETWEEN, KIMI_ID, KIMI_ARGS, KIMI_AFTER };

static const char ARGUMENT[] = "<|tool_call_argument_begin|>";

/* "functions.f:0" is the id; "f" is the name. */
static bool kimi_name(nb_parser *p) {
    take_id(p, ARGUMENT);
    if (p->id.failed || p->id.len == 0 || strlen(p->id.data) < p->id.len) return false;
    const char *name = p->id.data, prefix[] = "functions.";
    size_t n = p->id.len, digits = n;
    if (n > sizeof prefix - 1 && memcmp(name, prefix, sizeof prefix - 1) == 0) name += sizeof prefix - 1;
    n -= (size_t)(name - p->id.data);
    digits = n;
    while (digits && tc_digit(name[digits - 1])) digits--;
    if (digits > 1 && digits < n && name[digits - 1] == ':') n = digits - 1;
    tc_clear(p, &p->name);
    buf_put(&p->name, name, n);
    return true;
}

static tc_result kimi_between(nb_parser *p, char c) {
    const char *const marks[] = {"<|tool_call_begin|>", p->format->close};
    bool alone = p->section_calls == 0; /* a single call may come without marks around it */
    int found = tc_expect(p, c, marks, 2);
    if (found == TC_PART) return TC_MORE;
    if (found == 1) return p->section_calls ? TC_CLOSED : TC_BAD;
    if (found == TC_NONE && (!alone || p->again > 1)) return TC_BAD;
    tc_clear(p, &p->value);
    if (found == TC_NONE) buf_putc(&p->value, c);
    p->state = KIMI_ID;
    return TC_MORE;
}

static tc_result kimi_id(nb_parser *p, char c) {
    buf_putc(&p->value, c);
    if (p->value.len > TC_MAX_NAME || p->value.failed) return TC_BAD;
    if (!tc_ends_with(&p->value, ARGUMENT)) return TC_MORE;
    if (!kimi_name(p)) return TC_BAD;
    tc_args_start(p);
    p->state = KIMI_ARGS;
    return TC_MORE;
}

tc_result tc_kimi_byte(nb_parser *p, char c) {
    if (p->state == KIMI_BETWEEN) return kimi_between(p, c);
    if (p->state == KIMI_ID) return kimi_id(p, c);
    if (p->state == KIMI_ARGS) {
        tc_result r = tc_args_byte(p, c);
        if (r == TC_CLOSED) p->state = KIMI_AFTER;
        return r == TC_BAD ? TC_BAD : TC_MORE;
    }
    const char *const marks[] = {"<|tool_call_end|>", p->format->close};
    int found = tc_expect(p, c, marks, 2);
    if (found == 0) {
        tc_clear(p, &p->raw); /* this mark was the last call's */
        p->state = KIMI_BETWEEN;
    }
    return found == 1 ? TC_CLOSED : found == TC_NONE ? TC_BAD : TC_MORE;
}

bool tc_kimi_end(nb_parser *p) {
    return p->state == KIMI_AFTER || (p->state == KIMI_BETWEEN && p->section_calls && p->word.len == 0);
}

/* ---- Mistral: f[ARGS]{...}, any number; or an array of objects
 * ------------------------------------------------------- */

enum { MISTRAL_BETWEEN, MISTRAL_NAME, MISTRAL_MARK, MISTRAL_ID, MISTRAL_ARGS, MISTRAL_LIST };

static const char *const mistral_marks[] = {"[ARGS]", "[CALL_ID]"};

static bool in_name(char c) {
    return tc_alnum(c) || c == '_' || c == '-' || c == '.';
}

/* The name ends at the first byte that is none of its own. */
static tc_result mistral_mark(nb_parser *p, char c) {
    p->state = MISTRAL_MARK;
    int found = tc_expect(p, c, mistral_marks, 2);
    if (found == TC_NONE) return TC_BAD;
    tc_clear(p, &p->value);
    if (found == 0) {
        tc_args_start(p);
        p->state = MISTRAL_ARGS;
    } else if (found == 1) {
        p->state = MISTRAL_ID;
    }
    return TC_MORE;
}

static tc_result mistral_name(nb_parser *p, char c) {
    if (!in_name(c)) return mistral_mark(p, c);
    buf_putc(&p->name, c);
    return p->name.len > TC_MAX_NAME ? TC_BAD : TC_MORE;
}

static tc_result mistral_id(nb_parser *p, char c) {
    buf_putc(&p->value, c);
    if (p->value.len > TC_MAX_NAME) return TC_BAD;
    if (!tc_ends_with(&p->value, mistral_marks[0])) return TC_MORE;
    take_id(p, mistral_marks[0]);
    tc_args_start(p);
    p->state = MISTRAL_ARGS;
    return TC_MORE;
}

static tc_result mistral_between(nb_parser *p, char c) {
    if (tc_space(c)) return TC_MORE;
    if (c == '[' && p->section_calls == 0) {
        tc_object_start(p, false);
        p->state = MISTRAL_LIST;
        return tc_object_byte(p, c);
    }
    if (!in_name(c)) return TC_BAD;
    tc_clear(p, &p->name);
    tc_clear(p, &p->id);
    p->state = MISTRAL_NAME;
    return mistral_name(p, c);
}

tc_result tc_mistral_byte(nb_parser *p, char c) {
    tc_result r;
    switch (p->state) {
    case MISTRAL_BETWEEN:
        return mistral_between(p, c);
    case MISTRAL_NAME:
        return mistral_name(p, c);
    case MISTRAL_MARK:
        return mistral_mark(p, c);
    case MISTRAL_ID:
        return mistral_id(p, c);
    case MISTRAL_LIST:
        return tc_object_byte(p, c);
    default:
        r = tc_args_byte(p, c);
        if (r != TC_CLOSED) return r;
        p->state = MISTRAL_BETWEEN;
        return TC_MORE;
    }
}

bool tc_mistral_end(nb_parser *p) {
    return p->state == MISTRAL_BETWEEN && p->section_calls;
}
