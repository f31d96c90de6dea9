/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container may be: each thing that a repository, an image or a feature may ask for, in each use of a container, under
 * each of the operator's options. What becomes of it is written down here, not computed: see WANT.
 */
#include "base/json.h"
#include "tests/unit/policycase.h"

#include <ctype.h>
#include <strings.h>

#define CHECKOUT_AT "/workspaces/app"

/*
 * WANT: three groups, for an operator that allows nothing, Privileged, allow_host_mounts; in each a letter for workspace,
 * build and helper. '+' as it was asked, 'p' with the prefix of w1, '-' left out and said.
 */
#define ALL "+++ +++ +++"
#define MOUNT "++- ++- ++-" /* helpers mount what we say and nothing else */
#define HOST "--- ++- ++-"  /* a way to the host by a mount */
#define OWN_VOLUME "pp- ++- ++-"
#define HOST_PRIVILEGED "--- +++ ---" /* a way that is no mount */
#define NET_OTHER "--+ +++ --+"       /* the network of a helper is ours to choose */
#define NEVER "--- --- ---"

/* The last two by the options Volumes and Capabilities of the target, which pass the same gate. */
enum what {
	BIND,
	VOLUME,
	TMPFS,
	OTHER_TYPE,
	OPTION_VOLUME,
	TMPFS_ARG,
	CAP,
	OPTION_CAP,
	OPT,
	NET,
	LABEL,
	PRIV
};

struct row {
	enum what what;
	const char *value; /* source, name, capability, …; '@' first: in the checkout */
	const char *more;  /* target; type; the operator's network */
	const char *want;
};

#define NAME_128 \
	"a2345678901234567890123456789012345678901234567890123456789012345678901234567890" \
	"123456789012345678901234567890123456789012345678"

