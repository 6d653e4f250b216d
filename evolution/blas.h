#pragma once

#include <cstdint>

/// The few dense operations that covariance matrices need, from the statically linked OpenBLAS. Matrices are
/// column-major. All of them run on one thread, so that results have the same bits on every run.
namespace namm::evolution::blas {

/// Lower triangle of C [n, n]: C <- beta C + alpha A A^T with A [n, k].
void rank_update(int64_t n, int64_t k, double alpha, const double* a, double beta, double* c);
void rank_update(int64_t n, int64_t k, float alpha, const float* a, float beta, float* c);

/// C [n, k] <- B X, or B^T X when `transposed`, with B [n, n] and X [n, k].
void multiply(int64_t n, int64_t k, bool transposed, const double* b, const double* x, double* c);
void multiply(int64_t n, int64_t k, bool transposed, const float* b, const float* x, float* c);

/// Eigensystem of the symmetric matrix whose lower triangle is in `a`: eigenvalues ascending into `values`
/// [n], orthonormal eigenvectors into the columns of `a`. False: the algorithm did not converge or the input
/// is not finite.
[[nodiscard]] bool eigensystem(int64_t n, double* a, double* values);
[[nodiscard]] bool eigensystem(int64_t n, float* a, float* values);

}  // namespace namm::evolution::blas
