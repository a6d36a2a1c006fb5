from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from damcli.storage.text_spool import TextSpool

ROWS = st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=5)


@given(st.lists(ROWS, max_size=6), st.data())
def test_any_piece_reads_back_as_it_was_written(
    pieces: list[list[tuple[str, str]]], data: st.DataObject
) -> None:
    spool = TextSpool(["race", "site"])
    whole = [row for piece in pieces for row in piece]
    for piece in pieces:
        columns = list(zip(*piece, strict=True)) or [(), ()]
        texts = [pa.array(list(column), pa.string()) for column in columns]
        spool.append({"race": texts[0], "site": texts[1]})
    start = data.draw(st.integers(0, len(whole)))
    count = data.draw(st.integers(0, len(whole) - start))
    found = spool.read(start, count)
    assert list(zip(found["race"], found["site"], strict=True)) == whole[start : start + count]
