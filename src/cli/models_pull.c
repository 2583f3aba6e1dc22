/* realm models pull. */
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/models.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/term.h"

#include <stdlib.h>
#include <string.h>

struct pull {
    struct progress bar;
    char file[128];
    uint32_t part;
    bool drawing;
    const char *told; /* the trouble that was last printed */
};

static void begin_bar(struct pull *pull, const struct hub_progress *p)
{
    char label[64];
    if (p->n_parts > 1) {
        (void)snprintf(label, sizeof label, "%.40s %u/%u", p->file, p->part, p->n_parts);
    } else {
        (void)snprintf(label, sizeof label, "%.50s", p->file);
    }
    progress_begin(&pull->bar, label, p->bytes_total, PROGRESS_BYTES);
    (void)snprintf(pull->file, sizeof pull->file, "%s", p->file);
    pull->drawing = true;
}

/* Where nobody watches a bar, a line a file and a line a trouble tell enough. */
static bool on_progress(void *context, const struct hub_progress *p)
{
    struct pull *const pull = context;
    if (!pull->drawing || strcmp(pull->file, p->file) != 0 || pull->bar.total != p->bytes_total) {
        if (strcmp(pull->file, p->file) != 0 && !term_is_terminal(stderr)) {
            (void)fprintf(stderr, "fetching %s\n", p->file);
        }
        progress_end(&pull->bar);
        begin_bar(pull, p);
    }
    if (p->trouble != NULL && p->trouble != pull->told) {
        progress_end(&pull->bar);
        (void)fprintf(stderr, "%s; trying again (%u)\n", p->trouble, p->retry);
        pull->drawing = false;
    }
    pull->told = p->trouble;
    progress_update(&pull->bar, p->bytes_done);
    return !interrupt_seen();
}

static realm_status
pull_model(struct hub_options *options, const char *source, bool json, struct realm_error *error)
{
    char cache[PATHS_BYTES];
    char path[PATHS_BYTES];
    struct pull pull = {.drawing = false};
    REALM_TRY(paths_cache_folder(cache, error));
    options->cache_folder = cache;
    options->progress = on_progress;
    options->progress_context = &pull;
    interrupt_catch();
    const realm_status status = hub_pull(options, source, path, error);
    interrupt_restore();
    progress_end(&pull.bar);
    REALM_TRY(status);
    if (json) {
        struct json_out out;
        json_out_init(&out);
        json_out_begin_object(&out, NULL);
        json_out_text(&out, "path", path);
        json_out_end_object(&out);
        return json_out_print(&out, error);
    }
    printf("%s\n", path);
    return REALM_OK;
}

realm_status models_pull(int argc, char **argv, struct realm_error *error)
{
    struct hub_options hub = {
        .base_url = getenv("REALM_HUB_URL"),
        .token = getenv("HF_TOKEN"),
    };
    bool json = false;
    const struct arg_option options[] = {
        {"sha256", 0, ARG_TEXT, &hub.sha256, "HEX", "the checksum the file must have", 0, 0},
        {"force", 0, ARG_FLAG, &hub.force, NULL, "fetch also what is there already", 0, 0},
        {"hub", 0, ARG_TEXT, &hub.base_url, "URL", "another hub's address (REALM_HUB_URL)", 0, 0},
        {"retries",
         0,
         ARG_U32,
         &hub.max_retries,
         "N",
         "tries in a row without a byte gained (5)",
         1,
         1000},
        {"retry-ms",
         0,
         ARG_U32,
         &hub.retry_ms,
         "MS",
         "wait before the first, doubled each time (500)",
         1,
         60000},
        {"stall",
         0,
         ARG_U32,
         &hub.stall_s,
         "S",
         "seconds of silence that count as broken (30)",
         1,
         3600},
        {"json", 0, ARG_FLAG, &json, NULL, "for machines", 0, 0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm models pull SOURCE [options]",
        .summary = "Fetches a model into the cache and prints its path.  SOURCE is a name of\n"
                   "`realm models list`, hf:OWNER/REPO[@REVISION][:FILE or QUANT], or "
                   "https://.../x.gguf.\n"
                   "What was begun and cut is resumed.  HF_TOKEN opens what needs a token.",
        .examples = "  realm models pull qwen3-0.6b\n"
                    "  realm models pull hf:bartowski/SmolLM2-135M-Instruct-GGUF:Q8_0\n"
                    "  realm models pull https://example.com/model.gguf --sha256 3f6c...\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    return pull_model(&hub, operands.items[0], json, error);
}
