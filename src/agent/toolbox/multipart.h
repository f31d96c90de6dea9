/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multipart/form-data (RFC 7578, RFC 2046 5.1.1) as it comes, in pieces of any size: no input or
 * output here. What it keeps is less than one piece and MULTIPART_HEAD_MAX.
 *
 *	multipart_feed(&m, bytes);
 *	while ((ev = multipart_next(&m, &data)) > MULTIPART_MORE)
 *		if (ev == MULTIPART_DATA) …
 */
#ifndef AGENT_TOOLBOX_MULTIPART_H
#define AGENT_TOOLBOX_MULTIPART_H

#include "base/buf.h"
#include "base/err.h"

#define MULTIPART_BOUNDARY_MAX 70
#define MULTIPART_HEAD_MAX 16384 /* of one part */

enum multipart_event {
	MULTIPART_BAD = -1, /* malformed: nothing more comes */
	MULTIPART_MORE,     /* feed more; if there is none, the form broke off */
	MULTIPART_PART,     /* a part begins: its name is in the struct */
	MULTIPART_DATA,     /* some of it; data is borrowed until the next call */
	MULTIPART_END,      /* of the form; what follows means nothing */
};

/* Zero, then multipart_start. */
struct multipart {
	struct buf name;      /* of the part at hand; empty if it has none */
	struct buf delimiter; /* CRLF "--" boundary */
	struct buf raw;       /* fed; the first used bytes are done with */
	size_t used;
	int state;
};

/* content_type: of the request. ERR_PARSE if it is no form or names no boundary. */
int multipart_start(struct multipart *parts, struct str content_type, struct err *e);
void multipart_feed(struct multipart *parts, struct str bytes);
enum multipart_event multipart_next(struct multipart *parts, struct str *data);
void multipart_free(struct multipart *parts);

/* Appends the parameter of a header's value: `form-data; name="a \"b\""`. False: it has none. */
bool mime_param(struct str value, const char *name, struct buf *out);

#endif
