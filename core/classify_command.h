/* stoker classify: reads replies, one a line, from a file and prints what each means. */
#ifndef STOKER_CLASSIFY_COMMAND_H
#define STOKER_CLASSIFY_COMMAND_H

#include <stdio.h>

#include "conf/patterns.h"

struct classify_job {
	const struct pattern_list *list; /* of the configuration, or what comes with Stoker */
	const char *receiver;		 /* NULL: not known */
	bool json;
	bool time; /* also how long it took, to stderr */
};
/* False: the input could not be read to its end. */
bool classify_command(const struct classify_job *j, FILE *in);

#endif
