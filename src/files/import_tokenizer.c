/* SPDX-License-Identifier: Apache-2.0
 *
 * GGUF import: the tokenizer. GGUF keeps the vocabulary, the merges and the kind of each token of a byte-level BPE
 * tokenizer, but of the pre-tokenizer only a name; the table below says what that name stands for in tokenizer.json's
 * terms. Names that are not in it are refused: text cut at other places gives other ids, and a worse model. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"
#include "files/import.h"

/* ---- Pre-tokenizers ------------------------------------------------------------------------------------------ */

/* The word patterns as the models' own tokenizer.json files have them. */
static const char llama3_words[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                                   " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char qwen2_words[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                                  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char tekken_words[] = "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*"
                                   "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"
                                   "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
                                   "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|"
                                   "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

typedef struct pre_tokenizer {
    const char *name;     /* tokenizer.ggml.pre */
    const char *split[4]; /* patterns that cut one after another, before ByteLevel */
    bool digits;          /* then each digit by itself */
    bool gpt2_words;      /* ByteLevel cuts by GPT-2's own pattern */
    bool nfc;             /* the text is normalized first */
    bool ignore_merges;   /* a word that is a token needs no merges */
    bool bos;             /* begins with BOS where the metadata does not say */
} pre_tokenizer;

static const pre_tokenizer pre_tokenizers[] = {
    {"smollm", {0}, true, true, false, false, false},
    {"starcoder", {0}, true, true, false, false, false},
    {"refact", {0}, true, true, false, false, false},
    {"gpt-2", {0}, false, true, false, false, false},
    {"default", {0}, false, true, false, false, false},
    {"llama-bpe", {llama3_words}, false, false, false, true, true},
    {"llama3", {llama3_words}, false, false, false, true, true},
    {"llama-v3", {llama3_words}, false, false, false, true, true},
    {"tekken", {tekken_words}, false, false, false, true, true},
    {"qwen2", {qwen2_words}, false, false, true, false, false},
    {"deepseek-r1-qwen", {qwen2_words}, false, false, false, false, false},
    {"deepseek-coder",
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"},
     true,
     false,
     false,
     false,
     false},
};
enum { N_PRE_TOKENIZERS = sizeof pre_tokenizers / sizeof pre_tokenizers[0] };

static nb_status find_pre(const import_model *m, const pre_tokenizer **out, nb_error *err) {
    const char *name = "default";
    nb_status status = gguf_str(m->g, "tokenizer.ggml.pre", &name, NULL, err);
    if (status) return status;
    for (int i = 0; i < N_PRE_TOKENIZERS; i++)
        if (strcmp(pre_tokenizers[i].name, name) == 0) *out = &pre_tokenizers[i];
    if (!*out)
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: pre-tokenizer \"%.60s\" (tokenizer.ggml.pre) is not supported",
                       m->file, name);
    if (strcmp(name, "default") == 0)
        log_msg(NB_LOG_WARN, "%s: the metadata names no pre-tokenizer; taking GPT-2's", m->file);
    return NB_OK;
}

static void put_pre_tokenizer(buf *out, const pre_tokenizer *pre) {
    buf_puts(out, "{\"type\": \"Sequence\", \"pretokenizers\": [");
    for (int i = 0; i < 4 && pre->split[i]; i++) {
        buf_puts(out, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        json_put_str(out, pre->split[i], strlen(pre->split[i]));
        buf_puts(out, "}, \"behavior\": \"Isolated\", \"invert\": false}, ");
    }
    if (pre->digits) buf_puts(out, "{\"type\": \"Digits\", \"individual_digits\": true}, ");
    buf_printf(out,
               "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": %s}]}",
               pre->gpt2_words ? "true" : "false");
}

/* ---- The vocabulary ------------------------------------------------------------------------------------------ */

/* GGUF's kinds of tokens (the sentencepiece numbers). */
enum { KIND_NORMAL = 1, KIND_UNKNOWN = 2, KIND_CONTROL = 3, KIND_USER = 4, KIND_UNUSED = 5, KIND_BYTE = 6 };

typedef struct token {
    const char *text; /* not NUL-terminated */
    size_t length;
    int64_t id;
    int kind;
} token;

typedef struct vocab {
    token *tokens;        /* by id */
    const token **sorted; /* those in use, by text */
    size_t n, n_sorted;
    gguf_array merges;
} vocab;

static int compare_text(const token *a, const token *b) {
    int c = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
    return c ? c : (a->length > b->length) - (a->length < b->length);
}

static int by_text(const void *a, const void *b) {
    return compare_text(*(const token *const *)a, *(const token *const *)b);
}

static const token *find_token(const vocab *v, const char *text, size_t length) {
    token wanted = {.text = text, .length = length};
    const token *p = &wanted;
    const token **found = bsearch(&p, v->sorted, v->n_sorted, sizeof *v->sorted, by_text);
    return found ? *found : NULL;
}

