/* systemd's notification protocol (sd_notify(3), "Notes": a datagram to $NOTIFY_SOCKET) and its
 * watchdog. Without $NOTIFY_SOCKET everything here does nothing. */
#ifndef STOKER_CORE_NOTIFY_H
#define STOKER_CORE_NOTIFY_H

#include "core/base/clock.h"

/* Reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID, and opens the socket. Before the user is
 * changed and before threads start. */
void notify_init(void);
/* "READY=1\nSTATUS=…". Any thread. A datagram that can't be sent is dropped: the manager's time-out
 * tells. */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* How long the watchdog waits for a sign of life; 0: there is none. */
us_t notify_watchdog_us(void);

#endif
