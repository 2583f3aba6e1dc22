/* A model's chat template: messages as JSON to the prompt's text, as the template's author saw it
 * in Hugging Face's apply_chat_template.  Made once a model by its owner, constant afterwards; the
 * prepare threads render with it at the same time.
 *
 * Templates come from model files and are not trusted: time, memory, stack and text are bounded, in
 * proportion to the context's size, and a template that wants more ends with RESOURCE_EXHAUSTED.
 * Templates write BOS themselves: what comes out is tokenized with parse_special, not add_special.
 */
#ifndef REALM_TOKENIZER_CHAT_TEMPLATE_H
#define REALM_TOKENIZER_CHAT_TEMPLATE_H

#include "base/status.h"
#include "base/strbuf.h"

struct chat_template;

/* Compiles `source` (n bytes of Jinja2, not kept).  n 0: the model carries none, ChatML is used.
 * *out: the caller's, until chat_template_destroy; NULL on error.
 * INVALID_FORMAT with the line: no template, not UTF-8, or over 512 KiB; RESOURCE_EXHAUSTED;
 * OUT_OF_MEMORY.  Any thread. */
REALM_MUST_CHECK realm_status chat_template_create(const char *source,
                                                   size_t n,
                                                   struct chat_template **out,
                                                   struct realm_error *error);

/* NULL is fine.  No rendering may be under way. */
void chat_template_destroy(struct chat_template *chat_template);

/* Appends the prompt to `out`, whose max_bytes bounds it.
 * context_json: n bytes, an object of the template's variables: messages (role, content, ...),
 *   add_generation_prompt, tools, bos_token, eos_token and what else the request gives.  A member
 *   realm_now (seconds since 1970) makes strftime_now repeatable; times are UTC.
 * INVALID_ARGUMENT: the template refused the messages (its own words follow) or cannot render them,
 *   or the context is not a JSON object; RESOURCE_EXHAUSTED: a bound was reached; OUT_OF_MEMORY.
 * On error out keeps what it had.  Any thread, also on one template at once; runs on a thread of
 * its own meanwhile (0.2 ms for short prompts). */
REALM_MUST_CHECK realm_status chat_template_render(const struct chat_template *chat_template,
                                                   const char *context_json,
                                                   size_t n,
                                                   struct strbuf *out,
                                                   struct realm_error *error);

#endif
