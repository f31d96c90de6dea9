/* SPDX-License-Identifier: Apache-2.0 */
/* image: images on this machine, without a container engine. Names and habits are those of Docker's command line. */
#include "applets/image.h"

#include "applets/applets.h"
#include "applets/show.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/out.h"
#include "host/paths.h"
#include "oci/where.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
	"image {list | pull NAME | load FILE | save NAME... | remove NAME... | prune}\n"
	"Images of containers on this machine, for workspaces that need no container engine. load reads what `docker save` "
	"writes, or an OCI layout, as an archive (also compressed; - is standard input) or a directory. save writes an archive "
	"that Docker loads, to standard output or -o FILE. pull asks the registry also for a name that is here; it logs in with what `docker login` keeps. remove takes names or ids; what no other image and no workspace "
	"needs is deleted. prune removes images by --unused-for and --free, never one that a workspace uses.";

#define SHORT_ID 12

int image_open(struct image *i, struct err *e)
{
	struct unpack_owner owner = unpack_owner_here();
	struct buf dir = { 0 };
	int rc = i->looks ? cli_look("image", &i->config, i->config_dir, NULL, e)
	                  : config_load(&i->config, i->config_dir, NULL, e);

	where_set(i->config.registry_mirrors, i->plain_http ? i->plain_http : i->config.plain_http);
	if (rc == 0) {
		buf_addf(&dir, "%s/images", i->config.state_dir);
		i->dir = buf_take(&dir);
		rc = paths_prepare(i->config.state_dir, e);
	}
	if (rc == 0 && i->platform && !platform_parse(i->platform, &i->platform_text, &i->p))
		rc = err_set(e, ERR_USAGE, 0, "platform is OS/ARCH[/VARIANT], not \"%s\"",
		             i->platform);
	if (rc == 0 && !i->platform)
		i->p = platform_here();
	if (rc == 0)
		rc = imgstore_open(&i->store, i->dir, &owner, deadline_in_ms(IMAGE_LOCK_MS), e);
	return rc;
}

void image_close(struct image *i)
{
	imgstore_close(i->store);
	config_free(&i->config);
	buf_free(&i->platform_text);
	free(i->dir);
}

void image_sweep(const struct image *i)
{
	struct imgstore_keep keep = { .made = true };
	struct err e = { 0 };

	/* Somebody pulls: whoever is last sweeps. */
	if (imgstore_sweep(i->dir, &keep, DEADLINE_PAST, NULL, &e) < 0 && e.kind != ERR_BUSY)
		log_say("image", e.msg);
}

static uint64_t size_of(const struct imgstore *s, const struct stored *i)
{
	uint64_t n = 0;

	for (size_t k = 0; k < i->n_layers; k++)
		n += imgstore_layer_size(s, &i->layers[k]);
	return n;
}

/* As Docker shows sizes: three digits, powers of 1000. */
void image_size_text(uint64_t n, char text[24])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	double v = (double)n;
	size_t u = 0;

	while (v >= 999.5 && u + 1 < ARRAY_LEN(units)) {
		v /= 1000;
		u++;
	}
	snprintf(text, 24, "%.3g%s", v, units[u]);
}

static void age_text(int64_t ms, char text[40])
{
	static const struct {
		int64_t s;
		const char *name;
	} units[] = { { 31536000, "year" }, { 2592000, "month" }, { 604800, "week" },
		      { 86400, "day" },     { 3600, "hour" },     { 60, "minute" },
		      { 1, "second" } };
	int64_t s = (clock_wall_ms() - ms) / 1000;

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		int64_t n = s / units[i].s;

		if (n < 1)
			continue;
		snprintf(text, 40, "%lld %s%s ago", (long long)n, units[i].name, n == 1 ? "" : "s");
		return;
	}
	snprintf(text, 40, "now");
}

