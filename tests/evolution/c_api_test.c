/* The C ABI as a C program sees it. Ends with 0 when every check holds; prints the ones that do not. */
#include "evolution/c_api.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;
static int checks = 0;

static void check(int holds, const char* text, int line) {
  ++checks;
  if (!holds) {
    ++failures;
    printf("line %d: %s does not hold; last error: \"%s\"\n", line, text, namm_last_error());
  }
}
#define CHECK(condition) check((condition) != 0, #condition, __LINE__)
#define CHECK_ERROR(part) check(strstr(namm_last_error(), part) != NULL, "error names \"" part "\"", __LINE__)

enum { N = 6 };

static double sphere(const double* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum += x[i] * x[i];
  }
  return sum;
}

/* Evaluations until a member is below 1e-9; 0 when it stops or 20,000 do not suffice. */
static long solve(const char* yaml, double sign, double* answer) {
  double start[N];
  for (int i = 0; i < N; ++i) {
    start[i] = 3;
  }
  namm_optimizer* optimizer = namm_optimizer_new(yaml, N, start, 1.0, 0);
  CHECK(optimizer != NULL);
  if (optimizer == NULL) {
    return 0;
  }
  long evaluations = 0, reached = 0;
  while (reached == 0 && evaluations < 20000) {
    const int64_t population = namm_optimizer_population(optimizer);
    double* x = malloc((size_t)population * N * sizeof *x);
    double* value = malloc((size_t)population * sizeof *value);
    if (x == NULL || value == NULL) {
      exit(1);
    }
    namm_optimizer_ask(optimizer, x);
    for (int64_t k = 0; k < population; ++k) {
      const double f = sphere(x + k * N, N);
      value[k] = sign * f;
      ++evaluations;
      if (f < 1e-9 && reached == 0) {
        reached = evaluations;
      }
    }
    const int stopped = namm_optimizer_tell(optimizer, value);
    free(x);
    free(value);
    if (stopped) {
      break;
    }
  }
  CHECK(strcmp(namm_optimizer_stop_reason(optimizer), "") == 0);
  CHECK(namm_optimizer_mean(optimizer, answer) == 0);
  CHECK(namm_optimizer_sigma(optimizer) > 0);
  namm_optimizer_free(optimizer);
  return reached;
}

static void solves(void) {
  double answer[N], other[N];
  const long minimized = solve("{kind: cma-es, population: 10}", 1, answer);
  CHECK(minimized > 0);
  CHECK(sphere(answer, N) < 1e-6);
  CHECK(solve("{kind: cma-es, population: 10, sense: maximize}", -1, other) == minimized);
  CHECK(memcmp(answer, other, sizeof answer) == 0);
  CHECK(solve("kind: sep-cma-es", 1, answer) > 0);
  CHECK(solve("kind: cr-fm-nes", 1, answer) > 0);
  CHECK(solve("kind: lm-ma-es", 1, answer) > 0);
  CHECK(solve("", 1, answer) > 0);
}

static void refuses(void) {
  double mean[2] = {0, 0};
  const double bad[2] = {0, NAN};
  CHECK(namm_optimizer_new(NULL, 2, mean, 1, 1) == NULL);
  CHECK_ERROR("yaml is NULL");
  CHECK(namm_optimizer_new("", 2, NULL, 1, 1) == NULL);
  CHECK_ERROR("mean is NULL");
  CHECK(namm_optimizer_new("", 0, mean, 1, 1) == NULL);
  CHECK_ERROR("n = 0");
  CHECK(namm_optimizer_new("", -3, mean, 1, 1) == NULL);
  CHECK_ERROR("n = -3");
  CHECK(namm_optimizer_new("", INT64_MAX, mean, 1, 1) == NULL);
  CHECK_ERROR("n = 9223372036854775807");
  CHECK(namm_optimizer_new("", 2, mean, 0, 1) == NULL);
  CHECK_ERROR("sigma = 0");
  CHECK(namm_optimizer_new("", 2, mean, NAN, 1) == NULL);
  CHECK_ERROR("sigma");
  CHECK(namm_optimizer_new("", 2, mean, INFINITY, 1) == NULL);
  CHECK_ERROR("sigma");
  CHECK(namm_optimizer_new("", 2, bad, 1, 1) == NULL);
  CHECK_ERROR("mean[1]");
  CHECK(namm_optimizer_new("kind: [", 2, mean, 1, 1) == NULL);
  CHECK_ERROR("yaml:1");
  CHECK(namm_optimizer_new("kind: pso", 2, mean, 1, 1) == NULL);
  CHECK_ERROR("cma-es");
  CHECK(namm_optimizer_new("popualtion: 4", 2, mean, 1, 1) == NULL);
  CHECK_ERROR("population");
  CHECK(namm_optimizer_new("population: 1", 2, mean, 1, 1) == NULL);
  CHECK_ERROR("population");
  CHECK(namm_optimizer_new("sense: up", 2, mean, 1, 1) == NULL);
  CHECK_ERROR("maximize");
  CHECK(namm_optimizer_new("sigma: 1", 2, mean, 1, 1) == NULL);
  CHECK_ERROR("argument");
  CHECK(namm_optimizer_new("- 1\n- 2\n", 2, mean, 1, 1) == NULL);
  CHECK(strlen(namm_last_error()) > 0);

  CHECK(namm_optimizer_population(NULL) == 0);
  CHECK_ERROR("optimizer is NULL");
  namm_optimizer_ask(NULL, mean);
  CHECK_ERROR("optimizer is NULL");
  CHECK(namm_optimizer_tell(NULL, mean) == -1);
  CHECK_ERROR("optimizer is NULL");
  CHECK(strcmp(namm_optimizer_stop_reason(NULL), "") == 0);
  CHECK_ERROR("optimizer is NULL");
  CHECK(namm_optimizer_mean(NULL, mean) == -1);
  CHECK_ERROR("optimizer is NULL");
  CHECK(namm_optimizer_sigma(NULL) == 0);
  CHECK_ERROR("optimizer is NULL");
  namm_optimizer_free(NULL);
  CHECK(strcmp(namm_last_error(), "") == 0);

  namm_optimizer* optimizer = namm_optimizer_new("population: 4", 2, mean, 1, 1);
  CHECK(optimizer != NULL);
  namm_optimizer_ask(optimizer, NULL);
  CHECK_ERROR("x is NULL");
  CHECK(namm_optimizer_tell(optimizer, NULL) == -1);
  CHECK_ERROR("value is NULL");
  CHECK(namm_optimizer_mean(optimizer, NULL) == -1);
  CHECK_ERROR("mean is NULL");
  CHECK(namm_optimizer_population(optimizer) == 4);
  CHECK(strcmp(namm_last_error(), "") == 0);
  namm_optimizer_free(optimizer);
}

