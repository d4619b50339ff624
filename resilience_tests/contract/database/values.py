"""Values of every type that a column can have, as PostgreSQL's text."""

import json
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

Text = st.SearchStrategy[str]
Columns = dict[str, tuple[str, Text]]
"""By column name: its type, and its values."""

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NASTY = st.sampled_from(["", " ", "\\", '"', "'", "NULL", "null", "\\N", "{}", "a,b", "\t\r\n\v", "%s", "$1"])
WORDS = TEXT | NASTY
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
).map(json.dumps)
FOREVER = st.sampled_from(["infinity", "-infinity"])
DAYS = st.dates().map(date.isoformat) | st.sampled_from(["4713-01-01 BC", "5874897-12-31"])
MOMENTS = st.datetimes().map(datetime.isoformat) | FOREVER
TIMES = st.times().map(time.isoformat)
ZONES = st.sampled_from(["Z", "+05:30", "-08:00", "+00:00:01"])
MOMENTS_IN_ZONES = st.builds(str.__add__, st.datetimes().map(datetime.isoformat), ZONES) | FOREVER
INTERVALS = st.builds(
    "{} months {} days {} microseconds".format,
    st.integers(-(10**6), 10**6),
    st.integers(-(10**6), 10**6),
    st.integers(-(10**15), 10**15),
)
BITS = st.text("01", min_size=3, max_size=3)
FLOATS = st.floats().map(repr)
POINTS = st.builds("({},{})".format, FLOATS, FLOATS)
COUNTS = st.integers(1, 10**6)


def whole(bits: int) -> Text:
    """Integers of so many bits."""
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(str)


def unsigned(bits: int) -> Text:
    """Integers of so many bits, none of them for a sign."""
    return st.integers(0, 2**bits - 1).map(str)


def listed(inner: Text) -> Text:
    """Arrays in PostgreSQL's text form."""
    return st.lists(st.none() | inner, max_size=4).map(
        lambda values: "{" + ",".join("NULL" if value is None else quoted(value) for value in values) + "}"
    )


