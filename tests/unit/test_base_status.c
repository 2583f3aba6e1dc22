#include "base/log.h"
#include "base/status.h"
#include "base/utf8.h"
#include "support/cmocka_all.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void every_status_has_its_own_name(void **state)
{
    (void)state;
    for (int i = 0; i < REALM_N_STATUSES; i++) {
        const char *name = realm_status_name((realm_status)i);
        assert_non_null(name);
        assert_string_not_equal(name, "unknown");
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(name, realm_status_name((realm_status)j));
        }
    }
    assert_string_equal(realm_status_name(REALM_INVALID_ARGUMENT), "invalid_argument");
    assert_string_equal(realm_status_name((realm_status)REALM_N_STATUSES), "unknown");
    assert_string_equal(realm_status_name((realm_status)-1), "unknown");
}

static void version_is_that_of_the_header(void **state)
{
    (void)state;
    char expected[32];
    (void)snprintf(expected,
                   sizeof(expected),
                   "%d.%d.%d",
                   REALM_VERSION_MAJOR,
                   REALM_VERSION_MINOR,
                   REALM_VERSION_PATCH);
    assert_string_equal(realm_version(), expected);
}

static void error_set_formats_and_returns_its_status(void **state)
{
    (void)state;
    struct realm_error error;
    assert_int_equal(realm_error_set(&error, REALM_IO, "disk %d of %s", 3, "x"), REALM_IO);
    assert_int_equal(error.status, REALM_IO);
    assert_string_equal(error.message, "disk 3 of x");
    assert_int_equal(realm_error_set(NULL, REALM_NOT_FOUND, "nobody %d", 1), REALM_NOT_FOUND);
}

static void long_messages_are_cut_between_characters(void **state)
{
    (void)state;
    for (size_t lead = 0; lead < 8; lead++) {
        char text[400];
        size_t length = lead;
        memset(text, 'a', lead);
        while (length + 3 < sizeof(text)) {
            memcpy(text + length, "\xE2\x82\xAC", 3); /* the euro sign */
            length += 3;
        }
        text[length] = '\0';
        struct realm_error error;
        (void)realm_error_set(&error, REALM_INTERNAL, "%s", text);
        const size_t kept = strlen(error.message);
        assert_in_range(kept, sizeof(error.message) - 3, sizeof(error.message) - 1);
        assert_true(utf8_valid((const uint8_t *)error.message, kept));
        (void)realm_error_prefix(&error, REALM_INTERNAL, "more");
        assert_true(utf8_valid((const uint8_t *)error.message, strlen(error.message)));
    }
}

static void prefix_stands_before_the_message(void **state)
{
    (void)state;
    struct realm_error error;
    (void)realm_error_set(&error, REALM_IO, "disk full");
    assert_int_equal(realm_error_prefix(&error, REALM_IO, "saving %s", "a.txt"), REALM_IO);
    assert_string_equal(error.message, "saving a.txt: disk full");
    assert_int_equal(realm_error_prefix(NULL, REALM_IO, "x"), REALM_IO);

    char long_prefix[300];
    memset(long_prefix, 'p', sizeof(long_prefix) - 1);
    long_prefix[sizeof(long_prefix) - 1] = '\0';
    (void)realm_error_prefix(&error, REALM_IO, "%s", long_prefix);
    assert_int_equal(strlen(error.message), sizeof(error.message) - 1);
}

static void out_of_memory_names_bytes_and_purpose(void **state)
{
    (void)state;
    struct realm_error error;
    assert_int_equal(realm_error_out_of_memory(&error, 77, "a hat"), REALM_OUT_OF_MEMORY);
    assert_string_equal(error.message, "out of memory: 77 bytes for a hat");
}

static realm_status tries(realm_status inner)
{
    REALM_TRY(inner);
    return REALM_CANCELLED;
}

static void try_returns_what_is_not_ok(void **state)
{
    (void)state;
    assert_int_equal(tries(REALM_QUOTA_EXCEEDED), REALM_QUOTA_EXCEEDED);
    assert_int_equal(tries(REALM_OK), REALM_CANCELLED);
}

#ifdef NDEBUG
static const bool goes_on = true;
#else
static const bool goes_on = false;
#endif

/* In another process, because a debug build ends there. */
static void a_broken_invariant_ends_a_debug_build_and_is_counted_in_a_release(void **state)
{
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        log_configure(LOG_ERROR, LOG_FORMAT_JSON);
        (void)close(STDERR_FILENO);
        const bool held = REALM_INVARIANT(1 + 1 == 3);
        _exit(!held && realm_invariants_broken() == 1 ? 0 : 1);
    }
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    if (goes_on) {
        assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
    } else {
        assert_true(WIFSIGNALED(result) && WTERMSIG(result) == SIGABRT);
    }
}

static void kept_invariants_are_not_counted(void **state)
{
    (void)state;
    assert_true(REALM_INVARIANT(1 + 1 == 2));
    assert_int_equal(realm_invariants_broken(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_own_name),
        cmocka_unit_test(version_is_that_of_the_header),
        cmocka_unit_test(error_set_formats_and_returns_its_status),
        cmocka_unit_test(long_messages_are_cut_between_characters),
        cmocka_unit_test(prefix_stands_before_the_message),
        cmocka_unit_test(out_of_memory_names_bytes_and_purpose),
        cmocka_unit_test(try_returns_what_is_not_ok),
        cmocka_unit_test(a_broken_invariant_ends_a_debug_build_and_is_counted_in_a_release),
        cmocka_unit_test(kept_invariants_are_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
