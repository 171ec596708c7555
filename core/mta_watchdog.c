/* systemd's watchdog: a sign of life goes out only if every loop that promises not to block has
 * gone round since the last one. The spool thread, the workers and pickup wait for the disk by
 * their nature: a stalled disk is an alarm, and a restart would not mend it. */
#include "core/mta.h"
#include "core/notify.h"

enum { STEPS = 4 }; /* a loop may be silent for three quarters of the watchdog's time */

us_t watchdog_every_us(void)
{
	return notify_watchdog_us() / STEPS;
}

static bool watched(const struct member *me)
{
	return me->loop && me->role != MEMBER_SPOOL && me->role != MEMBER_WORKER &&
	       me->role != MEMBER_PICKUP;
}

static void beat(struct member *to, struct post *p)
{
	__atomic_store_n(&to->beat, p->a, __ATOMIC_RELAXED);
}

void watchdog_step(struct mta *m)
{
	static uint64_t question; /* main thread only */
	for (int i = 0; i < m->nmembers; i++)
		if (watched(&m->members[i]) &&
		    __atomic_load_n(&m->members[i].beat, __ATOMIC_RELAXED) != question)
			return;
	question++;
	for (int i = 0; i < m->nmembers; i++)
		if (watched(&m->members[i]))
			mta_post(m->main, &m->members[i],
				 (struct post){ .fn = beat, .a = question });
	notify_send("WATCHDOG=1");
}
