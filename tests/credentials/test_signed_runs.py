"""Signed from end to end: a server that lets nobody else in, and what it was asked."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import neurofetch
from neurofetch._cli import main
from neurofetch.engine import Access, Client, Dataset, Fetcher, Network, Request, RetryRules
from neurofetch.errors import CredentialsError, RefusedError, UsageError
from neurofetch.model import IncompleteError
from testbed.aws_keys import KeyServer
from testbed.s3 import Guard, S3Server
from tests.credential_world import (
    DATASET,
    KEY_ID,
    NEW_ID,
    NEW_SECRET,
    SECRET,
    SECRETS,
    TOKEN,
    forget_aws,
    guarded,
    keys_of,
    printing,
    process_keys,
    program,
    set_keys,
    static,
)

QUICK = RetryRules(attempts=3, base=0.005, cap=0.02, max_wait=0.3)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    forget_aws(monkeypatch, home)
    return home


@pytest.fixture
def lab(home):
    """A profile of the name `lab`, with keys of its own."""
    (home / "credentials").write_text(f"[lab]\n{static()}")
    return "lab"


def fetched(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".neurofetch" not in path.parts
    }


def fetch(s3, dest, **how):
    return neurofetch.get("s3://b", dest, endpoint=s3.url, progress="none", **how)


# -- who is let in ---------------------------------------------------------------------------------


def test_a_profile_signs_all_that_is_asked(tmp_path, lab):
    with guarded() as s3:
        report = fetch(s3, tmp_path / "data", profile=lab)
    assert fetched(tmp_path / "data") == DATASET
    assert len(report.paths) == len(DATASET)
    assert all(KEY_ID in request.headers["authorization"] for request in s3.log)
    signed = {request.headers["authorization"].split("SignedHeaders=")[1] for request in s3.log}
    for names in (text.split(",")[0].split(";") for text in signed):
        assert all(name == "host" or name.startswith("x-amz-") for name in names)


def test_keys_of_the_environment_sign_where_that_is_said(tmp_path, monkeypatch):
    set_keys(monkeypatch, token=TOKEN)
    with guarded(sessions={KEY_ID: TOKEN}) as s3:
        fetch(s3, tmp_path / "data", signed=True)
    assert fetched(tmp_path / "data") == DATASET
    assert {request.headers["x-amz-security-token"] for request in s3.log} == {TOKEN}


def test_whatever_the_environment_holds_nobody_signs_by_default(tmp_path, monkeypatch, lab):
    set_keys(monkeypatch, token=TOKEN)
    monkeypatch.setenv("AWS_PROFILE", lab)
    with S3Server({"b": DATASET}) as s3:
        fetch(s3, tmp_path / "data")
        neurofetch.verify(tmp_path / "data", remote=True, read_all=True, progress="none")
    assert fetched(tmp_path / "data") == DATASET
    for request in s3.log:
        assert "authorization" not in request.headers
        assert not {name for name in request.headers if name.startswith("x-amz-security")}


def test_a_dry_run_signs_too_and_writes_nothing(tmp_path, lab):
    with guarded() as s3:
        plan = neurofetch.plan("s3://b", tmp_path / "data", endpoint=s3.url, profile=lab)
    assert len(plan.steps) == len(DATASET)
    assert not (tmp_path / "data").exists()


def test_a_refusal_without_credentials_says_which_flag_to_try(tmp_path):
    with guarded() as s3, pytest.raises(RefusedError, match=r"--profile NAME, or --signed"):
        fetch(s3, tmp_path / "data")


def test_a_file_that_is_refused_without_credentials_says_so_too(tmp_path):
    with (
        S3Server({"b": DATASET}, forbidden=["*sub-02*gz"]) as s3,
        pytest.raises(IncompleteError, match=r"--profile NAME, or --signed"),
    ):
        fetch(s3, tmp_path / "data")


WRONG = {
    "unknown key": ({"key_id": "AKIANOSUCHKEYEXAMPLE"}, {}, "keys for this server"),
    "wrong secret": ({"secret": "no/Such+SecretEXAMPLE"}, {}, "check the secret"),
    "wrong token": ({"token": "no+such/tokenEXAMPLE=="}, {}, "session is over, or is none"),
    "expired": ({}, {"expired": {KEY_ID}}, "session is over, or is none"),
    "not allowed": ({}, {"unlisted": {KEY_ID}}, "ask the owners"),
    "does not pay": ({}, {"payer": True}, "--requester-pays"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_refusal_with_credentials_says_whose_were_used_and_shows_no_key(case, tmp_path, home):
    of_profile, of_guard, said = WRONG[case]
    (home / "credentials").write_text(f"[lab]\n{static(**of_profile)}")
    with guarded(**of_guard) as s3, pytest.raises(RefusedError) as caught:
        fetch(s3, tmp_path / "data", profile="lab")
    told = "".join(traceback.format_exception(caught.value))
    assert said in told
    assert "the profile 'lab'" in told
    for secret in (*SECRETS, *of_profile.values()):
        assert secret not in told
    assert not (tmp_path / "data").exists()


def test_requester_pays_is_said_with_every_request_and_signed(tmp_path, lab):
    with guarded(payer=True) as s3:
        fetch(s3, tmp_path / "data", profile=lab, requester_pays=True)
    assert fetched(tmp_path / "data") == DATASET
    for request in s3.log:
        assert request.headers["x-amz-request-payer"] == "requester"
        assert "x-amz-request-payer" in request.headers["authorization"]


# -- names and ways --------------------------------------------------------------------------------

ODD = {
    "sub-01/b c+d.txt": b"1",
    "sub-01/ü~é.txt": b"2",
    "sub-01/(1)'!*.txt": b"3",
    "sub-01/q=1&v.txt": b"4",
    "sub-01/100%.txt": b"5",
    "sub-01/a%2Fb%20.txt": b"6",
    "sub-01/#hash?.txt": b"7",
    "sub-01/$,;:@[].txt": b"8",
    "sub-01/tilde~-_..txt": b"9",
    "sub-01/日本.txt": b"10",
}


def test_odd_keys_are_signed_as_the_server_reads_them(tmp_path, lab):
    with guarded(ODD) as s3:
        fetch(s3, tmp_path / "data", profile=lab)
    assert fetched(tmp_path / "data") == ODD


@pytest.mark.parametrize(
    "path", ["x/a//b.txt", "x/(1)'!*.txt", "deep/../up.txt", "./a", "a/", "é", "+ +", "~"]
)
def test_addresses_are_signed_whether_or_not_they_are_quoted(path, lab):
    with guarded({path: b"here"}) as s3, Client(Network()) as client:
        client.sign_for(s3.url, Access.checked(profile=lab).signer(Network(), None))
        for safe in ("/", "/!'()*", "/~"):
            url = f"{s3.url}/b/{quote(path, safe=safe)}"
            client.send(Request(url, method="HEAD")).close()
            with client.send(Request(url, {"Range": "bytes=1-2"})) as response:
                assert (response.status, response.read(10)) == (206, b"er"), url
        assert {request.status for request in s3.log} == {200, 206}


def test_a_large_file_comes_in_signed_parts(tmp_path, lab):
    content = bytes(range(256)) * (160 << 10)
    with guarded({"sub-01/func/sub-01_bold.nii.gz": content}) as s3:
        fetch(s3, tmp_path / "data", profile=lab, n_jobs=2)
    assert fetched(tmp_path / "data") == {"sub-01/func/sub-01_bold.nii.gz": content}
    assert len([request for request in s3.log if request.range]) > 1
    assert all("authorization" in request.headers for request in s3.log)


def test_a_redirect_to_another_host_takes_no_signature_along(tmp_path, lab):
    key = "sub-01/anat/sub-01_T1w.nii.gz"
    with S3Server({"b": DATASET}) as other, guarded(payer=True, sessions={KEY_ID: TOKEN}) as s3:
        (tmp_path / "home" / "credentials").write_text(f"[lab]\n{static(token=TOKEN)}")
        s3.fault(key=key, status=307, headers={"Location": f"{other.url}/b/{key}"})
        fetch(s3, tmp_path / "data", profile=lab, requester_pays=True)
        assert fetched(tmp_path / "data") == DATASET
        assert other.requests(key=key)
        for request in other.log:
            assert "authorization" not in request.headers
            assert "x-amz-security-token" not in request.headers
            assert "x-amz-request-payer" not in request.headers
            assert not any(secret in str(request) for secret in SECRETS)


def test_a_signature_goes_to_no_other_port_of_the_same_host(lab):
    with S3Server({"b": DATASET}) as other, guarded() as s3, Client(Network()) as client:
        client.sign_for(s3.url, Access.checked(profile=lab).signer(Network(), None))
        client.send(Request(f"{other.url}/b/participants.tsv")).close()
        client.send(Request(f"{s3.url}/b/participants.tsv")).close()
        assert "authorization" not in other.log[0].headers
        assert "authorization" in s3.log[0].headers


def test_an_address_that_is_signed_already_is_left_as_it_is(lab):
    with S3Server({"b": DATASET}) as s3, Client(Network()) as client:
        client.sign_for(s3.url, Access.checked(profile=lab).signer(Network(), None))
        client.send(Request(f"{s3.url}/b/participants.tsv?X-Amz-Signature=0")).close()
        assert "authorization" not in s3.log[0].headers


# -- regions ---------------------------------------------------------------------------------------


def test_a_wrong_region_is_corrected_once_from_what_the_server_says(tmp_path, lab):
    with guarded(region="eu-central-1") as s3:
        fetch(s3, tmp_path / "data", profile=lab)
    assert fetched(tmp_path / "data") == DATASET
    assert [request.status for request in s3.log].count(400) == 1


def test_a_server_that_always_names_another_region_is_not_followed_for_ever(tmp_path, lab):
    with guarded(region="eu-central-1") as s3:
        regions = iter(f"eu-west-{number}" for number in range(1, 99))

        def move() -> None:
            s3.guard.region = next(regions)

        s3.fault(method="LIST", before=move)
        with pytest.raises(neurofetch.NeurofetchError, match="eu-west"):
            fetch(s3, tmp_path / "data", profile=lab)
    assert len(s3.log) < 8


@pytest.mark.parametrize("where", ["argument", "variable", "profile"])
def test_the_region_that_is_named_signs(where, tmp_path, home, monkeypatch):
    more = "region = ca-central-1\n" if where == "profile" else ""
    (home / "credentials").write_text(f"[lab]\n{static()}{more}")
    if where == "variable":
        monkeypatch.setenv("AWS_REGION", "ca-central-1")
    how = {"region": "ca-central-1"} if where == "argument" else {}
    with guarded(region="ca-central-1") as s3:
        fetch(s3, tmp_path / "data", profile="lab", **how)
    assert {request.status for request in s3.log} == {200}


# -- keys that end ---------------------------------------------------------------------------------


def test_a_session_that_ends_in_the_middle_of_a_run_is_renewed_and_the_run_goes_on(tmp_path, home):
    said = home / "said.json"
    said.write_text(json.dumps(process_keys()))
    command = program(home, f"print(open({str(said)!r}).read())")
    (home / "config").write_text(f"[profile lab]\ncredential_process = {command}\n")
    with guarded() as s3:

        def end() -> None:
            s3.guard.expired.add(KEY_ID)
            new = {"AccessKeyId": NEW_ID, "SecretAccessKey": NEW_SECRET}
            said.write_text(json.dumps(process_keys(**new)))

        s3.fault(method="GET", skip=1, times=1, before=end)
        report = fetch(s3, tmp_path / "data", profile="lab")
    assert fetched(tmp_path / "data") == DATASET
    assert len(report.paths) == len(DATASET)
    assert any(NEW_ID in request.headers["authorization"] for request in s3.log)


def test_a_session_that_ends_and_cannot_be_renewed_is_told_file_by_file(tmp_path, lab):
    with guarded() as s3:
        s3.fault(method="GET", times=1, before=lambda: s3.guard.expired.add(KEY_ID))
        with pytest.raises(IncompleteError, match="get new keys") as caught:
            fetch(s3, tmp_path / "data", profile=lab)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_a_program_is_not_run_once_for_each_request(tmp_path, home):
    counter = home / "count"
    end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    command = program(home, printing(process_keys(Expiration=end), counter))
    (home / "config").write_text(f"[profile lab]\ncredential_process = {command}\n")
    with guarded() as s3:
        fetch(s3, tmp_path / "data", profile="lab")
    assert len(s3.log) > len(DATASET)
    assert counter.read_text() == "x"


# -- nothing secret anywhere -----------------------------------------------------------------------


def test_no_key_is_in_anything_that_is_shown_kept_or_sent_on(tmp_path, home, monkeypatch, caplog):
    """Plans, receipts, source.json, events, logs, reprs, pickles, tracebacks: all of it."""
    (home / "credentials").write_text(f"[lab]\n{static(token=TOKEN)}")
    caplog.set_level(logging.DEBUG)
    seen = []
    with guarded(sessions={KEY_ID: TOKEN}) as s3:
        s3.fault(method="GET", times=1, status=503)
        how = {"endpoint": s3.url, "profile": "lab"}
        plan = neurofetch.plan("s3://b", tmp_path / "data", progress=seen.append, **how)
        report = neurofetch.get("s3://b", tmp_path / "data", progress=seen.append, **how)
        audit = neurofetch.verify(
            tmp_path / "data", url="s3://b", read_all=True, progress=seen.append, **how
        )
        s3.guard.unlisted.add(KEY_ID)
        with pytest.raises(RefusedError) as caught:
            neurofetch.plan("s3://b", tmp_path / "data", **how)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = [
        *map(repr, (plan, report, audit, seen)),
        *map(str, (plan, report, audit)),
        pickle.dumps((plan, report, audit)).decode("latin-1"),
        pickle.dumps(caught.value).decode("latin-1"),
        "".join(frames.format()),
        caplog.text,
        *(path.read_bytes().decode("latin-1") for path in files_below(tmp_path / "data")),
    ]
    for text in shown:
        for secret in SECRETS:
            assert secret not in text
        assert "Signature=" not in text


def files_below(root):
    return [path for path in root.rglob("*") if path.is_file()]


def test_the_signature_is_in_no_repr_of_what_the_client_holds(lab):
    with guarded() as s3, Client(Network()) as client:
        signer = Access.checked(profile=lab).signer(Network(), None)
        client.sign_for(s3.url, signer)
        pending = client.begin(Request(f"{s3.url}/b/participants.tsv"))
        response = client.finish(pending)
        response.close()
        held = [pending, response, signer, signer.credentials, response.signature, client]
        for text in [*map(repr, held), *map(str, held)]:
            assert "Signature=" not in text
            assert not any(secret in text for secret in SECRETS)


def test_an_access_travels_by_name_and_what_holds_keys_does_not_travel(lab):
    access = Access.checked(profile=lab, requester_pays=True)
    sent = pickle.dumps(access)
    assert pickle.loads(sent) == access
    assert not any(secret.encode() in sent for secret in SECRETS)
    assert asdict(access)["profile"] == "lab"
    signer = access.signer(Network(), None)
    for holder in (signer, signer.credentials, signer.credentials.keys()):
        with pytest.raises(TypeError, match="pickle the Access instead"):
            pickle.dumps(holder)


WORKER = """
import pickle, sys
from neurofetch.engine import Dataset, Fetcher, Listing
access, root = pickle.loads(sys.stdin.buffer.read())
with Fetcher(Dataset("test", "b"), root, access=access) as fetcher:
    print(len(fetcher.files(Listing(("",)))))
