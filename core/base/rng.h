/* A small seeded generator (xoshiro256**) for jitter and tests: the scheduler's own randomness is
 * given to it as a seed, so that every run can be replayed. Not for secrets. */
#ifndef STOKER_BASE_RNG_H
#define STOKER_BASE_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s[4];
};
void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
/* Uniform in [0, n); n > 0. */
uint64_t rng_below(struct rng *r, uint64_t n);
/* Uniform in [0, 1). */
double rng_unit(struct rng *r);

#endif
