/* Order is everything: "blocked" in "mailbox blocked for inactivity" is about a mailbox, in
 * "blocked using a list" about us. Each rule says in one line what it is to catch. No unbounded
 * repeats, so that hostile text costs little. */
#include "core/classify/rules.h"

#define ALL_4XX (WHEN_421 | WHEN_4XX)

/* A mailbox that does not take this message, in the many ways of saying so. */
#define MAILBOX_FULL                                                                               \
	"over\\ ?-?quota | quota\\ (is\\ |has\\ been\\ |was\\ )?(exceeded|full) | "                \
	"exceed\\w{0,3}\\ (\\w{1,10}\\ ){0,3}(quota|storage) | "                                   \
	"(mail\\ ?-?box|inbox|mail\\ ?-?drop|account)\\ (\\w{1,10}\\ ){0,2}(over|full|exceed) | "  \
	"full\\ (mail\\ ?box|inbox)"
#define MAILBOX_UNKNOWN                                                                            \
	"(no\\ such|unknown|invalid|illegal|unrouteable|nonexistent)\\ (or\\ \\w{1,10}\\ )?"       \
	"(local\\ |e-?mail\\ )?(user|recipient|mail\\ ?-?box|address|alias|account|person) | "     \
	"no\\ mail\\ ?-?box | user\\ name\\ is\\ unknown | "                                       \
	"\\b(user|recipient|mail\\ ?-?box|account|address)\\ (\\w{1,12}\\ ){0,3}"                  \
	"(unknown|unavailable|disabled|inactiv\\w{1,3}|suspended|locked|busy|not\\ found|"         \
	"(does\\ not|doesn't)\\ exist|no\\ longer|cannot\\ be\\ found|not\\ available)"

const struct text_rule text_rules[] = {
	/* ---- 4xx ---- */
	{ "text greylisting", ALL_4XX, CLASS_GREYLIST,
	  /* postgrey, sqlgrey, milter-greylist, Exim's and Postfix's recipes */
	  "gr[ea]y\\ ?-?list | postgrey | not\\ yet\\ authori[sz]ed\\ to\\ deliver | "
	  "(first|initial|unknown)\\ (time\\ )?(delivery\\ )?(attempt|triplet|sender/recipient)" },
	{ "text end of a used connection", WHEN_421, CLASS_TRANSIENT,
	  /* the connection has served its time; the next one is welcome */
	  "\\bidle\\b | time-?\\ ?out | timed\\ out | \\b(good\\ ?)?bye\\b | "
	  "(message|mail|transaction|recipient|command)s?\\ (\\w{1,10}\\ ){0,2}"
	  "(per|in|on|over|for)\\ (this\\ |one\\ |a\\ |the\\ |single\\ |same\\ ){0,2}"
	  "(smtp\\ )?(connection|session)" },
	{ "text mailbox receives too fast", ALL_4XX, CLASS_MAILBOX,
	  /* about one recipient, whoever sends to it */
	  "receiving\\ (e?-?mail|messages?)\\ (\\w{1,10}\\ )?(too\\ (quickly|fast)|at\\ a\\ rate) "
	  "| "
	  "(to|for)\\ (this|that)\\ (recipient|user|mail\\ ?box)\\ (per|in|within|too)" },
	{ "text throttled", ALL_4XX, CLASS_THROTTLE,
	  "rate\\ ?-?(control|limit) | limit\\w{0,3}\\ (\\w{1,10}\\ ){0,2}rate\\b | throttl | "
	  "(sending|connection|message|delivery|mail|frequency)\\ (rate|frequency|limit) | "
	  "too\\ (many|much)\\ (\\w{1,12}\\ ){0,3}"
	  "(connect|session|message|mail|e-?mail|request|error|bad|invalid|unknown|concurrent) | "
	  "too\\ (fast|frequent) | slow\\ down | (excessive|unexpected|unusual|high)\\ "
	  "(\\w{1,10}\\ ){0,2}(volume|rate|number|amount|traffic) | server\\ (is\\ )?(too\\ )?busy "
	  "| "
	  "(exceed|reach)\\w{0,3}\\ (\\w{1,12}\\ ){0,4}(limit|connections|rate|sessions) | "
	  "limit\\ (\\w{1,10}\\ ){0,4}(exceed|reach) | "
	  "(concurrent|simultaneous|parallel)\\ (\\w{1,10}\\ )?(connection|session|limit)" },
	{ "text deferred for reputation", ALL_4XX, CLASS_THROTTLE,
	  /* Yahoo's [TSS04], Outlook's S-codes and RP-001, Gmail's "very low reputation" */
	  "\\bTSS?\\d\\d\\b | \\bRP-00\\d | reputation | user\\ complaints | "
	  "(unsolicited|suspicious|spam)\\ (\\w{1,10}\\ ){0,3}from\\ (your|this)\\ "
	  "(ip|host|network)" },
	{ "text mailbox full", ALL_4XX, CLASS_MAILBOX, MAILBOX_FULL },
	{ "text mailbox unknown for now", ALL_4XX, CLASS_MAILBOX,
	  MAILBOX_UNKNOWN " | unverified\\ (address|recipient) | address\\ verification | "
			  "(recipient|address|callout)\\ verif" },

	/* ---- 5xx: first what is not about us although it sounds so ---- */
	{ "text mailbox", WHEN_5XX, CLASS_PERMANENT,
	  MAILBOX_FULL
	  " | " MAILBOX_UNKNOWN
	  " | mail\\ ?-?box\\ (\\w{1,10}\\ ){0,3}blocked | blocked\\ (sender|recipient) | "
	  "receiving\\ (e?-?mail|messages?)\\ (\\w{1,10}\\ )?(too|at\\ a\\ rate) | "
	  "(to|for)\\ (this|that)\\ (recipient|user|mail\\ ?box)\\ (per|in|within|too)" },
	{ "text authentication or content", WHEN_5XX, CLASS_PERMANENT,
	  /* DMARC and the like, and what a message contains, say nothing of the sending IP */
	  "\\bDMARC\\b | \\bDKIM\\b | \\bSPF\\b | unauthenticated | authentication\\ level | "
	  "\\b(uri|sur|d)bl\\b | virus | malware | phish | spoof | relay(ing)?\\ (access\\ "
	  ")?denied" },
	{ "text blocked by reputation", WHEN_5XX, CLASS_POLICY,
	  "\\b(dns)?[bdr]?bls?\\b | (block|black|deny)\\ ?-?list | \\blisted\\ (in|on|at|by)\\b | "
	  "spamhaus | spamcop | sorbs | barracuda | cloudmark | senderscore | abuseat | uceprotect "
	  "| "
	  "reputation | \\bTSS?\\d\\d\\b | permanently\\ deferred | \\[(BL|PH)\\d\\d\\] | "
	  "\\bNOWL\\b | "
	  "\\bAUP\\# | \\(S31[45]0\\) | \\bbanned\\b | \\bIP\\ based\\b | "
	  "block\\w{0,3}\\ (for|due\\ to|because\\ of|by)\\ (spam|abuse|complaint|policy|our)" },
	{ "text blocked", WHEN_5XX, CLASS_POLICY,
	  /* our address or connection, by name or as digits */
	  "^\\d{3}[-\\ ](\\d\\.\\d{1,3}\\.\\d{1,3}\\ )?blocked\\b | "
	  "\\b((client|host|server|network|connections?|ip)\\ (from\\ |address\\ |ip\\ |host\\ "
	  "){0,3}"
	  "[\\[(]?[0-9a-f.:]{0,45}[\\])]?|"
	  "(access|messages?|mail|e-?mail)\\ from\\ (ip\\ |address\\ |host\\ ){0,3}"
	  "[\\[(]?([0-9]{1,3}\\.){3}[0-9]{1,3}[\\])]?),?\\ (\\w{1,10}\\ ){0,4}"
	  "(blocked|bloquee|banned|denied|refused|rejected|not\\ (\\w{1,4}\\ )?"
	  "(allowed|accepted|permitted)) | "
	  "originating\\ from\\ your\\ (ip|network)" },
	{ "text reverse DNS", WHEN_5XX, CLASS_POLICY,
	  "reverse\\ (dns|lookup|hostname|name) | \\brdns\\b | \\bPTR\\b | \\bfcrdns\\b | "
	  "(cannot|could\\ not|can't|unable\\ to)\\ (find|resolve)\\ (your|client)" },
	{ "text rate exceeded", WHEN_5XX, CLASS_POLICY,
	  /* QQ's and GoDaddy's 5xx that mean "slower" */
	  "rate\\ ?-?limit | throttl | too\\ (fast|frequent) | frequency | "
	  "too\\ many\\ (\\w{1,12}\\ ){0,2}(connect|session|message|mail|e-?mail) | "
	  "(excessive|unusual)\\ (\\w{1,10}\\ ){0,2}(volume|rate|traffic)" },
};
const int ntext_rules = sizeof text_rules / sizeof *text_rules;

