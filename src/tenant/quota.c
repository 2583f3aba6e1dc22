#include "tenant/quota.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "tenant/bucket.h"

#define MS_PER_DAY ((int64_t)86400000)
#define NS_PER_US  1000u
#define US_PER_MS  1000u

struct quota_book {
    struct mutex mutex; /* guards all quotas of the book */
};

struct quota {
    struct quota_book *book;
    struct quota_limits limits;
    uint32_t n_references; /* of owners, and one a ticket */
    uint32_t n_running;
    uint64_t n_reserved; /* estimates of what runs */
    struct bucket requests;
    struct bucket tokens;
    int64_t day;   /* since 1970, of used.day_tokens */
    int64_t month; /* since 1970, of used.month_tokens */
    struct quota_used used;
};

/* --- the calendar -------------------------------------------------------------------------------
 */

/* Months since March of year 0 of a day since 1970; years begin in March, so that leap days end
 * them (the 400-year cycle of the Gregorian calendar). */
static int64_t month_of(int64_t day)
{
    const int64_t since_zero = day + 719468; /* days since 0000-03-01 */
    const int64_t era = since_zero / 146097;
    const int64_t in_era = since_zero % 146097;
    const int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    const int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    return (era * 400 + year) * 12 + (5 * in_year + 2) / 153;
}

static uint64_t ms_to_next_day(int64_t now_ms)
{
    return (uint64_t)(MS_PER_DAY - now_ms % MS_PER_DAY);
}

static uint64_t ms_to_next_month(int64_t now_ms)
{
    const int64_t today = now_ms / MS_PER_DAY;
    int64_t day = today + 1;
    while (month_of(day) == month_of(today)) {
        day++;
    }
    return (uint64_t)(day * MS_PER_DAY - now_ms);
}

int64_t quota_month_start_ms(int64_t now_ms)
{
    int64_t day = now_ms / MS_PER_DAY;
    while (month_of(day - 1) == month_of(day)) {
        day--;
    }
    return day * MS_PER_DAY;
}

/* A new day or month begins at nothing. */
static void turn_calendar(struct quota *quota, int64_t now_ms)
{
    const int64_t day = now_ms / MS_PER_DAY;
    if (day == quota->day) {
        return;
    }
    quota->used.day_tokens = 0;
    quota->day = day;
    if (month_of(day) != quota->month) {
        quota->used.month_tokens = 0;
        quota->month = month_of(day);
    }
}

/* --- life ---------------------------------------------------------------------------------------
 */

static uint64_t now_us(void)
{
    return clock_monotonic_ns() / NS_PER_US;
}

realm_status quota_book_create(struct quota_book **out, struct realm_error *error)
{
    *out = alloc_zeroed(ALLOC_SERVER, 1, sizeof **out);
    if (*out == NULL) {
        return realm_error_out_of_memory(error, sizeof **out, "quotas");
    }
    mutex_init(&(*out)->mutex);
    return REALM_OK;
}

void quota_book_destroy(struct quota_book *book)
{
    if (book != NULL) {
        mutex_deinit(&book->mutex);
        alloc_free(book);
    }
}

static void configure(struct quota *quota, const struct quota_limits *limits)
{
    const uint64_t now = now_us();
    quota->limits = *limits;
    bucket_configure(&quota->requests, limits->requests_per_minute, now);
    bucket_configure(&quota->tokens, limits->tokens_per_minute, now);
}

realm_status quota_create(struct quota_book *book,
                          const struct quota_limits *limits,
                          const struct quota_used *used,
                          struct quota **out,
                          struct realm_error *error)
{
    struct quota *const quota = alloc_zeroed(ALLOC_SERVER, 1, sizeof *quota);
    *out = quota;
    if (quota == NULL) {
        return realm_error_out_of_memory(error, sizeof *quota, "quota");
    }
    quota->book = book;
    quota->n_references = 1;
    quota->day = clock_wall_ms() / MS_PER_DAY;
    quota->month = month_of(quota->day);
    if (used != NULL) {
        quota->used = *used;
    }
    configure(quota, limits);
    return REALM_OK;
}

void quota_configure(struct quota *quota, const struct quota_limits *limits)
{
    mutex_lock(&quota->book->mutex);
    configure(quota, limits);
    mutex_unlock(&quota->book->mutex);
}

void quota_retain(struct quota *quota)
{
    mutex_lock(&quota->book->mutex);
    quota->n_references++;
    mutex_unlock(&quota->book->mutex);
}

