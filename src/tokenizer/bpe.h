/* Byte-level BPE (Sennrich et al. 2016; GPT-2's byte alphabet): words become bytes, neighbours
 * merge by rank. */
#ifndef REALM_TOKENIZER_BPE_H
#define REALM_TOKENIZER_BPE_H

#include "tokenizer/merge.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/vocab.h"

struct bpe {
    const struct vocab *vocab;
    struct pretokenizer *pretokenizer;
    struct bpe_merge {
        uint64_t pair; /* left token << 32 | right token */
        uint32_t rank; /* + 1; 0: the slot is free */
        token_id merged;
    } *merges;
    uint32_t merge_mask;
    bool whole_words; /* a word that is a token is taken without merging */
};

REALM_MUST_CHECK realm_status bpe_init(struct bpe *bpe,
                                       const struct vocab *vocab,
                                       const struct gguf *gguf,
                                       struct realm_error *error);
void bpe_deinit(struct bpe *bpe);
REALM_MUST_CHECK realm_status bpe_encode(const struct bpe *bpe,
                                         struct bytes text,
                                         struct merge_scratch *scratch,
                                         struct token_list *out,
                                         struct realm_error *error);

#endif
