#include "tokenizer/bpe.h"

#include "base/log.h"

#define MAX_MERGES     (1u << 23)
#define MAX_PRE_LENGTH 64u

static struct bpe_merge *find_merge(const struct bpe *bpe, uint64_t pair)
{
    uint64_t i = (pair ^ bpe->vocab->hash_key) * 0x9E3779B97F4A7C15u;
    i ^= i >> 32;
    for (;; i++) {
        struct bpe_merge *const merge = &bpe->merges[i & bpe->merge_mask];
        if (merge->rank == 0 || merge->pair == pair) {
            return merge;
        }
    }
}

/* Tokens of the two halves of "left right" and of both together.  False: one of them is no token.
 */
static bool read_merge(const struct vocab *vocab,
                       struct bytes text,
                       uint8_t *scratch,
                       uint64_t *pair,
                       token_id *merged)
{
    size_t space = 1;
    while (space < text.length && text.data[space] != ' ') {
        space++;
    }
    if (space + 1 >= text.length) {
        return false;
    }
    const size_t n_left = byte_level_decode(text.data, space, scratch);
    const size_t n_right =
        byte_level_decode(text.data + space + 1, text.length - space - 1, scratch + n_left);
    const token_id left = vocab_find(vocab, scratch, n_left);
    const token_id right = vocab_find(vocab, scratch + n_left, n_right);
    *merged = vocab_find(vocab, scratch, n_left + n_right);
    *pair = (uint64_t)left << 32 | right;
    return left != TOKEN_NONE && right != TOKEN_NONE && *merged != TOKEN_NONE;
}

static realm_status read_merges(struct bpe *bpe, const struct gguf *gguf, struct realm_error *error)
{
    const struct gguf_value *merges;
    REALM_TRY(gguf_get_array(gguf, "tokenizer.ggml.merges", GGUF_STRING, &merges, error));
    if (merges->n_items > MAX_MERGES) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tokenizer.ggml.merges has %llu items; at most %u can be read",
                               (unsigned long long)merges->n_items,
                               MAX_MERGES);
    }
    uint32_t n_slots = 16;
    size_t longest = 0;
    while (n_slots < merges->n_items * 2) {
        n_slots *= 2;
    }
    for (uint64_t i = 0; i < merges->n_items; i++) {
        longest = merges->strings[i].length > longest ? merges->strings[i].length : longest;
    }
    bpe->merges = alloc_zeroed(ALLOC_MODEL, n_slots, sizeof *bpe->merges);
    uint8_t *const scratch = alloc_bytes(ALLOC_MODEL, longest + 1);
    if (bpe->merges == NULL || scratch == NULL) {
        alloc_free(scratch);
        return realm_error_out_of_memory(error, n_slots * sizeof *bpe->merges, "merges");
    }
    bpe->merge_mask = n_slots - 1;
    uint64_t n_unknown = 0;
    for (uint64_t i = 0; i < merges->n_items; i++) {
        uint64_t pair;
        token_id merged;
        if (!read_merge(bpe->vocab, merges->strings[i], scratch, &pair, &merged)) {
            n_unknown++; /* it can never apply */
            continue;
        }
        struct bpe_merge *const slot = find_merge(bpe, pair);
        if (slot->rank == 0) {
            *slot = (struct bpe_merge){.pair = pair, .rank = (uint32_t)i + 1, .merged = merged};
        }
    }
    alloc_free(scratch);
    if (n_unknown > 0) {
        log_warn("merges_of_unknown_tokens", LOG_U64("count", n_unknown));
    }
    return REALM_OK;
}

realm_status bpe_init(struct bpe *bpe,
                      const struct vocab *vocab,
                      const struct gguf *gguf,
                      struct realm_error *error)
{
    bpe->vocab = vocab;
    struct bytes pre = {.data = (const uint8_t *)"default", .length = 7};
    if (gguf_find(gguf, "tokenizer.ggml.pre") != NULL) {
        REALM_TRY(gguf_get_string(gguf, "tokenizer.ggml.pre", &pre, error));
    }
    char name[MAX_PRE_LENGTH];
    const size_t n = pre.length < sizeof name - 1 ? pre.length : sizeof name - 1;
    memcpy(name, pre.data, n);
    name[n] = '\0';
    REALM_TRY(pretokenizer_create(name, &bpe->pretokenizer, error));
    bpe->whole_words = strcmp(name, "llama-bpe") == 0 || strcmp(name, "llama3") == 0 ||
                       strcmp(name, "llama-v3") == 0 || strcmp(name, "falcon3") == 0 ||
                       strcmp(name, "tekken") == 0;
    return read_merges(bpe, gguf, error);
}

void bpe_deinit(struct bpe *bpe)
{
    pretokenizer_destroy(bpe->pretokenizer);
    alloc_free(bpe->merges);
}

struct bpe_call {
    const struct bpe *bpe;
    struct merge_scratch *scratch;
    struct token_list *out;
};

static bool merge_by_rank(const void *context,
                          const uint8_t *text,
                          const struct merge_symbol *left,
                          const struct merge_symbol *right,
                          token_id *merged,
                          float *priority)
{
    const struct bpe *const bpe = context;
    (void)text;
    if (left->token == TOKEN_NONE || right->token == TOKEN_NONE) {
        return false;
    }
    const struct bpe_merge *const merge =
        find_merge(bpe, (uint64_t)left->token << 32 | right->token);
    if (merge->rank == 0) {
        return false;
    }
    *merged = merge->merged;
    *priority = -(float)merge->rank;
    return true;
}

static realm_status encode_word(void *context, struct bytes word, struct realm_error *error)
{
    const struct bpe_call *const call = context;
    const struct vocab *const vocab = call->bpe->vocab;
    if (call->bpe->whole_words) {
        const token_id token = vocab_find(vocab, word.data, word.length);
        if (token != TOKEN_NONE && vocab->types[token] == TOKEN_NORMAL) {
            return token_list_append(call->out, token, error);
        }
    }
    struct merge_scratch *const scratch = call->scratch;
    REALM_TRY(merge_scratch_reserve(scratch, word.length, error));
    for (size_t i = 0; i < word.length; i++) {
        scratch->symbols[i] = (struct merge_symbol){
            .begin = (uint32_t)i, .n_bytes = 1, .token = vocab->byte_tokens[word.data[i]]};
    }
    scratch->n_symbols = word.length;
    merge_run(scratch, word.data, merge_by_rank, call->bpe);
    for (uint32_t i = 0; i != UINT32_MAX; i = scratch->symbols[i].next) {
        /* A byte without a token can only be told as the unknown one, if there is one. */
        const token_id token = scratch->symbols[i].token;
        if (token != TOKEN_NONE || vocab->unknown != TOKEN_NONE) {
            REALM_TRY(
                token_list_append(call->out, token != TOKEN_NONE ? token : vocab->unknown, error));
        }
    }
    return REALM_OK;
}

realm_status bpe_encode(const struct bpe *bpe,
                        struct bytes text,
                        struct merge_scratch *scratch,
                        struct token_list *out,
                        struct realm_error *error)
{
    struct bpe_call call = {.bpe = bpe, .scratch = scratch, .out = out};
    return pretokenizer_run(bpe->pretokenizer, text, encode_word, &call, error);
}
