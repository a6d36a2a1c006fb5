"""Parquet tables of embeddings: the kinds of column that other tools write, and bad rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from damcli.errors import InputError
from damcli.storage.files import open_embeddings, read_embeddings

VECTORS = [[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]]


def write(path, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.list_(pa.float64()),
        pa.large_list(pa.float32()),
        pa.list_(pa.float16()),
        pa.list_(pa.float32(), 2),
        pa.list_(pa.int32()),
    ],
)
def test_every_kind_of_list_is_read(tmp_path, kind):
    names = pa.array(["007", "7", "007"]).dictionary_encode()
    path = write(tmp_path / "a.parquet", id=[1, 20, 3], X=pa.array(VECTORS, kind), label=names)
    found = read_embeddings(path)
    np.testing.assert_allclose(found.vectors, [[0.6, 0.8], [0, 1], [1, 0]], atol=1e-7)
    assert found.ids.tolist() == ["1", "20", "3"]
    assert found.subjects.tolist() == ["007", "7", "007"]
    np.testing.assert_allclose(found.norms, [5, 2, 1])


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"embedding": [[1.0, 2.0], None, [1.0, 1.0]]}, "row 2: the vector is null"),
        ({"embedding": [None, [1.0, 2.0], [1.0, 1.0]]}, "row 1: the vector is null"),
        ({"embedding": pa.nulls(2, pa.list_(pa.float32(), 2))}, "row 1: the vector is null"),
        ({"embedding": [[1.0, 2.0], [1.0, 2.0], [1.0]]}, "row 3: a vector of length 1"),
        ({"embedding": [["a"], ["b"]]}, r"vectors of type list<.*string>"),
        ({"embedding": [[[1.0]], [[2.0]]]}, "expected lists of numbers"),
        ({"embedding": [1.0, 2.0]}, "vectors of type double"),
        ({"embedding": ["[1, 2]"]}, "vectors of type string"),
        ({"embedding": pa.array([], pa.list_(pa.float32()))}, r"expected \(N, D\)"),
        ({"embedding": pa.array([[], []], pa.list_(pa.float32()))}, r"expected \(N, D\)"),
        ({"weights": [[1.0]]}, "holds weights; expected the vectors"),
        ({"embedding": VECTORS, "id": ["a", None, "c"]}, "row 2: id None is of type NoneType"),
        ({"embedding": VECTORS, "id": ["a", "b", ""]}, "row 3: id '' is empty"),
        ({"embedding": VECTORS, "subject": ["a", None, "c"]}, "row 2: subject None"),
        ({"embedding": VECTORS, "label": [1, 2, None]}, "row 3: subject None"),
        ({"embedding": VECTORS, "id": [1.0, 2.0, 3.0]}, r"row 1: id 1\.0 is of type float"),
        ({"embedding": VECTORS, "norm": ["a", "b", "c"]}, "norms that are not numbers"),
    ],
)
def test_bad_columns_are_named(tmp_path, columns, found):
    with pytest.raises(InputError, match=rf"a\.parquet.*{found}"):
        open_embeddings(write(tmp_path / "a.parquet", **columns))


def test_a_null_inside_a_vector_is_found_as_an_invalid_row(tmp_path):
    path = write(tmp_path / "a.parquet", embedding=[[1.0, 2.0], [1.0, None]], id=["a", "b"])
    assert open_embeddings(path).invalid().tolist() == [1]
    with pytest.raises(InputError, match="row 2: the embedding of 'b' is not finite"):
        read_embeddings(path)


def test_folders_named_like_columns_add_none(tmp_path):
    folder = tmp_path / "subject=bob"
    folder.mkdir()
    assert read_embeddings(write(folder / "a.parquet", embedding=VECTORS)).subjects is None


def test_a_cut_file_is_refused(tmp_path):
    path = write(tmp_path / "a.parquet", embedding=VECTORS * 50)
    whole = path.read_bytes()
    for size in (3, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"a\.parquet: not a readable Parquet file"):
            open_embeddings(path)
