/* A queue's waiting recipients in order of their due time: a treap whose priorities are hashes of
 * the recipients' own identity, so it needs no further memory and a replayed run gives the same
 * tree. */
#include "core/sched/inner.h"

static uint64_t weight(const struct rcpt *r)
{
	return table_mix(rcpt_msg(r)->id * 0x9E3779B97F4A7C15u + r->pos);
}

static bool before(const struct rcpt *a, const struct rcpt *b)
{
	const struct msg *ma, *mb;

	if (a->tree.due != b->tree.due)
		return a->tree.due < b->tree.due;
	ma = rcpt_msg(a);
	mb = rcpt_msg(b);
	return ma->id != mb->id ? ma->id < mb->id : a->pos < b->pos;
}

void due_add(struct rcpt **root, struct rcpt *r)
{
	uint64_t w = weight(r);
	struct rcpt *t, **left, **right;

	while (*root && weight(*root) >= w)
		root = before(r, *root) ? &(*root)->tree.left : &(*root)->tree.right;
	/* r takes this place; what lies below is split around it. */
	t = *root;
	*root = r;
	left = &r->tree.left;
	right = &r->tree.right;
	while (t) {
		if (before(t, r)) {
			*left = t;
			left = &t->tree.right;
			t = *left;
		} else {
			*right = t;
			right = &t->tree.left;
			t = *right;
		}
	}
	*left = *right = NULL;
}

static struct rcpt *join(struct rcpt *a, struct rcpt *b)
{
	struct rcpt *root = NULL, **at = &root;

	while (a && b) {
		if (weight(a) >= weight(b)) {
			*at = a;
			at = &a->tree.right;
			a = *at;
		} else {
			*at = b;
			at = &b->tree.left;
			b = *at;
		}
	}
	*at = a ? a : b;
	return root;
}

void due_del(struct rcpt **root, struct rcpt *r)
{
	while (*root && *root != r)
		root = before(r, *root) ? &(*root)->tree.left : &(*root)->tree.right;
	if (*root)
		*root = join(r->tree.left, r->tree.right);
}

struct rcpt *due_first(struct rcpt *root)
{
	while (root && root->tree.left)
		root = root->tree.left;
	return root;
}

struct rcpt *due_pop(struct rcpt **root)
{
	struct rcpt *r;

	if (!*root)
		return NULL;
	while ((*root)->tree.left)
		root = &(*root)->tree.left;
	r = *root;
	*root = r->tree.right;
	return r;
}

struct rcpt *due_after(struct rcpt *root, const struct rcpt *r)
{
	struct rcpt *found = NULL;

	while (root) {
		if (before(r, root)) {
			found = root;
			root = root->tree.left;
		} else {
			root = root->tree.right;
		}
	}
	return found;
}

/* The first behind a place in the order, whether that place is still taken or not. */
struct rcpt *due_behind(struct rcpt *root, us_t due, uint64_t msg, uint32_t pos)
{
	struct rcpt *found = NULL;

	while (root) {
		const struct msg *m = rcpt_msg(root);
		bool behind = root->tree.due != due ? root->tree.due > due
			      : m->id != msg	    ? m->id > msg
						    : root->pos > pos;

		if (behind) {
			found = root;
			root = root->tree.left;
		} else {
			root = root->tree.right;
		}
	}
	return found;
}
