/* SPDX-License-Identifier: Apache-2.0
 *
 * The GGUF reader. The file: magic, version, two counts, key-value pairs, tensor entries, padding, data. A cursor that
 * cannot pass the end reads all of it; counts are compared with the bytes that are left before memory is asked for. */
#include "files/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/num.h"
#include "base/utf8.h"

enum { MAX_ARRAY_DEPTH = 4, MAX_NAME = 4096, MIN_PAIR = 8 + 4 + 1, MIN_TENSOR = 8 + 4 + 4 + 8 };

typedef struct pair {
    const char *key;
    gguf_type type;
    const uint8_t *value; /* the bytes of a scalar or string */
    gguf_array array;     /* for GGUF_ARRAY */
} pair;

struct gguf {
    file_map map;
    const char *name;
    arena *memory;
    pair *pairs; /* sorted by key */
    size_t n_pairs;
    gguf_tensor *tensors;
    size_t n_tensors;
    const gguf_tensor **by_name;
};

/* ---- Types --------------------------------------------------------------------------------------------------- */

/* Elements and bytes of a block; 0 bytes for what nibble only knows by name. */
static const struct {
    const char *name;
    uint8_t block, bytes;
} ggml_types[] = {
    {"F32", 1, 4},    {"F16", 1, 2},        {"Q4_0", 32, 18},     {"Q4_1", 32, 20},     {"Q4_2", 0, 0},
    {"Q4_3", 0, 0},   {"Q5_0", 32, 22},     {"Q5_1", 32, 24},     {"Q8_0", 32, 34},     {"Q8_1", 0, 0},
    {"Q2_K", 0, 0},   {"Q3_K", 0, 0},       {"Q4_K", 0, 0},       {"Q5_K", 0, 0},       {"Q6_K", 0, 0},
    {"Q8_K", 0, 0},   {"IQ2_XXS", 0, 0},    {"IQ2_XS", 0, 0},     {"IQ3_XXS", 0, 0},    {"IQ1_S", 0, 0},
    {"IQ4_NL", 0, 0}, {"IQ3_S", 0, 0},      {"IQ2_S", 0, 0},      {"IQ4_XS", 0, 0},     {"I8", 0, 0},
    {"I16", 0, 0},    {"I32", 0, 0},        {"I64", 0, 0},        {"F64", 0, 0},        {"IQ1_M", 0, 0},
    {"BF16", 1, 2},   {"Q4_0_4_4", 0, 0},   {"Q4_0_4_8", 0, 0},   {"Q4_0_8_8", 0, 0},   {"TQ1_0", 0, 0},
    {"TQ2_0", 0, 0},  {"IQ4_NL_4_4", 0, 0}, {"IQ4_NL_4_8", 0, 0}, {"IQ4_NL_8_8", 0, 0}, {"MXFP4", 0, 0},
    {"NVFP4", 0, 0},
};
enum { N_GGML_TYPES = sizeof ggml_types / sizeof ggml_types[0] };

const char *ggml_type_name(uint32_t type, char text[24]) {
    if (type < N_GGML_TYPES)
        snprintf(text, 24, "%s", ggml_types[type].name);
    else
        snprintf(text, 24, "type %u", type);
    return text;
}

static const uint8_t scalar_bytes[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

static const char *const type_names[GGUF_TYPE_COUNT] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                        "bool", "string", "array", "u64", "i64", "f64"};

/* ---- The cursor ---------------------------------------------------------------------------------------------- */

typedef struct cursor {
    const uint8_t *at, *end;
    bool short_read; /* sticky: something did not fit */
} cursor;

static size_t left(const cursor *c) {
    return (size_t)(c->end - c->at);
}

static const uint8_t *take(cursor *c, uint64_t n) {
    if (c->short_read || n > left(c)) {
        c->short_read = true;
        return NULL;
    }
    const uint8_t *p = c->at;
    c->at += n;
    return p;
}

static uint64_t little_endian(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    while (bytes-- > 0) v = v << 8 | p[bytes];
    return v;
}

static uint64_t take_uint(cursor *c, int bytes) {
    const uint8_t *p = take(c, (uint64_t)bytes);
    return p ? little_endian(p, bytes) : 0;
}

