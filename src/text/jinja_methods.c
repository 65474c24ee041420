/* SPDX-License-Identifier: Apache-2.0
 *
 * Methods of strings, lists, dicts and the other values, and the global functions. Methods that change a list or dict
 * exist without an implementation (fn NULL): the immutable sandbox forbids them by name. */
#define _GNU_SOURCE /* memmem */
#include <string.h>
#include <time.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "text/jinja_impl.h"

#define FN(name) static val name(jj *c, val self, const val *a, const jargs *raw)
#define UNUSED   (void)c, (void)self, (void)a, (void)raw

/* A result that is Markup when the receiver was. */
static val like(val self, const jstr *s) {
    val v = v_jstr(s);
    v.safe = self.safe;
    return v;
}

static const jstr *chars_arg(jj *c, val v) {
    return v.t == V_MISSING || v.t == V_NONE ? NULL : arg_str(c, v, NULL, "the characters to strip");
}

FN(s_strip) {
    UNUSED;
    return like(self, str_strip(c, self.s, chars_arg(c, a[0]), true, true));
}
FN(s_lstrip) {
    UNUSED;
    return like(self, str_strip(c, self.s, chars_arg(c, a[0]), true, false));
}
FN(s_rstrip) {
    UNUSED;
    return like(self, str_strip(c, self.s, chars_arg(c, a[0]), false, true));
}
FN(s_split) {
    UNUSED;
    const jstr *sep = a[0].t == V_MISSING || a[0].t == V_NONE ? NULL : arg_str(c, a[0], NULL, "the separator");
    return v_list(str_split(c, self.s, sep, arg_int(c, a[1], -1, "maxsplit"), false));
}
FN(s_rsplit) {
    UNUSED;
    const jstr *sep = a[0].t == V_MISSING || a[0].t == V_NONE ? NULL : arg_str(c, a[0], NULL, "the separator");
    return v_list(str_split(c, self.s, sep, arg_int(c, a[1], -1, "maxsplit"), true));
}
FN(s_splitlines) {
    UNUSED;
    return v_list(str_splitlines(c, self.s, arg_bool(a[0], false)));
}

static val partition(jj *c, val self, const jstr *sep, bool right) {
    if (sep->n == 0) jj_error(c, "empty separator");
    jlist *parts = str_split(c, self.s, sep, 1, right), *l = list_new(c, 3);
    val none = v_cstr(c, ""), mid = parts->n == 2 ? v_jstr(sep) : none;
    l->v[0] = parts->n == 2 || !right ? parts->v[0] : none;
    l->v[1] = mid;
    l->v[2] = parts->n == 2 ? parts->v[1] : right ? parts->v[0] : none;
    l->n = 3;
    return v_tuple(l);
}
FN(s_partition) {
    UNUSED;
    return partition(c, self, arg_str(c, a[0], NULL, "the separator"), false);
}
FN(s_rpartition) {
    UNUSED;
    return partition(c, self, arg_str(c, a[0], NULL, "the separator"), true);
}

/* The part of a string that optional start and end arguments leave; *from is its first character's number. */
static const jstr *part(jj *c, const jstr *s, val start, val end, int64_t *from, bool *inside) {
    int64_t n = (int64_t)s->chars, i = start.t == V_NONE ? 0 : arg_int(c, start, 0, "start");
    int64_t k = end.t == V_NONE ? n : arg_int(c, end, n, "end");
    *inside = i <= n;
    if (i < 0) i = i < -n ? 0 : i + n;
    if (k < 0) k = k < -n ? 0 : k + n;
    if (k > n) k = n;
    *inside = *inside && i <= k;
    if (i > k) i = k;
    *from = i;
    if (i == 0 && k == n) return s;
    size_t at = jstr_offset(s, (size_t)i);
    return jstr_view(c, s->p + at, jstr_offset(s, (size_t)k) - at);
}

static bool affix_one(jj *c, const jstr *s, val what, bool end, const char *method) {
    if (what.t != V_STR) jj_error(c, "%s first arg must be str or a tuple of str, not %s", method, type_name(what));
    return what.s->n <= s->n && memcmp(s->p + (end ? s->n - what.s->n : 0), what.s->p, what.s->n) == 0;
}

