/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of the Jinja interpreter: making them, and Python's truth, equality, order, hashing and iteration of them. */
#define _GNU_SOURCE /* memmem */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/utf8.h"
#include "text/jinja_impl.h"

void jj_fail(jj *c, nb_status status, const char *format, ...) {
    char text[900];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->status = status;
    if (status == NB_ERR_TEMPLATE)
        err_set(c->err, status, "%s", text);
    else if (status == NB_ERR_NO_MEMORY)
        err_no_memory(c->err, c->name, 0);
    else
        err_set(c->err, status, "%s: line %d: %s", c->name, c->line, text);
    longjmp(c->on_error, 1);
}

void *jj_alloc(jj *c, size_t size) {
    void *p = size <= c->max_memory ? arena_alloc(c->mem, size) : NULL;
    if (p) return p;
    if (size > c->max_memory || arena_used(c->mem) > c->max_memory - size - 16)
        jj_fail(c, NB_ERR_LIMIT, "the template needs more than %.0f MB of memory", (double)c->max_memory / 1e6);
    jj_fail(c, NB_ERR_NO_MEMORY, "no memory");
}

void *jj_array(jj *c, size_t count, size_t size) {
    size_t total;
    if (!size_mul(count, size, &total)) total = SIZE_MAX / 2;
    void *p = jj_alloc(c, total);
    memset(p, 0, total);
    return p;
}

void jj_step(jj *c, size_t n) {
    if (n > c->max_steps - c->steps) jj_fail(c, NB_ERR_LIMIT, "the template takes more than %zu steps", c->max_steps);
    c->steps += n;
}

void jj_enter(jj *c) {
    if (c->depth >= c->max_depth) jj_fail(c, NB_ERR_LIMIT, "nested too deeply");
    c->depth++;
}

/* ---- Strings --------------------------------------------------------------------------------------------------- */

static size_t count_chars(const char *p, size_t n) {
    size_t k = 0;
    for (size_t i = 0; i < n; i++) k += (p[i] & 0xc0) != 0x80;
    return k;
}

const jstr *jstr_view(jj *c, const char *p, size_t n) {
    jstr *s = jj_alloc(c, sizeof *s);
    *s = (jstr){.p = p, .n = n, .chars = count_chars(p, n)};
    return s;
}

const jstr *jstr_new(jj *c, const char *p, size_t n) {
    char *copy = jj_alloc(c, n);
    if (n) memcpy(copy, p, n);
    return jstr_view(c, copy, n);
}

const jstr *jstr_clean(jj *c, const char *p, size_t n) {
    if (utf8_valid(p, n)) return jstr_new(c, p, n);
    size_t from = mark(c);
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        int k = utf8_decode(p + i, n - i, &cp);
        if (k)
            put(c, p + i, (size_t)k);
        else
            put(c, "\xef\xbf\xbd", 3);
        i += k ? (size_t)k : 1;
    }
    return take(c, from);
}

val v_str(jj *c, const char *p, size_t n) {
    return v_jstr(jstr_new(c, p, n));
}
val v_cstr(jj *c, const char *text) {
    return v_str(c, text, strlen(text));
}

bool jstr_is(const jstr *s, const char *text) {
    size_t n = strlen(text);
    return s->n == n && memcmp(s->p, text, n) == 0;
}

bool jstr_equal(const jstr *a, const jstr *b) {
    return a->n == b->n && (a->p == b->p || memcmp(a->p, b->p, a->n) == 0);
}

/* Templates build text by `x = x + more` in loops. Strings are immutable, but the bytes behind the string that was
 * made last are still free: if `a` ends there, only `b` has to be copied. */
const jstr *jstr_concat(jj *c, const jstr *a, const jstr *b) {
    if (a->n == 0) return b;
    if (b->n == 0) return a;
    size_t n;
    if (!size_add(a->n, b->n, &n) || n > c->max_memory) n = c->max_memory + 1;
    jj_step(c, b->n / 64);
    char *p;
    if (c->tail && a->p + a->n == c->tail && b->n <= c->tail_room) {
        p = (char *)a->p;
        c->tail_room -= b->n;
    } else {
        size_t room = n < 128 ? 0 : n < (1 << 20) ? n : 1 << 20;
        jj_step(c, a->n / 64);
        p = jj_alloc(c, n + room);
        memcpy(p, a->p, a->n);
        c->tail_room = room;
    }
    memcpy(p + a->n, b->p, b->n);
    c->tail = c->tail_room ? p + n : NULL;
    jstr *s = jj_alloc(c, sizeof *s);
    *s = (jstr){.p = p, .n = n, .chars = a->chars + b->chars};
    return s;
}

