/* SPDX-License-Identifier: Apache-2.0
 *
 * Translates a regex from Oniguruma's Ruby syntax, which tokenizer.json files are written in, to PCRE2's. Most is
 * spelled alike; what differs: the sets behind \s, \w and \h, (?m), nested and intersected classes, {,n}, {n,m}+,
 * \uHHHH, and property names (scripts, long category names). */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/tok_internal.h"

/* White_Space; PCRE2's own \s also has U+180E. */
#define SPACE                                                                                                          \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
/* Alphabetic, M, Nd, Pc; PCRE2's own \w lacks marks and most of Pc. Outside of brackets Oniguruma looks Latin-1 up in
 * a table of its own, which has the raised digits and the fractions, too. */
#define CLASS_WORD                                                                                                     \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}"                                                             \
    "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
#define WORD CLASS_WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define HEX  "0-9a-fA-F"

enum { MAX_DEPTH = 64 };

typedef struct translation {
    const char *p;
    buf *out;
    size_t atom;              /* where the last atom begins in out: what a quantifier would repeat */
    size_t groups[MAX_DEPTH]; /* where the open groups begin */
    int depth;
    const char *problem;
} translation;

/* ---- Properties ----------------------------------------------------------------------------------------------- */

static const char *const LONG_NAMES[][2] = {
    {"letter", "L"},
    {"casedletter", "L&"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"mark", "M"},
    {"combiningmark", "M"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"digit", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punctuation", "P"},
    {"punct", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"symbol", "S"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"other", "C"},
    {"control", "Cc"},
    {"cntrl", "Cc"},
    {"format", "Cf"},
    {"surrogate", "Cs"},
    {"privateuse", "Co"},
    {"unassigned", "Cn"},
    {"alpha", "Alphabetic"},
    {"upper", "Uppercase"},
    {"lower", "Lowercase"},
    {"space", "White_Space"},
    {"whitespace", "White_Space"},
};

/* Whether the bare name is a script's: PCRE2 takes \p{Greek} for script extensions, Oniguruma for the script. */
static bool is_script(const char *name) {
    char pattern[96];
    int code;
    PCRE2_SIZE at;
    snprintf(pattern, sizeof pattern, "\\p{sc:%s}", name);
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &at, NULL);
    pcre2_code_free(compiled);
    return compiled != NULL;
}

/* p stands behind \p or \P (`letter`), at the brace or the one-letter name. */
static void property(translation *t, char letter) {
    char name[64];
    size_t n = 0;
    bool negate = letter == 'P';
    if (*t->p != '{') {
        if (*t->p) buf_printf(t->out, "\\%c%c", letter, *t->p++);
        return;
    }
    t->p++;
    if (*t->p == '^') {
        negate = !negate;
        t->p++;
    }
    for (; *t->p && *t->p != '}'; t->p++) {
        char c = *t->p;
        if (c == ' ' || c == '_' || c == '-') continue;
        if (n + 1 >= sizeof name || !isalnum((unsigned char)c)) {
            if (c != '&' || n + 1 >= sizeof name) {
                t->problem = "a property's name";
                return;
            }
        }
        name[n++] = (char)tolower((unsigned char)c);
    }
    name[n] = 0;
    if (*t->p++ != '}' || n == 0) {
        t->p--;
        t->problem = "a property's name";
        return;
    }
    const char *known = NULL;
    for (size_t i = 0; i < sizeof LONG_NAMES / sizeof LONG_NAMES[0]; i++)
        if (strcmp(name, LONG_NAMES[i][0]) == 0) known = LONG_NAMES[i][1];
    if (!known && n <= 2) {
        name[0] = (char)toupper((unsigned char)name[0]);
        known = name;
    }
    const char *prefix = !known && is_script(name) ? "sc:" : "";
    buf_printf(t->out, "\\%c{%s%s}", negate ? 'P' : 'p', prefix, known ? known : name);
}

/* ---- Escapes -------------------------------------------------------------------------------------------------- */

/* p stands at a backslash: steps behind the letter that follows, and returns it. 0, a problem, when the regex ends
 * there. */
static char escaped(translation *t) {
    char c = t->p[1];
    if (!c)
        t->problem = "a backslash at the end";
    else
        t->p += 2;
    return c;
}

/* What \s, \w and \h take, and \S, \W and \H do not, as members of a class; NULL for other letters. `word` is \w's. */
static const char *set_of(char c, const char *word) {
    switch (c) {
    case 's':
    case 'S':
        return SPACE;
    case 'w':
    case 'W':
        return word;
    case 'h':
    case 'H':
        return HEX;
    default:
        return NULL;
    }
}

