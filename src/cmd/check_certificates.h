/* What `veredus check` says about the files of certificates, of keys for DKIM and of
 * passwords of routes. */
#ifndef CMD_CHECK_CERTIFICATES_H
#define CMD_CHECK_CERTIFICATES_H

#include "conf/conf.h"

/* False when one of them can't be used; each is named on standard error. */
bool check_certificates(struct env *env, const struct conf *conf);

#endif
