/* SPDX-License-Identifier: Apache-2.0 */
/* tar archives, checked by the system's tar, and .dockerignore. */
#include "base/file.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/dockerignore.h"
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
		{ "/ foo", "foo", true },
		{ "foo /", "foo", true },
		{ "src\\bin", "srcbin", false },
		{ "*/*\n!src", "src/a", true },
		{ "**/*.md\n!docs", "docs/a.md", true },
		{ "docs\n!docs\ndocs/*/x", "docs/a", false },
		{ "*\n!docs\n**/x", "docs/a/x/y", true },
		/* As BuildKit has it; without it Docker does not look into the directory. */
		{ "*\n!**/*.md", "docs/a.md", false },
		{ "*\n!docs/*.md", "docs/a.md", false },
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
	static const char *const rows[] = { "[",     "a[",         "a[]",      "[]a]*", "a[b-]",
		                            "a[-b]", "a[^",        "\\",       "a\\",   "!",
		                            "[b-a]", "\\\xc3\xa9", "src\\lib", "[\\e]", "../[" };

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

static void pack_tree(const struct tar_tree_options *o, struct buf *b)
{
	struct tar_tree *t = tar_tree_new(o);
	struct err e = { 0 };
	int rc;

	while ((rc = tar_tree_fill(t, b, &e)) > 0)
		;
	CHECK_INT(rc, 0);
	tar_tree_free(t);
}

/* To a shell command that reads it. */
static void feed(const char *command, const struct buf *b)
{
	FILE *pipe = popen(command, "w");

	CHECK(pipe && fwrite(b->p, 1, b->n, pipe) == b->n);
	CHECK_INT(pipe ? pclose(pipe) : -1, 0);
}

static void a_tree_is_packed_as_tar_understands_it(void)
{
	char dir[TEST_PATH_SIZE];
	char command[2000];
	struct tar_tree_options o = { .prefix = "in/", .uid = 12, .gid = 34, .skip = skip };
	struct buf b = { 0 };
	struct err e = { 0 };
	char *out;

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
	pack_tree(&o, &b);
	CHECK_INT((long long)(b.n % TAR_BLOCK), 0);
	snprintf(command, sizeof(command),
	         "cd %s && mkdir to && tar -xf - -C to && tar --version > tar", dir);
	feed(command, &b);
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

static bool skip_all_but(void *arg, const char *path, bool is_dir, bool *whole)
{
	(void)is_dir;
	*whole = false;
	return strcmp(path, arg) != 0;
}

/* A directory that is left out is only there for what is kept in it. */
static void what_is_left_out_leaves_no_directories(void)
{
	char dir[TEST_PATH_SIZE], command[500], keep[] = "b/c/kept";
	struct tar_tree_options o = { .prefix = "", .skip = skip_all_but, .skip_arg = keep };
	struct buf b = { 0 };
	struct err e = { 0 };
	char *out;

	if (!CHECK(test_mkdtemp(dir)))
		return;
	snprintf(
		command, sizeof(command),
		"cd %s && mkdir -p src/a/x src/b/a src/b/c/d src/b/e src/f && touch src/a/x/y src/b/c/d/z && "
		"chmod 751 src/b && printf k > src/b/c/kept",
		dir);
	free(sh(command));
	snprintf(command, sizeof(command), "%s/src", dir);
	o.root = command;
	pack_tree(&o, &b);
	snprintf(command, sizeof(command), "cd %s && mkdir to && tar -xf - -C to", dir);
	feed(command, &b);
	snprintf(command, sizeof(command),
	         "cd %s/to && find . | sort && stat -c %%a b && cat b/c/kept", dir);
	out = sh(command);
	CHECK_STR(out, ".\n./b\n./b/c\n./b/c/kept\n751\nk");
	free(out);
	buf_free(&b);
	CHECK_INT(file_remove_tree(dir, &e), 0);
}

static void read_back(struct buf *tar, size_t piece, struct tar_first *r, int want)
{
	struct err e = { 0 };
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < tar->n; at += piece) {
		size_t n = tar->n - at < piece ? tar->n - at : piece;

		rc = tar_first_feed(r, (struct str){ tar->p + at, n }, &e);
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
		struct tar_first r = { .max = 1000 };

		TEST_ROW(piece);
		read_back(&tar, piece, &r, 0);
		CHECK(r.done);
		CHECK_INT((long long)r.out.n, 700);
		CHECK(r.out.n && r.out.p[27] == 'b');
		CHECK_INT(r.first.uid, 5);
		CHECK_INT((long long)r.first.mode, 0640);
		tar_first_free(&r);
	}
	{
		struct tar_first r = { .max = 699 };

		read_back(&tar, 512, &r, -1);
		tar_first_free(&r);
	}
	buf_reset(&tar);
	tar_header(&tar, &(struct tar_entry){ .name = "l", .type = '2', .link = name });
	{
		struct tar_first r = { 0 };

		read_back(&tar, 100, &r, 0);
		CHECK(r.done && r.first.type == '2');
		CHECK_STR(buf_cstr(&r.link), name);
		tar_first_free(&r);
	}
	buf_free(&tar);
}