const struct enhanced_rule enhanced_rules[] = {
	{ "enhanced x.1.1", ALL_4XX, CLASS_MAILBOX, 1, 1, 1 },
	{ "enhanced x.1.3", ALL_4XX, CLASS_MAILBOX, 1, 3, 3 },
	{ "enhanced x.1.6", ALL_4XX, CLASS_MAILBOX, 1, 6, 6 },
	{ "enhanced x.2.0", ALL_4XX, CLASS_MAILBOX, 2, 0, 0 },
	{ "enhanced x.2.1", ALL_4XX, CLASS_MAILBOX, 2, 1, 1 },
	{ "enhanced x.2.2", ALL_4XX, CLASS_MAILBOX, 2, 2, 2 },
	/* Gmail's unusual rate; Microsoft's server busy, rate limited, too many connections */
	{ "enhanced x.7.28", ALL_4XX, CLASS_THROTTLE, 7, 28, 28 },
	{ "enhanced x.7.5xx", ALL_4XX, CLASS_THROTTLE, 7, 500, 599 },
	{ "enhanced x.7.65x", ALL_4XX, CLASS_THROTTLE, 7, 650, 659 },
	/* Gmail's unusual rate; Microsoft's access denied and banned addresses */
	{ "enhanced x.7.28", WHEN_5XX, CLASS_POLICY, 7, 28, 28 },
	{ "enhanced x.7.508", WHEN_5XX, CLASS_POLICY, 7, 508, 508 },
	{ "enhanced x.7.511", WHEN_5XX, CLASS_POLICY, 7, 511, 511 },
	{ "enhanced x.7.6xx", WHEN_5XX, CLASS_POLICY, 7, 606, 649 },
};
const int nenhanced_rules = sizeof enhanced_rules / sizeof *enhanced_rules;
