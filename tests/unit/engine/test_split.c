/* SPDX-License-Identifier: Apache-2.0
 *
 * Models on two devices, here the CPU twice, or it and a GPU that has its rows: every family cut at every layer says
 * what it says whole, bit for bit where both run the same kernels, with sequences that are cut, forked and run side by
 * side. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "plan/needs.h"
#include "support/each_model.h"
#include "support/host_gpu.h"

enum { CONTEXT = 3 * KV_PAGE_SIZE, N_BATCH = 50, N_SEQUENCES = 3, MAX_VOCAB = 4096 };

static void check_ok(nb_status status, const nb_error *err, const char *what) {
    if (status) fail_msg("%s: %s", what, err->text);
}

/* ---- Contexts --------------------------------------------------------------------------------------------------- */

static nb_context *new_context(nb_model *m, const char *cpu) {
    nb_context_options o = {.n_threads = 1,
                            .context_length = CONTEXT < m->dims.context_length ? CONTEXT : 0,
                            .n_batch = N_BATCH,
                            .n_sequences = N_SEQUENCES,
                            .cpu = cpu,
                            .device = "cpu"};
    nb_context *c;
    nb_error err;
    check_ok(nb_context_new(m, &o, &c, &err), &err, m->dir);
    return c;
}

/* Where a part runs: a CPU with these instructions (NULL: all), or a GPU that computes as a scalar one. */
static const char GPU[] = "gpu";

static const backend *backend_of(const char *where) {
    return where == GPU ? &host_gpu_backend : engine_host;
}

static device *open_device(const char *where) {
    const device_options how = {.cpu = where == GPU ? NULL : where};
    device *d;
    nb_error err;
    check_ok(backend_of(where)->open(0, &how, &d, &err), &err, "a device");
    return d;
}

static executor_options options_of(const nb_context *c) {
    return (executor_options){.n_threads = 1,
                              .n_batch = N_BATCH,
                              .n_pages = c->pages.n_pages,
                              .n_slots = state_pool_slots(&c->states, N_SEQUENCES),
                              .kv_type = DT_F32};
}

/* A context without its executor and device. */
static nb_context *new_empty(nb_model *m) {
    nb_context *c = new_context(m, NULL);
    c->executor->free(c->executor);
    c->device->free(c->device);
    c->executor = NULL;
    c->device = NULL;
    return c;
}

/* Layers below `first` at where[0], the others at where[1]. */
static nb_context *new_split(nb_model *m, int first, const char *const where[2]) {
    nb_context *c = new_empty(m);
    const executor_options o = options_of(c);
    nb_error err;
    check_ok(plan_split(m->plan, first, &c->parts, &err), &err, m->dir);
    c->host = open_device(where[0]);
    c->device = open_device(where[1]);
    const split_side sides[2] = {
        [PLAN_HEAD] = {backend_of(where[0]), c->host}, [PLAN_TAIL] = {backend_of(where[1]), c->device}};
    check_ok(split_executor_new(m->plan, &c->parts, sides, m->files, &o, &c->executor, &err), &err, m->dir);
    return c;
}

/* All of it on the GPU. */
static nb_context *new_on_gpu(nb_model *m) {
    nb_context *c = new_empty(m);
    const executor_options o = options_of(c);
    nb_error err;
    c->device = open_device(GPU);
    check_ok(host_gpu_backend.executor_new(c->device, m->plan, m->files, &o, &c->executor, &err), &err, m->dir);
    return c;
}

static nb_sequence *new_sequence(nb_context *c) {
    nb_sequence *s;
    nb_error err;
    check_ok(nb_sequence_new(c, &s, &err), &err, "a sequence");
    return s;
}

/* ---- A conversation that uses all that sequences can --------------------------------------------------------------
 */

typedef struct record {
    float *rows;
    int64_t n, vocab;
} record;

static int32_t token_at(const nb_context *c, int64_t position, int salt) {
    return (int32_t)((position * 7 + position / 5 + 13 * salt) % c->model->dims.vocab_size);
}

static nb_batch_item item_of(nb_sequence *s, int32_t *tokens, int64_t n, int salt, record *r) {
    const int64_t have = nb_sequence_length(s);
    for (int64_t i = 0; i < n; i++) tokens[i] = token_at(s->context, have + i, salt);
    return (nb_batch_item){
        .sequence = s, .tokens = tokens, .n_tokens = n, .logits = r->rows + r->n++ * r->vocab, .n_logits = 1};
}

