/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble quantize` and `nibble dequantize`: another form of a model in a new directory. */
#include <stdio.h>

#include "cli/args.h"
#include "cli/quantize_report.h"

static const char *const modes[] = {NULL, "affine", "mxfp4", "mxfp8", "nvfp4"};
static const char *const recipe_names[] = {NULL, "mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"};
static const char *const dtypes[] = {NULL, "float16", "bfloat16", "float32"};

/* Options of both commands. A choice that was not made is -1. */
typedef struct convert_args {
    int64_t mode, bits, group_size, router_bits, recipe, dtype, threads;
    opt_list overrides;
    bool report;
    const char *text;
} convert_args;

static nb_convert_options options_of(const convert_args *a) {
    return (nb_convert_options){.mode = modes[a->mode + 1],
                                .bits = (int)a->bits,
                                .group_size = (int)a->group_size,
                                .router_bits = (int)a->router_bits,
                                .recipe = recipe_names[a->recipe + 1],
                                .dtype = dtypes[a->dtype + 1],
                                .overrides = a->overrides.items,
                                .n_overrides = a->overrides.n,
                                .n_threads = (int)a->threads,
                                .progress = progress_show};
}

static int done(nb_status status, const char *dir, const nb_error *err) {
    progress_clear();
    if (status) return cli_error(err);
    return out_printf("%s\n", dir) ? CLI_OK : CLI_FAILURE;
}

/* clang-format off */
#define DTYPE_OPT(a) \
    {"dtype", 0, OPT_CHOICE, &(a).dtype, "float16|bfloat16|float32", \
     "type of the floats, scales among them [config.json's]", 0, 0}
/* clang-format on */

static int quantize_main(const command *self, int argc, char **argv) {
    convert_args a = {.mode = -1, .recipe = -1, .dtype = -1};
    const opt table[] = {
        {"mode", 0, OPT_CHOICE, &a.mode, "affine|mxfp4|mxfp8|nvfp4", "how numbers are stored [affine]", 0, 0},
        {"bits", 'b', OPT_INT, &a.bits, "N", "bits of a weight: 2, 3, 4, 5, 6 or 8 [the mode's; affine: 4]", 2, 8},
        {"group-size", 'g', OPT_INT, &a.group_size, "N",
         "weights that share a scale: 32, 64 or 128 [the mode's; affine: 64]", 16, 128},
        {"router-bits", 0, OPT_INT, &a.router_bits, "N",
         "bits of mixture-of-experts routers, in groups of 64 [8; with --recipe the recipe's]", 2, 8},
        {"recipe", 0, OPT_CHOICE, &a.recipe, "mixed_2_6|mixed_3_4|mixed_3_6|mixed_4_6",
         "more bits for the layers that need them", 0, 0},
        {"override", 0, OPT_LIST, &a.overrides, "PATTERN=BITS:GROUP:MODE",
         "quantize the modules whose path matches in another way, or with \"none\" not at all; may be repeated", 0, 0},
        DTYPE_OPT(a),
        {"report", 0, OPT_FLAG, &a.report, NULL, "then print the error of each tensor", 0, 0},
        {"text", 0, OPT_STRING, &a.text, "FILE", "with --report: print the perplexity of a text before and after", 0,
         0},
        THREADS_OPT(a),
    };
    const char *words[3];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 2, 2);
    if (code >= 0) return code;
    if (a.text && !a.report) return cli_usage(self->name, "--text goes with --report only");
    nb_convert_options options = options_of(&a);
    nb_error err = {0};
    code = done(nb_quantize(words[0], words[1], &options, &err), words[1], &err);
    if (code == CLI_OK && a.report) code = quantize_report(words[0], words[1], a.text, (int)a.threads);
    return code;
}

static int dequantize_main(const command *self, int argc, char **argv) {
    convert_args a = {.mode = -1, .recipe = -1, .dtype = -1};
    const opt table[] = {DTYPE_OPT(a), THREADS_OPT(a)};
    const char *words[3];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 2, 2);
    if (code >= 0) return code;
    nb_convert_options options = options_of(&a);
    nb_error err = {0};
    return done(nb_dequantize(words[0], words[1], &options, &err), words[1], &err);
}

const command cmd_quantize = {
    .name = "quantize",
    .usage = "MODEL DIR",
    .summary = "write a quantized copy of a model",
    .text =
        "Writes a quantized copy of a model, in Hugging Face's or MLX's layout, as an MLX model directory, and prints "
        "the directory's name. The bytes are those that mlx_lm.convert makes. DIR must not exist or be empty; it "
        "appears only when it is complete. After an interruption the same command goes on where it was.",
    .run = quantize_main,
};

const command cmd_dequantize = {
    .name = "dequantize",
    .usage = "MODEL DIR",
    .summary = "write an unquantized copy of a quantized model",
    .text =
        "Writes a copy of a model whose quantized weights have become floats again, and prints the directory's name. "
        "DIR must not exist or be empty; it appears only when it is complete. After an interruption the same command "
        "goes on where it was.",
    .run = dequantize_main,
};
