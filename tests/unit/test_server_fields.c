/* The tables of request fields, and bodies that become requests over a tiny model. */
#include "base/alloc.h"
#include "base/file.h"
#include "server/fields.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <stdio.h>
#include <string.h>

#define TINY_PATH REALM_TEST_DATA "/golden/models/llama_tied.gguf"

static struct engine *engine;
static struct problem problem;

static struct completion *parse(enum completion_kind kind, const char *body)
{
    struct completion *completion = NULL;
    problem = (struct problem){.http_status = 0};
    const realm_status status = completion_parse(kind,
                                                 &(struct completion_scope){.engine = engine},
                                                 body,
                                                 strlen(body),
                                                 &completion,
                                                 &problem);
    assert_int_equal(status == REALM_OK, completion != NULL);
    return completion;
}

static void no_field_stands_twice(void **state)
{
    (void)state;
    const struct field_row *const own[] = {field_rows_chat, field_rows_text};
    for (size_t t = 0; t < 2; t++) {
        for (const struct field_row *row = own[t]; row->name != NULL; row++) {
            assert_non_null(row->read);
            for (const struct field_row *other = own[t]; other->name != NULL; other++) {
                assert_true(other == row || strcmp(other->name, row->name) != 0);
            }
            for (const struct field_row *other = field_rows_common; other->name != NULL; other++) {
                assert_string_not_equal(other->name, row->name);
            }
        }
    }
}

static void every_field_may_be_null(void **state)
{
    (void)state;
    const struct field_row *const tables[] = {field_rows_common, field_rows_chat};
    for (size_t t = 0; t < 2; t++) {
        for (const struct field_row *row = tables[t]; row->name != NULL; row++) {
            char body[256];
            if (strcmp(row->name, "model") == 0 || strcmp(row->name, "messages") == 0) {
                continue;
            }
            (void)snprintf(body,
                           sizeof body,
                           "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":"
                           "\"a\"}],\"%s\":null}",
                           row->name);
            struct completion *const completion = parse(COMPLETION_CHAT, body);
            assert_non_null(completion);
            completion_destroy(completion);
        }
    }
}

static void defaults_are_the_api_s(void **state)
{
    (void)state;
    struct completion *completion = parse(COMPLETION_TEXT, "{\"model\":\"tiny\",\"prompt\":\"a\"}");
    assert_non_null(completion);
    assert_true(completion->request.sampling.temperature == 1);
    assert_true(completion->request.sampling.top_p == 1);
    assert_int_equal(completion->request.max_tokens, 16);
    assert_int_equal(completion->n_choices, 1);
    assert_int_equal(completion->n_prompts, 1);
    assert_false(completion->source.stream);
    completion_destroy(completion);
    completion = parse(
        COMPLETION_CHAT,
        "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"n\":null}");
    assert_int_equal(completion->request.max_tokens, 0);
    completion_destroy(completion);
}

static void values_reach_the_request(void **state)
{
    (void)state;
    struct completion *const completion =
        parse(COMPLETION_TEXT,
              "{\"model\":\"tiny\",\"prompt\":[[1,2,3],[4]],\"n\":2,\"temperature\":0.5,"
              "\"top_k\":7,\"seed\":-1,\"stop\":[\"x\",\"yz\"],\"stop_token_ids\":[9],"
              "\"logit_bias\":{\"5\":-1.5},\"max_tokens\":3,\"user\":\"me\",\"ignore_eos\":true}");
    assert_non_null(completion);
    const struct request *const request = &completion->request;
    assert_int_equal(completion->n_prompts, 2);
    assert_int_equal(completion->n_choices, 2);
    assert_int_equal(completion->prompts[0].tokens.length, 3);
    assert_int_equal(completion->prompts[1].tokens.ids[0], 4);
    assert_true(request->sampling.temperature == 0.5F);
    assert_int_equal(request->sampling.top_k, 7);
    assert_true(request->sampling.seed == UINT64_MAX);
    assert_int_equal(request->n_stops, 2);
    assert_int_equal(request->stops[1].length, 2);
    assert_int_equal(request->stop_tokens[0], 9);
    assert_int_equal(request->sampling.n_biases, 1);
    assert_int_equal(request->sampling.biases[0].token, 5);
    assert_true(request->sampling.biases[0].bias == -1.5F);
    assert_int_equal(request->max_tokens, 3);
    assert_true(request->ignore_end);
    assert_string_equal(completion->end_user, "me");
    completion_destroy(completion);
}

static void the_field_at_fault_is_named(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\"temperature\":3", "temperature"},
        {"\"n\":0", "n"},
        {"\"tools\":[]", "tools"},
        {"\"metadata\":{}", "metadata"},
        {"\"stop_token_ids\":[320]", "stop_token_ids"},
        {"\"logit_bias\":{\"320\":1}", "logit_bias"},
        {"\"temprature\":1", "temprature"},
        {"\"stream_options\":{\"include_usage\":true}", "stream_options"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[256];
        (void)snprintf(
            body,
            sizeof body,
            "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],%s}",
            rows[i][0]);
        assert_null(parse(COMPLETION_CHAT, body));
        assert_string_equal(problem.param, rows[i][1]);
        assert_int_equal(problem_http_status(&problem), 400);
    }
    assert_null(parse(COMPLETION_TEXT, "{\"model\":\"other\",\"prompt\":\"a\"}"));
    assert_int_equal(problem_http_status(&problem), 404);
}

