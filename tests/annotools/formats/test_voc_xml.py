import pytest
from PIL import Image as Picture

from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.errors import DatasetError
from annotools.formats import voc
from annotools.formats.voc_boxes import BELOW_ONE, OUTSIDE, VocObject, read_xml, take_objects
from annotools.records import Drop

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
        ),
        VocObject(
            place=f"{path}: object 2",
            category_id=BICYCLE,
            box_xyxy=(44, 45, 50, 60),
            is_difficult=True,
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


def box(name, *corners):
    return OBJECT.format(*corners).replace("person", name)


SIZE = "<size><width>20</width><height>10</height><depth>3</depth></size>"


def photo(path, size_wh=(20, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.new("RGB", size_wh).save(path, format="PNG")


def xml(path, *objects, head=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_xml(path, f"<filename>{path.stem}.jpg</filename>", head, *objects)


def boxes_of(dataset):
    assert dataset.read_weak is not None
    found = {}
    for image in dataset.images:
        boxes = dataset.read_weak(image).boxes
        names = [dataset.categories.by_id(b.category_id).name for b in boxes]
        found[image.file_name] = list(zip(names, [b.box_xyxy for b in boxes], strict=True))
    return found


BOLT = box("bolt", 3, 2, 6, 5)
BOLT_XYXY = (2, 1, 6, 5)


@pytest.mark.parametrize(
    ("labels", "photos"),
    [
        ("Annotations", "JPEGImages"),
        ("annotations", "images"),
        ("train", "train"),
        ("train/Annotations", "train/JPEGImages"),
        ("Annotations/train", "JPEGImages/train"),
        ("boxes", "photos"),
        (".", "."),
        ("labels", "."),
    ],
)
@pytest.mark.parametrize("name", ["a", "ü 1.b"])
def test_folders_as_tools_write_them(tmp_path, labels, photos, name):
    xml(tmp_path / labels / f"{name}.xml", BOLT)
    photo(tmp_path / photos / f"{name}.JPG")
    dataset = voc.read(tmp_path, "train")
    assert boxes_of(dataset) == {f"{name}.JPG": [("bolt", BOLT_XYXY)]}
    assert dataset.images[0].path == tmp_path / photos / f"{name}.JPG"
    assert dataset.drops == ()


def test_names_may_have_folders(tmp_path):
    xml(tmp_path / "boxes" / "sub" / "a.xml", BOLT)
    photo(tmp_path / "elsewhere" / "sub" / "a.jpg")
    dataset = voc.read(tmp_path, "train", photos=tmp_path / "elsewhere")
    assert boxes_of(dataset) == {"sub/a.jpg": [("bolt", BOLT_XYXY)]}


def test_splits_share_their_category_ids(tmp_path):
    xml(tmp_path / "train" / "a.xml", BOLT)
    xml(tmp_path / "valid" / "b.xml", box("nut", 1, 1, 2, 2))
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "c.xml").write_text("damaged")
    for split, found in (
        ("train", {"a.jpg": [("bolt", BOLT_XYXY)]}),
        ("val", {"b.jpg": [("nut", (0, 0, 2, 2))]}),
    ):
        dataset = voc.read(tmp_path, split)
        assert boxes_of(dataset) == found
        assert [c.name for c in dataset.categories.categories] == ["background", "bolt", "nut"]


def test_a_list_chooses_and_voc_s_own_classes_are_kept(tmp_path):
    for name in "abc":
        xml(tmp_path / "Annotations" / f"{name}.xml", box("person", 1, 1, 2, 2))
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("c\na\n")
    dataset = voc.read(tmp_path, "val")
    assert list(boxes_of(dataset)) == ["c.jpg", "a.jpg"]
    assert dataset.categories == VOC_CATEGORIES
    with pytest.raises(DatasetError, match=r"no list of split 'test'"):
        voc.read(tmp_path, "test")


def test_classes_that_a_file_names(tmp_path):
    """As labelme's labelme2voc writes boxes: with fractions, from 0."""
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\nnut\nbolt\n")
    xml(tmp_path / "Annotations" / "a.xml", box("bolt", "0.0", "1.2", "6.4", "5.5"))
    dataset = voc.read(tmp_path, "train")
    assert boxes_of(dataset) == {"a.jpg": [("bolt", (0, 0, 6, 6))]}
    assert dataset.categories.by_id(2).name == "bolt"
    assert [d.reason for d in dataset.read_weak(dataset.images[0]).doubts] == [BELOW_ONE]
    xml(tmp_path / "Annotations" / "a.xml", box("tree", 1, 1, 2, 2), BOLT)
    with pytest.raises(DatasetError, match=r"a.xml: object 1: 'tree' is no class of the dataset"):
        voc.read(tmp_path, "train")
    dataset = voc.read(tmp_path, "train", allow_missing=True)
    assert boxes_of(dataset) == {"a.jpg": [("bolt", BOLT_XYXY)]}


@pytest.mark.parametrize(
    ("corners", "box_xyxy", "doubts"),
    [
        ((1, 1, 100, 80), (0, 0, 100, 80), []),
        ((7, 7, 7, 7), (6, 6, 7, 7), []),
        ((100, 80, 100, 80), (99, 79, 100, 80), []),
        ((0, 0, 9, 9), (0, 0, 9, 9), [BELOW_ONE]),
        ((-3, 1, 9, 9), (0, 0, 9, 9), [BELOW_ONE]),
        ((5, 5, 101, 9), (4, 4, 100, 9), [OUTSIDE]),
        ((0, 5, 9, 81), (0, 4, 9, 80), [BELOW_ONE, OUTSIDE]),
        (("2.4", "2.6", "9.4", "80.4"), (1, 2, 9, 80), []),
    ],
)
def test_boxes_to_the_pixel(tmp_path, corners, box_xyxy, doubts):
    found = take(write_xml(tmp_path / "a.xml", OBJECT.format(*corners)))
    assert [thing.box_xyxy for thing in found.objects] == [box_xyxy]
    assert [doubt.reason for doubt in found.doubts] == doubts


def test_impossible_objects_are_drops_where_that_is_allowed(tmp_path):
    path = write_xml(tmp_path / "a.xml", OBJECT.format(9, 1, 2, 3), OBJECT.format(1, 1, 2, 3))
    found = take(path, allow_missing=True)
    assert [thing.place for thing in found.objects] == [f"{path}: object 2"]
    reason = "box 9, 1, 2, 3 ends before it begins: correct it"
    assert found.drops == (Drop(place=f"{path}: object 1", reason=reason),)


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [("utf-8", "gb2312"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("latin-1", "iso-8859-1")],
)
def test_encodings(tmp_path, encoding, declared):
    text = f'<?xml version="1.0" encoding="{declared}"?><annotation>{box("grün", 1, 1, 2, 2)}'
    path = tmp_path / "a.xml"
    path.write_bytes(f"{text}</annotation>".encode(encoding))
    assert [thing.name for thing in read_xml(path).objects] == ["grün"]


@pytest.mark.parametrize("declared", ["gb2312", "nonsense", "utf-8"])
def test_encodings_that_nobody_can_read(tmp_path, declared):
    path = tmp_path / "a.xml"
    head = f'<?xml version="1.0" encoding="{declared}"?>'
    path.write_bytes(head.encode() + b"<annotation>\xff\xc3</annotation>")
    with pytest.raises(DatasetError, match=r"a.xml: not valid XML") as caught:
        read_xml(path)
    assert "\n" not in str(caught.value)


def test_xml_of_another_kind(tmp_path):
    (tmp_path / "annotations.xml").write_text("<annotations><image/></annotations>")
    with pytest.raises(DatasetError, match=r"begins with <annotations>, not with VOC's"):
        voc.read(tmp_path, "train")


def test_a_missing_size_is_that_of_the_photo(tmp_path):
    xml(tmp_path / "a.xml", BOLT, head="<size><width>0</width></size>")
    with pytest.raises(DatasetError, match=r"size is 0 x None, and the photo is not there"):
        voc.read(tmp_path, "train")
    photo(tmp_path / "a.jpg", (30, 20))
    assert voc.read(tmp_path, "train").images[0].size_wh == (30, 20)


def test_photos_are_found_by_the_name_in_the_file(tmp_path):
    write_xml(tmp_path / "1.xml", "<filename>C:\\own\\b c.png</filename>", SIZE, BOLT)
    write_xml(tmp_path / "2.xml", "<filename>1a2b3c4d-d.png</filename>", SIZE, BOLT)
    photo(tmp_path / "images" / "b c.png")
    photo(tmp_path / "images" / "d.png")
    assert boxes_of(voc.read(tmp_path, "train")) == {
        "b c.png": [("bolt", BOLT_XYXY)],
        "d.png": [("bolt", BOLT_XYXY)],
    }


def test_photos_that_are_missing(tmp_path):
    for name in "ab":
        xml(tmp_path / f"{name}.xml", BOLT)
    alone = voc.read(tmp_path, "train")
    assert len(alone.images) == 2
    assert any("boxes alone are read" in remark for remark in alone.remarks)
    photo(tmp_path / "photos" / "a.jpg")
    with pytest.raises(DatasetError, match=r"b.jpg: the photo is missing"):
        voc.read(tmp_path, "train")
    assert [i.image_id for i in voc.read(tmp_path, "train", allow_missing=True).images] == ["a"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"the photo is missing"):
        voc.read(tmp_path, "train", photos=tmp_path / "empty")
    with pytest.raises(DatasetError, match=r"nowhere: no such folder"):
        voc.read(tmp_path, "train", photos=tmp_path / "nowhere")


def test_an_image_without_objects_has_no_box(tmp_path):
    xml(tmp_path / "a.xml")
    xml(tmp_path / "b.xml", BOLT)
    dataset = voc.read(tmp_path, "train")
    assert boxes_of(dataset) == {"a.jpg": [], "b.jpg": [("bolt", BOLT_XYXY)]}
    with pytest.raises(DatasetError, match="has boxes or tags and no masks"):
        dataset.read_label(dataset.images[0])


def test_a_split_that_is_not_there(tmp_path):
    xml(tmp_path / "train" / "Annotations" / "a.xml", BOLT)
    with pytest.raises(DatasetError, match=r"no annotation file in XML for split 'val'.*train/"):
        voc.read(tmp_path, "val")
    xml(tmp_path / "valid" / "Annotations" / "b.xml", BOLT)
    assert len(voc.read(tmp_path, "val").images) == 1


def test_boxes_with_a_label_map_beside_them_count_from_0(tmp_path):
    """So do CVAT's and datumaro's: sides are borders between pixels, all with a point."""
    folder = tmp_path / "Annotations"
    folder.mkdir()
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nperson:::\n"
    )
    size = "<size><width>20</width><height>16</height></size>"
    write_xml(folder / "a.xml", OBJECT.format("3.0", "2.0", "9.0", "5.0"), head="")
    (folder / "a.xml").write_text(
        (folder / "a.xml").read_text().replace("<object>", size + "<object>", 1)
    )
    dataset = voc.read(tmp_path, "train")
    weak = dataset.read_weak(dataset.images[0])
    assert [box.box_xyxy for box in weak.boxes] == [(3, 2, 9, 5)]
    assert any("from 0" in remark for remark in dataset.remarks)
    # Whole numbers are the format's own, whatever lies beside them.
    (folder / "a.xml").write_text((folder / "a.xml").read_text().replace(".0", ""))
    dataset = voc.read(tmp_path, "train")
    assert [box.box_xyxy for box in dataset.read_weak(dataset.images[0]).boxes] == [(2, 1, 9, 5)]


def test_an_object_without_a_name_is_refused(tmp_path):
    path = write_xml(tmp_path / "a.xml", OBJECT.format(1, 1, 5, 5).replace("person", " "))
    with pytest.raises(DatasetError, match="object 1: has no name"):
        take(path)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        *(("GB2312", "汽车"), ("gb18030", "汽车"), ("Shift_JIS", "車"), ("Big5", "汽車")),
        *(("EUC-JP", "車"), ("cp1251", "машина")),
    ],
)
def test_declared_encodings_of_many_bytes_are_read(tmp_path, encoding, name):
    text = f'<?xml version="1.0" encoding="{encoding}"?><annotation>{box(name, 1, 1, 2, 2)}'
    path = tmp_path / "a.xml"
    path.write_bytes(f"{text}</annotation>".encode(encoding))
    assert [thing.name for thing in read_xml(path).objects] == [name]


