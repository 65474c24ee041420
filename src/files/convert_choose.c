/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of every tensor: mlx-lm's rules (convert, quantize_model and the families' quant_predicate), and the
 * user's overrides. Every matrix of a linear, embedding or experts layer is quantized whose columns fill groups; names
 * tell which those are: they end in ".weight" and have two or three dimensions, and are no convolution. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/glob.h"
#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "files/convert.h"

static const size_t SHARD_BYTES = (size_t)5 << 30;

/* ---- Options --------------------------------------------------------------------------------------------------- */

static nb_status read_dtype(conversion *c, nb_error *err) {
    static const struct {
        const char *name;
        dtype type;
    } types[] = {{"float16", DT_F16}, {"bfloat16", DT_BF16}, {"float32", DT_F32}};
    const char *name = c->options->dtype;
    nb_status status = NB_OK;
    if (!name) status = json_str(c->config.tree, "torch_dtype", &name, NULL, c->config.name, err);
    if (!status && !name && c->config.text != c->config.tree)
        status = json_str(c->config.text, "dtype", &name, NULL, c->config.name, err);
    if (status || !name) return status;
    for (int i = 0; i < 3; i++)
        if (strcmp(name, types[i].name) == 0) c->dtype = types[i].type;
    if (c->options->dtype && !c->dtype)
        return err_set(err, NB_ERR_ARGUMENT, "dtype is \"%.40s\", expected float16, bfloat16 or float32", name);
    return NB_OK;
}

static nb_status make_format(const char *mode_name, int bits, int group, quant_format *out, nb_error *err) {
    wmode mode = W_AFFINE;
    if (mode_name && (!quant_mode_named(mode_name, &mode)))
        return err_set(err, NB_ERR_ARGUMENT, "mode is \"%.40s\", expected affine, mxfp4, mxfp8 or nvfp4", mode_name);
    *out = quant_default(mode);
    quant_format usual = *out;
    if (bits) out->bits = bits;
    if (group) out->group_size = group;
    if (quant_format_ok(out)) return NB_OK;
    if (mode != W_AFFINE)
        return err_set(err, NB_ERR_ARGUMENT, "mode %s has %d bits and groups of %d, not %d and %d", wmode_name(mode),
                       usual.bits, usual.group_size, out->bits, out->group_size);
    return err_set(err, NB_ERR_ARGUMENT,
                   "%d bits in groups of %d are not possible: expected 2, 3, 4, 5, 6 or 8 bits and groups of 32, 64 or "
                   "128",
                   out->bits, out->group_size);
}

/* How a module is to be quantized, and whether config.json must say so. */
typedef struct choice {
    bool quantize, listed, with_mode;
    quant_format format;
} choice;

/* An override: what is to be done with the modules whose path matches. */
typedef struct override {
    const char *pattern;
    size_t length;
    choice choice;
} override;

/* Reads "PATTERN=none" or "PATTERN=BITS[:GROUP[:MODE]]". */
static nb_status read_override(const char *text, override *out, nb_error *err) {
    char mode[16] = "affine";
    const char *equals = strrchr(text, '=');
    int bits = 0, group = 0, used = 0;
    if (!equals || equals == text || equals - text >= CHECKPOINT_MAX_NAME)
        return err_set(err, NB_ERR_ARGUMENT, "override \"%.80s\": expected PATTERN=BITS:GROUP:MODE or PATTERN=none",
                       text);
    *out = (override){text, (size_t)(equals - text), {.listed = true, .with_mode = true}};
    if (strcmp(equals + 1, "none") == 0) return NB_OK;
    int n = sscanf(equals + 1, "%d%n:%d%n:%15[a-z0-9]%n", &bits, &used, &group, &used, mode, &used);
    if (n < 1 || equals[1 + used] != 0)
        return err_set(err, NB_ERR_ARGUMENT, "override \"%.80s\": expected PATTERN=BITS:GROUP:MODE or PATTERN=none",
                       text);
    out->choice.quantize = true;
    nb_status status = make_format(mode, bits, group, &out->choice.format, err);
    return status ? err_prefix(err, status, "override \"%.80s\"", text) : NB_OK;
}

/* ---- Recipes --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int low, high;
} recipes[] = {{"mixed_2_6", 2, 6}, {"mixed_3_4", 3, 4}, {"mixed_3_6", 3, 6}, {"mixed_4_6", 4, 6}};

typedef struct chooser {
    conversion *c;
    int recipe;          /* number, -1: none */
    int place;           /* recipe: which part of a path is the layer's number */
    int64_t n_layers;    /* recipe */
    override *overrides; /* [n_overrides of the options] */
    bool fine_grained;   /* the source is quantized already: every module that is quantized now is listed */
} chooser;

