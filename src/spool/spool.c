/*
 * The spool as others see it: open, add, commit, prepare, read. Promises what spool.h says of each
 * answer; the order of flushes in spool_commit is what those promises rest on:
 *
 *   1. a journal that can be relied on (a new one after a failure, W5);
 *   2. the segment: for a new one header, folder, SEGMENT_OPEN (I1); then the batch and its flush
 * (W4);
 *   3. the journal's batch and its flush: results, the end of a segment whose batch failed,
 * SEGMENT_FREE;
 *   4. files whose SEGMENT_FREE is flushed are removed (I6).
 */
#include "spool/spool_private.h"

#include <errno.h>
#include <fcntl.h>

#define PENDING_BYTES_MIN 65536
#define SEGMENT_BYTES_MAX (UINT64_C(1) << 32)
#define JOURNAL_BYTES_MIN 65536
#define FILL_RETRY_US     (10 * US_PER_S) /* after a full disk */
#define US_PER_SECOND     ((uint64_t)US_PER_S)

static enum error
check_options(const struct spool_options *options)
{
	if (options->segment_bytes < LOGFILE_SLICE_BYTES ||
		options->segment_bytes > SEGMENT_BYTES_MAX ||
		options->segment_bytes % LOGFILE_SLICE_BYTES != 0 ||
		options->journal_bytes < JOURNAL_BYTES_MIN ||
		options->journal_bytes > SEGMENT_BYTES_MAX ||
		options->journal_bytes % LOGFILE_BLOCK_MAX != 0 || options->spare_segments < 1 ||
		options->spare_segments > SPOOL_SPARES_MAX)
		return ERROR_LIMIT;
	return OK;
}

static enum error
take_lock(struct spool *spool)
{
	struct env *env = spool->env;

	int make = spool->is_inspection ? 0 : O_CREAT;

	int fd = env->disk->openat(
		env->world, spool->dir_fd, "lock", O_RDWR | make | O_NOFOLLOW, 0600);
	if (fd == -ENOENT && spool->is_inspection)
		return OK; /* nobody has ever opened it */
	if (fd < 0)
		return error_from_errno(-fd);
	spool->lock_fd = fd;
	int locked = env->disk->lock(env->world, fd);
	return locked == -EWOULDBLOCK ? ERROR_EXISTS : error_from_errno(-locked);
}

static enum error
open_parts(struct spool *spool)
{
	uint64_t pending = spool->options.journal_bytes / 4;

	batch_image_init(&spool->pending, spool->env,
		(size_t)(pending > PENDING_BYTES_MIN ? pending : PENDING_BYTES_MIN));
	spool->added =
		memory_try(spool->env->memory, SPOOL_BATCH_MESSAGES * sizeof(struct index_entry *));
	spool->added_settles =
		memory_try(spool->env->memory, SPOOL_BATCH_MESSAGES * sizeof(struct slice));
	spool->forward.moving =
		memory_try(spool->env->memory, SPOOL_MOVES_MAX * sizeof(struct moving));
	if (!spool->added || !spool->added_settles || !spool->forward.moving)
		return ERROR_NO_MEMORY;
	return batch_init(&spool->batch, spool->env);
}

/* Begins one more pre-written segment if one is wanted. */
static enum error
spares_begin(struct spool *spool)
{
	if (spool->spare_count >= spool->options.spare_segments ||
		spool->next_segment >= LOGFILE_NUMBER_END)
		return OK;
	enum error error = spare_begin(
		spool, LOGFILE_SEGMENT, spool->next_segment, &spool->spares[spool->spare_count]);
	if (error == OK || error == ERROR_EXISTS)
		spool->next_segment++;
	if (error == OK)
		spool->spare_count++;
	return error;
}

/* So that the first mail does not wait for it. A full disk is no reason not to start. */
static void
prepare_first(struct spool *spool)
{
	if (spares_begin(spool) != OK)
		return;
	if (spare_finish(spool, &spool->spares[0]) != OK) {
		spare_drop(spool, LOGFILE_SEGMENT, &spool->spares[0]);
		spool->spare_count = 0;
	}
}

static struct spool *
spool_new(struct env *env, int dir_fd)
{
	struct spool *spool = memory_get(env->memory, sizeof *spool);

	*spool = (struct spool){.env = env,
		.dir_fd = dir_fd,
		.lock_fd = NO_FD,
		.next_sequence = 1,
		.active.fd = NO_FD,
		.journal_spare.fd = NO_FD,
		.forward.fd = NO_FD,
		.journal.fd = NO_FD};
	spool->block = logfile_block(env, dir_fd);
	index_init(&spool->index, env->memory);
	env_random(env, spool->index.text_key.bytes, SIPHASH_KEY_BYTES);
	return spool;
}

