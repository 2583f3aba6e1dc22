#include "cli/json_out.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void json_out_init(struct json_out *out)
{
    strbuf_init(&out->text, ALLOC_BASE, SIZE_MAX);
    out->comma = false;
}

void json_out_deinit(struct json_out *out)
{
    strbuf_deinit(&out->text);
}

static void begin_value(struct json_out *out, const char *key)
{
    if (out->comma) {
        strbuf_append_text(&out->text, ", ");
    }
    if (key != NULL) {
        strbuf_append_json(&out->text, key, strlen(key));
        strbuf_append_text(&out->text, ": ");
    }
    out->comma = true;
}

void json_out_begin_object(struct json_out *out, const char *key)
{
    begin_value(out, key);
    strbuf_append_char(&out->text, '{');
    out->comma = false;
}

void json_out_end_object(struct json_out *out)
{
    strbuf_append_char(&out->text, '}');
    out->comma = true;
}

void json_out_begin_array(struct json_out *out, const char *key)
{
    begin_value(out, key);
    strbuf_append_char(&out->text, '[');
    out->comma = false;
}

void json_out_end_array(struct json_out *out)
{
    strbuf_append_char(&out->text, ']');
    out->comma = true;
}

void json_out_text(struct json_out *out, const char *key, const char *value)
{
    begin_value(out, key);
    strbuf_append_json(&out->text, value, strlen(value));
}

void json_out_bytes(struct json_out *out, const char *key, struct bytes value)
{
    begin_value(out, key);
    strbuf_append_json(&out->text, value.length > 0 ? (const char *)value.data : "", value.length);
}

void json_out_u64(struct json_out *out, const char *key, uint64_t value)
{
    begin_value(out, key);
    strbuf_append_format(&out->text, "%llu", (unsigned long long)value);
}

void json_out_i64(struct json_out *out, const char *key, int64_t value)
{
    begin_value(out, key);
    strbuf_append_format(&out->text, "%lld", (long long)value);
}

void json_out_f64(struct json_out *out, const char *key, double value, int significant)
{
    begin_value(out, key);
    if (isfinite(value)) {
        strbuf_append_format(&out->text, "%.*g", significant, value);
    } else {
        strbuf_append_text(&out->text, "null");
    }
}

void json_out_bool(struct json_out *out, const char *key, bool value)
{
    begin_value(out, key);
    strbuf_append_text(&out->text, value ? "true" : "false");
}

realm_status json_out_print(struct json_out *out, struct realm_error *error)
{
    realm_status status = REALM_OK;
    if (out->text.failed) {
        status = realm_error_out_of_memory(error, out->text.length, "the JSON text");
    } else if (puts(out->text.text) == EOF || fflush(stdout) != 0) {
        status = realm_error_set(error, REALM_IO, "cannot write: %s", strerror(errno));
    }
    json_out_deinit(out);
    return status;
}
