"""Sets as the tools themselves write them: img2dataset 1.47.0 and gallery-dl 1.32.18, Python 3.11.

    python3 -m venv /tmp/tools && /tmp/tools/bin/pip install img2dataset==1.47.0 gallery-dl==1.32.18
    /tmp/tools/bin/python tests/record/sets/make_sets.py

Small images and a page are served on this machine's loopback, the tools fetch them, and what they
write goes into the folders beside this script, as it is, but for img2dataset's own tables and
statistics, which are no samples. The tools need an environment of their own, with no cutline in it.
"""

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading

import cv2
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.dirname(sys.executable)
PORT = 80  # gallery-dl takes no other out of the address of a page; it needs root

PICTURES = {  # (width, height): two are larger than img2dataset is asked for
    "fox.jpg": (40, 30),
    "wide.jpg": (120, 60),
    "tall.png": (60, 120),
    "cat.png": (24, 32),
    "quiet.jpg": (20, 20),
    "owl.webp": (48, 36),
}

LISTED = [  # of img2dataset: what is at a URL, and its caption
    ("fox.jpg", "A fox in the snow."),
    ("wide.jpg", "A wide field,\nunder  clouds."),
    ("gone.jpg", "What is not there."),
    ("tall.png", "A tall tree \u2013 an oak."),
    ("page.html", "A page and no image."),
    ("cat.png", "A cat."),
    ("quiet.jpg", None),
    ("owl.webp", "An owl."),
]

PAGE = """<html><head><title>Animals of the wood</title>
<meta name="description" content="A page of animals."></head><body>
{images}</body></html>
"""

SHOWN = ["fox.jpg", "tall.png", "owl.webp", "gone.jpg", "film.mp4"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def write_site(folder):
    for number, (name, (width, height)) in enumerate(PICTURES.items()):
        pixels = np.full((height, width, 3), (40 * number, 90, 200 - 30 * number), np.uint8)
        assert cv2.imwrite(f"{folder}/{name}", pixels)
    with open(f"{folder}/film.mp4", "wb") as file:
        file.write(b"moving")
    with open(f"{folder}/page.html", "w") as file:
        file.write(PAGE.format(images="".join(f'<img src="/{name}">\n' for name in SHOWN)))
    with open(f"{folder}/list.json", "w") as file:
        urls = [{"url": f"http://127.0.0.1/{name}", "caption": text} for name, text in LISTED]
        json.dump(urls, file)


def run(*command):
    subprocess.run([f"{SCRIPTS}/{command[0]}", *command[1:]], check=False)


def img2dataset(site, form, out):
    options = {
        "url_list": f"{site}/list.json",
        "input_format": "json",
        "url_col": "url",
        "caption_col": "caption",
        "output_format": form,
        "output_folder": out,
        "image_size": 64,
        "resize_mode": "keep_ratio_largest",
        "resize_only_if_bigger": True,
        "number_sample_per_shard": 8,
        "processes_count": 1,
        "thread_count": 1,
        "timeout": 5,
        "enable_wandb": False,
    }
    run("img2dataset", *(f"--{name}={value}" for name, value in options.items()))


def keep(source, target, endings):
    """Copy the files with some endings, at the paths that they have."""
    for folder, _, names in os.walk(source):
        place = os.path.join(target, os.path.relpath(folder, source))
        for name in sorted(names):
            if name.endswith(endings) and not name.endswith("_stats.json"):
                os.makedirs(place, exist_ok=True)
                shutil.copyfile(f"{folder}/{name}", f"{place}/{name}")


def make(site, scratch):
    samples = (".json", ".txt", ".jpg")
    img2dataset(site, "files", f"{scratch}/files")
    keep(f"{scratch}/files", f"{HERE}/img2dataset/files", samples)
    img2dataset(site, "webdataset", f"{scratch}/shards")
    keep(f"{scratch}/shards", f"{HERE}/img2dataset/shards", (".tar",))
    address = "http://127.0.0.1"
    wanted = [f"generic:{address}/page.html", f"{address}/cat.png"]
    plain = ("--config-ignore", "--write-metadata", "--retries=0", "--no-mtime")
    run("gallery-dl", *plain, f"--destination={scratch}/gallery", *wanted)
    keep(f"{scratch}/gallery", f"{HERE}/gallery-dl", "")


def main():
    for name in ("img2dataset", "gallery-dl"):
        shutil.rmtree(f"{HERE}/{name}", ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        site = f"{scratch}/site"
        os.mkdir(site)
        write_site(site)
        handler = functools.partial(Quiet, directory=site)
        with http.server.ThreadingHTTPServer(("127.0.0.1", PORT), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            make(site, scratch)
            server.shutdown()


if __name__ == "__main__":
    main()
