/* SPDX-License-Identifier: Apache-2.0
 *
 * A launch: its workgroups are taken one after the other by a few threads of this process; the waves of a workgroup run
 * in turn, each to its next barrier or its end. */
#include "gfx/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gfx/count.h"

enum { POISON = 0x7fc0dead, LDS_POISON = 0xbd, MOST_SGPRS_PRELOADED = 32 };
static const uint64_t MOST_STEPS = (uint64_t)1 << 36;

gfx_step gfx_fail(gfx_wave *w, const gfx_op *o, const char *format, ...) {
    gfx_group *g = w->group;
    char text[GFX_INST_TEXT] = "", what[300];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    if (o->inst.spec)
        gfx_print(&o->inst, text);
    else
        snprintf(text, sizeof text, "unknown instruction");
    char words[40] = "";
    for (size_t i = 0, n = 0; i < o->inst.n_words; i++)
        n += (size_t)snprintf(words + n, sizeof words - n, i ? " %08x" : "%08x", o->inst.word[i]);
    snprintf(g->error, sizeof g->error, "kernel %s, block (%u, %u, %u), wave %u, at +0x%llx: %s [%s]: %s",
             g->kernel->name, g->id[0], g->id[1], g->id[2], w->number,
             (unsigned long long)(o->inst.pc - g->kernel->entry), text, words, what);
    return GFX_FAILED;
}

/* ---- The state that a wave begins with ----------------------------------------------------------------------------
 */

typedef struct preload {
    gfx_wave *w;
    unsigned at;
} preload;

static void put_sgpr(preload *p, uint32_t v) {
    if (p->at >= MOST_SGPRS_PRELOADED) return;
    p->w->s[p->at] = v;
    p->w->s_written[p->at++] = (uint32_t)GFX_ALL;
}

static void put_address(preload *p, const void *a) {
    put_sgpr(p, (uint32_t)(uintptr_t)a);
    put_sgpr(p, (uint32_t)((uintptr_t)a >> 32));
}

/* In the order of the bits of the descriptor's properties. */
static void set_sgprs(gfx_wave *w) {
    const gfx_group *g = w->group;
    const gfx_kernel *k = g->kernel;
    preload p = {w, 0};
    if (k->properties & 1) p.at += 4; /* a descriptor of scratch, which this architecture does not use */
    if (k->properties & 2) put_address(&p, &g->run->packet);
    if (k->properties & 4) p.at += 2; /* the queue */
    if (k->properties & 8) put_address(&p, g->run->kernarg);
    if (k->properties & 16) put_address(&p, NULL);
    if (k->properties & 32) p.at += 2;
    if (k->properties & 64) put_sgpr(&p, k->scratch_bytes);
    p.at = k->rsrc2 >> 1 & 31;
    for (int d = 0; d < 3; d++)
        if (k->rsrc2 >> (7 + d) & 1) put_sgpr(&p, g->id[d]);
}

static void set_v0(gfx_wave *w) {
    const uint32_t *block = w->group->run->launch->block;
    const unsigned dims = w->group->kernel->rsrc2 >> 11 & 3;
    for (uint32_t l = 0; l < GFX_LANES; l++) {
        const uint32_t t = w->number * GFX_LANES + l;
        const uint32_t x = t % block[0], y = t / block[0] % block[1], z = t / block[0] / block[1];
        w->v[0][l] = x | (dims >= 1 ? y << 10 : 0) | (dims >= 2 ? z << 20 : 0);
    }
    w->v_written[0] = (uint32_t)GFX_ALL;
}

