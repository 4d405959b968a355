/* What `veredus check` says about the files of `report_templates`. */
#ifndef CMD_CHECK_TEMPLATES_H
#define CMD_CHECK_TEMPLATES_H

#include "conf/conf.h"

/* False when one of them can't be used; each is named on standard error, with its line. */
bool check_templates(struct env *env, const struct conf *conf);

#endif
