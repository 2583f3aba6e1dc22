/* How tokens are drawn: samplers with their sparse bias, and matchers. */
#include "base/utf8.h"
#include "sandbox/call.h"
#include "sandbox/objects.h"

int64_t call_sampler_create(struct call *call)
{
    struct realm_guest_sampler given = {.size = 0};
    struct bytes bytes;
    if (!call_bytes(call, 0, &bytes)) {
        return call_bad_pointer(call);
    }
    if (bytes.length < sizeof(given.size)) {
        return call_fail(
            call, REALM_GUEST_INVALID_ARGUMENT, "a sampler of %zu bytes", bytes.length);
    }
    /* An older header's struct is shorter: what it lacks is 0. */
    memcpy(&given, bytes.data, bytes.length < sizeof(given) ? bytes.length : sizeof(given));
    struct guest_sampler *sampler = alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct guest_sampler));
    if (sampler == NULL) {
        return call_fail(call, REALM_GUEST_FAILED, "out of memory");
    }
    sampler->options = (struct sampler_options){
        .temperature = given.temperature,
        .top_k = given.top_k,
        .top_p = given.top_p,
        .min_p = given.min_p,
        .typical_p = given.typical_p,
        .repetition_penalty = given.repetition_penalty,
        .presence_penalty = given.presence_penalty,
        .frequency_penalty = given.frequency_penalty,
        .penalty_window = given.penalty_window,
        .dry_multiplier = given.dry_multiplier,
        .dry_base = given.dry_base,
        .dry_allowed_length = given.dry_allowed_length,
        .dry_window = given.dry_window,
        .mirostat = given.mirostat,
        .mirostat_tau = given.mirostat_tau,
        .mirostat_eta = given.mirostat_eta,
        .stream = given.stream,
        .seed = given.seed != 0 ? given.seed : call->instance->seed,
    };
    struct realm_error error;
    if (sampler_check(&sampler->options, UINT32_MAX, &error) != REALM_OK) {
        guest_sampler_destroy(sampler);
        return call_fail_with(call, &error);
    }
    return call_new_handle(call, HANDLE_SAMPLER, sampler);
}

int64_t call_sampler_bias(struct call *call)
{
    struct guest_sampler *sampler = call_object(call, 0, HANDLE_SAMPLER);
    const uint64_t n = call->arguments[3];
    uint8_t *tokens;
    uint8_t *values;
    if (sampler == NULL) {
        return call_bad_handle(call);
    }
    if (!call_span(call, call->arguments[1], n, sizeof(token_id), &tokens) ||
        !call_span(call, call->arguments[2], n, sizeof(float), &values)) {
        return call_bad_pointer(call);
    }
    if (n > SAMPLER_MAX_BIASES) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "%llu biases; at most %u",
                         (unsigned long long)n,
                         SAMPLER_MAX_BIASES);
    }
    struct sampler_bias *biases =
        alloc_zeroed(ALLOC_GUEST, (size_t)n + 1, sizeof(struct sampler_bias));
    if (biases == NULL) {
        return call_fail(call, REALM_GUEST_FAILED, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(&biases[i].token, tokens + i * sizeof(token_id), sizeof(token_id));
        memcpy(&biases[i].bias, values + i * sizeof(float), sizeof(float));
    }
    alloc_free(sampler->biases);
    sampler->biases = biases;
    sampler->options.biases = biases;
    sampler->options.n_biases = (uint32_t)n;
    return 0;
}

int64_t call_matcher_create(struct call *call)
{
    static const enum constraint_kind kinds[] = {
        [REALM_MATCHER_JSON_SCHEMA] = CONSTRAINT_JSON_SCHEMA,
        [REALM_MATCHER_REGEX] = CONSTRAINT_REGEX,
        [REALM_MATCHER_LARK] = CONSTRAINT_LARK,
    };
    const int32_t kind = call_i32(call, 1);
    struct bytes text;
    struct engine_model *model = call_object(call, 0, HANDLE_MODEL);
    if (model == NULL) {
        return call_bad_handle(call);
    }
    if (!call_bytes(call, 2, &text)) {
        return call_bad_pointer(call);
    }
    if (kind < 0 || (size_t)kind >= sizeof(kinds) / sizeof(kinds[0]) || text.length == 0 ||
        text.length > CONSTRAINT_MAX_BYTES || !utf8_valid(text.data, text.length)) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "matcher kind %d of %zu bytes; kinds 0 to 2, UTF-8 of at most %zu bytes",
                         kind,
                         text.length,
                         CONSTRAINT_MAX_BYTES);
    }
    const struct constraint_rule rule = {.kind = kinds[kind], .text = text};
    struct guest_matcher *matcher = alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct guest_matcher));
    struct realm_error error;
    if (matcher == NULL) {
        return call_fail(call, REALM_GUEST_FAILED, "out of memory");
    }
    matcher->model = model;
    if (engine_model_constrain(model, &rule, &matcher->constraint, &error) != REALM_OK) {
        guest_matcher_destroy(matcher);
        return call_fail_with(call, &error);
    }
    return call_new_handle(call, HANDLE_MATCHER, matcher);
}
