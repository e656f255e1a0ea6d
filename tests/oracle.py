"""The truth as plainly as it can be said: the recipe's two loops, and what a row is.

Nothing of cutline is imported here.
"""

import glob
import json
import math
import os
import sys
import unicodedata

import pandas as pd
from PIL import Image

LARGEST = 16 * 1024 * 1024
UNSEEN = "\u00ad\u061c\u180e\ufeff" + "".join(
    chr(code)
    for first, last in ((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F))
    for code in range(first, last + 1)
)

# The recipe


def recipe_table(folder, table):
    """The recipe's first loop: flat sidecars to a table, in the order of glob."""
    data = []
    for file_path in glob.glob(f"{glob.escape(folder)}/*.json"):
        with open(file_path) as file:
            content = json.load(file)
            if "width" not in content:
                continue
            width = int(content["width"])
            height = int(content["height"])
            caption = content["short_caption"]
            filename = content["image_name"]
            data.append(
                {"width": width, "height": height, "caption": caption, "filename": filename}
            )
    frame = pd.DataFrame(data, columns=["width", "height", "caption", "filename"])
    frame.to_parquet(table, index=False)


def recipe_captions(folder, caption_field="short_caption"):
    """The recipe's second loop: a caption file beside each image."""
    for file_path in glob.glob(f"{glob.escape(folder)}/*.json"):
        with open(file_path) as file:
            content = json.load(file)
            if "width" not in content:
                continue
            text_path = f"{folder}/" + os.path.splitext(content["image_name"])[0] + ".txt"
            with open(text_path, "w") as text_file:
                text_file.write(content[caption_field])


# What a row is. A verdict is ("row", width, height, caption, filename, columns) or
# ("reject", reason, filename).


def judge(path, data, caption_fields=("short_caption",), columns=(), raw_captions=False):
    """Judge one sidecar: its path in the source and its bytes."""
    try:
        record = parse(data)
    except ValueError:
        return ("reject", "bad_json", None)
    if not isinstance(record, dict):
        return ("reject", "not_object", None)
    return judge_record(path, record, caption_fields, columns, raw_captions)


def judge_record(path, record, caption_fields, columns, raw_captions):
    """Judge what a sidecar holds, its faults in the order of the reasons."""
    filename = image_filename(path, record.get("image_name"))
    if record.get("width") is None:
        return ("reject", "no_width", filename)
    if not is_size(record["width"]):
        return ("reject", "bad_width", filename)
    if not is_size(record.get("height")):
        return ("reject", "bad_height", filename)
    if record.get("image_name") is None:
        return ("reject", "no_image_name", None)
    if filename is None:
        return ("reject", "bad_image_name", None)
    texts, odd = caption_texts(record, caption_fields)
    if not texts:
        return ("reject", "bad_caption" if odd else "no_caption", filename)
    caption = texts[0] if raw_captions else clean(texts[0])
    values = []
    for field in columns:
        value = record.get(field)
        if depth(value) > 254 or any(map(is_beyond, scalars(value))):  # more than orjson writes
            return ("reject", "bad_json", filename)
        values.append(value if value is None or isinstance(value, str) else json.dumps(value))
    return ("row", int(record["width"]), int(record["height"]), caption, filename, tuple(values))


def parse(data):
    """JSON in UTF-8 as Python reads it; what is beyond JSON makes it less deep."""
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    text = data.decode("utf-8")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        value = json.loads(text, parse_int=whole)
    finally:
        sys.setrecursionlimit(limit)
    if depth(value) > (254 if any(map(is_beyond, scalars(value))) else 1024):
        raise ValueError
    return value


def whole(digits):
    """A whole number, or the double that is nearest to a large one."""
    return int(digits) if len(digits) < 300 else float(digits)


def is_beyond(value):
    """Half a surrogate pair, or what is no finite number as a double."""
    if isinstance(value, str):
        return any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, int):
        return abs(value) > sys.float_info.max
    return isinstance(value, float) and not math.isfinite(value)


def walk(value):
    """Every value inside a value, itself too, and how deep lists and objects go there."""
    left = [(value, 0)]
    while left:
        value, above = left.pop()
        if isinstance(value, dict):
            left += [(key, above + 1) for key in value]
            left += [(item, above + 1) for item in value.values()]
        elif isinstance(value, list):
            left += [(item, above + 1) for item in value]
        yield value, above + isinstance(value, (dict, list))


def depth(value):
    return max(deep for _, deep in walk(value))


def scalars(value):
    return (inner for inner, _ in walk(value) if not isinstance(inner, (dict, list)))


