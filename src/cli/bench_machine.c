/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring the machine: read bandwidth by vector loads, arithmetic by independent multiply-adds. Both take the widest
 * instructions that the processor has, so that no kernel can look better than it is against a weak limit. */
#define _GNU_SOURCE
#include "cli/bench_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "cli/cli.h"

#if defined(__x86_64__)
#    include <immintrin.h>
#    define X86       1
#    define TARGET(t) __attribute__((target(t)))
#else
#    define X86 0
#    if defined(__aarch64__)
#        include <arm_neon.h>
#    endif
#endif

/* ---- Reading --------------------------------------------------------------------------------------------------- */

typedef uint64_t wide __attribute__((vector_size(64)));
enum { STEP = 4 }; /* wide reads of each stream at a time */

/* Reads n wide words as n_streams equal parts side by side; the result keeps the reads from being left out. */
#define READ_BODY(from, n, n_streams)                                                                                  \
    wide sum0 = {0}, sum1 = {0};                                                                                       \
    size_t part = (n) / (size_t)(n_streams);                                                                           \
    for (size_t i = 0; i + STEP <= part; i += STEP) {                                                                  \
        for (int s = 0; s < (n_streams); s++) {                                                                        \
            const wide *p = (from) + (size_t)s * part + i;                                                             \
            __builtin_prefetch(p + 64);                                                                                \
            __builtin_prefetch(p + 66);                                                                                \
            sum0 ^= p[0] ^ p[1];                                                                                       \
            sum1 ^= p[2] ^ p[3];                                                                                       \
        }                                                                                                              \
    }                                                                                                                  \
    sum0 ^= sum1;                                                                                                      \
    return sum0[0] ^ sum0[1] ^ sum0[2] ^ sum0[3] ^ sum0[4] ^ sum0[5] ^ sum0[6] ^ sum0[7];

static uint64_t read_plain(const wide *from, size_t n, int n_streams){READ_BODY(from, n, n_streams)}
#if X86
TARGET("avx2") static uint64_t read_avx2(const wide *from, size_t n,
                                         int n_streams){READ_BODY(from, n, n_streams)} TARGET("avx512f") static uint64_t
    read_avx512(const wide *from, size_t n, int n_streams) {
    READ_BODY(from, n, n_streams)
}
#endif

typedef uint64_t (*read_fn)(const wide *from, size_t n, int n_streams);

static read_fn best_read(void) {
#if X86
    if (__builtin_cpu_supports("avx512f")) return read_avx512;
    if (__builtin_cpu_supports("avx2")) return read_avx2;
#endif
    return read_plain;
}

typedef struct reading {
    read_fn read;
    const wide *from;
    size_t per_thread; /* wide words */
    int n_streams;
    uint64_t sums[1024];
} reading;

static void read_part(void *user, int index) {
    reading *r = user;
    r->sums[index] = r->read(r->from + (size_t)index * r->per_thread, r->per_thread, r->n_streams);
}

int64_t machine_cache_bytes(void) {
    int64_t bytes = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
    bytes = max_i64(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
#endif
    return bytes > 0 ? bytes : 32 << 20;
}

double machine_read_bandwidth(pool *p) {
    static const int streams[] = {1, 2, 4};
    enum { MIN_PASSES = 9, MAX_PASSES = 30, N_STREAMS = sizeof streams / sizeof streams[0] };
    /* Much larger than the cache, but no danger to a small machine. */
    int64_t free_bytes = (int64_t)sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE);
    int64_t bytes = max_i64(256 << 20, 8 * machine_cache_bytes());
    bytes = max_i64(16 << 20, min_i64(bytes, min_i64(free_bytes / 4, (int64_t)4 << 30)));
    void *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 0;
#ifdef MADV_HUGEPAGE
    madvise(memory, (size_t)bytes, MADV_HUGEPAGE);
#endif
    memset(memory, 1, (size_t)bytes); /* pages of zeros may all be the same one */
    reading r = {
        .read = best_read(), .from = memory, .per_thread = (size_t)bytes / sizeof(wide) / (size_t)pool_size(p)};
    double best = 0, begin = clock_now();
    for (int i = 0; i < MAX_PASSES && !interrupted(); i++) {
        if (i >= MIN_PASSES && clock_now() - begin > 1) break;
        r.n_streams = streams[i % N_STREAMS];
        double start = clock_now();
        pool_run(p, read_part, &r);
        double speed = (double)bytes / (clock_now() - start);
        if (speed > best) best = speed;
    }
    munmap(memory, (size_t)bytes);
    return best;
}