static val affix(jj *c, val self, const val *a, bool end, const char *method) {
    int64_t from;
    bool inside;
    const jstr *s = part(c, self.s, a[1], a[2], &from, &inside);
    if (is_undef(a[0])) fail_undef(c, a[0]);
    if (!inside) return v_bool(false);
    if (a[0].t != V_TUPLE) return v_bool(affix_one(c, s, a[0], end, method));
    for (size_t i = 0; i < a[0].l->n; i++)
        if (affix_one(c, s, a[0].l->v[i], end, method)) return v_bool(true);
    return v_bool(false);
}
FN(s_startswith) {
    UNUSED;
    return affix(c, self, a, false, "startswith");
}
FN(s_endswith) {
    UNUSED;
    return affix(c, self, a, true, "endswith");
}

static int64_t find_sub(jj *c, val self, const val *a, bool last) {
    int64_t from;
    bool inside;
    const jstr *what = arg_str(c, a[0], NULL, "the text to find"), *s = part(c, self.s, a[1], a[2], &from, &inside);
    if (!inside) return -1;
    jj_step(c, s->n / 32);
    const char *hit = NULL;
    if (!last) {
        hit = what->n ? memmem(s->p, s->n, what->p, what->n) : s->p;
    } else {
        for (size_t i = s->n + 1; i-- > 0 && !hit;)
            if (s->n - i >= what->n && memcmp(s->p + i, what->p, what->n) == 0) hit = s->p + i;
    }
    return hit ? from + (int64_t)jstr_view(c, s->p, (size_t)(hit - s->p))->chars : -1;
}
FN(s_find) {
    UNUSED;
    return v_int(find_sub(c, self, a, false));
}
FN(s_rfind) {
    UNUSED;
    return v_int(find_sub(c, self, a, true));
}
FN(s_index) {
    UNUSED;
    int64_t i = find_sub(c, self, a, false);
    if (i < 0) jj_error(c, "substring not found");
    return v_int(i);
}
FN(s_rindex) {
    UNUSED;
    int64_t i = find_sub(c, self, a, true);
    if (i < 0) jj_error(c, "substring not found");
    return v_int(i);
}
FN(s_count) {
    UNUSED;
    int64_t from, n = 0;
    bool inside;
    const jstr *what = arg_str(c, a[0], NULL, "the text to count"), *s = part(c, self.s, a[1], a[2], &from, &inside);
    if (!inside) return v_int(0);
    if (what->n == 0) return v_int((int64_t)s->chars + 1);
    jj_step(c, s->n / 32);
    for (const char *p = s->p, *hit; (hit = memmem(p, (size_t)(s->p + s->n - p), what->p, what->n)); p = hit + what->n)
        n++;
    return v_int(n);
}
FN(s_replace) {
    UNUSED;
    const jstr *fresh = arg_str(c, a[1], NULL, "the replacement");
    if (self.safe && !a[1].safe) fresh = escape_html(c, fresh);
    return like(self, str_replace(c, self.s, arg_str(c, a[0], NULL, "the text to replace"), fresh,
                                  arg_int(c, a[2], -1, "count")));
}
FN(s_removeprefix) {
    UNUSED;
    const jstr *s = arg_str(c, a[0], NULL, "the prefix");
    if (!affix_one(c, self.s, v_jstr(s), false, "removeprefix")) return self;
    return like(self, jstr_view(c, self.s->p + s->n, self.s->n - s->n));
}
FN(s_removesuffix) {
    UNUSED;
    const jstr *s = arg_str(c, a[0], NULL, "the suffix");
    if (!affix_one(c, self.s, v_jstr(s), true, "removesuffix")) return self;
    return like(self, jstr_view(c, self.s->p, self.s->n - s->n));
}
FN(s_join) {
    UNUSED;
    iter it;
    iter_start(c, a[0], &it);
    size_t from = mark(c), i = 0;
    for (val v; iter_next(c, &it, &v); i++) {
        if (v.t != V_STR) jj_error(c, "sequence item %zu: expected str instance, %s found", i, type_name(v));
        if (i) put(c, self.s->p, self.s->n);
        put(c, v.s->p, v.s->n);
    }
    return v_jstr(take(c, from));
}
FN(s_upper) {
    UNUSED;
    return like(self, str_map(c, self.s, 'u'));
}
FN(s_lower) {
    UNUSED;
    return like(self, str_map(c, self.s, 'l'));
}
FN(s_title) {
    UNUSED;
    return like(self, str_map(c, self.s, 't'));
}
FN(s_capitalize) {
    UNUSED;
    return like(self, str_map(c, self.s, 'c'));
}
FN(s_swapcase) {
    UNUSED;
    return like(self, str_map(c, self.s, 's'));
}
FN(s_format) {
    UNUSED;
    return format_braces(c, self.s, raw);
}

