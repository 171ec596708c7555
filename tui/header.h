/* The header: facts of the whole MTA, the same for all operators; parsed once from the `status`
 * object (COMMANDS.md), drawn for each. Console thread. */
#ifndef STOKER_TUI_HEADER_H
#define STOKER_TUI_HEADER_H

#include "core/sched/rows.h"
#include "tui/canvas.h"

enum { HEADER_LINES = 2, HEADER_CURVE = 24, HEADER_SAMPLES = 64 };
#define HEADER_CURVE_US	 (5 * US_PER_S) /* a step of the curve */
#define HEADER_SAMPLE_US (5 * US_PER_S) /* percents are over up to 5 minutes of these */

struct header_sample {
	us_t at;
	uint64_t delivered, deferred, bounced;
};
struct header {
	bool known; /* a status came */
	struct sched_totals totals;
	us_t at, uptime, loaded_at;
	char state[16], hostname[128], version[32];
	uint64_t config;
	bool differs;
	double load_progress; /* 0 to 1 */
	int64_t queue_limit, in_connections, connection_limit;
	int nalarms, worst; /* not acknowledged; 1 is the worst severity */
	struct header_sample samples[HEADER_SAMPLES]; /* a ring */
	int nsamples, next_sample;
	float curve[HEADER_CURVE]; /* out a second, oldest first */
	us_t curve_at;
	double curve_sum;
	int curve_n;
};
void header_totals(struct header *h, const struct sched_totals *t, us_t now);
/* Ill-formed JSON changes nothing. */
void header_status(struct header *h, struct str json, us_t now);
/* Shares of what was attempted in the last five minutes, in percent. False under ten attempts. */
bool header_shares(const struct header *h, double *ok, double *deferred, double *bounced);

struct oper;
/* Two lines; with `compact` one. Returns the lines used. */
int header_draw(struct oper *op, struct canvas *c, us_t now, bool compact);
/* The same in one plain sentence. */
void header_sentence(struct oper *op, struct buf *out);

#endif
