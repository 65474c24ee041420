/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds the table: every tensor of the files becomes one or two items (what it is, which part); items sorted by name
 * fall into groups; each group becomes an entry, or an error that names what is wrong. */
#include "files/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/log.h"
#include "base/num.h"

enum { MAX_EXPERTS = 1 << 16 };

typedef struct item {
    const char *name; /* canonical */
    const tensor *from;
    name_part part;
    int64_t expert;
    bool aside;
} item;

struct checkpoint {
    arena *memory;
    checkpoint_tensor *entries;
    size_t n;
    checkpoint_skipped skipped;
    /* While it is built: */
    item *items;
    size_t n_items;
    int64_t n_experts; /* config.json's; 0: it does not say */
    const char *n_experts_field;
    int64_t first_shared;  /* layers from this one on have no keys and values of their own */
    bool interleaved;      /* gpt-oss */
    bool unconverted_conv; /* a conv1d.weight [C, 1, k] was seen */
};

/* ---- Items ----------------------------------------------------------------------------------------------------- */

/* Gemma 4: keys and values of layers that use an earlier layer's; some checkpoints have them all the same. */
static bool is_shared_kv(const checkpoint *c, const char *name) {
    static const char *const modules[] = {".self_attn.k_proj.", ".self_attn.v_proj.", ".self_attn.k_norm."};
    const char *layer = strstr(name, "layers.");
    if (c->first_shared < 0 || !layer || strtoll(layer + 7, NULL, 10) < c->first_shared) return false;
    for (int i = 0; i < 3; i++)
        if (strstr(name, modules[i])) return true;
    return false;
}

static nb_status add_items(checkpoint *c, const tensor *t, nb_error *err) {
    char stripped[CHECKPOINT_MAX_NAME];
    name_role roles[2];
    if (!checkpoint_strip(t->name, stripped))
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %.60s...: its name is too long", t->file, t->name);
    name_kind kind = checkpoint_kind(stripped);
    if (kind == NAME_OTHER) {
        c->skipped.n_other++;
        c->skipped.other_bytes += (int64_t)t->bytes;
    }
    if (kind == NAME_ASIDE) {
        c->skipped.n_aside++;
        c->skipped.aside_bytes += (int64_t)t->bytes;
    }
    if (kind == NAME_OTHER || kind == NAME_NOTHING || is_shared_kv(c, stripped)) return NB_OK;
    int n = checkpoint_roles(stripped, roles);
    if (n == 0) return err_set(err, NB_ERR_FORMAT, "%s: tensor %.60s...: its name is too long", t->file, t->name);
    if (c->interleaved && (roles[0].part == PART_HALF_1 || ends_with(stripped, ".experts.down_proj")))
        return err_set(err, NB_ERR_UNSUPPORTED,
                       "%s: tensor %s: experts of gpt_oss are read as mxfp4 blocks only (\"%s_blocks\")", t->file,
                       t->name, t->name);
    if (kind == NAME_MODEL && ends_with(stripped, "conv1d.weight") && t->n_dims == 3 && t->shape[2] != 1)
        c->unconverted_conv = true;
    for (int i = 0; i < n; i++) {
        char *name = arena_strdup(c->memory, roles[i].name);
        if (!name) return err_no_memory(err, "the table of tensors", 0);
        c->items[c->n_items++] = (item){name, t, roles[i].part, roles[i].expert, kind == NAME_ASIDE};
    }
    return NB_OK;
}

static int by_name(const void *a, const void *b) {
    const item *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (order) return order;
    if (x->expert != y->expert) return x->expert < y->expert ? -1 : 1;
    return strcmp(x->from->name, y->from->name);
}

/* ---- Entries --------------------------------------------------------------------------------------------------- */

static nb_status wrong(const item *i, const char *expected, nb_error *err) {
    char shape[200];
    return err_set(err, NB_ERR_FORMAT, "%s: tensor %s has type %s and shape %s, expected %s", i->from->file,
                   i->from->name, dtype_name(i->from->type), tensor_shape_text(i->from->n_dims, i->from->shape, shape),
                   expected);
}

