/* Every call of the ABI, in both widths of memory, with pointers and lengths at every edge: the
 * result is a number of the guest's own errors, or what an honest call would give; the guest goes
 * on, and bytes beyond what it may have are never touched. */
#include "base/strbuf.h"
#include "guests/harness.h"
#include "sandbox/linker.h"

#include <realm_guest.h>

#define MEMORY_BYTES  131072u
#define MAX_VECTORS   500u
#define VECTORS_AT    1024
#define RESULTS_AT    65536
#define MAX_ARGUMENTS 6
#define N_EDGES       12

/* Addresses and lengths; of narrow memories the lower 32 bits. */
static const uint64_t edges[N_EDGES] = {
    0,
    1,
    8,
    MEMORY_BYTES - 8,
    MEMORY_BYTES - 1,
    MEMORY_BYTES,
    MEMORY_BYTES + 1,
    0x7fffffff,
    0x80000000,
    0xfffffff8,
    0xffffffff,
    UINT64_MAX,
};

struct vectors {
    int64_t values[MAX_VECTORS][MAX_ARGUMENTS];
    uint32_t n;
};

/* What handle the first parameter should be, by the call's name. */
static const char *handle_of(const char *name)
{
    static const char *const of_model[] = {"model_info",
                                           "tokenize",
                                           "detokenize",
                                           "apply_template",
                                           "embed",
                                           "sequence_create",
                                           "sequence_open",
                                           "matcher_create"};
    for (size_t i = 0; i < sizeof(of_model) / sizeof(of_model[0]); i++) {
        if (strcmp(of_model[i], name) == 0) {
            return "$model";
        }
    }
    if (strncmp(name, "sequence_", 9) == 0 || strcmp(name, "generate") == 0) {
        return "$sequence";
    }
    return strcmp(name, "sampler_bias") == 0 ? "$sampler" : NULL;
}

/* All edges for each pointer with each length behind it; the rest honest and small. */
static void make_vectors(const struct abi_row *row, struct vectors *out)
{
    const char *parameters = row->parameters;
    const int n = (int)strlen(parameters);
    /* The request's body are the vectors themselves, which would overwrite each other. */
    const int other = strcmp(row->name, "request_read") == 0 ? REALM_REQUEST_META : 0;
    out->n = 0;
    for (int at = 0; at < n; at++) {
        if (parameters[at] != 'p') {
            continue;
        }
        int length = at + 1;
        while (length < n && parameters[length] != 'n') {
            length++;
        }
        for (int a = 0; a < N_EDGES; a++) {
            for (int b = 0; b < N_EDGES && out->n < MAX_VECTORS; b++) {
                int64_t *vector = out->values[out->n++];
                for (int i = 0; i < MAX_ARGUMENTS; i++) {
                    const bool is_pointer = i < n && parameters[i] == 'p';
                    vector[i] = is_pointer ? 512 : i < n && parameters[i] == 'n' ? 4 : other;
                }
                vector[at] = (int64_t)edges[a];
                if (length < n) {
                    vector[length] = (int64_t)edges[b];
                }
            }
        }
    }
}

static void append_types(struct strbuf *wat, const struct abi_row *row, bool wide)
{
    for (const char *p = row->parameters; *p != '\0'; p++) {
        const bool is_long = *p == 'l' || (wide && (*p == 'p' || *p == 'n'));
        (void)strbuf_append_text(wat, is_long ? " i64" : " i32");
    }
}

/* Where item $i lies. */
static void address_of_item(bool wide, int base, int item_bytes, char out[160])
{
    char narrow[100];
    (void)snprintf(narrow,
                   sizeof narrow,
                   "(i32.add (i32.const %d) (i32.mul (local.get $i) (i32.const %d)))",
                   base,
                   item_bytes);
    (void)snprintf(out, 160, wide ? "(i64.extend_i32_u %s)" : "%s", narrow);
}

