/* SPDX-License-Identifier: Apache-2.0
 *
 * Filters on sequences. Those that are generators in jinja2 return V_GEN, which can be walked through once. */
#include <string.h>

#include "text/jinja_impl.h"

#define FN(name) static val name(jj *c, val self, const val *a, const jargs *raw)
#define UNUSED   (void)c, (void)self, (void)a, (void)raw

FN(f_length) {
    UNUSED;
    if (self.t == V_GEN || self.t == V_NONE || self.t == V_BOOL || self.t == V_INT || self.t == V_FLOAT)
        jj_error(c, "object of type '%s' has no len()", type_name(self));
    if (self.t == V_LOOP) return v_int((int64_t)self.loop->items->n);
    iter it;
    iter_start(c, self, &it);
    return v_int((int64_t)it.n);
}
FN(f_first) {
    UNUSED;
    iter it;
    val v;
    iter_start(c, self, &it);
    return iter_next(c, &it, &v) ? v : v_undef(c, "No first item, sequence was empty.");
}
FN(f_last) {
    UNUSED;
    if (self.t == V_GEN) jj_error(c, "'generator' object is not reversible");
    jlist *l = self.t == V_LIST || self.t == V_TUPLE ? self.l : to_list(c, self);
    return l->n ? l->v[l->n - 1] : v_undef(c, "No last item, sequence was empty.");
}
FN(f_list) {
    UNUSED;
    return v_list(to_list(c, self));
}

static jlist *reversed(jj *c, const jlist *l) {
    jlist *r = list_new(c, l->n);
    for (size_t i = l->n; i-- > 0;) r->v[r->n++] = l->v[i];
    jj_step(c, l->n / 4);
    return r;
}
FN(f_reverse) {
    UNUSED;
    jlist *r = reversed(c, to_list(c, self));
    if (self.t != V_STR) return v_gen(c, r);
    size_t from = mark(c);
    for (size_t i = 0; i < r->n; i++) put(c, r->v[i].s->p, r->v[i].s->n);
    return v_jstr(take(c, from));
}
FN(f_join) {
    UNUSED;
    const jstr *sep = a[0].t == V_MISSING ? jstr_view(c, "", 0) : to_str(c, a[0]);
    iter it;
    iter_start(c, self, &it);
    size_t from = mark(c);
    bool first = true;
    for (val v; iter_next(c, &it, &v); first = false) {
        if (!first) put(c, sep->p, sep->n);
        if (a[1].t != V_MISSING && a[1].t != V_NONE) v = get_path(c, v, a[1]);
        put_value(c, v);
    }
    return v_jstr(take(c, from));
}
FN(f_items) {
    UNUSED;
    if (is_undef(self)) return v_gen(c, list_new(c, 0));
    if (self.t != V_DICT) jj_error(c, "Can only get item pairs from a mapping.");
    val v = v_of(V_VIEW);
    v.view = jj_alloc(c, sizeof *v.view);
    *v.view = (jview){self.d, VIEW_ITEMS};
    return v_gen(c, to_list(c, v));
}

/* ---- Sorting ----------------------------------------------------------------------------------------------------- */

static val fold(jj *c, val v, bool case_sensitive) {
    return case_sensitive || v.t != V_STR ? v : v_jstr(str_map(c, v.s, 'l'));
}

/* The sort key of an item: one value, or with "a,b" a list of several. */
static val sort_key(jj *c, val item, val attribute, bool case_sensitive) {
    if (attribute.t == V_MISSING || attribute.t == V_NONE) return fold(c, item, case_sensitive);
    if (attribute.t != V_STR || !memchr(attribute.s->p, ',', attribute.s->n))
        return fold(c, get_path(c, item, attribute), case_sensitive);
    jlist *names = str_split(c, attribute.s, jstr_view(c, ",", 1), -1, false), *keys = list_new(c, names->n);
    for (size_t i = 0; i < names->n; i++) list_add(c, keys, fold(c, get_path(c, item, names->v[i]), case_sensitive));
    return v_list(keys);
}

typedef struct entry {
    val key, item;
} entry;

/* A stable merge sort: qsort is neither stable nor may its comparison jump out. */
static void merge_sort(jj *c, entry *e, entry *tmp, size_t n, bool reverse) {
    if (n < 2) return;
    size_t half = n / 2, i = 0, k = half, o = 0;
    merge_sort(c, e, tmp, half, reverse);
    merge_sort(c, e + half, tmp + half, n - half, reverse);
    while (i < half && k < n) {
        bool second =
            reverse ? v_compare(c, e[i].key, e[k].key, "<") == -1 : v_compare(c, e[k].key, e[i].key, "<") == -1;
        tmp[o++] = second ? e[k++] : e[i++];
    }
    while (i < half) tmp[o++] = e[i++];
    while (k < n) tmp[o++] = e[k++];
    memcpy(e, tmp, n * sizeof *e);
}

