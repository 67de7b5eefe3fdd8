"""Gallery URIs, and what is imported for them."""

import subprocess
import sys
from pathlib import Path

import pytest

from index import GalleryError, GalleryUnavailable, NotOffered, open_gallery
from index.milvus.address import parse


def test_addresses(tmp_path: Path) -> None:
    plain = parse("milvus://host/people")
    assert (plain.uri, plain.name, plain.token, plain.pictures) == ("http://host:19530", "people", "", None)
    token = tmp_path / "token"
    token.write_text("root:secret\n")
    full = parse(
        f"milvus://h:1/g?tls=true&token_file={token}&pictures={tmp_path}&shards=2&replicas=3&index=hnsw&database=d"
    )
    assert (full.uri, full.token, full.pictures, full.database) == (
        "https://h:1",
        "root:secret",
        tmp_path,
        "d",
    )
    assert (full.shards, full.replicas, full.index) == (2, 3, "hnsw")
    assert "secret" not in f"{full} {full!r}"
    assert parse("milvus://[::1]:1/g").uri == "http://[::1]:1"
    assert parse("milvus+lite:////tmp/x.db").uri == "/tmp/x.db"
    assert parse("milvus+lite:///x.db").uri == "x.db"


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("milvus://host", "milvus://host:port/name"),
        ("milvus:///people", "milvus://host:port/name"),
        ("milvus://host/a-b", "milvus://host:port/name"),
        ("milvus://root:secret@host/people", "token_file"),
        ("milvus://host/people?indx=hnsw", "'indx' is no option"),
        ("milvus://host/people?index=fast", "expected exact, hnsw, ivf"),
        ("milvus://host/people?index=gpu", "expected exact, hnsw, ivf"),
        ("milvus://host/people?tls=yes", "expected true, false"),
        ("milvus://host:port/people", "milvus://host:port/name"),
        ("milvus://host/people?shards=0", "from 1 to 64"),
        ("milvus://host/people?token_file=/nowhere", "/nowhere cannot be read"),
        ("milvus+lite:///people", "path.db"),
    ],
)
def test_what_is_no_address(uri: str, text: str) -> None:
    with pytest.raises(GalleryError, match=text) as refused:
        _ = parse(uri).token
    assert "secret" not in str(refused.value)


def test_an_embedded_gallery_does_not_need_pymilvus(tmp_path: Path) -> None:
    """Also `dgrl migrate`, and the service: only the scheme brings it in."""
    code = (
        "import sys; import index, service.cli; from index import open_gallery;"
        f"open_gallery('sqlite:///{tmp_path / 'g.db'}', bundle_id='b', dimension=4).close();"
        "print([name for name in ('pymilvus', 'grpc', 'pandas') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_without_pymilvus_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("pymilvus", "index.milvus."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(GalleryUnavailable, match=r"pip install '\.\[scale\]'"):
        open_gallery("milvus://127.0.0.1:1/people", bundle_id="b", dimension=4)


def test_a_search_that_milvus_does_not_have_is_refused_before_it_is_asked() -> None:
    with pytest.raises(NotOffered, match="choose exact, hnsw, ivf"):
        open_gallery("milvus://127.0.0.1:1/people", bundle_id="b", dimension=4, search="gpu")
