/* Everything at once, for as long as is asked: several client threads with many requests of
 * several tenants each, on a pool far too small, that read, lag, cancel, go away, miss deadlines,
 * fork and draw; tenants come, are configured and go.  Every token must be the one the request gets
 * alone; at the end no page, byte or descriptor may be held.
 *
 *   bench_engine_soak [--seconds 600] [--threads 3] [--pages 40]
 */
#include "check.h"

#include "base/alloc.h"
#include "base/thread.h"

#include <dirent.h>

#define N_PROMPTS   12u
#define N_STYLES    4u
#define MAX_TOKENS  48u
#define MAX_CHOICES 3u
#define MAX_PROMPT  90u
#define N_OPEN      8u /* requests a client has at a time */
#define MAX_THREADS 16u
#define N_TENANTS   3u

struct answer {
    token_id tokens[MAX_CHOICES][MAX_TOKENS];
    uint32_t n_tokens[MAX_CHOICES];
};

static token_id prompts[N_PROMPTS][MAX_PROMPT];
static uint32_t prompt_lengths[N_PROMPTS];
static struct answer alone[N_PROMPTS][N_STYLES];

static struct request request_of(struct engine_model *model, uint32_t prompt, uint32_t style)
{
    struct request request = {.model = model,
                              .prompt = prompts[prompt],
                              .n_prompt = prompt_lengths[prompt],
                              .max_tokens = 8 + prompt * 3 % (MAX_TOKENS - 8),
                              .ignore_end = true};
    request.sampling.seed = prompt;
    request.sampling.temperature = style == 0 ? 0.0F : 0.9F;
    request.sampling.top_k = style == 1 ? 20 : 0;
    request.sampling.repetition_penalty = style == 2 ? 1.3F : 1.0F;
    request.sampling.logprobs = style == 1;
    request.n_choices = style == 3 ? MAX_CHOICES : 1;
    return request;
}

static void make_prompts(void)
{
    for (uint32_t p = 0; p < N_PROMPTS; p++) {
        prompt_lengths[p] = 1 + p * 37 % MAX_PROMPT;
        for (uint32_t i = 0; i < prompt_lengths[p]; i++) {
            /* Threes of prompts begin alike. */
            prompts[p][i] = (p / 3 * 41 + i * 17 + (i >= 40 ? p : 0)) % 256;
        }
    }
}

static void learn_alone(void)
{
    struct engine_model *model;
    const struct engine_options options = {.n_threads = 1, .no_prefix_cache = true};
    struct engine *const engine =
        open_engine(&options, (struct engine_model_options){.context_length = 192}, 0, &model);
    for (uint32_t i = 0; i < N_PROMPTS * N_STYLES; i++) {
        struct answer *const answer = &alone[i / N_STYLES][i % N_STYLES];
        const struct request request = request_of(model, i / N_STYLES, i % N_STYLES);
        struct generation *generation;
        struct event event;
        CHECK(engine_submit(engine, &request, &generation, NULL) == REALM_OK, "submit");
        while ((event = next_event(generation)).kind != EVENT_DONE) {
            if (event.kind == EVENT_TOKEN) {
                answer->tokens[event.choice][answer->n_tokens[event.choice]++] = event.token;
            }
        }
        CHECK(event.status == REALM_OK, "status %d", (int)event.status);
        generation_release(generation);
    }
    engine_destroy(engine);
}

/* --- clients ------------------------------------------------------------------------------------
 */

struct open_request {
    struct generation *generation; /* NULL: the place is free */
    const struct answer *expected;
    uint32_t n_seen[MAX_CHOICES];
    bool may_end_early; /* cancelled, or with a deadline that may pass */
};

struct client {
    struct thread thread;
    struct engine *engine;
    struct engine_model *model;
    struct test_random random;
    uint64_t end_ns;
    uint32_t number;
    struct account *tenants[N_TENANTS];
    struct open_request open[N_OPEN];
    uint64_t n_done;
    uint64_t n_cut; /* cancelled, left, or past their deadline */
    uint64_t n_refused;
};

static bool chance(struct client *client, uint32_t one_in)
{
    return test_random_below(&client->random, one_in) == 0;
}

