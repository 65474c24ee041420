/* SPDX-License-Identifier: Apache-2.0
 *
 * What steers a wave: branches, barriers, waits, the end, the mode register and the program counter. */
#include <string.h>

#include "gfx/object.h"
#include "gfx/run.h"
#include "gfx/scalar.h"
#include "gfx/wave.h"

static int run_nothing(gfx_wave *w, const gfx_op *o) {
    (void)w, (void)o;
    return GFX_GO_ON;
}

static int run_end(gfx_wave *w, const gfx_op *o) {
    (void)w, (void)o;
    return GFX_END;
}

static int run_barrier(gfx_wave *w, const gfx_op *o) {
    (void)w, (void)o;
    return GFX_BARRIER;
}

static int run_bad_end(gfx_wave *w, const gfx_op *o) {
    return (int)gfx_fail(w, o, "runs into what is no code");
}

static int run_trap(gfx_wave *w, const gfx_op *o) {
    return (int)gfx_fail(w, o, "the kernel stops by itself");
}

/* ---- Branches -----------------------------------------------------------------------------------------------------
 */

static int jump(gfx_wave *w, const gfx_op *o) {
    if (o->target == UINT32_MAX) return (int)gfx_fail(w, o, "jumps to where no instruction begins");
    w->at = o->target;
    return GFX_GO_ON;
}

static int undefined_branch(gfx_wave *w, const gfx_op *o) {
    return (int)gfx_fail(w, o, "the branch depends on what was never written");
}

static int run_branch(gfx_wave *w, const gfx_op *o) {
    return jump(w, o);
}

static int run_scc0(gfx_wave *w, const gfx_op *o) {
    if (!w->scc_written) return undefined_branch(w, o);
    return w->scc ? GFX_GO_ON : jump(w, o);
}

static int run_scc1(gfx_wave *w, const gfx_op *o) {
    if (!w->scc_written) return undefined_branch(w, o);
    return w->scc ? jump(w, o) : GFX_GO_ON;
}

/* Known when a bit that is set is, or when all are. */
static bool vcc_known(const gfx_wave *w) {
    return w->s[GFX_VCC_LO] & w->s_written[GFX_VCC_LO] || w->s_written[GFX_VCC_LO] == (uint32_t)GFX_ALL;
}

static int run_vccz(gfx_wave *w, const gfx_op *o) {
    if (w->s_loading[GFX_VCC_LO]) return (int)gfx_fail(w, o, "reads VCC, which is still being loaded");
    if (!vcc_known(w)) return undefined_branch(w, o);
    return w->s[GFX_VCC_LO] ? GFX_GO_ON : jump(w, o);
}

static int run_vccnz(gfx_wave *w, const gfx_op *o) {
    if (w->s_loading[GFX_VCC_LO]) return (int)gfx_fail(w, o, "reads VCC, which is still being loaded");
    if (!vcc_known(w)) return undefined_branch(w, o);
    return w->s[GFX_VCC_LO] ? jump(w, o) : GFX_GO_ON;
}

static int run_execz(gfx_wave *w, const gfx_op *o) {
    return gfx_exec(w) ? GFX_GO_ON : jump(w, o);
}

static int run_execnz(gfx_wave *w, const gfx_op *o) {
    return gfx_exec(w) ? jump(w, o) : GFX_GO_ON;
}

/* ---- The program counter: addresses as the image lies in this process ----------------------------------------------
 */

static uint64_t address_of(const gfx_wave *w, uint64_t pc) {
    return (uint64_t)(uintptr_t)w->group->run->launch->object->image + pc;
}

static void set_pair(gfx_wave *w, unsigned at, uint64_t v) {
    gfx_set_scalar(w, at, (uint32_t)v, (uint32_t)GFX_ALL);
    if (at != GFX_NULL) gfx_set_scalar(w, at + 1, (uint32_t)(v >> 32), (uint32_t)GFX_ALL);
}

static int run_getpc(gfx_wave *w, const gfx_op *o) {
    set_pair(w, o->inst.dst, address_of(w, o->inst.pc + 4));
    return GFX_GO_ON;
}

static int run_setpc(gfx_wave *w, const gfx_op *o) {
    uint32_t half[2], written[2];
    for (unsigned k = 0; k < 2; k++)
        if (!gfx_scalar(w, o->inst.src[0] + k, 0, &half[k], &written[k]) || written[k] != (uint32_t)GFX_ALL)
            return (int)gfx_fail(w, o, "jumps to an address that was never written or is still being loaded");
    const gfx_code *c = w->group->code;
    const uint64_t word = (((uint64_t)half[1] << 32 | half[0]) - address_of(w, c->begin)) / 4;
    if (strcmp(o->inst.spec->name, "s_swappc_b64") == 0) set_pair(w, o->inst.dst, address_of(w, o->inst.pc + 4));
    if (word >= c->n_words || c->index[word] == UINT32_MAX)
        return (int)gfx_fail(w, o, "jumps out of the kernel: functions that are called are not implemented");
    w->at = c->index[word];
    return GFX_GO_ON;
}

static int run_call(gfx_wave *w, const gfx_op *o) {
    set_pair(w, o->inst.dst, address_of(w, o->inst.pc + 4));
    return jump(w, o);
}

/* ---- Waits --------------------------------------------------------------------------------------------------------
 */

static int run_waitcnt(gfx_wave *w, const gfx_op *o) {
    gfx_wait(w, &w->vm, o->inst.imm >> 10 & 63);
    gfx_wait(w, &w->lgkm, o->inst.imm >> 4 & 63);
    return GFX_GO_ON;
}

