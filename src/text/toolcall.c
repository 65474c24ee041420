/* SPDX-License-Identifier: Apache-2.0
 *
 * The parser of answers: finds the marks of reasoning and of calls in the text, hands what is inside of calls to the
 * format, and gathers bytes into events. */
#include "text/toolcall.h"

#include <stdlib.h>
#include <string.h>

#include "text/toolcall_impl.h"

/* ---- Words and marks ------------------------------------------------------------------------------------------- */

int tc_match(const buf *word, const char *const *marks, size_t n) {
    int result = TC_NONE;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(marks[i], word->data, word->len) != 0) continue;
        if (!marks[i][word->len]) return (int)i;
        result = TC_PART;
    }
    return result;
}

int tc_expect(nb_parser *p, char c, const char *const *marks, size_t n) {
    if (p->word.len == 0 && tc_space(c)) return TC_PART;
    buf_putc(&p->word, c);
    if (p->word.failed) return TC_NONE;
    int found = tc_match(&p->word, marks, n);
    if (found == TC_NONE) p->again = p->word.len;
    if (found != TC_PART) tc_clear(p, &p->word);
    return found;
}

bool tc_ends_with(const buf *b, const char *mark) {
    size_t n = strlen(mark);
    return b->len >= n && memcmp(b->data + b->len - n, mark, n) == 0;
}

void tc_trim(const char **text, size_t *n) {
    while (*n && tc_space(**text)) ++*text, --*n;
    while (*n && tc_space((*text)[*n - 1])) --*n;
}

/* ---- Events ---------------------------------------------------------------------------------------------------- */

void tc_clear(nb_parser *p, buf *b) {
    p->failed |= b->failed;
    buf_clear(b);
}

static void send(nb_parser *p, nb_event_kind kind, const buf *text) {
    if (p->cancelled || p->failed || !p->fn) return;
    bool of_call = kind >= NB_EVENT_CALL_BEGIN;
    nb_event e = {.kind = kind,
                  .text = text && text->data ? text->data : "",
                  .length = text ? text->len : 0,
                  .call = of_call ? p->n_calls : 0,
                  .id = of_call ? p->id.data : NULL,
                  .name = of_call ? p->name.data : NULL};
    if (!p->fn(p->user, &e)) p->cancelled = true;
}

static void flush(nb_parser *p) {
    if (p->out.len) send(p, p->out_kind, &p->out);
    tc_clear(p, &p->out);
}

void tc_say(nb_parser *p, nb_event_kind kind, const char *text, size_t n) {
    if (n == 0) return;
    if (p->out_kind != kind) flush(p);
    p->out_kind = kind;
    buf_put(&p->out, text, n);
}

/* 9 letters and digits, which is what Mistral's templates ask of ids. */
static void make_id(nb_parser *p) {
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t x = p->seed + (uint64_t)p->n_calls * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    for (int i = 0; i < 9; i++, x /= 36) buf_putc(&p->id, digits[x % 36]);
}

void tc_call_begin(nb_parser *p) {
    if (p->id.len == 0) make_id(p);
    flush(p);
    p->failed |= p->id.failed || p->name.failed;
    send(p, NB_EVENT_CALL_BEGIN, NULL);
    p->begun = true;
}

void tc_call_args(nb_parser *p, const char *text, size_t n) {
    tc_say(p, NB_EVENT_CALL_ARGUMENTS, text, n);
    buf_put(&p->args, text, n);
}

/* Nothing is left of the call but its number. */
static void forget_call(nb_parser *p) {
    p->n_calls += p->begun;
    p->begun = false;
    tc_clear(p, &p->name);
    tc_clear(p, &p->id);
    tc_clear(p, &p->args);
}

void tc_call_end(nb_parser *p) {
    flush(p);
    p->failed |= p->args.failed;
    send(p, NB_EVENT_CALL_END, &p->args);
    forget_call(p);
    tc_clear(p, &p->raw);
    p->section_calls++;
    p->base = TC_TEXT;
}

void tc_call_whole(nb_parser *p, const char *args, size_t n) {
    tc_call_begin(p);
    tc_call_args(p, args, n);
    tc_call_end(p);
}

void tc_call_drop(nb_parser *p) {
    if (p->begun) {
        flush(p);
        send(p, NB_EVENT_CALL_BROKEN, NULL);
    }
    forget_call(p);
}

/* ---- Bytes ----------------------------------------------------------------------------------------------------- */

static void take(nb_parser *p, char c);

/* Text or reasoning. */
static void tell(nb_parser *p, const char *text, size_t n) {
    tc_say(p, p->where == TC_THINK ? NB_EVENT_REASONING : NB_EVENT_TEXT, text, n);
    for (size_t i = 0; i < n && p->fresh; i++) p->fresh = tc_space(text[i]);
}

static void enter(nb_parser *p, tc_where where) {
    tc_clear(p, &p->held);
    if (where == TC_CALL) {
        p->base = p->where;
        p->section_calls = p->state = 0;
        tc_clear(p, &p->raw);
        tc_clear(p, &p->word);
        buf_puts(&p->raw, p->format->open);
    } else {
        p->fresh = p->skip_space = true;
    }
    p->where = where;
}

/* The call was none: all of it becomes text but for the last bytes, which are looked at anew. */
static void call_is_bad(nb_parser *p) {
    char again[TC_MAX_NAME];
    size_t n_again = p->again < sizeof again ? p->again : sizeof again, n = p->raw.len - n_again, start = 0;
    memcpy(again, p->raw.data + n, n_again);
    tc_call_drop(p);
    p->where = p->base;
    if (p->section_calls) /* after a call space is layout */
        while (start < n && tc_space(p->raw.data[start])) start++;
    tell(p, p->raw.data + start, n - start);
    tc_clear(p, &p->raw);
    /* At each turn these are fewer bytes than an opening mark and they together, so this comes to an end. */
    for (size_t i = 0; i < n_again; i++) take(p, again[i]);
}

