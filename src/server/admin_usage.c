/* /admin/v1/usage, /admin/v1/prices and /admin/v1/audit. */
#include "base/clock.h"
#include "server/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- usage --------------------------------------------------------------------------------------
 */

static const char *const by_names[] = {"tenant", "model", "key", "day"};

struct sums {
    struct strbuf *out;
    enum usage_by by;
    uint32_t n;
};

/* Money in micro-units of its currency: whole numbers lose nothing on the way. */
static realm_status write_sum(void *context, const struct usage_sum *sum, struct realm_error *error)
{
    struct sums *const sums = context;
    (void)error;
    strbuf_append_text(sums->out,
                       sums->n++ > 0 ? ",{\"object\":\"usage\"" : "{\"object\":\"usage\"");
    admin_write_text(by_names[sums->by], sum->group, sums->out);
    strbuf_append_format(sums->out,
                         ",\"requests\":%llu,\"prompt_tokens\":%llu,\"cached_tokens\":%llu,"
                         "\"completion_tokens\":%llu,\"cost_micro\":%lld",
                         (unsigned long long)sum->n_requests,
                         (unsigned long long)sum->prompt_tokens,
                         (unsigned long long)sum->cached_tokens,
                         (unsigned long long)sum->completion_tokens,
                         (long long)sum->cost_micro);
    admin_write_text("currency", sum->currency, sums->out);
    strbuf_append_text(sums->out, "}");
    return REALM_OK;
}

static realm_status
query_seconds(struct exchange *exchange, const char *name, int64_t absent_ms, int64_t *out_ms)
{
    const char *const text = exchange_query(exchange, name);
    *out_ms = absent_ms;
    if (text == NULL) {
        return REALM_OK;
    }
    const size_t n = strlen(text);
    if (n == 0 || n > 12 || strspn(text, "0123456789") != n) {
        return problem_set(&exchange->problem,
                           REALM_INVALID_ARGUMENT,
                           name,
                           "%s is \"%.30s\" and must be seconds since 1970",
                           name,
                           text);
    }
    *out_ms = (int64_t)strtoll(text, NULL, 10) * 1000;
    return REALM_OK;
}

static realm_status query_by(struct exchange *exchange, enum usage_by *out)
{
    const char *const text = exchange_query(exchange, "by");
    *out = USAGE_BY_TENANT;
    if (text == NULL) {
        return REALM_OK;
    }
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, by_names[i]) == 0) {
            *out = (enum usage_by)i;
            return REALM_OK;
        }
    }
    return problem_set(&exchange->problem,
                       REALM_INVALID_ARGUMENT,
                       "by",
                       "by is \"%.30s\" and must be tenant, model, key or day",
                       text);
}

#define DEFAULT_SPAN_MS (INT64_C(30) * 86400000)

static realm_status usage(struct exchange *exchange)
{
    struct usage_question question = {.tenant = exchange_query(exchange, "tenant")};
    struct sums sums = {.out = &exchange->out};
    struct realm_error error;
    REALM_TRY(
        query_seconds(exchange, "since", clock_wall_ms() - DEFAULT_SPAN_MS, &question.since_ms));
    REALM_TRY(query_seconds(exchange, "until", INT64_MAX, &question.until_ms));
    REALM_TRY(query_by(exchange, &question.by));
    sums.by = question.by;
    admin_list_begin(&exchange->out);
    if (usage_each(admin_usage(exchange), &question, write_sum, &sums, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    strbuf_append_text(&exchange->out, "]}");
    return REALM_OK;
}

/* --- prices -------------------------------------------------------------------------------------
 */

struct listing {
    struct admin_page page;
    struct strbuf *out;
};

static void write_price(const struct price_record *record, struct strbuf *out)
{
    strbuf_append_text(out, "{\"object\":\"price\"");
    admin_write_text("model", record->model, out);
    admin_write_text("currency", record->currency, out);
    strbuf_append_format(out,
                         ",\"input_micro\":%llu,\"cached_micro\":%llu,\"output_micro\":%llu}",
                         (unsigned long long)record->input,
                         (unsigned long long)record->cached,
                         (unsigned long long)record->output);
}

static realm_status
list_price(void *context, const struct price_record *record, struct realm_error *error)
{
    struct listing *const listing = context;
    (void)error;
    if (admin_page_takes(&listing->page, record->model)) {
        strbuf_append_text(listing->out, listing->page.n > 1 ? "," : "");
        write_price(record, listing->out);
    }
    return REALM_OK;
}

static realm_status prices(struct exchange *exchange)
{
    struct listing listing = {.out = &exchange->out};
    struct realm_error error;
    REALM_TRY(admin_page_read(exchange, &listing.page));
    admin_list_begin(&exchange->out);
    if (store_each_price(admin_store(exchange), list_price, &listing, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    admin_list_end(&listing.page, &exchange->out);
    return REALM_OK;
}

struct price_change {
    struct price_record record;
    bool has_input, has_cached, has_output;
};

static realm_status read_micro(
    const char *field, const json_t *value, uint64_t *out, bool *has, struct problem *problem)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > PRICE_MOST) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s must be a whole number of millionths, at most %llu",
                           field,
                           (unsigned long long)PRICE_MOST);
    }
    *out = (uint64_t)json_integer_value(value);
    *has = true;
    return REALM_OK;
}

