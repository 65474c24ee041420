/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the tokenizer share: the loaded form of a tokenizer.json and the text in pieces that encoding
 * works on. Sequences of components are flattened at load: each kind is one array of steps, applied in order. */
#ifndef NB_TEXT_TOK_INTERNAL_H
#define NB_TEXT_TOK_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "text/tokenizer.h"

enum {
    TOK_MAX_DEPTH = 16,          /* of sequences in sequences */
    TOK_MAX_STEPS = 256,         /* components of one kind, sequences counted flat */
    TOK_MAX_CONTENT = 4096,      /* bytes of a pattern, replacement or prefix */
    TOK_MAX_ADDED_LENGTH = 1024, /* bytes of an added token: bounds the work at each byte of a text */
    TOK_MAX_TOKEN = UINT16_MAX,  /* bytes of a token */
    TOK_MAX_TOKENS = 1 << 26,
    TOK_MAX_GAP = 1 << 20, /* ids may leave gaps: up to 8 times the tokens and so many more */
    TOK_MAX_GROWTH = 64,   /* normalizers may make a text at most so many times longer, + TOK_MAX_CONTENT */
};

/* ---- Text in pieces (tok_pieces.c) ---------------------------------------------------------------------------- */

/* A piece of the text under work: bytes [at, at + len) of tok_work.text. `id` >= 0: an added token, done. `zero`: how
 * many of its leading bytes stem from the input's first character; a piece with zero > 0 is what Hugging Face takes
 * for the first one (Metaspace's prepend_scheme "first"). */
typedef struct tok_piece {
    size_t at, len, zero;
    int32_t id;
} tok_piece;

typedef struct tok_span {
    size_t start, end;
    bool hit; /* matched the pattern */
} tok_span;

/* Everything one call of tok_encode owns. Steps read text/pieces and write next/next_pieces, then swap. */
typedef struct tok_work {
    buf text, next;
    tok_piece *pieces, *next_pieces;
    size_t n_pieces, cap_pieces, n_next, cap_next;
    tok_span *spans;
    size_t n_spans, cap_spans;
    void *match_data, *match_context; /* PCRE2's; see tok_regex.c */
    buf stand_in;                     /* the text with other characters in it; see tok_regex.c */
    bool failed;                      /* out of memory somewhere */
} tok_work;

void tok_work_free(tok_work *w);
/* Adds to next_pieces / spans; sets failed. Empty pieces are left out, as Hugging Face does. */
void tok_next_piece(tok_work *w, size_t at, size_t len, size_t zero, int32_t id);
void tok_add_span(tok_work *w, size_t start, size_t end, bool hit);
/* Makes next_pieces the pieces; with_text: next becomes the text, too. */
void tok_swap(tok_work *w, bool with_text);

/* ---- Patterns (tok_regex.c) ----------------------------------------------------------------------------------- */

typedef struct tok_pattern {
    const char *literal; /* for String patterns; owned by the arena */
    size_t literal_len;
    void *code; /* pcre2_code; NULL for literals */
    bool jit;
} tok_pattern;

/* From {"String": ...} or {"Regex": ...}. The regex is Oniguruma's (Ruby syntax) and is translated to PCRE2's. */
nb_status tok_pattern_parse(const cJSON *json, arena *mem, tok_pattern *out, const char *name, nb_error *err);
nb_status tok_pattern_regex(const char *regex, tok_pattern *out, const char *name, nb_error *err);
void tok_pattern_free(tok_pattern *p);
/* Cuts text[0..n) into w->spans (replacing them): matches and what lies between, in order, covering everything. */
nb_status tok_pattern_find(const tok_pattern *p, const char *text, size_t n, tok_work *w, nb_error *err);
/* Oniguruma's regex in PCRE2's spelling, put into `out`. */
nb_status tok_regex_translate(const char *regex, buf *out, const char *name, nb_error *err);

/* ---- Unicode (tok_unicode.c) ---------------------------------------------------------------------------------- */

bool uni_is_space(uint32_t cp); /* White_Space */
bool uni_is_word(uint32_t cp);  /* single_word's \w: Alphabetic, M, Nd, Pc, Join_Control */
/* Tables (tok_tables.c). */
bool uni_is_alnum(uint32_t cp);       /* Whitespace's \w */
bool uni_is_numeric(uint32_t cp);     /* Nd, Nl, No */
bool uni_is_punctuation(uint32_t cp); /* P, and all of ASCII's */
bool uni_is_accent(uint32_t cp);      /* M */
/* For regexes: an older character of the same category and as many bytes, for one that PCRE2's version of Unicode may
 * lack and Hugging Face's regex engine has; other characters are their own. */
