/* SPDX-License-Identifier: Apache-2.0
 *
 * All models of a folder. */
#ifndef NB_TESTS_SUPPORT_EACH_MODEL_H
#define NB_TESTS_SUPPORT_EACH_MODEL_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

/* Calls `look` for each folder in `folder` (under the source folder) that holds `file`, in the order of their names;
 * how many there are, negative: `folder` cannot be read. */
static inline int each_model(const char *folder, const char *file, void (*look)(const char *dir, void *user),
                             void *user) {
    char root[1024];
    struct dirent **entries;
    int found = 0;
    snprintf(root, sizeof root, "%s/%s", getenv("NB_SOURCE_DIR"), folder);
    const int n = scandir(root, &entries, NULL, alphasort);
    if (n < 0) return -1;
    for (int i = 0; i < n; i++) {
        char dir[1400], path[1500];
        snprintf(dir, sizeof dir, "%s/%s", root, entries[i]->d_name);
        snprintf(path, sizeof path, "%s/%s", dir, file);
        FILE *there = entries[i]->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (there) {
            fclose(there);
            look(dir, user);
            found++;
        }
        free(entries[i]);
    }
    free(entries);
    return found;
}

#endif