static const struct row rows[] = {
	{ BIND, "@", "/t", MOUNT },
	{ BIND, "@/data", "/t", MOUNT },
	{ BIND, "@/file", "/t", MOUNT },
	{ BIND, "@/missing", "/t", MOUNT }, /* the engine mounts nothing that is not there */
	{ BIND, "@/./data//", "/t", MOUNT },
	{ BIND, "/", "/t", HOST },
	{ BIND, "/etc", "/t", HOST },
	{ BIND, "/etc/passwd", "/t", HOST },
	{ BIND, "/var/run/docker.sock", "/t", HOST },
	{ BIND, "/proc/self/root", "/t", HOST },
	{ BIND, "/proc/self/cwd", "/t", HOST },
	{ BIND, "@/..", "/t", HOST },
	{ BIND, "@/../outside", "/t", HOST },
	{ BIND, "@/data/../../outside", "/t", HOST },
	{ BIND, "@/data/..", "/t", HOST }, /* no ".." at all */
	{ BIND, "@2", "/t", HOST },        /* begins like the checkout */
	{ BIND, "@/link_out", "/t", HOST },
	{ BIND, "@/link_out/canary", "/t", HOST },
	{ BIND, "@/link_file", "/t", HOST },
	{ BIND, "@/link_root", "/t", HOST },
	{ BIND, "@/link_root/etc", "/t", HOST },
	{ BIND, "@/link_in", "/t", HOST }, /* whoever made it, wherever it leads */
	{ BIND, "@/link_in/sub", "/t", HOST },
	{ BIND, "@/link_dangling", "/t", HOST },
	{ BIND, "@/link_loop", "/t", HOST },
	{ BIND, "@/data/deep", "/t", HOST },
	{ BIND, "@/data/deep/canary", "/t", HOST },
	{ BIND, "@/file/x", "/t", HOST },
	{ BIND, "@/fifo", "/t", HOST },
	{ BIND, "@/socket", "/t", HOST },
	{ BIND, "@/device", "/t", HOST },
	{ BIND, "data", "/t", HOST },
	{ BIND, "", "/t", HOST },

	{ VOLUME, "cache", "/t", OWN_VOLUME },
	{ VOLUME, "of-another", "/t", OWN_VOLUME },
	{ VOLUME, "daytona-2-w9.cache", "/t", OWN_VOLUME },
	{ VOLUME, ".x", "/t", OWN_VOLUME },
	{ VOLUME, NAME_128, "/t", OWN_VOLUME },
	{ VOLUME, NAME_128 "x", "/t", HOST },
	{ VOLUME, "", "/t", MOUNT }, /* of this container alone */
	{ VOLUME, "/etc", "/t", HOST },
	{ VOLUME, "@/data", "/t", HOST },
	{ VOLUME, "a/b", "/t", HOST },
	{ VOLUME, "../x", "/t", HOST },
	{ VOLUME, ".", "/t", HOST },
	{ VOLUME, "..", "/t", HOST },
	{ VOLUME, "a b", "/t", HOST },
	{ VOLUME, "a:b", "/t", HOST },
	{ VOLUME, "a\nb", "/t", HOST },
	{ VOLUME, "caf\xc3\xa9", "/t", HOST },

	{ TMPFS, "", "/t", MOUNT },
	{ OTHER_TYPE, "/etc", "Bind", NEVER },
	{ OTHER_TYPE, "/etc", "BIND", NEVER },
	{ OTHER_TYPE, "/etc", "bind ", NEVER },
	{ OTHER_TYPE, "/etc", "rbind", NEVER },
	{ OTHER_TYPE, "x", "npipe", NEVER },
	{ OTHER_TYPE, "x", "cluster", NEVER },
	{ OTHER_TYPE, "x", "image", NEVER },
	{ OTHER_TYPE, "x", "glob", NEVER },
	{ OTHER_TYPE, "x", "devpts", NEVER },
	{ OTHER_TYPE, "x", "", NEVER },

	{ OPTION_VOLUME, "cache", "/t", OWN_VOLUME },
	{ OPTION_VOLUME, "daytona-2-w9.cache", "/t", OWN_VOLUME },
	{ OPTION_VOLUME, "@/data", "/t", MOUNT },
	{ OPTION_VOLUME, "@/link_out", "/t", HOST },
	{ OPTION_VOLUME, "/", "/t", HOST },
	{ OPTION_VOLUME, "/etc", "/t", HOST },
	{ OPTION_VOLUME, "/var/run/docker.sock", "/t", HOST },
	{ OPTION_VOLUME, "../x", "/t", HOST },
	{ OPTION_VOLUME, "cache", "/.daytona", NEVER },

	{ OPTION_CAP, "SYS_PTRACE", NULL, ALL },
	{ OPTION_CAP, "CAP_CHOWN", NULL, ALL },
	{ OPTION_CAP, "SYS_ADMIN", NULL, HOST_PRIVILEGED },
	{ OPTION_CAP, "ALL", NULL, HOST_PRIVILEGED },

	{ NET, "host", NULL, NET_OTHER },
	{ NET, "HOST", NULL, NET_OTHER },
	{ NET, "container:x", NULL, NET_OTHER },
	{ NET, "container:", NULL, NET_OTHER },
	{ NET, "ns:/proc/1/ns/net", NULL, NET_OTHER },
	{ NET, "other", NULL, NET_OTHER },
	{ NET, "bridge ", NULL, NET_OTHER },
	{ NET, "none", NULL, ALL },
	{ NET, "bridge", NULL, ALL },
	{ NET, "default", NULL, ALL },
	{ NET, "", NULL, ALL },
	{ NET, "host", "iso", NET_OTHER },
	{ NET, "bridge", "iso", NET_OTHER }, /* iso may be there to keep it from others */
	{ NET, "default", "iso", NET_OTHER },
	{ NET, "", "iso", NET_OTHER },
	{ NET, "other", "iso", NET_OTHER },
	{ NET, "ISO", "iso", NET_OTHER },
	{ NET, "container:iso", "iso", NET_OTHER },
	{ NET, "iso", "iso", ALL },
	{ NET, "none", "iso", ALL },
	{ NET, "host", "host", ALL },
	{ NET, "other", "host", NET_OTHER },
	{ NET, "bridge", "none", NET_OTHER },

	{ PRIV, "", NULL, HOST_PRIVILEGED },

	{ OPT, "no-new-privileges", NULL, ALL },
	{ OPT, "no-new-privileges:true", NULL, ALL },
	{ OPT, "no-new-privileges=true", NULL, HOST_PRIVILEGED },
	{ OPT, "no-new-privileges:false", NULL, HOST_PRIVILEGED },
	{ OPT, "no-new-privileges=false", NULL, HOST_PRIVILEGED },
	{ OPT, "No-New-Privileges", NULL, HOST_PRIVILEGED },
	{ OPT, " no-new-privileges", NULL, HOST_PRIVILEGED },
	{ OPT, "seccomp=unconfined", NULL, HOST_PRIVILEGED },
	{ OPT, "seccomp:unconfined", NULL, HOST_PRIVILEGED },
	{ OPT, "seccomp={}", NULL, HOST_PRIVILEGED },
	{ OPT, "apparmor=unconfined", NULL, HOST_PRIVILEGED },
	{ OPT, "apparmor:unconfined", NULL, HOST_PRIVILEGED },
	{ OPT, "apparmor=docker-default", NULL, HOST_PRIVILEGED },
	{ OPT, "label=disable", NULL, HOST_PRIVILEGED },
	{ OPT, "label:disable", NULL, HOST_PRIVILEGED },
	{ OPT, "label=type:spc_t", NULL, HOST_PRIVILEGED },
	{ OPT, "systempaths=unconfined", NULL, HOST_PRIVILEGED },
	{ OPT, "unmask=ALL", NULL, HOST_PRIVILEGED },
	{ OPT, "proc-opts=hidepid=0", NULL, HOST_PRIVILEGED },
	{ OPT, "writable-cgroups=true", NULL, HOST_PRIVILEGED },
	{ OPT, "credentialspec=file://x", NULL, HOST_PRIVILEGED },

	{ LABEL, "daytona.target.id", NULL, NEVER },
	{ LABEL, "daytona.workspace.id", NULL, NEVER },
	{ LABEL, "daytona.workspace.repository.url", NULL, NEVER },
	{ LABEL, "daytona.runner.id", NULL, NEVER },
	{ LABEL, "daytona.build.id", NULL, NEVER },
	{ LABEL, "daytona.runner.helper", NULL, NEVER },
	{ LABEL, "daytona.runner.nonce", NULL, NEVER },
	{ LABEL, "daytona.", NULL, NEVER },
	{ LABEL, "daytona.new", NULL, NEVER },
	{ LABEL, "com.docker.", NULL, NEVER },
	{ LABEL, "com.docker.compose.project", NULL, NEVER },
	{ LABEL, "com.docker.compose.project.working_dir", NULL, NEVER },
	{ LABEL, "com.docker.stack.namespace", NULL, NEVER },
	/* Engines compare labels byte by byte, and so does the runner. */
	{ LABEL, "Daytona.workspace.id", NULL, ALL },
	{ LABEL, "DAYTONA.WORKSPACE.ID", NULL, ALL },
	{ LABEL, " daytona.workspace.id", NULL, ALL },
	{ LABEL, "daytona", NULL, ALL },
	{ LABEL, "daytonas.workspace.id", NULL, ALL },
	{ LABEL, "Com.Docker.Compose.Project", NULL, ALL },
	{ LABEL, "daytona.devcontainer.forwardPorts", NULL, ALL },
	{ LABEL, "x", NULL, ALL },
};