/* True: the last reference is gone. */
static bool drop_reference(struct quota *quota)
{
    return --quota->n_references == 0;
}

void quota_release(struct quota *quota)
{
    if (quota == NULL) {
        return;
    }
    struct quota_book *const book = quota->book;
    mutex_lock(&book->mutex);
    const bool last = drop_reference(quota);
    mutex_unlock(&book->mutex);
    if (last) {
        alloc_free(quota);
    }
}

struct quota_used quota_used_now(struct quota *quota)
{
    mutex_lock(&quota->book->mutex);
    turn_calendar(quota, clock_wall_ms());
    const struct quota_used used = quota->used;
    mutex_unlock(&quota->book->mutex);
    return used;
}

/* --- a request ----------------------------------------------------------------------------------
 */

struct question {
    uint64_t n_tokens;
    uint64_t now_us;
    int64_t now_ms; /* wall time */
    const char *whose;
};

static realm_status refuse_rate(const struct question *question,
                                const char *what,
                                uint32_t limit,
                                uint64_t wait_us,
                                uint64_t *retry_after_ms,
                                struct realm_error *error)
{
    *retry_after_ms = wait_us / US_PER_MS + 1;
    return realm_error_set(error,
                           REALM_QUOTA_EXCEEDED,
                           "%s may use %lu %s a minute; try again in %.1f s",
                           question->whose,
                           (unsigned long)limit,
                           what,
                           (double)*retry_after_ms / 1000);
}

/* Of one period.  What runs counts with its estimate, so the total is never passed. */
static realm_status check_total(const struct quota *quota,
                                const struct question *question,
                                const char *period,
                                uint64_t used,
                                uint64_t limit,
                                struct realm_error *error)
{
    const uint64_t taken = used + quota->n_reserved;
    const uint64_t left = limit > taken ? limit - taken : 0;
    if (limit == 0 || question->n_tokens <= left) {
        return REALM_OK;
    }
    return realm_error_set(error,
                           REALM_QUOTA_EXCEEDED,
                           "%s may use %llu tokens a %s and has %llu left; this request may take "
                           "%llu: shorten it, lower max_tokens or wait for the next %s (UTC)",
                           question->whose,
                           (unsigned long long)limit,
                           period,
                           (unsigned long long)left,
                           (unsigned long long)question->n_tokens,
                           period);
}

static realm_status check_totals(const struct quota *quota,
                                 const struct question *question,
                                 uint64_t *retry_after_ms,
                                 struct realm_error *error)
{
    const struct quota_limits *const limits = &quota->limits;
    *retry_after_ms = ms_to_next_month(question->now_ms);
    REALM_TRY(check_total(
        quota, question, "month", quota->used.month_tokens, limits->tokens_per_month, error));
    *retry_after_ms = ms_to_next_day(question->now_ms);
    REALM_TRY(
        check_total(quota, question, "day", quota->used.day_tokens, limits->tokens_per_day, error));
    *retry_after_ms = 0;
    return REALM_OK;
}

static realm_status check(struct quota *quota,
                          const struct question *question,
                          uint64_t *retry_after_ms,
                          struct realm_error *error)
{
    const struct quota_limits *const limits = &quota->limits;
    turn_calendar(quota, question->now_ms);
    REALM_TRY(check_totals(quota, question, retry_after_ms, error));
    if (limits->max_concurrent != 0 && quota->n_running >= limits->max_concurrent) {
        *retry_after_ms = 1000; /* nobody knows when one ends */
        return realm_error_set(error,
                               REALM_QUOTA_EXCEEDED,
                               "%s may have %lu requests at once, and they run; try again when one "
                               "has ended",
                               question->whose,
                               (unsigned long)limits->max_concurrent);
    }
    const uint64_t request_us = bucket_wait_us(&quota->requests, 1, question->now_us);
    const uint64_t token_us = bucket_wait_us(&quota->tokens, question->n_tokens, question->now_us);
    if (request_us == 0 && token_us == 0) {
        return REALM_OK;
    }
    /* The one that takes longer: coming back for the other would be refused again. */
    return request_us >= token_us ? refuse_rate(question,
                                                "requests",
                                                limits->requests_per_minute,
                                                request_us,
                                                retry_after_ms,
                                                error)
                                  : refuse_rate(question,
                                                "tokens",
                                                limits->tokens_per_minute,
                                                token_us,
                                                retry_after_ms,
                                                error);
}

