/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewriting runner.ini: only the lines of the changed keys are touched. Afterwards the new text is
 * read the way `serve` will read it, and each change must come back as it was given.
 */
#include "base/file.h"
#include "base/mem.h"
#include "host/config_internal.h"
#include "host/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char fresh[] =
	"# Settings of daytona-runner. Comments and order are kept by `daytona-runner configure`.\n";

bool config_split_name(const char *full, struct buf *head, const char **key)
{
	const char *dot = strncmp(full, "provider \"", 10) == 0 ? strstr(full + 10, "\".")
	                                                        : strchr(full, '.');

	if (!dot)
		return false;
	if (*dot == '"')
		dot++;
	buf_add(head, full, (size_t)(dot - full));
	*key = dot + 1;
	return **key != '\0' && head->n > 0;
}

enum line_kind { LINE_OTHER, LINE_HEAD, LINE_SETTING };

/* As inih sees a line. what: name of the section or key. */
static enum line_kind classify(struct str line, struct str *what)
{
	size_t n = 0;

	if (str_starts(line, "\xef\xbb\xbf"))
		line = (struct str){ line.p + 3, line.n - 3 };
	line = str_trim(line);
	if (line.n == 0 || line.p[0] == ';' || line.p[0] == '#')
		return LINE_OTHER;
	if (line.p[0] == '[') {
		while (n < line.n && line.p[n] != ']')
			n++;
		*what = (struct str){ line.p + 1, n - 1 };
		return LINE_HEAD;
	}
	while (n < line.n && line.p[n] != '=' && line.p[n] != ':')
		n++;
	*what = str_trim((struct str){ line.p, n });
	return LINE_SETTING;
}

struct edit {
	const char *head, *key, *value; /* value NULL or "": remove */
	const char *newline;
};

static void add_setting(struct buf *out, const struct edit *ed)
{
	buf_addf(out, "%s = %s%s", ed->key, ed->value, ed->newline);
}

/* How many lines set the key; *end: offset behind the last line of the section that is not
 * blank. */
static unsigned survey(struct str text, const struct edit *ed, size_t *end, bool *section_exists)
{
	struct str rest = text, line, what;
	bool inside = false;
	unsigned found = 0;

	while (str_next(&rest, '\n', &line)) {
		enum line_kind kind = classify(line, &what);

		if (kind == LINE_HEAD)
			inside = str_eq(what, ed->head);
		if (!inside)
			continue;
		*section_exists = true;
		if (kind == LINE_SETTING && str_eq(what, ed->key))
			found++;
		if (str_trim(line).n)
			*end = (size_t)(line.p + line.n - text.p);
	}
	return found;
}

static void apply(struct buf *text, const struct edit *ed)
{
	bool section_exists = false, inside = false;
	bool set = ed->value && *ed->value;
	size_t end = 0;
	unsigned left = survey(buf_str(text), ed, &end, &section_exists);
	bool insert = set && left == 0;
	struct str rest = buf_str(text), line, what;
	struct buf out = { 0 };

	while (str_next(&rest, '\n', &line)) {
		enum line_kind kind = classify(line, &what);

		if (line.n == 0 && !rest.p)
			break; /* what str_next sees behind the last newline */
		if (kind == LINE_HEAD)
			inside = str_eq(what, ed->head);
		if (inside && kind == LINE_SETTING && str_eq(what, ed->key)) {
			/* Of several the last counts; the others would only mislead. */
			if (--left == 0 && set)
				add_setting(&out, ed);
		} else {
			buf_add_str(&out, line); /* with its CR, if any */
			buf_addc(&out, '\n');
		}
		if (insert && section_exists && (size_t)(line.p + line.n - text->p) == end)
			add_setting(&out, ed);
	}
	if (insert && !section_exists) {
		if (out.n)
			buf_adds(&out, ed->newline);
		buf_addf(&out, "[%s]%s", ed->head, ed->newline);
		add_setting(&out, ed);
	}
	buf_wipe(text);
	*text = out;
}

