/* One completion request, from its JSON body to its answer; knows nothing of sockets.
 *
 * Life: completion_parse on a prepare thread (JSON, template, tokens), completion_submit there too;
 * then the I/O thread pulls the answer from it as from any source, or destroys it at any time. */
#ifndef REALM_SERVER_COMPLETION_H
#define REALM_SERVER_COMPLETION_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "engine/engine.h"
#include "server/source.h"
#include "server/tool_parser.h"
#include "tokenizer/tokenizer.h"

#define COMPLETION_MAX_PROMPTS 64u
#define COMPLETION_MAX_INPUTS  256u /* to embed */
#define COMPLETION_ID_LENGTH   40u

enum completion_kind {
    COMPLETION_CHAT,
    COMPLETION_TEXT,
    COMPLETION_EMBEDDINGS,
    COMPLETION_RESPONSE,
    /* Answered from the parsed request alone, without the engine: */
    COMPLETION_TEMPLATE,
    COMPLETION_TOKENIZE,
    COMPLETION_DETOKENIZE,
};

struct adapter_room;
struct completion_type;
struct response;
struct response_store;

/* Where a request comes from. */
struct completion_scope {
    struct engine *engine;
    struct adapter_room *adapters;    /* NULL: there are none */
    const struct account *account;    /* whose adapters the model may be named with */
    struct response_store *responses; /* NULL: none are kept */
    int64_t tenant;
};

struct completion_prompt {
    struct token_list tokens;
    struct bytes echo; /* the prompt's text, where it is part of the answer */
    struct generation *generation;
    uint32_t n_completion_tokens; /* so far */
    bool done;
};

/* What has come of one choice. */
struct completion_choice {
    struct tool_parser parser;
    struct strbuf text;                                 /* without streaming */
    struct strbuf calls;                                /* so: items of tool_calls */
    struct strbuf arguments;                            /* so: of the call that is under way */
    struct strbuf logprobs;                             /* items of the logprobs array(s) so far */
    struct strbuf tokens, token_logprobs, text_offsets; /* of the older format */
    uint32_t text_offset;                               /* characters before the next token */
    realm_finish finish;
    bool begun; /* its first chunk was sent */
};

struct completion {
    struct source source; /* first; source.problem is of a generation that failed */
    enum completion_kind kind;
    const struct completion_type *type;
    struct arena arena; /* lists the request points to */
    struct engine_model *model;
    struct engine_adapter *adapter; /* one reference; NULL: none */
    const char *model_name;         /* as the client called it */
    const char *end_user;      /* who the client says is behind the request, for the log; or NULL */
    struct response *response; /* of COMPLETION_RESPONSE */
    char id[COMPLETION_ID_LENGTH];
    int64_t created_s;
    bool include_usage;
    bool echo;
    bool logprobs;
    bool with_pieces;                      /* of tokenize: each token with its text */
    bool token_strings;                    /* so: the texts beside the tokens */
    bool base64;                           /* of embeddings */
    uint32_t n_dimensions;                 /* so; 0: all */
    const struct tool_format *tool_format; /* NULL: no tool may be called */
    struct constraint *constraint;         /* of all choices; NULL: none */
    uint64_t max_context;   /* tokens of a prompt and its answer; 0: as the model has */
    struct request request; /* the same for all prompts, without the prompt */
    struct completion_prompt *prompts;
    uint32_t n_prompts;
    struct completion_choice *choices; /* [n_prompts * n_choices] */
    uint32_t n_choices;                /* of one prompt */
    uint32_t n_done;                   /* prompts */
    uint32_t n_prompt_tokens;          /* of the prompts that were computed */
    uint32_t n_cached_tokens;          /* of them, found in the prefix cache */
    uint32_t n_completion_tokens;      /* so far */
    bool ended;                        /* the whole answer was given */
};

/* On error *out is NULL and the problem says what the client is told. */
REALM_MUST_CHECK realm_status completion_parse(enum completion_kind kind,
                                               const struct completion_scope *scope,
                                               const char *body,
                                               size_t n_bytes,
                                               struct completion **out,
                                               struct problem *problem);
/* Cancels what still runs.  NULL is fine. */
void completion_destroy(struct completion *completion);

/* Of a parsed completion: the longest prompt, and what all may take in tokens, prompts and answers
 * together. */
void completion_size(const struct completion *completion, uint64_t *n_longest, uint64_t *n_tokens);

/* wake: see struct request. */
REALM_MUST_CHECK realm_status completion_submit(struct completion *completion,
                                                struct engine *engine,
                                                void (*wake)(void *context),
                                                void *wake_context,
                                                struct problem *problem);

#endif
