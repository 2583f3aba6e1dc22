#include "sandbox/tally.h"

#include "base/alloc.h"

struct tally *tally_create(void)
{
    struct tally *tally = alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct tally));
    if (tally != NULL) {
        atomic_init(&tally->owners, 1);
    }
    return tally;
}

struct tally *tally_share(struct tally *tally)
{
    atomic_fetch_add(&tally->owners, 1);
    return tally;
}

void tally_release(struct tally *tally)
{
    if (tally != NULL && atomic_fetch_sub(&tally->owners, 1) == 1) {
        alloc_free(tally);
    }
}
