/* A disk that can lose power. While it records, every change that the program makes below one
 * folder goes into a list of operations (spy.h). disk_advance replays the list into what is surely
 * on the platter and what is still on its way; disk_image then writes a folder as a crash at that
 * point may leave it: each unsynced write kept, dropped or torn at 512 bytes, unsynced directory
 * entries dropped from some point on. */
#ifndef STOKER_TEST_SPOOL_DISK_H
#define STOKER_TEST_SPOOL_DISK_H

#include "tests/unit/spool/spy.h"

/* ---- recording ---- */

static void disk_read_file(const char *path, struct buf *out)
{
	char bytes[65536];
	int fd = open(path, O_RDONLY);
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = read(fd, bytes, sizeof bytes)) > 0)
		assert_true(buf_add(out, bytes, (size_t)n));
	close(fd);
}

static void disk_add_entry(struct disk_node *dir, const char *name, int node)
{
	dir->entries = realloc(dir->entries, (dir->nentries + 1) * sizeof *dir->entries);
	assert_non_null(dir->entries);
	snprintf(dir->entries[dir->nentries].name, DISK_NAME, "%s", name);
	dir->entries[dir->nentries++].node = node;
}

/* What is there before the recording: all of it durable. */
static void disk_take_folder(struct disk *d, const char *path, const char *below, int node)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	assert_non_null(dir);
	while ((e = readdir(dir))) {
		char sub[PATH_MAX], sub_below[PATH_MAX];
		bool folder = e->d_type == DT_DIR;
		size_t n = strlen(e->d_name);

		if (e->d_name[0] == '.' || (n >= 4 && !strcmp(e->d_name + n - 4, "lock")) ||
		    !strcmp(e->d_name, "lock.mdb"))
			continue;
		assert_true(snprintf(sub, sizeof sub, "%s/%s", path, e->d_name) < (int)sizeof sub);
		assert_true(snprintf(sub_below, sizeof sub_below, "%s%s%s", below,
				     *below ? "/" : "", e->d_name) < (int)sizeof sub_below);
		int child = disk_new_node(d, folder);

		disk_add_entry(&d->nodes[node], e->d_name, child);
		spy_bind(sub_below, child);
		if (folder)
			disk_take_folder(d, sub, sub_below, child);
		else
			disk_read_file(sub, &d->nodes[child].durable);
	}
	closedir(dir);
}

static void disk_record(struct disk *d, const char *root)
{
	*d = (struct disk){ .nodes = NULL };
	rng_seed(&d->luck, 1);
	spy.disk = NULL;
	spy.nlive = 0;
	snprintf(spy.root, sizeof spy.root, "%s", root);
	spy.nroot = strlen(root);
	disk_new_node(d, true);
	spy_bind("", 0);
	disk_take_folder(d, root, "", 0);
	spy.disk = d;
}

static void disk_stop(void)
{
	spy.disk = NULL;
}

static void disk_free(struct disk *d)
{
	for (int i = 0; i < d->nnodes; i++) {
		buf_free(&d->nodes[i].durable);
		free(d->nodes[i].entries);
		free(d->nodes[i].pending);
	}
	for (size_t i = 0; i < d->nops; i++)
		free(d->ops[i].data);
	free(d->nodes);
	free(d->ops);
	*d = (struct disk){ .nodes = NULL };
}

/* ---- replaying ---- */

static void disk_resize(struct buf *b, size_t n)
{
	if (n > b->n) {
		assert_true(buf_reserve(b, n - b->n));
		memset(b->p + b->n, 0, n - b->n);
	}
	b->n = n;
}

/* Applies a file's operation to bytes; `keep` says for each sector whether it arrived. NULL: all.
 */
static void disk_apply(const struct disk_op *op, struct buf *bytes, struct rng *torn)
{
	size_t end = (size_t)op->offset + op->n;

	if (op->kind == DISK_SIZE) {
		disk_resize(bytes, (size_t)op->offset);
		return;
	}
	if (end > bytes->n)
		disk_resize(bytes, end);
	for (size_t at = 0; at < op->n;) {
		size_t step = DISK_SECTOR - (size_t)(op->offset + at) % DISK_SECTOR;

		if (step > op->n - at)
			step = op->n - at;
		if (!torn || rng_below(torn, 2))
			memcpy(bytes->p + op->offset + at, op->data + at, step);
		at += step;
	}
}

static void disk_apply_name(struct disk_entry **v, size_t *n, const struct disk_op *op)
{
	struct disk_node dir = { .entries = *v, .nentries = *n };
	int node = op->child;

	if (op->kind != DISK_CREATE) {
		for (size_t i = 0; i < dir.nentries; i++)
			if (!strcmp(dir.entries[i].name, op->name)) {
				node = dir.entries[i].node;
				dir.entries[i] = dir.entries[--dir.nentries];
				break;
			}
	}
	if (op->kind == DISK_RENAME) { /* over what was there */
		for (size_t i = 0; i < dir.nentries; i++)
			if (!strcmp(dir.entries[i].name, op->to))
				dir.entries[i] = dir.entries[--dir.nentries];
		disk_add_entry(&dir, op->to, node);
	} else if (op->kind == DISK_CREATE) {
		disk_add_entry(&dir, op->name, node);
	}
	*v = dir.entries;
	*n = dir.nentries;
}

