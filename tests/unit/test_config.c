/* SPDX-License-Identifier: Apache-2.0 */
/* runner.ini: field cases 46, 101 to 104, 110; precedence; what `configure` writes reads back. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/config.h"
#include "tests/test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[TEST_PATH_SIZE];

static void write_mode(const char *name, struct str text, mode_t mode)
{
	struct err e = { 0 };
	char *path = path_join(dir, name);

	CHECK(file_replace(path, mode, text, &e) == 0);
	free(path);
}

static void write_ini(const char *text)
{
	write_mode("runner.ini", str_of(text), 0600);
}

static void fresh(void)
{
	static const char *const names[] = { "DAYTONA_RUNNER_SERVER_URL",
		                             "DAYTONA_RUNNER_SERVER_KEY",
		                             "DAYTONA_RUNNER_SERVER_KEY_FILE",
		                             "DAYTONA_RUNNER_RUNNER_NAME",
		                             "DAYTONA_RUNNER_NAME",
		                             "DAYTONA_RUNNER_PORT",
		                             "DAYTONA_RUNNER_CONFIG_DIR",
		                             "DEFAULT_LOG_FILE_MAX_SIZE",
		                             "DEFAULT_LOG_FILE_COMPRESS",
		                             "LOG_LEVEL",
		                             "XDG_CONFIG_HOME",
		                             "XDG_STATE_HOME",
		                             "DAYTONA_RUNNER_PROVIDER_DOCKER_PROVIDER_ENABLED" };
	struct err e = { 0 };

	for (size_t i = 0; i < TEST_N(names); i++)
		unsetenv(names[i]);
	if (dir[0])
		CHECK(file_remove_tree(dir, &e) == 0);
	CHECK(test_mkdtemp(dir));
	setenv("HOME", dir, 1);
}

static void values_come_from_the_file(void)
{
	struct config c = { 0 };
	struct err e = { 0 };

	fresh();
	write_ini(
		"\xef\xbb\xbf# comment\r\n[server]\r\nurl = https://a.test:3986/x ; kept\r\n  key=b64==\r\n"
		"heartbeat_s=7\r\npoll_timeout_s = 2m\r\n\r\n[runner]\r\nid: 9f1c2b3a4d5e\r\nname =  two words \r\n"
		"port = 0\r\ndrain_timeout = 1500ms\r\nlog_compress = no\r\n"
		"[provider \"docker-provider\"]\r\nenabled = false\r\nSock Path = /x#y\r\n");
	if (CHECK(config_load(&c, dir, NULL, &e) == 0)) {
		CHECK_STR(c.url, "https://a.test:3986/x ; kept");
		CHECK_STR(c.key, "b64==");
		CHECK_STR(c.id, "9f1c2b3a4d5e");
		CHECK_STR(c.name, "two words");
		CHECK_INT(c.port, 0);
		CHECK_INT(c.heartbeat_ms, 7000);
		CHECK_INT(c.poll_timeout_ms, 120000);
		CHECK_INT(c.drain_timeout_ms, 1500);
		CHECK(!c.log_compress);
		CHECK(c.log_local_time);
		CHECK_INT(c.log_max_size_mb, 100);
		CHECK_STR(c.sources[config_key_index("server.url")], "file:3");
		CHECK_STR(c.sources[config_key_index("runner.max_jobs")], "default");
		CHECK_INT(c.n_providers, 1);
		CHECK(config_provider_find(&c, "docker-provider") &&
		      !config_provider_find(&c, "docker-provider")->enabled);
		CHECK_STR(kv_get(&c.providers[0].options, "Sock Path"), "/x#y");
		CHECK(c.key_problem == NULL);
	} else {
		fprintf(stderr, "%s\n", e.msg);
	}
	config_free(&c);
	config_free(&c);
}

static void errors_name_file_and_line(void)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "[server]\nurl = a\nurll = b\n",
		  "runner.ini:3: unknown key \"urll\" in [server]; did you mean url" },
		{ "[servers]\n", "runner.ini:1: unknown section [servers]" },
		{ "\n\nurl = x\n", "runner.ini:3: \"url\" stands before the first section" },
		{ "[server]\nurl\n", "runner.ini:2: this is no \"key = value\" line" },
		{ "[server\nurl = x\n", "runner.ini:1: the section has no closing" },
		{ "[server]\n= x\n", "runner.ini:2: there is no key" },
		{ "[runner]\nport = 70000\n",
		  "runner.ini:2: port is a number from 0 to 65535, not \"70000\"" },
		{ "[runner]\nport = 12x\n", "runner.ini:2: port is a number" },
		{ "[runner]\nlog_compress = maybe\n",
		  "runner.ini:2: log_compress is true or false" },
		{ "[server]\nheartbeat_s = 0\n",
		  "runner.ini:2: heartbeat_s is a time from 10ms to 25 seconds" },
		{ "[runner]\nid = ../x\n", "runner.ini:2: id has letters" },
		{ "[runner]\nname = a\x01z\n", "runner.ini:2: name holds a control character" },
		{ "[provider docker]\n", "runner.ini:1: unknown section" },
		{ "[provider \"x/y\"]\n", "runner.ini:1: unknown section" },
		{ "[provider \"docker-provider\"]\nenabled = perhaps\n",
		  "runner.ini:2: enabled is true or false" },
		{ "[provider \"a-name-that-is-longer-than-what-inih-keeps-of-it\"]\n",
		  "runner.ini:1: section name" },
		{ "[server]\nkey = a\nkey_file = b\n", "key and key_file are both set" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct config c = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		fresh();
		write_ini(rows[i].text);
		CHECK(config_load(&c, dir, NULL, &e) < 0);
		CHECK_INT(e.kind, ERR_CONFIG);
		if (!CHECK(strstr(e.msg, rows[i].want)))
			fprintf(stderr, "  %s\n", e.msg);
		config_free(&c);
	}
}

static void nul_bytes_are_found(void)
{
	static const char text[] = "[server]\nurl = a\0b\n";
	struct config c = { 0 };
	struct err e = { 0 };

	fresh();
	write_mode("runner.ini", (struct str){ text, sizeof(text) - 1 }, 0600);
	CHECK(config_load(&c, dir, NULL, &e) < 0);
	CHECK(strstr(e.msg, "runner.ini:2: holds a NUL byte"));
	config_free(&c);
}

static void long_lines_are_whole_or_refused(void)
{
	static const size_t lengths[] = { 199, 200, 201, 1022, 1023, 1024, 4096, 65000 };

	for (size_t i = 0; i < TEST_N(lengths); i++) {
		struct buf text = { 0 }, value = { 0 };
		struct config c = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		fresh();
		for (size_t k = 0; k < lengths[i]; k++)
			buf_addc(&value, (char)('a' + k % 26));
		buf_addf(&text, "# %.*s\n[runner]\nname = %s\nid = x\n", 500, buf_cstr(&value),
		         buf_cstr(&value));
		write_ini(buf_cstr(&text));
		CHECK(config_load(&c, dir, NULL, &e) == 0);
		CHECK_STR(c.name, buf_cstr(&value));
		CHECK_STR(c.id, "x");
		config_free(&c);
		buf_free(&text);
		buf_free(&value);
	}
	TEST_ROW(-1);
	{
		struct buf text = { 0 };
		struct config c = { 0 };
		struct err e = { 0 };

		buf_adds(&text, "\n\n\n\n\n[runner]\nname = ");
		for (size_t k = 0; k < 100000; k++)
			buf_addc(&text, 'x');
		write_ini(buf_cstr(&text));
		CHECK(config_load(&c, dir, NULL, &e) < 0);
		CHECK(strstr(e.msg, "runner.ini:7: line too long"));
		config_free(&c);
		buf_free(&text);
	}
}

static void indented_lines_are_lines_and_the_last_counts(void)
{
	struct config c = { 0 };
	struct err e = { 0 };

	fresh();
	log_to_stderr(false);
	write_ini(
		"[server]\nurl=https://a\n  key=b\n[runner]\nname = one\n[server]\nurl=https://z\n");
	CHECK(config_load(&c, dir, NULL, &e) == 0);
	CHECK_STR(c.url, "https://z");
	CHECK_STR(c.key, "b");
	log_to_stderr(true);
	config_free(&c);
}

static void precedence_is_flag_environment_file_default(void)
{
	struct config c = { 0 };
	struct kv flags = { 0 };
	struct err e = { 0 };

	fresh();
	write_ini(
		"[server]\nurl = https://file\nkey = filekey\n[runner]\nname = file\nlog_max_size = 5\nport = 1\n");
	setenv("DAYTONA_RUNNER_SERVER_URL", "https://env", 1);
	setenv("DAYTONA_RUNNER_NAME", "short", 1);
	setenv("DAYTONA_RUNNER_PORT", "tcp://10.0.0.1:80", 1); /* an orchestrator's, not ours */
	setenv("DEFAULT_LOG_FILE_MAX_SIZE", "9", 1);
	setenv("DEFAULT_LOG_FILE_COMPRESS", "F", 1);
	setenv("LOG_LEVEL", "debug", 1);
	setenv("DAYTONA_RUNNER_PROVIDER_DOCKER_PROVIDER_ENABLED", "false", 1);
	kv_set(&flags, "runner.name", "flag");
	CHECK(config_load(&c, dir, &flags, &e) == 0);
	CHECK_STR(c.url, "https://env");
	CHECK_STR(c.sources[config_key_index("server.url")],
	          "environment DAYTONA_RUNNER_SERVER_URL");
	CHECK_STR(c.name, "flag");
	CHECK_INT(c.port, 1);
	CHECK_INT(c.log_max_size_mb, 5);
	CHECK(!c.log_compress);
	CHECK_STR(c.log_level, "debug");
	CHECK(config_provider_find(&c, "docker-provider") &&
	      !config_provider_find(&c, "docker-provider")->enabled);
	config_free(&c);

	kv_set(&flags, "runner.port", "x");
	CHECK(config_load(&c, dir, &flags, &e) < 0);
	CHECK_INT(e.kind, ERR_USAGE);
	CHECK(strstr(e.msg, "option --port"));
	config_free(&c);
	kv_free(&flags);
}