static void put(nb_sequence *s, int64_t n, int salt, record *r) {
    int32_t tokens[CONTEXT];
    nb_error err;
    nb_batch_item item = item_of(s, tokens, n, salt, r);
    check_ok(nb_forward(s->context, &item, 1, &err), &err, "forward");
}

static record converse(nb_context *c, int64_t long_one) {
    record r = {.vocab = c->model->dims.vocab_size};
    int32_t tokens[3][CONTEXT];
    nb_error err;
    r.rows = calloc((size_t)(16 * r.vocab), sizeof *r.rows);
    assert_non_null(r.rows);
    nb_sequence *a = new_sequence(c), *b, *other = new_sequence(c);
    put(a, long_one, 0, &r);
    put(a, 1, 0, &r);
    check_ok(nb_sequence_fork(a, long_one - 3, &b, &err), &err, "fork"); /* into a page that both have */
    put(b, 5, 1, &r);
    put(a, 2, 2, &r);
    nb_batch_item items[3] = {item_of(a, tokens[0], 3, 3, &r), item_of(other, tokens[1], 7, 4, &r),
                              item_of(b, tokens[2], 1, 5, &r)};
    check_ok(nb_forward(c, items, 3, &err), &err, "three at once");
    check_ok(nb_sequence_truncate(a, long_one / 2, &err), &err, "truncation");
    put(a, 4, 6, &r);
    nb_batch_item silent = item_of(b, tokens[0], 2, 7, &r); /* a pass without outputs */
    silent.logits = NULL;
    silent.n_logits = 0;
    r.n--;
    check_ok(nb_forward(c, &silent, 1, &err), &err, "no outputs");
    put(b, 1, 8, &r);
    nb_sequence_free(a);
    nb_sequence_free(b);
    nb_sequence_free(other);
    return r;
}

/* The largest difference, in units of the logits' spread. */
static double distance(const record *a, const record *b) {
    double worst = 0, square = 0, mean = 0;
    const int64_t n = a->n * a->vocab;
    for (int64_t i = 0; i < n; i++) mean += (double)a->rows[i] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        square += ((double)a->rows[i] - mean) * ((double)a->rows[i] - mean) / (double)n;
        worst = fmax(worst, fabs((double)a->rows[i] - (double)b->rows[i]));
    }
    return worst / sqrt(square);
}

/* ---- What the parts are ------------------------------------------------------------------------------------------ */

static void check_part(const plan *whole, const plan_part *part, int8_t *seen) {
    const plan *p = part->plan;
    for (int i = 0; i < p->n_steps; i++) {
        const plan_step *mine = &p->steps[i], *theirs = &whole->steps[part->steps[i]];
        assert_ptr_equal(mine->name, theirs->name);
        assert_true(i == 0 || part->steps[i] > part->steps[i - 1]);
        assert_true(mine->weight < p->n_weights && mine->cache < p->n_caches && mine->state < p->n_states);
        if (mine->weight != PLAN_NONE) {
            assert_int_equal(part->weights[mine->weight], theirs->weight);
            assert_string_equal(p->weights[mine->weight].name, whole->weights[theirs->weight].name);
        }
        seen[part->steps[i]]++;
    }
    for (int i = 0; i < p->n_weights; i++) assert_true(p->weights[i].is_table || p->weights[i].is_matrix);
}

/* Each step stands in one part, but for those that both need. */
static void check_parts(const plan *p, int first) {
    plan_parts parts;
    nb_error err;
    check_ok(plan_split(p, first, &parts, &err), &err, "split");
    const plan *head = parts.at[PLAN_HEAD].plan, *tail = parts.at[PLAN_TAIL].plan;
    int8_t *seen = calloc((size_t)p->n_steps + 1, 1);
    assert_non_null(seen);
    for (int i = 0; i < 2; i++) check_part(p, &parts.at[i], seen);
    for (int i = 0; i < p->n_steps; i++) {
        const kop op = p->steps[i].op;
        assert_true(seen[i] == 1 || (seen[i] == 2 && (op == KOP_ROPE_TABLE || op == KOP_KV_STORE)));
    }
    assert_int_equal(head->logits, PLAN_NONE);
    assert_int_equal(tail->logits, p->logits);
    assert_true(head->n_results > 0 && head->n_results == tail->n_inputs);
    assert_memory_equal(head->results, tail->inputs, (size_t)tail->n_inputs * sizeof(int));
    int from, end;
    plan_layers(tail, &from, &end);
    if (tail->n_caches + tail->n_states > 0) assert_true(end > 0);
    free(seen);
    plan_parts_free(&parts);
}

