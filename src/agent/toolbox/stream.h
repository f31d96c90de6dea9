/* SPDX-License-Identifier: Apache-2.0 */
/* The toolbox as a kind of stream into the workspace (agent/streams.h). */
#ifndef AGENT_TOOLBOX_STREAM_H
#define AGENT_TOOLBOX_STREAM_H

#include "agent/streams.h"

stream_handler toolbox_stream;

#endif
