/*
 * The grammar of SMTP commands: RFC 5321 sections 4.1.1 and 4.1.2, parameters of RFC 1870, RFC
 * 6152 and RFC 3461. No allocation, linear time.
 *
 * Strict but for what honest clients get wrong: verbs and parameters in any case, tabs and more
 * than one space between words, space behind "FROM:" and "TO:", space at the line's end, source
 * routes (accepted and ignored, RFC 5321 appendix C), any name in HELO. Where odd paths are taken:
 * paths without brackets, and as a sender whatever stands between them, since a sender's address is
 * not ours to judge.
 */
#include "smtp/command.h"

/* What a well-formed command of the verb carries behind it. */
struct verb {
	struct slice name;
	enum smtp_verb verb;
};

static const struct verb verbs[] = {
	{SLICE_INIT("MAIL"), VERB_MAIL}, {SLICE_INIT("RCPT"), VERB_RCPT},
	{SLICE_INIT("DATA"), VERB_DATA}, {SLICE_INIT("EHLO"), VERB_EHLO},
	{SLICE_INIT("HELO"), VERB_HELO}, {SLICE_INIT("RSET"), VERB_RSET},
	{SLICE_INIT("NOOP"), VERB_NOOP}, {SLICE_INIT("QUIT"), VERB_QUIT},
	{SLICE_INIT("HELP"), VERB_HELP}, {SLICE_INIT("VRFY"), VERB_VRFY},
	{SLICE_INIT("EXPN"), VERB_NOT_IMPLEMENTED}, {SLICE_INIT("BDAT"), VERB_BDAT},
	{SLICE_INIT("AUTH"), VERB_AUTH}, {SLICE_INIT("STARTTLS"), VERB_STARTTLS},
	{SLICE_INIT("XCLIENT"), VERB_XCLIENT}, {SLICE_INIT("BURL"), VERB_NOT_IMPLEMENTED},
	{SLICE_INIT("ETRN"), VERB_NOT_IMPLEMENTED}, {SLICE_INIT("ATRN"), VERB_NOT_IMPLEMENTED},
	{SLICE_INIT("TURN"), VERB_NOT_IMPLEMENTED}, {SLICE_INIT("SEND"), VERB_NOT_IMPLEMENTED},
	{SLICE_INIT("SOML"), VERB_NOT_IMPLEMENTED}, {SLICE_INIT("SAML"), VERB_NOT_IMPLEMENTED},
	{SLICE_INIT("LHLO"), VERB_LHLO}, {SLICE_INIT("GET"), VERB_HTTP},
	{SLICE_INIT("POST"), VERB_HTTP}, {SLICE_INIT("PUT"), VERB_HTTP},
	{SLICE_INIT("HEAD"), VERB_HTTP}, {SLICE_INIT("CONNECT"), VERB_HTTP},
	{SLICE_INIT("OPTIONS"), VERB_HTTP}, {SLICE_INIT("DELETE"), VERB_HTTP},
	{SLICE_INIT("PATCH"), VERB_HTTP}, {SLICE_INIT("TRACE"), VERB_HTTP},
	{SLICE_INIT("PRI"), VERB_HTTP}, /* HTTP/2's preface */
};

static enum smtp_verb
find_verb(struct slice name)
{
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (slice_equal_nocase(verbs[i].name, name))
			return verbs[i].verb;
	return VERB_UNKNOWN;
}

static bool
is_space(int octet)
{
	return octet == ' ' || octet == '\t';
}

static void
skip_spaces(struct cursor *cursor)
{
	while (is_space(cursor_peek(cursor)))
		cursor->at++;
}

