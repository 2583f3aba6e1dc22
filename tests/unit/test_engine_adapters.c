/* Adapters in the engine: whose they are, how long they live, and what they change. */
#include "base/alloc.h"
#include "support/test_support.h"
#include "support/tiny_adapter.h"
#include "support/tiny_session.h"

#define PROMPT 70u /* four whole pages and six tokens */

struct fixture {
    struct tiny_engine tiny;
    token_id prompt[PROMPT];
    struct tiny_answer without;
    struct tiny_answer with;
};

static void load(const struct fixture *f, const struct account *account, const char *name)
{
    tiny_adapter_load(f->tiny.engine, f->tiny.model, account, name);
}

static struct engine_adapter *
find(const struct fixture *f, const struct account *account, const char *name)
{
    return engine_adapter_find(f->tiny.engine, f->tiny.model, account, name);
}

static struct request
request_of(const struct fixture *f, struct account *account, struct engine_adapter *adapter)
{
    return (struct request){.model = f->tiny.model,
                            .account = account,
                            .adapter = adapter,
                            .prompt = f->prompt,
                            .n_prompt = PROMPT,
                            .max_tokens = 30,
                            .ignore_end = true};
}

static void run(const struct fixture *f, struct engine_adapter *adapter, struct tiny_answer *out)
{
    const struct request request = request_of(f, NULL, adapter);
    tiny_run(&f->tiny, &request, out);
}

/* "style" of the engine's own account, and both answers. */
static int set_up(void **state)
{
    struct fixture *const f = alloc_zeroed(ALLOC_TEST, 1, sizeof *f);
    assert_non_null(f);
    tiny_engine_open(&f->tiny,
                     &(struct engine_options){.n_threads = 2, .max_adapter_bytes = 1 << 20},
                     &(struct engine_model_options){.context_length = 128});
    tiny_prompt(1, PROMPT, f->prompt);
    load(f, NULL, "style");
    struct engine_adapter *const adapter = find(f, NULL, "style");
    assert_non_null(adapter);
    run(f, NULL, &f->without);
    run(f, adapter, &f->with);
    engine_adapter_release(adapter);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *const f = *state;
    tiny_engine_close(&f->tiny);
    alloc_free(f);
    return 0;
}

static void an_adapter_changes_the_answer(void **state)
{
    const struct fixture *const f = *state;
    assert_int_equal(f->with.n_tokens, 30);
    assert_memory_not_equal(f->with.tokens, f->without.tokens, sizeof f->with.tokens);
}

static void pages_are_found_by_sequences_of_the_same_adapter_only(void **state)
{
    struct fixture *const f = *state;
    struct tiny_answer answer;
    load(f, NULL, "other");
    struct engine_adapter *const style = find(f, NULL, "style");
    struct engine_adapter *const other = find(f, NULL, "other");
    assert_int_equal(f->without.n_cached, 0);
    assert_int_equal(f->with.n_cached, 0);
    run(f, style, &answer);
    assert_int_equal(answer.n_cached, 64);
    assert_same_answer(&answer, &f->with);
    run(f, NULL, &answer);
    assert_int_equal(answer.n_cached, 64);
    assert_same_answer(&answer, &f->without);
    run(f, other, &answer); /* the same numbers under another name */
    assert_int_equal(answer.n_cached, 0);
    assert_same_answer(&answer, &f->with);
    engine_adapter_release(style);
    engine_adapter_release(other);
}

/* All at once, in the same steps. */
static void requests_with_and_without_run_side_by_side(void **state)
{
    struct fixture *const f = *state;
    struct generation *generations[6];
    struct engine_adapter *const style = find(f, NULL, "style");
    for (uint32_t i = 0; i < 6; i++) {
        const struct request request = request_of(f, NULL, i % 2 == 0 ? style : NULL);
        generations[i] = tiny_submit(&f->tiny, &request);
    }
    engine_adapter_release(style);
    for (uint32_t i = 0; i < 6; i++) {
        struct tiny_answer answer;
        tiny_read(generations[i], &answer);
        assert_same_answer(&answer, i % 2 == 0 ? &f->with : &f->without);
    }
}

static void another_accounts_adapter_is_neither_found_nor_taken(void **state)
{
    struct fixture *const f = *state;
    struct generation *generation;
    struct realm_error error;
    const struct account_options like = {.label = "tenant"};
    struct account *const a = tiny_account(1, &like);
    struct account *const same = tiny_account(1, &like);
    struct account *const b = tiny_account(2, &like);
    load(f, a, "mine");
    struct engine_adapter *const mine = find(f, a, "mine");
    struct engine_adapter *const again = find(f, same, "mine");
    assert_non_null(mine);
    assert_ptr_equal(mine, again);
    assert_null(find(f, b, "mine"));
    assert_null(find(f, NULL, "mine"));
    assert_null(find(f, a, "style"));
    const struct request request = request_of(f, b, mine);
    assert_int_equal(engine_submit(f->tiny.engine, &request, &generation, &error),
                     REALM_INVALID_ARGUMENT);
    struct session *session;
    const struct session_options options = {.model = f->tiny.model, .account = b, .adapter = mine};
    assert_int_equal(session_create(f->tiny.engine, &options, &session, &error),
                     REALM_INVALID_ARGUMENT);
    assert_int_equal(engine_adapter_remove(f->tiny.engine, f->tiny.model, b, "mine", &error),
                     REALM_NOT_FOUND);
    engine_adapter_release(mine);
    engine_adapter_release(again);
    account_release(a);
    account_release(same);
    account_release(b);
}

