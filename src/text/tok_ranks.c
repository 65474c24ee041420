/* SPDX-License-Identifier: Apache-2.0
 *
 * Vocabularies of bytes: files of base64 lines (tiktoken's form) and Mistral's tekken.json. A word's bytes merge by the
 * rank of what they make, so that the vocabulary is all there is; inside, the bytes are letters of the GPT-2 alphabet,
 * as in tokenizer.json. Such files tell neither the pattern that cuts texts nor the special tokens: both are known here
 * for the models that have been published so, the tokens' names may also come from tokenizer_config.json. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tok_internal.h"

enum { MAX_TOKEN_BYTES = 1024 };

/* ---- What models are known ------------------------------------------------------------------------------------ */

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define TAIL         " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER        "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define LOWER        "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define NOT_HAN      "&&[^\\p{Han}]"

static const char gpt2_words[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char cl100k_words[] = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" TAIL;
static const char qwen_words[] = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" TAIL;
static const char qwen3_5_words[] = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|"
                                                 " ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char o200k_words[] = "[^\\r\\n\\p{L}\\p{N}]?[" UPPER "]*[" LOWER "]+" CONTRACTIONS "?|"
                                  "[^\\r\\n\\p{L}\\p{N}]?[" UPPER "]+[" LOWER "]*" CONTRACTIONS "?|\\p{N}{1,3}|"
                                  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char kimi_words[] =
    "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[" UPPER NOT_HAN "]*[" LOWER NOT_HAN "]+" CONTRACTIONS
    "?|[^\\r\\n\\p{L}\\p{N}]?[" UPPER NOT_HAN "]+[" LOWER NOT_HAN "]*" CONTRACTIONS "?|"
    "\\p{N}{1,3}|" TAIL;

typedef struct known_model {
    const char *class;        /* tokenizer_class of tokenizer_config.json */
    int32_t n_ranks;          /* identifies the model where the class does not */
    const char *words;        /* the pattern */
    bool nfc;                 /* texts are normalized first */
    int32_t gap;              /* ids between the last rank and the first special token */
    const char *specials[24]; /* from there on; NULL: none with this id */
    const char *reserved;     /* the names of those behind; has one %d */
    int32_t n_special;        /* in all */
    int32_t number;           /* of the first reserved token; -1: its id */
    const char *before[2];    /* what stands before each text */
} known_model;

static const known_model known_models[] = {
    {.class = "QWenTokenizer",
     .n_ranks = 151643,
     .words = qwen_words,
     .nfc = true,
     .specials = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"},
     .reserved = "<|extra_%d|>",
     .n_special = 208},
    {.n_ranks = 248044,
     .words = qwen3_5_words,
     .nfc = true,
     .specials = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"},
     .n_special = 3},
    {.n_ranks = 128000,
     .words = cl100k_words,
     .specials = {"<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
                  "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>",
                  "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>", "<|image|>"},
     .reserved = "<|reserved_special_token_%d|>",
     .n_special = 256,
     .number = 2,
     .before = {"<|begin_of_text|>"}},
    {.class = "TikTokenTokenizer",
     .n_ranks = 163584,
     .words = kimi_words,
     .specials = {"[BOS]", "[EOS]"},
     .reserved = "<|reserved_token_%d|>",
     .n_special = 256,
     .number = -1},
    {.class = "ChatGLM4Tokenizer",
     .n_ranks = 151329,
     .words = cl100k_words,
     .specials = {"<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>",
                  "<|assistant|>", "<|observation|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>",
                  "<|end_of_video|>"},
     .n_special = 14,
     .before = {"[gMASK]", "<sop>"}},
    {.n_ranks = 100256,
     .words = cl100k_words,
     .gap = 1,
     .specials = {"<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", [19] = "<|endofprompt|>"},
     .n_special = 20},
    {.n_ranks = 199998,
     .words = o200k_words,
     .gap = 1,
     .specials = {"<|endoftext|>", [19] = "<|endofprompt|>"},
     .n_special = 20},
    {.n_ranks = 50256, .words = gpt2_words, .specials = {"<|endoftext|>"}, .n_special = 1},
};

static nb_status find_model(const tok_side *side, int32_t n_ranks, const known_model **out, const char *name,
                            nb_error *err) {
    const char *class = "";
    *out = NULL;
    nb_status status = side ? json_str(side->config, "tokenizer_class", &class, NULL, name, err) : NB_OK;
    size_t n = sizeof known_models / sizeof known_models[0];
    for (size_t i = 0; i < n && !status; i++) {
        const known_model *m = &known_models[i];
        if (m->class && strcmp(m->class, class) == 0) *out = m;
    }
    for (size_t i = 0; i < n && !status && !*out; i++)
        if (known_models[i].n_ranks == n_ranks) *out = &known_models[i];
    if (status || *out) return status;
    return err_set(err, NB_ERR_UNSUPPORTED,
                   "%s: it is not known how texts are cut for tokenizer_class \"%.60s\" with %d ranks", name, class,
                   n_ranks);
}

/* ---- Base64 --------------------------------------------------------------------------------------------------- */

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bytes put, 0 when it is no base64 of 1 to MAX_TOKEN_BYTES bytes. */
static size_t from_base64(const char *s, size_t n, uint8_t out[MAX_TOKEN_BYTES + 3]) {
    if (n == 0 || n % 4 || n / 4 * 3 > MAX_TOKEN_BYTES + 2) return 0;
    size_t pad = s[n - 1] == '=' ? 1 + (s[n - 2] == '=') : 0, len = 0;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = i + k >= n - pad ? 0 : base64_value(s[i + k]);
            if (value < 0) return 0;
            bits = bits << 6 | (uint32_t)value;
        }
        out[len++] = (uint8_t)(bits >> 16);
        out[len++] = (uint8_t)(bits >> 8);
        out[len++] = (uint8_t)bits;
    }
    return len - pad <= MAX_TOKEN_BYTES ? len - pad : 0;
}

