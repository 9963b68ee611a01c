"""The server of `medbench view`: what it shows, to whom, and what it keeps to itself."""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from harness.viewing.run_index import RunIndex
from harness.viewing.server import listen
from tests.harness.viewing.run_folders import write_baseline, write_run

ROOT = Path(__file__).resolve().parents[3]
SECRET = "a secret of the machine"


def links(body):
    return re.findall(r'href="(/runs/[^"]+)"', body)


def contents(folder):
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "secret.txt").write_text(SECRET)
    write_run(tmp_path / "runs" / "first", day="2026-03-01", values=(0.5, 0.7))
    write_run(tmp_path / "runs" / "second", day="2026-04-01", values=(0.5, 0.4), outcome="worse")
    return tmp_path / "runs"


def test_the_page_shows_models_metrics_outcomes_verdict_and_version_of_each_run(start, request_from, runs):
    status, headers, body = request_from(start(runs))
    text = " ".join(re.sub(r"<[^>]+>", " ", body.partition('<h2 id="runs-heading">')[2]).split())
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert text.index("second") < text.index("first")
    for shown in (
        "tiny-lm base, adapter",
        "Accuracy \u2191 (quiz) 70.0 % [60.0, 80.0] +20.0 pp better",
        "Accuracy \u2191 (quiz) 40.0 % [30.0, 50.0] -10.0 pp worse",
        "Compared with base, adapter is worse in Accuracy.",
        "0.1.0 c0ffee123456",
        "2026-03-01 10:00",
    ):
        assert shown in text
    assert "2 of 2 runs shown" in body


def test_links_of_a_run_lead_to_its_files(start, request_from, runs):
    (runs / "first" / "report.md").write_text("# Report\n<script>alert(1)</script>\n")
    port = start(runs)
    addresses = links(request_from(port)[2])
    assert len(addresses) == 5
    bodies = {address.rpartition("/")[2]: request_from(port, address) for address in addresses[2:]}
    assert {name: headers["Content-Type"].partition(";")[0] for name, (_, headers, _) in bodies.items()} == {
        "report.html": "text/html",
        "report.md": "text/plain",
        "results.json": "application/json",
    }
    assert bodies["report.html"][2].endswith("<h1>Report of first</h1>")
    assert bodies["results.json"][2] == (runs / "first" / "results.json").read_text()


def test_a_report_is_shown_in_a_sandbox_and_nothing_is_guessed_or_stored(start, request_from, runs):
    port = start(runs)
    page = request_from(port)[1]
    report, data = (request_from(port, address)[1] for address in links(request_from(port)[2])[:2])
    assert page["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in page["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert report["Content-Security-Policy"].startswith("sandbox allow-scripts; default-src 'none'; ")
    assert "allow-same-origin" not in report["Content-Security-Policy"]
    assert "connect-src" not in report["Content-Security-Policy"]
    assert data["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert page["Cross-Origin-Opener-Policy"] == "same-origin"
    assert report["Cross-Origin-Opener-Policy"] is None  # with a sandbox, browsers would refuse to show it
    for headers in (page, report, data):
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["evil.example"],
        ["evil.example:80"],
        ["127.0.0.1.evil.example"],
        ["localhost@evil.example"],
        ["127.0.0.1", "evil.example"],
        ["127.0.0.1:80:80"],
        ["[::1"],
        [""],
    ],
)
def test_a_name_that_was_rebound_to_this_machine_is_not_answered(start, request_from, runs, hosts):
    port = start(runs)
    address = links(request_from(port)[2])[0]
    for path in ("/", address):
        status, _, body = request_from(port, path, hosts=hosts)
        assert status == 403
        assert body == "403: open this page as http://127.0.0.1:PORT/\n"


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "LOCALHOST", "127.0.0.1:9999"])
def test_this_machine_is_answered_by_each_of_its_names_also_through_a_tunnel(start, request_from, runs, host):
    port = start(runs)
    assert request_from(port, hosts=[host.format(port)])[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "REMOVE"])
def test_every_method_but_get_and_head_is_refused(start, request_from, runs, method):
    before = contents(runs)
    port = start(runs)
    status, headers, body = request_from(port, links(request_from(port)[2])[0], method)
    assert (status, headers["Allow"], body) == (405, "GET, HEAD", "405: this page is read-only\n")
    assert contents(runs) == before


