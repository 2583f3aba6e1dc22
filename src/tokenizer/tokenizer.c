#include "tokenizer/tokenizer.h"

#include "base/alloc.h"
#include "base/strbuf.h"
#include "tokenizer/bpe.h"
#include "tokenizer/special.h"
#include "tokenizer/spm.h"
#include "tokenizer/vocab.h"

#define KIND_LENGTH 48u

struct tokenizer {
    struct vocab vocab;
    struct special_index special;
    struct bpe bpe;
    bool byte_level;
    uint8_t *ends;        /* [n_tokens] 1: ends a generation */
    size_t longest_token; /* bytes */
    char kind[KIND_LENGTH];
};

/* --- tokens that end a generation ---------------------------------------------------------------
 */

static const char *const end_names[] = {
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end|>",
    "<end_of_turn>",
    "</s>",
    "<eos>",
    "<|eot|>",
    "<|return|>",
    "<|call|>",
    "<|END_OF_TURN_TOKEN|>",
    "<EOT>",
    "_<EOT>",
    "<end_of_utterance>",
};

static bool is_end_name(struct bytes text)
{
    for (size_t i = 0; i < sizeof end_names / sizeof end_names[0]; i++) {
        if (text.length == strlen(end_names[i]) &&
            memcmp(text.data, end_names[i], text.length) == 0) {
            return true;
        }
    }
    return false;
}

static realm_status mark_end(struct tokenizer *tokenizer,
                             const struct gguf *gguf,
                             const char *key,
                             struct realm_error *error)
{
    if (gguf_find(gguf, key) == NULL) {
        return REALM_OK;
    }
    uint32_t id;
    REALM_TRY(gguf_get_u32(gguf, key, &id, error));
    if (id >= tokenizer->vocab.n_tokens) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s is %u and the vocabulary has %u tokens",
                               key,
                               id,
                               tokenizer->vocab.n_tokens);
    }
    tokenizer->ends[id] = 1;
    return REALM_OK;
}

static realm_status
mark_ends(struct tokenizer *tokenizer, const struct gguf *gguf, struct realm_error *error)
{
    const struct vocab *const vocab = &tokenizer->vocab;
    tokenizer->ends = alloc_zeroed(ALLOC_MODEL, vocab->n_tokens, 1);
    if (tokenizer->ends == NULL) {
        return realm_error_out_of_memory(error, vocab->n_tokens, "vocabulary");
    }
    for (token_id t = 0; t < vocab->n_tokens; t++) {
        const size_t length = vocab->bytes[t].length;
        tokenizer->longest_token =
            length > tokenizer->longest_token ? length : tokenizer->longest_token;
        tokenizer->ends[t] =
            (vocab->types[t] == TOKEN_CONTROL || vocab->types[t] == TOKEN_USER_DEFINED) &&
            is_end_name(vocab->texts[t]);
    }
    REALM_TRY(mark_end(tokenizer, gguf, "tokenizer.ggml.eos_token_id", error));
    REALM_TRY(mark_end(tokenizer, gguf, "tokenizer.ggml.eot_token_id", error));
    return mark_end(tokenizer, gguf, "tokenizer.ggml.eom_token_id", error);
}

/* --- building -----------------------------------------------------------------------------------
 */

static realm_status
read_kind(struct tokenizer *tokenizer, const struct gguf *gguf, struct realm_error *error)
{
    struct bytes model;
    REALM_TRY(gguf_get_string(gguf, "tokenizer.ggml.model", &model, error));
    if (model.length == 4 && memcmp(model.data, "gpt2", 4) == 0) {
        tokenizer->byte_level = true;
        struct bytes pre = {.data = (const uint8_t *)"default", .length = 7};
        if (gguf_find(gguf, "tokenizer.ggml.pre") != NULL) {
            REALM_TRY(gguf_get_string(gguf, "tokenizer.ggml.pre", &pre, error));
        }
        (void)snprintf(tokenizer->kind,
                       sizeof tokenizer->kind,
                       "bpe/%.*s",
                       (int)(pre.length < KIND_LENGTH ? pre.length : KIND_LENGTH),
                       (const char *)pre.data);
        return REALM_OK;
    }
    if (model.length == 5 && memcmp(model.data, "llama", 5) == 0) {
        (void)snprintf(tokenizer->kind, sizeof tokenizer->kind, "spm");
        return REALM_OK;
    }
    return realm_error_set(error,
                           REALM_UNSUPPORTED,
                           "tokenizer.ggml.model is \"%.*s\"; known kinds: gpt2 (byte-level BPE), "
                           "llama (SentencePiece)",
                           (int)(model.length < 40 ? model.length : 40),
                           (const char *)model.data);
}

