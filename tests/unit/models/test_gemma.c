/* SPDX-License-Identifier: Apache-2.0
 *
 * What gemma2, gemma3 and gemma4 make of config.json: the fields that decide what a layer is, and the refusal, by name
 * and with both values, of configs that contradict themselves. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/models.h"

/* Three sliding layers, a full one, and two that share the keys of the last of each kind. */
#define GEMMA4                                                                                                         \
    "\"model_type\":\"gemma4_text\",\"hidden_size\":48,\"num_hidden_layers\":6,\"intermediate_size\":40,"              \
    "\"num_attention_heads\":6,\"num_key_value_heads\":3,\"head_dim\":20,\"global_head_dim\":40,\"vocab_size\":99,"    \
    "\"vocab_size_per_layer_input\":101,\"hidden_size_per_layer_input\":12,\"sliding_window\":7,"
#define SHARED                                                                                                         \
    "\"num_kv_shared_layers\":2,\"layer_types\":[\"sliding_attention\",\"sliding_attention\",\"full_attention\","      \
    "\"sliding_attention\",\"full_attention\",\"sliding_attention\"],"
#define OWN "\"num_kv_shared_layers\":0,"
#define GEMMA3                                                                                                         \
    "\"model_type\":\"gemma3_text\",\"hidden_size\":48,\"num_hidden_layers\":3,\"intermediate_size\":40,"              \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":20,\"vocab_size\":99,\"sliding_window\":7,"

#define GEMMA2                                                                                                         \
    "\"model_type\":\"gemma2\",\"hidden_size\":48,\"num_hidden_layers\":3,\"intermediate_size\":40,"                   \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":20,\"vocab_size\":99,\"rms_norm_eps\":1e-6,"

#define THREE_TYPES "\"layer_types\":[\"sliding_attention\",\"sliding_attention\",\"full_attention\"],"

static nb_status build(const char *fields, plan **p, const plan_spec **specs, size_t *n, nb_error *err) {
    char text[4000];
    snprintf(text, sizeof text, "{%s\"end\":0}", fields);
    model_config config;
    nb_status status = config_parse(text, strlen(text), "config.json", &config, err);
    if (status) fail_msg("%s: %s", text, err->text);
    status = model_specs(&config, p, specs, n, err);
    config_close(&config);
    return status;
}

static plan *accepted(const char *fields, const plan_spec **specs, size_t *n) {
    plan *p;
    nb_error err;
    if (build(fields, &p, specs, n, &err)) fail_msg("%s: %s", fields, err.text);
    return p;
}

/* Refused with both texts in the error. */
static void refused(const char *fields, const char *a, const char *b) {
    plan *p;
    const plan_spec *specs;
    size_t n;
    nb_error err;
    if (build(fields, &p, &specs, &n, &err) == NB_OK) fail_msg("accepted: %s", fields);
    assert_null(p);
    if (!strstr(err.text, a) || !strstr(err.text, b)) fail_msg("%s: %s", fields, err.text);
}

static const plan_spec *find(const plan_spec *specs, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(specs[i].name, name) == 0) return &specs[i];
    return NULL;
}

static void assert_shape(const plan_spec *specs, size_t n_specs, const char *name, int64_t n, int64_t k) {
    const plan_spec *s = find(specs, n_specs, name);
    if (!s) fail_msg("%s is not asked for", name);
    if (s->n != n || s->k != k)
        fail_msg("%s is [%lld, %lld], expected [%lld, %lld]", name, (long long)s->n, (long long)s->k, (long long)n,
                 (long long)k);
}

/* ---- What is built --------------------------------------------------------------------------------------------- */

