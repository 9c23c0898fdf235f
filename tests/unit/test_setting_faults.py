"""The sentences about invalid settings: variable, value and valid values, in netsold's words."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from operations import setting_faults
from operations.failures import explained
from streams.settings import Kafka, Settings
from streams.value_words import must_be


def _sentence(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(f"NETSOLD_{name}", value)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - both kinds are one, and the text is tested
        Settings(_env_file=None)
    assert isinstance(raised.value, (ValidationError, SettingsError))
    return setting_faults.sentence(raised.value).removeprefix("settings can't be used: ")


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PARTITIONS", "0", "NETSOLD_PARTITIONS is '0', but must be a whole number from 1 to 1024"),
        (
            "PARTITIONS",
            "4.5",
            "NETSOLD_PARTITIONS is '4.5', but must be a whole number from 1 to 1024",
        ),
        (
            "METRICS_PORT",
            "",
            "NETSOLD_METRICS_PORT is '', but must be a whole number from 1 to 65535",
        ),
        (
            "CHUNK_BYTES",
            "x",
            "NETSOLD_CHUNK_BYTES is 'x', but must be a whole number of at least 65536",
        ),
        ("STALL_SECONDS", "nan", "NETSOLD_STALL_SECONDS is 'nan', but must be a number above 0"),
        (
            "APP",
            "Ü",
            (
                "NETSOLD_APP is 'Ü', but must be 1 to 64 of the characters a to z, 0 to 9, dot"
                " and hyphen"
            ),
        ),
        (
            "RULES",
            "/nowhere/rules.toml",
            (
                "NETSOLD_RULES: /nowhere/rules.toml can't be read (No such file or directory):"
                " `netsold rules show` prints rules to begin with"
            ),
        ),
        (
            "KAFKA__SECURITY_PROTOCOL",
            "ssl",
            "NETSOLD_KAFKA__SECURITY_PROTOCOL is 'ssl', but must be one of PLAINTEXT, SSL,",
        ),
        (
            "KAFKA__SSL_CAFILE",
            "/nowhere",
            "NETSOLD_KAFKA__SSL_CAFILE is '/nowhere', but must be the path of a file that is there",
        ),
        (
            "KAFKA__BOOTSTRAP_SERVERS",
            "a:b",
            "NETSOLD_KAFKA__BOOTSTRAP_SERVERS: 'a:b' is no address: write host:port",
        ),
        (
            "KAFKA__BOOTSTRAP_SERVERS",
            "a:1,,b:1",
            "NETSOLD_KAFKA__BOOTSTRAP_SERVERS: '' is no address",
        ),
        (
            "KAFKA__BOOTSTRAP_SERVERS",
            "http://a:1",
            "NETSOLD_KAFKA__BOOTSTRAP_SERVERS: 'http://a:1' is no address",
        ),
        (
            "KAFKA__BOOTSTRAP_SERVERS",
            "a:70000",
            "NETSOLD_KAFKA__BOOTSTRAP_SERVERS: 'a:70000' is no address",
        ),
        ("KAFKA", "{bad", "NETSOLD_KAFKA must be one JSON object of its settings"),
        ("KAFKA", "localhost:9092", "NETSOLD_KAFKA must be one JSON object of its settings"),
        ("KAFKA", '"localhost:9092"', "NETSOLD_KAFKA must be one JSON object of its settings"),
        ("KAFKA", "[1]", "NETSOLD_KAFKA must be one JSON object of its settings"),
        (
            "KAFKA",
            '{"bootstrap_server":"a:1"}',
            (
                "NETSOLD_KAFKA__BOOTSTRAP_SERVER is no setting: did you mean"
                " NETSOLD_KAFKA__BOOTSTRAP_S"
            ),
        ),
        (
            "KAFKA",
            '{"ssl_cafile":5}',
            "NETSOLD_KAFKA__SSL_CAFILE is 5, but must be the path of a file that is there",
        ),
    ],
)
def test_an_invalid_setting_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    """It has the variable, the given value and the valid values."""
    assert _sentence(monkeypatch, **{variable: value}).startswith(sentence)


@pytest.mark.parametrize("value", ["", "x", "-1", "9" * 200, "9" * 5000, "{", "\x01"])
def test_any_value_of_any_variable_has_a_short_sentence(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """Any invalid value of any setting is either accepted or named in a sentence."""
    for name in setting_faults.known():
        with monkeypatch.context() as given:
            given.setenv(name, value)
            error = _error()
        if error is not None:
            found = explained(error)
            assert found is not None
            assert not re.search(r"Input|valid|should|pattern|parse|source", found[0])
            if not isinstance(error, OSError):  # a file name that is too long
                assert name in found[0]
                assert len(found[0]) < 400


def _error() -> Exception | None:
    try:
        Settings(_env_file=None)
    except (ValidationError, SettingsError, OSError) as error:
        return error
    return None


def test_what_may_be_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sentence shows an invalid password or an object that contains one.

    Nor does it show the value of a misspelt variable.
    """
    for value in (
        '{"sasl_password": 12345678}',
        '{"sasl_password": "12345678"',
        '{"sasl_passwort": "12345678"}',
    ):
        shown = _sentence(monkeypatch, KAFKA=value)
        assert "NETSOLD_KAFKA" in shown
        assert "12345678" not in shown