/* capabilities(7), and whether it is one of the short list. */
/* clang-format off */
static const struct {
	const char *name;
	bool safe;
} caps[] = {
	{ "AUDIT_CONTROL", false }, { "AUDIT_READ", false }, { "AUDIT_WRITE", false },
	{ "BLOCK_SUSPEND", false }, { "BPF", false }, { "CHECKPOINT_RESTORE", false },
	{ "CHOWN", true }, { "DAC_OVERRIDE", false }, { "DAC_READ_SEARCH", false },
	{ "FOWNER", false }, { "FSETID", false }, { "IPC_LOCK", false }, { "IPC_OWNER", false },
	{ "KILL", true }, { "LEASE", false }, { "LINUX_IMMUTABLE", false }, { "MAC_ADMIN", false },
	{ "MAC_OVERRIDE", false }, { "MKNOD", false }, { "NET_ADMIN", false },
	{ "NET_BIND_SERVICE", true }, { "NET_BROADCAST", false }, { "NET_RAW", false },
	{ "PERFMON", false }, { "SETFCAP", false }, { "SETGID", true }, { "SETPCAP", false },
	{ "SETUID", true }, { "SYSLOG", false }, { "SYS_ADMIN", false }, { "SYS_BOOT", false },
	{ "SYS_CHROOT", false }, { "SYS_MODULE", false }, { "SYS_NICE", true },
	{ "SYS_PACCT", false }, { "SYS_PTRACE", true }, { "SYS_RAWIO", false },
	{ "SYS_RESOURCE", false }, { "SYS_TIME", false }, { "SYS_TTY_CONFIG", false },
	{ "WAKE_ALARM", false }, { "ALL", false }, { "CAP_CHOWN", false }, { "", false },
	{ "CHOWN,SYS_ADMIN", false }, { "CHOWN SYS_ADMIN", false },
};
/* clang-format on */

