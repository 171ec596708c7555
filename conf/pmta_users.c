/* <smtp-user>: PowerMTA keeps the passwords themselves, Stoker hashes of them. */
#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "conf/pmta_value.h"

enum { PASSWORD_MAX = 255 }; /* as `stoker passwd` takes them */

/* NULL: there is none. */
static const char *hash_of(struct pmta *im, struct str password)
{
	struct crypt_data *d = calloc(1, sizeof *d);
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *hash = NULL, *kept = NULL;

	if (d && crypt_gensalt_rn("$6$", 0, NULL, 0, salt, sizeof salt))
		hash = crypt_r(password.p, salt, d);
	if (hash && hash[0] != '*')
		kept = mem_z(&im->mem, str_of(hash));
	if (d)
		explicit_bzero(d, sizeof *d);
	free(d);
	return kept;
}

TAKE(pt_password)
{
	struct str plain = pmta_plain(im, v);
	const char *hash =
	    plain.n && plain.n <= PASSWORD_MAX && s->in && s->in->nto ? hash_of(im, plain) : NULL;

	(void)r;
	if (!hash) {
		pmta_say(im, s, PMTA_DROPPED,
			 "a password has 1 to %d bytes: write the line that `stoker passwd` prints",
			 PASSWORD_MAX);
		return;
	}
	for (int i = 0; i < s->in->nto; i++)
		pmta_set(im, s, s->in->to[i], "password", hash, false);
	pmta_say(im, s, PMTA_TAKEN, "kept as a hash, as `stoker passwd` makes it");
}

static bool is(const struct pmta_section *x, const char *word)
{
	return !x->off && !strcmp(x->word, word);
}

static void leave_out(struct pmta *im, struct pmta_section *x)
{
	static const char why[] = "a user is nothing without a password: write [smtp-user] with "
				  "the line that `stoker passwd` prints";

	x->off = true;
	for (struct pmta_entry *e = x->first; e; e = e->next)
		if (e->by) {
			e->by->nbecame = 0;
			pmta_say(im, e->by, PMTA_DROPPED, "%s", why);
		}
	if (x->by)
		x->by->nbecame = 0;
	pmta_say(im, x->by, PMTA_DROPPED, "%s", why);
}

/* PowerMTA offers AUTH wherever a source does not forbid it; ours, where a listener says so. */
static void offer_login(struct pmta *im)
{
	for (struct pmta_section *x = im->first_section; x; x = x->next) {
		if (!is(x, "listener") || pmta_get(x, "authenticate"))
			continue;
		pmta_set(im, NULL, x, "authenticate", "plain login", true);
		pmta_say(im, x->by ? x->by : pmta_remark(im, "smtp-user"), PMTA_APPROXIMATED,
			 "there are users: [listener %s] authenticate = plain login", x->name);
	}
}

void pmta_users(struct pmta *im)
{
	const struct pmta_section *login = pmta_section_find(im, "source", "auth");
	bool any = false;

	for (struct pmta_section *x = im->first_section; x; x = x->next) {
		if (!is(x, "smtp-user"))
			continue;
		if (!pmta_get(x, "password")) {
			leave_out(im, x);
			continue;
		}
		any = true;
		if (!login || pmta_get(x, "source"))
			continue;
		pmta_set(im, NULL, x, "source", "auth", true);
		pmta_say(im, x->by, PMTA_TAKEN, "<source {auth}> is its source");
	}
	if (any)
		offer_login(im);
}
