/* What the DNS says of a domain, as plain data: the resolver makes it, the scheduler owns and frees
 * it. No I/O in this file (core/sched includes it). */
#ifndef STOKER_NET_DNS_ANSWER_H
#define STOKER_NET_DNS_ANSWER_H

#include "conf/conf.h"
#include "core/base/clock.h"

enum dns_status {
	DNS_OK,	      /* hosts follow; at least one has an address */
	DNS_NXDOMAIN, /* the domain does not exist: 5.1.2 */
	DNS_NO_HOST,  /* it exists, with neither MX nor address, or only MX without (public)
			 address: 5.1.2. Of a text: there is none */
	DNS_NULL_MX,  /* RFC 7505: 5.1.10 */
	DNS_TEMPFAIL, /* SERVFAIL, bogus, time-out: defer; `text` says which */
	DNS_LOOP,     /* the best MX is one of our own listeners (RFC 5321 5.1: hosts no better than
		       * ourselves don't count, and none is left): 5.4.6 */
};

struct dns_host {
	int preference;
	char *name;		  /* normal form */
	struct endpoint *address; /* port 0; IPv4 before IPv6, each in numerical order */
	int naddresses;		  /* 0: this host did not resolve; `failed` says why */
	bool failed;		  /* an address look-up failed temporarily and none is known */
};

struct dns_answer {
	enum dns_status status;
	bool implicit;		/* no MX: the domain's own address (RFC 5321 5.1) */
	bool authentic;		/* DNSSEC-validated */
	struct dns_host *hosts; /* by preference, then name */
	int nhosts;
	struct str *texts; /* RESOLVE_TEXT: one a TXT record, its strings joined */
	int ntexts;
	us_t expires;	/* by the smallest TTL, at least 60 s and at most a day from now */
	char text[160]; /* unless DNS_OK: "SERVFAIL for example.com MX"; a cut text ends in "..." */
};

void dns_answer_free(struct dns_answer *a); /* NULL allowed */
/* A deep copy; NULL without memory. */
struct dns_answer *dns_answer_copy(const struct dns_answer *a);

#endif
