#include "tenant/bucket.h"

#define MICRO          1000000
#define SECONDS_A_FILL 60
/* More is never owed, so that no sum below overflows: (capacity + debt) * 60 < 2^59. */
#define MAX_DEBT_UNITS ((int64_t)UINT32_MAX)

static int64_t capacity(const struct bucket *bucket)
{
    return (int64_t)bucket->per_minute * MICRO;
}

static void clamp(struct bucket *bucket)
{
    const int64_t floor = -MAX_DEBT_UNITS * MICRO;
    bucket->level = bucket->level > capacity(bucket) ? capacity(bucket) : bucket->level;
    bucket->level = bucket->level < floor ? floor : bucket->level;
}

/* Time in which `micro_units` flow in, rounded up. */
static uint64_t time_for(const struct bucket *bucket, int64_t micro_units)
{
    if (bucket->per_minute == 0 || micro_units <= 0) {
        return 0;
    }
    const uint64_t sixtieths = (uint64_t)micro_units * SECONDS_A_FILL - bucket->rest;
    return (sixtieths + bucket->per_minute - 1) / bucket->per_minute;
}

static void refill(struct bucket *bucket, uint64_t now_us)
{
    const uint64_t elapsed_us = now_us > bucket->at_us ? now_us - bucket->at_us : 0;
    bucket->at_us = now_us > bucket->at_us ? now_us : bucket->at_us;
    if (elapsed_us >= time_for(bucket, capacity(bucket) - bucket->level)) {
        bucket->level = capacity(bucket);
        bucket->rest = 0;
        return;
    }
    const uint64_t sixtieths = elapsed_us * bucket->per_minute + bucket->rest;
    bucket->level += (int64_t)(sixtieths / SECONDS_A_FILL);
    bucket->rest = (uint32_t)(sixtieths % SECONDS_A_FILL);
}

void bucket_configure(struct bucket *bucket, uint32_t per_minute, uint64_t now_us)
{
    refill(bucket, now_us);
    const int64_t used = bucket->per_minute == 0 ? 0 : capacity(bucket) - bucket->level;
    bucket->per_minute = per_minute;
    bucket->level = capacity(bucket) - used;
    bucket->rest = 0;
    clamp(bucket);
}

/* What a request for n_units waits for: all of them, or a full bucket. */
static int64_t wanted(const struct bucket *bucket, uint64_t n_units)
{
    return n_units < bucket->per_minute ? (int64_t)n_units * MICRO : capacity(bucket);
}

uint32_t bucket_available(struct bucket *bucket, uint64_t now_us)
{
    refill(bucket, now_us);
    if (bucket->per_minute == 0) {
        return UINT32_MAX;
    }
    return bucket->level > 0 ? (uint32_t)(bucket->level / MICRO) : 0;
}

bool bucket_allows(struct bucket *bucket, uint64_t n_units, uint64_t now_us)
{
    refill(bucket, now_us);
    return bucket->per_minute == 0 || bucket->level >= wanted(bucket, n_units);
}

void bucket_take(struct bucket *bucket, int64_t n_units, uint64_t now_us)
{
    refill(bucket, now_us);
    if (bucket->per_minute == 0) {
        return;
    }
    /* Neither way moves the level further than from one end to the other. */
    const int64_t most = 2 * MAX_DEBT_UNITS;
    const int64_t bounded = n_units > most ? most : n_units < -most ? -most : n_units;
    bucket->level -= bounded * MICRO;
    clamp(bucket);
}

uint64_t bucket_wait_us(struct bucket *bucket, uint64_t n_units, uint64_t now_us)
{
    refill(bucket, now_us);
    return time_for(bucket, wanted(bucket, n_units) - bucket->level);
}

uint64_t bucket_reset_us(struct bucket *bucket, uint64_t now_us)
{
    refill(bucket, now_us);
    return time_for(bucket, capacity(bucket) - bucket->level);
}
