#include "server/model_name.h"

#include <string.h>

#define MAX_MODEL_NAME_BYTES 256u

static realm_status no_model(const char *name, struct problem *problem)
{
    problem->code = "model_not_found";
    return problem_set(problem,
                       REALM_NOT_FOUND,
                       "model",
                       "no model named \"%.100s\" is loaded; GET /v1/models lists them",
                       name);
}

realm_status model_name_find(struct engine *engine,
                             struct adapter_room *adapters,
                             const struct adapter_owner *owner,
                             const char *name,
                             struct engine_model **model,
                             struct engine_adapter **adapter,
                             struct problem *problem)
{
    char base[MAX_MODEL_NAME_BYTES];
    struct realm_error error;
    *adapter = NULL;
    *model = engine_find_model(engine, name);
    if (*model != NULL) {
        return REALM_OK;
    }
    const char *const at = strrchr(name, '@');
    const size_t n_base = at != NULL ? (size_t)(at - name) : 0;
    if (n_base == 0 || n_base >= sizeof base) {
        return no_model(name, problem);
    }
    memcpy(base, name, n_base);
    base[n_base] = '\0';
    *model = engine_find_model(engine, base);
    if (*model == NULL) {
        return no_model(base, problem);
    }
    const realm_status status =
        adapters != NULL ? adapter_room_load(adapters, owner, &error) : REALM_OK;
    if (status != REALM_OK) {
        return problem_set(problem, status, "model", "%s", error.message);
    }
    if (adapters != NULL) {
        *adapter = engine_adapter_find(engine, *model, owner->account, at + 1);
    }
    if (*adapter == NULL) {
        problem->code = "adapter_not_found";
        return problem_set(problem,
                           REALM_NOT_FOUND,
                           "model",
                           "the model %s has no adapter \"%.70s\" of yours; GET /v1/adapters lists "
                           "them",
                           base,
                           at + 1);
    }
    return REALM_OK;
}
