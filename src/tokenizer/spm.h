/* SentencePiece-style merging (Kudo & Richardson 2018, as in the llama and gemma vocabularies):
 * characters merge by the score of the token they make; what is no token falls back to its bytes.
 */
#ifndef REALM_TOKENIZER_SPM_H
#define REALM_TOKENIZER_SPM_H

#include "tokenizer/merge.h"
#include "tokenizer/vocab.h"

/* text: as given, spaces are spaces. */
REALM_MUST_CHECK realm_status spm_encode(const struct vocab *vocab,
                                         struct bytes text,
                                         struct merge_scratch *scratch,
                                         struct token_list *out,
                                         struct realm_error *error);

#endif
