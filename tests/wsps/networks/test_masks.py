import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from wsps.networks.masks import enlarge_masks


def test_cells_and_what_lies_between_their_middles_by_hand():
    mask = torch.tensor([[0.0, 1.0], [0.0, 0.5]])
    box = torch.tensor([3.0, 10.0, 7.0, 14.0])  # two pixels a cell: middles at 4 and 6, 11 and 13
    found = enlarge_masks(mask, box, torch.arange(10, 14), torch.arange(2, 8))
    assert found[0].tolist() == [0, 0, 0, 0.5, 1, 1]
    assert found[2].tolist() == pytest.approx([0, 0, 0, 0.375, 0.75, 0.75])
    assert found[3].tolist() == [0, 0, 0, 0.25, 0.5, 0.5]


@given(
    corner=st.tuples(*[st.floats(-20, 20)] * 2),
    side=st.tuples(*[st.floats(0.5, 60)] * 2),
    cells=st.sampled_from([2, 14, 28]),
)
def test_it_samples_as_torch_does(
    corner: tuple[float, float], side: tuple[float, float], cells: int
):
    torch.manual_seed(cells)
    mask = torch.rand(cells, cells)
    rows, columns = torch.arange(9), torch.arange(11)
    x, y = corner
    across, down = (columns - x) / side[0], (rows - y) / side[1]
    places = torch.stack([across.expand(9, -1), down[:, None].expand(-1, 11)], dim=2)
    expected = functional.grid_sample(
        mask[None, None], 2 * places[None] - 1, padding_mode="border", align_corners=False
    )
    box = torch.tensor([x, y, x + side[0], y + side[1]])
    found = enlarge_masks(mask, box, rows, columns)
    torch.testing.assert_close(found, expected[0, 0], rtol=1e-4, atol=1e-4)


def test_boxes_of_several_images_at_once_and_one_without_extent():
    torch.manual_seed(0)
    masks = torch.rand(2, 3, 4, 4)
    boxes = torch.tensor([[[0.0, 0, 8, 8], [2, 2, 2, 2], [5, 1, 9, 7]]] * 2)
    together = enlarge_masks(masks, boxes, torch.arange(6), torch.arange(9))
    assert together.shape == (2, 3, 6, 9)
    assert together.isfinite().all()
    alone = enlarge_masks(masks[1, 2], boxes[1, 2], torch.arange(6), torch.arange(9))
    torch.testing.assert_close(together[1, 2], alone)
