/* SPDX-License-Identifier: Apache-2.0
 *
 * A spec as one line of text, and the place of a fault. */
#include "verify/check_case.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const pattern_names[CHECK_PATTERNS] = {
    [CHECK_NORMAL] = "normal",
    [CHECK_SMALL] = "small",
    [CHECK_LARGE] = "large",
    [CHECK_WIDE] = "wide",
    [CHECK_ZERO] = "zero",
    [CHECK_ONE_HOT] = "one-hot",
    [CHECK_SIGNED_ZERO] = "signed-zero",
    [CHECK_EXTREME] = "extreme",
    [CHECK_SUBNORMAL] = "subnormal",
    [CHECK_ALTERNATE] = "alternate",
};

static void put_number(char *text, size_t size, size_t *at, const char *name, int64_t value) {
    if (value == 0 || *at >= size) return;
    int n = snprintf(text + *at, size - *at, " %s=%" PRId64, name, value);
    *at += n > 0 ? (size_t)n : 0;
}

static void put_type(char *text, size_t size, size_t *at, const char *name, dtype type) {
    if (type == DT_NONE || *at >= size) return;
    int n = snprintf(text + *at, size - *at, " %s=%s", name, dtype_name(type));
    *at += n > 0 ? (size_t)n : 0;
}

void check_spec_text(const check_spec *s, char *text, size_t size) {
    size_t at = (size_t)snprintf(text, size, "%s", kop_name(s->op));
    put_number(text, size, &at, "rows", s->rows);
    put_number(text, size, &at, "cols", s->cols);
    put_number(text, size, &at, "k", s->k);
    put_number(text, size, &at, "parts", s->parts);
    put_number(text, size, &at, "rotated", s->rotated);
    if (s->mode != W_PLAIN && at < size) at += (size_t)snprintf(text + at, size - at, " mode=%s", wmode_name(s->mode));
    put_number(text, size, &at, "bits", s->bits);
    put_number(text, size, &at, "no_biases", s->no_biases);
    put_number(text, size, &at, "group_size", s->group_size);
    put_number(text, size, &at, "as_many_outputs", s->as_many_outputs);
    put_number(text, size, &at, "as_long_rows", s->as_long_rows);
    put_number(text, size, &at, "group", s->group);
    put_type(text, size, &at, "weight", s->w_type);
    put_type(text, size, &at, "x", s->x_type);
    put_type(text, size, &at, "y", s->y_type);
    put_type(text, size, &at, "kv", s->kv_type);
    put_number(text, size, &at, "kv_heads", s->kv_heads);
    put_number(text, size, &at, "head_dim", s->head_dim);
    put_number(text, size, &at, "page_size", s->page_size);
    put_number(text, size, &at, "window", s->window);
    put_number(text, size, &at, "softcap", s->softcap);
    put_number(text, size, &at, "sequences", s->n_seqs);
    put_number(text, size, &at, "start", s->start);
    put_number(text, size, &at, "interleaved", s->interleaved);
    put_number(text, size, &at, "normed", s->normed);
    put_number(text, size, &at, "in_place", s->in_place);
    put_number(text, size, &at, "strided", s->strided);
    put_number(text, size, &at, "misaligned", s->misaligned);
    put_number(text, size, &at, "bias", s->bias);
    put_number(text, size, &at, "residual", s->residual);
    put_number(text, size, &at, "offset", s->offset);
    put_number(text, size, &at, "scaled", s->scaled);
    if (s->act != ACT_NONE && at < size) at += (size_t)snprintf(text + at, size - at, " act=%s", kact_name(s->act));
    put_number(text, size, &at, "one_factor", s->one_factor);
    put_number(text, size, &at, "experts", s->n_experts);
    put_number(text, size, &at, "chosen", s->n_chosen);
    put_number(text, size, &at, "normalize", s->normalize);
    put_number(text, size, &at, "own_x", s->own_x);
    put_number(text, size, &at, "same_experts", s->same_experts);
    put_number(text, size, &at, "keys", s->n_keys);
    put_number(text, size, &at, "key_dim", s->key_dim);
    put_number(text, size, &at, "samplers", s->samplers);
    put_number(text, size, &at, "seed", (int64_t)s->seed);
    if (at < size) snprintf(text + at, size - at, " numbers=%s", pattern_names[s->pattern]);
}

/* ---- Faults -------------------------------------------------------------------------------------------------- */

static const char *const slot_names[SLOT_COUNT] = {
    [SLOT_X] = "x",
    [SLOT_Z] = "z",
    [SLOT_CODES] = "the weight's codes",
    [SLOT_SCALES] = "the weight's scales",
    [SLOT_BIASES] = "the weight's biases",
    [SLOT_WEIGHT] = "weight",
    [SLOT_RESIDUAL] = "residual",
    [SLOT_WEIGHT2] = "weight2",
    [SLOT_INTS] = "tokens, positions, rows, columns or slots",
    [SLOT_FREQS] = "freqs",
    [SLOT_SAMPLERS] = "the samplers",
    [SLOT_TABLES] = "the page tables",
    [SLOT_TABLE_STARTS] = "the list of page tables",
    [SLOT_KEYS] = "keys",
    [SLOT_VALUES] = "values",
    [SLOT_FORM] = "x in its activation form",
    [SLOT_X_16] = "x",
    [SLOT_Z_16] = "z",
    [SLOT_X_SLICE] = "x in its activation form",
    [SLOT_PACKED] = "the packed weight",
    [SLOT_PACKED_ONE] = "the packed weight",
    [SLOT_PACKED_TWO] = "the packed weight",
    [SLOT_SCRATCH] = "scratch",
    [SLOT_Y] = "y",
    [SLOT_Y_OTHER] = "y",
    [SLOT_STATES] = "states",
    [SLOT_STATES_Y] = "states",
    [SLOT_STATES_OTHER] = "states",
};

static char *append(char *to, const char *end, const char *text) {
    while (*text && to + 1 < end) *to++ = *text++;
    *to = 0;
    return to;
}

/* By hand: in a signal's handler snprintf may not be called. */
const char *check_address_text(const check *c, const void *address, char text[CHECK_ADDRESS_TEXT]) {
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        size_t past = guard_past_end(&c->slots[slot], address);
        if (past == 0) continue;
        char digits[24], *at = digits + sizeof digits - 1, *end = text + CHECK_ADDRESS_TEXT;
        *at = 0;
        for (size_t rest = past; rest > 0; rest /= 10) *--at = (char)('0' + rest % 10);
        char *to = append(append(text, end, at), end, past == 1 ? " byte past the end of " : " bytes past the end of ");
        append(to, end, slot_names[slot]);
        return text;
    }
    return NULL;
}
