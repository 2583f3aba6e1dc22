/* What the tests of guests share: a sandbox over a tiny model, programs from .wat files, runs whose
 * whole output is kept.  A test program that includes this asks harness_is_compiler first in its
 * main, because it is its own compiler process. */
#ifndef REALM_TESTS_GUESTS_HARNESS_H
#define REALM_TESTS_GUESTS_HARNESS_H

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "engine/engine.h"
#include "sandbox/sandbox.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <wasmtime.h>

#define HARNESS_UNUSED    __attribute__((unused))
#define HARNESS_WAIT_MS   60000u
#define HARNESS_MAX_TEXT  65536u
#define HARNESS_INSTANCES 64u

struct world {
    struct engine *engine;
    struct engine_model *model;
    struct sandbox *sandbox;
    struct sandbox_tenant *tenant;
};

struct outcome {
    char text[HARNESS_MAX_TEXT];
    size_t n_text;
    uint64_t n_text_bytes; /* of all, kept or not */
    char json[1024];       /* the last event */
    char result[1024];
    char log[1024];
    realm_status status;
    int32_t exit_code;
    char limit[64];
    char message[256];
    struct instance_usage usage;
};

static HARNESS_UNUSED struct world world;

static HARNESS_UNUSED bool harness_is_compiler(int argc, char **argv)
{
    return argc == 2 && strcmp(argv[1], SANDBOX_COMPILE_COMMAND) == 0;
}

/* cmocka takes the signals of faults for itself before each test; Wasmtime, which needs them, has
 * put its handlers in once for all. */
static void keep_wasmtime_signals(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    static struct sigaction handlers[4];
    static bool known;
    for (int i = 0; i < 4; i++) {
        (void)sigaction(numbers[i], known ? &handlers[i] : NULL, known ? NULL : &handlers[i]);
    }
    known = true;
}

