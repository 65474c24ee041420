/* SPDX-License-Identifier: Apache-2.0 */
#include "models/hybrid.h"

int hybrid_mlp(const family_input *in, const decoder *d, int layer, int x) {
    return moe_emit(in, d, &((const hybrid *)d->user)->moe, layer, x);
}

int hybrid_linear(const family_input *in, const decoder *d, int layer, int x) {
    return delta_net_emit(in, d, &((const hybrid *)d->user)->delta, layer, x);
}
