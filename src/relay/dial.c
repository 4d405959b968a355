/* A task for each address, started one after the other; the group ends before dial returns, so that
 * all lives on the caller's stack. */
#include "relay/dial.h"

struct race;

struct runner {
	struct race *race;
	const struct endpoint *address;
	struct socket_stream socket;
	size_t index;
};

struct race {
	struct loop *loop;
	mono_us deadline;
	struct task_event changed;
	struct runner *winner;
	size_t running;
	enum error last_error;
};

static void
runner_run(void *arg)
{
	struct runner *runner = arg;
	struct race *race = runner->race;
	enum error error =
		socket_stream_connect(&runner->socket, race->loop, runner->address, race->deadline);

	race->running--;
	if (error == OK && race->winner)
		stream_close(&runner->socket.stream);
	else if (error == OK)
		race->winner = runner;
	else if (error != ERROR_CANCELLED)
		race->last_error = error;
	task_event_signal(&race->changed);
}

static mono_us
sooner(mono_us a, mono_us b)
{
	return a < b ? a : b;
}

/* May wait: until one has won, or all that run have failed, or it is the next one's turn. */
static enum error
await_change(struct race *race, bool more_to_come)
{
	mono_us turn = more_to_come ? loop_deadline(race->loop, DIAL_STAGGER_US) : race->deadline;

	while (!race->winner && race->running > 0) {
		size_t running = race->running;
		enum error error =
			task_event_wait(race->loop, &race->changed, sooner(turn, race->deadline));
		if (error != OK)
			return error == ERROR_TIMEOUT && more_to_come ? OK : error;
		if (more_to_come && race->running < running)
			return OK;
	}
	return OK;
}

/* May wait. */
static enum error
run_race(struct race *race, struct task_group *group, struct runner *runners, size_t count)
{
	enum error error = OK;

	for (size_t i = 0; error == OK && i < count && !race->winner; i++) {
		error = task_start(group, "dial", runner_run, &runners[i]);
		race->running += error == OK;
		if (error == OK)
			error = await_change(race, i + 1 < count);
	}
	task_group_cancel(group);
	task_group_wait(group);
	return error;
}

/* The socket under its final watch. */
static enum error
take_socket(struct runner *winner, struct loop *loop, struct socket_stream *ret_socket)
{
	int fd = winner->socket.watch.fd;

	watch_close(&winner->socket.watch);
	return socket_stream_open(ret_socket, loop, fd);
}

enum error
dial(struct loop *loop, const struct endpoint *addresses, size_t count, mono_us deadline,
	struct socket_stream *ret_socket, size_t *ret_chosen)
{
	struct race race = {.loop = loop, .deadline = deadline, .last_error = ERROR_TIMEOUT};
	struct runner *runners = memory_get(loop_env(loop)->memory, DIAL_MAX * sizeof *runners);
	struct task_group group;

	task_group_init(&group, loop);
	task_event_init(&race.changed);
	count = count < DIAL_MAX ? count : DIAL_MAX;
	for (size_t i = 0; i < count; i++)
		runners[i] = (struct runner){.race = &race, .address = &addresses[i], .index = i};
	enum error error = run_race(&race, &group, runners, count);
	if (race.winner) {
		*ret_chosen = race.winner->index;
		error = take_socket(race.winner, loop, ret_socket);
	} else if (error == OK) {
		error = race.last_error;
	}
	memory_put(loop_env(loop)->memory, runners);
	return error;
}