/* All of a file's tensor, as rows of its last axis. */
static checkpoint_piece whole_piece(const tensor *t) {
    int64_t n = 1;
    for (int d = 0; d + 1 < t->n_dims; d++) n *= t->shape[d];
    size_t row = t->n_dims == 1 ? dtype_size(t->type) : n > 0 ? t->bytes / (size_t)n : 0;
    return (checkpoint_piece){t, t->data, t->n_dims == 1 ? t->shape[0] : n, row, row};
}

/* The part of a tensor whose first axis is experts and whose second one is split. `row` are the bytes of one of its
 * rows; the entry's type and shape are set. */
static nb_status split_pieces(checkpoint *c, checkpoint_tensor *e, const item *i, size_t row, nb_error *err) {
    const tensor *t = i->from;
    const int64_t n_experts = t->shape[0], n_rows = t->shape[1], half = n_rows / 2;
    const bool first = i->part == PART_HALF_1 || i->part == PART_EVEN || i->part == PART_EVEN_BLOCKS;
    const bool stacked = i->part == PART_HALF_1 || i->part == PART_HALF_2;
    if (n_rows % 2 != 0) return wrong(i, "an even second dimension (gate and up)", err);
    if (n_experts < 1 || n_experts > MAX_EXPERTS || t->bytes == 0)
        return wrong(i, "1 to 65536 experts, none of them empty", err);
    checkpoint_piece *pieces = arena_zalloc(c->memory, (size_t)n_experts, sizeof *pieces);
    if (!pieces) return err_no_memory(err, "the table of tensors", 0);
    for (int64_t x = 0; x < n_experts; x++) {
        int64_t begin = x * n_rows + (first ? 0 : stacked ? half : 1);
        pieces[x] =
            (checkpoint_piece){t, (const uint8_t *)t->data + (size_t)begin * row, half, row, stacked ? row : 2 * row};
    }
    e->shape[1] = half;
    e->pieces = pieces;
    e->n_pieces = n_experts;
    return NB_OK;
}

static nb_status single_entry(checkpoint *c, checkpoint_tensor *e, const item *i, nb_error *err) {
    const tensor *t = i->from;
    memcpy(e->shape, t->shape, sizeof e->shape);
    e->n_dims = t->n_dims;
    e->type = t->type;
    switch (i->part) {
    case PART_HALF_1:
    case PART_HALF_2:
        if (t->n_dims != 3) return wrong(i, "3 dimensions (experts, gate and up, inputs)", err);
        return split_pieces(c, e, i, t->bytes / (size_t)max_i64(1, t->shape[0] * t->shape[1]), err);
    case PART_EVEN:
    case PART_ODD:
        if (t->n_dims != 2 && t->n_dims != 3) return wrong(i, "2 or 3 dimensions (experts, gate and up, ..)", err);
        return split_pieces(c, e, i, t->bytes / (size_t)max_i64(1, t->shape[0] * t->shape[1]), err);
    case PART_BLOCKS:
    case PART_EVEN_BLOCKS:
    case PART_ODD_BLOCKS:
        if (t->type != DT_U8 || t->n_dims != 4 || t->shape[3] != 16 || t->bytes == 0)
            return wrong(i, "u8 and [experts, outputs, inputs / 32, 16]", err);
        e->type = DT_U32;
        e->n_dims = 3;
        e->shape[2] = 4 * t->shape[2];
        e->shape[3] = 0;
        if (i->part != PART_BLOCKS)
            return split_pieces(c, e, i, t->bytes / (size_t)max_i64(1, t->shape[0] * t->shape[1]), err);
        break;
    case PART_WHOLE:
    case PART_EXPERT:
        break;
    }
    checkpoint_piece *piece = arena_zalloc(c->memory, 1, sizeof *piece);
    if (!piece) return err_no_memory(err, "the table of tensors", 0);
    *piece = whole_piece(t);
    if (i->part == PART_BLOCKS) { /* a row is an output's 16-byte blocks */
        piece->n_rows = t->shape[0] * t->shape[1];
        piece->row_bytes = piece->stride = (size_t)(16 * t->shape[2]);
    }
    e->pieces = piece;
    e->n_pieces = 1;
    return NB_OK;
}

