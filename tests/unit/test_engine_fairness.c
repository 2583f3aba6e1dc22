/* Accounts take turns by what they were served; caps hold; nobody waits behind a flood. */
#include "engine/fairness.h"
#include "support/tiny_engine.h"

#define TOKENS 20u

static struct request request_of(const struct tiny_engine *tiny,
                                 struct account *account,
                                 const token_id *prompt,
                                 uint32_t n_prompt)
{
    return (struct request){.model = tiny->model,
                            .account = account,
                            .prompt = prompt,
                            .n_prompt = n_prompt,
                            .max_tokens = TOKENS,
                            .ignore_end = true};
}

/* --- the counter --------------------------------------------------------------------------------
 */

static void the_least_served_goes_first(void **state)
{
    (void)state;
    struct fairness fairness;
    fairness_init(&fairness, 0, 0);
    struct account *const a = tiny_account(1, &(struct account_options){.label = "a"});
    struct account *const b = tiny_account(2, &(struct account_options){.label = "b", .weight = 2});
    fairness_arrive(&fairness, a);
    fairness_arrive(&fairness, b);
    fairness_charge_prompt(&fairness, a, 10);
    assert_true(fairness_before(b, a));
    /* Twice the weight: twice as much for the same counter; a completion token counts twice. */
    fairness_charge_completion(&fairness, b, 10);
    assert_false(fairness_before(a, b) || fairness_before(b, a));
    fairness_charge_completion(&fairness, b, 1);
    assert_true(fairness_before(a, b));
    account_configure(b, &(struct account_options){.weight = 2, .priority = 1});
    assert_true(fairness_before(b, a));
    fairness_depart(&fairness, a);
    fairness_depart(&fairness, b);
    assert_null(fairness.accounts.active);
    account_release(a);
    account_release(b);
}

static void nobody_saves_up_by_staying_away(void **state)
{
    (void)state;
    struct fairness fairness;
    fairness_init(&fairness, 0, 0);
    struct account *const busy = tiny_account(1, &(struct account_options){.label = "busy"});
    struct account *const away = tiny_account(2, &(struct account_options){.label = "away"});
    fairness_arrive(&fairness, busy);
    fairness_charge_prompt(&fairness, busy, 1000);
    fairness_arrive(&fairness, away);
    assert_false(fairness_before(away, busy) || fairness_before(busy, away));
    fairness_charge_prompt(&fairness, away, 1);
    assert_true(fairness_before(busy, away));
    /* Also when everybody had left in between. */
    fairness_depart(&fairness, away);
    fairness_depart(&fairness, busy);
    struct account *const late = tiny_account(3, &(struct account_options){.label = "late"});
    fairness_arrive(&fairness, busy);
    fairness_arrive(&fairness, late);
    assert_false(fairness_before(late, busy));
    fairness_depart(&fairness, late);
    fairness_depart(&fairness, busy);
    account_release(busy);
    account_release(away);
    account_release(late);
}

static void a_counter_that_wraps_changes_nothing(void **state)
{
    (void)state;
    struct fairness fairness;
    fairness_init(&fairness, 0, 0);
    struct account *const a = tiny_account(1, &(struct account_options){.label = "a"});
    struct account *const b = tiny_account(2, &(struct account_options){.label = "b"});
    fairness.accounts.floor = UINT64_MAX - 5;
    fairness_arrive(&fairness, a);
    fairness_charge_prompt(&fairness, a, 1); /* beyond the end */
    fairness_arrive(&fairness, b);
    assert_false(fairness_before(a, b) || fairness_before(b, a));
    fairness_charge_prompt(&fairness, b, 1);
    assert_true(fairness_before(a, b));
    fairness_depart(&fairness, a);
    fairness_depart(&fairness, b);
    /* Who is new starts where the others are, not at zero. */
    struct account *const late = tiny_account(3, &(struct account_options){.label = "late"});
    fairness.accounts.floor = UINT64_MAX - 5;
    fairness_arrive(&fairness, late);
    assert_int_equal(late->turn.served, fairness.accounts.floor);
    fairness_depart(&fairness, late);
    account_release(late);
    account_release(a);
    account_release(b);
}

