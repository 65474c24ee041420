/* SPDX-License-Identifier: Apache-2.0
 *
 * Sequences and the pages of the KV cache. A page that several sequences share is never written: the one that wants to
 * write gets a copy first. */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "engine/engine.h"

/* ---- Pages ----------------------------------------------------------------------------------------------------- */

nb_status page_pool_init(page_pool *p, int64_t n_pages, nb_error *err) {
    *p = (page_pool){.n_pages = (int32_t)n_pages, .n_free = (int32_t)n_pages};
    p->free_list = malloc((size_t)n_pages * sizeof *p->free_list);
    p->references = calloc((size_t)n_pages, sizeof *p->references);
    if (!p->free_list || !p->references) return err_no_memory(err, "the KV cache's page table", 0);
    for (int32_t i = 0; i < p->n_pages; i++) p->free_list[i] = p->n_pages - 1 - i; /* low numbers first */
    return NB_OK;
}

void page_pool_free(page_pool *p) {
    free(p->free_list);
    free(p->references);
}

static int32_t page_take(page_pool *p) {
    int32_t page = p->free_list[--p->n_free];
    p->references[page] = 1;
    return page;
}

static void page_drop(page_pool *p, int32_t page) {
    if (--p->references[page] == 0) p->free_list[p->n_free++] = page;
}

/* ---- Sequences ------------------------------------------------------------------------------------------------- */

nb_status nb_sequence_new(nb_context *c, nb_sequence **out, nb_error *err) {
    *out = NULL;
    if (c->n_alive >= c->n_sequences)
        return err_set(err, NB_ERR_LIMIT, "the context has %lld sequences, as many as it was made for",
                       (long long)c->n_sequences);
    nb_sequence *s = calloc(1, sizeof *s);
    if (s) s->pages = malloc((size_t)div_up(c->context_length, KV_PAGE_SIZE) * sizeof *s->pages);
    if (!s || !s->pages) {
        free(s);
        return err_no_memory(err, "a sequence", 0);
    }
    s->context = c;
    s->next = c->sequences;
    c->sequences = s;
    c->n_alive++;
    nb_status status = sequence_take_state(s, err);
    if (status) {
        nb_sequence_free(s);
        return status;
    }
    *out = s;
    return NB_OK;
}

void nb_sequence_free(nb_sequence *s) {
    if (!s) return;
    sequence_drop_state(s);
    sequence_cut(s, 0);
    nb_sequence **link = &s->context->sequences;
    while (*link != s) link = &(*link)->next;
    *link = s->next;
    s->context->n_alive--;
    free(s->tokens);
    free(s->pages);
    free(s);
}

void sequence_cut(nb_sequence *s, int64_t n_tokens) {
    int64_t keep = div_up(n_tokens, KV_PAGE_SIZE);
    while (s->n_pages > keep) page_drop(&s->context->pages, s->pages[--s->n_pages]);
    s->n_tokens = n_tokens;
    sequence_restore_state(s, n_tokens, NULL);
}

static nb_status reserve_tokens(nb_sequence *s, int64_t n, nb_error *err) {
    if (n <= s->cap_tokens) return NB_OK;
    int64_t cap = max_i64(n, 2 * s->cap_tokens);
    int32_t *tokens = realloc(s->tokens, (size_t)cap * sizeof *tokens);
    if (!tokens) return err_no_memory(err, "a sequence's tokens", (size_t)cap * sizeof *tokens);
    s->tokens = tokens;
    s->cap_tokens = cap;
    return NB_OK;
}

nb_status sequence_reserve(nb_sequence *s, int64_t n_more, nb_error *err) {
    page_pool *pages = &s->context->pages;
    nb_status status = reserve_tokens(s, s->n_tokens + n_more, err);
    if (!status) status = sequence_restore_state(s, s->n_tokens, err);
    if (status) return status;
    /* The page that the next token falls into is shared when a fork ended, or a truncation cut, inside of it. */
    const int64_t inside = s->n_tokens % KV_PAGE_SIZE, last = s->n_tokens / KV_PAGE_SIZE;
    const bool copy = inside > 0 && pages->references[s->pages[last]] > 1;
    const int64_t n_new = div_up(s->n_tokens + n_more, KV_PAGE_SIZE) - s->n_pages;
    if (n_new + copy > pages->n_free)
        return err_set(err, NB_ERR_LIMIT,
                       "the KV cache is full: %lld more tokens do not fit beside what its sequences hold",
                       (long long)n_more);
    if (copy) {
        int32_t fresh = page_take(pages);
        status = s->context->executor->copy_page(s->context->executor, s->pages[last], fresh, inside, err);
        if (status) {
            page_drop(pages, fresh);
            return status;
        }
        page_drop(pages, s->pages[last]);
        s->pages[last] = fresh;
    }
    for (int64_t i = 0; i < n_new; i++) s->pages[s->n_pages++] = page_take(pages);
    return NB_OK;
}

nb_status nb_sequence_fork(nb_sequence *from, int64_t n_tokens, nb_sequence **out, nb_error *err) {
    *out = NULL;
    if (n_tokens < 0 || n_tokens > from->n_tokens)
        return err_set(err, NB_ERR_ARGUMENT, "fork at token %lld of a sequence of %lld", (long long)n_tokens,
                       (long long)from->n_tokens);
    nb_sequence *s;
    nb_status status = nb_sequence_new(from->context, &s, err);
    if (!status) status = reserve_tokens(s, max_i64(n_tokens, 1), err);
    if (status) {
        nb_sequence_free(s);
        return status;
    }
    if (n_tokens) memcpy(s->tokens, from->tokens, (size_t)n_tokens * sizeof *s->tokens);
    s->n_tokens = n_tokens;
    status = sequence_copy_state(s, from, n_tokens, err);
    if (status) {
        nb_sequence_free(s);
        return status;
    }
    s->n_pages = div_up(n_tokens, KV_PAGE_SIZE);
    for (int64_t i = 0; i < s->n_pages; i++) {
        s->pages[i] = from->pages[i];
        from->context->pages.references[s->pages[i]]++;
    }
    *out = s;
    return NB_OK;
}

nb_status nb_sequence_truncate(nb_sequence *s, int64_t n_tokens, nb_error *err) {
    if (n_tokens < 0 || n_tokens > s->n_tokens)
        return err_set(err, NB_ERR_ARGUMENT, "truncation to %lld tokens of a sequence of %lld", (long long)n_tokens,
                       (long long)s->n_tokens);
    sequence_cut(s, n_tokens);
    return NB_OK;
}

int64_t nb_sequence_length(const nb_sequence *s) {
    return s->n_tokens;
}
