/* SipHash-2-4 (Aumasson & Bernstein 2012): a short hash under a secret key. */
#ifndef REALM_BASE_SIPHASH_H
#define REALM_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_BYTES 16

uint64_t siphash_2_4(const uint8_t key[SIPHASH_KEY_BYTES], const void *data, size_t n_bytes);

#endif
