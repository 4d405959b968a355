/*
 * `veredus dmarc send`: the reports of a day that is over, made and handed to this machine's own
 * server, which signs and queues them like other mail of ours. A program of its own, since it needs
 * zlib, which no session shall have in its memory; run once a day by a timer.
 *
 * Whoever a policy names gets one, if he is of the same organization as the policy's domain, or
 * says himself that he wants it (RFC 9990 section 4): else anybody could have us send mail to
 * anybody.
 */
#include "aggregate/write.h"
#include "base/civil.h"
#include "cmd/dmarc_pending.h"
#include "cmd/send.h"
#include "cmd/tool.h"
#include "cmd/tool_dns.h"
#include "mailauth/dmarc.h"

#include <stdio.h>
#include <sysexits.h>

#define NAME           "dmarc"
#define ADDRESSES_MAX  5   /* of one policy; RFC 9990 asks for two at least */
#define DAYS_BACK_MAX  400 /* further than any history goes */
#define DEADLINE_US    (30 * US_PER_S)
#define MESSAGE_MAX    (64u << 20)
#define DEFAULT_SERVER "127.0.0.1:25"

static const char usage[] =
	"usage: veredus dmarc send [--dry-run] [OPTION...] [DOMAIN]\n"
	"\n"
	"Makes the aggregate reports (RFC 9990) of a day from what was collected, and hands them\n"
	"to this server, which must take mail for others from this address (relay_from). To be\n"
	"run once a day; a report that is sent again has the same id.\n"
	"\n"
	"  -c, --config FILE    the configuration of the server (" VEREDUS_CONF ")\n"
	"      --day DATE       2026-12-31; default: yesterday, in UTC\n"
	"      --dry-run        only say what would go where\n"
	"      --show           print the messages instead of sending them\n"
	"      --server ADDRESS:PORT   the server; default: " DEFAULT_SERVER "\n" TOOL_DNS_HELP "\n"
	"Exit code: 0; 64 wrong arguments; 69 no DNS server is known; 75 some could not be sent\n"
	"now; 77 not permitted; 78 the configuration is wrong.\n";

enum { OPTION_DAY = 256, OPTION_DRY_RUN, OPTION_SHOW, OPTION_SERVER, OPTION_DNS };

static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	{"day", required_argument, NULL, OPTION_DAY},
	{"dry-run", no_argument, NULL, OPTION_DRY_RUN}, {"show", no_argument, NULL, OPTION_SHOW},
	{"server", required_argument, NULL, OPTION_SERVER},
	{"dns", required_argument, NULL, OPTION_DNS}, {"help", no_argument, NULL, 'h'}, {0}};

struct sending {
	struct dmarc_pending pending;
	struct dns_stub stub;
	struct dns_source source;
	struct endpoint server;
	const char *day, *server_text, *dns;
	bool is_dry, shows, wants_help;
	int code; /* the worst yet */
};

static int
read_option(struct sending *s, int option)
{
	switch (option) {
	case 'c':
		s->pending.config = optarg;
		break;
	case OPTION_DAY:
		s->day = optarg;
		break;
	case OPTION_DRY_RUN:
		s->is_dry = true;
		break;
	case OPTION_SHOW:
		s->shows = true;
		break;
	case OPTION_SERVER:
		s->server_text = optarg;
		break;
	case OPTION_DNS:
		s->dns = optarg;
		break;
	case 'h':
		s->wants_help = true;
		break;
	default:
		return EX_USAGE;
	}
	return EX_OK;
}

static int
read_options(struct sending *s, int argc, char **argv)
{
	int option, code = EX_OK;

	while (code == EX_OK && (option = tool_option(NAME, argc, argv, ":hc:", options)) != -1)
		code = read_option(s, option);
	/* argv[optind] is "send". */
	if (code == EX_OK && optind + 2 < argc)
		return tool_misused(NAME, "\"%s\" is too much", argv[optind + 2]);
	if (code == EX_OK && optind + 1 < argc)
		s->pending.domain = slice_text(argv[optind + 1]);
	return code;
}

/* The day whose date reads like this. */
static bool
find_day(const char *date, uint64_t today, uint64_t *ret_day)
{
	char text[32];

	for (uint64_t day = today; day > today - DAYS_BACK_MAX * COLLECT_DAY_S;
		day -= COLLECT_DAY_S) {
		struct civil_time t = civil_time_of((wall_us)day * US_PER_S);
		snprintf(text, sizeof text, "%04d-%02d-%02d", t.year, t.month, t.day);
		*ret_day = day;
		if (strcmp(text, date) == 0)
			return true;
	}
	return false;
}

