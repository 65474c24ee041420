/* SPDX-License-Identifier: Apache-2.0
 *
 * cJSON with errors for people: parsing that says where, and typed getters that check range and say which field of
 * which file was wrong. A missing field is not an error here: the getter leaves *out as it is and says so. */
#ifndef NB_BASE_JSON_H
#define NB_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

/* Parses the whole text (trailing bytes other than white space are an error). `name` stands in errors.
 * Free with cJSON_Delete. */
nb_status json_parse(const char *text, size_t length, const char *name, cJSON **out, nb_error *err);
nb_status json_read(const char *path, cJSON **out, nb_error *err);

/* Object member by exact name; NULL when absent, JSON null, or `object` is no object. */
const cJSON *json_get(const cJSON *object, const char *field);

/* Typed getters. NB_OK with *found (may be NULL) false when absent or null. Wrong type or outside [min, max]:
 * NB_ERR_FORMAT "<name>: field \"hidden_size\" is ..., expected ...". Integers must be whole numbers. */
nb_status json_int(const cJSON *object, const char *field, int64_t min, int64_t max, int64_t *out, bool *found,
                   const char *name, nb_error *err);
nb_status json_num(const cJSON *object, const char *field, double min, double max, double *out, bool *found,
                   const char *name, nb_error *err);
nb_status json_bool(const cJSON *object, const char *field, bool *out, bool *found, const char *name, nb_error *err);
/* *out points into the JSON tree. */
nb_status json_str(const cJSON *object, const char *field, const char **out, bool *found, const char *name,
                   nb_error *err);

/* Appends n bytes of UTF-8 as a JSON string, with its quotes. */
void json_put_str(buf *out, const char *text, size_t n);

#endif
