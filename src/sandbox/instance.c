#include "sandbox/instance.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "engine/engine.h"
#include "sandbox/call.h"
#include "sandbox/linker.h"
#include "sandbox/outcome.h"
#include "sandbox/pipe.h"
#include "sandbox/state.h"
#include "sandbox/steps.h"
#include "sandbox/wasi.h"

#include <realm_store.h>

#define NS_PER_MS      UINT64_C(1000000)
#define MIN_SLICE_NS   (RUNTIME_TICK_MS * NS_PER_MS / 2)
#define OUTPUT_BYTES   ((size_t)64 * 1024)
#define INPUT_BYTES    ((size_t)1024 * 1024)
#define MAX_META_BYTES ((size_t)4096)
#define INPUT_BYTE_NS  UINT64_C(4) /* what the server works for a byte of a message, about */
#define INITIALIZE     "_initialize"
#define MOMENT_FUEL    UINT64_C(200000) /* some 100 us: on the slow lane a turn is no longer */
#define MOMENT_NS      (NS_PER_MS / 4)  /* nor is it on the quick one, while the engine computes */

/* --- birth and death ---------------------------------------------------------------------------
 */

static void instance_drop(struct instance *instance)
{
    if (atomic_fetch_sub(&instance->owners, 1) != 1) {
        return;
    }
    alloc_free(instance->reading);
    mailbox_deinit(&instance->output);
    mailbox_deinit(&instance->input);
    mutex_deinit(&instance->lock);
    handles_deinit(&instance->handles);
    program_release(instance->program);
    sandbox_tenant_release(instance->tenant);
    account_release(instance->account);
    tally_release(instance->tally);
    alloc_free(instance->waiting);
    alloc_free(instance->request);
    alloc_free(instance->meta);
    alloc_free(instance);
}

static bool write_meta(struct instance *instance, const struct instance_options *options)
{
    struct strbuf meta;
    strbuf_init(&meta, ALLOC_GUEST, MAX_META_BYTES);
    const char *model = options->model != NULL ? engine_model_name(options->model) : "";
    const char *source = options->source != NULL ? options->source : "run";
    (void)strbuf_append_text(&meta, "{\"program\":");
    (void)strbuf_append_json(&meta, instance->program->name, strlen(instance->program->name));
    (void)strbuf_append_text(&meta, ",\"function\":");
    (void)strbuf_append_json(&meta, instance->export, strlen(instance->export));
    (void)strbuf_append_format(&meta, ",\"version\":%u,\"model\":", options->version);
    (void)strbuf_append_json(&meta, model, strlen(model));
    (void)strbuf_append_text(&meta, ",\"source\":");
    (void)strbuf_append_json(&meta, source, strlen(source));
    (void)strbuf_append_format(&meta, ",\"stream\":%s}", options->stream ? "true" : "false");
    const bool whole = !meta.failed;
    if (whole) {
        instance->meta = alloc_string(ALLOC_GUEST, meta.text, meta.length);
        instance->n_meta = meta.length;
    }
    strbuf_deinit(&meta);
    return whole && instance->meta != NULL;
}

static bool copy_request(struct instance *instance, struct bytes request)
{
    instance->request = alloc_string(
        ALLOC_GUEST, request.data != NULL ? (const char *)request.data : "", request.length);
    instance->n_request = request.length;
    return instance->request != NULL;
}

static enum task_turn take_turn(struct task *task);

static struct instance *instance_create(struct sandbox *sandbox,
                                        const struct instance_options *options,
                                        const struct sandbox_limits *limits)
{
    struct instance *instance = alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct instance));
    if (instance == NULL) {
        return NULL;
    }
    instance->task.turn = take_turn;
    atomic_init(&instance->owners, 1);
    instance->sandbox = sandbox;
    instance->program = options->program;
    program_acquire(instance->program);
    instance->tenant = options->tenant;
    tenant_hold(instance->tenant);
    instance->task.debt = &instance->tenant->debt;
    instance->model = options->model;
    instance->account = options->account;
    if (instance->account != NULL) {
        account_retain(instance->account);
    }
    instance->limits = *limits;
    instance->takes_input = options->takes_input;
    instance->only_model = options->only_model;
    instance->max_context = options->max_context;
    instance->wake = options->wake;
    instance->wake_context = options->wake_context;
    instance->breach = -1;
    mutex_init(&instance->lock);
    mailbox_init(&instance->output, OUTPUT_BYTES);
    mailbox_init(&instance->input, INPUT_BYTES);
    handles_init(&instance->handles, limits->handles);
    instance->waiting = alloc_zeroed(ALLOC_GUEST, 1, linker_wait_bytes());
    return instance;
}