realm_status
tokenizer_create(const struct gguf *gguf, struct tokenizer **out, struct realm_error *error)
{
    *out = NULL;
    struct tokenizer *tokenizer = alloc_zeroed(ALLOC_MODEL, 1, sizeof *tokenizer);
    if (tokenizer == NULL) {
        return realm_error_out_of_memory(error, sizeof *tokenizer, "tokenizer");
    }
    realm_status status = read_kind(tokenizer, gguf, error);
    if (status == REALM_OK) {
        status = vocab_init(&tokenizer->vocab, gguf, tokenizer->byte_level, error);
    }
    if (status == REALM_OK) {
        status = special_index_init(&tokenizer->special, &tokenizer->vocab, error);
    }
    if (status == REALM_OK) {
        status = mark_ends(tokenizer, gguf, error);
    }
    if (status == REALM_OK && tokenizer->byte_level) {
        status = bpe_init(&tokenizer->bpe, &tokenizer->vocab, gguf, error);
    }
    if (status != REALM_OK) {
        tokenizer_destroy(tokenizer);
        return status;
    }
    *out = tokenizer;
    return REALM_OK;
}

void tokenizer_destroy(struct tokenizer *tokenizer)
{
    if (tokenizer == NULL) {
        return;
    }
    bpe_deinit(&tokenizer->bpe);
    special_index_deinit(&tokenizer->special);
    alloc_free(tokenizer->ends);
    vocab_deinit(&tokenizer->vocab);
    alloc_free(tokenizer);
}

/* --- lists --------------------------------------------------------------------------------------
 */

void token_list_deinit(struct token_list *list)
{
    alloc_free(list->ids);
    *list = (struct token_list){.ids = NULL};
}

realm_status token_list_append(struct token_list *list, token_id token, struct realm_error *error)
{
    if (list->length == list->capacity) {
        const size_t capacity = list->capacity > 0 ? list->capacity * 2 : 256;
        token_id *const ids = alloc_resize(ALLOC_REQUEST, list->ids, capacity * sizeof *ids);
        if (ids == NULL) {
            return realm_error_out_of_memory(error, capacity * sizeof *ids, "tokens");
        }
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->length++] = token;
    return REALM_OK;
}

/* --- encoding -----------------------------------------------------------------------------------
 */

struct encode_call {
    const struct tokenizer *tokenizer;
    struct merge_scratch scratch;
    struct token_list *out;
    bool after_special; /* SentencePiece puts a space before text that starts or follows a special
                           token */
};

/* SentencePiece sees a space before the text (`prefix`), and a space in each U+2581. */
static realm_status encode_rewritten(struct encode_call *call,
                                     struct bytes text,
                                     bool prefix,
                                     struct realm_error *error)
{
    uint8_t *const copy = alloc_bytes(ALLOC_REQUEST, text.length + 1);
    if (copy == NULL) {
        return realm_error_out_of_memory(error, text.length + 1, "text");
    }
    copy[0] = ' ';
    const size_t n_prefix = prefix ? 1 : 0;
    const size_t n_text = spm_unescape_spaces(text.data, text.length, copy + n_prefix);
    const realm_status status =
        spm_encode(&call->tokenizer->vocab,
                   (struct bytes){.data = copy, .length = n_prefix + n_text},
                   &call->scratch,
                   call->out,
                   error);
    alloc_free(copy);
    return status;
}

static realm_status
encode_plain(struct encode_call *call, struct bytes text, struct realm_error *error)
{
    const struct tokenizer *const tokenizer = call->tokenizer;
    if (text.length == 0) {
        return REALM_OK;
    }
    if (tokenizer->byte_level) {
        return bpe_encode(&tokenizer->bpe, text, &call->scratch, call->out, error);
    }
    const bool prefix = tokenizer->vocab.add_space_prefix && call->after_special;
    call->after_special = false;
    if (prefix || memchr(text.data, 0xE2, text.length) != NULL) {
        return encode_rewritten(call, text, prefix, error);
    }
    return spm_encode(&tokenizer->vocab, text, &call->scratch, call->out, error);
}

