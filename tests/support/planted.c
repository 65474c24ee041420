/* SPDX-License-Identifier: Apache-2.0 */
#include "support/planted.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "cpu/cpu.h"
#include "quant/xform.h"

planted planted_now;

/* ---- Rows ------------------------------------------------------------------------------------------------------- */

/* The real row of a copy, which stands at the same place of the copy's registry. */
typedef struct copied_row {
    krow copy;
    const krow *real;
} copied_row;

enum { MAX_ROWS = 1024 };
static copied_row copies[MAX_ROWS];

static const void *weight_of(const kcall *c) {
    if (!kop_is_product(c->op)) return c->weight.data;
    return c->w->experts ? c->w->experts[0].codes : c->w->codes;
}

/* Looks no further than the first byte that differs: behind a short weight there may be an unreadable page. */
static bool is_meant(const kcall *c) {
    const uint8_t *weight = weight_of(c), *meant = planted_now.weight;
    bool same = !meant || weight;
    for (int i = 0; meant && same && i < 16; i++) same = weight[i] == meant[i];
    return same;
}

/* The first group of a form in other numbers. */
static void spoil_form(const kmat *y) {
    float group[512];
    assert_true(y->group <= 512);
    for (int64_t j = 0; j < y->group; j++) group[j] = (float)xform_get(y, 0, j);
    group[0] += group[0] != 0 ? group[0] / 10 : 1;
    if (planted_now.fault == PLANTED_NAN) group[0] = NAN;
    const float sum = xform_sums(y)[0];
    xform_encode(y, 0, 0, group);
    if (planted_now.fault == PLANTED_MIXED) xform_sums(y)[0] = sum * 2 + 1;
}

static void spoil(const kmat *y) {
    float *first = y->data;
    assert_true(y->type == DT_F32 || y->type == DT_XI8X3 || y->type == DT_F16 || y->type == DT_BF16);
    if (y->type == DT_XI8X3) {
        spoil_form(y);
    } else if (y->type != DT_F32) {
        *(uint16_t *)y->data ^= 0x0100;
    } else if (planted_now.fault == PLANTED_NAN) {
        for (int64_t j = 0; j < y->cols; j++) first[j] = NAN;
    } else {
        first[0] += first[0] != 0 ? first[0] / 10 : 1;
    }
}

enum { MANY = 10 };

static void take_time(int times) {
    const double seconds = planted_now.seconds * times;
    const struct timespec t = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    nanosleep(&t, NULL);
}

/* As a driver that compiles. */
static nb_status make_ready(device *d, const krow *row, const kcall *c, void *scratch, nb_error *err) {
    static bool is_ready;
    (void)d, (void)c, (void)scratch, (void)err;
    if (is_ready || !planted_now.row || strcmp(planted_now.row, row->name) != 0) return NB_OK;
    is_ready = true;
    take_time(MANY);
    return NB_OK;
}

static void run_planted(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    const copied_row *r = (const copied_row *)(const void *)row;
    r->real->run(r->real, c, begin, end, scratch);
    if (!is_meant(c)) return;
    if (planted_now.fault == PLANTED_CRASH) raise(SIGSEGV);
    while (planted_now.fault == PLANTED_HANG) pause();
    if (planted_now.fault == PLANTED_SLOW) {
        if (begin == 0) take_time(c->y.rows > 1 ? MANY : 1);
        return;
    }
    if (planted_now.fault != PLANTED_NOTHING && begin == 0) spoil(&c->y);
}

static bool has_fault(const krow *row) {
    if (planted_now.fault == PLANTED_NOTHING) return false;
    return planted_now.row ? strcmp(planted_now.row, row->name) == 0 : row->op == planted_now.op;
}

/* ---- The backend ------------------------------------------------------------------------------------------------ */

static _Atomic int *opened;

