#include "core/smtp/address.h"

#include <arpa/inet.h>

enum { QUOTED_BACKSLASH = '\\', HIGHEST_ASCII = 0x7F };

static bool is_utf8_byte(char c)
{
	return (unsigned char)c > HIGHEST_ASCII;
}

/* RFC 5322 atext, and every byte of a UTF-8 sequence (RFC 6531 3.3; the whole is checked as UTF-8).
 */
static bool is_atext(char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return is_utf8_byte(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool has_utf8(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (is_utf8_byte(s.p[i]))
			return true;
	}
	return false;
}

/* Bytes of the quoted-string at the front, with its quotes; 0 if it does not end or holds a control
 * character. */
static size_t quoted_length(struct str s)
{
	for (size_t i = 1; i < s.n; i++) {
		char c = s.p[i];

		if (c == '"')
			return i + 1;
		if (c == QUOTED_BACKSLASH && ++i < s.n)
			c = s.p[i];
		if ((unsigned char)c < ' ' || c == HIGHEST_ASCII)
			return 0;
	}
	return 0;
}

/* Bytes of the local part at the front: up to the "@", or the closing quote. */
static size_t local_length(struct str s)
{
	size_t n = 0;

	if (s.n && s.p[0] == '"')
		return quoted_length(s);
	while (n < s.n && (is_atext(s.p[n]) || s.p[n] == '.'))
		n++;
	return n;
}

static const char *check_local(struct str local)
{
	if (local.n > LOCAL_PART_MAX)
		return "local part over 64 bytes";
	if (local.p[0] == '"')
		return NULL;
	if (local.p[0] == '.' || local.p[local.n - 1] == '.')
		return "local part begins or ends with a dot";
	return memmem(local.p, local.n, "..", 2) ? "two dots in a row in the local part" : NULL;
}

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 4.1.3; no other kind is registered). */
static bool literal_valid(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr to;
	int family = AF_INET;

	if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	s = str_mem(s.p + 1, s.n - 2);
	if (str_istarts(s, "IPv6:")) {
		s = str_mem(s.p + 5, s.n - 5);
		family = AF_INET6;
	}
	if (s.n >= sizeof text || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, &to) == 1;
}

static const char *parse_domain(struct address *out)
{
	if (!out->domain.n)
		return "no domain behind the @";
	if (out->domain.p[out->domain.n - 1] == '.')
		return "domain ends in a dot";
	out->literal = out->domain.p[0] == '[';
	if (out->literal)
		return literal_valid(out->domain) ? NULL : "not an address literal";
	return domain_normal(out->domain, out->normal) ? NULL : "not a domain name";
}

const char *address_parse(struct str s, struct address *out)
{
	size_t n = local_length(s);
	const char *why;

	*out = (struct address){ .whole = s };
	if (s.n > PATH_MAX_BYTES)
		return "address over 254 bytes";
	if (!n)
		return s.n && s.p[0] == '"' ? "quoted local part does not end" : "no local part";
	if (n == s.n)
		return "no @";
	if (s.p[n] != '@')
		return "a character that is not allowed in the local part";
	out->local = str_mem(s.p, n);
	out->domain = str_mem(s.p + n + 1, s.n - n - 1);
	out->utf8 = has_utf8(s);
	if (out->utf8 && !str_utf8_valid(s))
		return "not UTF-8";
	why = check_local(out->local);
	return why ? why : parse_domain(out);
}

/* Bytes of an obsolete source route "@a,@b:" at the front (RFC 5321 4.1.1.3: accepted and dropped);
 * 0 if none. */
static size_t source_route_length(struct str s)
{
	for (size_t i = 0; i < s.n && s.p[0] == '@'; i++) {
		if (s.p[i] == ':')
			return i + 1;
		if (!is_atext(s.p[i]) && !memchr("@,.[]", s.p[i], 5))
			return 0;
	}
	return 0;
}

/* Index of the ">" that ends the path that s begins with; a quoted ">" does not. 0: none. */
static size_t path_end(struct str s)
{
	bool quoted = false;

	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '"')
			quoted = !quoted;
		else if (quoted && s.p[i] == QUOTED_BACKSLASH)
			i++;
		else if (!quoted && s.p[i] == '>')
			return i;
	}
	return 0;
}

const char *address_parse_path(struct str s, bool null_ok, struct address *out, struct str *rest)
{
	size_t end, route;

	*out = (struct address){ .whole = { "", 0 } };
	*rest = str_mem(s.p + s.n, 0);
	if (!s.n || s.p[0] != '<')
		return "the address must stand in <>";
	end = path_end(s);
	if (!end)
		return "no > behind the address";
	*rest = str_mem(s.p + end + 1, s.n - end - 1);
	s = str_mem(s.p + 1, end - 1);
	if (!s.n)
		return null_ok ? NULL : "<> is not a recipient";
	if (!null_ok && str_ieqz(s, "postmaster")) {
		out->whole = out->local = s;
		out->domain = str_mem(s.p + s.n, 0);
		return NULL;
	}
	route = source_route_length(s);
	return address_parse(str_mem(s.p + route, s.n - route), out);
}

/* ---- xtext: RFC 3461 4 ---- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_xchar(char c)
{
	return c > ' ' && c < HIGHEST_ASCII && c != '+' && c != '=';
}

bool xtext_decode(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '+') {
			int high = i + 2 < s.n ? hex_value(s.p[i + 1]) : -1;
			int low = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		} else if (!is_xchar(c)) {
			return false;
		}
		if (out && !buf_addc(out, c))
			return false;
	}
	return true;
}

bool xtext_valid(struct str s)
{
	return xtext_decode(s, NULL);
}

bool xtext_encode(struct str s, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char code[3] = { '+', digits[c >> 4], digits[c & 15] };

		if (!(is_xchar(s.p[i]) ? buf_addc(out, s.p[i]) : buf_add(out, code, sizeof code)))
			return false;
	}
	return true;
}