static int collect(void *arg, const struct config_line *l, struct err *e)
{
	struct kv *seen = arg;
	struct buf name = { 0 };

	(void)e;
	if (l->provider)
		buf_addf(&name, "provider \"%s\".%s", l->provider, l->key);
	else
		buf_addf(&name, "%s.%s", l->section, l->key);
	kv_set(seen, buf_cstr(&name), l->value);
	buf_free(&name);
	return 0;
}

static int read_back(const char *label, struct str text, const struct kv *changes, struct err *e)
{
	struct kv seen = { 0 };
	int rc = config_scan(label, text, collect, &seen, e);

	for (size_t i = 0; i < changes->n && rc == 0; i++) {
		const char *want = changes->pairs[i].value,
			   *have = kv_get(&seen, changes->pairs[i].key);

		if (strcmp(want ? want : "", have ? have : "") != 0)
			rc = err_set(
				e, ERR_CONFIG, 0,
				"the value of %s cannot be kept in a file: it begins or ends with a blank, or has a line break",
				changes->pairs[i].key);
	}
	kv_free(&seen);
	return rc;
}

static int check_change(const char *name, const char *value, struct buf *head, const char **key,
                        struct err *e)
{
	int index = config_key_index(name);

	if (!config_split_name(name, head, key))
		return err_set(e, ERR_CONFIG, 0, "there is no setting \"%s\"", name);
	if (strncmp(name, "provider \"", 10) != 0 && index < 0)
		return err_set(e, ERR_CONFIG, 0, "there is no setting \"%s\"", name);
	for (const char *p = value ? value : ""; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return err_set(e, ERR_CONFIG, 0,
			               "the value of %s holds a control character", name);
	}
	if (index >= 0 && value && *value)
		return config_check_value((size_t)index, value, e);
	return 0;
}

static int edit_all(struct buf *text, const struct kv *changes, struct err *e)
{
	const char *newline = str_find(buf_str(text), "\r\n") ? "\r\n" : "\n";

	for (size_t i = 0; i < changes->n; i++) {
		struct edit ed = { .value = changes->pairs[i].value, .newline = newline };
		struct buf head = { 0 };
		int rc = check_change(changes->pairs[i].key, ed.value, &head, &ed.key, e);

		if (rc == 0) {
			ed.head = buf_cstr(&head);
			apply(text, &ed);
		}
		buf_free(&head);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int load_text(const char *file, struct buf *text, struct err *e)
{
	if (file_read(file, CONFIG_FILE_MAX, text, e) == 0)
		return 0;
	if (e->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(e);
	buf_adds(text, fresh);
	return 0;
}

char *config_keep_ca(const char *dir_or_null, struct str pem, struct err *e)
{
	char *dir = dir_or_null && *dir_or_null ? mem_dup(dir_or_null) : config_default_dir(e);
	struct buf name = { 0 };
	unsigned char hash[32];
	char *file = NULL;

	crypto_sha256(pem.p, pem.n, hash);
	buf_adds(&name, CONFIG_CA_PREFIX);
	buf_add_hex(&name, hash, 8);
	buf_adds(&name, ".pem");
	if (dir && file_mkdirs(dir, 0700, e) == 0) {
		file = path_join(dir, buf_cstr(&name));
		if (file_replace(file, 0600, pem, e) < 0) {
			free(file);
			file = NULL;
		}
	}
	buf_free(&name);
	free(dir);
	return file;
}

int config_save(const char *dir_or_null, const struct kv *changes, struct err *e)
{
	char *dir = dir_or_null && *dir_or_null ? mem_dup(dir_or_null) : config_default_dir(e);
	struct buf text = { 0 };
	char *file;
	int rc = -1;

	if (!dir)
		return -1;
	file = path_join(dir, "runner.ini");
	paths_sweep_config(file, true);
	if (load_text(file, &text, e) == 0 && edit_all(&text, changes, e) == 0 &&
	    read_back(file, buf_str(&text), changes, e) == 0 && file_mkdirs(dir, 0700, e) == 0)
		rc = file_replace(file, 0600, buf_str(&text), e);
	buf_wipe(&text);
	free(file);
	free(dir);
	return rc < 0 ? err_wrap(e, "save the configuration") : 0;
}