size_t jstr_offset(const jstr *s, size_t i) {
    if (s->chars == s->n) return i;
    size_t at = 0;
    for (; at < s->n && i; i--)
        for (at++; at < s->n && (s->p[at] & 0xc0) == 0x80; at++) {
        }
    return at;
}

/* ---- Other values ---------------------------------------------------------------------------------------------- */

val v_undef(jj *c, const char *format, ...) {
    char text[700];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    val v = v_of(V_UNDEF);
    v.s = jstr_clean(c, text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    return v;
}

val v_gen(jj *c, jlist *l) {
    val v = v_of(V_GEN);
    v.gen = jj_alloc(c, sizeof *v.gen);
    *v.gen = (jgen){.l = l};
    return v;
}

jlist *list_new(jj *c, size_t cap) {
    jlist *l = jj_alloc(c, sizeof *l);
    *l = (jlist){.cap = cap, .v = cap ? jj_array(c, cap, sizeof(val)) : NULL};
    return l;
}

void list_add(jj *c, jlist *l, val v) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        val *grown = jj_array(c, cap, sizeof *grown);
        if (l->n) memcpy(grown, l->v, l->n * sizeof *grown);
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n++] = v;
}

static uint64_t hash_bytes(const char *p, size_t n) {
    uint64_t h = 1469598103934665603u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 1099511628211u;
    return h;
}

static uint64_t hash_val(jj *c, val v) {
    uint64_t h = 3;
    switch (v.t) {
    case V_STR:
        return hash_bytes(v.s->p, v.s->n);
    case V_UNDEF:
    case V_NONE:
        return v.t;
    case V_BOOL:
    case V_INT:
    case V_FLOAT: { /* equal numbers of different types hash alike */
        double d = as_double(v) + 0.0;
        return hash_bytes((const char *)&d, sizeof d);
    }
    case V_TUPLE:
        jj_enter(c);
        for (size_t i = 0; i < v.l->n; i++) h = h * 31 + hash_val(c, v.l->v[i]);
        jj_leave(c);
        return h;
    case V_LIST:
    case V_DICT:
    case V_VIEW:
        jj_error(c, "unhashable type: '%s'", type_name(v));
    default:
        return v.t;
    }
}

jdict *dict_new(jj *c) {
    return jj_array(c, 1, sizeof(jdict));
}

static void index_put(jdict *d, uint64_t hash, size_t entry) {
    size_t at = hash & (d->index_size - 1);
    while (d->index[at]) at = (at + 1) & (d->index_size - 1);
    d->index[at] = (uint32_t)entry + 1;
}

static bool key_is(jj *c, const val *have, val want) {
    if (have->t == V_STR && want.t == V_STR) return jstr_equal(have->s, want.s);
    return v_equal(c, *have, want);
}

const val *dict_get(jj *c, const jdict *d, val k) {
    uint64_t hash = d->index || k.t != V_STR ? hash_val(c, k) : 0;
    if (!d->index) {
        for (size_t i = 0; i < d->n; i++)
            if (key_is(c, &d->k[i], k)) return &d->v[i];
        return NULL;
    }
    for (size_t at = hash & (d->index_size - 1); d->index[at]; at = (at + 1) & (d->index_size - 1))
        if (key_is(c, &d->k[d->index[at] - 1], k)) return &d->v[d->index[at] - 1];
    return NULL;
}

void dict_set(jj *c, jdict *d, val k, val v) {
    val *have = (val *)dict_get(c, d, k);
    if (have) {
        *have = v;
        return;
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 4;
        val *keys = jj_array(c, cap, sizeof *keys), *values = jj_array(c, cap, sizeof *values);
        if (d->n) memcpy(keys, d->k, d->n * sizeof *keys);
        if (d->n) memcpy(values, d->v, d->n * sizeof *values);
        d->k = keys;
        d->v = values;
        d->cap = cap;
    }
    d->k[d->n] = k;
    d->v[d->n++] = v;
    if (d->n <= 8) return;
    if (d->index && d->n * 2 <= d->index_size) {
        index_put(d, hash_val(c, k), d->n - 1);
        return;
    }
    d->index_size = d->index_size ? d->index_size * 2 : 32;
    d->index = jj_array(c, d->index_size, sizeof *d->index);
    for (size_t i = 0; i < d->n; i++) index_put(d, hash_val(c, d->k[i]), i);
}

const val *dict_get_str(const jdict *d, const jstr *k) {
    if (!d->index) {
        for (size_t i = 0; i < d->n; i++)
            if (d->k[i].t == V_STR && jstr_equal(d->k[i].s, k)) return &d->v[i];
        return NULL;
    }
    for (size_t at = hash_bytes(k->p, k->n) & (d->index_size - 1); d->index[at]; at = (at + 1) & (d->index_size - 1)) {
        size_t i = d->index[at] - 1;
        if (d->k[i].t == V_STR && jstr_equal(d->k[i].s, k)) return &d->v[i];
    }
    return NULL;
}

