/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading safetensors. A file is: 8 bytes little-endian header length, that many bytes of JSON (an object: tensor name
 * to {"dtype", "shape", "data_offsets": [begin, end]}), then the data. Nothing here believes a number of the file
 * before it is compared with the file's real size. */
#include "files/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "base/num.h"

/* The format's own limit for headers; a directory of more files than this is no model. */
enum { MAX_HEADER = 100 * 1000 * 1000, MAX_FILES = 4096 };

struct weights {
    file_map *maps; /* n_files; data NULL for weights_open_memory */
    size_t n_files;
    tensor *tensors;
    size_t n, cap;
    const tensor **by_name; /* sorted: lookups stay logarithmic whatever the names are */
    arena *strings;
    cJSON *metadata;
};

const char *tensor_shape_text(int n_dims, const int64_t *shape, char text[200]) {
    size_t n = 1;
    text[0] = '[';
    for (int i = 0; i < n_dims && n < 180; i++)
        n += (size_t)snprintf(text + n, 200 - n, "%s%lld", i ? ", " : "", (long long)shape[i]);
    snprintf(text + n, 200 - n, "]");
    return text;
}

/* ---- One header ---------------------------------------------------------------------------------------------- */

typedef struct header {
    const uint8_t *data; /* where offsets count from */
    size_t data_bytes;
    const char *path, *file; /* path for errors, base name in w->strings */
} header;

static bool whole_number(const cJSON *item, int64_t *out) {
    if (!cJSON_IsNumber(item)) return false;
    double v = item->valuedouble;
    if (!(v >= 0 && v <= 0x1p53) || v != (double)(int64_t)v) return false;
    *out = (int64_t)v;
    return true;
}

static nb_status read_shape(const header *h, const cJSON *entry, tensor *t, size_t *expected, nb_error *err) {
    const cJSON *shape = json_get(entry, "shape"), *dim;
    if (!cJSON_IsArray(shape))
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has no \"shape\" array", h->path, t->name);
    *expected = dtype_size(t->type);
    cJSON_ArrayForEach(dim, shape) {
        if (t->n_dims == TENSOR_MAX_DIMS)
            return err_set(err, NB_ERR_UNSUPPORTED, "%s: tensor %s has more than %d dimensions", h->path, t->name,
                           (int)TENSOR_MAX_DIMS);
        int64_t d;
        if (!whole_number(dim, &d))
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s: dimension %d of its shape is no whole number >= 0",
                           h->path, t->name, t->n_dims);
        t->shape[t->n_dims++] = d;
        if (!size_mul(*expected, (size_t)d, expected))
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s: its shape is too large for any file", h->path, t->name);
    }
    return NB_OK;
}

static nb_status read_entry(weights *w, const header *h, const cJSON *entry, nb_error *err) {
    tensor t = {.file = h->file, .name = arena_strdup(w->strings, entry->string)};
    if (!t.name) return err_no_memory(err, h->path, 0);
    if (!cJSON_IsObject(entry))
        return err_set(err, NB_ERR_FORMAT, "%s: the header's entry for tensor %s is no object", h->path, t.name);
    const cJSON *type = json_get(entry, "dtype");
    if (!cJSON_IsString(type)) return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has no \"dtype\"", h->path, t.name);
    t.type = dtype_from_safetensors(type->valuestring);
    if (t.type == DT_NONE)
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: tensor %s has type \"%.40s\", which nibble does not know", h->path,
                       t.name, type->valuestring);
    size_t expected = 0;
    nb_status status = read_shape(h, entry, &t, &expected, err);
    if (status) return status;

    const cJSON *offsets = json_get(entry, "data_offsets");
    int64_t begin, end;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 || !whole_number(offsets->child, &begin) ||
        !whole_number(offsets->child->next, &end) || begin > end)
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s: \"data_offsets\" is not [begin, end] with begin <= end",
                       h->path, t.name);
    if ((uint64_t)end > h->data_bytes)
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s ends at byte %lld of the data, but the file has only %zu%s",
                       h->path, t.name, (long long)end, h->data_bytes, " (truncated?)");
    t.bytes = (size_t)(end - begin);
    char text[200];
    if (t.bytes != expected)
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s of type %s and shape %s has %zu bytes, expected %zu", h->path,
                       t.name, type->valuestring, tensor_shape_text(t.n_dims, t.shape, text), t.bytes, expected);
    t.data = h->data + begin;
    w->tensors[w->n++] = t;
    return NB_OK;
}

static int by_data(const void *a, const void *b) {
    const tensor *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; /* empty tensors stand before a full one */
    return strcmp(x->name, y->name);
}