enum error
spool_open(struct env *env, int dir_fd, const struct spool_options *options,
	const struct spool_visitor *visitor, struct spool **ret_spool)
{
	struct spool *spool;

	enum error error = check_options(options);
	if (error != OK)
		return error;
	spool = spool_new(env, dir_fd);
	spool->options = *options;
	error = open_parts(spool);
	if (error == OK)
		error = take_lock(spool);
	if (error == OK)
		error = spool_recover(spool, visitor);
	if (error != OK) {
		spool_close(&spool);
		return error;
	}
	prepare_first(spool);
	spool->flushes = 0;
	*ret_spool = spool;
	return OK;
}

enum error
spool_inspect(
	struct env *env, int dir_fd, const struct spool_visitor *visitor, struct spool **ret_spool)
{
	struct spool *spool = spool_new(env, dir_fd);

	spool->is_inspection = true;
	enum error error = take_lock(spool);
	if (error == OK)
		error = spool_recover(spool, visitor);
	if (error != OK) {
		spool_close(&spool);
		return error;
	}
	*ret_spool = spool;
	return OK;
}

static void
close_fd(struct spool *spool, int *fd)
{
	if (*fd != NO_FD)
		spool->env->disk->close(spool->env->world, *fd);
	*fd = NO_FD;
}

void
spool_close(struct spool **spool)
{
	struct spool *closing = *spool;

	if (!closing)
		return;
	close_fd(closing, &closing->active.fd);
	for (uint32_t i = 0; i < closing->spare_count; i++)
		close_fd(closing, &closing->spares[i].fd);
	close_fd(closing, &closing->journal_spare.fd);
	forward_done(closing);
	journal_close(closing);
	close_fd(closing, &closing->lock_fd);
	batch_done(&closing->batch);
	batch_image_done(&closing->pending);
	index_done(&closing->index);
	memory_put(closing->env->memory, closing->segments);
	memory_put(closing->env->memory, closing->added);
	memory_put(closing->env->memory, closing->added_settles);
	memory_put(closing->env->memory, closing);
	*spool = NULL;
}

int
spool_dir_fd(const struct spool *spool)
{
	return spool->dir_fd;
}

uint64_t
spool_next_id(struct spool *spool)
{
	wall_us now = env_wall(spool->env);
	uint64_t id = spool->last_id + 1;

	if (now > 0 && (uint64_t)now > id)
		id = (uint64_t)now;
	spool->last_id = id;
	return id;
}

uint64_t
spool_message_max(const struct spool *spool)
{
	/* Two records; each may be padded. */
	uint64_t overhead = spool_message_bytes(0, 0) + 2 * RECORD_ALIGN;

	return spool->options.segment_bytes - spool->block - BATCH_HEAD_BYTES - overhead;
}

bool
spool_has_room(const struct spool *spool, uint64_t content_bytes, uint64_t payload_bytes)
{
	const struct active *active = &spool->active;
	uint64_t max = spool_message_max(spool);

	if (content_bytes > max || payload_bytes > max - content_bytes)
		return false;
	if (spool->batch.count == 0)
		return true;
	return spool->added_count + spool->forward.count < SPOOL_BATCH_MESSAGES &&
	       logfile_round_up(
		       spool->batch.bytes + spool_message_bytes(content_bytes, payload_bytes),
		       active->header.block) <= active->header.size - active->end;
}

enum error
spool_begin_batch(struct spool *spool, uint64_t bytes)
{
	if (spool->batch.count > 0)
		return OK;
	enum error error = segment_plan(spool, BATCH_HEAD_BYTES + bytes);
	if (error == OK)
		batch_begin(&spool->batch, &spool->active.header.key, spool->active.header.block,
			spool->active.end);
	return error;
}

static enum error
add_content(struct spool *spool, uint64_t queue_id, uint32_t flags, const struct iovec *pieces,
	int count, struct message_prefix *ret_prefix)
{
	struct record like = {.type = RECORD_CONTENT, .flags = flags, .queue_id = queue_id}, record;
	struct batch_payload payload = {.pieces = pieces, .count = count};
	uint64_t offset;

	enum error error = batch_add(&spool->batch, &like, &payload, &offset, &record);
	if (error != OK)
		return error;
	*ret_prefix = (struct message_prefix){
		.content = {spool->active.header.number, spool->active.header.generation, offset,
			record.size, queue_id},
		.content_crc = record.crc,
		.content_flags = flags,
	};
	return OK;
}

