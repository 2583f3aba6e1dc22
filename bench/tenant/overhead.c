/* What knowing, limiting and billing a customer adds to a request: showing a key, being admitted by
 * the limits of tenant and key, settling, and an entry in the ledger, which is written meanwhile.
 *
 *   bench_tenant_overhead [--rounds 20000] [--pause-us 100]
 *
 * Prints medians and 99th percentiles in microseconds, of each part and of all. */
#include "../engine/check.h"
#include "tenant/tenant.h"

#include <time.h>

#define N_TENANTS  8u
#define N_KEYS     8u
#define MAX_ROUNDS 1000000u

enum part { AUTHENTICATE, ADMIT, SETTLE, ALL, N_PARTS };

struct stage {
    struct tenant_registry *registry;
    char keys[N_TENANTS * N_KEYS][KEY_TEXT_LENGTH + 1];
    double *us[N_PARTS]; /* [rounds] */
};

static void make_tenants(const char *folder, struct stage *stage)
{
    struct store *store;
    CHECK(tenant_store_open(folder, &store, NULL) == REALM_OK, "store");
    for (uint32_t t = 0; t < N_TENANTS; t++) {
        struct tenant_record tenant = {
            .limits = {.requests_per_minute = 1000000000, .tokens_per_minute = 1000000000}};
        (void)snprintf(tenant.name, sizeof tenant.name, "tenant-%u", t);
        CHECK(tenant_make(store, "bench", &tenant, NULL) == REALM_OK, "tenant");
        for (uint32_t k = 0; k < N_KEYS; k++) {
            struct key_record key = {.tenant = tenant.id,
                                     .scopes = SCOPE_INFERENCE,
                                     .limits = {.tokens_per_day = 1000000000}};
            CHECK(tenant_make_key(store, "bench", &key, stage->keys[t * N_KEYS + k], NULL) ==
                      REALM_OK,
                  "key");
        }
    }
    store_close(store);
}

static void run_one(struct stage *stage, uint32_t round)
{
    const char *const key = stage->keys[round % (N_TENANTS * N_KEYS)];
    const struct tenant_demand demand = {.model = "small", .n_context = 100, .n_tokens = 148};
    struct usage_entry entry = {
        .status = 200, .model = "small", .prompt_tokens = 100, .completion_tokens = 48};
    struct tenant_caller caller;
    struct tenant_ticket ticket;
    struct quota_standing standing;
    struct realm_error error;
    const uint64_t begin = clock_monotonic_ns();
    CHECK(tenant_registry_authenticate(
              stage->registry, key, KEY_TEXT_LENGTH, SCOPE_INFERENCE, &caller, &error) == REALM_OK,
          "%s",
          error.message);
    const uint64_t known = clock_monotonic_ns();
    CHECK(tenant_admit(&caller.grant, &demand, &ticket, &standing, &error) == REALM_OK,
          "%s",
          error.message);
    const uint64_t admitted = clock_monotonic_ns();
    (void)snprintf(entry.id, sizeof entry.id, "request-%u", round);
    (void)snprintf(entry.tenant, sizeof entry.tenant, "%s", caller.tenant);
    (void)snprintf(entry.key, sizeof entry.key, "%s", caller.key_id);
    entry.time_ms = clock_wall_ms();
    tenant_settle(&caller.grant, &ticket, &entry);
    tenant_caller_release(&caller);
    const uint64_t end = clock_monotonic_ns();
    stage->us[AUTHENTICATE][round] = (double)(known - begin) / 1000;
    stage->us[ADMIT][round] = (double)(admitted - known) / 1000;
    stage->us[SETTLE][round] = (double)(end - admitted) / 1000;
    stage->us[ALL][round] = (double)(end - begin) / 1000;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(struct stage *stage, uint32_t n_rounds)
{
    static const char *const names[N_PARTS] = {
        "authenticate", "limits", "settle and ledger", "all"};
    (void)printf("| part | median, us | p99, us |\n|---|---:|---:|\n");
    for (int i = 0; i < N_PARTS; i++) {
        qsort(stage->us[i], n_rounds, sizeof(double), by_size);
        (void)printf("| %s | %.1f | %.1f |\n",
                     names[i],
                     stage->us[i][n_rounds / 2],
                     stage->us[i][(uint64_t)n_rounds * 99 / 100]);
    }
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    const uint32_t n_rounds = argument(argc, argv, "--rounds", 20000);
    const uint32_t pause_us = argument(argc, argv, "--pause-us", 100);
    const struct timespec pause = {.tv_nsec = (long)pause_us * 1000};
    CHECK(n_rounds > 0 && n_rounds <= MAX_ROUNDS, "1 to %u rounds", MAX_ROUNDS);
    struct temp_folder folder;
    static struct stage stage;
    char first_key[KEY_TEXT_LENGTH + 1];
    struct realm_error error;
    temp_folder_make(&folder);
    for (int i = 0; i < N_PARTS; i++) {
        stage.us[i] = calloc(n_rounds, sizeof(double));
        CHECK(stage.us[i] != NULL, "memory");
    }
    make_tenants(folder.path, &stage);
    CHECK(tenant_registry_open(folder.path, NULL, first_key, &stage.registry, &error) == REALM_OK,
          "%s",
          error.message);
    for (uint32_t i = 0; i < n_rounds; i++) {
        run_one(&stage, i);
        (void)nanosleep(&pause, NULL); /* as requests come: the ledger never runs full */
    }
    report(&stage, n_rounds);
    tenant_registry_close(stage.registry);
    for (int i = 0; i < N_PARTS; i++) {
        free(stage.us[i]);
    }
    temp_folder_remove(&folder);
    return 0;
}
