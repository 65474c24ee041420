/* SPDX-License-Identifier: Apache-2.0
 *
 * From a kernel's machine code to instructions that are ready to run. */
#include "gfx/code.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gfx/object.h"
#include "gfx/wave.h"

struct gfx_lanes {
    struct gfx_lanes *next;
    uint32_t value;
    alignas(64) uint32_t lanes[8][GFX_LANES];
};

const uint32_t *gfx_constant(gfx_code *c, uint32_t value) {
    for (struct gfx_lanes *l = c->constants; l; l = l->next)
        if (l->value == value) return l->lanes[0];
    struct gfx_lanes *l = aligned_alloc(64, (sizeof *l + 63) & ~(size_t)63);
    if (!l) return NULL;
    l->next = c->constants;
    l->value = value;
    for (int i = 0; i < 8; i++) gfx_broadcast(l->lanes[i], value);
    c->constants = l;
    return l->lanes[0];
}

/* 0.5, 1, 2, 4, each also negative, and 1 / (2 pi), as the type has them. */
static uint64_t float_of(gfx_type type, unsigned i) {
    static const double doubles[9] = {0.5, -0.5, 1, -1, 2, -2, 4, -4, 0.15915494309189532};
    static const uint16_t halves[9] = {0x3800, 0xb800, 0x3c00, 0xbc00, 0x4000, 0xc000, 0x4400, 0xc400, 0x3118};
    const float f = (float)doubles[i];
    uint64_t wide;
    uint32_t bits;
    switch (type) {
    case GFX_F64:
    case GFX_B64:
    case GFX_I64:
    case GFX_U64:
        memcpy(&wide, &doubles[i], sizeof wide);
        return wide;
    case GFX_F16:
    case GFX_B16:
    case GFX_I16:
    case GFX_U16:
    case GFX_PK16:
        return halves[i];
    default:
        memcpy(&bits, &f, sizeof bits);
        return type == GFX_BF16 ? bits >> 16 : bits;
    }
}

static bool is_wide(gfx_type type) {
    return type == GFX_B64 || type == GFX_F64 || type == GFX_I64 || type == GFX_U64;
}

bool gfx_constant_of(gfx_type type, unsigned code, uint32_t literal, uint64_t *out) {
    if (code >= 128 && code <= 192)
        *out = code - 128;
    else if (code >= 193 && code <= 208)
        *out = (uint64_t)(192 - (int64_t)code);
    else if (code >= 240 && code <= 248)
        *out = float_of(type, code - 240);
    else if (code == GFX_LITERAL)
        *out = type == GFX_F64   ? (uint64_t)literal << 32
               : type == GFX_I64 ? (uint64_t)(int64_t)(int32_t)literal
                                 : literal;
    else if (code == GFX_NULL)
        *out = 0;
    else
        return false;
    if (!is_wide(type)) *out &= 0xffffffff;
    return true;
}

/* What stops the wave that comes to it. */
static int run_unknown(gfx_wave *w, const gfx_op *o) {
    return (int)gfx_fail(w, o, "is not implemented by the executor");
}

static bool lower(gfx_code *c, gfx_op *o) {
    switch (o->inst.format) {
    case GFX_SOP1:
    case GFX_SOP2:
    case GFX_SOPC:
    case GFX_SOPK:
    case GFX_SOPP:
        return gfx_lower_scalar(c, o);
    case GFX_SMEM:
    case GFX_FLAT:
    case GFX_GLOBAL:
    case GFX_SCRATCH:
    case GFX_MUBUF:
        return gfx_lower_memory(c, o);
    case GFX_DS:
        return gfx_lower_lds(c, o);
    case GFX_VOP1:
    case GFX_VOP2:
    case GFX_VOPC:
    case GFX_VOP3:
    case GFX_VOP3P:
    case GFX_VOPDX:
        return gfx_lower_lanes(c, o) || gfx_lower_matrix(c, o) || gfx_lower_vector(c, o);
    default:
        return false;
    }
}