static enum error
add_message(struct spool *spool, const struct message_prefix *prefix, const struct addition *adding,
	struct spool_reference *ret_message)
{
	uint64_t queue_id = prefix->content.queue_id, offset;
	bool is_settling = adding->settles.len > 0;
	struct record like = {.type = adding->is_copy ? RECORD_COPY
				      : is_settling   ? RECORD_SETTLING
						      : RECORD_MESSAGE,
			      .queue_id = queue_id},
		      record;
	uint8_t bytes[MESSAGE_PREFIX_BYTES + SETTLES_HEAD_BYTES];
	struct iovec pieces[2] = {{(void *)(uintptr_t)adding->settles.ptr, adding->settles.len},
		{(void *)(uintptr_t)adding->payload.ptr, adding->payload.len}};
	struct batch_payload payload = {slice_of(bytes, MESSAGE_PREFIX_BYTES),
		is_settling ? pieces : &pieces[1], is_settling ? 2 : 1};

	message_prefix_encode(prefix, bytes);
	if (is_settling)
		settles_head_encode((uint32_t)adding->settles.len, bytes + MESSAGE_PREFIX_BYTES);
	payload.prefix.len += is_settling ? SETTLES_HEAD_BYTES : 0;
	enum error error = batch_add(&spool->batch, &like, &payload, &offset, &record);
	if (error != OK)
		return error;
	*ret_message = (struct spool_reference){spool->active.header.number,
		spool->active.header.generation, offset, record.size, queue_id};
	return OK;
}

static uint64_t
pieces_bytes(const struct iovec *pieces, int count)
{
	uint64_t bytes = 0;

	for (int i = 0; i < count; i++)
		bytes += pieces[i].iov_len;
	return bytes;
}

enum error
spool_add_records(struct spool *spool, const struct addition *adding, uint64_t queue_id,
	struct spool_reference *ret_message, struct spool_reference *ret_content)
{
	struct batch_mark mark = batch_mark(&spool->batch);
	struct message_prefix prefix;
	enum error error = OK;

	if (adding->apart)
		prefix = *adding->apart;
	else
		error = add_content(spool, queue_id, adding->content_flags, adding->content,
			adding->content_pieces, &prefix);

	if (error == OK)
		error = add_message(spool, &prefix, adding, ret_message);
	if (error != OK)
		batch_rewind(&spool->batch, mark);
	else
		*ret_content = prefix.content;
	return error;
}

/* The entry is there already. */
static enum error
add_entry(struct spool *spool, const struct addition *adding, struct index_entry *entry,
	struct spool_reference *ret_message, struct spool_reference *ret_content)
{
	enum error error =
		spool_add_records(spool, adding, entry->queue_id, ret_message, ret_content);

	if (error != OK)
		return error;
	entry->flags = ENTRY_PENDING;
	entry_set_message(entry, ret_message);
	entry_set_content(entry, ret_content);
	spool->added_settles[spool->added_count] = adding->settles;
	spool->added[spool->added_count++] = entry;
	return OK;
}

static enum error
add(struct spool *spool, uint64_t queue_id, const struct addition *adding,
	struct spool_reference *ret_message, struct spool_reference *ret_content)
{
	struct slice settles = adding->settles;
	uint64_t content_bytes = pieces_bytes(adding->content, adding->content_pieces);
	uint64_t own_bytes = adding->payload.len + SPOOL_SETTLES_BYTES(settles.len);
	struct index_entry *entry;

	if (queue_id > SPOOL_ID_MAX || settles.len > SPOOL_SETTLES_MAX ||
		!spool_has_room(spool, content_bytes, own_bytes))
		return ERROR_LIMIT;
	enum error error = settles_prepare(spool, settles);
	if (error == OK)
		error = spool_begin_batch(spool, spool_message_bytes(content_bytes, own_bytes));
	if (error == OK)
		error = index_add(&spool->index, queue_id, &entry);
	if (error != OK)
		return error;
	error = add_entry(spool, adding, entry, ret_message, ret_content);
	if (error != OK)
		index_remove(&spool->index, entry);
	else
		spool_see_id(spool, queue_id);
	return error;
}

enum error
spool_add_settling(struct spool *spool, uint64_t queue_id, const struct iovec *content,
	int content_pieces, uint32_t content_flags, struct slice payload, struct slice settles,
	struct spool_reference *ret_message, struct spool_reference *ret_content)
{
	struct addition adding = {.content = content,
		.content_pieces = content_pieces,
		.content_flags = content_flags,
		.payload = payload,
		.settles = settles};

