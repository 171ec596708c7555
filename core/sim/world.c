#include "core/sim/world.h"

#include <stdio.h>

static const struct receiver_def receivers[] = {
	{ "google",
	  { "gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com", "aspmx.l.google.com" },
	  { "gmail.com", "googlemail.com" },
	  { .latency_ms = 20,
	    .unknown_percent = 1,
	    .unknown_reply =
		"550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n"
		"550-5.1.1 double-checking the recipient's email address for typos or\r\n"
		"550 5.1.1 unnecessary spaces. gsmtp" } },
	{ "yahoo",
	  { "mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net", "mta7.am0.yahoodns.net" },
	  { "yahoo.com", "aol.com", "ymail.com" },
	  { .latency_ms = 40,
	    .rate = 4,
	    .max_messages = 20,
	    .rate_reply = "421 4.7.0 [TSS04] Messages from this address temporarily deferred due "
			  "to unexpected volume or user "
			  "complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
	    .unknown_percent = 2,
	    .unknown_reply = "552 1 Requested mail action aborted, mailbox not found" } },
	{ "microsoft-consumer",
	  { "hotmail-com.olc.protection.outlook.com", "outlook-com.olc.protection.outlook.com",
	    NULL },
	  { "hotmail.com", "outlook.com", "live.com", "msn.com" },
	  { .latency_ms = 60,
	    .rate = 12,
	    .max_connections = 10,
	    .rate_reply = "451 4.7.650 The mail server has been temporarily rate limited due to IP "
			  "reputation. For e-mail delivery "
			  "information see https://postmaster.live.com (S775)",
	    .unknown_percent = 2,
	    .unknown_reply =
		"550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)." } },
	{ "microsoft-365",
	  { "corp-example.mail.protection.outlook.com", NULL, NULL },
	  { "corp.example", "lawfirm.example" },
	  { .latency_ms = 50,
	    .unknown_percent = 3,
	    .unknown_reply = "550 5.4.1 Recipient address rejected: Access denied." } },
	{ "apple",
	  { "mx01.mail.icloud.com", "mx02.mail.icloud.com", NULL },
	  { "icloud.com", "me.com", "mac.com" },
	  { .latency_ms = 30, .max_messages = 5 } },
	{ "gmx",
	  { "mx00.gmx.net", "mx01.gmx.net", NULL },
	  { "gmx.net", "gmx.de", "web.de" },
	  { .latency_ms = 25, .max_messages = 20, .max_connections = 4 } },
	{ "orange",
	  { "smtp-in.orange.fr", NULL, NULL },
	  { "orange.fr", "wanadoo.fr" },
	  { .latency_ms = 30,
	    .refuse_source = "127.0.1.3",
	    .max_connections = 2,
	    .refuse_reply = "554 5.7.1 Service refused. Please try later. OFR_506 [506]" } },
	{ "greylister",
	  { "mx.grey.example", NULL, NULL },
	  { "grey.example", "university.example" },
	  { .latency_ms = 10, .greylist = 45 * US_PER_S } },
	{ "slow",
	  { "mx.slow.example", NULL, NULL },
	  { "slow.example" },
	  { .latency_ms = 2500, .no_pipelining = true } },
	{ "dead", { "mx.dead.example", NULL, NULL }, { "dead.example" }, { .down = true } },
	{ "old-list",
	  { "mx.oldlist.example", NULL, NULL },
	  { "oldlist.example" },
	  { .latency_ms = 15,
	    .unknown_percent = 30,
	    .unknown_reply = "550 5.1.1 User unknown",
	    .full_percent = 10 } },
	{ "comcast",
	  { "mx1.comcast.net", "mx2.comcast.net", NULL },
	  { "comcast.net" },
	  { .latency_ms = 35, .full_percent = 3 } },
	{ "t-online",
	  { "mx00.t-online.de", NULL, NULL },
	  { "t-online.de" },
	  { .latency_ms = 20,
	    .rate = 6,
	    .rate_reply = "421 4.7.0 Too many messages from your address at this time, please try "
			  "again later" } },
	{ "web", { "mx.web.example", NULL, NULL }, { "web.example" }, { .latency_ms = 10 } },
};
enum { RECEIVERS = sizeof receivers / sizeof *receivers };

const struct receiver_def *world_receivers(int *n)
{
	*n = RECEIVERS;
	return receivers;
}

static bool ends_in(struct str s, const char *tail)
{
	size_t n = strlen(tail);
	return s.n >= n && str_ieqz((struct str){ s.p + s.n - n, n }, tail);
}

int world_receiver_of(struct str domain)
{
	for (int i = 0; i < RECEIVERS; i++) {
		for (size_t k = 0; k < 3 && receivers[i].mx[k]; k++)
			if (str_ieqz(domain, receivers[i].mx[k]))
				return i;
		for (size_t k = 0; k < 8 && receivers[i].domains[k]; k++)
			if (str_ieqz(domain, receivers[i].domains[k]))
				return i;
	}
	if (ends_in(domain, ".hosted.example"))
		return 0;
	return ends_in(domain, ".example") ? RECEIVERS - 1 : -1;
}

bool world_dns_fails(struct str domain)
{
	return str_ieqz(domain, "lostdns.example");
}

void world_address(int receiver, char out[16])
{
	snprintf(out, 16, "127.0.2.%u", ((unsigned)receiver + 1) & 255u);
}

unsigned world_percent_of(struct str address)
{
	uint64_t h = 1469598103934665603u; /* FNV-1a: the same in every run */
	for (size_t i = 0; i < address.n; i++)
		h = (h ^ (unsigned char)address.p[i]) * 1099511628211u;
	return (unsigned)(h >> 17) % 100;
}