/* A path's fault with the code that says whose address is meant. */
static struct smtp_reply
address_reply(enum smtp_verb verb, enum address_fault fault)
{
	uint16_t detail =
		verb == VERB_MAIL
			? 7
			: 3; /* X.1.7: bad sender's address syntax, X.1.3: bad destination's */
	struct smtp_reply reply = {501, {5, 1, detail}, slice_text(address_fault_text(fault))};

	if (verb == VERB_RCPT && fault == ADDRESS_BAD_DOMAIN)
		reply = SMTP_REPLY(550, 5, 7, 1, "relaying denied: not a domain of this server");
	return reply;
}

/*
 * A-d-l     = At-domain *( "," At-domain )
 * At-domain = "@" Domain
 */
static enum address_fault
skip_source_route(struct cursor *cursor)
{
	struct slice ignored;

	do {
		if (!cursor_accept(cursor, '@'))
			return ADDRESS_BAD_DOMAIN;
		enum address_fault fault = address_take_domain(cursor, &ignored);
		if (fault != ADDRESS_OK)
			return fault == ADDRESS_NO_DOMAIN ? ADDRESS_BAD_DOMAIN : fault;
	} while (cursor_accept(cursor, ','));
	return cursor_accept(cursor, ':') ? ADDRESS_OK : ADDRESS_BAD_DOMAIN;
}

/* Path = "<" [ A-d-l ":" ] Mailbox ">"; the cursor is behind "<" and ends before ">". */
static enum address_fault
take_path(struct cursor *cursor, struct smtp_command *command)
{
	enum address_fault fault =
		cursor_peek(cursor) == '@' ? skip_source_route(cursor) : ADDRESS_OK;

	if (fault != ADDRESS_OK)
		return fault;
	size_t start = cursor->at;
	fault = address_take_international(cursor, &command->address);
	command->mailbox = slice_sub(cursor->bytes, start, cursor->at - start);
	/* RFC 5321 section 4.5.1: <postmaster> stands without a domain, in any case. */
	if (fault == ADDRESS_NO_DOMAIN && command->verb == VERB_RCPT &&
		slice_equal_nocase(command->mailbox, SLICE("postmaster")))
		return ADDRESS_OK;
	return fault;
}

/* What is wrong with a path that is sound up to the cursor, where ">" should stand. */
static struct smtp_reply
unclosed_path_reply(const struct cursor *cursor)
{
	if (cursor_left(cursor) == 0)
		return SMTP_REPLY(501, 5, 5, 4, "the closing \">\" of the address is missing");
	return SMTP_REPLY(501, 5, 5, 4, "something stands between the address and its \">\"");
}

/*
 * A sender that is no address of RFC 5321: "a..b@c", "x@under_score.example". It is kept octet for
 * octet, so it may hold nothing that ends a path, a line or a field somewhere. False: it cannot be
 * kept.
 */
static bool
take_odd_sender(struct cursor *cursor, struct smtp_command *command)
{
	size_t start = cursor->at;
	int octet;

	while ((octet = cursor_peek(cursor)) > ' ' && octet < 127 && octet != '<' && octet != '>' &&
		octet != '"')
		cursor->at++;
	command->mailbox = slice_sub(cursor->bytes, start, cursor->at - start);
	command->address = (struct address){0};
	return command->mailbox.len > 0 && command->mailbox.len <= ADDRESS_MAX;
}

/* The path without what stands around it. */
static void
parse_bare_path(struct cursor *cursor, struct smtp_command *command)
{
	size_t start = cursor->at;
	enum address_fault fault = take_path(cursor, command);

	if (fault == ADDRESS_OK)
		return;
	cursor->at = start;
	if (command->takes_odd_paths && command->verb == VERB_MAIL && fault != ADDRESS_TOO_LONG &&
		take_odd_sender(cursor, command))
		return;
	command->error = address_reply(command->verb, fault);
}

