/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests, indexes, configurations and digests. */
#include "base/mem.h"
#include "oci/manifest.h"
#include "tests/test.h"

#include <stdlib.h>

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static const struct platform amd64 = { "linux", "amd64", "" };

static void digests_are_sha256_in_hex(void)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{ A, true },
		{ "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", true },
		{ "sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		  false },
		{ "sha256:../../../../../../../../../../../../../../../../../../../../etc/",
		  false },
		{ A "a", false },
		{ "sha256:aa", false },
		{ "sha512:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  false },
		{ "", false },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct digest d;

		TEST_ROW(i);
		CHECK_INT(digest_parse(str_of(rows[i].text), &d), rows[i].ok);
	}
	{
		struct digest d;

		digest_of(STR_LIT(""), &d);
		CHECK_STR(d.text, rows[1].text);
	}
}

static void manifests_are_read(void)
{
	static const struct {
		const char *text, *type, *want; /* part of the error, or NULL */
	} rows[] = {
		{ "{\"schemaVersion\":2,\"config\":{\"digest\":\"" A
		  "\",\"size\":2},\"layers\":[]}",
		  "", NULL },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_DOCKER_MANIFEST
		  "\",\"config\":{\"mediaType\":\"" MEDIA_DOCKER_CONFIG "\",\"digest\":\"" A
		  "\",\"size\":2},\"layers\":[{\"mediaType\":\"application/"
		  "vnd.docker.image.rootfs.diff.tar.gzip\",\"digest\":\"" B "\",\"size\":7}]}",
		  "", NULL },
		{ "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG
		  "\",\"digest\":\"" A
		  "\",\"size\":2},\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER
		  "+zstd\",\"digest\":\"" B "\",\"size\":7}]}",
		  MEDIA_OCI_MANIFEST, NULL },
		{ "{\"schemaVersion\":1}", "", "schema 1" },
		{ "{}", "", "no manifest" },
		{ "[]", "", "no manifest" },
		{ "{\"schemaVersion\":2}", "", "no sha256 digest" },
		{ "{\"schemaVersion\":2,\"config\":{\"digest\":\"" A
		  "\",\"size\":-1},\"layers\":[]}",
		  "", "no plausible size" },
		{ "{\"schemaVersion\":2,\"config\":{\"digest\":\"" A
		  "\",\"size\":9223372036854775807},\"layers\":[]}",
		  "", "no plausible size" },
		{ "{\"schemaVersion\":2,\"config\":{\"digest\":\"x\",\"size\":1},\"layers\":[]}",
		  "", "no sha256 digest" },
		{ "{\"schemaVersion\":2,\"config\":{\"digest\":\"" A
		  "\",\"size\":2},\"layers\":{}}",
		  "", "layers" },
		{ "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.cncf.helm\","
		  "\"digest\":\"" A "\",\"size\":2},\"layers\":[]}",
		  "", "vnd.cncf.helm" },
		{ "{\"schemaVersion\":2,\"config\":{\"digest\":\"" A
		  "\",\"size\":2},\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER
		  "+gzip+encrypted\",\"digest\":\"" B "\",\"size\":7}]}",
		  "", "encrypted" },
		{ "{\"schemaVersion\":2,\"config\":{\"digest\":\"" A
		  "\",\"size\":2},\"layers\":[],\"manifests\":[]}",
		  "", "both" },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
		  "\",\"manifests\":[],\"layers\":[]}",
		  "", "both" },
		{ "{\"schemaVersion\":2,\"mediaType\":\"text/html\"}", "", "text/html" },
		{ "{\"schemaVersion\":2,\"manifests\":[]}", "", "only for nothing" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct manifest manifest;
		struct err e = { 0 };
		int rc = manifest_parse(str_of(rows[i].text), rows[i].type, &amd64, &manifest, &e);

		TEST_ROW(i);
		CHECK_INT(rc, rows[i].want ? -1 : 0);
		if (!CHECK(!rows[i].want || strstr(e.msg, rows[i].want)))
			fprintf(stderr, "  %s\n", e.msg);
		if (rc == 0) {
			CHECK_STR(manifest.config.digest.text, A);
			CHECK(manifest.n_layers == 0 ||
			      strcmp(manifest.layers[0].digest.text, B) == 0);
		}
		manifest_free(&manifest);
		/* Cut anywhere it is an error, never half a manifest. */
		for (size_t n = 0; n < strlen(rows[i].text); n++) {
			char *exact = mem_dupn(rows[i].text, n);

			err_clear(&e);
			CHECK_INT(
				manifest_parse((struct str){ exact, n }, "", &amd64, &manifest, &e),
				-1);
			free(exact);
		}
	}
}

