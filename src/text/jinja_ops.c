/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators, subscripts and attributes, with Python's meanings and error texts. Ints have 64 bits; a result that does
 * not fit is a limit that the template ran into, not a wrong number. */
#include <math.h>
#include <string.h>

#include "text/jinja_impl.h"

void fail_undef(jj *c, val v) {
    if (v.s) jj_error(c, "%.*s", JSTR_ARG(v.s));
    jj_error(c, "a value is undefined");
}

static const char *op_text(tok op) {
    static const char *const names[] = {[T_ADD] = "+",       [T_SUB] = "-", [T_MUL] = "*",          [T_DIV] = "/",
                                        [T_FLOORDIV] = "//", [T_MOD] = "%", [T_POW] = "** or pow()"};
    return names[op];
}

static _Noreturn void too_big(jj *c) {
    jj_fail(c, NB_ERR_LIMIT, "an integer result does not fit 64 bits");
}

static int64_t int_of(val v) {
    return v.t == V_BOOL ? v.b : v.i;
}

static val int_power(jj *c, int64_t base, int64_t exponent) {
    if (exponent < 0) {
        if (base == 0) jj_error(c, "0.0 cannot be raised to a negative power");
        return v_float(pow((double)base, (double)exponent));
    }
    int64_t result = 1;
    if (base == 0 || base == 1 || base == -1)
        return v_int(exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base);
    for (; exponent; exponent--)
        if (__builtin_mul_overflow(result, base, &result)) too_big(c);
    return v_int(result);
}

static val int_binary(jj *c, tok op, int64_t a, int64_t b) {
    int64_t r;
    switch (op) {
    case T_ADD:
        if (__builtin_add_overflow(a, b, &r)) too_big(c);
        return v_int(r);
    case T_SUB:
        if (__builtin_sub_overflow(a, b, &r)) too_big(c);
        return v_int(r);
    case T_MUL:
        if (__builtin_mul_overflow(a, b, &r)) too_big(c);
        return v_int(r);
    case T_DIV:
        if (b == 0) jj_error(c, "division by zero");
        return v_float((double)a / (double)b);
    case T_POW:
        return int_power(c, a, b);
    default:
        if (b == 0) jj_error(c, "integer %s by zero", op == T_MOD ? "modulo" : "division or modulo");
        if (b == -1) { /* INT64_MIN / -1 overflows */
            if (op == T_MOD) return v_int(0);
            if (__builtin_sub_overflow((int64_t)0, a, &r)) too_big(c);
            return v_int(r);
        }
        r = a % b; /* rounded towards zero; Python rounds down */
        bool fix = r != 0 && (r < 0) != (b < 0);
        return op == T_MOD ? v_int(fix ? r + b : r) : v_int(a / b - fix);
    }
}

static val float_binary(jj *c, tok op, double a, double b) {
    switch (op) {
    case T_ADD:
        return v_float(a + b);
    case T_SUB:
        return v_float(a - b);
    case T_MUL:
        return v_float(a * b);
    case T_DIV:
        if (b == 0) jj_error(c, "float division by zero");
        return v_float(a / b);
    case T_POW:
        if (a == 0 && b < 0) jj_error(c, "0.0 cannot be raised to a negative power");
        if (a < 0 && b != floor(b)) jj_error(c, "a negative number to a fractional power is complex");
        return v_float(pow(a, b));
    default:
        if (b == 0) jj_error(c, op == T_MOD ? "float modulo" : "float floor division by zero");
        double r = fmod(a, b);
        if (r != 0 && (r < 0) != (b < 0)) r += b;
        if (op == T_MOD) return v_float(r == 0 ? copysign(0.0, b) : r);
        double q = (a - r) / b, whole = floor(q);
        return v_float(q - whole > 0.5 ? whole + 1 : q == 0 ? copysign(0.0, a / b) : whole);
    }
}

static val repeat(jj *c, val what, int64_t times) {
    size_t count = times > 0 ? (size_t)times : 0;
    if (what.t == V_STR) {
        if (what.s->n && count > c->max_memory / what.s->n)
            jj_fail(c, NB_ERR_LIMIT, "a string repeated %lld times is too long", (long long)times);
        size_t n = what.s->n * count;
        jj_step(c, n / 64);
        char *p = jj_alloc(c, n);
        for (size_t at = 0; at < n; at += what.s->n) memcpy(p + at, what.s->p, what.s->n);
        val v = v_jstr(jstr_view(c, p, n));
        v.safe = what.safe;
        return v;
    }
    if (what.l->n && count > c->max_memory / sizeof(val) / what.l->n)
        jj_fail(c, NB_ERR_LIMIT, "a list repeated %lld times is too long", (long long)times);
    jj_step(c, what.l->n * count);
    jlist *l = list_new(c, what.l->n * count);
    for (size_t i = 0; what.l->n && i < count; i++)
        for (size_t k = 0; k < what.l->n; k++) l->v[l->n++] = what.l->v[k];
    return what.t == V_TUPLE ? v_tuple(l) : v_list(l);
}

