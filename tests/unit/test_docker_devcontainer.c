/* SPDX-License-Identifier: Apache-2.0 */
/* Dev container configurations, accounts of an image, container states. */
#include "base/allow.h"
#include "base/attr.h"
#include "providers/devcontainer/dclife.h"
#include "providers/devcontainer/devcontainer.h"
#include "providers/docker/engine/container.h"
#include "providers/docker/engine/users.h"
#include "providers/docker/workspace/dchelper.h"
#include "providers/docker/workspace/internal.h"
#include "tests/test.h"

#include <stdlib.h>

static struct devcontainer parse(const char *text)
{
	struct devcontainer dc;
	struct err e = { 0 };

	if (!CHECK_INT(dc_parse(&dc, str_of(text), ".devcontainer/devcontainer.json", "/host/app",
	                        "app", "id1", &e),
	               0))
		fprintf(stderr, "  %s\n", e.msg);
	return dc;
}

static void variables_are_expanded(void)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "${localWorkspaceFolder}/x", "/host/app/x" },
		{ "${localWorkspaceFolderBasename}", "app" },
		{ "${containerWorkspaceFolder}", "/w/app2" },
		{ "${containerWorkspaceFolderBasename}", "app2" },
		{ "${devcontainerId}", "id1" },
		{ "${localEnv:DC_TEST_OPEN}", "open" },
		{ "${env:DC_TEST_OPEN}", "open" },
		{ "${localEnv:DC_TEST_SECRET}", "" },
		{ "${localEnv:DC_TEST_SECRET:fallback:x}", "fallback:x" },
		{ "${localEnv:MISSING:d}", "d" },
		{ "${containerEnv:PATH}:/x", "/bin:/x" },
		{ "${containerEnv:NONE:y}", "y" },
		{ "${unknown} $x ${", "${unknown} $x ${" },
	};
	struct devcontainer dc = parse(
		"{\"workspaceFolder\":\"/w/${localWorkspaceFolderBasename}2\"}");
	struct kv env = { 0 };

	setenv("DC_TEST_OPEN", "open", 1);
	setenv("DC_TEST_SECRET", "secret", 1);
	kv_set(&env, "PATH", "/bin");
	dc.env_allow = "A, DC_TEST_OPEN";
	dc.container_env = &env;
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf b = { 0 };

		TEST_ROW(i);
		dc_expand(&dc, str_of(rows[i].text), &b);
		CHECK_STR(buf_cstr(&b), rows[i].want);
		buf_free(&b);
	}
	kv_free(&env);
	dc_free(&dc);
}

static void build_paths_stay_in_the_repository(void)
{
	static const struct {
		const char *text, *dockerfile, *context;
	} rows[] = {
		{ "{\"build\":{\"dockerfile\":\"Dockerfile\"}}", ".devcontainer/Dockerfile",
		  ".devcontainer" },
		{ "{\"build\":{\"dockerfile\":\"../Dockerfile\",\"context\":\"..\"}}", "Dockerfile",
		  "" },
		{ "{\"dockerFile\":\"a/D\",\"context\":\"a\"}", ".devcontainer/a/D",
		  ".devcontainer/a" },
		{ "{\"build\":{\"dockerfile\":\"D\",\"context\":\"../..\"}}", NULL, NULL },
		{ "{\"build\":{\"dockerfile\":\"../../etc/passwd\"}}", NULL, NULL },
		{ "{\"build\":{\"dockerfile\":\"/etc/passwd\"}}", NULL, NULL },
		{ "{\"build\":{\"dockerfile\":\"D\",\"context\":\"/\"}}", NULL, NULL },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct devcontainer dc = parse(rows[i].text);
		struct dc_build b;
		struct err e = { 0 };
		bool has = false;
		int rc = dc_build(&dc, &(struct asker){ 0 }, &b, &has, &e);

		TEST_ROW(i);
		CHECK(has);
		CHECK_INT(rc, rows[i].dockerfile ? 0 : -1);
		CHECK_STR(b.dockerfile, rows[i].dockerfile);
		CHECK_STR(b.context, rows[i].context);
		dc_build_free(&b);
		dc_free(&dc);
	}
}

static void count(void *arg, const char *text)
{
	(void)text;
	++*(int *)arg;
}

static struct spec fill(const char *text, bool privileged, int *refused)
{
	struct devcontainer dc = parse(text);
	const struct docker_options options = { .privileged = privileged };
	const struct policy policy = { .options = &options,
		                       .id = "w1",
		                       .from = { "/host/app", "/host/app", count, refused } };
	struct spec s = { 0 };

