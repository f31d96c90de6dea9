/* SPDX-License-Identifier: Apache-2.0 */
/* Features of dev containers: which, in what order, with what in their environment, and the build that comes of it. */
#include "base/mem.h"
#include "providers/devcontainer/features.h"
#include "tests/test.h"

#include <stdlib.h>

/* Documents by resource, in place of registries. */
struct shelf {
	struct json_doc *doc;
	struct buf asked;
};

static int from_shelf(void *arg, const struct feature *f, const char *path, struct buf *json,
                      struct err *e)
{
	struct shelf *s = arg;
	struct json v = json_get(json_root(s->doc), f->resource);

	buf_addf(&s->asked, "%s>%s;", f->ref, path);
	if (!json_present(v))
		return err_set(e, ERR_NOT_FOUND, 0, "no such feature");
	buf_add_str(json, json_raw(v));
	return 0;
}

static struct json_doc *parse(const char *text)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(str_of(text), strlen(text), &e);

	if (!CHECK(doc != NULL))
		fprintf(stderr, "  %s: %s\n", e.msg, text);
	return doc;
}

/* "ref;ref" in the order of installation, or "!" and the error. */
static void plan(const char *shelf, const char *root, struct buf *out)
{
	struct json_doc *doc = parse(root);
	struct shelf s = { .doc = parse(shelf) };
	struct features fs;
	size_t order[FEATURES_MAX];
	struct err e = { 0 };

	if (features_collect(&fs, json_root(doc), "/d", from_shelf, &s, &e) == 0 &&
	    features_order(&fs, json_get(json_root(doc), "overrideFeatureInstallOrder"), order,
	                   &e) == 0) {
		for (size_t i = 0; i < fs.n; i++)
			buf_addf(out, "%s%s", i ? ";" : "", fs.list[order[i]].ref);
	} else {
		buf_addf(out, "!%s", e.msg);
	}
	features_free(&fs);
	json_doc_free(s.doc);
	json_doc_free(doc);
	buf_free(&s.asked);
}

