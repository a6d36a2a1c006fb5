"""--root is a wall: no list of a stranger's reads a picture from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from damcli.sources.opening import open_source
from damcli.storage.files import read_embeddings
from tests.cli import Outcome, damcli, failed
from tests.images import save
from tests.networks import conv_net


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "root" / "a" / "1.png", 1)
    save(tmp_path / "root" / "a" / "2.png", 2)
    save(tmp_path / "root2" / "secret.png", 3)
    conv_net(tmp_path / "net.onnx", size=(8, 8))
    return tmp_path


def embed(folder: Path, *options: object, stdin: bytes = b"") -> Outcome:
    how = ["--size", "8x8", "--crop", "center", "--color", "rgb", "--mean", 0, "--std", 255]
    model = ["--model", folder / "net.onnx", "-o", folder / "emb.h5"]
    return damcli("embed", *options, *model, *how, stdin=stdin)


def ways_out(folder: Path) -> list[str]:
    secret = folder / "root2" / "secret.png"
    return ["../root2/secret.png", "a/../../root2/secret.png", str(secret), "./../root2/secret.png"]


@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize("stdin", [False, True])
def test_paths_that_say_so(folder: Path, way: int, stdin: bool) -> None:
    path = ways_out(folder)[way]
    text = f"path\na/1.png\n{path}\n"
    listed = folder / "list.csv"
    listed.write_text(text)
    done = embed(folder, "-" if stdin else listed, "--root", folder / "root", stdin=text.encode())
    origin = "stdin" if stdin else str(listed)
    failed(done, f"{origin}, row 3: '{path}' leads out of --root {folder / 'root'}", "hint: mend")
    assert not (folder / "emb.h5").exists()


@pytest.mark.parametrize("of", ["file", "folder"])
def test_links_are_counted_and_named(folder: Path, of: str) -> None:
    linked = folder / "root" / "a" / "3.png" if of == "file" else folder / "root" / "b"
    linked.symlink_to(folder / "root2" / ("secret.png" if of == "file" else ""))
    path = "a/3.png" if of == "file" else "b/secret.png"
    (folder / "list.txt").write_text(f"a/1.png\n{path}\na/2.png\n")
    done = embed(folder, folder / "list.txt", "--root", folder / "root")
    assert done.code == 0, done.err
    assert "1 image" in done.err
    said = f"lies behind a link out of --root, to {(folder / 'root2/secret.png').resolve()}"
    assert said in (folder / "emb.rejects.csv").read_text()
    assert list(read_embeddings(folder / "emb.h5").ids) == ["a/1.png", "a/2.png"]


def test_what_stays_inside_is_read(folder: Path) -> None:
    (folder / "root" / "link.png").symlink_to(folder / "root" / "a" / "1.png")
    inside = folder / "root" / "a" / "2.png"
    (folder / "door").symlink_to(folder / "root")
    (folder / "list.txt").write_text(f"a/../a/1.png\nlink.png\n..a.png\n{inside}\n")
    save(folder / "root" / "..a.png", 4)
    source = open_source(str(folder / "list.txt"), root=folder / "root")
    assert [source.read(row).image.shape for row in range(4)] == [(12, 10, 3)] * 4
    (folder / "list.txt").write_text("a/1.png\nlink.png\n")
    for root in (folder / "door", folder / "root2" / ".." / "root"):
        source = open_source(str(folder / "list.txt"), root=root)
        assert [source.read(row).image.shape for row in range(2)] == [(12, 10, 3)] * 2


def test_without_a_root_a_list_of_ones_own_leads_anywhere(folder: Path) -> None:
    (folder / "root" / "list.txt").write_text("\n".join(ways_out(folder)))
    source = open_source(str(folder / "root" / "list.txt"))
    assert len([source.read(row) for row in range(4)]) == 4


def test_protocol_files_only_name_ids(folder: Path) -> None:
    rows = ["1\t1", "../root2/secret\t1\t2", "../root2/secret\t1\t/etc/passwd\t1"]
    (folder / "root" / "pairs.txt").write_text("\n".join(rows) + "\n")
    assert embed(folder, folder / "root" / "a").code == 0
    emb, made = folder / "emb.h5", folder / "a.h5"
    assert damcli("build-anchors", emb, "-o", made, "--kind", "fake-db").code == 0
    score = ["score", "--protocol", "lfw", "--root", folder / "root", "--allow-overlap"]
    done = damcli(*score, "-e", emb, "-a", made)
    failed(done, "have no embedding in", "../root2/secret/")


def test_a_protocol_file_is_no_link_out_of_the_root(folder: Path) -> None:
    (folder / "elsewhere.txt").write_text("secret 1 2\n")
    (folder / "root" / "pairs.txt").symlink_to(folder / "elsewhere.txt")
    assert embed(folder, folder / "root" / "a").code == 0
    score = ["score", "--protocol", "lfw", "-e", folder / "emb.h5", "-a", folder / "emb.h5"]
    done = damcli(*score, "--root", folder / "root")
    failed(done, "pairs.txt: is or lies behind a link out of --root")
    assert "secret" not in done.err.replace("secret.png", "")
