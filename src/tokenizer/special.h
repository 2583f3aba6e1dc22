/* Finds tokens that are written out in text (control and user-defined ones): a byte trie whose
 * edges lie in one hash table, so that each position costs at most the longest token's length.
 * Immutable once built. */
#ifndef REALM_TOKENIZER_SPECIAL_H
#define REALM_TOKENIZER_SPECIAL_H

#include "tokenizer/vocab.h"

struct special_index {
    struct special_edge {
        uint32_t node;  /* parent */
        uint32_t child; /* 0: the slot is free */
        uint8_t byte;
    } *edges;
    uint32_t edge_mask;
    token_id *tokens; /* [n_nodes] the token that ends at the node, or TOKEN_NONE */
    uint32_t n_nodes;
    bool starts[256]; /* bytes with which some token begins */
};

REALM_MUST_CHECK realm_status special_index_init(struct special_index *index,
                                                 const struct vocab *vocab,
                                                 struct realm_error *error);
void special_index_deinit(struct special_index *index);

/* The first place at or after `from` where a token stands; the longest there.  Control tokens count
 * only with `control`.  False: none; *begin is the text's end. */
bool special_index_find(const struct special_index *index,
                        const struct vocab *vocab,
                        struct bytes text,
                        size_t from,
                        bool control,
                        size_t *begin,
                        token_id *token);

#endif
