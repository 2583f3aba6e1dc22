/* Rates, totals and requests at once, under a clock that the tests move. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "support/cmocka_all.h"
#include "tenant/bucket.h"
#include "tenant/quota.h"

#include <stdatomic.h>
#include <string.h>

#define SECOND_NS ((uint64_t)1000000000)
#define DAY_NS    (86400 * SECOND_NS)
#define SECOND_US ((uint64_t)1000000)
/* 2024-02-29 23:59:50 UTC, Thursday: ten seconds before a month begins. */
#define LEAP_EVE_NS ((uint64_t)1709251190 * SECOND_NS)

static struct quota_book *book;

static int open_book(void **state)
{
    (void)state;
    clock_freeze(LEAP_EVE_NS);
    return quota_book_create(&book, NULL) == REALM_OK ? 0 : -1;
}

static int close_book(void **state)
{
    (void)state;
    quota_book_destroy(book);
    clock_freeze(UINT64_MAX);
    return 0;
}

static struct quota *make(struct quota_limits limits)
{
    struct quota *quota;
    assert_int_equal(quota_create(book, &limits, NULL, &quota, NULL), REALM_OK);
    return quota;
}

static realm_status admit(struct quota *tenant,
                          struct quota *key,
                          uint64_t n_tokens,
                          struct quota_ticket *ticket,
                          struct quota_standing *standing)
{
    return quota_admit(book, tenant, key, n_tokens, ticket, standing, NULL);
}

/* --- buckets --- */

static void a_bucket_gives_one_minutes_worth_and_then_the_rate(void **state)
{
    (void)state;
    struct bucket bucket = {.per_minute = 0};
    bucket_configure(&bucket, 60, 0);
    assert_int_equal(bucket_available(&bucket, 0), 60);
    bucket_take(&bucket, 60, 0);
    assert_false(bucket_allows(&bucket, 1, SECOND_US - 1));
    assert_int_equal(bucket_wait_us(&bucket, 1, SECOND_US - 1), 1);
    assert_true(bucket_allows(&bucket, 1, SECOND_US));
    assert_int_equal(bucket_reset_us(&bucket, SECOND_US), 59 * SECOND_US);
    assert_int_equal(bucket_available(&bucket, 1000 * SECOND_US), 60);
}

static void looking_often_loses_nothing(void **state)
{
    (void)state;
    struct bucket bucket = {.per_minute = 0};
    bucket_configure(&bucket, 7, 0);
    bucket_take(&bucket, 7, 0);
    for (uint64_t now = 1; now < 60 * SECOND_US; now += 997) {
        (void)bucket_available(&bucket, now);
    }
    assert_int_equal(bucket_available(&bucket, 60 * SECOND_US - 1), 6);
    assert_int_equal(bucket_available(&bucket, 60 * SECOND_US), 7);
}

static void what_is_owed_is_waited_for(void **state)
{
    (void)state;
    struct bucket bucket = {.per_minute = 0};
    bucket_configure(&bucket, 60, 0);
    /* More than the bucket holds goes when it is full, and is paid for afterwards. */
    assert_true(bucket_allows(&bucket, 1000, 0));
    bucket_take(&bucket, 180, 0);
    assert_int_equal(bucket_available(&bucket, 0), 0);
    assert_int_equal(bucket_wait_us(&bucket, 1, 0), 121 * SECOND_US);
    bucket_take(&bucket, -150, 0);
    assert_int_equal(bucket_available(&bucket, 0), 30);
    bucket_take(&bucket, 150, 0);
    assert_int_equal(bucket_available(&bucket, 120 * SECOND_US), 0);
    assert_int_equal(bucket_available(&bucket, 121 * SECOND_US), 1);
}

static void a_new_rate_keeps_what_was_used(void **state)
{
    (void)state;
    struct bucket bucket = {.per_minute = 0};
    bucket_configure(&bucket, 100, 0);
    bucket_take(&bucket, 80, 0);
    bucket_configure(&bucket, 90, 0);
    assert_int_equal(bucket_available(&bucket, 0), 10);
    bucket_configure(&bucket, 0, 0);
    assert_true(bucket_allows(&bucket, UINT64_MAX, 0));
    assert_int_equal(bucket_available(&bucket, 0), UINT32_MAX);
}