static realm_status choose_seed(struct instance *instance, uint64_t seed, struct realm_error *error)
{
    if (seed == 0) {
        REALM_TRY(random_bytes(&seed, sizeof(seed), error));
    }
    instance->seed = seed;
    instance->random = (struct philox){.seed = seed};
    return REALM_OK;
}

/* Counts one more instance, or refuses. */
static realm_status enter(struct sandbox *sandbox,
                          struct sandbox_tenant *tenant,
                          const struct sandbox_limits *limits,
                          struct realm_error *error)
{
    if (atomic_fetch_add(&tenant->counters.instances, 1) >= limits->instances) {
        atomic_fetch_sub(&tenant->counters.instances, 1);
        tenant_count_breach(tenant, LIMIT_instances);
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "limit instances: %llu programs of this tenant run already",
                               (unsigned long long)limits->instances);
    }
    if (atomic_fetch_add(&sandbox->counters.instances, 1) >= sandbox->runtime.max_instances) {
        atomic_fetch_sub(&sandbox->counters.instances, 1);
        atomic_fetch_sub(&tenant->counters.instances, 1);
        return realm_error_set(error,
                               REALM_UNAVAILABLE,
                               "%u programs run already; try again",
                               sandbox->runtime.max_instances);
    }
    return REALM_OK;
}

static void leave(struct sandbox *sandbox, struct sandbox_tenant *tenant)
{
    atomic_fetch_sub(&sandbox->counters.instances, 1);
    atomic_fetch_sub(&tenant->counters.instances, 1);
}

realm_status instance_start(struct sandbox *sandbox,
                            const struct instance_options *options,
                            const struct instance *caller,
                            const struct sandbox_limits *limits,
                            struct instance **out,
                            struct realm_error *error)
{
    *out = NULL;
    const char *export = program_export_of(options->program, options->function);
    if (export == NULL) {
        return realm_error_set(error,
                               REALM_NOT_FOUND,
                               "program %s has no function \"%s\"",
                               options->program->name,
                               options->function);
    }
    REALM_TRY(enter(sandbox, options->tenant, limits, error));
    struct instance *instance = instance_create(sandbox, options, limits);
    realm_status status = REALM_OK;
    if (instance == NULL) {
        status = realm_error_out_of_memory(error, sizeof(struct instance), "a guest");
    } else {
        instance->export = export;
        instance->depth = caller != NULL ? caller->depth + 1 : 0;
        instance->tally = caller != NULL ? tally_share(caller->tally) : tally_create();
        status = choose_seed(instance, options->seed, error);
    }
    if (status == REALM_OK &&
        (instance->waiting == NULL || instance->tally == NULL || !write_meta(instance, options) ||
         !copy_request(instance, options->request))) {
        status = realm_error_out_of_memory(error, options->request.length, "a guest's request");
    }
    if (status != REALM_OK) {
        leave(sandbox, options->tenant);
        if (instance != NULL) {
            instance_drop(instance);
        }
        return status;
    }
    atomic_fetch_add(&sandbox->counters.started, 1);
    atomic_fetch_add(&options->tenant->counters.started, 1);
    atomic_store(&instance->owners, 2);
    *out = instance;
    poller_wake(&sandbox->poller, &instance->task);
    return REALM_OK;
}

realm_status sandbox_start(struct sandbox *sandbox,
                           const struct instance_options *options,
                           struct instance **out,
                           struct realm_error *error)
{
    const struct sandbox_limits limits = tenant_limits(options->tenant);
    return instance_start(sandbox, options, NULL, &limits, out, error);
}

/* --- a turn ------------------------------------------------------------------------------------
 */

/* Adds the processor time up to now; false: it is too much. */
static bool count_time(struct instance *instance, uint64_t now_ns)
{
    if (!instance->counting) {
        instance->counting = true;
        instance->counted_ns = 0;
    } else {
        instance->counted_ns += now_ns - instance->counted_from_ns;
    }
    instance->counted_from_ns = now_ns;
    return instance->counted_ns < instance->limits.cpu_ms * NS_PER_MS;
}

/* The clock ticked while the guest ran: others have their turn, unless it has run too long, or its
 * turn has hardly begun.  The first tick after a host call only begins to count. */
