/* What requests have used: written once each, summed exactly, never lost, and priced. */
#include "base/clock.h"
#include "base/thread.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"
#include "tenant/tenant.h"

#include <stdio.h>
#include <string.h>

static struct temp_folder folder;
static struct store *store;
static struct usage *usage;

static int open_all(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    assert_int_equal(tenant_store_open(folder.path, &store, NULL), REALM_OK);
    assert_int_equal(usage_open(folder.path, &usage, NULL), REALM_OK);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    usage_close(usage);
    store_close(store);
    temp_folder_remove(&folder);
    return 0;
}

static struct usage_entry entry_of(uint32_t number, const char *tenant, const char *model)
{
    struct usage_entry entry = {.time_ms = clock_wall_ms(),
                                .status = 200,
                                .prompt_tokens = 100,
                                .cached_tokens = 40,
                                .completion_tokens = 7};
    (void)snprintf(entry.id, sizeof entry.id, "request-%u", number);
    (void)snprintf(entry.tenant, sizeof entry.tenant, "%s", tenant);
    (void)snprintf(entry.key, sizeof entry.key, "key%u", number % 2);
    (void)snprintf(entry.model, sizeof entry.model, "%s", model);
    return entry;
}

#define MAX_SUMS 8u
struct sums {
    struct usage_sum items[MAX_SUMS];
    uint32_t n;
};

static realm_status take(void *context, const struct usage_sum *sum, struct realm_error *error)
{
    struct sums *const sums = context;
    (void)error;
    assert_true(sums->n < MAX_SUMS);
    sums->items[sums->n++] = *sum;
    return REALM_OK;
}

static struct sums sums_by(enum usage_by by, const char *tenant)
{
    struct sums sums = {.n = 0};
    const struct usage_question question = {.tenant = tenant, .until_ms = INT64_MAX, .by = by};
    assert_int_equal(usage_each(usage, &question, take, &sums, NULL), REALM_OK);
    return sums;
}

static void a_request_counts_once(void **state)
{
    (void)state;
    const struct usage_entry entries[] = {
        entry_of(1, "acme", "small"), entry_of(2, "acme", "large"), entry_of(1, "acme", "small")};
    assert_int_equal(usage_add(usage, entries, 3, NULL), REALM_OK);
    assert_int_equal(usage_add(usage, entries, 3, NULL), REALM_OK);
    const struct sums by_tenant = sums_by(USAGE_BY_TENANT, NULL);
    assert_int_equal(by_tenant.n, 1);
    assert_string_equal(by_tenant.items[0].group, "acme");
    assert_int_equal(by_tenant.items[0].n_requests, 2);
    assert_int_equal(by_tenant.items[0].prompt_tokens, 200);
    assert_int_equal(by_tenant.items[0].cached_tokens, 80);
    assert_int_equal(by_tenant.items[0].completion_tokens, 14);
    const struct sums by_model = sums_by(USAGE_BY_MODEL, "acme");
    assert_int_equal(by_model.n, 2);
    assert_string_equal(by_model.items[0].group, "large");
    assert_int_equal(sums_by(USAGE_BY_KEY, "acme").n, 2);
    assert_int_equal(sums_by(USAGE_BY_DAY, "acme").n, 1);
    assert_int_equal(sums_by(USAGE_BY_DAY, "nobody").n, 0);
}

static void sums_begin_where_they_should(void **state)
{
    (void)state;
    struct usage_entry entries[] = {entry_of(1, "acme", "small"), entry_of(2, "acme", "small")};
    struct quota_used used;
    entries[0].time_ms = quota_month_start_ms(clock_wall_ms()) - 1;
    assert_int_equal(usage_add(usage, entries, 2, NULL), REALM_OK);
    assert_int_equal(usage_of_tenant(usage, "acme", &used, NULL), REALM_OK);
    assert_int_equal(used.month_tokens, 107);
    assert_int_equal(used.day_tokens, 107);
    assert_int_equal(usage_of_key(usage, "key1", &used, NULL), REALM_OK);
    assert_int_equal(used.month_tokens, 0);
    const struct usage_question question = {.since_ms = entries[0].time_ms,
                                            .until_ms = entries[0].time_ms + 1};
    struct sums sums = {.n = 0};
    assert_int_equal(usage_each(usage, &question, take, &sums, NULL), REALM_OK);
    assert_int_equal(sums.items[0].n_requests, 1);
}

