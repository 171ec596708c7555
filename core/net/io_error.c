/* Words for what ends a connection, as the delivery log and the console show them. */
#include <errno.h>
#include <string.h>

#include "core/net/io_priv.h"
#include "core/net/tls_priv.h"

static const struct {
	int error;
	const char *words;
} words[] = {
	{ 0, "no error" },
	{ ECONNREFUSED, "connection refused" },
	{ ECONNRESET, "connection reset by peer" },
	{ EPIPE, "connection closed by peer" },
	{ ETIMEDOUT, "connection timed out" },
	{ EHOSTUNREACH, "no route to host" },
	{ EHOSTDOWN, "host is down" },
	{ ENETUNREACH, "network is unreachable" },
	{ ENETDOWN, "network is down" },
	{ ECONNABORTED, "connection aborted" },
	{ EADDRNOTAVAIL, "the source address is not on this machine, or it has no free port" },
	{ EADDRINUSE, "the address is in use" },
	{ EACCES, "not permitted by this machine" },
	{ EPERM, "not permitted by this machine's firewall" },
	{ EAFNOSUPPORT, "this machine does not have that address family" },
	{ EINVAL, "source and destination address do not fit together" },
	{ EMFILE, "too many open files in this process" },
	{ ENFILE, "too many open files on this machine" },
	{ ENOBUFS, "no buffer space" },
	{ ENOMEM, "out of memory" },
	{ EPROTO, "TLS protocol error" },
};

const char *io_error_words(int error)
{
	const char *text;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (words[i].error == error)
			return words[i].words;
	text = strerrordesc_np(error);
	return text ? text : "unknown error";
}

const char *io_error(const struct io *io)
{
	if (io->error == EPROTO && io->tls && io->tls->error[0])
		return io->tls->error;
	return io_error_words(io->error);
}
