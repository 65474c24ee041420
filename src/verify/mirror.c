/* SPDX-License-Identifier: Apache-2.0
 *
 * Mirroring by the list of operands (operands.h): once to see how much memory is needed, once to copy. */
#include "verify/mirror.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum { UNIT = 256, STAGE = 1 << 20 };

/* ---- To the device ------------------------------------------------------------------------------------------- */

/* Where in its block an operand goes: between two bands, and as far off a multiple of UNIT as on the host, so that it
 * is aligned as there. */
static size_t reserve(mirror *m, const void *host, size_t bytes) {
    size_t at = m->used + MIRROR_BAND + (uintptr_t)host % UNIT;
    m->used = round_up(at + bytes + MIRROR_BAND, UNIT);
    return at;
}

static void *measure(void *user, const operand *o) {
    reserve(user, o->data, o->bytes);
    return (void *)o->data;
}

/* A copy to a device costs microseconds whatever its size, so what is small goes there together. */
static nb_status flush(mirror *m, nb_error *err) {
    nb_status status = NB_OK;
    if (m->stage_n > 0) status = m->device->memory->write(m->device, m->block + m->stage_at, m->stage, m->stage_n, err);
    m->stage_at += m->stage_n;
    m->stage_n = 0;
    return status;
}

/* The block's next bytes; from NULL: NaN. */
static nb_status stage(mirror *m, const uint8_t *from, size_t bytes, nb_error *err) {
    if (from && bytes >= STAGE / 2) {
        nb_status status = flush(m, err);
        if (status == NB_OK) status = m->device->memory->write(m->device, m->block + m->stage_at, from, bytes, err);
        m->stage_at += bytes;
        return status;
    }
    nb_status status = NB_OK;
    while (bytes > 0 && status == NB_OK) {
        const size_t room = STAGE - m->stage_n, n = bytes < room ? bytes : room;
        if (from)
            memcpy(m->stage + m->stage_n, from, n);
        else
            memset(m->stage + m->stage_n, 0xff, n);
        m->stage_n += n;
        bytes -= n;
        if (from) from += n;
        if (m->stage_n == STAGE) status = flush(m, err);
    }
    return status;
}

/* NaN up to a place in the block. */
static nb_status stage_gap(mirror *m, const uint8_t *place, nb_error *err) {
    return stage(m, NULL, (size_t)(place - m->block) - m->stage_at - m->stage_n, err);
}

static bool remember(mirror *m, const struct mirrored *part) {
    if (m->n_parts == m->cap_parts) {
        size_t cap = 2 * m->cap_parts + 8;
        struct mirrored *more = realloc(m->parts, cap * sizeof *more);
        if (!more) {
            m->status = err_no_memory(m->err, "a kernel check", 0);
            return false;
        }
        m->parts = more;
        m->cap_parts = cap;
    }
    m->parts[m->n_parts++] = *part;
    return true;
}

static void *put(void *user, const operand *o) {
    mirror *m = user;
    uint8_t *place = m->block + reserve(m, o->data, o->bytes);
    struct mirrored part = {.host = o->data, .place = place, .bytes = o->bytes, .written = o->written};
    if (!remember(m, &part)) return NULL;
    const size_t band = o->written ? MIRROR_BAND : 0;
    m->status = stage_gap(m, place - band, m->err);
    if (m->status == NB_OK) m->status = stage(m, part.host - band, o->bytes + 2 * band, m->err);
    return m->status == NB_OK ? place : NULL;
}

static nb_status grow(mirror *m, size_t bytes, nb_error *err) {
    if (bytes <= m->cap) return NB_OK;
    if (m->block) m->device->memory->release(m->device, m->block);
    m->cap = bytes + bytes / 2;
    m->block = m->device->memory->alloc(m->device, m->cap);
    if (m->block) return NB_OK;
    m->cap = 0;
    return err_no_memory(err, "a kernel check on the device", bytes);
}

