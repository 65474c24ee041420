/* SPDX-License-Identifier: Apache-2.0 */
#include "files/checkpoint_names.h"

#include <stdio.h>
#include <string.h>

bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static const char *after(const char *text, const char *prefix) {
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* ---- Prefixes -------------------------------------------------------------------------------------------------- */

static bool put(char *out, const char *prefix, const char *rest) {
    int n = snprintf(out, CHECKPOINT_MAX_NAME, "%s%s", prefix, rest);
    return n >= 0 && n < CHECKPOINT_MAX_NAME;
}

bool checkpoint_strip(const char *name, char out[CHECKPOINT_MAX_NAME]) {
    static const char *const wrappers[] = {"model.language_model.", "language_model.model.", "language_model."};
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++) {
        const char *rest = after(name, wrappers[i]);
        if (!rest) continue;
        bool complete = after(rest, "model.") || after(rest, "lm_head.") || strcmp(rest, "lm_head") == 0;
        return put(out, complete ? "" : "model.", rest);
    }
    return put(out, "", name);
}

/* The first segment of a name that begins so: towers have many names, "vision_tower", "visual", "vision_model". */
name_kind checkpoint_kind(const char *stripped) {
    static const char *const others[] = {"vision",          "visual",       "audio",       "multi_modal_projector",
                                         "mm_projector",    "embed_vision", "embed_audio", "image_newline",
                                         "multi_modal_proj"};
    static const char *const ranges[] = {".input_max", ".input_min", ".output_max", ".output_min"};
    const char *first = after(stripped, "model.");
    if (!first) first = stripped;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (after(first, others[i])) return NAME_OTHER;
    if (after(first, "mtp.") || strstr(stripped, ".mtp.")) return NAME_ASIDE;
    if (strstr(stripped, "rotary_emb.")) return NAME_NOTHING;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ends_with(stripped, ranges[i])) return NAME_NOTHING;
    return NAME_MODEL;
}

/* ---- Experts --------------------------------------------------------------------------------------------------- */

/* Where MLX has a layer's experts: those of an "mlp" in its "switch_mlp", Gemma's in "experts.switch_glu". `base` is
 * what stands in front of ".experts.", n its length. */
static bool put_expert(char *out, const char *base, int n, const char *projection, const char *suffix) {
    bool in_mlp = n >= 4 && strncmp(base + n - 4, ".mlp", 4) == 0;
    int length = snprintf(out, CHECKPOINT_MAX_NAME, "%.*s.%s.%s%s", n, base,
                          in_mlp ? "switch_mlp" : "experts.switch_glu", projection, suffix);
    return length >= 0 && length < CHECKPOINT_MAX_NAME;
}

/* "7.up_proj.weight" behind ".experts.": an expert of its own. */
static bool single_expert(const char *base, int n, const char *rest, name_role *out) {
    static const char *const projections[] = {"gate_proj.", "up_proj.", "down_proj."};
    int64_t number = 0;
    int digits = 0;
    for (; rest[digits] >= '0' && rest[digits] <= '9' && digits < 7; digits++)
        number = 10 * number + (rest[digits] - '0');
    if (digits == 0 || digits == 7 || rest[digits] != '.' || (rest[0] == '0' && digits > 1)) return false;
    rest += digits + 1;
    for (int i = 0; i < 3; i++) {
        if (!after(rest, projections[i])) continue;
        out->part = PART_EXPERT;
        out->expert = number;
        return put_expert(out->name, base, n, rest, "");
    }
    return false;
}

