#include "conf/pmta_value.h"

#include "conf/accounting.h"

#include <stdio.h>
#include <stdlib.h>

#include "conf/value.h"

static const char most[] = "1000000"; /* what schema.c allows for a number without an own range */

CONV(pv_text)
{
	(void)s;
	(void)r;
	return pmta_plain(im, v).p;
}

static bool is_yes(struct str v)
{
	return str_ieqz(v, "yes") || str_ieqz(v, "true") || str_ieqz(v, "on");
}

static bool is_no(struct str v)
{
	return str_ieqz(v, "no") || str_ieqz(v, "false") || str_ieqz(v, "off");
}

static const char *not_bool(struct pmta *im, struct pmta_stmt *s, struct str v)
{
	pmta_say(im, s, PMTA_DROPPED, "\"%.*s\" is neither yes nor no", (int)v.n, v.p);
	return NULL;
}

CONV(pv_not)
{
	(void)r;
	if (is_yes(v))
		return "no";
	return is_no(v) ? "yes" : not_bool(im, s, v);
}

CONV(pv_date)
{
	(void)r;
	if (str_ieqz(v, "override")) {
		pmta_say(im, s, PMTA_APPROXIMATED, "a Date that is there stays");
		return "yes";
	}
	return is_yes(v) ? "yes" : is_no(v) ? "no" : not_bool(im, s, v);
}

CONV(pv_arg)
{
	if (is_yes(v))
		return r->arg;
	if (!is_no(v))
		return not_bool(im, s, v);
	pmta_say(im, s, PMTA_TAKEN, "that is so without a word");
	return NULL;
}

CONV(pv_number)
{
	if (!str_ieqz(v, "unlimited") && !str_eqz(v, "0"))
		return pv_text(im, s, r, v);
	pmta_say(im, s, PMTA_APPROXIMATED, "a limit is a number here");
	return str_eqz(str_of(r->to), "max-rcpt-per-message") &&
		       (s->in && s->in->tag && s->in->tag->is == IN_DOMAIN)
		   ? "10000"
		   : most;
}

CONV(pv_rate)
{
	if (!str_eqz(v, "0"))
		return pv_text(im, s, r, v);
	pmta_say(
	    im, s, PMTA_APPROXIMATED,
	    "PowerMTA's manual does not say what 0 does: here it is unlimited; to send nothing, "
	    "`stoker pause`");
	return "unlimited";
}

CONV(pv_per_hour)
{
	const char *n = pv_rate(im, s, r, v);

	return str_eqz(str_of(n), "unlimited") || strchr(n, '/') ? n : mem_fmt(&im->mem, "%s/h", n);
}

/* Weeks are days here. */
static const char *time_of(struct pmta *im, struct str v)
{
	const char *z = pmta_plain(im, v).p;
	char *end = NULL;
	unsigned long weeks = strtoul(z, &end, 10), days = 0;

	if (end == z || (*end | 0x20) != 'w' || weeks > 1000)
		return z;
	z = ++end;
	days = strtoul(z, &end, 10);
	if (end != z && (*end | 0x20) == 'd' && days < 10000)
		z = end + 1;
	else
		days = 0;
	return mem_fmt(&im->mem, "%lud%s", weeks * 7 + days, z);
}

CONV(pv_time)
{
	(void)s;
	(void)r;
	return time_of(im, v);
}

CONV(pv_times)
{
	const char *all = "";
	struct str word;

	(void)s;
	(void)r;
	while (pmta_element(&v, &word))
		all = mem_fmt(&im->mem, "%s%s%s", all, *all ? ", " : "", time_of(im, word));
	return all;
}

CONV(pv_days)
{
	const char *z = pmta_plain(im, v).p;

	if (str_eqz(v, "0")) {
		pmta_say(im, s, PMTA_APPROXIMATED, "%s", r->note);
		return "never";
	}
	return mem_fmt(&im->mem, "%sd", z);
}

CONV(pv_size)
{
	struct str z = pmta_plain(im, v);

	(void)r;
	if (str_ieqz(z, "unlimited") || str_eqz(z, "0")) {
		pmta_say(im, s, PMTA_APPROXIMATED, "2G is the most a message may have");
		return "2G";
	}
	if (z.n > 1 && (z.p[z.n - 1] | 0x20) == 'b' && z.p[z.n - 2] >= '0' && z.p[z.n - 2] <= '9')
		z.n--;
	return mem_z(&im->mem, z);
}

CONV(pv_list)
{
	bool weak;
	struct str list = pmta_expand(im, s, pmta_plain(im, v), &weak);

	(void)r;
	return list.n ? list.p : NULL;
}

const char *pmta_path(struct pmta *im, struct str path)
{
	return path_from(&im->mem, im->dir, pmta_plain(im, path));
}

