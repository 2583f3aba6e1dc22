/* realm models list. */
#include "cli/json_out.h"
#include "cli/models.h"
#include "cli/paths.h"
#include "cli/term.h"
#include "model/model.h"

#include <string.h>

struct listing {
    struct json_out *json; /* NULL: as a table */
    bool names_only;
    uint32_t n;
    size_t n_name; /* columns of the widest name */
};

static void put_json(struct json_out *out,
                     const struct hub_model *found,
                     const struct model *model,
                     const struct realm_error *trouble)
{
    json_out_begin_object(out, NULL);
    json_out_text(out, "name", found->name);
    json_out_text(out, "path", found->path);
    json_out_u64(out, "bytes", found->bytes);
    json_out_u64(out, "parts", found->n_parts);
    json_out_i64(out, "modified", found->modified_s);
    if (model != NULL) {
        json_out_text(out, "architecture", model_architecture(model));
        json_out_text(out, "type", model_file_type_name(model));
        json_out_u64(out, "parameters", model_n_parameters(model));
        json_out_u64(out, "context_length", model_context_length(model));
    } else {
        json_out_text(out, "error", trouble->message);
    }
    json_out_end_object(out);
}

static void put_row(const struct listing *listing,
                    const struct hub_model *found,
                    const struct model *model,
                    const struct realm_error *trouble)
{
    char bytes[16];
    printf("%-*s  %9s  ", (int)listing->n_name, found->name, term_bytes(found->bytes, bytes));
    if (model != NULL) {
        printf("%-10s %-8s %7.0f M  %8u\n",
               model_architecture(model),
               model_file_type_name(model),
               (double)model_n_parameters(model) / 1e6,
               model_context_length(model));
    } else {
        printf("cannot be used: %s\n", trouble->message);
    }
}

static bool on_model(void *context, const struct hub_model *found)
{
    struct listing *const listing = context;
    listing->n++;
    if (listing->names_only) {
        printf("%s\n", found->name);
        return true;
    }
    struct model *model;
    struct realm_error trouble;
    if (model_open(found->path, NULL, &model, &trouble) != REALM_OK) {
        model = NULL;
    }
    if (listing->json != NULL) {
        put_json(listing->json, found, model, &trouble);
    } else {
        put_row(listing, found, model, &trouble);
    }
    model_close(model);
    return true;
}

static bool measure_name(void *context, const struct hub_model *found)
{
    struct listing *const listing = context;
    const size_t n = strlen(found->name);
    listing->n_name = n > listing->n_name ? n : listing->n_name;
    return true;
}

static realm_status list_json(const char *cache, struct realm_error *error)
{
    struct json_out out;
    struct listing listing = {.json = &out};
    json_out_init(&out);
    json_out_begin_object(&out, NULL);
    json_out_text(&out, "cache", cache);
    json_out_begin_array(&out, "models");
    const realm_status status = hub_list(cache, on_model, &listing, error);
    json_out_end_array(&out);
    json_out_begin_array(&out, "catalogue");
    for (size_t i = 0; hub_catalogue_at(i) != NULL; i++) {
        json_out_begin_object(&out, NULL);
        json_out_text(&out, "name", hub_catalogue_at(i)->name);
        json_out_text(&out, "source", hub_catalogue_at(i)->source);
        json_out_text(&out, "about", hub_catalogue_at(i)->about);
        json_out_end_object(&out);
    }
    json_out_end_array(&out);
    json_out_end_object(&out);
    if (status != REALM_OK) {
        json_out_deinit(&out);
        return status;
    }
    return json_out_print(&out, error);
}

static realm_status list_table(const char *cache, struct realm_error *error)
{
    struct listing listing = {.n_name = 4};
    REALM_TRY(hub_list(cache, measure_name, &listing, error));
    printf("%-*s  %9s  %-10s %-8s %9s  %8s\n",
           (int)listing.n_name,
           "NAME",
           "SIZE",
           "KIND",
           "TYPE",
           "PARAMETERS",
           "CONTEXT");
    REALM_TRY(hub_list(cache, on_model, &listing, error));
    printf("\n%u in %s/models\n\nBy name, with `realm models pull NAME`:\n", listing.n, cache);
    for (size_t i = 0; hub_catalogue_at(i) != NULL; i++) {
        printf("  %-14s %s\n", hub_catalogue_at(i)->name, hub_catalogue_at(i)->about);
    }
    return REALM_OK;
}

static realm_status list_names(const char *cache, struct realm_error *error)
{
    struct listing listing = {.names_only = true};
    REALM_TRY(hub_list(cache, on_model, &listing, error));
    for (size_t i = 0; hub_catalogue_at(i) != NULL; i++) {
        printf("%s\n", hub_catalogue_at(i)->name);
    }
    return REALM_OK;
}

realm_status models_list(int argc, char **argv, struct realm_error *error)
{
    char cache[PATHS_BYTES];
    bool json = false;
    bool names = false;
    const struct arg_option options[] = {
        {"json", 0, ARG_FLAG, &json, NULL, "for machines", 0, 0},
        {"names", 0, ARG_FLAG, &names, NULL, "only the names, one a line", 0, 0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm models list [--json]",
        .summary = "Lists the models in the cache, and those that can be fetched by name.",
        .examples = "  realm models list --json | jq -r '.models[].path'\n",
        .options = options,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    REALM_TRY(paths_cache_folder(cache, error));
    return json    ? list_json(cache, error)
           : names ? list_names(cache, error)
                   : list_table(cache, error);
}