	*refused = 0;
	dc_fill_spec(&dc, &policy.from, &s);
	admitted_free(policy_admit(&policy, &s));
	dc_free(&dc);
	return s;
}

static void buildkit_is_asked_for_only_what_is_its_own(void)
{
	static const struct {
		const char *text;
		bool needs;
	} rows[] = {
		{ "FROM a\nRUN echo --mount\nCOPY a b\n", false },
		{ "# syntax=docker/dockerfile:1\nFROM a\n", false },
		{ "FROM a\n# RUN --mount=type=cache,target=/x y\n", false },
		{ "FROM a\nRUN --mount=type=cache,target=/x y\n", true },
		{ "FROM a\nrun  --network=none y\n", true },
		{ "FROM a\nRUN \\\n  --mount=type=cache,target=/x \\\n  y\n", true },
		{ "FROM a\nRUN a \\\n --mount\n", false },
		{ "FROM a\nCOPY --chown=1:1 --chmod=755 a b\n", true },
		{ "FROM a\nCOPY --from=x a b\n", false },
		{ "FROM a\nRUN <<EOF\necho\nEOF\n", true },
		{ "FROM a\nCOPY <<F /x\ny\nF\n", true },
		{ "FROM a\nRUN cat <<EOF\n", false },
		{ "FROM a\nRUN cat <<EOF >/x\ny\nEOF\n", true },
		{ "FROM a\nRUN bash -e <<-'EOF'\ny\n\tEOF\n", true },
		{ "FROM a\nRUN cat 3<<\"E\"\ny\nE\nRUN z\n", true },
		{ "FROM a\nRUN cat <<<EOF\nEOF\n", false },
		{ "FROM a\nRUN echo $((1<<2))\n2\n", false },
		{ "FROM a\nCOPY b <<F /x/\ny\nF\n", true },
		{ "FROM a\nRUN\t--mount=type=cache,target=/x\ty\n", true },
		{ "FROM a\nARG TARGETARCH\nRUN echo $TARGETARCH\n", true },
		{ "FROM a\nARG X=1 BUILDPLATFORM=b\n", true },
		{ "FROM a\nARG TARGETARCHIVE\nARG TARGET\n", false },
		{ "FROM --platform=$BUILDPLATFORM a\n", true },
		{ "FROM --platform=${TARGETOS}/arm64 a\n", true },
		{ "ARG P=linux/amd64\nFROM --platform=$P a\n", false },
		{ "FROM a\nADD https://github.com/a/b.git#v1 /x\n", true },
		{ "FROM a\nADD git@github.com:a/b.git /x\n", true },
		{ "FROM a\nADD https://host/b.github.tgz x.git /x\n", false },
		{ "RUN", false },
		{ "", false },
		{ "\\", false },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		CHECK_INT(dockerfile_needs_buildkit(str_of(rows[i].text)), rows[i].needs);
	}
	/* Each word that may begin a here-document is looked for in all that follows, so there are not many. */
	for (int words = 15; words <= 18; words++) {
		struct buf text = { 0 };

		buf_adds(&text, "FROM a\nRUN x");
		for (int i = 0; i < words; i++)
			buf_addf(&text, " <<W%d", i);
		buf_adds(&text, "\n");
		CHECK_INT(dockerfile_needs_buildkit(buf_str(&text)), words > 16);
		buf_free(&text);
	}
}

static void note(void *arg, const char *text)
{
	buf_addf(arg, "%s\n", text);
}

static void build_settings_are_read(void)
{
	struct devcontainer dc = parse(
		"{\"build\":{\"dockerfile\":\"D\",\"args\":{\"N\":3,\"T\":true,\"F\":1.5,\"S\":\"s\"},\"options\":["
		"\"--pull\",\"--build-arg\",\"O=1\",\"--label=a=b\",\"--label=daytona.workspace.id=x\",\"--network=host\","
		"\"--secret\",\"id=x,src=/etc/shadow\",\"--add-host\",\"h:1.2.3.4\",\"--target=t\",\"--platform\","
		"\"linux/arm64\",\"--no-cache\",\"--build-context=x=/\",\"--force-rm\",\"--build-arg\",\"P=2\"]}}");
	struct buf said = { 0 };
	const struct asker asker = { .say = note, .arg = &said };
	struct dc_build b;
	struct err e = { 0 };
	bool has = false;

	CHECK_INT(dc_build(&dc, &asker, &b, &has, &e), 0);
	CHECK_STR(kv_get(&b.args, "N"), "3");
	CHECK_STR(kv_get(&b.args, "T"), "true");
	CHECK_STR(kv_get(&b.args, "F"), "1.5");
	CHECK_STR(kv_get(&b.args, "S"), "s");
	CHECK_STR(kv_get(&b.args, "O"), "1");
	CHECK_STR(kv_get(&b.args, "P"), "2");
	CHECK(b.pull && b.no_cache);
	CHECK_STR(b.target, "t");
	CHECK_STR(b.platform, "linux/arm64");
	CHECK_INT((long long)b.labels.n, 1);
	CHECK_STR(kv_get(&b.labels, "a"), "b");
	CHECK_INT((long long)b.extra_hosts.n, 1);
	CHECK_STR(buf_cstr(&said),
	          "dev container: build.options --label is not taken over\n"
	          "dev container: build.options --network is not taken over\n"
	          "dev container: build.options --secret is not taken over\n"
	          "dev container: build.options --build-context is not taken over\n"
	          "dev container: build.options --force-rm is not taken over\n");
	buf_free(&said);
	dc_build_free(&b);
	dc_free(&dc);
}