static void decode_all(gfx_code *c, const uint32_t *words) {
    for (uint32_t at = 0; at < c->n_words;) {
        gfx_op *o = &c->ops[c->n];
        c->index[at] = c->n++;
        if (!gfx_decode(words + at, c->n_words - at, c->begin + 4ull * at, &o->inst)) {
            o->inst.spec = NULL;
            o->inst.n_words = 1;
        }
        at += o->inst.n_words;
    }
}

static void find_targets(gfx_code *c) {
    for (uint32_t i = 0; i < c->n; i++) {
        gfx_op *o = &c->ops[i];
        const int64_t word = (int64_t)((o->inst.pc - c->begin) / 4) + 1 + (int16_t)o->inst.imm;
        o->target = word >= 0 && word < c->n_words ? c->index[word] : UINT32_MAX;
    }
}

gfx_code *gfx_code_new(const gfx_object *obj, const gfx_kernel *k, char *err, size_t err_size) {
    gfx_code *c = calloc(1, sizeof *c);
    const uint32_t n_words = (uint32_t)(k->code_bytes / 4);
    if (c) {
        c->begin = k->entry;
        c->n_words = n_words;
        const uint32_t n = ((k->rsrc1 & 63) + 1) * 8;
        c->n_vgprs = n < GFX_N_VGPRS ? n : GFX_N_VGPRS;
        c->ops = calloc((size_t)n_words + 1, sizeof *c->ops);
        c->index = malloc(((size_t)n_words + 1) * sizeof *c->index);
    }
    if (!c || !c->ops || !c->index) {
        gfx_code_free(c);
        snprintf(err, err_size, "out of memory for the code of kernel %s", k->name);
        return NULL;
    }
    memset(c->index, 0xff, ((size_t)n_words + 1) * sizeof *c->index);
    decode_all(c, (const uint32_t *)(const void *)(obj->image + k->entry));
    find_targets(c);
    for (uint32_t i = 0; i < c->n; i++)
        if (!c->ops[i].inst.spec || !lower(c, &c->ops[i])) c->ops[i].run = run_unknown;
    /* Behind the last: a kernel that runs on. */
    c->ops[c->n].run = run_unknown;
    c->ops[c->n].inst.pc = c->begin + 4ull * n_words;
    return c;
}

const gfx_code *gfx_code_of(const gfx_object *object, const gfx_kernel *k, char *err, size_t err_size) {
    gfx_object *o = (gfx_object *)(uintptr_t)object; /* what is cached there is no part of what it is */
    gfx_code *c = NULL;
    snprintf(err, err_size, "kernel %s is not of this object", k->name);
    pthread_mutex_lock(&o->decoding);
    for (size_t i = 0; i < o->n_kernels && !c; i++) {
        if (&o->kernels[i].k != k) continue;
        if (!o->kernels[i].code) o->kernels[i].code = gfx_code_new(o, k, err, err_size);
        c = o->kernels[i].code;
    }
    pthread_mutex_unlock(&o->decoding);
    return c;
}

size_t gfx_kernel_missing(const gfx_object *o, const gfx_kernel *k, char *first, size_t first_size) {
    char text[GFX_INST_TEXT];
    size_t n = 0;
    const gfx_code *c = gfx_code_of(o, k, first, first_size);
    for (uint32_t i = 0; c && i < c->n; i++) {
        const gfx_inst *inst = &c->ops[i].inst;
        if (c->ops[i].run != run_unknown || n++) continue;
        snprintf(text, sizeof text, "no instruction");
        if (inst->spec) gfx_print(inst, text);
        snprintf(first, first_size, "%s [%08x] at +0x%llx", text, inst->word[0],
                 (unsigned long long)(inst->pc - k->entry));
    }
    return c ? n : 1;
}

void gfx_code_free(gfx_code *c) {
    if (!c) return;
    while (c->constants) {
        struct gfx_lanes *l = c->constants;
        c->constants = l->next;
        free(l);
    }
    free(c->ops);
    free(c->index);
    free(c);
}