uint32_t uni_stand_in(uint32_t cp);
uint32_t uni_late_lower(uint32_t cp); /* the small letter of a capital that came with Unicode 15 or 16, else cp */
bool uni_is_late(uint32_t cp);        /* left alone by all normal forms, against newer versions of Unicode */
/* As utf8_decode, for text that is known to be valid. */
int uni_next(const char *s, size_t n, uint32_t *cp);
/* Start of the character that ends at s[at), at > 0. */
size_t uni_previous(const char *s, size_t at, uint32_t *cp);
/* The GPT-2 alphabet: each byte as a printable character (1 or 2 bytes of UTF-8; returns how many). */
int uni_byte_char(uint8_t byte, char out[2]);
/* The byte that a character of that alphabet stands for, -1 when it is none. */
int uni_char_byte(uint32_t cp);
typedef enum uni_form { UNI_NFC, UNI_NFD, UNI_NFKC, UNI_NFKD } uni_form;
/* Appends the normal form of text[0..n) to `out`; false when out of memory. Time is linear but for sorting marks. */
bool uni_normalize(uni_form form, const char *text, size_t n, buf *out);

/* ---- Steps ---------------------------------------------------------------------------------------------------- */

typedef enum tok_norm_kind {
    NORM_UNICODE,
    NORM_LOWERCASE,
    NORM_STRIP,
    NORM_STRIP_ACCENTS,
    NORM_NMT,
    NORM_REPLACE,
    NORM_PREPEND,
    NORM_BYTE_LEVEL,
    NORM_SENTENCEPIECE
} tok_norm_kind;

typedef struct tok_norm {
    tok_norm_kind kind;
    uni_form form;
    bool left, right;    /* Strip */
    tok_pattern pattern; /* Replace */
    const char *content; /* Replace, Prepend */
    size_t content_len;
    const struct tok_sp_rules *rules; /* SentencePiece */
} tok_norm;

typedef enum tok_behavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS
} tok_behavior;

typedef enum tok_pre_kind {
    PRE_SPLIT,      /* by pattern */
    PRE_CHARS,      /* by a class of characters */
    PRE_WORDS,      /* Whitespace: \w+|[^\w\s]+ */
    PRE_BYTE_LEVEL, /* prefix space and mapping; its regex is a PRE_SPLIT after PRE_SPACE */
    PRE_SPACE,      /* ByteLevel's add_prefix_space */
    PRE_METASPACE,  /* replace and prepend; its split is a PRE_CHARS */
    PRE_FIXED_LENGTH
} tok_pre_kind;

typedef enum tok_prepend { PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS } tok_prepend;

typedef struct tok_pre {
    tok_pre_kind kind;
    tok_behavior behavior;
    bool invert;
    tok_pattern pattern;
    bool (*is)(uint32_t cp); /* PRE_CHARS; NULL: the character `ch` */
    uint32_t ch;             /* PRE_CHARS, and Metaspace's replacement */
    tok_prepend prepend;
    size_t length; /* FixedLength */
} tok_pre;

typedef enum tok_dec_kind {
    DEC_BYTE_LEVEL,
    DEC_BYTE_FALLBACK,
    DEC_METASPACE,
    DEC_FUSE,
    DEC_STRIP,
    DEC_REPLACE,
    DEC_SENTENCEPIECE,
    DEC_JOIN /* no decoder: tokens with a space between them */
} tok_dec_kind;

typedef struct tok_dec {
    tok_dec_kind kind;
    uint32_t ch;         /* Strip's content, Metaspace's replacement */
    size_t start, stop;  /* Strip */
    tok_prepend prepend; /* Metaspace */
    tok_pattern pattern; /* Replace */
    const char *content; /* Replace */
    size_t content_len;
    bool byte_tokens; /* SentencePiece: "<0xHH>" is a byte */
    bool cut_first;   /* SentencePiece: a mark that the text begins with is left out... */
    bool cut_all;     /* ...of each token until there is text */
} tok_dec;

typedef struct tok_added {
    const char *pattern; /* what is looked for: the content, or its normal form */
    size_t len;
    int32_t id;
    uint32_t serial; /* see tok_entry */
    bool single_word, lstrip, rstrip;
} tok_added;

/* Added tokens of one kind, sorted by pattern; those that begin with byte b are [first[b], first[b + 1]). */
typedef struct tok_matcher {
    tok_added *items;
    size_t n;
    uint32_t first[257];
} tok_matcher;

/* ---- Vocabulary and merges (tok_vocab.c) ---------------------------------------------------------------------- */

typedef struct tok_entry {
    const char *text;    /* NULL: no such id */
    const char *decoded; /* what decoding starts from: the text, or an added token's normal form */
    uint32_t len, decoded_len;
    uint32_t serial;       /* which item of added_tokens defined it, from 1; 0: the model's vocabulary */
    bool special, skipped; /* marked special; left out by decoding with skip_special */
} tok_entry;

