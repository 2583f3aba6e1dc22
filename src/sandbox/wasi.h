/* The answers of wasi.def. */
#ifndef REALM_SANDBOX_WASI_H
#define REALM_SANDBOX_WASI_H

#include "sandbox/call.h"

#define WASI_CALL(name, parameters) int64_t wasi_##name(struct call *call);
#define WASI_WAIT(name, parameters) int64_t wasi_##name(struct call *call);
#define WASI_NONE(name, parameters)
#include "sandbox/wasi.def"
#undef WASI_CALL
#undef WASI_WAIT
#undef WASI_NONE

/* What all of WASI_NONE answer. */
int64_t wasi_none(struct call *call);
/* The guest has ended: what it has begun to write becomes the last lines of its log. */
void wasi_end_lines(struct instance *instance);

#endif