/* Reverse-path = Path / "<>"; Forward-path = Path / "<postmaster>" */
static void
parse_path(struct cursor *cursor, struct smtp_command *command)
{
	bool has_bracket = cursor_accept(cursor, '<');

	if (!has_bracket && !(command->takes_odd_paths && cursor_left(cursor) > 0)) {
		command->error =
			SMTP_REPLY(501, 5, 5, 4, "the address must stand in \"<\" and \">\"");
		return;
	}
	if (!has_bracket || command->verb != VERB_MAIL || cursor_peek(cursor) != '>')
		parse_bare_path(cursor, command);
	if (command->error.code == 0 && has_bracket && !cursor_accept(cursor, '>'))
		command->error = unclosed_path_reply(cursor);
}

/*
 * size-value = 1*20DIGIT
 * More than 64 bits can hold is still a size, only too large for everybody.
 */
static bool
parse_size(struct slice value, struct smtp_command *command)
{
	for (size_t i = 0; i < value.len; i++)
		if (!ascii_is_digit(value.ptr[i]))
			return false;
	if (value.len < 1 || value.len > 20)
		return false;
	if (!slice_number(value, UINT64_MAX, &command->size))
		command->size = UINT64_MAX;
	return true;
}

/* body-value = "7BIT" / "8BITMIME" */
static bool
parse_body(struct slice value, struct smtp_command *command)
{
	if (slice_equal_nocase(value, SLICE("7BIT")))
		command->body = BODY_7BIT;
	else if (slice_equal_nocase(value, SLICE("8BITMIME")))
		command->body = BODY_8BITMIME;
	else
		return false;
	return true;
}

/* RFC 6531 section 3.4: it has no value. */
static bool
parse_smtputf8(struct slice value, struct smtp_command *command)
{
	command->is_smtputf8 = true;
	return value.len == 0;
}

/* auth-param = "AUTH=" xtext / "AUTH=<>" (RFC 4954 section 5) */
static bool
parse_auth(struct slice value, struct smtp_command *command)
{
	command->has_auth = true;
	return value.len > 0 && xtext_is_valid(value);
}

/* ret-value = "FULL" / "HDRS" (RFC 3461 section 4.3) */
static bool
parse_returns(struct slice value, struct smtp_command *command)
{
	if (slice_equal_nocase(value, SLICE("FULL")))
		command->returns = RETURNS_FULL;
	else if (slice_equal_nocase(value, SLICE("HDRS")))
		command->returns = RETURNS_HEADERS;
	else
		return false;
	return true;
}

static bool
parse_envelope_id(struct slice value, struct smtp_command *command)
{
	command->envelope_id = value;
	return dsn_envelope_id_is_valid(value);
}

static bool
parse_notify(struct slice value, struct smtp_command *command)
{
	return dsn_notify_parse(value, &command->notify);
}

static bool
parse_original(struct slice value, struct smtp_command *command)
{
	command->original = value;
	return dsn_original_is_valid(value);
}

struct parameter {
	struct slice keyword;
	enum smtp_verb verb;
	bool (*parse)(struct slice value, struct smtp_command *command);
	struct slice problem; /* what to say when parse says no */
};

static const struct parameter parameters[] = {
	{SLICE_INIT("SIZE"), VERB_MAIL, parse_size, SLICE_INIT("SIZE= takes a number of octets")},
	{SLICE_INIT("AUTH"), VERB_MAIL, parse_auth, SLICE_INIT("AUTH= takes an address")},
	{SLICE_INIT("BODY"), VERB_MAIL, parse_body, SLICE_INIT("BODY= takes 7BIT or 8BITMIME")},
	{SLICE_INIT("SMTPUTF8"), VERB_MAIL, parse_smtputf8, SLICE_INIT("SMTPUTF8 takes no value")},
	{SLICE_INIT("RET"), VERB_MAIL, parse_returns, SLICE_INIT("RET= takes FULL or HDRS")},
	{SLICE_INIT("ENVID"), VERB_MAIL, parse_envelope_id,
		SLICE_INIT("ENVID= takes xtext of printable characters, 100 octets at most")},
	{SLICE_INIT("NOTIFY"), VERB_RCPT, parse_notify,
		SLICE_INIT("NOTIFY= takes NEVER alone, or SUCCESS, FAILURE and DELAY with commas")},
	{SLICE_INIT("ORCPT"), VERB_RCPT, parse_original,
		SLICE_INIT(
			"ORCPT= takes a type, a semicolon and an address in xtext, 500 octets at "
			"most")},
};
#define PARAMETER_COUNT (sizeof parameters / sizeof *parameters)

