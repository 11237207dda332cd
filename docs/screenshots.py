"""Takes the README's pictures: `python docs/screenshots.py DIR` of the dashboard and the report, `… page` of the page.

Those of the dashboard are of `crnn-bench demo --out DIR --set 'grid.seed=[0,1]' --set 'grid.clip_seconds=[1,3]'` with a
smaller network, those of the page of experiments/page.yaml. Needs Chromium and Playwright; `crnn-bench ui DIR`, or
`crnn-bench serve DIR`, must run, at its usual port.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from PIL import Image
from playwright.sync_api import sync_playwright

COLOURS = 128
IMAGES = Path(__file__).parent / "images"
DASHBOARD = "http://127.0.0.1:5000/#/experiments/1/runs"
VIEW = f"{DASHBOARD}?workflowType=machine_learning&viewStateShareKey="
QUIET = "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
QUIET += "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
PAGE = "http://127.0.0.1:7860"
HIDE_PATHS = "for (const one of document.querySelectorAll('*'))"
HIDE_PATHS += " if (!one.children.length && /file:/.test(one.innerText)) one.hidden = true"


def take(page: Any, name: str, address: str, seen: str, seconds: float = 5.0) -> None:
    """Opens an address, waits until a text is seen, and takes its picture."""
    page.goto("about:blank")
    page.goto(address)
    page.locator(seen).first.wait_for()
    page.wait_for_timeout(1000 * seconds)
    page.evaluate(HIDE_PATHS)
    keep(page, name)


def keep(page: Any, name: str, whole: bool = False) -> None:
    """Takes a picture of what is seen, or of the whole page, in a few colours."""
    page.screenshot(path=IMAGES / f"{name}.png", full_page=whole)
    with Image.open(IMAGES / f"{name}.png") as picture:
        small = picture.convert("RGB").quantize(COLOURS)
    small.save(IMAGES / f"{name}.png", optimize=True)


def hear(page: Any) -> None:
    """Opens the page, and lets the best model hear its first example."""
    page.set_default_timeout(120_000)
    page.goto(PAGE)
    pick(page, "Or an example")
    page.locator("#picture img").wait_for()
    page.locator("#answer .verdict").wait_for()
    page.mouse.move(0, 0)


def pick(page: Any, label: str, option: str = "") -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option).first.click()


def take_page() -> None:
    """The page as it answers, compares, makes a list, and fits a phone."""
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        hear(page)
        keep(page, "page", whole=True)
        pick(page, "Model", "Compare all models")
        page.locator("#course table").wait_for()
        page.wait_for_timeout(1000)
        keep(page, "page_compare")
        page.get_by_role("tab", name="Playlists").click()
        pick(page, "Songs to begin with")
        page.get_by_role("spinbutton", name="How many songs").fill("8")
        page.get_by_role("button", name="Make the list").click()
        page.locator("#list li").first.wait_for()
        page.wait_for_timeout(1000)
        keep(page, "playlist")
        phone = browser.new_page(viewport={"width": 360, "height": 1100}, color_scheme="dark")
        hear(phone)
        keep(phone, "page_phone")
        browser.close()


def main(out: Path) -> None:
    table = pd.read_csv(out / "results.csv")
    cell = table[table["model"] == "CRNN"].iloc[-1]
    client = mlflow.MlflowClient(f"sqlite:///{out.resolve() / 'mlflow.db'}")
    parent = client.get_run(cell["run_id"]).data.tags["mlflow.parentRunId"]
    figure = f"figures/{cell['cell']}-confusion-slices.png"
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1250, "height": 860})
        page.set_default_timeout(120_000)
        page.add_init_script(QUIET)
        take(page, "runs", f"{VIEW}cells", "text=matching runs")
        take(page, "groups", f"{VIEW}groups", "text=(average)")
        take(page, "axes", f"{VIEW}axes&compareRunsMode=CHART", "text=Parallel Coordinates", 15)
        take(page, "experiment", f"{DASHBOARD}/{parent}?workflowType=machine_learning", "text=Description")
        take(page, "figure", f"{DASHBOARD}/{cell['run_id']}/artifacts/{figure}?workflowType=machine_learning", "img")
        take(page, "report", (out.resolve() / "report.html").as_uri(), "h1")
        browser.close()


if __name__ == "__main__":
    if sys.argv[1] == "page":
        take_page()
    else:
        main(Path(sys.argv[1]))
