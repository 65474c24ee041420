/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of cuBLASLt and of hipBLASLt that nibble makes, for tests: each argument is checked, and what is wrong is
 * said on stderr; the product goes into the simulated driver's queue. An algorithm remembers what it was chosen for,
 * and is refused for anything else. NB_FAKE_LT=none: it has an algorithm for nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "gpu/driver/driver.h"

#ifdef FAKE_HIP
#    define LT(name) EXPORT int hipblasLt##name
enum { OK = 0, NOT_INITIALIZED = 1, NO_MEMORY = 2, INVALID = 3, UNSUPPORTED = 7 };
enum { COMPUTE_F32 = 2, DESC_OP_A = 0, OP_TRANSPOSE = 112, ALGORITHM_BYTES = 24, VERSION = 100000 };
#else
#    define LT(name) EXPORT int cublasLt##name
enum { OK = 0, NOT_INITIALIZED = 1, NO_MEMORY = 3, INVALID = 7, UNSUPPORTED = 15 };
enum { COMPUTE_F32 = 68, DESC_OP_A = 3, OP_TRANSPOSE = 1, ALGORITHM_BYTES = 64 };
#endif
enum { TYPE_F32 = 0, TYPE_F16 = 2, TYPE_BF16 = 14, PREF_MEMORY = 1, MEMORY_UNIT = 256, WORKSPACE = 64 << 10 };

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

typedef enum handle_kind { HANDLE, DESC, LAYOUT, PREFERENCE } handle_kind;
static const char *const kind_names[] = {"a handle", "a description", "a layout", "a preference"};

/* All that live, so that one that was freed, or is of another kind, is seen. */
typedef struct object {
    handle_kind kind;
    struct object *next;
    union {
        int32_t transposed; /* DESC: the operation on a; -1: none was said */
        struct {
            int type;
            int64_t rows, columns, ld;
        } layout;
        struct {
            uint64_t memory;
            uint32_t reduction, alignment[4];
        } preference;
    };
} object;
static object *objects;

static object *live(const void *p, handle_kind kind, const char *call) {
    object *o = objects;
    while (o && o != p) o = o->next;
    if (o && o->kind == kind) return o;
    sim_wrong(0, "%s: %p is not %s that lives", call, p, kind_names[kind]);
    return NULL;
}

static int make(void **out, handle_kind kind, object **made) {
    object *o = *out = calloc(1, sizeof *o);
    if (!o) return NO_MEMORY;
    *o = (object){.kind = kind, .next = objects};
    objects = o;
    *made = o;
    return OK;
}

static int destroy(void *p, handle_kind kind, const char *call) {
    object **at = &objects;
    if (!live(p, kind, call)) return INVALID;
    if (kind == HANDLE)
        for (object *o = objects; o; o = o->next)
            if (o->kind != HANDLE) return sim_wrong(INVALID, "%s: %s still lives", call, kind_names[o->kind]);
    while (*at != p) at = &(*at)->next;
    *at = (*at)->next;
    free(p);
    return OK;
}

LT(Create)(void **handle) {
    object *o;
    return make(handle, HANDLE, &o);
}

LT(Destroy)(void *handle) {
    return destroy(handle, HANDLE, __func__);
}

LT(MatmulDescCreate)(void **desc, int compute_type, int scale_type) {
    object *o;
    if (compute_type != COMPUTE_F32 || scale_type != TYPE_F32)
        return sim_wrong(INVALID, "%s: compute type %d, scale type %d", __func__, compute_type, scale_type);
    const int status = make(desc, DESC, &o);
    if (!status) o->transposed = -1;
    return status;
}

LT(MatmulDescDestroy)(void *desc) {
    return destroy(desc, DESC, __func__);
}

LT(MatmulDescSetAttribute)(void *desc, int attribute, const void *value, size_t size) {
    object *o = live(desc, DESC, __func__);
    if (!o || attribute != DESC_OP_A || size != sizeof o->transposed)
        return sim_wrong(INVALID, "%s: attribute %d of %zu bytes", __func__, attribute, size);
    memcpy(&o->transposed, value, size);
    return OK;
}

