/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes without a provider, for black-box tests:
 *   sandbox_run start [OPTION]... -- ARG...    prints "init PID START"; ARG… are those of the program
 *   sandbox_run enter [OPTION]... PID START -- COMMAND...
 *   sandbox_run alive|stop PID START [GRACE_MS]
 *   sandbox_run remove [OPTION]... PATH
 *   sandbox_run map                            what this user has
 * Options: -m single|tools|BASE (of a range), -l LOWER (again for each), -s (shifted), -u UPPER, -w WORK, -p PLAIN,
 * -P POINT, -t TMP, -b FROM:TO[:ro], -B DIR:BELOW:TO (a mount that is asked for), -o OWNED, -n host|private|none, -U USER, -x PROGRAM, -c CWD, -O OUTPUT, -e K=V,
 * -H HIDDEN, -S (strict), -A (looks, when it may be admitted, at whose namespaces it is in).
 */
#include "base/file.h"
#include "base/mem.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 64

struct run {
	struct userns_map map;
	struct sandbox s;
	struct sandbox_bind binds[MANY];
	struct sandbox_mount mounts[MANY];
	const char *lower[MANY], *env[MANY], *hide[MANY];
	size_t n_env;
};

static void say(void *arg, const char *line)
{
	(void)arg;
	printf("say %s\n", line);
}

static struct sandbox_bind parse_bind(char *text)
{
	struct sandbox_bind b = { .from = text };
	char *to = strchr(text, ':'), *how = to ? strchr(to + 1, ':') : NULL;

	if (how)
		*how = '\0';
	if (to)
		*to = '\0';
	b.to = to ? to + 1 : text;
	b.read_only = how != NULL;
	return b;
}

static struct sandbox_mount parse_mount(char *text)
{
	struct sandbox_mount m = { .dir = text };
	char *below = strchr(text, ':'), *to = below ? strchr(below + 1, ':') : NULL;

	if (to)
		*below = *to = '\0';
	m.below = to ? below + 1 : "";
	m.to = to ? to + 1 : text;
	return m;
}

static void take_map(struct userns_map *map, const char *text)
{
	struct buf why = { 0 };
	int64_t base;

	*map = (struct userns_map){ .how = MAP_SINGLE };
	if (strcmp(text, "tools") == 0)
		userns_ordinary(map, &why);
	else if (str_to_i64(str_of(text), 1, INT32_MAX, &base))
		*map = (struct userns_map){ MAP_RANGE, (uint32_t)base, (uint32_t)base, USERNS_RANGE,
			                    USERNS_RANGE };
	buf_free(&why);
}

static int look(void *arg, struct proc_id init, struct err *e)
{
	char path[40];
	struct stat st;

	(void)arg;
	snprintf(path, sizeof(path), "/proc/%ld/ns/user", (long)init.pid);
	return stat(path, &st) < 0 ? err_sys(e, errno, "look at %s", path) : 0;
}

