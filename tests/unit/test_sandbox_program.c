/* From bytes to a program: what is refused and how, what is kept compiled, what functions a module
 * declares. */
#include "guests/harness.h"

#include <dirent.h>
#include <stdlib.h>

static struct outcome outcome;

static void refused(const char *wat, realm_status status, const char *words)
{
    struct program *program = NULL;
    struct realm_error error = {.status = REALM_OK};
    assert_int_equal(try_load_text(wat, &program, &error), status);
    assert_null(program);
    if (strstr(error.message, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    }
}

#define MEMORY "(memory (export \"memory\") 1)"
#define RUN    "(func (export \"realm_run\") (result i32) (i32.const 0))"

static void modules_that_ask_for_too_much_are_refused(void **state)
{
    (void)state;
    world_open();
    refused("(module " RUN ")", REALM_INVALID_FORMAT, "exports no memory");
    refused("(module " MEMORY ")", REALM_INVALID_FORMAT, "neither realm_run");
    refused("(module (import \"env\" \"open\" (func)) " MEMORY RUN ")",
            REALM_INVALID_FORMAT,
            "unknown import");
    refused("(module (import \"realm_v1\" \"no_such_call\" (func)) " MEMORY RUN ")",
            REALM_INVALID_FORMAT,
            "unknown import");
    refused("(module (import \"realm_v1\" \"clock_ms\" (func (param i32))) " MEMORY RUN ")",
            REALM_INVALID_FORMAT,
            "incompatible import type");
    /* The width of pointers goes by the memory. */
    refused("(module (import \"realm_v1\" \"random\" (func (param i32 i32) (result i32)))"
            "(memory (export \"memory\") i64 1) " RUN ")",
            REALM_INVALID_FORMAT,
            "incompatible import type");
    refused(
        "(module (memory (export \"memory\") 1 2 shared) " RUN ")", REALM_INVALID_FORMAT, "thread");
    refused("(module (memory (export \"memory\") 1) (memory 1) " RUN ")",
            REALM_INVALID_FORMAT,
            "memor");
    refused("(module " MEMORY "(func (export \"realm_run\") (param i32) (result i32)"
            " (i32.const 0)))",
            REALM_INVALID_FORMAT,
            "neither realm_run");
    world_close();
}

static realm_status
load_bytes(const uint8_t *data, size_t n_bytes, struct program **out, struct realm_error *error)
{
    return program_load(world.sandbox,
                        world.tenant,
                        "bytes",
                        (struct bytes){.data = data, .length = n_bytes},
                        out,
                        error);
}

static void large_modules_and_slow_ones_name_their_limit(void **state)
{
    (void)state;
    struct program *program;
    struct realm_error error;
    world_open();
    const size_t n_bytes = (size_t)50 << 20;
    uint8_t *large = alloc_zeroed(ALLOC_TEST, n_bytes, 1);
    assert_int_equal(load_bytes(large, n_bytes, &program, &error), REALM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "limit module_bytes"));
    alloc_free(large);
    const struct sandbox_limits hasty = {.compile_ms = 1};
    set_limits(&hasty);
    refused("(module " MEMORY RUN ")", REALM_RESOURCE_EXHAUSTED, "limit compile_ms");
    world_close();
}

static void a_compiler_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct program *program;
    struct realm_error error;
    const struct sandbox_options options = {.compiler = "/no/such/compiler", .max_instances = 2};
    struct sandbox *sandbox;
    struct sandbox_tenant *tenant;
    assert_int_equal(sandbox_open(&options, &sandbox, &error), REALM_OK);
    assert_int_equal(sandbox_tenant_acquire(sandbox, "acme", NULL, &tenant, &error), REALM_OK);
    const uint8_t empty[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    const struct bytes module = {.data = empty, .length = sizeof empty};
    assert_int_equal(program_load(sandbox, tenant, "x", module, &program, &error),
                     REALM_UNAVAILABLE);
    assert_non_null(strstr(error.message, "/no/such/compiler"));
    sandbox_tenant_release(tenant);
    sandbox_close(sandbox);
}

#define MUTANTS_OF_EACH 100
#define MUTANT_NS       UINT64_C(2000000000)

/* Bytes changed, and sometimes the end cut off; the number of bytes there are now. */
static size_t mutate(struct test_random *random, uint8_t *module, size_t n_bytes)
{
    const uint64_t n_changes = 1 + test_random_below(random, 4);
    for (uint64_t c = 0; c < n_changes; c++) {
        module[test_random_below(random, n_bytes)] = (uint8_t)test_random_u64(random);
    }
    return test_random_below(random, 4) == 0 ? (size_t)test_random_below(random, n_bytes) : n_bytes;
}