/* Where our program is, and what is no place. */
/* clang-format off */
static const char *const bad_targets[] = {
	"/.daytona", "/.daytona/", "//.daytona", "/./.daytona", "/x/../.daytona", "/../.daytona",
	"/.daytona/.", "/.daytona/x", "/.daytona/daytona-runner", "/.daytona/../.daytona", "/",
	"//", "/.", "/..", "/x/..", "", "x", ".daytona", "../.daytona",
};
/* clang-format on */
/* clang-format off */
static const char *const good_targets[] = {
	"/.daytona2", "/.daytona-x", "/x/.daytona", "/.DAYTONA", "/.daytona/../x", "/.dayton",
};
/* clang-format on */

static const char *in_checkout(const char *value, char out[1024])
{
	if (*value != '@')
		return value;
	snprintf(out, 1024, "%s%s", checkout, value + 1);
	return out;
}

static void ask(struct spec *s, const struct row *r, const char *value)
{
	static const char *const types[] = { "bind", "volume", "tmpfs" };

	if (r->what == OPTION_VOLUME || r->what == OPTION_CAP) {
		struct docker_options o = { 0 };
		struct buf text = { 0 };

		if (r->what == OPTION_CAP)
			buf_addf(&text, "-NET_RAW, +%s", value);
		else
			buf_addf(&text, "%s:%s:ro", value, r->more);
		*(r->what == OPTION_CAP ? &o.capabilities : &o.volumes) = text.p;
		spec_apply_grants(s, &o);
		buf_free(&text);
	} else if (r->what <= TMPFS)
		ask_mount(s, types[r->what], value, r->more);
	else if (r->what == OTHER_TYPE)
		ask_mount(s, r->more, value, "/t");
	else if (r->what == TMPFS_ARG)
		strlist_add(&s->tmpfs, value);
	else if (r->what == CAP)
		strlist_add(&s->cap_add, value);
	else if (r->what == OPT)
		strlist_add(&s->security_opt, value);
	else if (r->what == LABEL)
		kv_set(&s->labels, value, "mine");
	else if (r->what == PRIV)
		s->privileged = true;
	if (r->what == NET) {
		free(s->network);
		s->network = mem_dup(value);
	}
}

static bool lists(struct json list, const char *text)
{
	bool has = false;

	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member))
		has |= json_str_is(member, text);
	return has;
}

