"""Mappings: what cells become, what is refused, and which rows belong together."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operations.files.opening import EventFileUnreadable
from operations.mapping.mapped import MappedFiles
from operations.mapping.plan import Cell, FilePlan, MappingUnfit, read_mapping
from operations.mapping.records import RecordMapper
from operations.mapping.spool import SpoolFull
from operations.mapping.values import RowUnmapped, reading
from schemas.refusals import Reason, Refusal
from schemas.times import parse_ms
from tests.mapping import AHEAD_S, SAMPLES, made

if TYPE_CHECKING:
    from tests.mapping import Made

HEAD = """
[[file]]
source = "/s"
currency = "EUR"
zone = "UTC"
{options}
  [[file.event]]
  type = "order_placed"
  when = {{ n = {{ above = 0 }} }}
  id = "{{o}}-placed"
  occurred_at = {{ time = "t" }}
  order_id = "{{o}}"
  shop_id = "s"
  buyer_id = "{{b}}"
  {more}
    [file.event.line]
    product_id = "{{p}}"
    quantity = {{ number = "n" }}
    {price}
"""
COLUMNS = "o,t,b,p,n,m\n"
PRICE = 'unit_price = { money = "m" }'


def _mapping(
    directory: Path, options: str = "", more: str = "", price: str = PRICE, rest: str = ""
) -> Path:
    path = directory / "mapping.toml"
    text = HEAD.format(options=options, more=more, price=price) + rest
    path.write_text(text, encoding="utf-8")
    return path


def _made(directory: Path, rows: str, **parts: str) -> Made:
    file = directory / "rows.csv"
    file.write_text(COLUMNS + rows, encoding="utf-8")
    return made(_mapping(directory, **parts), [file])


def _read(cell: dict[str, Any], given: object, **plan: Any) -> Any:  # noqa: ANN401 - any kind
    file = FilePlan(lookup="x", key="x", **plan)
    return reading(Cell(**cell), file, lambda _: "EUR")({"c": given})


@pytest.mark.parametrize(
    ("cell", "given", "plan", "value"),
    [
        ({"money": "c"}, "12.5", {}, 1250),
        ({"money": "c"}, " 1.234,50 ", {"decimal": ",", "thousands": "."}, 123450),
        ({"money": "c"}, "1234,5", {"decimal": ",", "thousands": "."}, 123450),
        ({"money": "c"}, "1 234,50", {"decimal": ",", "thousands": " "}, 123450),
        ({"money": "c"}, 0.29, {}, 29),
        ({"money": "c"}, "13.3300", {}, 1333),
        ({"money": "c", "round": "half_up"}, "2.345", {}, 235),
        ({"money": "c", "round": "half_even"}, "2.345", {}, 234),
        ({"money": "c", "sign": "minus"}, "-7", {}, 700),
        ({"money": "c"}, "", {}, None),
        ({"number": "c"}, "6.0", {}, 6),
        ({"number": "c", "empty": 1}, " ", {}, 1),
        ({"column": "c", "map": {"a": "b"}}, "a", {}, "b"),
        ({"column": "c", "map": {"a": "b"}, "other": "o"}, "x", {}, "o"),
        ({"column": "c", "empty": "guest"}, None, {}, "guest"),
        ({"column": "c"}, True, {}, "true"),
        ({"time": "c"}, "2026-07-01T08:00:00Z", {}, "2026-07-01T08:00:00Z"),
        ({"time": "c"}, "2026-07-01 10:00:00 +0200", {}, "2026-07-01T08:00:00Z"),
        ({"time": "c"}, "2026-07-01 10:00", {"zone": "Europe/Berlin"}, "2026-07-01T08:00:00Z"),
        ({"time": "c", "at": "12:00"}, "2026-01-01", {"zone": "UTC"}, "2026-01-01T12:00:00Z"),
        (
            {"time": "c", "form": "%d.%m.%Y"} | {"at": "00:30"},
            "1.7.2026",
            {"zone": "Asia/Shanghai"},
            "2026-06-30T16:30:00Z",
        ),
        ({"time": "c", "form": "epoch_ms"}, 1_782_892_800_000, {}, "2026-07-01T08:00:00Z"),
        ({"time": "c", "form": "epoch_us"}, "1782892800000000", {}, "2026-07-01T08:00:00Z"),
        (
            {"time": "c"},
            "2025-10-26 02:30",
            {"zone": "Europe/Berlin", "ambiguous": "later"},
            "2025-10-26T01:30:00Z",
        ),
    ],
)
def test_cells_are_read_exactly(
    cell: dict[str, Any], given: object, plan: dict[str, Any], value: object
) -> None:
    """Each kind of cell, in the form that the mapping states."""
    wanted = parse_ms(str(value)) if "time" in cell else value
    assert _read(cell, given, **plan) == wanted


@pytest.mark.parametrize(
    ("cell", "given", "plan", "why"),
    [
        ({"money": "c"}, "2.855", {}, "more decimals than EUR has"),
        ({"money": "c"}, "1,5", {}, "no number of the form"),
        ({"money": "c"}, "1.23,50", {"decimal": ",", "thousands": "."}, "no number of the form"),
        ({"money": "c"}, "-3", {}, "below zero"),
        ({"money": "c", "sign": "minus"}, "3", {}, "above zero, and sign is minus"),
        ({"money": "c"}, float("nan"), {}, "is no number"),
        ({"number": "c"}, "1.5", {}, "not a whole number"),
        ({"column": "c", "map": {"a": "b"}}, "x", {}, "not in its map"),
        ({"time": "c"}, "2026-07-01 10:00", {}, "has no zone"),
        ({"time": "c"}, "2026-07-01", {"zone": "UTC"}, "without a time of day"),
        ({"time": "c"}, "07/01/2026 10:00", {"zone": "UTC"}, "no ISO 8601 time"),
        ({"time": "c"}, "2026-03-29 02:30", {"zone": "Europe/Berlin"}, "clock change"),
        ({"time": "c"}, "2025-10-26 02:30", {"zone": "Europe/Berlin"}, "happened twice"),
        ({"time": "c", "form": "epoch_ms"}, "soon", {}, "no number of epoch_ms"),
        ({"time": "c"}, "1826-07-01T08:00:00Z", {}, "outside the years"),
    ],
)
def test_what_is_not_exact_is_refused(
    cell: dict[str, Any], given: object, plan: dict[str, Any], why: str
) -> None:
    """The sentence names the column, the value and what is wrong."""
    with pytest.raises(RowUnmapped, match=why) as caught:
        _read(cell, given, **plan)
    assert str(caught.value).startswith("column c: ")


def test_rows_of_one_id_are_one_event(tmp_path: Path) -> None:
    """Wherever they lie: lines in the order of rows, the earliest time, empty cells filled."""
    rows = (
        "1,2026-07-02T08:00:00Z,b,p-1,2,1.50\n2,2026-07-01T08:00:00Z,b,p-1,1,1\n"
        "1,2026-07-01T08:00:00Z,,p-2,1,0.10\n"
    )
    found = _made(tmp_path, rows)
    assert found.refused == {}
    first = next(event for event in found.events if event["order_id"] == "1")
    assert (first["occurred_at"], first["buyer_id"]) == ("2026-07-01T08:00:00.000Z", "b")
    assert [(line["line_id"], line["product_id"]) for line in first["lines"]] == [
        ("1", "p-1"),
        ("2", "p-2"),
    ]


def test_an_event_is_left_out_whole(tmp_path: Path) -> None:
    """One row that is refused, or that differs, leaves out its order and no other."""
    rows = (
        "1,2026-07-02T08:00:00Z,b,p,2,1.50\n1,2026-07-02T08:00:00Z,b,p,2,x\n"
        "2,2026-07-02T08:00:00Z,b,p,2,1\n2,2026-07-02T08:00:00Z,c,p,2,1\n"
        "3,2026-07-02T08:00:00Z,b,p,2,1\n4,2026-07-02T08:00:00Z,b,p,0,1\n"
        "5,2026-07-02T08:00:00Z,,p,2,1\n6,2026-07-02T08:00:00Z,b\n"
    )
    found = _made(tmp_path, rows)
    assert [event["order_id"] for event in found.events] == ["3"]
    why = {int(at.rpartition(":")[2]): text for at, text in found.refused.items()}
    assert why.keys() == {2, 3, 4, 7, 8, 9}
    assert why[3].startswith("column m: 'x' is no number")
    assert "left out whole, as its row" in why[2]
    assert "buyer_id 'c'" in why[4]
    assert why[7].startswith("no [[file.event]] is for this row")
    assert why[8].startswith("buyer_id")
    assert "3 cells, and the first line names 6" in why[9]


def test_totals_of_lines_are_kept_to_the_cent(tmp_path: Path) -> None:
    """A total that doesn't divide becomes a price and a discount; a wrong own total is found."""
    rows = "1,2026-07-02T08:00:00Z,b,p,3,10.00\n"
    found = _made(tmp_path, rows, price='total = { money = "m" }', more='check = { money = "m" }')
    (line,) = found.events[0]["lines"]
    assert line["quantity"] * line["unit_price"] - line["discount"] == 1000
    assert (found.counts.checked.agree, found.counts.checked.differ) == (1, 0)
    other = tmp_path / "other"
    other.mkdir()
    differing = _made(other, rows, more='check = { money = "m" }')
    assert differing.counts.checked.differ == 1
    (difference,) = differing.counts.checked.differences
    assert "its lines are 30.00, and the file's own total is 10.00" in difference


