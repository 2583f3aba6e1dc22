/* What a caller may use, asked for one request. */
#include "tenant/tenant.h"

static realm_status
check_model(const struct tenant_grant *grant, const char *model, struct realm_error *error)
{
    static const char *const whose[2] = {"the tenant", "the API key"};
    for (int i = 0; i < 2; i++) {
        if (!limits_allow_model(grant->models[i], model)) {
            return realm_error_set(error,
                                   REALM_PERMISSION_DENIED,
                                   "%s may not use the model %.100s, only %.300s",
                                   whose[i],
                                   model,
                                   grant->models[i]);
        }
    }
    return REALM_OK;
}

realm_status tenant_admit(const struct tenant_grant *grant,
                          const struct tenant_demand *demand,
                          struct tenant_ticket *ticket,
                          struct quota_standing *standing,
                          struct realm_error *error)
{
    *ticket = (struct tenant_ticket){.admitted = false};
    *standing = (struct quota_standing){.retry_after_ms = 0};
    REALM_TRY(check_model(grant, demand->model, error));
    if (grant->max_context != 0 && demand->n_context > grant->max_context) {
        return realm_error_set(error,
                               REALM_PERMISSION_DENIED,
                               "the prompt and its answer may take %llu tokens, and this key may "
                               "use %llu: shorten the prompt or lower max_tokens",
                               (unsigned long long)demand->n_context,
                               (unsigned long long)grant->max_context);
    }
    if (!ledger_reserve(grant->ledger)) {
        return realm_error_set(error,
                               REALM_UNAVAILABLE,
                               "what requests use cannot be recorded fast enough; try again later");
    }
    const realm_status status = quota_admit(grant->book,
                                            grant->quotas[0],
                                            grant->quotas[1],
                                            demand->n_tokens,
                                            &ticket->quota,
                                            standing,
                                            error);
    if (status != REALM_OK) {
        ledger_forgo(grant->ledger);
        return status;
    }
    ticket->admitted = true;
    return REALM_OK;
}

void tenant_raise(const struct tenant_grant *grant, struct tenant_ticket *ticket, uint64_t n_tokens)
{
    if (ticket->admitted) {
        quota_raise(grant->book, &ticket->quota, n_tokens);
    }
}

void tenant_settle(const struct tenant_grant *grant,
                   struct tenant_ticket *ticket,
                   const struct usage_entry *used)
{
    if (ticket->admitted) {
        quota_settle(grant->book, &ticket->quota, used->prompt_tokens + used->completion_tokens);
        ledger_record(grant->ledger, used);
        ticket->admitted = false;
    }
}

void tenant_grant_release(struct tenant_grant *grant)
{
    for (int i = 0; i < 2; i++) {
        quota_release(grant->quotas[i]);
        grant->quotas[i] = NULL;
    }
}

void tenant_caller_release(struct tenant_caller *caller)
{
    account_release(caller->account);
    caller->account = NULL;
    tenant_grant_release(&caller->grant);
}
