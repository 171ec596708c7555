#include "core/attach.h"

#include "core/feedback/inbound.h"
#include "core/net/tls.h"
#include "core/sign/keys.h"

bool attach_files(struct conf *c, struct conf_problems *problems)
{
	static bool (*const parts[])(struct conf *, struct conf_problems *) = {
		tls_attach, sign_keys_load, inbound_keys_load, conf_token_attach
	};
	bool ok = true;

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		ok = parts[i](c, problems) && ok;
	return ok;
}