/* Layers' needs add up to the plan's, but for what only the beginning and the end have. */
static void check_needs(const plan *p, int n_layers) {
    const executor_options o = {.n_pages = 3, .n_slots = 2, .kv_type = DT_F16};
    plan_bytes all = plan_needs(p, PLAN_NONE, &o), behind = plan_needs(p, n_layers, &o), sum = behind;
    for (int i = 0; i < n_layers; i++) {
        const plan_bytes layer = plan_layer_needs(p, i, &o);
        assert_true(layer.weights > 0 && layer.kv >= 0 && layer.states >= 0);
        sum.weights += layer.weights;
        sum.kv += layer.kv;
        sum.states += layer.states;
    }
    assert_true(behind.weights > 0 && behind.kv == 0 && behind.states == 0);
    assert_int_equal(sum.kv, all.kv);
    assert_int_equal(sum.states, all.states);
    assert_true(sum.weights > 0 && plan_bytes_sum(&all) > 0);
    if (p->n_states == 0) assert_int_equal(all.states, 0);
}

/* ---- Observers ----------------------------------------------------------------------------------------------------
 */

typedef struct watcher {
    const plan *p;
    int n, last;
    bool wrong;
} watcher;

static void look(void *user, int step, bool done, const krow *row, const kcall *call) {
    watcher *w = user;
    (void)row;
    w->wrong |= step < 0 || step >= w->p->n_steps;
    /* a QUANTIZE call belongs to the step that reads its result */
    if (!w->wrong && call->op != KOP_QUANTIZE) w->wrong |= w->p->steps[step].op != call->op;
    w->n += done;
    w->last = step;
}

static void count_call(void *user, int step, const krow *row, const kcall *call) {
    (void)step, (void)row, (void)call;
    ++*(int *)user;
}

static void check_observer(nb_context *c) {
    executor *e = c->executor;
    watcher w = {.p = e->plan};
    record r = {.rows = calloc((size_t)c->model->dims.vocab_size * 4, sizeof(float)),
                .vocab = c->model->dims.vocab_size};
    nb_sequence *s = new_sequence(c);
    nb_error err;
    int n_calls = 0;
    e->observer = look;
    e->observer_user = &w;
    put(s, 1, 0, &r);
    check_ok(e->calls(e, 1, 1, count_call, &n_calls, &err), &err, "calls");
    assert_false(w.wrong);
    assert_int_equal(w.n, n_calls);
    const int last = e->plan->n_steps - 1;
    w.n = 0;
    e->observed_step = last;
    put(s, 1, 0, &r);
    assert_true(w.n > 0 && w.last == last);
    e->observer = NULL;
    e->observed_step = PLAN_NONE;
    if (e->profile) {
        double *seconds = calloc((size_t)n_calls, sizeof *seconds);
        assert_non_null(seconds);
        check_ok(e->profile(e, seconds, n_calls, &err), &err, "profile");
        free(seconds);
    }
    nb_sequence_free(s);
    free(r.rows);
}

/* The row of each step's own call. */
static void note_row(void *user, int step, const krow *row, const kcall *call) {
    if (call->op != KOP_QUANTIZE) ((const char **)user)[step] = row->name;
}

/* Whether both would run the same rows; a table that is a head as well may be packed in one part and not in the other.
 */
static bool same_rows(nb_context *a, nb_context *b) {
    const int n = a->model->plan->n_steps;
    bool same = true;
    nb_error err;
    for (int64_t n_tokens = 1; n_tokens <= N_BATCH; n_tokens += N_BATCH - 1) {
        const char **x = calloc((size_t)n, sizeof *x), **y = calloc((size_t)n, sizeof *y);
        assert_true(x && y);
        check_ok(a->executor->calls(a->executor, n_tokens, 1, note_row, x, &err), &err, "calls");
        check_ok(b->executor->calls(b->executor, n_tokens, 1, note_row, y, &err), &err, "calls");
        for (int i = 0; i < n; i++) same &= (!x[i] && !y[i]) || (x[i] && y[i] && strcmp(x[i], y[i]) == 0);
        free(x);
        free(y);
    }
    return same;
}

