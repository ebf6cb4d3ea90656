"""A local tree of image files as a TFDS dataset."""

from zoo.data.builders.arrays import ContentsBuilder


class LocalImages(ContentsBuilder, skip_registration=True):
    """Images of one size, class by class; read by ``zoo.data.folder``."""

    name = "local_images"
