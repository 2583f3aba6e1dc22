/* realm audit: who changed what. */
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/store_command.h"

#include <stdio.h>
#include <time.h>

static realm_status
show_one(void *context, const struct audit_record *record, struct realm_error *error)
{
    struct json_out *const json = context;
    (void)error;
    if (json == NULL) {
        char when[32] = "?";
        const time_t seconds = (time_t)(record->time_ms / 1000);
        struct tm parts;
        if (gmtime_r(&seconds, &parts) != NULL) {
            (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &parts);
        }
        printf("%s  %-16s %-14s %s\n", when, record->actor, record->act, record->subject);
        return REALM_OK;
    }
    json_out_begin_object(json, NULL);
    json_out_i64(json, "id", record->id);
    json_out_i64(json, "time_ms", record->time_ms);
    json_out_text(json, "actor", record->actor);
    json_out_text(json, "act", record->act);
    json_out_text(json, "subject", record->subject);
    json_out_text(json, "before", record->before);
    json_out_text(json, "after", record->after);
    json_out_end_object(json);
    return REALM_OK;
}

static realm_status
show(struct store *store, uint32_t n_most, bool as_json, struct realm_error *error)
{
    struct json_out json;
    json_out_init(&json);
    json_out_begin_array(&json, NULL);
    const realm_status status =
        store_each_audit(store, 0, n_most, show_one, as_json ? &json : NULL, error);
    json_out_end_array(&json);
    if (status == REALM_OK && as_json) {
        return json_out_print(&json, error);
    }
    json_out_deinit(&json);
    return status;
}

realm_status cmd_audit(int argc, char **argv, struct realm_error *error)
{
    const char *data = NULL;
    uint32_t n_most = 50;
    bool as_json = false;
    const struct arg_option table[] = {
        {"limit", 'n', ARG_U32, &n_most, "N", "so many, the newest first (50)", 1, 1000000},
        {"json", 0, ARG_FLAG, &as_json, NULL, "with what was before and after", 0, 0},
        STORE_DATA_OPTION(data),
        {0}};
    const struct arg_command command = {
        .usage = "realm audit [options]",
        .summary = "Changes of tenants, keys and prices: when, by whom, what.",
        .examples = "  realm audit -n 10\n  realm audit --json\n",
        .options = table,
    };
    const char *operand = NULL;
    struct store *store;
    REALM_TRY(store_command_begin(&command, argc, argv, &data, &operand, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    const realm_status status = show(store, n_most, as_json, error);
    store_close(store);
    return status;
}
