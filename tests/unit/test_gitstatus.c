/* SPDX-License-Identifier: Apache-2.0 */
/* git status --porcelain=v2 -z as the Server's GitStatus. */
#include "base/json.h"
#include "base/mem.h"
#include "git/status.h"
#include "tests/test.h"

/* '|' stands for NUL. The input is an exact-size heap block. */
static char *parse(const char *text, size_t n)
{
	char *copy = mem_dupn(text, n), *exact = mem_alloc(n);
	struct buf b = { 0 };

	for (size_t i = 0; i < n; i++)
		exact[i] = copy[i] == '|' ? '\0' : copy[i];
	git_status_parse((struct str){ exact, n }, &b);
	free(exact);
	free(copy);
	return buf_take(&b);
}

static void check(const char *text, const char *want)
{
	char *have = parse(text, strlen(text));

	CHECK_STR(have, want);
	free(have);
}

#define HASHES "0000000000000000000000000000000000000000 1111111111111111111111111111111111111111"

static const char full[] =
	"# branch.oid 1234|# branch.head feature/x|# branch.upstream origin/feature/x|"
	"# branch.ab +3 -2|"
	"1 .M N... 100644 100644 100644 " HASHES " src/a b.c|"
	"1 A. N... 000000 100644 100644 " HASHES " new|"
	"1 D. N... 100644 000000 000000 " HASHES " gone|"
	"2 R. N... 100644 100644 100644 " HASHES " R100 to name|from name|"
	"2 .C N... 100644 100644 100644 " HASHES " C75 copy|orig|"
	"u UU N... 100644 100644 100644 100644 " HASHES " 2222 both|"
	"1 .T N... 100644 120000 120000 " HASHES " link|"
	"? untracked \"q\"|! ignored|";

static void every_kind_of_entry(void)
{
	check(full,
	      "{\"currentBranch\":\"feature/x\",\"fileStatus\":["
	      "{\"name\":\"src/a b.c\",\"extra\":\"\",\"staging\":\"Unmodified\",\"worktree\":\"Modified\"},"
	      "{\"name\":\"new\",\"extra\":\"\",\"staging\":\"Added\",\"worktree\":\"Unmodified\"},"
	      "{\"name\":\"gone\",\"extra\":\"\",\"staging\":\"Deleted\",\"worktree\":\"Unmodified\"},"
	      "{\"name\":\"to name\",\"extra\":\"from name\",\"staging\":\"Renamed\",\"worktree\":\"Unmodified\"},"
	      "{\"name\":\"copy\",\"extra\":\"orig\",\"staging\":\"Unmodified\",\"worktree\":\"Copied\"},"
	      "{\"name\":\"both\",\"extra\":\"\",\"staging\":\"Updated but unmerged\",\"worktree\":\"Updated but unmerged\"},"
	      "{\"name\":\"link\",\"extra\":\"\",\"staging\":\"Unmodified\",\"worktree\":\"Modified\"},"
	      "{\"name\":\"untracked \\\"q\\\"\",\"extra\":\"\",\"staging\":\"Untracked\",\"worktree\":\"Untracked\"}"
	      "],\"branchPublished\":true,\"ahead\":3,\"behind\":2}");
}

static void branches(void)
{
	check("", "");
	check("# branch.oid (initial)|# branch.head main|",
	      "{\"currentBranch\":\"main\",\"fileStatus\":[],\"branchPublished\":false,\"ahead\":0,\"behind\":0}");
	check("# branch.head (detached)|",
	      "{\"currentBranch\":\"HEAD\",\"fileStatus\":[],\"branchPublished\":false,\"ahead\":0,\"behind\":0}");
	/* An upstream that is configured but does not exist has no "ab". */
	check("# branch.head x|# branch.upstream origin/x|",
	      "{\"currentBranch\":\"x\",\"fileStatus\":[],\"branchPublished\":false,\"ahead\":0,\"behind\":0}");
}

static void malformed_is_left_out(void)
{
	check("|||", "");
	check("fatal: not a git repository", "");
	check("1 .M short|", "");
	check("2 R. N... 1 1 1 a b R100 to|", ""); /* no origin */
	check("# branch.ab +x -|", "");
	check("# branch.head m|# branch.ab +x -|",
	      "{\"currentBranch\":\"m\",\"fileStatus\":[],\"branchPublished\":true,\"ahead\":0,\"behind\":0}");
}

static void truncated_at_every_byte_is_valid_json(void)
{
	for (size_t n = 0; n < sizeof(full); n++) {
		char *have = parse(full, n);
		struct err e = { 0 };
		struct json_doc *doc = json_parse(str_of(have), 1 << 20, &e);

		test_row = (long)n;
		CHECK(!*have || (doc && json_is_array(json_get(json_root(doc), "fileStatus"))));
		json_doc_free(doc);
		free(have);
	}
}

static void the_number_of_files_is_bounded(void)
{
	struct buf in = { 0 }, out = { 0 };
	struct err e = { 0 };
	struct json_doc *doc;

	buf_adds(&in, "# branch.head main");
	buf_addc(&in, '\0');
	for (int i = 0; i < 2000; i++) {
		buf_addf(&in, "? file-%d", i);
		buf_addc(&in, '\0');
	}
	git_status_parse(buf_str(&in), &out);
	doc = json_parse(buf_str(&out), 1 << 20, &e);
	CHECK_INT((long long)json_len(json_get(json_root(doc), "fileStatus")),
	          GIT_STATUS_FILES_MAX);
	json_doc_free(doc);
	buf_free(&in);
	buf_free(&out);
}

TEST_MAIN(TEST(every_kind_of_entry), TEST(branches), TEST(malformed_is_left_out),
          TEST(truncated_at_every_byte_is_valid_json), TEST(the_number_of_files_is_bounded))
