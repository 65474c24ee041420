/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the vector loads and stores of a kernel in its code object and changes them as a miscompilation would. Only
 * what is needed for that is read of the ELF file, which is one of nibble's own. */
#define _GNU_SOURCE
#include "gpu/hip/fault.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An instruction of two words (RDNA 3 ISA, chapter "Flat, Scratch, Global"): encoding, segment and operation in the
 * first, with a signed offset of 13 bits; the registers of the address, the data and the result in the second. */
enum {
    LOAD_B128 = 23,
    STORE_B128 = 29,
    OFFSET_MASK = 0x1fff,
    DATA_SHIFT = 8,
    DATA_MASK = 0xff << DATA_SHIFT,
    HALF = 16 /* bytes of such a load */
};

static bool is_global(uint32_t word, uint32_t op) {
    return word >> 26 == 0x37 && (word >> 16 & 3) == 2 && (word >> 18 & 0x7f) == op;
}

/* The bug report's: of two stores that follow one another, the second one repeats what the first has stored. */
static int duplicate_stores(uint32_t *code, size_t n) {
    const uint32_t *first = NULL;
    int changed = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        if (!is_global(code[i], STORE_B128)) continue;
        if (first) {
            code[i + 1] = (code[i + 1] & ~(uint32_t)DATA_MASK) | (first[1] & DATA_MASK);
            first = NULL;
            changed++;
        } else {
            first = &code[i];
        }
        i++;
    }
    return changed;
}

/* Of 32 bytes that two loads bring, the second half repeats the first. */
static int repeat_halves(uint32_t *code, size_t n) {
    int changed = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        if (!is_global(code[i], LOAD_B128) || (code[i] & OFFSET_MASK) != HALF) continue;
        code[i] &= ~(uint32_t)OFFSET_MASK;
        changed++;
        i++;
    }
    return changed;
}

static const struct {
    const char *name, *kernel; /* the beginning of the names of the kernels that have it */
    int (*make)(uint32_t *code, size_t n);
} faults[] = {{"duplicated-stores", "dequant_affine4_", duplicate_stores},
              {"half-loads", "qmv_fma_affine8", repeat_halves}};

/* ---- The file ---------------------------------------------------------------------------------------------------- */

static size_t file_size(const Elf64_Ehdr *elf) {
    const Elf64_Shdr *sections = (const void *)((const uint8_t *)elf + elf->e_shoff);
    size_t size = elf->e_shoff + (size_t)elf->e_shnum * sizeof *sections;
    for (int i = 0; i < elf->e_shnum; i++) {
        const size_t end = sections[i].sh_type == SHT_NOBITS ? 0 : sections[i].sh_offset + sections[i].sh_size;
        if (end > size) size = end;
    }
    return size;
}

/* Where an address of the loaded object lies in the file. */
static uint8_t *at_address(uint8_t *file, uint64_t address) {
    const Elf64_Ehdr *elf = (const void *)file;
    const Elf64_Phdr *p = (const void *)(file + elf->e_phoff);
    for (int i = 0; i < elf->e_phnum; i++)
        if (p[i].p_type == PT_LOAD && address >= p[i].p_vaddr && address < p[i].p_vaddr + p[i].p_filesz)
            return file + p[i].p_offset + (address - p[i].p_vaddr);
    return NULL;
}

/* Changes all functions whose name begins so; the number of changed instructions. */
static int change(uint8_t *file, const char *kernel, int (*make)(uint32_t *code, size_t n)) {
    const Elf64_Ehdr *elf = (const void *)file;
    const Elf64_Shdr *sections = (const void *)(file + elf->e_shoff);
    int changed = 0;
    for (int s = 0; s < elf->e_shnum; s++) {
        if (sections[s].sh_type != SHT_DYNSYM) continue;
        const Elf64_Sym *symbols = (const void *)(file + sections[s].sh_offset);
        const char *names = (const char *)file + sections[sections[s].sh_link].sh_offset;
        for (size_t i = 0; i < sections[s].sh_size / sizeof *symbols; i++) {
            const bool is_code = ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC;
            if (!is_code || strncmp(names + symbols[i].st_name, kernel, strlen(kernel)) != 0) continue;
            void *code = at_address(file, symbols[i].st_value);
            if (code) changed += make(code, symbols[i].st_size / sizeof(uint32_t));
        }
    }
    return changed;
}

bool fault_apply(const void *image, uint8_t **changed, char error[SIM_ERROR_TEXT]) {
    const char *wanted = getenv("NB_HIP_FAULT");
    size_t i = 0;
    *changed = NULL;
    if (!wanted || memcmp(image, ELFMAG, SELFMAG) != 0) return true;
    while (i < sizeof faults / sizeof *faults && strcmp(faults[i].name, wanted) != 0) i++;
    if (i == sizeof faults / sizeof *faults) {
        snprintf(error, SIM_ERROR_TEXT, "NB_HIP_FAULT: there is no fault \"%.40s\"", wanted);
        return false;
    }
    const size_t size = file_size(image);
    uint8_t *copy = malloc(size);
    if (!copy) {
        snprintf(error, SIM_ERROR_TEXT, "no memory for a changed module");
        return false;
    }
    memcpy(copy, image, size);
    if (change(copy, faults[i].kernel, faults[i].make) > 0)
        *changed = copy;
    else
        free(copy); /* none of its kernels */
    return true;
}