static wasmtime_error_t *on_tick(wasmtime_context_t *context,
                                 void *data,
                                 uint64_t *delta,
                                 wasmtime_update_deadline_kind_t *kind)
{
    (void)context;
    struct instance *instance = data;
    const uint64_t now_ns = clock_thread_ns();
    *delta = 1;
    if (!count_time(instance, now_ns)) {
        instance->breach = LIMIT_cpu_ms;
        return wasmtime_error_new("too long without a host call");
    }
    const bool is_over = instance->goes_back || now_ns - instance->turn_from_ns >= MIN_SLICE_NS;
    instance->goes_back = false;
    instance->yielded = is_over;
    *kind = is_over ? WASMTIME_UPDATE_DEADLINE_YIELD : WASMTIME_UPDATE_DEADLINE_CONTINUE;
    return NULL;
}

void instance_go_back(struct instance *instance)
{
    instance->goes_back = true;
    wasmtime_context_set_epoch_deadline(instance->context, 0);
}

/* A turn begins, maybe on another thread: what the guest waited for it is not its own time. */
static void resume_counting(struct instance *instance)
{
    instance->turn_from_ns = clock_thread_ns();
    instance->calls_in_turn = 0;
    instance->counted_from_ns = instance->turn_from_ns;
    instance->yielded = false;
}

static void begin_store(struct instance *instance)
{
    const struct sandbox_limits *limits = &instance->limits;
    instance->store = wasmtime_store_new(instance->sandbox->runtime.engine, instance, NULL);
    instance->context = wasmtime_store_context(instance->store);
    realm_store_limit(
        instance->store, (size_t)limits->memory_bytes, (size_t)limits->table_elements);
    wasmtime_store_epoch_deadline_callback(instance->store, on_tick, instance, NULL);
    wasmtime_context_set_epoch_deadline(instance->context, 1);
    instance->error = wasmtime_context_set_fuel(instance->context, limits->fuel);
    if (instance->error == NULL) {
        instance->error =
            wasmtime_context_fuel_async_yield_interval(instance->context, MOMENT_FUEL);
    }
    if (instance->error != NULL) {
        return;
    }
    instance->future = wasmtime_instance_pre_instantiate_async(instance->program->ready,
                                                               instance->context,
                                                               &instance->wasm,
                                                               &instance->trap,
                                                               &instance->error);
}

static void begin_call(struct instance *instance, const char *export, size_t n_results)
{
    wasmtime_extern_t item = {.kind = WASMTIME_EXTERN_MEMORY};
    (void)wasmtime_instance_export_get(
        instance->context, &instance->wasm, export, strlen(export), &item);
    if (!REALM_INVARIANT(item.kind == WASMTIME_EXTERN_FUNC)) { /* program.c has looked */
        instance->error = wasmtime_error_new("the export is no function");
        return;
    }
    instance->function = item.of.func;
    instance->counting = false;
    instance->future = wasmtime_func_call_async(instance->context,
                                                &instance->function,
                                                NULL,
                                                0,
                                                &instance->result,
                                                n_results,
                                                &instance->trap,
                                                &instance->error);
}

/* A part of the work has ended well: the next one begins.  False: that was the last. */
static bool next_phase(struct instance *instance)
{
    if (instance->phase == PHASE_RUNNING) {
        return false;
    }
    if (instance->phase == PHASE_STARTING && instance->program->initializes) {
        instance->phase = PHASE_INITIALIZING;
        begin_call(instance, INITIALIZE, 0);
        return true;
    }
    instance->phase = PHASE_RUNNING;
    begin_call(instance, instance->export, strcmp(instance->export, "_start") == 0 ? 0 : 1);
    return true;
}

/* The guest has computed for a moment.  While the engine does, too, it goes on behind the others on
 * its lane, and on the slow one when it has had a slice. */
static bool stands_aside(struct instance *instance, enum task_turn *turn)
{
    if (!sandbox_is_stepping(instance->sandbox)) {
        return false;
    }
    *turn = TURN_GOES_ON;
    if (instance->task.slow) {
        return true;
    }
    const uint64_t ran_ns = clock_thread_ns() - instance->turn_from_ns;
    if (ran_ns < MOMENT_NS) {
        return false;
    }
    instance->quick_ns += ran_ns;
    if (instance->quick_ns < MIN_SLICE_NS) {
        *turn = TURN_RETURNS;
    }
    return true;
}