static void no_setting_is_dropped_without_a_word(void)
{
	static const struct {
		const char *text, *said;
	} rows[] = {
		{ "{\"image\":\"x\",\"customizations\":{},\"waitFor\":\"onCreateCommand\"}", "" },
		{ "{\"appPort\":3000}",
		  "dev container: \"appPort\" has no effect here: name the ports in forwardPorts\n" },
		{ "{\"hostRequirements\":{\"gpu\":true}}", "" },
		{ "{\"hostRequirements\":{\"gpu\":true,\"memory\":\"8gb\",\"gpus\":1}}",
		  "dev container: \"hostRequirements.memory\" has no effect here: the target's option Memory is a limit\n"
		  "dev container: \"hostRequirements.gpus\" is no setting that is known; did you mean gpu?\n" },
		{ "{\"fetures\":{}}",
		  "dev container: \"fetures\" is no setting that is known; did you mean features?\n" },
		{ "{\"build\":{\"dockerFile\":\"D\"}}",
		  "dev container: \"build.dockerFile\" is no setting that is known; did you mean dockerfile?\n" },
		{ "{\"runArgs\":\"--init\",\"init\":\"true\",\"image\":null,\"onCreateCommand\":[\"a\"]}",
		  "dev container: \"runArgs\" has no effect here: it is not a list\n"
		  "dev container: \"init\" has no effect here: it is not true or false\n" },
		{ "{\"build\":{\"args\":{\"A\":[1],\"B\":2},\"cacheFrom\":{}},\"remoteEnv\":{\"A\":null,\"B\":{}}}",
		  "dev container: \"remoteEnv.B\" has no effect here: it is not a text\n"
		  "dev container: \"build.args.A\" has no effect here: it is not a text\n"
		  "dev container: \"build.cacheFrom\" has no effect here: it is not a text or a list\n" },
		{ "{\"shutdownAction\":\"none\",\"hostRequirements\":{\"gpu\":{\"cores\":1}}}",
		  "dev container: \"shutdownAction\" has no effect here: a workspace runs until somebody stops it on the Server\n"
		  "dev container: \"hostRequirements.gpu.cores\" has no effect here: no engine can be told\n" },
		{ "{\"userEnvProbe\":\"loginshell\"}",
		  "dev container: \"userEnvProbe\" has no effect here: it is not none, interactiveShell, loginShell or loginInteractiveShell\n" },
		{ "{\"userEnvProbe\":\"none\"}", "" },
		{ "{\"zzzzzz\":1}", "dev container: \"zzzzzz\" is no setting that is known\n" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct devcontainer dc = parse(rows[i].text);
		struct buf said = { 0 };

		TEST_ROW(i);
		dc_name_unknown(&dc, &(struct asker){ .say = note, .arg = &said });
		CHECK_STR(buf_cstr(&said), rows[i].said);
		buf_free(&said);
		dc_free(&dc);
	}
}

static void a_variable_of_the_host_needs_to_be_allowed(void)
{
	struct devcontainer dc = parse(
		"{\"runArgs\":[\"-e\",\"DR_YES\",\"-e\",\"DR_NO\",\"--env=DR_UNSET\",\"-e\",\"E=\"]}");
	struct buf said = { 0 };
	const struct asker asker = { .say = note, .arg = &said };
	struct spec s = { 0 };

	setenv("DR_YES", "y", 1);
	setenv("DR_NO", "n", 1);
	unsetenv("DR_UNSET");
	dc.env_allow = "DR_YES,DR_UNSET";
	dc_fill_spec(&dc, &asker, &s);
	CHECK_STR(kv_get(&s.env, "DR_YES"), "y");
	CHECK_STR(kv_get(&s.env, "E"), "");
	CHECK(!kv_get(&s.env, "DR_NO") && !kv_get(&s.env, "DR_UNSET"));
	CHECK_STR(buf_cstr(&said), "dev container: runArgs -e DR_NO is not taken over\n"
	                           "dev container: runArgs --env DR_UNSET is not taken over\n");
	buf_free(&said);
	spec_free(&s);
	dc_free(&dc);
}

static void safe_settings_are_taken(void)
{
	int refused;
	struct spec s = fill(
		"{ // a comment\n"
		"\"containerUser\": \"dev\", \"containerEnv\": {\"A\": \"1\", \"N\": 2, \"X\": null,},\n"
		"\"mounts\": [\"source=cache,target=/cache,type=volume\",\n"
		"  {\"type\":\"bind\",\"source\":\"${localWorkspaceFolder}/data\",\"target\":\"/data\"}],\n"
		"\"runArgs\": [\"--init\", \"--cap-add=SYS_PTRACE\", \"--shm-size\", \"1g\", \"-e\", \"B=2\","
		" \"--add-host=h:1.2.3.4\", \"--hostname\", \"box\", \"--network\", \"none\"],\n"
		"\"forwardPorts\": [3000, \"db:5432\"], \"overrideCommand\": false }",
		false, &refused);

	CHECK_INT(refused, 0);
	CHECK_STR(s.user, "dev");
	CHECK_STR(kv_get(&s.env, "A"), "1");
	CHECK_STR(kv_get(&s.env, "N"), "2");
	CHECK_STR(kv_get(&s.env, "B"), "2");
	CHECK_INT((long long)s.n_mounts, 3);
	CHECK_STR(s.mounts[0].target, "/workspaces/app");
	CHECK_STR(s.mounts[2].source, "/host/app/data");
	CHECK(s.init);
	CHECK_INT(s.shm_bytes, 1 << 30);
	CHECK_STR(s.hostname, "box");
	CHECK_STR(s.network, "none");
	CHECK_STR(s.mounts[1].source, "daytona-2-w1.cache");
	CHECK_STR(kv_get(&s.labels, "daytona.devcontainer.forwardPorts"), "3000,db:5432");
	CHECK_INT(s.entry, ENTRY_IMAGE);
	spec_free(&s);
}

static void ways_to_the_host_are_refused(void)
{
	static const char *const bad[] = {
		"{\"privileged\":true}",
		"{\"runArgs\":[\"--privileged\"]}",
		"{\"runArgs\":[\"--network=host\"]}",
		"{\"runArgs\":[\"--network\",\"container:x\"]}",
		"{\"runArgs\":[\"--network=mine\"]}",
		"{\"runArgs\":[\"--pid=host\"]}",
		"{\"runArgs\":[\"-v\",\"/:/host\"]}",
		"{\"runArgs\":[\"--device=/dev/sda\"]}",
		"{\"runArgs\":[\"--read-only\"]}", /* nothing of ours could be put in */
		"{\"runArgs\":[\"--cap-add\",\"SYS_ADMIN\"]}",
		"{\"runArgs\":[\"--security-opt\",\"seccomp=unconfined\"]}",
		"{\"runArgs\":[\"--label\",\"com.docker.compose.project=x\"]}",
		"{\"runArgs\":[\"--label=daytona.workspace.id=x\"]}",
		"{\"mounts\":[\"source=/,target=/host,type=bind\"]}",
		"{\"mounts\":[\"source=/host/app/../..,target=/host,type=bind\"]}",
		"{\"mounts\":[\"source=/host/apple,target=/host,type=bind\"]}",
		"{\"workspaceMount\":\"source=/etc,target=/w,type=bind\"}",
		"{\"capAdd\":[\"ALL\"]}",
	};

	for (size_t i = 0; i < TEST_N(bad); i++) {
		int refused;
		struct spec s = fill(bad[i], false, &refused);

		TEST_ROW(i);
		CHECK_INT(refused, 1);
		CHECK(!s.privileged && !s.network && !s.cap_add.n && !s.security_opt.n);
		for (size_t n = 0; n < s.labels.n; n++)
			CHECK_STR(s.labels.pairs[n].value, "");
		CHECK_INT((long long)s.n_mounts, 1);
		CHECK_STR(s.mounts[0].source, "/host/app");
		spec_free(&s);
	}
}

/* Each list that is taken over: so many members and one more, in the file and in an image's label. */
static void a_shell_says_its_variables(void)
{
#define M PROBE_MARK
	const struct {
		struct str said;
		const char *path, *want; /* NULL: it did not */
	} rows[] = {
		{ STR_LIT(""), NULL, NULL },
		{ STR_LIT(M), NULL, NULL },
		{ STR_LIT("motd\n" M "A=1\0B=a=b\0" M "bye"), NULL, "A=1;B=a=b;" },
		{ STR_LIT(M M), NULL, "" },
		{ STR_LIT(M "PWD=/\0SHLVL=1\0_=x\0=y\0Z\0A=\0" M), NULL, "A=;" },
		{ STR_LIT(M "PATH=/own:/bin\0" M), "/bin:/usr/bin", "PATH=/own:/bin:/usr/bin;" },
		{ STR_LIT(M "PATH=/a\0" M), NULL, "PATH=/a;" },
		{ STR_LIT(M "A=1\n2\0A=3\0" M), "/bin", "A=3;" },
	};
	struct buf many = { 0 };
	struct kv out = { 0 };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct kv vars = { 0 };
		struct buf b = { 0 };

		TEST_ROW(i);
		CHECK(dc_probe_parse(rows[i].said, rows[i].path, &vars) == (rows[i].want != NULL));
		for (size_t k = 0; k < vars.n; k++)
			buf_addf(&b, "%s=%s;", vars.pairs[k].key, vars.pairs[k].value);
		CHECK_STR(buf_cstr(&b), rows[i].want ? rows[i].want : "");
		buf_free(&b);
		kv_free(&vars);
	}
	buf_adds(&many, M);
	for (int i = 0; i < 2 * PROBE_VARIABLES_MAX; i++)
		buf_add(&many,
		        (char[]){ (char)('A' + i % 26), (char)('A' + i / 26 % 26),
		                  (char)('A' + i / 676), '=', 0 },
		        5);
	buf_adds(&many, M);
	CHECK(dc_probe_parse(buf_str(&many), NULL, &out));
	CHECK_INT(out.n, PROBE_VARIABLES_MAX);
	kv_free(&out);
	buf_free(&many);
#undef M
}

