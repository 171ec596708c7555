/* Sections of PowerMTA, and the directives that make sections of ours. */
#include <stdio.h>

#include "conf/pmta_value.h"
#include "conf/value.h"
#include "core/base/domain.h"

void pmta_target(struct pmta *im, struct pmta_block *b, struct pmta_section *x)
{
	struct pmta_section **v;

	if ((b->nto & (b->nto - 1)) == 0) { /* full at 0, 1, 2, 4 ... */
		v = mem_array(&im->mem, b->nto ? 2 * (size_t)b->nto : 1, sizeof *v);
		if (b->nto)
			memcpy(v, b->to, (size_t)b->nto * sizeof *v);
		b->to = v;
	}
	b->to[b->nto++] = x;
}

/* <virtual-mta V>, <virtual-mta-pool P>, <smtp-user U>, <smtp-pattern-list L>: a name is a name. */
void pmta_open_plain(struct pmta *im, struct pmta_block *b)
{
	const char *name = b->arg.n ? pmta_name(im, b->at, b->arg) : NULL;
	const char *word = b->tag->is == IN_REPLIES ? "pattern-list" : b->tag->name;

	if (!name) {
		pmta_say(im, b->at, PMTA_DROPPED, "it has no name");
		return;
	}
	if (b->tag->is == IN_VMTA || b->tag->is == IN_POOL)
		b->route = name;
	if (section_kind_find(str_of(word)) == KIND_COUNT)
		pmta_say(im, b->at, PMTA_DROPPED, "this Stoker has no [%s]", word);
	pmta_target(im, b, pmta_section(im, word, name, b->at));
}

/* ---- <domain> ---- */

static void open_pattern(struct pmta *im, struct pmta_block *b, struct str pattern)
{
	char z[DOMAIN_SIZE + 2];
	const char *name;

	if (!domain_pattern(pattern, z, sizeof z)) {
		pmta_say(im, b->at, b->nto ? PMTA_APPROXIMATED : PMTA_DROPPED,
			 "\"%.*s\" is not a domain to Stoker", pattern.n < 80 ? (int)pattern.n : 80,
			 pattern.p);
		return;
	}
	name = b->route ? mem_fmt(&im->mem, "%s via %s", z, b->route) : mem_z(&im->mem, str_of(z));
	pmta_target(im, b, pmta_section(im, "domain", name, b->at));
}

static void open_one_domain(struct pmta *im, struct pmta_block *b, struct str word)
{
	static const char both[] = "[*.]";
	struct pmta_section *queue;
	char folded[DOMAIN_SIZE + 2];

	queue =
	    str_lower(word, folded, sizeof folded) ? strmap_get(&im->queues, str_of(folded)) : NULL;
	if (queue && b->route) {
		pmta_say(
		    im, b->at, PMTA_DROPPED,
		    "a [provider] has no narrowing: write [domain * via %s], or [domain] for each",
		    b->route);
	} else if (queue) {
		pmta_target(im, b, queue);
	} else if (str_istarts(word, both)) {
		struct str rest = { word.p + sizeof both - 1, word.n - sizeof both + 1 };

		open_pattern(im, b, rest);
		open_pattern(im, b, str_of(mem_fmt(&im->mem, "*.%.*s", (int)rest.n, rest.p)));
	} else {
		open_pattern(im, b, word);
	}
}

void pmta_open_domain(struct pmta *im, struct pmta_block *b)
{
	struct str list = pmta_expand(im, b->at, b->arg, &b->weak), word;

	if (!b->arg.n)
		pmta_say(im, b->at, PMTA_DROPPED, "it has no domain");
	while (pmta_element(&list, &word))
		open_one_domain(im, b, word);
}

/* ---- <source>, listeners ---- */

