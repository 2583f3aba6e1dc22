/* realm_guest.h - what a tenant's program (a WebAssembly module) may call: the ABI `realm_v1`.
 *
 * Freestanding C for wasm32 and wasm64 (64-bit memories); the imports come from module "realm_v1"
 * under the names here without "realm_".  Pointers and lengths are 32 bits wide in a 32-bit memory
 * and 64 in a 64-bit one; everything else is the same in both.  docs/formats/guest-abi.md tells
 * more of each call, and what a module must export.
 *
 * Rules that hold for every call
 *  - A negative result is a `realm_guest_error`; realm_last_error has it in words.
 *  - `out, capacity` receives at most `capacity` bytes (or items); the result is the whole size, so
 *    capacity 0 asks for it.  Nothing is kept by the host after a call returns.
 *  - Every pointer with its length must lie in the memory, or the result is BAD_POINTER.
 *  - Handles are greater than 0, valid in this instance only, and end with realm_drop.
 *  - Calls marked "waits" suspend the program, never a thread of the server.
 *  - Structs the host reads or writes travel with their size: a program built against an older
 *    header keeps working. */
#ifndef REALM_GUEST_H
#define REALM_GUEST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define REALM_GUEST_ABI_VERSION 1

#if defined(__wasm__)
#define REALM_IMPORT(name) __attribute__((import_module("realm_v1"), import_name(#name)))
/* Makes a function of this program callable by that name; its type is int32_t (void). */
#define REALM_EXPORT(name) __attribute__((export_name(#name), used))
#else
#define REALM_IMPORT(name)
#define REALM_EXPORT(name)
#endif

typedef int32_t realm_handle;
typedef uint32_t realm_token;

enum realm_guest_error {
    REALM_GUEST_OK = 0,
    REALM_GUEST_INVALID_ARGUMENT = -1, /* a value out of range, text that is not UTF-8 or JSON */
    REALM_GUEST_BAD_POINTER = -2,      /* not wholly inside the memory */
    REALM_GUEST_BAD_HANDLE = -3,       /* not of this instance, dropped, or of another kind */
    REALM_GUEST_NOT_FOUND = -4,        /* no model, key, saved sequence or program of that name */
    REALM_GUEST_QUOTA = -5,            /* the tenant's quota of stored bytes is spent */
    REALM_GUEST_BUSY = -6,             /* the sequence has a generation running */
    REALM_GUEST_CLOSED = -7,           /* no more input comes; nobody reads the output any more */
    REALM_GUEST_TIMED_OUT = -8,
    REALM_GUEST_TOO_LARGE = -9, /* longer than the context, the value or the message may be */
    REALM_GUEST_UNSUPPORTED = -10,
    REALM_GUEST_FAILED = -11, /* the engine or the store failed; realm_last_error says how */
};

/* --- the request and the answer ----------------------------------------------------------------
 */

enum realm_request_part {
    REALM_REQUEST_BODY = 0, /* JSON: what the client sent */
    REALM_REQUEST_META = 1, /* JSON: {"program","function","version","model","stream","source"} */
};

enum realm_emit_kind {
    REALM_EMIT_TEXT = 0,   /* UTF-8, the next piece of the answer */
    REALM_EMIT_EVENT = 1,  /* JSON: a structured event for the client */
    REALM_EMIT_RESULT = 2, /* JSON: the function's result; the last one counts */
};

/* Copies a part of the request. */
REALM_IMPORT(request_read)
int32_t realm_request_read(int32_t part, void *out, size_t capacity);
/* Sends to the client.  Waits while the client lags behind.  CLOSED: the client has gone. */
REALM_IMPORT(emit)
int32_t realm_emit(int32_t kind, const void *data, size_t n_bytes);
/* The next message of the client's WebSocket: its size.  A message longer than capacity stays for
 * the next call.  Waits at most timeout_ms (negative: until there is one); TIMED_OUT, CLOSED. */
REALM_IMPORT(recv)
int32_t realm_recv(void *out, size_t capacity, int32_t timeout_ms);
/* What the last failed call of this instance failed of, as text. */
REALM_IMPORT(last_error)
int32_t realm_last_error(char *out, size_t capacity);

/* --- models and text ---------------------------------------------------------------------------
 */

enum realm_text_flags {
    REALM_TEXT_ADD_SPECIAL = 1,   /* encode: begin-of-text where the model wants it */
    REALM_TEXT_PARSE_SPECIAL = 2, /* encode: "<|im_end|>" written out is that token */
    REALM_TEXT_SHOW_SPECIAL = 4,  /* decode: special tokens appear by name */
};

