/* SPDX-License-Identifier: Apache-2.0
 *
 * Verdicts as JSON files, named by a hash of what they hold for. What they hold for stands in them too, and is compared
 * in full: a hash may be met by chance, and a home may be copied to another machine. */
#include "verify/verdict.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "files/store.h"

enum { FORMAT = 1, MAX_FILE = 4 << 20 };

void verdict_free(verdict *v) {
    free(v->aside);
    v->aside = NULL;
    v->n_aside = 0;
}

verdict_aside *verdict_find(const verdict *v, const char *kernel) {
    for (size_t i = 0; i < v->n_aside; i++)
        if (strcmp(v->aside[i].kernel, kernel) == 0) return &v->aside[i];
    return NULL;
}

static verdict_aside *append(verdict *v) {
    verdict_aside *all = v->n_aside < VERDICT_MAX_ASIDE ? realloc(v->aside, (v->n_aside + 1) * sizeof *all) : NULL;
    if (!all) return NULL;
    v->aside = all;
    all[v->n_aside] = (verdict_aside){0};
    return &all[v->n_aside++];
}

bool verdict_add(verdict *v, const finding *f) {
    if (verdict_find(v, f->kernel)) return true;
    verdict_aside *a = append(v);
    if (!a) return false;
    memcpy(a->kernel, f->kernel, sizeof a->kernel);
    memcpy(a->what, f->what, sizeof a->what);
    memcpy(a->where, f->where, sizeof a->where);
    a->kind = f->kind;
    return true;
}

static bool add_all(verdict *v, const verdict *from) {
    for (size_t i = 0; i < from->n_aside; i++) {
        if (verdict_find(v, from->aside[i].kernel)) continue;
        verdict_aside *a = append(v);
        if (!a) return false;
        *a = from->aside[i];
    }
    return true;
}

bool verdict_merge(verdict *v, const verdict *older) {
    v->full |= older->full;
    if (v->n_kernels < older->n_kernels) v->n_kernels = older->n_kernels;
    return add_all(v, older);
}

uint64_t verdict_names(const verdict *v) {
    uint64_t sum = 0;
    for (size_t i = 0; i < v->n_aside; i++) sum += hash_text(HASH_START, v->aside[i].kernel);
    return sum;
}

