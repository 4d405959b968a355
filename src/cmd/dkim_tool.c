/* `veredus dkim sign` and `veredus dkim key new`. */
#include "cmd/dkim_tool.h"
#include "cmd/tool.h"
#include "cmd/tool_message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define NAME           DKIM_COMMAND
#define FIELD_MAX      (64u << 10)
#define TXT_STRING_MAX 255

int
tool_key_read(const char *command, struct memory *memory, const char *path, struct key **ret_key)
{
	struct buffer pem;

	buffer_init(&pem, memory, KEY_FILE_MAX);
	/* At once, so that no copy stays behind when it grows. */
	if (buffer_reserve(&pem, KEY_FILE_MAX))
		buffer_clear(&pem);
	int code = tool_file_read(command, path, &pem);
	enum error error =
		code == EX_OK ? key_from_pem((struct secret){buffer_slice(&pem)}, ret_key) : OK;
	memory_wipe(pem.ptr, pem.capacity);
	buffer_done(&pem);
	if (error == ERROR_UNSUPPORTED)
		return tool_fail(command, EX_DATAERR,
			"%s is neither Ed25519 nor RSA of 1024 to 4096 bits", path);
	if (error != OK)
		return tool_fail(command, EX_DATAERR,
			"%s is no private key in PEM without a passphrase", path);
	return code;
}

static void
header_done(void *arg, struct content *content)
{
	/* A content that has no other hash has room for this one. */
	if (!dkim_sign_begin(arg, content))
		((struct dkim_signing *)arg)->key = NULL;
}

static int
append_signature(
	const struct dkim_options *options, struct dkim_signing *signing, struct content *content)
{
	struct memory *memory = options->env->memory;
	struct buffer field;

	int code = tool_message_feed(NAME, options->path, content);
	if (code != EX_OK)
		return code;
	buffer_init(&field, memory, FIELD_MAX);
	enum error error = dkim_sign_append(signing, content, memory, &field);
	if (error == ERROR_FORMAT)
		code = tool_fail(NAME, EX_DATAERR, "not signed: %s",
			content_fault(content) ? content_fault(content)
					       : "the message has not exactly one From field");
	else if (error != OK)
		code = tool_fail(NAME, EX_OSERR, "%s", error_text(error));
	else
		fwrite(field.ptr, 1, field.len, stdout);
	buffer_done(&field);
	return code;
}

static int
read_canon(const char *text, struct dkim_signing *signing)
{
	static const char *const forms[] = {
		"simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"};

	for (unsigned i = 0; i < 4; i++) {
		if (strcmp(text, forms[i]) != 0)
			continue;
		signing->header_canon = i / 2 == 0 ? CANON_SIMPLE : CANON_RELAXED;
		signing->body_canon = i % 2 == 0 ? CANON_SIMPLE : CANON_RELAXED;
		return EX_OK;
	}
	return tool_misused(NAME, "--canon %s: give it as relaxed/simple", text);
}

static int
check_names(const struct dkim_options *options)
{
	if (!options->domain || !domain_is_signable(slice_text(options->domain)))
		return tool_misused(NAME, "--domain DOMAIN is missing, or no domain");
	if (!options->selector || !domain_is_signable(slice_text(options->selector)))
		return tool_misused(NAME, "--selector NAME is missing, or no selector");
	return EX_OK;
}

int
dkim_tool_sign(const struct dkim_options *options)
{
	struct dkim_signing signing = {.domain = slice_text(options->domain),
		.selector = slice_text(options->selector),
		.names = slice_text(options->names),
		.now = options->now};
	struct key *key = NULL;

	int code = check_names(options);
	if (code == EX_OK && !options->key)
		code = tool_misused(NAME, "--key FILE is missing");
	if (code == EX_OK)
		code = read_canon(options->canon, &signing);
	if (code == EX_OK && options->names && !tag_has_item(signing.names, "from"))
		code = tool_misused(NAME, "--headers must name From");
	if (code == EX_OK)
		code = tool_key_read(NAME, options->env->memory, options->key, &key);
	if (code != EX_OK)
		return code;
	signing.key = key;
	struct content *content = content_new(options->env->memory, header_done, &signing);
	code = content ? append_signature(options, &signing, content)
		       : tool_fail(NAME, EX_OSERR, "%s", error_text(ERROR_NO_MEMORY));
	content_free(&content);
	key_free(&key);
	return code == EX_OK ? tool_finish(NAME, EX_OK) : code;
}

static bool
give_to_owner(int fd, const char *like)
{
	struct stat status;

	if (!like)
		return true;
	return stat(like, &status) == 0 &&
	       (status.st_uid == geteuid() || fchown(fd, status.st_uid, status.st_gid) == 0);
}

/* A file that was not there before, for its owner alone. */
static int
write_key(const char *path, const char *like, struct slice pem)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return tool_fail(NAME, EX_CANTCREAT, "%s: %s", path, strerror(errno));
	bool is_good = give_to_owner(fd, like) && write(fd, pem.ptr, pem.len) == (ssize_t)pem.len &&
		       fsync(fd) == 0;
	int error = errno;
	if (close(fd) == 0 && is_good)
		return EX_OK;
	unlink(path);
	return tool_fail(NAME, EX_IOERR, "%s: %s", path, strerror(error));
}

/* SELECTOR._domainkey.DOMAIN. IN TXT ( "..." "..." ) */
static void
print_record(const struct dkim_options *options, const struct key *key)
{
	uint8_t storage[2048];
	struct buffer record;

	buffer_init_fixed(&record, storage, sizeof storage);
	key_record_append(&record, key, options->env->memory);
	printf("%s._domainkey.%s. IN TXT (", options->selector, options->domain);
	for (size_t at = 0; at < record.len; at += TXT_STRING_MAX) {
		struct slice part = slice_sub(buffer_slice(&record), at, TXT_STRING_MAX);
		printf(" \"%.*s\"", SLICE_ARGS(part));
	}
	puts(" )");
}

static int
make_key(const struct dkim_options *options, struct key **ret_key)
{
	enum key_type type = options->is_ed25519 ? KEY_ED25519 : KEY_RSA;
	enum error error = key_generate(type, options->rsa_bits, ret_key);

	return error == OK ? EX_OK : tool_fail(NAME, EX_SOFTWARE, "no key could be made");
}

int
tool_key_write(const char *path, const char *like, const struct key *key)
{
	uint8_t storage[KEY_FILE_MAX];
	struct buffer pem;

	buffer_init_fixed(&pem, storage, sizeof storage);
	key_append_pem(&pem, key);
	int code = pem.error == OK ? write_key(path, like, buffer_slice(&pem))
				   : tool_fail(NAME, EX_SOFTWARE, "%s", error_text(pem.error));
	memory_wipe(storage, sizeof storage);
	return code;
}

int
dkim_tool_new_key(const struct dkim_options *options)
{
	struct key *key = NULL;

	int code = check_names(options);
	if (code == EX_OK && !options->out)
		code = tool_misused(NAME, "--out FILE is missing");
	if (code == EX_OK)
		code = make_key(options, &key);
	if (code != EX_OK)
		return code;
	code = tool_key_write(options->out, NULL, key);
	if (code == EX_OK)
		print_record(options, key);
	key_free(&key);
	return code == EX_OK ? tool_finish(NAME, EX_OK) : code;
}
