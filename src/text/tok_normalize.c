/* SPDX-License-Identifier: Apache-2.0
 *
 * Normalizers: each step rewrites one text. `zero` follows how many leading bytes stem from the input's first
 * character, which Metaspace's "first" asks for later. */
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "text/tok_internal.h"

/* ---- From tokenizer.json -------------------------------------------------------------------------------------- */

static nb_status add_norm(const cJSON *json, const char *type, tokenizer *t, const char *name, nb_error *err) {
    static const struct {
        const char *type;
        tok_norm_kind kind;
        uni_form form;
    } kinds[] = {{"NFC", NORM_UNICODE, UNI_NFC},
                 {"NFD", NORM_UNICODE, UNI_NFD},
                 {"NFKC", NORM_UNICODE, UNI_NFKC},
                 {"NFKD", NORM_UNICODE, UNI_NFKD},
                 {"Lowercase", NORM_LOWERCASE, 0},
                 {"Strip", NORM_STRIP, 0},
                 {"Nmt", NORM_NMT, 0},
                 {"StripAccents", NORM_STRIP_ACCENTS, 0},
                 {"Replace", NORM_REPLACE, 0},
                 {"Prepend", NORM_PREPEND, 0},
                 {"ByteLevel", NORM_BYTE_LEVEL, 0}};
    size_t k = 0, n_kinds = sizeof kinds / sizeof kinds[0];
    while (k < n_kinds && strcmp(kinds[k].type, type) != 0) k++;
    if (k == n_kinds) return tok_unknown_type("normalizer", type, name, err);
    tok_norm *step = &t->norms[t->n_norms++];
    *step = (tok_norm){.kind = kinds[k].kind, .form = kinds[k].form, .left = true, .right = true, .content = ""};
    nb_status status = NB_OK;
    if (step->kind == NORM_STRIP) {
        status = json_bool(json, "strip_left", &step->left, NULL, name, err);
        if (!status) status = json_bool(json, "strip_right", &step->right, NULL, name, err);
    } else if (step->kind == NORM_REPLACE) {
        status = tok_pattern_parse(json_get(json, "pattern"), t->mem, &step->pattern, name, err);
        if (!status) status = tok_need_str(json, "content", t->mem, &step->content, &step->content_len, name, err);
    } else if (step->kind == NORM_PREPEND) {
        status = tok_need_str(json, "prepend", t->mem, &step->content, &step->content_len, name, err);
    }
    return status;
}

nb_status tok_parse_normalizer(const cJSON *json, tokenizer *t, const char *name, nb_error *err) {
    if (!json) return NB_OK;
    t->norms = arena_zalloc(t->mem, TOK_MAX_STEPS, sizeof *t->norms);
    if (!t->norms) return err_no_memory(err, "the normalizer", 0);
    tok_steps steps = {0};
    return tok_each_step(json, "normalizer", "normalizers", &steps, add_norm, t, name, err);
}

/* ---- Character by character ----------------------------------------------------------------------------------- */

static void put_char(buf *out, uint32_t cp) {
    char bytes[4];
    buf_put(out, bytes, (size_t)utf8_encode(cp, bytes));
}

static void put_lower(buf *out, uint32_t cp) {
    if (cp < 0x80) {
        buf_putc(out, (char)(cp >= 'A' && cp <= 'Z' ? cp + 32 : cp));
    } else if (cp == 0x130) { /* the only character with a longer lower case */
        buf_puts(out, "i\xcc\x87");
    } else {
        put_char(out, uni_late_lower((uint32_t)utf8proc_tolower((utf8proc_int32_t)cp)));
    }
}

static void put_nmt(buf *out, uint32_t cp) {
    if ((cp >= 1 && cp <= 8) || cp == 0xb || (cp >= 0xe && cp <= 0x1f) || cp == 0x7f || cp == 0x8f || cp == 0x9f)
        return;
    bool space = cp == 9 || cp == 0xa || cp == 0xc || cp == 0xd || cp == 0x1680 || (cp >= 0x200b && cp <= 0x200f) ||
                 cp == 0x2028 || cp == 0x2029 || cp == 0x2581 || cp == 0xfeff || cp == 0xfffd;
    put_char(out, space ? ' ' : cp);
}

static void put_bytes(buf *out, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char pair[2];
        buf_put(out, pair, (size_t)uni_byte_char((uint8_t)s[i], pair));
    }
}