static void the_platform_is_chosen(void)
{
	static const struct {
		const char *there; /* arch[/variant] of the digests A, B, C in turn */
		const char *here;
		const char *want; /* NULL: none fits */
	} rows[] = {
		{ "arm64 amd64", "linux/amd64", B },
		{ "arm64/v8 amd64", "linux/arm64/v8", A },
		{ "arm64 amd64", "linux/arm64/v8", A },
		{ "arm64/v8", "linux/arm64", A },
		{ "arm/v5 arm/v7 arm/v6", "linux/arm/v7", B },
		{ "arm/v5 arm/v7 arm/v6", "linux/arm/v6", C },
		{ "arm/v5 arm/v7", "linux/arm/v6", A },
		{ "arm/v7", "linux/arm/v6", NULL },
		{ "arm/v6 arm/v7", "linux/arm", B },
		{ "amd64/v3 amd64/v2 amd64", "linux/amd64", C },
		{ "amd64/v3 amd64/v2", "linux/amd64", NULL },
		{ "amd64/v3 amd64/v2", "linux/amd64/v2", B },
		{ "amd64/v1", "linux/amd64", A },
		{ "s390x", "linux/amd64", NULL },
		{ "unknown amd64", "linux/amd64", B },
		{ "", "linux/amd64", NULL },
	};
	static const char *const digests[] = { A, B, C };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct str rest = str_of(rows[i].there), piece;
		struct buf text = { 0 }, parts = { 0 };
		struct platform here;
		struct manifest manifest;
		struct err e = { 0 };
		int rc, n = 0;

		TEST_ROW(i);
		buf_adds(&text, "{\"schemaVersion\":2,\"manifests\":[");
		while (str_next(&rest, ' ', &piece) && piece.n) {
			const char *slash = memchr(piece.p, '/', piece.n);
			int len = (int)(slash ? slash - piece.p : (long)piece.n);

			buf_addf(&text,
			         "%s{\"digest\":\"%s\",\"size\":3,\"platform\":{\"os\":\"linux\","
			         "\"architecture\":\"%.*s\"",
			         n ? "," : "", digests[n], len, piece.p);
			if (slash)
				buf_addf(&text, ",\"variant\":\"%.*s\"", (int)piece.n - len - 1,
				         slash + 1);
			buf_adds(&text, "}}");
			n++;
		}
		buf_adds(&text, "]}");
		CHECK(platform_parse(rows[i].here, &parts, &here));
		rc = manifest_parse(buf_str(&text), "", &here, &manifest, &e);
		CHECK_INT(rc, rows[i].want ? 0 : -1);
		if (rc == 0)
			CHECK_STR(manifest.best.digest.text, rows[i].want);
		else
			CHECK(e.kind == ERR_NOT_FOUND &&
			      strstr(e.msg, "there is no image for linux/"));
		manifest_free(&manifest);
		buf_free(&text);
		buf_free(&parts);
	}
}

static void platforms_are_parsed(void)
{
	struct buf b = { 0 };
	struct platform p;

	CHECK(platform_parse("linux/arm/v7", &b, &p));
	CHECK_STR(p.arch, "arm");
	CHECK_STR(p.variant, "v7");
	CHECK(platform_parse("linux/amd64", &b, &p));
	CHECK_STR(p.variant, "");
	CHECK(!platform_parse("linux", &b, &p));
	CHECK(!platform_parse("linux/amd64/v1/x", &b, &p));
	CHECK(!platform_parse("linux//v1", &b, &p));
	CHECK(!platform_parse("", &b, &p));
	CHECK_STR(platform_here().os, "linux");
	buf_free(&b);
}

static void configurations_are_read(void)
{
	static const char text[] =
		"{\"os\":\"linux\",\"architecture\":\"amd64\",\"created\":\"2026-01-02T03:04:05Z\","
		"\"config\":{\"User\":\"1000:users\",\"Env\":[\"PATH=/bin\",\"A=\"],\"Entrypoint\":[\"/e\"],"
		"\"Cmd\":null,\"WorkingDir\":\"/w\",\"Labels\":{\"a\":\"b\"},\"Volumes\":{\"/v\":{}},"
		"\"ExposedPorts\":{\"80/tcp\":{}},\"StopSignal\":\"SIGINT\",\"Shell\":[\"/s\",\"-c\"]},"
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" A "\",\"" B "\"]}}";
	static const char *const bad[] = {
		"{}",
		"{\"rootfs\":{\"diff_ids\":[\"x\"]}}",
		"{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Env\":[1]}}",
		"{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Env\":\"A=B\"}}",
		"{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Env\":[\"A\\u0000B\"]}}",
		"{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Labels\":[]}}",
	};
	struct image_config c;
	struct err e = { 0 };

	if (CHECK_INT(image_config_parse(str_of(text), &c, &e), 0)) {
		CHECK_STR(c.user, "1000:users");
		CHECK_STR(c.env[1], "A=");
		CHECK(!c.env[2] && !c.cmd);
		CHECK_STR(c.entrypoint[0], "/e");
		CHECK_STR(c.workdir, "/w");
		CHECK_STR(c.labels[0], "a=b");
		CHECK_STR(c.volumes[0], "/v");
		CHECK_STR(c.ports[0], "80/tcp");
		CHECK_STR(c.shell[1], "-c");
		CHECK_STR(c.stop_signal, "SIGINT");
		CHECK_INT(c.n_diff_ids, 2);
		CHECK_STR(c.diff_ids[1].text, B);
	}
	image_config_free(&c);
	for (size_t i = 0; i < TEST_N(bad); i++) {
		TEST_ROW(i);
		CHECK_INT(image_config_parse(str_of(bad[i]), &c, &e), -1);
	}
	CHECK_INT(image_config_parse(STR_LIT("{\"rootfs\":{\"diff_ids\":[]}}"), &c, &e), 0);
	CHECK_STR(c.user, "");
	image_config_free(&c);
}

TEST_MAIN(TEST(digests_are_sha256_in_hex), TEST(manifests_are_read), TEST(the_platform_is_chosen),
          TEST(platforms_are_parsed), TEST(configurations_are_read))
