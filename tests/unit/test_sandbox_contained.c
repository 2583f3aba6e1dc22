/* Whatever call a guest dies in, nothing of it is left; and no number opens another tenant's
 * objects.  The guests are written from the ABI's table, so that a new row is tried by itself. */
#include "base/strbuf.h"
#include "guests/harness.h"
#include "sandbox/instance.h"
#include "sandbox/linker.h"
#include "sandbox/state.h"

#include <dirent.h>

/* What a call gets for its first number: nothing, and one handle of each kind. */
static const char *const firsts[] = {"(i32.const 0)",
                                     "(global.get $model)",
                                     "(global.get $sequence)",
                                     "(global.get $sampler)",
                                     "(global.get $matcher)",
                                     "(global.get $stream)"};

#define N_FIRSTS (sizeof(firsts) / sizeof(firsts[0]))

static struct outcome outcome;

/* --- guests from the table ---------------------------------------------------------------------
 */

static void append_import(struct strbuf *wat, const struct abi_row *row)
{
    (void)strbuf_append_format(
        wat, "(import \"realm_v1\" \"%s\" (func $%s (param", row->name, row->name);
    for (const char *p = row->parameters; *p != '\0'; p++) {
        (void)strbuf_append_text(wat, *p == 'l' ? " i64" : " i32");
    }
    (void)strbuf_append_format(wat, ") (result %s)))\n", row->long_result ? "i64" : "i32");
}

/* A module that imports all calls and owns one object of each kind; its function is left open.
 * Texts at 256; what pointers lead to at 512: the number itself, then zeros. */
static void begin_guest(struct strbuf *wat, const char *make_stream)
{
    (void)strbuf_append_text(wat, "(module\n");
    for (uint32_t i = 0; linker_row(i) != NULL; i++) {
        append_import(wat, linker_row(i));
    }
    (void)strbuf_append_format(
        wat,
        "(memory (export \"memory\") 1)\n(data (i32.const 256) \"hello {} test\")\n"
        ";; generate: size 28, max_tokens 3, IGNORE_END\n"
        "(data (i32.const 64) \"\\1c\\00\\00\\00\" \"\\00\\00\\00\\00\" \"\\00\\00\\00\\00\" "
        "\"\\03\\00\\00\\00\" \"\\00\\00\\00\\00\" \"\\01\\00\\00\\00\" \"\\00\\00\\00\\00\")\n"
        "(global $model (mut i32) (i32.const 0)) (global $sequence (mut i32) (i32.const 0))\n"
        "(global $sampler (mut i32) (i32.const 0)) (global $matcher (mut i32) (i32.const 0))\n"
        "(global $stream (mut i32) (i32.const 0))\n"
        "(func (export \"realm_run\") (result i32) (local $other i32)\n"
        "(global.set $model (call $model_open (i32.const 0) (i32.const 0)))\n"
        "(global.set $sequence (call $sequence_create (global.get $model)))\n"
        "(drop (call $sequence_append_text (global.get $sequence) (i32.const 256) (i32.const 5) "
        "(i32.const 0)))\n"
        "(local.set $other (call $sequence_fork (global.get $sequence)))\n"
        "(global.set $sampler (call $sampler_create (i32.const 600) (i32.const 4)))\n"
        "(global.set $matcher (call $matcher_create (global.get $model) (i32.const 0) "
        "(i32.const 262) (i32.const 2)))\n"
        "(global.set $stream %s)\n",
        make_stream);
}

#define GENERATES                                                                                  \
    "(call $generate (local.get $other) (i32.const 64) (i32.const 28) (i32.const 0) (i32.const "   \
    "0))"
/* The program "test", which never says anything. */
#define INVOKES                                                                                    \
    "(call $invoke (i32.const 265) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) "       \
    "(i32.const 0))"

