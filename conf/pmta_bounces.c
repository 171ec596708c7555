/* <bounce-category-patterns>: lines of /regex/ and category. PowerMTA tests them against
 * "5.1.1 (words); smtp;550 ...", Stoker against the reply as it came, "550 5.1.1 ...". */
#include <string.h>

#include "conf/patterns.h"
#include "conf/pmta_value.h"

void pmta_open_categories(struct pmta *im, struct pmta_block *b)
{
	pmta_target(im, b, pmta_section(im, "bounce-category-patterns", "", b->at));
}

/* In our letters. */
static const char *category_name(struct pmta *im, struct pmta_stmt *s, struct str name)
{
	char *z = mem_alloc(&im->mem, CATEGORY_NAME_MAX);
	size_t n = name.n < CATEGORY_NAME_MAX ? name.n : CATEGORY_NAME_MAX - 1;

	str_lower((struct str){ name.p, n }, z, CATEGORY_NAME_MAX);
	for (char *p = z; *p; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9'))
			*p = '-';
	if (!str_eqz(name, z))
		pmta_say(im, s, PMTA_APPROXIMATED, "the category is called %s here", z);
	return z;
}

static bool is_success(struct str regex, struct str category)
{
	return str_ieqz(category, "success") || str_istarts(regex, "/^2");
}

/* What their text begins with stands behind the code in ours. */
static const char *our_regex(struct pmta *im, struct pmta_stmt *s, struct str regex)
{
	static const char *const status[] = {
		"/^4", "/^5", "/^[45]", "/^[54]", "/^(4|5)", "/^\\d"
	};

	if (str_eqz(regex, "//"))
		return "/.*/";
	if (memchr(regex.p, ';', regex.n))
		pmta_say(im, s, PMTA_APPROXIMATED,
			 "PowerMTA tests \"STATUS; TEXT\", Stoker the reply alone: what asks for "
			 "the ; may never match");
	for (size_t i = 0; i < sizeof status / sizeof status[0]; i++)
		if (str_istarts(regex, status[i])) {
			pmta_say(im, s, PMTA_APPROXIMATED,
				 "PowerMTA's text begins with the status, a reply with its code: "
				 "that stands before it");
			return mem_fmt(&im->mem, "/^\\d\\d\\d[ -]%.*s", (int)regex.n - 2,
				       regex.p + 2);
		}
	if (str_istarts(regex, "/^"))
		pmta_say(im, s, PMTA_APPROXIMATED,
			 "a reply begins with its code: what begins with ^ may never match");
	return mem_fmt(&im->mem, "%.*s", (int)regex.n, regex.p);
}

void pmta_category(struct pmta *im, struct pmta_stmt *s)
{
	struct str regex = s->name, rest = s->value, category, more;

	if (regex.n < 2 || regex.p[0] != '/' || regex.p[regex.n - 1] != '/' ||
	    !pmta_word(&rest, &category)) {
		pmta_say(im, s, PMTA_DROPPED, "write /REGEX/ CATEGORY");
		return;
	}
	if (is_success(regex, category)) {
		pmta_say(im, s, PMTA_DROPPED, "a delivery has no category");
		return;
	}
	if (pmta_word(&rest, &more))
		pmta_say(im, s, PMTA_APPROXIMATED, "\"%.*s\" is left out", (int)more.n, more.p);
	pmta_set(
	    im, s, s->in->to[0], "pattern",
	    mem_fmt(&im->mem, "%s %s", our_regex(im, s, regex), category_name(im, s, category)),
	    false);
	if (s->cut)
		pmta_say(im, s, PMTA_APPROXIMATED,
			 "# begins a comment in PowerMTA, so the line ends before it");
}
