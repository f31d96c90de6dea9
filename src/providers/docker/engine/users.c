/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts inside a container, see users.h. */
#include "providers/docker/engine/users.h"

#include "base/mem.h"
#include "providers/docker/engine/archive.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (256u << 10)
#define ID_MAX 0xfffffffe

enum { P_NAME, P_SECRET, P_UID, P_GID, P_GECOS, P_HOME, P_FIELDS };

void account_free(struct account *a)
{
	free(a->name);
	free(a->home);
	*a = (struct account){ 0 };
}

void account_copy(struct account *to, const struct account *from)
{
	*to = *from;
	to->name = mem_dup(from->name);
	to->home = mem_dup(from->home);
}

/* Fields of one line; false when it has too few, or ids that are no numbers. */
static bool split_line(struct str line, struct str *f, size_t want, int64_t *uid, int64_t *gid)
{
	size_t n = 0;

	while (n < P_FIELDS && str_next(&line, ':', &f[n]))
		n++;
	if (n < want || !str_to_i64(f[P_UID], 0, ID_MAX, uid))
		return false;
	return !gid || str_to_i64(f[P_GID], 0, ID_MAX, gid);
}

bool passwd_find(struct str text, const char *user, struct account *out)
{
	struct str line, f[P_FIELDS];
	int64_t uid, gid, number = -1;
	bool is_number = str_to_i64(str_of(user), 0, ID_MAX, &number);

	while (str_next(&text, '\n', &line)) {
		if (!split_line(line, f, P_FIELDS, &uid, &gid))
			continue;
		if (is_number ? uid != number : !str_eq(f[P_NAME], user))
			continue;
		*out = (struct account){ .name = mem_dupn(f[P_NAME].p, f[P_NAME].n),
			                 .home = mem_dupn(f[P_HOME].p, f[P_HOME].n),
			                 .uid = (unsigned)uid,
			                 .gid = (unsigned)gid,
			                 .known = true };
		return true;
	}
	return false;
}

int account_find(struct engine *engine, const char *container, const char *user,
                 struct account *out, struct deadline d, struct err *e)
{
	struct str spec = str_of(user), piece = { 0 };
	struct buf text = { 0 };
	char *name;
	int64_t uid = 0, gid = 0;
	bool missing = false;
	int rc;

	*out = (struct account){ 0 };
	name = str_next(&spec, ':', &piece) && piece.n ? mem_dupn(piece.p, piece.n)
	                                               : mem_dup("root");
	rc = archive_get(engine, container, "/etc/passwd", FILE_MAX_BYTES, &text, NULL, d, e);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		missing = true;
		rc = 0;
	}
	if (rc == 0 && !passwd_find(buf_str(&text), name, out)) {
		struct buf home = { 0 };
		bool number = str_to_i64(str_of(name), 0, ID_MAX, &uid);
		bool root = strcmp(name, "root") == 0 || (number && uid == 0);

		buf_addf(&home, root ? "/root" : number ? "/" : "/home/%s", name);
		*out = (struct account){ .name = mem_dup(name),
			                 .home = buf_take(&home),
			                 .uid = (unsigned)uid,
			                 .gid = (unsigned)uid,
			                 .known = number || root };
	}
	out->no_passwd = missing;
	if (rc == 0 && str_to_i64(spec, 0, ID_MAX, &gid))
		out->gid = (unsigned)gid;
	free(name);
	buf_free(&text);
	return rc;
}

bool account_overlooked(struct engine *engine, const struct account *a, unsigned *tries,
                        struct deadline d, const struct err *e)
{
	struct err ignored = { 0 };

	if (!a->known || !strstr(e->msg, "unable to find user") || (*tries)++ == ACCOUNT_TRIES ||
	    engine_sleep(engine, 500, d, &ignored) < 0)
		return false;
	provider_logf(engine->env, "Trying again, since user %s is there: %s", a->name, e->msg);
	return true;
}

static void add_text(struct buf *tar, const char *name, const struct buf *text)
{
	tar_header(tar,
	           &(struct tar_entry){ .name = name, .type = '0', .mode = 0644, .size = text->n });
	buf_add_str(tar, buf_str(text));
	tar_pad(tar, text->n);
}

