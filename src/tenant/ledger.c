#include "tenant/ledger.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/thread.h"

#include <string.h>

#define WRITE_INTERVAL_MS 250u
#define RETRY_MS          2000u
#define MAX_PRICES        256u

struct ledger {
    struct usage *usage;
    struct store *store;
    struct thread writer;
    bool running;
    struct mutex mutex;
    struct condition changed;
    /* Under the mutex: */
    bool closing;
    bool idle; /* the writer waits for a first entry */
    uint32_t n_reserved;
    uint32_t n_entries;          /* in `entries` */
    uint32_t n_writing;          /* in `batch`, not yet on disk */
    struct usage_entry *entries; /* [LEDGER_MAX_ENTRIES] */
    /* The writer's: */
    struct usage_entry *batch; /* [LEDGER_MAX_ENTRIES] */
    struct price_record prices[MAX_PRICES];
    uint32_t n_prices;
};

/* --- costs --------------------------------------------------------------------------------------
 */

static realm_status
take_price(void *context, const struct price_record *record, struct realm_error *error)
{
    struct ledger *const ledger = context;
    (void)error;
    if (ledger->n_prices < MAX_PRICES) {
        ledger->prices[ledger->n_prices++] = *record;
    }
    return REALM_OK;
}

/* Tokens at a price in micro-units for a million: in pico-units. */
static int64_t cost_of(uint64_t n_tokens, uint64_t price)
{
    int64_t cost;
    return __builtin_mul_overflow(n_tokens, price, &cost) ? INT64_MAX / 4 : cost;
}

static void fill_cost(const struct ledger *ledger, struct usage_entry *entry)
{
    entry->cost = 0;
    entry->currency[0] = '\0';
    for (uint32_t i = 0; i < ledger->n_prices; i++) {
        const struct price_record *const price = &ledger->prices[i];
        if (strcmp(price->model, entry->model) == 0) {
            entry->cost = cost_of(entry->prompt_tokens - entry->cached_tokens, price->input) +
                          cost_of(entry->cached_tokens, price->cached) +
                          cost_of(entry->completion_tokens, price->output);
            memcpy(entry->currency, price->currency, sizeof entry->currency);
        }
    }
}

/* --- the writer ---------------------------------------------------------------------------------
 */

/* Entries that come while others are written wait for the next batch. */
static bool take_batch(struct ledger *ledger) THREAD_REQUIRES(ledger->mutex)
{
    if (ledger->n_entries == 0) {
        return false;
    }
    struct usage_entry *const taken = ledger->entries;
    ledger->entries = ledger->batch;
    ledger->batch = taken;
    ledger->n_writing = ledger->n_entries;
    ledger->n_entries = 0;
    return true;
}

static realm_status write_batch(struct ledger *ledger, uint32_t n_entries)
{
    struct realm_error error;
    ledger->n_prices = 0;
    realm_status status = store_each_price(ledger->store, take_price, ledger, &error);
    for (uint32_t i = 0; i < n_entries && status == REALM_OK; i++) {
        fill_cost(ledger, &ledger->batch[i]);
    }
    if (status == REALM_OK) {
        status = usage_add(ledger->usage, ledger->batch, n_entries, &error);
    }
    if (status != REALM_OK) {
        log_error(
            "usage_not_written", LOG_U64("requests", n_entries), LOG_TEXT("error", error.message));
    }
    return status;
}

static void run(void *context)
{
    struct ledger *const ledger = context;
    mutex_lock(&ledger->mutex);
    while (!ledger->closing || ledger->n_entries > 0) {
        if (!take_batch(ledger)) {
            ledger->idle = true;
            condition_wait(&ledger->changed, &ledger->mutex);
            ledger->idle = false;
            continue;
        }
        for (;;) {
            const uint32_t n_entries = ledger->n_writing;
            mutex_unlock(&ledger->mutex);
            const realm_status status = write_batch(ledger, n_entries);
            mutex_lock(&ledger->mutex);
            if (status == REALM_OK || ledger->closing) {
                break;
            }
            (void)condition_wait_ms(&ledger->changed, &ledger->mutex, RETRY_MS);
        }
        ledger->n_writing = 0;
        if (!ledger->closing) {
            /* What comes within the interval is one batch. */
            (void)condition_wait_ms(&ledger->changed, &ledger->mutex, WRITE_INTERVAL_MS);
        }
    }
    mutex_unlock(&ledger->mutex);
}

/* --- its users ----------------------------------------------------------------------------------
 */

bool ledger_reserve(struct ledger *ledger)
{
    mutex_lock(&ledger->mutex);
    const bool room =
        ledger->n_reserved + ledger->n_entries + ledger->n_writing < LEDGER_MAX_ENTRIES;
    ledger->n_reserved += room ? 1 : 0;
    mutex_unlock(&ledger->mutex);
    return room;
}

void ledger_record(struct ledger *ledger, const struct usage_entry *entry)
{
    mutex_lock(&ledger->mutex);
    ledger->n_reserved--;
    ledger->entries[ledger->n_entries++] = *entry;
    if (ledger->idle) {
        condition_signal(&ledger->changed);
    }
    mutex_unlock(&ledger->mutex);
}

void ledger_forgo(struct ledger *ledger)
{
    mutex_lock(&ledger->mutex);
    ledger->n_reserved--;
    mutex_unlock(&ledger->mutex);
}

realm_status ledger_open(struct usage *usage,
                         struct store *prices,
                         struct ledger **out,
                         struct realm_error *error)
{
    *out = NULL;
    struct ledger *const ledger = alloc_zeroed(ALLOC_SERVER, 1, sizeof *ledger);
    if (ledger == NULL) {
        return realm_error_out_of_memory(error, sizeof *ledger, "ledger");
    }
    ledger->usage = usage;
    ledger->store = prices;
    mutex_init(&ledger->mutex);
    condition_init(&ledger->changed);
    /* Not zeroed: what is never written takes no memory, and hardly a server has the thousands of
     * entries at once that there is room for. */
    const size_t n_bytes = LEDGER_MAX_ENTRIES * sizeof *ledger->entries;
    ledger->entries = alloc_bytes(ALLOC_SERVER, n_bytes);
    ledger->batch = alloc_bytes(ALLOC_SERVER, n_bytes);
    realm_status status = REALM_OK;
    if (ledger->entries == NULL || ledger->batch == NULL) {
        status = realm_error_out_of_memory(error, 2 * n_bytes, "ledger");
    }
    if (status == REALM_OK) {
        status = thread_start(&ledger->writer, "realm-ledger", run, ledger, error);
    }
    if (status != REALM_OK) {
        ledger_close(ledger);
        return status;
    }
    ledger->running = true;
    *out = ledger;
    return REALM_OK;
}

void ledger_close(struct ledger *ledger)
{
    if (ledger == NULL) {
        return;
    }
    if (ledger->running) {
        mutex_lock(&ledger->mutex);
        ledger->closing = true;
        condition_signal(&ledger->changed);
        mutex_unlock(&ledger->mutex);
        thread_join(&ledger->writer);
    }
    alloc_free(ledger->entries);
    alloc_free(ledger->batch);
    condition_deinit(&ledger->changed);
    mutex_deinit(&ledger->mutex);
    alloc_free(ledger);
}