static void start_wave(gfx_wave *w, gfx_group *g, uint32_t number, uint32_t n_threads) {
    const uint32_t rsrc1 = g->kernel->rsrc1;
    for (unsigned v = 0; v < g->code->n_vgprs; v++) gfx_broadcast(w->v[v], POISON);
    memset(w->v_written, 0, sizeof w->v_written);
    memset(w->v_loading, 0, sizeof w->v_loading);
    memset(w->s_written, 0, sizeof w->s_written);
    memset(w->s_loading, 0, sizeof w->s_loading);
    for (unsigned s = 0; s < GFX_N_SGPRS; s++) w->s[s] = POISON;
    w->vm.begin = w->vm.end = w->vm.n_scalar = 0;
    w->lgkm.begin = w->lgkm.end = w->lgkm.n_scalar = 0;
    w->group = g;
    w->number = number;
    w->n_threads = n_threads;
    w->ended = false;
    w->at = 0;
    w->executed = 0;
    w->scc = 0;
    w->scc_written = false;
    w->mode = (gfx_mode){.round32 = rsrc1 >> 12 & 3,
                         .round16_64 = rsrc1 >> 14 & 3,
                         .denorm32 = rsrc1 >> 16 & 3,
                         .denorm16_64 = rsrc1 >> 18 & 3,
                         .dx10_clamp = rsrc1 >> 21 & 1,
                         .ieee = rsrc1 >> 23 & 1};
    w->s[GFX_NULL] = w->s[GFX_EXEC_HI] = 0;
    w->s[GFX_EXEC_LO] = n_threads >= GFX_LANES ? (uint32_t)GFX_ALL : (1u << n_threads) - 1;
    w->s_written[GFX_NULL] = w->s_written[GFX_EXEC_HI] = w->s_written[GFX_EXEC_LO] = (uint32_t)GFX_ALL;
    set_sgprs(w);
    set_v0(w);
    if (g->kernel->scratch_bytes)
        memset(w->scratch_written, 0, ((size_t)g->kernel->scratch_bytes + 3) / 4 * sizeof *w->scratch_written);
}

/* ---- A workgroup --------------------------------------------------------------------------------------------------
 */

/* To the next barrier, the end or an error. */
static gfx_step run_wave(gfx_wave *w) {
    const gfx_op *ops = w->group->code->ops;
    const uint64_t asked = w->group->run->launch->most_steps, most = asked ? asked : MOST_STEPS;
    uint64_t *counts = w->group->counts, executed = 0;
    int step;
    do {
        const gfx_op *o = &ops[w->at++];
        executed++;
        if (counts) counts[o - ops]++;
        step = o->run(w, o);
        if (executed == most && step == GFX_GO_ON) step = (int)gfx_fail(w, o, "the wave does not end");
    } while (step == GFX_GO_ON);
    w->executed += executed;
    return (gfx_step)step;
}

static void next_epoch(gfx_group *g) {
    if (++g->epoch >> 22 == 0) return;
    memset(g->lds_use, 0, sizeof g->lds_use);
    g->epoch = 1;
}

static void start_group(gfx_group *g, uint64_t block) {
    const gfx_launch *l = g->run->launch;
    const uint32_t n_threads = l->block[0] * l->block[1] * l->block[2];
    g->id[0] = (uint32_t)(block % l->grid[0]);
    g->id[1] = (uint32_t)(block / l->grid[0] % l->grid[1]);
    g->id[2] = (uint32_t)(block / l->grid[0] / l->grid[1]);
    memset(g->lds, LDS_POISON, g->lds_bytes);
    memset(g->lds_written, 0, (g->lds_bytes + 3) / 4);
    next_epoch(g);
    for (uint32_t i = 0; i < g->n_waves; i++) start_wave(g->waves[i], g, i, n_threads - i * GFX_LANES);
}

static bool run_group(gfx_group *g, uint64_t block) {
    uint32_t left = g->n_waves;
    start_group(g, block);
    while (left) {
        for (uint32_t i = 0; i < g->n_waves; i++) {
            gfx_wave *w = g->waves[i];
            if (w->ended) continue;
            const gfx_step step = run_wave(w);
            if (step == GFX_FAILED) return false;
            w->ended = step == GFX_END;
            left -= w->ended;
        }
        next_epoch(g);
    }
    for (uint32_t i = 0; i < g->n_waves; i++) gfx_count_waves(g->waves[i]->executed);
    return true;
}

/* ---- Groups are kept from launch to launch ------------------------------------------------------------------------
 */

enum { MOST_KEPT = 64 };
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static gfx_group *kept[MOST_KEPT];
static int n_kept;

static void group_free(gfx_group *g) {
    for (uint32_t i = 0; g && i < GFX_MOST_WAVES; i++) {
        if (!g->waves[i]) continue;
        free(g->waves[i]->scratch);
        free(g->waves[i]->scratch_written);
        free(g->waves[i]);
    }
    free(g);
}

/* What is kept is no leak: it is given back when the program ends. */
__attribute__((destructor)) static void free_kept(void) {
    while (n_kept > 0) group_free(kept[--n_kept]);
}

static gfx_group *group_take(void) {
    pthread_mutex_lock(&kept_lock);
    gfx_group *g = n_kept > 0 ? kept[--n_kept] : NULL;
    pthread_mutex_unlock(&kept_lock);
    if (g) return g;
    g = aligned_alloc(64, (sizeof *g + 63) & ~(size_t)63);
    if (g) memset(g, 0, sizeof *g);
    return g;
}

