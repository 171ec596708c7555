/* Parsers of [mta] http-…: a port, an address, a secret, who may do what. */
#include "conf/lex.h"
#include "conf/value_list.h"

/* Shorter ones can be guessed; longer ones fill the 16 KB of a request. */
enum { QUOTED_MAX = 80, TOKEN_MIN = 16, TOKEN_MAX = 1024 };

static int quoted(struct str s)
{
	return s.n < QUOTED_MAX ? (int)s.n : QUOTED_MAX;
}

const struct err *value_parse_port(struct value_in *in, struct value *out)
{
	uint16_t port = 0;

	if (!str_ieqz(in->text, "off") && !parse_port(in->text, &port)) {
		errbuf_set(&in->e, "\"%.*s\" is not a port: write a number from 1 to 65535, or off",
			   quoted(in->text), in->text.p);
		return &err_invalid;
	}
	out->i = port;
	return NULL;
}

const struct err *value_parse_ip(struct value_in *in, struct value *out)
{
	if (parse_ip(in->text, &out->ip))
		return NULL;
	errbuf_set(&in->e, "\"%.*s\" is not an address: write one of this machine's, as 127.0.0.1",
		   quoted(in->text), in->text.p);
	return &err_invalid;
}

const char *token_wrong(struct str token)
{
	static const char allowed[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";

	for (size_t i = 0; i < token.n; i++)
		if (!token.p[i] || !strchr(allowed, token.p[i]))
			return "may hold letters, digits and -._~+/= only";
	return token.n < TOKEN_MIN   ? "is too short to be a secret: make one of 16 characters or "
				       "more, as `openssl rand -hex 32` does"
	       : token.n > TOKEN_MAX ? "is too long: write at most 1,024 characters"
				     : NULL;
}

const struct err *value_parse_token(struct value_in *in, struct value *out)
{
	char *z = mem_alloc(in->mem, in->text.n + 1);
	struct str s = { z, lex_unquote(in->text, z) };
	const char *wrong;

	out->z = z;
	if (s.n > 1 && s.p[0] == '@') {
		out->z = mem_fmt(in->mem, "@%s",
				 path_from(in->mem, in->dir, (struct str){ s.p + 1, s.n - 1 }));
		return NULL;
	}
	wrong = token_wrong(s);
	if (!wrong)
		return NULL;
	errbuf_set(&in->e, "the token %s; or write @FILE", wrong); /* itself it is not repeated */
	return &err_invalid;
}

/* ---- http-access ---- */

static const struct err *parse_one(struct value_in *in, struct str net, struct str role,
				   struct conf_access *out)
{
	static const char *const roles[] = { "none", "read", "operate", "admin" };
	bool is_net;

	if (!parse_net(net, &out->net, &out->prefix, &is_net, &in->e))
		return &err_invalid;
	for (int i = 0; is_net && i < 4; i++)
		if (str_ieqz(role, roles[i])) {
			out->role = (enum conf_role)i;
			return NULL;
		}
	if (is_net)
		errbuf_set(&in->e, "\"%.*s\": write none, read, operate or admin", quoted(role),
			   role.p);
	else
		errbuf_set(&in->e,
			   "\"%.*s\" is not an address: write one like 10.0.0.0/8 or 2001:db8::/32",
			   quoted(net), net.p);
	return &err_invalid;
}

const struct err *value_parse_access(struct value_in *in, struct value *out)
{
	struct str list = in->text, net, role;
	struct conf_access *v;
	int n = 0;

	while (lex_word(&list, &net))
		n++;
	v = mem_array(in->mem, (size_t)n / 2 + 1, sizeof *v);
	list = in->text;
	n = 0;
	while (lex_word(&list, &net)) {
		const struct err *err;

		if (!lex_word(&list, &role)) {
			errbuf_set(&in->e,
				   "\"%.*s\": behind it stands none, read, operate or admin, as "
				   "10.0.0.0/8 read",
				   quoted(net), net.p);
			return &err_invalid;
		}
		err = parse_one(in, net, role, &v[n++]);
		if (err)
			return err;
	}
	out->access.v = v;
	out->access.n = n;
	return NULL;
}
