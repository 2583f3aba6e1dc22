/* A token bucket: so many units a minute, of which one minute's worth may be saved up.
 *
 * The level may fall below zero: what a request costs is known at its end only, and what it cost
 * beyond the estimate is then owed.  So over any long time no more is given than the rate, whatever
 * the estimates were.  Owner: whoever holds it, one thread at a time. */
#ifndef REALM_TENANT_BUCKET_H
#define REALM_TENANT_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: without limit.  Times are those of a clock that never goes back. */
struct bucket {
    uint32_t per_minute; /* 0: no limit */
    uint32_t rest;       /* 60ths of a micro-unit not yet given, below 60 */
    int64_t level;       /* micro-units */
    uint64_t at_us;      /* when `level` held */
};

/* Sets the rate; a bucket that had no limit begins full.  What was used of the last minute stays
 * used. */
void bucket_configure(struct bucket *bucket, uint32_t per_minute, uint64_t now_us);
/* Units there are now; 0 while some are owed; UINT32_MAX without limit. */
uint32_t bucket_available(struct bucket *bucket, uint64_t now_us);
/* A request for more than the bucket holds goes when the bucket is full. */
bool bucket_allows(struct bucket *bucket, uint64_t n_units, uint64_t now_us);
/* Takes, allowed or not; a negative number gives back. */
void bucket_take(struct bucket *bucket, int64_t n_units, uint64_t now_us);
/* Until bucket_allows says yes, if nobody takes anything in between; 0: it does now. */
uint64_t bucket_wait_us(struct bucket *bucket, uint64_t n_units, uint64_t now_us);
/* Until it is full. */
uint64_t bucket_reset_us(struct bucket *bucket, uint64_t now_us);

#endif