static void test_shared_layers(void **state) {
    (void)state;
    const plan_spec *specs;
    size_t n;
    plan *p = accepted(GEMMA4 SHARED, &specs, &n);
    static const int caches[6] = {0, 1, 2, 3, 2, 3};
    int seen = 0;
    for (int i = 0; i < p->n_steps; i++) {
        const plan_step *s = &p->steps[i];
        if (s->op != KOP_ATTENTION) continue;
        assert_int_equal(s->cache, caches[s->layer]);
        assert_int_equal(s->window, s->layer == 2 || s->layer == 4 ? 0 : 7);
        seen++;
    }
    assert_int_equal(seen, 6);
    assert_int_equal(p->n_caches, 4);
    assert_int_equal(p->caches[2].head_dim, 40);
    assert_shape(specs, n, "model.layers.3.mlp.up_proj", 40, 48);
    assert_shape(specs, n, "model.layers.4.mlp.up_proj", 80, 48);
    assert_shape(specs, n, "model.layers.4.self_attn.q_proj", 240, 48);
    assert_null(find(specs, n, "model.layers.4.self_attn.k_proj"));
    assert_shape(specs, n, "model.embed_tokens_per_layer", 101, 72);
    plan_free(p);
}

/* The wrapper's vocab_size wins; without layer_types each fifth layer is full; k_eq_v takes away v_proj there. */
static void test_wrapper_and_defaults(void **state) {
    (void)state;
    const plan_spec *specs;
    size_t n;
    plan *p = accepted("\"model_type\":\"gemma4\",\"vocab_size\":98,\"text_config\":{" GEMMA4 OWN
                       "\"attention_k_eq_v\":true,\"num_global_key_value_heads\":2,\"use_double_wide_mlp\":true},",
                       &specs, &n);
    assert_shape(specs, n, "model.embed_tokens", 98, 48);
    assert_shape(specs, n, "model.layers.4.self_attn.k_proj", 80, 48);
    assert_null(find(specs, n, "model.layers.4.self_attn.v_proj"));
    assert_shape(specs, n, "model.layers.5.self_attn.v_proj", 60, 48);
    assert_shape(specs, n, "model.layers.5.mlp.up_proj", 40, 48);
    plan_free(p);
}

/* Proportional rope: a quarter of 40 columns are 5 pairs with exponents of the whole head; the rest has angle 0. */
static void test_proportional_rope(void **state) {
    (void)state;
    const plan_spec *specs;
    size_t n;
    plan *p = accepted(GEMMA4 SHARED "\"attention_k_eq_v\":false,", &specs, &n);
    int seen = 0;
    for (int i = 0; i < p->n_steps; i++) {
        const plan_step *s = &p->steps[i];
        if (s->op != KOP_ROPE_TABLE || p->values[s->y].cols != 40) continue;
        assert_true(s->freqs[0] == 1);
        assert_true(fabs(s->freqs[4] - 0.0630957344480193) < 1e-12); /* 1e6^(-8/40) */
        for (int pair = 5; pair < 20; pair++) assert_true(s->freqs[pair] == 0);
        seen++;
    }
    assert_int_equal(seen, 1);
    plan_free(p);
}

static void test_gemma3_layers(void **state) {
    (void)state;
    const plan_spec *specs;
    size_t n;
    static const char *const same[] = {GEMMA3 "\"sliding_window_pattern\":3,", GEMMA3 THREE_TYPES,
                                       GEMMA3 THREE_TYPES "\"sliding_window_pattern\":3,"};
    for (int i = 0; i < 3; i++) {
        plan *p = accepted(same[i], &specs, &n);
        assert_int_equal(p->n_caches, 3);
        assert_int_equal(p->caches[0].window, 7);
        assert_int_equal(p->caches[2].window, 0);
        assert_null(find(specs, n, "lm_head"));
        plan_free(p);
    }
    plan *p = accepted("\"model_type\":\"gemma3\",\"text_config\":{\"num_hidden_layers\":1},", &specs, &n);
    assert_shape(specs, n, "model.embed_tokens", 262208, 1152);
    assert_shape(specs, n, "model.layers.0.self_attn.k_proj", 1024, 1152);
    plan_free(p);
}