/* To its end; one that sleeps for long, as a mutant may, is cancelled. */
static void run_mutant(struct program *program)
{
    const struct instance_options options = options_of(program, "hello");
    struct instance *const instance = start(&options);
    const uint64_t until_ns = clock_monotonic_ns() + MUTANT_NS;
    struct guest_event event = {.kind = GUEST_EVENT_TEXT};
    while (event.kind != GUEST_EVENT_FINISHED && clock_monotonic_ns() < until_ns) {
        if (!instance_next(instance, &event)) {
            (void)instance_wait(instance, 100);
        }
    }
    if (event.kind != GUEST_EVENT_FINISHED) {
        instance_cancel(instance);
        read_outcome(instance, &outcome);
        assert_int_equal(outcome.status, REALM_CANCELLED);
        return;
    }
    instance_release(instance);
}

/* Loads mutants of a guest and runs what is accepted; how many were. */
static uint32_t try_mutants(struct test_random *random, const char *path)
{
    char *text;
    size_t n_text;
    assert_int_equal(file_read(path, (size_t)1 << 20, &text, &n_text, NULL), REALM_OK);
    wasm_byte_vec_t binary = module_of(text, n_text);
    alloc_free(text);
    uint8_t *copy = alloc_bytes(ALLOC_TEST, binary.size);
    uint32_t n_loaded = 0;
    for (int i = 0; i < MUTANTS_OF_EACH; i++) {
        memcpy(copy, binary.data, binary.size);
        const size_t n_bytes = mutate(random, copy, binary.size);
        struct program *program = NULL;
        struct realm_error error;
        const realm_status status = load_bytes(copy, n_bytes, &program, &error);
        if (status == REALM_OK) {
            n_loaded++;
            run_mutant(program);
            program_release(program);
        } else if (status != REALM_INVALID_FORMAT) {
            assert_non_null(sandbox_limit_of(&error));
        }
    }
    alloc_free(copy);
    wasm_byte_vec_delete(&binary);
    return n_loaded;
}

/* Of all guests there are: refused or harmless, never more. */
static void malformed_modules_do_no_harm(void **state)
{
    (void)state;
    struct test_random random;
    test_random_init(&random, "malformed_modules_do_no_harm");
    world_open();
    const struct sandbox_limits limits = {.fuel = 1000000,
                                          .host_calls = 10000,
                                          .output_bytes = 10000,
                                          .memory_bytes = 16 << 20,
                                          .stored_bytes = 1 << 20};
    set_limits(&limits);
    uint32_t n_mutants = 0;
    uint32_t n_loaded = 0;
    char folder_path[TEST_PATH_BYTES];
    (void)snprintf(folder_path, sizeof folder_path, "%s/guests", REALM_TEST_DATA);
    DIR *folder = opendir(folder_path);
    if (folder == NULL) {
        fail_msg("no folder %s", folder_path);
    }
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        const char *end = strrchr(entry->d_name, '.');
        if (end != NULL && strcmp(end, ".wat") == 0) {
            char path[TEST_PATH_BYTES];
            (void)snprintf(path, sizeof path, "%.250s/%.250s", folder_path, entry->d_name);
            n_loaded += try_mutants(&random, path);
            n_mutants += MUTANTS_OF_EACH;
        }
    }
    (void)closedir(folder);
    assert_true(n_mutants > 2000);
    assert_true(n_loaded > 0 && n_loaded < n_mutants / 2);
    world_close();
}

/* The one file of compiled code in a folder. */
static void code_path(const struct temp_folder *folder, char out[TEST_PATH_BYTES])
{
    char code[TEST_PATH_BYTES];
    DIR *open_folder = opendir(temp_folder_path(folder, "code", code));
    if (open_folder == NULL) {
        fail_msg("no folder %s", code);
    }
    uint32_t n = 0;
    for (const struct dirent *entry = readdir(open_folder); entry != NULL;
         entry = readdir(open_folder)) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(out, TEST_PATH_BYTES, "%.250s/%.250s", code, entry->d_name);
            n++;
        }
    }
    (void)closedir(open_folder);
    assert_int_equal(n, 1);
}

static void load_and_run(const char *folder)
{
    world_open_sized(folder, 4, NULL);
    struct program *program = load_guest("chat");
    run_program(program, "hello", &outcome);
    assert_int_equal(outcome.status, REALM_OK);
    program_release(program);
    world_close();
}

