/* SPDX-License-Identifier: Apache-2.0
 *
 * The BPE model: a word's characters become ids, then the neighbours with the lowest rank merge, the leftmost first,
 * until no pair has a merge. Short words search the lowest rank by going over all of them, long ones keep a heap. In
 * a longer text a word that came before takes its ids from there. */
#include <stdlib.h>
#include <string.h>

#include "text/tok_internal.h"

enum {
    SHORT_WORD = 40,       /* symbols; below, going over all ranks is faster than a heap */
    CACHE_SLOTS = 4096,    /* a power of two */
    CACHE_LENGTH = 128,    /* bytes of a word that the cache takes */
    CACHE_MIN_PIECES = 64, /* fewer pieces do not pay for the cache */
};

/* A word seen in this text: where its bytes are, and where its ids. */
typedef struct cache_slot {
    size_t at, ids;
    uint32_t len, count; /* len 0: free */
} cache_slot;

typedef struct symbol {
    int32_t id;
    uint32_t prev, next; /* indices; NONE at the ends */
    bool gone;
} symbol;

typedef struct candidate {
    uint64_t key; /* rank << 32 | position */
    int32_t id;   /* what the merge makes */
} candidate;

enum { NO_RANK = UINT32_MAX };
static const uint32_t NONE = UINT32_MAX;

typedef struct bpe {
    const tokenizer *t;
    int32_t *ids; /* the result */
    size_t n_ids, cap_ids;
    symbol *symbols; /* for long words */
    candidate *heap;
    size_t cap_symbols, n_heap, cap_heap;
    buf spelling; /* for prefix and suffix */
    cache_slot *cache;
} bpe;

/* Room for n more ids at the end of the result. */
static bool reserve_ids(bpe *b, size_t n) {
    if (n <= b->cap_ids - b->n_ids) return true;
    size_t cap = b->cap_ids ? b->cap_ids + b->cap_ids / 2 : 64;
    if (n > SIZE_MAX / 16 - b->n_ids) return false;
    if (cap < b->n_ids + n) cap = b->n_ids + n;
    int32_t *ids = realloc(b->ids, cap * sizeof *ids);
    if (!ids) return false;
    b->ids = ids;
    b->cap_ids = cap;
    return true;
}

/* ---- Words to symbols ----------------------------------------------------------------------------------------- */

/* The id of one character of a word, -1 when the vocabulary lacks it. */
static int32_t char_id(bpe *b, const char *s, size_t length, uint32_t cp, bool first, bool last) {
    const tokenizer *t = b->t;
    if ((!t->subword_prefix || first) && (!t->word_suffix || !last))
        return cp < TOK_DIRECT_CHARS ? t->direct[cp] : tok_map_get(&t->vocab, s, length);
    buf_clear(&b->spelling);
    if (!first && t->subword_prefix) buf_puts(&b->spelling, t->subword_prefix);
    buf_put(&b->spelling, s, length);
    if (last && t->word_suffix) buf_puts(&b->spelling, t->word_suffix);
    return b->spelling.failed ? -1 : tok_map_get(&t->vocab, b->spelling.data, b->spelling.len);
}

/* Puts the ids of a character's bytes; false when one of them has none. */
static bool put_byte_ids(bpe *b, const char *s, size_t length, bool first, bool last) {
    const tokenizer *t = b->t;
    bool spelled = (!first && t->subword_prefix) || (last && t->word_suffix);
    if (spelled) { /* char_id has just spelled it out */
        s = b->spelling.data;
        length = b->spelling.len;
    }
    if (!reserve_ids(b, length)) return false;
    for (size_t i = 0; i < length; i++)
        if (t->byte_ids[(uint8_t)s[i]] < 0) return false;
    for (size_t i = 0; i < length; i++) b->ids[b->n_ids++] = t->byte_ids[(uint8_t)s[i]];
    return true;
}

/* Puts the word's symbols at the end of b->ids. An unknown character becomes unk_token, a row of them one if
 * fuse_unk; like in Hugging Face it waits until the next known character (bytes of byte_fallback overtake it). */
