"""Faults to plant: changes of the source that break a promise. The model must find each of them; if it does not, it looks in the wrong
places. A change is (file, exact old text, new text); the old text must be there once."""
from collections import namedtuple

# `workload` is the one that must find it. `arguments` go to crash-model, where the seed at hand would take long.
Fault = namedtuple('Fault', 'name workload changes arguments', defaults=((),))

SPOOL = 'src/spool/spool.c'
SEGMENT = 'src/spool/segment.c'
JOURNAL = 'src/spool/journal.c'
RECORDS = 'src/spool/journal_records.c'
FILES = 'src/spool/files.c'
FORWARD = 'src/spool/forward.c'
APART = 'src/spool/apart.c'
RECOVER_SEGMENTS = 'src/spool/recover_segments.c'
MAILDIR = 'src/mailbox/maildir.c'
MAILDIR_FLUSH = 'src/mailbox/maildir_flush.c'
MAILDIR_FOLDER = 'src/mailbox/maildir_folder.c'

FLUSH_BATCH = """	error = batch_write(&spool->batch, active->fd, spool->next_sequence);
	if (error == OK)
		error = spool_flush(spool, active->fd);
"""
FLUSH_JOURNAL = """		&journal->header, journal->end, journal->sequence);
	if (error == OK)
		error = spool_flush(spool, journal->fd);
"""
START_SEGMENT = """	enum error error = segment_start(spool);
	if (error == OK && spool->has_apart)
		error = apart_say_open(spool);
	if (error != OK) {
		settle_added(spool, false);
		return error;
	}
	error = batch_write"""
JOURNAL_OPEN = """		error = journal_add_segment(spool, RECORD_SEGMENT_OPEN, segment);
	if (error == OK)
		error = journal_flush(spool);
"""
FILES_PUBLISH = """		batch_flush(batch);
		batch_publish(batch);
"""

