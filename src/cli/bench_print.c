#include "cli/bench.h"
#include "cli/json_out.h"
#include "cli/term.h"

#include <string.h>

void bench_print_head(const struct bench *bench)
{
    char weights[16];
    char kv[16];
    if (bench->json) {
        return;
    }
    struct backend *const backend = runner_backend(bench->runner);
    printf("%s on %s/%s, %u threads; weights %s, KV %s (%s)\n",
           bench->name,
           backend_name(backend),
           backend_level(backend),
           backend_n_threads(backend),
           term_bytes(backend_model_weight_bytes(runner_backend_model(bench->runner)), weights),
           term_bytes(backend_model_kv_bytes(runner_backend_model(bench->runner)), kv),
           backend_kv_type_name((enum kv_type)bench->kv_type));
    printf("limits measured now: reads %.1f GB/s, int8 %.0f GOPS\n\n",
           bench->limits.read_bytes_per_s / 1e9,
           bench->limits.int8_ops_per_s / 1e9);
    printf("%-8s %5s %6s %10s %10s %10s %9s\n",
           "TEST",
           "N",
           "BATCH",
           "TOK/S",
           "MIN",
           "MAX",
           "ROOFLINE");
    (void)fflush(stdout);
}

realm_status bench_print_result(const struct bench *bench,
                                const struct bench_test *test,
                                const struct bench_result *result,
                                struct realm_error *error)
{
    if (!bench->json) {
        printf("%-8s %5u %6u %10.2f %10.2f %10.2f %7.1f %%\n",
               test->name,
               test->n,
               test->batch,
               result->tok_s,
               result->tok_s_min,
               result->tok_s_max,
               result->roofline * 100);
        (void)fflush(stdout);
        return REALM_OK;
    }
    struct json_out out;
    json_out_init(&out);
    json_out_begin_object(&out, NULL);
    json_out_text(&out, "model", bench->name);
    json_out_text(&out, "test", test->name);
    json_out_u64(&out, "n", test->n);
    json_out_u64(&out, "batch", test->batch);
    json_out_u64(&out, "threads", backend_n_threads(runner_backend(bench->runner)));
    json_out_f64(&out, "tok_s", result->tok_s, 6);
    json_out_f64(&out, "tok_s_min", result->tok_s_min, 6);
    json_out_f64(&out, "tok_s_max", result->tok_s_max, 6);
    json_out_f64(&out, "roofline", result->roofline, 4);
    json_out_end_object(&out);
    return json_out_print(&out, error);
}

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

/* Seconds that an operation takes at least: reading and multiplying overlap at best. */
static double bound_seconds(const struct backend_limits *limits, const struct backend_profile *p)
{
    const double reading = (double)(p->weight_bytes + p->kv_bytes) / limits->read_bytes_per_s;
    const double multiplying = 2.0 * (double)p->multiply_adds / limits->int8_ops_per_s;
    return reading > multiplying ? reading : multiplying;
}

static void print_row(FILE *to,
                      const char *name,
                      const struct backend_profile *p,
                      uint64_t total_ns,
                      const struct backend_limits *limits)
{
    const double seconds = (double)p->ns / 1e9;
    (void)fprintf(
        to, "  %-28s %9.3f ms %5.1f %%", name, (double)p->ns / 1e6, share(p->ns, total_ns));
    if (p->weight_bytes + p->kv_bytes > 0 && seconds > 0) {
        (void)fprintf(to,
                      "  %6.1f GB/s %7.1f GOPS %7.1f %%",
                      (double)(p->weight_bytes + p->kv_bytes) / seconds / 1e9,
                      2.0 * (double)p->multiply_adds / seconds / 1e9,
                      100.0 * bound_seconds(limits, p) / seconds);
    }
    (void)fputc('\n', to);
}

static void add(struct backend_profile *sum, const struct backend_profile *p)
{
    sum->ns += p->ns;
    sum->weight_bytes += p->weight_bytes;
    sum->kv_bytes += p->kv_bytes;
    sum->multiply_adds += p->multiply_adds;
}

/* "blk.12.attn_q" and its like of all layers are one row: "blk.*.attn_q". */
static void row_name(const struct op *op, char *out, size_t n_out)
{
    const char *const dot = strncmp(op->name, "blk.", 4) == 0 ? strchr(op->name + 4, '.') : NULL;
    if (dot != NULL) {
        (void)snprintf(out, n_out, "blk.*%s", dot);
    } else {
        (void)snprintf(out, n_out, "%s", op->name[0] != '\0' ? op->name : op_kind_name(op->kind));
    }
}

void bench_print_profile(const struct bench *bench, const struct bench_test *test)
{
    FILE *const to = bench->json ? stderr : stdout;
    const struct plan *const plan = model_plan(runner_model(bench->runner));
    const struct backend_profile *const profile =
        backend_profile(runner_backend_model(bench->runner));
    const uint32_t n = plan_n_ops(plan);
    uint64_t total_ns = 0;
    for (uint32_t i = 0; i < n; i++) {
        total_ns += profile[i].ns;
    }
    (void)fprintf(to, "  %s of %u, batch %u:\n", test->name, test->n, test->batch);
    (void)fprintf(to,
                  "  %-28s %12s %7s  %11s %12s %9s\n",
                  "OPERATION",
                  "TIME",
                  "SHARE",
                  "READ",
                  "MULTIPLY",
                  "ROOFLINE");
    for (uint32_t i = 0; i < n; i++) {
        char name[64];
        struct backend_profile sum = {.ns = 0};
        bool seen = false;
        row_name(plan_op(plan, i), name, sizeof name);
        for (uint32_t k = 0; k < n; k++) {
            char other[64];
            row_name(plan_op(plan, k), other, sizeof other);
            if (strcmp(name, other) == 0) {
                seen = seen || k < i;
                add(&sum, &profile[k]);
            }
        }
        if (!seen && sum.ns > 0) {
            print_row(to, name, &sum, total_ns, &bench->limits);
        }
    }
}
