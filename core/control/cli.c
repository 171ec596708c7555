#include "core/control/cli_file.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/clean.h"
#include "core/base/jsonw.h"
#include "core/control/wire.h"
#include "core/control/text.h"
#include "core/sched/command.h"

enum { GOES_ON = -1, MAX_TYPED = 64 };

static bool send_command(int fd, int argc, char **argv)
{
	struct buf json;
	struct jsonw w;
	bool ok;

	buf_init(&json);
	jsonw_init(&w, &json);
	jsonw_object(&w, NULL);
	jsonw_array(&w, "argv");
	for (int i = 0; i < argc; i++)
		jsonw_z(&w, NULL, argv[i]);
	jsonw_end_array(&w);
	/* Somebody can answer a question only if both ends are a terminal. */
	jsonw_bool(&w, "tty", isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
	jsonw_int(&w, "columns", terminal_columns(STDOUT_FILENO));
	jsonw_end_object(&w);
	ok = !buf_failed(&json) && wire_put(fd, 'C', buf_str(&json));
	buf_free(&json);
	return ok;
}

/* Asks on the terminal; what was typed goes back if it is the word asked for. */
static int question(int fd, struct str payload)
{
	json_t *q = json_loadb(payload.p, payload.n, 0, NULL);
	const char *text = json_string_value(json_object_get(q, "text"));
	const char *word = json_string_value(json_object_get(q, "type"));
	char typed[MAX_TYPED + 2] = "";
	struct str answer;
	struct buf prompt;
	bool yes;

	buf_init(&prompt);
	clean_add(&prompt, str_of(text ? text : ""), false);
	buf_addz(&prompt, "\ntype ");
	clean_add(&prompt, str_of(word ? word : ""), false);
	buf_addz(&prompt, " to do it: ");
	fputs(buf_z(&prompt), stdout);
	fflush(stdout);
	buf_free(&prompt);
	if (!fgets(typed, sizeof typed, stdin))
		putchar('\n');
	answer = text_chomp(str_of(typed));
	yes = word && *word && str_eqz(answer, word);
	json_decref(q);
	if (yes)
		return wire_put(fd, 'Y', answer) ? GOES_ON : EXIT_REFUSED;
	fputs("nothing was done\n", stderr);
	return EXIT_REFUSED;
}

/* The server wants the next piece of the command's file. */
static int piece(int fd, struct cli_file *file)
{
	struct errbuf e = { "nobody named a file" };
	struct buf out;
	bool ok;

	buf_init(&out);
	ok = file && cli_file_piece(file, &out, &e);
	if (!ok)
		fprintf(stderr, "stoker: %s\n", e.text);
	ok = ok && wire_put(fd, 'F', buf_str(&out));
	buf_free(&out);
	return ok ? GOES_ON : EXIT_REFUSED;
}

static int on_frame(int fd, struct cli_file *file, char type, struct str payload)
{
	switch (type) {
	case 'F':
		return piece(fd, file);
	case 'O':
		/* Whoever read our output is gone: no reason for words. */
		return write_all(STDOUT_FILENO, payload) ? GOES_ON : EXIT_DONE;
	case 'E':
		write_all(STDERR_FILENO, payload);
		return GOES_ON;
	case 'Q':
		return question(fd, payload);
	case 'X':
		return payload.n ? (unsigned char)payload.p[0] : EXIT_REFUSED;
	default:
		fputs("stoker: the running one is of another version\n", stderr);
		return EXIT_REFUSED;
	}
}

/* All whole frames of `in`. */
static int on_input(int fd, struct cli_file *file, struct buf *in)
{
	struct str payload;
	size_t used;
	char type;
	int got, exit = GOES_ON;

	while (exit == GOES_ON && (got = frame_get(buf_str(in), &type, &payload, &used)) != 0) {
		if (got < 0) {
			fputs("stoker: what answers at the control socket is no stoker\n", stderr);
			return EXIT_REFUSED;
		}
		exit = on_frame(fd, file, type, payload);
		buf_shift(in, used);
	}
	return exit;
}

int cli_command(const char *socket_path, int argc, char **argv)
{
	struct errbuf e = { "" };
	struct cli_file *file = NULL;
	struct buf in;
	int fd, exit = GOES_ON;

	if (argc > 2 && strcmp(argv[0], "suppress") == 0 && strcmp(argv[1], "import") == 0) {
		file = cli_file_open(argv[2], &e);
		if (!file) {
			fprintf(stderr, "stoker: %s\n", e.text);
			return EXIT_REFUSED;
		}
	}
	fd = wire_connect(socket_path, &e);
	if (fd < 0) {
		fprintf(stderr, "stoker: %s\n", e.text);
		return EXIT_NO_STOKER;
	}
	signal(SIGPIPE, SIG_IGN);
	buf_init(&in);
	if (!send_command(fd, argc, argv)) {
		fputs("stoker: the command can't be sent\n", stderr);
		exit = EXIT_REFUSED;
	}
	while (exit == GOES_ON) {
		int got = wire_read(fd, &in);

		if (got > 0) {
			exit = on_input(fd, file, &in);
		} else if (got == 0) {
			fputs("stoker: the connection was closed before the answer\n", stderr);
			exit = EXIT_REFUSED;
		}
	}
	close(fd);
	cli_file_close(file);
	buf_free(&in);
	return exit;
}
