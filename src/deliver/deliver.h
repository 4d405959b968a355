/*
 * The `deliver` role: puts copies of messages into Maildirs, as the mailboxes' owner. One process
 * serves all virtual mailboxes and reads content from segments through read-only descriptors; one a
 * system user serves that user's and gets each content in a sealed memfd. What waits on the channel
 * when a batch starts goes into the batch: it is written, flushed and renamed together
 * (mailbox/maildir.h), and answered after the last flush.
 */
#ifndef DELIVER_DELIVER_H
#define DELIVER_DELIVER_H

#include "base/env.h"
#include "conf/conf.h"

struct deliver_service;

/* `home` for templates that start with {home}; empty for virtual mailboxes. */
struct deliver_service *
deliver_service_new(struct env *env, const struct conf *conf, struct slice home);

/* A folder that templates start with (mailbox_template_root); owned from here on. */
void deliver_service_add_folder(struct deliver_service *service, struct slice path, int folder_fd);

/* The channel to `queue`; a later one replaces it. Owned from here on. */
void deliver_service_set_queue(struct deliver_service *service, int channel_fd);

/* May wait: finishes the present batch and ends. */
void deliver_service_stop(struct deliver_service *service);
void deliver_service_free(struct deliver_service **service);

#endif
