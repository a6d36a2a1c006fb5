"""The backbones: counts and shapes as published, and blocks as their equations say."""

from __future__ import annotations

import sys
import warnings

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from damcli.errors import MissingExtra, UserError  # noqa: E402
from damcli.models.backbones import BACKBONES, build_backbone  # noqa: E402
from damcli.models.backbones.iresnet import IRBlock  # noqa: E402
from damcli.models.backbones.mobile import Bottleneck  # noqa: E402


def on_paper(name: str, dim: int) -> nn.Module:
    with torch.device("meta"):
        return build_backbone(name, dim=dim)


def count(network: nn.Module) -> int:
    return sum(values.numel() for values in network.parameters())


def ir_count(depths: tuple[int, ...], dim: int) -> int:
    total, entering = 27 * 64 + 3 * 64, 64
    for width, depth in zip((64, 128, 256, 512), depths, strict=True):
        for number in range(depth):
            norms = 2 * entering + 2 * width + 2 * width
            total += norms + 9 * entering * width + width + 9 * width * width
            total += 0 if number else entering * width + 2 * width
            entering = width
    return total + 2 * 512 + (512 * 49 + 1) * dim + 2 * dim


def mobile_count(dim: int) -> int:
    """Count Table 1 of the paper: a convolution has 2 a channel of batch norm, 1 of PReLU."""
    total, entering = 27 * 64 + 9 * 64 + 6 * 64, 64
    for t, c, n in ((2, 64, 5), (4, 128, 1), (2, 128, 6), (4, 128, 1), (2, 128, 2)):
        for _ in range(n):
            inner = t * entering
            total += entering * inner + 9 * inner + inner * c + 6 * inner + 2 * c
            entering = c
    return total + 128 * 512 + 3 * 512 + 49 * 512 + 2 * 512 + 512 * dim + 2 * dim


@pytest.mark.parametrize("dim", [512, 256, 7])
@pytest.mark.parametrize(
    ("name", "depths"),
    [
        ("r18", (2, 2, 2, 2)),
        ("r34", (3, 4, 6, 3)),
        ("r50", (3, 4, 14, 3)),
        ("r100", (3, 13, 30, 3)),
    ],
)
def test_parameters_of_the_resnets(name, depths, dim):
    assert count(on_paper(name, dim)) == ir_count(depths, dim)


@pytest.mark.parametrize("dim", [512, 128, 7])
def test_parameters_of_mobilefacenet(dim):
    assert count(on_paper("mobile", dim)) == mobile_count(dim)


@pytest.mark.parametrize(
    ("name", "dim", "millions"),
    # insightface's for its iresnets; the paper's for MobileFaceNet
    [("r18", 512, 24.02), ("r50", 512, 43.59), ("r100", 512, 65.15), ("mobile", 128, 0.99)],
)
def test_parameters_as_published(name, dim, millions):
    assert count(on_paper(name, dim)) / 1e6 == pytest.approx(millions, abs=0.02)


@pytest.mark.parametrize(("name", "map_channels"), [("r18", 512), ("mobile", 128)])
def test_shapes(name, map_channels):
    network = on_paper(name, 9)
    seen = []
    last = network.layer4 if name == "r18" else network.blocks
    last.register_forward_hook(lambda module, given, output: seen.append(tuple(output.shape)))
    output = network(torch.empty(2, 3, 112, 112, device="meta"))
    assert (seen, tuple(output.shape)) == ([(2, map_channels, 7, 7)], (2, 9))


