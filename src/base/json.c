/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { MAX_JSON_FILE = 512 << 20 };

nb_status json_parse(const char *text, size_t length, const char *name, cJSON **out, nb_error *err) {
    *out = NULL;
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        length -= 3;
    }
    const char *end = NULL;
    cJSON *tree = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (tree) {
        while (end < text + length && (isspace((unsigned char)*end) || *end == 0)) end++;
        if (end == text + length) {
            *out = tree;
            return NB_OK;
        }
        cJSON_Delete(tree);
    }
    if (!end || end < text || end > text + length) end = text;
    size_t line = 1;
    for (const char *p = text; p < end; p++) line += *p == '\n';
    return err_set(err, NB_ERR_FORMAT, "%s: not valid JSON at line %zu (byte %zu of %zu)", name, line,
                   (size_t)(end - text), length);
}

nb_status json_read(const char *path, cJSON **out, nb_error *err) {
    *out = NULL;
    buf text = {0};
    nb_status status = file_read(path, MAX_JSON_FILE, &text, err);
    if (!status) status = json_parse(text.data ? text.data : "", text.len, path, out, err);
    buf_free(&text);
    return status;
}

const cJSON *json_get(const cJSON *object, const char *field) {
    if (!cJSON_IsObject(object)) return NULL;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, field);
    return item && !cJSON_IsNull(item) ? item : NULL;
}

static const char *kind_of(const cJSON *item) {
    if (cJSON_IsString(item)) return "a string";
    if (cJSON_IsNumber(item)) return "a number";
    if (cJSON_IsBool(item)) return "true or false";
    if (cJSON_IsArray(item)) return "an array";
    return "an object";
}

/* The member, NULL when absent; sets *found. */
static const cJSON *find(const cJSON *object, const char *field, bool *found) {
    const cJSON *item = json_get(object, field);
    if (found) *found = item != NULL;
    return item;
}

static nb_status wrong_kind(const cJSON *item, const char *field, const char *want, const char *name, nb_error *err) {
    return err_set(err, NB_ERR_FORMAT, "%s: field \"%s\" is %s, expected %s", name, field, kind_of(item), want);
}

nb_status json_int(const cJSON *object, const char *field, int64_t min, int64_t max, int64_t *out, bool *found,
                   const char *name, nb_error *err) {
    const cJSON *item = find(object, field, found);
    if (!item) return NB_OK;
    if (!cJSON_IsNumber(item)) return wrong_kind(item, field, "a whole number", name, err);
    double v = item->valuedouble;
    /* (double)INT64_MAX is 2^63, which no int64_t holds. */
    if (!(v >= (double)min && v <= (double)max) || v >= 0x1p63 || v != floor(v))
        return err_set(err, NB_ERR_FORMAT, "%s: field \"%s\" is %.17g, expected a whole number from %lld to %lld", name,
                       field, v, (long long)min, (long long)max);
    *out = (int64_t)v;
    return NB_OK;
}

nb_status json_num(const cJSON *object, const char *field, double min, double max, double *out, bool *found,
                   const char *name, nb_error *err) {
    const cJSON *item = find(object, field, found);
    if (!item) return NB_OK;
    if (!cJSON_IsNumber(item)) return wrong_kind(item, field, "a number", name, err);
    double v = item->valuedouble;
    if (!(v >= min && v <= max))
        return err_set(err, NB_ERR_FORMAT, "%s: field \"%s\" is %.17g, expected %g to %g", name, field, v, min, max);
    *out = v;
    return NB_OK;
}

nb_status json_bool(const cJSON *object, const char *field, bool *out, bool *found, const char *name, nb_error *err) {
    const cJSON *item = find(object, field, found);
    if (!item) return NB_OK;
    if (!cJSON_IsBool(item)) return wrong_kind(item, field, "true or false", name, err);
    *out = cJSON_IsTrue(item) != 0;
    return NB_OK;
}

nb_status json_str(const cJSON *object, const char *field, const char **out, bool *found, const char *name,
                   nb_error *err) {
    const cJSON *item = find(object, field, found);
    if (!item) return NB_OK;
    if (!cJSON_IsString(item)) return wrong_kind(item, field, "a string", name, err);
    *out = item->valuestring;
    return NB_OK;
}

void json_put_str(buf *out, const char *text, size_t n) {
    buf_putc(out, '"');
    size_t start = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        buf_put(out, text + start, i - start);
        start = i + 1;
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '\n')
            buf_puts(out, "\\n");
        else
            buf_printf(out, "\\u%04x", c);
    }
    buf_put(out, text + start, n - start);
    buf_putc(out, '"');
}
