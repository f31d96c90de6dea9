/* SPDX-License-Identifier: Apache-2.0 */
/* See sftp.h: a packet becomes a request. */
#include "agent/sftp.h"

#include "base/attr.h"

#include <limits.h>
#include <string.h>

/* What follows the id: h handle, p path, q second path, d data, o offset, n number, a attributes. */
static const struct {
	uint16_t type;
	const char *parts;
} requests[] = {
	{ SFTP_OPEN, "pna" },        { SFTP_CLOSE, "h" },     { SFTP_READ, "hon" },
	{ SFTP_WRITE, "hod" },       { SFTP_LSTAT, "p" },     { SFTP_FSTAT, "h" },
	{ SFTP_SETSTAT, "pa" },      { SFTP_FSETSTAT, "ha" }, { SFTP_OPENDIR, "p" },
	{ SFTP_READDIR, "h" },       { SFTP_REMOVE, "p" },    { SFTP_MKDIR, "pa" },
	{ SFTP_RMDIR, "p" },         { SFTP_REALPATH, "p" },  { SFTP_STAT, "p" },
	{ SFTP_RENAME, "pq" },       { SFTP_READLINK, "p" },  { SFTP_SYMLINK, "pq" },
	{ SFTP_POSIX_RENAME, "pq" }, { SFTP_HARDLINK, "pq" }, { SFTP_FSYNC, "h" },
	{ SFTP_STATVFS, "p" },       { SFTP_FSTATVFS, "h" },
};

static const struct {
	const char *name;
	enum sftp_type type;
} extensions[] = {
	{ "posix-rename@openssh.com", SFTP_POSIX_RENAME },
	{ "hardlink@openssh.com", SFTP_HARDLINK },
	{ "fsync@openssh.com", SFTP_FSYNC },
	{ "statvfs@openssh.com", SFTP_STATVFS },
	{ "fstatvfs@openssh.com", SFTP_FSTATVFS },
	{ "limits@openssh.com", SFTP_LIMITS },
};

/* Big-endian, n bytes. */
static bool take(struct str *s, size_t n, uint64_t *out)
{
	uint64_t value = 0;

	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++)
		value = value << 8 | (unsigned char)s->p[i];
	s->p += n;
	s->n -= n;
	*out = value;
	return true;
}

static bool take_u32(struct str *s, uint32_t *out)
{
	uint64_t value;

	if (!take(s, 4, &value))
		return false;
	*out = (uint32_t)value;
	return true;
}

static bool take_text(struct str *s, struct str *out)
{
	uint32_t n;

	if (!take_u32(s, &n) || n > s->n)
		return false;
	*out = (struct str){ s->p, n };
	s->p += n;
	s->n -= n;
	return true;
}

static bool take_path(struct str *s, struct str *out)
{
	return take_text(s, out) && out->n < PATH_MAX &&
	       (out->n == 0 || !memchr(out->p, 0, out->n));
}

static bool take_handle(struct str *s, uint32_t *out)
{
	struct str text;

	return take_text(s, &text) && text.n == 4 && take_u32(&text, out);
}

static bool take_attrs(struct str *s, struct sftp_attrs *a)
{
	struct str ignored;
	uint32_t extended = 0;

	if (!take_u32(s, &a->has) || ((a->has & SFTP_HAS_SIZE) && !take(s, 8, &a->size)) ||
	    ((a->has & SFTP_HAS_OWNER) && (!take_u32(s, &a->uid) || !take_u32(s, &a->gid))) ||
	    ((a->has & SFTP_HAS_MODE) && !take_u32(s, &a->mode)) ||
	    ((a->has & SFTP_HAS_TIMES) && (!take_u32(s, &a->atime) || !take_u32(s, &a->mtime))) ||
	    ((a->has & 0x80000000u) && !take_u32(s, &extended)))
		return false;
	for (; extended > 0; extended--) /* name and value, 8 bytes at least */
		for (int i = 0; i < 2; i++)
			if (!take_text(s, &ignored))
				return false;
	return true;
}

static bool take_part(struct str *s, char part, struct sftp_request *r)
{
	switch (part) {
	case 'h':
		return take_handle(s, &r->handle);
	case 'p':
		return take_path(s, &r->path);
	case 'q':
		return take_path(s, &r->path2);
	case 'd':
		return take_text(s, &r->data);
	case 'o':
		return take(s, 8, &r->offset) && r->offset <= INT64_MAX;
	case 'n':
		return take_u32(s, &r->n);
	default:
		return take_attrs(s, &r->attrs);
	}
}

bool sftp_parse(struct str packet, struct sftp_request *r)
{
	struct str name;
	uint64_t type;

	*r = (struct sftp_request){ 0 };
	if (!take(&packet, 1, &type))
		return false;
	r->type = (enum sftp_type)type;
	if (!take_u32(&packet, &r->id))
		return false;
	if (r->type == SFTP_EXTENDED) {
		if (!take_text(&packet, &name))
			return false;
		for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
			if (str_eq(name, extensions[i].name))
				r->type = extensions[i].type;
	}
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		if (requests[i].type != (uint16_t)r->type)
			continue;
		for (const char *part = requests[i].parts; *part; part++)
			if (!take_part(&packet, *part, r))
				return false;
	}
	return true;
}