static int run_wait_vm(gfx_wave *w, const gfx_op *o) {
    gfx_wait(w, &w->vm, o->inst.imm);
    return GFX_GO_ON;
}

static int run_wait_lgkm(gfx_wave *w, const gfx_op *o) {
    gfx_wait(w, &w->lgkm, o->inst.imm);
    return GFX_GO_ON;
}

/* ---- The mode register --------------------------------------------------------------------------------------------
 */

enum { HW_REG_MODE = 1 };

static uint32_t mode_bits(const gfx_mode *m) {
    return (uint32_t)(m->round32 | m->round16_64 << 2 | m->denorm32 << 4 | m->denorm16_64 << 6 | m->dx10_clamp << 8 |
                      m->ieee << 9);
}

static gfx_mode mode_of(uint32_t b) {
    return (gfx_mode){.round32 = b & 3,
                      .round16_64 = b >> 2 & 3,
                      .denorm32 = b >> 4 & 3,
                      .denorm16_64 = b >> 6 & 3,
                      .dx10_clamp = b >> 8 & 1,
                      .ieee = b >> 9 & 1};
}

static int run_getreg(gfx_wave *w, const gfx_op *o) {
    const unsigned at = o->inst.imm >> 6 & 31, n = (o->inst.imm >> 11 & 31) + 1;
    if ((o->inst.imm & 63) != HW_REG_MODE) return (int)gfx_fail(w, o, "this hardware register is not implemented");
    const uint64_t mask = (1ull << n) - 1;
    gfx_set_scalar(w, o->inst.dst, (uint32_t)(mode_bits(&w->mode) >> at & mask), (uint32_t)GFX_ALL);
    return GFX_GO_ON;
}

static int run_setreg(gfx_wave *w, const gfx_op *o) {
    const unsigned at = o->inst.imm >> 6 & 31, n = (o->inst.imm >> 11 & 31) + 1;
    uint32_t value = o->inst.literal, written = (uint32_t)GFX_ALL;
    if ((o->inst.imm & 63) != HW_REG_MODE) return (int)gfx_fail(w, o, "this hardware register is not implemented");
    if (!o->inst.has_literal && (!gfx_scalar(w, o->inst.dst, 0, &value, &written) || written != (uint32_t)GFX_ALL))
        return (int)gfx_fail(w, o, "the mode would depend on what was never written");
    const uint32_t mask = (uint32_t)(((1ull << n) - 1) << at);
    w->mode = mode_of((mode_bits(&w->mode) & ~mask) | (value << at & mask));
    return GFX_GO_ON;
}

static int run_round_mode(gfx_wave *w, const gfx_op *o) {
    w->mode.round32 = o->inst.imm & 3;
    w->mode.round16_64 = o->inst.imm >> 2 & 3;
    return GFX_GO_ON;
}

static int run_denorm_mode(gfx_wave *w, const gfx_op *o) {
    w->mode.denorm32 = o->inst.imm & 3;
    w->mode.denorm16_64 = o->inst.imm >> 2 & 3;
    return GFX_GO_ON;
}

static int run_sendmsg(gfx_wave *w, const gfx_op *o) {
    if ((o->inst.imm & 0xff) == 3) return GFX_GO_ON; /* registers are given back early */
    return (int)gfx_fail(w, o, "this message is not implemented");
}

bool gfx_lower_control(gfx_code *c, gfx_op *o) {
    (void)c;
    static const struct {
        const char *name;
        int (*run)(gfx_wave *w, const gfx_op *o);
    } rows[] = {{"s_nop", run_nothing},
                {"s_sleep", run_nothing},
                {"s_setprio", run_nothing},
                {"s_set_inst_prefetch_distance", run_nothing},
                {"s_clause", run_nothing},
                {"s_delay_alu", run_nothing},
                {"s_waitcnt_depctr", run_nothing},
                {"s_waitcnt_vscnt", run_nothing},
                {"s_waitcnt_expcnt", run_nothing},
                {"s_wait_event", run_nothing},
                {"s_wait_idle", run_nothing},
                {"s_icache_inv", run_nothing},
                {"s_version", run_nothing},
                {"s_singleuse_vdst", run_nothing},
                {"s_waitcnt", run_waitcnt},
                {"s_waitcnt_vmcnt", run_wait_vm},
                {"s_waitcnt_lgkmcnt", run_wait_lgkm},
                {"s_endpgm", run_end},
                {"s_barrier", run_barrier},
                {"s_code_end", run_bad_end},
                {"s_trap", run_trap},
                {"s_branch", run_branch},
                {"s_cbranch_scc0", run_scc0},
                {"s_cbranch_scc1", run_scc1},
                {"s_cbranch_vccz", run_vccz},
                {"s_cbranch_vccnz", run_vccnz},
                {"s_cbranch_execz", run_execz},
                {"s_cbranch_execnz", run_execnz},
                {"s_getpc_b64", run_getpc},
                {"s_setpc_b64", run_setpc},
                {"s_swappc_b64", run_setpc},
                {"s_call_b64", run_call},
                {"s_getreg_b32", run_getreg},
                {"s_setreg_b32", run_setreg},
                {"s_setreg_imm32_b32", run_setreg},
                {"s_round_mode", run_round_mode},
                {"s_denorm_mode", run_denorm_mode},
                {"s_sendmsg", run_sendmsg}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, o->inst.spec->name) != 0) continue;
        o->run = rows[i].run;
        return true;
    }
    return false;
}
