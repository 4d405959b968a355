/*
 * Questions and answers of the DNS. Everything read is bounded: a message by 64 KiB, a name by 255
 * octets, compression pointers go backwards only (so they end), a chain of CNAMEs by CHAIN_MAX.
 * Relies on the caller for matching the sender's address.
 */
#include "dns/message.h"

#define HEADER_BYTES   12
#define FLAG_RESPONSE  0x8000u
#define FLAG_TRUNCATED 0x0200u
#define FLAG_RECURSION 0x0100u
#define FLAG_SECURE    0x0020u /* AD, RFC 4035 section 3.2.3 */
#define OPCODE_MASK    0x7800u
#define RCODE_MASK     0x000fu
#define RCODE_NXDOMAIN 3u
#define TYPE_OPT       41u
#define CLASS_IN       1u
#define POINTER_MARK   0xc0u
#define LABEL_MAX      63u
#define WIRE_NAME_MAX  255u
#define CHAIN_MAX      16u
#define NEGATIVE_TTL_S 60u /* of an answer without an SOA */

struct wire {
	struct slice bytes;
	size_t at;
	bool bad;
};

/* A name as text; lower case is left to comparisons. */
struct wire_name {
	uint8_t text[WIRE_NAME_MAX];
	size_t len;
};

struct wire_record {
	struct wire_name owner;
	uint16_t type;
	uint16_t class;
	uint32_t ttl_s;
	size_t data_at;
	size_t data_len;
};

const char *
dns_type_name(enum dns_type type)
{
	switch (type) {
	case DNS_A:
		return "A";
	case DNS_NS:
		return "NS";
	case DNS_CNAME:
		return "CNAME";
	case DNS_SOA:
		return "SOA";
	case DNS_PTR:
		return "PTR";
	case DNS_MX:
		return "MX";
	case DNS_TXT:
		return "TXT";
	case DNS_AAAA:
		return "AAAA";
	case DNS_SRV:
		return "SRV";
	case DNS_TLSA:
		return "TLSA";
	}
	return "?";
}

static uint32_t
wire_take(struct wire *wire, size_t octets)
{
	uint32_t value = 0;

	if (wire->bad || octets > wire->bytes.len - wire->at) {
		wire->bad = true;
		return 0;
	}
	for (size_t i = 0; i < octets; i++)
		value = value << 8 | wire->bytes.ptr[wire->at++];
	return value;
}

static void
wire_skip(struct wire *wire, size_t octets)
{
	if (wire->bad || octets > wire->bytes.len - wire->at)
		wire->bad = true;
	else
		wire->at += octets;
}

static bool
label_is_text(struct slice label)
{
	return slice_find(label, 0, '.') < 0 && slice_find(label, 0, 0) < 0;
}

static bool
name_append_label(struct wire_name *name, struct slice label)
{
	size_t dot = name->len > 0;

	if (name->len + dot + label.len > DNS_NAME_MAX || !label_is_text(label))
		return false;
	if (dot)
		name->text[name->len++] = '.';
	memcpy(name->text + name->len, label.ptr, label.len);
	name->len += label.len;
	return true;
}

/* RFC 1035 section 4.1.4. Each pointer leads before the place where the last stretch of labels
 * began. */
static void
wire_take_name(struct wire *wire, struct wire_name *ret_name)
{
	struct wire walk = *wire;
	size_t bound = wire->at;
	bool jumped = false;

	ret_name->len = 0;
	for (;;) {
		uint32_t first = wire_take(&walk, 1);
		bool is_pointer = (first & POINTER_MARK) == POINTER_MARK;
		if (is_pointer) {
			size_t target = (first & ~POINTER_MARK) << 8 | wire_take(&walk, 1);
			if (!jumped)
				wire->at = walk.at;
			jumped = true;
			if (walk.bad || target >= bound)
				break;
			bound = target;
			walk.at = target;
			continue;
		}
		struct slice label = slice_sub(walk.bytes, walk.at, first);
		wire_skip(&walk, first);
		if (walk.bad || first > LABEL_MAX)
			break;
		if (first == 0) {
			if (!jumped)
				wire->at = walk.at;
			return;
		}
		if (!name_append_label(ret_name, label))
			break;
	}
	wire->bad = true;
}

static bool
name_is(const struct wire_name *name, struct slice text)
{
	return slice_equal_nocase(slice_of(name->text, name->len), text);
}

