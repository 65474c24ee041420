/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the tool-call parser share. Every part is an automaton that takes one byte at a time and decides
 * by the bytes so far alone, so the events cannot depend on how the answer was cut into pieces. */
#ifndef NB_TEXT_TOOLCALL_IMPL_H
#define NB_TEXT_TOOLCALL_IMPL_H

#include <stdint.h>

#include "base/buf.h"
#include "text/toolcall.h"

enum {
    TC_MAX_CALL = 16 << 20, /* bytes of one call; what is longer is no call */
    TC_MAX_NAME = 256,      /* bytes of names, ids and of what announces a call */
    TC_MAX_DEPTH = 128      /* of nested values */
};

static inline bool tc_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static inline bool tc_digit(char c) {
    return c >= '0' && c <= '9';
}

static inline bool tc_alnum(char c) {
    return tc_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* ---- JSON as it comes (toolcall_json.c) ------------------------------------------------------------------------ */

typedef struct tc_json {
    uint8_t state, hex;
    bool part; /* the last byte belongs to a value or key, not to the space, commas and colons between them */
    bool key;  /* the string that is being read is a key */
    int depth;
    const char *literal; /* what is left of true, false, null */
    uint8_t objects[TC_MAX_DEPTH / 8];
} tc_json;

/* False when no JSON text begins like this. {0} is the beginning. Control characters in strings are let through. */
bool tc_json_byte(tc_json *j, char c);
bool tc_json_done(const tc_json *j); /* an object, array, string or literal is complete */
/* Adds the byte that tc_json_byte has just taken; a control character in a string as an escape. */
void tc_json_put(buf *out, const tc_json *before, char c);
/* Adds the text, without the space around it, if it is one JSON value. */
bool tc_json_copy(const char *text, size_t n, buf *out);

/* ---- Formats --------------------------------------------------------------------------------------------------- */

typedef enum tc_result {
    TC_MORE,
    TC_BAD,   /* this is no call: its bytes become text, the last `again` of them are looked at anew */
    TC_CLOSED /* the calls that the opening mark announced are complete */
} tc_result;

/* How calls are spelled that are made of marks around names and values. */
typedef struct tc_tags {
    const char *call_open, *call_close; /* "": none */
    const char *key_open, *key_close;
    const char *value_open, *value_close;
    bool quoted;      /* names stand in quotation marks */
    bool keep_space;  /* of a value only one newline at each end is layout, not all space */
    bool null_always; /* "null" is null whatever the schema says */
    bool untyped_any; /* a value without a schema is read as JSON if it is JSON; else it is a string */
} tc_tags;

struct tc_format {
    const char *name;
    const char *open, *close; /* the marks around calls; close "": none */
    const char *find[2];      /* what a template must hold; the second may be NULL */
    const char *more[4];      /* marks inside calls, NULL after the last */
    /* The next byte of what follows the opening mark. */
    tc_result (*byte)(nb_parser *p, char c);
    /* Whether the calls are complete when the answer ends here. May emit them. */
    bool (*end)(nb_parser *p);
    const tc_tags *tags;
    const char *quote; /* what strings stand in */
    bool either;       /* one of `find` is enough */
};

/* ---- The parser ------------------------------------------------------------------------------------------------ */

typedef enum tc_where { TC_TEXT, TC_THINK, TC_CALL } tc_where;

struct nb_parser {
    const tc_format *format;
    const tc_reasoning *reasoning;
    cJSON *tools;
    uint64_t seed; /* of ids */
    nb_event_fn fn;
    void *user;
    bool cancelled, failed; /* failed: no memory */

    tc_where where, base; /* base: where a call began, and where its text goes when it is none */
    bool fresh;           /* only space since the beginning or the last mark: reasoning may open */
    bool skip_space;      /* after a mark: space is layout */
    buf held;             /* may be the beginning of a mark */
    buf out;              /* text of the next event */
    nb_event_kind out_kind;

    /* Inside of calls. */
    buf raw;           /* all bytes since the opening mark, or since the last complete call */
    int section_calls; /* complete since the opening mark */
    size_t again;      /* see TC_BAD */
    int state;         /* of the format's automaton; 0 at first */
    buf word;          /* may be the beginning of a mark */
    buf key, value;    /* what is being read */
    size_t value_end;  /* of `value`: where it ends if what follows is a mark */

    /* The call. */
    int n_calls;
    bool begun; /* its beginning was told */
    buf name, id, args;

    tc_json json;
    struct { /* toolcall_json.c: a call that is an object */
        int base, member;
        bool may_stream, in_value, has_name, has_args, stream;
        buf args;
    } object;
};

/* Of n marks the one that the word is; TC_PART when it is the beginning of one, else TC_NONE. */
enum { TC_NONE = -2, TC_PART = -1 };
int tc_match(const buf *word, const char *const *marks, size_t n);
/* Expects one of n marks, after any space: takes a byte, answers as tc_match, and on TC_NONE sets `again`. */
int tc_expect(nb_parser *p, char c, const char *const *marks, size_t n);
bool tc_ends_with(const buf *b, const char *mark);
void tc_trim(const char **text, size_t *n);

/* buf_clear that does not forget a failure. */
void tc_clear(nb_parser *p, buf *b);

/* Adds to the event that is being gathered. */
void tc_say(nb_parser *p, nb_event_kind kind, const char *text, size_t n);
/* The call in name and id (empty: one is made) begins, has arguments, is complete. */
void tc_call_begin(nb_parser *p);
void tc_call_args(nb_parser *p, const char *text, size_t n);
void tc_call_end(nb_parser *p);
void tc_call_whole(nb_parser *p, const char *args, size_t n);
/* What began as a call is none: says so if it was told; its bytes but the last `again` are the caller's to say. */
void tc_call_drop(nb_parser *p);

/* toolcall_json.c */
/* A JSON object that is streamed as the arguments of the call in name and id. TC_CLOSED: complete. */
void tc_args_start(nb_parser *p);
tc_result tc_args_byte(nb_parser *p, char c);
/* {"name", "arguments"} or an array of such. may_stream: the arguments are told as they come, with an id that is known
 * by then; else when the call is complete, with the id that may follow them. TC_CLOSED: complete. */
void tc_object_start(nb_parser *p, bool may_stream);
tc_result tc_object_byte(nb_parser *p, char c);
tc_result tc_json_tools_byte(nb_parser *p, char c);
bool tc_json_tools_end(nb_parser *p);

/* toolcall_header.c: a name in front of JSON */
tc_result tc_kimi_byte(nb_parser *p, char c);
bool tc_kimi_end(nb_parser *p);
tc_result tc_mistral_byte(nb_parser *p, char c);
bool tc_mistral_end(nb_parser *p);

/* toolcall_tags.c */
tc_result tc_tags_byte(nb_parser *p, char c);
bool tc_tags_end(nb_parser *p);

/* toolcall_literal.c: calls that are read when they are complete */
tc_result tc_gemma_byte(nb_parser *p, char c);
bool tc_gemma_end(nb_parser *p);
tc_result tc_pythonic_byte(nb_parser *p, char c);
bool tc_pythonic_end(nb_parser *p);
/* Adds a Python literal as JSON; false when it is none. */
bool tc_python_literal(const char *text, size_t n, buf *out);

/* toolcall_types.c */
/* Adds text as the JSON value that the schema of this function's parameter asks for; a string where it does not fit. */
void tc_put_typed(const nb_parser *p, const buf *function, const buf *parameter, const char *text, size_t n,
                  bool null_always, bool untyped_any, buf *out);

/* toolcall_harmony.c: a format of whole answers */
extern const tc_format tc_harmony;
void tc_harmony_start(nb_parser *p, const char *prompt);
void tc_harmony_byte(nb_parser *p, char c);
void tc_harmony_finish(nb_parser *p);
bool tc_harmony_outside(const nb_parser *p);

#endif
