/* What the sandbox costs: an instance, a host call, a call that suspends, a runaway guest, a
 * thousand guests at once, waiting for messages and in the middle of a generation each.  Prints one
 * line a figure: name, value, unit, what was asked of it.
 *
 *     ninja -C build/release bench_sandbox && build/release/bench_sandbox */
#include "base/clock.h"
#include "engine/engine.h"
#include "sandbox/program.h"
#include "sandbox/state.h"

#include <realm_store.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define N_INSTANCES 10000u
#define N_LIVE      1000u
#define N_CALLS     1000000u
#define N_ROUNDS    20000u
#define N_RUNAWAYS  20u
#define RUNAWAY_MS  50u
#define WAIT_MS     60000u
#define MAX_TOKENS  1024u
#define MAX_ROWS    1024u
#define KV_BYTES    ((uint64_t)512 << 20)
#define NS_PER_MS   1000000.0

static struct engine *engine;
static struct engine_model *model;
static struct sandbox *sandbox;
static struct sandbox_tenant *tenant;

static const char empty_guest[] =
    "(module (memory (export \"memory\") 2) (data (i32.const 0) \"some data of the program\")"
    " (func (export \"realm_run\") (result i32) (i32.const 0)))";
static const char calling_guest[] =
    "(module (import \"realm_v1\" \"clock_ms\" (func $clock (result i64)))"
    " (memory (export \"memory\") 1)"
    " (func (export \"realm_run\") (result i32) (local $i i32)"
    "  (loop (drop (call $clock)) (local.set $i (i32.add (local.get $i) (i32.const 1)))"
    "   (br_if 0 (i32.lt_u (local.get $i) (i32.const 1000000)))) (i32.const 0)))";
static const char async_guest[] =
    "(module (import \"realm_v1\" \"recv\" (func $recv (param i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1)"
    " (func (export \"realm_run\") (result i32) (local $i i32)"
    "  (loop (drop (call $recv (i32.const 0) (i32.const 0) (i32.const 0)))"
    "   (local.set $i (i32.add (local.get $i) (i32.const 1)))"
    "   (br_if 0 (i32.lt_u (local.get $i) (i32.const 1000000)))) (i32.const 0)))";
static const char echo_guest[] =
    "(module (import \"realm_v1\" \"recv\" (func $recv (param i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"emit\" (func $emit (param i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1)"
    " (func (export \"realm_run\") (result i32) (local $n i32)"
    "  (loop (local.set $n (call $recv (i32.const 0) (i32.const 64) (i32.const -1)))"
    "   (drop (call $emit (i32.const 0) (i32.const 0) (local.get $n)))"
    "   (br_if 0 (i32.gt_s (local.get $n) (i32.const 0)))) (i32.const 0)))";
/* Emits "x" when the first token has come; then the rest is piped. */
static const char generating_guest[] =
    "(module (import \"realm_v1\" \"model_open\" (func $model (param i32 i32) (result i32)))"
    " (import \"realm_v1\" \"sequence_create\" (func $create (param i32) (result i32)))"
    " (import \"realm_v1\" \"sequence_append\" (func $append (param i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"generate\" (func $generate (param i32 i32 i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"stream_next\""
    "  (func $next (param i32 i32 i32 i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"stream_pipe\" (func $pipe (param i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"emit\" (func $emit (param i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 0) \"x\")"
    " (data (i32.const 16) \"\\05\\00\\00\\00\\06\\00\\00\\00\\07\\00\\00\\00\\08\\00\\00\\00\")"
    " (data (i32.const 64) \"\\1c\\00\\00\\00\" \"\\00\\00\\00\\00\" \"\\00\\00\\00\\00\""
    "  \"\\e8\\03\\00\\00\" \"\\00\\00\\00\\00\" \"\\01\\00\\00\\00\" \"\\00\\00\\00\\00\")"
    " (func (export \"realm_run\") (result i32) (local $s i32)"
    "  (local.set $s (call $create (call $model (i32.const 0) (i32.const 0))))"
    "  (drop (call $append (local.get $s) (i32.const 16) (i32.const 4)))"
    "  (local.set $s (call $generate (local.get $s) (i32.const 64) (i32.const 28) (i32.const 0)"
    "   (i32.const 0)))"
    "  (loop (if (i32.le_s (call $next (local.get $s) (i32.const 1024) (i32.const 200)"
    "    (i32.const 2048) (i32.const 1024) (i32.const -1)) (i32.const 0)) (then (unreachable)))"
    "   (br_if 0 (i32.ne (i32.load (i32.const 1024)) (i32.const 1))))"
    "  (drop (call $emit (i32.const 0) (i32.const 0) (i32.const 1)))"
    "  (call $pipe (local.get $s) (i32.const 1024) (i32.const 200))))";
