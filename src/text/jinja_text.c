/* SPDX-License-Identifier: Apache-2.0
 *
 * Values as text: Python's str() and repr(), and json.dumps. Text is built behind the output in jj.out: mark(), put()
 * pieces, take() them off again as a string. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "text/jinja_impl.h"

size_t mark(jj *c) {
    c->captures++;
    return c->out.len;
}

void put(jj *c, const char *p, size_t n) {
    if (n == 0) return;
    if (c->captures == 0 && n > c->max_output - c->out.len)
        jj_fail(c, NB_ERR_LIMIT, "the template writes more than %zu bytes", c->max_output);
    if (n > c->max_memory || c->out.len > c->max_memory - n)
        jj_fail(c, NB_ERR_LIMIT, "the template needs more than %.0f MB of memory", (double)c->max_memory / 1e6);
    jj_step(c, n / 64);
    buf_put(&c->out, p, n);
    if (c->out.failed) jj_fail(c, NB_ERR_NO_MEMORY, "no memory");
}

void put_str(jj *c, const char *text) {
    put(c, text, strlen(text));
}

const jstr *take(jj *c, size_t from) {
    const jstr *s = jstr_new(c, c->out.data ? c->out.data + from : "", c->out.len - from);
    c->out.len = from;
    if (c->out.data) c->out.data[from] = 0;
    c->captures--;
    return s;
}

/* The shortest digits that read back as the same double, laid out as Python's repr does. */
size_t float_repr(double f, char out[40]) {
    if (isnan(f)) return (size_t)snprintf(out, 40, "nan");
    if (isinf(f)) return (size_t)snprintf(out, 40, f < 0 ? "-inf" : "inf");
    char e[40], digits[24];
    for (int prec = 0; prec <= 16; prec++) {
        snprintf(e, sizeof e, "%.*e", prec, f);
        if (strtod(e, NULL) == f) break;
    }
    size_t n = 0, o = 0;
    const char *p = e;
    if (*p == '-') out[o++] = *p++;
    for (; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    int exponent = atoi(p + 1);
    while (n > 1 && digits[n - 1] == '0') n--;
    if (exponent < -4 || exponent >= 16) {
        out[o++] = digits[0];
        if (n > 1) out[o++] = '.';
        memcpy(out + o, digits + 1, n - 1);
        o += n - 1;
        return o + (size_t)snprintf(out + o, 40 - o, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    }
    int before = exponent + 1; /* digits before the point */
    if (before <= 0) {
        out[o++] = '0';
        out[o++] = '.';
        for (int i = before; i < 0; i++) out[o++] = '0';
        memcpy(out + o, digits, n);
        out[o + n] = 0;
        return o + n;
    }
    for (int i = 0; i < before; i++) out[o++] = (size_t)i < n ? digits[i] : '0';
    out[o++] = '.';
    if (n <= (size_t)before) out[o++] = '0';
    for (size_t i = (size_t)before; i < n; i++) out[o++] = digits[i];
    out[o] = 0;
    return o;
}

static void put_int(jj *c, int64_t i) {
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)i);
    put(c, text, (size_t)n);
}

static void put_float(jj *c, double f) {
    char text[40];
    put(c, text, float_repr(f, text));
}

/* str.isprintable of one character: what repr() leaves as it is. */
static bool printable(uint32_t cp) {
    if (cp < 0x80) return cp >= 0x20 && cp != 0x7f;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

static void put_escape(jj *c, uint32_t cp) {
    char text[16];
    int n = cp < 0x100     ? snprintf(text, sizeof text, "\\x%02x", cp)
            : cp < 0x10000 ? snprintf(text, sizeof text, "\\u%04x", cp)
                           : snprintf(text, sizeof text, "\\U%08x", cp);
    put(c, text, (size_t)n);
}

static void put_str_repr(jj *c, const jstr *s) {
    bool single = memchr(s->p, '\'', s->n) != NULL, twofold = memchr(s->p, '"', s->n) != NULL;
    char quote = single && !twofold ? '"' : '\'';
    put(c, &quote, 1);
    size_t plain = 0; /* start of the bytes that are copied as they are */
    for (size_t i = 0; i < s->n;) {
        uint32_t cp = 0;
        int k = utf8_decode(s->p + i, s->n - i, &cp);
        bool quoted = cp == (uint32_t)quote || cp == '\\';
        if (!quoted && printable(cp)) {
            i += k ? (size_t)k : 1;
            continue;
        }
        put(c, s->p + plain, i - plain);
        i += k ? (size_t)k : 1;
        plain = i;
        char pair[2] = {'\\', cp == '\n' ? 'n' : cp == '\r' ? 'r' : cp == '\t' ? 't' : quoted ? (char)cp : 0};
        if (pair[1])
            put(c, pair, 2);
        else
            put_escape(c, cp);
    }
    put(c, s->p + plain, s->n - plain);
    put(c, &quote, 1);
}

static void put_items(jj *c, const char *open, const jlist *l, const char *close) {
    put_str(c, open);
    for (size_t i = 0; i < l->n; i++) {
        if (i) put_str(c, ", ");
        put_repr(c, l->v[i]);
    }
    put_str(c, close);
}

static void put_dict(jj *c, const jdict *d) {
    put_str(c, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i) put_str(c, ", ");
        put_repr(c, d->k[i]);
        put_str(c, ": ");
        put_repr(c, d->v[i]);
    }
    put_str(c, "}");
}