static void disk_settle(struct disk *d, struct disk_node *node)
{
	for (size_t i = 0; i < node->npending; i++) {
		const struct disk_op *op = &d->ops[node->pending[i]];
		uint64_t luck = i < node->ndoubtful ? rng_below(&d->luck, 3) : 0;

		if (node->folder)
			disk_apply_name(&node->entries, &node->nentries, op);
		else if (luck < 2)
			disk_apply(op, &node->durable, luck ? &d->luck : NULL);
	}
	node->npending = node->ndoubtful = 0;
}

/* Up to the first n operations. Only forward. */
static void disk_advance(struct disk *d, size_t n)
{
	for (; d->at < n && d->at < d->nops; d->at++) {
		struct disk_op *op = &d->ops[d->at];
		struct disk_node *node = &d->nodes[op->node];

		if (op->kind == DISK_SYNC || op->kind == DISK_SYNC_DIR) {
			disk_settle(d, node);
			continue;
		}
		if (op->kind == DISK_SYNC_FAILED) {
			node->ndoubtful = node->npending;
			continue;
		}
		if (op->dsync) {
			disk_apply(op, &node->durable, NULL);
			continue;
		}
		if (node->npending == node->cappending) {
			node->cappending = node->cappending ? node->cappending * 2 : 16;
			node->pending =
			    realloc(node->pending, node->cappending * sizeof *node->pending);
			assert_non_null(node->pending);
		}
		node->pending[node->npending++] = d->at;
	}
}

/* `d` records on an image of `before` after a mere death of the process: what that had not synced
 * is in the page cache still, readable and not durable. */
static void disk_inherit(struct disk *d, int to, const struct disk *before, int from)
{
	struct disk_node *a = &d->nodes[to];
	const struct disk_node *b = &before->nodes[from];

	for (size_t i = 0; a->folder && i < a->nentries; i++)
		for (size_t j = 0; j < b->nentries; j++)
			if (!strcmp(a->entries[i].name, b->entries[j].name))
				disk_inherit(d, a->entries[i].node, before, b->entries[j].node);
	if (a->folder || !b->npending)
		return;
	spy_write_op(to, a->durable.p, a->durable.n);
	buf_clear(&a->durable);
	assert_true(buf_add(&a->durable, b->durable.p, b->durable.n));
}

/* ---- images ---- */

enum disk_loss { DISK_KEEP_ALL, DISK_DROP_ALL, DISK_SOME, DISK_TORN };

static void disk_write_file(struct disk *d, const struct disk_node *node, const char *path,
			    enum disk_loss loss, struct rng *r)
{
	struct buf bytes;
	int fd;

	buf_init(&bytes);
	assert_true(buf_add(&bytes, node->durable.p, node->durable.n));
	for (size_t i = 0; i < node->npending && loss != DISK_DROP_ALL; i++) {
		uint64_t fate = loss == DISK_KEEP_ALL ? 0 : rng_below(r, 3);

		if (fate == 0)
			disk_apply(&d->ops[node->pending[i]], &bytes, NULL);
		else if (fate == 1 && loss == DISK_TORN)
			disk_apply(&d->ops[node->pending[i]], &bytes, r);
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	for (size_t at = 0; at < bytes.n;) {
		ssize_t n = pwrite(fd, bytes.p + at, bytes.n - at, (off_t)at);

		assert_true(n > 0);
		at += (size_t)n;
	}
	close(fd);
	buf_free(&bytes);
}

static void disk_write_folder(struct disk *d, int number, const char *path, enum disk_loss loss,
			      struct rng *r)
{
	const struct disk_node *node = &d->nodes[number];
	struct disk_node copy = { .nentries = node->nentries };
	size_t keep = loss == DISK_KEEP_ALL   ? node->npending
		      : loss == DISK_DROP_ALL ? 0
					      : (size_t)rng_below(r, node->npending + 1);

	copy.entries = malloc((node->nentries + 1) * sizeof *copy.entries);
	assert_non_null(copy.entries);
	if (node->nentries)
		memcpy(copy.entries, node->entries, node->nentries * sizeof *copy.entries);
	for (size_t i = 0; i < keep; i++)
		disk_apply_name(&copy.entries, &copy.nentries, &d->ops[node->pending[i]]);
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < copy.nentries; i++) {
		char sub[PATH_MAX];
		const struct disk_node *child = &d->nodes[copy.entries[i].node];

		assert_true(snprintf(sub, sizeof sub, "%s/%s", path, copy.entries[i].name) <
			    (int)sizeof sub);
		if (child->folder)
			disk_write_folder(d, copy.entries[i].node, sub, loss, r);
		else
			disk_write_file(d, child, sub, loss, r);
	}
	free(copy.entries);
}

/* A new folder as the crash leaves it; not while recording. */
static void disk_image(struct disk *d, const char *path, enum disk_loss loss, struct rng *r)
{
	disk_write_folder(d, 0, path, loss, r);
}

#endif