static nb_status missing_expert(const checkpoint *c, const item *any, int64_t missing, nb_error *err) {
    char why[120] = "";
    if (c->n_experts)
        snprintf(why, sizeof why, "; config.json: %s is %lld", c->n_experts_field, (long long)c->n_experts);
    return err_set(err, NB_ERR_FORMAT, "tensor %s of expert %lld is missing (%s has tensor %s%s)", any->name,
                   (long long)missing, any->from->file, any->from->name, why);
}

/* Experts that are tensors of their own, in the order of their numbers. */
static nb_status stacked_entry(checkpoint *c, checkpoint_tensor *e, const item *items, size_t n, nb_error *err) {
    checkpoint_piece *pieces = arena_zalloc(c->memory, n, sizeof *pieces);
    if (!pieces) return err_no_memory(err, "the table of tensors", 0);
    const tensor *first = items[0].from;
    for (size_t x = 0; x < n; x++) {
        const tensor *t = items[x].from;
        if (items[x].expert < (int64_t)x)
            return err_set(err, NB_ERR_FORMAT, "tensors %s and %s are both %s of expert %lld", items[x - 1].from->name,
                           t->name, e->name, (long long)items[x].expert);
        if (items[x].expert > (int64_t)x) return missing_expert(c, &items[x], (int64_t)x, err);
        if (t->type != first->type || t->n_dims != first->n_dims ||
            memcmp(t->shape, first->shape, sizeof t->shape) != 0 || t->n_dims == TENSOR_MAX_DIMS) {
            char a[200], b[200];
            return err_set(err, NB_ERR_FORMAT, "tensor %s is %s %s, but tensor %s is %s %s", first->name,
                           dtype_name(first->type), tensor_shape_text(first->n_dims, first->shape, a), t->name,
                           dtype_name(t->type), tensor_shape_text(t->n_dims, t->shape, b));
        }
        pieces[x] = whole_piece(t);
    }
    if (c->n_experts && (int64_t)n < c->n_experts) return missing_expert(c, &items[n - 1], (int64_t)n, err);
    if (c->n_experts && (int64_t)n > c->n_experts)
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s: its number is %zu, but config.json: %s is %lld",
                       items[n - 1].from->file, items[n - 1].from->name, n - 1, c->n_experts_field,
                       (long long)c->n_experts);
    e->type = first->type;
    e->n_dims = first->n_dims + 1;
    e->shape[0] = (int64_t)n;
    memcpy(e->shape + 1, first->shape, (size_t)first->n_dims * sizeof *e->shape);
    e->pieces = pieces;
    e->n_pieces = (int64_t)n;
    return NB_OK;
}

/* Qwen's norms are stored as their distance from 1 in checkpoints that were not converted; the sign of that is a
 * convolution in PyTorch's shape. */
static bool is_plus_one(const checkpoint *c, const checkpoint_tensor *e) {
    static const char *const norms[] = {".input_layernorm.weight", ".post_attention_layernorm.weight",
                                        "model.norm.weight", ".q_norm.weight", ".k_norm.weight"};
    if (!c->unconverted_conv || e->n_dims != 1 || !dtype_is_float(e->type)) return false;
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
        if (ends_with(e->name, norms[i])) return true;
    return false;
}

