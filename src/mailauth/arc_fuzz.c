/* A message whose first line is what the DNS says to every question: no crash, and what can be
 * sealed makes a set of three fields. The results of its Authentication-Results are read too. */
#include "mailauth/arc.h"
#include "mailauth/auth_results.h"
#include "dns/table_test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The key of RFC 8032 section 7.1, test 1. */
static const char pem[] = "-----BEGIN PRIVATE KEY-----\n"
			  "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
			  "-----END PRIVATE KEY-----\n";

struct run {
	struct arc arc;
	struct arc_sealing sealing;
};

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
header_done(void *arg, struct content *content)
{
	struct run *run = arg;

	arc_begin(&run->arc, content);
	require(arc_seal_begin(&run->sealing, content));
}

static void
seal(struct run *run, const struct content *content, struct memory *memory)
{
	struct buffer results, fields;
	struct header_field field;
	enum arc_status status = ARC_NONE;
	struct key *key;
	bool has_status;

	buffer_init(&results, memory, 65536);
	buffer_init(&fields, memory, 1u << 20);
	require(key_from_pem((struct secret){slice_text(pem)}, &key) == OK);
	run->sealing.key = key;
	if (!content_fault(content))
		arc_collect_results(content, SLICE("id.example"), &results, &has_status, &status);
	run->sealing.results = buffer_slice(&results);
	run->sealing.cv = run->arc.count == 0 ? ARC_NONE : run->arc.status;
	enum error error = arc_seal_append(&run->sealing, &run->arc, content, memory, &fields);
	if (error == OK) {
		struct header_scanner scanner = header_scanner_of(buffer_slice(&fields));
		size_t count = 0;
		while (header_next(&scanner, &field))
			count++;
		require(count == 3 && scanner.at == fields.len);
	}
	key_free(&key);
	buffer_done(&results);
	buffer_done(&fields);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_of(data, size);
	ssize_t end = slice_find(all, 0, '\n');
	struct slice record = end < 0 ? all : slice_sub(all, 0, (size_t)end);
	const struct table_record records[] = {{"*", DNS_TXT, record}};
	struct table table = {.records = records, .count = 1};
	struct dns_source source = table_source(&table);
	struct memory *memory = memory_new(0);
	struct run run = {.sealing = {.domain = SLICE("d.example"),
				  .selector = SLICE("s"),
				  .authserv_id = SLICE("id.example")}};
	struct content *content = content_new(memory, header_done, &run);
	struct arena arena;
	struct signature_request request = {
		.dns = &source, .arena = &arena, .now = 1700000000 * US_PER_S};

	arena_init(&arena, memory, 4u << 20);
	content_feed(content, slice_from(all, record.len + 1));
	content_end(content);
	arc_check(&run.arc, content, &request, memory);
	require(run.arc.count <= ARC_SETS_MAX);
	require(run.arc.status != ARC_PASS || run.arc.count > 0);
	seal(&run, content, memory);
	arena_done(&arena);
	content_free(&content);
	memory_free(&memory);
	return 0;
}