typedef struct tok_slot {
    const char *text;
    int32_t id;        /* -1: free */
    uint16_t len, tag; /* the tag is a part of the hash: other texts are seldom looked at */
} tok_slot;

typedef struct tok_map {
    tok_slot *slots;
    size_t mask, n;
    uint64_t seed;
} tok_map;

typedef struct tok_merge {
    uint64_t pair; /* left << 32 | right; ~0: free */
    uint32_t rank;
    int32_t id;
} tok_merge;

#define TOK_NO_RANK UINT32_MAX

typedef struct tok_merges {
    tok_merge *slots;
    size_t mask;
    uint64_t seed;
} tok_merges;

uint64_t tok_hash(uint64_t seed, const char *s, size_t n);
/* Room for n entries at a load of at most one half; false when out of memory. */
bool tok_map_init(tok_map *m, arena *mem, size_t n);
/* The id or -1. */
int32_t tok_map_get(const tok_map *m, const char *text, size_t len);
/* The same in two steps, for many texts at once: the hash, with which the slot is on its way from memory; the id. */
uint64_t tok_map_prepare(const tok_map *m, const char *text, size_t len);
int32_t tok_map_find(const tok_map *m, uint64_t hash, const char *text, size_t len);
/* Adds or overwrites (the last one wins). The caller keeps within n of tok_map_init. */
void tok_map_put(tok_map *m, const char *text, uint32_t len, int32_t id);
void tok_merges_prepare(const tok_merges *m, uint64_t pair); /* fetches the slot */
bool tok_merges_init(tok_merges *m, arena *mem, size_t n);
void tok_merges_put(tok_merges *m, const tok_merge *merge);
const tok_merge *tok_merges_get(const tok_merges *m, int32_t left, int32_t right);

/* ---- The tokenizer -------------------------------------------------------------------------------------------- */

enum { TOK_DIRECT_CHARS = 0x250 }; /* characters below have their id in a table (the GPT-2 alphabet and more) */

struct tokenizer {
    arena *mem;
    tok_map vocab;      /* the model's */
    tok_map added_ids;  /* added tokens' contents */
    size_t n_vocab;     /* entries of the model's vocabulary */
    tok_entry *entries; /* n_ids of them */
    int32_t n_ids;
    tok_merges merges;
    int32_t direct[TOK_DIRECT_CHARS];                     /* id of a one-character word, -1 */
    int32_t byte_ids[256];                                /* "<0xHH>", -1 */
    const char *subword_prefix, *word_suffix, *unk_token; /* NULL: none */
    int32_t unk_id;                                       /* -1: none, or not in the vocabulary */
    bool fuse_unk, byte_fallback, ignore_merges;
    tok_norm *norms;
    tok_pre *pres;
    tok_dec *decs;
    size_t n_norms, n_pres, n_decs;
    tok_matcher raw, normalized; /* added tokens looked for before and after normalization */
    int32_t *before, *after;     /* what the post-processor adds */
    size_t n_before, n_after;
    uint32_t n_serials;
};

/* A part of a file's text. */
typedef struct tok_part {
    const char *at; /* NULL: not there */
    size_t n;
} tok_part;
/* Large parts of tokenizer.json (tok_json.c). Finds the values of model.vocab and model.merges; `rest` becomes the
 * text with null in their places. False when that text has no model, or is no JSON: then parsing it says why. */
bool tok_json_cut(const char *json, size_t n, tok_part *vocab, tok_part *merges, buf *rest);
nb_status tok_read_vocab(const tok_part *source, size_t n_added, tokenizer *t, const char *name, nb_error *err);
/* After the vocabulary. */
nb_status tok_read_merges(const tok_part *source, tokenizer *t, const char *name, nb_error *err);

nb_status tok_parse_normalizer(const cJSON *json, tokenizer *t, const char *name, nb_error *err);
nb_status tok_parse_pre_tokenizer(const cJSON *json, tokenizer *t, const char *name, nb_error *err);
nb_status tok_parse_post_processor(const cJSON *json, tokenizer *t, const char *name, nb_error *err);
nb_status tok_parse_decoder(const cJSON *json, tokenizer *t, const char *name, nb_error *err);
/* After the model and the normalizer: ids and patterns depend on both. */
nb_status tok_parse_added(const cJSON *json, tokenizer *t, const char *name, nb_error *err);

/* Building (tok_build.c), for every kind of file. An empty tokenizer; on failure it goes to tok_free. */
nb_status tok_new(tokenizer **out, nb_error *err);
/* Room for n tokens of the model with ids below n_ids, and n_added behind; then each token; then the tables. */
nb_status tok_begin_vocab(tokenizer *t, size_t n, int32_t n_ids, size_t n_added, nb_error *err);
void tok_put_token(tokenizer *t, const char *text, size_t len, int32_t id); /* the text must stay */
void tok_end_vocab(tokenizer *t);
/* The merges, an array of tok_merge in `found`. */
nb_status tok_put_merges(tokenizer *t, const buf *found, nb_error *err);
/* For models without a list of merges: any two tokens merge that together spell a third, the one of the lowest rank
 * first. ranks[id] for all n_ids; TOK_NO_RANK: nothing makes this token; NULL: the id is
 * the rank. Time is quadratic in a token's length. */
