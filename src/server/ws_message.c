#include "server/ws_message.h"

#include "server/json.h"

#include <string.h>

#define MAX_ID_CHARACTERS 64u
#define MAX_SEQUENCE      ((json_int_t)1 << 53)

/* --- the scanner: where values begin and end; what is in them is checked by who reads them ------
 */

struct scanner {
    const char *at;
    const char *end;
};

static void skip_space(struct scanner *scanner)
{
    while (scanner->at < scanner->end && strchr(" \t\r\n", *scanner->at) != NULL &&
           *scanner->at != '\0') {
        scanner->at++;
    }
}

static bool take(struct scanner *scanner, char c)
{
    skip_space(scanner);
    if (scanner->at < scanner->end && *scanner->at == c) {
        scanner->at++;
        return true;
    }
    return false;
}

/* From behind the opening quote to behind the closing one; false: it is not closed. */
static bool skip_string(struct scanner *scanner)
{
    while (scanner->at < scanner->end) {
        const char c = *scanner->at++;
        if (c == '"') {
            return true;
        }
        if (c == '\\' && scanner->at < scanner->end) {
            scanner->at++;
        }
    }
    return false;
}

/* One value: a string, brackets with all in them, or a run of other characters. */
static bool take_value(struct scanner *scanner, struct bytes *out)
{
    skip_space(scanner);
    const char *const begin = scanner->at;
    size_t depth = 0;
    while (scanner->at < scanner->end) {
        const char c = *scanner->at;
        if (depth == 0 && (c == ',' || c == '}' || c == ']')) {
            break;
        }
        scanner->at++;
        if (c == '"' && !skip_string(scanner)) {
            return false;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        if (depth == 0 && (c == '"' || c == '}' || c == ']')) {
            break;
        }
    }
    *out = (struct bytes){(const uint8_t *)begin, (size_t)(scanner->at - begin)};
    return depth == 0 && out->length > 0;
}

/* --- members ------------------------------------------------------------------------------------
 */

static realm_status refuse(struct problem *problem, const char *field, const char *why)
{
    return problem_set(problem, REALM_INVALID_ARGUMENT, field, "%s: %s", field, why);
}

static realm_status
read_word(const json_t *value, const char *field, char *out, size_t n_out, struct problem *problem)
{
    struct bytes text;
    REALM_TRY(json_read_text(value, field, &text, problem));
    if (text.length == 0 || text.length >= n_out) {
        return refuse(problem, field, "too long, or empty");
    }
    memcpy(out, text.data, text.length);
    out[text.length] = '\0';
    return REALM_OK;
}

/* An id is a text of 1 to 64 printable ASCII characters, or a whole number; it comes back as it
 * was. */
static realm_status read_id(const json_t *value, char out[WS_ID_BYTES], struct problem *problem)
{
    char word[MAX_ID_CHARACTERS + 1] = "";
    if (json_is_integer(value)) {
        (void)snprintf(out, WS_ID_BYTES, "%lld", (long long)json_integer_value(value));
        return REALM_OK;
    }
    REALM_TRY(read_word(value, "id", word, sizeof word, problem));
    char *at = out;
    *at++ = '"';
    for (const char *c = word; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~') {
            out[0] = '\0';
            return refuse(problem, "id", "only printable ASCII characters are taken");
        }
        if (*c == '"' || *c == '\\') {
            *at++ = '\\';
        }
        *at++ = *c;
    }
    *at++ = '"';
    *at = '\0';
    return REALM_OK;
}
_Static_assert(2 * MAX_ID_CHARACTERS + 3 <= WS_ID_BYTES, "room for an id of quotes only");

static realm_status read_type(const json_t *value, struct ws_message *out, struct problem *problem)
{
    static const char *const names[] = {
        "auth", "request", "cancel", "ping", "resume", "input", "input_end"};
    char word[WS_WORD_BYTES] = "";
    REALM_TRY(read_word(value, "type", word, sizeof word, problem));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(word, names[i]) == 0) {
            out->type = (enum ws_message_type)i;
            return REALM_OK;
        }
    }
    return refuse(
        problem, "type", "must be auth, request, cancel, ping, resume, input or input_end");
}

static realm_status read_after(const json_t *value, uint64_t *out, struct problem *problem)
{
    const json_int_t after = json_integer_value(value);
    if (!json_is_integer(value) || after < 0 || after > MAX_SEQUENCE) {
        return refuse(problem, "after", "must be the sequence number of an event, or 0");
    }
    *out = (uint64_t)after;
    return REALM_OK;
}

/* The members, each once. */
enum member {
    M_TYPE,
    M_ID,
    M_KIND,
    M_NAME,
    M_FUNCTION,
    M_KEY,
    M_SESSION,
    M_AFTER,
    M_BODY,
    M_DATA,
    M_N
};

