/*
 * From a recipient's address to the path of his Maildir: the template `/var/mail/{domain}/{user}`
 * of the configuration with the values of one address in it. The address is a stranger's, so a
 * value can never be more than a part of one file name:
 *
 * - Octets other than a-z 0-9 - . _ + = are written as %XX (two upper-case hexadecimal digits), `%`
 * itself among them, and so is a dot or a hyphen in the first place: no `.`, `..`, `.subfolder`,
 * hidden name or name that looks like an option can come out.
 * - ASCII letters become lower case first, in the domain because the DNS compares so, in the local
 * part because accounts are compared so: else a letter written large would open a second mailbox
 * for the same account.
 * - The encoding is injective beyond that: each octet has one form, and a `%` always starts one of
 * the long forms. Two placeholders in one component need an octet between them that no value can
 * hold (`{user}@{domain}`), so that two users never share a folder.
 *
 * Pure: nothing here touches a file.
 */
#ifndef MAILBOX_TEMPLATE_H
#define MAILBOX_TEMPLATE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

#define MAILBOX_TEMPLATE_MAX   1024 /* octets of a template */
#define MAILBOX_PATH_MAX       4000 /* octets of an expanded path below its root; PATH_MAX is 4096 */
#define MAILBOX_COMPONENT_MAX  255  /* NAME_MAX */
#define MAILBOX_COMPONENTS_MAX 16   /* folders from the root to the Maildir */

/*
 * Whether a template can be used: absolute, whole components without `.`, `..`, NUL or control
 * octets, known placeholders only, no two that could run into each other. On an error `ret_problem`
 * is a phrase for the administrator; ERROR_FORMAT or ERROR_LIMIT.
 */
MUST_CHECK enum error mailbox_template_check(struct slice template, const char **ret_problem);

/*
 * The fixed folder that a checked template starts with: the components before the first
 * placeholder, `/` at the least. Without any placeholder, all but the last component. Everything
 * below it may be made by a delivery, it itself may not.
 */
struct slice mailbox_template_root(struct slice template);

/*
 * Appends the path below that folder for one address, without a leading slash. `local` is the local
 * part in canonical form. ERROR_FORMAT: a value is empty or the template is not one that
 * mailbox_template_check accepts. ERROR_LIMIT: a component or the whole is too long (the address
 * can have no mailbox here: a permanent failure).
 */
MUST_CHECK enum error mailbox_template_expand(
	struct slice template, struct slice local, struct slice domain, struct buffer *path);

/*
 * The same for a whole address, in its canonical form first (text/address.h): a local part that is
 * quoted without need is the same as without quotes. ERROR_FORMAT also for what is no Mailbox.
 */
MUST_CHECK enum error
mailbox_template_expand_address(struct slice template, struct slice address, struct buffer *path);

#endif
