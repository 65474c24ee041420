/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing safetensors: the header first, from the declared names and shapes, then each tensor's bytes at their places.
 * The file has a temporary name until all of it is there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/num.h"
#include "files/safetensors.h"

typedef struct entry {
    char *name;
    dtype type;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    size_t bytes, begin, done;
} entry;

struct st_writer {
    char *path, *temp;
    int fd;
    entry *entries;
    size_t n, cap;
    cJSON *metadata;
    size_t data_at; /* where the data begins in the file; 0 before st_writer_begin */
    bool keep;      /* an aborted file stays, to be continued */
};

static nb_status fail(const st_writer *w, const char *what, nb_error *err) {
    return err_set(err, NB_ERR_IO, "%s: cannot %s: %s", w->path, what, strerror(errno));
}

void st_writer_abort(st_writer *w) {
    if (!w) return;
    if (w->fd >= 0) {
        close(w->fd);
        if (!w->keep) unlink(w->temp);
    }
    for (size_t i = 0; i < w->n; i++) free(w->entries[i].name);
    free(w->entries);
    cJSON_Delete(w->metadata);
    free(w->path);
    free(w->temp);
    free(w);
}

static nb_status new_writer(const char *path, bool keep, st_writer **out, nb_error *err) {
    *out = NULL;
    nb_status status = file_check_target(path, err);
    if (status) return status;
    st_writer *w = calloc(1, sizeof *w);
    if (!w) return err_no_memory(err, path, 0);
    w->fd = -1;
    w->keep = keep;
    buf temp = {0};
    if (keep)
        buf_printf(&temp, "%s.part", path);
    else
        buf_printf(&temp, "%s.tmp-%ld", path, (long)getpid());
    w->temp = buf_take(&temp, NULL);
    w->path = strdup(path);
    w->metadata = cJSON_CreateObject();
    if (!w->temp || !w->path || !w->metadata) {
        status = err_no_memory(err, path, 0);
    } else {
        w->fd = open(w->temp, O_WRONLY | O_CREAT | O_CLOEXEC | (keep ? 0 : O_TRUNC), 0666);
        if (w->fd < 0) status = fail(w, "create", err);
    }
    if (status)
        st_writer_abort(w);
    else
        *out = w;
    return status;
}

nb_status st_writer_new(const char *path, st_writer **out, nb_error *err) {
    return new_writer(path, false, out, err);
}

nb_status st_writer_continue(const char *path, st_writer **out, nb_error *err) {
    return new_writer(path, true, out, err);
}

nb_status st_writer_metadata(st_writer *w, const char *key, const char *value, nb_error *err) {
    return cJSON_AddStringToObject(w->metadata, key, value) ? NB_OK : err_no_memory(err, w->path, 0);
}

nb_status st_writer_declare(st_writer *w, const char *name, dtype type, int n_dims, const int64_t *shape, size_t *index,
                            nb_error *err) {
    if (w->data_at || !dtype_to_safetensors(type) || n_dims < 0 || n_dims > TENSOR_MAX_DIMS)
        return err_set(err, NB_ERR_ARGUMENT, "%s: tensor %s cannot be declared (type %s, %d dimensions%s)", w->path,
                       name, dtype_name(type), n_dims, w->data_at ? ", after the header was written" : "");
    entry e = {.type = type, .n_dims = n_dims, .bytes = dtype_size(type)};
    for (int i = 0; i < n_dims; i++) {
        e.shape[i] = shape[i];
        if (shape[i] < 0 || !size_mul(e.bytes, (size_t)shape[i], &e.bytes))
            return err_set(err, NB_ERR_ARGUMENT, "%s: tensor %s has an impossible shape", w->path, name);
    }
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 64;
        entry *entries = realloc(w->entries, cap * sizeof *entries);
        if (!entries) return err_no_memory(err, w->path, cap * sizeof *entries);
        w->entries = entries;
        w->cap = cap;
    }
    e.name = strdup(name);
    if (!e.name) return err_no_memory(err, w->path, 0);
    if (index) *index = w->n;
    w->entries[w->n++] = e;
    return NB_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(entry *const *)a)->name, (*(entry *const *)b)->name);
}

