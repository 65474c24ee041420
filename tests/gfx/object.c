/* SPDX-License-Identifier: Apache-2.0
 *
 * Loads a code object: segments into an image, kernels from the dynamic symbol table, their descriptors (64 bytes, as
 * LLVM's AMDGPU usage page lays them out) and the metadata note. Whatever the file says is checked before it is used: a
 * broken file is an error with a text. */
#include "gfx/object.h"

#include <elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gfx/code.h"

enum {
    LARGEST_IMAGE = 256 << 20,
    NT_METADATA = 32,
    DESCRIPTOR_BYTES = 64,
    MACHINE_AMDGPU = 224,
    RELOCATION_RELATIVE64 = 13
};

/* What is being loaded. */
typedef struct loader {
    const uint8_t *file;
    size_t size;
    Elf64_Ehdr header;
    gfx_object *o;
    const uint8_t *symbols, *strings; /* in the image */
    size_t n_symbols, strings_size;
    gfx_meta_kernel *meta;
    size_t n_meta;
    char *err;
    size_t err_size;
} loader;

static bool fail(loader *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(loader *l, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(l->err, l->err_size, format, list);
    va_end(list);
    return false;
}

static bool fits(size_t size, uint64_t offset, uint64_t bytes) {
    return offset <= size && bytes <= size - offset;
}

static const struct {
    uint32_t machine;
    const char *name;
} targets[] = {{0x41, "gfx1100"}, {0x46, "gfx1101"}, {0x47, "gfx1102"}, {0x44, "gfx1103"},      {0x43, "gfx1150"},
               {0x4a, "gfx1151"}, {0x55, "gfx1152"}, {0x58, "gfx1153"}, {0x54, "gfx11-generic"}};

const char *gfx_object_target(const gfx_object *o) {
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        if (targets[i].machine == o->machine) return targets[i].name;
    return NULL;
}

/* A loader of the runtime is given no size: the end of what the headers name. */
static size_t size_of(const uint8_t *file) {
    Elf64_Ehdr h;
    memcpy(&h, file, sizeof h);
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_phentsize != sizeof(Elf64_Phdr)) return sizeof h;
    uint64_t end = h.e_shoff + (uint64_t)h.e_shentsize * h.e_shnum;
    if (end < h.e_phoff + (uint64_t)h.e_phentsize * h.e_phnum) end = h.e_phoff + (uint64_t)h.e_phentsize * h.e_phnum;
    return end > LARGEST_IMAGE ? LARGEST_IMAGE : (size_t)end;
}

static bool check_header(loader *l) {
    if (l->size < sizeof l->header) return fail(l, "a code object of %zu bytes is no ELF file", l->size);
    memcpy(&l->header, l->file, sizeof l->header);
    const Elf64_Ehdr *h = &l->header;
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0) return fail(l, "the code object is no ELF file");
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != MACHINE_AMDGPU)
        return fail(l, "the ELF file is not for AMD GPUs (machine %u)", h->e_machine);
    if (h->e_ident[EI_OSABI] != 64)
        return fail(l, "the code object's ABI is %u, not that of HSA", h->e_ident[EI_OSABI]);
    if (h->e_ident[EI_ABIVERSION] < 2 || h->e_ident[EI_ABIVERSION] > 4)
        return fail(l, "the code object's version is %u; 4, 5 and 6 are known", h->e_ident[EI_ABIVERSION] + 2);
    l->o->machine = h->e_flags & 0xff;
    if (!gfx_object_target(l->o))
        return fail(l, "the code object is for a GPU (e_flags 0x%x) that is not of the gfx11 family", h->e_flags);
    if (h->e_phentsize != sizeof(Elf64_Phdr) || !fits(l->size, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr)))
        return fail(l, "the code object's program headers lie outside of the file");
    return true;
}

static Elf64_Phdr segment(const loader *l, size_t i) {
    Elf64_Phdr p;
    memcpy(&p, l->file + l->header.e_phoff + i * sizeof p, sizeof p);
    return p;
}

