import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutline.errors import UsageError
from cutline.trainers.simpletuner import LoaderOptions


def refused(**chosen):
    with pytest.raises(UsageError) as error:
        LoaderOptions(**chosen)
    return str(error.value)


def test_the_defaults_are_the_recipe_s():
    recipe = LoaderOptions()
    assert (recipe.id, recipe.strategy, recipe.resolution_type) == (None, "textfile", "area")
    assert (recipe.resolution, recipe.minimum_image_size) == (1.0, 0.75)
    assert (recipe.maximum_image_size, recipe.target_downsample_size) == (2.0, 1.75)


def test_a_maximum_needs_a_size_to_shrink_to():
    assert "needs target_downsample_size" in refused(target_downsample_size=0)


@pytest.mark.parametrize("size", [1024, 20, -1, math.inf, math.nan])
def test_megapixels_are_below_20(size):
    assert "below 20 megapixels" in refused(maximum_image_size=size)
    assert "below 20 megapixels" in refused(target_downsample_size=size, maximum_image_size=0)
    assert "below 20 megapixels" in refused(resolution=size)


def test_just_below_20_megapixels_is_accepted():
    LoaderOptions(maximum_image_size=19.9, target_downsample_size=19.9, resolution=19.9)


def test_a_minimum_is_at_most_5_megapixels():
    assert "from 0 to 5 megapixels" in refused(minimum_image_size=5.1, maximum_image_size=19)
    LoaderOptions(minimum_image_size=5, maximum_image_size=19)


def test_sizes_in_order_are_demanded_although_the_trainer_does_not():
    assert "minimum_image_size is above" in refused(minimum_image_size=2.1)
    assert "target_downsample_size is above" in refused(target_downsample_size=2.1)


def pixels(**chosen):
    sizes = {
        "resolution_type": "pixel",
        "resolution": 1024,
        "minimum_image_size": 512,
        "maximum_image_size": 2048,
        "target_downsample_size": 1536,
    }
    return sizes | chosen


def test_pixels_start_at_512():
    LoaderOptions(**pixels(target_downsample_size=512))
    assert "from 512 to" in refused(**pixels(target_downsample_size=511))
    assert "from 512 to" in refused(**pixels(maximum_image_size=2.0))
    assert "minimum_image_size" in refused(**pixels(minimum_image_size=math.inf))


def test_the_edges_of_pixel_area_have_the_limits_of_the_area():
    LoaderOptions(**pixels(resolution_type="pixel_area", maximum_image_size=4472))
    assert "4472" in refused(**pixels(resolution_type="pixel_area", maximum_image_size=4473))
    too_high = pixels(resolution_type="pixel_area", minimum_image_size=2237)
    assert "minimum_image_size is from 0 to 2236" in refused(**too_high)


def test_the_resolution_of_pixel_area_is_a_whole_number():
    assert "whole number" in refused(**pixels(resolution_type="pixel_area", resolution=1024.5))


def test_megapixels_in_pixel_area_are_refused_because_the_trainer_reads_them_in_two_ways():
    assert "from 11 to" in refused(resolution_type="pixel_area", resolution=1024)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\nb", "{model_family}"])
def test_an_id_names_files(name):
    assert "The id" in refused(id=name)


def test_unknown_words_are_answered_with_the_known_ones():
    assert "give 'textfile' or 'parquet'" in refused(strategy="filename")
    assert "give 'area' or 'pixel' or 'pixel_area'" in refused(resolution_type="megapixel")


sizes = st.one_of(
    st.sampled_from([0, 0.75, 1, 1.75, 2, 5, 5.1, 19.9, 20, 256, 512, 1024, 2048, 4472, 4473]),
    st.floats(),
)


def the_trainer_accepts(options):
    """The trainer's own checks, one after the other, as plainly as they can be said."""
    least, most, target, resolution = (
        options.minimum_image_size,
        options.maximum_image_size,
        options.target_downsample_size,
        options.resolution,
    )
    if most and not target:
        return False
    if options.resolution_type == "pixel":
        return (not most or most >= 512) and (not target or target >= 512)
    if options.resolution_type == "pixel_area":
        if resolution != int(resolution):
            return False
        least, most, target = (edge * edge / 1_000_000 for edge in (least, most, target))
    return most < 20 and target < 20 and least <= 5


@given(st.sampled_from(["area", "pixel", "pixel_area"]), sizes, sizes, sizes, sizes)
def test_no_options_come_through_that_the_trainer_refuses(kind, resolution, least, most, target):
    try:
        options = LoaderOptions(
            resolution_type=kind,
            resolution=resolution,
            minimum_image_size=least,
            maximum_image_size=most,
            target_downsample_size=target,
        )
    except UsageError:
        return
    assert the_trainer_accepts(options)
    assert all(math.isfinite(size) and size >= 0 for size in (resolution, least, most, target))