void planted_count_reset(void) {
    if (!opened) {
        void *memory = mmap(NULL, sizeof *opened, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(memory != MAP_FAILED);
        opened = memory;
    }
    atomic_store(opened, 0);
}

int planted_count(void) {
    return atomic_load(opened);
}

static int one(void) {
    return 1;
}

static nb_status open_planted(int index, const device_options *options, device **out, nb_error *err) {
    nb_status status = cpu_backend.open(index, options, out, err);
    if (status) return status;
    kregistry *real = (*out)->registry, *some;
    const size_t n = kreg_count(real);
    assert_true(n <= MAX_ROWS);
    must(kreg_new(&some, err), err);
    for (size_t i = 0; i < n; i++) {
        const krow *row = kreg_at(real, i);
        if (has_fault(row)) {
            copies[i] = (copied_row){*row, row};
            copies[i].copy.run = run_planted;
            row = &copies[i].copy;
        }
        must(kreg_add(some, row, 1, err), err);
    }
    kreg_free(real);
    (*out)->registry = some;
    if (planted_now.fault == PLANTED_SLOW) (*out)->prepare = make_ready;
    if (opened) atomic_fetch_add(opened, 1);
    return NB_OK;
}

const backend planted_backend = {.name = "cpu", .count = one, .open = open_planted, .executor_new = cpu_executor_new};

/* ---- A model ---------------------------------------------------------------------------------------------------- */

void must(nb_status status, const nb_error *err) {
    if (status) fail_msg("%s", err->text);
}

void subject_open(subject *s, const char *path) {
    char full[1024];
    nb_error err;
    snprintf(full, sizeof full, "%s%s%s", path[0] == '/' ? "" : getenv("NB_SOURCE_DIR"), path[0] == '/' ? "" : "/",
             path);
    *s = (subject){0};
    must(nb_model_open(full, &s->model, &err), &err);
    const nb_model *m = s->model;
    for (int i = 0; i < 24; i++) s->tokens[i] = (int32_t)((i * 7919 + 1) % m->dims.vocab_size);
    s->prompts[0] = s->tokens;
    s->lengths[0] = 24;
    s->texts[0] = "(made up)";
    s->m = (verify_model){.plan = m->plan,
                          .files = m->files,
                          .executor = {.n_threads = 1, .n_batch = 64, .kv_type = DT_F32},
                          .vocab_size = m->dims.vocab_size,
                          .path = m->dir,
                          .model_type = m->config.model_type,
                          .quantization = m->quantization,
                          .prompts = s->prompts,
                          .prompt_lengths = s->lengths,
                          .prompt_texts = s->texts,
                          .n_prompts = 1};
}

void subject_close(subject *s) {
    nb_model_free(s->model);
}

const char *subject_row(const subject *s, kop op, int *step) {
    const device_options all = {0};
    const char *name = NULL;
    nb_error err;
    device *d;
    used_calls calls = {0};
    must(cpu_backend.open(0, &all, &d, &err), &err);
    const plan_on_device p = {&cpu_backend, d, s->m.plan, s->m.files, s->m.executor};
    must(used_find(&p, &calls, &err), &err);
    for (size_t i = 0; i < calls.n && !name; i++) {
        if (calls.items[i].spec.op != op) continue;
        name = calls.items[i].row->name; /* of a static row */
        if (step) *step = calls.items[i].step;
    }
    assert_non_null(name);
    used_free(&calls);
    d->free(d);
    return name;
}

uint64_t subject_set(const subject *s, const plan *p) {
    uint64_t set;
    nb_error err;
    must(used_set(p, &s->m.executor, &set, &err), &err);
    return set;
}

/* ---- A home ----------------------------------------------------------------------------------------------------- */

static char home[64];

void home_make(void) {
    snprintf(home, sizeof home, "/tmp/nibble-home-XXXXXX");
    assert_non_null(mkdtemp(home));
    setenv("NIBBLE_HOME", home, 1);
    unsetenv("NIBBLE_VERIFY");
    unsetenv("NIBBLE_KERNELS");
    unsetenv("NIBBLE_CPU");
}

void home_remove(void) {
    nb_error err;
    must(dir_remove(home, &err), &err);
}
