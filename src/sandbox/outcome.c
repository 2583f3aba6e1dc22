#define _GNU_SOURCE /* memmem */

#include "sandbox/outcome.h"

#include <stdio.h>

#define MAX_WORDS 200

static void tell(struct instance *instance, realm_status status, const char *words)
{
    struct realm_error error;
    (void)realm_error_set(&error, status, "%s", words);
    memcpy(instance->end_message, error.message, sizeof(error.message));
    instance->end.status = status;
    instance->end.message = instance->end_message;
}

static void tell_limit(struct instance *instance, enum limit limit)
{
    char words[MAX_WORDS];
    const char *name = sandbox_limit_name(limit);
    (void)snprintf(words,
                   sizeof(words),
                   "limit %s: the program went past the %llu it may have",
                   name,
                   (unsigned long long)limits_value(&instance->limits, limit));
    instance->breach = (int32_t)limit;
    instance->end.limit = name;
    tell(instance, REALM_RESOURCE_EXHAUSTED, words);
}

/* Wasmtime's words for what its limiter refused; -1: something else. */
static int32_t limit_of(const wasm_byte_vec_t *message)
{
    static const struct {
        const char *words;
        enum limit limit;
    } known[] = {
        {"forcing trap when growing memory", LIMIT_memory_bytes},
        {"memory minimum size", LIMIT_memory_bytes},
        {"forcing a memory growth failure", LIMIT_memory_bytes},
        {"forcing trap when growing table", LIMIT_table_elements},
        {"table minimum size", LIMIT_table_elements},
        {"forcing a table growth failure", LIMIT_table_elements},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (memmem(message->data, message->size, known[i].words, strlen(known[i].words)) != NULL) {
            return (int32_t)known[i].limit;
        }
    }
    return -1;
}

/* Wasmtime's message without its lists of addresses. */
static void first_words(const wasm_byte_vec_t *message, char out[MAX_WORDS])
{
    size_t n = 0;
    size_t i = 0;
    const char backtrace[] = "error while executing at wasm backtrace:";
    const char *at = memmem(message->data, message->size, "Caused by:", 10);
    if (at != NULL && memmem(message->data, message->size, backtrace, strlen(backtrace)) != NULL) {
        i = (size_t)(at - message->data) + 10;
    }
    for (; i < message->size && message->data[i] != '\0' && n + 1 < MAX_WORDS; i++) {
        const char c = (char)(message->data[i] == '\n' ? ' ' : message->data[i]);
        if (c != ' ' || (n > 0 && out[n - 1] != ' ')) {
            out[n++] = c;
        }
    }
    out[n] = '\0';
}

static void tell_message(struct instance *instance, wasm_byte_vec_t *message)
{
    const int32_t limit = limit_of(message);
    if (limit >= 0) {
        tell_limit(instance, (enum limit)limit);
    } else {
        char words[MAX_WORDS];
        first_words(message, words);
        tell(instance, REALM_GUEST_TRAPPED, words);
    }
    wasm_byte_vec_delete(message);
}

static void tell_trap(struct instance *instance)
{
    wasmtime_trap_code_t code;
    wasm_byte_vec_t message;
    if (wasmtime_trap_code(instance->trap, &code) && code == WASMTIME_TRAP_CODE_OUT_OF_FUEL) {
        tell_limit(instance, LIMIT_fuel);
        return;
    }
    wasm_trap_message(instance->trap, &message);
    tell_message(instance, &message);
}

static void tell_result(struct instance *instance)
{
    const bool returns = instance->result.kind == WASMTIME_I32 && !instance->exited;
    instance->end.exit_code = returns ? instance->result.of.i32 : instance->exit_code;
    instance->end.status = REALM_OK;
    if (instance->end.exit_code != 0) {
        char words[MAX_WORDS];
        const char *why = instance->last_error;
        (void)snprintf(words,
                       sizeof(words),
                       "the program ended with code %d%s%.120s",
                       instance->end.exit_code,
                       why[0] != '\0' ? "; its last failed call: " : "",
                       why);
        tell(instance, REALM_GUEST_TRAPPED, words);
    }
}

void outcome_tell(struct instance *instance)
{
    instance->end.kind = GUEST_EVENT_FINISHED;
    if (instance->breach >= 0) {
        tell_limit(instance, (enum limit)instance->breach);
    } else if (instance->exited) { /* NOLINT(bugprone-branch-clone): by precedence */
        tell_result(instance);
    } else if (instance->trap != NULL) {
        tell_trap(instance);
    } else if (instance->error != NULL) {
        wasm_byte_vec_t message;
        wasmtime_error_message(instance->error, &message);
        tell_message(instance, &message);
    } else if (atomic_load(&instance->cancelled)) {
        tell(instance, REALM_CANCELLED, "cancelled");
    } else {
        tell_result(instance);
    }
    if (instance->trap != NULL) {
        wasm_trap_delete(instance->trap);
        instance->trap = NULL;
    }
    if (instance->error != NULL) {
        wasmtime_error_delete(instance->error);
        instance->error = NULL;
    }
}
