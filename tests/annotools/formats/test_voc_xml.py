import pytest

from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.errors import DatasetError
from annotools.formats.voc_boxes import VocObject, read_xml, take_objects

BICYCLE, PERSON = 2, 15
OBJECT = """<object><name>person</name><truncated>1</truncated><difficult>0</difficult>
<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>
<part><name>head</name><bndbox><xmin>7</xmin></bndbox></part></object>"""


def take(path, size_wh=(100, 80), *, allow_missing=False):
    return take_objects(read_xml(path), size_wh, VOC_CATEGORIES, allow_missing=allow_missing)


def write_xml(path, *objects, head=""):
    path.write_text(f"{head}<annotation>{''.join(objects)}</annotation>", encoding="utf-8")
    return path


def test_boxes_are_turned_half_open(tmp_path):
    other = OBJECT.replace("person", " bicycle ").replace("<truncated>1</truncated>", "")
    path = write_xml(
        tmp_path / "a.xml",
        OBJECT.format(1, 2, 3, 4),
        other.format("45.0", "45.7", "50.4", 60).replace("difficult>0", "difficult>1"),
    )

    found = take(path)
    assert found.objects == (
        VocObject(
            place=f"{path}: object 1",
            category_id=PERSON,
            box_xyxy=(0, 1, 3, 4),
            is_difficult=False,
            is_truncated=True,
        ),
        VocObject(
            place=f"{path}: object 2",
            category_id=BICYCLE,
            box_xyxy=(44, 45, 50, 60),
            is_difficult=True,
            is_truncated=False,
        ),
    )
    assert (found.drops, found.doubts) == ((), ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OBJECT.format(1, 1, 5, 5).replace("person", "tree"), "object 1: 'tree' is no class"),
        (OBJECT.format(5, 1, 4, 5), "box 5, 1, 4, 5 ends before it begins"),
        (OBJECT.format(0, 1, 0, 5), "no pixel in its image"),
        (OBJECT.format(101, 1, 104, 5), "no pixel in its image"),
        (OBJECT.format(1, 1, "1e300", 5), "xmax is '1e300', not a number of pixels"),
        (OBJECT.format(1, "x", 4, 5), "ymin is 'x'"),
        (OBJECT.format(1, 1, "nan", 5), "xmax is 'nan'"),
        (OBJECT.format(1, 1, "inf", 5), "xmax is 'inf'"),
        ("<object><name>person</name></object>", "xmin is ''"),
        ("<object>", "not valid XML"),
        ("\0", "not valid XML"),
        ("&a;", "not valid XML"),
        ("<!-- " + "x" * 2**23 + "-->", "is longer than"),
    ],
)
def test_impossible_annotations(tmp_path, text, message):
    path = write_xml(tmp_path / "a.xml", text)

    with pytest.raises(DatasetError, match=message) as caught:
        take(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_document_types_are_refused(tmp_path, encoding):
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'
    path = tmp_path / "a.xml"
    path.write_bytes(bomb.encode(encoding))

    with pytest.raises(DatasetError, match="declares a document type"):
        take(path)