/* 60 tokens at 0.15, 40 at 0.05 and 7 at 0.60 for a million: 0.0000152. */
static void a_request_costs_what_its_model_did_then(void **state)
{
    (void)state;
    struct ledger *ledger;
    struct price_record price = {
        .model = "small", .currency = "EUR", .input = 150000, .cached = 50000, .output = 600000};
    assert_int_equal(store_set_price(store, "test", &price, NULL), REALM_OK);
    assert_int_equal(ledger_open(usage, store, &ledger, NULL), REALM_OK);
    for (uint32_t i = 0; i < 100; i++) {
        const struct usage_entry entry = entry_of(i, "acme", i < 50 ? "small" : "free");
        assert_true(ledger_reserve(ledger));
        ledger_record(ledger, &entry);
    }
    ledger_close(ledger);
    price.input = 0;
    assert_int_equal(store_set_price(store, "test", &price, NULL), REALM_OK);
    const struct sums sums = sums_by(USAGE_BY_MODEL, NULL);
    assert_int_equal(sums.n, 2);
    assert_string_equal(sums.items[0].group, "free");
    assert_int_equal(sums.items[0].cost_micro, 0);
    assert_string_equal(sums.items[1].currency, "EUR");
    assert_int_equal(sums.items[1].cost_micro, 50 * 152 / 10);
    price.output = PRICE_MOST + 1;
    assert_int_equal(store_set_price(store, "test", &price, NULL), REALM_INVALID_ARGUMENT);
    assert_int_equal(store_remove_price(store, "test", "small", NULL), REALM_OK);
    assert_int_equal(store_remove_price(store, "test", "small", NULL), REALM_NOT_FOUND);
}

#define N_THREADS    4u
#define N_PER_THREAD 2000u

struct recorder {
    struct ledger *ledger;
    struct thread thread;
    uint32_t first;
};

static void record_many(void *context)
{
    const struct recorder *const recorder = context;
    for (uint32_t i = 0; i < N_PER_THREAD; i++) {
        const struct usage_entry entry = entry_of(recorder->first + i, "acme", "small");
        if (i % 10 == 0) {
            assert_true(ledger_reserve(recorder->ledger));
            ledger_forgo(recorder->ledger);
        }
        assert_true(ledger_reserve(recorder->ledger));
        ledger_record(recorder->ledger, &entry);
    }
}

static void all_that_threads_record_is_there_at_the_end(void **state)
{
    (void)state;
    struct ledger *ledger;
    struct recorder recorders[N_THREADS];
    assert_int_equal(ledger_open(usage, store, &ledger, NULL), REALM_OK);
    for (uint32_t i = 0; i < N_THREADS; i++) {
        recorders[i] = (struct recorder){.ledger = ledger, .first = i * N_PER_THREAD};
        assert_int_equal(
            thread_start(&recorders[i].thread, "recorder", record_many, &recorders[i], NULL),
            REALM_OK);
    }
    for (uint32_t i = 0; i < N_THREADS; i++) {
        thread_join(&recorders[i].thread);
    }
    ledger_close(ledger);
    assert_int_equal(sums_by(USAGE_BY_TENANT, NULL).items[0].n_requests, N_THREADS * N_PER_THREAD);
}

static void room_is_bounded_and_comes_back(void **state)
{
    (void)state;
    struct ledger *ledger;
    assert_int_equal(ledger_open(usage, store, &ledger, NULL), REALM_OK);
    for (uint32_t i = 0; i < LEDGER_MAX_ENTRIES; i++) {
        assert_true(ledger_reserve(ledger));
    }
    assert_false(ledger_reserve(ledger));
    ledger_forgo(ledger);
    assert_true(ledger_reserve(ledger));
    assert_false(ledger_reserve(ledger));
    for (uint32_t i = 0; i < LEDGER_MAX_ENTRIES; i++) {
        ledger_forgo(ledger);
    }
    ledger_close(ledger);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_counts_once),
        TEST(sums_begin_where_they_should),
        TEST(a_request_costs_what_its_model_did_then),
        TEST(all_that_threads_record_is_there_at_the_end),
        TEST(room_is_bounded_and_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
