/* The head of an answer. */
#ifndef REALM_SERVER_ANSWER_HEAD_H
#define REALM_SERVER_ANSWER_HEAD_H

#include "server/exchange.h"

/* Writes it to the exchange's connection; -1: that cannot be done.  I/O thread. */
int answer_head_write(struct exchange *exchange);

#endif
