/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sftp subsystem of ssh for images that have none: version 3 of the protocol (draft-ietf-secsh-filexfer-02), as scp,
 * sftp, sshfs and editors use it, with the extensions of OpenSSH that they ask for. It may do what its user may.
 */
#ifndef AGENT_SFTP_H
#define AGENT_SFTP_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define SFTP_PACKET_MAX (256u << 10) /* without its length; what OpenSSH sends at most */
#define SFTP_HANDLES_MAX 256

enum sftp_type {
	SFTP_INIT = 1,
	SFTP_VERSION,
	SFTP_OPEN,
	SFTP_CLOSE,
	SFTP_READ,
	SFTP_WRITE,
	SFTP_LSTAT,
	SFTP_FSTAT,
	SFTP_SETSTAT,
	SFTP_FSETSTAT,
	SFTP_OPENDIR,
	SFTP_READDIR,
	SFTP_REMOVE,
	SFTP_MKDIR,
	SFTP_RMDIR,
	SFTP_REALPATH,
	SFTP_STAT,
	SFTP_RENAME,
	SFTP_READLINK,
	SFTP_SYMLINK,
	SFTP_STATUS = 101,
	SFTP_HANDLE,
	SFTP_DATA,
	SFTP_NAME,
	SFTP_ATTRS,
	SFTP_EXTENDED = 200,
	SFTP_EXTENDED_REPLY,
	/* Extensions, by numbers of ours. */
	SFTP_POSIX_RENAME = 300,
	SFTP_HARDLINK,
	SFTP_FSYNC,
	SFTP_STATVFS,
	SFTP_FSTATVFS,
	SFTP_LIMITS,
};

enum { SFTP_HAS_SIZE = 1, SFTP_HAS_OWNER = 2, SFTP_HAS_MODE = 4, SFTP_HAS_TIMES = 8 };

struct sftp_attrs {
	uint32_t has;
	uint64_t size;
	uint32_t uid, gid, mode, atime, mtime;
};

struct sftp_request {
	enum sftp_type type;
	uint32_t id; /* of SFTP_INIT: the version */
	uint32_t handle;
	struct str path,
		path2; /* without NUL, shorter than PATH_MAX; borrowed from the packet, as data is */
	struct str data;
	uint64_t offset;
	uint32_t n; /* flags of an open, bytes of a read */
	struct sftp_attrs attrs;
};

/* packet: without its length. False: it is malformed; type and id are set where they were there. A type that is unknown
 * has no more than these. */
bool sftp_parse(struct str packet, struct sftp_request *r);

/* Serves until in ends. */
int sftp_serve(int in, int out, struct err *e);

#endif