static void group_give(gfx_group *g) {
    pthread_mutex_lock(&kept_lock);
    if (n_kept < MOST_KEPT) {
        kept[n_kept++] = g;
        g = NULL;
    }
    pthread_mutex_unlock(&kept_lock);
    group_free(g);
}

static bool room_for_scratch(gfx_group *g, size_t rows) {
    if (rows <= g->scratch_rows) return true;
    g->scratch_rows = 0;
    for (uint32_t i = 0; i < GFX_MOST_WAVES && g->waves[i]; i++) {
        gfx_wave *w = g->waves[i];
        free(w->scratch);
        free(w->scratch_written);
        w->scratch = calloc(rows, GFX_LANES * sizeof *w->scratch);
        w->scratch_written = calloc(rows, sizeof *w->scratch_written);
        if (!w->scratch || !w->scratch_written) return false;
    }
    g->scratch_rows = rows;
    return true;
}

/* Waves, and for each room for `rows` words of scratch. */
static bool room_for(gfx_group *g, uint32_t n_waves, size_t rows) {
    for (uint32_t i = 0; i < n_waves; i++) {
        if (g->waves[i]) continue;
        g->scratch_rows = 0; /* the new one has none */
        g->waves[i] = aligned_alloc(64, (sizeof **g->waves + 63) & ~(size_t)63);
        if (!g->waves[i]) return false;
        memset(g->waves[i], 0, sizeof **g->waves);
    }
    return room_for_scratch(g, rows);
}

/* ---- A thread of the launch ---------------------------------------------------------------------------------------
 */

static void report(gfx_run_state *r, const char *error) {
    pthread_mutex_lock(&r->lock);
    if (!atomic_exchange(&r->failed, true)) snprintf(r->error, sizeof r->error, "%s", error);
    pthread_mutex_unlock(&r->lock);
}

static bool prepare_group(gfx_group *g, gfx_run_state *r) {
    const gfx_launch *l = r->launch;
    g->run = r;
    g->kernel = l->kernel;
    g->code = r->code;
    g->lds_bytes = l->kernel->lds_bytes + l->dynamic_lds;
    g->n_waves = (l->block[0] * l->block[1] * l->block[2] + GFX_LANES - 1) / GFX_LANES;
    g->extra[0] = (gfx_range){(uintptr_t)r->kernarg, (uintptr_t)r->kernarg + l->kernel->kernarg_size, NULL};
    g->extra[1] = (gfx_range){(uintptr_t)&r->packet, (uintptr_t)(&r->packet + 1), NULL};
    if (!room_for(g, g->n_waves, ((size_t)l->kernel->scratch_bytes + 3) / 4)) return false;
    for (uint32_t i = 0; i < g->n_waves; i++) memset(g->waves[i]->range, 0, sizeof g->waves[i]->range);
    g->counts = gfx_counts_new(r->code);
    return true;
}

static void *run_blocks(void *state) {
    gfx_run_state *r = state;
    gfx_group *g = group_take();
    if (!g || !prepare_group(g, r)) {
        report(r, "out of memory for a workgroup");
        group_free(g);
        return NULL;
    }
    while (!atomic_load_explicit(&r->failed, memory_order_relaxed)) {
        const uint64_t block = atomic_fetch_add(&r->next_block, 1);
        if (block >= r->n_blocks) break;
        if (!run_group(g, block)) report(r, g->error);
    }
    gfx_counts_add(r->code, g->counts);
    g->counts = NULL;
    group_give(g);
    return NULL;
}