/* The index in the table, or PARAMETER_COUNT. */
static size_t
find_parameter(enum smtp_verb verb, struct slice keyword)
{
	size_t i = 0;

	while (i < PARAMETER_COUNT &&
		!(parameters[i].verb == verb && slice_equal_nocase(parameters[i].keyword, keyword)))
		i++;
	return i;
}

/* esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-") */
static bool
keyword_is_valid(struct slice keyword)
{
	for (size_t i = 0; i < keyword.len; i++)
		if (!ascii_is_alnum(keyword.ptr[i]) && !(i > 0 && keyword.ptr[i] == '-'))
			return false;
	return keyword.len > 0;
}

/* The next word up to SP or the end. */
static struct slice
take_word(struct cursor *cursor)
{
	struct slice rest = cursor_rest(cursor);
	size_t len = 0;

	while (len < rest.len && !is_space(rest.ptr[len]))
		len++;
	cursor->at += len;
	return slice_sub(rest, 0, len);
}

/* esmtp-param = esmtp-keyword ["=" esmtp-value]; false with command->error set. */
static bool
parse_parameter(struct slice word, struct smtp_command *command, uint32_t *seen)
{
	ssize_t equals = slice_find(word, 0, '=');
	struct slice keyword = equals < 0 ? word : slice_sub(word, 0, (size_t)equals);
	struct slice value = equals < 0 ? SLICE("") : slice_from(word, (size_t)equals + 1);
	size_t which = find_parameter(command->verb, keyword);

	if (!keyword_is_valid(keyword))
		command->error = SMTP_REPLY(501, 5, 5, 4, "a parameter is malformed");
	else if (which == PARAMETER_COUNT)
		command->error = SMTP_REPLY(555, 5, 5, 4, "a parameter is not known here");
	else if (*seen & 1u << which)
		command->error = SMTP_REPLY(501, 5, 5, 4, "a parameter stands twice");
	else if (!parameters[which].parse(value, command))
		command->error = (struct smtp_reply){501, {5, 5, 4}, parameters[which].problem};
	else
		*seen |= 1u << which;
	return command->error.code == 0;
}

/* *(SP esmtp-param), with spaces at the end */
static void
parse_parameters(struct cursor *cursor, struct smtp_command *command)
{
	uint32_t seen = 0;

	while (cursor_left(cursor) > 0) {
		if (!is_space(cursor_peek(cursor))) {
			command->error =
				SMTP_REPLY(501, 5, 5, 4, "a space must stand before a parameter");
			return;
		}
		skip_spaces(cursor);
		if (cursor_left(cursor) > 0 && !parse_parameter(take_word(cursor), command, &seen))
			return;
	}
}

/*
 * mail = "MAIL FROM:" Reverse-path [SP Mail-parameters]
 * rcpt = "RCPT TO:" Forward-path [SP Rcpt-parameters]
 */
static void
parse_transfer(struct slice argument, struct smtp_command *command)
{
	bool is_mail = command->verb == VERB_MAIL;
	struct slice word = is_mail ? SLICE("FROM:") : SLICE("TO:");
	struct cursor cursor = cursor_of(argument);

	if (!slice_has_prefix_nocase(argument, word)) {
		command->error =
			is_mail ? SMTP_REPLY(
					  501, 5, 5, 4, "MAIL must be followed by FROM:<address>")
				: SMTP_REPLY(501, 5, 5, 4, "RCPT must be followed by TO:<address>");
		return;
	}
	cursor.at = word.len;
	skip_spaces(&cursor);
	parse_path(&cursor, command);
	if (command->error.code == 0)
		parse_parameters(&cursor, command);
}

