/* SPDX-License-Identifier: Apache-2.0
 *
 * What all kinds of tokenizer files fill in the same way: an empty tokenizer, its vocabulary, the merges that follow
 * from a vocabulary alone, and the end of it all. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tok_internal.h"

nb_status tok_new(tokenizer **out, nb_error *err) {
    *out = NULL;
    tokenizer *t = calloc(1, sizeof *t);
    if (t) t->mem = arena_new(0);
    if (!t || !t->mem) {
        free(t);
        return err_no_memory(err, "the tokenizer", sizeof *t);
    }
    t->unk_id = -1;
    *out = t;
    return NB_OK;
}

void tok_free(tokenizer *t) {
    if (!t) return;
    for (size_t i = 0; i < t->n_norms; i++) tok_pattern_free(&t->norms[i].pattern);
    for (size_t i = 0; i < t->n_pres; i++) tok_pattern_free(&t->pres[i].pattern);
    for (size_t i = 0; i < t->n_decs; i++) tok_pattern_free(&t->decs[i].pattern);
    arena_free(t->mem);
    free(t);
}

nb_status tok_begin_vocab(tokenizer *t, size_t n, int32_t n_ids, size_t n_added, nb_error *err) {
    t->n_ids = n_ids;
    t->entries = arena_zalloc(t->mem, (size_t)n_ids + n_added + 1, sizeof *t->entries);
    return t->entries && tok_map_init(&t->vocab, t->mem, n) ? NB_OK : err_no_memory(err, "the vocabulary", n);
}

void tok_put_token(tokenizer *t, const char *text, size_t len, int32_t id) {
    tok_map_put(&t->vocab, text, (uint32_t)len, id);
    t->entries[id] = (tok_entry){.text = text, .decoded = text, .len = (uint32_t)len, .decoded_len = (uint32_t)len};
}

void tok_end_vocab(tokenizer *t) {
    for (uint32_t cp = 0; cp < TOK_DIRECT_CHARS; cp++) {
        char bytes[4];
        t->direct[cp] = tok_map_get(&t->vocab, bytes, (size_t)utf8_encode(cp, bytes));
    }
    static const char hex[] = "0123456789ABCDEF";
    for (unsigned b = 0; b < 256; b++) {
        char text[6] = {'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'};
        t->byte_ids[b] = tok_map_get(&t->vocab, text, 6);
    }
    if (t->unk_token) t->unk_id = tok_map_get(&t->vocab, t->unk_token, strlen(t->unk_token));
}

/* Puts every way to make token `id` of two others: look-ups first all begin, then end. `hashes` has room for two a
 * byte of the token. */
static void put_splits(const tokenizer *t, int32_t id, uint32_t rank, uint64_t *hashes, buf *found) {
    const tok_entry *e = &t->entries[id];
    uint32_t cp;
    size_t first = (size_t)uni_next(e->text, e->len, &cp), k = 0;
    for (size_t at = first; at < e->len; at += (size_t)uni_next(e->text + at, e->len - at, &cp)) {
        hashes[k++] = tok_map_prepare(&t->vocab, e->text, at);
        hashes[k++] = tok_map_prepare(&t->vocab, e->text + at, e->len - at);
    }
    k = 0;
    for (size_t at = first; at < e->len; at += (size_t)uni_next(e->text + at, e->len - at, &cp), k += 2) {
        int32_t left = tok_map_find(&t->vocab, hashes[k], e->text, at);
        int32_t right = left < 0 ? -1 : tok_map_find(&t->vocab, hashes[k + 1], e->text + at, e->len - at);
        if (right < 0) continue;
        tok_merge merge = {.pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right, .rank = rank, .id = id};
        buf_put(found, &merge, sizeof merge);
    }
}

nb_status tok_put_merges(tokenizer *t, const buf *found, nb_error *err) {
    enum { AHEAD = 32 };
    const tok_merge *merges = (const tok_merge *)(const void *)found->data;
    size_t n = found->len / sizeof *merges;
    if (found->failed || !tok_merges_init(&t->merges, t->mem, n)) return err_no_memory(err, "the merges", found->len);
    for (size_t i = 0; i < n; i++) {
        if (i + AHEAD < n) tok_merges_prepare(&t->merges, merges[i + AHEAD].pair);
        tok_merges_put(&t->merges, &merges[i]);
    }
    return NB_OK;
}

nb_status tok_merge_all(tokenizer *t, const uint32_t *ranks, nb_error *err) {
    buf found = {0};
    size_t longest = 0;
    for (int32_t id = 0; id < t->n_ids; id++)
        if (t->entries[id].len > longest) longest = t->entries[id].len;
    uint64_t *hashes = malloc((2 * longest + 1) * sizeof *hashes);
    for (int32_t id = 0; hashes && id < t->n_ids; id++)
        if (t->entries[id].text && (!ranks || ranks[id] != TOK_NO_RANK))
            put_splits(t, id, ranks ? ranks[id] : (uint32_t)id, hashes, &found);
    nb_status status = hashes ? tok_put_merges(t, &found, err) : err_no_memory(err, "the merges", longest);
    free(hashes);
    buf_free(&found);
    return status;
}

/* ---- What a tokenizer says of itself -------------------------------------------------------------------------- */

int32_t tok_count(const tokenizer *t) {
    return t->n_ids;
}

int32_t tok_id(const tokenizer *t, const char *token) {
    size_t len = strlen(token);
    int32_t id = tok_map_get(&t->added_ids, token, len);
    return id >= 0 ? id : tok_map_get(&t->vocab, token, len);
}

const char *tok_text(const tokenizer *t, int32_t id) {
    return id >= 0 && id < t->n_ids ? t->entries[id].text : NULL;
}

bool tok_is_special(const tokenizer *t, int32_t id) {
    return id >= 0 && id < t->n_ids && t->entries[id].special;
}

int32_t tok_beyond(const tokenizer *t, int64_t limit, bool added) {
    for (int64_t id = limit < 0 ? 0 : limit; id < t->n_ids; id++)
        if (t->entries[id].text && (t->entries[id].serial > 0) == added) return (int32_t)id;
    return -1;
}
