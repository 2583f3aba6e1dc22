/* The tokens of a run: of the instance a client asked for and of all programs below it, as they are
 * used.  Shared by those instances, the last of which frees it; any thread. */
#ifndef REALM_SANDBOX_TALLY_H
#define REALM_SANDBOX_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

struct tally {
    _Atomic uint32_t owners;
    _Atomic uint64_t prompt_tokens;
    _Atomic uint64_t completion_tokens;
};

/* NULL: out of memory. */
struct tally *tally_create(void);
/* One more owner, which it returns. */
struct tally *tally_share(struct tally *tally);
/* NULL is fine. */
void tally_release(struct tally *tally);

#endif