/* NaN ranks last and is reported; a generation of nothing else leaves the state. */
static void ranks_nan_last(void) {
  const double mean[2] = {1, 1};
  const double some[4] = {1, NAN, 2, INFINITY}, none[4] = {NAN, NAN, NAN, NAN}, low[4] = {1, 1e30, 2, 1e30};
  double x[8], y[8];
  namm_optimizer* a = namm_optimizer_new("{kind: cma-es, population: 4}", 2, mean, 1, 7);
  namm_optimizer* b = namm_optimizer_new("{kind: cma-es, population: 4}", 2, mean, 1, 7);
  namm_optimizer_ask(a, x);
  namm_optimizer_ask(b, y);
  CHECK(memcmp(x, y, sizeof x) == 0);
  CHECK(namm_optimizer_tell(a, some) == 0);
  CHECK_ERROR("2 of 4 values are NaN or infinite");
  CHECK(namm_optimizer_tell(b, low) == 0);
  CHECK(strcmp(namm_last_error(), "") == 0);
  namm_optimizer_ask(a, x);
  namm_optimizer_ask(b, y);
  CHECK(memcmp(x, y, sizeof x) == 0);
  const double sigma = namm_optimizer_sigma(a);
  CHECK(namm_optimizer_tell(a, none) == 0);
  CHECK_ERROR("4 of 4 values");
  CHECK(namm_optimizer_sigma(a) == sigma);
  namm_optimizer_free(a);
  namm_optimizer_free(b);
}

/* A run that overflows ends by name, and stays ended. */
static void stops_by_name(void) {
  const double mean[2] = {1e308, 1e308};
  double x[8], value[4];
  namm_optimizer* optimizer = namm_optimizer_new("{kind: cma-es, population: 4}", 2, mean, 1e306, 1);
  int stopped = 0;
  for (int generation = 0; generation < 200 && !stopped; ++generation) {
    namm_optimizer_ask(optimizer, x);
    for (int k = 0; k < 4; ++k) {
      value[k] = -x[2 * k]; /* the further out the better */
    }
    stopped = namm_optimizer_tell(optimizer, value);
  }
  CHECK(stopped == 1);
  CHECK(strstr(namm_optimizer_stop_reason(optimizer), "non-finite state: ") != NULL);
  CHECK(namm_optimizer_tell(optimizer, value) == 1);
  namm_optimizer_free(optimizer);
}

static void* other_thread(void* unused) {
  (void)unused;
  CHECK(strcmp(namm_last_error(), "") == 0);
  CHECK(namm_optimizer_sigma(NULL) == 0);
  CHECK_ERROR("optimizer is NULL");
  return NULL;
}

/* The text of one thread is not another's. */
static void keeps_errors_apart(void) {
  const double mean[1] = {0};
  CHECK(namm_optimizer_new("kind: pso", 1, mean, 1, 1) == NULL);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
  pthread_join(thread, NULL);
  CHECK_ERROR("kind = pso");
}

int main(void) {
  solves();
  refuses();
  ranks_nan_last();
  stops_by_name();
  keeps_errors_apart();
  printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 && checks > 60 ? 0 : 1;
}
