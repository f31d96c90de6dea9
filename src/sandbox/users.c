/* SPDX-License-Identifier: Apache-2.0 */
/* See users.h; passwd(5), group(5). */
#include "sandbox/users.h"

#include "base/file.h"
#include "base/inroot.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIELDS 7

/* Of a line; missing ones are empty. */
static void fields(struct str line, struct str f[FIELDS])
{
	for (size_t i = 0; i < FIELDS; i++)
		if (!str_next(&line, ':', &f[i]))
			f[i] = (struct str){ "", 0 };
}

static bool id_of(struct str s, uint32_t *id)
{
	int64_t n;

	if (!str_to_i64(s, 0, USERS_ID_MAX, &n))
		return false;
	*id = (uint32_t)n;
	return true;
}

/* By name, else by number, as container engines look. */
static bool find(struct str text, struct str who, struct str f[FIELDS])
{
	struct str rest = text, line;
	uint32_t id, other;

	while (str_next(&rest, '\n', &line)) {
		fields(line, f);
		if (f[0].n && f[0].n == who.n && memcmp(f[0].p, who.p, who.n) == 0 &&
		    id_of(f[2], &other))
			return true;
	}
	if (!id_of(who, &id))
		return false;
	rest = text;
	while (str_next(&rest, '\n', &line)) {
		fields(line, f);
		if (f[0].n && id_of(f[2], &other) && other == id)
			return true;
	}
	return false;
}

static char *text_or(struct str s, const char *fallback)
{
	s = str_trim(s);
	return s.n && s.p[0] == '/' && !memchr(s.p, '\0', s.n) ? mem_dupn(s.p, s.n)
	                                                       : mem_dup(fallback);
}

static int take_user(struct str passwd, struct str who, struct user *u, struct err *e)
{
	struct str f[FIELDS];

	if (!who.n)
		who = STR_LIT("0");
	if (find(passwd, who, f) && id_of(f[2], &u->uid) && id_of(f[3], &u->gid)) {
		u->name = mem_dupn(f[0].p, f[0].n);
		u->home = text_or(f[5], "/");
		u->shell = text_or(f[6], "/bin/sh");
		return 0;
	}
	if (str_eq(who, "root"))
		who = STR_LIT("0");
	if (!id_of(who, &u->uid))
		return err_set(e, ERR_NOT_FOUND, 0,
		               "the user \"%.100s\" is not in /etc/passwd of the workspace", who.p);
	u->gid = 0;
	u->name = u->uid == 0 ? mem_dup("root") : mem_dupn(who.p, who.n);
	u->home = mem_dup("/");
	u->shell = mem_dup("/bin/sh");
	return 0;
}

static bool lists(struct str members, const char *name)
{
	struct str one;

	while (str_next(&members, ',', &one))
		if (str_eq(str_trim(one), name))
			return true;
	return false;
}

static void take_groups(struct str group, struct user *u)
{
	struct str line, f[FIELDS];
	uint32_t gid;

	while (u->n_groups < USERS_GROUPS_MAX && str_next(&group, '\n', &line)) {
		fields(line, f);
		if (f[0].n && id_of(f[2], &gid) && lists(f[3], u->name))
			u->groups[u->n_groups++] = gid;
	}
}

int user_parse(struct str passwd, struct str group, const char *who, struct user *u, struct err *e)
{
	struct str rest = str_of(who), name = { "", 0 }, f[FIELDS];

	*u = (struct user){ 0 };
	str_next(&rest, ':', &name);
	if (take_user(passwd, name, u, e) < 0)
		return -1;
	if (rest.n == 0) {
		take_groups(group, u);
		return 0;
	}
	/* A group that is named stands alone. */
	if ((find(group, rest, f) && id_of(f[2], &u->gid)) || id_of(rest, &u->gid))
		return 0;
	user_free(u);
	return err_set(e, ERR_NOT_FOUND, 0,
	               "the group \"%.100s\" is not in /etc/group of the workspace", rest.p);
}

static int read_below(int root, const char *path, struct buf *b, struct err *e)
{
	int fd = inroot_open_across(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY), rc = 0;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0
		                                           : err_sys(e, errno, "open /%s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		rc = err_set(e, ERR_DENIED, 0, "/%s of the workspace is no file", path);
	else
		rc = file_read_fd(fd, path, USERS_FILE_MAX, b, e);
	close(fd);
	return rc;
}

int user_find(int root, const char *who, struct user *u, struct err *e)
{
	struct buf passwd = { 0 }, group = { 0 };
	int rc = -1;

	*u = (struct user){ 0 };
	if (read_below(root, "etc/passwd", &passwd, e) == 0 &&
	    read_below(root, "etc/group", &group, e) == 0)
		rc = user_parse(buf_str(&passwd), buf_str(&group), who, u, e);
	buf_free(&passwd);
	buf_free(&group);
	return rc;
}

void user_free(struct user *u)
{
	free(u->name);
	free(u->home);
	free(u->shell);
	*u = (struct user){ 0 };
}
