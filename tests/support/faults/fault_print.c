/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints the list of faults for scripts, a line each, fields separated by tabs: name, level, depth (load, quick, full),
 * kinds of findings that are right (separated by commas), model, the rows of this machine that have it (separated by
 * commas), what it is. */
#include <stdio.h>
#include <stdlib.h>

#include "cpu/caps.h"
#include "support/faults/faults.h"

static void print_kinds(unsigned kinds) {
    const char *separator = "";
    for (finding_kind kind = 0; kind < FOUND_KINDS; kind++) {
        if (!(kinds >> kind & 1)) continue;
        printf("%s%s", separator, finding_kind_name(kind));
        separator = ",";
    }
}

static nb_status print_rows(const fault *f, nb_error *err) {
    kregistry *r;
    setenv("NB_FAULT", f->name, 1);
    nb_status status = kreg_new(&r, err);
    if (!status) status = cpu_register(r, cpu_caps_detect(), err);
    const char *separator = "";
    for (size_t i = 0; !status && i < kreg_count(r); i++) {
        if (!fault_is_in(kreg_at(r, i))) continue;
        printf("%s%s", separator, kreg_at(r, i)->name);
        separator = ",";
    }
    kreg_free(r);
    return status;
}

int main(void) {
    static const char *const depths[] = {[AT_LOAD] = "load", [QUICK] = "quick", [FULL] = "full"};
    for (const fault *f = faults; f->name; f++) {
        nb_error err;
        printf("%s\t%s\t%s\t", f->name, verify_level_name(f->level), depths[f->depth]);
        print_kinds(f->kinds);
        printf("\t%s\t", f->model);
        if (print_rows(f, &err)) return fprintf(stderr, "fault-list: %s\n", err.text), 1;
        printf("\t%s\n", f->what);
    }
    return 0;
}