static void a_key_file_gives_the_key(void)
{
	struct config c = { 0 };
	struct err e = { 0 };
	char *path;

	fresh();
	write_mode("secret", STR_LIT("  k3y  \r\n\n"), 0600);
	write_ini("[server]\nkey_file = secret\n");
	CHECK(config_load(&c, dir, NULL, &e) == 0);
	CHECK_STR(c.key, "k3y");
	config_free(&c);

	/* The environment's file wins over the file's key. */
	write_ini("[server]\nkey = other\n");
	path = path_join(dir, "secret");
	setenv("DAYTONA_RUNNER_SERVER_KEY_FILE", path, 1);
	CHECK(config_load(&c, dir, NULL, &e) == 0);
	CHECK_STR(c.key, "k3y");
	config_free(&c);

	/* What editors put before it is no part of it, nor what secret managers put behind it. */
	write_mode("secret", STR_LIT("\xEF\xBB\xBFk3y\n"), 0600);
	CHECK(config_load(&c, dir, NULL, &e) == 0);
	CHECK_STR(c.key, "k3y");
	config_free(&c);

	/* A second line would become a header of its own. */
	write_mode("secret", STR_LIT("k3y\r\nX-Evil: 1\n"), 0600);
	CHECK(config_load(&c, dir, NULL, &e) == 0);
	CHECK(c.key == NULL && c.key_problem && strstr(c.key_problem, "inside the secret"));
	config_free(&c);
	write_mode("secret", STR_LIT("k3y\n"), 0600);

	/* Readable by others: the key is not used, and why is said where it is needed. */
	CHECK(chmod(path, 0644) == 0);
	CHECK(config_load(&c, dir, NULL, &e) == 0);
	CHECK(c.key == NULL);
	CHECK(c.key_problem && strstr(c.key_problem, "has mode 0644"));
	config_free(&c);
	free(path);

	unsetenv("DAYTONA_RUNNER_SERVER_KEY_FILE");
	setenv("DAYTONA_RUNNER_SERVER_KEY", "env-k3y\r\n", 1);
	setenv("DAYTONA_RUNNER_SERVER_URL", " https://env\n", 1);
	CHECK(config_load(&c, dir, NULL, &e) == 0);
	CHECK_STR(c.key, "env-k3y");
	CHECK_STR(c.url, "https://env");
	config_free(&c);
	unsetenv("DAYTONA_RUNNER_SERVER_KEY");
	unsetenv("DAYTONA_RUNNER_SERVER_URL");
	write_mode("runner.ini",
	           STR_LIT("[server]\nurl=https://a\nkey=k\n[runner]\nid=i\nname=n\n"), 0640);
	CHECK(config_load(&c, dir, NULL, &e) == 0);
	CHECK(config_require(&c, &e) < 0);
	CHECK(strstr(e.msg, "mode 0640"));
	config_free(&c);
}

