/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of faults: one line each. */
#include "support/faults/faults.h"

#define WRONG      (1u << FOUND_WRONG_VALUE)
#define UNWRITTEN  (1u << FOUND_UNWRITTEN)
#define OUTSIDE    (1u << FOUND_WROTE_OUTSIDE)
#define READ       (1u << FOUND_READ_OUTSIDE)
#define UNSTABLE   (1u << FOUND_UNSTABLE)
#define BATCH      (1u << FOUND_BATCH)
#define INACCURATE (1u << FOUND_INACCURATE)
#define CRASHED    (1u << FOUND_CRASHED)
#define HUNG       (1u << FOUND_HUNG)

#define PRODUCTS(what) "matmul." what ",matmul_experts." what

/* clang-format off */
const fault faults[] = {
    {"duplicated-stores", PRODUCTS("affine4.*"), VERIFY_KERNELS, AT_LOAD, WRONG, NULL, fault_duplicated_stores, "demo", "the last 4 of each 8 dequantized weights are the first 4 again: the bug report's vector stores"},
    {"half-loads", PRODUCTS("affine8.*"), VERIFY_KERNELS, AT_LOAD, WRONG, NULL, fault_half_loads, "qwen3_moe", "16-byte loads of 8-bit codes repeat their first half"},
    {"bias-left-out", "matmul_experts.affine4.*", VERIFY_KERNELS, AT_LOAD, WRONG, NULL, fault_without_biases, "qwen3_moe", "the groups' biases are not added"},
    {"bf16-as-fp16", PRODUCTS("affine*.g64.bf16.*"), VERIFY_KERNELS, AT_LOAD, WRONG, NULL, fault_scales_as_f16, "qwen3_moe", "bf16 scales and biases are read as fp16"},
    {"one-group-off", PRODUCTS("affine4.g64.*"), VERIFY_KERNELS, AT_LOAD, WRONG, NULL, fault_next_group, "qwen3_moe", "scales and biases are those of the next group"},
    {"last-tile-missing", "matmul.affine4.*", VERIFY_KERNELS, AT_LOAD, WRONG | UNWRITTEN, fault_no_last_tile, NULL, "qwen3_moe", "the last tile of 8 tokens is not computed unless it is full"},
    {"writes-past-end", "act_mul.*", VERIFY_KERNELS, AT_LOAD, OUTSIDE, fault_writes_past_end, NULL, "qwen3_moe", "one element behind the output is written"},
    {"reads-past-end", "rmsnorm.*", VERIFY_KERNELS, AT_LOAD, READ, fault_reads_past_end, NULL, "qwen3_moe", "one element behind the input is read"},
    {"unwritten-element", "embed.*", VERIFY_KERNELS, AT_LOAD, UNWRITTEN, fault_unwritten_element, NULL, "qwen3_moe", "the last element of the output is never written"},
    {"one-in-a-million", "rmsnorm.*", VERIFY_KERNELS, FULL, WRONG, fault_one_in_a_million, NULL, "qwen3_moe", "one element in a million is wrong"},
    {"single-token", "matmul.affine4.*", VERIFY_KERNELS, AT_LOAD, WRONG | BATCH, fault_single_token, NULL, "qwen3_moe", "wrong for M = 1 only"},
    {"many-tokens", "matmul.affine4.*", VERIFY_KERNELS, AT_LOAD, WRONG | BATCH, fault_many_tokens, NULL, "qwen3_moe", "wrong for M >= 13 only"},
    {"int16-outputs", PRODUCTS("affine8.*"), VERIFY_PATHS, QUICK, WRONG, fault_int16_outputs, NULL, "demo", "outputs from 2^15 on are those of 2^15 before: only a real vocabulary has as many"},
    {"uint8-tokens", "embed.*", VERIFY_PLAN, QUICK, WRONG, fault_uint8_tokens, NULL, "qwen3_moe", "token numbers are taken modulo 256: made-up tables have fewer rows"},
    {"int32-offsets", "embed.*,select_rows.*,kv_store.*,attention.*", VERIFY_KERNELS, QUICK, WRONG | UNWRITTEN, fault_int32_offsets, NULL, "qwen3_moe", "offsets past 2^31 elements wrap"},
    {"truncates", "matmul.affine4.g64.*", VERIFY_KERNELS, AT_LOAD, INACCURATE, fault_truncates, NULL, "qwen3_moe", "all elements are a little too small, each within what is allowed"},
    {"jitter", "matmul.affine4.g64.*", VERIFY_KERNELS, AT_LOAD, UNSTABLE, fault_jitter, NULL, "qwen3_moe", "a race: differs from run to run, within what rounding explains"},
    {"lost-updates", "sum_experts.*", VERIFY_KERNELS, AT_LOAD, WRONG | UNSTABLE, fault_lost_updates, NULL, "qwen3_moe", "a race: two threads add to the same sums"},
    {"zero-row-is-nan", "rmsnorm.*", VERIFY_KERNELS, AT_LOAD, WRONG, fault_zero_row_is_nan, NULL, "qwen3_moe", "a row of zeros gives NaN"},
    {"rope-frequency", "rope_table.*", VERIFY_KERNELS, AT_LOAD, WRONG, fault_rope_frequency, NULL, "qwen3_moe", "the rope table is off by one frequency"},
    {"mask", "attention.*", VERIFY_KERNELS, AT_LOAD, WRONG, fault_mask, NULL, "qwen3_moe", "the causal mask is off by one: a token does not see itself"},
    {"one-expert-less", "route.*", VERIFY_KERNELS, AT_LOAD, WRONG, fault_one_expert_less, NULL, "qwen3_moe", "the router picks k - 1 experts"},
    {"crash", "rope.*", VERIFY_KERNELS, AT_LOAD, CRASHED, fault_crashes, NULL, "qwen3_moe", "the kernel crashes"},
    {"hang", "kv_store.*", VERIFY_KERNELS, AT_LOAD, HUNG, fault_hangs, NULL, "qwen3_moe", "the kernel never ends"},
    {0},
};
/* clang-format on */