void account_provide(const char *user, struct account *a, struct buf *tar)
{
	struct buf passwd = { 0 }, group = { 0 }, home = { 0 };
	struct account own;
	int64_t number;
	char *name = mem_dupn(user, strcspn(user, ":"));

	if (*name && !str_to_i64(str_of(name), 0, ID_MAX, &number)) {
		buf_adds(&passwd, "root:x:0:0:root:/root:/bin/sh\n");
		buf_adds(&group, "root:x:0:\n");
		if (strcmp(name, "root") != 0 && !strpbrk(name, "/\n")) {
			buf_addf(&passwd, "%s:x:1000:1000::/home/%s:/bin/sh\n", name, name);
			buf_addf(&group, "%s:x:1000:\n", name);
			buf_addf(&home, "home/%s/", name);
			tar_header(tar, &(struct tar_entry){ .name = buf_cstr(&home),
			                                     .type = '5',
			                                     .mode = 0755,
			                                     .uid = 1000,
			                                     .gid = 1000 });
		}
		add_text(tar, "etc/passwd", &passwd);
		add_text(tar, "etc/group", &group);
		if (passwd_find(buf_str(&passwd), name, &own)) {
			account_free(a);
			*a = own;
		}
	}
	buf_free(&home);
	buf_free(&passwd);
	buf_free(&group);
	free(name);
}

/* Writes text to out with field number field of the line named name set to value. */
static void set_field(struct str text, const char *name, int field, unsigned value, int field2,
                      unsigned value2, struct buf *out)
{
	struct str line, piece;

	while (str_next(&text, '\n', &line)) {
		struct str rest = line;
		bool hit = str_next(&rest, ':', &piece) && str_eq(piece, name);

		rest = line;
		for (int i = 0; hit && str_next(&rest, ':', &piece); i++) {
			if (i)
				buf_addc(out, ':');
			if (i == field)
				buf_addf(out, "%u", value);
			else if (i == field2)
				buf_addf(out, "%u", value2);
			else
				buf_add_str(out, piece);
		}
		if (!line.n && !text.p)
			return; /* behind the last newline */
		if (!hit)
			buf_add_str(out, line);
		buf_addc(out, '\n');
	}
}

int passwd_renumber(struct str passwd, struct str group, const struct account *a, unsigned uid,
                    unsigned *gid, struct buf *new_passwd, struct buf *new_group, struct err *e)
{
	struct str text = passwd, line, f[P_FIELDS];
	char *own_group = NULL;
	int64_t id, other;
	bool taken = false;

	while (str_next(&text, '\n', &line))
		if (split_line(line, f, P_FIELDS, &id, &other) && id == uid && uid != a->uid &&
		    !str_eq(f[P_NAME], a->name))
			return err_set(e, ERR_EXISTS, 0, "uid %u belongs to \"%.*s\" in the image",
			               uid, STR_ARG(f[P_NAME]));
	text = group;
	while (str_next(&text, '\n', &line)) {
		if (!split_line(line, f, P_UID + 1, &id, NULL))
			continue;
		taken |= id == *gid && *gid != a->gid;
		if (id == a->gid && !own_group)
			own_group = mem_dupn(f[P_NAME].p, f[P_NAME].n);
	}
	if (taken || !own_group)
		*gid = a->gid;
	set_field(passwd, a->name, P_UID, uid, P_GID, *gid, new_passwd);
	set_field(group, own_group ? own_group : "", P_UID, *gid, -1, 0, new_group);
	free(own_group);
	return 0;
}

int account_renumber(struct engine *engine, const char *container, struct account *a, unsigned uid,
                     unsigned gid, struct deadline d, struct err *e)
{
	struct tar_entry passwd_entry, group_entry;
	struct buf passwd = { 0 }, group = { 0 }, new_passwd = { 0 }, new_group = { 0 };
	int rc = -1;

	if (archive_get(engine, container, "/etc/passwd", FILE_MAX_BYTES, &passwd, &passwd_entry, d,
	                e) < 0 ||
	    archive_get(engine, container, "/etc/group", FILE_MAX_BYTES, &group, &group_entry, d,
	                e) < 0 ||
	    passwd_renumber(buf_str(&passwd), buf_str(&group), a, uid, &gid, &new_passwd,
	                    &new_group, e) < 0)
		goto out;
	if (archive_put_text(engine, container, "/etc/passwd", buf_str(&new_passwd), &passwd_entry,
	                     d, e) < 0)
		goto out;
	if (gid != a->gid && archive_put_text(engine, container, "/etc/group", buf_str(&new_group),
	                                      &group_entry, d, e) < 0)
		goto out;
	a->uid = uid;
	a->gid = gid;
	rc = 0;
out:
	buf_free(&passwd);
	buf_free(&group);
	buf_free(&new_passwd);
	buf_free(&new_group);
	return rc;
}