static void an_adapter_of_another_model_is_refused(void **state)
{
    struct fixture *const f = *state;
    struct generation *generation;
    struct realm_error error;
    struct engine_model *const other =
        tiny_load(&f->tiny, "llama_untied", &(struct engine_model_options){.context_length = 128});
    assert_null(engine_adapter_find(f->tiny.engine, other, NULL, "style"));
    struct engine_adapter *const style = find(f, NULL, "style");
    struct request request = request_of(f, NULL, style);
    request.model = other;
    assert_int_equal(engine_submit(f->tiny.engine, &request, &generation, &error),
                     REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "another model"));
    engine_adapter_release(style);
}

static void what_runs_ends_with_the_weights_it_began_with(void **state)
{
    struct fixture *const f = *state;
    struct realm_error error;
    uint32_t n_adapters;
    struct engine_adapter *const style = find(f, NULL, "style");
    const struct request request = request_of(f, NULL, style);
    struct generation *const generation = tiny_submit(&f->tiny, &request);
    engine_adapter_release(style);
    const uint64_t n_bytes = engine_adapters_bytes(f->tiny.engine, &n_adapters);
    assert_int_equal(n_adapters, 1);
    assert_int_equal(engine_adapter_remove(f->tiny.engine, f->tiny.model, NULL, "style", &error),
                     REALM_OK);
    assert_null(find(f, NULL, "style"));
    assert_int_equal(engine_adapters_bytes(f->tiny.engine, &n_adapters), n_bytes);
    struct tiny_answer answer;
    tiny_read(generation, &answer);
    assert_same_answer(&answer, &f->with);
}

static bool none_is_loaded(void *context)
{
    uint32_t n_adapters;
    return engine_adapters_bytes(context, &n_adapters) == 0 && n_adapters == 0;
}

static void memory_goes_with_the_last_user(void **state)
{
    struct fixture *const f = *state;
    struct realm_error error;
    struct tiny_answer answer;
    struct engine_adapter *const style = find(f, NULL, "style");
    const uint64_t held = alloc_held_bytes(ALLOC_WEIGHTS);
    assert_int_equal(engine_adapter_remove(f->tiny.engine, f->tiny.model, NULL, "style", &error),
                     REALM_OK);
    assert_int_equal(alloc_held_bytes(ALLOC_WEIGHTS), held);
    run(f, style, &answer);
    assert_same_answer(&answer, &f->with);
    engine_adapter_release(style);
    assert_true(test_poll(none_is_loaded, f->tiny.engine, TINY_WAIT_MS));
    assert_true(alloc_held_bytes(ALLOC_WEIGHTS) < held);
}

static void a_name_can_be_given_to_another_one(void **state)
{
    struct fixture *const f = *state;
    struct tiny_answer answer;
    uint32_t n_adapters;
    struct engine_adapter *const first = find(f, NULL, "style");
    load(f, NULL, "style");
    struct engine_adapter *const second = find(f, NULL, "style");
    assert_ptr_not_equal(first, second);
    run(f, second, &answer); /* pages of the older one are not its */
    assert_int_equal(answer.n_cached, 0);
    assert_same_answer(&answer, &f->with);
    engine_adapter_release(first);
    (void)engine_adapters_bytes(f->tiny.engine, &n_adapters);
    assert_int_equal(n_adapters, 1);
    engine_adapter_release(second);
}

static void more_than_the_bound_is_refused(void **state)
{
    struct fixture *const f = *state;
    struct file_map map;
    struct realm_error error;
    uint32_t n_adapters;
    realm_status status = REALM_OK;
    tiny_adapter_map(&map);
    const uint64_t each = engine_adapters_bytes(f->tiny.engine, &n_adapters);
    for (uint32_t i = 0; status == REALM_OK && i < 1000; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "a%u", i);
        status = engine_adapter_load(f->tiny.engine, f->tiny.model, NULL, name, map.bytes, &error);
    }
    assert_int_equal(status, REALM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "may take 1048576"));
    assert_true(engine_adapters_bytes(f->tiny.engine, &n_adapters) <= 1 << 20);
    assert_int_equal(n_adapters, (1 << 20) / each);
    /* One in place of another needs no more. */
    assert_int_equal(
        engine_adapter_load(f->tiny.engine, f->tiny.model, NULL, "a0", map.bytes, &error),
        REALM_OK);
    file_map_close(&map);
}

