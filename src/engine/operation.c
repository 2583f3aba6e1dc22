#include "engine/operation.h"

#include "base/alloc.h"
#include "engine/dry_breakers.h"
#include "engine/engine_model.h"
#include "engine/saved.h"

realm_status operation_create(enum operation_kind kind,
                              struct held *held,
                              struct operation **out,
                              struct realm_error *error)
{
    *out = alloc_zeroed(ALLOC_REQUEST, 1, sizeof **out);
    if (*out == NULL) {
        return realm_error_out_of_memory(error, sizeof **out, "operation");
    }
    (*out)->kind = kind;
    (*out)->held = held;
    (*out)->leader = *out;
    (*out)->n_parts_left = 1;
    (*out)->token = TOKEN_NONE;
    return REALM_OK;
}

void operation_destroy(struct operation *operation)
{
    if (operation == NULL) {
        return;
    }
    if (operation->generation != NULL) {
        generation_drop(operation->generation);
    }
    sampler_destroy(operation->sampler);
    text_stream_destroy(operation->text);
    constraint_destroy(operation->constraint);
    saved_destroy(operation->saved);
    alloc_free(operation->tokens);
    alloc_free(operation);
}

realm_status operation_set_tokens(struct operation *operation,
                                  const struct engine_model *model,
                                  const token_id *tokens,
                                  uint32_t n_tokens,
                                  struct realm_error *error)
{
    const uint32_t vocabulary = tokenizer_vocabulary(model->tokenizer);
    for (uint32_t i = 0; i < n_tokens; i++) {
        if (tokens[i] >= vocabulary) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "token %u is %u and the vocabulary has %u tokens",
                                   i,
                                   tokens[i],
                                   vocabulary);
        }
    }
    operation->tokens = alloc_zeroed(ALLOC_REQUEST, n_tokens, sizeof *tokens);
    if (operation->tokens == NULL) {
        return realm_error_out_of_memory(error, n_tokens * sizeof *tokens, "tokens");
    }
    if (n_tokens > 0) {
        memcpy(operation->tokens, tokens, n_tokens * sizeof *tokens);
    }
    operation->n_tokens = n_tokens;
    return REALM_OK;
}

realm_status
operation_set_name(struct operation *operation, struct bytes name, struct realm_error *error)
{
    if (name.length == 0 || name.length > SESSION_MAX_NAME_BYTES) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the name has %zu bytes; 1 to %u are allowed",
                               name.length,
                               SESSION_MAX_NAME_BYTES);
    }
    memcpy(operation->name, name.data, name.length);
    operation->n_name_bytes = (uint32_t)name.length;
    return REALM_OK;
}

realm_status operation_set_sampling(struct operation *operation,
                                    const struct engine_model *model,
                                    const struct session_sampling *sampling,
                                    const struct bytes *dry_breakers,
                                    uint32_t n_dry_breakers,
                                    uint32_t max_tokens,
                                    struct realm_error *error)
{
    struct sampler_options options = sampling->options;
    struct dry_breakers breakers = {.items = NULL};
    if (options.dry_multiplier > 0) {
        REALM_TRY(
            dry_breakers_find(model->tokenizer, dry_breakers, n_dry_breakers, &breakers, error));
    }
    options.dry_breakers = breakers.items;
    options.n_dry_breakers = breakers.n_items;
    const realm_status status = sampler_create(
        &options, tokenizer_vocabulary(model->tokenizer), max_tokens, &operation->sampler, error);
    dry_breakers_deinit(&breakers);
    operation->n_drawn = sampling->n_drawn;
    return status;
}

realm_status operation_set_generation(struct operation *operation,
                                      const struct generation *owner,
                                      const struct session_generation *asked,
                                      struct realm_error *error)
{
    const struct request request = {
        .model = owner->model,
        .account = owner->account,
        .adapter = owner->adapter,
        .min_tokens = asked->min_tokens,
        .ignore_end = asked->ignore_end,
        .stop_tokens = asked->stop_tokens,
        .n_stop_tokens = asked->n_stop_tokens,
        .sampling = asked->sampling.options,
    };
    REALM_TRY(generation_create_bare(&request, &operation->generation, error));
    operation->generation->started = true;
    operation->max_tokens = asked->max_tokens;
    if (asked->constraint != NULL) {
        REALM_TRY(constraint_fork(asked->constraint, &operation->constraint, error));
    }
    return text_stream_create(owner->model->tokenizer,
                              asked->stops,
                              asked->n_stops,
                              asked->echo_special,
                              &operation->text,
                              error);
}

void operation_list_append(struct operation_list *list, struct operation *operation)
{
    operation->next = NULL;
    if (list->last != NULL) {
        list->last->next = operation;
    } else {
        list->first = operation;
    }
    list->last = operation;
}

struct operation *operation_list_take_first(struct operation_list *list)
{
    struct operation *const first = list->first;
    if (first != NULL) {
        list->first = first->next;
        if (list->first == NULL) {
            list->last = NULL;
        }
        first->next = NULL;
    }
    return first;
}