/* ---- What Python says about them ------------------------------------------------------------------------------- */

const char *type_name(val v) {
    static const char *const names[] = {[V_MISSING] = "missing",
                                        [V_UNDEF] = "Undefined",
                                        [V_NONE] = "NoneType",
                                        [V_BOOL] = "bool",
                                        [V_INT] = "int",
                                        [V_FLOAT] = "float",
                                        [V_STR] = "str",
                                        [V_LIST] = "list",
                                        [V_TUPLE] = "tuple",
                                        [V_DICT] = "dict",
                                        [V_RANGE] = "range",
                                        [V_VIEW] = "dict_items",
                                        [V_GEN] = "generator",
                                        [V_NS] = "Namespace",
                                        [V_MACRO] = "Macro",
                                        [V_FUNC] = "function",
                                        [V_METHOD] = "builtin_function_or_method",
                                        [V_LOOP] = "LoopContext",
                                        [V_CYCLER] = "Cycler",
                                        [V_JOINER] = "Joiner",
                                        [V_SLICE] = "slice"};
    if (v.t == V_STR && v.safe) return "Markup";
    if (v.t == V_VIEW && v.view->kind == VIEW_KEYS) return "dict_keys";
    if (v.t == V_VIEW && v.view->kind == VIEW_VALUES) return "dict_values";
    return names[v.t];
}

bool is_undef(val v) {
    return v.t == V_UNDEF;
}
bool is_number(val v) {
    return v.t == V_INT || v.t == V_FLOAT || v.t == V_BOOL;
}
double as_double(val v) {
    return v.t == V_FLOAT ? v.f : v.t == V_BOOL ? (double)v.b : (double)v.i;
}
static int64_t as_int(val v) {
    return v.t == V_BOOL ? v.b : v.i;
}

bool truthy(const val *v) {
    switch (v->t) {
    case V_MISSING:
    case V_UNDEF:
    case V_NONE:
        return false;
    case V_BOOL:
        return v->b;
    case V_INT:
        return v->i != 0;
    case V_FLOAT:
        return v->f != 0;
    case V_STR:
        return v->s->n > 0;
    case V_LIST:
    case V_TUPLE:
        return v->l->n > 0;
    case V_DICT:
        return v->d->n > 0;
    case V_RANGE:
        return v->range->n > 0;
    case V_VIEW:
        return v->view->d->n > 0;
    case V_LOOP:
        return v->loop->items->n > 0;
    default:
        return true;
    }
}

static bool dicts_equal(jj *c, const jdict *a, const jdict *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const val *other = dict_get(c, b, a->k[i]);
        if (!other || !v_equal(c, a->v[i], *other)) return false;
    }
    return true;
}

/* -1, 0, 1, or 2 when a NaN is among them; ints and floats compare by their exact values. */
static int compare_numbers(val a, val b) {
    if (a.t != V_FLOAT && b.t != V_FLOAT) return as_int(a) < as_int(b) ? -1 : as_int(a) > as_int(b);
    double x = as_double(a), y = as_double(b);
    if (isnan(x) || isnan(y)) return 2;
    if (x != y || (a.t == V_FLOAT && b.t == V_FLOAT)) return x < y ? -1 : x > y;
    if (x >= 9223372036854775808.0) return a.t == V_FLOAT ? 1 : -1;
    int64_t i = a.t == V_FLOAT ? (int64_t)x : as_int(a), k = b.t == V_FLOAT ? (int64_t)y : as_int(b);
    return i < k ? -1 : i > k;
}

bool v_equal(jj *c, val a, val b) {
    jj_step(c, 1);
    if (is_number(a) && is_number(b)) return compare_numbers(a, b) == 0;
    if (a.t != b.t) return false;
    bool equal = true;
    switch (a.t) {
    case V_UNDEF:
    case V_NONE:
        return true;
    case V_STR:
        return jstr_equal(a.s, b.s);
    case V_LIST:
    case V_TUPLE:
        if (a.l == b.l) return true;
        if (a.l->n != b.l->n) return false;
        jj_enter(c);
        for (size_t i = 0; equal && i < a.l->n; i++) equal = v_equal(c, a.l->v[i], b.l->v[i]);
        jj_leave(c);
        return equal;
    case V_DICT:
        if (a.d == b.d) return true;
        jj_enter(c);
        equal = dicts_equal(c, a.d, b.d);
        jj_leave(c);
        return equal;
    case V_RANGE:
        return a.range->n == b.range->n && (a.range->n == 0 || (a.range->start == b.range->start &&
                                                                (a.range->n == 1 || a.range->step == b.range->step)));
    default:
        return a.d == b.d; /* the same object */
    }
}

