"""The two files of AWS: what is read, what overrides what, and what is said of what is wrong."""

from __future__ import annotations

import os

import pytest
from botocore.session import Session

from neurofetch.credentials.access import Access
from neurofetch.credentials.profiles import profile_names, read_profile
from neurofetch.errors import ConfigError, CredentialsError
from tests.credential_world import KEY_ID, SECRET, SECRETS, forget_aws, static


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    forget_aws(monkeypatch, tmp_path)
    return tmp_path


FILES = {
    "plain": (f"[lab]\n{static()}", "", "lab"),
    "default": (f"[default]\n{static()}", "", "default"),
    "config": ("", f"[profile lab]\n{static()}", "lab"),
    "default in config": ("", f"[default]\n{static()}", "default"),
    "profile default": ("", f"[profile default]\n{static()}", "default"),
    "quoted": ("", f'[profile "my lab"]\n{static()}', "my lab"),
    "comments": (f"# a\n; b\n[lab]\n# c\n{static()}", "", "lab"),
    "byte order mark": (f"\ufeff[lab]\n{static()}", "", "lab"),
    "carriage returns": (f"[lab]\n{static()}".replace("\n", "\r\n"), "", "lab"),
    "no spaces": (f"[lab]\n{static()}".replace(" = ", "="), "", "lab"),
    "capitals": (f"[lab]\n{static()}".replace("aws_", "AWS_"), "", "lab"),
    "percent": (f"[lab]\n{static()}region = eu-west-1\nx = %(y)s 100%\n", "", "lab"),
    "both": (f"[lab]\n{static()}", f"[profile lab]\n{static('AKIAOTHER', 'other')}", "lab"),
    "twice": (f"[lab]\nregion = eu-west-1\n[a]\n[lab]\n{static()}", "", "lab"),
    "nested": (f"[lab]\n{static()}", "[profile lab]\ns3 =\n  addressing_style = path\n", "lab"),
    "stale session": (f"[lab]\n{static()}", "[profile lab]\naws_session_token = old\n", "lab"),
    "session alone": ("[lab]\naws_session_token = old\n", f"[profile lab]\n{static()}", "lab"),
    "tabs": (f"[lab]\n\t{static()}".replace("\naws_secret", "\n\taws_secret"), "", "lab"),
    "tab in heading": ("", f"[profile\tlab]\n{static()}", "lab"),
    "words behind a heading": (f"[lab] # ours\n{static()}", "", "lab"),
    "odd name": ("", f"[profile 12/me@lab.org]\n{static()}", "12/me@lab.org"),
    "DEFAULT": (f"[DEFAULT]\nregion = x\n[lab]\n{static()}", "", "lab"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_is_read_as_botocore_reads_it(case, home):
    credentials, config, name = FILES[case]
    (home / "credentials").write_text(credentials, encoding="utf-8")
    (home / "config").write_text(config)
    profile = read_profile(name)
    assert profile.get("aws_access_key_id") == KEY_ID
    assert profile.get("aws_secret_access_key") == SECRET
    assert profile.get("aws_session_token") == ""
    if case in ("byte order mark", "twice"):
        return  # botocore takes neither
    theirs = Session(profile=name).get_credentials()
    assert (theirs.access_key, theirs.secret_key, theirs.token) == (KEY_ID, SECRET, None)


def test_the_files_are_in_the_home_where_no_variable_names_them(home, monkeypatch):
    monkeypatch.delenv("AWS_CONFIG_FILE")
    monkeypatch.delenv("AWS_SHARED_CREDENTIALS_FILE")
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text(f"[lab]\n{static()}")
    (home / ".aws" / "config").write_text("[profile work]\n[sso-session x]\n[services y]\n")
    assert profile_names() == ["lab", "work"]


def test_a_profile_that_does_not_exist_is_told_with_the_nearest(home):
    (home / "credentials").write_text(f"[laboratory]\n{static()}[work]\n")
    with pytest.raises(CredentialsError, match=r"'labratory'.*Did you mean 'laboratory'.*work"):
        read_profile("labratory")


@pytest.mark.parametrize(
    ("file", "heading", "right"),
    [("config", "lab", "profile lab"), ("credentials", "profile lab", "lab")],
)
@pytest.mark.parametrize("others", ["", "[default]\nregion = eu-west-1\n"])
def test_a_profile_under_the_heading_of_the_other_file_is_told(file, heading, right, others, home):
    (home / file).write_text(f"{others}[{heading}]\n{static()}")
    with pytest.raises(CredentialsError) as caught:
        read_profile("lab")
    said = str(caught.value)
    assert f"{home / file} has [{heading}]; in that file it must be [{right}]." in said


def test_without_any_profile_it_is_said_how_to_make_one():
    with pytest.raises(CredentialsError, match=r"aws configure --profile lab.*--signed"):
        read_profile("lab")


DAMAGED = {
    "no section": b"aws_secret_access_key = wJalr/XUtnFEMI+K7MDENGbPxRfiCYzEXAMPLEsecret\n",
    "no pair": b"[lab]\nwJalr/XUtnFEMI+K7MDENGbPxRfiCYzEXAMPLEsecret\n",
    "latin-1": b"[lab]\nx = \xe9wJalr/XUtnFEMI+K7MDENGbPxRfiCYzEXAMPLEsecret\n",
    "huge": b"[lab]\n" + b"x = wJalr/XUtnFEMI+K7MDENGbPxRfiCYzEXAMPLEsecret\n" * 30000,
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("name", ["config", "credentials"])
def test_a_damaged_file_is_named_and_nothing_of_it_shown(case, name, home):
    (home / name).write_bytes(DAMAGED[case])
    with pytest.raises(ConfigError, match=f"{home / name}.*cannot be used") as caught:
        read_profile("lab")
    assert not any(secret in str(caught.value) for secret in SECRETS)
    assert caught.value.__context__ is None  # what the parser says holds the line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(home):
    (home / "credentials").write_text(f"[lab]\n{static()}")
    (home / "credentials").chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        read_profile("lab")


def test_a_folder_in_the_place_of_a_file_is_named(home):
    (home / "credentials").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_profile("lab")


@pytest.mark.parametrize("name", ["config", "credentials"])
def test_a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for(name, home):
    os.mkfifo(home / name)
    with pytest.raises(ConfigError, match=f"{name}, where AWS keeps profiles.*it is a pipe"):
        read_profile("lab")


def test_a_profile_shows_nothing_of_what_is_in_it(home):
    (home / "credentials").write_text(f"[lab]\n{static()}")
    assert not any(secret in repr(read_profile("lab")) for secret in SECRETS)


def test_region_and_endpoint_of_a_profile_count_where_nothing_else_says_it(home, monkeypatch):
    (home / "config").write_text(
        "[profile lab]\nregion = eu-west-3\nendpoint_url = https://all.example.org\n"
        "services = ours\n[services ours]\ns3 =\n  endpoint_url = https://s3.example.org/\n"
    )
    access = Access.checked(profile="lab")
    assert access.location() == ("https://s3.example.org", "eu-west-3", True)
    assert read_profile("lab").endpoint("sts") == "https://all.example.org"
    assert access.location("us-west-2").region == "us-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://env.example.org")
    assert access.location() == ("https://env.example.org", "eu-north-1", False)
    named = Access.checked(profile="lab", endpoint="https://mine.example.org")
    assert named.location().endpoint == "https://mine.example.org"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert access.location() == (None, "eu-north-1", False)
    assert Access.checked(signed=True).location().endpoint is None
    assert named.location().endpoint == "https://mine.example.org"
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert access.location().endpoint is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("region = over there", "names a region that is none"),
        ("endpoint_url = not a url", "endpoint_url of the profile 'lab'"),
        ("endpoint_url = https://me:secret@host/a@b", "endpoint_url of the profile 'lab'"),
    ],
)
def test_what_is_wrong_in_a_profile_is_told(line, said, home):
    (home / "config").write_text(f"[profile lab]\n{line}\n")
    with pytest.raises(ConfigError, match=said) as caught:
        Access.checked(profile="lab").location()
    assert "me:secret" not in str(caught.value)


