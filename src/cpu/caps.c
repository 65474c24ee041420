/* SPDX-License-Identifier: Apache-2.0
 *
 * What this processor can do. On x86 the processor says what it has (cpuid) and the operating system which registers
 * it saves (xgetbv): both must agree. On Arm the operating system says it all. */
#include "cpu/caps.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"

#if defined(__x86_64__)
#    include <cpuid.h>

static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Bits as in the Intel SDM, volume 2A, CPUID, tables 3-8 to 3-17; XCR0 in volume 1, section 13.3. */
unsigned cpu_caps_detect(void) {
    enum { OSXSAVE = 1u << 27, FMA = 1u << 12, AVX = 1u << 28, F16C = 1u << 29 };        /* leaf 1, ecx */
    enum { AVX2 = 1u << 5, BMI2 = 1u << 8, F = 1u << 16, DQ = 1u << 17, BW = 1u << 30 }; /* leaf 7, ebx */
    const unsigned VL = 1u << 31;                                                        /* leaf 7, ebx */
    enum { VBMI = 1u << 1, VNNI = 1u << 11 };                                            /* leaf 7, ecx */
    enum { BF16 = 1u << 5 };                                                             /* leaf 7.1, eax */
    enum { YMM_STATE = 0x06, ZMM_STATE = 0xe6 };                                         /* xcr0 */
    unsigned a, b, c, d, caps = 0, leaf1_ecx;
    if (!__get_cpuid(1, &a, &b, &leaf1_ecx, &d) || !(leaf1_ecx & OSXSAVE)) return 0;
    uint64_t saved = read_xcr0();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    unsigned need1 = FMA | AVX | F16C, need7 = AVX2 | BMI2, need512 = F | DQ | BW | VL;
    if ((saved & YMM_STATE) != YMM_STATE || (leaf1_ecx & need1) != need1 || (b & need7) != need7) return 0;
    caps |= CPU_AVX2;
    if ((saved & ZMM_STATE) != ZMM_STATE || (b & need512) != need512) return caps;
    caps |= CPU_AVX512;
    if (c & VNNI) caps |= CPU_VNNI;
    if (c & VBMI) caps |= CPU_VBMI;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & BF16)) caps |= CPU_BF16;
    return caps;
}

/* The brand string, leaves 0x80000002 to 0x80000004 (Intel SDM, volume 2A, CPUID). */
void cpu_name(char *to, size_t size) {
    char brand[49] = "";
    for (unsigned i = 0; i < 3; i++) {
        unsigned part[4];
        if (!__get_cpuid(0x80000002u + i, &part[0], &part[1], &part[2], &part[3])) break;
        memcpy(brand + 16 * i, part, sizeof part);
    }
    const char *start = brand + strspn(brand, " ");
    snprintf(to, size, "%s", *start ? start : "x86-64 processor");
    for (size_t n = strlen(to); n > 0 && to[n - 1] == ' '; n--) to[n - 1] = 0;
}

#elif defined(__aarch64__) && defined(__linux__)
#    include <sys/auxv.h>

/* The Main ID Register (Arm ARM, D19.2 MIDR_EL1) tells implementer and part; names for them nobody tells. */
void cpu_name(char *to, size_t size) {
    buf midr = {0};
    nb_status status = file_read("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", 1 << 16, &midr, NULL);
    const bool known = status == NB_OK && midr.data;
    if (known) midr.data[strcspn(midr.data, "\n")] = 0;
    snprintf(to, size, "Arm processor%s%.24s", known ? " " : "", known ? midr.data : "");
    buf_free(&midr);
}

/* Bits as in Linux's Documentation/arch/arm64/elf_hwcaps.rst. */
unsigned cpu_caps_detect(void) {
    const unsigned long asimd = 1ul << 1, asimddp = 1ul << 20, i8mm = 1ul << 13, bf16 = 1ul << 14;
    unsigned long one = getauxval(AT_HWCAP), two = getauxval(AT_HWCAP2);
    unsigned caps = 0;
    if (!(one & asimd)) return 0;
    caps |= CPU_NEON;
    if (one & asimddp) caps |= CPU_DOTPROD;
    if (two & i8mm) caps |= CPU_I8MM;
    if (two & bf16) caps |= CPU_BF16;
    return caps;
}

#elif defined(__aarch64__) && defined(__APPLE__)
#    include <sys/sysctl.h>

static bool has(const char *feature) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(feature, &value, &size, NULL, 0) == 0 && value != 0;
}

void cpu_name(char *to, size_t size) {
    char name[96] = "";
    size_t n = sizeof name;
    if (sysctlbyname("machdep.cpu.brand_string", name, &n, NULL, 0) != 0) strcpy(name, "Arm processor");
    snprintf(to, size, "%s", name);
}

unsigned cpu_caps_detect(void) {
    unsigned caps = CPU_NEON;
    if (has("hw.optional.arm.FEAT_DotProd")) caps |= CPU_DOTPROD;
    if (has("hw.optional.arm.FEAT_I8MM")) caps |= CPU_I8MM;
    if (has("hw.optional.arm.FEAT_BF16")) caps |= CPU_BF16;
    return caps;
}

#else
void cpu_name(char *to, size_t size) {
    snprintf(to, size, "processor");
}

unsigned cpu_caps_detect(void) {
    return 0;
}
#endif

nb_status cpu_caps_limit(unsigned *caps, const char *name, nb_error *err) {
    if (!name || !*name) return NB_OK;
    if (strcmp(name, "scalar") == 0)
        *caps = 0;
    else if (strcmp(name, "avx2") == 0)
        *caps &= CPU_AVX2;
    else if (strcmp(name, "avx512") == 0)
        *caps &= CPU_AVX2 | CPU_AVX512 | CPU_VNNI | CPU_BF16 | CPU_VBMI;
    else if (strcmp(name, "neon") == 0)
        *caps &= CPU_NEON;
    else
        return err_set(err, NB_ERR_ARGUMENT, "NIBBLE_CPU=%s: expected scalar, avx2, avx512 or neon", name);
    return NB_OK;
}

const char *cpu_caps_name(unsigned caps) {
    static const char *const avx512[8] = {
        "AVX-512",      "AVX-512 VNNI",      "AVX-512 BF16",      "AVX-512 VNNI BF16",
        "AVX-512 VBMI", "AVX-512 VNNI VBMI", "AVX-512 BF16 VBMI", "AVX-512 VNNI BF16 VBMI",
    };
    static const char *const neon[8] = {
        "NEON",      "NEON dotprod",      "NEON bf16",      "NEON dotprod bf16",
        "NEON i8mm", "NEON dotprod i8mm", "NEON bf16 i8mm", "NEON dotprod bf16 i8mm",
    };
    int bf16 = caps & CPU_BF16 ? 2 : 0;
    if (caps & CPU_AVX512) return avx512[(caps & CPU_VNNI ? 1 : 0) + bf16 + (caps & CPU_VBMI ? 4 : 0)];
    if (caps & CPU_NEON) return neon[(caps & CPU_DOTPROD ? 1 : 0) + bf16 + (caps & CPU_I8MM ? 4 : 0)];
    return caps & CPU_AVX2 ? "AVX2" : "scalar";
}
