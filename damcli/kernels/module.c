/* The kernels as a Python module: arrays come as buffers, and their sizes are checked here. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "kernels.h"

static PyObject *result(int64_t status) {
    if (status == NO_MEMORY)
        return PyErr_NoMemory();
    if (status == NO_SUCH_ROW) {
        PyErr_SetString(PyExc_IndexError, "a row that the table does not have");
        return NULL;
    }
    return Py_NewRef(Py_None);
}

static PyObject *wrong_size(void) {
    PyErr_SetString(PyExc_ValueError, "arrays of sizes that do not belong together");
    return NULL;
}

static int holds(Py_buffer buffer, int64_t items, int64_t bytes) {
    return items >= 0 && buffer.len == items * bytes;
}

static Table table(Py_buffer buffer, int64_t dim) {
    return (Table){buffer.buf, dim > 0 ? buffer.len / (4 * dim) : 0, dim};
}

static int is_table(Py_buffer buffer, int64_t dim) {
    return dim > 0 && buffer.len % (4 * dim) == 0;
}

static void release(Py_buffer *buffers, int count) {
    for (int i = 0; i < count; i++)
        PyBuffer_Release(buffers + i);
}

static PyObject *pairs(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer all[6];
    Py_ssize_t dim;
    if (!PyArg_ParseTuple(args, "y*y*ny*y*w*w*", all, all + 1, &dim, all + 2, all + 3, all + 4,
                          all + 5))
        return NULL;
    PyObject *answer = NULL;
    int64_t count = all[2].len / 8;
    if (is_table(all[0], dim) && is_table(all[1], dim) && holds(all[2], count, 8) &&
        holds(all[3], count, 8) && holds(all[4], 2 * count, sizeof(Pair)) &&
        holds(all[5], count, 8)) {
        int status;
        Py_BEGIN_ALLOW_THREADS
        status = multiply_pairs(table(all[0], dim), table(all[1], dim), all[2].buf, all[3].buf,
                                count, all[4].buf, all[5].buf);
        Py_END_ALLOW_THREADS
        answer = result(status);
    } else {
        answer = wrong_size();
    }
    release(all, 6);
    return answer;
}

static PyObject *rounded(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer all[5];
    Py_ssize_t dim;
    if (!PyArg_ParseTuple(args, "y*ny*w*w*w*", all, &dim, all + 1, all + 2, all + 3, all + 4))
        return NULL;
    PyObject *answer = NULL;
    Table rows = table(all[0], dim);
    if (is_table(all[0], dim) && holds(all[1], rows.count, 8) &&
        holds(all[2], rows.count * dim, 1) && holds(all[3], rows.count, 8) &&
        holds(all[4], rows.count, 8)) {
        Py_BEGIN_ALLOW_THREADS
        round_rows(rows, all[1].buf, all[2].buf, all[3].buf, all[4].buf);
        Py_END_ALLOW_THREADS
        answer = result(DONE);
    } else {
        answer = wrong_size();
    }
    release(all, 5);
    return answer;
}

/* Whether all that find_candidates reads and writes is there. */
static int complete(const Py_buffer *all, Products given, Largest largest, int64_t used) {
    if (given.columns <= 0 || given.columns % TILE || given.anchor_count > given.columns)
        return 0;
    if (largest.width < 1 || used < 0 || used > all[6].len / (int64_t)sizeof(Candidate))
        return 0;
    if (!holds(all[0], given.queries * given.columns, 4) || !holds(all[3], given.queries, 8) ||
        !holds(all[4], given.queries, 8) || !holds(all[5], given.queries * largest.width, 8))
        return 0;
    for (int64_t query = 0; query < given.queries; query++)
        if (largest.wanted[query] < 1 || largest.wanted[query] > largest.width)
            return 0;
    return 1;
}

static PyObject *candidates(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer all[7];
    Py_ssize_t used;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*w*w*n", all, all + 1, all + 2, all + 3, all + 4, all + 5,
                          all + 6, &used))
        return NULL;
    int64_t queries = all[2].len / 8;
    Products given = {all[0].buf,     queries,        queries ? all[0].len / (4 * queries) : 0,
                      all[1].buf,     all[1].len / 4, all[3].buf,
                      all[4].buf};
    Largest largest = {all[5].buf, queries ? all[5].len / (8 * queries) : 0, all[2].buf};
    PyObject *answer = NULL;
    if (complete(all, given, largest, used)) {
        int64_t found;
        Py_BEGIN_ALLOW_THREADS
        found = find_candidates(given, largest, all[6].buf, used,
                                all[6].len / (int64_t)sizeof(Candidate));
        Py_END_ALLOW_THREADS
        answer = PyLong_FromLongLong(found);
    } else {
        answer = wrong_size();
    }
    release(all, 7);
    return answer;
}

/* Whether all candidates are of queries and anchors that there are. */
static int known(const Candidate *found, int64_t count, Table queries, Table anchors) {
    int64_t beyond = 0;
    for (int64_t i = 0; i < count; i++)
        beyond |= found[i].query < 0 || found[i].query >= queries.count || found[i].anchor < 0 ||
                  found[i].anchor >= anchors.count;
    return !beyond;
}

static PyObject *ranked(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer all[6];
    Py_ssize_t dim, k;
    if (!PyArg_ParseTuple(args, "y*y*ny*y*nw*w*", all, all + 1, &dim, all + 2, all + 3, &k, all + 4,
                          all + 5))
        return NULL;
    PyObject *answer = NULL;
    Table queries = table(all[0], dim), anchors = table(all[1], dim);
    int64_t count = all[2].len / (int64_t)sizeof(Candidate);
    if (is_table(all[0], dim) && is_table(all[1], dim) && k > 0 &&
        holds(all[2], count, sizeof(Candidate)) && holds(all[3], queries.count, 8) &&
        holds(all[4], queries.count * k, 8) && holds(all[5], queries.count * k, 8)) {
        int status = NO_SUCH_ROW;
        Py_BEGIN_ALLOW_THREADS
        if (known(all[2].buf, count, queries, anchors))
            status = rank_candidates(queries, anchors, all[2].buf, count, all[3].buf, k,
                                     all[4].buf, all[5].buf);
        Py_END_ALLOW_THREADS
        answer = result(status);
    } else {
        answer = wrong_size();
    }
    release(all, 6);
    return answer;
}

static PyMethodDef functions[] = {{"multiply_pairs", pairs, METH_VARARGS, NULL},
                                  {"round_rows", rounded, METH_VARARGS, NULL},
                                  {"find_candidates", candidates, METH_VARARGS, NULL},
                                  {"rank_candidates", ranked, METH_VARARGS, NULL},
                                  {NULL, NULL, 0, NULL}};

static PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_compiled", .m_size = 0, .m_methods = functions};

PyMODINIT_FUNC PyInit__compiled(void) { return PyModuleDef_Init(&module); }
