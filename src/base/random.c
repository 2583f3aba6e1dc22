#include "base/random.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define PHILOX_MULTIPLIER_0 0xD2511F53u
#define PHILOX_MULTIPLIER_1 0xCD9E8D57u
#define PHILOX_WEYL_0       0x9E3779B9u /* golden ratio */
#define PHILOX_WEYL_1       0xBB67AE85u /* square root of 3, less 1 */
#define PHILOX_ROUNDS       10

realm_status random_bytes(void *out, size_t n_bytes, struct realm_error *error)
{
    char *position = out;
    size_t left = n_bytes;
    while (left > 0) {
        const ssize_t got = getrandom(position, left, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return realm_error_set(
                error, REALM_UNAVAILABLE, "no random bytes from the system (errno %d)", errno);
        }
        position += got;
        left -= (size_t)got;
    }
    return REALM_OK;
}

void philox_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t x[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t key_0 = key[0];
    uint32_t key_1 = key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const uint64_t product_0 = (uint64_t)PHILOX_MULTIPLIER_0 * x[0];
        const uint64_t product_1 = (uint64_t)PHILOX_MULTIPLIER_1 * x[2];
        x[0] = (uint32_t)(product_1 >> 32) ^ x[1] ^ key_0;
        x[1] = (uint32_t)product_1;
        x[2] = (uint32_t)(product_0 >> 32) ^ x[3] ^ key_1;
        x[3] = (uint32_t)product_0;
        key_0 += PHILOX_WEYL_0;
        key_1 += PHILOX_WEYL_1;
    }
    memcpy(out, x, sizeof(x));
}

uint32_t philox_u32(struct philox *philox)
{
    const uint64_t block = philox->counter / 4;
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), 0, 0};
    const uint32_t key[2] = {(uint32_t)philox->seed, (uint32_t)(philox->seed >> 32)};
    uint32_t words[4];
    philox_block(counter, key, words);
    return words[philox->counter++ % 4];
}

float philox_float(struct philox *philox)
{
    return (float)(philox_u32(philox) >> 8) * 0x1p-24f;
}

double philox_double(struct philox *philox)
{
    const uint64_t high = philox_u32(philox);
    const uint64_t low = philox_u32(philox);
    return (double)((high << 32 | low) >> 11) * 0x1p-53;
}
