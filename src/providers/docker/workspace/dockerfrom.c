/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What images a Dockerfile takes, where this runner allows only some: the engine reads it, and pulls, by itself. What cannot be
 * told for sure is refused: better a build too few than a way around.
 */
#include "base/allow.h"
#include "base/mem.h"
#include "oci/dockerfile.h"
#include "oci/image_ref.h"
#include "providers/docker/workspace/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_BYTES 4096 /* of an image, with its variables filled in */

struct reading {
	struct kv args; /* what ARG before the first FROM says, with the build's own on top */
	struct strlist stages;
	bool in_stage;
	bool hidden; /* this may lie in a here-document */
};

static int unclear(struct str line, struct err *e)
{
	struct buf b = { 0 };

	buf_add_printable(&b, line, false);
	err_set(e, ERR_DENIED, 0,
	        "what the Dockerfile's line \"%.120s\" takes cannot be told, and this runner allows certain images only",
	        buf_cstr(&b));
	buf_free(&b);
	return -1;
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* $NAME and ${NAME}; nothing cleverer. */
static bool expand(const struct reading *r, struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n;) {
		size_t from, end;
		bool braces;
		char *name;
		const char *value;

		if (s.p[i] != '$') {
			buf_addc(out, s.p[i++]);
			continue;
		}
		braces = i + 1 < s.n && s.p[i + 1] == '{';
		from = i + 1 + braces;
		for (end = from; end < s.n && is_name_char(s.p[end]);)
			end++;
		if (end == from || (braces && (end == s.n || s.p[end] != '}')))
			return false;
		name = mem_dupn(s.p + from, end - from);
		value = kv_get(&r->args, name);
		if (value)
			buf_adds(out, value);
		free(name);
		if (!value || out->n > NAME_MAX_BYTES)
			return false;
		i = end + braces;
	}
	return true;
}

static bool is_stage(const struct reading *r, const char *name)
{
	for (size_t i = 0; i < r->stages.n; i++)
		if (strcasecmp(r->stages.p[i], name) == 0)
			return true;
	return false;
}

static int admit(const struct reading *r, struct str word, struct str line, struct err *e)
{
	struct buf name = { 0 };
	struct image_ref ref = { 0 };
	int rc = 0;

	if (!word.n || !expand(r, word, &name) || strpbrk(buf_cstr(&name), "\"'\\`"))
		rc = unclear(line, e);
	else if (!is_stage(r, buf_cstr(&name)) && strcasecmp(buf_cstr(&name), "scratch") != 0)
		rc = image_ref_parse(buf_cstr(&name), &ref, e);
	image_ref_free(&ref);
	buf_free(&name);
	return rc;
}

static struct str next_word(struct str *rest)
{
	struct str word = { 0 };

	while (str_next(rest, ' ', &word) && !word.n)
		;
	return word;
}

static int read_from(struct reading *r, struct str rest, struct str line, struct err *e)
{
	struct str word;
	char *name;

	do
		word = next_word(&rest);
	while (str_starts(word, "--"));
	if (admit(r, word, line, e) < 0)
		return -1;
	r->in_stage = true;
	word = next_word(&rest);
	name = word.n && str_ieq(word, "as") ? (word = next_word(&rest), mem_dupn(word.p, word.n))
	                                     : mem_dup("");
	/* By number too. A stage that is none would make an image's name one. */
	strlist_add(&r->stages, r->hidden ? "" : name);
	free(name);
	return 0;
}

/* COPY --from=NAME, RUN --mount=type=bind,from=NAME. Variables of a stage are not followed. */
static int read_copy(const struct reading *r, struct str line, struct err *e)
{
	int64_t number;

	for (size_t i = 0; i + 5 <= line.n; i++) {
		struct str word = { line.p + i + 5, 0 };

		if (strncasecmp(line.p + i, "from=", 5) != 0)
			continue;
		while (i + 5 + word.n < line.n && !strchr(" ,", word.p[word.n]))
			word.n++;
		if (str_to_i64(word, 0, (int64_t)r->stages.n - 1, &number))
			continue;
		if (memchr(word.p, '$', word.n))
			return unclear(line, e);
		if (admit(r, word, line, e) < 0)
			return -1;
	}
	return 0;
}

