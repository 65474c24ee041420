/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds a model folder's tokenizer: tokenizer.json, or what checkpoints had before it. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/tok_internal.h"

/* *path is DIR/NAME if such a file is there, else NULL. */
static nb_status find(const char *dir, const char *name, char **path, nb_error *err) {
    *path = path_join(dir, name);
    if (!*path) return err_no_memory(err, "a path", 0);
    if (!path_is_file(*path)) {
        free(*path);
        *path = NULL;
    }
    return NB_OK;
}

/* The one DIR/X.tiktoken; two are an error. */
static nb_status find_tiktoken(const char *dir, char **path, nb_error *err) {
    DIR *d = opendir(dir);
    nb_status status = NB_OK;
    for (struct dirent *e; d && !status && (e = readdir(d)) != NULL;) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".tiktoken") != 0) continue;
        if (*path)
            status = err_set(err, NB_ERR_FORMAT, "%s: several .tiktoken files, expected one", dir);
        else
            status = find(dir, e->d_name, path, err);
    }
    if (d) closedir(d);
    return status;
}

static nb_status read_side(const char *dir, const char *name, cJSON **out, nb_error *err) {
    char *path;
    nb_status status = find(dir, name, &path, err);
    if (!status && path) status = json_read(path, out, err);
    free(path);
    return status;
}

static bool has_suffix(const char *path, const char *suffix) {
    size_t n = strlen(path), k = strlen(suffix);
    return n >= k && strcmp(path + n - k, suffix) == 0;
}

static nb_status load_old(const char *dir, const char *path, const char *data, size_t n, tokenizer **out,
                          nb_error *err) {
    cJSON *config = NULL, *added = NULL;
    nb_status status = read_side(dir, "tokenizer_config.json", &config, err);
    if (!status) status = read_side(dir, "added_tokens.json", &added, err);
    tok_side side = {.config = config, .added = added};
    /* A message of SentencePiece begins with its field 1, the pieces; lines with a character of base64. */
    bool lines = has_suffix(path, ".tiktoken") || has_suffix(path, "tiktoken.model") || (n && data[0] != 0x0a);
    if (!status && lines)
        status = tok_from_ranks(data, n, &side, path, out, err);
    else if (!status)
        status = tok_from_sentencepiece(data, n, &side, path, out, err);
    cJSON_Delete(config);
    cJSON_Delete(added);
    return status;
}

nb_status tok_load(const char *dir, tokenizer **out, nb_error *err) {
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "tiktoken.model", NULL, "tekken.json"};
    *out = NULL;
    char *path = NULL;
    nb_status status = NB_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !status && !path; i++)
        status = names[i] ? find(dir, names[i], &path, err) : find_tiktoken(dir, &path, err);
    if (!status && !path)
        status = err_set(err, NB_ERR_NOT_FOUND, "%s/tokenizer.json: no such file, nor one of the older kinds", dir);
    file_map map = {0};
    if (!status) status = file_map_open(path, &map, err);
    if (!status) {
        const char *data = map.data ? (const char *)map.data : "";
        if (has_suffix(path, "tokenizer.json"))
            status = tok_from_json(data, map.size, path, out, err);
        else if (has_suffix(path, "tekken.json"))
            status = tok_from_tekken(data, map.size, path, out, err);
        else
            status = load_old(dir, path, data, map.size, out, err);
        file_map_close(&map);
    }
    free(path);
    return status;
}