RETURNS = """
    [file.event.sold]
    key = "{b}/{p}"
  [[file.event]]
  type = "refund_succeeded"
  when = { n = { below = 0 } }
  id = "r-{o}-{#n}"
  refund_id = "r-{o}-{#n}"
  occurred_at = { time = "t" }
  reason = "other"
    [file.event.line]
    quantity = { number = "n", sign = "minus" }
    [file.event.match]
    key = "{b}/{p}"
    sale = "SALE"
"""


@pytest.mark.parametrize(("sale", "orders"), [("earliest", ["1", "2"]), ("latest", ["2", "1"])])
def test_returns_find_their_sales(tmp_path: Path, sale: str, orders: list[str]) -> None:
    """Each unit once, at the sale's own price, and none of a later sale; the rest is refused."""
    rows = (
        "1,2026-07-01T08:00:00Z,b,p,2,1.50\n2,2026-07-02T08:00:00Z,b,p,2,2.50\n"
        "9,2026-07-03T08:00:00Z,b,p,-3,\n9,2026-07-03T08:00:00Z,b,p,-1,\n"
        "9,2026-07-03T08:00:00Z,b,p,-1,\n3,2026-07-04T08:00:00Z,b,p,9,1\n"
    )
    found = _made(tmp_path, rows, rest=RETURNS.replace("SALE", sale))
    refunds = [event for event in found.events if event["type"] == "refund_succeeded"]
    first = [event["order_id"] for event in refunds if event["id"].startswith("r-9-1-")]
    assert first == orders
    assert len({event["id"] for event in refunds}) == 3
    claimed = [line for event in refunds for line in event["lines"]]
    assert sum(line["quantity"] for line in claimed) == 4
    assert sum(line["amount"] for line in claimed) == 2 * 150 + 2 * 250
    assert [at.rpartition(":")[2] for at in found.refused] == ["6"]
    assert "of 1 returned units of 'b/p' 1 have no earlier sale" in found.refused["rows.csv:6"]


