/* Chat templates: texts equal to those of transformers' renderer (tests/golden/chat_template, made
 * by tools/make_golden/chat_template.py), errors told apart, bounds on what a template may do. */
#include "base/file.h"
#include "support/cmocka_all.h"
#include "tokenizer/chat_template.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_PROMPT_BYTES ((size_t)4 << 20)
#define MAX_GOLDEN_BYTES ((size_t)4 << 20)

/* ---- what transformers renders ---- */

struct golden {
    char *text;
    size_t length;
    size_t position;
};

static struct golden golden_open(const char *name)
{
    char path[512];
    struct golden golden = {.text = NULL};
    struct realm_error error;
    (void)snprintf(path, sizeof path, REALM_TEST_DATA "/golden/chat_template/%s.golden", name);
    if (file_read(path, MAX_GOLDEN_BYTES, &golden.text, &golden.length, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return golden;
}

/* The next line without its end; the text is cut there. */
static char *golden_line(struct golden *golden)
{
    char *const line = golden->text + golden->position;
    char *const end = strchr(line, '\n');
    assert_non_null(end);
    *end = '\0';
    golden->position = (size_t)(end - golden->text) + 1;
    return line;
}

/* The bytes that "WORD N" announces; a zero byte replaces the line end behind them. */
static char *golden_bytes(struct golden *golden, const char *line, size_t *n)
{
    const char *const number = strchr(line, ' ');
    assert_non_null(number);
    *n = strtoul(number, NULL, 10);
    char *const bytes = golden->text + golden->position;
    assert_true(*n < golden->length - golden->position);
    assert_int_equal(bytes[*n], '\n');
    bytes[*n] = '\0';
    golden->position += *n + 1;
    return bytes;
}

static void
check_case(const struct chat_template *chat_template, const char *where, struct golden *golden)
{
    size_t n_context;
    const char *const context_line = golden_line(golden);
    const char *const context = golden_bytes(golden, context_line, &n_context);
    const char *const kind = golden_line(golden);
    size_t n_expected;
    const char *const expected = golden_bytes(golden, kind, &n_expected);

    struct strbuf out;
    struct realm_error error = {.status = REALM_OK};
    strbuf_init(&out, ALLOC_TEST, MAX_PROMPT_BYTES);
    const realm_status status =
        chat_template_render(chat_template, context, n_context, &out, &error);
    if (strncmp(kind, "text ", 5) == 0) {
        if (status != REALM_OK || out.length != n_expected ||
            memcmp(out.text, expected, n_expected) != 0) {
            fail_msg("%s\nshould be: %s\nis:        %s%s",
                     where,
                     expected,
                     out.text,
                     status == REALM_OK ? "" : error.message);
        }
    } else if (status != REALM_INVALID_ARGUMENT || strstr(error.message, expected) == NULL) {
        fail_msg("%s\nshould be: %s %s\nis:        %s%s",
                 where,
                 kind,
                 expected,
                 out.text,
                 status == REALM_OK ? "" : error.message);
    }
    strbuf_deinit(&out);
}

/* The template in place of the one before it. */
static void change_template(struct chat_template **chat_template,
                            const char *line,
                            const char *name,
                            struct golden *golden)
{
    size_t n;
    const char *const source = golden_bytes(golden, line, &n);
    struct realm_error error;
    chat_template_destroy(*chat_template);
    if (chat_template_create(source, n, chat_template, &error) != REALM_OK) {
        fail_msg("%s: %s\n%s", name, error.message, source);
    }
}

/* Checks every case of a file; returns how many there were. */
static unsigned check_golden(const char *name)
{
    struct golden golden = golden_open(name);
    struct chat_template *chat_template = NULL;
    unsigned n_cases = 0;
    assert_memory_equal(golden_line(&golden), "oracle ", 7);
    while (golden.position < golden.length) {
        const char *const line = golden_line(&golden);
        if (strncmp(line, "template ", 9) == 0) {
            change_template(&chat_template, line, name, &golden);
        } else {
            char where[256];
            assert_memory_equal(line, "case ", 5);
            (void)snprintf(where, sizeof where, "%s, %s", name, line);
            check_case(chat_template, where, &golden);
            n_cases++;
        }
    }
    chat_template_destroy(chat_template);
    alloc_free(golden.text);
    return n_cases;
}

static void templates_of_well_known_models_render_as_transformers_does(void **state)
{
    static const char *const names[] = {
        "smollm2",
        "gemma_style",
        "llama3_style",
        "qwen_style",
        "mistral_style",
        "phi3_style",
        "training_style",
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(check_golden(names[i]) >= 26);
    }
}

static void pieces_of_the_language_render_as_transformers_does(void **state)
{
    (void)state;
    assert_true(check_golden("language") >= 130);
}

/* ---- errors and bounds ---- */

static realm_status
render(const char *source, const char *context, struct strbuf *out, struct realm_error *error)
{
    struct chat_template *chat_template;
    realm_status status = chat_template_create(source, strlen(source), &chat_template, error);
    if (status == REALM_OK) {
        status = chat_template_render(chat_template, context, strlen(context), out, error);
        chat_template_destroy(chat_template);
    } else {
        assert_null(chat_template);
    }
    return status;
}

static void
expect_error(const char *source, const char *context, realm_status status, const char *words)
{
    struct realm_error error = {.status = REALM_OK};
    struct strbuf out;
    strbuf_init(&out, ALLOC_TEST, MAX_PROMPT_BYTES);
    assert_true(strbuf_append_text(&out, "before"));
    const realm_status got = render(source, context, &out, &error);
    if (got != status || strstr(error.message, words) == NULL) {
        fail_msg("%.200s\nshould be: %s: %s\nis:        %s: %s",
                 source,
                 realm_status_name(status),
                 words,
                 realm_status_name(got),
                 got == REALM_OK ? out.text : error.message);
    }
    assert_string_equal(out.text, "before");
    strbuf_deinit(&out);
}

static void each_kind_of_failure_has_its_status_and_its_words(void **state)
{
    (void)state;
    expect_error("a\n{% if %}", "{}", REALM_INVALID_FORMAT, "line 2");
    expect_error("{% for x in y %}", "{}", REALM_INVALID_FORMAT, "syntax error");
    expect_error("{% import 'os' as os %}{% bogus %}", "{}", REALM_INVALID_FORMAT, "bogus");
    expect_error("\xff\xfe", "{}", REALM_INVALID_FORMAT, "not UTF-8");
    expect_error("a", "[1]", REALM_INVALID_ARGUMENT, "not a JSON object");
    expect_error("a", "{\"a\": ", REALM_INVALID_ARGUMENT, "not a JSON object");
    expect_error("a", "{\"a\": \"\xff\"}", REALM_INVALID_ARGUMENT, "not a JSON object");
    expect_error("{{ raise_exception('no ' ~ what ~ ' here') }}",
                 "{\"what\": \"tools\"}",
                 REALM_INVALID_ARGUMENT,
                 "refuses these messages: no tools here");
    expect_error("{{ messages[3].content }}",
                 "{\"messages\": []}",
                 REALM_INVALID_ARGUMENT,
                 "cannot render these messages: undefined value");
    expect_error("{{ strftime_now('%Y') }}", "{\"realm_now\": 1e300}", REALM_INVALID_ARGUMENT, "1");
    expect_error("{% include 'secret' %}", "{}", REALM_INVALID_ARGUMENT, "secret");
}

static void a_template_that_wants_too_much_is_ended(void **state)
{
    static const char *const sources[] = {
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor "
        "%}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor "
        "%}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}"
        "{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}"
        "{% set n.x = n.x.replace('', n.x) %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor "
        "%}"
        "{{ n.x | tojson }}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor "
        "%}"
        "{{ {n.x: 1} | length }}",
        "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}"
        "{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99999) %}{% set n.x = [n.x] %}{% endfor "
        "%}",
        "{% set n = namespace(x='a') %}{% for i in range(99999) %}{% set n.x = {n.x: 1} %}{% "
        "endfor %}",
        "{{ 'ab' * 999999999999 }}",
        "{{ 'x'.join(['ab' * 100000] * 100000) }}",
        "{{ ('a,' * 10000000).split(',') | length }}",
        "{{ '{:>99999999999}'.format('x') }}",
        "{{ '%99999999999d' | format(1) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
        "{% for a in range(99999) %}{{ '0123456789012345678901234567890123456789012345678' }}"
        "{% endfor %}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        expect_error(sources[i], "{}", REALM_RESOURCE_EXHAUSTED, "than");
    }
}

/* "OPEN UNIT*n CLOSE" in memory of its own. */
static char *repeat(const char *open, const char *unit, size_t n, const char *close)
{
    const size_t n_unit = strlen(unit);
    char *const text = malloc(strlen(open) + n * n_unit + strlen(close) + 1);
    assert_non_null(text);
    char *end = stpcpy(text, open);
    for (size_t i = 0; i < n; i++) {
        end = stpcpy(end, unit);
    }
    (void)stpcpy(end, close);
    return text;
}

static void deep_and_long_sources_end_without_harm(void **state)
{
    static const struct {
        const char *open, *unit, *close;
    } shapes[] = {
        {"{{ a", "~a", " }}"},
        {"{{ ", "not ", "a }}"},
        {"{{ ", "-", "1 }}"},
        {"{{ a", ".b", " }}"},
        {"{{ a", "|string", " }}"},
        {"{{ ", "[", " }}"},
        {"{{ ", "(", " }}"},
        {"", "{% if a %}", ""},
        {"{% if a %}", "{% elif a %}", "{% endif %}"},
        {"", "{% set x = [x] %}", "{{ x }}"},
        {"{{ a", "()", " }}"},
        {"{{ 2", "**2", " }}"},
        {"", "{{ a~a~a~a~a~a~a~a }}", ""},
        {"", "{#", ""},
        {"{{ '", "\\x41", "' }}"},
        {"", "{% raw %}", ""},
        {"{{ a", " if b else a", " }}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const size_t sizes[] = {100, 1000, 25000};
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            char *const source = repeat(shapes[i].open, shapes[i].unit, sizes[j], shapes[i].close);
            struct strbuf out;
            struct realm_error error;
            strbuf_init(&out, ALLOC_TEST, MAX_PROMPT_BYTES);
            const realm_status status = render(source, "{}", &out, &error);
            assert_int_not_equal(status, REALM_INTERNAL);
            strbuf_deinit(&out);
            free(source);
        }
    }
}

/* A value that holds itself is never freed; the leak checker would rightly say so. */
#if defined(__SANITIZE_ADDRESS__)
#define LEAKS_ARE_CHECKED true
#elif defined(__has_feature)
#define LEAKS_ARE_CHECKED __has_feature(address_sanitizer)
#else
#define LEAKS_ARE_CHECKED false
#endif

static void a_template_that_leaves_memory_behind_is_not_used_for_ever(void **state)
{
    static const char source[] = "{% set n = namespace() %}{% set n.x = [n, 'ab' * 200000] %}";
    struct chat_template *chat_template;
    struct realm_error error = {.status = REALM_OK};
    struct strbuf out;
    (void)state;
    if (LEAKS_ARE_CHECKED) {
        skip();
    }
    strbuf_init(&out, ALLOC_TEST, 100);
    assert_int_equal(chat_template_create(source, sizeof source - 1, &chat_template, &error),
                     REALM_OK);
    unsigned n_rendered = 0;
    while (n_rendered < 1000 &&
           chat_template_render(chat_template, "{}", 2, &out, &error) == REALM_OK) {
        n_rendered++;
    }
    assert_in_range(n_rendered, 2, 100);
    assert_int_equal(error.status, REALM_RESOURCE_EXHAUSTED);
    chat_template_destroy(chat_template);
    strbuf_deinit(&out);
}

static void the_ceiling_of_the_buffer_bounds_the_text(void **state)
{
    struct strbuf out;
    struct realm_error error;
    (void)state;
    strbuf_init(&out, ALLOC_TEST, 10);
    assert_true(strbuf_append_text(&out, "12345"));
    assert_int_equal(render("abcdef", "{}", &out, &error), REALM_RESOURCE_EXHAUSTED);
    assert_string_equal(out.text, "12345");
    assert_int_equal(render("abcde", "{}", &out, &error), REALM_OK);
    assert_string_equal(out.text, "12345abcde");
    strbuf_deinit(&out);
}

static void failing_memory_is_reported(void **state)
{
    struct chat_template *chat_template;
    struct realm_error error;
    struct strbuf out;
    (void)state;
    strbuf_init(&out, ALLOC_TEST, 100);
    alloc_fail_after(0);
    assert_int_equal(chat_template_create("a", 1, &chat_template, &error), REALM_OUT_OF_MEMORY);
    alloc_fail_after(1);
    assert_int_equal(chat_template_create("abc", 3, &chat_template, &error), REALM_OK);
    assert_int_equal(chat_template_render(chat_template, "{}", 2, &out, &error),
                     REALM_OUT_OF_MEMORY);
    alloc_fail_after(UINT64_MAX);
    chat_template_destroy(chat_template);
    strbuf_deinit(&out);
}

/* ---- the rest of the face ---- */

static void a_model_without_a_template_speaks_chatml(void **state)
{
    static const char context[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"},"
        "{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Hi\"},"
        "{\"type\": \"image\"}, {\"type\": \"text\", \"text\": \" there\"}]},"
        "{\"role\": \"assistant\", \"content\": null}], \"add_generation_prompt\": true}";
    struct chat_template *chat_template;
    struct strbuf out;
    (void)state;
    strbuf_init(&out, ALLOC_TEST, MAX_PROMPT_BYTES);
    assert_int_equal(chat_template_create(NULL, 0, &chat_template, NULL), REALM_OK);
    assert_int_equal(chat_template_render(chat_template, context, sizeof context - 1, &out, NULL),
                     REALM_OK);
    assert_string_equal(out.text,
                        "<|im_start|>system\nBe brief.<|im_end|>\n"
                        "<|im_start|>user\nHi there<|im_end|>\n"
                        "<|im_start|>assistant\n<|im_end|>\n"
                        "<|im_start|>assistant\n");
    chat_template_destroy(chat_template);
    chat_template_destroy(NULL);
    strbuf_deinit(&out);
}

static void the_wall_clock_is_asked_when_no_time_is_given(void **state)
{
    char before[16];
    char after[16];
    struct strbuf out;
    (void)state;
    strbuf_init(&out, ALLOC_TEST, 100);
    time_t now = time(NULL);
    struct tm parts;
    assert_true(strftime(before, sizeof before, "%Y-%m-%d", gmtime_r(&now, &parts)) > 0);
    assert_int_equal(render("{{ strftime_now('%Y-%m-%d') }}", "{}", &out, NULL), REALM_OK);
    now = time(NULL);
    assert_true(strftime(after, sizeof after, "%Y-%m-%d", gmtime_r(&now, &parts)) > 0);
    assert_true(strcmp(out.text, before) == 0 || strcmp(out.text, after) == 0);
    strbuf_deinit(&out);
}

struct renderer {
    const struct chat_template *chat_template;
    pthread_t thread;
    unsigned number;
    bool right;
};

static void *render_many(void *argument)
{
    struct renderer *const renderer = argument;
    renderer->right = true;
    for (unsigned i = 0; i < 50; i++) {
        char context[64];
        char expected[64];
        struct strbuf out;
        strbuf_init(&out, ALLOC_TEST, 1000);
        (void)snprintf(context, sizeof context, "{\"x\": \"%u/%u\"}", renderer->number, i);
        (void)snprintf(expected, sizeof expected, "[%u/%u]", renderer->number, i);
        const realm_status status =
            chat_template_render(renderer->chat_template, context, strlen(context), &out, NULL);
        renderer->right = renderer->right && status == REALM_OK && strcmp(out.text, expected) == 0;
        strbuf_deinit(&out);
    }
    return NULL;
}

static void one_template_renders_on_many_threads_at_once(void **state)
{
    struct chat_template *chat_template;
    struct renderer renderers[8];
    (void)state;
    assert_int_equal(chat_template_create("[{{ x }}]", 9, &chat_template, NULL), REALM_OK);
    for (unsigned i = 0; i < 8; i++) {
        renderers[i] = (struct renderer){.chat_template = chat_template, .number = i};
        assert_int_equal(pthread_create(&renderers[i].thread, NULL, render_many, &renderers[i]), 0);
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(renderers[i].thread, NULL), 0);
        assert_true(renderers[i].right);
    }
    chat_template_destroy(chat_template);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_of_well_known_models_render_as_transformers_does),
        cmocka_unit_test(pieces_of_the_language_render_as_transformers_does),
        cmocka_unit_test(each_kind_of_failure_has_its_status_and_its_words),
        cmocka_unit_test(a_template_that_wants_too_much_is_ended),
        cmocka_unit_test(deep_and_long_sources_end_without_harm),
        cmocka_unit_test(a_template_that_leaves_memory_behind_is_not_used_for_ever),
        cmocka_unit_test(the_ceiling_of_the_buffer_bounds_the_text),
        cmocka_unit_test(failing_memory_is_reported),
        cmocka_unit_test(a_model_without_a_template_speaks_chatml),
        cmocka_unit_test(the_wall_clock_is_asked_when_no_time_is_given),
        cmocka_unit_test(one_template_renders_on_many_threads_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
