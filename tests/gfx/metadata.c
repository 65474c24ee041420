/* SPDX-License-Identifier: Apache-2.0
 *
 * The metadata note of a code object: a MessagePack document (msgpack.org's format description) with the keys of
 * LLVM's AMDGPU usage page. Every length is checked against what is left; nesting has a limit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gfx/object.h"

enum { DEEPEST = 16, MOST_KERNELS = 4096 };

typedef struct reader {
    const uint8_t *at, *end;
    bool bad;
} reader;

typedef enum item_kind { ITEM_OTHER, ITEM_INT, ITEM_TEXT, ITEM_ARRAY, ITEM_MAP } item_kind;
typedef struct item {
    item_kind kind;
    uint64_t n; /* the integer; or elements, pairs */
    gfx_meta_text text;
} item;

static uint64_t take(reader *r, size_t bytes) {
    uint64_t v = 0;
    if ((size_t)(r->end - r->at) < bytes) {
        r->bad = true;
        r->at = r->end;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) v = v << 8 | *r->at++;
    return v;
}

static void skip(reader *r, uint64_t bytes) {
    if ((uint64_t)(r->end - r->at) < bytes) {
        r->bad = true;
        r->at = r->end;
    } else
        r->at += bytes;
}

static item text_item(reader *r, uint64_t length) {
    item it = {ITEM_TEXT, 0, {(const char *)r->at, (size_t)length}};
    skip(r, length);
    if (r->bad) it.text.length = 0;
    return it;
}

static item other_item(reader *r, uint64_t bytes) {
    skip(r, bytes);
    return (item){.kind = ITEM_OTHER};
}

static item next(reader *r) {
    const uint8_t b = (uint8_t)take(r, 1);
    if (r->bad) return (item){.kind = ITEM_OTHER};
    if (b < 0x80) return (item){.kind = ITEM_INT, .n = b};
    if (b < 0x90) return (item){.kind = ITEM_MAP, .n = b & 15};
    if (b < 0xa0) return (item){.kind = ITEM_ARRAY, .n = b & 15};
    if (b < 0xc0) return text_item(r, b & 31);
    if (b >= 0xe0) return (item){.kind = ITEM_INT, .n = (uint64_t)(int64_t)(int8_t)b};
    switch (b) {
    case 0xc4:
        return other_item(r, take(r, 1));
    case 0xc5:
        return other_item(r, take(r, 2));
    case 0xc6:
        return other_item(r, take(r, 4));
    case 0xca:
        return other_item(r, 4);
    case 0xcb:
        return other_item(r, 8);
    case 0xcc:
        return (item){.kind = ITEM_INT, .n = take(r, 1)};
    case 0xcd:
        return (item){.kind = ITEM_INT, .n = take(r, 2)};
    case 0xce:
        return (item){.kind = ITEM_INT, .n = take(r, 4)};
    case 0xcf:
        return (item){.kind = ITEM_INT, .n = take(r, 8)};
    case 0xd0:
        return (item){.kind = ITEM_INT, .n = (uint64_t)(int8_t)take(r, 1)};
    case 0xd1:
        return (item){.kind = ITEM_INT, .n = (uint64_t)(int16_t)take(r, 2)};
    case 0xd2:
        return (item){.kind = ITEM_INT, .n = (uint64_t)(int32_t)take(r, 4)};
    case 0xd3:
        return (item){.kind = ITEM_INT, .n = take(r, 8)};
    case 0xd9:
        return text_item(r, take(r, 1));
    case 0xda:
        return text_item(r, take(r, 2));
    case 0xdb:
        return text_item(r, take(r, 4));
    case 0xdc:
        return (item){.kind = ITEM_ARRAY, .n = take(r, 2)};
    case 0xdd:
        return (item){.kind = ITEM_ARRAY, .n = take(r, 4)};
    case 0xde:
        return (item){.kind = ITEM_MAP, .n = take(r, 2)};
    case 0xdf:
        return (item){.kind = ITEM_MAP, .n = take(r, 4)};
    case 0xc0:
    case 0xc2:
    case 0xc3:
        return (item){.kind = ITEM_OTHER};
    }
    r->bad = true; /* extension types do not occur */
    return (item){.kind = ITEM_OTHER};
}

/* Everything that an item contains. */
static void skip_inside(reader *r, item it, int depth) {
    if (it.kind != ITEM_ARRAY && it.kind != ITEM_MAP) return;
    if (depth == DEEPEST) r->bad = true;
    const uint64_t n = it.kind == ITEM_MAP ? it.n * 2 : it.n;
    for (uint64_t i = 0; i < n && !r->bad; i++) skip_inside(r, next(r), depth + 1);
}

static bool is(gfx_meta_text t, const char *s) {
    return t.length == strlen(s) && memcmp(t.at, s, t.length) == 0;
}

/* The next pair's key, which must be a text. */
static gfx_meta_text key(reader *r) {
    const item it = next(r);
    if (it.kind != ITEM_TEXT) r->bad = true;
    return it.text;
}