/* A name as a C string in the arena; NULL when it is no decent name (then *bad) or did not fit. */
static const char *take_name(cursor *c, arena *memory, bool *bad) {
    uint64_t n = take_uint(c, 8);
    const char *p = (const char *)take(c, n);
    if (!p) return NULL;
    *bad = n == 0 || n > MAX_NAME || !utf8_valid(p, n);
    for (uint64_t i = 0; i < n && !*bad; i++) *bad = (unsigned char)p[i] < 0x20 || p[i] == 0x7f;
    return *bad ? NULL : arena_strndup(memory, p, n);
}

/* ---- Metadata ------------------------------------------------------------------------------------------------ */

/* Walks over an array's elements, so that later readers need no checks. False when a type is unknown, arrays nest
 * too deeply, or the file ends. */
static bool skip_array(cursor *c, gguf_array *out, int depth) {
    uint64_t type = take_uint(c, 4), n = take_uint(c, 8);
    if (c->short_read || type >= GGUF_TYPE_COUNT || depth >= MAX_ARRAY_DEPTH) return false;
    if (out) *out = (gguf_array){(gguf_type)type, (size_t)n, c->at};
    if (type != GGUF_STRING && type != GGUF_ARRAY) {
        size_t bytes;
        return size_mul((size_t)n, scalar_bytes[type], &bytes) && take(c, bytes) != NULL;
    }
    if (n > left(c) / 8) return false; /* each element has at least its length */
    for (uint64_t i = 0; i < n; i++)
        if (type == GGUF_STRING ? !take(c, take_uint(c, 8)) : !skip_array(c, NULL, depth + 1)) return false;
    return true;
}

static nb_status truncated(const gguf *g, const char *where, nb_error *err) {
    return err_set(err, NB_ERR_FORMAT, "%s: the file ends in the middle of %s (truncated?)", g->name, where);
}

static nb_status read_pair(gguf *g, cursor *c, pair *p, nb_error *err) {
    bool bad = false;
    p->key = take_name(c, g->memory, &bad);
    if (bad) return err_set(err, NB_ERR_FORMAT, "%s: a metadata key is no text", g->name);
    if (c->short_read) return truncated(g, "its metadata", err);
    if (!p->key) return err_no_memory(err, g->name, 0);
    uint64_t type = take_uint(c, 4);
    if (c->short_read) return truncated(g, p->key, err);
    if (type >= GGUF_TYPE_COUNT)
        return err_set(err, NB_ERR_FORMAT, "%s: %s has value type %llu, expected 0 to %d", g->name, p->key,
                       (unsigned long long)type, GGUF_TYPE_COUNT - 1);
    p->type = (gguf_type)type;
    p->value = c->at;
    if (p->type == GGUF_ARRAY) {
        if (!skip_array(c, &p->array, 0))
            return err_set(err, NB_ERR_FORMAT, "%s: the array %s is malformed or does not fit the file", g->name,
                           p->key);
    } else {
        take(c, p->type == GGUF_STRING ? take_uint(c, 8) : scalar_bytes[type]);
    }
    return c->short_read ? truncated(g, p->key, err) : NB_OK;
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const pair *)a)->key, ((const pair *)b)->key);
}

static nb_status read_pairs(gguf *g, cursor *c, uint64_t n, nb_error *err) {
    if (n > left(c) / MIN_PAIR)
        return err_set(err, NB_ERR_FORMAT, "%s: %llu metadata entries cannot fit the file", g->name,
                       (unsigned long long)n);
    g->pairs = arena_zalloc(g->memory, (size_t)n + 1, sizeof *g->pairs);
    if (!g->pairs) return err_no_memory(err, g->name, (size_t)n * sizeof *g->pairs);
    nb_status status = NB_OK;
    for (; g->n_pairs < n && !status; g->n_pairs++) status = read_pair(g, c, &g->pairs[g->n_pairs], err);
    if (status) return status;
    qsort(g->pairs, g->n_pairs, sizeof *g->pairs, by_key);
    for (size_t i = 1; i < g->n_pairs; i++)
        if (strcmp(g->pairs[i - 1].key, g->pairs[i].key) == 0)
            return err_set(err, NB_ERR_FORMAT, "%s: the key %s appears twice", g->name, g->pairs[i].key);
    return NB_OK;
}