static const char *const member_names[M_N] = {
    "type", "id", "kind", "name", "function", "key", "session", "after", "body", "data"};

static realm_status
read_value(enum member member, const json_t *value, struct ws_message *out, struct problem *problem)
{
    switch (member) {
    case M_TYPE:
        return read_type(value, out, problem);
    case M_ID:
        return read_id(value, out->id, problem);
    case M_KIND:
        return read_word(value, "kind", out->kind, sizeof out->kind, problem);
    case M_NAME:
        return read_word(value, "name", out->name, sizeof out->name, problem);
    case M_FUNCTION:
        return read_word(value, "function", out->function, sizeof out->function, problem);
    case M_KEY:
        return read_word(value, "key", out->key, sizeof out->key, problem);
    case M_SESSION:
        return read_word(value, "session", out->session, sizeof out->session, problem);
    case M_AFTER:
        return read_after(value, &out->after, problem);
    default:
        return REALM_OK;
    }
}

static realm_status read_member(struct bytes name,
                                struct bytes value,
                                uint32_t *seen,
                                struct ws_message *out,
                                struct problem *problem)
{
    enum member member = M_TYPE;
    /* Names are compared with their quotes, as they stand. */
    while (member < M_N && (name.length != strlen(member_names[member]) + 2 ||
                            memcmp(name.data + 1, member_names[member], name.length - 2) != 0)) {
        member++;
    }
    if (member == M_N) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           "",
                           "a message has no member %.*s",
                           (int)(name.length < 40 ? name.length : 40),
                           (const char *)name.data);
    }
    if ((*seen & 1u << member) != 0) {
        return refuse(problem, member_names[member], "given twice");
    }
    *seen |= 1u << member;
    if (member == M_BODY || member == M_DATA) {
        *(member == M_BODY ? &out->body : &out->data) = value;
        return REALM_OK;
    }
    json_t *json = NULL;
    REALM_TRY(json_parse((const char *)value.data, value.length, &json, problem));
    const realm_status status = read_value(member, json, out, problem);
    json_decref(json);
    return status;
}

static realm_status check_members(uint32_t seen, struct ws_message *out, struct problem *problem)
{
    static const uint32_t needed[] = {
        [WS_AUTH] = 1u << M_KEY,
        [WS_REQUEST] = 1u << M_ID | 1u << M_KIND,
        [WS_CANCEL] = 1u << M_ID,
        [WS_PING] = 0,
        [WS_RESUME] = 1u << M_ID | 1u << M_SESSION | 1u << M_AFTER,
        [WS_INPUT] = 1u << M_ID | 1u << M_DATA,
        [WS_INPUT_END] = 1u << M_ID,
    };
    static const uint32_t allowed[] = {
        [WS_AUTH] = 0,
        [WS_REQUEST] = 1u << M_NAME | 1u << M_FUNCTION | 1u << M_BODY,
        [WS_CANCEL] = 0,
        [WS_PING] = 1u << M_ID,
        [WS_RESUME] = 0,
        [WS_INPUT] = 0,
        [WS_INPUT_END] = 0,
    };
    if ((seen & 1u << M_TYPE) == 0) {
        return refuse(problem, "type", "is missing");
    }
    for (uint32_t i = M_ID; i < M_N; i++) {
        const uint32_t bit = 1u << i;
        if ((needed[out->type] & bit) != 0 && (seen & bit) == 0) {
            return refuse(problem, member_names[i], "is missing");
        }
        if (((needed[out->type] | allowed[out->type]) & bit) == 0 && (seen & bit) != 0) {
            return refuse(problem, member_names[i], "does not belong to a message of this type");
        }
    }
    return REALM_OK;
}

realm_status
ws_message_read(const char *text, size_t n_bytes, struct ws_message *out, struct problem *problem)
{
    struct scanner scanner = {.at = text, .end = text + n_bytes};
    struct bytes name;
    struct bytes value;
    uint32_t seen = 0;
    *out = (struct ws_message){.type = WS_PING};
    bool more = take(&scanner, '{');
    bool whole = more;
    while (more) {
        whole = take_value(&scanner, &name) && name.data[0] == '"' && take(&scanner, ':') &&
                take_value(&scanner, &value);
        if (!whole) {
            break;
        }
        REALM_TRY(read_member(name, value, &seen, out, problem));
        more = take(&scanner, ',');
        whole = more || take(&scanner, '}');
    }
    skip_space(&scanner);
    if (!whole || scanner.at != scanner.end) {
        return problem_set(
            problem, REALM_INVALID_ARGUMENT, "", "a message must be one JSON object with members");
    }
    return check_members(seen, out, problem);
}
