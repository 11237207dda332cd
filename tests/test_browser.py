"""What people see: the dashboard and the report of a finished experiment, in a real browser."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

from crnn_bench import cli
from tests.conftest import CHROMIUM
from tests.test_experiment import write_yaml

SERVER_STARTS_WITHIN_SECONDS = 240
PAGE_SHOWS_WITHIN_MILLISECONDS = 120_000  # on a loaded machine; a quiet one takes a few seconds
QUIET = "for (const [k, v] of [['panelOpen_v1', 'false'], ['fab.autoOpenedOnFirstLoad_v1', 'true']])"
QUIET += " localStorage.setItem('mlflow.assistant.' + k, v)"  # MLflow's assistant would cover a third of the page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here; apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Playwright's own, as it closes
]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, music: Path) -> Path:
    """The results of an SVM and of the floor, which mistakes most songs, with two seeds."""
    folder = tmp_path_factory.mktemp("seen")
    yaml = write_yaml(folder / "seen.yaml", music, "[MfccSVM, MajorityClass], seed: [0, 1]", "features: Mfcc\n")
    yaml.write_text(f"# Can a browser see it?\n{yaml.read_text()}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRNN_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert cli.main(["run", str(yaml), "--out", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """An empty tab."""
    tab = browser.new_page(viewport={"width": 1500, "height": 900})
    tab.set_default_timeout(PAGE_SHOWS_WITHIN_MILLISECONDS)
    tab.add_init_script(QUIET)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def dashboard(out: Path) -> Iterator[str]:
    """The address that `crnn-bench ui` prints, as long as it runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "crnn_bench", "ui", str(out), "--port", str(port)]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert server.stdout is not None
    try:
        printed = re.match(r"dashboard: (\S+) \(Ctrl-C stops it\)", server.stdout.readline())
        assert printed is not None
        _wait(f"http://127.0.0.1:{port}/health", server)
        yield printed[1]
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        server.stdout.close()


def _wait(address: str, server: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + SERVER_STARTS_WITHIN_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            if requests.get(address, timeout=10).ok:
                return
        except requests.RequestException:
            time.sleep(0.5)
    pytest.fail(f"no dashboard at {address}")


def row(out: Path) -> dict[str, Any]:
    return {str(name): value for name, value in pd.read_csv(out / "results.csv").iloc[0].items()}


def test_the_dashboard_opens_on_the_cells_and_shows_what_they_reached(page: Any, dashboard: str, out: Path) -> None:
    page.goto(dashboard)
    for seed in (0, 1):
        page.get_by_text(f"MfccSVM, AlbumSplit, 1 s, seed {seed}", exact=True).first.wait_for()
    page.get_by_text("4 matching runs").wait_for()
    assert page.get_by_text("Can a browser see it?").first.is_visible()
    for heading in ("song/f1", "slice/f1", "validation/song/f1"):
        assert page.get_by_role("columnheader").filter(has_text=heading).first.is_visible()


def test_the_dashboard_groups_seeds(page: Any, dashboard: str) -> None:
    page.goto(dashboard.replace("Key=cells", "Key=groups"))
    page.get_by_text("Group: MfccSVM, AlbumSplit, 1 s").first.wait_for()
    page.get_by_text("(average)").first.wait_for()


def test_a_cells_page_holds_the_numbers_of_the_table(page: Any, dashboard: str, out: Path) -> None:
    page.goto(f"{dashboard.partition('?')[0]}/{row(out)['run_id']}")
    for metric, column in {"slice/f1": "f1_slice", "validation/song/f1": "f1_song_validation"}.items():
        found = page.get_by_role("row").filter(has=page.get_by_text(metric, exact=True)).first
        found.wait_for()
        assert float(found.inner_text().split()[-1]) == pytest.approx(row(out)[column], abs=1e-12)


def test_a_figure_is_shown_inline(page: Any, dashboard: str, out: Path) -> None:
    cell = row(out)
    figure = f"figures/{cell['cell']}-confusion-songs.png"
    page.goto(f"{dashboard.partition('?')[0]}/{cell['run_id']}/artifacts/{figure}")
    page.wait_for_function(f"[...document.images].some(one => one.alt == '{figure}' && one.naturalWidth > 100)")


def test_the_whole_experiments_page_tells_the_question_and_the_table(page: Any, dashboard: str, out: Path) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    parent = client.get_run(client.get_run(row(out)["run_id"]).data.tags["mlflow.parentRunId"])
    page.goto(f"{dashboard.partition('?')[0]}/{parent.info.run_id}")
    page.get_by_text("Can a browser see it?").first.wait_for()
    assert page.locator("td", has_text="AlbumSplit").first.is_visible()


def test_the_report_plays_a_clip_offline_and_without_an_error(page: Any, out: Path) -> None:
    asked, said = [], []
    page.route(re.compile("^(?!file:|data:|blob:)"), lambda route: (asked.append(route.request.url), route.abort()))
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((out / "report.html").as_uri())
    assert page.locator("audio").count() > 0, "no clip to be played"
    page.evaluate("() => { for (const d of document.querySelectorAll('details')) d.open = true }")
    clip = page.locator("audio").first
    clip.evaluate("clip => clip.play()")
    page.wait_for_function("document.querySelector('audio').currentTime > 0.2")
    assert clip.evaluate("clip => clip.error") is None
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    assert asked == []
    assert said == []
