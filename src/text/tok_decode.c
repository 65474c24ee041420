/* SPDX-License-Identifier: Apache-2.0
 *
 * Decoding, at once and streaming, by the same code. The decoders of tokenizer.json map a list of tokens to another
 * list; here each one is a stage that passes on what it can already tell: a token begins, gets bytes (always whole
 * characters), ends. Only what later tokens could still change is held back. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tok_internal.h"

#define REPLACEMENT "\xef\xbf\xbd"
#define SP_MARK     "\xe2\x96\x81"

/* ---- From tokenizer.json -------------------------------------------------------------------------------------- */

static nb_status add_dec(const cJSON *json, const char *type, tokenizer *t, const char *name, nb_error *err) {
    static const struct {
        const char *type;
        tok_dec_kind kind;
    } kinds[] = {{"ByteLevel", DEC_BYTE_LEVEL}, {"ByteFallback", DEC_BYTE_FALLBACK},
                 {"Metaspace", DEC_METASPACE},  {"Fuse", DEC_FUSE},
                 {"Strip", DEC_STRIP},          {"Replace", DEC_REPLACE}};
    size_t k = 0, n_kinds = sizeof kinds / sizeof kinds[0];
    while (k < n_kinds && strcmp(kinds[k].type, type) != 0) k++;
    if (k == n_kinds) return tok_unknown_type("decoder", type, name, err);
    tok_dec *step = &t->decs[t->n_decs++];
    *step = (tok_dec){.kind = kinds[k].kind};
    nb_status status = NB_OK;
    int64_t start = 0, stop = 0;
    switch (step->kind) {
    case DEC_METASPACE:
        status = tok_need_char(json, "replacement", &step->ch, name, err);
        return status ? status : tok_prepend_scheme(json, &step->prepend, name, err);
    case DEC_STRIP:
        status = tok_need_char(json, "content", &step->ch, name, err);
        if (!status) status = json_int(json, "start", 0, INT32_MAX, &start, NULL, name, err);
        if (!status) status = json_int(json, "stop", 0, INT32_MAX, &stop, NULL, name, err);
        step->start = (size_t)start;
        step->stop = (size_t)stop;
        return status;
    case DEC_REPLACE:
        status = tok_pattern_parse(json_get(json, "pattern"), t->mem, &step->pattern, name, err);
        if (status) return status;
        return tok_need_str(json, "content", t->mem, &step->content, &step->content_len, name, err);
    default:
        return NB_OK;
    }
}

nb_status tok_parse_decoder(const cJSON *json, tokenizer *t, const char *name, nb_error *err) {
    t->decs = arena_zalloc(t->mem, TOK_MAX_STEPS, sizeof *t->decs);
    if (!t->decs) return err_no_memory(err, "the decoder", 0);
    if (!json) {
        t->decs[t->n_decs++] = (tok_dec){.kind = DEC_JOIN};
        return NB_OK;
    }
    tok_steps steps = {0};
    return tok_each_step(json, "decoder", "decoders", &steps, add_dec, t, name, err);
}

/* ---- Stages --------------------------------------------------------------------------------------------------- */

typedef struct stage {
    const tok_dec *step; /* NULL: the last stage, the text itself */
    tok_stream *stream;
    buf held;                   /* of the token that is open above, or bytes that make no character yet */
    buf run;                    /* ByteFallback, ByteLevel: bytes in waiting */
    size_t n_tokens;            /* that began */
    size_t cut;                 /* Strip: how many may still go at the start */
    size_t pending;             /* Strip: characters held back that may be the end */
    bool open;                  /* a token is open below that later tokens continue */
    bool texted, marked, begun; /* SentencePiece: text went out, a first mark was left out, one of the two */
} stage;

struct tok_stream {
    const tokenizer *t;
    bool skip_special;
    const int32_t *kept; /* [n_kept] special tokens that are not skipped */
    size_t n_kept;
    bool exact; /* a run of byte tokens waits until it is whole: if any of it is invalid, all of it is */
    bool failed;
    buf text;
    tok_work work;
    nb_error err;
    stage stages[]; /* t->n_decs + 1 */
};

static void begin(stage *s);
static void bytes(stage *s, const char *text, size_t n);
static void end(stage *s);

static void whole_token(stage *s, const char *text, size_t n) {
    begin(s);
    bytes(s, text, n);
    end(s);
}

/* Opens the token below that all further tokens continue. */
static void keep_open(stage *s) {
    if (!s->open) begin(s + 1);
    s->open = true;
}

static void close_open(stage *s) {
    if (s->open) end(s + 1);
    s->open = false;
}

