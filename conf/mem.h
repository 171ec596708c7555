/* Memory of one reading: an arena that becomes the snapshot's. Running out of it ends the reading
 * by one longjmp to conf_read, which frees the arena and reports it: a reload then fails in words
 * and the old configuration stays. So nothing between setjmp and here may hold a descriptor or
 * malloc'd memory that is not written down in struct reading. */
#ifndef STOKER_CONF_MEM_H
#define STOKER_CONF_MEM_H

#include <setjmp.h>

#include "core/base/arena.h"

struct conf_mem {
	struct arena arena;
	jmp_buf no_memory;
};

/* Zeroed; never NULL. */
void *mem_alloc(struct conf_mem *m, size_t n);
/* n elements; never NULL, also for n == 0. */
void *mem_array(struct conf_mem *m, size_t n, size_t element_bytes);
const char *mem_z(struct conf_mem *m, struct str s);
const char *mem_fmt(struct conf_mem *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
