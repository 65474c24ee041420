/* SPDX-License-Identifier: Apache-2.0
 *
 * Python's two ways to format: "%s and %5.2f" % values, and "{} and {0:>5}".format(values). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_impl.h"

enum { MAX_WIDTH = 100000, MAX_PRECISION = 300 };

typedef struct spec { /* of one value */
    const jstr *fill;
    char align; /* < > ^ = or 0 */
    char sign;  /* + - space */
    bool alt, comma;
    int64_t width, precision; /* -1 = not given */
    char type;
} spec;

static bool is_digit(const char *p, const char *end) {
    return p < end && *p >= '0' && *p <= '9';
}

static int64_t read_number(jj *c, const char **p, const char *end) {
    int64_t n = 0;
    for (; is_digit(*p, end); (*p)++) {
        n = n * 10 + (**p - '0');
        if (n > MAX_WIDTH) jj_fail(c, NB_ERR_LIMIT, "a format's width is more than %d", MAX_WIDTH);
    }
    return n;
}

static void fill(jj *c, const jstr *with, int64_t n) {
    for (int64_t i = 0; i < n; i++) put(c, with->p, with->n);
    if (n > 0) jj_step(c, (size_t)n / 8);
}

/* Writes `sign` and `body` padded to the width. */
static void put_padded(jj *c, const spec *s, const char *sign, const jstr *body, char otherwise) {
    char align = s->align ? s->align : otherwise;
    int64_t pad = s->width - (int64_t)body->chars - (int64_t)strlen(sign);
    if (pad < 0) pad = 0;
    if (align == '>') fill(c, s->fill, pad);
    if (align == '^') fill(c, s->fill, pad / 2);
    put_str(c, sign);
    if (align == '=') fill(c, s->fill, pad);
    put(c, body->p, body->n);
    if (align == '<') fill(c, s->fill, pad);
    if (align == '^') fill(c, s->fill, pad - pad / 2);
}

static const char *sign_of(const spec *s, bool negative) {
    return negative ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ? " " : "";
}

/* Commas between groups of three digits before the point. */
static const jstr *grouped(jj *c, const jstr *s) {
    size_t whole = 0, from = mark(c);
    while (whole < s->n && s->p[whole] >= '0' && s->p[whole] <= '9') whole++;
    for (size_t i = 0; i < s->n; i++) {
        if (i && i < whole && (whole - i) % 3 == 0) put(c, ",", 1);
        put(c, s->p + i, 1);
    }
    return take(c, from);
}

static void put_float_as(jj *c, const spec *s, double f) {
    char text[700];
    bool percent = s->type == '%';
    int prec = s->precision < 0 ? 6 : (int)s->precision;
    double a = fabs(percent ? f * 100 : f);
    int n;
    switch (s->type) {
    case 'e':
        n = snprintf(text, sizeof text, s->alt ? "%#.*e" : "%.*e", prec, a);
        break;
    case 'E':
        n = snprintf(text, sizeof text, s->alt ? "%#.*E" : "%.*E", prec, a);
        break;
    case 'g':
    case 'n':
        n = snprintf(text, sizeof text, s->alt ? "%#.*g" : "%.*g", prec, a);
        break;
    case 'G':
        n = snprintf(text, sizeof text, s->alt ? "%#.*G" : "%.*G", prec, a);
        break;
    case 0: /* str(f), or with a precision like g but always with a point */
        if (s->precision < 0) {
            n = (int)float_repr(a, text);
        } else {
            n = snprintf(text, sizeof text, "%.*g", prec ? prec : 1, a);
            if (isfinite(a) && !strpbrk(text, ".e")) n += snprintf(text + n, sizeof text - (size_t)n, ".0");
        }
        break;
    default:
        n = snprintf(text, sizeof text, s->alt ? "%#.*f" : "%.*f", prec, a);
        if (percent) text[n++] = '%';
    }
    const jstr *body = jstr_new(c, text, (size_t)n);
    if (s->comma) body = grouped(c, body);
    put_padded(c, s, sign_of(s, signbit(f) && !isnan(f)), body, '>');
}

