/* SPDX-License-Identifier: Apache-2.0
 *
 * Character classes, the GPT-2 byte alphabet and normal forms, over utf8proc's tables (Unicode 15 in Debian 12).
 * The decomposition's sort of combining marks is our own: utf8proc's is quadratic in a run of marks, which a hostile
 * text can make as long as it likes. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "text/tok_internal.h"

bool uni_is_space(uint32_t cp) {
    if (cp < 0x80) return cp == ' ' || (cp >= 9 && cp <= 13);
    return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool uni_is_word(uint32_t cp) {
    if (cp < 0x80) return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || (cp >= '0' && cp <= '9') || cp == '_';
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        /* Other_Alphabetic symbols, and the two joiners */
        return (cp >= 0x24b6 && cp <= 0x24e9) || (cp >= 0x1f130 && cp <= 0x1f149) || (cp >= 0x1f150 && cp <= 0x1f169) ||
               (cp >= 0x1f170 && cp <= 0x1f189) || cp == 0x200c || cp == 0x200d;
    }
}

int uni_next(const char *s, size_t n, uint32_t *cp) {
    unsigned char c = (unsigned char)s[0];
    if (c < 0x80) {
        *cp = c;
        return 1;
    }
    int length = utf8_decode(s, n, cp);
    if (length) return length;
    *cp = 0xfffd; /* not reached for valid text */
    return 1;
}

size_t uni_previous(const char *s, size_t at, uint32_t *cp) {
    size_t start = at - 1;
    while (start > 0 && at - start < 4 && ((unsigned char)s[start] & 0xc0) == 0x80) start--;
    uni_next(s + start, at - start, cp);
    return start;
}

/* Bytes that stand for themselves; the others take U+0100 and on, in order. */
static bool byte_is_plain(unsigned b) {
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

static unsigned byte_to_char(unsigned b) {
    if (byte_is_plain(b)) return b;
    if (b <= 0x20) return 0x100 + b;
    if (b <= 0xa0) return 0x121 + b - 0x7f;
    return 0x143; /* 0xad */
}

int uni_byte_char(uint8_t byte, char out[2]) {
    unsigned cp = byte_to_char(byte);
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    out[0] = (char)(0xc0 | cp >> 6);
    out[1] = (char)(0x80 | (cp & 0x3f));
    return 2;
}

int uni_char_byte(uint32_t cp) {
    if (cp < 0x100) return byte_is_plain(cp) ? (int)cp : -1;
    if (cp <= 0x120) return (int)cp - 0x100;
    if (cp <= 0x142) return (int)cp - 0x121 + 0x7f;
    return cp == 0x143 ? 0xad : -1;
}

/* ---- Normal forms --------------------------------------------------------------------------------------------- */

/* Characters that NFC leaves alone and that compose with nothing among themselves. */
static bool inert_in_nfc(uint32_t cp) {
    return cp < 0x300 || (cp >= 0x3040 && cp <= 0x3098) || (cp >= 0x309b && cp <= 0x30ff) ||
           (cp >= 0x3400 && cp <= 0x4dbf) || (cp >= 0x4e00 && cp <= 0x9fff) || (cp >= 0xac00 && cp <= 0xd7a3) ||
           (cp >= 0x2010 && cp <= 0x206f) || (cp >= 0x410 && cp <= 0x44f && cp != 0x419 && cp != 0x439);
}

static bool already_normal(uni_form form, const char *text, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += (size_t)uni_next(text + i, n - i, &cp);
        if (form == UNI_NFC ? !inert_in_nfc(cp) : cp >= 0x80) return false;
    }
    return true;
}

/* 0 for what Hugging Face's older tables do not have. */
static unsigned combining_class(int32_t cp) {
    if (cp < 0x300 || !uni_is_accent((uint32_t)cp)) return 0;
    return (unsigned)utf8proc_get_property(cp)->combining_class & 0xff;
}

/* A stable sort of n marks by class: by insertion when few, by counting when many. */
static bool sort_marks(int32_t *marks, size_t n) {
    if (n <= 16) {
        for (size_t i = 1; i < n; i++) {
            int32_t mark = marks[i];
            unsigned class = combining_class(mark);
            size_t k = i;
            for (; k > 0 && combining_class(marks[k - 1]) > class; k--) marks[k] = marks[k - 1];
            marks[k] = mark;
        }
        return true;
    }
    int32_t *copy = malloc(n * sizeof *copy);
    if (!copy) return false;
    memcpy(copy, marks, n * sizeof *copy);
    size_t place[257] = {0};
    for (size_t i = 0; i < n; i++) place[combining_class(copy[i]) + 1]++;
    for (int c = 0; c < 256; c++) place[c + 1] += place[c];
    for (size_t i = 0; i < n; i++) marks[place[combining_class(copy[i])]++] = copy[i];
    free(copy);
    return true;
}

static bool decompose(const char *text, size_t n, utf8proc_option_t options, buf *out) {
    int boundclass = UTF8PROC_BOUNDCLASS_START;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += (size_t)uni_next(text + i, n - i, &cp);
        utf8proc_int32_t parts[32]; /* the longest decomposition has 18 characters */
        if (uni_is_late(cp)) {
            parts[0] = (utf8proc_int32_t)cp;
            buf_put(out, parts, sizeof parts[0]);
            continue;
        }
        utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)cp, parts, 32, options, &boundclass);
        if (count < 0 || count > 32) return false;
        buf_put(out, parts, (size_t)count * sizeof parts[0]);
    }
    return !out->failed;
}

bool uni_normalize(uni_form form, const char *text, size_t n, buf *out) {
    if (already_normal(form, text, n)) {
        buf_put(out, text, n);
        return !out->failed;
    }
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (form == UNI_NFKC || form == UNI_NFKD) options |= UTF8PROC_COMPAT;
    buf chars = {0};
    bool ok = decompose(text, n, options, &chars);
    int32_t *c = (int32_t *)(void *)chars.data;
    size_t count = chars.len / sizeof *c;
    for (size_t i = 0; ok && i < count;) {
        if (combining_class(c[i]) == 0) {
            i++;
            continue;
        }
        size_t end = i + 1;
        while (end < count && combining_class(c[end]) != 0) end++;
        ok = sort_marks(c + i, end - i);
        i = end;
    }
    if (ok && count && (form == UNI_NFC || form == UNI_NFKC)) {
        utf8proc_ssize_t composed =
            utf8proc_normalize_utf32(c, (utf8proc_ssize_t)count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        ok = composed >= 0;
        count = ok ? (size_t)composed : 0;
    }
    for (size_t i = 0; ok && i < count; i++) {
        char bytes[4];
        buf_put(out, bytes, (size_t)utf8_encode((uint32_t)c[i], bytes));
    }
    buf_free(&chars);
    return ok && !out->failed;
}
