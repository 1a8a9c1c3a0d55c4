"""A local page in the browser: choose, plan, fetch, look. ``neurofetch ui`` starts it."""
