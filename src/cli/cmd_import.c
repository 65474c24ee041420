/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble import`: a GGUF file becomes an MLX model directory. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/args.h"
#include "files/store.h"

/* The directory in nibble's store for a short name. */
static nb_status store_dir(const char *name, char **dir, nb_error *err) {
    char *store = NULL;
    *dir = NULL;
    if (!name[0] || name[0] == '.' || strchr(name, '/'))
        return err_set(err, NB_ERR_ARGUMENT, "--name: \"%s\" is no short name, expected one without \"/\"", name);
    nb_status status = store_path(&store, err);
    if (!status) status = dir_make(store, err);
    if (!status) *dir = path_join(store, name);
    free(store);
    if (!status && !*dir) status = err_no_memory(err, "path", 0);
    return status;
}

static int import_main(const command *self, int argc, char **argv) {
    const char *name = NULL;
    const opt table[] = {
        {"name", 'n', OPT_STRING, &name, "NAME", "put it into nibble's store under this name, without DIR", 0, 0},
    };
    const char *words[3];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 1, 2);
    if (code >= 0) return code;
    if (!words[1] == !name) return cli_usage(self->name, "expected either DIR or --name");

    nb_error err = {0};
    char *stored = NULL;
    nb_status status = name ? store_dir(name, &stored, &err) : NB_OK;
    const char *dir = name ? stored : words[1];
    if (!status) status = nb_import_gguf(words[0], dir, progress_show, NULL, &err);
    progress_clear();
    if (status)
        code = cli_error(&err);
    else
        code = out_printf("%s\n", dir) ? CLI_OK : CLI_FAILURE;
    free(stored);
    return code;
}

const command cmd_import = {
    .name = "import",
    .usage = "FILE.gguf DIR",
    .summary = "turn a GGUF file into a model directory",
    .text = "Writes the model of a GGUF file as an MLX model directory, without loss, and prints the directory's name. "
            "Tensors may be F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 or Q5_1, the architecture llama, qwen2 or qwen3. "
            "DIR must not exist or be empty; it appears only when it is complete.",
    .run = import_main,
};