/* Steps that look at one character at a time; *zero becomes the length of what the first *zero bytes turned into. */
static void each_char(tok_norm_kind kind, const buf *text, buf *out, size_t *zero) {
    size_t new_zero = 0;
    for (size_t i = 0; i < text->len && !out->failed;) {
        uint32_t cp;
        size_t length = (size_t)uni_next(text->data + i, text->len - i, &cp);
        if (kind == NORM_LOWERCASE)
            put_lower(out, cp);
        else if (kind == NORM_NMT)
            put_nmt(out, cp);
        else if (kind == NORM_BYTE_LEVEL)
            put_bytes(out, text->data + i, length);
        else if (!uni_is_accent(cp))
            put_char(out, cp);
        i += length;
        if (i <= *zero) new_zero = out->len;
    }
    *zero = new_zero;
}

/* ---- Whole texts ---------------------------------------------------------------------------------------------- */

static void strip(const tok_norm *step, const buf *text, buf *out, size_t *zero) {
    size_t start = 0, end = text->len;
    uint32_t cp;
    while (step->left && start < end) {
        size_t length = (size_t)uni_next(text->data + start, end - start, &cp);
        if (!uni_is_space(cp)) break;
        start += length;
    }
    while (step->right && end > start) {
        size_t before = uni_previous(text->data, end, &cp);
        if (!uni_is_space(cp)) break;
        end = before;
    }
    buf_put(out, text->data + start, end - start);
    *zero = *zero > start ? *zero - start : 0;
}

/* A replacement takes the origin of the last byte that it replaces. */
static nb_status replace(const tok_norm *step, const buf *text, buf *out, size_t *zero, tok_work *w, nb_error *err) {
    nb_status status = tok_pattern_find(&step->pattern, text->data, text->len, w, err);
    size_t new_zero = 0;
    for (size_t i = 0; !status && i < w->n_spans && !out->failed; i++) {
        const tok_span *s = &w->spans[i];
        size_t before = out->len;
        if (s->hit)
            buf_put(out, step->content, step->content_len);
        else
            buf_put(out, text->data + s->start, s->end - s->start);
        if (s->end <= *zero)
            new_zero = out->len;
        else if (!s->hit && s->start < *zero)
            new_zero = before + *zero - s->start;
    }
    *zero = new_zero;
    return status;
}

static bool normal_form(const tok_norm *step, const buf *text, buf *out, size_t *zero) {
    buf head = {.limit = out->limit};
    bool ok = uni_normalize(step->form, text->data, text->len, out);
    if (ok && *zero) ok = uni_normalize(step->form, text->data, *zero, &head);
    *zero = head.len;
    buf_free(&head);
    return ok;
}

/* Whether a failed buffer met its limit or the memory's end. */
static nb_status out_of_room(const buf *out, size_t n, nb_error *err) {
    if (out->limit - out->len > n + TOK_MAX_CONTENT) return err_no_memory(err, "a normalized text", n);
    return err_set(err, NB_ERR_LIMIT, "normalizing a text makes it more than %d times as long", TOK_MAX_GROWTH);
}

nb_status tok_normalize(const tokenizer *t, buf *text, size_t *zero, tok_work *w, nb_error *err) {
    size_t limit = text->len < SIZE_MAX / (2 * TOK_MAX_GROWTH) ? text->len * TOK_MAX_GROWTH : SIZE_MAX / 2;
    for (size_t i = 0; i < t->n_norms && text->len > 0; i++) {
        const tok_norm *step = &t->norms[i];
        buf out = {.limit = limit + TOK_MAX_CONTENT};
        nb_status status = NB_OK;
        if (step->kind == NORM_UNICODE) {
            if (!normal_form(step, text, &out, zero)) out.failed = true;
        } else if (step->kind == NORM_STRIP) {
            strip(step, text, &out, zero);
        } else if (step->kind == NORM_REPLACE) {
            status = replace(step, text, &out, zero, w, err);
        } else if (step->kind == NORM_PREPEND) {
            buf_put(&out, step->content, step->content_len);
            buf_put(&out, text->data, text->len);
            if (*zero) *zero += step->content_len;
        } else if (step->kind == NORM_SENTENCEPIECE) {
            tok_sp_normalize(step->rules, text, &out, zero);
        } else {
            each_char(step->kind, text, &out, zero);
        }
        if (!status && out.failed) status = out_of_room(&out, text->len, err);
        if (status) {
            buf_free(&out);
            return status;
        }
        buf_free(text);
        *text = out;
    }
    text->limit = 0;
    return NB_OK;
}
