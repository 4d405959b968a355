/*
 * `veredus user`: who may log in. A program of its own, since it needs libcrypt, which no session
 * shall have in its memory. It edits the file of passwords line by line, so that comments stay, and
 * puts the new file in the place of the old one whole; edits wait for each other. A password is
 * asked for on the terminal or read from standard input: on the command line everybody would see
 * it.
 */
#include "auth/password_hash.h"
#include "auth/passwords.h"
#include "auth/scram.h"
#include "base/file_replace.h"
#include "base/log_record.h"
#include "cmd/command.h"
#include "cmd/tool.h"
#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#define NAME      "user"
#define FILE_MODE 0600

static const char usage[] =
	"usage: veredus user add LOGIN [--senders LIST] [-c FILE | --file PATH]\n"
	"       veredus user passwd | disable | enable | remove LOGIN [-c FILE | --file PATH]\n"
	"       veredus user list [--json] [-c FILE | --file PATH]\n"
	"\n"
	"Says who may log in to send mail (\"role submission\"). LOGIN is a mail address. add and\n"
	"passwd ask for the password on the terminal, twice; when standard input is no terminal,\n"
	"its first line is the password. The server sees a change within ten seconds.\n"
	"\n"
	"  -c, --config FILE    the configuration, whose \"passwords\" is edited (" VEREDUS_CONF
	")\n"
	"      --file PATH      this file of passwords instead\n"
	"      --senders LIST   add: addresses it may send as besides its own, with commas "
	"between\n"
	"                       them; *@DOMAIN stands for all of a domain\n"
	"      --json           list: an object for each login\n"
	"\n"
	"Exit code: 0; 64 wrong arguments; 65 no usable password or file; 67 there is no such\n"
	"login, or it is there already; 73 the file can't be written; 78 no \"passwords\".\n";

enum { OPTION_FILE = 256, OPTION_SENDERS, OPTION_JSON };

static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	{"file", required_argument, NULL, OPTION_FILE},
	{"senders", required_argument, NULL, OPTION_SENDERS},
	{"json", no_argument, NULL, OPTION_JSON}, {"help", no_argument, NULL, 'h'}, {0}};

enum action {
	ACTION_ADD,
	ACTION_PASSWD,
	ACTION_DISABLE,
	ACTION_ENABLE,
	ACTION_REMOVE,
	ACTION_LIST
};
static const char *const actions[] = {"add", "passwd", "disable", "enable", "remove", "list"};
#define ACTIONS (sizeof actions / sizeof *actions)

struct edit {
	struct env env;
	struct arena arena;
	enum action action;
	const char *conf_file;
	const char *file; /* of passwords */
	const char *base; /* its name in the folder */
	int folder;
	struct slice login; /* lower case */
	struct slice senders;
	bool is_json, wants_help;
	struct buffer text; /* of the file */
	struct passwords passwords;
	const struct password_entry *entry; /* NULL: the login is not there */
	char hash[PASSWORD_HASH_BYTES];
	char scram[SCRAM_VERIFIER_BYTES]; /* "": none */
};

/* -- the password */

/* One line without its end; false: there is none, or it is too long. */
static bool
read_line(char *line, size_t room)
{
	size_t len = 0;
	char octet;
	ssize_t got;

	while ((got = read(STDIN_FILENO, &octet, 1)) == 1 && octet != '\n') {
		if (len + 1 >= room || octet == 0)
			return false;
		line[len++] = octet;
	}
	if (len > 0 && line[len - 1] == '\r')
		len--;
	line[len] = 0;
	return got >= 0 && len > 0;
}

static bool
prompt(const char *text, char *line, size_t room)
{
	struct termios before, silent;

	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return false;
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent); /* first: what is typed before is dropped */
	fputs(text, stderr);
	bool is_read = read_line(line, room);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	fputc('\n', stderr);
	return is_read;
}

static int
ask_password(char *password, size_t room)
{
	char again[SASL_PASSWORD_MAX + 1];
	bool is_same = true;
	bool is_read = isatty(STDIN_FILENO) ? prompt("Password: ", password, room)
					    : read_line(password, room);

	if (is_read && isatty(STDIN_FILENO))
		is_same =
			prompt("Once more: ", again, sizeof again) && strcmp(again, password) == 0;
	memory_wipe(again, sizeof again);
	if (!is_read)
		return tool_fail(NAME, EX_DATAERR, "a password has 1 to %d octets, on one line",
			SASL_PASSWORD_MAX);
	return is_same ? EX_OK : tool_fail(NAME, EX_DATAERR, "these are two passwords");
}