/* ---- Models -------------------------------------------------------------------------------------------------------
 */

static void check_model(const char *dir, void *user) {
    int64_t long_one = *(const int64_t *)user;
    static const char *const same[2] = {NULL, NULL}, *const other[2] = {"scalar", NULL};
    nb_model *m;
    nb_error err;
    check_ok(nb_model_open(dir, &m, &err), &err, dir);
    const int n_layers = (int)m->dims.n_layers;
    if (m->dims.context_length && m->dims.context_length < long_one + 20) long_one = m->dims.context_length - 20;
    nb_context *whole = new_context(m, NULL), *c;
    record want = converse(whole, long_one);
    const int each = getenv("NB_SANITIZED") && n_layers > 1 ? n_layers / 2 : 1;
    int n_same = 0;
    check_needs(m->plan, n_layers);
    for (int first = 0; first <= n_layers; first += each) {
        check_parts(m->plan, first);
        c = new_split(m, first, same);
        record got = converse(c, long_one);
        assert_int_equal(got.n, want.n);
        const double off = distance(&want, &got);
        if (same_rows(whole, c) ? memcmp(got.rows, want.rows, (size_t)(got.n * got.vocab) * sizeof(float)) != 0
                                : !(off < 1e-4))
            fail_msg("%s, cut at layer %d: logits are off by %.1e of their spread", dir, first, off);
        n_same += same_rows(whole, c);
        /* a cache that both have counts twice */
        assert_true(c->executor->kv_bytes_per_token >= whole->executor->kv_bytes_per_token);
        assert_int_equal(c->executor->state_bytes, whole->executor->state_bytes);
        if (first == n_layers / 2) check_observer(c);
        free(got.rows);
        nb_context_free(c);
    }
    c = new_split(m, n_layers / 2, other);
    record got = converse(c, long_one);
    if (!(distance(&want, &got) < 1e-3))
        fail_msg("%s: scalar and %s: %.1e", dir, c->executor->device, distance(&want, &got));
    free(got.rows);
    nb_context_free(c);
    if (!m->dims.tied) assert_true(n_same > 0);
    nb_context_free(whole);
    free(want.rows);
    nb_model_free(m);
}

/* A CPU and a GPU that computes as it does: the same bits wherever the cut is, whichever comes first. */
static void check_gpu(const char *dir, void *user) {
    int64_t long_one = *(const int64_t *)user;
    static const char *const ways[][2] = {{"scalar", GPU}, {GPU, "scalar"}, {GPU, GPU}};
    nb_model *m;
    nb_error err;
    check_ok(nb_model_open(dir, &m, &err), &err, dir);
    if (m->dims.context_length && m->dims.context_length < long_one + 20) long_one = m->dims.context_length - 20;
    nb_context *c = new_context(m, "scalar");
    record want = converse(c, long_one);
    nb_context_free(c);
    for (int way = -1; way < 3; way++) {
        const int first = (int)m->dims.n_layers / 2;
        const int before = host_gpu_launches();
        c = way < 0 ? new_on_gpu(m) : new_split(m, first, ways[way]);
        record got = converse(c, long_one);
        assert_true(host_gpu_launches() > before);
        if (memcmp(got.rows, want.rows, (size_t)(got.n * got.vocab) * sizeof(float)) != 0)
            fail_msg("%s on %s: logits are off by %.1e of their spread", dir, c->executor->device,
                     distance(&want, &got));
        if (way >= 0) check_observer(c);
        free(got.rows);
        nb_context_free(c);
        assert_int_equal(host_gpu_used(), 0);
    }
    free(want.rows);
    nb_model_free(m);
}

static void test_goldens(void **state) {
    (void)state;
    assert_true(each_model("tests/data/models", "config.json", check_model, &(int64_t){70}) >= 17);
}

static void test_tiny(void **state) {
    (void)state;
    assert_int_equal(each_model("models/tiny", "config.json", check_model, &(int64_t){150}), 5);
}

static void test_gpu(void **state) {
    (void)state;
    assert_true(each_model("tests/data/models", "config.json", check_gpu, &(int64_t){70}) >= 17);
}