static realm_status read_price(
    void *context, const char *field, const json_t *value, bool *known, struct problem *problem)
{
    struct price_change *const change = context;
    struct price_record *const record = &change->record;
    *known = true;
    if (strcmp(field, "currency") == 0) {
        return admin_read_text(field, value, record->currency, sizeof record->currency, problem);
    }
    if (strcmp(field, "input_micro") == 0) {
        return read_micro(field, value, &record->input, &change->has_input, problem);
    }
    if (strcmp(field, "cached_micro") == 0) {
        return read_micro(field, value, &record->cached, &change->has_cached, problem);
    }
    if (strcmp(field, "output_micro") == 0) {
        return read_micro(field, value, &record->output, &change->has_output, problem);
    }
    *known = false;
    return REALM_OK;
}

static realm_status set_price(struct exchange *exchange)
{
    struct price_change change = {.record = {.currency = "USD"}};
    struct realm_error error;
    char actor[ADMIN_ACTOR_BYTES];
    admin_actor(exchange, actor);
    if (strlen(exchange->arguments[0]) >= sizeof change.record.model) {
        return problem_set(
            &exchange->problem, REALM_INVALID_ARGUMENT, "", "the model's name is too long");
    }
    (void)snprintf(change.record.model, sizeof change.record.model, "%s", exchange->arguments[0]);
    REALM_TRY(admin_read(exchange, read_price, &change));
    if (!change.has_input || !change.has_output) {
        return problem_set(&exchange->problem,
                           REALM_INVALID_ARGUMENT,
                           change.has_input ? "output_micro" : "input_micro",
                           "a price needs input_micro and output_micro, for a million tokens each");
    }
    change.record.cached = change.has_cached ? change.record.cached : change.record.input;
    if (store_set_price(admin_store(exchange), actor, &change.record, &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    write_price(&change.record, &exchange->out);
    return REALM_OK;
}

static realm_status remove_price(struct exchange *exchange)
{
    struct realm_error error;
    char actor[ADMIN_ACTOR_BYTES];
    admin_actor(exchange, actor);
    if (store_remove_price(admin_store(exchange), actor, exchange->arguments[0], &error) !=
        REALM_OK) {
        return admin_fail(exchange, &error);
    }
    strbuf_append_text(&exchange->out, "{\"object\":\"price\",\"deleted\":true");
    admin_write_text("model", exchange->arguments[0], &exchange->out);
    strbuf_append_text(&exchange->out, "}");
    return REALM_OK;
}

/* --- audit --------------------------------------------------------------------------------------
 */

static realm_status
list_audit(void *context, const struct audit_record *record, struct realm_error *error)
{
    struct listing *const listing = context;
    char id[24];
    (void)error;
    (void)snprintf(id, sizeof id, "%lld", (long long)record->id);
    if (!admin_page_takes(&listing->page, id)) {
        return REALM_OK;
    }
    strbuf_append_format(listing->out,
                         "%s{\"object\":\"audit\",\"id\":\"%s\",\"time_ms\":%lld",
                         listing->page.n > 1 ? "," : "",
                         id,
                         (long long)record->time_ms);
    admin_write_text("actor", record->actor, listing->out);
    admin_write_text("act", record->act, listing->out);
    admin_write_text("subject", record->subject, listing->out);
    strbuf_append_format(listing->out,
                         ",\"before\":%s,\"after\":%s}",
                         record->before[0] != '\0' ? record->before : "null",
                         record->after[0] != '\0' ? record->after : "null");
    return REALM_OK;
}

static realm_status audit(struct exchange *exchange)
{
    struct listing listing = {.out = &exchange->out};
    struct realm_error error;
    REALM_TRY(admin_page_read(exchange, &listing.page));
    /* The store goes on behind an id by itself. */
    const int64_t before_id =
        listing.page.after != NULL ? (int64_t)strtoll(listing.page.after, NULL, 10) : 0;
    if (listing.page.after != NULL && before_id <= 0) {
        return problem_set(&exchange->problem,
                           REALM_INVALID_ARGUMENT,
                           "after",
                           "after is \"%.20s\" and must be the id of an entry",
                           listing.page.after);
    }
    listing.page.begun = true;
    admin_list_begin(&exchange->out);
    if (store_each_audit(admin_store(exchange),
                         before_id,
                         listing.page.limit + 1,
                         list_audit,
                         &listing,
                         &error) != REALM_OK) {
        return admin_fail(exchange, &error);
    }
    admin_list_end(&listing.page, &exchange->out);
    return REALM_OK;
}

void prepare_admin_usage(struct exchange *exchange)
{
    admin_end(exchange, usage(exchange), 200);
}

void prepare_admin_price_list(struct exchange *exchange)
{
    admin_end(exchange, prices(exchange), 200);
}

void prepare_admin_price_set(struct exchange *exchange)
{
    admin_end(exchange, set_price(exchange), 200);
}

void prepare_admin_price_remove(struct exchange *exchange)
{
    admin_end(exchange, remove_price(exchange), 200);
}

void prepare_admin_audit(struct exchange *exchange)
{
    admin_end(exchange, audit(exchange), 200);
}