def test_head_has_the_headers_of_get_and_no_body(start, request_from, runs):
    port = start(runs)
    for path in ("/", links(request_from(port)[2])[0]):
        got, head = request_from(port, path), request_from(port, path, "HEAD")
        assert head[0] == got[0] == 200
        assert head[1]["Content-Length"] == got[1]["Content-Length"] == str(len(got[2].encode()))
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(f"HEAD {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt",
        "/../secret.txt",
        "/runs",
        "/runs/",
        "/runs/ID",
        "/runs/ID/",
        "/runs/ID/run.log",
        "/runs/ID/../../secret.txt",
        "/runs/ID/..%2f..%2fsecret.txt",
        "/runs/ID/%2e%2e/%2e%2e/secret.txt",
        "/runs/../secret.txt",
        "/runs/first/report.html",
        "/runs/%2e%2e/secret.txt",
        "/runs/ID/report.html/",
        "/runs/ID/report.html%00.txt",
        "/runs/ID//report.html",
        "/runs/" + "0" * 16 + "/report.html",
        "//etc/passwd",
        "/etc/passwd",
        "http://127.0.0.1/secret.txt",
        "file:///etc/passwd",
        "*",
        "/" + "x" * 10_000,
    ],
)
def test_no_path_leads_to_anything_but_the_files_of_listed_runs(start, request_from, runs, path):
    (runs / "second" / "run.log").write_text(SECRET)
    port = start(runs)
    run_id = links(request_from(port)[2])[0].split("/")[2]
    status, _, body = request_from(port, path.replace("ID", run_id))
    assert (status, body) == (404, "404: there is no such page; the runs are listed at /\n")


def test_a_link_is_not_followed_also_if_it_is_put_there_after_the_run_was_listed(start, request_from, runs):
    outside = runs.parent / "outside"
    outside.mkdir()
    (outside / "report.html").write_text(SECRET)
    port = start(runs)
    second, _, first, _ = links(request_from(port)[2])
    (runs / "first" / "report.html").unlink()
    (runs / "first" / "report.html").symlink_to(outside / "report.html")
    shutil.rmtree(runs / "second")
    (runs / "second").symlink_to(outside)
    for address in (first, second):
        assert request_from(port, address)[0] == 404
    assert SECRET not in request_from(port)[2]


def test_a_pipe_is_not_served_and_blocks_nothing(start, request_from, runs):
    port = start(runs)
    address = links(request_from(port)[2])[0]
    (runs / "second" / "report.html").unlink()
    os.mkfifo(runs / "second" / "report.html")
    assert request_from(port, address)[0] == 404


def test_texts_of_results_are_text(start, request_from, runs):
    payload = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m"
    write_run(runs / "hostile", recipe={"report": {"title": payload}}, verdict=[payload], base=payload)
    shutil.copytree(runs / "first", runs / "<b>name</b>")
    (runs / "broken").mkdir()
    (runs / "broken" / "results.json").write_text('{"schema_version": "<script>alert(3)</script>"}')
    body = request_from(start(runs))[2]
    assert body.count("<script>") == 1
    assert "<img" not in body
    assert "<b>" not in body
    assert "\x1b" not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert "its schema version is &lt;script&gt;alert(3" in body
    assert "5 of 5 runs shown" in body


def test_a_folder_whose_name_is_no_utf8_is_listed(start, request_from, runs):
    (runs / "first").rename(runs / os.fsdecode(b"caf\xe9"))
    port = start(runs)
    body = request_from(port)[2]
    assert "caf\ufffd" in body
    assert request_from(port, links(body)[2])[2].endswith("<h1>Report of first</h1>")