void pmta_open_source(struct pmta *im, struct pmta_block *b)
{
	struct str arg = b->arg;
	struct endpoint net;
	struct errbuf e;
	char text[ENDPOINT_TEXT];
	const char *name;
	int prefix;
	bool is_net = false;

	if (str_eqz(arg, "0/0"))
		arg = STR_LIT("0.0.0.0/0");
	if (arg.n && arg.p[0] == '{') {
		arg = (struct str){ arg.p + 1, arg.n > 1 ? arg.n - 2 : 0 };
		if (str_ieqz(arg, "pickup")) {
			b->route = "{pickup}"; /* see pmta_names: it is of [pickup] here */
			pmta_target(im, b, pmta_section(im, "source", "pickup", b->at));
			return;
		}
	}
	if (!parse_net(arg, &net, &prefix, &is_net, &e) && is_net) {
		pmta_say(im, b->at, PMTA_DROPPED, "%s", e.text);
		return;
	}
	if (is_net) {
		endpoint_text(&net, text);
		name = prefix == (net.sa.sa_family == AF_INET ? 32 : 128)
			   ? mem_z(&im->mem, str_of(text))
			   : mem_fmt(&im->mem, "%s/%d", text, prefix);
	} else {
		name = arg.n ? pmta_name(im, b->at, arg) : NULL;
	}
	if (name)
		pmta_target(im, b, pmta_section(im, "source", name, b->at));
	else
		pmta_say(im, b->at, PMTA_DROPPED, "it has neither a network nor a name");
}

/* CIDR:PORT; 0/0 and /32 of an address are an address. */
struct pmta_section *pmta_listener(struct pmta *im, struct pmta_stmt *s, struct str at)
{
	const char *colon = at.n ? memrchr(at.p, ':', at.n) : NULL, *slash;
	struct str host = at, port = STR_LIT("25");
	struct endpoint ip;
	char text[ENDPOINT_TEXT];
	uint16_t number;

	if (colon &&
	    (at.p[0] != '[' || (colon > at.p && memchr(at.p, ']', (size_t)(colon - at.p))))) {
		host = (struct str){ at.p, (size_t)(colon - at.p) };
		port = (struct str){ colon + 1, at.n - host.n - 1 };
	}
	slash = host.n ? memchr(host.p, '/', host.n) : NULL;
	if (slash) {
		struct str bits = { slash + 1, host.n - (size_t)(slash - host.p) - 1 };

		host.n = (size_t)(slash - host.p);
		if (host.n && host.p[0] == '[')
			host = (struct str){ host.p + 1, host.n - 1 };
		if (str_eqz(host, "0"))
			host = STR_LIT("0.0.0.0");
		if (bits.n && bits.p[bits.n - 1] == ']')
			bits.n--;
		if (!str_eqz(bits, "0") && !str_eqz(bits, "32") && !str_eqz(bits, "128"))
			pmta_say(im, s, PMTA_APPROXIMATED,
				 "a listener has one address: write one for each of %.*s",
				 (int)at.n, at.p);
	}
	if (str_eqz(host, "*"))
		host = STR_LIT("0.0.0.0");
	if (!parse_ip(host, &ip) || !parse_port(port, &number)) {
		pmta_say(im, s, PMTA_DROPPED, "\"%.*s\" is not ADDRESS:PORT", (int)at.n, at.p);
		return NULL;
	}
	endpoint_text(&ip, text);
	return pmta_section(
	    im, "listener",
	    mem_fmt(&im->mem, ip.sa.sa_family == AF_INET ? "%s:%u" : "[%s]:%u", text, number), s);
}

void pmta_open_listener(struct pmta *im, struct pmta_block *b)
{
	struct pmta_section *x = pmta_listener(im, b->at, b->arg);

	if (x)
		pmta_target(im, b, x);
}

static bool is_listener_word(struct str word)
{
	return pmta_rule_find(IN_LISTENER, word) != NULL;
}

/* smtp-listener A:P source=NAME, and the form with pairs of words. */
TAKE(pt_listener)
{
	struct str at, word;
	struct pmta_section *x;

	(void)r;
	if (!pmta_word(&v, &at)) {
		pmta_say(im, s, PMTA_DROPPED, "it has no address");
		return;
	}
	x = pmta_listener(im, s, pmta_plain(im, at));
	if (!x)
		return;
	s->became = mem_fmt(&im->mem, "[listener %s]", x->name);
	s->nbecame++;
	while (pmta_word(&v, &word)) {
		const char *eq = memchr(word.p, '=', word.n);
		struct str name = word, value = { "", 0 }, next = v, piece;
		const struct pmta_rule *one;

		if (eq) {
			name.n = (size_t)(eq - word.p);
			value = (struct str){ eq + 1, word.n - name.n - 1 };
		} else if (is_listener_word(name)) {
			value.p = "";
			while (pmta_word(&next, &piece) && !(value.n && is_listener_word(piece)) &&
			       (!value.n || str_ieqz(name, "authenticate"))) {
				value = value.n
					    ? str_of(mem_fmt(&im->mem, "%.*s %.*s", (int)value.n,
							     value.p, (int)piece.n, piece.p))
					    : piece;
				v = next;
			}
		}
		one = pmta_rule_find(IN_LISTENER, name);
		if (one && one->conv && value.n) {
			const char *ours = one->conv(im, s, one, value);

			if (ours)
				pmta_set(im, s, x, one->to, ours, false);
		} else {
			pmta_say(im, s, PMTA_APPROXIMATED, "\"%.*s\" is left out", (int)word.n,
				 word.p);
		}
	}
}

