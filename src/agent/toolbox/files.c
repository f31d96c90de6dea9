/* SPDX-License-Identifier: Apache-2.0 */
/* The toolbox's calls about files and folders, but for what is in them. */
#include "agent/toolbox/handlers.h"
#include "agent/toolbox/walk.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/proc.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_MAX 50000 /* entries in one answer */
#define MOVE_MS (10 * 60 * 1000)
#define MODE_MAX 07777

/* As Go writes a file's mode: the letters of what is special, then the permissions. */
static void mode_text(mode_t mode, char out[20])
{
	static const struct {
		mode_t mask, is;
		char letter;
	} special[] = {
		{ S_IFMT, S_IFDIR, 'd' },  { S_IFMT, S_IFLNK, 'L' },  { S_IFMT, S_IFBLK, 'D' },
		{ S_IFMT, S_IFCHR, 'D' },  { S_IFMT, S_IFIFO, 'p' },  { S_IFMT, S_IFSOCK, 'S' },
		{ S_ISUID, S_ISUID, 'u' }, { S_ISGID, S_ISGID, 'g' }, { S_IFMT, S_IFCHR, 'c' },
		{ S_ISVTX, S_ISVTX, 't' },
	};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(special); i++)
		if ((mode & special[i].mask) == special[i].is)
			out[n++] = special[i].letter;
	if (!n)
		out[n++] = '-';
	for (int bit = 8; bit >= 0; bit--)
		out[n++] = mode >> bit & 1 ? "xwr"[bit % 3] : '-';
	out[n] = '\0';
}

