/* SPDX-License-Identifier: Apache-2.0
 *
 * Device code by module and architecture, and which a device runs. kernels.mk compiles it and writes the table; a build
 * without the GPU backend (NB_GPU=OFF) has an empty one. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "gpu/driver.h"

#ifdef NB_GPU_CODE
#    include <zstd.h>
static bool unpack(const gpu_code *code, char *to) {
    return ZSTD_decompress(to, code->size, code->packed, code->packed_size) == code->size;
}
#else
const gpu_code gpu_code_table[] = {{0}};
const char gpu_code_compiler[] = "";
static bool unpack(const gpu_code *code, char *to) {
    (void)code, (void)to;
    return false;
}
#endif

nb_status gpu_code_unpack(const gpu_code *code, char **out, nb_error *err) {
    char *text = malloc(code->size + 1);
    *out = text;
    if (!text) return err_no_memory(err, "kernels", code->size);
    text[code->size] = 0;
    if (unpack(code, text)) return NB_OK;
    free(text);
    *out = NULL;
    return err_set(err, NB_ERR_INTERNAL, "kernels \"%s\" for %s cannot be unpacked", code->module, code->arch);
}

const gpu_code *gpu_code_find(const char *module, const char *arch) {
    for (const gpu_code *c = gpu_code_table; arch && c->module; c++)
        if (strcmp(c->module, module) == 0 && strcmp(c->arch, arch) == 0) return c;
    return NULL;
}

static const char *arch_named(const char *arch) {
    for (const gpu_code *c = gpu_code_table; c->module; c++)
        if (strcmp(c->arch, arch) == 0) return c->arch;
    return NULL;
}

/* AMD's families whose members all run the code of one generic target. */
static const char *const families[][2] = {{"gfx11", "gfx11-generic"},    {"gfx12", "gfx12-generic"},
                                          {"gfx103", "gfx10-3-generic"}, {"gfx101", "gfx10-1-generic"},
                                          {"gfx942", "gfx9-4-generic"},  {"gfx950", "gfx9-4-generic"}};

const char *gpu_code_arch(const char *device_arch) {
    if (strncmp(device_arch, "sm_", 3) == 0) return arch_named("ptx");
    const char *found = arch_named(device_arch);
    for (size_t i = 0; i < sizeof families / sizeof *families && !found; i++)
        if (strncmp(device_arch, families[i][0], strlen(families[i][0])) == 0) found = arch_named(families[i][1]);
    return found;
}

bool gpu_code_any(const char *prefix) {
    for (const gpu_code *c = gpu_code_table; c->module; c++)
        if (strncmp(c->arch, prefix, strlen(prefix)) == 0) return true;
    return false;
}

uint64_t gpu_code_hash(const char *arch) {
    uint64_t h = HASH_START;
    for (const gpu_code *c = gpu_code_table; arch && c->module; c++)
        if (strcmp(c->arch, arch) == 0) h = hash_bytes(hash_text(h, c->module), c->packed, c->packed_size);
    return h;
}