static nb_status index_tokens(const import_model *m, vocab *v, nb_error *err) {
    for (size_t i = 0; i < v->n; i++)
        if (v->tokens[i].kind != KIND_UNUSED) v->sorted[v->n_sorted++] = &v->tokens[i];
    qsort(v->sorted, v->n_sorted, sizeof *v->sorted, by_text);
    for (size_t i = 1; i < v->n_sorted; i++)
        if (compare_text(v->sorted[i - 1], v->sorted[i]) == 0)
            return err_set(err, NB_ERR_FORMAT, "%s: tokens %lld and %lld are the same text", m->file,
                           (long long)v->sorted[i - 1]->id, (long long)v->sorted[i]->id);
    return NB_OK;
}

static nb_status read_tokens(const import_model *m, vocab *v, nb_error *err) {
    gguf_array texts, kinds;
    bool has_kinds;
    nb_status status = gguf_arr(m->g, "tokenizer.ggml.tokens", GGUF_STRING, &texts, NULL, err);
    if (!status) status = gguf_arr(m->g, "tokenizer.ggml.token_type", GGUF_I32, &kinds, &has_kinds, err);
    if (status) return status;
    if (texts.n == 0 || texts.n > (uint64_t)m->vocab_size || (has_kinds && kinds.n != texts.n))
        return err_set(err, NB_ERR_FORMAT, "%s: %zu tokens with %zu token types, expected up to %lld of both", m->file,
                       texts.n, kinds.n, (long long)m->vocab_size);
    v->n = texts.n;
    v->tokens = arena_zalloc(m->memory, v->n, sizeof *v->tokens);
    v->sorted = arena_zalloc(m->memory, v->n, sizeof *v->sorted);
    if (!v->tokens || !v->sorted) return err_no_memory(err, "the vocabulary", v->n * sizeof *v->tokens);
    const uint8_t *at = texts.data;
    for (size_t i = 0; i < v->n; i++) {
        token *t = &v->tokens[i];
        *t = (token){.id = (int64_t)i, .kind = has_kinds ? gguf_i32_at(&kinds, i) : KIND_NORMAL};
        gguf_next_string(&at, &t->text, &t->length);
        if (t->length == 0 || memchr(t->text, 0, t->length) || !utf8_valid(t->text, t->length))
            return err_set(err, NB_ERR_FORMAT, "%s: token %zu is no valid UTF-8 text", m->file, i);
        if (t->kind < KIND_NORMAL || t->kind > KIND_BYTE)
            return err_set(err, NB_ERR_FORMAT, "%s: token %zu has type %d, expected 1 to 6", m->file, i, t->kind);
    }
    return index_tokens(m, v, err);
}

/* Each merge is "left right"; both and what they make must be tokens, or no tokenizer would load the result. */
static nb_status read_merges(const import_model *m, vocab *v, nb_error *err) {
    nb_status status = gguf_arr(m->g, "tokenizer.ggml.merges", GGUF_STRING, &v->merges, NULL, err);
    if (!status && v->merges.n == 0)
        status = err_set(err, NB_ERR_FORMAT, "%s: no tokenizer.ggml.merges in its metadata", m->file);
    buf joined = {0};
    const uint8_t *at = v->merges.data;
    for (size_t i = 0; i < v->merges.n && !status; i++) {
        const char *text;
        size_t n;
        gguf_next_string(&at, &text, &n);
        const char *space = memchr(text, ' ', n);
        size_t left = space ? (size_t)(space - text) : 0, right = space ? n - left - 1 : 0;
        buf_clear(&joined);
        buf_put(&joined, text, left);
        if (right) buf_put(&joined, space + 1, right);
        if (joined.failed)
            status = err_no_memory(err, "a merge", n);
        else if (!left || !right || memchr(space + 1, ' ', right) || !find_token(v, text, left) ||
                 !find_token(v, space + 1, right) || !find_token(v, joined.data, joined.len))
            status =
                err_set(err, NB_ERR_FORMAT, "%s: merge %zu is not made of two tokens that make a third", m->file, i);
    }
    buf_free(&joined);
    return status;
}

/* ---- Special tokens ------------------------------------------------------------------------------------------ */

static nb_status read_id(const import_model *m, const vocab *v, const char *key, int64_t *id, nb_error *err) {
    const int64_t none = UINT32_MAX; /* what some writers put for "there is none" */
    *id = -1;
    nb_status status = gguf_int(m->g, key, -1, none, id, NULL, err);
    if (status) return status;
    if (*id == none) *id = -1;
    if (*id >= (int64_t)v->n)
        return err_set(err, NB_ERR_FORMAT, "%s: %s is %lld, expected 0 to %zu", m->file, key, (long long)*id, v->n - 1);
    return NB_OK;
}

