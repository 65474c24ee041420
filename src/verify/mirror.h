/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies of a call's operands in the other memory: on a device, with the bands around them that catch stray writes,
 * and back; and on the host, for a call whose operands a device holds. */
#ifndef NB_VERIFY_MIRROR_H
#define NB_VERIFY_MIRROR_H

#include "kernels/device.h"
#include "verify/operands.h"

/* One block of device memory, which grows and is used again and again. */
typedef struct mirror {
    device *device; /* with memory of its own */
    uint8_t *block;
    size_t cap, used;
    call_copy copy; /* the call on the device */
    struct mirrored {
        const uint8_t *host;
        uint8_t *place;
        size_t bytes;
        bool written;
    } * parts;
    size_t n_parts, cap_parts;
    void *scratch;
    bool scratch_is_clear;    /* since mirror_put */
    uint8_t *stage;           /* what goes to the device next, on the host, ... */
    size_t stage_at, stage_n; /* ...to this place of the block; so many bytes */
    nb_status status;
    nb_error *err;
} mirror;

/* Bytes on each side of a mirrored operand: those of its guard's bands where it is written, else NaN. */
enum { MIRROR_BAND = 256 };

/* Brings the operands of a host's call onto the device; m->copy.call is the call there. What is written must stand
 * between bands of MIRROR_BAND readable bytes. scratch_bytes of NaN come with it (m->scratch; 0: NULL). Zero a mirror
 * before its first use, and set its device. */
nb_status mirror_put(mirror *m, const kcall *c, size_t scratch_bytes, nb_error *err);
/* Fills the scratch with NaN again, unless that has just been done. */
nb_status mirror_clear_scratch(mirror *m, size_t scratch_bytes, nb_error *err);
/* Brings back what is written, with its bands. */
nb_status mirror_get(mirror *m, nb_error *err);
void mirror_free(mirror *m);

/* A host's copy of a call whose operands are in the device's memory: its numbers, for the reference. */
typedef struct fetched {
    call_copy copy; /* copy.call: the call on the host */
    void **blocks;
    size_t n_blocks, cap_blocks;
} fetched;
/* `weights`: copies those too; else they stay where they are, for a caller that knows better. */
nb_status call_fetch(device *d, const kcall *c, bool weights, fetched *out, nb_error *err);
void call_fetched_free(fetched *f);

#endif
