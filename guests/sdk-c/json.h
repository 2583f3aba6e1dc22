/* json.h - reads JSON where it lies: a value is the very text it was written as.
 *
 * What is not there, or of another kind than asked for, is an empty text; nothing is ever read
 * behind the text's end, so that what a model wrote can be looked at as it is. */
#ifndef GUEST_JSON_H
#define GUEST_JSON_H

#include "text.h"

/* The value of an object's member. */
struct text json_member(struct text object, const char *name);

/* Items of an array in order: `struct text rest = json_items(array), item;
 * while (json_next(&rest, &item)) ...` */
struct text json_items(struct text array);
bool json_next(struct text *rest, struct text *item);

/* What a JSON string says. */
struct text json_string(struct text value);
double json_number(struct text value, double otherwise);
bool json_is_true(struct text value);

#endif