static nb_status put_symbols(bpe *b, const char *word, size_t n, nb_error *err) {
    const tokenizer *t = b->t;
    bool pending = false;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t length = (size_t)uni_next(word + i, n - i, &cp);
        bool first = i == 0, last = i + length == n;
        int32_t id = char_id(b, word + i, length, cp, first, last);
        if (!reserve_ids(b, 2)) return err_no_memory(err, "token ids", n);
        if (id >= 0) {
            if (pending) b->ids[b->n_ids++] = t->unk_id;
            pending = false;
            b->ids[b->n_ids++] = id;
        } else if (t->byte_fallback && put_byte_ids(b, word + i, length, first, last)) {
            /* done */
        } else if (t->unk_token) {
            if (t->unk_id < 0)
                return err_set(err, NB_ERR_FORMAT, "the tokenizer's unk_token \"%.60s\" is not in its vocabulary",
                               t->unk_token);
            if (pending && !t->fuse_unk) b->ids[b->n_ids++] = t->unk_id;
            pending = true;
        }
        i += length;
    }
    if (pending) {
        if (!reserve_ids(b, 1)) return err_no_memory(err, "token ids", n);
        b->ids[b->n_ids++] = t->unk_id;
    }
    return b->spelling.failed ? err_no_memory(err, "a word", n) : NB_OK;
}

/* ---- Merging -------------------------------------------------------------------------------------------------- */

static const tok_merge *merge_of(const tokenizer *t, int32_t left, int32_t right) {
    return tok_merges_get(&t->merges, left, right);
}

static size_t merge_short(const tokenizer *t, int32_t *ids, size_t n) {
    uint32_t ranks[SHORT_WORD];
    int32_t made[SHORT_WORD];
    for (size_t i = 0; i + 1 < n; i++) {
        const tok_merge *m = merge_of(t, ids[i], ids[i + 1]);
        ranks[i] = m ? m->rank : NO_RANK;
        made[i] = m ? m->id : -1;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best]) best = i;
        if (ranks[best] == NO_RANK) break;
        ids[best] = made[best];
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        if (best + 1 < n) {
            memmove(ranks + best, ranks + best + 1, (n - best - 1) * sizeof *ranks);
            memmove(made + best, made + best + 1, (n - best - 1) * sizeof *made);
        }
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const tok_merge *m = merge_of(t, ids[i], ids[i + 1]);
            ranks[i] = m ? m->rank : NO_RANK;
            made[i] = m ? m->id : -1;
        }
    }
    return n;
}

static bool heap_push(bpe *b, const tok_merge *m, uint32_t position) {
    if (!m) return true;
    if (b->n_heap == b->cap_heap) {
        size_t cap = b->cap_heap ? 2 * b->cap_heap : 256;
        candidate *heap = realloc(b->heap, cap * sizeof *heap);
        if (!heap) return false;
        b->heap = heap;
        b->cap_heap = cap;
    }
    candidate c = {.key = (uint64_t)m->rank << 32 | position, .id = m->id};
    size_t i = b->n_heap++;
    for (; i > 0 && b->heap[(i - 1) / 2].key > c.key; i = (i - 1) / 2) b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = c;
    return true;
}

static candidate heap_pop(bpe *b) {
    candidate top = b->heap[0], last = b->heap[--b->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= b->n_heap) break;
        if (child + 1 < b->n_heap && b->heap[child + 1].key < b->heap[child].key) child++;
        if (b->heap[child].key >= last.key) break;
        b->heap[i] = b->heap[child];
        i = child;
    }
    b->heap[i] = last;
    return top;
}

