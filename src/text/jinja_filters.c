/* SPDX-License-Identifier: Apache-2.0
 *
 * Filters on text and numbers, and the table of all filters. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/jinja_impl.h"

#define FN(name) static val name(jj *c, val self, const val *a, const jargs *raw)
#define UNUSED   (void)c, (void)self, (void)a, (void)raw

/* The input as text; Markup stays Markup. */
static val text_of(jj *c, val self) {
    return self.t == V_STR ? self : v_jstr(to_str(c, self));
}
static val like(val self, const jstr *s) {
    val v = v_jstr(s);
    v.safe = self.t == V_STR && self.safe;
    return v;
}

FN(f_upper) {
    UNUSED;
    return like(self, str_map(c, text_of(c, self).s, 'u'));
}
FN(f_lower) {
    UNUSED;
    return like(self, str_map(c, text_of(c, self).s, 'l'));
}
FN(f_title) {
    UNUSED;
    return v_jstr(str_map(c, text_of(c, self).s, 'w'));
}
FN(f_capitalize) {
    UNUSED;
    return like(self, str_map(c, text_of(c, self).s, 'c'));
}
FN(f_trim) {
    UNUSED;
    const jstr *chars = a[0].t == V_MISSING || a[0].t == V_NONE ? NULL : arg_str(c, a[0], NULL, "trim's characters");
    return like(self, str_strip(c, text_of(c, self).s, chars, true, true));
}
FN(f_string) {
    UNUSED;
    return text_of(c, self);
}
FN(f_safe) {
    UNUSED;
    val v = text_of(c, self);
    v.safe = true;
    return v;
}
FN(f_escape) {
    UNUSED;
    val v = text_of(c, self);
    if (!v.safe) v = v_jstr(escape_html(c, v.s));
    v.safe = true;
    return v;
}
FN(f_forceescape) {
    UNUSED;
    val v = v_jstr(escape_html(c, text_of(c, self).s));
    v.safe = true;
    return v;
}
FN(f_replace) {
    UNUSED;
    int64_t count = a[2].t == V_NONE ? -1 : arg_int(c, a[2], -1, "replace's count");
    return v_jstr(str_replace(c, to_str(c, self), to_str(c, a[0]), to_str(c, a[1]), count));
}
FN(f_format) {
    UNUSED;
    const jstr *s = text_of(c, self).s;
    if (raw->n && raw->n_kw) jj_error(c, "can't handle positional and keyword arguments at the same time");
    if (raw->n_kw) {
        jdict *d = dict_new(c);
        for (size_t i = 0; i < raw->n_kw; i++) dict_set(c, d, v_jstr(raw->kw[i]), raw->kw_v[i]);
        return format_percent(c, s, v_dict(d));
    }
    jlist *l = list_new(c, raw->n);
    for (size_t i = 0; i < raw->n; i++) list_add(c, l, raw->v[i]);
    return format_percent(c, s, v_tuple(l));
}

FN(f_indent) {
    UNUSED;
    const jstr *indent, *s = arg_str(c, self, NULL, "indent's input"), *newline = jstr_view(c, "\n", 1);
    if (a[0].t == V_STR) {
        indent = a[0].s;
    } else {
        int64_t width = arg_int(c, a[0], 4, "indent's width");
        indent = op_binary(c, T_MUL, v_jstr(jstr_view(c, " ", 1)), v_int(width)).s;
    }
    bool blank = arg_bool(a[2], false);
    jlist *lines = str_splitlines(c, jstr_concat(c, s, newline), false); /* the newline makes "" one empty line */
    if (s->n == 0) lines = to_list(c, v_list(lines));
    size_t from = mark(c);
    if (arg_bool(a[1], false)) put(c, indent->p, indent->n);
    for (size_t i = 0; i < lines->n; i++) {
        const jstr *line = lines->v[i].s;
        if (i) put(c, "\n", 1);
        if (i && (blank || line->n)) put(c, indent->p, indent->n);
        put(c, line->p, line->n);
    }
    return v_jstr(take(c, from));
}

FN(f_truncate) {
    UNUSED;
    const jstr *s = arg_str(c, self, NULL, "truncate's input"), *end = arg_str(c, a[2], "...", "truncate's end");
    int64_t length = arg_int(c, a[0], 255, "truncate's length");
    int64_t leeway = a[3].t == V_NONE ? 5 : arg_int(c, a[3], 5, "truncate's leeway");
    if (length < (int64_t)end->chars) jj_error(c, "expected length >= %zu, got %lld", end->chars, (long long)length);
    if (leeway < 0) jj_error(c, "expected leeway >= 0, got %lld", (long long)leeway);
    if (leeway > INT64_MAX - length || (int64_t)s->chars <= length + leeway) return self;
    const jstr *cut = jstr_view(c, s->p, jstr_offset(s, (size_t)length - end->chars));
    if (!arg_bool(a[1], false)) cut = str_split(c, cut, jstr_view(c, " ", 1), 1, true)->v[0].s;
    return v_jstr(jstr_concat(c, cut, end));
}

