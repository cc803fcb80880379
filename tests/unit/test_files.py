"""Documents from files: every kind, where passages stand, and what must not be read."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from warnings import catch_warnings, simplefilter

import docx
import pypdf
import pytest
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from langchain_rerank.errors import (
    ConfigurationError,
    DataFileError,
    MissingExtraError,
    RerankWarning,
)
from langchain_rerank.files import load_documents
from langchain_rerank.files.front_matter import split_front_matter
from langchain_rerank.reading import Form

LONG = "\n\n".join(f"Paragraph {number}. " + "Words follow words. " * 12 for number in range(6))


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pdf(*pages, title=None):
    """A PDF with a line of text on each page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    for text in pages:
        stream = f"BT /F1 12 Tf 50 700 Td ({text}) Tj ET" if text else ""
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {len(objects)} 0 R "
            f"/Resources << /Font << /F1 {font} >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    info = ""
    if title:
        objects.append(f"<< /Title ({title}) >>")
        info = f"/Info {len(objects)} 0 R"
    data, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    return (
        f"{data}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
        f"trailer << /Size {len(objects) + 1} /Root 1 0 R {info} >>\nstartxref\n{len(data)}\n%%EOF"
    ).encode("latin-1")


def locked_pdf(text):
    """A PDF that only a password opens."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(text)))
    writer.encrypt("secret", algorithm="RC4-128")
    data = io.BytesIO()
    writer.write(data)
    return data.getvalue()


def aes_pdf(text):
    """A PDF that is encrypted as newer programs do it."""
    standard = (
        f"<< /Filter /Standard /V 5 /R 6 /Length 256 /P -4 /O <{'00' * 48}> /U <{'00' * 48}> "
        f"/OE <{'00' * 32}> /UE <{'00' * 32}> /Perms <{'00' * 16}> /StmF /StdCF /StrF /StdCF "
        f"/CF << /StdCF << /CFM /AESV3 /AuthEvent /DocOpen /Length 32 >> >> >>"
    )
    trailer = f"trailer << /Encrypt {standard} /ID [<{'00' * 16}> <{'00' * 16}>]"
    return pdf(text).replace(b"trailer <<", trailer.encode())


def test_text_has_the_line_where_each_passage_begins(tmp_path):
    path = write(tmp_path / "notes" / "long.txt", LONG)
    found = load_documents([path.parent])
    assert len(found) > 2
    lines = LONG.split("\n")
    for document in found:
        assert lines[document.metadata["line"] - 1].startswith(document.page_content.split("\n")[0])
        assert document.metadata["source"] == "long.txt"
    assert [document.id for document in found] == [
        f"long.txt#{number}" for number in range(1, len(found) + 1)
    ]


def test_lines_of_a_file_with_carriage_returns_are_counted_once(tmp_path):
    path = write(tmp_path / "a.txt", LONG.replace("\n", "\r\n"))
    assert (
        load_documents(path)[-1].metadata["line"]
        == load_documents(write(tmp_path / "b.txt", LONG))[-1].metadata["line"]
    )


def test_front_matter_is_metadata_and_no_text_and_lines_count_from_the_top(tmp_path):
    head = "---\ntitle: Adapters\ntags: [lora, 4bit]\ndate: 2024-05-01\nsource: https://a.b\n---\n"
    (found,) = load_documents(write(tmp_path / "a.md", head + "\n# Heading\nText."))
    assert found.page_content == "# Heading\nText."
    assert found.metadata["line"] == 8
    assert found.metadata["title"] == "Adapters"
    assert found.metadata["tags"] == ["lora", "4bit"]
    assert found.metadata["date"] == "2024-05-01"
    assert found.metadata["source"] == "a.md"
    assert found.metadata["front_matter"] == {"source": "https://a.b"}


@pytest.mark.parametrize(
    "text",
    [
        "---\nNo metadata, a line\n---\nText",
        "---\n- a\n- list\n---\nText",
        "---\nopen: true\nText",
        "---\na: [\n---\nText",
        "---\na: !!timestamp x\n---\nText",
        "---\na: !!python/name:os.system\n---\nText",
        "Text\n---\na: 1\n---\n",
        "---\na: &a [*a]\n---\nText",
        "---\na: &a [1,2,3,4,5,6,7,8,9]\n"
        + "".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
            for a, b in zip("abcdef", "bcdefg", strict=True)
        )
        + "---\nText",
        "---\n? [a, {b: c}]\n: d\n---\nText",
        "---\nday: 2024-99-99\n---\nText",
    ],
)
def test_what_is_no_front_matter_stays_in_the_text(text):
    assert split_front_matter(text) == ({}, text)


def test_front_matter_may_be_toml_or_empty(tmp_path):
    head = '+++\ntitle = "Adapters"\ndate = 2024-05-01\n[params]\nx = 07:32:00\n+++\n'
    (found,) = load_documents(write(tmp_path / "a.md", head + "\nText."))
    assert (found.page_content, found.metadata["line"]) == ("Text.", 8)
    assert found.metadata["title"] == "Adapters"
    assert found.metadata["date"] == "2024-05-01"
    assert found.metadata["params"] == {"x": "07:32:00"}
    for empty in ("---\n---\n", "---\n# no keys\n---\n", "+++\n+++\n"):
        assert split_front_matter(f"{empty}Text") == ({}, "Text")
    for broken in ("+++\na = \n+++\nText", "+++\nText"):
        assert split_front_matter(broken) == ({}, broken)


def test_front_matter_of_odd_values_becomes_what_json_has():
    text = "---\n1: x\nnan: .nan\nwhen: 2024-05-01T10:00:00Z\nset: !!set {b, a}\n"
    text += "bytes: !!binary YQ==\n...\n"
    assert split_front_matter(text)[0] == {
        "1": "x",
        "nan": "nan",
        "when": "2024-05-01T10:00:00+00:00",
        "set": ["a", "b"],
        "bytes": "b'a'",
    }


def test_html_gives_what_a_page_shows_with_its_lines(tmp_path):
    page = """<!DOCTYPE html><html><head><title>My  page</title>
