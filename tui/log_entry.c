#include "tui/log_entry.h"

#include <jansson.h>
#include <stdio.h>

static void copy(const json_t *o, const char *key, char *out, size_t cap)
{
	const char *s = json_string_value(json_object_get(o, key));

	snprintf(out, cap, "%s", s ? s : "");
}

static char letter(const char *type)
{
	static const struct {
		const char *type;
		char letter;
	} letters[] = {
		{ "received", 'R' },   { "rejected", 'X' },	  { "delivered", 'D' },
		{ "deferred", 'T' },   { "bounced", 'B' },	  { "expired", 'E' },
		{ "removed", '-' },    { "remote-bounced", 'b' }, { "complaint", 'F' },
		{ "suppressed", 'S' }, { "unreached", 'U' },
	};

	for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
		if (strcmp(type, letters[i].type) == 0)
			return letters[i].letter;
	return '?';
}

void log_entry_read(struct log_entry *e, const struct log_line *line)
{
	struct str s = rstr_str(line->text);
	json_t *o = json_loadb(s.p, s.n, 0, NULL);
	const json_t *seconds = json_object_get(o, "seconds");
	char type[24];

	*e = (struct log_entry){ .id = line->id, .at = line->at };
	copy(o, "type", type, sizeof type);
	e->type = letter(type);
	copy(o, "virtual_mta", e->vmta, sizeof e->vmta);
	copy(o, "recipient", e->who, sizeof e->who);
	copy(o, "mx", e->mx, sizeof e->mx);
	copy(o, "reply", e->reply, sizeof e->reply);
	copy(o, "message", e->message, sizeof e->message);
	if (json_is_number(seconds))
		snprintf(e->seconds, sizeof e->seconds, "%.2fs", json_number_value(seconds));
	if (e->type == 'F')
		copy(o, "feedback_type", e->reply, sizeof e->reply);
	if (!e->reply[0] && e->type == 'R')
		snprintf(e->reply, sizeof e->reply, "received from %s",
			 json_string_value(json_object_get(o, "sender"))
			     ? json_string_value(json_object_get(o, "sender"))
			     : "<>");
	json_decref(o);
}

bool log_entry_holds(const struct log_entry *e, const char *low)
{
	char text[LOG_REPLY + LOG_TEXT * 2 + 64];

	snprintf(text, sizeof text, "%s %s %s %s %s", e->who, e->mx, e->reply, e->vmta, e->message);
	for (char *p = text; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
	return strstr(text, low) != NULL;
}

enum style log_entry_style(char type)
{
	switch (type) {
	case 'D':
		return STYLE_OK;
	case 'T':
		return STYLE_BACK;
	case 'B':
	case 'E':
	case 'X':
	case 'b':
	case 'F':
		return STYLE_DOWN;
	default:
		return STYLE_DIM;
	}
}