nb_status tok_merge_all(tokenizer *t, const uint32_t *ranks, nb_error *err);
/* Added tokens with ids of their own, looked for in the raw text (tok_added.c); at most n. */
nb_status tok_begin_added(tokenizer *t, size_t n, nb_error *err);
nb_status tok_put_added(tokenizer *t, const char *text, size_t len, int32_t id, tok_added flags, bool special,
                        nb_error *err);
void tok_end_added(tokenizer *t);

/* The added tokens that stand beside a model's file (tok_extras.c): those of tokenizer_config.json and
 * added_tokens.json. Strings belong to the JSON. */
typedef struct tok_extra {
    const char *text;
    int32_t id;
    tok_added flags;
    bool special;
} tok_extra;
typedef struct tok_extras {
    tok_extra *items;
    size_t n;
    int32_t n_ids; /* highest id + 1 */
} tok_extras;
nb_status tok_read_extras(const tok_side *side, arena *mem, tok_extras *out, const char *name, nb_error *err);
nb_status tok_put_extras(tokenizer *t, const tok_extras *extras, nb_error *err);

/* Helpers of the parsers. The component's "type"; an error when it is not a string. */
nb_status tok_type_of(const cJSON *json, const char *what, const char **type, const char *name, nb_error *err);
nb_status tok_unknown_type(const char *what, const char *type, const char *name, nb_error *err);
/* The steps of a component: its "field" array if it is a Sequence, else itself; calls `add` for each leaf. */
typedef nb_status (*tok_add_step)(const cJSON *json, const char *type, tokenizer *t, const char *name, nb_error *err);
typedef struct tok_steps {
    int n, depth;
} tok_steps; /* zero at first; TOK_MAX_STEPS and TOK_MAX_DEPTH bound it */
nb_status tok_each_step(const cJSON *json, const char *what, const char *field, tok_steps *steps, tok_add_step add,
                        tokenizer *t, const char *name, nb_error *err);
/* A string member that must be there, copied into the arena. */
nb_status tok_need_str(const cJSON *json, const char *field, arena *mem, const char **out, size_t *len,
                       const char *name, nb_error *err);
/* A member that must be one character. */
nb_status tok_need_char(const cJSON *json, const char *field, uint32_t *out, const char *name, nb_error *err);
nb_status tok_prepend_scheme(const cJSON *json, tok_prepend *out, const char *name, nb_error *err);

/* SentencePiece's normalizer (tok_sp_normalize.c). */
typedef struct tok_sp_rules {
    const uint8_t *units; /* the double array of the charsmap, n_units little-endian words of 4 bytes */
    size_t n_units;
    const char *texts; /* what it leads to: NUL-terminated, n_texts bytes in all, the last one 0 */
    size_t n_texts;
    bool dummy_prefix, first_only; /* a mark in front of each text; of the first one only */
    bool remove_extra, escape;     /* white space: runs become one, none at the ends; spaces become marks */
    const tok_matcher *kept;       /* user-defined symbols, which stay as they are */
} tok_sp_rules;
/* From a precompiled_charsmap, whose bytes must stay. */
nb_status tok_sp_parse_charsmap(const uint8_t *data, size_t n, tok_sp_rules *out, const char *name, nb_error *err);
/* zero: see tok_piece; it is > 0 for the first text. */
void tok_sp_normalize(const tok_sp_rules *r, const buf *text, buf *out, const size_t *zero);

/* Steps of encoding. tok_normalize works on one text: it replaces `text` (and *zero, see tok_piece). */
nb_status tok_normalize(const tokenizer *t, buf *text, size_t *zero, tok_work *w, nb_error *err);
/* The longest token that text[at..n) begins with, or NULL. */
const tok_added *tok_longest_at(const tok_matcher *m, const char *text, size_t at, size_t n);
void tok_match_added(const tok_matcher *m, const tok_piece *piece, tok_work *w);
nb_status tok_pre_tokenize(const tokenizer *t, tok_work *w, nb_error *err);
/* Appends text[0..n) with U+FFFD for each maximal invalid piece. Unless final, an unfinished character at the end
 * stays. Returns how many bytes were used. */
size_t tok_put_lossy(buf *out, const char *text, size_t n, bool final);
nb_status tok_bpe(const tokenizer *t, const tok_work *w, int32_t **ids, size_t *n_ids, nb_error *err);

#endif