static void
wire_take_record(struct wire *wire, struct wire_record *ret_record)
{
	wire_take_name(wire, &ret_record->owner);
	ret_record->type = (uint16_t)wire_take(wire, 2);
	ret_record->class = (uint16_t)wire_take(wire, 2);
	ret_record->ttl_s = wire_take(wire, 4);
	if (ret_record->ttl_s > INT32_MAX) /* RFC 2181 section 8 */
		ret_record->ttl_s = 0;
	ret_record->data_len = wire_take(wire, 2);
	ret_record->data_at = wire->at;
	wire_skip(wire, ret_record->data_len);
}

static struct slice
without_final_dot(struct slice name)
{
	return slice_has_suffix(name, SLICE(".")) ? slice_sub(name, 0, name.len - 1) : name;
}

/* The label at the start. */
static struct slice
first_label(struct slice name)
{
	ssize_t dot = slice_find(name, 0, '.');

	return dot < 0 ? name : slice_sub(name, 0, (size_t)dot);
}

bool
dns_name_is_askable(struct slice name)
{
	name = without_final_dot(name);
	if (name.len > DNS_NAME_MAX)
		return false;
	while (name.len > 0) {
		struct slice label = first_label(name);
		bool is_last = label.len == name.len;
		if (label.len == 0 || label.len > LABEL_MAX || slice_find(label, 0, 0) >= 0)
			return false;
		name = slice_from(name, label.len + 1);
		if (!is_last && name.len == 0)
			return false;
	}
	return true;
}

static void
append_big(struct buffer *buffer, uint32_t value, unsigned octets)
{
	while (octets-- > 0)
		buffer_append_octet(buffer, (uint8_t)(value >> (8 * octets)));
}

static void
append_name(struct buffer *buffer, struct slice name)
{
	name = without_final_dot(name);
	while (name.len > 0) {
		struct slice label = first_label(name);
		buffer_append_octet(buffer, (uint8_t)label.len);
		buffer_append(buffer, label);
		name = slice_from(name, label.len + 1);
	}
	buffer_append_octet(buffer, 0);
}

enum error
dns_question_append(struct buffer *buffer, uint16_t id, struct slice name, enum dns_type type)
{
	if (!dns_name_is_askable(name))
		return ERROR_FORMAT;
	append_big(buffer, id, 2);
	append_big(buffer, FLAG_RECURSION | FLAG_SECURE, 2);
	append_big(buffer, 1, 2); /* questions */
	append_big(buffer, 0, 4); /* answers, authority */
	append_big(buffer, 1, 2); /* additional: OPT */
	append_name(buffer, name);
	append_big(buffer, type, 2);
	append_big(buffer, CLASS_IN, 2);
	append_name(buffer, SLICE(""));
	append_big(buffer, TYPE_OPT, 2);
	append_big(buffer, DNS_UDP_MAX, 2);
	append_big(buffer, 0, 4); /* extended rcode, version, flags */
	append_big(buffer, 0, 2);
	return buffer_error(buffer);
}

/* The strings of a TXT record, one after the other, nothing in between (RFC 7208 section 3.3, RFC
 * 6376 section 3.6.2.2). */
static bool
join_strings(struct wire *data, struct arena *arena, struct slice *ret_text)
{
	uint8_t *text = arena_take(arena, data->bytes.len - data->at + 1);
	size_t len = 0;

	while (text && data->at < data->bytes.len && !data->bad) {
		uint32_t octets = wire_take(data, 1);
		struct slice piece = slice_sub(data->bytes, data->at, octets);
		wire_skip(data, octets);
		if (data->bad)
			break;
		memcpy(text + len, piece.ptr, piece.len);
		len += piece.len;
	}
	*ret_text = slice_of(text, len);
	return text != NULL;
}

static bool
copy_name(struct wire *data, struct arena *arena, struct slice *ret_name)
{
	struct wire_name name;

	wire_take_name(data, &name);
	return arena_copy(arena, slice_of(name.text, name.len), ret_name);
}

static bool
copy_rest(struct wire *data, struct arena *arena, struct slice *ret_data)
{
	bool copied = arena_copy(arena, slice_from(data->bytes, data->at), ret_data);

	data->at = data->bytes.len;
	return copied;
}