/* Without a verifier the login is left to PLAIN and LOGIN, and so are all others. */
static enum error
make_verifier(struct edit *edit, const char *password)
{
	enum error error = scram_prepare();

	if (error == OK)
		error = scram_verifier_make(&edit->env, password, edit->scram);
	if (error != ERROR_UNSUPPORTED)
		return error;
	edit->scram[0] = 0;
	fprintf(stderr, "veredus " NAME
			": the password is not of printable ASCII alone, so there is no SCRAM for "
			"this login, and none is offered to anybody\n");
	return OK;
}

static int
make_hash(struct edit *edit)
{
	char password[SASL_PASSWORD_MAX + 1];
	int code = ask_password(password, sizeof password);
	enum error error = OK;

	if (code == EX_OK)
		error = password_hash_make(&edit->env, password, edit->hash);
	if (code == EX_OK && error == OK)
		error = make_verifier(edit, password);
	memory_wipe(password, sizeof password);
	return error == OK ? code : tool_fail(NAME, EX_SOFTWARE, "no hash: %s", error_text(error));
}

/* -- the file */

static int
find_file(struct edit *edit)
{
	struct conf conf;

	if (edit->file)
		return EX_OK;
	if (conf_load_or_say(&edit->env, &edit->arena, edit->conf_file, &conf) != OK)
		return EX_CONFIG;
	edit->file = conf.passwords.len > 0 ? arena_text(&edit->arena, conf.passwords) : NULL;
	return edit->file ? EX_OK
			  : tool_fail(NAME, EX_CONFIG,
				    "%s has no \"passwords FILE\": nobody can log in",
				    edit->conf_file);
}

/* The folder, locked until this program ends: two edits at a time would lose one. */
static int
open_folder(struct edit *edit)
{
	const char *slash = strrchr(edit->file, '/');
	struct slice folder = !slash ? SLICE(".")
			      : slash == edit->file
				      ? SLICE("/")
				      : slice_of(edit->file, (size_t)(slash - edit->file));
	char *path = arena_text(&edit->arena, folder);

	edit->base = slash ? slash + 1 : edit->file;
	edit->folder = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (edit->folder < 0)
		return tool_fail(NAME, EX_CANTCREAT, "%.*s: %s", SLICE_ARGS(folder),
			strerror(path ? errno : ENOMEM));
	if (edit->action != ACTION_LIST && flock(edit->folder, LOCK_EX) < 0)
		return tool_fail(NAME, EX_CANTCREAT, "%s is not locked: %s", path, strerror(errno));
	return EX_OK;
}

static int
read_file(struct edit *edit)
{
	struct passwords_fault fault = {0};
	enum error error = file_read(&edit->env, edit->folder, edit->base, &edit->text);

	if (error == ERROR_NOT_FOUND && edit->action == ACTION_ADD)
		error = OK; /* the first login makes it */
	if (error != OK)
		return tool_fail(NAME, EX_NOINPUT, "%s: %s", edit->file, error_text(error));
	error = passwords_parse(buffer_slice(&edit->text), &edit->arena, &edit->passwords, &fault);
	if (error != OK && fault.line > 0)
		return tool_fail(NAME, EX_DATAERR, "%s:%zu: %s", edit->file, fault.line, fault.why);
	if (error != OK)
		return tool_fail(NAME, EX_DATAERR, "%s: %s", edit->file,
			fault.why ? fault.why : error_text(error));
	edit->entry = passwords_find(&edit->passwords, edit->login);
	return EX_OK;
}

static void
append_entry(struct buffer *text, const struct password_entry *entry)
{
	buffer_append(text, entry->login);
	buffer_append_text(text, entry->is_disabled ? ":!" : ":");
	buffer_append(text, entry->hash);
	if (entry->scram.len > 0)
		buffer_append_octet(text, ' ');
	buffer_append(text, entry->scram);
	if (entry->senders.len > 0)
		buffer_append_octet(text, ':');
	buffer_append(text, entry->senders);
	buffer_append_octet(text, '\n');
}