/* Sorts one file's tensors by place and checks that they tile the data exactly, as the format demands. */
static nb_status check_tiling(const header *h, tensor *t, size_t n, nb_error *err) {
    if (n > 0) qsort(t, n, sizeof *t, by_data);
    const uint8_t *at = h->data;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *begin = t[i].data;
        if (begin < at)
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s overlaps tensor %s", h->path, t[i].name,
                           i ? t[i - 1].name : "?");
        if (begin > at)
            return err_set(err, NB_ERR_FORMAT, "%s: %zu bytes before tensor %s belong to no tensor", h->path,
                           (size_t)(begin - at), t[i].name);
        at = begin + t[i].bytes;
    }
    if (at != h->data + h->data_bytes)
        return err_set(err, NB_ERR_FORMAT, "%s: %zu bytes after the last tensor belong to no tensor", h->path,
                       (size_t)(h->data + h->data_bytes - at));
    return NB_OK;
}

static nb_status reserve_tensors(weights *w, size_t more, nb_error *err) {
    if (w->tensors && w->n + more <= w->cap) return NB_OK;
    size_t cap = w->n + more + 1; /* never NULL, even for a file without tensors */
    tensor *t = realloc(w->tensors, cap * sizeof *t);
    if (!t) return err_no_memory(err, "the list of tensors", cap * sizeof *t);
    w->tensors = t;
    w->cap = cap;
    return NB_OK;
}

/* Keeps the __metadata__ object of the first file that has one. */
static nb_status take_metadata(weights *w, const header *h, const cJSON *entry, nb_error *err) {
    if (cJSON_IsNull(entry)) return NB_OK; /* mx.save_safetensors writes that */
    if (!cJSON_IsObject(entry)) return err_set(err, NB_ERR_FORMAT, "%s: \"__metadata__\" is no object", h->path);
    if (w->metadata) return NB_OK;
    w->metadata = cJSON_Duplicate(entry, 1);
    return w->metadata ? NB_OK : err_no_memory(err, h->path, 0);
}

static nb_status read_header(weights *w, const header *h, const cJSON *json, nb_error *err) {
    if (!cJSON_IsObject(json)) return err_set(err, NB_ERR_FORMAT, "%s: the header is no JSON object", h->path);
    size_t n = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, json) n++;
    nb_status status = reserve_tensors(w, n, err);
    cJSON_ArrayForEach(entry, json) {
        if (status) break;
        if (strcmp(entry->string, "__metadata__") == 0)
            status = take_metadata(w, h, entry, err);
        else
            status = read_entry(w, h, entry, err);
    }
    return status;
}

/* Adds the tensors of one file's bytes. */
static nb_status add_file(weights *w, const uint8_t *data, size_t size, const char *path, nb_error *err) {
    if (size < 8) return err_set(err, NB_ERR_FORMAT, "%s: %zu bytes are no safetensors file", path, size);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | data[i];
    if (length > size - 8)
        return err_set(err, NB_ERR_FORMAT, "%s: the header should have %llu bytes, but the file has only %zu%s", path,
                       (unsigned long long)length, size - 8, " after it (truncated, or no safetensors file?)");
    if (length > MAX_HEADER)
        return err_set(err, NB_ERR_FORMAT, "%s: a header of %llu bytes, more than the %d allowed", path,
                       (unsigned long long)length, (int)MAX_HEADER);
    size_t n = (size_t)length;
    header h = {data + 8 + n, size - 8 - n, path, arena_strdup(w->strings, path_base(path))};
    if (!h.file) return err_no_memory(err, path, 0);
    buf name = {0};
    buf_printf(&name, "%s (header)", path);
    cJSON *json = NULL;
    nb_status status = name.failed ? err_no_memory(err, path, 0) : NB_OK;
    size_t first = w->n;
    if (!status) status = json_parse((const char *)data + 8, n, name.data, &json, err);
    if (!status) status = read_header(w, &h, json, err);
    cJSON_Delete(json);
    buf_free(&name);
    if (!status) status = check_tiling(&h, w->tensors + first, w->n - first, err);
    return status;
}

