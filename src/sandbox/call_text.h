/* Tokens out of a guest's memory. */
#ifndef REALM_SANDBOX_CALL_TEXT_H
#define REALM_SANDBOX_CALL_TEXT_H

#include "sandbox/call.h"
#include "tokenizer/tokenizer.h"

/* Appends the tokens of the text at arguments i_text (address) and i_text + 1 (length); flags:
 * realm_text_flags.  0, or the error. */
int64_t call_encode(struct call *call,
                    const struct engine_model *model,
                    uint32_t i_text,
                    int32_t flags,
                    struct token_list *out);
/* Appends n tokens at an address, each looked up in the vocabulary; false: *refused is the error.
 */
bool call_tokens(struct call *call,
                 const struct engine_model *model,
                 uint64_t address,
                 uint64_t n,
                 struct token_list *out,
                 int64_t *refused);

#endif
