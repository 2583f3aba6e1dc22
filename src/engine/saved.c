#include "engine/saved.h"

#include "base/alloc.h"
#include "engine/account_state.h"
#include "engine/scheduler.h"
#include "engine/session_state.h"

struct saved {
    struct saved *next;
    struct generation *generation; /* whose account and model it is */
    struct sequence *sequence;
    char name[SESSION_MAX_NAME_BYTES];
    size_t n_name_bytes;
};

realm_status saved_create(const struct session *session,
                          struct bytes name,
                          uint32_t max_tokens,
                          struct saved **out,
                          struct realm_error *error)
{
    *out = NULL;
    struct saved *saved = alloc_zeroed(ALLOC_REQUEST, 1, sizeof *saved);
    if (saved == NULL) {
        return realm_error_out_of_memory(error, sizeof *saved, "saved sequence");
    }
    const struct request request = {.model = session->model,
                                    .account = session->account,
                                    .adapter = session->generation->adapter};
    realm_status status = generation_create_bare(&request, &saved->generation, error);
    if (status == REALM_OK) {
        status = sequence_create_empty(
            max_tokens, session_chain(session), session->model->pool, &saved->sequence, error);
    }
    if (status != REALM_OK) {
        saved_destroy(saved);
        return status;
    }
    saved->sequence->generation = saved->generation;
    memcpy(saved->name, name.data, name.length);
    saved->n_name_bytes = name.length;
    *out = saved;
    return REALM_OK;
}

void saved_destroy(struct saved *saved)
{
    if (saved == NULL) {
        return;
    }
    sequence_destroy(saved->sequence);
    if (saved->generation != NULL) {
        generation_drop(saved->generation);
    }
    alloc_free(saved);
}

static bool same_owner(const struct generation *a, const struct generation *b)
{
    return a->model == b->model && a->adapter == b->adapter &&
           memcmp(a->account->domain, b->account->domain, sizeof a->account->domain) == 0;
}

/* The link that points at it, or at the list's end. */
static struct saved **
find(struct saved_list *list, const struct generation *owner, const char *name, size_t n_bytes)
{
    struct saved **link = &list->first;
    while (*link != NULL &&
           !(same_owner((*link)->generation, owner) && (*link)->n_name_bytes == n_bytes &&
             memcmp((*link)->name, name, n_bytes) == 0)) {
        link = &(*link)->next;
    }
    return link;
}

static uint32_t n_pages_of(const struct sequence *sequence)
{
    return (sequence->n_tokens + PAGE_TOKENS - 1) / PAGE_TOKENS;
}

static void remove_at(struct saved **link)
{
    struct saved *const saved = *link;
    *link = saved->next;
    scheduler_unpark(saved->generation->model, saved->sequence);
    sequence_truncate(saved->sequence, 0);
    saved_destroy(saved);
}

const struct sequence *
saved_find(struct saved_list *list, const struct session *session, struct bytes name)
{
    struct saved *const *const link =
        find(list, session->generation, (const char *)name.data, name.length);
    return *link != NULL ? (*link)->sequence : NULL;
}

realm_status saved_keep(struct saved_list *list,
                        struct saved *saved,
                        const struct sequence *sequence,
                        uint32_t max_pages,
                        struct realm_error *error)
{
    struct saved **const older = find(list, saved->generation, saved->name, saved->n_name_bytes);
    uint64_t n_pages = n_pages_of(sequence);
    for (const struct saved *s = list->first; s != NULL; s = s->next) {
        n_pages += s != *older && same_owner(s->generation, saved->generation)
                       ? n_pages_of(s->sequence)
                       : 0;
    }
    if (n_pages > max_pages) {
        return realm_error_set(
            error,
            REALM_QUOTA_EXCEEDED,
            "saved sequences would fill %llu KV pages and %u are allowed; remove "
            "some",
            (unsigned long long)n_pages,
            max_pages);
    }
    if (*older != NULL) {
        remove_at(older);
    }
    sequence_fork(sequence, saved->sequence);
    scheduler_park(saved->generation->model, saved->sequence);
    saved->next = list->first;
    list->first = saved;
    return REALM_OK;
}

bool saved_remove(struct saved_list *list, const struct session *session, struct bytes name)
{
    struct saved **const link =
        find(list, session->generation, (const char *)name.data, name.length);
    if (*link == NULL) {
        return false;
    }
    remove_at(link);
    return true;
}

void saved_remove_all(struct saved_list *list)
{
    while (list->first != NULL) {
        remove_at(&list->first);
    }
}
