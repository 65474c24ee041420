/* SPDX-License-Identifier: Apache-2.0
 *
 * While a row turns a call into launches the device's memory is closed, so that a row that follows an address of the
 * device crashes here as it would with a real one. */
#include "gpu/sim_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/glob.h"
#include "gpu/launch.h"
#include "gpu/sim/sim.h"

typedef struct sim_device {
    device d;
    const sim_device_kind *kind;
    gpu_traits traits;
    size_t n_errors;
    const krow *failed; /* the row of the last error */
} sim_device;

size_t sim_device_errors(const device *d) {
    return ((const sim_device *)d)->n_errors;
}

/* The walk goes on: what the row would have written is missing. */
static void print_failure(sim_device *s, const krow *row, const char *error) {
    if (s->failed != row) fprintf(stderr, "%s: %s\n", row->name, error);
    s->failed = row;
    s->n_errors++;
}

static void *device_alloc(device *d, size_t bytes) {
    const sim_device_kind *kind = ((const sim_device *)d)->kind;
    void *p = sim_alloc(bytes);
    if (p && kind->added) kind->added(p, bytes);
    return p;
}

static void device_release(device *d, void *p) {
    const sim_device_kind *kind = ((const sim_device *)d)->kind;
    if (p && kind->removed) kind->removed(p);
    sim_release(p);
}

static nb_status copy(void *to, const void *from, size_t bytes, const void *there, nb_error *err) {
    if (!sim_holds(there, bytes)) return err_set(err, NB_ERR_INTERNAL, "a copy of what is not the device's memory");
    memcpy(to, from, bytes);
    return NB_OK;
}

static nb_status device_write(device *d, void *to, const void *from, size_t bytes, nb_error *err) {
    const sim_device_kind *kind = ((const sim_device *)d)->kind;
    nb_status status = copy(to, from, bytes, to, err);
    if (!status && kind->wrote) kind->wrote(to, bytes);
    return status;
}

static nb_status device_read(device *d, void *to, const void *from, size_t bytes, nb_error *err) {
    (void)d;
    return copy(to, from, bytes, from, err);
}

static nb_status device_run(device *d, const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch,
                            nb_error *err) {
    sim_device *s = (sim_device *)d;
    char error[SIM_ERROR_TEXT];
    gpu_launches list;
    if (begin == end) return NB_OK;
    if (begin != 0 || end != 1) return err_set(err, NB_ERR_INTERNAL, "%s: more than one task", row->name);
    sim_open(false);
    nb_status status = gpu_launches_of(&s->traits, row, c, scratch, &list, err);
    sim_open(true);
    if (status) return status;
    for (int i = 0; i < list.n; i++)
        if (!s->kind->launch(&list.at[i], error)) {
            print_failure(s, row, error);
            break;
        }
    return NB_OK;
}

static void device_free(device *d) {
    kreg_free(d->registry);
    free(d);
}

/* The first of the patterns that matches decides, one that begins with '!' against the row; if none does, the row is
 * wanted unless some pattern wants others. */
static bool is_wanted(const char *patterns, const char *name) {
    bool wanted = true;
    for (const char *at = patterns; at && *at;) {
        const bool against = *at == '!';
        at += against;
        const size_t length = strcspn(at, ",");
        if (length > 0 && glob_matches(at, length, name)) return !against;
        if (!against) wanted = false;
        at += length + (at[length] == ',');
    }
    return wanted;
}

static nb_status add_rows(device *d, unsigned caps, const char *patterns, nb_error *err) {
    kregistry *all;
    nb_status status = kreg_new(&all, err);
    if (status) return status;
    status = gpu_register(all, caps, err);
    for (size_t i = 0; i < kreg_count(all) && !status; i++)
        if (is_wanted(patterns, kreg_at(all, i)->name)) status = kreg_add(d->registry, kreg_at(all, i), 1, err);
    kreg_free(all);
    return status;
}

nb_status sim_device_of(const sim_device_kind *kind, const char *patterns, device **out, nb_error *err) {
    static const device_memory memory = {device_alloc, device_release, device_write, device_read};
    *out = NULL;
    sim_device *s = calloc(1, sizeof *s);
    if (!s) return err_no_memory(err, "a simulated device", sizeof *s);
    uint64_t free_bytes;
    s->kind = kind;
    s->traits = kind->traits;
    sim_memory(&free_bytes, &s->traits.memory);
    s->d = (device){
        .info = {.backend = kind->backend, .is_gpu = true}, .memory = &memory, .run = device_run, .free = device_free};
    snprintf(s->d.info.name, sizeof s->d.info.name, "%s", kind->name);
    nb_status status = kreg_new(&s->d.registry, err);
    if (!status) status = add_rows(&s->d, s->traits.caps, patterns, err);
    if (status)
        device_free(&s->d);
    else
        *out = &s->d;
    return status;
}

nb_status sim_device_new(const char *patterns, device **out, nb_error *err) {
    static const sim_device_kind kind = {.backend = "cuda",
                                         .name = "simulated GPU",
                                         .traits = {.caps = GPU_NVIDIA | GPU_MATRIX | GPU_GEMM16 | GPU_SHARED_128K,
                                                    .warp = SIM_WARP,
                                                    .n_processors = 4,
                                                    .shared_max = SIM_SHARED_MAX},
                                         .launch = sim_launch};
    return sim_device_of(&kind, patterns, out, err);
}
