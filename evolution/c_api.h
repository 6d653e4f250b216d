#ifndef NAMM_EVOLUTION_C_API_H
#define NAMM_EVOLUTION_C_API_H

/* The optimisers for other languages: build/libnamm_evolution.so, plain C, no LibTorch.
 *
 *   const double mean[2] = {3, 3};
 *   namm_optimizer* optimizer = namm_optimizer_new("kind: cma-es", 2, mean, 1.0, 1);
 *   while (1) {
 *     int64_t population = namm_optimizer_population(optimizer);   // may change at a restart
 *     namm_optimizer_ask(optimizer, x);                            // x [population, 2]
 *     ... value[k] = what member k is worth ...
 *     if (namm_optimizer_tell(optimizer, value)) break;
 *   }
 *   namm_optimizer_mean(optimizer, answer);
 *   namm_optimizer_free(optimizer);
 *
 * Numbers are float64, matrices row-major. One optimizer belongs to one thread at a time; different ones may
 * be used by different threads. There is no global state: the draws are a function of (seed, generation,
 * member). No call throws or exits. A call that fails says why in namm_last_error(). */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NAMM_EXPORT __attribute__((visibility("default")))
#else
#define NAMM_EXPORT
#endif

typedef struct namm_optimizer namm_optimizer;

/* A new optimizer at `mean` [n] with initial step size `sigma` > 0; every seed, 0 included, is a seed.
 * `yaml`: the keys of a configuration's `evolution:` mapping that speak of the optimiser (kind, population,
 * ...; not sigma, which is an argument) and `sense: minimize` (default) or `maximize`; "" takes the defaults.
 * NULL on error. */
NAMM_EXPORT namm_optimizer* namm_optimizer_new(const char* yaml, int64_t n, const double* mean, double sigma,
                                               uint64_t seed);

/* Members of the generation that the next ask gives; 0 on error. Ask before every generation. */
NAMM_EXPORT int64_t namm_optimizer_population(const namm_optimizer* optimizer);

/* Writes the members of this generation to x [population, n]. Asking again gives the same. */
NAMM_EXPORT void namm_optimizer_ask(namm_optimizer* optimizer, double* x);

/* What the members are worth, value [population] in member order. NaN and infinite values rank last; a
 * generation of nothing else changes nothing. Then namm_last_error() has a note of how many there were.
 * 0: go on; 1: stopped, see the reason; -1: error, nothing was told. */
NAMM_EXPORT int namm_optimizer_tell(namm_optimizer* optimizer, const double* value);

/* Why it has stopped, as "name: explanation"; "" while it runs. Valid until the next call with this
 * optimizer. */
NAMM_EXPORT const char* namm_optimizer_stop_reason(const namm_optimizer* optimizer);

/* Writes the answer to mean [n]. 0, or -1 on error. */
NAMM_EXPORT int namm_optimizer_mean(const namm_optimizer* optimizer, double* mean);

/* The step size; 0 on error. */
NAMM_EXPORT double namm_optimizer_sigma(const namm_optimizer* optimizer);

/* NULL is allowed. */
NAMM_EXPORT void namm_optimizer_free(namm_optimizer* optimizer);

/* Why the last call of this thread failed; "" when it did not. Valid until the thread's next call. */
NAMM_EXPORT const char* namm_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
