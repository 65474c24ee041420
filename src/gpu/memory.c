/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a plan fits into the device's memory, found before anything is copied there, and what is said when it does
 * not: what is needed for what, what is free, and how many layers would fit. */
#include "base/buf.h"
#include "base/num.h"
#include "gpu/blas.h"
#include "gpu/executor.h"
#include "plan/needs.h"

/* What a device has and what a plan wants of it. */
typedef struct budget {
    const plan *plan;
    const executor_options *options;
    plan_bytes needs;
    int64_t work;   /* activations, scratch and what a library works in, of any number of layers */
    int64_t driver; /* what it takes for itself */
    int64_t free;
    int first, end; /* layers */
} budget;

/* As much as the largest batch takes. */
static nb_status find_work(device *d, const weights *files, budget *b, nb_error *err) {
    executor_options dry = *b->options;
    executor *e;
    program *largest;
    dry.dry = true;
    nb_status status = gpu_executor_new(d, b->plan, files, &dry, &e, err);
    if (status) return status;
    status = gpu_lower((gpu_executor *)e, dry.n_batch, 1, &largest, err);
    if (!status) b->work = gpu_work_size((int64_t)largest->work_bytes) + (int64_t)gpu_scratch_bytes(largest);
    if (gpu_device_traits(d)->caps & GPU_GEMM16) b->work += GPU_BLAS_MEMORY;
    program_free(largest);
    e->free(e);
    return status;
}

/* Kernels, graphs and the code of the library of products lie in the same memory, and it is given out in pieces. */
static int64_t driver_bytes(uint64_t total) {
    return min_i64(256 << 20, (int64_t)(total / 32));
}

static nb_status find_budget(device *d, const plan *p, const weights *files, const executor_options *o, budget *b,
                             nb_error *err) {
    gpu_context *context;
    uint64_t free_bytes = 0, total = 0;
    *b = (budget){.plan = p, .options = o, .needs = plan_needs(p, PLAN_NONE, o)};
    plan_layers(p, &b->first, &b->end);
    nb_status status = gpu_device_context(d, &context, err);
    if (!status) status = gpu_device_driver(d)->memory(context, &free_bytes, &total, err);
    b->free = (int64_t)free_bytes;
    b->driver = driver_bytes(total);
    return status ? status : find_work(d, files, b, err);
}

static int64_t sum_with(const budget *b, const plan_bytes *needs) {
    return plan_bytes_sum(needs) + b->work + b->driver;
}

static int64_t sum(const budget *b) {
    return sum_with(b, &b->needs);
}

/* The most layers, fewer than the plan has, that have room. */
static int layers_that_fit(const budget *b) {
    int n = b->end - b->first - 1;
    for (; n > 0; n--) {
        const plan_bytes needs = plan_needs(b->plan, b->end - n, b->options);
        if (sum_with(b, &needs) <= b->free) break;
    }
    return n > 0 ? n : 0;
}

static void put_amount(buf *to, int64_t bytes) {
    if (bytes >= 1000000000)
        buf_printf(to, "%.2f GB", (double)bytes / 1e9);
    else
        buf_printf(to, "%.1f MB", (double)bytes / 1e6);
}

static void put_part(buf *to, const char *what, int64_t bytes) {
    if (bytes == 0) return;
    buf_printf(to, "%s ", what);
    put_amount(to, bytes);
    buf_puts(to, ", ");
}

static void put_advice(buf *to, const budget *b) {
    const int fit = layers_that_fit(b);
    if (fit > 0)
        buf_printf(to, "; --gpu-layers %d would fit, with the other layers on the CPU", fit);
    else
        buf_puts(to, "; not even one layer fits: --device cpu runs the model without it");
    if (b->needs.kv > sum(b) / 4)
        buf_printf(to, "; a shorter --ctx-size%s needs less", b->options->kv_type == DT_F32 ? " or --kv-type f16" : "");
}

/* `why`: what went wrong first; NULL: nothing yet. */
static nb_status say(const device *d, const budget *b, const char *why, nb_error *err) {
    char name[32];
    buf text = {.limit = sizeof err->text};
    const plan_bytes with = plan_needs(b->plan, b->first, b->options), behind = plan_needs(b->plan, b->end, b->options);
    const int n = b->end - b->first;
    buf_printf(&text, "%s (%s): %s%s%d layer%s need%s ", device_text(&d->info, name), d->info.name, why ? why : "",
               why ? "; " : "", n, n == 1 ? "" : "s", n == 1 ? "s" : "");
    put_amount(&text, sum(b));
    buf_puts(&text, " (");
    put_part(&text, "weights", b->needs.weights);
    put_part(&text, "KV cache", b->needs.kv);
    put_part(&text, "recurrent states", b->needs.states);
    put_part(&text, "activations", b->work);
    put_part(&text, "the driver's own", b->driver);
    buf_puts(&text, "a layer ");
    put_amount(&text, (plan_bytes_sum(&with) - plan_bytes_sum(&behind)) / (n > 0 ? n : 1));
    buf_puts(&text, "), ");
    put_amount(&text, b->free);
    buf_puts(&text, " are free");
    put_advice(&text, b);
    err_set(err, NB_ERR_NO_MEMORY, "%s", text.data && !text.failed ? text.data : "the model does not fit");
    buf_free(&text);
    return NB_ERR_NO_MEMORY;
}

nb_status gpu_check_memory(device *d, const plan *p, const weights *files, const executor_options *o, nb_error *err) {
    budget b;
    nb_status status = find_budget(d, p, files, o, &b, err);
    if (status) return status;
    return sum(&b) <= b.free ? NB_OK : say(d, &b, NULL, err);
}

nb_status gpu_explain_memory(device *d, const plan *p, const weights *files, const executor_options *o, nb_error *err) {
    budget b;
    nb_error first = *err;
    if (find_budget(d, p, files, o, &b, NULL)) return err_set(err, NB_ERR_NO_MEMORY, "%s", first.text);
    return say(d, &b, first.text, err);
}