static bool load_segments(loader *l) {
    uint64_t end = 0;
    for (size_t i = 0; i < l->header.e_phnum; i++) {
        const Elf64_Phdr p = segment(l, i);
        if (p.p_type != PT_LOAD) continue;
        if (!fits(l->size, p.p_offset, p.p_filesz) || p.p_filesz > p.p_memsz ||
            !fits(LARGEST_IMAGE, p.p_vaddr, p.p_memsz))
            return fail(l, "segment %zu of the code object lies outside of the file or is too large", i);
        if (p.p_vaddr + p.p_memsz > end) end = p.p_vaddr + p.p_memsz;
    }
    if (!end) return fail(l, "the code object has nothing to load");
    l->o->image_size = (size_t)end;
    l->o->image = aligned_alloc(4096, ((size_t)end + 4095) & ~(size_t)4095);
    if (!l->o->image) return fail(l, "out of memory for a code object of %llu bytes", (unsigned long long)end);
    memset(l->o->image, 0, ((size_t)end + 4095) & ~(size_t)4095);
    for (size_t i = 0; i < l->header.e_phnum; i++) {
        const Elf64_Phdr p = segment(l, i);
        if (p.p_type == PT_LOAD) memcpy(l->o->image + p.p_vaddr, l->file + p.p_offset, p.p_filesz);
    }
    return true;
}

static bool relocate(loader *l, uint64_t at, uint64_t bytes) {
    gfx_object *o = l->o;
    if (!fits(o->image_size, at, bytes) || bytes % sizeof(Elf64_Rela))
        return fail(l, "the code object's relocations lie outside of it");
    for (uint64_t i = 0; i < bytes; i += sizeof(Elf64_Rela)) {
        Elf64_Rela r;
        memcpy(&r, o->image + at + i, sizeof r);
        if (ELF64_R_TYPE(r.r_info) != RELOCATION_RELATIVE64)
            return fail(l, "the code object has a relocation of type %u, which is not known",
                        (unsigned)ELF64_R_TYPE(r.r_info));
        if (!fits(o->image_size, r.r_offset, 8)) return fail(l, "a relocation lies outside of the code object");
        const uint64_t value = (uint64_t)(uintptr_t)o->image + (uint64_t)r.r_addend;
        memcpy(o->image + r.r_offset, &value, sizeof value);
    }
    return true;
}

/* A table of which the dynamic section gives the address. */
static bool find_symbols(loader *l, uint64_t symtab, uint64_t hash, uint64_t strtab, uint64_t strsz) {
    const gfx_object *o = l->o;
    uint32_t n[2];
    if (!symtab || !hash || !strtab) return fail(l, "the code object has no dynamic symbols (DT_SYMTAB, DT_HASH)");
    if (!fits(o->image_size, hash, sizeof n) || !fits(o->image_size, strtab, strsz) || strsz == 0)
        return fail(l, "the code object's dynamic symbols lie outside of it");
    memcpy(n, o->image + hash, sizeof n); /* buckets, symbols */
    if (!fits(o->image_size, symtab, (uint64_t)n[1] * sizeof(Elf64_Sym)))
        return fail(l, "the code object's dynamic symbols lie outside of it");
    l->symbols = o->image + symtab;
    l->n_symbols = n[1];
    l->strings = o->image + strtab;
    l->strings_size = (size_t)strsz;
    if (l->strings[strsz - 1]) return fail(l, "the code object's last symbol's name has no end");
    return true;
}

static bool read_dynamic(loader *l, const Elf64_Phdr *p) {
    uint64_t symtab = 0, hash = 0, strtab = 0, strsz = 0, rela = 0, relasz = 0;
    if (!fits(l->o->image_size, p->p_vaddr, p->p_memsz))
        return fail(l, "the code object's dynamic section lies outside of it");
    for (uint64_t i = 0; i + sizeof(Elf64_Dyn) <= p->p_memsz; i += sizeof(Elf64_Dyn)) {
        Elf64_Dyn d;
        memcpy(&d, l->o->image + p->p_vaddr + i, sizeof d);
        if (d.d_tag == DT_NULL) break;
        if (d.d_tag == DT_SYMTAB) symtab = d.d_un.d_ptr;
        if (d.d_tag == DT_HASH) hash = d.d_un.d_ptr;
        if (d.d_tag == DT_STRTAB) strtab = d.d_un.d_ptr;
        if (d.d_tag == DT_STRSZ) strsz = d.d_un.d_val;
        if (d.d_tag == DT_RELA) rela = d.d_un.d_ptr;
        if (d.d_tag == DT_RELASZ) relasz = d.d_un.d_val;
        if (d.d_tag == DT_REL || d.d_tag == DT_JMPREL || d.d_tag == DT_NEEDED)
            return fail(l, "the code object has an entry %lld in its dynamic section, which is not known",
                        (long long)d.d_tag);
    }
    return (!relasz || relocate(l, rela, relasz)) && find_symbols(l, symtab, hash, strtab, strsz);
}