static int
check_options(struct sending *s)
{
	uint64_t now = (uint64_t)(env_wall(&s->pending.env) / US_PER_S);
	uint64_t today = now - now % COLLECT_DAY_S;

	s->pending.day = today - COLLECT_DAY_S;
	if (s->day && !find_day(s->day, today, &s->pending.day))
		return tool_misused(
			NAME, "--day %s is no date (2026-12-31), or not of the last year", s->day);
	if (endpoint_parse(slice_text(s->server_text), &s->server) != OK)
		return tool_misused(
			NAME, "--server %s is no address like 127.0.0.1:25", s->server_text);
	return tool_dns_open(NAME, s->dns, &s->stub);
}

/* One line on what becomes of a report. */
static void
say(const struct collected *c, struct slice to, const char *what)
{
	uint8_t storage[2048];
	struct buffer line;

	buffer_init_fixed(&line, storage, sizeof storage);
	tool_append_harmless(&line, c->report.domain);
	buffer_append_text(&line, " ");
	tool_append_harmless(&line, to);
	buffer_printf(&line, ": %s", what);
	tool_print(buffer_slice(&line));
}

/* May wait. The organization of a domain, as the walk through the DNS finds it; false: the DNS did
 * not answer. */
static bool
find_organization(
	struct sending *s, struct arena *arena, struct slice domain, struct slice *ret_organization)
{
	struct dmarc_verdict verdict;
	struct dmarc_request request = {.dns = &s->source,
		.arena = arena,
		.deadline = loop_deadline(s->pending.env.loop, DEADLINE_US),
		.author = domain};

	dmarc_check(&request, &verdict);
	*ret_organization = verdict.organization;
	return verdict.result != DMARC_TEMPERROR;
}

enum wish { WISH_YES, WISH_NO, WISH_UNKNOWN };

/* May wait. Whether the target says that it wants reports about this domain. */
static enum wish
ask_target(struct sending *s, struct arena *arena, struct slice domain, struct slice target)
{
	uint8_t storage[1024];
	struct buffer name;
	struct dns_answer answer;
	struct dmarc_record record;
	enum wish wish = WISH_NO;

	buffer_init_fixed(&name, storage, sizeof storage);
	buffer_append(&name, domain);
	buffer_append_text(&name, "._report._dmarc.");
	buffer_append(&name, target);
	dns_ask(&s->source, buffer_slice(&name), DNS_TXT, arena,
		loop_deadline(s->pending.env.loop, DEADLINE_US), &answer);
	if (answer.outcome == DNS_FAILED)
		return WISH_UNKNOWN;
	for (size_t i = 0; answer.outcome == DNS_FOUND && i < answer.count; i++)
		if (dmarc_record_parse(answer.records[i].data, &record))
			wish = WISH_YES;
	return wish;
}

/* May wait. */
static enum wish
wants_reports(struct sending *s, struct slice domain, struct slice target)
{
	struct arena arena;
	struct slice ours, theirs;
	enum wish wish = WISH_UNKNOWN;

	if (slice_equal_nocase(domain, target))
		return WISH_YES;
	arena_init(&arena, s->pending.env.memory, DMARC_ARENA_BYTES);
	if (find_organization(s, &arena, domain, &ours) &&
		find_organization(s, &arena, target, &theirs))
		wish = slice_equal_nocase(ours, theirs) ? WISH_YES
							: ask_target(s, &arena, domain, target);
	arena_done(&arena);
	return wish;
}

static enum error
make_message(struct sending *s, const struct collected *c, struct slice to, struct buffer *message)
{
	struct memory *memory = s->pending.env.memory;
	struct buffer xml, gzip;

	buffer_init(&xml, memory, COLLECT_ARENA_BYTES);
	buffer_init(&gzip, memory, MESSAGE_MAX);
	aggregate_write(&xml, &c->report);
	enum error error = buffer_error(&xml);
	if (error == OK)
		error = aggregate_compress(buffer_slice(&xml), &gzip);
	struct aggregate_mail mail = {.report = &c->report,
		.submitter = s->pending.conf.hostname,
		.to = to,
		.gzip = buffer_slice(&gzip),
		.time = env_wall(&s->pending.env)};
	if (error == OK)
		aggregate_mail_append(message, &mail);
	buffer_done(&gzip);
	buffer_done(&xml);
	return error == OK ? buffer_error(message) : error;
}

