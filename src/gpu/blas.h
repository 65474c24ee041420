/* SPDX-License-Identifier: Apache-2.0
 *
 * The vendor's GEMM, opened while nibble runs: cuBLASLt; hipBLASLt, and rocBLAS for what it cannot. The algorithm is
 * chosen by the weight's shape alone where the library lets one do so, so that a token's result does not depend on how
 * many others there are. */
#ifndef NB_GPU_BLAS_H
#define NB_GPU_BLAS_H

#include "gpu/api.h"

enum { GPU_BLAS_MEMORY = 32 << 20 /* bytes of device memory that it works in */ };

typedef struct gpu_blas gpu_blas;

/* Whether a library opens for devices whose driver has this version: into text, by which
 * names, or why not. */
bool gpu_blas_there(const gpu_vendor *v, int driver_version, char *text, size_t size);
/* device_name stands in errors, and must outlive it. The device is the thread's already. */
nb_status gpu_blas_new(const gpu_vendor *v, int driver_version, const char *device_name, void *stream, void *memory,
                       gpu_blas **out, nb_error *err);
void gpu_blas_free(gpu_blas *b);
/* Chooses an algorithm, so that `run` only puts it into the stream. */
nb_status gpu_blas_prepare(gpu_blas *b, const gpu_gemm *g, nb_error *err);
nb_status gpu_blas_run(gpu_blas *b, const gpu_gemm *g, nb_error *err);

/* blas_lt.c: NVIDIA's interface, and AMD's, which follows it but for some numbers. */
typedef struct gpu_lt gpu_lt;
bool gpu_lt_open(gpu_library *l, const gpu_vendor *v, int driver_version);
nb_status gpu_lt_new(const gpu_vendor *v, gpu_library *l, const char *device_name, void *stream, void *memory,
                     gpu_lt **out, nb_error *err);
void gpu_lt_free(gpu_lt *lt);
nb_status gpu_lt_prepare(gpu_lt *lt, const gpu_gemm *g, nb_error *err); /* NB_ERR_UNSUPPORTED: it has no algorithm */
nb_status gpu_lt_run(gpu_lt *lt, const gpu_gemm *g, nb_error *err);

/* blas_roc.c: rocBLAS. */
typedef struct gpu_roc gpu_roc;
bool gpu_roc_open(gpu_library *l);
nb_status gpu_roc_new(gpu_library *l, const char *device_name, void *stream, void *memory, gpu_roc **out,
                      nb_error *err);
void gpu_roc_free(gpu_roc *r);
nb_status gpu_roc_run(gpu_roc *r, const gpu_gemm *g, nb_error *err);

#endif
