#include "conf/mem.h"

#include <stdio.h>

void *mem_alloc(struct conf_mem *m, size_t n)
{
	void *p = arena_alloc(&m->arena, n);

	if (!p)
		longjmp(m->no_memory, 1);
	return p;
}

void *mem_array(struct conf_mem *m, size_t n, size_t element_bytes)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, element_bytes, &bytes))
		longjmp(m->no_memory, 1);
	return mem_alloc(m, bytes);
}

const char *mem_z(struct conf_mem *m, struct str s)
{
	struct str copy = arena_str(&m->arena, s);

	if (!copy.p)
		longjmp(m->no_memory, 1);
	return copy.p;
}

const char *mem_fmt(struct conf_mem *m, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		longjmp(m->no_memory, 1);
	p = mem_alloc(m, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}
