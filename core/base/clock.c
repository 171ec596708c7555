#include "core/base/clock.h"

#include <string.h>
#include <time.h>

static us_t offset_us; /* wall clock minus CLOCK_MONOTONIC when clock_init ran */

static us_t read_clock(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		return 0;
	return (us_t)ts.tv_sec * US_PER_S + (us_t)ts.tv_nsec / 1000;
}

void clock_init(void)
{
	offset_us = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_MONOTONIC);
}

us_t clock_now_us(void)
{
	return read_clock(CLOCK_MONOTONIC) + offset_us;
}

us_t clock_thread_cpu_us(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

us_t clock_skew_us(void)
{
	return read_clock(CLOCK_REALTIME) - clock_now_us();
}

/* Decimal digits of v, leading zeros; returns the place behind. */
static char *digits(char *p, int v, int n)
{
	for (int i = n - 1; i >= 0; i--) {
		p[i] = (char)('0' + v % 10);
		v /= 10;
	}
	return p + n;
}

static char *letters(char *p, const char *z)
{
	size_t n = strlen(z);

	memcpy(p, z, n);
	return p + n;
}

/* "19:03:48" */
static char *time_of_day(char *p, const struct tm *tm)
{
	p = letters(digits(p, tm->tm_hour, 2), ":");
	p = letters(digits(p, tm->tm_min, 2), ":");
	return digits(p, tm->tm_sec, 2);
}

/* Years of four digits only, so that a time from damaged data can't overrun or change the form. */
static us_t in_range(us_t at)
{
	const us_t end_of_9999 = 253402300800 * US_PER_S - US_PER_DAY;

	if (at < 0)
		return 0;
	return at < end_of_9999 ? at : end_of_9999;
}

void clock_rfc3339(us_t at, char out[CLOCK_RFC3339_SIZE])
{
	/* gmtime_r takes libc's time zone lock: a thread that writes thousands of lines a second
	 * asks once a second. */
	static _Thread_local time_t cached_at;
	static _Thread_local char cached[CLOCK_RFC3339_SIZE];
	time_t s;
	char *p;

	at = in_range(at);
	s = (time_t)(at / US_PER_S);
	if (s != cached_at || !cached[0]) {
		struct tm tm = { 0 };

		gmtime_r(&s, &tm);
		p = letters(digits(cached, tm.tm_year + 1900, 4), "-");
		p = letters(digits(p, tm.tm_mon + 1, 2), "-");
		p = letters(digits(p, tm.tm_mday, 2), "T");
		*time_of_day(p, &tm) = '\0';
		cached_at = s;
	}
	p = letters(letters(out, cached), ".");
	p = letters(digits(p, (int)(at % US_PER_S / US_PER_MS), 3), "Z");
	*p = '\0';
}

void clock_rfc5322(us_t at, char out[CLOCK_RFC5322_SIZE])
{
	/* Not strftime: names must stay English in any locale. */
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t s = (time_t)(in_range(at) / US_PER_S);
	struct tm tm = { 0 };
	int minutes;
	char *p;

	localtime_r(&s, &tm);
	minutes = (int)(tm.tm_gmtoff / 60);
	p = letters(letters(out, days[tm.tm_wday]), ", ");
	p = letters(digits(p, tm.tm_mday, 2), " ");
	p = letters(letters(p, months[tm.tm_mon]), " ");
	p = letters(digits(p, tm.tm_year + 1900, 4), " ");
	p = letters(time_of_day(p, &tm), minutes < 0 ? " -" : " +");
	minutes = minutes < 0 ? -minutes : minutes;
	p = digits(digits(p, minutes / 60, 2), minutes % 60, 2);
	*p = '\0';
}
