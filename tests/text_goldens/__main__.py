"""Write every text golden anew, and delete those of recipes that are gone."""

from tests.text_goldens import FOLDER, names, path_of, render

wanted = {path_of(name): render(name) for name in names()}
for path in FOLDER.rglob("*.txt"):
    if path not in wanted:
        path.unlink()
for path, text in wanted.items():
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
print(f"{len(wanted)} files in {FOLDER}")
