/* SPDX-License-Identifier: Apache-2.0
 *
 * The backends, and which device a model runs on. Adding a backend is a line here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cpu/cpu.h"
#include "engine/engine.h"
#include "gpu/device.h"

const backend *const engine_backends[] = {&cuda_backend, &hip_backend, &cpu_backend, NULL};
const backend *const engine_host = &cpu_backend;

const backend *engine_backend(const char *name, size_t length) {
    for (size_t i = 0; engine_backends[i]; i++)
        if (strlen(engine_backends[i]->name) == length && strncmp(engine_backends[i]->name, name, length) == 0)
            return engine_backends[i];
    return NULL;
}

/* ---- What there is ---------------------------------------------------------------------------------------------- */

static bool usable(const backend *b, int index) {
    device_summary s;
    b->look(index, &s);
    return !s.unusable[0];
}

void engine_list_usable(buf *to) {
    for (size_t i = 0; engine_backends[i]; i++)
        for (int index = 0; index < engine_backends[i]->count(); index++)
            if (usable(engine_backends[i], index))
                buf_printf(to, "%s%s:%d", to->len ? ", " : "", engine_backends[i]->name, index);
}

static void fill(nb_device *to, const backend *b, int index) {
    device_summary s;
    b->look(index, &s);
    *to = (nb_device){.index = index, .is_gpu = b != engine_host, .memory_bytes = (int64_t)s.memory};
    snprintf(to->backend, sizeof to->backend, "%s", b->name);
    snprintf(to->name, sizeof to->name, "%s", s.name);
    snprintf(to->arch, sizeof to->arch, "%s", s.arch);
    snprintf(to->driver, sizeof to->driver, "%s", s.driver);
    snprintf(to->unusable, sizeof to->unusable, "%s", s.unusable);
    snprintf(to->gemm, sizeof to->gemm, "%s", s.gemm);
}

nb_status nb_devices(nb_device **out, size_t *n, nb_error *err) {
    size_t room = 0;
    *out = NULL;
    *n = 0;
    for (size_t i = 0; engine_backends[i]; i++) room += 1 + (size_t)engine_backends[i]->count();
    nb_device *list = calloc(room, sizeof *list);
    if (!list) return err_no_memory(err, "the list of devices", room * sizeof *list);
    for (size_t i = 0; engine_backends[i]; i++) {
        const backend *b = engine_backends[i];
        const int count = b->count();
        for (int index = 0; index < count; index++) fill(&list[(*n)++], b, index);
        if (count > 0) continue;
        nb_device *none = &list[(*n)++];
        *none = (nb_device){.index = -1, .is_gpu = b != engine_host};
        snprintf(none->backend, sizeof none->backend, "%s", b->name);
        snprintf(none->unusable, sizeof none->unusable, "%s", b->absent());
    }
    *out = list;
    return NB_OK;
}

/* ---- The choice ------------------------------------------------------------------------------------------------- */

/* "there is no ...; there are: cuda:0, cpu:0" */
static nb_status absent(nb_error *err, const char *format, ...) NB_PRINTF(2, 3);
static nb_status absent(nb_error *err, const char *format, ...) {
    char text[700];
    buf have = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    engine_list_usable(&have);
    err_set(err, NB_ERR_NOT_FOUND, "%s; usable: %s", text, have.data ? have.data : "");
    buf_free(&have);
    return NB_ERR_NOT_FOUND;
}

nb_status engine_parse_device(const char *text, const backend **b, int *index, nb_error *err) {
    const char *colon = strchr(text, ':');
    *b = engine_backend(text, colon ? (size_t)(colon - text) : strlen(text));
    *index = -1;
    if (!*b)
        return absent(err, "device \"%.100s\": not one of auto, cpu, cuda, hip, or one of these with \":N\"", text);
    if (!colon) return NB_OK;
    char *end;
    const long n = strtol(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end || n > 1024)
        return absent(err, "device \"%.100s\": \"%.100s\" is not a number", text, colon + 1);
    *index = (int)n;
    return NB_OK;
}

/* The first GPU that can be used, else the CPU. */
static void choose_any(const backend **b, int *index) {
    for (size_t i = 0; engine_backends[i]; i++) {
        const int count = engine_backends[i]->count();
        for (int k = 0; k < count; k++) {
            if (!usable(engine_backends[i], k)) continue;
            *b = engine_backends[i];
            *index = k;
            device_summary s;
            (*b)->look(k, &s);
            log_msg(NB_LOG_INFO, "device auto: %s:%d (%s)", (*b)->name, k, s.name);
            return;
        }
    }
    *b = engine_host;
    *index = 0;
}

/* Of a backend: the first device that can be used. */
static nb_status choose_of(const backend *b, int *index, nb_error *err) {
    device_summary s = {0};
    const int count = b->count();
    if (count == 0) return absent(err, "there is no %s device: %s", b->name, b->absent());
    for (int k = count - 1; k >= 0; k--) {
        b->look(k, &s);
        if (!s.unusable[0]) *index = k;
    }
    if (*index >= 0) return NB_OK;
    return absent(err, "no %s device can be used: %s:0 (%s): %s", b->name, b->name, s.name, s.unusable);
}

nb_status engine_choose_device(const char *text, const backend **b, int *index, nb_error *err) {
    if (!text || !*text) text = getenv("NIBBLE_DEVICE");
    if (!text || !*text || strcmp(text, "auto") == 0) {
        choose_any(b, index);
        return NB_OK;
    }
    nb_status status = engine_parse_device(text, b, index, err);
    if (status) return status;
    if (*index < 0) return choose_of(*b, index, err);
    device_summary s;
    const int count = (*b)->count();
    if (count == 0) return absent(err, "there is no device %s:%d: %s", (*b)->name, *index, (*b)->absent());
    if (*index >= count) return absent(err, "there is no device %s:%d", (*b)->name, *index);
    (*b)->look(*index, &s);
    return s.unusable[0] ? absent(err, "%s:%d (%s) cannot be used: %s", (*b)->name, *index, s.name, s.unusable) : NB_OK;
}

int64_t engine_default_batch(const backend *b) {
    return b == engine_host ? 512 : 2048;
}

dtype engine_kv_type(nb_kv_type wanted, const backend *b) {
    switch (wanted) {
    case NB_KV_F32:
        return DT_F32;
    case NB_KV_F16:
        return DT_F16;
    case NB_KV_BF16:
        return DT_BF16;
    case NB_KV_DEFAULT:
        break;
    }
    return b == engine_host ? DT_F32 : DT_F16;
}
