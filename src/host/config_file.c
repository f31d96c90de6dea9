/* SPDX-License-Identifier: Apache-2.0 */
/* Reading runner.ini through inih, secrets' files, and the reference runner's config.json. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "host/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SECRET_MAX 4096
#define SECTION_MAX 48 /* inih cuts longer names without a word */
#define IMPORT_MAX (1u << 20)

struct scan {
	int (*each)(void *arg, const struct config_line *l, struct err *e);
	void *arg;
	struct err *e;
	bool failed; /* e is set */
	char provider[SECTION_MAX + 1];
};

/* The name in `provider "name"`, or false. */
static bool provider_name(const char *section, char out[SECTION_MAX + 1])
{
	struct str s = str_of(section);

	if (!str_starts(s, "provider"))
		return false;
	s = str_trim((struct str){ s.p + 8, s.n - 8 });
	if (s.n < 3 || s.p[0] != '"' || s.p[s.n - 1] != '"')
		return false;
	s = (struct str){ s.p + 1, s.n - 2 };
	if (!str_is_id(s))
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return true;
}

static int scan_section(struct scan *s, const char *section)
{
	s->provider[0] = '\0';
	if (strcmp(section, "runner") == 0 || strcmp(section, "server") == 0 ||
	    provider_name(section, s->provider))
		return 1;
	s->failed = true;
	if (strlen(section) > SECTION_MAX)
		err_set(s->e, ERR_CONFIG, 0, "section name \"%s…\" is too long", section);
	else
		err_set(s->e, ERR_CONFIG, 0,
		        "unknown section [%s]; known: [runner], [server], [provider \"NAME\"]",
		        section);
	return 0;
}

static int scan_value(struct scan *s, const char *section, const char *key, const char *value,
                      int line)
{
	const struct config_line l = { .section = s->provider[0] ? "provider" : section,
		                       .provider = s->provider[0] ? s->provider : NULL,
		                       .key = key,
		                       .value = value,
		                       .line = line };

	if (!*section)
		err_set(s->e, ERR_CONFIG, 0,
		        "\"%s\" stands before the first section, such as [runner]", key);
	else if (!*key)
		err_set(s->e, ERR_CONFIG, 0, "there is no key before \"=\"");
	else if (s->each(s->arg, &l, s->e) == 0)
		return 1;
	s->failed = true;
	return 0;
}

/* inih calls it for a setting, and for the head of a section with name NULL. */
static int on_line(void *arg, const char *section, const char *name, const char *value, int line)
{
	return name ? scan_value(arg, section, name, value, line) : scan_section(arg, section);
}

static struct str line_of(struct str text, int line)
{
	struct str l = { 0 };

	while (line-- > 0 && str_next(&text, '\n', &l))
		;
	return l;
}

static int check_bytes(const char *label, struct str text, struct err *e)
{
	struct str line;

	for (int n = 1; str_next(&text, '\n', &line); n++) {
		if (memchr(line.p ? line.p : "", '\0', line.n))
			return n * err_set(e, ERR_CONFIG, 0,
			                   "%s:%d: holds a NUL byte; the file is damaged", label,
			                   n);
		if (line.n >= INI_MAX_LINE - 1)
			return n * err_set(e, ERR_CONFIG, 0,
			                   "%s:%d: line too long (%zu bytes, at most %d)", label, n,
			                   line.n, INI_MAX_LINE - 2);
	}
	return 0;
}

/* fgets(3) over bytes that need no NUL at their end. */
static char *read_line(char *out, int size, void *stream)
{
	struct str *rest = stream;
	size_t room = size > 1 ? (size_t)size - 1 : 0, n;
	const char *newline;

	if (rest->n == 0 || room == 0)
		return NULL;
	n = rest->n < room ? rest->n : room;
	newline = memchr(rest->p, '\n', n);
	if (newline)
		n = (size_t)(newline - rest->p) + 1;
	memcpy(out, rest->p, n);
	out[n] = '\0';
	rest->p += n;
	rest->n -= n;
	return out;
}

int config_scan(const char *label, struct str text,
                int (*each)(void *arg, const struct config_line *l, struct err *e), void *arg,
                struct err *e)
{
	struct scan s = { .each = each, .arg = arg, .e = e };
	struct str rest = text;
	int line;

	line = check_bytes(label, text, e);
	if (line < 0)
		return line;
	line = ini_parse_stream(read_line, &rest, on_line, &s);
	if (line == 0)
		return 0;
	if (line < 0)
		return err_set(e, ERR_OTHER, 0, "%s: out of memory", label);
	if (!s.failed) {
		struct str bad = str_trim(line_of(text, line));

		if (bad.n > 60)
			bad.n = 60;
		/* What is not understood may be a secret: only the beginning of a section head
		 * is shown. */
		err_set(e, ERR_CONFIG, 0, "%s",
		        bad.n && bad.p[0] == '[' ? "the section has no closing \"]\""
		                                 : "this is no \"key = value\" line");
	}
	return line * err_wrap(e, "%s:%d", label, line);
}

