/* Time.  Tests may replace the source. */
#ifndef REALM_BASE_CLOCK_H
#define REALM_BASE_CLOCK_H

#include <stdint.h>

/* Never goes back; origin unspecified. */
uint64_t clock_monotonic_ns(void);
/* Processor time of the calling thread. */
uint64_t clock_thread_ns(void);
/* Seconds and milliseconds since 1970-01-01 UTC. */
int64_t clock_wall_s(void);
int64_t clock_wall_ms(void);

/* Tests: all clocks stand still at now_ns from here on; UINT64_MAX: real time again. */
void clock_freeze(uint64_t now_ns);

#endif
