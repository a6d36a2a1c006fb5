from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from damcli.embedding import outputs
from damcli.embedding.batches import groups_of
from damcli.embedding.embed import embed
from damcli.embedding.ranks import Ranks
from damcli.errors import InputError, OutputError, UserError
from damcli.storage.files import open_embeddings, read_embeddings
from damcli.storage.partial import partial_path, partials_of
from damcli.storage.unit import unit_rows
from tests.pictures import PREPROCESSING, SIZE, Pictures, Plain, Projection


def run(output: Path, source: Pictures | None = None, network: Projection | None = None, **more):
    options = {"framing": Plain(), "preprocessing": PREPROCESSING, "batch_size": 4, **more}
    return embed(source or Pictures(), network or Projection(), output, **options)


def die_at(batch: int):
    def before(number: int) -> None:
        if number == batch:
            raise KeyboardInterrupt

    return before


def interrupt(output: Path, batch: int, source: Pictures | None = None, **more) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(output, source, Projection(before=die_at(batch)), **more)


def by_hand(pictures: Pictures, rows: list[int]) -> np.ndarray:
    network = Projection()
    raw = []
    for row in rows:
        pixels = (pictures.images[row].astype(np.float64) - 127.5) / 127.5
        raw.append(pixels.transpose(2, 0, 1).ravel() @ network.weights)
    return np.array(raw)


def test_rows_are_the_models_outputs_in_the_sources_order(tmp_path: Path) -> None:
    pictures = Pictures()
    done = run(tmp_path / "emb.h5", pictures)
    found = read_embeddings(tmp_path / "emb.h5")
    expected = by_hand(pictures, list(range(20)))
    lengths = np.linalg.norm(expected, axis=1)
    assert (done.written, done.computed, done.dim) == (20, 20, 7)
    assert list(found.ids) == pictures.names
    assert list(found.subjects) == [name[0] for name in pictures.names]
    assert list(found.groups["camera"]) == [f"c{row % 2}" for row in range(20)]
    np.testing.assert_allclose(found.vectors, expected / lengths[:, None], atol=1e-6)
    np.testing.assert_allclose(found.norms, lengths, rtol=1e-6)


def test_what_is_recorded(tmp_path: Path) -> None:
    run(tmp_path / "emb.h5", Pictures(broken=[3]), about={"model_arch": "a:b"}, command="damcli x")
    attributes = open_embeddings(tmp_path / "emb.h5").attributes
    assert attributes["model_sha256"] == "d1"
    assert attributes["model_name"] == "projection.onnx"
    assert attributes["runtime"] == "numpy, CPU"
    assert attributes["preprocessing"] == PREPROCESSING.as_json()
    assert (attributes["framing"], attributes["flip"]) == ("as it is", "none")
    assert (attributes["model_arch"], attributes["command"]) == ("a:b", "damcli x")
    assert (attributes["rejects"], attributes["source"]) == (1, "pictures")


@pytest.mark.parametrize(
    "more", [{"batch_size": 1}, {"batch_size": 7}, {"batch_size": 64}, {"workers": 1}]
)
def test_batch_size_and_workers_change_nothing(tmp_path: Path, more: dict) -> None:
    pictures = Pictures(broken=[0, 9])
    run(tmp_path / "a.h5", pictures, workers=5)
    run(tmp_path / "b.h5", pictures, **more)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_row_is_normalised_to_the_same_bits_in_any_batch(rng: np.random.Generator) -> None:
    for dim in (1, 7, 128, 512):
        vectors = rng.normal(size=(50, dim)).astype(np.float32)
        ids = np.array([str(i) for i in range(50)], dtype=object)
        together, norms = unit_rows(vectors, "x", ids)
        for row in range(50):
            alone, norm = unit_rows(vectors[row : row + 1], "x", ids)
            assert (alone[0] == together[row]).all()
            assert norm[0] == norms[row]


@pytest.mark.parametrize("flip", ["sum", "concat"])
def test_flip(tmp_path: Path, flip: str) -> None:
    pictures, mirrored = Pictures(), Pictures()
    mirrored.images = mirrored.images[:, :, ::-1]
    rows = list(range(20))
    both = [by_hand(pictures, rows), by_hand(mirrored, rows)]
    expected = both[0] + both[1] if flip == "sum" else np.concatenate(both, axis=1)
    run(tmp_path / "emb.h5", pictures, flip=flip)
    found = read_embeddings(tmp_path / "emb.h5")
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found.vectors, expected, atol=1e-6)


