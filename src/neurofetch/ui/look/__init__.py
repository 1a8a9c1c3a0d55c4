"""Look at what is in the data directories: volumes, tables, pictures and texts, for the page.

`routes` has all that the page may ask. Below it are `places` (files are opened through folders that
are held open), `kinds` (what a file is, by its name), `shelf` (what is there, under ids),
`sidecars` (what JSON files say of a file), `tables`, `pictures`, `surfaces` and `spools` (temporary
files); and with numpy and nibabel, which are imported when the first volume is looked at:
`headers`, `passing` (the bytes of frames), `stores` (beta stores), `cutting`, `hints`, `volumes`
and `overlays`.
"""

from neurofetch.ui.look.routes import routes

__all__ = ["routes"]
