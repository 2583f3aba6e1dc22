/* Any bytes as a chat template (up to the first zero byte) and a context (the rest): it renders,
 * the same twice, into UTF-8 below the ceiling, or it is refused with words; never is it a defect.
 */
#include "base/bytes.h"
#include "base/utf8.h"
#include "tokenizer/chat_template.h"

#include <string.h>

#define MAX_TEXT_BYTES ((size_t)1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* A namespace that a template puts into itself stays in memory: counted and bounded by the library
 * (deps/src/template.rs), but a leak all the same.
 * NOLINTNEXTLINE(bugprone-reserved-identifier,cert-*,readability-identifier-naming) */
const char *__asan_default_options(void);
// NOLINTNEXTLINE(bugprone-reserved-identifier,cert-*,readability-identifier-naming)
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static void require(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

static bool is_refusal(realm_status status)
{
    return status == REALM_INVALID_FORMAT || status == REALM_INVALID_ARGUMENT ||
           status == REALM_RESOURCE_EXHAUSTED;
}

static void
render(const struct chat_template *chat_template, struct bytes context, struct strbuf *out)
{
    struct realm_error error = {.status = REALM_OK, .message = ""};
    const realm_status status = chat_template_render(
        chat_template, (const char *)context.data, context.length, out, &error);
    require(status == REALM_OK || (is_refusal(status) && error.message[0] != '\0'));
    require(status == REALM_OK || out->length == 0);
    require(out->length <= MAX_TEXT_BYTES);
    require(utf8_valid((const uint8_t *)out->text, out->length));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const uint8_t *const end = n_bytes > 0 ? memchr(data, 0, n_bytes) : NULL;
    const size_t n_source = end != NULL ? (size_t)(end - data) : n_bytes;
    struct bytes context = {(const uint8_t *)"{\"realm_now\": 0}", 16};
    if (end != NULL) {
        context = (struct bytes){end + 1, n_bytes - n_source - 1};
    }
    struct chat_template *chat_template;
    struct realm_error error = {.status = REALM_OK, .message = ""};
    const realm_status status =
        chat_template_create((const char *)data, n_source, &chat_template, &error);
    if (status != REALM_OK) {
        require(is_refusal(status) && chat_template == NULL && error.message[0] != '\0');
        return 0;
    }
    struct strbuf first;
    struct strbuf second;
    strbuf_init(&first, ALLOC_TEST, MAX_TEXT_BYTES);
    strbuf_init(&second, ALLOC_TEST, MAX_TEXT_BYTES);
    render(chat_template, context, &first);
    render(chat_template, context, &second);
    /* Without a time of its own, the input may ask for the wall clock's. */
    require(end != NULL || strcmp(first.text, second.text) == 0);
    strbuf_deinit(&first);
    strbuf_deinit(&second);
    chat_template_destroy(chat_template);
    return 0;
}
