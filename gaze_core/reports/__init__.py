"""The skeleton of every system's report page: text, charts, images, and the blocks that a page is composed of."""