def test_cells_go_down_to_rows_that_belong_together(tmp_path: Path) -> None:
    """Only those that are named, only where they are empty, and only in turn."""
    at = "2026-07-01T08:00:00Z,b"
    rows = (
        f"1,{at},p-1,1,1\n1,{at},,1,1\n1,{at},p-2,1,1\n1,{at},,1,1\n2,{at},,1,1\n1,{at},,1,1\n"
        f"4,{at},p-1,1,1\n4,{at}\n4,{at},,1,1\n5,{at},p-1,1,\n5,{at},,1,1\n"
    )
    found = _made(tmp_path, rows, options='fill_down = { o = ["p"] }')
    why = {int(at.rpartition(":")[2]): text for at, text in found.refused.items()}
    # another order above, an unreadable row above, and columns that aren't named
    assert {line for line, text in why.items() if text.startswith("column p: is empty")} == {
        6,
        7,
        10,
    }
    assert why[11].startswith("column m: is empty")
    filled = rows.replace(f"2,{at},,1,1\n1,{at},,1,1\n", "")
    (first, *others) = _made(tmp_path, filled, options='fill_down = { o = ["p"] }').events
    assert [line["product_id"] for line in first["lines"]] == ["p-1", "p-1", "p-2", "p-2"]
    assert others == []


