/*
 * `veredus dmarc report`: what other servers say they saw of our mail. A program of its own, since
 * it needs an XML parser and zlib, which no session shall have in its memory. It opens what it was
 * told to, then shuts itself in: from there on it can read, write and end, and nothing else.
 */
#include "aggregate/report.h"
#include "aggregate/unpack.h"
#include "base/env.h"
#include "cmd/dmarc_show.h"
#include "cmd/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define NAME        "dmarc"
#define FILES_MAX   256
#define MEMORY_MAX  (512u << 20)
#define CPU_SECONDS 120

static const char usage[] =
	"usage: veredus dmarc report [--json] [FILE...]\n"
	"       veredus dmarc report --pending [--config FILE] [--json] [DOMAIN]\n"
	"\n"
	"Shows DMARC aggregate reports (RFC 9990): who sent mail in a domain's name, how much, "
	"and\n"
	"what SPF and DKIM said of it. A FILE is XML, or that compressed by gzip or zip, or a\n"
	"message that has it attached; without one it is on standard input.\n"
	"\n"
	"With --pending it shows what this server has collected about others' domains.\n"
	"\n"
	"      --json   an object for each report, a line each\n"
	"\n"
	"Exit code: 0; 64 wrong arguments; 65 a file is no such report (the others are shown); 66\n"
	"no such file.\n";

enum { OPTION_JSON = 256 };

static const struct option options[] = {
	{"json", no_argument, NULL, OPTION_JSON}, {"help", no_argument, NULL, 'h'}, {0}};

struct file {
	const char *path;
	int fd;
};

struct showing {
	struct memory *memory;
	struct file files[FILES_MAX];
	size_t count;
	bool is_json, wants_help;
};

static int
read_options(struct showing *s, int argc, char **argv)
{
	int option;

	while ((option = tool_option(NAME, argc, argv, ":h", options)) != -1) {
		if (option == OPTION_JSON)
			s->is_json = true;
		else if (option == 'h')
			s->wants_help = true;
		else
			return EX_USAGE;
	}
	return EX_OK;
}

/* argv[optind] is "report". */
static int
open_files(struct showing *s, int argc, char **argv)
{
	if (argc - optind - 1 > FILES_MAX)
		return tool_misused(NAME, "more than %d files at once", FILES_MAX);
	for (int i = optind + 1; i < argc; i++) {
		bool is_stdin = strcmp(argv[i], "-") == 0;
		int fd = is_stdin ? STDIN_FILENO : open(argv[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return tool_fail(NAME, EX_NOINPUT, "%s: %s", argv[i], strerror(errno));
		s->files[s->count++] = (struct file){is_stdin ? "standard input" : argv[i], fd};
	}
	if (s->count == 0)
		s->files[s->count++] = (struct file){"standard input", STDIN_FILENO};
	return EX_OK;
}

static bool
allow_calls(scmp_filter_ctx filter)
{
	static const int calls[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev),
		SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek),
		SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
		SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(rt_sigreturn),
		SCMP_SYS(exit_group)};

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			return false;
	/* Memory, never to be executed; whether the output is a terminal. */
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
		       SCMP_A2(SCMP_CMP_MASKED_EQ, 4, 0)) == 0 &&
	       seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
		       SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, TCGETS)) == 0;
}

static int
shut_in(void)
{
	struct rlimit cpu = {CPU_SECONDS, CPU_SECONDS};

	if (SANITIZED)
		return EX_OK;
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	bool is_done = filter && setrlimit(RLIMIT_CPU, &cpu) == 0 && allow_calls(filter) &&
		       seccomp_load(filter) == 0;
	seccomp_release(filter);
	return is_done ? EX_OK
		       : tool_fail(NAME, EX_OSERR,
				 "this kernel does not let the program give up its rights");
}

/* One octet more than may be is kept, so that too much is seen. */
static int
read_file(const struct file *file, struct buffer *input)
{
	static uint8_t piece[64u << 10];
	ssize_t got;

	while (input->len <= UNPACK_INPUT_MAX && (got = read(file->fd, piece, sizeof piece)) != 0) {
		if (got < 0)
			return tool_fail(NAME, EX_IOERR, "%s: %s", file->path, strerror(errno));
		buffer_append(input, slice_of(piece, (size_t)got));
	}
	return buffer_error(input) == OK
		       ? EX_OK
		       : tool_fail(NAME, EX_OSERR, "%s", error_text(ERROR_NO_MEMORY));
}

static int
complain(const struct file *file, const char *why, uint64_t line)
{
	if (line == 0)
		return tool_fail(NAME, EX_DATAERR, "%s: %s", file->path, why);
	return tool_fail(NAME, EX_DATAERR, "%s: line %llu of its XML: %s", file->path,
		(unsigned long long)line, why);
}

static int
show_xml(const struct showing *s, const struct file *file, struct slice xml)
{
	struct arena arena;
	struct aggregate_report report;
	struct buffer text;
	const char *why = NULL;
	uint64_t line;
	int code = EX_OK;

	arena_init(&arena, s->memory, AGGREGATE_ARENA_BYTES);
	buffer_init(&text, s->memory, MEMORY_MAX);
	if (aggregate_parse(xml, &arena, &report, &why, &line) != OK)
		code = complain(file, why, line);
	else if (!s->is_json)
		dmarc_report_print(&text, &report);
	else
		dmarc_report_json(&text, file->path, &report);
	if (text.len > 0 && s->is_json)
		buffer_append_octet(&text, '\n');
	if (buffer_error(&text) != OK)
		code = tool_fail(NAME, EX_OSERR, "%s", error_text(ERROR_NO_MEMORY));
	else
		fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	arena_done(&arena);
	return code;
}

static int
show(const struct showing *s, const struct file *file)
{
	struct buffer input, xml;
	const char *why = NULL;

	buffer_init(&input, s->memory, UNPACK_INPUT_MAX + (64u << 10));
	buffer_init(&xml, s->memory, UNPACK_XML_MAX);
	int code = read_file(file, &input);
	if (code == EX_OK && unpack_report(buffer_slice(&input), s->memory, &xml, &why) != OK)
		code = complain(file, why, 0);
	buffer_done(&input);
	if (code == EX_OK)
		code = show_xml(s, file, buffer_slice(&xml));
	buffer_done(&xml);
	return code;
}

static int
show_all(const struct showing *s)
{
	int worst = EX_OK;

	for (size_t i = 0; i < s->count; i++) {
		int code = show(s, &s->files[i]);
		worst = worst == EX_OK ? code : worst;
	}
	return tool_finish(NAME, worst);
}

int
main(int argc, char **argv)
{
	struct showing s = {0};

	env_hold_standard_descriptors();
	s.memory = memory_new(MEMORY_MAX);
	int code = read_options(&s, argc, argv);
	if (code == EX_OK && s.wants_help) {
		fputs(usage, stdout);
		code = tool_finish(NAME, EX_OK);
	} else {
		if (code == EX_OK)
			code = open_files(&s, argc, argv);
		if (code == EX_OK)
			code = shut_in();
		if (code == EX_OK)
			code = show_all(&s);
	}
	memory_free(&s.memory);
	return code;
}