static void the_order_is_the_specifications(void)
{
	static const struct {
		const char *shelf, *root, *want;
	} rows[] = {
		{ "{}", "{}", "" },
		{ "{\"r.io/f/b\":{},\"r.io/f/a\":{}}",
		  "{\"features\":{\"r.io/f/b:1\":{},\"r.io/f/a:2\":{}}}", "r.io/f/a:2;r.io/f/b:1" },
		{ "{\"r.io/f/b\":{},\"r.io/f/a\":{\"installsAfter\":[\"r.io/f/b\"]}}",
		  "{\"features\":{\"r.io/f/b\":{},\"r.io/f/a\":{}}}", "r.io/f/b;r.io/f/a" },
		/* The version of a name says nothing there, nor its case. */
		{ "{\"r.io/f/b\":{},\"r.io/f/a\":{\"installsAfter\":[\"R.io/f/B:9\"]}}",
		  "{\"features\":{\"r.io/F/b:1\":{},\"r.io/f/a\":{}}}", "r.io/f/b:1;r.io/f/a" },
		/* What is not there is not waited for. */
		{ "{\"r.io/f/a\":{\"installsAfter\":[\"r.io/f/none\"]}}",
		  "{\"features\":{\"r.io/f/a\":{}}}", "r.io/f/a" },
		/* What is depended on is added, once, first. */
		{ "{\"r.io/f/a\":{\"dependsOn\":{\"r.io/f/z:1\":{\"v\":true}}},"
		  "\"r.io/f/b\":{\"dependsOn\":{\"r.io/f/z:1\":{\"v\":true}}},\"r.io/f/z\":{}}",
		  "{\"features\":{\"r.io/f/a\":{},\"r.io/f/b\":{}}}",
		  "r.io/f/z:1;r.io/f/a;r.io/f/b" },
		/* With other options it is another one. */
		{ "{\"r.io/f/a\":{\"dependsOn\":{\"r.io/f/z:1\":{\"v\":true}}},\"r.io/f/z\":{}}",
		  "{\"features\":{\"r.io/f/a\":{},\"r.io/f/z:1\":{}}}",
		  "r.io/f/z:1;r.io/f/z:1;r.io/f/a" },
		{ "{\"./x\":{},\"./y\":{},\"r.io/f/a\":{}}",
		  "{\"features\":{\"r.io/f/a\":\"1.2\",\"./y\":{},\"./x\":true},"
		  "\"overrideFeatureInstallOrder\":[\"./y\",\"r.io/f/a\"]}",
		  "./y;r.io/f/a;./x" },
		/* A wish does not go before a need. */
		{ "{\"./x\":{},\"./y\":{\"dependsOn\":{\"./x\":{}}}}",
		  "{\"features\":{\"./y\":{}},\"overrideFeatureInstallOrder\":[\"./y\"]}",
		  "./x;./y" },
		/* Rounds: what becomes free waits for the next. */
		{ "{\"./a\":{},\"./b\":{\"installsAfter\":[\"./a\"]},\"./c\":{}}",
		  "{\"features\":{\"./a\":{},\"./b\":{},\"./c\":{}}}", "./a;./c;./b" },
		{ "{\"./x\":{}}", "{\"features\":{\"./x\":false}}", "" },
		{ "{\"./x\":{\"dependsOn\":{\"./x\":{}}}}", "{\"features\":{\"./x\":{}}}", "./x" },
		{ "{\"./x\":{\"dependsOn\":{\"./y\":{}}},\"./y\":{\"dependsOn\":{\"./x\":{}}}}",
		  "{\"features\":{\"./x\":{}}}",
		  "!features depend on each other in a circle, \"./x\" too" },
		{ "{}", "{\"features\":{\"go\":{}}}",
		  "!feature \"go\" names no registry; is ghcr.io/devcontainers/features/go meant?" },
		{ "{}", "{\"features\":{\"https://x/y.tgz\":{}}}",
		  "!feature \"https://x/y.tgz\": an archive by URL is named "
		  "devcontainer-feature-NAME.tgz" },
		/* By URL: as it is written, and by all of it. */
		{ "{\"https://X.io/Z/devcontainer-feature-u.tgz\":{},"
		  "\"r.io/f/a\":{\"installsAfter\":[\"https://X.io/Z/devcontainer-feature-u.tgz\"]}}",
		  "{\"features\":{\"r.io/f/a\":{},"
		  "\"https://X.io/Z/devcontainer-feature-u.tgz\":{}}}",
		  "https://X.io/Z/devcontainer-feature-u.tgz;r.io/f/a" },
		/* It was called so once, or it is named by its old name and calls itself so: in the same place alone. */
		{ "{\"r.io/f/node\":{\"legacyIds\":[\"js\",\"nodejs\"]},"
		  "\"r.io/f/a\":{\"installsAfter\":[\"r.io/f/nodejs:2\"]}}",
		  "{\"features\":{\"r.io/f/a\":{},\"r.io/f/node:1\":{}}}",
		  "r.io/f/node:1;r.io/f/a" },
		{ "{\"r.io/f/nodejs\":{\"id\":\"node\",\"legacyIds\":[\"nodejs\"]},"
		  "\"r.io/f/a\":{\"installsAfter\":[\"r.io/f/node\"]}}",
		  "{\"features\":{\"r.io/f/a\":{},\"r.io/f/nodejs:1\":{}}}",
		  "r.io/f/nodejs:1;r.io/f/a" },
		{ "{\"r.io/f/node\":{\"legacyIds\":[\"nodejs\"]},"
		  "\"r.io/f/a\":{\"installsAfter\":[\"r.io/g/nodejs\"]}}",
		  "{\"features\":{\"r.io/f/a\":{},\"r.io/f/node:1\":{}}}",
		  "r.io/f/a;r.io/f/node:1" },
		{ "{\"r.io/f/node\":{\"legacyIds\":[\"nodejs\"]},\"r.io/f/a\":{}}",
		  "{\"features\":{\"r.io/f/a\":{},\"r.io/f/node:1\":{}},"
		  "\"overrideFeatureInstallOrder\":[\"r.io/f/nodejs\"]}",
		  "r.io/f/node:1;r.io/f/a" },
		{ "{\"./x\":{}}", "{\"features\":{\"./x\":[]}}",
		  "!feature \"./x\": its options are neither an object nor a version" },
		{ "{}", "{\"features\":{\"./x\":{}}}", "!feature \"./x\": no such feature" },
		{ "{\"./x\":[]}", "{\"features\":{\"./x\":{}}}",
		  "!feature \"./x\": devcontainer-feature.json is no object" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf out = { 0 };

		TEST_ROW(i);
		plan(rows[i].shelf, rows[i].root, &out);
		CHECK_STR(buf_cstr(&out), rows[i].want);
		buf_free(&out);
	}
}

/* Each depends on the next with other options: more than there may be. */
static void a_chain_has_an_end(void)
{
	struct buf shelf = { 0 }, out = { 0 };

	buf_addc(&shelf, '{');
	for (int i = 0; i < 2 * FEATURES_MAX; i++)
		buf_addf(&shelf, "%s\"./%d\":{\"dependsOn\":{\"./%d\":{}}}", i ? "," : "", i,
		         i + 1);
	buf_addc(&shelf, '}');
	plan(buf_cstr(&shelf), "{\"features\":{\"./0\":{}}}", &out);
	CHECK(strstr(buf_cstr(&out), "more than 64 features") != NULL);
	buf_free(&shelf);
	buf_free(&out);
}

static struct features one(struct shelf *s, const char *options, const char *document)
{
	struct buf root = { 0 }, shelf = { 0 };
	struct features fs;
	struct json_doc *doc;
	struct err e = { 0 };

	buf_addf(&root, "{\"features\":{\"r.io/f/x:1\":%s}}", options);
	buf_addf(&shelf, "{\"r.io/f/x\":%s}", document);
	doc = parse(buf_cstr(&root));
	*s = (struct shelf){ .doc = parse(buf_cstr(&shelf)) };
	if (!CHECK_INT(features_collect(&fs, json_root(doc), "/d", from_shelf, s, &e), 0))
		fprintf(stderr, "  %s\n", e.msg);
	json_doc_free(doc);
	buf_free(&root);
	buf_free(&shelf);
	return fs;
}

static void options_become_variables(void)
{
	static const struct {
		const char *options, *document, *want;
	} rows[] = {
		{ "{}", "{}", "" },
		{ "\"1.2\"", "{}", "export VERSION=1.2\n" },
		{ "{}", "{\"options\":{\"version\":{\"type\":\"string\",\"default\":\"lts\"}}}",
		  "export VERSION=lts\n" },
		{ "{\"version\":\"9\"}", "{\"options\":{\"version\":{\"default\":\"lts\"}}}",
		  "export VERSION=9\n" },
		{ "{\"install-x\":true,\"9lives\":\"a b\",\"n\":3}", "{}",
		  "export INSTALL_X=true\nexport _LIVES='a b'\nexport N=3\n" },
		{ "{\"a;rm -rf /\":\"$(id)'`x`\\n\"}", "{}",
		  "export A_RM__RF__='$(id)'\\''`x`\n'\n" },
		{ "{\"a\":{},\"b\":[],\"c\":null}", "{}", "" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct shelf s;
		struct features fs = one(&s, rows[i].options, rows[i].document);
		struct buf b = { 0 };
		const char *own;

		TEST_ROW(i);
		feature_env(&fs.list[0], "dev", "root", &b);
		own = strstr(buf_cstr(&b), "export _CONTAINER_USER_HOME");
		CHECK(strstr(buf_cstr(&b), "export _REMOTE_USER=dev\n") && own);
		CHECK_STR(own ? strchr(own, '\n') + 1 : "", rows[i].want);
		features_free(&fs);
		json_doc_free(s.doc);
		buf_free(&s.asked);
		buf_free(&b);
	}
}

static void a_build_is_written(void)
{
	static const struct {
		const char *env, *user, *want; /* want NULL: refused */
	} rows[] = {
		{ "{}", "dev", "USER dev\n" },
		{ "{}", "", "USER root\n" },
		{ "{}", "1000:1000", "USER 1000:1000\n" },
		{ "{}", "a\nRUN evil", NULL },
		{ "{}", "$HOME", NULL },
		{ "{\"PATH\":\"/x:${PATH}\"}", "", "\nENV PATH=\"/x:${PATH}\"\nRUN " },
		{ "{\"A\":\"a\\\"b\\\\c\"}", "", "\nENV A=\"a\\\"b\\\\c\"\n" },
		{ "{\"A B\":\"x\"}", "", NULL },
		{ "{\"A\":\"x\\nRUN evil\"}", "", NULL },
		{ "{\"A\":\"x\\rRUN evil\"}", "", NULL },
		{ "{\"\":\"x\"}", "", NULL },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf document = { 0 }, text = { 0 };
		struct shelf s;
		struct features fs;
		size_t order[1] = { 0 };
		struct err e = { 0 };
		int rc;

		TEST_ROW(i);
		buf_addf(&document, "{\"containerEnv\":%s}", rows[i].env);
		fs = one(&s, "{}", buf_cstr(&document));
		rc = features_dockerfile(&fs, order, "base:1", rows[i].user, &text, &e);
		CHECK_INT(rc, rows[i].want ? 0 : -1);
		CHECK_INT(e.kind, rows[i].want ? ERR_NONE : ERR_CONFIG);
		if (rows[i].want)
			CHECK(str_starts(buf_str(&text), "FROM base:1\nUSER root\nADD 0.tar ") &&
			      strstr(buf_cstr(&text), rows[i].want));
		features_free(&fs);
		json_doc_free(s.doc);
		buf_free(&s.asked);
		buf_free(&document);
		buf_free(&text);
	}
}

static void what_is_asked_of_a_container_goes_into_the_label(void)
{
	static const struct {
		const char *base, *document, *want;
	} rows[] = {
		{ "", "{}", "[{\"id\":\"r.io/f/x:1\"}]" },
		{ "broken", "{\"init\":true}", "[{\"id\":\"r.io/f/x:1\",\"init\":true}]" },
		{ "{\"remoteUser\":\"a\"}", "{}",
		  "[{\"remoteUser\":\"a\"},{\"id\":\"r.io/f/x:1\"}]" },
		{ "[{\"a\":1},{\"b\":2}]", "{\"mounts\":[\"m\"],\"version\":\"1\"}",
		  "[{\"a\":1},{\"b\":2},{\"id\":\"r.io/f/x:1\",\"mounts\":[\"m\"]}]" },
		/* A user is not a feature's to choose, nor where commands of the host come from. */
		{ "",
		  "{\"remoteUser\":\"root\",\"initializeCommand\":\"x\",\"runArgs\":[\"--privileged\"]}",
		  "[{\"id\":\"r.io/f/x:1\"}]" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct shelf s;
		struct features fs = one(&s, "{}", rows[i].document);
		size_t order[1] = { 0 };
		struct buf b = { 0 };

		TEST_ROW(i);
		features_metadata(&fs, order, rows[i].base, &b);
		CHECK_STR(buf_cstr(&b), rows[i].want);
		features_free(&fs);
		json_doc_free(s.doc);
		buf_free(&s.asked);
		buf_free(&b);
	}
}

TEST_MAIN(TEST(the_order_is_the_specifications), TEST(a_chain_has_an_end),
          TEST(options_become_variables), TEST(a_build_is_written),
          TEST(what_is_asked_of_a_container_goes_into_the_label))
