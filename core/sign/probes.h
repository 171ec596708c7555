/* When each key's published record is looked up, and what is made of the answers: at once when a
 * configuration comes into force, then every hour, and every five minutes while it is not as it
 * should be. Pure: its owner asks the DNS and has the record judged. One thread.
 *
 * An alarm is raised for a record that is wrong, and for one that could not be looked up for half
 * an hour; until then the last verdict stands. */
#ifndef STOKER_SIGN_PROBES_H
#define STOKER_SIGN_PROBES_H

#include "core/sign/record.h"

enum { PROBES_AT_ONCE = 16 };

struct probe_ask {
	const struct signer *signer; /* of the snapshot of probes_conf */
	const struct sign_key *key;
	uint64_t round; /* changes with the snapshot */
	char name[DOMAIN_SIZE];
};
struct probe_env {
	void *arg;
	/* The alarm about the record of that name, with a sentence while it is on. */
	void (*alarm)(void *arg, const char *name, const struct sign_key *k, bool on,
		      const char *why);
};

struct probes;
struct probes *probes_new(const struct probe_env *env); /* NULL without memory */
void probes_free(struct probes *p);			/* NULL allowed */
/* All keys of this snapshot are due now. Alarms of keys that are gone end. False without memory:
 * no key is looked up. */
bool probes_conf(struct probes *p, struct conf *c, us_t now);
/* The next one to look up; false: none is due, or enough are being looked up. */
bool probes_next(struct probes *p, us_t now, struct probe_ask *out);
/* RECORD_UNKNOWN: the DNS gave no answer, and `why` says what it gave. */
void probes_answer(struct probes *p, const struct probe_ask *ask, enum record_state state,
		   const char *why, us_t now);
/* How many keys are in that state. */
int probes_count(const struct probes *p, enum record_state state);

#endif
