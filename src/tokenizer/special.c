#include "tokenizer/special.h"

static bool is_indexed(const struct vocab *vocab, token_id token)
{
    const uint8_t type = vocab->types[token];
    return (type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED || type == TOKEN_UNKNOWN) &&
           vocab->texts[token].length > 0;
}

static struct special_edge *
find_edge(const struct special_index *index, uint32_t node, uint8_t byte)
{
    uint32_t i = (node * 256u + byte) * 2654435769u;
    i ^= i >> 15;
    for (;; i++) {
        struct special_edge *const edge = &index->edges[i & index->edge_mask];
        if (edge->child == 0 || (edge->node == node && edge->byte == byte)) {
            return edge;
        }
    }
}

static void add_token(struct special_index *index, const struct vocab *vocab, token_id token)
{
    const struct bytes text = vocab->texts[token];
    uint32_t node = 0;
    index->starts[text.data[0]] = true;
    for (size_t i = 0; i < text.length; i++) {
        struct special_edge *const edge = find_edge(index, node, text.data[i]);
        if (edge->child == 0) {
            *edge =
                (struct special_edge){.node = node, .child = index->n_nodes, .byte = text.data[i]};
            index->tokens[index->n_nodes++] = TOKEN_NONE;
        }
        node = edge->child;
    }
    if (index->tokens[node] == TOKEN_NONE) {
        index->tokens[node] = token;
    }
}

realm_status special_index_init(struct special_index *index,
                                const struct vocab *vocab,
                                struct realm_error *error)
{
    size_t n_bytes = 1;
    for (token_id t = 0; t < vocab->n_tokens; t++) {
        n_bytes += is_indexed(vocab, t) ? vocab->texts[t].length : 0;
    }
    size_t n_edges = 16;
    while (n_edges < n_bytes * 2) {
        n_edges *= 2;
    }
    if (n_edges > UINT32_MAX / 2) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "special tokens of %zu bytes together are too long",
                               n_bytes);
    }
    index->edges = alloc_zeroed(ALLOC_MODEL, n_edges, sizeof *index->edges);
    index->tokens = alloc_zeroed(ALLOC_MODEL, n_bytes, sizeof *index->tokens);
    if (index->edges == NULL || index->tokens == NULL) {
        return realm_error_out_of_memory(error, n_edges * sizeof *index->edges, "special tokens");
    }
    index->edge_mask = (uint32_t)(n_edges - 1);
    index->n_nodes = 1;
    index->tokens[0] = TOKEN_NONE;
    for (token_id t = 0; t < vocab->n_tokens; t++) {
        if (is_indexed(vocab, t)) {
            add_token(index, vocab, t);
        }
    }
    return REALM_OK;
}

void special_index_deinit(struct special_index *index)
{
    alloc_free(index->edges);
    alloc_free(index->tokens);
}

static token_id longest_at(const struct special_index *index,
                           const struct vocab *vocab,
                           struct bytes text,
                           size_t at,
                           bool control)
{
    token_id longest = TOKEN_NONE;
    uint32_t node = 0;
    for (size_t i = at; i < text.length; i++) {
        node = find_edge(index, node, text.data[i])->child;
        if (node == 0) {
            break;
        }
        const token_id token = index->tokens[node];
        if (token != TOKEN_NONE && (control || vocab->types[token] == TOKEN_USER_DEFINED)) {
            longest = token;
        }
    }
    return longest;
}

bool special_index_find(const struct special_index *index,
                        const struct vocab *vocab,
                        struct bytes text,
                        size_t from,
                        bool control,
                        size_t *begin,
                        token_id *token)
{
    for (size_t i = from; i < text.length; i++) {
        if (!index->starts[text.data[i]]) {
            continue;
        }
        *token = longest_at(index, vocab, text, i, control);
        if (*token != TOKEN_NONE) {
            *begin = i;
            return true;
        }
    }
    *begin = text.length;
    *token = TOKEN_NONE;
    return false;
}