/* ---- The set of files ---------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
    return strcmp((*(const tensor *const *)a)->name, (*(const tensor *const *)b)->name);
}

static nb_status index_names(weights *w, const char *where, nb_error *err) {
    w->by_name = malloc((w->n + 1) * sizeof *w->by_name);
    if (!w->by_name) return err_no_memory(err, where, w->n * sizeof *w->by_name);
    for (size_t i = 0; i < w->n; i++) w->by_name[i] = &w->tensors[i];
    qsort(w->by_name, w->n, sizeof *w->by_name, by_name);
    for (size_t i = 1; i < w->n; i++) {
        const tensor *a = w->by_name[i - 1], *b = w->by_name[i];
        if (strcmp(a->name, b->name) == 0)
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s appears twice (in %s and %s)", where, a->name, a->file,
                           b->file);
    }
    return NB_OK;
}

static weights *weights_new(size_t n_files) {
    weights *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->n_files = n_files;
    w->maps = calloc(n_files + 1, sizeof *w->maps);
    w->strings = arena_new(0);
    if (w->maps && w->strings) return w;
    weights_close(w);
    return NULL;
}

void weights_close(weights *w) {
    if (!w) return;
    for (size_t i = 0; w->maps && i < w->n_files; i++) file_map_close(&w->maps[i]);
    free(w->maps);
    free(w->tensors);
    free(w->by_name);
    if (w->strings) arena_free(w->strings);
    cJSON_Delete(w->metadata);
    free(w);
}

/* Opens files by their paths; `where` names the whole in errors. */
static nb_status open_files(char *const *paths, size_t n, const char *where, weights **out, nb_error *err) {
    weights *w = weights_new(n);
    if (!w) return err_no_memory(err, where, 0);
    nb_status status = NB_OK;
    for (size_t i = 0; i < n && !status; i++) {
        status = file_map_open(paths[i], &w->maps[i], err);
        if (!status) status = add_file(w, w->maps[i].data, w->maps[i].size, paths[i], err);
    }
    if (!status) status = index_names(w, where, err);
    if (status)
        weights_close(w);
    else
        *out = w;
    return status;
}

nb_status weights_open_file(const char *path, weights **out, nb_error *err) {
    *out = NULL;
    char *copy = strdup(path);
    if (!copy) return err_no_memory(err, path, 0);
    nb_status status = open_files(&copy, 1, path, out, err);
    free(copy);
    return status;
}

nb_status weights_open_memory(const void *data, size_t size, const char *name, weights **out, nb_error *err) {
    *out = NULL;
    weights *w = weights_new(0);
    if (!w) return err_no_memory(err, name, 0);
    nb_status status = add_file(w, data, size, name, err);
    if (!status) status = index_names(w, name, err);
    if (status)
        weights_close(w);
    else
        *out = w;
    return status;
}

/* A growing list of strings: names of files, then (joined) their paths. */
typedef struct names {
    char **at;
    size_t n;
} names;

static void names_free(names *list) {
    for (size_t i = 0; i < list->n; i++) free(list->at[i]);
    free(list->at);
    *list = (names){0};
}

static nb_status names_add(names *list, const char *name, const char *where, nb_error *err) {
    if (list->n >= MAX_FILES) return err_set(err, NB_ERR_FORMAT, "%s: more than %d files", where, (int)MAX_FILES);
    char **at = realloc(list->at, (list->n + 1) * sizeof *at);
    if (at) list->at = at;
    char *copy = at ? strdup(name) : NULL;
    if (!copy) return err_no_memory(err, where, 0);
    list->at[list->n++] = copy;
    return NB_OK;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool ends_with(const char *s, const char *tail) {
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

/* Every *.safetensors of DIR whose name begins with `prefix`. */
static nb_status list_files(const char *dir, const char *prefix, names *list, nb_error *err) {
    DIR *d = opendir(dir);
    if (!d)
        return err_set(err, errno == ENOENT ? NB_ERR_NOT_FOUND : NB_ERR_IO, "%s: cannot read directory: %s", dir,
                       strerror(errno));
    nb_status status = NB_OK;
    for (const struct dirent *e; !status && (e = readdir(d));)
        if (e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0 &&
            ends_with(e->d_name, ".safetensors"))
            status = names_add(list, e->d_name, dir, err);
    closedir(d);
    if (list->n > 1) qsort(list->at, list->n, sizeof *list->at, by_text);
    return status;
}

/* Collects the different files that weight_map names. */
static nb_status index_files(const cJSON *map, const char *index, names *list, nb_error *err) {
    if (!cJSON_IsObject(map)) return err_set(err, NB_ERR_FORMAT, "%s: no object \"weight_map\"", index);
    nb_status status = NB_OK;
    const cJSON *item;
    const char *last = ""; /* entries of one file usually stand together */
    cJSON_ArrayForEach(item, map) {
        const char *file = cJSON_IsString(item) ? item->valuestring : NULL;
        if (!file || !*file || strchr(file, '/') || file[0] == '.')
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s: \"%.100s\" is no name of a file in this directory",
                           index, item->string, file ? file : "");
        if (strcmp(file, last) == 0) continue;
        last = file;
        bool known = false;
        for (size_t i = 0; i < list->n && !known; i++) known = strcmp(list->at[i], file) == 0;
        if (!known) status = names_add(list, file, index, err);
        if (status) return status;
    }
    if (list->n > 1) qsort(list->at, list->n, sizeof *list->at, by_text);
    return list->n ? NB_OK : err_set(err, NB_ERR_FORMAT, "%s: \"weight_map\" names no file", index);
}

/* Every tensor of the index must be in the file that the index says. */
static nb_status check_index(const weights *w, const cJSON *map, const char *index, nb_error *err) {
    const cJSON *item;
    cJSON_ArrayForEach(item, map) {
        const tensor *t = weights_find(w, item->string);
        if (!t || strcmp(t->file, item->valuestring) != 0)
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s should be in %s, but is %s%s", index, item->string,
                           item->valuestring, t ? "in " : "not there", t ? t->file : "");
    }
    return NB_OK;
}

