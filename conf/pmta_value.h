/* Values of PowerMTA as ours: conv and take of the rows in pmta_table.c. */
#ifndef STOKER_CONF_PMTA_VALUE_H
#define STOKER_CONF_PMTA_VALUE_H

#include "conf/pmta_priv.h"

#define CONV(name)                                                                                 \
	const char *name(struct pmta *im, struct pmta_stmt *s, const struct pmta_rule *r,          \
			 struct str v)
#define TAKE(name)                                                                                 \
	void name(struct pmta *im, struct pmta_stmt *s, const struct pmta_rule *r, struct str v)

CONV(pv_text);	   /* as it is, unquoted */
CONV(pv_not);	   /* yes for no */
CONV(pv_date);	   /* no, yes, override */
CONV(pv_number);   /* 0 and unlimited: as many as there may be */
CONV(pv_rate);	   /* N/[M]unit; 0 and unlimited */
CONV(pv_per_hour); /* N an hour */
CONV(pv_time);	   /* 1w2d12h */
CONV(pv_times);	   /* a list of those */
CONV(pv_days);	   /* a number of days */
CONV(pv_size);	   /* N{b,k,m,g,t} */
CONV(pv_list);
CONV(pv_route_name); /* of a virtual MTA or pool */
CONV(pv_name);
CONV(pv_source);   /* NAME or {NAME} */
CONV(pv_hosts);	   /* smtp-hosts */
CONV(pv_access);   /* http-access */
CONV(pv_rotation); /* yes: daily */
CONV(pv_interval); /* move-interval: a day or an hour */
CONV(pv_records);  /* of accounting files */
CONV(pv_arg);	   /* yes: what stands in `arg`; no: nothing */

TAKE(pt_only);	   /* what Stoker does anyway is `arg` */
TAKE(pt_listener); /* smtp-listener on one line */
TAKE(pt_all);	   /* into each listener */
TAKE(pt_certificate);
TAKE(pt_hosts); /* smtp-source-host */
TAKE(pt_domain_key);
TAKE(pt_pickup);
TAKE(pt_starttls);
TAKE(pt_retry);	 /* retry-after: the lane's rest */
TAKE(pt_member); /* virtual-mta of a pool */
TAKE(pt_reply);	 /* of a pattern list */
TAKE(pt_rollup);
TAKE(pt_queue_to);
TAKE(pt_host_name);
TAKE(pt_own_host_name); /* of a virtual MTA */
TAKE(pt_nothing);	/* read already */
TAKE(pt_password);	/* of an smtp-user */
TAKE(pt_record_fields);
TAKE(pt_report_domain); /* domain of an address list */
TAKE(pt_relay_domain);

#endif
