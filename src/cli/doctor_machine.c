/* The machine's side of `realm doctor`. */
#include "backend/backend.h"
#include "base/thread.h"
#include "cli/doctor.h"
#include "cli/term.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOW_MEMORY_BYTES ((uint64_t)1 << 30)
#define LINE_BYTES       8192u

/* The first line of a file that begins with `key`, without it and what parts them; false: none. */
static bool read_line(const char *path, const char *key, char *out, size_t n_out)
{
    char line[LINE_BYTES];
    bool found = false;
    FILE *const file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    while (!found && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            const char *const value = line + strlen(key) + strspn(line + strlen(key), " \t:");
            (void)snprintf(out, n_out, "%.*s", (int)strcspn(value, "\n"), value);
            found = true;
        }
    }
    (void)fclose(file);
    return found;
}

/* Levels that kernels exist for and this processor has, best last. */
static void list_levels(char *out, size_t n_out)
{
    static const char *const levels[] = {
        "scalar", "avx2", "avx512vnni", "avx512bf16", "amxint8", "neondot", "neoni8mm", "neonbf16"};
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        const struct backend_options options = {.n_threads = 1, .level = levels[i]};
        struct backend *backend;
        if (backend_create(&options, &backend, NULL) == REALM_OK) {
            n += (size_t)snprintf(out + n, n_out - n, "%s%s", n > 0 ? ", " : "", levels[i]);
            backend_destroy(backend);
        }
    }
}

static void check_processor(struct doctor *doctor)
{
    struct realm_error error;
    struct backend *backend;
    char levels[128];
    char value[256];
    char name[128] = "";
    const struct backend_options options = {.n_threads = 1, .level = getenv("REALM_CPU")};
    if (!read_line("/proc/cpuinfo", "model name", name, sizeof name)) {
        (void)read_line("/proc/cpuinfo", "Model", name, sizeof name);
    }
    doctor_tell(doctor, FINDING_OK, "processor", name[0] != '\0' ? name : "unknown", "");
    if (backend_create(&options, &backend, &error) != REALM_OK) {
        doctor_tell(doctor, FINDING_FAIL, "kernels", error.message, "unset REALM_CPU");
        return;
    }
    list_levels(levels, sizeof levels);
    const bool scalar = strcmp(backend_level(backend), "scalar") == 0;
    (void)snprintf(value, sizeof value, "%s (there are: %s)", backend_level(backend), levels);
    doctor_tell(doctor,
                scalar ? FINDING_WARN : FINDING_OK,
                "kernels",
                value,
                scalar ? "without AVX2 or NEON dot products answers are slow" : "");
    backend_destroy(backend);
}

/* The instruction sets that decide about speed, those of them that are there. */
static void check_features(struct doctor *doctor)
{
    static const char *const wanted[] = {"avx2",
                                         "fma",
                                         "f16c",
                                         "avx_vnni",
                                         "avx512f",
                                         "avx512_vnni",
                                         "avx512_bf16",
                                         "amx_int8",
                                         "asimd",
                                         "asimddp",
                                         "i8mm",
                                         "bf16"};
    char flags[LINE_BYTES];
    char padded[LINE_BYTES + 2];
    char value[256] = "";
    size_t n = 0;
    if (!read_line("/proc/cpuinfo", "flags", flags, sizeof flags) &&
        !read_line("/proc/cpuinfo", "Features", flags, sizeof flags)) {
        return;
    }
    (void)snprintf(padded, sizeof padded, " %s ", flags);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char word[24];
        (void)snprintf(word, sizeof word, " %s ", wanted[i]);
        if (strstr(padded, word) != NULL) {
            n += (size_t)snprintf(value + n, sizeof value - n, "%s%s", n > 0 ? " " : "", wanted[i]);
        }
    }
    doctor_tell(doctor, FINDING_OK, "features", n > 0 ? value : "none that matter here", "");
}

static void check_cores(struct doctor *doctor)
{
    char value[96];
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    const uint32_t usable = thread_n_cores();
    const bool fewer = online > 0 && usable < (uint32_t)online;
    (void)snprintf(value, sizeof value, "%u usable of %ld", usable, online);
    doctor_tell(doctor,
                fewer ? FINDING_WARN : FINDING_OK,
                "cores",
                value,
                fewer ? "affinity or a container's limit holds the others back" : "");
}

static uint64_t memory_line(const char *key)
{
    char text[64];
    return read_line("/proc/meminfo", key, text, sizeof text) ? strtoull(text, NULL, 10) * 1024 : 0;
}

/* The limit of a container, where there is one below the machine's. */
static uint64_t container_limit(void)
{
    char text[64];
    if (!read_line("/sys/fs/cgroup/memory.max", "", text, sizeof text) || text[0] == 'm') {
        return UINT64_MAX;
    }
    return strtoull(text, NULL, 10);
}

static void check_memory(struct doctor *doctor)
{
    char value[128];
    char total_text[16];
    char free_text[16];
    const uint64_t machine = memory_line("MemTotal");
    const uint64_t limit = container_limit();
    const uint64_t total = limit < machine ? limit : machine;
    uint64_t available = memory_line("MemAvailable");
    available = available < total ? available : total;
    (void)snprintf(value,
                   sizeof value,
                   "%s%s, %s available",
                   term_bytes(total, total_text),
                   limit < machine ? " (this container's)" : "",
                   term_bytes(available, free_text));
    const bool low = available < LOW_MEMORY_BYTES;
    doctor_tell(doctor,
                low ? FINDING_WARN : FINDING_OK,
                "memory",
                value,
                low ? "small models only; make --ctx and --kv-memory smaller" : "");
}

static void check_huge_pages(struct doctor *doctor)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
    char value[128];
    if (!read_line(path, "", value, sizeof value)) {
        doctor_tell(doctor, FINDING_OK, "huge pages", "this system does not tell", "");
        return;
    }
    const bool off = strstr(value, "[never]") != NULL;
    doctor_tell(doctor,
                off ? FINDING_WARN : FINDING_OK,
                "huge pages",
                value,
                off ? "weights are read slower; as root: echo madvise > "
                      "/sys/kernel/mm/transparent_hugepage/enabled"
                    : "");
}

void doctor_check_machine(struct doctor *doctor)
{
    check_processor(doctor);
    check_features(doctor);
    check_cores(doctor);
    check_memory(doctor);
    check_huge_pages(doctor);
}