/* Items of one name become an entry. */
static nb_status make_entry(checkpoint *c, const item *items, size_t n, nb_error *err) {
    checkpoint_tensor *e = &c->entries[c->n];
    *e = (checkpoint_tensor){
        .name = items[0].name, .original = items[0].from->name, .file = items[0].from->file, .aside = items[0].aside};
    const bool stacked = items[n - 1].expert >= 0;
    if (n > 1 && (!stacked || items[0].expert < 0))
        return err_set(err, NB_ERR_FORMAT, "tensors %s (%s) and %s (%s) are both %s", items[0].from->name,
                       items[0].from->file, items[1].from->name, items[1].from->file, e->name);
    nb_status status = stacked ? stacked_entry(c, e, items, n, err) : single_entry(c, e, items, err);
    if (status) return status;
    if (ends_with(e->name, "conv1d.weight") && e->n_dims == 3 && e->shape[1] == 1) { /* the bytes are the same */
        e->shape[1] = e->shape[2];
        e->shape[2] = 1;
    }
    e->plus_one = !e->aside && is_plus_one(c, e);
    c->n++;
    return NB_OK;
}

/* ---- A tied head ----------------------------------------------------------------------------------------------- */

static bool same_values(const checkpoint_tensor *a, const checkpoint_tensor *b) {
    return a && b && a->type == b->type && a->n_dims == b->n_dims && memcmp(a->shape, b->shape, sizeof a->shape) == 0 &&
           checkpoint_is_plain(a) && checkpoint_is_plain(b) &&
           memcmp(a->pieces->data, b->pieces->data, checkpoint_bytes(a)) == 0;
}

/* Published checkpoints have a head beside "tie_word_embeddings": it must be the embedding again, and is left out. */
static nb_status drop_tied_head(checkpoint *c, const model_config *config, nb_error *err) {
    static const char *const suffixes[] = {"weight", "scales", "biases"};
    bool tied = false;
    nb_status status = json_bool(config->text, "tie_word_embeddings", &tied, NULL, config->name, err);
    if (status || !tied || !checkpoint_find(c, "lm_head.weight")) return status;
    for (int i = 0; i < 3; i++) {
        char head[40], table[60];
        snprintf(head, sizeof head, "lm_head.%s", suffixes[i]);
        snprintf(table, sizeof table, "model.embed_tokens.%s", suffixes[i]);
        const checkpoint_tensor *h = checkpoint_find(c, head), *t = checkpoint_find(c, table);
        if ((h || t) && !same_values(h, t))
            return err_set(err, NB_ERR_FORMAT,
                           "%s: field \"tie_word_embeddings\" is true, but tensor %s is not the same as tensor %s",
                           config->name, head, table);
    }
    size_t kept = 0;
    for (size_t i = 0; i < c->n; i++)
        if (strncmp(c->entries[i].name, "lm_head.", 8) != 0) c->entries[kept++] = c->entries[i];
    c->n = kept;
    return NB_OK;
}

/* ---- The table ------------------------------------------------------------------------------------------------- */

static nb_status read_config(checkpoint *c, const model_config *config, nb_error *err) {
    static const char *const fields[] = {"num_experts", "num_local_experts"};
    nb_status status = NB_OK;
    for (int i = 0; i < 2 && !status && !c->n_experts; i++) {
        c->n_experts_field = fields[i];
        status = json_int(config->text, fields[i], 0, MAX_EXPERTS, &c->n_experts, NULL, config->name, err);
    }
    const checkpoint_family *f = checkpoint_family_find(config->model_type);
    if (!f) f = checkpoint_family_find(config->text_model_type);
    c->first_shared = -1;
    if (status || !f) return status;
    c->interleaved = f->interleaved_experts;
    if (f->drops_shared_kv) { /* gemma4_text's defaults */
        int64_t layers = 35, shared = 20;
        status = json_int(config->text, "num_hidden_layers", 0, 1 << 20, &layers, NULL, config->name, err);
        if (!status)
            status = json_int(config->text, "num_kv_shared_layers", 0, 1 << 20, &shared, NULL, config->name, err);
        c->first_shared = max_i64(0, layers - shared);
    }
    return status;
}

