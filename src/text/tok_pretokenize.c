/* SPDX-License-Identifier: Apache-2.0
 *
 * Pre-tokenizers: each step cuts the pieces finer or rewrites their text. Components that do several things become
 * several steps here (ByteLevel: prefix space, split by the GPT-2 regex, byte alphabet). */
#include <string.h>

#include "base/utf8.h"
#include "text/tok_internal.h"

static const char GPT2_REGEX[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* ---- From tokenizer.json -------------------------------------------------------------------------------------- */

static nb_status parse_behavior(const cJSON *json, tok_behavior *out, const char *name, nb_error *err) {
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    const char *text = "Isolated";
    nb_status status = json_str(json, "behavior", &text, NULL, name, err);
    if (status) return status;
    for (int i = 0; i < 5; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (tok_behavior)i;
        return NB_OK;
    }
    return err_set(err, NB_ERR_UNSUPPORTED, "%s: split behavior \"%.60s\" is not known", name, text);
}

static nb_status next_step(tokenizer *t, tok_pre step, tok_pre **out, const char *name, nb_error *err) {
    if (t->n_pres == 4 * TOK_MAX_STEPS) return err_set(err, NB_ERR_FORMAT, "%s: too many pre-tokenizers", name);
    t->pres[t->n_pres] = step;
    if (out) *out = &t->pres[t->n_pres];
    t->n_pres++;
    return NB_OK;
}

static nb_status add_byte_level(const cJSON *json, tokenizer *t, const char *name, nb_error *err) {
    bool prefix = true, use_regex = true;
    tok_pre *split = NULL;
    nb_status status = json_bool(json, "add_prefix_space", &prefix, NULL, name, err);
    if (!status) status = json_bool(json, "use_regex", &use_regex, NULL, name, err);
    if (!status && prefix) status = next_step(t, (tok_pre){.kind = PRE_SPACE}, NULL, name, err);
    if (!status && use_regex) {
        status = next_step(t, (tok_pre){.kind = PRE_SPLIT, .behavior = SPLIT_ISOLATED}, &split, name, err);
        if (!status) status = tok_pattern_regex(GPT2_REGEX, &split->pattern, name, err);
    }
    return status ? status : next_step(t, (tok_pre){.kind = PRE_BYTE_LEVEL}, NULL, name, err);
}

static nb_status add_metaspace(const cJSON *json, tokenizer *t, const char *name, nb_error *err) {
    tok_pre step = {.kind = PRE_METASPACE, .ch = 0x2581, .prepend = PREPEND_ALWAYS};
    bool split = true;
    nb_status status = tok_need_char(json, "replacement", &step.ch, name, err);
    if (!status) status = tok_prepend_scheme(json, &step.prepend, name, err);
    if (!status) status = json_bool(json, "split", &split, NULL, name, err);
    if (!status) status = next_step(t, step, NULL, name, err);
    if (!status && split) {
        step = (tok_pre){.kind = PRE_CHARS, .ch = step.ch, .behavior = SPLIT_MERGED_WITH_NEXT};
        status = next_step(t, step, NULL, name, err);
    }
    return status;
}

static nb_status add_split(const cJSON *json, tokenizer *t, const char *name, nb_error *err) {
    tok_pre *step = NULL;
    nb_status status = next_step(t, (tok_pre){.kind = PRE_SPLIT}, &step, name, err);
    if (!status) status = parse_behavior(json, &step->behavior, name, err);
    if (!status) status = json_bool(json, "invert", &step->invert, NULL, name, err);
    if (!status) status = tok_pattern_parse(json_get(json, "pattern"), t->mem, &step->pattern, name, err);
    return status;
}

static nb_status add_chars(bool (*is)(uint32_t), uint32_t ch, tok_behavior behavior, tokenizer *t, const char *name,
                           nb_error *err) {
    return next_step(t, (tok_pre){.kind = PRE_CHARS, .is = is, .ch = ch, .behavior = behavior}, NULL, name, err);
}

static nb_status add_simple(const cJSON *json, const char *type, tokenizer *t, const char *name, nb_error *err) {
    nb_status status = NB_OK;
    if (strcmp(type, "Digits") == 0) {
        bool individual = false;
        status = json_bool(json, "individual_digits", &individual, NULL, name, err);
        tok_behavior how = individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
        return status ? status : add_chars(uni_is_numeric, 0, how, t, name, err);
    }
    if (strcmp(type, "Punctuation") == 0) {
        tok_behavior how = SPLIT_ISOLATED;
        status = parse_behavior(json, &how, name, err);
        return status ? status : add_chars(uni_is_punctuation, 0, how, t, name, err);
    }
    if (strcmp(type, "WhitespaceSplit") == 0) return add_chars(uni_is_space, 0, SPLIT_REMOVED, t, name, err);
    if (strcmp(type, "Whitespace") == 0) return next_step(t, (tok_pre){.kind = PRE_WORDS}, NULL, name, err);
    if (strcmp(type, "BertPreTokenizer") == 0) {
        status = add_chars(uni_is_space, 0, SPLIT_REMOVED, t, name, err);
        return status ? status : add_chars(uni_is_punctuation, 0, SPLIT_ISOLATED, t, name, err);
    }
    if (strcmp(type, "CharDelimiterSplit") == 0) {
        uint32_t ch = 0;
        status = tok_need_char(json, "delimiter", &ch, name, err);
        return status ? status : add_chars(NULL, ch, SPLIT_REMOVED, t, name, err);
    }
    if (strcmp(type, "FixedLength") == 0) {
        int64_t length = 5;
        status = json_int(json, "length", 1, INT32_MAX, &length, NULL, name, err);
        tok_pre step = {.kind = PRE_FIXED_LENGTH, .length = (size_t)length};
        return status ? status : next_step(t, step, NULL, name, err);
    }
    return tok_unknown_type("pre_tokenizer", type, name, err);
}

static nb_status add_pre(const cJSON *json, const char *type, tokenizer *t, const char *name, nb_error *err) {
    if (strcmp(type, "ByteLevel") == 0) return add_byte_level(json, t, name, err);
    if (strcmp(type, "Metaspace") == 0) return add_metaspace(json, t, name, err);
    if (strcmp(type, "Split") == 0) return add_split(json, t, name, err);
    return add_simple(json, type, t, name, err);
}

nb_status tok_parse_pre_tokenizer(const cJSON *json, tokenizer *t, const char *name, nb_error *err) {
    if (!json) return NB_OK;
    t->pres = arena_zalloc(t->mem, 4 * TOK_MAX_STEPS, sizeof *t->pres);
    if (!t->pres) return err_no_memory(err, "the pre-tokenizer", 0);
    tok_steps steps = {0};
    return tok_each_step(json, "pre_tokenizer", "pretokenizers", &steps, add_pre, t, name, err);
}

/* ---- Splitting ------------------------------------------------------------------------------------------------ */

static size_t zero_from(const tok_piece *p, size_t offset) {
    return p->zero > offset ? p->zero - offset : 0;
}

/* Joins w->spans as the behavior says; the result is spans [*first, w->n_spans), those with hit set are left out. */
static void apply_behavior(tok_work *w, tok_behavior behavior, size_t *first) {
    tok_span *s = w->spans;
    size_t n = w->n_spans, kept = 0;
    bool previous = false;
    *first = 0;
    if (behavior == SPLIT_REMOVED) return;
    if (behavior == SPLIT_MERGED_WITH_NEXT) {
        size_t at = n;
        for (size_t i = n; i-- > 0;) {
            bool hit = s[i].hit;
            if (hit && !previous && at < n)
                s[at].start = s[i].start;
            else
                s[--at] = (tok_span){.start = s[i].start, .end = s[i].end};
            previous = hit;
        }
        *first = at;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        bool hit = s[i].hit, join = false;
        if (behavior == SPLIT_CONTIGUOUS) join = hit == previous;
        if (behavior == SPLIT_MERGED_WITH_PREVIOUS) join = hit && !previous;
        if (join && kept)
            s[kept - 1].end = s[i].end;
        else
            s[kept++] = (tok_span){.start = s[i].start, .end = s[i].end};
        previous = hit;
    }
    w->n_spans = kept;
}

static void find_chars(const tok_pre *step, const char *text, size_t n, tok_work *w) {
    size_t covered = 0;
    w->n_spans = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t length = (size_t)uni_next(text + i, n - i, &cp);
        if (step->is ? step->is(cp) : cp == step->ch) {
            if (covered < i) tok_add_span(w, covered, i, false);
            tok_add_span(w, i, i + length, true);
            covered = i + length;
        }
        i += length;
    }
    if (covered < n) tok_add_span(w, covered, n, false);
}

