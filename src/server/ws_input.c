#include "server/ws_input.h"

#include "server/json.h"

#include <string.h>

void ws_input_init(struct ws_input *input)
{
    *input = (struct ws_input){.n_early = 0};
    strbuf_init(&input->early, ALLOC_SERVER, WS_MAX_EARLY_BYTES);
}

void ws_input_deinit(struct ws_input *input)
{
    strbuf_deinit(&input->early);
}

static realm_status input_full(struct problem *problem)
{
    problem->code = "input_full";
    return problem_set(problem,
                       REALM_RESOURCE_EXHAUSTED,
                       "data",
                       "the program has not begun to read; send the message again later");
}

/* Texts of JSON hold no zero byte, which ends each here. */
static realm_status keep(struct ws_input *input, struct bytes message, struct problem *problem)
{
    if (input->n_early == WS_MAX_EARLY ||
        message.length + 1 > input->early.max_bytes - input->early.length) {
        return input_full(problem);
    }
    if (!strbuf_append(&input->early, (const char *)message.data, message.length) ||
        !strbuf_append_char(&input->early, '\0')) {
        return problem_set(problem, REALM_OUT_OF_MEMORY, "data", "no memory for the message");
    }
    input->n_early++;
    return REALM_OK;
}

static realm_status
give(struct source *source, const struct bytes *message, struct problem *problem)
{
    if (source == NULL || source->type->deliver == NULL) {
        problem->code = "takes_no_input";
        return problem_set(
            problem, REALM_INVALID_ARGUMENT, "id", "only the run of a program takes input");
    }
    if (message == NULL) {
        source->type->close_input(source);
        return REALM_OK;
    }
    return source->type->deliver(source, *message, problem);
}

static realm_status
check(const struct ws_input *input, const struct ws_message *message, struct problem *problem)
{
    if (input->ended) {
        problem->code = "input_ended";
        return problem_set(
            problem, REALM_INVALID_ARGUMENT, "id", "no input can follow an input_end");
    }
    if (message->data.length > WS_MAX_INPUT_BYTES) {
        problem->http_status = 413;
        problem->code = "input_too_large";
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           "data",
                           "data has %zu bytes, %zu may be",
                           message->data.length,
                           WS_MAX_INPUT_BYTES);
    }
    return REALM_OK;
}

static realm_status check_json(struct bytes data, struct problem *problem)
{
    json_t *json = NULL;
    REALM_TRY(json_parse((const char *)data.data, data.length, &json, problem));
    json_decref(json);
    return REALM_OK;
}

realm_status
ws_input_take(struct ws_request *request, const struct ws_message *message, struct problem *problem)
{
    struct ws_input *const input = &request->input;
    const bool end = message->type == WS_INPUT_END;
    const bool early = request->exchange->preparing;
    REALM_TRY(check(input, message, problem));
    if (!end) {
        REALM_TRY(check_json(message->data, problem));
    }
    if (early && !end) {
        return keep(input, message->data, problem);
    }
    if (!early) {
        REALM_TRY(give(request->exchange->source, end ? NULL : &message->data, problem));
    }
    input->ended = end;
    return REALM_OK;
}

void ws_input_hand_over(struct ws_request *request)
{
    struct ws_input *const input = &request->input;
    const struct exchange *const exchange = request->exchange;
    struct problem problem = {.http_status = 0};
    realm_status status = REALM_OK;
    size_t n;
    /* A request that has failed says why: its messages need no answer of their own. */
    for (size_t at = 0; !exchange->failed && at < input->early.length; at += n + 1) {
        n = strlen(input->early.text + at);
        const struct bytes message = {(const uint8_t *)input->early.text + at, n};
        problem = (struct problem){.http_status = 0};
        status = give(exchange->source, &message, &problem);
        if (status != REALM_OK) {
            ws_session_refuse(request->session, request->id, &problem, false);
        }
    }
    if (input->ended && !exchange->failed) {
        problem = (struct problem){.http_status = 0};
        status = give(exchange->source, NULL, &problem);
        if (status != REALM_OK) {
            ws_session_refuse(request->session, request->id, &problem, false);
        }
    }
    strbuf_deinit(&input->early);
    strbuf_init(&input->early, ALLOC_SERVER, WS_MAX_EARLY_BYTES);
}