static nb_status fill(checkpoint *c, const weights *files, nb_error *err) {
    const size_t n = weights_count(files);
    c->items = calloc(2 * n + 1, sizeof *c->items);
    if (!c->items) return err_no_memory(err, "the table of tensors", 2 * n * sizeof *c->items);
    nb_status status = NB_OK;
    for (size_t i = 0; i < n && !status; i++) status = add_items(c, weights_at(files, i), err);
    if (status) return status;
    qsort(c->items, c->n_items, sizeof *c->items, by_name);
    c->entries = arena_zalloc(c->memory, c->n_items + 1, sizeof *c->entries);
    if (!c->entries) return err_no_memory(err, "the table of tensors", c->n_items * sizeof *c->entries);
    for (size_t i = 0, end; i < c->n_items && !status; i = end) {
        for (end = i + 1; end < c->n_items && strcmp(c->items[i].name, c->items[end].name) == 0;) end++;
        status = make_entry(c, c->items + i, end - i, err);
    }
    return status;
}

nb_status checkpoint_open(const model_config *config, const weights *files, checkpoint **out, nb_error *err) {
    *out = NULL;
    checkpoint *c = calloc(1, sizeof *c);
    if (!c) return err_no_memory(err, "the table of tensors", sizeof *c);
    c->memory = arena_new(0);
    nb_status status = c->memory ? read_config(c, config, err) : err_no_memory(err, "the table of tensors", 0);
    if (!status) status = fill(c, files, err);
    free(c->items);
    c->items = NULL;
    if (!status) status = drop_tied_head(c, config, err);
    if (status) {
        checkpoint_close(c);
        return status;
    }
    if (c->skipped.n_other)
        log_msg(NB_LOG_WARN, "%s: %lld tensors of vision and audio (%.1f MB) are left out: nibble runs the text model",
                config->name, (long long)c->skipped.n_other, (double)c->skipped.other_bytes / 1e6);
    *out = c;
    return NB_OK;
}

void checkpoint_close(checkpoint *c) {
    if (!c) return;
    if (c->memory) arena_free(c->memory);
    free(c);
}

const checkpoint_tensor *checkpoint_find(const checkpoint *c, const char *name) {
    size_t begin = 0, end = c->n;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        int order = strcmp(name, c->entries[middle].name);
        if (order == 0) return &c->entries[middle];
        if (order < 0)
            end = middle;
        else
            begin = middle + 1;
    }
    return NULL;
}

size_t checkpoint_count(const checkpoint *c) {
    return c->n;
}

const checkpoint_tensor *checkpoint_at(const checkpoint *c, size_t i) {
    return &c->entries[i];
}

checkpoint_skipped checkpoint_get_skipped(const checkpoint *c) {
    return c->skipped;
}

bool checkpoint_is_plain(const checkpoint_tensor *t) {
    return t->n_pieces == 1 && t->pieces->stride == t->pieces->row_bytes;
}

size_t checkpoint_bytes(const checkpoint_tensor *t) {
    return (size_t)t->n_pieces * (size_t)t->pieces->n_rows * t->pieces->row_bytes;
}

void checkpoint_read(const checkpoint_tensor *t, int64_t first, int64_t n, void *to) {
    uint8_t *p = to;
    while (n > 0) {
        const checkpoint_piece *piece = &t->pieces[first / t->pieces->n_rows];
        int64_t row = first % piece->n_rows, some = min_i64(n, piece->n_rows - row);
        const uint8_t *from = piece->data + (size_t)row * piece->stride;
        if (piece->stride == piece->row_bytes) {
            memcpy(p, from, (size_t)some * piece->row_bytes);
        } else {
            for (int64_t i = 0; i < some; i++)
                memcpy(p + (size_t)i * piece->row_bytes, from + (size_t)i * piece->stride, piece->row_bytes);
        }
        p += (size_t)some * piece->row_bytes;
        first += some;
        n -= some;
    }
}