static void what_tokens_count_can_be_chosen(void **state)
{
    (void)state;
    struct fairness fairness;
    fairness_init(&fairness, 3, 7);
    struct account *const a = tiny_account(1, &(struct account_options){.label = "a"});
    struct account *const b = tiny_account(2, &(struct account_options){.label = "b"});
    fairness_arrive(&fairness, a);
    fairness_arrive(&fairness, b);
    fairness_charge_prompt(&fairness, a, 14);
    fairness_charge_completion(&fairness, b, 6);
    assert_false(fairness_before(a, b) || fairness_before(b, a));
    fairness_charge_prompt(&fairness, a, 1);
    assert_true(fairness_before(b, a));
    fairness_depart(&fairness, a);
    fairness_depart(&fairness, b);
    account_release(a);
    account_release(b);
}

static struct account *part_of(struct account *whole, const struct account_options *options)
{
    struct account *part;
    assert_int_equal(account_create_part(whole, options, &part, NULL), REALM_OK);
    return part;
}

/* Two keys of one tenant, one with three times the weight, beside another tenant. */
static void parts_take_turns_inside_their_whole(void **state)
{
    (void)state;
    struct fairness fairness;
    fairness_init(&fairness, 0, 0);
    struct account *const whole = tiny_account(1, &(struct account_options){.label = "whole"});
    struct account *const other = tiny_account(2, &(struct account_options){.label = "other"});
    struct account *const one = part_of(whole, &(struct account_options){.weight = 1});
    struct account *const three = part_of(whole, &(struct account_options){.weight = 3});
    fairness_arrive(&fairness, one);
    fairness_arrive(&fairness, three);
    fairness_arrive(&fairness, other);
    fairness_charge_prompt(&fairness, one, 10);
    assert_true(fairness_before(three, one));
    fairness_charge_prompt(&fairness, three, 30);
    assert_false(fairness_before(one, three) || fairness_before(three, one));
    /* To the other tenant both are one: what either had counts for both. */
    fairness_charge_prompt(&fairness, other, 39);
    assert_true(fairness_before(other, one) && fairness_before(other, three));
    fairness_charge_prompt(&fairness, other, 2);
    assert_true(fairness_before(one, other) && fairness_before(three, other));
    /* A part that comes back is lifted to the others of its whole. */
    fairness_depart(&fairness, one);
    fairness_charge_prompt(&fairness, three, 300);
    fairness_arrive(&fairness, one);
    assert_false(fairness_before(one, three));
    fairness_depart(&fairness, one);
    fairness_depart(&fairness, three);
    fairness_depart(&fairness, other);
    assert_null(fairness.accounts.active);
    assert_null(whole->parts.active);
    account_release(one);
    account_release(three);
    account_release(whole);
    account_release(other);
}

static void a_part_goes_before_nobody_its_whole_does_not(void **state)
{
    (void)state;
    struct account *const whole =
        tiny_account(1, &(struct account_options){.label = "whole", .priority = 1});
    struct account *const part = part_of(whole, &(struct account_options){.priority = 0});
    assert_int_equal(account_priority(part), 1);
    account_configure(part, &(struct account_options){.priority = -1});
    assert_int_equal(account_priority(part), -1);
    account_configure(whole, &(struct account_options){.priority = -2});
    assert_int_equal(account_priority(part), -2);
    account_configure(part, &(struct account_options){.max_pages = 5});
    assert_int_equal(account_page_cap(part), 5);
    account_configure(whole, &(struct account_options){.max_pages = 3});
    assert_int_equal(account_page_cap(part), 3);
    account_release(whole); /* the part keeps it */
    assert_int_equal(account_page_cap(part), 3);
    account_release(part);
}

static void a_part_is_counted_in_with_its_whole(void **state)
{
    (void)state;
    const struct account_options two = {.max_running = 1, .max_waiting = 1};
    const struct account_options three = {.label = "whole", .max_running = 1, .max_waiting = 2};
    struct account_stats stats;
    struct account *const whole = tiny_account(1, &three);
    struct account *const part = part_of(whole, &two);
    assert_true(account_try_enter(part) && account_try_enter(part));
    assert_false(account_try_enter(part)); /* its own cap */
    assert_true(account_try_enter(whole));
    account_leave(part);
    assert_true(account_try_enter(whole));
    assert_false(account_try_enter(part)); /* that of the whole */
    account_stats(part, &stats);
    assert_int_equal(stats.pending, 1);
    assert_int_equal(stats.rejected, 1);
    account_stats(whole, &stats);
    assert_int_equal(stats.pending, 3);
    assert_int_equal(stats.rejected, 2);
    account_release(part);
    account_release(whole);
}

/* --- the engine ---------------------------------------------------------------------------------
 */

#define N_FLOOD  40u
#define N_LIGHT  10u
#define N_PLACES 4u

