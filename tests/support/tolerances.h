#pragma once

/// Every tolerance of the tests, in one table. Values of the golden numbers are those that were recommended
/// with the recordings (tests/data/golden/README.md); the noise behind them was measured with a float64 run
/// of the reference.
namespace namm::tolerances {

/// One update with the attention given (stage_*.h5).
namespace stage {
inline constexpr double magnitudes = 2e-6;  ///< absolute
inline constexpr double ema = 5e-7;         ///< absolute
inline constexpr double features = 2e-5;    ///< absolute
inline constexpr double scores = 2e-5;      ///< times (1 + |score|)
}  // namespace stage

/// Whole model, prompt and decoding (e2e_*.h5).
namespace end_to_end {
inline constexpr double ema = 3e-6;               ///< absolute
inline constexpr double features = 2e-4;          ///< absolute
inline constexpr double scores = 5e-5;            ///< times (1 + |score|)
inline constexpr double score_near_zero = 0.05;   ///< below this size of a score
inline constexpr double scores_near_zero = 1e-5;  ///< absolute
inline constexpr double keys_values = 5e-5;       ///< absolute
inline constexpr double logits = 5e-5;            ///< absolute
inline constexpr double statistics = 1e-5;        ///< relative
}  // namespace end_to_end

/// CMA-ES trajectories (cma.h5).
namespace cma {
inline constexpr double state = 3e-5;  ///< absolute: x, mean, paths, covariance
inline constexpr double steps =
    3e-5;  ///< times (1 + |y|): y and roots; the recording's float32 eigensystem alone is off by 2e-5
inline constexpr double sigma = 1e-5;      ///< relative
inline constexpr double constants = 1e-6;  ///< relative
inline constexpr double weights = 1e-6;    ///< absolute
}  // namespace cma

/// Test vectors of namm-semantics, appendix A.
namespace appendix {
inline constexpr double ema = 1e-6;             ///< absolute, printed to 9 digits, float32
inline constexpr double recency = 1e-7;         ///< absolute, printed to 8 digits, float32
inline constexpr double scores_float64 = 1e-9;  ///< absolute
inline constexpr double scores = 1e-6;          ///< absolute, float32
}  // namespace appendix

/// Two implementations of one operation of ours, float32.
namespace implementations {
inline constexpr double spectrogram = 3e-6;  ///< times (1 + |x|)
inline constexpr double ema = 1e-6;          ///< times (1 + |x|)
inline constexpr double scores = 1e-5;       ///< times (1 + |score|)
inline constexpr double attention = 1e-5;    ///< times (1 + |x|)
inline constexpr double log_sum_exp = 1e-5;  ///< times (1 + |x|)
inline constexpr double attention_bfloat16 =
    1e-2;  ///< times (1 + |x|), bfloat16 inputs: two roundings to 8 bits
}  // namespace implementations

/// Keys moved to another place against one rotation in float64.
namespace rotation {
inline constexpr double one_move = 1e-6;  ///< absolute, times (1 + |x|) where a test says so
}  // namespace rotation

/// `namm bench`: an operation of ours against a LibTorch program of its own features and scores.
namespace bench {
inline constexpr double score_near_zero = 1e-4;  ///< a decision may differ where the score is smaller
inline constexpr double model_score_near_zero =
    1e-3;  ///< the same behind a whole model, whose hidden states differ by rounding from update to update
inline constexpr double logits = 1e-3;  ///< times (1 + |x|), after thousands of tokens and many updates
}  // namespace bench

/// Hidden states and logits against another program (transformers), float32.
namespace other_program {
inline constexpr double logits = 5e-5;  ///< times (1 + |x|)
inline constexpr double greedy_margin =
    1e-3;  ///< a comparison of greedy ids ends, counted, where the best two logits lie closer
inline constexpr double torchscript_scores = 1e-5;  ///< absolute: exported memory in Python against ours
}  // namespace other_program

/// Scores of the official benchmark scripts: plain double arithmetic on both sides.
namespace metrics {
inline constexpr double score = 1e-9;  ///< absolute
}  // namespace metrics

}  // namespace namm::tolerances