/* `width` characters in all, filled with `fill`; how much of the filling goes to the left is up to the caller. */
static val pad(jj *c, val self, int64_t width, const jstr *fill, char where) {
    if (fill->chars != 1) jj_error(c, "The fill character must be exactly one character long");
    int64_t missing = width - (int64_t)self.s->chars;
    if (missing <= 0) return self;
    if ((uint64_t)missing > c->max_memory / 4)
        jj_fail(c, NB_ERR_LIMIT, "a width of %lld is too large", (long long)width);
    int64_t left = where == '<' ? 0 : where == '>' ? missing : missing / 2 + (missing & width & 1);
    size_t from = mark(c);
    for (int64_t i = 0; i < left; i++) put(c, fill->p, fill->n);
    put(c, self.s->p, self.s->n);
    for (int64_t i = left; i < missing; i++) put(c, fill->p, fill->n);
    jj_step(c, (size_t)missing / 8);
    return like(self, take(c, from));
}
FN(s_ljust) {
    UNUSED;
    return pad(c, self, arg_int(c, a[0], 0, "width"), arg_str(c, a[1], " ", "the fill character"), '<');
}
FN(s_rjust) {
    UNUSED;
    return pad(c, self, arg_int(c, a[0], 0, "width"), arg_str(c, a[1], " ", "the fill character"), '>');
}
FN(s_center) {
    UNUSED;
    return pad(c, self, arg_int(c, a[0], 0, "width"), arg_str(c, a[1], " ", "the fill character"), '^');
}
FN(s_zfill) {
    UNUSED;
    size_t sign = self.s->n && (self.s->p[0] == '-' || self.s->p[0] == '+');
    val digits = v_jstr(jstr_view(c, self.s->p + sign, self.s->n - sign));
    val v = pad(c, digits, arg_int(c, a[0], 0, "width") - (int64_t)sign, jstr_view(c, "0", 1), '>');
    return sign ? v_jstr(jstr_concat(c, jstr_new(c, self.s->p, 1), v.s)) : v;
}

/* ---- is...() ----------------------------------------------------------------------------------------------------- */

static bool alpha(uint32_t cp) {
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}
static bool decimal(uint32_t cp) {
    return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_ND;
}
/* Superscripts and circled digits are digits too, but not decimal. */
static bool digit(uint32_t cp) {
    return decimal(cp) || cp == 0xb2 || cp == 0xb3 || cp == 0xb9 || cp == 0x2070 || (cp >= 0x2074 && cp <= 0x2079) ||
           (cp >= 0x2080 && cp <= 0x2089) || (cp >= 0x2460 && cp <= 0x2468);
}
static bool numeric(uint32_t cp) {
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}
static bool alnum(uint32_t cp) {
    return alpha(cp) || numeric(cp);
}
static bool ascii(uint32_t cp) {
    return cp < 0x80;
}

