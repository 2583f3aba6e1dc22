/* Tenants beside each other: whatever they do, each gets the tokens and log-probabilities it would
 * get alone, and the prefix cache tells nobody of another's prompts. */
#include "support/test_support.h"
#include "support/tiny_engine.h"

#define N_TENANTS  4u
#define N_PROMPTS  6u /* the same for all tenants, so that a leak would be a hit */
#define N_MIXES    200u
#define MAX_IN_MIX 12u
#define MAX_EVENTS 400u

/* All that a client sees of an answer, but its timing. */
struct seen {
    token_id tokens[MAX_EVENTS];
    uint32_t choices[MAX_EVENTS];
    float logprobs[MAX_EVENTS];
    uint32_t n;
    uint32_t n_cached;
    realm_status status;
};

struct scenario {
    uint32_t tenant;
    uint32_t prompt;
    uint32_t style; /* how it is sampled */
};

static token_id prompts[N_PROMPTS][60];
static const uint32_t prompt_lengths[N_PROMPTS] = {1, 15, 16, 33, 48, 60};
static struct account *tenants[N_TENANTS];

static struct request request_of(const struct tiny_engine *tiny, const struct scenario *scenario)
{
    struct request request = {.model = tiny->model,
                              .account = tenants[scenario->tenant],
                              .prompt = prompts[scenario->prompt],
                              .n_prompt = prompt_lengths[scenario->prompt],
                              .max_tokens = 24,
                              .ignore_end = true,
                              .sampling = {.logprobs = true, .n_top_logprobs = 2}};
    switch (scenario->style) {
    case 0: /* greedy */
        break;
    case 1:
        request.sampling.temperature = 0.9F;
        request.sampling.top_p = 0.95F;
        request.sampling.seed = 17;
        break;
    case 2:
        request.n_choices = 3;
        request.sampling.temperature = 1.2F;
        request.sampling.seed = 4;
        break;
    default:
        request.sampling.repetition_penalty = 1.3F;
        request.sampling.frequency_penalty = 0.5F;
        request.max_tokens = 7;
        break;
    }
    return request;
}

#define N_STYLES 4u

static void take(struct seen *seen, const struct event *event)
{
    if (event->kind == EVENT_TOKEN) {
        assert_true(seen->n < MAX_EVENTS);
        seen->tokens[seen->n] = event->token;
        seen->choices[seen->n] = event->choice;
        seen->logprobs[seen->n++] = event->logprob;
    } else if (event->kind == EVENT_DONE) {
        seen->n_cached = event->n_cached_tokens;
        seen->status = event->status;
    }
}

static void read_all(struct generation *generation, struct seen *seen)
{
    seen->n = 0;
    for (;;) {
        struct event event;
        if (!generation_next(generation, &event)) {
            assert_true(generation_wait(generation, TINY_WAIT_MS));
            continue;
        }
        take(seen, &event);
        if (event.kind == EVENT_DONE) {
            generation_release(generation);
            return;
        }
    }
}

/* One choice's tokens and log-probabilities, in order; choices may be interleaved otherwise. */
static void assert_same_choice(const struct seen *a, const struct seen *b, uint32_t choice)
{
    uint32_t i = 0;
    uint32_t j = 0;
    for (;;) {
        while (i < a->n && a->choices[i] != choice) {
            i++;
        }
        while (j < b->n && b->choices[j] != choice) {
            j++;
        }
        if (i == a->n || j == b->n) {
            assert_true(i == a->n && j == b->n);
            return;
        }
        assert_int_equal(a->tokens[i], b->tokens[j]);
        assert_memory_equal(&a->logprobs[i], &b->logprobs[j], sizeof(float));
        i++;
        j++;
    }
}

static void assert_same(const struct seen *a, const struct seen *b)
{
    assert_int_equal(a->n, b->n);
    for (uint32_t choice = 0; choice < 3; choice++) {
        assert_same_choice(a, b, choice);
    }
}

/* Alone, in an engine of its own, without a prefix cache: what every mix must give. */
static void learn_alone(struct seen alone[N_PROMPTS][N_STYLES])
{
    struct tiny_engine tiny;
    const struct engine_options options = {.n_threads = 2, .no_prefix_cache = true};
    const struct engine_model_options model_options = {.context_length = 128};
    tiny_engine_open(&tiny, &options, &model_options);
    for (uint32_t p = 0; p < N_PROMPTS; p++) {
        for (uint32_t style = 0; style < N_STYLES; style++) {
            const struct scenario scenario = {.prompt = p, .style = style};
            const struct request request = request_of(&tiny, &scenario);
            read_all(tiny_submit(&tiny, &request), &alone[p][style]);
            assert_int_equal(alone[p][style].status, REALM_OK);
        }
    }
    tiny_engine_close(&tiny);
}

