/* Cuts text into words before byte-level BPE, by the regular expressions that go with a vocabulary.
 * Expressions apply one after the other: each cuts the pieces the ones before have left.  Compiled
 * once, shared by threads; matching takes its own data. */
#ifndef REALM_TOKENIZER_PRETOKENIZE_H
#define REALM_TOKENIZER_PRETOKENIZE_H

#include "base/bytes.h"
#include "base/status.h"

struct pretokenizer;

/* name: value of tokenizer.ggml.pre. UNSUPPORTED lists the known ones. */
REALM_MUST_CHECK realm_status pretokenizer_create(const char *name,
                                                  struct pretokenizer **out,
                                                  struct realm_error *error);
void pretokenizer_destroy(struct pretokenizer *pretokenizer);

/* Gets each word in order; any status but OK ends the walk and is returned. */
typedef realm_status (*word_function)(void *context, struct bytes word, struct realm_error *error);

REALM_MUST_CHECK realm_status pretokenizer_run(const struct pretokenizer *pretokenizer,
                                               struct bytes text,
                                               word_function on_word,
                                               void *context,
                                               struct realm_error *error);

#endif
