/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"

static nb_status fail_errno(nb_error *err, const char *path, const char *what) {
    int e = errno;
    nb_status status = e == ENOENT ? NB_ERR_NOT_FOUND : e == ENOMEM ? NB_ERR_NO_MEMORY : NB_ERR_IO;
    return err_set(err, status, "%s: cannot %s: %s", path, what, strerror(e));
}

/* Opens a regular file for reading; a directory, FIFO or device is refused by name instead of hanging. */
static nb_status open_regular(const char *path, int *fd, size_t *size, nb_error *err) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return fail_errno(err, path, "open");
    struct stat st;
    if (fstat(*fd, &st) != 0) {
        nb_status status = fail_errno(err, path, "stat");
        close(*fd);
        return status;
    }
    if (!S_ISREG(st.st_mode)) {
        close(*fd);
        return err_set(err, NB_ERR_IO, "%s: not a regular file", path);
    }
    *size = (size_t)st.st_size;
    return NB_OK;
}

nb_status file_map_open(const char *path, file_map *map, nb_error *err) {
    *map = (file_map){0};
    int fd;
    size_t size;
    nb_status status = open_regular(path, &fd, &size, err);
    if (status) return status;
    if (size > 0) {
        void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            status = fail_errno(err, path, "map");
        else
            *map = (file_map){p, size};
    }
    close(fd);
    return status;
}

void file_map_close(file_map *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (file_map){0};
}

static void advise(const file_map *map, const void *from, size_t bytes, int advice) {
    const uint8_t *p = from;
    if (!map->data || p < map->data || p > map->data + map->size || bytes > (size_t)(map->data + map->size - p)) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)p + page - 1) & ~(page - 1), end = ((uintptr_t)p + bytes) & ~(page - 1);
    if (end > begin) madvise((void *)begin, end - begin, advice);
}

void file_map_release(const file_map *map, const void *from, size_t bytes) {
    advise(map, from, bytes, MADV_DONTNEED);
}

void file_map_evict(const file_map *map, const void *from, size_t bytes) {
#ifdef MADV_PAGEOUT /* Linux, since 5.4 */
    advise(map, from, bytes, MADV_PAGEOUT);
#endif
    advise(map, from, bytes, MADV_DONTNEED);
}

nb_status file_read(const char *path, size_t max_bytes, buf *out, nb_error *err) {
    int fd;
    size_t size;
    nb_status status = open_regular(path, &fd, &size, err);
    if (status) return status;
    if (size > max_bytes) {
        close(fd);
        return err_set(err, NB_ERR_FORMAT, "%s: %zu bytes, more than the %zu expected at most", path, size, max_bytes);
    }
    size_t got = 0;
    char *to = buf_reserve(out, size);
    if (!to) status = err_no_memory(err, path, size);
    while (!status && got < size) {
        ssize_t n = read(fd, to + got, size - got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = fail_errno(err, path, "read");
        if (n <= 0) break;
        got += (size_t)n;
    }
    close(fd);
    if (!status) {
        out->len += got;
        out->data[out->len] = 0;
    }
    return status;
}

nb_status file_check_target(const char *path, nb_error *err) {
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(err, NB_ERR_IO, "%s: not a regular file, so it cannot be replaced", path);
    return NB_OK;
}

nb_status file_write(const char *path, const void *data, size_t size, nb_error *err) {
    nb_status status = file_check_target(path, err);
    if (status) return status;
    buf temp = {0};
    buf_printf(&temp, "%s.tmp-%ld", path, (long)getpid());
    if (temp.failed) return err_no_memory(err, path, 0);
    FILE *f = fopen(temp.data, "wbe");
    if (!f) {
        status = fail_errno(err, temp.data, "create");
        buf_free(&temp);
        return status;
    }
    bool ok = (size == 0 || fwrite(data, 1, size, f) == size) && fflush(f) == 0 && fsync(fileno(f)) == 0;
    int saved = errno;
    if (fclose(f) != 0 && ok) {
        ok = false;
        saved = errno;
    }
    if (ok && rename(temp.data, path) != 0) {
        ok = false;
        saved = errno;
    }
    if (!ok) {
        errno = saved;
        status = fail_errno(err, path, "write");
        unlink(temp.data);
    }
    buf_free(&temp);
    return status;
}

bool path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool path_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

char *path_join(const char *dir, const char *name) {
    buf b = {0};
    size_t n = strlen(dir);
    buf_printf(&b, n > 0 && dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
    return buf_take(&b, NULL);
}

const char *path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

nb_status dir_make(const char *path, nb_error *err) {
    char *p = strdup(path);
    if (!p) return err_no_memory(err, path, 0);
    nb_status status = NB_OK;
    for (char *s = p + 1; !status; s++) {
        if (*s != '/' && *s != 0) continue;
        char c = *s;
        *s = 0;
        if (mkdir(p, 0777) != 0 && errno != EEXIST) status = fail_errno(err, p, "create directory");
        *s = c;
        if (c == 0) break;
    }
    if (!status && !path_is_dir(path)) status = err_set(err, NB_ERR_IO, "%s: exists and is not a directory", path);
    free(p);
    return status;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

nb_status dir_remove(const char *path, nb_error *err) {
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 && errno != ENOENT)
        return fail_errno(err, path, "remove");
    return NB_OK;
}
