"""Settings: read once, and a mistake stops the start with a sentence that names the setting."""

from datetime import timedelta
from pathlib import Path

import pytest

from foundation.errors import Invalid
from foundation.settings import Settings


def test_the_defaults_are_those_of_the_manual() -> None:
    settings = Settings.load({"HOME": "/home/ann"})

    assert settings.data_dir == Path("data").resolve()
    assert settings.scheduler_check_interval == timedelta(seconds=1)
    assert settings.execution_buffer == timedelta(seconds=30)
    assert settings.catch_up_window == timedelta(hours=1)
    assert settings.retry_delay == timedelta(minutes=1)
    assert settings.give_up_after == timedelta(days=3)
    assert (settings.public_url, settings.bootstrap_token, settings.secret_key) == (
        None,
        None,
        None,
    )
    assert settings.log_format == "console"


def test_a_flag_wins_over_the_environment() -> None:
    settings = Settings.load({"SENDONCE_DATA_DIR": "/var/a"}, {"data_dir": "/var/b"})

    assert settings.data_dir == Path("/var/b")


def test_a_flag_that_was_not_given_leaves_the_environment() -> None:
    settings = Settings.load({"SENDONCE_DATA_DIR": "/var/a"}, {"data_dir": None})

    assert settings.data_dir == Path("/var/a")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SENDONCE_COLOUR", "blue"),
        ("SENDONCE_EXECUTION_BUFFER", "-1"),
        ("SENDONCE_EXECUTION_BUFFER", "soon"),
        ("SENDONCE_EXECUTION_BUFFER", "nan"),
        ("SENDONCE_SCHEDULER_CHECK_INTERVAL", "0"),
        ("SENDONCE_SCHEDULER_CHECK_INTERVAL", "inf"),
        ("SENDONCE_RETRY_DELAY", "0"),
        ("SENDONCE_LOG_FORMAT", "xml"),
        ("SENDONCE_PUBLIC_URL", "mail.example.com"),
        ("SENDONCE_DATABASE_URL", "postgresql://localhost/x"),
        ("SENDONCE_PUBLIC_URL", "https://"),
        ("SENDONCE_PUBLIC_URL", "https://mail.example.com/?a=1"),
        ("SENDONCE_PUBLIC_URL", "https://mail.example.com/#top"),
        ("SENDONCE_PUBLIC_URL", "https://mail.example.com/\x07"),
        ("SENDONCE_SECRET_KEY", ""),
        ("SENDONCE_SECRET_KEY", "hunter2"),
        ("SENDONCE_BOOTSTRAP_TOKEN", ""),
        ("SENDONCE_BOOTSTRAP_TOKEN", "two words"),
        ("SENDONCE_BOOTSTRAP_TOKEN", "token\n"),
        ("SENDONCE_BOOTSTRAP_TOKEN", "schlüssel"),
        ("SENDONCE_DATA_DIR", ""),
        ("SENDONCE_DATA_DIR", " "),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(Invalid) as refused:
        Settings.load({name: value})

    assert [e.field for e in refused.value.errors] == [name]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("EXECUTION_BUFFER", "soon", "must be a number of seconds, as 30 or 0.5"),
        ("EXECUTION_BUFFER", "nan", "must be a number of seconds, as 30 or 0.5"),
        ("EXECUTION_BUFFER", "-1", "must be at least 0 seconds"),
        ("CATCH_UP_WINDOW", "1e12", "must be at most 315360000 seconds"),
        ("SCHEDULER_CHECK_INTERVAL", "0", "must be at least 0.05 seconds"),
        ("RETRY_DELAY", "0", "must be more than 0 seconds"),
        ("LOG_FORMAT", "xml", "must be console or json"),
    ],
)
def test_what_a_setting_must_be_is_said_in_our_words(name: str, value: str, says: str) -> None:
    with pytest.raises(Invalid) as refused:
        Settings.load({f"SENDONCE_{name}": value})

    assert [e.message for e in refused.value.errors] == [says]


def test_a_secret_is_never_repeated() -> None:
    with pytest.raises(Invalid) as refused:
        Settings.load({"SENDONCE_DATABASE_URL": "postgresql://ann:hunter2@db/x"})

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("inside", ["data", "data/state", "data/a/b"])
def test_a_state_folder_inside_the_data_directory_is_refused(tmp_path: Path, inside: str) -> None:
    with pytest.raises(Invalid, match="must be outside of the data directory"):
        Settings.load(
            {
                "SENDONCE_DATA_DIR": str(tmp_path / "data"),
                "SENDONCE_STATE_DIR": str(tmp_path / inside),
            }
        )