	return add(spool, queue_id, &adding, ret_message, ret_content);
}

enum error
spool_add_apart(struct spool *spool, const struct spool_apart *apart, struct slice payload,
	struct spool_reference *ret_message, struct spool_reference *ret_content)
{
	struct addition adding = {.payload = payload, .apart = &apart->prefix};
	enum error error = apart_adopt(spool, apart);

	if (error != OK)
		return error;
	error = add(spool, apart->prefix.content.queue_id, &adding, ret_message, ret_content);
	if (error != OK)
		segment_forget(spool, apart->number);
	else
		spool->has_apart = true;
	return error;
}

enum error
spool_add_message(struct spool *spool, uint64_t queue_id, const struct iovec *content,
	int content_pieces, uint32_t content_flags, struct slice payload,
	struct spool_reference *ret_message, struct spool_reference *ret_content)
{
	return spool_add_settling(spool, queue_id, content, content_pieces, content_flags, payload,
		(struct slice){0}, ret_message, ret_content);
}

/* The original of one that was copied forward may lie where nothing can be read now: that it is
 * done has to be known when it can. */
static void
end_entry(struct spool *spool, struct index_entry *entry)
{
	segment_count_entry(spool, entry, false);
	if (entry->flags & ENTRY_COPIED && entry->queue_id <= spool->unread_floor)
		entry->flags |= ENTRY_STUB | ENTRY_DONE;
	else
		index_remove(&spool->index, entry);
}

enum error
spool_add_result(struct spool *spool, const struct spool_result *result)
{
	struct index_entry *entry = index_find(&spool->index, result->message.queue_id);

	if (!entry || entry->flags & (ENTRY_PENDING | ENTRY_STUB))
		return ERROR_NOT_FOUND;
	if (result->recipient >= SPOOL_RECIPIENTS_MAX)
		return ERROR_LIMIT;
	struct spool_result known = *result;
	known.message = entry_message(entry);
	bool is_mark = spool_kind_is_recipients(result->kind);
	/*
	 * The index knows it at once, so that a new journal's state covers it whenever that is
	 * written. Only a mark may lack memory; one that is made for a record that then finds no
	 * room is true all the same.
	 */
	enum error error = is_mark ? entry_apply(&spool->index, entry, result) : OK;
	if (error == OK)
		error = journal_add_result(spool, &known);
	if (error != OK)
		return error;
	spool->pending_results++;
	if (result->kind == SPOOL_DONE) {
		end_entry(spool, entry);
		return OK;
	}
	return is_mark ? OK : entry_apply(&spool->index, entry, result);
}

/* What a caller is told of messages that will not be taken up. */
static enum error
message_error(enum error error)
{
	return error == ERROR_NO_SPACE ? ERROR_NO_SPACE : ERROR_IO;
}

static void
settle_added(struct spool *spool, bool durable)
{
	for (uint32_t i = 0; i < spool->added_count; i++) {
		struct index_entry *entry = spool->added[i];
		entry->flags &= ~(uint32_t)ENTRY_PENDING;
		if (durable)
			segment_count_entry(spool, entry, true);
		else
			index_remove(&spool->index, entry);
		if (durable)
			settles_apply(spool, spool->added_settles[i]);
	}
	forward_settle(spool, durable);
	spool->has_apart = false;
	spool->added_count = 0;
	spool->batch.count = 0;
}

/* W5: nothing is added to this segment any more; where it ends, before that batch, is for
 * the journal. */
static void
give_segment_up(struct spool *spool, bool *ret_must_say)
{
	segment_seal(spool);
	/* Without memory for the record only a new journal's state can say it. */
	if (segment_say_ends(spool) != OK)
		spool->journal.broken = true;
	*ret_must_say = true;
	/* Should the file come back, the next batch is not taken for this one. */
	spool->next_sequence++;
}

static enum error
commit_messages(struct spool *spool, bool *ret_must_say)
{
	struct active *active = &spool->active;

	enum error error = segment_start(spool);
	if (error == OK && spool->has_apart)
		error = apart_say_open(spool);
	if (error != OK) {
		settle_added(spool, false);
		return error;
	}
	error = batch_write(&spool->batch, active->fd, spool->next_sequence);
	if (error == OK)
		error = spool_flush(spool, active->fd);
	if (error != OK) {
		give_segment_up(spool, ret_must_say);
		settle_added(spool, false);
		return error;
	}
	active->end += batch_disk_bytes(&spool->batch);
	forward_earn(spool, batch_disk_bytes(&spool->batch));
	spool->next_sequence++;
	settle_added(spool, true);
	return OK;
}

