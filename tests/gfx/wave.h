/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of a wave and of its workgroup, and what the files that execute instructions share. Beside each value
 * stands whether it was ever written: undefined values may be moved about and computed with, as compilers do; an
 * address, a branch, EXEC or a store to global memory that depends on one is an error. */
#ifndef NB_TESTS_GFX_WAVE_H
#define NB_TESTS_GFX_WAVE_H

#include <stdalign.h>

#include "gfx/code.h"
#include "gfx/ranges.h"
#include "gfx/valu.h"

enum {
    GFX_N_SGPRS = 128, /* with VCC, M0, EXEC at their encodings */
    GFX_N_VGPRS = 256,
    GFX_MOST_WAVES = GFX_MOST_THREADS / GFX_LANES,
    GFX_QUEUE = 128, /* loads under way, a power of two */
    GFX_ALL = -1     /* all lanes, as a mask */
};

/* What an instruction's function returns. */
typedef enum gfx_step { GFX_GO_ON, GFX_END, GFX_BARRIER, GFX_FAILED } gfx_step;

typedef enum gfx_load_kind { GFX_LOAD_NOTHING, GFX_LOAD_VGPRS, GFX_LOAD_SGPRS } gfx_load_kind;
typedef struct gfx_load {
    uint8_t kind, n;
    uint16_t first;
} gfx_load;
typedef struct gfx_loads {
    uint32_t begin, end; /* of the queue, modulo its size */
    uint32_t n_scalar;   /* loads of SGPRs in it, which come back in any order */
    gfx_load at[GFX_QUEUE];
} gfx_loads;

typedef struct gfx_group gfx_group;
typedef struct gfx_wave gfx_wave;

struct gfx_wave {
    alignas(64) uint32_t v[GFX_N_VGPRS + 1][GFX_LANES]; /* one more, for what reads a pair at the end */
    alignas(64) uint32_t scratch_lanes[6][GFX_LANES];   /* scalar sources, broadcast; permuted sources */
    uint32_t v_written[GFX_N_VGPRS + 1];                /* a bit a lane */
    uint8_t v_loading[GFX_N_VGPRS + 1];                 /* loads into it that nobody has waited for */
    uint32_t s[GFX_N_SGPRS];
    uint32_t s_written[GFX_N_SGPRS]; /* bit by bit */
    uint8_t s_loading[GFX_N_SGPRS];
    uint32_t scc;
    bool scc_written;
    gfx_mode mode;
    uint32_t at; /* the next instruction */
    gfx_loads vm, lgkm;
    uint64_t executed;
    gfx_range range[2]; /* of memory, last used: of vector and of scalar accesses */
    gfx_group *group;
    uint32_t number, n_threads; /* in the group; threads that it has */
    bool ended;
    uint32_t *scratch;              /* a row of lanes for each 4 bytes */
    uint32_t (*scratch_written)[4]; /* of each byte of such a row: the lanes that have written it */
};

/* Who used 4 bytes of LDS last: epoch (between barriers) << 10 | many << 9 | wave << 4 | a bit for each byte. */
typedef struct gfx_lds_use {
    uint32_t write, read;
} gfx_lds_use;

typedef struct gfx_run_state gfx_run_state;
struct gfx_group {
    const gfx_kernel *kernel;
    const gfx_code *code;
    gfx_run_state *run;
    uint32_t id[3], n_waves;
    uint32_t lds_bytes;
    uint32_t epoch; /* goes up at each barrier and each workgroup, never back while the uses stand */
    alignas(64) uint8_t lds[GFX_LDS_MAX + 64];
    uint8_t lds_written[GFX_LDS_MAX / 4]; /* a bit for each byte */
    gfx_lds_use lds_use[GFX_LDS_MAX / 4];
    char error[GFX_ERROR_TEXT];
    gfx_range extra[2]; /* what a launch adds to registered memory: arguments, the dispatch packet */
    gfx_wave *waves[GFX_MOST_WAVES];
    size_t scratch_rows; /* that each wave has room for */
    uint64_t *counts;    /* by instruction of the kernel; NULL: not counted */
};

struct gfx_op;
/* The reason, prefixed with kernel, block, wave and instruction. */
gfx_step gfx_fail(gfx_wave *w, const struct gfx_op *o, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- Apertures: how flat addresses name LDS and scratch; no address of the host looks so. */
enum { GFX_SHARED_BASE_HI = 0x10000, GFX_PRIVATE_BASE_HI = 0x20000 };

static inline uint32_t gfx_exec(const gfx_wave *w) {
    return w->s[126];
}

/* The lanes of `mask` get what is in `from`. */
static inline void gfx_blend(uint32_t *restrict to, const uint32_t *restrict from, uint32_t mask) {
    if (mask == (uint32_t)GFX_ALL) {
        for (int l = 0; l < GFX_LANES; l++) to[l] = from[l];
        return;
    }
    for (int l = 0; l < GFX_LANES; l++) {
        const uint32_t m = 0u - (mask >> l & 1);
        to[l] = (to[l] & ~m) | (from[l] & m);
    }
}

static inline void gfx_mark(gfx_wave *w, unsigned v, uint32_t lanes, uint32_t written) {
    w->v_written[v] = (w->v_written[v] & ~lanes) | (written & lanes);
}

static inline void gfx_broadcast(uint32_t *to, uint32_t value) {
    for (int l = 0; l < GFX_LANES; l++) to[l] = value;
}

/* scalar.c: a source by its encoding; `written` says which of its bits are. False: it is still being loaded, or no
 * register. */
bool gfx_scalar(gfx_wave *w, unsigned code, uint32_t literal, uint32_t *value, uint32_t *written);
/* Writes one; NULL and read-only ones are dropped. */
void gfx_set_scalar(gfx_wave *w, unsigned code, uint32_t value, uint32_t written);

/* wait.c */
void gfx_loading(gfx_wave *w, gfx_loads *q, gfx_load_kind kind, unsigned first, unsigned n);
void gfx_wait(gfx_wave *w, gfx_loads *q, uint32_t left);

#endif