static realm_status
encode_text(struct encode_call *call, struct bytes text, bool control, struct realm_error *error)
{
    const struct tokenizer *const tokenizer = call->tokenizer;
    size_t at = 0;
    for (;;) {
        size_t begin;
        token_id token;
        const bool found = special_index_find(
            &tokenizer->special, &tokenizer->vocab, text, at, control, &begin, &token);
        const struct bytes plain = {.data = text.data + at, .length = begin - at};
        REALM_TRY(encode_plain(call, plain, error));
        if (!found) {
            return REALM_OK;
        }
        REALM_TRY(token_list_append(call->out, token, error));
        call->after_special = true;
        at = begin + tokenizer->vocab.texts[token].length;
    }
}

realm_status tokenizer_encode(const struct tokenizer *tokenizer,
                              const char *text,
                              size_t n_bytes,
                              struct tokenizer_encode_options options,
                              struct token_list *out,
                              struct realm_error *error)
{
    const struct vocab *const vocab = &tokenizer->vocab;
    const size_t length_before = out->length;
    struct encode_call call = {.tokenizer = tokenizer, .out = out, .after_special = true};
    realm_status status = REALM_OK;
    if (options.add_special && vocab->add_bos && vocab->bos != TOKEN_NONE) {
        status = token_list_append(out, vocab->bos, error);
    }
    if (status == REALM_OK) {
        const struct bytes bytes = {.data = (const uint8_t *)text, .length = n_bytes};
        status = encode_text(&call, bytes, options.parse_special, error);
    }
    if (status == REALM_OK && options.add_special && vocab->add_eos && vocab->eos != TOKEN_NONE) {
        status = token_list_append(out, vocab->eos, error);
    }
    if (status != REALM_OK) {
        out->length = length_before;
    }
    merge_scratch_deinit(&call.scratch);
    return status;
}

/* --- decoding -----------------------------------------------------------------------------------
 */

struct bytes tokenizer_token_bytes(const struct tokenizer *tokenizer, token_id token, bool special)
{
    const struct vocab *const vocab = &tokenizer->vocab;
    if (token >= vocab->n_tokens || (token_type_is_special(vocab->types[token]) && !special)) {
        return (struct bytes){.data = (const uint8_t *)"", .length = 0};
    }
    return vocab->bytes[token];
}

bool tokenizer_decode(const struct tokenizer *tokenizer,
                      const token_id *tokens,
                      size_t n_tokens,
                      bool first,
                      bool special,
                      struct strbuf *out)
{
    bool at_start = first && !tokenizer->byte_level && tokenizer->vocab.add_space_prefix;
    for (size_t i = 0; i < n_tokens; i++) {
        struct bytes bytes = tokenizer_token_bytes(tokenizer, tokens[i], special);
        if (bytes.length == 0) {
            continue;
        }
        if (at_start && bytes.data[0] == ' ' && !tokenizer_is_special(tokenizer, tokens[i])) {
            bytes.data++;
            bytes.length--;
        }
        at_start = false;
        strbuf_append(out, (const char *)bytes.data, bytes.length);
    }
    return !out->failed;
}

/* --- facts --------------------------------------------------------------------------------------
 */

size_t tokenizer_longest_token(const struct tokenizer *tokenizer)
{
    return tokenizer->longest_token;
}

uint32_t tokenizer_vocabulary(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab.n_tokens;
}

token_id tokenizer_bos(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab.bos;
}

token_id tokenizer_eos(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab.eos;
}

bool tokenizer_adds_bos(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab.add_bos && tokenizer->vocab.bos != TOKEN_NONE;
}

bool tokenizer_is_end(const struct tokenizer *tokenizer, token_id token)
{
    return token < tokenizer->vocab.n_tokens && tokenizer->ends[token] != 0;
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, token_id token)
{
    return token < tokenizer->vocab.n_tokens &&
           token_type_is_special(tokenizer->vocab.types[token]);
}

const char *tokenizer_kind(const struct tokenizer *tokenizer)
{
    return tokenizer->kind;
}