/* ---- Arithmetic ------------------------------------------------------------------------------------------------ */

/* Ten independent sums hide the latency of the multiply-add. They begin differently: equal ones the compiler would make
 * one. */
enum { FMA_ROUNDS = 2 << 20, FMA_SUMS = 10 };

#define FMA_BODY(type, set, fma)                                                                                       \
    const type x = set(0.999f), y = set(0.001f);                                                                       \
    type a = set(0.0f), b = set(0.1f), c = set(0.2f), d = set(0.3f), e = set(0.4f);                                    \
    type f = set(0.5f), g = set(0.6f), h = set(0.7f), i = set(0.8f), j = set(0.9f);                                    \
    for (int round = 0; round < FMA_ROUNDS; round++) {                                                                 \
        a = fma(a, x, y), b = fma(b, x, y), c = fma(c, x, y), d = fma(d, x, y), e = fma(e, x, y);                      \
        f = fma(f, x, y), g = fma(g, x, y), h = fma(h, x, y), i = fma(i, x, y), j = fma(j, x, y);                      \
    }                                                                                                                  \
    type all[FMA_SUMS] = {a, b, c, d, e, f, g, h, i, j};                                                               \
    memcpy(to, all, sizeof all);

enum { FMA_OUT = FMA_SUMS * 16 }; /* floats that a body writes at most, so that nothing is left out */

#if X86
TARGET("avx2,fma")
static void fma_avx2(float *to){
    FMA_BODY(__m256, _mm256_set1_ps, _mm256_fmadd_ps)} TARGET("avx512f") static void fma_avx512(float *to) {
    FMA_BODY(__m512, _mm512_set1_ps, _mm512_fmadd_ps)
}
#elif defined(__aarch64__)
static void fma_neon(float *to) {
#    define NEON_FMA(a, x, y) vfmaq_f32(y, a, x)
    FMA_BODY(float32x4_t, vdupq_n_f32, NEON_FMA)
}
#else
static void fma_scalar(float *to) {
#    define SAME(v)               (v)
#    define MULTIPLY_ADD(a, x, y) ((a) * (x) + (y))
    FMA_BODY(float, SAME, MULTIPLY_ADD)
}
#endif

typedef struct arithmetic {
    void (*run)(float *to);
} arithmetic;

static void fma_part(void *user, int index) {
    (void)index;
    float out[FMA_OUT];
    ((arithmetic *)user)->run(out);
    volatile float keep = out[0];
    (void)keep;
}

double machine_fp32_flops(pool *p) {
    arithmetic a;
    int lanes;
#if X86
    if (__builtin_cpu_supports("avx512f"))
        a.run = fma_avx512, lanes = 16;
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        a.run = fma_avx2, lanes = 8;
    else
        return 0;
#elif defined(__aarch64__)
    a.run = fma_neon, lanes = 4;
#else
    a.run = fma_scalar, lanes = 1;
#endif
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double start = clock_now();
        pool_run(p, fma_part, &a);
        double speed = 2.0 * FMA_ROUNDS * FMA_SUMS * lanes * pool_size(p) / (clock_now() - start);
        if (speed > best) best = speed;
    }
    return best;
}

/* ---- Memory of this process ------------------------------------------------------------------------------------ */

void machine_memory(int64_t *resident, int64_t *peak) {
    *resident = *peak = 0;
    FILE *f = fopen("/proc/self/status", "re");
    if (!f) return;
    char line[256];
    long long kb;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "VmRSS: %lld kB", &kb) == 1) *resident = kb * 1024;
        if (sscanf(line, "VmHWM: %lld kB", &kb) == 1) *peak = kb * 1024;
    }
    fclose(f);
}