def quoted(value: str) -> str:
    """An element of an array or a composite."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def joined(inner: Text, between: str = " ", *, least: int = 0) -> Text:
    """Some of these values in a row."""
    return st.lists(inner, min_size=least, max_size=4).map(between.join)


def octets(count: int) -> Text:
    """So many bytes as hardware addresses have them."""
    return st.binary(min_size=count, max_size=count).map(lambda value: value.hex(":"))


def spans(bounds: st.SearchStrategy[Any]) -> Text:
    """Ranges between values of one kind, which may be open at either end, or hold nothing."""
    ends, ordered = st.sampled_from(["[)", "(]", "[]", "()"]), st.tuples(bounds, bounds).map(sorted)
    closed = st.builds(lambda pair, end: f"{end[0]}{pair[0]},{pair[1]}{end[1]}", ordered, ends)
    half = st.builds("[{},)".format, bounds) | st.builds("(,{}]".format, bounds)
    return closed | half | st.sampled_from(["empty", "(,)"])


def multiple(ranges: Text) -> Text:
    """Several ranges of one kind."""
    return joined(ranges.filter(lambda one: one != "empty"), ",").map("{{{}}}".format)


def lexeme(word: str) -> str:
    """A word of a text search."""
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def snapshot(numbers: list[int]) -> str:
    """Which transactions are seen: from, to, and those between that are not."""
    low, *running, high = sorted(set(numbers) | {0, 2**40 + 1})
    return f"{low + 1}:{high}:{','.join(str(one + 1) for one in running)}"


LEXEMES = WORDS.filter(bool).map(lexeme)
INTEGERS = spans(st.integers(-(10**9), 10**9))
NUMBERS = spans(st.decimals(-(10**9), 10**9, places=3))
DATES = spans(st.dates())
LOCAL_MOMENTS = spans(st.datetimes())

PLAIN: Columns = {
    "i2": ("int2", whole(16)),
    "i4": ("int4", whole(32)),
    "i8": ("int8", whole(64)),
    "number": (
        "numeric",
        st.decimals(allow_nan=False, allow_infinity=False).map(str)
        | st.sampled_from(["NaN", "Infinity", "-Infinity", "1.0", "1.00"]),
    ),
    "price": ("numeric(12,2)", st.decimals(-(10**9), 10**9, places=2).map(str)),
    "money": (
        "money",
        whole(64).map(lambda cents: f"{Decimal(cents).scaleb(-2)}"),
    ),
    "f4": ("float4", st.floats(width=32).map(repr)),
    "f8": ("float8", FLOATS),
    "yes": ("bool", st.sampled_from(["t", "f"])),
    "words": ("text", WORDS),
    "short": ("varchar(20)", WORDS),
    "padded": ("char(20)", WORDS),
    "letter": ('"char"', st.sampled_from(["a", "", "\\377", "\\"])),
    "title": ("name", WORDS),
    "cursor": ("refcursor", WORDS),
    "bytes": ("bytea", st.binary(max_size=20).map(lambda value: "\\x" + value.hex())),
    "doc": ("json", JSON),
    "docb": ("jsonb", JSON),
    "way": (
        "jsonpath",
        st.just("lax $.a[*] ? (@.b > 1).size()") | WORDS.map(lambda w: f"strict $.{json.dumps(w)}"),
    ),
    "uid": ("uuid", st.uuids().map(str)),
    "day": ("date", DAYS | FOREVER),
    "hour": ("time", TIMES | st.just("24:00:00")),
    "hourz": ("timetz", st.builds(str.__add__, TIMES, ZONES)),
    "at": ("timestamp", MOMENTS | st.just("4713-01-01 00:00:00 BC")),
    "atz": ("timestamptz", MOMENTS_IN_ZONES | st.just("0044-03-15 00:00:00+00 BC")),
    "span": ("interval", INTERVALS | FOREVER),
    "numbers": ("int4[]", listed(whole(32))),
    "grid": ("int4[]", st.just("[0:1][2:3]={{1,2},{3,NULL}}")),
    "many": ("text[]", listed(WORDS)),
    "docs": ("jsonb[]", listed(JSON)),
    "host": ("inet", st.ip_addresses().map(str) | st.just("10.1.2.3/8")),
    "net": ("cidr", st.ip_addresses().map(str) | st.just("10.0.0.0/8")),
    "mac": ("macaddr", octets(6)),
    "mac8": ("macaddr8", octets(8)),
    "i4range": ("int4range", INTEGERS),
    "i8range": ("int8range", INTEGERS),
    "nrange": ("numrange", NUMBERS),
    "drange": ("daterange", DATES),
    "tsrange": ("tsrange", LOCAL_MOMENTS),
    "tstzrange": ("tstzrange", LOCAL_MOMENTS),
    "i4ranges": ("int4multirange", multiple(INTEGERS)),
    "i8ranges": ("int8multirange", multiple(INTEGERS)),
    "nranges": ("nummultirange", multiple(NUMBERS)),
    "dranges": ("datemultirange", multiple(DATES)),
    "tsranges": ("tsmultirange", multiple(LOCAL_MOMENTS)),
    "tstzranges": ("tstzmultirange", multiple(LOCAL_MOMENTS)),
    "listed_ranges": ("int4range[]", listed(INTEGERS)),
    "bits": ("bit(3)", BITS),
    "varbits": ("varbit", BITS | st.just("")),
    "point": ("point", POINTS),
    "points": ("point[]", listed(POINTS)),
    "line": ("line", st.builds("{{{},{},{}}}".format, COUNTS, FLOATS, FLOATS)),
    "lseg": ("lseg", st.builds("[{},{}]".format, POINTS, POINTS)),
    "box": ("box", st.builds("{},{}".format, POINTS, POINTS)),
    "boxes": ("box[]", st.just("{(3,4),(1,2);(1,1),(0,0)}")),
    "path": (
        "path",
        joined(POINTS, ",", least=1).flatmap(lambda way: st.sampled_from([f"[{way}]", f"({way})"])),
    ),
    "polygon": ("polygon", joined(POINTS, ",", least=1).map("({})".format)),
    "circle": ("circle", st.builds("<{},{}>".format, POINTS, COUNTS)),
    "search": (
        "tsvector",
        joined(st.builds("{}:{}{}".format, LEXEMES, st.integers(1, 9999), st.sampled_from("ABCD"))),
    ),
    "place": ("pg_lsn", st.builds("{:X}/{:X}".format, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))),
    "number_of": ("oid", unsigned(32)),
    "transaction": ("xid", unsigned(32)),
    "transaction8": ("xid8", unsigned(64)),
    "command": ("cid", unsigned(32)),
    "tuple": ("tid", st.builds("({},{})".format, unsigned(32), unsigned(16))),
    "seen": ("pg_snapshot", st.lists(COUNTS).map(snapshot)),
    "seen_before": ("txid_snapshot", st.lists(COUNTS).map(snapshot)),
}
"""Types that mean the same in every database: they are copied in their binary form."""

FANCY: Columns = {
    "mood": ("mood", st.sampled_from(["good", "so, so"])),
    "moods": ("mood[]", listed(st.sampled_from(["good", "so, so"]))),
    "pair": ("pair", st.builds(lambda n, text: f"({n},{quoted(text)})", whole(32), WORDS)),
    "pairs": ("pair[]", listed(st.builds(lambda n, text: f"({n},{quoted(text)})", whole(32), WORDS))),
    "small": ("small", st.integers(0, 9).map(str)),
    "coded": ("code", st.text("abc", min_size=3, max_size=3)),
    "floats": ("floats", spans(st.floats(allow_nan=False))),
    "floatss": ("floatss", multiple(spans(st.floats(allow_nan=False)))),
    "kind": ("regtype", st.sampled_from(["integer", "public.mood", "public.pair[]", "-"])),
    "kinds": ("regtype[]", listed(st.sampled_from(["public.mood", "-"]))),
    "relation": ("regclass", st.sampled_from(["pg_class", "public.known", "4294967295", "-"])),
    "function": ("regproc", st.sampled_from(["now", "public.same_mood", "-"])),
    "procedure": ("regprocedure", st.sampled_from(["abs(integer)", "public.of_ours(public.mood)", "-"])),
    "symbol": ("regoper", st.sampled_from(["||/", "public.<=>", "0"])),
    "operator": (
        "regoperator",
        st.sampled_from(["+(integer,integer)", "public.<=>(public.mood,public.mood)", "0"]),
    ),
    "collated": ("regcollation", st.sampled_from(['"C"', 'public."of ours"', "-"])),
    "config": ("regconfig", st.sampled_from(["simple", "public.of_ours", "-"])),
    "dictionary": ("regdictionary", st.sampled_from(["simple", "public.of_ours", "-"])),
    "space": ("regnamespace", st.sampled_from(["public", "pg_catalog", "-"])),
    "role": ("regrole", st.sampled_from(["platform", "-"])),
    "wanted": (
        "tsquery",
        joined(st.builds("{}{}".format, LEXEMES, st.sampled_from(["", ":*", ":AB"])), " & !"),
    ),
    "vector": ("int2vector", joined(whole(16))),
    "oids": ("oidvector", joined(unsigned(32))),
    "right": ("aclitem", st.sampled_from(["platform=r*w/cutover_admin", "=X/platform"])),
    "rights": ("aclitem[]", listed(st.just("platform=r*w/cutover_admin"))),
}
"""Types that another database numbers otherwise, or whose binary form is not read again: copied as text."""

OWN_TYPES = (
    "create type mood as enum ('good', 'so, so', 'bad')",
    "create type pair as (a int, b text)",
    "create domain small as int check (value < 10)",
    "create domain code as char(3)",
    "create type floats as range (subtype = float8, multirange_type_name = floatss)",
    "create function of_ours(mood) returns text return 'ours'",
    "create function same_mood(mood, mood) returns bool return $1 = $2",
    "create operator <=> (leftarg = mood, rightarg = mood, function = same_mood)",
    """create collation "of ours" from "C\"""",
    "create text search configuration of_ours (copy = simple)",
    "create text search dictionary of_ours (template = simple)",
    "create table known (id int)",
)
"""What the fancy types rest on."""

ODD = {
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
}
"""How the database that is read prints, unless told otherwise: most of it would lose something."""
