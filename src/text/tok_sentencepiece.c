/* SPDX-License-Identifier: Apache-2.0
 *
 * Loads SentencePiece's tokenizer.model, a protobuf message: pieces with scores and types, and how texts are
 * normalized. BPE models only. A piece is made of any two others that spell it, the highest score first. Control pieces
 * are looked for in the text; user-defined ones in the normalized text, and nothing merges with them. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tok_internal.h"

enum { MAX_PIECE = 1024 }; /* bytes */

/* ---- Protobuf ------------------------------------------------------------------------------------------------- */

typedef struct field {
    uint32_t number;
    int wire;
    uint64_t value;      /* of numbers */
    const uint8_t *data; /* of everything with a length */
    size_t n;
} field;

typedef struct message {
    const uint8_t *at, *end;
    bool bad;
} message;

static uint64_t varint(message *m) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (m->at == m->end) break;
        uint8_t byte = *m->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    m->bad = true;
    return 0;
}

/* The next field; false at the end, and at what is none (then m->bad). */
static bool next_field(message *m, field *f) {
    static const uint8_t sizes[8] = {0, 8, 0, 0, 0, 4, 0, 0};
    if (m->at == m->end) return false;
    uint64_t key = varint(m);
    *f = (field){.number = (uint32_t)(key >> 3), .wire = (int)(key & 7)};
    uint64_t n = sizes[f->wire];
    if (f->wire == 0)
        f->value = varint(m);
    else if (f->wire == 2)
        n = varint(m);
    else if (n == 0)
        m->bad = true;
    if (key >> 32 || n > (size_t)(m->end - m->at)) m->bad = true;
    if (m->bad) return false;
    f->data = m->at;
    f->n = (size_t)n;
    m->at += n;
    for (size_t i = 0; f->wire != 2 && i < n; i++) f->value |= (uint64_t)f->data[i] << (8 * i);
    return true;
}

static message inside(const field *f) {
    return (message){.at = f->data, .end = f->data + f->n, .bad = f->wire != 2};
}

/* ---- The file's content --------------------------------------------------------------------------------------- */

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };
enum { UNIGRAM = 1, BPE = 2 };

typedef struct piece {
    const char *text;
    uint32_t len;
    float score;
    int type;
    int32_t id;
} piece;

typedef struct sp_model {
    const char *name;
    piece *pieces;
    int32_t n, cap;
    int model_type;
    bool byte_fallback, suffix;
    int64_t bos_id, eos_id;
    const char *unk_surface;
    size_t n_unk_surface;
    const uint8_t *charsmap;
    size_t n_charsmap;
    bool dummy_prefix, remove_extra, escape, denormalizes;
    bool bad;
} sp_model;

static bool read_piece(sp_model *m, message in) {
    if (m->n == m->cap) {
        int32_t cap = m->cap ? 2 * m->cap : 4096;
        piece *more = cap <= TOK_MAX_TOKENS ? realloc(m->pieces, (size_t)cap * sizeof *more) : NULL;
        if (!more) return false;
        m->pieces = more;
        m->cap = cap;
    }
    piece *p = &m->pieces[m->n];
    *p = (piece){.text = "", .type = NORMAL, .id = m->n++};
    for (field f; next_field(&in, &f);) {
        if (f.number == 1 && f.wire == 2 && f.n <= MAX_PIECE) {
            p->text = (const char *)f.data;
            p->len = (uint32_t)f.n;
        } else if (f.number == 2 && f.wire == 5) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&p->score, &bits, sizeof p->score);
        } else if (f.number == 3 && f.wire == 0) {
            p->type = f.value >= NORMAL && f.value <= BYTE ? (int)f.value : 0;
        } else if (f.number <= 3) {
            in.bad = true;
        }
    }
    bool text = p->len && !memchr(p->text, 0, p->len) && utf8_valid(p->text, p->len);
    if (in.bad || !text || p->type == 0 || !(p->score - p->score == 0)) m->bad = true;
    return true;
}

