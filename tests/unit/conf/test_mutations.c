/* No text crashes the reader: valid files with bytes changed, lines moved and pieces of the
 * language thrown in. */
#include "tests/unit/conf/dump.h"

#include "core/base/rng.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 3000 };
#else
enum { ROUNDS = 10000 };
#endif

static struct world w;
static struct rng rng;

static const char *const pieces[] = {
	"[",
	"]",
	"=",
	" = ",
	"\n",
	"\r\n",
	"\"",
	"\\",
	"/",
	"/x/",
	" ;",
	" #",
	",",
	":",
	"@",
	"*",
	"*.",
	" via ",
	"[domain ",
	"[domain * via default]\n",
	"[virtual-mta ",
	"[virtual-mta-pool default]\n",
	"[provider ",
	"[listener ",
	"[source ",
	"[mta]\n",
	"members = default1:3\n",
	"include = a.ini\n",
	"include = *\n",
	"route = ",
	"[pattern-list default]\n",
	"reply = /a.*b/ mode=backoff for=2h, disable-source-ip\n",
	"reply = include default\n",
	"for=",
	"(?<x>",
	"mx:",
	"[::1]:25",
	"::ffff:1.2.3.4",
	"0.0.0.0/0",
	"never",
	"unlimited",
	"1/6m",
	"18446744073709551616",
	"-1",
	"99999999999999999999d",
	"1e9",
	"\xff",
	"\xef\xbb\xbf",
	"\xc3\xa4",
	"xn--",
	"....",
	"max-smtp-out = ",
	"max-msg-rate = ",
	"retry-recipients-after = ",
	"smtp-source-host = ",
	"domains = ",
	"\t",
	"  ",
	"<domain x>",
	"\0",
};
enum { PIECES = sizeof pieces / sizeof pieces[0] };

static int open_world(void **state)
{
	(void)state;
	world_open(&w);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static size_t below(size_t n)
{
	return n ? (size_t)(rng_u64(&rng) % n) : 0;
}

static void mutate(struct buf *text, const struct buf *seed)
{
	const char *piece = pieces[below(PIECES)];
	size_t at = below(text->n + 1), n = piece[0] ? strlen(piece) : 1, from, len;
	struct buf tail;

	switch (below(5)) {
	case 0: /* one byte */
		if (text->n)
			text->p[below(text->n)] = (char)rng_u64(&rng);
		return;
	case 1: /* a piece leaves */
		len = below(text->n - at + 1) % 64;
		memmove(text->p + at, text->p + at + len, text->n - at - len);
		text->n -= len;
		return;
	case 2: /* the end is cut */
		if (below(20) == 0)
			text->n = at;
		return;
	case 3: /* a piece of the seed comes in */
		from = below(seed->n);
		piece = seed->p + from;
		n = below(seed->n - from) % 200;
		break;
	default:
		break;
	}
	buf_init(&tail);
	buf_add(&tail, text->p + at, text->n - at);
	text->n = at;
	buf_add(text, piece, n);
	buf_adds(text, buf_str(&tail));
	buf_free(&tail);
}

static void load_seed(struct buf *seed)
{
	char path[4200];
	FILE *f;
	int c;

	snprintf(path, sizeof path, "%s/conf/stoker.ini", w.home);
	f = fopen(path, "r");
	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		buf_addc(seed, (char)c);
	fclose(f);
	buf_addz(seed, "[virtual-mta-pool bulk]\nmax-smtp-out = 9\n[domain *.x via bulk-1]\n"
		       "max-msg-rate = 1/6m\nroute = a, b:26\nroute = mx:c\n[listener [::1]:26]\n"
		       "source = named\n[source named]\nremove-header = A, B\n");
}

static void print_all(struct buf *out)
{
	struct settings_cache *sc = settings_cache_new(w.c);
	int pool = w.c->npools - 1, vmta = w.c->nvmtas - 1, provider = w.c->nproviders - 1;
	const struct settings *s = settings_get(sc, STR_LIT("gmail.com"), provider, pool, vmta);

	settings_print(w.c, s, out);
	settings_json(w.c, s, out);
	settings_cache_free(sc);
}

static void no_text_crashes_the_reader(void **state)
{
	struct buf seed, text, out;
	int good = 0;

	(void)state;
	rng_seed(&rng, 20261123);
	buf_init(&seed);
	buf_init(&text);
	buf_init(&out);
	load_seed(&seed);
	for (int i = 0; i < ROUNDS; i++) {
		size_t changes = 1 + below(i % 2 ? 3 : 30);

		buf_clear(&text);
		buf_adds(&text, buf_str(&seed));
		while (changes--)
			mutate(&text, &seed);
		world_bytes("a.ini", text.p, text.n);
		if (!world_read_with(&w, "a.ini", NULL))
			continue;
		good++;
		buf_clear(&out);
		dump(&out, w.c);
		print_all(&out);
	}
	print_message("%d of %d were still configurations\n", good, ROUNDS);
	assert_true(good > ROUNDS / 100);
	buf_free(&seed);
	buf_free(&text);
	buf_free(&out);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		T(no_text_crashes_the_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