/* The call with that first number, as an expression; what pointers lead to begins with it too. */
static void
append_call(struct strbuf *wat, const struct abi_row *row, const char *first, int n, int rest)
{
    (void)strbuf_append_format(wat, "(call $%s", row->name);
    for (int i = 0; row->parameters[i] != '\0'; i++) {
        switch (row->parameters[i]) {
        case 'p':
            (void)strbuf_append_text(wat, " (i32.const 512)");
            break;
        case 'n':
            (void)strbuf_append_format(wat, " (i32.const %d)", n);
            break;
        case 'l':
            (void)strbuf_append_text(wat, " (i64.const 1)");
            break;
        default:
            if (i == 0) {
                (void)strbuf_append_format(wat, " %s", first);
            } else {
                (void)strbuf_append_format(wat, " (i32.const %d)", rest);
            }
        }
    }
    (void)strbuf_append_text(wat, ")");
}

/* The call with each object, with a size of 4 and of 1; `rest` for all other numbers. */
static void append_calls(struct strbuf *wat, const struct abi_row *row, int rest)
{
    for (int n = 4; n > 0; n -= 3) {
        for (size_t i = 0; i < N_FIRSTS; i++) {
            (void)strbuf_append_format(wat, "(i32.store (i32.const 512) %s)\n(drop ", firsts[i]);
            append_call(wat, row, firsts[i], n, rest);
            (void)strbuf_append_text(wat, ")\n");
        }
    }
}

/* --- what is there -----------------------------------------------------------------------------
 */

struct ledger {
    uint64_t bytes[ALLOC_N_PURPOSES];
    uint32_t pages;
    uint32_t n_descriptors;
};

static uint32_t count_descriptors(void)
{
    uint32_t n = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        n++;
    }
    (void)closedir(folder);
    return n;
}

/* Other threads give the last things of a guest back a moment after its end is told: what is held
 * has been the same for a while. */
struct quiet {
    uint64_t held;
    uint32_t n_looks;
};

static uint64_t all_held_bytes(void)
{
    uint64_t n = 0;
    for (int i = 0; i < ALLOC_N_PURPOSES; i++) {
        n += alloc_held_bytes((enum alloc_purpose)i);
    }
    return n;
}

static bool is_quiet(void *context)
{
    struct quiet *quiet = context;
    const uint64_t held = all_held_bytes();
    const bool same = held == quiet->held && no_instance_left(NULL) && engine_is_idle(NULL);
    quiet->n_looks = same ? quiet->n_looks + 1 : 0;
    quiet->held = held;
    return quiet->n_looks > 10;
}

static struct ledger take_stock(void)
{
    struct ledger stock;
    struct quiet quiet = {.n_looks = 0};
    struct engine_stats stats;
    assert_true(test_poll(is_quiet, &quiet, HARNESS_WAIT_MS));
    engine_stats(world.engine, &stats);
    stock.pages = stats.pages_used;
    stock.n_descriptors = count_descriptors();
    for (int i = 0; i < ALLOC_N_PURPOSES; i++) {
        stock.bytes[i] = alloc_held_bytes((enum alloc_purpose)i);
    }
    return stock;
}

static void check_stock(const struct ledger *before, const struct abi_row *row, const char *how)
{
    const struct ledger now = take_stock();
    for (int i = 0; i < ALLOC_N_PURPOSES; i++) {
        if (now.bytes[i] != before->bytes[i]) {
            fail_msg("%s, %s: %s holds %lld bytes more",
                     row->name,
                     how,
                     alloc_purpose_name((enum alloc_purpose)i),
                     (long long)(now.bytes[i] - before->bytes[i]));
        }
    }
    assert_int_equal(now.pages, before->pages);
    assert_int_equal(now.n_descriptors, before->n_descriptors);
}

/* --- a guest that dies -------------------------------------------------------------------------
 */

static struct program *load_caller(const struct abi_row *row)
{
    struct strbuf wat;
    strbuf_init(&wat, ALLOC_TEST, SIZE_MAX);
    begin_guest(&wat, GENERATES);
    append_calls(&wat, row, 0);
    (void)strbuf_append_text(&wat, "(unreachable)))");
    struct program *program = load_text(wat.text);
    strbuf_deinit(&wat);
    return program;
}

