/* One answer of a model, shown as it comes.  One thread. */
#ifndef REALM_CLI_ANSWER_H
#define REALM_CLI_ANSWER_H

#include "base/strbuf.h"
#include "engine/engine.h"

#include <stdio.h>

struct answer {
    struct strbuf text;
    realm_finish finish;
    uint32_t n_prompt_tokens;
    uint32_t n_completion_tokens;
    uint64_t first_token_ns; /* from the request to the first token; 0: none came */
    uint64_t total_ns;
};

/* Runs the request to its end.  Ctrl-C (see interrupt.h) cancels it: finish is then CANCELLED and
 * what came stays.  shown: where the text goes as it comes; NULL: nowhere.
 * *out: fill-in; its text is the caller's (strbuf_deinit) in either case. */
REALM_MUST_CHECK realm_status answer_run(struct engine *engine,
                                         const struct request *request,
                                         FILE *shown,
                                         struct answer *out,
                                         struct realm_error *error);

/* Tokens per second after the first. */
double answer_rate(const struct answer *answer);
/* "stop", "length", "cancelled", "error". */
const char *answer_finish_name(realm_finish finish);

#endif