/* The part of a path between dots number i, as a number; -1 where there is none. */
static int64_t path_number(const char *path, int i) {
    for (; i > 0 && path; i--) {
        path = strchr(path, '.');
        if (path) path++;
    }
    if (!path || *path < '0' || *path > '9') return -1;
    return strtoll(path, NULL, 10);
}

static nb_status find_recipe(chooser *ch, nb_error *err) {
    const conversion *c = ch->c;
    ch->recipe = -1;
    if (!c->options->recipe) return NB_OK;
    for (int i = 0; i < 4; i++)
        if (strcmp(c->options->recipe, recipes[i].name) == 0) ch->recipe = i;
    if (ch->recipe < 0)
        return err_set(err, NB_ERR_ARGUMENT,
                       "recipe is \"%.40s\", expected mixed_2_6, mixed_3_4, mixed_3_6 or mixed_4_6",
                       c->options->recipe);
    if (c->format.mode != W_AFFINE)
        return err_set(err, NB_ERR_ARGUMENT, "recipe %s goes with mode affine only, not with %s", c->options->recipe,
                       wmode_name(c->format.mode));
    for (size_t i = 0; i < checkpoint_count(c->table); i++) {
        const char *name = checkpoint_at(c->table, i)->name;
        if (!strstr(name, "down_proj")) continue;
        for (ch->place = 0; path_number(name, ch->place) < 0;)
            if (++ch->place > 16) break;
        return json_int(c->config.text, "num_hidden_layers", 1, 1 << 20, &ch->n_layers, NULL, c->config.name, err);
    }
    return err_set(err, NB_ERR_UNSUPPORTED, "recipe %s needs a model with down_proj layers", c->options->recipe);
}

/* More bits for the head, and for the value and down projections of the first and last eighth of the layers and of
 * every third one between. */
static int recipe_bits(const chooser *ch, const char *module) {
    int64_t layer = max_i64(0, path_number(module, ch->place)), n = ch->n_layers;
    int64_t distance = layer - n / 8; /* not negative where its remainder counts */
    bool more = layer < n / 8 || layer >= 7 * n / 8 || distance % 3 == 2;
    bool sensitive = strstr(module, "v_proj") || strstr(module, "v_a_proj") || strstr(module, "v_b_proj") ||
                     strstr(module, "down_proj");
    return strstr(module, "lm_head") || (sensitive && more) ? recipes[ch->recipe].high : recipes[ch->recipe].low;
}

/* ---- Modules --------------------------------------------------------------------------------------------------- */

static bool is_router(const conversion *c, const char *module) {
    for (int i = 0; i < 2; i++)
        if (c->family->routers[i] && ends_with(module, c->family->routers[i])) return true;
    return false;
}

static choice choose_format(const chooser *ch, const char *module, int64_t k) {
    const conversion *c = ch->c;
    choice out = {k % c->format.group_size == 0, ch->fine_grained, true, c->format};
    if (ch->recipe >= 0) {
        out.listed = true;
        out.format.bits = recipe_bits(ch, module);
    }
    if (is_router(c, module) && (ch->recipe < 0 || c->options->router_bits)) {
        out.listed = true;
        out.with_mode = false;
        out.format = (quant_format){W_AFFINE, c->options->router_bits ? c->options->router_bits : 8, 64};
    }
    for (size_t i = 0; i < c->options->n_overrides; i++)
        if (glob_matches(ch->overrides[i].pattern, ch->overrides[i].length, module)) out = ch->overrides[i].choice;
    if (out.quantize && k % out.format.group_size != 0) {
        log_msg(NB_LOG_WARN, "%s has %lld columns, no multiple of its group size %d: it stays as it is", module,
                (long long)k, out.format.group_size);
        out.quantize = false;
    }
    return out;
}

/* All of them at once, so that a bad one is found whatever the model has. */
static nb_status read_overrides(chooser *ch, nb_error *err) {
    const nb_convert_options *o = ch->c->options;
    ch->overrides = arena_zalloc(ch->c->memory, o->n_overrides + 1, sizeof *ch->overrides);
    if (!ch->overrides) return err_no_memory(err, "the list of overrides", 0);
    nb_status status = NB_OK;
    for (size_t i = 0; i < o->n_overrides && !status; i++)
        status = read_override(o->overrides[i], &ch->overrides[i], err);
    return status;
}

/* Lists a module in config.json's block, in place of what stands there. */
static nb_status list_module(conversion *c, const char *path, const choice *ch, nb_error *err) {
    cJSON *item = cJSON_CreateObject();
    bool ok = item && cJSON_AddNumberToObject(item, "group_size", ch->format.group_size) &&
              cJSON_AddNumberToObject(item, "bits", ch->format.bits) &&
              (!ch->with_mode || cJSON_AddStringToObject(item, "mode", wmode_name(ch->format.mode)));
    if (ok) cJSON_DeleteItemFromObjectCaseSensitive(c->block, path);
    if (ok && cJSON_AddItemToObject(c->block, path, item)) return NB_OK;
    cJSON_Delete(item);
    return err_no_memory(err, "config.json", 0);
}