/* The escapes that are the same in classes and outside of them; p stands behind the letter c. */
static void common_escape(translation *t, char c) {
    switch (c) {
    case 'v':
        buf_puts(t->out, "\\x0b");
        break;
    case 'u':
        buf_printf(t->out, "\\x{%.4s}", t->p);
        t->p += strnlen(t->p, 4);
        break;
    case 'p':
    case 'P':
        property(t, c);
        break;
    default:
        buf_putc(t->out, '\\');
        buf_putc(t->out, c);
    }
}

/* ---- Classes -------------------------------------------------------------------------------------------------- */

static void class_expression(translation *t, int depth);

/* "[:name:]" at p: what it holds, as members of a class; false when it is none. */
static bool posix_bracket(translation *t, buf *nested) {
    static const char *const names[][2] = {
        {"alpha", "\\p{Alphabetic}"},
        {"lower", "\\p{Lowercase}"},
        {"upper", "\\p{Uppercase}"},
        {"digit", "\\p{Nd}"},
        {"alnum", "\\p{Alphabetic}\\p{Nd}"},
        {"punct", "\\p{P}\\p{S}"},
        {"space", SPACE},
        {"blank", "\\p{Zs}\\t"},
        {"cntrl", "\\p{Cc}"},
        {"xdigit", HEX},
        {"word", CLASS_WORD},
        {"ascii", "\\x{0}-\\x{7f}"},
    };
    bool negate = t->p[2] == '^';
    const char *name = t->p + 2 + negate;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t n = strlen(names[i][0]);
        if (strncmp(name, names[i][0], n) != 0 || strncmp(name + n, ":]", 2) != 0) continue;
        t->p = name + n + 2;
        if (negate)
            buf_printf(nested, "|[^%s]", names[i][1]);
        else
            buf_puts(t->out, names[i][1]);
        return true;
    }
    return false;
}

/* One member of a class, plain ones into the open t->out; those that PCRE2 cannot have inside brackets (classes,
 * complements of our sets) into `nested` as alternatives. */
static void class_member(translation *t, buf *nested, int depth) {
    if (t->p[0] == '[' && t->p[1] == ':' && posix_bracket(t, nested)) return;
    if (*t->p == '[') {
        buf *plain = t->out;
        t->out = nested;
        buf_putc(nested, '|');
        class_expression(t, depth + 1);
        t->out = plain;
        return;
    }
    if (*t->p != '\\') {
        buf_putc(t->out, *t->p++);
        return;
    }
    char c = escaped(t);
    if (!c) return;
    const char *set = set_of(c, CLASS_WORD);
    if (!set) {
        common_escape(t, c);
    } else if (isupper((unsigned char)c)) {
        buf_printf(nested, "|[^%s]", set);
    } else {
        buf_puts(t->out, set);
        if (t->p[0] == '-' && t->p[1] != ']') { /* no range can begin with a set */
            buf_puts(t->out, "\\-");
            t->p++;
        }
    }
}

/* One operand of && up to "&&" or the closing bracket, as an expression that takes one character. A bracket that
 * comes `first` is a member. */
static void class_operand(translation *t, buf *to, bool first, int depth) {
    buf plain = {.limit = to->limit}, nested = {.limit = to->limit};
    buf *out = t->out;
    t->out = &plain;
    if (first && *t->p == ']') {
        buf_puts(&plain, "\\]");
        t->p++;
    }
    while (*t->p && *t->p != ']' && !(t->p[0] == '&' && t->p[1] == '&') && !t->problem && !plain.failed)
        class_member(t, &nested, depth);
    t->out = out;
    if (plain.failed || nested.failed) to->failed = true;
    if (nested.len) buf_puts(to, "(?:");
    if (plain.len || !nested.len) {
        buf_putc(to, '[');
        buf_put(to, plain.data, plain.len);
        buf_putc(to, ']');
    }
    if (nested.len) { /* each alternative begins with its bar */
        buf_put(to, nested.data + !plain.len, nested.len - !plain.len);
        buf_putc(to, ')');
    }
    buf_free(&plain);
    buf_free(&nested);
}

/* p stands at the opening bracket. An intersection becomes look-aheads in front of its last operand. */
static void class_expression(translation *t, int depth) {
    if (depth > MAX_DEPTH) {
        t->problem = "classes nested too deep";
        return;
    }
    t->p++;
    bool negate = *t->p == '^', several = false;
    if (negate) t->p++;
    buf operand = {.limit = t->out->limit}, ahead = {.limit = t->out->limit};
    class_operand(t, &operand, true, depth);
    while (t->p[0] == '&' && t->p[1] == '&' && !t->problem && !operand.failed) {
        several = true;
        t->p += 2;
        buf_printf(&ahead, "(?=%s)", operand.data ? operand.data : "");
        buf_clear(&operand);
        class_operand(t, &operand, false, depth);
    }
    if (*t->p == ']')
        t->p++;
    else if (!t->problem)
        t->problem = "a class that does not end";
    const char *text = operand.data && !operand.failed ? operand.data : "";
    if (!negate)
        buf_printf(t->out, several ? "(?:%s%s)" : "%s%s", several && ahead.data ? ahead.data : "", text);
    else if (!several && text[0] == '[')
        buf_printf(t->out, "[^%s", text + 1);
    else
        buf_printf(t->out, "(?:(?!%s%s)(?s:.))", ahead.data ? ahead.data : "", text);
    if (operand.failed || ahead.failed) t->out->failed = true;
    buf_free(&operand);
    buf_free(&ahead);
}