def test_a_run_that_finishes_appears_after_a_reload_and_a_file_of_it_opens(start, request_from, runs):
    port = start(runs)
    (runs / "third").mkdir()
    (runs / "third" / "run.log").touch()
    assert "no results yet" in request_from(port)[2]
    write_run(runs / "third", day="2026-05-01")
    body = request_from(port)[2]
    assert "no results yet" not in body
    assert request_from(port, links(body)[0])[2].endswith("<h1>Report of third</h1>")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", ["broken", "second", "first"]),
        ("text=SEC", ["second"]),
        ("text=adapter+first", ["first"]),
        ("text=c0ffee", ["second", "first"]),
        ("base=other-lm", ["second"]),
        ("model=adapter", ["first"]),
        ("model=adapter-2", ["second"]),
        ("outcome=worse", ["second"]),
        ("outcome=worse&model=adapter", []),
        ("outcome=broken", ["broken"]),
        ("since=2026-03-02&until=2026-04-01", ["second"]),
        ("since=2026-04-01&until=2026-04-01", ["second"]),
        ("until=2026-03-01", ["first"]),
        ("since=nonsense&page=x&show=x&unknown=1", ["broken", "second", "first"]),
        ("page=99", ["broken", "second", "first"]),
        ("text=" + "&text=x" * 100, ["broken", "second", "first"]),
    ],
)
def test_filters_show_the_runs_that_pass_all_of_them(start, request_from, tmp_path, query, shown):
    write_run(tmp_path / "first", day="2026-03-01")
    write_run(tmp_path / "second", day="2026-04-01", base="other-lm", model="adapter-2", outcome="worse")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text("{")
    body = request_from(start(tmp_path), f"/?{query}")[2]
    assert re.findall(r'<tr role="row" id="run-\w+">\s*<th[^>]*>\s*<span class="name">(\w+)<', body) == shown
    assert f"{len(shown)} of 3 runs shown" in body


def test_a_sweep_is_shown_open_if_only_a_cell_passes_the_filters(start, request_from, tmp_path):
    write_run(tmp_path / "grid" / "cells" / "r-8")
    write_run(tmp_path / "other")
    body = request_from(start(tmp_path), "/?text=r-8")[2]
    assert "1 of 2 runs shown" in body
    assert "<details open><summary>1 run inside grid</summary>" in body


def test_a_long_list_has_pages_that_keep_the_filters(start, request_from, tmp_path):
    for number in range(52):
        (tmp_path / f"run-{number:02}").mkdir()
        (tmp_path / f"run-{number:02}" / "results.json").write_text("{")
    port = start(tmp_path)
    first = request_from(port, "/?text=run")[2]
    assert len(re.findall(r'id="run-\w+"', first)) == 50
    following = re.findall(r'href="([^"]+)" rel="next"', first)[0].replace("&amp;", "&")
    assert following == "/?text=run&page=2"
    second = request_from(port, following)[2]
    assert len(re.findall(r'id="run-\w+"', second)) == 2
    assert 'href="/?text=run" rel="prev"' in second


def test_releases_are_plotted_under_their_names(start, request_from, tmp_path):
    write_run(tmp_path / "runs" / "run")
    write_baseline(tmp_path / "baselines" / "v1", "run")
    body = request_from(start(tmp_path), "/?along=releases")[2]
    assert ">v1</text>" in body
    assert "release v1" in body


def test_without_runs_the_page_says_how_to_make_one(start, request_from, tmp_path):
    status, _, body = request_from(start(tmp_path))
    assert status == 200
    assert "There are no runs below this folder yet." in body


def test_it_listens_on_the_loopback_interface_only(tmp_path):
    with listen(None, RunIndex(tmp_path)) as server:
        assert server.socket.getsockname() == ("127.0.0.1", server.server_address[1])


def test_what_cannot_be_served_is_one_message(command, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = command("view", tmp_path, "--port", port, "--no-open")
    assert (code, err) == (
        2,
        f"error: --port {port}: the port is in use\n  fix: leave --port out to use a free one\n",
    )
    code, _, err = command("view", tmp_path / "missing", "--no-open")
    assert code == 2
    assert "there is no such folder" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_the_command_prints_the_address_and_ends_on_a_signal(runs, number, code):
    hashes = {path: hashlib.sha256(path.read_bytes()).digest() for path in runs.rglob("*") if path.is_file()}
    words = [sys.executable, "-m", "medbench", "view", str(runs), "--no-open"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = re.findall(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        with urllib.request.urlopen(address, timeout=60) as response:
            assert "2 of 2 runs shown" in response.read().decode()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    assert (err == "") == (code == 0)
    assert hashes == {path: hashlib.sha256(path.read_bytes()).digest() for path in runs.rglob("*") if path.is_file()}