static void take_inside(nb_parser *p, char c) {
    buf_putc(&p->raw, c);
    if (p->raw.failed) return;
    p->again = 1;
    tc_result r = p->raw.len > TC_MAX_CALL ? TC_BAD : p->format->byte(p, c);
    if (r == TC_CLOSED) {
        forget_call(p);
        enter(p, TC_TEXT);
    }
    if (r == TC_BAD && !p->raw.failed) call_is_bad(p);
}

/* Which marks count here; each leads to a place. */
static size_t marks_here(const nb_parser *p, const char *marks[2], tc_where to[2]) {
    size_t n = 0;
    if (p->reasoning && p->where == TC_THINK) marks[n] = p->reasoning->close, to[n++] = TC_TEXT;
    if (p->reasoning && p->where == TC_TEXT && p->fresh) marks[n] = p->reasoning->open, to[n++] = TC_THINK;
    if (p->format) marks[n] = p->format->open, to[n++] = TC_CALL;
    return n;
}

static void take_outside(nb_parser *p, char c) {
    if (p->skip_space && tc_space(c)) return;
    p->skip_space = false;
    buf_putc(&p->held, c);
    while (p->held.len && !p->held.failed) {
        const char *marks[2];
        tc_where to[2];
        int found = tc_match(&p->held, marks, marks_here(p, marks, to));
        if (found == TC_PART) return;
        if (found >= 0) {
            enter(p, to[found]);
            return;
        }
        tell(p, p->held.data, 1);
        memmove(p->held.data, p->held.data + 1, p->held.len); /* with its NUL */
        p->held.len--;
    }
}

static void take(nb_parser *p, char c) {
    if (p->format == &tc_harmony)
        tc_harmony_byte(p, c);
    else if (p->where == TC_CALL)
        take_inside(p, c);
    else
        take_outside(p, c);
}

/* ---- The API --------------------------------------------------------------------------------------------------- */

/* The last place of a text in another; NULL when there is none. */
static const char *find_last(const char *text, const char *what) {
    const char *last = NULL;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++) last = at;
    return last;
}

static uint64_t hash_text(const char *text) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (; text && *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

nb_status tc_parser_new(const tc_options *o, nb_parser **out, nb_error *err) {
    *out = NULL;
    nb_parser *p = calloc(1, sizeof *p);
    if (!p) {
        cJSON_Delete(o->tools);
        return err_no_memory(err, "a parser of answers", sizeof *p);
    }
    bool calls = o->format && (o->tools || o->format == &tc_harmony);
    p->format = calls ? o->format : NULL;
    p->reasoning = o->reasoning;
    p->tools = o->tools;
    p->seed = hash_text(o->prompt);
    p->fresh = true;
    if (p->format == &tc_harmony) {
        tc_harmony_start(p, o->prompt);
    } else if (p->reasoning && o->prompt) {
        /* A generation prompt may end with the opening mark; one that a user wrote has something behind it. */
        const char *open = find_last(o->prompt, p->reasoning->open);
        if (open) {
            open += strlen(p->reasoning->open);
            if (!open[strspn(open, " \t\r\n")]) enter(p, TC_THINK);
        }
    }
    *out = p;
    return NB_OK;
}

void nb_parser_free(nb_parser *p) {
    if (!p) return;
    buf *all[] = {&p->held,  &p->out,  &p->raw, &p->word, &p->key,
                  &p->value, &p->name, &p->id,  &p->args, &p->object.args};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) buf_free(all[i]);
    cJSON_Delete(p->tools);
    free(p);
}

static bool out_of_memory(nb_parser *p) {
    const buf *all[] = {&p->held,  &p->out,  &p->raw, &p->word, &p->key,
                        &p->value, &p->name, &p->id,  &p->args, &p->object.args};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) p->failed |= all[i]->failed;
    return p->failed;
}

static nb_status result_of(nb_parser *p, nb_error *err) {
    if (out_of_memory(p)) return err_no_memory(err, "the answer's text", 0);
    return p->cancelled ? err_set(err, NB_ERR_CANCELLED, "the reader of the answer's events asked to stop") : NB_OK;
}

nb_status nb_parser_put(nb_parser *p, const char *text, size_t n, nb_event_fn fn, void *user, nb_error *err) {
    p->fn = fn;
    p->user = user;
    for (size_t i = 0; i < n && !p->cancelled && !out_of_memory(p); i++) take(p, text[i]);
    if (!out_of_memory(p)) flush(p);
    return result_of(p, err);
}

/* An unfinished call may be complete for all that it lacks its closing mark; else it is text. */
static void finish_call(nb_parser *p) {
    if (p->format->end(p)) return;
    p->again = 0;
    call_is_bad(p);
}

nb_status nb_parser_finish(nb_parser *p, nb_event_fn fn, void *user, nb_error *err) {
    p->fn = fn;
    p->user = user;
    if (p->cancelled || out_of_memory(p)) return result_of(p, err);
    if (p->format == &tc_harmony) {
        tc_harmony_finish(p);
    } else {
        if (p->where == TC_CALL) finish_call(p);
        if (p->held.len) tell(p, p->held.data, p->held.len);
        tc_clear(p, &p->held);
    }
    if (!out_of_memory(p)) flush(p);
    return result_of(p, err);
}

size_t tc_parser_held(const nb_parser *p, const char **bytes, bool *outside) {
    *outside = p->format == &tc_harmony ? tc_harmony_outside(p) : p->where != TC_CALL;
    const buf *held = *outside ? &p->held : &p->raw;
    *bytes = held->data ? held->data : "";
    return held->len;
}
