/*
 * Lanes that an operator has paused, by patterns of their names: what lies in one stays there, what
 * is under way ends. A lane made later is paused too if a pattern means it. Patterns live as long
 * as this process.
 */
#include "queue/control_private.h"

static bool
means_lane(struct slice pattern, const struct queue_lane *lane)
{
	uint8_t storage[LANE_TEXT_MAX];
	struct buffer name;

	buffer_init_fixed(&name, storage, sizeof storage);
	buffer_append_text(&name, transport_name(lane->transport));
	buffer_append_octet(&name, ' ');
	buffer_append(&name, lane->name);
	return glob_matches(pattern, buffer_slice(&name));
}

bool
pauses_mean(const struct queue_service *service, const struct queue_lane *lane)
{
	bool mean = false;

	for (size_t i = 0; i < service->pauses.count; i++)
		mean |= means_lane(service->pauses.patterns[i], lane);
	return mean;
}

/* May wait, for nothing. After a change: carriers of lanes that go on have work. */
static void
apply(struct queue_service *service)
{
	for (uint32_t i = 0; i < LANE_BUCKETS; i++)
		for (struct queue_lane *lane = service->lane_buckets[i]; lane; lane = lane->next) {
			bool is_paused = pauses_mean(service, lane);
			if (lane->lane.is_paused == is_paused)
				continue;
			lane_set_paused(&lane->lane, &lane->carrier->pool, is_paused);
			if (!is_paused)
				carrier_has_work(lane->carrier);
		}
}

static size_t
find_pattern(const struct pauses *pauses, struct slice pattern)
{
	size_t i = 0;

	while (i < pauses->count && !slice_equal(pauses->patterns[i], pattern))
		i++;
	return i;
}

static void
log_pause(struct queue_service *service, const char *event, struct slice pattern)
{
	log_event(service->env, LOG_WARNING, event, LOG_SLICE("lane", pattern),
		LOG_STRING("cause", "operator"));
}

enum error
pause_add(struct queue_service *service, struct slice pattern)
{
	struct pauses *pauses = &service->pauses;

	if (find_pattern(pauses, pattern) < pauses->count)
		return OK;
	if (pauses->count == PAUSES_MAX)
		return ERROR_LIMIT;
	uint8_t *copy = memory_try(service->env->memory, pattern.len);
	if (!copy)
		return ERROR_NO_MEMORY;
	memcpy(copy, pattern.ptr, pattern.len);
	pauses->patterns[pauses->count++] = slice_of(copy, pattern.len);
	log_pause(service, "lane_paused", pattern);
	apply(service);
	return OK;
}

static void
remove_pattern(struct queue_service *service, size_t number)
{
	struct pauses *pauses = &service->pauses;

	log_pause(service, "lane_resumed", pauses->patterns[number]);
	memory_put(service->env->memory, (void *)(uintptr_t)pauses->patterns[number].ptr);
	pauses->patterns[number] = pauses->patterns[--pauses->count];
}

enum error
pause_remove(struct queue_service *service, struct slice pattern)
{
	size_t number = find_pattern(&service->pauses, pattern);
	bool is_all = slice_equal(pattern, SLICE("*"));

	if (!is_all && number == service->pauses.count)
		return ERROR_NOT_FOUND;
	if (!is_all)
		remove_pattern(service, number);
	while (is_all && service->pauses.count > 0)
		remove_pattern(service, 0);
	apply(service);
	return OK;
}

void
pauses_free(struct queue_service *service)
{
	while (service->pauses.count > 0)
		memory_put(service->env->memory,
			(void *)(uintptr_t)service->pauses.patterns[--service->pauses.count].ptr);
}
