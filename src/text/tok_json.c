/* SPDX-License-Identifier: Apache-2.0
 *
 * The two large members of a tokenizer.json, the model's "vocab" and "merges": they are cut out of the text before the
 * rest becomes a tree, and read straight into the tables, which takes a third of the time. Look-ups of many keys go in
 * batches, so that the memory's delays overlap. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tok_internal.h"

enum { BATCH = 32, MAX_NUMBER = 40 };

/* ---- Finding the two ------------------------------------------------------------------------------------------ */

typedef struct cursor {
    const char *at, *end;
} cursor;

static bool is_white(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The next character that is no white space, 0 at the end. */
static char peek(cursor *c) {
    while (c->at < c->end && is_white(*c->at)) c->at++;
    return c->at < c->end ? *c->at : 0;
}

/* Steps over the character if it is the next one. */
static bool take(cursor *c, char want) {
    if (peek(c) != want) return false;
    c->at++;
    return true;
}

static bool skip_string(cursor *c) {
    if (!take(c, '"')) return false;
    for (; c->at < c->end; c->at++) {
        if (*c->at == '"') {
            c->at++;
            return true;
        }
        if (*c->at == '\\') c->at++;
    }
    c->at = c->end;
    return false;
}

/* Any value. What is inside of brackets is not checked. */
static bool skip_value(cursor *c) {
    size_t depth = 0;
    do {
        char next = peek(c);
        if (next == '"') {
            if (!skip_string(c)) return false;
            continue;
        }
        if (next == 0) return false;
        if (next == '{' || next == '[') depth++;
        if (next == '}' || next == ']') {
            if (depth == 0) return false;
            depth--;
        }
        c->at++;
        if (depth == 0 && next != '}' && next != ']') /* a number or a word */
            while (c->at < c->end && !is_white(*c->at) && !strchr(",]}", *c->at)) c->at++;
    } while (depth > 0);
    return true;
}

/* c stands at an object: puts the places of the members' values that have the n names into `found`, the first one of a
 * name counts. False when it is no object, or is broken; what was found until then stays. */
static bool find_members(cursor *c, const char *const *names, size_t n, tok_part *found) {
    if (!take(c, '{')) return false;
    while (peek(c) == '"') {
        const char *key = c->at + 1;
        if (!skip_string(c)) return false;
        size_t n_key = (size_t)(c->at - 1 - key);
        if (!take(c, ':')) return false;
        peek(c);
        const char *value = c->at;
        if (!skip_value(c)) return false;
        for (size_t i = 0; i < n; i++)
            if (!found[i].at && strlen(names[i]) == n_key && memcmp(names[i], key, n_key) == 0)
                found[i] = (tok_part){.at = value, .n = (size_t)(c->at - value)};
        if (!take(c, ',')) break;
    }
    return take(c, '}');
}

bool tok_json_cut(const char *json, size_t n, tok_part *vocab, tok_part *merges, buf *rest) {
    static const char *const top[] = {"model"}, *const inner[] = {"vocab", "merges"};
    tok_part model = {0}, parts[2] = {{0}, {0}};
    cursor c = {.at = json, .end = json + n};
    if (!find_members(&c, top, 1, &model) || !model.at) return false;
    c = (cursor){.at = model.at, .end = model.at + model.n};
    if (!find_members(&c, inner, 2, parts)) return false;
    *vocab = parts[0];
    *merges = parts[1];
    bool swap = parts[0].at && parts[1].at && parts[1].at < parts[0].at;
    const char *from = json;
    for (int i = 0; i < 2; i++) {
        const tok_part *part = &parts[swap ? 1 - i : i];
        if (!part->at) continue;
        buf_put(rest, from, (size_t)(part->at - from));
        buf_puts(rest, "null");
        from = part->at + part->n;
    }
    buf_put(rest, from, (size_t)(json + n - from));
    return true;
}

/* ---- Strings and numbers -------------------------------------------------------------------------------------- */

/* Four hexadecimal digits; -1 when they are none. */
static int32_t hex4(cursor *c) {
    int32_t value = 0;
    for (int i = 0; i < 4; i++, c->at++) {
        char d = c->at < c->end ? *c->at : 0;
        int digit = d >= '0' && d <= '9' ? d - '0' : (d | 32) >= 'a' && (d | 32) <= 'f' ? (d | 32) - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* c stands behind a backslash; writes up to 4 bytes, returns how many, 0 for what is no escape. */
static size_t unescape(cursor *c, char *to) {
    static const char plain[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    char letter = c->at < c->end ? *c->at++ : 0;
    for (size_t i = 0; plain[i]; i += 2) {
        if (plain[i] != letter) continue;
        *to = plain[i + 1];
        return 1;
    }
    int32_t cp = letter == 'u' ? hex4(c) : -1;
    if (cp >= 0xd800 && cp < 0xdc00 && c->end - c->at >= 6 && c->at[0] == '\\' && c->at[1] == 'u') {
        c->at += 2;
        int32_t low = hex4(c);
        cp = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00) : -1;
    }
    return cp < 0 ? 0 : (size_t)utf8_encode((uint32_t)cp, to);
}

/* A string without its quotes, to `to`. False when it is none, or leaves less than 4 bytes of the room. */
static bool read_string(cursor *c, char *to, size_t room, size_t *len) {
    char *start = to, *last = to + room - 4;
    if (!take(c, '"')) return false;
    while (c->at < c->end && *c->at != '"') {
        if (to > last) return false;
        if (*c->at != '\\') {
            *to++ = *c->at++;
            continue;
        }
        c->at++;
        size_t n = unescape(c, to);
        if (n == 0) return false;
        to += n;
    }
    *len = (size_t)(to - start);
    return c->at++ < c->end;
}

static bool read_number(cursor *c, double *out) {
    peek(c);
    int32_t whole = 0;
    const char *p = c->at;
    while (p < c->end && p - c->at < 9 && *p >= '0' && *p <= '9') whole = whole * 10 + (*p++ - '0');
    if (p > c->at && p < c->end && (*p == ',' || *p == '}' || is_white(*p))) {
        c->at = p;
        *out = whole;
        return true;
    }
    char text[MAX_NUMBER + 1], *end;
    size_t n = 0;
    while (n < MAX_NUMBER && c->at < c->end && strchr("+-.eE0123456789", *c->at)) text[n++] = *c->at++;
    text[n] = 0;
    *out = strtod(text, &end);
    return n > 0 && *end == 0;
}

/* ---- The vocabulary ------------------------------------------------------------------------------------------- */

typedef struct vocab_item {
    const char *text;
    uint32_t len;
    int32_t id;
} vocab_item;

static nb_status not_json(const char *what, const cursor *c, const char *start, const char *name, nb_error *err) {
    return err_set(err, NB_ERR_FORMAT, "%s: not valid JSON in the model's %s, at its byte %zu", name, what,
                   (size_t)(c->at - start));
}

/* `texts` has room for the source and 8 bytes: a text with its NUL is shorter than with its quotes. */
static nb_status read_items(const tok_part *source, char *texts, buf *items, const char *name, nb_error *err) {
    const char *end = texts + source->n + 8;
    cursor c = {.at = source->at, .end = source->at + source->n};
    if (!take(&c, '{')) return err_set(err, NB_ERR_FORMAT, "%s: the model has no vocab", name);
    if (take(&c, '}')) return NB_OK;
    do {
        size_t len;
        double id;
        if (!read_string(&c, texts, (size_t)(end - texts), &len) || !take(&c, ':'))
            return not_json("vocab", &c, source->at, name, err);
        texts[len] = 0; /* in the place of the closing quote, or before it */
        if (len > TOK_MAX_TOKEN)
            return err_set(err, NB_ERR_FORMAT, "%s: token \"%.60s...\" has %zu bytes, expected at most %d", name, texts,
                           len, TOK_MAX_TOKEN);
        if (!read_number(&c, &id))
            return err_set(err, NB_ERR_FORMAT, "%s: token \"%.60s\" has no number for its id", name, texts);
        if (!(id >= 0 && id < TOK_MAX_TOKENS * 9.0) || id != (double)(int32_t)id)
            return err_set(err, NB_ERR_FORMAT, "%s: token \"%.60s\" has id %g, expected a whole number from 0 on", name,
                           texts, id);
        vocab_item item = {.text = texts, .len = (uint32_t)len, .id = (int32_t)id};
        buf_put(items, &item, sizeof item);
        texts += len + 1;
    } while (take(&c, ','));
    if (items->failed) return err_no_memory(err, "the vocabulary", items->len);
    return take(&c, '}') && peek(&c) == 0 ? NB_OK : not_json("vocab", &c, source->at, name, err);
}

static nb_status put_items(const vocab_item *items, size_t n, size_t n_added, tokenizer *t, const char *name,
                           nb_error *err) {
    int32_t highest = -1;
    const char *text = "";
    for (size_t i = 0; i < n; i++) {
        if (items[i].id <= highest) continue;
        highest = items[i].id;
        text = items[i].text;
    }
    double limit = 8.0 * (double)n + TOK_MAX_GAP;
    if (n > TOK_MAX_TOKENS || n_added > TOK_MAX_TOKENS) return err_set(err, NB_ERR_FORMAT, "%s: too many tokens", name);
    if (highest >= limit)
        return err_set(err, NB_ERR_FORMAT, "%s: token \"%.60s\" has id %d, expected a whole number from 0 to %.0f",
                       name, text, highest, limit - 1);
    nb_status status = tok_begin_vocab(t, n, highest + 1, n_added, err);
    for (size_t i = 0; i < n && !status; i++) {
        if (i + BATCH < n) tok_map_prepare(&t->vocab, items[i + BATCH].text, items[i + BATCH].len);
        tok_put_token(t, items[i].text, items[i].len, items[i].id);
    }
    t->n_vocab = t->vocab.n;
    return status;
}

nb_status tok_read_vocab(const tok_part *source, size_t n_added, tokenizer *t, const char *name, nb_error *err) {
    if (!source->at) return err_set(err, NB_ERR_FORMAT, "%s: the model has no vocab", name);
    buf items = {0};
    char *texts = arena_alloc(t->mem, source->n + 8);
    nb_status status =
        texts ? read_items(source, texts, &items, name, err) : err_no_memory(err, "the vocabulary", source->n);
    if (!status)
        status = put_items((const vocab_item *)(const void *)items.data, items.len / sizeof(vocab_item), n_added, t,
                           name, err);
    buf_free(&items);
    return status;
}

/* ---- The merges ----------------------------------------------------------------------------------------------- */

/* Both halves of a merge lie one behind the other in the batch's `texts`. */
typedef struct merge_item {
    size_t at, n_left, n_right;
    uint64_t left, right, joined; /* hashes */
} merge_item;

typedef struct merge_batch {
    buf texts, joined, found;
    merge_item items[BATCH];
    size_t n, n_prefix;
    uint32_t rank; /* of the first one */
    const tok_part *source;
    tokenizer *t;
    const char *name;
} merge_batch;

/* One item: ["a", "b"], or "a b" with one space; 0 when it is neither, -1 for a comment. */
static int read_merge(cursor *c, merge_batch *b, merge_item *m) {
    const size_t room = TOK_MAX_TOKEN + 4;
    char *to = buf_reserve(&b->texts, 2 * room);
    m->at = b->texts.len;
    if (!to) return 0;
    if (take(c, '[')) {
        if (!read_string(c, to, room, &m->n_left) || !take(c, ',')) return 0;
        if (!read_string(c, to + m->n_left, room, &m->n_right) || !take(c, ']')) return 0;
    } else {
        size_t n;
        if (!read_string(c, to, 2 * room, &n)) return 0;
        if (n >= 8 && memcmp(to, "#version", 8) == 0) return -1;
        char *space = memchr(to, ' ', n);
        m->n_left = space ? (size_t)(space - to) : 0;
        m->n_right = space ? n - m->n_left - 1 : 0;
        if (!space || memchr(space + 1, ' ', m->n_right)) return 0;
        memmove(space, space + 1, m->n_right);
    }
    b->texts.len += m->n_left + m->n_right;
    return m->n_right >= b->n_prefix;
}

/* Looks the three tokens up. */
static nb_status find_merge(merge_batch *b, const merge_item *m, uint32_t rank, nb_error *err) {
    tokenizer *t = b->t;
    const char *text = b->texts.data + m->at, *joined = text;
    size_t n_joined = m->n_left + m->n_right - b->n_prefix;
    uint64_t hash = m->joined;
    if (b->n_prefix) { /* the second half without it */
        buf_clear(&b->joined);
        buf_put(&b->joined, text, m->n_left);
        buf_put(&b->joined, text + m->n_left + b->n_prefix, m->n_right - b->n_prefix);
        if (b->joined.failed) return err_no_memory(err, "a merge", n_joined);
        joined = b->joined.data ? b->joined.data : "";
        hash = tok_map_prepare(&t->vocab, joined, n_joined);
    }
    int32_t left = tok_map_find(&t->vocab, m->left, text, m->n_left);
    int32_t right = tok_map_find(&t->vocab, m->right, text + m->n_left, m->n_right);
    int32_t id = tok_map_find(&t->vocab, hash, joined, n_joined);
    if (left < 0 || right < 0 || id < 0)
        return err_set(err, NB_ERR_FORMAT, "%s: merge %u (\"%.*s\") makes or needs a token outside of the vocabulary",
                       b->name, rank, n_joined < 60 ? (int)n_joined : 60, joined);
    tok_merge merge = {.pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right, .rank = rank, .id = id};
    buf_put(&b->found, &merge, sizeof merge);
    return b->found.failed ? err_no_memory(err, "the merges", b->found.len) : NB_OK;
}

static nb_status end_batch(merge_batch *b, nb_error *err) {
    tokenizer *t = b->t;
    for (size_t i = 0; i < b->n; i++) {
        merge_item *m = &b->items[i];
        const char *text = b->texts.data + m->at;
        m->left = tok_map_prepare(&t->vocab, text, m->n_left);
        m->right = tok_map_prepare(&t->vocab, text + m->n_left, m->n_right);
        if (!b->n_prefix) m->joined = tok_map_prepare(&t->vocab, text, m->n_left + m->n_right);
    }
    nb_status status = NB_OK;
    for (size_t i = 0; i < b->n && !status; i++) status = find_merge(b, &b->items[i], b->rank + (uint32_t)i, err);
    b->rank += (uint32_t)b->n;
    b->n = 0;
    buf_clear(&b->texts);
    return status;
}

static nb_status read_merges(merge_batch *b, nb_error *err) {
    cursor c = {.at = b->source->at, .end = b->source->at + b->source->n};
    take(&c, '[');
    if (take(&c, ']')) return NB_OK;
    nb_status status = NB_OK;
    do {
        int rc = read_merge(&c, b, &b->items[b->n]);
        if (b->texts.failed) return err_no_memory(err, "the merges", b->source->n);
        if (rc == 0)
            return err_set(err, NB_ERR_FORMAT, "%s: merge %u is not a pair of tokens", b->name,
                           b->rank + (uint32_t)b->n);
        if (rc > 0) b->n++;
        if (b->n == BATCH) status = end_batch(b, err);
    } while (!status && take(&c, ','));
    if (!status) status = end_batch(b, err);
    if (status) return status;
    return take(&c, ']') && peek(&c) == 0 ? NB_OK : not_json("merges", &c, b->source->at, b->name, err);
}

nb_status tok_read_merges(const tok_part *source, tokenizer *t, const char *name, nb_error *err) {
    if (!source->at || source->at[0] != '[') return err_set(err, NB_ERR_FORMAT, "%s: the model has no merges", name);
    merge_batch b = {
        .n_prefix = t->subword_prefix ? strlen(t->subword_prefix) : 0, .source = source, .t = t, .name = name};
    nb_status status = read_merges(&b, err);
    if (!status) status = tok_put_merges(t, &b.found, err);
    buf_free(&b.texts);
    buf_free(&b.joined);
    buf_free(&b.found);
    return status;
}