void verdict_date(char text[32]) {
    const time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

/* ---- Where ------------------------------------------------------------------------------------------------------ */

static nb_status folder(char **path, nb_error *err) {
    return store_home("verdicts", path, err);
}

static uint64_t key_of(const device_info *d, const char *version, uint64_t model_set) {
    uint64_t h = hash_text(HASH_START, d->backend);
    h = hash_bytes(h, &d->index, sizeof d->index);
    h = hash_text(h, d->name);
    h = hash_text(h, d->features);
    h = hash_text(h, d->driver);
    h = hash_text(h, d->compiler);
    h = hash_bytes(h, &d->code_hash, sizeof d->code_hash);
    h = hash_text(h, version);
    return hash_bytes(h, &model_set, sizeof model_set);
}

static nb_status file_of(const device_info *d, uint64_t model_set, char **path, nb_error *err) {
    char name[32], *dir;
    nb_status status = folder(&dir, err);
    if (status) return status;
    snprintf(name, sizeof name, "%016llx.json", (unsigned long long)key_of(d, nb_version(), model_set));
    *path = path_join(dir, name);
    free(dir);
    return *path ? NB_OK : err_no_memory(err, "a path", 0);
}

/* ---- Reading ---------------------------------------------------------------------------------------------------- */

static void take_text(const cJSON *o, const char *field, char *to, size_t size) {
    const cJSON *value = json_get(o, field);
    snprintf(to, size, "%s", cJSON_IsString(value) ? value->valuestring : "");
}

/* Hashes are hexadecimal text: not every 64-bit number is a double. */
static uint64_t take_hash(const cJSON *o, const char *field) {
    char text[24];
    take_text(o, field, text, sizeof text);
    return strtoull(text, NULL, 16);
}

static double take_number(const cJSON *o, const char *field) {
    const cJSON *value = json_get(o, field);
    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

/* False when there is something else than a whole number. */
static bool take_count(const cJSON *o, const char *field, int64_t *to) {
    nb_error ignored;
    *to = 0;
    return !json_int(o, field, 0, INT32_MAX, to, NULL, "verdict", &ignored);
}

static finding_kind kind_named(const char *name) {
    for (finding_kind kind = 0; kind < FOUND_KINDS; kind++)
        if (strcmp(finding_kind_name(kind), name) == 0) return kind;
    return FOUND_WRONG_VALUE;
}

static bool parse_aside(const cJSON *o, verdict *v) {
    char kind[64];
    verdict_aside *a = append(v);
    if (!a) return false;
    take_text(o, "kernel", a->kernel, sizeof a->kernel);
    take_text(o, "kind", kind, sizeof kind);
    take_text(o, "what", a->what, sizeof a->what);
    take_text(o, "where", a->where, sizeof a->where);
    take_text(o, "instead", a->instead, sizeof a->instead);
    a->kind = kind_named(kind);
    a->slowdown = take_number(o, "slowdown");
    return a->kernel[0] != 0;
}

/* False when this is no verdict. The backend's name goes to `backend`, to which *v points. */
static bool parse(const cJSON *o, verdict *v, char backend[32]) {
    const cJSON *on = json_get(o, "device"), *aside = json_get(o, "aside"), *full = json_get(o, "full");
    int64_t index;
    *v = (verdict){.device.backend = backend};
    if (take_number(o, "nibble_verdict") != FORMAT || !cJSON_IsObject(on) || !cJSON_IsArray(aside) ||
        !cJSON_IsBool(full) || !take_count(on, "index", &index) || !take_count(o, "kernels", &v->n_kernels))
        return false;
    take_text(on, "backend", backend, 32);
    v->device.index = (int)index;
    take_text(on, "name", v->device.name, sizeof v->device.name);
    take_text(on, "features", v->device.features, sizeof v->device.features);
    take_text(on, "driver", v->device.driver, sizeof v->device.driver);
    take_text(on, "compiler", v->device.compiler, sizeof v->device.compiler);
    v->device.code_hash = take_hash(on, "code_hash");
    take_text(o, "nibble", v->version, sizeof v->version);
    take_text(o, "model", v->model, sizeof v->model);
    take_text(o, "date", v->date, sizeof v->date);
    v->model_set = take_hash(o, "model_set");
    v->without = take_hash(o, "without");
    v->full = cJSON_IsTrue(full);
    for (const cJSON *item = aside->child; item; item = item->next)
        if (!parse_aside(item, v)) return false;
    return true;
}

static bool read_file(const char *path, verdict *v, char backend[32]) {
    buf text = {0};
    cJSON *o = NULL;
    bool good = file_read(path, MAX_FILE, &text, NULL) == NB_OK &&
                json_parse(text.data ? text.data : "", text.len, path, &o, NULL) == NB_OK && parse(o, v, backend);
    cJSON_Delete(o);
    buf_free(&text);
    return good;
}

bool verdict_is_of(const verdict *v, const device_info *d) {
    return strcmp(v->device.backend, d->backend) == 0 && v->device.index == d->index &&
           strcmp(v->device.name, d->name) == 0 && strcmp(v->device.features, d->features) == 0 &&
           strcmp(v->device.driver, d->driver) == 0 && strcmp(v->device.compiler, d->compiler) == 0 &&
           v->device.code_hash == d->code_hash && strcmp(v->version, nb_version()) == 0;
}

nb_status verdict_read(const device_info *d, uint64_t model_set, verdict *out, bool *found, nb_error *err) {
    char *path, backend[32];
    *out = (verdict){0};
    *found = false;
    nb_status status = file_of(d, model_set, &path, err);
    if (status) return status;
    if (path_is_file(path)) {
        *found = read_file(path, out, backend) && verdict_is_of(out, d) && out->model_set == model_set;
        if (!*found) {
            verdict_free(out);
            *out = (verdict){0};
            log_msg(NB_LOG_INFO, "%s: not a verdict about this device, and so ignored", path);
        }
    }
    out->device.backend = d->backend;
    free(path);
    return NB_OK;
}

/* ---- Writing ---------------------------------------------------------------------------------------------------- */

static void put_hash(cJSON *o, const char *field, uint64_t hash) {
    char text[24];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    cJSON_AddStringToObject(o, field, text);
}

static void put_aside(cJSON *array, const verdict_aside *a) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kernel", a->kernel);
    cJSON_AddStringToObject(o, "kind", finding_kind_name(a->kind));
    cJSON_AddStringToObject(o, "what", a->what);
    cJSON_AddStringToObject(o, "where", a->where);
    cJSON_AddStringToObject(o, "instead", a->instead);
    cJSON_AddNumberToObject(o, "slowdown", a->slowdown);
    cJSON_AddItemToArray(array, o);
}

static char *print(const verdict *v) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "nibble_verdict", FORMAT);
    cJSON_AddStringToObject(o, "nibble", v->version);
    cJSON_AddStringToObject(o, "date", v->date);
    cJSON_AddStringToObject(o, "model", v->model);
    put_hash(o, "model_set", v->model_set);
    put_hash(o, "without", v->without);
    cJSON_AddBoolToObject(o, "full", v->full);
    cJSON_AddNumberToObject(o, "kernels", (double)v->n_kernels);
    cJSON *on = cJSON_AddObjectToObject(o, "device");
    cJSON_AddStringToObject(on, "backend", v->device.backend);
    cJSON_AddNumberToObject(on, "index", v->device.index);
    cJSON_AddStringToObject(on, "name", v->device.name);
    cJSON_AddStringToObject(on, "features", v->device.features);
    cJSON_AddStringToObject(on, "driver", v->device.driver);
    cJSON_AddStringToObject(on, "compiler", v->device.compiler);
    put_hash(on, "code_hash", v->device.code_hash);
    cJSON *aside = cJSON_AddArrayToObject(o, "aside");
    for (size_t i = 0; i < v->n_aside; i++) put_aside(aside, &v->aside[i]);
    char *text = cJSON_Print(o);
    cJSON_Delete(o);
    return text;
}