static void into_listeners(struct pmta *im, struct pmta_stmt *s, const char *name,
			   const char *value)
{
	for (struct pmta_section *x = im->first_section; x; x = x->next)
		if (!strcmp(x->word, "listener"))
			pmta_set(im, s, x, name, value, true);
}

/* After all listeners are known: see pmta_walk. */
TAKE(pt_all)
{
	if (str_ieqz(v, "yes") || str_ieqz(v, "true")) {
		pmta_say(im, s, PMTA_APPROXIMATED, "%s", r->note);
		into_listeners(im, s, r->to, r->arg);
	} else {
		pmta_say(im, s, PMTA_TAKEN, "that is so without a word");
	}
}

/* PowerMTA keeps certificate and key in one file. */
TAKE(pt_certificate)
{
	struct str file, more;
	const char *path;

	(void)r;
	if (!pmta_word(&v, &file)) {
		pmta_say(im, s, PMTA_DROPPED, "it has no file");
		return;
	}
	path = pmta_path(im, file);
	for (int i = 0; s->in && i < s->in->nto; i++) {
		pmta_set(im, s, s->in->to[i], "tls-certificate", path, false);
		pmta_set(im, s, s->in->to[i], "tls-key", path, false);
	}
	if (!s->in) {
		into_listeners(im, s, "tls-certificate", path);
		into_listeners(im, s, "tls-key", path);
	}
	if (pmta_word(&v, &more))
		pmta_say(im, s, PMTA_APPROXIMATED, "a key without a password is needed");
}

/* ---- addresses ---- */

static const char *default_host(struct pmta *im)
{
	struct pmta_entry *e = pmta_get(pmta_section_find(im, "mta", ""), "hostname");

	return e ? e->value : NULL;
}

/* The host-name of the same <virtual-mta>, wherever it stands; else the first of all. */
static const char *host_beside(struct pmta *im, const struct pmta_stmt *s)
{
	for (struct pmta_stmt *t = im->first; s->in && t; t = t->next)
		if (t->in == s->in && str_ieqz(t->name, "host-name") && t->value.n) {
			pmta_say(im, t, PMTA_TAKEN, "it is in smtp-source-host");
			return pmta_plain(im, t->value).p;
		}
	return default_host(im);
}

/* In a <virtual-mta>: for an address without a name of its own. */
TAKE(pt_own_host_name)
{
	struct str plain = pmta_plain(im, v), ip, host;

	(void)r;
	for (struct pmta_stmt *t = im->first; t; t = t->next) {
		struct str rest = t->value;

		if (t->in == s->in && str_ieqz(t->name, "smtp-source-host") &&
		    pmta_word(&rest, &ip) && (!pmta_word(&rest, &host) || str_ieq(host, plain))) {
			pmta_say(im, s, PMTA_TAKEN, "it is in smtp-source-host");
			return;
		}
	}
	pmta_say(im, s, PMTA_DROPPED, "EHLO's name stands in smtp-source-host");
}

/* IP or CIDR, HOSTNAME; the damaged "1.2.3.4 ://yourdomain.com". */
TAKE(pt_hosts)
{
	struct pmta_section *to =
	    s->in ? s->in->nto ? s->in->to[0] : NULL : pmta_section(im, "mta", "", s);
	struct str ip = { "", 0 }, host, more;
	const char *slash, *name;

	(void)r;
	v = pmta_plain(im, v);
	if (!pmta_word(&v, &ip)) {
		pmta_say(im, s, PMTA_DROPPED, "it has no address");
		return;
	}
	if (!to) {
		pmta_say(im, s, PMTA_DROPPED, "its section is dropped");
		return;
	}
	slash = memchr(ip.p, '/', ip.n);
	if (slash) {
		ip.n = (size_t)(slash - ip.p);
		pmta_say(im, s, PMTA_APPROXIMATED,
			 "one address of the network: write one for each that you send from");
	}
	name = pmta_word(&v, &host) ? mem_z(&im->mem, host) : host_beside(im, s);
	if (!name) {
		pmta_say(im, s, PMTA_DROPPED, "it has no host name, and there is no host-name");
		return;
	}
	if (strstr(name, "://")) {
		name = strstr(name, "://") + 3;
		pmta_say(im, s, PMTA_APPROXIMATED, "the host name is damaged: read as %s", name);
	}
	if (pmta_word(&v, &more))
		pmta_say(im, s, PMTA_APPROXIMATED, "\"%.*s\" is left out", (int)more.n, more.p);
	pmta_set(im, s, to, "smtp-source-host", mem_fmt(&im->mem, "%.*s %s", (int)ip.n, ip.p, name),
		 false);
}

