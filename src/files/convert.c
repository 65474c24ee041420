/* SPDX-License-Identifier: Apache-2.0
 *
 * nb_quantize and nb_dequantize: the whole. Everything is written into DIR.partial, whose journal says how many tensors
 * are complete and of which run they are; at the end it is renamed to DIR. An interrupted run leaves it, and the same
 * call goes on where the journal says; another call refuses to touch it. */
#include "files/convert.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "files/store.h"

static const char JOURNAL[] = "nibble-journal.json";

/* ---- Which run it is ------------------------------------------------------------------------------------------- */

/* FNV-1a. */
static void mix(uint64_t *h, const void *data, size_t n) {
    for (size_t i = 0; i < n; i++) *h = (*h ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
}
static void mix_text(uint64_t *h, const char *text) {
    mix(h, text, strlen(text) + 1);
}

/* Everything that decides what is written: the source's files as they are now, and each step. */
static nb_status fingerprint(const conversion *c, char out[20], nb_error *err) {
    uint64_t h = 0xcbf29ce484222325u;
    mix_text(&h, nb_version());
    for (size_t i = 0; i < weights_count(c->files); i++) {
        const tensor *t = weights_at(c->files, i);
        mix_text(&h, t->name);
        if (i > 0 && t->file == weights_at(c->files, i - 1)->file) continue;
        char *path = path_join(c->from, t->file);
        struct stat st = {0};
        if (!path) return err_no_memory(err, t->file, 0);
        const bool there = stat(path, &st) == 0;
        free(path);
        if (!there) return err_set(err, NB_ERR_IO, "%s/%s: cannot read: %s", c->from, t->file, strerror(errno));
        int64_t facts[] = {(int64_t)st.st_size, (int64_t)st.st_mtime};
        mix(&h, facts, sizeof facts);
    }
    for (size_t i = 0; i < c->n_steps; i++) {
        const convert_step *s = &c->steps[i];
        int64_t facts[] = {s->kind, s->cast, s->format.mode, s->format.bits, s->format.group_size};
        mix(&h, facts, sizeof facts);
        for (int o = 0; o < s->n_out; o++) {
            mix_text(&h, s->out[o].name);
            mix(&h, s->out[o].shape, sizeof s->out[o].shape);
            mix(&h, &s->out[o].type, sizeof s->out[o].type);
        }
    }
    snprintf(out, 20, "%016llx", (unsigned long long)h);
    return NB_OK;
}

/* ---- The directory while it is made ---------------------------------------------------------------------------- */

typedef struct workplace {
    char *dir; /* DIR.partial */
    char *journal;
    int lock;
    char print[20];
} workplace;

static bool is_empty_dir(const char *dir) {
    DIR *d = opendir(dir);
    bool empty = d != NULL;
    for (const struct dirent *e; empty && (e = readdir(d));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    if (d) closedir(d);
    return empty;
}

static nb_status check_target(const char *dir, nb_error *err) {
    struct stat st;
    if (!*dir) return err_set(err, NB_ERR_ARGUMENT, "no directory to write to is named");
    if (lstat(dir, &st) != 0)
        return errno == ENOENT ? NB_OK : err_set(err, NB_ERR_IO, "%s: cannot write here: %s", dir, strerror(errno));
    return is_empty_dir(dir)
               ? NB_OK
               : err_set(err, NB_ERR_ARGUMENT, "%s: exists and is not empty; choose a new directory", dir);
}

static nb_status save_journal(void *user, size_t done, nb_error *err) {
    const workplace *w = user;
    char text[100];
    int n = snprintf(text, sizeof text, "{\"run\": \"%s\", \"tensors\": %zu}\n", w->print, done);
    return file_write(w->journal, text, (size_t)n, err);
}

/* How many steps are complete; 0 for a new directory. One that another run has begun is refused. */
static nb_status read_journal(const workplace *w, size_t n_steps, size_t *done, nb_error *err) {
    cJSON *tree = NULL;
    const char *run = NULL;
    int64_t tensors = -1;
    *done = 0;
    if (!path_is_file(w->journal)) return save_journal((void *)(uintptr_t)w, 0, err);
    nb_status status = json_read(w->journal, &tree, err);
    if (!status) status = json_str(tree, "run", &run, NULL, w->journal, err);
    if (!status) status = json_int(tree, "tensors", 0, (int64_t)n_steps, &tensors, NULL, w->journal, err);
    if (!status && (!run || tensors < 0 || strcmp(run, w->print) != 0))
        status = err_set(err, NB_ERR_ARGUMENT,
                         "%s: was begun with other options or from other files; remove it to begin anew", w->dir);
    if (!status) *done = (size_t)tensors;
    cJSON_Delete(tree);
    return status;
}

static nb_status workplace_open(workplace *w, const conversion *c, nb_error *err) {
    size_t n = strlen(c->to);
    while (n > 1 && c->to[n - 1] == '/') n--;
    buf name = {0};
    buf_printf(&name, "%.*s.partial", (int)n, c->to);
    w->dir = buf_take(&name, NULL);
    w->journal = w->dir ? path_join(w->dir, JOURNAL) : NULL;
    if (!w->journal) return err_no_memory(err, c->to, 0);
    bool is_new = !path_is_dir(w->dir);
    nb_status status = dir_make(w->dir, err);
    if (status) return status;
    if (!is_new && !is_empty_dir(w->dir) && !path_is_file(w->journal))
        return err_set(err, NB_ERR_ARGUMENT, "%s: is in the way (it is not an interrupted run)", w->dir);
    w->lock = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w->lock < 0 || flock(w->lock, LOCK_EX | LOCK_NB) != 0)
        return err_set(err, NB_ERR_IO, "%s: another run is writing it", w->dir);
    return NB_OK;
}

static void workplace_close(workplace *w) {
    if (w->lock >= 0) close(w->lock);
    free(w->dir);
    free(w->journal);
}

static nb_status check_space(const conversion *c, const workplace *w, size_t done, nb_error *err) {
    struct statvfs fs;
    double needed = 0;
    for (size_t i = done; i < c->n_steps; i++) needed += (double)c->steps[i].bytes;
    if (statvfs(w->dir, &fs) != 0) return NB_OK;
    double free_bytes = (double)fs.f_bavail * (double)fs.f_frsize;
    if (needed <= free_bytes) return NB_OK;
    return err_set(err, NB_ERR_IO, "%s: needs %.1f MB more, but its disk has %.1f MB left", w->dir, needed / 1e6,
                   free_bytes / 1e6);
}

/* ---- Files that are copied ------------------------------------------------------------------------------------- */

/* Tokenizer, templates, texts; not weights, nor what is written anew. */
static bool is_copied(const char *name) {
    static const char *const endings[] = {".json", ".jinja", ".txt", ".model", ".tiktoken", ".jsonl", ".py"};
    static const char *const others[] = {"config.json", "hf_quant_config.json", "quantize_config.json"};
    if (name[0] == '.' || ends_with(name, ".safetensors.index.json") || ends_with(name, ".bin.index.json"))
        return false;
    for (int i = 0; i < 3; i++)
        if (strcmp(name, others[i]) == 0) return false;
    for (int i = 0; i < 7; i++)
        if (ends_with(name, endings[i])) return true;
    return strncmp(name, "LICENSE", 7) == 0;
}

static nb_status copy_file(const char *from, const char *to, const char *name, nb_error *err) {
    char *source = path_join(from, name), *target = path_join(to, name);
    file_map map = {0};
    nb_status status = source && target ? NB_OK : err_no_memory(err, name, 0);
    if (!status && path_is_file(source)) { /* nothing but files; links are followed, as a cache has them */
        status = file_map_open(source, &map, err);
        if (!status) status = file_write(target, map.data ? (const void *)map.data : "", map.size, err);
        file_map_close(&map);
    }
    free(source);
    free(target);
    return status;
}

static nb_status copy_files(const conversion *c, const char *to, nb_error *err) {
    DIR *d = opendir(c->from);
    if (!d) return err_set(err, NB_ERR_IO, "%s: cannot read: %s", c->from, strerror(errno));
    nb_status status = NB_OK;
    for (const struct dirent *e; !status && (e = readdir(d));)
        if (is_copied(e->d_name)) status = copy_file(c->from, to, e->d_name, err);
    closedir(d);
    return status;
}

/* ---- The whole ------------------------------------------------------------------------------------------------- */

static nb_status unknown_family(const char *model_type, nb_error *err) {
    buf known = {0};
    const checkpoint_family *f;
    for (size_t i = 0; (f = checkpoint_family_at(i)); i++)
        for (int t = 0; t < 4 && f->model_types[t]; t++)
            buf_printf(&known, "%s%s", known.len ? ", " : "", f->model_types[t]);
    nb_status status = err_set(err, NB_ERR_UNSUPPORTED, "config.json: unknown model_type \"%.60s\" (known: %s)",
                               model_type, known.data ? known.data : "");
    buf_free(&known);
    return status;
}

static nb_status open_source(conversion *c, nb_error *err) {
    nb_status status = config_open(c->from, &c->config, err);
    if (status) return status;
    c->family = checkpoint_family_find(c->config.model_type);
    if (!c->family) return unknown_family(c->config.model_type, err);
    status = quant_config_open(&c->config, &c->quantization, err);
    if (!status) status = weights_open(c->from, &c->files, err);
    if (!status) status = checkpoint_open(&c->config, c->files, &c->table, err);
    if (!status && c->decode && !quant_config_global(c->quantization).quantized)
        status = err_set(err, NB_ERR_ARGUMENT, "%s: is not quantized", c->from);
    return status;
}

static nb_status make(conversion *c, workplace *w, nb_error *err) {
    convert_progress p = {0, save_journal, w};
    nb_status status = fingerprint(c, w->print, err);
    if (!status) status = workplace_open(w, c, err);
    if (!status) status = read_journal(w, c->n_steps, &p.done, err);
    if (!status) status = check_space(c, w, p.done, err);
    if (!status && p.done > 0)
        log_msg(NB_LOG_INFO, "%s: going on after %zu of %zu tensors", w->dir, p.done, c->n_steps);
    if (!status) status = convert_write(c, w->dir, &p, err);
    if (!status) status = copy_files(c, w->dir, err);
    if (!status) status = convert_write_index(c, w->dir, err);
    if (!status) status = convert_write_config(c, w->dir, err);
    if (status) return status;
    unlink(w->journal);
    if (rename(w->dir, c->to) == 0) return NB_OK;
    return err_set(err, NB_ERR_IO, "%s: cannot rename to %s: %s", w->dir, c->to, strerror(errno));
}

static nb_status convert(const char *model, const char *dir, bool decode, const nb_convert_options *options,
                         nb_error *err) {
    static const nb_convert_options usual;
    conversion c = {.options = options ? options : &usual, .decode = decode, .to = dir};
    workplace w = {.lock = -1};
    char *from = NULL;
    if (!model || !dir) return err_set(err, NB_ERR_ARGUMENT, "no model or no directory is named");
    nb_status status = check_target(dir, err);
    if (!status) status = store_resolve(model, &from, err);
    c.from = from;
    if (!status && !(c.memory = arena_new(0))) status = err_no_memory(err, from, 0);
    if (!status) status = open_source(&c, err);
    if (!status) status = convert_choose(&c, err);
    if (!status && c.n_steps == 0) status = err_set(err, NB_ERR_FORMAT, "%s: no weights", from);
    if (!status) status = make(&c, &w, err);
    workplace_close(&w);
    cJSON_Delete(c.block);
    checkpoint_close(c.table);
    quant_config_close(c.quantization);
    weights_close(c.files);
    config_close(&c.config);
    if (c.memory) arena_free(c.memory);
    free(from);
    return status;
}

nb_status nb_quantize(const char *model, const char *dir, const nb_convert_options *options, nb_error *err) {
    return convert(model, dir, false, options, err);
}

nb_status nb_dequantize(const char *model, const char *dir, const nb_convert_options *options, nb_error *err) {
    return convert(model, dir, true, options, err);
}
