/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoding from end to end (added tokens, normalizer, added tokens again, pre-tokenizer, model, post-processor), and
 * the post-processor: for single texts all of its kinds come down to ids before and ids behind. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tok_internal.h"

enum { MAX_SPECIAL = 4096 }; /* ids that post-processors may add on each side */

/* ---- The post-processor --------------------------------------------------------------------------------------- */

/* Post-processors wrap from the inside out: a later one's ids stand farther away from the text. */
static nb_status add_around(tokenizer *t, const int32_t *before, size_t n_before, const int32_t *after, size_t n_after,
                            const char *name, nb_error *err) {
    size_t n_b = t->n_before + n_before, n_a = t->n_after + n_after;
    if (n_b > MAX_SPECIAL || n_a > MAX_SPECIAL)
        return err_set(err, NB_ERR_FORMAT, "%s: the post_processor adds too many tokens", name);
    int32_t *b = arena_alloc(t->mem, (n_b + 1) * sizeof *b), *a = arena_alloc(t->mem, (n_a + 1) * sizeof *a);
    if (!b || !a) return err_no_memory(err, "the post-processor", n_b + n_a);
    if (n_before) memcpy(b, before, n_before * sizeof *b);
    if (t->n_before) memcpy(b + n_before, t->before, t->n_before * sizeof *b);
    if (t->n_after) memcpy(a, t->after, t->n_after * sizeof *a);
    if (n_after) memcpy(a + t->n_after, after, n_after * sizeof *a);
    t->before = b;
    t->after = a;
    t->n_before = n_b;
    t->n_after = n_a;
    return NB_OK;
}

static nb_status read_id(const cJSON *item, const tokenizer *t, int32_t *out, const char *name, nb_error *err) {
    double id = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(id >= 0 && id < t->n_ids) || id != (double)(int32_t)id || !t->entries[(int32_t)id].text)
        return err_set(err, NB_ERR_FORMAT, "%s: the post_processor adds a token id that is none of the vocabulary's",
                       name);
    *out = (int32_t)id;
    return NB_OK;
}

/* {"SpecialToken": {"id": NAME}}: looks NAME up in special_tokens and appends its ids. */
static nb_status special_ids(const cJSON *piece, const cJSON *specials, const tokenizer *t, int32_t *ids, size_t *n,
                             const char *name, nb_error *err) {
    const char *key = NULL;
    nb_status status = json_str(piece, "id", &key, NULL, name, err);
    const cJSON *list = key ? json_get(json_get(specials, key), "ids") : NULL;
    if (!status && !cJSON_IsArray(list))
        status = err_set(err, NB_ERR_FORMAT, "%s: the post_processor lacks the special token \"%.60s\"", name,
                         key ? key : "");
    if (status) return status;
    for (const cJSON *item = list->child; item && !status; item = item->next) {
        if (*n == MAX_SPECIAL) return err_set(err, NB_ERR_FORMAT, "%s: the post_processor adds too many tokens", name);
        status = read_id(item, t, &ids[(*n)++], name, err);
    }
    return status;
}

static nb_status add_template(const cJSON *json, tokenizer *t, const char *name, nb_error *err) {
    const cJSON *single = json_get(json, "single"), *specials = json_get(json, "special_tokens");
    int32_t *ids = malloc(2 * MAX_SPECIAL * sizeof *ids);
    if (!ids) return err_no_memory(err, "the post-processor", 0);
    size_t n[2] = {0, 0};
    int side = 0;
    nb_status status = NB_OK;
    for (const cJSON *piece = cJSON_IsArray(single) ? single->child : NULL; piece && !status; piece = piece->next) {
        const cJSON *sequence = json_get(piece, "Sequence"), *special = json_get(piece, "SpecialToken");
        const char *which = "";
        if (sequence) {
            status = json_str(sequence, "id", &which, NULL, name, err);
            if (!status && (strcmp(which, "A") != 0 || side++))
                status = err_set(err, NB_ERR_UNSUPPORTED,
                                 "%s: the template for one text uses another text, or this one twice", name);
        } else if (special) {
            status = special_ids(special, specials, t, ids + side * MAX_SPECIAL, &n[side], name, err);
        } else {
            status = err_set(err, NB_ERR_FORMAT, "%s: the template has a piece that is neither text nor token", name);
        }
    }
    if (!status && !side) status = err_set(err, NB_ERR_UNSUPPORTED, "%s: the template leaves the text out", name);
    if (!status) status = add_around(t, ids, n[0], ids + MAX_SPECIAL, n[1], name, err);
    free(ids);
    return status;
}

