/* SPDX-License-Identifier: Apache-2.0
 *
 * Configs of the families with experts and delta nets that contradict themselves: each is refused with the field's name
 * and the values, before there is a weight to look at. And what the released ones ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "models/models.h"

static const char moe[] =
    "{'model_type':'qwen3_moe','hidden_size':40,'num_hidden_layers':3,'intermediate_size':56,'num_attention_heads':3,"
    "'num_key_value_heads':1,'head_dim':16,'num_experts':6,'num_experts_per_tok':3,'moe_intermediate_size':24,"
    "'decoder_sparse_step':1,'mlp_only_layers':[],'norm_topk_prob':true,'rms_norm_eps':1e-6,'vocab_size':99,"
    "'rope_theta':10000,'tie_word_embeddings':false";
static const char next[] =
    "{'model_type':'qwen3_next','hidden_size':40,'num_hidden_layers':4,'intermediate_size':56,'num_attention_heads':3,"
    "'num_key_value_heads':1,'head_dim':16,'num_experts':6,'num_experts_per_tok':3,'moe_intermediate_size':24,"
    "'shared_expert_intermediate_size':24,'decoder_sparse_step':1,'mlp_only_layers':[],'rms_norm_eps':1e-6,"
    "'vocab_size':99,'rope_theta':10000,'partial_rotary_factor':0.5,'linear_num_value_heads':6,"
    "'linear_num_key_heads':3,'linear_key_head_dim':8,'linear_value_head_dim':12,'linear_conv_kernel_dim':4";
static const char dense[] =
    "{'model_type':'qwen3_5_text','hidden_size':40,'num_hidden_layers':4,'intermediate_size':56,"
    "'num_attention_heads':3,'num_key_value_heads':1,'head_dim':16,'vocab_size':99,'linear_num_value_heads':6,"
    "'linear_num_key_heads':3,'linear_key_head_dim':8,'linear_value_head_dim':12";

/* The config with further fields, of which the last of a name counts, built dry. */
static nb_status build(const char *base, const char *more, size_t *n, nb_error *err) {
    char text[4000];
    snprintf(text, sizeof text, "%s%s%s}", base, *more ? "," : "", more);
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    cJSON *tree = cJSON_Parse(text);
    assert_non_null(tree);
    for (cJSON *a = tree->child, *next_one; a; a = next_one) { /* an earlier one of the same name goes */
        next_one = a->next;
        for (const cJSON *b = next_one; b; b = b->next)
            if (strcmp(a->string, b->string) == 0) {
                cJSON_Delete(cJSON_DetachItemViaPointer(tree, a));
                break;
            }
    }
    char *final = cJSON_PrintUnformatted(tree);
    cJSON_Delete(tree);
    model_config config;
    assert_int_equal(config_parse(final, strlen(final), "config.json", &config, err), NB_OK);
    plan *dry = NULL;
    const plan_spec *specs;
    nb_status status = model_specs(&config, &dry, &specs, n, err);
    plan_free(dry);
    config_close(&config);
    cJSON_free(final);
    return status;
}

