/* SPDX-License-Identifier: Apache-2.0
 *
 * Added tokens: read from tokenizer.json, given ids, and found in texts: at each place the longest one, from left to
 * right, first those that want the raw text, then (after normalization) the others. */
#include <stdlib.h>
#include <string.h>

#include "text/tok_internal.h"

/* ---- From tokenizer.json -------------------------------------------------------------------------------------- */

typedef struct added_json {
    const char *content;
    size_t len;
    tok_added flags;
    bool normalized, special;
} added_json;

static nb_status read_added(const cJSON *json, tokenizer *t, added_json *out, const char *name, nb_error *err) {
    *out = (added_json){.normalized = true};
    nb_status status = tok_need_str(json, "content", t->mem, &out->content, &out->len, name, err);
    if (!status) status = json_bool(json, "single_word", &out->flags.single_word, NULL, name, err);
    if (!status) status = json_bool(json, "lstrip", &out->flags.lstrip, NULL, name, err);
    if (!status) status = json_bool(json, "rstrip", &out->flags.rstrip, NULL, name, err);
    if (!status) status = json_bool(json, "normalized", &out->normalized, NULL, name, err);
    if (!status) status = json_bool(json, "special", &out->special, NULL, name, err);
    if (!status && out->len > TOK_MAX_ADDED_LENGTH)
        status = err_set(err, NB_ERR_FORMAT, "%s: an added token has %zu bytes, expected at most %d", name, out->len,
                         TOK_MAX_ADDED_LENGTH);
    return status;
}

/* The id: the one that its spelling has already, else the next free one (the file's own "id" has no say). */
static int32_t id_of(const tokenizer *t, const char *content, size_t len, int32_t *next) {
    int32_t id = tok_map_get(&t->added_ids, content, len);
    if (id < 0) id = tok_map_get(&t->vocab, content, len);
    return id >= 0 ? id : (*next)++;
}

static nb_status normal_content(tokenizer *t, const added_json *a, const char **out, size_t *len, nb_error *err) {
    buf text = {0};
    tok_work w = {0};
    size_t zero = 0;
    buf_put(&text, a->content, a->len);
    nb_status status = text.failed ? err_no_memory(err, "an added token", 0) : NB_OK;
    if (!status) status = tok_normalize(t, &text, &zero, &w, err);
    if (!status) {
        *len = text.len;
        *out = arena_strndup(t->mem, text.data ? text.data : "", text.len);
        if (!*out) status = err_no_memory(err, "an added token", text.len);
    }
    buf_free(&text);
    tok_work_free(&w);
    return status;
}

