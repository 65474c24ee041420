/* SPDX-License-Identifier: Apache-2.0
 *
 * config.json and the index of a converted model, in the very form that mlx-lm writes. The config's numbers stay as
 * they are written in the source: what 1e-06 or 10000.0 is to Python depends on its spelling. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "files/convert.h"

enum { MAX_CONFIG = 64 << 20, MAX_DEPTH = 200 };

/* ---- Python's form of a JSON text ------------------------------------------------------------------------------ */

static size_t skip_space(const char *text, size_t n, size_t i) {
    while (i < n && (text[i] == ' ' || text[i] == '\n' || text[i] == '\r' || text[i] == '\t')) i++;
    return i;
}

/* Where the string that begins at i ends. */
static size_t skip_string(const char *text, size_t n, size_t i) {
    for (i++; i < n && text[i] != '"'; i++)
        if (text[i] == '\\') i++;
    return i < n ? i + 1 : n;
}

/* Where the value that begins at i ends. */
static size_t skip_value(const char *text, size_t n, size_t i) {
    int depth = 0;
    while (i < n) {
        char c = text[i];
        if (c == '"')
            i = skip_string(text, n, i);
        else if (c == '{' || c == '[')
            depth++, i++;
        else if (c == '}' || c == ']') {
            if (depth == 0) return i;
            depth--, i++;
        } else if (depth == 0 && (c == ',' || c == ':' || c == ' ' || c == '\n' || c == '\r' || c == '\t'))
            return i;
        else
            i++;
        if (depth == 0 && (c == '"' || c == '}' || c == ']')) return i;
    }
    return n;
}

static void put_line(buf *out, int level) {
    buf_putc(out, '\n');
    for (int i = 0; i < 4 * level; i++) buf_putc(out, ' ');
}

/* A string in ASCII, with other characters escaped. */
static void put_string(buf *out, const char *text, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        int length = (unsigned char)text[i] < 0x80 ? 0 : utf8_decode(text + i, n - i, &cp);
        if (length == 0) {
            buf_putc(out, text[i++]);
            continue;
        }
        i += (size_t)length;
        if (cp >= 0x10000) {
            cp -= 0x10000;
            buf_printf(out, "\\u%04x", (unsigned)(0xd800 + (cp >> 10)));
            cp = 0xdc00 + (cp & 0x3ff);
        }
        buf_printf(out, "\\u%04x", (unsigned)cp);
    }
}

static void put_value(buf *out, const char *text, size_t n, int level, int depth);

/* An object or an array. */
static void put_container(buf *out, const char *text, size_t n, int level, int depth) {
    const char close = text[0] == '{' ? '}' : ']';
    size_t i = skip_space(text, n, 1);
    buf_putc(out, text[0]);
    bool empty = i >= n || text[i] == close;
    while (i < n && text[i] != close) {
        size_t end = skip_value(text, n, i);
        if (end == i) break; /* not valid JSON */
        put_line(out, level + 1);
        if (text[0] == '{') {
            put_string(out, text + i, end - i);
            buf_puts(out, ": ");
            i = skip_space(text, n, end);
            i = skip_space(text, n, i < n && text[i] == ':' ? i + 1 : i);
            end = skip_value(text, n, i);
        }
        put_value(out, text + i, end - i, level + 1, depth + 1);
        i = skip_space(text, n, end);
        if (i < n && text[i] == ',') {
            buf_putc(out, ',');
            i = skip_space(text, n, i + 1);
        }
    }
    if (!empty) put_line(out, level);
    buf_putc(out, close);
}

static void put_value(buf *out, const char *text, size_t n, int level, int depth) {
    if (n > 0 && (text[0] == '{' || text[0] == '[') && depth < MAX_DEPTH)
        put_container(out, text, n, level, depth);
    else if (n > 0 && text[0] == '"')
        put_string(out, text, n);
    else
        buf_put(out, text, n);
}

void json_indent(buf *out, const char *text, size_t n, int level) {
    size_t i = skip_space(text, n, 0);
    put_value(out, text + i, skip_value(text, n, i) - i, level, 0);
}

/* ---- config.json ----------------------------------------------------------------------------------------------- */

/* A member of the top level: its key with the quotes, and its value as written. */
typedef struct member {
    const char *key;
    size_t key_length;
    const char *value;
    size_t length;
} member;

typedef struct members {
    member *items;
    size_t n;
} members;

static bool has_key(const member *m, const char *key) {
    return m->key_length == strlen(key) + 2 && strncmp(m->key + 1, key, strlen(key)) == 0;
}

static void drop(members *list, const char *key) {
    size_t kept = 0;
    for (size_t i = 0; i < list->n; i++)
        if (!has_key(&list->items[i], key)) list->items[kept++] = list->items[i];
    list->n = kept;
}

/* There is room for as many members as the file has, and four more. quoted: the key with its quotes. */
static void set(members *list, const char *quoted, const char *value) {
    char key[64];
    snprintf(key, sizeof key, "%.*s", (int)strlen(quoted) - 2, quoted + 1);
    drop(list, key);
    list->items[list->n++] = (member){quoted, strlen(quoted), value, strlen(value)};
}

static int by_key(const void *a, const void *b) {
    const member *x = a, *y = b;
    size_t n = x->key_length < y->key_length ? x->key_length : y->key_length;
    int order = memcmp(x->key + 1, y->key + 1, n - 2);
    return order ? order : (x->key_length > y->key_length) - (x->key_length < y->key_length);
}