size_t tok_put_lossy(buf *out, const char *text, size_t n, bool final) {
    size_t i = 0;
    while (i < n) {
        uint32_t cp;
        size_t length = (size_t)utf8_decode(text + i, n - i, &cp);
        if (length) {
            buf_put(out, text + i, length);
            i += length;
            continue;
        }
        size_t bad = 1; /* the longest beginning of a character that is there */
        while (bad < n - i && utf8_incomplete_tail(text + i, bad + 1) == bad + 1) bad++;
        if (bad == n - i && !final && utf8_incomplete_tail(text + i, bad) == bad) break;
        buf_puts(out, REPLACEMENT);
        i += bad;
    }
    return i;
}

/* Passes on the characters of s->run that are complete (all of it, one way or the other, when final). */
static void pass_run(stage *s, bool final) {
    buf text = {0};
    size_t used = tok_put_lossy(&text, s->run.data ? s->run.data : "", s->run.len, final);
    if (text.failed) s->stream->failed = true;
    if (text.len) {
        keep_open(s);
        bytes(s + 1, text.data, text.len);
    }
    if (used) {
        memmove(s->run.data, s->run.data + used, s->run.len - used);
        s->run.len -= used;
    }
    buf_free(&text);
}

/* A token of the GPT-2 alphabet is its bytes; a token with any other character (an added one) is itself. */
static void end_byte_level(stage *s) {
    size_t before = s->run.len;
    for (size_t i = 0; i < s->held.len;) {
        uint32_t cp;
        i += (size_t)uni_next(s->held.data + i, s->held.len - i, &cp);
        int byte = uni_char_byte(cp);
        if (byte < 0) {
            s->run.len = before;
            buf_put(&s->run, s->held.data, s->held.len);
            break;
        }
        buf_putc(&s->run, (char)byte);
    }
    pass_run(s, false);
}

/* The byte of "<0xHH>", -1 for other tokens. */
static int fallback_byte(const char *text, size_t n) {
    if (n != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    unsigned char a = (unsigned char)text[3], b = (unsigned char)text[4];
    if (!isxdigit(b) || (!isxdigit(a) && a != '+')) return -1; /* Rust's number parser takes a plus sign */
    int high = a == '+' ? 0 : isdigit(a) ? a - '0' : tolower(a) - 'a' + 10;
    return high * 16 + (isdigit(b) ? b - '0' : tolower(b) - 'a' + 10);
}

/* The run of byte tokens is over. Valid: one token. Not: a U+FFFD token for each of its bytes. */
static void end_run(stage *s) {
    bool valid = utf8_valid(s->run.data ? s->run.data : "", s->run.len);
    if (valid && s->run.len) {
        keep_open(s);
        bytes(s + 1, s->run.data, s->run.len);
    }
    close_open(s);
    for (size_t i = 0; !valid && i < s->run.len; i++) whole_token(s + 1, REPLACEMENT, 3);
    s->run.len = 0;
}

static void end_byte_fallback(stage *s) {
    int byte = fallback_byte(s->held.data ? s->held.data : "", s->held.len);
    if (byte < 0) {
        end_run(s);
        whole_token(s + 1, s->held.data ? s->held.data : "", s->held.len);
        return;
    }
    buf_putc(&s->run, (char)byte);
    uint32_t cp;
    if (s->stream->exact || s->run.failed) return;
    /* Streaming: a character goes out as soon as it is whole. */
    size_t n = s->run.len;
    if ((size_t)utf8_decode(s->run.data, n, &cp) == n) {
        keep_open(s);
        bytes(s + 1, s->run.data, n);
        s->run.len = 0;
    } else if (utf8_incomplete_tail(s->run.data, n) != n) {
        end_run(s);
    }
}

/* Characters that are complete; each byte that belongs to none becomes U+FFFD. */
static void pass_sp_run(stage *s, bool final) {
    size_t i = 0;
    while (i < s->run.len) {
        uint32_t cp;
        size_t n = s->run.len - i, length = (size_t)utf8_decode(s->run.data + i, n, &cp);
        if (!length && !final && utf8_incomplete_tail(s->run.data + i, n) == n) break;
        bytes(s + 1, length ? s->run.data + i : REPLACEMENT, length ? length : 3);
        s->texted = true;
        i += length ? length : 1;
    }
    if (i) memmove(s->run.data, s->run.data + i, s->run.len - i);
    s->run.len -= i;
}

/* Marks become spaces. The one that the text begins with stands for no space, as the encoder puts it there. */
static void end_sentencepiece(stage *s) {
    const char *text = s->held.data ? s->held.data : "";
    size_t n = s->held.len;
    int byte = s->step->byte_tokens ? fallback_byte(text, n) : -1;
    if (byte >= 0) buf_putc(&s->run, (char)byte);
    if (s->run.failed) return;
    pass_sp_run(s, byte < 0);
    if (byte >= 0) return;
    if (s->texted || s->marked) s->begun = true;
    s->marked = false;
    if (!s->begun && s->step->cut_first && n >= 3 && memcmp(text, SP_MARK, 3) == 0) {
        s->marked = !s->step->cut_all;
        text += 3;
        n -= 3;
    }
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t length = (size_t)uni_next(text + i, n - i, &cp);
        bytes(s + 1, cp == 0x2581 ? " " : text + i, cp == 0x2581 ? 1 : length);
        s->texted = true;
        i += length;
    }
}

