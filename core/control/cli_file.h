/* A file that a command names, in the client (cli.h). Runs in the operator's process. */
#ifndef STOKER_CONTROL_CLI_FILE_H
#define STOKER_CONTROL_CLI_FILE_H

#include "core/base/err.h"
#include "core/control/cli.h"

struct cli_file;
/* "-": standard input. NULL with a sentence. */
struct cli_file *cli_file_open(const char *path, struct errbuf *e);
void cli_file_close(struct cli_file *f); /* NULL allowed */
/* The next piece; empty: the end. False with a sentence. */
bool cli_file_piece(struct cli_file *f, struct buf *out, struct errbuf *e);

#endif