static uint64_t served(const struct account *account)
{
    struct account_stats stats;
    account_stats(account, &stats);
    return stats.prompt_tokens * FAIRNESS_PROMPT_WEIGHT +
           stats.completion_tokens * FAIRNESS_COMPLETION_WEIGHT;
}

/* Two accounts have requests waiting all the time, one four times as many: what both were served
 * stays within the bound of fairness.h. */
static void a_flood_gets_no_more_than_its_turn(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    token_id prompts[N_FLOOD + N_LIGHT][32];
    struct generation *generations[N_FLOOD + N_LIGHT];
    const struct engine_options options = {.n_threads = 2};
    const struct engine_model_options model_options = {.context_length = 64,
                                                       .max_sequences = N_PLACES};
    const struct account_options like = {.label = "tenant"};
    tiny_engine_open(&tiny, &options, &model_options);
    struct account *const flood = tiny_account(1, &like);
    struct account *const light = tiny_account(2, &like);
    for (uint32_t i = 0; i < N_FLOOD + N_LIGHT; i++) {
        tiny_prompt(i, 32, prompts[i]);
        const struct request request =
            request_of(&tiny, i < N_FLOOD ? flood : light, prompts[i], 32);
        generations[i] = tiny_submit(&tiny, &request);
    }
    const uint64_t bound = UINT64_C(2) * FAIRNESS_COMPLETION_WEIGHT * N_PLACES * (32 + TOKENS);
    uint64_t greatest = 0;
    struct account_stats stats;
    struct account_stats flood_stats;
    /* The flood was alone until the others had come. */
    const uint64_t flood_before = served(flood);
    const uint64_t light_before = served(light);
    do { /* what is read of two accounts counts where nothing was served in between */
        const uint64_t a = served(flood);
        const uint64_t more = a - flood_before;
        const uint64_t less = served(light) - light_before;
        const uint64_t gap = more > less ? more - less : less - more;
        account_stats(flood, &flood_stats);
        account_stats(light, &stats);
        if (stats.pending > N_PLACES) {
            greatest = served(flood) == a && gap > greatest ? gap : greatest;
            assert_true(flood_stats.pending > 0); /* it has its turns, no more */
        }
    } while (stats.pending > N_PLACES);
    for (uint32_t i = N_FLOOD; i < N_FLOOD + N_LIGHT; i++) {
        struct tiny_answer answer;
        tiny_read(generations[i], &answer);
        assert_int_equal(answer.status, REALM_OK);
    }
    for (uint32_t i = 0; i < N_FLOOD; i++) {
        struct tiny_answer answer;
        tiny_read(generations[i], &answer);
        assert_int_equal(answer.status, REALM_OK);
    }
    print_message(
        "greatest gap %llu, bound %llu\n", (unsigned long long)greatest, (unsigned long long)bound);
    assert_true(greatest <= bound);
    tiny_engine_close(&tiny);
    account_release(flood);
    account_release(light);
}

/* All places are taken by long answers of one account: another one's request gets a place at once,
 * and the answers stay what they are alone. */
static void a_place_is_made_for_who_has_none(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    token_id prompts[N_PLACES + 1][16];
    struct generation *generations[N_PLACES + 1];
    struct tiny_answer alone[N_PLACES + 1];
    struct tiny_answer answer;
    const struct engine_options options = {.n_threads = 2};
    const struct engine_model_options model_options = {.context_length = 256,
                                                       .max_sequences = N_PLACES};
    const struct account_options like = {.label = "tenant"};
    tiny_engine_open(&tiny, &options, &model_options);
    struct account *const flood = tiny_account(1, &like);
    struct account *const light = tiny_account(2, &like);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i <= N_PLACES; i++) {
            tiny_prompt(i, 16, prompts[i]);
            struct request request =
                request_of(&tiny, i < N_PLACES ? flood : light, prompts[i], 16);
            request.max_tokens = i < N_PLACES ? 200 : 2;
            if (round == 0) {
                tiny_run(&tiny, &request, &alone[i]);
                continue;
            }
            generations[i] = tiny_submit(&tiny, &request);
            struct event event;
            while (i < N_PLACES && !generation_next(generations[i], &event)) {
                assert_true(generation_wait(generations[i], TINY_WAIT_MS)); /* it has started */
            }
        }
    }
    tiny_read(generations[N_PLACES], &answer);
    assert_same_answer(&answer, &alone[N_PLACES]);
    struct account_stats stats;
    account_stats(flood, &stats);
    assert_int_equal(stats.pending, N_PLACES); /* none of the long ones had ended */
    for (uint32_t i = 0; i < N_PLACES; i++) {
        tiny_read(generations[i], &answer);
        assert_same_answer(&answer, &alone[i]);
    }
    tiny_engine_close(&tiny);
    account_release(flood);
    account_release(light);
}