static void ask(struct client *client, struct open_request *open)
{
    const uint32_t prompt = (uint32_t)test_random_below(&client->random, N_PROMPTS);
    const uint32_t style = (uint32_t)test_random_below(&client->random, N_STYLES);
    struct request request = request_of(client->model, prompt, style);
    struct realm_error error;
    request.account = client->tenants[test_random_below(&client->random, N_TENANTS)];
    request.publish = chance(client, 20);
    *open = (struct open_request){.expected = &alone[prompt][style]};
    if (chance(client, 10)) {
        request.deadline_ns =
            clock_monotonic_ns() + 1 + test_random_below(&client->random, 20000000);
        open->may_end_early = true;
    }
    const realm_status status = engine_submit(client->engine, &request, &open->generation, &error);
    if (status != REALM_OK) {
        CHECK(status == REALM_RESOURCE_EXHAUSTED, "%s", error.message);
        client->n_refused++;
    }
}

static void end(struct client *client, struct open_request *open, const struct event *done)
{
    if (done->status == REALM_OK) {
        for (uint32_t c = 0; c < MAX_CHOICES; c++) {
            CHECK(open->n_seen[c] == open->expected->n_tokens[c], "%u tokens", open->n_seen[c]);
        }
        client->n_done++;
    } else {
        CHECK(open->may_end_early, "status %d", (int)done->status);
        CHECK(done->status == REALM_CANCELLED || done->status == REALM_DEADLINE_EXCEEDED,
              "status %d",
              (int)done->status);
        client->n_cut++;
    }
    generation_release(open->generation);
    open->generation = NULL;
}

/* Reads what is there, up to n events. */
static void read_some(struct client *client, struct open_request *open, uint64_t n)
{
    struct event event;
    for (uint64_t i = 0; i < n && generation_next(open->generation, &event); i++) {
        if (event.kind == EVENT_DONE) {
            end(client, open, &event);
            return;
        }
        if (event.kind == EVENT_TOKEN) {
            uint32_t *const seen = &open->n_seen[event.choice];
            CHECK(*seen < open->expected->n_tokens[event.choice], "a token too many");
            CHECK(event.token == open->expected->tokens[event.choice][*seen], "at %u", *seen);
            (*seen)++;
        }
    }
}

static void change_tenant(struct client *client)
{
    const uint32_t i = (uint32_t)test_random_below(&client->random, N_TENANTS);
    const struct account_options options = {
        .label = "tenant",
        .weight = 1 + (uint32_t)test_random_below(&client->random, 4),
        .priority = chance(client, 4) ? 1 : 0,
        .max_running = chance(client, 3) ? 2 : 0,
        .max_waiting = chance(client, 3) ? 3 : 0,
    };
    if (client->tenants[i] != NULL && chance(client, 2)) {
        account_configure(client->tenants[i], &options);
        return;
    }
    account_release(client->tenants[i]); /* its requests go on */
    client->tenants[i] = make_account((uint8_t)(1 + i + client->number * N_TENANTS), &options);
}

static void act(struct client *client, struct open_request *open)
{
    if (open->generation == NULL) {
        ask(client, open);
    } else if (chance(client, 60)) {
        generation_cancel(open->generation);
        open->may_end_early = true;
    } else if (chance(client, 60)) {
        generation_release(open->generation);
        open->generation = NULL;
        client->n_cut++;
    } else {
        if (chance(client, 4)) {
            (void)generation_wait(open->generation, 5);
        }
        read_some(client, open, 1 + test_random_below(&client->random, 40));
    }
}

static void run(void *context)
{
    struct client *const client = context;
    for (uint32_t i = 0; i < N_TENANTS; i++) {
        change_tenant(client);
    }
    while (clock_monotonic_ns() < client->end_ns) {
        act(client, &client->open[test_random_below(&client->random, N_OPEN)]);
        if (chance(client, 500)) {
            change_tenant(client);
        }
    }
    for (uint32_t i = 0; i < N_OPEN; i++) {
        struct open_request *const open = &client->open[i];
        while (open->generation != NULL) {
            CHECK(generation_wait(open->generation, WAIT_MS), "stuck at the end");
            read_some(client, open, UINT64_MAX);
        }
    }
    for (uint32_t i = 0; i < N_TENANTS; i++) {
        account_release(client->tenants[i]);
    }
}

/* --- what is held -------------------------------------------------------------------------------
 */