/* As Go writes a time, in UTC: the fraction without zeros at its end. */
static void time_text(const struct timespec *t, char out[64])
{
	struct tm tm = { 0 };
	char fraction[16];
	size_t n = 10;

	gmtime_r(&t->tv_sec, &tm);
	snprintf(fraction, sizeof(fraction), ".%09ld", t->tv_nsec);
	while (n && (fraction[n - 1] == '0' || fraction[n - 1] == '.'))
		n--;
	fraction[n] = '\0';
	snprintf(out, 64, "%04d-%02d-%02d %02d:%02d:%02d%s +0000 UTC", tm.tm_year + 1900,
	         tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
}

static void add_info(struct buf *b, struct str name, const struct stat *st)
{
	char text[64];

	jw_obj(b);
	jw_key(b, "name");
	jw_str(b, name);
	jw_kint(b, "size", st->st_size);
	mode_text(st->st_mode, text);
	jw_kstr(b, "mode", text);
	time_text(&st->st_mtim, text);
	jw_kstr(b, "modTime", text);
	jw_kbool(b, "isDir", S_ISDIR(st->st_mode));
	snprintf(text, sizeof(text), "%lu", (unsigned long)st->st_uid);
	jw_kstr(b, "owner", text);
	snprintf(text, sizeof(text), "%lu", (unsigned long)st->st_gid);
	jw_kstr(b, "group", text);
	snprintf(text, sizeof(text), "%04o", (unsigned)(st->st_mode & 0777));
	jw_kstr(b, "permissions", text);
	jw_obj_end(b);
}

/* What a link points to; a link that points nowhere is shown itself. */
static int look(const char *path, struct stat *st, struct err *e)
{
	if (stat(path, st) == 0 || lstat(path, st) == 0)
		return 0;
	return err_sys(e, errno, "%s", path);
}

static struct str last_part(const char *path)
{
	struct str s = str_of(path);
	const char *slash;

	while (s.n > 1 && s.p[s.n - 1] == '/')
		s.n--;
	slash = s.n > 1 ? memrchr(s.p, '/', s.n) : NULL;
	if (slash)
		s = (struct str){ slash + 1, s.n - (size_t)(slash - s.p) - 1 };
	return s;
}

static void list_entries(struct exchange *exchange, const char *dir, const struct names *names)
{
	struct buf b = { 0 };
	bool cut = names->cut || names->n > LIST_MAX;

	jw_arr(&b);
	for (size_t i = 0; i < names->n && i < LIST_MAX; i++) {
		char *path = path_join(dir, names->v[i]);
		struct err gone = { 0 };
		struct stat st;

		if (look(path, &st, &gone) == 0)
			add_info(&b, str_of(names->v[i]), &st);
		free(path);
	}
	jw_arr_end(&b);
	exchange_reply(exchange, 200, "application/json; charset=utf-8",
	               cut ? TOOLBOX_CUT_FIELD : NULL, buf_str(&b));
	buf_free(&b);
}

void files_list(struct exchange *exchange, const struct toolbox *t)
{
	struct names names = { 0 };
	struct buf path = { 0 };
	struct err e = { 0 };

	(void)t;
	if (!exchange_query_maybe(exchange, "path", &path))
		buf_reset(&path);
	if (!path.n)
		buf_addc(&path, '.');
	if (names_read(buf_cstr(&path), &names, &e) < 0)
		exchange_fail_err(exchange, &e);
	else
		list_entries(exchange, buf_cstr(&path), &names);
	names_free(&names);
	buf_free(&path);
}

void files_info(struct exchange *exchange, const struct toolbox *t)
{
	struct buf path = { 0 }, b = { 0 };
	struct err e = { 0 };
	struct stat st;

	(void)t;
	if (exchange_query(exchange, "path", &path)) {
		if (look(buf_cstr(&path), &st, &e) < 0) {
			exchange_fail_err(exchange, &e);
		} else {
			add_info(&b, last_part(buf_cstr(&path)), &st);
			exchange_json(exchange, 200, &b);
		}
	}
	buf_free(&path);
}

static int delete_it(const char *path, bool recursive, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_sys(e, errno, "%s", path);
	if (S_ISDIR(st.st_mode) && !recursive)
		return err_set(e, ERR_REFUSED, 0,
		               "%s is a folder: add recursive=true to delete it and all in it",
		               path);
	if (S_ISDIR(st.st_mode))
		return file_remove_tree(path, e);
	return unlink(path) < 0 ? err_sys(e, errno, "delete %s", path) : 0;
}

void files_delete(struct exchange *exchange, const struct toolbox *t)
{
	struct buf path = { 0 }, flag = { 0 };
	struct err e = { 0 };
	bool recursive = exchange_query_maybe(exchange, "recursive", &flag) &&
	                 str_eq(buf_str(&flag), "true");

	(void)t;
	if (exchange_query(exchange, "path", &path)) {
		if (delete_it(buf_cstr(&path), recursive, &e) < 0)
			exchange_fail_err(exchange, &e);
		else
			exchange_empty(exchange, 204);
	}
	buf_free(&path);
	buf_free(&flag);
}

/* Octal digits. False: none, or more than a mode has. */
static bool parse_mode(struct str s, mode_t *mode)
{
	mode_t m = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '7' || m > MODE_MAX)
			return false;
		m = m * 8 + (mode_t)(s.p[i] - '0');
	}
	*mode = m;
	return s.n > 0 && m <= MODE_MAX;
}

/* False: it was answered. The mode stays what it was where the query names none. */
static bool query_mode(struct exchange *exchange, mode_t *mode)
{
	struct buf text = { 0 };
	bool ok = !exchange_query_maybe(exchange, "mode", &text) ||
	          parse_mode(buf_str(&text), mode);

	if (!ok)
		exchange_fail(exchange, 400, "mode is \"%.40s\", not octal digits such as 0755",
		              buf_cstr(&text));
	buf_free(&text);
	return ok;
}

void files_folder(struct exchange *exchange, const struct toolbox *t)
{
	struct buf path = { 0 };
	struct err e = { 0 };
	mode_t mode = 0755;

	(void)t;
	if (exchange_query(exchange, "path", &path) && query_mode(exchange, &mode)) {
		bool is_new = !file_exists(buf_cstr(&path));

		if (file_mkdirs(buf_cstr(&path), mode, &e) == 0 && is_new &&
		    chmod(buf_cstr(&path), mode) < 0)
			err_sys(&e, errno, "set the mode of %s", buf_cstr(&path));
		if (e.kind)
			exchange_fail(exchange, 400, "%s", e.msg);
		else
			exchange_empty(exchange, 201);
	}
	buf_free(&path);
}