/* What a reader says, as text: one line an entry, content at its places. */
static int say_begin(void *arg, const struct tar_entry *en, struct err *e)
{
	struct buf *b = arg;

	(void)e;
	buf_addf(b, "%c %s %o %u:%u %llu %lld.%09u", en->type, en->name, (unsigned)en->mode,
	         en->uid, en->gid, (unsigned long long)en->size, (long long)en->mtime,
	         en->mtime_ns);
	if (en->link)
		buf_addf(b, " -> %s", en->link);
	if (en->type == '3' || en->type == '4')
		buf_addf(b, " %u,%u", en->major, en->minor);
	for (size_t i = 0; i < en->n_xattrs; i++)
		buf_addf(b, " %s=%.*s", en->xattrs[i].name, STR_ARG(en->xattrs[i].value));
	buf_addc(b, '\n');
	return 0;
}

static size_t said_at; /* where content last ended: pieces of it are joined */
static uint64_t said_next;

static int say_data(void *arg, uint64_t at, struct str bytes, struct err *e)
{
	struct buf *b = arg;

	(void)e;
	if (b->n != said_at || at != said_next)
		buf_addf(b, "@%llu:", (unsigned long long)at);
	buf_add_str(b, bytes);
	said_at = b->n;
	said_next = at + bytes.n;
	return 0;
}

static int say_end(void *arg, struct err *e)
{
	(void)e;
	buf_adds(arg, ";\n");
	return 0;
}

static int say(struct str tar, size_t piece, struct buf *out, struct err *e)
{
	struct tar_handler h = { say_begin, say_data, say_end, out };
	struct tar_read *r = tar_read_new(&h);
	int rc = 0;

	said_at = 0;
	for (size_t at = 0; rc == 0 && at < tar.n; at += piece) {
		size_t n = tar.n - at < piece ? tar.n - at : piece;
		char *exact = mem_dupn(tar.p + at, n);

		rc = tar_read_feed(r, (struct str){ exact, n }, e);
		free(exact);
	}
	if (rc == 0)
		rc = tar_read_end(r, e);
	tar_read_free(r);
	return rc;
}

/* Whole, byte by byte and in odd pieces the same; cut anywhere inside, never complete. */
static void check_says(struct str tar, const char *want)
{
	static const size_t pieces[] = { 1, 7, 511, 513, 100000 };
	struct err e = { 0 };

	for (size_t i = 0; i < TEST_N(pieces); i++) {
		struct buf out = { 0 };

		CHECK_INT(say(tar, pieces[i], &out, &e), 0);
		CHECK_STR(e.msg, "");
		CHECK_STR(buf_cstr(&out), want);
		buf_free(&out);
	}
	while (tar.n && !tar.p[tar.n - 1])
		tar.n--;
	for (size_t n = 0; n < tar.n; n += n % 512 < 3 ? 1 : 101) {
		struct buf out = { 0 };

		err_clear(&e);
		/* Between entries nothing shows it. */
		CHECK(say((struct str){ tar.p, n }, 4096, &out, &e) < 0 || n % TAR_BLOCK == 0);
		buf_free(&out);
	}
}