/* ---- Building ------------------------------------------------------------------------------------------------- */

static nb_status put_base64(tokenizer *t, const char *s, size_t n, int32_t id, const char *name, nb_error *err) {
    uint8_t bytes[MAX_TOKEN_BYTES + 3];
    char letters[2 * MAX_TOKEN_BYTES];
    size_t count = from_base64(s, n, bytes), len = 0;
    if (count == 0)
        return err_set(err, NB_ERR_FORMAT, "%s: token %d is no base64 of 1 to %d bytes", name, id, MAX_TOKEN_BYTES);
    for (size_t i = 0; i < count; i++) len += (size_t)uni_byte_char(bytes[i], letters + len);
    int32_t same = tok_map_get(&t->vocab, letters, len);
    if (same >= 0 || t->entries[id].text)
        return err_set(err, NB_ERR_FORMAT, "%s: rank %d is given twice, or to a token that has rank %d", name, id,
                       same);
    const char *text = arena_strndup(t->mem, letters, len);
    if (!text) return err_no_memory(err, "the vocabulary", len);
    tok_put_token(t, text, len, id);
    return NB_OK;
}

/* Merges and steps, once the vocabulary is there. */
static nb_status finish_bytes(tokenizer *t, const char *words, bool nfc, const char *name, nb_error *err) {
    for (unsigned b = 0; b < 256; b++) {
        char letter[2];
        if (tok_map_get(&t->vocab, letter, (size_t)uni_byte_char((uint8_t)b, letter)) < 0)
            return err_set(err, NB_ERR_FORMAT, "%s: there is no token for the byte %u", name, b);
    }
    t->ignore_merges = true;
    tok_end_vocab(t);
    t->norms = arena_zalloc(t->mem, 1, sizeof *t->norms);
    t->pres = arena_zalloc(t->mem, 2, sizeof *t->pres);
    t->decs = arena_zalloc(t->mem, 1, sizeof *t->decs);
    if (!t->norms || !t->pres || !t->decs) return err_no_memory(err, "the tokenizer", 0);
    t->norms[0] = (tok_norm){.kind = NORM_UNICODE, .form = UNI_NFC, .content = ""};
    t->n_norms = nfc;
    t->pres[0] = (tok_pre){.kind = PRE_SPLIT, .behavior = SPLIT_ISOLATED};
    t->pres[1] = (tok_pre){.kind = PRE_BYTE_LEVEL};
    t->n_pres = 2;
    t->decs[0] = (tok_dec){.kind = DEC_BYTE_LEVEL};
    t->n_decs = 1;
    nb_status status = tok_merge_all(t, NULL, err);
    return status ? status : tok_pattern_regex(words, &t->pres[0].pattern, name, err);
}

/* Puts the special tokens that the model is known for, where the id and the name are free. */
static nb_status put_known(tokenizer *t, const known_model *m, int32_t first, nb_error *err) {
    nb_status status = NB_OK;
    int32_t number = m->number;
    bool reserved = false;
    for (int32_t i = 0; i < m->n_special && !status; i++) {
        char spelled[64];
        const char *text = i < 24 && !reserved ? m->specials[i] : NULL;
        if (!text && m->reserved) {
            reserved = true;
            snprintf(spelled, sizeof spelled, m->reserved, number < 0 ? first + i : number++);
            text = spelled;
        }
        if (!text || t->entries[first + i].text || tok_map_get(&t->added_ids, text, strlen(text)) >= 0) continue;
        status = tok_put_added(t, text, strlen(text), first + i, (tok_added){0}, true, err);
    }
    return status;
}

