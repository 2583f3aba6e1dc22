/* The vocabulary of a model file: the bytes, score and type of each token, and the way back from
 * bytes to the token.  Copied out of the file; immutable once built. */
#ifndef REALM_TOKENIZER_VOCAB_H
#define REALM_TOKENIZER_VOCAB_H

#include "base/arena.h"
#include "base/bytes.h"
#include "gguf/gguf.h"
#include "tokenizer/tokenizer.h"

/* As in tokenizer.ggml.token_type. */
enum token_type {
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN = 2,
    TOKEN_CONTROL = 3,
    TOKEN_USER_DEFINED = 4,
    TOKEN_UNUSED = 5,
    TOKEN_BYTE = 6,
};

struct vocab {
    struct arena arena;
    uint32_t n_tokens;
    struct bytes *texts; /* [n_tokens] as in the file */
    struct bytes
        *bytes;    /* [n_tokens] as in text: bytes a byte-level or byte-fallback token stands for */
    float *scores; /* [n_tokens] */
    uint8_t *types;  /* [n_tokens] */
    uint32_t *slots; /* hash table of tokens + 1; 0: free */
    uint32_t slot_mask;
    uint64_t hash_key;         /* random: chosen vocabularies cannot make it slow */
    token_id byte_tokens[256]; /* TOKEN_NONE where there is none */
    token_id bos;
    token_id eos;
    token_id unknown;
    bool add_bos;
    bool add_eos;
    bool add_space_prefix;
};

/* byte_level: texts are in GPT-2's printable alphabet. */
REALM_MUST_CHECK realm_status vocab_init(struct vocab *vocab,
                                         const struct gguf *gguf,
                                         bool byte_level,
                                         struct realm_error *error);
void vocab_deinit(struct vocab *vocab);

/* The normal (or byte-level) token that stands for exactly these bytes, or TOKEN_NONE. */
token_id vocab_find(const struct vocab *vocab, const uint8_t *data, size_t n_bytes);

/* GPT-2's alphabet: each byte is a printable character.  Turns such text into bytes at `out` (at
 * most n_bytes of them); characters outside the alphabet stay as they are.  Returns how many. */
size_t byte_level_decode(const uint8_t *text, size_t n_bytes, uint8_t *out);

/* U+2581 stands for a space in SentencePiece's texts: puts text with spaces at `out` (at most
 * n_bytes) and returns its bytes. */
size_t spm_unescape_spaces(const uint8_t *text, size_t n_bytes, uint8_t *out);

static inline bool token_type_is_special(uint8_t type)
{
    return type == TOKEN_CONTROL || type == TOKEN_UNKNOWN;
}

#endif
