"""Names of stimuli: some true ones of each kind, then made-up ones of the same form.

The owners' train/test splits name the true ones, so that a small bucket has trials of every fold.
"""

from collections.abc import Iterator
from itertools import chain, count, islice

__all__ = ["PARTICIPANT", "data_set", "shared_pictures", "unique_pictures"]

#: Under which number a subject's own pictures go in their names.
PARTICIPANT = {"sub-01": "p01", "sub-06": "p02", "sub-05": "p03", "sub-03": "p04", "sub-07": "p05"}

_SHARED = (
    "shared_12rep_LAION_cluster_1003_i0.jpg",
    "shared_4rep_OOD_cropped_air_pump.png",
    "shared_12rep_LAION_cluster_1127_i3.jpg",
    "shared_4rep_OOD_gabor_gabor-01-top-left.jpg",
    "shared_12rep_LAION_cluster_1018_i2.jpg",
    "shared_4rep_OOD_gaudy_gaudy-altar.jpg",
    "shared_12rep_LAION_cluster_1065_i4.jpg",
    "shared_4rep_OOD_illusion-classic_classic-illusion-01-asahi.png",
    "shared_12rep_LAION_cluster_1020_i0.jpg",
    "shared_4rep_OOD_illusion-natural_cup-glitch.jpg",
    "shared_12rep_LAION_cluster_1316_i4.jpg",
    "shared_4rep_OOD_relations_007_saucer-ontop-cup_04.jpg",
    "shared_12rep_LAION_cluster_1011_i2.jpg",
    "shared_4rep_OOD_selfmade_01.jpg",
    "shared_12rep_LAION_cluster_1006_i0.jpg",
    "shared_4rep_OOD_shape_blob_round-01.png",
    "shared_12rep_LAION_cluster_1185_i3.jpg",
    "shared_4rep_OOD_unusual_17FLORIDA.jpg",
    "shared_12rep_LAION_cluster_1809_i3.jpg",
    "shared_12rep_THINGS+_kmeans_0_balloon.jpg",
    "shared_4rep_NSD_special1000_100.jpg",
)
"""Five clusters, both sides of `tau`, all four data sets and each type of out-of-distribution."""

_UNIQUE = {
    "sub-01": (
        "1055_i43 1054_i1 1024_i12 1006_i38 1001_i17 1056_i10 1019_i2 103_i48 1008_i2 "
        "0_i0 105_i9 1062_i36 1025_i49 1028_i35"
    ),
    "sub-06": (
        "105_i18 1241_i37 1006_i2 1028_i4 1032_i4 1056_i42 1001_i42 1023_i18 1008_i19 "
        "0_i2 1061_i9 289_i1 1024_i0 1073_i31"
    ),
    "sub-05": (
        "0_i3 1008_i31 1002_i48 1069_i2 105_i2 1241_i26 100_i5 1006_i32 1001_i3 1023_i5 "
        "1014_i3 1073_i5 1019_i4 109_i31"
    ),
    "sub-03": (
        "1001_i46 1038_i34 105_i5 1062_i39 1002_i1 1019_i18 101_i0 0_i4 1006_i23 1023_i0 "
        "1003_i16 1039_i5 1086_i7 175_i3"
    ),
    "sub-07": (
        "1001_i2 1002_i11 1006_i24 1067_i21 0_i1 1080_i20 1019_i23 1100_i18 1050_i4 "
        "1035_i2 1003_i5 102_i5 1023_i19 1069_i31"
    ),
}


def shared_pictures(total: int) -> list[str]:
    """Return names of pictures that all subjects see: about half are out of distribution."""
    made = (f"shared_{4 if n % 3 else 12}rep_LAION_cluster_{9000 + n}_i0.jpg" for n in count())
    return list(islice(chain(_SHARED, made), total))


def unique_pictures(subject: str) -> Iterator[str]:
    """Yield names of pictures that only this subject sees, without end."""
    number = PARTICIPANT.get(subject, "p" + subject.removeprefix("sub-"))
    for stem in _UNIQUE.get(subject, "").split():
        yield f"unique_LAION_fillup_cluster_{stem}_{number}.jpg"
    for n in count():
        yield f"unique_LAION_new_cluster_{9000 + n}_i{n % 50}_{number}.jpg"


def data_set(label: str) -> str:
    """Return where a picture is from.

    Examples
    --------
    >>> data_set("shared_4rep_OOD_selfmade_01.jpg"), data_set("unique_LAION_x_p01.jpg")
    ('OOD', 'LAION')
    """
    parts = label.split("_")
    return parts[1 if parts[0] == "unique" else 2]
