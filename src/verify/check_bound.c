/* SPDX-License-Identifier: Apache-2.0
 *
 * The error model. A kernel computes in fp32 (unit roundoff u = 2^-24), in an order of its own. An element that is a
 * sum of terms is off by at most u times the sum over its terms of |term| times the number of roundings on that term's
 * way into the result (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1, first order). So
 *   |err| <= u |y| + u depth magnitude + floor
 * with the depth worked out per operation below: it is what a kernel is allowed, not what one was seen to need. Sums of
 * n terms must run in at least 8 chains (every SIMD kernel's do), or in as many as the row says, which makes
 * n / chains + 8 roundings, adding the chains included. Results near the smallest normal fp32 number may be flushed:
 * the floor. */
#include "verify/check_bound.h"

#include <float.h>
#include <math.h>

#include "quant/xform.h"

static const double unit = 0x1p-24;

int chains_of(const krow *row) {
    return row && row->chains > 0 ? row->chains : 8;
}

static double sum_depth(int chains, int64_t n) {
    return (double)n / chains + 8;
}

/* Of an RMSNORM: the root halves the sum's error; mean, + eps, root, 1 / root, twice a product, the weight's offset. */
static double norm_depth(int chains, int64_t n) {
    return (sum_depth(chains, n) + 3) / 2 + 5;
}

/* exp, + 1, division, product, and one to spare for a reciprocal; where the sigmoid's argument is computed, up to four
 * more on the way to it. */
static double act_depth(kact act) {
    return act == ACT_NONE ? 1 : act == ACT_GELU || act == ACT_SWIGLU_OAI ? 12 : 8;
}

/* x / scale by a reciprocal, tanh as good as exp, a division, * scale */
static const double softcap_depth = 8;

/* Exponentials are within 2 ulp = 4 u; a division or a product adds one rounding. */
static double depth_of(const kcall *c, int chains) {
    switch (c->op) {
    case KOP_EMBED:
        return 3; /* scale * code, + bias, * embedding scale */
    case KOP_RMSNORM:
        return norm_depth(chains, c->x.cols / c->n_parts); /* a residual, a scale: roundings of the result */
    case KOP_MATMUL:
    case KOP_MATMUL_EXPERTS:
        /* Dequantizing 2, the product 1, + bias, + residual; in the activation form the integer sum's conversion in
         * two parts, scale * scale, the group's sum: 8 in all at most. */
        return sum_depth(chains, c->w->k) + 8 + (c->normed ? norm_depth(chains, c->w->k) : 0) +
               (c->act != ACT_NONE ? act_depth(c->act) + 1 : 0);
    case KOP_ROPE_TABLE:
        return 2; /* the angle is a double's; cos or sin to fp32, * scale */
    case KOP_ROPE:
        return 2 + (c->normed ? norm_depth(chains, c->x.cols / c->n_parts) : 0); /* a product, a sum */
    case KOP_KV_STORE:
        return (c->z.data ? 2 : 0) + (c->normed ? norm_depth(chains, c->keys.head_dim) : 0);
    case KOP_ATTENTION: {
        /* A score, its scale, softcap and difference to the largest; exp; then weights are summed one position after
         * the other, rescaled at most once a position; 1 / sum and its product. */
        int64_t keys = 0;
        for (int64_t t = 0; t < c->x.rows; t++) keys = c->positions[t] >= keys ? c->positions[t] + 1 : keys;
        if (c->window > 0 && c->window < keys) keys = c->window;
        return sum_depth(chains, c->keys.head_dim) + 2 + (c->softcap > 0 ? softcap_depth : 0) + 4 + 2 * (double)keys +
               2;
    }
    case KOP_ACT_MUL:
        return act_depth(c->act);
    case KOP_SOFTCAP:
        return softcap_depth;
    case KOP_ROUTE:
        /* Differences, exp, their sum, division, the expert's own weight. */
        return sum_depth(chains, c->normalize ? c->n_chosen : c->x.cols) + 8;
    case KOP_SUM_EXPERTS:
        return (double)c->n_chosen; /* a product, then sums */
    case KOP_CONV1D:
        return (double)c->w->k + act_depth(c->act);
    case KOP_DELTA_GATES:
        /* The decay's exponent: a sum; softplus an exp, a log and a sum; exp(A_log) and its product. Its exp. */
        return 1 + 4 + 4 + 1 + 4 + 1 + 4;
    case KOP_DELTA:
        /* One stage of src/ref/delta.c is at most a normalized key (half a sum of squares, + eps, root, division), a
         * dot product with it, a difference, * beta, and a product and a sum that write the row. */
        return 1.5 * sum_depth(chains, c->key_dim) + 8;
    default:
        return 0; /* ADD and SCALE are rounded once; copies and conversions have one right result */
    }
}

bound_model bound_model_of(const krow *row, const kcall *c) {
    bool copies = c->op == KOP_SELECT_ROWS || c->op == KOP_SELECT_COLS || (c->op == KOP_KV_STORE && !kcall_fused(c));
    if (copies || c->op == KOP_QUANTIZE) return (bound_model){.exact = true}; /* a form's own half step is all */
    return (bound_model){.depth = depth_of(c, chains_of(row)), .results = kcall_fused(c) & KFUSED_SCALE ? 2 : 1};
}

double bound_of(const bound_model *model, double y, double mag) {
    if (model->exact) return 0;
    return unit * model->results * fabs(y) + unit * model->depth * mag + (model->depth + 1) * (double)FLT_MIN;
}

/* The step is the smallest power of two that keeps the codes within XFORM_MAX, so below 2 largest / XFORM_MAX, or the
 * smallest normal number; dividing by it is exact. */
double check_half_step(double largest) {
    return fmax(largest / XFORM_MAX, (double)FLT_MIN / 2);
}
