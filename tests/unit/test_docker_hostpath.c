/* SPDX-License-Identifier: Apache-2.0 */
/* A runner in a container: which it is, and the names of what is mounted. */
#include "providers/docker/engine/hostpath.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void the_container_is_found_by_its_host_name(void)
{
	static const struct {
		const char *text;
		bool found;
	} rows[] = {
		{ "", false },
		{ "1 2 0:3 / / rw - ext4 /dev/sda rw\n", false },
		{ "9 8 8:1 /var/lib/docker/containers/" ID
		  "/hostname /etc/hostname rw - ext4 x rw\n",
		  true },
		{ "1 2 0:3 / / rw\n9 8 8:1 /x/overlay-containers/" ID
		  "/userdata/hostname /etc/hostname rw\n",
		  true },
		{ "9 8 8:1 /var/lib/docker/containers/" ID "/hosts /etc/hosts rw\n", false },
		{ "9 8 8:1 /etc/hostname /etc/hostname rw\n", false },
		{ "9 8 8:1 /c/" ID "0/hostname /etc/hostname rw\n", false },
		{ "9 8 8:1 /c/g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/x /etc/hostname\n",
		  false },
		{ "9 8 8:1 /c/" ID, false },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		char id[CONTAINER_ID_LEN + 1] = "";

		TEST_ROW(i);
		CHECK(host_path_container(str_of(rows[i].text), id) == rows[i].found);
		CHECK_STR(id, rows[i].found ? ID : "");
	}
}

static void names_are_exchanged_as_a_whole(void)
{
	static const struct {
		const char *ours, *engines;
	} rows[] = {
		{ "/state", "/srv/x/state" },
		{ "/state/workspaces/w1/app", "/srv/x/state/workspaces/w1/app" },
		{ "/state2", "/state2" },
		{ "/", "/" },
		{ "/etc", "/etc" },
		{ "", "" },
	};
	struct host_path h = { 0 }, none = { 0 };

	host_path_set(&h, "/state", "/srv/x/state");
	for (size_t i = 0; i < TEST_N(rows); i++) {
		char *out = host_path_out(&h, rows[i].ours),
		     *in = host_path_in(&h, rows[i].engines);
		char *same = host_path_out(&none, rows[i].ours),
		     *too = host_path_in(NULL, rows[i].ours);

		TEST_ROW(i);
		CHECK_STR(out, rows[i].engines);
		CHECK_STR(in, rows[i].ours);
		CHECK_STR(same, rows[i].ours);
		CHECK_STR(too, rows[i].ours);
		free(out);
		free(in);
		free(same);
		free(too);
	}
	host_path_free(&h);
}

TEST_MAIN(TEST(the_container_is_found_by_its_host_name), TEST(names_are_exchanged_as_a_whole))