/* From one file system to another. */
static int copy_over(const char *from, const char *to, struct err *e)
{
	const char *const argv[] = { "mv", "-n", "--", from, to, NULL };
	int status = 0;

	if (proc_run(&(struct proc_spawn){ .argv = argv }, deadline_in_ms(MOVE_MS), &status, e) < 0)
		return err_wrap(e, "move %s to another file system", from);
	return status ? err_set(e, ERR_OTHER, 0, "%s cannot be moved to %s", from, to) : 0;
}

static int move(const char *from, const char *to, struct err *e)
{
	struct stat st;

	if (lstat(from, &st) < 0)
		return err_sys(e, errno, "%s", from);
	if (lstat(to, &st) == 0)
		return err_set(e, ERR_EXISTS, 0, "%s is there already", to);
	if (rename(from, to) == 0)
		return 0;
	if (errno == EXDEV)
		return copy_over(from, to, e);
	if (errno == ENOENT) /* what is to be moved is there */
		return err_set(e, ERR_REFUSED, 0, "the folder of %s does not exist", to);
	return err_sys(e, errno, "move %s to %s", from, to);
}

void files_move(struct exchange *exchange, const struct toolbox *t)
{
	struct buf from = { 0 }, to = { 0 };
	struct err e = { 0 };

	(void)t;
	if (exchange_query(exchange, "source", &from) &&
	    exchange_query(exchange, "destination", &to)) {
		if (move(buf_cstr(&from), buf_cstr(&to), &e) < 0)
			exchange_fail_err(exchange, &e);
		else
			exchange_empty(exchange, 200);
	}
	buf_free(&from);
	buf_free(&to);
}

/* A number or a name. False: it was answered. */
static bool query_id(struct exchange *exchange, const char *name, bool is_group, long *id)
{
	struct buf text = { 0 };
	const struct passwd *user;
	const struct group *group;
	int64_t number = -1;

	if (!exchange_query_maybe(exchange, name, &text)) {
		buf_free(&text);
		return true;
	}
	if (str_to_i64(buf_str(&text), 0, UINT32_MAX - 1, &number))
		;
	else if (is_group && (group = getgrnam(buf_cstr(&text))) != NULL)
		number = group->gr_gid;
	else if (!is_group && (user = getpwnam(buf_cstr(&text))) != NULL)
		number = user->pw_uid;
	if (number < 0)
		exchange_fail(exchange, 400, "there is no %s \"%.80s\"",
		              is_group ? "group" : "user", buf_cstr(&text));
	*id = number;
	buf_free(&text);
	return number >= 0;
}

static int set_permissions(const char *path, mode_t mode, long uid, long gid, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(e, errno, "%s", path);
	/* The owner first: a change of it takes set-id bits away. */
	if ((uid >= 0 || gid >= 0) && chown(path, (uid_t)uid, (gid_t)gid) < 0)
		return err_sys(e, errno, "change the owner of %s", path);
	if (mode <= MODE_MAX && chmod(path, mode) < 0)
		return err_sys(e, errno, "change the mode of %s", path);
	return 0;
}

void files_permissions(struct exchange *exchange, const struct toolbox *t)
{
	struct buf path = { 0 };
	struct err e = { 0 };
	mode_t mode = MODE_MAX + 1;
	long uid = -1, gid = -1;

	(void)t;
	if (exchange_query(exchange, "path", &path) && query_mode(exchange, &mode) &&
	    query_id(exchange, "owner", false, &uid) && query_id(exchange, "group", true, &gid)) {
		if (set_permissions(buf_cstr(&path), mode, uid, gid, &e) < 0)
			exchange_fail_err(exchange, &e);
		else
			exchange_empty(exchange, 200);
	}
	buf_free(&path);
}
