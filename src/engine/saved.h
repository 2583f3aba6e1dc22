/* Sequences that were saved under a name, until they are removed or the engine ends.  The name is
 * known to accounts of one domain and for one model.  Engine thread, but for creating. */
#ifndef REALM_ENGINE_SAVED_H
#define REALM_ENGINE_SAVED_H

#include "base/bytes.h"
#include "engine/generation.h"

struct saved_list {
    struct saved *first;
};

struct saved;
struct session;

/* Empty, for a copy of a sequence of at most max_tokens; any thread. */
REALM_MUST_CHECK realm_status saved_create(const struct session *session,
                                           struct bytes name,
                                           uint32_t max_tokens,
                                           struct saved **out,
                                           struct realm_error *error);
/* It is in no list.  NULL is fine. */
void saved_destroy(struct saved *saved);

/* NULL: none. */
const struct sequence *
saved_find(struct saved_list *list, const struct session *session, struct bytes name);
/* Keeps a copy of the sequence in `saved`, which is the list's then, in place of an older one.
 * QUOTA_EXCEEDED: the account's would fill more than max_pages; nothing has changed. */
REALM_MUST_CHECK realm_status saved_keep(struct saved_list *list,
                                         struct saved *saved,
                                         const struct sequence *sequence,
                                         uint32_t max_pages,
                                         struct realm_error *error);
/* False: nothing has the name. */
bool saved_remove(struct saved_list *list, const struct session *session, struct bytes name);
void saved_remove_all(struct saved_list *list);

#endif