static bool
copy_data(struct wire *data, enum dns_type type, struct arena *arena, struct dns_record *record)
{
	switch (type) {
	case DNS_MX:
		record->preference = (uint16_t)wire_take(data, 2);
		return copy_name(data, arena, &record->name);
	case DNS_SRV:
		record->preference = (uint16_t)wire_take(data, 2);
		record->weight = (uint16_t)wire_take(data, 2);
		record->port = (uint16_t)wire_take(data, 2);
		return copy_name(data, arena, &record->name);
	case DNS_CNAME:
	case DNS_NS:
	case DNS_PTR:
		return copy_name(data, arena, &record->name);
	case DNS_TXT:
		return join_strings(data, arena, &record->data);
	case DNS_TLSA:
		record->usage = (uint8_t)wire_take(data, 1);
		record->selector = (uint8_t)wire_take(data, 1);
		record->matching = (uint8_t)wire_take(data, 1);
		return copy_rest(data, arena, &record->data);
	default:
		return copy_rest(data, arena, &record->data);
	}
}

static enum error
record_parse(struct slice message, const struct wire_record *raw, enum dns_type type,
	struct arena *arena, struct dns_record *ret_record)
{
	struct wire data = {
		slice_sub(message, 0, raw->data_at + raw->data_len), raw->data_at, false};
	size_t address = type == DNS_A ? 4 : type == DNS_AAAA ? 16 : 0;

	*ret_record = (struct dns_record){.ttl_s = raw->ttl_s};
	if (!copy_data(&data, type, arena, ret_record))
		return ERROR_NO_MEMORY;
	bool is_sound = !data.bad && data.at == data.bytes.len &&
			(address == 0 || ret_record->data.len == address);
	return is_sound ? OK : ERROR_FORMAT;
}

struct answer_reader {
	struct slice message;
	size_t answers_at;
	uint32_t answer_count;
	uint32_t authority_count;
};

/* Where the chain of aliases that starts at `name` leads; its shortest time to live. */
static enum error
follow_aliases(const struct answer_reader *reader, struct wire_name *name, uint32_t *ttl_s)
{
	for (unsigned hops = 0; hops < CHAIN_MAX; hops++) {
		struct wire wire = {reader->message, reader->answers_at, false};
		struct wire_record record;
		bool moved = false;
		for (uint32_t i = 0; i < reader->answer_count && !moved; i++) {
			wire_take_record(&wire, &record);
			if (wire.bad)
				return ERROR_FORMAT;
			moved = record.type == DNS_CNAME && record.class == CLASS_IN &&
				name_is(&record.owner, slice_of(name->text, name->len));
		}
		if (!moved)
			return OK;
		struct wire data = {reader->message, record.data_at, false};
		wire_take_name(&data, name);
		if (data.bad || data.at > record.data_at + record.data_len)
			return ERROR_FORMAT;
		*ttl_s = record.ttl_s < *ttl_s ? record.ttl_s : *ttl_s;
	}
	return ERROR_FORMAT;
}

static bool
is_wanted(const struct wire_record *record, const struct wire_name *name, enum dns_type type)
{
	return record->type == type && record->class == CLASS_IN &&
	       name_is(&record->owner, slice_of(name->text, name->len));
}

static enum error
collect(const struct answer_reader *reader, const struct wire_name *name, enum dns_type type,
	struct arena *arena, struct dns_answer *answer)
{
	struct wire wire = {reader->message, reader->answers_at, false};
	struct wire_record raw;
	size_t wanted = 0;
	enum error error = OK;

	for (uint32_t i = 0; i < reader->answer_count; i++) {
		wire_take_record(&wire, &raw);
		wanted += !wire.bad && is_wanted(&raw, name, type);
	}
	struct dns_record *records = arena_take(arena, (wanted + 1) * sizeof *records);
	if (wire.bad || !records)
		return wire.bad ? ERROR_FORMAT : ERROR_NO_MEMORY;
	wire.at = reader->answers_at;
	while (error == OK && answer->count < wanted) {
		wire_take_record(&wire, &raw);
		if (!is_wanted(&raw, name, type))
			continue;
		error = record_parse(reader->message, &raw, type, arena, &records[answer->count++]);
		answer->ttl_s = raw.ttl_s < answer->ttl_s ? raw.ttl_s : answer->ttl_s;
	}
	answer->records = records;
	return error;
}

/* RFC 2308 section 5: the smaller of the SOA's time to live and its minimum. */
static uint32_t
negative_ttl(const struct answer_reader *reader)
{
	struct wire wire = {reader->message, reader->answers_at, false};
	struct wire_record record;

	for (uint32_t i = 0; i < reader->answer_count; i++)
		wire_take_record(&wire, &record);
	for (uint32_t i = 0; i < reader->authority_count && !wire.bad; i++) {
		wire_take_record(&wire, &record);
		if (wire.bad || record.type != DNS_SOA || record.data_len < 20)
			continue;
		struct wire data = {reader->message, record.data_at + record.data_len - 4, false};
		uint32_t minimum = wire_take(&data, 4);
		return minimum < record.ttl_s ? minimum : record.ttl_s;
	}
	return NEGATIVE_TTL_S;
}

