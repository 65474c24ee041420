/* SPDX-License-Identifier: Apache-2.0
 *
 * gpt-oss's harmony format: an answer is a row of messages, each with a header that names a channel (analysis,
 * commentary, final) and maybe a recipient: <|channel|>commentary to=functions.f
 * <|constrain|>json<|message|>{...}<|call|>. The first header begins in the prompt. */
#include <string.h>

#include "text/toolcall_impl.h"

enum {
    H_BEGIN,  /* between messages: a header, or text without one */
    H_HEADER, /* up to <|message|> */
    H_TEXT,
    H_ARGS, /* of a call */
    H_AFTER /* a call: what ends the message */
};

/* What may begin a header; the recipient may come in front of the channel. */
static const char *const begins[] = {"<|channel|>", "<|start|>", "to=", "<|message|>"};
/* What ends a message's text: its own end, or a header. */
static const char *const ends[] = {"<|channel|>", "<|start|>", "<|end|>", "<|return|>", "<|call|>"};
enum { N_BEGINS = 4, N_ENDS = 5, N_HEADERS = 2, MESSAGE = 3 };

const tc_format tc_harmony = {.name = "harmony",
                              .open = "<|channel|>",
                              .close = "<|message|>",
                              .find = {"<|channel|>", "<|message|>"},
                              .more = {"<|start|>", "<|end|>", "<|constrain|>", "<|call|>"}};

static void tell(nb_parser *p, const char *text, size_t n) {
    tc_say(p, p->where == TC_THINK ? NB_EVENT_REASONING : NB_EVENT_TEXT, text, n);
}

static void between_messages(nb_parser *p) {
    tc_clear(p, &p->raw);
    p->state = H_BEGIN;
}

/* What was gathered is text after all; its last bytes are looked at anew. */
static void is_text(nb_parser *p) {
    char again[TC_MAX_NAME];
    size_t n_again = p->again < sizeof again ? p->again : sizeof again, n = p->raw.len - n_again;
    if (p->raw.failed) return;
    memcpy(again, p->raw.data + n, n_again);
    tc_call_drop(p);
    p->where = TC_TEXT;
    p->state = H_TEXT;
    tell(p, p->raw.data, n);
    tc_clear(p, &p->raw);
    for (size_t i = 0; i < n_again; i++) tc_harmony_byte(p, again[i]);
}

/* ---- Headers --------------------------------------------------------------------------------------------------- */

/* The word after a mark in the header; "" when there is none. */
static void word_after(const buf *header, const char *mark, const char **word, size_t *n) {
    const char *at = strstr(header->data, mark);
    *word = at ? at + strlen(mark) : "";
    *n = strcspn(*word, " \t\r\n<");
}

static void header_complete(nb_parser *p) {
    const char *to, *channel;
    size_t n_to, n_channel;
    word_after(&p->raw, "to=", &to, &n_to);
    word_after(&p->raw, "<|channel|>", &channel, &n_channel);
    bool thinks = n_channel == 8 && memcmp(channel, "analysis", 8) == 0;
    if (n_to) {
        static const char prefix[] = "functions.";
        size_t skip = n_to > sizeof prefix - 1 && memcmp(to, prefix, sizeof prefix - 1) == 0 ? sizeof prefix - 1 : 0;
        tc_clear(p, &p->name);
        tc_clear(p, &p->id);
        buf_put(&p->name, to + skip, n_to - skip);
        tc_args_start(p);
        p->state = H_ARGS;
        return;
    }
    p->where = thinks ? TC_THINK : TC_TEXT;
    p->state = H_TEXT;
    tc_clear(p, &p->raw);
}

static void begin_byte(nb_parser *p, char c) {
    int found = tc_expect(p, c, begins, N_BEGINS);
    if (found == TC_NONE) is_text(p);
    if (found == MESSAGE)
        header_complete(p);
    else if (found >= 0)
        p->state = H_HEADER;
}

static void header_byte(nb_parser *p) {
    if (tc_ends_with(&p->raw, begins[MESSAGE]))
        header_complete(p);
    else if (p->raw.len > TC_MAX_NAME + 64)
        is_text(p);
}

/* ---- Messages -------------------------------------------------------------------------------------------------- */

static void text_byte(nb_parser *p, char c) {
    buf_putc(&p->held, c);
    while (p->held.len && !p->held.failed) {
        int found = tc_match(&p->held, ends, N_ENDS);
        if (found == TC_PART) return;
        if (found >= 0) {
            between_messages(p);
            if (found < N_HEADERS) {
                buf_put(&p->raw, p->held.data, p->held.len);
                p->state = H_HEADER;
            }
            tc_clear(p, &p->held);
            return;
        }
        tell(p, p->held.data, 1);
        memmove(p->held.data, p->held.data + 1, p->held.len);
        p->held.len--;
    }
}

static void args_byte(nb_parser *p, char c) {
    tc_result r = tc_args_byte(p, c);
    if (r == TC_BAD) is_text(p);
    if (r == TC_CLOSED) p->state = H_AFTER;
}

static void after_byte(nb_parser *p, char c) {
    int found = tc_expect(p, c, ends, N_ENDS);
    if (found == TC_NONE) is_text(p);
    if (found >= N_HEADERS)
        between_messages(p);
    else if (found >= 0)
        p->state = H_HEADER;
}

void tc_harmony_byte(nb_parser *p, char c) {
    if (p->state == H_TEXT) {
        text_byte(p, c);
        return;
    }
    buf_putc(&p->raw, c);
    p->again = 1;
    if (p->raw.failed) return;
    if (p->raw.len > TC_MAX_CALL)
        is_text(p);
    else if (p->state == H_BEGIN)
        begin_byte(p, c);
    else if (p->state == H_HEADER)
        header_byte(p);
    else if (p->state == H_ARGS)
        args_byte(p, c);
    else
        after_byte(p, c);
}

/* The prompt ends with <|start|>assistant; what it has behind that is the answer's beginning. */
void tc_harmony_start(nb_parser *p, const char *prompt) {
    static const char begin[] = "<|start|>assistant";
    const char *last = NULL;
    for (const char *at = prompt; at && (at = strstr(at, begin)) != NULL; at++) last = at;
    for (last = last ? last + sizeof begin - 1 : NULL; last && *last; last++) tc_harmony_byte(p, *last);
    tc_clear(p, &p->out); /* it was not said in this answer */
}

void tc_harmony_finish(nb_parser *p) {
    p->again = 0;
    if (p->state == H_TEXT)
        tell(p, p->held.data ? p->held.data : "", p->held.len);
    else if (p->state != H_AFTER && p->raw.len)
        is_text(p);
    tc_clear(p, &p->held);
}

bool tc_harmony_outside(const nb_parser *p) {
    return p->state == H_TEXT;
}