/* Runs the guest until it has ended (ENDED), waits, or its slice is over. */
static enum task_turn advance(struct instance *instance)
{
    if (instance->store == NULL) {
        begin_store(instance);
    }
    resume_counting(instance);
    while (instance->future != NULL) {
        instance->task.wake_at_ns = 0;
        instance->waits = false;
        instance->returns = false;
        if (!wasmtime_call_future_poll(instance->future)) {
            if (instance->waits || instance->returns) {
                return instance->waits ? TURN_WAITS : TURN_RETURNS;
            }
            if (instance->yielded) {
                return TURN_GOES_ON;
            }
            if (instance->counting) { /* what is over the limit is told at the next tick */
                (void)count_time(instance, clock_thread_ns());
            }
            enum task_turn turn;
            if (stands_aside(instance, &turn)) {
                return turn;
            }
            continue;
        }
        wasmtime_call_future_delete(instance->future);
        instance->future = NULL;
        if (instance->trap != NULL || instance->error != NULL || !next_phase(instance)) {
            break;
        }
    }
    return TURN_ENDED;
}

static void note_usage(struct instance *instance)
{
    uint64_t fuel_left = 0;
    struct instance_usage *usage = &instance->end.usage;
    if (instance->context != NULL) {
        wasmtime_error_t *error = wasmtime_context_get_fuel(instance->context, &fuel_left);
        if (error != NULL) {
            wasmtime_error_delete(error);
        }
        usage->fuel = instance->limits.fuel - fuel_left;
        if (instance->has_memory) {
            usage->memory_bytes = wasmtime_memory_data_size(instance->context, &instance->memory);
        }
    }
    usage->host_calls = instance->host_calls;
    usage->output_bytes = instance->output_bytes;
    if (instance->depth == 0) { /* with what programs took that were left before their end */
        instance_tokens(instance, &usage->prompt_tokens, &usage->completion_tokens);
    } else {
        usage->prompt_tokens = instance->prompt_tokens;
        usage->completion_tokens = instance->completion_tokens;
    }
}

/* Gives everything of the guest back.  The future first: it borrows the store. */
static void end_guest(struct instance *instance)
{
    if (instance->future != NULL) {
        wasmtime_call_future_delete(instance->future);
        instance->future = NULL;
    }
    enum handle_kind kind;
    void *object;
    while ((object = handles_pop(&instance->handles, &kind)) != NULL) {
        call_destroy_object(instance, kind, object);
    }
    steps_end(instance);
    generation_release(instance->embedding);
    instance->embedding = NULL;
    alloc_free(instance->step);
    instance->step = NULL;
    note_usage(instance);
    if (instance->store != NULL) {
        wasmtime_store_delete(instance->store);
        instance->store = NULL;
        instance->context = NULL;
    }
}

static void count_end(const struct instance *instance, struct sandbox_counters *counters)
{
    const realm_status status = instance->end.status;
    atomic_fetch_add(status == REALM_OK          ? &counters->succeeded
                     : status == REALM_CANCELLED ? &counters->cancelled
                                                 : &counters->failed,
                     1);
    atomic_fetch_add(&counters->host_calls, instance->host_calls);
    if (instance->breach >= 0) {
        atomic_fetch_add(&counters->breaches[instance->breach], 1);
    }
}

/* turn_from_ns: of the thread's processor time, when this turn began. */
static void finish(struct instance *instance, uint64_t turn_from_ns)
{
    pipe_close(instance);
    end_guest(instance);
    poller_charge(&instance->sandbox->poller,
                  instance->task.debt,
                  instance->task.extra_ns + clock_thread_ns() - turn_from_ns);
    wasi_end_lines(instance);
    outcome_tell(instance);
    instance->end.cut_short = instance->cut_short;
    instance->end.quota = instance->store_was_full ? sandbox_limit_name(LIMIT_stored_bytes) : NULL;
    count_end(instance, &instance->sandbox->counters);
    count_end(instance, &instance->tenant->counters);
    leave(instance->sandbox, instance->tenant);
    mutex_lock(&instance->lock);
    instance->finished = true;
    mutex_unlock(&instance->lock);
    mailbox_close(&instance->output);
    instance_signal(instance);
    instance_drop(instance);
}

static enum task_turn take_turn(struct task *task)
{
    struct instance *instance = (struct instance *)task;
    enum task_turn turn = TURN_ENDED;
    const uint64_t turn_from_ns = clock_thread_ns();
    if (!instance->ended && !atomic_load(&instance->cancelled)) {
        runtime_enter(&instance->sandbox->runtime);
        turn = advance(instance);
        runtime_leave(&instance->sandbox->runtime);
    }
    if (turn == TURN_ENDED && task->slow) { /* giving back takes locks that others wait for */
        instance->ended = true;
        return TURN_RETURNS;
    }
    if (turn == TURN_ENDED) {
        finish(instance, turn_from_ns);
    }
    return turn;
}

