/* What a session asks of guard for a login (QUOTA_ASK). */
#ifndef IPC_QUOTA_H
#define IPC_QUOTA_H

enum quota_step {
	QUOTA_LEAVE,     /* a session of it has ended; never refused */
	QUOTA_MAIL,      /* it begins a message */
	QUOTA_RECIPIENT, /* one more, `recipient` */
	QUOTA_CONTENT    /* a message of so many octets is there */
};

#endif
