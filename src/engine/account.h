/* A tenant as the engine sees it: numbers, never a name or a key.  Filled by the layer above, which owns it
 * and keeps it until no request of it is running. */
#ifndef REALM_ENGINE_ACCOUNT_H
#define REALM_ENGINE_ACCOUNT_H

#include <stdint.h>

struct account {
    uint64_t id;          /* label of counters */
    uint32_t weight;      /* share under contention; 0: 1 */
    uint32_t max_running; /* sequences in the batch at once; 0: no cap */
    uint8_t prefix_domain[32]; /* secret: who may share cached prefixes */
};

#endif
