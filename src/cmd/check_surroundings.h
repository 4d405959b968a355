/* What `veredus check` says about what lies around a configuration: users, folders, files and
 * addresses that `veredus serve` will need. */
#ifndef CMD_CHECK_SURROUNDINGS_H
#define CMD_CHECK_SURROUNDINGS_H

#include "conf/conf.h"

/* False when the server would not start, or not deliver; each reason is named on standard error. */
bool check_surroundings(struct env *env, const struct conf *conf);

#endif