/* Steps 300 times, emits "x" and waits for a message. */
static const char stepping_guest[] =
    "(module (import \"realm_v1\" \"model_open\" (func $model (param i32 i32) (result i32)))"
    " (import \"realm_v1\" \"sequence_create\" (func $create (param i32) (result i32)))"
    " (import \"realm_v1\" \"sampler_create\" (func $sampler (param i32 i32) (result i32)))"
    " (import \"realm_v1\" \"step\" (func $step (param i32 i32) (result i32)))"
    " (import \"realm_v1\" \"emit\" (func $emit (param i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"recv\" (func $recv (param i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 0) \"\\04\\00\\00\\00\")"
    " (data (i32.const 32) \"x\")"
    /* the item at 64: its token is what was drawn last, at 124 */
    " (func (export \"realm_run\") (result i32)"
    "  (i32.store (i32.const 64) (call $create (call $model (i32.const 0) (i32.const 0))))"
    "  (i32.store (i32.const 68) (call $sampler (i32.const 0) (i32.const 4)))"
    "  (i32.store (i32.const 76) (i32.const 1)) (i64.store (i32.const 80) (i64.const 512))"
    "  (i32.store (i32.const 512) (i32.const 5))"
    "  (loop (if (i32.or (call $step (i32.const 64) (i32.const 1)) (i32.load (i32.const 120)))"
    "    (then (unreachable)))"
    "   (i32.store (i32.const 512) (i32.load (i32.const 124)))"
    "   (i32.store (i32.const 72) (i32.add (i32.load (i32.const 72)) (i32.const 1)))"
    "   (br_if 0 (i32.lt_u (i32.load (i32.const 72)) (i32.const 300))))"
    "  (drop (call $emit (i32.const 0) (i32.const 32) (i32.const 1)))"
    "  (drop (call $recv (i32.const 0) (i32.const 0) (i32.const -1))) (i32.const 0)))";
static const char spinning_guest[] =
    "(module (memory (export \"memory\") 1)"
    " (func (export \"realm_run\") (result i32) (loop (br 0)) (i32.const 0)))";

static void stop(const char *what)
{
    (void)fprintf(stderr, "bench_sandbox: %s\n", what);
    exit(1);
}

static struct program *load(const char *wat)
{
    wasm_byte_vec_t binary;
    struct program *program = NULL;
    struct realm_error error;
    if (wasmtime_wat2wasm(wat, strlen(wat), &binary) != NULL) {
        stop("a guest's text is wrong");
    }
    const struct bytes module = {.data = (const uint8_t *)binary.data, .length = binary.size};
    if (program_load(sandbox, tenant, "bench", module, &program, &error) != REALM_OK) {
        stop(error.message);
    }
    wasm_byte_vec_delete(&binary);
    return program;
}

static struct instance *start(struct program *program, bool takes_input)
{
    const struct instance_options options = {
        .program = program,
        .tenant = tenant,
        .model = model,
        .takes_input = takes_input,
        .seed = 1,
    };
    struct instance *instance = NULL;
    struct realm_error error;
    if (sandbox_start(sandbox, &options, &instance, &error) != REALM_OK) {
        stop(error.message);
    }
    return instance;
}

