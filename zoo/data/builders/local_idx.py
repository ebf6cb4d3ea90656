"""IDX files of a local directory as a TFDS dataset."""

from zoo.data.builders.arrays import ContentsBuilder


class LocalIdx(ContentsBuilder, skip_registration=True):
    """Four IDX files, in file order; read and checked by ``zoo.data.idx``."""

    name = "local_idx"