static entry *sorted(jj *c, const jlist *l, val attribute, bool case_sensitive, bool reverse) {
    entry *e = jj_array(c, l->n + 1, sizeof *e), *tmp = jj_array(c, l->n + 1, sizeof *tmp);
    for (size_t i = 0; i < l->n; i++) e[i] = (entry){sort_key(c, l->v[i], attribute, case_sensitive), l->v[i]};
    merge_sort(c, e, tmp, l->n, reverse);
    return e;
}

FN(f_sort) {
    UNUSED;
    jlist *l = to_list(c, self);
    entry *e = sorted(c, l, a[2], arg_bool(a[1], false), arg_bool(a[0], false));
    for (size_t i = 0; i < l->n; i++) l->v[i] = e[i].item;
    return v_list(l);
}
FN(f_dictsort) {
    UNUSED;
    if (is_undef(self)) fail_undef(c, self);
    if (self.t != V_DICT) jj_error(c, "'%s' object has no attribute 'items'", type_name(self));
    const jstr *by = arg_str(c, a[1], "key", "dictsort's by");
    if (!jstr_is(by, "key") && !jstr_is(by, "value")) jj_error(c, "You can only sort by either \"key\" or \"value\"");
    const val none = {0};
    val pairs = f_items(c, self, &none, raw);
    entry *e = sorted(c, pairs.gen->l, v_int(jstr_is(by, "value")), arg_bool(a[0], false), arg_bool(a[2], false));
    for (size_t i = 0; i < pairs.gen->l->n; i++) pairs.gen->l->v[i] = e[i].item;
    return v_list(pairs.gen->l);
}
FN(f_unique) {
    UNUSED;
    iter it;
    iter_start(c, self, &it);
    jdict *seen = dict_new(c);
    jlist *l = list_new(c, 0);
    for (val v; iter_next(c, &it, &v);) {
        val key = sort_key(c, v, a[1], arg_bool(a[0], false));
        if (dict_get(c, seen, key)) continue;
        dict_set(c, seen, key, v_none());
        list_add(c, l, v);
    }
    return v_gen(c, l);
}

static val extreme(jj *c, val self, const val *a, bool max) {
    iter it;
    val best, v;
    iter_start(c, self, &it);
    if (!iter_next(c, &it, &best)) return v_undef(c, "No aggregated item, sequence was empty.");
    val best_key = sort_key(c, best, a[1], arg_bool(a[0], false));
    while (iter_next(c, &it, &v)) {
        val key = sort_key(c, v, a[1], arg_bool(a[0], false));
        if (v_compare(c, key, best_key, max ? ">" : "<") != (max ? 1 : -1)) continue;
        best = v;
        best_key = key;
    }
    return best;
}
FN(f_min) {
    UNUSED;
    return extreme(c, self, a, false);
}
FN(f_max) {
    UNUSED;
    return extreme(c, self, a, true);
}
FN(f_sum) {
    UNUSED;
    iter it;
    iter_start(c, self, &it);
    val total = a[1].t == V_MISSING ? v_int(0) : a[1];
    for (val v; iter_next(c, &it, &v);)
        total = op_binary(c, T_ADD, total, a[0].t == V_MISSING || a[0].t == V_NONE ? v : get_path(c, v, a[0]));
    return total;
}
FN(f_groupby) {
    UNUSED;
    jlist *l = to_list(c, self), *groups = list_new(c, 0);
    bool sensitive = arg_bool(a[2], false);
    val fallback = a[1];
    entry *e = jj_array(c, l->n + 1, sizeof *e), *tmp = jj_array(c, l->n + 1, sizeof *tmp);
    for (size_t i = 0; i < l->n; i++) {
        val key = get_path(c, l->v[i], a[0]);
        if (is_undef(key) && fallback.t != V_MISSING && fallback.t != V_NONE) key = fallback;
        e[i] = (entry){fold(c, key, sensitive), l->v[i]};
    }
    merge_sort(c, e, tmp, l->n, false);
    for (size_t i = 0, k; i < l->n; i = k) {
        jlist *members = list_new(c, 0), *group = list_new(c, 2);
        for (k = i; k < l->n && v_equal(c, e[k].key, e[i].key); k++) list_add(c, members, e[k].item);
        val grouper = get_path(c, e[i].item, a[0]);
        if (is_undef(grouper) && fallback.t != V_MISSING && fallback.t != V_NONE) grouper = fallback;
        list_add(c, group, sensitive ? e[i].key : grouper);
        list_add(c, group, v_list(members));
        val named = v_tuple(group);
        named.safe = true; /* .grouper and .list */
        list_add(c, groups, named);
        if (k == i) k++; /* NaN equals nothing, not even itself */
    }
    return v_list(groups);
}

/* ---- map, select, reject ----------------------------------------------------------------------------------------- */

/* The arguments after the first `skip`. */
static jargs rest_of(const jargs *raw, size_t skip) {
    jargs rest = *raw;
    rest.v += skip;
    rest.n -= skip;
    return rest;
}

