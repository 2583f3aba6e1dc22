#define _GNU_SOURCE /* getline */

#include "support/sampler_golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 8u

struct row {
    char name[16];
    float logits[SAMPLER_GOLDEN_VOCABULARY];
};

struct sampler_golden {
    FILE *file;
    char *line;
    size_t capacity;
    struct row rows[MAX_ROWS];
    uint32_t n_rows;
    char series[160]; /* the options of the mirostat steps that follow */
    bool begins;
};

static void give_up(const char *what)
{
    (void)fprintf(stderr, "sampler golden data: %s\n", what);
    exit(2);
}

struct sampler_golden *sampler_golden_open(void)
{
    char path[1024];
    const char *const folder = getenv("REALM_TEST_DATA");
    (void)snprintf(
        path, sizeof path, "%s/golden/sample/sample.txt", folder != NULL ? folder : "tests");
    struct sampler_golden *golden = calloc(1, sizeof *golden);
    if (golden == NULL) {
        give_up(path);
    }
    golden->file = fopen(path, "r");
    if (golden->file == NULL) {
        give_up(path);
    }
    return golden;
}

void sampler_golden_close(struct sampler_golden *golden)
{
    (void)fclose(golden->file);
    free(golden->line);
    free(golden);
}

static void read_row(struct sampler_golden *golden, char *text)
{
    if (golden->n_rows == MAX_ROWS) {
        give_up("too many rows");
    }
    struct row *const row = &golden->rows[golden->n_rows++];
    char *rest = strchr(text, ' ');
    (void)snprintf(row->name, sizeof row->name, "%.*s", (int)(rest - text), text);
    for (uint32_t i = 0; i < SAMPLER_GOLDEN_VOCABULARY; i++) {
        row->logits[i] = strtof(rest, &rest);
    }
}

static void
take_row(const struct sampler_golden *golden, const char *name, struct sampler_golden_case *out)
{
    for (uint32_t i = 0; i < golden->n_rows; i++) {
        if (strcmp(golden->rows[i].name, name) == 0) {
            memcpy(out->logits, golden->rows[i].logits, sizeof out->logits);
            return;
        }
    }
    give_up(name);
}

static void read_probabilities(char *text, struct sampler_golden_case *out)
{
    memset(out->probabilities, 0, sizeof out->probabilities);
    while (*text == ' ') {
        const unsigned long token = strtoul(text, &text, 10);
        out->probabilities[token % SAMPLER_GOLDEN_VOCABULARY] = strtof(text + 1, &text);
    }
}

/* Hexadecimal bytes, separated by commas. */
static void read_breakers(const char *text, struct sampler_golden_case *out)
{
    for (; *text != '\0'; text += *text == ',') {
        char *breaker = out->breakers[out->n_breakers++];
        for (; *text != ',' && *text != '\0'; text += 2) {
            const char digits[3] = {text[0], text[1], '\0'};
            *breaker++ = (char)strtoul(digits, NULL, 16);
        }
    }
}

static void read_biases(char *text, struct sampler_golden_case *out)
{
    for (; *text != '\0'; text += *text == ',') {
        struct sampler_bias *const bias = &out->biases[out->options.n_biases++];
        bias->token = (token_id)strtoul(text, &text, 10);
        bias->bias = strtof(text + 1, &text);
    }
    out->options.biases = out->biases;
}

static void read_history(char *text, struct sampler_golden_case *out)
{
    for (; *text != '\0'; text += *text == ',') {
        out->history[out->n_history++] = (token_id)strtoul(text, &text, 10);
    }
}

static bool read_number(const char *name, const char *value, struct sampler_golden_case *out)
{
    struct sampler_options *const o = &out->options;
    const struct {
        const char *name;
        float *number;
    } numbers[] = {
        {"temperature", &o->temperature},
        {"top_p", &o->top_p},
        {"min_p", &o->min_p},
        {"typical", &o->typical_p},
        {"repetition", &o->repetition_penalty},
        {"presence", &o->presence_penalty},
        {"frequency", &o->frequency_penalty},
        {"dry", &o->dry_multiplier},
        {"base", &o->dry_base},
        {"tau", &o->mirostat_tau},
        {"eta", &o->mirostat_eta},
    };
    const struct {
        const char *name;
        uint32_t *number;
    } counts[] = {
        {"top_k", &o->top_k},
        {"allowed", &o->dry_allowed_length},
        {"mirostat", &o->mirostat},
        {"given", &out->n_prompt},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].number = strtof(value, NULL);
            return true;
        }
    }
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        if (strcmp(name, counts[i].name) == 0) {
            *counts[i].number = (uint32_t)strtoul(value, NULL, 10);
            return true;
        }
    }
    return false;
}

static void read_options(char *text, struct sampler_golden_case *out)
{
    memset(&out->options, 0, sizeof out->options);
    out->options.temperature = 1;
    out->n_history = out->n_prompt = out->n_breakers = 0;
    memset(out->breakers, 0, sizeof out->breakers);
    char *save = NULL;
    for (char *item = strtok_r(text, " \n", &save); item != NULL;
         item = strtok_r(NULL, " \n", &save)) {
        char *const value = strchr(item, '=') + 1;
        value[-1] = '\0';
        if (strcmp(item, "window") == 0) {
            out->options.penalty_window = out->options.dry_window =
                (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(item, "history") == 0) {
            read_history(value, out);
        } else if (strcmp(item, "breakers") == 0) {
            read_breakers(value, out);
        } else if (strcmp(item, "bias") == 0) {
            read_biases(value, out);
        } else if (!read_number(item, value, out)) {
            give_up(item);
        }
    }
}

/* "case ROW options", then "kept TOKEN:PROBABILITY ...". */
static void read_case(struct sampler_golden *golden, char *text, struct sampler_golden_case *out)
{
    char *const options = strchr(text, ' ');
    *options = '\0';
    take_row(golden, text, out);
    read_options(options + 1, out);
    if (getline(&golden->line, &golden->capacity, golden->file) < 0) {
        give_up("a case without a result");
    }
    read_probabilities(golden->line + strlen("kept"), out);
}

/* "step ROW TOKEN TOKEN:PROBABILITY ..." */
static void read_step(struct sampler_golden *golden, char *text, struct sampler_golden_case *out)
{
    char options[sizeof golden->series];
    memcpy(options, golden->series, sizeof options);
    char *rest = strchr(text, ' ');
    *rest = '\0';
    take_row(golden, text, out);
    read_options(options, out);
    out->drawn = (token_id)strtoul(rest + 1, &rest, 10);
    out->begins = golden->begins;
    golden->begins = false;
    read_probabilities(rest, out);
}

bool sampler_golden_next(struct sampler_golden *golden,
                         bool mirostat,
                         struct sampler_golden_case *out)
{
    while (getline(&golden->line, &golden->capacity, golden->file) >= 0) {
        char *const line = golden->line;
        (void)snprintf(out->line, sizeof out->line, "%.*s", (int)sizeof out->line - 1, line);
        if (strncmp(line, "row ", 4) == 0) {
            read_row(golden, line + 4);
        } else if (strncmp(line, "mirostat ", 9) == 0) {
            (void)snprintf(golden->series, sizeof golden->series, "%s", line + 9);
            golden->begins = true;
        } else if (strncmp(line, "case ", 5) == 0 && !mirostat) {
            read_case(golden, line + 5, out);
            return true;
        } else if (strncmp(line, "step ", 5) == 0 && mirostat) {
            read_step(golden, line + 5, out);
            return true;
        }
    }
    return false;
}