static nb_status put_before(tokenizer *t, const known_model *m, nb_error *err) {
    t->before = arena_zalloc(t->mem, 2, sizeof *t->before);
    if (!t->before) return err_no_memory(err, "the tokenizer", 0);
    for (int i = 0; i < 2 && m->before[i]; i++) {
        int32_t id = tok_map_get(&t->added_ids, m->before[i], strlen(m->before[i]));
        if (id >= 0) t->before[t->n_before++] = id;
    }
    return NB_OK;
}

/* ---- Files of base64 lines ------------------------------------------------------------------------------------ */

typedef struct line {
    const char *token;
    size_t len;
    int32_t rank;
} line;

/* The next line that is not empty; 0 at the end, -1 when it is not "BASE64 RANK". */
static int next_line(const char **at, const char *end, line *out) {
    while (*at < end && (**at == '\n' || **at == '\r')) ++*at;
    if (*at == end) return 0;
    const char *p = *at;
    while (p < end && *p != ' ' && *p != '\n') p++;
    if (p == end || *p != ' ') return -1;
    *out = (line){.token = *at, .len = (size_t)(p - *at)};
    int digits = 0;
    for (p++; p < end && *p >= '0' && *p <= '9' && digits < 9; p++, digits++) out->rank = out->rank * 10 + (*p - '0');
    if (p < end && *p == '\r') p++;
    if (digits == 0 || out->rank >= TOK_MAX_TOKENS || (p < end && *p != '\n')) return -1;
    *at = p;
    return 1;
}

static nb_status parse_lines(const char *text, size_t n, const tok_side *side, tokenizer *t, const char *name,
                             nb_error *err) {
    const char *at = text, *end = text + n;
    line l;
    int rc;
    int32_t count = 0, highest = -1;
    for (; (rc = next_line(&at, end, &l)) > 0; count++)
        if (l.rank > highest) highest = l.rank;
    if (rc < 0 || count == 0)
        return err_set(err, NB_ERR_FORMAT, "%s: line %d is not a token in base64, a space and its rank", name,
                       count + 1);
    const known_model *m;
    tok_extras extras;
    nb_status status = find_model(side, count, &m, name, err);
    if (!status) status = tok_read_extras(side, t->mem, &extras, name, err);
    if (status) return status;
    int32_t first = highest + 1 + m->gap, n_ids = first + m->n_special;
    if (extras.n_ids > n_ids) n_ids = extras.n_ids;
    if (n_ids > 8.0 * count + TOK_MAX_GAP)
        return err_set(err, NB_ERR_FORMAT, "%s: ids up to %d for %d tokens", name, n_ids - 1, count);
    status = tok_begin_vocab(t, (size_t)count, n_ids, 0, err);
    for (at = text; !status && next_line(&at, end, &l) > 0;) status = put_base64(t, l.token, l.len, l.rank, name, err);
    if (!status) status = finish_bytes(t, m->words, m->nfc, name, err);
    if (!status) status = tok_begin_added(t, extras.n + (size_t)m->n_special, err);
    if (!status) status = tok_put_extras(t, &extras, err);
    if (!status) status = put_known(t, m, first, err);
    if (!status) status = put_before(t, m, err);
    if (!status) tok_end_added(t);
    return status;
}

nb_status tok_from_ranks(const char *text, size_t n, const tok_side *side, const char *name, tokenizer **out,
                         nb_error *err) {
    tokenizer *t;
    *out = NULL;
    nb_status status = tok_new(&t, err);
    if (!status) status = parse_lines(text, n, side, t, name, err);
    if (status)
        tok_free(t);
    else
        *out = t;
    return status;
}

/* ---- tekken.json ---------------------------------------------------------------------------------------------- */

static const char *const tekken_specials[] = {"<unk>",
                                              "<s>",
                                              "</s>",
                                              "[INST]",
                                              "[/INST]",
                                              "[AVAILABLE_TOOLS]",
                                              "[/AVAILABLE_TOOLS]",
                                              "[TOOL_RESULTS]",
                                              "[/TOOL_RESULTS]",
                                              "[TOOL_CALLS]",
                                              "[IMG]",
                                              "<pad>",
                                              "[IMG_BREAK]",
                                              "[IMG_END]",
                                              "[PREFIX]",
                                              "[MIDDLE]",
                                              "[SUFFIX]",
                                              "[SYSTEM_PROMPT]",
                                              "[/SYSTEM_PROMPT]",
                                              "[TOOL_CONTENT]"};

