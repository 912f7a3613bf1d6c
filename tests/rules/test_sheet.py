"""The customer's sheet: in any usual form it gives the rules, and says which lines do not fit."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rules.mapping import Rule
from app.rules.sheet import MOST_BYTES, MOST_LINES, UnreadableSheet, read_sheet
from tests.table import table

PAIRS = [("email", "channels.email.address"), ("outcome", "quiz_outcome")]


def pairs(content, **known):
    content = content.encode() if isinstance(content, str) else content
    return [(row.attribute, row.field) for row in read_sheet(content, **known).rows]


def misfits(text):
    return {each.line: each.reason for each in read_sheet(text.encode()).misfits}


@table("separator", [",", ";", "\t"])
@table(
    "heading",
    [
        ("Jebbit attribute", "Cordial field"),
        ("Attribute", "Field"),
        ("JEBBIT FIELD", "Cordial Attribute (case-sensitive)"),
        ("Jebbit field", "Key"),
        ("Attribute", "Cordial key *"),
        ("Jebbit", "Cordial"),
        ("JebbitAttribute", "CordialField"),
        ("Attribute in Jebbit", "Cordial's field name"),
        ("Source", "Target"),
        ("From", "To"),
        None,
    ],
)
def test_any_usual_heading_and_separator(separator, heading):
    """Or no heading at all."""
    lines = [separator.join(each) for each in ([heading] if heading else []) + PAIRS]
    assert pairs("\n".join(lines)) == PAIRS
    assert misfits("\n".join(lines)) == {}


@pytest.mark.parametrize(
    "heading", ["Cordial field,Jebbit field\n", "Key,Attribute\n", "Cordial key,Attribute\n", ""]
)
def test_the_columns_in_the_other_order(heading):
    """By their headings; without them, by what is known of either side."""
    assert pairs(heading + "\n".join(f"{field},{name}" for name, field in PAIRS)) == PAIRS
    assert pairs("Quiz_Outcome,result\n", fields=["Quiz_Outcome"]) == [("result", "Quiz_Outcome")]
    assert pairs("Quiz_Outcome,result\n", attributes=["Result"]) == [("result", "Quiz_Outcome")]


def test_other_columns_and_a_title_are_left_out():
    """Notes between, a blank first column, a title above; a type counts where it is known."""
    sheet = (
        "Mapping of the spring quiz,,,\n"
        "Jebbit attribute,Description,Cordial field,Type\n"
        "email,Who,channels.email.address,Text\n"
        "age,How old,age,Integer\n"
        "city,Where,home.city,\n"
        "vip,,vip,something else\n"
    )
    read = read_sheet(sheet.encode())
    assert [(row.line, row.field, row.type) for row in read.rows] == [
        (3, "channels.email.address", None),
        (4, "age", "number"),
        (5, "home.city", "geo"),
        (6, "vip", None),
    ]
    assert [each.line for each in read.misfits] == [1]
    assert pairs(",email,channels.email.address\n,outcome,quiz_outcome\n") == PAIRS


@table("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@table("newline", ["\n", "\r\n", "\r"])
def test_as_spreadsheets_write_it(encoding, newline):
    """With a byte order mark, in UTF-16 or in Windows' letters, with any line ends."""
    text = newline.join(["Attribute;Field", "größe;size", "", ";", "name;first_name"])
    assert pairs(text.encode(encoding)) == [("größe", "size"), ("name", "first_name")]


def test_quotes():
    """A separator, a quote or a line end within quotes belongs to the cell; each line keeps its
    number; a quote that is never closed costs its own line."""
    sheet = '"Jebbit\nattribute","Cordial field"\n"a, b",x\n"say ""hi""",y\n"open,z\nlast,ok\n'
    read = read_sheet(sheet.encode())
    assert [tuple(row[:3]) for row in read.rows] == [
        (3, "a, b", "x"),
        (4, 'say "hi"', "y"),
        (6, "last", "ok"),
    ]
    assert misfits(sheet) == {5: "A quotation mark is opened here and never closed."}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("outcome,", "It names no Cordial field"),
        (",first_name", "It names no Jebbit attribute"),
        ("email,channels.email.address", "It says the same as line 2."),
        ("mail,channels.email.address", "filled by line 2 already, from email."),
        ("x,forceSubscribe", "forceSubscribe is reserved by Cordial"),
        ("x,channels", "channels is reserved by Cordial"),
        ("x,a.b", "a.b has a dot"),
        ("x," + "y" * 201, "at most 200 characters"),
    ],
)
def test_a_line_that_does_not_fit_is_told_by_its_number(line, reason):
    """With the reason in plain words; the others are taken."""
    sheet = f"Attribute,Field\nemail,channels.email.address\n\n{line}\nage,age\n"
    assert list(misfits(sheet)) == [4]
    assert reason in misfits(sheet)[4]
    assert pairs(sheet) == [PAIRS[0], ("age", "age")]


def test_one_attribute_may_fill_two_fields():
    """And what looks like a heading of a vendor's own attribute is a rule."""
    assert pairs("jebbit_id,jebbit_id\njebbit_id,other\n") == [
        ("jebbit_id", "jebbit_id"),
        ("jebbit_id", "other"),
    ]


@pytest.mark.parametrize("told", ["sep=|\n", '\ufeff"sep=|"\r\n'])
def test_a_sheet_may_tell_its_separator(told):
    """As Excel does in the first line, which is no row."""
    assert pairs(f"{told}email|a,b\noutcome|c;d\n") == [("email", "a,b"), ("outcome", "c;d")]
    assert misfits(f"{told}email|x\nx\n") == {
        3: "It names no Cordial field: the second column is blank."
    }


def test_what_is_no_sheet_is_told():
    """A spreadsheet's own file, a picture, something huge; one column is told line by line."""
    for content, said in (
        (b"PK\x03\x04rest", "Save it as CSV"),
        (b"\x89PNG\0\0", "no text"),
        (b"a,b\n" * (MOST_BYTES // 4 + 1), "larger than 256 KB"),
    ):
        with pytest.raises(UnreadableSheet, match=said):
            read_sheet(content)
    assert list(misfits("email\noutcome")) == [1, 2]
    assert pairs("") == pairs("\n \n;;\n") == []


def test_it_ends_where_no_mapping_is_so_long():
    """And says where."""
    read = read_sheet("".join(f"a{n},f{n}\n" for n in range(MOST_LINES + 9)).encode())
    assert len(read.rows) == MOST_LINES
    assert [each.line for each in read.misfits] == [MOST_LINES + 1]


@given(st.text(st.sampled_from('ab,;\t"\n\r .') | st.characters(codec="utf-8"), max_size=200))
def test_whatever_is_pasted_is_read(text):
    """No text breaks it; each row is a rule; no field is filled twice; each line is told once."""
    try:
        read = read_sheet(text.encode())
    except UnreadableSheet:
        return
    for row in read.rows:
        assert Rule(attribute=row.attribute, field=row.field, type=row.type or "string")
    assert len({row.field for row in read.rows}) == len(read.rows)
    numbers = [each.line for each in (*read.rows, *read.misfits)]
    assert len(set(numbers)) == len(numbers)
    assert len(numbers) <= len(io.StringIO(text, newline=None).readlines())
