//! The limits of a WebAssembly store that end the guest which passes them.
//!
//! Wasmtime's own `wasmtime_store_limiter` lets a growth beyond the limit fail softly, so a guest that
//! asks again and again is never ended; this one makes it a trap.

use wasmtime_c_api::{wasmtime::StoreLimitsBuilder, wasmtime_store_t};
use wasmtime_c_api::{wasmtime_store_context, wasmtime_store_limiter};

/// See `deps/include/realm_store.h`.
#[no_mangle]
pub extern "C" fn realm_store_limit(
    store: &mut wasmtime_store_t,
    memory_bytes: usize,
    table_elements: usize,
) {
    // Puts the limiter in place, which takes the three counts now; sizes are asked at each growth.
    wasmtime_store_limiter(store, 0, 0, 1, TABLES, 1);
    wasmtime_store_context(store).data_mut().store_limits = StoreLimitsBuilder::new()
        .memory_size(memory_bytes)
        .table_elements(table_elements)
        .trap_on_grow_failure(true)
        .build();
}

/// Tables of one module; compilers make one.
const TABLES: i64 = 4;
