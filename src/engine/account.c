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

realm_status account_create_part(struct account *whole,
                                 const struct account_options *options,
                                 struct account **out,
                                 struct realm_error *error)
{
    struct account_options own = *options;
    struct account *part = NULL;
    memcpy(own.label, whole->label, sizeof own.label);
    memcpy(own.domain, whole->domain, sizeof own.domain);
    *out = NULL;
    const realm_status status = account_create(&own, &part, error);
    if (part != NULL) {
        account_retain(whole);
        part->whole = whole;
        *out = part;
    }
    return status;
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
    /* The last owner of a part gives up the part's hold of the whole. */
    while (account != NULL &&
           atomic_fetch_sub_explicit(&account->owners, 1, memory_order_acq_rel) == 1) {
        struct account *const whole = account->whole;
        alloc_free(account);
        account = whole;
    }
}

const char *account_label(const struct account *account)
{
    return account->label;
}

uint32_t account_page_cap(const struct account *account)
{
    const uint32_t own = atomic_load_explicit(&account->max_pages, memory_order_relaxed);
    if (account->whole == NULL) {
        return own;
    }
    const uint32_t all = atomic_load_explicit(&account->whole->max_pages, memory_order_relaxed);
    return own == 0 || (all != 0 && all < own) ? all : own;
}

int32_t account_priority(const struct account *account)
{
    const int32_t own = atomic_load_explicit(&account->priority, memory_order_relaxed);
    if (account->whole == NULL) {
        return own;
    }
    const int32_t all = atomic_load_explicit(&account->whole->priority, memory_order_relaxed);
    return own < 0 && own < all ? own : all;
}

static bool try_enter(struct account *account)
{
    const uint32_t max_waiting = atomic_load_explicit(&account->max_waiting, memory_order_relaxed);
    const uint32_t max_running = atomic_load_explicit(&account->max_running, memory_order_relaxed);
    const uint32_t before = atomic_fetch_add(&account->pending, 1);
    if (max_waiting == 0 || before < (uint64_t)max_waiting + max_running) {
        return true;
    }
    atomic_fetch_sub(&account->pending, 1);
    return false;
}

bool account_try_enter(struct account *account)
{
    struct account *refuser = account;
    if (try_enter(account)) {
        if (account->whole == NULL || try_enter(account->whole)) {
            return true;
        }
        atomic_fetch_sub(&account->pending, 1);
        refuser = account->whole;
    }
    atomic_fetch_add_explicit(&refuser->rejected, 1, memory_order_relaxed);
    if (refuser->whole != NULL) {
        atomic_fetch_add_explicit(&refuser->whole->rejected, 1, memory_order_relaxed);
    }
    return false;
}

void account_leave(struct account *account)
{
    atomic_fetch_sub(&account->pending, 1);
    if (account->whole != NULL) {
        atomic_fetch_sub(&account->whole->pending, 1);
    }
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