const char *pmta_name(struct pmta *im, struct pmta_stmt *s, struct str name)
{
	struct str plain = pmta_plain(im, name);
	char *z;

	if (name_ok(plain))
		return plain.p;
	z = mem_alloc(&im->mem, plain.n + 2);
	memcpy(z, plain.p, plain.n);
	for (size_t i = 0; i < plain.n; i++)
		if (!name_ok((struct str){ &z[i], 1 }))
			z[i] = '-';
	plain.p = z;
	plain.n = plain.n < CONF_NAME_MAX ? plain.n : CONF_NAME_MAX;
	z[plain.n] = '\0';
	if (!name_ok(plain)) {
		pmta_say(im, s, PMTA_DROPPED, "it has no name");
		return NULL;
	}
	pmta_say(im, s, PMTA_APPROXIMATED,
		 "a name has letters, digits, \".\", \"_\" and \"-\", at most %d: %s",
		 CONF_NAME_MAX, z);
	return z;
}

CONV(pv_name)
{
	(void)r;
	return pmta_name(im, s, v);
}

/* <source {pmta-auth}> is [source pmta-auth]. */
CONV(pv_source)
{
	(void)r;
	if (v.n > 2 && v.p[0] == '{' && v.p[v.n - 1] == '}')
		v = (struct str){ v.p + 1, v.n - 2 };
	return pmta_name(im, s, v);
}

CONV(pv_route_name)
{
	(void)r;
	if (str_ieqz(v, "by-smtp-source-ip")) {
		pmta_say(im, s, PMTA_DROPPED,
			 "the client's address does not choose: write a [source] for each");
		return NULL;
	}
	if (str_ieqz(v, "{default}")) {
		pmta_say(im, s, PMTA_TAKEN, "that is so without a word");
		return NULL;
	}
	return pmta_name(im, s, v);
}

/* host:port, [10.1.1.1]:2525, [IPv6:..], lookup-mx:dom */
static const char *host_of(struct pmta *im, struct str word)
{
	static const char look_up[] = "lookup-mx:", six[] = "[IPv6:";
	struct endpoint ip;

	if (str_istarts(word, look_up))
		return mem_fmt(&im->mem, "mx:%.*s", (int)(word.n - sizeof look_up + 1),
			       word.p + sizeof look_up - 1);
	if (str_istarts(word, six))
		return mem_fmt(&im->mem, "[%.*s", (int)(word.n - sizeof six + 1),
			       word.p + sizeof six - 1);
	if (word.p[0] != '[' && parse_ip(word, &ip))
		return mem_fmt(&im->mem, "[%.*s]", (int)word.n, word.p);
	return mem_z(&im->mem, word);
}

CONV(pv_hosts)
{
	struct str list = pmta_plain(im, v), word;
	bool equal = memchr(list.p, ',', list.n) != NULL;
	const char *all = "";

	(void)r;
	while (pmta_element(&list, &word))
		all = mem_fmt(&im->mem, "%s%s%s", all, *all ? ", " : "", host_of(im, word));
	if (equal)
		pmta_say(im, s, PMTA_APPROXIMATED,
			 "the hosts are tried in this order, not in turn");
	return all;
}

CONV(pv_access)
{
	static const char *const words[][2] = {
		{ "none", "none" },	   { "monitor", "read" }, { "monitor,deny-logs", "read" },
		{ "operator", "operate" }, { "admin", "admin" },
	};
	struct str net, level = { "", 0 };

	(void)r;
	if (!pmta_word(&v, &net) || !pmta_word(&v, &level)) {
		pmta_say(im, s, PMTA_DROPPED, "write CIDR and none, monitor, operator or admin");
		return NULL;
	}
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (str_ieqz(level, words[i][0])) {
			if (i == 2)
				pmta_say(im, s, PMTA_APPROXIMATED, "who may look may see the log");
			return mem_fmt(&im->mem, "%.*s %s", (int)net.n, net.p, words[i][1]);
		}
	pmta_say(im, s, PMTA_DROPPED, "\"%.*s\" is not none, monitor, operator or admin",
		 (int)level.n, level.p);
	return NULL;
}

CONV(pv_rotation)
{
	(void)r;
	return is_yes(v) ? "daily" : is_no(v) ? "never" : not_bool(im, s, v);
}

CONV(pv_interval)
{
	const char *z = time_of(im, v);
	us_t span;

	(void)r;
	if (!fmt_parse_duration(str_of(z), &span, NULL) && span == US_PER_DAY)
		return "daily";
	if (!fmt_parse_duration(str_of(z), &span, NULL) && span == US_PER_HOUR)
		return "hourly";
	pmta_say(im, s, PMTA_APPROXIMATED, "a file is rotated daily, hourly or by its size");
	return "daily";
}

TAKE(pt_only)
{
	struct str plain = pmta_plain(im, v);
	struct str want = str_of(r->arg);
	bool same = str_ieq(plain, want) || (is_yes(plain) && is_yes(want)) ||
		    (is_no(plain) && is_no(want));

	if (same)
		pmta_say(im, s, PMTA_TAKEN, "that is so without a word");
	else
		pmta_say(im, s, PMTA_DROPPED, "%s", r->note);
}

TAKE(pt_nothing)
{
	(void)im;
	(void)s;
	(void)r;
	(void)v;
}
