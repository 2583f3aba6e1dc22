/* A walk over a module's sections: is it a core module at all, and what does its custom section
 * `realm.functions` say.  Wasmtime does the validation proper. */
#ifndef REALM_SANDBOX_MODULE_SCAN_H
#define REALM_SANDBOX_MODULE_SCAN_H

#include "base/bytes.h"
#include "base/status.h"

/* *functions: the contents of the section, empty when there is none; lies in module.
 * INVALID_FORMAT: with the offset. */
REALM_MUST_CHECK realm_status module_scan(struct bytes module,
                                          struct bytes *functions,
                                          struct realm_error *error);

#endif
