/* The rows of the table compared with each other and with the schema of messages: a link that
 * nobody speaks on, a message that no link carries, a part of the configuration that two roles
 * share. */
#include "proc/child.h"
#include "proc/rights.h"

#include "ipc/message.h"
#include "unit.h"

#include <seccomp.h>

/* What a person's tool says to admin goes on to the queue, in messages of the same kinds. */
static bool
is_passed_on(enum role a, enum role b)
{
	return (a == ROLE_TOOL && b == ROLE_QUEUE) || (a == ROLE_QUEUE && b == ROLE_TOOL);
}

static bool
speaks_to(enum role sender, enum role receiver)
{
	for (enum ipc_kind kind = 0; kind < IPC_KINDS; kind++)
		/* Whoever answers may refuse: that alone connects nobody. */
		if (kind != IPC_REFUSED && ipc_may_send(kind, sender, receiver))
			return true;
	return false;
}

static bool
asks(enum role sender, enum role receiver)
{
	for (enum ipc_kind kind = 0; kind < IPC_KINDS; kind++) {
		struct ipc_message message = {.kind = kind};
		if (kind != IPC_REFUSED && ipc_may_send(kind, sender, receiver) &&
			ipc_request(&message))
			return true;
	}
	return false;
}

static bool
has_ring(enum role a, enum role b)
{
	const struct role_link *link = process_link(a, b) ? process_link(a, b) : process_link(b, a);

	return link && link->kind == LINK_RING;
}

START_TEST(links_are_what_the_schema_needs)
{
	for (enum role a = 0; a < ROLE_COUNT; a++)
		for (enum role b = 0; b < ROLE_COUNT; b++) {
			bool linked = process_peers(a) & ROLE_BIT(b);
			bool needed = speaks_to(a, b) || speaks_to(b, a) || has_ring(a, b);
			if (a == b || is_passed_on(a, b))
				continue;
			ck_assert_msg(linked == needed,
				"%s and %s: the rows say %d, the messages %d", role_name(a),
				role_name(b), linked, needed);
			ck_assert(!process_link(a, b) || !process_link(b, a));
		}
}
END_TEST

START_TEST(links_are_of_their_kind)
{
	const struct process_rights *row;

	for (size_t i = 0; (row = process_rights_at(i)); i++)
		for (size_t j = 0; j < ROLE_LINKS_MAX && row->links[j].with != ROLE_ROOT; j++) {
			const struct role_link *link = &row->links[j];
			ck_assert_uint_lt(j, ROLE_LINKS_MAX - 1); /* the end has room */
			ck_assert_ptr_eq(process_link(row->role, link->with), link);
			ck_assert((link->kind == LINK_CONTROL) == (link->with == ROLE_TOOL));
			ck_assert(link->kind != LINK_CALL ||
				  (asks(row->role, link->with) && asks(link->with, row->role)));
			ck_assert(link->kind != LINK_RING ||
				  (ipc_may_send(IPC_RING, ROLE_ROOT, row->role) &&
					  ipc_may_send(IPC_RING, ROLE_ROOT, link->with)));
		}
}
END_TEST

START_TEST(every_child_is_led_by_root)
{
	const struct process_rights *row;
	unsigned seen = ROLE_BIT(ROLE_TOOL), readers = CONF_READER_TOOL;

	for (size_t i = 0; (row = process_rights_at(i)); i++) {
		ck_assert(!(seen & ROLE_BIT(row->role)));
		seen |= ROLE_BIT(row->role);
		ck_assert_uint_ne(row->reads, 0);
		ck_assert_uint_eq(row->reads & readers, 0);
		readers |= row->reads;
		ck_assert_ptr_eq(process_rights_of(row->role), row);
		ck_assert_uint_eq(row->ends & ~process_peers(row->role), 0);
		ck_assert(!(row->ends & ROLE_BIT(ROLE_ROOT)));
		ck_assert((row->ends != 0) == ipc_may_send(IPC_BROKEN, row->role, ROLE_ROOT));
		if (row->role == ROLE_ROOT)
			continue;
		ck_assert(row->filtered);
		ck_assert(ipc_may_send(IPC_START, ROLE_ROOT, row->role));
		ck_assert(ipc_may_send(IPC_GO, ROLE_ROOT, row->role));
		ck_assert(ipc_may_send(IPC_STOP, ROLE_ROOT, row->role));
		ck_assert(ipc_may_send(IPC_READY, row->role, ROLE_ROOT));
	}
	ck_assert_uint_eq(seen, ROLE_BIT(ROLE_COUNT) - 1);
	ck_assert_uint_eq(readers, CONF_READERS_ALL);
}
END_TEST

/* Rows of one name stand together and say what of the call they mean; conditions are such that what
 * is allowed has no bit that its mask does not name. */
static void
check_calls(const struct system_call *calls, const struct system_call *others)
{
	for (size_t i = 0; calls[i].name; i++) {
		const struct system_call *call = &calls[i];
		ck_assert_msg(seccomp_syscall_resolve_name(call->name) != __NR_SCMP_ERROR,
			"there is no system call %s", call->name);
		ck_assert((call->only != NULL) ==
			  (call->argument_count > 0 || call->answer != CALL_MADE));
		for (size_t j = 0; j < call->argument_count; j++)
			ck_assert_uint_eq(call->arguments[j].value & ~call->arguments[j].mask, 0);
		for (size_t j = 0; j < i; j++)
			if (strcmp(call->name, calls[j].name) == 0) {
				ck_assert_str_eq(calls[i - 1].name, call->name);
				ck_assert(call->only && calls[j].only);
				ck_assert_str_ne(call->only, calls[j].only);
			}
		for (size_t j = 0; others && others[j].name; j++)
			ck_assert_str_ne(call->name, others[j].name);
	}
}

START_TEST(system_calls_exist_and_are_named_once)
{
	const struct process_rights *row;

	check_calls(process_common_system_calls(), NULL);
	for (size_t i = 0; (row = process_rights_at(i)); i++)
		if (row->filtered)
			check_calls(row->system_calls, process_common_system_calls());
}
END_TEST

/* Relays hold what strangers' servers answer: of the private keys they have the use of DKIM's, and
 * of nothing else that `keys` does. */
START_TEST(a_relay_may_ask_keys_for_dkim_only)
{
	for (enum ipc_kind kind = 0; kind < IPC_KINDS; kind++)
		ck_assert_int_eq(ipc_may_send(kind, ROLE_RELAY, ROLE_KEYS),
			kind == IPC_DKIM_KEY_ASK || kind == IPC_DKIM_SIGN);
}
END_TEST

UNIT_MAIN("proc/rights", links_are_what_the_schema_needs, links_are_of_their_kind,
	every_child_is_led_by_root, a_relay_may_ask_keys_for_dkim_only,
	system_calls_exist_and_are_named_once)
