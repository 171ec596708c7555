/* MX, implicit MX, null MX, A, AAAA and TXT by libunbound's own threads. Lives on one io loop,
 * which watches ub_fd. TRAPS.md, "libunbound": set_fwd before anything else. */
#ifndef STOKER_NET_RESOLVER_H
#define STOKER_NET_RESOLVER_H

#include "core/base/err.h"
#include "core/net/dns_answer.h"
#include "core/net/loop.h"

struct resolver_opts {
	const char *const *servers; /* IP or IP@PORT; none: those of resolv_conf */
	int nservers;
	const char *resolv_conf;   /* NULL: /etc/resolv.conf. It must name a server: never are the
				    * root   servers asked for lack of one */
	const char *trust_anchors; /* a file with DS or DNSKEY records (root.key): DNSSEC is
				    * validated, which the servers must support; NULL: not */
	us_t timeout;		   /* longest wait for one question, then DNS_TEMPFAIL; 0: 20 s */
	/* Our own listeners on the port that mail goes to: if a best MX points there, the answer is
	 * DNS_LOOP. 0.0.0.0 and :: stand for every address of this machine. */
	const struct endpoint *own;
	int nown;
	bool allow_private; /* addresses that endpoint_is_private() are dropped from answers unless
			     * this or resolver_lookup's own flag is set; a host left without any is
			     * skipped */
};
struct resolver;
/* `answer` is called on the loop's thread and owns what it is given. NULL (only then perhaps
 * from inside resolver_lookup): no memory; to be treated as DNS_TEMPFAIL. */
struct resolver *resolver_new(struct loop *l, const struct resolver_opts *o,
			      void (*answer)(void *arg, uint64_t id, struct dns_answer *a),
			      void *arg, struct errbuf *e);
void resolver_free(struct resolver *r);

enum resolver_kind {
	RESOLVE_DOMAIN, /* MX, then hosts */
	RESOLVE_HOST,	/* only A and AAAA: a `route` host; the answer has one host of that name,
			 * DNS_NXDOMAIN or DNS_NO_HOST if it has none; no check for `own` */
	RESOLVE_TEXT,	/* only TXT; the answer has texts, DNS_NXDOMAIN or DNS_NO_HOST if there
			 * is none */
};
/* The answer always comes, exactly once, unless the resolver is freed. Best 8 hosts at most, 8
 * addresses of each family a host. `name` in normal form (domain_normal). Equal questions of
 * several look-ups are asked once. */
void resolver_lookup(struct resolver *r, uint64_t id, enum resolver_kind kind, struct str name,
		     bool allow_private);
int resolver_outstanding(const struct resolver *r);

struct resolver_stats {
	uint64_t lookups, questions, shared,
	    timeouts; /* shared: questions that were already being asked */
};
void resolver_stats(const struct resolver *r, struct resolver_stats *out);

#endif
