"""A local page in the browser: choose, plan, fetch, look. ``neurofetch ui`` starts it.

In a notebook, `show` looks at a file or a data directory in the cell.
"""

from neurofetch.ui.notebook import PageView, show

__all__ = ["PageView", "show"]
