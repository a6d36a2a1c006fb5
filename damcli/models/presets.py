"""The preprocessing that the well-known recognisers were published with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from damcli.models.contract import Preprocessing


class Preset(NamedTuple):
    """A published convention, and where it can be read."""

    preprocessing: Preprocessing
    models: str
    source: str


_HALF = (127.5, 127.5, 127.5)
_ZERO = (0.0, 0.0, 0.0)
_ONE = (1.0, 1.0, 1.0)
_BYTE = (255.0, 255.0, 255.0)
_INSIGHTFACE = Preprocessing((112, 112), "rgb", _HALF, _HALF)

KNOWN: Mapping[str, Preset] = MappingProxyType(
    {
        "arcface": Preset(
            _INSIGHTFACE,
            "ArcFace, CosFace and Partial FC as insightface trains them",
            "deepinsight/insightface, recognition/arcface_torch/inference.py",
        ),
        "insightface": Preset(
            _INSIGHTFACE,
            "the same, by the name of the package",
            "deepinsight/insightface, recognition/arcface_torch/inference.py",
        ),
        "edgeface": Preset(
            _INSIGHTFACE, "EdgeFace", "otroshi/edgeface, README.md and its transform"
        ),
        "facenet": Preset(
            Preprocessing((160, 160), "rgb", _HALF, (128.0, 128.0, 128.0)),
            "InceptionResnetV1 of facenet-pytorch",
            "timesler/facenet-pytorch, fixed_image_standardization in models/mtcnn.py",
        ),
        "imagenet": Preset(
            Preprocessing((224, 224), "rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
            "torchvision's and most other ImageNet backbones",
            "pytorch/vision, the normalisation of its pretrained weights, times 255",
        ),
        "sface": Preset(
            Preprocessing((112, 112), "rgb", _ZERO, _ONE),
            "SFace, as OpenCV's FaceRecognizerSF feeds it",
            "opencv/opencv, modules/objdetect/src/face_recognize.cpp",
        ),
        "adaface": Preset(
            Preprocessing((112, 112), "bgr", _HALF, _HALF),
            "AdaFace",
            "mk-minchul/AdaFace, to_input in inference.py",
        ),
        "magface": Preset(
            Preprocessing((112, 112), "bgr", _ZERO, _BYTE),
            "MagFace",
            "IrvingMeng/MagFace, inference/gen_feat.py",
        ),
        "cosface": Preset(
            Preprocessing((112, 96), "rgb", _HALF, _HALF),
            "CosFace and SphereFace networks on 112 × 96 crops",
            "MuggleWang/CosFace_pytorch, lfw_eval.py",
        ),
        "vggface2": Preset(
            Preprocessing((224, 224), "rgb", (131.0912, 103.8827, 91.4953), _ONE),
            "the PyTorch models of VGGFace2",
            "ox-vgg/vgg_face2, standard_evaluation/pytorch_feature_extractor.py",
        ),
        "lightcnn": Preset(
            Preprocessing((128, 128), "grey", (0.0,), (255.0,)),
            "Light CNN, on grey images",
            "AlfredXiangWu/LightCNN, extract_features.py",
        ),
    }
)

PRESETS: Mapping[str, Preprocessing] = MappingProxyType(
    {name: preset.preprocessing for name, preset in KNOWN.items()}
)
