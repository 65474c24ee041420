/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble verify`: whether this device's kernels compute what they must. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/args.h"
#include "engine/verification.h"

enum { COULD_NOT_RUN = 2 };

typedef struct verify_args {
    const char *backend, *level, *json, *html, *device;
    bool quick, at_load, list, forget;
    opt_seed seed;
    context_args context;
} verify_args;

/* ---- What is set aside ------------------------------------------------------------------------------------------ */

static void print_aside(const verdict *v, const verdict_aside *a) {
    char name[32];
    out_printf(
        "%s\n  on         %s, %s (%s), %s\n  since      %s, nibble %s%s%s\n  found      %s: %s\n  where      %s\n",
        a->kernel, device_text(&v->device, name), v->device.name, v->device.features, v->device.driver, v->date,
        v->version, v->model[0] ? ", " : "", v->model, finding_kind_name(a->kind), a->what, a->where);
    if (a->instead[0]) out_printf("  instead    %s", a->instead);
    if (a->instead[0] && a->slowdown >= 1) out_printf(", %.1f times slower", a->slowdown);
    out_printf(a->instead[0] ? "\n\n" : "\n");
}

static void print_verdict(void *user, const verdict *v) {
    size_t *n = user;
    for (size_t i = 0; i < v->n_aside; i++) print_aside(v, &v->aside[i]);
    *n += v->n_aside;
}

static int list(void) {
    nb_error err = {0};
    size_t n = 0, n_others;
    if (verification_list(print_verdict, &n, &n_others, &err)) return cli_error(&err);
    if (n == 0) out_printf("No kernel is set aside.\n");
    if (n_others > 0)
        out_printf("%zu verdict%s about other devices, drivers or builds of nibble, not shown.\n", n_others,
                   n_others == 1 ? " is" : "s are");
    return CLI_OK;
}

static int forget(void) {
    nb_error err = {0};
    size_t n;
    if (verdict_forget(&n, &err)) return cli_error(&err);
    out_printf("%zu verdict%s forgotten.\n", n, n == 1 ? "" : "s");
    return CLI_OK;
}

/* ---- Reports ---------------------------------------------------------------------------------------------------- */

static int terminal_columns(void) {
    struct winsize size = {0};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 100;
}

/* To a file, or for "-" to stdout. */
static nb_status put(const char *path, const buf *text, nb_error *err) {
    if (text->failed) return err_no_memory(err, "the report", 0);
    if (strcmp(path, "-") != 0) return file_write(path, text->data, text->len, err);
    out_write(text->data, text->len);
    return NB_OK;
}

static nb_status write_reports(const verify_args *a, const report *reports, size_t n, nb_error *err) {
    buf text = {0}, json = {0}, html = {0};
    nb_status status = NB_OK;
    const bool quiet = (a->json && !strcmp(a->json, "-")) || (a->html && !strcmp(a->html, "-"));
    for (size_t i = 0; i < n && !quiet; i++) report_put_text(&reports[i], terminal_columns(), &text);
    if (!quiet) status = put("-", &text, err);
    if (a->json && !status) {
        report_put_json(reports, n, &json);
        status = put(a->json, &json, err);
    }
    if (a->html && !status) {
        report_put_html(reports, n, &html);
        status = put(a->html, &html, err);
    }
    buf_free(&text);
    buf_free(&json);
    buf_free(&html);
    return status;
}

static bool all_right(const report *reports, size_t n) {
    bool ok = true;
    for (size_t i = 0; i < n; i++) ok &= report_ok(&reports[i]);
    return ok;
}

/* ---- The command ------------------------------------------------------------------------------------------------ */

/* Sets request->levels; false where the word is none. */
static bool choose_levels(const char *word, bool has_model, verification_request *request) {
    const bool all = !word || strcmp(word, "all") == 0;
    bool any = false;
    for (verify_level level = 0; level < VERIFY_LEVELS; level++) {
        const bool this_one = all ? has_model || level == VERIFY_KERNELS : strcmp(word, verify_level_name(level)) == 0;
        any |= request->levels[level] = this_one;
    }
    return any;
}

/* Before the work of minutes, not after it: whether its result can be put there. */
static nb_status check_target(const char *path, nb_error *err) {
    if (!path || strcmp(path, "-") == 0) return NB_OK;
    char *folder = strdup(path), *end = folder ? strrchr(folder, '/') : NULL;
    nb_status status = folder ? file_check_target(path, err) : err_no_memory(err, "a path", 0);
    if (end) end[end == folder] = 0;
    if (!status && access(end ? folder : ".", W_OK) != 0)
        status = err_set(err, NB_ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    free(folder);
    return status;
}

static int verify(const verify_args *a, const char *name, verification_request *request) {
    nb_error err = {0};
    nb_model *model = NULL;
    report *reports = NULL;
    size_t n = 0;
    nb_status status = check_target(a->json, &err);
    if (!status) status = check_target(a->html, &err);
    if (!status && name) status = nb_model_open(name, &model, &err);
    if (!status) status = verification_run(model, request, &reports, &n, &err);
    progress_clear();
    if (!status) status = write_reports(a, reports, n, &err);
    int code = all_right(reports, n) ? CLI_OK : CLI_FAILURE;
    if (status) code = cli_error(&err) == CLI_INTERRUPTED ? CLI_INTERRUPTED : COULD_NOT_RUN;
    verification_free(reports, n);
    nb_model_free(model);
    return code;
}

/* What loading the model would check, on the device that it would be loaded on. */
static int at_load(const verify_args *a, const char *name) {
    const nb_context_options options = {.n_threads = (int)a->context.threads,
                                        .kv_type = (nb_kv_type)a->context.kv_type,
                                        .n_batch = a->context.batch,
                                        .gpu_layers = (int)a->context.gpu_layers,
                                        .device = a->device,
                                        .verify = a->quick ? NB_VERIFY_QUICK : NB_VERIFY_FULL};
    nb_error err = {0};
    nb_model *model = NULL;
    size_t n_wrong = 0;
    nb_status status = nb_model_open(name, &model, &err);
    if (!status) status = context_check(model, &options, &n_wrong, &err);
    nb_model_free(model);
    if (status) return cli_error(&err) == CLI_INTERRUPTED ? CLI_INTERRUPTED : COULD_NOT_RUN;
    if (n_wrong == 0)
        out_printf("No kernel that is used is known to be wrong.\n");
    else
        out_printf("%zu kernel%s set aside: `nibble verify --list` says why.\n", n_wrong,
                   n_wrong == 1 ? " is" : "s are");
    return n_wrong ? CLI_FAILURE : CLI_OK;
}

/* --device and --backend together: "cuda:1" is backend "cuda" and index 1. */
static nb_status choose_device(const verify_args *a, verification_request *request, nb_error *err) {
    const backend *b;
    char *end;
    request->backend = a->backend;
    request->index = -1;
    if (!a->device) return NB_OK;
    const long n = strtol(a->device, &end, 10);
    if (a->backend && *a->device >= '0' && *a->device <= '9' && !*end && n <= 1024) {
        request->index = (int)n;
        return NB_OK;
    }
    nb_status status = engine_parse_device(a->device, &b, &request->index, err);
    if (status) return status;
    if (a->backend && strcmp(a->backend, b->name) != 0)
        return err_set(err, NB_ERR_ARGUMENT, "--device %s is not of --backend %s", a->device, a->backend);
    request->backend = b->name;
    return NB_OK;
}

static int verify_main(const command *self, int argc, char **argv) {
    verify_args a = {0};
    const opt table[] = {
        {"level", 0, OPT_STRING, &a.level, "kernels|paths|plan|answer|all", "what to check [all]", 0, 0},
        {"quick", 0, OPT_FLAG, &a.quick, NULL, "fewer cases, shorter prompts", 0, 0},
        {"seed", 0, OPT_SEED, &a.seed, "N", "other numbers in the cases [0]", 0, 0},
        {"json", 0, OPT_STRING, &a.json, "FILE", "write all that was found as JSON; - is standard output", 0, 0},
        {"html", 0, OPT_STRING, &a.html, "FILE", "write a page with a picture of each error", 0, 0},
        {"backend", 0, OPT_STRING, &a.backend, "B", "only devices of this backend [all]", 0, 0},
        {"device", 0, OPT_STRING, &a.device, "DEVICE", "only this one: cpu, cuda:1, or a number with --backend [all]",
         0, 0},
        THREADS_OPT(a.context),
        KV_TYPE_OPT(a.context),
        {.kind = OPT_TITLE, .help = "What a load would check"},
        {"at-load", 0, OPT_FLAG, &a.at_load, NULL, "check only what loading MODEL does, so that it need not", 0, 0},
        BATCH_OPT(a.context),
        GPU_LAYERS_OPT(a.context),
        {.kind = OPT_TITLE, .help = "What is remembered"},
        {"list", 0, OPT_FLAG, &a.list, NULL, "show which kernels are set aside, and why", 0, 0},
        {"forget", 0, OPT_FLAG, &a.forget, NULL, "forget all verdicts", 0, 0},
    };
    const char *words[2];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 0, 1);
    if (code >= 0) return code;
    if (a.list && a.forget) return cli_usage(self->name, "--list and --forget exclude each other");
    if ((a.list || a.forget) && words[0]) return cli_usage(self->name, "--list and --forget go without a MODEL");
    if (a.at_load && !words[0]) return cli_usage(self->name, "--at-load needs a MODEL");
    if (a.at_load && (a.level || a.json || a.html || a.backend || a.list || a.forget))
        return cli_usage(self->name, "--at-load goes without --level, --json, --html, --backend, --list and --forget");
    if (!a.at_load && (a.context.batch || a.context.gpu_layers))
        return cli_usage(self->name, "--batch and --gpu-layers are for --at-load");
    if (a.at_load) return at_load(&a, words[0]);
    if (a.list) return list();
    if (a.forget) return forget();
    verification_request request = {.full = !a.quick,
                                    .seed = a.seed.value,
                                    .n_threads = (int)a.context.threads,
                                    .kv_type = (nb_kv_type)a.context.kv_type,
                                    .progress = progress_show};
    nb_error err = {0};
    if (choose_device(&a, &request, &err)) return cli_usage(self->name, "%s", err.text);
    if (!choose_levels(a.level, words[0] != NULL, &request))
        return cli_usage(self->name, "--level: \"%s\" is not one of kernels, paths, plan, answer, all", a.level);
    if (!words[0] && !request.levels[VERIFY_KERNELS]) return cli_usage(self->name, "--level %s needs a MODEL", a.level);
    return verify(&a, words[0], &request);
}

const command cmd_verify = {
    .name = "verify",
    .usage = "[MODEL]",
    .summary = "prove this device's kernels, or find the wrong one",
    .text = "Compares every kernel with the definition of what it must compute, on this machine: on made-up operands "
            "(kernels), and with a MODEL each of its matrices by every kernel that could compute it (paths), each step "
            "of a forward pass (plan), and answers beside a run of the definitions alone (answer). Without a MODEL all "
            "kernels of all devices are checked. A kernel that is wrong is set aside from then on. Exit code 0: all is "
            "right; 1: something differs; 2: it could not run.",
    .run = verify_main,
};