# -- what is named ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"profile": ""}, "the name of the profile is empty"),
        ({"profile": "  "}, "the name of the profile is empty"),
        ({"profile": 3}, "profile must be a text, not int"),
        ({"profile": "a", "signed": True}, "only one of them can sign"),
        ({"signed": "yes"}, "signed must be True or False, not str"),
        ({"requester_pays": 1}, "requester_pays must be True or False, not int"),
        ({"requester_pays": True}, "nobody is named who does"),
        ({"endpoint": 9000}, "endpoint must be a text, not int"),
        ({"endpoint": ""}, "the endpoint is empty"),
        ({"endpoint": "s3.example.org"}, "endpoint='s3.example.org' is not a URL"),
        ({"endpoint": "s3://bucket"}, "endpoint"),
        ({"endpoint": "ftp://host"}, "endpoint"),
        ({"endpoint": "https://host?x=1"}, "endpoint"),
        ({"endpoint": "https://"}, "endpoint"),
        ({"endpoint": "https://host:0"}, "endpoint"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_meant_is_told_before_anything_is_asked(how, said):
    with pytest.raises(ValueError, match=said):
        Access.checked(**how)


def test_a_password_in_an_endpoint_is_dropped_and_not_shown():
    access = Access.checked(endpoint="https://me:secret@host:9000/")
    assert access.endpoint == "https://host:9000"
    assert "secret" not in repr(access)