static void bytes_metaspace(stage *s, const char *text, size_t n) {
    bool first = s->n_tokens == 1 && s->step->prepend != PREPEND_NEVER;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t length = (size_t)uni_next(text + i, n - i, &cp);
        if (cp != s->step->ch)
            bytes(s + 1, text + i, length);
        else if (!first)
            bytes(s + 1, " ", 1);
        i += length;
    }
}

static void bytes_strip(stage *s, const char *text, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t length = (size_t)uni_next(text + i, n - i, &cp);
        const char *at = text + i;
        i += length;
        bool content = cp == s->step->ch;
        if (content && s->cut) {
            s->cut--;
            continue;
        }
        s->cut = 0;
        if (content && s->pending < s->step->stop) {
            s->pending++;
            continue;
        }
        char mark[4];
        size_t n_mark = (size_t)utf8_encode(s->step->ch, mark);
        for (; !content && s->pending; s->pending--) bytes(s + 1, mark, n_mark);
        bytes(s + 1, at, length);
    }
}

/* Replaces in what is held; a literal's possible beginning at the end waits unless final, a regex waits for all. */
static void pass_replaced(stage *s, bool final) {
    const tok_pattern *p = &s->step->pattern;
    tok_work *w = &s->stream->work;
    size_t safe = s->held.len;
    if (!final) {
        if (p->code || !p->literal_len || safe < p->literal_len) return;
        safe -= p->literal_len - 1;
        while (safe > 0 && ((unsigned char)s->held.data[safe] & 0xc0) == 0x80) safe--;
    }
    if (tok_pattern_find(p, s->held.data ? s->held.data : "", s->held.len, w, &s->stream->err)) {
        s->stream->failed = true;
        return;
    }
    size_t used = 0;
    for (size_t i = 0; i < w->n_spans; i++) {
        tok_span span = w->spans[i];
        if (!span.hit && span.end > safe) span.end = safe > span.start ? safe : span.start;
        used = span.end;
        if (span.hit)
            bytes(s + 1, s->step->content, s->step->content_len);
        else if (span.end > span.start)
            bytes(s + 1, s->held.data + span.start, span.end - span.start);
    }
    memmove(s->held.data, s->held.data + used, s->held.len - used);
    s->held.len -= used;
}

static void begin(stage *s) {
    if (!s->step) return;
    s->n_tokens++;
    switch (s->step->kind) {
    case DEC_BYTE_LEVEL:
    case DEC_BYTE_FALLBACK:
    case DEC_SENTENCEPIECE:
        buf_clear(&s->held);
        return;
    case DEC_FUSE:
        keep_open(s);
        return;
    case DEC_JOIN:
        begin(s + 1);
        if (s->n_tokens > 1) bytes(s + 1, " ", 1);
        return;
    default:
        buf_clear(&s->held);
        s->cut = s->step->start;
        s->pending = 0;
        begin(s + 1);
    }
}

static void bytes(stage *s, const char *text, size_t n) {
    if (n == 0) return;
    if (!s->step) {
        buf_put(&s->stream->text, text, n);
        return;
    }
    switch (s->step->kind) {
    case DEC_BYTE_LEVEL:
    case DEC_BYTE_FALLBACK:
    case DEC_SENTENCEPIECE:
        buf_put(&s->held, text, n);
        return;
    case DEC_METASPACE:
        bytes_metaspace(s, text, n);
        return;
    case DEC_STRIP:
        bytes_strip(s, text, n);
        return;
    case DEC_REPLACE:
        buf_put(&s->held, text, n);
        if (!s->held.failed) pass_replaced(s, false);
        return;
    case DEC_FUSE:
    case DEC_JOIN:
        bytes(s + 1, text, n);
    }
}

