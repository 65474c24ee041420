/* SPDX-License-Identifier: Apache-2.0
 *
 * Types for arguments that come as bare text: by the JSON schema of the tool's parameter. A schema may name several
 * types (a list, anyOf, the values of an enum); the first that the text fits counts, strings last. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "text/toolcall_impl.h"

enum { T_NULL = 1, T_INTEGER = 2, T_NUMBER = 4, T_BOOLEAN = 8, T_OBJECT = 16, T_STRING = 32, T_UNKNOWN = 64 };

/* Tools are written {"type": "function", "function": {"name", "parameters"}}, or without what is around. */
static const cJSON *find_schema(const nb_parser *p, const char *function, const char *parameter) {
    const cJSON *tool;
    cJSON_ArrayForEach(tool, p->tools) {
        const cJSON *f = json_get(tool, "function");
        if (!cJSON_IsObject(f)) f = tool;
        const char *name = cJSON_GetStringValue(json_get(f, "name"));
        if (name && strcmp(name, function) == 0)
            return json_get(json_get(json_get(f, "parameters"), "properties"), parameter);
    }
    return NULL;
}

/* By beginnings, since people write "int", "uint32", "float64", "list[str]" too. */
static unsigned type_named(const char *name) {
    static const struct {
        const char *begins;
        unsigned type;
    } names[] = {{"str", T_STRING},    {"text", T_STRING},      {"char", T_STRING},  {"varchar", T_STRING},
                 {"enum", T_STRING},   {"int", T_INTEGER},      {"uint", T_INTEGER}, {"long", T_INTEGER},
                 {"short", T_INTEGER}, {"unsigned", T_INTEGER}, {"num", T_NUMBER},   {"float", T_NUMBER},
                 {"double", T_NUMBER}, {"bool", T_BOOLEAN},     {"null", T_NULL},    {"none", T_NULL},
                 {"obj", T_OBJECT},    {"arr", T_OBJECT},       {"dict", T_OBJECT},  {"list", T_OBJECT}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncasecmp(name, names[i].begins, strlen(names[i].begins)) == 0) return names[i].type;
    return T_UNKNOWN;
}

static unsigned type_of_value(const cJSON *v) {
    if (cJSON_IsString(v)) return T_STRING;
    if (cJSON_IsBool(v)) return T_BOOLEAN;
    if (cJSON_IsNull(v)) return T_NULL;
    if (cJSON_IsNumber(v)) return v->valuedouble == floor(v->valuedouble) ? T_INTEGER : T_NUMBER;
    return T_OBJECT;
}

static unsigned types_of(const cJSON *schema, int depth) {
    static const char *const choices[] = {"anyOf", "oneOf", "allOf"};
    unsigned types = 0;
    const cJSON *type = json_get(schema, "type"), *item;
    if (cJSON_IsString(type)) types |= type_named(type->valuestring);
    if (cJSON_IsArray(type))
        cJSON_ArrayForEach(item, type) if (cJSON_IsString(item)) types |= type_named(item->valuestring);
    cJSON_ArrayForEach(item, json_get(schema, "enum")) types |= type_of_value(item);
    for (size_t i = 0; i < sizeof choices / sizeof choices[0] && depth < 8; i++)
        cJSON_ArrayForEach(item, json_get(schema, choices[i])) types |= types_of(item, depth + 1);
    return types;
}

static bool is_word(const char *text, size_t n, const char *const *words) {
    for (; *words; words++)
        if (strlen(*words) == n && strncasecmp(text, *words, n) == 0) return true;
    return false;
}

/* As JSON, else as a Python literal. */
static bool put_any(const char *text, size_t n, buf *out) {
    return tc_json_copy(text, n, out) || tc_python_literal(text, n, out);
}

/* A whole number may be written 5.0 and 1e3. */
static bool put_number(const char *text, size_t n, bool whole, buf *out) {
    buf number = {0};
    bool ok = put_any(text, n, &number) && number.len && (tc_digit(number.data[0]) || number.data[0] == '-');
    if (ok && whole && strpbrk(number.data, ".eE")) {
        double v = strtod(number.data, NULL);
        ok = v == floor(v) && fabs(v) < 0x1p53;
        if (ok) {
            buf_clear(&number);
            buf_printf(&number, "%.0f", v);
        }
    }
    if (ok) buf_put(out, number.data, number.len);
    if (number.failed) out->failed = true;
    buf_free(&number);
    return ok;
}

static bool put_boolean(const char *text, size_t n, buf *out) {
    static const char *const yes[] = {"true", "1", "yes", "on", NULL}, *const no[] = {"false", "0", "no", "off", NULL};
    bool is_true = is_word(text, n, yes);
    if (!is_true && !is_word(text, n, no)) return false;
    buf_puts(out, is_true ? "true" : "false");
    return true;
}

static bool put_by_types(unsigned types, const char *text, size_t n, buf *out) {
    static const char *const nulls[] = {"null", "none", "nil", NULL};
    if ((types & T_NULL) && is_word(text, n, nulls)) {
        buf_puts(out, "null");
        return true;
    }
    return ((types & T_INTEGER) && put_number(text, n, true, out)) ||
           ((types & T_NUMBER) && put_number(text, n, false, out)) ||
           ((types & T_BOOLEAN) && put_boolean(text, n, out)) ||
           ((types & (T_OBJECT | T_UNKNOWN)) && put_any(text, n, out));
}

void tc_put_typed(const nb_parser *p, const buf *function, const buf *parameter, const char *text, size_t n,
                  bool null_always, bool untyped_any, buf *out) {
    static const char *const null[] = {"null", NULL};
    const cJSON *schema = function->data && parameter->data ? find_schema(p, function->data, parameter->data) : NULL;
    unsigned types = types_of(schema, 0);
    const char *trimmed = text;
    size_t n_trimmed = n;
    tc_trim(&trimmed, &n_trimmed);
    bool bracket = n_trimmed && (trimmed[0] == '{' || trimmed[0] == '[');
    if (!types) types = untyped_any ? T_UNKNOWN : schema && bracket ? T_OBJECT : T_STRING;
    if (null_always && is_word(text, n, null))
        buf_puts(out, "null");
    else if (!put_by_types(types, trimmed, n_trimmed, out))
        json_put_str(out, text, n);
}
