/* SPDX-License-Identifier: Apache-2.0 */
#include "support/host_gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "cpu/cpu_rows.h"
#include "engine/engine.h"
#include "gpu/device.h"
#include "ref/ref.h"
#include "support/planted.h"

/* Stands in front of each block, in its first bytes. */
enum { BLOCK_HEAD = 256, MAX_ROWS = 128 };

/* A call as a launch carries it; both live until the context is closed. */
typedef struct host_call host_call;
struct host_call {
    const krow *row;
    kcall call;
    void *scratch;
    host_call *next;
};

struct gpu_context {
    bool capturing;
    gpu_graph *graph;
};

struct gpu_graph {
    gpu_launch *at;
    int n, cap;
};

struct gpu_event {
    double time;
};

static struct {
    uint64_t total, used;
    int allocations_left, calls_left, n_launches;
    host_call *calls;
} host = {.total = HOST_GPU_MEMORY, .allocations_left = -1, .calls_left = -1};

void host_gpu_set_memory(uint64_t total) {
    host.total = total;
}
uint64_t host_gpu_used(void) {
    return host.used;
}
void host_gpu_fail_after(int n) {
    host.allocations_left = n;
}
void host_gpu_fail_call_after(int n) {
    host.calls_left = n;
}
bool host_gpu_has_failed(void) {
    return host.calls_left == -1;
}
int host_gpu_launches(void) {
    return host.n_launches;
}