def is_size(value):
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        if value == "" or any(letter not in "0123456789" for letter in value):
            return False
        return len(value) < 4000 and 0 < int(value) < 2**31
    if isinstance(value, int):
        return 0 < value < 2**31
    if isinstance(value, float):
        return 0 < value < 2**31 and value == math.floor(value)
    return False


def image_filename(path, image_name):
    """The folder of the sidecar and the image's name, or None if that is no safe name."""
    if not isinstance(image_name, str) or image_name in ("", ".", "..") or is_beyond(image_name):
        return None
    if len(image_name.encode()) > 250 or image_name.endswith(".txt") or "/" in image_name:
        return None
    try:
        filename = os.path.join(os.path.dirname(path).decode(), image_name)
    except UnicodeDecodeError:
        return None
    for letter in filename:
        if letter == "\\" or unicodedata.category(letter) == "Cc":
            return None
    return filename


def caption_texts(record, caption_fields):
    """The texts that could be the caption, best first; and whether anything there is no text."""
    texts, odd = [], False
    for field in caption_fields:
        value = record.get(field)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                if clean(item) != "" and is_beyond(item):
                    odd = True
                elif clean(item) != "":
                    texts.append(item)
            elif item is not None:
                odd = True
    return texts, odd


def clean(text):
    """One space for each run of control characters and line breaks; the ends stripped."""
    letters = []
    in_run = False
    for letter in text:
        is_break = unicodedata.category(letter) == "Cc" or letter in "\u2028\u2029"
        if not is_break:
            letters.append(letter)
        elif not in_run:
            letters.append(" ")
        in_run = is_break
    cleaned = "".join(letters).strip()
    return "" if all(map(is_unseen, cleaned)) else cleaned


def is_unseen(letter):
    """A blank, or a letter that only tells how others are shown."""
    return (
        letter.isspace() or unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f"
    )


# A compile. Rows are (width, height, caption, filename, *columns), lines of the ledger
# (source, reason, filename), both in source order.


def compile_folder(folder, **rules):
    """What a compile of a folder must give: the rows and the ledger."""
    rows, ledger, keys = [], [], set()
    for path in sidecar_paths(folder):
        data = read(os.path.join(os.fsencode(folder), path))
        verdict = judge(path, data, **rules) if isinstance(data, bytes) else data
        if verdict[0] == "row":
            filename = verdict[4]
            key = os.path.splitext(filename)[0]
            if key not in keys:
                keys.add(key)
                rows.append((*verdict[1:5], *verdict[5]))
                continue
            verdict = ("reject", "duplicate", filename)
        ledger.append((path.decode(errors="backslashreplace"), verdict[1], verdict[2]))
    return rows, ledger


def sidecar_paths(folder):
    """Every sidecar's path in a folder, as bytes, sorted."""
    found = []
    root = os.fsencode(folder)
    for place, folders, files in os.walk(root):
        seen = [name for name in folders + files if not name.startswith(b".")]
        sidecars = [name for name in seen if name.lower().endswith(b".json")]
        found += [os.path.relpath(os.path.join(place, name), root) for name in sidecars]
        folders[:] = [name for name in folders if name in seen and name not in sidecars]
    return sorted(found)


def read(path):
    """A sidecar's bytes, or the verdict on one that is not read."""
    if not os.path.isfile(path):
        return ("reject", "unreadable", None)
    if os.path.getsize(path) > LARGEST:
        return ("reject", "too_large", None)
    with open(path, "rb") as file:
        return file.read()


# A set as img2dataset or gallery-dl write it: the image is the file beside the sidecar.

IMAGES = (".gif", ".jpeg", ".jpg", ".png", ".webp")


def compile_set(folder, caption_fields, measure=False):
    """What a compile of a tool's set must give: the rows and the ledger."""
    rows, ledger = [], []
    for path in map(os.fsdecode, sidecar_paths(folder)):
        image = image_beside(folder, path)
        with open(os.path.join(folder, path), "rb") as file:
            record = json.load(file)
        if image is None:
            ledger.append((path, "no_image", None))
            continue
        record["image_name"] = os.path.basename(image)
        if measure and record.get("width") is None:
            with Image.open(os.path.join(folder, image)) as opened:
                record["width"], record["height"] = opened.size
        verdict = judge_record(os.fsencode(path), record, caption_fields, (), False)
        if verdict[0] == "row":
            rows.append(verdict[1:5])
        else:
            ledger.append((path, verdict[1], verdict[2]))
    return rows, ledger


def image_beside(folder, path):
    """The first image by name that has the stem of `x.json`, or that is the `x` of it; or None."""
    named = path.removesuffix(".json")
    if named.lower().endswith(IMAGES):
        return named if os.path.exists(os.path.join(folder, named)) else None
    found = [named + ending for ending in IMAGES]
    return next((one for one in found if os.path.exists(os.path.join(folder, one))), None)
