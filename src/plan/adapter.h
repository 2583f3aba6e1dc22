/* A LoRA adapter (Hu et al. 2021) as it stands to a plan: what it adds to some of the matrices, for
 * the rows of those sequences of a batch that name it:
 *
 *   out[t] += scale * B . (A . x[t])
 *
 * Owner: whoever made the list, with the bytes it points to. */
#ifndef REALM_PLAN_ADAPTER_H
#define REALM_PLAN_ADAPTER_H

#include "plan/plan.h"

#define ADAPTER_MAX_RANK 256u

/* Row-major, as in a file; F32, F16, BF16 or quantised. */
struct adapter_matrix {
    enum tensor_type type;
    struct bytes_view bytes;
};

struct adapter_part {
    tensor_id weight; /* read by MATMULs and nothing else; at most one part for each */
    uint32_t rank;    /* 1 to ADAPTER_MAX_RANK */
    float scale;
    struct adapter_matrix a; /* rank x columns of the weight */
    struct adapter_matrix b; /* rows of the weight x rank */
};

#endif