/*
 * ehlo = "EHLO" SP ( Domain / address-literal )
 * helo = "HELO" SP Domain ; literals are said there too
 *
 * Machines are given names with umlauts, underscores, dots at the end: mail is not refused for that
 * (RFC 5321 section 4.1.4). Whoever writes the name anywhere filters it.
 */
static void
parse_hello(struct slice argument, struct smtp_command *command)
{
	struct cursor cursor = cursor_of(argument);

	if (argument.len == 0 || argument.len > ADDRESS_DOMAIN_MAX ||
		take_word(&cursor).len < argument.len)
		command->error = SMTP_REPLY(
			501, 5, 5, 4, "your name must be a domain or an address literal");
}

/*
 * bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ]
 * chunk-size = 1*DIGIT
 * end-marker = "LAST"
 */
static void
parse_chunk(struct slice argument, struct smtp_command *command)
{
	struct cursor cursor = cursor_of(argument);
	bool is_size = parse_size(take_word(&cursor), command);

	skip_spaces(&cursor);
	command->is_last = slice_equal_nocase(cursor_rest(&cursor), SLICE("LAST"));
	if (!is_size || (!command->is_last && cursor_left(&cursor) > 0))
		command->error = SMTP_REPLY(501, 5, 5, 4,
			"BDAT must be followed by a number of octets, and LAST or nothing; "
			"goodbye");
}

static void
parse_argument(struct slice argument, struct smtp_command *command)
{
	switch (command->verb) {
	case VERB_HELO:
	case VERB_EHLO:
	case VERB_LHLO:
		parse_hello(argument, command);
		return;
	case VERB_MAIL:
	case VERB_RCPT:
		parse_transfer(argument, command);
		return;
	case VERB_BDAT:
		parse_chunk(argument, command);
		return;
	case VERB_DATA:
	case VERB_RSET:
	case VERB_QUIT:
	case VERB_STARTTLS:
		if (argument.len > 0)
			command->error = SMTP_REPLY(501, 5, 5, 4, "this command takes no argument");
		return;
	case VERB_AUTH:
		if (argument.len == 0)
			command->error =
				SMTP_REPLY(501, 5, 5, 4, "AUTH must be followed by a mechanism");
		return;
	case VERB_VRFY:
		if (argument.len == 0)
			command->error =
				SMTP_REPLY(501, 5, 5, 4, "VRFY must be followed by a name");
		return;
	default: /* NOOP and HELP take anything, the rest is not looked at */
		return;
	}
}

/* Controls have no place in a command: NUL hides what follows from others, ESC writes to terminals,
 * CR splits lines for some. A tab is white space. */
static bool
has_control(struct slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if ((line.ptr[i] < 32 && line.ptr[i] != '\t') || line.ptr[i] == 127)
			return true;
	return false;
}

bool
smtp_command_has_octets(struct slice line)
{
	return slice_has_prefix_nocase(line, SLICE("BDAT"));
}

void
smtp_command_parse(struct slice line, bool takes_odd_paths, struct smtp_command *ret_command)
{
	*ret_command =
		(struct smtp_command){.verb = VERB_UNKNOWN, .takes_odd_paths = takes_odd_paths};
	if (has_control(line)) {
		ret_command->verb = smtp_command_has_octets(line) ? VERB_BDAT : VERB_UNKNOWN;
		ret_command->error =
			SMTP_REPLY(500, 5, 5, 2, "a control character has no place in a command");
		return;
	}
	while (line.len > 0 && is_space(line.ptr[line.len - 1]))
		line.len--;
	struct cursor cursor = cursor_of(line);
	ret_command->verb = find_verb(take_word(&cursor));
	skip_spaces(&cursor);
	ret_command->argument = cursor_rest(&cursor);
	parse_argument(ret_command->argument, ret_command);
}
