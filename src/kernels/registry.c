/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry: rows by operation, the choice among them, and which are set aside. A few hundred rows at most and one
 * look-up per step of a plan, so it is a plain array. */
#include "kernels/registry.h"

#include <stdlib.h>
#include <string.h>

#include "base/glob.h"

typedef struct entry {
    const krow *row;
    bool aside;
} entry;

struct kregistry {
    entry *entries;
    size_t n, cap;
};

nb_status kreg_new(kregistry **out, nb_error *err) {
    *out = calloc(1, sizeof **out);
    return *out ? NB_OK : err_no_memory(err, "the kernel registry", sizeof **out);
}

void kreg_free(kregistry *r) {
    if (!r) return;
    free(r->entries);
    free(r);
}

static bool is_complete(const krow *row) {
    return row->name && row->backend && row->op >= 0 && row->op < KOP_COUNT && row->takes && row->tasks &&
           (row->run || row->enqueue);
}

nb_status kreg_add(kregistry *r, const krow *rows, size_t n, nb_error *err) {
    if (r->n + n > r->cap) {
        size_t cap = 2 * (r->n + n);
        entry *entries = realloc(r->entries, cap * sizeof *entries);
        if (!entries) return err_no_memory(err, "the kernel registry", cap * sizeof *entries);
        r->entries = entries;
        r->cap = cap;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_complete(&rows[i]))
            return err_set(err, NB_ERR_ARGUMENT, "kernel %s: the row lacks a field", rows[i].name ? rows[i].name : "?");
        if (kreg_named(r, rows[i].name))
            return err_set(err, NB_ERR_ARGUMENT, "kernel %s: there is already a row of this name", rows[i].name);
        r->entries[r->n++] = (entry){.row = &rows[i]};
    }
    return NB_OK;
}

size_t kreg_count(const kregistry *r) {
    return r->n;
}

const krow *kreg_at(const kregistry *r, size_t i) {
    return r->entries[i].row;
}

const krow *kreg_named(const kregistry *r, const char *name) {
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->entries[i].row->name, name) == 0) return r->entries[i].row;
    return NULL;
}

static bool takes(const krow *row, const kcall *c) {
    if (row->op != c->op || (kcall_fused(c) & ~row->fused)) return false;
    const kweight *w = c->w && c->w->experts ? c->w->experts : c->w; /* experts are all alike */
    if (row->layout && (!w || w->layout != row->layout || !w->packed)) return false;
    if (kop_is_product(row->op) || row->op == KOP_EMBED) { /* a repacked weight may have lost its stored bytes */
        if (!row->layout && !w->codes) return false;
    }
    if (row->x_type != DT_NONE && row->x_type != c->x.type) return false;
    return row->takes(row, c);
}

bool kreg_takes(const krow *row, const kcall *c) {
    return kcall_ok(c) && takes(row, c);
}

const krow *kreg_find(const kregistry *r, const kcall *c) {
    const krow *best = NULL;
    if (!kcall_ok(c)) return NULL;
    for (size_t i = 0; i < r->n; i++) {
        const krow *row = r->entries[i].row;
        if (r->entries[i].aside || (best && row->rank <= best->rank)) continue;
        if (takes(row, c)) best = row;
    }
    return best;
}

/* The pattern that a list begins with goes to *pattern, its length is returned; the list goes on behind it. */
static size_t next_pattern(const char **list, const char **pattern) {
    *list += strspn(*list, ",");
    const size_t length = strcspn(*list, ",");
    *pattern = *list;
    *list += length;
    return length;
}

nb_status kreg_select(kregistry *r, const char *patterns, nb_error *err) {
    const char *pattern;
    for (size_t length; (length = next_pattern(&patterns, &pattern)) > 0;) {
        if (pattern[0] != '-' && pattern[0] != '+')
            return err_set(err, NB_ERR_ARGUMENT, "kernel pattern \"%.*s\": expected - or + in front of a name",
                           (int)length, pattern);
        for (size_t i = 0; i < r->n; i++)
            if (glob_matches(pattern + 1, length - 1, r->entries[i].row->name)) r->entries[i].aside = pattern[0] == '-';
    }
    return NB_OK;
}

static bool matches_any(const kregistry *r, const char *pattern, size_t length) {
    for (size_t i = 0; i < r->n; i++)
        if (glob_matches(pattern + 1, length - 1, r->entries[i].row->name)) return true;
    return false;
}

const char *kreg_unmatched(const kregistry *const *all, size_t n, const char *patterns, size_t *length) {
    const char *pattern;
    while ((*length = next_pattern(&patterns, &pattern)) > 0) {
        bool found = false;
        for (size_t i = 0; i < n && !found; i++) found = matches_any(all[i], pattern, *length);
        if (!found) return pattern;
    }
    return NULL;
}

bool kreg_is_aside(const kregistry *r, const krow *row) {
    for (size_t i = 0; i < r->n; i++)
        if (r->entries[i].row == row) return r->entries[i].aside;
    return false;
}

void kreg_set_aside(kregistry *r, const krow *row, bool aside) {
    for (size_t i = 0; i < r->n; i++)
        if (r->entries[i].row == row) r->entries[i].aside = aside;
}