static void run_threads(gfx_run_state *r) {
    enum { MOST = 64 };
    pthread_t threads[MOST];
    unsigned n = r->launch->threads, started = 0;
    if (n == 0) n = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    if (n > MOST) n = MOST;
    if (n > r->n_blocks) n = (unsigned)r->n_blocks;
    while (started + 1 < n && pthread_create(&threads[started], NULL, run_blocks, r) == 0) started++;
    run_blocks(r);
    for (unsigned i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

/* ---- The launch ---------------------------------------------------------------------------------------------------
 */

static bool fail(char *err, size_t err_size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool fail(char *err, size_t err_size, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(err, err_size, format, list);
    va_end(list);
    return false;
}

static bool check(const gfx_launch *l, char *err, size_t n) {
    const gfx_kernel *k = l->kernel;
    uint64_t threads = 1;
    for (int d = 0; d < 3; d++) {
        if (l->block[d] == 0 || l->block[d] > GFX_MOST_THREADS || l->grid[d] == 0)
            return fail(err, n, "kernel %s: a launch of %u x %u x %u blocks of %u x %u x %u threads", k->name,
                        l->grid[0], l->grid[1], l->grid[2], l->block[0], l->block[1], l->block[2]);
        threads *= l->block[d];
    }
    if (threads > GFX_MOST_THREADS || (k->most_threads && threads > k->most_threads))
        return fail(err, n, "kernel %s: blocks of %llu threads, the kernel takes %u", k->name,
                    (unsigned long long)threads, k->most_threads);
    if (!k->wave32) return fail(err, n, "kernel %s is made for waves of 64, which are not implemented", k->name);
    if (k->lds_bytes + (uint64_t)l->dynamic_lds > GFX_LDS_MAX)
        return fail(err, n, "kernel %s: %u bytes of LDS and %u dynamic ones; a workgroup has %d", k->name, k->lds_bytes,
                    l->dynamic_lds, GFX_LDS_MAX);
    if (k->properties >> 11 & 1) return fail(err, n, "kernel %s has a stack of unknown size", k->name);
    if (l->kernarg_size < k->explicit_size || l->kernarg_size > k->kernarg_size)
        return fail(err, n, "kernel %s: %zu bytes of arguments, the kernel takes %u", k->name, l->kernarg_size,
                    k->explicit_size);
    return true;
}

static uint64_t hidden_value(const gfx_launch *l, const gfx_arg *a) {
    switch (a->kind) {
    case GFX_ARG_BLOCKS:
        return l->grid[a->dim];
    case GFX_ARG_GROUP_SIZE:
        return l->block[a->dim];
    case GFX_ARG_GRID_DIMS:
        return l->grid[2] * l->block[2] > 1 ? 3 : l->grid[1] * l->block[1] > 1 ? 2 : 1;
    case GFX_ARG_DYNAMIC_LDS:
        return l->dynamic_lds;
    default:
        return 0;
    }
}

static void fill_kernarg(const gfx_launch *l, uint8_t *to) {
    const gfx_kernel *k = l->kernel;
    memset(to, 0, k->kernarg_size);
    if (l->kernarg_size)
        memcpy(to, l->kernarg, l->kernarg_size < k->explicit_size ? l->kernarg_size : k->explicit_size);
    for (uint32_t i = 0; i < k->n_args; i++) {
        const uint64_t v = hidden_value(l, &k->args[i]);
        if (k->args[i].kind > GFX_ARG_POINTER)
            memcpy(to + k->args[i].offset, &v, k->args[i].size < 8 ? k->args[i].size : 8);
    }
}

static void state_free(gfx_run_state *r) {
    if (!r) return;
    pthread_mutex_destroy(&r->lock);
    free(r->kernarg);
    free(r);
}

/* NULL: no memory. */
static gfx_run_state *state_new(const gfx_launch *l, const gfx_code *code) {
    const gfx_kernel *k = l->kernel;
    gfx_run_state *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    pthread_mutex_init(&r->lock, NULL);
    r->launch = l;
    r->code = code;
    r->kernarg = malloc((size_t)k->kernarg_size + 1);
    if (!r->kernarg) {
        state_free(r);
        return NULL;
    }
    fill_kernarg(l, r->kernarg);
    r->n_blocks = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2];
    for (int d = 0; d < 3; d++) {
        r->packet.group_size[d] = (uint16_t)l->block[d];
        r->packet.grid_size[d] = l->grid[d] * l->block[d];
    }
    r->packet.setup = 3;
    r->packet.private_size = k->scratch_bytes;
    r->packet.group_segment = k->lds_bytes + l->dynamic_lds;
    r->packet.kernarg = (uint64_t)(uintptr_t)r->kernarg;
    return r;
}

bool gfx_run(const gfx_launch *l, char *err, size_t err_size) {
    if (!check(l, err, err_size)) return false;
    const gfx_code *code = gfx_code_of(l->object, l->kernel, err, err_size);
    if (!code) return false;
    gfx_run_state *r = state_new(l, code);
    if (!r) return fail(err, err_size, "out of memory for a launch");
    gfx_ranges_hold();
    run_threads(r);
    gfx_ranges_let_go();
    const bool ok = !atomic_load(&r->failed);
    fail(err, err_size, "%s", r->error); /* "": none */
    state_free(r);
    return ok;
}