/* The pair of a key, which must have one of the types of the bit set; sets *found. */
static nb_status look(const gguf *g, const char *key, unsigned types, const char *expected, const pair **out,
                      bool *found, nb_error *err) {
    pair wanted = {.key = key};
    *out = bsearch(&wanted, g->pairs, g->n_pairs, sizeof *g->pairs, by_key);
    if (found) *found = *out != NULL;
    if (*out && !(types >> (*out)->type & 1))
        return err_set(err, NB_ERR_FORMAT, "%s: %s is of type %s, expected %s", g->name, key, type_names[(*out)->type],
                       expected);
    return NB_OK;
}

enum {
    INT_TYPES = 1 << GGUF_U8 | 1 << GGUF_I8 | 1 << GGUF_U16 | 1 << GGUF_I16 | 1 << GGUF_U32 | 1 << GGUF_I32 |
                1 << GGUF_U64 | 1 << GGUF_I64,
    FLOAT_TYPES = 1 << GGUF_F32 | 1 << GGUF_F64
};

nb_status gguf_int(const gguf *g, const char *key, int64_t min, int64_t max, int64_t *out, bool *found, nb_error *err) {
    const pair *p;
    nb_status status = look(g, key, INT_TYPES, "a whole number", &p, found, err);
    if (status || !p) return status;
    int bytes = scalar_bytes[p->type];
    uint64_t u = little_endian(p->value, bytes);
    bool is_signed = p->type == GGUF_I8 || p->type == GGUF_I16 || p->type == GGUF_I32 || p->type == GGUF_I64;
    if (is_signed && bytes < 8 && u >> (8 * bytes - 1)) u |= ~(uint64_t)0 << 8 * bytes;
    int64_t v = (int64_t)u;
    bool too_large = !is_signed && u > INT64_MAX;
    if (too_large || v < min || v > max) {
        char text[32];
        snprintf(text, sizeof text, too_large ? "%llu" : "%lld", (long long)v);
        return err_set(err, NB_ERR_FORMAT, "%s: %s is %s, expected %lld to %lld", g->name, key, text, (long long)min,
                       (long long)max);
    }
    *out = v;
    return NB_OK;
}

nb_status gguf_num(const gguf *g, const char *key, double min, double max, double *out, bool *found, nb_error *err) {
    const pair *p;
    nb_status status = look(g, key, FLOAT_TYPES, "a number", &p, found, err);
    if (status || !p) return status;
    float f;
    double v;
    memcpy(p->type == GGUF_F32 ? (void *)&f : (void *)&v, p->value, scalar_bytes[p->type]);
    if (p->type == GGUF_F32) v = (double)f;
    if (!(v >= min && v <= max))
        return err_set(err, NB_ERR_FORMAT, "%s: %s is %g, expected %g to %g", g->name, key, v, min, max);
    *out = v;
    return NB_OK;
}

nb_status gguf_bool(const gguf *g, const char *key, bool *out, bool *found, nb_error *err) {
    const pair *p;
    nb_status status = look(g, key, 1 << GGUF_BOOL, "true or false", &p, found, err);
    if (!status && p) *out = p->value[0] != 0;
    return status;
}

nb_status gguf_str(const gguf *g, const char *key, const char **out, bool *found, nb_error *err) {
    const pair *p;
    nb_status status = look(g, key, 1 << GGUF_STRING, "a string", &p, found, err);
    if (status || !p) return status;
    size_t n = (size_t)little_endian(p->value, 8);
    const char *text = (const char *)p->value + 8;
    if (memchr(text, 0, n) || !utf8_valid(text, n))
        return err_set(err, NB_ERR_FORMAT, "%s: %s is no valid UTF-8 text", g->name, key);
    char *copy = arena_strndup(g->memory, text, n);
    if (!copy) return err_no_memory(err, key, n);
    *out = copy;
    return NB_OK;
}

nb_status gguf_arr(const gguf *g, const char *key, gguf_type type, gguf_array *out, bool *found, nb_error *err) {
    *out = (gguf_array){.type = type};
    const pair *p;
    nb_status status = look(g, key, 1 << GGUF_ARRAY, "an array", &p, found, err);
    if (status || !p) return status;
    if (p->array.type != type)
        return err_set(err, NB_ERR_FORMAT, "%s: %s is an array of %s, expected %s", g->name, key,
                       type_names[p->array.type], type_names[type]);
    *out = p->array;
    return NB_OK;
}

void gguf_next_string(const uint8_t **at, const char **text, size_t *length) {
    *length = (size_t)little_endian(*at, 8);
    *text = (const char *)*at + 8;
    *at += 8 + *length;
}

