/* The loops that numpy has no fast form of. Plain C: the compiler makes the vector instructions. */

#ifndef DAMCLI_KERNELS_H
#define DAMCLI_KERNELS_H

#include <stdint.h>

/* Versions for wide vectors, of which the loader takes the one that the processor can run. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__)
#define EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EACH_PROCESSOR
#endif

enum { DONE = 0, NO_MEMORY = -1, NO_SUCH_ROW = -2 };

/* Rows of float32, side by side. */
typedef struct {
    const float *rows;
    int64_t count, dim;
} Table;

/* A pair of rows, and its place in the list. */
typedef struct {
    uint32_t probe, reference, place;
} Pair;

/* An anchor that may be among the nearest of a query; `upper` is no less than their similarity. */
typedef struct {
    int32_t query, anchor;
    double upper;
} Candidate;

/* Products looked at together, since most hold nothing that is near; columns are a multiple. */
enum { TILE = 16 };

/* How similarities follow from the products of some rounded queries and anchors. */
typedef struct {
    const int32_t *products; /* queries x columns */
    int64_t queries, columns;
    const int32_t *anchors; /* which anchor a column is of; the columns beyond are of none */
    int64_t anchor_count;
    const double *unit;  /* similarity = product x unit, of each query ... */
    const double *error; /* ... give or take this much */
} Products;

/* The largest lower bounds of similarities that were met for each query, largest first. */
typedef struct {
    double *bounds; /* queries x width */
    int64_t width;
    const int64_t *wanted; /* how many count, 1 to width */
} Largest;

void widen(const float *row, int64_t dim, double *wide);

double multiply_one(const double *wide, const float *row, int64_t dim);

/* So many rows at a time keep the processor busy, and share what is read of the first. */
enum { TOGETHER = 8 };

void multiply_some(const double *wide, const float *const *rows, int64_t dim, double *products);

/* The room is for twice as many pairs. */
int multiply_pairs(Table probes, Table references, const int64_t *probe_rows,
                   const int64_t *reference_rows, int64_t count, Pair *room, double *products);

void round_rows(Table table, const double *scales, int8_t *steps, double *residuals, double *norms);

int64_t find_candidates(Products given, Largest largest, Candidate *found, int64_t used,
                        int64_t room);

int rank_candidates(Table queries, Table anchors, const Candidate *found, int64_t count,
                    const double *floors, int64_t k, double *similarities, int64_t *rows);

#endif
