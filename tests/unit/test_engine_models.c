/* Models beside each other: they step by turns of time, and what is broken in one sequence ends
 * that sequence alone. */
#include "gguf/gguf.h"
#include "support/test_support.h"
#include "support/tiny_engine.h"

#include <math.h>

#define N_FLOOD 24u

static struct request
request_of(struct engine_model *model, const token_id *prompt, uint32_t max_tokens)
{
    return (struct request){.model = model,
                            .prompt = prompt,
                            .n_prompt = 16,
                            .max_tokens = max_tokens,
                            .ignore_end = true};
}

/* Many long answers of one model do not hold up the few short ones of another, in either order. */
static void models_run_by_turns(void **state)
{
    (void)state;
    static const char *const names[2] = {"llama_tied", "llama_untied"};
    for (uint32_t first = 0; first < 2; first++) {
        struct tiny_engine tiny;
        struct generation *generations[N_FLOOD];
        token_id prompts[N_FLOOD][16];
        struct tiny_answer answer;
        struct engine_stats stats;
        const struct engine_options options = {.n_threads = 1};
        const struct engine_model_options model_options = {.context_length = 256,
                                                           .max_sequences = 4};
        assert_int_equal(engine_create(&options, &tiny.engine, NULL), REALM_OK);
        struct engine_model *const flooded = tiny_load(&tiny, names[first], &model_options);
        struct engine_model *const quiet = tiny_load(&tiny, names[1 - first], &model_options);
        for (uint32_t i = 0; i < N_FLOOD; i++) {
            tiny_prompt(i, 16, prompts[i]);
            const struct request request = request_of(flooded, prompts[i], 200);
            generations[i] = tiny_submit(&tiny, &request);
        }
        for (uint32_t i = 0; i < 3; i++) {
            const struct request request = request_of(quiet, prompts[i], 10);
            tiny_run(&tiny, &request, &answer);
            assert_int_equal(answer.status, REALM_OK);
            assert_int_equal(answer.n_tokens, 10);
        }
        engine_model_stats(flooded, &stats);
        assert_true(stats.requests_finished < N_FLOOD / 2);
        engine_model_stats(quiet, &stats);
        assert_int_equal(stats.requests_finished, 3);
        for (uint32_t i = 0; i < N_FLOOD; i++) {
            tiny_read(generations[i], &answer);
            assert_int_equal(answer.status, REALM_OK);
        }
        tiny_engine_close(&tiny);
    }
}

#define BROKEN_TOKEN 9u

/* A copy of a golden model in which one token's embedding is NaN. */
static void write_broken_model(const char *path)
{
    char from[1024];
    struct gguf *gguf;
    struct realm_error error;
    (void)snprintf(from, sizeof from, "%s/golden/models/llama_untied.gguf", REALM_TEST_DATA);
    assert_int_equal(gguf_open(from, &gguf, &error), REALM_OK);
    const size_t n_bytes = gguf_file_bytes(gguf);
    const struct gguf_tensor *const embedding = gguf_find_tensor(gguf, "token_embd.weight");
    const size_t row_bytes = embedding->data.length / embedding->shape[1];
    static uint8_t file[1 << 20];
    FILE *const source = fopen(from, "rb");
    assert_true(source != NULL && n_bytes <= sizeof file);
    assert_int_equal(fread(file, 1, n_bytes, source), n_bytes);
    (void)fclose(source);
    uint8_t *row = NULL;
    for (size_t i = 0; i + embedding->data.length <= n_bytes && row == NULL; i++) {
        if (memcmp(file + i, embedding->data.data, embedding->data.length) == 0) {
            row = file + i + BROKEN_TOKEN * row_bytes;
        }
    }
    assert_non_null(row);
    for (size_t i = 0; i < row_bytes; i += sizeof(float)) {
        const float value = NAN;
        memcpy(row + i, &value, sizeof value);
    }
    test_write_file(path, file, n_bytes);
    gguf_close(gguf);
}

static void a_sequence_of_nan_ends_alone(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[TEST_PATH_BYTES];
    struct tiny_engine tiny;
    struct generation *generations[8];
    token_id prompts[8][16];
    static struct tiny_answer alone[8];
    struct tiny_answer answer;
    struct realm_error error;
    const struct engine_options options = {.n_threads = 2};
    const struct engine_model_options model_options = {.context_length = 128};
    const struct sampler_bias ban = {.token = BROKEN_TOKEN, .bias = -100};
    temp_folder_make(&folder);
    write_broken_model(temp_folder_path(&folder, "broken.gguf", path));
    assert_int_equal(engine_create(&options, &tiny.engine, &error), REALM_OK);
    if (engine_load_model(tiny.engine, "broken", path, &model_options, &tiny.model, &error) !=
        REALM_OK) {
        fail_msg("%s", error.message);
    }
    for (uint32_t i = 0; i < 8; i++) {
        tiny_prompt(i, 16, prompts[i]);
        for (uint32_t t = 0; t < 16; t++) {
            prompts[i][t] += prompts[i][t] == BROKEN_TOKEN;
        }
        struct request request = request_of(tiny.model, prompts[i], 40);
        request.sampling.biases = &ban;
        request.sampling.n_biases = 1;
        tiny_run(&tiny, &request, &alone[i]);
        assert_int_equal(alone[i].status, REALM_OK);
    }
    for (uint32_t round = 0; round < 2; round++) {
        prompts[3][7] = BROKEN_TOKEN;
        for (uint32_t i = 0; i < 8; i++) {
            struct request request = request_of(tiny.model, prompts[i], 40);
            request.sampling.biases = &ban;
            request.sampling.n_biases = 1;
            generations[i] = tiny_submit(&tiny, &request);
        }
        for (uint32_t i = 0; i < 8; i++) {
            tiny_read(generations[i], &answer);
            if (i != 3) {
                assert_int_equal(answer.status, REALM_OK);
                assert_same_answer(&answer, &alone[i]);
                continue;
            }
            assert_int_equal(answer.status, REALM_INTERNAL);
            assert_int_equal(answer.finish, REALM_FINISH_ERROR);
            assert_non_null(strstr(answer.message, "NaN"));
            assert_int_equal(answer.n_tokens, 0);
        }
    }
    struct engine_stats stats;
    engine_stats(tiny.engine, &stats);
    assert_int_equal(stats.requests_failed, 2);
    tiny_engine_close(&tiny);
    temp_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_run_by_turns),
        cmocka_unit_test(a_sequence_of_nan_ends_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
