/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble devices`: what there is to run models on, and why something is not used. */
#include "cli/args.h"

/* "cuda:0"; "cuda" where the backend has no devices. */
static const char *name_of(const nb_device *d, char text[32]) {
    if (d->index >= 0)
        snprintf(text, 32, "%s:%d", d->backend, d->index);
    else
        snprintf(text, 32, "%s", d->backend);
    return text;
}

static void print_device(const nb_device *d) {
    char name[32];
    if (d->index < 0) {
        out_printf("%-8s not there: %s\n", name_of(d, name), d->unusable);
        return;
    }
    out_printf("%-8s %s", name_of(d, name), d->name);
    if (d->arch[0]) out_printf(", %s", d->arch);
    if (d->memory_bytes > 0) out_printf(", %.1f GB", (double)d->memory_bytes * 1e-9);
    if (d->driver[0]) out_printf(", %s", d->driver);
    out_printf("\n");
    if (d->unusable[0]) out_printf("%-8s not used: %s\n", "", d->unusable);
    if (d->gemm[0] && !d->unusable[0]) out_printf("%-8s large products: %s\n", "", d->gemm);
}

static int devices_main(const command *self, int argc, char **argv) {
    bool names_only = false;
    const opt table[] = {
        {"names", 0, OPT_FLAG, &names_only, NULL, "print the names only, of those that can be used", 0, 0},
    };
    const char *words[1];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 0, 0);
    if (code >= 0) return code;

    nb_error err = {0};
    nb_device *devices;
    size_t n;
    char name[32];
    if (nb_devices(&devices, &n, &err)) return cli_error(&err);
    for (size_t i = 0; i < n; i++) {
        if (!names_only)
            print_device(&devices[i]);
        else if (!devices[i].unusable[0])
            out_printf("%s\n", name_of(&devices[i], name));
    }
    nb_free(devices);
    return CLI_OK;
}

const command cmd_devices = {
    .name = "devices",
    .usage = "",
    .summary = "list what models can run on",
    .text =
        "Lists the devices of all backends, in the order in which --device auto tries them: name, architecture, memory "
        "and driver; whose large products it uses (a vendor's library, or nibble's own and why); and why a device or a whole "
        "backend is not used.",
    .run = devices_main,
};
