/* SPDX-License-Identifier: Apache-2.0 */
/* tar archives, checked by the system's tar, and .dockerignore. */
#include "base/file.h"
#include "base/mem.h"
#include "providers/docker/devcontainer/dockerignore.h"
#include "providers/docker/engine/tar.h"
#include "tests/test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void ignore_patterns_match_as_documented(void)
{
	static const struct {
		const char *patterns, *path;
		bool out;
	} rows[] = {
		{ "node_modules", "node_modules", true },
		{ "node_modules", "node_modules/a/b", true },
		{ "node_modules", "x/node_modules", false },
		{ "**/node_modules", "node_modules", true },
		{ "**/node_modules", "a/b/node_modules/c", true },
		{ "*.md", "README.md", true },
		{ "*.md", "a/README.md", false },
		{ "**/*.md", "a/b/README.md", true },
		{ "**", "a", true },
		{ "/a/b/", "a/b", true },
		{ "./a", "a", true },
		{ "a/../b", "b", true },
		{ "a/*/c", "a/b/c", true },
		{ "a/*/c", "a/b/d/c", false },
		{ "a/**/c", "a/b/d/c", true },
		{ "a?c", "abc", true },
		{ "a?c", "a/c", false },
		{ "[a-c]x", "bx", true },
		{ "[^a-c]x", "bx", false },
		{ "[^a-c]x", "dx", true },
		{ "a\\*b", "a*b", true },
		{ "a\\*b", "axb", false },
		{ "*.md\n!README.md", "README.md", false },
		{ "*.md\n!README.md", "x.md", true },
		{ "!README.md\n*.md", "README.md", true },
		{ "docs\n!docs/keep", "docs/keep", false },
		{ "docs\n!docs/keep", "docs/drop", true },
		{ "# a\n\n  b  \r\n", "b", true },
		{ "# a", "# a", false },
		{ "\xef\xbb\xbf"
		  "a",
		  "a", true },
		{ "**foo", "d/e/foo", true },
		{ "**foo", "foo", true },
		{ "**foo", "afoo", false },
		{ "d/**foo", "d/afoo", false },
		{ "d**", "dx/y", true },
		{ "d**", "e/d", false },
		{ "d/**", "d", false },
		{ "a**b", "ab", true },
		{ "a**b", "axb", false },
		{ "a**b", "ax/y/b", true },
		{ "***", "a/b", true },
		{ "f***", "foo", true },
		{ "f***", "f/o/o", true },
		{ "?", "\xc3\xa9", true },
		{ "x??", "x\xc3\xa9", false },
		{ "[\xc3\xa8-\xc3\xaa]", "\xc3\xa9", true },
		{ "[!a]*", "ab", true },
		{ "[!a]*", "!b", true },
		{ "[!a]*", "bc", false },
		{ "d[^x]foo", "d/foo", true },
		{ "d[!x]foo", "d/foo", false },
		{ "a[\\]]", "a]", true },
		{ "../foo", "foo", false },
		{ "d/../foo", "foo", true },
		{ "/../foo", "foo", true },
		{ "..", "foo", false },
		{ ".", "foo", false },
		{ "! foo", "foo", false },
		{ "", "a", false },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct dockerignore d = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(dockerignore_parse(&d, str_of(rows[i].patterns), &e), 0);
		CHECK_INT(dockerignore_match(&d, rows[i].path), rows[i].out);
		dockerignore_free(&d);
	}
}

/* What Docker 20.10 and 28 refuse. */
static void what_is_no_pattern_is_refused_with_its_line(void)
{
	static const char *const rows[] = { "[",   "a[", "a[]", "[]a]*", "a[b-]", "a[-b]",
		                            "a[^", "\\", "a\\", "!",     "[b-a]" };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct dockerignore d = { 0 };
		struct err e = { 0 };
		struct buf text = { 0 };

		TEST_ROW(i);
		buf_addf(&text, "# first\n\n%s\nlast\n", rows[i]);
		CHECK_INT(dockerignore_parse(&d, buf_str(&text), &e), -1);
		CHECK(strstr(e.msg, "line 3: "));
		CHECK(strstr(e.msg, rows[i]));
		buf_free(&text);
		dockerignore_free(&d);
	}
}

