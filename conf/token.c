/* The secret of [mta] http-token, out of the file that it names. */
#include <stdlib.h>
#include <string.h>

#include "conf/value.h"
#include "core/base/secret.h"

enum { TOKEN_FILE_MAX = 4096 };

/* Without the line end that an editor leaves. */
static struct str one_line(struct str s)
{
	while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

static bool from_file(struct conf *c, const char *path, struct conf_problems *problems)
{
	const struct origin *at = &c->mta.origin_http_token;
	struct errbuf e = { "" };
	struct buf text;
	const char *wrong;
	bool ok = false;

	buf_init(&text);
	if (secret_file_read(path, TOKEN_FILE_MAX, &text, &e)) {
		conf_problem_add(problems, true, at, "http-token: %s", e.text);
	} else if ((wrong = token_wrong(one_line(buf_str(&text))))) {
		conf_problem_add(problems, true, at, "http-token: the token in %s %s", path, wrong);
	} else {
		c->http_token = str_dup(one_line(buf_str(&text)));
		ok = c->http_token != NULL;
		if (!ok)
			conf_problem_add(problems, true, at, "http-token: no memory");
	}
	secret_free(&text);
	return ok;
}

bool conf_token_attach(struct conf *c, struct conf_problems *problems)
{
	const char *written = c->mta.http_token;

	if (!written || c->http_token)
		return true;
	if (written[0] == '@')
		return from_file(c, written + 1, problems);
	c->http_token = str_dup(str_of(written));
	if (!c->http_token)
		conf_problem_add(problems, true, &c->mta.origin_http_token,
				 "http-token: no memory");
	return c->http_token != NULL;
}
