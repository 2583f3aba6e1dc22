/* Small questions about text. */
#ifndef REALM_BASE_TEXT_H
#define REALM_BASE_TEXT_H

#include <stdint.h>

/* How many insertions, removals and replacements turn a into b (Levenshtein 1966), for "did you
 * mean"; looks at the first 63 bytes of each. */
uint32_t text_distance(const char *a, const char *b);

#endif