static bool ascii_alnum(uint32_t cp) {
    return (cp >= '0' && cp <= '9') || ((cp | 0x20) >= 'a' && (cp | 0x20) <= 'z');
}

static bool word_char(uint32_t cp, jj *c) {
    if (cp < 0x80) return ascii_alnum(cp) || cp == '_';
    char text[4];
    val s = v_str(c, text, (size_t)utf8_encode(cp, text));
    const builtin *f = find_method(s, jstr_view(c, "isalnum", 7));
    return f->fn(c, s, NULL, NULL).b;
}

FN(f_wordcount) {
    UNUSED;
    const jstr *s = text_of(c, self).s;
    int64_t n = 0;
    bool inside = false;
    for (size_t i = 0; i < s->n;) {
        uint32_t cp = 0;
        int k = utf8_decode(s->p + i, s->n - i, &cp);
        bool word = word_char(cp, c);
        n += word && !inside;
        inside = word;
        i += k ? (size_t)k : 1;
    }
    return v_int(n);
}

static void url_quote(jj *c, const jstr *s, bool query) {
    for (size_t i = 0; i < s->n; i++) {
        unsigned char ch = (unsigned char)s->p[i];
        char text[4];
        if (ascii_alnum(ch) || strchr(query ? "_.-~" : "_.-~/", ch | !ch))
            put(c, (const char *)&ch, 1);
        else if (query && ch == ' ')
            put(c, "+", 1);
        else
            put(c, text, (size_t)snprintf(text, sizeof text, "%%%02X", ch));
    }
}

FN(f_urlencode) {
    UNUSED;
    size_t from = mark(c);
    if (self.t == V_LIST || self.t == V_TUPLE || self.t == V_DICT) {
        jlist *pairs = self.t == V_DICT ? NULL : self.l;
        size_t n = pairs ? pairs->n : self.d->n;
        for (size_t i = 0; i < n; i++) {
            jlist *kv = pairs ? to_list(c, pairs->v[i]) : NULL;
            if (kv && kv->n != 2) jj_error(c, "urlencode needs pairs");
            if (i) put(c, "&", 1);
            url_quote(c, to_str(c, kv ? kv->v[0] : self.d->k[i]), true);
            put(c, "=", 1);
            url_quote(c, to_str(c, kv ? kv->v[1] : self.d->v[i]), true);
        }
    } else {
        url_quote(c, to_str(c, self), false);
    }
    return v_jstr(take(c, from));
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/* Python's int(text, base) and float(text): white space around, underscores between digits. False if malformed. */
static bool clean_number(jj *c, const jstr *s, char *out, size_t size) {
    s = str_strip(c, s, NULL, true, true);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->p[i] == '_') {
            if (i == 0 || i + 1 == s->n || s->p[i - 1] == '_' || s->p[i + 1] == '_') return false;
            continue;
        }
        if (n + 1 >= size || s->p[i] == 0) return false;
        out[n++] = s->p[i];
    }
    out[n] = 0;
    return n > 0;
}

static bool parse_int(jj *c, const jstr *s, int base, int64_t *out) {
    char text[128], *end;
    if (!clean_number(c, s, text, sizeof text)) return false;
    const char *p = text + (text[0] == '-' || text[0] == '+');
    char mark_of = p[0] == '0' ? (char)(p[1] | 0x20) : 0;
    int marked = mark_of == 'x' ? 16 : mark_of == 'o' ? 8 : mark_of == 'b' ? 2 : 0;
    if (marked && (base == marked || base == 0)) {
        base = marked;
        p += 2;
    }
    if (base == 0) base = 10;
    if ((unsigned char)*p <= ' ' || *p == '-' || *p == '+' || (base == 16 && marked == 0 && (p[1] | 0x20) == 'x'))
        return false;
    errno = 0;
    long long v = strtoll(p, &end, base);
    if (*end || end == p) return false;
    if (errno) jj_fail(c, NB_ERR_LIMIT, "the number %.60s does not fit 64 bits", text);
    *out = text[0] == '-' ? -v : v;
    return true;
}

static bool parse_float(jj *c, const jstr *s, double *out) {
    char text[400], *end;
    if (!clean_number(c, s, text, sizeof text)) return false;
    if (strpbrk(text, "xXpP(")) return false; /* C's hexadecimal floats */
    *out = strtod(text, &end);
    return *end == 0;
}

FN(f_int) {
    UNUSED;
    int64_t i;
    double d;
    val otherwise = a[0].t == V_MISSING ? v_int(0) : a[0];
    int64_t base = arg_int(c, a[1], 10, "int's base");
    if (base != 0 && (base < 2 || base > 36)) return otherwise;
    if (self.t == V_INT || self.t == V_BOOL) return v_int(arg_int(c, self, 0, "int"));
    if (self.t == V_STR && parse_int(c, self.s, (int)base, &i)) return v_int(i);
    if (self.t == V_STR ? !parse_float(c, self.s, &d) : self.t != V_FLOAT) return otherwise;
    if (self.t == V_FLOAT) d = self.f;
    if (isnan(d)) return otherwise;
    if (isinf(d)) return otherwise;
    if (fabs(d) >= 9.2e18) jj_fail(c, NB_ERR_LIMIT, "an integer result does not fit 64 bits");
    return v_int((int64_t)d);
}

