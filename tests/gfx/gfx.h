/* SPDX-License-Identifier: Apache-2.0
 *
 * An executor of AMD GPU code objects for RDNA 3 and 3.5 (gfx11-generic, gfx110x, gfx115x), wave32: it loads the ELF
 * that ships and interprets its machine code, wave by wave. What a real device leaves undefined is an error here that
 * names the kernel, the wave and the instruction: an access outside of registered memory or of the launch's LDS, a race
 * between waves, a value that depends on registers or LDS that were never written, a register that is read before its
 * load was waited for. What is not implemented stops with the instruction's name and bytes. */
#ifndef NB_TESTS_GFX_GFX_H
#define NB_TESTS_GFX_GFX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GFX_ERROR_TEXT = 600,
    GFX_LDS_MAX = 64 << 10, /* of a workgroup */
    GFX_MOST_THREADS = 1024 /* of a workgroup */
};

/* ---- Code objects (object.c) ------------------------------------------------------------------------------------ */

typedef struct gfx_object gfx_object;

/* What the runtime has to put at `offset` of the kernel's arguments; GFX_ARG_VALUE and GFX_ARG_POINTER are the
 * caller's.
 */
typedef enum gfx_arg_kind {
    GFX_ARG_VALUE,
    GFX_ARG_POINTER,
    GFX_ARG_BLOCKS, /* workgroups; `dim` says of which dimension, here and below */
    GFX_ARG_GROUP_SIZE,
    GFX_ARG_REMAINDER,
    GFX_ARG_GLOBAL_OFFSET,
    GFX_ARG_GRID_DIMS,
    GFX_ARG_DYNAMIC_LDS,
    GFX_ARG_OTHER /* hidden, and not given: its bytes are zero */
} gfx_arg_kind;
typedef struct gfx_arg {
    gfx_arg_kind kind;
    uint8_t dim;
    uint32_t offset, size;
} gfx_arg;

enum { GFX_MAX_ARGS = 64 };

typedef struct gfx_kernel {
    const char *name;
    uint32_t kernarg_size, lds_bytes, scratch_bytes /* of each thread */, n_vgprs, n_sgprs;
    uint32_t explicit_size; /* of the arguments that a caller gives: what stands before the hidden ones */
    uint32_t most_threads;  /* of a workgroup, by the metadata */
    bool wave32;
    /* The descriptor's words. */
    uint32_t rsrc1, rsrc2, rsrc3, properties;
    uint64_t entry, code_bytes; /* addresses as the ELF has them */
    uint32_t n_args;
    gfx_arg args[GFX_MAX_ARGS];
} gfx_kernel;

/* Copies what it needs. size 0: taken from the ELF's headers. NULL: `err` says what is wrong with it. */
gfx_object *gfx_object_load(const void *elf, size_t size, char *err, size_t err_size);
void gfx_object_free(gfx_object *o);
/* NULL: none of that name; no i-th one. Kernels live as long as their object. */
const gfx_kernel *gfx_object_kernel(const gfx_object *o, const char *name);
const gfx_kernel *gfx_object_kernels(const gfx_object *o, size_t i);
const void *gfx_object_code(const gfx_object *o, const gfx_kernel *k); /* its machine code, k->code_bytes of it */
const char *gfx_object_target(const gfx_object *o);                    /* "gfx1151" */

/* How many of the kernel's instructions are none or are not implemented; the first of them as text. Decodes it. */
size_t gfx_kernel_missing(const gfx_object *o, const gfx_kernel *k, char *first, size_t first_size);

/* ---- Launches (run.c) ------------------------------------------------------------------------------------------- */

typedef struct gfx_launch {
    const gfx_object *object;
    const gfx_kernel *kernel;
    uint32_t grid[3] /* workgroups */, block[3] /* threads */;
    uint32_t dynamic_lds;
    const void *kernarg; /* the explicit arguments, or with the hidden ones, which are overwritten */
    size_t kernarg_size;
    unsigned threads;    /* of this process; 0: as many as there are processors */
    uint64_t most_steps; /* instructions of a wave between two barriers, more are an error; 0: 2^36 */
} gfx_launch;

/* Waits for its end. False: the launch stopped at the first error, of which `err` tells. Calls may run side by side. */
bool gfx_run(const gfx_launch *l, char *err, size_t err_size);

/* ---- Memory (ranges.c) -------------------------------------------------------------------------------------------
 * Device memory is host memory at the same addresses; kernels may touch only what is registered. All of these wait for
 * launches that are running. What is added counts as written; of what is added as new, what kernels have not stored and
 * the host has not declared so does not, and a kernel that uses it is found out. */
void gfx_memory_add(const void *p, size_t bytes);
void gfx_memory_add_new(const void *p, size_t bytes);
void gfx_memory_remove(const void *p);
/* The host has written these bytes, which lie in one range. */
void gfx_memory_written(const void *p, size_t bytes);
/* Whether all of it lies in one registered range. */
bool gfx_memory_holds(const void *p, size_t bytes);

/* ---- What was executed (count.c) --------------------------------------------------------------------------------- */

/* From now on, counts executed instructions by mnemonic (waves, not lanes). */
void gfx_count(bool on);
/* The i-th mnemonic that was executed and how often; false: no more. */
bool gfx_counted(size_t i, const char **name, uint64_t *n);
/* Instructions of all launches, counted always. */
uint64_t gfx_executed(void);

#endif