static void the_largest_numbers_do_not_overflow(void **state)
{
    (void)state;
    struct bucket bucket = {.per_minute = 0};
    bucket_configure(&bucket, UINT32_MAX, 0);
    bucket_take(&bucket, INT64_MAX, 0);
    assert_int_equal(bucket_available(&bucket, 0), 0);
    assert_true(bucket_reset_us(&bucket, 0) <= 121 * SECOND_US);
    bucket_take(&bucket, INT64_MIN, 0);
    assert_int_equal(bucket_available(&bucket, 0), UINT32_MAX);
    assert_int_equal(bucket_available(&bucket, UINT64_MAX), UINT32_MAX);
}

/* --- quotas --- */

static void the_tighter_of_tenant_and_key_is_told(void **state)
{
    (void)state;
    struct quota *const tenant =
        make((struct quota_limits){.requests_per_minute = 60, .tokens_per_minute = 1000});
    struct quota *const key = make((struct quota_limits){.tokens_per_minute = 100});
    struct quota_ticket ticket;
    struct quota_standing standing;
    assert_int_equal(admit(tenant, key, 30, &ticket, &standing), REALM_OK);
    assert_int_equal(standing.requests.limit, 60);
    assert_int_equal(standing.requests.remaining, 59);
    assert_int_equal(standing.requests.reset_ms, 1000);
    assert_int_equal(standing.tokens.limit, 100);
    assert_int_equal(standing.tokens.remaining, 70);
    assert_int_equal(standing.tokens.reset_ms, 18000);
    assert_int_equal(standing.retry_after_ms, 0);
    quota_settle(book, &ticket, 10);
    assert_int_equal(admit(tenant, key, 0, &ticket, &standing), REALM_OK);
    assert_int_equal(standing.tokens.remaining, 90);
    quota_settle(book, &ticket, 0);
    quota_release(tenant);
    quota_release(key);
}

static void a_refusal_charges_nobody_and_says_when_to_come_again(void **state)
{
    (void)state;
    struct realm_error error;
    struct quota *const tenant = make((struct quota_limits){.requests_per_minute = 60});
    struct quota *const key = make((struct quota_limits){.requests_per_minute = 1});
    struct quota_ticket ticket;
    struct quota_standing standing;
    assert_int_equal(admit(tenant, key, 1, &ticket, &standing), REALM_OK);
    quota_settle(book, &ticket, 1);
    assert_int_equal(quota_admit(book, tenant, key, 1, &ticket, &standing, &error),
                     REALM_QUOTA_EXCEEDED);
    assert_non_null(strstr(error.message, "the API key may use 1 requests a minute"));
    assert_in_range(standing.retry_after_ms, 60000, 60001);
    assert_int_equal(standing.requests.remaining, 0);
    quota_settle(book, &ticket, 5); /* of a refused request: nothing */
    assert_int_equal(admit(tenant, NULL, 1, &ticket, &standing), REALM_OK);
    assert_int_equal(standing.requests.remaining, 58);
    quota_settle(book, &ticket, 1);
    clock_freeze(LEAP_EVE_NS + 60 * SECOND_NS);
    assert_int_equal(admit(tenant, key, 1, &ticket, &standing), REALM_OK);
    quota_settle(book, &ticket, 1);
    quota_release(tenant);
    quota_release(key);
}

static void requests_at_once_are_counted_until_they_end(void **state)
{
    (void)state;
    struct quota *const tenant = make((struct quota_limits){.max_concurrent = 2});
    struct quota_ticket tickets[3];
    struct quota_standing standing;
    assert_int_equal(admit(tenant, NULL, 1, &tickets[0], &standing), REALM_OK);
    assert_int_equal(admit(tenant, NULL, 1, &tickets[1], &standing), REALM_OK);
    assert_int_equal(admit(tenant, NULL, 1, &tickets[2], &standing), REALM_QUOTA_EXCEEDED);
    assert_true(standing.retry_after_ms > 0);
    quota_settle(book, &tickets[0], 1);
    assert_int_equal(admit(tenant, NULL, 1, &tickets[2], &standing), REALM_OK);
    /* A tenant may be removed while its requests run. */
    quota_release(tenant);
    quota_settle(book, &tickets[1], 1);
    quota_settle(book, &tickets[2], 1);
    quota_settle(book, &tickets[2], 1);
    assert_int_equal(tickets[2].estimate, 0);
}

