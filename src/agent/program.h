/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of kinds exec and pty: a program and its standard streams, or a terminal (protocol 15.3). */
#ifndef AGENT_PROGRAM_H
#define AGENT_PROGRAM_H

#include "agent/stream.h"

/* What the client says on channels that carry no data: what to run, the terminal's size, signals. */
void program_note(struct stream *s, enum tunnel_channel ch, struct str note);
/* The program has ended: the client is told how. */
void program_ended(struct stream *s);

#endif