static bool read_notes(loader *l, const Elf64_Phdr *p) {
    if (!fits(l->size, p->p_offset, p->p_filesz)) return fail(l, "the code object's notes lie outside of the file");
    const uint8_t *at = l->file + p->p_offset;
    uint64_t left = p->p_filesz;
    while (left >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr n;
        memcpy(&n, at, sizeof n);
        const uint64_t name = ((uint64_t)n.n_namesz + 3) & ~3ull, data = ((uint64_t)n.n_descsz + 3) & ~3ull;
        if (name + data > left - sizeof n) break;
        if (n.n_type == NT_METADATA && n.n_namesz == 7 && memcmp(at + sizeof n, "AMDGPU", 7) == 0 && !l->meta)
            return gfx_metadata(at + sizeof n + name, n.n_descsz, &l->meta, &l->n_meta, l->err, l->err_size);
        at += sizeof n + name + data;
        left -= sizeof n + name + data;
    }
    return true;
}

/* The symbol of this name; false: there is none. */
static bool symbol_of(const loader *l, const char *name, size_t length, Elf64_Sym *out) {
    for (size_t i = 0; i < l->n_symbols; i++) {
        memcpy(out, l->symbols + i * sizeof *out, sizeof *out);
        if (out->st_shndx == SHN_UNDEF || out->st_name >= l->strings_size) continue;
        const char *s = (const char *)l->strings + out->st_name;
        if (strlen(s) == length && memcmp(s, name, length) == 0) return true;
    }
    return false;
}

