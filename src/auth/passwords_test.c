#include "auth/passwords.h"
#include "unit.h"

struct file {
	struct memory *memory;
	struct arena arena;
	struct passwords passwords;
	struct passwords_fault fault;
};

static enum error
parse(struct file *file, const char *text)
{
	*file = (struct file){.memory = memory_new(0)};
	arena_init(&file->arena, file->memory, PASSWORDS_FILE_MAX);
	return passwords_parse(slice_text(text), &file->arena, &file->passwords, &file->fault);
}

static void
done(struct file *file)
{
	arena_done(&file->arena);
	memory_free(&file->memory);
}

START_TEST(lines_are_read)
{
	struct file file;

	ck_assert_ok(
		parse(&file, "# who may send\n\nBob@Example.org:$y$j9T$a$b\r\n"
			     "alice@example.org:!$6$c$d:sales@example.org,*@lists.example.org\n"
			     "carl@example.org:x:"));
	ck_assert_uint_eq(file.passwords.count, 3);
	const struct password_entry *bob =
		passwords_find(&file.passwords, SLICE("bob@example.org"));
	ck_assert_ptr_nonnull(bob);
	ck_assert_slice_eq(bob->hash, "$y$j9T$a$b");
	ck_assert(!bob->is_disabled);
	const struct password_entry *alice =
		passwords_find(&file.passwords, SLICE("alice@example.org"));
	ck_assert_ptr_nonnull(alice);
	ck_assert(alice->is_disabled);
	ck_assert_slice_eq(alice->hash, "$6$c$d");
	ck_assert_slice_eq(alice->senders, "sales@example.org,*@lists.example.org");
	ck_assert_ptr_null(passwords_find(&file.passwords, SLICE("dora@example.org")));
	done(&file);
}
END_TEST

START_TEST(an_empty_file_has_nobody)
{
	struct file file;

	ck_assert_ok(parse(&file, ""));
	ck_assert_uint_eq(file.passwords.count, 0);
	ck_assert_ptr_null(passwords_find(&file.passwords, SLICE("a@b.test")));
	done(&file);
}
END_TEST

START_TEST(faults_are_named)
{
	static const struct {
		const char *text;
		size_t line;
		const char *why;
	} cases[] = {
		{"alice:x", 1, "the login is no address"},
		{"\n\"a b\"@b.test:x", 2, "the login is no address"},
		{"a@[192.0.2.1]:x", 1, "the login is no address"},
		{"a@b.test", 1, "the hash is malformed"},
		{"a@b.test:", 1, "the hash is malformed"},
		{"a@b.test:!", 1, "the hash is malformed"},
		{"a@b.test:x y", 1, "what follows the hash is no verifier of SCRAM"},
		{"a@b.test:x:y", 1, "the senders are no addresses"},
		{"a@b.test:x:c@b.test,", 1, "the senders are no addresses"},
		{"a@b.test:x:,c@b.test", 1, "the senders are no addresses"},
		{"a@b.test:x:*", 1, "the senders are no addresses"},
		{"a@b.test:x:*@", 1, "the senders are no addresses"},
		{"a@b.test:x:c@b.test:z", 1, "there are too many fields"},
		{"a@b.test:x\nc@b.test:x\nA@B.test:y", 0, "a login stands twice"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct file file;
		ck_assert_int_eq(parse(&file, cases[i].text), ERROR_FORMAT);
		ck_assert_uint_eq(file.fault.line, cases[i].line);
		ck_assert_str_eq(file.fault.why, cases[i].why);
		done(&file);
	}
}
END_TEST

UNIT_MAIN("auth/passwords", lines_are_read, an_empty_file_has_nobody, faults_are_named)
