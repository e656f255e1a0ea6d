"""The report, looked at in a real browser: Debian's chromium."""

import os
import re
import shutil
from collections import Counter
from itertools import chain, combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chromium
import cutline
from cutline.errors import CutlineError, UsageError
from cutline.plan import receipts
from cutline.progress.watcher import SILENT
from cutline.report import plots, thumbnails
from cutline.report.shapes import COARSE, LONGEST_CAPTION, MOST_SIZES, count_shapes
from cutline.store.table_files import TableFiles
from cutline.table import slices_of
from cutline.trainers.simpletuner import aspect_bucket
from intact import NAMES, intact

NASTY = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">&\""


@pytest.fixture(scope="module")
def browser():
    if not chromium.is_installed():
        pytest.skip("there is no chromium: apt-get install chromium")
    with chromium.launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of a demo with all faults, and what must be on it."""
    root = tmp_path_factory.mktemp("report") / "demo"
    expected = cutline.make_demo(root, cutline.DemoOptions(1000))
    cutline.run(str(root))
    return root / "demo.report.html", expected


class Visit:
    """A page that has been opened: what it asked for and what it complained of."""

    def __init__(self, browser, path, width=1180, scheme="light"):
        self.requests, self.complaints = [], []
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self.hear)
        self.page.goto(f"file://{path}")
        self.page.wait_for_function("window.Bokeh && Bokeh.documents.every(d => d.is_idle)")

    def hear(self, message):
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def text(self):
        return self.page.inner_text("main")


@pytest.mark.parametrize("width", [1180, 640, 390, 320])
def test_the_page_opens_without_errors_or_requests_and_fits_the_window(browser, report, width):
    visit = Visit(browser, report[0], width)
    assert visit.complaints == []
    assert visit.requests == [f"file://{report[0]}"]
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.skipif(chromium.axe() is None, reason="axe-core comes by npm: apt-get install npm")
@pytest.mark.parametrize(("width", "scheme"), [(1180, "light"), (1180, "dark"), (400, "dark")])
def test_everybody_can_read_the_page(browser, report, width, scheme):
    visit = Visit(browser, report[0], width, scheme)
    assert chromium.unreadable(visit.page) == []


def test_the_plots_are_dark_where_the_reader_likes_it_so(browser, report):
    colours = {
        scheme: Visit(browser, report[0], scheme=scheme).page.evaluate(
            "[...Bokeh.documents[0]._all_models.values()]"
            ".filter(model => model.type == 'LinearAxis').map(axis => axis.axis_label_text_color)"
        )
        for scheme in ("light", "dark")
    }
    shown = {scheme: {str(one) for one in found} for scheme, found in colours.items()}
    assert shown["light"] != shown["dark"]
    assert len(shown["dark"]) == 1


def test_the_page_shows_images_by_lot_by_length_of_the_caption_and_of_each_reject(browser, report):
    path, _ = report
    visit = Visit(browser, path)
    rows = pq.read_table(path.parent / "demo.parquet").to_pylist()
    lines = pq.read_table(path.parent / "demo.rejects.parquet").to_pylist()
    by_length = sorted(rows, key=lambda row: (len(row["caption"]), row["filename"]))
    by_title = dict(
        zip(
            visit.page.locator("h3.gallery").all_inner_texts(),
            [
                each.locator("figcaption b").all_inner_texts()
                for each in visit.page.locator(".thumbnails").all()
            ],
            strict=True,
        )
    )
    lot, longest, shortest, rejects = by_title.values()
    assert len(set(lot)) == 6
    assert shortest == [row["filename"] for row in by_length[:3]]
    assert {len_of(longest[0], rows)} == {len(by_length[-1]["caption"])}
    there = {
        line["reason"]
        for line in lines
        if line["filename"] and (path.parent / "data" / line["filename"]).is_file()
    }
    shown = [
        caption.inner_text()
        for caption in visit.page.locator(".thumbnails").last.locator("figcaption").all()
    ]
    assert len(rejects) == len(there)
    assert {text.partition("\n")[2].partition(":")[0].strip() for text in shown} == there
    pictures = visit.page.locator(".thumbnails img")
    assert pictures.count() == sum(map(len, by_title.values()))
    assert visit.page.evaluate(
        "[...document.querySelectorAll('.thumbnails img')].every(i => i.src.length < 20000)"
    )


def len_of(filename, rows):
    return next(len(row["caption"]) for row in rows if row["filename"] == filename)


def test_an_image_that_cannot_be_shown_has_no_picture(tmp_path):
    made = intact(tmp_path / "set")
    pictures = {name: thumbnails._picture(str(made.data), name) for name in NAMES}
    assert all(picture.startswith("data:image/jpeg;base64,") for picture in pictures.values())
    (made.data / "page.png").write_bytes(b"<html>")
    (made.data / "cut.png").write_bytes((made.data / NAMES[0]).read_bytes()[:60])
    (tmp_path / "outside.png").write_bytes((made.data / NAMES[0]).read_bytes())
    for name in ("page.png", "cut.png", "nowhere.png", "../../outside.png", "/etc/passwd"):
        assert thumbnails._picture(str(made.data), name) == ""


def test_of_several_captions_all_are_shown_below_an_image(tmp_path):
    table = str(tmp_path / "t.parquet")
    cells = pa.array([["A fox.", "A red fox."]], pa.list_(pa.string()))
    pq.write_table(pa.table({"caption": cells, "filename": ["a.png"]}), table)
    drawn = thumbnails._drawn_by_lot(slices_of(table))
    assert drawn == [("a.png", "A fox. / A red fox.")]


def test_the_page_says_when_and_how_it_was_made_and_leads_to_table_and_ledger(browser, tmp_path):
    root = tmp_path / "a set"
    cutline.make_demo(root, cutline.DemoOptions(100))
    rules = cutline.Rules(("long_caption", "short_caption"), (("url", "url"),))
    cutline.run(str(root), cutline.CompileOptions(rules=rules, max_rejects=0.5))
    page = Visit(browser, root / "a set.report.html").page
    head = page.locator("h1 + p").inner_text()
    assert re.match(r"\d+ \w+ 20\d\d, \d\d:\d\d UTC, by cutline \d", head)
    assert (
        "max rejects: 0.5; caption fields: long_caption, short_caption; columns: url=url." in head
    )
    links = page.locator("h1 + p a").evaluate_all("links => links.map(link => link.href)")
    assert links == [f"file://{tmp_path}/a%20set/a%20set{end}.parquet" for end in ("", ".rejects")]


def test_captions_that_a_text_encoder_cuts_are_estimated(browser, tmp_path):
    words = {"a" * 5: 1, "one, two": 3, "word " * 72: 72, "word " * 300: 300, "w 7" * 900: 1000}
    rows = [{"width": 64, "height": 64, "caption": c, "filename": f"{len(c)}"} for c in words]
    path = str(tmp_path / "t.parquet")
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert count_shapes(path, None, SILENT).words == Counter(words.values())
    page = Visit(browser, cutline.report_table(path).page).page
    table = page.locator(".tables tbody").first.locator("tr").all_inner_texts()
    assert [line.split() for line in table] == [
        ["CLIP", "77", "3", "60.0%"],
        ["T5", "256", "2", "40.0%"],
        ["T5", "512", "1", "20.0%"],
    ]


@given(st.lists(st.tuples(st.integers(64, 4000), st.integers(64, 4000)), min_size=1, unique=True))
def test_no_name_of_a_size_is_on_another_one(sizes):
    named = plots._with_room(sizes)
    assert named[0] == sizes[0]
    spans = [max(edges) - min(edges) or 1 for edges in zip(*sizes, strict=True)]
    wide, high = (
        share * (1 + plots.PADDED) * span for share, span in zip(plots.LABEL, spans, strict=True)
    )
    for (a, b), (c, d) in combinations(named, 2):
        assert abs(a - c) > wide or abs(b - d) > high


def test_the_page_tells_the_counts(browser, report):
    path, expected = report
    visit = Visit(browser, path)
    cards = visit.page.locator(".cards .card").all_inner_texts()
    counts = {label: int(count.replace(",", "")) for count, label in map(str.splitlines, cards)}
    assert counts == {
        "sidecars": expected.sidecars,
        "rows": expected.rows,
        "rejects": sum(expected.rejects.values()),
        "images": expected.images,
        "images without row": expected.orphans,
    }
    text = visit.text()
    for reason, count in expected.rejects.items():
        assert re.search(rf"{reason}\s+{count}\b", text), reason
    assert "Not yet ready to train: 2 checks fail." in text
    assert f"cutline run {path.parent} --orphans move" in text


def test_the_plots_hold_what_was_counted(browser, report):
    """Asked of BokehJS itself, in the page."""
    path, expected = report
    visit = Visit(browser, path)
    assert visit.page.locator("canvas").count() >= 3
    columns = visit.page.evaluate(
        "Bokeh.documents.flatMap(d => [...d._all_models.values()])"
        ".filter(m => m.type == 'ColumnDataSource').map(m => m.data)"
    )
    columns = [column for column in columns if "count" in column]
    assert len(columns) == 4
    for column in columns:
        assert sum(column["count"]) == expected.rows
    sizes = next(column for column in columns if "width" in column)
    rows = pq.read_table(path.parent / "demo.parquet").to_pylist()
    assert dict(
        zip(zip(sizes["width"], sizes["height"], strict=True), sizes["count"], strict=True)
    ) == (Counter((row["width"], row["height"]) for row in rows))


def test_the_slowest_and_the_fastest_parts_are_shown(browser, tmp_path):
    root = tmp_path / "demo"
    cutline.make_demo(root, cutline.DemoOptions(600))
    table = str(root / "demo.parquet")
    cutline.compile_table(str(root / "data"), table, cutline.CompileOptions(partition_size=50))
    known = receipts.read_timings(TableFiles.of(table))
    visit = Visit(browser, cutline.report_table(table).page)
    rows = visit.page.locator("table.parts td.name").locator("..").all()
    expected = [
        f"part-{one.index:05} {one.first} {one.last} 50 {one.seconds:.3f} {one.rate:,.0f}"
        for one in chain(receipts.slowest(known), receipts.fastest(known))
    ]
    assert [" ".join(row.inner_text().split()) for row in rows] == expected
    assert len(expected) == 2 * receipts.SHOWN
    assert f"Of {len(known)} whose time is known." in visit.text()


def test_without_their_times_nothing_is_said_of_parts(report):
    page = report[0]
    assert "Slowest and fastest parts" in page.read_text()
    shutil.copytree(page.parent, copy := page.parent.parent / "copy")
    (copy / "demo.cutline/timings").unlink()
    written = Path(cutline.report_table(str(copy / "demo.parquet")).page)
    assert "Slowest and fastest parts" not in written.read_text()


def test_whatever_stands_in_names_and_captions_stays_text(browser, tmp_path):
    made = intact(tmp_path / "set")
    name = "<img src=x onerror=document.title='owned'>&.png"
    made.add(name, short_caption=NASTY)
    made.add("'\".png", width=NASTY)
    made.add("\N{RIGHT-TO-LEFT OVERRIDE}gnp.png", width=None)
    made.prepare()
    cutline.report_table(made.table, str(made.data))
    visit = Visit(browser, made.root / "set.report.html")
    assert visit.page.title() == "set: a cutline report"
    assert visit.complaints == []
    assert NASTY in visit.text()
    assert name in visit.text()
    assert "\\u202egnp.png" in visit.text()
    sources = [image.get_attribute("src") for image in visit.page.locator("main img").all()]
    assert [source for source in sources if not source.startswith("data:image/jpeg;")] == []


def test_a_value_is_escaped_shortened_and_readable_where_it_is_put_in(tmp_path):
    made = intact(tmp_path / "set")
    made.add("0.png", short_caption=NASTY)
    made.add("1.png", short_caption="y" * 401)
    made.add("2.png", short_caption="a\N{RIGHT-TO-LEFT OVERRIDE}b")
    made.prepare()
    page = Path(cutline.report_table(made.table).page).read_text()
    assert "<script>document" not in page
    assert "<td>&lt;script&gt;document.title=&#39;owned&#39;&lt;/script&gt;&lt;img" in page
    assert f"<td>{'y' * 400} …</td>" in page
    assert "<td>a\\u202eb</td>" in page


def test_a_dataset_that_is_well_is_told_so(browser, tmp_path):
    made = intact(tmp_path / "set")
    cutline.report_table(made.table, str(made.data))
    text = Visit(browser, made.root / "set.report.html").text()
    assert "The trainer will find what it needs." in text
    assert "7 rows are below its 0.75 megapixels and left out." in text


def test_without_the_folder_only_the_table_is_told_of(browser, tmp_path):
    made = intact(tmp_path / "set")
    summary = cutline.report_table(made.table)
    assert summary.page == str(made.root / "set.report.html")
    text = Visit(browser, summary.page).text()
    assert "What the rows look like" in text
    assert "What the trainer will find" not in text
    assert "The images were not looked at: cutline report TABLE DATA" in text
    assert "Some of the images" not in text


def test_without_images_none_is_shown_and_the_page_says_so(browser, tmp_path):
    made = intact(tmp_path / "set")
    for name in NAMES:
        (made.data / name).unlink()
    text = Visit(browser, cutline.report_table(made.table, made.data).page).text()
    assert "No image is shown, because none is there as a file." in text
    assert "Some of the images" not in text


def test_a_table_without_rows_has_a_page_too(tmp_path):
    made = intact(tmp_path / "set")
    made.rewrite([])
    os.remove(made.root / "set.rejects.parquet")
    page = Path(cutline.report_table(made.table).page).read_text()
    assert "What the rows look like" not in page


# What is counted


def counted(tmp_path, sizes, captions=("A caption",)):
    rows = [
        {
            "width": width,
            "height": height,
            "caption": captions[n % len(captions)],
            "filename": f"{n}",
        }
        for n, (width, height) in enumerate(sizes)
    ]
    path = str(tmp_path / "t.parquet")
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)
    return count_shapes(path, None, SILENT)


def test_a_damaged_table_is_said_in_a_sentence(tmp_path):
    table = tmp_path / "t.parquet"
    rows = {"width": [64] * 9, "height": [64] * 9, "caption": ["c"] * 9, "filename": ["f"] * 9}
    pq.write_table(pa.table(rows), table)
    with open(table, "r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 40)
    with pytest.raises(CutlineError, match=r"is damaged .*: compile it again\.$"):
        cutline.report_table(str(table))


@pytest.mark.parametrize(
    "kind", [pa.dictionary(pa.int8(), pa.string()), pa.string_view(), pa.large_string()], ids=str
)
def test_text_is_counted_however_another_writer_keeps_it(tmp_path, kind):
    text = pa.array(["x" * 9, None, "y" * 25], pa.string()).cast(kind)
    names = pa.array(["a", "b", "c"], pa.string()).cast(kind)
    sizes = pa.array([1024] * 3, pa.uint16())
    table = str(tmp_path / "t.parquet")
    pq.write_table(
        pa.table({"filename": names, "height": sizes, "caption": text, "width": sizes}), table
    )
    assert count_shapes(table, None, SILENT).lengths == {0: 1, 20: 1}
    assert "y" * 25 in Path(cutline.report_table(table).page).read_text()


@pytest.mark.filterwarnings("ignore:out of range integer")  # Bokeh, of what JavaScript cannot
def test_an_edge_that_needs_all_64_bits_is_counted(tmp_path):
    edges = pa.array([2**64 - 1, 0], pa.uint64())
    text = ["c", "c"]
    table = str(tmp_path / "t.parquet")
    pq.write_table(
        pa.table({"width": edges, "height": edges, "caption": text, "filename": text}), table
    )
    assert count_shapes(table, None, SILENT).sizes == {(2**64 - 1, 2**64 - 1): 1}
    cutline.report_table(table)


@pytest.mark.parametrize(
    ("names", "width", "words"),
    [
        ("width height caption filename", ["64"], "has no column width of whole numbers: compile"),
        ("width height caption filename", [64.0], "has no column width of whole numbers: compile"),
        ("wide height caption filename", [64], "has no column width of whole numbers: compile"),
        ("width high caption filename", [64], "has no column height of whole numbers: compile"),
        ("width height caption file", [64], "has no column filename of text: compile"),
        ("width height caption filename width", [64], "has more than one column width: compile"),
        ("width height caption filename caption", [64], "has more than one column caption: comp"),
    ],
)
def test_a_table_without_the_columns_is_said_in_a_sentence(tmp_path, names, width, words):
    columns = [pa.array(width), pa.array([48]), pa.array(["c"]), pa.array(["f"]), pa.array(["x"])]
    table = str(tmp_path / "t.parquet")
    names = names.split()
    pq.write_table(pa.Table.from_arrays(columns[: len(names)], names), table)
    with pytest.raises(UsageError, match=words):
        cutline.report_table(table)


LINE = {"source": ["a.json"], "reason": ["no_width"], "detail": ["it has none"], "filename": [None]}


@pytest.mark.parametrize(
    "ledger",
    [
        {"path": ["a.json"]},
        LINE | {"reason": pa.array([None], pa.string())},
        LINE | {"source": pa.array([None], pa.string())},
        LINE | {"detail": [["a", "list"]]},
    ],
)
def test_the_ledger_of_another_tool_is_said_in_a_sentence(tmp_path, ledger):
    made = intact(tmp_path / "set")
    pq.write_table(pa.table(ledger), made.root / "set.rejects.parquet")
    words = r"set.rejects.parquet is no ledger of cutline: compile the table again\.$"
    with pytest.raises(UsageError, match=words):
        cutline.report_table(made.table)
    with pytest.raises(UsageError, match=words):
        made.verify()


def test_a_ledger_that_pandas_has_written_is_read(tmp_path):
    made = intact(tmp_path / "set")
    reason = pa.array(["no_width"]).dictionary_encode()
    pq.write_table(pa.table(LINE | {"reason": reason}), made.root / "set.rejects.parquet")
    assert made.verify().ok
    assert "no_width" in Path(cutline.report_table(made.table).page).read_text()


def test_a_ledger_that_is_no_parquet_file_is_to_be_compiled_again(tmp_path):
    made = intact(tmp_path / "set")
    (made.root / "set.rejects.parquet").write_text("source,reason")
    words = r"set.rejects.parquet is no parquet file: compile the table again\.$"
    with pytest.raises(UsageError, match=words):
        cutline.report_table(made.table)


def test_a_time_that_python_cannot_hold_is_said_in_a_sentence(tmp_path):
    made = intact(tmp_path / "set")
    table = pq.read_table(made.table)
    late = pa.array([2**60] * len(table), pa.timestamp("us"))
    pq.write_table(table.append_column("taken", late), made.table)
    with pytest.raises(UsageError, match="The column 'taken' cannot be shown"):
        cutline.report_table(made.table)


def test_sizes_buckets_and_lengths_are_those_of_a_plain_count(tmp_path):
    sizes = [(1024, 1024)] * 150 + [(1792, 1024)] * 70 + [(500, 600)] * 30
    captions = ["x" * 9, "x" * 10, "ä" * 25, "y" * 5000]
    shapes = counted(tmp_path, sizes, captions)
    assert (shapes.rows, shapes.step, shapes.small) == (250, 1, 30)
    assert shapes.sizes == Counter(sizes)
    assert shapes.buckets == Counter(aspect_bucket(*size) for size in sizes)
    lengths = Counter(len(captions[n % 4]) // 10 * 10 for n in range(250))
    lengths[LONGEST_CAPTION] = lengths.pop(5000)
    assert shapes.lengths == lengths


def test_many_sizes_are_rounded_and_none_is_lost(tmp_path):
    sizes = [(1000 + n, 2**31 - 1 - n) for n in range(MOST_SIZES + 1)]
    shapes = counted(tmp_path, sizes)
    assert (shapes.step, shapes.sizes.total()) == (COARSE, len(sizes))
    assert len(shapes.sizes) < 20


def trainers_bucket(width, height):
    """`calculate_new_size_by_pixel_area` as it is documented: step by step, for one megapixel."""
    ratio = round(width / height, 2)
    if ratio == 1.0:
        return 1.0
    edge = int(round(1000 / 64) * 64)
    target_width = max(int(round(edge * ratio**0.5 / 64) * 64), 64)
    target_height = max(int(round(edge / ratio**0.5 / 64) * 64), 64)
    return round(target_width / target_height, 2)


@given(st.integers(64, 8192), st.integers(64, 8192))
def test_buckets_are_those_of_the_trainer(width, height):
    assert aspect_bucket(width, height) == trainers_bucket(width, height)


def test_an_image_that_the_trainer_cannot_place_has_no_ratio():
    assert aspect_bucket(1, 1000) == 0.0