/* The model of that name; n_bytes 0: the request's. NOT_FOUND. */
REALM_IMPORT(model_open)
realm_handle realm_model_open(const char *name, size_t n_bytes);
/* JSON: {"name","architecture","vocabulary","context_length","bos","eos"}; null for no token. */
REALM_IMPORT(model_info)
int32_t realm_model_info(realm_handle model, char *out, size_t capacity);
/* Text to tokens; result: how many. capacity counts tokens. */
REALM_IMPORT(tokenize)
int32_t realm_tokenize(realm_handle model,
                       const char *text,
                       size_t n_bytes,
                       int32_t flags,
                       realm_token *out,
                       size_t capacity);
/* Tokens to text; result: bytes. */
REALM_IMPORT(detokenize)
int32_t realm_detokenize(realm_handle model,
                         const realm_token *tokens,
                         size_t n_tokens,
                         int32_t flags,
                         char *out,
                         size_t capacity);
/* The prompt the model's chat template makes of JSON {"messages":[...],"tools":[...],
 * "add_generation_prompt":true}; result: bytes. */
REALM_IMPORT(apply_template)
int32_t realm_apply_template(
    realm_handle model, const char *json, size_t n_bytes, char *out, size_t capacity);

/* --- sequences ---------------------------------------------------------------------------------
 */

/* An empty sequence of a model. */
REALM_IMPORT(sequence_create)
realm_handle realm_sequence_create(realm_handle model);
/* Appends tokens; they are computed by the next generate or step.  Result: the new length.
 * TOO_LARGE: past the context. */
REALM_IMPORT(sequence_append)
int32_t realm_sequence_append(realm_handle sequence, const realm_token *tokens, size_t n_tokens);
/* Tokenizes (flags: realm_text_flags) and appends.  Result: the new length. */
REALM_IMPORT(sequence_append_text)
int32_t
realm_sequence_append_text(realm_handle sequence, const char *text, size_t n_bytes, int32_t flags);
/* A second sequence with the same tokens; computed pages are shared until one is written. */
REALM_IMPORT(sequence_fork)
realm_handle realm_sequence_fork(realm_handle sequence);
/* Keeps the first n_tokens.  INVALID_ARGUMENT: there are fewer. */
REALM_IMPORT(sequence_truncate)
int32_t realm_sequence_truncate(realm_handle sequence, int32_t n_tokens);
/* Its tokens; result: the length.  capacity counts tokens. */
REALM_IMPORT(sequence_read)
int32_t realm_sequence_read(realm_handle sequence, realm_token *out, size_t capacity);
/* Keeps the tokens under a name of the tenant's own, for later requests; replaces. QUOTA. */
REALM_IMPORT(sequence_save)
int32_t realm_sequence_save(realm_handle sequence, const char *name, size_t n_bytes);
/* A new sequence with what was saved under a name.  NOT_FOUND; INVALID_ARGUMENT: it was saved of
 * another model. */
REALM_IMPORT(sequence_open)
realm_handle realm_sequence_open(realm_handle model, const char *name, size_t n_bytes);
/* An adapter (LoRA weights) that the tenant has pushed for the model, by its name.  What it stands
 * for stays as it is, also when another one is pushed under the name.  NOT_FOUND. */
REALM_IMPORT(adapter_open)
realm_handle realm_adapter_open(realm_handle model, const char *name, size_t n_bytes);
/* The sequence is computed with the adapter, and so are its forks; 0: with none, as at first.  What
 * is saved does not keep it.  INVALID_ARGUMENT: the adapter is another model's, or the sequence was
 * generated from or stepped already; BUSY. */
REALM_IMPORT(sequence_set_adapter)
int32_t realm_sequence_set_adapter(realm_handle sequence, realm_handle adapter);
/* Ends any handle: a sequence gives its pages back, a stream is cancelled. */
REALM_IMPORT(drop)
int32_t realm_drop(realm_handle handle);

/* --- samplers and matchers ---------------------------------------------------------------------
 */

/* Zero means "off" in every field but size. */
struct realm_guest_sampler {
    uint32_t size;     /* sizeof this struct */
    float temperature; /* 0: greedy */
    float top_p;
    float min_p;
    float typical_p;
    uint32_t top_k;
    float repetition_penalty;
    float presence_penalty;
    float frequency_penalty;
    uint32_t penalty_window; /* last tokens looked at; 0: all */
    float dry_multiplier;
    float dry_base;
    uint32_t dry_allowed_length;
    uint32_t dry_window;
    uint32_t mirostat; /* 0, 1, 2 */
    float mirostat_tau;
    float mirostat_eta;
    uint32_t stream; /* other numbers from the same seed */
    uint64_t seed;   /* 0: the request's */
};

