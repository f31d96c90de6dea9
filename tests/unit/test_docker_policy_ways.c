/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways around the policy: what is exchanged after the look, other hosts, names that collide, other spellings of the same wish.
 */
#include "providers/devcontainer/devcontainer.h"
#include "providers/docker/engine/container.h"
#include "tests/unit/policycase.h"

/* As in test_docker_policy.c. */
#define MOUNT "++- ++- ++-"
#define HOST "--- ++- ++-"

static void the_tree_is_made(void)
{
	make_tree();
}

/* Between the policy's look and the engine's call. */
static void what_is_exchanged_is_not_mounted(void)
{
	static const struct {
		const char *source; /* below the checkout */
		bool own; /* as the checkout itself is, or a part of it by workspaceMount */
		const char *before, *after; /* commands, in the checkout */
		enum err_kind want;
	} swaps[] = {
		{ "/s", false, "mkdir s", "true", ERR_NONE },
		{ "/s", false, "mkdir s", "touch s/new", ERR_NONE },
		{ "/s", false, "mkdir s", "chmod 755 s", ERR_NONE },
		{ "/s", false, "mkdir s", "mv s t; ln -s ../outside s", ERR_DENIED },
		{ "/s", false, "mkdir s", "mv s t; ln -s t s", ERR_DENIED },
		{ "/s", false, "mkdir s", "mv s t; mkdir s", ERR_DENIED },
		{ "/s", false, "mkdir s", "rmdir s", ERR_DENIED },
		{ "/s", false, "mkdir s", "mv s t; touch s", ERR_DENIED },
		{ "/s", false, "mkdir s", "mv s t; mkfifo s", ERR_DENIED },
		{ "/s", false, "true", "true", ERR_NONE },
		{ "/s", false, "true", "mkdir s", ERR_DENIED },
		{ "/s", false, "true", "ln -s ../outside s", ERR_DENIED },
		{ "/s", false, "touch s", "mv s t; touch s", ERR_DENIED },
		{ "/s", false, "touch s", "mv s t; ln -s ../outside/canary s", ERR_DENIED },
		{ "/d/s", false, "mkdir -p d/s ../outside/s", "mv d e; ln -s ../outside d",
		  ERR_DENIED },
		{ "/d/s", false, "mkdir -p d/s", "mv d e; mkdir -p d/s", ERR_DENIED },
		{ "/d/s", false, "mkdir -p d/s", "mv d e; mkdir d; mv e/s d/s", ERR_NONE },
		{ "/s", true, "mkdir s", "true", ERR_NONE },
		{ "/s", true, "mkdir s", "mv s t; ln -s ../outside s", ERR_DENIED },
		{ "/s", true, "ln -s ../outside s", "true", ERR_DENIED },
		{ "/s", true, "ln -s ../outside s", "rm s; mkdir s", ERR_DENIED },
		{ "/s", true, "mkfifo s", "true", ERR_DENIED },
		{ "", true, "true", "mv ../now ../then; mkdir ../now", ERR_DENIED },
		{ "", true, "true", "mv ../now ../then; ln -s outside ../now", ERR_DENIED },
	};
	const struct docker_options o = { 0 };
	char co[TEST_PATH_SIZE + 8], command[2 * TEST_PATH_SIZE + 128], source[TEST_PATH_SIZE + 16];

	snprintf(co, sizeof(co), "%s/now", tmp);
	for (size_t i = 0; i < TEST_N(swaps); i++) {
		struct said said = { 0 };
		struct policy p = policy(POLICY_BUILD, &o, NULL, &said);
		struct spec s = { .image = mem_dup("i") };
		struct admitted *a;
		struct str body;
		struct err e = { 0 };

		TEST_ROW(i);
		snprintf(command, sizeof(command),
		         "cd %s && rm -rf now then && mkdir now && cd now && { %s; }", tmp,
		         swaps[i].before);
		CHECK_INT(system(command), 0);
		p.from.checkout = co;
		p.from.host_dir = co;
		snprintf(source, sizeof(source), "%s%s", co, swaps[i].source);
		if (swaps[i].own)
			spec_mount(&s, "bind", source, "/t", false);
		else
			ask_mount(&s, "bind", source, "/t");
		a = policy_admit(&p, &s);
		CHECK_INT(said.count, 0);
		snprintf(command, sizeof(command), "cd %s && { %s; }", co, swaps[i].after);
		CHECK_INT(system(command), 0);
		CHECK_INT(admitted_body(a, &body, &e), swaps[i].want ? -1 : 0);
		CHECK_INT(e.kind, swaps[i].want);
		CHECK(!swaps[i].want || strstr(e.msg, source));
		buf_free(&said.text);
		admitted_free(a);
		spec_free(&s);
	}
}