def test_flip_finds_the_width_of_nhwc(tmp_path: Path) -> None:
    from dataclasses import replace

    class Columns(Projection):
        def run(self, batch: np.ndarray) -> np.ndarray:
            assert batch.shape[1:] == (*SIZE, 3)
            return batch.mean(axis=(1, 3))

    pictures = Pictures()
    options = {"preprocessing": replace(PREPROCESSING, layout="NHWC"), "flip": "concat"}
    run(tmp_path / "emb.h5", pictures, Columns(), **options)
    width = SIZE[1]
    found = read_embeddings(tmp_path / "emb.h5").vectors
    np.testing.assert_allclose(found[:, :width], found[:, width:][:, ::-1], atol=1e-6)


def test_float16_halves_the_vectors(tmp_path: Path) -> None:
    run(tmp_path / "a.h5")
    run(tmp_path / "b.h5", dtype="float16")
    with h5py.File(tmp_path / "a.h5") as one, h5py.File(tmp_path / "b.h5") as other:
        assert other["embedding"].dtype == "float16"
        assert (one["embedding"][:].astype("float16") == other["embedding"][:]).all()


def rejects(output: Path) -> list[list[str]]:
    with output.with_suffix(".rejects.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_broken_images_are_listed_and_left_out(tmp_path: Path) -> None:
    pictures = Pictures(broken=[1, 6])
    done = run(tmp_path / "emb.h5", pictures)
    assert [one.id for one in done.rejects] == [pictures.names[1], pictures.names[6]]
    assert rejects(tmp_path / "emb.h5") == [
        ["id", "place", "reason"],
        [pictures.names[1], pictures.place_of(1), "is broken"],
        [pictures.names[6], pictures.place_of(6), "is broken"],
    ]
    kept = [name for row, name in enumerate(pictures.names) if row not in (1, 6)]
    assert list(read_embeddings(tmp_path / "emb.h5").ids) == kept


def test_outputs_without_a_direction_are_rejects(tmp_path: Path) -> None:
    class Spoilt(Projection):
        def run(self, batch: np.ndarray) -> np.ndarray:
            outputs = super().run(batch)
            if len(self.batches) == 2:
                outputs[1], outputs[2, 3], outputs[3, 0] = 0, np.nan, np.inf
            return outputs

    run(tmp_path / "emb.h5", network=Spoilt())
    reasons = [row[2] for row in rejects(tmp_path / "emb.h5")[1:]]
    assert reasons == [
        "the model's output for it is all zeros",
        "the model's output for it is not finite (NaN or infinity)",
        "the model's output for it is not finite (NaN or infinity)",
    ]
    expected = [name for row, name in enumerate(Pictures().names) if row not in (5, 6, 7)]
    assert list(read_embeddings(tmp_path / "emb.h5").ids) == expected


def test_an_old_list_of_rejects_goes(tmp_path: Path) -> None:
    run(tmp_path / "emb.h5", Pictures(broken=[1]))
    run(tmp_path / "emb.h5", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["emb.h5"]


def test_strict_ends_at_the_first_and_keeps_what_was_done(tmp_path: Path) -> None:
    pictures = Pictures(broken=[9, 14])
    with pytest.raises(InputError, match=r"pictures/4/é9.png: is broken") as caught:
        run(tmp_path / "emb.h5", pictures, strict=True)
    assert "--resume" in str(caught.value.hint)
    assert [path.name for path in tmp_path.iterdir()] == ["emb.h5.partial"]
    pictures.broken.clear()
    assert run(tmp_path / "emb.h5", pictures, strict=True, resume=True).computed == 12


def test_no_image_works(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no embedding .* its 4 images; .*/é0.png: is br"):
        run(tmp_path / "emb.h5", Pictures(4, broken=range(4)))
    assert not list(tmp_path.iterdir())


def test_ids_must_be_unique(tmp_path: Path) -> None:
    pictures = Pictures()
    pictures.names[7] = pictures.names[2]
    with pytest.raises(InputError, match="was already given to row 3"):
        run(tmp_path / "emb.h5", pictures)


def test_detected_landmarks_are_kept_beside_the_output(tmp_path: Path) -> None:
    from damcli.sources.landmarks import read_landmarks

    pictures = Pictures()
    done = run(tmp_path / "emb.h5", pictures, framing=Plain(faces=2))
    assert list(done.several_faces) == pictures.names
    found = read_landmarks(tmp_path / "emb.landmarks.csv")
    for row, name in enumerate(pictures.names):
        assert (found.of(name) == np.float32(pictures.images[row, 0, 0, 0]) / 3).all()
    pictures.names = pictures.names[::-1]
    run(tmp_path / "emb.h5", pictures, framing=Plain(faces=2), resume=True)
    assert list(read_landmarks(tmp_path / "emb.landmarks.csv").ids) == pictures.names


@pytest.mark.parametrize("batch", range(1, 5))
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_resume_changes_no_bit(tmp_path: Path, batch: int, dtype: str) -> None:
    options = {"dtype": dtype, "framing": Plain(faces=1)}
    pictures = Pictures(broken=[2, 13])
    run(tmp_path / "whole.h5", pictures, **options)
    interrupt(tmp_path / "emb.h5", batch, pictures, **options)
    assert [path.name for path in tmp_path.glob("emb*")] == ["emb.h5.partial"]
    again = Pictures(broken=[2, 13])
    done = run(tmp_path / "emb.h5", again, **options, resume=True)
    kept = [name for row, name in enumerate(pictures.names[: 4 * batch]) if row not in (2, 13)]
    assert not set(kept) & set(again.read_names)
    assert done.computed == 18 - len(kept)
    for suffix in ("h5", "rejects.csv", "landmarks.csv"):
        assert (tmp_path / f"emb.{suffix}").read_bytes() == (
            tmp_path / f"whole.{suffix}"
        ).read_bytes()
    assert not partials_of(tmp_path / "emb.h5")


def test_a_partial_cut_at_any_byte_is_resumed(tmp_path: Path) -> None:
    run(tmp_path / "whole.h5", Pictures(8), batch_size=2)
    interrupt(tmp_path / "emb.h5", 3, Pictures(8), batch_size=2)
    partial = partial_path(tmp_path / "emb.h5")
    content = partial.read_bytes()
    for length in range(0, len(content), 61):
        (tmp_path / "emb.h5").unlink(missing_ok=True)
        partial.write_bytes(content[:length])
        run(tmp_path / "emb.h5", Pictures(8), batch_size=2, resume=True)
        assert (tmp_path / "emb.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_a_process_that_dies_in_the_middle_is_resumed(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from tests.test_embedding import run
from tests.pictures import Projection
run(Path(sys.argv[1]), network=Projection(before=lambda n: os._exit(9) if n == 3 else None))
"""
    dead = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "emb.h5"],
        cwd=Path(__file__).parent.parent,
        check=False,
    )
    assert dead.returncode == 9
    run(tmp_path / "whole.h5")
    assert run(tmp_path / "emb.h5", resume=True).computed == 8
    assert (tmp_path / "emb.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_a_finished_output_is_added_to_and_thinned(tmp_path: Path) -> None:
    run(tmp_path / "emb.h5", Pictures(12))
    larger = Pictures(20)
    run(tmp_path / "whole.h5", larger)
    assert run(tmp_path / "emb.h5", larger, resume=True).computed == 8
    assert (tmp_path / "emb.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    fewer = Pictures(20)
    fewer.names, fewer.images = fewer.names[5:], fewer.images[5:]
    done = run(tmp_path / "emb.h5", fewer, resume=True)
    assert (done.computed, done.dropped, done.written) == (0, 5, 15)
    assert list(read_embeddings(tmp_path / "emb.h5").ids) == fewer.names


@pytest.mark.parametrize("last", ["write_landmarks", "write_embeddings", "partials_of"])
@pytest.mark.parametrize("existing", [False, True])
def test_an_end_while_the_outputs_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, existing: bool
) -> None:
    """Before landmarks, before the embeddings, before the journals are removed."""
    how = {"framing": Plain(faces=1), "resume": existing}
    pictures, output = Pictures(broken=[2, 13]), tmp_path / "emb.h5"
    run(tmp_path / "whole.h5", pictures, framing=Plain(faces=1))
    if existing:
        run(output, Pictures(12), framing=Plain(faces=1))
        pictures.broken = {15}
        run(tmp_path / "whole.h5", pictures, framing=Plain(faces=1), force=True)
    before = output.read_bytes() if existing else None
    plain = getattr(outputs, last)

    def stopped(*given, **more):
        if last == "partials_of" and not (tmp_path / "emb.rejects.csv").exists():
            return plain(*given, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(outputs, last, stopped)
        run(output, pictures, **how)
    if last != "partials_of":
        assert (output.read_bytes() if output.exists() else None) == before
    with pytest.raises(OutputError, match=r"an interrupted run left emb\.h5\.partial"):
        run(output, pictures, framing=Plain(faces=1))
    assert run(output, pictures, framing=Plain(faces=1), resume=True).computed == 0
    for suffix in ("h5", "rejects.csv", "landmarks.csv"):
        written = (tmp_path / f"emb.{suffix}").read_bytes()
        assert written == (tmp_path / f"whole.{suffix}").read_bytes()
    assert not partials_of(output)


def test_images_that_can_hardly_show_a_face_are_named_and_embedded(tmp_path: Path) -> None:
    from damcli.sources.framing import WholeImage

    pictures = Pictures(12)
    images = list(pictures.images)
    images[1], images[7] = np.ones((1, 1, 3), np.uint8), np.ones((3000, 20, 3), np.uint8)
    pictures.images = images
    done = run(tmp_path / "emb.h5", pictures, framing=WholeImage(SIZE))
    assert done.written == 12
    assert [one[2:] for one in done.odd] == [(1, 1, 1), (20, 3000, 7)]
    assert [one.place for one in done.odd] == [pictures.place_of(1), pictures.place_of(7)]


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    interrupt(tmp_path / "emb.h5", 2)
    with pytest.raises(OutputError, match=r"an interrupted run left emb\.h5\.partial") as caught:
        run(tmp_path / "emb.h5")
    assert "--resume" in str(caught.value.hint)
    assert "--force" in str(caught.value.hint)
    assert run(tmp_path / "emb.h5", force=True).computed == 20
    with pytest.raises(OutputError, match="exists already"):
        run(tmp_path / "emb.h5")
    (tmp_path / "other.rejects.csv").write_text("precious")
    with pytest.raises(OutputError, match=r"other\.rejects\.csv: exists already"):
        run(tmp_path / "other.h5")


OTHERS = {
    r"model projection.onnx \(d1\); expected model projection.onnx \(d2\)": {
        "network": Projection(digest="d2")
    },
    "framing as it is; expected another": {"framing": Plain("another")},
    "flip none; expected sum": {"flip": "sum"},
    "dtype float32; expected float16": {"dtype": "float16"},
    "columns subject, group/camera; expected group/camera": {"source": Pictures(subjects=False)},
    "model_output unknown; expected fc1": {"about": {"model_output": "fc1"}},
}


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("message", OTHERS)
def test_another_contract_is_not_resumed(tmp_path: Path, message: str, finished: bool) -> None:
    if finished:
        run(tmp_path / "emb.h5")
    else:
        interrupt(tmp_path / "emb.h5", 2)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=f"was made with {message}"):
        run(tmp_path / "emb.h5", **OTHERS[message], resume=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_embeddings_of_another_origin_are_not_resumed(tmp_path: Path) -> None:
    from damcli.storage.hdf5 import write_embeddings
    from tests.faces import faces

    write_embeddings(tmp_path / "emb.h5", faces(2, 2))
    with pytest.raises(
        InputError, match=r"with model unknown; expected model projection.onnx \(d1"
    ):
        run(tmp_path / "emb.h5", resume=True)


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_run_of_several_is_finished_by_one(tmp_path: Path, ranks: int) -> None:
    class Lonely(Ranks):
        """Has nobody to wait for, and dies before the end."""

        def first(self, work):
            return work() if self.is_first else None

        def gather(self, mine):
            if mine is not None:
                raise KeyboardInterrupt
            return [None]

    run(tmp_path / "whole.h5")
    for rank in range(ranks):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "emb.h5", ranks=Lonely(rank, ranks), resume=True)
    assert len(partials_of(tmp_path / "emb.h5")) == ranks
    assert run(tmp_path / "emb.h5", resume=True).computed == 0
    assert (tmp_path / "emb.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_ranks_share_the_groups_of_a_single_run() -> None:
    missing = np.ones(23, dtype=bool)
    missing[[0, 1, 2, 3, 9]] = False
    alone = [list(group) for group in groups_of(missing, 4, 0, 1)]
    assert list(np.concatenate(alone)) == list(np.flatnonzero(missing))
    shared = [list(group) for rank in range(3) for group in groups_of(missing, 4, rank, 3)]
    assert sorted(shared) == alone


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    run(tmp_path / "emb.h5", Pictures(10, broken=[5]), progress=seen.append)
    assert seen == [(0, 10, 0), (4, 10, 0), (8, 10, 1), (10, 10, 1)]


@pytest.mark.parametrize(
    "more", [{"flip": "both"}, {"batch_size": 0}, {"workers": 0}, {"dtype": "int8"}]
)
def test_options_out_of_range(tmp_path: Path, more: dict) -> None:
    with pytest.raises(UserError, match="expected"):
        run(tmp_path / "emb.h5", **more)


def test_decoding_does_not_run_far_ahead(tmp_path: Path) -> None:
    pictures = Pictures(100)
    ahead = []
    network = Projection(before=lambda batch: ahead.append(len(pictures.read_names) - 4 * batch))
    run(tmp_path / "emb.h5", pictures, network, workers=2)
    assert max(ahead) <= (2 * 2 + 1) * 4  # two shares a thread, and the batch that is run
