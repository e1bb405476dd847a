from dataclasses import replace

from annotools.prices.times import (
    explain_images,
    fix_time,
    missing_actions,
    missing_time,
    read_times,
    why_missing,
)


def test_times_of_a_whole_image_say_of_which_images_until_they_are_replaced(tmp_path):
    paper = read_times("li2018")
    streets = {a: t.images for a, t in paper.actions.items() if t.images is not None}
    assert streets == dict.fromkeys(("full_image", "coarse_image"), "Cityscapes street images")

    path = tmp_path / "mine.toml"
    path.write_text('inherit = "li2018"\n[actions.full_image]\nseconds = 6000\n')
    inherited = read_times(path).actions
    assert inherited["full_image"].images is None
    assert inherited["coarse_image"].images == "Cityscapes street images"
    assert fix_time(paper, "coarse_image", 60).actions["coarse_image"].images is None


def test_a_coarse_image_does_not_stand_in_for_a_coarse_instance():
    paper = read_times("li2018")
    why = (
        "the 420 s of coarse_image are for one image with things and stuff (Cityscapes street "
        "images), and this dataset has no labelled stuff"
    )

    assert why_missing(paper, ["coarse_instance"]) == (
        f"times li2018 have no coarse_instance: {why}; add a table [actions.coarse_instance] of "
        "your own"
    )
    assert why_missing(paper, ["scribble"]) == "times li2018 have no scribble"
    other = why_missing(read_times("bearman2016"), ["coarse_instance", "vertex"])
    assert other == "times bearman2016 have no coarse_instance, vertex"
    assert f"; {why}: add a table [actions.coarse_instance]" in str(
        missing_time(paper, "coarse_instance")
    )
    own = str(missing_time(fix_time(paper, "coarse_image", 60), "coarse_instance"))
    assert "; the 60 s of coarse_image are for one image with things and stuff, and this" in own


def test_a_coarse_street_goes_with_a_full_street_alone():
    paper = read_times("li2018")
    own = fix_time(paper, "full_image", 300)
    both = ["full_image", "coarse_image", "scribble", "box"]
    why = "coarse_image is of Cityscapes street images, and full_image is not"

    assert missing_actions(paper, both) == ("scribble",)
    assert missing_actions(own, both) == ("coarse_image", "scribble")
    assert missing_actions(fix_time(own, "coarse_image", 60), both) == ("scribble",)
    # Things without stuff are paid by the mask: it says nothing of whole images.
    assert missing_actions(fix_time(paper, "mask", 10), both) == ("scribble",)
    alone = replace(paper, actions={"coarse_image": paper.actions["coarse_image"]})
    assert missing_actions(alone, ["coarse_image"]) == ()
    assert why_missing(own, ["coarse_image"]) == f"{why}: give your own"
    assert why_missing(own, ["coarse_image", "scribble"]) == (
        f"times li2018 have no scribble; {why}: give your own"
    )
    assert str(missing_time(own, "coarse_image")) == (
        f"annotation times 'li2018': {why}: add a table [actions.coarse_image]"
    )


def test_images_of_times_that_are_used_are_explained():
    paper = read_times("li2018")

    assert list(explain_images(paper, {"box", "mask"})) == []
    (both,) = explain_images(paper, {"coarse_image", "full_image"})
    assert both.startswith("The seconds of full_image and coarse_image are those of Cityscapes")
    (one,) = explain_images(fix_time(paper, "full_image", 9), {"coarse_image", "full_image"})
    assert one.startswith("The seconds of coarse_image are those of Cityscapes street images: ")
