/* SPDX-License-Identifier: Apache-2.0
 *
 * Model names to directories: nibble's own store, then the Hugging Face cache, whose layout is
 * models--ORG--NAME/{refs/main, snapshots/HASH/...}. */
#include "files/store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"

static const char *env(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* The first of these that its variable allows: $first, $second/below, $HOME/home. */
static char *root(const char *first, const char *second, const char *below, const char *home) {
    if (first && env(first)) return strdup(env(first));
    if (env(second)) return path_join(env(second), below);
    return path_join(env("HOME") ? env("HOME") : ".", home);
}

nb_status store_home(const char *name, char **path, nb_error *err) {
    char *home = path_join(".nibble", name);
    *path = home ? root(NULL, "NIBBLE_HOME", name, home) : NULL;
    free(home);
    return *path ? NB_OK : err_no_memory(err, "a path", 0);
}

nb_status store_path(char **path, nb_error *err) {
    return store_home("models", path, err);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void store_list_free(store_names *list) {
    for (size_t i = 0; i < list->n; i++) free(list->names[i]);
    free(list->names);
    *list = (store_names){0};
}

static nb_status add_name(store_names *list, const char *name, nb_error *err) {
    char **names = realloc(list->names, (list->n + 1) * sizeof *names);
    if (names) list->names = names;
    char *copy = names ? strdup(name) : NULL;
    if (!copy) return err_no_memory(err, "the names of models", 0);
    list->names[list->n++] = copy;
    return NB_OK;
}

nb_status store_list(store_names *out, nb_error *err) {
    *out = (store_names){0};
    char *store;
    nb_status status = store_path(&store, err);
    if (status) return status;
    DIR *d = opendir(store);
    for (const struct dirent *e; d && !status && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        char *path = path_join(store, e->d_name);
        if (!path)
            status = err_no_memory(err, store, 0);
        else if (path_is_dir(path))
            status = add_name(out, e->d_name, err);
        free(path);
    }
    if (d) closedir(d);
    free(store);
    if (status)
        store_list_free(out);
    else if (out->n > 1)
        qsort(out->names, out->n, sizeof *out->names, by_text);
    return status;
}

/* A name that stays below the directory that it is joined to. */
static bool safe_name(const char *name) {
    return *name && *name != '.' && *name != '/' && !strstr(name, "/.") && !strstr(name, "//");
}

/* DIR/NAME as a new string if that is a directory; NULL otherwise. */
static char *existing(const char *dir, const char *name) {
    char *path = dir && safe_name(name) ? path_join(dir, name) : NULL;
    if (path && path_is_dir(path)) return path;
    free(path);
    return NULL;
}

/* What refs/main says, without the line end; NULL when there is no such file. */
static char *read_ref(const char *repo) {
    char *path = path_join(repo, "refs/main");
    buf text = {0};
    char *ref = NULL;
    if (path && file_read(path, 256, &text, NULL) == NB_OK && text.data) {
        text.data[strcspn(text.data, " \t\r\n")] = 0;
        ref = strdup(text.data);
    }
    buf_free(&text);
    free(path);
    return ref;
}

/* The snapshot with the latest modification time. */
static char *newest_snapshot(const char *snapshots) {
    DIR *d = opendir(snapshots);
    char *best = NULL;
    time_t best_time = 0;
    for (const struct dirent *e; d && (e = readdir(d));) {
        char *path = existing(snapshots, e->d_name);
        struct stat st;
        if (path && stat(path, &st) == 0 && (!best || st.st_mtime > best_time)) {
            free(best);
            best = path;
            best_time = st.st_mtime;
        } else {
            free(path);
        }
    }
    if (d) closedir(d);
    return best;
}

/* The snapshot of "org/name" in the Hugging Face cache, NULL when it is not there. */
static char *in_hub(const char *hub, const char *name) {
    const char *slash = strchr(name, '/');
    if (!slash || slash == name || !slash[1] || strchr(slash + 1, '/')) return NULL;
    buf repo = {0};
    buf_printf(&repo, "models--%.*s--%s", (int)(slash - name), name, slash + 1);
    char *dir = repo.failed ? NULL : existing(hub, repo.data);
    buf_free(&repo);
    char *snapshots = dir ? path_join(dir, "snapshots") : NULL, *found = NULL;
    if (snapshots) {
        char *ref = read_ref(dir);
        if (ref) found = existing(snapshots, ref);
        if (!found) found = newest_snapshot(snapshots);
        free(ref);
    }
    free(snapshots);
    free(dir);
    return found;
}

/* The error of a name that was found nowhere: where we looked, and what there is. */
static nb_status not_found(const char *name, const char *store, const char *hub, nb_error *err) {
    buf text = {.limit = 700};
    store_names list;
    bool org = strchr(name, '/') != NULL;
    if (store_list(&list, NULL) == NB_OK) {
        for (size_t i = 0; i < list.n; i++) {
            if (text.len + strlen(list.names[i]) > 400) {
                buf_printf(&text, ", and %zu more", list.n - i);
                break;
            }
            buf_printf(&text, "%s%s", i ? ", " : "; the store has: ", list.names[i]);
        }
        store_list_free(&list);
    }
    nb_status status = err_set(
        err, NB_ERR_NOT_FOUND, "no model \"%.100s\": no such directory, not in the store %.200s%s%.200s%s", name, store,
        org ? ", not in the Hugging Face cache " : "", org ? hub : "", text.len ? text.data : "; the store is empty");
    buf_free(&text);
    return status;
}

nb_status store_resolve(const char *name, char **dir, nb_error *err) {
    *dir = NULL;
    if (!*name) return err_set(err, NB_ERR_ARGUMENT, "the name of the model is empty");
    if (path_is_dir(name)) {
        *dir = strdup(name);
        return *dir ? NB_OK : err_no_memory(err, name, 0);
    }
    if (path_is_file(name))
        return err_set(err, NB_ERR_ARGUMENT, "%s: is a file, expected a model directory%s", name,
                       strstr(name, ".gguf") ? " (turn it into one with: nibble import FILE.gguf DIR)" : "");
    char *store = NULL;
    nb_status status = store_path(&store, err);
    char *hub = root("HF_HUB_CACHE", "HF_HOME", "hub", ".cache/huggingface/hub");
    if (!status && !hub) status = err_no_memory(err, "a path", 0);
    if (!status) {
        *dir = existing(store, name);
        if (!*dir) *dir = in_hub(hub, name);
        if (!*dir) status = not_found(name, store, hub, err);
    }
    free(store);
    free(hub);
    return status;
}
