import numpy as np
import pytest

from kfacealign.data.faces import Dataset, Faces


def faces(count=5, **changes):
    rng = np.random.default_rng(0)
    arguments = dict(
        images=[f"photo_{i}.jpg" for i in range(count)],
        landmarks=rng.uniform(10, 90, (count, 68, 2)),
        attributes={"blur": np.arange(count) % 2 == 1},
        origins=[f"list.txt:{i + 1}" for i in range(count)],
    )
    return Faces("ibug68", **{**arguments, **changes})


def test_defaults():
    some = faces()
    assert len(some) == 5 and some.scheme.name == "ibug68" and some.names == some.images
    assert some.landmarks.dtype == some.boxes.dtype == some.weights.dtype == np.float32
    np.testing.assert_array_equal(some.boxes[:, :2], some.landmarks.min(1))
    np.testing.assert_array_equal(some.boxes[:, 2:], some.landmarks.max(1))
    assert some.weights.min() == 1


def test_indexing():
    some = faces()
    one = some[np.int64(3)]
    assert one.image == "photo_3.jpg" and one.attributes == {"blur": True} and one.landmarks.shape == (68, 2)
    assert some[-1].name == "photo_4.jpg"
    for index in (slice(1, 4, 2), [1, 3], np.array([1, 3]), np.array([False, True, False, True, False])):
        part = some[index]
        assert isinstance(part, Faces) and part.images == ["photo_1.jpg", "photo_3.jpg"]
        np.testing.assert_array_equal(part.boxes, some.boxes[[1, 3]])
        assert part.attributes["blur"].all()
    assert len(some[[]]) == 0 and some[[]].landmarks.shape == (0, 68, 2)
    with pytest.raises(IndexError):
        some[5]
    assert len([face for face in some]) == 5


def test_unannotated_points_make_no_box():
    weights = np.ones((5, 68))
    weights[2, :10] = 0
    some = faces(weights=weights)
    np.testing.assert_array_equal(some.boxes[2, :2], some.landmarks[2, 10:].min(0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_names_the_line(value):
    landmarks = faces().landmarks.copy()
    landmarks[3, 7, 1] = value
    with pytest.raises(ValueError, match=r"list\.txt:4: landmark 7 .*finite"):
        faces(landmarks=landmarks)


def test_no_size_names_the_line():
    landmarks = faces().landmarks.copy()
    landmarks[1] = 12.0
    with pytest.raises(ValueError, match=r"list\.txt:2: the face has no size"):
        faces(landmarks=landmarks)
    boxes = faces().boxes.copy()
    boxes[4, 2:] = boxes[4, :2]
    with pytest.raises(ValueError, match=r"list\.txt:5: the face has no size: its box"):
        faces(boxes=boxes)
    weights = np.ones((5, 68))
    weights[0] = 0
    with pytest.raises(ValueError, match=r"list\.txt:1: the face has no size"):
        faces(weights=weights)


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"landmarks have shape \(5, 67, 2\), expected \(5, 68, 2\)"):
        faces(landmarks=np.ones((5, 67, 2)))
    with pytest.raises(ValueError, match="names"):
        faces(names=["a"])
    with pytest.raises(ValueError, match="'blur'"):
        faces(attributes={"blur": [True]})
    with pytest.raises(ValueError, match=r"list.txt:1: landmark weights"):
        faces(weights=np.full((5, 68), -1.0))


def test_a_landmark_outside_the_image_is_kept():
    landmarks = faces().landmarks.copy()
    landmarks[0, 0] = (-30.0, 500.0)
    assert faces(landmarks=landmarks).landmarks[0, 0].tolist() == [-30.0, 500.0]


def test_summary():
    some = faces()
    dataset = Dataset(
        name="mine",
        scheme=some.scheme,
        train=some[:3],
        test=some[3:],
        subsets={"blur": np.array([0])},
        enlarge=1.25,
        normalizer="inter_ocular",
    )
    assert dataset.summary() == "mine (ibug68): 3 training and 2 test faces (blur 1)"


def test_points_that_are_not_annotated_may_be_anything(tmp_path):
    sound = faces()
    landmarks, weights = sound.landmarks.copy(), sound.weights.copy()
    landmarks[1, :5], weights[1, :5] = np.nan, 0
    landmarks[2, 7], weights[2, 7] = np.inf, 0
    some = faces(landmarks=landmarks, weights=weights)
    assert (some.landmarks[1, :5] == 0).all() and (some.landmarks[2, 7] == 0).all()
    np.testing.assert_array_equal(some.boxes[1], [*landmarks[1, 5:].min(0), *landmarks[1, 5:].max(0)])
    assert np.isnan(landmarks[1, 0]).all()  # what was given is as it was
    with pytest.raises(ValueError, match=r"list\.txt:2: landmark 4 is \[nan, nan\].*give it the weight 0"):
        faces(landmarks=landmarks, weights=np.where(np.arange(68) == 4, 1, weights))
    with pytest.raises(ValueError, match=r"list\.txt:2: landmark 0"):
        faces(landmarks=landmarks)


def test_coordinates_beyond_any_photograph():
    for far in (1_000_001, -5.55e7, 1e300):
        landmarks = faces().landmarks.astype("float64")
        landmarks[3, 9, 1] = far
        with pytest.raises(ValueError, match=r"list\.txt:4: .*(expected none beyond 1,000,000|expected finite)"):
            faces(landmarks=landmarks)
    landmarks[3, 9, 1] = 1e6
    assert len(faces(landmarks=landmarks)) == 5
    with pytest.raises(ValueError, match=r"list\.txt:1: its box has the coordinate 2,000,000"):
        faces(boxes=np.array([[0, 0, 2e6, 9]] * 5))


def test_counts_of_origins():
    with pytest.raises(ValueError, match="5 images but 4 origins"):
        faces(origins=list("abcd"))