static void charge(struct quota *quota, const struct question *question)
{
    bucket_take(&quota->requests, 1, question->now_us);
    bucket_take(&quota->tokens, (int64_t)question->n_tokens, question->now_us);
    quota->n_reserved += question->n_tokens;
    quota->n_running++;
    quota->n_references++;
}

static void tell_rate(struct quota_rate *rate, struct bucket *bucket, uint64_t now)
{
    const uint32_t available = bucket_available(bucket, now);
    if (bucket->per_minute == 0 || (rate->limit != 0 && rate->remaining <= available)) {
        return;
    }
    *rate =
        (struct quota_rate){.limit = bucket->per_minute,
                            .remaining = available,
                            .reset_ms = (bucket_reset_us(bucket, now) + US_PER_MS - 1) / US_PER_MS};
}

/* Both are asked before either is charged. */
static realm_status ask(struct quota *const quotas[2],
                        struct question *question,
                        struct quota_standing *standing,
                        struct realm_error *error)
{
    static const char *const whose[2] = {"the tenant", "the API key"};
    for (int i = 0; i < 2; i++) {
        question->whose = whose[i];
        if (quotas[i] != NULL) {
            REALM_TRY(check(quotas[i], question, &standing->retry_after_ms, error));
        }
    }
    return REALM_OK;
}

realm_status quota_admit(struct quota_book *book,
                         struct quota *tenant,
                         struct quota *key,
                         uint64_t n_tokens_estimate,
                         struct quota_ticket *ticket,
                         struct quota_standing *standing,
                         struct realm_error *error)
{
    struct quota *const quotas[2] = {tenant, key};
    /* One request cannot take more than a bucket can owe; sums below stay far from overflow. */
    const uint64_t estimate = n_tokens_estimate < UINT32_MAX ? n_tokens_estimate : UINT32_MAX;
    struct question question = {.n_tokens = estimate, .now_ms = clock_wall_ms()};
    *ticket = (struct quota_ticket){.estimate = 0};
    *standing = (struct quota_standing){.retry_after_ms = 0};
    mutex_lock(&book->mutex);
    question.now_us = now_us(); /* under the mutex: it never goes back for a bucket */
    const realm_status status = ask(quotas, &question, standing, error);
    for (int i = 0; i < 2; i++) {
        if (quotas[i] == NULL) {
            continue;
        }
        if (status == REALM_OK) {
            charge(quotas[i], &question);
            ticket->quotas[i] = quotas[i];
        }
        tell_rate(&standing->requests, &quotas[i]->requests, question.now_us);
        tell_rate(&standing->tokens, &quotas[i]->tokens, question.now_us);
    }
    ticket->estimate = status == REALM_OK ? estimate : 0;
    mutex_unlock(&book->mutex);
    return status;
}

void quota_raise(struct quota_book *book, struct quota_ticket *ticket, uint64_t n_tokens)
{
    const uint64_t used = n_tokens < UINT32_MAX ? n_tokens : UINT32_MAX;
    if (used <= ticket->estimate) {
        return;
    }
    const uint64_t beyond = used - ticket->estimate;
    mutex_lock(&book->mutex);
    for (int i = 0; i < 2; i++) {
        if (ticket->quotas[i] != NULL) {
            bucket_take(&ticket->quotas[i]->tokens, (int64_t)beyond, now_us());
            ticket->quotas[i]->n_reserved += beyond;
        }
    }
    mutex_unlock(&book->mutex);
    ticket->estimate = used;
}

void quota_settle(struct quota_book *book, struct quota_ticket *ticket, uint64_t n_tokens)
{
    struct quota *dead[2] = {NULL, NULL};
    const uint64_t used = n_tokens < UINT32_MAX ? n_tokens : UINT32_MAX;
    const int64_t beyond = (int64_t)used - (int64_t)ticket->estimate;
    mutex_lock(&book->mutex);
    for (int i = 0; i < 2; i++) {
        struct quota *const quota = ticket->quotas[i];
        if (quota == NULL) {
            continue;
        }
        turn_calendar(quota, clock_wall_ms());
        bucket_take(&quota->tokens, beyond, now_us());
        quota->used.day_tokens += used;
        quota->used.month_tokens += used;
        quota->n_reserved -= ticket->estimate;
        quota->n_running--;
        dead[i] = drop_reference(quota) ? quota : NULL;
    }
    mutex_unlock(&book->mutex);
    alloc_free(dead[0]);
    alloc_free(dead[1]);
    *ticket = (struct quota_ticket){.estimate = 0};
}
