/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a byte stream into a workspace, over a WebSocket to the embedded Server: the client's or the agent's. It joins
 * descriptors with channels, without blocking, and with bounded memory however slow either side is.
 *
 * Each binary message begins with a byte that names its channel (protocol 15.2). The bytes of channels TUNNEL_IN, _OUT and
 * _ERR that are under way in one direction are at most TUNNEL_WINDOW: the receiver grants more by TUNNEL_GRANT when it
 * has passed some on. So both ends can always read, answer pings and learn that the other has gone.
 */
#ifndef API_TUNNEL_H
#define API_TUNNEL_H

#include "api/client.h"

#define TUNNEL_WINDOW (256u << 10)
#define TUNNEL_NOTE_MAX (256u << 10) /* bytes of a message that is no data, by the client's side */

enum tunnel_channel {
	TUNNEL_IN,     /* client to agent */
	TUNNEL_OUT,    /* agent to client */
	TUNNEL_ERR,    /* the same */
	TUNNEL_NOTE,   /* JSON: to the agent what to run, to the client how it ended */
	TUNNEL_SIZE,   /* to the agent: four bytes, big endian, columns and rows of the terminal */
	TUNNEL_SIGNAL, /* to the agent: one byte, a signal's number on Linux */
	TUNNEL_GRANT,  /* either way: four bytes, big endian, so many more may be sent */
	TUNNEL_END = 255, /* either way: one byte, the channel that has come to its end */
};
#define TUNNEL_DATA_CHANNELS 3

enum tunnel_close {
	TUNNEL_CLOSE_NO_AGENT = 4001,
	TUNNEL_CLOSE_AGENT_SILENT = 4002,
	TUNNEL_CLOSE_STOPPED = 4003,
	TUNNEL_CLOSE_REVOKED = 4004,
	TUNNEL_CLOSE_REFUSED = 4005, /* by the agent: kind, port, program */
};

struct tunnel;

/* A client's: of a workspace, by id or name, with a query such as "kind=port&port=80", encoded. Never blocks; d is for the
 * opening. Borrows a. */
struct tunnel *tunnel_open(const struct api *a, const char *workspace, const char *query,
                           struct deadline d);
/* The same for a path, which is encoded. */
struct tunnel *tunnel_on(const struct api *a, const char *path, struct deadline d);
void tunnel_free(struct tunnel *t); /* NULL is fine */

/* The bytes of fd are sent on that channel, up to the end of file; those that come on it are written to fd, which is
 * half closed at the end of it. fd: any kind, blocking or not (it is never changed), the tunnel's from now on. */
void tunnel_source(struct tunnel *t, enum tunnel_channel ch, int fd);
void tunnel_sink(struct tunnel *t, enum tunnel_channel ch, int fd);
/* Both, for a connected socket. */
void tunnel_socket(struct tunnel *t, enum tunnel_channel from, enum tunnel_channel to, int fd);
/* What comes on the channels that carry no data. */
void tunnel_notes(struct tunnel *t, void (*note)(void *arg, enum tunnel_channel ch, struct str s),
                  void *arg);
void tunnel_send(struct tunnel *t, enum tunnel_channel ch, struct str s);
/* The channel has no more bytes of ours; for one without a source. */
void tunnel_end(struct tunnel *t, enum tunnel_channel ch);
/* After all that was sent. 1000 is a clean end. */
void tunnel_close(struct tunnel *t, int code, const char *reason);

void tunnel_poll(const struct tunnel *t, struct pollset *ps);
enum tunnel_status { TUNNEL_OPENING, TUNNEL_OPENED, TUNNEL_CLOSED };
/* OPENED: the Server has it; whether the agent has, its first byte or the close tells. CLOSED: e says why, in words for a
 * person; it is ERR_NONE after a clean end, 1000. */
enum tunnel_status tunnel_step(struct tunnel *t, struct err *e);
int tunnel_close_code(const struct tunnel *t); /* the peer's; 0: none came */
bool tunnel_heard(const struct tunnel *t);     /* a message of the other end has come */
/* Every source is at its end and told so, every sink has had all, and nothing waits to be sent. */
bool tunnel_done(const struct tunnel *t);
bool tunnel_sources_ended(const struct tunnel *t);
/* Nobody takes what is written there any more; what comes is dropped. */
bool tunnel_broken(const struct tunnel *t, enum tunnel_channel ch);

#endif