def test_formats_give_the_same_events(tmp_path: Path) -> None:
    """CSV in UTF-16, compressed CSV, JSONL and Parquet of one table."""
    row = {"o": "1", "t": "2026-07-01 08:00:00", "b": "b", "p": "p", "n": 2, "m": 1.29}
    text = "o,t,b,p,n,m\n" + ",".join(map(str, row.values())) + "\n"
    json_row = b'{"o":1,"t":"2026-07-01 08:00:00","b":"b","p":"p","n":2,"m":1.29}\n'
    (tmp_path / "a.csv").write_bytes(text.encode("utf-16"))
    (tmp_path / "b.gz").write_bytes(gzip.compress(text.replace(",", "\t").encode()))
    (tmp_path / "c.jsonl").write_bytes(json_row)
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "d.parquet")
    options = {
        "a.csv": 'encoding = "utf-16"',
        "b.gz": 'delimiter = "\\t"',
        "c.jsonl": 'format = "jsonl"',
        "d.parquet": 'format = "parquet"',
    }
    events = []
    for name, option in options.items():
        place = tmp_path / f"of-{name}"
        place.mkdir()
        found = made(_mapping(place, options=option), [tmp_path / name])
        assert found.refused == {}
        events.append(found.events)
    assert events[0][0]["lines"][0]["unit_price"] == 129
    assert all(one == events[0] for one in events)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"options": "colour = 1"}, "file.1.colour: is no name that a mapping knows there: there"),
        ({"options": 'delimeter = ";"'}, "did you mean delimiter?"),
        ({"options": 'delimiter = ";;"'}, "file.1.delimiter: is ';;', and one character is wanted"),
        ({"options": 'format = "xlsx"'}, "file.1.format: is 'xlsx', and isn't one that is known"),
        ({"options": 'json_columns = "a"'}, "is 'a', and a list such as [\"a\"] is wanted"),
        ({"options": "fill_down = 1"}, "is 1, and a table such as { name = … } is wanted"),
        ({"options": "source = 1"}, "is no TOML"),  # it is there already
        (
            {"more": 'group_id = "{o"'},
            "file.1.event.1.group_id: '{o' has a brace without its other",
        ),
        ({"more": 'group_id = ["o"]'}, "is ['o'], and a text in quotes, a whole number, or {"),
        ({"more": 'group_id = { colum = "o" }'}, "group_id.colum: is no name that a mapping knows"),
        ({"price": 'price = { money = "m" }'}, "has no price: did you mean unit_price?"),
        (
            {"rest": RETURNS.replace('{ time = "t" }', '"2026-07-01"').replace("SALE", "latest")},
            "file.1.event.2: occurred_at '2026-07-01'",
        ),
        ({"rest": "[[file.skip]]\nwhen = {}"}, "file.1.skip.1.why: is missing"),
        ({"rest": '[[file.skip]]\nwhy = "x"\nwhen = { a = 1 }'}, "or { above | below | one_of"),
        (
            {"rest": '[[file.skip]]\nwhy = "x"\nwhen = { a = { above = "1" } }'},
            "file.1.skip.1.when.a.above: is '1', and a whole number is wanted",
        ),
        ({"rest": RETURNS.replace("SALE", "first")}, "known: there are earliest, latest"),
        (
            {"rest": RETURNS.replace("succeeded", "succeded").replace("SALE", "latest")},
            "mean refund_succeeded?",
        ),
        ({"options": 'zone = "Mars/Base"'}, "'Mars/Base'"),
        ({"more": 'buyer = "x"'}, "order_placed has no field buyer"),
        ({"price": ""}, "a line of order_placed needs unit_price or total"),
        ({"more": 'group_id = { column = "x", money = "y" }'}, "exactly one of column"),
        ({"rest": "x = ["}, "is no TOML"),
        (
            {"rest": RETURNS.replace('"other"', '"othr"').replace("SALE", "latest")},
            "reason is 'othr': did you mean other?",
        ),
        (
            {
                "rest": RETURNS.replace('{ number = "n", sign = "minus" }', '"{n}"').replace(
                    "SALE", "latest"
                )
            },
            "quantity needs { number = COLUMN }",
        ),
        ({"rest": RETURNS.replace("[file.event.sold]", "[file.event.check]")}, "check"),
    ],
)
def test_a_mapping_is_checked_whole(tmp_path: Path, parts: dict[str, str], why: str) -> None:
    """One sentence names the place and the fault, before any file is read."""
    if "options" in parts and "zone" in parts["options"]:
        path = _mapping(tmp_path)
        path.write_text(path.read_text().replace('zone = "UTC"', parts["options"]))
    else:
        path = _mapping(tmp_path, **parts)
    with pytest.raises(MappingUnfit, match="mapping") as caught:
        read_mapping(path)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_money_needs_a_currency(tmp_path: Path) -> None:
    """It is refused before a file is read, with the file's table."""
    path = tmp_path / "mapping.toml"
    path.write_text(
        '[[file]]\nsource = "/s"\n[[file.event]]\ntype = "order_paid"\nid = "{o}"\n'
        'order_id = "{o}"\noccurred_at = { time = "t" }\namount = { money = "m" }\n'
    )
    with pytest.raises(MappingUnfit, match=r'file\.1: money of m needs currency, such as "EUR"'):
        read_mapping(path)


