#include "tokenizer/spm.h"

#include "base/utf8.h"

static bool merge_by_score(const void *context,
                           const uint8_t *text,
                           const struct merge_symbol *left,
                           const struct merge_symbol *right,
                           token_id *merged,
                           float *priority)
{
    const struct vocab *const vocab = context;
    /* Symbols are neighbours in the text: both together are one piece of it. */
    const token_id token = vocab_find(vocab, text + left->begin, left->n_bytes + right->n_bytes);
    if (token == TOKEN_NONE) {
        return false;
    }
    *merged = token;
    *priority = vocab->scores[token];
    return true;
}

static realm_status append_bytes(const struct vocab *vocab,
                                 const uint8_t *text,
                                 uint32_t n_bytes,
                                 struct token_list *out,
                                 struct realm_error *error)
{
    for (uint32_t i = 0; i < n_bytes; i++) {
        const token_id byte = vocab->byte_tokens[text[i]];
        if (byte != TOKEN_NONE) {
            REALM_TRY(token_list_append(out, byte, error));
        } else if (vocab->unknown != TOKEN_NONE) {
            return token_list_append(out, vocab->unknown, error);
        }
    }
    return REALM_OK;
}

realm_status spm_encode(const struct vocab *vocab,
                        struct bytes text,
                        struct merge_scratch *scratch,
                        struct token_list *out,
                        struct realm_error *error)
{
    if (text.length == 0) {
        return REALM_OK;
    }
    REALM_TRY(merge_scratch_reserve(scratch, text.length, error));
    for (size_t i = 0; i < text.length;) {
        uint32_t character;
        const size_t valid = utf8_decode(text.data + i, text.length - i, &character);
        const uint32_t n = valid > 0 ? (uint32_t)valid : 1;
        scratch->symbols[scratch->n_symbols++] = (struct merge_symbol){
            .begin = (uint32_t)i, .n_bytes = n, .token = vocab_find(vocab, text.data + i, n)};
        i += n;
    }
    merge_run(scratch, text.data, merge_by_score, vocab);
    for (uint32_t i = 0; i != UINT32_MAX; i = scratch->symbols[i].next) {
        const struct merge_symbol *const symbol = &scratch->symbols[i];
        if (symbol->token != TOKEN_NONE) {
            REALM_TRY(token_list_append(out, symbol->token, error));
        } else {
            REALM_TRY(append_bytes(vocab, text.data + symbol->begin, symbol->n_bytes, out, error));
        }
    }
    return REALM_OK;
}
