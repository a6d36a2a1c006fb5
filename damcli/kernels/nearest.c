/* The nearest anchors of queries: their rounding, what the rounded products leave in question,
   and its ranking. */

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* Anchors are fetched so many candidates before they are multiplied. */
#define AHEAD 2
#define CACHE_LINE 64

/* Round rows to multiples of a scale each: how many of it, how far a row moves, and its length then. */
EACH_PROCESSOR
void round_rows(Table table, const double *scales, int8_t *steps, double *residuals,
                double *norms) {
    for (int64_t i = 0; i < table.count; i++) {
        const float *row = table.rows + i * table.dim;
        int8_t *taken = steps + i * table.dim;
        double scale = scales[i], moved = 0, length = 0;
#pragma omp simd reduction(+ : moved, length)
        for (int64_t d = 0; d < table.dim; d++) {
            double step = nearbyint(row[d] / scale), near = step * scale;
            taken[d] = (int8_t)step;
            moved += (row[d] - near) * (row[d] - near);
            length += near * near;
        }
        residuals[i] = sqrt(moved);
        norms[i] = sqrt(length);
    }
}

static inline int any_reaches(const int32_t *products, int32_t least) {
    int any = 0;
    for (int i = 0; i < TILE; i++)
        any |= products[i] >= least;
    return any;
}

/* The least product of which the similarity may reach a bound. */
static inline int32_t least_product(double bound, double unit) {
    double least = ceil(bound / unit);
    return least <= INT_MIN ? INT_MIN : least >= INT_MAX ? INT_MAX : (int32_t)least;
}

/* Put a value in its place among the largest; the least of them goes. */
static inline void insert(double *largest, int64_t count, double value) {
    int64_t at = count - 1;
    for (; at > 0 && largest[at - 1] < value; at--)
        largest[at] = largest[at - 1];
    largest[at] = value;
}

/* Take one query's products into account for the largest lower bounds. */
static inline void raise_bounds(const int32_t *products, int64_t columns, double unit, double error,
                                double *largest, int64_t wanted) {
    double *last = largest + wanted - 1;
    int32_t least = least_product(*last + error, unit);
    for (int64_t tile = 0; tile < columns; tile += TILE) {
        if (!any_reaches(products + tile, least))
            continue;
        for (int64_t i = tile; i < tile + TILE && i < columns; i++) {
            double lower = products[i] * unit - error;
            if (products[i] >= least && lower > *last) {
                insert(largest, wanted, lower);
                least = least_product(*last + error, unit);
            }
        }
    }
}

/* Append what may be among the nearest of each query to the candidates found so far.

   Returns how many there are then, or NO_MEMORY where there is no room for them. The columns are
   a multiple of TILE. */
EACH_PROCESSOR
int64_t find_candidates(Products given, Largest largest, Candidate *found, int64_t used,
                        int64_t room) {
    for (int64_t query = 0; query < given.queries; query++) {
        const int32_t *products = given.products + query * given.columns;
        double unit = given.unit[query], error = given.error[query];
        double *bounds = largest.bounds + query * largest.width;
        int64_t wanted = largest.wanted[query];
        raise_bounds(products, given.anchor_count, unit, error, bounds, wanted);
        int32_t least = least_product(bounds[wanted - 1] - error, unit);
        for (int64_t tile = 0; tile < given.anchor_count; tile += TILE) {
            if (!any_reaches(products + tile, least))
                continue;
            for (int64_t i = tile; i < tile + TILE && i < given.anchor_count; i++) {
                if (products[i] < least)
                    continue;
                if (used == room)
                    return NO_MEMORY;
                found[used++] =
                    (Candidate){(int32_t)query, given.anchors[i], products[i] * unit + error};
            }
        }
    }
    return used;
}

static int most_promising_first(const void *one, const void *other) {
    double a = ((const Candidate *)one)->upper, b = ((const Candidate *)other)->upper;
    return (a < b) - (a > b);
}

static void fetch(const float *anchor, int64_t dim) {
    const char *bytes = (const char *)anchor;
    for (int64_t at = 0; at < dim * (int64_t)sizeof *anchor; at += CACHE_LINE)
        __builtin_prefetch(bytes + at);
}

/* Rank one query's candidates by their similarity; of equals, the anchor that stands first. */
static void rank(const double *query, Table anchors, Candidate *mine, int64_t count, int64_t k,
                 double *similarities, int64_t *rows) {
    qsort(mine, count, sizeof *mine, most_promising_first);
    for (int64_t i = 0; i < count && mine[i].upper >= similarities[k - 1]; i++) {
        int64_t anchor = mine[i].anchor;
        if (i + AHEAD < count)
            fetch(anchors.rows + mine[i + AHEAD].anchor * anchors.dim, anchors.dim);
        double similarity =
            multiply_one(query, anchors.rows + anchor * anchors.dim, anchors.dim);
        int64_t at = k;
        while (at > 0 && (similarities[at - 1] < similarity ||
                          (similarities[at - 1] == similarity && rows[at - 1] > anchor)))
            at--;
        if (at == k)
            continue;
        memmove(similarities + at + 1, similarities + at, (k - 1 - at) * sizeof *similarities);
        memmove(rows + at + 1, rows + at, (k - 1 - at) * sizeof *rows);
        similarities[at] = similarity;
        rows[at] = anchor;
    }
}

/* Write the k nearest anchors of each query, of the candidates that reach its floor.

   Where there are fewer, what the places held before stays: -inf and -1. */
int rank_candidates(Table queries, Table anchors, const Candidate *found, int64_t count,
                    const double *floors, int64_t k, double *similarities, int64_t *rows) {
    int64_t *starts = calloc(queries.count + 2, sizeof *starts);
    Candidate *sorted = malloc((count + 1) * sizeof *sorted);
    double *wide = malloc(queries.dim * sizeof *wide);
    int ready = starts && sorted && wide;
    if (ready) {
        /* Counted two places further on, and dealt one further on, starts ends up as it should. */
        for (int64_t i = 0; i < count; i++)
            starts[found[i].query + 2] += found[i].upper >= floors[found[i].query];
        for (int64_t query = 2; query <= queries.count; query++)
            starts[query] += starts[query - 1];
        for (int64_t i = 0; i < count; i++)
            if (found[i].upper >= floors[found[i].query])
                sorted[starts[found[i].query + 1]++] = found[i];
        for (int64_t query = 0; query < queries.count; query++) {
            widen(queries.rows + query * queries.dim, queries.dim, wide);
            rank(wide, anchors, sorted + starts[query], starts[query + 1] - starts[query], k,
                 similarities + query * k, rows + query * k);
        }
    }
    free(starts);
    free(sorted);
    free(wide);
    return ready ? DONE : NO_MEMORY;
}
