/* SPDX-License-Identifier: Apache-2.0
 *
 * PTX names its kernels and the size of their parameter: ".entry NAME(" and ".param .align 8 .b8 NAME_param_0[SIZE]".
 * Instructions of sm_90 are for that target only.
 */
#define _GNU_SOURCE
#include "gpu/cuda/ptx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    char name[96];
    unsigned long params_size;
    bool waits; /* for the launch in front, which may still run */
} entry;

/* The instruction, not in a comment, before the next entry. */
static bool has_wait(const char *p, const char *end) {
    static const char wait[] = "griddepcontrol.wait;";
    while ((p = strstr(p, wait)) != NULL && (!end || p < end)) {
        const char *line = p;
        while (line[-1] != '\n') line--;
        if (memmem(line, (size_t)(p - line), "//", 2) == NULL) return true;
        p++;
    }
    return false;
}

/* The next entry from *at on; false: there is none. */
static bool next_entry(const char **at, entry *out) {
    static const char mark[] = ".entry ";
    const char *p = strstr(*at, mark);
    if (!p) return false;
    p += sizeof mark - 1;
    const size_t n = strcspn(p, "( \n");
    snprintf(out->name, sizeof out->name, "%.*s", (int)n, p);
    char param[128];
    snprintf(param, sizeof param, "%s_param_0[", out->name);
    const char *size = strstr(p, param);
    out->params_size = size ? strtoul(size + strlen(param), NULL, 10) : 0;
    out->waits = has_wait(p, strstr(p, mark));
    *at = p + n;
    return true;
}

/* Whether all kernels of the text are in this module; its name is not in the text. */
static bool is_module(const char *text, const char *module) {
    entry e;
    while (next_entry(&text, &e))
        if (!sim_find(module, e.name)) return false;
    return true;
}

static const char *module_of(const char *text) {
    const sim_kernel *k;
    for (size_t i = 0; (k = sim_at(i)) != NULL; i++) {
        const bool first = i == 0 || strcmp(sim_at(i - 1)->module, k->module) != 0;
        if (first && is_module(text, k->module)) return k->module;
    }
    return NULL;
}

bool ptx_read(const char *text, ptx_module *out, char error[SIM_ERROR_TEXT]) {
    entry e = {0};
    const char *module = strstr(text, ".version ") ? module_of(text) : NULL;
    if (!module) {
        snprintf(error, SIM_ERROR_TEXT, "a module that is no PTX, or whose kernels were not compiled for this host");
        return false;
    }
    const bool has_instruction = strstr(text, ".target sm_90") != NULL;
    for (*out = (ptx_module){0}; next_entry(&text, &e) && out->n < PTX_MOST_KERNELS; out->n++) {
        const sim_kernel *k = out->kernels[out->n] = sim_find(module, e.name);
        out->waits[out->n] = e.waits;
        if (e.waits && !has_instruction) {
            snprintf(error, SIM_ERROR_TEXT, "%s.%s: griddepcontrol needs .target sm_90", module, e.name);
            return false;
        }
        if (k->params_size == e.params_size) continue;
        snprintf(error, SIM_ERROR_TEXT, "%s.%s: the params have %lu bytes in PTX, %lu on the host", module, e.name,
                 e.params_size, k->params_size);
        return false;
    }
    return true;
}