/* Ids of special tokens come first; those without a name are "<SPECIAL_N>". */
static nb_status put_tekken_specials(const cJSON *list, int32_t n_special, tokenizer *t, const char *name,
                                     nb_error *err) {
    nb_status status = tok_begin_added(t, (size_t)n_special, err);
    for (const cJSON *item = cJSON_IsArray(list) ? list->child : NULL; item && !status; item = item->next) {
        const char *text = NULL;
        int64_t id = -1;
        status = json_str(item, "token_str", &text, NULL, name, err);
        if (!status) status = json_int(item, "rank", 0, n_special - 1, &id, NULL, name, err);
        if (!status && (!text || id < 0 || strlen(text) > TOK_MAX_ADDED_LENGTH || t->entries[id].text))
            status = err_set(err, NB_ERR_FORMAT, "%s: a special token lacks its token_str or a rank of its own", name);
        if (!status) status = tok_put_added(t, text, strlen(text), (int32_t)id, (tok_added){0}, true, err);
    }
    for (int32_t id = 0; id < n_special && !status; id++) {
        char text[32];
        size_t n_known = cJSON_IsArray(list) ? 0 : sizeof tekken_specials / sizeof tekken_specials[0];
        if (t->entries[id].text) continue;
        snprintf(text, sizeof text, "<SPECIAL_%d>", id);
        const char *known = (size_t)id < n_known ? tekken_specials[id] : text;
        status = tok_put_added(t, known, strlen(known), id, (tok_added){0}, true, err);
    }
    if (!status) tok_end_added(t);
    return status;
}

static nb_status parse_tekken(const cJSON *json, tokenizer *t, const char *name, nb_error *err) {
    const cJSON *config = json_get(json, "config"), *vocab = json_get(json, "vocab");
    int64_t n_all = -1, n_special = -1;
    const char *words = NULL;
    nb_status status = json_int(config, "default_vocab_size", 1, TOK_MAX_TOKENS, &n_all, NULL, name, err);
    if (!status) status = json_int(config, "default_num_special_tokens", 1, 1 << 16, &n_special, NULL, name, err);
    if (!status) status = json_str(config, "pattern", &words, NULL, name, err);
    if (status) return status;
    int32_t n = cJSON_IsArray(vocab) ? cJSON_GetArraySize(vocab) : 0;
    if (!words || strlen(words) > TOK_MAX_CONTENT || n_special < 0 || n_all - n_special > n || n_all <= n_special)
        return err_set(
            err, NB_ERR_FORMAT,
            "%s: config needs a pattern, default_vocab_size and default_num_special_tokens that fit %d tokens", name,
            n);
    n = (int32_t)(n_all - n_special); /* the file may hold more tokens than are in use */
    status = tok_begin_vocab(t, (size_t)n, (int32_t)n_all, 0, err);
    int32_t rank = 0;
    for (const cJSON *item = vocab->child; item && rank < n && !status; item = item->next, rank++) {
        const char *text = NULL;
        int64_t given = -1;
        status = json_int(item, "rank", 0, INT32_MAX, &given, NULL, name, err);
        if (!status) status = json_str(item, "token_bytes", &text, NULL, name, err);
        if (!status && (!text || given != rank))
            status = err_set(err, NB_ERR_FORMAT, "%s: token %d lacks its token_bytes, or has another rank", name, rank);
        if (!status) status = put_base64(t, text, strlen(text), rank + (int32_t)n_special, name, err);
    }
    if (!status) status = finish_bytes(t, words, false, name, err);
    if (!status) status = put_tekken_specials(json_get(json, "special_tokens"), (int32_t)n_special, t, name, err);
    int32_t bos = status ? -1 : tok_map_get(&t->added_ids, "<s>", 3);
    if (bos < 0) return status;
    t->before = arena_zalloc(t->mem, 1, sizeof *t->before);
    if (!t->before) return err_no_memory(err, "the tokenizer", 0);
    t->before[t->n_before++] = bos;
    return NB_OK;
}

nb_status tok_from_tekken(const char *json, size_t n, const char *name, tokenizer **out, nb_error *err) {
    cJSON *tree;
    tokenizer *t = NULL;
    *out = NULL;
    nb_status status = json_parse(json, n, name, &tree, err);
    if (status) return status;
    status = tok_new(&t, err);
    if (!status) status = parse_tekken(tree, t, name, err);
    cJSON_Delete(tree);
    if (status)
        tok_free(t);
    else
        *out = t;
    return status;
}
