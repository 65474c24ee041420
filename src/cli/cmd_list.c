/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble list`: the models in nibble's store. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/args.h"
#include "files/store.h"

/* Bytes of the regular files of a directory. */
static double dir_bytes(const char *dir) {
    DIR *d = opendir(dir);
    if (!d) return 0;
    double sum = 0;
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        char *path = path_join(dir, e->d_name);
        if (path && stat(path, &st) == 0 && S_ISREG(st.st_mode)) sum += (double)st.st_size;
        free(path);
    }
    closedir(d);
    return sum;
}

static void print_model(const char *store, const char *name) {
    char *dir = path_join(store, name), *config = dir ? path_join(dir, "config.json") : NULL;
    cJSON *json = NULL;
    const char *type = NULL;
    if (config && !json_read(config, &json, NULL)) json_str(json, "model_type", &type, NULL, config, NULL);
    out_printf("%-32s %-12s %8.2f GB\n", name, type ? type : "?", dir ? dir_bytes(dir) * 1e-9 : 0.0);
    cJSON_Delete(json);
    free(config);
    free(dir);
}

static int list_main(const command *self, int argc, char **argv) {
    bool names_only = false;
    const opt table[] = {
        {"names", 0, OPT_FLAG, &names_only, NULL, "print the names only", 0, 0},
    };
    const char *words[1];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 0, 0);
    if (code >= 0) return code;

    nb_error err = {0};
    char *store = NULL;
    store_names list = {0};
    nb_status status = store_path(&store, &err);
    if (!status) status = store_list(&list, &err);
    if (status) {
        free(store);
        return cli_error(&err);
    }
    for (size_t i = 0; i < list.n; i++) {
        if (names_only)
            out_printf("%s\n", list.names[i]);
        else
            print_model(store, list.names[i]);
    }
    if (list.n == 0 && !names_only) cli_note("%s holds no models; `nibble import` puts some there", store);
    store_list_free(&list);
    free(store);
    return CLI_OK;
}

const command cmd_list = {
    .name = "list",
    .usage = "",
    .summary = "list the models in nibble's store",
    .text = "Lists the models in $NIBBLE_HOME/models (~/.nibble/models), which can be named by their short names.",
    .run = list_main,
};