TAKE(pt_host_name)
{
	struct str name, more;

	(void)r;
	v = pmta_plain(im, v);
	if (!pmta_word(&v, &name)) {
		pmta_say(im, s, PMTA_DROPPED, "it has no value");
		return;
	}
	if (default_host(im)) {
		pmta_say(im, s, PMTA_DROPPED, "Stoker has one name: the first");
		return;
	}
	if (pmta_word(&v, &more))
		pmta_say(im, s, PMTA_APPROXIMATED, "Stoker has one name: the first");
	pmta_set(im, s, pmta_section(im, "mta", "", s), "hostname", mem_z(&im->mem, name), false);
}

/* Also of a pool in the pool, which pmta_names takes apart. */
TAKE(pt_member)
{
	struct pmta_section *to = s->in->nto ? s->in->to[0] : NULL;
	struct pmta_entry *before = pmta_get(to, "members");
	struct str word;

	(void)r;
	while (to && pmta_element(&v, &word)) {
		const char *name = pmta_name(im, s, word), *list;

		if (!name)
			continue;
		before = pmta_get(to, "members");
		list = before ? mem_fmt(&im->mem, "%s, %s", before->value, name) : name;
		if (before)
			before->off = true;
		pmta_set(im, s, to, "members", list, false);
	}
}

/* ---- keys, pickup, patterns ---- */

TAKE(pt_domain_key)
{
	struct str word[3] = { { "", 0 }, { "", 0 }, { "", 0 } }, list, one;
	struct pmta_section *x;
	bool weak;
	int n = 0;

	(void)r;
	while (n < 3 && pmta_element(&v, &word[n]))
		n++;
	if (n < 3) {
		pmta_say(im, s, PMTA_DROPPED, "write SELECTOR, DOMAIN, FILE");
		return;
	}
	if (word[2].p[0] == '{' || str_eqz(word[1], "*")) {
		pmta_say(im, s, PMTA_DROPPED,
			 word[2].p[0] == '{' ? "a key is a file"
					     : "a key belongs to a domain: write [dkim DOMAIN]");
		return;
	}
	if (s->in)
		pmta_say(im, s, PMTA_APPROXIMATED, "a key is for all virtual MTAs");
	list = pmta_expand(im, s, pmta_plain(im, word[1]), &weak);
	while (pmta_element(&list, &one)) {
		const char *name = mem_z(&im->mem, one);

		x = pmta_section_find(im, "dkim", name);
		if (x && x->first) {
			pmta_say(im, s, PMTA_DROPPED,
				 "%s has a key already, and the first one signs", name);
			continue;
		}
		x = pmta_section(im, "dkim", name, s);
		pmta_set(im, s, x, "selector", pmta_plain(im, word[0]).p, false);
		pmta_set(im, s, x, "key-file", pmta_path(im, word[2]), false);
	}
}

TAKE(pt_pickup)
{
	struct str dir, bad;
	struct pmta_section *x;

	(void)r;
	if (!pmta_word(&v, &dir)) {
		pmta_say(im, s, PMTA_DROPPED, "it has no directory");
		return;
	}
	x = pmta_section(im, "pickup", pmta_path(im, dir), s);
	if (!pmta_word(&v, &bad)) {
		pmta_say(im, s, PMTA_APPROXIMATED, "bad files go to bad/ in it");
		return;
	}
	pmta_set(im, s, x, "bad-directory", pmta_path(im, bad), false);
}