static void ids_are_updated_unless_it_says_no(void)
{
	static const struct {
		const char *text, *label;
		bool want;
	} rows[] = {
		{ "{}", "", true },
		{ "{\"updateRemoteUserUID\":false}", "", false },
		{ "{}", "[{\"updateRemoteUserUID\":false}]", false },
		{ "{\"updateRemoteUserUID\":true}", "[{\"updateRemoteUserUID\":false}]", true },
		{ "{\"updateRemoteUserUID\":\"no\"}", "", true },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct devcontainer dc = parse(rows[i].text);

		TEST_ROW(i);
		dc_set_metadata(&dc, rows[i].label);
		CHECK(dc_updates_uid(&dc) == rows[i].want);
		dc_free(&dc);
	}
}

static void lists_have_a_limit(void)
{
	static const struct {
		const char *before, *member, *after;
		bool free; /* nothing takes it over */
	} rows[] = {
		{ "{\"mounts\":[", "\"type=tmpfs,target=/t\"", "]}", false },
		{ "{\"containerEnv\":{", "\"A%d\":\"1\"", "}}", false },
		{ "{\"remoteEnv\":{", "\"A%d\":\"1\"", "}}", false },
		{ "{\"runArgs\":[", "\"--init\"", "]}", false },
		{ "{\"capAdd\":[", "\"KILL\"", "]}", false },
		{ "{\"features\":{", "\"./f%d\":{}", "}}", false },
		{ "{\"forwardPorts\":[", "%d", "]}", false },
		{ "{\"postCreateCommand\":[", "\"true\"", "]}", false },
		{ "{\"build\":{\"args\":{", "\"A%d\":\"1\"", "}}}", false },
		{ "{\"build\":{\"cacheFrom\":[", "\"a\"", "]}}", false },
		{ "{\"settings\":{", "\"A%d\":\"1\"", "}}", true },
	};

	for (size_t i = 0; i < 2 * TEST_N(rows); i++) {
		int n = DC_LIST_MAX + (int)(i % 2);
		bool taken = i % 2 == 0 || rows[i / 2].free;
		struct buf text = { 0 }, label = { 0 };
		struct devcontainer dc = { 0 }, image = parse("{}");
		struct err e = { 0 };

		TEST_ROW(i);
		buf_adds(&text, rows[i / 2].before);
		for (int m = 0; m < n; m++) {
			char number[12];
			const char *part = rows[i / 2].member, *at = strstr(part, "%d");

			snprintf(number, sizeof(number), "%d", m);
			if (m)
				buf_addc(&text, ',');
			buf_add(&text, part, at ? (size_t)(at - part) : strlen(part));
			buf_adds(&text, at ? number : "");
			buf_adds(&text, at ? at + 2 : "");
		}
		buf_adds(&text, rows[i / 2].after);
		CHECK_INT(dc_parse(&dc, buf_str(&text), "f", "/host/app", "app", "id1", &e),
		          taken ? 0 : -1);
		CHECK_INT(e.kind, taken ? ERR_NONE : ERR_LIMIT);
		buf_addf(&label, "[{\"init\":true},%s]", buf_cstr(&text));
		dc_set_metadata(&image, buf_cstr(&label));
		CHECK_INT(image.n_layers, taken ? 3 : 2);
		dc_free(&image);
		dc_free(&dc);
		buf_free(&label);
		buf_free(&text);
	}
}

