/* SPDX-License-Identifier: Apache-2.0
 *
 * Where models are: turns the name that a person typed into a directory. */
#ifndef NB_FILES_STORE_H
#define NB_FILES_STORE_H

#include <stddef.h>

#include "base/status.h"

/* *dir (free() it) is the directory of the model `name`: `name` itself if it is a directory; else
 * $NIBBLE_HOME/models/NAME (default ~/.nibble/models/NAME); else, for "org/name", the snapshot of refs/main (without
 * it, the newest) in the Hugging Face cache ($HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub).
 * NB_ERR_NOT_FOUND says where it looked and what the store has. */
nb_status store_resolve(const char *name, char **dir, nb_error *err);

/* $NIBBLE_HOME/NAME (default ~/.nibble/NAME), *path to be freed. It need not exist. */
nb_status store_home(const char *name, char **path, nb_error *err);
/* nibble's own store: $NIBBLE_HOME/models. */
nb_status store_path(char **path, nb_error *err);

/* The names in nibble's store, sorted; n may be 0. Free with store_list_free. */
typedef struct store_names {
    char **names;
    size_t n;
} store_names;
nb_status store_list(store_names *out, nb_error *err);
void store_list_free(store_names *list);

#endif