static enum error
read_records(const struct answer_reader *reader, struct slice name, enum dns_type type, bool exists,
	struct arena *arena, struct dns_answer *answer)
{
	struct wire_name end = {.len = 0};

	answer->ttl_s = UINT32_MAX;
	if (name.len > DNS_NAME_MAX)
		return ERROR_FORMAT;
	memcpy(end.text, name.ptr ? name.ptr : (const uint8_t *)"", name.len);
	end.len = name.len;
	enum error error = type == DNS_CNAME ? OK : follow_aliases(reader, &end, &answer->ttl_s);
	if (error == OK)
		error = collect(reader, &end, type, arena, answer);
	if (error == OK && !arena_copy(arena, slice_of(end.text, end.len), &answer->name))
		error = ERROR_NO_MEMORY;
	if (error != OK)
		return error;
	answer->outcome = answer->count > 0 ? DNS_FOUND : exists ? DNS_NO_DATA : DNS_NO_NAME;
	if (answer->count == 0) {
		uint32_t ttl = negative_ttl(reader);
		answer->ttl_s = ttl < answer->ttl_s ? ttl : answer->ttl_s;
	}
	return OK;
}

static const char *
rcode_reason(uint32_t rcode)
{
	static const char *const reasons[] = {
		[1] = "the server says that the question is malformed",
		[2] = "the server failed (SERVFAIL)",
		[4] = "the server cannot answer this kind of question",
		[5] = "the server refuses to answer"};

	return rcode < sizeof reasons / sizeof *reasons && reasons[rcode]
		       ? reasons[rcode]
		       : "the server answers with an error that is not known";
}

/* The question that comes back with the answer is the one that was asked: a forged answer must
 * guess more than a number. */
static bool
question_is(struct wire *wire, uint32_t count, struct slice name, enum dns_type type)
{
	struct wire_name asked;

	if (count != 1)
		return false;
	wire_take_name(wire, &asked);
	uint32_t asked_type = wire_take(wire, 2), asked_class = wire_take(wire, 2);
	return !wire->bad && asked_type == type && asked_class == CLASS_IN && name_is(&asked, name);
}

enum error
dns_answer_parse(struct slice message, uint16_t id, struct slice name, enum dns_type type,
	struct arena *arena, struct dns_answer *ret_answer)
{
	struct wire wire = {message, 0, false};
	struct answer_reader reader = {.message = message};
	struct dns_answer answer = {0};

	name = without_final_dot(name);
	uint32_t answer_id = wire_take(&wire, 2), flags = wire_take(&wire, 2);
	uint32_t questions = wire_take(&wire, 2);
	reader.answer_count = wire_take(&wire, 2);
	reader.authority_count = wire_take(&wire, 2);
	wire_skip(&wire, 2);
	if (wire.bad || answer_id != id || !(flags & FLAG_RESPONSE) || (flags & OPCODE_MASK) != 0 ||
		!question_is(&wire, questions, name, type))
		return ERROR_FORMAT;
	if (flags & FLAG_TRUNCATED)
		return ERROR_LIMIT;
	reader.answers_at = wire.at;
	uint32_t rcode = flags & RCODE_MASK;
	answer.is_secure = (flags & FLAG_SECURE) != 0;
	if (rcode != 0 && rcode != RCODE_NXDOMAIN) {
		*ret_answer =
			(struct dns_answer){.outcome = DNS_FAILED, .reason = rcode_reason(rcode)};
		return OK;
	}
	enum error error = read_records(&reader, name, type, rcode == 0, arena, &answer);
	if (error == OK)
		*ret_answer = answer;
	return error;
}

void
dns_reverse_name_append(struct buffer *buffer, struct slice address)
{
	if (address.len == 4) {
		for (size_t i = 4; i-- > 0;)
			buffer_printf(buffer, "%u.", address.ptr[i]);
		buffer_append_text(buffer, "in-addr.arpa");
		return;
	}
	for (size_t i = address.len; i-- > 0;)
		buffer_printf(buffer, "%x.%x.", address.ptr[i] & 15u, address.ptr[i] >> 4);
	buffer_append_text(buffer, "ip6.arpa");
}