static void put_range(jj *c, const jrange *r) {
    put_str(c, "range(");
    put_int(c, r->start);
    put_str(c, ", ");
    put_int(c, r->stop);
    if (r->step != 1) {
        put_str(c, ", ");
        put_int(c, r->step);
    }
    put_str(c, ")");
}

/* Objects whose Python text holds an address or a module path; nobody compares these. */
static void put_object(jj *c, val v) {
    if (v.t == V_MACRO) {
        put_str(c, v.macro->name ? "<Macro '" : "<Macro ");
        if (v.macro->name) put(c, v.macro->name->p, v.macro->name->n);
        put_str(c, v.macro->name ? "'>" : "anonymous>");
        return;
    }
    if (v.t == V_LOOP) {
        put_str(c, "<LoopContext ");
        put_int(c, (int64_t)v.loop->at + 1);
        put_str(c, "/");
        put_int(c, (int64_t)v.loop->items->n);
        put_str(c, ">");
        return;
    }
    put_str(c, "<");
    put_str(c, type_name(v));
    put_str(c, " object>");
}

static void put_container(jj *c, val v) {
    switch (v.t) {
    case V_LIST:
        put_items(c, "[", v.l, "]");
        break;
    case V_TUPLE:
        put_items(c, "(", v.l, v.l->n == 1 ? ",)" : ")");
        break;
    case V_DICT:
        put_dict(c, v.d);
        break;
    case V_NS:
        put_str(c, "<Namespace ");
        put_dict(c, v.d);
        put_str(c, ">");
        break;
    case V_VIEW:
        put_str(c, type_name(v));
        put_items(c, "([", to_list(c, v), "])");
        break;
    default:
        put_object(c, v);
    }
}

void put_repr(jj *c, val v) {
    jj_step(c, 1);
    switch (v.t) {
    case V_UNDEF:
        put_str(c, "Undefined");
        break;
    case V_NONE:
        put_str(c, "None");
        break;
    case V_BOOL:
        put_str(c, v.b ? "True" : "False");
        break;
    case V_INT:
        put_int(c, v.i);
        break;
    case V_FLOAT:
        put_float(c, v.f);
        break;
    case V_STR:
        if (v.safe) put_str(c, "Markup(");
        put_str_repr(c, v.s);
        if (v.safe) put_str(c, ")");
        break;
    case V_RANGE:
        put_range(c, v.range);
        break;
    default:
        jj_enter(c);
        put_container(c, v);
        jj_leave(c);
    }
}

void put_value(jj *c, val v) {
    if (v.t == V_STR)
        put(c, v.s->p, v.s->n);
    else if (v.t != V_UNDEF)
        put_repr(c, v);
}

const jstr *to_str(jj *c, val v) {
    if (v.t == V_STR) return v.s;
    size_t from = mark(c);
    put_value(c, v);
    return take(c, from);
}

/* ---- json.dumps ------------------------------------------------------------------------------------------------ */

typedef struct json_style {
    bool ascii, sort;
    const jstr *indent; /* NULL: on one line */
    const jstr *item, *key;
} json_style;

static void json_unicode(jj *c, uint32_t cp) {
    char text[16];
    if (cp >= 0x10000) {
        snprintf(text, sizeof text, "\\u%04x", 0xd800 + ((cp - 0x10000) >> 10));
        put_str(c, text);
        cp = 0xdc00 + ((cp - 0x10000) & 0x3ff);
    }
    snprintf(text, sizeof text, "\\u%04x", cp);
    put_str(c, text);
}

static void json_string(jj *c, const jstr *s, bool ascii) {
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    put_str(c, "\"");
    size_t plain = 0;
    for (size_t i = 0; i < s->n;) {
        unsigned char ch = (unsigned char)s->p[i];
        const char *simple = ch ? strchr(from, ch) : NULL;
        if (!simple && ch >= 0x20 && (!ascii || ch < 0x80)) {
            i++;
            continue;
        }
        put(c, s->p + plain, i - plain);
        uint32_t cp = ch;
        int k = ch < 0x80 ? 1 : utf8_decode(s->p + i, s->n - i, &cp);
        i += k ? (size_t)k : 1;
        plain = i;
        if (simple)
            put(c, (const char[]){'\\', to[simple - from]}, 2);
        else
            json_unicode(c, cp);
    }
    put(c, s->p + plain, s->n - plain);
    put_str(c, "\"");
}

