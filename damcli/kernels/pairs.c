/* Products of listed pairs of rows, in float64, in which those of unit rows are exact.

   Pairs are put in the order in which caches serve them best: by block of references that a cache
   holds, and within it by probe. */

#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* References of a block, in bytes: where pairs are dense they stay in a core's own cache; where
   they are sparse, more of them save fetching each probe again for few of its pairs. */
#define LEAST_BYTES (1 << 19)
#define MOST_BYTES (3 << 20)
/* Pairs of a probe in a block that are enough. */
#define RUN 32
/* Pairs of a block are sorted by this many bits of the probe at a time. */
#define DIGIT_BITS 11
#define DIGITS (1 << DIGIT_BITS)

/* The pairs block by block; block b holds those from starts[b] to starts[b + 1]. */
typedef struct {
    Pair *pairs, *spare;
    int64_t *starts;
    int64_t count;
} Blocks;

/* Mark the rows that occur; return how many there are. */
static int64_t mark(const int64_t *rows, int64_t count, uint32_t *marks, int64_t table_rows) {
    memset(marks, 0, table_rows * sizeof *marks);
    for (int64_t i = 0; i < count; i++)
        marks[rows[i]] = 1;
    int64_t distinct = 0;
    for (int64_t row = 0; row < table_rows; row++)
        distinct += marks[row];
    return distinct;
}

/* Replace the marks by the numbers of blocks of so many marked rows; return how many there are. */
static int64_t number(uint32_t *marks, int64_t table_rows, int64_t block_rows) {
    int64_t distinct = 0;
    for (int64_t row = 0; row < table_rows; row++)
        if (marks[row])
            marks[row] = (uint32_t)(distinct++ / block_rows);
    return (distinct + block_rows - 1) / block_rows;
}

/* Choose how many distinct references make a block. */
static int64_t rows_of_block(int64_t probes, int64_t references, int64_t pairs, int64_t dim) {
    int64_t row_bytes = dim * (int64_t)sizeof(float);
    double enough = (double)RUN * (double)probes * (double)references / (double)(pairs + 1);
    int64_t least = LEAST_BYTES / row_bytes + 1, most = MOST_BYTES / row_bytes + 1;
    return enough <= (double)least ? least : enough >= (double)most ? most : (int64_t)enough;
}

static int within(const int64_t *rows, int64_t count, int64_t table_rows) {
    int64_t beyond = 0;
    for (int64_t i = 0; i < count; i++)
        beyond |= rows[i] < 0 || rows[i] >= table_rows;
    return !beyond;
}

/* Put the pairs of each block side by side, in the order of the list. */
static void deal(Blocks blocks, const int64_t *probe_rows, const int64_t *reference_rows,
                 int64_t count, const uint32_t *block_of) {
    /* Counted two places further on, and dealt one further on, starts ends up as it should. */
    for (int64_t i = 0; i < count; i++)
        blocks.starts[block_of[reference_rows[i]] + 2]++;
    for (int64_t block = 2; block <= blocks.count; block++)
        blocks.starts[block] += blocks.starts[block - 1];
    for (int64_t i = 0; i < count; i++) {
        int64_t *at = blocks.starts + block_of[reference_rows[i]] + 1;
        blocks.pairs[(*at)++] =
            (Pair){(uint32_t)probe_rows[i], (uint32_t)reference_rows[i], (uint32_t)i};
    }
}

/* Sort pairs by probe, digit by digit; return where they are then, in `pairs` or in `spare`. */
static Pair *by_probe(Pair *pairs, Pair *spare, int64_t count) {
    uint32_t most = 0;
    int sorted = 1;
    for (int64_t i = 0; i < count; i++) {
        most = pairs[i].probe > most ? pairs[i].probe : most;
        sorted &= i == 0 || pairs[i - 1].probe <= pairs[i].probe;
    }
    for (int shift = 0; !sorted && shift < 32 && most >> shift; shift += DIGIT_BITS) {
        int64_t ends[DIGITS + 1] = {0};
        for (int64_t i = 0; i < count; i++)
            ends[(pairs[i].probe >> shift) % DIGITS + 1]++;
        for (int digit = 1; digit <= DIGITS; digit++)
            ends[digit] += ends[digit - 1];
        for (int64_t i = 0; i < count; i++)
            spare[ends[(pairs[i].probe >> shift) % DIGITS]++] = pairs[i];
        Pair *sorted_so_far = spare;
        spare = pairs;
        pairs = sorted_so_far;
    }
    return pairs;
}

/* Multiply one probe by the references of its pairs. */
static void multiply_probe(const double *wide, Table references, const Pair *pairs, int64_t count,
                           double *products) {
    int64_t i = 0;
    for (; i + TOGETHER <= count; i += TOGETHER) {
        const float *rows[TOGETHER];
        double sums[TOGETHER];
        for (int j = 0; j < TOGETHER; j++)
            rows[j] = references.rows + pairs[i + j].reference * references.dim;
        multiply_some(wide, rows, references.dim, sums);
        for (int j = 0; j < TOGETHER; j++)
            products[pairs[i + j].place] = sums[j];
    }
    for (; i < count; i++)
        products[pairs[i].place] = multiply_one(
            wide, references.rows + pairs[i].reference * references.dim, references.dim);
}

static void multiply_block(Table probes, Table references, const Pair *pairs, int64_t count,
                           double *wide, double *products) {
    for (int64_t start = 0, end; start < count; start = end) {
        for (end = start + 1; end < count && pairs[end].probe == pairs[start].probe;)
            end++;
        widen(probes.rows + pairs[start].probe * probes.dim, probes.dim, wide);
        multiply_probe(wide, references, pairs + start, end - start, products);
    }
}

static void multiply_blocks(Table probes, Table references, Blocks blocks, double *wide,
                            double *products) {
    for (int64_t block = 0; block < blocks.count; block++) {
        int64_t start = blocks.starts[block], count = blocks.starts[block + 1] - start;
        Pair *pairs = by_probe(blocks.pairs + start, blocks.spare, count);
        multiply_block(probes, references, pairs, count, wide, products);
    }
}

int multiply_pairs(Table probes, Table references, const int64_t *probe_rows,
                   const int64_t *reference_rows, int64_t count, Pair *room, double *products) {
    if (!within(probe_rows, count, probes.count) ||
        !within(reference_rows, count, references.count))
        return NO_SUCH_ROW;
    int64_t most = probes.count > references.count ? probes.count : references.count;
    uint32_t *block_of = malloc((most + 1) * sizeof *block_of);
    /* Of one row at least, there are no more blocks than references. */
    int64_t *starts = calloc(references.count + 2, sizeof *starts);
    double *wide = malloc(probes.dim * sizeof *wide);
    int ready = block_of && starts && wide;
    if (ready) {
        int64_t distinct_probes = mark(probe_rows, count, block_of, probes.count);
        int64_t distinct = mark(reference_rows, count, block_of, references.count);
        int64_t block_rows = rows_of_block(distinct_probes, distinct, count, probes.dim);
        int64_t number_of_blocks = number(block_of, references.count, block_rows);
        Blocks blocks = {room, room + count, starts, number_of_blocks};
        deal(blocks, probe_rows, reference_rows, count, block_of);
        multiply_blocks(probes, references, blocks, wide, products);
    }
    free(block_of);
    free(starts);
    free(wide);
    return ready ? DONE : NO_MEMORY;
}
