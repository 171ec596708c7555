#include "core/net/dns_answer.h"

#include <stdlib.h>

void dns_answer_free(struct dns_answer *a)
{
	if (!a)
		return;
	for (int i = 0; i < a->nhosts; i++) {
		free(a->hosts[i].name);
		free(a->hosts[i].address);
	}
	for (int i = 0; i < a->ntexts; i++)
		free((void *)(uintptr_t)a->texts[i].p);
	free(a->hosts);
	free(a->texts);
	free(a);
}

static bool copy_host(struct dns_host *to, const struct dns_host *from)
{
	*to = (struct dns_host){ .preference = from->preference, .failed = from->failed };
	to->name = strdup(from->name);
	if (!to->name)
		return false;
	if (!from->naddresses)
		return true;
	to->address = calloc((size_t)from->naddresses, sizeof *to->address);
	if (!to->address)
		return false;
	to->naddresses = from->naddresses;
	memcpy(to->address, from->address, (size_t)from->naddresses * sizeof *to->address);
	return true;
}

static bool copy_texts(struct dns_answer *to, const struct dns_answer *from)
{
	if (!from->ntexts)
		return true;
	to->texts = calloc((size_t)from->ntexts, sizeof *to->texts);
	for (int i = 0; to->texts && i < from->ntexts; i++) {
		to->texts[i] = (struct str){ str_dup(from->texts[i]), from->texts[i].n };
		to->ntexts++;
		if (!to->texts[i].p)
			return false;
	}
	return to->texts != NULL;
}

struct dns_answer *dns_answer_copy(const struct dns_answer *a)
{
	struct dns_answer *to = malloc(sizeof *to);

	if (!to)
		return NULL;
	*to = *a;
	to->hosts = NULL;
	to->nhosts = 0;
	to->texts = NULL;
	to->ntexts = 0;
	if (!copy_texts(to, a)) {
		dns_answer_free(to);
		return NULL;
	}
	if (!a->nhosts)
		return to;
	to->hosts = calloc((size_t)a->nhosts, sizeof *to->hosts);
	if (!to->hosts) {
		dns_answer_free(to);
		return NULL;
	}
	for (int i = 0; i < a->nhosts; i++) {
		to->nhosts++;
		if (!copy_host(&to->hosts[i], &a->hosts[i])) {
			dns_answer_free(to);
			return NULL;
		}
	}
	return to;
}
