"""Class labels: the two layouts, and each error by its row."""

from __future__ import annotations

from pathlib import Path

import pytest

from damcli.errors import InputError
from damcli.models.labels import read_labels


def labels(tmp_path: Path, text: str | bytes) -> list[str]:
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_labels(path)


@pytest.mark.parametrize(
    "text",
    [
        "ann\nDoe, Bob\nçem\n",
        "\ufeffann\r\nDoe, Bob\r\nçem",
        "ann\n Doe, Bob \nçem\n\n \n",
        '0,ann\n1,"Doe, Bob"\n2,çem\n',
        'index,label\r\n2,çem\r\n0,ann\r\n1, "Doe, Bob"\r\n\r\n',
        '\ufeffClass,name\n2,çem\n01,"Doe, Bob"\n0,ann',
        'class,label,images\r\n0,ann,5\r\n1,"Doe, Bob",1\r\n2,çem,12\r\n',
    ],
)
def test_labels_in_class_order(tmp_path, text):
    assert labels(tmp_path, text) == ["ann", "Doe, Bob", "çem"]


def test_labels_that_are_numbers_or_quoted_stay_lines(tmp_path):
    assert labels(tmp_path, '7\n3\n"x\n') == ["7", "3", '"x']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is empty \(0 bytes\); expected a list of class labels"),
        ("\n\n", "holds only blank lines; expected one label a line"),
        ("index,label\n", "holds a header only; expected 'index,label' lines"),
        ("index,label\na\nb", "row 2: 'a'; expected 'index,label'"),
        ("a\n\nb\n", "row 2: is blank; expected a label"),
        ("a\nb\na\n", "row 3: label 'a' was already given in row 1"),
        ("i,l\n0,a\n1,b\n", "row 1: 'i,l' stands above 'index,label' lines"),
        ("index,label\n1,a\n0,b\n2,a\n", "row 4: label 'a' was already given in row 2"),
        ("1,a\n2,b\n", "row 2: index 2 among 2 labels; expected 0 to 1, each once"),
        ("0,a\n1,b\n1,c\n", "row 3: index 1 was already given in row 2"),
        ("0,a\nb\n", "row 2: 'b'; expected 'index,label' with a whole number"),
        ("0,a\n-1,b\n", "row 2: '-1,b'; expected 'index,label'"),
        ("0,a\n1,b,c\n", "row 2: '1,b,c'; expected 'index,label'"),
        ("0,a\n1,\n", "row 2: '1,'; expected 'index,label'"),
        ("class,label,images\n0,a,1\n1,b\n", "row 3: '1,b'; expected 'class,label,images' with"),
        ("class,label\n0,a,1\n", "row 2: '0,a,1'; expected 'index,label' with"),
        ('0,a\n1,"b\n', "row 2: is not well-formed CSV"),
        (b"\xff\xfe\x00a", "cannot be read as text .*; expected class labels in UTF-8"),
    ],
)
def test_label_errors_name_the_row(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        labels(tmp_path, text)


def test_label_file_missing_or_folder(tmp_path):
    with pytest.raises(InputError, match="no such file; expected a list of class labels"):
        read_labels(tmp_path / "none.txt")
    with pytest.raises(InputError, match="is not a file"):
        read_labels(tmp_path)