FN(f_float) {
    UNUSED;
    double d;
    if (is_number(self)) return v_float(as_double(self));
    if (self.t == V_STR && parse_float(c, self.s, &d)) return v_float(d);
    return a[0].t == V_MISSING ? v_float(0) : a[0];
}

FN(f_abs) {
    UNUSED;
    if (is_undef(self)) fail_undef(c, self);
    if (!is_number(self)) jj_error(c, "bad operand type for abs(): '%s'", type_name(self));
    return as_double(self) < 0 ? op_unary(c, true, self) : op_unary(c, false, self);
}

/* Rounds to `digits` decimals, ties as the exact binary value says (Python's round). */
static double round_decimals(double f, int64_t digits) {
    char text[400];
    if (!isfinite(f) || digits > 300) return f;
    if (digits < 0) {
        double unit = pow(10.0, (double)-digits);
        return isfinite(unit) ? nearbyint(f / unit) * unit : 0.0 * f;
    }
    snprintf(text, sizeof text, "%.*f", (int)digits, f);
    return strtod(text, NULL);
}

FN(f_round) {
    UNUSED;
    int64_t digits = arg_int(c, a[0], 0, "round's precision");
    if (is_undef(self)) fail_undef(c, self);
    if (!is_number(self)) jj_error(c, "type %s doesn't define __round__ method", type_name(self));
    const jstr *method = arg_str(c, a[1], "common", "round's method");
    double scale = pow(10.0, (double)digits), f = as_double(self);
    if (jstr_is(method, "ceil")) return v_float(ceil(f * scale) / scale);
    if (jstr_is(method, "floor")) return v_float(floor(f * scale) / scale);
    if (!jstr_is(method, "common")) jj_error(c, "method must be common, ceil or floor");
    if (self.t == V_FLOAT) return v_float(round_decimals(f, digits));
    if (digits >= 0) return v_int(arg_int(c, self, 0, "round"));
    return v_int((int64_t)round_decimals(f, digits));
}

FN(f_filesizeformat) {
    UNUSED;
    static const char prefixes[] = "kMGTPEZY";
    bool binary = arg_bool(a[0], false);
    val number = f_float(c, self, a + 1, raw);
    double bytes = as_double(number), base = binary ? 1024 : 1000, unit = base * base;
    char text[420];
    int n, i = 0;
    if (bytes == 1) return v_cstr(c, "1 Byte");
    if (bytes < base) {
        n = snprintf(text, sizeof text, "%.0f Bytes", trunc(bytes));
    } else {
        for (; i < 7 && bytes >= unit; i++) unit *= base;
        n = snprintf(text, sizeof text, "%.1f %c%sB", base * bytes / unit, binary && i == 0 ? 'K' : prefixes[i],
                     binary ? "i" : "");
    }
    return v_str(c, text, (size_t)n);
}

FN(f_tojson) {
    UNUSED;
    return to_json(c, self, a);
}
FN(f_default) {
    UNUSED;
    bool use = is_undef(self) || (arg_bool(a[1], false) && !truthy(&self));
    return !use ? self : a[0].t == V_MISSING ? v_cstr(c, "") : a[0];
}
FN(f_attr) {
    UNUSED;
    val v = get_attr(c, v_none(), arg_str(c, a[0], NULL, "attr's name"));
    if (self.t == V_DICT && !find_method(self, a[0].s)) return v; /* attributes only, no items */
    return get_attr(c, self, a[0].s);
}

const builtin text_filters[] = {
    {"upper", f_upper, "", 0},
    {"lower", f_lower, "", 0},
    {"title", f_title, "", 0},
    {"capitalize", f_capitalize, "", 0},
    {"trim", f_trim, "|chars", 0},
    {"string", f_string, "", 0},
    {"safe", f_safe, "", 0},
    {"escape", f_escape, "", 0},
    {"e", f_escape, "", 0},
    {"forceescape", f_forceescape, "", 0},
    {"replace", f_replace, "old new |count", 0},
    {"format", f_format, NULL, 0},
    {"indent", f_indent, "|width first blank", 0},
    {"truncate", f_truncate, "|length killwords end leeway", 0},
    {"wordcount", f_wordcount, "", 0},
    {"urlencode", f_urlencode, "", 0},
    {"int", f_int, "|default base", 0},
    {"float", f_float, "|default", 0},
    {"abs", f_abs, "", 0},
    {"round", f_round, "|precision method", 0},
    {"filesizeformat", f_filesizeformat, "|binary", 0},
    {"tojson", f_tojson, "|ensure_ascii indent separators sort_keys", 0},
    {"default", f_default, "|default_value boolean", 0},
    {"d", f_default, "|default_value boolean", 0},
    {"attr", f_attr, "name", 0},
    {0},
};

const builtin *find_filter(const char *p, size_t n) {
    const builtin *f = find_in(text_filters, p, n);
    return f ? f : find_in(list_filters, p, n);
}