static void take(struct run *r, int c, char *value)
{
	struct sandbox *s = &r->s;

	switch (c) {
	case 'm':
		take_map(&r->map, value);
		break;
	case 'l':
		r->lower[s->n_lower++] = value;
		break;
	case 's':
		s->shift = true;
		break;
	case 'u':
		s->upper = value;
		break;
	case 'w':
		s->work = value;
		break;
	case 'p':
		s->plain = value;
		break;
	case 'P':
		s->point = value;
		break;
	case 't':
		s->tmp = value;
		break;
	case 'b':
		r->binds[s->n_binds++] = parse_bind(value);
		break;
	case 'B':
		r->mounts[s->n_mounts++] = parse_mount(value);
		break;
	case 'o':
		s->owned = value;
		break;
	case 'U':
		s->user = value;
		break;
	case 'x':
		s->program = value;
		break;
	case 'c':
		s->cwd = value;
		break;
	case 'H':
		r->hide[s->n_hide++] = value;
		break;
	case 'S':
		s->strict = true;
		break;
	case 'A':
		s->admit = look;
		prctl(PR_SET_DUMPABLE, 0); /* as a runner does */
		break;
	case 'e':
		r->env[r->n_env++] = value;
		break;
	case 'O':
		s->output = open(value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		break;
	default:
		s->net = strcmp(value, "host") == 0   ? SANDBOX_NET_HOST
		         : strcmp(value, "none") == 0 ? SANDBOX_NET_NONE
		                                      : SANDBOX_NET_PRIVATE;
	}
}

static bool identity(char **argv, struct proc_id *id)
{
	int64_t pid, start;

	if (!argv[0] || !argv[1] || !str_to_i64(str_of(argv[0]), 1, INT32_MAX, &pid) ||
	    !str_to_i64(str_of(argv[1]), 0, INT64_MAX, &start))
		return false;
	*id = (struct proc_id){ (pid_t)pid, (uint64_t)start };
	return true;
}

static int start(struct run *r, char **argv, struct err *e)
{
	struct proc_id init;

	r->s.argv = (const char *const *)argv;
	if (sandbox_start(&r->s, deadline_in_ms(60000), &init, e) < 0)
		return -1;
	printf("init %ld %llu\n", (long)init.pid, (unsigned long long)init.start);
	return 0;
}

static int enter(struct run *r, char **argv, struct err *e)
{
	struct sandbox_command c = { .map = &r->map,
		                     .user = r->s.user,
		                     .env = r->env,
		                     .cwd = r->s.cwd,
		                     .std = { SPAWN_OURS, SPAWN_OURS, SPAWN_OURS } };
	struct spawned p;
	int status;

	if (!identity(argv, &c.init))
		return err_set(e, ERR_USAGE, 0, "PID START");
	c.argv = (const char *const *)argv + 2;
	if (c.argv[0] && strcmp(c.argv[0], "--") == 0)
		c.argv++;
	if (sandbox_enter(&c, deadline_in_ms(60000), &p, e) < 0)
		return -1;
	spawn_collect(&p, &status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int act(struct run *r, const char *verb, char **argv, struct err *e)
{
	struct proc_id id;
	struct buf why = { 0 };
	int64_t grace = 0;

	if (strcmp(verb, "start") == 0)
		return start(r, argv, e);
	if (strcmp(verb, "enter") == 0)
		return enter(r, argv, e);
	if (strcmp(verb, "map") == 0) {
		userns_ordinary(&r->map, &why);
		printf("%d %s\n", (int)r->map.how, buf_cstr(&why));
		buf_free(&why);
		return 0;
	}
	if (strcmp(verb, "remove") == 0)
		return sandbox_remove(&r->map, argv[0], deadline_in_ms(60000), e);
	if (!identity(argv, &id))
		return err_set(e, ERR_USAGE, 0, "start|enter|alive|stop|remove|map …");
	if (strcmp(verb, "alive") == 0)
		return sandbox_alive(id) ? 0 : 1;
	if (argv[2])
		str_to_i64(str_of(argv[2]), 0, 60000, &grace);
	return sandbox_stop(id, grace, deadline_in_ms(30000), e);
}

int main(int argc, char **argv)
{
	struct run r = { .s = { .say = say, .hostname = "sandbox", .user = "", .output = 1 } };
	struct err e = { 0 };
	int c, rc;

	signal(SIGPIPE, SIG_IGN);
	r.s.map = &r.map;
	r.s.lower = r.lower;
	r.s.binds = r.binds;
	r.s.mounts = r.mounts;
	r.s.env = r.env;
	r.s.hide = r.hide;
	r.s.output = SPAWN_OURS;
	if (argc < 2)
		return 2;
	optind = 2;
	while ((c = getopt(argc, argv, "+m:l:su:w:p:P:t:b:B:o:n:U:x:c:O:e:H:SA")) != -1)
		take(&r, c, optarg);
	rc = act(&r, argv[1], argv + optind, &e);
	if (e.kind != ERR_NONE) {
		printf("error %d: %s\n", (int)e.kind, e.msg);
		return 1;
	}
	return rc;
}
