/* Tokens of one completion to text that may be shown: whole UTF-8 characters only, and nothing that
 * could still become part of a stop string.  Owned by one thread; takes all its memory at creation.
 */
#ifndef REALM_TOKENIZER_TEXT_STREAM_H
#define REALM_TOKENIZER_TEXT_STREAM_H

#include "tokenizer/tokenizer.h"

struct text_stream;

/* Stops are copied; each 1..256 bytes, at most 64 of them (INVALID_ARGUMENT names the index).
 * special: special tokens appear as text. */
REALM_MUST_CHECK realm_status text_stream_create(const struct tokenizer *tokenizer,
                                                 const struct bytes *stops,
                                                 uint32_t n_stops,
                                                 bool special,
                                                 struct text_stream **out,
                                                 struct realm_error *error);
void text_stream_destroy(struct text_stream *stream);

/* Adds a token. *text: what may be shown now (maybe empty), valid until the next call.  True: a
 * stop string is complete; *text ends before it and nothing follows. Allocates nothing. */
bool text_stream_push(struct text_stream *stream, token_id token, struct bytes *text);
/* The end of the completion: what was held back; a cut character becomes U+FFFD. */
struct bytes text_stream_finish(struct text_stream *stream);
/* Longest text one call can give, in bytes (for sizing rings). */
size_t text_stream_max_bytes(const struct text_stream *stream);
/* The same over all streams there can be. */
size_t text_stream_max_bytes_of(const struct tokenizer *tokenizer);

#endif