<style>p { color: red }</style><script>var secret = 1;</script></head>
<body><h1>Cats</h1>
<p>They <b>sleep</b> a
lot.</p><!-- a comment -->
<ul><li>one</li><li>two</li></ul>
<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>
<pre>x = 1
  y</pre>after<br>break &amp; end</body></html>"""
    (found,) = load_documents(write(tmp_path / "a.html", page))
    assert found.page_content == (
        "Cats\n\nThey sleep a lot.\n\none\n\ntwo\n\na | b\nc | d\nx = 1\n  y\n\nafter\nbreak & end"
    )
    assert found.metadata["title"] == "My page"
    assert found.metadata["line"] == 3


def test_html_has_the_line_of_each_passage_and_its_own_encoding(tmp_path):
    rows = "".join(f"<p>Zeile {n} über Wörter. {'Wort ' * 60}</p>\n" for n in range(1, 6))
    page = f'<html><head><meta charset="iso-8859-1"></head>\n<body>\n{rows}</body></html>'
    found = load_documents(write(tmp_path / "a.htm", page.encode("latin-1")))
    assert found[0].page_content.startswith("Zeile 1 über")
    assert {d.metadata["line"] for d in found if d.page_content.startswith("Zeile")} == {
        3,
        4,
        5,
        6,
        7,
    }


def test_each_line_of_a_long_block_of_html_is_the_line_of_the_file(tmp_path):
    code = "\n".join(f"code of line {n}" for n in range(8, 80))
    page = (
        f"<html>\n<script>\nlet x\n</script><!-- over\nlines --><p>line 5 <b\n>bold</b> it</p>"
        f"\n<pre>\n{code}\n</pre>\n<p>one\ntwo {'words ' * 90}\nline 83 {'more ' * 90}</p>"
    )
    found = load_documents(write(tmp_path / "a.html", page.replace("\n", "\r\n")), chunk_size=200)
    for document in found:
        if document.page_content.startswith(("code of line", "line ")):
            number = document.page_content.removeprefix("code of ").split()[1]
            assert document.metadata["line"] == int(number)
    assert [d.metadata["line"] for d in found if d.page_content.startswith("one")] == [81]
    assert sum("code of line" in d.page_content for d in found) > 5


@pytest.mark.parametrize(
    "page",
    [
        "<p>Café crème brûlée</p>".encode("cp1252"),
        b"<p>Caf\xc3",
        "<meta charset=utf-8><p>Größe</p>".encode("cp1252"),
        "<meta charset=klingon><p>Größe</p>".encode("cp1252"),
        "<p>Привет, как дела?</p>".encode("koi8-r"),
        "<p>Cafe</p>".encode("utf-16-be"),
    ],
)
def test_the_encoding_of_html_is_never_guessed(tmp_path, page):
    path = write(tmp_path / "a.html", page)
    with pytest.raises(DataFileError, match="--encoding"):
        load_documents(path)


@pytest.mark.parametrize(
    ("page", "encoding"),
    [
        ("<p>“Größe” €</p>", "utf-8"),
        ("<p>“Größe” €</p>", "utf-16"),
        ("<meta charset=latin-1><p>“Größe” €</p>", "cp1252"),
        ("<meta charset=klingon><p>“Größe” €</p>", "utf-8"),
        ("<meta charset=utf-16><p>“Größe” €</p>", "utf-8"),
        ("<meta charset=utf-8><p>“Größe” €</p>", "utf-16"),
        ("<?xml version='1.0' encoding='gb18030'?><p>“Größe” €</p>", "gb18030"),
    ],
)
def test_html_is_in_the_encoding_that_its_mark_or_else_it_itself_says(tmp_path, page, encoding):
    (found,) = load_documents(write(tmp_path / "a.html", page.encode(encoding)))
    assert found.page_content == "“Größe” €"


def test_a_page_that_its_parser_finds_unusual_warns_of_nothing(tmp_path):
    for page in ("<?xml version='1.0'?><p>Cats</p>", "https://a.example", "a/b.html"):
        assert len(load_documents(write(tmp_path / "a.html", page))) == 1


def test_a_byte_order_mark_says_more_than_a_named_encoding(tmp_path):
    write(tmp_path / "a.txt", "Größe".encode("utf-8-sig"))
    write(tmp_path / "b.txt", "Größe".encode("cp1252"))
    found = load_documents(tmp_path, form=Form(encoding="cp1252"))
    assert [d.page_content for d in found] == ["Größe", "Größe"]


@pytest.mark.parametrize(
    "charset", ["hex", "rot13", "a\0b", "unicode_escape", "punycode", "undefined", "x" * 400, ".."]
)
def test_what_a_page_calls_its_encoding_cannot_stop_a_search(tmp_path, charset):
    page = f"<meta charset='{charset}'><p>Größe, not \\x41</p>"
    path = write(tmp_path / "a.html", page)
    if "\0" in charset:
        with pytest.raises(DataFileError, match="NUL"):
            load_documents(path)
    else:
        assert load_documents(path)[0].page_content == "Größe, not \\x41"


@pytest.mark.parametrize(
    "broken", ["<![", "<p>a</p><![<p>b</p>", "<![x[", "<!DOCTYPE [", "&#x110000;"]
)
def test_markup_that_its_parser_rejects_hides_no_other_file(tmp_path, broken):
    write(tmp_path / "a.html", broken)
    write(tmp_path / "b.md", "Cats sleep.")
    with catch_warnings():
        simplefilter("ignore", RerankWarning)
        assert load_documents(tmp_path)[-1].page_content == "Cats sleep."
    with pytest.raises(DataFileError, match="cannot be read as HTML"):
        load_documents(write(tmp_path / "a.html", "<![<p>"))


def test_a_hint_at_an_encoding_needs_more_than_a_few_letters(tmp_path):
    for text in ("Café noir", "naïve", "Größe"):
        with pytest.raises(DataFileError, match="not UTF-8") as raised:
            load_documents(write(tmp_path / "a.txt", text.encode("cp1252")))
        assert "may be" not in str(raised.value)
    russian = "Москва является столицей России, крупнейшим по численности населения городом. " * 9
    with pytest.raises(DataFileError, match="may be cp1251"):
        load_documents(write(tmp_path / "a.txt", russian.encode("cp1251")))
    with pytest.raises(DataFileError, match="utf-16-be"):
        load_documents(write(tmp_path / "a.txt", "Cats sleep.".encode("utf-16-be")))


def test_html_nested_deeply_or_broken_is_read(tmp_path):
    deep = "<div>" * 3000 + "deep" + "</div>" * 10 + "<p>open <b>tags"
    (found,) = load_documents(write(tmp_path / "a.html", deep))
    assert found.page_content == "deep\nopen tags"


def test_pdf_has_pages(tmp_path):
    path = write(tmp_path / "paper.pdf", pdf("Cats sleep a lot.", "Dogs bark.", title="Pets"))
    found = load_documents([tmp_path])
    assert [(d.page_content, d.metadata["page"], d.id) for d in found] == [
        ("Cats sleep a lot.", 1, "paper.pdf#1"),
        ("Dogs bark.", 2, "paper.pdf#2"),
    ]
    assert found[0].metadata["title"] == "Pets"
    assert "line" not in found[0].metadata
    assert load_documents(path) == found


def test_docx_has_paragraphs_and_tables(tmp_path):
    document = docx.Document()
    document.core_properties.title = "Pets"
    document.add_heading("Cats", 1)
    document.add_paragraph("They sleep.")
    table = document.add_table(rows=2, cols=2)
    for row, texts in zip(table.rows, (("a", "b"), ("c", "d")), strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    table.rows[1].cells[0].merge(table.rows[1].cells[1])
    document.add_paragraph("The end.")
    document.save(tmp_path / "pets.docx")
    (found,) = load_documents([tmp_path])
    assert found.page_content == "Cats\n\nThey sleep.\n\na | b\nc\nd\n\nThe end."
    assert found.metadata["title"] == "Pets"


def xml(text):
    return parse_xml(text.replace(">", f" {nsdecls('w')}>", 1))


def test_docx_is_read_wherever_its_text_stands(tmp_path):
    def run(text):
        return f"<w:r><w:t>{text}</w:t></w:r>"

    def box(text):
        return f"<w:txbxContent><w:p>{run(text)}</w:p></w:txbxContent>"

    document = docx.Document()
    paragraph = document.add_paragraph("Plain ")._p
    for wrapped in (
        f"<w:ins>{run('inserted ')}</w:ins>",
        "<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>",
        f"<w:moveFrom>{run('moved away')}</w:moveFrom>",
        f"<w:hyperlink>{run('linked ')}</w:hyperlink>",
        f"<w:sdt><w:sdtContent>{run('chosen ')}</w:sdtContent></w:sdt>",
        f"<w:fldSimple>{run('field')}</w:fldSimple>",
        "<w:r><w:tab/><w:t>tab</w:t><w:instrText>PAGE</w:instrText></w:r>",
        f"<w:r><w:pict>{box('A box')}</w:pict><w:Fallback>{box('A box')}</w:Fallback></w:r>",
    ):
        paragraph.append(xml(wrapped))
    table = document.add_table(rows=2, cols=2)
    table.cell(0, 0).merge(table.cell(1, 0)).text = "tall"
    table.cell(0, 1).text = "a"
    table.cell(1, 1).add_table(1, 1).cell(0, 0).text = "inner"
    body = document.element.body
    gallery = "<w:docPartObj><w:docPartGallery w:val='Table of Contents'/></w:docPartObj>"
    for properties, text in (("", "Control"), (gallery, "Contents")):
        body.insert(
            0,
            xml(
                f"<w:sdt><w:sdtPr>{properties}</w:sdtPr><w:sdtContent><w:p>{run(text)}</w:p>"
                f"</w:sdtContent></w:sdt>"
            ),
        )
    note = f"<w:p>{run('A note')}</w:p>"
    note = f"<w:footnotes {nsdecls('w')}><w:footnote>{note}</w:footnote></w:footnotes>"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    part = Part(
        PackURI("/word/footnotes.xml"),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml",
        note.encode(),
        document.part.package,
    )
    document.part.relate_to(part, kind)
    document.save(tmp_path / "a.docx")
    (found,) = load_documents([tmp_path])
    assert found.page_content == (
        "Control\n\nPlain inserted linked chosen field\ttab\n\nA box\n\n"
        "tall | a\ntall | inner\n\nA note"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pdf", locked_pdf("Cats."), "asks for a password"),
        ("a.pdf", aes_pdf("Cats."), r"pip install 'pypdf\[crypto\]'|password"),
        ("a.pdf", b"%PDF-1.4 and no more", "cannot be read as PDF"),
        ("a.pdf", b"", "cannot be read as PDF"),
        ("a.pdf", pdf("", ""), "has no text: its pages are pictures"),
        ("a.docx", b"PK\3\4 and no more", "cannot be read as DOCX"),
        ("a.docx", b"plain text", "cannot be read as DOCX"),
        ("a.pptx", b"PK", r"\.pptx files are not read; save it as PDF"),
        ("a.doc", b"\xd0\xcf", r"\.doc files are not read; save it as DOCX"),
        ("a.rtf", b"{\\rtf1", r"\.rtf files are not read"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
        ("a.ipynb", b'{"cells": []}', r"\.ipynb files are not read; save it as Markdown"),
    ],
)
def test_a_named_file_that_is_damaged_or_of_another_kind_is_one_clear_error(
    tmp_path, name, content, message
):
    with pytest.raises(DataFileError, match=message):
        load_documents(write(tmp_path / name, content))


@pytest.mark.parametrize("named", [True, False], ids=["the file", "its folder"])
def test_pages_without_text_are_counted_and_named(tmp_path, named):
    path = write(tmp_path / "scan.pdf", pdf("", "Cats sleep.", "", "", " ", "Dogs bark.", ""))
    with pytest.warns(RerankWarning, match="What cannot be read below") as warned:
        found = load_documents(path if named else tmp_path)
    assert [document.metadata["page"] for document in found] == [2, 6]
    assert {one.metadata["pages_without_text"] for one in found} == {"5 of 7 (1, 3-5, 7)"}
    (message,) = (str(one.message) for one in warned)
    assert "\n  scan.pdf: pages without text: 5 of 7 (1, 3-5, 7); they are pictures" in message


def test_rows_that_speak_of_pages_without_text_are_no_pages(tmp_path):
    row = {"id": "1", "text": "Cats.", "metadata": {"pages_without_text": "all"}}
    (found,) = load_documents(write(tmp_path / "rows.jsonl", json.dumps(row)))
    assert found.metadata["pages_without_text"] == "all"


def test_others_are_named_with_a_count_and_do_not_hide_the_good_ones(tmp_path):
    write(tmp_path / "good.md", "Cats sleep.")
    write(tmp_path / "broken.pdf", b"%PDF-")
    for name in ("a.png", "b.PNG", "c.pptx", "Makefile"):
        write(tmp_path / name, b"\0")
    write(tmp_path / ".hidden.png", b"\0")
    with pytest.warns(RerankWarning, match="What cannot be read below") as warned:
        found = load_documents([tmp_path])
    assert [document.id for document in found] == ["good.md#1"]
    (message,) = (str(one.message) for one in warned)
    assert "4 of kinds that are not read: 2 .png, " in message
    assert "1 .pptx" in message
    assert "1 without a suffix" in message
    assert "broken.pdf: cannot be read as PDF" in message


def test_other_markup_is_text_and_that_of_sites_has_front_matter(tmp_path):
    for name in ("a.rst", "b.adoc", "c.org"):
        write(tmp_path / name, "Cats\n====\nsleep.")
    write(tmp_path / "d.mdx", "---\ntitle: Dogs\n---\nbark.")
    found = load_documents(tmp_path)
    assert [one.metadata["source"] for one in found] == ["a.rst", "b.adoc", "c.org", "d.mdx"]
    assert found[0].page_content == "Cats\n====\nsleep."
    assert (found[3].page_content, found[3].metadata["title"]) == ("bark.", "Dogs")


@pytest.mark.parametrize(
    ("module", "name"), [("pypdf", "a.pdf"), ("docx", "a.docx"), ("bs4", "a.html")]
)
def test_a_missing_package_is_named_and_costs_only_its_files(tmp_path, monkeypatch, module, name):
    write(tmp_path / "good.md", "Cats sleep.")
    path = write(tmp_path / name, b"anything")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.warns(RerankWarning, match=r"pip install 'langchain-rerank\[files\]'"):
        assert [document.id for document in load_documents([tmp_path])] == ["good.md#1"]
    with pytest.raises(MissingExtraError, match=r"langchain-rerank\[files\]"):
        load_documents(path)


def test_pipes_devices_and_sockets_are_told_about_and_never_opened(tmp_path):
    folder = tmp_path / "notes"
    write(folder / "good.md", "Cats sleep.")
    os.mkfifo(folder / "pipe.md")
    (folder / "zero.txt").symlink_to("/dev/zero")
    (folder / "linked.md").symlink_to("pipe.md")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(folder)
        server.bind("door.md")
        for follow in (False, True):
            with pytest.warns(RerankWarning) as warned:
                found = load_documents([folder], follow_symlinks=follow)
            assert [document.id for document in found] == ["good.md#1"]
            (message,) = (str(one.message) for one in warned)
            for said in ("pipe.md: a pipe, which", "linked.md: a pipe", "door.md: a socket"):
                assert said in message
            assert (
                "zero.txt: a device" if follow else "zero.txt: a link out of the folder"
            ) in message
    for path in (folder / "pipe.md", folder / "zero.txt", "/dev/zero"):
        with pytest.raises(DataFileError, match=r"a pipe|a device"):
            load_documents(path)


def test_links_out_of_the_folder_are_told_about_and_followed_only_when_asked(tmp_path):
    folder = tmp_path / "notes"
    write(folder / "good.md", "Cats sleep.")
    write(tmp_path / "other" / "secret.md", "A secret.")
    (folder / "secret.md").symlink_to(tmp_path / "other" / "secret.md")
    (folder / "other").symlink_to(tmp_path / "other")
    (folder / "again.md").symlink_to("good.md")
    with pytest.warns(RerankWarning, match="follow_symlinks=True") as warned:
        found = load_documents([folder])
    assert [document.id for document in found] == ["good.md#1"]
    (message,) = (str(one.message) for one in warned)
    assert "secret.md: a link out of the folder, to " in message
    assert "notes/other: a link out of the folder, to " in message
    found = load_documents([folder], follow_symlinks=True)
    assert [document.id for document in found] == ["good.md#1", "other/secret.md#1"]
    # What is named itself is read wherever it is.
    assert load_documents(folder / "secret.md")[0].page_content == "A secret."


@pytest.mark.parametrize("follow", [False, True])
def test_circles_of_links_end_and_are_told_about(tmp_path, follow):
    write(tmp_path / "deep" / "good.md", "Cats sleep.")
    (tmp_path / "deep" / "up").symlink_to(tmp_path)
    (tmp_path / "self.md").symlink_to("self.md")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.warns(RerankWarning) as warned:
        found = load_documents([tmp_path], follow_symlinks=follow)
    assert [document.id for document in found] == ["deep/good.md#1"]
    (message,) = (str(one.message) for one in warned)
    for said in ("up: a circle of links", "self.md: cannot be read", "one: cannot be read"):
        assert said in message


def test_a_link_to_a_file_that_is_read_anyway_is_no_second_document(tmp_path):
    write(tmp_path / "z.md", "Cats sleep.")
    (tmp_path / "a.md").symlink_to("z.md")
    write(tmp_path / ".trash" / "old.md", "An old note.")
    (tmp_path / "old.md").symlink_to(".trash/old.md")
    assert [document.id for document in load_documents([tmp_path])] == ["old.md#1", "z.md#1"]


@contextmanager
def as_nobody():
    """As somebody who is not root, whom no permission stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def half_denied():
    """A folder with a note to read, and others behind a folder that nobody may enter."""
    folder = Path(tempfile.mkdtemp())  # pytest's own folders let nobody else in
    try:
        write(folder / "a.md", "A note to read.")
        write(folder / "denied" / "deep" / "b.md", "A secret.")
        (folder / "denied" / "deep" / "c.md").mkdir()
        for name, target in (
            ("one.md", "b.md"),
            ("two", "."),
            ("three.xyz", "c"),
            ("four", "c.md"),
        ):
            (folder / name).symlink_to(folder / "denied" / "deep" / target)
        folder.chmod(0o755)
        (folder / "denied").chmod(0)
        load_documents(folder / "a.md")  # what is imported on use is imported by root
        yield folder
    finally:
        (folder / "denied").chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.parametrize("follow", [False, True])
