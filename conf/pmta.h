/* PowerMTA's configuration to ours: `stoker import-pmta`. Reads its language as it is found in the
 * wild (tags, macros over several lines, includes with globs, comments that eat values, templates
 * between lines, names in wrong scopes) and says of each line what became of it. It never guesses
 * in silence. Runs in the operator's process. */
#ifndef STOKER_CONF_PMTA_H
#define STOKER_CONF_PMTA_H

#include "core/base/buf.h"
#include "core/base/err.h"

struct pmta_count {
	int taken, approximated, dropped; /* directives and sections */
};
/* `ini` gets a configuration that conf_read accepts; `report` a line for each directive and section
 * in the order of reading: "FILE:LINE: taken: max-smtp-out 10: [domain x.example] max-smtp-out =
 * 10". shipped_dir: as in conf_read_opts, or NULL. False, with a sentence, if the file can't be
 * read or memory runs out. */
bool pmta_import(const char *path, const char *shipped_dir, struct buf *ini, struct buf *report,
		 struct pmta_count *count, struct errbuf *e);

#endif