static nb_status add_post(const cJSON *json, const char *type, tokenizer *t, const char *name, nb_error *err) {
    if (strcmp(type, "ByteLevel") == 0) return NB_OK; /* concerns offsets only */
    if (strcmp(type, "TemplateProcessing") == 0) return add_template(json, t, name, err);
    if (strcmp(type, "BertProcessing") != 0 && strcmp(type, "RobertaProcessing") != 0)
        return tok_unknown_type("post_processor", type, name, err);
    int32_t cls = 0, sep = 0; /* each is [spelling, id] */
    nb_status status = read_id(cJSON_GetArrayItem(json_get(json, "cls"), 1), t, &cls, name, err);
    if (!status) status = read_id(cJSON_GetArrayItem(json_get(json, "sep"), 1), t, &sep, name, err);
    return status ? status : add_around(t, &cls, 1, &sep, 1, name, err);
}

nb_status tok_parse_post_processor(const cJSON *json, tokenizer *t, const char *name, nb_error *err) {
    tok_steps steps = {0};
    return json ? tok_each_step(json, "post_processor", "processors", &steps, add_post, t, name, err) : NB_OK;
}

/* ---- Encoding ------------------------------------------------------------------------------------------------- */

/* The pieces between raw added tokens, each normalized, then cut at the other added tokens. */
static nb_status normalize_pieces(const tokenizer *t, tok_work *w, nb_error *err) {
    nb_status status = NB_OK;
    buf one = {0};
    for (size_t i = 0; i < w->n_pieces && !status; i++) {
        const tok_piece *p = &w->pieces[i];
        size_t at = w->next.len, zero = p->zero;
        buf_clear(&one);
        buf_put(&one, w->text.data + p->at, p->len);
        if (one.failed) status = err_no_memory(err, "a text", p->len);
        if (!status && p->id < 0) status = tok_normalize(t, &one, &zero, w, err);
        if (status) break;
        buf_put(&w->next, one.data ? one.data : "", one.len);
        tok_next_piece(w, at, one.len, zero, p->id);
    }
    buf_free(&one);
    tok_swap(w, true);
    return status;
}

static void match_pieces(const tok_matcher *m, tok_work *w) {
    if (m->n == 0 || w->failed) return;
    for (size_t i = 0; i < w->n_pieces; i++) {
        const tok_piece *p = &w->pieces[i];
        if (p->id >= 0)
            tok_next_piece(w, p->at, p->len, p->zero, p->id);
        else
            tok_match_added(m, p, w);
    }
    tok_swap(w, false);
}

static nb_status encode(const tokenizer *t, tok_work *w, int32_t **ids, size_t *n_ids, nb_error *err) {
    nb_status status = NB_OK;
    uint32_t cp;
    size_t zero = w->text.len ? (size_t)uni_next(w->text.data, w->text.len, &cp) : 0;
    tok_next_piece(w, 0, w->text.len, zero, -1);
    tok_swap(w, false);
    match_pieces(&t->raw, w);
    if (t->n_norms) status = normalize_pieces(t, w, err);
    if (!status) match_pieces(&t->normalized, w);
    if (!status && (w->failed || w->text.failed)) status = err_no_memory(err, "the pieces of a text", w->text.len);
    if (!status) status = tok_pre_tokenize(t, w, err);
    return status ? status : tok_bpe(t, w, ids, n_ids, err);
}

nb_status tok_encode(const tokenizer *t, const char *text, size_t n, bool add_special, int32_t **ids, size_t *n_ids,
                     nb_error *err) {
    *ids = NULL;
    *n_ids = 0;
    tok_work w = {0};
    if (n == 0 || utf8_valid(text, n))
        buf_put(&w.text, text, n);
    else
        tok_put_lossy(&w.text, text, n, true);
    int32_t *inner = NULL, *all = NULL;
    size_t n_inner = 0;
    nb_status status = w.text.failed ? err_no_memory(err, "a text", n) : encode(t, &w, &inner, &n_inner, err);
    tok_work_free(&w);
    if (status) return status;
    if (!add_special || t->n_before + t->n_after == 0) {
        *ids = inner;
        *n_ids = n_inner;
        return NB_OK;
    }
    size_t total = t->n_before + n_inner + t->n_after;
    all = malloc(total * sizeof *all);
    if (!all) {
        free(inner);
        return err_no_memory(err, "token ids", total * sizeof *all);
    }
    if (t->n_before) memcpy(all, t->before, t->n_before * sizeof *all);
    if (n_inner) memcpy(all + t->n_before, inner, n_inner * sizeof *all);
    if (t->n_after) memcpy(all + t->n_before + n_inner, t->after, t->n_after * sizeof *all);
    free(inner);
    *ids = all;
    *n_ids = total;
    return NB_OK;
}