static void add_eos(import_model *m, int64_t id) {
    for (int i = 0; i < m->n_eos; i++)
        if (m->eos_ids[i] == id) return;
    if (id >= 0 && m->n_eos < (int)(sizeof m->eos_ids / sizeof m->eos_ids[0])) m->eos_ids[m->n_eos++] = id;
}

/* The special ids. Chat models end a turn with another token than a text; where the metadata names only one of the
 * two, the turn's end is known by its text, if the chat template writes it. */
static nb_status read_special(import_model *m, const vocab *v, const char *chat_template, nb_error *err) {
    static const char *const turn_ends[] = {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>"};
    static const char *const end_keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                           "tokenizer.ggml.eom_token_id"};
    nb_status status = read_id(m, v, "tokenizer.ggml.bos_token_id", &m->bos_id, err);
    if (!status) status = read_id(m, v, "tokenizer.ggml.padding_token_id", &m->pad_id, err);
    if (!status) status = read_id(m, v, "tokenizer.ggml.unknown_token_id", &m->unk_id, err);
    m->n_eos = 0;
    for (size_t i = 0; i < sizeof end_keys / sizeof end_keys[0] && !status; i++) {
        int64_t id;
        status = read_id(m, v, end_keys[i], &id, err);
        if (!status) add_eos(m, id);
    }
    for (size_t i = 0; i < sizeof turn_ends / sizeof turn_ends[0] && !status && chat_template; i++) {
        const token *t = find_token(v, turn_ends[i], strlen(turn_ends[i]));
        if (t && t->kind == KIND_CONTROL && strstr(chat_template, turn_ends[i])) add_eos(m, t->id);
    }
    return status;
}

/* ---- The files ----------------------------------------------------------------------------------------------- */

static void put_token(buf *out, const vocab *v, int64_t id) {
    json_put_str(out, v->tokens[id].text, v->tokens[id].length);
}

static void put_added_tokens(buf *out, const vocab *v) {
    const char *separator = "\n";
    for (size_t i = 0; i < v->n; i++) {
        int kind = v->tokens[i].kind;
        if (kind != KIND_CONTROL && kind != KIND_UNKNOWN && kind != KIND_USER) continue;
        buf_printf(out, "%s    {\"id\": %zu, \"content\": ", separator, i);
        put_token(out, v, (int64_t)i);
        buf_printf(out,
                   ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                   "\"special\": %s}",
                   kind == KIND_USER ? "false" : "true");
        separator = ",\n";
    }
}

/* ByteLevel, then BOS before and EOS after the text where the model wants them. */
static void put_post_processor(buf *out, const vocab *v, int64_t bos, int64_t eos) {
    const char *byte_level =
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": false, \"use_regex\": true}";
    if (bos < 0 && eos < 0) {
        buf_puts(out, byte_level);
        return;
    }
    buf_printf(out, "{\"type\": \"Sequence\", \"processors\": [%s, {\"type\": \"TemplateProcessing\"", byte_level);
    for (int pair = 0; pair < 2; pair++) {
        buf_printf(out, ", \"%s\": [", pair ? "pair" : "single");
        for (int part = 0; part <= pair; part++) {
            if (part) buf_puts(out, ", ");
            for (int place = 0; place < 3; place++) {
                int64_t id = place == 0 ? bos : eos;
                if (place == 1) {
                    buf_printf(out, "{\"Sequence\": {\"id\": \"%c\", \"type_id\": %d}}", 'A' + part, part);
                } else if (id >= 0) {
                    buf_puts(out, place == 2 ? ", {\"SpecialToken\": {\"id\": " : "{\"SpecialToken\": {\"id\": ");
                    put_token(out, v, id);
                    buf_printf(out, ", \"type_id\": %d}}%s", part, place == 0 ? ", " : "");
                }
            }
        }
        buf_putc(out, ']');
    }
    buf_puts(out, ", \"special_tokens\": {");
    for (int i = 0; i < 2; i++) {
        int64_t id = i ? eos : bos;
        if (id < 0 || (i && eos == bos)) continue;
        if (i && bos >= 0) buf_puts(out, ", ");
        put_token(out, v, id);
        buf_puts(out, ": {\"id\": ");
        put_token(out, v, id);
        buf_printf(out, ", \"ids\": [%lld], \"tokens\": [", (long long)id);
        put_token(out, v, id);
        buf_puts(out, "]}");
    }
    buf_puts(out, "}}]}");
}