static void die_at_each_call(struct program *program, const struct abi_row *row)
{
    set_limits(NULL);
    run_program(program, "{}", &outcome); /* what is kept for good is there from now on */
    if (outcome.status != REALM_GUEST_TRAPPED || strstr(outcome.message, "unreachable") == NULL) {
        fail_msg("%s: the guest ended with \"%s\"", row->name, outcome.message);
    }
    const uint64_t n_calls = outcome.usage.host_calls;
    assert_true(n_calls > 2 * N_FIRSTS);
    const struct ledger before = take_stock();
    run_program(program, "{}", &outcome);
    check_stock(&before, row, "trapped behind it");
    for (uint64_t n = 1; n < n_calls; n++) {
        const struct sandbox_limits limits = {.host_calls = n};
        set_limits(&limits);
        run_program(program, "{}", &outcome);
        assert_string_equal(outcome.limit, "host_calls");
        assert_int_equal(outcome.usage.host_calls, n + 1);
    }
    check_stock(&before, row, "ended in it");
}

static void a_guest_that_dies_at_any_call_of_the_table_leaves_nothing(void **state)
{
    (void)state;
    uint32_t n = 0;
    world_open();
    for (; linker_row(n) != NULL; n++) {
        struct program *program = load_caller(linker_row(n));
        die_at_each_call(program, linker_row(n));
        program_release(program);
    }
    assert_true(n > 30);
    world_close();
}

/* --- a guest that is cancelled while it waits --------------------------------------------------
 */

/* The call again and again; none before it waits, so a guest that does waits in it. */
static struct program *load_waiter(const struct abi_row *row)
{
    struct strbuf wat;
    strbuf_init(&wat, ALLOC_TEST, SIZE_MAX);
    begin_guest(&wat, INVOKES);
    (void)strbuf_append_text(&wat, "(loop $again\n");
    append_calls(&wat, row, -1);
    (void)strbuf_append_text(&wat, "(br $again))\n(i32.const 0)))");
    struct program *program = load_text(wat.text);
    strbuf_deinit(&wat);
    return program;
}

static bool waits(void *context)
{
    const struct instance *instance = context;
    struct poller *poller = &world.sandbox->poller;
    mutex_lock(&poller->lock);
    const bool it_does = instance->task.state == TASK_WAITING;
    mutex_unlock(&poller->lock);
    return it_does;
}

static void cancel_while_it_waits(struct program *program, const struct abi_row *row)
{
    struct instance_options options = options_of(program, "{}");
    options.takes_input = true;
    struct instance *instance = start(&options);
    if (!test_poll(waits, instance, HARNESS_WAIT_MS / 4)) {
        fail_msg("%s is said to wait and never did", row->name);
    }
    instance_cancel(instance);
    read_outcome(instance, &outcome);
    assert_int_equal(outcome.status, REALM_CANCELLED);
}

static void a_guest_cancelled_in_a_call_that_waits_leaves_nothing(void **state)
{
    (void)state;
    uint32_t n = 0;
    world_open();
    const struct sandbox_limits limits = {.cpu_ms = 1000000, .output_bytes = 1 << 30};
    set_limits(&limits);
    struct program *silent = load_guest("spin");
    struct realm_error error;
    assert_int_equal(sandbox_tenant_publish(world.tenant, silent, &error), REALM_OK);
    for (uint32_t i = 0; linker_row(i) != NULL; i++) {
        const struct abi_row *row = linker_row(i);
        /* embed looks at its tokens first, and these are none: test_sandbox_embed.c cancels it. */
        if (!row->waits || strcmp(row->name, "embed") == 0) {
            continue;
        }
        struct program *program = load_waiter(row);
        cancel_while_it_waits(program, row);
        const struct ledger before = take_stock();
        cancel_while_it_waits(program, row);
        check_stock(&before, row, "cancelled in it");
        program_release(program);
        n++;
    }
    assert_true(n > 5);
    program_release(silent);
    world_close();
}

/* --- threads ------------------------------------------------------------------------------------
 */

static bool is_slow(void *context)
{
    const struct instance *instance = context;
    struct poller *poller = &world.sandbox->poller;
    mutex_lock(&poller->lock);
    const bool it_is = instance->task.slow;
    mutex_unlock(&poller->lock);
    return it_is;
}

