/* The operator's terminal in the attach client: raw while the console is on it, as it was at every
 * other time, whatever happens. */
#ifndef STOKER_CONTROL_TTY_H
#define STOKER_CONTROL_TTY_H

#include <stdbool.h>

/* False: standard input or output is no terminal. */
bool tty_open(void);
void tty_raw(void);
/* Undoes what the console may have switched on: modes, alternate screen, mouse, paste, cursor,
 * colours. Safe in signal handlers. */
void tty_restore(void);
void tty_size(int *rows, int *columns);

#endif
