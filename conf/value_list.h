/* Parsers of values that are lists. */
#ifndef STOKER_CONF_VALUE_LIST_H
#define STOKER_CONF_VALUE_LIST_H

#include "conf/value.h"

const struct err *value_parse_durations(struct value_in *in, struct value *out);
const struct err *value_parse_members(struct value_in *in, struct value *out);
const struct err *value_parse_route(struct value_in *in, struct value *out);
/* Also checks the regex. */
const struct err *value_parse_category(struct value_in *in, struct value *out);
const struct err *value_parse_reply(struct value_in *in, struct value *out);
/* value_http.c */
const struct err *value_parse_port(struct value_in *in, struct value *out);
const struct err *value_parse_ip(struct value_in *in, struct value *out);
const struct err *value_parse_token(struct value_in *in, struct value *out);
const struct err *value_parse_access(struct value_in *in, struct value *out);
/* value_acct.c */
const struct err *value_parse_records(struct value_in *in, struct value *out);
const struct err *value_parse_thresholds(struct value_in *in, struct value *out);
const struct err *value_parse_hold(struct value_in *in, struct value *out);
void value_write_records(int64_t bits, struct buf *out);
/* inbound.c */
const struct err *value_parse_process(struct value_in *in, struct value *out);
void value_write_process(int64_t bits, struct buf *out);
const struct err *value_item_column(struct value_in *in, struct str w, const char **out);
/* value_suppress.c */
const struct err *value_parse_causes(struct value_in *in, struct value *out);
void value_write_causes(int64_t bits, struct buf *out);
const struct err *value_parse_so_many(struct value_in *in, struct value *out);
void value_write_so_many(const struct value *v, struct buf *out);
/* value_webhook.c */
const struct err *value_parse_url(struct value_in *in, struct value *out);
const struct err *value_item_event(struct value_in *in, struct str w, const char **out);
/* Every type of `const char **, int`. */
const struct err *value_parse_names(struct value_in *in, struct value *out);

#endif