static const struct bad {
    const char *base, *more, *says;
} bads[] = {
    {moe, "'num_experts_per_tok':7", "num_experts_per_tok is 7 of num_experts 6"},
    {moe, "'num_experts_per_tok':0", "\"num_experts_per_tok\" is 0"},
    {moe, "'num_experts':null", "\"num_experts\" is missing"},
    {moe, "'num_experts':-1", "\"num_experts\" is -1"},
    {moe, "'num_experts':1e9", "\"num_experts\" is 1000000000"},
    {moe, "'moe_intermediate_size':null", "\"moe_intermediate_size\" is missing"},
    {moe, "'moe_intermediate_size':-24", "\"moe_intermediate_size\" is -24"},
    {moe, "'mlp_only_layers':[3]", "mlp_only_layers names layer 3, expected numbers below num_hidden_layers = 3"},
    {moe, "'mlp_only_layers':[0.5]", "mlp_only_layers names layer 0.5"},
    {moe, "'mlp_only_layers':1", "mlp_only_layers is not an array"},
    {moe, "'decoder_sparse_step':0", "\"decoder_sparse_step\" is 0"},
    {moe, "'num_key_value_heads':2", "num_attention_heads 3 is no multiple of num_key_value_heads 2"},
    {moe, "'num_attention_heads':65536,'head_dim':4096", "num_attention_heads 65536 x head_dim 4096"},
    {moe, "'head_dim':15", "head_dim is 15"},
    {moe, "'norm_topk_prob':'yes'", "\"norm_topk_prob\" is a string"},
    {next, "'linear_num_value_heads':7", "linear_num_value_heads 7 is no multiple of linear_num_key_heads 3"},
    {next, "'linear_num_key_heads':0", "\"linear_num_key_heads\" is 0"},
    {next, "'linear_key_head_dim':null", "\"linear_key_head_dim\" is missing"},
    {next, "'linear_key_head_dim':2000000", "\"linear_key_head_dim\" is 2000000"},
    {next, "'linear_num_value_heads':999,'linear_value_head_dim':1024,'linear_key_head_dim':1024",
     "linear_num_value_heads 999 x linear_value_head_dim 1024 x linear_key_head_dim 1024"},
    {next, "'linear_conv_kernel_dim':1", "\"linear_conv_kernel_dim\" is 1"},
    {next, "'full_attention_interval':0", "\"full_attention_interval\" is 0"},
    {next, "'layer_types':['linear_attention']", "layer_types has 1 entries, expected num_hidden_layers = 4"},
    {next, "'layer_types':['linear_attention','full_attention','mamba','full_attention']",
     "layer_types[2] is \"mamba\", expected full_attention or linear_attention"},
    {next,
     "'layer_types':['linear_attention','full_attention','linear_attention','full_attention'],"
     "'full_attention_interval':4",
     "layer_types[1] is \"full_attention\", but full_attention_interval 4"},
    {next, "'partial_rotary_factor':0.2", "partial_rotary_factor 0.2 of head_dim 16 are 3 rotated columns"},
    {next, "'partial_rotary_factor':1.5", "\"partial_rotary_factor\" is 1.5"},
    {next, "'partial_rotary_factor':null", "\"partial_rotary_factor\" is missing"},
    {next, "'rope_scaling':{'rope_type':'spiral'}", "unknown type \"spiral\""},
    {next, "'shared_expert_intermediate_size':0", "\"shared_expert_intermediate_size\" is 0"},
    {dense, "'rope_parameters':{'rope_type':'spiral'}", "unknown type \"spiral\""},
    {dense, "'num_experts':6", "\"num_experts_per_tok\" is missing"},
    {dense, "'num_experts':6,'num_experts_per_tok':2", "\"moe_intermediate_size\" is missing"},
    {dense, "'num_hidden_layers':1e6", "\"num_hidden_layers\" is 1000000"},
};

static void test_contradictions(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        nb_error err = {0};
        size_t n;
        nb_status status = build(bads[i].base, bads[i].more, &n, &err);
        if (status == NB_OK) fail_msg("%s: was taken", bads[i].more);
        if (!strstr(err.text, bads[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", bads[i].more, err.text, bads[i].says);
        assert_non_null(strstr(err.text, "config.json"));
    }
}

static void test_builds(void **state) {
    (void)state;
    nb_error err = {0};
    size_t all, some;
    assert_int_equal(build(moe, "", &all, &err), NB_OK);
    assert_int_equal(build(moe, "'mlp_only_layers':[1]", &some, &err), NB_OK);
    assert_int_equal(all, some + 1); /* the router: three projections either way */
    assert_int_equal(build(moe, "'num_experts':0", &some, &err), NB_OK);
    assert_int_equal(all, some + 3);
    assert_int_equal(build(next, "", &all, &err), NB_OK);
    assert_int_equal(build(dense, "", &all, &err), NB_OK);
    /* without the interval layer_types decides */
    assert_int_equal(build(dense,
                           "'layer_types':['full_attention','linear_attention','linear_attention',"
                           "'linear_attention']",
                           &some, &err),
                     NB_OK);
    assert_int_equal(all, some);
    assert_int_equal(build(dense, "'attn_output_gate':false", &some, &err), NB_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_contradictions), cmocka_unit_test(test_builds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