static void users_are_chosen_in_order(void)
{
	struct devcontainer dc = parse("{\"containerUser\":\"c\"}");
	char *user = dc_remote_user(&dc, "img");

	CHECK_STR(user, "c");
	free(user);
	dc_set_metadata(&dc, "[{\"remoteUser\":\"vscode\"},{\"id\":\"x\"}]");
	user = dc_remote_user(&dc, "img");
	CHECK_STR(user, "vscode");
	free(user);
	dc_free(&dc);
	dc = parse("{}");
	user = dc_remote_user(&dc, "img");
	CHECK_STR(user, "img");
	free(user);
	dc_set_metadata(&dc, "broken");
	user = dc_remote_user(&dc, "");
	CHECK_STR(user, "root");
	free(user);
	dc_free(&dc);
}

static void foreign_keys_are_named(void)
{
	struct devcontainer dc = parse("{\"features\":{\"x\":{}}}");

	CHECK(dc_has_features(&dc) && !dc_is_compose(&dc));
	dc_free(&dc);
	dc = parse("{\"features\":{},\"image\":\"a\"}");
	CHECK(!dc_has_features(&dc) && !dc_is_compose(&dc));
	dc_free(&dc);
	dc = parse("{\"dockerComposeFile\":\"c.yml\"}");
	CHECK(dc_is_compose(&dc));
	dc_free(&dc);
}