/* Computing, or emitting without end: both on the slow threads, where the second is fetched from
 * for each of its calls.  What they are told and what they emit is whole. */
static void hungry_guests_run_on_slow_threads(void **state)
{
    (void)state;
    static const struct {
        const char *guest;
        struct sandbox_limits limits;
        const char *limit;
    } all[] = {
        {"spin", {.cpu_ms = 300}, "cpu_ms"},
        {"storm", {.host_calls = 3000000}, "host_calls"},
        {"flood", {.output_bytes = 4400000}, "output_bytes"},
    };
    world_open();
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        set_limits(&all[i].limits);
        struct program *program = load_guest(all[i].guest);
        struct instance_options options = options_of(program, "{}");
        struct instance *instance = start(&options);
        if (i < 2) { /* the third stands still until it is read */
            assert_true(test_poll(is_slow, instance, HARNESS_WAIT_MS));
        }
        read_outcome(instance, &outcome);
        assert_string_equal(outcome.limit, all[i].limit);
        program_release(program);
    }
    assert_int_equal(outcome.n_text_bytes, 4400000);
    world_close();
}

/* --- numbers of another tenant -----------------------------------------------------------------
 */

/* Whether a call's first parameter is a handle, by the header. */
static bool takes_handle(const char *header, const struct abi_row *row)
{
    char words[128];
    (void)snprintf(words, sizeof words, "realm_%s(realm_handle ", row->name);
    return strstr(header, words) != NULL;
}

