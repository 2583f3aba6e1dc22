/* Can a tenant tell from the time to its first token what another one asked?  A victim runs a
 * prompt; then a prober times a prompt that is either the same or another one, as a coin says.  The
 * area under the curve of the best threshold classifier (AUC) is 0.5 where time tells nothing, 1
 * where it tells all.  As a control the victim probes itself: there the prefix cache must show.
 *
 *   bench_engine_timing [--probes 2000]
 *
 * Fails where another tenant's AUC is outside 0.45 to 0.55, which needs 1,000 probes or more and a
 * machine with nothing else to do; fewer probes are not judged.
 */
#include "check.h"

#define N_PROMPT       160u
#define MIN_JUDGED     1000u
#define MAX_PROBES     100000u
#define LOWEST_CHANCE  0.45
#define HIGHEST_CHANCE 0.55

struct probe {
    uint64_t ns;
    bool same;
};

struct stage {
    struct engine *engine;
    struct engine_model *model;
    struct test_random random;
};

static void make_prompt(struct stage *stage, token_id out[N_PROMPT])
{
    for (uint32_t i = 0; i < N_PROMPT; i++) {
        out[i] = (token_id)test_random_below(&stage->random, 256);
    }
}

/* Time to the first token; *n_cached: of the prompt. */
static uint64_t ask(const struct stage *stage,
                    struct account *account,
                    const token_id prompt[N_PROMPT],
                    uint32_t *n_cached)
{
    struct generation *generation;
    struct event event;
    uint64_t first_ns = 0;
    const struct request request = {.model = stage->model,
                                    .account = account,
                                    .prompt = prompt,
                                    .n_prompt = N_PROMPT,
                                    .max_tokens = 2,
                                    .ignore_end = true};
    const uint64_t begin_ns = clock_monotonic_ns();
    CHECK(engine_submit(stage->engine, &request, &generation, NULL) == REALM_OK, "submit");
    while ((event = next_event(generation)).kind != EVENT_DONE) {
        if (event.kind == EVENT_TOKEN && first_ns == 0) {
            first_ns = clock_monotonic_ns();
        }
    }
    *n_cached = event.n_cached_tokens;
    generation_release(generation);
    return first_ns - begin_ns;
}

static int by_time(const void *a, const void *b)
{
    const uint64_t x = ((const struct probe *)a)->ns;
    const uint64_t y = ((const struct probe *)b)->ns;
    return (x > y) - (x < y);
}

/* How often a random probe of the same prompt is faster than one of another; ties count half. */
static double area_under_curve(struct probe *probes, uint32_t n)
{
    uint64_t n_same = 0;
    uint64_t n_other = 0;
    double wins = 0;
    qsort(probes, n, sizeof *probes, by_time);
    for (uint32_t i = 0; i < n;) {
        uint64_t same = 0;
        uint64_t other = 0;
        const uint64_t ns = probes[i].ns;
        for (; i < n && probes[i].ns == ns; i++) {
            same += probes[i].same;
            other += !probes[i].same;
        }
        wins += (double)other * ((double)n_same + (double)same / 2);
        n_same += same;
        n_other += other;
    }
    CHECK(n_same > 0 && n_other > 0, "a coin that fell %u times on one side", n);
    return wins / ((double)n_same * (double)n_other);
}

static double
probe(struct stage *stage, struct account *victim, struct account *prober, uint32_t n_probes)
{
    static struct probe probes[MAX_PROBES];
    for (uint32_t i = 0; i < n_probes; i++) {
        token_id prompt[N_PROMPT];
        token_id other[N_PROMPT];
        uint32_t n_cached;
        make_prompt(stage, prompt);
        make_prompt(stage, other);
        probes[i].same = test_random_below(&stage->random, 2) == 1;
        (void)ask(stage, victim, prompt, &n_cached);
        probes[i].ns = ask(stage, prober, probes[i].same ? prompt : other, &n_cached);
        CHECK((n_cached > 0) == (probes[i].same && prober == victim), "%u were found", n_cached);
    }
    return area_under_curve(probes, n_probes);
}

int main(int argc, char **argv)
{
    const uint32_t n_probes = argument(argc, argv, "--probes", 2000);
    CHECK(n_probes > 0 && n_probes <= MAX_PROBES, "1 to %u probes", MAX_PROBES);
    struct stage stage;
    const struct engine_options options = {.n_threads = 1};
    stage.engine = open_engine(
        &options, (struct engine_model_options){.context_length = 256}, 0, &stage.model);
    test_random_init(&stage.random, "timing");
    struct account *const victim = make_account(1, &(struct account_options){.label = "victim"});
    struct account *const prober = make_account(2, &(struct account_options){.label = "prober"});
    (void)probe(&stage, victim, prober, n_probes < 50 ? n_probes : 50); /* warm */
    const double of_other = probe(&stage, victim, prober, n_probes);
    const double of_itself = probe(&stage, victim, victim, n_probes);
    (void)printf("AUC of another tenant %.3f, of itself %.3f\n", of_other, of_itself);
    (void)fflush(stdout);
    engine_destroy(stage.engine);
    account_release(victim);
    account_release(prober);
    if (n_probes < MIN_JUDGED) {
        return 0;
    }
    CHECK(of_itself > 0.9, "the probe cannot even tell its own prompts: too much noise");
    CHECK(of_other >= LOWEST_CHANCE && of_other <= HIGHEST_CHANCE, "time tells");
    return 0;
}