static nb_status find_members(const char *text, size_t n, members *list, nb_error *err) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += text[i] == ':';
    list->items = calloc(count + 5, sizeof *list->items);
    if (!list->items) return err_no_memory(err, "config.json", count * sizeof *list->items);
    size_t i = 0;
    while (i < n && text[i] != '{') i++; /* a byte order mark, spaces */
    i = skip_space(text, n, i + 1);
    while (i < n && text[i] == '"' && list->n < count) {
        member m = {.key = text + i};
        size_t end = skip_string(text, n, i);
        m.key_length = end - i;
        if (m.key_length < 2) break;
        i = skip_space(text, n, end);
        i = skip_space(text, n, i + 1);
        if (i >= n) break;
        end = skip_value(text, n, i);
        m.value = text + i;
        m.length = end - i;
        list->items[list->n++] = m;
        i = skip_space(text, n, end);
        if (i < n && text[i] == ',') i = skip_space(text, n, i + 1);
    }
    return NB_OK;
}

/* The end tokens that generation_config.json has, which mlx-lm puts into the config; *out stays NULL where there are
 * none, or where it is no valid file. */
static nb_status generation_eos(const conversion *c, char **out, nb_error *err) {
    char *path = path_join(c->from, "generation_config.json");
    cJSON *tree = NULL;
    nb_status status = path ? NB_OK : err_no_memory(err, c->from, 0);
    if (!status && path_is_file(path) && json_read(path, &tree, err) == NB_ERR_NO_MEMORY) status = NB_ERR_NO_MEMORY;
    const cJSON *eos = json_get(tree, "eos_token_id");
    bool counts = eos && !(cJSON_IsNumber(eos) && eos->valuedouble == 0) && !(cJSON_IsArray(eos) && !eos->child) &&
                  !cJSON_IsFalse(eos);
    if (!status && counts && !(*out = cJSON_PrintUnformatted(eos))) status = err_no_memory(err, path, 0);
    cJSON_Delete(tree);
    free(path);
    return status;
}

static void print_members(buf *out, const members *list) {
    buf_putc(out, '{');
    for (size_t i = 0; i < list->n; i++) {
        const member *m = &list->items[i];
        buf_puts(out, i ? ",\n    " : "\n    ");
        put_string(out, m->key, m->key_length);
        buf_puts(out, ": ");
        json_indent(out, m->value, m->length, 1);
    }
    buf_puts(out, "\n}");
}

static nb_status write_file(const char *dir, const char *name, const buf *text, nb_error *err) {
    char *path = path_join(dir, name);
    if (!path || text->failed) {
        free(path);
        return err_no_memory(err, name, 0);
    }
    nb_status status = file_write(path, text->data, text->len, err);
    free(path);
    return status;
}

nb_status convert_write_config(const conversion *c, const char *dir, nb_error *err) {
    buf source = {0}, out = {0};
    members list = {0};
    char *eos = NULL, *block = c->block ? cJSON_PrintUnformatted(c->block) : NULL;
    nb_status status = generation_eos(c, &eos, err);
    if (!status) status = file_read(c->config.name, MAX_CONFIG, &source, err);
    if (!status) status = find_members(source.data, source.len, &list, err);
    if (!status && c->block && !block) status = err_no_memory(err, "config.json", 0);
    if (!status) {
        drop(&list, "_name_or_path");
        drop(&list, "vision_config");
        if (c->decode) {
            drop(&list, "quantization");
            drop(&list, "quantization_config");
        }
        if (eos) set(&list, "\"eos_token_id\"", eos);
        if (block) set(&list, "\"quantization\"", block);
        if (block) set(&list, "\"quantization_config\"", block);
        qsort(list.items, list.n, sizeof *list.items, by_key);
        print_members(&out, &list);
        status = write_file(dir, "config.json", &out, err);
    }
    cJSON_free(eos);
    cJSON_free(block);
    free(list.items);
    buf_free(&source);
    buf_free(&out);
    return status;
}

/* ---- The index ------------------------------------------------------------------------------------------------- */

typedef struct placed {
    const char *name, *file;
} placed;

static int by_name(const void *a, const void *b) {
    return strcmp(((const placed *)a)->name, ((const placed *)b)->name);
}

nb_status convert_write_index(const conversion *c, const char *dir, nb_error *err) {
    size_t n = 0, bytes = 0;
    placed *all = calloc(3 * c->n_steps + 1, sizeof *all);
    if (!all) return err_no_memory(err, "the index", 0);
    for (size_t s = 0; s < c->n_shards; s++)
        for (size_t i = c->shards[s].first; i < c->shards[s].end; i++) {
            for (int o = 0; o < c->steps[i].n_out; o++) all[n++] = (placed){c->steps[i].out[o].name, c->shards[s].name};
            bytes += c->steps[i].bytes;
        }
    qsort(all, n, sizeof *all, by_name);
    buf out = {0};
    buf_printf(&out,
               "{\n    \"metadata\": {\n        \"total_size\": %zu,\n        \"total_parameters\": %lld\n    },\n"
               "    \"weight_map\": {",
               bytes, (long long)c->n_parameters);
    for (size_t i = 0; i < n; i++) {
        buf_puts(&out, i ? ",\n        " : "\n        ");
        json_put_str(&out, all[i].name, strlen(all[i].name));
        buf_puts(&out, ": ");
        json_put_str(&out, all[i].file, strlen(all[i].file));
    }
    buf_puts(&out, "\n    }\n}");
    nb_status status = write_file(dir, "model.safetensors.index.json", &out, err);
    free(all);
    buf_free(&out);
    return status;
}