/* One before the first FROM is for FROM. */
static int read_arg(struct reading *r, struct str rest, const struct kv *given, struct str line,
                    struct err *e)
{
	while (rest.p && !r->in_stage) {
		struct str word = next_word(&rest), key = { 0 };
		char *name, *value;

		if (!word.n)
			continue;
		(void)str_next(&word, '=', &key);
		for (size_t i = 0; i < key.n; i++)
			if (!is_name_char(key.p[i])) /* quotes in a name are taken away */
				return unclear(line, e);
		if (word.n > 1 && *word.p == '"' && word.p[word.n - 1] == '"')
			word = (struct str){ word.p + 1, word.n - 2 };
		name = mem_dupn(key.p ? key.p : "", key.n);
		value = mem_dupn(word.p ? word.p : "", word.n);
		if (kv_get(given, name))
			kv_set(&r->args, name, kv_get(given, name));
		else if (*value)
			kv_set(&r->args, name, value);
		free(value);
		free(name);
	}
	return 0;
}

static bool begins(struct str line, const char *word, struct str *rest)
{
	size_t n = strlen(word);

	if (line.n < n || strncasecmp(line.p, word, n) != 0 ||
	    (line.n > n && is_name_char(line.p[n])))
		return false;
	*rest = (struct str){ line.p + n, line.n - n };
	return true;
}

static int read_instruction(struct reading *r, struct str line, const struct kv *given,
                            struct err *e)
{
	struct str rest;

	while (begins(line, "ONBUILD", &rest))
		line = str_trim(rest);
	if (begins(line, "FROM", &rest))
		return read_from(r, rest, line, e);
	if (begins(line, "ARG", &rest))
		return read_arg(r, rest, given, line, e);
	if (begins(line, "COPY", &rest) || begins(line, "ADD", &rest) ||
	    (begins(line, "RUN", &rest) && str_find(rest, "--mount")))
		return read_copy(r, line, e);
	return 0;
}

/* # syntax=IMAGE is who reads the rest; # escape= changes what a line is. Both only before anything else. */
static int read_directive(const struct reading *r, struct str line, struct err *e)
{
	struct str name;

	line = str_trim((struct str){ line.p + 1, line.n - 1 });
	if (!memchr(line.p ? line.p : "", '=', line.n) || !str_next(&line, '=', &name))
		return 0;
	if (str_ieq(str_trim(name), "syntax"))
		return admit(r, str_trim(line), line, e);
	return str_ieq(str_trim(name), "escape") ? unclear(line, e) : 0;
}

/* Other white space than the common, which the engine takes for some, and here-documents, whose end could be hidden. */
static int check_bytes(struct str text, struct err *e)
{
	struct str line, rest;

	while (str_next(&text, '\n', &line)) {
		line = str_trim(line);
		if (line.n && ((unsigned char)*line.p < ' ' || (unsigned char)*line.p > '~'))
			return unclear(line, e);
		if (begins(line, "FROM", &rest))
			for (size_t i = 0; i < line.n; i++)
				if ((unsigned char)line.p[i] < ' ' && line.p[i] != '\t')
					return unclear(line, e);
	}
	return 0;
}

int dockerfile_admit(struct str text, const struct kv *given, struct err *e)
{
	struct reading r = { 0 };
	struct dockerfile_lines l = { .rest = text };
	struct buf line = { 0 };
	struct str rest, one;
	const char *frontend = kv_get(given, "BUILDKIT_SYNTAX");
	const char *document = str_find(text, "<<");
	bool first = true;
	int rc;

	if (!allow_limits(ALLOW_IMAGES) && !allow_limits(ALLOW_REGISTRIES))
		return 0;
	rc = check_bytes(text, e);
	if (rc == 0 && frontend) /* in place of "# syntax=" */
		rc = admit(&r, str_of(frontend), str_of(frontend), e);
	while (rc == 0 && dockerfile_next(&l, &line)) {
		r.hidden = document && (!l.rest.p || l.rest.p > document);
		for (size_t i = 0; i < line.n; i++)
			if (line.p[i] == '\t' || line.p[i] == '\r')
				line.p[i] = ' ';
		if (l.comment)
			rc = first ? read_directive(&r, buf_str(&line), e) : 0;
		else if (first && !isalpha((unsigned char)*line.p)) /* "// syntax=", {"syntax": … */
			rc = unclear(buf_str(&line), e);
		else
			rc = read_instruction(&r, buf_str(&line), given, e);
		first = first && l.comment;
	}
	/* A line that seems continued may be the end of a document. */
	for (rest = text; rc == 0 && document && str_next(&rest, '\n', &one);)
		rc = read_instruction(&r, str_trim(one), given, e);
	strlist_free(&r.stages);
	kv_free(&r.args);
	buf_free(&line);
	return rc;
}