def test_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    """Before anything is made; a file that isn't of the encoding, too."""
    (tmp_path / "rows.csv").write_text("o;t;b\n1;2;3\n")
    mapping = read_mapping(_mapping(tmp_path))
    with pytest.raises(MappingUnfit, match="the mapping's delimiter is ','"):
        list(MappedFiles(mapping, [str(tmp_path / "rows.csv")], AHEAD_S).refusals())
    (tmp_path / "rows.csv").write_bytes("o,t,b,p,n,m\n1,ä".encode("cp1252"))
    with pytest.raises(EventFileUnreadable, match="give the file's encoding"):
        list(MappedFiles(mapping, [str(tmp_path / "rows.csv")], AHEAD_S).refusals())
    with pytest.raises(EventFileUnreadable, match=r"nowhere\.csv: No such file or directory"):
        MappedFiles(mapping, [str(tmp_path / "rows.csv"), str(tmp_path / "nowhere.csv")], AHEAD_S)


def test_a_lookup_without_a_column_that_is_read_is_refused_at_once(tmp_path: Path) -> None:
    """Before its rows, of which each would be refused."""
    (tmp_path / "products.csv").write_text("product id,product name\n1,Tea\n")
    (tmp_path / "transactions.csv").write_text(
        "transaction date,stock date,product id,customer id,store id,quantity\n"
    )
    names = [str(tmp_path / f"{name}.csv") for name in ("products", "transactions")]
    with pytest.raises(MappingUnfit, match="has no column 'product retail price'"):
        MappedFiles(read_mapping(SAMPLES / "foodmart" / "mapping.toml"), names, AHEAD_S)


@pytest.mark.parametrize("rows", [10, 3000])
def test_a_fault_of_all_rows_is_one_of_the_mapping(tmp_path: Path, rows: int) -> None:
    """One sentence with the first row, in place of a refusal of each."""
    text = "".join(f"{n},2026-07-02 08:00:00,b,p,1,1 {n}\n" for n in range(rows))
    (tmp_path / "rows.csv").write_text(f"o,t,b,p,n,m\n{text}")
    files = MappedFiles(read_mapping(_mapping(tmp_path)), [str(tmp_path / "rows.csv")], AHEAD_S)
    why = rf"rows\.csv:2: column m: '1 0' is no number .* all {min(rows, 1000):,} first rows"
    with pytest.raises(MappingUnfit, match=why):
        next(files.refusals())