/* May wait. NULL: the server took it; else why not. */
static const char *
hand_over(struct sending *s, struct slice to, struct slice message)
{
	struct smtp_client_recipient recipient = {.address = to};
	struct send *send = memory_get(s->pending.env.memory, sizeof *send);
	const char *why = NULL;

	*send = (struct send){.env = s->pending.env,
		.endpoint = s->server,
		.recipients = &recipient,
		.count = 1,
		.hello = s->pending.conf.hostname,
		.tls = SEND_TLS_OFF,
		.is_raw = true};
	arena_init(&send->arena, s->pending.env.memory, CONF_ARENA_MAX);
	buffer_init(&send->body, s->pending.env.memory, MESSAGE_MAX);
	buffer_append(&send->body, message);
	send_run(send);
	if (!send->is_connected)
		why = "not sent: the server does not answer";
	else if (recipient.reply.code == 0 || send->error != OK)
		why = "not sent: the session broke";
	else if (recipient.reply.code / 100 != 2)
		why = recipient.reply.code / 100 == 4 ? "not sent: the server says later"
						      : "not sent: the server refused it";
	buffer_done(&send->body);
	arena_done(&send->arena);
	memory_put(s->pending.env.memory, send);
	return why;
}

/* May wait. */
static void
send_one(struct sending *s, const struct collected *c, const struct aggregate_uri *uri)
{
	struct buffer message;
	const char *why = NULL;

	buffer_init(&message, s->pending.env.memory, MESSAGE_MAX);
	enum error error = make_message(s, c, uri->address, &message);
	if (error != OK)
		why = error_text(error);
	else if (message.len > uri->size_max)
		say(c, uri->address, "left out: it is larger than the address takes");
	else if (s->shows)
		tool_print(buffer_slice(&message));
	else if (!s->is_dry)
		why = hand_over(s, uri->address, buffer_slice(&message));
	if (why)
		s->code = EX_TEMPFAIL;
	if (why || (error == OK && !s->shows && message.len <= uri->size_max))
		say(c, uri->address, why ? why : s->is_dry ? "would be sent" : "sent");
	buffer_done(&message);
}

/* May wait. */
static void
consider(struct sending *s, const struct collected *c, const struct aggregate_uri *uri)
{
	if (uri->address.len == 0) {
		say(c, SLICE("-"), "left out: one of its addresses is no mailto: that can be used");
		return;
	}
	switch (wants_reports(s, c->report.domain, uri->domain)) {
	case WISH_YES:
		send_one(s, c, uri);
		break;
	case WISH_NO:
		say(c, uri->address,
			"left out: the address is another organization's, which does not ask for "
			"it");
		break;
	case WISH_UNKNOWN:
		say(c, uri->address, "not sent: the DNS does not answer");
		s->code = EX_TEMPFAIL;
		break;
	}
}

static void
send_all(void *arg)
{
	struct sending *s = arg;
	struct aggregate_uri uri;

	s->stub.loop = s->pending.env.loop;
	s->source = dns_stub_source(&s->stub);
	for (const struct collected *c = s->pending.collection.reports; c; c = c->next) {
		struct slice uris = c->uris;
		/* It comes out of a stranger's From: what is no plain name stands in no header. */
		if (!domain_is_signable(c->report.domain)) {
			say(c, SLICE("-"), "left out: its name is none");
			continue;
		}
		for (int i = 0; i < ADDRESSES_MAX && aggregate_uri_next(&uris, &uri); i++)
			consider(s, c, &uri);
		if (uris.len > 0)
			say(c, SLICE("-"), "left out: further addresses than five");
	}
}

static int
run(struct sending *s)
{
	int code = dmarc_pending_read(&s->pending);

	if (code == EX_OK && s->pending.conf.dmarc_report_from.len == 0)
		code = tool_fail(NAME, EX_CONFIG, "dmarc_report_from is not set");
	if (code != EX_OK)
		return code;
	enum error error = tool_run(&s->pending.env, NAME, send_all, s);
	return error == OK ? s->code
			   : tool_fail(NAME, EX_OSERR, "can't start: %s", error_text(error));
}

int
main(int argc, char **argv)
{
	struct sending *s = &(struct sending){0};

	env_hold_standard_descriptors();
	dmarc_pending_init(&s->pending);
	s->server_text = DEFAULT_SERVER;
	int code = read_options(s, argc, argv);
	if (code == EX_OK && s->wants_help) {
		fputs(usage, stdout);
	} else {
		if (code == EX_OK)
			code = check_options(s);
		if (code == EX_OK)
			code = run(s);
	}
	dmarc_pending_done(&s->pending);
	return tool_finish(NAME, code);
}