int32_t gguf_i32_at(const gguf_array *a, size_t i) {
    return (int32_t)(uint32_t)little_endian(a->data + 4 * i, 4);
}

/* ---- Tensors ------------------------------------------------------------------------------------------------- */

static nb_status read_shape(const gguf *g, cursor *c, gguf_tensor *t, nb_error *err) {
    uint64_t n = take_uint(c, 4);
    if (!c->short_read && (n < 1 || n > 4))
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has %llu dimensions, expected 1 to 4", g->name, t->name,
                       (unsigned long long)n);
    t->n_dims = (int)n;
    size_t elements = 1;
    for (int i = t->n_dims - 1; i >= 0; i--) {
        uint64_t d = take_uint(c, 8);
        if (!c->short_read &&
            (d < 1 || d > INT64_MAX || !size_mul(elements, (size_t)d, &elements) || elements > SIZE_MAX / 8))
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has an impossible shape", g->name, t->name);
        t->shape[i] = (int64_t)d;
    }
    t->type = (uint32_t)take_uint(c, 4);
    if (c->short_read) return truncated(g, t->name, err);
    if (t->type >= N_GGML_TYPES || ggml_types[t->type].bytes == 0) return NB_OK;
    size_t block = ggml_types[t->type].block;
    if ((size_t)t->shape[t->n_dims - 1] % block)
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has rows of %lld elements, expected a multiple of %zu for %s",
                       g->name, t->name, (long long)t->shape[t->n_dims - 1], block, ggml_types[t->type].name);
    if (!size_mul(elements / block, ggml_types[t->type].bytes, &t->bytes))
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has an impossible shape", g->name, t->name);
    return NB_OK;
}

/* Reads the list; data holds only the offset as yet. */
static nb_status read_tensors(gguf *g, cursor *c, uint64_t n, uint64_t *offsets, nb_error *err) {
    nb_status status = NB_OK;
    for (; g->n_tensors < n && !status; g->n_tensors++) {
        gguf_tensor *t = &g->tensors[g->n_tensors];
        bool bad = false;
        t->name = take_name(c, g->memory, &bad);
        if (bad) return err_set(err, NB_ERR_FORMAT, "%s: the name of tensor %zu is no text", g->name, g->n_tensors);
        if (c->short_read) return truncated(g, "its list of tensors", err);
        if (!t->name) return err_no_memory(err, g->name, 0);
        status = read_shape(g, c, t, err);
        offsets[g->n_tensors] = take_uint(c, 8);
        if (!status && c->short_read) status = truncated(g, t->name, err);
    }
    return status;
}

static nb_status place_tensors(gguf *g, const cursor *c, const uint8_t *start, const uint64_t *offsets, nb_error *err) {
    int64_t alignment = 32;
    nb_status status = gguf_int(g, "general.alignment", 1, 1 << 20, &alignment, NULL, err);
    if (status) return status;
    if (alignment & (alignment - 1))
        return err_set(err, NB_ERR_FORMAT, "%s: general.alignment is %lld, expected a power of two", g->name,
                       (long long)alignment);
    size_t begin = round_up((size_t)(c->at - start), (size_t)alignment), size = (size_t)(c->end - start);
    size_t room = begin < size ? size - begin : 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        gguf_tensor *t = &g->tensors[i];
        if (offsets[i] % (uint64_t)alignment)
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s begins at byte %llu, expected a multiple of %lld",
                           g->name, t->name, (unsigned long long)offsets[i], (long long)alignment);
        if (offsets[i] > room || t->bytes > room - (size_t)offsets[i])
            return err_set(err, NB_ERR_FORMAT,
                           "%s: tensor %s needs %zu bytes from byte %llu of the data, which has only %zu (truncated?)",
                           g->name, t->name, t->bytes, (unsigned long long)offsets[i], room);
        t->data = room ? start + begin + offsets[i] : start;
    }
    return NB_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const gguf_tensor *const *)a)->name, (*(const gguf_tensor *const *)b)->name);
}

static int by_data(const void *a, const void *b) {
    const gguf_tensor *x = *(const gguf_tensor *const *)a, *y = *(const gguf_tensor *const *)b;
    if (x->data == y->data) return 0;
    return (const char *)x->data < (const char *)y->data ? -1 : 1;
}

