/* Which columns of a list fit. */
#include "tui/table.h"

enum {
	MARK_COLUMNS = TABLE_MARK,
	FLEX_MIN = 12,
	FLEX_WISH = 20,
	FLEX_ENOUGH = 44,
	NAME_MIN = 12,
	NAME_GROW = 20,
	DROP_NICE = 7
};

/* A column without a width of its own is counted with `flex`. */
static int used_columns(const struct field *f, int n, const int *widths, int flex)
{
	int sum = MARK_COLUMNS;

	for (int i = 0; i < n; i++)
		if (widths[i])
			sum += (f[i].width ? widths[i] : flex) + 1;
	return sum;
}

/* The column that goes next: the one with the highest drop number, of equals the rightmost; none
 * under `least`. -1: none may. */
static int first_to_go(const struct field *f, int n, const int *widths, int least)
{
	int best = -1;

	for (int i = 0; i < n; i++)
		if (widths[i] && f[i].drop >= least && (best < 0 || f[i].drop >= f[best].drop))
			best = i;
	return best;
}

static void share_rest(const struct field *f, int n, int rest, int *widths)
{
	int flex = 0, first = -1;

	for (int i = 0; i < n; i++) {
		flex += widths[i] && !f[i].width ? 1 : 0;
		first = first < 0 && widths[i] ? i : first;
	}
	if (!flex)
		return;
	if (first >= 0 && f[first].width && rest > flex * FLEX_ENOUGH) {
		int grow = rest - flex * FLEX_ENOUGH;
		grow = grow > NAME_GROW ? NAME_GROW : grow;
		widths[first] += grow;
		rest -= grow;
	}
	for (int i = 0; i < n; i++)
		if (widths[i] && !f[i].width)
			widths[i] = FLEX_MIN + rest / flex;
}

int table_layout(const struct field *f, int n, uint64_t hidden, int width, int longest, int *widths)
{
	int go;

	if (n > TABLE_COLUMNS)
		n = TABLE_COLUMNS;
	for (int i = 0; i < n; i++) {
		bool shown = f[i].heading && !(hidden >> i & 1);
		widths[i] = !shown ? 0 : f[i].width ? f[i].width : FLEX_MIN;
	}
	if (longest && n && f[0].width && widths[0])
		widths[0] = longest < NAME_MIN	   ? NAME_MIN
			    : longest < f[0].width ? longest
						   : f[0].width;
	/* What is nice to have makes room for words ... */
	while (used_columns(f, n, widths, FLEX_WISH) > width + 1 &&
	       (go = first_to_go(f, n, widths, DROP_NICE)) >= 0)
		widths[go] = 0;
	/* ... the rest only for what has to be there. */
	while (used_columns(f, n, widths, FLEX_MIN) > width + 1 &&
	       (go = first_to_go(f, n, widths, 1)) >= 0)
		widths[go] = 0;
	share_rest(f, n, width + 1 - used_columns(f, n, widths, FLEX_MIN), widths);
	return used_columns(f, n, widths, FLEX_MIN);
}