static void commands_have_two_plain_forms(void)
{
	struct devcontainer dc = parse(
		"{\"a\":\"make ${devcontainerId}\",\"b\":[\"x\",\"y z\"],\"c\":\"\",\"d\":1}");
	struct strlist l;

	CHECK(dc_command(&dc, json_get(dc.root, "a"), &l));
	CHECK_INT((long long)l.n, 3);
	CHECK_STR(l.n == 3 ? l.p[2] : NULL, "make id1");
	strlist_free(&l);
	CHECK(dc_command(&dc, json_get(dc.root, "b"), &l));
	CHECK_STR(l.n == 2 ? l.p[1] : NULL, "y z");
	strlist_free(&l);
	CHECK(!dc_command(&dc, json_get(dc.root, "c"), &l));
	CHECK(!dc_command(&dc, json_get(dc.root, "d"), &l));
	dc_free(&dc);
}

static void results_of_the_cli_are_found(void)
{
	char *id, *user;
	struct err e = { 0 };

	CHECK_INT(dc_helper_result(
			  STR_LIT("log {x}\r\n{\"outcome\":\"success\",\"containerId\":\"abc\","
	                          "\"remoteUser\":\"node\",\"x\":{\"y\":1}}\r\n"),
			  &id, &user, &e),
	          0);
	CHECK_STR(id, "abc");
	CHECK_STR(user, "node");
	free(id);
	free(user);
	CHECK_INT(
		dc_helper_result(
			STR_LIT("{\"outcome\":\"error\",\"message\":\"no\",\"description\":\"way\"}"),
			&id, &user, &e),
		-1);
	CHECK(strstr(e.msg, "no way") != NULL);
	CHECK_INT(dc_helper_result(STR_LIT("nothing"), &id, &user, &e), -1);
	CHECK_INT(dc_helper_result((struct str){ 0 }, &id, &user, &e), -1);
}

static const char passwd[] =
	"root:x:0:0:root:/root:/bin/bash\nbad line\ndev:x:1000:1000:,,,:/srv/dev:/bin/sh\n"
	"other:x:1001:1001::/srv/other:\n";
static const char group[] = "root:x:0:\ndev:x:1000:\nother:x:1001:dev\n";

