/* GET /openapi.json: the fragments of all areas as one OpenAPI 3.1 document. */
#include "server/openapi.h"

#include "base/alloc.h"
#include "server/handlers.h"
#include "server/json.h"

#include <string.h>

#define DOCUMENT "server.json"

static json_t *parse(const struct embedded_file *file, struct problem *problem)
{
    json_t *json = NULL;
    const realm_status status =
        json_parse_object((const char *)file->data, file->n_bytes, &json, problem);
    return status == REALM_OK ? json : NULL;
}

static json_t *schemas_of(const json_t *document)
{
    return json_object_get(json_object_get(document, "components"), "schemas");
}

/* False: the fragment cannot be read, or there is no memory. */
static bool add_fragment(json_t *document, const json_t *fragment)
{
    return json_object_update(json_object_get(document, "paths"),
                              json_object_get(fragment, "paths")) == 0 &&
           json_object_update(schemas_of(document), schemas_of(fragment)) == 0;
}

static json_t *make_document(struct problem *problem)
{
    json_t *document = NULL;
    for (const struct embedded_file *file = openapi_fragments; file->name != NULL; file++) {
        if (strcmp(file->name, DOCUMENT) == 0) {
            document = parse(file, problem);
        }
    }
    bool whole = document != NULL;
    for (const struct embedded_file *file = openapi_fragments; file->name != NULL && whole;
         file++) {
        if (strcmp(file->name, DOCUMENT) != 0) {
            json_t *const fragment = parse(file, problem);
            whole = add_fragment(document, fragment);
            json_decref(fragment);
        }
    }
    if (!whole) {
        json_decref(document);
        return NULL;
    }
    return document;
}

void prepare_openapi(struct exchange *exchange)
{
    json_t *const document = make_document(&exchange->problem);
    char *const text = document != NULL ? json_dumps(document, JSON_COMPACT) : NULL;
    if (text != NULL && strbuf_append_text(&exchange->out, text)) {
        exchange_answer(exchange, 200);
    } else {
        exchange_fail(exchange, REALM_OUT_OF_MEMORY, NULL, "no memory for the document");
    }
    alloc_free(text);
    json_decref(document);
}