@pytest.mark.parametrize(
    "declared", ["base64", "idna", "rot13", "punycode", "utf-7", "unicode_escape", "hex", "none"]
)
def test_declared_encodings_that_are_none_are_one_line(tmp_path, declared):
    path = tmp_path / "a.xml"
    head = f'<?xml version="1.0" encoding="{declared}"?>'
    path.write_bytes(head.encode() + b"<annotation>\xff</annotation>")
    with pytest.raises(DatasetError, match=rf"a\.xml: .*unknown encoding {declared}") as caught:
        read_xml(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["gb18030", "shift_jis", "utf-16-be", "utf-16-le"])
def test_no_encoding_hides_a_document_type(tmp_path, encoding):
    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a><annotation>車</annotation>'
    path = tmp_path / "a.xml"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(DatasetError, match="declares a document type"):
        read_xml(path)


def test_the_folder_above_the_years_holds_one_or_names_them(tmp_path):
    for year in ("VOC2007", "VOC2012"):
        folder = tmp_path / "VOCdevkit" / year / "Annotations"
        folder.mkdir(parents=True)
        xml(folder / f"{year}.xml", OBJECT.format(1, 1, 5, 5))
        if year == "VOC2007":
            assert voc.read(tmp_path, "train").images[0].image_id == year
    with pytest.raises(DatasetError, match="give the folder of one, VOCdevkit/VOC2007 or VOCd"):
        voc.read(tmp_path, "train")


def test_a_year_comes_before_those_of_an_archive_beside_it(tmp_path):
    for place in ("VOC2012", "VOCdevkit/VOC2007"):
        folder = tmp_path / place / "Annotations"
        xml(folder / f"{place[-4:]}.xml", OBJECT.format(1, 1, 5, 5))
    assert voc.read(tmp_path, "train").images[0].image_id == "2012"