/* At the beginning of each call: an error that goes by. */
static nb_status enter(const char *call, nb_error *err) {
    const bool fails = host.calls_left == 0;
    host.calls_left -= host.calls_left >= 0;
    return fails ? err_set(err, NB_ERR_INTERNAL, "%s was made to fail", call) : NB_OK;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static nb_status open_context(int index, gpu_context **out, nb_error *err) {
    (void)index;
    *out = calloc(1, sizeof **out);
    return *out ? NB_OK : err_no_memory(err, "a context", sizeof **out);
}

static void close_context(gpu_context *c) {
    while (host.calls) {
        host_call *next = host.calls->next;
        free(host.calls);
        host.calls = next;
    }
    free(c);
}

/* What nobody has written yet is NaN. */
static void *take(size_t bytes) {
    const size_t all = BLOCK_HEAD + round_up(bytes, BLOCK_HEAD);
    uint8_t *p = aligned_alloc(BLOCK_HEAD, all);
    if (!p) return NULL;
    memset(p, 0xff, all);
    memcpy(p, &bytes, sizeof bytes);
    return p + BLOCK_HEAD;
}

static nb_status take_device(gpu_context *c, size_t bytes, void **out, nb_error *err) {
    (void)c;
    *out = NULL;
    const bool fails = host.allocations_left == 0;
    host.allocations_left -= host.allocations_left >= 0;
    if (!fails && host.used + bytes <= host.total) *out = take(bytes);
    if (!*out) return err_set(err, NB_ERR_NO_MEMORY, "take_device: no memory for %zu bytes", bytes);
    host.used += bytes;
    return NB_OK;
}

static void release_device(gpu_context *c, void *p) {
    (void)c;
    size_t bytes;
    memcpy(&bytes, (uint8_t *)p - BLOCK_HEAD, sizeof bytes);
    host.used -= bytes;
    free((uint8_t *)p - BLOCK_HEAD);
}

static nb_status take_host(gpu_context *c, size_t bytes, void **out, nb_error *err) {
    (void)c;
    *out = take(bytes);
    return *out ? NB_OK : err_no_memory(err, "the host's side", bytes);
}

static void release_host(gpu_context *c, void *p) {
    (void)c;
    free((uint8_t *)p - BLOCK_HEAD);
}

static nb_status ask_memory(gpu_context *c, uint64_t *free_bytes, uint64_t *total, nb_error *err) {
    (void)c, (void)err;
    *free_bytes = host.total - host.used;
    *total = host.total;
    return NB_OK;
}

static nb_status move(gpu_context *c, void *to, const void *from, size_t bytes, nb_error *err) {
    (void)c;
    nb_status status = enter("move", err);
    if (!status) memcpy(to, from, bytes);
    return status;
}

static nb_status clear(gpu_context *c, void *to, size_t bytes, nb_error *err) {
    (void)c;
    nb_status status = enter("clear", err);
    if (!status) memset(to, 0, bytes);
    return status;
}

/* ---- The queue, which is always empty -----------------------------------------------------------------------------
 */

static nb_status run_launch(const gpu_launch *l, nb_error *err) {
    const host_call *call;
    memcpy(&call, l->params, sizeof call);
    const int64_t n = call->row->tasks(call->row, &call->call);
    if (l->params_size != sizeof call) return err_set(err, NB_ERR_INTERNAL, "not a launch of host_gpu");
    call->row->run(call->row, &call->call, 0, n, call->scratch);
    return NB_OK;
}

static nb_status launch(gpu_context *c, const gpu_launch *l, nb_error *err) {
    nb_status status = enter("launch", err);
    if (status) return status;
    host.n_launches += !c->capturing;
    if (!c->capturing) return run_launch(l, err);
    gpu_graph *g = c->graph;
    if (g->n == g->cap) {
        g->cap = 2 * g->cap + 64;
        g->at = realloc(g->at, (size_t)g->cap * sizeof *g->at);
        if (!g->at) abort();
    }
    g->at[g->n++] = *l;
    return NB_OK;
}

static nb_status prepare(gpu_context *c, const gpu_launch *l, nb_error *err) {
    (void)c, (void)l;
    return enter("prepare", err);
}

static nb_status sync_queue(gpu_context *c, nb_error *err) {
    (void)c;
    return enter("sync_queue", err);
}

static nb_status capture_begin(gpu_context *c, nb_error *err) {
    nb_status status = enter("capture_begin", err);
    if (status) return status;
    c->graph = calloc(1, sizeof *c->graph);
    c->capturing = c->graph != NULL;
    return c->graph ? NB_OK : err_no_memory(err, "a graph", 0);
}

static void graph_free(gpu_context *c, gpu_graph *g) {
    (void)c;
    free(g->at);
    free(g);
}

static nb_status capture_end(gpu_context *c, gpu_graph **out, nb_error *err) {
    nb_status status = enter("capture_end", err);
    c->capturing = false;
    *out = status ? NULL : c->graph;
    if (status) graph_free(c, c->graph);
    return status;
}

static nb_status graph_launch(gpu_context *c, gpu_graph *g, nb_error *err) {
    (void)c;
    nb_status status = enter("graph_launch", err);
    for (int i = 0; i < g->n && !status; i++) status = run_launch(&g->at[i], err);
    host.n_launches++;
    return status;
}

static nb_status event_new(gpu_context *c, gpu_event **out, nb_error *err) {
    (void)c;
    *out = calloc(1, sizeof **out);
    return *out ? NB_OK : err_no_memory(err, "an event", 0);
}

static void event_free(gpu_context *c, gpu_event *e) {
    (void)c;
    free(e);
}

static nb_status event_record(gpu_context *c, gpu_event *e, nb_error *err) {
    (void)c, (void)err;
    e->time = clock_now();
    return NB_OK;
}

static nb_status event_seconds(gpu_context *c, gpu_event *from, gpu_event *to, double *out, nb_error *err) {
    (void)c, (void)err;
    *out = to->time - from->time;
    return NB_OK;
}

static const gpu_driver driver = {.name = "host",
                                  .open = open_context,
                                  .close = close_context,
                                  .alloc = take_device,
                                  .release = release_device,
                                  .alloc_host = take_host,
                                  .release_host = release_host,
                                  .memory = ask_memory,
                                  .write = move,
                                  .read = move,
                                  .write_async = move,
                                  .read_async = move,
                                  .copy = move,
                                  .clear = clear,
                                  .launch = launch,
                                  .sync = sync_queue,
                                  .prepare = prepare,
                                  .capture_begin = capture_begin,
                                  .capture_end = capture_end,
                                  .graph_launch = graph_launch,
                                  .graph_free = graph_free,
                                  .event_new = event_new,
                                  .event_free = event_free,
                                  .event_record = event_record,
                                  .event_seconds = event_seconds};

/* ---- Rows and the backend -----------------------------------------------------------------------------------------
 */

/* The CPU's plain rows, and for what the CPU has none the reference. */
static bool takes_any(const krow *row, const kcall *c) {
    (void)row, (void)c;
    return true;
}
static void run_reference(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)begin, (void)end, (void)scratch;
    double *y = malloc((size_t)ref_count(c) * sizeof *y);
    if (!y) abort();
    ref_run(c, y, NULL);
    for (int64_t i = 0; i < ref_count(c); i++)
        ((float *)c->y.data)[i / c->y.cols * c->y.stride + i % c->y.cols] = (float)y[i];
    free(y);
}
static const krow draw_rows[] = {
    {.name = "penalize.host",
     .backend = "host",
     .op = KOP_PENALIZE,
     .takes = takes_any,
     .tasks = gpu_one_task,
     .run = run_reference},
    {.name = "draw.host",
     .backend = "host",
     .op = KOP_DRAW,
     .takes = takes_any,
     .tasks = gpu_one_task,
     .run = run_reference},
};
static const krow_table of_draws = {draw_rows, sizeof draw_rows / sizeof *draw_rows};
static const krow_table *const tables[] = {&scalar_ops_rows,     &scalar_attention_rows, &scalar_matmul_rows,
                                           &scalar_experts_rows, &scalar_delta_rows,     &of_draws};