const jstr *escape_html(jj *c, const jstr *s) {
    size_t from = mark(c);
    for (size_t i = 0; i < s->n; i++) {
        char ch = s->p[i];
        const char *as = ch == '&' ? "&amp;" : ch == '<' ? "&lt;" : ch == '>' ? "&gt;" : ch == '"' ? "&#34;" : NULL;
        if (ch == '\'') as = "&#39;";
        if (as)
            put_str(c, as);
        else
            put(c, &ch, 1);
    }
    return take(c, from);
}

static val add(jj *c, val a, val b) {
    if (a.t == V_STR && b.t == V_STR) {
        if (!a.safe && !b.safe) return v_jstr(jstr_concat(c, a.s, b.s));
        val v = v_jstr(jstr_concat(c, a.safe ? a.s : escape_html(c, a.s), b.safe ? b.s : escape_html(c, b.s)));
        v.safe = true;
        return v;
    }
    if ((a.t == V_LIST || a.t == V_TUPLE) && a.t == b.t) {
        jj_step(c, a.l->n + b.l->n);
        jlist *l = list_new(c, a.l->n + b.l->n);
        if (a.l->n) memcpy(l->v, a.l->v, a.l->n * sizeof(val));
        if (b.l->n) memcpy(l->v + a.l->n, b.l->v, b.l->n * sizeof(val));
        l->n = l->cap;
        return (val){.t = a.t, .l = l};
    }
    if (a.t == V_STR && !is_undef(b)) jj_error(c, "can only concatenate str (not \"%s\") to str", type_name(b));
    if ((a.t == V_LIST || a.t == V_TUPLE) && !is_undef(b))
        jj_error(c, "can only concatenate %s (not \"%s\") to %s", type_name(a), type_name(b), type_name(a));
    if (is_undef(a)) fail_undef(c, a);
    if (is_undef(b)) fail_undef(c, b);
    jj_error(c, "unsupported operand type(s) for +: '%s' and '%s'", type_name(a), type_name(b));
}

static val union_of(jj *c, val a, val b) {
    jdict *d = dict_new(c);
    for (size_t i = 0; i < a.d->n; i++) dict_set(c, d, a.d->k[i], a.d->v[i]);
    for (size_t i = 0; i < b.d->n; i++) dict_set(c, d, b.d->k[i], b.d->v[i]);
    return v_dict(d);
}

val op_binary(jj *c, tok op, val a, val b) {
    if (is_number(a) && is_number(b)) {
        if (a.t == V_FLOAT || b.t == V_FLOAT) return float_binary(c, op, as_double(a), as_double(b));
        return int_binary(c, op, int_of(a), int_of(b));
    }
    if (op == T_ADD) return add(c, a, b);
    if (op == T_PIPE && a.t == V_DICT && b.t == V_DICT) return union_of(c, a, b);
    if (op == T_MOD && a.t == V_STR) return format_percent(c, a.s, b);
    bool a_seq = a.t == V_STR || a.t == V_LIST || a.t == V_TUPLE,
         b_seq = b.t == V_STR || b.t == V_LIST || b.t == V_TUPLE;
    if (op == T_MUL && a_seq && (b.t == V_INT || b.t == V_BOOL)) return repeat(c, a, int_of(b));
    if (op == T_MUL && b_seq && (a.t == V_INT || a.t == V_BOOL)) return repeat(c, b, int_of(a));
    if (is_undef(a)) fail_undef(c, a);
    if (is_undef(b)) fail_undef(c, b);
    if (op == T_MUL && (a_seq || b_seq))
        jj_error(c, "can't multiply sequence by non-int of type '%s'", type_name(a_seq ? b : a));
    jj_error(c, "unsupported operand type(s) for %s: '%s' and '%s'", op_text(op), type_name(a), type_name(b));
}

val op_unary(jj *c, bool negative, val a) {
    if (is_undef(a)) fail_undef(c, a);
    if (!is_number(a)) jj_error(c, "bad operand type for unary %c: '%s'", negative ? '-' : '+', type_name(a));
    if (a.t == V_FLOAT) return v_float(negative ? -a.f : a.f);
    int64_t i = int_of(a);
    if (negative && __builtin_sub_overflow((int64_t)0, i, &i)) too_big(c);
    return v_int(i);
}

/* ---- Subscripts ------------------------------------------------------------------------------------------------ */

