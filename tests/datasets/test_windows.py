"""Windows: one per clip and epoch in training, all of them in evaluation, each on one process."""

from collections import Counter
from itertools import chain

from sedcrnn.datasets.windows import ConsecutiveWindows, Drawing, RandomWindows, Window, count_batches, random_step

IDS = [f"clip-{n}" for n in range(70)]
STEPS = [50] * 70


def test_offsets_depend_on_seed_epoch_and_clip_alone_and_cover_all_46() -> None:
    assert random_step(50, 0, 3, "a") == random_step(50, 0, 3, "a")
    assert random_step(50, 0, 3, "\udcff") != random_step(50, 0, 3, "\udcfe")  # names of files that are no text
    draws = [random_step(50, 0, epoch, "a") for epoch in range(2000)]
    assert set(draws) == set(range(46))  # a clip of 10 s at 5 fps has 46 windows of 5 frames
    assert draws != [random_step(50, 1, epoch, "a") for epoch in range(2000)]
    assert draws != [random_step(50, 0, epoch, "b") for epoch in range(2000)]
    assert random_step(5, 0, 0, "a") == 0  # a clip of one second has one window


def starts_of(drawing: Drawing, steps: int = 50, epochs: int = 8000) -> list[int]:
    """First columns of one clip's windows in many epochs, at ten columns a step."""
    sampler, drawn = RandomWindows(["a"], [steps], batch_size=1, seed=0, drawing=drawing), []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        ((window,),) = sampler
        drawn.append(10 * window.step + window.column)
    return drawn


def test_starts_lie_on_the_grid_of_the_frames_or_of_the_columns_or_on_its_first_14() -> None:
    assert set(starts_of(Drawing(), epochs=2000)) == set(range(0, 451, 10))
    every = Counter(starts_of(Drawing(columns=10)))
    assert set(every) == set(range(451))  # of 500 columns, 50 in a window
    assert max(every.values()) < 45  # 18 on average
    first = Counter(starts_of(Drawing(columns=10, starts=14), epochs=2000))
    assert set(first) == set(range(14))  # 0.26 s and the window's second: 1.26 s of a clip
    assert min(first.values()) > 100  # 143 on average
    assert set(starts_of(Drawing(columns=10, starts=14), steps=6, epochs=400)) == set(range(11))  # a clip of 1.2 s


def test_partners_are_windows_of_an_epoch_beside_it() -> None:
    alone = list(RandomWindows(IDS, STEPS, batch_size=32, seed=1))
    both = list(RandomWindows(IDS, STEPS, batch_size=32, seed=1, drawing=Drawing(partners=True)))
    assert [len(batch) for batch in both] == [48, 46, 46]
    assert [batch[: len(batch) // 2] for batch in both] == alone
    partners = [window for batch in both for window in batch[len(batch) // 2 :]]
    own = [window for batch in alone for window in batch]
    assert sorted(window.clip for window in partners) == list(range(70))  # each clip once, too, in another order
    assert sum(one.clip == other.clip for one, other in zip(own, partners, strict=True)) < 6
    assert set(partners).isdisjoint(own)  # and at another start, but for chance, and of another augmentation
    ranks = [
        list(RandomWindows(IDS, STEPS, 8, seed=1, rank=rank, world_size=3, drawing=Drawing(partners=True)))
        for rank in range(3)
    ]
    whole = list(RandomWindows(IDS, STEPS, 24, seed=1, drawing=Drawing(partners=True)))
    assert sorted(chain(*chain(*ranks))) == sorted(chain(*whole))


def test_every_clip_once_per_epoch_in_even_batches() -> None:
    sampler = RandomWindows(IDS, STEPS, batch_size=32, seed=1)
    batches = list(sampler)
    assert [len(batch) for batch in batches] == [24, 23, 23]
    assert len(sampler) == 3
    assert sorted(window.clip for window in chain(*batches)) == list(range(70))
    assert list(sampler) == batches
    sampler.set_epoch(1)
    assert list(sampler) != batches


# As released before there could be several windows per clip: what was trained then can be trained again.
FIRST_WINDOWS = [
    Window(clip=6, step=41, draw=14947976865437690507),
    Window(clip=24, step=44, draw=14029980326582768256),
    Window(clip=15, step=8, draw=1774847222872137671),
]


def test_one_window_per_clip_is_drawn_as_ever_and_more_are_draws_of_their_own() -> None:
    one, three = (RandomWindows(IDS, STEPS, batch_size=32, seed=1, drawing=Drawing(windows_per_clip=n)) for n in (1, 3))
    assert next(iter(one))[:3] == FIRST_WINDOWS
    assert [len(batch) for batch in three] == [30] * 7
    drawn = list(chain(*three))
    assert Counter(window.clip for window in drawn) == dict.fromkeys(range(70), 3)
    assert set(chain(*one)) < set(drawn)
    assert len({window.draw for window in drawn}) == 210  # each has an augmentation of its own
    own = [[window.step for window in drawn if window.clip == clip] for clip in range(70)]
    assert sum(len(set(steps)) == 3 for steps in own) > 60  # of 46 starts, three differ nearly always
    # clips mix within batches, and the three windows of one are spread over them
    assert all(len({window.clip for window in batch}) > 20 for batch in three)
    three.set_epoch(1)
    assert set(chain(*three)).isdisjoint(drawn)


def test_processes_share_several_windows_per_clip() -> None:
    alone, *ranks = (
        RandomWindows(IDS, STEPS, 8, seed=1, rank=rank, world_size=size, drawing=Drawing(windows_per_clip=2))
        for rank, size in ((0, 1), (0, 3), (1, 3), (2, 3))
    )
    assert {len(rank) for rank in ranks} == {6} == {count_batches(70, 2, batch_size=8, world_size=3)}
    assert sorted(chain(*chain(*ranks))) == sorted(chain(*alone))


def test_processes_share_the_clips_and_have_equally_many_batches() -> None:
    alone = RandomWindows(IDS, STEPS, batch_size=8, seed=1)
    ranks = [RandomWindows(IDS, STEPS, batch_size=8, seed=1, rank=rank, world_size=3) for rank in range(3)]
    batches = [list(rank) for rank in ranks]
    assert len({len(rank) for rank in batches}) == 1
    assert all(0 < len(batch) <= 8 for batch in chain(*batches))
    # the same windows as one process, each on one rank
    assert sorted(chain(*chain(*batches))) == sorted(chain(*alone))


def test_evaluation_sees_every_whole_second_once_with_an_uneven_last_batch() -> None:
    steps = [50, 14, 5]
    batches = list(ConsecutiveWindows(steps, batch_size=5))
    assert [len(batch) for batch in batches] == [5, 5, 3]
    expected = [Window(0, 5 * n) for n in range(10)] + [Window(1, 0), Window(1, 5), Window(2, 0)]
    assert list(chain(*batches)) == expected
    shared = [chain(*ConsecutiveWindows(steps, 5, rank, 2)) for rank in range(2)]
    assert sorted(chain(*shared)) == expected