static void read_trainer(sp_model *m, message in) {
    for (field f; next_field(&in, &f);) {
        if (f.number == 3) m->model_type = (int)(f.value & 0xff);
        if (f.number == 24) m->suffix = f.value != 0;
        if (f.number == 35) m->byte_fallback = f.value != 0;
        if (f.number == 41) m->bos_id = (int32_t)(uint32_t)f.value;
        if (f.number == 42) m->eos_id = (int32_t)(uint32_t)f.value;
        if (f.number == 44 && f.wire == 2) {
            m->unk_surface = (const char *)f.data;
            m->n_unk_surface = f.n;
        }
    }
    if (in.bad) m->bad = true;
}

static void read_normalizer(sp_model *m, message in, bool back) {
    for (field f; next_field(&in, &f);) {
        if (back && f.number == 2 && f.n) m->denormalizes = true;
        if (back) continue;
        if (f.number == 2 && f.wire == 2) {
            m->charsmap = f.data;
            m->n_charsmap = f.n;
        }
        if (f.number == 3) m->dummy_prefix = f.value != 0;
        if (f.number == 4) m->remove_extra = f.value != 0;
        if (f.number == 5) m->escape = f.value != 0;
    }
    if (in.bad) m->bad = true;
}

static nb_status read_model(sp_model *m, const void *data, size_t n, nb_error *err) {
    message in = {.at = data, .end = (const uint8_t *)data + n};
    for (field f; !m->bad && next_field(&in, &f);) {
        if (f.number == 1 && !read_piece(m, inside(&f))) return err_no_memory(err, "the vocabulary", n);
        if (f.number == 2) read_trainer(m, inside(&f));
        if (f.number == 3 || f.number == 5) read_normalizer(m, inside(&f), f.number == 5);
    }
    if (m->bad || in.bad)
        return err_set(err, NB_ERR_FORMAT, "%s: no SentencePiece model, or damaged near piece %d", m->name, m->n);
    if (m->n == 0) return err_set(err, NB_ERR_FORMAT, "%s: a SentencePiece model without pieces", m->name);
    if (m->model_type != BPE)
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: SentencePiece model of type %s is not known to nibble, only BPE",
                       m->name, m->model_type == UNIGRAM ? "unigram" : "word or char");
    if (m->suffix || m->denormalizes)
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: SentencePiece models with %s are not known to nibble", m->name,
                       m->suffix ? "treat_whitespace_as_suffix" : "a denormalizer");
    if (!utf8_valid(m->unk_surface, m->n_unk_surface) || m->n_unk_surface > TOK_MAX_CONTENT)
        return err_set(err, NB_ERR_FORMAT, "%s: unk_surface is no text", m->name);
    return NB_OK;
}

/* ---- Vocabulary and merges ------------------------------------------------------------------------------------ */

static int by_score(const void *a, const void *b) {
    const piece *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Only pieces that merges can make, or start from, are in t->vocab: the others are entries alone, so that a text that
 * spells one does not become it. */
static nb_status put_pieces(sp_model *m, int32_t n_ids, tokenizer *t, nb_error *err) {
    tok_map all = {0};
    nb_status status = tok_begin_vocab(t, (size_t)m->n, n_ids, 0, err);
    if (!status && !tok_map_init(&all, t->mem, (size_t)m->n)) status = err_no_memory(err, "the vocabulary", 0);
    for (int32_t i = 0; i < m->n && !status; i++) {
        const piece *p = &m->pieces[i];
        int32_t same = tok_map_get(&all, p->text, p->len);
        if (same >= 0) return err_set(err, NB_ERR_FORMAT, "%s: pieces %d and %d are the same", m->name, same, i);
        tok_map_put(&all, p->text, p->len, i);
        if (p->type == UNKNOWN && t->unk_id >= 0)
            return err_set(err, NB_ERR_FORMAT, "%s: two unknown pieces, %d and %d", m->name, t->unk_id, i);
        if (p->type == UNKNOWN) t->unk_id = i;
        const char *text = arena_strndup(t->mem, p->text, p->len);
        if (!text) return err_no_memory(err, "the vocabulary", p->len);
        if (p->type == NORMAL || p->type == UNUSED || p->type == USER_DEFINED)
            tok_put_token(t, text, p->len, i);
        else
            t->entries[i] = (tok_entry){.text = text, .decoded = text, .len = p->len, .decoded_len = p->len};
    }
    if (!status && t->unk_id < 0) return err_set(err, NB_ERR_FORMAT, "%s: no unknown piece", m->name);
    if (!status) tok_end_vocab(t);
    if (!status) t->unk_token = t->entries[t->unk_id].text;
    return status;
}

/* Equal scores are equal ranks. */
static nb_status put_merges(sp_model *m, tokenizer *t, nb_error *err) {
    uint32_t *ranks = malloc((size_t)t->n_ids * sizeof *ranks), rank = 0;
    if (!ranks) return err_no_memory(err, "the merges", (size_t)t->n_ids);
    for (int32_t i = 0; i < t->n_ids; i++) ranks[i] = TOK_NO_RANK;
    qsort(m->pieces, (size_t)m->n, sizeof *m->pieces, by_score);
    for (int32_t i = 0; i < m->n; i++) {
        const piece *p = &m->pieces[i];
        if (i && p->score != p[-1].score) rank++;
        if (p->type == NORMAL || p->type == UNUSED) ranks[p->id] = rank;
    }
    nb_status status = tok_merge_all(t, ranks, err);
    free(ranks);
    return status;
}

/* Texts never end in unused pieces: SentencePiece takes them apart again, which is not done here. */
static nb_status check_unused(const sp_model *m, const tokenizer *t, nb_error *err) {
    for (size_t i = 0; i <= t->merges.mask; i++) {
        const tok_merge *merge = &t->merges.slots[i];
        if (merge->pair == UINT64_MAX || m->pieces[merge->id].type != UNUSED) continue;
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: piece %d is marked unused, but others spell it", m->name,
                       merge->id);
    }
    return NB_OK;
}

