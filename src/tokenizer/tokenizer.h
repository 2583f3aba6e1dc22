/* Text to tokens and back, by the vocabulary in a model file.
 * Kinds: byte-level BPE with the model's pre-tokenizer, SentencePiece-style merging (llama, gemma).
 * Immutable once built: any thread may use it at the same time. */
#ifndef REALM_TOKENIZER_TOKENIZER_H
#define REALM_TOKENIZER_TOKENIZER_H

#include "base/bytes.h"
#include "base/status.h"
#include "gguf/gguf.h"

typedef uint32_t token_id;
#define TOKEN_NONE UINT32_MAX

struct tokenizer;

/* Reads tokenizer.ggml.*; copies what it needs.  INVALID_FORMAT names the key; UNSUPPORTED: model
 * or pre-tokenizer (the message lists the known ones). */
REALM_MUST_CHECK realm_status tokenizer_create(const struct gguf *gguf,
                                               struct tokenizer **out,
                                               struct realm_error *error);
void tokenizer_destroy(struct tokenizer *tokenizer);

/* A growing list; zero value is empty; ids by alloc_free of token_list_deinit. */
struct token_list {
    token_id *ids;
    size_t length;
    size_t capacity;
};
void token_list_deinit(struct token_list *list);
REALM_MUST_CHECK realm_status token_list_append(struct token_list *list,
                                                token_id token,
                                                struct realm_error *error);

struct tokenizer_encode_options {
    bool add_special;   /* put BOS (EOS) where the model wants them */
    bool parse_special; /* special tokens written out in the text become those tokens */
};

/* Appends the tokens of text (any bytes; invalid UTF-8 is encoded byte by byte).  Time grows
 * linearly, up to a logarithm.  OUT_OF_MEMORY leaves the list as it was. */
REALM_MUST_CHECK realm_status tokenizer_encode(const struct tokenizer *tokenizer,
                                               const char *text,
                                               size_t n_bytes,
                                               struct tokenizer_encode_options options,
                                               struct token_list *out,
                                               struct realm_error *error);

/* The bytes of one token as they stand in text (may be part of a character).  Special and control
 * tokens give no bytes unless `special` is set, then their name.  The view lives as long as the
 * tokenizer. Tokens out of range give no bytes. */
struct bytes tokenizer_token_bytes(const struct tokenizer *tokenizer, token_id token, bool special);

/* Appends the text of many tokens; SentencePiece's leading space of a whole text is removed when
 * `tokens` starts a text (first is set). */
struct strbuf;
bool tokenizer_decode(const struct tokenizer *tokenizer,
                      const token_id *tokens,
                      size_t n_tokens,
                      bool first,
                      bool special,
                      struct strbuf *out);

/* Most bytes that tokenizer_token_bytes can give. */
size_t tokenizer_longest_token(const struct tokenizer *tokenizer);

uint32_t tokenizer_vocabulary(const struct tokenizer *tokenizer);
/* TOKEN_NONE: the model has none. */
token_id tokenizer_bos(const struct tokenizer *tokenizer);
token_id tokenizer_eos(const struct tokenizer *tokenizer);
bool tokenizer_adds_bos(const struct tokenizer *tokenizer);
/* Ends a generation: EOS, end of turn and their like. */
bool tokenizer_is_end(const struct tokenizer *tokenizer, token_id token);
bool tokenizer_is_special(const struct tokenizer *tokenizer, token_id token);
/* "bpe/smollm", "spm": for logs. */
const char *tokenizer_kind(const struct tokenizer *tokenizer);

#endif