static void what_is_missing_is_named_at_once(void)
{
	struct config c = { 0 };
	struct err e = { 0 };

	fresh();
	CHECK(config_load(&c, dir, NULL, &e) == 0);
	CHECK(!c.file_exists);
	CHECK(config_require(&c, &e) < 0);
	CHECK(strstr(e.msg, "API URL") && strstr(e.msg, "API key") &&
	      strstr(e.msg, "DAYTONA_RUNNER_RUNNER_ID") &&
	      strstr(e.msg, "DAYTONA_RUNNER_RUNNER_NAME"));
	config_free(&c);
	write_ini("[server]\nurl=http://far.test\nkey=k\n[runner]\nid=i\nname=n\n");
	CHECK(config_load(&c, dir, NULL, &e) == 0);
	CHECK(config_require(&c, &e) < 0 && strstr(e.msg, "in clear"));
	c.allow_http = true;
	CHECK(config_require(&c, &e) == 0);
	config_free(&c);
}

static void saved_values_read_back(void)
{
	static const char *const values[] = { "p;a#ss", "a ; b", "\"quoted\"",
		                              "=x",     ":y",    "[z]",
		                              "#hash",  ";semi", "\xc3\xa4\xe2\x82\xac",
		                              "a=b:c",  "%s\\n", "a  b" };
	static const char *const refused[] = { " lead", "trail ", "\ttab", "a\nb", "a\rb", "\x7f" };

	fresh();
	for (size_t i = 0; i < TEST_N(values); i++) {
		struct kv changes = { 0 };
		struct config c = { 0 };
		struct err e = { 0 };
		struct stat st;

		TEST_ROW(i);
		kv_set(&changes, "server.key", values[i]);
		kv_set(&changes, "provider \"docker-provider\".Sock Path", values[i]);
		CHECK(config_save(dir, &changes, &e) == 0);
		CHECK(config_load(&c, dir, NULL, &e) == 0);
		CHECK_STR(c.key, values[i]);
		CHECK(c.n_providers == 1 &&
		      strcmp(kv_get(&c.providers[0].options, "Sock Path"), values[i]) == 0);
		CHECK(stat(c.file, &st) == 0 && (st.st_mode & 07777) == 0600);
		config_free(&c);
		kv_free(&changes);
	}
	for (size_t i = 0; i < TEST_N(refused); i++) {
		struct kv changes = { 0 };
		struct config c = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		kv_set(&changes, "server.key", refused[i]);
		CHECK(config_save(dir, &changes, &e) < 0);
		CHECK_INT(e.kind, ERR_CONFIG);
		CHECK(config_load(&c, dir, NULL, &e) == 0);
		CHECK_STR(c.key, values[TEST_N(values) - 1]);
		config_free(&c);
		kv_free(&changes);
	}
}