/* unk: the token for bytes that the vocabulary lacks (SmolLM2's has no control characters); -1 leaves them out. */
static void put_model(buf *out, const vocab *v, const pre_tokenizer *pre, int64_t unk) {
    buf_puts(out, "{\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": ");
    if (unk >= 0)
        put_token(out, v, unk);
    else
        buf_puts(out, "null");
    buf_printf(
        out,
        ", \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null,\n    \"fuse_unk\": false, \"byte_fallback\": false, "
        "\"ignore_merges\": %s,\n    \"vocab\": {",
        pre->ignore_merges ? "true" : "false");
    const char *separator = "\n";
    for (size_t i = 0; i < v->n; i++) {
        if (v->tokens[i].kind == KIND_UNUSED) continue;
        buf_printf(out, "%s      ", separator);
        put_token(out, v, (int64_t)i);
        buf_printf(out, ": %zu", i);
        separator = ",\n";
    }
    buf_puts(out, "\n    },\n    \"merges\": [");
    const uint8_t *at = v->merges.data;
    for (size_t i = 0; i < v->merges.n; i++) {
        const char *text;
        size_t n;
        gguf_next_string(&at, &text, &n);
        buf_puts(out, i ? ",\n      " : "\n      ");
        json_put_str(out, text, n);
    }
    buf_puts(out, "\n    ]\n  }");
}

static void put_tokenizer(buf *out, const import_model *m, const vocab *v, const pre_tokenizer *pre, int64_t bos,
                          int64_t eos) {
    buf_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [");
    put_added_tokens(out, v);
    buf_printf(out, "\n  ],\n  \"normalizer\": %s,\n  \"pre_tokenizer\": ", pre->nfc ? "{\"type\": \"NFC\"}" : "null");
    put_pre_tokenizer(out, pre);
    buf_puts(out, ",\n  \"post_processor\": ");
    put_post_processor(out, v, bos, eos);
    buf_puts(out, ",\n  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
                  "\"use_regex\": true},\n  \"model\": ");
    put_model(out, v, pre, m->unk_id);
    buf_puts(out, "\n}\n");
}

static void put_tokenizer_config(buf *out, const import_model *m, const vocab *v, bool add_bos, bool add_eos_token,
                                 const char *chat_template) {
    const struct {
        const char *field;
        int64_t id;
    } named[] = {{"bos_token", m->bos_id},
                 {"eos_token", m->n_eos ? m->eos_ids[0] : -1},
                 {"pad_token", m->pad_id},
                 {"unk_token", m->unk_id}};
    buf_printf(out, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"model_max_length\": %lld,\n",
               (long long)m->context_length);
    for (size_t i = 0; i < 4; i++) {
        if (named[i].id < 0) continue;
        buf_printf(out, "  \"%s\": ", named[i].field);
        put_token(out, v, named[i].id);
        buf_puts(out, ",\n");
    }
    if (chat_template) {
        buf_puts(out, "  \"chat_template\": ");
        json_put_str(out, chat_template, strlen(chat_template));
        buf_puts(out, ",\n");
    }
    buf_printf(out,
               "  \"add_bos_token\": %s,\n  \"add_eos_token\": %s,\n  \"add_prefix_space\": false,\n"
               "  \"clean_up_tokenization_spaces\": false\n}\n",
               add_bos ? "true" : "false", add_eos_token ? "true" : "false");
}

nb_status import_tokenizer(import_model *m, buf *tokenizer, buf *config, nb_error *err) {
    const char *kind = "", *chat_template = NULL;
    vocab v = {0};
    const pre_tokenizer *pre = NULL;
    nb_status status = gguf_str(m->g, "tokenizer.ggml.model", &kind, NULL, err);
    if (!status && strcmp(kind, "gpt2") != 0)
        status = err_set(err, NB_ERR_UNSUPPORTED,
                         "%s: tokenizer \"%.40s\" cannot be imported (byte-level BPE, \"gpt2\", can)", m->file, kind);
    if (!status) status = find_pre(m, &pre, err);
    if (!status) status = read_tokens(m, &v, err);
    if (!status) status = read_merges(m, &v, err);
    if (!status) status = gguf_str(m->g, "tokenizer.chat_template", &chat_template, NULL, err);
    if (!status) status = read_special(m, &v, chat_template, err);
    bool bos = pre && pre->bos, eos = false;
    if (!status) status = gguf_bool(m->g, "tokenizer.ggml.add_bos_token", &bos, NULL, err);
    if (!status) status = gguf_bool(m->g, "tokenizer.ggml.add_eos_token", &eos, NULL, err);
    if (status) return status;
    bos = bos && m->bos_id >= 0;
    eos = eos && m->n_eos > 0;
    put_tokenizer(tokenizer, m, &v, pre, bos ? m->bos_id : -1, eos ? m->eos_ids[0] : -1);
    put_tokenizer_config(config, m, &v, bos, eos, chat_template);
    return tokenizer->failed || config->failed ? err_no_memory(err, "tokenizer.json", 0) : NB_OK;
}
