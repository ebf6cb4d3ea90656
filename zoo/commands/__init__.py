"""The commands that train and export. They are above everything else in the tree."""
