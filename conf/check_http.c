/* What is reachable over HTTP: more than was meant, or less. */
#include <sys/stat.h>

#include "conf/reading.h"
#include "conf/value.h"

static const char *const role_words[] = { "none", "read", "operate", "admin" };

static bool same_net(const struct conf_access *a, const struct conf_access *b)
{
	char x[ENDPOINT_TEXT], y[ENDPOINT_TEXT];

	endpoint_text(&a->net, x);
	endpoint_text(&b->net, y);
	return a->prefix == b->prefix && strcmp(x, y) == 0;
}

static void check_twice(struct reading *r)
{
	const struct conf_mta *m = &r->c->mta;

	for (int i = 0; i < m->nhttp_access; i++)
		for (int k = 0; k < i; k++)
			if (same_net(&m->http_access[i], &m->http_access[k]) &&
			    m->http_access[i].role != m->http_access[k].role) {
				error_at(r, &m->http_access[i].origin,
					 "http-access: this network is %s here and %s at line %d: "
					 "write it once",
					 role_words[m->http_access[i].role],
					 role_words[m->http_access[k].role],
					 m->http_access[k].origin.line);
				return;
			}
}

/* Acts from elsewhere go over the network in plain text, the token with them. */
static void check_acts(struct reading *r)
{
	const struct conf_mta *m = &r->c->mta;
	bool told = false;

	for (int i = 0; i < m->nhttp_access; i++) {
		const struct conf_access *a = &m->http_access[i];

		if (a->role < CONF_ROLE_OPERATE)
			continue;
		if (!m->http_token && !told)
			warn_at(
			    r, &a->origin,
			    "http-access %s without http-token: no command will be taken; write "
			    "http-token = @FILE too",
			    role_words[a->role]);
		told = true;
		if (!ip_is_loopback(&a->net) ||
		    a->prefix < (a->net.sa.sa_family == AF_INET ? 8 : 128))
			warn_at(r, &a->origin,
				"http-access %s for more than this machine: HTTP is not encrypted, "
				"and who can listen has the token; give read, and act through "
				"127.0.0.1 (ssh -L)",
				role_words[a->role]);
	}
	if (m->http_token && !told)
		warn_at(r, &m->origin_http_token,
			"http-token is of no use: http-access gives nobody operate or admin");
}

void check_secret_place(struct reading *r, const char *name, const struct origin *at)
{
	struct stat st;
	const char *path;

	if (r->opts->stored || !at->file)
		return;
	path = path_absolute(&r->mem, at->file);
	if (stat(path, &st) == 0 && st.st_mode & S_IROTH)
		warn_at(r, at,
			"%s stands in a file that everybody can read: write %s = @FILE, or chmod "
			"o-r %s",
			name, name, path);
}

void check_http(struct reading *r)
{
	const struct conf_mta *m = &r->c->mta;
	char at[ENDPOINT_TEXT];

	if (m->http_token && m->http_token[0] != '@')
		check_secret_place(r, "http-token", &m->origin_http_token);
	check_twice(r);
	if (!m->http_port)
		return;
	endpoint_text(&m->http_address, at);
	if (is_public(&m->http_address))
		warn_at(
		    r, m->origin_http_address.file ? &m->origin_http_address : &m->origin_http_port,
		    "http-mgmt-address %s can be reached from outside, and HTTP is not "
		    "encrypted: 127.0.0.1 and ssh -L, or an inner address, are safer",
		    at);
	check_acts(r);
}