nb_status mirror_put(mirror *m, const kcall *c, size_t scratch_bytes, nb_error *err) {
    m->used = scratch_bytes > 0 ? round_up(scratch_bytes, UNIT) + UNIT : 0;
    size_t first = m->used;
    bool listed = call_move(c, &m->copy, false, measure, m);
    call_copy_free(&m->copy);
    if (!listed) return err_no_memory(err, "a kernel check", 0);
    nb_status status = grow(m, m->used + UNIT, err); /* the list of page tables may lie elsewhere next time */
    if (status != NB_OK) return status;
    if (!m->stage && !(m->stage = malloc(STAGE))) return err_no_memory(err, "a kernel check", STAGE);
    m->used = first;
    m->n_parts = 0;
    m->status = NB_OK;
    m->err = err;
    m->scratch = scratch_bytes > 0 ? m->block : NULL;
    m->scratch_is_clear = true;
    m->stage_at = m->stage_n = 0;
    if (!call_move(c, &m->copy, false, put, m))
        return m->status != NB_OK ? m->status : err_no_memory(err, "a kernel check", 0);
    status = stage_gap(m, m->block + m->used, err);
    return status == NB_OK ? flush(m, err) : status;
}

nb_status mirror_clear_scratch(mirror *m, size_t scratch_bytes, nb_error *err) {
    const bool is_clear = m->scratch_is_clear;
    m->scratch_is_clear = false;
    if (scratch_bytes == 0 || is_clear) return NB_OK;
    m->stage_at = m->stage_n = 0;
    nb_status status = stage(m, NULL, scratch_bytes, err);
    return status == NB_OK ? flush(m, err) : status;
}

nb_status mirror_get(mirror *m, nb_error *err) {
    device *d = m->device;
    nb_status status = NB_OK;
    for (size_t i = 0; i < m->n_parts && status == NB_OK; i++) {
        const struct mirrored *part = &m->parts[i];
        if (!part->written) continue;
        status = d->memory->read(d, (uint8_t *)(uintptr_t)part->host - MIRROR_BAND, part->place - MIRROR_BAND,
                                 part->bytes + 2 * MIRROR_BAND, err);
    }
    call_copy_free(&m->copy);
    return status;
}

void mirror_free(mirror *m) {
    if (m->block) m->device->memory->release(m->device, m->block);
    call_copy_free(&m->copy);
    free(m->parts);
    free(m->stage);
    *m = (mirror){.device = m->device};
}

/* ---- To the host --------------------------------------------------------------------------------------------- */

typedef struct fetcher {
    device *device;
    fetched *out;
    bool weights;
    nb_status status;
    nb_error *err;
} fetcher;

static void *fetch(void *user, const operand *o) {
    fetcher *f = user;
    fetched *out = f->out;
    if (o->of_weight && !f->weights) return (void *)o->data;
    if (out->n_blocks == out->cap_blocks) {
        size_t cap = 2 * out->cap_blocks + 8;
        void **more = realloc(out->blocks, cap * sizeof *more);
        if (!more) return NULL;
        out->blocks = more;
        out->cap_blocks = cap;
    }
    void *block = aligned_alloc(64, round_up(o->bytes + 1, 64));
    if (!block) return NULL;
    out->blocks[out->n_blocks++] = block;
    if (f->device->memory)
        f->status = f->device->memory->read(f->device, block, o->data, o->bytes, f->err);
    else
        memcpy(block, o->data, o->bytes);
    return f->status == NB_OK ? block : NULL;
}

nb_status call_fetch(device *d, const kcall *c, bool weights, fetched *out, nb_error *err) {
    fetcher f = {.device = d, .out = out, .weights = weights, .err = err};
    *out = (fetched){0};
    if (call_move(c, &out->copy, true, fetch, &f)) return NB_OK;
    call_fetched_free(out);
    return f.status != NB_OK ? f.status : err_no_memory(err, "the operands of a step", 0);
}

void call_fetched_free(fetched *f) {
    for (size_t i = 0; i < f->n_blocks; i++) free(f->blocks[i]);
    free(f->blocks);
    call_copy_free(&f->copy);
    *f = (fetched){0};
}
