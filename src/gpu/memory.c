/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a plan fits into the device's memory, found before anything is copied there, and what is said when it does
 * not: what is needed for what, what is free, and how many layers would fit. */
#include "base/buf.h"
#include "base/num.h"
#include "gpu/executor.h"
#include "plan/needs.h"

/* What a device has and what a plan wants of it. */
typedef struct budget {
    const plan *plan;
    const executor_options *options;
    plan_bytes needs;
    int64_t work;       /* activations and scratch, of any number of layers */
    int64_t free, room; /* room: of what is free, without what the driver takes for itself */
    int first, end;     /* layers */
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
    if (!status) b->work = gpu_work_size((int64_t)largest->work_bytes) + (int64_t)largest->scratch_bytes;
    program_free(largest);
    e->free(e);
    return status;
}

/* Kernels, graphs and the library of products lie in the same memory, and it is given out in pieces. */
static int64_t without_margin(uint64_t free_bytes, uint64_t total) {
    const int64_t margin = min_i64(256 << 20, (int64_t)(total / 32));
    return max_i64(0, (int64_t)free_bytes - margin);
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
    b->room = without_margin(free_bytes, total);
    return status ? status : find_work(d, files, b, err);
}

static int64_t sum(const budget *b) {
    return plan_bytes_sum(&b->needs) + b->work;
}

/* The most layers, fewer than the plan has, that have room. */
static int layers_that_fit(const budget *b) {
    int n = b->end - b->first - 1;
    for (; n > 0; n--) {
        const plan_bytes needs = plan_needs(b->plan, b->end - n, b->options);
        if (plan_bytes_sum(&needs) + b->work <= b->room) break;
    }
    return n > 0 ? n : 0;
}

static void add_amount(buf *to, const char *what, int64_t bytes) {
    if (bytes > 0) buf_printf(to, "%s%s %.2f GB", to->len ? ", " : "", what, (double)bytes / 1e9);
}

/* `why`: what went wrong first; NULL: nothing yet. */
static nb_status say(const device *d, const budget *b, const char *why, nb_error *err) {
    char name[32];
    buf parts = {.limit = 300}, advice = {.limit = 300};
    const plan_bytes layer = plan_layer_needs(b->plan, b->end - 1, b->options);
    const int fit = layers_that_fit(b);
    add_amount(&parts, "weights", b->needs.weights);
    add_amount(&parts, "KV cache", b->needs.kv);
    add_amount(&parts, "recurrent states", b->needs.states);
    add_amount(&parts, "activations", b->work);
    if (fit > 0)
        buf_printf(&advice, "--gpu-layers %d would fit, with the other layers on the CPU", fit);
    else
        buf_puts(&advice, "not even one layer fits: --device cpu runs the model without it");
    err_set(err, NB_ERR_NO_MEMORY,
            "%s (%s): %s%s%d layer%s need%s %.2f GB (%s; a layer %.2f GB), %.2f GB are free; %s%s",
            device_text(&d->info, name), d->info.name, why ? why : "", why ? "; " : "", b->end - b->first,
            b->end - b->first == 1 ? "" : "s", b->end - b->first == 1 ? "s" : "", (double)sum(b) / 1e9,
            parts.data ? parts.data : "", (double)plan_bytes_sum(&layer) / 1e9, (double)b->free / 1e9,
            advice.data ? advice.data : "",
            b->needs.kv > sum(b) / 4 ? "; a shorter --ctx-size or --kv-type f16 needs less" : "");
    buf_free(&parts);
    buf_free(&advice);
    return NB_ERR_NO_MEMORY;
}

nb_status gpu_check_memory(device *d, const plan *p, const weights *files, const executor_options *o, nb_error *err) {
    budget b;
    nb_status status = find_budget(d, p, files, o, &b, err);
    if (status) return status;
    return sum(&b) <= b.room ? NB_OK : say(d, &b, NULL, err);
}

nb_status gpu_explain_memory(device *d, const plan *p, const weights *files, const executor_options *o, nb_error *err) {
    budget b;
    nb_error first = *err;
    if (find_budget(d, p, files, o, &b, NULL)) return err_set(err, NB_ERR_NO_MEMORY, "%s", first.text);
    return say(d, &b, first.text, err);
}
