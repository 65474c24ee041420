/* SPDX-License-Identifier: Apache-2.0
 *
 * Packs the weight of a case into a row's layout: in the order of tasks that is least expected, twice over different
 * poison, so that unwritten bytes show. */
#include "verify/check_case.h"

#include <inttypes.h>
#include <string.h>

#include "base/num.h"

/* One matrix packed, in two runs of tasks, the later ones first. */
static nb_status pack(check *c, const krow *row, const kweight *w, uint8_t poison, int slot, uint8_t **out,
                      finding *found, nb_error *err) {
    const klayout *layout = row->layout;
    size_t bytes = layout->bytes(w);
    *out = guard_output(&c->slots[slot], bytes, poison);
    if (!*out) return check_no_memory(err);
    int64_t n = layout->tasks(w), middle = check_below(c, n + 1);
    check_begins(c, 1);
    if (middle < n) layout->pack(w, *out, middle, n);
    if (middle > 0) layout->pack(w, *out, 0, middle);
    check_ends(c);
    if (!guard_intact(*out, bytes, poison))
        check_found(c, row, FOUND_PACKING, found, "packing wrote outside of its output");
    return NB_OK;
}

/* Bytes of one row of a weight as it is stored. */
static size_t stored_row(const kweight *w) {
    size_t element = dtype_size(w->type);
    if (w->mode == W_PLAIN) return (size_t)w->k * element;
    return (size_t)(w->k * w->bits / 8) + (size_t)((w->biases ? 2 : 1) * w->k / w->group_size) * element;
}

/* A packed weight may be as large as the stored one with 64 more outputs, and every byte of it must be written. */
static nb_status pack_one(check *c, const krow *row, const kweight *w, uint8_t *to, finding *found, nb_error *err) {
    size_t bytes = row->layout->bytes(w), stored = stored_row(w) * (size_t)w->n;
    if (bytes > stored + 64 * stored_row(w)) {
        check_found(c, row, FOUND_PACKING, found, "the packed weight is %zu bytes, %zu as stored", bytes, stored);
        return NB_OK;
    }
    uint8_t *one, *two;
    nb_status status = pack(c, row, w, 0xff, SLOT_PACKED_ONE, &one, found, err);
    if (status == NB_OK) status = pack(c, row, w, 0x7f, SLOT_PACKED_TWO, &two, found, err);
    if (status != NB_OK || found->kind != FOUND_NOTHING) return status;
    if (memcmp(one, two, bytes) != 0)
        check_found(c, row, FOUND_PACKING, found,
                    "packing leaves bytes unwritten, or depends on the order of its tasks");
    memcpy(to, two, bytes);
    return NB_OK;
}

/* All matrices of the weight, each 64-byte aligned, the last one at the end of memory. */
nb_status check_pack(check *c, const krow *row, finding *found, nb_error *err) {
    if (!row->layout) return NB_OK;
    int64_t n;
    kweight *matrices = check_matrices(c, &n);
    size_t stride = round_up(row->layout->bytes(matrices), 64);
    uint8_t *packed = guard_input(&c->slots[SLOT_PACKED], (size_t)n * stride);
    if (!packed) return check_no_memory(err);
    nb_status status = NB_OK;
    for (int64_t i = 0; status == NB_OK && found->kind == FOUND_NOTHING && i < n; i++) {
        status = pack_one(c, row, &matrices[i], packed + (size_t)i * stride, found, err);
        matrices[i].packed = packed + (size_t)i * stride;
    }
    return status;
}

/* Only whether there are data, and how they are aligned, is looked at here, not what they are. */
bool check_takes(check *c, const krow *row) {
    static _Alignas(64) uint8_t somewhere[64]; /* as guard_output has them */
    if (row->op != c->spec.op || (row->flushes && c->spec.pattern == CHECK_SUBNORMAL)) return false;
    int64_t n;
    kweight *matrices = check_matrices(c, &n);
    if (row->layout && !row->layout->takes(matrices)) return false;
    c->w.layout = row->layout;
    for (int64_t i = 0; i < n; i++) {
        matrices[i].layout = row->layout;
        matrices[i].packed = row->layout ? somewhere : NULL;
    }
    kcall call = c->call;
    call.y.data = somewhere;
    if (call.op == KOP_KV_STORE) call.keys.data = somewhere;
    return kreg_takes(row, &call);
}