static val all_are(jj *c, const jstr *s, bool (*is)(uint32_t), bool when_empty) {
    jj_step(c, s->n / 16);
    for (size_t i = 0; i < s->n;) {
        uint32_t cp = 0;
        int k = utf8_decode(s->p + i, s->n - i, &cp);
        if (!is(cp)) return v_bool(false);
        i += k ? (size_t)k : 1;
    }
    return v_bool(s->n ? true : when_empty);
}
FN(s_isalpha) {
    UNUSED;
    return all_are(c, self.s, alpha, false);
}
FN(s_isdigit) {
    UNUSED;
    return all_are(c, self.s, digit, false);
}
FN(s_isdecimal) {
    UNUSED;
    return all_are(c, self.s, decimal, false);
}
FN(s_isnumeric) {
    UNUSED;
    return all_are(c, self.s, numeric, false);
}
FN(s_isalnum) {
    UNUSED;
    return all_are(c, self.s, alnum, false);
}
FN(s_isspace) {
    UNUSED;
    return all_are(c, self.s, is_space, false);
}
FN(s_isascii) {
    UNUSED;
    return all_are(c, self.s, ascii, true);
}
FN(s_isupper) {
    UNUSED;
    return v_bool(str_cased(self.s, true));
}
FN(s_islower) {
    UNUSED;
    return v_bool(str_cased(self.s, false));
}
FN(s_istitle) {
    UNUSED;
    return v_bool(self.s->n && jstr_equal(self.s, str_map(c, self.s, 't')) &&
                  !jstr_equal(str_map(c, self.s, 'u'), str_map(c, self.s, 'l')));
}

/* ---- Dicts, lists, others ---------------------------------------------------------------------------------------- */

static val view(jj *c, jdict *d, view_kind kind) {
    val v = v_of(V_VIEW);
    v.view = jj_alloc(c, sizeof *v.view);
    *v.view = (jview){d, kind};
    return v;
}
FN(d_items) {
    UNUSED;
    return view(c, self.d, VIEW_ITEMS);
}
FN(d_keys) {
    UNUSED;
    return view(c, self.d, VIEW_KEYS);
}
FN(d_values) {
    UNUSED;
    return view(c, self.d, VIEW_VALUES);
}
FN(d_get) {
    UNUSED;
    const val *v = dict_get(c, self.d, a[0]);
    return v ? *v : a[1].t == V_MISSING ? v_none() : a[1];
}
FN(d_copy) {
    UNUSED;
    return op_binary(c, T_PIPE, self, v_dict(dict_new(c)));
}
FN(l_copy) {
    UNUSED;
    return v_list(to_list(c, self));
}
FN(l_index) {
    UNUSED;
    for (size_t i = 0; i < self.l->n; i++)
        if (v_equal(c, self.l->v[i], a[0])) return v_int((int64_t)i);
    jj_error(c, self.t == V_LIST ? "value is not in list" : "tuple.index(x): x not in tuple");
}
FN(l_count) {
    UNUSED;
    int64_t n = 0;
    for (size_t i = 0; i < self.l->n; i++) n += v_equal(c, self.l->v[i], a[0]);
    return v_int(n);
}
FN(loop_cycle) {
    UNUSED;
    if (raw->n == 0) jj_error(c, "no items for cycling given");
    return raw->v[self.loop->at % raw->n];
}
FN(loop_changed) {
    UNUSED;
    jlist *l = list_new(c, raw->n);
    for (size_t i = 0; i < raw->n; i++) l->v[l->n++] = raw->v[i];
    val now = v_tuple(l);
    bool changed = self.loop->changed.t == V_MISSING || !v_equal(c, self.loop->changed, now);
    self.loop->changed = now;
    return v_bool(changed);
}
FN(cycler_next) {
    UNUSED;
    jcycler *y = self.cycler;
    val v = y->l->v[y->at];
    y->at = (y->at + 1) % y->l->n;
    return v;
}
FN(cycler_reset) {
    UNUSED;
    self.cycler->at = 0;
    return v_none();
}
FN(f_is_integer) {
    UNUSED;
    return v_bool(self.f == (double)(int64_t)self.f);
}

enum { LIST = 1 << V_LIST, TUPLE = 1 << V_TUPLE, DICT = 1 << V_DICT, STR = 1 << V_STR };