LT(MatrixLayoutCreate)(void **out, int type, uint64_t rows, uint64_t columns, int64_t ld) {
    object *o;
    const bool known = type == TYPE_F32 || type == TYPE_F16 || type == TYPE_BF16;
    if (!known || rows == 0 || columns == 0 || rows > INT32_MAX || columns > INT32_MAX || ld < (int64_t)rows)
        return sim_wrong(INVALID, "%s: type %d, %llu rows, %llu columns, leading dimension %lld", __func__, type,
                         (unsigned long long)rows, (unsigned long long)columns, (long long)ld);
    const int status = make(out, LAYOUT, &o);
    if (!status) o->layout.type = type;
    if (!status) o->layout.rows = (int64_t)rows, o->layout.columns = (int64_t)columns, o->layout.ld = ld;
    return status;
}

LT(MatrixLayoutDestroy)(void *l) {
    return destroy(l, LAYOUT, __func__);
}

LT(MatmulPreferenceCreate)(void **out) {
    object *o;
    const int status = make(out, PREFERENCE, &o);
    for (int i = 0; i < 4 && !status; i++) o->preference.alignment[i] = 256;
    if (!status) o->preference.reduction = 0xffffffff;
    return status;
}

LT(MatmulPreferenceDestroy)(void *p) {
    return destroy(p, PREFERENCE, __func__);
}

LT(MatmulPreferenceSetAttribute)(void *handle, int attribute, const void *value, size_t size) {
    object *p = live(handle, PREFERENCE, __func__);
    void *to = NULL;
    if (!p) return INVALID;
    if (attribute == PREF_MEMORY && size == sizeof p->preference.memory) to = &p->preference.memory;
#ifndef FAKE_HIP
    enum { PREF_REDUCTION = 3, PREF_ALIGNMENT_A = 5, PREF_ALIGNMENT_D = 8 };
    if (attribute == PREF_REDUCTION && size == sizeof p->preference.reduction) to = &p->preference.reduction;
    if (attribute >= PREF_ALIGNMENT_A && attribute <= PREF_ALIGNMENT_D && size == sizeof p->preference.alignment[0])
        to = &p->preference.alignment[attribute - PREF_ALIGNMENT_A];
#endif
    if (!to) return sim_wrong(INVALID, "%s: attribute %d of %zu bytes", __func__, attribute, size);
    memcpy(to, value, size);
    return OK;
}

#ifdef FAKE_HIP
LT(GetVersion)(void *handle, int *out) {
    *out = VERSION;
    return live(handle, HANDLE, __func__) ? OK : INVALID;
}
#endif

/* ---- Products ---------------------------------------------------------------------------------------------------- */

/* What a call is about: d = a^T b, column by column: a [k, n], b [k, m], d [n, m]. */
typedef struct problem {
    const object *desc, *a, *b, *c, *d;
} problem;

static bool find(problem *p, const char *call, void *desc, void *a, void *b, void *c, void *d) {
    *p = (problem){live(desc, DESC, call), live(a, LAYOUT, call), live(b, LAYOUT, call), live(c, LAYOUT, call),
                   live(d, LAYOUT, call)};
    if (!p->desc || !p->a || !p->b || !p->c || !p->d) return false;
    const int type = p->a->layout.type;
    const char *wrong = NULL;
    if (p->desc->transposed != OP_TRANSPOSE) wrong = "a is not transposed";
    if (type != p->b->layout.type || type == TYPE_F32) wrong = "a and b are not of one 16-bit type";
    if (p->c->layout.type != TYPE_F32 || p->d->layout.type != TYPE_F32) wrong = "c and d are not f32";
    if (p->a->layout.rows != p->b->layout.rows || p->d->layout.rows != p->a->layout.columns ||
        p->d->layout.columns != p->b->layout.columns)
        wrong = "the shapes of a, b and d do not agree";
    if (memcmp(&p->c->layout, &p->d->layout, sizeof p->c->layout) != 0) wrong = "c and d are laid out differently";
    if (wrong) sim_wrong(0, "%s: %s", call, wrong);
    return !wrong;
}

/* As the library's own structure begins: what is in `data` is the library's concern. A heuristic's result goes on with
 * the size of the workspace and a status. */
typedef struct algorithm {
    uint32_t mark, alignment;
    uint64_t problem;
    uint8_t unused[ALGORITHM_BYTES - 16];
    size_t memory;
    int status;
} algorithm;
_Static_assert(offsetof(algorithm, memory) == ALGORITHM_BYTES, "as the library lays it out");
enum { MARK = 0x4d4d4547 };