/* ---- Outside of classes --------------------------------------------------------------------------------------- */

static void escape(translation *t) {
    char c = escaped(t);
    if (!c) return;
    t->atom = t->out->len;
    const char *set = set_of(c, WORD);
    if (set) {
        buf_printf(t->out, isupper((unsigned char)c) ? "[^%s]" : "[%s]", set);
    } else if (c == 'b') {
        buf_puts(t->out, "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))");
    } else if (c == 'B') {
        buf_puts(t->out, "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))");
    } else {
        common_escape(t, c);
        if ((c == 'x' || c == 'o') && *t->p == '{')
            while (*t->p && t->p[-1] != '}') buf_putc(t->out, *t->p++);
    }
}

static void open_group(translation *t) {
    if (t->depth == MAX_DEPTH) {
        t->problem = "groups nested too deep";
        return;
    }
    t->groups[t->depth++] = t->out->len;
    buf_putc(t->out, *t->p++);
    if (*t->p != '?') return;
    buf_putc(t->out, *t->p++);
    if (*t->p == '#') { /* a comment */
        while (*t->p && *t->p != ')') buf_putc(t->out, *t->p++);
        return;
    }
    /* Ruby's m lets the dot match a newline, as s does in PCRE2. */
    for (; *t->p == 'i' || *t->p == 'm' || *t->p == 'x' || *t->p == '-'; t->p++)
        buf_putc(t->out, *t->p == 'm' ? 's' : *t->p);
}

/* Puts "(?:" before and ")" behind the last atom, so that another quantifier can follow. */
static void wrap_atom(translation *t) {
    if (!buf_reserve(t->out, 8)) return;
    memmove(t->out->data + t->atom + 3, t->out->data + t->atom, t->out->len - t->atom);
    memcpy(t->out->data + t->atom, "(?:", 3);
    t->out->len += 3;
    buf_putc(t->out, ')');
}

/* p stands at '{': an interval, or a literal brace. */
static void interval(translation *t) {
    unsigned low = 0, high = 0;
    const char *q = t->p + 1;
    const char *digits = q;
    for (; isdigit((unsigned char)*q); q++) low = low < 100000 ? low * 10 + (unsigned)(*q - '0') : low;
    bool has_low = q > digits, comma = *q == ',', has_high = false;
    if (comma) {
        digits = ++q;
        for (; isdigit((unsigned char)*q); q++) high = high < 100000 ? high * 10 + (unsigned)(*q - '0') : high;
        has_high = q > digits;
    }
    if (*q != '}' || (!has_low && !has_high)) {
        t->atom = t->out->len;
        buf_puts(t->out, "\\{");
        t->p++;
        return;
    }
    t->p = q + 1;
    if (!comma)
        buf_printf(t->out, "{%u}", low);
    else if (has_high)
        buf_printf(t->out, "{%u,%u}", low, high);
    else
        buf_printf(t->out, "{%u,}", low);
    if (*t->p == '+' || (*t->p == '?' && !comma)) wrap_atom(t); /* a second quantifier in Ruby, no possessive one */
}

nb_status tok_regex_translate(const char *regex, buf *out, const char *name, nb_error *err) {
    translation t = {.p = regex, .out = out};
    while (*t.p && !t.problem && !out->failed) {
        switch (*t.p) {
        case '\\':
            escape(&t);
            break;
        case '[':
            t.atom = out->len;
            class_expression(&t, 0);
            break;
        case '(':
            open_group(&t);
            break;
        case ')':
            if (t.depth == 0) {
                t.problem = "a closing parenthesis too many";
                break;
            }
            t.atom = t.groups[--t.depth];
            buf_putc(out, *t.p++);
            break;
        case '{':
            interval(&t);
            break;
        case '*':
        case '+':
        case '?':
            buf_putc(out, *t.p++);
            break;
        default:
            t.atom = out->len;
            do buf_putc(out, *t.p++);
            while (((unsigned char)*t.p & 0xc0) == 0x80);
        }
    }
    if (!t.problem || out->failed) return NB_OK; /* the caller looks at out->failed */
    return err_set(err, NB_ERR_UNSUPPORTED, "%s: regex \"%.200s\" is not understood: %s", name, regex, t.problem);
}
