/* Any sequence of host calls with any arguments, made by a real guest beside a real engine: the
 * guest ends with a status that is its own fault or nobody's, and everything it held is given back.
 *
 * Input: records of 8 numbers of 8 bytes: which call (modulo their number), then its arguments; the
 * last results are at hand as arguments: a value of 0xffffffffffff00nn stands for the n-th last. */
#include "base/alloc.h"
#include "base/strbuf.h"
#include "engine/engine.h"
#include "sandbox/linker.h"
#include "sandbox/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES ((size_t)32768)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct engine *engine;
static struct engine_model *model;
static struct sandbox *sandbox;
static struct sandbox_tenant *tenant;
static struct program *program;

static void require(bool holds, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "fuzz_abi: %s\n", what);
        __builtin_trap();
    }
}

static void append_import(struct strbuf *wat, uint32_t i, const struct abi_row *row)
{
    (void)strbuf_append_format(wat, "(import \"realm_v1\" \"%s\" (func $c%u (param", row->name, i);
    for (const char *p = row->parameters; *p != '\0'; p++) {
        (void)strbuf_append_text(wat, *p == 'l' ? " i64" : " i32");
    }
    (void)strbuf_append_format(wat, ") (result %s)))\n", row->long_result ? "i64" : "i32");
}

/* if the record's number is i: result = the call with its arguments */
static void append_case(struct strbuf *wat, uint32_t i, const struct abi_row *row)
{
    (void)strbuf_append_format(wat,
                               "(if (i32.eq (local.get $op) (i32.const %u)) (then "
                               "(local.set $r %s(call $c%u",
                               i,
                               row->long_result ? "(i32.wrap_i64 " : "",
                               i);
    for (int a = 0; row->parameters[a] != '\0'; a++) {
        (void)strbuf_append_format(wat,
                                   row->parameters[a] == 'l' ? " (call $arg (i32.const %d))"
                                                             : " (i32.wrap_i64 (call $arg "
                                                               "(i32.const %d)))",
                                   8 * (a + 1));
    }
    (void)strbuf_append_text(wat, row->long_result ? ")))))\n" : "))))\n");
}

/* The request lies at 65536, the ring of the last 256 results at 1024; $at is the record. */
static void write_guest(struct strbuf *wat)
{
    uint32_t n = 0;
    (void)strbuf_append_text(wat, "(module\n");
    for (; linker_row(n) != NULL; n++) {
        append_import(wat, n, linker_row(n));
    }
    (void)strbuf_append_text(
        wat,
        "(memory (export \"memory\") 2)\n(global $at (mut i32) (i32.const 65536))\n"
        "(global $n (mut i32) (i32.const 0))\n"
        "(func $arg (param $offset i32) (result i64) (local $v i64)\n"
        "(local.set $v (i64.load (i32.add (global.get $at) (local.get $offset))))\n"
        "(if (i64.eq (i64.shr_u (local.get $v) (i64.const 8)) (i64.const 0xffffffffffff00))\n"
        "(then (local.set $v (i64.load32_s (i32.add (i32.const 1024) (i32.shl (i32.and (i32.sub\n"
        "(global.get $n) (i32.wrap_i64 (local.get $v))) (i32.const 255)) (i32.const 2)))))))\n"
        "(local.get $v))\n"
        "(func (export \"realm_run\") (result i32) (local $end i32) (local $op i32) (local $r "
        "i32)\n"
        "(local.set $end (i32.add (i32.const 65536)\n"
        "(call $c0 (i32.const 0) (i32.const 65536) (i32.const 65536))))\n"
        "(loop $next (if (i32.le_u (i32.add (global.get $at) (i32.const 64)) (local.get $end))\n"
        "(then\n");
    (void)strbuf_append_format(wat,
                               "(local.set $op (i32.rem_u (i32.load (global.get $at)) "
                               "(i32.const %u)))\n",
                               n);
    for (uint32_t i = 0; i < n; i++) {
        append_case(wat, i, linker_row(i));
    }
    (void)strbuf_append_text(
        wat,
        "(global.set $n (i32.add (global.get $n) (i32.const 1)))\n"
        "(i32.store (i32.add (i32.const 1024) (i32.shl (i32.and (global.get $n)\n"
        "(i32.const 255)) (i32.const 2))) (local.get $r))\n"
        "(global.set $at (i32.add (global.get $at) (i32.const 64)))\n"
        "(br $next))))\n(i32.const 0)))\n");
}

static void load_program(void)
{
    struct strbuf wat;
    wasm_byte_vec_t binary;
    struct realm_error error;
    strbuf_init(&wat, ALLOC_TEST, SIZE_MAX);
    write_guest(&wat);
    require(strcmp(linker_row(0)->name, "request_read") == 0, "the first call reads the request");
    require(wasmtime_wat2wasm(wat.text, wat.length, &binary) == NULL, "the guest is no module");
    const struct bytes module = {.data = (const uint8_t *)binary.data, .length = binary.size};
    require(program_load(sandbox, tenant, "fuzz", module, &program, &error) == REALM_OK,
            error.message);
    wasm_byte_vec_delete(&binary);
    strbuf_deinit(&wat);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 2 && strcmp((*argv)[1], SANDBOX_COMPILE_COMMAND) == 0) {
        exit(sandbox_compiler_main());
    }
    char path[1024];
    struct realm_error error;
    const struct engine_options options = {.n_threads = 1};
    const struct engine_model_options model_options = {.context_length = 128};
    const struct sandbox_limits limits = {
        .cpu_ms = 10000, .host_calls = 600, .output_bytes = 100000, .stored_bytes = 100000};
    (void)snprintf(path, sizeof path, "%s/golden/models/llama_tied.gguf", REALM_TEST_DATA);
    require(engine_create(&options, &engine, &error) == REALM_OK, "no engine");
    require(engine_load_model(engine, "tiny", path, &model_options, &model, &error) == REALM_OK,
            error.message);
    const struct sandbox_options sandbox_options = {.engine = engine, .max_instances = 4};
    require(sandbox_open(&sandbox_options, &sandbox, &error) == REALM_OK, error.message);
    require(sandbox_tenant_acquire(sandbox, "fuzz", &limits, &tenant, &error) == REALM_OK,
            error.message);
    load_program();
    return 0;
}

static bool is_guests_own(realm_status status)
{
    return status == REALM_OK || status == REALM_RESOURCE_EXHAUSTED ||
           status == REALM_GUEST_TRAPPED || status == REALM_CANCELLED;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const struct instance_options options = {
        .program = program,
        .tenant = tenant,
        .model = model,
        .request = {.data = data, .length = n_bytes < MAX_BYTES ? n_bytes : MAX_BYTES},
        .seed = 1,
    };
    const uint64_t held = alloc_held_bytes(ALLOC_GUEST);
    struct realm_error error;
    struct instance *instance;
    require(sandbox_start(sandbox, &options, &instance, &error) == REALM_OK, error.message);
    struct guest_event event = {.kind = GUEST_EVENT_TEXT};
    while (event.kind != GUEST_EVENT_FINISHED) {
        if (!instance_next(instance, &event) && !instance_wait(instance, 1000)) {
            instance_cancel(instance); /* it waits for what does not come */
        }
    }
    require(is_guests_own(event.status), event.message);
    instance_release(instance);
    /* What it stored stays; all else goes with the last owner, which may be the poller. */
    struct sandbox_stats stats;
    do {
        sandbox_stats(sandbox, &stats);
    } while (stats.instances > 0);
    require(alloc_held_bytes(ALLOC_GUEST) <= held + 400000, "guests' memory grows");
    return 0;
}
