#include "core/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct err err_no_memory = { "no-memory", "out of memory" };
const struct err err_io = { "io", "a system call failed" };
const struct err err_invalid = { "invalid", "the input is not valid" };
const struct err err_full = { "full", "a limit is reached" };
const struct err err_gone = { "gone", "it is not there any more" };

/* Puts "..." at the end of a full buffer, never behind half a UTF-8 character. */
static void mark_cut(char *text, size_t size)
{
	size_t at = size - sizeof "...";

	while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80)
		at--;
	memcpy(text + at, "...", sizeof "...");
}

void errbuf_set(struct errbuf *e, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (!e)
		return;
	va_start(ap, fmt);
	n = vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	if (n < 0)
		e->text[0] = '\0';
	else if ((size_t)n >= sizeof e->text)
		mark_cut(e->text, sizeof e->text);
}
