#include "core/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The descriptor's own file, not what stands at the path a moment later. */
static const struct err *judge(int fd, const char *path, size_t max, size_t *size, struct errbuf *e)
{
	struct stat st;

	if (fstat(fd, &st)) {
		errbuf_set(e, "%s: %s", path, strerror(errno));
		return &err_io;
	}
	if (!S_ISREG(st.st_mode)) {
		errbuf_set(e, "%s is not a regular file", path);
		return &err_invalid;
	}
	if (st.st_mode & (S_IROTH | S_IWOTH)) {
		errbuf_set(e, "%s can be %s by everybody: chmod o-rw %s", path,
			   st.st_mode & S_IROTH ? "read" : "changed", path);
		return &err_invalid;
	}
	if (st.st_size <= 0 || (uint64_t)st.st_size > max) {
		errbuf_set(e, "%s has %lld bytes: write 1 to %zu", path, (long long)st.st_size,
			   max);
		return &err_invalid;
	}
	*size = (size_t)st.st_size;
	return NULL;
}

static const struct err *read_all(int fd, const char *path, size_t size, struct buf *out,
				  struct errbuf *e)
{
	if (!buf_reserve(out, size)) {
		errbuf_set(e, "no memory for %s", path);
		return &err_no_memory;
	}
	while (size) {
		ssize_t n = read(fd, out->p + out->n, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			errbuf_set(e, "%s: %s", path, strerror(errno));
			return &err_io;
		}
		if (!n)
			break; /* it became shorter */
		out->n += (size_t)n;
		size -= (size_t)n;
	}
	return NULL;
}

const struct err *secret_file_read(const char *path, size_t max, struct buf *out, struct errbuf *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const struct err *err;
	size_t size = 0;

	if (fd < 0) {
		errbuf_set(e, "%s: %s", path, strerror(errno));
		return &err_io;
	}
	err = judge(fd, path, max, &size, e);
	if (!err)
		err = read_all(fd, path, size, out, e);
	close(fd);
	return err;
}

void secret_free(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
	buf_free(b);
}
