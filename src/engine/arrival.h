/* What comes to the engine's thread: a request, or a session whose caller asks for something.  The
 * first member of both. */
#ifndef REALM_ENGINE_ARRIVAL_H
#define REALM_ENGINE_ARRIVAL_H

enum arrival_kind { ARRIVAL_GENERATION, ARRIVAL_SESSION };

struct arrival {
    enum arrival_kind kind;
};

#endif