FN(f_map) {
    UNUSED;
    if (!truthy(&self)) return v_gen(c, list_new(c, 0)); /* None too, as in jinja2 */
    iter it;
    iter_start(c, self, &it);
    jlist *l = list_new(c, it.n);
    val attribute = v_of(V_MISSING), otherwise = v_of(V_MISSING);
    for (size_t i = 0; i < raw->n_kw && raw->n == 0; i++) {
        if (jstr_is(raw->kw[i], "attribute"))
            attribute = raw->kw_v[i];
        else if (jstr_is(raw->kw[i], "default"))
            otherwise = raw->kw_v[i];
        else
            jj_error(c, "Unexpected keyword argument '%.*s'", JSTR_ARG(raw->kw[i]));
    }
    if (raw->n == 0 && attribute.t == V_MISSING) jj_error(c, "map requires a filter argument");
    jargs rest = raw->n ? rest_of(raw, 1) : (jargs){0};
    for (val v; iter_next(c, &it, &v);) {
        if (raw->n) {
            v = call_filter(c, raw->v[0], v, &rest);
        } else {
            v = get_path(c, v, attribute);
            if (is_undef(v) && otherwise.t != V_MISSING && otherwise.t != V_NONE) v = otherwise;
        }
        list_add(c, l, v);
    }
    return v_gen(c, l);
}

static val choose(jj *c, val self, const jargs *raw, bool keep, bool by_attribute) {
    size_t skip = by_attribute ? 1 : 0;
    if (!truthy(&self)) return v_gen(c, list_new(c, 0));
    if (raw->n < skip) jj_error(c, "Missing parameter for attribute name");
    iter it;
    iter_start(c, self, &it);
    jlist *l = list_new(c, 0);
    jargs rest = raw->n > skip ? rest_of(raw, skip + 1) : (jargs){0};
    for (val v; iter_next(c, &it, &v);) {
        val looked_at = by_attribute ? get_path(c, v, raw->v[0]) : v;
        bool yes = raw->n > skip ? call_test(c, raw->v[skip], looked_at, &rest) : truthy(&looked_at);
        if (yes == keep) list_add(c, l, v);
    }
    return v_gen(c, l);
}
FN(f_select) {
    UNUSED;
    return choose(c, self, raw, true, false);
}
FN(f_reject) {
    UNUSED;
    return choose(c, self, raw, false, false);
}
FN(f_selectattr) {
    UNUSED;
    return choose(c, self, raw, true, true);
}
FN(f_rejectattr) {
    UNUSED;
    return choose(c, self, raw, false, true);
}

/* ---- batch, slice ------------------------------------------------------------------------------------------------ */

FN(f_batch) {
    UNUSED;
    int64_t size = arg_int(c, a[0], 1, "batch's line count");
    jlist *all = to_list(c, self), *out = list_new(c, 0), *row = NULL;
    for (size_t i = 0; i < all->n; i++) {
        if (!row || (int64_t)row->n == size) {
            row = list_new(c, 0);
            list_add(c, out, v_list(row));
        }
        list_add(c, row, all->v[i]);
    }
    for (; row && a[1].t != V_MISSING && a[1].t != V_NONE && (int64_t)row->n < size; jj_step(c, 1))
        list_add(c, row, a[1]);
    return v_gen(c, out);
}
FN(f_slice) {
    UNUSED;
    int64_t slices = arg_int(c, a[0], 1, "slice's count");
    if (slices == 0) jj_error(c, "integer division or modulo by zero");
    jlist *all = to_list(c, self), *out = list_new(c, 0);
    size_t each = slices > 0 ? all->n / (size_t)slices : 0, extra = slices > 0 ? all->n % (size_t)slices : 0, at = 0;
    for (int64_t i = 0; i < slices; i++) {
        jj_step(c, 1);
        jlist *row = list_new(c, 0);
        size_t n = each + ((size_t)i < extra);
        for (size_t k = 0; k < n; k++) list_add(c, row, all->v[at++]);
        if ((size_t)i >= extra && a[1].t != V_MISSING && a[1].t != V_NONE) list_add(c, row, a[1]);
        list_add(c, out, v_list(row));
    }
    return v_gen(c, out);
}

const builtin list_filters[] = {
    {"length", f_length, "", 0},
    {"count", f_length, "", 0},
    {"first", f_first, "", 0},
    {"last", f_last, "", 0},
    {"list", f_list, "", 0},
    {"reverse", f_reverse, "", 0},
    {"join", f_join, "|d attribute", 0},
    {"items", f_items, "", 0},
    {"sort", f_sort, "|reverse case_sensitive attribute", 0},
    {"dictsort", f_dictsort, "|case_sensitive by reverse", 0},
    {"unique", f_unique, "|case_sensitive attribute", 0},
    {"min", f_min, "|case_sensitive attribute", 0},
    {"max", f_max, "|case_sensitive attribute", 0},
    {"sum", f_sum, "|attribute start", 0},
    {"groupby", f_groupby, "attribute |default case_sensitive", 0},
    {"map", f_map, NULL, 0},
    {"select", f_select, NULL, 0},
    {"reject", f_reject, NULL, 0},
    {"selectattr", f_selectattr, NULL, 0},
    {"rejectattr", f_rejectattr, NULL, 0},
    {"batch", f_batch, "linecount |fill_with", 0},
    {"slice", f_slice, "slices |fill_with", 0},
    {0},
};
