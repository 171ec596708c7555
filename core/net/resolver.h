/* MX, implicit MX, null MX, A and AAAA by libunbound's own threads. Lives on one io loop, which
 * watches ub_fd. TRAPS.md, "libunbound": set_fwd before anything else. */
#ifndef STOKER_NET_RESOLVER_H
#define STOKER_NET_RESOLVER_H

#include "core/base/err.h"
#include "core/net/dns_answer.h"
#include "core/net/loop.h"

struct resolver_opts {
	const char *const *servers; /* IP or IP@PORT; none: /etc/resolv.conf */
	int nservers;
	/* Our own listeners: if a best MX points there, the answer is DNS_LOOP. */
	const struct endpoint *own;
	int nown;
	bool allow_private; /* addresses that endpoint_is_private() are dropped from answers unless
			     * this or resolver_lookup's own flag is set; a host left without any is
			     * skipped */
};
struct resolver;
/* `answer` is called on the loop's thread and owns what it is given. */
struct resolver *resolver_new(struct loop *l, const struct resolver_opts *o,
			      void (*answer)(void *arg, uint64_t id, struct dns_answer *a),
			      void *arg, struct errbuf *e);
void resolver_free(struct resolver *r);

enum resolver_kind {
	RESOLVE_DOMAIN, /* MX, then hosts */
	RESOLVE_HOST,	/* only A and AAAA: a `route` host; the answer has one host of that name */
};
/* The answer always comes, exactly once, unless the resolver is freed. Best 8 hosts at most, 16
 * addresses a host. */
void resolver_lookup(struct resolver *r, uint64_t id, enum resolver_kind kind, struct str name,
		     bool allow_private);
int resolver_outstanding(const struct resolver *r);

#endif
