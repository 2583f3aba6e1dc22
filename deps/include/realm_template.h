/* Chat templates (Jinja2) as C functions: minijinja behind a few calls, in librealm_deps.a.
 *
 * A template is compiled once and then never changes; any number of threads may render it at the
 * same time.  It behaves as Hugging Face's `apply_chat_template` does: trim_blocks and
 * lstrip_blocks, Python's methods of strings and dicts, `tojson` as json.dumps, raise_exception,
 * strftime_now, break and continue, generation blocks.  `tools`, `documents` (None) and
 * `add_generation_prompt` (False) are there even when the context has none.
 *
 * Nothing here is trusted: work and memory of a rendering are bounded by fuel (a constant plus a
 * share for each byte of the context), text by max_bytes, depth by a limit; panics end as INTERNAL.
 *
 * This header is plain C (C11, C++) and knows nothing of Realm's own types. */
#ifndef REALM_TEMPLATE_H
#define REALM_TEMPLATE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct realm_template;

/* UTF-8 with a zero byte behind it, which `length` does not count.  All zero: no text. */
struct realm_template_text {
    char *data;
    size_t length;
};

enum realm_template_result {
    REALM_TEMPLATE_OK = 0,
    REALM_TEMPLATE_SYNTAX = 1,   /* the source is not UTF-8, is too long, or is no template */
    REALM_TEMPLATE_CONTEXT = 2,  /* the context is not a JSON object */
    REALM_TEMPLATE_RAISED = 3,   /* the template called raise_exception; the text is its message */
    REALM_TEMPLATE_FAILED = 4,   /* the template did what cannot be done, as None + 1 */
    REALM_TEMPLATE_LIMIT = 5,    /* fuel, depth or max_bytes spent */
    REALM_TEMPLATE_INTERNAL = 6, /* a defect in the library; nothing is left half done */
};

/* Compiles `source` (n bytes of UTF-8, not kept).
 * *out: the template, the caller's until realm_template_free; NULL on error.
 * *error (may be NULL): untouched on success, else the reason, the caller's to free.
 * OK, SYNTAX, LIMIT, INTERNAL.  Any thread. */
int realm_template_new(const char *source,
                       size_t n,
                       struct realm_template **out,
                       struct realm_template_text *error);

/* Renders with `context`, n bytes of JSON: an object whose members are the template's variables
 * (messages, tools, add_generation_prompt, bos_token, eos_token, ...).
 * A number `realm_now` (seconds since 1970, UTC) makes strftime_now repeatable; without it the wall
 * clock counts.  Times are UTC.
 * *out: the text, the caller's until realm_template_text_free; all zero on error.
 * *error: as above.
 * OK, CONTEXT, RAISED, FAILED, LIMIT, INTERNAL.  Any thread, also on the same template at once. */
int realm_template_render(const struct realm_template *tmpl,
                          const char *context,
                          size_t n,
                          size_t max_bytes,
                          struct realm_template_text *out,
                          struct realm_template_text *error);

/* Frees what the two above gave and clears it; NULL and all zero are fine. */
void realm_template_text_free(struct realm_template_text *text);

/* NULL is fine.  No rendering may be under way. */
void realm_template_free(struct realm_template *tmpl);

#ifdef __cplusplus
}
#endif

#endif