/* The row of the CPU that a row of ours is, with its tasks. */
static const krow *own_row(const krow *row) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (size_t i = 0; i < tables[t]->n; i++)
            if (strcmp(tables[t]->rows[i].name, row->name) == 0) return &tables[t]->rows[i];
    return NULL;
}

static void enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    static const gpu_kernel kernel = {.module = "host", .name = "call"};
    host_call *call = calloc(1, sizeof *call);
    if (!call) abort();
    *call = (host_call){own_row(row), *c, scratch, host.calls};
    host.calls = call;
    gpu_add(to, &kernel, 1, 1, 1, 64, 0, &call, sizeof call);
}

static nb_status add_rows(kregistry *r, nb_error *err) {
    static krow rows[MAX_ROWS];
    size_t n = 0;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (size_t i = 0; i < tables[t]->n && n < MAX_ROWS; i++) {
            rows[n] = tables[t]->rows[i];
            rows[n].tasks = gpu_one_task;
            rows[n++].enqueue = enqueue;
        }
    return kreg_add(r, rows, n, err);
}

static int count(void) {
    return 1;
}

static const char *absent(void) {
    return "";
}

static void look(int index, device_summary *out) {
    (void)index;
    *out = (device_summary){.name = "host", .memory = host.total};
}

static nb_status open_device(int index, const device_options *options, device **out, nb_error *err) {
    (void)options;
    gpu_info info = {.name = "a GPU that is none", .arch = "host"};
    info.traits = (gpu_traits){.warp = 32, .n_processors = 1, .shared_max = 48 << 10, .memory = host.total};
    nb_status status = gpu_device_new(&driver, index, &info, out, err);
    if (status) return status;
    kreg_free((*out)->registry);
    status = kreg_new(&(*out)->registry, err);
    if (!status) status = add_rows((*out)->registry, err);
    return status;
}

const backend host_gpu_backend = {"host", count, absent, look, open_device, gpu_executor_new};

/* ---- A context -------------------------------------------------------------------------------------------------- */

nb_context *host_gpu_context(nb_model *m, int64_t n_batch, int n_sequences, int n_host) {
    nb_context_options o = {.n_threads = 1, .n_batch = n_batch, .n_sequences = n_sequences, .device = "cpu"};
    nb_context *c;
    nb_error err;
    must(nb_context_new(m, &o, &c, &err), &err);
    c->executor->free(c->executor);
    c->device->free(c->device);
    c->executor = NULL;
    const device_options how = {0};
    const executor_options eo = {.n_threads = 1,
                                 .n_batch = n_batch,
                                 .n_pages = c->pages.n_pages,
                                 .n_slots = state_pool_slots(&c->states, n_sequences),
                                 .kv_type = DT_F32};
    must(host_gpu_backend.open(0, &how, &c->device, &err), &err);
    if (n_host == 0) {
        must(host_gpu_backend.executor_new(c->device, m->plan, m->files, &eo, &c->executor, &err), &err);
        return c;
    }
    must(plan_split(m->plan, n_host, &c->parts, &err), &err);
    must(engine_host->open(0, &how, &c->host, &err), &err);
    const split_side sides[2] = {[PLAN_HEAD] = {engine_host, c->host}, [PLAN_TAIL] = {&host_gpu_backend, c->device}};
    must(split_executor_new(m->plan, &c->parts, sides, m->files, &eo, &c->executor, &err), &err);
    return c;
}
