/* SPDX-License-Identifier: Apache-2.0
 *
 * Formulas: RoPE, arXiv:2104.09864; linear, arXiv:2306.15595; "llama3", Llama 3.1's model card and config fields; yarn,
 * arXiv:2309.00071; longrope, arXiv:2402.13753 (always with the long factors, as mlx-lm reads them). */
#include "models/rope.h"

#include <math.h>
#include <string.h>

#include "base/json.h"

static const char where[] = "config.json: rope_scaling or rope_parameters";
static const double PI = 3.14159265358979323846;

/* Reading with the builder's sticky error: once something failed the rest does nothing. */
static double number(plan_builder *b, const cJSON *object, const char *field, double min, double fallback,
                     bool required) {
    double v = fallback;
    bool found = false;
    nb_error err;
    nb_status status = json_num(object, field, min, 1e12, &v, &found, where, &err);
    if (status)
        plan_fail(b, status, "%s", err.text);
    else if (!found && required)
        plan_fail(b, NB_ERR_FORMAT, "%s: field \"%s\" is missing", where, field);
    return v;
}

/* base^(2i / dims): positions per radian. */
static double period(double theta, int64_t i, int64_t dims) {
    return pow(theta, (double)(2 * i) / (double)dims);
}

/* Long waves are stretched by factor, short ones kept, those between interpolated. */
static void llama3(plan_builder *b, const cJSON *s, double theta, int64_t dims, double *freqs) {
    const double factor = number(b, s, "factor", 1e-6, 1, true);
    const double low = number(b, s, "low_freq_factor", 1e-6, 1, false);
    const double high = number(b, s, "high_freq_factor", 1e-6, 4, false);
    const double old_context = number(b, s, "original_max_position_embeddings", 1, 8192, false);
    if (high == low) {
        plan_fail(b, NB_ERR_FORMAT, "%s: low_freq_factor and high_freq_factor are both %g", where, low);
        return;
    }
    for (int64_t i = 0; i < dims / 2; i++) {
        double p = period(theta, i, dims), wavelength = 2 * PI * p;
        if (wavelength > old_context / low)
            p *= factor;
        else if (wavelength > old_context / high) {
            double smooth = (old_context / wavelength - low) / (high - low);
            p /= (1 - smooth) / factor + smooth;
        }
        freqs[i] = 1 / p;
    }
}