/* A module that makes the call with each vector of its memory and logs all results. */
static void write_guest(const struct abi_row *row, bool wide, uint32_t n, struct strbuf *wat)
{
    const char *word = wide ? "i64" : "i32";
    (void)strbuf_append_format(
        wat, "(module\n(import \"realm_v1\" \"%s\" (func $call (param", row->name);
    append_types(wat, row, wide);
    (void)strbuf_append_format(wat, ") (result %s)))\n", row->long_result ? "i64" : "i32");
    (void)strbuf_append_format(
        wat,
        "(import \"realm_v1\" \"request_read\" (func $read (param i32 %s %s) (result i32)))\n"
        "(import \"realm_v1\" \"log\" (func $log (param i32 %s %s) (result i32)))\n"
        "(import \"realm_v1\" \"model_open\" (func $open (param %s %s) (result i32)))\n"
        "(import \"realm_v1\" \"sequence_create\" (func $create (param i32) (result i32)))\n"
        "(import \"realm_v1\" \"sampler_create\" (func $make (param %s %s) (result i32)))\n"
        "(memory (export \"memory\") %s 2)\n"
        "(global $model (mut i32) (i32.const 0)) (global $sequence (mut i32) (i32.const 0))\n"
        "(global $sampler (mut i32) (i32.const 0))\n"
        "(func (export \"realm_run\") (result i32) (local $i i32)\n",
        word,
        word,
        word,
        word,
        word,
        word,
        word,
        word,
        wide ? "i64" : "");
    (void)strbuf_append_format(
        wat,
        "(drop (call $read (i32.const 0) (%s.const %d) (%s.const 60000)))\n"
        "(global.set $model (call $open (%s.const 0) (%s.const 0)))\n"
        "(global.set $sequence (call $create (global.get $model)))\n"
        "(global.set $sampler (call $make (%s.const 600) (%s.const 8)))\n(loop $next\n",
        word,
        VECTORS_AT,
        word,
        word,
        word,
        word,
        word);
    char address[160];
    address_of_item(wide, RESULTS_AT, 8, address);
    (void)strbuf_append_format(
        wat, "(i64.store %s %s(call $call", address, row->long_result ? "" : "(i64.extend_i32_s ");
    address_of_item(wide, VECTORS_AT, 8 * MAX_ARGUMENTS, address);
    for (int i = 0; row->parameters[i] != '\0'; i++) {
        const char p = row->parameters[i];
        if (i == 0 && handle_of(row->name) != NULL) {
            (void)strbuf_append_format(wat, " (global.get %s)", handle_of(row->name));
        } else {
            const bool is_long = p == 'l' || (wide && (p == 'p' || p == 'n'));
            (void)strbuf_append_format(
                wat, " (%s.load offset=%d %s)", is_long ? "i64" : "i32", 8 * i, address);
        }
    }
    (void)strbuf_append_format(wat,
                               ")%s)\n(local.set $i (i32.add (local.get $i) (i32.const 1)))\n"
                               "(br_if $next (i32.lt_u (local.get $i) (i32.const %u))))\n"
                               "(call $log (i32.const 0) (%s.const %d) (%s.const %u))))\n",
                               row->long_result ? "" : ")",
                               n,
                               word,
                               RESULTS_AT,
                               word,
                               8 * n);
}

/* The results a call gave for its vectors. */
static void
run_vectors(const struct abi_row *row, bool wide, struct vectors *vectors, int64_t *results)
{
    struct strbuf wat;
    strbuf_init(&wat, ALLOC_TEST, SIZE_MAX);
    write_guest(row, wide, vectors->n, &wat);
    struct program *program = load_text(wat.text);
    strbuf_deinit(&wat);
    struct instance_options options = options_of(program, "");
    options.request = (struct bytes){.data = (const uint8_t *)vectors->values,
                                     .length = vectors->n * sizeof(vectors->values[0])};
    struct instance *instance = start(&options);
    struct guest_event event = {.kind = GUEST_EVENT_TEXT};
    size_t n_got = 0;
    while (event.kind != GUEST_EVENT_FINISHED) {
        if (!instance_next(instance, &event)) {
            assert_true(instance_wait(instance, HARNESS_WAIT_MS));
        } else if (event.kind == GUEST_EVENT_LOG && event.bytes.length == 8 * (size_t)vectors->n) {
            memcpy(results, event.bytes.data, event.bytes.length);
            n_got = vectors->n;
        }
    }
    if (event.status != REALM_OK) {
        fail_msg("%s: %s", row->name, event.message);
    }
    assert_int_equal(n_got, vectors->n);
    instance_release(instance);
    program_release(program);
}

/* Whether pointer i with the length behind it lies in memory, of items of item_bytes. */
static bool is_inside(const struct abi_row *row, const int64_t *vector, int i, bool wide)
{
    const uint64_t mask = wide ? UINT64_MAX : UINT32_MAX;
    int length = i + 1;
    while (row->parameters[length] != 'n') {
        length++;
    }
    const uint64_t address = (uint64_t)vector[i] & mask;
    const uint64_t n = (uint64_t)vector[length] & mask;
    return address <= MEMORY_BYTES && n <= MEMORY_BYTES - address;
}

static void check_results(const struct abi_row *row,
                          bool wide,
                          const struct vectors *vectors,
                          const int64_t *results)
{
    for (uint32_t v = 0; v < vectors->n; v++) {
        bool inside = true;
        for (int i = 0; row->parameters[i] != '\0'; i++) {
            if (row->parameters[i] == 'p') {
                inside &= is_inside(row, vectors->values[v], i, wide);
            }
        }
        if (results[v] < REALM_GUEST_FAILED || (!inside && results[v] >= 0)) {
            fail_msg("%s (%s): vector %u gave %lld, pointers %s",
                     row->name,
                     wide ? "wide" : "narrow",
                     v,
                     (long long)results[v],
                     inside ? "inside" : "outside");
        }
    }
}

static void no_pointer_or_length_does_harm(void **state)
{
    (void)state;
    static struct vectors vectors;
    static int64_t results[MAX_VECTORS];
    world_open();
    const struct sandbox_limits limits = {.handles = 4096, .output_bytes = 1 << 30};
    set_limits(&limits);
    for (uint32_t i = 0; linker_row(i) != NULL; i++) {
        const struct abi_row *row = linker_row(i);
        if (strchr(row->parameters, 'p') == NULL) {
            continue;
        }
        for (int wide = 0; wide < 2; wide++) {
            make_vectors(row, &vectors);
            run_vectors(row, wide != 0, &vectors, results);
            check_results(row, wide != 0, &vectors, results);
        }
    }
    world_close();
}

int main(int argc, char **argv)
{
    if (harness_is_compiler(argc, argv)) {
        return sandbox_compiler_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_pointer_or_length_does_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
