/* SPDX-License-Identifier: Apache-2.0
 *
 * Times rows of the registry, for one token and for many, beside what the machine allows: a call can be no faster than
 * its bytes take to read, or its arithmetic takes in fp32. (Rows that multiply integers may exceed the latter, and
 * small operands lie in a cache.) */
#define _GNU_SOURCE
#include "cli/bench_kernels.h"

#include <cjson/cJSON.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/pool.h"
#include "cli/bench_calls.h"
#include "cli/bench_machine.h"
#include "engine/engine.h"
#include "verify/mirror.h"

enum { MANY_TOKENS = 128, MIN_CALLS = 3, MAX_CALLS = 10000 };
static const double MIN_SECONDS = 0.1;

typedef struct kernel_bench {
    device *device;
    pool *pool;              /* of the CPU's threads */
    mirror mirror;           /* operands on a device with memory of its own */
    double bandwidth, flops; /* of the machine */
    cJSON *json;             /* array of results, or NULL: print them */
} kernel_bench;

/* ---- One call -------------------------------------------------------------------------------------------------- */

/* A call spread over the pool: threads take pieces until none is left. */
typedef struct spread {
    const krow *row;
    const kcall *call;
    int64_t n_tasks, piece;
    _Atomic int64_t next;
    uint8_t *scratch;
    size_t scratch_size;
} spread;

static void run_pieces(void *user, int index) {
    spread *s = user;
    for (;;) {
        int64_t begin = atomic_fetch_add(&s->next, s->piece);
        if (begin >= s->n_tasks) return;
        s->row->run(s->row, s->call, begin, min_i64(begin + s->piece, s->n_tasks),
                    s->scratch + (size_t)index * s->scratch_size);
    }
}

/* Seconds of the fastest of several calls; negative when out of memory. */
static double time_call(kernel_bench *k, const krow *row, const kcall *call) {
    size_t threads = (size_t)pool_size(k->pool);
    spread s = {.row = row, .call = call, .n_tasks = row->tasks(row, call)};
    s.piece = max_i64(1, s.n_tasks / (int64_t)(threads * 8));
    s.scratch_size = round_up((row->scratch ? row->scratch(row, call) : 0) + 64, 64);
    s.scratch = aligned_alloc(64, threads * s.scratch_size);
    if (!s.scratch) return -1;
    double best = -1, start = clock_now();
    for (int i = 0; i < MAX_CALLS && (i < MIN_CALLS || clock_now() - start < MIN_SECONDS); i++) {
        atomic_store(&s.next, 0);
        double from = clock_now();
        pool_run(k->pool, run_pieces, &s);
        double seconds = clock_now() - from;
        if (best < 0 || seconds < best) best = seconds;
    }
    free(s.scratch);
    return best;
}

