/* What went wrong with a request, as the client hears it: an HTTP status and OpenAI's error object.
 */
#ifndef REALM_SERVER_PROBLEM_H
#define REALM_SERVER_PROBLEM_H

#include "base/status.h"
#include "base/strbuf.h"

struct problem {
    int http_status;  /* 0: by the error's status */
    const char *code; /* static; NULL: by the error's status */
    const char *type; /* likewise */
    char param[64];   /* field, "" for none */
    struct realm_error error;
};

/* Sets status, field and message; returns the status. */
__attribute__((format(printf, 4, 5))) realm_status problem_set(
    struct problem *problem, realm_status status, const char *param, const char *format, ...);
int problem_http_status(const struct problem *problem);
/* Appends "error":{...}, and with braces around it. */
void problem_write_member(const struct problem *problem, struct strbuf *out);
void problem_write(const struct problem *problem, struct strbuf *out);

#endif