FAULTS = [
    Fault('failures left out of the state', 'spool', [(RECORDS, ' | ENTRY_FAILED | ', ' | ')]),
    Fault('told delays left out of the state', 'spool', [(RECORDS, 'ENTRY_FAILED | ENTRY_DELAY_TOLD |', 'ENTRY_FAILED |')]),
    Fault('report and failure in different batches', 'spool', [
        (SPOOL, 'bool is_settling = adding->settles.len > 0;', 'bool is_settling = adding->settles.len > SPOOL_SETTLES_MAX;')]),
    Fault('content file referred to before its flush', 'spool', [(APART, """		error = write_heads(env, apart);
	if (error == OK)
		error = error_from_errno(-env->disk->fdatasync(env->world, apart->fd));
""", """		error = write_heads(env, apart);
""")]),
    Fault('content file referred to before its name is durable', 'spool', [
        (APART, 'return error == OK ? flush_name(env, dir_fd, apart) : error;', 'return error == OK && !dir_fd ? flush_name(env, dir_fd, apart) : error;')]),
    Fault('segment flush left out', 'spool', [(SPOOL, FLUSH_BATCH, FLUSH_BATCH.split('	if')[0])]),
    Fault('journal flush left out', 'spool', [(JOURNAL, FLUSH_JOURNAL, FLUSH_JOURNAL.split('	if')[0])]),
    Fault('new journal not flushed', 'spool', [(JOURNAL, """		error = spool_flush(spool, fresh->file.fd);
	if (error == OK)
		error = spool_flush_folder(spool);
""", """		error = spool_flush_folder(spool);
""")]),
    Fault('folder of a new journal not flushed', 'spool', [(JOURNAL, """	if (error == OK)
		error = spool_flush_folder(spool);
	return error;
""", '	return error;\n')]),
    Fault('folder of a new segment not flushed', 'spool', [(SEGMENT, """	if (error == OK)
		error = spool_flush_folder(spool);
	return error;
""", '	return error;\n')]),
    Fault('header of a new segment not flushed', 'spool', [(SEGMENT, """	if (error == OK)
		error = spool_flush(spool, fd);
	if (error == OK)
		error = spool_flush_folder(spool);
""", """	if (error == OK)
		error = spool_flush_folder(spool);
""")]),
    Fault('SEGMENT_OPEN after the first batch', 'spool', [(SEGMENT, JOURNAL_OPEN,
                                                           '		error = journal_add_segment(spool, RECORD_SEGMENT_OPEN, segment);\n')]),
    Fault('journal before segment', 'spool', [(SPOOL, """	if (has_messages)
		error = commit_messages(spool, &must_say);
""", """	error = journal_flush(spool);
	if (error == OK && has_messages)
		error = commit_messages(spool, &must_say);
	answer.flushes = spool->flushes;
	if (has_messages)
		return answer;
""")]),
    Fault('check not keyed', 'spool', [('src/spool/batch.c', """#include "spool/batch.h"
""", """#include "spool/batch.h"
#define siphash(key, bytes) siphash(&(const struct siphash_key){{0}}, ((void)(key), (bytes)))
""")], ('--failing', 'none')),
    Fault('two batches in one block', 'spool', [
        ('src/spool/batch.h', 'uint64_t batch_disk_bytes(const struct batch *batch);',
         'uint64_t batch_disk_bytes(const struct batch *batch);\n#define BATCH_UNIT 512'),
        (SPOOL, '	active->end += batch_disk_bytes(&spool->batch);\n',
         '	active->end += logfile_round_up(spool->batch.bytes, BATCH_UNIT);\n'),
        ('src/spool/reader.c', """		batch.offset < reader->size; batch.offset += reader->header.block) {""",
         """		batch.offset < reader->size; batch.offset += 512) {"""),
        ('src/spool/reader.c', """	for (batch.offset = logfile_round_up(from, reader->header.block);""",
         """	for (batch.offset = logfile_round_up(from, 512);"""),
        ('src/spool/reader.c', """	return logfile_round_up(batch->end, reader->header.block);
}""", """	return logfile_round_up(batch->end, reader->header.kind == LOGFILE_SEGMENT ? 512 : reader->header.block);
}""")]),
    Fault('segment removed before its results are flushed', 'spool', [(SPOOL, """	segment_collect(spool);
	error = journal_flush(spool);
	if (error == OK)
		segment_remove_freed(spool);
""", """	segment_collect(spool);
	segment_remove_freed(spool);
	error = journal_flush(spool);
	if (error == OK)
		segment_remove_freed(spool);
""")], ('--failing', 'flush')),
    Fault('a batch is written before the flush of the one before', 'spool', [(SPOOL, """	if (error == OK)
		error = spool_flush(spool, active->fd);
	if (error != OK) {
		give_segment_up""", """	if (error == OK && spool->next_sequence % 2 == 0)
		error = spool_flush(spool, active->fd);
	if (error != OK) {
		give_segment_up""")]),
    Fault('failed flush called success', 'spool', [(FILES, """	return error_from_errno(-spool->env->disk->fdatasync(spool->env->world, fd));
""", """	(void)spool->env->disk->fdatasync(spool->env->world, fd);
	return OK;
""")]),
    Fault('failed flush repeated', 'spool', [(FILES, """	return error_from_errno(-spool->env->disk->fdatasync(spool->env->world, fd));
""", """	int result = spool->env->disk->fdatasync(spool->env->world, fd);
	if (result < 0)
		result = spool->env->disk->fdatasync(spool->env->world, fd);
	return error_from_errno(-result);
""")]),
    Fault('failed batch not declared void', 'spool', [(SPOOL, 'if (segment_say_ends(spool) != OK)', 'if (!spool)')]),
    Fault('number of a failed batch given again', 'spool', [(SPOOL, """	/* Should the file come back, the next batch is not taken for this one. */
	spool->next_sequence++;
""", '')]),
    Fault('spare used after its name may be lost', 'spool', [(FILES, """	if (lost != spool->names_lost_seen)
		spares_drop(spool);
""", """	if (lost == UINT32_MAX)
		spares_drop(spool);
""")], ('--failing', 'flush-folder')),
    Fault('journal kept ready before its flush', 'spool', [
        (SPOOL, 'if (error == OK && kind == LOGFILE_JOURNAL && spare_is_ready(spare))', 'if (kind == LOGFILE_JOURNAL && spare->filled == spare->size)')],
          ('--seed', '4')),
    Fault('recovery relies on what is not flushed', 'spool', [
        ('src/spool/recover_segments.c', 'spool_flush(recovery->spool, walk.reader.fd) != OK)', '!walk.reader.env)')]),
    Fault('old journal removed before the new one is flushed', 'spool', [('src/spool/recover.c', """	error = journal_start(recovery->spool);
	if (error != OK)
		return error;
	if (!is_sure)
		remove_unused(recovery);
	remove_superseded(recovery);
""", """	remove_superseded(recovery);
	error = journal_start(recovery->spool);
	if (error != OK)
		return error;
""")]),
    Fault('read error believed', 'spool', [('src/spool/reader.c', """	if (error != OK && error != ERROR_DAMAGED && reader->error == OK)
		reader->error = error;
""", """	if (error == ERROR_COUNT)
		reader->error = error;
""")], ('--seed', '1')),
    Fault('straggler freed before its copy is flushed', 'spool', [(SPOOL, """	if (error == OK)
		error = spool_flush(spool, active->fd);
	if (error != OK) {
		give_segment_up""", """	if (error == OK && spool->added_count > 0)
		error = spool_flush(spool, active->fd);
	if (error != OK) {
		give_segment_up""")]),
    Fault('straggler freed before MOVED is durable', 'spool', [(SPOOL, """	segment_collect(spool);
	error = journal_flush(spool);
	if (error == OK)
		segment_remove_freed(spool);
""", """	for (size_t i = 0; i < spool->segment_count; i++)
		spool->segments[i].flags |= spool->segments[i].is_left && spool->segments[i].live == 0 ? SEGMENT_FREEING : 0;
	if (spool_moved(spool, 0))
		segment_remove_freed(spool);
	segment_collect(spool);
	error = journal_flush(spool);
	if (error == OK)
		segment_remove_freed(spool);
""")]),
    Fault('MOVED left out', 'spool', [(FORWARD, 'if (journal_add_moved(spool, to) != OK)', 'if (!spool)')]),
    Fault('copy counts though the journal does not say so', 'spool', [
        (RECOVER_SEGMENTS, 'if (found->record.type == RECORD_COPY &&', 'if (found->record.type == RECORD_COPY && !found->record.size &&')], ('--failing', 'flush')),
    Fault('Maildir: file not flushed', 'maildir', [(MAILDIR, '	maildir_flush_all(batch->maildir, batch->flushes, flush_count);\n', '')]),
    Fault('Maildir: folder not flushed', 'maildir', [(MAILDIR, '	maildir_folders_flush(batch);\n', '')]),
    Fault('Maildir: folders above a new one not flushed', 'maildir', [
        (MAILDIR_FOLDER, '	for (int i = folder->node; i >= 0 && error == OK; i = batch->nodes[i].parent)\n		error = node_want_flush',
         '	for (int i = folder->node; i == folder->node && error == OK; i = batch->nodes[i].parent)\n		error = node_want_flush')]),
    Fault('Maildir: rename before flush', 'maildir', [(MAILDIR, FILES_PUBLISH, """		for (size_t i = 0; i < part; i++)
			if (batch->files[i].state == FILE_WRITTEN)
				batch->files[i].state = FILE_FLUSHED;
		batch_publish(batch);
		batch_flush(batch);
""")]),
    Fault('Maildir: failed flush called success', 'maildir', [(MAILDIR_FLUSH, """		enum error error = together ? OK : flush_one(maildir, volume, flushes[i].fd);
""", """		enum error error = together || flush_one(maildir, volume, flushes[i].fd) != OK ? OK : OK;
""")]),
    Fault('Maildir: a file whose folder was not flushed is not taken back', 'maildir', [(MAILDIR, 'if (file->state == FILE_PUBLISHED)',
                                                                                        'if (file->state == FILE_WAITING)')]),
    Fault('Maildir: folders that were not flushed are not taken back', 'maildir', [(MAILDIR_FOLDER, """		else
			folder_take_back(batch, folder);
""", """		if (folder->error == ERROR_COUNT)
			folder_take_back(batch, folder);
""")]),
]