/* ---- Steps ----------------------------------------------------------------------------------------------------- */

static convert_output *add_output(conversion *c, convert_step *s, const char *suffix, dtype type, int64_t last) {
    const checkpoint_tensor *t = s->from.weight;
    convert_output *o = &s->out[s->n_out++];
    size_t stem = strlen(t->name);
    if (*suffix) stem -= strlen(".weight");
    o->name = arena_printf(c->memory, "%s%.*s%s", c->family->prefix, (int)stem, t->name, suffix);
    o->type = type;
    o->n_dims = t->n_dims;
    memcpy(o->shape, t->shape, sizeof o->shape);
    if (*suffix) o->shape[o->n_dims - 1] = last;
    o->bytes = dtype_size(type);
    for (int i = 0; i < o->n_dims; i++) o->bytes *= (size_t)o->shape[i];
    s->bytes += o->bytes;
    return o;
}

/* The type that floats of a tensor get. */
static dtype cast_type(const conversion *c, const checkpoint_tensor *t) {
    if (!dtype_is_float(t->type)) return t->type;
    bool keeps = c->family->keeps_type && ends_with(t->name, c->family->keeps_type);
    return c->dtype && !keeps ? c->dtype : t->type;
}

static bool is_layer(const checkpoint_tensor *t) {
    return ends_with(t->name, ".weight") && (t->n_dims == 2 || t->n_dims == 3) &&
           !ends_with(t->name, "conv1d.weight") && (t->type == DT_F16 || t->type == DT_BF16 || t->type == DT_F32);
}

static nb_status encode_step(chooser *ch, convert_step *s, const char *module, nb_error *err) {
    conversion *c = ch->c;
    const checkpoint_tensor *t = s->from.weight;
    const int64_t k = t->shape[t->n_dims - 1];
    const choice chosen = choose_format(ch, module, k);
    if (!chosen.quantize) return NB_OK;
    s->kind = CONVERT_ENCODE;
    s->format = chosen.format;
    const dtype scale_type = quant_scale_type(&s->format, s->cast);
    const int64_t groups = k / s->format.group_size;
    convert_output *o = add_output(c, s, ".weight", DT_U32, k * s->format.bits / 32);
    add_output(c, s, ".scales", scale_type, groups);
    if (s->format.mode == W_AFFINE) add_output(c, s, ".biases", scale_type, groups);
    if (!chosen.listed || !o->name) return NB_OK;
    char *path = arena_strndup(c->memory, o->name, strlen(o->name) - strlen(".weight"));
    return path ? list_module(c, path, &chosen, err) : err_no_memory(err, "config.json", 0);
}

/* What MLX's dequantize makes: affine weights get their scales' type, others bf16 unless the user wants another. */
static void decode_step(conversion *c, convert_step *s) {
    const quant_params *q = &s->from.params;
    s->kind = CONVERT_DECODE;
    s->format = (quant_format){q->mode, q->bits, q->group_size};
    dtype type = q->mode != W_AFFINE && !c->options->dtype ? DT_BF16 : c->dtype;
    if (q->mode == W_AFFINE) {
        s->cast = cast_type(c, s->from.scales);
        type = s->cast;
    }
    add_output(c, s, ".weight", type, s->from.scales->shape[s->from.scales->n_dims - 1] * q->group_size);
}

/* The parameters that mlx-lm counts: weights and biases of layers. */
static void count_parameters(conversion *c, const convert_step *s) {
    const checkpoint_tensor *t = s->from.weight;
    if (!ends_with(t->name, ".weight") && !ends_with(t->name, ".bias")) return;
    int64_t n = 1;
    for (int i = 0; i < t->n_dims; i++) n *= t->shape[i];
    c->n_parameters += s->from.params.quantized ? n * 32 / s->from.params.bits : n;
}

static nb_status make_step(chooser *ch, const checkpoint_tensor *t, convert_step *s, nb_error *err) {
    conversion *c = ch->c;
    char module[CHECKPOINT_MAX_NAME];
    nb_status status = NB_OK;
    s->from.weight = t;
    s->cast = cast_type(c, t);
    snprintf(module, sizeof module, "%s", t->name);
    if (ends_with(module, ".weight")) {
        module[strlen(module) - strlen(".weight")] = 0;
        status = quant_module_find(c->quantization, c->table, module, 0, &s->from, err);
        if (status) return status;
        if (c->decode && s->from.params.quantized) decode_step(c, s);
        if (!c->decode && !s->from.params.quantized && is_layer(t)) status = encode_step(ch, s, module, err);
    }
    if (!status && s->n_out == 0) add_output(c, s, "", s->cast, 0);
    for (int i = 0; i < s->n_out; i++)
        if (!s->out[i].name) return err_no_memory(err, "the list of tensors", 0);
    count_parameters(c, s);
    return status;
}

