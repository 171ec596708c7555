#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "core/control/private.h"

enum { LOOKUP_BYTES = 16 * 1024, GROUPS_MAX = 256 };

struct person {
	const char *name; /* NULL: the machine does not know the uid */
	gid_t groups[GROUPS_MAX];
	int ngroups;
};

static bool in_group(const struct person *p, const char *name)
{
	char text[LOOKUP_BYTES];
	struct group g, *found = NULL;

	if (getgrnam_r(name, &g, text, sizeof text, &found) || !found)
		return false;
	for (int i = 0; i < p->ngroups; i++)
		if (p->groups[i] == found->gr_gid)
			return true;
	return false;
}

static bool listed(const struct person *p, const char **list, int n)
{
	for (int i = 0; i < n; i++) {
		if (list[i][0] == '@' ? in_group(p, list[i] + 1)
				      : p->name && strcmp(p->name, list[i]) == 0)
			return true;
	}
	return false;
}

enum role access_role(const struct conf *c, uid_t uid, gid_t gid, uid_t own, struct rstr **user)
{
	const struct conf_console *lists = &c->console;
	struct person p = { .ngroups = GROUPS_MAX };
	struct passwd pw, *found = NULL;
	char text[LOOKUP_BYTES];

	if (!getpwuid_r(uid, &pw, text, sizeof text, &found) && found) {
		p.name = found->pw_name;
		if (getgrouplist(p.name, found->pw_gid, p.groups, &p.ngroups) < 0)
			p.ngroups = GROUPS_MAX; /* the first so many */
	} else {
		p.groups[0] = gid;
		p.ngroups = 1;
	}
	*user = p.name ? rstr_new(str_of(p.name)) : rstr_newf("uid %u", (unsigned)uid);
	if (uid == 0 || uid == own || listed(&p, lists->admin, lists->nadmin))
		return ROLE_ADMIN;
	if (listed(&p, lists->operate, lists->noperate))
		return ROLE_OPERATE;
	return listed(&p, lists->read, lists->nread) ? ROLE_READ : ROLE_NONE;
}
