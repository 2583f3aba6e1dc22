/* Who is picked for a step and with how many rows: the scheduler by itself, without a thread and
 * without time. */
#include "engine/generation.h"
#include "engine/scheduler.h"
#include "engine/step.h"
#include "support/tiny_engine.h"

#include <stdlib.h>

#define MS UINT64_C(1000000)

struct rig {
    struct backend *backend;
    struct engine_model *model;
    struct fairness fairness;
    _Atomic uint32_t n_pending;
};

static void rig_open(struct rig *rig, uint32_t max_sequences)
{
    char path[1024];
    struct realm_error error;
    const struct backend_options backend_options = {.n_threads = 1};
    const struct engine_model_options options = {.context_length = 512,
                                                 .max_sequences = max_sequences};
    memset(rig, 0, sizeof *rig);
    (void)snprintf(path, sizeof path, "%s/golden/models/llama_tied.gguf", REALM_TEST_DATA);
    assert_int_equal(backend_create(&backend_options, &rig->backend, &error), REALM_OK);
    if (engine_model_open(rig->backend, "tiny", path, &options, &rig->model, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    fairness_init(&rig->fairness, 0, 0);
    rig->model->fairness = &rig->fairness;
    rig->model->n_pending = &rig->n_pending;
    rig->model->itl_target_ns = 100 * MS;
    clock_freeze(1000 * MS);
}

static void rig_close(struct rig *rig)
{
    clock_freeze(UINT64_MAX);
    engine_model_close(rig->model);
    backend_destroy(rig->backend);
}

/* A request with a prompt of n tokens, waiting. */
static struct generation *arrive(struct rig *rig, struct account *account, uint32_t n)
{
    static uint32_t seed;
    token_id prompt[512];
    struct generation *generation;
    const struct prefix_chains chains = {.own = NULL};
    tiny_prompt(seed++, n, prompt);
    const struct request request = {.model = rig->model,
                                    .account = account,
                                    .prompt = prompt,
                                    .n_prompt = n,
                                    .ignore_end = true};
    assert_int_equal(generation_create(&request, 512, &chains, rig->model->pool, &generation, NULL),
                     REALM_OK);
    assert_true(account_try_enter(account));
    rig->n_pending++;
    fairness_arrive(&rig->fairness, account);
    sequence_list_append(&rig->model->waiting, generation->sequences[0]);
    return generation;
}

static void read_away(struct generation *generation)
{
    struct event event;
    while (generation_next(generation, &event)) {
    }
}

/* A machine that takes 1 ms a row. */
static void run_step(struct rig *rig)
{
    assert_true(step_run(rig->model));
    rig->model->pace = (struct pace){.n_rows = 1, .ns = 1.0 * MS};
}

static uint32_t rows_of(const struct generation *generation)
{
    return generation->sequences[0]->step_rows;
}

/* Ends all and releases those that are given. */
static void end(struct rig *rig, struct generation **generations, uint32_t n)
{
    step_end_all(rig->model);
    for (uint32_t i = 0; i < n; i++) {
        generation_release(generations[i]);
    }
}

static void alone_a_prompt_takes_all_rows(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 8);
    struct account *const a = tiny_account(1, &(struct account_options){.label = "a"});
    struct generation *generation = arrive(&rig, a, 300);
    run_step(&rig);
    assert_int_equal(rows_of(generation), 300);
    end(&rig, &generation, 1);
    account_release(a);
    rig_close(&rig);
}

/* The target has room for 100 rows.  Prompts of who decodes get what decoding leaves, cut to whole
 * pages; who does not decode yet goes first and has all of it. */
static void prompts_are_cut_to_the_target(void **state)
{
    (void)state;
    struct rig rig;
    struct generation *generations[4];
    rig_open(&rig, 8);
    struct account *const busy = tiny_account(1, &(struct account_options){.label = "busy"});
    struct account *const fresh = tiny_account(2, &(struct account_options){.label = "fresh"});
    generations[0] = arrive(&rig, busy, 20);
    run_step(&rig);
    generations[1] = arrive(&rig, busy, 400);
    run_step(&rig);
    assert_int_equal(rows_of(generations[0]), 1);
    assert_int_equal(rows_of(generations[1]), 96); /* of 99 */
    run_step(&rig);
    assert_int_equal(rows_of(generations[1]), 96);

    generations[2] = arrive(&rig, fresh, 70);
    generations[3] = arrive(&rig, fresh, 200);
    fresh->turn.served = 0;
    run_step(&rig);
    assert_int_equal(rows_of(generations[0]), 1);
    assert_int_equal(rows_of(generations[2]), 70);
    assert_int_equal(rows_of(generations[3]), 16); /* of 30 */
    assert_int_equal(rows_of(generations[1]), 0);  /* a newcomer's step is not filled up */
    /* It decodes: from now on it is cut like everybody. */
    run_step(&rig);
    assert_int_equal(rows_of(generations[2]), 1);
    assert_int_equal(rows_of(generations[3]), 96); /* of 98 */
    assert_int_equal(rows_of(generations[1]), 2);
    end(&rig, generations, 4);
    account_release(busy);
    account_release(fresh);
    rig_close(&rig);
}

/* Who comes back to a busy machine is lifted to those who stayed, and goes before them at once:
 * its first token does not wait for a step that tells the two apart. */
static void a_newcomer_enters_with_the_next_step(void **state)
{
    (void)state;
    enum { PLACES = 4, N_WAITING = 3 };
    struct rig rig;
    struct generation *generations[PLACES + N_WAITING + 1];
    rig_open(&rig, PLACES);
    struct account *const busy = tiny_account(1, &(struct account_options){.label = "busy"});
    struct account *const fresh = tiny_account(2, &(struct account_options){.label = "fresh"});
    for (uint32_t i = 0; i < PLACES + N_WAITING; i++) {
        generations[i] = arrive(&rig, busy, 20);
    }
    run_step(&rig);
    run_step(&rig);
    generations[PLACES + N_WAITING] = arrive(&rig, fresh, 30);
    assert_int_equal(fresh->turn.served, busy->turn.served);
    run_step(&rig);
    assert_int_equal(rows_of(generations[PLACES + N_WAITING]), 30);
    assert_int_equal(rig.model->running.length, PLACES);
    end(&rig, generations, PLACES + N_WAITING + 1);
    account_release(busy);
    account_release(fresh);
    rig_close(&rig);
}

/* Where the target has no room for a newcomer's prompt and everybody's next token, the prompt goes
 * first; who stood back does not do so again, whoever comes. */
static void decoding_stands_back_for_a_newcomer_once(void **state)
{
    (void)state;
    enum { N_DECODING = 6, N_PROMPT = 16, N_TARGET = 20 };
    struct rig rig;
    struct generation *generations[N_DECODING + 3];
    struct generation **const later = &generations[N_DECODING];
    rig_open(&rig, 16);
    rig.model->itl_target_ns = N_TARGET * MS;
    struct account *const busy = tiny_account(1, &(struct account_options){.label = "busy"});
    struct account *const fresh = tiny_account(2, &(struct account_options){.label = "fresh"});
    struct account *const next = tiny_account(3, &(struct account_options){.label = "next"});
    for (uint32_t i = 0; i < N_DECODING; i++) {
        generations[i] = arrive(&rig, busy, 20);
    }
    run_step(&rig);
    later[0] = arrive(&rig, fresh, N_PROMPT);
    later[1] = arrive(&rig, busy, 100);
    run_step(&rig);
    assert_int_equal(rows_of(later[0]), N_PROMPT);
    for (uint32_t i = 0; i < N_DECODING; i++) {
        assert_int_equal(rows_of(generations[i]), i < N_TARGET - N_PROMPT ? 1 : 0);
    }
    assert_int_equal(rows_of(later[1]), 0);
    later[2] = arrive(&rig, next, N_PROMPT);
    run_step(&rig);
    for (uint32_t i = 0; i < N_DECODING; i++) {
        assert_int_equal(rows_of(generations[i]), 1);
    }
    assert_int_equal(rows_of(later[0]), 1);
    assert_int_equal(rows_of(later[2]), N_PROMPT); /* beside them: a step longer than the target */
    end(&rig, generations, N_DECODING + 3);
    account_release(busy);
    account_release(fresh);
    account_release(next);
    rig_close(&rig);
}

/* A newcomer's long prompt has every other step to itself, and its part of the others. */
static void decoding_and_a_long_prompt_take_turns(void **state)
{
    (void)state;
    struct rig rig;
    struct generation *generations[2];
    rig_open(&rig, 8);
    struct account *const busy = tiny_account(1, &(struct account_options){.label = "busy"});
    struct account *const fresh = tiny_account(2, &(struct account_options){.label = "fresh"});
    rig.model->itl_target_ns = 32 * MS;
    generations[0] = arrive(&rig, busy, 20);
    run_step(&rig);
    generations[1] = arrive(&rig, fresh, 300);
    busy->turn.served += UINT64_C(1) << 40;
    for (uint32_t i = 0; i < 3; i++) {
        run_step(&rig);
        assert_int_equal(rows_of(generations[0]), 0);
        assert_int_equal(rows_of(generations[1]), 32);
        run_step(&rig);
        assert_int_equal(rows_of(generations[0]), 1);
        assert_int_equal(rows_of(generations[1]), 16); /* of 31: to a page's end */
    }
    end(&rig, generations, 2);
    account_release(busy);
    account_release(fresh);
    rig_close(&rig);
}

/* The newcomer goes before those who were served more, not before those who were served less. */
static void who_was_served_less_does_not_stand_back(void **state)
{
    (void)state;
    struct rig rig;
    struct generation *generations[3];
    rig_open(&rig, 8);
    struct account *const little = tiny_account(1, &(struct account_options){.label = "little"});
    struct account *const much = tiny_account(2, &(struct account_options){.label = "much"});
    struct account *const fresh = tiny_account(3, &(struct account_options){.label = "fresh"});
    generations[0] = arrive(&rig, little, 20);
    generations[1] = arrive(&rig, much, 20);
    run_step(&rig);
    rig.model->itl_target_ns = 17 * MS;
    generations[2] = arrive(&rig, fresh, 100);
    fresh->turn.served = much->turn.served;
    little->turn.served = much->turn.served / 2;
    run_step(&rig);
    assert_int_equal(rows_of(generations[0]), 1);
    assert_int_equal(rows_of(generations[1]), 0);
    assert_int_equal(rows_of(generations[2]), 16);
    end(&rig, generations, 3);
    account_release(little);
    account_release(much);
    account_release(fresh);
    rig_close(&rig);
}

static void higher_priorities_go_first(void **state)
{
    (void)state;
    struct rig rig;
    struct generation *generations[3];
    rig_open(&rig, 2);
    struct account *const low =
        tiny_account(1, &(struct account_options){.label = "low", .priority = -1});
    struct account *const high =
        tiny_account(2, &(struct account_options){.label = "high", .priority = 1});
    generations[0] = arrive(&rig, low, 30);
    generations[1] = arrive(&rig, high, 30);
    generations[2] = arrive(&rig, high, 30);
    run_step(&rig);
    assert_int_equal(rows_of(generations[0]), 0);
    assert_int_equal(rows_of(generations[1]), 30);
    assert_int_equal(rows_of(generations[2]), 30);
    end(&rig, generations, 3);
    account_release(low);
    account_release(high);
    rig_close(&rig);
}

/* Three accounts that always have something waiting, on two places, with weights 1, 2 and 4: what
 * each was served stands as their weights do, and never apart by more than the bound. */
static void weights_share_the_machine(void **state)
{
    (void)state;
    enum { N = 3, N_STEPS = 4000, PROMPT = 24, LENGTH = 40, PLACES = 2 };
    static const uint32_t weights[N] = {1, 2, 4};
    struct rig rig;
    struct account *accounts[N];
    struct generation *waiting[N][4] = {{NULL}};
    rig_open(&rig, PLACES);
    for (uint32_t a = 0; a < N; a++) {
        const struct account_options like = {.label = "tenant", .weight = weights[a]};
        accounts[a] = tiny_account((uint8_t)a, &like);
    }
    uint64_t greatest = 0;
    for (uint32_t step = 0; step < N_STEPS; step++) {
        for (uint32_t i = 0; i < N * 4; i++) {
            struct generation **const place = &waiting[i % N][i / N];
            if (*place != NULL && (*place)->sequences[0]->n_tokens >= LENGTH) {
                generation_cancel(*place);
                step_sweep(rig.model);
            }
            if (*place != NULL) {
                read_away(*place);
            }
            if (*place != NULL && (*place)->sequences[0]->state == SEQUENCE_ENDED) {
                generation_release(*place);
                *place = NULL;
            }
            if (*place == NULL) {
                *place = arrive(&rig, accounts[i % N], PROMPT);
            }
        }
        run_step(&rig);
        for (uint32_t a = 1; a < N; a++) {
            const int64_t gap = (int64_t)(accounts[a]->turn.served - accounts[0]->turn.served);
            greatest = (uint64_t)llabs(gap) > greatest ? (uint64_t)llabs(gap) : greatest;
        }
    }
    const uint64_t bound = UINT64_C(2) * FAIRNESS_COMPLETION_WEIGHT * PLACES * LENGTH << 20;
    print_message(
        "gap %llu, bound %llu\n", (unsigned long long)greatest, (unsigned long long)bound);
    assert_true(greatest <= bound);
    assert_true(accounts[0]->turn.served > 10 * bound); /* they all got on */
    for (uint32_t i = 0; i < N * 4; i++) {
        generation_cancel(waiting[i % N][i / N]);
    }
    step_sweep(rig.model);
    for (uint32_t i = 0; i < N * 4; i++) {
        generation_release(waiting[i % N][i / N]);
    }
    assert_int_equal(rig.n_pending, 0);
    assert_true(page_pool_audit(rig.model->pool));
    assert_int_equal(page_pool_n_free(rig.model->pool), page_pool_n_pages(rig.model->pool));
    for (uint32_t a = 0; a < N; a++) {
        account_release(accounts[a]);
    }
    rig_close(&rig);
}

static uint32_t n_running_of(const struct rig *rig, const struct account *account)
{
    uint32_t n = 0;
    for (const struct sequence *s = rig->model->running.first; s != NULL; s = s->next) {
        n += s->generation->account == account;
    }
    return n;
}

/* A key of a tenant has caps of its own below those of the tenant; what it holds is the tenant's.
 */
static void caps_hold_for_a_part_and_for_its_whole(void **state)
{
    (void)state;
    struct rig rig;
    struct account *part;
    struct generation *generations[6];
    rig_open(&rig, 8);
    struct account *const whole =
        tiny_account(1, &(struct account_options){.label = "whole", .max_running = 3});
    assert_int_equal(
        account_create_part(whole, &(struct account_options){.max_running = 2}, &part, NULL),
        REALM_OK);
    for (uint32_t i = 0; i < 6; i++) {
        generations[i] = arrive(&rig, i < 3 ? part : whole, 20);
    }
    run_step(&rig);
    assert_int_equal(n_running_of(&rig, part), 2);
    assert_int_equal(n_running_of(&rig, whole), 1);
    assert_int_equal(part->step_running, 2);
    assert_int_equal(whole->step_running, 3);
    assert_int_equal(whole->step_pages, part->step_pages + 2);
    /* Room for one more of the tenant, not of the key. */
    account_configure(whole, &(struct account_options){.max_running = 4});
    run_step(&rig);
    assert_int_equal(n_running_of(&rig, part), 2);
    assert_int_equal(n_running_of(&rig, whole), 2);
    end(&rig, generations, 6);
    account_release(part);
    account_release(whole);
    rig_close(&rig);
}

/* The key's pages run out: its younger sequence goes, the tenant's other one stays. */
static void pages_of_a_part_are_taken_from_the_part(void **state)
{
    (void)state;
    struct rig rig;
    struct account *part;
    struct generation *generations[3];
    rig_open(&rig, 8);
    struct account *const whole = tiny_account(1, &(struct account_options){.label = "whole"});
    assert_int_equal(
        account_create_part(whole, &(struct account_options){.max_pages = 4}, &part, NULL),
        REALM_OK);
    generations[0] = arrive(&rig, part, 30);
    generations[1] = arrive(&rig, part, 30);
    generations[2] = arrive(&rig, whole, 30);
    run_step(&rig);
    assert_int_equal(n_running_of(&rig, part), 2);
    for (uint32_t i = 0; i < 4; i++) {
        read_away(generations[0]);
        read_away(generations[1]);
        read_away(generations[2]);
        run_step(&rig);
    }
    assert_int_equal(n_running_of(&rig, part), 1);
    assert_int_equal(n_running_of(&rig, whole), 1);
    assert_true(part->step_pages <= 4);
    end(&rig, generations, 3);
    assert_true(page_pool_audit(rig.model->pool));
    account_release(part);
    account_release(whole);
    rig_close(&rig);
}

static void count(void *context)
{
    ++*(uint32_t *)context;
}

/* A server that reads many streams is woken once for what a step has for them. */
static void one_wake_tells_of_all_that_one_reader_reads(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 8);
    struct account *const a = tiny_account(1, &(struct account_options){.label = "a"});
    uint32_t wakes[2] = {0, 0}; /* of who reads the first three, and of who reads the last */
    struct generation *generations[4];
    for (uint32_t i = 0; i < 4; i++) {
        generations[i] = arrive(&rig, a, 4);
        generations[i]->wake = count;
        generations[i]->wake_context = &wakes[i / 3];
    }
    for (uint32_t n_steps = 1; n_steps <= 5; n_steps++) {
        run_step(&rig);
        for (uint32_t i = 0; i < 4; i++) {
            struct event event;
            assert_true(generation_next(generations[i], &event));
            read_away(generations[i]);
        }
        assert_int_equal(wakes[0], n_steps);
        assert_int_equal(wakes[1], n_steps);
    }
    end(&rig, generations, 4);
    account_release(a);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_a_prompt_takes_all_rows),
        cmocka_unit_test(prompts_are_cut_to_the_target),
        cmocka_unit_test(a_newcomer_enters_with_the_next_step),
        cmocka_unit_test(decoding_stands_back_for_a_newcomer_once),
        cmocka_unit_test(decoding_and_a_long_prompt_take_turns),
        cmocka_unit_test(who_was_served_less_does_not_stand_back),
        cmocka_unit_test(higher_priorities_go_first),
        cmocka_unit_test(weights_share_the_machine),
        cmocka_unit_test(caps_hold_for_a_part_and_for_its_whole),
        cmocka_unit_test(pages_of_a_part_are_taken_from_the_part),
        cmocka_unit_test(one_wake_tells_of_all_that_one_reader_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
