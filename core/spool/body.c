#include "core/spool/body.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"

#define BODY_MAGIC 0x626F6479u

static uint64_t budget_limit = UINT64_MAX; /* atomic */
static uint64_t budget_used;		   /* atomic */

struct body_file *body_file_new(int fd, void (*last)(struct body_file *f, void *arg), void *arg)
{
	struct body_file *f = malloc(sizeof *f);

	if (f)
		*f = (struct body_file){ .refs = 1, .fd = fd, .last = last, .arg = arg };
	return f;
}

struct body_file *body_file_ref(struct body_file *f)
{
	__atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
	return f;
}

void body_file_unref(struct body_file *f)
{
	if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (f->last)
		f->last(f, f->arg);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

static struct str take_memory(struct buf *b)
{
	struct str s = { b->p, b->n };

	buf_init(b);
	return s;
}

struct body *body_new_memory(struct buf *head, struct buf *data, uint64_t charged, bool dot_line,
			     bool eightbit)
{
	struct body *b = malloc(sizeof *b);

	if (!b)
		return NULL;
	*b = (struct body){ .magic = BODY_MAGIC,
			    .refs = 1,
			    .size = head->n + data->n,
			    .charged = charged,
			    .dot_line = dot_line,
			    .eightbit = eightbit };
	b->head = take_memory(head);
	b->data = take_memory(data);
	return b;
}

struct body *body_new_file(struct body_file *file, uint64_t offset, uint64_t size, bool dot_line,
			   bool eightbit)
{
	struct body *b = malloc(sizeof *b);

	if (b)
		*b = (struct body){ .magic = BODY_MAGIC,
				    .refs = 1,
				    .size = size,
				    .file = file,
				    .offset = offset,
				    .dot_line = dot_line,
				    .eightbit = eightbit };
	return b;
}

struct body *body_ref(struct body *b)
{
	OBJ_CHECK(b, BODY_MAGIC);
	__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
	return b;
}

void body_unref(struct body *b)
{
	if (!b)
		return;
	OBJ_CHECK(b, BODY_MAGIC);
	if (__atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	b->magic = 0;
	body_file_unref(b->file);
	free((void *)(uintptr_t)b->head.p);
	free((void *)(uintptr_t)b->data.p);
	body_budget_give(b->charged);
	free(b);
}

void body_budget_set(uint64_t bytes)
{
	__atomic_store_n(&budget_limit, bytes, __ATOMIC_RELAXED);
}

bool body_budget_take(uint64_t bytes)
{
	uint64_t used = __atomic_load_n(&budget_used, __ATOMIC_RELAXED);

	do {
		uint64_t limit = __atomic_load_n(&budget_limit, __ATOMIC_RELAXED);

		if (used > limit || bytes > limit - used)
			return false;
	} while (!__atomic_compare_exchange_n(&budget_used, &used, used + bytes, true,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

bool body_budget_has(uint64_t bytes)
{
	uint64_t used = __atomic_load_n(&budget_used, __ATOMIC_RELAXED);
	uint64_t limit = __atomic_load_n(&budget_limit, __ATOMIC_RELAXED);

	return used <= limit && bytes <= limit - used;
}

void body_budget_give(uint64_t bytes)
{
	__atomic_sub_fetch(&budget_used, bytes, __ATOMIC_RELAXED);
}

uint64_t body_budget_used(void)
{
	return __atomic_load_n(&budget_used, __ATOMIC_RELAXED);
}