/* What is there below the checkout on another host is not looked at here, so nothing of it is mounted alone. */
static void another_host_mounts_the_whole_checkout(void)
{
	/* clang-format off */
	static const struct {
		const char *checkout, *source, *want;
	} remote[] = {
		{ "co", "/far/app", MOUNT }, { "co", "/far/app/", MOUNT },
		{ "co", "/far/app/data", HOST }, { "co", "/far/app/link_out", HOST },
		{ "co", "/far/app/.", HOST }, { "co", "/far/app/../x", HOST },
		{ "co", "/far/apple", HOST }, { "co", "/far", HOST }, { "co", "/", HOST },
		{ NULL, "/far/app", HOST }, { NULL, "/far/app/data", HOST },
	};
	/* clang-format on */

	for (size_t i = 0; i < TEST_N(remote); i++) {
		TEST_ROW(i);
		for (int n = 0; n < 9; n++) {
			const struct docker_options o = { .privileged = n / 3 == 1,
				                          .host_mounts = n / 3 == 2 };
			struct said said = { 0 };
			struct policy p = policy((enum policy_use)(n % 3), &o, NULL, &said);
			struct spec s = { .image = mem_dup("i") };

			p.from.checkout = remote[i].checkout ? checkout : NULL;
			p.from.host_dir = "/far/app";
			ask_mount(&s, "bind", remote[i].source, "/t");
			admitted_free(policy_admit(&p, &s));
			CHECK_INT(s.n_mounts, remote[i].want[n / 3 * 4 + n % 3] == '+');
			CHECK_INT(said.count, s.n_mounts == 0);
			buf_free(&said.text);
			spec_free(&s);
		}
	}
}

/* A deletion goes by the prefix, so none may begin another's name either. */
static void a_volume_is_of_one_id(void)
{
	static const char *const ids[] = { "a",    "a.b",   "a.b.c", "1-a",         "a.1-b",
		                           "2-a",  "2-a.b", "1",     "1.",          "3-a.b.x",
		                           "A",    "-",     "-a",    "daytona-1-a", "daytona-1-a.",
		                           "1-a.b" };
	static const char *const names[] = { "x",     "b.x", "b.c.x", "a.x",
		                             "1-a.x", ".x",  "1-b.x", "daytona-1-a.x" };

	for (size_t i = 0; i < TEST_N(ids); i++)
		for (size_t k = 0; k < TEST_N(ids); k++) {
			struct buf mine = { 0 }, theirs = { 0 };

			TEST_ROW(i * 100 + k);
			policy_volume_prefix(ids[i], &mine);
			for (size_t n = 0; n < TEST_N(names); n++) {
				buf_reset(&theirs);
				policy_volume_prefix(ids[k], &theirs);
				buf_adds(&theirs, names[n]);
				CHECK_INT(str_starts(buf_str(&theirs), buf_cstr(&mine)), i == k);
			}
			buf_free(&mine);
			buf_free(&theirs);
		}
}

/* Before the start of a container that has run. */
static void what_a_container_made_of_its_mounts(void)
{
	static const struct {
		const char *type, *source;
		enum err_kind want;
	} starts[] = {
		{ "bind", "co", ERR_NONE },
		{ "bind", "co/data", ERR_NONE },
		{ "bind", "co/file", ERR_NONE },
		{ "bind", "co/link_out", ERR_DENIED },
		{ "bind", "co/link_out/canary", ERR_DENIED },
		{ "bind", "co/link_in", ERR_DENIED },
		{ "bind", "co/link_root", ERR_DENIED },
		{ "bind", "co/data/deep", ERR_DENIED },
		{ "bind", "co/../outside", ERR_DENIED },
		{ "bind", "co/fifo", ERR_DENIED },
		{ "bind", "co/socket", ERR_DENIED },
		{ "bind", "co/missing", ERR_NOT_FOUND },
		{ "bind", "co2", ERR_NONE }, /* another's directory, which the operator gave */
		{ "bind", "/etc", ERR_NONE },
		{ "volume", "co/link_out", ERR_NONE },
	};

	for (size_t i = 0; i < TEST_N(starts); i++) {
		char source[TEST_PATH_SIZE + 64];
		struct mount mount = { .type = mem_dup(starts[i].type), .target = mem_dup("/t") };
		struct container c = { .mounts = &mount, .n_mounts = 1 };
		struct err e = { 0 };

		TEST_ROW(i);
		snprintf(source, sizeof(source), "%s%s%s", *starts[i].source == '/' ? "" : tmp,
		         *starts[i].source == '/' ? "" : "/", starts[i].source);
		mount.source = source;
		CHECK_INT(policy_check_mounts(&c, checkout, &e), starts[i].want ? -1 : 0);
		CHECK_INT(e.kind, starts[i].want);
		free(mount.type);
		free(mount.target);
	}
}

