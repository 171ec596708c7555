#include "conf/machine.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int machine_cores(void)
{
	cpu_set_t set;
	int n;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		return CPU_COUNT(&set);
	n = (int)sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? n : 1;
}

/* The number in a control group's file; INT64_MAX if there is none ("max", no such file). */
static int64_t limit_in(const char *path)
{
	FILE *f = fopen(path, "re");
	int64_t v;

	if (!f)
		return INT64_MAX;
	if (fscanf(f, "%" SCNd64, &v) != 1 || v <= 0)
		v = INT64_MAX;
	fclose(f);
	return v;
}

/* Version 2: this process's group, and each group above it, may set a limit. */
static int64_t cgroup2_limit(void)
{
	char line[512], path[640];
	int64_t least = INT64_MAX;
	FILE *f = fopen("/proc/self/cgroup", "re");
	char *group = NULL;

	while (f && !group && fgets(line, sizeof line, f))
		if (strncmp(line, "0::/", 4) == 0)
			group = line + 3;
	if (f)
		fclose(f);
	if (!group)
		return INT64_MAX;
	group[strcspn(group, "\n")] = '\0';
	for (char *end = group + strlen(group); end; end = strrchr(group, '/')) {
		int64_t v;

		*end = '\0';
		snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
		v = limit_in(path);
		least = v < least ? v : least;
	}
	return least;
}

int64_t machine_memory(void)
{
	int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	int64_t least = pages > 0 && page > 0 ? pages * page : (int64_t)1 << 30;
	int64_t v1 = limit_in("/sys/fs/cgroup/memory/memory.limit_in_bytes");
	int64_t v2 = cgroup2_limit();

	least = v1 < least ? v1 : least;
	return v2 < least ? v2 : least;
}