static const builtin METHODS[] = {
    {"items", d_items, "", DICT},
    {"keys", d_keys, "", DICT},
    {"values", d_values, "", DICT},
    {"get", d_get, "key |default", DICT},
    {"copy", d_copy, "", DICT},
    {"copy", l_copy, "", LIST},
    {"index", l_index, "value", LIST | TUPLE},
    {"count", l_count, "value", LIST | TUPLE},
    {"clear", NULL, "", LIST | DICT},
    {"pop", NULL, "", LIST | DICT},
    {"popitem", NULL, "", DICT},
    {"setdefault", NULL, "", DICT},
    {"update", NULL, "", DICT},
    {"append", NULL, "", LIST},
    {"reverse", NULL, "", LIST},
    {"insert", NULL, "", LIST},
    {"sort", NULL, "", LIST},
    {"extend", NULL, "", LIST},
    {"remove", NULL, "", LIST},
    {"strip", s_strip, "|chars", STR},
    {"lstrip", s_lstrip, "|chars", STR},
    {"rstrip", s_rstrip, "|chars", STR},
    {"split", s_split, "|sep maxsplit", STR},
    {"rsplit", s_rsplit, "|sep maxsplit", STR},
    {"splitlines", s_splitlines, "|keepends", STR},
    {"partition", s_partition, "sep", STR},
    {"rpartition", s_rpartition, "sep", STR},
    {"startswith", s_startswith, "prefix |start end", STR},
    {"endswith", s_endswith, "suffix |start end", STR},
    {"find", s_find, "sub |start end", STR},
    {"rfind", s_rfind, "sub |start end", STR},
    {"index", s_index, "sub |start end", STR},
    {"rindex", s_rindex, "sub |start end", STR},
    {"count", s_count, "sub |start end", STR},
    {"replace", s_replace, "old new |count", STR},
    {"removeprefix", s_removeprefix, "prefix", STR},
    {"removesuffix", s_removesuffix, "suffix", STR},
    {"join", s_join, "iterable", STR},
    {"upper", s_upper, "", STR},
    {"lower", s_lower, "", STR},
    {"casefold", s_lower, "", STR},
    {"title", s_title, "", STR},
    {"capitalize", s_capitalize, "", STR},
    {"swapcase", s_swapcase, "", STR},
    {"format", s_format, NULL, STR},
    {"ljust", s_ljust, "width |fillchar", STR},
    {"rjust", s_rjust, "width |fillchar", STR},
    {"center", s_center, "width |fillchar", STR},
    {"zfill", s_zfill, "width", STR},
    {"isalpha", s_isalpha, "", STR},
    {"isdigit", s_isdigit, "", STR},
    {"isdecimal", s_isdecimal, "", STR},
    {"isnumeric", s_isnumeric, "", STR},
    {"isalnum", s_isalnum, "", STR},
    {"isspace", s_isspace, "", STR},
    {"isascii", s_isascii, "", STR},
    {"isupper", s_isupper, "", STR},
    {"islower", s_islower, "", STR},
    {"istitle", s_istitle, "", STR},
    {"cycle", loop_cycle, NULL, 1 << V_LOOP},
    {"changed", loop_changed, NULL, 1 << V_LOOP},
    {"next", cycler_next, "", 1 << V_CYCLER},
    {"reset", cycler_reset, "", 1 << V_CYCLER},
    {"is_integer", f_is_integer, "", 1 << V_FLOAT},
    {0},
};

const builtin *find_method(val v, const jstr *name) {
    for (const builtin *m = METHODS; m->name; m++)
        if (m->types >> v.t & 1 && jstr_is(name, m->name)) return m;
    return NULL;
}

const builtin *find_in(const builtin *table, const char *p, size_t n) {
    for (; table->name; table++)
        if (strlen(table->name) == n && memcmp(table->name, p, n) == 0) return table;
    return NULL;
}

/* ---- Globals ----------------------------------------------------------------------------------------------------- */

enum { MAX_RANGE = 100000 };

