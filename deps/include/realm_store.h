/* Limits of a Wasmtime store whose breach traps, instead of failing softly as those of
 * wasmtime_store_limiter do. */
#ifndef REALM_STORE_H
#define REALM_STORE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wasmtime_store;

/* One instance, one memory of at most memory_bytes, tables of at most table_elements each.  A
 * growth beyond ends the guest with an error that begins "forcing trap when growing". */
void realm_store_limit(struct wasmtime_store *store, size_t memory_bytes, size_t table_elements);

#ifdef __cplusplus
}
#endif
#endif
