/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels that a person has set aside by name. A pattern may be meant for one device of several; one that no device in
 * question has a kernel for is a mistake, and is told as that. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/engine.h"

size_t engine_open_all(device **devices, size_t room) {
    const device_options how = {.cpu = getenv("NIBBLE_CPU")};
    size_t n = 0;
    for (size_t i = 0; engine_backends[i]; i++)
        for (int index = 0; index < engine_backends[i]->count() && n < room; index++)
            if (engine_backends[i]->open(index, &how, &devices[n], NULL) == NB_OK) n++;
    return n;
}

/* "cuda:0, cpu:0": those that have a kernel of this name, or all. */
static void name_devices(device *const *devices, size_t n, const char *entry, buf *to) {
    char text[32];
    for (size_t i = 0; i < n; i++) {
        const kregistry *r = devices[i]->registry;
        size_t length;
        if (entry && kreg_unmatched(&r, 1, entry, &length)) continue;
        buf_printf(to, "%s%s", to->len ? ", " : "", device_text(&devices[i]->info, text));
    }
}

static nb_status tell(const char *entry, device *const *chosen, size_t n, nb_error *err) {
    device *all[ENGINE_MAX_DEVICES];
    const size_t n_all = engine_open_all(all, ENGINE_MAX_DEVICES);
    buf here = {0}, there = {0}, every = {0};
    name_devices(chosen, n, NULL, &here);
    name_devices(all, n_all, entry, &there);
    name_devices(all, n_all, NULL, &every);
    if (here.failed || there.failed || every.failed)
        err_no_memory(err, "names of devices", 0);
    else if (there.len > 0)
        err_set(err, NB_ERR_ARGUMENT, "kernel pattern \"%s\": no kernel of %s has such a name, only of %s", entry,
                here.data, there.data);
    else
        err_set(err, NB_ERR_ARGUMENT, "kernel pattern \"%s\": no kernel of this machine has such a name (%s)", entry,
                every.data);
    buf_free(&here);
    buf_free(&there);
    buf_free(&every);
    for (size_t i = 0; i < n_all; i++) all[i]->free(all[i]);
    return NB_ERR_ARGUMENT;
}

nb_status engine_check_patterns(const char *patterns, device *const *devices, size_t n, nb_error *err) {
    const kregistry *registries[ENGINE_MAX_DEVICES];
    char entry[200];
    size_t length;
    if (!patterns) return NB_OK;
    for (size_t i = 0; i < n && i < ENGINE_MAX_DEVICES; i++) registries[i] = devices[i]->registry;
    const char *unmatched =
        kreg_unmatched(registries, n < ENGINE_MAX_DEVICES ? n : ENGINE_MAX_DEVICES, patterns, &length);
    if (!unmatched) return NB_OK;
    snprintf(entry, sizeof entry, "%.*s", (int)length, unmatched);
    return tell(entry, devices, n, err);
}
