/*
 * What the Maildir code is made to do: deliveries one by one and in batches (few: each file is
 * flushed; many: one syncfs), into Maildirs that are there or not, repeated after failures and
 * sometimes after success, while a reader moves files to cur/. The judge: what was called delivered
 * is there once and whole, whatever is in new/ or cur/ is whole and there once, and after every
 * crash all deliveries, tried again, leave one file each.
 */
#include "crash.h"

#include "mailbox/maildir.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAILS_MAX   24
#define STEPS       9
#define HEAD        "Return-Path: <>\r\n"
#define HEAD_LF     "Return-Path: <>\n"
#define TEXT_MAX    2200
#define BATCH_MANY  10
#define REPEAT_SOME 3

struct mail {
	uint64_t queue_id;
	uint32_t recipient;
	const char *path;
	uint8_t *crlf;
	size_t crlf_len;
	uint8_t *lf; /* as it shall be in the file */
	size_t lf_len;
	bool tried;
	bool delivered;
	uint32_t found;
	uint32_t inode; /* where it was found */
};

struct mail_ledger {
	struct mail mails[MAILS_MAX];
	uint32_t count;
};

struct mail_work {
	struct crash_run *run;
	struct model_disk *disk;
	struct env env;
	struct maildir maildir;
	struct mail_ledger *ledger;
};

static const char *const paths[] = {"a", "b", "d/e", "d/f"};

static uint64_t
below(struct mail_work *work, uint64_t bound)
{
	return crash_random(work->run, bound);
}

static void
add_line(struct mail *mail, const char *text)
{
	size_t len = strlen(text);

	memcpy(mail->crlf + mail->crlf_len, text, len);
	memcpy(mail->crlf + mail->crlf_len + len, "\r\n", 2);
	memcpy(mail->lf + mail->lf_len, text, len);
	mail->lf[mail->lf_len + len] = '\n';
	mail->crlf_len += len + 2;
	mail->lf_len += len + 1;
}

static void
add_mail(struct mail_work *work)
{
	struct mail_ledger *ledger = work->ledger;
	struct mail *mail = &ledger->mails[ledger->count];
	char line[80];

	*mail = (struct mail){.queue_id = 1000 + ledger->count / 2,
		.recipient = ledger->count % 2,
		.path = paths[below(work, 4)],
		.crlf = memory_get(work->env.memory, TEXT_MAX + 200),
		.lf = memory_get(work->env.memory, TEXT_MAX + 200)};
	memcpy(mail->lf, HEAD_LF, sizeof HEAD_LF - 1);
	mail->lf_len = sizeof HEAD_LF - 1;
	snprintf(line, sizeof line, "Subject: %u", ledger->count);
	add_line(mail, line);
	for (uint64_t lines = below(work, 4) * below(work, 9); lines > 0; lines--) {
		snprintf(line, sizeof line, "%u line %" PRIu64 " %016" PRIx64 "%016" PRIx64,
			ledger->count, lines, mix64(lines), mix64(lines + ledger->count));
		add_line(mail, line);
	}
	ledger->count++;
}

static void
deliver(struct mail_work *work, struct mail **mails, size_t count, bool repeated)
{
	struct maildir_delivery deliveries[MAILS_MAX];

	for (size_t i = 0; i < count; i++)
		deliveries[i] = (struct maildir_delivery){.path = slice_text(mails[i]->path),
			.queue_id = mails[i]->queue_id,
			.recipient = mails[i]->recipient,
			.received_at = 77 * US_PER_S,
			.head = SLICE(HEAD),
			.content = {-1, 0, 0, slice_of(mails[i]->crlf, mails[i]->crlf_len)},
			.first_attempt = !repeated && !mails[i]->tried};
	for (size_t i = 0; i < count && !repeated; i++)
		mails[i]->tried = true;
	maildir_deliver_batch(&work->maildir, deliveries, count);
	for (size_t i = 0; i < count; i++) {
		bool delivered = deliveries[i].result.status == MAILDIR_DELIVERED;
		if (!delivered && !work->disk->fault_hit)
			crash_fail(work->run,
				"delivery %" PRIu64 "/%u fails on a disk that is well: %s",
				mails[i]->queue_id, mails[i]->recipient, deliveries[i].result.text);
		if (!repeated)
			mails[i]->delivered = mails[i]->delivered || delivered;
	}
}

static void
judge_file(struct crash_run *run, const struct model_disk *disk, uint32_t inode, const char *path,
	const char *name)
{
	struct mail_ledger *ledger = run->ledger;
	uint8_t bytes[TEXT_MAX + 200];

	size_t len = model_read(disk, inode, bytes, sizeof bytes, 0);
	for (uint32_t i = 0; i < ledger->count; i++) {
		struct mail *mail = &ledger->mails[i];
		if (strcmp(mail->path, path) != 0 || mail->lf_len != len ||
			memcmp(mail->lf, bytes, len) != 0)
			continue;
		/* A move to cur/ of which half is there: two names, one file. */
		if (mail->found++ > 0 && mail->inode != inode)
			crash_fail(run, "%" PRIu64 "/%u is in its Maildir twice", mail->queue_id,
				mail->recipient);
		mail->inode = inode;
		return;
	}
	crash_fail(run, "%s/.../%s of %zu octets is no whole message", path, name, len);
}

