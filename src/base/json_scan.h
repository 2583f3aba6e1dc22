/* Reads JSON text (RFC 8259) from a stranger piece by piece, without memory of its own: for headers
 * and settings whose shape is known.  The first thing that is wrong ends it: every function gives
 * false from then on, and `wrong` says what it was.
 *
 *     bool first = true;
 *     if (json_scan_object(&scan)) {
 *         while (json_scan_member(&scan, &first, key, sizeof key)) { ... one value ... }
 *     }
 *
 * Owner: the caller, with the text.  No thread's. */
#ifndef REALM_BASE_JSON_SCAN_H
#define REALM_BASE_JSON_SCAN_H

#include "base/bytes.h"

#define JSON_SCAN_MAX_DEPTH 32u /* of values that are skipped */

struct json_scan {
    struct bytes text;
    size_t at;
    const char *wrong; /* NULL: nothing so far */
};

static inline struct json_scan json_scan_of(struct bytes text)
{
    return (struct json_scan){.text = text, .at = 0, .wrong = NULL};
}

/* Goes into an object or an array. */
bool json_scan_object(struct json_scan *scan);
bool json_scan_array(struct json_scan *scan);
/* The next member's key, zero-terminated (one that is longer than the room is cut off, and so no
 * key that is looked for); its value follows.  False: the object is at its end, or something is
 * wrong.  first: true before the first call. */
bool json_scan_member(struct json_scan *scan, bool *first, char *key, size_t capacity);
/* The same of an array's items. */
bool json_scan_item(struct json_scan *scan, bool *first);

/* A value.  String: zero-terminated, with escapes decoded; wrong: longer than the room, or with a
 * zero character.  u64: digits alone. */
bool json_scan_string(struct json_scan *scan, char *out, size_t capacity);
bool json_scan_u64(struct json_scan *scan, uint64_t *out);
bool json_scan_number(struct json_scan *scan, double *out);
bool json_scan_bool(struct json_scan *scan, bool *out);
/* Takes null, where one stands. */
bool json_scan_null(struct json_scan *scan);
/* Any value. */
bool json_scan_skip(struct json_scan *scan);
/* Only blanks are left, and nothing was wrong. */
bool json_scan_end(struct json_scan *scan);

#endif
