/* What `realm doctor` looks at: findings, and where they go. */
#ifndef REALM_CLI_DOCTOR_H
#define REALM_CLI_DOCTOR_H

#include "cli/json_out.h"

enum finding_kind { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct doctor {
    struct json_out out; /* with json: an array that is being written */
    bool json;
    bool failed;
};

/* value: what was found.  remedy: what to do about it; "" with OK. */
void doctor_tell(struct doctor *doctor,
                 enum finding_kind kind,
                 const char *check,
                 const char *value,
                 const char *remedy);

/* The machine: processor, cores, memory, huge pages (doctor_machine.c). */
void doctor_check_machine(struct doctor *doctor);
/* Versions of the libraries that were loaded (doctor_libraries.c). */
void doctor_check_libraries(struct doctor *doctor);

#endif
