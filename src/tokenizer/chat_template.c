/* The only file that knows the template library (realm_template.h, from deps/). */
#include "tokenizer/chat_template.h"

#include "base/alloc.h"

#include <realm_template.h>

/* ChatML, for models that carry no template.  Content may be text, parts, or null beside calls. */
static const char default_source[] =
    "{%- for message in messages %}\n"
    "{{- '<|im_start|>' + message.role + '\\n' }}\n"
    "{%- if message.content is string %}\n"
    "{{- message.content }}\n"
    "{%- elif message.content is iterable %}\n"
    "{%- for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}\n"
    "{%- endif %}\n"
    "{{- '<|im_end|>\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}\n";

struct chat_template {
    struct realm_template *compiled;
};

/* The library's result and reason as ours. */
static realm_status
fail(int result, const struct realm_template_text *reason, struct realm_error *error)
{
    const char *why = reason->data != NULL ? reason->data : "out of memory";
    switch (result) {
    case REALM_TEMPLATE_SYNTAX:
        return realm_error_set(error, REALM_INVALID_FORMAT, "chat template: %s", why);
    case REALM_TEMPLATE_CONTEXT:
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "chat template: %s", why);
    case REALM_TEMPLATE_RAISED:
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the model's chat template refuses these messages: %s",
                               why);
    case REALM_TEMPLATE_FAILED:
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the model's chat template cannot render these messages: %s",
                               why);
    case REALM_TEMPLATE_LIMIT:
        return realm_error_set(error, REALM_RESOURCE_EXHAUSTED, "chat template: %s", why);
    default:
        return realm_error_set(error, REALM_INTERNAL, "chat template: %s", why);
    }
}

realm_status chat_template_create(const char *source,
                                  size_t n,
                                  struct chat_template **out,
                                  struct realm_error *error)
{
    *out = NULL;
    if (n == 0) {
        source = default_source;
        n = sizeof default_source - 1;
    }
    struct chat_template *chat_template = alloc_zeroed(ALLOC_MODEL, 1, sizeof *chat_template);
    if (chat_template == NULL) {
        return realm_error_out_of_memory(error, sizeof *chat_template, "chat template");
    }
    struct realm_template_text reason = {.data = NULL, .length = 0};
    const int result = realm_template_new(source, n, &chat_template->compiled, &reason);
    if (result != REALM_TEMPLATE_OK) {
        const realm_status status = fail(result, &reason, error);
        realm_template_text_free(&reason);
        alloc_free(chat_template);
        return status;
    }
    *out = chat_template;
    return REALM_OK;
}

void chat_template_destroy(struct chat_template *chat_template)
{
    if (chat_template == NULL) {
        return;
    }
    realm_template_free(chat_template->compiled);
    alloc_free(chat_template);
}

realm_status chat_template_render(const struct chat_template *chat_template,
                                  const char *context_json,
                                  size_t n,
                                  struct strbuf *out,
                                  struct realm_error *error)
{
    const size_t room = out->max_bytes - out->length;
    struct realm_template_text text = {.data = NULL, .length = 0};
    struct realm_template_text reason = {.data = NULL, .length = 0};
    const int result =
        realm_template_render(chat_template->compiled, context_json, n, room, &text, &reason);
    realm_status status = REALM_OK;
    if (result != REALM_TEMPLATE_OK) {
        status = fail(result, &reason, error);
    } else if (!strbuf_append(out, text.data, text.length)) {
        status = realm_error_out_of_memory(error, text.length, "prompt");
    }
    realm_template_text_free(&text);
    realm_template_text_free(&reason);
    return status;
}