/* On a device with memory of its own: the same call several times in a row, as in a pass. */
static nb_status time_on_device(kernel_bench *k, const krow *row, const kcall *call, double *seconds, nb_error *err) {
    enum { IN_A_ROW = 16 };
    const kcall *calls[IN_A_ROW];
    k->mirror.device = k->device;
    nb_status status = mirror_put(&k->mirror, call, row->scratch ? row->scratch(row, call) : 0, err);
    for (int i = 0; i < IN_A_ROW; i++) calls[i] = &k->mirror.copy.call;
    return status ? status : k->device->time(k->device, row, calls, IN_A_ROW, k->mirror.scratch, seconds, err);
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

static void report(kernel_bench *k, const krow *row, const bench_call *b, double seconds) {
    double limit = 0;
    if (k->bandwidth > 0) limit = b->bytes / k->bandwidth;
    if (k->flops > 0 && b->flops / k->flops > limit) limit = b->flops / k->flops;
    if (!k->json) {
        out_printf("%-36s %-38s %10.1f %8.2f %8.1f %6.0f%%\n", row->name, b->what, seconds * 1e6,
                   b->bytes / seconds * 1e-9, b->flops / seconds * 1e-9, 100 * limit / seconds);
        fflush(stdout);
        return;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kernel", row->name);
    cJSON_AddStringToObject(o, "shape", b->what);
    cJSON_AddNumberToObject(o, "seconds", seconds);
    cJSON_AddNumberToObject(o, "bytes_per_second", b->bytes / seconds);
    cJSON_AddNumberToObject(o, "flops_per_second", b->flops / seconds);
    cJSON_AddNumberToObject(o, "share_of_limit", limit / seconds);
    cJSON_AddItemToArray(k->json, o);
}

/* Times a row with the first call that it takes. */
static nb_status bench_row(kernel_bench *k, const krow *row, int64_t n_tokens, nb_error *err) {
    for (int variant = 0; variant < bench_call_variants(row); variant++) {
        bench_call b;
        bool takes = bench_call_init(&b, row, variant, n_tokens);
        nb_status status = NB_OK;
        double seconds = 0;
        if (takes && k->device->memory)
            status = time_on_device(k, row, &b.call, &seconds, err);
        else if (takes)
            seconds = time_call(k, row, &b.call);
        if (status == NB_OK && seconds > 0) report(k, row, &b, seconds);
        bool failed = b.failed || seconds < 0;
        bench_call_free(&b);
        if (status) return err_prefix(err, status, "%s", row->name);
        if (failed) return err_no_memory(err, row->name, 0);
        if (takes) break;
    }
    return NB_OK;
}

static nb_status bench_rows(kernel_bench *k, nb_error *err) {
    nb_status status = NB_OK;
    for (size_t i = 0; i < kreg_count(k->device->registry) && !status; i++) {
        const krow *row = kreg_at(k->device->registry, i);
        if (kreg_is_aside(k->device->registry, row)) continue;
        static const int64_t tokens[] = {1, MANY_TOKENS};
        for (int j = 0; j < 2 && !status; j++) {
            if (interrupted() ||
                (k->json && !progress_show(NULL, "kernels", (double)i, (double)kreg_count(k->device->registry))))
                return err_set(err, NB_ERR_CANCELLED, "interrupted");
            status = bench_row(k, row, tokens[j], err);
        }
    }
    return status;
}

/* ---- The whole ------------------------------------------------------------------------------------------------- */

/* What the machine can do: a GPU's own copy, which no kernel passes; a CPU's reading and arithmetic. */
static nb_status measure_machine(kernel_bench *k, int n_threads, nb_error *err) {
    if (k->device->copy_rate) return k->device->copy_rate(k->device, &k->bandwidth, err);
    nb_status status = pool_new(n_threads, &k->pool, err);
    if (status) return status;
    k->bandwidth = machine_read_bandwidth(k->pool);
    k->flops = machine_fp32_flops(k->pool);
    return interrupted() ? err_set(err, NB_ERR_CANCELLED, "interrupted") : NB_OK;
}

static nb_status prepare(kernel_bench *k, const char *filter, const char *where, int n_threads, nb_error *err) {
    char patterns[256];
    const backend *b;
    int index;
    const device_options options = {.cpu = getenv("NIBBLE_CPU")};
    nb_status status = engine_choose_device(where, &b, &index, err);
    if (!status) status = b->open(index, &options, &k->device, err);
    if (!status && filter) {
        snprintf(patterns, sizeof patterns, "-*,+%s", filter);
        status = engine_check_patterns(patterns, &k->device, 1, err);
        if (!status) status = kreg_select(k->device->registry, patterns, err);
    }
    return status ? status : measure_machine(k, n_threads, err);
}

static void print_head(const kernel_bench *k) {
    if (k->pool)
        out_printf("%d threads; the machine reads %.2f GB/s and does %.1f GFLOP/s in fp32\n\n", pool_size(k->pool),
                   k->bandwidth * 1e-9, k->flops * 1e-9);
    else
        out_printf("%s; it copies %.2f GB/s, reads and writes together\n\n", k->device->info.name, k->bandwidth * 1e-9);
    out_printf("%-36s %-38s %10s %8s %8s %7s\n", "kernel", "call", "us", "GB/s", "GFLOP/s", "limit");
}

int bench_kernels(const char *filter, const char *where, int n_threads, bool json) {
    kernel_bench k = {.json = json ? cJSON_CreateArray() : NULL};
    nb_error err = {0};
    nb_status status = prepare(&k, filter, where, n_threads, &err);
    if (!status && !json) print_head(&k);
    if (!status) status = bench_rows(&k, &err);
    char *text = !status && json ? cJSON_Print(k.json) : NULL;
    if (text) out_printf("%s\n", text);
    cJSON_free(text);
    cJSON_Delete(k.json);
    pool_free(k.pool);
    mirror_free(&k.mirror);
    if (k.device) k.device->free(k.device);
    return status ? cli_error(&err) : CLI_OK;
}