/* The source of what is mounted at target; NULL: nothing is. Caller frees. */
static char *mounted(struct json host, const char *target)
{
	char *source = NULL;

	for (struct json member = json_first(json_get(host, "Mounts")); json_present(member);
	     member = json_next(member))
		if (json_str_is(json_get(member, "Target"), target)) {
			free(source);
			source = json_dup_or_empty(json_get(member, "Source"));
		}
	return source;
}

/* As WANT has it: what the body makes of what was asked; '?' is something else. */
static char outcome(const struct row *r, const char *value, struct json body)
{
	struct json host = json_get(body, "HostConfig");
	char *have = NULL, got = '?';
	struct buf own = { 0 };

	if (r->what <= OPTION_VOLUME) {
		have = mounted(host, r->what == OTHER_TYPE ? "/t" : r->more);
		buf_addf(&own, "daytona-2-w1.%s", value);
		got = !have                               ? '-'
		      : strcmp(have, value) == 0          ? '+'
		      : strcmp(have, buf_cstr(&own)) == 0 ? 'p'
		                                          : '?';
	} else if (r->what == TMPFS_ARG) {
		struct json list = json_get(host, "Tmpfs");

		buf_add(&own, value, strcspn(value, ":"));
		got = json_present(json_get(list, buf_cstr(&own))) ? '+'
		      : json_len(list)                             ? '?'
		                                                   : '-';
	} else if (r->what == CAP || r->what == OPT || r->what == OPTION_CAP) {
		struct json list = json_get(host, r->what == OPT ? "SecurityOpt" : "CapAdd");

		if (r->what == OPTION_CAP)
			CHECK(lists(json_get(host, "CapDrop"), "NET_RAW"));

		got = lists(list, value) ? '+' : json_len(list) ? '?' : '-';
	} else if (r->what == NET) {
		have = json_dup_or_empty(json_get(host, "NetworkMode"));
		got = strcmp(have, value) == 0                    ? '+'
		      : strcmp(have, r->more ? r->more : "") == 0 ? '-'
		                                                  : '?';
	} else if (r->what == LABEL) {
		have = json_dup_or_empty(json_get(json_get(body, "Labels"), value));
		got = strcmp(have, "mine") == 0 ? '+' : '-';
	} else {
		got = json_bool(json_get(host, "Privileged"), false) ? '+' : '-';
	}
	free(have);
	buf_free(&own);
	return got;
}

/* What holds for every container, whatever was asked. */
static void check_always(enum policy_use use, struct json body)
{
	static const char *const identity[] = { "daytona.target.id",
		                                "daytona.workspace.id",
		                                "daytona.runner.id",
		                                "daytona.build.id",
		                                "daytona.runner.helper",
		                                "daytona.runner.nonce",
		                                "daytona.workspace.repository.url" };
	struct json labels = json_get(body, "Labels"), host = json_get(body, "HostConfig");
	struct json health = json_get(json_get(body, "Healthcheck"), "Test");
	static const char *const never[] = { "Binds",          "PidMode",     "IpcMode",
		                             "UTSMode",        "UsernsMode",  "Devices",
		                             "Runtime",        "Sysctls",     "CgroupParent",
		                             "CgroupnsMode",   "Links",       "VolumesFrom",
		                             "DeviceRequests", "PortBindings" };
	char *at = mounted(host, CHECKOUT_AT);

	for (size_t i = 0; i < TEST_N(identity); i++)
		CHECK(json_str_is(json_get(labels, identity[i]), i == 1 ? "w1" : ""));
	CHECK_STR(at, checkout);
	if (use == POLICY_WORKSPACE)
		CHECK(!json_present(health));
	else
		CHECK(lists(health, "NONE"));
	for (size_t i = 0; i < TEST_N(never); i++)
		CHECK(!json_present(json_get(host, never[i])));
	free(at);
}

