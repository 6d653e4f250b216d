#include "evolution/blas.h"

#include <cmath>
#include <vector>

// OpenBLAS under the names that evolution/CMakeLists.txt gives it.
extern "C" {
void namm_openblas_set_num_threads(int threads);
void namm_dsyrk_(const char* uplo, const char* trans, const int* n, const int* k, const double* alpha,
                 const double* a, const int* lda, const double* beta, double* c, const int* ldc);
void namm_ssyrk_(const char* uplo, const char* trans, const int* n, const int* k, const float* alpha,
                 const float* a, const int* lda, const float* beta, float* c, const int* ldc);
void namm_dgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
                 const double* alpha, const double* a, const int* lda, const double* b, const int* ldb,
                 const double* beta, double* c, const int* ldc);
void namm_sgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
                 const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
                 const float* beta, float* c, const int* ldc);
void namm_dsyevd_(const char* jobz, const char* uplo, const int* n, double* a, const int* lda, double* w,
                  double* work, const int* lwork, int* iwork, const int* liwork, int* info);
void namm_ssyevd_(const char* jobz, const char* uplo, const int* n, float* a, const int* lda, float* w,
                  float* work, const int* lwork, int* iwork, const int* liwork, int* info);
}

namespace namm::evolution::blas {
namespace {

void use_one_thread() {
  static const bool done = [] {
    namm_openblas_set_num_threads(1);
    return true;
  }();
  (void)done;
}

void syrk(const int* n, const int* k, const double* alpha, const double* a, const double* beta, double* c) {
  namm_dsyrk_("L", "N", n, k, alpha, a, n, beta, c, n);
}
void syrk(const int* n, const int* k, const float* alpha, const float* a, const float* beta, float* c) {
  namm_ssyrk_("L", "N", n, k, alpha, a, n, beta, c, n);
}

void gemm(const char* trans, const int* n, const int* k, const double* b, const double* x, double* c) {
  const double one = 1, zero = 0;
  namm_dgemm_(trans, "N", n, k, n, &one, b, n, x, n, &zero, c, n);
}
void gemm(const char* trans, const int* n, const int* k, const float* b, const float* x, float* c) {
  const float one = 1, zero = 0;
  namm_sgemm_(trans, "N", n, k, n, &one, b, n, x, n, &zero, c, n);
}

void syevd(const int* n, double* a, double* w, double* work, const int* lwork, int* iwork, const int* liwork,
           int* info) {
  namm_dsyevd_("V", "L", n, a, n, w, work, lwork, iwork, liwork, info);
}
void syevd(const int* n, float* a, float* w, float* work, const int* lwork, int* iwork, const int* liwork,
           int* info) {
  namm_ssyevd_("V", "L", n, a, n, w, work, lwork, iwork, liwork, info);
}

template <class Real>
void rank_update_of(int64_t n, int64_t k, Real alpha, const Real* a, Real beta, Real* c) {
  use_one_thread();
  const int rows = static_cast<int>(n), columns = static_cast<int>(k);
  syrk(&rows, &columns, &alpha, a, &beta, c);
}

template <class Real>
void multiply_of(int64_t n, int64_t k, bool transposed, const Real* b, const Real* x, Real* c) {
  use_one_thread();
  const int rows = static_cast<int>(n), columns = static_cast<int>(k);
  gemm(transposed ? "T" : "N", &rows, &columns, b, x, c);
}

template <class Real>
bool eigensystem_of(int64_t n, Real* a, Real* values) {
  use_one_thread();
  // LAPACK may loop or crash on NaN.
  for (int64_t column = 0; column < n; ++column) {
    for (int64_t row = column; row < n; ++row) {
      if (!std::isfinite(a[column * n + row])) {
        return false;
      }
    }
  }
  const int order = static_cast<int>(n), query = -1;
  int info = 0, integers = 0;
  Real numbers = 0;
  syevd(&order, a, values, &numbers, &query, &integers, &query, &info);
  if (info != 0) {
    return false;
  }
  // A float cannot hold large workspace sizes exactly: never go below the documented 1 + 6n + 2n^2.
  const int64_t documented = 1 + 6 * n + 2 * n * n;
  std::vector<Real> work(
      static_cast<std::size_t>(std::max<int64_t>(documented, static_cast<int64_t>(numbers))));
  std::vector<int> integer_work(static_cast<std::size_t>(std::max<int64_t>(3 + 5 * n, integers)));
  const int work_size = static_cast<int>(work.size()),
            integer_work_size = static_cast<int>(integer_work.size());
  syevd(&order, a, values, work.data(), &work_size, integer_work.data(), &integer_work_size, &info);
  return info == 0;
}

}  // namespace

void rank_update(int64_t n, int64_t k, double alpha, const double* a, double beta, double* c) {
  rank_update_of(n, k, alpha, a, beta, c);
}
void rank_update(int64_t n, int64_t k, float alpha, const float* a, float beta, float* c) {
  rank_update_of(n, k, alpha, a, beta, c);
}
void multiply(int64_t n, int64_t k, bool transposed, const double* b, const double* x, double* c) {
  multiply_of(n, k, transposed, b, x, c);
}
void multiply(int64_t n, int64_t k, bool transposed, const float* b, const float* x, float* c) {
  multiply_of(n, k, transposed, b, x, c);
}
bool eigensystem(int64_t n, double* a, double* values) {
  return eigensystem_of(n, a, values);
}
bool eigensystem(int64_t n, float* a, float* values) {
  return eigensystem_of(n, a, values);
}

}  // namespace namm::evolution::blas