static double yarn_mscale(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

/* The pair that turns `rotations` times within the original context (section 3.2 of the paper). */
static double yarn_pair(double rotations, double old_context, double theta, int64_t dims) {
    return (double)dims * log(old_context / (rotations * 2 * PI)) / (2 * log(theta));
}

/* "truncate": false keeps the ends of the ramp as they come out (gpt-oss). */
static double yarn(plan_builder *b, const cJSON *s, double theta, int64_t dims, double *freqs) {
    const double factor = number(b, s, "factor", 1e-6, 1, true);
    const double old_context = number(b, s, "original_max_position_embeddings", 1, 4096, false);
    const double beta_fast = number(b, s, "beta_fast", 1e-6, 32, false);
    const double beta_slow = number(b, s, "beta_slow", 1e-6, 1, false);
    const double mscale = number(b, s, "mscale", 0, 1, false);
    const double mscale_all_dim = number(b, s, "mscale_all_dim", 0, 0, false);
    double low = yarn_pair(beta_fast, old_context, theta, dims), high = yarn_pair(beta_slow, old_context, theta, dims);
    if (!cJSON_IsFalse(json_get(s, "truncate"))) {
        low = floor(low);
        high = ceil(high);
    }
    if (low < 0) low = 0;
    if (high > (double)(dims - 1)) high = (double)(dims - 1);
    if (low == high) high += 0.001;
    for (int64_t i = 0; i < dims / 2; i++) {
        double ramp = ((double)i - low) / (high - low);
        double stretched = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        double p = period(theta, i, dims);
        freqs[i] = (1 - stretched) / p + stretched / (factor * p);
    }
    return yarn_mscale(factor, mscale) / yarn_mscale(factor, mscale_all_dim);
}

static double longrope(plan_builder *b, const rope_source *source, double *freqs) {
    const cJSON *s = source->scaling;
    const int64_t dims = source->dims, context = source->context_length;
    const double theta = source->theta;
    const double old_context = number(b, s, "original_max_position_embeddings", 2, (double)source->original_context,
                                      source->original_context == 0);
    const cJSON *factors = json_get(s, "long_factor");
    if (!cJSON_IsArray(factors) || cJSON_GetArraySize(factors) != (int)(dims / 2)) {
        plan_fail(b, NB_ERR_FORMAT,
                  "%s: field \"long_factor\" has %d numbers, expected %lld (half of the rotated columns)", where,
                  cJSON_IsArray(factors) ? cJSON_GetArraySize(factors) : 0, (long long)(dims / 2));
        return 1;
    }
    const cJSON *item = factors->child;
    for (int64_t i = 0; i < dims / 2; i++, item = item->next) {
        if (!cJSON_IsNumber(item) || !(item->valuedouble > 0)) {
            plan_fail(b, NB_ERR_FORMAT, "%s: long_factor[%lld] is not a positive number", where, (long long)i);
            return 1;
        }
        freqs[i] = 1 / (item->valuedouble * period(theta, i, dims));
    }
    double factor = (double)context / old_context;
    return factor <= 1 ? 1 : sqrt(1 + log(factor) / log(old_context));
}

/* The first part of the columns turns, with periods as if all did (Gemma 4); the others stand still. */
static void proportional(plan_builder *b, const rope_source *source, double *freqs) {
    const int64_t dims = source->dims;
    const double factor = number(b, source->scaling, "factor", 1e-6, 1, false);
    const double fallback = source->proportional > 0 ? source->proportional : 1;
    const double part = number(b, source->scaling, "partial_rotary_factor", 0, fallback, false);
    const int64_t rotated = part <= 1 ? (int64_t)((double)dims * part) : 0;
    if (rotated < 2 || rotated % 2 != 0)
        plan_fail(b, NB_ERR_FORMAT,
                  "%s: partial_rotary_factor is %g of a head of %lld columns, expected at most 1 and an even number of "
                  "rotated columns",
                  where, part, (long long)dims);
    for (int64_t i = 0; i < dims / 2; i++)
        freqs[i] = i < rotated / 2 ? 1 / (factor * period(source->theta, i, dims)) : 0;
}

bool rope_init(plan_builder *b, const rope_source *source, rope_params *out) {
    *out = (rope_params){.scale = 1};
    const cJSON *scaling = source->scaling;
    const int64_t dims = source->dims;
    const double theta = source->theta;
    nb_error err;
    const char *type = !scaling && source->proportional > 0 ? "proportional" : "default";
    bool found = false;
    nb_status status = json_str(scaling, "type", &type, &found, where, &err);
    if (!status && !found) status = json_str(scaling, "rope_type", &type, NULL, where, &err);
    if (status) plan_fail(b, status, "%s", err.text);
    if (dims < 2 || dims % 2 != 0)
        plan_fail(b, NB_ERR_FORMAT, "config.json: head_dim is %lld, expected an even number for rope", (long long)dims);
    out->freqs = dims < 2 ? NULL : plan_alloc(b, (size_t)dims / 2, sizeof *out->freqs);
    if (!out->freqs || status) return false;
    for (int64_t i = 0; i < dims / 2; i++) out->freqs[i] = 1 / period(theta, i, dims);

    if (strcmp(type, "linear") == 0) {
        double factor = number(b, scaling, "factor", 1e-6, 1, true);
        for (int64_t i = 0; i < dims / 2; i++) out->freqs[i] /= factor;
    } else if (strcmp(type, "llama3") == 0) {
        llama3(b, scaling, theta, dims, out->freqs);
    } else if (strcmp(type, "yarn") == 0) {
        out->scale = yarn(b, scaling, theta, dims, out->freqs);
    } else if (strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0) {
        out->scale = longrope(b, source, out->freqs);
    } else if (strcmp(type, "proportional") == 0) {
        proportional(b, source, out->freqs);
    } else if (strcmp(type, "default") != 0 && strcmp(type, "mrope") != 0 && strcmp(type, "dynamic") != 0) {
        /* mrope is plain rope for text; dynamic differs from it only beyond max_position_embeddings, where nibble
         * does not go. */
        plan_fail(b, NB_ERR_UNSUPPORTED,
                  "%s: unknown type \"%s\" (known: default, linear, dynamic, llama3, yarn, longrope, proportional, "
                  "mrope)",
                  where, type);
    }
    return plan_ok(b);
}
