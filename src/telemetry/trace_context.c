#include "telemetry/trace_context.h"

#include "base/random.h"

#include <string.h>

#define TRACE_ID_AT    3u /* in "00-<trace id>-<span id>-<flags>" */
#define SPAN_ID_AT     36u
#define FLAGS_AT       53u
#define PARENT_LENGTH  55u
#define FLAG_SAMPLED   1u
#define MAX_MEMBERS    32u
#define MAX_KEY_LENGTH 256u

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Lower case only. */
static bool read_hex(const char *text, uint8_t *out, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        const int high = digit_of(text[2 * i]);
        const int low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool all_zero(const uint8_t *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

void trace_write_hex(const uint8_t *id, size_t n_bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n_bytes; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[2 * n_bytes] = '\0';
}

bool trace_context_begin(struct trace_context *out, double sample_ratio)
{
    uint8_t random[TRACE_ID_BYTES + SPAN_ID_BYTES];
    *out = (struct trace_context){.sampled = false};
    if (random_bytes(random, sizeof random, NULL) != REALM_OK) {
        return false;
    }
    memcpy(out->trace_id, random, TRACE_ID_BYTES);
    memcpy(out->span_id, random + TRACE_ID_BYTES, SPAN_ID_BYTES);
    /* By the id's last 7 bytes, which are random by the standard: other servers that sample by
     * them come to the same decision. */
    uint64_t chance = 0;
    for (size_t i = TRACE_ID_BYTES - 7; i < TRACE_ID_BYTES; i++) {
        chance = chance << 8 | out->trace_id[i];
    }
    out->sampled = (double)chance < sample_ratio * (double)((uint64_t)1 << 56);
    return true;
}

static bool is_key_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("_-*/@", c) != NULL);
}

/* One "key=value" of n characters. */
static bool is_member(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && is_key_character(text[i])) {
        i++;
    }
    const bool begins = text[0] >= '0' && text[0] != '@' && text[0] != '_';
    if (i == 0 || i > MAX_KEY_LENGTH || !begins || i + 1 >= n || text[i] != '=') {
        return false;
    }
    const size_t n_value = n - i - 1;
    for (i++; i < n; i++) {
        if (text[i] < ' ' || text[i] > '~' || text[i] == '=') {
            return false;
        }
    }
    return n_value <= MAX_KEY_LENGTH;
}

static bool is_state(const char *text)
{
    uint32_t n_members = 0;
    if (strlen(text) > TRACE_STATE_LENGTH) {
        return false;
    }
    for (;;) {
        text += strspn(text, " \t");
        const size_t n_item = strcspn(text, ",");
        size_t n = n_item;
        while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t')) {
            n--;
        }
        /* Empty members are allowed. */
        if (n > 0 && (!is_member(text, n) || ++n_members > MAX_MEMBERS)) {
            return false;
        }
        if (text[n_item] == '\0') {
            return true;
        }
        text += n_item + 1;
    }
}

bool trace_context_join(struct trace_context *context, const char *parent, const char *state)
{
    uint8_t version;
    uint8_t flags;
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t span_id[SPAN_ID_BYTES];
    const size_t n = strlen(parent);
    if (n < PARENT_LENGTH || parent[TRACE_ID_AT - 1] != '-' || parent[SPAN_ID_AT - 1] != '-' ||
        parent[FLAGS_AT - 1] != '-' || !read_hex(parent, &version, 1) ||
        !read_hex(parent + TRACE_ID_AT, trace_id, sizeof trace_id) ||
        !read_hex(parent + SPAN_ID_AT, span_id, sizeof span_id) ||
        !read_hex(parent + FLAGS_AT, &flags, 1)) {
        return false;
    }
    /* Later versions may have more behind another dash. */
    if (version == 0xff || (version == 0 && n != PARENT_LENGTH) ||
        (n > PARENT_LENGTH && parent[PARENT_LENGTH] != '-') ||
        all_zero(trace_id, sizeof trace_id) || all_zero(span_id, sizeof span_id)) {
        return false;
    }
    memcpy(context->trace_id, trace_id, sizeof trace_id);
    memcpy(context->parent_id, span_id, sizeof span_id);
    context->sampled = (flags & FLAG_SAMPLED) != 0;
    if (state != NULL && is_state(state)) {
        memcpy(context->state, state, strlen(state) + 1);
    }
    return true;
}