"""


def test_another_process_gets_the_name_and_looks_the_keys_up_for_itself(tmp_path, lab):
    (tmp_path / "data").mkdir()
    with guarded() as s3:
        access = Access.checked(profile=lab, endpoint=s3.url)
        done = subprocess.run(
            [sys.executable, "-c", WORKER],
            input=pickle.dumps((access, tmp_path / "data")),
            capture_output=True,
            check=False,
        )
    assert (done.stdout.strip(), done.stderr) == (str(len(DATASET)).encode(), b"")


@pytest.mark.parametrize("module", ["neurofetch", "neurofetch._cli", "laion_fmri.cli.main"])
def test_who_signs_nothing_does_not_load_what_signs(module, tmp_path, monkeypatch):
    code = (
        f"import sys, {module}, neurofetch\n"
        "neurofetch.get('s3://b', sys.argv[1], progress='none')\n"
        "heavy = {'awscrt.auth', 'awscrt.http', 'awscrt.io', 'botocore', 'boto3', 'configparser'}\n"
        "ours = {name for name in sys.modules if name.startswith('neurofetch.credentials.')}\n"
        "print(sorted(heavy & set(sys.modules)), sorted(ours))\n"
    )
    with S3Server({"b": DATASET}) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        set_keys(monkeypatch)
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "data")],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout == "[] ['neurofetch.credentials.access']\n", done.stderr


# -- before any byte -------------------------------------------------------------------------------


def test_credentials_that_cannot_be_had_are_told_before_the_server_is_asked(tmp_path, lab):
    with guarded() as s3:
        for call in (
            lambda: neurofetch.plan("s3://b", tmp_path / "d", endpoint=s3.url, profile="labb"),
            lambda: fetch(s3, tmp_path / "d", profile="labb"),
            lambda: neurofetch.verify(tmp_path, url="s3://b", endpoint=s3.url, profile="labb"),
        ):
            with pytest.raises(CredentialsError, match="Did you mean 'lab'"):
                call()
    assert s3.log == []
    assert not (tmp_path / "d").exists()


def test_a_package_for_a_dataset_may_name_who_asks(tmp_path, lab):
    with guarded() as s3:
        access = Access.checked(profile=lab, endpoint=s3.url)
        with Fetcher(Dataset("test", "b"), tmp_path, access=access, rules=QUICK) as fetcher:
            assert len(fetcher.source.walk("")) == len(DATASET)


# -- what a data directory remembers ---------------------------------------------------------------


def remembered(root):
    return json.loads((root / ".neurofetch" / "source.json").read_text())


def test_verify_remote_asks_as_the_files_were_fetched(tmp_path, lab):
    data = tmp_path / "data"
    with guarded(payer=True) as s3:
        fetch(s3, data, profile=lab, requester_pays=True)
        s3.clear_log()
        (data / ".neurofetch").chmod(0o700)
        (data / ".neurofetch" / "source.json").chmod(0o600)
        audit = neurofetch.verify(data, remote=True, progress="none")
        assert audit.ok
        assert s3.log
    known = remembered(data)
    assert (known["profile"], known["requester_pays"], known["named"]) == ("lab", True, True)
    assert known["server"] == s3.url


@pytest.mark.parametrize("shared", [".neurofetch", ".neurofetch/source.json"])
def test_what_others_may_have_written_does_not_decide_whose_credentials_are_used(
    shared, tmp_path, lab
):
    data = tmp_path / "data"
    with guarded() as s3:
        fetch(s3, data, profile=lab)
        (data / shared).chmod(0o777 if shared == ".neurofetch" else 0o666)
        s3.clear_log()
        with pytest.raises(UsageError, match="say so: --profile lab --endpoint http"):
            neurofetch.verify(data, remote=True, progress="none")
        assert s3.log == []
        assert neurofetch.verify(data, remote=True, profile=lab, progress="none").ok


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to any group")
def test_a_group_of_several_counts_as_others_and_the_users_own_does_not(tmp_path, lab):
    data = tmp_path / "data"
    with guarded() as s3:
        fetch(s3, data, profile=lab)
        for path in (data / ".neurofetch", data / ".neurofetch" / "source.json"):
            path.chmod(0o775 if path.is_dir() else 0o664)
        assert neurofetch.verify(data, remote=True, progress="none").ok
        os.chown(data / ".neurofetch" / "source.json", 0, 65534)
        with pytest.raises(UsageError, match="say so: --profile lab"):
            neurofetch.verify(data, remote=True, progress="none")


def test_the_server_that_is_named_is_a_part_of_what_a_data_set_is(tmp_path, lab):
    data = tmp_path / "data"
    with guarded() as one, guarded({"sub-01/other.txt": b"x"}) as two:
        fetch(one, data, profile=lab)
        with pytest.raises(UsageError, match="holds another data set"):
            fetch(two, data, profile=lab)
        fetch(two, data, profile=lab, mix=True)
    assert fetched(data) == {**DATASET, "sub-01/other.txt": b"x"}


def test_a_mirror_that_a_variable_names_is_the_same_data_set(tmp_path, monkeypatch, lab):
    data = tmp_path / "data"
    with guarded() as one, S3Server({"b": DATASET}) as mirror:
        fetch(one, data, profile=lab)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", mirror.url)
        neurofetch.get("s3://b", data, progress="none")
        assert not mirror.requests("GET")
        assert remembered(data)["server"] == one.url


# -- other endpoints -------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["address", "argument", "environment", "profile", "services"])
def test_an_endpoint_is_named_in_any_of_the_usual_ways(named, tmp_path, home, monkeypatch):
    with guarded() as s3:
        of_profile, of_file, how, url = "", "", {}, "s3://b"
        if named == "address":
            how, url = {"endpoint": f"{s3.url}/"}, f"{s3.url}/b/"
        elif named == "argument":
            how = {"endpoint": s3.url}
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        elif named == "environment":
            monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
            of_profile = "endpoint_url = http://127.0.0.1:9\n"
        elif named == "profile":
            of_profile = f"endpoint_url = {s3.url}\n"
        else:
            of_profile = "services = ours\nendpoint_url = http://127.0.0.1:9\n"
            of_file = f"[services ours]\ns3 =\n  endpoint_url = {s3.url}\n"
        (home / "config").write_text(f"[profile lab]\n{static()}{of_profile}{of_file}")
        neurofetch.get(url, tmp_path / "data", profile="lab", progress="none", **how)
    assert fetched(tmp_path / "data") == DATASET


def test_the_command_has_the_same_words(tmp_path, home, lab, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    data = str(tmp_path / "data")
    with guarded(payer=True) as s3:
        how = ["--endpoint", s3.url, "--profile", lab, "--requester-pays"]
        assert main(["get", "s3://b", "--data-dir", data, "--dry-run", *how]) == 0
        assert main(["get", "s3://b", "--data-dir", data, *how]) == 0
        assert main(["verify", data, "--remote", "s3://b", "--hash", *how]) == 0
        assert main(["get", "s3://b", "--data-dir", data, "--overwrite", *how[:-1]]) == 6
    out, err = capsys.readouterr()
    assert "the profile 'lab'" in err
    assert main(["get", "s3://b", "--data-dir", data, "--profile", "nobody", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["code"] == "credentials"
    assert not any(secret in out + err for secret in SECRETS)
    assert fetched(tmp_path / "data") == DATASET


def test_the_guard_of_the_testbed_takes_what_botocore_signs_and_refuses_the_rest():
    guard = Guard(keys_of(), region="eu-west-1")
    with S3Server({"b": ODD}, guard=guard) as s3:
        for key_id, secret, code in (
            (KEY_ID, SECRET, ""),
            (KEY_ID, "wrong", "SignatureDoesNotMatch"),
            ("AKIANOSUCHKEYEXAMPLE", SECRET, "InvalidAccessKeyId"),
        ):
            client = boto3.client(
                "s3",
                endpoint_url=s3.url,
                region_name="eu-west-1",
                aws_access_key_id=key_id,
                aws_secret_access_key=secret,
                config=Config(s3={"addressing_style": "path"}, proxies={}),
            )
            for key, content in ODD.items():
                if code:
                    with pytest.raises(ClientError, match=code):
                        client.get_object(Bucket="b", Key=key)
                else:
                    assert client.get_object(Bucket="b", Key=key)["Body"].read() == content
            client.close()


# -- on the way ------------------------------------------------------------------------------------


def test_a_signature_passes_a_proxy(tmp_path, monkeypatch):
    (tmp_path / "home" / "credentials").write_text(f"[lab]\n{static()}")
    with guarded(ODD) as s3:  # it answers as a proxy, too, whatever host is asked for
        monkeypatch.setenv("http_proxy", s3.url)
        neurofetch.get(
            "s3://b",
            tmp_path / "data",
            endpoint="http://s3.lab.example",
            profile="lab",
            progress="none",
        )
        assert {request.headers["host"] for request in s3.log} == {"s3.lab.example"}
    assert fetched(tmp_path / "data") == ODD


def test_where_a_redirect_led_away_the_refusal_does_not_advise_to_name_credentials(tmp_path, lab):
    with S3Server({"b": DATASET}, forbidden=["*"]) as other, guarded() as s3:
        key = "participants.tsv"
        s3.fault(key=key, method="GET", status=307, headers={"Location": f"{other.url}/b/{key}"})
        with pytest.raises(IncompleteError, match="403 AccessDenied") as caught:
            fetch(s3, tmp_path / "data", profile=lab)
    assert "name it: --profile" not in str(caught.value)


def locals_of(error):
    """Return a traceback as debuggers show it: with all variables, but for those of the test."""
    error = error.with_traceback(error.__traceback__.tb_next)
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def test_what_breaks_while_a_signed_request_is_sent_shows_no_key_in_any_variable(
    tmp_path, home, monkeypatch
):
    (home / "credentials").write_text(f"[lab]\n{static(token=TOKEN)}")
    with Client(Network(connect_timeout=0.5)) as client:
        signer = Access.checked(profile="lab").signer(Network(), None)
        client.sign_for("http://127.0.0.1:9", signer)
        with pytest.raises(neurofetch.NeurofetchError) as caught:
            client.send(Request("http://127.0.0.1:9/b/x"))
    with guarded(sessions={KEY_ID: TOKEN}) as s3, Client(Network()) as client:
        client.sign_for(s3.url, signer)
        s3.fault(reset=True)
        with pytest.raises(neurofetch.NeurofetchError) as second:
            client.send(Request(f"{s3.url}/b/x"))
    for error in (caught.value, second.value):
        told = locals_of(error)
        assert "signature" in told
        assert "Signature=" not in told
        assert not any(secret in told for secret in SECRETS)


HALF = {
    "unknown profile": ("[work]\n" + static(token=TOKEN), "lab"),
    "no secret": (f"[lab]\naws_access_key_id = {KEY_ID}\n", "lab"),
    "odd secret": (f"[lab]\n{static(secret=SECRET + ' ' + SECRET)}", "lab"),
    "damaged": (f"[lab]\n{static()}{SECRET}\n", "lab"),
    "wrong region": (f"[lab]\n{static(token=TOKEN)}region = over there\n", "lab"),
    "wrong endpoint": (f"[lab]\n{static(token=TOKEN)}endpoint_url = over there\n", "lab"),
}


@pytest.mark.parametrize("case", HALF)
def test_what_is_wrong_with_credentials_shows_no_key_in_any_variable(case, tmp_path, home):
    text, name = HALF[case]
    (home / "credentials").write_text(text)
    with pytest.raises(UsageError) as caught:
        neurofetch.plan("s3://b", tmp_path / "data", profile=name)
    told = locals_of(caught.value)
    assert "profile" in told
    assert not any(secret in told for secret in SECRETS)


def test_a_program_that_fails_shows_no_key_in_any_variable(tmp_path, home):
    said = process_keys(SessionToken=TOKEN, Expiration=f"soon {SECRET}")
    (home / "config").write_text(
        f"[profile lab]\ncredential_process = {program(home, printing(said))}\n"
    )
    with pytest.raises(CredentialsError) as caught:
        neurofetch.plan("s3://b", tmp_path / "data", profile="lab")
    assert not any(secret in locals_of(caught.value) for secret in SECRETS)


@pytest.mark.parametrize(
    "how",
    [
        {"profile": "lab"},
        {"signed": True},
        {"endpoint": "https://s3.example.org"},
        {"profile": "lab", "requester_pays": True},
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("call", [neurofetch.plan, neurofetch.get])
def test_credentials_of_s3_are_not_for_openneuro(call, how, tmp_path):
    with pytest.raises(UsageError, match=r"which has tokens of its own.*s3://BUCKET/PREFIX"):
        call("ds000246", tmp_path / "data", **how)
    assert not (tmp_path / "data").exists()


# -- without a network -----------------------------------------------------------------------------


def with_a_role(home, monkeypatch, s3, server):
    arn = "arn:aws:iam::123456789012:role/fetcher"
    (home / "credentials").write_text(f"[me]\n{static()}")
    (home / "config").write_text(f"[profile work]\nrole_arn = {arn}\nsource_profile = me\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    return {"endpoint": s3.url, "profile": "work", "progress": "none"}


def test_offline_no_keys_are_asked_for(tmp_path, home, monkeypatch):
    counter = home / "count"
    command = program(home, printing(process_keys(), counter))
    (home / "config").write_text(f"[profile lab]\ncredential_process = {command}\n")
    with guarded() as s3:
        fetch(s3, tmp_path / "data", profile="lab")
        counter.unlink()
        s3.clear_log()
        assert fetch(s3, tmp_path / "data", profile="lab", offline=True).ok
        assert s3.log == []
    assert not counter.exists()


def test_what_is_here_and_complete_needs_no_keys_where_nobody_gives_them_out(
    tmp_path, home, monkeypatch
):
    monkeypatch.setenv("NEUROFETCH_PATIENCE", "0")
    with guarded() as s3, KeyServer(NEW_ID, NEW_SECRET, TOKEN) as server:
        s3.guard.sessions = {NEW_ID: TOKEN}
        how = with_a_role(home, monkeypatch, s3, server)
        neurofetch.get("s3://b", tmp_path / "data", **how)
    assert fetched(tmp_path / "data") == DATASET
    assert neurofetch.get("s3://b", tmp_path / "data", **how).ok  # both servers are gone
    with pytest.raises(neurofetch.NeurofetchError, match="the role could not be assumed"):
        neurofetch.get("s3://b", tmp_path / "other", **how)
    assert not (tmp_path / "other").exists()
