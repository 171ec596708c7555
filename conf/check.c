#include "conf/reading.h"

void check(struct reading *r)
{
	(void)r;
}