/* The body that a configuration comes to. */
static void write_body(const char *config, int *refused, struct buf *out)
{
	const struct docker_options o = { 0 };
	struct said said = { 0 };
	struct policy p = policy(POLICY_WORKSPACE, &o, NULL, &said);
	struct spec s = { .image = mem_dup("i") };
	struct devcontainer dc;
	struct admitted *a;
	struct str body;
	struct err e = { 0 };

	if (!CHECK_INT(
		    dc_parse(&dc, str_of(config), ".devcontainer.json", checkout, "app", "w1", &e),
		    0))
		fprintf(stderr, "  %s\n", e.msg);
	dc.env_allow = "DC_POLICY_ROOT";
	dc_fill_spec(&dc, &p.from, &s);
	a = policy_admit(&p, &s);
	if (CHECK_INT(admitted_body(a, &body, &e), 0))
		buf_add_str(out, body);
	*refused = said.count;
	buf_free(&said.text);
	admitted_free(a);
	spec_free(&s);
	dc_free(&dc);
}

/* Each in a way of its own to write it: the container is the one that nothing was asked for. */
static void no_spelling_says_anything_else(void)
{
	/* clang-format off */
#define ARGS(list) "{\"runArgs\":[" list "]}"
	static const char *const configs[] = {
		ARGS("\"--network\""), ARGS("\"--network\",\"host\""), ARGS("\"--network=host\""),
		ARGS("\"--net=host\""), ARGS("\"--network=none\",\"--net\",\"host\""),
		ARGS("\"--network=name=host\""), ARGS("\"--Network=host\""),
		ARGS("\"--network=\\u0068ost\""), ARGS("\"--network=ho\\u200bst\""),
		ARGS("\"\\uff0d\\uff0dprivileged\""), ARGS("\"\\u2014privileged\""),
		ARGS("\"--privileged\""), ARGS("\"--privileged=true\""),
		ARGS("\"--PRIVILEGED\",\"true\""), ARGS("\"--mount=type=bind,source=/,target=/h\""),
		ARGS("\"--mount\",\"type=bind,src=/,dst=/h\""), ARGS("\"-v\",\"/:/h\""),
		ARGS("\"-v=/:/h\""), ARGS("\"-v/:/h\""), ARGS("\"-iv\",\"/:/h\""),
		ARGS("\"--volume=/:/h\""), ARGS("\"--volumes-from=victim\""),
		ARGS("\"--volume-driver=x\""), ARGS("\"--label-file=/etc/passwd\""),
		ARGS("\"--label-file\",\"/etc/passwd\""), ARGS("\"--env-file=/etc/passwd\""),
		ARGS("\"--env-file\",\"/etc/passwd\""), ARGS("\"--cidfile=/x\""),
		ARGS("\"--cap-add=all\""), ARGS("\"--cap-add\",\"ALL\""),
		ARGS("\"--cap-add=CAP_sys_admin\""),
		ARGS("\"--cap-add=${localEnv:NONE:SYS_ADMIN}\""), ARGS("\"--cap-add\""),
		ARGS("\"--cap-add=\""), ARGS("\"--security-opt=apparmor=unconfined\""),
		ARGS("\"--security-opt\",\"seccomp=unconfined\""),
		ARGS("\"--security-opt=no-new-privileges=false\""), ARGS("\"--pid=host\""),
		ARGS("\"--pid\",\"host\""), ARGS("\"--ipc=host\""), ARGS("\"--uts=host\""),
		ARGS("\"--userns=host\""), ARGS("\"--cgroupns=host\""),
		ARGS("\"--device=/dev/sda\""), ARGS("\"--device\",\"/dev/sda\""),
		ARGS("\"--device-cgroup-rule=c *:* rwm\""), ARGS("\"--gpus=all\""),
		ARGS("\"--runtime=x\""), ARGS("\"--cgroup-parent=/\""), ARGS("\"--sysctl=k=1\""),
		ARGS("\"--ulimit=core=1\""), ARGS("\"--oom-kill-disable\""),
		ARGS("\"--oom-score-adj=-1000\""), ARGS("\"--restart=always\""),
		ARGS("\"--read-only\""), ARGS("\"-P\""), ARGS("\"--publish=80:80\""),
		ARGS("\"-p\",\"80:80\""), ARGS("\"--link=victim:x\""),
		ARGS("\"--network-alias=x\""), ARGS("\"--ip=1.2.3.4\""), ARGS("\"--name=victim\""),
		ARGS("\"--entrypoint=/x\""), ARGS("\"--health-cmd=x\""), ARGS("\"--group-add=0\""),
		ARGS("\"--tmpfs=/.daytona\""), ARGS("\"--tmpfs\",\"/x/../.daytona:exec,dev,suid\""),
		ARGS("\"--tmpfs=/\""), ARGS("\"--label=daytona.workspace.id=victim\""),
		ARGS("\"-l\",\"com.docker.compose.project=victim\""),
		ARGS("\"--label=\\u0064aytona.workspace.id=victim\""), ARGS("\"-l\""),
		ARGS("\"--\",\"--privileged\""),
		/* What takes no value does not hide the next one. */
		ARGS("\"--sig-proxy\",\"--privileged\""),
		ARGS("\"-dit\",\"--cap-add=ALL\""), ARGS("\"\",\"--privileged\""),
		"{\"privileged\":true}", "{\"Privileged\":true}",
		"{\"privileged\":false,\"privileged\":true}", "{\"privile\\u0067ed\":true}",
		"{\"capAdd\":[\"ALL\"]}", "{\"capadd\":[\"sys_admin\"]}",
		"{\"capAdd\":[\"${localEnv:NONE:SYS_ADMIN}\"]}",
		"{\"capAdd\":[],\"capAdd\":[\"SYS_ADMIN\"]}",
		"{\"securityOpt\":[\"seccomp=unconfined\",\"label=disable\"]}",
		"{\"mounts\":[\"type=bind,source=/,target=/h\"]}",
		"{\"mounts\":[\"target=/h,src=/,type=bind\"]}",
		"{\"mounts\":[\"type=volume,type=bind,source=x,source=/,target=/h\"]}",
		"{\"mounts\":[\"type=bind,source=${localEnv:DC_POLICY_ROOT},target=/h\"]}",
		"{\"mounts\":[\"type=bind,source=${localWorkspaceFolder}/..,target=/h\"]}",
		"{\"mounts\":[\"type=bind,source=${localWorkspaceFolder}/link_out,target=/h\"]}",
		"{\"mounts\":[{\"type\":\"bind\",\"source\":\"x\",\"source\":\"/\",\"target\":\"/h\"}]}",
		"{\"mounts\":[{\"Type\":\"bind\",\"SOURCE\":\"/\",\"target\":\"/h\"}]}",
		"{\"mounts\":[{\"type\":\"bind\",\"source\":\"/\",\"target\":\"/h\",\"bind-propagation\":\"rshared\"}]}",
		"{\"mounts\":[\"type=volume,source=/etc,target=/h,volume-opt=o=bind,volume-opt=device=/\"]}",
		"{\"mounts\":[\"source=v,target=/.daytona\",\"source=v\",\"\"]}",
		"{\"workspaceMount\":\"type=bind,source=/,target=/w\"}",
		"{\"workspaceMount\":\"type=bind,source=${localWorkspaceFolder}/link_out,target=/w\"}",
		"{\"workspaceMount\":\"type=bind,source=${localWorkspaceFolder}/fifo,target=/w\"}",
		"{\"workspaceMount\":\"type=volume,source=victim,target=/w\"}",
	};
	/* clang-format on */
	struct buf plain = { 0 };
	int refused;

	setenv("DC_POLICY_ROOT", "/", 1);
	write_body("{}", &refused, &plain);
	CHECK_INT(refused, 0);
	for (size_t i = 0; i < TEST_N(configs); i++) {
		struct buf b = { 0 };

		TEST_ROW(i);
		write_body(configs[i], &refused, &b);
		CHECK(refused > 0);
		if (!CHECK_STR(buf_cstr(&b), buf_cstr(&plain)))
			fprintf(stderr, "  %s\n", configs[i]);
		buf_free(&b);
	}
	buf_free(&plain);
}

/* A volume's options are an engine's way to mount anything: of a mount only these four are handed on. */
static void a_mount_has_four_members(void)
{
	struct buf b = { 0 };
	int refused;

	write_body(
		"{\"mounts\":[\"type=volume,source=v,target=/v,readonly,volume-driver=local,volume-opt=type=none,"
		"volume-opt=o=bind,volume-opt=device=/,bind-propagation=rshared\"]}",
		&refused, &b);
	CHECK(strstr(buf_cstr(&b),
	             "{\"Type\":\"volume\",\"Source\":\"daytona-2-w1.v\",\"Target\":\"/v\","
	             "\"ReadOnly\":true}]"));
	CHECK_INT(refused, 0);
	buf_free(&b);
}

TEST_MAIN(TEST(the_tree_is_made), TEST(what_is_exchanged_is_not_mounted),
          TEST(another_host_mounts_the_whole_checkout), TEST(a_volume_is_of_one_id),
          TEST(what_a_container_made_of_its_mounts), TEST(no_spelling_says_anything_else),
          TEST(a_mount_has_four_members))