FN(g_range) {
    UNUSED;
    int64_t start = a[1].t == V_MISSING ? 0 : arg_int(c, a[0], 0, "range()"), step = arg_int(c, a[2], 1, "range()");
    int64_t stop = arg_int(c, a[1].t == V_MISSING ? a[0] : a[1], 0, "range()");
    if (step == 0) jj_error(c, "range() arg 3 must not be zero");
    uint64_t n = 0;
    if (step > 0 && start < stop) n = ((uint64_t)stop - (uint64_t)start - 1) / (uint64_t)step + 1;
    if (step < 0 && start > stop) n = ((uint64_t)start - (uint64_t)stop - 1) / -(uint64_t)step + 1;
    if (n > MAX_RANGE)
        jj_fail(c, NB_ERR_LIMIT, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", MAX_RANGE);
    val v = v_of(V_RANGE);
    v.range = jj_alloc(c, sizeof *v.range);
    *v.range = (jrange){start, stop, step, (size_t)n};
    return v;
}

/* dict(pairs or mapping, key=value...) */
static jdict *make_dict(jj *c, const jargs *raw) {
    jdict *d = dict_new(c);
    if (raw->n > 1) jj_error(c, "dict expected at most 1 argument, got %zu", raw->n);
    if (raw->n && (raw->v[0].t == V_DICT || raw->v[0].t == V_NS)) {
        const jdict *from = raw->v[0].d;
        for (size_t i = 0; i < from->n; i++) dict_set(c, d, from->k[i], from->v[i]);
    } else if (raw->n) {
        iter it;
        iter_start(c, raw->v[0], &it);
        for (val v; iter_next(c, &it, &v);) {
            jlist *kv = to_list(c, v);
            if (kv->n != 2) jj_error(c, "dictionary update sequence element has length %zu; 2 is required", kv->n);
            dict_set(c, d, kv->v[0], kv->v[1]);
        }
    }
    for (size_t i = 0; i < raw->n_kw; i++) dict_set(c, d, v_jstr(raw->kw[i]), raw->kw_v[i]);
    return d;
}
FN(g_dict) {
    UNUSED;
    return v_dict(make_dict(c, raw));
}
FN(g_namespace) {
    UNUSED;
    val v = v_of(V_NS);
    v.d = make_dict(c, raw);
    for (size_t i = 0; i < v.d->n; i++)
        if (v.d->k[i].t == V_STR && v.d->k[i].s->n && v.d->k[i].s->p[0] == '_')
            jj_error(c, "Chat templates cannot store underscore-prefixed attributes on a namespace, but got '%.*s'.",
                     JSTR_ARG(v.d->k[i].s));
    return v;
}
FN(g_cycler) {
    UNUSED;
    if (raw->n == 0) jj_error(c, "at least one item has to be provided");
    val v = v_of(V_CYCLER);
    v.cycler = jj_array(c, 1, sizeof *v.cycler);
    v.cycler->l = list_new(c, raw->n);
    for (size_t i = 0; i < raw->n; i++) list_add(c, v.cycler->l, raw->v[i]);
    return v;
}
FN(g_joiner) {
    UNUSED;
    val v = v_of(V_JOINER);
    v.cycler = jj_array(c, 1, sizeof *v.cycler);
    v.cycler->sep = arg_str(c, a[0], ", ", "the separator");
    return v;
}
FN(g_raise_exception) {
    UNUSED;
    const jstr *s = to_str(c, a[0]);
    jj_fail(c, NB_ERR_TEMPLATE, "%.*s", (int)(s->n < 900 ? s->n : 900), s->p);
}
FN(g_strftime_now) {
    UNUSED;
    const jstr *format = arg_str(c, a[0], NULL, "strftime_now's format");
    char form[256], text[1024];
    if (format->n >= sizeof form) jj_fail(c, NB_ERR_LIMIT, "strftime_now: the format is longer than %zu", sizeof form);
    memcpy(form, format->p, format->n);
    form[format->n] = 0;
    time_t now = time(NULL);
    struct tm tm;
    if (!localtime_r(&now, &tm)) jj_error(c, "strftime_now: no local time");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the format is the template's */
    size_t n = strftime(text, sizeof text, form, &tm);
#pragma GCC diagnostic pop
    return v_jstr(jstr_clean(c, text, n));
}

const builtin *find_global(const char *p, size_t n) {
    static const builtin table[] = {
        {"range", g_range, "start |stop step", 0},
        {"dict", g_dict, NULL, 0},
        {"namespace", g_namespace, NULL, 0},
        {"cycler", g_cycler, NULL, 0},
        {"joiner", g_joiner, "|sep", 0},
        {"raise_exception", g_raise_exception, "message", 0},
        {"strftime_now", g_strftime_now, "format", 0},
        {0},
    };
    return find_in(table, p, n);
}
