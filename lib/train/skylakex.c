/* Products of matrices of float32, each sum in the order that OpenBLAS's AVX-512 kernels (SkylakeX) take, on AVX2.

There an element of a product is a chain of fused multiply-adds over k, in blocks of at most 448; the sums of the blocks are
then added to each other in turn. Which vectors do the work does not matter to the bits; the order does. */

#include <immintrin.h>
#include <string.h>

enum { ROWS = 6, COLUMNS = 16, BLOCK = 448, UNIT = 16 };

/* How much of the `rest` of k the next block takes: what is longer than one block and shorter than two is halved. */
static long block(long rest)
{
    if (rest >= 2 * BLOCK)
        return BLOCK;
    return rest > BLOCK ? (rest / 2 + UNIT - 1) / UNIT * UNIT : rest;
}

/* to [k, width] = from, transposed or not, with zeros beyond `used` columns, so that a tile reads it in order. */
static void pack(long k, long width, long used, const float *from, long across, long along, float *to)
{
    if (used > width)
        used = width;
    if (across == 1 && used == width)
        for (long t = 0; t < k; t++)
            memcpy(to + t * width, from + t * along, width * sizeof *to);
    else
        for (long l = 0; l < width; l++)
            for (long t = 0; t < k; t++)
                to[t * width + l] = l < used ? from[l * across + t * along] : 0;
}

/* to = sum, or to + sum where it adds. */
static void store(float *to, __m256 sum, int add)
{
    _mm256_storeu_ps(to, add ? _mm256_add_ps(_mm256_loadu_ps(to), sum) : sum);
}

/* A tile of ROWS x COLUMNS over one block of k, of which `rows` x `columns` are stored, or added to what is there.
   Without the pragmas GCC keeps the sums in memory, at less than half of the speed (benchmarks/kernels.py). */
static void tile(long k, const float *a, long a_row, long a_column, const float *b, float *c, long row, long rows,
                 long columns, int add)
{
    const float *from[ROWS];
    __m256 sum[ROWS][2];
    #pragma GCC unroll 6
    for (int i = 0; i < ROWS; i++) {
        from[i] = a + (i < rows ? i : 0) * a_row;
        sum[i][0] = sum[i][1] = _mm256_setzero_ps();
    }
    for (long t = 0; t < k; t++) {
        __m256 left = _mm256_load_ps(b + t * COLUMNS), right = _mm256_load_ps(b + t * COLUMNS + 8);
        #pragma GCC unroll 6
        for (int i = 0; i < ROWS; i++) {
            __m256 one = _mm256_broadcast_ss(from[i] + t * a_column);
            sum[i][0] = _mm256_fmadd_ps(one, left, sum[i][0]);
            sum[i][1] = _mm256_fmadd_ps(one, right, sum[i][1]);
        }
    }
    int whole = rows == ROWS && columns == COLUMNS;
    float edge[ROWS][COLUMNS];
    #pragma GCC unroll 6
    for (int i = 0; i < ROWS; i++) {
        float *to = whole ? c + i * row : edge[i];
        store(to, sum[i][0], add && whole);
        store(to + 8, sum[i][1], add && whole);
    }
    if (!whole)
        for (long i = 0; i < rows; i++)
            for (long j = 0; j < columns; j++)
                c[i * row + j] = add ? c[i * row + j] + edge[i][j] : edge[i][j];
}

/* c [R, m, n] = a [R, m, k] @ b [R, k, n]. Strides are in floats: run, row and column of a and b, run and row of c.
   packed: room for k * (n + COLUMNS + ROWS) floats, aligned to 64 bytes. */
void product(long R, long m, long n, long k, const float *a, long a_run, long a_row, long a_column, const float *b,
             long b_run, long b_row, long b_column, float *c, long c_run, long c_row, float *packed)
{
    for (long r = 0; r < R; r++, a += a_run, b += b_run, c += c_run) {
        long start = 0, size;
        do {
            size = block(k - start);
            for (long j = 0; j < n; j += COLUMNS)
                pack(size, COLUMNS, n - j, b + start * b_row + j * b_column, b_column, b_row, packed + j * size);
            for (long i = 0; i < m; i += ROWS) {
                const float *rows = a + i * a_row + start * a_column;
                long across = a_row, along = a_column;
                if (along != 1) { /* what a tile reads in turn lies far apart */
                    float *to = packed + (n + COLUMNS - 1) / COLUMNS * COLUMNS * size;
                    pack(size, ROWS, m - i, rows, a_row, a_column, to);
                    rows = to, across = 1, along = ROWS;
                }
                for (long j = 0; j < n; j += COLUMNS)
                    tile(size, rows, across, along, packed + j * size, c + i * c_row + j, c_row,
                         m - i < ROWS ? m - i : ROWS, n - j < COLUMNS ? n - j : COLUMNS, start > 0);
            }
        } while ((start += size) < k);
    }
}