static void put_int_as(jj *c, const spec *s, int64_t i) {
    char text[72], sign[8];
    uint64_t a = i < 0 ? -(uint64_t)i : (uint64_t)i;
    const char *prefix = "";
    size_t n = 0;
    if (s->type == 'b') {
        for (int bit = 63; bit >= 0; bit--)
            if (n || bit == 0 || (a >> bit & 1)) text[n++] = (char)('0' + (a >> bit & 1));
        prefix = "0b";
    } else if (s->type == 'x' || s->type == 'X') {
        n = (size_t)snprintf(text, sizeof text, s->type == 'x' ? "%llx" : "%llX", (unsigned long long)a);
        prefix = s->type == 'x' ? "0x" : "0X";
    } else if (s->type == 'o') {
        n = (size_t)snprintf(text, sizeof text, "%llo", (unsigned long long)a);
        prefix = "0o";
    } else {
        n = (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)a);
    }
    snprintf(sign, sizeof sign, "%s%s", sign_of(s, i < 0), s->alt ? prefix : "");
    const jstr *body = jstr_new(c, text, n);
    if (s->precision > (int64_t)n && s->precision <= MAX_PRECISION) { /* only % has it: at least so many digits */
        size_t from = mark(c);
        fill(c, jstr_view(c, "0", 1), s->precision - (int64_t)n);
        put(c, body->p, body->n);
        body = take(c, from);
    }
    if (s->comma) body = grouped(c, body);
    put_padded(c, s, sign, body, '>');
}

static void put_text_as(jj *c, const spec *s, const jstr *text, char otherwise) {
    if (s->precision >= 0 && (size_t)s->precision < text->chars)
        text = jstr_view(c, text->p, jstr_offset(text, (size_t)s->precision));
    put_padded(c, s, "", text, otherwise);
}

static const jstr *repr_of(jj *c, val v) {
    size_t from = mark(c);
    put_repr(c, v);
    return take(c, from);
}

static void check_precision(jj *c, const spec *s) {
    if (s->precision > MAX_PRECISION) jj_fail(c, NB_ERR_LIMIT, "a format's precision is more than %d", MAX_PRECISION);
}

/* ---- % ----------------------------------------------------------------------------------------------------------- */

typedef struct percent {
    jj *c;
    val args;
    size_t next;
} percent;

static val next_arg(percent *x) {
    size_t n = x->args.t == V_TUPLE ? x->args.l->n : 1;
    if (x->next >= n) jj_error(x->c, "not enough arguments for format string");
    size_t i = x->next++;
    return x->args.t == V_TUPLE ? x->args.l->v[i] : x->args;
}

static int64_t star_or_number(percent *x, const char **p, const char *end) {
    if (*p >= end || **p != '*') return read_number(x->c, p, end);
    (*p)++;
    int64_t n = arg_int(x->c, next_arg(x), 0, "*");
    if (n > MAX_WIDTH || n < -MAX_WIDTH) jj_fail(x->c, NB_ERR_LIMIT, "a format's width is more than %d", MAX_WIDTH);
    return n;
}

static void put_number(percent *x, spec *s, val v) {
    jj *c = x->c;
    bool whole = strchr("diuxXo", s->type) != NULL;
    if (is_undef(v)) fail_undef(c, v);
    if (!is_number(v) && whole) jj_error(c, "%%%c format: a real number is required, not %s", s->type, type_name(v));
    if (!is_number(v)) jj_error(c, "must be real number, not %s", type_name(v));
    if (!whole) {
        check_precision(c, s);
        put_float_as(c, s, as_double(v));
    } else if (v.t == V_FLOAT) {
        if (!(fabs(v.f) < 9.2e18)) jj_fail(c, NB_ERR_LIMIT, "an integer result does not fit 64 bits");
        put_int_as(c, s, (int64_t)v.f);
    } else {
        put_int_as(c, s, v.t == V_BOOL ? v.b : v.i);
    }
}