int v_compare(jj *c, val a, val b, const char *op) {
    jj_step(c, 1);
    if (is_number(a) && is_number(b)) return compare_numbers(a, b);
    if (a.t == V_STR && b.t == V_STR) { /* UTF-8 orders like code points */
        size_t n = a.s->n < b.s->n ? a.s->n : b.s->n;
        jj_step(c, n / 64);
        int d = n ? memcmp(a.s->p, b.s->p, n) : 0;
        return d ? (d < 0 ? -1 : 1) : a.s->n < b.s->n ? -1 : a.s->n > b.s->n;
    }
    if ((a.t == V_LIST || a.t == V_TUPLE) && a.t == b.t) {
        jj_enter(c);
        int d = 0;
        for (size_t i = 0; d == 0 && i < a.l->n && i < b.l->n; i++)
            if (!v_equal(c, a.l->v[i], b.l->v[i])) d = v_compare(c, a.l->v[i], b.l->v[i], op);
        jj_leave(c);
        return d ? d : a.l->n < b.l->n ? -1 : a.l->n > b.l->n;
    }
    if (is_undef(a)) fail_undef(c, a);
    if (is_undef(b)) fail_undef(c, b);
    jj_error(c, "'%s' not supported between instances of '%s' and '%s'", op, type_name(a), type_name(b));
}

bool v_contains(jj *c, val item, val in) {
    if (in.t == V_STR) {
        if (item.t == V_UNDEF || item.t != V_STR)
            jj_error(c, "'in <string>' requires string as left operand, not %s", type_name(item));
        jj_step(c, in.s->n / 64);
        return item.s->n == 0 || memmem(in.s->p, in.s->n, item.s->p, item.s->n) != NULL;
    }
    if (in.t == V_DICT) return dict_get(c, in.d, item) != NULL;
    if (in.t == V_VIEW && in.view->kind == VIEW_KEYS) return dict_get(c, in.view->d, item) != NULL;
    if (in.t != V_LIST && in.t != V_TUPLE && in.t != V_RANGE && in.t != V_VIEW && in.t != V_GEN && in.t != V_UNDEF &&
        in.t != V_LOOP)
        jj_error(c, "argument of type '%s' is not iterable", type_name(in));
    iter it;
    iter_start(c, in, &it);
    for (val v; iter_next(c, &it, &v);)
        if (v_equal(c, v, item)) return true;
    return false;
}

/* ---- Iteration ------------------------------------------------------------------------------------------------- */

void iter_start(jj *c, val v, iter *it) {
    *it = (iter){.v = v};
    switch (v.t) {
    case V_STR:
        it->n = v.s->chars;
        break;
    case V_LIST:
    case V_TUPLE:
        it->n = v.l->n;
        break;
    case V_DICT:
        it->n = v.d->n;
        break;
    case V_RANGE:
        it->n = v.range->n;
        break;
    case V_VIEW:
        it->n = v.view->d->n;
        break;
    case V_GEN:
        it->n = v.gen->l->n - v.gen->at;
        break;
    case V_UNDEF:
        break;
    default:
        jj_error(c, "'%s' object is not iterable", type_name(v));
    }
}

static val pair(jj *c, val a, val b) {
    jlist *l = list_new(c, 2);
    l->v[0] = a;
    l->v[1] = b;
    l->n = 2;
    return v_tuple(l);
}

bool iter_next(jj *c, iter *it, val *out) {
    if (it->i >= it->n) return false;
    jj_step(c, 1);
    size_t i = it->i++;
    const val *v = &it->v;
    switch (v->t) {
    case V_STR: {
        size_t from = it->at;
        for (it->at++; it->at < v->s->n && (v->s->p[it->at] & 0xc0) == 0x80; it->at++) {
        }
        *out = v_jstr(jstr_view(c, v->s->p + from, it->at - from));
        return true;
    }
    case V_LIST:
    case V_TUPLE:
        *out = v->l->v[i];
        return true;
    case V_DICT:
        *out = v->d->k[i];
        return true;
    case V_RANGE:
        *out = v_int(v->range->start + (int64_t)i * v->range->step);
        return true;
    case V_GEN:
        if (v->gen->at >= v->gen->l->n) return false; /* the loop's body consumed the rest */
        *out = v->gen->l->v[v->gen->at++];
        return true;
    case V_VIEW: {
        const jdict *d = v->view->d;
        *out = v->view->kind == VIEW_KEYS     ? d->k[i]
               : v->view->kind == VIEW_VALUES ? d->v[i]
                                              : pair(c, d->k[i], d->v[i]);
        return true;
    }
    default:
        return false;
    }
}

jlist *to_list(jj *c, val v) {
    iter it;
    iter_start(c, v, &it);
    jlist *l = list_new(c, it.n);
    for (val item; iter_next(c, &it, &item);) l->v[l->n++] = item;
    return l;
}
