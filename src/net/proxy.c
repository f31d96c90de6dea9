/* SPDX-License-Identifier: Apache-2.0 */
/* Which proxy a URL is reached through, if any; see conn.h. */
#include "net/conn.h"

#include "base/mem.h"
#include "net/ip.h"

#include <string.h>

static const char *env_either(const char *lower, const char *upper)
{
	const char *v = getenv(lower);

	if (v && *v)
		return v;
	v = getenv(upper);
	return v && *v ? v : NULL;
}

static bool in_network(const char *host, struct str net, struct str bits)
{
	unsigned char a[IP_MAX_BYTES], b[IP_MAX_BYTES];
	size_t n = ip_parse(str_of(host), a);
	int64_t left;

	if (n == 0 || ip_parse(net, b) != n || !str_to_i64(bits, 0, (int64_t)n * 8, &left))
		return false;
	for (size_t i = 0; left > 0; i++, left -= 8) {
		unsigned mask = left >= 8 ? 0xffu : 0xff00u >> left & 0xffu;

		if ((a[i] ^ b[i]) & mask)
			return false;
	}
	return true;
}

static bool same_ip(const char *host, struct str item)
{
	unsigned char a[IP_MAX_BYTES], b[IP_MAX_BYTES];
	size_t n = ip_parse(str_of(host), a);

	return n && ip_parse(item, b) == n && memcmp(a, b, n) == 0;
}

/* "suffix" covers the name itself and what is below it; ".suffix" and "*.suffix" likewise. */
static bool name_matches(struct str host, struct str item)
{
	if (str_starts(item, "*.")) {
		item.p++;
		item.n--;
	}
	if (item.n && item.p[0] == '.') {
		item.p++;
		item.n--;
	}
	return host_is_within(host, item);
}

/* Cuts ":port" and brackets off; false if the port is another one than u's. */
static bool split_port(struct str *item, const struct url *u)
{
	const char *colon = item->n ? memrchr(item->p, ':', item->n) : NULL;
	const char *close = item->n ? memchr(item->p, ']', item->n) : NULL;
	bool many = colon && memchr(item->p, ':', item->n) != colon;
	int64_t port;

	if (colon && (close ? colon == close + 1 : !many)) {
		if (!str_to_i64((struct str){ colon + 1, item->n - (size_t)(colon + 1 - item->p) },
		                1, 65535, &port) ||
		    port != u->port)
			return false;
		item->n = (size_t)(colon - item->p);
	}
	if (item->n >= 2 && item->p[0] == '[' && item->p[item->n - 1] == ']') {
		item->p++;
		item->n -= 2;
	}
	return true;
}

static bool excepted(const struct url *u, const char *no_proxy)
{
	struct str rest = str_of(no_proxy), item;
	struct str host = str_of(u->host);

	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	while (str_next(&rest, ',', &item)) {
		const char *slash;

		item = str_trim(item);
		if (str_eq(item, "*"))
			return true;
		slash = item.n ? memchr(item.p, '/', item.n) : NULL;
		if (slash) {
			struct str net = { item.p, (size_t)(slash - item.p) };

			if (in_network(u->host, net, (struct str){ slash + 1, item.n - net.n - 1 }))
				return true;
			continue;
		}
		if (!split_port(&item, u))
			continue;
		if (u->host_is_ip ? same_ip(u->host, item) : name_matches(host, item))
			return true;
	}
	return false;
}

const char *proxy_for(const struct url *u, const char *proxy_url, const char *no_proxy)
{
	bool configured = proxy_url && *proxy_url;

	if (u->port == 0 || url_is_loopback(u))
		return NULL;
	/* The environment's proxies are for the web; an engine's tcp:// goes direct. */
	if (!configured && strcmp(u->scheme, "tcp") == 0)
		return NULL;
	if (!no_proxy || !*no_proxy)
		no_proxy = env_either("no_proxy", "NO_PROXY");
	if (no_proxy && excepted(u, no_proxy))
		return NULL;
	if (configured)
		return proxy_url;
	if (url_is_tls(u))
		return env_either("https_proxy", "HTTPS_PROXY");
	/* A web server's CGI passes a client's "Proxy:" header on as HTTP_PROXY. */
	return env_either("http_proxy", getenv("REQUEST_METHOD") ? "http_proxy" : "HTTP_PROXY");
}

int proxy_parse(const char *text, struct url *u, struct err *e)
{
	struct buf full = { 0 };
	struct str s = str_trim(str_of(text));
	int rc;

	if (!str_find(s, "://"))
		buf_adds(&full, "http://");
	buf_add_str(&full, s);
	rc = url_parse(buf_str(&full), u, e);
	buf_wipe(&full);
	if (rc < 0)
		return err_wrap(e, "proxy");
	if (strcmp(u->scheme, "http") == 0)
		return 0;
	err_set(e, ERR_UNSUPPORTED, 0, "proxy: the scheme %s is not supported, only http:// is",
	        u->scheme);
	url_free(u);
	return -1;
}