static void accounts_are_read(void)
{
	struct account a;

	CHECK(passwd_find(STR_LIT(passwd), "dev", &a));
	CHECK_INT(a.uid, 1000);
	CHECK_STR(a.home, "/srv/dev");
	account_free(&a);
	CHECK(passwd_find(STR_LIT(passwd), "1001", &a));
	CHECK_STR(a.name, "other");
	account_free(&a);
	CHECK(!passwd_find(STR_LIT(passwd), "de", &a));
	CHECK(!passwd_find(STR_LIT(""), "root", &a));
}

static void accounts_are_renumbered(void)
{
	struct account a;
	struct buf p = { 0 }, g = { 0 };
	struct err e = { 0 };
	unsigned gid = 2000;

	if (!CHECK(passwd_find(STR_LIT(passwd), "dev", &a)))
		return;
	CHECK_INT(passwd_renumber(STR_LIT(passwd), STR_LIT(group), &a, 2000, &gid, &p, &g, &e), 0);
	CHECK_INT(gid, 2000);
	CHECK(strstr(buf_cstr(&p),
	             "\ndev:x:2000:2000:,,,:/srv/dev:/bin/sh\nother:x:1001:1001::/srv/other:\n"));
	CHECK_STR(buf_cstr(&g), "root:x:0:\ndev:x:2000:\nother:x:1001:dev\n");
	CHECK_INT((long long)strlen(passwd), (long long)p.n);
	gid = 1001; /* taken: the group stays */
	buf_reset(&p);
	buf_reset(&g);
	CHECK_INT(passwd_renumber(STR_LIT(passwd), STR_LIT(group), &a, 2000, &gid, &p, &g, &e), 0);
	CHECK_INT(gid, 1000);
	CHECK_STR(buf_cstr(&g), group);
	CHECK_INT(passwd_renumber(STR_LIT(passwd), STR_LIT(group), &a, 1001, &gid, &p, &g, &e), -1);
	CHECK(strstr(e.msg, "other") != NULL);
	account_free(&a);
	buf_free(&p);
	buf_free(&g);
}

static void states_are_mapped(void)
{
	static const struct {
		const char *text;
		enum container_state state;
	} rows[] = {
		{ "running", CS_RUNNING },     { "exited", CS_EXITED }, { "stopped", CS_EXITED },
		{ "created", CS_CREATED },     { "paused", CS_PAUSED }, { "removing", CS_REMOVING },
		{ "stopping", CS_RESTARTING }, /* Podman */
		{ "initialized", CS_CREATED }, { "weird", CS_UNKNOWN }, { "", CS_UNKNOWN },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		CHECK_INT(container_state_of(rows[i].text), rows[i].state);
	}
}

