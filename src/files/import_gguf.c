/* SPDX-License-Identifier: Apache-2.0
 *
 * GGUF import: the whole. Everything is written into a temporary directory beside the wanted one, which is renamed when
 * it is complete; whatever fails or is cancelled leaves nothing behind. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "files/import.h"

/* `dir` must not exist or be an empty directory. */
static nb_status check_target(const char *dir, nb_error *err) {
    DIR *d = opendir(dir);
    if (!d && errno == ENOENT) return NB_OK;
    if (!d) return err_set(err, NB_ERR_IO, "%s: cannot write here: %s", dir, strerror(errno));
    bool empty = true;
    for (const struct dirent *e; empty && (e = readdir(d));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(d);
    return empty ? NB_OK : err_set(err, NB_ERR_ARGUMENT, "%s: is not empty; choose a new directory", dir);
}

/* A new directory beside `dir` on the same file system. */
static nb_status make_temporary(import_model *m, const char *dir, char **temp, nb_error *err) {
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') n--;
    char *target = arena_strndup(m->memory, dir, n);
    *temp = arena_printf(m->memory, "%.*s.tmp-%ld", (int)n, dir, (long)getpid());
    if (!target || !*temp) return err_no_memory(err, dir, 0);
    char *slash = strrchr(target, '/');
    if (slash && slash > target) {
        *slash = 0;
        nb_status status = dir_make(target, err);
        if (status) return status;
    }
    if (mkdir(*temp, 0777) == 0) return NB_OK;
    nb_status status = err_set(err, NB_ERR_IO, "%s: cannot create directory: %s", *temp, strerror(errno));
    *temp = NULL;
    return status;
}

static nb_status write_text(import_model *m, const char *dir, const char *name, const buf *text, nb_error *err) {
    const char *path = arena_printf(m->memory, "%s/%s", dir, name);
    if (!path || text->failed) return err_no_memory(err, name, 0);
    return file_write(path, text->data, text->len, err);
}

/* All files of the model into `dir`; the small ones first, since they are what is refused most often. */
static nb_status write_model(import_model *m, const char *dir, nb_progress_fn progress, void *user, nb_error *err) {
    buf config = {0}, generation = {0}, tokenizer = {0}, tokenizer_config = {0};
    nb_status status = import_tokenizer(m, &tokenizer, &tokenizer_config, err);
    if (!status) {
        import_config(m, &config);
        import_generation_config(m, &generation);
        status = write_text(m, dir, "config.json", &config, err);
    }
    if (!status) status = write_text(m, dir, "generation_config.json", &generation, err);
    if (!status) status = write_text(m, dir, "tokenizer.json", &tokenizer, err);
    if (!status) status = write_text(m, dir, "tokenizer_config.json", &tokenizer_config, err);
    buf_free(&config);
    buf_free(&generation);
    buf_free(&tokenizer);
    buf_free(&tokenizer_config);
    if (!status) status = import_tensors(m, dir, progress, user, err);
    return status;
}

static nb_status import_to(import_model *m, const char *dir, nb_progress_fn progress, void *user, nb_error *err) {
    char *temp = NULL;
    nb_status status = import_model_read(m, err);
    if (!status) status = make_temporary(m, dir, &temp, err);
    if (!status) status = write_model(m, temp, progress, user, err);
    if (!status && rename(temp, dir) != 0)
        status = err_set(err, NB_ERR_IO, "%s: cannot create: %s", dir, strerror(errno));
    if (status && temp) dir_remove(temp, NULL);
    return status;
}

nb_status nb_import_gguf(const char *file, const char *dir, nb_progress_fn progress, void *user, nb_error *err) {
    if (!file || !dir || !*dir) return err_set(err, NB_ERR_ARGUMENT, "import: no file or no directory is named");
    nb_status status = check_target(dir, err);
    if (status) return status;
    gguf *g = NULL;
    import_model m = {.file = path_base(file), .memory = arena_new(0), .bos_id = -1, .pad_id = -1, .unk_id = -1};
    if (!m.memory) return err_no_memory(err, file, 0);
    status = gguf_open(file, &g, err);
    m.g = g;
    if (!status) status = import_to(&m, dir, progress, user, err);
    gguf_close(g);
    arena_free(m.memory);
    return status;
}