def test_several_faults_are_shown_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """One start shows all of them."""
    assert _sentence(monkeypatch, PARTITIONS="x", CHUNK_BYTES="0").count(" must be ") == 2


def test_a_variable_that_is_no_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """It would have no effect.

    The sentence suggests a setting, for the environment and for .env.
    """
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setenv("NETSOLD_PARTITION", "6")
    with pytest.raises(
        setting_faults.SettingsUnusable,
        match=r"NETSOLD_PARTITION is no setting: did you mean NETSOLD_PARTITIONS\?",
    ):
        setting_faults.refuse_unknown()
    monkeypatch.delenv("NETSOLD_PARTITION")
    setting_faults.refuse_unknown()
    with open(".env", "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write("NETSOLD_COLOUR=blue\n")
    with pytest.raises(
        setting_faults.SettingsUnusable,
        match=r"NETSOLD_COLOUR is no setting: docs/reference/settings.md has the list",
    ):
        setting_faults.refuse_unknown()
    with open(".env", "wb") as file:  # noqa: PTH123
        file.write(b"NETSOLD_APP=\xff\n")
    with pytest.raises(
        setting_faults.SettingsUnusable, match=r"\.env can't be read as text in UTF-8"
    ):
        setting_faults.refuse_unknown()


def test_variables_of_kubernetes_are_ignored() -> None:
    """A service named netsold has variables that begin like settings.

    An address in place of a port is still a fault of that setting.
    """
    links = {
        "NETSOLD_SERVICE_HOST": "10.0.0.1",
        "NETSOLD_SERVICE_PORT": "80",
        "NETSOLD_PORT": "tcp://10.0.0.1:80",
        "NETSOLD_WEB_SERVICE_PORT_HTTP": "80",
        "NETSOLD_PORT_80_TCP": "tcp://10.0.0.1:80",
        "NETSOLD_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert setting_faults.unknown(links) == []
    assert setting_faults.unknown({"NETSOLD_PORT": "80", "OTHER": "1", "NETSOLD_APP": "a"}) == [
        "NETSOLD_PORT"
    ]


def test_each_setting_has_a_description_of_its_values() -> None:
    """Only texts are described as "text"."""
    texts = {
        name
        for model in (Settings, Kafka)
        for name, field in model.model_fields.items()
        if must_be(field) == "text"
    }
    assert texts <= {
        "orders_topic",
        "chats_topic",
        "copied_orders_topic",
        "copied_chats_topic",
        "copied_without",
        "rules",
        "metrics_host",
        "reader_host",
        "reader_url",
        "reader_tokens",
        "reader_token",
        "reader_trusted_proxies",
        "pseudonym_key",
        "reader_cors_origins",
        "kafka",
        "bootstrap_servers",
        "sasl_username",
        "sasl_password",
    }