static nb_status split_piece(const tok_pre *step, const tok_piece *p, tok_work *w, nb_error *err) {
    const char *text = w->text.data + p->at;
    size_t first;
    if (step->kind == PRE_CHARS) {
        find_chars(step, text, p->len, w);
    } else {
        nb_status status = tok_pattern_find(&step->pattern, text, p->len, w, err);
        if (status) return status;
    }
    for (size_t i = 0; step->invert && i < w->n_spans; i++) w->spans[i].hit = !w->spans[i].hit;
    apply_behavior(w, step->behavior, &first);
    for (size_t i = first; i < w->n_spans; i++) {
        const tok_span *s = &w->spans[i];
        if (!s->hit) tok_next_piece(w, p->at + s->start, s->end - s->start, zero_from(p, s->start), -1);
    }
    return NB_OK;
}

/* Runs of word characters and runs of what is neither word nor space. */
static void split_words(const tok_piece *p, tok_work *w) {
    const char *text = w->text.data + p->at;
    size_t start = 0;
    int kind = 0; /* of the open run: 0 space, 1 word, 2 other */
    for (size_t i = 0; i < p->len;) {
        uint32_t cp;
        size_t length = (size_t)uni_next(text + i, p->len - i, &cp);
        int now = uni_is_alnum(cp) ? 1 : uni_is_space(cp) ? 0 : 2;
        if (now != kind) {
            if (kind) tok_next_piece(w, p->at + start, i - start, zero_from(p, start), -1);
            start = i;
            kind = now;
        }
        i += length;
    }
    if (kind) tok_next_piece(w, p->at + start, p->len - start, zero_from(p, start), -1);
}

