/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns of Split and Replace: literals, and regexes run by PCRE2 with its JIT. Matching steps through a text
 * exactly as Hugging Face's Oniguruma iterator does (an empty match right behind the last one is skipped). Every
 * search has a step limit, so that a hostile pattern ends in an error and not in a hang. */
#define _GNU_SOURCE           /* memmem */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tok_internal.h"

enum {
    MATCH_STEPS = 2000000, /* per search, and some more for each byte of the text */
    MATCH_HEAP_KIB = 65536,
};

nb_status tok_pattern_regex(const char *regex, tok_pattern *out, const char *name, nb_error *err) {
    buf translated = {.limit = 64 * TOK_MAX_CONTENT};
    nb_status status = tok_regex_translate(regex, &translated, name, err);
    if (!status && translated.failed) status = err_no_memory(err, "a regex", strlen(regex));
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!status && !context) status = err_no_memory(err, "a regex", 0);
    if (!status) {
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        int code = 0;
        PCRE2_SIZE at = 0;
        uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
        out->code = pcre2_compile((PCRE2_SPTR)(translated.data ? translated.data : ""), translated.len, options, &code,
                                  &at, context);
        if (!out->code) {
            PCRE2_UCHAR why[128] = "";
            pcre2_get_error_message(code, why, sizeof why);
            status = err_set(err, NB_ERR_UNSUPPORTED, "%s: regex \"%.200s\" is not understood: %s", name, regex,
                             (const char *)why);
        } else {
            out->jit = pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE) == 0;
        }
    }
    pcre2_compile_context_free(context);
    buf_free(&translated);
    return status;
}

nb_status tok_pattern_parse(const cJSON *json, arena *mem, tok_pattern *out, const char *name, nb_error *err) {
    *out = (tok_pattern){0};
    if (json_get(json, "Regex")) {
        const char *regex;
        size_t len;
        nb_status status = tok_need_str(json, "Regex", mem, &regex, &len, name, err);
        return status ? status : tok_pattern_regex(regex, out, name, err);
    }
    return tok_need_str(json, "String", mem, &out->literal, &out->literal_len, name, err);
}

void tok_pattern_free(tok_pattern *p) {
    pcre2_code_free(p->code);
    p->code = NULL;
}

void tok_work_free(tok_work *w) {
    buf_free(&w->text);
    buf_free(&w->next);
    free(w->pieces);
    free(w->next_pieces);
    free(w->spans);
    buf_free(&w->stand_in);
    pcre2_match_data_free(w->match_data);
    pcre2_match_context_free(w->match_context);
    *w = (tok_work){0};
}

static bool prepare(tok_work *w, size_t n) {
    if (!w->match_data) w->match_data = pcre2_match_data_create(1, NULL);
    if (!w->match_context) w->match_context = pcre2_match_context_create(NULL);
    if (!w->match_data || !w->match_context) return false;
    size_t steps = n < 100000000 ? MATCH_STEPS + 16 * n : UINT32_MAX;
    pcre2_set_match_limit(w->match_context, (uint32_t)steps);
    pcre2_set_heap_limit(w->match_context, MATCH_HEAP_KIB);
    return true;
}

/* The first match at or after `from`: 1 and its place, 0 for none, negative for PCRE2's errors. */
static int search(const tok_pattern *p, const char *text, size_t n, size_t from, tok_work *w, size_t place[2]) {
    if (!p->code) {
        const char *at = p->literal_len ? memmem(text + from, n - from, p->literal, p->literal_len) : text + from;
        if (!at) return 0;
        place[0] = (size_t)(at - text);
        place[1] = place[0] + p->literal_len;
        return 1;
    }
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (p->jit) rc = pcre2_jit_match(p->code, subject, n, from, PCRE2_NO_UTF_CHECK, w->match_data, w->match_context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter needs no stack, only heap */
        rc = pcre2_match(p->code, subject, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, w->match_data, w->match_context);
    if (rc == PCRE2_ERROR_NOMATCH) return 0;
    if (rc < 0) return rc;
    const PCRE2_SIZE *o = pcre2_get_ovector_pointer(w->match_data);
    place[0] = o[0] < o[1] ? o[0] : o[1]; /* \K in a look-ahead can put the start behind the end */
    place[1] = o[1];
    return 1;
}

/* Characters that PCRE2 may not know yet are searched as older ones of their kind, which have as many bytes: all places
 * stay. The text itself is returned where there are none; NULL when out of memory. */
static const char *with_stand_ins(const char *text, size_t n, tok_work *w) {
    bool any = false;
    for (size_t i = 0; i < n;) {
        if ((unsigned char)text[i] < 0xe0) { /* shorter characters are all known */
            i++;
            continue;
        }
        uint32_t cp;
        size_t length = (size_t)uni_next(text + i, n - i, &cp);
        uint32_t other = uni_stand_in(cp);
        if (other != cp) {
            if (!any) {
                buf_clear(&w->stand_in);
                buf_put(&w->stand_in, text, n);
                if (w->stand_in.failed) return NULL;
                any = true;
            }
            utf8_encode(other, w->stand_in.data + i);
        }
        i += length;
    }
    return any ? w->stand_in.data : text;
}

nb_status tok_pattern_find(const tok_pattern *p, const char *text, size_t n, tok_work *w, nb_error *err) {
    w->n_spans = 0;
    if (n == 0) return NB_OK;
    if (p->code && !prepare(w, n)) return err_no_memory(err, "a regex search", 0);
    if (p->code) text = with_stand_ins(text, n, w);
    if (!text) return err_no_memory(err, "a regex search", n);
    size_t from = 0, covered = 0, last_end = SIZE_MAX, place[2];
    while (from <= n) {
        int rc = search(p, text, n, from, w, place);
        if (rc == 0) break;
        if (rc < 0) {
            PCRE2_UCHAR why[128] = "";
            pcre2_get_error_message(rc, why, sizeof why);
            return err_set(err, NB_ERR_LIMIT, "the tokenizer's regex gave up on a text of %zu bytes: %s", n,
                           (const char *)why);
        }
        if (place[0] < covered) place[0] = covered; /* look-behind and \K cannot take back what was given out */
        if (place[0] >= place[1] && place[1] == last_end) {
            uint32_t cp;
            from += from < n ? (size_t)uni_next(text + from, n - from, &cp) : 1;
            continue;
        }
        from = last_end = place[1];
        if (place[0] > covered) tok_add_span(w, covered, place[0], false);
        tok_add_span(w, place[0], place[1], true);
        covered = place[1];
    }
    if (covered < n) tok_add_span(w, covered, n, false);
    return w->failed ? err_no_memory(err, "the pieces of a text", n) : NB_OK;
}