static void try_one(const struct row *r, int option, enum policy_use use)
{
	struct docker_options o = { .privileged = option == 1,
		                    .host_mounts = option == 2,
		                    .network = r->what == NET && r->more ? mem_dup(r->more)
		                                                         : NULL };
	char room[1024];
	const char *value = in_checkout(r->value, room);
	char want = r->want[option * 4 + (int)use], got = '?';
	struct said said = { 0 };
	struct kv identity = { 0 };
	struct spec s = { .image = mem_dup("i") };
	struct policy p = policy(use, &o, &identity, &said);
	struct admitted *a;
	struct json_doc *doc = NULL;
	struct str body = { 0 };
	struct err e = { 0 };

	kv_set(&identity, "daytona.workspace.id", "w1");
	spec_apply_options(&s, &o);
	spec_mount(&s, "bind", checkout, CHECKOUT_AT, false);
	ask(&s, r, value);
	s.runtime = "asked"; /* for which nobody has the word but the options */
	s.gpus = "all";
	a = policy_admit(&p, &s);
	if (CHECK_INT(admitted_body(a, &body, &e), 0) && (doc = json_parse(body, 1u << 20, &e))) {
		got = outcome(r, value, json_root(doc));
		check_always(use, json_root(doc));
	}
	if (!CHECK(got == want))
		fprintf(stderr, "  %d \"%s\" (%s), option %d, use %d: have %c, want %c: %s\n",
		        (int)r->what, value, r->more ? r->more : "", option, (int)use, got, want,
		        e.msg);
	if (CHECK_INT(said.count, want == '-') && want == '-') {
		struct buf name = { 0 };

		buf_add_printable(&name, str_of(value), false);
		CHECK(strstr(buf_cstr(&said.text), buf_cstr(&name)) &&
		      strstr(buf_cstr(&said.text), "is not taken over"));
		buf_free(&name);
	}
	json_doc_free(doc);
	admitted_free(a);
	spec_free(&s);
	kv_free(&identity);
	buf_free(&said.text);
	free(o.network);
}

static void try_all(const struct row *r)
{
	for (int option = 0; option < 3; option++)
		for (int use = POLICY_WORKSPACE; use <= POLICY_HELPER; use++)
			try_one(r, option, (enum policy_use)use);
}

static void each_thing_asked_for(void)
{
	make_tree();
	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		if (has_device || !strstr(rows[i].value, "/device"))
			try_all(&rows[i]);
	}
}

/* What only the options give: the text of the engine's member, "" if it has none. */
static void what_only_options_give(void)
{
	static char runsc[] = "runsc", all[] = "all", two[] = "2", named[] = "device=a,b";
	static const struct {
		struct docker_options o;
		const char *member, *want[3]; /* of a workspace, a build, a helper */
	} cases[] = {
		{ { .pids = 99 }, "PidsLimit", { "99", "99", "99" } },
		{ { .disk_bytes = 5 },
		  "StorageOpt",
		  { "{\"size\":\"5\"}", "{\"size\":\"5\"}", "{\"size\":\"5\"}" } },
		{ { .runtime = runsc }, "Runtime", { "\"runsc\"", "\"runsc\"", "" } },
		{ { .gpus = all },
		  "DeviceRequests",
		  { "[{\"Count\":-1,\"Capabilities\":[[\"gpu\"]]}]", "", "" } },
		{ { .gpus = two },
		  "DeviceRequests",
		  { "[{\"Count\":2,\"Capabilities\":[[\"gpu\"]]}]", "", "" } },
		{ { .gpus = named },
		  "DeviceRequests",
		  { "[{\"DeviceIDs\":[\"a\",\"b\"],\"Capabilities\":[[\"gpu\"]]}]", "", "" } },
	};

	for (size_t i = 0; i < 3 * TEST_N(cases); i++) {
		struct said said = { 0 };
		struct policy p = policy((enum policy_use)(i % 3), &cases[i / 3].o, NULL, &said);
		struct spec s = { .image = mem_dup("i") };
		struct admitted *a;
		struct json_doc *doc;
		struct str body = { 0 };
		struct buf have = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		spec_apply_options(&s, &cases[i / 3].o);
		a = policy_admit(&p, &s);
		CHECK_INT(admitted_body(a, &body, &e), 0);
		doc = json_parse(body, 1u << 20, &e);
		buf_add_str(&have, json_raw(json_get(json_get(json_root(doc), "HostConfig"),
		                                     cases[i / 3].member)));
		CHECK_STR(buf_cstr(&have), cases[i / 3].want[i % 3]);
		CHECK_INT(said.count, 0);
		json_doc_free(doc);
		buf_free(&have);
		buf_free(&said.text);
		admitted_free(a);
		spec_free(&s);
	}
}

