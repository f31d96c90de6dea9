/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stored resource: an ordered list of named values. A value is text, or a piece of JSON (null,
 * numbers, objects); files and answers are made of the same values, so no field is described twice.
 *
 * Opaque: what is stored is only ever seen through a const pointer, and a pointer that is not
 * const is a draft that a change (change.h) handed out.
 */
#ifndef SERVER_REC_H
#define SERVER_REC_H

#include "base/buf.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

struct rec;

int rec_kind(const struct rec *r);    /* enum kind of store.h */
int64_t rec_seq(const struct rec *r); /* order of creation */
/* Text of a field; NULL when it is missing or JSON (null included). Borrowed until it changes. */
const char *rec_get(const struct rec *r, const char *name);
const char *rec_text(const struct rec *r, const char *name); /* as rec_get, but "" for NULL */
/* JSON of a field; empty when it is missing or text. Borrowed until it changes. */
struct str rec_json(const struct rec *r, const char *name);
/* A bit for each label, so that a search need not look at the text of those that cannot have what it is for: they have all
 * the bits of the labels wanted. text: "key":"value" as jw_str writes both. */
uint16_t rec_marks(const struct rec *r);
uint16_t rec_mark_of(struct str text);
bool rec_is(const struct rec *r, const char *name, const char *value);
bool rec_has(const struct rec *r, const char *name); /* there, and not null */
bool rec_bool(const struct rec *r, const char *name);
int64_t rec_int(const struct rec *r, const char *name); /* 0 when it is no integer */
/* "name":value; null when the field is missing. as: another name in the output, or NULL. */
void rec_write(const struct rec *r, struct buf *b, const char *name, const char *as);

/* Of drafts. NULL stores null. */
void rec_set(struct rec *r, const char *name, const char *value);
void rec_set_json(struct rec *r, const char *name, struct str json);
void rec_set_int(struct rec *r, const char *name, int64_t value);
void rec_set_bool(struct rec *r, const char *name, bool value);
/* A JSON value (absent: null) as field: strings decoded, all else as it is. */
void rec_set_value(struct rec *r, const char *name, struct json v);

#endif
