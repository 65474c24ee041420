/* SPDX-License-Identifier: Apache-2.0
 *
 * Files: mapping, reading whole, writing without ever leaving half a file behind, paths. */
#ifndef NB_BASE_FILE_H
#define NB_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

/* A read-only private mapping of a whole file. */
typedef struct file_map {
    const uint8_t *data; /* NULL for an empty file */
    size_t size;
} file_map;

nb_status file_map_open(const char *path, file_map *map, nb_error *err);
void file_map_close(file_map *map);
/* Tells the kernel that these bytes of a mapping are not needed in memory now; a later read gets them from the
 * file again. Only whole pages inside the range are given up. */
void file_map_release(const file_map *map, const void *from, size_t bytes);
/* The same, and the system is not to keep them either, where it and the file's permissions allow that. */
void file_map_evict(const file_map *map, const void *from, size_t bytes);

/* Reads a whole file into *out (owned by the caller; NUL-terminated). Refuses more than max_bytes. */
nb_status file_read(const char *path, size_t max_bytes, buf *out, nb_error *err);

/* NB_ERR_IO when `path` is something that writing must not replace: a device, a directory, a pipe. */
nb_status file_check_target(const char *path, nb_error *err);

/* Writes a file under a temporary name beside `path`, flushes it and renames it into place. */
nb_status file_write(const char *path, const void *data, size_t size, nb_error *err);

bool path_is_dir(const char *path);
bool path_is_file(const char *path);
/* "<dir>/<name>" in a new string (free() it); NULL when out of memory. */
char *path_join(const char *dir, const char *name);
/* The part after the last '/'; points into `path`. */
const char *path_base(const char *path);
/* mkdir -p. */
nb_status dir_make(const char *path, nb_error *err);
/* rm -r of a directory tree that nibble made; does not follow links. */
nb_status dir_remove(const char *path, nb_error *err);

#endif