static nb_status open_named(const char *dir, const names *list, weights **out, nb_error *err) {
    names paths = {0};
    nb_status status = NB_OK;
    for (size_t i = 0; i < list->n && !status; i++) {
        char *path = path_join(dir, list->at[i]);
        status = path ? names_add(&paths, path, dir, err) : err_no_memory(err, dir, 0);
        free(path);
    }
    if (!status) status = open_files(paths.at, paths.n, dir, out, err);
    names_free(&paths);
    return status;
}

static nb_status open_indexed(const char *dir, const char *index, weights **out, nb_error *err) {
    cJSON *json = NULL;
    names list = {0};
    nb_status status = json_read(index, &json, err);
    const cJSON *map = json_get(json, "weight_map");
    if (!status) status = index_files(map, index, &list, err);
    if (!status) status = open_named(dir, &list, out, err);
    if (!status) status = check_index(*out, map, index, err);
    if (status) {
        weights_close(*out);
        *out = NULL;
    }
    names_free(&list);
    cJSON_Delete(json);
    return status;
}

nb_status weights_open(const char *dir, weights **out, nb_error *err) {
    *out = NULL;
    char *single = path_join(dir, "model.safetensors"), *index = path_join(dir, "model.safetensors.index.json");
    nb_status status = NB_OK;
    names list = {0};
    if (!single || !index) {
        status = err_no_memory(err, dir, 0);
    } else if (path_is_file(single)) {
        status = weights_open_file(single, out, err);
    } else if (path_is_file(index)) {
        status = open_indexed(dir, index, out, err);
    } else {
        status = list_files(dir, "model", &list, err);
        if (!status && list.n == 0) status = list_files(dir, "", &list, err);
        if (!status && list.n == 0)
            status = err_set(err, NB_ERR_NOT_FOUND, "%s: no weights here (model.safetensors or its shards)", dir);
        if (!status) status = open_named(dir, &list, out, err);
    }
    names_free(&list);
    free(single);
    free(index);
    return status;
}

/* ---- Looking ------------------------------------------------------------------------------------------------- */

const tensor *weights_find(const weights *w, const char *name) {
    tensor key = {.name = name};
    const tensor *p = &key;
    const tensor **found = bsearch(&p, w->by_name, w->n, sizeof *w->by_name, by_name);
    return found ? *found : NULL;
}

size_t weights_count(const weights *w) {
    return w->n;
}

const tensor *weights_at(const weights *w, size_t i) {
    return i < w->n ? &w->tensors[i] : NULL;
}

const char *weights_metadata(const weights *w, const char *key) {
    return cJSON_GetStringValue(json_get(w->metadata, key));
}

void weights_release(const weights *w, const tensor *t) {
    /* Each call ignores ranges outside of its own mapping. */
    for (size_t i = 0; i < w->n_files; i++) file_map_release(&w->maps[i], t->data, t->bytes);
}

void weights_evict(const weights *w, const tensor *t) {
    for (size_t i = 0; i < w->n_files; i++) file_map_evict(&w->maps[i], t->data, t->bytes);
}

/* Whether any of n elements has all bits of its exponent set, as NaN and infinity have. Plain loops: compilers make
 * vector code of them, and a load reads every scale of a model. */
static bool any_not_finite(const tensor *t, int64_t n) {
    const uint32_t mask16 = t->type == DT_F16 ? 0x7c00 : 0x7f80;
    uint32_t found = 0;
    switch (t->type) {
    case DT_F16:
    case DT_BF16:
        for (int64_t i = 0; i < n; i++) found |= (load_u16(t->data, i) & mask16) == mask16;
        return found;
    case DT_F32:
        for (int64_t i = 0; i < n; i++) found |= (load_u32(t->data, i) & 0x7f800000u) == 0x7f800000u;
        return found;
    default:
        return true; /* look at each */
    }
}

nb_status tensor_check_finite(const tensor *t, nb_error *err) {
    if (!dtype_is_float(t->type)) return NB_OK;
    const int64_t n = (int64_t)(t->bytes / dtype_size(t->type));
    if (!any_not_finite(t, n)) return NB_OK;
    for (int64_t i = 0; i < n; i++) {
        double v = float_at(t->data, t->type, i);
        if (v - v != 0)
            return err_set(err, NB_ERR_FORMAT, "%s: tensor %s: element %lld is %s, expected finite numbers", t->file,
                           t->name, (long long)i, v != v ? "NaN" : "infinite");
    }
    return NB_OK;
}