/* Before memory is taken for it. */
static void one_that_can_never_fit_is_refused(void **state)
{
    (void)state;
    struct fixture f = {.prompt = {0}};
    struct file_map map;
    struct realm_error error;
    uint32_t n_adapters;
    tiny_engine_open(&f.tiny,
                     &(struct engine_options){.n_threads = 1, .max_adapter_bytes = 1000},
                     &(struct engine_model_options){.context_length = 64});
    const uint64_t held = alloc_held_bytes(ALLOC_WEIGHTS);
    tiny_adapter_map(&map);
    assert_int_equal(
        engine_adapter_load(f.tiny.engine, f.tiny.model, NULL, "style", map.bytes, &error),
        REALM_RESOURCE_EXHAUSTED);
    assert_int_equal(alloc_held_bytes(ALLOC_WEIGHTS), held);
    assert_int_equal(engine_adapters_bytes(f.tiny.engine, &n_adapters), 0);
    file_map_close(&map);
    tiny_engine_close(&f.tiny);
}

static void names_are_bounded(void **state)
{
    struct fixture *const f = *state;
    struct file_map map;
    struct realm_error error;
    char name[ENGINE_ADAPTER_NAME_BYTES + 1] = "";
    tiny_adapter_map(&map);
    assert_int_equal(
        engine_adapter_load(f->tiny.engine, f->tiny.model, NULL, name, map.bytes, &error),
        REALM_INVALID_ARGUMENT);
    memset(name, 'x', ENGINE_ADAPTER_NAME_BYTES);
    assert_int_equal(
        engine_adapter_load(f->tiny.engine, f->tiny.model, NULL, name, map.bytes, &error),
        REALM_INVALID_ARGUMENT);
    file_map_close(&map);
}

/* Generated, stepped, forked, saved and opened again: all as a request has it. */
static void a_sessions_sequences_have_its_adapter(void **state)
{
    struct fixture *const f = *state;
    struct tiny_session tiny;
    struct realm_error error;
    session_ticket ticket;
    session_sequence opened;
    const struct bytes name = {.data = (const uint8_t *)"kept", .length = 4};
    struct engine_adapter *const style = find(f, NULL, "style");
    const struct session_options options = {.adapter = style, .max_saved_pages = 16};
    tiny_session_open(&tiny, &f->tiny, &options);
    engine_adapter_release(style);
    const session_sequence sequence = tiny_sequence(&tiny);
    tiny_append(&tiny, sequence, f->prompt, PROMPT);
    const session_sequence fork = tiny_fork(&tiny, sequence);
    assert_ok(session_save(tiny.session, sequence, name, &ticket, &error), &error);
    tiny_await(&tiny, ticket);
    assert_told(tiny_await(&tiny, tiny_generate(&tiny, sequence, 30, NULL)), &f->with);
    assert_told(tiny_await(&tiny, tiny_generate(&tiny, fork, 30, NULL)), &f->with);
    assert_ok(session_open_saved(tiny.session, name, &opened, NULL, &error), &error);
    assert_told(tiny_await(&tiny, tiny_generate(&tiny, opened, 30, NULL)), &f->with);
    /* What was saved with it is not there for sessions without. */
    struct tiny_session plain;
    tiny_session_open(&plain, &f->tiny, &(struct session_options){.max_sequences = 1});
    assert_ok(session_open_saved(plain.session, name, &opened, &ticket, &error), &error);
    assert_int_equal(tiny_await(&plain, ticket)->end.status, REALM_NOT_FOUND);
    tiny_session_close(&plain);
    assert_ok(session_remove_saved(tiny.session, name, &ticket, &error), &error);
    tiny_await(&tiny, ticket);
    tiny_session_close(&tiny);
}

/* Whoever still holds one when the engine goes may give it back after. */
static void references_may_outlive_the_engine(void **state)
{
    (void)state;
    struct fixture f = {.prompt = {0}};
    tiny_engine_open(&f.tiny,
                     &(struct engine_options){.n_threads = 1},
                     &(struct engine_model_options){.context_length = 64});
    load(&f, NULL, "style");
    struct engine_adapter *const style = find(&f, NULL, "style");
    tiny_engine_close(&f.tiny);
    engine_adapter_release(style);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_adapter_changes_the_answer),
        TEST(pages_are_found_by_sequences_of_the_same_adapter_only),
        TEST(requests_with_and_without_run_side_by_side),
        TEST(another_accounts_adapter_is_neither_found_nor_taken),
        TEST(an_adapter_of_another_model_is_refused),
        TEST(what_runs_ends_with_the_weights_it_began_with),
        TEST(memory_goes_with_the_last_user),
        TEST(a_name_can_be_given_to_another_one),
        TEST(more_than_the_bound_is_refused),
        TEST(names_are_bounded),
        TEST(a_sessions_sequences_have_its_adapter),
        cmocka_unit_test(one_that_can_never_fit_is_refused),
        cmocka_unit_test(references_may_outlive_the_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
