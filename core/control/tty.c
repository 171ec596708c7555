#include "core/control/tty.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static volatile bool is_raw;

bool tty_open(void)
{
	return isatty(STDOUT_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
}

void tty_raw(void)
{
	struct termios raw = before;

	cfmakeraw(&raw);
	is_raw = true;
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

void tty_restore(void)
{
	/* Mouse reports off, bracketed paste off, cursor keys normal, keypad numeric, attributes
	 * off, alternate screen left, cursor shown. Terminals ignore what they don't know. */
	static const char reset[] =
	    "\033[?1000l\033[?1002l\033[?1003l\033[?1006l\033[?2004l\033[?1l\033>"
	    "\033[0m\033[?1049l\033[?25h\r";
	int kept = errno;

	if (!is_raw)
		return;
	is_raw = false;
	/* TCSANOW: with TCSADRAIN a terminal stopped by ^S would hold us here. */
	(void)!write(STDOUT_FILENO, reset, sizeof reset - 1);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
	errno = kept;
}

void tty_size(int *rows, int *columns)
{
	enum { ROWS = 24, COLUMNS = 80 };
	struct winsize size;

	*rows = ROWS;
	*columns = COLUMNS;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col) {
		*rows = size.ws_row;
		*columns = size.ws_col;
	}
}
