"""Bytes under the name of their sha256."""

import hashlib
import os
from pathlib import Path

import pytest

from covey.errors import BlobMissing, ChecksumMismatch, FileError
from covey.files.blobs import BlobStore


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def test_bytes_come_back_under_their_digest(store: BlobStore) -> None:
    digest = store.put(b"hello world")
    assert digest == digest_of(b"hello world")
    assert store.read(digest) == b"hello world"
    assert store.read(digest, 6, 3) == b"wor"
    assert store.read_piece(digest, 6, 100) == (11, b"world")
    assert store.size(digest) == 11
    assert store.path(digest).stat().st_mode & 0o777 == 0o600
    assert store.directory.stat().st_mode & 0o777 == 0o700
    store.verify(digest)


def test_the_same_bytes_are_kept_once(store: BlobStore) -> None:
    assert store.put(b"x") == store.put(b"x")
    assert list(store.digests()) == [digest_of(b"x")]
    assert store.total_bytes == 1


def test_a_blob_that_is_not_here_is_named(store: BlobStore) -> None:
    digest = digest_of(b"nothing")
    for ask in (store.read, store.size, store.path, store.verify):
        with pytest.raises(BlobMissing, match=digest[:12]):
            ask(digest)
    assert store.read_piece(digest, 0, 1) is None
    assert store.read_piece("../../etc/passwd", 0, 1) is None
    assert store.remove(digest) == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_a_digest_is_a_name(store: BlobStore, name: str) -> None:
    with pytest.raises(FileError, match="no sha256 digest"):
        store.read(name)


def test_pieces_make_a_blob_and_invariant_09_it_has_no_name_before_it_is_checked(
    store: BlobStore,
) -> None:
    data = os.urandom(1000)
    digest = digest_of(data)
    assert store.put_chunk(digest, 0, 1000, data[:400]) == 400
    assert not store.has(digest)
    assert store.put_chunk(digest, 700, 1000, data[700:]) == 400, "not in order: not taken"
    assert store.put_chunk(digest, 300, 1000, data[300:600]) == 600, "an overlap does no harm"
    again = BlobStore(store.directory)
    assert again.held(digest) == 600, "another process resumes"
    assert again.put_chunk(digest, 600, 1000, data[600:]) == 1000
    assert store.read(digest) == data
    assert store.put_chunk(digest, 0, 1000, data[:400]) == 1000, "it is here: nothing to do"
    assert list((store.directory / "part").iterdir()) == []


def test_wrong_bytes_never_get_the_name(store: BlobStore) -> None:
    digest = digest_of(b"right")
    with pytest.raises(ChecksumMismatch, match="damaged"):
        store.put_chunk(digest, 0, 5, b"wrong")
    assert not store.has(digest)
    assert store.held(digest) == 0
    assert store.put_chunk(digest, 0, 5, b"right") == 5


def test_an_empty_blob_is_a_blob(store: BlobStore) -> None:
    digest = digest_of(b"")
    assert store.put_chunk(digest, 0, 0, b"") == 0
    assert store.has(digest)
    assert store.read(digest) == b""


def test_pieces_outside_of_the_blob_are_refused(store: BlobStore) -> None:
    digest = digest_of(b"x")
    for offset, size, data in ((-1, 5, b"x"), (0, 1, b"xx"), (5, 5, b"x")):
        with pytest.raises(FileError, match="outside"):
            store.put_chunk(digest, offset, size, data)


def test_a_file_is_copied_and_checked(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"z" * 3_000_000)
    digest = store.put_file(source)
    source.write_bytes(b"changed")
    assert store.read(digest) == b"z" * 3_000_000
    with pytest.raises(FileError, match="nowhere"):
        store.put_file(tmp_path / "nowhere")


def test_damage_is_found(store: BlobStore) -> None:
    digest = store.put(b"precious")
    store.path(digest).write_bytes(b"precioux")
    with pytest.raises(ChecksumMismatch):
        store.verify(digest)


def test_the_quota_holds_and_removing_gives_room(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, quota_bytes=100)
    first = store.put(b"a" * 60)
    for attempt in (
        lambda: store.put(b"b" * 60),
        lambda: store.put_chunk(digest_of(b"b" * 60), 0, 60, b"b"),
    ):
        with pytest.raises(FileError, match="at most 100 bytes"):
            attempt()
    BlobStore(tmp_path).remove(first)
    store.put(b"b" * 60)
    assert store.remove(digest_of(b"b" * 60)) == 60
    assert store.total_bytes == 0