struct spool_commit
spool_commit(struct spool *spool)
{
	struct spool_commit answer = {OK, OK, 0};
	bool must_say = false, has_messages = spool->batch.count > 0;
	enum error error = OK;

	spool->flushes = 0;
	spool_see_lost_names(spool);
	if (spool->journal.broken)
		error = journal_start(spool);
	if (error != OK) {
		settle_added(spool, false);
		answer.messages = has_messages ? message_error(error) : OK;
		answer.results = spool->pending_results > 0 ? error : OK;
		answer.flushes = spool->flushes;
		return answer;
	}
	if (has_messages)
		error = commit_messages(spool, &must_say);
	answer.messages = error == OK ? OK : message_error(error);
	segment_collect(spool);
	error = journal_flush(spool);
	if (error == OK)
		segment_remove_freed(spool);
	else if (must_say)
		answer.messages = ERROR_UNKNOWN;
	answer.results = spool->pending_results > 0 ? error : OK;
	answer.flushes = spool->flushes;
	return answer;
}

/* When the next slice may be written, if `bytes` were written now. */
static void
pace(struct spool *spool, mono_us now, uint64_t bytes)
{
	uint64_t rate = spool->options.fill_bytes_per_s;

	if (rate > 0)
		spool->next_fill_at = now + (mono_us)(bytes * US_PER_SECOND / rate);
}

static bool
spare_is_ready(const struct spare *spare)
{
	return spare->filled >= spare->size && spare->flushed;
}

uint64_t
spool_room_bytes(const struct spool *spool)
{
	const struct active *active = &spool->active;
	uint64_t room = active->state == ACTIVE_STARTED && active->end < active->header.size
				? active->header.size - active->end
				: 0;

	for (uint32_t i = 0; i < spool->spare_count; i++)
		room += spare_is_ready(&spool->spares[i]) ? spool->spares[i].size : 0;
	return room;
}

static void
journal_spare_begin(struct spool *spool)
{
	if (spool->journal_spare.fd != NO_FD || spool->next_journal >= LOGFILE_NUMBER_END)
		return;
	enum error error =
		spare_begin(spool, LOGFILE_JOURNAL, spool->next_journal, &spool->journal_spare);
	if (error == OK || error == ERROR_EXISTS)
		spool->next_journal++;
}

/* The first spare that is not ready, the journal's before all: without it a full disk can't be
 * emptied (W6). Begun if need be; NULL: all are, or none can be made now. */
static struct spare *
next_spare(struct spool *spool, enum logfile_kind *ret_kind)
{
	*ret_kind = LOGFILE_JOURNAL;
	journal_spare_begin(spool);
	if (spool->journal_spare.fd != NO_FD && !spare_is_ready(&spool->journal_spare))
		return &spool->journal_spare;
	*ret_kind = LOGFILE_SEGMENT;
	for (uint32_t i = 0; i < spool->options.spare_segments; i++) {
		if (i == spool->spare_count && spares_begin(spool) != OK)
			return NULL;
		if (i < spool->spare_count && !spare_is_ready(&spool->spares[i]))
			return &spool->spares[i];
	}
	return NULL;
}

/* What can't be filled (the disk is full) gives its space back. */
static void
spare_give_up(struct spool *spool, enum logfile_kind kind, struct spare *spare)
{
	spare_drop(spool, kind, spare);
	if (kind != LOGFILE_SEGMENT)
		return;
	if (spare == &spool->spares[0])
		spool->spares[0] = spool->spares[1];
	spool->spare_count--;
}

bool
spool_prepare(struct spool *spool)
{
	enum logfile_kind kind;
	mono_us now = env_monotonic(spool->env);

	spool_see_lost_names(spool);
	if (now < spool->retry_fill_at)
		return false;
	if (now < spool->next_fill_at)
		return true;
	struct spare *spare = next_spare(spool, &kind);
	if (!spare)
		return false;
	uint64_t before = spare->filled;
	enum error error = logfile_fill(spool->env, spare->fd, &spare->filled, spare->size);
	pace(spool, now, spare->filled - before);
	if (error == OK && spare->filled == spare->size)
		error = spare_finish(spool, spare);
	if (error == OK && kind == LOGFILE_JOURNAL && spare_is_ready(spare))
		error = journal_spare_keep(spool);
	if (error == OK) {
		spool->retry_space_at = 0; /* there is room */
		return true;
	}
	spare_give_up(spool, kind, spare);
	spool->retry_fill_at = now + FILL_RETRY_US;
	return false;
}
