/* realm.h - the engine of Realm as a C library: load GGUF models, generate text.
 *
 * One `struct realm` owns the compute threads, the loaded models and one engine thread that batches
 * every running request.  All functions may be called from any thread unless they say otherwise.
 * Strings are UTF-8.  Nothing here terminates the process: what can fail returns a realm_status and
 * fills the caller's `struct realm_error`, which may be NULL. */
#ifndef REALM_H
#define REALM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define REALM_API        __attribute__((visibility("default")))
#define REALM_MUST_CHECK __attribute__((warn_unused_result))
#else
#define REALM_API
#define REALM_MUST_CHECK
#endif

#define REALM_VERSION_MAJOR 0
#define REALM_VERSION_MINOR 1
#define REALM_VERSION_PATCH 0

/* The numbers are part of the ABI: new codes are added at the end. */
typedef enum realm_status {
    REALM_OK = 0,
    REALM_INVALID_ARGUMENT = 1,
    REALM_INVALID_FORMAT = 2,
    REALM_UNSUPPORTED = 3,
    REALM_NOT_FOUND = 4,
    REALM_ALREADY_EXISTS = 5,
    REALM_UNAUTHENTICATED = 6,
    REALM_PERMISSION_DENIED = 7,
    REALM_QUOTA_EXCEEDED = 8,
    REALM_RESOURCE_EXHAUSTED = 9,
    REALM_OUT_OF_MEMORY = 10,
    REALM_CANCELLED = 11,
    REALM_DEADLINE_EXCEEDED = 12,
    REALM_UNAVAILABLE = 13,
    REALM_IO = 14,
    REALM_GUEST_TRAPPED = 15,
    REALM_INTERNAL = 16,
} realm_status;

/* Caller's storage, so that an error can be told when memory is out. */
struct realm_error {
    realm_status status;
    char message[248];
};

/* "1.2.3"; static storage. */
REALM_API const char *realm_version(void);

/* A status as a word ("invalid_argument"); static storage; never NULL. */
REALM_API const char *realm_status_name(realm_status status);

struct realm;

/* Zero means default in every field. */
struct realm_options {
    uint32_t n_threads;       /* compute threads; 0: one per core */
    uint32_t context_length;  /* tokens of one sequence; 0: the model's, at most 8192 */
    uint64_t kv_memory_bytes; /* KV cache of each model; 0: 16,384 tokens or one context */
};

/* Starts the engine.  *out is the caller's and ends with realm_close. */
REALM_API REALM_MUST_CHECK realm_status realm_open(const struct realm_options *options,
                                                   struct realm **out,
                                                   struct realm_error *error);

/* Stops all requests, joins the threads, frees everything.  NULL is fine. */
REALM_API void realm_close(struct realm *realm);

/* Loads the GGUF file at `path` (first file of a split model) under `name`.  Blocks until it is
 * ready.  INVALID_FORMAT names the key or tensor; ALREADY_EXISTS: the name is taken. */
REALM_API REALM_MUST_CHECK realm_status realm_load_model(struct realm *realm,
                                                         const char *name,
                                                         const char *path,
                                                         struct realm_error *error);

/* Zero means default in every field, which are those of the OpenAI API and its usual extensions. */
struct realm_sampling {
    float temperature; /* 0: greedy */
    float top_p;       /* 0: off */
    float min_p;
    uint32_t top_k; /* 0: off */
    float repetition_penalty;
    uint64_t seed; /* 0: from the system */
};

struct realm_request {
    const char *model;  /* name given to realm_load_model */
    const char *prompt; /* text; rendered as one user message when `chat` is set */
    bool chat;          /* apply the model's chat template */
    uint32_t max_tokens;
    struct realm_sampling sampling;
};

/* Why a generation ended. */
typedef enum realm_finish {
    REALM_FINISH_NONE = 0, /* not ended */
    REALM_FINISH_STOP = 1, /* end-of-sequence token or stop string */
    REALM_FINISH_LENGTH = 2,
    REALM_FINISH_CANCELLED = 3,
    REALM_FINISH_ERROR = 4,
} realm_finish;

struct realm_result {
    realm_finish finish;
    uint32_t n_prompt_tokens;
    uint32_t n_completion_tokens;
};

/* Receives whole UTF-8 characters, in order; text is not terminated.  Return false to cancel. */
typedef bool (*realm_text_callback)(void *context, const char *text, size_t n_bytes);

/* Runs one request to its end, calling `on_text` on this thread.  result may be NULL. */
REALM_API REALM_MUST_CHECK realm_status realm_generate(struct realm *realm,
                                                       const struct realm_request *request,
                                                       realm_text_callback on_text,
                                                       void *context,
                                                       struct realm_result *result,
                                                       struct realm_error *error);

#ifdef __cplusplus
}
#endif
#endif