static bool merge_long(bpe *b, int32_t *ids, size_t *n_ids) {
    size_t n = *n_ids;
    if (n >= NONE) return false;
    if (n > b->cap_symbols) {
        free(b->symbols);
        b->symbols = malloc(n * sizeof *b->symbols);
        b->cap_symbols = b->symbols ? n : 0;
        if (!b->symbols) return false;
    }
    symbol *s = b->symbols;
    b->n_heap = 0;
    for (uint32_t i = 0; i < n; i++) {
        s[i] = (symbol){.id = ids[i], .prev = i ? i - 1 : NONE, .next = i + 1 < n ? i + 1 : NONE};
        if (i && !heap_push(b, merge_of(b->t, ids[i - 1], ids[i]), i - 1)) return false;
    }
    while (b->n_heap) {
        candidate c = heap_pop(b);
        uint32_t at = (uint32_t)c.key, right = s[at].next;
        if (s[at].gone || right == NONE) continue;
        const tok_merge *m = merge_of(b->t, s[at].id, s[right].id);
        if (!m || m->id != c.id) continue; /* one of the two has merged meanwhile */
        s[at].id = c.id;
        s[at].next = s[right].next;
        s[right].gone = true;
        if (s[at].next != NONE) {
            s[s[at].next].prev = at;
            if (!heap_push(b, merge_of(b->t, c.id, s[s[at].next].id), at)) return false;
        }
        uint32_t left = s[at].prev;
        if (left != NONE && !heap_push(b, merge_of(b->t, s[left].id, c.id), left)) return false;
    }
    size_t kept = 0;
    for (uint32_t i = 0; i != NONE; i = s[i].next) ids[kept++] = s[i].id;
    *n_ids = kept;
    return true;
}

static nb_status put_word(bpe *b, const char *word, size_t n, nb_error *err) {
    if (b->t->ignore_merges) {
        int32_t whole = tok_map_get(&b->t->vocab, word, n);
        if (whole >= 0) {
            if (!reserve_ids(b, 1)) return err_no_memory(err, "token ids", n);
            b->ids[b->n_ids++] = whole;
            return NB_OK;
        }
    }
    size_t start = b->n_ids;
    nb_status status = put_symbols(b, word, n, err);
    if (status) return status;
    size_t count = b->n_ids - start;
    if (count <= SHORT_WORD)
        count = merge_short(b->t, b->ids + start, count);
    else if (!merge_long(b, b->ids + start, &count))
        return err_no_memory(err, "a long word", n);
    b->n_ids = start + count;
    return NB_OK;
}

/* ---- The text's pieces ---------------------------------------------------------------------------------------- */

static nb_status put_piece(bpe *b, const tok_work *w, const tok_piece *p, nb_error *err) {
    const char *word = w->text.data + p->at;
    if (!b->cache || p->len > CACHE_LENGTH) return put_word(b, word, p->len, err);
    cache_slot *slot = &b->cache[tok_hash(b->t->vocab.seed, word, p->len) & (CACHE_SLOTS - 1)];
    if (slot->len == p->len && memcmp(w->text.data + slot->at, word, p->len) == 0) {
        if (!reserve_ids(b, slot->count)) return err_no_memory(err, "token ids", p->len);
        memcpy(b->ids + b->n_ids, b->ids + slot->ids, slot->count * sizeof *b->ids);
        b->n_ids += slot->count;
        return NB_OK;
    }
    size_t start = b->n_ids;
    nb_status status = put_word(b, word, p->len, err);
    if (!status)
        *slot = (cache_slot){.at = p->at, .ids = start, .len = (uint32_t)p->len, .count = (uint32_t)(b->n_ids - start)};
    return status;
}

nb_status tok_bpe(const tokenizer *t, const tok_work *w, int32_t **ids, size_t *n_ids, nb_error *err) {
    bpe b = {.t = t};
    nb_status status = NB_OK;
    bool cached = w->n_pieces >= CACHE_MIN_PIECES;
    if (cached) b.cache = calloc(CACHE_SLOTS, sizeof *b.cache);
    if ((cached && !b.cache) || !reserve_ids(&b, w->n_pieces + 1))
        status = err_no_memory(err, "token ids", w->n_pieces);
    for (size_t i = 0; i < w->n_pieces && !status; i++) {
        const tok_piece *p = &w->pieces[i];
        if (p->id < 0) {
            status = put_piece(&b, w, p, err);
        } else if (!reserve_ids(&b, 1)) {
            status = err_no_memory(err, "token ids", 0);
        } else {
            b.ids[b.n_ids++] = p->id;
        }
    }
    free(b.symbols);
    free(b.heap);
    free(b.cache);
    buf_free(&b.spelling);
    if (status) {
        free(b.ids);
        return status;
    }
    *ids = b.ids;
    *n_ids = b.n_ids;
    return NB_OK;
}
