/* SPDX-License-Identifier: Apache-2.0
 *
 * Work on strings by Unicode code points, as Python's str does it: white space, letter case, splitting, replacing. */
#define _GNU_SOURCE /* memmem */
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "text/jinja_impl.h"

/* str.isspace: bidirectional type WS, B or S, or category Zs. */
bool is_space(uint32_t cp) {
    if (cp < 0x80) return (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20);
    return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

static bool in_set(const jstr *chars, uint32_t cp) {
    if (!chars) return is_space(cp);
    for (size_t i = 0; i < chars->n;) {
        uint32_t other = 0;
        int k = utf8_decode(chars->p + i, chars->n - i, &other);
        if (other == cp) return true;
        i += k ? (size_t)k : 1;
    }
    return false;
}

/* Without the characters in `chars` (NULL: white space) at its ends. */
const jstr *str_strip(jj *c, const jstr *s, const jstr *chars, bool left, bool right) {
    size_t from = 0, to = s->n;
    uint32_t cp = 0;
    while (left && from < to) {
        int k = utf8_decode(s->p + from, to - from, &cp);
        if (!k || !in_set(chars, cp)) break;
        from += (size_t)k;
        if (chars) jj_step(c, 1 + chars->n / 64);
    }
    while (right && to > from) {
        size_t at = to - 1;
        while (at > from && (s->p[at] & 0xc0) == 0x80) at--;
        if (!utf8_decode(s->p + at, to - at, &cp) || !in_set(chars, cp)) break;
        to = at;
        if (chars) jj_step(c, 1 + chars->n / 64);
    }
    if (from == 0 && to == s->n) return s;
    jj_step(c, (to - from) / 64);
    return jstr_view(c, s->p + from, to - from);
}

static void add_piece(jj *c, jlist *l, const char *p, size_t n) {
    jj_step(c, 1 + n / 64);
    list_add(c, l, v_jstr(jstr_view(c, p, n)));
}

static void reverse_list(jlist *l) {
    for (size_t i = 0; i < l->n / 2; i++) {
        val v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
}

static size_t char_before(const jstr *s, size_t at, uint32_t *cp) {
    size_t start = at - 1;
    while (start > 0 && (s->p[start] & 0xc0) == 0x80) start--;
    if (!utf8_decode(s->p + start, at - start, cp)) *cp = 0;
    return start;
}

static void split_space(jj *c, const jstr *s, int64_t max, jlist *l) {
    size_t at = 0;
    uint32_t cp = 0;
    for (;;) {
        for (int k; at < s->n && (k = utf8_decode(s->p + at, s->n - at, &cp)) > 0 && is_space(cp);) at += (size_t)k;
        if (at >= s->n) return;
        size_t from = at;
        if (max-- == 0) {
            const jstr *rest = str_strip(c, jstr_view(c, s->p + from, s->n - from), NULL, false, true);
            list_add(c, l, v_jstr(rest));
            return;
        }
        for (int k; at < s->n && (k = utf8_decode(s->p + at, s->n - at, &cp)) > 0 && !is_space(cp);) at += (size_t)k;
        add_piece(c, l, s->p + from, at - from);
    }
}

static void rsplit_space(jj *c, const jstr *s, int64_t max, jlist *l) {
    size_t at = s->n;
    uint32_t cp = 0;
    for (;;) {
        for (size_t b; at > 0 && (b = char_before(s, at, &cp), is_space(cp));) at = b;
        if (at == 0) break;
        size_t to = at;
        if (max-- == 0) {
            list_add(c, l, v_jstr(str_strip(c, jstr_view(c, s->p, to), NULL, true, false)));
            break;
        }
        for (size_t b; at > 0 && (b = char_before(s, at, &cp), !is_space(cp));) at = b;
        add_piece(c, l, s->p + at, to - at);
    }
    reverse_list(l);
}

static const char *find_last(const char *p, size_t n, const jstr *what) {
    for (size_t i = n - what->n + 1; n >= what->n && i-- > 0;)
        if (memcmp(p + i, what->p, what->n) == 0) return p + i;
    return NULL;
}

/* str.split / rsplit; sep NULL: at white space; max < 0: everywhere. */
jlist *str_split(jj *c, const jstr *s, const jstr *sep, int64_t max, bool from_right) {
    jlist *l = list_new(c, 0);
    jj_step(c, s->n / 32);
    if (!sep) {
        if (from_right)
            rsplit_space(c, s, max, l);
        else
            split_space(c, s, max, l);
        return l;
    }
    if (sep->n == 0) jj_error(c, "empty separator");
    size_t from = 0, to = s->n;
    while (max-- != 0) {
        const char *hit = from_right ? find_last(s->p, to, sep) : memmem(s->p + from, s->n - from, sep->p, sep->n);
        if (!hit) break;
        size_t at = (size_t)(hit - s->p);
        if (from_right) {
            add_piece(c, l, hit + sep->n, to - at - sep->n);
            to = at;
        } else {
            add_piece(c, l, s->p + from, at - from);
            from = at + sep->n;
        }
    }
    add_piece(c, l, s->p + from, to - from);
    if (from_right) reverse_list(l);
    return l;
}

static bool line_break(uint32_t cp) {
    return (cp >= 10 && cp <= 13) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

jlist *str_splitlines(jj *c, const jstr *s, bool keep_ends) {
    jlist *l = list_new(c, 0);
    size_t from = 0;
    jj_step(c, s->n / 32);
    for (size_t at = 0; at < s->n;) {
        uint32_t cp = 0;
        int k = utf8_decode(s->p + at, s->n - at, &cp);
        size_t end = at;
        at += k ? (size_t)k : 1;
        if (!line_break(cp)) continue;
        if (cp == '\r' && at < s->n && s->p[at] == '\n') at++;
        add_piece(c, l, s->p + from, (keep_ends ? at : end) - from);
        from = at;
    }
    if (from < s->n) add_piece(c, l, s->p + from, s->n - from);
    return l;
}

/* An empty `old` matches between all characters, as in Python. */
const jstr *str_replace(jj *c, const jstr *s, const jstr *old, const jstr *fresh, int64_t max) {
    jj_step(c, s->n / 32);
    size_t out = mark(c), from = 0;
    if (old->n == 0) {
        for (; from <= s->n && max-- != 0; from++) {
            put(c, fresh->p, fresh->n);
            if (from == s->n) break;
            put(c, s->p + from, 1);
            for (; from + 1 < s->n && (s->p[from + 1] & 0xc0) == 0x80; from++) put(c, s->p + from + 1, 1);
        }
        if (from < s->n) put(c, s->p + from, s->n - from);
        return take(c, out);
    }
    while (max-- != 0) {
        const char *hit = memmem(s->p + from, s->n - from, old->p, old->n);
        if (!hit) break;
        jj_step(c, 1);
        put(c, s->p + from, (size_t)(hit - s->p) - from);
        put(c, fresh->p, fresh->n);
        from = (size_t)(hit - s->p) + old->n;
    }
    put(c, s->p + from, s->n - from);
    return take(c, out);
}

/* ---- Letter case ------------------------------------------------------------------------------------------------- */

static bool cased(uint32_t cp) {
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

static void put_mapped(jj *c, uint32_t cp, char how) {
    if (cp == 0xdf && how != 'l') { /* the one letter of everyday text whose upper case is two letters */
        put_str(c, how == 'u' ? "SS" : "Ss");
        return;
    }
    utf8proc_int32_t in = (utf8proc_int32_t)cp;
    utf8proc_int32_t to = how == 'l' ? utf8proc_tolower(in) : how == 'u' ? utf8proc_toupper(in) : utf8proc_totitle(in);
    char text[4];
    int k = utf8_encode((uint32_t)to, text);
    put(c, text, (size_t)k);
}

/* how: 'u'pper, 'l'ower, 't'itle (each word), 'c'apitalize (the first letter), 's'wapcase, 'w' jinja2's title filter.
 */
const jstr *str_map(jj *c, const jstr *s, char how) {
    jj_step(c, s->n / 16);
    size_t out = mark(c);
    bool start = true;
    for (size_t i = 0; i < s->n;) {
        uint32_t cp = 0;
        int k = utf8_decode(s->p + i, s->n - i, &cp);
        char one = how;
        if (how == 't' || how == 'c' || how == 'w') one = start ? 't' : 'l';
        if (how == 's') one = utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_LU ? 'l' : 'u';
        if (how == 'w' && start) one = 'u';
        put_mapped(c, cp, one);
        if (how == 't')
            start = !cased(cp);
        else if (how == 'w')
            start = cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<' || is_space(cp);
        else
            start = false;
        i += k ? (size_t)k : 1;
    }
    return take(c, out);
}

bool str_cased(const jstr *s, bool upper) {
    bool any = false;
    for (size_t i = 0; i < s->n;) {
        uint32_t cp = 0;
        int k = utf8_decode(s->p + i, s->n - i, &cp);
        utf8proc_category_t is = utf8proc_category((utf8proc_int32_t)cp);
        if (is == UTF8PROC_CATEGORY_LT || is == (upper ? UTF8PROC_CATEGORY_LL : UTF8PROC_CATEGORY_LU)) return false;
        any |= is == (upper ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL);
        i += k ? (size_t)k : 1;
    }
    return any;
}
