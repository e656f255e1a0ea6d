"""The pictures of the documents, taken anew by `make pictures`: a terminal, pages, a report."""

import io
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from PIL import Image
from test_captions_page import standing_still, wait_for_tasks

from cutline import CompileOptions, DemoOptions, make_demo, run
from cutline.progress import show_captions_page
from terminal import Screen

PICTURES = os.environ.get("CUTLINE_PICTURES")
"""A folder for the pictures; without it none are taken."""

pytestmark = pytest.mark.skipif(not PICTURES, reason="only `make pictures` takes the pictures anew")

ROOT = Path("/home/user/training/data/dalle3")
"""Where README has the set, and what the pictures are to show."""

ABOVE = {"x": 0, "y": 0, "width": 1280, "height": 1000}
"""What is shown of a page that is long."""


def keep(picture, name):
    """Keep a picture for the documents, in 256 colours, which takes a third of the space."""
    with Image.open(io.BytesIO(picture)) as image:
        image.quantize(256).save(f"{PICTURES}/{name}.png", optimize=True)


@pytest.fixture
def root():
    """Make the folder of README for the time of a picture, with the folders above it."""
    missing = [folder for folder in (ROOT, *ROOT.parents) if not folder.exists()]
    if ROOT not in missing:
        pytest.fail(f"{ROOT} is somebody's: no picture is taken in it")
    ROOT.parent.mkdir(parents=True, exist_ok=True)
    yield ROOT
    shutil.rmtree(missing[-1])


def test_a_picture_of_a_terminal(browser, root):
    typed = ["cutline", "run", root.name]
    make_demo(root, DemoOptions(1000, form="shards"))
    screen = Screen([sys.executable, "-m", *typed], 80, cwd=root.parent)
    screen.wait()
    drawn = screen.picture("cutline", " ".join(typed))
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    page.set_content(f"<body style='margin: 0'>{drawn}</body>")
    keep(page.locator("svg").screenshot(), "terminal")


def test_a_picture_of_the_report(browser, root):
    make_demo(root, DemoOptions(1000))
    run(root)
    page = browser.new_page(viewport={"width": 1180, "height": 1000})
    page.goto(f"file://{root}/dalle3.report.html")
    page.wait_for_function("window.Bokeh && Bokeh.documents.every(d => d.is_idle)")
    page.wait_for_timeout(1000)
    keep(page.screenshot(full_page=True), "report")


def test_pictures_of_the_dashboard(browser, open_page, tmp_path):
    make_demo(tmp_path, DemoOptions(60_000, images=False))
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        workers = list(client.run(os.getpid).values())
        show_captions_page(client, print)  # a job does, but the page is to be open when it begins
        captions = open_page(client.dashboard_link, "captions")
        status = open_page(client.dashboard_link, "status")
        status.wait_for_timeout(2000)
        with ThreadPoolExecutor(1) as other:
            options = CompileOptions(partition_size=600)
            job = other.submit(run, str(tmp_path), options, client=client)
            wait_for_tasks(client, 100 + 3, job)  # all parts, and some caption files
            with standing_still(workers):
                for page in (captions, status):
                    page.wait_for_timeout(1500)
                keep(captions.screenshot(full_page=True, clip=ABOVE), "captions-page")
                keep(status.screenshot(), "status-page")
            job.result()