static void make_tenants(void)
{
    for (uint32_t i = 0; i < N_TENANTS; i++) {
        const struct account_options like = {.label = "tenant", .weight = i + 1};
        tenants[i] = tiny_account((uint8_t)(i + 1), &like);
    }
    for (uint32_t p = 0; p < N_PROMPTS; p++) {
        tiny_prompt(p, prompt_lengths[p], prompts[p]);
    }
}

static void release_tenants(void)
{
    for (uint32_t i = 0; i < N_TENANTS; i++) {
        account_release(tenants[i]);
    }
}

/* Submits up to MAX_IN_MIX random requests, leaves some in the middle, and reads the others. */
static void run_mix(const struct tiny_engine *tiny,
                    struct test_random *random,
                    struct seen alone[N_PROMPTS][N_STYLES],
                    bool has_run[N_TENANTS][N_PROMPTS])
{
    static struct seen seen;
    struct generation *generations[MAX_IN_MIX];
    struct scenario scenarios[MAX_IN_MIX];
    bool could_hit[MAX_IN_MIX];
    const uint32_t n = 1 + (uint32_t)test_random_below(random, MAX_IN_MIX);
    for (uint32_t i = 0; i < n; i++) {
        struct scenario *const s = &scenarios[i];
        s->tenant = (uint32_t)test_random_below(random, N_TENANTS);
        s->prompt = (uint32_t)test_random_below(random, N_PROMPTS);
        s->style = (uint32_t)test_random_below(random, N_STYLES);
        const struct request request = request_of(tiny, s);
        generations[i] = tiny_submit(tiny, &request);
        could_hit[i] = has_run[s->tenant][s->prompt];
        has_run[s->tenant][s->prompt] = true;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (test_random_below(random, 5) == 0) {
            generation_release(generations[i]);
            continue;
        }
        read_all(generations[i], &seen);
        assert_int_equal(seen.status, REALM_OK);
        assert_same(&seen, &alone[scenarios[i].prompt][scenarios[i].style]);
        if (!could_hit[i]) {
            assert_int_equal(seen.n_cached, 0);
        }
    }
}

/* kv_pages: 0 for plenty; otherwise so few that sequences are preempted and pages given up. */
static void check_mixes(uint32_t kv_pages, uint32_t max_rows, const char *name)
{
    static struct seen alone[N_PROMPTS][N_STYLES];
    bool has_run[N_TENANTS][N_PROMPTS] = {{false}};
    struct tiny_engine tiny;
    struct test_random random;
    struct engine_stats stats;
    make_tenants();
    learn_alone(alone);
    const struct engine_options options = {.n_threads = 2};
    struct engine_model_options model_options = {.context_length = 128, .max_rows = max_rows};
    if (kv_pages > 0) {
        tiny_engine_open(&tiny, &options, &model_options);
        engine_stats(tiny.engine, &stats);
        model_options.kv_memory_bytes =
            (engine_model_memory_bytes(tiny.model) / stats.pages_total + 1) * kv_pages;
        tiny_engine_close(&tiny);
    }
    tiny_engine_open(&tiny, &options, &model_options);
    test_random_init(&random, name);
    for (uint32_t mix = 0; mix < N_MIXES; mix++) {
        run_mix(&tiny, &random, alone, has_run);
    }
    engine_stats(tiny.engine, &stats);
    assert_true(stats.cached_tokens > 0);
    assert_true(stats.requests_cancelled > 0);
    tiny_engine_close(&tiny);
    release_tenants();
}

static void two_hundred_mixes_give_what_each_gets_alone(void **state)
{
    (void)state;
    check_mixes(0, 0, "two_hundred_mixes_give_what_each_gets_alone");
}

static void also_where_pages_are_short_and_prompts_come_in_chunks(void **state)
{
    (void)state;
    check_mixes(18, 20, "also_where_pages_are_short_and_prompts_come_in_chunks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hundred_mixes_give_what_each_gets_alone),
        cmocka_unit_test(also_where_pages_are_short_and_prompts_come_in_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