static void arg_kind(gfx_meta_text t, gfx_arg *a) {
    static const struct {
        const char *name;
        gfx_arg_kind kind;
    } dimensional[] = {{"hidden_block_count_", GFX_ARG_BLOCKS},
                       {"hidden_group_size_", GFX_ARG_GROUP_SIZE},
                       {"hidden_remainder_", GFX_ARG_REMAINDER},
                       {"hidden_global_offset_", GFX_ARG_GLOBAL_OFFSET}};
    a->kind = GFX_ARG_OTHER;
    if (is(t, "by_value")) a->kind = GFX_ARG_VALUE;
    if (is(t, "global_buffer") || is(t, "dynamic_shared_pointer")) a->kind = GFX_ARG_POINTER;
    if (is(t, "hidden_grid_dims")) a->kind = GFX_ARG_GRID_DIMS;
    if (is(t, "hidden_dynamic_lds_size")) a->kind = GFX_ARG_DYNAMIC_LDS;
    for (size_t i = 0; i < sizeof dimensional / sizeof *dimensional; i++) {
        const size_t n = strlen(dimensional[i].name);
        if (t.length != n + 1 || memcmp(t.at, dimensional[i].name, n) != 0) continue;
        a->kind = dimensional[i].kind;
        a->dim = (uint8_t)(t.at[n] - 'x');
        if (a->dim > 2) a->kind = GFX_ARG_OTHER;
    }
}

static void read_arg(reader *r, gfx_arg *a) {
    const item map = next(r);
    if (map.kind != ITEM_MAP) r->bad = true;
    for (uint64_t i = 0; i < map.n && !r->bad; i++) {
        const gfx_meta_text k = key(r);
        const item v = next(r);
        if (is(k, ".offset")) a->offset = (uint32_t)v.n;
        if (is(k, ".size")) a->size = (uint32_t)v.n;
        if (is(k, ".value_kind")) arg_kind(v.text, a);
        skip_inside(r, v, 0);
    }
}

static void read_args(reader *r, item list, gfx_kernel *k) {
    if (list.kind != ITEM_ARRAY || list.n > GFX_MAX_ARGS) r->bad = true;
    for (uint64_t i = 0; i < list.n && !r->bad; i++) {
        gfx_arg *a = &k->args[k->n_args++];
        read_arg(r, a);
        if (a->kind <= GFX_ARG_POINTER && a->offset + a->size > k->explicit_size)
            k->explicit_size = a->offset + a->size;
    }
}

static void read_kernel(reader *r, gfx_meta_kernel *m) {
    const item map = next(r);
    if (map.kind != ITEM_MAP) r->bad = true;
    for (uint64_t i = 0; i < map.n && !r->bad; i++) {
        const gfx_meta_text k = key(r);
        const item v = next(r);
        if (is(k, ".args")) {
            read_args(r, v, &m->k);
            continue;
        }
        if (is(k, ".name")) m->name = v.text;
        if (is(k, ".symbol")) m->symbol = v.text;
        if (is(k, ".kernarg_segment_size")) m->k.kernarg_size = (uint32_t)v.n;
        if (is(k, ".max_flat_workgroup_size")) m->k.most_threads = (uint32_t)v.n;
        if (is(k, ".vgpr_count")) m->k.n_vgprs = (uint32_t)v.n;
        if (is(k, ".sgpr_count")) m->k.n_sgprs = (uint32_t)v.n;
        skip_inside(r, v, 0);
    }
}

static bool read_kernels(reader *r, item list, gfx_meta_kernel **out, size_t *n) {
    if (list.kind != ITEM_ARRAY || list.n > MOST_KERNELS || *out) {
        r->bad = true;
        return true;
    }
    *out = calloc((size_t)list.n + 1, sizeof **out);
    if (!*out) return false;
    for (uint64_t i = 0; i < list.n && !r->bad; i++) read_kernel(r, &(*out)[(*n)++]);
    return true;
}

bool gfx_metadata(const uint8_t *data, size_t size, gfx_meta_kernel **out, size_t *n, char *err, size_t err_size) {
    reader r = {data, data + size, false};
    *out = NULL;
    *n = 0;
    const item map = next(&r);
    if (map.kind != ITEM_MAP) r.bad = true;
    bool memory = true;
    for (uint64_t i = 0; i < map.n && !r.bad && memory; i++) {
        const gfx_meta_text k = key(&r);
        const item v = next(&r);
        if (is(k, "amdhsa.kernels"))
            memory = read_kernels(&r, v, out, n);
        else
            skip_inside(&r, v, 0);
    }
    if (!memory)
        snprintf(err, err_size, "out of memory for a code object's metadata");
    else if (r.bad || !*out)
        snprintf(err, err_size, "the code object's metadata note is broken");
    else
        return true;
    free(*out);
    *out = NULL;
    return false;
}
