/* What the tables of the schema are written with, and the blocks that have files of their own. */
#ifndef CONF_SCHEMA_PRIVATE_H
#define CONF_SCHEMA_PRIVATE_H

#include "conf/schema.h"

#define ROOT     CONF_READER_ROOT
#define SESSION  CONF_READER_SESSION
#define QUEUE    CONF_READER_QUEUE
#define DELIVER  CONF_READER_DELIVER
#define LOOKUP   CONF_READER_LOOKUP
#define ADMIN    CONF_READER_ADMIN
#define LOG      CONF_READER_LOG
#define RELAY    CONF_READER_RELAY
#define RESOLVER CONF_READER_RESOLVER
#define KEYS     CONF_READER_KEYS
#define AUTH     CONF_READER_AUTH
#define GUARD    CONF_READER_GUARD
/* root parses the file for everybody, tools show it. */
#define ALWAYS (CONF_READER_ROOT | CONF_READER_TOOL)

#define KIB(n)     (UINT64_C(n) << 10)
#define MIB(n)     (UINT64_C(n) << 20)
#define GIB(n)     (UINT64_C(n) << 30)
#define HOURS(n)   (UINT64_C(n) * 3600)
#define DAYS(n)    (UINT64_C(n) * 86400)
#define COUNT(a)   (sizeof(a) / sizeof(*(a)))
#define CHOICES(a) .choices = (a), .choice_count = COUNT(a)

/* schema_listen.c */
extern const struct schema_block schema_listen, schema_certificate, schema_dkim;

/* schema_domain.c */
extern const struct schema_block schema_domain;

/* schema_limits.c */
extern const struct schema_block schema_limits;

/* schema_route.c */
extern const struct schema_block schema_route;

/* schema_check.c */
const char *schema_check_root(const void *item, const char *ret_words[SCHEMA_BLAMED]);

/* schema_srs.c */
extern const struct schema_block schema_srs;
bool schema_srs_is_sound(const struct conf *conf);

#endif
