/* SPDX-License-Identifier: Apache-2.0
 *
 * What this processor can do, and the CPU backend's rows. */
#ifndef NB_CPU_CAPS_H
#define NB_CPU_CAPS_H

#include "kernels/registry.h"

enum cpu_caps {
    CPU_AVX2 = 1 << 0,   /* AVX2, FMA, F16C, BMI2 */
    CPU_AVX512 = 1 << 1, /* AVX-512 F, BW, VL, DQ: files named *_avx512.c; with VNNI *_avx512vnni.c */
    CPU_VNNI = 1 << 2,   /* AVX-512 VNNI */
    CPU_BF16 = 1 << 3,   /* AVX-512 BF16, or Arm bf16 */
    CPU_VBMI = 1 << 4,   /* AVX-512 VBMI */
    CPU_NEON = 1 << 5,
    CPU_DOTPROD = 1 << 6,
    CPU_I8MM = 1 << 7,
};

/* The processor's, as the operating system lets us use them. */
unsigned cpu_caps_detect(void);
/* Narrowed by a name: "scalar", "avx2", "avx512", "neon" or NULL/"" for all; NB_ERR_ARGUMENT for another name. A name
 * that asks for more than there is narrows nothing. */
nb_status cpu_caps_limit(unsigned *caps, const char *name, nb_error *err);
/* "AVX-512 VNNI BF16", "scalar": for people. Static. */
const char *cpu_caps_name(unsigned caps);

/* The processor's own name, for people. */
void cpu_name(char *to, size_t size);

/* Adds the CPU backend's rows that these caps can run. */
nb_status cpu_register(kregistry *r, unsigned caps, nb_error *err);

#endif
