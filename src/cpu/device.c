/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU as a device: what it is called, and its rows. Kernels run where they are called. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "cpu/cpu.h"

#if defined(__linux__)
#    include <link.h>
#else
#    include <dlfcn.h>
#endif

/* ---- What a verdict holds for ---------------------------------------------------------------------------------- */

#if defined(__linux__)
/* Of the program or library that holds `address`, the machine code. */
typedef struct code_search {
    uintptr_t address;
    uint64_t hash;
} code_search;

static bool is_code(const ElfW(Phdr) * segment) {
    return segment->p_type == PT_LOAD && (segment->p_flags & PF_X);
}

static bool holds(const struct dl_phdr_info *object, uintptr_t address) {
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        const uintptr_t start = object->dlpi_addr + segment->p_vaddr;
        if (is_code(segment) && address >= start && address < start + segment->p_memsz) return true;
    }
    return false;
}

static int hash_code(struct dl_phdr_info *object, size_t size, void *user) {
    (void)size;
    code_search *s = user;
    if (!holds(object, s->address)) return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (!is_code(segment)) continue;
        s->hash = hash_bytes(s->hash, (const void *)(object->dlpi_addr + segment->p_vaddr), segment->p_filesz);
    }
    return 1;
}

static uint64_t code_hash(void) {
    code_search s = {(uintptr_t)&cpu_register, HASH_START};
    dl_iterate_phdr(hash_code, &s);
    return s.hash;
}
#else
/* Of the file that the code was loaded from. */
static uint64_t code_hash(void) {
    Dl_info info;
    file_map map;
    if (!dladdr((const void *)(uintptr_t)&cpu_register, &info) || file_map_open(info.dli_fname, &map, NULL))
        return HASH_START;
    const uint64_t hash = hash_bytes(HASH_START, map.data, map.size);
    file_map_close(&map);
    return hash;
}
#endif

/* The kernel of the operating system, and the microcode where it tells: both have made processors compute otherwise.
 * Files of sysfs claim the size of a page. */
static void describe_driver(char *to, size_t size) {
    struct utsname system;
    buf microcode = {0};
    if (uname(&system) != 0) return;
    if (file_read("/sys/devices/system/cpu/cpu0/microcode/version", 1 << 16, &microcode, NULL) == NB_OK &&
        microcode.data)
        microcode.data[strcspn(microcode.data, "\n")] = 0;
    const bool known = microcode.data && microcode.data[0];
    snprintf(to, size, "%.24s %.40s%s%.16s", system.sysname, system.release, known ? ", microcode " : "",
             known ? microcode.data : "");
    buf_free(&microcode);
}

static void describe(device_info *info, unsigned caps) {
    info->backend = cpu_backend.name;
    cpu_name(info->name, sizeof info->name);
    snprintf(info->features, sizeof info->features, "%s", cpu_caps_name(caps));
    describe_driver(info->driver, sizeof info->driver);
#if defined(__clang__)
    snprintf(info->compiler, sizeof info->compiler, "%.90s", __VERSION__);
#else
    snprintf(info->compiler, sizeof info->compiler, "gcc %.80s", __VERSION__);
#endif
    info->code_hash = code_hash();
}

/* ---- The backend ------------------------------------------------------------------------------------------------ */

static int count(void) {
    return 1;
}

static const char *absent(void) {
    return "";
}

static void look(int index, device_summary *out) {
    (void)index;
    *out = (device_summary){0};
    cpu_name(out->name, sizeof out->name);
    snprintf(out->arch, sizeof out->arch, "%s", cpu_caps_name(cpu_caps_detect()));
    describe_driver(out->driver, sizeof out->driver);
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) out->memory = (uint64_t)pages * (uint64_t)page;
}

static nb_status device_open(int index, const device_options *options, device **out, nb_error *err) {
    *out = NULL;
    if (index != 0) return err_set(err, NB_ERR_NOT_FOUND, "there is no device cpu:%d, only cpu:0", index);
    device *d;
    unsigned caps = cpu_caps_detect();
    nb_status status = cpu_caps_limit(&caps, options->cpu, err);
    if (!status) status = device_new_host(&d, err);
    if (status) return status;
    status = cpu_register(d->registry, caps, err);
    if (status) {
        d->free(d);
        return status;
    }
    describe(&d->info, caps);
    *out = d;
    return NB_OK;
}

const backend cpu_backend = {.name = "cpu",
                             .count = count,
                             .absent = absent,
                             .look = look,
                             .open = device_open,
                             .executor_new = cpu_executor_new};
