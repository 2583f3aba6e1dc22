/* Typed reading of request bodies over jansson: every refusal names the field, the value and what
 * is allowed. */
#ifndef REALM_SERVER_JSON_H
#define REALM_SERVER_JSON_H

#include "base/bytes.h"
#include "server/problem.h"

#include <jansson.h>

#define JSON_MAX_DEPTH 64u
#define JSON_TOO_DEEP  "nested deeper than 64 levels"
#define JSON_DUPLICATE "a key that the object has already"

/* Makes jansson allocate through base/alloc.  Once, before threads start. */
void json_use_our_allocator(void);

/* Parses one value of any kind (json_parse.c).  Errors as json_parse_object. */
REALM_MUST_CHECK realm_status json_parse(const char *text,
                                         size_t n_bytes,
                                         json_t **out,
                                         struct problem *problem);
/* Parses one object.  INVALID_ARGUMENT: not JSON (where), nested too deep, duplicate keys, no
 * object, invalid UTF-8; OUT_OF_MEMORY. */
REALM_MUST_CHECK realm_status json_parse_object(const char *text,
                                                size_t n_bytes,
                                                json_t **out,
                                                struct problem *problem);

/* Values of a field; all give INVALID_ARGUMENT. */
REALM_MUST_CHECK realm_status json_read_bool(const json_t *value,
                                             const char *field,
                                             bool *out,
                                             struct problem *problem);
REALM_MUST_CHECK realm_status json_read_u32(const json_t *value,
                                            const char *field,
                                            uint32_t low,
                                            uint32_t high,
                                            uint32_t *out,
                                            struct problem *problem);
REALM_MUST_CHECK realm_status json_read_float(const json_t *value,
                                              const char *field,
                                              double low,
                                              double high,
                                              float *out,
                                              struct problem *problem);
/* The view lives as long as the value. */
REALM_MUST_CHECK realm_status json_read_text(const json_t *value,
                                             const char *field,
                                             struct bytes *out,
                                             struct problem *problem);
/* "a string", "an object", ...; static. */
const char *json_kind(const json_t *value);

#endif
