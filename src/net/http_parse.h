/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pure functions over bytes: the head of an HTTP/1.1 message (RFC 9112 sections 2 to 6) and the
 * chunked coding (section 7.1). They keep no I/O state; they answer how many bytes were
 * consumed, that more is needed, or that the bytes are malformed. Strict: no bare LF, no folded headers, no
 * space before the colon, no odd lengths.
 */
#ifndef NET_HTTP_PARSE_H
#define NET_HTTP_PARSE_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 65536
#define HTTP_HEADERS_MAX 100
#define HTTP_CHUNK_LINE_MAX 1024
#define HTTP_TRAILERS_MAX 8192

struct http_header {
	struct str name;
	struct str value; /* trimmed */
};

enum http_framing { HTTP_NO_BODY, HTTP_LENGTH, HTTP_CHUNKED, HTTP_UNTIL_CLOSE };

struct http_head {
	/* request */
	struct str method;
	struct str target;
	/* response */
	int status;
	struct str reason;
	/* both; all strings borrow from the bytes given */
	int minor; /* 0 or 1 */
	struct http_header headers[HTTP_HEADERS_MAX];
	size_t n_headers;
	enum http_framing framing;
	uint64_t length; /* HTTP_LENGTH */
	bool keep_alive; /* the connection may be reused after this message */
	bool upgrade;    /* Connection: upgrade */
};

/* > 0: bytes of the head including the empty line; 0: need more; -1: malformed or over a limit. */
long http_parse_request(struct str bytes, struct http_head *h, struct err *e);
/* method: of the request answered (HEAD has no body). 1xx are returned like any other status. */
long http_parse_response(struct str bytes, const char *method, struct http_head *h, struct err *e);
/* Value of the first header of that name, case folded; .p == NULL if missing. */
struct str http_head_get(const struct http_head *h, const char *name);
/* It asks for a WebSocket; there are other things to upgrade to. */
bool http_head_websocket(const struct http_head *h);

struct http_chunked { /* zero to start */
	int state;
	uint64_t left; /* of the chunk being read */
	size_t line;   /* length of the line being read */
	size_t trailers;
	bool done;
};
/* Consumes some of in; *data is the payload found (part of in, maybe empty). Returns bytes consumed
 * (call again while > 0 and not done), 0: need more, -1: malformed. done is set after the empty line behind the
 * trailers; bytes behind it are not consumed. */
long http_chunked_feed(struct http_chunked *c, struct str in, struct str *data, struct err *e);

#endif