void instance_wake(struct instance *instance)
{
    poller_wake(&instance->sandbox->poller, &instance->task);
}

/* --- the reader's side -------------------------------------------------------------------------
 */

void instance_signal(struct instance *instance)
{
    mutex_lock(&instance->lock);
    if (instance->wake != NULL && !instance->reader_gone) {
        instance->wake(instance->wake_context);
    }
    mutex_unlock(&instance->lock);
}

void instance_log(struct instance *instance, uint32_t level, struct bytes line)
{
    const uint64_t left = instance->limits.log_bytes - instance->log_bytes;
    line.length = line.length < left ? line.length : (size_t)left;
    bool was_empty;
    if (line.length > 0 &&
        mailbox_put(&instance->output, GUEST_EVENT_LOG, level, line, &was_empty) == MAILBOX_PUT) {
        instance->log_bytes += line.length;
        if (was_empty) {
            instance_signal(instance);
        }
    }
}

static bool has_finished(struct instance *instance)
{
    mutex_lock(&instance->lock);
    const bool finished = instance->finished;
    mutex_unlock(&instance->lock);
    return finished;
}

bool instance_next(struct instance *instance, struct guest_event *out)
{
    alloc_free(instance->reading);
    /* Both asked before the box: what was put there before it finished, or piped, is seen first. */
    const bool finished = has_finished(instance);
    const uint64_t pipe = pipe_number(instance);
    bool has_room;
    instance->reading = mailbox_take(&instance->output, &has_room);
    if (instance->reading != NULL || (pipe != 0 && pipe_next(instance, pipe))) {
        const struct message *message = instance->reading;
        if (has_room && !finished) {
            instance_wake(instance);
        }
        *out = (struct guest_event){
            .kind = (enum guest_event_kind)message->kind,
            .level = message->level,
            .bytes = {.data = message->bytes, .length = message->n_bytes},
        };
        return true;
    }
    if (!finished || instance->told_end) {
        return false;
    }
    instance->told_end = true;
    *out = instance->end;
    return true;
}

void instance_tokens(struct instance *instance, uint64_t *prompt, uint64_t *completion)
{
    *prompt = atomic_load(&instance->tally->prompt_tokens);
    *completion = atomic_load(&instance->tally->completion_tokens);
}

void instance_count_tokens(struct instance *instance, uint64_t prompt, uint64_t completion)
{
    instance->prompt_tokens += prompt;
    instance->completion_tokens += completion;
    atomic_fetch_add(&instance->tally->prompt_tokens, prompt);
    atomic_fetch_add(&instance->tally->completion_tokens, completion);
}

bool instance_wait(struct instance *instance, uint32_t timeout_ms)
{
    return pipe_readable(instance) || mailbox_wait(&instance->output, timeout_ms);
}

realm_status
instance_deliver(struct instance *instance, struct bytes message, struct realm_error *error)
{
    if (!instance->takes_input) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "this run takes no input");
    }
    bool was_empty;
    switch (mailbox_put(&instance->input, 0, 0, message, &was_empty)) {
    case MAILBOX_PUT:
        poller_charge(
            &instance->sandbox->poller, instance->task.debt, message.length * INPUT_BYTE_NS);
        instance_wake(instance);
        return REALM_OK;
    case MAILBOX_FULL:
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "the program has not read the %zu bytes sent before",
                               INPUT_BYTES);
    case MAILBOX_CLOSED:
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "the input was closed");
    case MAILBOX_OUT_OF_MEMORY:
        break;
    }
    return realm_error_out_of_memory(error, message.length, "a message");
}

void instance_close_input(struct instance *instance)
{
    mailbox_close(&instance->input);
    instance_wake(instance);
}

void instance_cancel(struct instance *instance)
{
    atomic_store(&instance->cancelled, true);
    if (!has_finished(instance)) {
        instance_wake(instance);
    }
}

void instance_release(struct instance *instance)
{
    if (instance == NULL) {
        return;
    }
    mutex_lock(&instance->lock);
    instance->reader_gone = true;
    mutex_unlock(&instance->lock);
    mailbox_close(&instance->output);
    instance_cancel(instance);
    instance_drop(instance);
}
