/* Any bytes as a rule (the first one chooses its kind): it is refused with words, or it makes a
 * constraint that can be followed along the bytes it allows, back again, and forked. */
#include "sample/constraint.h"

#include <stdlib.h>

#define N_TOKENS  257u
#define END       256u
#define MAX_STEPS 24u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static uint8_t all_bytes[256];
static struct constraint_vocabulary *vocabulary;

static void require(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

static struct bytes token_text(const void *context, token_id token, bool *special)
{
    (void)context;
    *special = token == END;
    return token == END ? (struct bytes){(const uint8_t *)"<end>", 5}
                        : (struct bytes){&all_bytes[token], 1};
}

static void drop_vocabulary(void)
{
    constraint_vocabulary_destroy(vocabulary);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const token_id end = END;
    const struct constraint_tokens tokens = {
        .n_tokens = N_TOKENS, .text = token_text, .ends = &end, .n_ends = 1};
    (void)argc;
    (void)argv;
    for (uint32_t i = 0; i < 256; i++) {
        all_bytes[i] = (uint8_t)i;
    }
    require(constraint_vocabulary_create(&tokens, &vocabulary, NULL) == REALM_OK);
    return atexit(drop_vocabulary);
}

static bool allows(const uint32_t *mask, token_id token)
{
    return (mask[token / 32] >> token % 32 & 1) != 0;
}

/* A token that is allowed, counted from `from` on; there always is one. */
static token_id choose(const uint32_t *mask, uint32_t from)
{
    for (uint32_t i = 0; i < N_TOKENS; i++) {
        const token_id token = (from + i) % N_TOKENS;
        if (allows(mask, token)) {
            return token;
        }
    }
    require(false);
    return 0;
}

/* Follows the constraint; returns how many tokens it took, 0 if it came to an end token. */
static uint32_t follow(struct constraint *constraint, const uint8_t *choices, size_t n_choices)
{
    uint32_t n_steps = 0;
    while (n_steps < MAX_STEPS && !constraint_is_complete(constraint)) {
        const uint32_t *mask;
        struct realm_error error = {.message = ""};
        if (constraint_mask(constraint, &mask, &error) != REALM_OK) {
            require(error.status == REALM_INVALID_ARGUMENT && error.message[0] != '\0');
            return 0;
        }
        const token_id token = choose(mask, n_choices > 0 ? choices[n_steps % n_choices] : 0);
        const bool accepted = constraint_accept(constraint, token, &error) == REALM_OK;
        /* No completion goes on behind an end token, which a Lark grammar may also name. */
        if (token == END) {
            require(accepted || error.message[0] != '\0');
            return 0;
        }
        require(accepted);
        n_steps++;
    }
    return n_steps;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes == 0) {
        return 0;
    }
    const enum constraint_kind kind = CONSTRAINT_JSON_OBJECT + data[0] % 4;
    const struct constraint_rule rule = {kind, {data + 1, n_bytes - 1}};
    struct constraint *constraint;
    struct constraint *fork;
    struct realm_error error = {.message = ""};
    const realm_status status = constraint_create(vocabulary, &rule, &constraint, &error);
    if (status != REALM_OK) {
        require(status == REALM_INVALID_ARGUMENT && error.message[0] != '\0' && constraint == NULL);
        return 0;
    }
    require(constraint_fork(constraint, &fork, &error) == REALM_OK);
    const uint32_t n_steps = follow(constraint, data, n_bytes);
    if (n_steps > 0) {
        require(constraint_rollback(constraint, n_steps, &error) == REALM_OK);
        (void)follow(constraint, data, n_bytes);
    }
    constraint_destroy(constraint);
    (void)follow(fork, data, n_bytes);
    constraint_destroy(fork);
    return 0;
}
