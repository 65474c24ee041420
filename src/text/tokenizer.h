/* SPDX-License-Identifier: Apache-2.0
 *
 * The tokenizer: text to token ids and back, as a tokenizer.json or an older kind of file describes it. Ids and decoded
 * text equal those of Hugging Face's `tokenizers` for BPE models; a component that is not known here is refused by its
 * name. */
#ifndef NB_TEXT_TOKENIZER_H
#define NB_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct tokenizer tokenizer; /* immutable once loaded; any number of threads may use it */

/* Reads DIR/tokenizer.json; where there is none tokenizer.model (SentencePiece, or lines of base64), tiktoken.model,
 * the one *.tiktoken, tekken.json. NB_ERR_NOT_FOUND when none is there, NB_ERR_UNSUPPORTED for a model or component
 * that nibble does not know, NB_ERR_FORMAT for a file that contradicts itself. Free with tok_free. */
nb_status tok_load(const char *dir, tokenizer **out, nb_error *err);
/* The same from memory (n bytes, need not be NUL-terminated); `name` stands in errors. */
nb_status tok_from_json(const char *json, size_t n, const char *name, tokenizer **out, nb_error *err);

/* What stands beside a model's file and says more of its tokens; either may be NULL. */
typedef struct tok_side {
    const struct cJSON *config; /* tokenizer_config.json */
    const struct cJSON *added;  /* added_tokens.json: {TEXT: ID} */
} tok_side;
/* A SentencePiece model (BPE). Ids equal those of `sentencepiece` for text without control tokens; those are found in
 * the text as Hugging Face's slow tokenizers do, and the texts between are encoded one by one. */
nb_status tok_from_sentencepiece(const void *data, size_t n, const tok_side *side, const char *name, tokenizer **out,
                                 nb_error *err);
/* Lines of a token in base64, a space and its rank. The pattern that cuts texts is not in the file: it is known for
 * some values of tokenizer_class, and for some numbers of ranks. */
nb_status tok_from_ranks(const char *text, size_t n, const tok_side *side, const char *name, tokenizer **out,
                         nb_error *err);
/* Mistral's tekken.json. */
nb_status tok_from_tekken(const char *json, size_t n, const char *name, tokenizer **out, nb_error *err);
void tok_free(tokenizer *t);

/* Text (n bytes) to ids; add_special: with what the post-processor adds (BOS, ...). *ids is for free(), never NULL on
 * success. Bytes that are not UTF-8 count as U+FFFD, one for each maximal invalid piece. A pre-tokenizer's regex that
 * runs into its step limit is NB_ERR_LIMIT. */
nb_status tok_encode(const tokenizer *t, const char *text, size_t n, bool add_special, int32_t **ids, size_t *n_ids,
                     nb_error *err);
/* Ids to text, for free(), NUL-terminated; *len (may be NULL) counts bytes. Ids that the vocabulary lacks are left
 * out, like special ones when skip_special. The text is always valid UTF-8. */
nb_status tok_decode(const tokenizer *t, const int32_t *ids, size_t n, bool skip_special, char **text, size_t *len,
                     nb_error *err);

int32_t tok_count(const tokenizer *t);                 /* highest id + 1 */
int32_t tok_id(const tokenizer *t, const char *token); /* -1 when unknown */
const char *tok_text(const tokenizer *t, int32_t id);  /* the vocabulary's spelling; NULL when no such id */
/* The lowest id from `limit` on that texts can become, -1 for none: of the model's vocabulary, or of the tokens that
 * were added to it. A model with so many rows of embeddings can do without the second kind, not without the first. */
int32_t tok_beyond(const tokenizer *t, int64_t limit, bool added);
bool tok_is_special(const tokenizer *t, int32_t id); /* an added token marked special */

/* A streaming detokenizer: never emits half a character, and all it emits together equals tok_decode of all ids
 * wherever the ids spell valid UTF-8. Not thread safe; the tokenizer must outlive it. */
typedef struct tok_stream tok_stream;
nb_status tok_stream_new(const tokenizer *t, bool skip_special, tok_stream **out, nb_error *err);
/* Special tokens that are not left out: the n ids, which must outlive the stream. */
void tok_stream_keep(tok_stream *s, const int32_t *ids, size_t n);
/* The text that this id completes (maybe ""), valid until the next call; NULL when out of memory. */
const char *tok_stream_put(tok_stream *s, int32_t id);
/* What is still held back (an unfinished character becomes U+FFFD). Afterwards the stream begins anew. */
const char *tok_stream_finish(tok_stream *s);
/* Bytes of the text that the last put or finish returned (it may hold NUL characters). */
size_t tok_stream_length(const tok_stream *s);
void tok_stream_free(tok_stream *s);

#endif