/* No two tensors may share bytes or a name; leaves by_name sorted by name. */
static nb_status check_distinct(gguf *g, nb_error *err) {
    size_t n = g->n_tensors;
    for (size_t i = 0; i < n; i++) g->by_name[i] = &g->tensors[i];
    qsort(g->by_name, n, sizeof *g->by_name, by_data);
    for (size_t i = 1; i < n; i++) {
        const gguf_tensor *a = g->by_name[i - 1], *b = g->by_name[i];
        if ((const uint8_t *)b->data < (const uint8_t *)a->data + a->bytes)
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s overlaps tensor %s", g->name, b->name, a->name);
    }
    qsort(g->by_name, n, sizeof *g->by_name, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(g->by_name[i - 1]->name, g->by_name[i]->name) == 0)
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s appears twice", g->name, g->by_name[i]->name);
    return NB_OK;
}

/* ---- Opening ------------------------------------------------------------------------------------------------- */

static nb_status parse(gguf *g, const uint8_t *data, size_t size, nb_error *err) {
    if (size < 4 || memcmp(data, "GGUF", 4) != 0) return err_set(err, NB_ERR_FORMAT, "%s: no GGUF file", g->name);
    cursor c = {data + 4, data + size, false};
    uint64_t version = take_uint(&c, 4);
    if (!c.short_read && (version < 2 || version > 3))
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: GGUF version %llu%s, expected 2 or 3", g->name,
                       (unsigned long long)version, version > 0xffff ? " (big-endian?)" : "");
    uint64_t n_tensors = take_uint(&c, 8), n_pairs = take_uint(&c, 8);
    if (c.short_read) return truncated(g, "its header", err);
    nb_status status = read_pairs(g, &c, n_pairs, err);
    if (status) return status;
    if (n_tensors > left(&c) / MIN_TENSOR)
        return err_set(err, NB_ERR_FORMAT, "%s: %llu tensors cannot fit the file", g->name,
                       (unsigned long long)n_tensors);
    size_t n = (size_t)n_tensors + 1;
    g->tensors = arena_zalloc(g->memory, n, sizeof *g->tensors);
    g->by_name = arena_zalloc(g->memory, n, sizeof *g->by_name);
    uint64_t *offsets = arena_zalloc(g->memory, n, sizeof *offsets);
    if (!g->tensors || !g->by_name || !offsets) return err_no_memory(err, g->name, n * sizeof *g->tensors);
    status = read_tensors(g, &c, n_tensors, offsets, err);
    if (!status) status = place_tensors(g, &c, data, offsets, err);
    if (!status) status = check_distinct(g, err);
    return status;
}

static nb_status open_bytes(gguf *g, const char *name, const void *data, size_t size, gguf **out, nb_error *err) {
    g->memory = arena_new(0);
    g->name = g->memory ? arena_strdup(g->memory, path_base(name)) : NULL;
    nb_status status = g->name ? parse(g, data, size, err) : err_no_memory(err, name, 0);
    if (status)
        gguf_close(g);
    else
        *out = g;
    return status;
}

nb_status gguf_open(const char *file, gguf **out, nb_error *err) {
    *out = NULL;
    gguf *g = calloc(1, sizeof *g);
    if (!g) return err_no_memory(err, file, 0);
    nb_status status = file_map_open(file, &g->map, err);
    if (!status) return open_bytes(g, file, g->map.data, g->map.size, out, err);
    gguf_close(g);
    return status;
}

nb_status gguf_open_memory(const void *data, size_t size, const char *name, gguf **out, nb_error *err) {
    *out = NULL;
    gguf *g = calloc(1, sizeof *g);
    if (!g) return err_no_memory(err, name, 0);
    return open_bytes(g, name, data, size, out, err);
}

void gguf_close(gguf *g) {
    if (!g) return;
    file_map_close(&g->map);
    if (g->memory) arena_free(g->memory);
    free(g);
}

size_t gguf_tensor_count(const gguf *g) {
    return g->n_tensors;
}

const gguf_tensor *gguf_tensor_at(const gguf *g, size_t i) {
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const gguf_tensor *gguf_tensor_find(const gguf *g, const char *name) {
    gguf_tensor wanted = {.name = name};
    const gguf_tensor *p = &wanted;
    const gguf_tensor **found = bsearch(&p, g->by_name, g->n_tensors, sizeof *g->by_name, by_name);
    return found ? *found : NULL;
}

void gguf_tensor_release(const gguf *g, const gguf_tensor *t) {
    file_map_release(&g->map, t->data, t->bytes);
}