/* Reads to the end; the time of that. */
static uint64_t finish(struct instance *instance)
{
    struct guest_event event = {.kind = GUEST_EVENT_TEXT};
    while (event.kind != GUEST_EVENT_FINISHED) {
        if (!instance_next(instance, &event) && !instance_wait(instance, WAIT_MS)) {
            stop("a guest does not end");
        }
    }
    const uint64_t now_ns = clock_monotonic_ns();
    instance_release(instance);
    return now_ns;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print_spread(const char *name, uint64_t *ns, size_t n, const char *wanted)
{
    qsort(ns, n, sizeof(ns[0]), compare);
    (void)printf("%-24s median %8.2f us   p99 %8.2f us   %s\n",
                 name,
                 (double)ns[n / 2] / 1000,
                 (double)ns[n - 1 - n / 100] / 1000,
                 wanted);
}

/* Store, limits, instance, and all of it away again, as instance.c does it. */
static void measure_instances(struct program *program)
{
    static uint64_t ns[N_INSTANCES];
    for (size_t i = 0; i < N_INSTANCES; i++) {
        wasmtime_instance_t instance;
        wasm_trap_t *trap = NULL;
        wasmtime_error_t *error = NULL;
        const uint64_t from_ns = clock_monotonic_ns();
        wasmtime_store_t *store = wasmtime_store_new(sandbox->runtime.engine, NULL, NULL);
        wasmtime_context_t *context = wasmtime_store_context(store);
        realm_store_limit(store, (size_t)1 << 28, 20000);
        wasmtime_context_set_epoch_deadline(context, 1000);
        (void)wasmtime_context_set_fuel(context, 1000000);
        wasmtime_call_future_t *future = wasmtime_instance_pre_instantiate_async(
            program->ready, context, &instance, &trap, &error);
        while (!wasmtime_call_future_poll(future)) {
        }
        wasmtime_call_future_delete(future);
        wasmtime_store_delete(store);
        ns[i] = clock_monotonic_ns() - from_ns;
        if (trap != NULL || error != NULL) {
            stop("an instance failed");
        }
    }
    print_spread("instance", ns, N_INSTANCES, "wanted: median under 10 us");
}

static void measure_runs(struct program *program)
{
    static uint64_t ns[N_INSTANCES];
    for (size_t i = 0; i < N_INSTANCES; i++) {
        const uint64_t from_ns = clock_monotonic_ns();
        ns[i] = finish(start(program, false)) - from_ns;
    }
    print_spread("run (two thread hops)", ns, N_INSTANCES, "");
}

static void measure_calls(const char *name, const char *wat, bool takes_input)
{
    struct program *program = load(wat);
    const uint64_t from_ns = clock_monotonic_ns();
    const uint64_t ns = finish(start(program, takes_input)) - from_ns;
    (void)printf("%-24s        %8.1f ns a call\n", name, (double)ns / N_CALLS);
    program_release(program);
}

static void measure_echo(struct program *program)
{
    static uint64_t ns[N_ROUNDS];
    const struct bytes message = {.data = (const uint8_t *)"ping", .length = 4};
    struct instance *instance = start(program, true);
    struct realm_error error;
    struct guest_event event;
    for (size_t i = 0; i < N_ROUNDS; i++) {
        const uint64_t from_ns = clock_monotonic_ns();
        if (instance_deliver(instance, message, &error) != REALM_OK) {
            stop(error.message);
        }
        while (!instance_next(instance, &event)) {
            (void)instance_wait(instance, WAIT_MS);
        }
        ns[i] = clock_monotonic_ns() - from_ns;
    }
    instance_close_input(instance);
    (void)finish(instance);
    print_spread("message there and back", ns, N_ROUNDS, "(wakes two threads)");
}

static void measure_runaways(struct program *program)
{
    static uint64_t ns[N_RUNAWAYS];
    for (size_t i = 0; i < N_RUNAWAYS; i++) {
        const uint64_t due_ns = clock_monotonic_ns() + (uint64_t)(RUNAWAY_MS * NS_PER_MS);
        const uint64_t end_ns = finish(start(program, false));
        ns[i] = end_ns > due_ns ? end_ns - due_ns : 0;
    }
    qsort(ns, N_RUNAWAYS, sizeof(ns[0]), compare);
    (void)printf("%-24s worst  %8.2f ms past its deadline   wanted: under 20 ms\n",
                 "runaway guest",
                 (double)ns[N_RUNAWAYS - 1] / NS_PER_MS);
}

static uint64_t resident_bytes(void)
{
    unsigned long long size = 0;
    unsigned long long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%llu %llu", &size, &resident) != 2) {
        stop("/proc/self/statm cannot be read");
    }
    (void)fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool all_is_quiet(void)
{
    struct sandbox_stats guests;
    struct engine_stats sequences;
    sandbox_stats(sandbox, &guests);
    engine_stats(engine, &sequences);
    return guests.instances + sequences.running + sequences.waiting == 0;
}

/* What is held: in all, by the sandbox, by the engine for requests and sessions, and in KV pages
 * that were written, which are the guests' own. */
struct footprint {
    uint64_t resident_bytes;
    uint64_t guest_bytes;
    uint64_t request_bytes;
    uint64_t kv_bytes;
};

static struct footprint look(void)
{
    struct engine_stats stats;
    engine_stats(engine, &stats);
    const uint64_t page_bytes = alloc_held_bytes(ALLOC_KV) / stats.pages_total;
    return (struct footprint){
        .resident_bytes = resident_bytes(),
        .guest_bytes = alloc_held_bytes(ALLOC_GUEST),
        .request_bytes = alloc_held_bytes(ALLOC_REQUEST),
        .kv_bytes = (stats.pages_used + stats.pages_cached) * page_bytes,
    };
}

/* Before the guests come: nothing is left of others, and what was freed is given back. */
static struct footprint look_before(void)
{
    while (!all_is_quiet()) {
        const struct timespec a_while = {.tv_nsec = 1000000};
        (void)nanosleep(&a_while, NULL);
    }
    (void)malloc_trim(0);
    return look();
}

static double kb_a_guest(uint64_t now, uint64_t before)
{
    return ((double)now - (double)before) / 1024 / N_LIVE;
}

static void print_footprint(const char *name, const struct footprint *before)
{
    const struct footprint now = look();
    (void)printf("%-24s        %8.1f KB a guest, of that %.1f KB the sandbox's and %.1f KB the "
                 "engine's, without %.1f KB of KV pages   wanted: under 100 KB\n",
                 name,
                 kb_a_guest(now.resident_bytes, before->resident_bytes) -
                     kb_a_guest(now.kv_bytes, before->kv_bytes),
                 kb_a_guest(now.guest_bytes, before->guest_bytes),
                 kb_a_guest(now.request_bytes, before->request_bytes),
                 kb_a_guest(now.kv_bytes, before->kv_bytes));
}

static struct instance *instances[N_LIVE];

/* Waits until each has emitted something. */
static void hear_all(void)
{
    struct guest_event event;
    for (size_t i = 0; i < N_LIVE; i++) {
        while (!instance_next(instances[i], &event)) {
            (void)instance_wait(instances[i], WAIT_MS);
        }
        if (event.kind != GUEST_EVENT_TEXT) {
            stop(event.message);
        }
    }
}

static void measure_live(struct program *program)
{
    const struct footprint before = look_before();
    const struct bytes message = {.data = (const uint8_t *)"ping", .length = 4};
    struct realm_error error;
    for (size_t i = 0; i < N_LIVE; i++) {
        instances[i] = start(program, true);
        if (instance_deliver(instances[i], message, &error) != REALM_OK) {
            stop(error.message);
        }
    }
    hear_all(); /* all have run, and wait */
    print_footprint("1,000 that wait", &before);
    for (size_t i = 0; i < N_LIVE; i++) {
        instance_close_input(instances[i]);
        (void)finish(instances[i]);
    }
}

/* A thousand guests with a sequence each in the engine, in the middle of what they do there. */
static void measure_in_engine(const char *name, struct program *program)
{
    const struct footprint before = look_before();
    for (size_t i = 0; i < N_LIVE; i++) {
        instances[i] = start(program, true);
    }
    hear_all();
    print_footprint(name, &before);
    for (size_t i = 0; i < N_LIVE; i++) {
        instance_release(instances[i]);
    }
}

static void open_engine(void)
{
    struct realm_error error;
    const struct engine_options options = {.max_waiting = 2 * N_LIVE};
    const struct engine_model_options model_options = {.context_length = MAX_TOKENS,
                                                       .max_sequences = MAX_ROWS,
                                                       .max_rows = MAX_ROWS,
                                                       .kv_memory_bytes = KV_BYTES};
    if (engine_create(&options, &engine, &error) != REALM_OK ||
        engine_load_model(engine, "tiny", BENCH_MODEL, &model_options, &model, &error) !=
            REALM_OK) {
        stop(error.message);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], SANDBOX_COMPILE_COMMAND) == 0) {
        return sandbox_compiler_main();
    }
    struct realm_error error;
    open_engine();
    const struct sandbox_options options = {.engine = engine, .max_instances = 2 * N_LIVE};
    const struct sandbox_limits limits = {.instances = 2 * N_LIVE, .cpu_ms = RUNAWAY_MS};
    if (sandbox_open(&options, &sandbox, &error) != REALM_OK ||
        sandbox_tenant_acquire(sandbox, "bench", &limits, &tenant, &error) != REALM_OK) {
        stop(error.message);
    }
    struct program *empty = load(empty_guest);
    struct program *echo = load(echo_guest);
    struct program *spinning = load(spinning_guest);
    struct program *generating = load(generating_guest);
    struct program *stepping = load(stepping_guest);
    measure_instances(empty);
    measure_runs(empty);
    measure_calls("host call", calling_guest, false);
    measure_calls("call that may suspend", async_guest, true);
    measure_echo(echo);
    measure_runaways(spinning);
    measure_live(echo);
    measure_in_engine("1,000 that generate", generating);
    measure_in_engine("1,000 that step", stepping);
    program_release(empty);
    program_release(echo);
    program_release(spinning);
    program_release(generating);
    program_release(stepping);
    sandbox_tenant_release(tenant);
    sandbox_close(sandbox);
    engine_destroy(engine);
    return 0;
}