/* Every other layer slides, the first does; softcaps of scores and of logits, unless the config says null. */
static void test_gemma2(void **state) {
    (void)state;
    const plan_spec *specs;
    size_t n;
    for (int none = 0; none < 2; none++) {
        plan *p = accepted(none ? GEMMA2 "\"attn_logit_softcapping\":null,\"final_logit_softcapping\":null,"
                                         "\"sliding_window\":7,\"query_pre_attn_scalar\":64,"
                                : GEMMA2,
                           &specs, &n);
        int attentions = 0, tables = 0;
        for (int i = 0; i < p->n_steps; i++) {
            const plan_step *s = &p->steps[i];
            tables += s->op == KOP_ROPE_TABLE;
            if (s->op != KOP_ATTENTION) continue;
            assert_int_equal(s->window, s->layer == 1 ? 0 : none ? 7 : 4096);
            assert_true(s->softcap == (none ? 0 : 50));
            assert_true(s->scale == (none ? 1.0f / 8 : 1.0f / 12));
            attentions++;
        }
        assert_int_equal(attentions, 3);
        assert_int_equal(tables, 1);
        const plan_step *last = &p->steps[p->n_steps - 1];
        assert_int_equal(last->op == KOP_SOFTCAP, !none);
        assert_true(none || last->scale == 30);
        assert_null(find(specs, n, "lm_head"));
        assert_null(find(specs, n, "model.layers.0.self_attn.q_norm"));
        assert_shape(specs, n, "model.layers.2.self_attn.k_proj", 40, 48);
        plan_free(p);
    }
}

/* ---- What is refused ------------------------------------------------------------------------------------------- */

static void test_sizes(void **state) {
    (void)state;
    refused(GEMMA4 OWN "\"rms_norm_eps\":-1,", "rms_norm_eps", "-1");
    refused("\"model_type\":\"gemma4_text\",\"hidden_size\":-8,", "hidden_size", "-8");
    refused("\"model_type\":\"gemma4_text\",\"num_hidden_layers\":1e9,", "num_hidden_layers", "1000000000");
    refused("\"model_type\":\"gemma4_text\",\"vocab_size\":0,", "vocab_size", "0");
    refused("\"model_type\":\"gemma4_text\",\"num_attention_heads\":6,\"num_key_value_heads\":4,",
            "num_attention_heads 6", "num_key_value_heads 4");
    refused("\"model_type\":\"gemma4_text\",\"num_attention_heads\":6,\"num_key_value_heads\":3,"
            "\"attention_k_eq_v\":true,\"num_global_key_value_heads\":4,",
            "num_attention_heads 6", "num_global_key_value_heads 4");
    refused("\"model_type\":\"gemma4_text\",\"head_dim\":21,", "head_dim is 21", "even");
    refused("\"model_type\":\"gemma4_text\",\"global_head_dim\":33,", "global_head_dim is 33", "even");
    refused("\"model_type\":\"gemma4_text\",\"num_attention_heads\":60000,\"head_dim\":4096,", "60000", "4096");
    refused("\"model_type\":\"gemma4_text\",\"vocab_size_per_layer_input\":7,", "vocab_size_per_layer_input is 7",
            "262144");
    refused("\"model_type\":\"gemma4_text\",\"hidden_size_per_layer_input\":1000000,",
            "hidden_size_per_layer_input is 1000000", "35");
    refused("\"model_type\":\"gemma4_text\",\"final_logit_softcapping\":0,", "final_logit_softcapping", "0");
    refused("\"model_type\":\"gemma4_text\",\"sliding_window\":0,", "sliding_window", "0");
    refused("\"model_type\":\"gemma4\",\"vocab_size\":-3,\"text_config\":{},", "vocab_size", "-3");
    refused(GEMMA3 "\"query_pre_attn_scalar\":0,", "query_pre_attn_scalar", "0");
    refused(GEMMA2 "\"attn_logit_softcapping\":0,", "attn_logit_softcapping", "0");
    refused(GEMMA2 "\"final_logit_softcapping\":-1,", "final_logit_softcapping", "-1");
    refused("\"model_type\":\"gemma2\",\"hidden_size\":48,", "num_hidden_layers", "missing");
    refused(GEMMA3 "\"sliding_window_pattern\":0,", "sliding_window_pattern", "0");
    refused("\"model_type\":\"gemma3_text\",\"num_attention_heads\":5,\"num_key_value_heads\":3,",
            "num_attention_heads 5", "num_key_value_heads 3");
}