nb_status verdict_write(const verdict *v, nb_error *err) {
    char *dir = NULL, *path = NULL, *text = print(v);
    nb_status status = text ? folder(&dir, err) : err_no_memory(err, "a verdict", 0);
    if (!status) status = dir_make(dir, err);
    if (!status) status = file_of(&v->device, v->model_set, &path, err);
    if (!status) status = file_write(path, text, strlen(text), err);
    cJSON_free(text);
    free(dir);
    free(path);
    return status;
}

/* ---- All of them ------------------------------------------------------------------------------------------------ */

/* Calls fn for each verdict's file in the folder; a folder that is not there has none. */
static nb_status each_file(void (*fn)(void *user, const char *path), void *user, nb_error *err) {
    char *dir;
    nb_status status = folder(&dir, err);
    if (status) return status;
    struct dirent **entries = NULL;
    const int n = scandir(dir, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name, *dot = strrchr(name, '.');
        char *path = name[0] != '.' && dot && strcmp(dot, ".json") == 0 ? path_join(dir, name) : NULL;
        if (path) fn(user, path);
        free(path);
        free(entries[i]);
    }
    free(entries);
    free(dir);
    return NB_OK;
}

typedef struct visitor {
    void (*visit)(void *user, const verdict *v);
    void *user;
} visitor;

static void visit_file(void *user, const char *path) {
    const visitor *all = user;
    verdict v;
    char backend[32];
    if (read_file(path, &v, backend)) all->visit(all->user, &v);
    verdict_free(&v);
}

nb_status verdict_each(void (*visit)(void *user, const verdict *v), void *user, nb_error *err) {
    visitor all = {visit, user};
    return each_file(visit_file, &all, err);
}

typedef struct gatherer {
    const device_info *device;
    verdict *all;
    bool failed;
} gatherer;

static void gather(void *user, const verdict *v) {
    gatherer *g = user;
    if (verdict_is_of(v, g->device) && !add_all(g->all, v)) g->failed = true;
}

nb_status verdict_known(const device_info *d, verdict *out, nb_error *err) {
    *out = (verdict){.device = *d};
    gatherer g = {.device = d, .all = out};
    nb_status status = verdict_each(gather, &g, err);
    return !status && g.failed ? err_no_memory(err, "what is known of a device", 0) : status;
}

static void remove_file(void *user, const char *path) {
    size_t *n = user;
    if (unlink(path) == 0) (*n)++;
}

nb_status verdict_forget(size_t *n, nb_error *err) {
    *n = 0;
    return each_file(remove_file, n, err);
}
