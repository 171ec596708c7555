/* JSON for the eye: what `queue`, `lane`, `message`, `resolve` show is JSON made elsewhere; here it
 * becomes lines and tables, whatever its members are. */
#include <jansson.h>

#include "core/base/clean.h"
#include "core/control/text.h"

enum { TABLE_COLUMNS = 12, COLUMN_MAX = 48, DEPTH_MAX = 6, KEY_WIDTH = 18 };

struct printer {
	struct buf *out;
	int columns;
};

static void print_any(struct printer *p, json_t *v, int depth);

/* A scalar as text; false for objects and arrays. */
static bool scalar_text(json_t *v, struct buf *out)
{
	switch (json_typeof(v)) {
	case JSON_STRING:
		clean_add(out, str_mem(json_string_value(v), json_string_length(v)), false);
		return true;
	case JSON_INTEGER:
		buf_addf(out, "%lld", (long long)json_integer_value(v));
		return true;
	case JSON_REAL:
		buf_addf(out, "%.*f", json_real_value(v) < 1 ? 3 : 1, json_real_value(v));
		return true;
	case JSON_TRUE:
		buf_addz(out, "yes");
		return true;
	case JSON_FALSE:
		buf_addz(out, "no");
		return true;
	case JSON_NULL:
		buf_addc(out, '-');
		return true;
	case JSON_OBJECT:
	case JSON_ARRAY:
		break;
	}
	return false;
}

/* One line for anything: a nested object is its text, or its members. */
static void line_text(json_t *v, struct buf *out)
{
	const char *key;
	json_t *m;
	size_t i;

	if (scalar_text(v, out))
		return;
	if (json_is_array(v)) {
		json_array_foreach(v, i, m)
		{
			if (i)
				buf_addz(out, ", ");
			line_text(m, out);
		}
		return;
	}
	m = json_object_get(v, "text");
	if (m) {
		line_text(m, out);
		return;
	}
	bool any = false;

	json_object_foreach(v, key, m)
	{
		buf_addf(out, "%s%s ", any ? ", " : "", key);
		line_text(m, out);
		any = true;
	}
}

static void heading(struct printer *p, const char *key, int depth)
{
	struct buf clean;

	buf_init(&clean);
	clean_add(&clean, str_of(key), false);
	buf_addf(p->out, "%*s%s", depth * 2, "", buf_z(&clean));
	buf_free(&clean);
}

/* ---- arrays of objects ---- */

/* What stands in a table's cell: of a place in the configuration the file's name, of a table within
 * the table how many rows it has. */
static void cell_text(const char *key, json_t *v, struct buf *out)
{
	bool table = json_is_array(v) && json_is_object(json_array_get(v, 0));
	const char *name = json_string_value(v), *slash;

	if (table) {
		buf_addf(out, "%zu", json_array_size(v));
	} else if (name && strcmp(key, "origin") == 0 && name[0] == '/') {
		slash = memrchr(name, '/', strcspn(name, ": "));
		clean_add(out, str_of(slash ? slash + 1 : name), false);
	} else {
		line_text(v, out);
	}
}

/* A heading that is much wider than what stands below it, as the lists have it. */
static const char *short_heading(const char *key)
{
	static const char *const known[][2] = {
		{ "delivered_percent", "dlv%" }, { "virtual_mta", "vmta" },
		{ "connections", "conn" },	 { "delivered", "deliv" },
		{ "deferred", "defer" },	 { "bounced", "bounce" },
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcmp(key, known[i][0]) == 0)
			return known[i][1];
	return key;
}

struct grid {
	const char *key[TABLE_COLUMNS];
	int width[TABLE_COLUMNS];
	bool right[TABLE_COLUMNS];
	int n;
};

static int grid_column(struct grid *g, const char *key)
{
	for (int i = 0; i < g->n; i++)
		if (strcmp(g->key[i], key) == 0)
			return i;
	if (g->n >= TABLE_COLUMNS)
		return -1;
	g->key[g->n] = key;
	g->width[g->n] = clean_width(str_of(short_heading(key)));
	g->right[g->n] = true;
	return g->n++;
}

