"""Which certificates are trusted."""

import ssl

import certifi
import pytest

from amplifier_module_provider_openai_chatgpt.http.certificates import store_in_use, tls_context
from amplifier_module_provider_openai_chatgpt.http.failures import NetworkSettingFailure

ALL = len(ssl.create_default_context(cafile=certifi.where()).get_ca_certs())


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


def test_by_default_certifis_are_trusted_besides_the_systems():
    assert len(tls_context().get_ca_certs()) >= ALL
    assert store_in_use() == ""


def test_a_file_replaces_them(monkeypatch, tmp_path):
    first = certifi.contents().partition("-----END CERTIFICATE-----\n")
    (tmp_path / "one.pem").write_text("".join(first[:2]))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "one.pem"))
    assert len(tls_context().get_ca_certs()) == 1
    assert store_in_use() == "SSL_CERT_FILE"


def test_folders_replace_them(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'none'}:{tmp_path}")
    assert tls_context().get_ca_certs() == []
    assert store_in_use() == "SSL_CERT_DIR"


@pytest.mark.parametrize("variable", ["", "SSL_CERT_FILE"])
def test_every_certificate_is_verified_but_not_as_strictly_as_python_does_since_3_13(monkeypatch, variable):
    if variable:
        monkeypatch.setenv(variable, certifi.where())
    context = tls_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


def test_a_file_that_appears_later_is_read(monkeypatch, tmp_path):
    path = tmp_path / "later.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(NetworkSettingFailure, match=r"SSL_CERT_FILE names .*: No such file"):
        tls_context()
    path.write_text(certifi.contents())
    assert tls_context() is tls_context()