void pmta_open_pickup(struct pmta *im, struct pmta_block *b)
{
	if (!b->arg.n)
		pmta_say(im, b->at, PMTA_DROPPED, "it has no directory");
	else if (section_kind_find(STR_LIT("pickup")) == KIND_COUNT)
		pmta_say(im, b->at, PMTA_DROPPED, "this Stoker has no [pickup]");
	else
		pmta_target(im, b, pmta_section(im, "pickup", pmta_path(im, b->arg), b->at));
}

TAKE(pt_starttls)
{
	struct pmta_block *b = s->in;
	bool yes = str_ieqz(v, "yes") || str_ieqz(v, "true"),
	     require = str_ieqz(s->name, "require-starttls");
	const char *value = require ? "required" : yes ? "opportunistic" : "no";

	(void)r;
	if (require && !yes) {
		pmta_say(im, s, PMTA_TAKEN, "that is so without a word");
		return;
	}
	for (int i = 0; b && i < b->nto; i++) {
		struct pmta_entry *e = pmta_get(b->to[i], "smtp-starttls");

		if (e && strcmp(e->value, "required") == 0)
			pmta_say(im, s, yes ? PMTA_TAKEN : PMTA_DROPPED,
				 "require-starttls says more");
		else if (e && require && e->by)
			e->value = value;
		else
			pmta_set(im, s, b->to[i], "smtp-starttls", value, b->weak);
	}
}

TAKE(pt_retry)
{
	struct pmta_block *b = s->in;
	const struct pmta_rule *times =
	    pmta_rule_find(IN_DOMAIN, STR_LIT("retry-recipients-after"));
	struct str list = str_of(times->conv(im, s, times, v)), word, first = { "", 0 },
		   last = { "", 0 };

	(void)r;
	while (pmta_element(&list, &word)) {
		first = first.n ? first : word;
		last = word;
	}
	pmta_say(im, s, PMTA_APPROXIMATED,
		 "the rest of a failing lane begins with the first wait, grows by "
		 "backoff-scale-factor, and ends at the last");
	for (int i = 0; b && i < b->nto; i++) {
		if (!pmta_set(im, s, b->to[i], "min-backoff", mem_z(&im->mem, first), b->weak))
			return;
		if (last.p != first.p)
			pmta_set(im, s, b->to[i], "max-backoff", mem_z(&im->mem, last), b->weak);
	}
}

/* Actions of a reply line: ours have the same words, but for the times. */
static const char *action(struct pmta *im, struct pmta_stmt *s, struct str word)
{
	static const struct {
		const char *theirs, *ours;
	} timed[] = { { "backoff-to-normal-after=", "for=" }, { "reenable-after=", "for=" } };
	static const char *const same[] = { "mode=normal",  "mode=backoff", "skip-mx",
					    "bounce-queue", "bounce-rcpt",  "disable-source-ip" };

	for (size_t i = 0; i < sizeof timed / sizeof timed[0]; i++)
		if (str_istarts(word, timed[i].theirs)) {
			size_t n = strlen(timed[i].theirs);
			struct str time = { word.p + n, word.n - n };

			return mem_fmt(&im->mem, " %s%s", timed[i].ours,
				       pv_time(im, s, NULL, time));
		}
	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
		if (str_ieqz(word, same[i]))
			return mem_fmt(&im->mem, ", %s", same[i]);
	if (str_ieqz(word, "defer-queue"))
		pmta_say(im, s, PMTA_APPROXIMATED,
			 "defer-queue is left out: a lane whose mail is refused rests by itself");
	else
		pmta_say(im, s, PMTA_APPROXIMATED, "\"%.*s\" is left out", (int)word.n, word.p);
	return "";
}

TAKE(pt_reply)
{
	struct str regex, word;
	const char *actions = "", *value;

	(void)r;
	if (!pmta_word(&v, &regex) || regex.p[0] != '/') {
		pmta_say(im, s, PMTA_DROPPED, "write reply /REGEX/ ACTION");
		return;
	}
	if (str_eqz(regex, "//"))
		regex = STR_LIT("/.*/");
	while (pmta_element(&v, &word))
		actions = mem_fmt(&im->mem, "%s%s", actions, action(im, s, word));
	if (!*actions) {
		pmta_say(im, s, PMTA_DROPPED, "no action is left");
		return;
	}
	value = mem_fmt(&im->mem, "%.*s %s", (int)regex.n, regex.p,
			actions + (*actions == ',' ? 2 : 1));
	for (int i = 0; s->in && i < s->in->nto; i++)
		pmta_set(im, s, s->in->to[i], "reply", value, false);
}
