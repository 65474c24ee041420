/* SPDX-License-Identifier: Apache-2.0
 *
 * The text in pieces that one call of tok_encode works on. */
#include <stdlib.h>

#include "text/tok_internal.h"

/* Makes room for one more element; the capacity grows by half. */
static bool grow(void **items, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return true;
    size_t want = *cap ? *cap + *cap / 2 : 64;
    if (want > SIZE_MAX / size) return false;
    void *more = realloc(*items, want * size);
    if (!more) return false;
    *items = more;
    *cap = want;
    return true;
}

void tok_next_piece(tok_work *w, size_t at, size_t len, size_t zero, int32_t id) {
    if (len == 0 || w->failed) return;
    if (!grow((void **)&w->next_pieces, w->n_next, &w->cap_next, sizeof *w->next_pieces)) {
        w->failed = true;
        return;
    }
    w->next_pieces[w->n_next++] = (tok_piece){.at = at, .len = len, .zero = zero < len ? zero : len, .id = id};
}

void tok_add_span(tok_work *w, size_t start, size_t end, bool hit) {
    if (w->failed) return;
    if (!grow((void **)&w->spans, w->n_spans, &w->cap_spans, sizeof *w->spans)) {
        w->failed = true;
        return;
    }
    w->spans[w->n_spans++] = (tok_span){.start = start, .end = end, .hit = hit};
}

void tok_swap(tok_work *w, bool with_text) {
    tok_piece *pieces = w->pieces;
    size_t cap = w->cap_pieces;
    w->pieces = w->next_pieces;
    w->n_pieces = w->n_next;
    w->cap_pieces = w->cap_next;
    w->next_pieces = pieces;
    w->cap_next = cap;
    w->n_next = 0;
    if (!with_text) return;
    buf text = w->text;
    w->text = w->next;
    w->next = text;
    if (w->text.failed) w->failed = true;
    buf_clear(&w->next);
}