/* Scales and biases that go into a decoded weight. */
static bool is_consumed(const conversion *c, const checkpoint_tensor *t) {
    const char *suffix = ends_with(t->name, ".scales") ? ".scales" : ends_with(t->name, ".biases") ? ".biases" : NULL;
    if (!c->decode || !suffix) return false;
    char name[CHECKPOINT_MAX_NAME + 8];
    snprintf(name, sizeof name, "%.*s.weight", (int)(strlen(t->name) - strlen(suffix)), t->name);
    return checkpoint_find(c->table, name) != NULL;
}

/* As mlx-lm does: files are filled in order up to 5 GB; a larger tensor has one for itself. */
static nb_status make_shards(conversion *c, nb_error *err) {
    c->shards = arena_zalloc(c->memory, c->n_steps + 1, sizeof *c->shards);
    if (!c->shards) return err_no_memory(err, "the list of files", 0);
    size_t filled = 0;
    for (size_t i = 0; i < c->n_steps; i++) {
        if (c->n_shards == 0 || filled + c->steps[i].bytes > SHARD_BYTES) {
            c->shards[c->n_shards++] = (convert_shard){.first = i};
            filled = 0;
        }
        filled += c->steps[i].bytes;
        c->shards[c->n_shards - 1].end = i + 1;
    }
    for (size_t i = 0; i < c->n_shards; i++) {
        convert_shard *s = &c->shards[i];
        s->name = c->n_shards == 1 ? "model.safetensors"
                                   : arena_printf(c->memory, "model-%05zu-of-%05zu.safetensors", i + 1, c->n_shards);
        if (!s->name) return err_no_memory(err, "the list of files", 0);
        size_t index = 0;
        for (size_t j = s->first; j < s->end; j++)
            for (int o = 0; o < c->steps[j].n_out; o++) c->steps[j].out[o].index = index++;
    }
    return NB_OK;
}

/* The block as the source has it, to which modules are added; or a new one. */
static nb_status start_block(chooser *ch, nb_error *err) {
    conversion *c = ch->c;
    quant_params source = quant_config_global(c->quantization);
    if (c->decode) return NB_OK;
    const cJSON *old = json_get(c->config.tree, "quantization");
    if (!old) old = json_get(c->config.text, "quantization");
    ch->fine_grained = source.quantized;
    quant_format f = source.quantized ? (quant_format){source.mode, source.bits, source.group_size} : c->format;
    c->block = old ? cJSON_Duplicate(old, 1) : cJSON_CreateObject();
    if (c->block && (old || (cJSON_AddNumberToObject(c->block, "group_size", f.group_size) &&
                             cJSON_AddNumberToObject(c->block, "bits", f.bits) &&
                             cJSON_AddStringToObject(c->block, "mode", wmode_name(f.mode)))))
        return NB_OK;
    return err_no_memory(err, "config.json", 0);
}

nb_status convert_choose(conversion *c, nb_error *err) {
    chooser ch = {.c = c};
    const nb_convert_options *o = c->options;
    nb_status status = read_dtype(c, err);
    if (!status && !c->decode) status = make_format(o->mode, o->bits, o->group_size, &c->format, err);
    if (!status && o->router_bits && !quant_format_ok(&(quant_format){W_AFFINE, o->router_bits, 64}))
        status = err_set(err, NB_ERR_ARGUMENT, "router bits is %d, expected 2, 3, 4, 5, 6 or 8", o->router_bits);
    if (!status) status = read_overrides(&ch, err);
    if (!status) status = find_recipe(&ch, err);
    if (!status) status = start_block(&ch, err);
    if (status) return status;
    c->steps = arena_zalloc(c->memory, checkpoint_count(c->table) + 1, sizeof *c->steps);
    if (!c->steps) return err_no_memory(err, "the list of tensors", 0);
    for (size_t i = 0; i < checkpoint_count(c->table) && !status; i++) {
        const checkpoint_tensor *t = checkpoint_at(c->table, i);
        if (t->aside || is_consumed(c, t)) continue;
        if (t->type == DT_F64) /* nothing that MLX could cast */
            return err_set(err, NB_ERR_UNSUPPORTED, "%s: tensor %s has type f64", t->file, t->original);
        status = make_step(&ch, t, &c->steps[c->n_steps++], err);
    }
    return status ? status : make_shards(c, err);
}
