#include "cli/client_answer.h"

#include <stdio.h>

realm_status client_ask(struct client *client,
                        struct client_call call,
                        struct strbuf *path,
                        size_t max_bytes,
                        struct strbuf *answer,
                        struct realm_error *error)
{
    strbuf_init(answer, ALLOC_BASE, max_bytes);
    realm_status status =
        path->failed ? realm_error_set(error, REALM_INVALID_ARGUMENT, "the name is too long")
                     : client_open(client, error);
    if (status == REALM_OK) {
        call.path = path->text;
        status = client_call(client, &call, answer, error);
    }
    strbuf_deinit(path);
    return status;
}

realm_status client_print_answer(struct strbuf *answer,
                                 realm_status status,
                                 bool json,
                                 void (*print)(const json_t *body),
                                 struct realm_error *error)
{
    json_t *const body =
        status == REALM_OK ? json_loadb(answer->text, answer->length, 0, NULL) : NULL;
    if (status == REALM_OK && body == NULL) {
        status = realm_error_set(
            error, REALM_INVALID_FORMAT, "the server's answer is not JSON; is it a Realm server?");
    } else if (status == REALM_OK && json) {
        printf("%s\n", answer->text);
    } else if (status == REALM_OK) {
        print(body);
    }
    json_decref(body);
    strbuf_deinit(answer);
    return status;
}

const char *client_text(const json_t *object, const char *name)
{
    const char *const text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

long long client_number(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}