/* As capabilities(7) writes it and without CAP_, in three cases. */
static void each_capability(void)
{
	for (size_t i = 0; i < TEST_N(caps); i++) {
		TEST_ROW(i);
		for (int spelling = 0; spelling < 6; spelling++) {
			char name[64];

			snprintf(name, sizeof(name), "%s%s", spelling % 2 ? "CAP_" : "",
			         caps[i].name);
			for (size_t k = 0; name[k]; k++)
				if (spelling / 2 == 1 || (spelling / 2 == 2 && k % 2))
					name[k] = (char)tolower((unsigned char)name[k]);
			try_all(&(struct row){
				CAP, name, NULL,
				caps[i].safe || (strcasecmp(caps[i].name, "CAP_CHOWN") == 0 &&
			                         spelling % 2 == 0)
					? ALL
					: HOST_PRIVILEGED });
		}
	}
}

static void no_place_is_over_our_program(void)
{
	for (size_t i = 0; i < TEST_N(bad_targets); i++) {
		char arg[64];

		TEST_ROW(i);
		/* A refusal names the source, or the place where there is none. */
		try_all(&(struct row){ BIND, "@/data", bad_targets[i], NEVER });
		try_all(&(struct row){ VOLUME, "cache", bad_targets[i], NEVER });
		try_all(&(struct row){ TMPFS, "", bad_targets[i], NEVER });
		try_all(&(struct row){ TMPFS_ARG, bad_targets[i], NULL, NEVER });
		snprintf(arg, sizeof(arg), "%s:exec,dev,suid", bad_targets[i]);
		try_all(&(struct row){ TMPFS_ARG, arg, NULL, NEVER });
	}
	for (size_t i = 0; i < TEST_N(good_targets); i++) {
		TEST_ROW(i);
		try_all(&(struct row){ BIND, "@/data", good_targets[i], MOUNT });
		try_all(&(struct row){ VOLUME, "cache", good_targets[i], OWN_VOLUME });
		try_all(&(struct row){ TMPFS, "", good_targets[i], MOUNT });
		try_all(&(struct row){ TMPFS_ARG, good_targets[i], NULL, ALL });
	}
}

/* The checkout goes where workspaceFolder and workspaceMount say, which the repository writes: without it there is no
 * container. */
static void the_checkout_is_not_put_over_our_program(void)
{
	const struct docker_options o = { .privileged = true };

	for (size_t i = 0; i < TEST_N(bad_targets); i++) {
		struct said said = { 0 };
		struct policy p = policy(POLICY_WORKSPACE, &o, NULL, &said);
		struct spec s = { .image = mem_dup("i") };
		struct admitted *a;
		struct str body;
		struct err e = { 0 };

		TEST_ROW(i);
		spec_mount(&s, "bind", checkout, bad_targets[i], false);
		a = policy_admit(&p, &s);
		CHECK_INT(admitted_body(a, &body, &e), -1);
		CHECK_INT(e.kind, ERR_CONFIG);
		CHECK(strstr(e.msg, bad_targets[i]));
		CHECK_INT(said.count, 1);
		buf_free(&said.text);
		admitted_free(a);
		spec_free(&s);
	}
}

TEST_MAIN(TEST(each_thing_asked_for), TEST(what_only_options_give), TEST(each_capability),
          TEST(no_place_is_over_our_program), TEST(the_checkout_is_not_put_over_our_program))
