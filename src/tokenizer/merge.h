/* Merging of neighbouring symbols by priority, shared by BPE (lowest rank first) and SentencePiece
 * (highest score first): a linked list of symbols and a heap of candidate pairs; O(n log n) for n
 * symbols. */
#ifndef REALM_TOKENIZER_MERGE_H
#define REALM_TOKENIZER_MERGE_H

#include "tokenizer/tokenizer.h"

struct merge_symbol {
    uint32_t begin;   /* in the text */
    uint32_t n_bytes; /* 0: merged into the one before */
    token_id token;   /* TOKEN_NONE: not in the vocabulary */
    uint32_t previous;
    uint32_t next; /* UINT32_MAX: none */
};

struct merge_pair {
    float priority; /* greatest first; ties: leftmost */
    uint32_t left;
    uint32_t right;
    uint32_t n_bytes; /* of both when the pair was found: otherwise it is stale */
    token_id merged;
};

/* Room that grows and is used again for each word of one encode call. */
struct merge_scratch {
    struct merge_symbol *symbols;
    struct merge_pair *heap;
    size_t capacity; /* symbols */
    size_t n_symbols;
    size_t n_pairs;
};

/* Whether two neighbours merge: sets the merged token and its priority. */
typedef bool (*merge_rule)(const void *context,
                           const uint8_t *text,
                           const struct merge_symbol *left,
                           const struct merge_symbol *right,
                           token_id *merged,
                           float *priority);

/* Makes room for n symbols. */
REALM_MUST_CHECK realm_status merge_scratch_reserve(struct merge_scratch *scratch,
                                                    size_t n_symbols,
                                                    struct realm_error *error);
void merge_scratch_deinit(struct merge_scratch *scratch);

/* Merges scratch->symbols (begin, n_bytes, token filled in, in order) until no rule applies. Symbol
 * 0 stays the first of the list. */
void merge_run(struct merge_scratch *scratch,
               const uint8_t *text,
               merge_rule rule,
               const void *context);

#endif