static uint32_t word_at(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* What one kernel's descriptor says; the metadata must agree. */
static bool read_descriptor(loader *l, uint64_t at, gfx_kernel *k) {
    const uint8_t *d = l->o->image + at;
    int64_t offset;
    memcpy(&offset, d + 16, sizeof offset);
    k->lds_bytes = word_at(d);
    k->scratch_bytes = word_at(d + 4);
    if (word_at(d + 8) != k->kernarg_size)
        return fail(l, "kernel %s: its descriptor says %u bytes of arguments, its metadata %u", k->name, word_at(d + 8),
                    k->kernarg_size);
    k->rsrc3 = word_at(d + 44);
    k->rsrc1 = word_at(d + 48);
    k->rsrc2 = word_at(d + 52);
    k->properties = word_at(d + 56) & 0xffff;
    k->wave32 = k->properties >> 10 & 1;
    k->entry = at + (uint64_t)offset;
    const uint32_t registers = ((k->rsrc1 & 63) + 1) * 8;
    if (k->n_vgprs > registers)
        return fail(l, "kernel %s: its descriptor says %u vector registers, its metadata %u", k->name, registers,
                    k->n_vgprs);
    if (k->entry % 256 || !fits(l->o->image_size, k->entry, 4))
        return fail(l, "kernel %s: its code lies outside of the code object", k->name);
    if (k->lds_bytes > GFX_LDS_MAX || k->scratch_bytes > 1 << 20 || k->kernarg_size > 1 << 16)
        return fail(l, "kernel %s wants %u bytes of LDS, %u of scratch, %u of arguments", k->name, k->lds_bytes,
                    k->scratch_bytes, k->kernarg_size);
    return true;
}

static bool check_args(loader *l, const gfx_kernel *k) {
    for (uint32_t i = 0; i < k->n_args; i++)
        if (!fits(k->kernarg_size, k->args[i].offset, k->args[i].size))
            return fail(l, "kernel %s: argument %u lies outside of the %u bytes of arguments", k->name, i,
                        k->kernarg_size);
    return true;
}

static bool add_kernel(loader *l, const gfx_meta_kernel *m) {
    gfx_kernel *k = &l->o->kernels[l->o->n_kernels].k;
    Elf64_Sym s;
    *k = m->k;
    if (m->name.length == 0 || m->symbol.length == 0) return fail(l, "a kernel of the code object has no name");
    char *name = strndup(m->name.at, m->name.length);
    if (!name) return fail(l, "out of memory for a kernel's name");
    k->name = name;
    l->o->n_kernels++;
    if (!symbol_of(l, m->symbol.at, m->symbol.length, &s))
        return fail(l, "kernel %s: there is no symbol of its descriptor", name);
    if (s.st_size != DESCRIPTOR_BYTES || !fits(l->o->image_size, s.st_value, DESCRIPTOR_BYTES))
        return fail(l, "kernel %s: its descriptor lies outside of the code object", name);
    if (!read_descriptor(l, s.st_value, k) || !check_args(l, k)) return false;
    k->code_bytes = symbol_of(l, name, strlen(name), &s) && s.st_value == k->entry ? s.st_size : 0;
    if (!k->code_bytes || k->code_bytes % 4 || !fits(l->o->image_size, k->entry, k->code_bytes))
        return fail(l, "kernel %s: there is no symbol of its code, or it lies outside of the code object", name);
    return true;
}

static bool load(loader *l) {
    if (!check_header(l) || !load_segments(l)) return false;
    bool dynamic = false;
    for (size_t i = 0; i < l->header.e_phnum; i++) {
        const Elf64_Phdr p = segment(l, i);
        if (p.p_type == PT_DYNAMIC && !dynamic) {
            if (!read_dynamic(l, &p)) return false;
            dynamic = true;
        }
        if (p.p_type == PT_NOTE && !read_notes(l, &p)) return false;
    }
    if (!dynamic) return fail(l, "the code object has no dynamic section");
    if (!l->meta) return fail(l, "the code object has no metadata");
    l->o->kernels = calloc(l->n_meta + 1, sizeof *l->o->kernels);
    if (!l->o->kernels) return fail(l, "out of memory for %zu kernels", l->n_meta);
    for (size_t i = 0; i < l->n_meta; i++)
        if (!add_kernel(l, &l->meta[i])) return false;
    return true;
}

gfx_object *gfx_object_load(const void *elf, size_t size, char *err, size_t err_size) {
    loader l = {.file = elf, .size = size ? size : size_of(elf), .err = err, .err_size = err_size};
    l.o = calloc(1, sizeof *l.o);
    if (!l.o) {
        fail(&l, "out of memory for a code object");
        return NULL;
    }
    pthread_mutex_init(&l.o->decoding, NULL);
    const bool ok = load(&l);
    free(l.meta);
    if (ok) {
        gfx_memory_add(l.o->image, l.o->image_size);
        return l.o;
    }
    gfx_object_free(l.o);
    return NULL;
}

void gfx_object_free(gfx_object *o) {
    if (!o) return;
    if (o->image) gfx_memory_remove(o->image);
    for (size_t i = 0; i < o->n_kernels; i++) {
        gfx_code_free(o->kernels[i].code);
        free((char *)(uintptr_t)o->kernels[i].k.name);
    }
    free(o->kernels);
    free(o->image);
    pthread_mutex_destroy(&o->decoding);
    free(o);
}

const void *gfx_object_code(const gfx_object *o, const gfx_kernel *k) {
    return o->image + k->entry;
}

const gfx_kernel *gfx_object_kernels(const gfx_object *o, size_t i) {
    return i < o->n_kernels ? &o->kernels[i].k : NULL;
}

const gfx_kernel *gfx_object_kernel(const gfx_object *o, const char *name) {
    for (size_t i = 0; i < o->n_kernels; i++)
        if (strcmp(o->kernels[i].k.name, name) == 0) return &o->kernels[i].k;
    return NULL;
}
