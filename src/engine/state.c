/* SPDX-License-Identifier: Apache-2.0
 *
 * Recurrent states of sequences. A state is as large as many pages and holds all tokens at once, so it cannot be cut as
 * the KV cache can: it is saved at some page boundaries, and a cut or a fork goes on from the last one before. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "engine/engine.h"

nb_status state_pool_init(state_pool *p, bool present, int64_t n_sequences, int n_checkpoints, nb_error *err) {
    *p = (state_pool){.present = present};
    if (!p->present) return NB_OK;
    p->n_checkpoints = n_checkpoints;
    p->free_slots = malloc((size_t)n_sequences * sizeof *p->free_slots);
    if (!p->free_slots) return err_no_memory(err, "recurrent states", 0);
    while (p->n_free < n_sequences) {
        p->free_slots[p->n_free] = n_checkpoints + p->n_free;
        p->n_free++;
    }
    return NB_OK;
}

void state_pool_free(state_pool *p) {
    free(p->free_slots);
}

int64_t state_pool_slots(const state_pool *p, int64_t n_sequences) {
    return p->present ? p->n_checkpoints + n_sequences : 0;
}

static nb_status copy_state(const nb_context *c, int32_t from, int32_t to, nb_error *err) {
    return c->executor->copy_state(c->executor, from, to, err);
}

nb_status sequence_take_state(nb_sequence *s, nb_error *err) {
    state_pool *p = &s->context->states;
    s->slot = -1;
    if (!p->present) return NB_OK;
    s->slot = p->free_slots[--p->n_free];
    return copy_state(s->context, -1, s->slot, err);
}

/* Checkpoints that no sequence has any more are free again. */
static void drop_saved(nb_sequence *s, uint64_t saved) {
    nb_context *c = s->context;
    s->saved &= ~saved;
    c->states.taken = 0;
    for (const nb_sequence *other = c->sequences; other; other = other->next) c->states.taken |= other->saved;
}

void sequence_drop_state(nb_sequence *s) {
    drop_saved(s, s->saved);
    if (s->slot >= 0) s->context->states.free_slots[s->context->states.n_free++] = s->slot;
    s->slot = -1;
}

/* The longest of the checkpoints in `saved` that covers at most n_tokens; -1: none. */
static int32_t best_checkpoint(const state_pool *p, uint64_t saved, int64_t n_tokens) {
    int32_t best = -1;
    for (int32_t i = 0; i < p->n_checkpoints; i++) {
        if (!(saved >> i & 1) || p->checkpoints[i].n_tokens > n_tokens) continue;
        if (best < 0 || p->checkpoints[i].n_tokens > p->checkpoints[best].n_tokens) best = i;
    }
    return best;
}

nb_status sequence_copy_state(nb_sequence *s, const nb_sequence *from, int64_t n_tokens, nb_error *err) {
    state_pool *p = &s->context->states;
    if (!p->present) return NB_OK;
    uint64_t shared = 0;
    for (int i = 0; i < p->n_checkpoints; i++)
        if (from->saved >> i & 1 && p->checkpoints[i].n_tokens <= n_tokens) shared |= (uint64_t)1 << i;
    int32_t source = best_checkpoint(p, shared, n_tokens);
    if (source >= 0) p->checkpoints[source].used = ++p->clock;
    s->n_state = source >= 0 ? p->checkpoints[source].n_tokens : 0;
    if (from->n_state <= n_tokens && from->n_state > s->n_state) {
        source = from->slot;
        s->n_state = from->n_state;
    }
    nb_status status = source != s->slot ? copy_state(s->context, source, s->slot, err) : NB_OK;
    if (status) s->n_state = STATE_UNKNOWN;
    drop_saved(s, s->saved & ~shared);
    s->saved = shared;
    return status;
}

nb_status sequence_restore_state(nb_sequence *s, int64_t n_tokens, nb_error *err) {
    return s->slot >= 0 && s->n_state > n_tokens ? sequence_copy_state(s, s, n_tokens, err) : NB_OK;
}

bool sequence_saves_at(const nb_sequence *s, int64_t n_tokens, int64_t end) {
    const state_pool *p = &s->context->states;
    if (!p->present || p->n_checkpoints == 0 || n_tokens == 0 || n_tokens % KV_PAGE_SIZE != 0) return false;
    return n_tokens % CHECKPOINT_INTERVAL == 0 || end - n_tokens < KV_PAGE_SIZE;
}

/* How many tokens would be read again in place of checkpoint i: from the next shorter one of a sequence that has it. */
static int64_t gap_before(const nb_context *c, int i) {
    const state_pool *p = &c->states;
    int64_t gap = p->checkpoints[i].n_tokens;
    for (const nb_sequence *s = c->sequences; s; s = s->next) {
        if (!(s->saved >> i & 1)) continue;
        const int32_t before = best_checkpoint(p, s->saved, p->checkpoints[i].n_tokens - 1);
        if (before >= 0) gap = min_i64(gap, p->checkpoints[i].n_tokens - p->checkpoints[before].n_tokens);
    }
    return gap;
}

/* A place to save in: a free one, else that of the checkpoint that is missed least; of equals the one longest unused.
 */
static int32_t checkpoint_place(nb_context *c) {
    state_pool *p = &c->states;
    int32_t victim = 0;
    int64_t least = INT64_MAX;
    for (int32_t i = 0; i < p->n_checkpoints; i++) {
        if (!(p->taken >> i & 1)) return i;
        const int64_t gap = gap_before(c, i);
        if (gap > least || (gap == least && p->checkpoints[i].used >= p->checkpoints[victim].used)) continue;
        victim = i;
        least = gap;
    }
    for (nb_sequence *s = c->sequences; s; s = s->next) s->saved &= ~((uint64_t)1 << victim);
    return victim;
}

void sequence_save_state(nb_sequence *s) {
    state_pool *p = &s->context->states;
    const int32_t have = best_checkpoint(p, s->saved, s->n_state);
    if (have >= 0 && p->checkpoints[have].n_tokens == s->n_state) return;
    const int32_t place = checkpoint_place(s->context);
    nb_error err;
    if (copy_state(s->context, s->slot, place, &err)) {
        p->taken &= ~((uint64_t)1 << place); /* it was taken from who had it */
        log_msg(NB_LOG_DEBUG, "a recurrent state is not saved: %s", err.text);
        return;
    }
    p->checkpoints[place] = (checkpoint){s->n_state, ++p->clock};
    p->taken |= (uint64_t)1 << place;
    s->saved |= (uint64_t)1 << place;
}