/* gpt-oss: "gate_up_proj_blocks" and its kin; mlx-lm keeps them under "experts". */
static int blocks(const char *base, int n, const char *rest, name_role out[2]) {
    static const struct {
        const char *from, *to;
        bool packed;
    } kinds[] = {{"_blocks", ".weight", true}, {"_scales", ".scales", false}, {"_bias", ".bias", false}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char fused[40], down[40];
        snprintf(fused, sizeof fused, "gate_up_proj%s", kinds[i].from);
        snprintf(down, sizeof down, "down_proj%s", kinds[i].from);
        int parts = strcmp(rest, fused) == 0 ? 2 : strcmp(rest, down) == 0 ? 1 : 0;
        for (int p = 0; p < parts; p++) {
            const char *projection = parts == 1 ? "down_proj" : p == 0 ? "gate_proj" : "up_proj";
            int length =
                snprintf(out[p].name, CHECKPOINT_MAX_NAME, "%.*s.experts.%s%s", n, base, projection, kinds[i].to);
            if (length < 0 || length >= CHECKPOINT_MAX_NAME) return 0;
            if (kinds[i].packed)
                out[p].part = parts == 1 ? PART_BLOCKS : p == 0 ? PART_EVEN_BLOCKS : PART_ODD_BLOCKS;
            else
                out[p].part = parts == 1 ? PART_WHOLE : p == 0 ? PART_EVEN : PART_ODD;
        }
        if (parts) return parts;
    }
    return -1; /* none of these */
}

int checkpoint_roles(const char *stripped, name_role out[2]) {
    out[0] = out[1] = (name_role){.part = PART_WHOLE, .expert = -1};
    const char *experts = strstr(stripped, ".experts.");
    if (experts) {
        const int n = (int)(experts - stripped);
        const char *rest = experts + strlen(".experts.");
        if (single_expert(stripped, n, rest, &out[0])) return 1;
        int found = blocks(stripped, n, rest, out);
        if (found >= 0) return found;
        if (strcmp(rest, "down_proj") == 0) return put_expert(out[0].name, stripped, n, "down_proj", ".weight");
        if (strcmp(rest, "gate_up_proj") == 0) {
            out[0].part = PART_HALF_1;
            out[1].part = PART_HALF_2;
            return put_expert(out[0].name, stripped, n, "gate_proj", ".weight") &&
                           put_expert(out[1].name, stripped, n, "up_proj", ".weight")
                       ? 2
                       : 0;
        }
    }
    return put(out[0].name, "", stripped);
}

/* ---- Families -------------------------------------------------------------------------------------------------- */

static const checkpoint_family families[] = {
    {.model_types = {"llama", "mistral", "smollm3"}, .prefix = ""},
    {.model_types = {"qwen2", "qwen3", "phi3"}, .prefix = ""},
    {.model_types = {"qwen3_moe"}, .prefix = "", .routers = {"mlp.gate"}},
    {.model_types = {"qwen3_next"}, .prefix = "", .routers = {"mlp.gate", "shared_expert_gate"}},
    {.model_types = {"qwen3_5", "qwen3_5_moe"},
     .prefix = "language_model.",
     .routers = {"mlp.gate", "shared_expert_gate"},
     .keeps_type = "A_log"},
    {.model_types = {"qwen3_5_text", "qwen3_5_moe_text"},
     .prefix = "language_model.",
     .routers = {"mlp.gate", "shared_expert_gate"},
     .keeps_type = "A_log"},
    {.model_types = {"gemma2", "gemma3_text"}, .prefix = ""},
    {.model_types = {"gemma3", "mistral3"}, .prefix = "language_model."},
    {.model_types = {"gemma4_text"}, .prefix = "", .routers = {"router.proj"}, .drops_shared_kv = true},
    {.model_types = {"gemma4", "gemma4_unified"},
     .prefix = "language_model.",
     .routers = {"router.proj"},
     .drops_shared_kv = true},
    {.model_types = {"gpt_oss"}, .prefix = "", .routers = {"router"}, .interleaved_experts = true},
};

const checkpoint_family *checkpoint_family_at(size_t i) {
    return i < sizeof families / sizeof *families ? &families[i] : NULL;
}

const checkpoint_family *checkpoint_family_find(const char *model_type) {
    const checkpoint_family *f;
    for (size_t i = 0; (f = checkpoint_family_at(i)); i++)
        for (int t = 0; t < 4 && f->model_types[t]; t++)
            if (strcmp(f->model_types[t], model_type) == 0) return f;
    return NULL;
}