static void caps_hold_their_account_and_nobody_else(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    token_id prompts[6][16];
    struct generation *generations[6];
    struct tiny_answer answer;
    struct realm_error error;
    const struct engine_options options = {.n_threads = 2};
    const struct engine_model_options model_options = {.context_length = 256};
    tiny_engine_open(&tiny, &options, &model_options);
    struct account *const capped = tiny_account(
        1, &(struct account_options){.label = "capped", .max_running = 2, .max_waiting = 3});
    for (uint32_t i = 0; i < 5; i++) {
        tiny_prompt(i, 16, prompts[i]);
        struct request request = request_of(&tiny, capped, prompts[i], 16);
        request.max_tokens = 240; /* more than an unread ring holds: none ends before it is read */
        request.ignore_end = true;
        generations[i] = tiny_submit(&tiny, &request);
    }
    tiny_prompt(5, 16, prompts[5]);
    struct request sixth = request_of(&tiny, capped, prompts[5], 16);
    assert_int_equal(engine_submit(tiny.engine, &sixth, &generations[5], &error),
                     REALM_RESOURCE_EXHAUSTED);
    sixth.account = NULL;
    tiny_run(&tiny, &sixth, &answer);
    assert_int_equal(answer.status, REALM_OK);
    for (uint32_t i = 0; i < 5; i++) {
        tiny_read(generations[i], &answer);
        assert_int_equal(answer.status, REALM_OK);
    }
    struct account_stats stats;
    account_stats(capped, &stats);
    assert_int_equal(stats.rejected, 1);
    assert_int_equal(stats.pending, 0);
    tiny_engine_close(&tiny);
    account_release(capped);
}

/* 4 pages are 64 tokens: a request that grows beyond ends alone, two that fit in turns both end
 * well, and a longer prompt is refused with the numbers. */
static void a_cap_of_pages_ends_only_what_passes_it_alone(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    token_id prompt[80];
    struct tiny_answer answer;
    struct realm_error error;
    struct generation *generations[2];
    const struct engine_options options = {.n_threads = 2};
    const struct engine_model_options model_options = {.context_length = 256};
    tiny_prompt(1, 80, prompt);
    tiny_engine_open(&tiny, &options, &model_options);
    struct account *const capped =
        tiny_account(1, &(struct account_options){.label = "capped", .max_pages = 4});
    struct request request = request_of(&tiny, capped, prompt, 40);
    request.max_tokens = 100;
    tiny_run(&tiny, &request, &answer);
    assert_int_equal(answer.status, REALM_RESOURCE_EXHAUSTED);
    assert_int_equal(answer.finish, REALM_FINISH_ERROR);
    assert_non_null(strstr(answer.message, "4 KV pages"));
    assert_true(answer.n_tokens >= 20);
    for (uint32_t i = 0; i < 2; i++) {
        request = request_of(&tiny, capped, prompt + i, 40);
        generations[i] = tiny_submit(&tiny, &request);
    }
    for (uint32_t i = 0; i < 2; i++) {
        tiny_read(generations[i], &answer);
        assert_int_equal(answer.status, REALM_OK);
        assert_int_equal(answer.n_tokens, TOKENS);
    }
    request = request_of(&tiny, capped, prompt, 80);
    assert_int_equal(engine_submit(tiny.engine, &request, &generations[0], &error),
                     REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "80 tokens"));
    tiny_engine_close(&tiny);
    account_release(capped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_served_goes_first),
        cmocka_unit_test(nobody_saves_up_by_staying_away),
        cmocka_unit_test(a_counter_that_wraps_changes_nothing),
        cmocka_unit_test(what_tokens_count_can_be_chosen),
        cmocka_unit_test(parts_take_turns_inside_their_whole),
        cmocka_unit_test(a_part_goes_before_nobody_its_whole_does_not),
        cmocka_unit_test(a_part_is_counted_in_with_its_whole),
        cmocka_unit_test(a_flood_gets_no_more_than_its_turn),
        cmocka_unit_test(a_place_is_made_for_who_has_none),
        cmocka_unit_test(caps_hold_their_account_and_nobody_else),
        cmocka_unit_test(a_cap_of_pages_ends_only_what_passes_it_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
