/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/userns.h"
#include "sandbox/users.h"

#include "tests/test.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
			     "bad line\n"
			     ":x:5:5::/:/bin/sh\n"
			     "big:x:4294967296:1::/:/bin/sh\n"
			     "node:x:1000:1000:Node,,,:/var/node:/bin/zsh\n"
			     "bare:x:7:8\n"
			     "77:x:1077:1077::/var/seventyseven:\n"
			     "odd:x:9:9::relative:sh\r\n"
			     "node:x:2000:2000::/second:/bin/sh";
static const char group[] =
	"root:x:0:\nstaff:x:50:node,77\nwheel:x:10: node ,root\n\nbroken\n50:x:51:\n";

static void users_are_found_by_name_then_by_number(void)
{
	static const struct {
		const char *who;
		unsigned uid, gid, groups;
		const char *name, *home, *shell;
	} rows[] = {
		{ "", 0, 0, 1, "root", "/root", "/bin/bash" },
		{ "root", 0, 0, 1, "root", "/root", "/bin/bash" },
		{ "0", 0, 0, 1, "root", "/root", "/bin/bash" },
		{ "node", 1000, 1000, 2, "node", "/var/node", "/bin/zsh" },
		{ "1000", 1000, 1000, 2, "node", "/var/node", "/bin/zsh" },
		{ "2000", 2000, 2000, 2, "node", "/second", "/bin/sh" },
		{ "bare", 7, 8, 0, "bare", "/", "/bin/sh" },
		{ "77", 1077, 1077, 1, "77", "/var/seventyseven", "/bin/sh" },
		{ "odd", 9, 9, 0, "odd", "/", "/bin/sh" },
		{ "node:staff", 1000, 50, 0, "node", "/var/node", "/bin/zsh" },
		{ "node:50", 1000, 51, 0, "node", "/var/node", "/bin/zsh" },
		{ "node:99", 1000, 99, 0, "node", "/var/node", "/bin/zsh" },
		{ ":staff", 0, 50, 0, "root", "/root", "/bin/bash" },
		{ "4711", 4711, 0, 0, "4711", "/", "/bin/sh" },
		{ "4711:12", 4711, 12, 0, "4711", "/", "/bin/sh" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = { 0 };
		struct user u;

		TEST_ROW(i);
		if (!CHECK(user_parse(str_of(passwd), str_of(group), rows[i].who, &u, &e) == 0))
			continue;
		CHECK_INT(u.uid, rows[i].uid);
		CHECK_INT(u.gid, rows[i].gid);
		CHECK_INT((long long)u.n_groups, rows[i].groups);
		CHECK_STR(u.name, rows[i].name);
		CHECK_STR(u.home, rows[i].home);
		CHECK_STR(u.shell, rows[i].shell);
		user_free(&u);
		user_free(&u);
	}
}

static void what_is_nobody_is_an_error(void)
{
	static const char *const rows[] = { "nobody",     "big",        "-1",
		                            "4294967295", "2147483647", "node:none",
		                            "node:-1",    "bad line",   "1000x" };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = { 0 };
		struct user u;

		TEST_ROW(i);
		CHECK(user_parse(str_of(passwd), str_of(group), rows[i], &u, &e) < 0);
		CHECK_INT(e.kind, ERR_NOT_FOUND);
		CHECK(u.name == NULL && u.home == NULL);
	}
}

static void an_image_without_files_has_root_and_numbers(void)
{
	struct str none = { 0 };
	struct err e = { 0 };
	struct user u;

	CHECK(user_parse(none, none, "", &u, &e) == 0 && u.uid == 0);
	CHECK_STR(u.home, "/");
	user_free(&u);
	CHECK(user_parse(none, none, "root", &u, &e) == 0 && u.uid == 0);
	user_free(&u);
	CHECK(user_parse(none, none, "12:13", &u, &e) == 0 && u.uid == 12 && u.gid == 13);
	user_free(&u);
	CHECK(user_parse(none, none, "node", &u, &e) < 0);
}

static void ranges_of_subuid(void)
{
	static const struct {
		const char *text;
		bool found;
		unsigned first, n;
	} rows[] = {
		{ "me:100000:65536\n", true, 100000, 65535 },
		{ "other:1:2\nme:5:6", true, 5, 6 },
		{ "1001:7:8\n", true, 7, 8 },
		{ "me:0:10\nme:9:10\n", true, 9, 10 }, /* 0 would be root's */
		{ "me:4294967290:100\n", false, 0, 0 },
		{ "me:100\nme:x:1\nme:1:0\nme:-5:3\n", false, 0, 0 },
		{ "", false, 0, 0 },
		{ "mee:1:2\n:1:2\n", false, 0, 0 },
		{ "me:100000:4294867290\n", true, 100000, 65535 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t first = 0, n = 0;

		TEST_ROW(i);
		CHECK_INT(subid_parse(str_of(rows[i].text), "me", 1001, &first, &n), rows[i].found);
		CHECK_INT(first, rows[i].first);
		CHECK_INT(n, rows[i].n);
	}
}

static void ids_that_a_map_has(void)
{
	struct userns_map single = { .how = MAP_SINGLE };
	struct userns_map tools = { MAP_TOOLS, 100000, 200000, 10, 20 };
	struct userns_map range = { MAP_RANGE, 5000, 6000, 10, 20 };

	CHECK(userns_has(&single, 0, 0) && !userns_has(&single, 1, 0) &&
	      !userns_has(&single, 0, 1));
	CHECK(userns_has(&tools, 10, 20) && !userns_has(&tools, 11, 0) &&
	      !userns_has(&tools, 0, 21));
	CHECK(userns_has(&range, 9, 19) && !userns_has(&range, 10, 0) &&
	      !userns_has(&range, 0, 20));
	CHECK_INT(userns_uid(&range, 7), 5007);
	CHECK_INT(userns_gid(&range, 7), 6007);
	CHECK_INT(userns_uid(&tools, 7), 7);
}

TEST_MAIN(TEST(users_are_found_by_name_then_by_number), TEST(what_is_nobody_is_an_error),
          TEST(an_image_without_files_has_root_and_numbers), TEST(ranges_of_subuid),
          TEST(ids_that_a_map_has))