static nb_status check_names(const st_writer *w, nb_error *err) {
    entry **sorted = malloc((w->n + 1) * sizeof(entry *));
    if (!sorted) return err_no_memory(err, w->path, w->n * sizeof(entry *));
    for (size_t i = 0; i < w->n; i++) sorted[i] = &w->entries[i];
    qsort(sorted, w->n, sizeof(entry *), by_name);
    nb_status status = NB_OK;
    for (size_t i = 1; i < w->n && !status; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            status = err_set(err, NB_ERR_ARGUMENT, "%s: tensor %s is declared twice", w->path, sorted[i]->name);
    free(sorted);
    return status;
}

static void print_entry(buf *b, const entry *e) {
    buf_putc(b, ',');
    json_put_str(b, e->name, strlen(e->name));
    buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", dtype_to_safetensors(e->type));
    for (int d = 0; d < e->n_dims; d++) buf_printf(b, "%s%lld", d ? "," : "", (long long)e->shape[d]);
    buf_printf(b, "],\"data_offsets\":[%zu,%zu]}", e->begin, e->begin + e->bytes);
}

static nb_status write_at(const st_writer *w, const void *data, size_t bytes, size_t at, nb_error *err) {
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = pwrite(w->fd, p, bytes, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(w, "write", err);
        p += n;
        at += (size_t)n;
        bytes -= (size_t)n;
    }
    return NB_OK;
}

/* Gives every tensor its place (wide elements first) and prints the header in that order, padded to 8 bytes. */
static bool lay_out(st_writer *w, buf *header) {
    char *metadata = cJSON_PrintUnformatted(w->metadata);
    if (!metadata) return false;
    uint64_t length = 0;
    buf_put(header, &length, 8);
    buf_printf(header, "{\"__metadata__\":%s", metadata);
    cJSON_free(metadata);
    size_t at = 0;
    for (size_t size = 8; size > 0; size /= 2)
        for (size_t i = 0; i < w->n; i++) {
            entry *e = &w->entries[i];
            if (dtype_size(e->type) != size) continue;
            e->begin = at;
            if (!size_add(at, e->bytes, &at)) return false;
            print_entry(header, e);
        }
    buf_putc(header, '}');
    while (!header->failed && header->len % 8) buf_putc(header, ' ');
    return !header->failed;
}

nb_status st_writer_begin(st_writer *w, nb_error *err) {
    nb_status status = check_names(w, err);
    if (status) return status;
    buf header = {0};
    if (!lay_out(w, &header)) {
        buf_free(&header);
        return err_no_memory(err, w->path, 0);
    }
    for (int i = 0; i < 8; i++) header.data[i] = (char)((header.len - 8) >> 8 * i & 0xff);
    status = write_at(w, header.data, header.len, 0, err);
    w->data_at = header.len;
    buf_free(&header);
    return status;
}

nb_status st_writer_put(st_writer *w, size_t index, const void *data, size_t bytes, nb_error *err) {
    if (!w->data_at || index >= w->n)
        return err_set(err, NB_ERR_ARGUMENT, "%s: data for an undeclared tensor", w->path);
    entry *e = &w->entries[index];
    if (bytes > e->bytes - e->done)
        return err_set(err, NB_ERR_ARGUMENT, "%s: tensor %s gets more than its %zu bytes", w->path, e->name, e->bytes);
    nb_status status = write_at(w, data, bytes, w->data_at + e->begin + e->done, err);
    if (!status) e->done += bytes;
    return status;
}

nb_status st_writer_put_at(const st_writer *w, size_t index, size_t offset, const void *data, size_t bytes,
                           nb_error *err) {
    if (!w->data_at || index >= w->n)
        return err_set(err, NB_ERR_ARGUMENT, "%s: data for an undeclared tensor", w->path);
    const entry *e = &w->entries[index];
    if (offset > e->bytes || bytes > e->bytes - offset)
        return err_set(err, NB_ERR_ARGUMENT, "%s: tensor %s gets more than its %zu bytes", w->path, e->name, e->bytes);
    return write_at(w, data, bytes, w->data_at + e->begin + offset, err);
}

void st_writer_mark_done(st_writer *w, size_t index) {
    if (index < w->n) w->entries[index].done = w->entries[index].bytes;
}

nb_status st_writer_sync(const st_writer *w, nb_error *err) {
    return fsync(w->fd) == 0 ? NB_OK : fail(w, "write", err);
}

nb_status st_writer_finish(st_writer *w, nb_error *err) {
    nb_status status = NB_OK;
    if (!w->data_at) status = err_set(err, NB_ERR_ARGUMENT, "%s: finished before its header was written", w->path);
    for (size_t i = 0; i < w->n && !status; i++)
        if (w->entries[i].done != w->entries[i].bytes)
            status = err_set(err, NB_ERR_ARGUMENT, "%s: tensor %s got %zu of its %zu bytes", w->path,
                             w->entries[i].name, w->entries[i].done, w->entries[i].bytes);
    if (!status && fsync(w->fd) != 0) status = fail(w, "write", err);
    if (!status) {
        int fd = w->fd;
        w->fd = -1;
        if (close(fd) != 0 || rename(w->temp, w->path) != 0) {
            status = fail(w, "write", err);
            if (!w->keep) unlink(w->temp);
        }
    }
    st_writer_abort(w);
    return status;
}
