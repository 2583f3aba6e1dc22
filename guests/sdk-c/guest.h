/* guest.h - what most programs want over the calls of realm_guest.h: the request, the answer,
 * prompts, whole generations.
 *
 * A program is one function:
 *
 *     #include "guest.h"
 *
 *     REALM_EXPORT(realm_run) int32_t run(void)
 *     {
 *         const realm_handle model = realm_model_open(NULL, 0);
 *         ...
 *         return 0;
 *     }
 *
 * Errors stay what they are in realm_guest.h, negative numbers; a negative handle may be given on,
 * and the next call refuses it.  `return guest_fail("what could not be done")` tells the client and
 * ends the program. */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include "json.h"
#include "realm_guest.h"

/* Declares the program's functions, written as JSON (docs/formats/guest-abi.md tells the form):
 *
 *     GUEST_FUNCTIONS([{"name": "realm_run", "description": "Answers a chat."}])
 *
 * Clang puts a variable of such a section among the data; only the assembler makes a custom
 * section. */
#define GUEST_FUNCTIONS(...) GUEST_CUSTOM_SECTION(#__VA_ARGS__)
#define GUEST_CUSTOM_SECTION(json)                                                                 \
    __asm__(".section .custom_section.realm.functions,\"\",@\n.ascii " #json "\n.text\n")

/* --- the request and the answer ----------------------------------------------------------------
 */

/* The body the client sent, JSON. */
struct text guest_request(void);
/* The client's next message in a WebSocket session, JSON.  1; 0: no more comes; or an error. */
int32_t guest_receive(struct text *out);
int32_t guest_emit_text(struct text text);
/* An event or a result, JSON. */
int32_t guest_emit_event(struct text json);
int32_t guest_emit_result(struct text json);
/* Tells the client, in an event {"error":{"message"}}, and the log what could not be done and why
 * the last call failed.  Result: 1, for `return`. */
int32_t guest_fail(const char *what);

/* --- prompts -----------------------------------------------------------------------------------
 */

/* A message at the end of a growing list of them: [{"role","content"},...] without the brackets. */
void guest_add_message(struct buffer *messages, const char *role, struct text content);
/* A sequence with the prompt that the model's chat template makes of a JSON array of messages. */
realm_handle guest_prompt(realm_handle model, struct text messages);
/* guest_prompt of a list made by guest_add_message. */
realm_handle guest_prompt_of(realm_handle model, const struct buffer *messages);
/* What the last message of the request says: its content, or its parts of type "text" together. */
struct text guest_last_message(struct text request);

/* --- generating --------------------------------------------------------------------------------
 */

/* As the request wants it: temperature, top_p, penalties, seed and the like; with the API's
 * defaults.  stream: other numbers from the same seed, for one sequence of several. */
struct realm_guest_sampler guest_sampling(struct text request, uint32_t stream);
realm_handle guest_sampler(const struct realm_guest_sampler *sampling);
/* The request's max_tokens (or max_completion_tokens), or `otherwise`. */
uint32_t guest_max_tokens(struct text request, uint32_t otherwise);

/* Starts to generate; options->size is set here.  Stops are the request's "stop", which may be
 * empty.  Result: a stream. */
realm_handle
guest_generate(realm_handle sequence, struct realm_generate_options options, struct text request);

/* The embedding of a text, as /v1/embeddings gives it; its length is 1.  Result: its columns, in
 * *out, or an error. */
int32_t guest_embed(realm_handle model, struct text text, float **out);

/* A generation that has ended. */
struct generation {
    struct text text;
    uint32_t n_tokens;
    uint32_t n_cached_tokens; /* of its prompt, not computed anew */
    uint32_t finish;          /* enum realm_stream_finish */
    double logprob;           /* sum over its tokens; with REALM_GENERATE_LOGPROBS */
};

/* Per token; 0 where there is none. */
double generation_mean_logprob(const struct generation *generation);

/* Waits until all streams have ended (they run together) and drops them.  0, or an error. */
int32_t guest_collect(const realm_handle *streams, size_t n, struct generation *out);

/* The same of one stream, whose text also goes to the client as it comes. */
int32_t guest_pipe(realm_handle stream, struct generation *out);

#endif