@pytest.mark.parametrize(("good", "refused"), [(9, 9), (10, 10), (500, 999)])
def test_a_row_that_is_unlike_shows_that_rows_are_at_fault(
    tmp_path: Path, good: int, refused: int
) -> None:
    """All rows before it are refused, each by its line; so are those of a file of few rows."""
    lines = [f"{n},2026-07-02 08:00:00,b,p,1,x\n" for n in range(refused)]
    if refused != 9:
        lines += [f"{n}-good,2026-07-02 08:00:00,b,p,1,1\n" for n in range(good)]
    (tmp_path / "rows.csv").write_text(f"o,t,b,p,n,m\n{''.join(lines)}")
    files = MappedFiles(read_mapping(_mapping(tmp_path)), [str(tmp_path / "rows.csv")], AHEAD_S)
    found = [line.at.rpartition(":")[2] for line in files.refusals()]
    assert found == [str(n + 2) for n in range(refused)]
    assert sum(1 for _ in files.lines()) == len(lines) - refused


def test_a_bridge_refuses_what_needs_other_rows() -> None:
    """Matches and numbers of equal rows are those of files."""
    with pytest.raises(MappingUnfit, match="match and"):
        RecordMapper(read_mapping(SAMPLES / "woocommerce" / "mapping.toml"), "refunds", 0)
    with pytest.raises(MappingUnfit, match="of the mapping is for it"):
        RecordMapper(read_mapping(SAMPLES / "woocommerce" / "mapping.toml"), "other", 0)


def test_refusals_have_the_reason_of_mappings(tmp_path: Path) -> None:
    """It is one of the stable reasons, with a sentence and a remedy."""
    (tmp_path / "rows.csv").write_text("o,t,b,p,n,m\n1,2,3,4,5,6\n")
    files = MappedFiles(read_mapping(_mapping(tmp_path)), [str(tmp_path / "rows.csv")], AHEAD_S)
    (line,) = files.refusals()
    assert isinstance(line.event, Refusal)
    assert line.event.reason is Reason.NOT_MAPPED
    assert Reason.NOT_MAPPED.sentence.endswith(".")
    assert Reason.NOT_MAPPED.remedy


def test_files_are_closed_while_they_are_read(tmp_path: Path) -> None:
    """As after Ctrl-C: the thread that reads ends with an error, and the process goes on."""
    rows = "".join(f"{n},2026-07-02T08:00:00Z,b,p,1,1\n" for n in range(12_000))
    (tmp_path / "rows.csv").write_text(COLUMNS + rows)
    files = MappedFiles(read_mapping(_mapping(tmp_path)), [str(tmp_path / "rows.csv")], AHEAD_S)
    assert list(files.refusals()) == []
    lines = files.lines()
    next(lines)
    files.close()
    with pytest.raises(SpoolFull, match="closed"):
        list(lines)


def test_the_same_rows_of_two_files_are_one_of_them(tmp_path: Path) -> None:
    """Exports overlap: lines without an id of their own would count twice."""
    rows = "1,2026-07-02T08:00:00Z,b,p,2,1.50\n1,2026-07-02T08:00:00Z,b,p,2,1.50\n"
    mapping, first = _mapping(tmp_path), tmp_path / "rows.csv"
    second, other = tmp_path / "again.csv", "2,2026-07-02T08:00:00Z,b,p,1,1\n"
    first.write_text(COLUMNS + rows)
    second.write_text(COLUMNS + rows + other)
    assert len(made(mapping, [first]).events[0]["lines"]) == 2
    found = made(mapping, [first, second])
    assert [event["order_id"] for event in found.events] == ["2"]
    assert found.refused["rows.csv:2"].endswith(
        f"has the same row in {first}:2 and {second}:2: import it from one of them"
    )


def test_a_file_is_given_once(tmp_path: Path) -> None:
    """By whatever path."""
    mapping, first = _mapping(tmp_path), tmp_path / "rows.csv"
    first.write_text(COLUMNS)
    link = tmp_path / "link.csv"
    link.symlink_to(first)
    with pytest.raises(MappingUnfit, match=r"link\.csv is given twice"):
        made(mapping, [first, link])
