/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static const char ABSENT[] = "cannot open shared object file: No such file";

static bool open_one(gpu_library *l, const char *path) {
    l->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (l->handle) {
        snprintf(l->name, sizeof l->name, "%s", path);
        return true;
    }
    /* A library that is there and does not load says more than that another one is not there. */
    const char *why = dlerror();
    const bool says_more = why && !strstr(why, ABSENT) && (!l->error[0] || strstr(l->error, ABSENT));
    if (!l->error[0] || says_more) snprintf(l->error, sizeof l->error, "%s", why ? why : path);
    return false;
}

bool gpu_library_open(gpu_library *l, const char *const *names, const char *folder) {
    char path[512];
    *l = (gpu_library){0};
    if (folder && strstr(folder, ".so") && open_one(l, folder)) return true;
    for (size_t i = 0; folder && names[i]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (open_one(l, path)) return true;
    }
    for (size_t i = 0; names[i]; i++)
        if (open_one(l, names[i])) return true;
    if (!strstr(l->error, ABSENT)) return false;
    for (size_t i = 1; names[i]; i++) { /* none is there */
        const size_t n = strlen(l->error);
        if (names[i][0] != '/') snprintf(l->error + n, sizeof l->error - n, "%s %s", i == 1 ? "; nor" : ",", names[i]);
    }
    return false;
}

bool gpu_library_symbols(gpu_library *l, const char *const *names, size_t n, void *to) {
    for (size_t i = 0; i < n; i++) {
        const bool optional = !names[i] || names[i][0] == '?';
        void *symbol = names[i] ? dlsym(l->handle, names[i] + optional) : NULL;
        if (!symbol && !optional) {
            snprintf(l->error, sizeof l->error, "%.120s has no %s: it is too old, or only half installed", l->name,
                     names[i]);
            return false;
        }
        memcpy((char *)to + i * sizeof symbol, &symbol, sizeof symbol);
    }
    return true;
}
