/* SPDX-License-Identifier: Apache-2.0
 *
 * SentencePiece's normalizer: the longest rule of a precompiled map replaces what it matches, white space is joined and
 * becomes the mark U+2581, and user-defined symbols stay as they are. The map is a double-array trie (darts-clone's
 * format): each unit is a 32-bit word with its label in bits 0-7, "has a leaf" in bit 8, the offset to its children in
 * bits 10-30 (times 256 if bit 9 is set); a leaf has bit 31 set and its value in the others. */
#include <string.h>

#include "base/utf8.h"
#include "text/tok_internal.h"

enum { MAX_RULES = 32 }; /* of those that match at one place, SentencePiece looks at so many, shorter ones first */

static const char mark[] = "\xe2\x96\x81";

static uint32_t word_at(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

nb_status tok_sp_parse_charsmap(const uint8_t *data, size_t n, tok_sp_rules *out, const char *name, nb_error *err) {
    if (n == 0) return NB_OK;
    size_t trie = n > 4 ? word_at(data) : 0;
    if (trie == 0 || trie % 4 || trie >= n - 4 || data[n - 1] != 0 ||
        !utf8_valid((const char *)data + 4 + trie, n - 4 - trie))
        return err_set(err, NB_ERR_FORMAT, "%s: the precompiled_charsmap (%zu bytes) is damaged", name, n);
    out->units = data + 4;
    out->n_units = trie / 4;
    out->texts = (const char *)data + 4 + trie;
    out->n_texts = n - 4 - trie;
    return NB_OK;
}

static uint32_t unit(const tok_sp_rules *r, size_t at) {
    return at < r->n_units ? word_at(r->units + 4 * at) : 0;
}

static size_t children(uint32_t u) {
    return (size_t)(u >> 10) << ((u & 0x200) >> 6);
}

/* The longest rule that s[0..n) begins with: its length, 0 for none; *to is what it puts in. */
static size_t find_rule(const tok_sp_rules *r, const char *s, size_t n, const char **to) {
    size_t longest = 0, at = children(unit(r, 0));
    int count = 0;
    for (size_t i = 0; r->n_units && i < n && count < MAX_RULES; i++) {
        at ^= (uint8_t)s[i];
        uint32_t u = unit(r, at);
        if ((u & 0x800000ff) != (uint8_t)s[i] || at >= r->n_units) break;
        at ^= children(u);
        if (!(u & 0x100)) continue;
        uint32_t value = unit(r, at) & 0x7fffffff;
        count++;
        /* Files can say anything: a rule must end with a character and lead to the beginning of a text. */
        if (i + 1 < n && ((uint8_t)s[i + 1] & 0xc0) == 0x80) continue;
        if (value >= r->n_texts || (value > 0 && r->texts[value - 1] != 0)) continue;
        longest = i + 1;
        *to = r->texts + value;
    }
    return longest;
}

/* What the text begins with: how many bytes, and what they become (of *to_len bytes). */
static size_t next_part(const tok_sp_rules *r, const char *s, size_t n, const char **to, size_t *to_len) {
    const tok_added *kept = r->kept->n ? tok_longest_at(r->kept, s, 0, n) : NULL;
    size_t length = kept ? kept->len : 0;
    *to = s;
    *to_len = length;
    if (length) return length;
    length = find_rule(r, s, n, to);
    if (length) {
        *to_len = strlen(*to);
        return length;
    }
    uint32_t cp;
    *to_len = length = (size_t)uni_next(s, n, &cp);
    return length;
}

static void put_part(const tok_sp_rules *r, const char *part, size_t n, buf *out) {
    for (size_t i = 0; i < n; i++) {
        if (part[i] == ' ' && r->escape)
            buf_put(out, mark, 3);
        else
            buf_putc(out, part[i]);
    }
}

/* Cuts what stands for spaces off the end. */
static void trim(const tok_sp_rules *r, buf *out) {
    const char *space = r->escape ? mark : " ";
    size_t n = strlen(space);
    while (!out->failed && out->len >= n && memcmp(out->data + out->len - n, space, n) == 0) out->len -= n;
    if (out->data) out->data[out->len] = 0;
}

void tok_sp_normalize(const tok_sp_rules *r, const buf *text, buf *out, const size_t *zero) {
    const char *s = text->data, *part;
    size_t n = text->len, part_len, i = 0;
    for (size_t used; r->remove_extra && i < n; i += used) {
        used = next_part(r, s + i, n - i, &part, &part_len);
        if (part_len != 1 || part[0] != ' ') break;
    }
    if (i == n) return;
    if (r->dummy_prefix && (!r->first_only || *zero > 0)) put_part(r, " ", 1, out);
    bool after_space = r->remove_extra;
    while (i < n && !out->failed) {
        i += next_part(r, s + i, n - i, &part, &part_len);
        for (; after_space && part_len && part[0] == ' '; part_len--) part++;
        if (part_len) after_space = part[part_len - 1] == ' ';
        if (!r->remove_extra) after_space = false;
        put_part(r, part, part_len, out);
    }
    if (r->remove_extra) trim(r, out);
}