enum realm_matcher_kind {
    REALM_MATCHER_JSON_SCHEMA = 0, /* "{}": any JSON value */
    REALM_MATCHER_REGEX = 1,
    REALM_MATCHER_LARK = 2,
};

/* Options of sampling that generate and step take; may serve many sequences. */
REALM_IMPORT(sampler_create)
realm_handle realm_sampler_create(const struct realm_guest_sampler *options, size_t size);
/* Replaces the sparse bias: biases[i] is added to the logit of tokens[i]; -100 or less bans. */
REALM_IMPORT(sampler_bias)
int32_t
realm_sampler_bias(realm_handle sampler, const realm_token *tokens, const float *biases, size_t n);
/* A constraint on what is generated; begins anew with every generate.  INVALID_ARGUMENT with what
 * is wrong in the schema or grammar. */
REALM_IMPORT(matcher_create)
realm_handle
realm_matcher_create(realm_handle model, int32_t kind, const char *text, size_t n_bytes);

/* --- generating --------------------------------------------------------------------------------
 */

enum realm_generate_flags {
    REALM_GENERATE_IGNORE_END = 1,   /* end tokens do not end it */
    REALM_GENERATE_ECHO_SPECIAL = 2, /* special tokens appear as text */
    REALM_GENERATE_LOGPROBS = 4,     /* events carry log-probabilities */
};

/* Zero means default in every field but size. */
struct realm_generate_options {
    uint32_t size;
    realm_handle sampler;    /* 0: greedy */
    realm_handle matcher;    /* 0: none */
    uint32_t max_tokens;     /* 0: what the context leaves */
    uint32_t min_tokens;     /* end tokens are not drawn before */
    uint32_t flags;          /* realm_generate_flags */
    uint32_t n_top_logprobs; /* with LOGPROBS; at most REALM_MAX_TOP_LOGPROBS */
};

#define REALM_MAX_TOP_LOGPROBS 20

struct realm_token_score {
    realm_token token;
    float score; /* log-probability of the model itself: before sampler, bias and matcher */
};

enum realm_stream_event_kind {
    REALM_STREAM_STARTED = 0,  /* the prompt has been computed */
    REALM_STREAM_TOKEN = 1,    /* a token, and the text that may be shown now (maybe none) */
    REALM_STREAM_FINISHED = 2, /* the last event: why, and the text that was held back */
    REALM_STREAM_OUTPUT = 3,   /* of invoke: what the program emitted; `token` is its emit kind */
};

enum realm_stream_finish {
    REALM_STREAM_NOT_FINISHED = 0,
    REALM_STREAM_STOP = 1,   /* end token, stop string, or the matcher is satisfied */
    REALM_STREAM_LENGTH = 2, /* max_tokens or the context */
    REALM_STREAM_CANCELLED = 3,
    REALM_STREAM_ERROR = 4, /* realm_last_error says which */
};

struct realm_stream_event {
    uint32_t kind;
    realm_token token;
    float logprob; /* NaN unless asked for */
    uint32_t finish;
    uint32_t n_prompt_tokens;
    uint32_t n_cached_tokens;     /* of the prompt, not computed anew */
    uint32_t n_completion_tokens; /* so far */
    uint32_t n_text;              /* bytes of text with this event */
    uint32_t n_top;
    uint32_t reserved;
    struct realm_token_score top[REALM_MAX_TOP_LOGPROBS];
};

#ifndef REALM_H /* the library's header has its own; no file is for both */
/* Generates on from the sequence, wholly in the server; the tokens become part of the sequence,
 * which is BUSY until the stream has ended or is dropped.
 * stops: strings that end it, each followed by a zero byte.  Result: a stream. */
REALM_IMPORT(generate)
realm_handle realm_generate(realm_handle sequence,
                            const struct realm_generate_options *options,
                            size_t size,
                            const char *stops,
                            size_t n_stop_bytes);
#endif
/* The next event.  Waits at most timeout_ms (negative: until there is one).
 * Result: 1, or 0 after FINISHED.  TOO_LARGE: the text is longer than capacity (event->n_text says
 * how long) and the event stays for the next call.  TIMED_OUT. */
REALM_IMPORT(stream_next)
int32_t realm_stream_next(realm_handle stream,
                          struct realm_stream_event *event,
                          size_t event_size,
                          char *text,
                          size_t capacity,
                          int32_t timeout_ms);
/* Emits all text of a stream to the client as it comes, and returns the FINISHED event when it has
 * ended.  Waits.  Result: completion tokens.  CLOSED: the client has gone. */
