/* JSON written member by member into a growing text: commas and quotes are put where they belong.
 * Text that is not UTF-8 gets U+FFFD.  One check at the end: text.failed. */
#ifndef REALM_CLI_JSON_OUT_H
#define REALM_CLI_JSON_OUT_H

#include "base/bytes.h"
#include "base/status.h"
#include "base/strbuf.h"

struct json_out {
    struct strbuf text;
    bool comma; /* something stands before in the same object or array */
};

void json_out_init(struct json_out *out);
void json_out_deinit(struct json_out *out);

/* key: NULL inside arrays and at the top. */
void json_out_begin_object(struct json_out *out, const char *key);
void json_out_end_object(struct json_out *out);
void json_out_begin_array(struct json_out *out, const char *key);
void json_out_end_array(struct json_out *out);
void json_out_text(struct json_out *out, const char *key, const char *value);
void json_out_bytes(struct json_out *out, const char *key, struct bytes value);
void json_out_u64(struct json_out *out, const char *key, uint64_t value);
void json_out_i64(struct json_out *out, const char *key, int64_t value);
/* significant: digits; NaN and infinities become null. */
void json_out_f64(struct json_out *out, const char *key, double value, int significant);
void json_out_bool(struct json_out *out, const char *key, bool value);

/* Prints it with a newline to standard output and ends it.  OUT_OF_MEMORY; IO: nobody reads. */
REALM_MUST_CHECK realm_status json_out_print(struct json_out *out, struct realm_error *error);

#endif