def test_what_nobody_may_read_is_told_about_and_hides_nothing(half_denied, follow):
    with as_nobody(), pytest.warns(RerankWarning) as warned:
        (found,) = load_documents(half_denied, follow_symlinks=follow)
    assert found.page_content == "A note to read."
    (said,) = (str(one.message) for one in warned)
    assert f"{half_denied}/denied: cannot be read: Permission denied" in said
    assert "one.md: cannot be read: Permission denied" in said


@pytest.mark.parametrize("name", ["denied", "denied/deep", "denied/deep/b.md", "x" * 300])
def test_a_path_that_cannot_be_seen_is_one_clear_error(half_denied, name):
    with as_nobody(), pytest.raises(DataFileError, match="cannot be read"):
        load_documents(half_denied / name)


def test_several_roots_and_strings_are_taken_and_none_is_refused(tmp_path, monkeypatch):
    write(tmp_path / "one" / "a.md", "Cats.")
    write(tmp_path / "two" / "a.md", "Dogs.")
    found = load_documents([str(tmp_path / "one"), tmp_path / "two"])
    assert [d.metadata["source"] for d in found] == ["a.md", (tmp_path / "two" / "a.md").as_posix()]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_documents("~/one")[0].page_content == "Cats."
    with pytest.raises(ConfigurationError, match="No file or folder was named"):
        load_documents([])
    with pytest.raises(DataFileError, match="no path"):
        load_documents("a\0b")
    with pytest.raises(ConfigurationError, match="No file or folder was named"):
        load_documents("")


def test_a_file_below_two_of_the_paths_is_read_once(tmp_path):
    folder = tmp_path / "notes"
    write(folder / "rows.jsonl", '{"id": "r1", "text": "Cats."}')
    write(folder / "deep" / "a.md", "Dogs.")
    for roots in (
        [folder, folder],
        [folder, folder / "deep", folder / ".." / "notes"],
        [folder, folder / "deep" / "a.md"],
    ):
        assert [d.id for d in load_documents(roots)] == ["deep/a.md#1", "r1"]
    assert [d.id for d in load_documents([folder / "deep", folder])] == ["a.md#1", "r1"]
