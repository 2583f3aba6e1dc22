/* The ledger: what each admitted request has used, written to disk by one thread in batches, at
 * most half a second late.
 *
 * Room for a request's entry is reserved when it is admitted, so that recording it never waits and
 * never fails: where the disk cannot keep up, or fails, new requests are refused, and what was used
 * is kept in memory until it can be written.  Any thread but for open and close. */
#ifndef REALM_TENANT_LEDGER_H
#define REALM_TENANT_LEDGER_H

#include "tenant/usage.h"

#define LEDGER_MAX_ENTRIES 8192u

struct ledger;

/* Starts the writer.  prices: where it looks a model's price up; outlives the ledger, as does
 * usage. */
REALM_MUST_CHECK realm_status ledger_open(struct usage *usage,
                                          struct store *prices,
                                          struct ledger **out,
                                          struct realm_error *error);
/* Writes what there is and ends the writer; nothing may be reserved any more.  NULL is fine. */
void ledger_close(struct ledger *ledger);

/* Room for one entry; false: none is left. */
bool ledger_reserve(struct ledger *ledger);
/* Takes the entry, which has room reserved.  Its cost is filled in by the writer. */
void ledger_record(struct ledger *ledger, const struct usage_entry *entry);
/* Gives reserved room back. */
void ledger_forgo(struct ledger *ledger);

#endif