/* One conversion; p stands behind the '%'. */
static const char *put_conversion(percent *x, const char *p, const char *end) {
    jj *c = x->c;
    spec s = {.fill = jstr_view(c, " ", 1), .precision = -1};
    bool has_key = p < end && *p == '(', zero = false;
    val v = v_none();
    if (has_key) {
        const char *close = memchr(p, ')', (size_t)(end - p));
        if (!close) jj_error(c, "incomplete format key");
        if (x->args.t != V_DICT) jj_error(c, "format requires a mapping");
        val key = v_str(c, p + 1, (size_t)(close - p - 1));
        const val *have = dict_get(c, x->args.d, key);
        if (!have) jj_error(c, "KeyError: '%.*s'", JSTR_ARG(key.s));
        v = *have;
        p = close + 1;
    }
    for (; p < end && strchr("-+ #0", *p) && *p; p++) {
        if (*p == '-') s.align = '<';
        if (*p == '+' || (*p == ' ' && !s.sign)) s.sign = *p;
        if (*p == '#') s.alt = true;
        if (*p == '0') zero = true;
    }
    s.width = star_or_number(x, &p, end);
    if (s.width < 0) {
        s.align = '<';
        s.width = -s.width;
    }
    if (p < end && *p == '.') {
        p++;
        s.precision = star_or_number(x, &p, end);
    }
    if (p >= end) jj_error(c, "incomplete format");
    s.type = *p++;
    if (s.type == '%') {
        put(c, "%", 1);
        return p;
    }
    if (!s.type || !strchr("sradiuxXofFeEgGc", s.type)) jj_error(c, "unsupported format character '%c'", s.type);
    if (!has_key) v = next_arg(x);
    if (strchr("srac", s.type)) {
        put_text_as(c, &s, s.type == 's' || s.type == 'c' ? to_str(c, v) : repr_of(c, v), '>');
        return p;
    }
    if (zero && s.align != '<') {
        s.fill = jstr_view(c, "0", 1);
        s.align = '=';
    }
    put_number(x, &s, v);
    return p;
}

val format_percent(jj *c, const jstr *format, val args) {
    percent x = {.c = c, .args = args};
    size_t from = mark(c);
    const char *p = format->p, *end = p + format->n;
    while (p < end) {
        const char *sign = memchr(p, '%', (size_t)(end - p));
        put(c, p, (size_t)((sign ? sign : end) - p));
        if (!sign) break;
        jj_step(c, 1);
        p = put_conversion(&x, sign + 1, end);
    }
    if (args.t == V_TUPLE ? x.next < args.l->n : x.next == 0 && args.t != V_DICT && args.t != V_LIST)
        jj_error(c, "not all arguments converted during string formatting");
    return v_jstr(take(c, from));
}

/* ---- {} ---------------------------------------------------------------------------------------------------------- */

/* [[fill]align][sign][#][0][width][,][.precision][type] */
static spec parse_spec(jj *c, const char *p, const char *end) {
    spec s = {.fill = jstr_view(c, " ", 1), .precision = -1};
    size_t first = 1; /* bytes of the first character, which may be a fill of any kind */
    while (p + first < end && (p[first] & 0xc0) == 0x80) first++;
    if (p + first < end && memchr("<>^=", p[first], 4)) {
        s.fill = jstr_new(c, p, first);
        s.align = p[first];
        p += first + 1;
    } else if (p < end && memchr("<>^=", *p, 4)) {
        s.align = *p++;
    }
    if (p < end && memchr("+- ", *p, 3)) s.sign = *p++;
    if (p < end && *p == '#') {
        s.alt = true;
        p++;
    }
    if (p < end && *p == '0') {
        if (!s.align) {
            s.fill = jstr_view(c, "0", 1);
            s.align = '=';
        }
        p++;
    }
    s.width = read_number(c, &p, end);
    if (p < end && *p == ',') {
        s.comma = true;
        p++;
    }
    if (p < end && *p == '.') {
        p++;
        if (!is_digit(p, end)) jj_error(c, "Format specifier missing precision");
        s.precision = read_number(c, &p, end);
    }
    if (p < end) s.type = *p++;
    if (p < end) jj_error(c, "Invalid format specifier");
    return s;
}

static void put_formatted(jj *c, val v, const spec *s, bool bare) {
    if (bare) {
        put_value(c, v);
        return;
    }
    bool number = is_number(v) && !(v.t == V_BOOL && s->type == 0);
    if (!number || s->type == 's') {
        if (number || (s->type && s->type != 's'))
            jj_error(c, "Unknown format code '%c' for object of type '%s'", s->type, type_name(v));
        if (v.t != V_STR && v.t != V_BOOL)
            jj_error(c, "unsupported format string passed to %s.__format__", type_name(v));
        if (s->align == '=') jj_error(c, "'=' alignment not allowed in string format specifier");
        put_text_as(c, s, to_str(c, v), '<');
        return;
    }
    check_precision(c, s);
    if (s->type && !strchr("bdoxXneEfFgG%", s->type))
        jj_error(c, "Unknown format code '%c' for object of type '%s'", s->type, type_name(v));
    bool as_float = v.t == V_FLOAT || (s->type && strchr("eEfFgG%", s->type));
    if (as_float && s->type && strchr("bdoxX", s->type))
        jj_error(c, "Unknown format code '%c' for object of type 'float'", s->type);
    if (!as_float && s->precision >= 0) jj_error(c, "Precision not allowed in integer format specifier");
    if (as_float)
        put_float_as(c, s, as_double(v));
    else
        put_int_as(c, s, v.t == V_BOOL ? v.b : v.i);
}

