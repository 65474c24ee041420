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

/* What a pair's other factor counts as. */
static double other_factor(kact act, double z) {
    return act == ACT_SWIGLU_OAI ? clamp(z, -7, 7) + 1 : z;
}

double ref_act_pair(kact act, double x, double z, double *mag) {
    double magnitude, factor = other_factor(act, z), y = ref_act(act, x, &magnitude) * factor;
    if (mag) *mag = magnitude * fabs(factor);
    return y;
}

void ref_act_slopes(kact act, double x, double z, double *by_x, double *by_z) {
    static const double root_2_over_pi = 0.79788456080286535588;
    double magnitude, s = 1, inner = 0; /* act = factor s(argument): its slope is factor's slope s + factor s' */
    *by_z = ref_act(act, x, &magnitude);
    if (act == ACT_SWIGLU_OAI && fabs(z) > 7) *by_z = 0;
    if (act != ACT_NONE) {
        gate g = gate_of(act, x);
        s = ref_sigmoid(g.argument);
        inner = act == ACT_GELU ? 2 * root_2_over_pi * (1 + 3 * 0.044715 * x * x) : act == ACT_SWIGLU_OAI ? 1.702 : 1;
        inner *= g.factor * s * ref_sigmoid(-g.argument);
        if (act == ACT_SIGMOID) s = 0;
    }
    *by_x = (s + inner) * other_factor(act, z);
    if (act == ACT_SWIGLU_OAI && x > 7) *by_x = 0;
}

/* No activation is steeper anywhere than this: silu and swiglu_oai 1.0998, gelu 1.129, sigmoid 1 / 4. */
static double steepest(kact act) {
    return act == ACT_NONE ? 1 : act == ACT_SIGMOID ? 0.25 : 1.13;
}

double ref_act_moved(kact act, double x, double z, double dx, double dz) {
    double magnitude, moved = steepest(act) * dx;
    return fabs(other_factor(act, z)) * moved + (fabs(ref_act(act, x, &magnitude)) + moved) * dz;
}

void ref_act_mul(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->y.rows; t++) {
        for (int64_t j = 0; j < c->y.cols; j++) {
            double x = ref_at(&c->x, t, c->x.cols == 1 ? 0 : j), z = ref_at(&c->z, t, j);
            int64_t at = t * c->y.cols + j;
            y[at] = ref_act_pair(c->act, x, z, mag ? &mag[at] : NULL);
        }
    }
}

/* The magnitudes of the product's two halves come in as far as they move the pair: by its slopes, at most. Where both
 * halves cancel, that both are off at once is what counts: a product of two errors, of k + 32 roundings each (more than
 * src/verify/check_bound.c allows), of which one stays in the magnitude. */
void ref_gate(const kcall *c, const double *p, const double *mag, double *y, double *y_mag) {
    int64_t half = c->w->n / 2, places = ref_product_cols(c) / c->w->n;
    double second = 0x1p-24 * (double)(c->w->k + 32);
    for (int64_t i = 0; i < c->y.rows * places * half; i++) {
        int64_t gate_at = i / half * c->w->n + i % half, up_at = gate_at + half;
        double own, x = p[gate_at], z = p[up_at];
        y[i] = ref_act_pair(c->act, x, z, &own);
        if (!y_mag) continue;
        y_mag[i] = own + ref_act_moved(c->act, x, z, mag[gate_at], 0) + ref_act_moved(c->act, x, z, 0, mag[up_at]) +
                   second * 1.13 * mag[gate_at] * mag[up_at];
    }
}