/* ---- Memory that is not enough ------------------------------------------------------------------------------------
 */

/* Makes an executor of the last n layers (all: of the whole plan) on a GPU of so many bytes. */
static nb_status load(nb_model *m, device *d, int n, uint64_t memory, nb_error *err) {
    const executor_options o = {.n_threads = 1, .n_batch = N_BATCH, .n_pages = 40, .n_slots = 4, .kv_type = DT_F32};
    const bool all = n == (int)m->dims.n_layers;
    plan_parts parts = {0};
    executor *e;
    if (!all) check_ok(plan_split(m->plan, (int)m->dims.n_layers - n, &parts, err), err, "split");
    host_gpu_set_memory(memory);
    const plan *p = all ? m->plan : parts.at[PLAN_TAIL].plan;
    nb_status status = host_gpu_backend.executor_new(d, p, m->files, &o, &e, err);
    if (!status) e->free(e);
    plan_parts_free(&parts);
    assert_int_equal(host_gpu_used(), 0);
    return status;
}

/* The number that an error offers. */
static int offered(const nb_error *err) {
    const char *at = strstr(err->text, "--gpu-layers ");
    return at ? atoi(at + strlen("--gpu-layers ")) : 0;
}

static void test_no_memory(void **state) {
    (void)state;
    char dir[1024];
    nb_model *m;
    nb_error err;
    snprintf(dir, sizeof dir, "%s/../../models/tiny/qwen3_5", getenv("NB_TEST_DATA"));
    check_ok(nb_model_open(dir, &m, &err), &err, dir);
    const int n_layers = (int)m->dims.n_layers;
    device *d = open_device(GPU);
    int last = n_layers;
    for (uint64_t memory = 64 << 20; last > 0; memory -= memory / 20) {
        nb_status status = load(m, d, n_layers, memory, &err);
        const int now = status ? offered(&err) : n_layers;
        if (status) assert_int_equal(status, NB_ERR_NO_MEMORY);
        if (now < last && now > 0) { /* as many do fit, and one more does not */
            check_ok(load(m, d, now, memory, &err), &err, "as many as were offered");
            if (now < n_layers - 1) {
                assert_int_equal(load(m, d, now + 1, memory, &err), NB_ERR_NO_MEMORY);
                assert_int_equal(offered(&err), now);
            }
        }
        if (now == 0) assert_non_null(strstr(err.text, "not even one layer"));
        assert_true(now <= last);
        last = now;
    }
    /* an allocation that fails though there seemed to be room */
    for (int n = 0; n < 4; n++) {
        host_gpu_fail_after(n);
        assert_int_equal(load(m, d, n_layers, HOST_GPU_MEMORY, &err), NB_ERR_NO_MEMORY);
        assert_non_null(strstr(err.text, "are free"));
        assert_non_null(strstr(err.text, "no memory for"));
        assert_int_equal(offered(&err), n_layers - 1);
    }
    host_gpu_fail_after(-1);
    host_gpu_set_memory(HOST_GPU_MEMORY);
    check_ok(load(m, d, n_layers, HOST_GPU_MEMORY, &err), &err, "after all");
    d->free(d);
    nb_model_free(m);
}

/* Layers for a GPU that is not there: said, and the CPU has them all. */
static void test_no_gpu(void **state) {
    (void)state;
    char dir[1024];
    nb_model *m;
    nb_error err;
    nb_context *c;
    snprintf(dir, sizeof dir, "%s/../../models/tiny/qwen3_moe", getenv("NB_TEST_DATA"));
    check_ok(nb_model_open(dir, &m, &err), &err, dir);
    nb_context_options o = {.n_threads = 1, .context_length = CONTEXT, .device = "cpu", .gpu_layers = 2};
    check_ok(nb_context_new(m, &o, &c, &err), &err, dir);
    assert_null(c->host);
    nb_context_free(c);
    o.gpu_layers = -2;
    assert_int_equal(nb_context_new(m, &o, &c, &err), NB_ERR_ARGUMENT);
    assert_null(c);
    nb_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens), cmocka_unit_test(test_tiny),
                                       cmocka_unit_test(test_gpu), cmocka_unit_test(test_no_memory),
                                       cmocka_unit_test(test_no_gpu)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
