/* Rows for tests of core/control: made up, with references of their own. */
#ifndef STOKER_TESTS_CONTROL_WORLD_H
#define STOKER_TESTS_CONTROL_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "core/base/hash.h"
#include "core/base/rng.h"
#include "core/control/query.h"

/* 2026-11-23T19:03:48Z */
static const us_t world_now = (us_t)1795460628 * US_PER_S;

static inline struct rstr *text(const char *z)
{
	return z ? rstr_new(str_of(z)) : NULL;
}

static inline struct row queue_row(uint64_t id, const char *domain, const char *route,
				   enum row_state state, uint64_t queued)
{
	struct row r = { .id = id, .kind = ROW_QUEUE, .state = (uint8_t)state };

	r.name = rstr_newf("%s/%s", domain, route);
	r.why.counts = SCOPE_COUNT;
	r.queue.domain = text(domain);
	r.queue.route = text(route);
	r.queue.queued = queued;
	r.queue.t.delivered_percent = -1;
	return r;
}

static inline struct row site_row(uint64_t id, const char *name, enum row_state state,
				  uint64_t queued)
{
	struct row r = { .id = id, .kind = ROW_SITE, .state = (uint8_t)state };

	r.name = text(name);
	r.why.counts = SCOPE_COUNT;
	r.site.site_name = text(name);
	r.site.queued = queued;
	r.site.t.delivered_percent = -1;
	return r;
}

static inline struct row lane_row(uint64_t id, const char *site, const char *vmta, uint64_t site_id)
{
	struct row r = { .id = id, .kind = ROW_LANE };

	r.name = rstr_newf("%s@%s", site, vmta);
	r.why.counts = SCOPE_COUNT;
	r.lane.site_name = text(site);
	r.lane.vmta = text(vmta);
	r.lane.site = site_id;
	r.lane.t.delivered_percent = -1;
	return r;
}

static inline struct row source_row(uint64_t id, const char *name)
{
	struct row r = { .id = id, .kind = ROW_SOURCE };

	r.name = text(name);
	r.why.counts = SCOPE_COUNT;
	r.source.t.delivered_percent = r.source.transient_percent = r.source.permanent_percent = -1;
	r.source.ptr_ok = -1;
	return r;
}

static inline struct row override_row(uint64_t id, const char *what, const char *target,
				      const char *who)
{
	struct row r = { .id = id, .kind = ROW_OVERRIDE };

	r.why.counts = SCOPE_COUNT;
	r.override.number = id;
	r.override.made_at = world_now;
	r.override.until = US_NEVER;
	r.override.what = text(what);
	r.override.target = text(target);
	r.override.who = text(who);
	return r;
}

#endif
