#include "tokenizer/merge.h"

#include "base/alloc.h"
#include "base/checked.h"

#define NO_SYMBOL UINT32_MAX

realm_status
merge_scratch_reserve(struct merge_scratch *scratch, size_t n_symbols, struct realm_error *error)
{
    scratch->n_symbols = 0;
    scratch->n_pairs = 0;
    if (n_symbols <= scratch->capacity) {
        return REALM_OK;
    }
    size_t capacity = scratch->capacity > 0 ? scratch->capacity : 256;
    while (capacity < n_symbols) {
        capacity *= 2;
    }
    /* Each merge retires one symbol and offers at most two pairs, after n - 1 at the start: 3n
     * pairs at most. */
    size_t heap_bytes;
    size_t symbol_bytes;
    if (capacity >= NO_SYMBOL ||
        !checked_mul_size(capacity, 3 * sizeof(struct merge_pair), &heap_bytes) ||
        !checked_mul_size(capacity, sizeof(struct merge_symbol), &symbol_bytes)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "a text of %zu symbols is too long to tokenise",
                               n_symbols);
    }
    merge_scratch_deinit(scratch);
    scratch->symbols = alloc_bytes(ALLOC_REQUEST, symbol_bytes);
    scratch->heap = alloc_bytes(ALLOC_REQUEST, heap_bytes);
    if (scratch->symbols == NULL || scratch->heap == NULL) {
        merge_scratch_deinit(scratch);
        return realm_error_out_of_memory(error, heap_bytes, "tokeniser");
    }
    scratch->capacity = capacity;
    return REALM_OK;
}

void merge_scratch_deinit(struct merge_scratch *scratch)
{
    alloc_free(scratch->symbols);
    alloc_free(scratch->heap);
    *scratch = (struct merge_scratch){.symbols = NULL};
}

static bool comes_first(const struct merge_pair *a, const struct merge_pair *b)
{
    return a->priority > b->priority || (a->priority == b->priority && a->left < b->left);
}

static void push_pair(struct merge_scratch *scratch, struct merge_pair pair)
{
    struct merge_pair *const heap = scratch->heap;
    size_t i = scratch->n_pairs++;
    for (; i > 0 && comes_first(&pair, &heap[(i - 1) / 2]); i = (i - 1) / 2) {
        heap[i] = heap[(i - 1) / 2];
    }
    heap[i] = pair;
}

static struct merge_pair pop_pair(struct merge_scratch *scratch)
{
    struct merge_pair *const heap = scratch->heap;
    const struct merge_pair first = heap[0];
    const struct merge_pair last = heap[--scratch->n_pairs];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= scratch->n_pairs) {
            break;
        }
        if (child + 1 < scratch->n_pairs && comes_first(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!comes_first(&heap[child], &last)) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return first;
}

static void offer(struct merge_scratch *scratch,
                  const uint8_t *text,
                  merge_rule rule,
                  const void *context,
                  uint32_t left,
                  uint32_t right)
{
    if (left == NO_SYMBOL || right == NO_SYMBOL) {
        return;
    }
    const struct merge_symbol *const a = &scratch->symbols[left];
    const struct merge_symbol *const b = &scratch->symbols[right];
    struct merge_pair pair = {.left = left, .right = right, .n_bytes = a->n_bytes + b->n_bytes};
    if (rule(context, text, a, b, &pair.merged, &pair.priority)) {
        push_pair(scratch, pair);
    }
}

void merge_run(struct merge_scratch *scratch,
               const uint8_t *text,
               merge_rule rule,
               const void *context)
{
    const uint32_t n = (uint32_t)scratch->n_symbols;
    struct merge_symbol *const symbols = scratch->symbols;
    for (uint32_t i = 0; i < n; i++) {
        symbols[i].previous = i > 0 ? i - 1 : NO_SYMBOL;
        symbols[i].next = i + 1 < n ? i + 1 : NO_SYMBOL;
    }
    for (uint32_t i = 0; i + 1 < n; i++) {
        offer(scratch, text, rule, context, i, i + 1);
    }
    while (scratch->n_pairs > 0) {
        const struct merge_pair pair = pop_pair(scratch);
        struct merge_symbol *const left = &symbols[pair.left];
        struct merge_symbol *const right = &symbols[pair.right];
        if (left->n_bytes == 0 || right->n_bytes == 0 || left->next != pair.right ||
            left->n_bytes + right->n_bytes != pair.n_bytes) {
            continue;
        }
        left->n_bytes = pair.n_bytes;
        left->token = pair.merged;
        left->next = right->next;
        if (right->next != NO_SYMBOL) {
            symbols[right->next].previous = pair.left;
        }
        right->n_bytes = 0;
        offer(scratch, text, rule, context, left->previous, pair.left);
        offer(scratch, text, rule, context, pair.left, left->next);
    }
}
