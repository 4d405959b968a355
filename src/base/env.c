/* What of the environment does not depend on where it comes from. */
#include "base/env.h"

uint64_t
env_random_below(const struct env *env, uint64_t bound)
{
	uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
	uint64_t number;

	do
		env_random(env, &number, sizeof number);
	while (number >= limit);
	return number % bound;
}

void
env_done(struct env *env)
{
	memory_free(&env->memory);
}
