/* The client's end of the control socket, blocking: cli.c and cli_attach.c. */
#ifndef STOKER_CONTROL_WIRE_H
#define STOKER_CONTROL_WIRE_H

#include "core/base/buf.h"
#include "core/base/err.h"

/* -1 with a sentence that says what to do. */
int wire_connect(const char *socket_path, struct errbuf *e);
/* False if the other side is gone. */
bool wire_put(int fd, char type, struct str payload);
/* Reads once into `in`. 1: something came; 0: the other side is gone; -1: interrupted. */
int wire_read(int fd, struct buf *in);
/* Writes all; false if the reader is gone (EPIPE, a closed terminal). */
bool write_all(int fd, struct str s);
/* Columns of the terminal at fd; 0: none. */
int terminal_columns(int fd);

#endif
