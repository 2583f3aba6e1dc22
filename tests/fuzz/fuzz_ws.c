/* Any bytes as a message of a WebSocket's client: it becomes a message whose texts are terminated
 * and whose body lies in what was given, or it is refused; then once more while memory runs out. */
#include "base/alloc.h"
#include "server/json.h"
#include "server/ws_message.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void require(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    json_use_our_allocator();
    return 0;
}

/* The id goes into every answer as it stands. */
static void check_id(const char *id)
{
    json_t *json = NULL;
    struct problem problem = {.http_status = 0};
    if (id[0] == '\0') {
        return;
    }
    require(json_parse(id, strlen(id), &json, &problem) == REALM_OK);
    require(json_is_string(json) || json_is_integer(json));
    json_decref(json);
}

static void read(const char *text, size_t n_bytes, uint64_t fail_after)
{
    struct ws_message message;
    struct problem problem = {.http_status = 0};
    alloc_fail_after(fail_after);
    const realm_status status = ws_message_read(text, n_bytes, &message, &problem);
    alloc_fail_after(UINT64_MAX);
    check_id(message.id);
    if (status != REALM_OK) {
        require(problem.error.status == status && problem.error.message[0] != '\0');
        return;
    }
    require(message.type <= WS_RESUME);
    require(memchr(message.kind, '\0', sizeof message.kind) != NULL);
    require(memchr(message.key, '\0', sizeof message.key) != NULL);
    if (message.body.length > 0) {
        const char *const body = (const char *)message.body.data;
        require(body >= text && body + message.body.length <= text + n_bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const char *const text = (const char *)data;
    read(text, n_bytes, UINT64_MAX);
    read(text, n_bytes, n_bytes > 0 ? data[n_bytes / 2] % 4 : 0);
    return 0;
}