REALM_IMPORT(stream_pipe)
int32_t realm_stream_pipe(realm_handle stream, struct realm_stream_event *event, size_t event_size);
/* Waits until one of the streams has an event (or has ended); result: its index.  TIMED_OUT. */
REALM_IMPORT(stream_wait)
int32_t realm_stream_wait(const realm_handle *streams, size_t n, int32_t timeout_ms);

enum realm_step_flags {
    REALM_STEP_LOGPROB = 1, /* tell the drawn token's log-probability: a look at every score more */
};

/* One sequence's part in a step.  Addresses are 64 bits wide in both kinds of memory. */
struct realm_step_item {
    /* in */
    realm_handle sequence;
    realm_handle sampler; /* 0: draw nothing */
    uint32_t n_drawn;     /* tokens at the sequence's end that this sampler drew before */
    uint32_t n_tokens;
    uint64_t tokens; /* address of n_tokens realm_token: appended and computed first */
    uint64_t drafts; /* address of n_drafts realm_token: guesses of what would be drawn next; then
                        no scores are told */
    uint32_t n_drafts;
    uint32_t n_top; /* best scores wanted after the last token, at most REALM_MAX_STEP_TOP */
    uint32_t flags; /* realm_step_flags */
    uint32_t reserved;
    uint64_t top; /* address of n_top struct realm_token_score, written */
    /* out */
    int32_t status;      /* REALM_GUEST_OK or this item's error */
    realm_token token;   /* drawn, not yet part of the sequence; with a sampler */
    float logprob;       /* of it, with LOGPROB; else NaN */
    uint32_t n_accepted; /* drafts the sampler would have drawn: now part of the sequence */
    uint32_t n_top_out;
    uint32_t n_length; /* tokens of the sequence after this step */
};

#define REALM_MAX_STEP_ITEMS  64
#define REALM_MAX_STEP_TOP    64
#define REALM_MAX_STEP_DRAFTS 32

/* One step of several sequences together: append, compute, look, draw.  Waits.  The items' status
 * fields tell of each; the result is 0 when the step was made. */
REALM_IMPORT(step)
int32_t realm_step(struct realm_step_item *items, size_t n);

/* The embedding of tokens: the last hidden state of the last one, as long as 1, which is what
 * /v1/embeddings gives of the same tokens (it encodes text with ADD_SPECIAL and PARSE_SPECIAL).
 * Result: its columns; capacity counts floats, and 0 only asks how many there are, at once.  Else
 * waits.  INVALID_ARGUMENT: no tokens, or one outside the vocabulary; TOO_LARGE: more than the
 * context has; UNSUPPORTED: the model gives none. */
REALM_IMPORT(embed)
int32_t realm_embed(
    realm_handle model, const realm_token *tokens, size_t n_tokens, float *out, size_t capacity);

/* --- other programs, storage, the world --------------------------------------------------------
 */

/* Runs a function (n 0: the default one) of another program of the tenant.  Result: a stream of
 * OUTPUT events.  NOT_FOUND. */
REALM_IMPORT(invoke)
realm_handle realm_invoke(const char *program,
                          size_t n_program,
                          const char *function,
                          size_t n_function,
                          const char *request,
                          size_t n_request);

/* The tenant's key-value store: keys of 1 to 256 bytes, values of up to 64 KiB; survives restarts.
 */
REALM_IMPORT(kv_get)
int32_t realm_kv_get(const char *key, size_t n_key, void *out, size_t capacity);
REALM_IMPORT(kv_set)
int32_t realm_kv_set(const char *key, size_t n_key, const void *value, size_t n_value);
REALM_IMPORT(kv_delete)
int32_t realm_kv_delete(const char *key, size_t n_key);
/* JSON array of the keys that begin with prefix, in byte order, at most 1,000. */
REALM_IMPORT(kv_list)
int32_t realm_kv_list(const char *prefix, size_t n_prefix, char *out, size_t capacity);

/* Random bytes from the request's seed: the same seed gives the same bytes. */
REALM_IMPORT(random)
int32_t realm_random(void *out, size_t n_bytes);
/* Milliseconds since 1970-01-01 UTC; no finer clock is there. */
REALM_IMPORT(clock_ms)
int64_t realm_clock_ms(void);
/* A line in the program's log. level: 0 error, 1 warning, 2 information, 3 debug. */
REALM_IMPORT(log)
int32_t realm_log(int32_t level, const char *text, size_t n_bytes);

struct realm_guest_usage {
    uint64_t prompt_tokens; /* of this request so far */
    uint64_t completion_tokens;
    uint64_t fuel_left;
    uint64_t host_calls_left;
    uint64_t output_bytes_left;
    uint64_t handles_left;
    uint64_t kv_bytes_left; /* of the tenant's store */
};

REALM_IMPORT(usage)
int32_t realm_usage(struct realm_guest_usage *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif
