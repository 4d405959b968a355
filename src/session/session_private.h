/* What the files of a session worker share: the worker, its listeners, its sessions. */
#ifndef SESSION_SESSION_PRIVATE_H
#define SESSION_SESSION_PRIVATE_H

#include "ipc/channel.h"
#include "net/stream.h"
#include "session/client_lookup.h"
#include "session/directory.h"
#include "session/ring_store.h"
#include "session/session.h"
#include "session/session_auth.h"
#include "session/session_forward.h"
#include "session/session_limits.h"
#include "session/session_login.h"
#include "session/session_tls.h"
#include "session/submission.h"
#include "sign/signing.h"
#include "smtp/server.h"

#define ADDRESS_TEXT_BYTES 64

struct session_listener {
	struct list link;
	struct session_worker *worker;
	struct watch watch;
	int fd;
	struct slice name;
	const struct conf_listener *conf;
	struct smtp_server_settings settings;
	bool exhausted; /* descriptors ran out; said once until an accept succeeds */
};

struct session_worker {
	struct env *env;
	const struct conf *conf;
	const struct session_root_ops *root;
	void *root_arg;
	uint32_t number;
	uint64_t descriptors_max;
	uint64_t sessions_max;
	bool unable; /* root was asked to end this worker */
	struct directory *directory;
	struct ring_store *store;
	struct line_pool *lines;
	struct session_tls *tls;
	struct session_auth *auth;
	struct session_logins *logins;
	struct session_limits *limits;
	struct client_lookups lookups;
	struct list listeners;
	struct task_group acceptors;
	struct task_group peers;
	struct task_group sessions;
	struct list open; /* the sessions */
	struct task_event session_ended;
	struct task_event places_scarce;
	uint64_t session_count;
	uint64_t next_session;
	struct session_peer *queue; /* the present one; NULL while there is none */
	struct task_event table_came;
	mono_us tables_by; /* until then a missing table is on its way; afterwards it is unreadable
			    */
};

/* A channel with the task that reads it and ends it. */
struct session_peer {
	struct session_worker *worker;
	struct channel channel;
};

struct session {
	struct list link;
	struct session_worker *worker;
	struct task *task; /* NULL until it runs */
	uint64_t number;
	const struct session_listener *listener;
	struct socket_stream socket;
	struct session_crypto *crypto; /* NULL: in the clear */
	struct session_login *login;   /* NULL: nobody has logged in */
	struct line_reader reader;
	struct smtp_server server;
	bool is_trusted;                       /* by its address: it may send to other servers */
	char claimed_name[ADDRESS_DOMAIN_MAX]; /* of the client, by XCLIENT */
	bool is_proxied;                       /* its client is who the proxy will name */
	struct judgement *judgement;           /* of the content under way; NULL: none */
	struct submission *submission;         /* likewise, where somebody has logged in */
	struct signing *signing;               /* likewise */
	struct forward_address *home; /* whom the present recipient stands for, if goes_home */
	bool goes_home;
	struct client_lookup *lookup; /* NULL: its name is not asked for */
	struct session_guest guest;
	char *quota_text; /* of a refusal (session_quota.c); NULL: there was none */
	bool is_counted;  /* among the sessions of its login */
	uint16_t client_port;
	uint8_t client_len;
	char client[ADDRESS_TEXT_BYTES];
};

/* XCLIENT: see struct smtp_server_ops. */
struct smtp_reply
session_set_client(void *arg, struct slice address, uint16_t port, struct slice name);

/* What the SMTP server asks and tells (session_steps.c); `arg` is the session. */
extern const struct smtp_server_ops session_ops;

/* May wait: the handshake, under the stream of the session. */
MUST_CHECK enum error session_start_tls(void *arg, struct smtp_server *server, mono_us deadline);

#endif