static void too_many_patterns_are_refused(void)
{
	struct dockerignore d = { 0 };
	struct err e = { 0 };
	struct buf text = { 0 };

	for (int i = 0; i <= DOCKERIGNORE_PATTERNS_MAX; i++)
		buf_addf(&text, "a%d\n", i);
	CHECK_INT(dockerignore_parse(&d, buf_str(&text), &e), -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	buf_free(&text);
	dockerignore_free(&d);
}

static void hostile_patterns_end(void)
{
	struct dockerignore d = { 0 };
	struct err e = { 0 };
	char path[200];

	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	CHECK_INT(dockerignore_parse(
			  &d,
			  STR_LIT("**a**a**a**a**a**a**a**a**a**a**b\n*a*a*a*a*a*a*a*a*a*a*a*b"),
			  &e),
	          0);
	CHECK(!dockerignore_match(&d, path));
	dockerignore_free(&d);
}

static char *sh(const char *command)
{
	FILE *f = popen(command, "r");
	char *out = mem_alloc(8192);
	size_t n = f ? fread(out, 1, 8191, f) : 0;

	out[n] = '\0';
	if (f)
		CHECK_INT(pclose(f), 0);
	return out;
}

static bool skip(void *arg, const char *path, bool is_dir, bool *whole)
{
	(void)arg;
	(void)is_dir;
	*whole = true;
	return strcmp(path, "out") == 0;
}

static void a_tree_is_packed_as_tar_understands_it(void)
{
	char dir[TEST_PATH_SIZE];
	char command[2000];
	struct tar_tree_options o = { .prefix = "in/", .uid = 12, .gid = 34, .skip = skip };
	struct tar_tree *t;
	struct buf b = { 0 };
	struct err e = { 0 };
	FILE *pipe;
	char *out;
	int rc;

	if (!CHECK(test_mkdtemp(dir)))
		return;
	snprintf(command, sizeof(command),
	         "cd %s && mkdir -p src/a/b src/out src/$(printf 'n%%.0s' $(seq 120)) && "
	         "printf hello > src/a/b/f && printf x > src/out/secret && ln -s /etc src/link && "
	         "ln -s $(printf 't%%.0s' $(seq 150)) src/longlink && mkfifo src/pipe && "
	         "printf y > src/$(printf 'n%%.0s' $(seq 120))/deep && chmod 751 src/a/b/f && "
	         "head -c 100000 /dev/zero > src/zeros && : > src/empty",
	         dir);
	free(sh(command));
	snprintf(command, sizeof(command), "%s/src", dir);
	o.root = command;
	t = tar_tree_new(&o);
	while ((rc = tar_tree_fill(t, &b, &e)) > 0)
		;
	CHECK_INT(rc, 0);
	tar_tree_free(t);
	CHECK_INT((long long)(b.n % TAR_BLOCK), 0);
	snprintf(command, sizeof(command),
	         "cd %s && mkdir to && tar -xf - -C to && tar --version > tar", dir);
	pipe = popen(command, "w");
	CHECK(pipe && fwrite(b.p, 1, b.n, pipe) == b.n);
	CHECK_INT(pipe ? pclose(pipe) : -1, 0);
	snprintf(command, sizeof(command),
	         "cd %s/to/in && cat a/b/f && stat -c ' %%a %%s' a/b/f && readlink link && "
	         "readlink longlink | wc -c && cat n*/deep && stat -c ' %%s' zeros empty && "
	         "test ! -e out && test ! -e pipe && find . | wc -l",
	         dir);
	out = sh(command);
	CHECK_STR(out, "hello 751 5\n/etc\n151\ny 100000\n 0\n10\n");
	free(out);
	buf_free(&b);
	CHECK_INT(file_remove_tree(dir, &e), 0);
}

static void read_back(struct buf *tar, size_t piece, struct tar_reader *r, int want)
{
	struct err e = { 0 };
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < tar->n; at += piece) {
		size_t n = tar->n - at < piece ? tar->n - at : piece;

		rc = tar_reader_feed(r, (struct str){ tar->p + at, n }, &e);
	}
	CHECK_INT(rc, want);
}

static void the_first_file_is_read_back(void)
{
	char name[300];
	struct buf tar = { 0 };

	memset(name, 'd', 250);
	name[250] = '\0';
	tar_header(
		&tar,
		&(struct tar_entry){
			.name = name, .type = '0', .mode = 0640, .uid = 5, .gid = 6, .size = 700 });
	for (int i = 0; i < 700; i++)
		buf_addc(&tar, (char)('a' + i % 26));
	tar_pad(&tar, 700);
	tar_finish(&tar);
	for (size_t piece = 1; piece < 1100; piece += 91) {
		struct tar_reader r = { .max = 1000 };

		TEST_ROW(piece);
		read_back(&tar, piece, &r, 0);
		CHECK(r.done);
		CHECK_INT((long long)r.out.n, 700);
		CHECK(r.out.n && r.out.p[27] == 'b');
		CHECK_INT(r.first.uid, 5);
		CHECK_INT((long long)r.first.mode, 0640);
		tar_reader_free(&r);
	}
	{
		struct tar_reader r = { .max = 699 };

		read_back(&tar, 512, &r, -1);
		tar_reader_free(&r);
	}
	buf_reset(&tar);
	tar_header(&tar, &(struct tar_entry){ .name = "l", .type = '2', .link = name });
	{
		struct tar_reader r = { 0 };

		read_back(&tar, 100, &r, 0);
		CHECK(r.done && r.first.type == '2');
		CHECK_STR(buf_cstr(&r.link), name);
		tar_reader_free(&r);
	}
	buf_free(&tar);
}

TEST_MAIN(TEST(ignore_patterns_match_as_documented),
          TEST(what_is_no_pattern_is_refused_with_its_line), TEST(too_many_patterns_are_refused),
          TEST(hostile_patterns_end), TEST(a_tree_is_packed_as_tar_understands_it),
          TEST(the_first_file_is_read_back))