static int by_id(const void *a, const void *b) {
    const piece *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static nb_status put_byte_ids(const sp_model *m, tokenizer *t, nb_error *err) {
    static const char hex[] = "0123456789ABCDEF";
    int found = 0;
    for (int b = 0; b < 256; b++) t->byte_ids[b] = -1;
    for (int32_t i = 0; i < m->n; i++) {
        const piece *p = &m->pieces[i];
        const char *high = p->len == 6 ? memchr(hex, p->text[3], 16) : NULL;
        const char *low = p->len == 6 ? memchr(hex, p->text[4], 16) : NULL;
        if (p->type != BYTE) continue;
        if (!high || !low || memcmp(p->text, "<0x", 3) != 0 || p->text[5] != '>')
            return err_set(err, NB_ERR_FORMAT, "%s: byte piece %d is not spelled <0xHH>", m->name, i);
        t->byte_ids[(high - hex) * 16 + (low - hex)] = i;
        found++;
    }
    if (m->byte_fallback ? found != 256 : found != 0)
        return err_set(err, NB_ERR_FORMAT, "%s: %d byte pieces, expected %d", m->name, found,
                       m->byte_fallback ? 256 : 0);
    return NB_OK;
}

/* ---- Steps ---------------------------------------------------------------------------------------------------- */

/* Control pieces are looked for in raw texts, user-defined ones in normalized texts. */
static nb_status put_special(const sp_model *m, const tok_extras *extras, tokenizer *t, nb_error *err) {
    nb_status status = tok_begin_added(t, (size_t)m->n + extras->n, err);
    for (int32_t i = 0; i < m->n && !status; i++) {
        const piece *p = &m->pieces[i];
        if (p->type != CONTROL && p->type != USER_DEFINED) continue;
        if (p->type == CONTROL)
            status = tok_put_added(t, p->text, p->len, i, (tok_added){0}, true, err);
        else
            t->normalized.items[t->normalized.n++] = (tok_added){.pattern = t->entries[i].text, .len = p->len, .id = i};
    }
    if (!status) status = tok_put_extras(t, extras, err);
    if (status) return status;
    tok_end_added(t);
    tok_entry *unk = &t->entries[t->unk_id];
    unk->decoded = arena_strndup(t->mem, m->unk_surface, m->n_unk_surface);
    unk->decoded_len = (uint32_t)m->n_unk_surface;
    unk->skipped = false;
    return unk->decoded ? NB_OK : err_no_memory(err, "the tokenizer", 0);
}

static nb_status put_steps(const sp_model *m, bool first_only, tokenizer *t, nb_error *err) {
    t->norms = arena_zalloc(t->mem, 1, sizeof *t->norms);
    t->decs = arena_zalloc(t->mem, 1, sizeof *t->decs);
    tok_sp_rules *rules = arena_zalloc(t->mem, 1, sizeof *rules);
    uint8_t *map = arena_alloc(t->mem, m->n_charsmap + 1);
    if (!t->norms || !t->decs || !rules || !map) return err_no_memory(err, "the tokenizer", m->n_charsmap);
    if (m->n_charsmap) memcpy(map, m->charsmap, m->n_charsmap);
    rules->dummy_prefix = m->dummy_prefix;
    rules->first_only = first_only;
    rules->remove_extra = m->remove_extra;
    rules->escape = m->escape;
    rules->kept = &t->normalized;
    t->norms[t->n_norms++] = (tok_norm){.kind = NORM_SENTENCEPIECE, .content = "", .rules = rules};
    t->decs[t->n_decs++] = (tok_dec){.kind = DEC_SENTENCEPIECE,
                                     .byte_tokens = m->byte_fallback,
                                     .cut_first = m->dummy_prefix || m->remove_extra,
                                     .cut_all = m->remove_extra};
    return tok_sp_parse_charsmap(map, m->n_charsmap, rules, m->name, err);
}

/* BOS and EOS as tokenizer_config.json wants them; where it does not say, BOS. */
static nb_status put_around(const sp_model *m, const tok_side *side, tokenizer *t, nb_error *err) {
    bool bos = true, eos = false;
    nb_status status = side ? json_bool(side->config, "add_bos_token", &bos, NULL, m->name, err) : NB_OK;
    if (!status && side) status = json_bool(side->config, "add_eos_token", &eos, NULL, m->name, err);
    if (status) return status;
    t->before = arena_zalloc(t->mem, 1, sizeof *t->before);
    t->after = arena_zalloc(t->mem, 1, sizeof *t->after);
    if (!t->before || !t->after) return err_no_memory(err, "the tokenizer", 0);
    if (bos && m->bos_id >= 0 && m->bos_id < m->n) t->before[t->n_before++] = (int32_t)m->bos_id;
    if (eos && m->eos_id >= 0 && m->eos_id < m->n) t->after[t->n_after++] = (int32_t)m->eos_id;
    return NB_OK;
}

static nb_status build(sp_model *m, const tok_side *side, tokenizer *t, nb_error *err) {
    tok_extras extras;
    bool legacy = true; /* each text between special tokens begins with a mark, not only the first one */
    nb_status status = tok_read_extras(side, t->mem, &extras, m->name, err);
    if (!status && side) status = json_bool(side->config, "legacy", &legacy, NULL, m->name, err);
    int32_t n_ids = extras.n_ids > m->n ? extras.n_ids : m->n;
    if (!status && n_ids > 8.0 * m->n + TOK_MAX_GAP)
        status = err_set(err, NB_ERR_FORMAT, "%s: ids up to %d for %d pieces", m->name, n_ids - 1, m->n);
    if (!status) status = put_pieces(m, n_ids, t, err);
    if (!status) status = put_byte_ids(m, t, err);
    if (!status) status = put_merges(m, t, err);
    if (status) return status;
    qsort(m->pieces, (size_t)m->n, sizeof *m->pieces, by_id);
    t->byte_fallback = m->byte_fallback;
    t->fuse_unk = !m->byte_fallback;
    status = check_unused(m, t, err);
    if (!status) status = put_special(m, &extras, t, err);
    if (!status) status = put_steps(m, !legacy, t, err);
    return status ? status : put_around(m, side, t, err);
}

nb_status tok_from_sentencepiece(const void *data, size_t n, const tok_side *side, const char *name, tokenizer **out,
                                 nb_error *err) {
    /* the defaults of sentencepiece_model.proto */
    sp_model m = {.name = name,
                  .model_type = UNIGRAM,
                  .bos_id = 1,
                  .eos_id = 2,
                  .unk_surface = " \xe2\x81\x87 ",
                  .n_unk_surface = 5,
                  .dummy_prefix = true,
                  .remove_extra = true,
                  .escape = true};
    tokenizer *t = NULL;
    *out = NULL;
    nb_status status = read_model(&m, data, n, err);
    if (!status) status = tok_new(&t, err);
    if (!status) status = build(&m, side, t, err);
    free(m.pieces);
    if (status)
        tok_free(t);
    else
        *out = t;
    return status;
}