/* "debian" and "12", or "<none>" twice for an id. */
static void split_name(const char *full, struct buf *repository, struct buf *tag)
{
	struct digest d;
	const char *cut;

	if (digest_parse(str_of(full), &d)) {
		buf_adds(repository, "<none>");
		buf_adds(tag, "<none>");
		return;
	}
	images_short_name(full, repository);
	cut = strchr(buf_cstr(repository), '@');
	if (!cut)
		cut = strrchr(buf_cstr(repository), ':');
	buf_adds(tag, !cut ? "<none>" : *cut == '@' ? "<none>" : cut + 1);
	if (cut)
		buf_cut(repository, (size_t)(cut - repository->p));
}

static void print_row(const struct imgstore *s, const struct stored *i, struct buf *b)
{
	struct buf repository = { 0 }, tag = { 0 };
	char age[40], size[24];

	split_name(i->name, &repository, &tag);
	age_text(i->added_ms, age);
	image_size_text(size_of(s, i), size);
	buf_addf(b, "%s\t%s\t%.12s\t%s\t%s\n", buf_cstr(&repository), buf_cstr(&tag),
	         digest_hex(&i->config), age, size);
	buf_free(&repository);
	buf_free(&tag);
}

static void print_json(enum cli_format f, const struct imgstore *s, const struct stored *list,
                       size_t n)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (size_t i = 0; i < n; i++) {
		char added[TIME_TEXT_SIZE];

		time_rfc3339(list[i].added_ms, true, false, added);
		jw_obj(&b);
		jw_kstr(&b, "name", list[i].name);
		jw_kstr(&b, "id", list[i].config.text);
		jw_kstr(&b, "manifest", list[i].manifest.text);
		jw_kstr(&b, "added", added);
		jw_kint(&b, "size", (int64_t)size_of(s, &list[i]));
		jw_obj_end(&b);
	}
	jw_arr_end(&b);
	cli_print(f, buf_str(&b));
	buf_free(&b);
}

static int list_images(struct image *i, struct err *e)
{
	struct stored *list;
	size_t n, damaged;
	struct buf b = { 0 };

	if (imgstore_list(i->store, &list, &n, &damaged, e) < 0)
		return -1;
	if (i->quiet)
		for (size_t k = 0; k < n; k++)
			printf("%.*s\n", SHORT_ID, digest_hex(&list[k].config));
	else if (i->format != CLI_TEXT)
		print_json(i->format, i->store, list, n);
	else {
		buf_adds(&b, "REPOSITORY\tTAG\tIMAGE ID\tADDED\tSIZE\n");
		for (size_t k = 0; k < n; k++)
			print_row(i->store, &list[k], &b);
		show_table(buf_str(&b), "11354");
	}
	buf_free(&b);
	stored_list_free(list, n);
	if (damaged)
		return err_set(e, ERR_PARSE, 0, "%zu records in %s/refs are damaged", damaged,
		               i->dir);
	return 0;
}

static void say_loaded(void *arg, const char *name)
{
	const struct image *i = arg;
	struct buf b = { 0 };
	struct digest d;

	images_short_name(name, &b);
	if (!i->quiet)
		printf("Loaded image%s: %s\n", digest_parse(str_of(name), &d) ? " ID" : "",
		       buf_cstr(&b));
	buf_free(&b);
}

/* "app" of "/x/app.tar.gz": an image's name where the archive says only a tag. */
static char *base_of(const char *path)
{
	struct buf b = { 0 };
	const char *end, *slash;
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	slash = memrchr(path, '/', n);
	buf_add(&b, slash ? slash + 1 : path, n - (size_t)(slash ? slash + 1 - path : 0));
	end = strchr(buf_cstr(&b), '.');
	if (end)
		buf_cut(&b, (size_t)(end - b.p));
	return buf_take(&b);
}

static int load_image(struct image *i, const char *path, struct err *e)
{
	bool piped = strcmp(path, "-") == 0;
	char *base = piped ? NULL : base_of(path);
	int fd = piped ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), rc;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		rc = err_sys(e, errno, "%s", path);
	else if (piped && isatty(fd))
		rc = err_set(e, ERR_USAGE, 0, "standard input is a terminal: give a file");
	else if (S_ISDIR(st.st_mode))
		rc = images_load_dir(i->store, path, base, &i->p, say_loaded, i, DEADLINE_NEVER, e);
	else
		rc = images_load(i->store, fd, base, &i->p, say_loaded, i, DEADLINE_NEVER, e);
	if (!piped)
		fd_close(&fd);
	free(base);
	return rc;
}