static void split_fixed(const tok_pre *step, const tok_piece *p, tok_work *w) {
    const char *text = w->text.data + p->at;
    size_t start = 0, count = 0;
    for (size_t i = 0; i < p->len;) {
        uint32_t cp;
        i += (size_t)uni_next(text + i, p->len - i, &cp);
        if (++count < step->length && i < p->len) continue;
        tok_next_piece(w, p->at + start, i - start, zero_from(p, start), -1);
        start = i;
        count = 0;
    }
}

/* ---- Rewriting ------------------------------------------------------------------------------------------------ */

static void put_byte_chars(const char *text, size_t n, buf *out) {
    char *to = buf_reserve(out, 2 * n);
    if (!to) return;
    size_t len = 0;
    for (size_t i = 0; i < n; i++) len += (size_t)uni_byte_char((uint8_t)text[i], to + len);
    out->len += len;
    out->data[out->len] = 0;
}

static void put_metaspace(const tok_pre *step, const tok_piece *p, const char *text, buf *out, size_t *zero) {
    char mark[4];
    size_t n_mark = (size_t)utf8_encode(step->ch, mark);
    bool marked = text[0] == ' ' || (p->len >= n_mark && memcmp(text, mark, n_mark) == 0);
    bool prepend = step->prepend == PREPEND_ALWAYS || (step->prepend == PREPEND_FIRST && p->zero > 0);
    size_t start = out->len, new_zero = 0;
    if (prepend && !marked) buf_put(out, mark, n_mark);
    for (size_t i = 0; i < p->len; i++) {
        if (text[i] == ' ')
            buf_put(out, mark, n_mark);
        else
            buf_putc(out, text[i]);
        if (i + 1 == p->zero) new_zero = out->len - start;
    }
    *zero = new_zero;
}

static void rewrite_piece(const tok_pre *step, const tok_piece *p, tok_work *w) {
    const char *text = w->text.data + p->at;
    size_t at = w->next.len, zero = p->zero;
    if (p->id >= 0) {
        buf_put(&w->next, text, p->len);
    } else if (step->kind == PRE_SPACE) {
        if (text[0] != ' ') {
            buf_putc(&w->next, ' ');
            if (zero) zero++;
        }
        buf_put(&w->next, text, p->len);
    } else if (step->kind == PRE_METASPACE) {
        put_metaspace(step, p, text, &w->next, &zero);
    } else {
        put_byte_chars(text, zero, &w->next);
        zero = w->next.len - at;
        put_byte_chars(text + p->zero, p->len - p->zero, &w->next);
    }
    tok_next_piece(w, at, w->next.len - at, zero, p->id);
}

nb_status tok_pre_tokenize(const tokenizer *t, tok_work *w, nb_error *err) {
    for (size_t k = 0; k < t->n_pres; k++) {
        const tok_pre *step = &t->pres[k];
        bool rewrite = step->kind == PRE_SPACE || step->kind == PRE_METASPACE || step->kind == PRE_BYTE_LEVEL;
        for (size_t i = 0; i < w->n_pieces && !w->failed; i++) {
            const tok_piece *p = &w->pieces[i];
            nb_status status = NB_OK;
            if (rewrite)
                rewrite_piece(step, p, w);
            else if (p->id >= 0)
                tok_next_piece(w, p->at, p->len, p->zero, p->id);
            else if (step->kind == PRE_WORDS)
                split_words(p, w);
            else if (step->kind == PRE_FIXED_LENGTH)
                split_fixed(step, p, w);
            else
                status = split_piece(step, p, w, err);
            if (status) return status;
        }
        tok_swap(w, rewrite);
        if (w->failed || w->text.failed) return err_no_memory(err, "the pieces of a text", w->text.len);
    }
    return NB_OK;
}
