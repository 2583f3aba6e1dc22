#include "engine/sequence.h"

#include "base/alloc.h"
#include "engine/engine.h"
#include "engine/request.h"

void sequence_extend_digests(struct sequence *sequence, uint32_t n_pages)
{
    for (uint32_t i = sequence->n_digests; i < n_pages; i++) {
        const struct prefix_digest *const before =
            i > 0 ? &sequence->digests[i - 1] : &sequence->chain;
        sequence->digests[i] =
            prefix_digest_next(before, sequence->tokens + (size_t)i * PAGE_TOKENS);
        sequence->n_digests = i + 1;
    }
}

realm_status sequence_create_empty(uint32_t max_tokens,
                                   const struct prefix_digest *chain,
                                   struct page_pool *pool,
                                   struct sequence **out,
                                   struct realm_error *error)
{
    *out = NULL;
    struct sequence *sequence = alloc_zeroed(ALLOC_REQUEST, 1, sizeof *sequence);
    if (sequence == NULL) {
        return realm_error_out_of_memory(error, sizeof *sequence, "sequence");
    }
    const size_t n_pages = max_tokens / PAGE_TOKENS + 1u;
    realm_status status = REALM_OK;
    sequence->max_tokens = max_tokens;
    sequence->tokens = alloc_zeroed(ALLOC_REQUEST, max_tokens, sizeof *sequence->tokens);
    if (chain != NULL) {
        sequence->chain = *chain;
        sequence->digests = alloc_zeroed(ALLOC_REQUEST, n_pages, sizeof *sequence->digests);
    }
    if (sequence->tokens == NULL || (chain != NULL && sequence->digests == NULL)) {
        status = realm_error_out_of_memory(error, max_tokens * sizeof(token_id), "sequence");
    } else {
        status = page_table_create(pool, max_tokens, &sequence->pages, error);
    }
    if (status != REALM_OK) {
        sequence_destroy(sequence);
        return status;
    }
    *out = sequence;
    return REALM_OK;
}

/* Digests of the prompt's pages, and the other chain over them. */
static realm_status start_digests(struct sequence *sequence,
                                  const struct prefix_digest *other,
                                  struct realm_error *error)
{
    const uint32_t n_prompt_pages = sequence->n_prompt / PAGE_TOKENS;
    if (sequence->digests == NULL) {
        return REALM_OK;
    }
    sequence_extend_digests(sequence, n_prompt_pages);
    if (other == NULL || n_prompt_pages == 0) {
        return REALM_OK;
    }
    sequence->other_digests =
        alloc_zeroed(ALLOC_REQUEST, n_prompt_pages, sizeof *sequence->other_digests);
    if (sequence->other_digests == NULL) {
        return realm_error_out_of_memory(
            error, n_prompt_pages * sizeof *sequence->other_digests, "page digests");
    }
    const struct prefix_digest *before = other;
    for (uint32_t i = 0; i < n_prompt_pages; i++) {
        sequence->other_digests[i] =
            prefix_digest_next(before, sequence->tokens + (size_t)i * PAGE_TOKENS);
        before = &sequence->other_digests[i];
    }
    return REALM_OK;
}

realm_status sequence_create(struct generation *generation,
                             const struct request *request,
                             uint32_t choice,
                             uint32_t max_tokens,
                             const struct prefix_chains *chains,
                             struct page_pool *pool,
                             struct sequence **out,
                             struct realm_error *error)
{
    *out = NULL;
    struct sequence *sequence;
    REALM_TRY(sequence_create_empty(max_tokens, chains->own, pool, &sequence, error));
    const struct tokenizer *const tokenizer = engine_model_tokenizer(request->model);
    sequence->generation = generation;
    sequence->choice = choice;
    sequence->state = choice == 0 ? SEQUENCE_WAITING : SEQUENCE_FORK;
    sequence->n_prompt = request->n_prompt;
    memcpy(sequence->tokens, request->prompt, request->n_prompt * sizeof *request->prompt);
    sequence->n_tokens = request->n_prompt;
    realm_status status = start_digests(sequence, chains->other, error);
    if (status != REALM_OK) {
        goto fail;
    }
    struct sampler_options sampling = request->sampling;
    sampling.stream += choice;
    status = sampler_create(
        &sampling, tokenizer_vocabulary(tokenizer), max_tokens, &sequence->sampler, error);
    if (status != REALM_OK) {
        goto fail;
    }
    sampler_observe(sequence->sampler, request->prompt, request->n_prompt);
    status = text_stream_create(
        tokenizer, request->stops, request->n_stops, request->echo_special, &sequence->text, error);
    if (status != REALM_OK) {
        goto fail;
    }
    *out = sequence;
    return REALM_OK;

fail:
    sequence_destroy(sequence);
    return status;
}

