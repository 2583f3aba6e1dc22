/* realm doctor: what this machine offers and lacks, each line with its remedy. */
#include "cli/command.h"
#include "cli/doctor.h"
#include "cli/paths.h"
#include "cli/term.h"
#include "model/model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOW_DISK_BYTES ((uint64_t)1 << 30)

void doctor_tell(struct doctor *doctor,
                 enum finding_kind kind,
                 const char *check,
                 const char *value,
                 const char *remedy)
{
    static const char *const words[] = {"ok", "warn", "fail"};
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};
    doctor->failed |= kind == FINDING_FAIL;
    if (doctor->json) {
        json_out_begin_object(&doctor->out, NULL);
        json_out_text(&doctor->out, "check", check);
        json_out_text(&doctor->out, "result", words[kind]);
        json_out_text(&doctor->out, "value", value);
        json_out_text(&doctor->out, "remedy", remedy);
        json_out_end_object(&doctor->out);
        return;
    }
    const bool colour = term_has_colour(stdout);
    printf("%s%-4s%s  %-13s %s\n",
           colour ? colours[kind] : "",
           words[kind],
           colour ? "\033[0m" : "",
           check,
           value);
    if (remedy[0] != '\0') {
        printf("      %-13s -> %s\n", "", remedy);
    }
}

/* --- folders --- */

/* The folder itself, or the nearest one above it that is there. */
static void nearest_folder(const char *path, char out[PATHS_BYTES])
{
    (void)snprintf(out, PATHS_BYTES, "%s", path);
    while (access(out, F_OK) != 0) {
        char *const slash = strrchr(out, '/');
        if (slash == NULL || slash == out) {
            (void)snprintf(out, PATHS_BYTES, "%s", slash == NULL ? "." : "/");
            return;
        }
        *slash = '\0';
    }
}

static void check_folder(struct doctor *doctor, const char *check, const char *folder)
{
    char there[PATHS_BYTES];
    char value[PATHS_BYTES + 64];
    char free_text[16];
    struct statvfs info;
    nearest_folder(folder, there);
    if (access(there, W_OK) != 0) {
        (void)snprintf(value, sizeof value, "%s: %s", there, strerror(errno));
        doctor_tell(doctor,
                    FINDING_FAIL,
                    check,
                    value,
                    "make it writable, or name another (REALM_CACHE_DIR, REALM_DATA_DIR)");
        return;
    }
    const uint64_t n_free =
        statvfs(there, &info) == 0 ? (uint64_t)info.f_bavail * info.f_frsize : 0;
    (void)snprintf(value, sizeof value, "%s, %s free", folder, term_bytes(n_free, free_text));
    doctor_tell(doctor,
                n_free < LOW_DISK_BYTES ? FINDING_WARN : FINDING_OK,
                check,
                value,
                n_free < LOW_DISK_BYTES ? "models take from 0.1 GB up" : "");
}

/* --- models --- */

struct model_check {
    struct doctor *doctor;
    uint32_t n;
};

static bool check_model(void *context, const struct hub_model *found)
{
    struct model_check *const check = context;
    struct realm_error error;
    struct model *model;
    char value[512];
    char bytes[16];
    check->n++;
    if (model_open(found->path, NULL, &model, &error) != REALM_OK) {
        (void)snprintf(value, sizeof value, "%s: %s", found->name, error.message);
        doctor_tell(check->doctor, FINDING_WARN, "model", value, "fetch it again, or remove it");
        return true;
    }
    (void)snprintf(value,
                   sizeof value,
                   "%s (%s, %s, %s)",
                   found->name,
                   model_architecture(model),
                   model_file_type_name(model),
                   term_bytes(found->bytes, bytes));
    doctor_tell(check->doctor, FINDING_OK, "model", value, "");
    model_close(model);
    return true;
}

static void check_files(struct doctor *doctor)
{
    char cache[PATHS_BYTES];
    char data[PATHS_BYTES];
    struct realm_error error;
    struct model_check check = {.doctor = doctor};
    if (paths_cache_folder(cache, &error) != REALM_OK ||
        paths_data_folder(data, &error) != REALM_OK) {
        doctor_tell(doctor, FINDING_FAIL, "folders", error.message, "set HOME");
        return;
    }
    check_folder(doctor, "cache folder", cache);
    check_folder(doctor, "data folder", data);
    if (hub_list(cache, check_model, &check, &error) != REALM_OK) {
        doctor_tell(doctor, FINDING_FAIL, "models", error.message, "");
    } else if (check.n == 0) {
        doctor_tell(
            doctor, FINDING_WARN, "models", "none yet", "get one: realm models pull smollm2");
    }
}

realm_status cmd_doctor(int argc, char **argv, struct realm_error *error)
{
    struct doctor doctor = {.json = false};
    const struct arg_option options[] = {
        {"json", 0, ARG_FLAG, &doctor.json, NULL, "an array of findings for machines", 0, 0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm doctor [--json]",
        .summary =
            "Looks at this machine: processor, memory, folders, models, libraries; says what\n"
            "is well, what is slow and what is missing.  Exit code 1: something failed.",
        .examples = "  realm doctor\n"
                    "  realm doctor --json | jq '.[] | select(.result != \"ok\")'\n",
        .options = options,
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
    doctor_tell(&doctor, FINDING_OK, "realm", realm_version(), "");
    doctor_check_machine(&doctor);
    check_files(&doctor);
    doctor_check_libraries(&doctor);
    json_out_end_array(&doctor.out);
    if (doctor.json) {
        REALM_TRY(json_out_print(&doctor.out, error));
    } else {
        json_out_deinit(&doctor.out);
    }
    return doctor.failed ? realm_error_set(error,
                                           REALM_UNAVAILABLE,
                                           "something failed: see the lines marked fail")
                         : REALM_OK;
}
