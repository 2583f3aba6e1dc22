#define _GNU_SOURCE /* memmem */

#include "engine/dry_breakers.h"

#include "base/alloc.h"

#define MAX_TEXTS       64u
#define MAX_TEXT_BYTES  40u
#define MAX_TAIL_TOKENS 20u

static const struct bytes usual[] = {
    {(const uint8_t *)"\n", 1},
    {(const uint8_t *)":", 1},
    {(const uint8_t *)"\"", 1},
    {(const uint8_t *)"*", 1},
};

/* The tokens of a text's end, from each of its bytes on. */
struct text_tails {
    uint32_t begin[MAX_TEXT_BYTES];
    uint32_t length[MAX_TEXT_BYTES];
};

struct search {
    const struct tokenizer *tokenizer;
    const struct bytes *texts;
    uint32_t n_texts;
    struct text_tails *tails; /* [n_texts] */
    struct dry_breakers *out;
};

static realm_status append(struct dry_breakers *breakers,
                           const struct sampler_breaker *breaker,
                           struct realm_error *error)
{
    if (breakers->n_items == breakers->capacity) {
        const uint32_t capacity = breakers->capacity == 0 ? 64 : 2 * breakers->capacity;
        void *const items =
            alloc_resize(ALLOC_REQUEST, breakers->items, capacity * sizeof *breakers->items);
        if (items == NULL) {
            return realm_error_out_of_memory(error, capacity * sizeof *breaker, "DRY breakers");
        }
        breakers->items = items;
        breakers->capacity = capacity;
    }
    breakers->items[breakers->n_items++] = *breaker;
    return REALM_OK;
}

static realm_status check_texts(const struct search *search, struct realm_error *error)
{
    if (search->n_texts > MAX_TEXTS) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "dry_sequence_breakers has %u texts and may have at most %u",
                               search->n_texts,
                               MAX_TEXTS);
    }
    for (uint32_t i = 0; i < search->n_texts; i++) {
        if (search->texts[i].length == 0 || search->texts[i].length > MAX_TEXT_BYTES) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "dry_sequence_breakers[%u] has %zu bytes and must have 1 to %u",
                                   i,
                                   search->texts[i].length,
                                   MAX_TEXT_BYTES);
        }
    }
    return REALM_OK;
}

/* All tails first: the list they lie in must not move once items point into it. */
static realm_status find_tails(struct search *search, struct realm_error *error)
{
    struct token_list *const list = &search->out->tails;
    for (uint32_t i = 0; i < search->n_texts; i++) {
        const struct bytes text = search->texts[i];
        for (size_t at = 1; at < text.length; at++) {
            const size_t begin = list->length;
            REALM_TRY(tokenizer_encode(search->tokenizer,
                                       (const char *)text.data + at,
                                       text.length - at,
                                       (struct tokenizer_encode_options){.add_special = false},
                                       list,
                                       error));
            const size_t length = list->length - begin;
            search->tails[i].begin[at] = (uint32_t)begin;
            search->tails[i].length[at] =
                length < MAX_TAIL_TOKENS ? (uint32_t)length : MAX_TAIL_TOKENS;
        }
    }
    return REALM_OK;
}

/* A token and a text: contained, or begun by the token's end in one or more ways. */
static realm_status
match(struct search *search, token_id token, uint32_t i_text, struct realm_error *error)
{
    const struct bytes text = search->texts[i_text];
    const struct bytes word = tokenizer_token_bytes(search->tokenizer, token, true);
    if (word.length == 0) {
        return REALM_OK;
    }
    if (memmem(word.data, word.length, text.data, text.length) != NULL) {
        return append(search->out, &(struct sampler_breaker){.token = token}, error);
    }
    for (size_t begun = 1; begun < text.length && begun <= word.length; begun++) {
        if (memcmp(word.data + word.length - begun, text.data, begun) != 0) {
            continue;
        }
        const struct sampler_breaker breaker = {
            .token = token,
            .n_tail = search->tails[i_text].length[begun],
            .tail = search->out->tails.ids + search->tails[i_text].begin[begun],
        };
        REALM_TRY(append(search->out, &breaker, error));
    }
    return REALM_OK;
}

static realm_status find(struct search *search, struct realm_error *error)
{
    REALM_TRY(check_texts(search, error));
    search->tails = alloc_zeroed(ALLOC_REQUEST, search->n_texts, sizeof *search->tails);
    if (search->tails == NULL) {
        return realm_error_out_of_memory(error, search->n_texts, "DRY breakers");
    }
    REALM_TRY(find_tails(search, error));
    const uint32_t vocabulary = tokenizer_vocabulary(search->tokenizer);
    for (token_id token = 0; token < vocabulary; token++) {
        for (uint32_t i = 0; i < search->n_texts; i++) {
            REALM_TRY(match(search, token, i, error));
        }
    }
    return REALM_OK;
}

realm_status dry_breakers_find(const struct tokenizer *tokenizer,
                               const struct bytes *texts,
                               uint32_t n_texts,
                               struct dry_breakers *out,
                               struct realm_error *error)
{
    *out = (struct dry_breakers){.items = NULL};
    struct search search = {
        .tokenizer = tokenizer,
        .texts = texts != NULL ? texts : usual,
        .n_texts = texts != NULL ? n_texts : (uint32_t)(sizeof usual / sizeof usual[0]),
        .out = out,
    };
    const realm_status status = find(&search, error);
    alloc_free(search.tails);
    if (status != REALM_OK) {
        dry_breakers_deinit(out);
    }
    return status;
}

void dry_breakers_deinit(struct dry_breakers *breakers)
{
    alloc_free(breakers->items);
    token_list_deinit(&breakers->tails);
    *breakers = (struct dry_breakers){.items = NULL};
}