static HARNESS_UNUSED void
world_open_sized(const char *folder, uint32_t max_instances, const struct sandbox_limits *limits)
{
    char path[1024];
    struct realm_error error = {.status = REALM_OK};
    const struct engine_options options = {.n_threads = 1};
    const struct engine_model_options model_options = {.context_length = 256};
    (void)snprintf(path, sizeof path, "%s/golden/models/llama_tied.gguf", REALM_TEST_DATA);
    assert_int_equal(engine_create(&options, &world.engine, &error), REALM_OK);
    if (engine_load_model(world.engine, "tiny", path, &model_options, &world.model, &error) !=
        REALM_OK) {
        fail_msg("%s", error.message);
    }
    const struct sandbox_options sandbox_options = {
        .engine = world.engine,
        .folder = folder,
        .max_instances = max_instances,
    };
    if (sandbox_open(&sandbox_options, &world.sandbox, &error) != REALM_OK ||
        sandbox_tenant_acquire(world.sandbox, "acme", limits, &world.tenant, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    keep_wasmtime_signals();
}

static HARNESS_UNUSED void world_open(void)
{
    world_open_sized(NULL, HARNESS_INSTANCES, NULL);
}

static HARNESS_UNUSED void set_limits(const struct sandbox_limits *limits)
{
    struct realm_error error;
    struct sandbox_tenant *same;
    assert_int_equal(sandbox_tenant_acquire(world.sandbox, "acme", limits, &same, &error),
                     REALM_OK);
    sandbox_tenant_release(same);
}

static HARNESS_UNUSED bool no_instance_left(void *context)
{
    struct sandbox_stats stats;
    (void)context;
    sandbox_stats(world.sandbox, &stats);
    return stats.instances == 0;
}

static HARNESS_UNUSED bool engine_is_idle(void *context)
{
    struct engine_stats stats;
    (void)context;
    engine_stats(world.engine, &stats);
    return stats.running + stats.waiting == 0;
}

/* Nothing of a guest may be left. */
static HARNESS_UNUSED void world_close(void)
{
    assert_true(test_poll(no_instance_left, NULL, HARNESS_WAIT_MS));
    assert_true(test_poll(engine_is_idle, NULL, HARNESS_WAIT_MS));
    sandbox_tenant_release(world.tenant);
    sandbox_close(world.sandbox);
    engine_destroy(world.engine);
    assert_int_equal(alloc_held_bytes(ALLOC_GUEST), 0);
}

/* The module of a text. */
static HARNESS_UNUSED wasm_byte_vec_t module_of(const char *wat, size_t n_bytes)
{
    wasm_byte_vec_t binary;
    wasmtime_error_t *error = wasmtime_wat2wasm(wat, n_bytes, &binary);
    if (error != NULL) {
        wasm_byte_vec_t message;
        wasmtime_error_message(error, &message);
        fail_msg("%.*s", (int)message.size, message.data);
    }
    return binary;
}

static HARNESS_UNUSED realm_status try_load_text(const char *wat,
                                                 struct program **out,
                                                 struct realm_error *error)
{
    wasm_byte_vec_t binary = module_of(wat, strlen(wat));
    const struct bytes module = {.data = (const uint8_t *)binary.data, .length = binary.size};
    const realm_status status =
        program_load(world.sandbox, world.tenant, "test", module, out, error);
    wasm_byte_vec_delete(&binary);
    return status;
}

static HARNESS_UNUSED struct program *load_text(const char *wat)
{
    struct program *program = NULL;
    struct realm_error error;
    if (try_load_text(wat, &program, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return program;
}

/* tests/guests/<name>.wat */
static HARNESS_UNUSED struct program *load_guest(const char *name)
{
    char path[TEST_PATH_BYTES];
    struct realm_error error;
    char *text;
    size_t n_bytes;
    (void)snprintf(path, sizeof path, "%s/guests/%s.wat", REALM_TEST_DATA, name);
    if (file_read(path, (size_t)1 << 20, &text, &n_bytes, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    struct program *program = load_text(text);
    alloc_free(text);
    return program;
}

static HARNESS_UNUSED struct instance_options options_of(struct program *program,
                                                         const char *request)
{
    return (struct instance_options){
        .program = program,
        .tenant = world.tenant,
        .model = world.model,
        .request = {.data = (const uint8_t *)request, .length = strlen(request)},
        .seed = 7,
    };
}

static HARNESS_UNUSED struct instance *start(const struct instance_options *options)
{
    struct instance *instance = NULL;
    struct realm_error error;
    if (sandbox_start(world.sandbox, options, &instance, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return instance;
}

static void keep_text(char *out, size_t capacity, struct bytes bytes)
{
    const size_t n = bytes.length < capacity - 1 ? bytes.length : capacity - 1;
    memcpy(out, bytes.data, n);
    out[n] = '\0';
}

static void keep_event(struct outcome *outcome, const struct guest_event *event)
{
    switch (event->kind) {
    case GUEST_EVENT_TEXT:
        outcome->n_text_bytes += event->bytes.length;
        if (event->bytes.length < sizeof outcome->text - outcome->n_text) {
            memcpy(outcome->text + outcome->n_text, event->bytes.data, event->bytes.length);
            outcome->n_text += event->bytes.length;
            outcome->text[outcome->n_text] = '\0';
        }
        break;
    case GUEST_EVENT_JSON:
        keep_text(outcome->json, sizeof outcome->json, event->bytes);
        break;
    case GUEST_EVENT_RESULT:
        keep_text(outcome->result, sizeof outcome->result, event->bytes);
        break;
    case GUEST_EVENT_LOG:
        keep_text(outcome->log, sizeof outcome->log, event->bytes);
        break;
    case GUEST_EVENT_FINISHED:
        outcome->status = event->status;
        outcome->exit_code = event->exit_code;
        outcome->usage = event->usage;
        if (event->limit != NULL) {
            (void)snprintf(outcome->limit, sizeof outcome->limit, "%s", event->limit);
        }
        if (event->message != NULL) {
            (void)snprintf(outcome->message, sizeof outcome->message, "%s", event->message);
        }
        break;
    }
}

/* Reads to the end and releases. */
static HARNESS_UNUSED void read_outcome(struct instance *instance, struct outcome *outcome)
{
    memset(outcome, 0, sizeof *outcome);
    for (;;) {
        struct guest_event event;
        if (!instance_next(instance, &event)) {
            assert_true(instance_wait(instance, HARNESS_WAIT_MS));
            continue;
        }
        keep_event(outcome, &event);
        if (event.kind == GUEST_EVENT_FINISHED) {
            instance_release(instance);
            return;
        }
    }
}

static HARNESS_UNUSED void
run_program(struct program *program, const char *request, struct outcome *outcome)
{
    const struct instance_options options = options_of(program, request);
    read_outcome(start(&options), outcome);
}

#endif