static uint32_t n_descriptors(void)
{
    uint32_t n = 0;
    DIR *const folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL) {
        n++;
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return n;
}

static uint64_t held_bytes(void)
{
    uint64_t n_bytes = 0;
    for (int i = 0; i < ALLOC_N_PURPOSES; i++) {
        n_bytes += alloc_held_bytes((enum alloc_purpose)i);
    }
    return n_bytes;
}

static void wait_until_idle(struct engine *engine, struct engine_stats *stats)
{
    const uint64_t deadline_ns = clock_monotonic_ns() + WAIT_MS * UINT64_C(1000000);
    do {
        engine_stats(engine, stats);
    } while (stats->pages_used + stats->running + stats->waiting > 0 &&
             clock_monotonic_ns() < deadline_ns);
    CHECK(stats->pages_used == 0, "%u pages in use", stats->pages_used);
    CHECK(stats->running + stats->waiting == 0, "%u sequences", stats->running + stats->waiting);
}

static uint64_t page_bytes(void)
{
    struct engine_model *model;
    struct engine_stats stats;
    const struct engine_options options = {.n_threads = 1};
    struct engine *const engine =
        open_engine(&options, (struct engine_model_options){.context_length = 192}, 0, &model);
    engine_model_stats(model, &stats);
    const uint64_t bytes = engine_model_memory_bytes(model) / stats.pages_total + 1;
    engine_destroy(engine);
    return bytes;
}

static void soak(uint32_t seconds, uint32_t n_threads, uint32_t n_pages)
{
    static struct client clients[MAX_THREADS];
    struct engine_model *model;
    struct engine_stats stats;
    uint64_t n_done = 0;
    uint64_t n_cut = 0;
    uint64_t n_refused = 0;
    const struct engine_options options = {.n_threads = 2, .max_waiting = 20};
    struct engine *const engine = open_engine(
        &options,
        (struct engine_model_options){.context_length = 192, .max_rows = 64, .max_sequences = 12},
        n_pages * page_bytes(),
        &model);
    const uint64_t end_ns = clock_monotonic_ns() + seconds * UINT64_C(1000000000);
    for (uint32_t i = 0; i < n_threads; i++) {
        clients[i] =
            (struct client){.engine = engine, .model = model, .end_ns = end_ns, .number = i};
        test_random_init(&clients[i].random, "soak");
        clients[i].random.state += i;
        CHECK(thread_start(&clients[i].thread, "client", run, &clients[i], NULL) == REALM_OK,
              "thread");
    }
    for (uint32_t i = 0; i < n_threads; i++) {
        thread_join(&clients[i].thread);
        n_done += clients[i].n_done;
        n_cut += clients[i].n_cut;
        n_refused += clients[i].n_refused;
    }
    wait_until_idle(engine, &stats);
    (void)printf("%llu answers, %llu cut short, %llu refused; %llu tokens in %llu steps, %llu of "
                 "%llu prompt tokens found, %llu preemptions; nothing is held\n",
                 (unsigned long long)n_done,
                 (unsigned long long)n_cut,
                 (unsigned long long)n_refused,
                 (unsigned long long)stats.completion_tokens,
                 (unsigned long long)stats.steps,
                 (unsigned long long)stats.cached_tokens,
                 (unsigned long long)stats.prompt_tokens,
                 (unsigned long long)stats.preemptions);
    CHECK(n_done > 0 && n_cut > 0 && n_refused > 0, "a part of the load was missing");
    CHECK(stats.preemptions > 0 && stats.cached_tokens > 0, "the pool was too large");
    CHECK(stats.requests_failed < n_cut + 1, "requests failed that should not");
    engine_destroy(engine);
}

int main(int argc, char **argv)
{
    const uint32_t n_threads = argument(argc, argv, "--threads", 3);
    CHECK(n_threads > 0 && n_threads <= MAX_THREADS, "1 to %u threads", MAX_THREADS);
    make_prompts();
    const uint64_t held_before = held_bytes();
    learn_alone();
    const uint32_t descriptors_before = n_descriptors();
    soak(argument(argc, argv, "--seconds", 600), n_threads, argument(argc, argv, "--pages", 40));
    CHECK(held_bytes() == held_before, "%llu bytes", (unsigned long long)held_bytes());
    CHECK(n_descriptors() == descriptors_before, "%u descriptors", n_descriptors());
    return 0;
}