static void totals_hold_with_what_runs_and_begin_anew(void **state)
{
    (void)state;
    const struct quota_limits limits = {.tokens_per_day = 100, .tokens_per_month = 150};
    const struct quota_used used = {.day_tokens = 40, .month_tokens = 100};
    struct quota *tenant;
    struct quota_ticket running;
    struct quota_ticket other;
    struct quota_standing standing;
    assert_int_equal(quota_create(book, &limits, &used, &tenant, NULL), REALM_OK);
    assert_int_equal(admit(tenant, NULL, 50, &running, &standing), REALM_OK);
    assert_int_equal(admit(tenant, NULL, 1, &other, &standing), REALM_QUOTA_EXCEEDED);
    assert_int_equal(standing.retry_after_ms, 10000); /* the month ends with the 29th */
    quota_raise(book, &running, 30);                  /* less than was estimated: nothing */
    quota_settle(book, &running, 20);
    assert_int_equal(quota_used_now(tenant).day_tokens, 60);
    assert_int_equal(quota_used_now(tenant).month_tokens, 120);

    clock_freeze(LEAP_EVE_NS + 10 * SECOND_NS);
    assert_int_equal(quota_used_now(tenant).month_tokens, 0);
    assert_int_equal(admit(tenant, NULL, 100, &running, &standing), REALM_OK);
    quota_settle(book, &running, 100);
    assert_int_equal(admit(tenant, NULL, 1, &other, &standing), REALM_QUOTA_EXCEEDED);
    assert_int_equal(standing.retry_after_ms, 86400000);

    clock_freeze(LEAP_EVE_NS + 10 * SECOND_NS + DAY_NS);
    assert_int_equal(admit(tenant, NULL, 51, &other, &standing), REALM_QUOTA_EXCEEDED);
    assert_int_equal(standing.retry_after_ms, 30 * (uint64_t)86400000); /* 2 to 31 March */
    assert_int_equal(admit(tenant, NULL, 50, &other, &standing), REALM_OK);
    quota_settle(book, &other, 50);
    quota_release(tenant);
}

/* What runs beyond its estimate leaves less for others, and is settled with what it came to. */
static void what_runs_beyond_its_estimate_counts_at_once(void **state)
{
    (void)state;
    const struct quota_limits limits = {.tokens_per_minute = 100, .tokens_per_day = 1000};
    struct quota *tenant;
    struct quota_ticket running;
    struct quota_ticket other;
    struct quota_standing standing;
    assert_int_equal(quota_create(book, &limits, NULL, &tenant, NULL), REALM_OK);
    assert_int_equal(admit(tenant, NULL, 1, &running, &standing), REALM_OK);
    assert_int_equal(standing.tokens.remaining, 99);
    quota_raise(book, &running, 60);
    assert_int_equal(admit(tenant, NULL, 41, &other, &standing), REALM_QUOTA_EXCEEDED);
    assert_int_equal(standing.tokens.remaining, 40);
    assert_int_equal(admit(tenant, NULL, 40, &other, &standing), REALM_OK);
    quota_settle(book, &other, 40);
    quota_settle(book, &running, 30);
    assert_int_equal(quota_used_now(tenant).day_tokens, 70);
    assert_int_equal(admit(tenant, NULL, 30, &other, &standing), REALM_OK);
    quota_settle(book, &other, 0);
    quota_release(tenant);
}

static void limits_can_be_changed_while_requests_run(void **state)
{
    (void)state;
    struct quota *const tenant = make((struct quota_limits){.requests_per_minute = 10});
    struct quota_ticket ticket;
    struct quota_standing standing;
    assert_int_equal(admit(tenant, NULL, 7, &ticket, &standing), REALM_OK);
    quota_configure(tenant, &(struct quota_limits){.requests_per_minute = 1});
    quota_settle(book, &ticket, 7);
    assert_int_equal(admit(tenant, NULL, 1, &ticket, &standing), REALM_QUOTA_EXCEEDED);
    quota_configure(tenant, &(struct quota_limits){.requests_per_minute = 0});
    assert_int_equal(admit(tenant, NULL, 1, &ticket, &standing), REALM_OK);
    assert_int_equal(standing.requests.limit, 0);
    quota_settle(book, &ticket, 1);
    assert_int_equal(quota_used_now(tenant).day_tokens, 8);
    quota_release(tenant);
}

