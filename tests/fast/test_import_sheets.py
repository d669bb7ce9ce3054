# ruff: noqa: E501  the XML of workbooks
"""Cells of workbooks mean what the sheet shows; what it does not show any more is refused."""

import io
import zipfile

import pytest

from prodcore.tabular.report import RefusedRow
from prodcore.tabular.source import Reading, open_source

STRICT = "http://purl.oclc.org/ooxml"
TRANSITIONAL = "http://schemas.openxmlformats.org"
NUMBERS = {"0000000000000": 164, "yyyy-mm-dd": 165, '#,##0.00 "€"': 166, "[$$-409]#,##0.00": 167, "0.00": 2, "0%": 9}
NUMBERS |= {"0.00E+00": 11, "# ?/?": 12, "accounting": 44}
STYLES = {"": 0, **{code: i for i, code in enumerate(NUMBERS, start=1)}}


def packed(parts):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def xlsx(*cells, base=TRANSITIONAL, fills="<fill/>"):
    """A workbook whose second row has a name, a price, and these cells as XML, under the headings of ``HEAD``."""
    main = f"{base}/spreadsheetml/2006/main" if base == TRANSITIONAL else f"{base}/spreadsheetml/main"
    related = (
        f"{base}/officeDocument/2006/relationships" if base == TRANSITIONAL else f"{base}/officeDocument/relationships"
    )
    relations = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
    formats = "".join(
        f"<numFmt numFmtId='{number}' formatCode='{code.replace(chr(34), '&quot;')}'/>"
        for code, number in NUMBERS.items()
    )
    xfs = "".join(f"<xf numFmtId='{number}'/>" for number in [0, *NUMBERS.values()])
    head = "".join(
        f"<c t='inlineStr'><is><t>{title}</t></is></c>"
        for title in ("nombre", "precio", "stock", "sku", "formato", "activo")
    )
    body = "".join(cells)
    return packed(
        {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": f"<Relationships {relations}><Relationship Id='r1' Type='{related}/officeDocument' Target='xl/workbook.xml'/></Relationships>",
            "xl/_rels/workbook.xml.rels": f"<Relationships {relations}>"
            f"<Relationship Id='r1' Type='{related}/worksheet' Target='worksheets/sheet1.xml'/>"
            f"<Relationship Id='r2' Type='{related}/styles' Target='/xl/styles.xml'/>"
            f"<Relationship Id='r3' Type='{related}/sharedStrings' Target='sharedStrings.xml'/></Relationships>",
            "xl/workbook.xml": f"<workbook xmlns='{main}' xmlns:r='{related}'><sheets><sheet name='a' r:id='r1'/></sheets></workbook>",
            "xl/styles.xml": f"<styleSheet xmlns='{main}'><numFmts>{formats}</numFmts><fills>{fills}</fills><cellXfs>{xfs}</cellXfs></styleSheet>",
            "xl/sharedStrings.xml": f"<sst xmlns='{main}'><si><t>Arroz</t></si><si><r><t>Arroz </t></r><r><t>rico</t></r><rPh><t>x</t></rPh></si></sst>",
            "docProps/core.xml": "<x>when?</x>",
            "xl/worksheets/sheet1.xml": f"<worksheet xmlns='{main}'><sheetData><row r='1'>{head}</row><row r='2'>{body}</row></sheetData></worksheet>",
        }
    )


def number(value, code="", place=""):
    return f"<c {place} s='{STYLES[code]}'><v>{value}</v></c>"


NAME = "<c r='A2' t='s'><v>0</v></c>"
PRICE = number(1.5)


def only(data):
    (row,) = open_source(io.BufferedReader(io.BytesIO(data)), Reading()).rows
    return row


def refusal(data):
    row = only(data)
    assert isinstance(row, RefusedRow), row
    return [(p.column, p.code) for p in row.problems]


@pytest.mark.parametrize("base", [TRANSITIONAL, STRICT])
def test_a_workbook_is_read_whatever_its_styles_and_its_namespace(base):
    row = only(
        xlsx(NAME, PRICE, number(4), "<c t='b'><v>1</v></c>".replace("b", "str").replace(">1<", ">E-34<"), base=base)
    )
    assert row.fields == {"name": "Arroz", "price": "1.5", "stock": 4, "sku": "E-34"}


def test_texts_are_rich_texts_and_links_too():
    assert only(xlsx("<c t='s'><v>1</v></c>", PRICE)).fields["name"] == "Arroz rico"