/* allow_images = debian: what each file takes is allowed, refused, or cannot be told, which is refused too. */
static void dockerfiles_take_allowed_images_only(void)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{ "FROM debian", true },
		{ "from debian:12 as base\nFROM base\nCOPY --from=base /a /b\nCOPY --from=0 /a /b",
		  true },
		{ "FROM --platform=$BUILDPLATFORM debian:12 AS b", true },
		{ "FROM scratch", true },
		{ "ARG V=12\nFROM debian:${V}", true },
		{ "ARG V=\"12\"\nARG N=debian\nFROM $N:$V", true },
		{ "ARG GIVEN\nFROM $GIVEN", true },
		{ "# syntax=debian\n# a comment\nFROM debian", true },
		{ "FROM debian\nRUN apt-get install -y x && \\\n# why\n  from=1 true", true },
		{ "FROM debian\nRUN --mount=type=cache,target=/c true", true },
		{ "FROM debian\nRUN python3 -c \"\\\nfrom os import sep\"", true },
		{ "FROM debian\nARG X=evil\nRUN echo $X", true },
		{ "FROM evil", false },
		{ "FROM debian\nFROM evil", false },
		{ "FROM debian AS b\nFROM evil AS b", false },
		{ "FROM debian AS b\nFROM 0", false },
		{ "FR\\\nOM evil", false },
		{ "FR\\ \t\r\n# c\n\nOM evil", false },
		{ "\\\nFROM evil", false },
		{ "RUN x \\\n\nFROM evil", true }, /* one instruction */
		{ "FROM\tevil", false },
		{ "FROM\vevil", false },
		{ "FROM debian\n\vFROM evil", false },
		{ "FROM debian\n\xc2\xa0"
		  "FROM evil",
		  false },
		{ "\xef\xbb\xbf"
		  "FROM evil",
		  false },
		{ "ARG V=12\nARG V=evil\nFROM $V", false },
		{ "ARG V=debian\nARG \"V\"=evil\nFROM $V", false },
		{ "ARG V=debian W=evil\nFROM $W", false },
		{ "FROM $UNKNOWN", false },
		{ "ARG V=debian\nFROM ${V:-evil}", false },
		{ "ARG V=debian\nFROM ${V/debian/evil}", false },
		{ "ARG GIVEN=debian\nARG BAD=debian\nFROM $BAD", false },
		{ "FROM \"debian\"", false },
		{ "FROM debian\nCOPY --from=evil /a /b", false },
		{ "FROM debian\nCOPY --from=1 /a /b", false },
		{ "FROM debian\nCOPY --fr\\\nom=evil /a /b", false },
		{ "FROM debian\nCOPY --from=\"evil\" /a /b", false },
		{ "ARG X=debian\nFROM debian\nARG X=evil\nCOPY --from=$X /a /b", false },
		{ "FROM debian\nRUN --mount=type=bind,from=evil,target=/x true", false },
		{ "FROM debian\nRUN --mount=target=/x,type=bind,from=evil true", false },
		{ "# syntax=evil\nFROM debian", false },
		{ "#syntax = evil\nFROM debian", false },
		{ "#!/usr/bin/x\n# syntax=evil\nFROM debian", false },
		{ "// syntax=evil\nFROM debian", false },
		{ "{\"syntax\": \"evil\"}", false },
		{ "# escape=`\nFROM debian", false },
		{ "FROM debian\nRUN <<\"E\\\\\"\nE\\\nFROM evil", false },
		{ "FROM debian\nRUN <<E\nx\nE\nFROM evil", false },
		/* A stage of a here-document is none. */
		{ "FROM debian\nRUN <<E\nFROM debian AS evil\nE\nFROM evil", false },
		{ "FROM debian\nRUN <<E\nFROM debian AS evil\nE\nCOPY --from=evil /a /b", false },
		{ "FROM debian\nRUN <<E\\\nx\nFROM debian AS evil\nE\nCOPY --from=evil /a /b",
		  false },
		{ "FROM debian AS b\nRUN <<E\nx\nE\nFROM b\nCOPY --from=b /a /b\nCOPY --from=1 /a /b",
		  true },
		{ "FROM debian\nONBUILD COPY --from=evil /a /b", false },
		{ "FROM debian\nONBUILD onbuild\tRUN --mount=from=evil,target=/x true", false },
		{ "FROM debian\nONBUILD RUN true", true },
	};
	struct kv given = { 0 }, frontend = { 0 };
	struct buf text = { 0 };
	struct err many = { 0 };

	kv_set(&given, "GIVEN", "debian:12");
	kv_set(&given, "BAD", "evil");
	kv_set(&frontend, "BUILDKIT_SYNTAX", "evil");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(dockerfile_admit(str_of(rows[i].text), &given, &e), 0);
		allow_set(ALLOW_IMAGES, "debian");
		CHECK_INT(dockerfile_admit(str_of(rows[i].text), &given, &e), rows[i].ok ? 0 : -1);
		CHECK_INT(dockerfile_admit(str_of(rows[i].text), &frontend, &e), -1);
		allow_set(ALLOW_IMAGES, NULL);
	}
	/* Variables multiply. */
	buf_addf(&text, "ARG A=%0*d\nFROM ", 100000, 0);
	for (size_t i = 0; i < 100000; i++)
		buf_adds(&text, "$A");
	allow_set(ALLOW_IMAGES, "debian");
	CHECK_INT(dockerfile_admit(buf_str(&text), &given, &many), -1);
	CHECK_INT(many.kind, ERR_DENIED);
	allow_set(ALLOW_IMAGES, NULL);
	buf_free(&text);
	kv_free(&given);
	kv_free(&frontend);
}

TEST_MAIN(TEST(dockerfiles_take_allowed_images_only), TEST(variables_are_expanded),
          TEST(build_paths_stay_in_the_repository), TEST(safe_settings_are_taken),
          TEST(ways_to_the_host_are_refused), TEST(build_settings_are_read),
          TEST(buildkit_is_asked_for_only_what_is_its_own),
          TEST(no_setting_is_dropped_without_a_word),
          TEST(a_variable_of_the_host_needs_to_be_allowed), TEST(a_shell_says_its_variables),
          TEST(ids_are_updated_unless_it_says_no), TEST(lists_have_a_limit),
          TEST(users_are_chosen_in_order), TEST(foreign_keys_are_named),
          TEST(commands_have_two_plain_forms), TEST(results_of_the_cli_are_found),
          TEST(accounts_are_read), TEST(accounts_are_renumbered), TEST(states_are_mapped))