static void saving_keeps_comments_order_and_line_ends(void)
{
	static const struct {
		const char *before, *name, *value, *after;
	} rows[] = {
		{ "# top\n[server]\n; why\nurl = a\n\n# tail\n[runner]\nname = n\n", "server.url",
		  "b", "# top\n[server]\n; why\nurl = b\n\n# tail\n[runner]\nname = n\n" },
		{ "[server]\nurl = a\n\n[runner]\nname = n\n", "server.ca_file", "/c",
		  "[server]\nurl = a\nca_file = /c\n\n[runner]\nname = n\n" },
		{ "[server]\r\nurl = a\r\n", "server.key", "k",
		  "[server]\r\nurl = a\r\nkey = k\r\n" },
		{ "[server]\nurl = a", "server.key", "k", "[server]\nurl = a\nkey = k\n" },
		{ "[server]\nurl = a\nurl: b\n", "server.url", "c", "[server]\nurl = c\n" },
		{ "[server]\nurl = a\nkey = k\n", "server.url", "", "[server]\nkey = k\n" },
		{ "[server]\nurl = a\n", "provider \"x\".enabled", "false",
		  "[server]\nurl = a\n\n[provider \"x\"]\nenabled = false\n" },
		{ "[server]\nurl = a\n[runner]\n[server]\nkey = b\n", "server.ca_dir", "/d",
		  "[server]\nurl = a\n[runner]\n[server]\nkey = b\nca_dir = /d\n" },
		{ "[server]\n", "server.url", "u", "[server]\nurl = u\n" },
		{ "#[server]\n#url = x\n", "server.url", "u",
		  "#[server]\n#url = x\n\n[server]\nurl = u\n" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct kv changes = { 0 };
		struct buf have = { 0 };
		struct err e = { 0 };
		char *path;

		TEST_ROW(i);
		fresh();
		write_ini(rows[i].before);
		kv_set(&changes, rows[i].name, rows[i].value);
		CHECK(config_save(dir, &changes, &e) == 0);
		path = path_join(dir, "runner.ini");
		CHECK(file_read(path, 1 << 20, &have, &e) == 0);
		CHECK_STR(buf_cstr(&have), rows[i].after);
		free(path);
		buf_free(&have);
		kv_free(&changes);
	}
}

static void impossible_changes_are_refused(void)
{
	static const char *const rows[][2] = { { "server.nothing", "x" },
		                               { "nothing", "x" },
		                               { "runner.port", "99999" },
		                               { "runner.id", "a/b" },
		                               { "runner.log_level", "loud" } };

	fresh();
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct kv changes = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		kv_set(&changes, rows[i][0], rows[i][1]);
		CHECK(config_save(dir, &changes, &e) < 0);
		kv_free(&changes);
	}
}

