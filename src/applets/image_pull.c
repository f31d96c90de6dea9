/* SPDX-License-Identifier: Apache-2.0 */
/* image pull: see image.h. */
#include "applets/image.h"

#include "base/log.h"
#include "base/mem.h"
#include "host/logview.h"
#include "oci/image_ref.h"
#include "oci/pull.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_EVERY_MS 100
#define LINE_EVERY_PERCENT 25

/* A bar on a terminal, a few lines elsewhere. */
struct shown {
	bool bar, any;
	struct deadline next;
	unsigned percent; /* that was said last */
};

static void draw(uint64_t done, uint64_t total)
{
	char have[24], all[24];
	struct buf bar = { 0 };

	logview_bar(&bar, (unsigned)(done * 100 / total));
	image_size_text(done, have);
	image_size_text(total, all);
	fprintf(stderr, "\r%s  %s of %s   ", buf_cstr(&bar), have, all);
	buf_free(&bar);
}

static void show(void *arg, uint64_t done, uint64_t total)
{
	struct shown *s = arg;
	unsigned percent = (unsigned)(done * 100 / total);

	if (s->bar) {
		if (done < total && !deadline_passed(s->next))
			return;
		s->next = deadline_in_ms(BAR_EVERY_MS);
		s->any = true;
		draw(done, total);
	} else if (percent / LINE_EVERY_PERCENT > s->percent / LINE_EVERY_PERCENT) {
		char all[24];

		image_size_text(total, all);
		fprintf(stderr, "%u %% of %s\n", percent, all);
	}
	s->percent = percent;
}

static void end_bar(struct shown *s)
{
	if (s->any)
		fputc('\n', stderr);
	s->any = false;
}

static void say(void *arg, const char *line)
{
	end_bar(arg);
	log_say("image", line);
}

int image_pull(struct image *i, const char *ref, struct err *e)
{
	struct shown shown = { .bar = isatty(STDERR_FILENO) };
	struct pull_progress progress = { say, i->quiet ? NULL : show, &shown };
	struct registry_mirror mirror = { .mirror = i->mirror };
	struct registry_options o = { .user_logins = true,
		                      .mirrors = &mirror,
		                      .n_mirrors = i->mirror ? 1 : 0,
		                      .proxy = i->config.proxy,
		                      .no_proxy = i->config.no_proxy };
	struct tls_settings tls = { .ca_file = i->ca_file };
	struct buf name = { 0 };
	bool changed = false;
	struct image_ref r = { 0 };
	int rc = tls_ctx_new(&o.tls, &tls, false, e);

	if (rc == 0)
		rc = image_ref_parse(ref, &r, e);
	mirror.host = r.domain;
	if (rc == 0)
		rc = images_pull(i->store, ref, &o, &i->p, &progress, &changed, DEADLINE_NEVER, e);
	end_bar(&shown);
	image_ref_free(&r);
	tls_ctx_free(o.tls);
	if (rc == 0 && images_full_name(ref, &name, e) == 0 && !i->quiet) {
		struct buf s = { 0 };

		images_short_name(buf_cstr(&name), &s);
		printf("%s: %s\n", changed ? "Pulled" : "Up to date", buf_cstr(&s));
		buf_free(&s);
	}
	buf_free(&name);
	return rc;
}
