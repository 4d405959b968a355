/* The block of a domain whose mail ends here. */
#include "conf/schema_private.h"

static const struct schema_choice accounts[] = {
	{"file", CONF_ACCOUNTS_FILE, SCHEMA_PATH,
		"The local parts listed in a file, one a line. A file "
		"that is renamed into place counts at once, one "
		"that is rewritten when nobody has written to it "
		"for 2 s; a list that becomes empty, a minute "
		"later."},
	{"system", CONF_ACCOUNTS_SYSTEM, SCHEMA_NONE,
		"The users of this machine whose number is 1000 or higher."},
	{"any", CONF_ACCOUNTS_ANY, SCHEMA_NONE, "Every local part is known."},
};

static const struct schema_choice alias_sources[] = {
	{"file", CONF_ALIASES_FILE, SCHEMA_PATH,
		"A file in the form of aliases(5): NAME: TARGET, TARGET."},
};

static const struct schema_choice details[] = {
	{"+", CONF_DETAIL_PLUS, SCHEMA_NONE, "anna+lists is anna."},
	{"-", CONF_DETAIL_HYPHEN, SCHEMA_NONE,
		"anna-lists is anna, unless there is an anna-lists."},
	{"off", CONF_DETAIL_OFF, SCHEMA_NONE, "Only whole names count."},
};

static const struct schema_choice mailboxes[] = {
	{"maildir", CONF_MAILBOX_MAILDIR, SCHEMA_TEMPLATE, "A Maildir for each user."},
};

static const struct schema_choice owners[] = {
	{"system", CONF_OWNER_SYSTEM, SCHEMA_NONE,
		"The system user of the same name as the local part."},
	{NULL, CONF_OWNER_USER, SCHEMA_USER, "This account, for all mailboxes of the domain."},
};

static const struct schema_key domain_keys[] = {
	{
		.word = "accounts",
		.type = SCHEMA_CHOICE,
		.flags = SCHEMA_REQUIRED,
		.readers = ALWAYS | SESSION | LOOKUP,
		.offset = offsetof(struct conf_domain, accounts),
		.argument_offset = offsetof(struct conf_domain, accounts_file),
		CHOICES(accounts),
		.noun = "accounts",
		.help = "Which local parts exist. Mail for others is refused while the client is "
			"still connected.",
		.example = "accounts file /etc/veredus/accounts",
	},
	{
		.word = "aliases",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION | LOOKUP,
		.offset = offsetof(struct conf_domain, aliases),
		.argument_offset = offsetof(struct conf_domain, aliases_file),
		CHOICES(alias_sources),
		.fallback_note = "none",
		.help = "Names whose mail goes to others, of this domain or of any other. They "
			"come before accounts; \"*\" takes every name that is neither. "
			"A changed file counts within seconds.",
		.example = "aliases file /etc/aliases",
	},
	{
		.word = "detail",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | SESSION,
		.offset = offsetof(struct conf_domain, detail),
		CHOICES(details),
		.fallback = "+",
		.help = "What separates an account from what its owner puts behind it (RFC 5233). "
			"Mail for a name that is neither alias nor account goes to the one that "
			"stands in front of the first of these, before the alias \"*\" is asked. "
			"With \"accounts any\" every name is an account, and nothing is taken off.",
		.example = "detail -",
	},
	{
		.word = "mailbox",
		.type = SCHEMA_CHOICE,
		.flags = SCHEMA_REQUIRED,
		.readers = ALWAYS | QUEUE | DELIVER | LOOKUP,
		.offset = offsetof(struct conf_domain, mailbox),
		.argument_offset = offsetof(struct conf_domain, mailbox_template),
		CHOICES(mailboxes),
		.noun = "a mailbox",
		.help = "Where mail is put. The template is an absolute path with {user}, and "
			"{domain} where wanted; with "
			"\"owner system\" it may begin with {home}, the user's home directory. "
			"Missing folders are made.",
		.example = "mailbox maildir /srv/mail/{domain}/{user}",
	},
	{
		.word = "owner",
		.type = SCHEMA_CHOICE,
		.readers = ALWAYS | QUEUE | DELIVER | LOOKUP,
		.offset = offsetof(struct conf_domain, owner),
		.argument_offset = offsetof(struct conf_domain, owner_user),
		CHOICES(owners),
		.fallback_note = "the account that \"user\" names",
		.help = "Who owns the mailboxes; deliveries run as this user. \"owner system\" "
			"does not go with \"accounts "
			"any\". Nobody delivers as root.",
		.example = "owner vmail",
	},
};

static bool is_home_template(struct slice template)
{
	return slice_has_prefix(template, SLICE("{home}"));
}

static const char *
check_domain(const void *item, const char *ret_words[SCHEMA_BLAMED])
{
	const struct conf_domain *domain = item;

	if (domain->owner == CONF_OWNER_SYSTEM && domain->accounts == CONF_ACCOUNTS_ANY) {
		ret_words[0] = "owner";
		return "\"owner system\" needs accounts that are users: \"accounts system\" or "
		       "\"accounts file\"";
	}
	if (domain->owner != CONF_OWNER_SYSTEM && is_home_template(domain->mailbox_template)) {
		ret_words[0] = "mailbox";
		return "{home} needs \"owner system\"";
	}
	return NULL;
}

const struct schema_block schema_domain = {
	.keys = domain_keys,
	.key_count = COUNT(domain_keys),
	.item_size = sizeof(struct conf_domain),
	.name_type = SCHEMA_DOMAIN,
	.name_offset = offsetof(struct conf_domain, name),
	.check = check_domain,
};