static void pax_header(struct buf *b, const char *records, size_t n)
{
	tar_header(b, &(struct tar_entry){ .name = "x", .type = '0', .size = n });
	b->p[b->n - TAR_BLOCK + 156] = 'x';
	/* The sum: '0' became 'x'. */
	{
		char *sum = b->p + b->n - TAR_BLOCK + 148;
		unsigned v = (unsigned)strtoul(sum, NULL, 8) + 'x' - '0';

		for (int i = 5; i >= 0; i--, v >>= 3)
			sum[i] = (char)('0' + (v & 7));
	}
	buf_add(b, records, n);
	tar_pad(b, n);
}

static void pax_record(struct buf *b, const char *key, const char *value, size_t n)
{
	size_t len = strlen(key) + n + 3;
	char digits[24];

	for (int i = 0; i < 3; i++) {
		snprintf(digits, sizeof(digits), "%zu", len);
		len = strlen(key) + n + 3 + strlen(digits);
	}
	buf_addf(b, "%zu %s=", len, key);
	buf_add(b, value, n);
	buf_addc(b, '\n');
}

static void numbers_of_any_size_are_written_and_read(void)
{
	static const struct tar_entry rows[] = {
		{ .name = "a", .type = '0', .uid = 2097151, .gid = 2097151, .mtime = 1 },
		{ .name = "a", .type = '0', .uid = 2097152, .gid = 4294967294u, .mtime = 0 },
		{ .name = "a", .type = '5', .uid = 100000000, .gid = 0, .mtime = -5 },
		{ .name = "a", .type = '5', .mtime = 8589934591 },
		{ .name = "a", .type = '5', .mtime = 8589934592 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf tar = { 0 }, want = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		tar_header(&tar, &rows[i]);
		tar_finish(&tar);
		say_begin(&want, &rows[i], &e);
		buf_adds(&want, ";\n");
		check_says(buf_str(&tar), buf_cstr(&want));
		buf_free(&tar);
		buf_free(&want);
	}
}

struct sized {
	uint64_t size, seen;
};

static int size_begin(void *arg, const struct tar_entry *en, struct err *e)
{
	(void)e;
	((struct sized *)arg)->size = en->size;
	return 0;
}

static int size_data(void *arg, uint64_t at, struct str bytes, struct err *e)
{
	(void)e;
	((struct sized *)arg)->seen = at + bytes.n;
	return 0;
}

/* From 8 GiB on a size has too many digits: in base 256, and in PAX. */
static void sizes_from_8_gib_are_written_and_read(void)
{
	static const uint64_t rows[] = { 8589934591, 8589934592, 8589934593, 1099511627776 };

	for (size_t i = 0; i < 2 * TEST_N(rows); i++) {
		uint64_t size = rows[i / 2];
		struct sized got = { 0, 0 };
		struct tar_handler h = { size_begin, size_data, NULL, &got };
		struct tar_read *r = tar_read_new(&h);
		struct buf tar = { 0 }, record = { 0 };
		struct err e = { 0 };
		char text[24];

		TEST_ROW(i);
		if (i % 2) {
			snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
			pax_record(&record, "size", text, strlen(text));
			pax_header(&tar, record.p, record.n);
		}
		tar_header(&tar, &(struct tar_entry){
					 .name = "big", .type = '0', .size = i % 2 ? 0 : size });
		buf_adds(&tar, "content");
		CHECK_INT(tar_read_feed(r, buf_str(&tar), &e), 0);
		CHECK_INT(got.size, size);
		CHECK_INT(got.seen, 7);
		CHECK_INT(tar_read_end(r, &e), -1);
		tar_read_free(r);
		buf_free(&tar);
		buf_free(&record);
	}
}

static void extended_headers_say_more(void)
{
	struct buf record = { 0 }, tar = { 0 };

	pax_record(&record, "path", "dir/\xc3\xa4 b", 8);
	pax_record(&record, "uid", "3000000", 7);
	pax_record(&record, "gid", "4000000000", 10);
	pax_record(&record, "mtime", "-1.25", 5);
	pax_record(&record, "comment", "", 0);
	pax_record(&record, "SCHILY.xattr.user.a", "x\ny", 3);
	pax_record(&record, "LIBARCHIVE.xattr.user.b%20c", "aGVsbG8=", 8);
	pax_header(&tar, record.p, record.n);
	tar_header(&tar,
	           &(struct tar_entry){ .name = "short", .type = '0', .mode = 04755, .size = 3 });
	buf_adds(&tar, "abc");
	tar_pad(&tar, 3);
	/* It belongs to that entry alone. */
	tar_header(&tar, &(struct tar_entry){ .name = "hard", .type = '1', .link = "short" });
	tar_finish(&tar);
	check_says(buf_str(&tar), "0 dir/\xc3\xa4 b 4755 3000000:4000000000 3 -2.750000000 "
	                          "user.a=x\ny user.b c=hello\n@0:abc;\n"
	                          "1 hard 0 0:0 0 0.000000000 -> short\n;\n");
	buf_free(&record);
	buf_free(&tar);
}

static void malformed_archives_are_refused(void)
{
	static const struct {
		const char *records; /* of a PAX header; NULL: none */
		size_t at;           /* a byte of the header that is changed; 0: none */
		char to;
		const char *want;
	} rows[] = {
		{ NULL, 5, 'x', "damaged" },
		{ NULL, 257, 'x', "damaged" },
		{ "12 path=abcd", 0, 0, "malformed extended" },
		{ "99 path=abcd\n", 0, 0, "malformed extended" },
		{ "13 path:abcd\n", 0, 0, "malformed extended" },
		{ "x path=abcd\n", 0, 0, "malformed extended" },
		{ "12 size=-1\n\n", 0, 0, "bad size" },
		{ "10 size=x\n", 0, 0, "bad size" },
		{ "29 size=99999999999999999999\n", 0, 0, "bad size" },
		{ "29 size= 9223372036854775807\n", 0, 0, "bad size" },
		{ "28 size=9223372036854775807\n", 0, 0, "out of range" },
		{ "18 uid=4294967295\n", 0, 0, "beyond 32 bits" },
		{ "22 GNU.sparse.map=0,9\n", 0, 0, "without its size" },
		{ "22 GNU.sparse.map=0,9\n21 GNU.sparse.size=9\n", 0, 0, "does not fit" },
		{ "24 GNU.sparse.map=5,0,4\n", 0, 0, "malformed" },
		{ "26 GNU.sparse.map=5,1,4,1\n", 0, 0, "makes no sense" },
		{ "44 GNU.sparse.map=9223372036854775807,1,4,1\n", 0, 0, "makes no sense" },
		{ "25 GNU.sparse.numbytes=5\n", 0, 0, "malformed" },
		{ "23 GNU.sparse.offset=5\n", 0, 0, "is cut" },
		{ "22 GNU.sparse.major=2\n", 0, 0, "form 2" },
		{ "21 GNU.sparse.size=5\n22 GNU.sparse.major=1\n", 0, 0, "is missing" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf tar = { 0 }, out = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		if (rows[i].records)
			pax_header(&tar, rows[i].records, strlen(rows[i].records));
		tar_header(&tar, &(struct tar_entry){ .name = "f", .type = '0' });
		if (rows[i].at)
			tar.p[rows[i].at] = rows[i].to;
		tar_finish(&tar);
		CHECK_INT(say(buf_str(&tar), 100000, &out, &e), -1);
		if (!CHECK(strstr(e.msg, rows[i].want)))
			fprintf(stderr, "  %s\n", e.msg);
		buf_free(&tar);
		buf_free(&out);
	}
}

static void endless_headers_have_limits(void)
{
	struct buf tar = { 0 }, out = { 0 };
	struct err e = { 0 };
	char *name = mem_alloc(5000);

	for (int i = 0; i < TAR_PRELUDES_MAX + 1; i++) {
		memset(name, 'n', 200);
		tar_header(&tar, &(struct tar_entry){ .name = name, .type = '0' });
		tar.n -= TAR_BLOCK; /* the long name without its entry */
	}
	CHECK_INT(say(buf_str(&tar), 4096, &out, &e), -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	buf_reset(&tar);
	memset(name, 'n', 4999);
	tar_header(&tar, &(struct tar_entry){ .name = name, .type = '0' });
	CHECK_INT(say(buf_str(&tar), 4096, &out, &e), -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	free(name);
	buf_free(&tar);
	buf_free(&out);
}

/* What the system's tar writes, in each of its formats. */
static void archives_of_gnu_tar_are_read(void)
{
	static const char *const formats[] = { "v7", "ustar", "gnu", "oldgnu", "pax" };
	static const char *const sparse[] = { "--format=gnu", "--format=pax --sparse-version=0.0",
		                              "--format=pax --sparse-version=0.1",
		                              "--format=pax --sparse-version=1.0" };
	char dir[TEST_PATH_SIZE], command[2000];
	struct err e = { 0 };

	if (!CHECK(test_mkdtemp(dir)))
		return;
	snprintf(
		command, sizeof(command),
		"cd %s && mkdir d && printf hello > d/f && ln d/f d/hard && ln -s f d/soft && "
		"printf start > holes && truncate -s 3000000 holes && "
		"printf end >> holes && truncate -s 4000000 holes && "
		"touch -h -d @1000000000 d/* holes && chmod 4711 d/f && touch -d @1000000001 d && chmod 750 d",
		dir);
	free(sh(command));
	for (size_t i = 0; i < TEST_N(formats); i++) {
		struct buf tar = { 0 };

		TEST_ROW(i);
		snprintf(
			command, sizeof(command),
			"cd %s && tar --format=%s --sort=name --owner=5 --group=6 --numeric-owner -cf t d",
			dir, formats[i]);
		free(sh(command));
		snprintf(command, sizeof(command), "%s/t", dir);
		CHECK_INT(file_read(command, 1u << 20, &tar, &e), 0);
		check_says(buf_str(&tar), "5 d/ 750 5:6 0 1000000001.000000000\n;\n"
		                          "0 d/f 4711 5:6 5 1000000000.000000000\n@0:hello;\n"
		                          "1 d/hard 4711 5:6 0 1000000000.000000000 -> d/f\n;\n"
		                          "2 d/soft 777 5:6 0 1000000000.000000000 -> f\n;\n");
		buf_free(&tar);
	}
	for (size_t i = 0; i < TEST_N(sparse); i++) {
		struct buf tar = { 0 }, out = { 0 };
		const char *end;

		TEST_ROW(i);
		snprintf(command, sizeof(command), "cd %s && tar %s --owner=5 -S -cf t holes", dir,
		         sparse[i]);
		free(sh(command));
		snprintf(command, sizeof(command), "%s/t", dir);
		CHECK_INT(file_read(command, 1u << 20, &tar, &e), 0);
		CHECK_INT(say(buf_str(&tar), 13, &out, &e), 0);
		CHECK(str_starts(buf_str(&out), "0 holes 644 5:"));
		CHECK(str_find(buf_str(&out), " 4000000 1000000000.000000000\n@0:start"));
		end = str_find(buf_str(&out), "end");
		CHECK(end != NULL);
		buf_free(&tar);
		buf_free(&out);
	}
	CHECK_INT(file_remove_tree(dir, &e), 0);
}

TEST_MAIN(TEST(ignore_patterns_match_as_documented),
          TEST(what_is_no_pattern_is_refused_with_its_line), TEST(too_many_patterns_are_refused),
          TEST(hostile_patterns_end), TEST(a_tree_is_packed_as_tar_understands_it),
          TEST(what_is_left_out_leaves_no_directories), TEST(the_first_file_is_read_back),
          TEST(numbers_of_any_size_are_written_and_read),
          TEST(sizes_from_8_gib_are_written_and_read), TEST(extended_headers_say_more),
          TEST(malformed_archives_are_refused), TEST(endless_headers_have_limits),
          TEST(archives_of_gnu_tar_are_read))
