/* Products of a row by other rows, in float64. */

#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define WIDE_VECTORS
#include <immintrin.h>
#endif

EACH_PROCESSOR
void widen(const float *row, int64_t dim, double *wide) {
    for (int64_t d = 0; d < dim; d++)
        wide[d] = row[d];
}

EACH_PROCESSOR
double multiply_one(const double *wide, const float *row, int64_t dim) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < dim; d++)
        sum += wide[d] * row[d];
    return sum;
}

#ifdef WIDE_VECTORS
/* Written out, since gcc takes detours from float to double: this is a tenth faster. */
__attribute__((target("avx512f"))) static void multiply_in_wide_vectors(
    const double *wide, const float *const *rows, int64_t dim, double *products) {
    __m512d sums[TOGETHER];
    int64_t d = 0;
    for (int i = 0; i < TOGETHER; i++)
        sums[i] = _mm512_setzero_pd();
    for (; d + 8 <= dim; d += 8) {
        __m512d mine = _mm512_loadu_pd(wide + d);
        for (int i = 0; i < TOGETHER; i++)
            sums[i] = _mm512_fmadd_pd(mine, _mm512_cvtps_pd(_mm256_loadu_ps(rows[i] + d)), sums[i]);
    }
    for (int i = 0; i < TOGETHER; i++) {
        products[i] = _mm512_reduce_add_pd(sums[i]);
        for (int64_t rest = d; rest < dim; rest++)
            products[i] += wide[rest] * rows[i][rest];
    }
}
#endif

void multiply_some(const double *wide, const float *const *rows, int64_t dim, double *products) {
#ifdef WIDE_VECTORS
    if (__builtin_cpu_supports("avx512f")) {
        multiply_in_wide_vectors(wide, rows, dim, products);
        return;
    }
#endif
    for (int i = 0; i < TOGETHER; i++)
        products[i] = multiply_one(wide, rows[i], dim);
}
