/* realm_template_* as C sees it: texts, errors of each kind, bounds, many threads at once. */
#include "check.h"

#include <realm_template.h>

#include <pthread.h>
#include <string.h>

struct outcome {
    int result;
    char text[4096]; /* of the text or of the error */
};

static struct outcome run(const char *source, const char *context, size_t max_bytes)
{
    struct outcome outcome = {0};
    struct realm_template_text out = {0};
    struct realm_template_text error = {0};
    struct realm_template *template = NULL;
    outcome.result = realm_template_new(source, strlen(source), &template, &error);
    if (outcome.result == REALM_TEMPLATE_OK) {
        outcome.result =
            realm_template_render(template, context, strlen(context), max_bytes, &out, &error);
    }
    const struct realm_template_text *said = out.data != NULL ? &out : &error;
    CHECK((outcome.result == REALM_TEMPLATE_OK) == (error.data == NULL));
    CHECK(said->data != NULL && said->data[said->length] == '\0');
    snprintf(outcome.text, sizeof outcome.text, "%s", said->data);
    realm_template_text_free(&out);
    realm_template_text_free(&error);
    realm_template_text_free(&error);
    realm_template_free(template);
    return outcome;
}

static void expect(int result, const char *text, const char *source, const char *context)
{
    const struct outcome outcome = run(source, context, 1u << 20);
    if (outcome.result != result || strstr(outcome.text, text) == NULL) {
        fprintf(stderr,
                "%s\n  with %s\n  gave %d: %s\n  not  %d: %s\n",
                source,
                context,
                outcome.result,
                outcome.text,
                result,
                text);
        exit(1);
    }
}

static void each_kind_of_failure_is_told_apart(void)
{
    expect(REALM_TEMPLATE_OK, "a=1", "a={{ a }}", "{\"a\": 1}");
    expect(REALM_TEMPLATE_SYNTAX, "line 2", "\n{% if %}", "{}");
    expect(REALM_TEMPLATE_SYNTAX, "not UTF-8", "\xff", "{}");
    expect(REALM_TEMPLATE_CONTEXT, "JSON object", "a", "[1]");
    expect(REALM_TEMPLATE_CONTEXT, "JSON object", "a", "{\"a\":");
    expect(REALM_TEMPLATE_RAISED, "no, 3!", "{{ raise_exception('no, ' ~ x ~ '!') }}", "{\"x\":3}");
    expect(REALM_TEMPLATE_RAISED,
           "deep",
           "{% macro m() %}{{ raise_exception('deep') }}{% endmacro %}"
           "{% for i in [1] %}{% set x = m() %}{% endfor %}",
           "{}");
    expect(REALM_TEMPLATE_FAILED, "undefined", "{{ a.b.c }}", "{}");
}

static void a_hostile_template_ends_with_an_error(void)
{
    static const char *const sources[] = {
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}"
        "{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}"
        "{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(99) %}"
        "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(99) %}"
        "{% set ns.x = ns.x.replace('', ns.x) %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(99) %}"
        "{% set ns.x = ns.x|replace('b', ns.x) %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}"
        "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}"
        "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}"
        "{% set ns.x = [ns.x] %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}"
        "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}"
        "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}",
        "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(99999) %}"
        "{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
        "{% set ns = namespace(x='a') %}{% for i in range(99999) %}"
        "{% set ns.x = {ns.x: 1} %}{% endfor %}{{ 1 }}",
        "{{ 'ab' * 999999999999 }}",
        "{{ [1] * 999999999999 }}",
        "{{ 'x'.join(['ab' * 100000] * 100000) }}",
        "{{ ('a,' * 10000000).split(',') | length }}",
        "{{ ('a ' * 10000000).split() | length }}",
        "{{ '{:>99999999999}'.format('x') }}",
        "{{ '%99999999999d' | format(1) }}",
        "{{ '%99999999999d' % 1 }}",
        "{{ 9**9**9**9 }}",
        "{{ ('x' * 1000000) | indent(1000000) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(x) %}{{ m(x ~ x) }}{{ m(x ~ x) }}{% endmacro %}{{ m('a') }}",
        "{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
        "{{ range(100000000000) | list }}",
        "{{ range(100000) | map('string') | join(range(100000) | join) }}",
        "{{ [1,[2,[3]]] | tojson(indent=999999999) }}",
        "{{ lipsum(99999999) }}",
        "{{ 'x' | center(99999999999) }}",
        "{{ 'x'.ljust(99999999999) }}",
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        const struct outcome outcome = run(sources[i], "{}", 1u << 20);
        printf("    %d %.90s\n      %s\n", outcome.result, sources[i], outcome.text);
        fflush(stdout);
        CHECK(outcome.result != REALM_TEMPLATE_INTERNAL);
    }
}
