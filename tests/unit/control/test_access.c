/* [console] read, operate, admin: who may do what. "nobody" and its group are on every Debian. */
#include "tests/unit/control/world.h"

#include <grp.h>
#include <pwd.h>

#include "core/control/private.h"

static enum role role_of(const char **read, const char **operate, const char **admin, uid_t uid,
			 uid_t own)
{
	struct conf c = { .console = { .read = read,
				       .nread = read != NULL,
				       .operate = operate,
				       .noperate = operate != NULL,
				       .admin = admin,
				       .nadmin = admin != NULL } };
	struct rstr *user = NULL;
	enum role role = access_role(&c, uid, 65534, own, &user);

	assert_non_null(user);
	rstr_unref(user);
	return role;
}

static void test_roles_of_the_configuration(void **state)
{
	const struct passwd *nobody = getpwnam("nobody");
	const struct group *g = getgrgid(nobody ? nobody->pw_gid : 65534);
	const char *name[] = { "nobody" }, *other[] = { "somebody" }, *group[1],
		   *no_group[] = { "@nowhere" };
	char text[64];
	const uid_t own = 4242, uid = nobody ? nobody->pw_uid : 65534;

	(void)state;
	if (!nobody || !g)
		fail_msg("the user nobody and its group are needed, and are not there");
	snprintf(text, sizeof text, "@%s", g->gr_name);
	group[0] = text;
	assert_int_equal(role_of(NULL, NULL, NULL, uid, own), ROLE_NONE);
	assert_int_equal(role_of(other, no_group, NULL, uid, own), ROLE_NONE);
	assert_int_equal(role_of(name, NULL, NULL, uid, own), ROLE_READ);
	assert_int_equal(role_of(NULL, name, NULL, uid, own), ROLE_OPERATE);
	assert_int_equal(role_of(NULL, group, NULL, uid, own), ROLE_OPERATE);
	/* The highest of several. */
	assert_int_equal(role_of(name, NULL, group, uid, own), ROLE_ADMIN);
}

static void test_root_and_our_own_user_are_admins(void **state)
{
	(void)state;
	assert_int_equal(role_of(NULL, NULL, NULL, 0, 4242), ROLE_ADMIN);
	assert_int_equal(role_of(NULL, NULL, NULL, 4242, 4242), ROLE_ADMIN);
	/* A uid that the machine has no name for. */
	assert_int_equal(role_of(NULL, NULL, NULL, 4243, 4242), ROLE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roles_of_the_configuration),
		cmocka_unit_test(test_root_and_our_own_user_are_admins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
