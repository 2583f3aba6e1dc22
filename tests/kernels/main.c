/* kernels [--cpu=LEVEL] [--filter=TEXT] [--bench]
 *
 * Exit code 0: all equal; 1: something differs; 77: this processor or build lacks the level. */
#include "backend/cpu/select.h"
#include "kernels/kernels_test.h"

#include <stdio.h>
#include <string.h>

static const struct operation {
    const char *name;
    void (*test)(struct kernel_test *test);
    void (*bench)(struct kernel_test *test); /* or NULL */
} operations[] = {
    {"quantise", test_quantise, NULL},
    {"pack", test_pack, NULL},
    {"matmul", test_matmul, bench_matmul},
    {"norm", test_norm, NULL},
    {"rope", test_rope, NULL},
    {"elementwise", test_elementwise, NULL},
    {"attention", test_attention, bench_attention},
};

static const char *value_of(const char *argument, const char *option)
{
    const size_t n = strlen(option);
    return strncmp(argument, option, n) == 0 ? argument + n : NULL;
}

int main(int argc, char **argv)
{
    const char *level = NULL;
    struct kernel_test test = {0};
    bool bench = false;
    for (int i = 1; i < argc; i++) {
        const char *const cpu = value_of(argv[i], "--cpu=");
        const char *const filter = value_of(argv[i], "--filter=");
        level = cpu != NULL ? cpu : level;
        test.filter = filter != NULL ? filter : test.filter;
        bench = bench || strcmp(argv[i], "--bench") == 0;
        if (cpu == NULL && filter == NULL && strcmp(argv[i], "--bench") != 0) {
            (void)fprintf(stderr, "usage: kernels [--cpu=LEVEL] [--filter=TEXT] [--bench]\n");
            return 2;
        }
    }
    struct realm_error error;
    if (cpu_select(level, &test.kernels, &error) != REALM_OK) {
        (void)fprintf(stderr, "%s\n", error.message);
        return 77;
    }
    if (cpu_select("scalar", &test.scalar, &error) != REALM_OK) {
        (void)fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    printf("level %s\n", test.kernels.level);
    test_random_init(&test.random, "kernels");
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        void (*const run)(struct kernel_test *) = bench ? operations[i].bench : operations[i].test;
        if (run != NULL) {
            run(&test);
        }
    }
    if (!bench) {
        printf("%u tests, %u failures\n", test.n_tests, test.n_failures);
    }
    return test.n_failures == 0 ? 0 : 1;
}
