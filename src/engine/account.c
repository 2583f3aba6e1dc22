#include "base/alloc.h"
#include "engine/account_state.h"

#include <string.h>

realm_status account_create(const struct account_options *options,
                            struct account **out,
                            struct realm_error *error)
{
    *out = NULL;
    struct account *account = alloc_zeroed(ALLOC_ENGINE, 1, sizeof *account);
    if (account == NULL) {
        return realm_error_out_of_memory(error, sizeof *account, "account");
    }
    atomic_init(&account->owners, 1);
    memcpy(account->label, options->label, sizeof account->label - 1);
    memcpy(account->domain, options->domain, sizeof account->domain);
    account_configure(account, options);
    *out = account;
    return REALM_OK;
}

void account_configure(struct account *account, const struct account_options *options)
{
    atomic_store_explicit(
        &account->weight, options->weight > 0 ? options->weight : 1, memory_order_relaxed);
    atomic_store_explicit(&account->priority, options->priority, memory_order_relaxed);
    atomic_store_explicit(&account->max_running, options->max_running, memory_order_relaxed);
    atomic_store_explicit(&account->max_waiting, options->max_waiting, memory_order_relaxed);
    atomic_store_explicit(&account->max_pages, options->max_pages, memory_order_relaxed);
}

void account_retain(struct account *account)
{
    atomic_fetch_add_explicit(&account->owners, 1, memory_order_relaxed);
}

void account_release(struct account *account)
{
    if (account != NULL &&
        atomic_fetch_sub_explicit(&account->owners, 1, memory_order_acq_rel) == 1) {
        alloc_free(account);
    }
}

const char *account_label(const struct account *account)
{
    return account->label;
}

bool account_try_enter(struct account *account)
{
    const uint32_t max_waiting = atomic_load_explicit(&account->max_waiting, memory_order_relaxed);
    const uint32_t max_running = atomic_load_explicit(&account->max_running, memory_order_relaxed);
    const uint32_t before = atomic_fetch_add(&account->pending, 1);
    if (max_waiting == 0 || before < (uint64_t)max_waiting + max_running) {
        return true;
    }
    atomic_fetch_sub(&account->pending, 1);
    atomic_fetch_add_explicit(&account->rejected, 1, memory_order_relaxed);
    return false;
}

void account_leave(struct account *account)
{
    atomic_fetch_sub(&account->pending, 1);
}

void account_stats(const struct account *account, struct account_stats *out)
{
    *out = (struct account_stats){
        .prompt_tokens = atomic_load(&account->prompt_tokens),
        .cached_tokens = atomic_load(&account->cached_tokens),
        .completion_tokens = atomic_load(&account->completion_tokens),
        .preemptions = atomic_load(&account->preemptions),
        .rejected = atomic_load(&account->rejected),
        .pending = atomic_load(&account->pending),
    };
}
