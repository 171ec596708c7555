/* Becoming an ordinary user for good, but for CAP_NET_BIND_SERVICE, which a reload needs for new
 * listeners. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/mta.h"

/* Of the rights that an unprivileged start was given (AmbientCapabilities= of a unit) only that to
 * bind low ports stays. */
static void drop_other_capabilities(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (geteuid() == 0 || syscall(SYS_capget, &head, data))
		return;
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= i ? 0 : 1u << CAP_NET_BIND_SERVICE;
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, data))
		log_warn("rights beyond binding low ports can't be given up");
}

void privileges_harden(void)
{
	drop_other_capabilities();
	umask(077);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int keep_bind_capability(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
	data[0].effective = data[0].permitted = 1u << CAP_NET_BIND_SERVICE;
	return (int)syscall(SYS_capset, &head, data);
}

const struct err *privileges_drop(const char *user, struct errbuf *e)
{
	struct passwd *pw = getpwnam(user);
	if (!pw) {
		errbuf_set(e,
			   "run-as-user %s: there is no such user; make it (useradd --system %s) "
			   "or name another",
			   user, user);
		return &err_invalid;
	}
	if (pw->pw_uid == 0) {
		errbuf_set(e, "run-as-user %s is root: name an ordinary user", user);
		return &err_invalid;
	}
	uid_t uid = pw->pw_uid;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || initgroups(user, pw->pw_gid) ||
	    setgid(pw->pw_gid) || setuid(uid)) {
		errbuf_set(e, "run-as-user %s: can't become that user: %s", user, strerror(errno));
		return &err_io;
	}
	if (keep_bind_capability()) {
		errbuf_set(e, "can't keep the right to bind low ports: %s", strerror(errno));
		return &err_io;
	}
	if (getuid() != uid || geteuid() != uid || setuid(0) == 0) {
		errbuf_set(e, "run-as-user %s: root could be regained; refusing to run", user);
		return &err_io;
	}
	privileges_harden();
	return NULL;
}