/* --- 64 clients of 8 tenants --- */

#define N_TENANTS 8
#define N_CLIENTS 64
#define RATE      6000u /* tokens a minute */
#define PER_TASK  7u
#define N_SECONDS 180

static struct quota *crowd[N_TENANTS];
static atomic_uint_fast64_t served[N_TENANTS];

/* All that one client gets at the frozen moment; estimates are wrong both ways. */
static void drain(void *context)
{
    const size_t tenant = *(const size_t *)context;
    struct quota_ticket ticket;
    struct quota_standing standing;
    for (uint64_t i = 0;; i++) {
        const uint64_t estimate = i % 2 == 0 ? PER_TASK + 3 : PER_TASK - 3;
        if (admit(crowd[tenant], NULL, estimate, &ticket, &standing) != REALM_OK) {
            return;
        }
        quota_settle(book, &ticket, PER_TASK);
        atomic_fetch_add(&served[tenant], PER_TASK);
    }
}

static void rates_hold_within_a_hundredth_for_64_threads_of_8_tenants(void **state)
{
    (void)state;
    struct thread threads[N_CLIENTS];
    size_t tenant_of[N_CLIENTS];
    clock_freeze(LEAP_EVE_NS + 20 * SECOND_NS); /* all within one day */
    for (size_t t = 0; t < N_TENANTS; t++) {
        crowd[t] = make((struct quota_limits){.tokens_per_minute = RATE * (uint32_t)(t + 1)});
        atomic_store(&served[t], 0);
    }
    for (uint64_t second = 0; second <= N_SECONDS; second += 6) {
        clock_freeze(LEAP_EVE_NS + (20 + second) * SECOND_NS);
        for (size_t i = 0; i < N_CLIENTS; i++) {
            threads[i] = (struct thread){.started = false};
            tenant_of[i] = i % N_TENANTS;
            assert_int_equal(thread_start(&threads[i], "client", drain, &tenant_of[i], NULL),
                             REALM_OK);
        }
        for (size_t i = 0; i < N_CLIENTS; i++) {
            thread_join(&threads[i]);
        }
    }
    for (size_t t = 0; t < N_TENANTS; t++) {
        /* One full bucket at the beginning, then the rate. */
        const double due = RATE * (double)(t + 1) * (1 + N_SECONDS / 60.0);
        const double share = (double)atomic_load(&served[t]) / due;
        if (share < 0.99 || share > 1.01) {
            fail_msg("tenant %zu got %.4f of its rate", t, share);
        }
        assert_int_equal(quota_used_now(crowd[t]).month_tokens, atomic_load(&served[t]));
        quota_release(crowd[t]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_gives_one_minutes_worth_and_then_the_rate),
        cmocka_unit_test(looking_often_loses_nothing),
        cmocka_unit_test(what_is_owed_is_waited_for),
        cmocka_unit_test(a_new_rate_keeps_what_was_used),
        cmocka_unit_test(the_largest_numbers_do_not_overflow),
        cmocka_unit_test_setup_teardown(
            the_tighter_of_tenant_and_key_is_told, open_book, close_book),
        cmocka_unit_test_setup_teardown(
            a_refusal_charges_nobody_and_says_when_to_come_again, open_book, close_book),
        cmocka_unit_test_setup_teardown(
            requests_at_once_are_counted_until_they_end, open_book, close_book),
        cmocka_unit_test_setup_teardown(
            totals_hold_with_what_runs_and_begin_anew, open_book, close_book),
        cmocka_unit_test_setup_teardown(
            what_runs_beyond_its_estimate_counts_at_once, open_book, close_book),
        cmocka_unit_test_setup_teardown(
            limits_can_be_changed_while_requests_run, open_book, close_book),
        cmocka_unit_test_setup_teardown(
            rates_hold_within_a_hundredth_for_64_threads_of_8_tenants, open_book, close_book),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