static void json_put(jj *c, val v, const json_style *style, size_t level);

static void json_newline(jj *c, const json_style *style, size_t level) {
    if (!style->indent) return;
    put_str(c, "\n");
    for (size_t i = 0; i < level; i++) put(c, style->indent->p, style->indent->n);
}

static void json_float(jj *c, double f) {
    if (isnan(f))
        put_str(c, "NaN");
    else if (isinf(f))
        put_str(c, f < 0 ? "-Infinity" : "Infinity");
    else
        put_float(c, f);
}

static void json_key(jj *c, val k, const json_style *style) {
    if (k.t == V_STR) {
        json_string(c, k.s, style->ascii);
        return;
    }
    if (k.t != V_INT && k.t != V_FLOAT && k.t != V_BOOL && k.t != V_NONE)
        jj_error(c, "keys must be str, int, float, bool or None, not %s", type_name(k));
    put_str(c, "\"");
    json_put(c, k, style, 0);
    put_str(c, "\"");
}

/* The order in which a dict's entries are written. */
static size_t *json_order(jj *c, const jdict *d, bool sorted) {
    size_t *order = jj_array(c, d->n ? d->n : 1, sizeof *order);
    for (size_t i = 0; i < d->n; i++) {
        size_t at = i; /* insertion sort: dicts in templates are small, and steps are counted */
        for (; sorted && at > 0 && v_compare(c, d->k[i], d->k[order[at - 1]], "<") < 0; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    return order;
}

static void json_dict(jj *c, const jdict *d, const json_style *style, size_t level) {
    if (d->n == 0) {
        put_str(c, "{}");
        return;
    }
    size_t *order = json_order(c, d, style->sort);
    put_str(c, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i) put(c, style->item->p, style->item->n);
        json_newline(c, style, level + 1);
        json_key(c, d->k[order[i]], style);
        put(c, style->key->p, style->key->n);
        json_put(c, d->v[order[i]], style, level + 1);
    }
    json_newline(c, style, level);
    put_str(c, "}");
}

static void json_list(jj *c, const jlist *l, const json_style *style, size_t level) {
    if (l->n == 0) {
        put_str(c, "[]");
        return;
    }
    put_str(c, "[");
    for (size_t i = 0; i < l->n; i++) {
        if (i) put(c, style->item->p, style->item->n);
        json_newline(c, style, level + 1);
        json_put(c, l->v[i], style, level + 1);
    }
    json_newline(c, style, level);
    put_str(c, "]");
}

static void json_put(jj *c, val v, const json_style *style, size_t level) {
    jj_step(c, 1);
    switch (v.t) {
    case V_NONE:
        put_str(c, "null");
        return;
    case V_BOOL:
        put_str(c, v.b ? "true" : "false");
        return;
    case V_INT:
        put_int(c, v.i);
        return;
    case V_FLOAT:
        json_float(c, v.f);
        return;
    case V_STR:
        json_string(c, v.s, style->ascii);
        return;
    default:
        break;
    }
    jj_enter(c);
    if (v.t == V_LIST || v.t == V_TUPLE)
        json_list(c, v.l, style, level);
    else if (v.t == V_DICT)
        json_dict(c, v.d, style, level);
    else
        jj_error(c, "Object of type %s is not JSON serializable", type_name(v));
    jj_leave(c);
}

/* Arguments as transformers' tojson takes them: ensure_ascii, indent, separators, sort_keys. */
val to_json(jj *c, val v, const val *a) {
    json_style style = {.ascii = arg_bool(a[0], false), .sort = arg_bool(a[3], false)};
    if (a[1].t == V_STR) {
        style.indent = a[1].s;
    } else if (a[1].t != V_MISSING && a[1].t != V_NONE) {
        int64_t width = arg_int(c, a[1], 0, "indent");
        if (width < 0) width = 0;
        if (width > 1000) jj_fail(c, NB_ERR_LIMIT, "tojson: indent %lld is more than 1000", (long long)width);
        char spaces[1000];
        memset(spaces, ' ', (size_t)width);
        style.indent = jstr_new(c, spaces, (size_t)width);
    }
    style.item = jstr_view(c, style.indent ? "," : ", ", style.indent ? 1 : 2);
    style.key = jstr_view(c, ": ", 2);
    if (a[2].t == V_LIST || a[2].t == V_TUPLE) {
        if (a[2].l->n != 2) jj_error(c, "separators must be a pair of strings");
        style.item = arg_str(c, a[2].l->v[0], NULL, "separators");
        style.key = arg_str(c, a[2].l->v[1], NULL, "separators");
    }
    size_t from = mark(c);
    json_put(c, v, &style, 0);
    return v_jstr(take(c, from));
}