static void test_layer_types(void **state) {
    (void)state;
    refused(GEMMA4 OWN "\"layer_types\":[\"full_attention\"],", "layer_types has 1", "num_hidden_layers = 6");
    refused(GEMMA4 OWN "\"layer_types\":\"full_attention\",", "layer_types has 0", "num_hidden_layers = 6");
    refused("\"model_type\":\"gemma4_text\",\"num_hidden_layers\":1,\"num_kv_shared_layers\":0,"
            "\"layer_types\":[\"chunked_attention\"],",
            "chunked_attention", "layer_types[0]");
    refused("\"model_type\":\"gemma4_text\",\"num_hidden_layers\":1,\"num_kv_shared_layers\":0,\"layer_types\":[3],",
            "layer_types[0]", "full_attention");
    refused(GEMMA4 "\"num_kv_shared_layers\":6,", "num_kv_shared_layers is 6", "num_hidden_layers = 6");
    refused(GEMMA4 "\"num_kv_shared_layers\":-1,", "num_kv_shared_layers", "-1");
    /* by default the fifth layer is the first full one */
    refused(GEMMA4 "\"num_kv_shared_layers\":3,", "num_kv_shared_layers leaves 3 of 6", "full_attention");
    refused(GEMMA3 "\"layer_types\":[\"full_attention\"],", "layer_types has 1", "num_hidden_layers = 3");
    refused(GEMMA3 "\"sliding_window_pattern\":2," THREE_TYPES, "layer_types[1] is \"sliding_attention\"",
            "sliding_window_pattern 2");
    refused(GEMMA3 "\"layer_types\":[\"sliding_attention\",\"sliding_attention\",\"chunked\"],", "layer_types[2]",
            "chunked");
}

static void test_experts(void **state) {
    (void)state;
    refused(GEMMA4 OWN "\"enable_moe_block\":true,", "num_experts", "missing");
    refused(GEMMA4 OWN "\"enable_moe_block\":true,\"num_experts\":null,", "num_experts", "missing");
    refused(GEMMA4 OWN "\"enable_moe_block\":true,\"num_experts\":6,", "top_k_experts", "missing");
    refused(GEMMA4 OWN "\"enable_moe_block\":true,\"num_experts\":6,\"top_k_experts\":7,\"moe_intermediate_size\":8,",
            "top_k_experts is 7", "num_experts 6");
    refused(GEMMA4 OWN "\"enable_moe_block\":true,\"num_experts\":6,\"top_k_experts\":3,\"moe_intermediate_size\":-8,",
            "moe_intermediate_size", "-8");
    refused(GEMMA4 OWN "\"enable_moe_block\":1,", "enable_moe_block", "true or false");
}

#define FULL_ROPE(fields) GEMMA4 SHARED "\"rope_parameters\":{\"full_attention\":{" fields "}},"

static void test_rope(void **state) {
    (void)state;
    refused(FULL_ROPE("\"rope_type\":\"spiral\""), "spiral", "proportional");
    refused(FULL_ROPE("\"rope_type\":\"proportional\",\"partial_rotary_factor\":0"), "partial_rotary_factor", "0");
    refused(FULL_ROPE("\"rope_type\":\"proportional\",\"partial_rotary_factor\":1.5"), "partial_rotary_factor", "1.5");
    refused(FULL_ROPE("\"rope_type\":\"proportional\",\"partial_rotary_factor\":0.075"), "0.075 of a head of 40",
            "even");
    refused(FULL_ROPE("\"rope_type\":\"default\",\"partial_rotary_factor\":0.5"), "partial_rotary_factor is 0.5",
            "default");
    refused(FULL_ROPE("\"rope_type\":\"linear\""), "factor", "missing");
    refused(FULL_ROPE("\"rope_theta\":0"), "rope_theta", "0");
    refused(GEMMA3 "\"rope_local_base_freq\":-5,", "rope_local_base_freq", "-5");
    refused(GEMMA3 "\"sliding_window_pattern\":2,\"rope_scaling\":{\"rope_type\":\"spiral\"},", "spiral", "linear");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_layers),
        cmocka_unit_test(test_wrapper_and_defaults),
        cmocka_unit_test(test_proportional_rope),
        cmocka_unit_test(test_gemma3_layers),
        cmocka_unit_test(test_gemma2),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_layer_types),
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_rope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