int config_check_private(const char *path, struct err *e)
{
	struct statvfs vfs;
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(e, errno, "stat %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_CONFIG, 0, "%s is not a regular file", path);
	if ((st.st_mode & 0077) == 0 && (st.st_uid == geteuid() || st.st_uid == 0))
		return 0;
	/* Nobody can change the mode there, and it is how orchestrators hand out secrets. */
	if (statvfs(path, &vfs) == 0 && (vfs.f_flag & ST_RDONLY))
		return 0;
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(e, ERR_CONFIG, 0,
		               "%s holds a secret and belongs to user id %u, not to us or root",
		               path, (unsigned)st.st_uid);
	return err_set(e, ERR_CONFIG, 0, "%s holds a secret but has mode %04o; run: chmod 600 %s",
	               path, (unsigned)(st.st_mode & 07777), path);
}

/* Whoever writes it need not close it. */
static int read_line_of_input(struct buf *raw, struct err *e)
{
	char chunk[512];
	ssize_t n;

	while ((n = read(0, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "read the secret from standard input");
		if (buf_add_max(raw, chunk, (size_t)n, SECRET_MAX, e) < 0)
			return err_wrap(e, "standard input");
		if (memchr(chunk, '\n', (size_t)n))
			break;
	}
	mem_wipe(chunk, sizeof(chunk));
	buf_cut(raw, (size_t)(strcspn(buf_cstr(raw), "\n")));
	return 0;
}

int config_check_secret(struct str line, const char *where, struct buf *out, struct err *e)
{
	if (str_starts(line, "\xEF\xBB\xBF")) /* some editors' mark of UTF-8 */
		line = (struct str){ line.p + 3, line.n - 3 };
	/* A second line is no part of a secret, but a mistake. */
	line = str_trim(line);
	if (line.n == 0)
		return err_set(e, ERR_CONFIG, 0, "%s is empty", where);
	for (size_t i = 0; i < line.n; i++) {
		if ((unsigned char)line.p[i] < ' ' || line.p[i] == 0x7f)
			return err_set(
				e, ERR_CONFIG, 0,
				"%s holds a line break or control character (byte 0x%02x) inside the secret",
				where, (unsigned)(unsigned char)line.p[i]);
	}
	buf_add_str(out, line);
	return 0;
}

int config_read_secret(const char *path, struct buf *out, struct err *e)
{
	bool input = strcmp(path, "-") == 0;
	struct buf raw = { 0 };
	int rc = -1;

	if (!input && config_check_private(path, e) < 0)
		return -1;
	if (input)
		path = "standard input";
	if ((input ? read_line_of_input(&raw, e) : file_read(path, SECRET_MAX, &raw, e)) == 0) {
		rc = config_check_secret(buf_str(&raw), path, out, e);
	}
	buf_wipe(&raw);
	return rc;
}

static void import_text(struct json v, const char *name, struct kv *changes)
{
	char *s = json_dup(v);

	if (s && *s)
		kv_set(changes, name, s);
	mem_free_secret(s);
}

static void import_number(struct json v, int64_t min, int64_t max, const char *name,
                          struct kv *changes)
{
	struct buf text = { 0 };
	int64_t n;

	if (json_i64(v, min, max, &n)) {
		buf_addf(&text, "%lld", (long long)n);
		kv_set(changes, name, buf_cstr(&text));
	}
	buf_free(&text);
}

static void import_bool(struct json v, const char *name, struct kv *changes)
{
	if (json_is_bool(v))
		kv_set(changes, name, json_bool(v, false) ? "true" : "false");
}

/* providersDir, ClientId, telemetryEnabled and logFile.path have no counterpart here. */
int config_import(const char *json_path, struct kv *changes, struct err *e)
{
	struct buf text = { 0 };
	struct json_doc *doc = NULL;
	struct json root, log;
	int rc = -1;

	if (file_read(json_path, IMPORT_MAX, &text, e) < 0) {
		buf_wipe(&text);
		return -1;
	}
	doc = json_parse(buf_str(&text), IMPORT_MAX, e);
	buf_wipe(&text);
	if (!doc)
		return err_wrap(e, "import %s", json_path);
	root = json_root(doc);
	log = json_get(root, "logFile");
	if (!json_is_object(root) || !json_present(json_get(root, "serverApiUrl"))) {
		err_set(e, ERR_CONFIG, 0,
		        "%s is no configuration of a Daytona runner (there is no serverApiUrl)",
		        json_path);
	} else {
		import_text(json_get(root, "id"), "runner.id", changes);
		import_text(json_get(root, "name"), "runner.name", changes);
		import_text(json_get(root, "serverApiUrl"), "server.url", changes);
		import_text(json_get(root, "serverApiKey"), "server.key", changes);
		import_number(json_get(root, "apiPort"), 0, 65535, "runner.port", changes);
		import_number(json_get(log, "maxSize"), 1, 100000, "runner.log_max_size", changes);
		import_number(json_get(log, "maxBackups"), 0, 1000, "runner.log_max_backups",
		              changes);
		import_number(json_get(log, "maxAge"), 0, 36500, "runner.log_max_age", changes);
		import_bool(json_get(log, "localTime"), "runner.log_local_time", changes);
		import_bool(json_get(log, "compress"), "runner.log_compress", changes);
		rc = 0;
	}
	json_doc_free(doc);
	return rc;
}