void sequence_fork(const struct sequence *sequence, struct sequence *fork)
{
    memcpy(fork->tokens, sequence->tokens, sequence->n_tokens * sizeof *sequence->tokens);
    fork->n_tokens = sequence->n_tokens;
    fork->n_prompt = sequence->n_prompt;
    fork->n_charged = sequence->n_charged;
    if (fork->digests != NULL && sequence->digests != NULL) {
        memcpy(fork->digests, sequence->digests, sequence->n_digests * sizeof *sequence->digests);
        fork->n_digests = sequence->n_digests;
        fork->n_indexed = sequence->n_indexed;
    }
    page_table_fork(sequence->pages, fork->pages);
    fork->n_computed = sequence->n_computed;
}

void sequence_truncate(struct sequence *sequence, uint32_t n_tokens)
{
    const uint32_t n_pages = n_tokens / PAGE_TOKENS;
    sequence->n_tokens = n_tokens;
    sequence->n_prompt = sequence->n_prompt < n_tokens ? sequence->n_prompt : n_tokens;
    sequence->n_charged = sequence->n_charged < n_tokens ? sequence->n_charged : n_tokens;
    sequence->n_digests = sequence->n_digests < n_pages ? sequence->n_digests : n_pages;
    sequence_rewind(sequence, n_tokens);
}

void sequence_rewind(struct sequence *sequence, uint32_t n_computed)
{
    const uint32_t n = sequence->n_computed < n_computed ? sequence->n_computed : n_computed;
    const uint32_t n_full = n / PAGE_TOKENS;
    page_table_truncate(sequence->pages, n);
    sequence->n_computed = n;
    sequence->n_indexed = sequence->n_indexed < n_full ? sequence->n_indexed : n_full;
}

void sequence_destroy(struct sequence *sequence)
{
    if (sequence == NULL) {
        return;
    }
    page_table_destroy(sequence->pages);
    sampler_destroy(sequence->sampler);
    text_stream_destroy(sequence->text);
    constraint_destroy(sequence->constraint);
    alloc_free(sequence->digests);
    alloc_free(sequence->other_digests);
    alloc_free(sequence->tokens);
    alloc_free(sequence);
}

void sequence_list_append(struct sequence_list *list, struct sequence *sequence)
{
    sequence->next = NULL;
    if (list->last != NULL) {
        list->last->next = sequence;
    } else {
        list->first = sequence;
    }
    list->last = sequence;
    list->length++;
}

void sequence_list_prepend(struct sequence_list *list, struct sequence *sequence)
{
    sequence->next = list->first;
    list->first = sequence;
    if (list->last == NULL) {
        list->last = sequence;
    }
    list->length++;
}

struct sequence *sequence_list_take_first(struct sequence_list *list)
{
    struct sequence *const first = list->first;
    if (first != NULL) {
        list->first = first->next;
        if (list->first == NULL) {
            list->last = NULL;
        }
        list->length--;
        first->next = NULL;
    }
    return first;
}

bool sequence_list_remove(struct sequence_list *list, struct sequence *sequence)
{
    struct sequence *previous = NULL;
    for (struct sequence *s = list->first; s != NULL; previous = s, s = s->next) {
        if (s != sequence) {
            continue;
        }
        if (previous != NULL) {
            previous->next = s->next;
        } else {
            list->first = s->next;
        }
        if (list->last == s) {
            list->last = previous;
        }
        list->length--;
        s->next = NULL;
        return true;
    }
    return false;
}