@pytest.mark.parametrize(
    ("place", "cell", "refused"),
    [
        (1, "<c><f>2*1.21</f><v/></c>", ("precio", "formula_without_value")),
        (1, "<c><f>2*1.21</f></c>", ("precio", "formula_without_value")),
        (2, "<c t='str'><f>T(A1)</f></c>", ("stock", "formula_without_value")),
        (1, "<c t='e'><v>#N/A</v></c>", ("precio", "formula_error")),
        (1, "<c t='e'><f>1/0</f><v>#DIV/0!</v></c>", ("precio", "formula_error")),
        (1, "<c t='b'><v>1</v></c>", ("precio", "not_a_number")),
        (1, number(0.21, "0%"), ("precio", "percentage")),
        (1, number(46083, "yyyy-mm-dd"), ("precio", "date")),
        (2, number(99999999, "yyyy-mm-dd"), ("stock", "date")),
        (1, number(5, "[$$-409]#,##0.00"), ("precio", "unclear_currency")),
        (3, number(46083, "yyyy-mm-dd"), ("sku", "date")),
        (3, "<c t='b'><v>1</v></c>", ("sku", "yes_or_no")),
        (3, number("1.234567890123457e+17"), ("sku", "shown_otherwise")),
        (3, number(12345, "0.00"), ("sku", "shown_otherwise")),
        (3, number(8430000000000, "0.00E+00"), ("sku", "shown_otherwise")),
        (3, number(12345, "accounting"), ("sku", "shown_otherwise")),
        (4, number(0.5, "# ?/?"), ("formato", "shown_otherwise")),
        (4, number(46083, "yyyy-mm-dd"), ("formato", "date")),
        (5, number(7), ("activo", "not_yes_or_no")),
    ],
)
def test_a_cell_that_does_not_say_what_was_meant_is_refused(place, cell, refused):
    cells = [NAME, PRICE, "<c/>", "<c/>", "<c/>", "<c/>"]
    cells[place] = cell
    assert refusal(xlsx(*cells)) == [refused]


@pytest.mark.parametrize(
    ("place", "cell", "field", "value"),
    [
        (3, number(12345, "0000000000000"), "sku", "0000000012345"),
        (3, number(8410010123453), "sku", "8410010123453"),
        (3, number("8.410010123453E12"), "sku", "8410010123453"),
        (3, "<c t='inlineStr'><is><t>0012345</t></is></c>", "sku", "0012345"),
        (3, '<c t="str"><f>T("007")</f><v>007</v></c>', "sku", "007"),
        (1, number(5, '#,##0.00 "€"'), "currency", "EUR"),
        (1, "<c><f>2*3</f><v>6</v></c>", "price", "6"),
        (1, number(6, "accounting"), "price", "6"),
        (1, number(6, "0.00E+00"), "price", "6"),
        (4, number(500), "variant", "500"),
        (5, "<c t='b'><v>0</v></c>", "active", False),
        (5, number(1), "active", True),
    ],
)
def test_a_cell_is_what_the_sheet_shows(place, cell, field, value):
    cells = [NAME, PRICE, "<c/>", "<c/>", "<c/>", "<c/>"]
    cells[place] = cell
    assert only(xlsx(*cells)).fields[field] == value


def ods(*rows, style=""):
    names = "xmlns:office='o' xmlns:table='t' xmlns:text='x' xmlns:style='s'"
    content = (
        f"<office:document-content {names}><office:automatic-styles>"
        "<style:style style:name='hidden'><style:table-properties table:display='false'/></style:style>"
        "</office:automatic-styles><office:body><office:spreadsheet>"
        "<table:table table:style-name='hidden'><table:table-row><table:table-cell><text:p>no</text:p></table:table-cell></table:table-row></table:table>"
        f"<table:table>{''.join(rows)}</table:table></office:spreadsheet></office:body></office:document-content>"
    )
    return packed({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": content})


def cell(shown, kind="", **attributes):
    more = "".join(f" office:{name.replace('_', '-')}='{value}'" for name, value in attributes.items())
    kind = f" office:value-type='{kind}'" if kind else ""
    return f"<table:table-cell{kind}{more}><text:p>{shown}</text:p></table:table-cell>"


HEAD = (
    "<table:table-row>"
    + "".join(cell(t, "string") for t in ("Nombre", "Precio", "SKU", "Activo"))
    + "</table:table-row>"
)


def ods_row(*cells):
    tail = "<table:table-cell table:number-columns-repeated='16380'/>"
    return f"<table:table-row>{''.join(cells)}{tail}</table:table-row>"


def test_an_open_document_is_read_as_it_is_shown():
    blank = "<table:table-row table:number-rows-repeated='1048570'><table:table-cell/></table:table-row>"
    price = cell("1,50 €", "currency", value="1.5", currency="EUR")
    row = ods_row(
        cell("Piñón <text:s/>x", "string"),
        price,
        cell("0012345", "float", value="12345"),
        cell("VERDADERO", "boolean", boolean_value="true"),
    )
    assert only(ods(HEAD, row, blank)).fields == {
        "name": "Piñón  x",
        "price": "1.5",
        "currency": "EUR",
        "sku": "0012345",
        "active": True,
    }


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (cell("05/03/26", "date", date_value="2026-03-05"), "date"),
        (cell("8,43E+12", "float", value="8430000000000"), "shown_otherwise"),
        (cell("#N/A", "string", formula="x").replace("office:formula", "table:formula"), "formula_error"),
    ],
)
def test_a_code_that_an_open_document_has_changed_is_refused(bad, code):
    assert refusal(ods(HEAD, ods_row(cell("A", "string"), cell("1", "float", value="1"), bad))) == [("SKU", code)]
