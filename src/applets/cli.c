/* SPDX-License-Identifier: Apache-2.0 */
/* Settings as options, and output. See cli.h. */
#include "applets/cli.h"

#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define JSON_MAX (64u << 20)

static bool is_given(const char *flag, int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		struct str a = str_of(argv[i]);
		size_t n = strlen(flag);

		if (!str_starts(a, "--"))
			continue;
		a = (struct str){ a.p + 2, a.n - 2 };
		if (str_starts(a, "no-") && !str_starts(a, flag))
			a = (struct str){ a.p + 3, a.n - 3 };
		if (str_starts(a, flag) && (a.n == n || a.p[n] == '='))
			return true;
	}
	return false;
}

const struct opt *cli_opts(struct cli_flags *f, const struct opt *own, bool secrets, int argc,
                           char **argv)
{
	size_t n = 0;

	assert(config_keys_n <= CLI_KEYS_MAX);
	memset(f, 0, sizeof(*f));
	for (; own[n].type != OPT_TYPE_END; n++) {
		assert(n + 2 < CLI_OWN_MAX);
		f->opts[n] = own[n];
	}
	f->opts[n++] = (struct opt)OPT_GROUP("Settings");
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *key = &config_keys[i];

		struct opt *o = &f->opts[n];

		if (key->type == CFG_SECRET && !secrets)
			continue;
		*o = (struct opt){ .text = key->flag,
			           .to = &f->text[i],
			           .type = OPT_TYPE_STR,
			           .secret = key->type == CFG_SECRET };
		n++;
		if (key->type == CFG_BOOL) {
			f->on[i] = strcmp(key->fallback, "true") == 0;
			f->given[i] = is_given(key->flag, argc, argv);
			o->type = OPT_TYPE_FLAG;
			o->to = &f->on[i];
		}
	}
	f->opts[n] = (struct opt)OPT_END;
	return f->opts;
}

void cli_given(const struct cli_flags *f, struct kv *out)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *key = &config_keys[i];
		const char *value = key->type != CFG_BOOL ? f->text[i]
		                    : !f->given[i]        ? NULL
		                    : f->on[i]            ? "true"
		                                          : "false";
		struct buf name = { 0 };

		if (!value)
			continue;
		buf_addf(&name, "%s.%s", key->section, key->name);
		kv_set(out, buf_cstr(&name), value);
		buf_free(&name);
	}
}

int cli_look(const char *applet, struct config *c, const char *dir, const struct kv *flags,
             struct err *e)
{
	int rc = config_look(c, dir, flags, e);
	struct str rest = buf_str(&c->left_out), line;

	while (str_next(&rest, '\n', &line)) {
		struct buf text = { 0 };

		buf_addf(&text, "%.*s; goes on without it", STR_ARG(line));
		if (line.n)
			log_say(applet, buf_cstr(&text));
		buf_free(&text);
	}
	return rc;
}

int cli_take_key(struct kv *values, bool now, struct err *e)
{
	const char *file = kv_get(values, "server.key_file");
	struct buf key = { 0 };
	int rc;

	if (!file)
		return 0;
	if (kv_get(values, "server.key"))
		return err_set(e, ERR_USAGE, 0, "give either --api-key or --api-key-file");
	if (!now && strcmp(file, "-") != 0)
		return 0;
	rc = config_read_secret(file, &key, e);
	if (rc == 0) {
		kv_set(values, "server.key", buf_cstr(&key));
		(void)kv_del(values, "server.key_file");
	}
	buf_wipe(&key);
	return rc < 0 ? err_wrap(e, "--api-key-file") : 0;
}

void cli_absolute_paths(struct kv *values)
{
	char *cwd = getcwd(NULL, 0);

	for (size_t i = 0; cwd && i < values->n; i++) {
		const struct kv_pair *p = &values->pairs[i];
		int key = config_key_index(p->key);

		if (key >= 0 && config_keys[key].type == CFG_PATH && p->value && *p->value &&
		    p->value[0] != '/') {
			char *path = path_join(cwd, p->value);

			kv_set(values, p->key, path);
			free(path);
		}
	}
	free(cwd);
}

enum cli_format cli_format(const char *usage, const char *format)
{
	if (!format)
		return CLI_TEXT;
	if (strcmp(format, "json") == 0)
		return CLI_JSON;
	if (strcmp(format, "yaml") == 0)
		return CLI_YAML;
	opts_misuse(usage, "format is json or yaml, not \"%s\"", format);
}

static void indent(int depth)
{
	printf("%*s", depth * 2, "");
}

static bool is_container(struct json v)
{
	return (json_is_object(v) || json_is_array(v)) && json_len(v) > 0;
}

/* JSON, which may hold control characters above the ASCII ones: no terminal sees them. */
static void put_json(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0)
			c = (unsigned char)s.p[++i];
		else if (c != 0x7f) {
			putchar(c);
			continue;
		}
		printf("\\u%04x", c);
	}
}

static bool is_plain_key(struct str s)
{
	/* What YAML takes for something else. */
	static const char *const words[] = { "y",   "n",    "no",    "on",  "yes",
		                             "off", "true", "false", "null" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_ieq(s, words[i]))
			return false;
	}
	return s.n && strspn(s.p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") == s.n;
}

static void print_key(enum cli_format f, struct json member)
{
	struct buf key = { 0 }, quoted = { 0 };

	json_key(member, &key);
	if (f == CLI_YAML && is_plain_key(buf_str(&key)))
		buf_add_str(&quoted, buf_str(&key));
	else
		jw_str(&quoted, buf_str(&key));
	put_json(buf_str(&quoted));
	putchar(':');
	buf_free(&quoted);
	buf_free(&key);
}

static void print_json(struct json v, int depth)
{
	bool object = json_is_object(v), first = true;

	if (!is_container(v)) {
		put_json(json_raw(v));
		return;
	}
	putchar(object ? '{' : '[');
	for (struct json member = json_first(v); json_present(member); member = json_next(member)) {
		fputs(first ? "\n" : ",\n", stdout);
		first = false;
		indent(depth + 1);
		if (object) {
			print_key(CLI_JSON, member);
			putchar(' ');
		}
		print_json(member, depth + 1);
	}
	putchar('\n');
	indent(depth);
	putchar(object ? '}' : ']');
}

/* Strings stay quoted as in JSON, which YAML reads. The first line of an entry of a
 * list follows its dash. */
static void print_yaml(struct json v, int depth, bool after_dash)
{
	bool object = json_is_object(v);

	if (!is_container(v)) {
		put_json(json_raw(v));
		putchar('\n');
		return;
	}
	for (struct json member = json_first(v); json_present(member); member = json_next(member)) {
		if (!after_dash)
			indent(depth);
		after_dash = false;
		if (object) {
			print_key(CLI_YAML, member);
			putchar(is_container(member) ? '\n' : ' ');
			print_yaml(member, depth + 1, false);
		} else {
			fputs("- ", stdout);
			print_yaml(member, depth + 1, true);
		}
	}
}

void cli_print(enum cli_format f, struct str json)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(json, JSON_MAX, &e);

	assert(doc); /* we wrote it */
	if (f == CLI_YAML) {
		print_yaml(json_root(doc), 0, false);
	} else {
		print_json(json_root(doc), 0);
		putchar('\n');
	}
	json_doc_free(doc);
}

void cli_put(const char *s)
{
	struct buf b = { 0 };

	buf_add_printable(&b, str_of(s), false);
	fputs(buf_cstr(&b), stdout);
	buf_free(&b);
}

int cli_signals(struct err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? err_sys(e, errno, "signalfd") : fd;
}