static void directories_follow_the_environment(void)
{
	struct err e = { 0 };
	char *p;

	fresh();
	setenv("HOME", "/h/me", 1);
	CHECK_STR(p = config_default_dir(&e),
	          geteuid() == 0 ? "/etc/daytona-runner" : "/h/me/.config/daytona-runner");
	free(p);
	setenv("XDG_CONFIG_HOME", "/xdg", 1);
	CHECK_STR(p = config_default_dir(&e), "/xdg/daytona-runner");
	free(p);
	setenv("XDG_CONFIG_HOME", "relative", 1);
	CHECK((p = config_default_dir(&e)) == NULL && strstr(e.msg, "XDG_CONFIG_HOME"));
	setenv("DAYTONA_RUNNER_CONFIG_DIR", "/given", 1);
	CHECK_STR(p = config_default_dir(&e), "/given");
	free(p);
	CHECK_STR(p = config_default_state_dir(NULL, &e), "/given/state");
	free(p);
	CHECK_STR(p = config_default_state_dir("/opt", &e), "/opt/state");
	free(p);
	fresh();
	if (geteuid() == 0) {
		CHECK_STR(p = config_default_state_dir(NULL, &e), "/var/lib/daytona-runner");
		free(p);
		unsetenv("HOME");
		CHECK_STR(p = config_default_dir(&e), "/etc/daytona-runner");
		free(p);
		setenv("HOME", "/", 1);
		CHECK_STR(p = config_default_dir(&e), "/etc/daytona-runner");
		free(p);
	}
}

static void the_reference_configuration_is_imported(void)
{
	static const char text[] =
		"{\"id\":\"9f1c2b3a4d5e\",\"name\":\"edge\",\"apiPort\":3999,\"serverApiKey\":\"KEY\","
		"\"serverApiUrl\":\"https://api.test\",\"providersDir\":\"/p\",\"logFile\":{\"path\":\"/l\","
		"\"maxSize\":50,\"maxBackups\":3,\"maxAge\":9,\"localTime\":false,\"compress\":true},"
		"\"ClientId\":\"c\",\"telemetryEnabled\":true}";
	struct kv changes = { 0 };
	struct config c = { 0 };
	struct err e = { 0 };
	char *path;

	fresh();
	write_mode("config.json", str_of(text), 0600);
	path = path_join(dir, "config.json");
	CHECK(config_import(path, &changes, &e) == 0);
	CHECK(config_save(dir, &changes, &e) == 0);
	CHECK(config_load(&c, dir, NULL, &e) == 0);
	CHECK_STR(c.id, "9f1c2b3a4d5e");
	CHECK_STR(c.key, "KEY");
	CHECK_INT(c.port, 3999);
	CHECK_INT(c.log_max_age_days, 9);
	CHECK(!c.log_local_time);
	config_free(&c);
	kv_free(&changes);
	write_mode("config.json", STR_LIT("{\"profiles\":[]}"), 0600);
	CHECK(config_import(path, &changes, &e) < 0);
	write_mode("config.json", STR_LIT("{\"id\":"), 0600);
	CHECK(config_import(path, &changes, &e) < 0);
	kv_free(&changes);
	free(path);
	{
		struct err ignored = { 0 };

		CHECK(file_remove_tree(dir, &ignored) == 0);
	}
	dir[0] = '\0';
}

TEST_MAIN(TEST(values_come_from_the_file), TEST(errors_name_file_and_line),
          TEST(nul_bytes_are_found), TEST(long_lines_are_whole_or_refused),
          TEST(indented_lines_are_lines_and_the_last_counts),
          TEST(precedence_is_flag_environment_file_default), TEST(a_key_file_gives_the_key),
          TEST(what_is_missing_is_named_at_once), TEST(saved_values_read_back),
          TEST(saving_keeps_comments_order_and_line_ends), TEST(impossible_changes_are_refused),
          TEST(directories_follow_the_environment), TEST(the_reference_configuration_is_imported))