static void grid_measure(struct grid *g, json_t *array)
{
	struct buf cell;
	const char *key;
	json_t *row, *v;
	size_t i;

	buf_init(&cell);
	json_array_foreach(array, i, row)
	{
		json_object_foreach(row, key, v)
		{
			int c = grid_column(g, key), w;

			if (c < 0)
				continue;
			buf_clear(&cell);
			cell_text(key, v, &cell);
			w = clean_width(buf_str(&cell));
			if (w > g->width[c])
				g->width[c] = w < COLUMN_MAX ? w : COLUMN_MAX;
			if (!json_is_number(v))
				g->right[c] = false;
		}
	}
	buf_free(&cell);
}

static void grid_row(struct printer *p, const struct grid *g, json_t *row, int depth)
{
	struct buf cell;

	buf_init(&cell);
	buf_addf(p->out, "%*s", depth * 2, "");
	for (int c = 0; c < g->n; c++) {
		json_t *v = row ? json_object_get(row, g->key[c]) : NULL;
		bool last = c + 1 == g->n;

		buf_clear(&cell);
		if (!row)
			buf_addz(&cell, short_heading(g->key[c]));
		else if (v)
			cell_text(g->key[c], v, &cell);
		else
			buf_addc(&cell, '-');
		add_cell(buf_str(&cell), g->width[c], g->right[c] && !last, p->columns > 0 && !last,
			 last, p->out);
	}
	buf_addc(p->out, '\n');
	buf_free(&cell);
}

static void print_array(struct printer *p, json_t *array, int depth)
{
	struct grid g = { .n = 0 };
	json_t *v;
	size_t i;

	if (json_array_size(array) && json_is_object(json_array_get(array, 0))) {
		grid_measure(&g, array);
		grid_row(p, &g, NULL, depth);
		json_array_foreach(array, i, v) grid_row(p, &g, v, depth);
		return;
	}
	json_array_foreach(array, i, v)
	{
		buf_addf(p->out, "%*s", depth * 2, "");
		line_text(v, p->out);
		buf_addc(p->out, '\n');
	}
}

/* ---- objects ---- */

static bool is_flat(json_t *v)
{
	json_t *m;
	size_t i;

	if (!json_is_array(v))
		return !json_is_object(v);
	json_array_foreach(v, i, m) if (json_is_object(m) || json_is_array(m)) return false;
	return true;
}

static void print_object(struct printer *p, json_t *object, int depth)
{
	const char *key;
	json_t *v;

	/* First what fits on a line, then what does not. */
	json_object_foreach(object, key, v)
	{
		if (!is_flat(v))
			continue;
		heading(p, key, depth);
		int used = clean_width(str_of(key));

		buf_addf(p->out, "%*s", used < KEY_WIDTH ? KEY_WIDTH - used : 1, "");
		line_text(v, p->out);
		buf_addc(p->out, '\n');
	}
	json_object_foreach(object, key, v)
	{
		if (is_flat(v))
			continue;
		heading(p, key, depth);
		buf_addc(p->out, '\n');
		print_any(p, v, depth + 1);
	}
}

static void print_any(struct printer *p, json_t *v, int depth)
{
	if (depth < DEPTH_MAX && json_is_object(v)) {
		print_object(p, v, depth);
	} else if (depth < DEPTH_MAX && json_is_array(v)) {
		print_array(p, v, depth);
	} else {
		buf_addf(p->out, "%*s", depth * 2, "");
		line_text(v, p->out);
		buf_addc(p->out, '\n');
	}
}

bool json_text(struct str json, int columns, struct buf *out)
{
	struct printer p = { out, columns };
	json_t *v = json_loadb(json.p, json.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

	if (!v)
		return false;
	print_any(&p, v, 0);
	json_decref(v);
	return true;
}
