/* The fields of a completion request: one row a field, so that each is read, refused or reported as
 * unknown. */
#ifndef REALM_SERVER_FIELDS_H
#define REALM_SERVER_FIELDS_H

#include "server/completion.h"
#include "server/json.h"

enum tool_choice {
    TOOL_CHOICE_DEFAULT, /* auto, where there are tools */
    TOOL_CHOICE_NONE,
    TOOL_CHOICE_AUTO,
    TOOL_CHOICE_REQUIRED,
    TOOL_CHOICE_NAMED,
};

/* What is known while the fields are read. */
struct field_reader {
    struct completion *completion;
    struct engine *engine;
    const struct completion_scope *scope;
    const json_t *body;
    json_t *owned; /* values that were made for the request; NULL or an array */
    struct problem *problem;
    const json_t *messages; /* chat */
    const json_t *prompt;   /* text, embeddings, tokenize, detokenize */
    const json_t *template_arguments;
    struct bytes model_name;
    struct tokenizer_encode_options encode; /* tokenize */
    bool encode_given;
    bool plain_text;                 /* special tokens written out are text */
    const json_t *instructions;      /* responses */
    const json_t *previous_response; /* so: its id */
    bool no_store;
    bool no_generation_prompt;
    bool continue_final_message;
    bool max_tokens_given;
    uint32_t max_tokens;
    uint32_t top_logprobs;
    bool top_logprobs_given;
    uint32_t best_of;
    bool seed_given;
    const json_t *tools; /* NULL: none that may be called */
    enum tool_choice tool_choice;
    const char *tool_named; /* with TOOL_CHOICE_NAMED */
    bool single_tool_call;
    bool parallel_given;
    const struct tool_format *tool_format; /* of the model */
    struct constraint_rule constraint;
    const char *constraint_field; /* that gave it */
};

typedef realm_status (*field_function)(struct field_reader *reader,
                                       const char *field,
                                       const json_t *value);

struct field_row {
    const char *name; /* NULL ends the table */
    field_function read;
};

/* Fields of all requests that generate. */
extern const struct field_row field_rows_common[];

/* Reads every member of the body by `own` and, unless NULL, `common`; null values count as absent.
 * An unknown field is refused with the nearest known name. */
REALM_MUST_CHECK realm_status fields_read(struct field_reader *reader,
                                          const json_t *body,
                                          const struct field_row *own,
                                          const struct field_row *common);

/* The model's name. */
realm_status field_model(struct field_reader *reader, const char *field, const json_t *value);

/* For fields that exist elsewhere and cannot be honoured here. */
realm_status field_refuse(struct field_reader *reader, const char *field, const json_t *value);
/* For fields that may only be "none", which is so anyway. */
realm_status field_none_only(struct field_reader *reader, const char *field, const json_t *value);

/* max_tokens and max_completion_tokens. */
realm_status field_max_tokens(struct field_reader *reader, const char *field, const json_t *value);

/* timeout: seconds that the request may take. */
realm_status field_timeout(struct field_reader *reader, const char *field, const json_t *value);

/* service_tier: only what is so anyway. */
realm_status
field_service_tier(struct field_reader *reader, const char *field, const json_t *value);

/* user and safety_identifier: who is behind the request, for the log. */
realm_status field_end_user(struct field_reader *reader, const char *field, const json_t *value);

/* field_lists.c */
realm_status field_stop(struct field_reader *reader, const char *field, const json_t *value);
realm_status
field_stop_token_ids(struct field_reader *reader, const char *field, const json_t *value);
realm_status field_logit_bias(struct field_reader *reader, const char *field, const json_t *value);
realm_status
field_dry_breakers(struct field_reader *reader, const char *field, const json_t *value);
/* Once the model is known: whether its vocabulary has all tokens that a field names. */
REALM_MUST_CHECK realm_status field_check_tokens(struct field_reader *reader,
                                                 const char *field,
                                                 const token_id *tokens,
                                                 size_t n_tokens);
/* The same for every list of the common fields. */
REALM_MUST_CHECK realm_status fields_check_lists(struct field_reader *reader);

/* field_constraint.c */
realm_status
field_response_format(struct field_reader *reader, const char *field, const json_t *value);
realm_status
field_guided_regex(struct field_reader *reader, const char *field, const json_t *value);
realm_status
field_guided_grammar(struct field_reader *reader, const char *field, const json_t *value);
/* Once the model is known: makes the constraint that was asked for. */
REALM_MUST_CHECK realm_status fields_constrain(struct field_reader *reader);

/* Letters, digits, _ and -, up to 64 of them, as OpenAI names functions and schemas. */
bool field_is_name(const json_t *value);

/* field_tools.c */
realm_status field_tools(struct field_reader *reader, const char *field, const json_t *value);
realm_status field_tool_choice(struct field_reader *reader, const char *field, const json_t *value);
realm_status
field_parallel_tool_calls(struct field_reader *reader, const char *field, const json_t *value);
/* Once the model is known: what calls look like, and the constraint that holds them to it. */
REALM_MUST_CHECK realm_status tools_prepare(struct field_reader *reader);

/* The tables of the kinds, and what follows once the fields are read: checks across fields,
 * prompts. */
extern const struct field_row field_rows_chat[];
extern const struct field_row field_rows_text[];
extern const struct field_row field_rows_embeddings[];
REALM_MUST_CHECK realm_status chat_prepare(struct field_reader *reader);
REALM_MUST_CHECK realm_status text_prepare(struct field_reader *reader);
extern const struct field_row field_rows_response[];
REALM_MUST_CHECK realm_status response_prepare(struct field_reader *reader);
extern const struct field_row field_rows_tokenize[];
extern const struct field_row field_rows_detokenize[];
REALM_MUST_CHECK realm_status template_prepare(struct field_reader *reader);
REALM_MUST_CHECK realm_status tokenize_prepare(struct field_reader *reader);
REALM_MUST_CHECK realm_status detokenize_prepare(struct field_reader *reader);
REALM_MUST_CHECK realm_status embeddings_prepare(struct field_reader *reader);
/* Makes the prompts of reader->prompt, which `field` gave: a string, an array of strings, of
 * tokens, or of arrays of tokens; at most `most` prompts. */
REALM_MUST_CHECK realm_status prompts_add(struct field_reader *reader,
                                          const char *field,
                                          uint32_t most);

#endif
