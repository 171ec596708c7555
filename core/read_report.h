/* `stoker read-report`: what is made of a bounce or feedback report; changes nothing, needs no
 * running Stoker. */
#ifndef STOKER_READ_REPORT_H
#define STOKER_READ_REPORT_H

#include "conf/patterns.h"

/* words: file names, --json, --key FILE (a verp-key's file: tokens are verified). list: what
 * replies are judged by. An exit code. */
int read_report(const struct pattern_list *list, int n, char **words);

#endif