/* cuBLASLt's algorithms are for any number of tokens; hipBLASLt's are only for the layouts that they were asked for. */
static uint64_t hash_of(const problem *p) {
    const int64_t key[] = {p->a->layout.type,    p->a->layout.rows, p->a->layout.columns,
#ifdef FAKE_HIP
                           p->b->layout.columns, p->a->layout.ld,   p->b->layout.ld,
                           p->d->layout.ld
#endif
    };
    return hash_bytes(HASH_START, key, sizeof key);
}

LT(MatmulAlgoGetHeuristic)
(void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference, int n_wanted, void *results, int *n) {
    problem p;
    const object *wanted = live(preference, PREFERENCE, __func__);
    *n = 0;
    if (!live(handle, HANDLE, __func__) || !wanted || n_wanted < 1 || !find(&p, __func__, desc, a, b, c, d))
        return INVALID;
    const char *none = getenv("NB_FAKE_LT");
    if (none && strcmp(none, "none") == 0) return OK;
    if (wanted->preference.memory < WORKSPACE) return OK; /* none that has so little memory */
    algorithm out = {.mark = MARK, .problem = hash_of(&p), .memory = WORKSPACE};
#ifdef FAKE_HIP
    out.alignment = 16;
    memcpy(out.unused, &out.memory, sizeof out.memory);
#else
    out.alignment = wanted->preference.alignment[0];
#endif
    memcpy(results, &out, sizeof out);
    *n = 1;
    return OK;
}

#ifndef FAKE_HIP
LT(MatmulAlgoCheck)
(void *handle, void *desc, void *a, void *b, void *c, void *d, const void *chosen, void *result) {
    problem p;
    const algorithm *how = chosen;
    if (!live(handle, HANDLE, __func__) || !find(&p, __func__, desc, a, b, c, d)) return INVALID;
    if (how->mark != MARK || how->problem != hash_of(&p)) return UNSUPPORTED;
    algorithm out = {.memory = WORKSPACE};
    memcpy(&out, chosen, ALGORITHM_BYTES);
    memcpy(result, &out, sizeof out);
    return OK;
}
#endif

static const char *wrong_matmul(const problem *p, const algorithm *how, float alpha, float beta, const void *c,
                                const void *d, void *memory, size_t memory_size) {
    if (alpha != 1 || (beta != 0 && beta != 1)) return "alpha is not 1, or beta neither 0 nor 1";
    if (c != d) return "c is not d";
    if (how->mark != MARK) return "the algorithm was not chosen by this library";
    if (how->problem != hash_of(p)) return "the algorithm was chosen for another problem";
    if (memory_size < WORKSPACE) return "the workspace is smaller than the algorithm said";
    if ((uintptr_t)memory % MEMORY_UNIT) return "the workspace is not at a multiple of 256 bytes";
    return sim_is_memory(memory, memory_size) ? NULL : "the workspace is not all in one piece of device memory";
}

LT(Matmul)
(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout,
 const void *beta, const void *c, void *c_layout, void *d, void *d_layout, const void *chosen, void *memory,
 size_t memory_size, void *stream) {
    problem p;
    if (!live(handle, HANDLE, __func__) || !find(&p, __func__, desc, a_layout, b_layout, c_layout, d_layout))
        return INVALID;
    const algorithm *how = chosen;
    sim_item item = {.kind = WORK_GEMM, .to = memory, .bytes = WORKSPACE};
    item.gemm = (gpu_gemm){.type = p.a->layout.type == TYPE_F16 ? DT_F16 : DT_BF16,
                           .accumulate = *(const float *)beta == 1,
                           .m = p.b->layout.columns,
                           .n = p.a->layout.columns,
                           .k = p.a->layout.rows,
                           .x_stride = p.b->layout.ld,
                           .w_stride = p.a->layout.ld,
                           .y_stride = p.d->layout.ld,
                           .x = b,
                           .w = a,
                           .y = d};
    const char *wrong = wrong_matmul(&p, how, *(const float *)alpha, *(const float *)beta, c, d, memory, memory_size);
    if (!wrong) wrong = sim_wrong_gemm(&item.gemm);
    if (!wrong && ((uintptr_t)a % how->alignment || (uintptr_t)b % how->alignment || (uintptr_t)d % how->alignment))
        wrong = "an operand is less aligned than was said when the algorithm was chosen";
    if (wrong) return sim_wrong(INVALID, "%s: %s", __func__, wrong);
    return sim_submit(stream, &item) == DRIVER_OK ? OK : INVALID;
}
