/* SPDX-License-Identifier: Apache-2.0
 *
 * A device as the kernels see it: which rows it can run, how to run one, and how to reach its memory. Verification, the
 * kernel tests and the benchmarks need no more of a backend than this, so they know none by name. */
#ifndef NB_KERNELS_DEVICE_H
#define NB_KERNELS_DEVICE_H

#include "kernels/registry.h"

/* What a verdict about kernels holds for: another driver or other machine code is another device. */
typedef struct device_info {
    const char *backend; /* "cpu"; static */
    int index;           /* among the backend's devices */
    bool is_gpu;
    char name[96];      /* "Intel(R) Xeon(R) Processor" */
    char features[64];  /* that kernels are chosen by: "AVX-512 VNNI BF16" */
    char driver[96];    /* "Linux 6.1.0-18-amd64" */
    char compiler[96];  /* of the kernels: "gcc 12.2.0" */
    uint64_t code_hash; /* of the kernels' machine code */
} device_info;

typedef struct device device;

/* Memory that the process cannot read itself. */
typedef struct device_memory {
    void *(*alloc)(device *d, size_t bytes); /* aligned to 256; NULL: none left */
    void (*release)(device *d, void *p);
    nb_status (*write)(device *d, void *to, const void *from, size_t bytes, nb_error *err);
    nb_status (*read)(device *d, void *to, const void *from, size_t bytes, nb_error *err);
} device_memory;

struct device {
    device_info info;
    /* Starts the driver, which otherwise waits until it is needed: what is wrong with it is then told, and not blamed
     * on a kernel. NULL: there is nothing to start. */
    nb_status (*start)(device *d, nb_error *err);
    /* Whether the driver runs in this process, for this device or another one: child processes made from now on cannot
     * use it. NULL: they always can. */
    bool (*driver_runs)(const device *d);
    kregistry *registry;
    const device_memory *memory; /* NULL: kernels read and write the process's own memory */
    /* Makes ready what `run` needs for such a call: a driver may have to compile the row's code, which takes seconds
     * once. NULL: nothing. `run` does it by itself where that was not done. */
    nb_status (*prepare)(device *d, const krow *row, const kcall *c, void *scratch, nb_error *err);
    /* Computes tasks [begin, end) of a call, whose operands are in the device's memory, and waits for the end. scratch
     * is what the row asks for (krow), or NULL where it asks for none. */
    nb_status (*run)(device *d, const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch,
                     nb_error *err);
    /* Seconds that a row takes for each of n calls that run one after the other, as in a pass: the fastest of several
     * times. NULL where a clock around run tells as much. */
    nb_status (*time)(device *d, const krow *row, const kcall *const *calls, int n, void *scratch, double *seconds,
                      nb_error *err);
    /* Bytes per second, read and written, of the device copying its own memory. NULL: ask the machine. */
    nb_status (*copy_rate)(device *d, double *bytes_per_second, nb_error *err);
    void (*free)(device *d);
};

/* A device whose rows run where they are called, on the process's own memory. Its registry is empty, and what info says
 * is the caller's to fill in. */
nb_status device_new_host(device **out, nb_error *err);

/* Sets rows aside as the environment says: NIBBLE_KERNELS (see kreg_select), and MLX_ROCM_QMM_DEQUANT_GEMM=0, the
 * workaround that users of MLX's ROCm backend have in their scripts: on a GPU, all rows that dequantize a weight and
 * leave the product to the vendor's GEMM. Says so in the log. */
nb_status device_read_environment(device *d, nb_error *err);

/* "cpu:0" into text. */
const char *device_text(const device_info *info, char text[32]);

#endif
