/* SPDX-License-Identifier: Apache-2.0
 *
 * ACT_MUL: a gate's activation times something: the gated units of Shazeer 2020 ("GLU Variants Improve Transformer")
 * and plain gates. Every activation but "none" is a factor x or 1 times a sigmoid: silu        x sigmoid(x) gelu x / 2
 * (1 + tanh(u)), which is x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3) (Hendrycks and Gimpel 2016, section 2,
 * the approximation by tanh) sigmoid     sigmoid(x) swiglu_oai  a sigmoid(1.702 a), a = min(x, 7); and the other factor
 * is clamp(z, -7, 7) + 1 (gpt-oss) */
#include "ref/ref_ops.h"

#include <math.h>

/* A sigmoid of an argument that may be rounded: an error of e |argument| there changes the result relatively by up to
 * e |argument| (1 - sigmoid). */
typedef struct gate {
    double factor, argument;
    bool rounded; /* the argument is computed, not given */
} gate;

/* Within [low, high]; NaN stays NaN, as in mlx, where fmin would make a number of it. */
static double clamp(double x, double low, double high) {
    return x > high ? high : x < low ? low : x;
}

static gate gate_of(kact act, double x) {
    static const double root_2_over_pi = 0.79788456080286535588;
    switch (act) {
    case ACT_SILU:
        return (gate){x, x, false};
    case ACT_GELU:
        return (gate){x, 2 * root_2_over_pi * (x + 0.044715 * x * x * x), true};
    case ACT_SIGMOID:
        return (gate){1, x, false};
    default:
        return (gate){clamp(x, -INFINITY, 7), 1.702 * clamp(x, -INFINITY, 7), true};
    }
}

double ref_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

double ref_act(kact act, double x, double *mag) {
    if (act == ACT_NONE) {
        *mag = fabs(x);
        return x;
    }
    gate g = gate_of(act, x);
    double y = g.factor * ref_sigmoid(g.argument);
    *mag = fabs(y) + REF_UNDERFLOW * fabs(g.factor);
    if (g.rounded) *mag += fabs(y * g.argument) * ref_sigmoid(-g.argument);
    return y;
}

void ref_act_mul(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->y.rows; t++) {
        for (int64_t j = 0; j < c->y.cols; j++) {
            double x = ref_at(&c->x, t, c->x.cols == 1 ? 0 : j), z = ref_at(&c->z, t, j), magnitude;
            if (c->act == ACT_SWIGLU_OAI) z = clamp(z, -7, 7) + 1;
            int64_t at = t * c->y.cols + j;
            y[at] = ref_act(c->act, x, &magnitude) * z;
            if (mag) mag[at] = magnitude * fabs(z);
        }
    }
}