def shaken(module: nn.Module) -> nn.Module:
    """Give batch norms and PReLUs numbers of their own."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.PReLU):
            nn.init.uniform_(part.weight, 0.2, 1.5)
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.bias, part.running_mean):
                nn.init.normal_(values)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return module.eval()


def norm(x: torch.Tensor, of: nn.BatchNorm2d) -> torch.Tensor:
    mean, var, scale, shift = (
        values[:, None, None] for values in (of.running_mean, of.running_var, of.weight, of.bias)
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * scale + shift


def prelu(x: torch.Tensor, of: nn.PReLU) -> torch.Tensor:
    return torch.where(x > 0, x, x * of.weight[:, None, None])


@pytest.mark.parametrize(("entering", "leaving", "stride"), [(4, 4, 1), (4, 6, 2), (4, 4, 2)])
def test_an_ir_block_is_what_it_says(entering, leaving, stride):
    torch.manual_seed(1)
    block = shaken(IRBlock(entering, leaving, stride))
    x = torch.randn(3, entering, 8, 8)
    inner = F.conv2d(norm(x, block.bn1), block.conv1.weight, padding=1)
    inner = prelu(norm(inner, block.bn2), block.prelu)
    inner = norm(F.conv2d(inner, block.conv2.weight, stride=stride, padding=1), block.bn3)
    beside = x
    if (entering, stride) != (leaving, 1):
        convolution, bn = block.downsample
        beside = norm(F.conv2d(x, convolution.weight, stride=stride), bn)
    torch.testing.assert_close(block(x), inner + beside)


@pytest.mark.parametrize(
    ("leaving", "stride", "adds"), [(4, 1, True), (6, 1, False), (4, 2, False)]
)
def test_a_bottleneck_is_what_it_says(leaving, stride, adds):
    torch.manual_seed(1)
    block = shaken(Bottleneck(4, leaving, 2, stride))
    x = torch.randn(3, 4, 8, 8)
    convolution, bn, slopes = block.expand
    inner = prelu(norm(F.conv2d(x, convolution.weight), bn), slopes)
    convolution, bn, slopes = block.depthwise
    inner = F.conv2d(inner, convolution.weight, stride=stride, padding=1, groups=8)
    convolution, last = block.project
    inner = norm(F.conv2d(prelu(norm(inner, bn), slopes), convolution.weight), last)
    torch.testing.assert_close(block(x), inner + x if adds else inner)


def test_the_seed_makes_the_weights():
    torch.manual_seed(5)
    first = build_backbone("mobile", dim=16)
    torch.manual_seed(5)
    again = build_backbone("mobile", dim=16)
    other = build_backbone("mobile", dim=16)
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)
    assert not torch.equal(first.fc.weight, other.fc.weight)


def test_first_weights():
    torch.manual_seed(0)
    wide = build_backbone("r18", dim=4).layer4[1].conv2.weight
    assert float(wide.detach().std()) == pytest.approx(0.1, rel=1e-2)
    pool = build_backbone("mobile", dim=4).pool[0].weight
    assert float(pool.detach().std()) == pytest.approx((2 / 49) ** 0.5, rel=2e-2)


@pytest.mark.parametrize("name", ["mobile", "r18"])
def test_memory_format_and_neighbours_change_nothing(name):
    torch.manual_seed(0)
    network = build_backbone(name, dim=8)
    images = torch.rand(3, 3, 112, 112) * 2 - 1
    with torch.no_grad():
        network(images)
        network.eval()
        expected = network(images)
        turned = network.to(memory_format=torch.channels_last)
        found = turned(images.to(memory_format=torch.channels_last))
        alone = network(images[1:2])
    near = 1e-4 * float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=near)
    torch.testing.assert_close(alone, expected[1:2], rtol=0, atol=near)


@pytest.mark.parametrize("name", ["mobile", "r18"])
def test_everything_is_trained_but_the_last_scale_of_resnets(name):
    network = build_backbone(name, dim=8, dropout=0.1)
    network(torch.randn(2, 3, 112, 112)).square().sum().backward()
    without = [key for key, values in network.named_parameters() if values.grad is None]
    assert without == (["features.weight"] if name == "r18" else [])


@pytest.mark.parametrize("name", ["mobile", "r18"])
def test_compiles_into_one_graph(name):
    network = build_backbone(name, dim=8)
    images = torch.randn(2, 3, 112, 112)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own insides
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        assert compiled(images).shape == (2, 8)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("r101", {}, "backbone 'r101'; expected one of mobile, r18, r34, r50, r100"),
        ("mobile", {"dim": 0}, "dimension 0; expected 1 or more"),
        ("mobile", {"dropout": 1.0}, "dropout 1; expected a share from 0 to below 1"),
        ("mobile", {"dropout": float("nan")}, "dropout nan"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(UserError, match=message):
        build_backbone(name, **options)


@pytest.mark.parametrize("name", BACKBONES)
def test_without_torch(name, monkeypatch):
    for module in ("iresnet", "mobile"):
        monkeypatch.delitem(sys.modules, f"damcli.models.backbones.{module}")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=f"the backbone {name} needs the extra"):
        build_backbone(name)