/* The login that a line is about; empty: none. */
static struct slice
login_of(struct slice line)
{
	line = slice_trim(line);
	ssize_t colon = slice_find(line, 0, ':');
	return colon > 0 && line.ptr[0] != '#' ? slice_sub(line, 0, (size_t)colon) : SLICE("");
}

/* The file with `entry`, if not NULL, for the line of its login, or at the end. */
static void
rewrite(const struct edit *edit, const struct password_entry *entry, struct buffer *text)
{
	struct slice rest = buffer_slice(&edit->text);
	bool is_written = false;

	while (rest.len > 0) {
		ssize_t end = slice_find(rest, 0, '\n');
		struct slice line = end < 0 ? rest : slice_sub(rest, 0, (size_t)end);
		rest = end < 0 ? slice_of(NULL, 0) : slice_from(rest, (size_t)end + 1);
		if (slice_equal_nocase(login_of(line), edit->login)) {
			if (entry)
				append_entry(text, entry);
			is_written = true;
			continue;
		}
		buffer_append(text, line);
		buffer_append_octet(text, '\n');
	}
	if (entry && !is_written)
		append_entry(text, entry);
}

static int
write_file(struct edit *edit, const struct password_entry *entry)
{
	struct buffer text;

	buffer_init(&text, edit->env.memory, PASSWORDS_FILE_MAX);
	rewrite(edit, entry, &text);
	enum error error = buffer_error(&text);
	if (error == OK)
		error = file_replace(
			&edit->env, edit->folder, edit->base, buffer_slice(&text), FILE_MODE);
	buffer_done(&text);
	return error == OK ? EX_OK
			   : tool_fail(NAME, EX_CANTCREAT, "%s: %s", edit->file, error_text(error));
}

/* -- what is done */

static int
change(struct edit *edit)
{
	struct password_entry entry = {.login = edit->login, .senders = edit->senders};
	bool has_new_hash = edit->action == ACTION_ADD || edit->action == ACTION_PASSWD;

	if (edit->action == ACTION_ADD && edit->entry)
		return tool_fail(NAME, EX_NOUSER,
			"%.*s is there already; its password is "
			"changed by `veredus user passwd`",
			SLICE_ARGS(edit->login));
	if (edit->action != ACTION_ADD && !edit->entry)
		return tool_fail(
			NAME, EX_NOUSER, "there is no login %.*s", SLICE_ARGS(edit->login));
	if (edit->action == ACTION_REMOVE)
		return write_file(edit, NULL);
	int code = has_new_hash ? make_hash(edit) : EX_OK;
	if (code != EX_OK)
		return code;
	if (edit->entry)
		entry = *edit->entry;
	if (has_new_hash)
		entry.hash = slice_text(edit->hash);
	if (has_new_hash)
		entry.scram = slice_text(edit->scram);
	else
		entry.is_disabled = edit->action == ACTION_DISABLE;
	return write_file(edit, &entry);
}

/* By its prefix, for people. */
static const char *
method_of(struct slice hash)
{
	static const struct {
		struct slice prefix;
		const char *name;
	} methods[] = {{SLICE_INIT("$y$"), "yescrypt"}, {SLICE_INIT("$2"), "bcrypt"},
		{SLICE_INIT("$6$"), "sha512-crypt"}, {SLICE_INIT("$5$"), "sha256-crypt"}};

	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (slice_has_prefix(hash, methods[i].prefix))
			return methods[i].name;
	return "other";
}

static void
append_json(struct buffer *line, const struct password_entry *entry)
{
	struct slice rest = entry->senders;

	buffer_append_text(line, "{\"login\":");
	json_append_string(line, entry->login);
	buffer_printf(line, ",\"disabled\":%s,\"hash\":\"%s\",\"scram\":%s,\"senders\":[",
		entry->is_disabled ? "true" : "false", method_of(entry->hash),
		entry->scram.len > 0 ? "true" : "false");
	while (rest.len > 0) {
		ssize_t comma = slice_find(rest, 0, ',');
		json_append_string(line, comma < 0 ? rest : slice_sub(rest, 0, (size_t)comma));
		rest = comma < 0 ? slice_of(NULL, 0) : slice_from(rest, (size_t)comma + 1);
		buffer_append_text(line, rest.len > 0 ? "," : "");
	}
	buffer_append_text(line, "]}");
}