static int by_pattern(const void *a, const void *b) {
    const tok_added *x = a, *y = b;
    int order = memcmp(x->pattern, y->pattern, x->len < y->len ? x->len : y->len);
    if (order) return order;
    if (x->len != y->len) return x->len < y->len ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Sorts; drops what a later definition of the same token replaced; a pattern of two ids goes to the lower one. */
static void finish(tok_matcher *m, const tokenizer *t) {
    if (m->n) qsort(m->items, m->n, sizeof *m->items, by_pattern);
    size_t kept = 0;
    for (size_t i = 0; i < m->n; i++) {
        const tok_added *item = &m->items[i], *last = kept ? &m->items[kept - 1] : NULL;
        if (item->serial != t->entries[item->id].serial) continue;
        if (last && last->len == item->len && memcmp(last->pattern, item->pattern, item->len) == 0) continue;
        m->items[kept++] = *item;
    }
    m->n = kept;
    size_t at = 0;
    for (unsigned b = 0; b <= 256; b++) {
        while (at < kept && (unsigned char)m->items[at].pattern[0] < b) at++;
        m->first[b] = (uint32_t)at;
    }
}

static void put_entry(tokenizer *t, const char *text, size_t len, const char *decoded, size_t decoded_len, int32_t id,
                      bool special) {
    tok_entry *e = &t->entries[id];
    *e = (tok_entry){.text = text,
                     .len = (uint32_t)len,
                     .decoded = decoded,
                     .decoded_len = (uint32_t)decoded_len,
                     .serial = ++t->n_serials,
                     .special = special || e->special};
    tok_map_put(&t->added_ids, text, (uint32_t)len, id);
    if (id >= t->n_ids) t->n_ids = id + 1;
}

/* After put_entry. */
static void put_pattern(const tokenizer *t, tok_matcher *m, tok_added flags, const char *pattern, size_t len,
                        int32_t id) {
    flags.id = id;
    flags.serial = t->entries[id].serial;
    flags.pattern = pattern;
    flags.len = len;
    if (len) m->items[m->n++] = flags;
}

static nb_status add_one(const cJSON *json, tokenizer *t, int32_t *next, int32_t limit, const char *name,
                         nb_error *err) {
    added_json a;
    nb_status status = read_added(json, t, &a, name, err);
    if (status || a.len == 0) return status;
    int32_t id = id_of(t, a.content, a.len, next);
    if (id >= limit) return err_set(err, NB_ERR_FORMAT, "%s: added token id %d is out of range", name, id);
    const char *decoded = a.content;
    size_t decoded_len = a.len;
    if (a.normalized) status = normal_content(t, &a, &decoded, &decoded_len, err);
    if (status) return status;
    put_entry(t, a.content, a.len, decoded, decoded_len, id, a.special);
    put_pattern(t, a.normalized ? &t->normalized : &t->raw, a.flags, decoded, decoded_len, id);
    return NB_OK;
}

nb_status tok_begin_added(tokenizer *t, size_t n, nb_error *err) {
    t->raw.items = arena_zalloc(t->mem, n + 1, sizeof *t->raw.items);
    t->normalized.items = arena_zalloc(t->mem, n + 1, sizeof *t->normalized.items);
    if (!t->raw.items || !t->normalized.items || !tok_map_init(&t->added_ids, t->mem, n))
        return err_no_memory(err, "added tokens", n * sizeof(tok_added));
    return NB_OK;
}

nb_status tok_put_added(tokenizer *t, const char *text, size_t len, int32_t id, tok_added flags, bool special,
                        nb_error *err) {
    if (len == 0) return NB_OK;
    text = arena_strndup(t->mem, text, len);
    if (!text) return err_no_memory(err, "an added token", len);
    put_entry(t, text, len, text, len, id, special);
    put_pattern(t, &t->raw, flags, text, len, id);
    return NB_OK;
}

/* Decoding leaves out what is spelled like a special token after normalization. */
void tok_end_added(tokenizer *t) {
    finish(&t->raw, t);
    finish(&t->normalized, t);
    for (int32_t id = 0; id < t->n_ids; id++) {
        tok_entry *e = &t->entries[id];
        int32_t same = e->serial ? tok_map_get(&t->added_ids, e->decoded, e->decoded_len) : -1;
        e->skipped = same >= 0 && t->entries[same].special;
    }
}

nb_status tok_parse_added(const cJSON *json, tokenizer *t, const char *name, nb_error *err) {
    if (json && !cJSON_IsArray(json)) return err_set(err, NB_ERR_FORMAT, "%s: added_tokens is no array", name);
    size_t n = json ? (size_t)cJSON_GetArraySize(json) : 0;
    nb_status status = tok_begin_added(t, n, err);
    int32_t next = (int32_t)t->n_vocab, limit = t->n_ids + (int32_t)n;
    for (const cJSON *item = json ? json->child : NULL; item && !status; item = item->next)
        status = add_one(item, t, &next, limit, name, err);
    if (!status) tok_end_added(t);
    return status;
}

/* ---- In texts ------------------------------------------------------------------------------------------------- */

/* Narrows the sorted list byte by byte. */
const tok_added *tok_longest_at(const tok_matcher *m, const char *text, size_t at, size_t n) {
    unsigned char byte = (unsigned char)text[at];
    size_t low = m->first[byte], high = m->first[byte + 1];
    const tok_added *best = NULL;
    for (size_t depth = 1; low < high; depth++) {
        if (m->items[low].len == depth) { /* the shortest sorts first */
            best = &m->items[low++];
            if (low == high) break;
        }
        if (at + depth >= n) break;
        byte = (unsigned char)text[at + depth];
        size_t a = low, b = high; /* first item whose byte at depth is >= byte */
        while (a < b) {
            size_t middle = a + (b - a) / 2;
            if ((unsigned char)m->items[middle].pattern[depth] < byte)
                a = middle + 1;
            else
                b = middle;
        }
        low = a;
        for (b = high; a < b;) { /* and the first whose byte is greater */
            size_t middle = a + (b - a) / 2;
            if ((unsigned char)m->items[middle].pattern[depth] <= byte)
                a = middle + 1;
            else
                b = middle;
        }
        high = a;
    }
    return best;
}

static bool is_single_word(const char *text, size_t start, size_t end, size_t n) {
    uint32_t cp;
    if (start > 0) {
        uni_previous(text, start, &cp);
        if (uni_is_word(cp)) return false;
    }
    if (end < n) {
        uni_next(text + end, n - end, &cp);
        if (uni_is_word(cp)) return false;
    }
    return true;
}

static void add_text(tok_work *w, const tok_piece *piece, size_t start, size_t end) {
    tok_next_piece(w, piece->at + start, end - start, piece->zero > start ? piece->zero - start : 0, -1);
}

/* The search goes on right behind a token's own bytes: where rstrip took white space that is itself an added token,
 * that token comes a second time, as in Hugging Face. */
void tok_match_added(const tok_matcher *m, const tok_piece *piece, tok_work *w) {
    const char *text = w->text.data + piece->at;
    size_t n = piece->len, done = 0;
    for (size_t i = 0; i < n && m->n;) {
        const tok_added *a = tok_longest_at(m, text, i, n);
        if (!a) {
            i++;
            continue;
        }
        size_t start = i, end = i + a->len;
        i = end;
        if (a->single_word && !is_single_word(text, start, end, n)) continue;
        uint32_t cp;
        while (a->lstrip && start > done) {
            size_t before = uni_previous(text, start, &cp);
            if (!uni_is_space(cp)) break;
            start = before;
        }
        if (a->lstrip && start < done) start = done;
        while (a->rstrip && end < n) {
            size_t length = (size_t)uni_next(text + end, n - end, &cp);
            if (!uni_is_space(cp)) break;
            end += length;
        }
        if (start > done) add_text(w, piece, done, start);
        if (start < end) tok_next_piece(w, piece->at + start, end - start, 0, a->id);
        done = end;
    }
    add_text(w, piece, done, n);
}