/* To FILE by way of a name beside it, so that no half archive has the name. */
static int save_to(struct image *i, const struct stored *list, size_t n, struct err *e)
{
	struct buf tmp = { 0 };
	int fd, rc;

	if (!i->output) {
		if (isatty(STDOUT_FILENO))
			return err_set(e, ERR_USAGE, 0,
			               "standard output is a terminal: use -o FILE, or a pipe");
		return images_save(i->store, list, n, STDOUT_FILENO, e);
	}
	buf_addf(&tmp, "%s.tmp-%ld", i->output, (long)getpid());
	fd = open(buf_cstr(&tmp), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	rc = fd < 0 ? err_sys(e, errno, "%s", i->output) : images_save(i->store, list, n, fd, e);
	if (fd >= 0 && close(fd) < 0 && rc == 0)
		rc = err_sys(e, errno, "%s", i->output);
	if (rc == 0 && rename(buf_cstr(&tmp), i->output) < 0)
		rc = err_sys(e, errno, "%s", i->output);
	if (rc < 0)
		(void)unlink(buf_cstr(&tmp));
	buf_free(&tmp);
	return rc;
}

static int save_images(struct image *i, char **names, int n, struct err *e)
{
	struct stored *list = mem_array((size_t)n, sizeof(*list));
	int rc = 0;

	for (int k = 0; rc == 0 && k < n; k++)
		rc = images_find(i->store, names[k], &list[k], e);
	if (rc == 0)
		rc = save_to(i, list, (size_t)n, e);
	stored_list_free(list, (size_t)n);
	return rc;
}

static int remove_image(struct image *i, const char *name, struct err *e)
{
	struct stored s;
	struct buf b = { 0 };

	if (images_find(i->store, name, &s, e) < 0)
		return -1;
	images_short_name(s.name, &b);
	if (imgstore_remove_name(i->store, s.name, e) == 0 && !i->quiet)
		printf("Untagged: %s\n", buf_cstr(&b));
	buf_free(&b);
	stored_free(&s);
	return e->kind ? -1 : 0;
}

/* All that can be removed are; the first that cannot is the error. */
static int remove_images(struct image *i, char **names, int n, struct err *e)
{
	int rc = 0;

	for (int k = 0; k < n; k++) {
		struct err why = { 0 };

		if (remove_image(i, names[k], &why) == 0)
			continue;
		if (rc == 0)
			*e = why;
		rc = -1;
	}
	return rc;
}

enum verb { LIST, PULL, LOAD, SAVE, REMOVE, PRUNE };

static enum verb verb_of(int argc, char **argv)
{
	static const struct {
		const char *name;
		enum verb verb;
	} verbs[] = {
		{ "list", LIST }, { "ls", LIST },   { "pull", PULL },     { "load", LOAD },
		{ "save", SAVE }, { "rm", REMOVE }, { "remove", REMOVE }, { "prune", PRUNE }
	};

	for (size_t i = 0; argc > 0 && i < ARRAY_LEN(verbs); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].verb;
	if (argc > 0)
		opts_misuse(usage, "list, pull, load, save, remove or prune, not \"%s\"", argv[1]);
	return LIST;
}

static const char *verb_name(enum verb v)
{
	static const char *const names[] = { "list", "pull", "load", "save", "remove", "prune" };

	return names[v];
}

static int act(struct image *i, enum verb verb, char **names, int n, struct err *e)
{
	switch (verb) {
	case PULL:
		return image_pull(i, names[0], e);
	case LOAD:
		return load_image(i, names[0], e);
	case SAVE:
		return save_images(i, names, n, e);
	case REMOVE:
		return remove_images(i, names, n, e);
	case PRUNE:
		return 0; /* with the store closed */
	default:
		return list_images(i, e);
	}
}

static int prune(const struct image *i, struct err *e)
{
	struct imgstore_swept swept = { 0 };

	if (imgstore_sweep(i->dir, &i->keep, deadline_in_ms(IMAGE_LOCK_MS), &swept, e) < 0)
		return -1;
	if (!i->quiet)
		printf("Removed %zu names, %zu blobs, %zu unpacked layers\n", swept.names,
		       swept.blobs, swept.layers);
	return 0;
}

/* How many names each takes. */
static void check_names(enum verb verb, int n)
{
	bool none = verb == LIST || verb == PRUNE;

	if (none ? n > 0 : n == 0 || (n > 1 && (verb == PULL || verb == LOAD)))
		opts_misuse(usage, "%s takes %s", verb_name(verb),
		            none           ? "no names"
		            : verb == PULL ? "one name"
		            : verb == LOAD ? "one FILE, or - for standard input"
		                           : "at least one name");
}

static void set_keep(struct image *i, const char *unused_for, int64_t free_mb)
{
	if (unused_for &&
	    !str_to_ms(str_of(unused_for), 3600000, 1, INT64_MAX / 2, &i->keep.age_ms))
		opts_misuse(usage, "unused-for is a duration (720h), not \"%s\"", unused_for);
	i->keep.free_bytes = (uint64_t)free_mb << 20;
}

static int image_run(int argc, char **argv)
{
	struct image i = { 0 };
	struct err e = { 0 };
	const char *format = NULL, *input = NULL, *unused_for = NULL;
	int64_t free_mb = 0;
	const struct opt opts[] = {
		OPT_GROUP("Options"),
		OPT_FLAG('q', "quiet", &i.quiet, "print ids only, or nothing"),
		OPT_STR('o', "output", "FILE", &i.output, "save to FILE"),
		OPT_STR('i', "input", "FILE", &input, "load FILE"),
		OPT_STR(0, "platform", "OS/ARCH[/VARIANT]", &i.platform,
		        "the image of an index that is pulled or loaded; this machine's if not given"),
		OPT_STR(0, "plain-http", "HOSTS", &i.plain_http,
		        "registries without TLS, separated by commas"),
		OPT_STR(0, "mirror", "HOST[:PORT]", &i.mirror,
		        "pull from there, and from the registry itself what is not there"),
		OPT_STR(0, "ca-file", "FILE", &i.ca_file, "CA certificates to trust"),
		OPT_STR(0, "unused-for", "DURATION", &unused_for,
		        "prune images that nobody used for so long (720h)"),
		OPT_INT(0, "free", "MIB", &free_mb, 0, INT32_MAX,
		        "prune until so much is free, those unused longest first"),
		CLI_FORMAT(&format),
		CLI_CONFIG_DIR(&i.config_dir),
		OPT_END,
	};
	int n = opts_parse(opts, usage, argc, argv, 0, 1000), rc;
	enum verb verb = verb_of(n, argv);
	char **names = argv + 2;

	n = n > 0 ? n - 1 : 0;
	i.format = cli_format(usage, format);
	if (verb == LOAD && input && n == 0) {
		argv[2] = mem_dup(input); /* as long as the process */
		n = 1;
	}
	check_names(verb, n);
	set_keep(&i, unused_for, free_mb);
	i.looks = verb == LIST || verb == SAVE;
	rc = image_open(&i, &e);
	if (rc == 0)
		rc = act(&i, verb, names, n, &e);
	imgstore_close(i.store);
	i.store = NULL;
	if (rc == 0 && verb == PRUNE)
		rc = prune(&i, &e);
	else if (verb != LIST && verb != SAVE && i.dir)
		image_sweep(&i);
	image_close(&i);
	return rc < 0 ? applet_fail("image", &e) : out_flush();
}

const struct applet image_applet = { .name = "image",
	                             .summary = "pull, load, save, list, remove and prune images",
	                             .run = image_run,
	                             .aliases = "images" };