static int
list(struct edit *edit)
{
	struct buffer line;

	buffer_init(&line, edit->env.memory, TOOL_LINE_MAX);
	for (size_t i = 0; i < edit->passwords.count; i++) {
		const struct password_entry *entry = &edit->passwords.entries[i];
		buffer_clear(&line);
		if (edit->is_json)
			append_json(&line, entry);
		else
			buffer_printf(&line, "%.*s  %s  %s%s  %.*s", SLICE_ARGS(entry->login),
				entry->is_disabled ? "disabled" : "active", method_of(entry->hash),
				entry->scram.len > 0 ? "+scram" : "", SLICE_ARGS(entry->senders));
		struct slice text = buffer_slice(&line);
		while (text.len > 0 && text.ptr[text.len - 1] == ' ')
			text.len--;
		tool_print(text);
	}
	buffer_done(&line);
	return tool_finish(NAME, EX_OK);
}

static int
run(struct edit *edit)
{
	int code = find_file(edit);

	if (code == EX_OK)
		code = open_folder(edit);
	if (code == EX_OK)
		code = read_file(edit);
	if (code != EX_OK)
		return code;
	return edit->action == ACTION_LIST ? list(edit) : change(edit);
}

/* -- the command line */

static int
take_login(struct edit *edit, const char *text)
{
	struct slice login = slice_text(text);
	uint8_t *lower = arena_take(&edit->arena, login.len + 1);

	if (!lower || !passwords_login_is_valid(login))
		return tool_misused(NAME, "\"%s\" is no mail address", text);
	edit->login = passwords_lower(login, lower);
	if (!passwords_senders_are_valid(edit->senders))
		return tool_misused(NAME, "--senders takes addresses with commas between them");
	if (edit->senders.len > 0 && edit->action != ACTION_ADD)
		return tool_misused(NAME, "--senders goes with add");
	return EX_OK;
}

static int
take_words(struct edit *edit, int count, char **words)
{
	size_t action = 0;

	if (count == 0)
		return tool_misused(NAME, "what is to be done?");
	while (action < ACTIONS && strcmp(actions[action], words[0]) != 0)
		action++;
	if (action == ACTIONS)
		return tool_misused(NAME, "there is no \"%s\"", words[0]);
	edit->action = (enum action)action;
	if (count != (edit->action == ACTION_LIST ? 1 : 2))
		return tool_misused(NAME,
			edit->action == ACTION_LIST ? "list takes no login" : "it takes one login");
	if (edit->is_json && edit->action != ACTION_LIST)
		return tool_misused(NAME, "--json goes with list");
	return edit->action == ACTION_LIST ? EX_OK : take_login(edit, words[1]);
}

static int
take_options(struct edit *edit, int argc, char **argv)
{
	int option;

	while ((option = tool_option(NAME, argc, argv, ":c:h", options)) != -1) {
		if (option == 'c')
			edit->conf_file = optarg;
		else if (option == OPTION_FILE)
			edit->file = optarg;
		else if (option == OPTION_SENDERS)
			edit->senders = slice_text(optarg);
		else if (option == OPTION_JSON)
			edit->is_json = true;
		else if (option == 'h')
			edit->wants_help = true;
		else
			return EX_USAGE;
	}
	return edit->wants_help ? EX_OK : take_words(edit, argc - optind, argv + optind);
}

int
main(int argc, char **argv)
{
	struct edit edit = {.conf_file = VEREDUS_CONF, .folder = -1};

	env_hold_standard_descriptors();
	env_init_linux(&edit.env);
	arena_init(&edit.arena, edit.env.memory, CONF_ARENA_MAX);
	buffer_init(&edit.text, edit.env.memory, PASSWORDS_FILE_MAX);
	int code = take_options(&edit, argc, argv);
	if (code == EX_OK && edit.wants_help) {
		fputs(usage, stdout);
		code = tool_finish(NAME, EX_OK);
	} else if (code == EX_OK) {
		code = run(&edit);
	}
	buffer_done(&edit.text);
	arena_done(&edit.arena);
	env_done(&edit.env);
	return code;
}