typedef struct braces {
    jj *c;
    const jargs *args;
    size_t next;
} braces;

/* "0", "name", "" and what follows: ".attribute", "[item]". */
static val field_value(braces *x, const char *p, const char *end) {
    jj *c = x->c;
    const char *stop = p;
    while (stop < end && *stop != '.' && *stop != '[') stop++;
    val v = v_of(V_MISSING);
    if (p == stop || is_digit(p, stop)) {
        const char *q = p;
        size_t i = p == stop ? x->next++ : (size_t)read_number(c, &q, stop);
        if (i >= x->args->n) jj_error(c, "Replacement index %zu out of range for positional args tuple", i);
        v = x->args->v[i];
    } else {
        const jstr *name = jstr_new(c, p, (size_t)(stop - p));
        for (size_t i = 0; i < x->args->n_kw; i++)
            if (jstr_equal(x->args->kw[i], name)) v = x->args->kw_v[i];
        if (v.t == V_MISSING) jj_error(c, "KeyError: '%.*s'", JSTR_ARG(name));
    }
    for (p = stop; p < end; p = stop) {
        bool item = *p == '[';
        for (stop = ++p; stop < end && *stop != (item ? ']' : '.') && (item || *stop != '['); stop++) {
        }
        if (item && stop == end) jj_error(c, "Missing ']' in format string");
        const jstr *key = jstr_new(c, p, (size_t)(stop - p));
        const char *q = key->p;
        if (!item)
            v = get_attr(c, v, key);
        else
            v = get_item(c, v, is_digit(q, q + key->n) ? v_int(read_number(c, &q, q + key->n)) : v_jstr(key));
        if (item) stop++;
    }
    return v;
}

static const char *put_field(braces *x, const char *p, const char *end) {
    jj *c = x->c;
    const char *close = p;
    int depth = 1;
    for (; close < end; close++) {
        depth += *close == '{' ? 1 : *close == '}' ? -1 : 0;
        if (depth == 0) break;
    }
    if (close == end) jj_error(c, "expected '}' before end of string");
    const char *colon = memchr(p, ':', (size_t)(close - p)), *name_end = colon ? colon : close;
    char conversion = 0;
    if (name_end - p >= 2 && name_end[-2] == '!') {
        conversion = name_end[-1];
        name_end -= 2;
    }
    val v = field_value(x, p, name_end);
    if (conversion == 'r' || conversion == 'a') v = v_jstr(repr_of(c, v));
    if (conversion == 's') v = v_jstr(to_str(c, v));
    const jstr *text = jstr_view(c, colon ? colon + 1 : close, colon ? (size_t)(close - colon - 1) : 0);
    if (memchr(text->p, '{', text->n)) { /* the width or precision is itself a field: {:{width}} */
        jj_enter(c);
        size_t from = mark(c);
        for (const char *q = text->p, *e = q + text->n; q < e;) {
            if (*q == '{')
                q = put_field(x, q + 1, e);
            else
                put(c, q++, 1);
        }
        text = take(c, from);
        jj_leave(c);
    }
    spec s = parse_spec(c, text->p, text->p + text->n);
    put_formatted(c, v, &s, text->n == 0);
    return close + 1;
}

val format_braces(jj *c, const jstr *format, const jargs *args) {
    braces x = {.c = c, .args = args};
    size_t from = mark(c);
    const char *p = format->p, *end = p + format->n;
    while (p < end) {
        if (p + 1 < end && (*p == '{' || *p == '}') && p[1] == *p) {
            put(c, p, 1);
            p += 2;
        } else if (*p == '{') {
            jj_step(c, 1);
            p = put_field(&x, p + 1, end);
        } else if (*p == '}') {
            jj_error(c, "Single '}' encountered in format string");
        } else {
            put(c, p++, 1);
        }
    }
    return v_jstr(take(c, from));
}
