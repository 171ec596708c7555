#include "core/base/domain.h"

#include <idn2.h>

enum {
	LABEL_MAX = 63,	     /* RFC 1035 2.3.4 */
	INPUT_MAX = 4 * 254, /* a U-label character has at most 4 bytes */
};

/* What a byte may be in a name, as flags; capitals are listed so that input can be checked as is.
 */
enum { ALNUM = 1, HYPHEN = 2, UNDERSCORE = 4 };

static int kind(unsigned char c)
{
	if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
		return ALNUM;
	if (c == '-')
		return HYPHEN;
	return c == '_' ? UNDERSCORE : 0;
}

static bool all_digits(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return true;
}

/* One walk over the whole name. The last label is never a number: that would be an address
 * (RFC 1123 2.1). */
static bool well_formed(struct str s, bool hostname)
{
	size_t start = 0;

	if (!s.n || s.n > DOMAIN_MAX)
		return false;
	for (size_t i = 0; i <= s.n; i++) {
		int k = i < s.n ? kind((unsigned char)s.p[i]) : 0;

		if (i < s.n && s.p[i] != '.') {
			if (!k || (hostname && k == UNDERSCORE))
				return false;
			continue;
		}
		if (i == start || i - start > LABEL_MAX)
			return false;
		if (hostname && (s.p[start] == '-' || s.p[i - 1] == '-'))
			return false;
		if (i == s.n && all_digits(s.p + start, i - start))
			return false;
		start = i + 1;
	}
	return true;
}

/* ASCII without an A-label: nothing for libidn2 to do. */
static bool is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
		if ((i == 0 || s.p[i - 1] == '.') &&
		    str_istarts((struct str){ s.p + i, s.n - i }, "xn--"))
			return false;
	}
	return true;
}

static bool by_libidn2(struct str s, char out[DOMAIN_SIZE])
{
	char in[INPUT_MAX + 1];
	char *ascii = NULL;
	bool ok;

	if (s.n > INPUT_MAX || memchr(s.p, '\0', s.n))
		return false;
	memcpy(in, s.p, s.n);
	in[s.n] = '\0';
	if (idn2_to_ascii_8z(in, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	s = str_of(ascii);
	if (s.n && s.p[s.n - 1] == '.')
		s.n--;
	ok = well_formed(s, false) && str_lower(s, out, DOMAIN_SIZE);
	idn2_free(ascii);
	return ok;
}

bool domain_normal(struct str in, char out[DOMAIN_SIZE])
{
	if (in.n && in.p[in.n - 1] == '.')
		in.n--;
	if (!in.n)
		return false;
	if (!is_plain(in))
		return by_libidn2(in, out);
	return well_formed(in, false) && str_lower(in, out, DOMAIN_SIZE);
}

bool domain_is_hostname(struct str s)
{
	return well_formed(s, true);
}

bool domain_match(struct str pattern, struct str domain)
{
	if (str_eqz(pattern, "*"))
		return true;
	if (pattern.n > 2 && pattern.p[0] == '*' && pattern.p[1] == '.') {
		struct str tail = { pattern.p + 1, pattern.n - 1 };

		return domain.n > tail.n &&
		       str_eq(tail, (struct str){ domain.p + domain.n - tail.n, tail.n });
	}
	return str_eq(pattern, domain);
}
