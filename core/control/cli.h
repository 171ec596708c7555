/* The client side of the control socket: what `stoker queues`, `stoker pause …` do. Runs in the
 * operator's process. Wire: frames of {u8 type, u32 LE length, bytes}. Client → server first frame
 * 'C' JSON {"argv":[…],"tty":bool,"columns":N,"yes":bool}, later 'F' a piece of the file, 'Y'
 * confirmed count. Server → client: 'O' stdout, 'E' stderr, 'Q' question JSON
 * {"count":N,"text":"…"}, 'F' the next piece, please, 'X' exit code (u8). A question has
 * {"count":N,"type":"WORD","text":"…"}: the user types WORD (the count, or the host name), which
 * comes back in 'Y'.
 *
 * Attach: first frame 'A' hello JSON
 * {"term","rows","columns","utf8","no_color","plain","read_only","confirms","tz":"Europe/Paris"};
 * the client sends nothing more until the server's first frame is there. Then client → server 'I'
 * input bytes, 'K' the terminal has taken the bytes of one 'T' (if the client confirms: input
 * behind it was read after the frame was written), 'S' size JSON {"rows","columns"}, 'F' result of
 * W or D JSON {"op":"write" or "edit","path","error" if it failed}; server → client 'T' terminal
 * bytes, 'W' write a file JSON {"path","bytes"}, 'D' edit JSON {"path","line"}, 'X' exit code and
 * behind it the goodbye sentence. */
#ifndef STOKER_CONTROL_CLI_H
#define STOKER_CONTROL_CLI_H

#include "core/base/buf.h"

/* Runs one command against the socket; prints; returns the exit code. */
int cli_command(const char *socket_path, int argc, char **argv);
/* The attach client: owns the tty (raw mode, size, ^Z, EOF, restore whatever happens). Returns the
 * exit code. */
int cli_attach(const char *socket_path, bool read_only, bool plain);

/* Frames, both sides. */
enum { FRAME_MAX = 4 * 1024 * 1024, FRAME_HEADER = 5 };
/* A file that a command names goes over in pieces, each asked for by an 'F': whole lines, before
 * each its number and a tab; an empty one is the end. */
enum { FILE_PIECE_MAX = 32 * 1024, FILE_LINE_MAX = 2048 };
void frame_put(struct buf *out, char type, struct str payload);
/* 1: a frame was cut from `in` (payload points into it; *used bytes); 0: more bytes are needed; -1:
 * too large or bad. */
int frame_get(struct str in, char *type, struct str *payload, size_t *used);

#endif