/* The tiny model, whose template begins a message with the variable `extra` instead. */
static void load_templated(void)
{
    static const char old_start[] = "'<|im_start|>' +";
    static const char new_start[] = "extra          ~";
    struct temp_folder folder;
    char path[TEST_PATH_BYTES];
    char *bytes;
    size_t n_bytes;
    struct engine_model *model;
    struct realm_error error = {.status = REALM_OK};
    const struct engine_model_options options = {.context_length = 128};
    assert_int_equal(file_read(TINY_PATH, (size_t)64 << 20, &bytes, &n_bytes, &error), REALM_OK);
    size_t at = 0;
    while (at + sizeof old_start < n_bytes && memcmp(bytes + at, old_start, 16) != 0) {
        at++;
    }
    assert_true(at + sizeof old_start < n_bytes);
    memcpy(bytes + at, new_start, sizeof new_start - 1);
    temp_folder_make(&folder);
    test_write_file(temp_folder_path(&folder, "m.gguf", path), bytes, n_bytes);
    assert_int_equal(engine_load_model(engine, "templated", path, &options, &model, &error),
                     REALM_OK);
    temp_folder_remove(&folder);
    alloc_free(bytes);
}

static void template_arguments_reach_the_template(void **state)
{
    (void)state;
    load_templated();
    struct completion *const plain =
        parse(COMPLETION_CHAT,
              "{\"model\":\"templated\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}");
    struct completion *const extra =
        parse(COMPLETION_CHAT,
              "{\"model\":\"templated\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
              "\"chat_template_kwargs\":{\"extra\":\"aaa\"}}");
    assert_non_null(plain);
    assert_non_null(extra);
    assert_true(extra->prompts[0].tokens.length > plain->prompts[0].tokens.length);
    completion_destroy(plain);
    completion_destroy(extra);
}

/* With every allocation failing once: refused with OUT_OF_MEMORY, and nothing is lost.
 */
static void no_memory_leaks_at_any_failed_allocation(void **state)
{
    (void)state;
    static const struct {
        enum completion_kind kind;
        const char *body;
    } rows[] = {
        {COMPLETION_CHAT,
         "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
         "\"text\":\"a\"}],\"name\":\"n\"}],\"stop\":[\"a\"],\"logit_bias\":{\"1\":1},"
         "\"chat_template_kwargs\":{\"x\":1}}"},
        {COMPLETION_CHAT,
         "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":"
         "\"assistant\",\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":"
         "\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},{\"role\":\"tool\",\"content\":\"1\"},{"
         "\"role\":"
         "\"tool\",\"content\":\"2\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
         "\"f\"}},{\"type\":\"function\",\"function\":{\"name\":\"g\",\"parameters\":{}}}]}"},
        {COMPLETION_RESPONSE,
         "{\"model\":\"tiny\",\"instructions\":\"b\",\"input\":[{\"role\":\"user\",\"content\":"
         "\"a\"},{"
         "\"type\":\"function_call\",\"call_id\":\"1\",\"name\":\"f\",\"arguments\":\"{}\"},{"
         "\"type\":"
         "\"function_call_output\",\"call_id\":\"1\",\"output\":\"2\"}],\"tools\":[{\"type\":"
         "\"function\",\"name\":\"f\"}],\"metadata\":{\"a\":\"b\"},\"text\":{\"format\":{\"type\":"
         "\"json_schema\",\"name\":\"a\",\"schema\":{}}}}"},
        {COMPLETION_EMBEDDINGS, "{\"model\":\"tiny\",\"input\":[[1,2],[3]],\"dimensions\":4}"},
        {COMPLETION_TOKENIZE, "{\"model\":\"tiny\",\"content\":\"a\"}"},
        {COMPLETION_DETOKENIZE, "{\"model\":\"tiny\",\"tokens\":[1,2]}"},
        {COMPLETION_TEMPLATE,
         "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"},
        {COMPLETION_TEXT,
         "{\"model\":\"tiny\",\"prompt\":[\"a\",\"b\"],\"echo\":true,\"user\":\"u\"}"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (uint64_t n = 0;; n++) {
            struct completion *completion = NULL;
            const char *const body = rows[i].body;
            problem = (struct problem){.http_status = 0};
            alloc_fail_after(n);
            const realm_status status =
                completion_parse(rows[i].kind,
                                 &(struct completion_scope){.engine = engine},
                                 body,
                                 strlen(body),
                                 &completion,
                                 &problem);
            alloc_fail_after(UINT64_MAX);
            completion_destroy(completion);
            assert_int_equal(alloc_held_bytes(ALLOC_SERVER), 0);
            if (status == REALM_OK) {
                assert_true(n > 5);
                break;
            }
            if (status != REALM_OUT_OF_MEMORY) {
                fail_msg("allocation %u: %s", (unsigned)n, problem.error.message);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_field_stands_twice),
        cmocka_unit_test(every_field_may_be_null),
        cmocka_unit_test(defaults_are_the_api_s),
        cmocka_unit_test(values_reach_the_request),
        cmocka_unit_test(the_field_at_fault_is_named),
        cmocka_unit_test(template_arguments_reach_the_template),
        cmocka_unit_test(no_memory_leaks_at_any_failed_allocation),
    };
    struct realm_error error;
    struct engine_model *model;
    const struct engine_options options = {.n_threads = 1};
    const struct engine_model_options model_options = {.context_length = 128};
    json_use_our_allocator();
    if (engine_create(&options, &engine, &error) != REALM_OK ||
        engine_load_model(engine, "tiny", TINY_PATH, &model_options, &model, &error) != REALM_OK) {
        (void)fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    const int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    engine_destroy(engine);
    return n_failed;
}