/* One bound of a slice over n items, as Python's slice.indices. */
static int64_t bound(jj *c, val v, int64_t otherwise, int64_t n, int64_t low, int64_t high) {
    if (v.t == V_NONE || v.t == V_MISSING) return otherwise;
    if (is_undef(v)) fail_undef(c, v);
    if (v.t != V_INT && v.t != V_BOOL) jj_error(c, "slice indices must be integers or None");
    int64_t i = int_of(v);
    if (i < 0) i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

static val slice_string(jj *c, val o, int64_t start, int64_t step, size_t count) {
    const jstr *s = o.s;
    if (step == 1) {
        size_t from = jstr_offset(s, (size_t)start), to = jstr_offset(s, (size_t)start + count);
        jj_step(c, s->chars == s->n ? 0 : to / 64);
        return v_jstr(jstr_view(c, s->p + from, to - from));
    }
    size_t *at = s->chars == s->n ? NULL : jj_array(c, s->chars + 1, sizeof *at); /* byte offsets of the characters */
    if (at)
        for (size_t i = 0, b = 0; i <= s->chars; i++) {
            at[i] = b;
            for (b++; b < s->n && (s->p[b] & 0xc0) == 0x80; b++) {
            }
            if (i + 1 == s->chars) b = s->n;
        }
    jj_step(c, count / 8);
    size_t from = mark(c);
    for (size_t k = 0; k < count; k++) {
        size_t i = (size_t)(start + (int64_t)k * step);
        put(c, s->p + (at ? at[i] : i), at ? at[i + 1] - at[i] : 1);
    }
    return v_jstr(take(c, from));
}

static val get_slice(jj *c, val o, const jslice *s) {
    iter it;
    iter_start(c, o, &it);
    int64_t n = (int64_t)it.n, step = 1;
    if (s->step.t != V_NONE && s->step.t != V_MISSING) {
        step = arg_int(c, s->step, 1, "slice indices");
        if (step < -INT32_MAX) step = -INT32_MAX; /* no string or list is that long */
        if (step > INT32_MAX) step = INT32_MAX;
        if (step == 0) jj_error(c, "slice step cannot be zero");
    }
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    int64_t start = bound(c, s->start, step > 0 ? low : high, n, low, high);
    int64_t stop = bound(c, s->stop, step > 0 ? high : low, n, low, high);
    size_t count = step > 0 ? (start < stop ? (size_t)((stop - start - 1) / step + 1) : 0)
                            : (start > stop ? (size_t)((start - stop - 1) / -step + 1) : 0);
    if (o.t == V_STR) {
        val v = slice_string(c, o, start, step, count);
        v.safe = o.safe;
        return v;
    }
    if (o.t == V_RANGE) {
        val v = v_of(V_RANGE);
        jrange *r = jj_alloc(c, sizeof *r), *of = o.range;
        *r = (jrange){of->start + start * of->step, of->start + stop * of->step, of->step * step, count};
        v.range = r;
        return v;
    }
    jj_step(c, count / 4);
    jlist *l = list_new(c, count);
    for (size_t k = 0; k < count; k++) l->v[l->n++] = o.l->v[start + (int64_t)k * step];
    return (val){.t = o.t, .l = l};
}

/* o[key] as Python; false for a LookupError or TypeError, where jinja2 tries further. */
static bool subscript(jj *c, val o, val key, val *out) {
    if (o.t == V_DICT) {
        if (key.t == V_LIST || key.t == V_DICT) return false;
        const val *v = key.t == V_STR ? dict_get_str(o.d, key.s) : dict_get(c, o.d, key);
        if (v) *out = *v;
        return v != NULL;
    }
    if (o.t != V_STR && o.t != V_LIST && o.t != V_TUPLE && o.t != V_RANGE) return false;
    if (key.t == V_SLICE) {
        *out = get_slice(c, o, key.slice);
        return true;
    }
    if (key.t != V_INT && key.t != V_BOOL) return false;
    iter it;
    iter_start(c, o, &it);
    int64_t n = (int64_t)it.n, i = int_of(key);
    if (i < 0) i += n;
    if (i < 0 || i >= n) return false;
    if (o.t == V_STR) {
        *out = slice_string(c, o, i, 1, 1);
        out->safe = o.safe;
    } else if (o.t == V_RANGE) {
        *out = v_int(o.range->start + i * o.range->step);
    } else {
        *out = o.l->v[i];
    }
    return true;
}

static val loop_attr(jj *c, jloop *l, const jstr *name) {
    size_t n = l->items->n, i = l->at;
    if (jstr_is(name, "index")) return v_int((int64_t)i + 1);
    if (jstr_is(name, "index0")) return v_int((int64_t)i);
    if (jstr_is(name, "first")) return v_bool(i == 0);
    if (jstr_is(name, "last")) return v_bool(i + 1 >= n);
    if (jstr_is(name, "length")) return v_int((int64_t)n);
    if (jstr_is(name, "revindex")) return v_int((int64_t)(n - i));
    if (jstr_is(name, "revindex0")) return v_int((int64_t)(n - i) - 1);
    if (jstr_is(name, "depth")) return v_int((int64_t)l->depth0 + 1);
    if (jstr_is(name, "depth0")) return v_int((int64_t)l->depth0);
    if (jstr_is(name, "previtem")) return i > 0 ? l->items->v[i - 1] : v_undef(c, "there is no previous item");
    if (jstr_is(name, "nextitem")) return i + 1 < n ? l->items->v[i + 1] : v_undef(c, "there is no next item");
    return v_of(V_MISSING);
}

/* getattr(o, name); V_MISSING for an AttributeError. */
static val attribute(jj *c, val o, const jstr *name) {
    if (o.t == V_UNDEF) fail_undef(c, o);
    val v = v_of(V_MISSING);
    if (o.t == V_NS) {
        const val *have = dict_get_str(o.d, name);
        return have ? *have : v;
    }
    if (o.t == V_LOOP) v = loop_attr(c, o.loop, name);
    if (o.t == V_TUPLE && o.safe && jstr_is(name, "grouper")) v = o.l->v[0];
    if (o.t == V_TUPLE && o.safe && jstr_is(name, "list")) v = o.l->v[1];
    if (o.t == V_CYCLER && jstr_is(name, "current")) v = o.cycler->l->v[o.cycler->at];
    if (o.t == V_MACRO && jstr_is(name, "name")) v = o.macro->name ? v_jstr(o.macro->name) : v_none();
    if (v.t != V_MISSING) return v;
    const builtin *f = find_method(o, name);
    if (!f) return v;
    if (!f->fn) return v_undef(c, "access to attribute '%.*s' of '%s' object is unsafe.", JSTR_ARG(name), type_name(o));
    v = v_of(V_METHOD);
    v.method = jj_alloc(c, sizeof *v.method);
    *v.method = (jmethod){f, o};
    return v;
}

static const char *object_name(val o, char text[64]) {
    if (o.t == V_NONE) return "None";
    const char *module = o.t == V_NS ? "jinja2.utils." : o.t == V_LOOP || o.t == V_MACRO ? "jinja2.runtime." : "";
    size_t n = 0;
    for (const char *p = module; *p; p++) text[n++] = *p;
    for (const char *p = type_name(o); *p && n < 50; p++) text[n++] = *p;
    memcpy(text + n, " object", 8);
    return text;
}

static val no_attribute(jj *c, val o, const jstr *name) {
    char text[64];
    return v_undef(c, "'%s' has no attribute '%.*s'", object_name(o, text), JSTR_ARG(name));
}

/* o.name: the attribute first, then the item. */
val get_attr(jj *c, val o, const jstr *name) {
    if (o.t == V_DICT) { /* the common case: a member that is no method's name */
        const builtin *f = find_method(o, name);
        const val *v = f ? NULL : dict_get_str(o.d, name);
        if (v) return *v;
    }
    val v = attribute(c, o, name);
    if (v.t != V_MISSING) return v;
    if (subscript(c, o, v_jstr(name), &v)) return v;
    return no_attribute(c, o, name);
}

/* o[key]: the item first, then the attribute. */
val get_item(jj *c, val o, val key) {
    val v;
    if (o.t == V_UNDEF) fail_undef(c, o);
    if (subscript(c, o, key, &v)) return v;
    if (key.t == V_STR) {
        v = attribute(c, o, key.s);
        return v.t != V_MISSING ? v : no_attribute(c, o, key.s);
    }
    char text[64];
    size_t from = mark(c);
    put_repr(c, key.t == V_SLICE ? v_none() : key);
    const jstr *repr = take(c, from);
    return v_undef(c, "%s has no element %.*s", object_name(o, text), JSTR_ARG(repr));
}

val get_path(jj *c, val o, val path) {
    if (path.t != V_STR) return get_item(c, o, path);
    const char *p = path.s->p, *end = p + path.s->n;
    for (;;) {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        size_t n = (size_t)((dot ? dot : end) - p);
        bool number = n > 0 && n < 10;
        int64_t i = 0;
        for (size_t k = 0; k < n && number; k++) {
            number = p[k] >= '0' && p[k] <= '9';
            i = i * 10 + (p[k] - '0');
        }
        o = get_item(c, o, number ? v_int(i) : v_str(c, p, n));
        if (!dot) return o;
        p = dot + 1;
    }
}
