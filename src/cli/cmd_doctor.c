/* realm doctor: what this machine offers, what is there and what is missing, with the remedy. */
#include "backend/backend.h"
#include "base/thread.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/paths.h"
#include "cli/term.h"
#include "hub/hub.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOW_MEMORY_BYTES ((uint64_t)1 << 30)

enum finding_kind { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct doctor {
    struct json_out out;
    bool json;
    bool failed;
};

static void tell(struct doctor *doctor,
                 enum finding_kind kind,
                 const char *what,
                 const char *value,
                 const char *remedy)
{
    static const char *const words[] = {"ok", "warn", "fail"};
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};
    doctor->failed |= kind == FINDING_FAIL;
    if (doctor->json) {
        json_out_begin_object(&doctor->out, NULL);
        json_out_text(&doctor->out, "check", what);
        json_out_text(&doctor->out, "result", words[kind]);
        json_out_text(&doctor->out, "value", value);
        json_out_text(&doctor->out, "remedy", remedy);
        json_out_end_object(&doctor->out);
        return;
    }
    const bool colour = term_has_colour(stdout);
    printf("%s%-4s%s  %-14s %s%s%s\n",
           colour ? colours[kind] : "",
           words[kind],
           colour ? "\033[0m" : "",
           what,
           value,
           remedy[0] != '\0' ? " - " : "",
           remedy);
}

static void check_cpu(struct doctor *doctor)
{
    struct realm_error error;
    struct backend *backend = NULL;
    char value[128];
    const struct backend_options options = {.n_threads = 1};
    if (backend_create(&options, &backend, &error) != REALM_OK) {
        tell(doctor, FINDING_FAIL, "CPU", error.message, "");
        return;
    }
    const bool scalar = strcmp(backend_level(backend), "scalar") == 0;
    (void)snprintf(
        value, sizeof value, "%s kernels, %u cores", backend_level(backend), thread_n_cores());
    tell(doctor,
         scalar ? FINDING_WARN : FINDING_OK,
         "CPU",
         value,
         scalar ? "no instruction set with kernels of its own: answers will be slow" : "");
    backend_destroy(backend);
}

static void check_memory(struct doctor *doctor)
{
    char value[64];
    char total_text[16];
    char free_text[16];
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * page;
    const uint64_t available = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * page;
    (void)snprintf(value,
                   sizeof value,
                   "%s, %s of it free",
                   term_bytes(total, total_text),
                   term_bytes(available, free_text));
    tell(doctor,
         total < LOW_MEMORY_BYTES ? FINDING_WARN : FINDING_OK,
         "memory",
         value,
         total < LOW_MEMORY_BYTES ? "small models only; lower --kv-memory and --ctx" : "");
}

static void check_huge_pages(struct doctor *doctor)
{
    char line[128] = "";
    FILE *const file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    if (file != NULL) {
        (void)!fgets(line, sizeof line, file);
        (void)fclose(file);
    }
    line[strcspn(line, "\n")] = '\0';
    const bool usable = strstr(line, "[always]") != NULL || strstr(line, "[madvise]") != NULL;
    tell(doctor,
         usable ? FINDING_OK : FINDING_WARN,
         "huge pages",
         usable ? line : "off",
         usable ? "" : "weights are read faster with transparent huge pages set to madvise");
}

struct model_count {
    uint32_t n;
    uint64_t bytes;
};

static bool count_model(void *context, const struct hub_model *model)
{
    struct model_count *const count = context;
    count->n++;
    count->bytes += model->bytes;
    return true;
}

static void check_models(struct doctor *doctor)
{
    char folder[PATHS_BYTES];
    char value[PATHS_BYTES + 64];
    char size[16];
    struct realm_error error;
    struct model_count count = {.n = 0};
    if (paths_cache_folder(folder, &error) != REALM_OK ||
        hub_list(folder, count_model, &count, &error) != REALM_OK) {
        tell(doctor, FINDING_FAIL, "models", error.message, "");
        return;
    }
    (void)snprintf(value,
                   sizeof value,
                   "%u in %.3000s/models, %s",
                   count.n,
                   folder,
                   term_bytes(count.bytes, size));
    tell(doctor,
         count.n > 0 ? FINDING_OK : FINDING_WARN,
         "models",
         value,
         count.n > 0 ? "" : "fetch one with: realm models pull smollm2");
}

static void check_data(struct doctor *doctor)
{
    char folder[PATHS_BYTES];
    struct realm_error error;
    if (paths_data_folder(folder, &error) != REALM_OK) {
        tell(doctor, FINDING_FAIL, "data folder", error.message, "");
        return;
    }
    const bool there = access(folder, F_OK) == 0;
    const bool writable = access(folder, W_OK) == 0;
    tell(doctor,
         there && !writable ? FINDING_FAIL : FINDING_OK,
         "data folder",
         folder,
         !there      ? "made at the first start of the server"
         : !writable ? "it cannot be written; name another with --data"
                     : "");
}

realm_status cmd_doctor(int argc, char **argv, struct realm_error *error)
{
    struct doctor doctor = {.json = false};
    const struct arg_option table[] = {
        {"json", 0, ARG_FLAG, &doctor.json, NULL, "one JSON array", 0, 0},
        {NULL, 0, ARG_FLAG, NULL, NULL, NULL, 0, 0},
    };
    const struct arg_command command = {
        .usage = "realm doctor [--json]",
        .summary = "Looks at the machine and says what works, what is slow and what is missing.",
        .examples = "  realm doctor\n",
        .options = table,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    json_out_init(&doctor.out);
    json_out_begin_array(&doctor.out, NULL);
    tell(&doctor, FINDING_OK, "realm", realm_version(), "");
    check_cpu(&doctor);
    check_memory(&doctor);
    check_huge_pages(&doctor);
    check_models(&doctor);
    check_data(&doctor);
    json_out_end_array(&doctor.out);
    realm_status status = REALM_OK;
    if (doctor.json) {
        status = json_out_print(&doctor.out, error);
    } else {
        json_out_deinit(&doctor.out);
    }
    if (status == REALM_OK && doctor.failed) {
        return realm_error_set(
            error, REALM_UNAVAILABLE, "something is missing: see the lines marked fail");
    }
    return status;
}
