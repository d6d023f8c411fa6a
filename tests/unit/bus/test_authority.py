"""Certificates of a cluster: made once, private, good for what machines check."""

import shutil
import ssl
from pathlib import Path

import pytest

from covey.bus.authority import Authority
from covey.bus.tls import SERVER_NAME, pinned
from covey.errors import StartFailed

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs the openssl command"
)


def _handshake(authority: Authority, ca: str, name: str = SERVER_NAME) -> None:
    """TLS between a server with the certificate and a client that trusts `ca`, in memory."""
    tls = authority.server_tls([], is_required=True)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(tls.certificate, tls.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = pinned(ca).wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(5):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() in {"TLSv1.2", "TLSv1.3"}


@needs_openssl
def test_a_server_with_it_is_trusted_by_whoever_has_the_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    authority.server_tls([], is_required=True)
    _handshake(authority, authority.certificate())


@needs_openssl
def test_under_another_name_or_authority_it_is_not(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "tls"), Authority(tmp_path / "other")
    for one in (authority, other):
        one.server_tls([], is_required=True)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        _handshake(authority, authority.certificate(), "elsewhere")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        _handshake(authority, other.certificate())


@needs_openssl
def test_only_we_can_read_it(tmp_path: Path) -> None:
    Authority(tmp_path / "tls").server_tls(["lab.example", "10.0.0.1"], is_required=False)
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()}
    assert {"ca.pem", "ca.key", "server.pem", "server.key"} <= set(modes)
    assert set(modes.values()) == {0o600}


@needs_openssl
def test_it_stays_until_other_names_are_asked_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    first = authority.server_tls(["a"], is_required=False).certificate.read_text()
    assert authority.server_tls(["a"], is_required=False).certificate.read_text() == first
    ca = authority.certificate()
    assert authority.server_tls(["b"], is_required=False).certificate.read_text() != first
    assert authority.certificate() == ca


def test_without_openssl_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartFailed, match="install the package openssl"):
        Authority(tmp_path / "tls").server_tls([], is_required=True)
    assert Authority(tmp_path / "tls").certificate() == ""
