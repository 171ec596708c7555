/* stoker(1), stoker.ini(5) and the shell's completion, made from the tables of commands and
 * directives, so that they can't say anything else than the program does. Any thread. */
#ifndef STOKER_CORE_MANUAL_H
#define STOKER_CORE_MANUAL_H

#include "core/base/buf.h"
#include "core/base/str.h"

/* "stoker.1", "stoker.ini.5" as roff, or "completion" for bash; false: there is no such page. */
bool manual_page(struct str name, struct buf *out);
/* "stoker.1, stoker.ini.5, completion". */
extern const char manual_names[];
/* core/manual_ini.c */
void manual_stoker_ini_5(struct buf *out);

#endif