static uint32_t
find_path(const struct model_disk *disk, const char *path)
{
	uint32_t inode = MODEL_ROOT;
	char name[8] = {0};

	for (size_t i = 0; path[i] && inode != NO_INODE; i += path[i] == '/') {
		for (size_t len = 0; path[i] && path[i] != '/'; i++) {
			name[len++] = path[i];
			name[len] = 0;
		}
		inode = model_find(disk, inode, name);
	}
	return inode;
}

static void
judge(struct crash_run *run, const struct model_disk *disk, bool all)
{
	struct mail_ledger *ledger = run->ledger;

	for (uint32_t i = 0; i < ledger->count; i++)
		ledger->mails[i].found = 0;
	for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
		uint32_t maildir = find_path(disk, paths[p]);
		for (int part = 0; part < 2 && maildir != NO_INODE; part++) {
			uint32_t folder = model_find(disk, maildir, part ? "cur" : "new");
			if (folder == NO_INODE)
				continue;
			const struct entries *entries = disk->inodes[folder].entries;
			for (uint32_t i = 0; i < entries->count; i++)
				judge_file(run, disk, entries->list[i].inode, paths[p],
					entries->list[i].name->text);
		}
	}
	for (uint32_t i = 0; i < ledger->count; i++) {
		struct mail *mail = &ledger->mails[i];
		if (mail->found == 0 && (all || mail->delivered))
			crash_fail(run, "%" PRIu64 "/%u was delivered and is not there",
				mail->queue_id, mail->recipient);
	}
}

static void
maildir_check(struct crash_run *run, struct model_disk *disk, uint64_t seed)
{
	struct mail_ledger *ledger = run->ledger;
	struct mail_work work = {.run = run, .disk = disk, .ledger = ledger};
	struct mail *mails[MAILS_MAX];
	struct inner_crash inner;
	size_t count = 0;

	judge(run, disk, false);
	if (run->depth > 1 && seed % 8 != 0)
		return;
	disk->random = seed;
	model_env_init(&work.env, disk);
	maildir_init(&work.maildir, &work.env, model_root_open(disk), SLICE("host.test"));
	for (uint32_t i = 0; i < ledger->count; i++)
		mails[count++] = &ledger->mails[i];
	if (disk->tracks)
		crash_watch(run, disk, &inner, seed);
	/* Results may have been lost with the spool's last moment: all are tried again. */
	for (size_t at = 0; at < count;) {
		size_t part = mix64(seed + at) % 4 == 0 ? count - at : 1;
		run->step = "after a crash while deliveries were repeated";
		deliver(&work, mails + at, part, true);
		at += part;
	}
	run->step = "after repeated deliveries";
	disk->before_call = NULL;
	judge(run, disk, true);
	model_env_done(&work.env);
}

static void
run_batch(struct mail_work *work)
{
	struct mail_ledger *ledger = work->ledger;
	struct mail *mails[MAILS_MAX];
	size_t count = 0, fresh = below(work, 5) == 0 ? BATCH_MANY : 1 + below(work, 3);

	for (; fresh > 0 && ledger->count < MAILS_MAX; fresh--)
		add_mail(work);
	for (uint32_t i = 0; i < ledger->count; i++) {
		struct mail *mail = &ledger->mails[i];
		/* A result that got lost is asked for again. */
		if (!mail->delivered || below(work, 12) == 0)
			mails[count++] = mail;
	}
	deliver(work, mails, count, false);
	if (work->run->at.fault < FAULT_DEAD_EIO || !model_diverged(work->disk))
		crash_answered(work->run, work->disk);
}

/* A mail program has seen one. */
static void
run_reader(struct mail_work *work)
{
	struct model_disk *disk = work->disk;
	uint32_t maildir = find_path(disk, paths[below(work, 4)]);
	char name[300];

	if (maildir == NO_INODE)
		return;
	uint32_t from = model_find(disk, maildir, "new"), to = model_find(disk, maildir, "cur");
	if (from == NO_INODE || to == NO_INODE || disk->inodes[from].entries->count == 0)
		return;
	struct folder_entry entry = disk->inodes[from].entries->list[0];
	snprintf(name, sizeof name, "%s:2,S", entry.name->text);
	model_move(disk, from, entry.name->text, to, name);
}

static void
maildir_run(struct crash_run *run, struct model_disk *disk)
{
	struct mail_work work = {.run = run, .disk = disk};

	model_env_init(&work.env, disk);
	work.ledger = memory_get(work.env.memory, sizeof *work.ledger);
	run->ledger = work.ledger;
	maildir_init(&work.maildir, &work.env, model_root_open(disk), SLICE("host.test"));
	for (int i = 0; i < STEPS; i++) {
		if (below(&work, 4) == 0)
			run_reader(&work);
		run_batch(&work);
		/* What could neither be flushed nor taken back can't be told from what was. */
		if (run->at.fault >= FAULT_DEAD_EIO && model_diverged(disk))
			goto over;
	}
	/* The disk is well again, and what failed is tried once more. */
	disk->fault = FAULT_NONE;
	run_batch(&work);
	judge(run, disk, true);
over:
	disk->before_call = NULL;
	run->ledger = NULL;
	model_env_done(&work.env);
}

const struct workload workload_maildir = {"maildir", maildir_run, maildir_check};