static void compiled_code_is_kept_and_spoilt_code_is_not_run(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[TEST_PATH_BYTES];
    char *before;
    char *after;
    size_t n_before;
    size_t n_after;
    temp_folder_make(&folder);
    load_and_run(folder.path);
    code_path(&folder, path);
    assert_int_equal(file_read(path, (size_t)1 << 26, &before, &n_before, NULL), REALM_OK);
    /* Every part of the file is under the MAC: head, code, end. */
    const size_t places[] = {0, 8, 39, 40, n_before / 2, n_before - 1};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        before[places[i]] ^= 1;
        test_write_file(path, before, n_before);
        before[places[i]] ^= 1;
        load_and_run(folder.path);
        assert_int_equal(file_read(path, (size_t)1 << 26, &after, &n_after, NULL), REALM_OK);
        assert_int_equal(n_after, n_before); /* compiled anew */
        assert_memory_equal(after, before, n_before);
        alloc_free(after);
    }
    alloc_free(before);
    temp_folder_remove(&folder);
}

#define SECTION                                                                                    \
    "(@custom \"realm.functions\" \"[{\\22name\\22:\\22double\\22,\\22description\\22:"            \
    "\\22Twice\\22,\\22parameters\\22:{\\22type\\22:\\22object\\22}},{\\22name\\22:"               \
    "\\22realm_run\\22,\\22streaming\\22:true}]\")"

static void check_declared(struct program *program)
{
    assert_int_equal(program_n_functions(program), 2);
    const struct program_function *function = program_function_at(program, 0);
    assert_string_equal(function->name, "double");
    assert_string_equal(function->description, "Twice");
    assert_string_equal(function->parameters_json, "{\"type\":\"object\"}");
    assert_false(function->streaming);
    assert_true(program_function_at(program, 1)->streaming);
    struct instance_options options = options_of(program, "{}");
    options.function = "double";
    read_outcome(start(&options), &outcome);
    assert_int_equal(outcome.exit_code, 2);
    options.function = "treble";
    struct instance *instance;
    struct realm_error error;
    assert_int_equal(sandbox_start(world.sandbox, &options, &instance, &error), REALM_NOT_FOUND);
}

#define DOUBLE "(func (export \"double\") (result i32) (i32.const 2))"

static void functions_are_declared_by_a_section_or_by_code(void **state)
{
    (void)state;
    world_open();
    struct program *program = load_text("(module " MEMORY RUN DOUBLE SECTION ")");
    check_declared(program);
    program_release(program);
    program = load_text(
        "(module (import \"realm_v1\" \"emit\" (func $emit (param i32 i32 i32) (result "
        "i32)))" MEMORY RUN DOUBLE
        "(data (i32.const 0) \"[{\\22name\\22:\\22double\\22,\\22description"
        "\\22:\\22Twice\\22,\\22parameters\\22:{\\22type\\22:\\22object\\22}},{\\22name\\22:"
        "\\22realm_run\\22,\\22streaming\\22:true}]\")"
        "(func (export \"realm_describe\") (result i32)"
        " (call $emit (i32.const 2) (i32.const 0) (i32.const 110))))");
    check_declared(program);
    program_release(program);
    refused("(module " MEMORY RUN SECTION ")", REALM_INVALID_FORMAT, "\"double\" is not exported");
    refused("(module " MEMORY RUN "(@custom \"realm.functions\" \"{\"))",
            REALM_INVALID_FORMAT,
            "declaration of functions");
    world_close();
}

static void a_wasi_command_runs_in_an_empty_world(void **state)
{
    (void)state;
    world_open();
    struct program *program = load_guest("wasi");
    run_program(program, "{}", &outcome);
    assert_string_equal(outcome.message, "");
    assert_int_equal(outcome.exit_code, 0);
    assert_string_equal(outcome.log, "hello from wasi");
    program_release(program);
    world_close();
}

static void a_line_written_in_pieces_is_one_line_of_the_log(void **state)
{
    (void)state;
    world_open();
    struct program *program = load_guest("wasi_lines");
    run_program(program, "{}", &outcome);
    assert_string_equal(outcome.message, "");
    assert_string_equal(outcome.log, "one line");
    program_release(program);
    world_close();
}

int main(int argc, char **argv)
{
    if (harness_is_compiler(argc, argv)) {
        return sandbox_compiler_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_that_ask_for_too_much_are_refused),
        cmocka_unit_test(large_modules_and_slow_ones_name_their_limit),
        cmocka_unit_test(a_compiler_that_is_not_there_is_told),
        cmocka_unit_test(malformed_modules_do_no_harm),
        cmocka_unit_test(compiled_code_is_kept_and_spoilt_code_is_not_run),
        cmocka_unit_test(functions_are_declared_by_a_section_or_by_code),
        cmocka_unit_test(a_wasi_command_runs_in_an_empty_world),
        cmocka_unit_test(a_line_written_in_pieces_is_one_line_of_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