static void end(stage *s) {
    if (!s->step) return;
    if (s->held.failed || s->run.failed) {
        s->stream->failed = true;
        return;
    }
    switch (s->step->kind) {
    case DEC_BYTE_LEVEL:
        end_byte_level(s);
        return;
    case DEC_BYTE_FALLBACK:
        end_byte_fallback(s);
        return;
    case DEC_SENTENCEPIECE:
        end_sentencepiece(s);
        return;
    case DEC_FUSE:
        return;
    case DEC_REPLACE:
        if (s->held.len) pass_replaced(s, true);
        end(s + 1);
        return;
    default:
        end(s + 1);
    }
}

/* No token follows. */
static void finish(stage *s) {
    for (; s->step; s++) {
        if (s->step->kind == DEC_BYTE_LEVEL && s->run.len) pass_run(s, true);
        if (s->step->kind == DEC_BYTE_FALLBACK) end_run(s);
        if (s->step->kind == DEC_SENTENCEPIECE) pass_sp_run(s, true);
        s->texted = s->marked = s->begun = false;
        close_open(s);
        buf_clear(&s->held);
        buf_clear(&s->run);
        s->n_tokens = s->cut = s->pending = 0;
    }
}

/* ---- The API -------------------------------------------------------------------------------------------------- */

static tok_stream *new_stream(const tokenizer *t, bool skip_special, bool exact) {
    tok_stream *s = calloc(1, sizeof *s + (t->n_decs + 1) * sizeof s->stages[0]);
    if (!s) return NULL;
    s->t = t;
    s->skip_special = skip_special;
    s->exact = exact;
    for (size_t i = 0; i <= t->n_decs; i++)
        s->stages[i] = (stage){.step = i < t->n_decs ? &t->decs[i] : NULL, .stream = s};
    return s;
}

static bool is_kept(const tok_stream *s, int32_t id) {
    for (size_t i = 0; i < s->n_kept; i++)
        if (s->kept[i] == id) return true;
    return false;
}

static void put(tok_stream *s, int32_t id) {
    if (id < 0 || id >= s->t->n_ids) return;
    const tok_entry *e = &s->t->entries[id];
    if (!e->text) return;
    if (s->skip_special && e->skipped && !is_kept(s, id)) {
        /* SentencePiece: bytes before it and behind it make no character together. */
        stage *first = &s->stages[0];
        if (first->step && first->step->kind == DEC_SENTENCEPIECE) pass_sp_run(first, true);
        return;
    }
    whole_token(&s->stages[0], e->decoded, e->decoded_len);
}

nb_status tok_stream_new(const tokenizer *t, bool skip_special, tok_stream **out, nb_error *err) {
    *out = new_stream(t, skip_special, false);
    return *out ? NB_OK : err_no_memory(err, "a detokenizer", 0);
}

void tok_stream_keep(tok_stream *s, const int32_t *ids, size_t n) {
    s->kept = ids;
    s->n_kept = n;
}

/* What the last call gathered; NULL after a failure, which ends the text. */
static const char *gathered(tok_stream *s) {
    if (s->failed || s->text.failed) return NULL;
    return s->text.data ? s->text.data : "";
}

const char *tok_stream_put(tok_stream *s, int32_t id) {
    if (s->failed || s->text.failed) return NULL;
    buf_clear(&s->text);
    put(s, id);
    return gathered(s);
}

const char *tok_stream_finish(tok_stream *s) {
    bool failed = s->failed || s->text.failed;
    buf_clear(&s->text);
    finish(s->stages);
    const char *text = failed ? NULL : gathered(s);
    s->failed = false;
    s->work.failed = false;
    return text;
}

size_t tok_stream_length(const tok_stream *s) {
    return s->text.len;
}

void tok_stream_free(tok_stream *s) {
    if (!s) return;
    for (size_t i = 0; i <= s->t->n_decs; i++) {
        buf_free(&s->stages[i].held);
        buf_free(&s->stages[i].run);
    }
    buf_free(&s->text);
    tok_work_free(&s->work);
    free(s);
}

nb_status tok_decode(const tokenizer *t, const int32_t *ids, size_t n, bool skip_special, char **text, size_t *len,
                     nb_error *err) {
    *text = NULL;
    if (len) *len = 0;
    tok_stream *s = new_stream(t, skip_special, true);
    if (!s) return err_no_memory(err, "a detokenizer", 0);
    for (size_t i = 0; i < n && !s->failed; i++) put(s, ids[i]);
    if (!s->failed) finish(s->stages);
    nb_status status = NB_OK;
    if (s->failed && s->err.status)
        status = err_set(err, s->err.status, "%s", s->err.text);
    else if (!s->failed)
        *text = buf_take(&s->text, len);
    if (!*text && !status) status = err_no_memory(err, "a text", n);
    tok_stream_free(s);
    return status;
}