static char *read_header(void)
{
    char path[TEST_PATH_BYTES];
    char *text;
    size_t n_bytes;
    struct realm_error error;
    (void)snprintf(path, sizeof path, "%s/../include/realm_guest.h", REALM_TEST_DATA);
    if (file_read(path, (size_t)1 << 20, &text, &n_bytes, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return text;
}

static const struct abi_row *drop_row(void)
{
    uint32_t i = 0;
    while (strcmp(linker_row(i)->name, "drop") != 0) {
        i++;
    }
    return linker_row(i);
}

/* Owns one object of each kind, tells their handles by its log, waits for a message, looks whether
 * its sequence is as it was (0), and drops it. */
static struct program *load_owner(void)
{
    struct strbuf wat;
    strbuf_init(&wat, ALLOC_TEST, SIZE_MAX);
    begin_guest(&wat, GENERATES);
    for (size_t i = 1; i < N_FIRSTS; i++) {
        (void)strbuf_append_format(
            &wat, "(i32.store (i32.const %zu) %s)\n", 1020 + 4 * i, firsts[i]);
    }
    (void)strbuf_append_format(
        &wat,
        "(drop (call $log (i32.const 0) (i32.const 1024) (i32.const %zu)))\n"
        "(drop (call $recv (i32.const 2048) (i32.const 100) (i32.const -1)))\n"
        "(if (i32.le_s (call $sequence_read (global.get $sequence) (i32.const 2048) "
        "(i32.const 8)) (i32.const 0)) (then (return (i32.const 1))))\n"
        "(call $drop (global.get $sequence))))",
        4 * (N_FIRSTS - 1));
    struct program *program = load_text(wat.text);
    strbuf_deinit(&wat);
    return program;
}

/* Tries every call that takes a handle with each of the numbers in its request; returns how many
 * results were anything but BAD_HANDLE.  It owns nothing. */
static struct program *load_forger(void)
{
    struct strbuf wat;
    char *header = read_header();
    uint32_t n = 0;
    strbuf_init(&wat, ALLOC_TEST, SIZE_MAX);
    (void)strbuf_append_text(&wat, "(module\n");
    for (uint32_t i = 0; linker_row(i) != NULL; i++) {
        append_import(&wat, linker_row(i));
    }
    (void)strbuf_append_text(&wat,
                             "(memory (export \"memory\") 1)\n"
                             "(func (export \"realm_run\") (result i32)\n"
                             "(local $i i32) (local $end i32) (local $taken i32)\n"
                             "(local.set $end (call $request_read (i32.const 0) (i32.const 1024) "
                             "(i32.const 1024)))\n(loop $next\n"
                             "(i32.store (i32.const 512) (i32.load offset=1024 (local.get $i)))\n");
    for (uint32_t i = 0; linker_row(i) != NULL; i++) {
        const struct abi_row *row = linker_row(i);
        if (takes_handle(header, row) || strcmp(row->name, "stream_wait") == 0) {
            (void)strbuf_append_text(&wat,
                                     "(local.set $taken (i32.add (local.get $taken) (i32.ne "
                                     "(i32.const -3) ");
            append_call(&wat, row, "(i32.load (i32.const 512))", 1, 0);
            (void)strbuf_append_text(&wat, ")))\n");
            n++;
        }
    }
    (void)strbuf_append_text(&wat,
                             "(local.set $i (i32.add (local.get $i) (i32.const 4)))\n"
                             "(br_if $next (i32.lt_u (local.get $i) (local.get $end))))\n"
                             "(local.get $taken)))");
    alloc_free(header);
    assert_true(n > 15);
    struct program *program = load_text(wat.text);
    strbuf_deinit(&wat);
    return program;
}

/* The handles of an owner that waits, as it told them. */
static void read_handles(struct instance *owner, int32_t handles[N_FIRSTS - 1])
{
    struct guest_event event = {.kind = GUEST_EVENT_TEXT};
    while (event.kind != GUEST_EVENT_LOG) {
        if (!instance_next(owner, &event)) {
            assert_true(instance_wait(owner, HARNESS_WAIT_MS));
        }
    }
    assert_int_equal(event.bytes.length, (N_FIRSTS - 1) * sizeof(int32_t));
    memcpy(handles, event.bytes.data, event.bytes.length);
    for (size_t i = 0; i < N_FIRSTS - 1; i++) {
        assert_true(handles[i] > 0);
    }
}

static void run_beside(struct sandbox_tenant *tenant, struct program *program, struct bytes request)
{
    struct instance_options options = options_of(program, "");
    options.tenant = tenant;
    options.request = request;
    read_outcome(start(&options), &outcome);
}

/* Live ones while their owner waits, stale ones when it has gone; forged by a guest that owns
 * nothing, and dropped by one whose own objects have the same numbers. */
static void no_handle_reaches_an_object_of_another_tenant(void **state)
{
    (void)state;
    int32_t handles[N_FIRSTS - 1];
    const struct bytes numbers = {.data = (const uint8_t *)handles, .length = sizeof handles};
    struct sandbox_tenant *other;
    struct realm_error error;
    world_open();
    assert_int_equal(sandbox_tenant_acquire(world.sandbox, "other", NULL, &other, &error),
                     REALM_OK);
    struct program *forger = load_forger();
    struct program *dropper = load_caller(drop_row());
    struct program *owner_program = load_owner();
    struct instance_options options = options_of(owner_program, "{}");
    options.takes_input = true;
    struct instance *owner = start(&options);
    read_handles(owner, handles);
    run_beside(other, forger, numbers);
    assert_string_equal(outcome.message, "");
    run_beside(other, dropper, numbers);
    assert_int_equal(outcome.status, REALM_GUEST_TRAPPED);
    assert_int_equal(instance_deliver(owner, numbers, &error), REALM_OK);
    read_outcome(owner, &outcome);
    assert_string_equal(outcome.message, "");
    assert_int_equal(outcome.exit_code, 0);
    run_beside(other, forger, numbers);
    assert_string_equal(outcome.message, "");
    program_release(owner_program);
    program_release(dropper);
    program_release(forger);
    sandbox_tenant_release(other);
    world_close();
}

int main(int argc, char **argv)
{
    if (harness_is_compiler(argc, argv)) {
        return sandbox_compiler_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_that_dies_at_any_call_of_the_table_leaves_nothing),
        cmocka_unit_test(a_guest_cancelled_in_a_call_that_waits_leaves_nothing),
        cmocka_unit_test(hungry_guests_run_on_slow_threads),
        cmocka_unit_test(no_handle_reaches_an_object_of_another_tenant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
