"""Invariant 9 of ARCHITECTURE.md: bytes under a digest are visible only when they were checked."""

import hashlib
from pathlib import Path

import pytest

from covey.errors import ChecksumMismatch
from covey.files.blobs import BlobStore

DATA = b"some bytes" * 100
DIGEST = hashlib.sha256(DATA).hexdigest()


def test_invariant_09_bytes_are_not_visible_before_the_last_of_them_arrived(tmp_path: Path):
    store = BlobStore(tmp_path / "blobs")
    store.put_chunk(DIGEST, 0, len(DATA), DATA[:400])
    assert not store.has(DIGEST)
    store.put_chunk(DIGEST, 400, len(DATA), DATA[400:])
    assert store.has(DIGEST)
    assert store.read(DIGEST) == DATA


def test_invariant_09_wrong_bytes_never_get_the_name(tmp_path: Path):
    store = BlobStore(tmp_path / "blobs")
    wrong = DATA[:-1] + b"!"
    store.put_chunk(DIGEST, 0, len(wrong), wrong[:400])
    with pytest.raises(ChecksumMismatch):
        store.put_chunk(DIGEST, 400, len(wrong), wrong[400:])
    assert not store.has(DIGEST)
    assert list(store.digests()) == []
